//! The sync: from the version held to the newest, verified, or not at all (spec 4.3).
//!
//! Rounds find a checkpoint and objects of one version; a delta that fails is followed once by
//! the full set (spec 4.1.4). What is held changes only when all of it held.

use super::ask::{Client, ROUNDS};
use super::asking::Ask;
use super::data::{Change, Data};
use super::error::ClientError;
use super::set::{Follower, Plan};
use super::verify::Unverifiable;
use crate::release::{Checkpoint, Hash};
use crate::wire::{AnswerBody, Operation, ResultCode};

/// How a sync went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// What was held is the newest version.
    Current,
    /// Deltas led to it.
    Delta,
    /// The whole set was fetched.
    Full,
}

impl SyncMode {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Delta => "delta",
            Self::Full => "full",
        }
    }
}

/// What a sync did. Everything in it is verified.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncReport {
    /// How it went.
    pub mode: SyncMode,
    /// Version held before, 0 for none.
    pub from: u64,
    /// Version held now.
    pub to: u64,
    /// Entries that became live, left, and expired.
    pub change: Change,
    /// Live entries.
    pub live: u64,
    /// Bytes of all objects fetched, also of those that failed.
    pub bytes: u64,
    /// Root of the bucket tree.
    pub root: Hash,
    /// Seconds that the server asks to wait before the next sync (spec 4.5.1).
    pub wait_s: u16,
    /// Why the delta failed, if the full set was fetched for that.
    pub delta_failed: Option<Unverifiable>,
}

/// One attempt that did not arrive.
enum Stop {
    /// The objects do not hold: the full set may.
    Objects(Unverifiable),
    /// Nothing more can be done now.
    Final(ClientError),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Self::Final(error)
    }
}

/// What one round came to.
enum Round<D> {
    /// Checkpoint and answer agree, and all objects were applied.
    Ready(Box<Plan<D>>, u16),
    /// The versions of checkpoint and answer; 0 where the object was gone.
    Disagree(u64, u64),
}

impl Client<'_> {
    /// Brings a set to the newest version. `full`: fetches the whole set whatever is held.
    ///
    /// # Errors
    /// [`ClientError`]; what was held is then still held, and the newest checkpoint that was verified is
    /// remembered.
    pub fn sync<D: Data>(
        &mut self,
        follower: &mut Follower<D>,
        full: bool,
    ) -> Result<SyncReport, ClientError> {
        let mut bytes = 0;
        let failed = match self.attempt(follower, full, &mut bytes) {
            Ok(report) => return Ok(report),
            Err(Stop::Final(error)) => return Err(error),
            Err(Stop::Objects(what)) => what,
        };
        if follower.wish(full).version == 0 {
            return Err(unusable(follower, failed));
        }
        match self.attempt(follower, true, &mut bytes) {
            Ok(report) => Ok(SyncReport { delta_failed: Some(failed), ..report }),
            Err(Stop::Final(error)) => Err(error),
            Err(Stop::Objects(what)) => Err(unusable(follower, what)),
        }
    }

    fn attempt<D: Data>(
        &mut self,
        follower: &mut Follower<D>,
        full: bool,
        bytes: &mut u64,
    ) -> Result<SyncReport, Stop> {
        let (from, mut versions) = (follower.version(), (0, 0));
        for round in 0..ROUNDS {
            let checkpoint = match self.newest_for(follower) {
                Ok(checkpoint) => checkpoint,
                // Nodes of one address may differ in age: later rounds may meet the newer one again.
                Err(error) if round > 0 && error.unverifiable().is_some_and(Unverifiable::is_behind) => {
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match self.round(follower, &checkpoint, full, bytes)? {
                Round::Disagree(signed, answered) => versions = (signed, answered),
                Round::Ready(plan, wait_s) => {
                    return self.arrive(follower, *plan, Arrival { from, bytes: *bytes, wait_s });
                }
            }
        }
        let (checkpoint, answer) = versions;
        let (operation, set, kept) = (Operation::Sync, follower.set(), from);
        Err(ClientError::NoAgreement { operation, set, rounds: ROUNDS, checkpoint, answer, kept }.into())
    }

    /// Asks for the newest checkpoint and lets the follower accept it.
    fn newest_for<D: Data>(&mut self, follower: &mut Follower<D>) -> Result<Checkpoint, ClientError> {
        let answer = self.checkpoint_answer()?;
        let accepted = follower.accept_checkpoint(&answer);
        if accepted.is_err() {
            self.judged(false);
        }
        accepted.map_err(|what| refuted(follower, Operation::Checkpoint, what))
    }

    /// Asks for the way to the newest version, fetches its objects and applies them.
    fn round<D: Data>(
        &mut self,
        follower: &mut Follower<D>,
        checkpoint: &Checkpoint,
        full: bool,
        bytes: &mut u64,
    ) -> Result<Round<D>, Stop> {
        let asked = follower.wish(full);
        let reply = self.ask(&Ask::Sync(asked))?;
        let header = reply.view().header;
        let AnswerBody::Sync(answer) = reply.view().body else {
            return Err(self.other_body(Operation::Sync).into());
        };
        let (signed, version) = (checkpoint.version(), header.version.get());
        let objects = answer.read(asked).map_err(|what| Stop::Objects(what.into()))?;
        let Some(mut plan) = follower.plan_sync(version, objects).map_err(Stop::Objects)? else {
            return Ok(Round::Disagree(signed, version));
        };
        while let Some(next) = plan.next().copied() {
            let length = next.length.get();
            let object = match self.fetch(&next.digest, Some(length), length.into()) {
                Ok(object) => object,
                // Releases went by since the descriptor was given (spec 2.6.4).
                Err(error) if error.refused().is_some_and(|refused| refused.result == ResultCode::Gone) => {
                    return Ok(Round::Disagree(signed, 0));
                }
                Err(ClientError::Unverifiable { what, .. }) => return Err(Stop::Objects(*what)),
                Err(error) => return Err(error.into()),
            };
            *bytes += object.len() as u64;
            if let Err(what) = follower.apply_object(&mut plan, &object) {
                self.judged(false);
                return Err(Stop::Objects(what));
            }
        }
        self.manifest_for(follower)?;
        Ok(Round::Ready(Box::new(plan), header.wait.get()))
    }

    /// Fetches the manifest of the newest checkpoint unless it is held. A server that does not give it is
    /// forgiven: the set can be judged without.
    fn manifest_for<D: Data>(&mut self, follower: &mut Follower<D>) -> Result<(), ClientError> {
        if let Some(digest) = follower.wants_manifest() {
            let bytes = match self.fetch_manifest(&digest) {
                Ok(bytes) => bytes,
                Err(ClientError::Refused { .. } | ClientError::NeedsStream { .. }) => return Ok(()),
                Err(error) => return Err(error),
            };
            let accepted = follower.accept_manifest(bytes).map(|_| ());
            accepted.map_err(|what| refuted(follower, Operation::Manifest, what))?;
        }
        if let Some(manifest) = follower.manifest() {
            self.heed(manifest);
        }
        Ok(())
    }

    fn arrive<D: Data>(
        &mut self,
        follower: &mut Follower<D>,
        plan: Plan<D>,
        arrival: Arrival,
    ) -> Result<SyncReport, Stop> {
        let mode = match (plan.is_current(), plan.is_full()) {
            (true, _) => SyncMode::Current,
            (_, true) => SyncMode::Full,
            _ => SyncMode::Delta,
        };
        let checkpoint = *plan.checkpoint();
        let taken = follower.take_over(plan);
        self.judged(taken.is_ok());
        let Arrival { from, bytes, wait_s } = arrival;
        Ok(SyncReport {
            mode,
            from,
            to: checkpoint.version(),
            change: taken.map_err(Stop::Objects)?,
            live: checkpoint.count(),
            bytes,
            root: checkpoint.root(),
            wait_s,
            delta_failed: None,
        })
    }
}

/// What a sync brings along to its end.
struct Arrival {
    from: u64,
    bytes: u64,
    wait_s: u16,
}

fn refuted<D: Data>(follower: &Follower<D>, operation: Operation, what: Unverifiable) -> ClientError {
    let (set, kept) = (follower.set(), follower.version());
    ClientError::Unverifiable { operation, set, what: Box::new(what), kept }
}

fn unusable<D: Data>(follower: &Follower<D>, what: Unverifiable) -> ClientError {
    refuted(follower, Operation::Sync, what)
}
