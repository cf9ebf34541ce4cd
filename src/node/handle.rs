//! The origin on its threads: a writer that nobody waits for but those who asked it, and a builder and a
//! folder at their own pace.
//!
//! *A reader never waits for the writer; the writer never publishes what is not durable.* The writer thread
//! takes commands from a bounded queue, makes one group of what is there, and answers when it is durable.
//! Tables go to the builder thread and come back as one more input; so do snapshots.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::background::stand_back;
use super::builder::{BuildError, Builder, TableStore};
use super::building::{Building, Job, Make, Troubles};
use super::clock::Clock;
use super::folding::{self, Folding};
use super::latch::Latch;
use super::news::SetNews;
use super::opening_keys::{KeyWatch, Keyhole};
use super::origin::{NOBODY, Origin, OriginError};
use super::preparing;
use super::writer_counts::WriterCounts;
pub(crate) use super::writing::Answered;
pub use super::writing::{AskError, QUEUE_MAX};
use super::writing::{Command, Look, Tell, WriterThread};
use crate::engine::{Input, View};
use crate::store::Published;

/// A running origin. Dropping it stops its threads.
pub struct OriginHandle {
    commands: SyncSender<Command>,
    jobs: SyncSender<Job>,
    /// The writer's thread, the preparer's, the folder's and the builder's.
    threads: Mutex<Option<[JoinHandle<()>; 4]>>,
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
    builder.confirm(origin.state())?;
    let sets: Vec<u32> = origin.state().sets().map(|(id, _)| id).collect();
    let unfinished: Vec<u32> = origin.writer().unfinished().collect();
    for set in sets {
        let built = builder.recover(origin.state(), set)?;
        if let Some(built) = built.filter(|_| unfinished.contains(&set)) {
            origin.step(clock.now(), vec![(NOBODY, Input::Built(built))])?;
        }
        if origin.waits_for_space() {
            // Readers see it when it is durable.
            continue;
        }
        if let Some(news) = SetNews::from_origin(origin, set, clock.now().unix) {
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
    /// The thread that reads the state.
    #[error("the thread that reads the state panicked, which is a mistake of tekd: report what it said")]
    Panicked,
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
            stand_back();
            let (work, _watch) = (work, latch.watch("builder"));
            building.run(&work);
        })?;

        let hand = jobs.clone();
        let counts = Arc::clone(origin.counts());
        let (orders, ordered) = sync_channel(1);
        let (options, identity) = (origin.options().clone(), *origin.identity());
        let (back, latch) = (commands.clone(), Arc::clone(&stopped));
        let folding = thread("tekd-folder").spawn(move || {
            stand_back();
            let (ordered, _watch) = (ordered, latch.watch("folder"));
            folding::run(&ordered, &options, &identity, |folded| drop(back.send(Command::Folded(folded))));
        })?;

        let (ahead, ordered) = sync_channel(1);
        let latch = Arc::clone(&stopped);
        let preparing = thread("tekd-preparer").spawn(move || {
            stand_back();
            let (ordered, _watch) = (ordered, latch.watch("preparer"));
            preparing::run(&ordered);
        })?;

        let folder = Folding::new(orders, Arc::clone(&troubles));
        let mut state = WriterThread::new(origin, keys, clock, jobs, folder, ahead);
        let latch = Arc::clone(&stopped);
        let writing = thread("tekd-writer").spawn(move || {
            // fail-stop: who waits is let go after the latch says why, for what is below is dropped last.
            let inbox = inbox;
            let _watch = latch.watch("writer");
            state.run(&inbox, &latch);
        })?;
        let threads = Mutex::new(Some([writing, preparing, folding, building]));
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
        // Nobody is told of what is in no file yet.
        let durable = move |origin: &Origin| match origin.waits_for_space() {
            true => Err(origin.full()),
            false => Ok(look(origin)),
        };
        self.show(durable)?.recv().map_err(|_| self.gone())?.map_err(AskError::from)
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

    /// Has a snapshot made of all that is decided by now, and returns once the journal names it.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn base(&self) -> Answered {
        let (tell, answer) = sync_channel(1);
        let tell: Tell = Box::new(move |answered| drop(tell.send(answered)));
        self.send(Command::Base(tell))?;
        answer.recv().unwrap_or_else(|_| Err(self.gone()))
    }

    /// Stops the threads after what they have begun, with a last snapshot.
    pub fn stop(&self) {
        // A full queue empties; a closed one means that the writer has stopped already.
        let _ = self.commands.send(Command::Stop);
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some([writing, preparing, folding, building]) = threads else { return };
        if writing.join().is_err() {
            tracing::error!("the writer's thread panicked");
        }
        if preparing.join().is_err() {
            tracing::error!("the preparer's thread panicked");
        }
        if folding.join().is_err() {
            tracing::error!("the folder's thread panicked");
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

#[cfg(test)]
mod tests;
