//! The builder's thread: does one job after the other, and tries again what failed.
//!
//! A table that cannot be made leaves its release decided and not published, and news that cannot be shown
//! leave readers with the release before. Neither is given up: each set's newest of either is tried again
//! after a pause that doubles up to a minute, by the clock it is given. The log says once that something
//! fails and once that it goes on; health says it meanwhile.
//!
//! A mapped table whose file was changed under the server is made again: the writer is asked for what it
//! takes, since the builder knows nothing but tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::builder::{BuildError, Builder};
use super::clock::Clock;
use super::news::SetNews;
use crate::engine::{BuiltRelease, Mend, ReleaseOutcome, TableContext};

/// How often the builder looks for wishes.
const WISH_PAUSE: Duration = Duration::from_millis(20);
/// How long the builder waits before it tries again what failed once, in milliseconds.
const FIRST_PAUSE_MS: u64 = 1_000;
/// How long it waits at most.
const LONGEST_PAUSE_MS: u64 = 60_000;

const _: () = assert!(FIRST_PAUSE_MS <= LONGEST_PAUSE_MS);

/// Somebody who waits until readers see what he asked for; called once they do, or once it is known that
/// they do not yet. Dropped if the builder stops before.
pub(crate) type Held = Box<dyn FnOnce() + Send>;

/// What the builder is asked.
pub(crate) enum Job {
    /// Make the table of a decided release.
    Build(TableContext, ReleaseOutcome),
    /// Let readers see a set.
    Show(SetNews, Vec<Held>),
    /// Make a table again that was found changed.
    Mend(Mend),
    /// Go.
    Stop,
}

/// A release that waits because its table could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unbuilt {
    pub(crate) set: u32,
    pub(crate) serial: u32,
    pub(crate) why: String,
}

/// What the builder says to the writer.
pub(crate) enum Finished {
    /// The table is made.
    Built(BuiltRelease),
    /// It cannot be made at the moment. Said once.
    Waits(Unbuilt),
    /// The table of a set was found changed and is to be made again. Said once.
    Hurt(u32),
}

/// Makes tables and shows them.
pub(crate) trait Make: Send + 'static {
    /// Makes the table of a decided release; a failure changes nothing.
    fn build(&mut self, context: &TableContext, outcome: &ReleaseOutcome)
    -> Result<BuiltRelease, BuildError>;
    /// Lets readers see a set; a failure leaves them what they have.
    fn show(&mut self, news: &SetNews) -> Result<(), BuildError>;
    /// Makes a table again.
    fn mend(&mut self, mend: &Mend) -> Result<BuiltRelease, BuildError>;
    /// The sets whose table was found changed, and the error that says so.
    fn hurt(&self) -> Vec<(u32, BuildError)>;
    /// What is to be done in between: wishes, and memory that nobody reads any more.
    fn tidy(&mut self) -> Result<(), BuildError>;
}

impl Make for Builder {
    fn build(
        &mut self,
        context: &TableContext,
        outcome: &ReleaseOutcome,
    ) -> Result<BuiltRelease, BuildError> {
        Builder::build(self, context, outcome)
    }

    fn show(&mut self, news: &SetNews) -> Result<(), BuildError> {
        Builder::show(self, news)
    }

    fn mend(&mut self, mend: &Mend) -> Result<BuiltRelease, BuildError> {
        Builder::mend(self, mend)
    }

    fn hurt(&self) -> Vec<(u32, BuildError)> {
        let hurt = Builder::hurt(self);
        hurt.map(|(set, file)| (set, BuildError::Hurt { set, file: file.to_path_buf() })).collect()
    }

    fn tidy(&mut self) -> Result<(), BuildError> {
        let granted = self.grant_wishes().map(|_| ());
        self.view().collect();
        granted
    }
}

/// What can be put off, of a set or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Mend,
    Build,
    Show,
    Snapshot,
}

enum Task {
    Build(TableContext, ReleaseOutcome),
    Show(SetNews),
    Mend(Mend),
}

impl Task {
    fn place(&self) -> (u32, Step) {
        match self {
            Task::Build(_, outcome) => (outcome.set, Step::Build),
            Task::Show(news) => (news.set(), Step::Show),
            Task::Mend(mend) => (mend.set(), Step::Mend),
        }
    }

    fn is_in_trouble(&self, why: &str) -> String {
        match self {
            Task::Build(_, outcome) => format!(
                "release {} of set {} is decided, but its table cannot be made: {why}; it is tried again, and readers \
                 keep the release before",
                outcome.serial, outcome.set
            ),
            Task::Show(news) => format!(
                "the newest state of set {} cannot be shown: {why}; it is tried again, and readers keep what they have",
                news.set()
            ),
            Task::Mend(mend) => format!(
                "the table of set {} was found changed and cannot be made again: {why}; it is tried again, \
                 and questions about it are refused",
                mend.set()
            ),
        }
    }
}

/// What failed and is tried again. bounded: two tables and one show for each set.
struct Again {
    task: Task,
    pause_ms: u64,
    due_ms: u64,
}

/// What builder and folder cannot do at the moment, for health.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<BTreeMap<(u32, Step), String>>);

impl Troubles {
    /// A sentence for each.
    pub(crate) fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Why no snapshot can be made, if so.
    pub(crate) fn snapshot(&self, trouble: Option<String>) {
        self.set((0, Step::Snapshot), trouble);
    }

    fn set(&self, place: (u32, Step), trouble: Option<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Some(text) => drop(all.insert(place, text)),
            None => drop(all.remove(&place)),
        }
    }
}

/// The builder on its thread. `M` makes, `T` tells the writer.
pub(crate) struct Building<M, T> {
    maker: M,
    clock: Arc<dyn Clock>,
    tell: T,
    troubles: Arc<Troubles>,
    again: BTreeMap<(u32, Step), Again>,
    /// Sets whose table was found changed and is not made again yet.
    hurt: BTreeSet<u32>,
    /// Whether tidying failed the last time: the log says it once.
    untidy: bool,
}

impl<M: Make, T: Fn(Finished)> Building<M, T> {
    pub(crate) fn new(maker: M, clock: Arc<dyn Clock>, troubles: Arc<Troubles>, tell: T) -> Self {
        Building {
            maker,
            clock,
            tell,
            troubles,
            again: BTreeMap::new(),
            hurt: BTreeSet::new(),
            untidy: false,
        }
    }

    /// Works until it is told to stop or nobody is left to tell it.
    pub(crate) fn run(&mut self, work: &Receiver<Job>) {
        loop {
            match work.recv_timeout(WISH_PAUSE) {
                Ok(Job::Build(context, outcome)) => self.attempt(Task::Build(context, outcome)),
                Ok(Job::Show(news, held)) => {
                    self.attempt(Task::Show(news));
                    for told in held {
                        told();
                    }
                }
                Ok(Job::Mend(mend)) => self.attempt(Task::Mend(mend)),
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.try_again();
            self.tidy();
            self.find_hurt();
        }
    }

    fn try_again(&mut self) {
        let now = self.clock.now().monotonic_ms;
        let due: Vec<_> =
            self.again.iter().filter(|(_, a)| a.due_ms <= now).map(|(place, _)| *place).collect();
        for place in due {
            if let Some(Again { task, pause_ms, .. }) = self.again.remove(&place) {
                self.attempt_after(task, Some(pause_ms));
            }
        }
    }

    fn attempt(&mut self, task: Task) {
        // Newer news take the place of those that wait, and their pause.
        let before = self.again.remove(&task.place()).map(|again| again.pause_ms);
        self.attempt_after(task, before);
    }

    /// `pause_ms`: how long it waited since it failed the last time, if it did.
    fn attempt_after(&mut self, task: Task, pause_ms: Option<u64>) {
        let place = task.place();
        let done = match &task {
            Task::Build(context, outcome) => self.maker.build(context, outcome).map(Some),
            Task::Show(news) => self.maker.show(news).map(|()| None),
            Task::Mend(mend) => self.maker.mend(mend).map(|built| self.mended(built)),
        };
        match done {
            Ok(built) => {
                if pause_ms.is_some() {
                    self.troubles.set(place, None);
                    tracing::info!("what set {} waited for is made", place.0);
                }
                if let Some(built) = built {
                    (self.tell)(Finished::Built(built));
                }
            }
            Err(e) => self.put_off(task, pause_ms, &e.to_string()),
        }
    }

    /// Looks whether a reader found a table changed, and asks for what makes it again.
    fn find_hurt(&mut self) {
        for (set, error) in self.maker.hurt() {
            if self.hurt.insert(set) {
                tracing::error!("{error}");
                self.troubles.set((set, Step::Mend), Some(error.to_string()));
                (self.tell)(Finished::Hurt(set));
            }
        }
    }

    /// The release that waits for a table, if it is that of the one that was made again.
    fn mended(&mut self, built: BuiltRelease) -> Option<BuiltRelease> {
        self.hurt.remove(&built.set);
        self.troubles.set((built.set, Step::Mend), None);
        tracing::info!("the table of set {} is made again", built.set);
        let waits = (built.set, Step::Build);
        let serial = built.serial;
        let same = |again: &mut Again| matches!(&again.task, Task::Build(_, of) if of.serial == serial);
        self.again.get_mut(&waits).is_some_and(same).then(|| {
            self.again.remove(&waits);
            self.troubles.set(waits, None);
            built
        })
    }

    fn put_off(&mut self, task: Task, pause_ms: Option<u64>, why: &str) {
        let place = task.place();
        let trouble = task.is_in_trouble(why);
        if pause_ms.is_none() {
            tracing::error!("{trouble}");
        }
        self.troubles.set(place, Some(trouble));
        if let (None, Task::Build(_, outcome)) = (pause_ms, &task) {
            let (set, serial) = (outcome.set, outcome.serial);
            (self.tell)(Finished::Waits(Unbuilt { set, serial, why: why.to_owned() }));
        }
        let pause_ms = pause_ms.map_or(FIRST_PAUSE_MS, |before| (before * 2).min(LONGEST_PAUSE_MS));
        let due_ms = self.clock.now().monotonic_ms.saturating_add(pause_ms);
        self.again.insert(place, Again { task, pause_ms, due_ms });
    }

    fn tidy(&mut self) {
        let failed = self.maker.tidy().err();
        if let Some(e) = failed.as_ref().filter(|_| !self.untidy) {
            tracing::error!("an object could not be made: {e}");
        }
        self.untidy = failed.is_some();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::engine::Changes;
    use crate::node::SteppedClock;
    use crate::release::Schema;
    use crate::store::PublishError;

    /// Fails until it is well; counts.
    struct Failing {
        well: bool,
        asked: u32,
    }

    impl Make for Failing {
        fn build(&mut self, _: &TableContext, of: &ReleaseOutcome) -> Result<BuiltRelease, BuildError> {
            self.asked += 1;
            if !self.well {
                return Err(PublishError::ReadersStuck { waiting: 64 }.into());
            }
            Ok(BuiltRelease {
                set: of.set,
                serial: of.serial,
                count: 0,
                root: [0; 32],
                history_digest: [0; 32],
            })
        }

        fn show(&mut self, _: &SetNews) -> Result<(), BuildError> {
            Ok(())
        }

        fn mend(&mut self, _: &Mend) -> Result<BuiltRelease, BuildError> {
            Err(PublishError::ReadersStuck { waiting: 64 }.into())
        }

        fn hurt(&self) -> Vec<(u32, BuildError)> {
            Vec::new()
        }

        fn tidy(&mut self) -> Result<(), BuildError> {
            Ok(())
        }
    }

    fn release() -> Task {
        let context = TableContext { service: [1; 8], version: 7, schema: Schema::GaenMinimal };
        let outcome = ReleaseOutcome {
            set: 1,
            serial: 7,
            time: 0,
            horizon: 0,
            live: 0,
            bits: 0,
            changes: Changes::default(),
            adds: Vec::new(),
            dels: Vec::new(),
            dropped: false,
        };
        Task::Build(context, outcome)
    }

    #[test]
    fn what_fails_is_tried_less_and_less_often_but_every_minute() {
        let clock = Arc::new(SteppedClock::new(1_767_614_400));
        let troubles = Arc::new(Troubles::default());
        let (waits, built) = (RefCell::new(Vec::new()), Cell::new(0));
        let tell = |finished| match finished {
            Finished::Waits(unbuilt) => waits.borrow_mut().push(unbuilt.serial),
            Finished::Built(_) => built.set(built.get() + 1),
            Finished::Hurt(set) => panic!("the table of set {set} is whole"),
        };
        let ticking = Arc::clone(&clock) as Arc<dyn Clock>;
        let failing = Failing { well: false, asked: 0 };
        let mut building = Building::new(failing, ticking, Arc::clone(&troubles), tell);
        building.attempt(release());
        building.try_again();
        assert_eq!(building.maker.asked, 1, "not at once");
        let mut tried = Vec::new();
        for second in 1..=303 {
            clock.advance(1);
            building.try_again();
            if building.maker.asked as usize == tried.len() + 2 {
                tried.push(second);
            }
        }
        assert_eq!(tried, [1, 3, 7, 15, 31, 63, 123, 183, 243, 303]);
        assert_eq!(*waits.borrow(), [7], "it is said once");
        assert_eq!(troubles.list().len(), 1);

        building.maker.well = true;
        clock.advance(60);
        building.try_again();
        assert_eq!((built.get(), troubles.list().len(), building.again.len()), (1, 0, 0));
        building.try_again();
        assert_eq!(built.get(), 1);
    }
}
