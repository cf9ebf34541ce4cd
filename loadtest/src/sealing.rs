//! Reports sealed before the clock starts and answers judged after it stopped, on every core: during a run
//! the processor is the server's.

use std::num::NonZero;
use std::time::Duration;

use tekd::authority::seal::AnswerKey;
use tekd::client::{Ask, Asking, NotSealed, Patience, Reply, Sealer};
use tekd::engine::Random as _;
use tekd::node::SystemRandom;
use tekd::release::Trust;
use tekd::wire::report::Outcome;
use tekd::wire::{AnswerBody, Expected, MAX_QUESTION_STREAM};

use crate::patients::Patients;
use crate::progress::Progress;

/// One report on its way.
pub(crate) struct Flight {
    /// Which patient's.
    patient: usize,
    /// The question's frame, until it is sent; then the answer's, as long as it is.
    pub(crate) frame: Vec<u8>,
    expected: Expected,
    key: AnswerKey,
    /// When it was due, from the start of the run.
    pub(crate) due: Duration,
    /// When its answer was whole; `None` if it was lost.
    pub(crate) came: Option<Duration>,
}

/// What came back for a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A receipt that verifies, for all its keys.
    Confirmed,
    /// The server asks to come back.
    Later(String),
    /// Anything else, in words.
    Wrong(String),
    /// Nothing.
    Lost,
}

/// Seals and judges for one set.
pub(crate) struct Sealing<'a> {
    pub(crate) patients: &'a Patients,
    pub(crate) sealer: &'a Sealer,
    pub(crate) trust: &'a Trust,
    pub(crate) set: u32,
}

impl Sealing<'_> {
    /// The reports of the first `count` patients.
    ///
    /// # Errors
    /// [`NotSealed`].
    pub(crate) fn seal(&self, count: usize) -> Result<Vec<Flight>, NotSealed> {
        let indices: Vec<usize> = (0..count.min(self.patients.len())).collect();
        on_all_cores("reports sealed", indices, |patient| self.flight(patient)).into_iter().collect()
    }

    fn flight(&self, patient: usize) -> Result<Flight, NotSealed> {
        let random = &mut |out: &mut [u8]| SystemRandom.fill(out);
        let (question, key) =
            self.patients.tell(patient, |author, draft| self.sealer.submission(author, draft, random))?;
        let (service, set, patience) = (self.trust.service, self.set, Patience::default());
        let asking = Asking { service, set, ask: Ask::Sealed(&question), patience };
        let mut frame = vec![0; MAX_QUESTION_STREAM];
        let (length, expected) =
            asking.write(0, 0, random, &mut frame).expect("a sealed question fits a stream's frame");
        frame.truncate(length);
        frame.shrink_to_fit();
        Ok(Flight { patient, frame, expected, key, due: Duration::ZERO, came: None })
    }

    /// What became of reports: in their order, with when they were due and answered.
    pub(crate) fn judge(&self, flights: Vec<Flight>) -> Vec<(Duration, Option<Duration>, Fate)> {
        on_all_cores("receipts verified", flights, |flight| (flight.due, flight.came, self.fate(&flight)))
    }

    fn fate(&self, flight: &Flight) -> Fate {
        if flight.came.is_none() {
            return Fate::Lost;
        }
        let reply = match Reply::read(&flight.frame, &flight.expected, true) {
            Ok(reply) => reply,
            Err(e) => return Fate::Wrong(e.to_string()),
        };
        if let Some(refused) = reply.refused() {
            return Fate::Later(refused.to_string());
        }
        let AnswerBody::Sealed(sealed) = reply.view().body else {
            return Fate::Wrong("an answer to another operation".to_owned());
        };
        let judged = self
            .patients
            .tell(flight.patient, |author, draft| self.sealer.judge(author, draft, &flight.key, sealed));
        match judged {
            Err(e) => Fate::Wrong(e.to_string()),
            Ok(answer) if answer.outcome == Outcome::Busy => Fate::Later("BUSY".to_owned()),
            Ok(answer) if answer.receipt.is_some() => Fate::Confirmed,
            Ok(answer) => Fate::Wrong(format!("the report was refused: {}", answer.outcome.name())),
        }
    }
}

/// Does `work` for each of `all`, on every core; the results are in the order of `all`.
fn on_all_cores<T: Send, R: Send>(what: &'static str, all: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let progress = Progress::new(what, all.len() as u64);
    let share = all.len().div_ceil(cores).max(1);
    let mut rest = all.into_iter();
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        loop {
            let part: Vec<T> = rest.by_ref().take(share).collect();
            if part.is_empty() {
                break;
            }
            let (work, progress) = (&work, &progress);
            threads.push(scope.spawn(move || {
                let done = part.into_iter().map(|one| {
                    progress.advance(1);
                    work(one)
                });
                done.collect::<Vec<R>>()
            }));
        }
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic in its work")).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_what_was_asked() {
        let doubled = on_all_cores("doubled", (0..1001).collect(), |n: u32| 2 * n);
        assert_eq!(doubled, (0..1001).map(|n| 2 * n).collect::<Vec<u32>>());
        assert!(on_all_cores("nothing", Vec::new(), |n: u32| n).is_empty());
    }
}
