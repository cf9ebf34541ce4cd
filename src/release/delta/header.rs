//! The 128-byte header of a delta, where its sections lie, and why a delta is refused
//! (protocol-spec 3.8.3).
//!
//! Reading a header checks everything that can be told from it and the object's length alone, so
//! that no later step allocates or loops for more than the object has bytes.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::release::bits::BitError;
use crate::release::live::SetError;
use crate::release::rans::{MAX_SYMBOLS, RansError};
use crate::release::rice::{MAX_KEY_K, MAX_REMOVAL_K};
use crate::release::schema::{FieldsError, Schema};
use crate::release::tree::HASH_LEN;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 128;

/// Length of a row of the tuple table in bytes.
pub(super) const ROW_LEN: usize = 8;

/// Length of a plain tuple in bytes.
pub(super) const PLAIN_LEN: usize = 6;

/// Bytes of a key that the gap section carries; the others are its tail.
pub(super) const KEY_HEAD_LEN: usize = 8;

/// Most bits of a number in the serial section.
const MAX_SERIAL_BITS: u8 = 32;

const MAGIC: [u8; 8] = *b"TEKDDLT1";
const LAYOUT: u16 = 1;

const _: () = assert!(size_of::<Layout>() == HEADER_LEN);

/// What a delta leads from and to (3.8.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// From live set to live set: for clients.
    Live = 1,
    /// From history to history: for nodes.
    History = 2,
}

/// How the fields of added entries are written (3.8.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TupleMode {
    /// A table of tuples and an rANS code.
    Coded = 0,
    /// Six bytes per entry.
    Plain = 1,
    /// As coded, with frequencies in finer steps, for a table of many tuples.
    Wide = 2,
}

/// Why a delta is not made or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// The object is shorter or longer than its header says.
    #[error("delta of {found} bytes where its header tells {expected}")]
    Length {
        /// Bytes of the object.
        found: u64,
        /// Bytes that the header tells.
        expected: u64,
    },
    /// The object is longer than any honest one (3.8.12).
    #[error("delta of {found} bytes, more than {limit}")]
    TooLong {
        /// Bytes of the object.
        found: u64,
        /// Most bytes.
        limit: u64,
    },
    /// A field of the header has a value it cannot have.
    #[error("header field {field} is {found}")]
    Header {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
    /// A field of the header is not what the receiver asked for.
    #[error("header field {field} is {found}, not {expected}")]
    Unexpected {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// Value asked for.
        expected: u64,
    },
    /// More than the receiver, or the format, allows.
    #[error("{found} {what}, more than {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// Number found.
        found: u64,
        /// Most allowed.
        limit: u64,
    },
    /// The versions do not lead forward.
    #[error("no delta leads from version {from} to version {to}")]
    Versions {
        /// Version of the base.
        from: u64,
        /// Version of the result.
        to: u64,
    },
    /// The base is not what it should be.
    #[error("the base: {0}")]
    Base(#[from] SetError),
    /// The base has another number of unexpired entries than the delta was made for.
    #[error("{found} entries of the base are kept where the delta tells {expected}")]
    Kept {
        /// Entries of the base that are not expired.
        found: u64,
        /// Entries that the header tells.
        expected: u64,
    },
    /// An index of a removed entry is beyond the kept entries.
    #[error("removal of entry {found} of {kept}")]
    Removal {
        /// Index of the entry.
        found: u64,
        /// Kept entries.
        kept: u32,
    },
    /// A removed entry had been withdrawn before.
    #[error("removal of an entry withdrawn before, in release {0}")]
    Withdrawn(u32),
    /// Added keys do not ascend, or go beyond the greatest key.
    #[error("added entry {0} is out of order")]
    Order(u32),
    /// An added entry is already there.
    #[error("added entry {0} is already there")]
    Present(u32),
    /// A serial outside the releases that the delta leads over.
    #[error("serial {found} outside {least} to {greatest}")]
    Serial {
        /// Serial found.
        found: u64,
        /// Least possible.
        least: u64,
        /// Greatest possible.
        greatest: u64,
    },
    /// Starts of added entries lie too far from each other, or beyond the greatest.
    #[error("a start {found} above the least start {base}")]
    Start {
        /// Least start.
        base: u32,
        /// Distance of another.
        found: u32,
    },
    /// The tuples of the table do not ascend.
    #[error("row {0} of the tuple table is out of order")]
    Table(usize),
    /// Fields of an entry are out of range.
    #[error(transparent)]
    Fields(#[from] FieldsError),
    /// A bit string is malformed.
    #[error(transparent)]
    Bits(#[from] BitError),
    /// The coded tuples are malformed.
    #[error(transparent)]
    Rans(#[from] RansError),
}

/// The header of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Schema of the set.
    pub schema: Schema,
    /// Live or history.
    pub kind: Kind,
    /// Rice parameter of the removals.
    pub removal_k: u8,
    /// Rice parameter of the gaps between keys.
    pub key_k: u8,
    /// How fields are written.
    pub tuple_mode: TupleMode,
    /// Service that published the set.
    pub service: [u8; 8],
    /// The set.
    pub set: u32,
    /// Horizon of `to`.
    pub horizon: u32,
    /// Version the delta leads from, 0 for nothing.
    pub from: u64,
    /// Version it leads to.
    pub to: u64,
    /// Entries of the base that are unexpired under the horizon.
    pub kept: u32,
    /// Removed entries.
    pub removed: u32,
    /// Added entries.
    pub added: u32,
    /// Entries of the result.
    pub after: u32,
    /// Least start of the added entries, 0 without.
    pub start_base: u32,
    /// Rows of the tuple table.
    pub rows: u32,
    /// Bytes of the removal section.
    pub removal_len: u32,
    /// Bytes of the gap section.
    pub gap_len: u32,
    /// Bytes of the tuple section.
    pub tuple_len: u32,
    /// Bytes of the serial section.
    pub serial_len: u32,
    /// Leaves of the checkpoint log.
    pub leaves: u32,
    /// Width of a serial in bits.
    pub serial_bits: u8,
    /// Least serial written.
    pub serial_base: u32,
}

/// The sections of a delta, in their order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sections<'a> {
    pub(super) table: &'a [u8],
    pub(super) removals: &'a [u8],
    pub(super) gaps: &'a [u8],
    pub(super) tails: &'a [u8],
    pub(super) tuples: &'a [u8],
    pub(super) serials: &'a [u8],
    pub(super) leaves: &'a [u8],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Layout {
    magic: [u8; 8],
    layout: U16,
    schema: U16,
    kind: u8,
    removal_k: u8,
    key_k: u8,
    tuple_mode: u8,
    service: [u8; 8],
    set: U32,
    horizon: U32,
    from: U64,
    to: U64,
    kept: U32,
    removed: U32,
    added: U32,
    after: U32,
    start_base: U32,
    rows: U32,
    removal_len: U32,
    gap_len: U32,
    tuple_len: U32,
    serial_len: U32,
    leaves: U32,
    serial_bits: u8,
    reserved_93: [u8; 3],
    serial_base: U32,
    reserved_100: [u8; 28],
}

impl Header {
    /// Reads and checks the header of an object against the object's length.
    ///
    /// # Errors
    /// If a field has a value it cannot have, or the sections are not exactly what follows.
    pub fn read(object: &[u8]) -> Result<Self, DeltaError> {
        let short = DeltaError::Length { found: object.len() as u64, expected: HEADER_LEN as u64 };
        let (raw, _) = Layout::read_from_prefix(object).map_err(|_| short)?;
        let header = Self::parse(&raw)?;
        header.check_counts()?;
        header.check_sections()?;
        match (object.len() as u64, header.object_len()) {
            (found, expected) if found != expected => Err(DeltaError::Length { found, expected }),
            _ => Ok(header),
        }
    }

    fn parse(raw: &Layout) -> Result<Self, DeltaError> {
        field("magic", u64::from_le_bytes(raw.magic), raw.magic == MAGIC)?;
        field("layout", raw.layout.into(), raw.layout == LAYOUT)?;
        field("reserved", 1, raw.reserved_93 == [0; 3] && raw.reserved_100 == [0; 28])?;
        let schema = Schema::from_number(raw.schema.get());
        let kind = match raw.kind {
            1 => Kind::Live,
            2 => Kind::History,
            other => return Err(DeltaError::Header { field: "kind", found: other.into() }),
        };
        let tuple_mode = match raw.tuple_mode {
            0 => TupleMode::Coded,
            1 => TupleMode::Plain,
            2 => TupleMode::Wide,
            other => return Err(DeltaError::Header { field: "tuple_mode", found: other.into() }),
        };
        Ok(Self {
            schema: schema.ok_or(DeltaError::Header { field: "schema", found: raw.schema.into() })?,
            kind,
            removal_k: raw.removal_k,
            key_k: raw.key_k,
            tuple_mode,
            service: raw.service,
            set: raw.set.get(),
            horizon: raw.horizon.get(),
            from: raw.from.get(),
            to: raw.to.get(),
            kept: raw.kept.get(),
            removed: raw.removed.get(),
            added: raw.added.get(),
            after: raw.after.get(),
            start_base: raw.start_base.get(),
            rows: raw.rows.get(),
            removal_len: raw.removal_len.get(),
            gap_len: raw.gap_len.get(),
            tuple_len: raw.tuple_len.get(),
            serial_len: raw.serial_len.get(),
            leaves: raw.leaves.get(),
            serial_bits: raw.serial_bits,
            serial_base: raw.serial_base.get(),
        })
    }

    /// Versions lead forward and counts add up.
    fn check_counts(&self) -> Result<(), DeltaError> {
        let (from, to) = (self.from, self.to);
        if from >= to || from as u32 > to as u32 {
            return Err(DeltaError::Versions { from, to });
        }
        field("kept", self.kept.into(), from != 0 || self.kept == 0)?;
        field("removed", self.removed.into(), self.removed <= self.kept)?;
        let gone = if self.kind == Kind::Live { self.removed } else { 0 };
        let after = u64::from(self.kept - gone) + u64::from(self.added);
        field("after", self.after.into(), u64::from(self.after) == after)
    }

    /// Every section has a length it can have, and parameters that nothing uses are 0.
    fn check_sections(&self) -> Result<(), DeltaError> {
        let (removes, adds) = (self.removed > 0, self.added > 0);
        let history = self.kind == Kind::History;
        field(
            "removal_k",
            self.removal_k.into(),
            u32::from(self.removal_k) <= if removes { MAX_REMOVAL_K } else { 0 },
        )?;
        field("removal section", self.removal_len.into(), removes || self.removal_len == 0)?;
        field("key_k", self.key_k.into(), u32::from(self.key_k) <= if adds { MAX_KEY_K } else { 0 })?;
        field("gap section", self.gap_len.into(), adds || self.gap_len == 0)?;
        field("start_base", self.start_base.into(), adds || self.start_base == 0)?;
        let (rows, tuples) = (u64::from(self.rows), u64::from(self.tuple_len));
        match self.tuple_mode {
            TupleMode::Coded | TupleMode::Wide if adds => {
                field("rows", rows, (1..=MAX_SYMBOLS as u64).contains(&rows))?;
            }
            TupleMode::Coded => {
                field("rows", rows, rows == 0)?;
                field("tuple section", tuples, tuples == 0)?;
            }
            TupleMode::Plain | TupleMode::Wide => {
                field("tuple_mode", self.tuple_mode as u64, adds)?;
                field("rows", rows, rows == 0)?;
                field("tuple section", tuples, tuples == u64::from(self.added) * PLAIN_LEN as u64)?;
            }
        }
        let serials = history && (removes || adds);
        field(
            "serial_bits",
            self.serial_bits.into(),
            self.serial_bits <= if serials { MAX_SERIAL_BITS } else { 0 },
        )?;
        field("serial_base", self.serial_base.into(), serials || self.serial_base == 0)?;
        field("serial section", self.serial_len.into(), serials || self.serial_len == 0)?;
        field("leaves", self.leaves.into(), history || self.leaves == 0)
    }

    /// Bytes of the sections, in their order.
    fn section_lens(&self) -> [u64; 7] {
        [
            u64::from(self.rows) * ROW_LEN as u64,
            self.removal_len.into(),
            self.gap_len.into(),
            u64::from(self.added) * (self.schema.key_len() - KEY_HEAD_LEN) as u64,
            self.tuple_len.into(),
            self.serial_len.into(),
            u64::from(self.leaves) * HASH_LEN as u64,
        ]
    }

    /// Length in bytes of the object that this is the header of.
    #[must_use]
    pub fn object_len(&self) -> u64 {
        HEADER_LEN as u64 + self.section_lens().iter().sum::<u64>()
    }

    /// The sections of the object this was read from.
    pub(super) fn sections<'a>(&self, object: &'a [u8]) -> Sections<'a> {
        let mut rest = &object[HEADER_LEN..];
        let [table, removals, gaps, tails, tuples, serials, leaves] = self.section_lens().map(|len| {
            let (section, after) = rest.split_at(len as usize);
            rest = after;
            section
        });
        Sections { table, removals, gaps, tails, tuples, serials, leaves }
    }

    /// The 128 bytes of the header.
    #[must_use]
    pub fn write(&self) -> [u8; HEADER_LEN] {
        let raw = Layout {
            magic: MAGIC,
            layout: LAYOUT.into(),
            schema: self.schema.number().into(),
            kind: self.kind as u8,
            removal_k: self.removal_k,
            key_k: self.key_k,
            tuple_mode: self.tuple_mode as u8,
            service: self.service,
            set: self.set.into(),
            horizon: self.horizon.into(),
            from: self.from.into(),
            to: self.to.into(),
            kept: self.kept.into(),
            removed: self.removed.into(),
            added: self.added.into(),
            after: self.after.into(),
            start_base: self.start_base.into(),
            rows: self.rows.into(),
            removal_len: self.removal_len.into(),
            gap_len: self.gap_len.into(),
            tuple_len: self.tuple_len.into(),
            serial_len: self.serial_len.into(),
            leaves: self.leaves.into(),
            serial_bits: self.serial_bits,
            reserved_93: [0; 3],
            serial_base: self.serial_base.into(),
            reserved_100: [0; 28],
        };
        zerocopy::transmute!(raw)
    }
}

fn field(field: &'static str, found: u64, holds: bool) -> Result<(), DeltaError> {
    if holds { Ok(()) } else { Err(DeltaError::Header { field, found }) }
}
