//! A set to ask about, and questions put to its gate with every answer checked on the way.

use tekd::engine::{DEFAULT_PARAMS, Params};
use tekd::release::Schema;
use tekd::wire::layout::SealedQuestion;
use tekd::wire::question::{Bucket, Fetch, Notify, Proof, ProofKind, Sync};
use tekd::wire::{Key, QuestionBuilder, ResultCode};
use zerocopy::FromZeros;

use super::world::{Dice, NOON, PEER, World, day_start, imported, keys_of_day};

/// 16-byte keys; 32-byte keys; no release yet; a set nobody made.
pub(super) const SHORT: u32 = 1;
pub(super) const LONG: u32 = 2;
pub(super) const YOUNG: u32 = 3;
pub(super) const NONE: u32 = 4;

pub(super) struct Fixture {
    pub(super) world: World,
    pub(super) keys: Vec<Key>,
    pub(super) long_keys: Vec<Key>,
}

/// An origin with `n` keys in set 1, three releases, and two more sets.
pub(super) fn fixture(n: usize) -> Fixture {
    let mut world = World::new(NOON, 21);
    let mut dice = Dice::new(21);
    let quiet = Params { decoys: false, min_reports: 1, ..DEFAULT_PARAMS };
    world.create_set(LONG, Params { schema: Schema::Dp3t, ..quiet });
    let long = (0..40).map(|_| imported(dice.key(32), day_start(NOON, 2), 144)).collect::<Vec<_>>();
    world.import(LONG, long.clone());
    let short = keys_of_day(&mut dice, NOON, 2, n);
    world.import(SHORT, short.clone());
    for set in [SHORT, LONG, SHORT, SHORT] {
        world.release(set, true).expect("a release");
        world.pass(10);
        world.import(SHORT, keys_of_day(&mut dice, NOON, 3, 1));
    }
    world.create_set(YOUNG, quiet);
    let keys = |imported: &[tekd::engine::ImportedKey]| imported.iter().map(|k| k.key).collect();
    Fixture { keys: keys(&short), long_keys: keys(&long), world }
}

/// An answer, read at its offsets.
pub(super) struct Got(pub(super) Vec<u8>);

impl Got {
    pub(super) fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.0[at..at + 2].try_into().unwrap())
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    pub(super) fn flags(&self) -> u16 {
        self.u16(2)
    }

    pub(super) fn cookie(&self) -> u64 {
        self.u64(24)
    }

    pub(super) fn result(&self) -> ResultCode {
        ResultCode::from_u16(self.u16(36)).expect("a known result")
    }

    pub(super) fn wait(&self) -> u16 {
        self.u16(38)
    }

    pub(super) fn version(&self) -> u64 {
        self.u64(40)
    }

    pub(super) fn info(&self) -> u32 {
        self.u32(48)
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.0[64..]
    }
}

/// What every answer has in common with its question (spec 1.1.2, 1.3.3, 1.4.1).
pub(super) fn checked(question: &[u8], answer: Vec<u8>) -> Got {
    let got = Got(answer);
    assert_eq!(got.u32(4) as usize, got.0.len());
    assert_eq!(got.0[1], question[1] | 0x80);
    assert_eq!(got.0[8..24], question[8..24], "service and transaction");
    if got.0[0] == 0x81 {
        assert_eq!(got.0[32..36], question[32..36], "set");
        if got.result() != ResultCode::Ok {
            assert_eq!(got.0.len(), 64, "{:?}", got.result());
            let detailed = [ResultCode::Critical, ResultCode::Truncated, ResultCode::Range];
            assert!(got.info() == 0 || detailed.contains(&got.result()));
        }
    }
    got
}

pub(super) type Ask<'a> = &'a dyn Fn(&QuestionBuilder, &mut [u8]) -> usize;

impl Fixture {
    pub(super) fn question(&mut self, set: u32, cookie: u64, pad_to: usize, ask: Ask<'_>) -> Vec<u8> {
        let q = QuestionBuilder { cookie, pad_to, ..self.world.question(set) };
        let mut out = vec![0; 4096];
        let n = ask(&q, &mut out);
        out.truncate(n);
        out
    }

    pub(super) fn udp(&mut self, set: u32, cookie: u64, ask: Ask<'_>) -> Got {
        let question = self.question(set, cookie, 0, ask);
        checked(&question, self.world.udp(&question, PEER).expect("an answer"))
    }

    pub(super) fn tls(&mut self, set: u32, ask: Ask<'_>) -> Got {
        let question = self.question(set, 0, 0, ask);
        checked(&question, self.world.tls(&question).expect("an answer"))
    }

    pub(super) fn cookie(&mut self) -> u64 {
        self.udp(SHORT, 0, &info).cookie()
    }

    pub(super) fn version(&self, set: u32) -> u64 {
        self.world.origin.state().version(self.world.set(set).serial())
    }
}

pub(super) fn info(q: &QuestionBuilder, out: &mut [u8]) -> usize {
    q.info(out).unwrap()
}

pub(super) fn checkpoint(q: &QuestionBuilder, out: &mut [u8]) -> usize {
    q.checkpoint(out).unwrap()
}

pub(super) fn manifest(q: &QuestionBuilder, out: &mut [u8]) -> usize {
    q.manifest(out).unwrap()
}

pub(super) fn sealed(q: &QuestionBuilder, out: &mut [u8]) -> usize {
    q.sealed(&SealedQuestion::new_zeroed(), out).unwrap()
}

pub(super) fn notify(q: &QuestionBuilder, out: &mut [u8]) -> usize {
    q.notify(Notify { version: 1 }, out).unwrap()
}

pub(super) fn lookup(keys: &[Key]) -> impl Fn(&QuestionBuilder, &mut [u8]) -> usize {
    move |q, out| q.lookup(keys, out).unwrap()
}

pub(super) fn sync(version: u64, history: bool) -> impl Fn(&QuestionBuilder, &mut [u8]) -> usize {
    move |q, out| q.sync(Sync { version, history }, out).unwrap()
}

pub(super) fn fetch(
    digest: [u8; 32],
    offset: u32,
    length: u32,
) -> impl Fn(&QuestionBuilder, &mut [u8]) -> usize {
    move |q, out| q.fetch(&Fetch { digest: &digest, offset, length }, out).unwrap()
}

pub(super) fn bucket(prefix: [u8; 16], bits: u8, held: u8) -> impl Fn(&QuestionBuilder, &mut [u8]) -> usize {
    move |q, out| q.bucket(&Bucket { prefix: &prefix, bits, held }, out).unwrap()
}

pub(super) fn proof(
    kind: ProofKind,
    first: u64,
    second: u64,
) -> impl Fn(&QuestionBuilder, &mut [u8]) -> usize {
    move |q, out| q.proof(Proof { kind, first, second }, out).unwrap()
}

pub(super) fn start(key: &Key) -> [u8; 16] {
    key.as_bytes()[..16].try_into().unwrap()
}
