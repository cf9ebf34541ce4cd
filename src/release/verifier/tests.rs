//! What a verifier lets in and what it refuses.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::answer::compose_answer_body;
use super::super::checkpoint::CheckpointFields;
use super::super::delegation::DelegationFields;
use super::super::signature::{SignatureList, SigningKey};
use super::*;

const SERVICE: [u8; 8] = *b"tekdtest";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_secret([seed; 32])
}

fn trust() -> Trust {
    Trust {
        service: SERVICE,
        threshold: 2,
        roots: (1..=3).map(|s| key(s).public()).collect(),
        sets: vec![1, 2],
    }
}

/// One answer to be spoilt: everything that may differ between tests.
struct Draft {
    fields: CheckpointFields,
    delegation: DelegationFields,
    online: u8,
    roots: Vec<u8>,
}

impl Draft {
    fn new(version: u64, time: u64) -> Self {
        let fields = CheckpointFields {
            set: 1,
            service: SERVICE,
            version,
            time,
            fresh_until: time + 1800,
            horizon: 9,
            schema: 1,
            bits: 3,
            count: 50,
            log_size: 4,
            root: [1; 32],
            log_root: [2; 32],
            manifest: [3; 32],
            history: [4; 32],
            key_epoch: 5,
        };
        let online = key(10).public();
        let delegation =
            DelegationFields { epoch: 5, service: SERVICE, not_before: 1000, not_after: 9000, online };
        Self { fields, delegation, online: 10, roots: vec![1, 2] }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> CheckpointAnswer {
        change(&mut self);
        self.answer()
    }

    fn answer(&self) -> CheckpointAnswer {
        let checkpoint = Checkpoint::new(&self.fields);
        let roots: Vec<_> = self.roots.iter().copied().map(key).collect();
        let delegation = Delegation::new(&self.delegation).sign(&roots);
        let body =
            compose_answer_body(checkpoint.as_bytes(), &checkpoint.sign(&key(self.online)), &delegation);
        parse_answer_body(&body).expect("a composed answer is well-formed")
    }
}

fn holding(version: u64, time: u64) -> Verifier {
    let mut verifier = Verifier::new(trust(), 1);
    verifier.accept(&Draft::new(version, time).answer()).expect("the draft is valid");
    verifier
}

/// Refuses `answer` in a verifier that holds version 8 of time 5000, and checks that its memory did not move.
fn refusal(answer: &CheckpointAnswer) -> VerifyError {
    let mut verifier = holding(8, 5000);
    let before = verifier.clone();
    let error = verifier.accept(answer).expect_err("must be refused");
    assert_eq!(verifier, before, "a refused answer moved the memory");
    error
}

#[test]
fn valid_answers_are_accepted_and_remembered() {
    let mut verifier = Verifier::new(trust(), 1);
    assert_eq!((verifier.checkpoint(), verifier.online_key(), verifier.epoch()), (None, None, None));
    let answer = Draft::new(8, 5000).answer();
    assert_eq!(verifier.accept(&answer), Ok(answer.checkpoint));
    assert_eq!(verifier.accept(&answer), Ok(answer.checkpoint), "the same once more");
    assert_eq!(verifier.online_key(), Some(key(10).public()));
    let next = Draft::new(9, 5000).with(|d| (d.fields.key_epoch, d.delegation.epoch) = (6, 6));
    assert_eq!(verifier.accept(&next), Ok(next.checkpoint));
    assert_eq!((verifier.epoch(), verifier.last()), (Some(6), Some(&next)));
}

#[test]
fn another_service_or_set_is_refused() {
    let other = VerifyError::Service { got: [9; 8], trusted: SERVICE };
    assert_eq!(refusal(&Draft::new(9, 5001).with(|d| d.fields.service = [9; 8])), other);
    assert_eq!(refusal(&Draft::new(9, 5001).with(|d| d.delegation.service = [9; 8])), other);
    let set = VerifyError::Set { got: 2, asked: 1 };
    assert_eq!(refusal(&Draft::new(9, 5001).with(|d| d.fields.set = 2)), set);
    let three = Draft::new(9, 5001).with(|d| d.fields.set = 3);
    assert_eq!(Verifier::new(trust(), 3).accept(&three), Err(VerifyError::SetNotTrusted(3)));
}

#[test]
fn too_few_roots_are_refused() {
    let unsigned = |valid| VerifyError::Trust(TrustError::Unsigned { valid, threshold: 2 });
    assert_eq!(refusal(&Draft::new(9, 5001).with(|d| d.roots = vec![])), unsigned(0));
    assert_eq!(refusal(&Draft::new(9, 5001).with(|d| d.roots = vec![2, 2, 2])), unsigned(1));
    assert_eq!(refusal(&Draft::new(9, 5001).with(|d| d.roots = vec![2, 7])), unsigned(1));
    let third = Draft::new(9, 5001).with(|d| d.roots = vec![7, 3, 1]);
    assert!(holding(8, 5000).accept(&third).is_ok(), "a stranger beside two roots");
}

#[test]
fn a_trust_without_limits_accepts_nothing() {
    let lax = Trust { threshold: 0, ..trust() };
    let answer = Draft::new(9, 5001).with(|d| d.roots = vec![]);
    assert_eq!(Verifier::new(lax, 1).accept(&answer), Err(TrustError::Threshold(0).into()));
}

#[test]
fn the_online_key_must_be_the_delegated_one_of_the_same_epoch() {
    assert_eq!(
        refusal(&Draft::new(9, 5001).with(|d| d.online = 11)),
        VerifyError::Unsigned(key(10).public())
    );
    let epoch = VerifyError::Epoch { checkpoint: 5, delegation: 6 };
    assert_eq!(refusal(&Draft::new(9, 5001).with(|d| d.delegation.epoch = 6)), epoch);
    let back = VerifyError::EpochBack { epoch: 4, highest: 5 };
    let old = Draft::new(9, 5001).with(|d| (d.fields.key_epoch, d.delegation.epoch) = (4, 4));
    assert_eq!(refusal(&old), back);
}

#[test]
fn time_must_lie_within_the_delegation_ends_included() {
    let at = |time, not_before, not_after| {
        Draft::new(9, time)
            .with(|d| (d.delegation.not_before, d.delegation.not_after) = (not_before, not_after))
    };
    for (time, not_before, not_after) in [(5001, 5002, 9000), (5001, 1000, 5000), (5001, 9000, 1000)] {
        let outside = VerifyError::Time { time, not_before, not_after };
        assert_eq!(refusal(&at(time, not_before, not_after)), outside);
    }
    assert!(holding(8, 5000).accept(&at(5001, 5001, 5001)).is_ok());
}

#[test]
fn neither_version_nor_time_goes_back() {
    let version = VerifyError::VersionBack { version: 7, held: 8 };
    assert_eq!(refusal(&Draft::new(7, 5001).answer()), version);
    assert_eq!(refusal(&Draft::new(9, 4999).answer()), VerifyError::TimeBack { time: 4999, held: 5000 });
}

#[test]
fn one_version_with_other_bytes_is_evidence_even_if_its_time_goes_back() {
    let kept = Box::new(Draft::new(8, 5000).answer());
    for change in [|d: &mut Draft| d.fields.root = [9; 32], |d: &mut Draft| d.fields.time = 4000] {
        let other = Draft::new(8, 5000).with(change);
        let evidence = VerifyError::Equivocation { kept: kept.clone(), other: Box::new(other.clone()) };
        assert_eq!(refusal(&other), evidence);
    }
    let forged = Draft::new(8, 5000).with(|d| (d.fields.root, d.online) = ([9; 32], 11));
    assert!(matches!(refusal(&forged), VerifyError::Unsigned(_)), "unsigned contradiction proves nothing");
}

#[test]
fn memory_survives_saving_and_still_does_not_go_back() {
    let verifier = holding(8, 5000);
    let mut back = Verifier::from_bytes(trust(), 1, &verifier.to_bytes()).unwrap();
    assert_eq!(back, verifier);
    assert!(back.accept(&Draft::new(7, 5000).answer()).is_err());
    let empty = Verifier::new(trust(), 1);
    assert_eq!(Verifier::from_bytes(trust(), 1, &empty.to_bytes()), Ok(empty));
}

#[test]
fn memory_of_another_verifier_or_a_cut_one_is_refused() {
    let bytes = holding(8, 5000).to_bytes();
    let other = MemoryError::Other { service: SERVICE, set: 1 };
    assert_eq!(Verifier::from_bytes(trust(), 2, &bytes), Err(other.clone()));
    let elsewhere = Trust { service: [0; 8], ..trust() };
    assert_eq!(Verifier::from_bytes(elsewhere, 1, &bytes), Err(other));
    for cut in 0..bytes.len() {
        assert!(Verifier::from_bytes(trust(), 1, &bytes[..cut]).is_err(), "cut to {cut}");
    }
    let layout = [&[2, 0], &bytes[2..]].concat();
    assert_eq!(Verifier::from_bytes(trust(), 1, &layout), Err(MemoryError::Layout(2)));
}

#[test]
fn age_goes_from_fresh_over_stale_to_too_old() {
    let checkpoint = Draft::new(8, 5000).answer().checkpoint;
    let at = |now| age(&checkpoint, now, 0, DEFAULT_TOO_OLD_S);
    assert_eq!(at(0), (Age::Fresh, 0), "a clock that lags");
    assert_eq!(at(6800), (Age::Fresh, 1800));
    assert_eq!(at(6801), (Age::Stale, 1801));
    assert_eq!(at(5000 + 604_800), (Age::Stale, 604_800));
    assert_eq!(at(5001 + 604_800), (Age::TooOld, 604_801));
    assert_eq!(age(&checkpoint, 0, 6801, 1800), (Age::TooOld, 1801), "a newer signed time is a clock too");
}

static ANSWER: LazyLock<Vec<u8>> = LazyLock::new(|| Draft::new(8, 5000).answer().to_body());

/// Bits whose change is ignored: the reserved fields of both signature lists (spec 3.4.3).
fn is_reserved(bit: usize) -> bool {
    let second_list = 208 + 4 + 76 + 80;
    [208, second_list].iter().any(|list| (list + 2..list + 4).contains(&(bit / 8)))
}

#[test]
fn every_flipped_bit_of_an_answer_is_refused_or_reserved() {
    for bit in 0..ANSWER.len() * 8 {
        let mut bytes = ANSWER.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let accepted =
            parse_answer_body(&bytes).is_ok_and(|answer| Verifier::new(trust(), 1).accept(&answer).is_ok());
        assert_eq!(accepted, is_reserved(bit), "bit {} of byte {}", bit % 8, bit / 8);
    }
}

proptest! {
    #[test]
    fn mangled_answers_never_panic_and_read_back_what_they_hold(
        at in any::<prop::sample::Index>(),
        patch in prop::collection::vec(any::<u8>(), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = ANSWER.clone();
        let at = at.index(bytes.len());
        bytes.splice(at..(at + patch.len()).min(bytes.len()), patch);
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Ok(answer) = parse_answer_body(&bytes) {
            prop_assert_eq!(answer.to_body(), bytes);
        }
    }

    #[test]
    fn checkpoint_fields_come_back(
        numbers in any::<(u32, [u8; 8], u64, u64, u64, u32, u16, u64, u64, u32)>(),
        bits in 0u8..=28,
        hashes in any::<[[u8; 32]; 4]>(),
    ) {
        let (set, service, version, time, fresh_until, horizon, schema, count, log_size, key_epoch) = numbers;
        let [root, log_root, manifest, history] = hashes;
        let fields = CheckpointFields {
            set, service, version, time, fresh_until, horizon, schema, bits, count, log_size, root, log_root,
            manifest, history, key_epoch,
        };
        let read = Checkpoint::parse(Checkpoint::new(&fields).as_bytes()).unwrap();
        prop_assert_eq!(read.fields(), fields);
        prop_assert_eq!(u64::from(read.serial()), version & 0xffff_ffff);
    }
}

#[test]
fn an_answer_of_the_most_signatures_fits_and_one_more_does_not() {
    let draft = Draft::new(8, 5000);
    let checkpoint = Checkpoint::new(&draft.fields);
    let keys: Vec<_> = (10..18).map(key).collect();
    let list = SignatureList::sign(CHECKPOINT_CONTEXT, checkpoint.as_bytes(), &keys);
    let delegation = Delegation::new(&draft.delegation).sign(&[key(1), key(2), key(3), key(4)]);
    let body = compose_answer_body(checkpoint.as_bytes(), list.as_bytes(), &delegation);
    let answer = parse_answer_body(&body).unwrap();
    assert_eq!(answer.delegation_signatures.entries().count(), 3);
    assert!(Verifier::new(trust(), 1).accept(&answer).is_ok());
    assert_eq!(parse_answer_body(&[&body[..], &[0]].concat()), Err(AnswerError::Trailing(1)));
    let four: Vec<_> = [1, 2, 3, 4].map(key).into();
    let list = SignatureList::sign("", &[], &four);
    let too_many = [&body[..208 + 4 + 8 * 76 + 80], list.as_bytes()].concat();
    assert_eq!(parse_answer_body(&too_many), Err(AnswerError::DelegationSignatures(4)));
}
