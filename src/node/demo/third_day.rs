//! Wednesday morning: a provider hands out codes, a phone reports and amends; another author takes a report
//! back.

use super::error::{DemoError, equal, failed, must};
use super::life::{Life, way};
use super::patient::{Patient, drawn, receipt};
use super::story::{count, counted};
use super::world::SET;
use crate::client::ReportAnswer;
use crate::engine::{CodeOrder, ImportedKey, Input, Reply, Seeded};
use crate::time::{INTERVALS_PER_DAY, interval_of};
use crate::wire::report::{Outcome, ReportState, ReportType};

const DAY_S: u64 = 86_400;
/// Second of the day at which the office opens.
const OPENS_S: u64 = 8 * 3600;
/// Codes of a batch.
const CODES: u32 = 10;
/// Keys of a phone: those of thirteen days, and today's.
const PHONE_DAYS: u32 = 14;
/// Seed of the first patient; later ones take the next.
pub(super) const PATIENT_SEED: u64 = 500;
/// Seed of the key that was forgotten.
const FORGOTTEN_SEED: u64 = 499;

/// A provider with its codes.
pub(super) struct Office {
    pub(super) id: u32,
    pub(super) codes: Vec<String>,
}

impl Life<'_> {
    /// Until the office opens; it registers and gets codes.
    pub(super) fn provider(&mut self) -> Result<Office, DemoError> {
        while self.world.now() % DAY_S < OPENS_S {
            let sum = self.pass(1)?;
            equal("keys added before the office opens", sum.added + sum.decoys, 0)?;
        }
        self.sync_near()?;
        let input = Input::AddProvider { name: "health office".to_owned(), issuer: None, key: None };
        let reply = self.world.ask("adding a provider", input)?;
        let Reply::Provider { provider, .. } = reply else {
            return Err(DemoError::DoesNotHold(format!("a provider gets a number, not {reply:?}")));
        };
        let order = CodeOrder {
            provider,
            set: SET,
            count: CODES,
            report_type: ReportType::Confirmed,
            onset_day: None,
            lifetime_s: DAY_S,
        };
        let reply = self.world.ask("issuing codes", Input::IssueCodes(order))?;
        let Reply::Codes(issued) = reply else {
            return Err(DemoError::DoesNotHold("codes are answered with codes".to_owned()));
        };
        let mut codes: Vec<String> = issued.codes.iter().map(|code| code.to_text()).collect();
        codes.sort();
        codes.dedup();
        equal("different codes", codes.len() as u64, CODES.into())?;
        let text =
            format!("a health office registers and gets {CODES} codes, which doctors hand to patients:");
        self.story.tell(self.world.now(), "provider", text)?;
        self.story.and("each good for one report of set 1, until tomorrow")?;
        Ok(Office { id: provider, codes })
    }

    /// The interval number at which today began.
    pub(super) fn today(&self) -> u32 {
        interval_of(self.world.now()) / INTERVALS_PER_DAY * INTERVALS_PER_DAY
    }

    /// Patient `n` with the `n`th code, and keys of the days before today.
    pub(super) fn patient(&self, office: &Office, n: usize) -> Patient {
        let yesterday = self.today() - INTERVALS_PER_DAY;
        Patient::new(PATIENT_SEED + n as u64, &office.codes[n], yesterday, PHONE_DAYS - 1)
    }

    /// `patient` reports; all keys are accepted and the receipt holds. Returns the number of its event.
    pub(super) fn reports(&mut self, patient: &Patient) -> Result<u64, DemoError> {
        let mut client = self.world.door().reporter(SET);
        let answer = patient.submit(&mut client, self.world.now())?;
        let receipt = receipt(&answer, &self.world.trust)?;
        equal("keys of the receipt", receipt.keys().into(), patient.keys.len() as u64)?;
        must(receipt.report() == patient.author.report, || "the receipt names the report".to_owned())?;
        let public = patient.keys.iter().any(|key| self.model.knows(&key.key));
        let expected = if public { ReportState::Released } else { ReportState::Accepted };
        must(answer.state == Some(expected), || {
            format!("a new report is {expected:?}, not {:?}", answer.state)
        })?;
        self.model.reported(&patient.keys);
        Ok(receipt.sequence())
    }

    /// How the report of `patient` stands.
    pub(super) fn status(&self, patient: &Patient) -> Result<ReportAnswer, DemoError> {
        let mut client = self.world.door().reporter(SET);
        let asked = client.report_status(self.world.now(), &patient.author);
        let answer = asked.map_err(failed("STATUS"))?;
        must(answer.outcome == Outcome::Done, || format!("STATUS answers, not {:?}", answer.outcome))?;
        Ok(answer)
    }

    /// A phone reports 14 keys, one of them in use; phones get 13.
    pub(super) fn submit(&mut self, office: &Office) -> Result<Patient, DemoError> {
        let patient = Patient::new(PATIENT_SEED, &office.codes[0], self.today(), PHONE_DAYS);
        let at = self.world.now();
        self.reports(&patient)?;
        equal("keys under embargo", self.status(&patient)?.counts.embargo.into(), 1)?;
        let text = format!(
            "a phone seals {PHONE_DAYS} keys and a code to the origin: all accepted, one is in use today;"
        );
        self.story.tell(at, "submitted", text)?;
        self.story
            .and("sent twice it is one report; its receipt verifies offline, with one bit changed not")?;

        let sum = self.pass(1)?;
        let ready = u64::from(PHONE_DAYS) - 1;
        equal("keys of the report that came out", sum.added, ready)?;
        let answer = self.status(&patient)?;
        must(answer.state == Some(ReportState::Released), || "the report is released".to_owned())?;
        equal("keys that its author is told are live", answer.counts.live.into(), ready)?;
        equal("keys that its author is told wait", answer.counts.embargo.into(), 1)?;
        let text = format!(
            "serial {}: {ready} of them among {}; the author asks: {ready} live, 1 under embargo",
            self.serial(),
            counted(sum.decoys, "decoy")
        );
        self.story.tell(self.world.now(), "released", text)?;
        let near = self.sync_near()?;
        let looked = self.look(&patient.keys)?;
        equal("keys of the report that LOOKUP finds", looked, ready)?;
        let text = format!(
            "{} of {} bytes: {ready} of the patient's keys are there, today's is not",
            way(&near),
            count(near.bytes)
        );
        self.story.tell(self.world.now(), self.near.name, text)?;
        Ok(patient)
    }

    /// How many of `keys` LOOKUP finds.
    pub(super) fn look(&self, keys: &[ImportedKey]) -> Result<u64, DemoError> {
        let keys: Vec<_> = keys.iter().map(|key| key.key).collect();
        let looked = self.world.client().lookup(&keys).map_err(failed("LOOKUP"))?;
        Ok(looked.keys.iter().flatten().count() as u64)
    }

    /// The author adds a key.
    pub(super) fn amend(&mut self, patient: &Patient) -> Result<(), DemoError> {
        // Of half a day, two days ago: the phone had been restarted.
        let half = u16::try_from(INTERVALS_PER_DAY / 2).expect("72 intervals");
        let start = self.today() - 2 * INTERVALS_PER_DAY;
        let key = drawn(&mut Seeded::new(FORGOTTEN_SEED), start, half);
        let at = self.world.now();
        let mut client = self.world.door().reporter(SET);
        let answer = patient.amend(&mut client, at, &key)?;
        let receipt = receipt(&answer, &self.world.trust)?;
        equal("keys of the amendment", receipt.keys().into(), 1)?;
        let keys = answer.counts.keys;
        equal("keys of the report", keys.into(), u64::from(PHONE_DAYS) + 1)?;
        self.model.reported(&[key]);
        let sum = self.pass(1)?;
        equal("keys that came out after the amendment", sum.added, 1)?;
        self.sync_near()?;
        equal("keys of the amendment that LOOKUP finds", self.look(&[key])?, 1)?;
        let text = format!(
            "the author adds a key that was forgotten, {keys} now; serial {}: it is out among {}",
            self.serial(),
            counted(sum.decoys, "decoy")
        );
        self.story.tell(at, "amended", text)
    }

    /// Another author takes a report back; nobody else can.
    pub(super) fn cancel(&mut self, office: &Office) -> Result<(), DemoError> {
        let patient = self.patient(office, 1);
        self.reports(&patient)?;
        self.pass(1)?;
        self.sync_near()?;
        let at = self.world.now();
        let mut client = self.world.door().reporter(SET);
        let mut thief = patient.author.clone();
        thief.secret[0] ^= 1;
        let answer = client.cancel(at, &thief).map_err(failed("CANCEL without the secret"))?;
        must(answer.outcome == Outcome::Report, || {
            format!("who has not the secret takes nothing back, not {:?}", answer.outcome)
        })?;
        let answer = client.cancel(at, &patient.author).map_err(failed("CANCEL"))?;
        receipt(&answer, &self.world.trust)?;
        let (keys, decoys) = self.gone(&patient.keys)?;
        let text = format!(
            "a second author takes a report back, with its secret and not without; serial {}:",
            self.serial()
        );
        self.story.tell(at, "cancelled", text)?;
        self.story.and(format!("its {} left with {}", counted(keys, "key"), counted(decoys, "decoy")))
    }

    /// The next release takes exactly `keys` out, and decoys, which is verified on phone A. Returns both
    /// numbers.
    pub(super) fn gone(&mut self, keys: &[ImportedKey]) -> Result<(u64, u64), DemoError> {
        let sum = self.pass(1)?;
        equal("keys that left", sum.withdrawn, keys.len() as u64)?;
        must(sum.decoys_withdrawn > 0, || "what leaves has decoys for company".to_owned())?;
        for key in keys {
            self.model.withdrawn(&key.key);
        }
        let near = self.sync_near()?;
        equal("entries that left phone A", near.change.removed, sum.withdrawn + sum.decoys_withdrawn)?;
        equal("keys taken back that LOOKUP finds", self.look(keys)?, 0)?;
        Ok((sum.withdrawn, sum.decoys_withdrawn))
    }
}
