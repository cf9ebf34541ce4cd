//! Patients of the demo: a phone with keys, a code from a doctor, and what makes a report its author's own.

use super::error::{DemoError, failed, must};
use crate::client::{Author, Client, ReportAnswer, ReportDraft};
use crate::engine::{ImportedKey, Random, Seeded};
use crate::node::entropy::SystemRandom;
use crate::release::{Fields, ONSET_NONE, Receipt, ReceiptBundle, Trust};
use crate::time::INTERVALS_PER_DAY;
use crate::wire::Key;
use crate::wire::report::{GRANT_CODE, Outcome, ReportType, SentKey};

/// Rolling period of a whole day, in intervals.
const DAY: u16 = 144;

const _: () = assert!(DAY as u32 == INTERVALS_PER_DAY);

/// Somebody who reports.
pub(super) struct Patient {
    /// Who alone can change the report.
    pub(super) author: Author,
    code: String,
    /// The keys of the phone.
    pub(super) keys: Vec<ImportedKey>,
}

impl Patient {
    /// A patient with a code and the keys of `days` days, the newest of which began at `newest` (an interval
    /// number).
    pub(super) fn new(seed: u64, code: &str, newest: u32, days: u32) -> Self {
        let mut random = Seeded::new(seed);
        let start = |ago: u32| newest - ago * INTERVALS_PER_DAY;
        let keys = (0..days).map(|ago| drawn(&mut random, start(ago), DAY)).collect();
        // The secret is nobody's business, also in a demo.
        let author = Author::new(&mut |bytes| SystemRandom.fill(bytes));
        Patient { author, code: code.to_owned(), keys }
    }

    /// Submits the keys, and again: it stays one report with one receipt.
    pub(super) fn submit(&self, client: &mut Client<'_>, now: u64) -> Result<ReportAnswer, DemoError> {
        let keys: Vec<SentKey<'_>> = self.keys.iter().map(sent).collect();
        let grant = Some((GRANT_CODE, self.code.as_bytes()));
        let draft = ReportDraft { grant, keys: &keys, ..ReportDraft::default() };
        let answer = client.submit(now, &self.author, &draft).map_err(failed("SUBMIT"))?;
        let again = client.submit(now, &self.author, &draft).map_err(failed("SUBMIT again"))?;
        must(again == answer, || "a submission that is repeated is answered as it was".to_owned())?;
        Ok(answer)
    }

    /// Adds one key to the report.
    pub(super) fn amend(
        &self,
        client: &mut Client<'_>,
        now: u64,
        key: &ImportedKey,
    ) -> Result<ReportAnswer, DemoError> {
        let keys = [sent(key)];
        let draft = ReportDraft { keys: &keys, ..ReportDraft::default() };
        client.amend(now, &self.author, &draft).map_err(failed("AMEND"))
    }
}

/// A key as a confirmed report publishes it.
pub(super) fn drawn(random: &mut Seeded, start: u32, period: u16) -> ImportedKey {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    let report = ReportType::Confirmed.number();
    ImportedKey {
        key: Key::from_slice(&bytes).expect("a key has 16 bytes"),
        fields: Fields { start, period, report, risk: 0, onset: ONSET_NONE },
        period: period.into(),
    }
}

fn sent(key: &ImportedKey) -> SentKey<'_> {
    let ImportedKey { key, fields, period } = key;
    SentKey { key: key.as_bytes(), start: fields.start, period: *period, risk: fields.risk }
}

/// The receipt of an answer that says DONE, verified from its bytes alone as anybody may later.
pub(super) fn receipt(answer: &ReportAnswer, trust: &Trust) -> Result<Receipt, DemoError> {
    must(answer.outcome == Outcome::Done, || format!("the report is done, not {:?}", answer.outcome))?;
    let kept = answer.receipt.as_ref().map(ReceiptBundle::to_bytes);
    let kept = kept.ok_or_else(|| DemoError::DoesNotHold("what is done has a receipt".to_owned()))?;
    let read = |bytes: &[u8]| ReceiptBundle::from_bytes(bytes);
    let bundle = read(&kept).map_err(failed("reading a kept receipt"))?;
    bundle.verify(trust).map_err(failed("verifying a kept receipt"))?;
    let mut forged = kept;
    forged[FORGED_BYTE] ^= 1;
    must(read(&forged).is_ok_and(|bundle| bundle.verify(trust).is_err()), || {
        "a receipt with one bit changed does not verify".to_owned()
    })?;
    Ok(bundle.receipt)
}

/// A byte of the content's hash in a receipt (spec 7.7.1).
const FORGED_BYTE: usize = 60;
