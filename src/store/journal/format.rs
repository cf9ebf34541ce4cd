//! The bytes of segments, groups, records and head slots (spec 5.3), built and checked.
//!
//! Pure over bytes. A group that is not whole ([`Fault::Torn`]) is kept apart from a
//! whole one in the wrong place ([`Fault::Wrong`]): only the former can be the trace of
//! a crash.

use sha2::{Digest, Sha256};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::contract::{Head, LogId, Record};

/// Format of all files of the journal.
pub const FORMAT: u32 = 1;
/// Unit of padding: a group begins and ends on a page.
pub(super) const PAGE: u64 = 4096;
/// Smallest segment that can be configured.
pub const MIN_SEGMENT: u64 = 1 << 20;
/// Largest segment that can be configured.
pub const MAX_SEGMENT: u64 = 64 << 20;
/// Largest group on disk, padding included.
pub const MAX_GROUP: u64 = 64 << 20;
/// Largest segment file: one group of the largest size.
pub(super) const MAX_SEGMENT_FILE: u64 = PAGE + MAX_GROUP;

/// Largest number of a group or record in a header; no log gets there, and what counts on
/// from it does not overflow.
pub(super) const MAX_NUMBER: u64 = 1 << 62;

pub(super) const SEGMENT_MAGIC: [u8; 8] = *b"TEKDSEG\0";
pub(super) const HEAD_MAGIC: [u8; 8] = *b"TEKDHEAD";
const GROUP_MAGIC: [u8; 4] = *b"TGRP";
const END_MAGIC: [u8; 4] = *b"TEND";
const CHAIN_LABEL: &[u8] = b"tekd-group-v1";

/// Bytes of a group around its records.
pub(super) const FRAME: usize = size_of::<GroupHeader>() + size_of::<GroupTrailer>();

const _: () = assert!(size_of::<SegmentHeader>() as u64 == PAGE && size_of::<HeadSlot>() as u64 == PAGE);
const _: () = assert!(size_of::<GroupHeader>() == 128 && size_of::<GroupTrailer>() == 64);
const _: () = assert!(size_of::<RecordHeader>() == 24 && FRAME.is_multiple_of(8));
const _: () = assert!(MAX_SEGMENT <= MAX_SEGMENT_FILE && MAX_GROUP <= u32::MAX as u64);
const _: () = assert!(MAX_SEGMENT_FILE / PAGE <= u32::MAX as u64 && MIN_SEGMENT > 2 * PAGE);
const _: () = assert!(MIN_SEGMENT.is_multiple_of(PAGE) && MAX_GROUP.is_multiple_of(PAGE));

/// First page of a segment (spec 5.3.4).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(super) struct SegmentHeader {
    pub(super) magic: [u8; 8],
    pub(super) format: U32,
    pub(super) header_len: U32,
    pub(super) log_id: LogId,
    pub(super) incarnation: U32,
    pub(super) segment: U32,
    pub(super) segment_len: U64,
    pub(super) base_gno: U64,
    pub(super) base_seq: U64,
    pub(super) prev_chain: [u8; 32],
    pub(super) created_ms: U64,
    pub(super) zero: [u8; 3988],
    pub(super) crc: U32,
}

/// Beginning of a group (spec 5.3.5).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(super) struct GroupHeader {
    pub(super) magic: [u8; 4],
    pub(super) total_len: U32,
    pub(super) gno: U64,
    pub(super) first_seq: U64,
    pub(super) records: U32,
    pub(super) body_len: U32,
    pub(super) incarnation: U32,
    pub(super) cipher: U16,
    pub(super) flags: U16,
    pub(super) time_ms: U64,
    pub(super) acked_gno: U64,
    pub(super) segment: U32,
    pub(super) page: U32,
    pub(super) log_id: LogId,
    pub(super) zero: [u8; 16],
    pub(super) prev_chain: [u8; 32],
}

/// End of a group (spec 5.3.7).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct GroupTrailer {
    magic: [u8; 4],
    total_len: U32,
    gno: U64,
    last_seq: U64,
    crc: U32,
    zero: U32,
    chain: [u8; 32],
}

/// Beginning of a record (spec 5.3.6).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct RecordHeader {
    len: U32,
    kind: U16,
    version: U16,
    seq: U64,
    time_s: U64,
}

/// One of the two slots of the head file (spec 5.3.8).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(super) struct HeadSlot {
    pub(super) magic: [u8; 8],
    pub(super) format: U32,
    pub(super) incarnation: U32,
    pub(super) log_id: LogId,
    pub(super) count: U64,
    pub(super) gno: U64,
    pub(super) seq: U64,
    pub(super) segment: U32,
    pub(super) reserved: U32,
    pub(super) offset: U64,
    pub(super) chain: [u8; 32],
    pub(super) zero: [u8; 3988],
    pub(super) crc: U32,
}

/// Where a group is or goes: what its header must say of its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) log_id: LogId,
    pub(super) segment: u32,
    pub(super) offset: u64,
    /// The head before the group, with the incarnation that writes it.
    pub(super) before: Head,
}

/// Why bytes are not the group they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not a whole group: an interrupted write, or damage.
    Torn(&'static str),
    /// A whole group that does not belong here.
    Wrong(&'static str),
    /// A whole group under a cipher this build does not know.
    Cipher(u16),
}

/// A group that is whole, in its place, and continues the chain.
pub(super) struct Checked {
    pub(super) head: Head,
    pub(super) time_ms: u64,
    body: std::ops::Range<usize>,
    records: u32,
}

/// Rounds up to whole pages.
pub(super) const fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE)
}

/// The crc of a page whose last four bytes hold it.
pub(super) fn page_crc(page: &[u8]) -> u32 {
    crc32c::crc32c(&page[..page.len() - 4])
}

/// Bytes a record with `payload` bytes takes in a group, to fill groups up to a size.
pub const fn record_bytes(payload: usize) -> u64 {
    (size_of::<RecordHeader>() as u64 + payload as u64).next_multiple_of(8)
}

/// Bytes a group of `records` takes on disk.
pub(super) fn group_bytes(records: &[Record]) -> u64 {
    let body: u64 = records.iter().map(|record| record_bytes(record.payload.len())).sum();
    padded(FRAME as u64 + body)
}

/// Writes a group into `out` (emptied first), padded, and returns the head after it. The
/// records are numbered from `place.before.seq + 1` and the group is at most [`MAX_GROUP`]
/// long: the caller has checked both.
pub(super) fn encode_group(out: &mut Vec<u8>, place: &Place, records: &[Record], time_ms: u64) -> Head {
    out.clear();
    out.reserve(usize::try_from(group_bytes(records)).unwrap_or(0));
    out.resize(size_of::<GroupHeader>(), 0);
    for record in records {
        let header = RecordHeader {
            len: U32::new(record.payload.len() as u32),
            kind: U16::new(record.kind),
            version: U16::new(record.version),
            seq: U64::new(record.seq),
            time_s: U64::new(record.time_s),
        };
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&record.payload);
        out.resize(out.len().next_multiple_of(8), 0);
    }
    let before = &place.before;
    let body_len = out.len() - size_of::<GroupHeader>();
    let total_len = U32::new((FRAME + body_len) as u32);
    let header = GroupHeader {
        magic: GROUP_MAGIC,
        total_len,
        gno: U64::new(before.gno + 1),
        first_seq: U64::new(before.seq + 1),
        records: U32::new(records.len() as u32),
        body_len: U32::new(body_len as u32),
        incarnation: U32::new(before.incarnation),
        cipher: U16::new(0),
        flags: U16::new(0),
        time_ms: U64::new(time_ms),
        acked_gno: U64::new(before.gno),
        segment: U32::new(place.segment),
        page: U32::new((place.offset / PAGE) as u32),
        log_id: place.log_id,
        zero: [0; 16],
        prev_chain: before.chain,
    };
    out[..size_of::<GroupHeader>()].copy_from_slice(header.as_bytes());
    let seq = before.seq + records.len() as u64;
    let head = Head { gno: before.gno + 1, seq, chain: chain(out), ..*before };
    let trailer = GroupTrailer {
        magic: END_MAGIC,
        total_len,
        gno: header.gno,
        last_seq: U64::new(seq),
        crc: U32::new(crc32c::crc32c(out)),
        zero: U32::new(0),
        chain: head.chain,
    };
    out.extend_from_slice(trailer.as_bytes());
    out.resize(out.len().next_multiple_of(PAGE as usize), 0);
    head
}

/// The chain after the group whose header and body are `bytes`.
fn chain(bytes: &[u8]) -> [u8; 32] {
    let (header, body) = bytes.split_at(size_of::<GroupHeader>());
    Sha256::new()
        .chain_update(CHAIN_LABEL)
        .chain_update(header)
        .chain_update(Sha256::digest(body))
        .finalize()
        .into()
}

/// Bytes on disk of the group that begins with `header`, if it can be one.
pub(super) fn padded_len(header: &GroupHeader) -> Option<u64> {
    let total = u64::from(header.total_len.get());
    let fits = total == FRAME as u64 + u64::from(header.body_len.get()) && total.is_multiple_of(8);
    (header.magic == GROUP_MAGIC && fits && padded(total) <= MAX_GROUP).then(|| padded(total))
}

/// Whether `header`, read at `offset`, names this log, this segment and its own place.
pub(super) fn is_at_home(header: &GroupHeader, log_id: &LogId, segment: u32, offset: u64) -> bool {
    header.magic == GROUP_MAGIC
        && header.log_id == *log_id
        && header.segment.get() == segment
        && u64::from(header.page.get()) * PAGE == offset
        && header.acked_gno.get() < header.gno.get()
}

/// Checks the group in `bytes`, whose length is [`padded_len`] of its header: first that
/// it is whole, then that it belongs at `place`.
pub(super) fn check_group(bytes: &[u8], place: &Place) -> Result<Checked, Fault> {
    let (header, rest) = GroupHeader::ref_from_prefix(bytes).map_err(|_| Fault::Torn("no header"))?;
    let body_end = size_of::<GroupHeader>() + header.body_len.get() as usize;
    if padded_len(header) != Some(bytes.len() as u64) {
        return Err(Fault::Torn("its lengths do not agree"));
    }
    let (trailer, padding) = GroupTrailer::ref_from_prefix(&rest[header.body_len.get() as usize..])
        .map_err(|_| Fault::Torn("no trailer"))?;
    check_whole(&bytes[..body_end], header, trailer, padding)?;
    check_place(header, place)?;
    if header.cipher.get() != 0 {
        return Err(Fault::Cipher(header.cipher.get()));
    }
    check_records(header, &bytes[size_of::<GroupHeader>()..body_end])?;
    let head = Head {
        incarnation: header.incarnation.get(),
        gno: header.gno.get(),
        seq: trailer.last_seq.get(),
        chain: trailer.chain,
    };
    let body = size_of::<GroupHeader>()..body_end;
    Ok(Checked { head, time_ms: header.time_ms.get(), body, records: header.records.get() })
}

fn check_whole(
    summed: &[u8],
    header: &GroupHeader,
    trailer: &GroupTrailer,
    padding: &[u8],
) -> Result<(), Fault> {
    let last = header.first_seq.get().checked_add(u64::from(header.records.get()));
    let torn = |bad: bool, what| if bad { Err(Fault::Torn(what)) } else { Ok(()) };
    torn(trailer.magic != END_MAGIC, "its trailer is not there")?;
    torn(
        trailer.total_len != header.total_len || trailer.gno != header.gno,
        "its trailer is of another group",
    )?;
    torn(trailer.crc.get() != crc32c::crc32c(summed), "its checksum does not match")?;
    torn(trailer.chain != chain(summed), "its chain hash does not match")?;
    torn(last != trailer.last_seq.get().checked_add(1), "its last sequence number does not match")?;
    torn(trailer.zero.get() != 0 || padding.iter().any(|byte| *byte != 0), "its padding is not zero")
}

fn check_place(header: &GroupHeader, place: &Place) -> Result<(), Fault> {
    let before = &place.before;
    let wrong = |bad: bool, what| if bad { Err(Fault::Wrong(what)) } else { Ok(()) };
    wrong(header.log_id != place.log_id, "a group of another log")?;
    wrong(
        !is_at_home(header, &place.log_id, place.segment, place.offset),
        "a group that was written to another place",
    )?;
    wrong(header.incarnation.get() != before.incarnation, "a group of another incarnation than its segment")?;
    wrong(Some(header.gno.get()) != before.gno.checked_add(1), "a group out of order")?;
    wrong(Some(header.first_seq.get()) != before.seq.checked_add(1), "a gap in the sequence numbers")?;
    wrong(header.prev_chain != before.chain, "a group that does not continue the hash chain")?;
    wrong(header.records.get() == 0, "a group without records")?;
    wrong(header.flags.get() != 0 || header.zero != [0; 16], "reserved bytes that are not zero")
}

fn check_records(header: &GroupHeader, body: &[u8]) -> Result<(), Fault> {
    let mut rest = body;
    for nth in 0..u64::from(header.records.get()) {
        let (record, after) = split_record(rest).ok_or(Fault::Wrong("a record longer than its group"))?;
        if record.0.seq.get() != header.first_seq.get() + nth {
            return Err(Fault::Wrong("a record out of order"));
        }
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(Fault::Wrong("bytes after the last record")) }
}

/// The first record's header and payload, and the bytes after the record.
type Split<'a> = ((&'a RecordHeader, &'a [u8]), &'a [u8]);

fn split_record(bytes: &[u8]) -> Option<Split<'_>> {
    let (header, rest) = RecordHeader::ref_from_prefix(bytes).ok()?;
    let len = header.len.get() as usize;
    let padded = len.checked_next_multiple_of(8)?;
    Some(((header, rest.get(..len)?), rest.get(padded..)?))
}

impl Checked {
    /// Copies the records out of the `bytes` that were checked.
    pub(super) fn records(&self, bytes: &[u8]) -> Vec<Record> {
        let mut rest = &bytes[self.body.clone()];
        let mut records = Vec::with_capacity(self.records as usize);
        while let Some(((header, payload), after)) = split_record(rest) {
            records.push(Record {
                kind: header.kind.get(),
                version: header.version.get(),
                seq: header.seq.get(),
                time_s: header.time_s.get(),
                payload: payload.to_vec(),
            });
            rest = after;
        }
        records
    }
}
