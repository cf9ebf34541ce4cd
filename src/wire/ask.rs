//! Building questions into the caller's buffer: the client's half of spec 2.
//!
//! One builder per question sent: a fresh transaction id for each datagram is the
//! caller's duty (spec 4.5.4), as is the choice of what to pad. Randomness comes in as
//! values.

use thiserror::Error;
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use super::header::{
    FIRST_BYTE, FLAG_HISTORY, FLAG_LONG_KEYS, FLAGS_GREASE, HEADER_LEN, MAX_QUESTION_STREAM, Operation,
    Question, ServiceId,
};
use super::key::{Key, LONG_KEY_LEN};
use super::layout::{FetchArgument, ProofArgument, SealedQuestion};
use super::question::{Bucket, Fetch, Notify, Proof, Sync};
use super::slot::{max_slots, slot_len};
use super::tlv;

/// Why a question cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BuildError {
    /// The buffer ends before the question.
    #[error("a question of {need} bytes does not fit a buffer of {have}")]
    Room {
        /// Bytes of the question, padding included.
        need: usize,
        /// Bytes of the buffer.
        have: usize,
    },
    /// No question is so long (spec 1.3.2).
    #[error("a question of {0} bytes, where at most {MAX_QUESTION_STREAM} are allowed (spec 1.3.2)")]
    TooLong(usize),
    /// Not 1–32 keys, or 1–24 of 32 bytes (spec 2.3.1).
    #[error("{count} keys in one LOOKUP, where 1 to {limit} are allowed (spec 2.3.1)")]
    KeyCount {
        /// How many were given.
        count: usize,
        /// The most for keys of this length.
        limit: usize,
    },
    /// Keys of 16 and of 32 bytes in one question.
    #[error("keys of 16 and of 32 bytes in one LOOKUP (spec 2.3.1)")]
    MixedKeys,
    /// More levels held than the prefix has bits (spec 2.4.2).
    #[error("{held} levels held of a prefix of {bits} bits (spec 2.4.2)")]
    Held {
        /// Levels held.
        held: u8,
        /// Bits of the prefix.
        bits: u8,
    },
}

/// What every question of an exchange shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuestionBuilder {
    /// The service that is asked.
    pub service: ServiceId,
    /// The set that is asked about.
    pub set: u32,
    /// Random, fresh for each datagram (spec 4.5.4).
    pub txid: u64,
    /// The server's last cookie, or 0.
    pub cookie: u64,
    /// Longest datagram wanted, 0 = 1232.
    pub max_answer: u16,
    /// Length that PAD brings the question to, rounded up to a multiple of 4; 0 = none. SEALED ignores it.
    pub pad_to: usize,
    /// Random bits; those without meaning (12–15) are sent (spec 1.1.7).
    pub grease: u16,
}

/// The header fields that one operation sets.
struct Fields {
    operation: Operation,
    flags: u16,
    count: u8,
    bits: u8,
    version: u64,
    argument: [u8; 16],
}

impl Fields {
    fn of(operation: Operation) -> Self {
        Fields { operation, flags: 0, count: 0, bits: 0, version: 0, argument: [0; 16] }
    }
}

/// Every method writes one question into `out` and returns its length in bytes.
///
/// All fail with [`BuildError::Room`] if `out` is too short and with
/// [`BuildError::TooLong`] if the padding goes beyond what a question may have.
impl QuestionBuilder {
    /// A question without cookie, padding or grease.
    pub fn new(service: ServiceId, set: u32, txid: u64) -> Self {
        QuestionBuilder { service, set, txid, cookie: 0, max_answer: 0, pad_to: 0, grease: 0 }
    }

    /// INFO (spec 2.1).
    pub fn info(&self, out: &mut [u8]) -> Result<usize, BuildError> {
        self.build(&Fields::of(Operation::Info), &[], out)
    }

    /// CHECKPOINT (spec 2.2).
    pub fn checkpoint(&self, out: &mut [u8]) -> Result<usize, BuildError> {
        self.build(&Fields::of(Operation::Checkpoint), &[], out)
    }

    /// LOOKUP of 1–32 keys of 16 bytes, or 1–24 of 32 (spec 2.3).
    ///
    /// # Errors
    /// Also [`BuildError::KeyCount`] and [`BuildError::MixedKeys`].
    pub fn lookup(&self, keys: &[Key], out: &mut [u8]) -> Result<usize, BuildError> {
        let key_len = keys.first().map_or(0, Key::len);
        if keys.iter().any(|key| key.len() != key_len) {
            return Err(BuildError::MixedKeys);
        }
        let long = key_len == LONG_KEY_LEN;
        let limit = max_slots(long);
        if !(1..=limit).contains(&keys.len()) {
            return Err(BuildError::KeyCount { count: keys.len(), limit });
        }
        let body_len = keys.len() * slot_len(long);
        let slots = self.room(HEADER_LEN + body_len, out)?;
        for (slot, key) in slots[HEADER_LEN..].chunks_exact_mut(slot_len(long)).zip(keys) {
            let (into, tail) = slot.split_at_mut(key_len);
            into.copy_from_slice(key.as_bytes());
            tail.fill(0);
        }
        let flags = if long { FLAG_LONG_KEYS } else { 0 };
        self.finish(
            &Fields { flags, count: keys.len() as u8, ..Fields::of(Operation::Lookup) },
            body_len,
            out,
        )
    }

    /// BUCKET (spec 2.4). Bits beyond the prefix are cleared.
    ///
    /// # Errors
    /// Also [`BuildError::Held`].
    pub fn bucket(&self, bucket: &Bucket<'_>, out: &mut [u8]) -> Result<usize, BuildError> {
        let (bits, held) = (bucket.bits, bucket.held);
        if held > bits {
            return Err(BuildError::Held { held, bits });
        }
        let argument = masked(*bucket.prefix, bits);
        self.build(&Fields { count: held, bits, argument, ..Fields::of(Operation::Bucket) }, &[], out)
    }

    /// SYNC (spec 2.5).
    pub fn sync(&self, sync: Sync, out: &mut [u8]) -> Result<usize, BuildError> {
        let flags = if sync.history { FLAG_HISTORY } else { 0 };
        self.build(&Fields { flags, version: sync.version, ..Fields::of(Operation::Sync) }, &[], out)
    }

    /// FETCH (spec 2.6).
    pub fn fetch(&self, fetch: &Fetch<'_>, out: &mut [u8]) -> Result<usize, BuildError> {
        let argument = FetchArgument {
            offset: U32::new(fetch.offset),
            length: U32::new(fetch.length),
            reserved: U64::new(0),
        };
        self.build(&Fields { argument: argument.into(), ..Fields::of(Operation::Fetch) }, fetch.digest, out)
    }

    /// PROOF (spec 2.7).
    pub fn proof(&self, proof: Proof, out: &mut [u8]) -> Result<usize, BuildError> {
        let argument = ProofArgument { first: U64::new(proof.first), second: U64::new(proof.second) };
        let fields =
            Fields { count: proof.kind as u8, argument: argument.into(), ..Fields::of(Operation::Proof) };
        self.build(&fields, &[], out)
    }

    /// MANIFEST (spec 2.8), on streams only.
    pub fn manifest(&self, out: &mut [u8]) -> Result<usize, BuildError> {
        self.build(&Fields::of(Operation::Manifest), &[], out)
    }

    /// SEALED (spec 2.9), on streams only: always 4096 bytes.
    pub fn sealed(&self, body: &SealedQuestion, out: &mut [u8]) -> Result<usize, BuildError> {
        let unpadded = QuestionBuilder { pad_to: 0, ..*self };
        unpadded.build(&Fields::of(Operation::Sealed), body.as_bytes(), out)
    }

    /// NOTIFY (spec 2.10), on streams only.
    pub fn notify(&self, notify: Notify, out: &mut [u8]) -> Result<usize, BuildError> {
        self.build(&Fields { version: notify.version, ..Fields::of(Operation::Notify) }, &[], out)
    }

    fn build(&self, fields: &Fields, body: &[u8], out: &mut [u8]) -> Result<usize, BuildError> {
        self.room(HEADER_LEN + body.len(), out)?[HEADER_LEN..].copy_from_slice(body);
        self.finish(fields, body.len(), out)
    }

    /// The length of a question whose header and body have `bare` bytes, padded.
    fn padded(&self, bare: usize) -> usize {
        // A pad beyond every limit is refused by its length, not rounded into one that is not.
        if self.pad_to > MAX_QUESTION_STREAM {
            self.pad_to
        } else {
            bare.max(self.pad_to.next_multiple_of(4))
        }
    }

    /// The part of `out` for header and body, if the padded question fits.
    fn room<'o>(&self, bare: usize, out: &'o mut [u8]) -> Result<&'o mut [u8], BuildError> {
        let (need, have) = (self.padded(bare), out.len());
        if need > MAX_QUESTION_STREAM {
            return Err(BuildError::TooLong(need));
        }
        if need > have {
            return Err(BuildError::Room { need, have });
        }
        Ok(&mut out[..bare])
    }

    /// Writes PAD and header around a body that is in its place and has its room.
    fn finish(&self, fields: &Fields, body_len: usize, out: &mut [u8]) -> Result<usize, BuildError> {
        let bare = HEADER_LEN + body_len;
        let (need, have) = (self.padded(bare), out.len());
        let length = tlv::pad(out, bare, need).ok_or(BuildError::Room { need, have })?;
        let header = Question {
            first_byte: FIRST_BYTE,
            operation: fields.operation as u8,
            flags: U16::new(fields.flags | self.grease & FLAGS_GREASE),
            length: U32::new(length as u32),
            service: self.service,
            txid: U64::new(self.txid),
            cookie: U64::new(self.cookie),
            set: U32::new(self.set),
            max_answer: U16::new(self.max_answer),
            count: fields.count,
            bits: fields.bits,
            version: U64::new(fields.version),
            argument: fields.argument,
        };
        out[..HEADER_LEN].copy_from_slice(header.as_bytes());
        Ok(length)
    }
}

/// The prefix with the bits beyond it cleared: they could name a key (spec 2.4.1).
fn masked(prefix: [u8; 16], bits: u8) -> [u8; 16] {
    let beyond = 128u32.saturating_sub(u32::from(bits));
    let mask = u128::MAX.checked_shl(beyond).unwrap_or(0);
    (u128::from_be_bytes(prefix) & mask).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILDER: QuestionBuilder = QuestionBuilder {
        service: *b"service!",
        set: 1,
        txid: 2,
        cookie: 0,
        max_answer: 0,
        pad_to: 0,
        grease: 0,
    };

    #[test]
    fn a_prefix_carries_no_bit_beyond_its_length() {
        // spec 2.4.1
        let mut out = [0; 64];
        let bucket = Bucket { prefix: &[0xff; 16], bits: 12, held: 3 };
        assert_eq!(BUILDER.bucket(&bucket, &mut out), Ok(64));
        assert_eq!(out[38..40], [3, 12]);
        assert_eq!(out[48..64], [0xff, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(masked([0xff; 16], 0), [0; 16]);
        assert_eq!(masked([0xff; 16], 255), [0xff; 16]);
    }

    #[test]
    fn only_the_bits_without_meaning_are_greased() {
        // spec 1.1.7
        let mut out = [0; 64];
        let greased = QuestionBuilder { grease: 0xafff, ..BUILDER };
        greased.sync(Sync { version: 0, history: true }, &mut out).unwrap();
        assert_eq!(out[2..4], [0x01, 0xa0]);
    }

    #[test]
    fn a_lookup_takes_one_to_32_keys_of_one_length() {
        // spec 2.3.1
        let mut out = [0; 4096];
        let (short, long) = (Key::from_slice(&[1; 16]).unwrap(), Key::from_slice(&[2; 32]).unwrap());
        assert_eq!(BUILDER.lookup(&[short; 32], &mut out), Ok(1088));
        assert_eq!(
            BUILDER.lookup(&[short; 33], &mut out),
            Err(BuildError::KeyCount { count: 33, limit: 32 })
        );
        assert_eq!(BUILDER.lookup(&[long; 24], &mut out), Ok(1216));
        assert_eq!(BUILDER.lookup(&[long; 25], &mut out), Err(BuildError::KeyCount { count: 25, limit: 24 }));
        assert_eq!(BUILDER.lookup(&[], &mut out), Err(BuildError::KeyCount { count: 0, limit: 32 }));
        assert_eq!(BUILDER.lookup(&[short, long], &mut out), Err(BuildError::MixedKeys));
    }

    #[test]
    fn padding_reaches_its_length_or_says_why_not() {
        // spec 1.2.4, 1.3.2
        let mut out = [0xee; 1232];
        let padded = |pad_to| QuestionBuilder { pad_to, ..BUILDER };
        assert_eq!(padded(1232).checkpoint(&mut out), Ok(1232));
        assert_eq!(out[64..68], [1, 0, 0x8c, 0x04]);
        assert_eq!(padded(65).checkpoint(&mut out), Ok(68));
        assert_eq!(padded(10).checkpoint(&mut out), Ok(64));
        assert_eq!(padded(1233).checkpoint(&mut out), Err(BuildError::Room { need: 1236, have: 1232 }));
        assert_eq!(padded(4097).checkpoint(&mut out), Err(BuildError::TooLong(4097)));
        assert_eq!(padded(usize::MAX).checkpoint(&mut out), Err(BuildError::TooLong(usize::MAX)));
        assert_eq!(BUILDER.info(&mut out[..63]), Err(BuildError::Room { need: 64, have: 63 }));
    }
}
