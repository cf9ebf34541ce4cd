//! An origin that lives through an epidemic, and what the public saw of it beside the truth.
//!
//! Writer and journal are the real ones, on a disk in memory. The tables of releases are not built: what
//! stands in them follows from the outcome of each release, which is compared with the history of the set.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use tekd::authority::Scope;
use tekd::engine::{
    BuiltRelease, CodeOrder, DEFAULT_PARAMS, Input, Moment, ParamsChange, Presented, PresentedKey,
    ReleaseOutcome, Reply, ReportReply, ReportRequest, Seeded, SetState, Ticket, Work,
};
use tekd::node::{NOBODY, Origin, OriginOptions};
use tekd::release::{EntryView, Fields, LIVE, Schema};
use tekd::store::MemoryDisk;
use tekd::time::next_border;
use tekd::wire::Key;
use tekd::wire::report::{Outcome, ReportType, RequestKind};

use crate::epidemic::{
    BEGIN, DAY_S, DAYS, Dice, ERRED_SINCE, ERRING, Family, Fate, PROVIDERS, Person, Step, course, outbreak,
};

pub(crate) const SET: u32 = 1;
const ASKED: Ticket = Ticket(1);

/// An entry as it stands in the history of the set, and who made it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) fields: Fields,
    pub(crate) add: u32,
    pub(crate) del: u32,
    /// Whether the key had an entry before.
    pub(crate) again: bool,
    /// The report it is of; none for a decoy. Nothing public tells it.
    pub(crate) owner: Option<usize>,
}

/// Everything that was ever public, with the truth.
pub(crate) struct Seen {
    pub(crate) schema: Schema,
    pub(crate) entries: Vec<Entry>,
    /// Day of each release.
    pub(crate) days: BTreeMap<u32, u32>,
    /// Horizon of the newest.
    horizon: u32,
}

pub(crate) struct World {
    origin: Origin,
    now: Moment,
    dice: Dice,
    people: Vec<Person>,
    reports: HashMap<usize, ([u8; 16], [u8; 32], u64)>,
    owners: HashMap<Key, usize>,
    newest: HashMap<Key, usize>,
    seen: Seen,
}

/// How the set differs from the defaults.
pub(crate) fn live_through(seed: u64, family: Family, change: ParamsChange) -> Seen {
    let mut dice = Dice(Seeded::new(seed));
    let people = outbreak(&mut dice, family);
    let mut world = World::found(seed, dice, people, change);
    let mut steps = course(&world.people);
    let end = BEGIN + (DAYS + 1) * DAY_S;
    while world.now.unix < end {
        let border = next_border(world.now.unix, DEFAULT_PARAMS.interval_s.into());
        while let Some((at, step)) = steps.first().copied().filter(|(at, _)| *at < border) {
            steps.pop_first();
            world.pass_to(at);
            world.take(step);
        }
        world.pass_to(border);
        world.turn(Input::Tick);
        if border.is_multiple_of(DAY_S) {
            world.compare();
        }
    }
    world.seen
}

impl World {
    fn found(seed: u64, dice: Dice, people: Vec<Person>, change: ParamsChange) -> World {
        let disk = Arc::new(MemoryDisk::new());
        let options = OriginOptions { disk, dir: PathBuf::from("/data"), segment_bytes: 1 << 20 };
        let now = Moment { unix: BEGIN, monotonic_ms: 1000 };
        let origin = Origin::open(options, now, Box::new(Seeded::new(!seed))).expect("an empty disk");
        let schema = change.schema.unwrap_or(DEFAULT_PARAMS.schema);
        let seen = Seen { schema, entries: Vec::new(), days: BTreeMap::new(), horizon: 0 };
        let owners = people
            .iter()
            .enumerate()
            .flat_map(|(i, p)| p.keys.iter().chain([&p.last]).map(move |k| (k.key, i)))
            .collect();
        let (reports, newest) = (HashMap::new(), HashMap::new());
        let mut world = World { origin, now, dice, people, reports, owners, newest, seen };
        world.turn(Input::Configure { set: SET, change });
        for i in 0..PROVIDERS {
            world.turn(Input::AddProvider { name: format!("provider {i}"), issuer: None, key: None });
        }
        world
    }

    fn set(&self) -> &SetState {
        self.origin.state().set(SET).expect("the set of a new origin")
    }

    fn pass_to(&mut self, unix: u64) {
        self.now.monotonic_ms += (unix - self.now.unix) * 1000;
        self.now.unix = unix;
    }

    fn turn(&mut self, input: Input) -> Reply {
        let mut inputs = vec![(ASKED, input)];
        let mut asked = None;
        while !inputs.is_empty() {
            let done = self.origin.step(self.now, std::mem::take(&mut inputs)).expect("the disk is well");
            for (ticket, reply) in done.replies {
                let reply = reply.expect("nothing here is refused");
                if ticket == ASKED {
                    asked = Some(reply);
                }
            }
            for work in done.work {
                if let Work::Build(_, outcome) = work {
                    let (set, serial, count) = (outcome.set, outcome.serial, outcome.live);
                    let built = BuiltRelease { set, serial, count, root: [0; 32], history_digest: [0; 32] };
                    inputs.push((NOBODY, Input::Built(built)));
                    self.look_at(&outcome);
                }
            }
        }
        asked.expect("every input is answered")
    }

    /// Notes what a release shows.
    fn look_at(&mut self, outcome: &ReleaseOutcome) {
        let (serial, seen) = (outcome.serial, &mut self.seen);
        seen.horizon = outcome.horizon;
        seen.days.insert(serial, u32::try_from(outcome.time / DAY_S).expect("this century"));
        for (key, add) in &outcome.dels {
            let entry = &mut seen.entries[self.newest[key]];
            assert_eq!((entry.add, entry.del), (*add, LIVE));
            entry.del = serial;
        }
        for (key, fields) in &outcome.adds {
            let again = self.newest.insert(*key, seen.entries.len()).is_some();
            let owner = self.owners.get(key).copied();
            seen.entries.push(Entry { key: *key, fields: *fields, add: serial, del: LIVE, again, owner });
        }
    }

    /// What was noted is what the history of the set says, byte for byte.
    fn compare(&self) {
        let (schema, history) = (self.seen.schema, self.set().history());
        let mut noted: Vec<&Entry> = self.seen.entries.iter().collect();
        noted.sort_unstable_by_key(|e| (e.key.as_bytes(), e.add));
        let mut bytes = Vec::new();
        for e in noted {
            if tekd::time::is_live(e.fields.start, e.fields.period, self.seen.horizon) {
                schema.history_entry(e.key.as_bytes(), &e.fields, e.add, e.del, &mut bytes);
            }
        }
        assert!(bytes == history, "the outcomes of releases make another history than the set's");
        let entries: Vec<EntryView<'_>> = schema.views(&history).collect();
        // unlinkable: nothing is left of the order in which keys came.
        assert!(entries.is_sorted_by_key(|e| (e.key, e.add_serial)));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Submit(i) => self.submit(i),
            Step::Cancel(i) => {
                let reply = self.ask(i, RequestKind::Cancel, None, Vec::new());
                assert!(matches!(reply.outcome, Outcome::Done | Outcome::Withdrawn), "{reply:?}");
            }
            Step::Continue(i) => {
                let key = self.people[i].last.clone();
                let reply = self.ask(i, RequestKind::Amend, None, vec![key]);
                assert!(matches!(reply.outcome, Outcome::Done | Outcome::Withdrawn), "{reply:?}");
            }
            Step::Revise(i) => {
                let Fate::Revised(report_type, _) = self.people[i].fate else { return };
                let reply = self.ask(i, RequestKind::Amend, Some(report_type), Vec::new());
                assert!(matches!(reply.outcome, Outcome::Done | Outcome::Withdrawn), "{reply:?}");
            }
            Step::Withdraw(i) => {
                let scope = Scope::Report { report: self.reports[&i].2 };
                self.withdraw(scope);
            }
            Step::RollBack => {
                let provider = provider(ERRING);
                self.withdraw(Scope::Provider { provider, since: ERRED_SINCE });
            }
        }
    }

    fn withdraw(&mut self, scope: Scope) {
        if self.origin.state().would_take_back(&scope).keys > 0 {
            let reason = "mistaken".to_owned();
            self.turn(Input::Withdraw { scope, urgent: false, reason, dry_run: false });
        }
    }

    fn submit(&mut self, i: usize) {
        let person = &self.people[i];
        let (report_type, keys) = (person.report_type, person.keys.clone());
        let (report, secret) = (self.dice.bytes(), self.dice.bytes());
        self.reports.insert(i, (report, secret, 0));
        let sent = keys.len();
        let reply = self.ask(i, RequestKind::Submit, Some(report_type), keys);
        assert_eq!(reply.outcome, Outcome::Done);
        assert_eq!(reply.standing.map(|s| usize::from(s.keys)), Some(sent), "{:?}", reply.verdicts);
        let (seq, _) = self.set().report(&report).expect("it was stored");
        self.reports.insert(i, (report, secret, seq));
    }

    /// Sends a request of a person; with a report type, under a fresh code for it.
    fn ask(
        &mut self,
        i: usize,
        kind: RequestKind,
        granted: Option<ReportType>,
        keys: Vec<PresentedKey>,
    ) -> ReportReply {
        let (report, secret, _) = self.reports[&i];
        let grant = granted.map_or(Presented::None, |report_type| {
            let provider = provider(self.people[i].provider);
            let order =
                CodeOrder { provider, set: SET, count: 1, report_type, onset_day: None, lifetime_s: DAY_S };
            match self.turn(Input::IssueCodes(order)) {
                Reply::Codes(issued) => Presented::Code(issued.codes[0]),
                other => panic!("codes are answered with codes, not {other:?}"),
            }
        });
        let secret = if kind == RequestKind::Submit { hash(&secret) } else { secret };
        let request = ReportRequest {
            set: SET,
            kind,
            report,
            secret,
            report_type: None,
            onset_day: self.people[i].onset_day,
            grant,
            puzzle: ([0; 16], 0),
            grant_bytes: Vec::new(),
            keys,
            content: self.dice.bytes(),
        };
        match self.turn(Input::Report(Box::new(request))) {
            Reply::Report(reply) => *reply,
            other => panic!("a report is answered with a reply, not {other:?}"),
        }
    }
}

fn hash(secret: &[u8; 32]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(secret).into()
}

/// Providers are numbered from 1, in the order they were made.
fn provider(i: usize) -> u32 {
    u32::try_from(i + 1).expect("few providers")
}
