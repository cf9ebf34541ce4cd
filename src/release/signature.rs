//! Ed25519 keys and the signature list that ends every signed thing (spec 3.4.3, 3.4.4).
//!
//! A list may carry signatures by keys and algorithms the reader does not know: it skips them, so that a
//! second algorithm can be introduced beside the first. It never skips a wrong signature of a key it knows.
//! This file does not decide which keys are known; that is trust's business.

use std::fmt;

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use sha2::{Digest, Sha256};
use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What is signed before the bytes of a checkpoint (spec 3.4.2).
pub const CHECKPOINT_CONTEXT: &str = "tekd/1 checkpoint\0";
/// What is signed before the bytes of a delegation (spec 3.5.1).
pub const DELEGATION_CONTEXT: &str = "tekd/1 delegation\0";
/// What is signed before the body of a manifest (spec 3.6.1).
pub const MANIFEST_CONTEXT: &str = "tekd/1 manifest\0";
/// What is signed before the bytes of a receipt (spec 7.7.1).
pub const RECEIPT_CONTEXT: &str = "tekd/1 receipt\0";

/// The number of Ed25519 among the algorithms of a signature list (spec 3.4.3).
pub const ED25519: u16 = 1;
/// Bytes of an Ed25519 signature.
pub const SIGNATURE_LEN: usize = 64;
/// Most signatures in one list (spec 3.4.3).
pub const MAX_SIGNATURES: usize = 8;

const LIST_HEAD: usize = size_of::<ListHead>();
const ENTRY_HEAD: usize = size_of::<EntryHead>();
/// Bytes of a list of `count` Ed25519 signatures.
pub(crate) const fn list_len(count: usize) -> usize {
    LIST_HEAD + count * (ENTRY_HEAD + SIGNATURE_LEN)
}

const _: () = assert!(LIST_HEAD == 4 && ENTRY_HEAD == 12);
const _: () = assert!(SIGNATURE_LEN == ed25519_dalek::SIGNATURE_LENGTH);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ListHead {
    count: U16,
    reserved: U16,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct EntryHead {
    algorithm: U16,
    length: U16,
    key: [u8; 8],
}

/// Why a signature list or what it signs is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The bytes end before the list does.
    #[error("signature list needs {needed} bytes, has {have}")]
    Short {
        /// Bytes the list needs as far as it could be read.
        needed: usize,
        /// Bytes there are.
        have: usize,
    },
    /// More signatures than a list may hold.
    #[error("{count} signatures, at most {limit} allowed")]
    TooMany {
        /// Signatures the list announces.
        count: usize,
        /// Most allowed.
        limit: usize,
    },
    /// A signature longer than its length field can tell.
    #[error("signature of {0} bytes, at most 65535")]
    Long(usize),
    /// A known key's signature is not that key's signature of these bytes.
    #[error("wrong signature of the known key {0}")]
    Wrong(KeyId),
}

/// An Ed25519 public key, 32 bytes as on the wire. It may be no usable key at all: see
/// [`PublicKey::is_sound`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The first 8 bytes of `H(public key)` (spec 3.4.3).
    #[must_use]
    pub fn id(&self) -> KeyId {
        let digest = Sha256::digest(self.0);
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        KeyId(id)
    }

    /// Whether these bytes are the canonical encoding of a point that is not of small order (spec 3.4.4).
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.point().is_some()
    }

    /// Whether `signature` is this key's signature of `context ‖ body`, strictly (spec 3.4.4).
    #[must_use]
    pub fn verifies(&self, context: &str, body: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        let Some(point) = self.point() else { return false };
        point.verify_strict(&message(context, body), &Signature::from_bytes(signature)).is_ok()
    }

    fn point(&self) -> Option<VerifyingKey> {
        let key = VerifyingKey::from_bytes(&self.0).ok()?;
        // Decompression takes y ≥ p as well; only the canonical encoding compresses back to itself.
        let canonical = key.to_edwards().compress().to_bytes() == self.0;
        (canonical && !key.is_weak()).then_some(key)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// The short name of a public key in a signature list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// An Ed25519 signing key. Its memory is wiped when it is dropped; it is never printed and never copied.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of 32 secret random bytes. The caller wipes its own copy.
    #[must_use]
    pub fn from_secret(secret: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from(&secret))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `context ‖ body`.
    #[must_use]
    pub fn sign(&self, context: &str, body: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(&message(context, body)).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// One signature of a list, borrowed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureEntry<'a> {
    /// Algorithm, [`ED25519`] or one this version does not know.
    pub algorithm: u16,
    /// Whose signature it claims to be.
    pub key: KeyId,
    /// The signature, of any length.
    pub signature: &'a [u8],
}

/// A well-formed signature list, kept byte for byte as it came (spec 3.4.3, 4.4.3). Well-formed is not
/// verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureList {
    bytes: Vec<u8>,
}

impl SignatureList {
    /// The list of these signatures.
    ///
    /// # Errors
    /// [`SignatureError::TooMany`] above [`MAX_SIGNATURES`], [`SignatureError::Long`].
    pub fn new(entries: &[SignatureEntry<'_>]) -> Result<Self, SignatureError> {
        let count = bounded(entries.len())?;
        let mut bytes = ListHead { count: count.into(), reserved: 0.into() }.as_bytes().to_vec();
        for entry in entries {
            let length = entry.signature.len();
            let length = u16::try_from(length).map_err(|_| SignatureError::Long(length))?;
            let head =
                EntryHead { algorithm: entry.algorithm.into(), length: length.into(), key: entry.key.0 };
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(entry.signature);
        }
        Ok(Self { bytes })
    }

    /// The list of the Ed25519 signatures of `keys` over `context ‖ body`: of the first [`MAX_SIGNATURES`]
    /// keys.
    #[must_use]
    pub fn sign<'k>(context: &str, body: &[u8], keys: impl IntoIterator<Item = &'k SigningKey>) -> Self {
        let mut bytes = ListHead { count: 0.into(), reserved: 0.into() }.as_bytes().to_vec();
        let mut count = 0u16;
        for key in keys.into_iter().take(MAX_SIGNATURES) {
            let length = const { SIGNATURE_LEN as u16 };
            let head =
                EntryHead { algorithm: ED25519.into(), length: length.into(), key: key.public().id().0 };
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(&key.sign(context, body));
            count += 1;
        }
        bytes[..2].copy_from_slice(U16::from(count).as_bytes());
        Self { bytes }
    }

    /// Reads a list from the start of `bytes`; gives it and how many bytes it took.
    ///
    /// # Errors
    /// [`SignatureError::Short`] or [`SignatureError::TooMany`].
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), SignatureError> {
        let short = |needed| SignatureError::Short { needed, have: bytes.len() };
        let (head, _) = ListHead::ref_from_prefix(bytes).map_err(|_| short(LIST_HEAD))?;
        let mut end = LIST_HEAD;
        for _ in 0..bounded(usize::from(head.count.get()))? {
            let (entry, _) =
                EntryHead::ref_from_prefix(&bytes[end..]).map_err(|_| short(end + ENTRY_HEAD))?;
            end += ENTRY_HEAD + usize::from(entry.length.get());
            if end > bytes.len() {
                return Err(short(end));
            }
        }
        Ok((Self { bytes: bytes[..end].to_vec() }, end))
    }

    /// The bytes of the list, as parsed or made.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// The bytes of the list, borrowed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The signatures in order.
    pub fn entries(&self) -> impl Iterator<Item = SignatureEntry<'_>> {
        let mut rest = self.bytes.get(LIST_HEAD..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (head, after) = EntryHead::ref_from_prefix(rest).ok()?;
            let (signature, after) = after.split_at_checked(usize::from(head.length.get()))?;
            rest = after;
            Some(SignatureEntry { algorithm: head.algorithm.get(), key: KeyId(head.key), signature })
        })
    }
}

/// How many different keys of `known` signed `context ‖ body` in `list` (spec 3.4.3). Unknown keys and
/// unknown algorithms are passed over; a key that signed twice counts once. The caller compares with its
/// threshold.
///
/// # Errors
/// [`SignatureError::Wrong`] if a known key's signature is wrong, whatever else the list holds.
pub fn verify(
    list: &SignatureList,
    context: &str,
    body: &[u8],
    known: &[PublicKey],
) -> Result<usize, SignatureError> {
    let ids: Vec<KeyId> = known.iter().map(PublicKey::id).collect();
    let mut signers: Vec<PublicKey> = Vec::new();
    for entry in list.entries().filter(|entry| entry.algorithm == ED25519) {
        let mut named =
            known.iter().zip(&ids).filter(|(_, id)| **id == entry.key).map(|(key, _)| key).peekable();
        if named.peek().is_none() {
            continue;
        }
        let signature = <&[u8; SIGNATURE_LEN]>::try_from(entry.signature);
        let signer = signature.ok().and_then(|s| named.find(|key| key.verifies(context, body, s)));
        let signer = signer.ok_or(SignatureError::Wrong(entry.key))?;
        if !signers.contains(signer) {
            signers.push(*signer);
        }
    }
    Ok(signers.len())
}

fn bounded(count: usize) -> Result<u16, SignatureError> {
    let small = u16::try_from(count).ok().filter(|_| count <= MAX_SIGNATURES);
    small.ok_or(SignatureError::TooMany { count, limit: MAX_SIGNATURES })
}

fn message(context: &str, body: &[u8]) -> Vec<u8> {
    [context.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_secret([seed; 32])
    }

    #[test]
    fn a_key_signs_what_its_public_half_verifies_and_nothing_else() {
        let (key, other) = (key(1), key(2).public());
        let signature = key.sign(CHECKPOINT_CONTEXT, b"body");
        assert!(key.public().verifies(CHECKPOINT_CONTEXT, b"body", &signature));
        assert!(!key.public().verifies(MANIFEST_CONTEXT, b"body", &signature), "another context");
        assert!(!key.public().verifies(CHECKPOINT_CONTEXT, b"Body", &signature), "another body");
        assert!(!other.verifies(CHECKPOINT_CONTEXT, b"body", &signature), "another key");
    }

    #[test]
    fn debug_of_a_signing_key_shows_nothing_of_it() {
        assert_eq!(format!("{:?}", key(0xab)), "SigningKey(..)");
    }

    #[test]
    fn contexts_end_with_a_zero_byte_and_differ() {
        let all = [CHECKPOINT_CONTEXT, DELEGATION_CONTEXT, MANIFEST_CONTEXT, RECEIPT_CONTEXT];
        assert!(all.iter().all(|context| context.ends_with('\0') && context.starts_with("tekd/1 ")));
        assert!((1..all.len()).all(|i| !all[..i].contains(&all[i])));
    }

    /// A point has a second, non-canonical encoding if y < 19: y + p with p = 2²⁵⁵ − 19 (low byte
    /// y + 0xed).
    #[test]
    fn non_canonical_and_small_order_keys_are_unsound() {
        let mut refused_twins = 0;
        for y in 0..19u8 {
            let mut canonical = [0; 32];
            canonical[0] = y;
            let mut twin = [0xff; 32];
            (twin[0], twin[31]) = (0xed + y, 0x7f);
            assert!(!PublicKey(twin).is_sound(), "y = p + {y}");
            refused_twins += usize::from(y > 1 && PublicKey(canonical).is_sound());
        }
        assert!(refused_twins > 4, "about half of the small y are on the curve, {refused_twins} were");
        assert!(!PublicKey([0; 32]).is_sound(), "order 4");
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert!(!PublicKey(neutral).is_sound(), "order 1");
        // The neutral element would otherwise accept R = neutral, S = 0 for every message.
        let forged: [u8; 64] = std::array::from_fn(|i| u8::from(i == 0));
        assert!(!PublicKey(neutral).verifies("", b"anything", &forged));
    }

    #[test]
    fn a_key_that_signs_twice_counts_once() {
        let list = SignatureList::sign("c", b"b", [&key(1), &key(1), &key(2)]);
        let known = [key(1).public(), key(2).public(), key(3).public()];
        assert_eq!(verify(&list, "c", b"b", &known), Ok(2));
        assert_eq!(verify(&list, "c", b"b", &[known[0], known[0]]), Ok(1), "named twice among the known");
    }

    #[test]
    fn unknown_keys_and_algorithms_are_passed_over_but_a_wrong_signature_never() {
        let (good, stranger) = (key(1), key(9));
        let right = good.sign("c", b"b");
        let entry = |algorithm, key: &SigningKey, signature| SignatureEntry {
            algorithm,
            key: key.public().id(),
            signature,
        };
        let known = [good.public()];
        let passed =
            [entry(7, &good, &[1; 33][..]), entry(1, &stranger, &[0; 64]), entry(1, &stranger, &[0; 3])];
        let check = |entries: &[SignatureEntry<'_>]| {
            let list = SignatureList::new(entries).unwrap();
            verify(&list, "c", b"b", &known)
        };
        assert_eq!(check(&passed), Ok(0));
        assert_eq!(check(&[passed[0], passed[1], passed[2], entry(1, &good, &right)]), Ok(1));
        let wrong = Err(SignatureError::Wrong(good.public().id()));
        assert_eq!(check(&[entry(1, &good, &right), entry(1, &good, &[0; 64])]), wrong);
        assert_eq!(check(&[entry(1, &good, &right[..63])]), wrong, "cut to 63 bytes");
    }

    #[test]
    fn a_list_holds_at_most_eight() {
        let keys: Vec<_> = (0..9).map(key).collect();
        let list = SignatureList::sign("c", b"b", &keys);
        assert_eq!(list.entries().count(), MAX_SIGNATURES);
        assert_eq!(list.as_bytes().len(), list_len(MAX_SIGNATURES));
        let nine: Vec<_> = list.entries().chain(list.entries().take(1)).collect();
        let too_many = SignatureError::TooMany { count: 9, limit: 8 };
        assert_eq!(SignatureList::new(&nine), Err(too_many.clone()));
        let mut bytes = list.encode();
        bytes[0] = 9;
        assert_eq!(SignatureList::parse(&bytes), Err(too_many));
    }

    proptest! {
        #[test]
        fn lists_come_back_as_they_were_written(
            entries in vec((any::<u16>(), any::<[u8; 8]>(), vec(any::<u8>(), 0..99)), 0..=8),
            after in vec(any::<u8>(), 0..9),
        ) {
            let entries: Vec<_> = entries
                .iter()
                .map(|(algorithm, id, signature)| {
                    SignatureEntry { algorithm: *algorithm, key: KeyId(*id), signature }
                })
                .collect();
            let list = SignatureList::new(&entries).unwrap();
            let bytes = [list.as_bytes(), &after].concat();
            let (read, used) = SignatureList::parse(&bytes).unwrap();
            prop_assert_eq!(used, bytes.len() - after.len());
            prop_assert_eq!(read.entries().collect::<Vec<_>>(), entries);
            prop_assert!(SignatureList::parse(&bytes[..used - 1]).is_err());
        }

        #[test]
        fn any_bytes_are_a_list_within_them_or_refused(
            bytes in vec(any::<u8>(), 0..200),
            count in 0u8..10,
        ) {
            let mut bytes = bytes;
            if let [low, high, ..] = bytes.as_mut_slice() {
                (*low, *high) = (count, 0);
            }
            if let Ok((list, used)) = SignatureList::parse(&bytes) {
                prop_assert_eq!(list.as_bytes(), &bytes[..used]);
                prop_assert_eq!(list.entries().count(), usize::from(count));
            }
        }
    }
}
