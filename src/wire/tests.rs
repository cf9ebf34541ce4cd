//! Both halves of the wire against each other, and against arbitrary bytes.

use proptest::prelude::*;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::answer::{self, AnswerHeader};
use super::ask::{BuildError, QuestionBuilder};
use super::contents::AnswerBody;
use super::fault::AnswerError;
use super::header::{
    FIRST_BYTE, MAX_ANSWER_STREAM, MAX_DATAGRAM, MAX_QUESTION_STREAM, Operation, Question, ResultCode,
    ServiceId,
};
use super::key::Key;
use super::layout::{
    BucketHead, InfoDetail, KIND_HISTORY, KIND_LIVE, ObjectDescriptor, SealedAnswer, SealedQuestion,
};
use super::question::{
    Body, Bucket, Fetch, Notify, Parsed, Proof, ProofKind, SilentReason, Sync, is_repeatable, parse,
};
use super::reply::{AnswerView, Expected, parse_answer};
use super::slot;
use super::tlv;

const SERVICE: ServiceId = *b"\x01tekd\x02\x03\x04";

const BUILDER: QuestionBuilder = QuestionBuilder {
    service: SERVICE,
    set: 7,
    txid: 0x1122_3344_5566_7788,
    cookie: 0x99,
    max_answer: 1000,
    pad_to: 0,
    grease: 0,
};

fn expected(operation: Operation) -> Expected {
    Expected { service: SERVICE, txid: BUILDER.txid, set: BUILDER.set, operation }
}

fn key(first: u8, long: bool) -> Key {
    let mut bytes = [0x5a; 32];
    bytes[0] = first;
    Key::from_slice(&bytes[..if long { 32 } else { 16 }]).unwrap()
}

/// Builds the bare question of an operation as a client would.
fn ask(operation: Operation, builder: &QuestionBuilder, out: &mut [u8]) -> Result<usize, BuildError> {
    match operation {
        Operation::Info => builder.info(out),
        Operation::Checkpoint => builder.checkpoint(out),
        Operation::Lookup => builder.lookup(&[key(1, false), key(2, false)], out),
        Operation::Bucket => builder.bucket(&Bucket { prefix: &[0; 16], bits: 9, held: 4 }, out),
        Operation::Sync => builder.sync(Sync { version: 3, history: true }, out),
        Operation::Fetch => builder.fetch(&Fetch { digest: &[8; 32], offset: 5, length: 6 }, out),
        Operation::Proof => {
            builder.proof(Proof { kind: ProofKind::Consistency, first: 1, second: u64::MAX }, out)
        }
        Operation::Manifest => builder.manifest(out),
        Operation::Sealed => builder.sealed(&SealedQuestion::new_zeroed(), out),
        Operation::Notify => builder.notify(Notify { version: 1 << 32 | 9 }, out),
    }
}

fn bare(operation: Operation) -> Vec<u8> {
    let mut out = vec![0xee; MAX_QUESTION_STREAM];
    let length = ask(operation, &BUILDER, &mut out).unwrap();
    out.truncate(length);
    out
}

/// A question's header and body, or the test's failure.
fn read(frame: &[u8]) -> (&Question, Body<'_>) {
    match parse(frame, &SERVICE, true) {
        Parsed::Question(header, body) => (header, body),
        other => panic!("not a question: {other:?}"),
    }
}

fn relabel(frame: &mut [u8]) {
    let length = frame.len() as u32;
    frame[4..8].copy_from_slice(&length.to_le_bytes());
}

#[test]
fn every_operation_is_read_as_it_was_asked() {
    for operation in Operation::ALL {
        let frame = bare(operation);
        let (header, body) = read(&frame);
        assert_eq!(body.operation(), operation);
        assert_eq!((header.txid.get(), header.cookie.get()), (BUILDER.txid, BUILDER.cookie));
        assert_eq!((header.set.get(), header.max_answer.get()), (7, 1000));
        match body {
            Body::Lookup(lookup) => {
                assert!(lookup.keys().eq([key(1, false).as_bytes(), key(2, false).as_bytes()]));
            }
            Body::Bucket(bucket) => assert_eq!((bucket.bits, bucket.held), (9, 4)),
            Body::Sync(sync) => assert_eq!(sync, Sync { version: 3, history: true }),
            Body::Fetch(fetch) => assert_eq!(fetch, Fetch { digest: &[8; 32], offset: 5, length: 6 }),
            Body::Proof(proof) => {
                assert_eq!(proof, Proof { kind: ProofKind::Consistency, first: 1, second: u64::MAX });
            }
            Body::Notify(notify) => assert_eq!(notify.version, 1 << 32 | 9),
            Body::Info | Body::Checkpoint | Body::Manifest | Body::Sealed(_) => {}
        }
    }
}

#[test]
fn padding_changes_no_question() {
    // spec 1.2.4
    for operation in Operation::ALL {
        let mut out = vec![0xee; MAX_DATAGRAM.max(bare(operation).len())];
        let padded = QuestionBuilder { pad_to: MAX_DATAGRAM, ..BUILDER };
        let length = ask(operation, &padded, &mut out).unwrap();
        assert_eq!(length, out.len());
        let plain = bare(operation);
        assert_eq!(read(&out).1, read(&plain).1);
    }
}

#[test]
fn udp_is_told_what_it_does_not_serve() {
    // spec 1.5.5
    for operation in Operation::ALL {
        let mut frame = bare(operation);
        frame.truncate(MAX_DATAGRAM);
        relabel(&mut frame);
        let refused =
            matches!(parse(&frame, &SERVICE, false), Parsed::Refuse { result: ResultCode::Transport, .. });
        assert_eq!(refused, operation.needs_stream(), "{}", operation.name());
    }
}

#[test]
fn a_frame_that_is_cut_or_goes_on_is_met_with_silence() {
    // spec 1.1.4: the length field differs from the bytes received
    for operation in Operation::ALL {
        let frame = bare(operation);
        for end in 0..frame.len() {
            assert_eq!(parse(&frame[..end], &SERVICE, true), Parsed::Silent(SilentReason::Length));
        }
        for extra in 1..8 {
            let longer = [&frame[..], &[0; 8][..extra]].concat();
            assert_eq!(parse(&longer, &SERVICE, true), Parsed::Silent(SilentReason::Length));
        }
    }
}

#[test]
fn a_frame_that_owns_up_to_its_wrong_length_is_malformed() {
    // spec 1.2.2, 2.3.1, 2.6.1, 2.9.1: a header without its body, a body that ends early, bytes that are no
    // TLVs
    for operation in Operation::ALL {
        let frame = bare(operation);
        let longer = [&frame[..], &[1, 2, 3]].concat();
        let cut = (64..frame.len()).map(|end| frame[..end].to_vec());
        let extended = (frame.len() + 1..=longer.len()).map(|end| longer[..end].to_vec());
        for mut wrong in cut.chain(extended) {
            relabel(&mut wrong);
            let parsed = parse(&wrong, &SERVICE, true);
            if wrong.len() > MAX_QUESTION_STREAM {
                assert_eq!(parsed, Parsed::Silent(SilentReason::Length));
            } else {
                let malformed =
                    matches!(parsed, Parsed::Refuse { result: ResultCode::Malformed, info: 0, .. });
                assert!(malformed, "{} of {} bytes: {parsed:?}", operation.name(), wrong.len());
            }
        }
    }
}

#[test]
fn what_is_too_long_for_its_transport_is_dropped() {
    // spec 1.1.4, 1.3.1, 1.3.2
    let mut out = vec![0; MAX_QUESTION_STREAM];
    let padded = |pad_to| QuestionBuilder { pad_to, ..BUILDER };
    let length = padded(MAX_DATAGRAM + 4).info(&mut out).unwrap();
    assert_eq!(parse(&out[..length], &SERVICE, false), Parsed::Silent(SilentReason::Length));
    assert!(matches!(parse(&out[..length], &SERVICE, true), Parsed::Question(..)));
    let length = padded(MAX_QUESTION_STREAM).info(&mut out).unwrap();
    assert!(matches!(parse(&out[..length], &SERVICE, true), Parsed::Question(..)));
    let mut longer = out.clone();
    tlv::put(&mut longer, 64, tlv::PAD, &vec![0; MAX_QUESTION_STREAM - 68]).unwrap();
    longer.extend([2, 0, 0, 0]);
    relabel(&mut longer);
    assert_eq!(parse(&longer, &SERVICE, true), Parsed::Silent(SilentReason::Length));
}

#[test]
fn an_answer_is_never_answered() {
    // spec 1.1.5: whatever is refused or told about versions is itself met with silence
    let mut out = [0; 64];
    for operation in 0..=u8::MAX {
        for first_byte in 0x80..=0xbf {
            let mut frame = bare(Operation::Info);
            (frame[0], frame[1]) = (first_byte, operation);
            let answered = match parse(&frame, &SERVICE, false) {
                Parsed::Silent(_) => continue,
                Parsed::Refuse { result, info, header } => {
                    answer::refuse(header, result, info, 0, 0, &mut out)
                }
                Parsed::OtherVersion(header) => answer::version_answer(header, &mut out),
                Parsed::Question(header, _) => AnswerHeader::to(header).write(&mut out),
            };
            assert_eq!(parse(&out[..answered], &SERVICE, false), Parsed::Silent(SilentReason::Reply));
        }
    }
}

#[test]
fn every_refusal_reaches_its_client() {
    // spec 1.4
    for operation in Operation::ALL {
        let frame = bare(operation);
        let (header, _) = read(&frame);
        for result in ResultCode::ALL.into_iter().filter(|&result| result != ResultCode::Ok) {
            let mut out = [0; 64];
            let length = answer::refuse(header, result, 77, 30, 5, &mut out);
            let view = parse_answer(&out[..length], &expected(operation), false).unwrap();
            let AnswerBody::Refused(refusal) = view.body else { panic!("{view:?}") };
            assert_eq!((refusal.result, refusal.info, refusal.text), (result, 77, None));
            assert_eq!((view.header.wait.get(), view.header.cookie.get()), (30, 5));
        }
    }
}

#[test]
fn a_refusal_on_a_stream_may_say_why() {
    // spec 1.2.4, 1.3.3
    let frame = bare(Operation::Manifest);
    let mut out = [0; 300];
    answer::refuse(read(&frame).0, ResultCode::Unavailable, 0, 0, 0, &mut out);
    let length = tlv::put(&mut out, 64, tlv::ERROR_TEXT, "no release yet".as_bytes()).unwrap();
    relabel(&mut out[..length]);
    let view = parse_answer(&out[..length], &expected(Operation::Manifest), true).unwrap();
    assert!(matches!(view.body, AnswerBody::Refused(refusal) if refusal.text == Some("no release yet")));
    let on_udp = parse_answer(&out[..length], &expected(Operation::Manifest), false);
    assert_eq!(on_udp, Err(AnswerError::RefusalLength(length)));
}

#[test]
fn a_server_of_another_version_is_understood() {
    // spec 1.1.6
    let mut frame = bare(Operation::Sync);
    frame[0] = 0x82;
    let Parsed::OtherVersion(header) = parse(&frame, &SERVICE, false) else {
        panic!("version 2 is not ours")
    };
    let mut out = [0; 64];
    answer::version_answer(header, &mut out);
    let view = parse_answer(&out, &expected(Operation::Sync), false).unwrap();
    assert!(matches!(view.body, AnswerBody::Refused(refusal) if refusal.result == ResultCode::Version));
    assert_eq!(view.header.detail[..2], [1, 0]);
}

/// What the server of a test answers with an empty header of version 42.
fn head(question: &Question) -> AnswerHeader<'_> {
    AnswerHeader { version: 42, ..AnswerHeader::to(question) }
}

#[test]
fn info_goes_there_and_back() {
    // spec 2.1.1
    let frame = bare(Operation::Info);
    let detail = InfoDetail {
        node: U32::new(3),
        least: 1,
        newest: 1,
        reserved: U16::new(0),
        checkpoint_time: U64::new(1_592_913_600),
    };
    let mut out = [0; 64];
    let length = AnswerHeader { detail: detail.into(), ..head(read(&frame).0) }.write(&mut out);
    let view = parse_answer(&out[..length], &expected(Operation::Info), false).unwrap();
    assert_eq!(view.body, AnswerBody::Info(&detail));
    assert_eq!(view.header.version.get(), 42);
}

#[test]
fn lookups_are_answered_in_place() {
    // spec 2.3.2, 2.3.3
    for long in [false, true] {
        let keys = [key(1, long), key(2, long), key(3, long)];
        let mut frame = [0; 256];
        let length = BUILDER.lookup(&keys, &mut frame).unwrap();
        let (header, Body::Lookup(lookup)) = read(&frame[..length]) else { panic!("not a LOOKUP") };
        let mut out = vec![0; length];
        head(header).write(&mut out);
        relabel(&mut out);
        for (slot, key) in out[64..].chunks_exact_mut(lookup.slot_len).zip(lookup.keys()) {
            let live = key[0] == 2;
            slot::write_slot(slot, key, live.then_some(&[1, 2, 3, 4][..]));
        }
        let view = parse_answer(&out, &expected(Operation::Lookup), false).unwrap();
        let AnswerBody::Lookup(answer) = view.body else { panic!("{view:?}") };
        let fields: Vec<_> =
            answer.read(&keys).unwrap().map(|slot| slot.fields.map(|fields| fields[3])).collect();
        assert_eq!(fields, [None, Some(4), None]);
        assert_eq!(answer.read(&[keys[1], keys[0], keys[2]]).err(), Some(AnswerError::SlotKey(0)));
        assert!(matches!(answer.read(&keys[..2]), Err(AnswerError::Extra { .. })));
        assert!(matches!(answer.read(&[keys[0]; 4]), Err(AnswerError::Body { .. })));
    }
}

#[test]
fn a_bucket_comes_apart_into_entries_and_siblings() {
    // spec 2.4.3
    let asked = Bucket { prefix: &[0x77; 16], bits: 6, held: 4 };
    let mut frame = [0; 64];
    BUILDER.bucket(&asked, &mut frame).unwrap();
    let bucket = BucketHead { depth: 9, bits: 6, held: 4, reserved: 0, entries: U32::new(3) };
    let body = [bucket.as_bytes(), &[0x77; 3 * 24], &[0xaa; 32], &[0xbb; 32]].concat();
    let mut out = vec![0; 8192];
    let length = answer::with_body(head(read(&frame).0), &body, &mut out).unwrap();
    assert_eq!(length, bucket.answer_len(24));
    // spec 2.4.5
    tlv::pad(&mut out, length, 8192).unwrap();
    relabel(&mut out);
    let view = parse_answer(&out, &expected(Operation::Bucket), true).unwrap();
    let AnswerBody::Bucket(answer) = view.body else { panic!("{view:?}") };
    let contents = answer.read(&asked, 24).unwrap();
    assert_eq!(contents.entries, [0x77; 72]);
    assert_eq!(contents.siblings, [[0xaa; 32], [0xbb; 32]]);
    assert!(matches!(answer.read(&asked, 4000), Err(AnswerError::Body { .. })));
    let other = Bucket { bits: 7, ..asked };
    assert!(matches!(answer.read(&other, 24), Err(AnswerError::BucketHead { .. })));
}

#[test]
fn a_bucket_of_a_tree_too_deep_or_too_flat_is_refused() {
    // spec 2.4.2
    for (depth, bits, sound) in [(12, 0, true), (13, 0, false), (5, 5, true), (4, 5, false), (255, 255, true)]
    {
        let asked = Bucket { prefix: &[0; 16], bits, held: bits };
        let mut frame = [0; 64];
        BUILDER.bucket(&asked, &mut frame).unwrap();
        let bucket = BucketHead { depth, bits, held: bits, reserved: 0, entries: U32::new(0) };
        let mut out = [0; 72];
        answer::with_body(head(read(&frame).0), bucket.as_bytes(), &mut out).unwrap();
        let view = parse_answer(&out, &expected(Operation::Bucket), false).unwrap();
        let AnswerBody::Bucket(answer) = view.body else { panic!("{view:?}") };
        let expected = if sound { None } else { Some(AnswerError::BucketDepth { depth, bits }) };
        assert_eq!(answer.read(&asked, 24).err(), expected);
    }
}

fn object(from: u64, to: u64, kind: u8) -> ObjectDescriptor {
    ObjectDescriptor { from: U64::new(from), to: U64::new(to), kind, ..ObjectDescriptor::new_zeroed() }
}

fn sync_error(objects: &[ObjectDescriptor], asked: Sync) -> Option<AnswerError> {
    let mut frame = [0; 64];
    BUILDER.sync(asked, &mut frame).unwrap();
    let mut out = [0; MAX_DATAGRAM];
    let length = answer::sync(head(read(&frame).0), objects, &mut out).unwrap();
    let view = parse_answer(&out[..length], &expected(Operation::Sync), false).unwrap();
    let AnswerBody::Sync(answer) = view.body else { panic!("{view:?}") };
    answer.read(asked).err()
}

#[test]
fn objects_lead_from_what_is_held_to_what_is_newest() {
    // spec 2.5.3; the answers are of version 42
    let held = |version| Sync { version, history: false };
    assert_eq!(sync_error(&[], held(42)), None);
    assert_eq!(sync_error(&[], held(41)), Some(AnswerError::Chain { from: 41, got: 42 }));
    assert_eq!(sync_error(&[object(40, 42, KIND_LIVE)], held(40)), None);
    assert_eq!(sync_error(&[object(40, 41, KIND_LIVE), object(41, 42, KIND_LIVE)], held(40)), None);
    // spec 2.5.5
    assert_eq!(sync_error(&[object(0, 42, KIND_LIVE)], held(99)), None);
    let gap = [object(39, 42, KIND_LIVE)];
    assert_eq!(sync_error(&gap, held(40)), Some(AnswerError::Chain { from: 40, got: 39 }));
    let short = [object(40, 41, KIND_LIVE)];
    assert_eq!(sync_error(&short, held(40)), Some(AnswerError::Chain { from: 41, got: 42 }));
    let foreign = [object(40, 42, KIND_HISTORY)];
    assert_eq!(sync_error(&foreign, held(40)), Some(AnswerError::ObjectKind { index: 0, kind: 2 }));
    assert_eq!(sync_error(&foreign, Sync { version: 40, history: true }), None);
    assert_eq!(
        sync_error(&[object(41, 42, KIND_LIVE); 8], held(41)),
        Some(AnswerError::Chain { from: 42, got: 41 })
    );
}

#[test]
fn a_part_of_an_object_is_the_part_that_was_asked_for() {
    // spec 2.6.1, 2.6.2
    let asked = Fetch { digest: &[8; 32], offset: 100, length: 2000 };
    let mut frame = [0; 96];
    BUILDER.fetch(&asked, &mut frame).unwrap();
    let mut out = [0; MAX_DATAGRAM];
    let object: Vec<u8> = (0..2500u32).map(|byte| byte as u8).collect();
    let length = answer::fetch(head(read(&frame).0), 100, 2500, &object[100..2100], &mut out);
    assert_eq!(length, MAX_DATAGRAM);
    let view = parse_answer(&out, &expected(Operation::Fetch), false).unwrap();
    assert_eq!(view.header.version.get(), 0);
    let AnswerBody::Fetch(answer) = view.body else { panic!("{view:?}") };
    let part = answer.read(&asked).unwrap();
    assert_eq!((part.total, part.bytes), (2500, &object[100..100 + 1168]));
    for wrong in [Fetch { offset: 101, ..asked }, Fetch { length: 1167, ..asked }] {
        assert!(matches!(answer.read(&wrong), Err(AnswerError::Part { .. })));
    }
}

#[test]
fn a_proof_is_a_path_of_hashes() {
    // spec 2.7.2
    let frame = bare(Operation::Proof);
    let mut out = [0; MAX_DATAGRAM];
    let path = [[1; 32], [2; 32], [3; 32]];
    let length = answer::proof(head(read(&frame).0), &path, &mut out).unwrap();
    let view = parse_answer(&out[..length], &expected(Operation::Proof), false).unwrap();
    assert_eq!(view.body, AnswerBody::Proof(&path));
}

#[test]
fn a_sealed_answer_is_4096_bytes() {
    // spec 2.9.1
    let frame = bare(Operation::Sealed);
    assert_eq!(frame.len(), 4096);
    let mut out = vec![0; 4096];
    let sealed = SealedAnswer { nonce: [1; 32], ciphertext: [2; 4000] };
    let length = answer::with_body(head(read(&frame).0), sealed.as_bytes(), &mut out).unwrap();
    assert_eq!(length, 4096);
    let view = parse_answer(&out, &expected(Operation::Sealed), true).unwrap();
    assert_eq!(view.body, AnswerBody::Sealed(&sealed));
}

#[test]
fn no_answer_is_longer_than_its_transport_allows() {
    // spec 1.3.1, 1.3.2
    let frame = bare(Operation::Manifest);
    let mut out = vec![0; MAX_ANSWER_STREAM + 1];
    for (length, on_stream, limit) in
        [(1233, false, MAX_DATAGRAM), (MAX_ANSWER_STREAM + 1, true, MAX_ANSWER_STREAM)]
    {
        AnswerHeader { length, ..head(read(&frame).0) }.write(&mut out);
        let parsed = parse_answer(&out[..length], &expected(Operation::Manifest), on_stream);
        assert_eq!(parsed, Err(AnswerError::TooLong { length, limit }));
    }
}

/// Bytes that look like a frame often enough to reach every rule.
fn nearly_a_frame() -> impl Strategy<Value = Vec<u8>> {
    (
        prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..1400),
        prop_oneof![Just(0x81u8), any::<u8>()],
        prop_oneof![1u8..12, 0x81u8..0x8c, any::<u8>()],
        prop::bool::weighted(0.9),
    )
        .prop_map(|(mut bytes, first_byte, operation, honest)| {
            if honest && bytes.len() >= 64 {
                (bytes[0], bytes[1]) = (first_byte, operation);
                bytes[8..16].copy_from_slice(&SERVICE);
                bytes[16..24].copy_from_slice(&BUILDER.txid.to_le_bytes());
                bytes[32..36].copy_from_slice(&BUILDER.set.to_le_bytes());
                relabel(&mut bytes);
            }
            bytes
        })
}

/// Reads everything an answer offers.
fn exhaust(view: &AnswerView<'_>) {
    match view.body {
        AnswerBody::Lookup(lookup) => {
            let _ = lookup.read(&[key(1, false)]).map(Iterator::count);
        }
        AnswerBody::Bucket(bucket) => {
            let asked = Bucket { prefix: &[0; 16], bits: bucket.head.bits, held: bucket.head.held };
            for entry_len in [24, 28, 40] {
                let _ = bucket.read(&asked, entry_len);
            }
        }
        AnswerBody::Sync(sync) => {
            let _ = sync.read(Sync { version: 0, history: false });
        }
        AnswerBody::Fetch(fetch) => {
            let _ = fetch.read(&Fetch { digest: &[0; 32], offset: 0, length: u32::MAX });
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn a_server_reads_any_bytes_without_panic(frame in nearly_a_frame(), on_stream: bool) {
        match parse(&frame, &SERVICE, on_stream) {
            Parsed::Question(_, Body::Lookup(lookup)) => {
                prop_assert_eq!(lookup.keys().len(), lookup.count);
                prop_assert!((1..=32).contains(&lookup.count));
            }
            Parsed::Question(header, body) => prop_assert_eq!(header.operation, body.operation() as u8),
            Parsed::Refuse { header, .. } | Parsed::OtherVersion(header) => {
                prop_assert_eq!(header.length.get() as usize, frame.len());
                prop_assert_eq!(header.service, SERVICE);
            }
            Parsed::Silent(_) => {}
        }
    }

    #[test]
    fn a_client_reads_any_bytes_without_panic(frame in nearly_a_frame(), on_stream: bool) {
        for operation in Operation::ALL {
            match parse_answer(&frame, &expected(operation), on_stream) {
                Ok(view) => exhaust(&view),
                Err(error) => prop_assert!(error.to_string().contains(error.clause().get(..3).unwrap())),
            }
        }
    }

    #[test]
    fn any_question_goes_there_and_back(
        operation in prop::sample::select(&Operation::ALL[..]),
        txid: u64, cookie: u64, set: u32, max_answer: u16, grease: u16, pad_to in 0usize..4096,
    ) {
        let builder = QuestionBuilder { service: SERVICE, set, txid, cookie, max_answer, pad_to, grease };
        let mut out = vec![0; MAX_QUESTION_STREAM];
        let length = ask(operation, &builder, &mut out).unwrap();
        let (header, body) = read(&out[..length]);
        prop_assert_eq!(body.operation(), operation);
        prop_assert_eq!((header.txid.get(), header.cookie.get()), (txid, cookie));
        prop_assert_eq!((header.set.get(), header.max_answer.get()), (set, max_answer));
        prop_assert!(length >= pad_to && length.is_multiple_of(4));
    }

    #[test]
    fn any_keys_go_there_and_back(long: bool, seeds in prop::collection::vec(any::<[u8; 32]>(), 1..=24)) {
        let len = if long { 32 } else { 16 };
        let keys: Vec<Key> = seeds.iter().map(|seed| Key::from_slice(&seed[..len]).unwrap()).collect();
        let mut out = vec![0; MAX_DATAGRAM];
        let length = BUILDER.lookup(&keys, &mut out).unwrap();
        let (header, Body::Lookup(lookup)) = read(&out[..length]) else { panic!("not a LOOKUP") };
        prop_assert!(lookup.keys().eq(keys.iter().map(Key::as_bytes)));
        prop_assert_eq!(Question::ref_from_bytes(&out[..64]).unwrap(), header);
    }

    #[test]
    fn any_proof_and_prefix_go_there_and_back(
        prefix: [u8; 16], bits: u8, held: u8, consistency: bool, first: u64, second: u64,
    ) {
        let mut out = [0; 64];
        let kind = if consistency { ProofKind::Consistency } else { ProofKind::Inclusion };
        let proof = Proof { kind, first, second };
        BUILDER.proof(proof, &mut out).unwrap();
        prop_assert_eq!(read(&out).1, Body::Proof(proof));
        let asked = Bucket { prefix: &prefix, bits, held };
        match BUILDER.bucket(&asked, &mut out) {
            Ok(_) => {
                let Body::Bucket(read) = read(&out).1 else { panic!("not a BUCKET") };
                prop_assert_eq!((read.bits, read.held, read.node()), (bits, held, asked.node()));
            }
            Err(error) => prop_assert_eq!(error, BuildError::Held { held, bits }),
        }
    }
}

#[test]
fn only_what_reads_may_be_answered_twice() {
    // spec 1.5.9
    for operation in Operation::ALL {
        let mut frame = [0; 64];
        (frame[0], frame[1]) = (FIRST_BYTE, operation as u8);
        let changes = matches!(operation, Operation::Sealed | Operation::Notify);
        assert_eq!(is_repeatable(&frame), !changes, "{}", operation.name());
    }
    for unknown in [&[][..], &[FIRST_BYTE], &[FIRST_BYTE, 0], &[FIRST_BYTE, 0x0B], &[FIRST_BYTE, 0x83]] {
        assert!(!is_repeatable(unknown));
    }
}
