//! Writing a generation file as a stream of entries.
//!
//! Entries go to the disk as they come; only the index stays in memory. It is kept at the
//! resolution for the announced number of entries and thinned to the final one at the
//! end, so equal entries give equal bytes whatever was announced.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::files::create_temporary;
use super::layout::{self, Contents, ENTRIES_MAX, HEADER_LEN, Layout, OFFSET_LEN};
use super::order::OrderCheck;
use super::table::{check_nodes, root, sha256};
use super::{Generation, GenerationError, GenerationMeta, Shape, file_name, index_bits};
use crate::store::{Disk, DiskFile, MemoryMode};

/// Bytes of entries gathered before they are written.
const WRITE_BUFFER: usize = 1 << 20;

const _: () = assert!(WRITE_BUFFER > super::ENTRY_LEN_MAX);

/// A generation file in the making, under its temporary name.
pub struct GenerationBuilder<'d> {
    disk: &'d dyn Disk,
    file: Box<dyn DiskFile>,
    temporary: PathBuf,
    path: PathBuf,
    meta: GenerationMeta,
    shape: Shape,
    limit: u64,
    order: OrderCheck,
    index: Vec<u32>,
    index_bits: u8,
    hash: Sha256,
    buffer: Vec<u8>,
    written: u64,
}

impl<'d> GenerationBuilder<'d> {
    /// Begins the file of `meta.version` in `dir` (made if missing) for at most `at_most`
    /// entries. A file left over from an interrupted attempt is replaced.
    ///
    /// # Errors
    /// Impossible lengths or bits in `meta`; the disk.
    pub fn create(
        disk: &'d dyn Disk,
        dir: &Path,
        meta: GenerationMeta,
        at_most: u64,
    ) -> Result<Self, GenerationError> {
        let shape = meta.shape()?;
        let limit = at_most.min(ENTRIES_MAX);
        let path = dir.join(file_name(meta.version));
        let (temporary, file) = create_temporary(disk, dir, meta.version)?;
        let index_bits = index_bits(limit);
        Ok(Self {
            disk,
            file,
            temporary,
            path,
            meta,
            shape,
            limit,
            order: OrderCheck::new(shape, index_bits),
            index: Vec::with_capacity((1 << index_bits) + 1),
            index_bits,
            hash: Sha256::new(),
            buffer: Vec::with_capacity(WRITE_BUFFER),
            written: HEADER_LEN as u64,
        })
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// Not above the one before in (key, add_serial), after a live one of its key, of
    /// another length; more than announced; the disk.
    pub fn push(&mut self, entry: &[u8]) -> Result<(), GenerationError> {
        let position = self.order.count();
        if position == self.limit {
            return Err(GenerationError::TooMany { limit: self.limit });
        }
        let slots = self.order.step(entry).map_err(|source| GenerationError::Order { position, source })?;
        // At most `limit` ≤ 2^32 − 1, so the position fits.
        self.index.extend(slots.map(|_| position as u32));
        if self.buffer.len() + entry.len() > WRITE_BUFFER {
            self.flush()?;
        }
        self.buffer.extend_from_slice(entry);
        Ok(())
    }

    /// Adds index, `nodes` (2^(b+1) − 1 hashes in heap order, root first) and header, makes the
    /// file durable, reads it back whole, and only then gives it its name. The generation
    /// returned is what was read back, held as `mode` says.
    ///
    /// # Errors
    /// Wrong length of `nodes`; the disk; anything [`Generation::open`] would find. The old
    /// file of that name, if any, is then untouched.
    pub fn finish(mut self, nodes: &[u8], mode: MemoryMode) -> Result<Generation, GenerationError> {
        check_nodes(&self.meta, nodes)?;
        self.flush()?;
        let layout = Layout::new(self.shape, self.order.count(), self.meta.bits);
        let index = self.final_index(layout.index_bits);
        let contents = Contents {
            entries: self.order.count(),
            live: self.order.live(),
            root: root(nodes),
            entries_sha256: self.hash.finalize().into(),
            index_sha256: sha256(&index),
            nodes_sha256: sha256(nodes),
        };
        let header = layout::encode(&self.meta, &contents, &layout);
        let at = |path| GenerationError::io(path);
        for gap in layout.padding() {
            let zeros = vec![0; gap.len()];
            self.file.write_all_at(&zeros, gap.start as u64).map_err(at(&self.temporary))?;
        }
        for (bytes, range) in
            [(&index[..], &layout.index), (nodes, &layout.nodes), (&header, &(0..HEADER_LEN))]
        {
            self.file.write_all_at(bytes, range.start as u64).map_err(at(&self.temporary))?;
        }
        self.file.sync().map_err(at(&self.temporary))?;
        drop(self.file);
        // verified-before-served (5.6.8): the name of a generation is given to bytes that were read back.
        let mut generation = Generation::open(self.disk, &self.temporary, mode)?;
        self.disk.rename(&self.temporary, &self.path).map_err(at(&self.path))?;
        let dir = self.path.parent().expect("the path was joined to a directory");
        self.disk.sync_dir(dir).map_err(at(dir))?;
        generation.set_path(self.path);
        Ok(generation)
    }

    /// The index at `bits` ≤ the bits it was kept at: every 2^n-th offset of it.
    fn final_index(&mut self, bits: u8) -> Vec<u8> {
        let count = self.order.count() as u32;
        self.index.extend(self.order.rest().map(|_| count));
        let step = 1 << (self.index_bits - bits);
        let mut bytes = Vec::with_capacity(((1 << bits) + 1) * OFFSET_LEN);
        bytes.extend(self.index.iter().step_by(step).flat_map(|offset| offset.to_le_bytes()));
        bytes
    }

    fn flush(&mut self) -> Result<(), GenerationError> {
        self.hash.update(&self.buffer);
        self.file.write_all_at(&self.buffer, self.written).map_err(GenerationError::io(&self.temporary))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
