//! One set as a client knows it: what was verified, and how the next version takes its place.
//!
//! Pure. The steps of a sync are [`accept_checkpoint`](Follower::accept_checkpoint),
//! [`plan_sync`](Follower::plan_sync), [`apply_object`](Follower::apply_object) for each object and
//! [`take_over`](Follower::take_over) (spec 4.3.1). Objects are applied beside what is held, which is
//! replaced only by the last step, whole: bad data never replaces good data (spec 4.1.3).

use sha2::{Digest, Sha256};

use super::data::{Change, Data, History, between, compare};
use super::verify::{Unverifiable, schema_of};
use crate::release::delta::ApplyLimits;
use crate::release::{
    Age, Checkpoint, CheckpointAnswer, DEFAULT_TOO_OLD_S, Hash, LiveSet, Manifest, Schema, Trust, Verifier,
    VerifyError, age,
};
use crate::wire::layout::{KIND_HISTORY, ObjectDescriptor};
use crate::wire::question::Sync;

/// Pairs of contradicting checkpoints that are kept; the first convict, more only fill the disk.
pub const MAX_EVIDENCE: usize = 4;

/// A phone's knowledge of a set.
pub type SetClient = Follower<LiveSet>;

/// A node's knowledge of a set.
pub type HistoryClient = Follower<History>;

/// Two validly signed checkpoints of one version (spec 3.4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The answer that was accepted first.
    pub kept: CheckpointAnswer,
    /// The answer that contradicts it.
    pub other: CheckpointAnswer,
}

/// Data and the answer whose checkpoint they match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held<D> {
    pub(super) data: D,
    pub(super) answer: CheckpointAnswer,
}

/// What is known of one set, all of it verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower<D> {
    pub(super) verifier: Verifier,
    pub(super) held: Option<Held<D>>,
    pub(super) manifest: Option<(Vec<u8>, Manifest)>,
    pub(super) evidence: Vec<Evidence>,
}

/// A sync under way: the objects to fetch, and what those applied so far have led to.
#[derive(Debug)]
pub struct Plan<D> {
    answer: CheckpointAnswer,
    schema: Schema,
    objects: Vec<ObjectDescriptor>,
    applied: usize,
    staged: Option<D>,
}

impl<D> Plan<D> {
    /// The object to fetch and apply next; `None` when the set can be taken over.
    #[must_use]
    pub fn next(&self) -> Option<&ObjectDescriptor> {
        self.objects.get(self.applied)
    }

    /// Whether what is held is the newest version already.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether the objects start from nothing.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.objects.first().is_some_and(|object| object.from.get() == 0)
    }

    /// The verified checkpoint that the objects must lead to.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.answer.checkpoint
    }
}

/// Lets a verifier accept an answer and keeps what it finds against the service (spec 4.1.1, 4.1.2).
pub(super) fn accept(
    verifier: &mut Verifier,
    evidence: &mut Vec<Evidence>,
    answer: &CheckpointAnswer,
) -> Result<Checkpoint, Unverifiable> {
    verifier.accept(answer).map_err(|error| {
        if let VerifyError::Equivocation { kept, other } = &error {
            let pair = Evidence { kept: (**kept).clone(), other: (**other).clone() };
            if evidence.len() < MAX_EVIDENCE && !evidence.contains(&pair) {
                evidence.push(pair);
            }
        }
        error.into()
    })
}

/// Reads the manifest that a verified checkpoint names. Its signature is checked where the key is at
/// hand: a manifest may be older than the online key (spec 3.6.3).
pub(super) fn manifest_for(bytes: &[u8], verifier: &Verifier) -> Result<Manifest, Unverifiable> {
    let last = verifier.last().expect("a manifest is asked for by the digest of a verified checkpoint");
    let manifest = Manifest::parse_matching(bytes, &last.checkpoint)?;
    if manifest.key_epoch == last.delegation.epoch() {
        Manifest::parse_verified(bytes, &last.delegation.online())?;
    }
    Ok(manifest)
}

impl<D: Data> Follower<D> {
    /// Knows nothing yet but whom to trust.
    #[must_use]
    pub fn new(trust: Trust, set: u32) -> Self {
        Self { verifier: Verifier::new(trust, set), held: None, manifest: None, evidence: Vec::new() }
    }

    /// Accepts a CHECKPOINT answer, so that nothing older will do any more; or refuses it and stays as it
    /// was. A contradiction between signed checkpoints is kept as evidence.
    ///
    /// # Errors
    /// [`Unverifiable::Checkpoint`].
    pub fn accept_checkpoint(&mut self, answer: &CheckpointAnswer) -> Result<Checkpoint, Unverifiable> {
        accept(&mut self.verifier, &mut self.evidence, answer)
    }

    /// What to ask SYNC for: the way from the version held, or from nothing.
    #[must_use]
    pub fn wish(&self, full: bool) -> Sync {
        let newest = self.newest().map(Checkpoint::schema);
        let usable = |data: &&D| !full && newest == Some(data.schema().number());
        let version = self.data().filter(usable).map_or(0, Data::version);
        Sync { version, history: D::KIND == KIND_HISTORY }
    }

    /// Plans the way to the newest accepted checkpoint by the objects of a SYNC answer of `version`, which
    /// were read against what was asked; `None` if the answer is for another version (spec 4.3.2).
    ///
    /// # Errors
    /// If the descriptors announce more than any honest object has (spec 3.8.12), or the schema is unknown.
    ///
    /// # Panics
    /// If no checkpoint was accepted.
    pub fn plan_sync(
        &self,
        version: u64,
        objects: &[ObjectDescriptor],
    ) -> Result<Option<Plan<D>>, Unverifiable> {
        let answer = self.verifier.last().expect("a checkpoint is accepted before a sync is planned").clone();
        if version != answer.checkpoint.version() {
            return Ok(None);
        }
        let (objects, schema) = (objects.to_vec(), schema_of(&answer.checkpoint)?);
        // bounded: what is announced is compared with what is signed before a byte is fetched.
        let limit = self.limits(&answer.checkpoint, schema).max_length;
        if let Some(length) = objects.iter().map(|o| u64::from(o.length.get())).find(|length| *length > limit)
        {
            return Err(Unverifiable::Length { length, limit });
        }
        Ok(Some(Plan { answer, schema, objects, applied: 0, staged: None }))
    }

    fn limits(&self, checkpoint: &Checkpoint, schema: Schema) -> ApplyLimits {
        match self.data() {
            Some(data) => data.limits(checkpoint, schema),
            None => D::empty(schema).limits(checkpoint, schema),
        }
    }

    /// Applies the next object of a plan, beside what is held.
    ///
    /// # Errors
    /// If its length or digest are not those of its descriptor, or it cannot be applied; the plan is to be
    /// dropped.
    ///
    /// # Panics
    /// If the plan has no next object.
    pub fn apply_object(&self, plan: &mut Plan<D>, object: &[u8]) -> Result<(), Unverifiable> {
        let descriptor = *plan.next().expect("an object is fetched because the plan has it next");
        let (have, length) = (object.len() as u64, u64::from(descriptor.length.get()));
        let digest: Hash = Sha256::digest(object).into();
        if have != length || digest != descriptor.digest {
            return Err(Unverifiable::Digest { have, length });
        }
        let (from, to) = (descriptor.from.get(), descriptor.to.get());
        let nothing = D::empty(plan.schema);
        let held = self.data().filter(|data| data.schema() == plan.schema);
        let base = if from == 0 { &nothing } else { plan.staged.as_ref().or(held).unwrap_or(&nothing) };
        let mut limits = self.limits(&plan.answer.checkpoint, plan.schema);
        if to != plan.answer.checkpoint.version() {
            limits = between(limits, base.count());
        }
        let staged = base.apply(object, &limits).map_err(|source| Unverifiable::Delta { to, source })?;
        if staged.version() != to {
            return Err(Unverifiable::Path { got: staged.version(), wanted: to });
        }
        (plan.staged, plan.applied) = (Some(staged), plan.applied + 1);
        Ok(())
    }

    /// Takes over what the objects of a plan led to, if it matches the plan's checkpoint.
    ///
    /// # Errors
    /// In what it differs; what is held stays (spec 4.1.3).
    pub fn take_over(&mut self, plan: Plan<D>) -> Result<Change, Unverifiable> {
        let wanted = plan.answer.checkpoint.version();
        if let Some(next) = plan.next() {
            return Err(Unverifiable::Path { got: next.from.get(), wanted });
        }
        let data = match plan.staged {
            Some(data) => data,
            None => {
                let held = self.held.as_mut().filter(|held| held.data.version() == wanted);
                let held = held.ok_or(Unverifiable::Path { got: 0, wanted })?;
                held.answer = plan.answer;
                return Ok(Change::default());
            }
        };
        // verified-before-served: what is held is what a signed checkpoint speaks of.
        data.check(&plan.answer.checkpoint)?;
        let change = compare(self.data(), &data);
        self.held = Some(Held { data, answer: plan.answer });
        Ok(change)
    }

    /// The digest of the manifest to fetch: that of the newest checkpoint, unless it is held.
    #[must_use]
    pub fn wants_manifest(&self) -> Option<Hash> {
        let digest = self.newest()?.manifest();
        let held = self.manifest.as_ref().map(|(bytes, _)| Hash::from(Sha256::digest(bytes)));
        (held != Some(digest)).then_some(digest)
    }

    /// Takes over the manifest that the newest checkpoint names.
    ///
    /// # Errors
    /// [`Unverifiable::Manifest`].
    ///
    /// # Panics
    /// If no checkpoint was accepted.
    pub fn accept_manifest(&mut self, bytes: Vec<u8>) -> Result<&Manifest, Unverifiable> {
        let manifest = manifest_for(&bytes, &self.verifier)?;
        Ok(&self.manifest.insert((bytes, manifest)).1)
    }

    /// The set.
    #[must_use]
    pub fn set(&self) -> u32 {
        self.verifier.set()
    }

    /// Version held, 0 for none.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.data().map_or(0, Data::version)
    }

    /// The data held, which match [`checkpoint`](Self::checkpoint).
    #[must_use]
    pub fn data(&self) -> Option<&D> {
        self.held.as_ref().map(|held| &held.data)
    }

    /// The checkpoint that the data match.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.answer().map(|answer| &answer.checkpoint)
    }

    /// The answer that brought that checkpoint, byte for byte as it came (spec 4.4.3).
    #[must_use]
    pub fn answer(&self) -> Option<&CheckpointAnswer> {
        self.held.as_ref().map(|held| &held.answer)
    }

    /// The newest checkpoint accepted; the data may not have reached it.
    #[must_use]
    pub fn newest(&self) -> Option<&Checkpoint> {
        self.verifier.checkpoint()
    }

    /// The manifest of the newest checkpoint for which one was had.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref().map(|(_, manifest)| manifest)
    }

    /// The bytes of that manifest.
    #[must_use]
    pub fn manifest_bytes(&self) -> Option<&[u8]> {
        self.manifest.as_ref().map(|(bytes, _)| bytes.as_slice())
    }

    /// What the service signed that contradicts itself.
    #[must_use]
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    /// How old the data are in seconds and what may be said on their ground (spec 4.2); `now` is the
    /// client's clock, Unix seconds. `None` without data.
    #[must_use]
    pub fn age(&self, now: u64) -> Option<(Age, u64)> {
        let newest = self.newest()?.time();
        let too_old_s = self.manifest().map_or(DEFAULT_TOO_OLD_S, |manifest| manifest.too_old_s);
        Some(age(self.checkpoint()?, now, newest, too_old_s))
    }

    /// The data, handed over.
    #[must_use]
    pub fn into_data(self) -> Option<D> {
        self.held.map(|held| held.data)
    }
}
