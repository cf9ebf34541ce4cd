//! The manifest of a set: parameters, node addresses, seal keys, witnesses, signed by the online key (spec
//! 3.6).
//!
//! Its head is fixed, the rest are TLVs, so that a newer origin can say more than an older reader
//! understands; what the reader does not know is kept. Whether a manifest replaces another is decided by
//! whoever holds both.

use sha2::{Digest, Sha256};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checkpoint::Checkpoint;
use super::manifest_tlv::{
    CRITICAL, NODE, Node, OtherTlv, SEAL_KEY, SealKey, WITNESS, Witness, put_tlv, take_tlv,
};
use super::signature::{MANIFEST_CONTEXT, PublicKey, SignatureError, SignatureList, SigningKey, verify};

/// Longest manifest in bytes, signatures included (spec 3.6.3).
pub const MAX_MANIFEST: usize = 65_536;
/// Most TLVs of a manifest (spec 3.6.1).
pub const MAX_MANIFEST_TLVS: usize = 64;

const LAYOUT: u16 = 1;
const HEAD_LEN: usize = size_of::<Head>();
const DECOYS: u16 = 1;

const _: () = assert!(HEAD_LEN == 96);

/// Why bytes are no manifest, or values cannot be written as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Longer than allowed.
    #[error("manifest of {0} bytes, at most {MAX_MANIFEST}")]
    TooLong(usize),
    /// Shorter than its head or its own length says.
    #[error("manifest needs {needed} bytes, has {have}")]
    Short {
        /// Bytes needed as far as it could be read.
        needed: usize,
        /// Bytes there are.
        have: usize,
    },
    /// A layout this version does not know.
    #[error("manifest layout {0}, known is {LAYOUT}")]
    Layout(u16),
    /// The body is shorter than its head.
    #[error("manifest body of {0} bytes, at least {HEAD_LEN}")]
    Body(u32),
    /// Bytes are left after the signatures.
    #[error("{0} bytes after the manifest")]
    Trailing(usize),
    /// More TLVs than allowed.
    #[error("more than {MAX_MANIFEST_TLVS} TLVs")]
    TooManyTlvs,
    /// A TLV after one of a higher type.
    #[error("TLV {ty} after TLV {after}")]
    Order {
        /// Type of the TLV.
        ty: u16,
        /// Type of the one before.
        after: u16,
    },
    /// A TLV that ends after the body, or is not filled up with zeros.
    #[error("TLV {0} is cut or wrongly filled")]
    Tlv(u16),
    /// A TLV of a known type whose value is not of that type.
    #[error("value of TLV {0} cannot be read")]
    Value(u16),
    /// A critical TLV of an unknown type.
    #[error("unknown critical TLV {0}")]
    Critical(u16),
    /// The signatures cannot be read or are wrong.
    #[error("manifest: {0}")]
    Signature(#[from] SignatureError),
    /// The key that must did not sign.
    #[error("manifest without a signature of the online key {0}")]
    Unsigned(PublicKey),
    /// Not the manifest whose digest stands in the checkpoint.
    #[error("manifest {}, the checkpoint says {}", hex::encode(.got), hex::encode(.signed))]
    Digest {
        /// Digest of the bytes.
        got: [u8; 32],
        /// Digest in the checkpoint.
        signed: [u8; 32],
    },
    /// A manifest of another service or set than the checkpoint that names it.
    #[error("manifest of service {} set {set}", hex::encode(.service))]
    Other {
        /// Service id found.
        service: [u8; 8],
        /// Set found.
        set: u32,
    },
}

/// What a manifest says (spec 3.6.1). Reserved bits are left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// Service id.
    pub service: [u8; 8],
    /// Set id.
    pub set: u32,
    /// Greater than that of the manifest before.
    pub number: u32,
    /// Time of issue, Unix seconds.
    pub time: u64,
    /// Schema number.
    pub schema: u16,
    /// Retention in days.
    pub retention_days: u16,
    /// Seconds between releases.
    pub interval_s: u32,
    /// `fresh_until` less the time of a checkpoint, seconds.
    pub fresh_s: u32,
    /// Age in seconds after which nothing is called absent.
    pub too_old_s: u32,
    /// Seconds after the end of a key's validity before it is published.
    pub embargo_s: u32,
    /// Least reports that may change in one release.
    pub min_reports: u32,
    /// Longest wait of a small change in seconds, decoys off.
    pub max_wait_s: u32,
    /// Whether decoys are on.
    pub decoys: bool,
    /// Least protocol version to speak.
    pub min_protocol: u16,
    /// Most keys in a report.
    pub max_keys: u16,
    /// Most keys of a report with one start.
    pub max_keys_per_start: u16,
    /// Least rolling period.
    pub min_period: u16,
    /// Greatest rolling period.
    pub max_period: u16,
    /// Seconds a start may lie ahead.
    pub max_ahead_s: u32,
    /// Least seconds between two syncs of a client.
    pub client_wait_s: u32,
    /// Epoch of the online key that signs.
    pub key_epoch: u32,
    /// Nodes, in order.
    pub nodes: Vec<Node>,
    /// Seal keys, in order.
    pub seal_keys: Vec<SealKey>,
    /// Witnesses, in order.
    pub witnesses: Vec<Witness>,
    /// TLVs of unknown types in ascending order of type.
    pub other: Vec<OtherTlv>,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Head {
    layout: U16,
    reserved: U16,
    length: U32,
    service: [u8; 8],
    set: U32,
    number: U32,
    time: U64,
    schema: U16,
    retention_days: U16,
    interval_s: U32,
    fresh_s: U32,
    too_old_s: U32,
    embargo_s: U32,
    min_reports: U32,
    max_wait_s: U32,
    flags: U16,
    min_protocol: U16,
    max_keys: U16,
    max_keys_per_start: U16,
    min_period: U16,
    max_period: U16,
    max_ahead_s: U32,
    client_wait_s: U32,
    key_epoch: U32,
    reserved_end: [u8; 12],
}

/// `H` of a whole manifest, signatures included (spec 3.6.1).
#[must_use]
pub fn manifest_digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl Manifest {
    /// The manifest as bytes, signed by the online key. What could not be read back is not written.
    ///
    /// # Errors
    /// [`ManifestError`]: too long, too many TLVs, or a value a reader would refuse.
    pub fn encode_signed(&self, online: &SigningKey) -> Result<Vec<u8>, ManifestError> {
        let mut tlvs = Vec::new();
        for (ty, value) in self.tlv_values() {
            put_tlv(&mut tlvs, ty, &value).map_err(|cut| ManifestError::Tlv(cut.0))?;
        }
        let length = HEAD_LEN + tlvs.len();
        let mut bytes =
            self.head(u32::try_from(length).map_err(|_| ManifestError::TooLong(length))?).as_bytes().to_vec();
        bytes.append(&mut tlvs);
        let list = SignatureList::sign(MANIFEST_CONTEXT, &bytes, [online]);
        bytes.extend_from_slice(list.as_bytes());
        Self::parse_unverified(&bytes)?;
        Ok(bytes)
    }

    /// Reads a manifest signed by the online key. Whether its number may replace that of another:
    /// [`Manifest::may_replace`].
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn parse_verified(bytes: &[u8], online: &PublicKey) -> Result<Self, ManifestError> {
        let (body, list) = split(bytes)?;
        if verify(&list, MANIFEST_CONTEXT, body, &[*online])? == 0 {
            return Err(ManifestError::Unsigned(*online));
        }
        Self::read(body)
    }

    /// Reads the manifest whose digest stands in a verified checkpoint (spec 3.6.3).
    ///
    /// # Errors
    /// [`ManifestError`]; `Digest` if it is another one.
    pub fn parse_matching(bytes: &[u8], checkpoint: &Checkpoint) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST {
            return Err(ManifestError::TooLong(bytes.len()));
        }
        let (got, signed) = (manifest_digest(bytes), checkpoint.manifest());
        if got != signed {
            return Err(ManifestError::Digest { got, signed });
        }
        let it = Self::parse_unverified(bytes)?;
        if it.service != checkpoint.service() || it.set != checkpoint.set() {
            return Err(ManifestError::Other { service: it.service, set: it.set });
        }
        Ok(it)
    }

    /// Reads a manifest without looking at who signed it.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn parse_unverified(bytes: &[u8]) -> Result<Self, ManifestError> {
        let (body, _) = split(bytes)?;
        Self::read(body)
    }

    /// Whether this manifest, verified by its signature, may stand in for `held`: the same set, and no lower
    /// number (spec 3.6.3).
    #[must_use]
    pub fn may_replace(&self, held: &Self) -> bool {
        self.service == held.service && self.set == held.set && self.number >= held.number
    }

    fn head(&self, length: u32) -> Head {
        Head {
            layout: LAYOUT.into(),
            reserved: 0.into(),
            length: length.into(),
            service: self.service,
            set: self.set.into(),
            number: self.number.into(),
            time: self.time.into(),
            schema: self.schema.into(),
            retention_days: self.retention_days.into(),
            interval_s: self.interval_s.into(),
            fresh_s: self.fresh_s.into(),
            too_old_s: self.too_old_s.into(),
            embargo_s: self.embargo_s.into(),
            min_reports: self.min_reports.into(),
            max_wait_s: self.max_wait_s.into(),
            flags: if self.decoys { DECOYS } else { 0 }.into(),
            min_protocol: self.min_protocol.into(),
            max_keys: self.max_keys.into(),
            max_keys_per_start: self.max_keys_per_start.into(),
            min_period: self.min_period.into(),
            max_period: self.max_period.into(),
            max_ahead_s: self.max_ahead_s.into(),
            client_wait_s: self.client_wait_s.into(),
            key_epoch: self.key_epoch.into(),
            reserved_end: [0; 12],
        }
    }

    fn tlv_values(&self) -> Vec<(u16, Vec<u8>)> {
        let nodes = self.nodes.iter().map(|node| (NODE, node.value()));
        let seal_keys = self.seal_keys.iter().map(|key| (SEAL_KEY, key.value()));
        let witnesses = self.witnesses.iter().map(|witness| (WITNESS, witness.value()));
        let other = self.other.iter().map(|tlv| (tlv.ty, tlv.value.clone()));
        let mut all: Vec<_> = nodes.chain(seal_keys).chain(witnesses).chain(other).collect();
        all.sort_by_key(|(ty, _)| ty & !CRITICAL);
        all
    }

    fn read(body: &[u8]) -> Result<Self, ManifestError> {
        let short = || ManifestError::Short { needed: HEAD_LEN, have: body.len() };
        let (head, mut rest) = Head::ref_from_prefix(body).map_err(|_| short())?;
        let mut it = Self::from_head(head);
        let (mut count, mut before) = (0, 0);
        while !rest.is_empty() {
            let (ty, value, after) = take_tlv(rest).map_err(|cut| ManifestError::Tlv(cut.0))?;
            rest = after;
            count += 1;
            if count > MAX_MANIFEST_TLVS {
                return Err(ManifestError::TooManyTlvs);
            }
            if ty & !CRITICAL < before {
                return Err(ManifestError::Order { ty: ty & !CRITICAL, after: before });
            }
            before = ty & !CRITICAL;
            it.take_value(ty, value)?;
        }
        Ok(it)
    }

    fn from_head(head: &Head) -> Self {
        Self {
            service: head.service,
            set: head.set.get(),
            number: head.number.get(),
            time: head.time.get(),
            schema: head.schema.get(),
            retention_days: head.retention_days.get(),
            interval_s: head.interval_s.get(),
            fresh_s: head.fresh_s.get(),
            too_old_s: head.too_old_s.get(),
            embargo_s: head.embargo_s.get(),
            min_reports: head.min_reports.get(),
            max_wait_s: head.max_wait_s.get(),
            decoys: head.flags.get() & DECOYS != 0,
            min_protocol: head.min_protocol.get(),
            max_keys: head.max_keys.get(),
            max_keys_per_start: head.max_keys_per_start.get(),
            min_period: head.min_period.get(),
            max_period: head.max_period.get(),
            max_ahead_s: head.max_ahead_s.get(),
            client_wait_s: head.client_wait_s.get(),
            key_epoch: head.key_epoch.get(),
            ..Self::default()
        }
    }

    fn take_value(&mut self, ty: u16, value: &[u8]) -> Result<(), ManifestError> {
        let unreadable = ManifestError::Value(ty);
        match ty & !CRITICAL {
            NODE => self.nodes.push(Node::read(value).ok_or(unreadable)?),
            SEAL_KEY => self.seal_keys.push(SealKey::read(value).ok_or(unreadable)?),
            WITNESS => self.witnesses.push(Witness::read(value).ok_or(unreadable)?),
            other if ty != other => return Err(ManifestError::Critical(other)),
            other => self.other.push(OtherTlv { ty: other, value: value.to_vec() }),
        }
        Ok(())
    }
}

/// Body and signatures of a manifest.
fn split(bytes: &[u8]) -> Result<(&[u8], SignatureList), ManifestError> {
    let have = bytes.len();
    if have > MAX_MANIFEST {
        return Err(ManifestError::TooLong(have));
    }
    let (head, _) =
        Head::ref_from_prefix(bytes).map_err(|_| ManifestError::Short { needed: HEAD_LEN, have })?;
    if head.layout.get() != LAYOUT {
        return Err(ManifestError::Layout(head.layout.get()));
    }
    let needed = usize::try_from(head.length.get()).unwrap_or(usize::MAX);
    if needed < HEAD_LEN {
        return Err(ManifestError::Body(head.length.get()));
    }
    let (body, rest) = bytes.split_at_checked(needed).ok_or(ManifestError::Short { needed, have })?;
    let (list, used) = SignatureList::parse(rest)?;
    if used < rest.len() {
        return Err(ManifestError::Trailing(rest.len() - used));
    }
    Ok((body, list))
}

#[cfg(test)]
mod tests;
