//! Which entries are decoys stands in the journal and nowhere else.
//!
//! The journal of a day is replayed as it is and with every decoy turned into a report of a provider: what is
//! public is the same to the byte.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tekd::engine::{
    Applied, BuiltTable, CodeOrder, Event, Input, Kind, Place, Presented, Reply, ReportRequest, Seeded,
    State, TableContext, next_table,
};
use tekd::node::{OriginOptions, SingleOrigin, SteppedClock, journal_path, set_path};
use tekd::store::journal::{JournalReader, Record};
use tekd::store::{Disk, MemoryDisk, MemoryMode, read_file};
use tekd::wire::report::{Outcome, ReportType, RequestKind};

use crate::epidemic::{BEGIN, DAY_S, Dice, Family, Person, person};
use crate::world::SET;

const REPORTS: usize = 40;
const DIR: &str = "/data";
const NAME: &str = "a provider's name";
const INTERVAL_S: u64 = 900;

/// What the journal made: all state and the newest table.
struct Folded {
    state: State,
    table: BuiltTable,
}

fn fold(events: impl Iterator<Item = (u64, u64, Event)>) -> Folded {
    let (mut state, mut table) = (State::new(), None);
    for (seq, time, event) in events {
        let applied = state.apply(seq, time, &event).expect("this event follows");
        if let Applied::Released(outcome) = applied {
            let schema = state.set(SET).expect("the set").params().schema;
            let version = state.version(outcome.serial);
            let context = TableContext { service: state.service(), version, schema };
            table = Some(next_table(&context, table.as_ref(), &outcome, Place::Memory).expect("memory"));
        }
    }
    Folded { state, table: table.expect("releases were made") }
}

/// The same decision, had every decoy been a real report.
fn unmasked(event: Event) -> Event {
    match event {
        Event::Reported(mut reported) => {
            reported.provider = 1;
            Event::Reported(reported)
        }
        Event::Released(mut released) => {
            assert!(released.decoys_leaving.is_empty(), "nothing was withdrawn");
            released.changes.added += std::mem::take(&mut released.changes.decoys_added);
            Event::Released(released)
        }
        other => other,
    }
}

/// Lives through ten hours with some reports; the origin and what must never be public.
fn live(dice: &mut Dice, disk: &Arc<MemoryDisk>) -> (SingleOrigin, Vec<Vec<u8>>) {
    let clock = Arc::new(SteppedClock::new(BEGIN));
    let options = OriginOptions { disk: disk.clone(), dir: PathBuf::from(DIR), segment_bytes: 1 << 20 };
    let random = Box::new(Seeded::new(u64::from_le_bytes(dice.bytes())));
    let mut origin =
        SingleOrigin::open(options, MemoryMode::Copy, clock.clone(), random).expect("a new disk");
    let turn = |origin: &mut SingleOrigin, input| origin.turn(input).expect("nothing is refused");
    turn(&mut origin, Input::AddProvider { name: NAME.to_owned(), issuer: None, key: None });
    let (report_type, count) = (ReportType::Confirmed, u32::try_from(REPORTS).expect("few"));
    let order =
        CodeOrder { provider: 1, set: SET, count, report_type, onset_day: None, lifetime_s: 2 * DAY_S };
    let Reply::Codes(issued) = turn(&mut origin, Input::IssueCodes(order)) else { panic!("no codes") };
    let mut private = vec![NAME.as_bytes().to_vec()];
    for (i, code) in issued.codes.into_iter().enumerate() {
        let Person { keys, last, onset_day, .. } = person(dice, Family::Mixed, BEGIN + i as u64 * INTERVAL_S);
        let request = ReportRequest {
            set: SET,
            kind: RequestKind::Submit,
            report: dice.bytes(),
            secret: dice.bytes(),
            report_type: None,
            onset_day,
            grant: Presented::Code(code),
            puzzle: ([0; 16], 0),
            grant_bytes: Vec::new(),
            keys,
            content: dice.bytes(),
        };
        private.extend([code.to_text().into_bytes(), request.report.to_vec(), request.secret.to_vec()]);
        private.push(request.content.to_vec());
        // Ten hours do not end the embargo of a key that is valid until the end of the day.
        if !request.keys.iter().any(|k| k.key == last.key && k.period < last.period) {
            private.push(last.key.as_bytes().to_vec());
        }
        let reply = turn(&mut origin, Input::Report(Box::new(request)));
        assert!(matches!(&reply, Reply::Report(r) if r.outcome == Outcome::Done), "{reply:?}");
        clock.advance(INTERVAL_S);
        origin.tick().expect("the disk is well");
    }
    origin.idle().expect("the disk is well");
    (origin, private)
}

fn records(disk: &Arc<MemoryDisk>) -> Vec<Record> {
    let disk: Arc<dyn Disk> = disk.clone();
    let reader = JournalReader::from_seq(disk, &journal_path(Path::new(DIR)), 1).expect("a journal");
    reader.flat_map(|group| group.expect("a whole group").records).collect()
}

/// Everything readers can get: files of the set, manifest, checkpoint, objects.
fn public(disk: &MemoryDisk, origin: &SingleOrigin) -> Vec<u8> {
    let mut bytes = Vec::new();
    for file in disk.list(&set_path(Path::new(DIR), SET)).expect("the set's folder") {
        bytes.extend(read_file(disk, &file, 1 << 30).expect("a file of the set"));
    }
    let view = origin.view().load();
    let set = view.set(SET).expect("the set");
    let release = set.release.as_ref().expect("a release");
    bytes.extend_from_slice(&set.manifest);
    bytes.extend_from_slice(&release.checkpoint_answer);
    bytes.extend_from_slice(release.generation.entry_bytes());
    let full = release.objects.offer(Kind::Live, 0).expect("the full set");
    bytes.extend_from_slice(release.objects.get(&full.digest).expect("it is there"));
    bytes
}

pub(crate) fn check(seed: u64) {
    let (mut dice, disk) = (Dice(Seeded::new(seed)), Arc::new(MemoryDisk::new()));
    let (origin, mut private) = live(&mut dice, &disk);
    let events: Vec<(u64, u64, Event)> = records(&disk)
        .iter()
        .map(|r| (r.seq, r.time_s, Event::decode(r.kind, r.version, &r.payload).expect("an event")))
        .collect();
    let decoys = |(_, _, event): &(u64, u64, Event)| match event {
        Event::Reported(reported) if reported.is_decoy() => Some(reported.report.to_vec()),
        _ => None,
    };
    let ids: Vec<Vec<u8>> = events.iter().filter_map(decoys).collect();
    assert!(ids.len() > REPORTS, "{} decoys", ids.len());
    private.extend(ids);

    let told = fold(events.clone().into_iter());
    let other = fold(events.into_iter().map(|(seq, time, event)| (seq, time, unmasked(event))));
    assert_eq!((told.state.seq(), told.table.built), (other.state.seq(), other.table.built));
    assert_eq!(told.table.generation.entry_bytes(), other.table.generation.entry_bytes());
    let [a, b] = [&told, &other].map(|folded| folded.state.set(SET).expect("the set"));
    assert_eq!((a.published_checkpoint(), a.manifest()), (b.published_checkpoint(), b.manifest()));
    assert!(a.history() == b.history() && a.history() == told.table.generation.entry_bytes());

    let bytes = public(&disk, &origin);
    let schema = a.params().schema;
    let public_key = &a.history()[..schema.key_len()];
    assert!(contains(&bytes, public_key), "what is public is found");
    for secret in &private {
        assert!(!contains(&bytes, secret), "{} is public", String::from_utf8_lossy(secret));
    }
    println!("{} bytes are public, none of {} private texts and ids is in them", bytes.len(), private.len());
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
