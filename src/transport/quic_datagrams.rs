//! Questions in DATAGRAM frames of one QUIC connection (RFC 9221), each answered by another (spec 1.5.8).
//!
//! What has arrived is taken in batches and answered like a batch of UDP; nothing is waited for. What comes
//! while the buffer is full pushes out what came first, and an answer for which there is no room is dropped:
//! both are counted, and whoever asked asks again. Addresses are proved: a connection begins after a Retry.

use std::cell::RefCell;

use bytes::Bytes;
use quinn::Connection;

use super::at_once::at_once;
use super::connections::Shared;
use super::frame::HEADER_BYTES;
use super::mmsg::{BATCH, MAX_DATAGRAM};
use super::quic_config::{DATAGRAM_COST, MAX_DATAGRAMS_IN};
use super::stream_counters::StreamCounts;
use crate::engine::{Carrier, Outcome, Peer, Slot};

/// Questions that come in one packet when there are many: about as many of the shortest as fit.
const PACKET: usize = 16;

const _: () = assert!(PACKET <= BATCH);

/// Where a batch is answered.
#[derive(Default)]
struct Bench {
    questions: Vec<Bytes>,
    room: Vec<u8>,
}

thread_local! {
    /// One per thread, none per connection.
    static BENCH: RefCell<Bench> = RefCell::default();
}

/// The DATAGRAM frames of one connection.
#[derive(Default)]
pub(super) struct Datagrams {
    /// Frames that were read.
    taken: u64,
    /// Frames that are known to have been dropped unread.
    lost: u64,
    /// Whether there were so many that some may have been dropped since `lost` was counted.
    crowded: bool,
}

impl Datagrams {
    /// Answers `first` and what else has arrived; whether there may be more.
    pub(super) fn answer(
        &mut self,
        shared: &Shared,
        connection: &Connection,
        peer: Peer,
        first: Bytes,
    ) -> bool {
        let peer = Peer { carrier: Carrier::QuicDatagram, ..peer };
        let full = BENCH.with_borrow_mut(|bench| {
            let Bench { questions, room } = bench;
            // A batch that panicked has left its own.
            questions.clear();
            questions.push(first);
            // bounded: BATCH, then others have their turn.
            while questions.len() < BATCH
                && let Some(Ok(next)) = at_once(connection.read_datagram())
            {
                questions.push(next);
            }
            self.taken += questions.len() as u64;
            let answer = match questions.len() {
                1 => answer_batch::<1>,
                ..=PACKET => answer_batch::<PACKET>,
                _ => answer_batch::<BATCH>,
            };
            let counts = answer(shared, connection, peer, questions, room);
            shared.counters.add(&counts);
            let full = questions.len() == BATCH;
            questions.clear();
            full
        });
        self.crowded |= full;
        // What waits is not lost: at most so many.
        self.count_lost(shared, connection, if full { MAX_DATAGRAMS_IN } else { 0 });
        full
    }

    /// Counts what was dropped unread, when at most `waiting` were not read yet.
    pub(super) fn count_lost(&mut self, shared: &Shared, connection: &Connection, waiting: usize) {
        if !self.crowded {
            return;
        }
        self.crowded = waiting > 0;
        let arrived = connection.stats().frame_rx.datagram;
        let lost = arrived.saturating_sub(self.taken + waiting as u64).max(self.lost);
        shared.counters.add(&StreamCounts { datagrams_lost: lost - self.lost, ..StreamCounts::default() });
        self.lost = lost;
    }
}

/// Answers a batch of at most `LANES` and puts the answers on their way.
fn answer_batch<const LANES: usize>(
    shared: &Shared,
    connection: &Connection,
    peer: Peer,
    questions: &[Bytes],
    room: &mut Vec<u8>,
) -> StreamCounts {
    let mut counts = StreamCounts { datagrams: questions.len() as u64, ..StreamCounts::default() };
    counts.bytes_in = questions.iter().map(|question| question.len() as u64).sum();
    let longest = connection.max_datagram_size().unwrap_or(0).min(MAX_DATAGRAM);
    if longest < HEADER_BYTES {
        // A client that takes no datagrams, or none as long as a header, can be told nothing.
        counts.datagrams_unsent = counts.datagrams;
        return counts;
    }
    room.resize(BATCH * MAX_DATAGRAM, 0);
    let mut rooms = room.chunks_exact_mut(MAX_DATAGRAM);
    let mut slots: [Slot<'_>; LANES] = std::array::from_fn(|lane| {
        let question = questions.get(lane).map_or(&[][..], |question| question);
        Slot::new(question, peer, &mut rooms.next().unwrap_or_default()[..longest])
    });
    let slots = &mut slots[..questions.len()];
    shared.ask_batch(slots);
    send(connection, slots, longest, &mut counts);
    counts
}

/// Puts the answers of a batch on their way, all cut from one piece of memory of just their length.
fn send(connection: &Connection, slots: &[Slot<'_>], longest: usize, counts: &mut StreamCounts) {
    let sound = |slot: &Slot<'_>| match slot.outcome {
        Outcome::Respond(length) if (1..=longest).contains(&length) => length,
        _ => 0,
    };
    let mut answers = Vec::with_capacity(slots.iter().map(sound).sum());
    for slot in slots {
        answers.extend_from_slice(&slot.answer[..sound(slot)]);
    }
    let mut answers = Bytes::from(answers);
    // Nobody else sends datagrams here, so that this room is only ever more than thought.
    let mut left = connection.datagram_send_buffer_space();
    for slot in slots {
        let answer = answers.split_to(sound(slot));
        let length = answer.len();
        match slot.outcome {
            Outcome::Ignore(_) | Outcome::Later(_) => counts.datagrams_ignored += 1,
            Outcome::Respond(_) if length == 0 => counts.bad_answer += 1,
            // bounded: DATAGRAMS_OUT; what does not fit is dropped, for nobody waits with a datagram.
            Outcome::Respond(_) if length <= left && connection.send_datagram(answer).is_ok() => {
                left = left.saturating_sub(length + DATAGRAM_COST);
                counts.datagrams_answered += 1;
                counts.bytes_out += length as u64;
            }
            Outcome::Respond(_) => counts.datagrams_unsent += 1,
        }
    }
}
