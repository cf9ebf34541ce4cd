//! The origin on one thread, for the demo, tests and the simulation.
//!
//! Writer, builder and readers of one data directory, driven turn by turn on whatever clock it is given: the
//! same parts that [`OriginHandle`](super::OriginHandle) runs on threads of their own, without the threads.

use std::sync::Arc;

use super::builder::{BuildError, Builder, TableStore};
use super::clock::Clock;
use super::entropy::{self, SystemRandom};
use super::handle::{StartError, bring_up};
use super::news::SetNews;
use super::opening_keys::{KeyWatch, Keyhole};
use super::origin::{NOBODY, Origin, OriginError, OriginOptions};
use crate::engine::{
    Committed, Input, Opened, Random, Refusal, ReleaseOutcome, Reply, ReportReply, ReportRequest, Ticket,
    View, Work, open_sealed, sealed_answer, unopened_answer,
};
use crate::store::{MemoryMode, Published};
use crate::wire::report::Outcome;
use crate::wire::{Body, HEADER_LEN, Parsed, Question, ResultCode, parse, refuse, version_answer};

/// The ticket of the one input of a turn.
const ASKED: Ticket = Ticket(1);

const _: () = assert!(ASKED.0 != NOBODY.0);

/// Why a turn did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The writer refuses; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal failed: the origin must not be used any more (fail-stop).
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// A table or an object cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// An origin with its builder, on the thread of whoever calls it.
pub struct SingleOrigin {
    origin: Origin,
    builder: Builder,
    keys: KeyWatch,
    clock: Arc<dyn Clock>,
    /// For secrets of seal keys and nonces of answers.
    secrets: Box<dyn Random>,
    /// The journal failed under a sealed question.
    stopped: bool,
}

impl std::fmt::Debug for SingleOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SingleOrigin").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// What one turn let out.
#[derive(Default)]
struct Turned {
    reply: Option<Reply>,
    releases: Vec<ReleaseOutcome>,
}

impl SingleOrigin {
    /// Opens or founds the origin of a data directory and shows its newest release to readers.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn open(
        options: OriginOptions,
        mode: MemoryMode,
        clock: Arc<dyn Clock>,
        random: Box<dyn Random>,
    ) -> Result<Self, StartError> {
        let origin = Origin::open(options, clock.now(), random)?;
        SingleOrigin::over(origin, mode, clock, Box::new(SystemRandom))
    }

    /// Goes on with an origin that was just opened, and shows its newest release to readers. All it draws
    /// itself, secrets of seal keys and nonces of answers, it draws from `secrets`.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn over(
        mut origin: Origin,
        mode: MemoryMode,
        clock: Arc<dyn Clock>,
        secrets: Box<dyn Random>,
    ) -> Result<Self, StartError> {
        let OriginOptions { disk, dir, .. } = origin.options().clone();
        let store = TableStore { disk, dir: Some(dir), mode };
        let view = Arc::new(Published::new(Arc::new(View::empty(origin.identity().service_id, 0))));
        let mut builder = Builder::new(store, view);
        bring_up(&mut origin, &mut builder, &*clock)?;
        let keys = KeyWatch::new(&origin, clock.now().unix)?;
        Ok(SingleOrigin { origin, builder, keys, clock, secrets, stopped: false })
    }

    /// Decides about `input`, makes the decision durable, and finishes all work that follows from it, up to
    /// what readers see. The reply to a release comes when it is published.
    ///
    /// # Errors
    /// [`TurnError`].
    pub fn turn(&mut self, input: Input) -> Result<Reply, TurnError> {
        Ok(self.run(ASKED, input)?.reply.unwrap_or(Reply::Done))
    }

    /// Lets the writer look at the clock. Returns the releases that were due, all of them published.
    ///
    /// # Errors
    /// [`TurnError`].
    pub fn tick(&mut self) -> Result<Vec<ReleaseOutcome>, TurnError> {
        let releases = self.run(NOBODY, Input::Tick)?.releases;
        // After the clock was looked at: one that is not believed makes no key.
        let secret = entropy::bytes(&mut *self.secrets);
        if let Some(input) = self.origin.next_seal_key(self.clock.now().unix, secret)? {
            self.run(NOBODY, input)?;
        }
        Ok(releases)
    }

    fn run(&mut self, ticket: Ticket, input: Input) -> Result<Turned, TurnError> {
        let mut turned = Turned::default();
        let mut inputs = vec![(ticket, input)];
        while !inputs.is_empty() {
            let now = self.clock.now();
            let Committed { replies, work } = self.origin.step_now(now, std::mem::take(&mut inputs))?;
            self.keys.refresh(&self.origin, now.unix);
            for (ticket, reply) in replies {
                let reply = reply?;
                if ticket == ASKED {
                    turned.reply = Some(reply);
                }
            }
            for work in work {
                match work {
                    Work::Build(context, outcome) => {
                        inputs.push((NOBODY, Input::Built(self.builder.build(&context, &outcome)?)));
                        turned.releases.push(outcome);
                    }
                    Work::Publish { set, .. } | Work::Show { set } => {
                        if let Some(news) = SetNews::from_origin(&self.origin, set, now.unix) {
                            self.builder.show(&news)?;
                        }
                    }
                }
            }
        }
        self.builder.view().collect();
        Ok(turned)
    }

    /// Answers a frame that came on a stream as a server does that takes nothing but SEALED: with 4096
    /// bytes, or a refusal of 64, or nothing. The answer is durable and there at once: deadlines are for
    /// who has threads.
    pub fn answer_sealed(&mut self, frame: &[u8]) -> Vec<u8> {
        let now = self.clock.now().unix;
        self.keys.refresh(&self.origin, now);
        let keys = self.keys.keyhole().look();
        let refused = |header: &Question, result| {
            let mut out = vec![0; HEADER_LEN];
            refuse(header, result, 0, 0, 0, &mut out);
            out
        };
        let (header, question) = match parse(frame, &keys.service, true) {
            Parsed::Silent(_) => return Vec::new(),
            Parsed::Question(header, Body::Sealed(question)) => (header, question),
            Parsed::Question(header, _) => return refused(header, ResultCode::Refused),
            Parsed::OtherVersion(header) => {
                let mut out = vec![0; HEADER_LEN];
                version_answer(header, &mut out);
                return out;
            }
            Parsed::Refuse { result, header, .. } => return refused(header, result),
        };
        if self.view().load().set(header.set.get()).is_none() {
            return refused(header, ResultCode::Set);
        }
        if let Err(result) = keys.accepts(now, question) {
            return refused(header, result);
        }
        let Ok(Opened { request, answer_key }) = open_sealed(&keys, header, question) else {
            return unopened_answer(header, &entropy::bytes(&mut *self.secrets));
        };
        let reply = match request {
            Ok(request) => self.decide(request),
            Err(_) => ReportReply::of(Outcome::Malformed, now),
        };
        sealed_answer(header, &answer_key, entropy::bytes(&mut *self.secrets), &reply)
    }

    fn decide(&mut self, request: ReportRequest) -> ReportReply {
        let busy = ReportReply::busy(self.clock.now().unix);
        if self.stopped {
            return busy;
        }
        match self.turn(Input::Report(Box::new(request))) {
            Ok(Reply::Report(reply)) => *reply,
            // fail-stop: nothing is confirmed any more.
            Err(e) => {
                tracing::error!("the origin stops taking reports: {e}");
                self.stopped = true;
                busy
            }
            Ok(_) => busy,
        }
    }

    /// Makes the objects that readers asked for and did not get.
    ///
    /// # Errors
    /// If an object cannot be made.
    pub fn grant_wishes(&mut self) -> Result<usize, BuildError> {
        self.builder.grant_wishes()
    }

    /// Makes a snapshot that the journal names, if anything came since the newest.
    ///
    /// # Errors
    /// If the disk fails; where the journal did, the origin must not be used any more (fail-stop).
    pub fn base(&mut self) -> Result<(), OriginError> {
        self.origin.base(self.clock.now())
    }

    /// Notes the journal's head where other readers of the directory find it.
    ///
    /// # Errors
    /// If the journal fails.
    pub fn idle(&mut self) -> Result<(), OriginError> {
        self.origin.idle()
    }

    /// What sealed questions are opened with.
    pub fn keyhole(&self) -> &Arc<Keyhole> {
        self.keys.keyhole()
    }

    /// The origin, for looking at its state.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What readers see.
    pub fn view(&self) -> &Arc<Published<View>> {
        self.builder.view()
    }
}

#[cfg(test)]
mod tests;
