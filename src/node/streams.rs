//! TLS and QUIC of a node: one runtime, one certificate, one stop for both.
//!
//! The certificate is read once; a new one is in force after a restart, on both.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::keys::TlsFiles;
use super::metrics::Counters;
use crate::service::config::Limits;
use crate::transport::{
    AnswerFrame, QuicServer, StreamLimits, TlsConfigError, TlsServer, certificates_from_pem, key_from_pem,
    server_config,
};

/// Why no streams can be served.
#[derive(Debug, thiserror::Error)]
pub enum StreamsError {
    /// Certificate and key.
    #[error(
        "keys/tls-cert.pem and keys/tls-key.pem cannot be used: {0}; put both back from a backup, or remove both, \
         and tekd makes a pair of its own"
    )]
    Tls(#[from] TlsConfigError),
    /// The runtime or a socket.
    #[error("cannot serve streams: {0}")]
    System(#[from] std::io::Error),
}

/// What streams are accepted from; `None` is off.
pub(crate) struct StreamSockets {
    pub(crate) tls: Option<TcpListener>,
    pub(crate) quic: Option<UdpSocket>,
}

/// Servers that run. Dropping them cuts off what is in flight.
pub(crate) struct Streams {
    /// Where TLS is served.
    pub(crate) tls: Option<SocketAddr>,
    /// Where QUIC is served.
    pub(crate) quic: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    serving: Vec<JoinHandle<()>>,
    runtime: Runtime,
}

impl Streams {
    /// Serves `sockets` with one certificate, and has what it counts put into `counters`.
    pub(crate) fn start(
        sockets: StreamSockets,
        files: &TlsFiles,
        limits: Limits,
        answers: &Arc<dyn AnswerFrame>,
        counters: &mut Counters,
    ) -> Result<Self, StreamsError> {
        let runtime = Builder::new_multi_thread().enable_all().thread_name("tekd-stream").build()?;
        let config = server_config(certificates_from_pem(&files.certificate)?, key_from_pem(&files.key)?)?;
        let limited =
            |connections: u32| StreamLimits { connections: connections as usize, ..StreamLimits::default() };
        let (stop, stopping) = watch::channel(false);
        let mut streams = Streams { tls: None, quic: None, stop, serving: Vec::new(), runtime };
        let inside = streams.runtime.enter();
        if let Some(listener) = sockets.tls {
            streams.tls = Some(listener.local_addr()?);
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let limits = limited(limits.tls_connections);
            let server = TlsServer::new(Arc::clone(&config), Arc::clone(answers), limits);
            counters.tls = Some(server.counters());
            let stopping = stopping.clone();
            let serving = streams.runtime.spawn(async move { server.serve(listener, stopping).await });
            streams.serving.push(serving);
        }
        if let Some(socket) = sockets.quic {
            streams.quic = Some(socket.local_addr()?);
            let limits = limited(limits.quic_connections);
            let server = QuicServer::new(config, socket, Arc::clone(answers), limits)?;
            counters.quic = Some(server.counters());
            streams.serving.push(streams.runtime.spawn(async move { server.serve(stopping).await }));
        }
        drop(inside);
        Ok(streams)
    }

    /// Drains: idle connections end, what is in flight is answered, by the servers' own deadlines.
    pub(crate) fn stop(self) {
        self.stop.send_replace(true);
        for server in self.serving {
            // A server that panicked serves nobody any more either.
            let _ = self.runtime.block_on(server);
        }
        self.runtime.shutdown_background();
    }
}
