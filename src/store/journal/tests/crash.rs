//! Power cuts and failing disks at every operation of a workload.

use std::path::Path;

use super::*;
use crate::store::{Fault, OperationKind};

/// What the writer was told while the workload ran.
#[derive(Debug, Default, Clone, Copy)]
struct Ledger {
    created: bool,
    acked: u64,
    attempted: u64,
    trimmed_gno: u64,
}

fn tracked(
    journal: &mut LocalJournal,
    ledger: &mut Ledger,
    lens: &[usize],
    now_ms: u64,
) -> Result<(), AppendError> {
    ledger.attempted = journal.head().seq + lens.len() as u64;
    ledger.acked = append(journal, lens, now_ms)?.seq;
    Ok(())
}

/// Appends, rolls by size and by day into segments made ahead and others, head slots and a trim, until the
/// disk fails.
fn workload(disk: &MemoryDisk, ledger: &mut Ledger) -> Option<()> {
    let mut journal = LocalJournal::create(shared(disk), Path::new(DIR), LOG, 1, OPTIONS).ok()?;
    ledger.created = true;
    for step in 0..16_u64 {
        let now_ms = NOON + step / 9 * DAY_MS;
        let lens: &[usize] = match step % 5 {
            0 => &[10],
            1 => &[4000, 300],
            2 => &[1; 30],
            3 => &[420_000],
            _ => &[6000, 0, 6000],
        };
        if step % 3 == 1 {
            journal.make_room(50_000, now_ms).ok()?;
        }
        tracked(&mut journal, ledger, lens, now_ms).ok()?;
        if let Some(work) = journal.wants_ahead().ok()? {
            work().ok()?;
        }
        if step % 6 == 3 {
            journal.idle().ok()?;
        }
        if step == 13 {
            ledger.trimmed_gno = 12;
            journal.trim(ledger.trimmed_gno, u64::MAX).ok()?;
        }
    }
    journal.idle().ok()
}

/// Opens what a crash left and checks it against the ledger; the head then counts as told.
fn survives(disk: &MemoryDisk, ledger: &mut Ledger, what: &str) -> Option<LocalJournal> {
    let (journal, recovered) = match open(disk) {
        Err(JournalError::Missing { .. }) if !ledger.created => return None,
        opened => opened.unwrap_or_else(|error| panic!("{what}: {error}")),
    };
    let seq = journal.head().seq;
    assert!(seq == ledger.acked || seq == ledger.attempted, "{what}: head {seq}, {ledger:?}");
    assert!(recovered.base.gno < ledger.trimmed_gno.max(1), "{what}: {recovered:?}");
    let expected: Vec<u64> = (recovered.base.seq + 1..=seq).collect();
    assert_eq!(sequence(read(disk)), expected, "{what}");
    assert_eq!(check(disk).unwrap().head, journal.head(), "{what}");
    (ledger.acked, ledger.attempted, ledger.created) = (seq, seq, true);
    Some(journal)
}

/// Crashes twice: at `step` of the workload, and while the survivor is opened and used.
fn crash_twice(frozen: &MemoryDisk, ledger: &Ledger, step: u64, seed: u64) {
    let what = format!("frozen after {step}, seed {seed}");
    let mut told = *ledger;
    let image = frozen.crash(seed);
    if let Some(mut journal) = survives(&image, &mut told, &what) {
        tracked(&mut journal, &mut told, &[500], NOON + 2 * DAY_MS).unwrap();
        survives(&image.crash_clean(), &mut told, &format!("{what}, continued"));
    }
    let again = frozen.crash(seed);
    let mut told = *ledger;
    again.freeze_after(seed % 12);
    if let Ok((mut journal, _)) = open(&again) {
        let seq = journal.head().seq;
        (told.acked, told.attempted) = (seq, seq);
        let _ = tracked(&mut journal, &mut told, &[2000], NOON + 2 * DAY_MS);
    }
    survives(&again.crash(seed ^ 0x5eed), &mut told, &format!("{what}, twice"));
}

#[test]
fn after_a_power_cut_at_any_operation_everything_acknowledged_is_there_once() {
    let whole = MemoryDisk::new();
    workload(&whole, &mut Ledger::default()).expect("nothing fails");
    let steps = whole.operations().len() as u64;
    assert!(steps > 60, "{steps}");
    for step in 0..=steps {
        let disk = MemoryDisk::new();
        let mut ledger = Ledger::default();
        disk.freeze_after(step);
        workload(&disk, &mut ledger);
        for seed in 0..6 {
            crash_twice(&disk, &ledger, step, seed * 1009 + step);
        }
    }
}

/// A disk that is full from the second group on: what goes on is in the reserve.
fn full_workload(disk: &MemoryDisk, ledger: &mut Ledger) -> Option<()> {
    let mut journal = LocalJournal::create(shared(disk), Path::new(DIR), LOG, 1, OPTIONS).ok()?;
    ledger.created = true;
    journal.make_room(500_000, NOON).ok()?;
    disk.set_quota(Path::new(DIR), Some(disk.used(Path::new(DIR)) + 300_000));
    for lens in [&[800_000][..], &[300_000, 10], &[6000], &[20]] {
        tracked(&mut journal, ledger, lens, NOON).ok()?;
    }
    journal.idle().ok()
}

/// A disk that is full once a segment is made ahead: it is taken, and the next one becomes the reserve.
fn full_ahead_workload(disk: &MemoryDisk, ledger: &mut Ledger) -> Option<()> {
    let dir = Path::new(DIR);
    let mut journal = LocalJournal::create(shared(disk), dir, LOG, 1, OPTIONS).ok()?;
    ledger.created = true;
    journal.make_room(500_000, NOON).ok()?;
    let ahead = |journal: &LocalJournal| journal.wants_ahead().ok()?.map(|work| work().ok());
    tracked(&mut journal, ledger, &[600_000], NOON).ok()?;
    ahead(&journal)??;
    disk.set_quota(dir, Some(disk.used(dir)));
    for lens in [&[500_000][..], &[500_000]] {
        tracked(&mut journal, ledger, lens, NOON).ok()?;
    }
    disk.set_quota(dir, Some(disk.used(dir) + MIN_SEGMENT));
    ahead(&journal)??;
    // A group that is too long for what is ready, and for the disk: it needs the reserve, and a new one.
    tracked(&mut journal, ledger, &[900_000], NOON).ok()?;
    journal.make_room(10, NOON).ok()?;
    tracked(&mut journal, ledger, &[10], NOON).ok()?;
    journal.idle().ok()
}

#[test]
fn a_power_cut_on_a_full_disk_loses_nothing_acknowledged() {
    for workload in [full_workload, full_ahead_workload] {
        let whole = MemoryDisk::new();
        workload(&whole, &mut Ledger::default()).expect("there is just room enough");
        assert!(whole.open(&segment(2)).is_ok());
        for step in 0..=whole.operations().len() as u64 {
            let disk = MemoryDisk::new();
            let mut ledger = Ledger::default();
            disk.freeze_after(step);
            workload(&disk, &mut ledger);
            for seed in 0..12 {
                crash_twice(&disk, &ledger, step, seed * 1009 + step);
            }
        }
    }
}

#[test]
fn after_any_failed_operation_nothing_more_is_confirmed_and_nothing_confirmed_is_lost() {
    for kind in [OperationKind::Write, OperationKind::Sync, OperationKind::Rename, OperationKind::SyncDir] {
        for nth in 1..30 {
            let disk = MemoryDisk::new();
            let mut journal = create(&disk);
            let mut ledger = Ledger { created: true, ..Ledger::default() };
            disk.fail(kind, nth, Fault::Eio);
            let mut failed = None;
            for step in 0..8 {
                let lens = [3000 + 90_000 * step as usize];
                if let Err(error) = tracked(&mut journal, &mut ledger, &lens, NOON + step * DAY_MS / 2) {
                    failed = Some(error);
                    break;
                }
            }
            let Some(error) = failed else { continue };
            assert!(matches!(error, AppendError::Failed(_)), "{kind:?} {nth}: {error}");
            let later = append(&mut journal, &[1], NOON).unwrap_err();
            assert!(matches!(&later, AppendError::Stopped { first } if first.contains("error")), "{later}");
            assert!(
                journal.idle().is_err() && journal.trim(1, u64::MAX).is_err() && journal.acquire().is_err()
            );
            let what = format!("{kind:?} {nth}");
            survives(&disk.crash(nth), &mut { ledger }, &what);
            // A restart without a crash sees what memory has; what it accepts must last.
            survives(&disk, &mut ledger, &what);
            survives(&disk.crash_clean(), &mut ledger, &format!("{what}, then a power cut"));
        }
    }
}
