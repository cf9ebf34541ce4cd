//! Three days later: what expired cost nothing, a restart changes nothing, a public node says the same, and
//! the journal gives everything again.

use std::sync::Arc;

use super::door::Door;
use super::error::{DemoError, equal, failed, must};
use super::life::{HOUR, Life, must_be_bare, way};
use super::story::{count, counted, short};
use super::world::{Phone, PublicNode, SET};
use crate::client::{SyncMode, SyncReport};
use crate::engine::{Kind, Rebuild, Rebuilt, ReleaseView};
use crate::node::origin::journal_path;
use crate::store::journal::JournalReader;

/// Days without news.
const DAYS: u64 = 3;

impl Life<'_> {
    /// Days pass in which keys expire and nothing else happens. Returns phone B as it was before.
    pub(super) fn days_pass(&mut self) -> Result<Phone, DemoError> {
        let sum = self.pass(DAYS * 24 * HOUR)?;
        equal("keys added in quiet days", sum.added + sum.decoys, 0)?;
        let near = self.sync_near()?;
        must_be_bare(&near)?;
        equal("keys that expired on phone A", near.change.expired, sum.expired)?;
        let text = format!(
            "{DAYS} days, {}: {} expire; phone A drops them by {} of {} bytes",
            counted(sum.releases, "release"),
            counted(sum.expired, "key"),
            way(&near),
            near.bytes
        );
        self.story.tell(self.world.now(), "expired", text)?;

        let before = Phone { name: "phone B as it was", set: self.far.set.clone() };
        let far = self.sync_far()?;
        let mut new = Phone::new("phone C", &self.world.trust);
        let full = new.sync(&mut self.world.client())?;
        let decoys = self.model.check(new.name, &new.set)?;
        must(new.set.data() == self.near.set.data(), || {
            "a new phone holds what the old ones hold".to_owned()
        })?;
        let text = format!(
            "days behind: {} of {} bytes; a new phone C: the full set of {} bytes;",
            way(&far),
            count(far.bytes),
            count(full.bytes)
        );
        self.story.tell(self.world.now(), self.far.name, text)?;
        self.story.and(format!(
            "all three hold the same {} ({} of them decoys), root {}",
            counted(full.live, "key"),
            count(decoys),
            short(&full.root)
        ))?;
        Ok(before)
    }

    /// Monday's checkpoint is still in the log.
    pub(super) fn prove_log(&mut self) -> Result<(), DemoError> {
        let first =
            self.first.ok_or_else(|| DemoError::DoesNotHold("Monday's checkpoint was kept".to_owned()))?;
        let mut client = self.world.client();
        let newest = client.prove_inclusion(&first).map_err(failed("PROOF of inclusion"))?;
        client.prove_consistency(&first).map_err(failed("PROOF of consistency"))?;
        let text = format!(
            "Monday's first checkpoint is in the log of {} that the newest one signs",
            count(newest.log_size())
        );
        self.story.tell(self.world.now(), "PROOF", text)
    }

    /// The origin is dropped and opened again.
    pub(super) fn restart(&mut self) -> Result<(), DemoError> {
        let before = shown(self.world.door())?;
        let seq = self.world.origin().origin().state().seq();
        self.world.restart()?;
        let after = shown(self.world.door())?;
        equal("events after the restart", self.world.origin().origin().state().seq(), seq)?;
        must(after.checkpoint == before.checkpoint, || {
            "the checkpoint is the one before the restart".to_owned()
        })?;
        must(after.generation.bytes() == before.generation.bytes(), || {
            "the table is byte for byte the one before the restart".to_owned()
        })?;
        let report = self.sync_near()?;
        must(report.mode == SyncMode::Current, || "phone A is still current after the restart".to_owned())?;
        let text =
            format!("dropped in mid-life and opened again: {}, same version and root", counted(seq, "event"));
        self.story.tell(self.world.now(), "restarted", text)
    }

    /// A public node starts from the history, follows, and answers as the origin does.
    pub(super) fn public_node(&mut self, behind: &Phone) -> Result<(), DemoError> {
        let mut node = PublicNode::new(&self.world)?;
        let start = node.pull(&mut self.world.client())?;
        must(start.mode == SyncMode::Full, || "a new node starts from the full history".to_owned())?;
        self.pass(1)?;
        let step = node.pull(&mut self.world.client())?;
        let (origin_bytes, _) = self.answered(self.world.door(), behind)?;
        let (node_bytes, report) = self.answered(node.door(), behind)?;
        must(origin_bytes == node_bytes, || "the node's objects are byte for byte the origin's".to_owned())?;
        let root = shown(self.world.door())?.checkpoint.root();
        must(report.root == root, || "a phone gets the origin's root from the node".to_owned())?;
        let text = format!(
            "holds no secret: verified a history of {} bytes, then one of {}; what it",
            count(start.bytes),
            count(step.bytes)
        );
        self.story.tell(self.world.now(), "public node", text)?;
        self.story.and(format!(
            "gives a phone days behind ({} of {} bytes) is byte for byte the origin's",
            way(&report),
            count(report.bytes)
        ))
    }

    /// The object that leads a phone to the newest version at `door`, and how the phone took it.
    fn answered(&self, door: &Door, behind: &Phone) -> Result<(Vec<u8>, SyncReport), DemoError> {
        let mut phone = Phone { name: behind.name, set: behind.set.clone() };
        let report = phone.sync(&mut door.client(SET))?;
        self.model.check(phone.name, &phone.set)?;
        let release = shown(door)?;
        let offer = release.objects.offer(Kind::Live, behind.set.version());
        let bytes = offer.and_then(|offer| release.objects.get(&offer.digest)).map(<[u8]>::to_vec);
        let bytes =
            bytes.ok_or_else(|| DemoError::DoesNotHold("what was served can be looked at".to_owned()))?;
        equal("bytes of the object served", bytes.len() as u64, report.bytes)?;
        Ok((bytes, report))
    }

    /// Everything again from event one, in memory.
    pub(super) fn rebuild(&mut self) -> Result<(), DemoError> {
        self.world.origin().idle().map_err(failed("noting the journal's head"))?;
        let journal = journal_path(&self.world.data());
        let reader = JournalReader::open(Arc::clone(&self.world.disk), &journal);
        let (mut rebuild, mut events) = (Rebuild::new(), 0);
        for group in reader.map_err(failed("opening the journal"))? {
            for record in group.map_err(failed("reading the journal"))?.records {
                rebuild.push(&record).map_err(failed("the rebuild"))?;
                events += 1;
            }
        }
        let Rebuilt { state, tables, .. } = rebuild.finish().map_err(failed("the rebuild"))?;
        equal("events of the rebuild", events, self.world.origin().origin().state().seq())?;
        let table =
            tables.get(&SET).ok_or_else(|| DemoError::DoesNotHold("the rebuild makes set 1".to_owned()))?;
        let release = shown(self.world.door())?;
        must(table.generation.bytes() == release.generation.bytes(), || {
            "the rebuilt table is byte for byte the one that is served".to_owned()
        })?;
        let checkpoints = state.set(SET).map_or(0, |set| set.log().leaves().len() as u64);
        equal("checkpoints of the rebuild", checkpoints, self.serial().into())?;
        let text = format!(
            "from event one: {}, {} computed again, all as signed;",
            counted(events, "event"),
            counted(checkpoints, "checkpoint")
        );
        self.story.tell(self.world.now(), "rebuilt", text)?;
        self.story.and(format!(
            "the table of {} bytes is equal to the one that is served",
            count(table.generation.bytes().len() as u64)
        ))
    }
}

/// The release that readers behind a door see.
fn shown(door: &Door) -> Result<ReleaseView, DemoError> {
    let view = door.view().load();
    let release = view.set(SET).and_then(|set| set.release.clone());
    release.ok_or_else(|| DemoError::DoesNotHold("a release is shown".to_owned()))
}
