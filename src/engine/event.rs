//! Events: the decisions the journal keeps, and their bytes.
//!
//! An event carries everything its effect depends on: verdicts, embargo ends, random draws,
//! signatures. Applying it needs no clock, no key and no judgement (state-is-a-fold).

use super::codec::{DecodeError, Decoder, Encoder};
use super::params::Params;
use crate::release::Fields;
use crate::wire::Key;

/// Most keys in one report; the manifest announces at most this.
pub const MAX_KEYS_PER_REPORT: usize = 30;
/// Longest text (a name, a reason) in an event, in bytes.
pub const MAX_TEXT: usize = 500;
/// Version of every event's layout written by this program.
pub const EVENT_VERSION: u16 = 0;

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The first event of a journal.
    Founded(Founded),
    /// A signed delegation came into force: 80 bytes and the signature list.
    Delegated(Vec<u8>),
    /// A set was made or its parameters changed.
    Configured(Configured),
    /// A new manifest of a set, all its bytes.
    ManifestIssued {
        /// The set it describes.
        set: u32,
        /// The object.
        bytes: Vec<u8>,
    },
    /// A provider was registered.
    ProviderAdded(ProviderAdded),
    /// A report, or a decoy, was accepted.
    Reported(Reported),
    /// A key was taken back, with every claim on it.
    KeyWithdrawn(KeyWithdrawn),
    /// A release was decided; readers do not see it yet.
    Released(Released),
    /// The release was built, signed, and may be seen.
    Published(Published),
    /// A copy or a restored backup of the directory was taken over: versions are of this incarnation from
    /// here on.
    Adopted {
        /// The new incarnation, above all before it.
        incarnation: u32,
    },
}

/// Who this journal belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founded {
    /// Service id, random and permanent.
    pub service: [u8; 8],
    /// Incarnation that starts here.
    pub incarnation: u32,
}

/// Parameters of a set from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The set.
    pub set: u32,
    /// All parameters, changed or not.
    pub params: Params,
}

/// A health-care provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderAdded {
    /// Its number.
    pub provider: u32,
    /// Its name, unique.
    pub name: String,
    /// Ed25519 key of its certificates, if it has one.
    pub key: Option<[u8; 32]>,
}

/// One accepted key of a report, coarsened to the set's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedKey {
    /// The key.
    pub key: Key,
    /// Its public fields.
    pub fields: Fields,
    /// Unix time before which it must not be published.
    pub embargo_end: u64,
}

/// The accepted keys of one report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// The set reported to.
    pub set: u32,
    /// The provider that authorised it; [`DECOY_PROVIDER`] for a decoy.
    pub provider: u32,
    /// 16 fresh random bytes.
    pub report: [u8; 16],
    /// The keys, at least one.
    pub keys: Vec<ReportedKey>,
}

/// The provider number of decoys: no real provider has it.
pub const DECOY_PROVIDER: u32 = 0;

impl Reported {
    /// Whether the writer made this report up to keep others company.
    pub fn is_decoy(&self) -> bool {
        self.provider == DECOY_PROVIDER
    }
}

/// A key taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWithdrawn {
    /// The set.
    pub set: u32,
    /// The key.
    pub key: Key,
    /// Goes out in the next release even without company.
    pub urgent: bool,
    /// Why, in the operator's words.
    pub reason: String,
}

/// What a release does, counted. Decoys apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Keys added, decoys not counted.
    pub added: u32,
    /// Live keys withdrawn, decoys not counted.
    pub withdrawn: u32,
    /// Live entries that expired, decoys counted.
    pub expired: u32,
    /// Decoy keys added.
    pub decoys_added: u32,
    /// Decoy keys withdrawn.
    pub decoys_withdrawn: u32,
}

/// A release as decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// The set.
    pub set: u32,
    /// One above the release before.
    pub serial: u32,
    /// Unix time; never before that of the release before.
    pub time: u64,
    /// Interval number below which keys are expired.
    pub horizon: u32,
    /// Depth of the bucket tree.
    pub bits: u8,
    /// Keys whose embargo has ended come in.
    pub admit: bool,
    /// Keys taken back leave.
    pub withdraw: bool,
    /// Went out although it was smaller than the set's minimum.
    pub forced: bool,
    /// Decoy reports that leave, by the sequence number of their event.
    pub decoys_leaving: Vec<u64>,
    /// What this does; the fold must find the same.
    pub changes: Changes,
}

/// A release as built and signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The set.
    pub set: u32,
    /// The release.
    pub serial: u32,
    /// Live entries.
    pub count: u64,
    /// Root of the bucket tree.
    pub root: [u8; 32],
    /// H of all history entries.
    pub history_digest: [u8; 32],
    /// The checkpoint: 208 bytes.
    pub checkpoint: Vec<u8>,
    /// Its signature list.
    pub signatures: Vec<u8>,
}

impl Event {
    /// The record kind in the journal.
    pub fn kind(&self) -> u16 {
        match self {
            Event::Founded(_) => 1,
            Event::Delegated(_) => 2,
            Event::Configured(_) => 3,
            Event::ManifestIssued { .. } => 4,
            Event::ProviderAdded(_) => 5,
            Event::Reported(_) => 6,
            Event::KeyWithdrawn(_) => 7,
            Event::Released(_) => 8,
            Event::Published(_) => 9,
            Event::Adopted { .. } => 10,
        }
    }

    /// The word for this kind in listings and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Founded(_) => "founded",
            Event::Delegated(_) => "delegated",
            Event::Configured(_) => "configured",
            Event::ManifestIssued { .. } => "manifest-issued",
            Event::ProviderAdded(_) => "provider-added",
            Event::Reported(r) if r.is_decoy() => "decoy",
            Event::Reported(_) => "reported",
            Event::KeyWithdrawn(_) => "key-withdrawn",
            Event::Released(_) => "released",
            Event::Published(_) => "published",
            Event::Adopted { .. } => "adopted",
        }
    }

    /// The payload of the record (file format 5.7).
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new();
        match self {
            Event::Founded(f) => {
                e.raw(&f.service).u32(f.incarnation);
            }
            Event::Delegated(bytes) => {
                e.bytes(bytes);
            }
            Event::Configured(c) => {
                e.u32(c.set);
                c.params.encode(&mut e);
            }
            Event::ManifestIssued { set, bytes } => {
                e.u32(*set).bytes(bytes);
            }
            Event::ProviderAdded(p) => {
                e.u32(p.provider).bytes(p.name.as_bytes()).u8(u8::from(p.key.is_some()));
                e.raw(p.key.as_ref().map_or(&[][..], |k| k));
            }
            Event::Reported(r) => encode_reported(&mut e, r),
            Event::KeyWithdrawn(w) => {
                e.u32(w.set).key(&w.key).u8(u8::from(w.urgent)).bytes(w.reason.as_bytes());
            }
            Event::Released(r) => encode_released(&mut e, r),
            Event::Adopted { incarnation } => {
                e.u32(*incarnation);
            }
            Event::Published(p) => {
                e.u32(p.set).u32(p.serial).u64(p.count).raw(&p.root).raw(&p.history_digest);
                e.bytes(&p.checkpoint).bytes(&p.signatures);
            }
        }
        e.finish()
    }

    /// Reads a payload back.
    ///
    /// # Errors
    /// [`DecodeError`] for a kind or version this program does not know, and for bytes that are not one.
    pub fn decode(kind: u16, version: u16, payload: &[u8]) -> Result<Event, DecodeError> {
        if version != EVENT_VERSION {
            return Err(DecodeError::Value { what: "an event's version", value: u64::from(version) });
        }
        let mut d = Decoder::new("an event", payload);
        let event = match kind {
            1 => Event::Founded(Founded { service: d.array()?, incarnation: d.u32()? }),
            2 => Event::Delegated(d.bytes()?.to_vec()),
            3 => Event::Configured(Configured { set: d.u32()?, params: Params::decode(&mut d)? }),
            4 => Event::ManifestIssued { set: d.u32()?, bytes: d.bytes()?.to_vec() },
            5 => Event::ProviderAdded(ProviderAdded {
                provider: d.u32()?,
                name: d.text()?,
                key: if d.bool()? { Some(d.array()?) } else { None },
            }),
            6 => Event::Reported(decode_reported(&mut d)?),
            7 => Event::KeyWithdrawn(KeyWithdrawn {
                set: d.u32()?,
                key: d.key()?,
                urgent: d.bool()?,
                reason: d.text()?,
            }),
            8 => Event::Released(decode_released(&mut d)?),
            9 => Event::Published(Published {
                set: d.u32()?,
                serial: d.u32()?,
                count: d.u64()?,
                root: d.array()?,
                history_digest: d.array()?,
                checkpoint: d.bytes()?.to_vec(),
                signatures: d.bytes()?.to_vec(),
            }),
            10 => Event::Adopted { incarnation: d.u32()? },
            other => return Err(DecodeError::Value { what: "an event's kind", value: u64::from(other) }),
        };
        d.end()?;
        Ok(event)
    }
}

fn encode_reported(e: &mut Encoder, r: &Reported) {
    e.u32(r.set).u32(r.provider).raw(&r.report).count(r.keys.len());
    for k in &r.keys {
        e.key(&k.key).fields(&k.fields).u64(k.embargo_end);
    }
}

fn decode_reported(d: &mut Decoder<'_>) -> Result<Reported, DecodeError> {
    let (set, provider, report) = (d.u32()?, d.u32()?, d.array()?);
    let n = d.count(16)?;
    if n == 0 || n > MAX_KEYS_PER_REPORT {
        return Err(d.value(n as u64));
    }
    let mut keys = Vec::with_capacity(n);
    for _ in 0..n {
        keys.push(ReportedKey { key: d.key()?, fields: d.fields()?, embargo_end: d.u64()? });
    }
    Ok(Reported { set, provider, report, keys })
}

fn encode_released(e: &mut Encoder, r: &Released) {
    let flags = u8::from(r.admit) | u8::from(r.withdraw) << 1 | u8::from(r.forced) << 2;
    e.u32(r.set).u32(r.serial).u64(r.time).u32(r.horizon).u8(r.bits).u8(flags);
    let c = &r.changes;
    e.u32(c.added).u32(c.withdrawn).u32(c.expired).u32(c.decoys_added).u32(c.decoys_withdrawn);
    e.count(r.decoys_leaving.len());
    for seq in &r.decoys_leaving {
        e.u64(*seq);
    }
}

fn decode_released(d: &mut Decoder<'_>) -> Result<Released, DecodeError> {
    let (set, serial, time, horizon, bits, flags) =
        (d.u32()?, d.u32()?, d.u64()?, d.u32()?, d.u8()?, d.u8()?);
    if flags > 7 {
        return Err(d.value(u64::from(flags)));
    }
    let changes = Changes {
        added: d.u32()?,
        withdrawn: d.u32()?,
        expired: d.u32()?,
        decoys_added: d.u32()?,
        decoys_withdrawn: d.u32()?,
    };
    let n = d.count(8)?;
    let decoys_leaving = (0..n).map(|_| d.u64()).collect::<Result<_, _>>()?;
    Ok(Released {
        set,
        serial,
        time,
        horizon,
        bits,
        admit: flags & 1 != 0,
        withdraw: flags & 2 != 0,
        forced: flags & 4 != 0,
        decoys_leaving,
        changes,
    })
}
