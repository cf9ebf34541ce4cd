//! One run: operations and faults from a seed, hour after hour, then calm, in which everything must arrive.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use tekd::authority::Code;
use tekd::engine::ParamsChange;
use tekd::release::Schema;
use tekd::time::next_border;

use super::canary::Canary;
use super::counts::Counts;
use super::dice::Dice;
use super::invariant::{Invariant, said};
use super::ledger;
use super::phones::{PHONES, Phone};
use super::world::{NODES, NOON, Shared, World, advance, lock};

/// Virtual time between two operations, on average.
const GAP_MS: u64 = 14_800;
/// One operation in so many is a fault beside those of the network.
const TROUBLE: usize = 22;
/// One operation in so many is followed by a comparison of the whole state.
const COMPARED: usize = 40;
/// Bytes of a secret that nothing else begins with.
const SECRET_BEGINS: usize = 12;
const HOUR_MS: u64 = 3_600_000;
/// Seconds between two releases.
const INTERVAL_S: u32 = 600;
/// After so long every node has polled, and is well.
const POLLED_MS: u64 = 300_000;
/// Virtual time that the end of a run may take.
const CALM_MS: u64 = 30 * 60_000;

/// What became of a run.
pub(crate) struct Lived {
    pub(crate) counts: Counts,
    pub(crate) digest: [u8; 32],
    /// Operations until it ended.
    pub(crate) operations: u64,
    /// Why it ended before its time, and what happened last.
    pub(crate) broken: Option<(String, String)>,
}

struct Run {
    shared: Shared,
    phones: Vec<Phone>,
    dice: Dice,
    codes: Vec<Code>,
    taken: Vec<u64>,
}

/// Lives through `hours` of the life that `seed` gives, or `most` operations of it.
pub(crate) fn live(seed: u64, hours: u64, most: u64, canary: Option<Canary>) -> Lived {
    let shared = World::new(seed, canary);
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run::new(&shared, seed);
        if run.live(hours, most) {
            run.calm();
        }
    }));
    let mut world = lock(&shared);
    // The clients of nodes hold the world that holds them.
    world.nodes.clear();
    world.counts.lived = ((world.now_ms / 1000 - NOON) / 3600).min(hours);
    Lived {
        counts: world.counts.clone(),
        digest: world.story.digest(),
        operations: world.counts.operations(),
        broken: lived.err().map(|payload| (said(&*payload), world.story.last_lines())),
    }
}

impl Run {
    fn new(shared: &Shared, seed: u64) -> Run {
        let mut dice = Dice::new(seed, 2);
        let phones = (0..PHONES).map(|number| Phone::new(shared, number)).collect();
        let schema = dice.pick(&[Schema::GaenMinimal, Schema::GaenMinimal, Schema::GaenFull, Schema::Dp3t]);
        let change = ParamsChange {
            schema: Some(schema),
            retention_days: Some(1 + dice.below(3) as u16),
            interval_s: Some(INTERVAL_S),
            embargo_s: Some(dice.pick(&[600, 3600, 7200])),
            min_reports: Some(2 + dice.below(3) as u32),
            max_wait_s: Some(dice.pick(&[3600, 7200, 14_400])),
            decoys: Some(dice.one_in(2)),
        };
        let mut world = lock(shared);
        world.configure(change);
        (0..3).for_each(|number| world.add_provider(format!("ward {number}")));
        drop(world);
        let (codes, taken) = (Vec::new(), Vec::new());
        Run { shared: std::sync::Arc::clone(shared), phones, dice, codes, taken }
    }

    /// Whether all hours were lived through.
    fn live(&mut self, hours: u64, most: u64) -> bool {
        let began = lock(&self.shared).now_ms;
        let end = began + hours * HOUR_MS;
        let mut due = began;
        loop {
            due += 1 + self.dice.below(2 * GAP_MS as usize) as u64;
            advance(&self.shared, due);
            let mut world = lock(&self.shared);
            if world.now_ms >= end {
                return true;
            }
            let now_ms = world.now_ms;
            world.counts.operation(now_ms);
            if world.counts.operations() > most {
                return false;
            }
            drop(world);
            self.operate();
        }
    }

    fn operate(&mut self) {
        if self.dice.one_in(TROUBLE) {
            lock(&self.shared).trouble(&mut self.dice);
        } else if self.dice.below(100) < 72 {
            self.phone();
        } else {
            self.operator();
        }
        if self.dice.one_in(COMPARED) {
            lock(&self.shared).compare_state();
        }
    }

    fn phone(&mut self) {
        let (shared, dice) = (&self.shared, &mut self.dice);
        let phone = &mut self.phones[dice.below(PHONES)];
        match dice.below(100) {
            0..30 => _ = phone.sync(shared, Some(dice)),
            30..42 => phone.lookup(shared, dice),
            42..54 => phone.bucket(shared, dice),
            54..58 => phone.prove(shared, dice),
            58..76 => {
                let code = if dice.one_in(15) { None } else { self.codes.pop() };
                let code = code.unwrap_or_else(|| Code::from_first_bits(dice.bytes()));
                phone.submit(shared, code, dice);
            }
            76..81 => phone.amend(shared, dice),
            81..83 => phone.cancel(shared, dice),
            83..86 => phone.status(shared, dice),
            86..95 => phone.repeat(shared, dice),
            95..97 => phone.steal(shared, dice),
            _ => phone.dummy(shared, dice),
        }
    }

    fn operator(&mut self) {
        let dice = &mut self.dice;
        let mut world = lock(&self.shared);
        match dice.below(100) {
            0..30 => {
                let issued = world.issue(dice);
                self.codes.extend(issued);
            }
            30..45 => self.taken.extend(world.withdraw(dice)),
            45..55 => {
                if let Some(seq) = self.taken.pop() {
                    world.reinstate(seq);
                }
            }
            55..60 => world.revoke_batch(dice),
            60..66 => world.stand(dice),
            66..78 => world.release_now(dice),
            78..80 => world.rotate(dice),
            80..83 => world.replay(dice),
            83..86 => world.junk(dice),
            86..90 => {
                let change = World::any_change(dice);
                world.configure(change);
            }
            _ => world.snapshot(),
        }
    }

    /// No faults any more: everything arrives, and everything is as it was confirmed.
    fn calm(&mut self) {
        lock(&self.shared).be_calm();
        let until = lock(&self.shared).now_ms + CALM_MS;
        advance(&self.shared, until);
        for phone in &mut self.phones {
            phone.settle(&self.shared);
        }
        // Between two releases, when every node has polled since the last.
        let later_s = (lock(&self.shared).now_ms + CALM_MS) / 1000;
        let until = 1000 * next_border(later_s, INTERVAL_S.into()) + POLLED_MS;
        advance(&self.shared, until);
        let newest = lock(&self.shared).newest_everywhere();
        for phone in &mut self.phones {
            let synced = phone.sync(&self.shared, None);
            let version = phone.version();
            Invariant::Liveness.must(synced && version == newest, || {
                format!("a phone is at {version:#x} in calm, the newest is {newest:#x}")
            });
        }
        let secrets: Vec<Vec<u8>> = self.phones.iter().flat_map(Phone::secrets).collect();
        lock(&self.shared).all_is_as_confirmed(&secrets);
    }
}

impl World {
    /// Faults are over, and what they broke is mended.
    fn be_calm(&mut self) {
        self.calm = true;
        self.network.calm = true;
        self.network.heal_all();
        self.origin.kill();
        self.origin.disk = spared(&self.origin.disk);
        for node in &mut self.nodes {
            node.process = None;
            node.disk = spared(&node.disk);
        }
        self.tell("calm".to_owned());
        self.start_origin();
        (0..NODES).for_each(|number| self.restart_node_later(number));
    }

    /// The newest version, which every server has.
    fn newest_everywhere(&self) -> u64 {
        let shown = |view: std::sync::Arc<tekd::engine::View>| {
            let set = view.set(super::origin::SET)?;
            Some(set.release.as_ref()?.checkpoint.version())
        };
        let origin = self.origin.process.as_ref().and_then(|p| shown(p.single.view().load()));
        let newest = self.judge.model.newest().map(|made| u64::from(made.serial) | 1 << 32);
        Invariant::Liveness.must(origin.is_some() && origin == newest, || {
            format!("the origin shows {origin:?} in calm, the newest is {newest:?}")
        });
        for (number, node) in self.nodes.iter().enumerate() {
            let served = node.process.as_ref().and_then(|p| shown(p.builder.view().load()));
            Invariant::Liveness.must(served == origin, || {
                format!("node {number} serves {served:?} in calm, the origin {origin:?}")
            });
        }
        origin.expect("it was just compared")
    }

    /// What was confirmed is there, everything follows from event one, and nodes hold nothing private.
    fn all_is_as_confirmed(&mut self, secrets: &[Vec<u8>]) {
        let noted = self.origin.process.as_mut().map(|process| process.single.idle());
        Invariant::Liveness.must(matches!(noted, Some(Ok(()))), || format!("in calm: {noted:?}"));
        self.look_at_journal(true);
        self.compare_state();
        let records = ledger::open(&self.origin.ledger).records_from(1);
        if let Some(process) = &self.origin.process {
            let (state, view) = (process.single.origin().state(), process.single.view().load());
            self.judge.rebuild(&records, state, &view);
        }
        let begin: BTreeSet<&[u8]> = secrets.iter().map(|secret| &secret[..SECRET_BEGINS]).collect();
        for node in &self.nodes {
            for file in node.files() {
                let found = file.windows(SECRET_BEGINS).any(|part| begin.contains(part));
                Invariant::PublicOnlyNodes.must(!found, || "a node's file has a report's secret".to_owned());
            }
        }
    }
}

/// The disk with everything kept and no fault to come.
pub(crate) fn spared(disk: &tekd::store::MemoryDisk) -> tekd::store::MemoryDisk {
    disk.crash_as(&vec![tekd::store::Fate::Kept; disk.loose().len()])
}
