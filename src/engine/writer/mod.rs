//! The writer: turns inputs into decisions, decisions into one group, and a durable group into
//! replies and work.
//!
//! [`Writer::plan`] judges inputs against the state, applies every decision to it at once and
//! returns the records; the caller appends them; [`Writer::committed`] then gives out what waited for
//! that. durable-before-receipt: replies and work exist only after `committed`. If the append fails
//! the writer is dropped with its state (fail-stop), and a restart reads what is on disk.

mod importing;
mod providers;
mod releases;
mod reporting;
mod sets;
mod withdrawing;

use std::collections::BTreeMap;

use super::codes::Codes;
use super::event::{EVENT_VERSION, Event, Founded, MAX_TEXT, ProviderKeyRevoked, ProviderStood, Withdrawn};
use super::guard::ClockGuard;
use super::input::{Input, Reply};
use super::random::Random;
use super::refusal::Refusal;
use super::releasing::{Held, Occasion};
use super::set::{ReleaseOutcome, SetState};
use super::slot::{Moment, Ticket};
use super::state::State;
use super::table::TableContext;
use crate::authority::{Budgets, CodesKey, Level, Seeds};
use crate::release::{MAX_MANIFEST_TLVS, SigningKey};
use crate::store::journal::Record;
use crate::time;
use crate::wire::report::Durability;

/// Most sets one origin keeps.
pub const MAX_SETS: usize = 256;
/// Most providers one origin keeps.
pub const MAX_PROVIDERS: usize = 100_000;
/// How long a seal key may be sealed to, in seconds (spec 7.1.4).
pub const SEAL_KEY_LIFE_S: u64 = 14 * 86_400;
/// Most seal keys at a time, those that ended within a day among them: every manifest has them all.
pub const MAX_SEAL_KEYS: usize = 24;
/// Most keys in one import.
pub const MAX_IMPORT_KEYS: usize = 1_000_000;

const _: () = assert!(MAX_SEAL_KEYS < MAX_MANIFEST_TLVS);

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

/// The secrets a writer works with.
pub struct Secrets {
    /// Signs checkpoints, manifests and receipts.
    pub online: SigningKey,
    /// What codes come from; without it none can be issued or told.
    pub codes: Option<CodesKey>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

/// The one writer of an origin.
pub struct Writer {
    state: State,
    online: SigningKey,
    codes: Codes,
    /// What its receipts say of where events are stored.
    durability: Durability,
    /// How many wrong grants there were lately: a rate, not a decision, so no event tells it.
    budgets: Budgets,
    seeds: Seeds,
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
    pub fn new(mut state: State, secrets: Secrets, random: Box<dyn Random>, now: Moment) -> Self {
        let guard = ClockGuard::new(now, state.time, state.believed_time());
        let codes = Codes::new(secrets.codes, &state.registry);
        state.sets.values_mut().for_each(SetState::opens);
        Writer {
            state,
            online: secrets.online,
            codes,
            durability: Durability::Disk,
            budgets: Budgets::new(),
            seeds: Seeds::new(),
            random,
            guard,
            anchor: now.unix,
            paced: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            records: Vec::new(),
            out: Committed::default(),
        }
    }

    /// Says in receipts from here on that events are stored so; until then, on one disk.
    pub fn stores_on(&mut self, durability: Durability) {
        self.durability = durability;
    }

    /// The state, decisions not yet durable included.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether releases are held because the clock jumped: what was seen.
    pub fn clock_alarm(&self) -> Option<&super::guard::ClockAlarm> {
        self.guard.alarm()
    }

    /// The codes that are alive.
    pub fn codes(&self) -> &Codes {
        &self.codes
    }

    /// Budgets of wrong grants that are half spent or more, by provider; `None` for all together.
    pub fn guessing(&self, now: u64) -> impl Iterator<Item = (Option<u32>, Level)> {
        self.budgets.alarms(now)
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
                self.record(now, &Event::Founded(Founded { service, incarnation }));
                self.record(now, &Event::Delegated(delegation));
                Ok(Some(Reply::Done))
            }
            Input::Adopt { incarnation, known } => {
                self.record(now, &Event::Adopted { incarnation, known });
                Ok(Some(Reply::Done))
            }
            Input::Base(based) => {
                // Nothing came after the base there is: it is the same snapshot.
                if self.state.base().is_none_or(|base| base.snapshot.seq < based.seq) {
                    self.record(now, &Event::Based(based));
                }
                Ok(Some(Reply::Based(based)))
            }
            Input::CreateSet { set, params } => self.create_set(now, set, params).map(Some),
            Input::Configure { set, change } => self.configure(now, set, &change).map(Some),
            Input::AddProvider { name, issuer, key } => self.add_provider(now, name, issuer, key).map(Some),
            Input::AddProviderKey { provider, key } => self.add_provider_key(now, provider, key).map(Some),
            Input::RevokeProviderKey { provider, fingerprint, since, reason, dry_run } => {
                let revoked = ProviderKeyRevoked { provider, fingerprint, since, reason };
                self.revoke_provider_key(now, revoked, dry_run).map(Some)
            }
            Input::SetStanding { provider, standing, since, reason, dry_run } => {
                let stood = ProviderStood { provider, standing, since, reason };
                self.set_standing(now, stood, dry_run).map(Some)
            }
            Input::IssueCodes(order) => self.issue_codes(now, &order).map(Some),
            Input::RevokeBatch { batch, retroactive, reason, dry_run } => {
                self.revoke_batch(now, batch, retroactive, reason, dry_run).map(Some)
            }
            Input::VoidCodes => self.void_codes(now).map(Some),
            Input::AddSealKey { public } => self.add_seal_key(now, public).map(Some),
            Input::Report(request) => Ok(Some(Reply::Report(Box::new(self.request(now, &request))))),
            Input::Import { set, provider, keys } => self.import(now, set, provider, &keys).map(Some),
            Input::Withdraw { scope, urgent, reason, dry_run } => {
                self.withdraw(now, Withdrawn { scope, urgent, reason, told: None }, dry_run).map(Some)
            }
            Input::Reinstate { seq } => self.reinstate(now, seq).map(Some),
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
