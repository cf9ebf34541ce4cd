//! The TLS that servers speak: version 1.3 only, ALPN `tekd/1`, nothing before the handshake ends.
//!
//! Certificates only keep others out of the conversation: clients trust signed data and
//! pin no certificate. Tickets are stateless, so the server remembers no client.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;

/// The protocol's name in ALPN. A client that offers ALPN must offer it.
pub const ALPN: &[u8] = b"tekd/1";
/// Bytes a client may send before the handshake ends: none, they could be replayed.
const MAX_EARLY_DATA: u32 = 0;
/// Certificates in a chain, at most.
const MAX_CHAIN: usize = 8;

/// Why a certificate and its key make no server.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// The PEM text of certificates is broken.
    #[error("certificates: {0}")]
    Certificates(#[source] pem::Error),
    /// The PEM text of the key is broken or holds none.
    #[error("private key: {0}")]
    Key(#[source] pem::Error),
    /// No certificate, or too many.
    #[error("{count} certificates in the chain, not between 1 and {limit}")]
    ChainLength {
        /// How many there are.
        count: usize,
        /// The most there may be.
        limit: usize,
    },
    /// The TLS library refuses them, for instance because the key is another certificate's.
    #[error("certificate and key do not make a TLS server: {0}")]
    Refused(#[source] rustls::Error),
}

/// Reads the certificates of a PEM text, the server's own first.
///
/// # Errors
/// [`TlsConfigError::Certificates`] when a section is broken.
pub fn certificates_from_pem(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(TlsConfigError::Certificates)
}

/// Reads the first private key of a PEM text (PKCS#8, SEC1 or PKCS#1).
///
/// # Errors
/// [`TlsConfigError::Key`] when there is none or it is broken.
pub fn key_from_pem(text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    PrivateKeyDer::from_pem_slice(text).map_err(TlsConfigError::Key)
}

/// The configuration of a TLS server with this chain (own certificate first) and key.
///
/// # Errors
/// [`TlsConfigError`] when they do not fit together or the chain's length is out of range.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsConfigError> {
    if !(1..=MAX_CHAIN).contains(&chain.len()) {
        return Err(TlsConfigError::ChainLength { count: chain.len(), limit: MAX_CHAIN });
    }
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsConfigError::Refused)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.max_early_data_size = MAX_EARLY_DATA;
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsConfigError::Refused)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn config(certificate: &str, key: &str) -> Result<Arc<ServerConfig>, TlsConfigError> {
        server_config(certificates_from_pem(certificate.as_bytes())?, key_from_pem(key.as_bytes())?)
    }

    #[test]
    fn a_certificate_and_its_key_make_a_server_without_memory_or_early_data() {
        let (certificate, key) = made();
        let config = config(&certificate, &key).expect("a pair that fits");
        assert_eq!(config.max_early_data_size, 0);
        assert!(config.ticketer.enabled() && !config.session_storage.can_cache());
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        let ((certificate, key), (_, other)) = (made(), made());
        assert!(matches!(config(&certificate, &other), Err(TlsConfigError::Refused(_))));
        assert!(matches!(config(&certificate, "nothing"), Err(TlsConfigError::Key(_))));
        assert!(matches!(config("", &key), Err(TlsConfigError::ChainLength { count: 0, limit: 8 })));
        let broken = certificate.replace("-----END CERTIFICATE-----", "");
        assert!(matches!(config(&broken, &key), Err(TlsConfigError::Certificates(_))));
        assert!(matches!(
            config(&certificate.repeat(9), &key),
            Err(TlsConfigError::ChainLength { count: 9, limit: 8 })
        ));
    }
}
