//! The origin on its threads: a writer that nobody waits for but those who asked it, and a builder at its
//! own pace.
//!
//! *A reader never waits for the writer; the writer never publishes what is not durable.* The writer thread
//! takes commands from a bounded queue, makes one group of what is there, and answers when it is durable.
//! Tables go to the builder thread and come back as one more input.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::builder::{BuildError, Builder, SetNews, TableStore};
use super::building::{Building, Finished, Held, Job, Make, Troubles, Unbuilt};
use super::clock::Clock;
use super::directory::snapshots_path;
use super::entropy::{self, SystemRandom};
use super::latch::Latch;
use super::opening_keys::{KeyWatch, Keyhole};
use super::origin::{NOBODY, Origin, OriginError, write_snapshot};
use super::writer_counts::WriterCounts;
use crate::engine::{Committed, Input, Moment, Refusal, Reply, Ticket, View, Work};
use crate::store::Published;

/// Commands that wait for the writer at most; beyond that a caller is told to come back.
pub const QUEUE_MAX: usize = 1024;
/// Commands that are looked at before a group is written, at most: who only looks keeps nobody waiting.
const GROUP_COMMANDS_MAX: usize = 256;
/// How often the writer looks at the clock when nothing else happens.
const TICK: Duration = Duration::from_millis(500);
/// Events after which a snapshot is written without being asked for.
const SNAPSHOT_EVENTS: u64 = 100_000;

const _: () = assert!(GROUP_COMMANDS_MAX <= QUEUE_MAX);

/// Why a command got no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AskError {
    /// The writer refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The queue is full.
    #[error(
        "{QUEUE_MAX} commands wait already, the most allowed; nothing was changed: ask again in a second"
    )]
    Busy,
    /// The release that was asked for is decided, but cannot be published yet.
    #[error(
        "release {serial} of set {set} is decided, but its table cannot be made: {why}; it is tried again and comes out \
         once it can be made; `tekctl health` shows how it stands"
    )]
    Unbuilt {
        /// The set.
        set: u32,
        /// The release.
        serial: u32,
        /// What failed.
        why: String,
    },
    /// The writer is at something else; what was asked is left out.
    #[error("the writer has not answered for {0} seconds: is the disk too slow, or full?")]
    Slow(u64),
    /// The journal failed or a thread panicked; nothing is confirmed any more.
    #[error("the writer has stopped: {0}; questions are still answered from the last release")]
    Stopped(String),
}

/// What the writer answers.
pub(crate) type Answered = Result<Reply, AskError>;
/// Told the answer on the writer's thread, so it does not block; dropped if the writer stops before.
type Tell = Box<dyn FnOnce(Answered) + Send>;
type Look = Box<dyn FnOnce(&Origin) + Send>;
type Act = Box<dyn FnOnce(&mut Origin, &dyn Clock) -> Vec<Input> + Send>;

enum Command {
    Ask(Box<Input>, Tell),
    Look(Look),
    Act(Act, Tell),
    Finished(Finished),
    Stop,
}

/// A running origin. Dropping it stops its threads.
pub struct OriginHandle {
    commands: SyncSender<Command>,
    jobs: SyncSender<Job>,
    /// The writer's thread and the builder's.
    threads: Mutex<Option<[JoinHandle<()>; 2]>>,
    stopped: Arc<Latch>,
    troubles: Arc<Troubles>,
    view: Arc<Published<View>>,
    keyhole: Arc<Keyhole>,
    counts: Arc<WriterCounts>,
}

impl std::fmt::Debug for OriginHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OriginHandle").finish_non_exhaustive()
    }
}

/// Brings tables and readers up to the state of a freshly opened origin: builds what is missing, finishes
/// releases that were decided but not published.
///
/// # Errors
/// If a table cannot be made or the journal fails.
pub fn bring_up(origin: &mut Origin, builder: &mut Builder, clock: &dyn Clock) -> Result<(), StartError> {
    let sets: Vec<u32> = origin.state().sets().map(|(id, _)| id).collect();
    let unfinished: Vec<u32> = origin.writer().unfinished().collect();
    for set in sets {
        let built = builder.recover(origin.state(), set)?;
        if let Some(built) = built.filter(|_| unfinished.contains(&set)) {
            origin.step(clock.now(), vec![(NOBODY, Input::Built(built))])?;
        }
        if let Some(news) = SetNews::of(origin.state(), set, clock.now().unix) {
            builder.show(&news)?;
        }
    }
    // Who reads the journal's files finds what was finished just now.
    origin.idle()?;
    Ok(())
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The origin.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// A table.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl OriginHandle {
    /// Starts the threads of `origin`, publishing to `view`.
    ///
    /// # Errors
    /// If its tables cannot be made or a thread cannot be started.
    pub fn start(
        origin: Origin,
        store: TableStore,
        view: Arc<Published<View>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        Self::start_with(origin, Builder::new(store, Arc::clone(&view)), view, clock)
    }

    /// As [`OriginHandle::start`], with a builder of `view` that may have opened generations.
    pub(super) fn start_with(
        mut origin: Origin,
        mut builder: Builder,
        view: Arc<Published<View>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        bring_up(&mut origin, &mut builder, &*clock)?;
        Self::with_maker(origin, builder, view, clock)
    }

    /// Starts the threads of an origin whose tables are made.
    fn with_maker(
        origin: Origin,
        maker: impl Make,
        view: Arc<Published<View>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let keys = KeyWatch::new(&origin, clock.now().unix)?;
        let keyhole = Arc::clone(keys.keyhole());
        let (commands, inbox) = sync_channel(QUEUE_MAX);
        let (jobs, work) = sync_channel(QUEUE_MAX);
        let (stopped, troubles) = (Arc::new(Latch::default()), Arc::new(Troubles::default()));
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());

        let back = commands.clone();
        // A writer that is gone needs to know of nothing.
        let tell = move |finished| drop(back.send(Command::Finished(finished)));
        let mut building = Building::new(maker, Arc::clone(&clock), Arc::clone(&troubles), tell);
        let latch = Arc::clone(&stopped);
        let building = thread("tekd-builder").spawn(move || {
            let (work, _watch) = (work, latch.watch("builder"));
            building.run(&work);
        })?;

        let hand = jobs.clone();
        let counts = Arc::clone(origin.counts());
        if let Some(newest) = newest_file(&snapshots_path(&origin.options().dir)) {
            counts.snapshot_at(newest);
        }
        let mut state = WriterThread {
            origin,
            keys,
            clock,
            jobs,
            waiting: HashMap::new(),
            releasing: Vec::new(),
            next: 0,
            outbox: VecDeque::new(),
            snapshot_at: 0,
            building: HashMap::new(),
        };
        let latch = Arc::clone(&stopped);
        let writing = thread("tekd-writer").spawn(move || {
            // fail-stop: who waits is let go after the latch says why, for what is below is dropped last.
            let inbox = inbox;
            let _watch = latch.watch("writer");
            state.run(&inbox, &latch);
        })?;
        let threads = Mutex::new(Some([writing, building]));
        Ok(OriginHandle { commands, jobs: hand, threads, stopped, troubles, view, keyhole, counts })
    }

    /// What readers see.
    pub fn view(&self) -> &Arc<Published<View>> {
        &self.view
    }

    /// Why the writer has stopped, if it has: the journal failed, or a thread panicked.
    pub fn stopped(&self) -> Option<String> {
        self.stopped.why()
    }

    /// What the builder could not do and tries again, a sentence for each.
    pub fn troubles(&self) -> Vec<String> {
        self.troubles.list()
    }

    /// Asks the writer and waits until its answer is durable.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn ask(&self, input: Input) -> Answered {
        let (tell, answer) = sync_channel(1);
        // Who asked may have gone; what was decided stays decided.
        self.ask_then(input, move |answered| drop(tell.send(answered)))?;
        answer.recv().unwrap_or_else(|_| Err(self.gone()))
    }

    /// Asks the writer and goes on; `tell` is called on its thread once the answer is durable, and must not
    /// block. It is dropped without a call if the writer stops before.
    ///
    /// # Errors
    /// [`AskError::Busy`] or [`AskError::Stopped`]; `tell` is then dropped.
    pub(crate) fn ask_then(
        &self,
        input: Input,
        tell: impl FnOnce(Answered) + Send + 'static,
    ) -> Result<(), AskError> {
        self.send(Command::Ask(Box::new(input), Box::new(tell)))
    }

    /// What its threads count.
    pub fn counts(&self) -> &Arc<WriterCounts> {
        &self.counts
    }

    /// What sealed questions are opened with.
    pub fn keyhole(&self) -> &Arc<Keyhole> {
        &self.keyhole
    }

    /// Lets `look` see the origin between two groups and returns what it found.
    ///
    /// # Errors
    /// [`AskError`] if the writer is gone.
    pub fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Origin) -> T + Send + 'static,
    ) -> Result<T, AskError> {
        self.show(look)?.recv().map_err(|_| self.gone())
    }

    /// As [`OriginHandle::look`], but waits for `patience` at most.
    ///
    /// # Errors
    /// [`AskError`] if the writer is gone or at something that takes longer.
    pub fn look_within<T: Send + 'static>(
        &self,
        patience: Duration,
        look: impl FnOnce(&Origin) -> T + Send + 'static,
    ) -> Result<T, AskError> {
        self.show(look)?.recv_timeout(patience).map_err(|e| match e {
            RecvTimeoutError::Timeout => AskError::Slow(patience.as_secs()),
            RecvTimeoutError::Disconnected => self.gone(),
        })
    }

    fn show<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Origin) -> T + Send + 'static,
    ) -> Result<Receiver<T>, AskError> {
        let (tell, answer) = sync_channel(1);
        // Who asked may have gone.
        let look: Look = Box::new(move |origin| drop(tell.send(look(origin))));
        self.send(Command::Look(look))?;
        Ok(answer)
    }

    /// Lets `act` prepare inputs with the origin in hand, and asks the writer for them; the answer is the
    /// last one's.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn act(&self, act: impl FnOnce(&mut Origin, &dyn Clock) -> Vec<Input> + Send + 'static) -> Answered {
        let (tell, answer) = sync_channel(1);
        let tell: Tell = Box::new(move |answered| drop(tell.send(answered)));
        self.send(Command::Act(Box::new(act), tell))?;
        answer.recv().unwrap_or_else(|_| Err(self.gone()))
    }

    /// Stops the threads after what they have begun, with a last snapshot.
    pub fn stop(&self) {
        // A full queue empties; a closed one means that the writer has stopped already.
        let _ = self.commands.send(Command::Stop);
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some([writing, building]) = threads else { return };
        if writing.join().is_err() {
            tracing::error!("the writer's thread panicked");
        }
        // fail-stop: the builder outlives a writer that failed, for readers go on asking; it ends here.
        let _ = self.jobs.send(Job::Stop);
        if building.join().is_err() {
            tracing::error!("the builder's thread panicked");
        }
    }

    fn send(&self, command: Command) -> Result<(), AskError> {
        self.counts.queues();
        self.commands.try_send(command).map_err(|e| {
            self.counts.leaves();
            match e {
                TrySendError::Full(_) => AskError::Busy,
                TrySendError::Disconnected(_) => self.gone(),
            }
        })
    }

    fn gone(&self) -> AskError {
        AskError::Stopped(self.stopped().unwrap_or_else(|| "tekd is stopping".to_owned()))
    }
}

impl Drop for OriginHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

struct WriterThread {
    origin: Origin,
    keys: KeyWatch,
    clock: Arc<dyn Clock>,
    jobs: SyncSender<Job>,
    waiting: HashMap<Ticket, Tell>,
    /// Who waits for a release of which set. bounded: one for each set in flight.
    releasing: Vec<(u32, Ticket)>,
    next: u64,
    /// Jobs the builder has no room for yet. bounded: one table and one show for each set.
    outbox: VecDeque<Job>,
    /// Sequence number of the newest snapshot made here.
    snapshot_at: u64,
    /// When the newest release of a set was given to the builder. bounded: one for each set.
    building: HashMap<u32, Instant>,
}

impl WriterThread {
    fn run(&mut self, inbox: &Receiver<Command>, stopped: &Latch) {
        self.snapshot_at = self.origin.state().seq();
        let mut dirty = false;
        loop {
            let first = match inbox.recv_timeout(TICK) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Some(why) = stopped.why() {
                // fail-stop: without the builder nothing comes out any more, and nothing is taken in.
                tracing::error!("the writer stops: {why}");
                break;
            }
            let idle = first.is_none();
            let (inputs, stop) = self.gather(first, inbox);
            let before = self.origin.head().gno;
            if let Err(e) = self.turns(inputs) {
                // fail-stop: nothing is confirmed any more; readers go on.
                tracing::error!("the writer stops: {e}");
                stopped.set(e.to_string());
                return;
            }
            dirty |= self.origin.head().gno != before;
            if idle && dirty {
                dirty = false;
                if let Err(e) = self.origin.idle() {
                    tracing::error!("the writer could not note its head: {e}");
                }
            }
            self.snapshot_when_due(SNAPSHOT_EVENTS);
            if stop {
                break;
            }
        }
        if let Err(e) = self.origin.idle() {
            tracing::error!("the writer could not note its head: {e}");
        }
        self.snapshot_when_due(1);
    }

    /// One turn, and another for a new seal key if the clock that the first one saw makes one due.
    fn turns(&mut self, inputs: Vec<(Ticket, Input)>) -> Result<(), OriginError> {
        let now = self.clock.now();
        self.turn(now, inputs)?;
        match self.next_seal_key(now.unix) {
            Some(made) => self.turn(now, vec![(NOBODY, made)]),
            None => Ok(()),
        }
    }

    fn next_seal_key(&self, now: u64) -> Option<Input> {
        if !self.origin.seal_key_is_due(now) {
            return None;
        }
        self.origin.next_seal_key(now, entropy::bytes(&mut SystemRandom)).unwrap_or_else(|e| {
            tracing::error!("no new seal key was made, the one before goes on: {e}");
            None
        })
    }

    /// What is to be decided in this turn, and whether it is the last.
    fn gather(
        &mut self,
        mut first: Option<Command>,
        inbox: &Receiver<Command>,
    ) -> (Vec<(Ticket, Input)>, bool) {
        let mut inputs = Vec::new();
        for _ in 0..GROUP_COMMANDS_MAX {
            let Some(command) = first.take().or_else(|| inbox.try_recv().ok()) else { break };
            if matches!(command, Command::Ask(..) | Command::Look(_) | Command::Act(..)) {
                self.origin.counts().leaves();
            }
            match command {
                Command::Ask(input, tell) => {
                    let ticket = self.wait_for(tell);
                    inputs.push((ticket, *input));
                }
                Command::Look(look) => look(&self.origin),
                Command::Act(act, tell) => {
                    let mut made = act(&mut self.origin, &*self.clock);
                    let ticket = self.wait_for(tell);
                    if let Some(last) = made.pop() {
                        inputs.extend(made.into_iter().map(|input| (NOBODY, input)));
                        inputs.push((ticket, last));
                    } else {
                        self.answer(ticket, Ok(Reply::Done));
                    }
                }
                Command::Finished(Finished::Built(built)) => {
                    if let Some(began) = self.building.remove(&built.set) {
                        self.origin.counts().built(began.elapsed());
                    }
                    inputs.push((NOBODY, Input::Built(built)));
                }
                Command::Finished(Finished::Waits(unbuilt)) => self.release_waits(&unbuilt),
                Command::Stop => return (inputs, true),
            }
        }
        inputs.push((NOBODY, Input::Tick));
        (inputs, false)
    }

    fn wait_for(&mut self, tell: Tell) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        self.waiting.insert(ticket, tell);
        ticket
    }

    /// Tells who asked for a release that it is decided but does not come out yet.
    fn release_waits(&mut self, unbuilt: &Unbuilt) {
        let of_it: Vec<_> = self.releasing.extract_if(.., |(set, _)| *set == unbuilt.set).collect();
        for (_, ticket) in of_it {
            let Unbuilt { set, serial, why } = unbuilt.clone();
            self.answer(ticket, Err(AskError::Unbuilt { set, serial, why }));
        }
    }

    fn answer(&mut self, ticket: Ticket, reply: Answered) {
        if let Some(tell) = self.waiting.remove(&ticket) {
            tell(reply);
        }
    }

    fn turn(&mut self, now: Moment, inputs: Vec<(Ticket, Input)>) -> Result<(), OriginError> {
        self.releasing.extend(inputs.iter().filter_map(|(ticket, input)| match input {
            Input::Release { set, .. } => Some((*set, *ticket)),
            _ => None,
        }));
        let Committed { replies, work } = self.origin.step(now, inputs)?;
        // What a manifest says can be sealed to can be opened before anybody reads it.
        self.keys.refresh(&self.origin, now.unix);
        let mut held = Vec::new();
        for (ticket, reply) in replies {
            match reply {
                // Who is told of a release finds it: the answer goes out once readers see it.
                Ok(Reply::Released(summary)) => {
                    if let Some(tell) = self.waiting.remove(&ticket) {
                        let set = summary.set;
                        let told: Held = Box::new(move || tell(Ok(Reply::Released(summary))));
                        held.push((set, told));
                    }
                }
                reply => self.answer(ticket, reply.map_err(AskError::from)),
            }
        }
        for work in work {
            match work {
                Work::Build(context, outcome) => {
                    self.building.insert(outcome.set, Instant::now());
                    self.outbox.push_back(Job::Build(context, outcome));
                }
                Work::Publish { set, .. } | Work::Show { set } => {
                    let told = held.extract_if(.., |(of, _)| *of == set).map(|(_, held)| held).collect();
                    self.show(set, now.unix, told);
                }
            }
        }
        for (_, told) in held {
            told();
        }
        self.releasing.retain(|(_, ticket)| self.waiting.contains_key(ticket));
        self.hand_out();
        Ok(())
    }

    /// Puts the newest news of a set in the outbox, in place of older ones that are still there.
    fn show(&mut self, set: u32, now: u64, mut held: Vec<Held>) {
        self.outbox.retain_mut(|job| match job {
            Job::Show(news, older) if news.set() == set => {
                held.append(older);
                false
            }
            _ => true,
        });
        if let Some(news) = SetNews::of(self.origin.state(), set, now) {
            self.outbox.push_back(Job::Show(news, held));
        }
    }

    /// Gives the builder as much as it has room for; the writer never waits for it.
    fn hand_out(&mut self) {
        while let Some(job) = self.outbox.pop_front() {
            if let Err(TrySendError::Full(job)) = self.jobs.try_send(job) {
                self.outbox.push_front(job);
                return;
            }
        }
    }

    fn snapshot_when_due(&mut self, events: u64) {
        if self.origin.state().seq() < self.snapshot_at + events {
            return;
        }
        let (head, payload) = self.origin.snapshot();
        self.snapshot_at = self.origin.state().seq();
        match write_snapshot(self.origin.options(), self.origin.identity(), &head, &payload) {
            Ok(_) => {
                self.origin.counts().snapshot_at(self.clock.now().unix);
                tracing::info!("snapshot at event {} written", head.seq);
            }
            Err(e) => tracing::error!("no snapshot was written, the one before stays: {e}"),
        }
    }
}

/// When the newest file of a directory was written, Unix seconds.
fn newest_file(dir: &Path) -> Option<u64> {
    let written = |entry: std::fs::DirEntry| {
        let modified = entry.metadata().ok()?.modified().ok()?;
        Some(modified.duration_since(UNIX_EPOCH).ok()?.as_secs())
    };
    std::fs::read_dir(dir).ok()?.filter_map(|entry| written(entry.ok()?)).max()
}

#[cfg(test)]
mod tests;
