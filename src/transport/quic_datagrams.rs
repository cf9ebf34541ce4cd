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
    // Nobody else sends datagrams here, so that this room is only ever more than thought.
    let leaving = leaving(slots, longest, connection.datagram_send_buffer_space(), counts);
    let mut answers = Vec::with_capacity(leaving.iter().sum());
    for (slot, length) in slots.iter().zip(leaving) {
        answers.extend_from_slice(&slot.answer[..length]);
    }
    let mut answers = Bytes::from(answers);
    for length in leaving.into_iter().filter(|length| *length > 0) {
        if connection.send_datagram(answers.split_to(length)).is_ok() {
            counts.datagrams_answered += 1;
            counts.bytes_out += length as u64;
        } else {
            counts.datagrams_unsent += 1;
        }
    }
}

/// How long each answer is that can go into `room` bytes, in turn; 0 where none goes.
///
/// bounded: DATAGRAMS_OUT; what does not fit is dropped, for nobody waits with a datagram. It is not copied
/// either: each answer that waits holds the memory of its whole batch.
fn leaving(slots: &[Slot<'_>], longest: usize, mut room: usize, counts: &mut StreamCounts) -> [usize; BATCH] {
    let mut lengths = [0; BATCH];
    for (slot, leaves) in slots.iter().zip(&mut lengths) {
        match slot.outcome {
            Outcome::Ignore(_) | Outcome::Later(_) => counts.datagrams_ignored += 1,
            Outcome::Respond(length) if !(1..=longest).contains(&length) => counts.bad_answer += 1,
            Outcome::Respond(length) if length > room => counts.datagrams_unsent += 1,
            Outcome::Respond(length) => {
                *leaves = length;
                room = room.saturating_sub(length + DATAGRAM_COST);
            }
        }
    }
    lengths
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::engine::{Silence, Ticket};

    #[test]
    fn what_finds_no_room_is_counted_and_takes_no_memory() {
        let peer = Peer { ip: Ipv4Addr::LOCALHOST.into(), port: 1, carrier: Carrier::QuicDatagram };
        let mut slots: [Slot<'_>; BATCH] = std::array::from_fn(|_| Slot::new(&[], peer, &mut []));
        slots.iter_mut().for_each(|slot| slot.outcome = Outcome::Respond(1088));
        slots[0].outcome = Outcome::Respond(64);
        slots[1].outcome = Outcome::Ignore(Silence::Length);
        slots[2].outcome = Outcome::Later(Ticket(1));
        slots[3].outcome = Outcome::Respond(0);
        slots[4].outcome = Outcome::Respond(1233);
        slots[BATCH - 1].outcome = Outcome::Respond(32);
        let mut counts = StreamCounts::default();
        let lengths = leaving(&slots, 1232, 64 + DATAGRAM_COST + 32, &mut counts);
        assert_eq!((lengths[0], lengths[BATCH - 1]), (64, 32));
        assert_eq!(lengths.iter().sum::<usize>(), 96);
        let unsent = BATCH as u64 - 6;
        assert_eq!((counts.datagrams_ignored, counts.bad_answer, counts.datagrams_unsent), (2, 2, unsent));
    }
}
