//! The objects SYNC offers and FETCH serves: deltas, fulls, histories and the manifest.
//!
//! Answers never compute. One [`Shelf`], owned by the builder, makes the deltas from the bases most
//! clients hold at each release, and others when somebody asked for them; readers see an immutable
//! [`Objects`]. No delta is history: every base is one pass over the newest table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::release::Schema;
use crate::release::delta::{DeltaContext, DeltaError, encode_history, encode_live, prefer_full};
use crate::store::generation::Generation;
use sha2::Digest;

/// Newest versions from which a delta is made at every release.
pub(crate) const RECENT_BASES: usize = 4;
/// Releases for which an offered object stays fetchable after the one it was made for (spec 2.6.4).
pub(crate) const KEPT_RELEASES: u64 = 2;
/// Bytes of all objects of one set that the shelf keeps beyond those it must.
pub(crate) const SHELF_BYTES_MAX: usize = 1 << 30;
/// Bases asked for that the shelf remembers for the next release.
pub(crate) const WANTED_MAX: usize = 256;
/// Different bases for which one version has objects; who holds another one gets the full set.
pub(crate) const BASES_MAX: usize = 2048;
/// Releases for which a base that was asked for is made again unasked.
pub(crate) const WANTED_RELEASES: u64 = 4;

const _: () = assert!(KEPT_RELEASES >= 2, "spec 2.6.4");
const _: () = assert!(RECENT_BASES < WANTED_MAX);

/// What a delta carries (spec 2.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Live entries, for clients.
    Live = 1,
    /// History entries and log leaves, for nodes.
    History = 2,
}

/// One object as SYNC offers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Version it starts from, 0 for nothing.
    pub from: u64,
    /// Version it leads to.
    pub to: u64,
    /// Its length in bytes.
    pub length: u32,
    /// What it carries.
    pub kind: Kind,
    /// H of it.
    pub digest: [u8; 32],
}

/// The objects of one set that readers see with one version.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// Offers to the newest version, by what is asked.
    offers: Vec<((Kind, u64), Offer)>,
    /// Everything fetchable, by digest.
    bytes: Vec<([u8; 32], Arc<Vec<u8>>)>,
    /// Whether bases without an offer get the full set instead of one of their own.
    crowded: bool,
}

impl Objects {
    /// Manifests alone: nothing is offered yet.
    pub fn of_manifests(manifests: &[Arc<Vec<u8>>]) -> Self {
        let named = manifests.iter().map(|m| (crate::release::manifest_digest(m), Arc::clone(m)));
        Objects { bytes: named.collect::<BTreeMap<_, _>>().into_iter().collect(), ..Objects::default() }
    }

    /// What to fetch for a client that holds version `from`, if it is made.
    pub fn offer(&self, kind: Kind, from: u64) -> Option<&Offer> {
        let made = |from| {
            let at = self.offers.binary_search_by_key(&(kind, from), |(asked, _)| *asked).ok()?;
            Some(&self.offers[at].1)
        };
        made(from).or_else(|| made(0).filter(|_| self.crowded))
    }

    /// The object of that digest.
    pub fn get(&self, digest: &[u8; 32]) -> Option<&[u8]> {
        let at = self.bytes.binary_search_by_key(&digest, |(d, _)| d).ok()?;
        Some(&self.bytes[at].1)
    }

    /// Bytes of all objects.
    pub fn total_bytes(&self) -> usize {
        self.bytes.iter().map(|(_, b)| b.len()).sum()
    }
}

/// The newest release, as the shelf needs it.
#[derive(Debug, Clone)]
pub struct Source {
    /// Service id.
    pub service: [u8; 8],
    /// The set.
    pub set: u32,
    /// Its schema.
    pub schema: Schema,
    /// Newest version.
    pub version: u64,
    /// Its time, Unix seconds.
    pub time: u64,
    /// Its horizon.
    pub horizon: u32,
    /// Its table.
    pub generation: Arc<Generation>,
    /// Leaf hashes of the checkpoint log that its `log_size` covers.
    pub leaves: Arc<Vec<[u8; 32]>>,
    /// The manifest, all its bytes.
    pub manifest: Arc<Vec<u8>>,
}

#[derive(Debug)]
struct Shelved {
    offer: Offer,
    bytes: Arc<Vec<u8>>,
}

/// Makes and keeps the objects of one set.
#[derive(Debug, Default)]
pub struct Shelf {
    shelved: Vec<Shelved>,
    /// (kind, base) asked for, and the newest version at that time.
    wanted: BTreeMap<(Kind, u64), u64>,
    /// Versions released since the start, newest last.
    recent: Vec<u64>,
    /// Newest version of each day since the start.
    day_ends: BTreeMap<u64, u64>,
    manifests: Vec<(u64, Arc<Vec<u8>>)>,
    offers: BTreeMap<(Kind, u64), Offer>,
}

impl Shelf {
    /// An empty shelf.
    pub fn new() -> Self {
        Shelf::default()
    }

    /// A new version: forgets what is too old, makes the objects most will ask for.
    ///
    /// # Errors
    /// [`DeltaError`] if the table cannot be encoded.
    pub fn release(&mut self, source: &Source) -> Result<Objects, DeltaError> {
        let oldest = source.version.saturating_sub(KEPT_RELEASES);
        self.shelved.retain(|s| s.offer.to >= oldest);
        self.manifests.retain(|(v, _)| *v >= oldest);
        self.manifests.push((source.version, Arc::clone(&source.manifest)));
        self.wanted.retain(|_, asked| *asked + WANTED_RELEASES >= source.version);
        self.offers.clear();
        let days_kept = source.time / 86_400;
        self.day_ends.retain(|day, _| day + 31 > days_kept);
        let mut bases: BTreeSet<(Kind, u64)> = BTreeSet::from([(Kind::Live, 0)]);
        bases.extend(self.recent.iter().rev().take(RECENT_BASES).map(|v| (Kind::Live, *v)));
        bases.extend(self.day_ends.values().map(|v| (Kind::Live, *v)));
        if self.wanted.keys().any(|(kind, _)| *kind == Kind::History) {
            bases.extend(self.recent.last().map(|v| (Kind::History, *v)));
        }
        for (kind, from) in bases {
            self.make(source, kind, from)?;
        }
        self.recent.push(source.version);
        let surplus = self.recent.len().saturating_sub(RECENT_BASES);
        self.recent.drain(..surplus);
        self.day_ends.insert(days_kept, source.version);
        Ok(self.objects())
    }

    /// Makes one base that was asked for at a release before and has nothing yet; whether there was one.
    /// For when nobody waits: strangers choose these bases, and no release waits for them.
    ///
    /// # Errors
    /// [`DeltaError`] if the table cannot be encoded.
    pub fn remember(&mut self, source: &Source) -> Result<bool, DeltaError> {
        let missing = self.wanted.keys().find(|asked| !self.offers.contains_key(asked));
        let Some((kind, from)) = missing.filter(|_| !self.is_crowded()).copied() else { return Ok(false) };
        self.make(source, kind, from)?;
        Ok(self.offers.contains_key(&(kind, from)))
    }

    /// Somebody holds `from` and nothing is made for it: makes it now, for [`Shelf::objects`] to show.
    ///
    /// # Errors
    /// [`DeltaError`] if the table cannot be encoded.
    pub fn want(&mut self, source: &Source, kind: Kind, from: u64) -> Result<(), DeltaError> {
        if self.wanted.len() < WANTED_MAX {
            self.wanted.insert((kind, from), source.version);
        }
        self.make(source, kind, from)
    }

    fn make(&mut self, source: &Source, kind: Kind, from: u64) -> Result<(), DeltaError> {
        if from >= source.version || self.offers.contains_key(&(kind, from)) {
            return Ok(());
        }
        if from != 0 {
            self.make(source, kind, 0)?;
            if self.is_crowded() {
                return Ok(());
            }
        }
        let full = self.offers.get(&(kind, 0)).copied();
        let bytes = self.encode(source, kind, from)?;
        // spec 3.8.11: a delta nearly as long as the full set is not worth its base.
        if let Some(full) = full
            && prefer_full(bytes.len() as u64, full.length.into())
        {
            self.offers.insert((kind, from), full);
            return Ok(());
        }
        let length = u32::try_from(bytes.len())
            .map_err(|_| DeltaError::TooLong { found: bytes.len() as u64, limit: u32::MAX.into() })?;
        let digest: [u8; 32] = sha2::Sha256::digest(&bytes).into();
        let offer = Offer { from, to: source.version, length, kind, digest };
        self.offers.insert((kind, from), offer);
        self.shelved.push(Shelved { offer, bytes: Arc::new(bytes) });
        self.bound();
        Ok(())
    }

    fn encode(&self, source: &Source, kind: Kind, from: u64) -> Result<Vec<u8>, DeltaError> {
        let context = DeltaContext {
            service: source.service,
            set: source.set,
            schema: source.schema,
            horizon: source.horizon,
        };
        let entries = source.generation.entry_bytes();
        match kind {
            Kind::Live => encode_live(&context, from, source.version, entries),
            Kind::History => {
                // One release, one leaf: the log of `from` lacks as many leaves as releases came after it.
                let since = usize::try_from(source.version - from).unwrap_or(usize::MAX);
                let known = if from == 0 { 0 } else { source.leaves.len().saturating_sub(since) };
                let leaves = &source.leaves[known..];
                encode_history(&context, from, source.version, entries, leaves)
            }
        }
    }

    /// Lets go of the oldest objects while there are too many bytes; what leads to the newest version stays.
    fn bound(&mut self) {
        let newest = self.shelved.last().map_or(0, |s| s.offer.to);
        let mut total = self.total_bytes();
        while total > SHELF_BYTES_MAX {
            let Some(at) = self.shelved.iter().position(|s| s.offer.to < newest) else { return };
            total -= self.shelved.remove(at).bytes.len();
        }
    }

    /// Whether no more bases get a delta. bounded: strangers choose the bases, not what they cost.
    fn is_crowded(&self) -> bool {
        self.offers.len() >= BASES_MAX || self.total_bytes() >= SHELF_BYTES_MAX
    }

    fn total_bytes(&self) -> usize {
        self.shelved.iter().map(|s| s.bytes.len()).sum()
    }

    /// What readers may see: everything made so far.
    pub fn objects(&self) -> Objects {
        let mut bytes: Vec<_> = self.shelved.iter().map(|s| (s.offer.digest, Arc::clone(&s.bytes))).collect();
        for (_, manifest) in &self.manifests {
            bytes.push((crate::release::manifest_digest(manifest), Arc::clone(manifest)));
        }
        bytes.sort_unstable_by_key(|(digest, _)| *digest);
        bytes.dedup_by_key(|(digest, _)| *digest);
        let offers = self.offers.iter().map(|(asked, offer)| (*asked, *offer)).collect();
        Objects { offers, bytes, crowded: self.is_crowded() }
    }
}
