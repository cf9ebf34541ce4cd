//! The builder: makes tables of decided releases, the objects of published ones, and lets readers see them.
//!
//! It owns what readers look at and nothing private. Receipts never wait for it: it runs on a thread of its
//! own, at its own pace, and answers the writer with the root of each table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::news::SetNews;
use super::origin::set_path;
use super::showing::{self, ShownSet};
use crate::client::{Data, History};
use crate::engine::{
    Alone, BuiltRelease, BuiltTable, DEFAULT_PARAMS, Mend, Objects, Place, ReleaseOutcome, ReleaseView,
    SetState, SetView, Shelf, Source, State, TableContext, View, Wish, build_from, is_as_signed, next_table,
};
use crate::release::delta::DeltaError;
use crate::release::{Checkpoint, Schema, compose_answer_body};
use crate::store::generation::{Generation, GenerationError, generations, retire_older};
use crate::store::{Disk, MemoryMode, PublishError, Published};
use crate::time::next_border;

/// Generation files of a set that are kept.
pub(crate) const KEPT_GENERATIONS: usize = 2;
/// Wishes granted in one go.
pub(crate) const WISHES_PER_TURN: usize = 16;

/// How long readers may hold on to older views while a new one waits, in milliseconds.
const READERS_PATIENCE_MS: u32 = 1000;

/// Why a release cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A table cannot be made.
    #[error(transparent)]
    Table(#[from] GenerationError),
    /// An object cannot be made.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// What the journal gives is not what was signed.
    #[error(
        "release {serial} of set {set} made again from the journal has another root than was signed: nothing of it \
         is served; run `tekctl journal rebuild`, which says at which release they part"
    )]
    Deviates {
        /// The set.
        set: u32,
        /// Its newest release.
        serial: u32,
    },
    /// Somebody changed or cut the file of a mapped generation, or the disk lost a part of it.
    #[error(
        "the generation {} was changed or cut under the server: set {set} is not answered from it any more, and it \
         is made again; nobody but tekd writes there, so look after the disk",
        file.display()
    )]
    Hurt {
        /// The set.
        set: u32,
        /// Its file.
        file: PathBuf,
    },
    /// Readers were shown something else than the state says.
    #[error(
        "readers of set {set} were shown {shown} again before the state was read, but the state says \
         {published}: nothing of it is served any more, and what was shown is removed, so that the next \
         start waits for the state; report this as a mistake of tekd"
    )]
    OtherShown {
        /// The set.
        set: u32,
        /// The version that was shown.
        shown: String,
        /// The version the state says.
        published: String,
    },
    /// Readers of an old view never leave.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Where tables are kept.
#[derive(Clone)]
pub struct TableStore {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The data directory; none keeps tables in memory alone.
    pub dir: Option<PathBuf>,
    /// How they are held in memory.
    pub mode: MemoryMode,
}

impl std::fmt::Debug for TableStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableStore").field("dir", &self.dir).field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// A mapped table as it was verified, or why nothing may be made of it.
fn whole(table: &BuiltTable) -> Result<(), BuildError> {
    let generation = &table.generation;
    if generation.vouches(generation.bytes()) {
        return Ok(());
    }
    Err(BuildError::Hurt { set: table.built.set, file: generation.path().to_path_buf() })
}

/// Makes what readers see.
#[derive(Debug)]
pub struct Builder {
    store: TableStore,
    /// Sets that were shown again and not confirmed yet.
    unconfirmed: Vec<u32>,
    tables: BTreeMap<u32, BuiltTable>,
    shelves: BTreeMap<u32, (Shelf, Source)>,
    view: Arc<Published<View>>,
}

impl Builder {
    /// A builder that publishes to `view`.
    pub fn new(store: TableStore, view: Arc<Published<View>>) -> Self {
        let (tables, shelves) = (BTreeMap::new(), BTreeMap::new());
        Builder { store, unconfirmed: Vec::new(), tables, shelves, view }
    }

    /// What readers look at.
    pub fn view(&self) -> &Arc<Published<View>> {
        &self.view
    }

    /// The present table of a set.
    pub fn table(&self, set: u32) -> Option<&BuiltTable> {
        self.tables.get(&set)
    }

    /// Makes the table of a decided release.
    ///
    /// # Errors
    /// If it cannot be made even in memory.
    pub fn build(
        &mut self,
        context: &TableContext,
        outcome: &ReleaseOutcome,
    ) -> Result<BuiltRelease, BuildError> {
        let before = self.tables.get(&outcome.set);
        before.map_or(Ok(()), whole)?;
        let table = self.placed(outcome.set, |place| next_table(context, before, outcome, place))?;
        // Bad data never replaces good data: what was read was whole until it was read.
        before.map_or(Ok(()), whole)?;
        let built = table.built;
        self.tables.insert(outcome.set, table);
        self.retire(outcome.set);
        Ok(built)
    }

    /// Finds the table of the newest decided release of `set` after a start: the file of it if it is whole,
    /// else made again from the state.
    ///
    /// # Errors
    /// If it cannot be made even in memory.
    pub fn recover(&mut self, state: &State, set: u32) -> Result<Option<BuiltRelease>, BuildError> {
        let Some(s) = state.set(set).filter(|s| s.serial() > 0) else { return Ok(None) };
        let table = match self.shown_of(s).or_else(|| self.file_of(s)) {
            Some(table) => table,
            None => self.made_again(&Mend::of(state, s, &Alone))?,
        };
        let built = table.built;
        // A table made again has to be the one that was signed (state-is-a-fold).
        is_as_signed(s, &built).map_err(|_| BuildError::Deviates { set, serial: s.serial() })?;
        self.tables.insert(set, table);
        Ok(Some(built))
    }

    fn made_again(&self, mend: &Mend) -> Result<BuiltTable, BuildError> {
        self.placed(mend.set(), |place| mend.make(place))
    }

    /// The sets whose mapped table was found changed, and its file.
    pub(crate) fn hurt(&self) -> impl Iterator<Item = (u32, &Path)> {
        let hurt = self.tables.iter().filter(|(_, table)| table.generation.is_hurt());
        hurt.map(|(set, table)| (*set, table.generation.path()))
    }

    /// Makes the table of a set again that was found changed. Readers see it with the next news.
    ///
    /// # Errors
    /// If it cannot be made even in memory.
    pub(crate) fn mend(&mut self, mend: &Mend) -> Result<BuiltRelease, BuildError> {
        let set = mend.set();
        let table = self.made_again(mend)?;
        let built = table.built;
        let signed = self.tables.get(&set).map(|before| before.built).filter(|b| b.serial == built.serial);
        if signed.is_some_and(|before| before != built) {
            return Err(BuildError::Deviates { set, serial: built.serial });
        }
        self.put(table);
        Ok(built)
    }

    /// Puts a table in the place of one that nothing more is made of.
    fn put(&mut self, table: BuiltTable) {
        let set = table.built.set;
        if self.tables.get(&set).is_some_and(|before| before.generation.is_hurt()) {
            self.shelves.remove(&set);
        }
        self.tables.insert(set, table);
        self.retire(set);
    }

    /// The table that was shown again, if it is that of the newest decided release.
    fn shown_of(&self, s: &SetState) -> Option<BuiltTable> {
        let table = self.tables.get(&s.id()).filter(|_| !s.in_flight())?;
        let same = table.built.serial == s.serial()
            && table.generation.meta().version == s.table().version
            && !table.generation.is_hurt();
        same.then(|| table.clone())
    }

    /// The generation file whose digest the newest published checkpoint names, if no release came after it.
    fn file_of(&self, s: &SetState) -> Option<BuiltTable> {
        let (checkpoint, _) = s.published_checkpoint().filter(|_| !s.in_flight())?;
        let checkpoint = Checkpoint::parse(checkpoint).ok()?;
        let dir = set_path(self.store.dir.as_ref()?, checkpoint.set());
        let disk = &*self.store.disk;
        let names = |g: &Generation| *g.digest() == checkpoint.history() && *g.root() == checkpoint.root();
        for (_, file) in generations(disk, &dir).ok()? {
            match Generation::open(disk, &file, self.store.mode) {
                // state-is-a-fold: an older one of the same entries has other bytes.
                Ok(g) if g.meta().version == s.table().version && names(&g) => {
                    let built = BuiltRelease {
                        set: checkpoint.set(),
                        serial: s.serial(),
                        count: g.live(),
                        root: *g.root(),
                        history_digest: *g.digest(),
                    };
                    return Some(BuiltTable { generation: Arc::new(g), built });
                }
                Ok(_) => {}
                Err(e) => tracing::warn!("{e}; it is made again from the journal"),
            }
        }
        None
    }

    /// Takes over the table of a verified history.
    ///
    /// # Errors
    /// If it cannot be made even in memory.
    pub fn adopt(&mut self, checkpoint: &Checkpoint, data: &History) -> Result<(), BuildError> {
        let context = TableContext {
            service: checkpoint.service(),
            version: checkpoint.version(),
            schema: data.schema(),
        };
        let outcome = outcome_of(checkpoint);
        let table =
            self.placed(checkpoint.set(), |place| build_from(&context, data.entries(), &outcome, place))?;
        self.put(table);
        Ok(())
    }

    fn placed(
        &self,
        set: u32,
        make: impl Fn(Place<'_>) -> Result<BuiltTable, GenerationError>,
    ) -> Result<BuiltTable, BuildError> {
        let Some(dir) = &self.store.dir else { return Ok(make(Place::Memory)?) };
        let dir = set_path(dir, set);
        match make(Place::File(&*self.store.disk, &dir, self.store.mode)) {
            Ok(table) => Ok(table),
            Err(e) => {
                // A generation is a cache: readers get the release even if the disk does not.
                tracing::error!("{e}; the table of set {set} is kept in memory only");
                Ok(make(Place::Memory)?)
            }
        }
    }

    fn retire(&self, set: u32) {
        let Some(dir) = &self.store.dir else { return };
        if let Err(e) = retire_older(&*self.store.disk, &set_path(dir, set), KEPT_GENERATIONS) {
            tracing::warn!("old generations of set {set} are left where they are: {e}");
        }
    }

    /// Lets readers know of a set of which nothing could be verified yet.
    ///
    /// # Errors
    /// If readers of an old view never leave.
    pub fn announce(&mut self, set: u32) -> Result<(), BuildError> {
        let set = SetView {
            set,
            schema: DEFAULT_PARAMS.schema,
            interval_s: DEFAULT_PARAMS.interval_s,
            next_release: 0,
            manifest: Arc::default(),
            release: None,
        };
        Ok(self.publish(self.view.load().with_set(set))?)
    }

    /// Lets readers see a set as `news` has it.
    ///
    /// # Errors
    /// If an object of it cannot be made.
    pub fn show(&mut self, news: &SetNews) -> Result<(), BuildError> {
        let release = match &news.published {
            Some((checkpoint, signatures)) => self.release_view(news, checkpoint, signatures)?,
            None => None,
        };
        // one-release-at-a-time: a schema that was changed since the release holds from the next one on.
        let released = release.as_ref().and_then(|r| Schema::from_number(r.checkpoint.schema()));
        let set = SetView {
            set: news.set,
            schema: released.unwrap_or(news.schema),
            interval_s: news.interval_s,
            next_release: news.next_release,
            manifest: Arc::clone(&news.manifest),
            release,
        };
        self.publish(self.view.load().with_set(set))?;
        self.keep(news);
        Ok(())
    }

    /// Keeps what readers see now for the next start. It is a cache: what cannot be kept is waited for then.
    fn keep(&self, news: &SetNews) {
        let view = self.view.load();
        let release = view.set(news.set).and_then(|set| set.release.as_ref());
        let (Some(dir), Some(shown)) = (&self.store.dir, release.and_then(|release| news.shown(release)))
        else {
            return;
        };
        if let Err(e) = showing::keep(&*self.store.disk, dir, &shown) {
            tracing::warn!(
                "what readers of set {} see could not be kept: {e}; the next start shows it only once its state is read",
                news.set
            );
        }
    }

    /// Lets readers see a set as they saw it last, at `now` (Unix seconds), before its state is read. Whoever
    /// lacks an object waits for the builder.
    pub(super) fn show_again(&mut self, again: ShownSet, now: u64) -> Result<(), BuildError> {
        let ShownSet { shown, verified, generation } = again;
        let checkpoint = verified.answer.checkpoint;
        let Some(schema) = Schema::from_number(checkpoint.schema()) else { return Ok(()) };
        let built = BuiltRelease {
            set: shown.set,
            serial: checkpoint.serial(),
            count: checkpoint.count(),
            root: checkpoint.root(),
            history_digest: checkpoint.history(),
        };
        let manifest = Arc::new(shown.manifest.clone());
        let manifests = [Arc::clone(&manifest), Arc::new(shown.published_manifest.clone())];
        let release = ReleaseView {
            checkpoint,
            checkpoint_answer: Arc::new(shown.answer_body()),
            generation: Arc::clone(&generation),
            bridges: Arc::new(shown.bridges),
            log: Arc::new(verified.log),
            objects: Objects::of_manifests(&manifests),
        };
        let interval_s = verified.manifest.interval_s;
        let next_release = next_border(now, interval_s.into());
        let set = shown.set;
        let release = Some(release);
        self.publish(self.view.load().with_set(SetView {
            set,
            schema,
            interval_s,
            next_release,
            manifest,
            release,
        }))?;
        self.tables.insert(set, BuiltTable { generation, built });
        self.unconfirmed.push(set);
        Ok(())
    }

    /// That the state, now that it is read, says what readers were shown before.
    ///
    /// # Errors
    /// If it does not: nothing is to be served that the journal does not say.
    pub(super) fn confirm(&mut self, state: &State) -> Result<(), BuildError> {
        for set in std::mem::take(&mut self.unconfirmed) {
            let view = self.view.load();
            let shown = view.set(set).and_then(|s| s.release.as_ref()).map(|r| r.checkpoint);
            let published = state.set(set).and_then(SetState::published_checkpoint);
            if published.map(|(checkpoint, _)| checkpoint) == shown.as_ref().map(Checkpoint::as_bytes) {
                continue;
            }
            if let Some(Err(e)) =
                self.store.dir.as_ref().map(|dir| showing::forget(&*self.store.disk, dir, set))
            {
                tracing::error!("what was shown of set {set} could not be removed: {e}");
            }
            let version = |c: Option<Checkpoint>| {
                c.map_or("nothing".to_owned(), |c| format!("version {}", c.version()))
            };
            let published = published.and_then(|(checkpoint, _)| Checkpoint::parse(checkpoint).ok());
            return Err(BuildError::OtherShown { set, shown: version(shown), published: version(published) });
        }
        Ok(())
    }

    fn release_view(
        &mut self,
        news: &SetNews,
        checkpoint: &[u8],
        signatures: &[u8],
    ) -> Result<Option<ReleaseView>, BuildError> {
        let view = self.view.load();
        let shown = view.set(news.set).and_then(|s| s.release.as_ref());
        let Ok(parsed) = Checkpoint::parse(checkpoint) else { return Ok(shown.cloned()) };
        let has_shelf = self.shelves.contains_key(&news.set);
        let same = |r: &&ReleaseView| r.checkpoint == parsed && has_shelf && !r.generation.is_hurt();
        if let Some(shown) = shown.filter(same) {
            return Ok(Some(shown.clone()));
        }
        let names =
            |t: &&BuiltTable| t.built.root == parsed.root() && t.built.history_digest == parsed.history();
        let schema = Schema::from_number(parsed.schema());
        let Some((table, schema)) = self.tables.get(&news.set).filter(names).zip(schema) else {
            // The table of a later release is made already: readers keep what they have until it is
            // published.
            return Ok(shown.cloned());
        };
        let covered = usize::try_from(parsed.log_size()).unwrap_or(usize::MAX);
        let leaves = &news.log.leaves()[..covered.min(news.log.leaves().len())];
        let source = Source {
            service: parsed.service(),
            set: news.set,
            schema,
            version: parsed.version(),
            time: parsed.time(),
            horizon: parsed.horizon(),
            generation: Arc::clone(&table.generation),
            leaves: Arc::new(leaves.to_vec()),
            manifest: Arc::clone(&news.published_manifest),
        };
        whole(table)?;
        let (shelf, newest) = self.shelves.entry(news.set).or_insert_with(|| (Shelf::new(), source.clone()));
        let objects = shelf.release(&source)?;
        *newest = source;
        whole(table)?;
        let generation = Arc::clone(&table.generation);
        Ok(Some(ReleaseView {
            checkpoint: parsed,
            checkpoint_answer: Arc::new(compose_answer_body(checkpoint, signatures, &news.delegation)),
            generation,
            bridges: Arc::clone(&news.bridges),
            log: Arc::new(news.log.clone()),
            objects,
        }))
    }

    /// Makes what readers could not be served, one object per wish and a few wishes at a time, so that
    /// releases do not wait for them. Returns how many wishes were taken.
    ///
    /// # Errors
    /// If an object cannot be made.
    pub fn grant_wishes(&mut self) -> Result<usize, BuildError> {
        let view = self.view.load();
        let mut wishes: Vec<Wish> = std::iter::from_fn(|| view.wishes.pop()).take(WISHES_PER_TURN).collect();
        let taken = wishes.len();
        wishes.sort_unstable_by_key(|w| (w.set, w.kind, w.from));
        wishes.dedup();
        for of_set in wishes.chunk_by(|a, b| a.set == b.set) {
            let id = of_set[0].set;
            let Some((shelf, source)) = self.shelves.get_mut(&id) else { continue };
            self.tables.get(&id).map_or(Ok(()), whole)?;
            for wish in of_set {
                shelf.want(source, wish.kind, wish.from)?;
            }
            self.show_objects(id)?;
        }
        if taken == 0 {
            self.remember_wish()?;
        }
        Ok(taken)
    }

    /// While nobody waits, makes one object that somebody asked for at a release before.
    fn remember_wish(&mut self) -> Result<(), BuildError> {
        for (id, (shelf, source)) in &mut self.shelves {
            if !source.generation.is_hurt() && shelf.remember(source)? {
                let id = *id;
                return self.show_objects(id);
            }
        }
        Ok(())
    }

    /// Publishes a view. Readers that have no processor for a moment get time to leave older ones; the
    /// builder can wait.
    fn publish(&self, view: View) -> Result<(), PublishError> {
        let view = Arc::new(view);
        for _ in 0..READERS_PATIENCE_MS {
            match self.view.publish(Arc::clone(&view)) {
                Err(PublishError::ReadersStuck { .. }) => std::thread::sleep(Duration::from_millis(1)),
                published => return published,
            }
        }
        self.view.publish(view)
    }

    fn show_objects(&self, id: u32) -> Result<(), BuildError> {
        let now = self.view.load();
        let Some((shelf, source)) = self.shelves.get(&id) else { return Ok(()) };
        // What was made of a table that was found changed meanwhile is shown to nobody.
        if !source.generation.vouches(source.generation.bytes()) {
            return Ok(());
        }
        let Some(set) = now.set(id) else { return Ok(()) };
        let Some(release) = &set.release else { return Ok(()) };
        let release = ReleaseView { objects: shelf.objects(), ..release.clone() };
        let set = SetView { release: Some(release), ..set.clone() };
        Ok(self.publish(now.with_set(set))?)
    }
}

/// The release of a checkpoint, as far as making its table needs it.
fn outcome_of(checkpoint: &Checkpoint) -> ReleaseOutcome {
    ReleaseOutcome {
        set: checkpoint.set(),
        serial: checkpoint.serial(),
        time: checkpoint.time(),
        horizon: checkpoint.horizon(),
        live: checkpoint.count(),
        bits: checkpoint.bits(),
        changes: crate::engine::Changes::default(),
        adds: Vec::new(),
        dels: Vec::new(),
        dropped: true,
    }
}
