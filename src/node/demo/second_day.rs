//! Tuesday: a few patients report, their keys go out in company, one is taken back, the last wait for the
//! end of their embargo.

use super::error::{DemoError, equal, failed, must};
use super::life::{HOUR, Life, Sum, must_be_bare, way};
use super::package::reports;
use super::story::{count, counted, per_key};
use super::world::SET;
use crate::client::SetClient;
use crate::engine::{ImportedKey, Input, ParamsChange, Reply, SetState};
use crate::time::{INTERVALS_PER_DAY, interval_of};
use crate::wire::Key;

/// Seed of Tuesday's patients.
const PATIENTS_SEED: u64 = 273;
/// Keys that they report.
const PATIENTS_KEYS: u64 = 40;
/// Intervals after which every embargo of Tuesday's keys is over.
const EMBARGO_MOST: u64 = 48 * HOUR;

impl Life<'_> {
    /// The rest of Monday and the morning of Tuesday.
    pub(super) fn first_night(&mut self) -> Result<(), DemoError> {
        let sum = self.pass(23 * HOUR)?;
        let report = self.sync_near()?;
        must_be_bare(&report)?;
        equal("keys expired over night", report.change.expired, sum.expired)?;
        let text = format!(
            "phone A, {} later: {} of {} bytes; {} expired by it",
            counted(sum.releases, "release"),
            way(&report),
            report.bytes,
            counted(report.change.expired, "key"),
        );
        self.story.tell(self.world.now(), "next day", text)
    }

    /// Decoys on; patients report; the next release takes their keys along.
    pub(super) fn report(&mut self) -> Result<Vec<ImportedKey>, DemoError> {
        let change = ParamsChange { decoys: Some(true), ..ParamsChange::default() };
        self.world.ask("turning decoys on", Input::Configure { set: SET, change })?;
        let now = self.world.now();
        let today = interval_of(now) / INTERVALS_PER_DAY * INTERVALS_PER_DAY;
        let patients = reports(PATIENTS_SEED, PATIENTS_KEYS, today)?;
        for keys in &patients {
            let input = Input::Import { set: SET, provider: "clinic".to_owned(), keys: keys.clone() };
            let reply = self.world.ask("a report", input)?;
            let accepted = matches!(&reply, Reply::Imported(counts) if counts.accepted == keys.len() as u64);
            must(accepted, || format!("a report is accepted whole, not {reply:?}"))?;
            self.model.reported(keys);
        }
        let keys: Vec<ImportedKey> = patients.iter().flatten().copied().collect();
        let (embargoed, ready) = self.waiting();
        equal("keys that wait", embargoed + ready, keys.len() as u64)?;
        let text = format!(
            "decoys on; {} patients report {}; {embargoed} of them in use today:",
            patients.len(),
            counted(keys.len() as u64, "key")
        );
        self.story.tell(now, "reported", text)?;
        self.story.and("these wait until 2 h after their end, so that nobody can replay them")?;

        let sum = self.pass(1)?;
        equal("keys that came out", sum.added, ready)?;
        must(sum.decoys > 0, || "a release of few reports has decoys for company".to_owned())?;
        let text = format!(
            "serial {}: {} among {}; which belong together does not show",
            self.serial(),
            counted(sum.added, "key"),
            counted(sum.decoys, "decoy")
        );
        self.story.tell(self.world.now(), "released", text)?;
        Ok(keys)
    }

    /// Keys that wait: under embargo, and ready.
    fn waiting(&self) -> (u64, u64) {
        let now = self.world.now();
        let origin = self.world.origin();
        let waiting = origin.origin().state().set(SET).map(|set: &SetState| set.waiting_at(now));
        let (embargoed, ready) = waiting.unwrap_or_default();
        (embargoed as u64, ready as u64)
    }

    /// One phone is a release behind, the other a day.
    pub(super) fn catch_up(&mut self) -> Result<(), DemoError> {
        let near = self.sync_near()?;
        let new = near.change.added;
        let far = self.sync_far()?;
        must(far.change.added >= new, || "who was away longer misses no new key".to_owned())?;
        let text = format!(
            "a release behind: {} of {} bytes, {} a key; phone B, a day behind:",
            way(&near),
            count(near.bytes),
            per_key(near.bytes, new)
        );
        self.story.tell(self.world.now(), self.near.name, text)?;
        self.story.and(format!(
            "{} of {} bytes; both hold the same {} under the signed root",
            way(&far),
            count(far.bytes),
            counted(far.live, "key")
        ))
    }

    /// An operator takes a key back; it leaves with company.
    pub(super) fn withdraw(&mut self, reported: &[ImportedKey]) -> Result<(), DemoError> {
        let key = self.model.newest_out(reported, self.world.now());
        let key = key.ok_or_else(|| DemoError::DoesNotHold("one of Tuesday's keys is out".to_owned()))?;
        let (reason, urgent, dry_run) = ("test mixed up in the laboratory".to_owned(), false, false);
        let scope = crate::authority::Scope::Key { set: SET, key };
        let input = Input::Withdraw { scope, urgent, reason, dry_run };
        let reply = self.world.ask("a withdrawal", input)?;
        must(matches!(&reply, Reply::Withdrawn(w) if w.claims.live == 1), || {
            format!("a withdrawal finds the key live, not {reply:?}")
        })?;
        let at = self.world.now();
        let sum: Sum = self.pass(1)?;
        equal("keys withdrawn", sum.withdrawn, 1)?;
        must(sum.decoys_withdrawn > 0, || "a withdrawn key has decoys for company".to_owned())?;
        self.model.withdrawn(&key);
        let text = format!(
            "an operator takes a key back; in serial {} it leaves with {}",
            self.serial(),
            counted(sum.decoys_withdrawn, "decoy")
        );
        self.story.tell(at, "withdrawn", text)?;

        let (near, far) = (self.sync_near()?, self.sync_far()?);
        let gone = sum.withdrawn + sum.decoys_withdrawn;
        for (report, phone) in [(&near, &self.near), (&far, &self.far)] {
            equal(&format!("keys that left {}", phone.name), report.change.removed, gone)?;
            must(!holds(&phone.set, &key), || format!("{} dropped the key", phone.name))?;
        }
        let looked = self.world.client().lookup(&[key]).map_err(failed("LOOKUP"))?;
        must(looked.keys == [None], || "LOOKUP does not find the withdrawn key".to_owned())?;
        let text =
            format!("A and B drop it by {} of {} bytes; LOOKUP finds it no more", way(&near), near.bytes);
        self.story.tell(self.world.now(), "phones", text)
    }

    /// Until the last of Tuesday's keys is out.
    pub(super) fn embargo(&mut self) -> Result<(), DemoError> {
        let (waiting, _) = self.waiting();
        let (mut out, mut last) = (Sum::default(), None);
        let mut intervals = 0;
        while self.waiting().0 > 0 {
            must(intervals < EMBARGO_MOST, || "every embargo ends".to_owned())?;
            let sum = self.pass(1)?;
            intervals += 1;
            out.added += sum.added;
            out.decoys += sum.decoys;
            out.expired += sum.expired;
            last = (sum.added > 0).then_some(self.world.now()).or(last);
        }
        equal("keys that came out of their embargo", out.added, waiting)?;
        let report = self.sync_near()?;
        equal("keys new to phone A", report.change.added, out.added + out.decoys)?;
        let text = format!(
            "the embargo of {} is over: out among {}; phone A: {} bytes",
            counted(out.added, "key"),
            counted(out.decoys, "decoy"),
            count(report.bytes)
        );
        self.story.tell(last.unwrap_or_else(|| self.world.now()), "released", text)
    }
}

fn holds(set: &SetClient, key: &Key) -> bool {
    set.data().is_some_and(|data| data.find(key.as_bytes()).is_some())
}
