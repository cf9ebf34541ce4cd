//! The published table of a release: the one before, merged with what changed.
//!
//! One streaming pass at every size: entries that fell below the horizon are left out,
//! withdrawn ones get their `del_serial`, new ones go in between; the bucket tree is made on the
//! way. Equal inputs give equal bytes (state-is-a-fold).

use std::path::Path;
use std::sync::Arc;

use super::crew::{Alone, Crew, Task};
use super::event::Changes;
use super::input::BuiltRelease;
use super::set::{ReleaseOutcome, SetState, TableMark};
use super::state::State;
use crate::release::tree::{depth, prefix_of};
use crate::release::{LIVE, Schema, Tree, TreeBuilder};
use crate::store::generation::{
    Generation, GenerationBuilder, GenerationError, GenerationMeta, InOrder, add_serial, entries_digest,
    is_live,
};
use crate::store::{Disk, MemoryMode};
use crate::time;

/// A tree of this depth or more is made in branches: those of the prefixes of [`BRANCH_BITS`] bits.
const BRANCHED: u8 = 12;
const BRANCH_BITS: u8 = 5;

const _: () = assert!(BRANCH_BITS <= BRANCHED);

/// Where a table is made.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// In memory alone.
    Memory,
    /// In a file of this directory, then loaded.
    File(&'a dyn Disk, &'a Path, MemoryMode),
}

impl std::fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Memory => f.write_str("Memory"),
            Place::File(_, dir, mode) => f.debug_tuple("File").field(dir).field(mode).finish(),
        }
    }
}

/// Whose table it is.
#[derive(Debug, Clone, Copy)]
pub struct TableContext {
    /// Service id.
    pub service: [u8; 8],
    /// Version of the release.
    pub version: u64,
    /// Schema of the set.
    pub schema: Schema,
}

/// A table and what its checkpoint says about it.
#[derive(Debug, Clone)]
pub struct BuiltTable {
    /// The table.
    pub generation: Arc<Generation>,
    /// Count, root and digest.
    pub built: BuiltRelease,
}

/// Calls `emit` with every history entry of the release, in order, given those of the release before.
///
/// # Errors
/// Those of `emit`.
pub(crate) fn merge<E>(
    schema: Schema,
    before: &[u8],
    outcome: &ReleaseOutcome,
    mut emit: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let key_len = schema.key_len();
    let mut dels = outcome.dels.iter().peekable();
    let mut adds = outcome.adds.iter().peekable();
    let mut changed = Vec::with_capacity(schema.entry_len());
    for entry in before.chunks_exact(schema.entry_len()) {
        let key = &entry[..key_len];
        while let Some((new, fields)) = adds.next_if(|(new, _)| new.as_bytes() < key) {
            emit(new_entry(schema, new.as_bytes(), fields, outcome.serial, &mut changed))?;
        }
        let start =
            u32::from_le_bytes([entry[key_len], entry[key_len + 1], entry[key_len + 2], entry[key_len + 3]]);
        let period = u16::from_le_bytes([entry[key_len + 4], entry[key_len + 5]]);
        let leaves =
            dels.next_if(|(gone, add)| gone.as_bytes() == key && *add == add_serial(entry)).is_some();
        if !time::is_live(start, period, outcome.horizon) {
            continue;
        }
        if leaves {
            changed.clear();
            changed.extend_from_slice(entry);
            let at = changed.len() - 4;
            changed[at..].copy_from_slice(&outcome.serial.to_le_bytes());
            emit(&changed)?;
        } else {
            emit(entry)?;
        }
    }
    for (new, fields) in adds {
        emit(new_entry(schema, new.as_bytes(), fields, outcome.serial, &mut changed))?;
    }
    debug_assert!(dels.next().is_none(), "every entry that leaves is in the table before");
    Ok(())
}

fn new_entry<'a>(
    schema: Schema,
    key: &[u8],
    fields: &crate::release::Fields,
    serial: u32,
    out: &'a mut Vec<u8>,
) -> &'a [u8] {
    out.clear();
    schema.public_entry(key, fields, out);
    out.extend_from_slice(&serial.to_le_bytes());
    out.extend_from_slice(&LIVE.to_le_bytes());
    out
}

/// The table after `outcome`: the one before if nothing changed, else a new one.
///
/// # Errors
/// Those of the disk.
pub fn next_table(
    context: &TableContext,
    before: Option<&BuiltTable>,
    outcome: &ReleaseOutcome,
    place: Place<'_>,
) -> Result<BuiltTable, GenerationError> {
    // A schema changes only while the set is empty: nothing is lost with a table of another width.
    let before = before.filter(|t| t.generation.meta().schema == context.schema.number());
    if let Some(table) = before
        && outcome.is_empty()
    {
        let built = BuiltRelease { serial: outcome.serial, ..table.built };
        return Ok(BuiltTable { generation: Arc::clone(&table.generation), built });
    }
    let entries = before.map_or(&[][..], |t| t.generation.entry_bytes());
    let at_most = entries.len() / context.schema.entry_len() + outcome.adds.len();
    make(context, outcome, at_most as u64, place, |emit| merge(context.schema, entries, outcome, emit))
}

/// Makes the table of `outcome` from all its history entries, in order.
///
/// # Errors
/// Those of the disk.
pub fn build_from(
    context: &TableContext,
    entries: &[u8],
    outcome: &ReleaseOutcome,
    place: Place<'_>,
) -> Result<BuiltTable, GenerationError> {
    let len = context.schema.entry_len();
    make(context, outcome, (entries.len() / len) as u64, place, |emit| {
        entries.chunks_exact(len).try_for_each(emit)
    })
}

/// All that it takes to make the table of the newest decided release of a set again.
#[derive(Debug)]
pub struct Mend {
    context: TableContext,
    history: Vec<u8>,
    /// The release that made it, as far as making it again needs that one.
    outcome: ReleaseOutcome,
}

impl Mend {
    /// Taken from the state alone, at one moment.
    #[must_use]
    pub fn of(state: &State, set: &SetState, crew: &dyn Crew) -> Self {
        let TableMark { version, schema, time, horizon } = set.table();
        let context = TableContext { service: state.service(), version, schema };
        let outcome = ReleaseOutcome {
            set: set.id(),
            serial: set.serial(),
            time,
            horizon,
            live: set.live(),
            bits: depth(set.live()),
            changes: Changes::default(),
            adds: Vec::new(),
            dels: Vec::new(),
            dropped: true,
        };
        Mend { context, history: set.history_by(crew), outcome }
    }

    /// The set it is about.
    #[must_use]
    pub fn set(&self) -> u32 {
        self.outcome.set
    }

    /// Makes the table.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn make(&self, place: Place<'_>) -> Result<BuiltTable, GenerationError> {
        build_from(&self.context, &self.history, &self.outcome, place)
    }

    /// The version whose table it is about.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.context.version
    }

    /// All entries of the table, in order.
    #[must_use]
    pub fn entries(&self) -> &[u8] {
        &self.history
    }

    /// Makes the table in memory.
    ///
    /// # Errors
    /// If the entries are not in order.
    pub fn table(&self, crew: &dyn Crew) -> Result<BuiltTable, GenerationError> {
        keep(&self.context, &self.outcome, &self.history, crew)
    }
}

type Emit<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), GenerationError>;

fn make(
    context: &TableContext,
    outcome: &ReleaseOutcome,
    at_most: u64,
    place: Place<'_>,
    entries: impl FnOnce(Emit<'_>) -> Result<(), GenerationError>,
) -> Result<BuiltTable, GenerationError> {
    let schema = context.schema;
    let generation = match place {
        Place::Memory => {
            let mut all = Vec::new();
            entries(&mut |entry| {
                all.extend_from_slice(entry);
                Ok(())
            })?;
            return keep(context, outcome, &all, &Alone);
        }
        Place::File(disk, dir, mode) => {
            let mut tree = TreeBuilder::new(outcome.live);
            let mut file = GenerationBuilder::create(disk, dir, meta(context, outcome), at_most)?;
            entries(&mut |entry| {
                grow(&mut tree, schema, entry);
                file.push(entry)
            })?;
            let nodes = tree.finish().nodes;
            file.finish(&nodes, mode)?
        }
    };
    Ok(built(outcome, generation))
}

/// The table of all these entries, in memory.
fn keep(
    context: &TableContext,
    outcome: &ReleaseOutcome,
    entries: &[u8],
    crew: &dyn Crew,
) -> Result<BuiltTable, GenerationError> {
    let (schema, b, meta) = (context.schema, depth(outcome.live), meta(context, outcome));
    let bits = if b < BRANCHED { 0 } else { BRANCH_BITS };
    let mut branches = vec![None; 1 << bits];
    let (mut digest, mut order) = (None, None);
    // The longest first.
    let mut tasks: Vec<Task<'_>> = vec![
        Box::new(|| digest = Some(entries_digest(entries))),
        Box::new(|| order = Some(InOrder::check(&meta, entries))),
    ];
    tasks.extend((0..).zip(&mut branches).map(|(prefix, out)| -> Task<'_> {
        Box::new(move || *out = Some(branch(schema, b, bits, prefix, entries)))
    }));
    crew.carry_out(tasks);
    let carried_out = "a crew carries every task out";
    let branches: Vec<Tree> = branches.into_iter().map(|branch| branch.expect(carried_out)).collect();
    let nodes = Tree::join(b, bits, &branches).nodes;
    let (order, digest) = (order.expect(carried_out)?, digest.expect(carried_out));
    Ok(built(outcome, Generation::of_parts(meta, entries, &nodes, &order, digest)?))
}

/// The branch of a prefix of `bits` bits in a tree of depth `b`.
fn branch(schema: Schema, b: u8, bits: u8, prefix: u32, entries: &[u8]) -> Tree {
    let len = schema.entry_len();
    let begin = |prefix: u32| {
        let (mut low, mut high) = (0, entries.len() / len);
        while low < high {
            let middle = low + (high - low) / 2;
            if prefix_of(&entries[middle * len..], bits) < prefix {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low * len
    };
    let mut tree = TreeBuilder::branch(b, bits, prefix);
    let own = &entries[begin(prefix)..begin(prefix + 1)];
    own.chunks_exact(len).for_each(|entry| grow(&mut tree, schema, entry));
    tree.finish()
}

fn built(outcome: &ReleaseOutcome, generation: Generation) -> BuiltTable {
    let built = BuiltRelease {
        set: outcome.set,
        serial: outcome.serial,
        count: generation.live(),
        root: *generation.root(),
        history_digest: *generation.digest(),
    };
    BuiltTable { generation: Arc::new(generation), built }
}

fn grow(tree: &mut TreeBuilder, schema: Schema, entry: &[u8]) {
    if is_live(entry) {
        tree.push(&entry[..schema.public_len()]);
    }
}

fn meta(context: &TableContext, outcome: &ReleaseOutcome) -> GenerationMeta {
    let width = |n: usize| u8::try_from(n).expect("keys and entries have at most 48 bytes");
    GenerationMeta {
        service: context.service,
        set: outcome.set,
        schema: context.schema.number(),
        key_len: width(context.schema.key_len()),
        entry_len: width(context.schema.entry_len()),
        version: context.version,
        time: outcome.time,
        horizon: outcome.horizon,
        bits: outcome.bits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Fields;
    use crate::store::MemoryDisk;

    #[test]
    fn a_table_made_in_branches_is_the_one_made_entry_by_entry() {
        let (schema, all) = (Schema::GaenMinimal, 6_u32 << BRANCHED);
        let mut entries = Vec::new();
        for n in 0..all {
            let mut key = [7; 16];
            key[..4].copy_from_slice(&(n * (u32::MAX / all)).to_be_bytes());
            let del = if n % 9 == 4 { 5 } else { LIVE };
            schema.history_entry(&key, &Fields { start: n, ..Fields::default() }, 3, del, &mut entries);
        }
        let live = (0..all).filter(|n| n % 9 != 4).count() as u64;
        assert!(depth(live) >= BRANCHED);
        let outcome = ReleaseOutcome {
            set: 1,
            serial: 7,
            time: 1_790_000_000,
            horizon: 0,
            live,
            bits: depth(live),
            changes: Changes::default(),
            adds: Vec::new(),
            dels: Vec::new(),
            dropped: true,
        };
        let context = TableContext { service: [1; 8], version: 1 << 32 | 7, schema };
        let (disk, dir) = (MemoryDisk::new(), Path::new("/sets/1"));
        let made = |place| build_from(&context, &entries, &outcome, place).unwrap();
        let (memory, file) = (made(Place::Memory), made(Place::File(&disk, dir, MemoryMode::Copy)));
        assert_eq!(memory.built, file.built);
        assert!(memory.generation.bytes() == file.generation.bytes());
    }
}
