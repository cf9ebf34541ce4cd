//! Releases: when one is due, what is decided, what follows once its table is built.

use super::super::checkpoint::checkpoint_of;
use super::super::event::{Event, Published};
use super::super::input::Reply;
use super::super::input::{BuiltRelease, ReleaseSummary};
use super::super::refusal::Refusal;
use super::super::releasing::{self, Occasion};
use super::super::set::SetState;
use super::super::slot::Ticket;
use super::super::table::TableContext;
use super::{InFlight, Work, Writer};
use crate::time;

impl Writer {
    pub(super) fn release(
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
    pub(super) fn tick(&mut self, now: u64) {
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

    pub(super) fn built(&mut self, now: u64, built: &BuiltRelease) -> Result<(), Refusal> {
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
