//! A server of QUIC that sends back what it gets, with tekd's settings and nothing of tekd behind them: what
//! QUIC itself costs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream, TokioRuntime};
use rustls::pki_types::PrivateKeyDer;
use tekd::transport::{StreamLimits, TlsConfigError, bind_quic, quic_settings, server_config};
use tekd::wire::MAX_QUESTION_STREAM;
use tokio::runtime::{Builder, Runtime};

/// Why there is no echo of QUIC.
#[derive(Debug, thiserror::Error)]
pub enum QuicEchoError {
    /// Not this machine alone.
    #[error("{0} can be reached from elsewhere; an echo is for measurements, so only loopback is allowed")]
    NotLoopback(SocketAddr),
    /// The certificate.
    #[error("no certificate of its own: {0}")]
    Certificate(String),
    /// The certificate and its key do not do.
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
    /// The socket or the runtime.
    #[error("{address}: {source}")]
    System {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A bound echo of QUIC, on one thread.
#[derive(Debug)]
pub struct QuicEcho {
    endpoint: Endpoint,
    runtime: Runtime,
    address: SocketAddr,
}

impl QuicEcho {
    /// Binds `address`, which has to be of the loopback; port 0 is any free one.
    ///
    /// # Errors
    /// [`QuicEchoError`].
    pub fn bind(address: SocketAddr) -> Result<Self, QuicEchoError> {
        if !address.ip().is_loopback() {
            return Err(QuicEchoError::NotLoopback(address));
        }
        let system = |source| QuicEchoError::System { address, source };
        let unmade = |e: &dyn std::fmt::Display| QuicEchoError::Certificate(e.to_string());
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).map_err(|e| unmade(&e))?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|e| unmade(&e))?;
        let tls = server_config(vec![made.cert.der().clone()], key)?;
        let (endpoint, server) = quic_settings(&tls, &StreamLimits::default()).map_err(system)?;
        let socket = bind_quic(address, 1).map_err(system)?.remove(0);
        let address = socket.local_addr().map_err(system)?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(system)?;
        let endpoint = {
            let _inside = runtime.enter();
            Endpoint::new(endpoint, Some(server), socket, Arc::new(TokioRuntime)).map_err(system)?
        };
        Ok(QuicEcho { endpoint, runtime, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Echoes until the process ends, or the system takes the socket away.
    pub fn run(self) {
        self.runtime.block_on(async {
            while let Some(incoming) = self.endpoint.accept().await {
                if incoming.remote_address_validated() {
                    tokio::spawn(connection(incoming));
                } else {
                    // What has not proved its address can always be told to.
                    let _ = incoming.retry();
                }
            }
        });
    }
}

async fn connection(incoming: Incoming) {
    let Ok(connection) = incoming.await else { return };
    tokio::spawn(datagrams(connection.clone()));
    while let Ok((send, recv)) = connection.accept_bi().await {
        tokio::spawn(stream(send, recv));
    }
}

async fn datagrams(connection: Connection) {
    while let Ok(datagram) = connection.read_datagram().await {
        // What the client does not take is lost, as it is with tekd.
        let _ = connection.send_datagram(datagram);
    }
}

async fn stream(mut send: SendStream, mut recv: RecvStream) {
    if let Ok(frame) = recv.read_to_end(MAX_QUESTION_STREAM).await
        && send.write_all(&frame).await.is_ok()
    {
        // A client that is gone needs no end.
        let _ = send.finish();
    }
}
