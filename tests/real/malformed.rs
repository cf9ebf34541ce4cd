//! Frames that are none, on both transports: the exact refusal or silence, and what the counters say of it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use tekd::service::control::ControlRequest;
use tekd::wire::question::{Bucket, Fetch, Proof, ProofKind};
use tekd::wire::{Key, Operation, QuestionBuilder, ResultCode};

use super::answers::{COOKIE, DETAIL, VERSION, result_of, u64_at};
use super::asker::{Asker, TXID};
use super::imported::import_all;
use super::keys::keys;
use super::server::{Place, Server, until};
use super::stream::Stream;

const PAD: u16 = 1;
const UNKNOWN: u16 = 0x0123;
const CRITICAL: u16 = 0x8000;

/// What a frame gets.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Gets {
    /// Nothing, counted under this reason.
    Silence(&'static str),
    /// 64 bytes with this result and this beginning of the detail.
    Refusal(ResultCode, u32),
    /// The answer to another version of the protocol.
    OtherVersion,
    /// An answer.
    Answer,
}
use Gets::{Answer, OtherVersion, Refusal, Silence};

/// One frame, what it is, and what it gets on UDP and on a stream.
struct Case {
    what: String,
    frame: Vec<u8>,
    udp: Gets,
    stream: Gets,
}

fn case(what: impl Into<String>, frame: Vec<u8>, gets: Gets) -> Case {
    Case { what: what.into(), frame, udp: gets, stream: gets }
}

fn built(of: impl FnOnce(&mut [u8]) -> Result<usize, tekd::wire::BuildError>) -> Vec<u8> {
    let mut frame = vec![0; 4096];
    let length = of(&mut frame).expect("a question");
    frame.truncate(length);
    frame
}

/// The frame with bytes replaced.
fn with(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The frame with bytes behind it, its length field counting them.
fn followed(mut frame: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    frame.extend_from_slice(bytes);
    let length = u32::try_from(frame.len()).expect("short").to_le_bytes();
    with(frame, 4, &length)
}

fn tlv(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("short");
    let mut bytes = [kind.to_le_bytes(), length.to_le_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Headers that are wrong (spec 1.1).
fn headers(info: &[u8]) -> Vec<Case> {
    let info = || info.to_vec();
    let mut cases = Vec::new();
    for first in [0x80, 0x82, 0x9f, 0xbf] {
        cases.push(case(format!("first byte {first:#x}"), with(info(), 0, &[first]), OtherVersion));
    }
    for operation in [0x00, 0x0b, 0x0f, 0x1f, 0x7f] {
        let refusal = Refusal(ResultCode::Operation, 0);
        cases.push(case(format!("operation {operation:#x}"), with(info(), 1, &[operation]), refusal));
    }
    for operation in [Operation::Manifest, Operation::Notify, Operation::Sealed] {
        let frame = with(info(), 1, &[operation as u8]);
        let stream = match operation {
            Operation::Manifest => Answer,
            Operation::Notify => Refusal(ResultCode::Refused, 0),
            _ => Refusal(ResultCode::Malformed, 0),
        };
        let udp = Refusal(ResultCode::Transport, 0);
        cases.push(Case { what: operation.name().to_owned(), frame, udp, stream });
    }
    cases.push(case("another service", with(info(), 8, &[9; 8]), Silence("service_id")));
    cases.push(case("an answer", with(info(), 1, &[0x81]), Silence("reply")));
    cases.push(case(
        "another version's answer",
        with(with(info(), 0, &[0x82]), 1, &[0x81]),
        Silence("reply"),
    ));
    cases.push(case("a set that is not there", with(info(), 32, &[99]), Refusal(ResultCode::Set, 0)));
    cases
}

/// What follows a body and is no run of TLVs, or holds what nobody knows (spec 1.2).
fn tlvs(info: &[u8]) -> Vec<Case> {
    let after = |bytes: &[u8]| followed(info.to_vec(), bytes);
    let malformed = Refusal(ResultCode::Malformed, 0);
    let sixteen: Vec<u8> = (0..16).flat_map(|kind| tlv(0x0200 + kind, &[])).collect();
    let seventeen = [&sixteen[..], &tlv(0x0300, &[])].concat();
    let critical = u32::from(UNKNOWN | CRITICAL);
    vec![
        case("one byte behind", after(&[0]), malformed),
        case("three bytes behind", after(&[0; 3]), malformed),
        case("a TLV without its value", after(&[1, 0, 8, 0]), malformed),
        case("a filling byte that is not zero", after(&[1, 0, 1, 0, 7, 0, 0, 1]), malformed),
        case("a TLV twice", after(&[tlv(UNKNOWN, &[1]), tlv(UNKNOWN, &[2])].concat()), malformed),
        case("TLVs out of order", after(&[tlv(UNKNOWN, &[]), tlv(PAD, &[])].concat()), malformed),
        case("seventeen TLVs", after(&seventeen), malformed),
        case("sixteen TLVs", after(&sixteen), Answer),
        case("an unknown TLV", after(&tlv(UNKNOWN, b"ignored")), Answer),
        case("a PAD of any bytes", after(&tlv(PAD, b"whatever")), Answer),
        case("grease", after(&tlv(0x1a3a, &[7; 9])), Answer),
        case(
            "an unknown critical TLV",
            after(&tlv(UNKNOWN | CRITICAL, b"!")),
            Refusal(ResultCode::Critical, critical),
        ),
        case(
            "a critical TLV in a run that cannot be read",
            after(&[tlv(UNKNOWN | CRITICAL, b"!"), vec![9]].concat()),
            malformed,
        ),
    ]
}

/// Bodies and arguments that are wrong (spec 2). `depth` of the tree, `log` checkpoints before the newest.
fn bodies(ask: &QuestionBuilder, key: &Key, depth: u8, log: u64) -> Vec<Case> {
    let malformed = Refusal(ResultCode::Malformed, 0);
    let lookup = || built(|out| ask.lookup(&[*key], out));
    let bucket = |bits, held| {
        let root = built(|out| ask.bucket(&Bucket { prefix: &[0; 16], bits: 0, held: 0 }, out));
        with(root, 38, &[held, bits])
    };
    let fetch = |digest: &[u8; 32]| built(|out| ask.fetch(&Fetch { digest, offset: 0, length: 1 }, out));
    let proof =
        |first, second| built(|out| ask.proof(Proof { kind: ProofKind::Consistency, first, second }, out));
    let range = |limit| Refusal(ResultCode::Range, limit);
    let log_limit = u32::try_from(log).expect("a short log");
    let long = with(followed(lookup(), &[0; 16]), 2, &[2]);
    vec![
        case("LOOKUP of no key", with(lookup(), 38, &[0]), malformed),
        case("LOOKUP of 33 keys", with(followed(lookup(), &[0; 32 * 32]), 38, &[33]), malformed),
        case("LOOKUP that ends in a slot", with(lookup(), 38, &[2]), malformed),
        case("LOOKUP of a long key", long, Refusal(ResultCode::Set, 0)),
        case("LOOKUP of one key", lookup(), Answer),
        case("BUCKET with more held than asked", bucket(depth, depth + 1), malformed),
        case("BUCKET deeper than the tree", bucket(depth + 1, 0), range(depth.into())),
        case("BUCKET of 255 bits", bucket(255, 0), range(depth.into())),
        case("FETCH without a digest", with(built(|out| ask.info(out)), 1, &[6]), malformed),
        case("FETCH of nothing there is", fetch(&[7; 32]), Refusal(ResultCode::Gone, 0)),
        case("PROOF of a third kind", with(proof(0, 0), 38, &[2]), malformed),
        case("PROOF beyond the log", proof(0, log + 1), range(log_limit)),
        case("PROOF backwards", proof(log, log - 1), range(log_limit)),
    ]
}

/// Checks every byte of an answer that has no body.
#[track_caller]
fn check(question: &[u8], answer: &[u8], gets: Gets, what: &str) {
    assert_eq!(answer[TXID], question[TXID], "{what}");
    assert_eq!(answer[8..16], question[8..16], "{what}: the service");
    assert_eq!(answer[1], question[1] | 0x80, "{what}: the operation");
    match gets {
        Silence(_) => panic!("{what} was answered"),
        Answer => assert_eq!(result_of(answer), ResultCode::Ok, "{what}"),
        OtherVersion => {
            // spec 1.1.6
            let mut exact = [0; 64];
            exact[..8].copy_from_slice(&[0x80, question[1] | 0x80, 0, 0, 64, 0, 0, 0]);
            exact[8..24].copy_from_slice(&question[8..24]);
            exact[36] = 2;
            exact[48] = 1;
            assert_eq!(answer, exact, "{what}");
        }
        Refusal(result, info) => {
            assert_eq!(result_of(answer), result, "{what}");
            assert_eq!(answer[..8], [0x81, question[1] | 0x80, 0, 0, 64, 0, 0, 0], "{what}: the header");
            assert_eq!(answer.len(), 64, "{what}: a refusal has 64 bytes (spec 1.3.3)");
            assert_eq!(answer[32..36], question[32..36], "{what}: the set");
            assert_eq!(answer[VERSION], [0; 8], "{what}: the version");
            assert_eq!(answer[DETAIL][..4], info.to_le_bytes(), "{what}: the detail");
            assert_eq!(answer[DETAIL][4..], [0; 12], "{what}: the rest of the detail");
        }
    }
}

/// How counters moved between two readings of `stats`: those that did.
fn moved(before: &Value, after: &Value, part: &str) -> BTreeMap<String, u64> {
    let read = |stats: &Value, name: &str| stats[part][name].as_u64().unwrap_or(0);
    let names = after[part].as_object().expect("counters").keys();
    let moves = names.map(|name| (name.clone(), read(after, name) - read(before, name)));
    moves.filter(|(_, n)| *n > 0).collect()
}

fn stats(server: &Server) -> Value {
    server.done(&ControlRequest::Stats {})
}

/// How often each result and each reason of silence is due for these frames, and INFO for each silence.
fn due(cases: &[Case], gets: impl Fn(&Case) -> Gets) -> [BTreeMap<String, u64>; 2] {
    let (mut answers, mut silent) = (BTreeMap::new(), BTreeMap::new());
    for case in cases {
        let result = match gets(case) {
            Silence(reason) => {
                *silent.entry(reason.to_owned()).or_insert(0) += 1;
                ResultCode::Ok
            }
            Refusal(result, _) => result,
            OtherVersion => ResultCode::Version,
            Answer => ResultCode::Ok,
        };
        *answers.entry(result.name().to_owned()).or_insert(0) += 1;
    }
    [answers, silent]
}

struct Asked {
    origin: Server,
    asker: Asker,
    cases: Vec<Case>,
    _dir: tempfile::TempDir,
}

fn asked() -> Asked {
    let dir = tempfile::tempdir().expect("a directory");
    let origin = Place::new(dir.path(), "origin").start().without_decoys();
    let some = keys(1, 200);
    import_all(&origin, &some);
    for _ in 0..3 {
        origin.release();
    }
    let trust = origin.trust();
    let newest = super::clients::udp_client(origin.udp(), trust.clone()).checkpoint().expect("a checkpoint");
    let mut asker = Asker::new(origin.udp(), trust.service);
    let info = asker.info();
    let mut cases = headers(&info);
    cases.extend(tlvs(&info));
    cases.extend(bodies(&asker.builder(), &some[0], newest.bits(), newest.log_size()));
    Asked { origin, asker, cases, _dir: dir }
}

#[test]
fn malformed_datagrams_get_their_refusal_or_silence() {
    let Asked { origin, mut asker, mut cases, _dir } = asked();
    let info = asker.info();
    let lengths = [0u32, 63, 65, 1232, u32::MAX];
    let mut only_udp = vec![
        (String::from("nothing"), vec![], "length"),
        (String::from("63 bytes"), info[..63].to_vec(), "length"),
        (String::from("a header less one of another first byte"), vec![0x01; 63], "length"),
    ];
    only_udp.extend(
        lengths
            .map(|l| (format!("a length field of {l}"), with(info.clone(), 4, &l.to_le_bytes()), "length")),
    );
    only_udp.extend(
        [0x00, 0x01, 0x7f, 0xc0, 0xff]
            .map(|b| (format!("first byte {b:#x}"), with(info.clone(), 0, &[b]), "first_byte")),
    );
    cases.extend(only_udp.into_iter().map(|(what, frame, reason)| case(what, frame, Silence(reason))));
    let before = stats(&origin);
    for case in &cases {
        match case.udp {
            Silence(_) => asker.silent(&case.frame, &case.what),
            gets => check(&case.frame, &asker.ask(&case.frame), gets, &case.what),
        }
    }
    let after = stats(&origin);
    let [answers, silent] = due(&cases, |case| case.udp);
    assert_eq!(moved(&before, &after, "answers"), answers);
    assert_eq!(moved(&before, &after, "silent"), silent);
    let udp = moved(&before, &after, "udp");
    assert_eq!(udp["ignored"], silent.values().sum::<u64>());
    assert_eq!(udp["answered"], cases.len() as u64, "each silence was followed by an INFO");

    for length in [1233, 1236, 2000] {
        let long = followed(info.clone(), &tlv(PAD, &vec![0; length - 68])[..length - 64]);
        asker.silent(&long, &format!("a datagram of {length} bytes"));
    }
    assert_eq!(moved(&after, &stats(&origin), "udp")["oversize"], 3);
    let unpadded = built(|out| asker.builder().checkpoint(out));
    let answer = asker.ask(&unpadded);
    assert_eq!((answer.len(), result_of(&answer)), (64, ResultCode::Truncated));
    assert_ne!(u64_at(&answer, COOKIE), 0, "TRUNCATED encloses a cookie (spec 1.3.5)");
    origin.stop();
}

#[test]
fn malformed_frames_on_a_stream_get_their_refusal_or_silence() {
    let Asked { origin, mut asker, mut cases, _dir } = asked();
    let sealed = with(followed(asker.info(), &vec![0; 4096 - 64]), 1, &[Operation::Sealed as u8]);
    cases.push(case("SEALED", sealed, Refusal(ResultCode::Refused, 0)));
    let mut stream = Stream::open(origin.tls());
    let before = stats(&origin);
    for case in &cases {
        stream.send(&case.frame);
        let question = match case.stream {
            Silence(_) => {
                let next = asker.info();
                stream.send(&next);
                next
            }
            _ => case.frame.clone(),
        };
        let gets = if matches!(case.stream, Silence(_)) { Answer } else { case.stream };
        let answer = stream.receive().unwrap_or_else(|| panic!("{}: the connection ended", case.what));
        check(&question, &answer, gets, &case.what);
        if gets == Answer {
            assert_eq!(answer[COOKIE], [0; 8], "no cookie on a stream (spec 1.6.4)");
        }
    }
    let after = stats(&origin);
    let [answers, silent] = due(&cases, |case| case.stream);
    assert_eq!(moved(&before, &after, "answers"), answers);
    assert_eq!(moved(&before, &after, "silent"), silent);
    assert_eq!(moved(&before, &after, "tls")["ignored"], silent.values().sum::<u64>());
    origin.stop();
}

#[test]
fn what_is_no_frame_ends_its_connection_and_no_other() {
    let Asked { origin, mut asker, _dir, .. } = asked();
    let mut bystander = Stream::open(origin.tls());
    let info = asker.info();
    let before = stats(&origin);
    for frame in [
        with(info.clone(), 0, &[0x7f]),
        with(info.clone(), 0, &[0xc0]),
        with(info.clone(), 4, &63u32.to_le_bytes()),
        with(info.clone(), 4, &4097u32.to_le_bytes()),
        with(info.clone(), 4, &u32::MAX.to_le_bytes()),
    ] {
        let mut stream = Stream::open(origin.tls());
        stream.send(&frame);
        assert_eq!(stream.receive(), None, "a frame that breaks 1.5.2 ends the connection");
    }
    let mut half = Stream::open(origin.tls());
    half.send(&info[..40]);
    half.cut();
    assert!(Stream::open_with(origin.tls(), b"h2").is_err(), "another ALPN is no conversation");
    let mut plain = TcpStream::connect(origin.tls()).expect("a connection");
    plain.write_all(b"GET / HTTP/1.1\r\nhost: tekd\r\n\r\n").expect("sent");
    let _ = plain.read_to_end(&mut Vec::new());
    let ended = until("all connections counted", || {
        let ended = moved(&before, &stats(&origin), "tls");
        (ended.get("truncated") == Some(&1) && ended.get("handshake_failed") == Some(&2)).then_some(ended)
    });
    assert_eq!((ended["first_byte"], ended["short_request"], ended["long_request"]), (2, 1, 2), "{ended:?}");
    assert_eq!(result_of(&bystander.ask(&info)), ResultCode::Ok);
    origin.stop();
}
