//! The simulated world: machines, network and time on one thread, every choice from the seed.
//!
//! Time passes while somebody waits, and only then: whoever waits lets everything happen that comes before.
//! The lock is never held while a client asks.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tekd::client::{CarrierError, ClientError};
use tekd::engine::Event as Decision;
use tekd::node::trust_path;
use tekd::release::Trust;
use tekd::store::journal::Record;
use tekd::store::read_file;
use tekd::wire::{HEADER_LEN, QuestionBuilder};

use super::canary::Canary;
use super::counts::{Counts, Story};
use super::dice::Dice;
use super::faults::Mend;
use super::invariant::Invariant;
use super::judge::Judge;
use super::network::{Leg, Network, Packet, Place};
use super::nodes::{self, NodeHost};
use super::origin::{DIR, OriginHost, SET};

/// 12:00 UTC of a day in 2026.
pub(crate) const NOON: u64 = 1_790_337_600;
pub(crate) const NODES: usize = 3;
/// How often the origin looks at its clock.
const TICK_MS: u64 = 20_000;
/// How often a node polls, at least.
const POLL_MS: u64 = 100_000;
/// Questions that somebody on the way remembers.
const OVERHEARD: usize = 40;
/// How long a wish of a reader waits for the builder.
const WISH_MS: u64 = 20;

/// What happens at some time.
pub(crate) enum Event {
    /// A message arrives.
    Arrive(Packet),
    /// An answer that waited for its deadline leaves.
    Leave(Place, Place, Packet),
    /// The origin looks at its clock.
    Tick,
    /// What the origin's journal wants ahead is made, if that is still the process of this start.
    Ahead { start: u64 },
    /// A node asks its upstream.
    Poll(usize),
    /// A builder looks at wishes.
    Wishes(Place),
    /// What a fault broke is mended.
    Mend(Mend),
}

/// What has arrived for somebody.
#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) datagrams: VecDeque<Vec<u8>>,
    pub(crate) frames: BTreeMap<u64, Vec<u8>>,
}

/// Everything but the phones.
pub(crate) struct World {
    pub(crate) now_ms: u64,
    pub(crate) seed: u64,
    pub(crate) canary: Option<Canary>,
    pub(crate) dice: Dice,
    /// When the preparer gets to what is ordered.
    pub(crate) preparer: Dice,
    events: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    asked: u64,
    inboxes: BTreeMap<Place, Inbox>,
    /// What somebody on the way has written down: questions on streams, to be sent once more.
    overheard: VecDeque<Packet>,
    pub(crate) network: Network,
    pub(crate) origin: OriginHost,
    pub(crate) nodes: Vec<NodeHost>,
    pub(crate) trust: Trust,
    pub(crate) judge: Judge,
    pub(crate) counts: Counts,
    pub(crate) story: Story,
    /// Whether faults are over.
    pub(crate) calm: bool,
}

pub(crate) type Shared = Arc<Mutex<World>>;

pub(crate) fn lock(shared: &Shared) -> MutexGuard<'_, World> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The event of a record.
pub(crate) fn event(record: &Record) -> Decision {
    Decision::decode(record.kind, record.version, &record.payload).expect("an event of ours")
}

/// Lets the next thing happen that is due by `until_ms`; whether there was one.
pub(crate) fn step(shared: &Shared, until_ms: u64) -> bool {
    let event = {
        let mut world = lock(shared);
        let Some((&(at, order), _)) = world.events.first_key_value() else { return false };
        if at > until_ms {
            return false;
        }
        world.now_ms = world.now_ms.max(at);
        world.events.remove(&(at, order)).expect("it was just there")
    };
    match event {
        Event::Poll(number) => nodes::poll(shared, number),
        Event::Mend(Mend::StartNode(number)) => nodes::start(shared, number),
        other => lock(shared).happen(other),
    }
    true
}

/// Lets time pass until `until_ms`, with all that happens meanwhile.
pub(crate) fn advance(shared: &Shared, until_ms: u64) {
    while step(shared, until_ms) {}
    let mut world = lock(shared);
    world.now_ms = world.now_ms.max(until_ms);
}

impl World {
    /// A founded origin and nodes that are about to start.
    pub(crate) fn new(seed: u64, canary: Option<Canary>) -> Shared {
        let now_ms = NOON * 1000;
        let mut origin = OriginHost::new(seed, canary);
        origin.start(now_ms).expect("an empty disk becomes an origin");
        let text = read_file(&origin.disk, &trust_path(Path::new(DIR)), 1 << 16).expect("trust.json");
        let trust = Trust::parse_json(std::str::from_utf8(&text).expect("text")).expect("trust");
        let mut world = World {
            now_ms,
            seed,
            canary,
            dice: Dice::new(seed, 1),
            preparer: Dice::new(seed, 3),
            events: BTreeMap::new(),
            scheduled: 0,
            asked: 0,
            inboxes: BTreeMap::new(),
            overheard: VecDeque::new(),
            network: Network::default(),
            origin,
            nodes: (0..NODES).map(|_| NodeHost::new()).collect(),
            trust,
            judge: Judge::new(),
            counts: Counts::default(),
            story: Story::new(),
            calm: false,
        };
        world.learn();
        world.later(TICK_MS, Event::Tick);
        for number in 0..NODES {
            world.later(1 + number as u64, Event::Mend(Mend::StartNode(number)));
            world.later(POLL_MS, Event::Poll(number));
        }
        Arc::new(Mutex::new(world))
    }

    /// Lets `event` happen in so many milliseconds.
    pub(crate) fn later(&mut self, in_ms: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert((self.now_ms + in_ms, self.scheduled), event);
    }

    pub(crate) fn tell(&mut self, what: String) {
        self.story.tell(self.now_ms, what);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(packet) => self.arrive(packet),
            Event::Leave(from, to, packet) => self.send(from, to, packet),
            Event::Tick => {
                self.later(TICK_MS, Event::Tick);
                self.tick();
            }
            Event::Ahead { start } => self.make_ahead(start),
            Event::Wishes(place) => self.grant_wishes(place),
            Event::Mend(mend) => self.mend(mend),
            Event::Poll(_) => unreachable!("a poll happens without the lock"),
        }
    }

    /// A number for a question that no other has.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    pub(crate) fn inbox(&mut self, of: Place) -> &mut Inbox {
        self.inboxes.entry(of).or_default()
    }

    /// Somebody asks.
    pub(crate) fn ask(&mut self, asker: Place, to: Place, number: u64, on_stream: bool, bytes: Vec<u8>) {
        // Nobody waits for what was asked before.
        self.inbox(asker).frames.clear();
        let leg = Leg::Question { to, by: None };
        let packet = Packet { asker, number, leg, on_stream, bytes };
        if on_stream && self.dice.one_in(8) {
            self.overheard.truncate(OVERHEARD - 1);
            self.overheard.push_front(packet.clone());
        }
        self.send(asker, to, packet);
    }

    /// Somebody on the way repeats, perhaps hours later, what a phone sent.
    pub(crate) fn replay(&mut self, dice: &mut Dice) {
        if self.overheard.is_empty() {
            return;
        }
        let packet = self.overheard[dice.below(self.overheard.len())].clone();
        if let Leg::Question { to, .. } = packet.leg {
            self.counts.ended("replay", "sent");
            self.send(packet.asker, to, packet);
        }
    }

    /// Somebody sends what is no question.
    pub(crate) fn junk(&mut self, dice: &mut Dice) {
        let mut bytes = vec![0; 1 + dice.below(1400)];
        dice.fill(&mut bytes);
        if dice.one_in(2) {
            // A question of which one bit is wrong.
            let question = QuestionBuilder::new(self.trust.service, SET, 7);
            let mut frame = [0; HEADER_LEN];
            let length = question.info(&mut frame).expect("room for a header");
            frame[dice.below(length)] ^= 1 << dice.below(8);
            bytes = frame[..length].to_vec();
        }
        let to = if dice.one_in(2) { Place::Origin } else { Place::Node(dice.below(NODES)) };
        let leg = Leg::Question { to, by: None };
        let asker = Place::Phone(0);
        self.counts.ended("junk", "sent");
        self.send(asker, to, Packet { asker, number: 0, leg, on_stream: dice.one_in(3), bytes });
    }

    /// Sends a message over one link.
    pub(crate) fn send(&mut self, from: Place, to: Place, packet: Packet) {
        let (now_ms, link) = (self.now_ms, (from, to));
        let arrivals = self.network.arrivals(now_ms, link, &mut self.dice, &mut self.counts);
        for at in arrivals {
            self.scheduled += 1;
            self.events.insert((at, self.scheduled), Event::Arrive(packet.clone()));
        }
    }

    fn arrive(&mut self, packet: Packet) {
        self.story.saw(self.now_ms, "arrives", &packet.bytes);
        match packet.leg {
            Leg::Question { to, by } => self.serve(to, by, packet),
            Leg::Answer { by: Some(node) } => {
                if self.nodes[node].process.is_some() {
                    let asker = packet.asker;
                    self.send(Place::Node(node), asker, Packet { leg: Leg::Answer { by: None }, ..packet });
                }
            }
            Leg::Answer { by: None } => {
                let inbox = self.inbox(packet.asker);
                if packet.on_stream {
                    inbox.frames.entry(packet.number).or_insert(packet.bytes);
                } else {
                    inbox.datagrams.push_back(packet.bytes);
                }
            }
        }
    }

    /// Wishes that readers left are looked at soon.
    pub(crate) fn wishes_later(&mut self, place: Place) {
        self.later(WISH_MS, Event::Wishes(place));
    }

    fn grant_wishes(&mut self, place: Place) {
        let granted = match place {
            Place::Origin => self.origin.process.as_mut().map(|p| p.single.grant_wishes()),
            Place::Node(number) => self.nodes[number].process.as_mut().map(|p| p.builder.grant_wishes()),
            Place::Phone(_) => None,
        };
        if let Some(Err(e)) = granted {
            Invariant::Liveness.broken(&format!("an object cannot be made: {e}"));
        }
    }

    /// The next poll of a node.
    pub(crate) fn poll_later(&mut self, number: usize) {
        let in_ms = POLL_MS + self.dice.below(60_000) as u64;
        self.later(in_ms, Event::Poll(number));
    }

    /// Whom a node asks next: mostly the origin, sometimes a node that may lag behind.
    pub(crate) fn any_upstream(&mut self, number: usize) -> Place {
        let other = (number + 1 + self.dice.below(NODES - 1)) % NODES;
        if self.calm || !self.dice.one_in(4) { Place::Origin } else { Place::Node(other) }
    }

    pub(crate) fn restart_node_later(&mut self, number: usize) {
        let in_ms = 5_000 + self.dice.below(120_000) as u64;
        self.later(in_ms, Event::Mend(Mend::StartNode(number)));
    }

    /// How a client's error is called if faults explain it; anything else ends the run.
    pub(crate) fn excuse(what: &str, error: &ClientError) -> String {
        match error {
            ClientError::Unreachable { source: CarrierError::Silent { .. }, .. } => "silence".to_owned(),
            ClientError::Unreachable { source: CarrierError::Ended { .. }, .. } => "ended".to_owned(),
            ClientError::Refused { refused, .. } => refused.result.name().to_owned(),
            ClientError::NoAgreement { .. } => "no agreement".to_owned(),
            ClientError::Unverifiable { what, .. } if what.is_behind() => "behind".to_owned(),
            ClientError::NoSealKey { .. } => "no seal key".to_owned(),
            other => {
                let broken = match what {
                    "sync" | "poll" => Invariant::Deltas,
                    "bucket" => Invariant::OneRelease,
                    _ => Invariant::VerifiedBeforeServed,
                };
                broken.broken(&format!("{what}: {other}"))
            }
        }
    }
}
