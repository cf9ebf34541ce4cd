//! A whole origin on one thread: writer, builder, gate, a stepped clock, a disk in memory, seeded randomness.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tekd::authority::Scope;
use tekd::engine::{
    AnswerCounters, Carrier, CodeOrder, Committed, Cookies, Event, Gate, ImportedKey, Input, IssuedCodes,
    Moment, Outcome, Params, ParamsChange, Peer, Random, Refusal, ReleaseSummary, Reply, ReportReply,
    ReportRequest, Respond, Seeded, SetState, Slot, Ticket, View, WithdrawCount, Work,
};
use tekd::node::{
    Builder, Clock, NOBODY, Origin, OriginOptions, SetNews, StartError, TableStore, bring_up, journal_path,
};
use tekd::release::{Fields, Trust};
use tekd::store::journal::{JournalReader, Record};
use tekd::store::{Disk, MemoryDisk, MemoryMode, Published, read_file};
use tekd::time::next_border;
use tekd::wire::report::ReportType;
use tekd::wire::{Key, MAX_ANSWER_STREAM, MAX_DATAGRAM, QuestionBuilder};

/// 12:00 UTC of a day in 2026.
pub(crate) const NOON: u64 = 1_790_337_600;
const _: () = assert!(NOON % 86_400 == 43_200);

pub(crate) const DIR: &str = "/data";
/// Where a journal that has a mirror has it.
pub(crate) const MIRROR: &str = "/mirror";
const SECRET: [u8; 32] = [7; 32];
/// Why operators do what they do here.
pub(crate) const REASON: &str = "mistaken";
const ASKED: Ticket = Ticket(1);

/// Who asks by default: a documentation address, so that nothing is special about it.
pub(crate) const PEER: Peer =
    Peer { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), port: 4000, carrier: Carrier::Udp };

struct Still(Moment);

impl Clock for Still {
    fn now(&self) -> Moment {
        self.0
    }
}

/// An origin with its readers, and the time it believes.
pub(crate) struct World {
    pub(crate) disk: MemoryDisk,
    pub(crate) origin: Origin,
    pub(crate) builder: Builder,
    pub(crate) view: Arc<Published<View>>,
    pub(crate) gate: Gate,
    pub(crate) counters: Arc<AnswerCounters>,
    pub(crate) now: Moment,
    mirror: Option<&'static Path>,
    seed: u64,
    txid: u64,
}

pub(crate) fn options(disk: &MemoryDisk) -> OriginOptions {
    OriginOptions { disk: Arc::new(disk.clone()), dir: PathBuf::from(DIR), segment_bytes: 1 << 20 }
}

impl World {
    /// Founded at `unix` on an empty disk.
    pub(crate) fn new(unix: u64, seed: u64) -> World {
        let now = Moment { unix, monotonic_ms: 1000 };
        World::open(MemoryDisk::new(), now, seed).expect("an empty disk becomes an origin")
    }

    /// Opened, or founded, on `disk`.
    pub(crate) fn open(disk: MemoryDisk, now: Moment, seed: u64) -> Result<World, StartError> {
        World::on(Arc::new(disk.clone()), disk, now, seed)
    }

    /// Opened, or founded, on `disk`, with a mirror of its journal in [`MIRROR`].
    pub(crate) fn mirrored(disk: MemoryDisk, now: Moment, seed: u64) -> Result<World, StartError> {
        World::with_mirror(Arc::new(disk.clone()), disk, Some(Path::new(MIRROR)), now, seed)
    }

    /// Opened, or founded, on a `medium` that passes on to `disk` what it is asked.
    pub(crate) fn on(
        medium: Arc<dyn Disk>,
        disk: MemoryDisk,
        now: Moment,
        seed: u64,
    ) -> Result<World, StartError> {
        World::with_mirror(medium, disk, None, now, seed)
    }

    fn with_mirror(
        medium: Arc<dyn Disk>,
        disk: MemoryDisk,
        mirror: Option<&'static Path>,
        now: Moment,
        seed: u64,
    ) -> Result<World, StartError> {
        World::with(OriginOptions { disk: medium, ..options(&disk) }, disk, mirror, now, seed)
    }

    /// Opened, or founded, as `options` say, which lead to `disk`.
    pub(crate) fn with(
        options: OriginOptions,
        disk: MemoryDisk,
        mirror: Option<&'static Path>,
        now: Moment,
        seed: u64,
    ) -> Result<World, StartError> {
        let medium = Arc::clone(&options.disk);
        let mut origin = Origin::open_mirrored(options, mirror, now, Box::new(Seeded::new(seed)))?;
        let service = origin.identity().service_id;
        let view = Arc::new(Published::new(Arc::new(View::empty(service, 1))));
        let store = TableStore { disk: medium, dir: Some(PathBuf::from(DIR)), mode: MemoryMode::Copy };
        let mut builder = Builder::new(store, Arc::clone(&view));
        bring_up(&mut origin, &mut builder, &Still(now))?;
        let counters = Arc::new(AnswerCounters::default());
        let cookies = Cookies::new(SECRET, service);
        let gate = Gate::new(Arc::clone(&view), cookies, None, Arc::clone(&counters));
        Ok(World { disk, origin, builder, view, gate, counters, now, mirror, seed, txid: 0 })
    }

    /// The process ends and another begins, a second later.
    pub(crate) fn restart(self) -> World {
        let now = Moment { unix: self.now.unix + 1, monotonic_ms: 0 };
        let medium = Arc::new(self.disk.clone());
        let opened = World::with_mirror(medium, self.disk, self.mirror, now, self.seed + 1);
        opened.expect("an origin opens again")
    }

    /// One turn of the writer and all that follows from it.
    pub(crate) fn try_turn(&mut self, input: Input) -> Result<Result<Reply, Refusal>, StartError> {
        Ok(self.turn_or_wait(input)?.expect("every input is answered"))
    }

    /// As [`World::try_turn`]; without an answer if what was decided waits for space.
    pub(crate) fn turn_or_wait(
        &mut self,
        input: Input,
    ) -> Result<Option<Result<Reply, Refusal>>, StartError> {
        let mut inputs = vec![(ASKED, input)];
        let mut reply = None;
        while !inputs.is_empty() {
            let Committed { replies, work } = self.origin.step(self.now, std::mem::take(&mut inputs))?;
            for (ticket, answered) in replies {
                if ticket == ASKED {
                    reply = Some(answered);
                } else {
                    answered.expect("what the builder offers is taken");
                }
            }
            for work in work {
                match work {
                    Work::Build(context, outcome) => {
                        inputs.push((NOBODY, Input::Built(self.builder.build(&context, &outcome)?)));
                    }
                    Work::Publish { set, .. } | Work::Show { set } => self.show(set)?,
                }
            }
        }
        if let Some(work) = self.origin.wants_ahead()? {
            // What comes of it the journal knows, and says when it is asked the next time.
            let _ = work();
        }
        assert!(reply.is_some() || self.origin.waits_for_space(), "every input is answered, or waits");
        Ok(reply)
    }

    fn show(&mut self, set: u32) -> Result<(), StartError> {
        let news = SetNews::from_origin(&self.origin, set, self.now.unix).expect("work is about a set");
        Ok(self.builder.show(&news)?)
    }

    pub(crate) fn turn(&mut self, input: Input) -> Result<Reply, Refusal> {
        self.try_turn(input).expect("the disk is well")
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now.unix += seconds;
        self.now.monotonic_ms += seconds * 1000;
    }

    pub(crate) fn tick(&mut self) {
        assert_eq!(self.turn(Input::Tick), Ok(Reply::Done));
    }

    /// Time passes until `unix`, with a tick at each border of the set's interval and at the end.
    pub(crate) fn tick_to(&mut self, set: u32, unix: u64) {
        while self.now.unix < unix {
            let border = next_border(self.now.unix, self.params(set).interval_s.into());
            self.pass(border.min(unix) - self.now.unix);
            self.tick();
        }
    }

    pub(crate) fn configure(&mut self, set: u32, change: ParamsChange) {
        self.turn(Input::Configure { set, change }).expect("a fair configuration");
    }

    pub(crate) fn create_set(&mut self, set: u32, params: Params) {
        self.turn(Input::CreateSet { set, params }).expect("a new set");
    }

    /// Imports keys; how many were accepted.
    pub(crate) fn import(&mut self, set: u32, keys: Vec<ImportedKey>) -> u64 {
        match self.turn(Input::Import { set, provider: "import".to_owned(), keys }) {
            Ok(Reply::Imported(counts)) => counts.accepted,
            other => panic!("an import is answered with counts, not {other:?}"),
        }
    }

    pub(crate) fn withdraw(&mut self, set: u32, key: Key, urgent: bool) -> Result<WithdrawCount, Refusal> {
        self.take_back(Scope::Key { set, key }, urgent)
    }

    pub(crate) fn take_back(&mut self, scope: Scope, urgent: bool) -> Result<WithdrawCount, Refusal> {
        self.counted(Input::Withdraw { scope, urgent, reason: REASON.to_owned(), dry_run: false })
    }

    /// One turn that takes claims back or brings them back.
    pub(crate) fn counted(&mut self, input: Input) -> Result<WithdrawCount, Refusal> {
        match self.turn(input)? {
            Reply::Withdrawn(count) => Ok(count),
            other => panic!("a withdrawal is answered with counts, not {other:?}"),
        }
    }

    /// A new provider of that name.
    pub(crate) fn provider(&mut self, name: &str) -> u32 {
        match self.turn(Input::AddProvider { name: name.to_owned(), issuer: None, key: None }) {
            Ok(Reply::Provider { provider, .. }) => provider,
            other => panic!("a new provider is answered with its number, not {other:?}"),
        }
    }

    /// A batch of codes that hold for a day.
    pub(crate) fn codes(&mut self, provider: u32, set: u32, count: u32) -> IssuedCodes {
        let (report_type, onset_day, lifetime_s) = (ReportType::Confirmed, None, 86_400);
        self.issue(CodeOrder { provider, set, count, report_type, onset_day, lifetime_s }).expect("codes")
    }

    pub(crate) fn issue(&mut self, order: CodeOrder) -> Result<IssuedCodes, Refusal> {
        match self.turn(Input::IssueCodes(order))? {
            Reply::Codes(issued) => Ok(issued),
            other => panic!("codes are issued or not, but {other:?}"),
        }
    }

    /// What a phone is answered.
    pub(crate) fn report(&mut self, request: &ReportRequest) -> ReportReply {
        match self.turn(Input::Report(Box::new(request.clone()))) {
            Ok(Reply::Report(reply)) => *reply,
            other => panic!("a request is always answered, not {other:?}"),
        }
    }

    pub(crate) fn release(&mut self, set: u32, allow_small: bool) -> Result<ReleaseSummary, Refusal> {
        match self.turn(Input::Release { set, allow_small })? {
            Reply::Released(summary) => Ok(summary),
            other => panic!("a release is answered with its summary, not {other:?}"),
        }
    }

    pub(crate) fn set(&self, set: u32) -> &SetState {
        self.origin.state().set(set).expect("the set is there")
    }

    pub(crate) fn params(&self, set: u32) -> Params {
        *self.set(set).params()
    }

    pub(crate) fn snapshot(&mut self) {
        self.origin.base(self.now).expect("the disk is well");
    }

    /// All records from `seq` on.
    pub(crate) fn records(&mut self, seq: u64) -> Vec<Record> {
        self.origin.idle().expect("the disk is well");
        records(&self.disk, seq)
    }

    pub(crate) fn trust(&self) -> Trust {
        trust(&self.disk)
    }

    /// A question builder with a fresh transaction id.
    pub(crate) fn question(&mut self, set: u32) -> QuestionBuilder {
        self.txid += 1;
        QuestionBuilder::new(self.origin.identity().service_id, set, self.txid)
    }

    /// What comes back for a datagram, if anything.
    pub(crate) fn udp(&mut self, question: &[u8], peer: Peer) -> Option<Vec<u8>> {
        let mut out = [0; MAX_DATAGRAM];
        let mut slots = [Slot::new(question, peer, &mut out)];
        self.gate.respond(self.now, &mut slots);
        let (outcome, proved) = (slots[0].outcome, slots[0].proved);
        match outcome {
            Outcome::Ignore(_) => None,
            Outcome::Respond(n) => {
                // never-amplify
                assert!(proved || n <= question.len(), "{n} bytes for {}", question.len());
                Some(out[..n].to_vec())
            }
            Outcome::Later(_) => panic!("nothing is answered later on UDP"),
        }
    }

    /// What comes back for a frame on a stream, if anything.
    pub(crate) fn tls(&self, question: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; MAX_ANSWER_STREAM];
        let peer = Peer { carrier: Carrier::Tls, ..PEER };
        match self.gate.answer_frame(&self.view.load(), self.now, peer, question, &mut out) {
            Outcome::Ignore(_) => None,
            Outcome::Respond(n) => {
                out.truncate(n);
                Some(out)
            }
            Outcome::Later(_) => panic!("nothing is answered later yet"),
        }
    }
}

pub(crate) fn records(disk: &MemoryDisk, seq: u64) -> Vec<Record> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let reader = JournalReader::from_seq(disk, &journal_path(Path::new(DIR)), seq).expect("a whole journal");
    reader.flat_map(|group| group.expect("a whole group").records).filter(|r| r.seq >= seq).collect()
}

pub(crate) fn event(record: &Record) -> Event {
    Event::decode(record.kind, record.version, &record.payload).expect("an event of ours")
}

pub(crate) fn trust(disk: &MemoryDisk) -> Trust {
    let bytes = read_file(disk, &Path::new(DIR).join("trust.json"), 1 << 16).expect("trust.json");
    Trust::parse_json(std::str::from_utf8(&bytes).expect("text")).expect("trust")
}

/// Numbers from a seed, for whoever draws what happens.
pub(crate) struct Dice(Seeded);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        // Another stream than that of a world with the same seed, which makes its decoys from it.
        Dice(Seeded::new(!seed))
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.below(n)
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Fresh random bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }

    pub(crate) fn key(&mut self, len: usize) -> Key {
        let mut bytes = [0; 32];
        self.0.fill(&mut bytes[..len]);
        Key::from_slice(&bytes[..len]).expect("16 or 32 bytes")
    }
}

/// The seed of a random test: fresh and printed, or given in `TEKD_SEED`.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let fresh = || std::hash::RandomState::new().build_hasher().finish();
    let seed = std::env::var("TEKD_SEED").map_or_else(|_| fresh(), |text| text.parse().expect("a number"));
    println!("TEKD_SEED={seed}");
    seed
}

/// A key as it arrives, good for `gaen-minimal`.
pub(crate) fn imported(key: Key, start: u32, period: u16) -> ImportedKey {
    let fields = Fields { start, period, report: 1, risk: 3, onset: 0 };
    ImportedKey { key, fields, period: period.into() }
}

/// The interval at which the day of `unix` began, `ago` days earlier.
pub(crate) fn day_start(unix: u64, ago: u64) -> u32 {
    u32::try_from((unix / 86_400 - ago) * 144).expect("this century")
}

/// `n` keys of whole days, one report each 30: all of the day that ended `ago` days before today.
pub(crate) fn keys_of_day(dice: &mut Dice, unix: u64, ago: u64, n: usize) -> Vec<ImportedKey> {
    (0..n).map(|_| imported(dice.key(16), day_start(unix, ago), 144)).collect()
}
