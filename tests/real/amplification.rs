//! never-amplify at the exit of the real process: thousands of questions of every kind, each of which gets
//! at most one datagram, and none longer than it may be.

use std::collections::BTreeMap;

use tekd::engine::{Random, Seeded};
use tekd::service::control::ControlRequest;
use tekd::wire::{MAX_DATAGRAM, Operation, ResultCode};

use super::answers::{COOKIE, result_of, u16_at, u64_at};
use super::asker::{Asker, TXID};
use super::imported::import_all;
use super::keys::{fresh_seed, keys};
use super::server::Place;

const QUESTIONS: usize = 24_000;
/// Questions between two that mark an end.
const WINDOW: usize = 40;

struct Dice(Seeded);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes) as usize % limit
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// What questions are made of.
struct Maker {
    dice: Dice,
    service: [u8; 8],
    cookie: u64,
    keys: Vec<tekd::wire::Key>,
    versions: u64,
}

impl Maker {
    /// A frame of any operation and length; most can be read, some cannot. With its transaction id.
    fn question(&mut self, txid: u64) -> Vec<u8> {
        let length = match self.dice.below(8) {
            0 | 1 => 64,
            2 | 3 => MAX_DATAGRAM,
            4 => 64 + self.dice.below(MAX_DATAGRAM - 63),
            _ => 64 + 4 * self.dice.below((MAX_DATAGRAM - 60) / 4),
        };
        let mut frame = vec![0; length];
        // Those that need a stream are refused alike: now and then will do.
        let served = if self.dice.one_in(10) { 10 } else { 7 };
        let operations = &Operation::ALL[..served];
        frame[0] = 0x81;
        frame[1] = operations[self.dice.below(operations.len())] as u8;
        frame[8..16].copy_from_slice(&self.service);
        frame[32] = 1;
        self.fill_body(&mut frame);
        self.disturb(&mut frame);
        frame[4..8].copy_from_slice(&u32::try_from(length).expect("short").to_le_bytes());
        frame[TXID].copy_from_slice(&txid.to_le_bytes());
        let cookie = match self.dice.below(3) {
            0 => self.cookie,
            1 => 0,
            _ => self.cookie ^ 1 << self.dice.below(64),
        };
        frame[COOKIE].copy_from_slice(&cookie.to_le_bytes());
        frame
    }

    /// Arguments and body of the frame's operation, and TLVs in the rest.
    fn fill_body(&mut self, frame: &mut [u8]) {
        let dice = &mut self.dice;
        let max_answer = [0, 1, 64, 100, 600, 1232, 5000, u16::MAX][dice.below(8)];
        frame[36..38].copy_from_slice(&max_answer.to_le_bytes());
        let mut body = 64;
        match Operation::from_u8(frame[1]) {
            Some(Operation::Lookup) => {
                let count = (frame.len() - 64) / 32;
                frame[38] = u8::try_from(count.min(32)).expect("small");
                body += count.min(32) * 32;
                for slot in frame[64..body].chunks_exact_mut(32) {
                    slot[..16].copy_from_slice(self.keys[dice.below(self.keys.len())].as_bytes());
                }
            }
            Some(Operation::Bucket) => {
                frame[39] = u8::try_from(dice.below(10)).expect("small");
                frame[38] = u8::try_from(dice.below(3)).expect("small");
                dice.0.fill(&mut frame[48..64]);
            }
            Some(Operation::Sync) => {
                frame[2] = u8::from(dice.one_in(2));
                let serial = dice.below(self.versions as usize + 2) as u64;
                let version = if serial == 0 { 0 } else { 1 << 32 | serial };
                frame[40..48].copy_from_slice(&version.to_le_bytes());
            }
            Some(Operation::Proof) => {
                frame[38] = u8::from(dice.one_in(2));
                frame[48] = u8::try_from(dice.below(4)).expect("small");
                frame[56] = u8::try_from(dice.below(6)).expect("small");
            }
            Some(Operation::Fetch) if frame.len() >= 96 => body += 32,
            _ => {}
        }
        let rest = frame.len() - body;
        if rest >= 4 {
            let value = u16::try_from(rest - 4).expect("short").to_le_bytes();
            let kinds = [[1, 0], [1, 0], [1, 0], [0x0a, 0x0a], [0x44, 0x03], [0x23, 0x81]];
            let kind = kinds[dice.below(6)];
            frame[body..body + 4].copy_from_slice(&[kind, value].concat());
        }
    }

    /// Now and then something that breaks a rule.
    fn disturb(&mut self, frame: &mut [u8]) {
        let dice = &mut self.dice;
        if dice.one_in(6) {
            let at = [0, 1, 2, 3, 8, 32, 33, 38, 39, 48, 63][dice.below(11)];
            frame[at] ^= 1 << dice.below(8);
        }
        if dice.one_in(20) && frame.len() > 80 {
            dice.0.fill(&mut frame[64..]);
        }
    }
}

/// The longest answer that may come back.
fn allowed(question: &[u8], proved: bool) -> usize {
    let wanted = match u16_at(question, 36..38) {
        0 => MAX_DATAGRAM,
        wanted => usize::from(wanted).clamp(64, MAX_DATAGRAM),
    };
    if proved { wanted } else { wanted.min(question.len()) }
}

#[test]
fn no_question_gets_more_than_it_may() {
    let dir = tempfile::tempdir().expect("a directory");
    let origin = Place::new(dir.path(), "origin").start().without_decoys();
    let some = keys(1, 600);
    for batch in some.chunks(200) {
        import_all(&origin, batch);
        origin.release();
    }
    let service = origin.trust().service;
    let mut asker = Asker::new(origin.udp(), service);
    let info = asker.info();
    let cookie = u64_at(&asker.ask(&info), COOKIE);
    assert_ne!(cookie, 0, "INFO encloses a cookie (spec 1.6.4)");
    let dice = Dice(Seeded::new(fresh_seed("questions")));
    let mut maker = Maker { dice, service, cookie, keys: some, versions: 3 };
    let (mut results, mut longer) = (BTreeMap::new(), 0);
    let mut txid = 0;
    for _ in 0..QUESTIONS / WINDOW {
        let mut open = BTreeMap::new();
        for _ in 0..WINDOW {
            txid += 1;
            let question = maker.question(txid);
            asker.send(&question);
            open.insert(txid, question);
        }
        let mark = asker.info();
        asker.send(&mark);
        loop {
            let answer = asker.receive();
            if answer[TXID] == mark[TXID] {
                break;
            }
            let question =
                open.remove(&u64_at(&answer, TXID)).expect("one answer to a question that was asked");
            let proved = u64_at(&question, COOKIE) == cookie;
            let most = allowed(&question, proved);
            assert!(answer.len() <= most, "{} bytes for {question:02x?}", answer.len());
            assert!((64..0xc0).contains(&answer[0]) && answer[1] & 0x80 != 0, "an answer");
            longer += u64::from(answer.len() > question.len());
            *results.entry(result_of(&answer).name()).or_insert(0u64) += 1;
        }
    }
    println!("{results:?}; {longer} answers to proved sources were longer than their questions");
    for result in [ResultCode::Ok, ResultCode::Truncated, ResultCode::Malformed, ResultCode::Transport] {
        assert!(results.contains_key(result.name()), "{} was among the answers: {results:?}", result.name());
    }
    assert!(longer > 100, "a proved source may get more than it sent");
    let udp = &origin.done(&ControlRequest::Stats {})["udp"];
    assert_eq!(udp["amplify_blocked"], 0, "nothing had to be stopped at the exit");
    assert_eq!(udp["rx_overflow"], 0, "every question arrived");
    origin.stop();
}
