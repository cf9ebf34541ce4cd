//! What a request must be answered, found from the naive model and the specification (spec 7.3, 7.4).

use sha2::{Digest, Sha256};
use tekd::authority::Grant;
use tekd::engine::{Presented, ReportRequest, ReportedKey, Told};
use tekd::release::{Fields, ONSET_NONE, Schema};
use tekd::wire::Key;
use tekd::wire::report::{Outcome, ReportType, RequestKind, Verdict};

use super::desk::Allowed;
use super::naive::{Naive, Report};

/// How a request ends.
#[derive(Debug, Default)]
pub(super) struct Foreseen {
    pub(super) outcome: Option<Outcome>,
    pub(super) verdicts: Vec<Verdict>,
    /// The keys an event stores.
    pub(super) keys: Vec<ReportedKey>,
    /// The report that is meant, if it is there before.
    pub(super) of: Option<u64>,
    /// Whether an event follows.
    pub(super) stores: bool,
    /// What was told before.
    pub(super) told: Option<Told>,
    /// What the event spends, and whose it is.
    pub(super) spent: Option<(u32, Grant)>,
    /// What the report says after it.
    pub(super) report_type: Option<ReportType>,
}

fn ends(outcome: Outcome) -> Foreseen {
    Foreseen { outcome: Some(outcome), ..Foreseen::default() }
}

fn repeats(seq: u64, told: &Told) -> Foreseen {
    let (verdicts, told) = (told.verdicts.clone(), Some(told.clone()));
    Foreseen { of: Some(seq), verdicts, told, ..ends(Outcome::Done) }
}

impl Naive {
    pub(super) fn foresee(&self, r: &ReportRequest, now: u64) -> Foreseen {
        if r.set != self.set {
            return ends(Outcome::Set);
        }
        let foreseen = match r.kind {
            RequestKind::Submit => self.foresee_submit(r, now),
            RequestKind::Dummy => Ok(ends(Outcome::Done)),
            RequestKind::Status => self.prove(r).map(|seq| Foreseen { of: Some(seq), ..ends(Outcome::Done) }),
            RequestKind::Amend => self.foresee_amend(r, now),
            RequestKind::Cancel => self.foresee_cancel(r),
        };
        foreseen.unwrap_or_else(ends)
    }

    fn by_id(&self, id: &[u8; 16]) -> Option<&Report> {
        self.reports.iter().find(|r| r.id == *id)
    }

    /// The report of who knows its secret.
    fn prove(&self, r: &ReportRequest) -> Result<u64, Outcome> {
        let report = self.by_id(&r.report).ok_or(Outcome::Report)?;
        match report.phone {
            Some((hash, ..)) if hash[..] == Sha256::digest(r.secret)[..] => Ok(report.seq),
            _ => Err(Outcome::Report),
        }
    }

    fn foresee_submit(&self, r: &ReportRequest, now: u64) -> Result<Foreseen, Outcome> {
        if let Some(report) = self.by_id(&r.report) {
            let told = report.told.first().filter(|told| told.content == r.content);
            return told.map(|told| repeats(report.seq, told)).ok_or(Outcome::Conflict);
        }
        let Allowed { provider, report_type, onset_day, grant } = self.allowed(r, now)?;
        if report_type == ReportType::Negative {
            return Err(Outcome::Type);
        }
        let (verdicts, keys) = self.verdicts(r, now, None, report_type, r.onset_day.or(onset_day));
        if keys.is_empty() {
            return Ok(Foreseen { verdicts, ..ends(Outcome::Nothing) });
        }
        let (spent, report_type) = (Some((provider, grant)), Some(report_type));
        Ok(Foreseen { verdicts, keys, stores: true, spent, report_type, ..ends(Outcome::Done) })
    }

    fn allowed(&self, r: &ReportRequest, now: u64) -> Result<Allowed, Outcome> {
        let allowed = self.desk.look(&r.grant, self.set, now)?;
        if r.report_type.is_some_and(|asked| asked != allowed.report_type) {
            return Err(Outcome::Type);
        }
        Ok(allowed)
    }

    fn foresee_amend(&self, r: &ReportRequest, now: u64) -> Result<Foreseen, Outcome> {
        use ReportType::{Confirmed, Likely, Negative, SelfReport};
        let seq = self.prove(r)?;
        let report = self.report(seq).expect("it was just found");
        if let Some(told) = report.told[1..].iter().find(|told| told.content == r.content) {
            return Ok(repeats(seq, told));
        }
        let (_, _, onset) = report.phone.expect("it was proved");
        let was = report.says().expect("it was proved");
        let claims = self.keys.values().flat_map(|k| &k.claims);
        let mut claims = claims.into_iter().filter(|claim| claim.report == seq).peekable();
        let gone = report.withdrawn || claims.peek().is_none();
        let cancelled = claims.all(|claim| claim.cancelled);
        let allowed = if r.grant == Presented::None {
            if gone {
                return Err(Outcome::Withdrawn);
            }
            if now - report.received > 48 * 3600 {
                return Err(Outcome::Late);
            }
            let (provider, grant) = report.word();
            self.desk.still_holds(provider, &grant)?;
            None
        } else {
            let allowed = self.allowed(r, now)?;
            if cancelled || (gone && allowed.report_type != Negative) {
                return Err(Outcome::Withdrawn);
            }
            let change = match was {
                Likely => [Confirmed, Negative].contains(&allowed.report_type),
                SelfReport => [Likely, Confirmed, Negative].contains(&allowed.report_type),
                Confirmed | Negative => false,
            };
            Some(allowed).filter(|_| change).ok_or(Outcome::Change).map(Some)?
        };
        let now_says = allowed.map_or(was, |allowed| allowed.report_type);
        if now_says == Negative && !r.keys.is_empty() {
            return Err(Outcome::Type);
        }
        let (verdicts, keys) = self.verdicts(r, now, Some(seq), now_says, r.onset_day.or(onset));
        if allowed.is_none() && keys.is_empty() {
            return Ok(Foreseen { verdicts, ..ends(Outcome::Nothing) });
        }
        let spent = Some(allowed.map_or((0, Grant::None), |allowed| (allowed.provider, allowed.grant)));
        let report_type = allowed.map(|allowed| allowed.report_type);
        let of = Some(seq);
        Ok(Foreseen { verdicts, keys, of, stores: true, spent, report_type, ..ends(Outcome::Done) })
    }

    fn foresee_cancel(&self, r: &ReportRequest) -> Result<Foreseen, Outcome> {
        let seq = self.prove(r)?;
        let report = self.report(seq).expect("it was just found");
        if let Some(told) = report.told[1..].iter().find(|told| told.content == r.content) {
            return Ok(repeats(seq, told));
        }
        if self.covered(&tekd::authority::Scope::Report { report: seq }).claims.is_empty() {
            return Err(Outcome::Withdrawn);
        }
        Ok(Foreseen { of: Some(seq), stores: true, ..ends(Outcome::Done) })
    }

    /// The verdict on each key, and what is stored of those that are accepted.
    fn verdicts(
        &self,
        r: &ReportRequest,
        now: u64,
        of: Option<u64>,
        report_type: ReportType,
        onset_day: Option<u32>,
    ) -> (Vec<Verdict>, Vec<ReportedKey>) {
        let schema = self.schema();
        let held = self.keys.iter().flat_map(|(key, k)| k.claims.iter().map(move |claim| (*key, claim)));
        let held = held.filter(|(_, claim)| Some(claim.report) == of);
        let mut had: Vec<(Key, u32)> = held.map(|(key, claim)| (key, claim.fields.start)).collect();
        let horizon = u64::from(self.horizon_at(now));
        let (mut verdicts, mut stored) = (Vec::new(), Vec::new());
        for (place, k) in r.keys.iter().enumerate() {
            let days = onset_day.map(|day| i64::from(k.start / 144) - i64::from(day));
            let end = u64::from(k.start) + u64::from(k.period);
            let before = |key: &Key| {
                r.keys[..place].iter().any(|k| k.key == *key) || had.iter().any(|(k, _)| k == key)
            };
            let verdict = if k.key.as_bytes().len() != schema.key_len() {
                Verdict::Malformed
            } else if k.period < 1 || k.period > 144 {
                Verdict::Period
            } else if 600 * u64::from(k.start) > now + 7200 {
                Verdict::Future
            } else if end <= horizon {
                Verdict::Expired
            } else if k.risk > 8 {
                Verdict::Field
            } else if before(&k.key) {
                Verdict::Duplicate
            } else if had.iter().filter(|(_, start)| *start == k.start).count() >= 3 {
                Verdict::Start
            } else if had.len() >= 30 {
                Verdict::Count
            } else if schema == Schema::GaenFull && days.is_some_and(|days| days.abs() > 14) {
                Verdict::Onset
            } else {
                Verdict::Accepted
            };
            verdicts.push(verdict);
            if verdict == Verdict::Accepted {
                had.push((k.key, k.start));
                let onset = match (schema, days) {
                    (Schema::GaenFull, Some(days)) => i8::try_from(days).expect("at most 14"),
                    _ => ONSET_NONE,
                };
                let (period, report) = (u16::try_from(k.period).expect("at most 144"), report_type.number());
                let fields = Fields { start: k.start, period, report, risk: k.risk, onset };
                let embargo_end = 600 * end + u64::from(self.params.embargo_s);
                stored.push(ReportedKey { key: k.key, fields: schema.coarsen(fields), embargo_end });
            }
        }
        (verdicts, stored)
    }
}
