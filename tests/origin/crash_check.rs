//! What a recovered origin must be: the beginning of the recorded life, with all that was confirmed and
//! nothing else, and readers who never go back.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;

use tekd::authority::Grant;
use tekd::engine::{Event, Input, Moment, Rebuild, SetState, State, replay};
use tekd::store::MemoryDisk;
use tekd::store::journal::Record;

use super::crash::Open;
use super::crash_tape::{Known, SETS};
use super::world::{Dice, World, event, imported};

/// Of so many recoveries one is rebuilt from event one.
const REBUILT: u64 = 16;
/// Of so many recoveries one takes a report more.
const GOES_ON: u64 = 4;
/// Events of a first start: the next start makes others in place of those that are not confirmed.
pub(super) const FOUNDING: u64 = 6;
/// Kinds of events by which a start finishes what was begun: 4 manifest-issued, 9 published, 10 adopted,
/// 18 codes-voided, 19 seal-key-made.
const FINISHING: [u16; 5] = [4, 9, 10, 18, 19];

/// The life as it was recorded.
pub(super) struct Reference {
    pub(super) records: Vec<Record>,
    /// The state after so many events, hashed.
    states: Vec<u64>,
    /// Root of each published version of a set.
    roots: BTreeMap<(u32, u64), [u8; 32]>,
    open: Open,
}

/// What a recovery found, as far as it is compared with what was known.
pub(super) struct Found {
    /// How many events of the life are there.
    events: u64,
    shown: BTreeMap<u32, u64>,
}

fn hashed(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

impl Reference {
    pub(super) fn new(records: Vec<Record>, open: Open) -> Reference {
        let (mut state, mut states) = (State::new(), vec![hashed(&State::new().to_bytes())]);
        let (mut roots, mut incarnation) = (BTreeMap::new(), 1);
        let mut rebuild = Rebuild::new();
        for record in &records {
            replay(&mut state, record).expect("it was lived");
            rebuild.push(record).expect("it was lived");
            states.push(hashed(&state.to_bytes()));
            match event(record) {
                Event::Adopted { incarnation: next, .. } => incarnation = next,
                Event::Published(p) => {
                    let version = u64::from(incarnation) << 32 | u64::from(p.serial);
                    assert!(roots.insert((p.set, version), p.root).is_none(), "each version once");
                }
                _ => {}
            }
        }
        spent_with_report(&records, &state);
        Reference { records, states, roots, open }
    }

    /// Starts an origin on what a power cut left, and compares it with the life.
    pub(super) fn recover(&self, image: MemoryDisk, now: u64, pick: u64) -> Result<Found, String> {
        let now = Moment { unix: now + 1, monotonic_ms: 0 };
        let open = AssertUnwindSafe(|| (self.open)(image, now, !pick));
        let opened = std::panic::catch_unwind(open).map_err(|_| "it panics".to_owned())?;
        let mut world = opened.map_err(|error| format!("it does not start: {error}"))?;
        let records = world.records(1);
        let first = records.first().map_or(1, |record| record.seq);
        let behind = self.records.get(first as usize - 1..).unwrap_or_default();
        let same = records.iter().zip(behind).take_while(|(found, lived)| found == lived).count();
        let events = first - 1 + same as u64;
        let own = &records[same..];
        let finishing = |record: &Record| events < FOUNDING || FINISHING.contains(&record.kind);
        if let Some(other) = own.iter().find(|record| !finishing(record)) {
            return Err(format!("event {} is another than was lived: {}", other.seq, event(other).name()));
        }
        self.same_state(&world, events, own, first)?;
        let shown = self.shown(&world)?;
        let unfinished = |set: &u32| world.origin.state().set(*set).is_some_and(SetState::in_flight);
        if let Some(set) = SETS.into_iter().find(unfinished) {
            return Err(format!("a release of set {set} was begun and is not finished"));
        }
        if first == 1 && pick.is_multiple_of(REBUILT) {
            let mut rebuild = Rebuild::new();
            records.iter().try_for_each(|r| rebuild.push(r)).map_err(|error| error.to_string())?;
        }
        if pick.is_multiple_of(GOES_ON) {
            goes_on(&mut world, pick)?;
        }
        Ok(Found { events, shown })
    }

    /// state-is-a-fold: the state is that of the same number of events, replayed.
    fn same_state(&self, world: &World, events: u64, own: &[Record], first: u64) -> Result<(), String> {
        let found = hashed(&world.origin.state().to_bytes());
        let expected = if own.is_empty() {
            self.states[events as usize]
        } else {
            let mut state = State::new();
            let lived = self.records[..events as usize].iter();
            for record in lived.chain(own) {
                replay(&mut state, record).map_err(|error| error.to_string())?;
            }
            hashed(&state.to_bytes())
        };
        if found == expected {
            return Ok(());
        }
        Err(format!("the state is not that of the journal's {events} events from {first} on"))
    }

    fn shown(&self, world: &World) -> Result<BTreeMap<u32, u64>, String> {
        let view = world.view.load();
        let mut shown = BTreeMap::new();
        for set in SETS {
            let Some(release) = view.set(set).and_then(|s| s.release.as_ref()) else { continue };
            let version = release.checkpoint.version();
            if self.roots.get(&(set, version)) != Some(&release.checkpoint.root()) {
                return Err(format!("version {version:x} of set {set} has another root than was published"));
            }
            shown.insert(set, version);
        }
        Ok(shown)
    }
}

impl Found {
    /// What was known before is still so.
    pub(super) fn keeps(&self, known: &Known) -> Result<(), String> {
        if self.events < known.confirmed {
            return Err(format!("{} events of {} confirmed ones", self.events, known.confirmed));
        }
        for (set, version) in &known.shown {
            if self.shown.get(set).is_none_or(|shown| shown < version) {
                return Err(format!("readers of set {set} go back from version {version:x}"));
            }
        }
        Ok(())
    }
}

/// It takes a report more, confirms it, and finds it after a clean stop.
fn goes_on(world: &mut World, pick: u64) -> Result<(), String> {
    let start = u32::try_from((world.now.unix / 86_400 - 2) * 144).expect("this century");
    let key = Dice::new(pick).key(16);
    let keys = vec![imported(key, start, 144)];
    let import = Input::Import { set: SETS[0], provider: "after".to_owned(), keys };
    let reply = world.try_turn(import).map_err(|error| format!("it does not go on: {error}"))?;
    reply.map_err(|refusal| format!("it does not go on: {refusal}"))?;
    let seq = world.origin.head().seq;
    let last = world.records(seq).pop().ok_or("the last event is not in the journal")?;
    match event(&last) {
        Event::Reported(r) if last.seq == seq && r.keys[0].key == key => Ok(()),
        other => Err(format!("the last event is {}", other.name())),
    }
}

/// spent-with-report: a code is spent if and only if a report or an amendment spent it, that one.
fn spent_with_report(records: &[Record], state: &State) {
    let mut spending = BTreeSet::new();
    for record in records {
        let grant = match event(record) {
            Event::Reported(r) => r.grant,
            Event::Amended(a) => a.grant,
            _ => continue,
        };
        if let Grant::Code { batch, index } = grant {
            assert!(spending.insert((batch, index, record.seq)));
        }
    }
    // What no report could spend any more is forgotten.
    spending.retain(|(batch, ..)| state.registry().batches.contains_key(batch));
    let spent = state.registry().batches.iter();
    let spent =
        spent.flat_map(|(number, batch)| batch.spent.iter().map(|(index, seq)| (*number, *index, *seq)));
    assert_eq!(spent.collect::<BTreeSet<_>>(), spending, "spent codes and their events");
}
