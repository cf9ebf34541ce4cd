//! What it costs to have everything again: a journal verified, audited and rebuilt from event one; a snapshot
//! written and read.
//!
//! `cargo bench --bench rebuild [-- --keys N]`: N keys in reports of 14, all published with one release. The
//! directory is a temporary one of the disk; what is read of it the system has in memory.

#[path = "set/keys.rs"]
mod keys;
#[path = "set/stopwatch.rs"]
mod stopwatch;

use std::path::Path;
use std::sync::Arc;

use tekd::engine::{
    Audit, Committed, ImportedKey, Input, ParamsChange, Rebuild, Recompute, Seeded, SetState, State, Ticket,
    View, Work,
};
use tekd::node::{
    Builder, Clock, NOBODY, Origin, OriginOptions, SteppedClock, TableStore, audit_journal, journal_path,
    rebuild_journal, verify_journal,
};
use tekd::release::Trust;
use tekd::store::{Disk, MemoryMode, Published, RealDisk};

use stopwatch::{Bench, PER_KEY};

const SET: u32 = 1;
const KEYS_PER_REPORT: usize = 14;
/// Reports that are made durable at once.
const GROUP: usize = 256;
/// When the embargo of the newest keys is over.
const NOW: u64 = keys::TIME + 86_400;
/// Long enough that none has expired by then.
const RETENTION_DAYS: u16 = 30;

fn main() {
    let mut bench = Bench::new();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (trust, state) = lived(dir.path(), bench.keys);
    let (journal, keys) = (journal_path(dir.path()), bench.keys);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let disk = || -> Arc<dyn Disk> { Arc::new(RealDisk) };
    bench.time("journal verified, on all cores", keys, PER_KEY, || {
        verify_journal(disk(), &journal, cores, &mut |_, _| {}).expect("whole").head.chain
    });
    bench.time("journal audited, on all cores", keys, PER_KEY, || {
        let audit = Audit::new(trust.clone());
        let audited = audit_journal(disk(), &journal, audit, cores, &mut |_, _| {}).expect("as signed");
        audited.events.to_le_bytes()
    });
    for (what, recompute) in [
        ("rebuilt from event one, newest table", Recompute::Newest),
        ("rebuilt from event one, every table", Recompute::EverySerial),
    ] {
        bench.time(what, keys, PER_KEY, || {
            let made = rebuild_journal(disk(), &journal, Rebuild::of(recompute), &mut |_, _| {});
            made.expect("as signed").rebuilt.tables[&SET].built.root
        });
    }
    let state = State::from_bytes(&state).expect("its own bytes");
    bench.time("snapshot: payload made", keys, PER_KEY, || state.to_bytes());
    let payload = state.to_bytes();
    println!("snapshot: {} bytes, {:.1} a key", payload.len(), payload.len() as f64 / keys as f64);
    bench.time("snapshot: payload read", keys, PER_KEY, || {
        let state = State::from_bytes(&payload).expect("just made");
        state.set(SET).map_or(0, SetState::live).to_le_bytes()
    });
    bench.finish();
}

/// Lives a life in `dir`: all keys reported, then released. The trust of its service, and its state.
fn lived(dir: &Path, keys: usize) -> (Trust, Vec<u8>) {
    let clock = SteppedClock::new(NOW);
    let now = clock.now();
    let options = OriginOptions { disk: Arc::new(RealDisk), dir: dir.to_path_buf(), segment_bytes: 16 << 20 };
    let mut origin = Origin::open(options, now, Box::new(Seeded::new(1))).expect("an empty directory");
    let view = View::empty(origin.identity().service_id, 0);
    let store = TableStore { disk: Arc::new(RealDisk), dir: None, mode: MemoryMode::Copy };
    let mut builder = Builder::new(store, Arc::new(Published::new(Arc::new(view))));
    let change =
        ParamsChange { decoys: Some(false), retention_days: Some(RETENTION_DAYS), ..ParamsChange::default() };
    step(&mut origin, &mut builder, &clock, vec![Input::Configure { set: SET, change }]);
    let entries = keys::entries_as_reported(keys);
    let reports = entries.chunks(KEYS_PER_REPORT).map(|report| Input::Import {
        set: SET,
        provider: "bench".to_owned(),
        keys: report
            .iter()
            .map(|(key, fields)| ImportedKey { key: *key, fields: *fields, period: fields.period.into() })
            .collect(),
    });
    let reports: Vec<Input> = reports.collect();
    let mut groups = reports.into_iter();
    loop {
        let group: Vec<Input> = groups.by_ref().take(GROUP).collect();
        if group.is_empty() {
            break;
        }
        step(&mut origin, &mut builder, &clock, group);
    }
    step(&mut origin, &mut builder, &clock, vec![Input::Release { set: SET, allow_small: true }]);
    origin.idle().expect("the disk is well");
    let live = origin.state().set(SET).map_or(0, SetState::live);
    assert_eq!(live, keys as u64, "every key was accepted and released");
    let trust = std::fs::read_to_string(dir.join("trust.json")).expect("trust.json");
    println!("{} events in the journal", origin.head().seq);
    (Trust::parse_json(&trust).expect("a trust"), origin.state().to_bytes())
}

/// One turn of the origin, and the releases that follow from it.
fn step(origin: &mut Origin, builder: &mut Builder, clock: &SteppedClock, inputs: Vec<Input>) {
    let mut next: Vec<(Ticket, Input)> = inputs.into_iter().map(|input| (NOBODY, input)).collect();
    while !next.is_empty() {
        let Committed { replies, work } =
            origin.step(clock.now(), std::mem::take(&mut next)).expect("the disk is well");
        assert!(replies.iter().all(|(_, reply)| reply.is_ok()), "nothing is refused");
        for work in work {
            if let Work::Build(context, outcome) = work {
                next.push((NOBODY, Input::Built(builder.build(&context, &outcome).expect("memory"))));
            }
        }
    }
}
