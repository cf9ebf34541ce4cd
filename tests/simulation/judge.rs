//! Who knows what should be: the naive model, a fold of every acknowledged record, and what operators meant.

use std::collections::BTreeMap;

use tekd::client::{Author, ReportAnswer};
use tekd::engine::{
    DEFAULT_PARAMS, Event, Params, ParamsChange, Rebuild, Rebuilt, ReleaseView, ReportReply, ReportRequest,
    State, View, replay,
};
use tekd::release::LiveSet;
use tekd::store::journal::Record;
use tekd::wire::Key;
use tekd::wire::report::{Outcome, RequestKind};

use super::foresee::Foreseen;
use super::invariant::Invariant;
use super::ledger::Ledger;
use super::naive::{Naive, Release};
use super::origin::SET;
use super::world::{World, event};

/// What a report is called by its phone: its id, and the content of the request.
type Asked = ([u8; 16], [u8; 32]);

pub(crate) struct Judge {
    pub(crate) model: Naive,
    /// Every acknowledged record, applied.
    shadow: State,
    /// What operators set.
    meant: Params,
    /// What an operator sets now: it holds once the journal says that something was set.
    pub(crate) intended: Option<Params>,
    /// Before when a key must not be public, by what operators meant.
    embargo: BTreeMap<Key, u64>,
    /// Answers that said DONE.
    told: BTreeMap<Asked, ReportAnswer>,
    /// Reports that phones were given receipts for: the sequence number of each.
    pub(crate) submitted: BTreeMap<[u8; 16], u64>,
    /// Whether the release that is made now was allowed to be small.
    pub(crate) alone: bool,
    /// Since when the clock was wrong while the origin looked at it, until an operator approves.
    pub(crate) doubt: bool,
    /// The newest version that readers of the origin saw, and its time.
    shown: (u64, u64),
}

impl Judge {
    pub(crate) fn new() -> Judge {
        Judge {
            model: Naive::new(SET, DEFAULT_PARAMS),
            shadow: State::new(),
            meant: DEFAULT_PARAMS,
            intended: None,
            embargo: BTreeMap::new(),
            told: BTreeMap::new(),
            submitted: BTreeMap::new(),
            alone: false,
            doubt: false,
            shown: (0, 0),
        }
    }

    /// Sequence number of the newest record that was taken in.
    pub(crate) fn seen(&self) -> u64 {
        self.shadow.seq()
    }

    /// The state that follows from every acknowledged record.
    pub(crate) fn folded(&self) -> Vec<u8> {
        self.shadow.to_bytes()
    }

    /// What an operator is about to set; what another was about to.
    pub(crate) fn intends(&mut self, change: &ParamsChange) -> Option<Params> {
        let intended = change.apply_to(self.meant);
        self.intended.replace(intended)
    }

    /// Takes a record that was acknowledged at `now` (Unix seconds).
    fn take(&mut self, record: &Record, now: u64) {
        let decision = event(record);
        let (name, alone) = match &decision {
            Event::Released(_) => (Invariant::Company, self.alone),
            _ => (Invariant::StateIsAFold, false),
        };
        if matches!(decision, Event::Released(_)) {
            Invariant::ClockGuard
                .must(!self.doubt, || format!("a release is made at {now} by a clock that is in doubt"));
        }
        name.unless_panics(|| self.model.take(record, alone));
        let applied = replay(&mut self.shadow, record);
        Invariant::StateIsAFold.must(applied.is_ok(), || format!("record {}: {applied:?}", record.seq));
        let keys = match &decision {
            Event::Configured(_) => {
                self.meant = self.intended.take().unwrap_or(self.meant);
                &[]
            }
            Event::Reported(r) => &r.keys[..],
            Event::Amended(a) => &a.keys[..],
            _ => &[],
        };
        let decoy = matches!(&decision, Event::Reported(r) if r.is_decoy());
        for k in keys {
            let end = 600 * (u64::from(k.fields.start) + u64::from(k.fields.period));
            // A decoy waits as long as the report it accompanies.
            let until = if decoy { k.embargo_end } else { end + u64::from(self.meant.embargo_s) };
            self.embargo.entry(k.key).and_modify(|at| *at = until.min(*at)).or_insert(until);
        }
    }

    /// What readers of the origin see.
    fn look(&mut self, view: &View, now: u64) {
        let Some(release) = view.set(SET).and_then(|set| set.release.as_ref()) else { return };
        let (version, time) = (release.checkpoint.version(), release.checkpoint.time());
        if version == self.shown.0 {
            return;
        }
        Invariant::VerifiedBeforeServed.must(version > self.shown.0 && time >= self.shown.1, || {
            format!("readers went from {:?} to {:?}", self.shown, (version, time))
        });
        self.shown = (version, time);
        let made = self.is_release(release);
        let (schema, added) = (self.model.schema(), made.serial);
        for entry in schema.views(release.generation.entry_bytes()) {
            let key = Key::from_slice(entry.key).expect("a key of the schema");
            let until = self.embargo.get(&key).copied().filter(|_| entry.add_serial == added);
            if let Some(until) = until {
                Invariant::Embargo.must(until <= now, || {
                    format!("{key:?} came out with release {added} at {now}, its embargo ends at {until}")
                });
            }
        }
    }

    /// The model's release of what somebody serves, which must be the same.
    pub(crate) fn is_release(&self, shown: &ReleaseView) -> Release {
        let c = &shown.checkpoint;
        let made = self.release(c.version());
        let Some(made) = made else {
            Invariant::VerifiedBeforeServed.broken(&format!("version {:#x} was never released", c.version()))
        };
        let same = shown.generation.entry_bytes() == made.history;
        Invariant::StateIsAFold.must(same && (c.time(), c.horizon()) == (made.time, made.horizon), || {
            let Release { added, withdrawn, forced, .. } = made;
            let made = format!("{added} that came, {withdrawn} that left, forced: {forced}");
            format!("version {:#x} is not what the model has: {made}", c.version())
        });
        made.clone()
    }

    /// The release of a version, as the model has it.
    pub(crate) fn release(&self, version: u64) -> Option<&Release> {
        let serial = u32::try_from(version & u64::from(u32::MAX)).expect("32 bits");
        let newest = self.model.newest()?.serial;
        let back = usize::try_from(newest.checked_sub(serial)?).ok()?;
        let releases = &self.model.releases;
        releases.get(releases.len().checked_sub(back + 1)?).filter(|r| r.serial == serial)
    }

    /// What a client holds after a sync is the full set of its version.
    pub(crate) fn is_full_set(&self, held: &LiveSet) {
        let made = self.release(held.version());
        let same = made.is_some_and(|made| made.live == held.entries() && made.horizon == held.horizon());
        Invariant::Deltas.must(same, || format!("version {:#x} is another set at a client", held.version()));
    }

    /// What a request should be answered, if the clock lets anybody foresee it.
    pub(crate) fn foresee(&self, request: &ReportRequest, now: u64) -> Foreseen {
        Invariant::StateIsAFold.unless_panics(|| self.model.foresee(request, now))
    }

    /// Whether a request was answered as it was foreseen.
    pub(crate) fn as_foreseen(&self, reply: &ReportReply, foreseen: &Foreseen) {
        let busy = matches!(reply.outcome, Outcome::Busy | Outcome::Puzzle);
        let same = Some(reply.outcome) == foreseen.outcome && reply.verdicts == foreseen.verdicts;
        let invariant = match (reply.outcome, foreseen.outcome) {
            (Outcome::Done, _) | (Outcome::Spent, Some(Outcome::Done)) => Invariant::SpentWithReport,
            _ => Invariant::StateIsAFold,
        };
        invariant.must(busy || same, || {
            format!("{:?} {:?}, foreseen {foreseen:?}", reply.outcome, reply.verdicts)
        });
    }

    /// A phone was told that something is done: it has a receipt, the journal its record, and whoever asks
    /// again gets the same.
    pub(crate) fn is_told(&mut self, ledger: &Ledger, author: &Author, answer: &ReportAnswer) {
        let Some(receipt) = answer.receipt.as_ref().map(|bundle| &bundle.receipt) else { return };
        let (asked, seq) = ((author.report, receipt.content()), receipt.sequence());
        if let Some(before) = self.told.get(&asked) {
            let same = before.receipt == answer.receipt && before.verdicts == answer.verdicts;
            Invariant::OneReceipt.must(same, || {
                format!("a request is answered by receipt {receipt:?}, before by {:?}", before.receipt)
            });
            return;
        }
        let record = ledger.record(seq).map(event);
        let rests = match &record {
            Some(Event::Reported(r)) => {
                let told = r.authored.as_ref().map(|a| a.told.content);
                (r.report, told) == (author.report, Some(receipt.content()))
            }
            Some(Event::Amended(a)) => a.told.content == receipt.content(),
            Some(Event::Withdrawn(w)) => w.told.as_ref().is_some_and(|t| t.content == receipt.content()),
            _ => false,
        };
        Invariant::DurableBeforeReceipt.must(rests, || format!("receipt {seq} rests on {record:?}"));
        if receipt.kind() == Some(RequestKind::Submit) {
            self.submitted.insert(author.report, seq);
        }
        self.told.insert(asked, answer.clone());
    }

    /// spent-with-report: what phones have receipts for is in the journal that was read back, as a report.
    pub(crate) fn spent_with_report(&self, records: &BTreeMap<u64, Record>) {
        for (report, seq) in &self.submitted {
            let Some(record) = records.get(seq) else { continue };
            let stored = matches!(event(record), Event::Reported(r) if r.report == *report);
            Invariant::SpentWithReport
                .must(stored, || format!("record {seq} spends a code and is no report: {:?}", event(record)));
        }
    }

    /// Everything again from event one.
    pub(crate) fn rebuild(&self, records: &[Record], state: &State, view: &View) {
        let mut rebuild = Rebuild::new();
        for record in records {
            let pushed = rebuild.push(record);
            Invariant::StateIsAFold.must(pushed.is_ok(), || format!("record {}: {pushed:?}", record.seq));
        }
        let Rebuilt { state: rebuilt, tables, .. } = rebuild.finish().expect("tables are made as they come");
        Invariant::StateIsAFold.must(rebuilt.to_bytes() == state.to_bytes(), || "another state".to_owned());
        let shown = view.set(SET).and_then(|set| set.release.as_ref()).map(|r| r.generation.bytes());
        let made = tables.get(&SET).map(|table| table.generation.bytes());
        Invariant::StateIsAFold.must(shown == made, || "another generation".to_owned());
    }
}

impl World {
    /// Takes in what was acknowledged since the last time, and what readers see of it.
    pub(crate) fn learn(&mut self) {
        let records = {
            let mut ledger = super::ledger::open(&self.origin.ledger);
            ledger.judge();
            ledger.records_from(self.judge.seen() + 1)
        };
        let now = self.now_ms / 1000;
        for record in &records {
            self.story.saw(self.now_ms, "record", &record.payload);
            self.judge.take(record, now);
        }
        if let Some(process) = &self.origin.process {
            self.judge.look(&process.single.view().load(), now);
            self.origin.bad_builder.spoil(self.canary, process.single.view());
        }
    }

    /// What a node serves is a release that was made, and none older than it served before.
    pub(crate) fn look_at_node(&mut self, number: usize) {
        let before = self.nodes[number].served;
        let Some(process) = &self.nodes[number].process else { return };
        let view = process.builder.view().load();
        let shown = view.set(SET).and_then(|set| set.release.as_ref());
        let now = shown.map_or((0, 0), |r| (r.checkpoint.version(), r.checkpoint.time()));
        Invariant::VerifiedBeforeServed.must(now.0 >= before.0 && now.1 >= before.1, || {
            format!("node {number} goes from {before:?} to {now:?}")
        });
        if let Some(shown) = shown.filter(|_| now != before) {
            self.judge.is_release(shown);
        }
        self.nodes[number].served = now;
    }

    /// What a request will be answered, unless the clock is wrong or nobody decides.
    pub(crate) fn foresee(&mut self, request: &ReportRequest) -> Option<Foreseen> {
        let (now_ms, judge) = (self.now_ms, &self.judge);
        let now = self.origin.moment(now_ms).unix;
        if self.origin.skew_s != 0 || judge.doubt {
            return None;
        }
        self.origin.running(now_ms)?;
        Some(self.judge.foresee(request, now))
    }

    /// No report has more than it should have after what was taken back of it.
    pub(crate) fn what_was_taken_stays_so(&self) {
        let now = self.origin.moment(self.now_ms).unix;
        let Some(process) = &self.origin.process else { return };
        let set = process.single.origin().state().set(SET).expect("the set of a founded origin");
        for (seq, standing) in self.judge.model.standings(now) {
            let back = set.standing(seq, now).is_some_and(|found| found.taken_back < standing.taken_back);
            Invariant::TakenBack.must(!back, || format!("something of report {seq} came back: {standing:?}"));
        }
    }

    /// The state is the fold of what was acknowledged, and each report stands where the model says.
    pub(crate) fn compare_state(&self) {
        let now = self.origin.moment(self.now_ms).unix;
        let Some(process) = self.origin.process.as_ref().filter(|process| !process.stopped) else { return };
        let state = process.single.origin().state();
        let set = state.set(SET).expect("the set of a founded origin");
        for (seq, standing) in self.judge.model.standings(now) {
            let found = set.standing(seq, now);
            Invariant::StateIsAFold.must(found == Some(standing), || {
                format!("report {seq} stands as {found:?}, the model says {standing:?}")
            });
        }
        let same = state.to_bytes() == self.judge.folded();
        Invariant::StateIsAFold.must(same, || "the state is not what the journal folds to".to_owned());
    }
}
