//! Random histories against the naive model, and everything again from event one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tekd::engine::{
    ImportedKey, Input, Params, ParamsChange, Rebuild, Rebuilt, Recompute, Reply, ReportRequest,
};
use tekd::node::{first_state, set_path};
use tekd::release::{Fields, ONSET_NONE, Schema};
use tekd::store::Disk;
use tekd::wire::Key;
use tekd::wire::outcome::ReceiptBytes;

use super::checks::Watcher;
use super::naive::Naive;
use super::phone::Phone;
use super::world::{DIR, Dice, NOON, World, event, seed};

pub(super) const SET: u32 = 2;
/// Operations of all histories, and of one.
const OPERATIONS: usize = 20_000;
const PER_HISTORY: usize = 400;
/// Keys that a history knows, so that they meet again.
const POOL: usize = 60;

pub(super) struct History {
    pub(super) world: World,
    pub(super) model: Naive,
    watcher: Watcher,
    pub(super) dice: Dice,
    pool: Vec<Key>,
    /// Everything phones asked that could be asked again, and what they keep for it.
    pub(super) asked: Vec<(Phone, ReportRequest)>,
    /// The receipt of each request that was stored, as it was told first, by the request's content.
    pub(super) receipts: BTreeMap<[u8; 32], ReceiptBytes>,
    /// Events of operators that took claims back.
    pub(super) taken: Vec<u64>,
    /// How often each thing happened.
    pub(super) counts: BTreeMap<String, usize>,
    /// Records the model has seen.
    seen: u64,
}

/// How often each thing happens at least, whatever the seed.
const FLOORS: [(&str, usize); 61] = [
    ("submit done", 350),
    ("submit nothing", 25),
    ("submit unknown", 100),
    ("submit expired", 100),
    ("submit spent", 60),
    ("submit revoked", 60),
    ("submit suspended", 15),
    ("submit set", 60),
    ("submit type", 35),
    ("submit early", 15),
    ("submit mistyped", 7),
    ("spent spent", 50),
    ("amend done", 100),
    ("amend late", 15),
    ("amend nothing", 6),
    ("amend report", 60),
    ("amend revoked", 5),
    ("amend suspended", 1),
    ("amend withdrawn", 35),
    ("change to confirmed", 20),
    ("change to likely", 2),
    ("change to negative", 4),
    ("change change", 7),
    ("change spent", 7),
    ("change withdrawn", 35),
    ("cancel done", 100),
    ("cancel report", 50),
    ("cancel withdrawn", 15),
    ("status done", 50),
    ("status report", 30),
    ("repeat done", 75),
    ("other content conflict", 6),
    ("dummy done", 40),
    ("withdraw key done", 150),
    ("withdraw report done", 70),
    ("withdraw batch done", 4),
    ("withdraw provider done", 15),
    ("withdraw after done", 12),
    ("reinstate done", 50),
    ("reinstate nothing", 75),
    ("revoke since done", 7),
    ("stand done", 35),
    ("revoke batch done", 25),
    ("revoke batch retroactively done", 25),
    ("provider key added", 7),
    ("revoke key done", 4),
    ("revoke key since done", 4),
    ("change of type taken back", 12),
    ("change of type made again", 4),
    ("issue done", 100),
    ("issue refused", 15),
    ("verdict accepted", 2_000),
    ("verdict malformed", 40),
    ("verdict period", 100),
    ("verdict future", 17),
    ("verdict expired", 125),
    ("verdict field", 40),
    ("verdict duplicate", 150),
    ("verdict start", 2),
    ("verdict count", 1),
    ("verdict onset", 60),
];

/// What became of all histories: a test that never got anywhere proves nothing.
#[derive(Default, Debug)]
struct Sums {
    releases: usize,
    added: usize,
    withdrawn: usize,
    forced: usize,
    empty: usize,
    deltas: u64,
    expiries: usize,
    /// Everything else, by what was done and how it ended.
    counts: BTreeMap<String, usize>,
}

impl Naive {
    /// Whether nothing is unexpired and nothing waits or could come back.
    fn is_empty(&self) -> bool {
        self.keys.values().all(|k| k.entries.is_empty() && k.claims.is_empty())
    }
}

impl History {
    fn new(seed: u64) -> History {
        let mut dice = Dice::new(seed);
        let schema = dice.pick(&Schema::ALL);
        let mut world = World::new(NOON + 60 * dice.below(1440) as u64, seed);
        let params = Params {
            schema,
            retention_days: 1 + dice.below(4) as u16,
            interval_s: dice.pick(&[600, 900, 3600]),
            embargo_s: dice.pick(&[0, 600, 7200]),
            min_reports: 1 + dice.below(4) as u32,
            max_wait_s: dice.pick(&[0, 3600, 20_000]),
            decoys: dice.one_in(2),
        };
        world.create_set(SET, params);
        // trust.json names the new set from the next start on.
        world.origin.write_trust().expect("the disk is well");
        let mut pool: Vec<Key> = (0..POOL).map(|_| dice.key(schema.key_len())).collect();
        for i in (1..POOL).step_by(5) {
            // Twins in their first eight bytes, as Rice coding and index see them.
            let mut bytes = pool[i].as_bytes().to_vec();
            bytes[..8].copy_from_slice(&pool[i - 1].as_bytes()[..8]);
            pool[i] = Key::from_slice(&bytes).unwrap();
        }
        let watcher = Watcher::new(&world, SET);
        let model = Naive::new(SET, params);
        let mut history = History {
            world,
            model,
            watcher,
            dice,
            pool,
            asked: Vec::new(),
            receipts: BTreeMap::new(),
            taken: Vec::new(),
            counts: BTreeMap::new(),
            seen: 0,
        };
        history.learn(false);
        (0..3).for_each(|number| history.add_provider(number));
        (0..3).for_each(|_| history.issue());
        history
    }

    /// The model takes what was decided since the last time, and every release is looked at.
    pub(super) fn learn(&mut self, alone: bool) {
        if self.seen == self.world.origin.state().seq() {
            return;
        }
        let records = self.world.records(self.seen + 1);
        let before = self.model.releases.len();
        for record in &records {
            self.model.take(record, alone);
            self.seen = record.seq;
        }
        assert_eq!(self.seen, self.world.origin.state().seq());
        let made = self.model.releases.len() - before;
        assert!(made <= 1, "one turn makes one release at most");
        if made == 1 {
            self.watcher.check(&mut self.world, &self.model, &mut self.dice);
        }
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..12 => self.import(),
            12..32 => self.submit(),
            32..38 => self.amend(),
            38..44 => self.change(),
            44..48 => self.cancel(),
            48..50 => self.status(),
            50..55 => self.repeat(),
            55..56 => self.dummy(),
            56..65 => self.withdraw(),
            65..68 => self.reinstate(),
            68..70 => self.issue(),
            70..72 => self.stand(),
            72..74 => self.revoke_batch(),
            74..75 => self.provider_key(),
            75..90 => self.pass(),
            90..93 => self.release(),
            93..95 => self.configure(),
            95..97 => self.world = take(&mut self.world),
            97 => self.change_schema(),
            98 => self.world.snapshot(),
            _ => self.lose_generations(),
        }
        self.learn(false);
        self.compare();
    }

    /// How often something happened is counted under its name.
    pub(super) fn count(&mut self, what: &str, outcome: &str) {
        *self.counts.entry(format!("{what} {outcome}")).or_default() += 1;
    }

    /// Where each report stands, and what each provider has done, is what the model says.
    fn compare(&self) {
        let (now, set) = (self.world.now.unix, self.world.set(SET));
        let standings = self.model.standings(now);
        let found: Vec<u64> = set.reports().map(|(seq, _)| seq).collect();
        assert_eq!(found, standings.keys().copied().collect::<Vec<_>>(), "the reports that are remembered");
        for (seq, standing) in standings {
            assert_eq!(set.standing(seq, now), Some(standing), "where report {seq} stands");
        }
        let registry = self.world.origin.state().registry();
        for (number, provider) in &self.model.desk.providers {
            let (found, [reports, keys, codes, spent]) = (&registry.providers[number], provider.counts);
            assert_eq!(found.standing, provider.standing);
            let c = found.counts;
            assert_eq!([c.reports, c.keys, c.codes, c.spent], [reports, keys, codes, spent]);
        }
        let (batches, used) = (&self.model.desk.batches, &self.model.desk.used);
        assert!(registry.batches.keys().eq(batches.keys()) && registry.certificates.keys().eq(used.keys()));
    }

    fn import(&mut self) {
        let keys: Vec<ImportedKey> = (0..1 + self.dice.below(12)).map(|_| self.any_key()).collect();
        let (now, params) = (self.world.now.unix, self.world.params(SET));
        let horizon = self.model.horizon_at(now);
        let mut good: Vec<Key> = Vec::new();
        for k in &keys {
            let f = &k.fields;
            let accepted = k.key.len() == params.schema.key_len()
                && (1..=144).contains(&k.period)
                && u64::from(f.start) * 600 <= now + 7200
                && u64::from(f.start) + u64::from(k.period) > u64::from(horizon)
                && f.report <= 4
                && f.risk <= 8
                && !good.contains(&k.key);
            if accepted {
                good.push(k.key);
            }
        }
        let before = self.world.origin.state().seq();
        let n = keys.len() as u64;
        match self.world.turn(Input::Import { set: SET, provider: "import".to_owned(), keys }) {
            Ok(Reply::Imported(counts)) => {
                let rejected: u64 = counts.rejected.iter().map(|(_, n)| n).sum();
                assert_eq!(
                    (counts.keys, counts.accepted, rejected),
                    (n, good.len() as u64, n - counts.accepted)
                );
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(good.is_empty(), self.world.origin.state().seq() == before);
    }

    pub(super) fn any_key(&mut self) -> ImportedKey {
        let now = u32::try_from(self.world.now.unix / 600).unwrap();
        let retention = 144 * usize::from(self.world.params(SET).retention_days);
        let start = if self.dice.one_in(8) {
            now + 14 - self.dice.below(30) as u32
        } else {
            now - self.dice.below(retention + 150) as u32
        };
        let period = match self.dice.below(20) {
            0 => self.dice.pick(&[0, 145, 70_000]),
            1..6 => 1 + self.dice.below(144) as u32,
            _ => 144,
        };
        let (reports, risks) = if self.dice.one_in(9) { (7, 11) } else { (5, 9) };
        let fields = Fields {
            start,
            period: u16::try_from(period).unwrap_or(144),
            report: self.dice.below(reports) as u8,
            risk: self.dice.below(risks) as u8,
            onset: self.dice.pick(&[0, 3, -14, ONSET_NONE]),
        };
        let key = self.dice.pick(&self.pool);
        let key = if self.dice.one_in(4) { self.dice.key(key.len()) } else { key };
        let key = if self.dice.one_in(50) { self.dice.key(48 - key.len()) } else { key };
        ImportedKey { key, fields, period }
    }

    fn pass(&mut self) {
        let interval = u64::from(self.world.params(SET).interval_s);
        let seconds = match self.dice.below(12) {
            0 => 0,
            1..9 => interval,
            9 => self.dice.below(2 * interval as usize) as u64,
            10 => 3600 * self.dice.below(24) as u64,
            _ => 86_400 * self.dice.below(4) as u64,
        };
        self.world.pass(seconds);
        self.world.tick();
        self.learn(false);
    }

    fn release(&mut self) {
        let alone = self.dice.one_in(2);
        let summary = self.world.release(SET, alone).expect("nothing holds a release");
        assert_eq!(summary.serial, self.world.set(SET).serial());
        self.learn(alone);
    }

    fn configure(&mut self) {
        let mut change = ParamsChange::default();
        match self.dice.below(5) {
            0 => change.decoys = Some(self.dice.one_in(2)),
            1 => change.min_reports = Some(1 + self.dice.below(5) as u32),
            2 => change.retention_days = Some(1 + self.dice.below(4) as u16),
            3 => change.interval_s = Some(self.dice.pick(&[600, 900, 1800])),
            _ => change.embargo_s = Some(self.dice.pick(&[0, 600, 7200])),
        }
        self.world.configure(SET, change);
    }

    fn change_schema(&mut self) {
        let schema = self.dice.pick(&Schema::ALL);
        let change = ParamsChange { schema: Some(schema), ..ParamsChange::default() };
        let allowed = self.model.is_empty() || schema == self.model.schema();
        let changed = self.world.turn(Input::Configure { set: SET, change });
        assert_eq!(changed.is_ok(), allowed, "the schema changes while the set is empty: {changed:?}");
        if changed.is_ok() && schema.key_len() != self.pool[0].len() {
            self.pool = (0..POOL).map(|_| self.dice.key(schema.key_len())).collect();
        }
    }

    /// Generations are a cache: whoever starts without them makes them again.
    fn lose_generations(&mut self) {
        let dir = set_path(Path::new(DIR), SET);
        for file in self.world.disk.list(&dir).unwrap_or_default() {
            self.world.disk.remove(&file).unwrap();
        }
        let before = shown(&self.world);
        self.world = take(&mut self.world);
        assert!(before == shown(&self.world), "made again from the state, a generation has the same bytes");
    }

    /// Everything again from event one, or from the oldest base if the first segments are gone.
    fn rebuild(&mut self) {
        self.world.origin.idle().expect("the disk is well");
        let disk: Arc<dyn Disk> = Arc::new(self.world.disk.clone());
        let first = first_state(&disk, Path::new(DIR)).expect("event one or a base");
        let seq = first.seq();
        let mut rebuild =
            Rebuild::from_state(first, Recompute::EverySerial).expect("the base gives what was signed");
        for record in self.world.records(seq + 1) {
            rebuild.push(&record).expect("the journal gives what was signed");
        }
        let Rebuilt { state, tables, .. } = rebuild.finish().expect("its newest tables");
        assert!(state.to_bytes() == self.world.origin.state().to_bytes(), "the state is a fold");
        let made = tables.get(&SET).map(|t| t.generation.bytes().to_vec());
        assert!(made == shown(&self.world), "rebuilt generations have the same bytes");
    }
}

fn shown(world: &World) -> Option<Vec<u8>> {
    world.view.load().set(SET)?.release.as_ref().map(|r| r.generation.bytes().to_vec())
}

/// A restart in place.
fn take(world: &mut World) -> World {
    let now = world.now;
    let spare = World::new(NOON, 0);
    let old = std::mem::replace(world, spare);
    let (before, seq) = (old.origin.state().to_bytes(), old.origin.state().seq());
    let mut new = old.restart();
    let made = new.records(seq + 1);
    if made.is_empty() {
        assert!(before == new.origin.state().to_bytes(), "a restart at {now:?} gives the same state");
    }
    let weekly = ["seal-key-made", "manifest-issued"];
    assert!(made.iter().all(|r| weekly.contains(&event(r).name())), "a restart decides nothing else");
    new
}

#[test]
fn random_histories_are_what_the_naive_model_says() {
    let seed = seed();
    let mut sums = Sums::default();
    for number in 0..OPERATIONS / PER_HISTORY {
        let own = seed.wrapping_add(number as u64);
        println!("history {number}: TEKD_SEED={own}");
        let mut history = History::new(own);
        for _ in 0..PER_HISTORY {
            history.step();
        }
        history.learn(false);
        history.rebuild();
        for r in &history.model.releases {
            sums.releases += 1;
            sums.added += r.added;
            sums.withdrawn += r.withdrawn;
            sums.forced += usize::from(r.forced);
            sums.empty += usize::from(r.added + r.withdrawn == 0);
        }
        for (what, often) in std::mem::take(&mut history.counts) {
            *sums.counts.entry(what).or_default() += often;
        }
        sums.deltas += history.watcher.applied;
        sums.expiries += history.model.releases.windows(2).filter(|w| w[0].horizon < w[1].horizon).count();
    }
    println!("{sums:#?}");
    assert!(sums.releases > 2_000 && sums.added > 7_000 && sums.withdrawn > 1_500 && sums.forced > 300);
    assert!(sums.empty > 400 && sums.deltas > 40_000 && sums.expiries > 1_000);
    for (what, floor) in FLOORS {
        let often = sums.counts.get(what).copied().unwrap_or(0);
        assert!(often >= floor, "{what}: {often} times, {floor} is the least");
    }
}
