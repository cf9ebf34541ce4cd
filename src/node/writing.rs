//! The writer's thread: makes one group of what is asked, answers when it is durable, hands tables to the
//! builder and snapshots to whoever folds them, and waits for neither.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use super::building::{Finished, Held, Job, Unbuilt};
use super::clock::Clock;
use super::entropy::{self, SystemRandom};
use super::folding::{Folded, Folding};
use super::latch::Latch;
use super::news::SetNews;
use super::opening_keys::KeyWatch;
use super::origin::{NOBODY, Origin, OriginError};
use crate::engine::{Alone, Committed, Input, Mend, Moment, Refusal, Reply, Ticket, Work};
use crate::store::journal::Ahead;

/// Commands that wait for the writer at most; beyond that a caller is told to come back.
pub const QUEUE_MAX: usize = 1024;
/// Commands that are looked at before a group is written, at most: who only looks keeps nobody waiting.
const GROUP_COMMANDS_MAX: usize = 256;
/// How often the writer looks at the clock when nothing else happens.
const TICK: Duration = Duration::from_millis(500);

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
    /// The state is not read yet after a start.
    #[error(
        "the state is still being read, {read} of {of} events so far: nothing is confirmed until it is whole, and \
         nothing was changed; ask again in a minute; questions are answered meanwhile"
    )]
    Reading {
        /// Events read.
        read: u64,
        /// Events there are.
        of: u64,
    },
    /// The writer is at something else; what was asked is left out.
    #[error("the writer has not answered for {0} seconds: is the disk too slow, or full?")]
    Slow(u64),
    /// A snapshot was asked for and could not be made.
    #[error("no snapshot was made, the one before stays: {0}")]
    NoSnapshot(String),
    /// The journal failed or a thread panicked; nothing is confirmed any more.
    #[error("the writer has stopped: {0}; questions are still answered from the last release")]
    Stopped(String),
}

/// What the writer answers.
pub(crate) type Answered = Result<Reply, AskError>;
/// Told the answer on the writer's thread, so it does not block; dropped if the writer stops before.
pub(super) type Tell = Box<dyn FnOnce(Answered) + Send>;
pub(super) type Look = Box<dyn FnOnce(&Origin) + Send>;
pub(super) type Act = Box<dyn FnOnce(&mut Origin, &dyn Clock) -> Vec<Input> + Send>;

/// What the writer's thread is told.
pub(super) enum Command {
    /// Decide.
    Ask(Box<Input>, Tell),
    /// Let somebody look.
    Look(Look),
    /// Let somebody prepare what is to be decided.
    Act(Act, Tell),
    /// Have a snapshot made of what is decided by now.
    Base(Tell),
    /// The builder is done.
    Finished(Finished),
    /// The folder is done.
    Folded(Folded),
    /// Go.
    Stop,
}

/// The writer on its thread.
pub(super) struct WriterThread {
    origin: Origin,
    keys: KeyWatch,
    clock: Arc<dyn Clock>,
    jobs: SyncSender<Job>,
    waiting: HashMap<Ticket, Tell>,
    /// Who waits for a release of which set. bounded: one for each set in flight.
    releasing: Vec<(u32, Ticket)>,
    next: u64,
    /// Jobs the builder has no room for yet. bounded: two tables and one show for each set.
    outbox: VecDeque<Job>,
    folding: Folding,
    /// What the journal wants to be done ahead.
    ahead: SyncSender<Ahead>,
    /// When the newest release of a set was given to the builder. bounded: one for each set.
    building: HashMap<u32, Instant>,
    /// Sets with news, and who waits to hear that they are seen: shown once the state is what the journal
    /// says. bounded: one for each set.
    unshown: BTreeMap<u32, Vec<Held>>,
    /// Sets whose table was found changed and is to be made again. bounded: one for each set.
    hurt: BTreeSet<u32>,
}

impl WriterThread {
    /// The writer of `origin`, with those it works with.
    pub(super) fn new(
        origin: Origin,
        keys: KeyWatch,
        clock: Arc<dyn Clock>,
        jobs: SyncSender<Job>,
        folding: Folding,
        ahead: SyncSender<Ahead>,
    ) -> Self {
        WriterThread {
            origin,
            keys,
            clock,
            jobs,
            waiting: HashMap::new(),
            releasing: Vec::new(),
            next: 0,
            outbox: VecDeque::new(),
            folding,
            ahead,
            building: HashMap::new(),
            unshown: BTreeMap::new(),
            hurt: BTreeSet::new(),
        }
    }

    /// Works until it is told to stop, nobody is left to ask, or something fails.
    pub(super) fn run(&mut self, inbox: &Receiver<Command>, stopped: &Latch) {
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
            let turned = self.turns(inputs).and_then(|()| if stop { Ok(()) } else { self.look_ahead() });
            if let Err(e) = turned {
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
            self.fold_when_due();
            if stop {
                break;
            }
        }
        self.leave(inbox, stopped);
    }

    /// Has done ahead what the journal wants to be; an error there is one here.
    fn look_ahead(&self) -> Result<(), OriginError> {
        if let Some(work) = self.origin.wants_ahead()? {
            // What finds no room is wanted again at the next turn.
            let _ = self.ahead.try_send(work);
        }
        Ok(())
    }

    /// Leaves a snapshot for the next start, once the folder has left the files.
    fn leave(&mut self, inbox: &Receiver<Command>, stopped: &Latch) {
        while self.folding.is_under_way() && stopped.why().is_none() {
            if let Ok(Command::Folded(folded)) = inbox.recv_timeout(TICK) {
                self.folding.done(&folded, 0);
            }
        }
        if let Err(e) = self.origin.base(self.clock.now()) {
            tracing::error!("no snapshot was left, the one before stays: {e}");
        }
        if let Err(e) = self.origin.idle() {
            tracing::error!("the writer could not note its head: {e}");
        }
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
            if matches!(command, Command::Ask(..) | Command::Look(_) | Command::Act(..) | Command::Base(_)) {
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
                Command::Base(tell) => {
                    let ticket = self.wait_for(tell);
                    self.folding.want(ticket);
                }
                Command::Folded(folded) => self.folded(folded, &mut inputs),
                Command::Finished(Finished::Waits(unbuilt)) => self.release_waits(&unbuilt),
                // Made again once the state is what the journal says.
                Command::Finished(Finished::Hurt(set)) => drop(self.hurt.insert(set)),
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
        if !self.origin.waits_for_space() {
            // What a manifest says can be sealed to can be opened before anybody reads it.
            self.keys.refresh(&self.origin, now.unix);
            std::mem::take(&mut self.hurt).into_iter().for_each(|set| self.mend(set));
        }
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
                    let told = held.extract_if(.., |(of, _)| *of == set).map(|(_, held)| held);
                    self.unshown.entry(set).or_default().extend(told);
                }
            }
        }
        for (_, told) in held {
            told();
        }
        if !self.origin.waits_for_space() {
            for (set, told) in std::mem::take(&mut self.unshown) {
                self.show(set, now.unix, told);
            }
        }
        self.releasing.retain(|(_, ticket)| self.waiting.contains_key(ticket));
        self.hand_out();
        Ok(())
    }

    /// Gives the builder what it takes to make the table of a set again, and to show it.
    fn mend(&mut self, set: u32) {
        let state = self.origin.state();
        self.outbox.extend(state.set(set).map(|s| Job::Mend(Mend::of(state, s, &Alone))));
        self.show(set, self.clock.now().unix, Vec::new());
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
        if let Some(news) = SetNews::from_origin(&self.origin, set, now) {
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

    /// Has a snapshot made if one is due or wanted.
    fn fold_when_due(&mut self) {
        let now_ms = self.clock.now().monotonic_ms;
        // A base could not be named while something waits for space.
        if self.origin.waits_for_space() || !self.folding.is_wanted(self.origin.base_is_due(), now_ms) {
            return;
        }
        // What is decided by now is named, so it is found.
        if let Err(e) = self.origin.idle() {
            tracing::error!("the writer could not note its head: {e}");
        }
        self.folding.order();
    }

    /// The journal names a snapshot that was made; who asked for it hears of it then.
    fn folded(&mut self, folded: Folded, inputs: &mut Vec<(Ticket, Input)>) {
        let asked = self.folding.done(&folded, self.clock.now().monotonic_ms);
        if let Ok((_, whole)) = &folded {
            self.origin.found_whole(*whole);
        }
        match folded {
            Ok((base, _)) if asked.is_empty() => inputs.push((NOBODY, Input::Base(base))),
            Ok((base, _)) => inputs.extend(asked.into_iter().map(|ticket| (ticket, Input::Base(base)))),
            Err(e) => {
                for ticket in asked {
                    self.answer(ticket, Err(AskError::NoSnapshot(e.clone())));
                }
            }
        }
    }
}
