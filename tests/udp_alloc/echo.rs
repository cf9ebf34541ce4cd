//! An echo that tells how often its thread has allocated, and who asks it.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tekd::engine::{Moment, Outcome, Respond, Slot};

use super::counting::allocations;

/// Datagrams under way at a time.
const WINDOW: usize = 50;

/// Echoes, and publishes how often its thread allocated since its first batch.
pub(crate) struct Echo {
    first: Option<u64>,
    allocated: Arc<AtomicU64>,
    spoil: bool,
}

impl Echo {
    /// Publishes to `allocated`; one that is to `spoil` allocates for each datagram.
    pub(crate) fn new(allocated: &Arc<AtomicU64>, spoil: bool) -> Self {
        Echo { first: None, allocated: Arc::clone(allocated), spoil }
    }
}

impl Respond for Echo {
    fn respond(&mut self, _now: Moment, slots: &mut [Slot<'_>]) {
        let now = allocations();
        self.allocated.store(now - *self.first.get_or_insert(now), Ordering::Relaxed);
        for slot in slots {
            if self.spoil {
                std::hint::black_box(Box::new(0u8));
            }
            slot.answer[..slot.request.len()].copy_from_slice(slot.request);
            slot.outcome = Outcome::Respond(slot.request.len());
        }
    }
}

/// Sends so many datagrams in windows from a connected socket; each has to come back.
pub(crate) fn ask_in_windows(client: &UdpSocket, datagrams: usize) {
    let mut buffer = [0; 2048];
    for window in 0..datagrams / WINDOW {
        for index in 0..WINDOW {
            client.send(&[7; 2048][..64 + (window + index) % 1000]).expect("sent");
        }
        for _ in 0..WINDOW {
            let length = client.recv(&mut buffer).expect("an answer");
            assert!(buffer[..length].iter().all(|byte| *byte == 7));
        }
    }
}
