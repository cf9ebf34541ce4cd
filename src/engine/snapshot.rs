//! The private state as bytes, and back.
//!
//! A snapshot saves a restart from reading the whole journal. It is a cache: what cannot be read is not
//! used, and the journal gives the same state. Sums and indices are not stored but found again.

use std::collections::BTreeSet;

use super::codec::{DecodeError, Decoder, Encoder};
use super::params::{Params, schema};
use super::set::{
    Claim, EntryState, KeyState, Leaving, Pending, PublishedState, ReportState, SetState, TableMark,
};
use super::state::{Provider, State};
use crate::release::LIVE;

/// Layout of a snapshot's payload (file format 5.8).
pub(crate) const SNAPSHOT_LAYOUT: u16 = 0;

impl State {
    /// All of the state.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut e = Encoder::new();
        e.u16(SNAPSHOT_LAYOUT).raw(&self.service).u32(self.incarnation).u64(self.seq).u64(self.time);
        e.u32(self.key_epoch).bytes(&self.delegation).count(self.providers.len());
        for (id, p) in &self.providers {
            e.u32(*id).bytes(p.name.as_bytes()).u64(p.since).u8(u8::from(p.key.is_some()));
            e.raw(p.key.as_ref().map_or(&[][..], |k| k));
        }
        e.count(self.sets.len());
        for set in self.sets.values() {
            encode_set(&mut e, set);
        }
        e.finish()
    }

    /// The state these bytes were made from.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes of another layout or none.
    pub fn from_bytes(bytes: &[u8]) -> Result<State, DecodeError> {
        let mut d = Decoder::new("a snapshot", bytes);
        let layout = d.u16()?;
        if layout != SNAPSHOT_LAYOUT {
            return Err(DecodeError::Value { what: "a snapshot's layout", value: layout.into() });
        }
        let mut state = State {
            service: d.array()?,
            incarnation: d.u32()?,
            seq: d.u64()?,
            time: d.u64()?,
            key_epoch: d.u32()?,
            delegation: d.bytes()?.to_vec(),
            ..State::default()
        };
        for _ in 0..d.count(17)? {
            let id = d.u32()?;
            let (name, since) = (d.text()?, d.u64()?);
            let key = if d.bool()? { Some(d.array()?) } else { None };
            state.providers.insert(id, Provider { name, key, since });
        }
        for _ in 0..d.count(32)? {
            let set = decode_set(&mut d)?;
            state.sets.insert(set.id, set);
        }
        d.end()?;
        Ok(state)
    }
}

fn encode_set(e: &mut Encoder, s: &SetState) {
    e.u32(s.id);
    s.params.encode(e);
    e.u32(s.manifest_number).bytes(&s.manifest);
    e.u32(s.serial).u64(s.time).u32(s.horizon);
    e.u32(s.table.serial).u16(s.table.schema.number()).u64(s.table.time).u32(s.table.horizon);
    e.u8(u8::from(s.published.is_some()));
    if let Some(p) = &s.published {
        e.u32(p.serial).bytes(&p.manifest).bytes(&p.delegation).bytes(&p.checkpoint).bytes(&p.signatures);
    }
    e.count(s.log.leaves().len());
    for leaf in s.log.leaves() {
        e.raw(leaf);
    }
    e.count(s.reports.len());
    for (seq, r) in &s.reports {
        e.u64(*seq).raw(&r.report).u32(r.provider).u64(r.received).count(r.keys.len());
        for key in &r.keys {
            e.key(key);
        }
    }
    e.count(s.keys.len());
    for (key, state) in &s.keys {
        e.key(key).count(state.claims.len());
        for c in &state.claims {
            e.u64(c.report).fields(&c.fields).u64(c.embargo_end).u8(u8::from(c.decoy));
        }
        e.count(state.entries.len());
        for entry in &state.entries {
            e.fields(&entry.fields).u32(entry.add_serial).u32(entry.del_serial).u8(u8::from(entry.decoy));
        }
    }
    e.count(s.pending.len());
    for (key, p) in &s.pending {
        e.key(key).fields(&p.fields).u64(p.embargo_end).u64(p.report).u8(u8::from(p.decoy)).u64(p.since);
    }
    e.count(s.leaving.len());
    for (key, l) in &s.leaving {
        e.key(key).u64(l.report).u8(u8::from(l.urgent)).u64(l.since);
    }
}

fn decode_set(d: &mut Decoder<'_>) -> Result<SetState, DecodeError> {
    let id = d.u32()?;
    let mut s = SetState::new(id, Params::decode(d)?);
    s.manifest_number = d.u32()?;
    s.manifest = d.bytes()?.to_vec();
    (s.serial, s.time, s.horizon) = (d.u32()?, d.u64()?, d.u32()?);
    s.table = TableMark { serial: d.u32()?, schema: schema(d)?, time: d.u64()?, horizon: d.u32()? };
    if d.bool()? {
        s.published = Some(PublishedState {
            serial: d.u32()?,
            manifest: d.bytes()?.to_vec(),
            delegation: d.bytes()?.to_vec(),
            checkpoint: d.bytes()?.to_vec(),
            signatures: d.bytes()?.to_vec(),
        });
    }
    for _ in 0..d.count(32)? {
        s.log.push(d.array()?);
    }
    for _ in 0..d.count(40)? {
        let seq = d.u64()?;
        let (report, provider, received) = (d.array()?, d.u32()?, d.u64()?);
        let n = d.count(17)?;
        let keys = (0..n).map(|_| d.key()).collect::<Result<_, _>>()?;
        if provider == super::event::DECOY_PROVIDER {
            s.decoys.insert(seq);
        }
        s.reports.insert(seq, ReportState { report, provider, received, keys });
    }
    for _ in 0..d.count(25)? {
        decode_key(d, &mut s)?;
    }
    for _ in 0..d.count(43)? {
        let key = d.key()?;
        let (fields, embargo_end, report) = (d.fields()?, d.u64()?, d.u64()?);
        let pending = Pending { fields, embargo_end, report, decoy: d.bool()?, since: d.u64()? };
        s.pending.insert(key, pending);
    }
    for _ in 0..d.count(34)? {
        let key = d.key()?;
        s.leaving.insert(key, Leaving { report: d.u64()?, urgent: d.bool()?, since: d.u64()? });
    }
    Ok(s)
}

fn decode_key(d: &mut Decoder<'_>, s: &mut SetState) -> Result<(), DecodeError> {
    let key = d.key()?;
    let mut state = KeyState::default();
    let mut ends = BTreeSet::new();
    for _ in 0..d.count(26)? {
        let claim = Claim { report: d.u64()?, fields: d.fields()?, embargo_end: d.u64()?, decoy: d.bool()? };
        ends.insert(super::set::end_of(&claim.fields));
        state.claims.push(claim);
    }
    for _ in 0..d.count(18)? {
        let entry =
            EntryState { fields: d.fields()?, add_serial: d.u32()?, del_serial: d.u32()?, decoy: d.bool()? };
        ends.insert(super::set::end_of(&entry.fields));
        s.unexpired += 1;
        if entry.del_serial == LIVE {
            s.live += 1;
        }
        state.entries.push(entry);
    }
    for end in ends {
        s.ends.entry(end).or_default().push(key);
    }
    s.keys.insert(key, state);
    Ok(())
}
