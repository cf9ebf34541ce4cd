//! One question and its answer on a QUIC stream of their own, where they have to wait for something.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore, SemaphorePermit, SetOnce};
use tokio::time::{Instant, timeout, timeout_at};

use super::connections::Shared;
use super::frame::{MAX_REQUEST, frame_length};
use super::quic_config::CLOSE_SLOW;
use super::stream_counters::{End, StreamCounts};
use super::stream_limits::{LONG_ANSWER, SHARE_BYTES};
use crate::engine::{Carrier, Outcome, Peer};

/// What all streams of a connection share.
pub(super) struct Line {
    pub(super) shared: Arc<Shared>,
    pub(super) connection: Connection,
    pub(super) peer: Peer,
    /// Held while an answer is made, on until there is room for it, and on while a long one is on its way.
    pub(super) turn: Arc<Mutex<()>>,
    /// Whether the handshake came to its end, once that is known.
    pub(super) established: SetOnce<bool>,
    /// Bytes that answers which are neither long nor sent at once may still put on their way.
    share: Semaphore,
}

impl Line {
    pub(super) fn new(shared: Arc<Shared>, connection: Connection) -> Self {
        let from = connection.remote_address();
        let peer = Peer { ip: from.ip().to_canonical(), port: from.port(), carrier: Carrier::Quic };
        let (turn, share) = (Arc::default(), Semaphore::new(SHARE_BYTES));
        Line { shared, connection, peer, turn, established: SetOnce::new(), share }
    }

    /// One stream from where it is to the acknowledgement of its last byte.
    pub(super) async fn serve(self: Arc<Self>, mut asked: Asked) {
        if let Err(end) = self.run(&mut asked).await {
            asked.fail(&self.shared, end);
        }
    }

    /// The same from an answer on that cannot be sent at once.
    pub(super) async fn conclude(
        self: Arc<Self>,
        mut asked: Asked,
        outcome: Outcome,
        answer: Bytes,
        turn: OwnedMutexGuard<()>,
    ) {
        if let Err(end) = self.reply(&mut asked.send, outcome, answer, turn).await {
            asked.fail(&self.shared, end);
        }
    }

    /// The same from what is left of an answer of `length` bytes on.
    pub(super) async fn send_rest(self: Arc<Self>, mut asked: Asked, left: Bytes, length: usize) {
        if let Err(end) = self.write(&mut asked.send, left, length, None).await {
            asked.fail(&self.shared, end);
        }
    }

    async fn run(&self, asked: &mut Asked) -> Result<(), End> {
        let arrived = timeout(self.shared.limits.frame, asked.arrive()).await;
        arrived.map_err(|_| End::FrameTimeout)??;
        if asked.early && !self.shared.is_repeatable(asked.question()) && !*self.established.wait().await {
            return Err(End::Lost);
        }
        let mut answer = Vec::new();
        // bounded: a client that reads nothing holds one long answer, not one in each of its streams.
        let turn = timeout(self.shared.limits.write, Arc::clone(&self.turn).lock_owned()).await;
        let turn = turn.map_err(|_| End::WriteTimeout)?;
        let outcome = self.shared.ask(self.peer, asked.question(), &mut answer)?;
        self.reply(&mut asked.send, outcome, answer.into(), turn).await
    }

    async fn reply(
        &self,
        send: &mut SendStream,
        outcome: Outcome,
        answer: Bytes,
        turn: OwnedMutexGuard<()>,
    ) -> Result<(), End> {
        match outcome {
            Outcome::Ignore(_) => send.finish().map_err(|_| End::Withdrawn),
            Outcome::Respond(_) => {
                let length = answer.len();
                self.write(send, answer, length, Some(turn)).await
            }
            Outcome::Later(ticket) => {
                drop(turn);
                let answer = tokio::select! {
                    answer = self.shared.promised(ticket) => answer?,
                    _ = self.connection.closed() => return Err(End::Lost),
                };
                let length = answer.len();
                self.write(send, answer.into(), length, None).await
            }
        }
    }

    /// Sends what is left of an answer of `length` bytes and keeps its room until the client has it.
    async fn write(
        &self,
        send: &mut SendStream,
        left: Bytes,
        length: usize,
        turn: Option<OwnedMutexGuard<()>>,
    ) -> Result<(), End> {
        let _charge = self.shared.charge(length)?;
        let deadline = Instant::now() + self.shared.limits.write;
        let _share = self.share(length, deadline).await?;
        let _turn = turn.filter(|_| length > LONG_ANSWER);
        let written = timeout_at(deadline, send.write_chunk(left)).await;
        written.map_err(|_| End::WriteTimeout)??;
        send.finish().map_err(|_| End::Withdrawn)?;
        self.shared.answered(length);
        if timeout_at(deadline, send.stopped()).await.is_err() {
            self.shared.counters.add(&StreamCounts { unacknowledged: 1, ..StreamCounts::default() });
            // Its bytes are let go; the stream may have ended at this very moment.
            let _ = send.reset(CLOSE_SLOW);
        }
        Ok(())
    }

    /// Room in the connection's share for an answer that is not long; `None` for one that is.
    async fn share(&self, length: usize, deadline: Instant) -> Result<Option<SemaphorePermit<'_>>, End> {
        let Some(bytes) = u32::try_from(length).ok().filter(|_| length <= LONG_ANSWER) else {
            return Ok(None);
        };
        // bounded: who takes none of its answers is waited for by itself alone.
        let room = timeout_at(deadline, self.share.acquire_many(bytes)).await;
        Ok(Some(room.map_err(|_| End::WriteTimeout)?.expect("a share is never closed")))
    }
}

/// A stream and what has arrived of its question.
pub(super) struct Asked {
    pub(super) send: SendStream,
    recv: RecvStream,
    question: Vec<u8>,
    /// Whether it began before the handshake was known to be complete. What QUIC says of it is not asked:
    /// of a connection that ended in its handshake it says no.
    pub(super) early: bool,
}

impl Asked {
    pub(super) fn new(send: SendStream, recv: RecvStream) -> Self {
        Asked { send, recv, question: Vec::new(), early: false }
    }

    /// One that began before the handshake was known to be complete.
    pub(super) fn early(send: SendStream, recv: RecvStream) -> Self {
        Asked { early: true, ..Asked::new(send, recv) }
    }

    /// What has arrived: after [`arrive`](Self::arrive) one whole frame.
    pub(super) fn question(&self) -> &[u8] {
        &self.question
    }

    /// Reads until the client has finished its half: one whole frame and nothing else. May be given up and
    /// asked again.
    pub(super) async fn arrive(&mut self) -> Result<(), End> {
        // bounded: what is longer than its own length, at most MAX_REQUEST, is refused at once.
        while let Some(chunk) = self.recv.read_chunk(MAX_REQUEST + 1 - self.question.len(), true).await? {
            self.question.extend_from_slice(&chunk.bytes);
            let length = frame_length(&self.question, MAX_REQUEST)?;
            if length.is_some_and(|length| self.question.len() > length) {
                return Err(End::SecondFrame);
            }
        }
        let whole = frame_length(&self.question, MAX_REQUEST)? == Some(self.question.len());
        if whole { Ok(()) } else { Err(End::Truncated) }
    }

    /// Counts why there is no answer, and tells the client.
    pub(super) fn fail(&mut self, shared: &Shared, end: End) {
        shared.counters.count_end(end);
        // Either half may have ended already, or the connection.
        let _ = (self.send.reset(end.code()), self.recv.stop(end.code()));
    }
}
