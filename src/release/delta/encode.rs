//! Making a delta: one pass over the history of the newer version sorts out what was kept, removed
//! and added since the older one; then each section is written (protocol-spec 3.8).
//!
//! The base is never needed: the serials of the entries tell what it held, and what has expired
//! under the newer horizon no delta speaks of. All parameters are chosen by rules of the format, so
//! that equal inputs give equal bytes everywhere.

use super::header::{DeltaError, Header, KEY_HEAD_LEN, Kind};
use super::tuples::{self, TupleSections};
use crate::release::bits::BitWriter;
use crate::release::rice;
use crate::release::schema::{EntryView, Schema, key_head};
use crate::release::tree::Hash;

/// What the versions of a delta have in common, and the horizon of the newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaContext {
    /// Service that publishes the set.
    pub service: [u8; 8],
    /// The set.
    pub set: u32,
    /// Schema of the set.
    pub schema: Schema,
    /// Horizon of the version that the delta leads to.
    pub horizon: u32,
}

/// Whether a server gives the full instead of a delta: if the delta is at least four fifths as long
/// (3.8.11).
#[must_use]
pub const fn prefer_full(delta_len: u64, full_len: u64) -> bool {
    delta_len.saturating_mul(5) >= full_len.saturating_mul(4)
}

/// The delta from the live set of version `from`, 0 for a full, to that of version `to` (kind 1).
///
/// `history` holds the entries of version `to` (3.2.3) in the order of 3.1.5. Entries that are
/// expired under the context's horizon or were added after `to` are passed over.
///
/// # Errors
/// If the versions do not lead forward, the history is not in order, or a number does not fit the
/// format.
pub fn encode_live(
    context: &DeltaContext,
    from: u64,
    to: u64,
    history: &[u8],
) -> Result<Vec<u8>, DeltaError> {
    encode(Kind::Live, context, from, to, history, &[])
}

/// The delta from the history of version `from`, 0 for nothing, to that of version `to` (kind 2).
///
/// `history` as in [`encode_live`]; `leaves` are those of the checkpoint log from the `log_size` of
/// `from` (0 if `from` is 0) up to, not including, the `log_size` of `to` (3.8.8).
///
/// # Errors
/// As [`encode_live`].
pub fn encode_history(
    context: &DeltaContext,
    from: u64,
    to: u64,
    history: &[u8],
    leaves: &[Hash],
) -> Result<Vec<u8>, DeltaError> {
    encode(Kind::History, context, from, to, history, leaves)
}

fn encode(
    kind: Kind,
    context: &DeltaContext,
    from: u64,
    to: u64,
    history: &[u8],
    leaves: &[Hash],
) -> Result<Vec<u8>, DeltaError> {
    if from >= to || from as u32 > to as u32 {
        return Err(DeltaError::Versions { from, to });
    }
    let schema = context.schema;
    let changes = Changes::survey(kind, context, from, to as u32, history)?;
    let removal = rice::choose_removal_k(&changes.gaps);
    let removals = write_removals(&changes.gaps, removal);
    let (key_k, gaps) = write_gaps(schema, history, &changes.added)?;
    let tuples = write_tuples(schema, history, &changes.added)?;
    let serials = match kind {
        Kind::Live => SerialSection::default(),
        Kind::History => SerialSection::write(schema, history, &changes, to as u32),
    };
    let added = fits("added entries", changes.added.len())?;
    let removed = fits("removed entries", changes.gaps.len())?;
    let gone = if kind == Kind::Live { removed } else { 0 };
    let after = u64::from(changes.kept - gone) + u64::from(added);
    let header = Header {
        schema,
        kind,
        removal_k: removal.k as u8,
        key_k: key_k as u8,
        tuple_mode: tuples.mode,
        service: context.service,
        set: context.set,
        horizon: context.horizon,
        from,
        to,
        kept: changes.kept,
        removed,
        added,
        after: fits("entries", after as usize)?,
        start_base: tuples.start_base,
        rows: tuples.rows,
        removal_len: fits("bytes of removals", removals.len())?,
        gap_len: fits("bytes of gaps", gaps.len())?,
        tuple_len: fits("bytes of tuples", tuples.section.len())?,
        serial_len: fits("bytes of serials", serials.bytes.len())?,
        leaves: fits("leaves", leaves.len())?,
        serial_bits: serials.bits,
        serial_base: serials.base,
    };
    let mut object = Vec::with_capacity(header.object_len() as usize);
    object.extend_from_slice(&header.write());
    object.extend_from_slice(&tuples.table);
    object.extend_from_slice(&removals);
    object.extend_from_slice(&gaps);
    for entry in changes.added(schema, history) {
        object.extend_from_slice(&entry.key[KEY_HEAD_LEN..]);
    }
    object.extend_from_slice(&tuples.section);
    object.extend_from_slice(&serials.bytes);
    object.extend_from_slice(leaves.as_flattened());
    debug_assert_eq!(object.len() as u64, header.object_len());
    Ok(object)
}

fn fits(what: &'static str, found: usize) -> Result<u32, DeltaError> {
    let (found, limit) = (found as u64, u64::from(u32::MAX));
    u32::try_from(found).map_err(|_| DeltaError::TooMany { what, found, limit })
}

/// What happened between two versions.
#[derive(Debug, Default)]
struct Changes {
    /// Entries of the base that are not expired.
    kept: u32,
    /// Removed entries as gaps between their indices (3.8.5).
    gaps: Vec<u32>,
    /// Positions of removed entries in the history, only in kind 2.
    withdrawn: Vec<u32>,
    /// Positions of added entries in the history.
    added: Vec<u32>,
}

impl Changes {
    fn survey(
        kind: Kind,
        context: &DeltaContext,
        from: u64,
        to: u32,
        history: &[u8],
    ) -> Result<Self, DeltaError> {
        fits("history entries", history.len() / context.schema.entry_len())?;
        let base = (from != 0).then_some(from as u32);
        let mut changes = Self::default();
        let mut next_index = 0;
        for (position, entry) in context.schema.views(history).enumerate() {
            if entry.add_serial > to || entry.expired(context.horizon) {
                continue;
            }
            let live_before = base.is_some_and(|serial| entry.live_at(serial));
            let live_now = to < entry.del_serial;
            let in_base = match kind {
                Kind::Live => live_before,
                Kind::History => base.is_some_and(|serial| entry.add_serial <= serial),
            };
            if in_base {
                if live_before && !live_now {
                    changes.gaps.push(changes.kept - next_index);
                    next_index = changes.kept + 1;
                    if kind == Kind::History {
                        changes.withdrawn.push(position as u32);
                    }
                }
                changes.kept += 1;
            } else if live_now || kind == Kind::History {
                changes.added.push(position as u32);
            }
        }
        Ok(changes)
    }

    fn added<'a>(
        &'a self,
        schema: Schema,
        history: &'a [u8],
    ) -> impl ExactSizeIterator<Item = EntryView<'a>> {
        at(schema, history, &self.added)
    }
}

fn at<'a>(
    schema: Schema,
    history: &'a [u8],
    positions: &'a [u32],
) -> impl ExactSizeIterator<Item = EntryView<'a>> {
    let len = schema.entry_len();
    positions
        .iter()
        .map(move |&position| EntryView::split(schema, &history[position as usize * len..][..len]))
}

fn write_removals(gaps: &[u32], choice: rice::Choice) -> Vec<u8> {
    let mut writer = BitWriter::with_capacity(choice.bits as usize / 8 + 8);
    for &gap in gaps {
        rice::put(&mut writer, gap.into(), choice.k);
    }
    writer.finish()
}

/// The gap section (3.8.6) and its parameter.
fn write_gaps(schema: Schema, history: &[u8], added: &[u32]) -> Result<(u32, Vec<u8>), DeltaError> {
    let mut gaps = Vec::with_capacity(added.len());
    let mut before = 0;
    for (i, entry) in at(schema, history, added).enumerate() {
        let head = key_head(entry.key);
        gaps.push(head.checked_sub(before).ok_or(DeltaError::Order(i as u32))?);
        before = head;
    }
    let choice = rice::choose_key_k(gaps.iter().copied());
    let mut writer = BitWriter::with_capacity(choice.bits as usize / 8 + 8);
    for gap in gaps {
        rice::put(&mut writer, gap, choice.k);
    }
    Ok((choice.k, writer.finish()))
}

fn write_tuples(schema: Schema, history: &[u8], added: &[u32]) -> Result<TupleSections, DeltaError> {
    let pack = |entry: EntryView<'_>| Ok(tuples::pack(&schema.read_fields(entry.fields)?));
    let packed: Vec<u64> = at(schema, history, added).map(pack).collect::<Result<_, DeltaError>>()?;
    tuples::encode(&packed)
}

/// The serial section of a history delta (3.8.8).
#[derive(Debug, Default)]
struct SerialSection {
    base: u32,
    bits: u8,
    bytes: Vec<u8>,
}

impl SerialSection {
    fn write(schema: Schema, history: &[u8], changes: &Changes, to: u32) -> Self {
        let withdrawn = || at(schema, history, &changes.withdrawn).map(|entry| entry.del_serial);
        let added = || {
            let later_is_live = move |del: u32| (del <= to).then_some(del);
            changes
                .added(schema, history)
                .map(move |entry| (entry.add_serial, later_is_live(entry.del_serial)))
        };
        let (mut least, mut greatest) = (u32::MAX, 0);
        let serials = withdrawn().chain(added().flat_map(|(add, del)| [add, del.unwrap_or(add)]));
        for serial in serials {
            least = least.min(serial);
            greatest = greatest.max(serial);
        }
        if greatest < least {
            return Self::default();
        }
        let bits = u32::BITS - (greatest - least).leading_zeros();
        let mut writer = BitWriter::default();
        for del in withdrawn() {
            writer.put((del - least).into(), bits);
        }
        for (add, del) in added() {
            writer.put((add - least).into(), bits);
            writer.put(u64::from(del.is_none()), 1);
            if let Some(del) = del {
                writer.put((del - least).into(), bits);
            }
        }
        Self { base: least, bits: bits as u8, bytes: writer.finish() }
    }
}
