//! A journal that fails stops the writer and nobody else: readers go on asking, and get what was not made
//! before.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tekd::engine::{Input, Kind, ParamsChange, Seeded, View, Wish};
use tekd::node::{AskError, Clock, Origin, OriginHandle, OriginOptions, SteppedClock, TableStore};
use tekd::store::{Fault, MemoryDisk, MemoryMode, OperationKind, Published};

use super::world::NOON;

/// An object is made well within this.
const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn readers_outlive_a_writer_that_failed() {
    let disk = MemoryDisk::new();
    let options =
        OriginOptions { disk: Arc::new(disk.clone()), dir: PathBuf::from("/data"), segment_bytes: 1 << 20 };
    let clock: Arc<dyn Clock> = Arc::new(SteppedClock::new(NOON));
    let origin = Origin::open(options.clone(), clock.now(), Box::new(Seeded::new(1))).expect("founded");
    let view = Arc::new(Published::new(Arc::new(View::empty(origin.identity().service_id, 1))));
    let store = TableStore { disk: options.disk, dir: None, mode: MemoryMode::Copy };
    let handle = OriginHandle::start(origin, store, Arc::clone(&view), clock).expect("started");
    for _ in 0..8 {
        handle.ask(Input::Release { set: 1, allow_small: true }).expect("released");
    }
    let base = (1 << 32) | 1;
    let offered = || {
        let view = view.load();
        let release = view.set(1).and_then(|s| s.release.as_ref()).expect("a release");
        release.objects.offer(Kind::History, base).is_some()
    };
    assert!(!offered(), "nobody has asked for it yet");

    disk.fail(OperationKind::Write, 1, Fault::Eio);
    let change = ParamsChange { retention_days: Some(20), ..ParamsChange::default() };
    let failed = handle.ask(Input::Configure { set: 1, change });
    assert!(matches!(failed, Err(AskError::Stopped(_))), "{failed:?}");

    view.load().wishes.push(Wish { set: 1, kind: Kind::History, from: base }).expect("room for a wish");
    let began = Instant::now();
    while !offered() {
        assert!(began.elapsed() < DEADLINE, "the builder went with the writer");
        std::thread::yield_now();
    }
    handle.stop();
}
