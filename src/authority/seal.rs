//! What a report is sealed with: HPKE to the origin, and back under a key of its context (spec 2.9, 7.1).
//!
//! Whoever relays sees two frames of one size. The answer's key is exported for a nonce that is fresh for
//! every answer, so that a question that is repeated byte for byte is never answered twice under one key.
//! Randomness is handed in; suite, key id and validity are the caller's to check, who knows which keys
//! there are.

use std::convert::Infallible;
use std::fmt;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, HpkeError, Kem, OpModeR, OpModeS, Serializable};
use sha2::{Digest, Sha256};
use zerocopy::little_endian::U32;
use zerocopy::{FromZeros, IntoBytes};

use crate::wire::layout::{SEALED_BODY, SealedAnswer, SealedQuestion};
use crate::wire::outcome::OUTCOME_LEN;
use crate::wire::request::REQUEST_LEN;

/// DHKEM(X25519, HKDF-SHA256) in the HPKE registry (spec 7.1.1).
pub const SUITE_KEM: u16 = X25519HkdfSha256::KEM_ID;
/// HKDF-SHA256 in the HPKE registry.
pub const SUITE_KDF: u16 = 1;
/// ChaCha20-Poly1305 in the HPKE registry.
pub const SUITE_AEAD: u16 = 3;
/// Bytes of the associated data: first byte of the frame, service id, set (spec 2.9.3).
pub const ASSOCIATED_LEN: usize = 13;
/// Bytes of a public seal key, of its secret, and of the KEM's encapsulation.
pub const SEAL_KEY_LEN: usize = 32;
/// Bytes by which a ciphertext is longer than what it hides.
const TAG_LEN: usize = 16;
/// Bytes of the exported answer key and nonce (spec 7.1.3).
const EXPORT_LEN: usize = 44;
/// Bytes kept for the encapsulation of any KEM (spec 2.9.2).
const ENCAPSULATION_ROOM: usize = 1152;
/// Bytes of the nonce of an answer (spec 2.9.4).
const ANSWER_NONCE_LEN: usize = 32;
const INFO: &[u8] = b"tekd/1 sealed\0";
const ANSWER: &[u8] = b"tekd/1 answer\0";

const _: () = assert!(SUITE_KEM == 0x20);
const _: () = assert!(SEALED_BODY == 16 + ENCAPSULATION_ROOM + REQUEST_LEN + TAG_LEN);
const _: () =
    assert!(SEALED_BODY == ANSWER_NONCE_LEN + OUTCOME_LEN + TAG_LEN && SEAL_KEY_LEN <= ENCAPSULATION_ROOM);

type Suite = X25519HkdfSha256;
type Sender = hpke::aead::AeadCtxS<hpke::aead::ChaCha20Poly1305, hpke::kdf::HkdfSha256, Suite>;
type Receiver = hpke::aead::AeadCtxR<hpke::aead::ChaCha20Poly1305, hpke::kdf::HkdfSha256, Suite>;
type PublicKey = <Suite as Kem>::PublicKey;
type PrivateKey = <Suite as Kem>::PrivateKey;
type Encapsulation = <Suite as Kem>::EncappedKey;

/// Why something is not sealed or opened. It says no more: what cannot be opened has no parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key is not the suite's.
    #[error("a seal key of {0} bytes that nothing can be sealed to")]
    Key(usize),
    /// A byte behind the encapsulation is not zero (spec 2.9.2).
    #[error("bytes follow the encapsulation")]
    Encapsulation,
    /// It was not sealed to this key, or was changed on its way.
    #[error("it cannot be opened")]
    Open,
}

/// What a sealed message is bound to (spec 2.9.3).
#[must_use]
pub fn associated_data(first_byte: u8, service: &[u8; 8], set: u32) -> [u8; ASSOCIATED_LEN] {
    let mut data = [first_byte; ASSOCIATED_LEN];
    data[1..9].copy_from_slice(service);
    data[9..].copy_from_slice(U32::new(set).as_bytes());
    data
}

/// The id of a seal key: the first 8 bytes of `H(public key)` (spec 7.1.1).
#[must_use]
pub fn seal_key_id(public: &[u8]) -> [u8; 8] {
    let digest: [u8; 32] = Sha256::digest(public).into();
    *digest.first_chunk().expect("a SHA-256 digest has 32 bytes")
}

/// The secret half of a seal key. Its memory is wiped when it is dropped; it is never printed.
pub struct SealSecret {
    secret: PrivateKey,
    public: [u8; SEAL_KEY_LEN],
}

impl SealSecret {
    /// The key of 32 secret random bytes. The caller wipes its own copy.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; SEAL_KEY_LEN]) -> Self {
        let secret = PrivateKey::from_bytes(bytes).expect("every 32 bytes are an X25519 secret");
        let public = Suite::sk_to_pk(&secret).to_bytes().into();
        Self { secret, public }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> [u8; SEAL_KEY_LEN] {
        self.public
    }

    /// Its id in questions and in the manifest.
    #[must_use]
    pub fn id(&self) -> [u8; 8] {
        seal_key_id(&self.public)
    }
}

impl fmt::Debug for SealSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealSecret({})", hex::encode(self.id()))
    }
}

/// Seals a request to a public seal key and gives the question's body and what opens its answer.
///
/// `random` fills a slice with unpredictable bytes; 32 are drawn.
///
/// # Errors
/// [`SealError::Key`].
pub fn seal(
    public: &[u8],
    associated: &[u8; ASSOCIATED_LEN],
    request: &[u8; REQUEST_LEN],
    random: impl FnMut(&mut [u8]),
) -> Result<(SealedQuestion, AnswerKey), SealError> {
    let (encapsulation, mut context) = sender(public, INFO, random)?;
    let ciphertext = context.seal(request, associated).map_err(|_| SealError::Key(public.len()))?;
    let mut question = SealedQuestion::new_zeroed();
    (question.kem, question.kdf, question.aead) = (SUITE_KEM.into(), SUITE_KDF.into(), SUITE_AEAD.into());
    question.key_id = seal_key_id(public);
    question.encapsulation[..SEAL_KEY_LEN].copy_from_slice(&encapsulation);
    question.ciphertext.copy_from_slice(&ciphertext);
    Ok((question, AnswerKey { context: Context::Sender(context), associated: *associated }))
}

/// Opens a question that is sealed to this key and gives the request and what seals its answer.
///
/// Suite and key id of the question are the caller's to check, before this costs a multiplication.
///
/// # Errors
/// [`SealError`]; the answer is then random bytes (spec 2.9.4).
pub fn open(
    secret: &SealSecret,
    associated: &[u8; ASSOCIATED_LEN],
    question: &SealedQuestion,
) -> Result<(Box<[u8; REQUEST_LEN]>, AnswerKey), SealError> {
    let (encapsulation, tail) = question.encapsulation.split_at(SEAL_KEY_LEN);
    if tail.iter().any(|byte| *byte != 0) {
        return Err(SealError::Encapsulation);
    }
    let mut context = receiver(&secret.secret, encapsulation, INFO).map_err(|_| SealError::Open)?;
    let request = context.open(&question.ciphertext, associated).map_err(|_| SealError::Open)?;
    let request = request.try_into().map_err(|_| SealError::Open)?;
    Ok((request, AnswerKey { context: Context::Receiver(context), associated: *associated }))
}

/// What seals and opens the answers to one question.
pub struct AnswerKey {
    context: Context,
    associated: [u8; ASSOCIATED_LEN],
}

enum Context {
    Sender(Sender),
    Receiver(Receiver),
}

impl fmt::Debug for AnswerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerKey(..)")
    }
}

impl AnswerKey {
    /// Seals an answer under `nonce`, which MUST be fresh for every answer (spec 2.9.4).
    #[must_use]
    pub fn seal_answer(&self, nonce: [u8; ANSWER_NONCE_LEN], answer: &[u8; OUTCOME_LEN]) -> SealedAnswer {
        let (cipher, cipher_nonce) = self.cipher(&nonce);
        let message = Payload { msg: answer, aad: &self.associated };
        let sealed =
            cipher.encrypt(&cipher_nonce.into(), message).expect("4 KB are within the cipher's limit");
        let mut out = SealedAnswer { nonce, ciphertext: [0; OUTCOME_LEN + TAG_LEN] };
        out.ciphertext.copy_from_slice(&sealed);
        out
    }

    /// Opens an answer to this question.
    ///
    /// # Errors
    /// [`SealError::Open`]: it is of another question, or random; nothing follows from it (spec 7.1.6).
    pub fn open_answer(&self, answer: &SealedAnswer) -> Result<Box<[u8; OUTCOME_LEN]>, SealError> {
        let (cipher, cipher_nonce) = self.cipher(&answer.nonce);
        let message = Payload { msg: &answer.ciphertext, aad: &self.associated };
        let opened = cipher.decrypt(&cipher_nonce.into(), message).map_err(|_| SealError::Open)?;
        opened.try_into().map_err(|_| SealError::Open)
    }

    /// The cipher and its nonce for an answer (spec 7.1.3).
    fn cipher(&self, nonce: &[u8; ANSWER_NONCE_LEN]) -> (ChaCha20Poly1305, [u8; 12]) {
        let mut exported = [0; EXPORT_LEN];
        let context = [ANSWER, nonce].concat();
        let done = match &self.context {
            Context::Sender(sender) => sender.export(&context, &mut exported),
            Context::Receiver(receiver) => receiver.export(&context, &mut exported),
        };
        done.expect("44 bytes are within what HKDF-SHA256 expands to");
        let (key, rest) = exported.split_first_chunk::<32>().expect("44 bytes begin with 32");
        let cipher_nonce = *rest.first_chunk().expect("and end with 12");
        (ChaCha20Poly1305::new(key.into()), cipher_nonce)
    }
}

/// A context to seal in, and the bytes that let the receiver make it too.
fn sender(
    public: &[u8],
    info: &[u8],
    random: impl FnMut(&mut [u8]),
) -> Result<([u8; SEAL_KEY_LEN], Sender), SealError> {
    let refused = |_: HpkeError| SealError::Key(public.len());
    let key = PublicKey::from_bytes(public).map_err(refused)?;
    let mode = OpModeS::Base;
    let made = hpke::setup_sender_with_rng(&mode, &key, info, &mut HandedIn(random));
    let (encapsulation, context): (Encapsulation, Sender) = made.map_err(refused)?;
    Ok((encapsulation.to_bytes().into(), context))
}

/// The same context on the other side.
fn receiver(secret: &PrivateKey, encapsulation: &[u8], info: &[u8]) -> Result<Receiver, HpkeError> {
    let encapsulation = Encapsulation::from_bytes(encapsulation)?;
    hpke::setup_receiver(&OpModeR::Base, secret, &encapsulation, info)
}

/// Randomness that is handed in, as the suite's implementation wants it.
struct HandedIn<F>(F);

impl<F: FnMut(&mut [u8])> HandedIn<F> {
    fn draw<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0)(&mut bytes);
        bytes
    }
}

impl<F: FnMut(&mut [u8])> TryRng for HandedIn<F> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.draw()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.draw()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        (self.0)(bytes);
        Ok(())
    }
}

impl<F: FnMut(&mut [u8])> TryCryptoRng for HandedIn<F> {}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSOCIATED: [u8; 13] = *b"\x81service!\x01\0\0\0";

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    fn counting(mut next: u8) -> impl FnMut(&mut [u8]) {
        move |bytes| {
            for byte in bytes {
                *byte = next;
                next = next.wrapping_add(1);
            }
        }
    }

    fn request() -> [u8; REQUEST_LEN] {
        std::array::from_fn(|i| (i % 251) as u8)
    }

    /// RFC 9180 A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, base mode.
    #[test]
    fn the_suite_is_that_of_rfc_9180() {
        let ikm: [u8; 32] = bytes("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b");
        let public: [u8; 32] = bytes("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        let secret = SealSecret::from_bytes(&bytes(
            "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb",
        ));
        assert_eq!(secret.public(), public);
        let info: [u8; 20] = bytes("4f6465206f6e2061204772656369616e2055726e");
        let (encapsulation, mut from) = sender(&public, &info, |out| out.copy_from_slice(&ikm)).unwrap();
        let expected = bytes("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
        assert_eq!(encapsulation, expected);
        let plain = b"Beauty is truth, truth beauty";
        let sealed = from.seal(plain, b"Count-0").unwrap();
        let expected: [u8; 45] = bytes(
            "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
        );
        assert_eq!(sealed, expected);
        let mut to = receiver(&secret.secret, &encapsulation, &info).unwrap();
        assert_eq!(to.open(&sealed, b"Count-0").unwrap(), plain);
        for (context, expected) in [
            (&b""[..], "4bbd6243b8bb54cec311fac9df81841b6fd61f56538a775e7c80a9f40160606e"),
            (b"\0", "8c1df14732580e5501b00f82b10a1647b40713191b7c1240ac80e2b68808ba69"),
            (b"TestContext", "5acb09211139c43b3090489a9da433e8a30ee7188ba8b0a9a1ccf0c229283e53"),
        ] {
            let mut exported = [[0; 32]; 2];
            from.export(context, &mut exported[0]).unwrap();
            to.export(context, &mut exported[1]).unwrap();
            assert_eq!(exported, [bytes(expected); 2]);
        }
    }

    #[test]
    fn what_is_sealed_is_opened_and_answered() {
        let secret = SealSecret::from_bytes(&[7; 32]);
        let (question, asker) = seal(&secret.public(), &ASSOCIATED, &request(), counting(1)).unwrap();
        assert_eq!((question.kem.get(), question.kdf.get(), question.aead.get()), (0x20, 1, 3));
        assert_eq!(question.key_id, secret.id());
        let (opened, origin) = open(&secret, &ASSOCIATED, &question).unwrap();
        assert_eq!(*opened, request());
        let answer = [9; OUTCOME_LEN];
        let (one, two) = (origin.seal_answer([1; 32], &answer), origin.seal_answer([2; 32], &answer));
        assert_ne!(one.ciphertext, two.ciphertext, "another nonce is another key");
        for sealed in [one, two] {
            assert_eq!(*asker.open_answer(&sealed).unwrap(), answer);
        }
    }

    #[test]
    fn a_request_sealed_anew_is_another_question() {
        let secret = SealSecret::from_bytes(&[7; 32]);
        let seal = |first| seal(&secret.public(), &ASSOCIATED, &request(), counting(first)).unwrap();
        let ((one, first), (two, second)) = (seal(1), seal(2));
        assert!(one.encapsulation != two.encapsulation && one.ciphertext != two.ciphertext);
        let (_, origin) = open(&secret, &ASSOCIATED, &one).unwrap();
        let answer = origin.seal_answer([1; 32], &[9; OUTCOME_LEN]);
        assert!(first.open_answer(&answer).is_ok());
        assert_eq!(second.open_answer(&answer), Err(SealError::Open));
    }

    #[test]
    fn nothing_that_was_changed_is_opened() {
        let secret = SealSecret::from_bytes(&[7; 32]);
        let (good, asker) = seal(&secret.public(), &ASSOCIATED, &request(), counting(1)).unwrap();
        let opens = |secret: &SealSecret, associated: &[u8; 13], question: &SealedQuestion| {
            open(secret, associated, question).map(|_| ()).unwrap_err()
        };
        let stranger = SealSecret::from_bytes(&[8; 32]);
        assert_eq!(opens(&stranger, &ASSOCIATED, &good), SealError::Open);
        let elsewhere = associated_data(0x81, b"service!", 2);
        assert_eq!(opens(&secret, &elsewhere, &good), SealError::Open);
        for (at, expected) in
            [(0, SealError::Open), (32, SealError::Encapsulation), (1151, SealError::Encapsulation)]
        {
            let mut question = good.clone();
            question.encapsulation[at] ^= 1;
            assert_eq!(opens(&secret, &ASSOCIATED, &question), expected, "byte {at}");
        }
        for at in [0, 2847, 2863] {
            let mut question = good.clone();
            question.ciphertext[at] ^= 1;
            assert_eq!(opens(&secret, &ASSOCIATED, &question), SealError::Open, "byte {at}");
        }
        let mut zero = good.clone();
        zero.encapsulation = [0; 1152];
        assert_eq!(opens(&secret, &ASSOCIATED, &zero), SealError::Open, "a point of small order");
        let (_, origin) = open(&secret, &ASSOCIATED, &good).unwrap();
        let answer = origin.seal_answer([1; 32], &[9; OUTCOME_LEN]);
        for change in [
            |answer: &mut SealedAnswer| answer.nonce[0] ^= 1,
            |answer: &mut SealedAnswer| answer.ciphertext[3999] ^= 1,
        ] {
            let mut answer = answer.clone();
            change(&mut answer);
            assert_eq!(asker.open_answer(&answer), Err(SealError::Open));
        }
    }

    #[test]
    fn nothing_is_sealed_to_what_is_no_key() {
        for public in [&[1; 31][..], &[1; 33], &[0; 32], &[]] {
            let sealed = seal(public, &ASSOCIATED, &request(), counting(1)).map(|_| ());
            assert_eq!(sealed, Err(SealError::Key(public.len())));
        }
    }

    #[test]
    fn the_associated_data_are_first_byte_service_and_set() {
        assert_eq!(associated_data(0x81, b"service!", 1), ASSOCIATED);
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = SealSecret::from_bytes(&[7; 32]);
        assert_eq!(format!("{secret:?}"), format!("SealSecret({})", hex::encode(secret.id())));
        let (_, asker) = seal(&secret.public(), &ASSOCIATED, &request(), counting(1)).unwrap();
        assert_eq!(format!("{asker:?}"), "AnswerKey(..)");
    }
}
