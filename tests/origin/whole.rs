//! A journal taken as a whole: rebuilt from the newest state alone, verified on several threads, audited.

use std::path::Path;
use std::sync::Arc;

use tekd::engine::{
    Audit, Changes, Event, ParamsChange, Published, Rebuild, RebuildError, Recompute, SignedKind, State,
    Unverifiable,
};
use tekd::node::{Audited, AuditingError, RebuildingError, audit_journal, rebuild_journal, verify_journal};
use tekd::store::journal::{Journal, LocalJournal, Options, Record, verify};
use tekd::store::{Disk, MemoryDisk};

use super::phone::{Phone, days};
use super::world::{Dice, NOON, World, event, keys_of_day, records};

const SET: u32 = 1;
const DAY: u64 = 86_400;
const JOURNAL: &str = "/data/journal";
const CORES: usize = 3;

/// Three days with reports of phones, imports, amendments, a cancellation, withdrawals and releases.
fn lived() -> World {
    let mut world = World::new(NOON, 91);
    let mut dice = Dice::new(91);
    world.configure(SET, ParamsChange { min_reports: Some(2), ..ParamsChange::default() });
    let provider = world.provider("doctor");
    for day in 0..3 {
        let codes = world.codes(provider, SET, 4).codes;
        for code in &codes[..3] {
            let phone = Phone::new(&mut dice, SET);
            let keys = days(&mut dice, world.now.unix, 1, 3);
            world.report(&phone.submit(*code, keys));
            let more = days(&mut dice, world.now.unix, 5, 1);
            world.report(&phone.amend(more));
            if day == 1 {
                world.report(&phone.cancel());
            }
        }
        let keys = keys_of_day(&mut dice, world.now.unix, 2, 9);
        let first = keys[0].key;
        world.import(SET, keys);
        for _ in 0..3 {
            world.pass(DAY / 4);
            world.tick();
        }
        world.withdraw(SET, first, true).expect("a key that is claimed");
        world.pass(DAY / 4);
        world.tick();
    }
    world
}

/// The journal of these records on a disk of its own, three to a group, in several segments.
fn journal_of(records: &[Record]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = Options { segment_bytes: 1 << 20, check_all: true };
    let mut journal =
        LocalJournal::create(shared, Path::new(JOURNAL), [7; 16], 1, options).expect("an empty directory");
    let mut head = journal.acquire().expect("the only writer");
    for (nth, group) in records.chunks(3).enumerate() {
        // A day for each group of a few: each day has a segment of its own.
        let now_ms = nth as u64 / 5 * DAY * 1000;
        head = journal.append(&head, group, now_ms).expect("the disk is well");
    }
    journal.idle().expect("the disk is well");
    disk
}

fn audited(world: &World, disk: &MemoryDisk) -> Result<Audited, AuditingError> {
    let audit = Audit::new(world.trust());
    audit_journal(Arc::new(disk.clone()), Path::new(JOURNAL), audit, CORES, &mut |_, _| {})
}

#[test]
fn the_newest_state_alone_gives_the_newest_table_from_any_beginning() {
    let mut world = lived();
    let records = world.records(1);
    let disk = journal_of(&records);
    let newest = || -> Arc<dyn Disk> { Arc::new(disk.clone()) };
    let mut groups = Vec::new();
    let start = Rebuild::of(Recompute::Newest);
    let made =
        rebuild_journal(newest(), Path::new(JOURNAL), start, &mut |done, all| groups.push((done, all)))
            .expect("as it was lived");
    let all = records.len().div_ceil(3) as u64;
    assert_eq!((groups.len() as u64, groups.last()), (all, Some(&(all, all))));
    let shown = world.view.load().set(SET).and_then(|s| s.release.clone()).expect("a release");
    let expected = (world.origin.state().to_bytes(), shown.generation.bytes().to_vec());
    let published = records.iter().filter(|r| matches!(event(r), Event::Published(_))).count() as u64;
    let rebuilt = &made.rebuilt;
    assert!(rebuilt.is_compared(SET) && !rebuilt.is_compared(SET + 1));
    assert_eq!((made.base.seq, made.head.seq), (0, records.len() as u64));
    assert_eq!(rebuilt.checkpoints, published);
    assert!((rebuilt.state.to_bytes(), rebuilt.tables[&SET].generation.bytes().to_vec()) == expected);

    for from in [records.len() / 3, records.len() / 2, records.len()] {
        let mut state = State::new();
        for record in &records[..from] {
            tekd::engine::replay(&mut state, record).expect("it was lived");
        }
        for recompute in [Recompute::Newest, Recompute::EverySerial] {
            let state = State::from_bytes(&state.to_bytes()).expect("its own bytes");
            let start = Rebuild::from_state(state, recompute).expect("as it was signed");
            let made =
                rebuild_journal(newest(), Path::new(JOURNAL), start, &mut |_, _| {}).expect("the rest");
            let rebuilt =
                (made.rebuilt.state.to_bytes(), made.rebuilt.tables[&SET].generation.bytes().to_vec());
            assert!(rebuilt == expected, "{recompute:?} from event {from}");
        }
    }
}

/// The records with the `nth` published event changed.
fn altered(records: &[Record], nth: usize, change: impl Fn(&mut Published)) -> (Vec<Record>, u64) {
    let mut records = records.to_vec();
    let mut published = records.iter_mut().filter(|r| matches!(event(r), Event::Published(_)));
    let record = published.nth(nth).expect("so many were published");
    let Event::Published(mut p) = event(record) else { unreachable!("filtered") };
    change(&mut p);
    record.payload = Event::Published(p).encode();
    let seq = record.seq;
    (records, seq)
}

fn rebuilt(records: &[Record], recompute: Recompute) -> Result<(), RebuildingError> {
    let disk: Arc<dyn Disk> = Arc::new(journal_of(records));
    rebuild_journal(disk, Path::new(JOURNAL), Rebuild::of(recompute), &mut |_, _| {}).map(|_| ())
}

#[test]
fn a_release_that_is_not_as_it_was_signed_is_found_by_either_way() {
    let mut world = lived();
    let records = world.records(1);
    let published = records.iter().filter(|r| matches!(event(r), Event::Published(_))).count();
    // Root and count of a checkpoint, where they stand in it (spec 3.4.1).
    let root = |p: &mut Published| {
        let at = p.checkpoint.windows(32).position(|w| w == p.root).expect("the root is in it");
        p.root[0] ^= 1;
        p.checkpoint[at] ^= 1;
    };
    let (changed, _) = altered(&records, published - 1, root);
    for recompute in [Recompute::Newest, Recompute::EverySerial] {
        let error = rebuilt(&changed, recompute).expect_err("another root");
        assert!(error.to_string().contains("recomputing the root"), "{error}");
    }
    let last = |p: &mut Published| *p.checkpoint.last_mut().expect("208 bytes") ^= 1;
    for nth in [0, published / 2, published - 1] {
        let (changed, seq) = altered(&records, nth, last);
        let error = rebuilt(&changed, Recompute::Newest).expect_err("another checkpoint");
        let RebuildingError::Event { seq: found, error: RebuildError::Differs { what, .. } } = error else {
            panic!("{error}")
        };
        assert_eq!((found, what), (seq, "the checkpoint"));
    }
    // A root that is wrong long ago is found only by making that table again.
    let (changed, _) = altered(&records, 0, root);
    assert!(rebuilt(&changed, Recompute::EverySerial).is_err());
}

#[test]
fn an_event_that_cannot_be_read_or_follow_is_named() {
    let records = lived().records(1);
    let at = records.iter().position(|r| matches!(event(r), Event::Released(_))).expect("a release");
    let Event::Released(mut r) = event(&records[at]) else { unreachable!("found") };
    r.changes = Changes { added: r.changes.added + 1, ..r.changes };
    let mut changed = records.clone();
    changed[at].payload = Event::Released(r).encode();
    let mut cut = records.clone();
    cut[at].payload.pop();
    for (records, word) in [(changed, "what the release changes"), (cut, "bytes")] {
        let error = rebuilt(&records, Recompute::Newest).expect_err("not as lived").to_string();
        assert!(error.contains(&format!("event {}", at + 1)) && error.contains(word), "{error}");
    }
}

#[test]
fn a_journal_is_verified_alike_on_any_number_of_threads() {
    let records = lived().records(1);
    let disk = journal_of(&records);
    let shared = || -> Arc<dyn Disk> { Arc::new(disk.clone()) };
    let expected = verify(shared(), Path::new(JOURNAL), &mut |_, _| {}).expect("whole");
    assert_eq!(expected.events, records.len() as u64);
    let segments: Vec<_> = disk.list(Path::new(JOURNAL)).expect("a journal").into_iter().collect();
    let segments: Vec<_> = segments.iter().filter(|f| f.to_string_lossy().ends_with(".journal")).collect();
    assert!(segments.len() > 3, "{}", segments.len());
    for cores in 1..5 {
        let mut told = (0, 0);
        let found = verify_journal(shared(), Path::new(JOURNAL), cores, &mut |done, all| told = (done, all));
        assert_eq!(found.expect("whole"), expected);
        assert_eq!(told, (expected.groups, expected.groups));
    }
    // Damage in two segments: the first is named.
    for segment in [segments[1], segments[3]] {
        disk.damage(segment, 4096 + 200, 0x10).expect("a byte of its first group");
    }
    let first = verify(shared(), Path::new(JOURNAL), &mut |_, _| {}).expect_err("damaged").to_string();
    assert!(first.contains(&*segments[1].to_string_lossy()), "{first}");
    for cores in 1..5 {
        let found = verify_journal(shared(), Path::new(JOURNAL), cores, &mut |_, _| {});
        assert_eq!(found.expect_err("damaged").to_string(), first);
    }
}

#[test]
fn an_audit_verifies_all_that_is_signed_and_says_what_it_cannot() {
    let mut world = lived();
    let lived = world.records(1);
    let disk = journal_of(&lived);
    let audited = audited(&world, &disk).expect("as it was signed");
    let count = |is: fn(&Event) -> bool| lived.iter().filter(|record| is(&event(record))).count() as u64;
    let receipts = count(|e| match e {
        Event::Reported(r) => r.authored.is_some(),
        Event::Amended(_) => true,
        Event::Withdrawn(w) => w.told.is_some(),
        _ => false,
    });
    assert_eq!(receipts, 9 + 9 + 3);
    let expected = [
        (SignedKind::Delegation, count(|e| matches!(e, Event::Delegated(_)))),
        (SignedKind::Manifest, count(|e| matches!(e, Event::ManifestIssued { .. }))),
        (SignedKind::Checkpoint, count(|e| matches!(e, Event::Published(_)))),
        (SignedKind::Receipt, receipts),
    ];
    assert_eq!(audited.kinds, expected.into_iter().collect());
    assert_eq!(audited.events, lived.len() as u64);
    assert_eq!(audited.unverifiable, Unverifiable { certificates: 0, codes: 9 });
    // The audit of what came after a state.
    let mut state = State::new();
    lived[..lived.len() / 2].iter().for_each(|r| {
        tekd::engine::replay(&mut state, r).expect("it was lived");
    });
    let mut audit = Audit::from_state(world.trust(), &state).expect("its delegation holds");
    for record in &lived[lived.len() / 2..] {
        let signed = audit.push(record).expect("it was lived");
        signed.iter().for_each(|signed| signed.verify().expect("it was signed"));
    }
    assert_eq!(records(&world.disk, 1).len(), lived.len());
}

#[test]
fn an_audit_finds_each_signature_that_was_changed() {
    let mut world = lived();
    let lived = world.records(1);
    let mut kinds = std::collections::BTreeSet::new();
    for (at, record) in lived.iter().enumerate() {
        let mut changed = event(record);
        let kind = match &mut changed {
            Event::Delegated(bytes) => (SignedKind::Delegation, bytes.last_mut()),
            Event::ManifestIssued { bytes, .. } => (SignedKind::Manifest, bytes.last_mut()),
            Event::Published(p) => (SignedKind::Checkpoint, p.signatures.last_mut()),
            Event::Reported(r) => {
                let told = r.authored.as_mut().map(|authored| &mut authored.told);
                (SignedKind::Receipt, told.and_then(|told| told.signature.last_mut()))
            }
            Event::Amended(a) => (SignedKind::Receipt, a.told.signature.last_mut()),
            Event::Withdrawn(w) => {
                (SignedKind::Receipt, w.told.as_mut().and_then(|told| told.signature.last_mut()))
            }
            _ => continue,
        };
        let (kind, Some(byte)) = kind else { continue };
        *byte ^= 1;
        let mut records = lived.clone();
        records[at].payload = changed.encode();
        // The chain is made over it: only the signature tells.
        let disk = journal_of(&records);
        verify(Arc::new(disk.clone()), Path::new(JOURNAL), &mut |_, _| {}).expect("a whole journal");
        let error = audited(&world, &disk).expect_err("a changed signature");
        let said = format!("event {}: the {} does not hold", record.seq, kind.name());
        assert!(error.to_string().starts_with(&said), "{error}");
        kinds.insert(kind);
    }
    assert_eq!(kinds.len(), SignedKind::ALL.len(), "a life with every kind");
}

#[test]
fn a_receipt_of_another_event_does_not_pass() {
    let mut world = lived();
    let mut changed = world.records(1);
    let at: Vec<usize> = (0..changed.len())
        .filter(|at| matches!(event(&changed[*at]), Event::Reported(r) if r.authored.is_some()))
        .take(2)
        .collect();
    let (Event::Reported(mut one), Event::Reported(two)) = (event(&changed[at[0]]), event(&changed[at[1]]))
    else {
        unreachable!("filtered")
    };
    one.authored = two.authored;
    changed[at[0]].payload = Event::Reported(one).encode();
    let error = audited(&world, &journal_of(&changed)).expect_err("another receipt").to_string();
    let said = format!("event {}: the receipt does not hold", changed[at[0]].seq);
    assert!(error.starts_with(&said), "{error}");
}
