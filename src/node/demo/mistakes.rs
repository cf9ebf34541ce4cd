//! Wednesday noon: an operator takes a report back, then all that a provider authorised since a moment, and
//! undoes it; a phone that slept through everything ends where the others are.

use super::error::{DemoError, equal, must};
use super::life::{HOUR, Life, way};
use super::patient::Patient;
use super::story::{count, counted, time_of};
use super::third_day::Office;
use super::world::SET;
use crate::authority::{Scope, Standing};
use crate::engine::{ImportedKey, Input, Reply, WithdrawCount};
use crate::wire::report::{Outcome, ReportState};

/// Intervals after which today's keys are out.
const EMBARGO_MOST: u64 = 48 * HOUR;

impl Life<'_> {
    /// Asks for a withdrawal twice, first dry; both count the same. Returns the counts of the second.
    fn take_back(&self, doing: &str, input: impl Fn(bool) -> Input) -> Result<WithdrawCount, DemoError> {
        let before = self.world.origin().origin().state().seq();
        let [dry, done] = [true, false].map(|dry_run| self.world.ask(doing, input(dry_run)));
        let (Reply::Withdrawn(dry), Reply::Withdrawn(done)) = (dry?, done?) else {
            return Err(DemoError::DoesNotHold(format!("{doing} answers with counts")));
        };
        must(dry.seq.is_none() && done.seq == Some(before + 1), || {
            format!("{doing}: a dry run is no event, the other one is")
        })?;
        must(dry.claims == done.claims, || format!("{doing}: the dry run counts what is done"))?;
        Ok(done)
    }

    /// An operator takes one report back.
    pub(super) fn withdraw_report(&mut self, office: &Office) -> Result<(), DemoError> {
        let patient = self.patient(office, 2);
        let report = self.reports(&patient)?;
        self.pass(1)?;
        self.sync_near()?;
        let at = self.world.now();
        let counts = self.take_back("withdrawing a report", |dry_run| Input::Withdraw {
            scope: Scope::Report { report },
            urgent: false,
            reason: "test of another person".to_owned(),
            dry_run,
        })?;
        equal("reports taken back", counts.claims.reports, 1)?;
        let (keys, decoys) = self.gone(&patient.keys)?;
        let state = self.status(&patient)?.state;
        must(state == Some(ReportState::Withdrawn), || "the author is told of the withdrawal".to_owned())?;
        let text = format!(
            "an operator takes a third report back; serial {}: its {} left with {}",
            self.serial(),
            counted(keys, "key"),
            counted(decoys, "decoy")
        );
        self.story.tell(at, "withdrawn", text)
    }

    /// The provider is revoked after the fact, and what it authorised since then comes back.
    pub(super) fn revoke(&mut self, office: &Office, first: &Patient) -> Result<(), DemoError> {
        let since = self.world.now();
        let (honest, mut copier) = (self.patient(office, 3), self.patient(office, 4));
        // A key that is public already, handed in once more: it must not go when this report does.
        let shared = first.keys[1];
        copier.keys.pop();
        let own = copier.keys.clone();
        copier.keys.push(shared);
        self.reports(&honest)?;
        self.reports(&copier)?;
        let theirs: Vec<ImportedKey> = honest.keys.iter().chain(&own).copied().collect();
        let sum = self.pass(1)?;
        equal("keys of both reports that came out", sum.added, theirs.len() as u64)?;
        self.sync_near()?;

        let at = self.world.now();
        let counts = self.take_back("revoking the provider", |dry_run| Input::SetStanding {
            provider: office.id,
            standing: Standing::Revoked,
            since: Some(since),
            reason: "codes were stolen".to_owned(),
            dry_run,
        })?;
        equal("reports taken back", counts.claims.reports, 2)?;
        let (keys, decoys) = self.gone(&theirs)?;
        equal("shared keys that stay", self.look(&[shared])?, 1)?;
        let mut client = self.world.door().reporter(SET);
        let late = self.patient(office, 5).submit(&mut client, self.world.now())?;
        must(late.outcome == Outcome::Revoked && late.receipt.is_none(), || {
            format!("a code of a revoked provider is refused, not {:?}", late.outcome)
        })?;
        let text = format!(
            "stolen codes: the office is revoked, with what it authorised since {}: {};",
            &time_of(since)["Wed ".len()..],
            counted(counts.claims.reports, "report")
        );
        self.story.tell(at, "revoked", text)?;
        self.story.and(format!(
            "serial {}: exactly their {} left, with {}; one key",
            self.serial(),
            counted(keys, "key"),
            counted(decoys, "decoy")
        ))?;
        self.story.and("that the first patient reported too stays; the other codes are worth nothing now")?;
        self.reinstate(counts.seq, &theirs)
    }

    fn reinstate(&mut self, event: Option<u64>, theirs: &[ImportedKey]) -> Result<(), DemoError> {
        let seq = event.ok_or_else(|| DemoError::DoesNotHold("a revocation is an event".to_owned()))?;
        let at = self.world.now();
        let reply = self.world.ask("reinstating", Input::Reinstate { seq })?;
        must(matches!(reply, Reply::Withdrawn(w) if w.claims.reports == 2), || {
            format!("two reports are brought back, not {reply:?}")
        })?;
        let sum = self.pass(1)?;
        equal("keys that came back", sum.added, theirs.len() as u64)?;
        for key in theirs {
            self.model.reinstated(&key.key);
        }
        let near = self.sync_near()?;
        equal("entries new to phone A", near.change.added, sum.added + sum.decoys)?;
        equal("keys that LOOKUP finds again", self.look(theirs)?, theirs.len() as u64)?;
        let text = format!(
            "none was stolen after all: serial {} has the {} again, as new entries among",
            self.serial(),
            counted(sum.added, "key")
        );
        self.story.tell(at, "reinstated", text)?;
        self.story.and(format!(
            "{}; phone A: {} of {} bytes",
            counted(sum.decoys, "decoy"),
            way(&near),
            count(near.bytes)
        ))
    }

    /// The first patient's last key comes out, and phone B, which slept since Tuesday, catches up.
    pub(super) fn wake(&mut self, first: &Patient) -> Result<(), DemoError> {
        let mut intervals = 0;
        let sum = loop {
            must(intervals < EMBARGO_MOST, || "every embargo ends".to_owned())?;
            let sum = self.pass(1)?;
            intervals += 1;
            if sum.added > 0 {
                break sum;
            }
        };
        equal("keys that came out of their embargo", sum.added, 1)?;
        self.sync_near()?;
        equal(
            "keys of the first report that LOOKUP finds",
            self.look(&first.keys)?,
            first.keys.len() as u64,
        )?;
        let counts = self.status(first)?.counts;
        equal("keys that the author is told are live", counts.live.into(), counts.keys.into())?;
        let text = format!(
            "the first patient's last key, 2 h after its end, among {}: {} of {} are live",
            counted(sum.decoys, "decoy"),
            counts.live,
            counts.keys
        );
        self.story.tell(self.world.now(), "released", text)?;
        let far = self.sync_far()?;
        let text = format!(
            "slept since Tuesday: {} of {} bytes; it holds what phone A holds, {}",
            way(&far),
            count(far.bytes),
            counted(far.live, "key")
        );
        self.story.tell(self.world.now(), self.far.name, text)
    }
}
