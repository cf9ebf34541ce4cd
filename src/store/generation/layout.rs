//! The header of a generation file and where its sections lie (file clauses 5.6.2–5.6.5).
//!
//! Everything about the layout follows from the entry shape, the number of entries and
//! the bucket bits; the header repeats it so that the file can be read by eye, and a
//! header that says anything else is damage.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{GenerationError, Section, Shape};
use std::ops::Range;
use std::path::Path;

/// First bytes of a generation file.
pub const MAGIC: [u8; 8] = *b"TEKDGEN\0";

/// The format written and read here.
pub const FORMAT: u16 = 1;

/// Bytes of the header, a page.
pub const HEADER_LEN: usize = 4096;

/// Most entries of one generation: the index counts them in 32 bits.
pub const ENTRIES_MAX: u64 = u32::MAX as u64;

/// Most bits of the prefix index: 256 MiB of offsets.
pub const INDEX_BITS_MAX: u8 = 26;

/// Most bucket bits, as of every tree (clause 3.3.1).
pub const BUCKET_BITS_MAX: u8 = 28;

/// Bytes of a SHA-256 digest.
pub const DIGEST_LEN: usize = 32;

/// Sections begin at multiples of a cache line.
const SECTION_ALIGN: u64 = 64;

/// Bytes of one offset in the index.
pub(super) const OFFSET_LEN: usize = 4;

const _: () = assert!(size_of::<Header>() == HEADER_LEN);
const _: () = assert!((HEADER_LEN as u64).is_multiple_of(SECTION_ALIGN));
const _: () = assert!(INDEX_BITS_MAX < 32 && BUCKET_BITS_MAX < 32, "a slot is chosen by 32 bits of the key");
const _: () = assert!(usize::BITS >= 64, "a generation can have more than 4 GiB");

/// What a generation is of; chosen by the caller, repeated in the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationMeta {
    /// Service id.
    pub service: [u8; 8],
    /// Set id.
    pub set: u32,
    /// Number of the metadata schema.
    pub schema: u16,
    /// Bytes of a key: 16 or 32.
    pub key_len: u8,
    /// Bytes of an entry: 32, 36 or 48.
    pub entry_len: u8,
    /// `incarnation << 32 | serial`.
    pub version: u64,
    /// Release time, seconds since 1970.
    pub time: u64,
    /// Interval number below which keys are expired.
    pub horizon: u32,
    /// Bucket bits *b*: the tree has 2^b leaves.
    pub bits: u8,
}

/// The header as it lies in the file.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    magic: [u8; 8],
    format: U16,
    schema: U16,
    header_len: U32,
    service: [u8; 8],
    set: U32,
    horizon: U32,
    version: U64,
    time: U64,
    key_len: u8,
    entry_len: u8,
    bits: u8,
    index_bits: u8,
    reserved: U32,
    entries: U64,
    live: U64,
    entries_offset: U64,
    entries_len: U64,
    index_offset: U64,
    index_len: U64,
    nodes_offset: U64,
    nodes_len: U64,
    file_len: U64,
    root: [u8; DIGEST_LEN],
    entries_sha256: [u8; DIGEST_LEN],
    index_sha256: [u8; DIGEST_LEN],
    nodes_sha256: [u8; DIGEST_LEN],
    zero: [u8; HEADER_LEN - 260],
    crc32c: U32,
}

/// What the header adds to [`GenerationMeta`]: counts and digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) entries: u64,
    pub(super) live: u64,
    pub(super) root: [u8; DIGEST_LEN],
    pub(super) entries_sha256: [u8; DIGEST_LEN],
    pub(super) index_sha256: [u8; DIGEST_LEN],
    pub(super) nodes_sha256: [u8; DIGEST_LEN],
}

/// Where the sections lie, in bytes from the start of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) index_bits: u8,
    pub(super) entries: Range<usize>,
    pub(super) index: Range<usize>,
    pub(super) nodes: Range<usize>,
}

/// Bits of the prefix index over `entries` ≤ [`ENTRIES_MAX`] entries: ⌊log2(3 entries / 2)⌋, within 0..=26.
///
/// So a slot has between two and four thirds of an entry until the index is at its largest. What is searched
/// lies in one line of memory or two, and index and nodes of a large set take 20 bytes an entry at most.
pub fn index_bits(entries: u64) -> u8 {
    let bits = (entries * 3 / 2).checked_ilog2().unwrap_or(0);
    bits.min(u32::from(INDEX_BITS_MAX)) as u8
}

/// Bytes of the node section: a hash for each of the 2^(b+1) − 1 nodes. `bits` ≤ [`BUCKET_BITS_MAX`].
pub fn nodes_len(bits: u8) -> u64 {
    ((1 << (u32::from(bits) + 1)) - 1) * DIGEST_LEN as u64
}

impl GenerationMeta {
    /// The shape of the entries, when lengths and bits are possible ones.
    pub(super) fn shape(&self) -> Result<Shape, GenerationError> {
        if self.bits > BUCKET_BITS_MAX {
            return Err(GenerationError::Bits { bits: self.bits });
        }
        Ok(Shape::new(self.key_len, self.entry_len)?)
    }
}

impl Layout {
    /// The layout of `entries` ≤ [`ENTRIES_MAX`] entries with `bits` ≤ [`BUCKET_BITS_MAX`] bucket bits.
    pub(super) fn new(shape: Shape, entries: u64, bits: u8) -> Self {
        Self::with_index(shape, entries, bits, index_bits(entries))
    }

    /// The same with an index of so many bits.
    pub(super) fn with_index(shape: Shape, entries: u64, bits: u8, index_bits: u8) -> Self {
        let section = |start: u64, len: u64| start as usize..(start + len) as usize;
        let entries = section(HEADER_LEN as u64, entries * shape.entry_len() as u64);
        let index_len = ((1 << index_bits) + 1) * OFFSET_LEN as u64;
        let index = section((entries.end as u64).next_multiple_of(SECTION_ALIGN), index_len);
        let nodes = section((index.end as u64).next_multiple_of(SECTION_ALIGN), nodes_len(bits));
        Self { index_bits, entries, index, nodes }
    }

    /// Bytes of the file: the nodes come last.
    pub(super) fn file_len(&self) -> usize {
        self.nodes.end
    }

    /// The zero bytes between the sections.
    pub(super) fn padding(&self) -> [Range<usize>; 2] {
        [self.entries.end..self.index.start, self.index.end..self.nodes.start]
    }
}

/// The bytes of a header.
pub(super) fn encode(meta: &GenerationMeta, contents: &Contents, layout: &Layout) -> [u8; HEADER_LEN] {
    let mut header = Header {
        magic: MAGIC,
        format: FORMAT.into(),
        schema: meta.schema.into(),
        header_len: U32::new(HEADER_LEN as u32),
        service: meta.service,
        set: meta.set.into(),
        horizon: meta.horizon.into(),
        version: meta.version.into(),
        time: meta.time.into(),
        key_len: meta.key_len,
        entry_len: meta.entry_len,
        bits: meta.bits,
        index_bits: layout.index_bits,
        reserved: U32::ZERO,
        entries: contents.entries.into(),
        live: contents.live.into(),
        entries_offset: U64::new(layout.entries.start as u64),
        entries_len: U64::new(layout.entries.len() as u64),
        index_offset: U64::new(layout.index.start as u64),
        index_len: U64::new(layout.index.len() as u64),
        nodes_offset: U64::new(layout.nodes.start as u64),
        nodes_len: U64::new(layout.nodes.len() as u64),
        file_len: U64::new(layout.file_len() as u64),
        root: contents.root,
        entries_sha256: contents.entries_sha256,
        index_sha256: contents.index_sha256,
        nodes_sha256: contents.nodes_sha256,
        zero: [0; HEADER_LEN - 260],
        crc32c: U32::ZERO,
    };
    header.crc32c = checksum(header.as_bytes()).into();
    zerocopy::transmute!(header)
}

/// Reads and checks a header: a header that any other bytes would encode as well is damage.
pub(super) fn decode(
    bytes: &[u8; HEADER_LEN],
    path: &Path,
) -> Result<(GenerationMeta, Contents, Layout, Shape), GenerationError> {
    let damaged = |what: &str| GenerationError::damaged(path, Section::Header, what);
    let header: &Header = zerocopy::transmute_ref!(bytes);
    if header.magic != MAGIC {
        return Err(damaged("not a generation file"));
    }
    if header.crc32c.get() != checksum(bytes) {
        return Err(damaged("checksum differs"));
    }
    let format = header.format.get();
    if format != FORMAT {
        return Err(GenerationError::Newer { path: path.to_path_buf(), format });
    }
    let meta = GenerationMeta {
        service: header.service,
        set: header.set.get(),
        schema: header.schema.get(),
        key_len: header.key_len,
        entry_len: header.entry_len,
        version: header.version.get(),
        time: header.time.get(),
        horizon: header.horizon.get(),
        bits: header.bits,
    };
    let contents = Contents {
        entries: header.entries.get(),
        live: header.live.get(),
        root: header.root,
        entries_sha256: header.entries_sha256,
        index_sha256: header.index_sha256,
        nodes_sha256: header.nodes_sha256,
    };
    let shape = meta.shape().map_err(|error| damaged(&error.to_string()))?;
    if contents.entries > ENTRIES_MAX {
        return Err(damaged("more entries than a generation may have"));
    }
    if header.index_bits > INDEX_BITS_MAX {
        return Err(damaged("more index bits than a generation may have"));
    }
    let layout = Layout::with_index(shape, contents.entries, meta.bits, header.index_bits);
    if encode(&meta, &contents, &layout) != *bytes {
        return Err(damaged("offsets, lengths or reserved bytes differ from what the counts give"));
    }
    Ok((meta, contents, layout, shape))
}

/// CRC-32C of everything in the header before the checksum.
fn checksum(header: &[u8]) -> u32 {
    crc32c::crc32c(&header[..HEADER_LEN - size_of::<U32>()])
}
