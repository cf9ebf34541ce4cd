//! The phones: they sync, look keys up, ask for buckets, and report; each remembers what it was told.

use tekd::authority::Code;
use tekd::client::{Author, Client, DummyForm, ReportAnswer, ReportDraft, SetClient};
use tekd::release::tree::prefix_of;
use tekd::release::{Checkpoint, Schema};
use tekd::wire::Key;
use tekd::wire::report::{GRANT_CODE, Outcome, SentKey};

use super::carriers::{Target, client};
use super::dice::Dice;
use super::invariant::Invariant;
use super::ledger;
use super::network::Place;
use super::origin::SET;
use super::world::{NODES, Shared, World, lock};

pub(crate) const PHONES: usize = 4;
/// Requests that are remembered to be asked again.
const REMEMBERED: usize = 400;

/// A key of a report, as sent.
#[derive(Debug, Clone)]
struct OwnKey {
    key: Key,
    start: u32,
    period: u32,
    risk: u8,
}

/// What is asked about a report.
#[derive(Debug, Clone)]
enum Request {
    Submit,
    Amend(Vec<OwnKey>),
    Cancel,
}

/// A report in somebody's hands.
#[derive(Debug, Clone)]
struct Own {
    author: Author,
    code: String,
    keys: Vec<OwnKey>,
}

/// A request that was made, and how it was answered last.
#[derive(Debug, Clone)]
struct Made {
    own: Own,
    request: Request,
    outcome: Option<Outcome>,
}

pub(crate) struct Phone {
    number: usize,
    client: Client<'static>,
    target: Target,
    set: SetClient,
    made: Vec<Made>,
    /// A checkpoint seen before, to be proved part of the log.
    older: Option<Checkpoint>,
    /// The newest (version, time) that was held.
    held: (u64, u64),
}

impl Phone {
    pub(crate) fn new(shared: &Shared, number: usize) -> Phone {
        let (seed, trust) = {
            let world = lock(shared);
            (world.seed, world.trust.clone())
        };
        let target = Target::default();
        let client = client(shared, Place::Phone(number), &target, trust.clone(), seed, 0);
        let set = SetClient::new(trust, SET);
        Phone { number, client, target, set, made: Vec::new(), older: None, held: (0, 0) }
    }

    /// It asks another server from now on, or the same.
    fn turn_to(&mut self, dice: &mut Dice) {
        let server = match dice.below(NODES + 1) {
            0 => Place::Origin,
            number => Place::Node(number - 1),
        };
        self.target.set(server);
    }

    pub(crate) fn turn_to_origin(&mut self) {
        self.target.set(Place::Origin);
    }

    /// Brings its set to the newest version of whom it asks. Whether it got an answer.
    pub(crate) fn sync(&mut self, shared: &Shared, dice: Option<&mut Dice>) -> bool {
        if let Some(dice) = dice {
            self.turn_to(dice);
            if dice.one_in(20) {
                self.start_again(shared);
            }
        }
        let synced = self.client.sync(&mut self.set, false);
        let mut world = lock(shared);
        let how = match &synced {
            Ok(report) => {
                if let Some(failed) = &report.delta_failed {
                    Invariant::Deltas.broken(&format!("a delta of an honest server: {failed}"));
                }
                report.mode.name().to_owned()
            }
            Err(e) => World::excuse("sync", e),
        };
        world.counts.ended("sync", &how);
        let (number, from) = (self.number, self.target.get());
        world.tell(format!("phone {number} syncs from {from:?}: {how} {:#x}", self.set.version()));
        let now = self.set.checkpoint().map_or((0, 0), |c| (c.version(), c.time()));
        Invariant::VerifiedBeforeServed.must(now.0 >= self.held.0 && now.1 >= self.held.1, || {
            format!("phone {number} went from {:?} to {now:?}", self.held)
        });
        self.held = now;
        if let (Ok(_), Some(data)) = (&synced, self.set.data()) {
            world.judge.is_full_set(data);
        }
        synced.is_ok()
    }

    /// The phone restarts: it goes on with what it kept.
    fn start_again(&mut self, shared: &Shared) {
        let trust = lock(shared).trust.clone();
        let kept = SetClient::from_bytes(trust, SET, &self.set.to_bytes()).expect("what it kept itself");
        assert_eq!(kept, self.set);
        self.set = kept;
    }

    pub(crate) fn version(&self) -> u64 {
        self.set.version()
    }

    fn some_keys(&self, shared: &Shared, dice: &mut Dice) -> (Schema, Vec<Key>) {
        let world = lock(shared);
        let schema = world.judge.model.schema();
        let claimed = world.judge.model.claimed();
        let mut keys: Vec<Key> = (0..2).map(|_| any_key(schema, dice)).collect();
        if !claimed.is_empty() {
            keys.extend((0..6).map(|_| dice.pick(&claimed)));
        }
        (schema, keys)
    }

    /// LOOKUP: what is said of each key is so at the version that is named.
    pub(crate) fn lookup(&mut self, shared: &Shared, dice: &mut Dice) {
        self.turn_to(dice);
        let (schema, keys) = self.some_keys(shared, dice);
        let looked_up = self.client.lookup(&keys);
        let mut world = lock(shared);
        let how = match looked_up {
            Err(e) => World::excuse("lookup", &e),
            Ok(report) => {
                let made = world.judge.release(report.version).expect("a version that was released");
                for (key, fields) in keys.iter().zip(&report.keys) {
                    let entries = made.live.chunks_exact(schema.public_len());
                    let mut of_key = entries.filter(|entry| entry.starts_with(key.as_bytes()));
                    let live = of_key.next().map(|entry| &entry[schema.key_len()..]);
                    let live = live.map(|fields| schema.read_fields(fields).expect("fields of the model"));
                    Invariant::OneRelease.must(live == *fields, || {
                        format!("{key:?} is {fields:?} in version {:#x}, not {live:?}", report.version)
                    });
                }
                "done".to_owned()
            }
        };
        world.counts.ended("lookup", &how);
    }

    /// BUCKET: proved under a checkpoint, and all that is there.
    pub(crate) fn bucket(&mut self, shared: &Shared, dice: &mut Dice) {
        self.turn_to(dice);
        let prefix: [u8; 16] = dice.bytes();
        let (schema, bits) = {
            let world = lock(shared);
            let live = world.judge.model.newest().map_or(0, |made| made.live.len());
            let schema = world.judge.model.schema();
            let depth = tekd::release::tree::depth((live / schema.public_len()) as u64);
            (schema, dice.below(usize::from(depth) + 1) as u8)
        };
        let asked = self.client.bucket(&prefix, bits);
        let mut world = lock(shared);
        let how = match asked {
            Err(e) => World::excuse("bucket", &e),
            Ok(report) => {
                let made = world.judge.release(report.checkpoint.version());
                let made = made.expect("a version that was released");
                let number = prefix_of(&prefix, bits);
                let entries = made.live.chunks_exact(schema.public_len());
                let there: Vec<&[u8]> = entries.filter(|e| prefix_of(e, bits) == number).collect();
                let same = there.len() == report.keys.len()
                    && there.iter().zip(&report.keys).all(|(e, (key, _))| e.starts_with(key.as_bytes()));
                Invariant::OneRelease.must(same, || format!("a bucket of {bits} bits has other keys"));
                "done".to_owned()
            }
        };
        world.counts.ended("bucket", &how);
    }

    /// PROOF: a checkpoint seen before is part of the log.
    pub(crate) fn prove(&mut self, shared: &Shared, dice: &mut Dice) {
        self.turn_to(dice);
        let proved = match self.older.take() {
            Some(older) if older.log_size() > 0 => self.client.prove_consistency(&older),
            _ => self.client.checkpoint(),
        };
        let mut world = lock(shared);
        let how = match proved {
            Ok(checkpoint) => {
                self.older = Some(checkpoint);
                "done".to_owned()
            }
            // A node that lags behind has no proof about what it does not know.
            Err(e) => World::excuse("proof", &e),
        };
        world.counts.ended("proof", &how);
    }

    /// A new report with this code.
    pub(crate) fn submit(&mut self, shared: &Shared, code: Code, dice: &mut Dice) {
        let most = if dice.one_in(8) { 14 } else { 5 };
        let keys = some_own_keys(shared, most, dice);
        let author = Author::new(&mut |out: &mut [u8]| dice.fill(out));
        let own = Own { author, code: code.to_text(), keys };
        self.make(shared, Made { own, request: Request::Submit, outcome: None }, dice);
    }

    fn any_made(&self, dice: &mut Dice) -> Option<Made> {
        (!self.made.is_empty()).then(|| self.made[dice.below(self.made.len())].clone())
    }

    pub(crate) fn amend(&mut self, shared: &Shared, dice: &mut Dice) {
        let Some(Made { own, .. }) = self.any_made(dice) else { return };
        let keys = some_own_keys(shared, 2, dice);
        self.make(shared, Made { own, request: Request::Amend(keys), outcome: None }, dice);
    }

    pub(crate) fn cancel(&mut self, shared: &Shared, dice: &mut Dice) {
        let Some(Made { own, .. }) = self.any_made(dice) else { return };
        self.make(shared, Made { own, request: Request::Cancel, outcome: None }, dice);
    }

    /// Somebody else tries the code of a report.
    pub(crate) fn steal(&mut self, shared: &Shared, dice: &mut Dice) {
        let Some(Made { own, .. }) = self.any_made(dice) else { return };
        let author = Author::new(&mut |out: &mut [u8]| dice.fill(out));
        let keys = some_own_keys(shared, 3, dice);
        let own = Own { author, keys, ..own };
        self.make(shared, Made { own, request: Request::Submit, outcome: None }, dice);
    }

    /// The answer was lost, or is asked for once more.
    pub(crate) fn repeat(&mut self, shared: &Shared, dice: &mut Dice) {
        if self.made.is_empty() {
            return;
        }
        let at = dice.below(self.made.len());
        let made = self.made.remove(at);
        self.make(shared, made, dice);
    }

    fn make(&mut self, shared: &Shared, made: Made, dice: &mut Dice) {
        self.turn_to(dice);
        self.ask(shared, made);
    }

    fn ask(&mut self, shared: &Shared, mut made: Made) {
        let now = lock(shared).now_ms / 1000;
        let Own { author, code, .. } = &made.own;
        let (what, asked) = match &made.request {
            Request::Submit => {
                let keys: Vec<SentKey<'_>> = made.own.keys.iter().map(sent).collect();
                let grant = Some((GRANT_CODE, code.as_bytes()));
                let draft = ReportDraft { grant, keys: &keys, ..ReportDraft::default() };
                ("submit", self.client.submit(now, author, &draft))
            }
            Request::Amend(keys) => {
                let keys: Vec<SentKey<'_>> = keys.iter().map(sent).collect();
                let draft = ReportDraft { keys: &keys, ..ReportDraft::default() };
                ("amend", self.client.amend(now, author, &draft))
            }
            Request::Cancel => ("cancel", self.client.cancel(now, author)),
        };
        let mut guard = lock(shared);
        let world = &mut *guard;
        let how = match asked {
            Ok(answer) => judged(world, &mut made, &answer),
            Err(e) => World::excuse(what, &e),
        };
        world.counts.ended(what, &how);
        let (number, by) = (self.number, self.target.get());
        world.tell(format!("phone {number}: {what} by {by:?}: {how}"));
        self.made.push(made);
        if self.made.len() > REMEMBERED {
            self.made.remove(0);
        }
    }

    pub(crate) fn status(&mut self, shared: &Shared, dice: &mut Dice) {
        let Some(Made { own, .. }) = self.any_made(dice) else { return };
        self.turn_to(dice);
        let now = lock(shared).now_ms / 1000;
        let asked = self.client.report_status(now, &own.author);
        let mut world = lock(shared);
        let how = match asked {
            Ok(answer) => {
                let known = world.judge.submitted.contains_key(&own.author.report);
                let lost = known && answer.outcome == Outcome::Report;
                Invariant::DurableBeforeReceipt
                    .must(!lost, || "a report with a receipt is not known".to_owned());
                answer.outcome.name().to_owned()
            }
            Err(e) => World::excuse("status", &e),
        };
        world.counts.ended("status", &how);
    }

    pub(crate) fn dummy(&mut self, shared: &Shared, dice: &mut Dice) {
        self.turn_to(dice);
        let (now, key_len) = {
            let world = lock(shared);
            (world.now_ms / 1000, world.judge.model.schema().key_len())
        };
        let code = Code::from_first_bits(dice.bytes()).to_text();
        let form = DummyForm { grant: (GRANT_CODE, code.as_bytes()), keys: 5, key_len };
        let asked = self.client.dummy(now, &form);
        let mut world = lock(shared);
        let how = match asked {
            Ok(answer) => answer.outcome.name().to_owned(),
            Err(e) => World::excuse("dummy", &e),
        };
        world.counts.ended("dummy", &how);
    }

    /// Everything that was asked and whose end is not known is asked again, until it is answered.
    pub(crate) fn settle(&mut self, shared: &Shared) {
        self.turn_to_origin();
        for made in std::mem::take(&mut self.made) {
            self.ask(shared, made);
            let outcome = self.made.last().and_then(|made| made.outcome);
            let settled = outcome.is_some_and(|outcome| outcome != Outcome::Busy);
            Invariant::Liveness.must(settled, || format!("a request ends as {outcome:?} in calm"));
        }
    }

    /// What nobody but the origin may know: ids, secrets, codes.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.made.iter().flat_map(|made| {
            let Own { author, code, .. } = &made.own;
            [author.report.to_vec(), author.secret.to_vec(), code.as_bytes().to_vec()]
        })
    }
}

/// Looks at an answer that came; what to call it.
fn judged(world: &mut World, made: &mut Made, answer: &ReportAnswer) -> String {
    let ledger = std::sync::Arc::clone(&world.origin.ledger);
    world.judge.is_told(&ledger::open(&ledger), &made.own.author, answer);
    let (before, now) = (made.outcome, answer.outcome);
    Invariant::OneReceipt
        .must(before != Some(Outcome::Done) || [Outcome::Done, Outcome::Busy].contains(&now), || {
            format!("what was done is answered by {now:?}")
        });
    if before != Some(Outcome::Done) {
        made.outcome = Some(now);
    }
    now.name().to_owned()
}

fn sent(own: &OwnKey) -> SentKey<'_> {
    SentKey { key: own.key.as_bytes(), start: own.start, period: own.period, risk: own.risk }
}

fn any_key(schema: Schema, dice: &mut Dice) -> Key {
    let mut bytes = [0; 32];
    dice.fill(&mut bytes);
    Key::from_slice(&bytes[..schema.key_len()]).expect("16 or 32 bytes")
}

/// Keys of the last days, most of whole days, some of today; now and then one that somebody reported.
fn some_own_keys(shared: &Shared, most: usize, dice: &mut Dice) -> Vec<OwnKey> {
    let world = lock(shared);
    let now = u32::try_from(world.now_ms / 600_000).expect("this century");
    let schema = world.judge.model.schema();
    let days = usize::from(world.judge.model.params.retention_days) + 1;
    let claimed = world.judge.model.claimed();
    let own = |dice: &mut Dice| {
        let day = now / 144 * 144 - 144 * (1 + dice.below(days) as u32);
        let (start, period) = match dice.below(4) {
            0 => (now - dice.below(100) as u32, 1 + dice.below(60) as u32),
            _ => (day, 144),
        };
        let again = !claimed.is_empty() && dice.one_in(30);
        let key = if again { dice.pick(&claimed) } else { any_key(schema, dice) };
        OwnKey { key, start, period, risk: dice.below(9) as u8 }
    };
    (0..1 + dice.below(most)).map(|_| own(dice)).collect()
}
