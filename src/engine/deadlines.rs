//! When answers leave: each a fixed time after its question arrived, whatever it says (spec 7.1.7).
//!
//! Times are milliseconds of a clock that never goes back; whoever drives this brings them. An answer that is
//! not ready at its time leaves as soon as it is, and is counted as missed, for its time then tells
//! something.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::slot::Ticket;

/// From a question to its answer, in milliseconds.
pub const ANSWER_AFTER_MS: u64 = 250;
/// Sealed questions under way at most, from arrival to answer.
pub const MAX_SEALED: usize = 4096;

const MINUTE_MS: u64 = 60_000;
/// Minutes that are remembered.
const MINUTES: usize = 60;

const _: () = assert!(ANSWER_AFTER_MS > 0 && ANSWER_AFTER_MS < MINUTE_MS);

/// As many questions are under way as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_SEALED} sealed questions are under way, the most allowed")]
pub struct Full;

/// Deadlines that were kept and missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Punctuality {
    /// Deadlines that passed.
    pub all: u64,
    /// Of these, those at which the answer was not ready.
    pub missed: u64,
}

impl Punctuality {
    fn count(&mut self, missed: bool) {
        self.all += 1;
        self.missed += u64::from(missed);
    }
}

/// A frame that leaves, and whose it is.
pub type Leaving = (Ticket, Vec<u8>);

/// The answers that are waited for.
#[derive(Debug)]
pub struct Deadlines {
    after_ms: u64,
    next: u64,
    /// By time and ticket: answers that are not due yet.
    early: BTreeMap<(u64, u64), Option<Vec<u8>>>,
    /// When an early ticket is due.
    due: BTreeMap<u64, u64>,
    /// Tickets whose time has passed without an answer.
    late: BTreeSet<u64>,
    /// Late answers that are ready.
    at_once: VecDeque<Leaving>,
    total: Punctuality,
    /// The last hour by minutes: which minute, and what passed in it.
    minutes: [(u64, Punctuality); MINUTES],
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines::new(ANSWER_AFTER_MS)
    }
}

impl Deadlines {
    /// Answers leave `after_ms` milliseconds after their questions arrived.
    pub fn new(after_ms: u64) -> Self {
        Deadlines {
            after_ms,
            next: 1,
            early: BTreeMap::new(),
            due: BTreeMap::new(),
            late: BTreeSet::new(),
            at_once: VecDeque::new(),
            total: Punctuality::default(),
            minutes: [(0, Punctuality::default()); MINUTES],
        }
    }

    /// A question arrived: its answer is due a fixed time from now.
    ///
    /// # Errors
    /// [`Full`].
    pub fn admit(&mut self, now_ms: u64) -> Result<Ticket, Full> {
        // bounded: late answers hold their place until they leave.
        if self.waiting() >= MAX_SEALED {
            return Err(Full);
        }
        let ticket = self.next;
        self.next += 1;
        let due = now_ms.saturating_add(self.after_ms);
        self.early.insert((due, ticket), None);
        self.due.insert(ticket, due);
        Ok(Ticket(ticket))
    }

    /// The answer under `ticket` is ready. A ticket that nobody holds any more is nothing.
    pub fn ready(&mut self, now_ms: u64, ticket: Ticket, frame: Vec<u8>) {
        let id = ticket.0;
        if self.late.remove(&id) {
            self.at_once.push_back((ticket, frame));
        } else if let Some(&due) = self.due.get(&id) {
            if now_ms > due {
                self.passes(now_ms, id, due, None);
                self.ready(now_ms, ticket, frame);
            } else {
                self.early.insert((due, id), Some(frame));
            }
        }
    }

    /// What leaves now, in the order in which it was due.
    pub fn due(&mut self, now_ms: u64) -> Vec<Leaving> {
        let mut leaving: Vec<Leaving> = self.at_once.drain(..).collect();
        while let Some((&(due, id), _)) = self.early.first_key_value().filter(|((due, _), _)| *due <= now_ms)
        {
            let frame = self.early.get_mut(&(due, id)).and_then(Option::take);
            leaving.extend(self.passes(now_ms, id, due, frame));
        }
        leaving
    }

    /// A deadline passes: with the answer, or without it.
    fn passes(&mut self, now_ms: u64, id: u64, due: u64, frame: Option<Vec<u8>>) -> Option<Leaving> {
        self.early.remove(&(due, id));
        self.due.remove(&id);
        self.total.count(frame.is_none());
        let minute = now_ms / MINUTE_MS;
        let (of, passed) = &mut self.minutes[(minute % MINUTES as u64) as usize];
        if *of != minute {
            (*of, *passed) = (minute, Punctuality::default());
        }
        passed.count(frame.is_none());
        if frame.is_none() {
            self.late.insert(id);
        }
        frame.map(|frame| (Ticket(id), frame))
    }

    /// When [`Deadlines::due`] has to be asked next; 0 = at once, `None` = not before something happens.
    pub fn next_due(&self) -> Option<u64> {
        if !self.at_once.is_empty() {
            return Some(0);
        }
        self.early.first_key_value().map(|((due, _), _)| *due)
    }

    /// Questions without their answer so far.
    pub fn waiting(&self) -> usize {
        self.early.len() + self.late.len() + self.at_once.len()
    }

    /// All deadlines that ever passed.
    pub fn total(&self) -> Punctuality {
        self.total
    }

    /// Those of the last hour, to the minute.
    pub fn last_hour(&self, now_ms: u64) -> Punctuality {
        let minute = now_ms / MINUTE_MS;
        let recent = self.minutes.iter().filter(|(of, _)| minute.saturating_sub(*of) < MINUTES as u64);
        recent.fold(Punctuality::default(), |sum, (_, passed)| Punctuality {
            all: sum.all + passed.all,
            missed: sum.missed + passed.missed,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AFTER: u64 = ANSWER_AFTER_MS;

    /// Runs the clock until nothing is awaited any more; answers become ready as `made` says, by
    /// milliseconds.
    fn run(deadlines: &mut Deadlines, mut made: Vec<(u64, Ticket)>) -> Vec<(u64, Ticket)> {
        made.sort();
        let (mut now, mut made, mut left) = (0, VecDeque::from(made), Vec::new());
        while deadlines.waiting() > 0 {
            while let Some((_, ticket)) = made.pop_front_if(|(at, _)| *at <= now) {
                deadlines.ready(now, ticket, vec![1]);
            }
            left.extend(deadlines.due(now).into_iter().map(|(ticket, _)| (now, ticket)));
            let next = [deadlines.next_due(), made.front().map(|(at, _)| *at)].into_iter().flatten().min();
            now = next.unwrap_or(now).max(now + 1);
        }
        left
    }

    #[test]
    fn answers_leave_exactly_at_their_time_and_in_order() {
        let mut deadlines = Deadlines::default();
        let asked: Vec<(u64, Ticket)> =
            [0, 0, 3, 10].into_iter().map(|at| (at, deadlines.admit(at).unwrap())).collect();
        // Made in the opposite order, at times that differ by what was asked: a report, a dummy, nonsense.
        let made = asked.iter().zip([200, 7, 90, 11]).map(|((_, ticket), at)| (at, *ticket)).collect();
        let expected: Vec<(u64, Ticket)> = asked.iter().map(|(at, ticket)| (at + AFTER, *ticket)).collect();
        assert_eq!(run(&mut deadlines, made), expected);
        assert_eq!(deadlines.total(), Punctuality { all: 4, missed: 0 });
    }

    #[test]
    fn an_answer_that_is_ready_on_the_dot_is_on_time() {
        let mut deadlines = Deadlines::default();
        let ticket = deadlines.admit(5).unwrap();
        assert_eq!(deadlines.next_due(), Some(5 + AFTER));
        assert_eq!(deadlines.due(4 + AFTER), []);
        deadlines.ready(5 + AFTER, ticket, vec![9]);
        assert_eq!(deadlines.due(5 + AFTER), [(ticket, vec![9])]);
        assert_eq!(deadlines.total().missed, 0);
    }

    #[test]
    fn a_late_answer_leaves_at_once_and_is_counted_when_its_time_passes() {
        let mut deadlines = Deadlines::default();
        let (slow, fast) = (deadlines.admit(0).unwrap(), deadlines.admit(1).unwrap());
        deadlines.ready(2, fast, vec![2]);
        assert_eq!(deadlines.due(AFTER + 1), [(fast, vec![2])], "nobody waits for who is late");
        assert_eq!(deadlines.total(), Punctuality { all: 2, missed: 1 }, "counted before it is there");
        assert_eq!((deadlines.waiting(), deadlines.next_due()), (1, None));
        deadlines.ready(AFTER + 40, slow, vec![1]);
        assert_eq!(deadlines.next_due(), Some(0));
        assert_eq!(deadlines.due(AFTER + 40), [(slow, vec![1])]);
        assert_eq!((deadlines.waiting(), deadlines.total().missed), (0, 1));
    }

    #[test]
    fn an_answer_that_came_too_late_is_missed_also_if_nobody_looked_in_between() {
        let mut deadlines = Deadlines::default();
        let ticket = deadlines.admit(0).unwrap();
        deadlines.ready(AFTER + 1, ticket, vec![1]);
        assert_eq!(deadlines.due(AFTER + 9), [(ticket, vec![1])]);
        assert_eq!(deadlines.total(), Punctuality { all: 1, missed: 1 });
        deadlines.ready(AFTER + 9, ticket, vec![1]);
        assert_eq!(deadlines.waiting(), 0, "a ticket is used once");
    }

    #[test]
    fn only_so_many_are_under_way() {
        let mut deadlines = Deadlines::default();
        let tickets: Vec<Ticket> = (0..MAX_SEALED).map(|_| deadlines.admit(0).unwrap()).collect();
        assert_eq!(deadlines.admit(0), Err(Full));
        assert_eq!(deadlines.due(AFTER), []);
        assert_eq!(deadlines.admit(AFTER), Err(Full), "late ones hold their place");
        deadlines.ready(AFTER, tickets[0], vec![1]);
        assert_eq!(deadlines.due(AFTER).len(), 1);
        assert!(deadlines.admit(AFTER).is_ok());
    }

    #[test]
    fn an_hour_later_nothing_is_held_against_anyone() {
        let mut deadlines = Deadlines::default();
        deadlines.admit(0).unwrap();
        deadlines.due(AFTER);
        let missed = Punctuality { all: 1, missed: 1 };
        assert_eq!(deadlines.last_hour(AFTER), missed);
        assert_eq!(deadlines.last_hour(59 * MINUTE_MS), missed);
        assert_eq!(deadlines.last_hour(60 * MINUTE_MS), Punctuality::default());
        deadlines.admit(60 * MINUTE_MS).unwrap();
        deadlines.due(60 * MINUTE_MS + AFTER);
        assert_eq!(deadlines.last_hour(61 * MINUTE_MS), missed, "the minute's place was used again");
        assert_eq!(deadlines.total(), Punctuality { all: 2, missed: 2 });
    }

    proptest! {
        #[test]
        fn what_an_answer_took_does_not_show(
            asked in proptest::collection::vec((0u64..500, 0u64..400), 1..60),
        ) {
            let mut deadlines = Deadlines::default();
            let mut asked: Vec<(u64, u64)> = asked;
            asked.sort();
            let (mut made, mut expected) = (Vec::new(), Vec::new());
            for (at, took) in asked {
                let ticket = deadlines.admit(at).unwrap();
                made.push((at + took, ticket));
                expected.push((at + took.max(AFTER), ticket));
            }
            let mut left = run(&mut deadlines, made);
            left.sort();
            expected.sort();
            prop_assert_eq!(left, expected);
        }
    }
}
