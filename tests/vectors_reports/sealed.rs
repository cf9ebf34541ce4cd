//! Sealing, requests, verdicts, puzzles, answers, receipts.

use serde_json::{Value, json};
use tekd::authority::seal::{SealSecret, associated_data, open};
use tekd::authority::{Limits, ReportJudge, solved};
use tekd::release::{Delegation, ReceiptBundle, ReceiptError, Trust, content_digest, verdicts_digest};
use tekd::wire::layout::{SealedAnswer, SealedQuestion};
use tekd::wire::outcome::{OUTCOME_LEN, ReportOutcome};
use tekd::wire::report::{ReportState, ReportType, SentKey, Verdict};
use tekd::wire::request::{REQUEST_LEN, RequestView};
use zerocopy::{FromBytes, IntoBytes};

use super::{Keys, array, bytes, document, list, number, padded, text, with};

const HEADER: usize = 64;

struct Seals {
    document: Value,
    service: [u8; 8],
}

impl Seals {
    fn load() -> Self {
        let document = document();
        let service = array(&document["service"]);
        Seals { document, service }
    }

    fn sealing(&self) -> &Value {
        &self.document["sealing"]
    }

    fn secret(&self, id: &str) -> Option<SealSecret> {
        let key = list(&self.sealing()["seal_keys"]).iter().find(|key| key["id"] == id)?;
        let secret = SealSecret::from_bytes(&array(&key["secret"]));
        assert_eq!(hex::encode(secret.public()), key["public"], "the public key of a secret");
        assert_eq!(hex::encode(secret.id()), key["id"], "the id of a key");
        Some(secret)
    }

    fn exchange(&self, vector: &Value) -> &Value {
        &list(&self.sealing()["exchanges"])[number::<usize>(&vector["of"])]
    }

    fn associated(&self, exchange: &Value) -> [u8; 13] {
        associated_data(0x81, &self.service, number(&exchange["set"]))
    }
}

fn question(frame: &[u8]) -> SealedQuestion {
    SealedQuestion::read_from_bytes(&frame[HEADER..]).expect("a frame of 4096 bytes")
}

#[test]
fn what_was_sealed_elsewhere_opens_here_and_is_answered_alike() {
    let seals = Seals::load();
    for exchange in list(&seals.sealing()["exchanges"]) {
        let name = &exchange["name"];
        let associated = seals.associated(exchange);
        assert_eq!(hex::encode(associated), exchange["aad"], "{name}");
        let secret = seals.secret(text(&exchange["seal_key"])).expect("a key of the vectors");
        let opened = open(&secret, &associated, &question(&bytes(&exchange["question"])));
        let (request, key) = opened.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(*request == padded::<REQUEST_LEN>(&exchange["request"]), "{name}");
        let answer = key.seal_answer(array(&exchange["nonce"]), &padded::<OUTCOME_LEN>(&exchange["answer"]));
        assert_eq!(
            hex::encode(&bytes(&exchange["frame"])[HEADER..]),
            hex::encode(answer.as_bytes()),
            "{name}"
        );
    }
}

#[test]
fn what_is_not_as_it_was_sealed_does_not_open() {
    let seals = Seals::load();
    for vector in list(&seals.sealing()["questions"]) {
        let exchange = seals.exchange(vector);
        let frame = with(&bytes(&exchange["question"]), &vector["put"]);
        let question = question(&frame);
        let secret = seals.secret(&hex::encode(question.key_id));
        let opens = secret.is_some_and(|secret| {
            let set = header_set(&frame);
            open(&secret, &associated_data(frame[0], &seals.service, set), &question).is_ok()
        });
        // GONE and REFUSED are told before anything is opened (spec 7.1.5).
        match text(&vector["expect"]) {
            "opens" => assert!(opens, "{}", vector["name"]),
            "random" => assert!(!opens, "{}", vector["name"]),
            "GONE" | "REFUSED" => {}
            other => panic!("{other} is no expectation"),
        }
    }
}

fn header_set(frame: &[u8]) -> u32 {
    let header = tekd::wire::Question::ref_from_prefix(frame).expect("a header").0;
    header.set.get()
}

#[test]
fn an_answer_opens_only_as_it_was_sealed() {
    let seals = Seals::load();
    for vector in list(&seals.sealing()["answers"]) {
        let exchange = seals.exchange(vector);
        let secret = seals.secret(text(&exchange["seal_key"])).expect("a key of the vectors");
        let (_, key) = open(&secret, &seals.associated(exchange), &question(&bytes(&exchange["question"])))
            .expect("opens");
        let frame = with(&bytes(&exchange["frame"]), &vector["put"]);
        let answer = SealedAnswer::read_from_bytes(&frame[HEADER..]).expect("a frame of 4096 bytes");
        let opened = key.open_answer(&answer);
        assert_eq!(opened.is_ok(), vector["accept"] == true, "{}", vector["name"]);
    }
}

#[test]
fn requests_are_read_or_refused_as_the_vectors_say() {
    let document = document();
    let (service, set) = (array(&document["service"]), number(&document["set"]));
    for vector in list(&document["requests"]) {
        let name = &vector["name"];
        let whole = padded::<REQUEST_LEN>(&vector["bytes"]);
        let read = RequestView::parse(&whole);
        assert_eq!(read.is_ok(), vector["accept"] == true, "{name}");
        let Ok(request) = read else { continue };
        assert_eq!(hex::encode(content_digest(&service, set, &request)), vector["content"], "{name}");
        let (grant_type, grant) = request.grant().unwrap_or((0, &[]));
        let key = |k: SentKey<'_>| {
            let (start, period, risk) = (k.start, k.period, k.risk);
            json!({ "key": hex::encode(k.key), "start": start, "period": period, "risk": risk })
        };
        let fields = json!({
            "kind": request.kind().name().to_uppercase(),
            "key_len": request.key_len(),
            "type": request.report_type().map_or(0, ReportType::number),
            "grant_type": grant_type,
            "grant": hex::encode(grant),
            "onset": request.onset_day().unwrap_or(0),
            "report": hex::encode(request.report()),
            "secret": hex::encode(request.secret_or_hash()),
            "seed": hex::encode(request.puzzle_seed()),
            "solution": hex::encode(request.puzzle_solution().to_le_bytes()),
            "keys": request.keys().map(key).collect::<Vec<_>>(),
        });
        assert_eq!(fields, vector["fields"], "{name}");
    }
}

#[test]
fn every_key_gets_the_verdict_of_the_vectors() {
    for vector in list(&document()["verdicts"]) {
        let limits = &vector["limits"];
        let full = vector["schema"] == 2;
        let limits = Limits {
            key_len: if vector["schema"] == 3 { 32 } else { 16 },
            min_period: number(&limits["least_period"]),
            max_period: number(&limits["greatest_period"]),
            max_future_s: number(&limits["start_ahead_s"]),
            horizon: number(&vector["horizon"]),
            max_keys: number(&limits["most_keys"]),
            max_keys_per_start: number(&limits["most_keys_of_a_start"]),
        };
        let mut judge = ReportJudge::new(&limits, number(&vector["now"]));
        for k in &Keys::of(&vector["held"]).0 {
            judge.holds(&k.0, k.1);
        }
        let onset = number::<i64>(&vector["onset"]);
        let keys = Keys::of(&vector["keys"]);
        let verdicts = keys.sent().into_iter().map(|k| {
            let near = !full || onset == 0 || (i64::from(k.start / 144) - onset).abs() <= 14;
            judge.judge(k.key, k.start, k.period, k.risk <= 8, near).number()
        });
        assert_eq!(json!(verdicts.collect::<Vec<_>>()), vector["verdicts"], "{}", vector["name"]);
    }
}

#[test]
fn puzzles_are_solved_or_not() {
    for vector in list(&document()["puzzles"]) {
        let solution = u64::from_le_bytes(array(&vector["solution"]));
        let (seed, report) = (array(&vector["seed"]), array(&vector["report"]));
        let found = solved(&seed, number(&vector["bits"]), &report, &bytes(&vector["grant"]), solution);
        assert_eq!(found, vector["solved"] == true, "{}", vector["name"]);
    }
}

#[test]
fn answers_are_read_or_refused_and_written_back() {
    for vector in list(&document()["answers"]) {
        let name = &vector["name"];
        let whole = padded::<OUTCOME_LEN>(&vector["bytes"]);
        let read = ReportOutcome::parse(&whole);
        assert_eq!(read.is_ok(), vector["accept"] == true, "{name}");
        let Ok(answer) = read else { continue };
        let (seed, bits) = answer.puzzle.unwrap_or(([0; 16], 0));
        let verdicts: Vec<u8> = answer.verdicts.iter().map(|v| v.number()).collect();
        let c = answer.counts;
        let fields = json!({
            "outcome": answer.outcome.name().to_uppercase(),
            "state": answer.state.map_or(0, ReportState::number),
            "bits": bits,
            "wait": answer.wait_s,
            "time": answer.time,
            "seed": hex::encode(seed),
            "serial": answer.serial,
            "keys": c.keys, "live": c.live, "embargo": c.embargo, "waiting": c.waiting,
            "withdrawn": c.withdrawn,
            "verdicts": verdicts,
            "receipt": answer.receipt.map(|r| hex::encode(r.receipt)),
            "signatures": answer.receipt.map(|r| hex::encode(r.signatures)),
            "delegation": answer.receipt.map(|r| hex::encode(r.delegation)),
            "delegation_signatures": answer.receipt.map(|r| hex::encode(r.delegation_signatures)),
        });
        assert_eq!(fields, vector["fields"], "{name}");
        let mut written = [0xff; OUTCOME_LEN];
        answer.write(&mut written);
        assert!(ReportOutcome::parse(&written).is_ok_and(|again| again == answer), "{name}");
    }
}

/// The reason of the vectors for an error of ours.
fn reason(error: &ReceiptError) -> &'static str {
    match error {
        ReceiptError::Service { .. } => "service",
        ReceiptError::SetNotTrusted(_) => "set",
        ReceiptError::Epoch { .. } => "epoch",
        ReceiptError::Unsigned(_) => "unsigned",
        ReceiptError::Time { .. } => "time",
        ReceiptError::Superseded { .. } => "superseded",
        _ => "delegation or signature",
    }
}

#[test]
fn receipts_prove_what_the_vectors_say() {
    let document = document();
    let trust = Trust::parse_json(text(&document["trust"])).expect("the trust of the vectors");
    for vector in list(&document["receipts"]) {
        let name = &vector["name"];
        let own = &vector["own"];
        let parts = ["receipt", "signatures", "delegation", "delegation_signatures"];
        let kept = parts.map(|part| bytes(&vector[part])).concat();
        let verdicts: Option<Vec<Verdict>> =
            bytes(&own["verdicts"]).into_iter().map(Verdict::from_number).collect();
        let verified = ReceiptBundle::from_bytes(&kept).map_err(|e| e.to_string()).and_then(|bundle| {
            let r = &bundle.receipt;
            bundle.verify(&trust).map_err(|e| reason(&e).to_owned())?;
            if vector["newest"].is_string() {
                let newest = Delegation::parse(&bytes(&vector["newest"])).expect("a delegation");
                bundle.precedes(&newest).map_err(|e| reason(&e).to_owned())?;
            }
            let same = hex::encode(r.service()) == own["service"]
                && r.set() == number::<u32>(&own["set"])
                && hex::encode(r.report()) == own["report"]
                && r.kind().is_some_and(|kind| kind.number() == number::<u8>(&own["kind"]))
                && hex::encode(r.content()) == own["content"]
                && verdicts.is_some_and(|verdicts| {
                    let accepted = verdicts.iter().filter(|v| **v == Verdict::Accepted).count();
                    usize::from(r.keys()) == accepted && r.verdicts() == verdicts_digest(&verdicts)
                });
            if same { Ok(()) } else { Err("another request".to_owned()) }
        });
        assert_eq!(verified.is_ok(), vector["accept"] == true, "{name}: {verified:?}");
        if vector["reason"] == "superseded" {
            assert_eq!(verified, Err("superseded".to_owned()), "{name}");
        }
    }
}
