//! Whether the time to an answer tells a report from a dummy, in real time: by hand, for nothing of a test
//! should depend on what else a machine does.
//!
//! `cargo bench --bench alike [-- --each N] [--rate R]`. A desk before a real writer on a directory of its
//! own gets N reports and N dummies in pairs, each pair in an order of its own, at half of what a burst
//! showed it to manage. Printed are what both took, the chance with which a classifier by time puts a
//! report above a dummy (AUC; 0.5 is none, σ is that of chance), and missed deadlines. Under `cargo test`
//! it runs once with
//! 50 of each, and only sizes, outcomes and that no answer was early are checked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tekd::authority::Code;
use tekd::authority::seal::{AnswerKey, associated_data, seal};
use tekd::engine::{
    ANSWER_AFTER_MS, CodeOrder, Input, Random, Reply, SEALED_FRAME, Seeded, TakeSealed, View,
};
use tekd::node::{Clock, Desk, Origin, OriginHandle, OriginOptions, SystemClock, SystemRandom, TableStore};
use tekd::store::{Disk, MemoryMode, Published, RealDisk};
use tekd::time::interval_of;
use tekd::wire::layout::{SealedAnswer, SealedQuestion};
use tekd::wire::outcome::ReportOutcome;
use tekd::wire::report::{GRANT_CODE, Outcome, ReportType, RequestKind, SentKey};
use tekd::wire::request::{REQUEST_LEN, Request};
use tekd::wire::{FIRST_BYTE, HEADER_LEN, Question, QuestionBuilder, ServiceId};
use zerocopy::FromBytes;

const SET: u32 = 1;
/// Keys of a report, one a day.
const KEYS: u32 = 13;
/// Pairs of the burst that tells the greatest load; all of them fit the desk's queue.
const BURST: usize = 200;
/// Between two looks at a counter.
const LOOK: Duration = Duration::from_micros(200);

/// What the command line says.
struct Wanted {
    each: usize,
    /// Questions a second; none: half of what the burst shows.
    rate: Option<f64>,
    smoke: bool,
}

impl Wanted {
    fn read() -> Self {
        let (mut each, mut rate, mut smoke) = (None, None, true);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|text| text.parse::<f64>().ok()).filter(|n| *n >= 1.0);
            match word.as_str() {
                "--bench" => smoke = false,
                "--test" | "--nocapture" | "--quiet" => {}
                "--each" => each = number().map(|n| n as usize),
                "--rate" => rate = number(),
                other => {
                    eprintln!(
                        "{other}? Give nothing, --each N reports and dummies, --rate R questions a second"
                    );
                    std::process::exit(2);
                }
            }
        }
        Wanted { each: each.unwrap_or(if smoke { 50 } else { 10_000 }), rate, smoke }
    }
}

/// A sealed question.
struct Asked {
    frame: Vec<u8>,
    asker: AnswerKey,
    is_report: bool,
}

/// An origin on its threads, and a desk before it.
struct Place {
    clock: Arc<dyn Clock>,
    origin: Arc<OriginHandle>,
    desk: Desk,
    codes: Vec<Code>,
    service: ServiceId,
    public: [u8; 32],
}

impl Place {
    fn new(dir: &std::path::Path, codes: u32) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let dir = dir.join("origin");
        disk.create_dir(&dir).expect("a directory");
        let options = OriginOptions { disk: Arc::clone(&disk), dir: dir.clone(), segment_bytes: 64 << 20 };
        let origin = Origin::open(options, clock.now(), Box::new(SystemRandom)).expect("a new origin");
        let service = origin.identity().service_id;
        let view = Arc::new(Published::new(Arc::new(View::empty(service, 1))));
        let store = TableStore { disk, dir: Some(dir), mode: MemoryMode::Copy };
        let origin = OriginHandle::start(origin, store, view, Arc::clone(&clock)).expect("it starts");
        let origin = Arc::new(origin);
        let clinic = Input::AddProvider { name: "clinic".to_owned(), issuer: None, key: None };
        origin.ask(clinic).expect("there is room");
        let (report_type, onset_day, lifetime_s) = (ReportType::Confirmed, None, 86_400);
        let order = CodeOrder { provider: 1, set: SET, count: codes, report_type, onset_day, lifetime_s };
        let issued = origin.ask(Input::IssueCodes(order)).expect("there is room");
        let Reply::Codes(issued) = issued else { panic!("codes are answered with codes") };
        let public = origin.look(|origin| origin.state().seal_keys()[0].public).expect("it runs");
        let desk = Desk::start(&origin, Arc::clone(&clock)).expect("threads");
        Place { clock, origin, desk, codes: issued.codes, service, public }
    }

    /// A report, or a dummy of its form.
    fn question(&self, is_report: bool, code: Code) -> Asked {
        let random = |out: &mut [u8]| SystemRandom.fill(out);
        let drawn: Vec<[u8; 16]> = (0..KEYS).map(|_| draw()).collect();
        let today = interval_of(self.clock.now().unix) / 144 * 144;
        let keys: Vec<SentKey<'_>> = (1..)
            .zip(&drawn)
            .map(|(ago, key)| SentKey { key, start: today - 144 * ago, period: 144, risk: 1 })
            .collect();
        let text = code.to_text();
        let kind = if is_report { RequestKind::Submit } else { RequestKind::Dummy };
        let about = Request::about(kind, draw(), draw());
        let request = Request { keys: &keys, grant: Some((GRANT_CODE, text.as_bytes())), ..about };
        let mut inside = [0; REQUEST_LEN];
        request.write(&mut inside).expect("a request");
        let associated = associated_data(FIRST_BYTE, &self.service, SET);
        let (question, asker) = seal(&self.public, &associated, &inside, random).expect("a seal key");
        let mut frame = vec![0; SEALED_FRAME];
        QuestionBuilder::new(self.service, SET, 7).sealed(&question, &mut frame).expect("it has room");
        Asked { frame, asker, is_report }
    }

    /// Pairs of a report and a dummy, each pair in an order of its own. A dummy's code is one that nobody
    /// has.
    fn pairs(&mut self, pairs: usize, dice: &mut Seeded) -> Vec<Asked> {
        let mut asked = Vec::with_capacity(2 * pairs);
        for _ in 0..pairs {
            let code = self.codes.pop().expect("enough were issued");
            let pair = [self.question(true, code), self.question(false, Code::from_first_bits(draw()))];
            asked.extend(pair);
            if dice.below(2) == 0 {
                let last = asked.len() - 1;
                asked.swap(last, last - 1);
            }
        }
        asked
    }

    fn take(&self, asked: &Asked) -> tokio::sync::oneshot::Receiver<Vec<u8>> {
        let (header, body) = Question::ref_from_prefix(&asked.frame).expect("a frame");
        let body = SealedQuestion::ref_from_bytes(body).expect("of SEALED");
        let ticket = self.desk.take(self.clock.now(), header, body).expect("there is room at half load");
        self.desk.later(ticket)
    }

    /// Questions that were decided.
    fn decided(&self) -> u64 {
        self.desk.counts().outcomes.iter().map(|(_, count)| count).sum()
    }

    /// Questions a second that are decided when many come at once.
    fn capacity(&mut self, dice: &mut Seeded) -> f64 {
        let burst = self.pairs(BURST, dice);
        let (before, start) = (self.decided(), Instant::now());
        let answers: Vec<_> = burst.iter().map(|asked| self.take(asked)).collect();
        while self.decided() < before + burst.len() as u64 {
            std::thread::sleep(LOOK);
        }
        let rate = burst.len() as f64 / start.elapsed().as_secs_f64();
        answers.into_iter().for_each(|answer| drop(answer.blocking_recv().expect("an answer")));
        rate
    }

    /// Asks all of it, so many a second; returns what each answer took, in milliseconds.
    fn times(&self, asked: &[Asked], rate: f64) -> Vec<f64> {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let collector = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let mut waiting = Vec::new();
                while let Some((start, answer)) = receiver.recv().await {
                    let answer: tokio::sync::oneshot::Receiver<Vec<u8>> = answer;
                    let start: Instant = start;
                    waiting.push(tokio::spawn(async move {
                        let frame = answer.await.expect("an answer");
                        (start.elapsed(), frame)
                    }));
                }
                let mut answers = Vec::with_capacity(waiting.len());
                for one in waiting {
                    answers.push(one.await.expect("no panic"));
                }
                answers
            })
        });
        let began = Instant::now();
        for (at, question) in asked.iter().enumerate() {
            let due = began + Duration::from_secs_f64(at as f64 / rate);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            sender.send((Instant::now(), self.take(question))).expect("the collector waits");
        }
        drop(sender);
        let answers = collector.join().expect("no panic");
        let took = asked.iter().zip(answers).map(|(question, (took, frame))| {
            assert!(took.as_millis() + 1 >= u128::from(ANSWER_AFTER_MS), "an answer after {took:?}");
            assert_eq!(outcome(question, &frame), Outcome::Done);
            took.as_secs_f64() * 1e3
        });
        took.collect()
    }
}

fn draw<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    SystemRandom.fill(&mut out);
    out
}

fn outcome(question: &Asked, frame: &[u8]) -> Outcome {
    assert_eq!(frame.len(), SEALED_FRAME, "every answer has one size");
    let sealed = SealedAnswer::ref_from_bytes(&frame[HEADER_LEN..]).expect("of SEALED");
    let inside = question.asker.open_answer(sealed).expect("it opens");
    ReportOutcome::parse(&inside).expect("it can be read").outcome
}

/// The chance that a report scores above a dummy, ties by half, and its σ if there is nothing to tell.
fn auc(asked: &[Asked], scores: &[f64]) -> (f64, f64) {
    let mut ranked: Vec<(f64, bool)> =
        scores.iter().copied().zip(asked.iter().map(|a| a.is_report)).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let reports = asked.iter().filter(|a| a.is_report).count() as f64;
    let dummies = asked.len() as f64 - reports;
    let (mut ranks, mut below) = (0.0, 0.0);
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        let rank = below + (tied.len() as f64 + 1.0) / 2.0;
        ranks += rank * tied.iter().filter(|(_, is_report)| *is_report).count() as f64;
        below += tied.len() as f64;
    }
    let above = ranks - reports * (reports + 1.0) / 2.0;
    (above / (reports * dummies), ((reports + dummies + 1.0) / (12.0 * reports * dummies)).sqrt())
}

/// Least, quantiles and most of some times.
fn spread(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{what:<8} {:9.3} {:9.3} {:9.3} {:9.3} {:9.3}", at(0.0), at(0.5), at(0.99), at(0.999), at(1.0));
}

fn main() {
    let wanted = Wanted::read();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let codes = u32::try_from(wanted.each + BURST).expect("so many codes");
    let (mut place, mut dice) = (Place::new(dir.path(), codes), Seeded::new(1));
    let capacity = place.capacity(&mut dice);
    let rate = wanted.rate.unwrap_or(capacity / 2.0);
    println!("{} reports and {} dummies, {rate:.0} a second of {capacity:.0}", wanted.each, wanted.each);
    let asked = place.pairs(wanted.each, &mut dice);
    let before = place.desk.counts().deadlines;
    let times = place.times(&asked, rate);
    let after = place.desk.counts().deadlines;

    println!("{:<8} {:>9} {:>9} {:>9} {:>9} {:>9}  ms", "", "least", "median", "99 %", "99.9 %", "most");
    for (what, of) in [("reports", true), ("dummies", false)] {
        let of_kind = asked.iter().zip(&times).filter(|(a, _)| a.is_report == of);
        spread(what, of_kind.map(|(_, time)| *time).collect());
    }
    let mut sorted = times.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let apart: Vec<f64> = times.iter().map(|time| (time - median).abs()).collect();
    for (what, scores) in [("time", &times), ("distance from the median", &apart)] {
        let (auc, sigma) = auc(&asked, scores);
        println!("AUC by {what}: {auc:.4}, σ {sigma:.4}, {:+.1} σ from chance", (auc - 0.5) / sigma);
    }
    println!("deadlines missed: {} of {}", after.missed - before.missed, after.all - before.all);
    let stored = place.origin.look(|origin| origin.state().set(SET).map(|set| set.reports().count()));
    assert_eq!(stored.expect("it runs"), Some(wanted.each + BURST), "every report was stored, and no dummy");
    if wanted.smoke {
        println!("a smoke test: the times mean nothing");
    }
    place.desk.stop();
    place.origin.stop();
}
