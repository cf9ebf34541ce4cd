//! What a confirmed report cannot be faster than: the journal's synced writes on this disk, the public-key
//! operations of one core, and how long the machine takes the processor away from who wants nothing else.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tekd::authority::seal::{SealSecret, associated_data, open, seal};
use tekd::engine::Random as _;
use tekd::node::{SystemRandom, journal_path};
use tekd::release::{Receipt, ReceiptFields, SigningKey};
use tekd::store::RealDisk;
use tekd::store::journal::{
    AppendError, Head, Journal, JournalError, JournalReader, LocalJournal, Options, Record, record_bytes,
};
use tekd::wire::FIRST_BYTE;
use tekd::wire::layout::SealedQuestion;
use tekd::wire::report::{Durability, RequestKind};
use tekd::wire::request::REQUEST_LEN;

use crate::median::Spread;
use crate::times::now;

/// Questions that are opened in turn: more than stay in a core's nearest caches.
const QUESTIONS: usize = 256;

/// Why a yardstick is not had.
#[derive(Debug, thiserror::Error)]
pub enum YardstickError {
    /// The journal of the run, or the one beside it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A write.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// No report is in the journal of the run.
    #[error("there is no report in the journal of the run: nothing was confirmed")]
    NoReport,
}

/// Writes to a journal of its own, on the disk of the run, what the run wrote to its journal.
pub(crate) struct Probe {
    journal: LocalJournal,
    head: Head,
    report: Record,
}

/// Synced groups of one size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Synced {
    /// Groups a second, what room for them takes included.
    pub(crate) groups: f64,
    /// Median time of one, seconds.
    pub(crate) median_s: f64,
    /// Time that 99 in 100 do not exceed, seconds.
    pub(crate) p99_s: f64,
}

impl Probe {
    /// A journal in the new directory `dir` for copies of the newest report of the origin in `data`.
    ///
    /// # Errors
    /// [`YardstickError`].
    pub(crate) fn new(dir: &Path, data: &Path) -> Result<Self, YardstickError> {
        let report = newest_report(data)?;
        let mut journal = LocalJournal::create(Arc::new(RealDisk), dir, [7; 16], 1, Options::default())?;
        let head = journal.acquire()?;
        Ok(Probe { journal, head, report })
    }

    /// Appends groups of `reports` for `length`, one each `every`. What keeps one waiting keeps those waiting
    /// that are due meanwhile, and counts for them too; with `every` zero each is due when the one before is
    /// done. Room for a group is made before its time begins, as a server has it made.
    ///
    /// # Errors
    /// [`YardstickError::Append`].
    pub(crate) fn synced(
        &mut self,
        reports: usize,
        length: Duration,
        every: Duration,
    ) -> Result<Synced, YardstickError> {
        let (start, mut times) = (Instant::now(), Vec::new());
        // bounded: by the length, and a write takes some microseconds at least.
        while start.elapsed() < length {
            let due = every * u32::try_from(times.len()).unwrap_or(u32::MAX);
            let seqs = self.head.seq + 1..;
            let records = seqs.take(reports.max(1)).map(|seq| Record { seq, ..self.report.clone() });
            let group: Vec<Record> = records.collect();
            let bytes = group.iter().map(|record| record_bytes(record.payload.len())).sum();
            self.journal.make_room(bytes, 1000 * now())?;
            // Waking up from a pause takes time that no group waits for.
            let is_late = !every.is_zero() && start.elapsed() > due;
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            let began = if is_late { due } else { start.elapsed() };
            self.head = self.journal.append(&self.head, &group, 1000 * now())?;
            times.push((start.elapsed() - began).as_secs_f64());
        }
        let groups = times.len() as f64 / start.elapsed().as_secs_f64();
        times.sort_by(f64::total_cmp);
        let p99_s = times.get(times.len() * 99 / 100).copied().unwrap_or(0.0);
        let median_s = Spread::of(times).map_or(0.0, |spread| spread.median);
        Ok(Synced { groups, median_s, p99_s })
    }
}

/// The longest record among the last of a journal: a report with its keys.
fn newest_report(data: &Path) -> Result<Record, YardstickError> {
    let (disk, dir) = (Arc::new(RealDisk), journal_path(data));
    let mut newest: Option<Record> = None;
    for group in JournalReader::open(disk, &dir)? {
        let longest = group?.records.into_iter().max_by_key(|record| record.payload.len());
        newest = longest
            .filter(|it| newest.as_ref().is_none_or(|n| n.payload.len() <= it.payload.len()))
            .or(newest);
    }
    newest.ok_or(YardstickError::NoReport)
}

/// The public-key operations of reports under codes: each question is opened and a receipt signed.
pub(crate) struct PublicKeys {
    secret: SealSecret,
    signer: SigningKey,
    questions: Vec<SealedQuestion>,
}

const SERVICE: [u8; 8] = *b"yardstck";
const SET: u32 = 1;

impl PublicKeys {
    /// Keys and questions made up.
    pub(crate) fn new() -> Self {
        let secret = SealSecret::from_bytes(&[7; 32]);
        let (public, associated) = (secret.public(), associated_data(FIRST_BYTE, &SERVICE, SET));
        let question = |_| {
            let random = |out: &mut [u8]| SystemRandom.fill(out);
            seal(&public, &associated, &[0; REQUEST_LEN], random).expect("a key that can be sealed to").0
        };
        let questions = (0..QUESTIONS).map(question).collect();
        PublicKeys { secret, signer: SigningKey::from_secret([8; 32]), questions }
    }

    /// Reports a second whose operations one core does, measured for `length`.
    pub(crate) fn a_second(&self, length: Duration) -> f64 {
        let associated = associated_data(FIRST_BYTE, &SERVICE, SET);
        let (start, mut done) = (Instant::now(), 0_u32);
        for question in self.questions.iter().cycle() {
            if start.elapsed() >= length {
                break;
            }
            let (request, key) = open(&self.secret, &associated, question).expect("just sealed");
            black_box(key);
            black_box(receipt(&request).sign(&self.signer));
            done += 1;
        }
        f64::from(done) / start.elapsed().as_secs_f64()
    }
}

/// The longest time for which a thread that only looks at the clock did not run: while nobody asks anything
/// of the server, mostly what the machine's host took.
pub(crate) fn longest_pause(length: Duration) -> Duration {
    let (start, mut longest, mut last) = (Instant::now(), Duration::ZERO, Duration::ZERO);
    while last < length {
        let now = start.elapsed();
        longest = longest.max(now - last);
        last = now;
    }
    longest
}

/// A receipt of something.
fn receipt(request: &[u8; REQUEST_LEN]) -> Receipt {
    Receipt::new(&ReceiptFields {
        service: SERVICE,
        set: SET,
        incarnation: 1,
        report: [1; 16],
        sequence: 1,
        time: 1_790_337_600,
        durability: Durability::Disk,
        kind: RequestKind::Submit,
        keys: 14,
        key_epoch: 1,
        content: *request.first_chunk().expect("2848 bytes"),
        verdicts: [0; 32],
    })
}
