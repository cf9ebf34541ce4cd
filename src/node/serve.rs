//! A whole node in one process: directory, origin or upstream, readers, control, until it is told to stop.
//!
//! Sockets answer before the ready file says so. A start shows readers what they saw last before it reads the
//! private state, if that is what the state will say. A stop drains: no new connection, what is in flight is
//! answered, the writer finishes its group and leaves a snapshot.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::answering::FrameAnswers;
use super::builder::{Builder, TableStore};
use super::clock::Clock;
use super::commands::Commands;
use super::control::ControlSocket;
use super::entropy::{self, SystemRandom};
use super::handle::{OriginHandle, StartError};
use super::keys::{KeyError, Keys};
use super::metrics::Counters;
use super::metrics_page::MetricsPage;
use super::origin::{Origin, OriginError, OriginOptions, journal_path, trust_path};
use super::private::PrivateHalf;
use super::reading::Reading;
use super::scrubbing::{Journals, Scrubber};
use super::showing::{self, Unshown};
use super::signals::Signals;
use super::spreading;
use super::streams::{StreamSockets, Streams, StreamsError};
use super::upstream::{Upstream, UpstreamError};
use super::xdp::XdpServing;
use crate::engine::{AnswerCounters, Cookies, Gate, Limiter, View};
use crate::service::config::{self, Config};
use crate::service::control::ControlError;
use crate::service::readyfile::ReadyFile;
use crate::store::journal::check_mirror;
use crate::store::{DirLock, Disk, Identity, IdentityError, MemoryMode, Published};
use crate::transport::{AnswerFrame, UdpWorker, bind, bind_quic, listen};

/// Why a node cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The directory cannot be made.
    #[error("cannot create the data directory {}: {source}; choose another with --data", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The directory cannot be served.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A public node is to be started where an origin lives.
    #[error(
        "{} is the directory of an origin, a public node keeps nothing private; nothing was changed: choose \
         another with --data, or leave out --upstream and --trust",
        dir.display()
    )]
    OriginHere {
        /// The directory.
        dir: PathBuf,
    },
    /// The origin.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// Its threads.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The upstream.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The secrets.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// TLS and QUIC.
    #[error(transparent)]
    Streams(#[from] StreamsError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A socket.
    #[error(
        "cannot listen on {what} {address}: {source}; choose another address, or stop what listens there"
    )]
    Listen {
        /// The transport.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The ready file.
    #[error("cannot write the ready file {}: {source}", file.display())]
    Ready {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread or a socket.
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

/// A node that serves. Dropping it stops it.
pub struct Serving {
    /// Addresses and paths, as the ready file has them.
    pub ready: ReadyFile,
    commands: Arc<Commands>,
    view: Arc<Published<View>>,
    stop_asked: watch::Receiver<bool>,
    streams: Option<Streams>,
    udp: Vec<UdpWorker>,
    xdp: XdpServing,
    upstream: Option<Upstream>,
    control: Option<ControlSocket>,
    page: Option<MetricsPage>,
    scrubber: Option<Scrubber>,
    /// Of the data directory, and of the mirror.
    _locks: Vec<DirLock>,
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").field("ready", &self.ready).finish_non_exhaustive()
    }
}

/// Cores that have sockets of their own; more share these.
const MAX_CORES: usize = 256;

struct Sockets {
    udp: Vec<UdpSocket>,
    streams: StreamSockets,
}

fn open_sockets(config: &Config) -> Result<Sockets, ServeError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MAX_CORES);
    let workers = config.listen.udp_workers.map_or(cores, usize::from);
    let failed = |what, address| move |source| ServeError::Listen { what, address, source };
    let udp = match config.listen.udp {
        Some(address) => bind(address, workers).map_err(failed("UDP", address))?,
        None => Vec::new(),
    };
    let tls = match config.listen.tls {
        Some(address) => listen(address, cores).map_err(failed("TLS", address))?,
        None => Vec::new(),
    };
    let quic = match config.listen.quic {
        Some(address) => bind_quic(address, cores).map_err(failed("QUIC", address))?,
        None => Vec::new(),
    };
    Ok(Sockets { udp, streams: StreamSockets { tls, quic } })
}

impl Serving {
    /// Starts everything that `config` asks for; returns once every socket answers.
    ///
    /// # Errors
    /// [`ServeError`]; what was started is stopped again.
    pub fn start(config: &Config, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Result<Self, ServeError> {
        disk.create_dir(&config.data)
            .map_err(|source| ServeError::Directory { dir: config.data.clone(), source })?;
        let mut locks = vec![DirLock::acquire(&*disk, &config.data)?];
        ControlSocket::check(&config.listen.control)?;
        let mode = match config.memory {
            config::MemoryMode::Copy => MemoryMode::Copy,
            config::MemoryMode::Map => MemoryMode::Map,
        };
        let store = TableStore { disk: Arc::clone(&disk), dir: Some(config.data.clone()), mode };
        if let Some(mirror) = config.journal_mirror.as_ref().filter(|_| config.upstream.is_none()) {
            check_mirror(&*disk, mirror).map_err(OriginError::from)?;
            locks.push(DirLock::acquire(&*disk, mirror)?);
        }
        let (ask_stop, stop_asked) = watch::channel(false);
        let ask_stop = Arc::new(ask_stop);
        let role = start_role(config, &disk, &clock, store, &ask_stop)?;
        let Role { view, private, upstream, journals, trust } = role;
        let verify = |journals| Scrubber::start(journals, Arc::clone(&clock));
        let scrubber = journals.map(verify).transpose()?;
        let sockets = open_sockets(config)?;
        let polls = upstream.as_ref().map(Upstream::polls);
        let answered = Arc::new(AnswerCounters::default());
        let scrubbing = scrubber.as_ref().map(|scrubber| Arc::clone(scrubber.state()));
        let mut counters = Counters { answers: answered, polls, scrubbing, ..Counters::default() };
        let gate = make_gate(config, &*disk, &view, &counters.answers)?;

        let udp_address = sockets.udp.first().map(UdpSocket::local_addr).transpose()?;
        let mut udp = Vec::new();
        let plans = spreading::plans(&config.listen, &sockets.udp)?;
        for (i, (socket, plan)) in sockets.udp.into_iter().zip(plans).enumerate() {
            let clock = Arc::clone(&clock);
            let name = format!("tekd-udp-{i}");
            udp.push(UdpWorker::spawn(&name, socket, plan, move || clock.now(), gate.clone())?);
        }
        counters.udp = udp.iter().map(UdpWorker::counters).collect();
        counters.udp_lives = udp.iter().map(UdpWorker::life).collect();
        let (xdp, xdp_state) = XdpServing::start(&config.listen, udp_address, &clock, &gate)?;
        counters.xdp = xdp_state;

        let files = Keys::open(&*disk, &config.data)?.tls()?;
        let mut answers = FrameAnswers::new(gate, Arc::clone(&view), Arc::clone(&clock));
        // public-only-nodes: only an origin takes what is sealed.
        if let Some(private) = &private {
            answers = answers.with_private(private);
            counters.private = Some(Arc::clone(private));
        }
        let answers: Arc<dyn AnswerFrame> = Arc::new(answers);
        let streams = Streams::start(sockets.streams, &files, config.limits, &answers, &mut counters)?;

        let commands = Arc::new(Commands {
            private,
            view: Arc::clone(&view),
            clock: Arc::clone(&clock),
            disk: Arc::clone(&disk),
            data: config.data.clone(),
            counters: Arc::new(counters),
            shutdown: Box::new(move || {
                ask_stop.send_replace(true);
            }),
        });
        let control = ControlSocket::listen(&config.listen.control, Arc::clone(&commands))?;
        let page =
            match config.listen.metrics {
                Some(address) => Some(
                    MetricsPage::listen(address, Arc::clone(&commands))
                        .map_err(|source| ServeError::Listen { what: "metrics", address, source })?,
                ),
                None => None,
            };
        let ready = ReadyFile {
            udp: udp_address,
            tls: streams.tls,
            quic: streams.quic,
            metrics: page.as_ref().map(MetricsPage::address),
            control: std::path::absolute(&config.listen.control)?,
            trust: std::path::absolute(trust)?,
            pid: std::process::id(),
        };
        if let Some(file) = &config.ready_file {
            ready.write(&*disk, file).map_err(|source| ServeError::Ready { file: file.clone(), source })?;
        }
        Ok(Serving {
            ready,
            commands,
            view,
            stop_asked,
            streams: Some(streams),
            udp,
            xdp,
            upstream,
            control: Some(control),
            page,
            scrubber,
            _locks: locks,
        })
    }

    /// What readers see.
    pub fn view(&self) -> &Arc<Published<View>> {
        &self.view
    }

    /// The private half, if this node is an origin.
    pub fn private(&self) -> Option<&Arc<PrivateHalf>> {
        self.commands.private.as_ref()
    }

    /// Waits for SIGTERM, SIGINT or `tekctl`'s shutdown.
    ///
    /// # Errors
    /// If the state of an origin cannot be read: the process is to end with that.
    pub fn wait(&self, signals: &mut Signals) -> Result<(), ServeError> {
        let mut asked = self.stop_asked.clone();
        let why = signals.wait(async {
            // The sender lives as long as the commands do; without them there is nothing to wait for.
            let _ = asked.wait_for(|stop| *stop).await;
            "an operator"
        });
        if let Some(e) = self.private().and_then(|private| private.failure()) {
            tracing::error!("the state cannot be read, nothing is served any more: {e}");
            return Err(e.into());
        }
        tracing::info!("{why} asked to stop: draining");
        Ok(())
    }

    /// Drains and stops: streams first, then datagrams, then the writer.
    pub fn stop(&mut self) {
        self.view.load().set_draining(true);
        self.control = None;
        self.page = None;
        self.scrubber = None;
        if let Some(streams) = self.streams.take() {
            streams.stop();
        }
        // What comes from here on goes to the sockets, which are still answered.
        self.xdp.stop();
        for worker in self.udp.drain(..) {
            if let Err(e) = worker.join() {
                tracing::error!("a UDP worker ended badly: {e}");
            }
        }
        self.upstream = None;
        if let Some(private) = &self.commands.private {
            private.stop();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.streams.is_some() {
            self.stop();
        }
    }
}

/// The private half of an origin, or the upstream of a public node.
struct Role {
    view: Arc<Published<View>>,
    private: Option<Arc<PrivateHalf>>,
    upstream: Option<Upstream>,
    journals: Option<Journals>,
    trust: PathBuf,
}

fn start_role(
    config: &Config,
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
    store: TableStore,
    ask_stop: &Arc<watch::Sender<bool>>,
) -> Result<Role, ServeError> {
    if let Some(upstream) = &config.upstream {
        if disk.inode(&config.data.join("identity")).is_ok() {
            return Err(ServeError::OriginHere { dir: config.data.clone() });
        }
        let node = u32::from(config.node.id);
        let started = Upstream::start(upstream, node, store, Arc::clone(clock))?;
        let view = Arc::clone(started.view());
        let trust = upstream.trust.clone();
        return Ok(Role { view, private: None, upstream: Some(started), journals: None, trust });
    }
    let (view, private) = start_private(config, clock, store, ask_stop)?;
    let dirs = [journal_path(&config.data)].into_iter().chain(config.journal_mirror.clone()).collect();
    let log_id = Identity::open(&**disk, &config.data)?.log_id;
    Ok(Role {
        view,
        private: Some(Arc::new(private)),
        upstream: None,
        journals: Some(Journals { disk: Arc::clone(disk), log_id, dirs }),
        trust: trust_path(&config.data),
    })
}

/// What readers see of an origin, and its private half: shown again before that is read, or after it.
fn start_private(
    config: &Config,
    clock: &Arc<dyn Clock>,
    store: TableStore,
    ask_stop: &Arc<watch::Sender<bool>>,
) -> Result<(Arc<Published<View>>, PrivateHalf), ServeError> {
    let node = u32::from(config.node.id);
    let options = OriginOptions {
        disk: Arc::clone(&store.disk),
        dir: config.data.clone(),
        segment_bytes: config.journal_segment,
    };
    let mirror = config.journal_mirror.clone();
    let empty = |service| Arc::new(Published::new(Arc::new(View::empty(service, node))));
    let (identity, sets) = match showing::look(&options, mirror.as_deref(), store.mode) {
        Ok(shown) => shown,
        Err(why) => {
            if !matches!(why, Unshown::Identity(IdentityError::Missing { .. })) {
                tracing::info!("questions are answered once the state is read: {why}");
            }
            let origin =
                Origin::open_mirrored(options, mirror.as_deref(), clock.now(), Box::new(SystemRandom))?;
            let view = empty(origin.identity().service_id);
            let origin = OriginHandle::start(origin, store, Arc::clone(&view), Arc::clone(clock))?;
            return Ok((view, PrivateHalf::whole(origin, Arc::clone(clock))?));
        }
    };
    let view = empty(identity.service_id);
    let mut builder = Builder::new(store, Arc::clone(&view));
    for set in sets {
        builder.show_again(set, clock.now().unix).map_err(StartError::from)?;
    }
    let (to, at) = (Arc::clone(&view), Arc::clone(clock));
    let read = move |reading: &Arc<Reading>| {
        let random = Box::new(SystemRandom);
        let origin = Origin::open_for(reading, options, mirror.as_deref(), at.now(), random)?;
        OriginHandle::start_with(origin, builder, to, at)
    };
    let ask_stop = Arc::clone(ask_stop);
    let failed = move || {
        ask_stop.send_replace(true);
    };
    Ok((view, PrivateHalf::read(read, Arc::clone(clock), failed)?))
}

fn make_gate(
    config: &Config,
    disk: &dyn Disk,
    view: &Arc<Published<View>>,
    counters: &Arc<AnswerCounters>,
) -> Result<Gate, ServeError> {
    let secret = Keys::open(disk, &config.data)?.cookie_secret(&mut SystemRandom)?;
    let cookies = Cookies::new(secret, view.load().service);
    let rate = config.limits.answer_rate;
    let limiter = (rate > 0).then(|| Arc::new(Limiter::new(rate, entropy::bytes(&mut SystemRandom))));
    Ok(Gate::new(Arc::clone(view), cookies, limiter, Arc::clone(counters)))
}

#[cfg(test)]
mod tests;
