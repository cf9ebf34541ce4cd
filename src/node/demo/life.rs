//! Who takes part in the story, and the questions that several of its days ask.

use super::error::{DemoError, equal, must};
use super::model::Model;
use super::package::KeyPackage;
use super::story::Story;
use super::world::{Phone, World};
use crate::client::{SyncMode, SyncReport};
use crate::engine::{DEFAULT_PARAMS, ReleaseOutcome};
use crate::release::{Checkpoint, delta};

/// Seconds between releases.
pub(super) const INTERVAL_S: u64 = DEFAULT_PARAMS.interval_s as u64;
/// Releases of an hour.
pub(super) const HOUR: u64 = 3600 / INTERVAL_S;

const _: () = assert!(3600 % INTERVAL_S == 0);

/// Everybody.
pub(super) struct Life<'o> {
    pub(super) world: World,
    pub(super) story: Story<'o>,
    pub(super) model: Model,
    pub(super) package: KeyPackage,
    /// Syncs whenever something happened.
    pub(super) near: Phone,
    /// Stays behind for days.
    pub(super) far: Phone,
    /// The checkpoint of the first release, as a phone verified it.
    pub(super) first: Option<Checkpoint>,
}

/// What a release run did, summed up.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) releases: u64,
    pub(super) added: u64,
    pub(super) decoys: u64,
    pub(super) withdrawn: u64,
    pub(super) decoys_withdrawn: u64,
    pub(super) expired: u64,
}

impl<'o> Life<'o> {
    pub(super) fn begin(package: KeyPackage, story: Story<'o>) -> Result<Self, DemoError> {
        let world = World::found()?;
        let (near, far) = (Phone::new("phone A", &world.trust), Phone::new("phone B", &world.trust));
        let model = Model::new(DEFAULT_PARAMS.schema, DEFAULT_PARAMS.embargo_s);
        Ok(Life { world, story, model, package, near, far, first: None })
    }

    /// Lets intervals pass and notes what the releases did.
    pub(super) fn pass(&mut self, intervals: u64) -> Result<Sum, DemoError> {
        let outcomes = self.world.pass(intervals, INTERVAL_S)?;
        equal("releases made, one at each border", outcomes.len() as u64, intervals)?;
        Ok(self.note(&outcomes))
    }

    fn note(&mut self, outcomes: &[ReleaseOutcome]) -> Sum {
        let mut sum = Sum::default();
        for outcome in outcomes {
            let c = &outcome.changes;
            self.model.released(c);
            sum.releases += 1;
            sum.added += u64::from(c.added);
            sum.decoys += u64::from(c.decoys_added);
            sum.withdrawn += u64::from(c.withdrawn);
            sum.decoys_withdrawn += u64::from(c.decoys_withdrawn);
            sum.expired += u64::from(c.expired);
        }
        sum
    }

    /// The serial of the newest release.
    pub(super) fn serial(&self) -> u32 {
        self.world.origin().origin().state().set(super::world::SET).map_or(0, crate::engine::SetState::serial)
    }

    /// Syncs phone A in memory and compares it with the model.
    pub(super) fn sync_near(&mut self) -> Result<SyncReport, DemoError> {
        let report = self.near.sync(&mut self.world.client())?;
        self.model.check(self.near.name, &self.near.set)?;
        Ok(report)
    }

    /// Syncs phone B in memory, compares it with the model, and with phone A.
    pub(super) fn sync_far(&mut self) -> Result<SyncReport, DemoError> {
        let report = self.far.sync(&mut self.world.client())?;
        self.model.check(self.far.name, &self.far.set)?;
        must(self.far.set.data() == self.near.set.data(), || {
            format!("{} and {} hold the same entries", self.far.name, self.near.name)
        })?;
        Ok(report)
    }
}

/// How a phone got to the newest version, in words. A set of a few keys is not longer than its deltas, and
/// then goes out whole.
pub(super) fn way(report: &SyncReport) -> &'static str {
    match report.mode {
        SyncMode::Current => "nothing",
        SyncMode::Delta => "a delta",
        SyncMode::Full => "the full set",
    }
}

/// Holds if a delta carries no key: it is its header alone.
pub(super) fn must_be_bare(report: &SyncReport) -> Result<(), DemoError> {
    match report.mode {
        SyncMode::Delta => equal("bytes of a delta without news", report.bytes, delta::HEADER_LEN as u64),
        SyncMode::Full => equal("new keys of a set without news", report.change.added, 0),
        SyncMode::Current => Err(DemoError::DoesNotHold("releases took a version each".to_owned())),
    }
}
