//! From the bytes of a question to what it asks, in the order of spec 1.4.3.
//!
//! One bounds check and a few compares until the operation is known, then what that
//! operation needs; nothing is copied. Whatever can be told without knowing a set is
//! decided here; what needs one (SET, RANGE, GONE …) is left to who answers.

use zerocopy::{FromBytes, transmute_ref};

use super::header::{
    ANSWER_BIT, FIRST_BYTE, FLAG_HISTORY, FLAG_LONG_KEYS, MAX_DATAGRAM, MAX_QUESTION_STREAM, Operation,
    Question, ResultCode, ServiceId, begins_frame,
};
use super::layout::{FetchArgument, HASH_LEN, ProofArgument, SealedQuestion};
use super::slot::{SLOT_TAIL, max_slots, slot_len};
use super::tlv::Tlvs;

/// Why a frame gets no answer (spec 1.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SilentReason {
    /// Shorter than a header, longer than the transport allows, or not as long as it says.
    Length,
    /// The first byte is none of ours.
    FirstByte,
    /// The service id is another's.
    Service,
    /// Bit 7 of byte 1: an answer (spec 1.1.5).
    Reply,
}

/// What a frame turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// Nothing is sent.
    Silent(SilentReason),
    /// A refusal is sent.
    Refuse {
        /// MALFORMED, OPERATION, CRITICAL or TRANSPORT.
        result: ResultCode,
        /// CRITICAL: the type; else 0.
        info: u32,
        /// The header that is answered.
        header: &'a Question,
    },
    /// Another version: the answer is 64 bytes that name ours (spec 1.1.6).
    OtherVersion(&'a Question),
    /// A question, sound as far as can be told without its set.
    Question(&'a Question, Body<'a>),
}

/// What a question asks, one variant per operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// Spec 2.1.
    Info,
    /// Spec 2.2.
    Checkpoint,
    /// Spec 2.3.
    Lookup(Lookup<'a>),
    /// Spec 2.4.
    Bucket(Bucket<'a>),
    /// Spec 2.5.
    Sync(Sync),
    /// Spec 2.6.
    Fetch(Fetch<'a>),
    /// Spec 2.7.
    Proof(Proof),
    /// Spec 2.8.
    Manifest,
    /// Spec 2.9.
    Sealed(&'a SealedQuestion),
    /// Spec 2.10.
    Notify(Notify),
}

impl Body<'_> {
    /// The operation that is asked.
    pub fn operation(&self) -> Operation {
        match self {
            Body::Info => Operation::Info,
            Body::Checkpoint => Operation::Checkpoint,
            Body::Lookup(_) => Operation::Lookup,
            Body::Bucket(_) => Operation::Bucket,
            Body::Sync(_) => Operation::Sync,
            Body::Fetch(_) => Operation::Fetch,
            Body::Proof(_) => Operation::Proof,
            Body::Manifest => Operation::Manifest,
            Body::Sealed(_) => Operation::Sealed,
            Body::Notify(_) => Operation::Notify,
        }
    }
}

/// Keys to look up (spec 2.3.1). `slots` is exactly `count` slots of `slot_len` bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lookup<'a> {
    /// The slots, to be answered in place.
    pub slots: &'a [u8],
    /// 32, or 48 with LONG_KEYS.
    pub slot_len: usize,
    /// 1–32, or 1–24 with LONG_KEYS.
    pub count: usize,
}

impl<'a> Lookup<'a> {
    /// Bytes of a key: 16, or 32 with LONG_KEYS.
    pub fn key_len(&self) -> usize {
        self.slot_len - SLOT_TAIL
    }

    /// The keys in the order of their slots.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let (slots, slot_len, key_len) = (self.slots, self.slot_len, self.key_len());
        (0..self.count).map(move |at| &slots[at * slot_len..][..key_len])
    }
}

impl core::fmt::Debug for Lookup<'_> {
    // no-trace: how many keys were asked for, not which.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Lookup({} slots of {} bytes)", self.count, self.slot_len)
    }
}

/// A prefix to prove (spec 2.4.1); `held` is at most `bits`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bucket<'a> {
    /// The prefix, left-aligned; bits beyond it are to be ignored.
    pub prefix: &'a [u8; 16],
    /// Its length in bits, any `u8` until it is compared with the depth (spec 2.4.2).
    pub bits: u8,
    /// Top levels of the tree that the client holds.
    pub held: u8,
}

impl Bucket<'_> {
    /// The number that the prefix spells: the node at depth `bits`, counted from the left.
    ///
    /// `None` for more than 32 bits, which no tree has.
    pub fn node(&self) -> Option<u32> {
        let [a, b, c, d, ..] = *self.prefix;
        let beyond = 32u32.checked_sub(u32::from(self.bits))?;
        Some(u32::from_be_bytes([a, b, c, d]).checked_shr(beyond).unwrap_or(0))
    }
}

impl core::fmt::Debug for Bucket<'_> {
    // no-trace: a prefix may be nearly a key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Bucket({} bits, {} held)", self.bits, self.held)
    }
}

/// A wish for what leads to the newest version (spec 2.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sync {
    /// The version held, 0 for none.
    pub version: u64,
    /// Flag HISTORY: what a node needs.
    pub history: bool,
}

/// A range of an object (spec 2.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch<'a> {
    /// H of the object.
    pub digest: &'a [u8; HASH_LEN],
    /// First byte wanted.
    pub offset: u32,
    /// Bytes wanted.
    pub length: u32,
}

/// Which proof of the checkpoint log is wanted (spec 2.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ProofKind {
    /// That a leaf is in the log.
    Inclusion = 0,
    /// That the log of one size begins that of another.
    Consistency = 1,
}

/// A wish for a proof (spec 2.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Which.
    pub kind: ProofKind,
    /// Index of the leaf, or the older size.
    pub first: u64,
    /// Size of the log, or the newer size.
    pub second: u64,
}

/// Word that a version exists (spec 2.10.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notify {
    /// The version.
    pub version: u64,
}

/// Why a question is refused before its set is looked at.
struct Refusal {
    result: ResultCode,
    info: u32,
}

const MALFORMED: Refusal = Refusal { result: ResultCode::Malformed, info: 0 };

/// Reads a frame as a server does, in the order of spec 1.4.3.
///
/// `service`: the server's own id. `on_stream`: whether the frame came on TLS or QUIC.
#[inline]
pub fn parse<'a>(frame: &'a [u8], service: &ServiceId, on_stream: bool) -> Parsed<'a> {
    let Ok((header, rest)) = Question::ref_from_prefix(frame) else {
        return Parsed::Silent(SilentReason::Length);
    };
    if let Some(reason) = silence(header, frame.len(), service, on_stream) {
        return Parsed::Silent(reason);
    }
    if header.first_byte != FIRST_BYTE {
        return Parsed::OtherVersion(header);
    }
    let body = match Operation::from_u8(header.operation) {
        None => Err(Refusal { result: ResultCode::Operation, info: 0 }),
        Some(operation) if operation.needs_stream() && !on_stream => {
            Err(Refusal { result: ResultCode::Transport, info: 0 })
        }
        Some(operation) => read_body(operation, header, rest),
    };
    match body {
        Ok(body) => Parsed::Question(header, body),
        Err(Refusal { result, info }) => Parsed::Refuse { result, info, header },
    }
}

/// Whether a frame of a stream may be answered though it might be an old one sent again (spec 1.5.9): its
/// operation is known and a read.
pub fn is_repeatable(frame: &[u8]) -> bool {
    let operation = frame.get(1).and_then(|code| Operation::from_u8(*code));
    operation.is_some_and(Operation::is_read)
}

/// The first reason of spec 1.1.4 for saying nothing.
#[inline]
fn silence(header: &Question, received: usize, service: &ServiceId, on_stream: bool) -> Option<SilentReason> {
    let longest = if on_stream { MAX_QUESTION_STREAM } else { MAX_DATAGRAM };
    if !begins_frame(header.first_byte) {
        Some(SilentReason::FirstByte)
    } else if header.length.get() as usize != received || received > longest {
        Some(SilentReason::Length)
    } else if header.service != *service {
        Some(SilentReason::Service)
    } else if header.operation & ANSWER_BIT != 0 {
        // never-amplify: an answer to an answer could go on for ever.
        Some(SilentReason::Reply)
    } else {
        None
    }
}

/// Reads what the operation needs, then checks the TLVs.
#[inline]
fn read_body<'a>(operation: Operation, header: &'a Question, rest: &'a [u8]) -> Result<Body<'a>, Refusal> {
    let (body, tlvs) = match operation {
        Operation::Info => (Body::Info, rest),
        Operation::Checkpoint => (Body::Checkpoint, rest),
        Operation::Lookup => read_lookup(header, rest)?,
        Operation::Bucket => (read_bucket(header)?, rest),
        Operation::Sync => {
            (Body::Sync(Sync { version: header.version.get(), history: header.has(FLAG_HISTORY) }), rest)
        }
        Operation::Fetch => read_fetch(header, rest)?,
        Operation::Proof => (read_proof(header)?, rest),
        Operation::Manifest => (Body::Manifest, rest),
        // Exactly as long as a SEALED body: no TLVs (spec 2.9.1).
        Operation::Sealed => {
            (Body::Sealed(SealedQuestion::ref_from_bytes(rest).map_err(|_| MALFORMED)?), &[][..])
        }
        Operation::Notify => (Body::Notify(Notify { version: header.version.get() }), rest),
    };
    if !tlvs.is_empty() {
        check_tlvs(tlvs)?;
    }
    Ok(body)
}

fn read_lookup<'a>(header: &Question, rest: &'a [u8]) -> Result<(Body<'a>, &'a [u8]), Refusal> {
    let long = header.has(FLAG_LONG_KEYS);
    let (count, slot_len) = (usize::from(header.count), slot_len(long));
    if count == 0 || count > max_slots(long) {
        return Err(MALFORMED);
    }
    let (slots, tlvs) = rest.split_at_checked(count * slot_len).ok_or(MALFORMED)?;
    Ok((Body::Lookup(Lookup { slots, slot_len, count }), tlvs))
}

fn read_bucket(header: &Question) -> Result<Body<'_>, Refusal> {
    let bucket = Bucket { prefix: &header.argument, bits: header.bits, held: header.count };
    if bucket.held > bucket.bits { Err(MALFORMED) } else { Ok(Body::Bucket(bucket)) }
}

fn read_fetch<'a>(header: &Question, rest: &'a [u8]) -> Result<(Body<'a>, &'a [u8]), Refusal> {
    let argument: &FetchArgument = transmute_ref!(&header.argument);
    let (digest, tlvs) = rest.split_first_chunk::<HASH_LEN>().ok_or(MALFORMED)?;
    let fetch = Fetch { digest, offset: argument.offset.get(), length: argument.length.get() };
    Ok((Body::Fetch(fetch), tlvs))
}

fn read_proof(header: &Question) -> Result<Body<'_>, Refusal> {
    let argument: &ProofArgument = transmute_ref!(&header.argument);
    let kind = match header.count {
        0 => ProofKind::Inclusion,
        1 => ProofKind::Consistency,
        _ => return Err(MALFORMED),
    };
    Ok(Body::Proof(Proof { kind, first: argument.first.get(), second: argument.second.get() }))
}

/// MALFORMED goes before CRITICAL: the type of a TLV means nothing in a run that cannot be read.
fn check_tlvs(bytes: &[u8]) -> Result<(), Refusal> {
    let tlvs = Tlvs::parse(bytes).map_err(|_| MALFORMED)?;
    match tlvs.unknown_critical() {
        None => Ok(()),
        Some(kind) => Err(Refusal { result: ResultCode::Critical, info: u32::from(kind) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_spells_the_number_of_its_node() {
        // spec 2.4.1, 3.3.2
        let mut prefix = [0; 16];
        prefix[..4].copy_from_slice(&[0xab, 0xcd, 0xef, 0x12]);
        let node = |bits| Bucket { prefix: &prefix, bits, held: 0 }.node();
        assert_eq!(node(0), Some(0));
        assert_eq!(node(1), Some(1));
        assert_eq!(node(12), Some(0xabc));
        assert_eq!(node(32), Some(0xabcd_ef12));
        assert_eq!(node(33), None);
    }

    #[test]
    fn what_was_asked_is_not_printed() {
        let lookup = Body::Lookup(Lookup { slots: &[0xab; 64], slot_len: 32, count: 2 });
        assert_eq!(format!("{lookup:?}"), "Lookup(Lookup(2 slots of 32 bytes))");
        let bucket = Body::Bucket(Bucket { prefix: &[0xab; 16], bits: 20, held: 1 });
        assert_eq!(format!("{bucket:?}"), "Bucket(Bucket(20 bits, 1 held))");
    }
}
