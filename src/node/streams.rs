//! TLS and QUIC of a node: a thread per core, each with a listener and an endpoint of its own; one
//! certificate, one stop and one set of limits for all.
//!
//! The kernel spreads connections over the threads by the hash of their addresses and ports, and each stays
//! on its thread. The certificate is read once; a new one is in force after a restart, on both.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::ServerConfig;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

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
    /// A runtime, a thread or a socket.
    #[error("cannot serve streams: {0}")]
    System(#[from] std::io::Error),
}

/// What streams are accepted from, a socket of each for each thread; none is off.
pub(crate) struct StreamSockets {
    pub(crate) tls: Vec<TcpListener>,
    pub(crate) quic: Vec<UdpSocket>,
}

/// What one thread serves.
#[derive(Default)]
struct Core {
    tls: Option<(TlsServer, tokio::net::TcpListener)>,
    quic: Option<QuicServer>,
}

impl Core {
    async fn serve(self, stopping: watch::Receiver<bool>) {
        let (tls, quic) = (self.tls, self.quic);
        let on_tcp = async {
            if let Some((server, listener)) = tls {
                server.serve(listener, stopping.clone()).await;
            }
        };
        let on_udp = async {
            if let Some(server) = quic {
                server.serve(stopping.clone()).await;
            }
        };
        tokio::join!(on_tcp, on_udp);
    }
}

/// Servers that run. Dropping them has them drain without waiting for it.
pub(crate) struct Streams {
    /// Where TLS is served.
    pub(crate) tls: Option<SocketAddr>,
    /// Where QUIC is served.
    pub(crate) quic: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
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
        let config = server_config(certificates_from_pem(&files.certificate)?, key_from_pem(&files.key)?)?;
        let tls = sockets.tls.first().map(TcpListener::local_addr).transpose()?;
        let quic = sockets.quic.first().map(UdpSocket::local_addr).transpose()?;
        let (stop, stopping) = watch::channel(false);
        let mut streams = Streams { tls, quic, stop, threads: Vec::new() };
        for (i, (runtime, core)) in cores(sockets, &config, limits, answers)?.into_iter().enumerate() {
            counters.tls.extend(core.tls.as_ref().map(|(server, _)| server.counters()));
            counters.quic.extend(core.quic.as_ref().map(QuicServer::counters));
            let (name, stopping) = (format!("tekd-stream-{i}"), stopping.clone());
            let serve = move || runtime.block_on(core.serve(stopping));
            streams.threads.push(std::thread::Builder::new().name(name).spawn(serve)?);
        }
        Ok(streams)
    }

    /// Drains: idle connections end, what is in flight is answered, by the servers' own deadlines.
    pub(crate) fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of TLS and QUIC panicked");
            }
        }
    }
}

/// A runtime for each thread and what it serves.
fn cores(
    sockets: StreamSockets,
    config: &Arc<ServerConfig>,
    limits: Limits,
    answers: &Arc<dyn AnswerFrame>,
) -> Result<Vec<(Runtime, Core)>, StreamsError> {
    let limited =
        |connections: u32| StreamLimits { connections: connections as usize, ..StreamLimits::default() };
    let (over_tls, over_quic) = (limited(limits.tls_connections), limited(limits.quic_connections));
    let tls = TlsServer::new(Arc::clone(config), Arc::clone(answers), over_tls);
    let count = sockets.tls.len().max(sockets.quic.len());
    let (mut listeners, mut sockets) = (sockets.tls.into_iter(), sockets.quic.into_iter());
    let mut cores: Vec<(Runtime, Core)> = Vec::with_capacity(count);
    for _ in 0..count {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let inside = runtime.enter();
        let mut core = Core::default();
        if let Some(listener) = listeners.next() {
            core.tls = Some((tls.beside(), tokio::net::TcpListener::from_std(listener)?));
        }
        if let Some(socket) = sockets.next() {
            let first = cores.first().and_then(|(_, core)| core.quic.as_ref());
            core.quic = Some(match first {
                Some(first) => first.beside(socket)?,
                None => QuicServer::new(Arc::clone(config), socket, Arc::clone(answers), over_quic)?,
            });
        }
        drop(inside);
        cores.push((runtime, core));
    }
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::engine::{Outcome, Peer, Silence, Slot, Ticket};
    use crate::node::health::quic_endpoints;
    use crate::transport::bind_quic;

    struct Mute;

    impl AnswerFrame for Mute {
        fn is_repeatable(&self, _request: &[u8]) -> bool {
            true
        }
        fn answer_frame(&self, _peer: Peer, _request: &[u8], _answer: &mut Vec<u8>) -> Outcome {
            Outcome::Ignore(Silence::Length)
        }
        fn answer_datagrams(&self, _slots: &mut [Slot<'_>]) {}
        fn later(&self, _ticket: Ticket) -> oneshot::Receiver<Vec<u8>> {
            oneshot::channel().1
        }
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn an_endpoint_whose_socket_is_lost_is_told_and_one_that_stops_is_not() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let certificates = certificates_from_pem(made.cert.pem().as_bytes()).unwrap();
        let key = key_from_pem(made.signing_key.serialize_pem().as_bytes()).unwrap();
        let config = server_config(certificates, key).unwrap();
        let (staying, going) = (runtime(), runtime());
        let mut sockets = bind_quic("127.0.0.1:0".parse().unwrap(), 2).unwrap().into_iter();
        let well = {
            let (_inside, answers) = (staying.enter(), Arc::new(Mute));
            QuicServer::new(config, sockets.next().unwrap(), answers, StreamLimits::default()).unwrap()
        };
        let ill = {
            let _inside = going.enter();
            well.beside(sockets.next().unwrap()).unwrap()
        };
        let counters = Counters { quic: vec![well.counters(), ill.counters()], ..Counters::default() };
        // As after an error of the system: nobody reads from its socket any more.
        drop(going);
        let (stop, stopping) = watch::channel(false);
        staying.block_on(ill.serve(stopping.clone()));
        assert_eq!(counters.lost_quic_endpoints(), 1);
        stop.send_replace(true);
        staying.block_on(well.serve(stopping));
        let told = quic_endpoints(counters.lost_quic_endpoints(), counters.quic.len()).expect("a finding");
        assert!(told.text.starts_with("1 of 2 QUIC endpoints"), "{}", told.text);
    }
}
