//! One question and its answer over datagrams that get lost, doubled, or forged.
//!
//! A state machine without I/O: [`Exchange::poll`] says what to send or until when to
//! listen, [`Exchange::received`] takes what arrived. Time and randomness are handed in.
//! It retries (spec 4.5.3) under fresh transaction ids (4.5.4), comes again with a cookie
//! when told so (1.3.5, 1.6), and pads a first question so that its answer may be as long
//! (1.3.4). It does not judge what an answer proves.

use super::asking::{Asking, MAX_DATAGRAMS, Random, Reply};
use super::pace::Backoff;
use crate::wire::{AnswerError, BuildError, Expected, MAX_DATAGRAM, ResultCode};

/// How often a server may send a client back for a cookie before that counts as its answer.
const MAX_COOKIE_ROUNDS: u8 = 3;
/// Answers that break the rules before the server is given up: one may be damaged on the way.
const MAX_FAULTS: u8 = 3;

/// Why an exchange ended without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// Nothing came, or nothing that answers the question.
    #[error("no answer to {datagrams} datagrams in {waited_ms} ms")]
    Silent {
        /// Datagrams that were sent.
        datagrams: u32,
        /// Milliseconds since the first.
        waited_ms: u64,
    },
    /// Answers came, and they break the rules of the wire.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The question cannot be written.
    #[error(transparent)]
    Question(#[from] BuildError),
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send the first so many bytes of the buffer.
    Send(usize),
    /// Listen until this time in milliseconds, then poll again.
    WaitUntil(u64),
}

/// What a datagram was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Not an answer to an open question (spec 4.5.4); poll goes on as before.
    Ignored,
    /// The server wants the question again, with its cookie: poll at once.
    AskAgain,
    /// The answer, or a refusal.
    Answer(Reply),
}

/// One question on its way.
#[derive(Debug)]
pub struct Exchange<'a> {
    asking: &'a Asking<'a>,
    cookie: u64,
    backoff: Backoff,
    open: Vec<Open>,
    sent: u32,
    began_ms: u64,
    send_at_ms: u64,
    cookie_rounds: u8,
    faults: u8,
}

/// A datagram whose answer may still come.
#[derive(Debug)]
struct Open {
    expected: Expected,
    cookie: u64,
}

impl<'a> Exchange<'a> {
    /// An exchange that begins at `now_ms`.
    ///
    /// `cookie`: the last that this server gave to this address, or 0. `backoff`: how long the first
    /// retry waits.
    #[must_use]
    pub fn new(asking: &'a Asking<'a>, cookie: u64, backoff: Backoff, now_ms: u64) -> Self {
        Self {
            asking,
            cookie,
            backoff,
            open: Vec::new(),
            sent: 0,
            began_ms: now_ms,
            send_at_ms: now_ms,
            cookie_rounds: 0,
            faults: 0,
        }
    }

    /// What to do at `now_ms`. `out` takes the datagram to send; 1232 bytes always suffice.
    ///
    /// # Errors
    /// [`ExchangeError::Silent`] once patience ends, [`ExchangeError::Question`].
    pub fn poll(
        &mut self,
        now_ms: u64,
        random: &mut Random<'_>,
        out: &mut [u8],
    ) -> Result<Next, ExchangeError> {
        let give_up_ms = self.began_ms.saturating_add(self.asking.patience.datagrams_ms);
        if now_ms < self.send_at_ms && now_ms < give_up_ms {
            return Ok(Next::WaitUntil(self.send_at_ms.min(give_up_ms)));
        }
        // bounded: open questions are never more than MAX_DATAGRAMS.
        let most = self.asking.patience.datagrams.clamp(1, MAX_DATAGRAMS) as usize;
        if now_ms >= give_up_ms || self.open.len() >= most {
            let waited_ms = now_ms.saturating_sub(self.began_ms);
            return Err(ExchangeError::Silent { datagrams: self.sent, waited_ms });
        }
        self.send(now_ms, random, out)
    }

    fn send(&mut self, now_ms: u64, random: &mut Random<'_>, out: &mut [u8]) -> Result<Next, ExchangeError> {
        let unproved = self.cookie == 0 && self.asking.ask.outgrows_its_question();
        let pad_to = if unproved { MAX_DATAGRAM } else { 0 };
        let (length, expected) = self.asking.write(self.cookie, pad_to, random, out)?;
        self.open.push(Open { expected, cookie: self.cookie });
        self.sent += 1;
        self.send_at_ms = now_ms.saturating_add(self.backoff.draw_ms(random));
        Ok(Next::Send(length))
    }

    /// Takes a datagram that came from the server's address.
    ///
    /// # Errors
    /// [`ExchangeError::Answer`] after a few answers that break the rules of the wire.
    pub fn received(&mut self, datagram: &[u8]) -> Result<Received, ExchangeError> {
        for index in 0..self.open.len() {
            match Reply::read(datagram, &self.open[index].expected, false) {
                Ok(reply) => return Ok(self.answered(index, reply)),
                Err(error) if error.is_foreign() => {}
                Err(error) => {
                    self.faults += 1;
                    return if self.faults < MAX_FAULTS { Ok(Received::Ignored) } else { Err(error.into()) };
                }
            }
        }
        Ok(Received::Ignored)
    }

    fn answered(&mut self, index: usize, reply: Reply) -> Received {
        let asked = self.open.swap_remove(index);
        let fresh = reply.view().header.cookie.get();
        if fresh != 0 {
            self.cookie = fresh;
        }
        let helps = fresh != 0 && fresh != asked.cookie && self.cookie_rounds < MAX_COOKIE_ROUNDS;
        match reply.refused() {
            Some(refused) if helps && wants_cookie(refused.result, refused.info) => {
                self.cookie_rounds += 1;
                self.send_at_ms = self.began_ms;
                Received::AskAgain
            }
            _ => Received::Answer(reply),
        }
    }

    /// The newest cookie of the server, or 0: for its next question.
    #[must_use]
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// How long the next retry would wait: where the next exchange goes on if this one fails.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        self.backoff
    }
}

/// Whether the question is to come again with a cookie (spec 1.3.5, 1.4). An answer that no datagram
/// could hold is not.
fn wants_cookie(result: ResultCode, info: u32) -> bool {
    match result {
        ResultCode::Cookie => true,
        ResultCode::Truncated => info as usize <= MAX_DATAGRAM,
        _ => false,
    }
}
