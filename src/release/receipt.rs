//! The receipt: 128 signed bytes that a report is durable (spec 7.7), and what proves them without a server.
//!
//! A `Receipt` is its wire layout. Parsing checks numbers only; [`verify_receipt`] judges it against a trust,
//! at any later time. Whether it is the receipt of one's own report only its author can tell, by the digests
//! that are made here.

use std::fmt;

use sha2::{Digest, Sha256};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::delegation::{DELEGATION_LEN, Delegation, DelegationError};
use super::signature::{
    ED25519, PublicKey, RECEIPT_CONTEXT, SIGNATURE_LEN, SignatureEntry, SignatureError, SignatureList,
    SigningKey, verify,
};
use super::trust::{Trust, TrustError};
use crate::wire::outcome::{RECEIPT_LEN, RECEIPT_SIGNATURES_LEN};
use crate::wire::report::{Durability, RequestKind, Verdict};
use crate::wire::request::{CONTENT_CONTEXT, RequestView};

/// Seconds after its *not before* within which a delegation is in force at the origin: from then on no key of
/// an epoch before signs a receipt (spec 7.7.4).
pub const SUCCESSION_S: u64 = 7200;

const _: () = assert!(size_of::<Receipt>() == RECEIPT_LEN);

/// Why a receipt cannot be read, or is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not 128 bytes.
    #[error("a receipt is {RECEIPT_LEN} bytes, not {0}")]
    Length(usize),
    /// No such durability.
    #[error("durability {0} is unknown")]
    Durability(u8),
    /// A kind of request that has no receipts.
    #[error("a receipt of request kind {0}, which has none")]
    Kind(u8),
    /// Receipt or delegation of another service.
    #[error("service {}, trusted is {}", hex::encode(.got), hex::encode(.trusted))]
    Service {
        /// Service id found.
        got: [u8; 8],
        /// Service id of the trust.
        trusted: [u8; 8],
    },
    /// The trust does not name the set.
    #[error("set {0} is not in the trust")]
    SetNotTrusted(u32),
    /// The roots do not vouch for the delegation.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The receipt names another epoch than the delegation.
    #[error("receipt of epoch {receipt} under a delegation of epoch {delegation}")]
    Epoch {
        /// Epoch in the receipt.
        receipt: u32,
        /// Epoch in the delegation.
        delegation: u32,
    },
    /// The online key's signature is wrong, or the list cannot be read.
    #[error("receipt: {0}")]
    Signature(#[from] SignatureError),
    /// The online key did not sign.
    #[error("receipt without a signature of the online key {0}")]
    Unsigned(PublicKey),
    /// The time of receipt is outside the delegation.
    #[error("receipt of time {time} outside its delegation, {not_before} to {not_after}")]
    Time {
        /// Time of receipt.
        time: u64,
        /// First second allowed.
        not_before: u64,
        /// Last second allowed.
        not_after: u64,
    },
    /// It is dated in the time of a later epoch, by a key that had no word any more.
    #[error("receipt of epoch {epoch} and time {time}, but epoch {successor} has signed since {since}")]
    Superseded {
        /// Epoch in the receipt.
        epoch: u32,
        /// Time of receipt.
        time: u64,
        /// Epoch of the later delegation.
        successor: u32,
        /// By when that one was in force at the latest.
        since: u64,
    },
}

/// What a receipt says, as plain values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReceiptFields {
    /// Service id.
    pub service: [u8; 8],
    /// Set id.
    pub set: u32,
    /// Incarnation of the origin.
    pub incarnation: u32,
    /// Report id.
    pub report: [u8; 16],
    /// Sequence number of the event that stored it.
    pub sequence: u64,
    /// Time of receipt, Unix seconds.
    pub time: u64,
    /// Where it is stored.
    pub durability: Durability,
    /// SUBMIT, AMEND or CANCEL.
    pub kind: RequestKind,
    /// Keys accepted.
    pub keys: u16,
    /// Epoch of the delegation whose key signs.
    pub key_epoch: u32,
    /// [`content_digest`] of the request.
    pub content: [u8; 32],
    /// [`verdicts_digest`] of the answer.
    pub verdicts: [u8; 32],
}

impl fmt::Debug for ReceiptFields {
    // no-trace: a receipt names a report.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiptFields({}, set {}, event {})", self.kind.name(), self.set, self.sequence)
    }
}

/// A receipt in its wire layout.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Receipt {
    service: [u8; 8],
    set: U32,
    incarnation: U32,
    report: [u8; 16],
    sequence: U64,
    time: U64,
    durability: u8,
    kind: u8,
    keys: U16,
    key_epoch: U32,
    content: [u8; 32],
    verdicts: [u8; 32],
    reserved: U64,
}

impl fmt::Debug for Receipt {
    // no-trace: a receipt names a report.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt(kind {}, set {}, event {})", self.kind, self.set, self.sequence)
    }
}

/// The kind of request with this number, if such requests have receipts.
fn receipted(number: u8) -> Option<RequestKind> {
    let kind = RequestKind::from_number(number)?;
    matches!(kind, RequestKind::Submit | RequestKind::Amend | RequestKind::Cancel).then_some(kind)
}

impl Receipt {
    /// The receipt that says `fields`. A kind without receipts is written as given and refused by readers.
    #[must_use]
    pub fn new(fields: &ReceiptFields) -> Self {
        Self {
            service: fields.service,
            set: fields.set.into(),
            incarnation: fields.incarnation.into(),
            report: fields.report,
            sequence: fields.sequence.into(),
            time: fields.time.into(),
            durability: fields.durability.number(),
            kind: fields.kind.number(),
            keys: fields.keys.into(),
            key_epoch: fields.key_epoch.into(),
            content: fields.content,
            verdicts: fields.verdicts,
            reserved: 0.into(),
        }
    }

    /// Reads exactly 128 bytes. Nothing is verified.
    ///
    /// # Errors
    /// [`ReceiptError::Length`], [`ReceiptError::Durability`], [`ReceiptError::Kind`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let it = Self::read_from_bytes(bytes).map_err(|_| ReceiptError::Length(bytes.len()))?;
        Durability::from_number(it.durability).ok_or(ReceiptError::Durability(it.durability))?;
        receipted(it.kind).ok_or(ReceiptError::Kind(it.kind))?;
        Ok(it)
    }

    /// The signature of the online key.
    #[must_use]
    pub fn sign(&self, online: &SigningKey) -> [u8; SIGNATURE_LEN] {
        online.sign(RECEIPT_CONTEXT, IntoBytes::as_bytes(self))
    }

    /// The signature list with the one signature of `online`.
    ///
    /// # Panics
    /// Never: one Ed25519 signature is a list of 80 bytes.
    #[must_use]
    pub fn signature_list(
        online: &PublicKey,
        signature: &[u8; SIGNATURE_LEN],
    ) -> [u8; RECEIPT_SIGNATURES_LEN] {
        let entry = SignatureEntry { algorithm: ED25519, key: online.id(), signature };
        let list = SignatureList::new(&[entry]).expect("one signature is few and short");
        list.as_bytes().try_into().expect("one signature is a list of 80 bytes")
    }

    /// The 128 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; RECEIPT_LEN] {
        zerocopy::transmute_ref!(self)
    }

    /// Service id.
    #[must_use]
    pub fn service(&self) -> [u8; 8] {
        self.service
    }

    /// Set id.
    #[must_use]
    pub fn set(&self) -> u32 {
        self.set.get()
    }

    /// Incarnation of the origin.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.incarnation.get()
    }

    /// Report id.
    #[must_use]
    pub fn report(&self) -> [u8; 16] {
        self.report
    }

    /// Sequence number of the event that stored it.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence.get()
    }

    /// Time of receipt, Unix seconds.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.time.get()
    }

    /// Where it is stored; `None` for a number that parsing refuses.
    #[must_use]
    pub fn durability(&self) -> Option<Durability> {
        Durability::from_number(self.durability)
    }

    /// SUBMIT, AMEND or CANCEL; `None` for a kind that parsing refuses.
    #[must_use]
    pub fn kind(&self) -> Option<RequestKind> {
        receipted(self.kind)
    }

    /// Keys accepted.
    #[must_use]
    pub fn keys(&self) -> u16 {
        self.keys.get()
    }

    /// Epoch of the delegation whose key signs.
    #[must_use]
    pub fn key_epoch(&self) -> u32 {
        self.key_epoch.get()
    }

    /// Digest of the request.
    #[must_use]
    pub fn content(&self) -> [u8; 32] {
        self.content
    }

    /// Digest of the verdicts.
    #[must_use]
    pub fn verdicts(&self) -> [u8; 32] {
        self.verdicts
    }
}

/// The content of a request to a set of a service (spec 7.2.5): the same for every repetition.
#[must_use]
pub fn content_digest(service: &[u8; 8], set: u32, request: &RequestView<'_>) -> [u8; 32] {
    let start = Sha256::new().chain_update(CONTENT_CONTEXT).chain_update(service);
    let start = start.chain_update(U32::new(set).as_bytes());
    request.content_parts().iter().fold(start, Sha256::chain_update).finalize().into()
}

/// `H(verdicts)` (spec 7.7.1).
#[must_use]
pub fn verdicts_digest(verdicts: &[Verdict]) -> [u8; 32] {
    Sha256::digest(verdicts.as_bytes()).into()
}

/// Whether the service of `trust` signed the receipt (spec 7.7.2, 7.7.3). The time of receipt has to lie
/// within the delegation, the time of this call does not matter.
///
/// # Errors
/// [`ReceiptError`], the first check that fails.
pub fn verify_receipt(
    trust: &Trust,
    receipt: &Receipt,
    signatures: &SignatureList,
    delegation: &Delegation,
    delegation_signatures: &SignatureList,
) -> Result<(), ReceiptError> {
    let trusted = trust.service;
    if let Some(got) = [receipt.service(), delegation.service()].into_iter().find(|got| *got != trusted) {
        return Err(ReceiptError::Service { got, trusted });
    }
    if !trust.sets.contains(&receipt.set()) {
        return Err(ReceiptError::SetNotTrusted(receipt.set()));
    }
    trust.verify_delegation(delegation, delegation_signatures)?;
    if receipt.key_epoch() != delegation.epoch() {
        return Err(ReceiptError::Epoch { receipt: receipt.key_epoch(), delegation: delegation.epoch() });
    }
    let online = delegation.online();
    if verify(signatures, RECEIPT_CONTEXT, receipt.as_bytes(), &[online])? == 0 {
        return Err(ReceiptError::Unsigned(online));
    }
    let (time, not_before, not_after) = (receipt.time(), delegation.not_before(), delegation.not_after());
    if !(not_before..=not_after).contains(&time) {
        return Err(ReceiptError::Time { time, not_before, not_after });
    }
    Ok(())
}

/// A receipt with everything that proves it (spec 7.7.3), byte for byte as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptBundle {
    /// The receipt.
    pub receipt: Receipt,
    /// Signatures over it.
    pub signatures: SignatureList,
    /// The delegation of the online key.
    pub delegation: Delegation,
    /// Signatures of the roots over it.
    pub delegation_signatures: SignatureList,
}

/// Why bytes are no kept receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The bytes end before the part that is named.
    #[error("kept receipt ends before its {part}: {have} bytes")]
    Short {
        /// The part that is missing or cut.
        part: &'static str,
        /// Bytes there are.
        have: usize,
    },
    /// Bytes are left after the last part.
    #[error("{0} bytes after the kept receipt")]
    Trailing(usize),
    /// The receipt cannot be read.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The delegation cannot be read.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
    /// A signature list cannot be read.
    #[error(transparent)]
    Signatures(#[from] SignatureError),
}

impl ReceiptBundle {
    /// The bytes to keep.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (receipt, delegation) = (self.receipt.as_bytes(), self.delegation.as_bytes());
        [receipt, self.signatures.as_bytes(), delegation, self.delegation_signatures.as_bytes()].concat()
    }

    /// Reads what was kept. Nothing is verified.
    ///
    /// # Errors
    /// [`BundleError`], also for bytes left over.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BundleError> {
        let short = |part| BundleError::Short { part, have: bytes.len() };
        let (receipt, rest) = bytes.split_at_checked(RECEIPT_LEN).ok_or(short("receipt"))?;
        let receipt = Receipt::parse(receipt)?;
        let (signatures, used) = SignatureList::parse(rest)?;
        let (delegation, rest) = rest[used..].split_at_checked(DELEGATION_LEN).ok_or(short("delegation"))?;
        let delegation = Delegation::parse(delegation)?;
        let (delegation_signatures, used) = SignatureList::parse(rest)?;
        if used < rest.len() {
            return Err(BundleError::Trailing(rest.len() - used));
        }
        Ok(Self { receipt, signatures, delegation, delegation_signatures })
    }

    /// Whether the service of `trust` gave this receipt (spec 7.7.3).
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn verify(&self, trust: &Trust) -> Result<(), ReceiptError> {
        let Self { receipt, signatures, delegation, delegation_signatures } = self;
        verify_receipt(trust, receipt, signatures, delegation, delegation_signatures)
    }

    /// Whether its key still had the word when it was given, seen from a delegation that is trusted, of
    /// whatever epoch (spec 7.7.4). One that was stolen may sign on; it cannot sign for the time of a
    /// successor that is known.
    ///
    /// # Errors
    /// [`ReceiptError::Superseded`].
    pub fn precedes(&self, newest: &Delegation) -> Result<(), ReceiptError> {
        let (epoch, time, successor) = (self.receipt.key_epoch(), self.receipt.time(), newest.epoch());
        let since = newest.not_before().saturating_add(SUCCESSION_S);
        if epoch < successor && time > since {
            return Err(ReceiptError::Superseded { epoch, time, successor, since });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::delegation::DelegationFields;
    use super::*;
    use crate::wire::request::{REQUEST_LEN, Request};

    const NOT_BEFORE: u64 = 1_000;
    const NOT_AFTER: u64 = 2_000;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_secret([seed; 32])
    }

    fn fields() -> ReceiptFields {
        ReceiptFields {
            service: *b"service!",
            set: 1,
            incarnation: 2,
            report: [3; 16],
            sequence: 4,
            time: 1_500,
            durability: Durability::Mirror,
            kind: RequestKind::Amend,
            keys: 5,
            key_epoch: 6,
            content: [7; 32],
            verdicts: [8; 32],
        }
    }

    fn list(receipt: &Receipt, signer: &SigningKey) -> SignatureList {
        let list = Receipt::signature_list(&signer.public(), &receipt.sign(signer));
        SignatureList::parse(&list).expect("a list").0
    }

    fn trust() -> Trust {
        Trust { service: *b"service!", threshold: 1, roots: vec![key(1).public()], sets: vec![1] }
    }

    fn bundle(fields: &ReceiptFields, epoch: u32, service: [u8; 8]) -> ReceiptBundle {
        let receipt = Receipt::new(fields);
        let (not_before, not_after, online) = (NOT_BEFORE, NOT_AFTER, key(2).public());
        let delegation = Delegation::new(&DelegationFields { epoch, service, not_before, not_after, online });
        let signed = delegation.sign(&[key(1)]);
        ReceiptBundle {
            signatures: list(&receipt, &key(2)),
            receipt,
            delegation,
            delegation_signatures: SignatureList::parse(&signed[DELEGATION_LEN..]).unwrap().0,
        }
    }

    fn good() -> ReceiptBundle {
        bundle(&fields(), 6, *b"service!")
    }

    #[test]
    fn every_field_lies_where_the_table_says() {
        // spec 7.7.1
        let bytes = *Receipt::new(&fields()).as_bytes();
        assert_eq!(bytes[..16], *b"service!\x01\0\0\0\x02\0\0\0");
        assert_eq!(bytes[16..32], [3; 16]);
        assert_eq!(bytes[32..48], [4, 0, 0, 0, 0, 0, 0, 0, 0xdc, 0x05, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[48..56], [2, 2, 5, 0, 6, 0, 0, 0]);
        assert_eq!((&bytes[56..88], &bytes[88..120]), (&[7; 32][..], &[8; 32][..]));
        assert_eq!(bytes[120..], [0; 8]);
        let read = Receipt::parse(&bytes).unwrap();
        assert_eq!((read.durability(), read.kind()), (Some(Durability::Mirror), Some(RequestKind::Amend)));
        assert_eq!((read.incarnation(), read.sequence(), read.time()), (2, 4, 1_500));
        let signed = SignatureList::sign(RECEIPT_CONTEXT, &bytes, [&key(2)]);
        assert_eq!(Receipt::signature_list(&key(2).public(), &read.sign(&key(2))), signed.as_bytes());
    }

    #[test]
    fn what_is_no_receipt_is_refused() {
        let bytes = *Receipt::new(&fields()).as_bytes();
        assert_eq!(Receipt::parse(&bytes[..127]), Err(ReceiptError::Length(127)));
        let broken = |at: usize, value: u8| {
            let mut bytes = bytes;
            bytes[at] = value;
            Receipt::parse(&bytes).unwrap_err()
        };
        assert_eq!(broken(48, 0), ReceiptError::Durability(0));
        assert_eq!(broken(48, 4), ReceiptError::Durability(4));
        for kind in [0, 3, 5, 6] {
            assert_eq!(broken(49, kind), ReceiptError::Kind(kind), "STATUS and DUMMY have no receipt");
        }
    }

    #[test]
    fn a_receipt_is_proved_by_its_service_and_by_nobody_else() {
        // spec 7.7.2
        assert_eq!(good().verify(&trust()), Ok(()));
        let mut other = trust();
        other.service = *b"another!";
        let (got, trusted) = (*b"service!", *b"another!");
        assert_eq!(good().verify(&other), Err(ReceiptError::Service { got, trusted }));
        let foreign = bundle(&fields(), 6, *b"another!").verify(&trust());
        assert_eq!(foreign, Err(ReceiptError::Service { got: trusted, trusted: got }));
        let elsewhere = bundle(&ReceiptFields { set: 9, ..fields() }, 6, *b"service!").verify(&trust());
        assert_eq!(elsewhere, Err(ReceiptError::SetNotTrusted(9)));
        let mut stranger = trust();
        stranger.roots = vec![key(9).public()];
        let unsigned = Err(ReceiptError::Trust(TrustError::Unsigned { valid: 0, threshold: 1 }));
        assert_eq!(good().verify(&stranger), unsigned);
        let late = bundle(&fields(), 7, *b"service!").verify(&trust());
        assert_eq!(late, Err(ReceiptError::Epoch { receipt: 6, delegation: 7 }));
        let mut bundle = good();
        bundle.signatures = list(&bundle.receipt, &key(9));
        assert_eq!(bundle.verify(&trust()), Err(ReceiptError::Unsigned(key(2).public())));
    }

    #[test]
    fn the_time_of_receipt_lies_within_the_delegation() {
        for (time, holds) in [(999, false), (1_000, true), (2_000, true), (2_001, false)] {
            let verified = bundle(&ReceiptFields { time, ..fields() }, 6, *b"service!").verify(&trust());
            let outside = ReceiptError::Time { time, not_before: NOT_BEFORE, not_after: NOT_AFTER };
            assert_eq!(verified, if holds { Ok(()) } else { Err(outside) });
        }
    }

    #[test]
    fn a_kept_receipt_comes_back_and_no_changed_byte_passes() {
        let bytes = good().to_bytes();
        assert_eq!(ReceiptBundle::from_bytes(&bytes), Ok(good()));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let believed = ReceiptBundle::from_bytes(&changed).is_ok_and(|it| it.verify(&trust()).is_ok());
            // A list's reserved bytes are not signed and say nothing.
            let reserved = [130, 131, 290, 291];
            assert_eq!(believed, reserved.contains(&at), "byte {at}");
            assert!(ReceiptBundle::from_bytes(&bytes[..at]).is_err());
        }
        assert_eq!(ReceiptBundle::from_bytes(&[&bytes[..], &[0]].concat()), Err(BundleError::Trailing(1)));
    }

    #[test]
    fn the_content_is_of_one_service_and_one_set() {
        // spec 7.2.5
        let mut bytes = [0; REQUEST_LEN];
        let request = Request::about(RequestKind::Status, [1; 16], [2; 32]);
        let view = request.write(&mut bytes).unwrap();
        let digest = content_digest(b"service!", 1, &view);
        let by_hand = [&b"tekd/1 content\0service!\x01\0\0\0"[..], &view.content_parts().concat()].concat();
        assert_eq!(digest, <[u8; 32]>::from(Sha256::digest(by_hand)));
        assert_ne!(digest, content_digest(b"service!", 2, &view));
        assert_ne!(digest, content_digest(b"another!", 1, &view));
        assert_eq!(
            verdicts_digest(&[Verdict::Accepted, Verdict::Onset]),
            <[u8; 32]>::from(Sha256::digest([0, 9]))
        );
    }

    #[test]
    fn a_receipt_does_not_print_its_report() {
        assert_eq!(format!("{:?}", good().receipt), "Receipt(kind 2, set 1, event 4)");
        assert_eq!(format!("{:?}", fields()), "ReceiptFields(amend, set 1, event 4)");
    }
}
