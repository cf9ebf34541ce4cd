//! The upstream of a public node, on its threads: polls for releases, verifies them, shows them to readers.
//!
//! What is verified and kept of each set is [`Following`]'s business. A node whose upstream is gone goes on
//! with what it has, and after a restart with what it kept.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::builder::{BuildError, Builder, TableStore};
use super::clock::Clock;
use super::entropy::SystemRandom;
use super::following::{FollowError, Following, show};
use super::polls::Polls;
use crate::client::{Client, HistoryClient, SyncMode, TlsCarrier, UdpCarrier};
use crate::engine::{Random, View};
use crate::release::{MAX_TRUST_FILE, Trust, TrustFileError};
use crate::service::config;
use crate::store::{Published, read_file};

/// How often wishes of readers are looked at.
const WISH_PAUSE: Duration = Duration::from_millis(20);
/// How often a node looks whether a reader found a mapped table changed.
const MEND_PAUSE: Duration = Duration::from_millis(100);
/// How long a stop waits for a poll under way.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// Why a node cannot follow its upstream.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The trust file cannot be read.
    #[error("cannot read the trust file {}: {source}; get it from the origin's operator", file.display())]
    Trust {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The trust file says nothing usable.
    #[error("{}: {source}", file.display())]
    TrustFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: TrustFileError,
    },
    /// The address names nothing.
    #[error("the upstream address {address:?} cannot be used: {what}; give it as HOST:PORT")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        what: String,
    },
    /// What was kept of a set cannot be used or shown.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A node's upstream. Dropping it stops its threads.
pub struct Upstream {
    view: Arc<Published<View>>,
    polls: Arc<Polls>,
    /// Both threads end when these are gone.
    stop: Vec<SyncSender<()>>,
    building: Option<JoinHandle<()>>,
    polling: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

struct Followed {
    client: Client<'static>,
    following: Following,
}

impl Upstream {
    /// Starts to follow: shows what was kept from before, then polls.
    ///
    /// # Errors
    /// [`UpstreamError`]. An upstream that does not answer is none: it may come.
    pub fn start(
        config: &config::Upstream,
        node: u32,
        store: TableStore,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, UpstreamError> {
        let trust = read_trust(&store, &config.trust)?;
        let address = resolve(&config.address)?;
        let view = Arc::new(Published::new(Arc::new(View::empty(trust.service, node))));
        let mut builder = Builder::new(store.clone(), Arc::clone(&view));
        let mut sets = Vec::new();
        for set in &trust.sets {
            let following = Following::open(&mut builder, store.clone(), trust.clone(), *set)?;
            sets.push(Followed { client: client(address, &trust, *set), following });
        }
        let builder = Arc::new(Mutex::new(builder));
        let polls = Arc::new(Polls::default());
        let (stop_building, told_building) = sync_channel(1);
        let (stop_polling, told_polling) = sync_channel(1);
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let granting = Arc::clone(&builder);
        let building = thread("tekd-builder").spawn(move || grant(&granting, &told_building))?;
        let follower =
            Follower { builder, address, every: config.poll, polls: Arc::clone(&polls), clock, sets };
        let polling = thread("tekd-upstream").spawn(move || follower.run(&told_polling))?;
        let (building, polling) = (Some(building), Some(polling));
        Ok(Upstream { view, polls, stop: vec![stop_building, stop_polling], building, polling })
    }

    /// What readers see.
    pub fn view(&self) -> &Arc<Published<View>> {
        &self.view
    }

    /// How polls went.
    pub fn polls(&self) -> Arc<Polls> {
        Arc::clone(&self.polls)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.clear();
        if let Some(thread) = self.building.take() {
            let _ = thread.join();
        }
        // A question under way cannot be taken back: its thread is left to itself, and takes nothing over.
        let until = Instant::now() + STOP_WAIT;
        while let Some(thread) = self.polling.take_if(|t| t.is_finished() || Instant::now() < until) {
            if thread.is_finished() {
                let _ = thread.join();
            } else {
                self.polling = Some(thread);
                std::thread::sleep(WISH_PAUSE);
            }
        }
    }
}

fn read_trust(store: &TableStore, file: &std::path::Path) -> Result<Trust, UpstreamError> {
    let bytes = read_file(&*store.disk, file, MAX_TRUST_FILE as u64)
        .map_err(|source| UpstreamError::Trust { file: file.to_path_buf(), source })?;
    Trust::parse_json(&String::from_utf8_lossy(&bytes))
        .map_err(|source| UpstreamError::TrustFile { file: file.to_path_buf(), source })
}

fn resolve(address: &str) -> Result<SocketAddr, UpstreamError> {
    let failed = |what: String| UpstreamError::Address { address: address.to_owned(), what };
    let mut found = address.to_socket_addrs().map_err(|e| failed(e.to_string()))?;
    found.next().ok_or_else(|| failed("it names no address".to_owned()))
}

/// Small questions go by datagram, large objects by stream; an upstream that has only one of both is asked
/// by that.
fn client(address: SocketAddr, trust: &Trust, set: u32) -> Client<'static> {
    let mut random = SystemRandom;
    Client::new(
        UdpCarrier::new(address),
        trust.clone(),
        set,
        move |out: &mut [u8]| random.fill(out),
        std::thread::sleep,
    )
    .with_stream(TlsCarrier::new(address, None))
}

/// Makes what readers asked for, beside the polls: an upstream that is slow to answer delays nobody here.
fn grant(builder: &Mutex<Builder>, stop: &Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(WISH_PAUSE) {
        let mut builder = builder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(e) = builder.grant_wishes() {
            tracing::error!("an object could not be made: {e}");
        }
        builder.view().collect();
    }
}

struct Follower {
    builder: Arc<Mutex<Builder>>,
    address: SocketAddr,
    every: Duration,
    polls: Arc<Polls>,
    clock: Arc<dyn Clock>,
    sets: Vec<Followed>,
}

impl Follower {
    fn run(mut self, stop: &Receiver<()>) {
        loop {
            for followed in &mut self.sets {
                let went = followed.following.poll(&mut followed.client);
                if let Err(TryRecvError::Disconnected) = stop.try_recv() {
                    return;
                }
                let went = match went {
                    Ok(mode) => take_over(&self.builder, &followed.following, mode),
                    // no-trace: a log line says who was asked by its role.
                    Err(e) => Err(e.to_string().replace(&self.address.to_string(), "the upstream")),
                };
                let history = followed.following.history();
                if let Err(why) = &went {
                    tracing::warn!("{}: {why}", served(history, self.clock.now().unix));
                }
                self.polls.note(history.set(), went);
            }
            if !self.rest(stop) {
                return;
            }
        }
    }

    /// Waits until the next polls are due, and mends what is found changed; `false` if it is to stop.
    fn rest(&self, stop: &Receiver<()>) -> bool {
        let due = Instant::now() + self.every;
        loop {
            for followed in &self.sets {
                mend(&self.builder, followed.following.history());
            }
            let left = due.saturating_duration_since(Instant::now());
            if !matches!(stop.recv_timeout(left.min(MEND_PAUSE)), Err(RecvTimeoutError::Timeout)) {
                return false;
            }
            if left <= MEND_PAUSE {
                return true;
            }
        }
    }
}

/// Makes the table of a set again if it was changed under the node, from what was verified.
fn mend(builder: &Mutex<Builder>, history: &HistoryClient) {
    let mut builder = builder.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(file) =
        builder.hurt().find(|(set, _)| *set == history.set()).map(|(_, file)| file.to_path_buf())
    else {
        return;
    };
    let error = BuildError::Hurt { set: history.set(), file };
    match show(&mut builder, history) {
        Ok(_) => tracing::error!("{error}: that is done"),
        Err(e) => tracing::error!("{error}: that failed: {e}"),
    }
}

/// What readers get of a set that cannot be brought up to date.
fn served(history: &HistoryClient, now: u64) -> String {
    let set = history.set();
    match history.age(now) {
        Some((_, age)) => format!("set {set} is served as it was {age} s ago"),
        None => format!("set {set} is not served yet"),
    }
}

/// Shows what a poll brought, all of it verified, and keeps it.
fn take_over(builder: &Mutex<Builder>, following: &Following, mode: SyncMode) -> Result<(), String> {
    let mut builder = builder.lock().unwrap_or_else(PoisonError::into_inner);
    following.take_over(&mut builder, mode).map_err(|e| e.to_string())
}
