//! The private state as bytes, and back.
//!
//! A snapshot saves a restart from reading the whole journal. It is a cache: what cannot be read is not
//! used, and the journal gives the same state. Sums and indices are not stored but found again.

use std::collections::BTreeMap;

use super::codec::{DecodeError, Decoder, Encoder};
use super::event::{Authored, Based, DECOY_PROVIDER, SealKey};
use super::event_bytes::{day, report_type, standing};
use super::params::{Params, schema};
use super::set::{
    Bridge, Change, Claim, Course, EntryState, Handle, KeyState, KeyTable, Later, Leaving, Pending,
    PublishedState, ReportRecord, SetState, TableMark, end_of,
};
use super::state::{Base, State};
use super::told::Told;
use crate::authority::{
    Batch, BatchStanding, Grant, Issuer, Provider, ProviderCounts, ProviderKey, Registry, SpentCertificate,
    Warrant,
};
use crate::release::LIVE;
use crate::time::interval_of;
use crate::wire::report::RequestKind;

/// Layout of a snapshot's payload (file format 5.8).
pub(crate) const SNAPSHOT_LAYOUT: u16 = 1;
/// Keys that are looked for at once.
const KEYS_AT_ONCE: usize = 64;

impl State {
    /// All of the state.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut e = Encoder::new();
        e.u16(SNAPSHOT_LAYOUT).raw(&self.service).u32(self.incarnation).u64(self.seq).u64(self.time);
        e.flag(self.base.is_some());
        if let Some(Base { snapshot, event, time }) = &self.base {
            snapshot.encode(&mut e);
            e.u64(*event).u64(*time);
        }
        e.u32(self.key_epoch).bytes(&self.delegation).count(self.earlier_delegations.len());
        for (epoch, delegation) in &self.earlier_delegations {
            e.u32(*epoch).bytes(delegation);
        }
        encode_registry(&mut e, &self.registry);
        e.count(self.seal_keys.len());
        self.seal_keys.iter().for_each(|key| key.encode(&mut e));
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
            base: if d.bool()? { Some(decode_base(&mut d)?) } else { None },
            key_epoch: d.u32()?,
            delegation: d.bytes()?.to_vec(),
            ..State::default()
        };
        for _ in 0..d.count(8)? {
            state.earlier_delegations.insert(d.u32()?, d.bytes()?.to_vec());
        }
        state.registry = decode_registry(&mut d)?;
        for _ in 0..d.count(56)? {
            state.seal_keys.push(SealKey::decode(&mut d)?);
        }
        for _ in 0..d.count(32)? {
            let set = decode_set(&mut d)?;
            state.sets.insert(set.id, set);
        }
        d.end()?;
        Ok(state)
    }
}

fn decode_base(d: &mut Decoder<'_>) -> Result<Base, DecodeError> {
    Ok(Base { snapshot: Based::decode(d)?, event: d.u64()?, time: d.u64()? })
}

fn encode_registry(e: &mut Encoder, r: &Registry) {
    e.count(r.providers.len());
    for (id, p) in &r.providers {
        e.u32(*id).text(&p.name).u64(p.since).flag(p.issuer.is_some());
        if let Some(issuer) = &p.issuer {
            issuer.encode(e);
        }
        e.u8(p.standing.number());
        let c = &p.counts;
        e.u64(c.reports).u64(c.keys).u64(c.withdrawn).u64(c.codes).u64(c.spent).count(p.keys.len());
        p.keys.iter().for_each(|key| key.encode(e));
    }
    e.u32(r.last_batch).count(r.batches.len());
    for (id, b) in &r.batches {
        e.u32(*id).u32(b.provider).u32(b.set).u8(b.report_type.number()).u32(b.onset_day.unwrap_or(0));
        e.raw(&b.nonce).raw(&b.key_id).u32(b.count).u64(b.issued).u64(b.expires).u8(b.standing.number());
        e.count(b.spent.len());
        b.spent.iter().for_each(|(index, seq)| {
            e.u32(*index).u64(*seq);
        });
    }
    e.count(r.certificates.len());
    for (identity, used) in &r.certificates {
        e.raw(identity).u32(used.set).u64(used.until).u64(used.seq);
    }
}

fn decode_registry(d: &mut Decoder<'_>) -> Result<Registry, DecodeError> {
    let mut r = Registry::default();
    for _ in 0..d.count(62)? {
        let (id, name, since) = (d.u32()?, d.text()?, d.u64()?);
        let mut p = Provider::new(name, since);
        if d.bool()? {
            p.issuer = Some(Issuer::decode(d)?);
        }
        p.standing = standing(d)?;
        p.counts = ProviderCounts {
            reports: d.u64()?,
            keys: d.u64()?,
            withdrawn: d.u64()?,
            codes: d.u64()?,
            spent: d.u64()?,
        };
        for _ in 0..d.count(61)? {
            p.keys.push(ProviderKey::decode(d)?);
        }
        r.providers.insert(id, p);
    }
    r.last_batch = d.u32()?;
    for _ in 0..d.count(66)? {
        let id = d.u32()?;
        let batch = decode_batch(d)?;
        r.batches.insert(id, batch);
    }
    for _ in 0..d.count(36)? {
        let identity = d.array()?;
        let used = SpentCertificate { set: d.u32()?, until: d.u64()?, seq: d.u64()? };
        r.certificates.insert(identity, used);
    }
    Ok(r)
}

fn decode_batch(d: &mut Decoder<'_>) -> Result<Batch, DecodeError> {
    let mut batch = Batch {
        provider: d.u32()?,
        set: d.u32()?,
        report_type: report_type(d)?,
        onset_day: day(d)?,
        nonce: d.array()?,
        key_id: d.array()?,
        count: d.u32()?,
        issued: d.u64()?,
        expires: d.u64()?,
        standing: {
            let number = d.u8()?;
            BatchStanding::from_number(number).ok_or(d.value(number.into()))?
        },
        spent: BTreeMap::new(),
    };
    for _ in 0..d.count(12)? {
        batch.spent.insert(d.u32()?, d.u64()?);
    }
    Ok(batch)
}

fn encode_set(e: &mut Encoder, s: &SetState) {
    e.u32(s.id);
    s.params.encode(e);
    e.u32(s.manifest_number).bytes(&s.manifest);
    e.u32(s.serial).u64(s.time).u32(s.horizon);
    e.u64(s.table.version).u16(s.table.schema.number()).u64(s.table.time).u32(s.table.horizon);
    e.u8(u8::from(s.published.is_some()));
    if let Some(p) = &s.published {
        e.u32(p.serial).bytes(&p.manifest).bytes(&p.delegation).bytes(&p.checkpoint).bytes(&p.signatures);
    }
    e.u32(s.known_serial).count(s.bridges.len());
    for bridge in &s.bridges {
        e.u32(bridge.incarnation).u32(bridge.serial);
    }
    e.count(s.log.leaves().len());
    for leaf in s.log.leaves() {
        e.raw(leaf);
    }
    e.count(s.reports.len());
    for (seq, r) in &s.reports {
        encode_report(e, s, *seq, r);
    }
    let keys = s.keys.in_order();
    e.count(keys.len());
    for at in keys {
        let state = &s.keys[at];
        e.key(s.keys.key(at)).count(state.claims.len());
        for c in &*state.claims {
            let Course { seq, under, since, taken_back, cancelled } = c.course();
            e.u64(c.report).u64(seq).u64(under).fields(&c.fields).u64(c.embargo_end).flag(c.decoy);
            e.u64(c.received).u64(since).flag(cancelled);
            encode_events(e, &taken_back);
        }
        e.count(state.entries.len());
        for entry in &*state.entries {
            e.fields(&entry.fields).u32(entry.add_serial).u32(entry.del_serial).u8(u8::from(entry.decoy));
        }
    }
    e.count(s.waiting());
    for at in s.keys.sorted(s.keys.waiting().map(|(at, _)| *at)) {
        let Some(p) = s.keys.waits_for(at) else { continue };
        e.key(s.keys.key(at))
            .fields(&p.fields)
            .u64(p.embargo_end)
            .u64(p.report)
            .u8(u8::from(p.decoy))
            .u64(p.since);
    }
    e.count(s.leaving.len());
    for (key, l) in &s.leaving {
        e.key(key).u64(l.report).u8(u8::from(l.urgent)).u64(l.since);
    }
}

fn encode_report(e: &mut Encoder, s: &SetState, seq: u64, r: &ReportRecord) {
    e.u64(seq).raw(&r.report).u32(r.warrant.provider);
    r.warrant.grant.encode(e);
    e.u64(r.warrant.received).count(r.keys.len());
    for at in &r.keys {
        e.key(s.keys.key(*at));
    }
    e.flag(r.authored.is_some());
    if let Some(authored) = &r.authored {
        authored.encode(e);
    }
    e.count(r.later.len());
    for Later { seq, time, kind, told } in &r.later {
        e.u64(*seq).u64(*time).u8(kind.number());
        told.encode(e);
    }
    e.count(r.changes.len());
    for Change { warrant, report_type, taken_back } in &r.changes {
        e.u64(warrant.seq).u64(warrant.received).u32(warrant.provider);
        warrant.grant.encode(e);
        e.u8(report_type.number());
        encode_events(e, taken_back);
    }
    e.u32(r.released).flag(r.withdrawn);
}

fn encode_events(e: &mut Encoder, events: &[u64]) {
    e.count(events.len());
    events.iter().for_each(|seq| {
        e.u64(*seq);
    });
}

fn decode_events(d: &mut Decoder<'_>) -> Result<Vec<u64>, DecodeError> {
    let n = d.count(8)?;
    (0..n).map(|_| d.u64()).collect()
}

fn decode_change(d: &mut Decoder<'_>) -> Result<Change, DecodeError> {
    let (seq, received, provider, grant) = (d.u64()?, d.u64()?, d.u32()?, Grant::decode(d)?);
    Ok(Change {
        warrant: Warrant { seq, received, provider, grant },
        report_type: report_type(d)?,
        taken_back: decode_events(d)?,
    })
}

fn decode_later(d: &mut Decoder<'_>) -> Result<Later, DecodeError> {
    let (seq, time, number) = (d.u64()?, d.u64()?, d.u8()?);
    let kind = RequestKind::from_number(number);
    let kind = kind.filter(|kind| matches!(kind, RequestKind::Amend | RequestKind::Cancel));
    Ok(Later { seq, time, kind: kind.ok_or(d.value(number.into()))?, told: Told::decode(d)? })
}

fn decode_report(d: &mut Decoder<'_>, known: &mut KeyTable, seq: u64) -> Result<ReportRecord, DecodeError> {
    let (report, provider, grant, received) = (d.array()?, d.u32()?, Grant::decode(d)?, d.u64()?);
    let warrant = Warrant { seq, received, provider, grant };
    let n = d.count(17)?;
    let keys = (0..n).map(|_| d.key()).collect::<Result<Vec<_>, _>>()?;
    let keys = known.open(keys.iter());
    let authored = if d.bool()? { Some(Box::new(Authored::decode(d)?)) } else { None };
    let n = d.count(118)?;
    let later = (0..n).map(|_| decode_later(d)).collect::<Result<_, _>>()?;
    let n = d.count(30)?;
    let changes = (0..n).map(|_| decode_change(d)).collect::<Result<_, _>>()?;
    let (released, withdrawn) = (d.u32()?, d.bool()?);
    Ok(ReportRecord { report, warrant, keys, authored, later, changes, released, withdrawn })
}

fn decode_set(d: &mut Decoder<'_>) -> Result<SetState, DecodeError> {
    let id = d.u32()?;
    let mut s = SetState::new(id, Params::decode(d)?);
    s.manifest_number = d.u32()?;
    s.manifest = d.bytes()?.to_vec();
    (s.serial, s.time, s.horizon) = (d.u32()?, d.u64()?, d.u32()?);
    s.table = TableMark { version: d.u64()?, schema: schema(d)?, time: d.u64()?, horizon: d.u32()? };
    if d.bool()? {
        s.published = Some(PublishedState {
            serial: d.u32()?,
            manifest: d.bytes()?.to_vec(),
            delegation: d.bytes()?.to_vec(),
            checkpoint: d.bytes()?.to_vec(),
            signatures: d.bytes()?.to_vec(),
        });
    }
    s.known_serial = d.u32()?;
    for _ in 0..d.count(8)? {
        s.bridges.push(Bridge { incarnation: d.u32()?, serial: d.u32()? });
    }
    for _ in 0..d.count(32)? {
        s.log.push(d.array()?);
    }
    for _ in 0..d.count(51)? {
        let seq = d.u64()?;
        let record = decode_report(d, &mut s.keys, seq)?;
        if record.warrant.provider == DECOY_PROVIDER {
            s.decoys.insert(seq);
        }
        s.received.entry(interval_of(record.warrant.received)).or_default().push(seq);
        s.reports.insert(seq, record);
    }
    decode_keys(d, &mut s)?;
    for _ in 0..d.count(43)? {
        let key = d.key()?;
        let (fields, embargo_end, report) = (d.fields()?, d.u64()?, d.u64()?);
        let pending = Pending { fields, embargo_end, report, decoy: d.bool()?, since: d.u64()? };
        let at = s.keys.find(&key).ok_or_else(|| d.value(report))?;
        s.keys.wait_for(at, Some(pending));
    }
    for _ in 0..d.count(34)? {
        let key = d.key()?;
        s.leaving.insert(key, Leaving { report: d.u64()?, urgent: d.bool()?, since: d.u64()? });
    }
    Ok(s)
}

fn decode_claim(d: &mut Decoder<'_>) -> Result<Claim, DecodeError> {
    let (report, seq, under) = (d.u64()?, d.u64()?, d.u64()?);
    let (fields, embargo_end, decoy, received) = (d.fields()?, d.u64()?, d.bool()?, d.u64()?);
    let (since, cancelled, taken_back) = (d.u64()?, d.bool()?, decode_events(d)?);
    let mut claim = Claim::new(report, received, fields, embargo_end, decoy);
    claim.set_course(Course { seq, under, since, taken_back, cancelled });
    Ok(claim)
}

fn decode_keys(d: &mut Decoder<'_>, s: &mut SetState) -> Result<(), DecodeError> {
    let n = d.count(25)?;
    let (mut left, mut ends) = (n, Vec::new());
    while left > 0 {
        let next = left.min(KEYS_AT_ONCE);
        let known = (0..next).map(|_| Ok((d.key()?, decode_known(d)?))).collect::<Result<Vec<_>, _>>()?;
        let handles = s.keys.open(known.iter().map(|(key, _)| key));
        for (at, (_, state)) in handles.into_iter().zip(known) {
            take_in(s, at, state, &mut ends);
        }
        left -= next;
    }
    if s.keys.len() == n {
        return Ok(());
    }
    // A report names a key of which nothing is said, or a key is there twice.
    Err(d.value(n as u64))
}

fn decode_known(d: &mut Decoder<'_>) -> Result<KeyState, DecodeError> {
    let mut state = KeyState::default();
    for _ in 0..d.count(59)? {
        state.claims.push(decode_claim(d)?);
    }
    for _ in 0..d.count(18)? {
        let (fields, add_serial, del_serial) = (d.fields()?, d.u32()?, d.u32()?);
        state.entries.push(EntryState { fields, add_serial, del_serial, decoy: d.bool()? });
    }
    Ok(state)
}

/// `ends` is a buffer for the intervals at which something of the key ends.
fn take_in(s: &mut SetState, at: Handle, state: KeyState, ends: &mut Vec<u64>) {
    ends.clear();
    ends.extend(state.claims.iter().map(|claim| end_of(&claim.fields)));
    ends.extend(state.entries.iter().map(|entry| end_of(&entry.fields)));
    ends.sort_unstable();
    ends.dedup();
    for end in &*ends {
        s.ends.entry(*end).or_default().push(at);
    }
    s.unexpired += state.entries.len() as u64;
    s.live += state.entries.iter().filter(|entry| entry.del_serial == LIVE).count() as u64;
    s.keys[at] = state;
}
