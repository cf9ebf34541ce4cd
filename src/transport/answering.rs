//! What every transport of whole frames needs around one answer: who makes it, where it is made, and a
//! budget for the bytes of long ones that are on their way out.
//!
//! What a frame means is behind [`AnswerFrame`], which is plain synchronous code; only the answers it
//! promises for later are awaited, by the transports.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::frame::MAX_ANSWER;
use crate::engine::{Outcome, Peer, Slot, Ticket};

/// Answers the frames of streams, and those in the datagrams of QUIC. Shared by all connections, on any
/// thread.
pub trait AnswerFrame: Send + Sync {
    /// Whether `request`, one whole frame of a stream, may be answered though it might be an old one that
    /// somebody sent again: it asks for what is published and changes nothing. Never answered `Later`.
    fn is_repeatable(&self, request: &[u8]) -> bool;

    /// Answers `request`, one whole frame from `peer`. Does not block.
    ///
    /// `answer` comes with a length of [`MAX_ANSWER`] and arbitrary content. After
    /// `Respond(n)` its first `n` bytes are the answer; after `Ignore` nothing is sent and
    /// the stream goes on; after `Later` the answer is asked for with [`later`](Self::later).
    fn answer_frame(&self, peer: Peer, request: &[u8], answer: &mut Vec<u8>) -> Outcome;

    /// Answers a batch of datagrams of one connection, as [`Respond`](crate::engine::Respond) does for UDP.
    /// Each slot has room for the longest answer that its path takes, and its peer has proved its address.
    fn answer_datagrams(&self, slots: &mut [Slot<'_>]);

    /// Where the whole answer frame of a ticket will arrive. Asked once per ticket, at once.
    fn later(&self, ticket: Ticket) -> oneshot::Receiver<Vec<u8>>;
}

thread_local! {
    /// Where answers are made: one buffer of the largest size per thread, none per connection.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Has `request` answered; what `Respond` gives replaces the content of `answer`. `None` if the answerer
/// gave a length beyond its buffer: a defect.
pub(super) fn ask(
    answerer: &dyn AnswerFrame,
    peer: Peer,
    request: &[u8],
    answer: &mut Vec<u8>,
) -> Option<Outcome> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize(MAX_ANSWER, 0);
        let outcome = answerer.answer_frame(peer, request, scratch);
        if let Outcome::Respond(length) = outcome {
            answer.clear();
            answer.extend_from_slice(scratch.get(..length)?);
        }
        Some(outcome)
    })
}

/// Bytes of long answers on their way to clients, over all connections of a server.
pub(super) struct Budget {
    pending: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Budget { pending: AtomicUsize::new(0), limit }
    }

    /// Charges `bytes` of an answer; `None` when the budget is spent.
    pub(super) fn charge(&self, bytes: usize) -> Option<Charge<'_>> {
        let before = self.pending.fetch_add(bytes, Ordering::Relaxed);
        let charge = Charge { pending: &self.pending, bytes };
        (before + bytes <= self.limit).then_some(charge)
    }
}

/// Bytes charged to the budget, given back when dropped.
pub(super) struct Charge<'a> {
    pending: &'a AtomicUsize,
    bytes: usize,
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.pending.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
