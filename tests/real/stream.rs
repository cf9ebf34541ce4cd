//! A TLS connection that carries whatever bytes a test wants.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::server::NEVER;

/// An open connection.
pub(crate) struct Stream(StreamOwned<ClientConnection, TcpStream>);

impl Stream {
    #[track_caller]
    pub(crate) fn open(server: SocketAddr) -> Self {
        Self::open_with(server, b"tekd/1").expect("a handshake")
    }

    /// Shakes hands, offering `alpn`.
    pub(crate) fn open_with(server: SocketAddr, alpn: &[u8]) -> io::Result<Self> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Any))
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let name = ServerName::IpAddress(server.ip().into());
        let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(NEVER))?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Stream(StreamOwned::new(session, socket)))
    }

    #[track_caller]
    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.0.write_all(frame).and_then(|()| self.0.flush()).expect("sent");
    }

    /// The next whole frame; `None` if the connection ends before it.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 64];
        self.0.read_exact(&mut frame).ok()?;
        let length = u32::from_le_bytes(frame[4..8].try_into().expect("four bytes"));
        frame.resize(length as usize, 0);
        self.0.read_exact(&mut frame[64..]).ok()?;
        Some(frame)
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, frame: &[u8]) -> Vec<u8> {
        self.send(frame);
        self.receive().expect("an answer")
    }

    /// Ends the connection without a word.
    pub(crate) fn cut(self) {
        let _ = self.0.sock.shutdown(Shutdown::Both);
    }
}

/// Takes every certificate (spec 1.5.4).
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
