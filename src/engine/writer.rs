//! The writer: turns inputs into decisions, decisions into one group, and a durable group into
//! replies and work.
//!
//! [`Writer::plan`] judges inputs against the state, applies every decision to it at once and
//! returns the records; the caller appends them; [`Writer::committed`] then gives out what waited for
//! that. durable-before-receipt: replies and work exist only after `committed`. If the append fails
//! the writer is dropped with its state (fail-stop), and a restart reads what is on disk.

use std::collections::{BTreeMap, BTreeSet};

use super::checkpoint::checkpoint_of;
use super::event::{
    Configured, EVENT_VERSION, Event, KeyWithdrawn, MAX_KEYS_PER_REPORT, MAX_TEXT, ProviderAdded, Published,
    Reported, ReportedKey,
};
use super::guard::ClockGuard;
use super::input::{
    BuiltRelease, ImportCounts, ImportedKey, Input, ParamsChange, Refusal, ReleaseSummary, Reply,
    WithdrawCount,
};
use super::manifest::{key_limits, manifest_of};
use super::params::Params;
use super::random::Random;
use super::releasing::{self, Held, Occasion};
use super::set::{ReleaseOutcome, SetState};
use super::slot::{Moment, Ticket};
use super::state::State;
use super::table::TableContext;
use crate::authority::{Verdict, judge};
use crate::release::{Schema, SigningKey};
use crate::store::journal::Record;
use crate::time;

/// Most sets one origin keeps.
pub const MAX_SETS: usize = 256;
/// Most providers one origin keeps.
pub const MAX_PROVIDERS: usize = 100_000;
/// Most keys in one import.
pub const MAX_IMPORT_KEYS: usize = 1_000_000;

/// What a committed group lets out.
#[derive(Debug, Default)]
pub struct Committed {
    /// Replies to those who asked.
    pub replies: Vec<(Ticket, Result<Reply, Refusal>)>,
    /// What has to be done next.
    pub work: Vec<Work>,
}

/// Work that follows from durable decisions.
#[derive(Debug)]
pub enum Work {
    /// Make the table of a release; answer with [`Input::Built`].
    Build(TableContext, ReleaseOutcome),
    /// Let readers see a release.
    Publish {
        /// The set.
        set: u32,
        /// Its serial.
        serial: u32,
    },
    /// Let readers see a set's new manifest.
    Show {
        /// The set.
        set: u32,
    },
}

/// A release between decision and publication.
#[derive(Debug)]
struct InFlight {
    asked_by: Vec<Ticket>,
    outcome: ReleaseOutcome,
    held: Held,
}

/// The one writer of an origin.
pub struct Writer {
    state: State,
    online: SigningKey,
    random: Box<dyn Random>,
    guard: ClockGuard,
    /// When this writer was started or its clock last approved: the first border after it is the first of a
    /// set.
    anchor: u64,
    /// What the clock said at the newest release of each set made here, or when the set was made.
    paced: BTreeMap<u32, u64>,
    in_flight: BTreeMap<u32, InFlight>,
    records: Vec<Record>,
    out: Committed,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("seq", &self.state.seq()).finish_non_exhaustive()
    }
}

impl Writer {
    /// A writer that goes on from `state`, signing with the online key of its newest delegation.
    pub fn new(state: State, online: SigningKey, random: Box<dyn Random>, now: Moment) -> Self {
        let guard = ClockGuard::new(now, state.time);
        Writer {
            state,
            online,
            random,
            guard,
            anchor: now.unix,
            paced: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            records: Vec::new(),
            out: Committed::default(),
        }
    }

    /// The state, decisions not yet durable included.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether releases are held because the clock jumped: what was seen.
    pub fn clock_alarm(&self) -> Option<&super::guard::ClockAlarm> {
        self.guard.alarm()
    }

    /// Releases that were decided but not published when the process ended: their tables have to be offered
    /// as [`Input::Built`] before anything else of those sets is released.
    pub fn unfinished(&self) -> impl Iterator<Item = u32> {
        self.state.sets().filter(|(_, s)| s.in_flight()).map(|(id, _)| id)
    }

    /// Decides about `inputs` at `now`. Returns the records to append, in order; none if nothing was decided.
    /// [`Writer::committed`] must follow before the next call, with or without records.
    pub fn plan(&mut self, now: Moment, inputs: Vec<(Ticket, Input)>) -> Vec<Record> {
        self.guard.see(now);
        for (ticket, input) in inputs {
            match self.decide(now.unix, ticket, input) {
                Ok(Some(reply)) => self.out.replies.push((ticket, Ok(reply))),
                Ok(None) => {}
                Err(refusal) => self.out.replies.push((ticket, Err(refusal))),
            }
        }
        std::mem::take(&mut self.records)
    }

    /// The records of the last [`Writer::plan`] are durable: gives out what waited for them.
    pub fn committed(&mut self) -> Committed {
        std::mem::take(&mut self.out)
    }

    fn decide(&mut self, now: u64, ticket: Ticket, input: Input) -> Result<Option<Reply>, Refusal> {
        match input {
            Input::Found { service, incarnation, delegation } => {
                self.record(now, &Event::Founded(super::event::Founded { service, incarnation }));
                self.record(now, &Event::Delegated(delegation));
                Ok(Some(Reply::Done))
            }
            Input::Adopt { incarnation } => {
                self.record(now, &Event::Adopted { incarnation });
                Ok(Some(Reply::Done))
            }
            Input::CreateSet { set, params } => self.create_set(now, set, params).map(Some),
            Input::Configure { set, change } => self.configure(now, set, &change).map(Some),
            Input::AddProvider { name, key } => self.add_provider(now, name, key).map(Some),
            Input::Import { set, provider, keys } => self.import(now, set, provider, &keys).map(Some),
            Input::WithdrawKey { set, key, urgent, reason, dry_run } => {
                self.withdraw_key(now, KeyWithdrawn { set, key, urgent, reason }, dry_run).map(Some)
            }
            Input::Release { set, allow_small } => {
                self.release(now, set, Occasion::Now { allow_small }, Some(ticket)).map(|()| None)
            }
            Input::Tick => {
                self.tick(now);
                Ok(Some(Reply::Done))
            }
            Input::Built(built) => self.built(now, &built).map(|()| Some(Reply::Done)),
            Input::Delegate { delegation, key } => {
                self.delegate(now, delegation, key);
                Ok(Some(Reply::Done))
            }
            Input::ApproveClock => Ok(Some(self.approve_clock(now))),
        }
    }

    fn approve_clock(&mut self, now: u64) -> Reply {
        let was = self.guard.approve();
        if was.is_some() {
            self.anchor = now;
            self.paced.clear();
        }
        Reply::Approved { was }
    }

    /// Applies an event and puts it in the group.
    fn record(&mut self, now: u64, event: &Event) -> u64 {
        let seq = self.state.seq() + 1;
        self.state.apply(seq, now, event).expect("the writer decides only what follows from its state");
        self.push(seq, now, event);
        seq
    }

    fn push(&mut self, seq: u64, now: u64, event: &Event) {
        let payload = event.encode();
        self.records.push(Record { kind: event.kind(), version: EVENT_VERSION, seq, time_s: now, payload });
    }

    fn create_set(&mut self, now: u64, set: u32, params: Params) -> Result<Reply, Refusal> {
        if set == 0 || self.state.set(set).is_some() {
            return Err(Refusal::SetExists { set });
        }
        if self.state.sets.len() >= MAX_SETS {
            return Err(Refusal::TooMany { what: "sets", limit: MAX_SETS });
        }
        params.check()?;
        self.record(now, &Event::Configured(Configured { set, params }));
        self.issue_manifest(now, set);
        self.paced.insert(set, now);
        Ok(Reply::Configured { set, params })
    }

    fn configure(&mut self, now: u64, set: u32, change: &ParamsChange) -> Result<Reply, Refusal> {
        let state = self.state.set(set).ok_or(Refusal::NoSet { set })?;
        let old = *state.params();
        let params = change.apply_to(old);
        params.check()?;
        if params.schema != old.schema && !state.is_empty() {
            let (live, waiting) = (state.live(), state.waiting());
            return Err(Refusal::SchemaInUse { set, schema: old.schema.name(), live, waiting });
        }
        if params.schema != old.schema && state.in_flight() {
            return Err(Refusal::ReleaseInFlight { set, serial: state.serial() });
        }
        if params != old {
            self.record(now, &Event::Configured(Configured { set, params }));
            self.issue_manifest(now, set);
        }
        Ok(Reply::Configured { set, params })
    }

    fn issue_manifest(&mut self, now: u64, set: u32) {
        let Some(state) = self.state.set(set) else { return };
        let manifest = manifest_of(state, self.state.service(), now, self.state.key_epoch());
        let bytes = manifest.encode_signed(&self.online).expect("a manifest without lists fits its limit");
        self.record(now, &Event::ManifestIssued { set, bytes });
        self.out.work.push(Work::Show { set });
    }

    fn add_provider(&mut self, now: u64, name: String, key: Option<[u8; 32]>) -> Result<Reply, Refusal> {
        check_text("the provider's name", &name)?;
        if let Some((provider, _)) = self.state.providers().find(|(_, p)| p.name == name) {
            return Err(Refusal::ProviderExists { provider, name });
        }
        if self.state.providers.len() >= MAX_PROVIDERS {
            return Err(Refusal::TooMany { what: "providers", limit: MAX_PROVIDERS });
        }
        let provider = self.state.providers.keys().next_back().copied().unwrap_or(0) + 1;
        self.record(now, &Event::ProviderAdded(ProviderAdded { provider, name: name.clone(), key }));
        Ok(Reply::Provider { provider, name })
    }

    /// Judges every key by itself, and stores the good ones as reports of up to 30 keys.
    fn import(
        &mut self,
        now: u64,
        set: u32,
        provider: String,
        keys: &[ImportedKey],
    ) -> Result<Reply, Refusal> {
        let state = self.state.set(set).ok_or(Refusal::NoSet { set })?;
        if keys.len() > MAX_IMPORT_KEYS {
            return Err(Refusal::TooMany { what: "keys in one import", limit: MAX_IMPORT_KEYS });
        }
        let params = *state.params();
        let limits = key_limits(&params, state.horizon_at(now));
        let mut seen = BTreeSet::new();
        let mut rejected: BTreeMap<Verdict, u64> = BTreeMap::new();
        let mut accepted = Vec::new();
        for k in keys {
            let verdict = judge(&limits, now, k.key.as_bytes().len(), k.fields.start, k.period)
                // As sent, fields are those of `gaen-full`; what a schema lacks goes when they are coarsened.
                .and_then(|()| Schema::GaenFull.check(&k.fields).map_err(|_| Verdict::Field))
                .and_then(|()| if seen.insert(k.key) { Ok(()) } else { Err(Verdict::Duplicate) });
            match verdict {
                Ok(()) => accepted.push(ReportedKey {
                    key: k.key,
                    fields: params.schema.coarsen(k.fields),
                    embargo_end: time::end_of_validity(k.fields.start, k.fields.period)
                        + u64::from(params.embargo_s),
                }),
                Err(reason) => *rejected.entry(reason).or_default() += 1,
            }
        }
        if !accepted.is_empty() {
            let provider = self.provider_named(now, provider)?;
            for chunk in accepted.chunks(MAX_KEYS_PER_REPORT) {
                let mut report = [0; 16];
                self.random.fill(&mut report);
                let keys = chunk.to_vec();
                self.record(now, &Event::Reported(Reported { set, provider, report, keys }));
            }
        }
        let rejected = rejected.into_iter().map(|(v, n)| (v.name(), n)).collect();
        let (keys, accepted) = (keys.len() as u64, accepted.len() as u64);
        Ok(Reply::Imported(ImportCounts { keys, accepted, rejected }))
    }

    fn provider_named(&mut self, now: u64, name: String) -> Result<u32, Refusal> {
        if let Some((id, _)) = self.state.providers().find(|(_, p)| p.name == name) {
            return Ok(id);
        }
        match self.add_provider(now, name, None)? {
            Reply::Provider { provider, .. } => Ok(provider),
            other => unreachable!("adding a provider answers with it, not {other:?}"),
        }
    }

    fn withdraw_key(&mut self, now: u64, w: KeyWithdrawn, dry_run: bool) -> Result<Reply, Refusal> {
        check_text("the reason", &w.reason)?;
        let set = self.state.set(w.set).ok_or(Refusal::NoSet { set: w.set })?;
        let known = set.keys.get(&w.key).filter(|k| !k.claims.is_empty());
        let Some(known) = known else { return Err(Refusal::NoKey { set: w.set }) };
        let (reports, live) = (known.claims.len() as u64, known.live().is_some());
        let seq = if dry_run { None } else { Some(self.record(now, &Event::KeyWithdrawn(w))) };
        Ok(Reply::Withdrawn(WithdrawCount { reports, keys: 1, live: u64::from(live), seq }))
    }

    fn release(
        &mut self,
        now: u64,
        set: u32,
        occasion: Occasion,
        ticket: Option<Ticket>,
    ) -> Result<(), Refusal> {
        let state = self.state.set(set).ok_or(Refusal::NoSet { set })?;
        if let Some(alarm) = self.guard.alarm() {
            return Err(Refusal::ClockHeld(alarm.clone()));
        }
        if state.in_flight() {
            return Err(Refusal::ReleaseInFlight { set, serial: state.serial() });
        }
        let plan = releasing::plan(state, now, occasion, &mut *self.random);
        for decoy in plan.decoys {
            self.record(plan.release.time, &Event::Reported(decoy));
        }
        let seq = self.state.seq() + 1;
        let (event, outcome) =
            self.state.decide(seq, now, plan.release).expect("the set was looked up above");
        self.push(seq, now, &Event::Released(event));
        self.paced.insert(set, now);
        let schema = self.state.sets[&set].params.schema;
        let context = TableContext {
            service: self.state.service(),
            version: self.state.version(outcome.serial),
            schema,
        };
        self.out.work.push(Work::Build(context, outcome.clone()));
        let asked_by = ticket.into_iter().collect();
        self.in_flight.insert(set, InFlight { asked_by, outcome, held: plan.held });
        Ok(())
    }

    /// Releases every set whose interval border has passed. After downtime that is one release, not many.
    fn tick(&mut self, now: u64) {
        let due: Vec<u32> = self
            .state
            .sets()
            .filter(|(id, s)| !s.in_flight() && now >= self.due(*id, s))
            .map(|(id, _)| id)
            .collect();
        for set in due {
            // A held clock is reported by the alarm; the sets stay due until it is approved.
            let _ = self.release(now, set, Occasion::Interval, None);
        }
    }

    /// When the next release of a set is due: the first border after the one before, or after this writer
    /// began.
    /// Judged by what the clock says now, not by the times of releases, which a clock that was ahead has
    /// moved on.
    fn due(&self, id: u32, set: &SetState) -> u64 {
        let after = self.paced.get(&id).copied().unwrap_or(self.anchor);
        time::next_border(after, set.params().interval_s.into())
    }

    fn built(&mut self, now: u64, built: &BuiltRelease) -> Result<(), Refusal> {
        let set = self.state.set(built.set).ok_or(Refusal::NoSet { set: built.set })?;
        if !set.in_flight() || set.serial() != built.serial {
            return Err(Refusal::NotInFlight { set: built.set, serial: built.serial });
        }
        let checkpoint = checkpoint_of(&self.state, set, built);
        let published = Published {
            set: built.set,
            serial: built.serial,
            count: built.count,
            root: built.root,
            history_digest: built.history_digest,
            signatures: checkpoint.sign(&self.online),
            checkpoint: checkpoint.as_bytes().to_vec(),
        };
        self.record(now, &Event::Published(published));
        self.out.work.push(Work::Publish { set: built.set, serial: built.serial });
        if let Some(flight) = self.in_flight.remove(&built.set) {
            let summary = summary(&flight, built);
            for ticket in flight.asked_by {
                self.out.replies.push((ticket, Ok(Reply::Released(summary.clone()))));
            }
        }
        Ok(())
    }

    fn delegate(&mut self, now: u64, delegation: Vec<u8>, key: SigningKey) {
        self.record(now, &Event::Delegated(delegation));
        self.online = key;
        let sets: Vec<u32> = self.state.sets().map(|(id, _)| id).collect();
        for set in sets {
            self.issue_manifest(now, set);
        }
    }
}

fn summary(flight: &InFlight, built: &BuiltRelease) -> ReleaseSummary {
    ReleaseSummary {
        set: built.set,
        serial: built.serial,
        time: flight.outcome.time,
        changes: flight.outcome.changes,
        held: flight.held,
        live: built.count,
        root: built.root,
    }
}

/// The first border after `now` of a set's releases.
pub fn next_release(set: &SetState, now: u64) -> u64 {
    time::next_border(now, set.params().interval_s.into())
}

fn check_text(what: &'static str, text: &str) -> Result<(), Refusal> {
    if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err(Refusal::Text { what, len: text.len(), limit: MAX_TEXT });
    }
    Ok(())
}
