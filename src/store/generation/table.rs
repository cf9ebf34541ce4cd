//! A generation in memory: opened from a file or made in memory, verified, and read.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::layout::{self, Contents, DIGEST_LEN, ENTRIES_MAX, HEADER_LEN, Layout, OFFSET_LEN};
use super::order::OrderCheck;
use super::{GenerationError, GenerationMeta, Section, Shape, nodes_len};
use crate::store::{Disk, DiskFile, MemoryMode, Table};

/// One set at one version, verified and immutable.
#[derive(Debug)]
pub struct Generation {
    path: PathBuf,
    table: Table,
    meta: GenerationMeta,
    contents: Contents,
    pub(super) layout: Layout,
    pub(super) shape: Shape,
}

/// What is found of entries that are in order: how many there are, and where each slot of the prefix index
/// begins.
#[derive(Debug)]
pub struct InOrder {
    count: u64,
    live: u64,
    index: Vec<u8>,
}

impl InOrder {
    /// Goes through the entries of a generation.
    ///
    /// # Errors
    /// As [`super::GenerationBuilder`]: order, lengths, limits.
    pub fn check(meta: &GenerationMeta, entries: &[u8]) -> Result<Self, GenerationError> {
        let shape = meta.shape()?;
        let whole = entries.chunks_exact(shape.entry_len());
        if let rest @ 1.. = whole.remainder().len() {
            let source = super::OrderError::Length { got: rest, want: shape.entry_len() };
            return Err(GenerationError::Order { position: whole.len() as u64, source });
        }
        let count = whole.len() as u64;
        if count > ENTRIES_MAX {
            return Err(GenerationError::TooMany { limit: ENTRIES_MAX });
        }
        let layout = Layout::new(shape, count, meta.bits);
        let mut order = OrderCheck::new(shape, layout.index_bits);
        let mut index = Vec::with_capacity(layout.index.len());
        for (position, entry) in (0u32..).zip(whole) {
            let slots = order
                .step(entry)
                .map_err(|source| GenerationError::Order { position: u64::from(position), source })?;
            index.extend(slots.flat_map(|_| position.to_le_bytes()));
        }
        index.extend(order.rest().flat_map(|_| (count as u32).to_le_bytes()));
        Ok(InOrder { count, live: order.live(), index })
    }
}

/// The digest of all entries of a generation, back to back.
#[must_use]
pub fn entries_digest(entries: &[u8]) -> [u8; DIGEST_LEN] {
    sha256(entries)
}

impl Generation {
    /// Opens the generation file `path` and verifies all of it: header, length, every
    /// checksum, the order of the entries, the index against the entries.
    ///
    /// # Errors
    /// Any difference is [`GenerationError::Damaged`] with file and section; nothing is repaired.
    pub fn open(disk: &dyn Disk, path: &Path, mode: MemoryMode) -> Result<Self, GenerationError> {
        let file = disk.open(path).map_err(GenerationError::io(path))?;
        Self::load(&*file, path, mode)
    }

    /// The generation of `entries` (sorted, back to back) and `nodes` (heap order, root
    /// first), in memory only: byte for byte what the file would be.
    ///
    /// # Errors
    /// As [`super::GenerationBuilder`]: order, lengths, limits.
    pub fn in_memory(
        meta: GenerationMeta,
        entries: Vec<u8>,
        nodes: Vec<u8>,
    ) -> Result<Self, GenerationError> {
        meta.shape()?;
        check_nodes(&meta, &nodes)?;
        let order = InOrder::check(&meta, &entries)?;
        Self::of_parts(meta, &entries, &nodes, &order, entries_digest(&entries))
    }

    /// As [`Generation::in_memory`], of entries whose order and digest were found before.
    ///
    /// # Errors
    /// As there.
    pub fn of_parts(
        meta: GenerationMeta,
        entries: &[u8],
        nodes: &[u8],
        order: &InOrder,
        digest: [u8; DIGEST_LEN],
    ) -> Result<Self, GenerationError> {
        let path = PathBuf::from(format!("{} (in memory)", super::file_name(meta.version)));
        let shape = meta.shape()?;
        check_nodes(&meta, nodes)?;
        let InOrder { count, live, index } = order;
        let layout = Layout::new(shape, *count, meta.bits);
        let contents = Contents {
            entries: *count,
            live: *live,
            root: root(nodes),
            entries_sha256: digest,
            index_sha256: sha256(index),
            nodes_sha256: sha256(nodes),
        };
        let table = Table::fill(layout.file_len(), |bytes| {
            bytes[..HEADER_LEN].copy_from_slice(&layout::encode(&meta, &contents, &layout));
            bytes[layout.entries.clone()].copy_from_slice(entries);
            bytes[layout.index.clone()].copy_from_slice(index);
            bytes[layout.nodes.clone()].copy_from_slice(nodes);
            Ok(())
        })
        .map_err(GenerationError::io(&path))?;
        Ok(Self { path, table, meta, contents, layout, shape })
    }

    /// Loads and verifies an open file; `path` is the name in errors.
    pub(super) fn load(file: &dyn DiskFile, path: &Path, mode: MemoryMode) -> Result<Self, GenerationError> {
        let len = file.len().map_err(GenerationError::io(path))?;
        if len < HEADER_LEN as u64 {
            let what = format!("{len} bytes, the header alone has {HEADER_LEN}");
            return Err(GenerationError::damaged(path, Section::File, what));
        }
        let mut header = [0; HEADER_LEN];
        file.read_exact_at(&mut header, 0).map_err(GenerationError::io(path))?;
        let (meta, contents, layout, shape) = layout::decode(&header, path)?;
        let expected = layout.file_len();
        if len != expected as u64 {
            let what = format!("{len} bytes, its header says {expected}");
            return Err(GenerationError::damaged(path, Section::File, what));
        }
        let table = Table::load(file, expected, mode).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => {
                GenerationError::damaged(path, Section::File, "it shrank while it was opened")
            }
            _ => GenerationError::Io { path: path.to_path_buf(), source },
        })?;
        let generation = Self { path: path.to_path_buf(), table, meta, contents, layout, shape };
        generation.verify(&header)?;
        Ok(generation)
    }

    /// verified-before-served (5.6.9): checks the bytes that will be served, not those of an earlier read.
    fn verify(&self, header: &[u8; HEADER_LEN]) -> Result<(), GenerationError> {
        let bytes = self.table.bytes();
        let damaged = |section, what: &str| Err(GenerationError::damaged(&self.path, section, what));
        if bytes[..HEADER_LEN] != *header {
            return damaged(Section::Header, "it changed while it was opened");
        }
        if self.layout.padding().into_iter().any(|gap| bytes[gap].iter().any(|byte| *byte != 0)) {
            return damaged(Section::Padding, "not zero");
        }
        let sections = [
            (Section::Entries, self.entry_bytes(), self.contents.entries_sha256),
            (Section::Index, self.index_bytes(), self.contents.index_sha256),
            (Section::Nodes, self.node_bytes(), self.contents.nodes_sha256),
        ];
        for (section, bytes, digest) in sections {
            if sha256(bytes) != digest {
                return damaged(section, "checksum differs");
            }
        }
        if root(self.node_bytes()) != self.contents.root {
            return damaged(Section::Nodes, "the first node is not the root of the header");
        }
        self.verify_order()
    }

    fn verify_order(&self) -> Result<(), GenerationError> {
        let damaged = |section, what: String| Err(GenerationError::damaged(&self.path, section, what));
        let mut order = OrderCheck::new(self.shape, self.layout.index_bits);
        for (position, entry) in self.iter().enumerate() {
            match order.step(entry) {
                Err(error) => return damaged(Section::Entries, format!("entry {position}: {error}")),
                Ok(mut slots) => {
                    if let Some(slot) = slots.find(|slot| self.offset(*slot) != position) {
                        return damaged(
                            Section::Index,
                            format!("slot {slot} does not begin at entry {position}"),
                        );
                    }
                }
            }
        }
        if let Some(slot) = order.rest().find(|slot| self.offset(*slot) != self.len()) {
            return damaged(Section::Index, format!("slot {slot} does not begin behind the last entry"));
        }
        if order.live() != self.contents.live {
            let what = format!("the header counts {} live, there are {}", self.contents.live, order.live());
            return damaged(Section::Header, what);
        }
        Ok(())
    }

    /// What it is a generation of.
    pub fn meta(&self) -> &GenerationMeta {
        &self.meta
    }

    /// The file it came from; in memory a name for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn set_path(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// How its bytes are held.
    pub fn mode(&self) -> MemoryMode {
        self.table.mode()
    }

    /// Whether a reader found that the bytes under it were changed; it is to be made again then.
    pub fn is_hurt(&self) -> bool {
        self.table.is_hurt()
    }

    /// Whether `part`, which is one of its own, has the bytes that were verified (5.6.14). To be asked
    /// after it was read.
    pub fn vouches(&self, part: &[u8]) -> bool {
        if self.table.mode() == MemoryMode::Copy {
            return true;
        }
        let start = (part.as_ptr() as usize).wrapping_sub(self.bytes().as_ptr() as usize);
        self.table.vouches(start..start.saturating_add(part.len()))
    }

    /// All bytes, as they are in the file.
    pub fn bytes(&self) -> &[u8] {
        self.table.bytes()
    }

    /// Number of entries, withdrawn ones included.
    pub fn len(&self) -> usize {
        self.contents.entries as usize
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.contents.entries == 0
    }

    /// Number of live entries.
    pub fn live(&self) -> u64 {
        self.contents.live
    }

    /// Root of the bucket tree.
    pub fn root(&self) -> &[u8; DIGEST_LEN] {
        &self.contents.root
    }

    /// SHA-256 of the whole entries section.
    pub fn digest(&self) -> &[u8; DIGEST_LEN] {
        &self.contents.entries_sha256
    }

    /// Lengths of keys and entries.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All entries back to back, in order.
    pub fn entry_bytes(&self) -> &[u8] {
        &self.table.bytes()[self.layout.entries.clone()]
    }

    /// The prefix index.
    pub(super) fn index_bytes(&self) -> &[u8] {
        &self.table.bytes()[self.layout.index.clone()]
    }

    /// All Merkle nodes in heap order, the root first.
    pub fn node_bytes(&self) -> &[u8] {
        &self.table.bytes()[self.layout.nodes.clone()]
    }

    /// All entries in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, u8> {
        self.entry_bytes().chunks_exact(self.shape.entry_len())
    }

    /// Node `index` of `level` (0 = the root, *b* = the leaves), if there is one.
    pub fn node(&self, level: u8, index: u32) -> Option<&[u8; DIGEST_LEN]> {
        if level > self.meta.bits || u64::from(index) >> level != 0 {
            return None;
        }
        let position = (1usize << level) - 1 + index as usize;
        self.node_bytes()[position * DIGEST_LEN..].first_chunk()
    }

    /// Where `slot` < 2^index_bits begins and ends.
    #[inline]
    pub(super) fn offsets(&self, slot: usize) -> (usize, usize) {
        let at = self.layout.index.start + slot * OFFSET_LEN;
        let bytes = self.bytes()[at..].first_chunk::<{ 2 * OFFSET_LEN }>();
        let both = u64::from_le_bytes(*bytes.expect("the index has an offset for each slot and one behind"));
        (both as u32 as usize, (both >> u32::BITS) as usize)
    }

    /// The slot offset at `slot` ≤ 2^index_bits.
    pub(super) fn offset(&self, slot: usize) -> usize {
        let bytes = self.index_bytes()[slot * OFFSET_LEN..].first_chunk();
        u32::from_le_bytes(*bytes.expect("the index has an offset for each slot")) as usize
    }
}

impl<'a> IntoIterator for &'a Generation {
    type Item = &'a [u8];
    type IntoIter = std::slice::ChunksExact<'a, u8>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Checks the length of the node section against the bucket bits.
pub(super) fn check_nodes(meta: &GenerationMeta, nodes: &[u8]) -> Result<(), GenerationError> {
    let (got, need) = (nodes.len() as u64, nodes_len(meta.bits));
    if got == need { Ok(()) } else { Err(GenerationError::Nodes { got, need, bits: meta.bits }) }
}

/// The first node.
pub(super) fn root(nodes: &[u8]) -> [u8; DIGEST_LEN] {
    *nodes.first_chunk().expect("a tree has a root, its length was checked")
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; DIGEST_LEN] {
    Sha256::digest(bytes).into()
}
