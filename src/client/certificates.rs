//! The TLS of clients, under TCP and within QUIC: version 1.3, ALPN `tekd/1`, any certificate, no memory.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

/// The protocol's name in ALPN (spec 1.5.2, 1.5.3).
pub(super) const ALPN: &[u8] = b"tekd/1";

/// What a client says and accepts in TLS: version 1.3, ALPN `tekd/1`, any certificate, no ticket.
///
/// # Panics
/// Never: the cryptography provider has the cipher suites of TLS 1.3.
pub fn client_config() -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has the cipher suites of TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    // no-trace: a ticket of an earlier connection would let the server tell that a device comes back.
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// Takes every certificate (spec 1.5.4).
///
/// That is sound because nothing is believed on the word of the connection: what is true is signed
/// under the set's trust and verified above, and what is secret is sealed to a key of the signed
/// manifest. Whoever stands in between can refuse or delay, as could whoever carries datagrams. TLS
/// keeps those out who only listen. A pinned certificate would add no truth, and would lock clients
/// out of every node that renews its own.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // A signature by a key that nobody vouches for proves nothing, so its absence loses nothing.
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
