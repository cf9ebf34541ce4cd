//! The world of the demo: a directory, a clock that is stepped, an origin, a public node, phones.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use super::door::Door;
use super::error::{DemoError, failed};
use crate::client::{Client, HistoryClient, SetClient, SyncReport};
use crate::engine::{Input, Random, ReleaseOutcome, Reply, Seeded, View};
use crate::node::builder::{Builder, TableStore};
use crate::node::clock::{Clock, SteppedClock};
use crate::node::entropy::SystemRandom;
use crate::node::following;
use crate::node::origin::{OriginOptions, set_path, trust_path};
use crate::node::single::SingleOrigin;
use crate::release::{MAX_TRUST_FILE, Trust};
use crate::store::{Disk, MemoryMode, Published, RealDisk, read_file};

/// The set of the demo.
pub(super) const SET: u32 = 1;
/// Monday, 5 January 2026, 12:00 UTC.
pub(super) const START: u64 = 1_767_614_400;
/// Seed of decoys and report ids; each opening takes the next, for what was drawn once must not come again.
const WRITER_SEED: u64 = 100;
const SEGMENT_BYTES: u64 = 8 << 20;

const _: () = assert!(START % 86_400 == 43_200);

/// A phone: what it verified, and a name to tell it by.
pub(super) struct Phone {
    pub(super) name: &'static str,
    pub(super) set: SetClient,
}

impl Phone {
    pub(super) fn new(name: &'static str, trust: &Trust) -> Self {
        Phone { name, set: SetClient::new(trust.clone(), SET) }
    }

    /// Brings the phone to the newest version; everything in the report is verified.
    pub(super) fn sync(&mut self, client: &mut Client<'_>) -> Result<SyncReport, DemoError> {
        client.sync(&mut self.set, false).map_err(failed(&format!("the sync of {}", self.name)))
    }
}

/// The origin while it runs.
struct Running {
    origin: Arc<Mutex<SingleOrigin>>,
    door: Door,
}

/// Everything there is.
pub(super) struct World {
    dir: TempDir,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<SteppedClock>,
    pub(super) trust: Trust,
    openings: u64,
    running: Option<Running>,
}

fn lock(origin: &Mutex<SingleOrigin>) -> MutexGuard<'_, SingleOrigin> {
    origin.lock().unwrap_or_else(PoisonError::into_inner)
}

fn options(disk: &Arc<dyn Disk>, dir: &Path) -> OriginOptions {
    OriginOptions { disk: Arc::clone(disk), dir: dir.to_path_buf(), segment_bytes: SEGMENT_BYTES }
}

fn open(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    clock: &Arc<SteppedClock>,
    random: impl Random + 'static,
) -> Result<SingleOrigin, DemoError> {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    SingleOrigin::open(options(disk, dir), MemoryMode::Copy, clock, Box::new(random))
        .map_err(failed("opening the origin"))
}

impl World {
    /// Founds an origin in a new temporary directory.
    pub(super) fn found() -> Result<Self, DemoError> {
        let dir = tempfile::Builder::new().prefix("tekd-demo-").tempdir();
        let dir = dir.map_err(failed("making a temporary directory"))?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let clock = Arc::new(SteppedClock::new(START));
        let data = dir.path().join("origin");
        disk.create_dir(&data).map_err(failed("making the data directory"))?;
        // Secret keys are nobody's business, also in a demo; what is drawn later is the same in every run.
        drop(open(&disk, &data, &clock, SystemRandom)?);
        let trust = read_file(&*disk, &trust_path(&data), MAX_TRUST_FILE as u64);
        let trust = String::from_utf8_lossy(&trust.map_err(failed("reading trust.json"))?).into_owned();
        let trust = Trust::parse_json(&trust).map_err(failed("reading trust.json"))?;
        let mut world = World { dir, disk, clock, trust, openings: 0, running: None };
        world.restart()?;
        Ok(world)
    }

    /// Drops the origin as it stands, without a word, and opens its directory again.
    pub(super) fn restart(&mut self) -> Result<(), DemoError> {
        self.running = None;
        let origin = open(&self.disk, &self.data(), &self.clock, Seeded::new(WRITER_SEED + self.openings))?;
        self.openings += 1;
        let view = Arc::clone(origin.view());
        let origin = Arc::new(Mutex::new(origin));
        let asked = Arc::clone(&origin);
        let wait = move || {
            if let Err(e) = lock(&asked).grant_wishes() {
                tracing::error!("an object could not be made: {e}");
            }
        };
        let reporting = Arc::clone(&origin);
        let door = Door::new(view, Arc::clone(&self.clock), self.trust.clone(), Arc::new(wait))
            .with_origin(Arc::new(move |frame| lock(&reporting).answer_sealed(frame)));
        self.running = Some(Running { origin, door });
        Ok(())
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("an origin runs, except within a restart")
    }

    /// The origin's data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("origin")
    }

    /// The origin. To be let go before a client asks anything.
    pub(super) fn origin(&self) -> MutexGuard<'_, SingleOrigin> {
        lock(&self.running().origin)
    }

    /// The way to the origin.
    pub(super) fn door(&self) -> &Door {
        &self.running().door
    }

    /// A client of the origin, in memory.
    pub(super) fn client(&self) -> Client<'static> {
        self.door().client(SET)
    }

    /// The time.
    pub(super) fn now(&self) -> u64 {
        self.clock.now().unix
    }

    /// Asks the origin's writer.
    pub(super) fn ask(&self, doing: &str, input: Input) -> Result<Reply, DemoError> {
        self.origin().turn(input).map_err(failed(doing))
    }

    /// Lets the clock go on by whole intervals of `interval_s` seconds; returns the releases made, oldest
    /// first.
    pub(super) fn pass(&self, intervals: u64, interval_s: u64) -> Result<Vec<ReleaseOutcome>, DemoError> {
        let mut releases = Vec::new();
        for _ in 0..intervals {
            self.clock.advance(interval_s);
            releases.extend(self.origin().tick().map_err(failed("a release"))?);
        }
        Ok(releases)
    }

    /// Removes the directory, or leaves it and tells where it is.
    pub(super) fn end(mut self, keep: bool) -> Result<Option<PathBuf>, DemoError> {
        self.running = None;
        if keep {
            return Ok(Some(self.dir.keep()));
        }
        self.dir.close().map_err(failed("removing the temporary directory"))?;
        Ok(None)
    }
}

/// A public node: it has no journal and no secret, only what it verified.
pub(super) struct PublicNode {
    builder: Arc<Mutex<Builder>>,
    pub(super) history: HistoryClient,
    door: Door,
}

impl PublicNode {
    /// A node that trusts what `world`'s phones trust, with a directory of its own and nothing in it.
    pub(super) fn new(world: &World) -> Result<Self, DemoError> {
        let dir = world.dir.path().join("node");
        world.disk.create_dir(&set_path(&dir, SET)).map_err(failed("making the node's directory"))?;
        let store = TableStore { disk: Arc::clone(&world.disk), dir: Some(dir), mode: MemoryMode::Copy };
        let view = Arc::new(Published::new(Arc::new(View::empty(world.trust.service, 1))));
        let builder = Arc::new(Mutex::new(Builder::new(store, Arc::clone(&view))));
        let asked = Arc::clone(&builder);
        let wait = move || {
            if let Err(e) = asked.lock().unwrap_or_else(PoisonError::into_inner).grant_wishes() {
                tracing::error!("an object could not be made: {e}");
            }
        };
        let door = Door::new(view, Arc::clone(&world.clock), world.trust.clone(), Arc::new(wait));
        let history = HistoryClient::new(world.trust.clone(), SET);
        Ok(PublicNode { builder, history, door })
    }

    /// Pulls the newest history, verifies it, and serves it.
    pub(super) fn pull(&mut self, upstream: &mut Client<'_>) -> Result<SyncReport, DemoError> {
        let report = upstream.sync(&mut self.history, false).map_err(failed("the node's sync"))?;
        let mut builder = self.builder.lock().unwrap_or_else(PoisonError::into_inner);
        following::show(&mut builder, &self.history).map_err(failed("the node's table"))?;
        Ok(report)
    }

    /// The way to the node.
    pub(super) fn door(&self) -> &Door {
        &self.door
    }
}
