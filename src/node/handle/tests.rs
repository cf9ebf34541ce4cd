//! An origin whose builder fails or panics, and one whose writer panics.

use std::path::PathBuf;
use std::time::Instant;

use super::*;
use crate::engine::{BuiltRelease, Mend, ParamsChange, Refusal, ReleaseOutcome, Reply, Seeded, TableContext};
use crate::node::{OriginOptions, SteppedClock};
use crate::store::{Disk, Fault, MemoryDisk, MemoryMode, OperationKind, PublishError};

/// What should be the case is so well within this.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    Well,
    BuildsNothing,
    ShowsNothing,
    Panics,
}

struct Moody {
    builder: Builder,
    mood: Arc<Mutex<Mood>>,
}

impl Moody {
    fn fails_in(&self, mood: Mood) -> Result<(), BuildError> {
        let is = *self.mood.lock().unwrap();
        assert!(is != Mood::Panics, "on purpose");
        if is == mood { Err(PublishError::ReadersStuck { waiting: 64 }.into()) } else { Ok(()) }
    }
}

impl Make for Moody {
    fn build(
        &mut self,
        context: &TableContext,
        outcome: &ReleaseOutcome,
    ) -> Result<BuiltRelease, BuildError> {
        self.fails_in(Mood::BuildsNothing)?;
        self.builder.build(context, outcome)
    }

    fn show(&mut self, news: &SetNews) -> Result<(), BuildError> {
        self.fails_in(Mood::ShowsNothing)?;
        self.builder.show(news)
    }

    fn mend(&mut self, mend: &Mend) -> Result<BuiltRelease, BuildError> {
        self.fails_in(Mood::BuildsNothing)?;
        self.builder.mend(mend)
    }

    fn hurt(&self) -> Vec<(u32, BuildError)> {
        Vec::new()
    }

    fn tidy(&mut self) -> Result<(), BuildError> {
        self.builder.grant_wishes().map(drop)
    }
}

struct Place {
    handle: OriginHandle,
    clock: Arc<SteppedClock>,
    mood: Arc<Mutex<Mood>>,
    disk: MemoryDisk,
}

fn place() -> Place {
    let clock = Arc::new(SteppedClock::new(1_767_614_400));
    let memory = MemoryDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let options =
        OriginOptions { disk: Arc::clone(&disk), dir: PathBuf::from("/data"), segment_bytes: 1 << 20 };
    let mut origin = Origin::open(options, clock.now(), Box::new(Seeded::new(1))).unwrap();
    let view = Arc::new(Published::new(Arc::new(View::empty(origin.identity().service_id, 1))));
    let store = TableStore { disk, dir: None, mode: MemoryMode::Copy };
    let mut builder = Builder::new(store, Arc::clone(&view));
    bring_up(&mut origin, &mut builder, &*clock).unwrap();
    let mood = Arc::new(Mutex::new(Mood::Well));
    let moody = Moody { builder, mood: Arc::clone(&mood) };
    let ticking = Arc::clone(&clock) as Arc<dyn Clock>;
    let handle = OriginHandle::with_maker(origin, moody, view, ticking).unwrap();
    Place { handle, clock, mood, disk: memory }
}

impl Place {
    fn feels(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn release(&self) -> Answered {
        self.handle.ask(Input::Release { set: 1, allow_small: true })
    }

    fn serial(&self) -> u32 {
        let view = self.handle.view().load();
        view.set(1).and_then(|set| set.release.as_ref()).map_or(0, |r| r.checkpoint.serial())
    }

    /// Minutes pass, fewer than between two releases: a try that was under way when the mood changed fails,
    /// and is made again only after one more of them.
    fn wait_for_retry(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..10 {
            self.clock.advance(60);
            let began = Instant::now();
            while began.elapsed() < DEADLINE / 10 {
                if holds(self) {
                    return;
                }
                std::thread::yield_now();
            }
        }
        panic!("{what}");
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < DEADLINE, "{what}");
            std::thread::yield_now();
        }
    }
}

fn configure() -> Input {
    Input::Configure { set: 1, change: ParamsChange { retention_days: Some(20), ..ParamsChange::default() } }
}

#[test]
fn a_table_that_cannot_be_made_is_tried_again_and_who_asked_is_told() {
    let place = place();
    place.release().expect("the first release");
    place.feels(Mood::BuildsNothing);
    let waits = place.release();
    let Err(AskError::Unbuilt { set: 1, serial: 2, .. }) = &waits else { panic!("{waits:?}") };
    let troubles = place.handle.troubles();
    assert!(troubles[0].contains("release 2 of set 1") && troubles.len() == 1, "{troubles:?}");
    assert!(matches!(place.release(), Err(AskError::Refused(Refusal::ReleaseInFlight { .. }))));
    place.handle.ask(configure()).expect("the writer goes on");
    assert_eq!(place.serial(), 1, "readers keep the release before");

    place.feels(Mood::Well);
    place.wait_for_retry("it is not tried again", |p| p.serial() == 2);
    assert_eq!(place.handle.troubles(), Vec::<String>::new());
    place.release().expect("the set is no longer in flight");
    assert_eq!(place.serial(), 3);
}

#[test]
fn what_cannot_be_shown_is_tried_again_and_newer_news_take_its_place() {
    let place = place();
    place.feels(Mood::ShowsNothing);
    assert!(matches!(place.release(), Ok(Reply::Released(_))), "it is durable");
    assert!(matches!(place.release(), Ok(Reply::Released(_))));
    assert_eq!(place.serial(), 0);
    let troubles = place.handle.troubles();
    assert!(troubles[0].contains("set 1 cannot be shown") && troubles.len() == 1, "{troubles:?}");

    place.feels(Mood::Well);
    place.wait_for_retry("it is not shown later", |p| p.serial() == 2);
    place.wait_until("health goes on about it", |p| p.handle.troubles().is_empty());
}

#[test]
fn a_builder_that_panics_stops_the_writer_and_not_the_readers() {
    let place = place();
    place.release().expect("the first release");
    place.feels(Mood::Panics);
    for _ in 0..2 {
        let stopped = place.release();
        let Err(AskError::Stopped(why)) = &stopped else { panic!("{stopped:?}") };
        assert!(why.starts_with("the builder's thread panicked"), "{why}");
    }
    assert!(place.handle.stopped().is_some());
    assert_eq!(place.serial(), 1);
    place.handle.stop();
}

#[test]
fn a_writer_that_panics_lets_everybody_go_who_waits() {
    let place = place();
    place.release().expect("the first release");
    let (began, beginning) = sync_channel(1);
    let (go, going) = sync_channel::<()>(1);
    let panics = Box::new(move |_: &Origin| {
        began.send(()).unwrap();
        going.recv().unwrap();
        panic!("on purpose");
    });
    place.handle.send(Command::Look(panics)).expect("room");
    beginning.recv().expect("the writer looks");
    let (tell, told) = sync_channel::<()>(1);
    place.handle.ask_then(configure(), move |_| tell.send(()).unwrap()).expect("room");
    go.send(()).unwrap();
    assert!(told.recv().is_err(), "nothing was confirmed to who asked behind it");
    let why = place.handle.stopped().expect("a reason");
    assert!(why.starts_with("the writer's thread panicked"), "{why}");
    assert!(matches!(place.handle.ask(configure()), Err(AskError::Stopped(_))));
    assert_eq!(place.serial(), 1, "readers go on");
    place.handle.stop();
}

#[test]
fn who_waits_for_a_slow_writer_may_give_up() {
    let place = place();
    let (go, going) = sync_channel::<()>(1);
    let slow = Box::new(move |_: &Origin| going.recv().unwrap());
    place.handle.send(Command::Look(slow)).expect("room");
    let looked = place.handle.look_within(Duration::from_millis(1), |_| ());
    assert!(matches!(looked, Err(AskError::Slow(_))), "{looked:?}");
    go.send(()).unwrap();
    place.handle.look_within(DEADLINE, |_| ()).expect("it goes on");
}

/// The manifest of set 1 that readers see.
fn manifest(place: &Place) -> Arc<Vec<u8>> {
    Arc::clone(&place.handle.view().load().set(1).unwrap().manifest)
}

#[test]
fn while_a_decision_waits_for_space_nobody_is_told_of_it_or_shown_it() {
    let place = place();
    let full = || matches!(place.handle.look(|_| ()), Err(AskError::Refused(Refusal::JournalFull { .. })));
    let journal = PathBuf::from("/data/journal");
    place.disk.set_quota(&journal, Some(place.disk.used(&journal)));
    let (mut seen, mut days) = (manifest(&place), 20);
    // Until one finds no room, not even in the reserve.
    let waiting = loop {
        days = 39 - days;
        let retention_days = Some(days);
        let change = ParamsChange { retention_days, ..ParamsChange::default() };
        let (tell, told) = sync_channel(1);
        let tell = move |answered| drop(tell.send(answered));
        place.handle.ask_then(Input::Configure { set: 1, change }, tell).unwrap();
        let answered = loop {
            match told.try_recv() {
                Ok(answered) => break Some(answered),
                Err(_) if full() => break None,
                Err(_) => std::thread::yield_now(),
            }
        };
        let Some(answered) = answered else { break told };
        assert!(answered.is_ok(), "{answered:?}");
        place.wait_until("it is shown", |place| manifest(place) != seen);
        seen = manifest(&place);
    };
    assert!(place.handle.look_within(DEADLINE, Origin::journal_full).unwrap().is_some(), "health looks");
    assert!(waiting.try_recv().is_err() && manifest(&place) == seen);
    let refused = place.handle.ask(configure());
    assert!(matches!(refused, Err(AskError::Refused(Refusal::JournalFull { .. }))), "{refused:?}");
    place.disk.set_quota(&journal, None);
    place.clock.advance(10);
    assert!(waiting.recv_timeout(DEADLINE).unwrap().is_ok(), "it is told once it is written");
    place.wait_until("it is shown", |place| manifest(place) != seen && !full());
}

/// Groups of one page, until the first segment of the journal is half full.
fn fill_half(place: &Place) {
    let (half, page) = ((1 << 20) / 2, 4096_u64);
    // The segment's header has a page too.
    for n in 0..half / page {
        if place.handle.look(|origin| origin.head().gno).expect("it runs") == half / page - 1 {
            return;
        }
        let change = ParamsChange { retention_days: Some(14 + (n % 2) as u16), ..ParamsChange::default() };
        place.handle.ask(Input::Configure { set: 1, change }).expect("a group of one page");
    }
    panic!("each is a group");
}

#[test]
fn the_next_segment_of_the_journal_is_made_beside_the_writer() {
    let place = place();
    fill_half(&place);
    place.handle.stop();
    let ahead = PathBuf::from("/data/journal/ahead.new");
    assert!(place.disk.inode(&ahead).is_ok(), "it was ordered once the first segment was half full");
}

#[test]
fn a_disk_that_fails_under_it_stops_the_writer_though_nobody_asks() {
    let place = place();
    // Nothing else makes a file in a directory that fills up.
    place.disk.fail(OperationKind::Create, 1, Fault::Eio);
    fill_half(&place);
    place.wait_until("it stops by itself", |place| place.handle.stopped().is_some());
    let why = place.handle.stopped().expect("it just was");
    assert!(why.contains("ahead.new"), "{why}");
}
