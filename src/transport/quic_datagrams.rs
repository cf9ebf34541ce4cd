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
use super::quic_config::MAX_DATAGRAMS_IN;
use super::stream_counters::StreamCounts;
use crate::engine::{Carrier, Outcome, Peer, Slot};

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
            let counts = answer_batch(shared, connection, peer, questions, room);
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

/// Answers a batch of at most [`BATCH`] and puts the answers on their way.
fn answer_batch(
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
    let mut slots: [Slot<'_>; BATCH] = std::array::from_fn(|lane| {
        let question = questions.get(lane).map_or(&[][..], |question| question);
        Slot::new(question, peer, &mut rooms.next().unwrap_or_default()[..longest])
    });
    let slots = &mut slots[..questions.len()];
    shared.ask_batch(slots);
    send(connection, slots, longest, &mut counts);
    counts
}

/// Puts the answers of a batch on their way, all cut from one piece of memory.
fn send(connection: &Connection, slots: &[Slot<'_>], longest: usize, counts: &mut StreamCounts) {
    let mut answers = Vec::new();
    let mut ends = [0; BATCH];
    for (slot, end) in slots.iter().zip(&mut ends) {
        match slot.outcome {
            Outcome::Respond(length) if length <= longest => {
                answers.extend_from_slice(&slot.answer[..length]);
            }
            Outcome::Respond(_) => counts.bad_answer += 1,
            Outcome::Ignore(_) | Outcome::Later(_) => counts.datagrams_ignored += 1,
        }
        *end = answers.len();
    }
    let (answers, mut start) = (Bytes::from(answers), 0);
    for end in &ends[..slots.len()] {
        let answer = answers.slice(start..*end);
        start = *end;
        if answer.is_empty() {
            continue;
        }
        let length = answer.len() as u64;
        // bounded: DATAGRAM_BUFFER; what does not fit is dropped, for nobody waits with a datagram.
        if let Some(Ok(())) = at_once(connection.send_datagram_wait(answer)) {
            counts.datagrams_answered += 1;
            counts.bytes_out += length;
        } else {
            counts.datagrams_unsent += 1;
        }
    }
}
