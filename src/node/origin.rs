//! The origin: one writer over one journal, from its directory to its state.
//!
//! [`Origin::step`] is one turn: decide, make durable, let out. Threads, sockets and the builder are
//! assembled around it elsewhere; the demo and the tests call it on one thread with a stepped clock.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::admission::parts;
use super::directory::{Known, check_keys, nothing_founded, remove_all_unfinished, trust_of};
pub use super::directory::{OriginError, OriginOptions, journal_path, set_path, snapshots_path, trust_path};
use super::entropy;
use super::keys::{COOKIE_KEY, Keys};
use super::mirror::MirrorDisk;
use super::reading::Reading;
use super::snapshots;
use super::unwritten::Unwritten;
use super::writer_counts::WriterCounts;
use crate::authority::CodesKey;
use crate::engine::{
    Committed, DEFAULT_PARAMS, Input, MAX_DOWNTIME_S, Moment, Random, Reply, SEAL_KEY_LIFE_S, Secrets, State,
    Ticket, Writer,
};
use crate::release::{Delegation, DelegationFields, SUCCESSION_S, SigningKey, Trust};
use crate::store::journal::{
    Ahead, AppendError, Durability as Class, Head, Journal, JournalError, LocalJournal, Options,
    check_mirror, check_new_mirror,
};
use crate::store::{Identity, IdentityError, adoption, replace_file, snapshot};
use crate::wire::report::Durability;

/// How long a delegation lasts, in seconds: a quarter of a year.
const DELEGATION_S: u64 = 90 * 86_400;
/// How long before its making a delegation begins, in seconds: clocks differ.
const DELEGATION_LEAD_S: u64 = 3600;
/// How far ahead of what is believed the journal's files are dated at most, in seconds, and never behind it:
/// a clock that is wrong must neither keep them from being dropped nor have them dropped early.
const BELIEVED_AHEAD_S: u64 = 86_400;
/// How often a seal key is made, in seconds (spec 7.1.4).
const SEAL_KEY_WEEK_S: u64 = 7 * 86_400;

// A receipt of the key before is never dated later than clients allow it to be.
const _: () = assert!(DELEGATION_LEAD_S < SUCCESSION_S && SUCCESSION_S < DELEGATION_S);
// A clock that is believed at a start and wrong ends no seal key that is the newest.
const _: () = assert!(SEAL_KEY_WEEK_S + MAX_DOWNTIME_S < SEAL_KEY_LIFE_S);

/// The ticket of inputs nobody waits for.
pub const NOBODY: Ticket = Ticket(0);

mod seals;
mod space;

/// A running origin, without its readers.
pub struct Origin {
    options: OriginOptions,
    identity: Identity,
    journal: Box<dyn Journal>,
    head: Head,
    writer: Writer,
    /// Seal keys of the state whose secrets were not here when it was opened.
    lost_seals: Vec<[u8; 8]>,
    counts: Arc<WriterCounts>,
    /// The directory of the journal's mirror, if it has one.
    mirror: Option<PathBuf>,
    /// Whether the journal's disk had no space when it was last asked.
    full: bool,
    /// What was believed of time when it was opened, Unix seconds.
    opened: u64,
    /// The event of the newest base, 0 for none.
    base: u64,
    /// The day of the newest believed time at which what is older was dropped.
    dropped: u64,
    /// What was decided and is not durable yet.
    unwritten: Unwritten,
    /// The group of a snapshot before the next base that was just found whole.
    whole: Option<u64>,
    /// The group of the oldest whole snapshot, once that is known.
    oldest: Option<u64>,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin")
            .field("options", &self.options)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl Origin {
    /// Opens the origin of a data directory, founding it if the directory is empty.
    ///
    /// # Errors
    /// [`OriginError`]; nothing is changed in a directory that is refused.
    pub fn open(options: OriginOptions, now: Moment, random: Box<dyn Random>) -> Result<Self, OriginError> {
        Origin::open_with(options, None, now, random, &Arc::default(), |journal| journal)
    }

    /// As [`Origin::open`]; if there is a `mirror`, a directory on another disk, the journal is kept there
    /// too.
    ///
    /// # Errors
    /// [`OriginError`]; of a directory that is refused, at most the journal is brought level with its mirror.
    pub fn open_mirrored(
        options: OriginOptions,
        mirror: Option<&Path>,
        now: Moment,
        random: Box<dyn Random>,
    ) -> Result<Self, OriginError> {
        Origin::open_with(options, mirror, now, random, &Arc::default(), |journal| journal)
    }

    /// As [`Origin::open_mirrored`], for who waits for it with `reading`.
    ///
    /// # Errors
    /// As for [`Origin::open_mirrored`], or [`OriginError::Stopped`] if nobody wants it any more.
    pub(super) fn open_for(
        reading: &Arc<Reading>,
        options: OriginOptions,
        mirror: Option<&Path>,
        now: Moment,
        random: Box<dyn Random>,
    ) -> Result<Self, OriginError> {
        Origin::open_with(options, mirror, now, random, reading, |journal| journal)
    }

    /// As [`Origin::open`], over what `over` makes of the directory's journal: one that watches, or that lies
    /// on purpose in a test.
    ///
    /// # Errors
    /// As for [`Origin::open`].
    pub fn open_over(
        options: OriginOptions,
        now: Moment,
        random: Box<dyn Random>,
        over: impl FnOnce(Box<dyn Journal>) -> Box<dyn Journal>,
    ) -> Result<Self, OriginError> {
        Origin::open_with(options, None, now, random, &Arc::default(), over)
    }

    fn open_with(
        mut options: OriginOptions,
        mirror: Option<&Path>,
        now: Moment,
        mut random: Box<dyn Random>,
        reading: &Arc<Reading>,
        over: impl FnOnce(Box<dyn Journal>) -> Box<dyn Journal>,
    ) -> Result<Self, OriginError> {
        let disk = &*options.disk;
        mirror.map_or(Ok(()), |mirror| check_mirror(disk, mirror))?;
        let identity = match Identity::open(disk, &options.dir) {
            Err(IdentityError::Missing { .. }) => {
                nothing_founded(&options, "its identity file is missing", Some(&journal_path(&options.dir)))?;
                if disk.inode(&options.dir.join("keys").join(COOKIE_KEY)).is_ok() {
                    return Err(OriginError::NodeHere { dir: options.dir });
                }
                mirror.map_or(Ok(()), |mirror| check_new_mirror(disk, mirror))?;
                let (log, service) = (entropy::bytes(&mut *random), entropy::bytes(&mut *random));
                Identity::create(disk, &options.dir, log, service)?
            }
            other => other?,
        };
        if mirror.is_some() && !reading.may_write() {
            return Err(OriginError::Stopped);
        }
        let attach = |mirror| MirrorDisk::attach(Arc::clone(&options.disk), &options.dir, mirror, &identity);
        let mirror = mirror.map(attach).transpose()?;
        if let Some(mirror) = &mirror {
            options.disk = Arc::new(mirror.clone());
        }
        // Read first, write after: a directory that is refused stays as it was.
        let known = Known::read(&options, &identity, reading).map_err(|error| match &mirror {
            Some(mirror) => mirror.explain(error, &identity),
            None => error,
        })?;
        if !reading.may_write() {
            return Err(OriginError::Stopped);
        }
        let mut journal = over(open_journal(&options, &identity)?);
        let head = journal.acquire()?;
        let state = known.catch_up(&options, &head)?;
        remove_all_unfinished(&options, &state)?;
        let spare = entropy::bytes(&mut *random);
        let mut origin = if state.seq() == 0 {
            Origin::found(options, identity, journal, head, now, random)?
        } else {
            let online = check_keys(&options, &identity, &state)?;
            let codes = open_codes(&options, &identity, &state, &mut *random)?;
            let writer = Writer::new(state, Secrets { online, codes }, random, now);
            let mut origin = Origin::of(options, identity, journal, head, writer, now.unix);
            origin.enter_incarnation(now)?;
            origin.find_lost_seals();
            origin
        };
        if let Some(mirror) = &mirror {
            origin.mirror = Some(mirror.path().to_path_buf());
            origin.counts.has_mirror(mirror.counts());
        }
        origin.writer.stores_on(durability(origin.journal.class(), origin.mirror.is_some()));
        // The reserve is there before the disk is full.
        origin.find_space(now, 0)?;
        if let Some(input) = origin.next_seal_key(now.unix, spare)? {
            origin.step(now, vec![(NOBODY, input)])?;
        }
        origin.write_trust()?;
        Ok(origin)
    }

    fn of(
        options: OriginOptions,
        identity: Identity,
        journal: Box<dyn Journal>,
        head: Head,
        writer: Writer,
        now: u64,
    ) -> Self {
        let counts: Arc<WriterCounts> = Arc::default();
        let base = writer.state().base().map_or((0, 0), |base| (base.event, base.time));
        let opened = Some(writer.state().believed_time()).filter(|believed| *believed > 0).unwrap_or(now);
        counts.snapshot_at(base.1);
        Origin {
            options,
            identity,
            journal,
            head,
            writer,
            lost_seals: Vec::new(),
            counts,
            mirror: None,
            full: false,
            opened,
            base: base.0,
            dropped: snapshots::day_of(opened),
            unwritten: Unwritten::default(),
            whole: None,
            oldest: None,
        }
    }

    /// After `tekctl adopt`, the first event of the new incarnation.
    fn enter_incarnation(&mut self, now: Moment) -> Result<(), OriginError> {
        let incarnation = self.identity.incarnation;
        if incarnation > self.state().incarnation() {
            tracing::warn!("this directory goes on as incarnation {incarnation}");
            let known = adoption::kept(&*self.options.disk, &self.options.dir)?;
            let adopt = (NOBODY, Input::Adopt { incarnation, known });
            let void = (NOBODY, Input::VoidCodes);
            for (_, reply) in self.step_now(now, vec![adopt, void])?.replies {
                if let Ok(Reply::Voided(codes @ 1..)) = reply {
                    tracing::warn!("outstanding codes that are void, for their key is lost: {codes}");
                }
            }
        }
        Ok(adoption::forget(&*self.options.disk, &self.options.dir)?)
    }

    fn found(
        options: OriginOptions,
        identity: Identity,
        journal: Box<dyn Journal>,
        head: Head,
        now: Moment,
        mut random: Box<dyn Random>,
    ) -> Result<Self, OriginError> {
        let keys = Keys::open(&*options.disk, &options.dir)?;
        let root = keys.make_root(&mut *random)?;
        let online = keys.make_online(1, &mut *random)?;
        let codes = Some(keys.make_codes(&mut *random)?);
        let delegation = delegate(identity.service_id, 1, now.unix, &online, &root);
        let writer = Writer::new(State::new(), Secrets { online, codes }, random, now);
        let mut origin = Origin::of(options, identity, journal, head, writer, now.unix);
        let (service, incarnation) = (identity.service_id, identity.incarnation);
        let found = Input::Found { service, incarnation, delegation };
        let create = Input::CreateSet { set: 1, params: DEFAULT_PARAMS };
        origin.step_now(now, vec![(NOBODY, found), (NOBODY, create)])?;
        Ok(origin)
    }

    /// One turn: decides about `inputs`, makes the decisions durable, and returns what that lets out.
    ///
    /// # Errors
    /// If the journal fails. The origin must then not be used any more (fail-stop).
    pub fn step(&mut self, now: Moment, inputs: Vec<(Ticket, Input)>) -> Result<Committed, OriginError> {
        let mut all = Committed::default();
        for part in parts(inputs) {
            let Committed { replies, work } = self.step_part(now, part)?;
            all.replies.extend(replies);
            all.work.extend(work);
        }
        Ok(all)
    }

    /// As [`Origin::step`], for whoever cannot wait for space: not to find any is an error.
    pub(super) fn step_now(
        &mut self,
        now: Moment,
        inputs: Vec<(Ticket, Input)>,
    ) -> Result<Committed, OriginError> {
        let committed = self.step(now, inputs)?;
        match self.waits_for_space() {
            true => Err(AppendError::Full { bytes: self.unwritten.bytes() }.into()),
            false => Ok(committed),
        }
    }

    /// A turn of inputs that find room together.
    fn step_part(&mut self, now: Moment, mut inputs: Vec<(Ticket, Input)>) -> Result<Committed, OriginError> {
        let mut before = Committed::default();
        if self.unwritten.waits() {
            if !self.write(now)? {
                let replies = self.unwritten.put_off(inputs, now, self.journal.room());
                return Ok(Committed { replies, work: Vec::new() });
            }
            before = self.written()?;
            inputs.splice(0..0, self.unwritten.take_built());
        }
        let turned_away = self.admit(now, &mut inputs)?;
        self.unwritten.decided(self.writer.plan(now, inputs));
        let mut committed = if self.write(now)? { self.written()? } else { Committed::default() };
        committed.replies.splice(0..0, before.replies);
        committed.work.splice(0..0, before.work);
        committed.replies.extend(turned_away);
        Ok(committed)
    }

    /// Makes durable what was decided. False if there is no room for it: it is tried again at each turn.
    fn write(&mut self, now: Moment) -> Result<bool, OriginError> {
        let now_ms = self.journal_ms(now);
        let all = self.unwritten.write(&mut *self.journal, &mut self.head, now_ms, &self.counts)?;
        if !all {
            self.find_full(true);
        }
        Ok(all)
    }

    /// What is let out once all that was decided is durable.
    fn written(&mut self) -> Result<Committed, OriginError> {
        // durable-before-receipt: replies exist only behind this line.
        let committed = self.writer.committed();
        let base = self.state().base().map(|base| (base.event, base.time));
        let named = base.filter(|(event, _)| *event != self.base);
        if let Some((event, time)) = named {
            self.base = event;
            self.counts.snapshot_at(time);
        }
        let day = snapshots::day_of(self.state().believed_time());
        if named.is_some() || day > self.dropped {
            self.dropped = day;
            self.drop_old(named.is_some())?;
        }
        Ok(committed)
    }

    /// The time that the journal's files are dated with, Unix milliseconds.
    fn journal_ms(&self, now: Moment) -> u64 {
        let believed = match self.state().believed_time() {
            0 => now.unix,
            believed => now.unix.clamp(believed, believed.saturating_add(BELIEVED_AHEAD_S)),
        };
        believed.saturating_mul(1000)
    }

    /// The writer, for looking at its state.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The state.
    pub fn state(&self) -> &State {
        self.writer.state()
    }

    /// What its threads count.
    pub fn counts(&self) -> &Arc<WriterCounts> {
        &self.counts
    }

    /// The last acknowledged head of the journal.
    pub fn head(&self) -> Head {
        self.head
    }

    /// What it was opened with.
    pub fn options(&self) -> &OriginOptions {
        &self.options
    }

    /// The directory of the journal's mirror, if it has one.
    pub fn mirror(&self) -> Option<&Path> {
        self.mirror.as_deref()
    }

    /// The identity of its directory.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Notes the journal's head where recovery finds it: for when the queue is empty, and at stop.
    ///
    /// # Errors
    /// If the journal fails.
    pub fn idle(&mut self) -> Result<(), OriginError> {
        Ok(self.journal.idle()?)
    }

    /// Work that spares a later turn time, if there is some to be done now: see [`Journal::wants_ahead`].
    ///
    /// # Errors
    /// If the journal has stopped: the origin must not be used any more (fail-stop).
    pub fn wants_ahead(&self) -> Result<Option<Ahead>, OriginError> {
        Ok(self.journal.wants_ahead()?)
    }

    /// Whether a new base is due: see [`Origin::base`].
    pub fn base_is_due(&self) -> bool {
        snapshots::is_due(self.state(), self.opened)
    }

    /// Makes a snapshot and names it in the journal, if anything came since the newest. It takes as long as
    /// the state is large: who must not keep receipts waiting has it made by [`super::fold`], on another
    /// thread, and gives the writer [`Input::Base`].
    ///
    /// # Errors
    /// If the disk fails; where the journal did, the origin must not be used any more (fail-stop).
    pub fn base(&mut self, now: Moment) -> Result<(), OriginError> {
        if snapshots::events_since(self.state()) == 0 {
            return Ok(());
        }
        if self.waits_for_space() {
            // The state is ahead of the journal.
            return Err(AppendError::Full { bytes: self.unwritten.bytes() }.into());
        }
        let base = snapshots::write(&self.options, &self.identity, &self.head, self.state())?;
        self.step(now, vec![(NOBODY, Input::Base(base))])?;
        Ok(())
    }

    /// The snapshot at this group, older than the next base, was just found whole: what is below it goes with
    /// that base, and the writer need not read it again.
    pub(super) fn found_whole(&mut self, gno: Option<u64>) {
        self.whole = gno;
    }

    /// Drops what the bases make superfluous: older snapshots but one when a base is `named`, and segments
    /// whose day, the retention and two days are over. A clock that is not believed drops nothing.
    fn drop_old(&mut self, named: bool) -> Result<(), OriginError> {
        let Some(base) = self.state().base().map(|base| base.snapshot.gno) else { return Ok(()) };
        if named {
            let (dir, whole) = (snapshots_path(&self.options.dir), self.whole.take());
            self.oldest = snapshot::remove_old(&*self.options.disk, &dir, &self.identity.log_id, base, whole)
                .inspect_err(|e| tracing::warn!("older snapshots and segments stay until the next base: {e}"))
                .ok();
        }
        // Nothing goes on the word of a snapshot that nobody has read: a base was read when it was made.
        let Some(oldest) = self.oldest else { return Ok(()) };
        let begun_ms = snapshots::begun_before_ms(self.state(), self.state().believed_time());
        Ok(self.journal.trim(oldest + 1, begun_ms)?)
    }

    /// The signed delegation and key of the next epoch, from the root key in `DIR/keys`.
    ///
    /// # Errors
    /// If the root key is not here, or a key file cannot be written.
    pub fn next_online(&self, now: u64, random: &mut dyn Random) -> Result<Option<Input>, OriginError> {
        let keys = Keys::open(&*self.options.disk, &self.options.dir)?;
        let Some(root) = keys.root()? else { return Ok(None) };
        let epoch = self.state().key_epoch() + 1;
        let key = keys.make_online(epoch, random)?;
        let delegation = delegate(self.identity.service_id, epoch, now, &key, &root);
        Ok(Some(Input::Delegate { delegation, key }))
    }

    /// Brings `DIR/trust.json`, what clients are configured with, up to the sets there are. It is made from
    /// the root key at first start, and kept when the root key has moved away.
    ///
    /// # Errors
    /// If it cannot be read, made or written.
    pub fn write_trust(&self) -> Result<(), OriginError> {
        let file = trust_path(&self.options.dir);
        let disk = &*self.options.disk;
        let sets: Vec<u32> = self.state().sets().map(|(id, _)| id).collect();
        let old = trust_of(disk, &self.options.dir)?;
        let old_text = old.as_ref().map(Trust::to_json);
        let trust = match old {
            Some(old) => Trust { sets, ..old },
            None => {
                let Some(root) = Keys::open(disk, &self.options.dir)?.root()? else { return Ok(()) };
                Trust { service: self.identity.service_id, threshold: 1, roots: vec![root.public()], sets }
            }
        };
        trust.check()?;
        let text = trust.to_json();
        if old_text.as_ref() == Some(&text) {
            return Ok(());
        }
        replace_file(disk, &file, text.as_bytes()).map_err(|source| OriginError::Disk { file, source })
    }
}

fn delegate(service: [u8; 8], epoch: u32, now: u64, online: &SigningKey, root: &SigningKey) -> Vec<u8> {
    let fields = DelegationFields {
        epoch,
        service,
        not_before: now.saturating_sub(DELEGATION_LEAD_S),
        not_after: now + DELEGATION_S,
        online: online.public(),
    };
    Delegation::new(&fields).sign(std::slice::from_ref(root))
}

/// What receipts say of a journal of this class, with a mirror or without.
fn durability(class: Class, mirrored: bool) -> Durability {
    match class {
        Class::LocalDisk if mirrored => Durability::Mirror,
        Class::LocalDisk => Durability::Disk,
        Class::Quorum { .. } => Durability::Sites,
    }
}

fn open_journal(options: &OriginOptions, identity: &Identity) -> Result<Box<dyn Journal>, OriginError> {
    let dir = journal_path(&options.dir);
    let (log_id, incarnation) = (identity.log_id, identity.incarnation);
    let layout = Options { segment_bytes: options.segment_bytes, check_all: false };
    let disk = Arc::clone(&options.disk);
    match LocalJournal::open(disk, &dir, log_id, incarnation, layout) {
        Ok((journal, recovered)) => {
            if let Some(cut) = recovered.cut {
                tracing::warn!(
                    "an unfinished group {} at byte {} of {} was left out: it was never acknowledged",
                    cut.gno,
                    cut.offset,
                    cut.file.display()
                );
            }
            if let Some(file) = recovered.damaged_slot {
                tracing::warn!(
                    "one of the two slots of {} was damaged, by a power cut while it was written or by rot; the other \
                     holds, and both are written anew",
                    file.display()
                );
            }
            Ok(Box::new(journal))
        }
        Err(JournalError::Missing { .. }) => {
            let disk = Arc::clone(&options.disk);
            Ok(Box::new(LocalJournal::create(disk, &dir, log_id, incarnation, layout)?))
        }
        Err(e) => Err(e.into()),
    }
}

/// The codes key. A directory that has issued codes gets no other in its place, unless it is adopted: what is
/// lost may still be found.
fn open_codes(
    options: &OriginOptions,
    identity: &Identity,
    state: &State,
    random: &mut dyn Random,
) -> Result<Option<CodesKey>, OriginError> {
    let keys = Keys::open(&*options.disk, &options.dir)?;
    let found = keys.codes()?;
    let adopted = identity.incarnation > state.incarnation();
    if found.is_some() || !(state.registry().batches.is_empty() || adopted) {
        return Ok(found);
    }
    Ok(Some(keys.make_codes(random)?))
}
