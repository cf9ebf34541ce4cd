//! The upstream of a public node: pulls releases, verifies them, and shows them to readers.
//!
//! verified-before-served: what readers get is built from a history that matched a checkpoint signed under
//! the node's trust.
//! A node whose upstream is gone goes on with what it has, and after a restart with what it kept.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::builder::{BuildError, Builder, SetNews, TableStore};
use super::clock::Clock;
use super::entropy::SystemRandom;
use super::origin::set_path;
use crate::client::{
    Client, ClientError, History, HistoryClient, StateFileError, SyncMode, TlsCarrier, UdpCarrier,
    load_state, save_state,
};
use crate::engine::{Random, View};
use crate::release::{MAX_TRUST_FILE, Trust, TrustFileError};
use crate::service::config;
use crate::store::{Published, read_file};

/// How often wishes of readers are looked at between two polls.
const WISH_PAUSE: Duration = Duration::from_millis(20);

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
    /// What was kept of a set cannot be read.
    #[error(transparent)]
    State(#[from] StateFileError),
    /// A table cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// How a set's last poll went.
#[derive(Debug, Clone, Default)]
pub struct PollState {
    /// Polls that ended with the newest version held.
    pub done: u64,
    /// Polls that failed.
    pub failed: u64,
    /// Why the last one failed, if it did.
    pub error: Option<String>,
}

/// A node's upstream. Dropping it stops its thread.
pub struct Upstream {
    view: Arc<Published<View>>,
    polls: Arc<Mutex<PollState>>,
    stop: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

struct Followed {
    client: Client<'static>,
    history: HistoryClient,
    state: Option<PathBuf>,
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
            let state = store.dir.as_ref().map(|dir| set_path(dir, *set).join("node.state"));
            if let (Some(dir), Some(_)) = (&store.dir, &state) {
                store.disk.create_dir(&set_path(dir, *set))?;
            }
            let history = match &state {
                Some(file) => load_state::<History>(file, trust.clone(), *set)?,
                None => HistoryClient::new(trust.clone(), *set),
            };
            show(&mut builder, &history)?;
            sets.push(Followed { client: client(address, &trust, *set), history, state });
        }
        let polls = Arc::new(Mutex::new(PollState::default()));
        let (stop, stopped) = sync_channel(1);
        let (poll, told) = (config.poll, Arc::clone(&polls));
        let thread = std::thread::Builder::new()
            .name("tekd-upstream".to_owned())
            .spawn(move || follow(&mut builder, &mut sets, poll, &stopped, &told, &*clock))?;
        Ok(Upstream { view, polls, stop, thread: Some(thread) })
    }

    /// What readers see.
    pub fn view(&self) -> &Arc<Published<View>> {
        &self.view
    }

    /// How polls went.
    pub fn polls(&self) -> Arc<Mutex<PollState>> {
        Arc::clone(&self.polls)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // A full or closed channel means that it is stopping already.
        let _ = self.stop.try_send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
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

fn follow(
    builder: &mut Builder,
    sets: &mut [Followed],
    poll: Duration,
    stop: &Receiver<()>,
    polls: &Mutex<PollState>,
    clock: &dyn Clock,
) {
    loop {
        for followed in sets.iter_mut() {
            let went = pull(builder, followed);
            let mut state = polls.lock().unwrap_or_else(PoisonError::into_inner);
            match went {
                Ok(()) => {
                    state.done += 1;
                    state.error = None;
                }
                Err(why) => {
                    state.failed += 1;
                    let set = followed.history.set();
                    let age = followed.history.age(clock.now().unix).map_or(0, |(_, age)| age);
                    tracing::warn!("set {set} is served as it was {age} s ago: {why}");
                    state.error = Some(why);
                }
            }
        }
        let next = Instant::now() + poll;
        while Instant::now() < next {
            match stop.recv_timeout(WISH_PAUSE) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Err(e) = builder.grant_wishes() {
                tracing::error!("an object could not be made: {e}");
            }
            builder.view().collect();
        }
    }
}

/// One poll: everything in it is verified before readers see it.
fn pull(builder: &mut Builder, followed: &mut Followed) -> Result<(), String> {
    let report =
        followed.client.sync(&mut followed.history, false).map_err(|e: ClientError| e.to_string())?;
    if report.mode != SyncMode::Current || builder.table(followed.history.set()).is_none() {
        show(builder, &followed.history).map_err(|e| e.to_string())?;
        if let Some(file) = &followed.state {
            save_state(file, &followed.history).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// Lets readers see what a history holds, all of it verified.
pub(super) fn show(builder: &mut Builder, history: &HistoryClient) -> Result<(), BuildError> {
    let Some(news) = SetNews::verified(history) else { return Ok(()) };
    if let (Some(data), Some(checkpoint)) = (history.data(), history.checkpoint()) {
        builder.adopt(checkpoint, data)?;
    }
    builder.show(&news)
}
