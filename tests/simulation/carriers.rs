//! How whoever asks reaches a server through the simulated network: the real exchange over datagrams, frames
//! on a stream, and time that passes while one waits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tekd::client::{
    Acquaintance, Asking, Carrier, CarrierError, Client, Datagrams, Patience, Random, Reply, exchange_over,
};
use tekd::engine::{Random as _, Seeded};
use tekd::release::Trust;
use tekd::wire::MAX_QUESTION_STREAM;

use super::dice::mixed;
use super::network::Place;
use super::origin::SET;
use super::world::{Shared, advance, lock, step};

/// What the messages of errors call the other side.
const PEER: &str = "server";
const PATIENCE: Patience = Patience { datagrams_ms: 2500, datagrams: 3, stream_ms: 2500 };
/// Seconds that PENDING and BUSY are waited for.
const PENDING_S: u64 = 3;
/// The purpose of a client's randomness.
const ASKER: u64 = 3 << 32;

/// The server that is asked, to be changed at any time: 0 for the origin, else one more than its number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target(Arc<AtomicUsize>);

impl Target {
    pub(crate) fn set(&self, server: Place) {
        let number = match server {
            Place::Node(number) => number + 1,
            Place::Origin | Place::Phone(_) => 0,
        };
        self.0.store(number, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Place {
        match self.0.load(Ordering::Relaxed) {
            0 => Place::Origin,
            number => Place::Node(number - 1),
        }
    }
}

/// A client of the set for `asker`, which asks `target`.
pub(crate) fn client(
    shared: &Shared,
    asker: Place,
    target: &Target,
    trust: Trust,
    seed: u64,
    start: u64,
) -> Client<'static> {
    let own = match asker {
        Place::Origin => 0,
        Place::Node(number) => 1000 + number as u64,
        Place::Phone(number) => 2000 + number as u64,
    };
    let mut random = Seeded::new(mixed(seed, ASKER + (start << 40) + own));
    let way = Way { shared: Arc::clone(shared), asker, target: target.clone() };
    let datagrams = OverUdp { way: way.clone(), known: Acquaintance::default(), known_of: Place::Origin };
    let sleeping = Arc::clone(shared);
    let sleep = move |time: Duration| {
        let until = lock(&sleeping).now_ms + u64::try_from(time.as_millis()).expect("not for ever");
        advance(&sleeping, until);
    };
    let fill = move |out: &mut [u8]| random.fill(out);
    let client = Client::new(datagrams, trust, SET, fill, sleep).with_stream(OverStream { way });
    client.with_patience(PATIENCE, PENDING_S)
}

#[derive(Clone)]
struct Way {
    shared: Shared,
    asker: Place,
    target: Target,
}

/// The real exchange, on virtual time.
struct OverUdp {
    way: Way,
    known: Acquaintance,
    known_of: Place,
}

impl Datagrams for Way {
    fn now_ms(&mut self) -> u64 {
        lock(&self.shared).now_ms
    }

    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        lock(&self.shared).ask(self.asker, self.target.get(), 0, false, datagram.to_vec());
        Ok(())
    }

    fn receive(&mut self, until_ms: u64, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            if let Some(datagram) = lock(&self.shared).inbox(self.asker).datagrams.pop_front() {
                let length = datagram.len().min(buffer.len());
                buffer[..length].copy_from_slice(&datagram[..length]);
                return Ok(Some(length));
            }
            if !step(&self.shared, until_ms) {
                advance(&self.shared, until_ms);
                return Ok(None);
            }
        }
    }
}

impl Carrier for OverUdp {
    fn is_stream(&self) -> bool {
        false
    }

    fn ask(&mut self, asking: &Asking<'_>, random: &mut Random<'_>) -> Result<Reply, CarrierError> {
        if self.known_of != self.way.target.get() {
            // A cookie is never used at another address.
            (self.known, self.known_of) = (Acquaintance::default(), self.way.target.get());
        }
        exchange_over(&mut self.way, PEER, &mut self.known, asking, random)
    }

    fn verified(&mut self, held: bool) {
        self.known.verified(held);
    }
}

/// One frame each way on a connection of its own.
struct OverStream {
    way: Way,
}

impl Carrier for OverStream {
    fn is_stream(&self) -> bool {
        true
    }

    fn ask(&mut self, asking: &Asking<'_>, random: &mut Random<'_>) -> Result<Reply, CarrierError> {
        let mut question = vec![0; MAX_QUESTION_STREAM];
        let (length, expected) = asking.write(0, 0, random, &mut question)?;
        question.truncate(length);
        let Way { shared, asker, target } = &self.way;
        let (number, until_ms) = {
            let mut world = lock(shared);
            let number = world.next_number();
            world.ask(*asker, target.get(), number, true, question);
            (number, world.now_ms + asking.patience.stream_ms)
        };
        loop {
            if let Some(frame) = lock(shared).inbox(*asker).frames.remove(&number) {
                return Ok(Reply::read(&frame, &expected, true)?);
            }
            if !step(shared, until_ms) {
                advance(shared, until_ms);
                return Err(CarrierError::Ended { peer: PEER.to_owned() });
            }
        }
    }
}
