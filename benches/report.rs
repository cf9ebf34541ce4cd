//! What a report costs on one core: opened, judged, made durable, receipted, sealed back; beside the
//! public-key operations it cannot do without.
//!
//! `cargo bench --bench report [-- --keys N]`: N keys in reports of 14. Groups of 256 reports are one write
//! and one sync each, as a busy writer forms them; the directory is a temporary one of the disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tekd::authority::Keyring;
use tekd::authority::seal::{SealSecret, associated_data, open, seal};
use tekd::engine::{
    CodeOrder, Input, Moment, OpeningKeys, Random, Reply, SealRing, Seeded, Ticket, open_sealed,
    sealed_answer,
};
use tekd::node::{Origin, OriginOptions, SystemRandom};
use tekd::release::{Receipt, ReceiptFields, SigningKey};
use tekd::store::{Disk, MemoryDisk, RealDisk};
use tekd::wire::layout::SealedQuestion;
use tekd::wire::outcome::OUTCOME_LEN;
use tekd::wire::report::{Durability, GRANT_CODE, Outcome, ReportType, RequestKind, SentKey};
use tekd::wire::request::{REQUEST_LEN, Request};
use tekd::wire::{Body, Parsed, QuestionBuilder, parse};

const SET: u32 = 1;
const NOW: u64 = 1_790_337_600;
const KEYS_PER_REPORT: usize = 14;
const GROUP: usize = 256;

/// An origin, its keys for openers, and frames that report to it.
struct Bench {
    origin: Origin,
    keys: OpeningKeys,
    frames: Vec<Vec<u8>>,
}

fn moment() -> Moment {
    Moment { unix: NOW, monotonic_ms: 1000 }
}

fn founded(disk: Arc<dyn Disk>, dir: &Path, mirror: Option<&Path>, reports: u32) -> Bench {
    let options = OriginOptions { disk, dir: dir.to_path_buf(), segment_bytes: 64 << 20 };
    let random = Box::new(Seeded::new(1));
    let mut origin = Origin::open_mirrored(options, mirror, moment(), random).expect("an empty directory");
    let provider = Input::AddProvider { name: "bench".to_owned(), issuer: None, key: None };
    let order = CodeOrder {
        provider: 1,
        set: SET,
        count: reports,
        report_type: ReportType::Confirmed,
        onset_day: None,
        lifetime_s: 86_400,
    };
    let inputs = vec![(Ticket(1), provider), (Ticket(2), Input::IssueCodes(order))];
    let replies = origin.step(moment(), inputs).expect("the disk is well").replies;
    let codes = replies.into_iter().find_map(|(_, reply)| match reply {
        Ok(Reply::Codes(issued)) => Some(issued.codes),
        _ => None,
    });
    let (id, public) = (origin.state().seal_keys()[0].id, origin.state().seal_keys()[0].public);
    let secret = origin.seal_secret(id).expect("the key was just made");
    let keys = OpeningKeys {
        service: origin.identity().service_id,
        ring: SealRing::new(Vec::from_iter(secret), origin.state().seal_keys()),
        providers: Keyring::of(origin.state().registry()),
    };
    let frames = codes.expect("codes were issued");
    let frames = frames.iter().map(|code| frame(&keys.service, &public, code.to_text().as_bytes())).collect();
    Bench { origin, keys, frames }
}

/// A sealed report of 14 fresh keys under a code.
fn frame(service: &[u8; 8], public: &[u8; 32], code: &[u8]) -> Vec<u8> {
    let mut random = SystemRandom;
    let mut bytes = [[0; 16]; KEYS_PER_REPORT];
    bytes.iter_mut().for_each(|key| random.fill(key));
    let today = u32::try_from(NOW / 86_400 * 144).expect("this century");
    let sent = |(at, key): (usize, &'_ [u8; 16])| (today - 144 * (at as u32 + 2), *key);
    let days: Vec<(u32, [u8; 16])> = bytes.iter().enumerate().map(sent).collect();
    let keys: Vec<SentKey<'_>> =
        days.iter().map(|(start, key)| SentKey { key, start: *start, period: 144, risk: 1 }).collect();
    let (mut report, mut hash) = ([0; 16], [0; 32]);
    random.fill(&mut report);
    random.fill(&mut hash);
    let about = Request::about(RequestKind::Submit, report, hash);
    let mut request = [0; REQUEST_LEN];
    Request { keys: &keys, grant: Some((GRANT_CODE, code)), ..about }.write(&mut request).expect("a request");
    let associated = associated_data(0x81, service, SET);
    let (question, _) = seal(public, &associated, &request, |out| random.fill(out)).expect("a good key");
    let mut frame = vec![0; 4096];
    QuestionBuilder::new(*service, SET, 7).sealed(&question, &mut frame).expect("4096 bytes");
    frame
}

/// Everything that happens to the reports, group by group; how long it took, in seconds.
fn confirm(bench: &mut Bench) -> f64 {
    let start = Instant::now();
    let mut done = 0;
    for group in bench.frames.chunks(GROUP) {
        let (mut inputs, mut waiting) = (Vec::new(), Vec::new());
        for (at, frame) in group.iter().enumerate() {
            let Parsed::Question(header, Body::Sealed(question)) = parse(frame, &bench.keys.service, true)
            else {
                panic!("a sealed question");
            };
            let opened = open_sealed(&bench.keys, header, question).expect("sealed to this origin");
            let request = opened.request.expect("a request");
            inputs.push((Ticket(at as u64 + 1), Input::Report(Box::new(request))));
            waiting.push((header, opened.answer_key));
        }
        let committed = bench.origin.step(moment(), inputs).expect("the disk is well");
        for (ticket, reply) in committed.replies {
            let Ok(Reply::Report(reply)) = reply else { panic!("a report is answered") };
            let (header, key) = &waiting[ticket.0 as usize - 1];
            let mut nonce = [0; 32];
            SystemRandom.fill(&mut nonce);
            std::hint::black_box(sealed_answer(header, key, nonce, &reply));
            done += usize::from(reply.outcome == Outcome::Done);
        }
    }
    assert_eq!(done, bench.frames.len(), "every report is confirmed");
    start.elapsed().as_secs_f64()
}

/// The public-key operations of as many reports and nothing else: open, sign, seal back.
fn bare(bench: &Bench) -> f64 {
    let secret = SealSecret::from_bytes(&[7; 32]);
    let signer = SigningKey::from_secret([8; 32]);
    let associated = associated_data(0x81, &bench.keys.service, SET);
    let public = secret.public();
    let mut random = SystemRandom;
    let questions: Vec<SealedQuestion> = bench
        .frames
        .iter()
        .map(|_| seal(&public, &associated, &[0; REQUEST_LEN], |out| random.fill(out)).expect("a good key").0)
        .collect();
    let start = Instant::now();
    for question in &questions {
        let (request, key) = open(&secret, &associated, question).expect("just sealed");
        std::hint::black_box(receipt(&request).sign(&signer));
        std::hint::black_box(key.seal_answer([9; 32], &[0; OUTCOME_LEN]));
    }
    start.elapsed().as_secs_f64()
}

/// A receipt of something.
fn receipt(request: &[u8; REQUEST_LEN]) -> Receipt {
    Receipt::new(&ReceiptFields {
        service: *b"benching",
        set: SET,
        incarnation: 1,
        report: [1; 16],
        sequence: 1,
        time: NOW,
        durability: Durability::Disk,
        kind: RequestKind::Submit,
        keys: 14,
        key_epoch: 1,
        content: *request.first_chunk().expect("2848 bytes"),
        verdicts: [0; 32],
    })
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let smoke = !words.iter().any(|word| word == "--bench");
    let keys = words.iter().position(|word| word == "--keys").and_then(|at| words.get(at + 1)?.parse().ok());
    let keys: usize = keys.unwrap_or(if smoke { 20 * KEYS_PER_REPORT } else { 5_000 * KEYS_PER_REPORT });
    let reports = u32::try_from(keys.div_ceil(KEYS_PER_REPORT)).expect("a bounded number");
    println!("{reports} reports of {KEYS_PER_REPORT} keys{}", if smoke { ", a smoke test" } else { "" });
    let rounds = if smoke { 1 } else { 5 };
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..rounds {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (other, mirror) = (tempfile::tempdir().expect("another"), tempfile::tempdir().expect("a third"));
        let mut real = founded(Arc::new(RealDisk), dir.path(), None, reports);
        let mut both = founded(Arc::new(RealDisk), other.path(), Some(mirror.path()), reports);
        let mut memory = founded(Arc::new(MemoryDisk::new()), Path::new("/bench"), None, reports);
        let seconds = [bare(&real), confirm(&mut memory), confirm(&mut real), confirm(&mut both)];
        for (rates, seconds) in rates.iter_mut().zip(seconds) {
            rates.push(f64::from(reports) / seconds);
        }
    }
    let names = [
        "public-key operations alone",
        "reports confirmed, no disk",
        "reports confirmed, synced",
        "the same with a mirror beside it",
    ];
    for (name, rates) in names.iter().zip(&mut rates) {
        rates.sort_by(f64::total_cmp);
        let (least, most) = (rates[0], rates[rounds - 1]);
        println!("{name:<32} {:>9.0} a second ({least:.0}–{most:.0})", rates[rounds / 2]);
    }
    println!("ratio to the operations alone: {:.2}", rates[2][rounds / 2] / rates[0][rounds / 2]);
}
