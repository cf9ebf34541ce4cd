//! Applying a delta: one merge of what is kept of the base with what the object adds
//! (protocol-spec 3.8.1, 3.8.8, 3.8.12).
//!
//! The result is in order by construction, and nothing more: it is to be believed when it matches a
//! verified checkpoint. A hostile object is refused with an error; it never makes this allocate
//! more than a small multiple of object and base, nor run longer than they are.

use sha2::{Digest, Sha256};

use super::header::{DeltaError, Header, Kind, Sections};
use super::sections::{Additions, Removals};
use crate::release::live::{LiveSet, SetError};
use crate::release::schema::{LIVE, MAX_ENTRY_LEN, Schema, expired, key_head};
use crate::release::tree::{Hash, Tree, build_tree};

/// Bytes an honest object has beside its entries (3.8.12).
const FIXED_LEN: u64 = 4096;

/// Bytes of an added entry beside its key, and of a kept entry, at most (3.8.12).
const ADDED_LEN: u64 = 24;
const KEPT_LEN: u64 = 4;

/// A history is allowed this length whatever the checkpoint counts (3.8.12): 1 GiB.
const HISTORY_FLOOR: u64 = 1 << 30;

/// Least bytes of an added entry: the tail of its key.
const LEAST_ADDED_LEN: u64 = 8;

/// What a receiver lets an object say, worked out from a verified checkpoint before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyLimits {
    /// Service that the object must be of.
    pub service: [u8; 8],
    /// Set that the object must be of.
    pub set: u32,
    /// Most bytes of the object (3.8.12).
    pub max_length: u64,
    /// Most entries of the result.
    pub max_after: u64,
    /// Most leaves of the checkpoint log.
    pub max_leaves: u64,
}

impl ApplyLimits {
    /// Limits of a live delta to a checkpoint of `count` entries, for a receiver that holds `held`.
    ///
    /// For an object that leads to a version between, whose count is not known, raise `max_after`
    /// to what the receiver can hold.
    #[must_use]
    pub const fn for_live(service: [u8; 8], set: u32, schema: Schema, count: u64, held: u64) -> Self {
        let max_length = honest_len(schema, count, held);
        Self { service, set, max_length, max_after: count, max_leaves: 0 }
    }

    /// Limits of a history delta to a checkpoint of `count` live entries and this `log_size`, for a
    /// receiver that holds `held` history entries.
    #[must_use]
    pub const fn for_history(
        service: [u8; 8],
        set: u32,
        schema: Schema,
        count: u64,
        held: u64,
        log_size: u64,
    ) -> Self {
        let leaves = (size_of::<Hash>() as u64).saturating_mul(log_size);
        let thrice = honest_len(schema, count, held).saturating_add(leaves).saturating_mul(3);
        let max_length = if thrice > HISTORY_FLOOR { thrice } else { HISTORY_FLOOR };
        let max_after = held.saturating_add(max_length / LEAST_ADDED_LEN);
        Self { service, set, max_length, max_after, max_leaves: log_size }
    }
}

/// The greatest length of an honest live delta (3.8.12).
const fn honest_len(schema: Schema, count: u64, held: u64) -> u64 {
    let added = count.saturating_mul(schema.key_len() as u64 + ADDED_LEN);
    FIXED_LEN.saturating_add(added).saturating_add(held.saturating_mul(KEPT_LEN))
}

/// The history that a history delta led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryResult {
    /// Schema of the set.
    pub schema: Schema,
    /// Version reached.
    pub version: u64,
    /// Horizon of the version.
    pub horizon: u32,
    /// History entries in the order of 3.1.5.
    pub entries: Vec<u8>,
    /// Leaves of the checkpoint log after those of the base.
    pub leaves: Vec<Hash>,
}

impl HistoryResult {
    /// H of all history entries, the history digest of a checkpoint (3.4.1).
    #[must_use]
    pub fn digest(&self) -> Hash {
        Sha256::digest(&self.entries).into()
    }

    /// The bucket tree of the entries that are live in the version.
    #[must_use]
    pub fn tree(&self) -> Tree {
        build_tree(self.schema, &self.entries, self.version as u32)
    }

    /// Whether this is the history that a checkpoint speaks of, its log apart (3.7.1): version,
    /// horizon, count of live entries, root and history digest.
    #[must_use]
    pub fn matches(&self, version: u64, horizon: u32, count: u64, root: &Hash, digest: &Hash) -> bool {
        if (self.version, self.horizon) != (version, horizon) || self.digest() != *digest {
            return false;
        }
        let tree = self.tree();
        tree.count == count && tree.root == *root
    }
}

/// Applies a live delta to the live set it leads from; a full to any set, which counts as empty.
///
/// # Errors
/// If the object is malformed, beyond the limits, of another set, or leads from another version.
/// The result is to be believed only when it [matches](LiveSet::matches) a verified checkpoint.
pub fn apply_live(
    schema: Schema,
    base: &LiveSet,
    delta: &[u8],
    limits: &ApplyLimits,
) -> Result<LiveSet, DeltaError> {
    expect("schema of the base", base.schema().number().into(), schema.number().into())?;
    let (header, sections) = open(Kind::Live, schema, base.version(), delta, limits)?;
    let entries = merge(&header, &sections, if header.from == 0 { &[] } else { base.entries() })?;
    Ok(LiveSet::sorted(schema, header.to, header.horizon, entries))
}

/// Applies a history delta to the history of version `base_version`, 0 and no entries for none; a
/// history from nothing to any base, which counts as empty. `base` is in the order of 3.1.5.
///
/// # Errors
/// As [`apply_live`]. The result is to be believed only when it [matches](HistoryResult::matches)
/// a verified checkpoint and its leaves give the checkpoint's log root.
pub fn apply_history(
    schema: Schema,
    base_version: u64,
    base: &[u8],
    delta: &[u8],
    limits: &ApplyLimits,
) -> Result<HistoryResult, DeltaError> {
    if !base.len().is_multiple_of(schema.entry_len()) {
        return Err(SetError::Length { found: base.len(), entry: schema.entry_len() }.into());
    }
    let (header, sections) = open(Kind::History, schema, base_version, delta, limits)?;
    let entries = merge(&header, &sections, if header.from == 0 { &[] } else { base })?;
    let (leaves, _) = sections.leaves.as_chunks();
    Ok(HistoryResult {
        schema,
        version: header.to,
        horizon: header.horizon,
        entries,
        leaves: leaves.to_vec(),
    })
}

/// Reads the header and refuses what the receiver did not ask for or cannot hold.
fn open<'a>(
    kind: Kind,
    schema: Schema,
    base_version: u64,
    delta: &'a [u8],
    limits: &ApplyLimits,
) -> Result<(Header, Sections<'a>), DeltaError> {
    if delta.len() as u64 > limits.max_length {
        return Err(DeltaError::TooLong { found: delta.len() as u64, limit: limits.max_length });
    }
    let header = Header::read(delta)?;
    expect("kind", header.kind as u64, kind as u64)?;
    expect("schema", header.schema.number().into(), schema.number().into())?;
    expect("service", u64::from_be_bytes(header.service), u64::from_be_bytes(limits.service))?;
    expect("set", header.set.into(), limits.set.into())?;
    if header.from != 0 {
        expect("from", header.from, base_version)?;
    }
    // bounded: nothing is allocated for entries or leaves before their number is allowed.
    at_most("entries", header.after.into(), limits.max_after)?;
    at_most("leaves", header.leaves.into(), limits.max_leaves)?;
    let sections = header.sections(delta);
    Ok((header, sections))
}

fn expect(field: &'static str, found: u64, expected: u64) -> Result<(), DeltaError> {
    if found == expected { Ok(()) } else { Err(DeltaError::Unexpected { field, found, expected }) }
}

const fn at_most(what: &'static str, found: u64, limit: u64) -> Result<(), DeltaError> {
    if found <= limit { Ok(()) } else { Err(DeltaError::TooMany { what, found, limit }) }
}

/// Merges the unexpired entries of the base, less or with the removed ones, with the added ones.
fn merge(header: &Header, sections: &Sections<'_>, base: &[u8]) -> Result<Vec<u8>, DeltaError> {
    let schema = header.schema;
    let live = header.kind == Kind::Live;
    let width = if live { schema.public_len() } else { schema.entry_len() };
    let held = (base.len() / width) as u64;
    if u64::from(header.kept) > held {
        return Err(DeltaError::Kept { found: held, expected: header.kept.into() });
    }
    let mut removals = Removals::new(header, sections)?;
    let mut additions = Additions::new(header, sections)?;
    // bounded: at most the base's entries and those whose key tails are in the object.
    let mut result = Vec::with_capacity(header.after as usize * width);
    let mut index = 0;
    for entry in base.chunks_exact(width) {
        if expired(&entry[schema.key_len()..], header.horizon) {
            continue;
        }
        let head = key_head(entry);
        while let Some((new_head, new)) = additions.peek() {
            let key = ..schema.key_len();
            if new_head > head || new_head == head && new[key] >= entry[key] {
                break;
            }
            result.extend_from_slice(new);
            additions.advance()?;
        }
        if removals.removes(index) {
            if let Some(del) = removals.pass()? {
                result.extend_from_slice(&withdrawn(schema, entry, del)?[..width]);
            }
        } else {
            let present =
                |(new_head, new): (u64, &[u8])| live && new_head == head && same_key(schema, new, entry);
            if additions.peek().is_some_and(present) {
                return Err(DeltaError::Present(additions.number()));
            }
            result.extend_from_slice(entry);
        }
        index += 1;
    }
    if index != u64::from(header.kept) {
        return Err(DeltaError::Kept { found: index, expected: header.kept.into() });
    }
    while let Some((_, new)) = additions.peek() {
        result.extend_from_slice(new);
        additions.advance()?;
    }
    removals.finish()?;
    additions.finish()?;
    Ok(result)
}

fn same_key(schema: Schema, new: &[u8], entry: &[u8]) -> bool {
    new[..schema.key_len()] == entry[..schema.key_len()]
}

/// A history entry with the serial of its withdrawal.
fn withdrawn(schema: Schema, entry: &[u8], del: u32) -> Result<[u8; MAX_ENTRY_LEN], DeltaError> {
    let mut changed = [0; MAX_ENTRY_LEN];
    let (public, serials) = (schema.public_len(), schema.entry_len());
    changed[..serials].copy_from_slice(entry);
    let before =
        u32::from_le_bytes(changed[public + 4..serials].try_into().expect("a serial has four bytes"));
    if before != LIVE {
        return Err(DeltaError::Withdrawn(before));
    }
    changed[public + 4..serials].copy_from_slice(&del.to_le_bytes());
    Ok(changed)
}
