//! One connection after its handshake: frames in, answers out, in order, on any byte stream.
//!
//! One request is in flight per connection; what a client pipelines waits in its buffer
//! and in the kernel's. Every wait has a deadline, every way to end is one counter.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::connections::{Shared, past_grace};
use super::frame::{FrameBuffer, MAX_ANSWER, MAX_REQUEST};
use super::stream_counters::End;
use crate::engine::{Outcome, Peer};

/// What a connection keeps of its answer buffer between requests, bytes.
const KEPT_ANSWER_BYTES: usize = 4096;

const _: () = assert!(KEPT_ANSWER_BYTES <= MAX_ANSWER);

/// One connection.
pub(super) struct Conversation<'a, S> {
    stream: &'a mut S,
    peer: Peer,
    shared: &'a Shared,
    stop: watch::Receiver<bool>,
    inbound: FrameBuffer,
    answer: Vec<u8>,
    deadline: Instant,
    /// When an idle connection ends, once the server stops.
    grace: Option<Instant>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Conversation<'a, S> {
    pub(super) fn new(
        stream: &'a mut S,
        peer: Peer,
        shared: &'a Shared,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let inbound = FrameBuffer::new(MAX_REQUEST);
        let deadline = Instant::now() + shared.limits.idle;
        Conversation { stream, peer, shared, stop, inbound, answer: Vec::new(), deadline, grace: None }
    }

    /// Answers requests until something ends the connection.
    pub(super) async fn run(mut self) -> End {
        loop {
            let step = match self.take_request() {
                Err(end) => Err(end),
                Ok(None) => self.read().await,
                Ok(Some(outcome)) => self.reply(outcome).await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Cuts one request off and has it answered into `self.answer`; `None` if none is whole.
    fn take_request(&mut self) -> Result<Option<Outcome>, End> {
        let Some(request) = self.inbound.cut()? else { return Ok(None) };
        self.shared.ask(self.peer, request, &mut self.answer).map(Some)
    }

    async fn reply(&mut self, outcome: Outcome) -> Result<(), End> {
        match outcome {
            Outcome::Ignore(_) => {}
            Outcome::Respond(_) => self.write().await?,
            Outcome::Later(ticket) => {
                self.answer = self.shared.promised(ticket).await?;
                self.write().await?;
            }
        }
        self.expect_next();
        Ok(())
    }

    /// Sets the deadline for the next request, of which a part may be here already.
    fn expect_next(&mut self) {
        let limits = &self.shared.limits;
        self.deadline = Instant::now() + if self.inbound.is_empty() { limits.idle } else { limits.frame };
    }

    async fn write(&mut self) -> Result<(), End> {
        let length = self.answer.len();
        // bounded: what is not long and not charged is one answer at a time, which SHARE_BYTES has room for.
        let _charge = self.shared.charge(length)?;
        let write = async {
            self.stream.write_all(&self.answer).await?;
            self.stream.flush().await
        };
        let written = timeout(self.shared.limits.write, write).await;
        written.map_err(|_| End::WriteTimeout)?.map_err(|_| End::IoError)?;
        self.shared.answered(length);
        self.answer.clear();
        self.answer.shrink_to(KEPT_ANSWER_BYTES);
        Ok(())
    }

    /// Waits for more bytes. The deadline of a request does not move with its bytes.
    async fn read(&mut self) -> Result<(), End> {
        let idle = self.inbound.is_empty();
        let more = async {
            tokio::select! {
                biased;
                read = self.stream.read(self.inbound.space()) => Some(read),
                () = past_grace(&mut self.stop, &mut self.grace), if idle => None,
            }
        };
        match timeout_at(self.deadline, more).await {
            Err(_) => Err(if idle { End::IdleTimeout } else { End::FrameTimeout }),
            Ok(None) => Err(End::Stopped),
            Ok(Some(Ok(0))) => Err(if idle { End::Closed } else { End::Truncated }),
            Ok(Some(Ok(count))) => {
                self.inbound.filled(count);
                if idle {
                    self.expect_next();
                }
                Ok(())
            }
            // TLS reports a connection that ended without its closing alert like this.
            Ok(Some(Err(e))) if e.kind() == std::io::ErrorKind::UnexpectedEof && idle => Err(End::Closed),
            Ok(Some(Err(e))) if e.kind() == std::io::ErrorKind::UnexpectedEof => Err(End::Truncated),
            Ok(Some(Err(_))) => Err(End::IoError),
        }
    }
}

#[cfg(test)]
mod tests;
