//! The public nodes: each a machine that follows an upstream with the code a node runs, and answers from what
//! it verified.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tekd::client::Client;
use tekd::engine::{AnswerCounters, Gate, Moment, View};
use tekd::node::{Builder, FollowError, Following, TableStore, set_path};
use tekd::release::Trust;
use tekd::store::{Disk, MemoryDisk, MemoryMode, Published};

use super::canary::Canary;
use super::carriers::{Target, client};
use super::invariant::Invariant;
use super::medium::Medium;
use super::network::Place;
use super::origin::{SET, cookies};
use super::world::{Shared, World, lock};

/// Where a node's files are.
const DIR: &str = "/node";
/// Bytes of a file of a node at most.
const MOST: u64 = 1 << 26;

/// A running node.
pub(crate) struct NodeProcess {
    pub(crate) builder: Builder,
    pub(crate) gate: Gate,
    /// What it follows; not here while it is being asked.
    following: Option<(Following, Client<'static>)>,
}

/// A node's machine.
pub(crate) struct NodeHost {
    pub(crate) disk: MemoryDisk,
    pub(crate) medium: Medium,
    pub(crate) process: Option<NodeProcess>,
    /// Whom it asks.
    pub(crate) upstream: Target,
    booted_ms: u64,
    pub(crate) starts: u64,
    /// Version and time of the newest release that was served.
    pub(crate) served: (u64, u64),
    /// Whether its disk failed to keep that.
    unkept: bool,
}

impl NodeHost {
    pub(crate) fn new() -> NodeHost {
        let disk = MemoryDisk::new();
        NodeHost {
            medium: Medium::new(disk.clone(), false),
            disk,
            process: None,
            upstream: Target::default(),
            booted_ms: 0,
            starts: 0,
            served: (0, 0),
            unkept: false,
        }
    }

    pub(crate) fn moment(&self, now_ms: u64) -> Moment {
        Moment { unix: now_ms / 1000, monotonic_ms: now_ms - self.booted_ms }
    }

    fn begin(&mut self, number: usize, trust: Trust, client: Client<'static>) -> Result<(), FollowError> {
        let service = trust.service;
        let node = u32::try_from(number).expect("few nodes") + 2;
        let view = Arc::new(Published::new(Arc::new(View::empty(service, node))));
        let mut builder = Builder::new(store(&self.medium), Arc::clone(&view));
        let following = Following::open(&mut builder, store(&self.medium), trust, SET)?;
        let gate = Gate::new(view, cookies(service), None, Arc::new(AnswerCounters::default()));
        self.process = Some(NodeProcess { builder, gate, following: Some((following, client)) });
        Ok(())
    }

    /// Its files, all of their bytes.
    pub(crate) fn files(&self) -> Vec<Vec<u8>> {
        let dirs = [PathBuf::from(DIR), set_path(Path::new(DIR), SET)];
        let names = dirs.iter().flat_map(|dir| self.disk.list(dir).unwrap_or_default());
        let read = |file: PathBuf| tekd::store::read_file(&self.disk, &file, MOST).expect("readable");
        names.map(read).collect()
    }
}

/// Starts node `number` on what its disk has.
pub(crate) fn start(shared: &Shared, number: usize) {
    let client = {
        let world = lock(shared);
        if world.nodes[number].process.is_some() {
            return;
        }
        let (target, trust) = (world.nodes[number].upstream.clone(), world.trust.clone());
        client(shared, Place::Node(number), &target, trust, world.seed, world.nodes[number].starts)
    };
    let mut guard = lock(shared);
    let world = &mut *guard;
    let (now_ms, trust) = (world.now_ms, world.trust.clone());
    let node = &mut world.nodes[number];
    node.starts += 1;
    if std::mem::take(&mut node.unkept) {
        node.served = (0, 0);
    }
    node.booted_ms = now_ms;
    node.medium = Medium::new(node.disk.clone(), false);
    let begun = node.begin(number, trust, client);
    world.story.tell(now_ms, format!("node {number} starts: {}", if begun.is_ok() { "ok" } else { "not" }));
    match begun {
        Ok(()) => world.look_at_node(number),
        Err(e) => {
            let met = world.nodes[number].medium.met();
            Invariant::Liveness.must(met.anything(), || format!("node {number} does not start: {e}"));
            world.restart_node_later(number);
        }
    }
    world.note_medium(Place::Node(number));
}

fn store(medium: &Medium) -> TableStore {
    let dir = Some(PathBuf::from(DIR));
    TableStore { disk: Arc::new(medium.clone()), dir, mode: MemoryMode::Copy }
}

/// What a node follows that has forgotten what it accepted before; readers see what they saw.
fn forgetful(store: TableStore, trust: Trust) -> Result<Following, FollowError> {
    // What is not there need not go.
    let _ = store.disk.remove(&set_path(Path::new(DIR), SET).join("node.state"));
    let view = Arc::new(Published::new(Arc::new(View::empty(trust.service, 1))));
    let mut elsewhere = Builder::new(TableStore { dir: None, ..store.clone() }, view);
    Following::open(&mut elsewhere, store, trust, SET)
}

/// Node `number` asks its upstream and takes over what it verified.
pub(crate) fn poll(shared: &Shared, number: usize) {
    let (mut following, mut client, start) = {
        let mut guard = lock(shared);
        let world = &mut *guard;
        world.poll_later(number);
        let upstream = world.any_upstream(number);
        let node = &mut world.nodes[number];
        node.upstream.set(upstream);
        let Some(process) = &mut node.process else { return };
        // A poll under way is not begun again.
        let Some((mut following, client)) = process.following.take() else { return };
        if world.canary == Some(Canary::NodeAcceptsOlderVersion) {
            let store = store(&node.medium);
            following = forgetful(store, world.trust.clone()).unwrap_or(following);
        }
        (following, client, node.starts)
    };
    let polled = following.poll(&mut client);
    let mut guard = lock(shared);
    let world = &mut *guard;
    let (now_ms, node) = (world.now_ms, &mut world.nodes[number]);
    let same = node.starts == start;
    let Some(process) = node.process.as_mut().filter(|_| same) else { return };
    let how = match polled {
        Ok(mode) => {
            let taken = following.take_over(&mut process.builder, mode);
            node.unkept |= taken.is_err();
            if let Err(e) = taken {
                let met = node.medium.met();
                Invariant::Liveness.must(met.anything(), || format!("node {number}: {e}"));
            }
            mode.name().to_owned()
        }
        Err(e) => World::excuse("poll", &e),
    };
    process.following = Some((following, client));
    process.builder.view().collect();
    world.counts.ended("poll", &how);
    world.story.tell(now_ms, format!("node {number} polls: {how}"));
    world.look_at_node(number);
    world.note_medium(Place::Node(number));
}
