//! What a phone asks inside SEALED: a report, its amendment, its standing, its end (spec 7.3).
//!
//! spent-with-report: one event stores a report and spends its grant; a repetition is told what was told
//! before. Everything is judged here, at the writer, because two phones may hold the same code.

use sha2::{Digest, Sha256};

use super::super::event::{Amended, Authored, Event, Reported, ReportedKey, Withdrawn};
use super::super::input::{Presented, ReportReply, ReportRequest};
use super::super::manifest::key_limits;
use super::super::set::ReportRecord;
use super::super::told::{Stored, Told};
use super::Writer;
use crate::authority::{Authorisation, CLOCK_GRACE_S, Grant, Level, ReportJudge, Scope, solved};
use crate::release::{DELEGATION_LEN, Delegation, Fields, ONSET_NONE, SIGNATURE_LEN, Schema};
use crate::time;
use crate::wire::report::{Outcome, ReportType, RequestKind, Verdict};

/// Seconds after its receipt in which a report takes more keys (spec 7.3.4).
const AMEND_S: u64 = 48 * 3600;
/// Seconds after which a phone asks again whose code may be one of a key that is not here.
const CODES_KEY_WAIT_S: u16 = 600;
/// Seconds after which a phone asks again while nothing can be confirmed: an operator has to look.
const CONFIRM_WAIT_S: u16 = 600;
/// Most days between a key and the onset of symptoms (spec 7.4.1).
const MAX_ONSET_DAYS: i64 = 14;
/// Greatest transmission risk level (spec 3.1.2).
const MAX_RISK: u8 = 8;

/// What a dummy is judged under, whose grant is none.
const NOBODYS: Authorisation =
    Authorisation { provider: 0, report_type: ReportType::Confirmed, onset_day: None, grant: Grant::None };

/// Keys as they were judged.
struct Judged {
    verdicts: Vec<Verdict>,
    accepted: Vec<ReportedKey>,
}

/// An answer that ends a request early.
struct Ended(Outcome, Vec<Verdict>);

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Ended(outcome, Vec::new())
    }
}

impl Writer {
    /// Answers an opened request.
    pub(super) fn request(&mut self, now: u64, r: &ReportRequest) -> ReportReply {
        if self.state.set(r.set).is_none() {
            return ReportReply::of(Outcome::Set, now);
        }
        if r.kind != RequestKind::Status && !self.may_confirm(now) {
            return ReportReply { wait_s: CONFIRM_WAIT_S, ..ReportReply::busy(now) };
        }
        let done = match r.kind {
            RequestKind::Submit => self.submit(now, r),
            RequestKind::Amend => self.amend(now, r),
            RequestKind::Status => self.find(r).map(|seq| self.standing(now, r, seq)),
            RequestKind::Cancel => self.cancel(now, r),
            RequestKind::Dummy => self.dummy(now, r),
        };
        match done {
            Ok(reply) => reply,
            Err(Ended(Outcome::Puzzle, _)) => self.puzzle(now, r),
            Err(Ended(Outcome::Early, _)) => {
                ReportReply { wait_s: self.wait_of(&r.grant, now), ..ReportReply::of(Outcome::Early, now) }
            }
            Err(Ended(Outcome::Busy, _)) => {
                ReportReply { wait_s: CODES_KEY_WAIT_S, ..ReportReply::busy(now) }
            }
            Err(Ended(outcome, verdicts)) => ReportReply { verdicts, ..ReportReply::of(outcome, now) },
        }
    }

    /// Whether what is decided at `now` is believed later: a clock in doubt judges no grant and no key, and a
    /// receipt outside its delegation's time proves nothing (spec 7.7.2).
    fn may_confirm(&self, now: u64) -> bool {
        let delegation = self.state.delegation().get(..DELEGATION_LEN).map(Delegation::parse);
        let holds = |d: &Delegation| (d.not_before()..=d.not_after()).contains(&now);
        self.guard.alarm().is_none() && delegation.is_some_and(|d| d.is_ok_and(|d| holds(&d)))
    }

    fn submit(&mut self, now: u64, r: &ReportRequest) -> Result<ReportReply, Ended> {
        let set = &self.state.sets[&r.set];
        if let Some(seq) = set.seq_of(&r.report) {
            let record = self.record_of(r, seq);
            let told = record.authored.as_ref().map(|authored| &authored.told);
            let stored = self.stored(r, seq, record.warrant.received);
            let again = told.filter(|told| told.content == r.content);
            return again.map(|told| self.done(now, seq, told, &stored)).ok_or(Outcome::Conflict.into());
        }
        let granted = self.authorise(now, r)?;
        let (authored, keys) = self.judge_submission(now, r, &granted)?;
        let told = authored.told.clone();
        let Authorisation { provider, grant, .. } = granted;
        let (set, report, authored) = (r.set, r.report, Some(authored));
        let seq =
            self.record(now, &Event::Reported(Reported { set, provider, report, grant, authored, keys }));
        Ok(self.done(now, seq, &told, &self.stored(r, seq, now)))
    }

    /// What a submission under that grant stores, its receipt signed: the way of reports and dummies alike.
    fn judge_submission(
        &self,
        now: u64,
        r: &ReportRequest,
        granted: &Authorisation,
    ) -> Result<(Authored, Vec<ReportedKey>), Ended> {
        let report_type = granted.report_type;
        if report_type == ReportType::Negative {
            return Err(Outcome::Type.into());
        }
        let onset_day = r.onset_day.or(granted.onset_day);
        let Judged { verdicts, accepted } = self.judge_keys(now, r, None, report_type, onset_day);
        if accepted.is_empty() {
            return Err(Ended(Outcome::Nothing, verdicts));
        }
        let told = self.tell(now, r, verdicts);
        Ok((Authored { secret_hash: r.secret, onset_day, report_type, told }, accepted))
    }

    fn amend(&mut self, now: u64, r: &ReportRequest) -> Result<ReportReply, Ended> {
        let seq = self.find(r)?;
        if let Some(reply) = self.repeated(now, r, seq) {
            return Ok(reply);
        }
        let record = self.record_of(r, seq);
        let (received, current) = (record.warrant.received, *record.stands_on());
        let was = record.report_type().ok_or(Outcome::Report)?;
        let onset_day = r.onset_day.or(record.authored.as_ref().and_then(|authored| authored.onset_day));
        let gone = record.withdrawn || record.keys.is_empty();
        let cancelled = self.state.sets[&r.set].covered(&Scope::Report { report: seq }).is_empty();
        let change = if r.grant == Presented::None {
            if gone {
                return Err(Outcome::Withdrawn.into());
            }
            if now > received.saturating_add(AMEND_S) {
                return Err(Outcome::Late.into());
            }
            self.state.registry.still_holds(current.provider, &current.grant)?;
            None
        } else {
            let granted = self.authorise(now, r)?;
            // What an operator took back may come again: its author's *negative* is kept for then.
            if cancelled || gone && granted.report_type != ReportType::Negative {
                return Err(Outcome::Withdrawn.into());
            }
            if !may_change(was, granted.report_type) {
                return Err(Outcome::Change.into());
            }
            Some(granted)
        };
        let type_now = change.map_or(was, |granted| granted.report_type);
        if type_now == ReportType::Negative && !r.keys.is_empty() {
            return Err(Outcome::Type.into());
        }
        let Judged { verdicts, accepted } = self.judge_keys(now, r, Some(seq), type_now, onset_day);
        if change.is_none() && accepted.is_empty() {
            return Err(Ended(Outcome::Nothing, verdicts));
        }
        let told = self.tell(now, r, verdicts);
        let amended = Amended {
            set: r.set,
            report: seq,
            report_type: change.map(|granted| granted.report_type),
            grant: change.map_or(Grant::None, |granted| granted.grant),
            provider: change.map_or(0, |granted| granted.provider),
            keys: accepted,
            told: told.clone(),
        };
        let event = self.record(now, &Event::Amended(amended));
        Ok(self.done(now, seq, &told, &self.stored(r, event, now)))
    }

    fn cancel(&mut self, now: u64, r: &ReportRequest) -> Result<ReportReply, Ended> {
        let seq = self.find(r)?;
        if let Some(reply) = self.repeated(now, r, seq) {
            return Ok(reply);
        }
        let scope = Scope::Report { report: seq };
        if self.state.sets[&r.set].covered(&scope).is_empty() {
            return Err(Outcome::Withdrawn.into());
        }
        let told = self.tell(now, r, Vec::new());
        let (urgent, reason) = (false, String::new());
        let event = Event::Withdrawn(Withdrawn { scope, urgent, reason, told: Some(told.clone()) });
        let event = self.record(now, &event);
        Ok(self.done(now, seq, &told, &self.stored(r, event, now)))
    }

    /// The way of a report through every check and to its signature; then nothing is kept. A puzzle is asked
    /// of it too: otherwise a flood of wrong grants would tell dummies by the question they are spared. Who
    /// waits for the codes key must not be told from who has no code.
    fn dummy(&mut self, now: u64, r: &ReportRequest) -> Result<ReportReply, Ended> {
        self.check_puzzle(now, r)?;
        let known = self.state.sets[&r.set].seq_of(&r.report).is_some();
        let granted = self.look_at_grant(now, r);
        let judged = self.judge_submission(now, r, &granted.ok().filter(|_| !known).unwrap_or(NOBODYS));
        drop(std::hint::black_box(judged));
        match granted {
            Err(Outcome::Busy) => Err(Outcome::Busy.into()),
            _ => Ok(ReportReply::of(Outcome::Done, now)),
        }
    }

    /// The report a request is about, if it knows its secret.
    fn find(&self, r: &ReportRequest) -> Result<u64, Ended> {
        let set = &self.state.sets[&r.set];
        let seq = set.seq_of(&r.report).ok_or(Outcome::Report)?;
        let authored = set.reports.get(&seq).and_then(|record| record.authored.as_deref());
        let hash: [u8; 32] = Sha256::digest(r.secret).into();
        match authored {
            Some(authored) if authored.secret_hash == hash => Ok(seq),
            _ => Err(Outcome::Report.into()),
        }
    }

    fn record_of(&self, r: &ReportRequest, seq: u64) -> &ReportRecord {
        self.state.sets[&r.set].reports.get(&seq).expect("found a moment ago")
    }

    /// What the author of the report `seq` was told when it asked the same before.
    fn repeated(&self, now: u64, r: &ReportRequest, seq: u64) -> Option<ReportReply> {
        let before = self.record_of(r, seq).later.iter().find(|later| later.told.content == r.content)?;
        let stored = Stored { kind: before.kind, ..self.stored(r, before.seq, before.time) };
        Some(self.done(now, seq, &before.told, &stored))
    }

    /// What the grant allows, once a puzzle is solved where one is due; what is wrong is counted.
    fn authorise(&mut self, now: u64, r: &ReportRequest) -> Result<Authorisation, Ended> {
        self.check_puzzle(now, r)?;
        let granted = self.look_at_grant(now, r);
        if let Err(outcome) = granted
            && (is_guess(outcome) || outcome == Outcome::Busy && self.codes.key_id().is_some())
        {
            self.budgets.fail(now, self.blamed_provider(r));
        }
        Ok(granted?)
    }

    /// A solution, where one is due.
    fn check_puzzle(&self, now: u64, r: &ReportRequest) -> Result<(), Outcome> {
        let Level::Puzzle { bits } = self.budgets.level(now, self.named_provider(r)) else { return Ok(()) };
        let (seed, solution) = r.puzzle;
        let holds = self.seeds.holds(&seed, now);
        if holds && solved(&seed, bits, &r.report, &r.grant_bytes, solution) {
            Ok(())
        } else {
            Err(Outcome::Puzzle)
        }
    }

    fn look_at_grant(&self, now: u64, r: &ReportRequest) -> Result<Authorisation, Outcome> {
        let registry = &self.state.registry;
        let granted = match &r.grant {
            Presented::None => Err(Outcome::Grant),
            Presented::Faulty(outcome, _) => Err(*outcome),
            Presented::Code(code) => {
                let lost = || self.codes.cannot_tell(registry, r.set, now);
                let unknown = || if lost() { Outcome::Busy } else { Outcome::Unknown };
                let (batch, index) = self.codes.find(code).ok_or_else(unknown)?;
                registry.judge_code(batch, index, r.set, now)
            }
            Presented::Vouched(vouched) => registry.judge_vouched(vouched, r.set, now),
        }?;
        match r.report_type {
            Some(asked) if asked != granted.report_type => Err(Outcome::Type),
            _ => Ok(granted),
        }
    }

    /// Seconds until a grant and the key that signed it are valid, as many as the answer can say (spec
    /// 7.6.3).
    fn wait_of(&self, grant: &Presented, now: u64) -> u16 {
        let Presented::Vouched(vouched) = grant else { return 0 };
        let provider = self.state.registry.providers.get(&vouched.provider);
        let key = provider.and_then(|p| p.keys.iter().find(|key| key.fingerprint() == vouched.key));
        let from = vouched.not_before.max(key.map_or(0, |key| key.not_before));
        let ahead = from.saturating_sub(now.saturating_add(CLOCK_GRACE_S));
        u16::try_from(ahead).unwrap_or(u16::MAX)
    }

    /// The provider a grant names in clear.
    fn named_provider(&self, r: &ReportRequest) -> Option<u32> {
        match &r.grant {
            Presented::Vouched(vouched) => Some(vouched.provider),
            Presented::Faulty(_, provider) => *provider,
            Presented::None | Presented::Code(_) => None,
        }
    }

    /// The provider a wrong grant is of.
    fn blamed_provider(&self, r: &ReportRequest) -> Option<u32> {
        let Presented::Code(code) = &r.grant else { return self.named_provider(r) };
        let (batch, _) = self.codes.find(code)?;
        self.state.registry.batches.get(&batch).map(|batch| batch.provider)
    }

    fn puzzle(&mut self, now: u64, r: &ReportRequest) -> ReportReply {
        let random = &mut self.random;
        let seed = self.seeds.at(now, |seed| random.fill(seed));
        let bits = match self.budgets.level(now, self.named_provider(r)) {
            Level::Puzzle { bits } => bits,
            Level::Calm | Level::Alarm => crate::authority::MIN_PUZZLE_BITS,
        };
        ReportReply { puzzle: Some((seed, bits)), ..ReportReply::of(Outcome::Puzzle, now) }
    }

    /// A verdict on every key of the request, beside those the report `of` has already.
    fn judge_keys(
        &self,
        now: u64,
        r: &ReportRequest,
        of: Option<u64>,
        report_type: ReportType,
        onset_day: Option<u32>,
    ) -> Judged {
        let set = &self.state.sets[&r.set];
        let params = set.params();
        let limits = key_limits(params, set.horizon_at(now));
        let mut judge = ReportJudge::new(&limits, now);
        for (key, start) in of.iter().flat_map(|seq| set.keys_of(*seq)) {
            judge.holds(key.as_bytes(), start);
        }
        let mut judged = Judged { verdicts: Vec::with_capacity(r.keys.len()), accepted: Vec::new() };
        for k in &r.keys {
            let days = onset_day.map(|day| i64::from(k.start / time::INTERVALS_PER_DAY) - i64::from(day));
            let near = params.schema != Schema::GaenFull || days.is_none_or(|d| d.abs() <= MAX_ONSET_DAYS);
            let verdict = judge.judge(k.key.as_bytes(), k.start, k.period, k.risk <= MAX_RISK, near);
            judged.verdicts.push(verdict);
            let Some(period) = u16::try_from(k.period).ok().filter(|_| verdict == Verdict::Accepted) else {
                continue;
            };
            let onset = days.filter(|_| near).and_then(|d| i8::try_from(d).ok());
            let sent = Fields {
                start: k.start,
                period,
                report: report_type.number(),
                risk: k.risk,
                onset: onset.filter(|d| i64::from(*d).abs() <= MAX_ONSET_DAYS).unwrap_or(ONSET_NONE),
            };
            judged.accepted.push(ReportedKey {
                key: k.key,
                fields: params.schema.coarsen(sent),
                // unlinkable: nothing is published before the key is over and two hours have passed.
                embargo_end: time::end_of_validity(k.start, period) + u64::from(params.embargo_s),
            });
        }
        judged
    }

    /// The event that stored a request.
    fn stored(&self, r: &ReportRequest, seq: u64, time: u64) -> Stored {
        Stored { service: self.state.service(), set: r.set, report: r.report, seq, time, kind: r.kind }
    }

    /// What is told of the event that comes next, its receipt signed.
    fn tell(&self, now: u64, r: &ReportRequest, verdicts: Vec<Verdict>) -> Told {
        let told = Told {
            content: r.content,
            verdicts,
            durability: self.durability,
            incarnation: self.state.incarnation(),
            key_epoch: self.state.key_epoch(),
            signature: [0; SIGNATURE_LEN],
        };
        told.signed(&self.stored(r, self.state.seq() + 1, now), &self.online)
    }

    /// Where the report `seq` stands.
    fn standing(&self, now: u64, r: &ReportRequest, seq: u64) -> ReportReply {
        let standing = self.state.sets[&r.set].standing(seq, now);
        ReportReply { standing, ..ReportReply::of(Outcome::Done, now) }
    }

    /// What was told of a request about the report `seq`, with its receipt.
    fn done(&self, now: u64, seq: u64, told: &Told, stored: &Stored) -> ReportReply {
        let receipt = told.proof(stored, self.state.delegation_of(told.key_epoch));
        let standing = self.state.sets[&stored.set].standing(seq, now);
        let (verdicts, receipt) = (told.verdicts.clone(), Some(receipt));
        ReportReply { standing, verdicts, receipt, ..ReportReply::of(Outcome::Done, now) }
    }
}

/// Whether a wrong grant may be a guess (spec 7.5.3).
fn is_guess(outcome: Outcome) -> bool {
    !matches!(
        outcome,
        Outcome::Mistyped
            | Outcome::Kind
            | Outcome::Grant
            | Outcome::Type
            | Outcome::Suspended
            | Outcome::Busy
    )
}

/// Whether a report of one type may become one of another (spec 7.3.4).
fn may_change(from: ReportType, to: ReportType) -> bool {
    use ReportType::{Confirmed, Likely, Negative, SelfReport};
    matches!((from, to), (Likely, Confirmed | Negative) | (SelfReport, Likely | Confirmed | Negative))
}
