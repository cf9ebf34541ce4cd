//! The whole life of reports: made, amended, embargoed, cancelled, withdrawn in every way, brought back; and
//! what a phone that followed and one that slept hold in the end.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tekd::authority::Scope;
use tekd::client::{Author, ReportAnswer, SetClient, SyncMode};
use tekd::engine::{Held, ImportedKey, Input, PresentedKey, Rebuild, Rebuilt, ReleaseSummary, Reply};
use tekd::node::journal_path;
use tekd::release::{Fields, LIVE, ReceiptBundle};
use tekd::store::journal::JournalReader;
use tekd::wire::Key;
use tekd::wire::report::{Outcome, ReportState, ReportType, RequestKind};

use super::world::{DAY_S, MORNING, SET, World, accepted, amend, keys_of, submit};

const HALF_PAST_NINE: u64 = MORNING + 7 * 1800;

/// The world with two phones, and which keys of reports are to be seen.
struct Life {
    world: World,
    follower: SetClient,
    sleeper: SetClient,
    expected: BTreeSet<Key>,
}

impl Life {
    fn new() -> Life {
        let mut world = World::new(21);
        let everybody = import(&mut world);
        let (mut follower, mut sleeper) =
            (SetClient::new(world.trust.clone(), SET), SetClient::new(world.trust.clone(), SET));
        world.sync(&mut follower);
        world.sync(&mut sleeper);
        Life { world, follower, sleeper, expected: everybody }
    }

    /// The public sees the keys of reports that it has to, and a phone that syncs gets them under the root.
    #[track_caller]
    fn look(&mut self) {
        assert_eq!(self.world.reported_live(), self.expected);
        let report = self.world.sync(&mut self.follower);
        assert_eq!((report.mode, &report.delta_failed), (SyncMode::Delta, &None));
        let data = self.follower.data().expect("a set");
        assert!(self.expected.iter().all(|key| data.find(key.as_bytes()).is_some()));
        let checkpoint = self.world.core().origin.view().load().set(SET).unwrap().release.clone();
        assert_eq!(data.root(), checkpoint.expect("a release").checkpoint.root());
    }

    /// At the next release these leave, decoys apart nothing else does, and nothing comes.
    #[track_caller]
    fn leave(&mut self, gone: &[PresentedKey]) {
        let gone = keys_of(gone);
        assert!(gone.is_subset(&self.expected));
        assert_eq!(self.world.reported_live(), self.expected, "until the next release");
        let release = self.world.next_release();
        assert_eq!((release.changes.withdrawn, release.changes.added), (gone.len() as u32, 0));
        self.expected = self.expected.difference(&gone).copied().collect();
        self.look();
        assert!(gone.iter().all(|key| self.follower.data().unwrap().find(key.as_bytes()).is_none()));
    }

    /// At the next release these come.
    #[track_caller]
    fn come(&mut self, keys: &[PresentedKey]) {
        let release = self.world.next_release();
        assert_eq!((release.changes.added, release.changes.withdrawn), (keys.len() as u32, 0));
        self.expected.extend(keys_of(keys));
        self.look();
    }

    fn release_now(&mut self) -> ReleaseSummary {
        match self.world.turn(Input::Release { set: SET, allow_small: false }) {
            Reply::Released(summary) => summary,
            other => panic!("a release is answered with its summary, not {other:?}"),
        }
    }

    fn status(&mut self, author: &Author) -> ReportAnswer {
        let now = self.world.now();
        let answer = self.world.client().report_status(now, author).expect("an answer");
        assert_eq!((answer.outcome, &answer.receipt), (Outcome::Done, &None));
        answer
    }

    /// A report of the days before, with its keys.
    #[track_caller]
    fn report(&mut self, code: tekd::authority::Code, n: u64) -> (Author, Vec<PresentedKey>) {
        let keys = self.world.dice.days(MORNING, 1, n);
        (self.world.report(code, &keys), keys)
    }

    /// A receipt holds wherever it is read, without a server.
    #[track_caller]
    fn holds(&self, answer: &ReportAnswer, author: &Author, kind: RequestKind) {
        let bytes = answer.receipt.as_ref().expect("a receipt").to_bytes();
        let kept = ReceiptBundle::from_bytes(&bytes).expect("a bundle");
        kept.verify(&self.world.trust).expect("it holds offline");
        assert_eq!((kept.receipt.report(), kept.receipt.kind()), (author.report, Some(kind)));
        assert_eq!(kept.receipt.time(), self.world.now());
        let mut forged = bytes;
        forged[40] ^= 1;
        assert!(ReceiptBundle::from_bytes(&forged).is_ok_and(|b| b.verify(&self.world.trust).is_err()));
    }
}

/// Keys of many people that are out already, so that a delta is shorter than the set.
fn import(world: &mut World) -> BTreeSet<Key> {
    let presented: Vec<PresentedKey> = (0..40).flat_map(|_| world.dice.days(MORNING, 1, 12)).collect();
    let imported = |k: &PresentedKey| {
        let period = u16::try_from(k.period).expect("a day");
        let fields = Fields { start: k.start, period, report: 1, risk: k.risk, onset: 0 };
        ImportedKey { key: k.key, fields, period: k.period }
    };
    let keys = presented.iter().map(imported).collect();
    world.turn(Input::Import { set: SET, provider: "others".to_owned(), keys });
    assert_eq!(world.next_release().changes.added, 480);
    keys_of(&presented)
}

/// A report of two weeks, its last key in use; it is amended. Returns its author, and the key in use.
fn made_and_amended(life: &mut Life, code: tekd::authority::Code) -> (Author, PresentedKey) {
    let author = life.world.dice.author();
    let mut keys = life.world.dice.days(MORNING, 0, 14);
    let (mut client, now) = (life.world.client(), life.world.now());
    let answer = submit(&mut client, now, &author, code, &keys);
    assert_eq!((answer.outcome, answer.state), (Outcome::Done, Some(ReportState::Accepted)));
    assert_eq!((accepted(&answer), answer.verdicts.len()), (14, 14));
    life.holds(&answer, &author, RequestKind::Submit);
    let status = life.status(&author);
    assert_eq!((status.state, status.serial), (Some(ReportState::Accepted), 0));
    assert_eq!((status.counts.keys, status.counts.waiting, status.counts.embargo), (14, 13, 1));

    let summary = life.release_now();
    assert_eq!((summary.changes.added, summary.held), (13, Held { embargo: 1, minimum: 0 }));
    let today = keys.remove(0);
    life.expected.extend(keys_of(&keys));
    life.look();
    let status = life.status(&author);
    assert_eq!((status.state, status.serial), (Some(ReportState::Released), summary.serial));
    assert_eq!((status.counts.live, status.counts.embargo), (13, 1));

    let more = [life.world.dice.key(MORNING, 5, 3)];
    let now = life.world.now();
    let answer = amend(&mut life.world.client(), now, &author, &more);
    assert_eq!((answer.outcome, accepted(&answer)), (Outcome::Done, 1));
    life.holds(&answer, &author, RequestKind::Amend);
    life.come(&more);
    assert_eq!(life.status(&author).counts.live, 14);
    (author, today)
}

/// A report that its author takes back, and nobody else.
fn cancelled(life: &mut Life, code: tekd::authority::Code, other: &Author) {
    let (author, keys) = life.report(code, 3);
    life.come(&keys);
    let events = life.world.core().origin.origin().state().seq();
    let thieves = [
        Author { secret: [0; 32], ..author.clone() },
        Author { secret: author.secret_hash(), ..author.clone() },
        Author { secret: other.secret, ..author.clone() },
        Author { report: [7; 16], ..author.clone() },
    ];
    for thief in thieves {
        let now = life.world.now();
        let answer = life.world.client().cancel(now, &thief).expect("an answer");
        assert_eq!((answer.outcome, answer.state, answer.receipt), (Outcome::Report, None, None));
        let answer = amend(&mut life.world.client(), now, &thief, &life.world.dice.clone().days(now, 1, 1));
        assert_eq!((answer.outcome, answer.receipt), (Outcome::Report, None));
    }
    assert_eq!(life.world.core().origin.origin().state().seq(), events, "nothing was decided");
    life.come(&[]);
    let now = life.world.now();
    let answer = life.world.client().cancel(now, &author).expect("an answer");
    assert_eq!((answer.outcome, answer.state), (Outcome::Done, Some(ReportState::Withdrawn)));
    life.holds(&answer, &author, RequestKind::Cancel);
    life.leave(&keys);
    assert_eq!(life.status(&author).counts.withdrawn, 3);
}

/// What one provider authorised since a moment is taken back, and brought back again.
fn rolled_back_and_reinstated(life: &mut Life, lab: u32, codes: &[tekd::authority::Code]) {
    assert!(life.world.now() < HALF_PAST_NINE - 1);
    life.world.pass_to(HALF_PAST_NINE - 1);
    let (_, before) = life.report(codes[0], 2);
    life.world.clock.advance(1);
    let (_, sharp) = life.report(codes[1], 3);
    life.world.clock.advance(600);
    let (later_author, later) = life.report(codes[2], 4);
    life.come(&[before.clone(), sharp.clone(), later.clone()].concat());

    let erred = [sharp, later].concat();
    let count = life.world.revoke_provider(lab, HALF_PAST_NINE);
    assert_eq!((count.claims.reports, count.claims.keys, count.claims.live), (2, 7, 7));
    life.leave(&erred);
    assert_eq!(life.status(&later_author).state, Some(ReportState::Withdrawn));
    let (mut client, now, author) = (life.world.client(), life.world.now(), life.world.dice.author());
    let refused = submit(&mut client, now, &author, codes[3], &life.world.dice.clone().days(now, 1, 1));
    assert_eq!(refused.outcome, Outcome::Revoked);

    let back = life.world.counted(Input::Reinstate { seq: count.seq.expect("it was no dry run") });
    assert_eq!((back.claims.reports, back.claims.keys), (2, 7));
    life.come(&erred);
    for k in &erred {
        let entries = life.world.entries(&k.key);
        let [(was, add, del), (is, again, LIVE)] = entries[..] else {
            panic!("two entries, not {entries:?}")
        };
        assert!(was == is && add < del && del < again, "{entries:?}");
    }
    for k in &before {
        assert_eq!(life.world.entries(&k.key).len(), 1, "who was not meant was not touched");
    }
}

#[test]
fn the_whole_life_of_reports() {
    let mut life = Life::new();
    let (clinic, lab) = (life.world.provider("clinic"), life.world.provider("lab"));
    let codes = life.world.codes(clinic, 10, ReportType::Confirmed).codes;
    assert_eq!(codes.len(), 10);
    let (author, today) = made_and_amended(&mut life, codes[0]);
    cancelled(&mut life, codes[1], &author);

    // An operator takes back one report, then a whole batch.
    let (wrong, keys) = life.report(codes[2], 5);
    let batch = life.world.codes(clinic, 3, ReportType::Likely);
    let (_, mut of_batch) = life.report(batch.codes[0], 2);
    of_batch.extend(life.report(batch.codes[1], 3).1);
    life.come(&[keys.clone(), of_batch.clone()].concat());
    let report = life.world.seq(&wrong);
    let of_report = life.world.take_back(Scope::Report { report });
    let count = of_report.claims;
    assert_eq!((count.reports, count.keys, count.live), (1, 5, 5));
    life.leave(&keys);
    let of_codes = life.world.revoke_batch(batch.batch);
    let count = of_codes.claims;
    assert_eq!((count.reports, count.keys), (2, 5));
    life.leave(&of_batch);
    for (taken, keys) in [(of_codes, &of_batch), (of_report, &keys)] {
        let seq = taken.seq.expect("it was no dry run");
        assert_eq!(life.world.counted(Input::Reinstate { seq }).claims.keys, 5);
        life.come(keys);
    }

    let of_lab = life.world.codes(lab, 4, ReportType::Confirmed).codes;
    rolled_back_and_reinstated(&mut life, lab, &of_lab);

    // The key of the first day comes out two hours after its end, not before.
    let end = (MORNING / DAY_S + 1) * DAY_S;
    life.world.pass_to(end + 7200 - 1);
    life.look();
    assert_eq!(life.status(&author).counts.embargo, 1);
    life.come(std::slice::from_ref(&today));
    assert_eq!(life.world.now(), end + 7200);
    assert_eq!(life.status(&author).counts.live, 15);

    let report = life.world.sync(&mut life.sleeper);
    assert_eq!((report.mode, report.to), (SyncMode::Delta, life.follower.version()));
    assert!(life.sleeper.data() == life.follower.data(), "who slept holds what who followed holds");
    assert_eq!(life.sleeper.data().unwrap().root(), life.follower.data().unwrap().root());
    from_event_one(&life.world);
}

/// Everything computed again from the journal is what is served, byte for byte.
fn from_event_one(world: &World) {
    let mut core = world.core();
    core.origin.idle().expect("the disk is well");
    let reader = JournalReader::open(Arc::new(core.disk.clone()), &journal_path(Path::new("/data")));
    let mut rebuild = Rebuild::new();
    for group in reader.expect("a journal") {
        for record in group.expect("a whole group").records {
            rebuild.push(&record).expect("an event that follows");
        }
    }
    let Rebuilt { state, tables, .. } = rebuild.finish().expect("its newest tables");
    let served = core.origin.view().load().set(SET).unwrap().release.clone().expect("a release");
    assert!(tables[&SET].generation.bytes() == served.generation.bytes());
    assert_eq!(state.set(SET).unwrap().history(), core.set().history());
    assert_eq!(state.seq(), core.origin.origin().state().seq());
}
