//! One QUIC connection: its handshake, its streams and its datagrams, until something ends it.
//!
//! A question that is here whole is answered at once, without a task, if its answer is small and its client
//! has room for it. Everything else has a task per stream: questions that come in parts, answers that wait
//! for room, sealed ones. Every wait has a deadline, every way to end is one counter. A stream that is not
//! exactly one frame ends alone, its connection goes on.
//!
//! Before the handshake is complete nothing tells whether a question is not an old one that somebody sent
//! again. Such questions are answered if answering twice does no harm; others wait (spec 1.5.9).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use quinn::{Connecting, ConnectionError, SendStream, ZeroRttAccepted};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::at_once::at_once;
use super::connections::{Shared, past_grace, stopped};
use super::quic_config::{CLOSE_DONE, MAX_STREAMS, SMALL_ANSWER};
use super::quic_datagrams::Datagrams;
use super::quic_exchange::{Asked, Line};
use super::stream_counters::{End, StreamCounts};
use crate::engine::Outcome;

/// Serves a connection from its first packet to its last; it holds its place among the limited number.
pub(super) async fn serve(
    connecting: Connecting,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    // A server may always begin early.
    let Ok((connection, complete)) = connecting.into_0rtt() else {
        return shared.counters.count_end(End::HandshakeFailed);
    };
    let line = Arc::new(Line::new(shared, connection));
    let conversation = Conversation {
        line: Arc::clone(&line),
        stop,
        streams: JoinSet::new(),
        unheard: Unheard::default(),
        datagrams: Datagrams::default(),
    };
    let end = conversation.run(complete).await;
    line.shared.counters.count_end(end);
    line.connection.close(CLOSE_DONE, b"");
}

/// What a connection is at.
struct Conversation {
    line: Arc<Line>,
    stop: watch::Receiver<bool>,
    /// Those that were not answered at once. bounded: MAX_STREAMS, which the client cannot exceed.
    streams: JoinSet<()>,
    unheard: Unheard,
    datagrams: Datagrams,
}

impl Conversation {
    async fn run(mut self, complete: ZeroRttAccepted) -> End {
        let end = match self.handshake(complete).await {
            Ok(()) => {
                self.line.established.set(true).expect("a handshake ends once");
                let end = self.converse().await;
                self.unheard.wait(&self.line.shared).await;
                end
            }
            Err(end) => {
                self.line.established.set(false).expect("a handshake ends once");
                self.line.connection.close(CLOSE_DONE, b"");
                end
            }
        };
        while let Some(ended) = self.streams.join_next().await {
            self.line.shared.note(ended);
        }
        self.datagrams.count_lost(&self.line.shared, &self.line.connection, 0);
        end
    }

    /// Waits for the end of the handshake, and takes what comes before it.
    async fn handshake(&mut self, mut complete: ZeroRttAccepted) -> Result<(), End> {
        let mut patience = pin!(sleep(self.line.shared.limits.handshake));
        let line = Arc::clone(&self.line);
        loop {
            tokio::select! {
                biased;
                _ = &mut complete => return match line.connection.close_reason() {
                    None => Ok(()),
                    Some(error @ ConnectionError::ApplicationClosed(_)) => Err(End::from(error)),
                    Some(_) => Err(End::HandshakeFailed),
                },
                () = stopped(&mut self.stop) => return Err(End::Stopped),
                () = &mut patience => return Err(End::HandshakeTimeout),
                Some(ended) = self.streams.join_next() => line.shared.note(ended),
                Ok((send, recv)) = line.connection.accept_bi() => self.open(Asked::early(send, recv)),
                Ok(first) = line.connection.read_datagram() => {
                    self.datagrams.answer(&line.shared, &line.connection, line.peer, first);
                    yield_now().await;
                }
            }
        }
    }

    /// Takes streams and datagrams until something ends the connection.
    async fn converse(&mut self) -> End {
        let line = Arc::clone(&self.line);
        let idle = line.shared.limits.idle;
        let (mut stop, mut until) = (self.stop.clone(), None);
        let mut grace = pin!(past_grace(&mut stop, &mut until));
        let mut idle_until = Instant::now() + idle;
        let mut alarm = pin!(sleep_until(idle_until));
        loop {
            let nothing_open = self.streams.is_empty();
            tokio::select! {
                biased;
                Some(ended) = self.streams.join_next() => line.shared.note(ended),
                opened = line.connection.accept_bi() => match opened {
                    Ok((send, recv)) => self.open(Asked::new(send, recv)),
                    Err(error) => return End::from(error),
                },
                first = line.connection.read_datagram() => match first {
                    Ok(first) => {
                        if self.datagrams.answer(&line.shared, &line.connection, line.peer, first) {
                            yield_now().await;
                            // Who always has more to ask is stopped too.
                            if at_once(grace.as_mut()).is_some() {
                                return End::Stopped;
                            }
                        }
                    }
                    Err(error) => return End::from(error),
                },
                () = &mut grace => return End::Stopped,
                () = &mut alarm, if nothing_open => {
                    if idle_until <= Instant::now() {
                        return End::IdleTimeout;
                    }
                    alarm.as_mut().reset(idle_until);
                    continue;
                }
            }
            idle_until = Instant::now() + idle;
        }
    }

    /// Takes a stream: answers at once what can be, and gives a task to what cannot.
    fn open(&mut self, mut asked: Asked) {
        let counts = StreamCounts { streams: 1, early: asked.early.into(), ..StreamCounts::default() };
        self.line.shared.counters.add(&counts);
        match at_once(asked.arrive()) {
            Some(Err(end)) => asked.fail(&self.line.shared, end),
            Some(Ok(())) if self.line.shared.is_repeatable(asked.question()) => self.answer(asked),
            _ => drop(self.streams.spawn(Arc::clone(&self.line).serve(asked))),
        }
    }

    /// Answers a question that is whole.
    fn answer(&mut self, mut asked: Asked) {
        let line = &self.line;
        let Ok(turn) = Arc::clone(&line.turn).try_lock_owned() else {
            self.streams.spawn(Arc::clone(line).serve(asked));
            return;
        };
        let mut answer = Vec::new();
        let ask = || line.shared.ask(line.peer, asked.question(), &mut answer);
        let outcome = match catch_unwind(AssertUnwindSafe(ask)) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(end)) => return asked.fail(&line.shared, end),
            // As with a task that panics, its stream is all that ends.
            Err(_) => {
                return line.shared.counters.add(&StreamCounts { panicked: 1, ..StreamCounts::default() });
            }
        };
        if matches!(outcome, Outcome::Respond(_)) && (1..=SMALL_ANSWER).contains(&answer.len()) {
            drop(turn);
            return self.send(asked, answer.into());
        }
        self.streams.spawn(Arc::clone(line).conclude(asked, outcome, answer.into(), turn));
    }

    /// Sends a small answer; what the client has no room for now gets a task.
    fn send(&mut self, mut asked: Asked, answer: Bytes) {
        let (line, length) = (&self.line, answer.len());
        let mut left = [answer];
        match at_once(asked.send.write_chunks(&mut left)) {
            Some(Err(error)) => return asked.fail(&line.shared, error.into()),
            Some(Ok(written)) if written.bytes == length => {}
            _ => {
                let [left] = left;
                self.streams.spawn(Arc::clone(line).send_rest(asked, left, length));
                return;
            }
        }
        if asked.send.finish().is_err() {
            return asked.fail(&line.shared, End::Withdrawn);
        }
        line.shared.answered(length);
        self.unheard.keep(asked.send);
    }
}

/// Small answers that have left and may not have arrived: while their connection goes on QUIC sees to them,
/// and before it ends they are waited for.
///
/// bounded: a client has no more streams than MAX_STREAMS whose answers it has not acknowledged, and what all
/// of them hold is MAX_STREAMS times SMALL_ANSWER.
#[derive(Default)]
struct Unheard(Vec<SendStream>);

impl Unheard {
    fn keep(&mut self, send: SendStream) {
        if self.0.len() >= MAX_STREAMS as usize {
            self.0.retain(|send| at_once(send.stopped()).is_none());
        }
        self.0.push(send);
    }

    /// Waits until the client has them all, no longer than an answer may take.
    async fn wait(&mut self, shared: &Shared) {
        let deadline = Instant::now() + shared.limits.write;
        for send in self.0.drain(..) {
            if timeout_at(deadline, send.stopped()).await.is_err() {
                shared.counters.add(&StreamCounts { unacknowledged: 1, ..StreamCounts::default() });
            }
        }
    }
}
