//! What the origin says inside a SEALED answer: 3984 bytes, whatever it says (spec 7.6).
//!
//! One struct is both what is written and what was read: it borrows receipt and verdicts. The receipt, what
//! signs it and who vouches for its key are bytes here; what they are is known a floor above.

use thiserror::Error;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes, Unaligned};

use super::layout::{DELEGATION_LEN, MAX_DELEGATION_SIGNATURES, SIGNATURE_ENTRY_LEN, SIGNATURE_LIST_HEAD};
use super::report::{MAX_SENT_KEYS, Outcome, ReportState, Verdict};
use super::request::PUZZLE_SEED_LEN;

/// Bytes of an answer (spec 7.1.3).
pub const OUTCOME_LEN: usize = 3984;
/// Bytes of a receipt (spec 7.7.1).
pub const RECEIPT_LEN: usize = 128;
/// Bytes of a receipt's signature list: one Ed25519 signature (spec 7.6.1).
pub const RECEIPT_SIGNATURES_LEN: usize = SIGNATURE_LIST_HEAD + SIGNATURE_ENTRY_LEN;
/// Bytes in which the signature list of a receipt's delegation stands: as many signatures as roots ever must
/// give (spec 2.2.2, 3.5.3, 7.6.1).
pub const DELEGATION_SIGNATURES_LEN: usize =
    SIGNATURE_LIST_HEAD + MAX_DELEGATION_SIGNATURES * SIGNATURE_ENTRY_LEN;

const HEAD_LEN: usize = size_of::<Head>();

const _: () = assert!(HEAD_LEN == 64 && RECEIPT_SIGNATURES_LEN == 80 && DELEGATION_SIGNATURES_LEN == 232);
const _: () = assert!(size_of::<ReceiptBytes>() == 520);
// The longest answer: a puzzle, which is in the head, a receipt, a delegation that as many roots signed as
// may, and a verdict on each key that can be sent.
const _: () = assert!(HEAD_LEN + size_of::<ReceiptBytes>() + MAX_SENT_KEYS <= OUTCOME_LEN);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Head {
    outcome: u8,
    state: u8,
    verdicts: u8,
    puzzle_bits: u8,
    wait_s: U16,
    reserved: U16,
    time: U64,
    puzzle_seed: [u8; PUZZLE_SEED_LEN],
    serial: U32,
    keys: U16,
    live: U16,
    embargo: U16,
    waiting: U16,
    withdrawn: U16,
    reserved_end: [u8; 18],
}

/// A receipt, its signature list, and the delegation of the key that signed it, as bytes.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ReceiptBytes {
    /// The receipt.
    pub receipt: [u8; RECEIPT_LEN],
    /// The signature list over it.
    pub signatures: [u8; RECEIPT_SIGNATURES_LEN],
    /// The delegation of the receipt's epoch.
    pub delegation: [u8; DELEGATION_LEN],
    /// The roots' signature list over it, then zeros.
    pub delegation_signatures: [u8; DELEGATION_SIGNATURES_LEN],
}

impl ReceiptBytes {
    /// A receipt and its signature list, and a delegation with its own. A delegation that an answer has no
    /// room for is left out: no root that vouches in words so long is believed (spec 3.5.3).
    #[must_use]
    pub fn new(
        receipt: [u8; RECEIPT_LEN],
        signatures: [u8; RECEIPT_SIGNATURES_LEN],
        vouched: &[u8],
    ) -> ReceiptBytes {
        let (mut delegation, mut delegation_signatures) = ([0; _], [0; DELEGATION_SIGNATURES_LEN]);
        if let Some((body, list)) = vouched.split_first_chunk()
            && let Some(room) = delegation_signatures.get_mut(..list.len())
        {
            delegation = *body;
            room.copy_from_slice(list);
        }
        ReceiptBytes { receipt, signatures, delegation, delegation_signatures }
    }
}

impl core::fmt::Debug for ReceiptBytes {
    // no-trace: a receipt names a report.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ReceiptBytes")
    }
}

/// Where the keys of a report are (spec 7.6.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportCounts {
    /// Keys of the report.
    pub keys: u16,
    /// Live in the newest release.
    pub live: u16,
    /// Under embargo.
    pub embargo: u16,
    /// Waiting for the next release or for company.
    pub waiting: u16,
    /// Taken back.
    pub withdrawn: u16,
}

/// Why bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MalformedOutcome {
    /// No such outcome.
    #[error("outcome {0} is unknown")]
    Outcome(u8),
    /// No such state.
    #[error("report state {0} is unknown")]
    State(u8),
    /// More verdicts than keys can be sent.
    #[error("{0} verdicts, at most {MAX_SENT_KEYS}")]
    Verdicts(u8),
    /// No such verdict.
    #[error("verdict {0} is unknown")]
    Verdict(u8),
}

/// How a request ended, and how its report stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportOutcome<'a> {
    /// How it ended.
    pub outcome: Outcome,
    /// Where the report stands, if one is meant.
    pub state: Option<ReportState>,
    /// One for each key that was sent.
    pub verdicts: &'a [Verdict],
    /// Seed and bits of a puzzle to be solved first.
    pub puzzle: Option<([u8; PUZZLE_SEED_LEN], u8)>,
    /// Seconds before the client asks again, 0 for none.
    pub wait_s: u16,
    /// Time of the server, Unix seconds.
    pub time: u64,
    /// Serial of the newest release that holds a key of the report, 0 for none.
    pub serial: u32,
    /// Where its keys are.
    pub counts: ReportCounts,
    /// Receipt, signatures, delegation.
    pub receipt: Option<&'a ReceiptBytes>,
}

impl<'a> ReportOutcome<'a> {
    /// An outcome and nothing else.
    #[must_use]
    pub fn of(outcome: Outcome, time: u64) -> ReportOutcome<'a> {
        ReportOutcome {
            outcome,
            state: None,
            verdicts: &[],
            puzzle: None,
            wait_s: 0,
            time,
            serial: 0,
            counts: ReportCounts::default(),
            receipt: None,
        }
    }

    /// Writes all 3984 bytes.
    ///
    /// # Panics
    /// If there are more verdicts than [`MAX_SENT_KEYS`]: there is one for each key of a request.
    pub fn write(&self, out: &mut [u8; OUTCOME_LEN]) {
        let verdicts = self.verdicts.len();
        assert!(verdicts <= MAX_SENT_KEYS, "a verdict for each of at most {MAX_SENT_KEYS} keys");
        let (puzzle_seed, puzzle_bits) = self.puzzle.unwrap_or_default();
        let counts = self.counts;
        let head = Head {
            outcome: self.outcome.number(),
            state: self.state.map_or(0, ReportState::number),
            verdicts: verdicts as u8,
            puzzle_bits,
            wait_s: self.wait_s.into(),
            reserved: 0.into(),
            time: self.time.into(),
            puzzle_seed,
            serial: self.serial.into(),
            keys: counts.keys.into(),
            live: counts.live.into(),
            embargo: counts.embargo.into(),
            waiting: counts.waiting.into(),
            withdrawn: counts.withdrawn.into(),
            reserved_end: [0; 18],
        };
        out.fill(0);
        let (head_bytes, rest) = out.split_at_mut(HEAD_LEN);
        head_bytes.copy_from_slice(head.as_bytes());
        let (receipt, rest) = rest.split_at_mut(size_of::<ReceiptBytes>());
        if let Some(bytes) = self.receipt {
            receipt.copy_from_slice(bytes.as_bytes());
        }
        rest[..verdicts].copy_from_slice(self.verdicts.as_bytes());
    }

    /// Reads an answer. Reserved bytes and what follows the verdicts are ignored.
    ///
    /// # Errors
    /// [`MalformedOutcome`]: a number that nobody knows.
    pub fn parse(bytes: &'a [u8; OUTCOME_LEN]) -> Result<Self, MalformedOutcome> {
        let (head, rest) = Head::ref_from_prefix(bytes).expect("an answer is longer than its head");
        let (receipt, rest) = ReceiptBytes::ref_from_prefix(rest).expect("and than head and receipt");
        let outcome = Outcome::from_number(head.outcome).ok_or(MalformedOutcome::Outcome(head.outcome))?;
        let state = match head.state {
            0 => None,
            number => Some(ReportState::from_number(number).ok_or(MalformedOutcome::State(number))?),
        };
        let count = usize::from(head.verdicts);
        if count > MAX_SENT_KEYS {
            return Err(MalformedOutcome::Verdicts(head.verdicts));
        }
        let numbers = &rest[..count];
        let verdicts = <[Verdict]>::try_ref_from_bytes(numbers).map_err(|_| {
            let unknown = numbers.iter().find(|number| Verdict::from_number(**number).is_none());
            MalformedOutcome::Verdict(unknown.copied().unwrap_or_default())
        })?;
        let has_receipt = receipt.as_bytes().iter().any(|byte| *byte != 0);
        Ok(ReportOutcome {
            outcome,
            state,
            verdicts,
            puzzle: (head.puzzle_bits != 0).then_some((head.puzzle_seed, head.puzzle_bits)),
            wait_s: head.wait_s.get(),
            time: head.time.get(),
            serial: head.serial.get(),
            counts: ReportCounts {
                keys: head.keys.get(),
                live: head.live.get(),
                embargo: head.embargo.get(),
                waiting: head.waiting.get(),
                withdrawn: head.withdrawn.get(),
            },
            receipt: has_receipt.then_some(receipt),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIPT: ReceiptBytes = ReceiptBytes {
        receipt: [3; 128],
        signatures: [4; 80],
        delegation: [6; 80],
        delegation_signatures: [7; 232],
    };

    fn sample() -> ReportOutcome<'static> {
        ReportOutcome {
            state: Some(ReportState::Released),
            verdicts: &[Verdict::Accepted, Verdict::Onset],
            puzzle: Some(([5; 16], 20)),
            wait_s: 0x0102,
            serial: 7,
            counts: ReportCounts { keys: 5, live: 1, embargo: 2, waiting: 3, withdrawn: 4 },
            receipt: Some(&RECEIPT),
            ..ReportOutcome::of(Outcome::Late, 0x0a0b)
        }
    }

    fn written(outcome: &ReportOutcome<'_>) -> [u8; OUTCOME_LEN] {
        let mut out = [0xee; OUTCOME_LEN];
        outcome.write(&mut out);
        out
    }

    #[test]
    fn every_field_lies_where_the_table_says() {
        // spec 7.6.1
        let out = written(&sample());
        assert_eq!(out[..16], [19, 2, 2, 20, 2, 1, 0, 0, 0x0b, 0x0a, 0, 0, 0, 0, 0, 0]);
        assert_eq!(out[16..32], [5; 16]);
        assert_eq!(out[32..46], [7, 0, 0, 0, 5, 0, 1, 0, 2, 0, 3, 0, 4, 0]);
        assert_eq!(out[46..64], [0; 18]);
        assert_eq!((&out[64..192], &out[192..272]), (&[3; 128][..], &[4; 80][..]));
        assert_eq!((&out[272..352], &out[352..584]), (&[6; 80][..], &[7; 232][..]));
        assert_eq!(out[584..586], [0, 9]);
        assert!(out[586..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_delegation_that_has_no_room_is_left_out() {
        // spec 7.6.1
        let with = |vouched: &[u8]| ReceiptBytes::new([3; 128], [4; 80], vouched);
        assert_eq!(with(&[[6; 80].as_slice(), &[7; 232]].concat()), RECEIPT);
        let short = with(&[[6; 80].as_slice(), &[7; 80]].concat());
        assert_eq!((short.delegation, &short.delegation_signatures[80..]), ([6; 80], &[0; 152][..]));
        for none in [0, 79, 313] {
            let without = with(&vec![6; none]);
            assert_eq!((without.delegation, without.delegation_signatures), ([0; 80], [0; 232]), "{none}");
        }
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        for outcome in [sample(), ReportOutcome::of(Outcome::Busy, 1), ReportOutcome::of(Outcome::Done, 2)] {
            assert_eq!(ReportOutcome::parse(&written(&outcome)), Ok(outcome));
        }
        let most = [Verdict::Count; MAX_SENT_KEYS];
        let outcome = ReportOutcome { verdicts: &most, ..sample() };
        assert_eq!(ReportOutcome::parse(&written(&outcome)), Ok(outcome));
    }

    #[test]
    fn numbers_that_nobody_knows_are_refused() {
        let broken = |at: usize, value: u8| {
            let mut bytes = written(&sample());
            bytes[at] = value;
            ReportOutcome::parse(&bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(broken(0, 24), MalformedOutcome::Outcome(24));
        assert_eq!(broken(1, 4), MalformedOutcome::State(4));
        assert_eq!(broken(2, 37), MalformedOutcome::Verdicts(37));
        assert_eq!(broken(585, 10), MalformedOutcome::Verdict(10));
    }

    #[test]
    fn reserved_bytes_say_nothing() {
        let mut bytes = written(&sample());
        (bytes[6], bytes[60], bytes[OUTCOME_LEN - 1]) = (1, 1, 1);
        assert_eq!(ReportOutcome::parse(&bytes), Ok(sample()));
    }

    #[test]
    fn a_receipt_is_not_printed() {
        assert!(!format!("{:?}", sample()).contains("3, 3, 3"));
    }
}
