//! What operators and the clock make the origin do, and what comes of it.

use tekd::authority::{Code, Scope, Standing};
use tekd::engine::{ClaimCount, CodeOrder, Input, ParamsChange, Refusal, Reply, WithdrawCount};
use tekd::node::{OriginError, TurnError};
use tekd::wire::report::ReportType;

use super::canary::{Canary, arriving};
use super::dice::{Dice, seeded};
use super::faults::Mend;
use super::invariant::Invariant;
use super::network::Place;
use super::origin::SET;
use super::world::{Event, World};

const REASON: &str = "mistaken";
/// How long operators take to look at an alarm, at most.
const LOOK_MS: usize = 400_000;

/// What became of an input.
#[derive(Debug)]
pub(crate) enum Answered {
    Reply(Reply),
    Refused(Refusal),
    /// The journal failed under it: nobody knows yet whether it was decided.
    Unknown,
    /// Nobody decides now.
    Down,
}

impl Answered {
    fn how(&self) -> &'static str {
        match self {
            Answered::Reply(_) => "done",
            Answered::Refused(_) => "refused",
            Answered::Unknown => "unknown",
            Answered::Down => "down",
        }
    }
}

impl World {
    /// One turn of the origin.
    pub(crate) fn turn(&mut self, input: Input) -> Answered {
        let input = arriving(self.canary, input);
        let now_ms = self.now_ms;
        self.judge.doubt |= self.origin.skew_s != 0 && self.origin.process.is_some();
        let Some(process) = self.origin.running(now_ms) else { return Answered::Down };
        let answered = match process.single.turn(input) {
            Ok(reply) => Answered::Reply(reply),
            Err(TurnError::Refused(refusal)) => Answered::Refused(refusal),
            Err(error) => {
                self.failed(&error.to_string());
                Answered::Unknown
            }
        };
        self.look_ahead();
        self.learn();
        self.note_medium(Place::Origin);
        answered
    }

    /// The origin looks at its clock, and now and then notes where its journal ends.
    pub(crate) fn tick(&mut self) {
        let now_ms = self.now_ms;
        if self.canary == Some(Canary::ClockJumpReleased) && self.is_alarmed() {
            let _ = self.origin.running(now_ms).map(|process| process.single.turn(Input::ApproveClock));
        }
        self.judge.doubt |= self.origin.skew_s != 0 && self.origin.process.is_some();
        let Some(process) = self.origin.running(now_ms) else { return };
        let ticked = process.single.tick().map(|releases| releases.len());
        let noted = self.dice.one_in(3) && ticked.is_ok();
        let idle = noted.then(|| self.origin.running(now_ms).map(|process| process.single.idle()));
        match ticked {
            Err(error) => self.failed(&error.to_string()),
            Ok(0) => {}
            Ok(releases) => self.tell(format!("{releases} release by the clock")),
        }
        if let Some(Some(Err(error))) = idle {
            self.failed(&error.to_string());
        }
        self.look_ahead();
        self.learn();
        self.note_medium(Place::Origin);
        let full = self.origin.process.as_ref().and_then(|p| p.single.origin().journal_full());
        if full.is_some() {
            self.counts.ended("tick", "while the journal is full");
        }
        if self.is_alarmed() && self.origin.skew_s == 0 {
            let in_ms = self.dice.below(LOOK_MS) as u64;
            self.later(in_ms, Event::Mend(Mend::Approve));
        }
    }

    /// Whether releases are held for the clock.
    pub(crate) fn is_alarmed(&self) -> bool {
        let process = self.origin.process.as_ref();
        process.is_some_and(|p| p.single.origin().writer().clock_alarm().is_some())
    }

    /// An operator says that the clock is right, which it is.
    pub(crate) fn approve(&mut self) {
        if self.origin.skew_s != 0 || !self.is_alarmed() {
            return;
        }
        // The word is given: the release that may follow in the same turn is made by a clock without doubt.
        let doubt = std::mem::take(&mut self.judge.doubt);
        let answered = self.turn(Input::ApproveClock);
        if !matches!(answered, Answered::Reply(_)) {
            self.judge.doubt = doubt;
        }
        self.tell(format!("clock approved: {}", answered.how()));
    }

    fn did(&mut self, what: &str, answered: &Answered) {
        self.counts.ended(what, answered.how());
        self.tell(format!("{what}: {}", answered.how()));
    }

    /// A new provider.
    pub(crate) fn add_provider(&mut self, name: String) {
        let answered = self.turn(Input::AddProvider { name, issuer: None, key: None });
        self.did("provider", &answered);
    }

    fn any_provider(&mut self, dice: &mut Dice) -> u32 {
        let numbers: Vec<u32> = self.judge.model.desk.providers.keys().copied().collect();
        if numbers.is_empty() { 1 } else { dice.pick(&numbers) }
    }

    /// Codes for a provider to hand out.
    pub(crate) fn issue(&mut self, dice: &mut Dice) -> Vec<Code> {
        let order = CodeOrder {
            provider: self.any_provider(dice),
            set: SET,
            count: 1 + dice.below(30) as u32,
            report_type: dice.pick(&[ReportType::Confirmed, ReportType::Confirmed, ReportType::Likely]),
            onset_day: None,
            lifetime_s: dice.pick(&[3600, 86_400, 86_400]),
        };
        let answered = self.turn(Input::IssueCodes(order));
        self.did("issue", &answered);
        let Answered::Reply(Reply::Codes(issued)) = answered else { return Vec::new() };
        for (index, code) in (0..).zip(&issued.codes) {
            self.judge.model.desk.codes.insert(*code, (issued.batch, index));
        }
        issued.codes
    }

    /// A turn that takes back or brings back, counted by the model before.
    fn counted(&mut self, what: &str, expected: &ClaimCount, input: Input) -> Answered {
        let answered = self.turn(input);
        if let Answered::Reply(Reply::Withdrawn(WithdrawCount { claims, .. })) = &answered {
            Invariant::StateIsAFold
                .must(claims == expected, || format!("{what} takes {claims:?}, the model says {expected:?}"));
        }
        self.did(what, &answered);
        answered
    }

    fn covered(&self, scope: &Scope) -> ClaimCount {
        let model = &self.judge.model;
        model.count(&model.covered(scope), None)
    }

    /// Operators take claims back.
    pub(crate) fn withdraw(&mut self, dice: &mut Dice) -> Option<u64> {
        let claimed = self.judge.model.claimed();
        let reports: Vec<u64> = self.judge.model.reports.iter().map(|r| r.seq).collect();
        let (what, scope) = match dice.below(6) {
            0..3 if !claimed.is_empty() => {
                ("withdraw key", Scope::Key { set: SET, key: dice.pick(&claimed) })
            }
            3..5 if !reports.is_empty() => ("withdraw report", Scope::Report { report: dice.pick(&reports) }),
            _ => {
                let seq = self.judge.seen().saturating_sub(dice.below(12) as u64);
                ("rollback", Scope::After { seq, provider: None })
            }
        };
        let (expected, urgent) = (self.covered(&scope), dice.one_in(4));
        let input = Input::Withdraw { scope, urgent, reason: REASON.to_owned(), dry_run: false };
        match self.counted(what, &expected, input) {
            Answered::Reply(Reply::Withdrawn(count)) => count.seq,
            _ => None,
        }
    }

    /// What an event took comes back.
    pub(crate) fn reinstate(&mut self, seq: u64) {
        let model = &self.judge.model;
        let expected = model.count(&model.taken_by(seq), Some(seq));
        self.counted("reinstate", &expected, Input::Reinstate { seq });
    }

    pub(crate) fn revoke_batch(&mut self, dice: &mut Dice) {
        let batches: Vec<u32> = self.judge.model.desk.batches.keys().copied().collect();
        if batches.is_empty() {
            return;
        }
        let (batch, retroactive) = (dice.pick(&batches), dice.one_in(2));
        let expected =
            if retroactive { self.covered(&Scope::Batch { batch }) } else { ClaimCount::default() };
        let input = Input::RevokeBatch { batch, retroactive, reason: REASON.to_owned(), dry_run: false };
        self.counted("revoke batch", &expected, input);
    }

    /// A provider is suspended, comes back, or is revoked for a while past.
    pub(crate) fn stand(&mut self, dice: &mut Dice) {
        use Standing::{Active, Revoked, Suspended};
        let provider = self.any_provider(dice);
        let standing = dice.pick(&[Active, Active, Active, Suspended, Revoked]);
        let since = self.now_ms / 1000 - dice.below(20_000) as u64;
        let since = (standing == Revoked && dice.one_in(2)).then_some(since);
        let scope = since.map(|since| Scope::Provider { provider, since });
        let expected = scope.map_or_else(ClaimCount::default, |scope| self.covered(&scope));
        let input =
            Input::SetStanding { provider, standing, since, reason: REASON.to_owned(), dry_run: false };
        self.counted("stand", &expected, input);
    }

    pub(crate) fn release_now(&mut self, dice: &mut Dice) {
        let allow_small = dice.one_in(3);
        let before = std::mem::replace(&mut self.judge.alone, allow_small);
        let answered = self.turn(Input::Release { set: SET, allow_small });
        // A release that was being written when the power went may be there yet.
        self.judge.alone = match answered {
            Answered::Down => before,
            Answered::Unknown => allow_small,
            Answered::Reply(_) | Answered::Refused(_) => false,
        };
        if let Answered::Refused(refusal) = &answered {
            Invariant::Liveness
                .must(matches!(refusal, Refusal::ClockHeld(_)), || format!("a release: {refusal}"));
        }
        self.did("release", &answered);
    }

    pub(crate) fn configure(&mut self, change: ParamsChange) {
        let before = self.judge.intends(&change);
        let answered = self.turn(Input::Configure { set: SET, change });
        match answered {
            Answered::Down => self.judge.intended = before,
            Answered::Unknown => {}
            Answered::Reply(_) | Answered::Refused(_) => self.judge.intended = None,
        }
        self.did("configure", &answered);
    }

    /// What may change in the middle of a life.
    pub(crate) fn any_change(dice: &mut Dice) -> ParamsChange {
        let mut change = ParamsChange::default();
        match dice.below(4) {
            0 => change.decoys = Some(dice.one_in(2)),
            1 => change.min_reports = Some(2 + dice.below(4) as u32),
            2 => change.retention_days = Some(1 + dice.below(4) as u16),
            _ => change.embargo_s = Some(dice.pick(&[600, 3600, 7200])),
        }
        change
    }

    /// A new online key takes over; not while the clock is in doubt.
    pub(crate) fn rotate(&mut self, dice: &mut Dice) {
        let (now_ms, now) = (self.now_ms, self.origin.moment(self.now_ms).unix);
        if self.is_alarmed() || self.origin.skew_s != 0 {
            return;
        }
        let Some(process) = self.origin.running(now_ms) else { return };
        let made =
            process.single.origin().next_online(now, &mut *seeded(self.seed, dice.below(1 << 30) as u64));
        match made {
            Ok(input) => {
                let answered = self.turn(input.expect("the root key is here"));
                self.did("rotate", &answered);
            }
            Err(error) => {
                let met = self.origin.medium.met();
                Invariant::Liveness.must(met.anything(), || format!("a new online key: {error}"));
                self.note_medium(Place::Origin);
            }
        }
    }

    pub(crate) fn snapshot(&mut self) {
        let now_ms = self.now_ms;
        let Some(process) = self.origin.running(now_ms) else { return };
        let seq = process.single.origin().state().seq();
        let made = process.single.base();
        self.counts.ended("snapshot", if made.is_ok() { "done" } else { "failed" });
        self.tell(format!("snapshot at {seq}: {}", made.is_ok()));
        match made {
            Ok(()) => {}
            // Nothing but the snapshot is missing.
            Err(OriginError::Snapshot(error)) => {
                let met = self.origin.medium.met();
                Invariant::Liveness.must(met.anything(), || format!("a snapshot: {error}"));
            }
            Err(error) => self.failed(&error.to_string()),
        }
        self.learn();
        self.note_medium(Place::Origin);
    }
}
