//! The bytes of events (file format 5.7): written and read back, nothing decided.

use super::codec::{DecodeError, Decoder, Encoder};
use super::event::{
    Amended, Authored, Based, Changes, CodesIssued, Configured, EVENT_VERSION, Event, Founded, ProviderAdded,
    ProviderKeyRevoked, ProviderStood, Published, Released, Reported, SealKey, Withdrawn,
};
use super::event_keys::{decode_keys, encode_keys};
use super::params::Params;
use super::told::Told;
use crate::authority::{Grant, Issuer, KeyMaterial, ProviderKey, Scope, Standing};
use crate::wire::report::ReportType;

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
            Event::Withdrawn(_) => 7,
            Event::Released(_) => 8,
            Event::Published(_) => 9,
            Event::Adopted { .. } => 10,
            Event::Amended(_) => 11,
            Event::Reinstated { .. } => 12,
            Event::ProviderKeyAdded { .. } => 13,
            Event::ProviderKeyRevoked(_) => 14,
            Event::ProviderStood(_) => 15,
            Event::CodesIssued(_) => 16,
            Event::BatchRevoked { .. } => 17,
            Event::CodesVoided { .. } => 18,
            Event::SealKeyMade(_) => 19,
            Event::Based(_) => 20,
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
            Event::Withdrawn(_) => "withdrawn",
            Event::Released(_) => "released",
            Event::Published(_) => "published",
            Event::Adopted { .. } => "adopted",
            Event::Amended(_) => "amended",
            Event::Reinstated { .. } => "reinstated",
            Event::ProviderKeyAdded { .. } => "provider-key-added",
            Event::ProviderKeyRevoked(_) => "provider-key-revoked",
            Event::ProviderStood(_) => "provider-standing",
            Event::CodesIssued(_) => "codes-issued",
            Event::BatchRevoked { .. } => "batch-revoked",
            Event::CodesVoided { .. } => "codes-voided",
            Event::SealKeyMade(_) => "seal-key-made",
            Event::Based(_) => "based",
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
                e.u32(p.provider).text(&p.name).flag(p.issuer.is_some());
                if let Some(issuer) = &p.issuer {
                    issuer.encode(&mut e);
                }
            }
            Event::Reported(r) => encode_reported(&mut e, r),
            Event::Withdrawn(w) => {
                w.scope.encode(&mut e);
                e.flag(w.urgent).text(&w.reason).flag(w.told.is_some());
                if let Some(told) = &w.told {
                    told.encode(&mut e);
                }
            }
            Event::Released(r) => encode_released(&mut e, r),
            Event::Published(p) => {
                e.u32(p.set).u32(p.serial).u64(p.count).raw(&p.root).raw(&p.history_digest);
                e.bytes(&p.checkpoint).bytes(&p.signatures);
            }
            Event::Adopted { incarnation, known } => {
                e.u32(*incarnation).count(known.len());
                known.iter().for_each(|checkpoint| {
                    e.bytes(checkpoint);
                });
            }
            Event::Amended(a) => encode_amended(&mut e, a),
            Event::Reinstated { seq } => {
                e.u64(*seq);
            }
            Event::ProviderKeyAdded { provider, key } => {
                e.u32(*provider);
                key.encode(&mut e);
            }
            Event::ProviderKeyRevoked(r) => {
                e.u32(r.provider).raw(&r.fingerprint);
                encode_since(&mut e, r.since);
                e.text(&r.reason);
            }
            Event::ProviderStood(p) => {
                e.u32(p.provider).u8(p.standing.number());
                encode_since(&mut e, p.since);
                e.text(&p.reason);
            }
            Event::CodesIssued(c) => encode_codes(&mut e, c),
            Event::BatchRevoked { batch, retroactive, reason } => {
                e.u32(*batch).flag(*retroactive).text(reason);
            }
            Event::CodesVoided { key_id } => {
                e.raw(key_id);
            }
            Event::SealKeyMade(k) => k.encode(&mut e),
            Event::Based(based) => based.encode(&mut e),
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
                issuer: if d.bool()? { Some(Issuer::decode(&mut d)?) } else { None },
            }),
            6 => Event::Reported(decode_reported(&mut d)?),
            7 => Event::Withdrawn(Withdrawn {
                scope: Scope::decode(&mut d)?,
                urgent: d.bool()?,
                reason: d.text()?,
                told: if d.bool()? { Some(Told::decode(&mut d)?) } else { None },
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
            10 => Event::Adopted { incarnation: d.u32()?, known: decode_known(&mut d)? },
            11 => Event::Amended(decode_amended(&mut d)?),
            12 => Event::Reinstated { seq: d.u64()? },
            13 => Event::ProviderKeyAdded { provider: d.u32()?, key: ProviderKey::decode(&mut d)? },
            14 => Event::ProviderKeyRevoked(ProviderKeyRevoked {
                provider: d.u32()?,
                fingerprint: d.array()?,
                since: decode_since(&mut d)?,
                reason: d.text()?,
            }),
            15 => Event::ProviderStood(ProviderStood {
                provider: d.u32()?,
                standing: standing(&mut d)?,
                since: decode_since(&mut d)?,
                reason: d.text()?,
            }),
            16 => Event::CodesIssued(decode_codes(&mut d)?),
            17 => Event::BatchRevoked { batch: d.u32()?, retroactive: d.bool()?, reason: d.text()? },
            18 => Event::CodesVoided { key_id: d.array()? },
            19 => Event::SealKeyMade(SealKey::decode(&mut d)?),
            20 => Event::Based(Based::decode(&mut d)?),
            other => return Err(DecodeError::Value { what: "an event's kind", value: u64::from(other) }),
        };
        d.end()?;
        Ok(event)
    }
}

fn decode_known(d: &mut Decoder<'_>) -> Result<Vec<Vec<u8>>, DecodeError> {
    let n = d.count(4)?;
    (0..n).map(|_| Ok(d.bytes()?.to_vec())).collect()
}

fn encode_since(e: &mut Encoder, since: Option<u64>) {
    e.flag(since.is_some());
    if let Some(since) = since {
        e.u64(since);
    }
}

fn decode_since(d: &mut Decoder<'_>) -> Result<Option<u64>, DecodeError> {
    Ok(if d.bool()? { Some(d.u64()?) } else { None })
}

fn encode_reported(e: &mut Encoder, r: &Reported) {
    e.u32(r.set).u32(r.provider).raw(&r.report);
    r.grant.encode(e);
    e.flag(r.authored.is_some());
    if let Some(authored) = &r.authored {
        authored.encode(e);
    }
    encode_keys(e, &r.keys);
}

fn decode_reported(d: &mut Decoder<'_>) -> Result<Reported, DecodeError> {
    Ok(Reported {
        set: d.u32()?,
        provider: d.u32()?,
        report: d.array()?,
        grant: Grant::decode(d)?,
        authored: if d.bool()? { Some(Authored::decode(d)?) } else { None },
        keys: decode_keys(d, 1)?,
    })
}

fn encode_amended(e: &mut Encoder, a: &Amended) {
    e.u32(a.set).u64(a.report).u8(a.report_type.map_or(0, ReportType::number));
    a.grant.encode(e);
    e.u32(a.provider);
    encode_keys(e, &a.keys);
    a.told.encode(e);
}

fn decode_amended(d: &mut Decoder<'_>) -> Result<Amended, DecodeError> {
    Ok(Amended {
        set: d.u32()?,
        report: d.u64()?,
        report_type: match d.u8()? {
            0 => None,
            number => Some(ReportType::from_number(number).ok_or(d.value(number.into()))?),
        },
        grant: Grant::decode(d)?,
        provider: d.u32()?,
        keys: decode_keys(d, 0)?,
        told: Told::decode(d)?,
    })
}

impl Authored {
    pub(crate) fn encode(&self, e: &mut Encoder) {
        e.raw(&self.secret_hash).u32(self.onset_day.unwrap_or(0)).u8(self.report_type.number());
        self.told.encode(e);
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (secret_hash, onset_day, report_type) = (d.array()?, day(d)?, report_type(d)?);
        Ok(Authored { secret_hash, onset_day, report_type, told: Told::decode(d)? })
    }
}

/// A day of onset, 0 for none.
pub(crate) fn day(d: &mut Decoder<'_>) -> Result<Option<u32>, DecodeError> {
    Ok(Some(d.u32()?).filter(|day| *day != 0))
}

impl Grant {
    pub(crate) fn encode(&self, e: &mut Encoder) {
        match self {
            Grant::None => e.u8(0),
            Grant::Code { batch, index } => e.u8(1).u32(*batch).u32(*index),
            Grant::Certificate { signer, identity, until } => e.u8(2).raw(signer).raw(identity).u64(*until),
        };
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match d.u8()? {
            0 => Grant::None,
            1 => Grant::Code { batch: d.u32()?, index: d.u32()? },
            2 => Grant::Certificate { signer: d.array()?, identity: d.array()?, until: d.u64()? },
            other => return Err(d.value(other.into())),
        })
    }
}

impl Scope {
    fn encode(&self, e: &mut Encoder) {
        match self {
            Scope::Key { set, key } => e.u8(0).u32(*set).key(key),
            Scope::Report { report } => e.u8(1).u64(*report),
            Scope::Batch { batch } => e.u8(2).u32(*batch),
            Scope::Provider { provider, since } => e.u8(3).u32(*provider).u64(*since),
            Scope::After { seq, provider } => e.u8(4).u64(*seq).u32(provider.unwrap_or(0)),
            Scope::Signer { provider, signer, since } => e.u8(5).u32(*provider).raw(signer).u64(*since),
        };
    }

    fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match d.u8()? {
            0 => Scope::Key { set: d.u32()?, key: d.key()? },
            1 => Scope::Report { report: d.u64()? },
            2 => Scope::Batch { batch: d.u32()? },
            3 => Scope::Provider { provider: d.u32()?, since: d.u64()? },
            4 => Scope::After { seq: d.u64()?, provider: Some(d.u32()?).filter(|p| *p != 0) },
            5 => Scope::Signer { provider: d.u32()?, signer: d.array()?, since: d.u64()? },
            other => return Err(d.value(other.into())),
        })
    }
}

impl Issuer {
    pub(crate) fn encode(&self, e: &mut Encoder) {
        e.text(&self.name).text(&self.audience).u32(self.set);
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Issuer { name: d.text()?, audience: d.text()?, set: d.u32()? })
    }
}

impl ProviderKey {
    pub(crate) fn encode(&self, e: &mut Encoder) {
        match &self.material {
            KeyMaterial::Ed25519(key) => e.u8(1).raw(key),
            KeyMaterial::Es256(key) => e.u8(2).raw(key),
        };
        e.text(&self.key_id).u64(self.not_before).u64(self.not_after).u64(self.revoked.unwrap_or(0));
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let material = match d.u8()? {
            1 => KeyMaterial::Ed25519(d.array()?),
            2 => KeyMaterial::Es256(d.array()?),
            other => return Err(d.value(other.into())),
        };
        Ok(ProviderKey {
            material,
            key_id: d.text()?,
            not_before: d.u64()?,
            not_after: d.u64()?,
            revoked: Some(d.u64()?).filter(|at| *at != 0),
        })
    }
}

pub(crate) fn standing(d: &mut Decoder<'_>) -> Result<Standing, DecodeError> {
    let number = d.u8()?;
    Standing::from_number(number).ok_or(d.value(number.into()))
}

impl SealKey {
    pub(crate) fn encode(&self, e: &mut Encoder) {
        e.raw(&self.public).raw(&self.id).u64(self.not_before).u64(self.not_after);
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(SealKey { public: d.array()?, id: d.array()?, not_before: d.u64()?, not_after: d.u64()? })
    }
}

impl Based {
    pub(crate) fn encode(&self, e: &mut Encoder) {
        e.u64(self.gno).u64(self.seq).raw(&self.chain).raw(&self.digest);
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Based { gno: d.u64()?, seq: d.u64()?, chain: d.array()?, digest: d.array()? })
    }
}

fn encode_codes(e: &mut Encoder, c: &CodesIssued) {
    e.u32(c.batch).u32(c.provider).u32(c.set).u8(c.report_type.number()).u32(c.onset_day.unwrap_or(0));
    e.raw(&c.nonce).raw(&c.key_id).u32(c.count).u64(c.expires);
}

fn decode_codes(d: &mut Decoder<'_>) -> Result<CodesIssued, DecodeError> {
    Ok(CodesIssued {
        batch: d.u32()?,
        provider: d.u32()?,
        set: d.u32()?,
        report_type: report_type(d)?,
        onset_day: day(d)?,
        nonce: d.array()?,
        key_id: d.array()?,
        count: d.u32()?,
        expires: d.u64()?,
    })
}

pub(crate) fn report_type(d: &mut Decoder<'_>) -> Result<ReportType, DecodeError> {
    let number = d.u8()?;
    ReportType::from_number(number).ok_or(d.value(number.into()))
}

fn encode_released(e: &mut Encoder, r: &Released) {
    let flags = u8::from(r.withdraw) | u8::from(r.forced) << 1;
    e.u32(r.set).u32(r.serial).u64(r.time).u32(r.horizon).u8(r.bits).u8(flags);
    let c = &r.changes;
    e.u32(c.added).u32(c.withdrawn).u32(c.expired).u32(c.decoys_added).u32(c.decoys_withdrawn).u64(r.admit);
    e.count(r.decoys_leaving.len());
    for seq in &r.decoys_leaving {
        e.u64(*seq);
    }
}

fn decode_released(d: &mut Decoder<'_>) -> Result<Released, DecodeError> {
    let (set, serial, time, horizon, bits, flags) =
        (d.u32()?, d.u32()?, d.u64()?, d.u32()?, d.u8()?, d.u8()?);
    if flags > 3 {
        return Err(d.value(u64::from(flags)));
    }
    let changes = Changes {
        added: d.u32()?,
        withdrawn: d.u32()?,
        expired: d.u32()?,
        decoys_added: d.u32()?,
        decoys_withdrawn: d.u32()?,
    };
    let admit = d.u64()?;
    let n = d.count(8)?;
    let decoys_leaving = (0..n).map(|_| d.u64()).collect::<Result<_, _>>()?;
    Ok(Released {
        set,
        serial,
        time,
        horizon,
        bits,
        admit,
        withdraw: flags & 1 != 0,
        forced: flags & 2 != 0,
        decoys_leaving,
        changes,
    })
}
