//! A life with every kind of event, on a disk that writes it down: reports, amendments, cancellations,
//! withdrawals of each scope and their undoing, codes, providers and their keys, seal keys, another online
//! key, adoption with lost codes, releases, snapshots, and old segments dropped.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tekd::authority::{Code, KeyMaterial, ProviderKey, Scope, Standing, Vouched};
use tekd::engine::{
    CodeOrder, Input, Moment, ParamsChange, Presented, Reply, ReportRequest, Seeded, WithdrawCount,
};
use tekd::node::journal_path;
use tekd::store::journal::Record;
use tekd::store::{Disk, Identity};
use tekd::time::next_border;
use tekd::wire::report::{Outcome, ReportType, RequestKind};

use super::crash_tape::{Recorder, SETS};
use super::phone::{Phone, days};
use super::world::{DIR, Dice, NOON, REASON, World, keys_of_day};

const SEED: u64 = 4177;
const ROUNDS: usize = 15;
const INTERVAL: u64 = 900;
const DAY: u64 = 86_400;
/// After so long the segments of a day are dropped: retention and two days.
const AGE: u64 = 17 * DAY;

fn reason() -> String {
    REASON.to_owned()
}

/// What a round leaves for what is done to it.
struct Round {
    /// The batch of the codes that were reported with.
    batch: u32,
    /// The first report.
    report: u64,
    /// When it began, Unix time.
    since: u64,
    imported: Scope,
}

/// A life in progress.
pub(super) struct Life {
    recorder: Recorder,
    world: Option<World>,
    dice: Dice,
    now: Moment,
    /// Turns of the writer and what operators did between them.
    pub(super) operations: usize,
    /// All records ever, also of segments that are gone.
    records: BTreeMap<u64, Record>,
    ward: u32,
    clinic: u32,
    /// Fingerprint of the key the clinic signs with.
    signer: [u8; 8],
}

impl Life {
    fn founded() -> Life {
        let mut life = Life {
            recorder: Recorder::default(),
            world: None,
            dice: Dice::new(SEED),
            now: Moment { unix: NOON, monotonic_ms: 1000 },
            operations: 0,
            records: BTreeMap::new(),
            ward: 0,
            clinic: 0,
            signer: [0; 8],
        };
        life.recorder.know(NOON, 0);
        life.start();
        life
    }

    fn world(&mut self) -> &mut World {
        self.world.as_mut().expect("it runs")
    }

    /// A process begins.
    fn start(&mut self) {
        let medium: Arc<dyn Disk> = Arc::new(self.recorder.clone());
        let seed = SEED + self.operations as u64;
        let world = World::on(medium, self.recorder.disk.clone(), self.now, seed).expect("it opens");
        self.recorder.readers_see(Some(Arc::clone(&world.view)));
        self.recorder.know(self.now.unix, world.origin.head().seq);
        self.world = Some(world);
        self.operations += 1;
    }

    /// A process ends.
    fn stop(&mut self) {
        let first = self.records.keys().next_back().copied().unwrap_or(0) + 1;
        let records = self.world().records(first);
        self.records.extend(records.into_iter().map(|record| (record.seq, record)));
        self.recorder.readers_see(None);
        self.world = None;
        self.pass(1);
    }

    fn pass(&mut self, seconds: u64) {
        self.now.unix += seconds;
        self.now.monotonic_ms += seconds * 1000;
    }

    fn turn(&mut self, input: Input) -> Reply {
        self.pass(7);
        self.recorder.tape().known.now = self.now.unix;
        let now = self.now;
        let world = self.world();
        world.now = now;
        let what = format!("{input:?}");
        let reply = world.turn(input).unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
        let confirmed = world.origin.head().seq;
        self.recorder.know(now.unix, confirmed);
        self.operations += 1;
        reply
    }

    fn counted(&mut self, input: Input) -> WithdrawCount {
        match self.turn(input) {
            Reply::Withdrawn(count) => count,
            other => panic!("claims are counted, not {other:?}"),
        }
    }

    fn withdraw(&mut self, scope: Scope, urgent: bool) -> u64 {
        let withdraw = Input::Withdraw { scope, urgent, reason: reason(), dry_run: false };
        self.counted(withdraw).seq.expect("it was done")
    }

    fn withdraw_and_reinstate(&mut self, scope: Scope) {
        let seq = self.withdraw(scope, true);
        self.counted(Input::Reinstate { seq });
    }

    fn provider(&mut self, name: &str, key: Option<ProviderKey>) -> u32 {
        match self.turn(Input::AddProvider { name: name.to_owned(), issuer: None, key }) {
            Reply::Provider { provider, .. } => provider,
            other => panic!("a provider is answered with its number, not {other:?}"),
        }
    }

    fn key(&mut self) -> ProviderKey {
        let material = KeyMaterial::Ed25519(self.dice.bytes());
        ProviderKey::named_by_fingerprint(material, NOON, NOON + 60 * DAY)
    }

    fn codes(&mut self, report_type: ReportType) -> (u32, Vec<Code>) {
        let order = CodeOrder {
            provider: self.ward,
            set: 1,
            count: 2,
            report_type,
            onset_day: None,
            lifetime_s: 3 * DAY,
        };
        match self.turn(Input::IssueCodes(order)) {
            Reply::Codes(issued) => (issued.batch, issued.codes),
            other => panic!("codes are issued, not {other:?}"),
        }
    }

    fn certificate(&mut self) -> Presented {
        Presented::Vouched(Vouched {
            provider: self.clinic,
            key: self.signer,
            set: Some(1),
            report_type: ReportType::Confirmed,
            onset_day: None,
            not_before: self.now.unix - 60,
            not_after: self.now.unix + DAY,
            identity: self.dice.bytes(),
        })
    }

    /// A phone asks; the last event after it.
    fn ask(&mut self, request: ReportRequest) -> u64 {
        match self.turn(Input::Report(Box::new(request))) {
            Reply::Report(reply) => assert_eq!(reply.outcome, Outcome::Done),
            other => panic!("a request is answered, not {other:?}"),
        }
        self.world().origin.head().seq
    }

    fn import(&mut self, set: u32, n: usize) -> Scope {
        let keys = keys_of_day(&mut self.dice, self.now.unix, 2, n);
        let scope = Scope::Key { set, key: keys[0].key };
        self.turn(Input::Import { set, provider: "import".to_owned(), keys });
        scope
    }

    fn release_due(&mut self) {
        self.pass(next_border(self.now.unix, INTERVAL) - self.now.unix);
        self.turn(Input::Tick);
    }

    fn snapshot(&mut self) {
        let now = self.now;
        let world = self.world();
        world.origin.idle().expect("the disk is well");
        world.now = now;
        world.snapshot();
        let confirmed = world.origin.head().seq;
        self.recorder.know(now.unix, confirmed);
        self.operations += 1;
    }

    fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// The directory goes on as another incarnation, without the key that codes came from.
    fn adopt_without_codes(&mut self) {
        self.stop();
        let (disk, dir) = (self.recorder.clone(), Path::new(DIR));
        Identity::adopt(&disk, dir, 0).expect("adopted");
        let keys = dir.join("keys");
        disk.remove(&keys.join("codes.key")).and_then(|()| disk.sync_dir(&keys)).expect("removed");
        self.start();
    }

    /// So much later that segments are dropped.
    fn grow_old(&mut self) {
        let segments = |life: &Life| life.recorder.list(&journal_path(Path::new(DIR))).expect("names");
        let oldest = segments(self).into_iter().find(|path| path.extension().is_some_and(|e| e == "journal"));
        self.note();
        self.pass(AGE);
        self.turn(Input::Tick);
        self.note();
        self.snapshot();
        assert!(!segments(self).contains(&oldest.expect("a segment")), "nothing was dropped");
    }

    /// Keeps the records that are there, before they are dropped.
    fn note(&mut self) {
        let records = self.world().records(1);
        self.records.extend(records.into_iter().map(|record| (record.seq, record)));
    }

    /// What happens in every round.
    fn round(&mut self, nth: usize) -> Round {
        let since = self.now.unix;
        let (batch, likely) = self.codes(ReportType::Likely);
        let (_, confirmed) = self.codes(ReportType::Confirmed);
        let phones: [Phone; 3] = std::array::from_fn(|_| Phone::new(&mut self.dice, 1));
        let [one, two, three] = phones;
        let today = self.now.unix;
        let mut keys = |ago, n| days(&mut self.dice, today, ago, n);
        let (first, second, third, more) = (keys(1, 3), keys(1, 2), keys(2, 2), keys(4, 1));
        let report = self.ask(one.submit(likely[0], first));
        self.ask(two.submit(likely[1], second));
        if nth < 13 {
            let grant = self.certificate();
            self.ask(three.request(RequestKind::Submit, grant, third));
        }
        self.ask(one.amend(more));
        self.ask(one.request(RequestKind::Amend, Presented::Code(confirmed[0]), Vec::new()));
        self.ask(two.cancel());
        let imported = self.import(1, 4);
        self.import(2, 3);
        self.release_due();
        Round { batch, report, since, imported }
    }

    /// What happens once.
    fn special(&mut self, nth: usize, round: &Round) {
        let (ward, clinic, signer) = (self.ward, self.clinic, self.signer);
        match nth {
            0 => {
                self.withdraw(round.imported, false);
            }
            1 => {
                self.snapshot();
                self.withdraw_and_reinstate(Scope::Report { report: round.report });
            }
            2 => {
                self.withdraw(Scope::Batch { batch: round.batch }, false);
                self.restart();
            }
            3 => self.withdraw_and_reinstate(Scope::Signer { provider: clinic, signer, since: 0 }),
            4 => {
                self.pass(DAY);
                self.turn(Input::Tick);
                let (batch, retroactive) = (round.batch, true);
                self.counted(Input::RevokeBatch { batch, retroactive, reason: reason(), dry_run: false });
            }
            5 => self.withdraw_and_reinstate(Scope::Provider { provider: ward, since: round.since }),
            6 => {
                self.withdraw(Scope::After { seq: round.report - 1, provider: Some(ward) }, false);
                self.snapshot();
            }
            7 => self.other_keys(),
            8 => {
                for standing in [Standing::Suspended, Standing::Active] {
                    self.stand(ward, standing, None);
                }
                self.adopt_without_codes();
            }
            9 => {
                self.pass(DAY);
                self.snapshot();
                self.another_signer();
            }
            10 => {
                self.snapshot();
                self.grow_old();
            }
            11 => {
                let change = ParamsChange { retention_days: Some(12), ..ParamsChange::default() };
                self.turn(Input::Configure { set: 2, change });
                self.turn(Input::Release { set: 2, allow_small: true });
            }
            12 => self.stand(clinic, Standing::Revoked, Some(round.since)),
            13 => {
                self.pass(DAY);
                self.turn(Input::Tick);
                self.snapshot();
            }
            _ => self.restart(),
        }
    }

    fn stand(&mut self, provider: u32, standing: Standing, since: Option<u64>) {
        let reason = reason();
        self.counted(Input::SetStanding { provider, standing, since, reason, dry_run: false });
    }

    /// Another online key and another seal key.
    fn other_keys(&mut self) {
        let now = self.now.unix;
        let next = self.world().origin.next_online(now, &mut Seeded::new(SEED)).expect("a key");
        self.turn(next.expect("the root key is here"));
        let secret = self.dice.bytes();
        let seal = self.world().origin.make_seal_key(secret).expect("a seal key");
        self.turn(seal);
    }

    /// The clinic signs with another key from now on.
    fn another_signer(&mut self) {
        let (provider, fingerprint, since) = (self.clinic, self.signer, Some(self.now.unix - DAY - 900));
        let key = self.key();
        self.signer = key.fingerprint();
        self.turn(Input::AddProviderKey { provider, key });
        let reason = reason();
        self.counted(Input::RevokeProviderKey { provider, fingerprint, since, reason, dry_run: false });
    }
}

/// The whole life: what the disk was asked, what there was to be known at the end, and all records.
pub(super) fn lived() -> (Recorder, Vec<Record>, usize) {
    let mut life = Life::founded();
    let params = life.world().params(1);
    life.turn(Input::CreateSet { set: 2, params });
    for set in SETS {
        let (min_reports, decoys) = (Some(2), Some(set == 1));
        let change = ParamsChange { min_reports, decoys, ..ParamsChange::default() };
        life.turn(Input::Configure { set, change });
        life.import(set, 30);
    }
    let key = life.key();
    life.signer = key.fingerprint();
    life.ward = life.provider("ward", None);
    life.clinic = life.provider("clinic", Some(key));
    for nth in 0..ROUNDS {
        let round = life.round(nth);
        life.special(nth, &round);
    }
    life.stop();
    let records: Vec<Record> = life.records.into_values().collect();
    assert!(records.iter().zip(1..).all(|(record, seq)| record.seq == seq), "all records, each once");
    (life.recorder, records, life.operations)
}
