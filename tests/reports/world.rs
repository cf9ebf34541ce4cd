//! An origin on a disk in memory and a stepped clock, and everything that reaches it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tekd::authority::{Code, Scope};
use tekd::client::{Author, Client, MemoryStream, ReportAnswer, ReportDraft, SetClient, SyncReport};
use tekd::engine::{
    AnswerCounters, Carrier, CodeOrder, Cookies, DECOY_PROVIDER, DEFAULT_PARAMS, Gate, Input, IssuedCodes,
    Outcome, Peer, PresentedKey, Random, ReleaseOutcome, Reply, Seeded, SetState, WithdrawCount,
};
use tekd::node::{Clock, OriginOptions, SingleOrigin, SteppedClock, trust_path};
use tekd::release::{Fields, LIVE, Trust};
use tekd::store::{MemoryDisk, MemoryMode, read_file};
use tekd::time::next_border;
use tekd::wire::report::{GRANT_CODE, ReportType, SentKey};
use tekd::wire::{Body, Key, MAX_ANSWER_STREAM, Parsed, parse};

pub(crate) const SET: u32 = 1;
/// 06:00 UTC of a day in 2026.
pub(crate) const MORNING: u64 = 1_790_316_000;
pub(crate) const DAY_S: u64 = 86_400;
const INTERVAL_S: u64 = DEFAULT_PARAMS.interval_s as u64;
pub(crate) const DIR: &str = "/data";
const REASON: &str = "mistaken";
const PEER: Peer = Peer { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), port: 4000, carrier: Carrier::Tls };

const _: () = assert!(MORNING % DAY_S == 6 * 3600 && DEFAULT_PARAMS.decoys);

pub(crate) fn options(disk: &MemoryDisk) -> OriginOptions {
    OriginOptions { disk: Arc::new(disk.clone()), dir: PathBuf::from(DIR), segment_bytes: 1 << 20 }
}

/// The origin's side: what is behind the wire.
pub(crate) struct Core {
    pub(crate) disk: MemoryDisk,
    pub(crate) clock: Arc<SteppedClock>,
    pub(crate) origin: SingleOrigin,
    gate: Gate,
    /// What was drawn by one process must not be drawn by the next.
    opened: u64,
}

impl Core {
    fn open(disk: MemoryDisk, clock: Arc<SteppedClock>, opened: u64) -> Core {
        let time = Arc::clone(&clock) as Arc<dyn Clock>;
        let random = Box::new(Seeded::new(100 + opened));
        let origin = SingleOrigin::open(options(&disk), MemoryMode::Copy, time, random);
        let origin = origin.expect("a whole disk opens");
        let cookies = Cookies::new([7; 32], origin.origin().identity().service_id);
        let gate = Gate::new(Arc::clone(origin.view()), cookies, None, Arc::new(AnswerCounters::default()));
        Core { disk, clock, origin, gate, opened }
    }

    /// What comes back for a frame on a stream.
    pub(crate) fn answer(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        if is_sealed(question) {
            return Some(self.origin.answer_sealed(question));
        }
        let (view, mut out) = (self.origin.view().load(), vec![0; MAX_ANSWER_STREAM]);
        match self.gate.answer_frame(&view, self.clock.now(), PEER, question, &mut out) {
            Outcome::Respond(length) => {
                out.truncate(length);
                Some(out)
            }
            Outcome::Ignore(_) | Outcome::Later(_) => None,
        }
    }

    /// The power is cut, and comes back.
    pub(crate) fn crash(&mut self, seed: u64) {
        let disk = self.disk.crash(seed);
        *self = Core::open(disk, Arc::clone(&self.clock), self.opened + 1);
    }

    /// A clean stop, and a start on what `change` made of the disk.
    pub(crate) fn restart(&mut self, change: impl FnOnce(&MemoryDisk)) {
        self.origin.idle().expect("the disk is well");
        let disk = self.disk.crash_clean();
        change(&disk);
        *self = Core::open(disk, Arc::clone(&self.clock), self.opened + 1);
    }

    pub(crate) fn set(&self) -> &SetState {
        self.origin.origin().state().set(SET).expect("the set of a new origin")
    }
}

pub(crate) fn is_sealed(question: &[u8]) -> bool {
    let service = question[8..16].try_into().expect("8 bytes");
    matches!(parse(question, &service, true), Parsed::Question(_, Body::Sealed(_)))
}

/// An origin, and who asks it.
pub(crate) struct World {
    core: Arc<Mutex<Core>>,
    pub(crate) clock: Arc<SteppedClock>,
    pub(crate) trust: Trust,
    pub(crate) dice: Dice,
    clients: u64,
}

impl World {
    /// Founded in the morning, with one release out.
    pub(crate) fn new(seed: u64) -> World {
        let clock = Arc::new(SteppedClock::new(MORNING));
        let core = Core::open(MemoryDisk::new(), Arc::clone(&clock), 0);
        let trust = read_file(&core.disk, &trust_path(Path::new(DIR)), 1 << 16).expect("trust.json");
        let trust = Trust::parse_json(std::str::from_utf8(&trust).expect("text")).expect("trust");
        let dice = Dice(Seeded::new(seed));
        let mut world = World { core: Arc::new(Mutex::new(core)), clock, trust, dice, clients: 0 };
        assert!(world.core().origin.tick().expect("a key to seal to").is_empty());
        world.next_release();
        world
    }

    /// The same world once more, from what of it is durable.
    pub(crate) fn fork(&self) -> World {
        let mut core = self.core();
        core.origin.idle().expect("the disk is well");
        let clock = Arc::new(SteppedClock::new(self.clock.now().unix));
        let other = Core::open(core.disk.crash_clean(), Arc::clone(&clock), core.opened + 1);
        let (trust, dice) = (self.trust.clone(), self.dice.clone());
        World { core: Arc::new(Mutex::new(other)), clock, trust, dice, clients: self.clients }
    }

    /// The origin's side; to be let go before a client asks.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now().unix
    }

    /// A phone that reaches the origin.
    pub(crate) fn client(&mut self) -> Client<'static> {
        self.client_through(Core::answer)
    }

    /// A phone whose frames go through `relay`. It does not wait for time to pass.
    pub(crate) fn client_through<'e>(
        &mut self,
        mut relay: impl FnMut(&mut Core, &[u8]) -> Option<Vec<u8>> + Send + 'e,
    ) -> Client<'e> {
        self.clients += 1;
        let core = Arc::clone(&self.core);
        let serve =
            move |question: &[u8]| relay(&mut core.lock().unwrap_or_else(PoisonError::into_inner), question);
        let mut random = Seeded::new(1_000_000 + self.clients);
        let fill = move |out: &mut [u8]| random.fill(out);
        Client::new(MemoryStream::new(serve), self.trust.clone(), SET, fill, |_| ())
    }

    #[track_caller]
    pub(crate) fn turn(&self, input: Input) -> Reply {
        self.core().origin.turn(input).expect("it is not refused")
    }

    /// One interval passes, and one release is made.
    #[track_caller]
    pub(crate) fn next_release(&mut self) -> ReleaseOutcome {
        self.pass_to(next_border(self.now(), INTERVAL_S)).pop().expect("each border makes a release")
    }

    /// Time passes until `unix`; the releases that were made on the way.
    #[track_caller]
    pub(crate) fn pass_to(&mut self, unix: u64) -> Vec<ReleaseOutcome> {
        let mut releases = Vec::new();
        while self.now() < unix {
            let border = next_border(self.now(), INTERVAL_S).min(unix);
            self.clock.advance(border - self.now());
            releases.extend(self.core().origin.tick().expect("the disk is well"));
        }
        releases
    }

    pub(crate) fn provider(&self, name: &str) -> u32 {
        match self.turn(Input::AddProvider { name: name.to_owned(), issuer: None, key: None }) {
            Reply::Provider { provider, .. } => provider,
            other => panic!("a provider is answered with its number, not {other:?}"),
        }
    }

    pub(crate) fn codes(&self, provider: u32, count: u32, report_type: ReportType) -> IssuedCodes {
        let (set, onset_day, lifetime_s) = (SET, None, 2 * DAY_S);
        let order = CodeOrder { provider, set, count, report_type, onset_day, lifetime_s };
        match self.turn(Input::IssueCodes(order)) {
            Reply::Codes(issued) => issued,
            other => panic!("codes are answered with codes, not {other:?}"),
        }
    }

    /// One turn that takes claims back or brings them back.
    #[track_caller]
    pub(crate) fn counted(&self, input: Input) -> WithdrawCount {
        match self.turn(input) {
            Reply::Withdrawn(count) => count,
            other => panic!("a withdrawal is answered with counts, not {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn take_back(&self, scope: Scope) -> WithdrawCount {
        self.counted(Input::Withdraw { scope, urgent: false, reason: REASON.to_owned(), dry_run: false })
    }

    #[track_caller]
    pub(crate) fn revoke_batch(&self, batch: u32) -> WithdrawCount {
        self.counted(Input::RevokeBatch {
            batch,
            retroactive: true,
            reason: REASON.to_owned(),
            dry_run: false,
        })
    }

    #[track_caller]
    pub(crate) fn revoke_provider(&self, provider: u32, since: u64) -> WithdrawCount {
        self.counted(Input::SetStanding {
            provider,
            standing: tekd::authority::Standing::Revoked,
            since: Some(since),
            reason: REASON.to_owned(),
            dry_run: false,
        })
    }

    /// A report of `keys` under `code`, which is taken whole.
    #[track_caller]
    pub(crate) fn report(&mut self, code: Code, keys: &[PresentedKey]) -> Author {
        let mut client = self.client();
        let author = Author::new(&mut |out| self.dice.0.fill(out));
        let answer = submit(&mut client, self.now(), &author, code, keys);
        assert_eq!(answer.outcome, tekd::wire::report::Outcome::Done);
        assert_eq!(accepted(&answer), keys.len(), "{:?}", answer.verdicts);
        author
    }

    /// Sequence number of an author's report.
    pub(crate) fn seq(&self, author: &Author) -> u64 {
        self.core().set().report(&author.report).expect("it was stored").0
    }

    /// The keys that the public sees, decoys apart.
    pub(crate) fn reported_live(&self) -> BTreeSet<Key> {
        let core = self.core();
        let set = core.set();
        let decoys: BTreeSet<Key> = set
            .reports()
            .filter(|(_, record)| record.warrant.provider == DECOY_PROVIDER)
            .flat_map(|(seq, _)| set.keys_of(seq).map(|(key, _)| key))
            .collect();
        let history = set.history();
        let live = set.params().schema.views(&history).filter(|e| e.del_serial == LIVE);
        let keys = live.map(|e| Key::from_slice(e.key).expect("a key"));
        keys.filter(|key| !decoys.contains(key)).collect()
    }

    /// What stands in the history about a key: fields, add and del serial of each entry, oldest first.
    pub(crate) fn entries(&self, key: &Key) -> Vec<(Fields, u32, u32)> {
        let core = self.core();
        let (schema, history) = (core.set().params().schema, core.set().history());
        let entries = schema.views(&history).filter(|e| e.key == key.as_bytes());
        entries.map(|e| (schema.read_fields(e.fields).expect("fields"), e.add_serial, e.del_serial)).collect()
    }

    /// Brings a phone's set up to date; everything in the answer is verified.
    #[track_caller]
    pub(crate) fn sync(&mut self, phone: &mut SetClient) -> SyncReport {
        let mut client = self.client_through(|core, question| {
            core.origin.grant_wishes().expect("objects can be made");
            core.answer(question)
        });
        client.sync(phone, false).expect("a sync that verifies")
    }
}

/// Submits `keys` under `code`.
#[track_caller]
pub(crate) fn submit(
    client: &mut Client<'_>,
    now: u64,
    author: &Author,
    code: Code,
    keys: &[PresentedKey],
) -> ReportAnswer {
    let (code, keys) = (code.to_text(), sent(keys));
    let draft = ReportDraft { grant: Some((GRANT_CODE, code.as_bytes())), keys: &keys, ..Default::default() };
    client.submit(now, author, &draft).expect("an answer")
}

/// Adds `keys` to the author's report.
#[track_caller]
pub(crate) fn amend(
    client: &mut Client<'_>,
    now: u64,
    author: &Author,
    keys: &[PresentedKey],
) -> ReportAnswer {
    client.amend(now, author, &ReportDraft { keys: &sent(keys), ..Default::default() }).expect("an answer")
}

pub(crate) fn sent(keys: &[PresentedKey]) -> Vec<SentKey<'_>> {
    keys.iter()
        .map(|k| SentKey { key: k.key.as_bytes(), start: k.start, period: k.period, risk: k.risk })
        .collect()
}

pub(crate) fn accepted(answer: &ReportAnswer) -> usize {
    answer.verdicts.iter().filter(|v| **v == tekd::wire::report::Verdict::Accepted).count()
}

/// Numbers from a seed.
#[derive(Clone)]
pub(crate) struct Dice(pub(crate) Seeded);

impl Dice {
    /// A fresh key of the day `ago` days before that of `unix`.
    pub(crate) fn key(&mut self, unix: u64, ago: u64, risk: u8) -> PresentedKey {
        let mut bytes = [0; 16];
        self.0.fill(&mut bytes);
        let start = u32::try_from((unix / DAY_S - ago) * 144).expect("this century");
        PresentedKey { key: Key::from_slice(&bytes).expect("16 bytes"), start, period: 144, risk }
    }

    /// Fresh keys, one a day, the newest of the day `ago` days before that of `unix`.
    pub(crate) fn days(&mut self, unix: u64, ago: u64, n: u64) -> Vec<PresentedKey> {
        (ago..ago + n).map(|ago| self.key(unix, ago, 3)).collect()
    }

    pub(crate) fn author(&mut self) -> Author {
        Author::new(&mut |out| self.0.fill(out))
    }
}

pub(crate) fn keys_of(presented: &[PresentedKey]) -> BTreeSet<Key> {
    presented.iter().map(|k| k.key).collect()
}
