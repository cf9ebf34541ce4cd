//! How phones reach a server in the demo: through its gate, in memory or over sockets of the loopback.
//!
//! In memory the bytes are those of the network and so are the rules: one datagram each way, never longer
//! than its question from a source that has not proved its address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::error::{DemoError, failed};
use crate::client::{Client, MemoryDatagrams, MemoryStream, TlsCarrier, UdpCarrier};
use crate::engine::{
    AnswerCounters, Carrier, Cookies, Gate, Outcome, Peer, Random, Respond, Seeded, Slot, View,
};
use crate::node::answering::FrameAnswers;
use crate::node::clock::{Clock, SteppedClock};
use crate::node::entropy::SystemRandom;
use crate::node::keys::TlsFiles;
use crate::release::Trust;
use crate::store::Published;
use crate::transport::{
    StreamLimits, TlsServer, UdpPlan, UdpWorker, bind, certificates_from_pem, key_from_pem, listen,
    server_config,
};
use crate::wire::{Body, MAX_ANSWER_STREAM, MAX_DATAGRAM, Parsed, parse};

/// Secret of the demo's cookies: they protect nobody, nothing outside can ask.
const COOKIE_SECRET: [u8; 32] = *b"cookies of the demo, kept by all";
/// Seed of what phones draw: transactions and grease.
const PHONE_SEED: u64 = 3;
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PHONE_PORT: u16 = 40_000;

/// Called when a server asks to wait: nobody waits in the demo, the server gets time to work instead.
pub(super) type Wait = Arc<dyn Fn() + Send + Sync>;

/// Datagrams that went through memory.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    questions: AtomicU64,
    asked: AtomicU64,
    answered: AtomicU64,
}

impl Traffic {
    /// Questions, their bytes, and the bytes of their answers since the last call.
    pub(super) fn take(&self) -> (u64, u64, u64) {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        (take(&self.questions), take(&self.asked), take(&self.answered))
    }
}

/// Answers sealed questions where there is an origin.
pub(super) type Sealed = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// The way to one server.
pub(super) struct Door {
    gate: Gate,
    view: Arc<Published<View>>,
    clock: Arc<SteppedClock>,
    trust: Trust,
    wait: Wait,
    sealed: Option<Sealed>,
    /// What went through memory as datagrams.
    pub(super) traffic: Arc<Traffic>,
}

impl Door {
    /// A door before `view`; `wait` is called instead of waiting.
    pub(super) fn new(
        view: Arc<Published<View>>,
        clock: Arc<SteppedClock>,
        trust: Trust,
        wait: Wait,
    ) -> Self {
        let cookies = Cookies::new(COOKIE_SECRET, trust.service);
        let gate = Gate::new(Arc::clone(&view), cookies, None, Arc::new(AnswerCounters::default()));
        Door { gate, view, clock, trust, wait, sealed: None, traffic: Arc::new(Traffic::default()) }
    }

    /// This door with an origin behind it, which answers what is sealed.
    pub(super) fn with_origin(self, sealed: Sealed) -> Self {
        Door { sealed: Some(sealed), ..self }
    }

    /// What those who come through it see.
    pub(super) fn view(&self) -> &Arc<Published<View>> {
        &self.view
    }

    /// A client of `set` that asks in memory, by datagram where it can.
    pub(super) fn client(&self, set: u32) -> Client<'static> {
        let datagrams = MemoryDatagrams::new(self.datagrams());
        self.asking(datagrams, set).with_stream(MemoryStream::new(self.frames()))
    }

    /// A client of `set` that reports: what it draws is secret.
    pub(super) fn reporter(&self, set: u32) -> Client<'static> {
        self.drawing(MemoryStream::new(self.frames()), set, SystemRandom)
    }

    fn asking(&self, carrier: impl crate::client::Carrier + Send + 'static, set: u32) -> Client<'static> {
        self.drawing(carrier, set, Seeded::new(PHONE_SEED))
    }

    fn drawing(
        &self,
        carrier: impl crate::client::Carrier + Send + 'static,
        set: u32,
        mut random: impl Random + 'static,
    ) -> Client<'static> {
        let wait = Arc::clone(&self.wait);
        let fill = move |out: &mut [u8]| random.fill(out);
        Client::new(carrier, self.trust.clone(), set, fill, move |_: Duration| wait())
    }

    fn datagrams(&self) -> impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + use<> {
        let (mut gate, clock, traffic) =
            (self.gate.clone(), Arc::clone(&self.clock), Arc::clone(&self.traffic));
        let peer = Peer { ip: LOOPBACK, port: PHONE_PORT, carrier: Carrier::Udp };
        move |question| {
            let mut answer = [0; MAX_DATAGRAM];
            let mut slots = [Slot::new(question, peer, &mut answer)];
            gate.respond(clock.now(), &mut slots);
            let [slot] = slots;
            traffic.questions.fetch_add(1, Ordering::Relaxed);
            traffic.asked.fetch_add(question.len() as u64, Ordering::Relaxed);
            match slot.outcome {
                // never-amplify: as at the exit of the real transport.
                Outcome::Respond(length) if slot.proved || length <= question.len() => {
                    traffic.answered.fetch_add(length as u64, Ordering::Relaxed);
                    vec![answer[..length].to_vec()]
                }
                Outcome::Respond(_) | Outcome::Ignore(_) | Outcome::Later(_) => Vec::new(),
            }
        }
    }

    fn frames(&self) -> impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + use<> {
        let (gate, view, clock) = (self.gate.clone(), Arc::clone(&self.view), Arc::clone(&self.clock));
        let (sealed, service) = (self.sealed.clone(), self.trust.service);
        let peer = Peer { ip: LOOPBACK, port: PHONE_PORT, carrier: Carrier::Tls };
        move |question| {
            if let (Some(sealed), Parsed::Question(_, Body::Sealed(_))) =
                (&sealed, parse(question, &service, true))
            {
                return Some(sealed(question));
            }
            let mut answer = vec![0; MAX_ANSWER_STREAM];
            match gate.answer_frame(&view.load(), clock.now(), peer, question, &mut answer) {
                Outcome::Respond(length) => {
                    answer.truncate(length);
                    Some(answer)
                }
                Outcome::Ignore(_) | Outcome::Later(_) => None,
            }
        }
    }
}

/// The same server on UDP and TLS, on ports of the loopback that the system chooses.
pub(super) struct Sockets {
    udp: SocketAddr,
    tls: SocketAddr,
    worker: UdpWorker,
    runtime: tokio::runtime::Runtime,
    streams: tokio::task::JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Sockets {
    /// Opens both.
    pub(super) fn open(door: &Door, tls: &TlsFiles) -> Result<Self, DemoError> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let opening = || failed::<std::io::Error>("opening sockets on the loopback");
        let mut datagrams = bind(any, 1).map_err(opening())?;
        let datagrams = datagrams.pop().expect("one worker was asked for");
        let udp = datagrams.local_addr().map_err(opening())?;
        let clock = Arc::clone(&door.clock);
        let worker = UdpWorker::spawn(
            "tekd-udp",
            datagrams,
            UdpPlan::default(),
            move || clock.now(),
            door.gate.clone(),
        );
        let worker = worker.map_err(opening())?;

        let chain = certificates_from_pem(&tls.certificate).map_err(failed("reading the TLS certificate"))?;
        let key = key_from_pem(&tls.key).map_err(failed("reading the TLS key"))?;
        let config = server_config(chain, key).map_err(failed("setting TLS up"))?;
        let answers = FrameAnswers::new(
            door.gate.clone(),
            Arc::clone(&door.view),
            Arc::clone(&door.clock) as Arc<dyn Clock>,
        );
        let server = TlsServer::new(config, Arc::new(answers), StreamLimits::default());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(opening())?;
        let listener = listen(any, 1).map_err(opening())?.remove(0);
        let tls = listener.local_addr().map_err(opening())?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(opening())?
        };
        let (stop, stopping) = watch::channel(false);
        let streams = runtime.spawn(async move { server.serve(listener, stopping).await });
        Ok(Sockets { udp, tls, worker, runtime, streams, stop })
    }

    /// A client that asks over UDP, and over TLS what datagrams cannot carry.
    pub(super) fn over_udp(&self, door: &Door, set: u32) -> Client<'static> {
        door.asking(UdpCarrier::new(self.udp), set).with_stream(TlsCarrier::new(self.tls, None))
    }

    /// A client that asks over TLS alone.
    pub(super) fn over_tls(&self, door: &Door, set: u32) -> Client<'static> {
        door.asking(TlsCarrier::new(self.tls, None), set)
    }

    /// Closes both, and tells whether both had held until then.
    pub(super) fn close(self) -> Result<(), DemoError> {
        self.stop.send_replace(true);
        self.runtime.block_on(self.streams).map_err(failed("serving TLS"))?;
        self.worker.join().map_err(failed("serving UDP"))
    }
}
