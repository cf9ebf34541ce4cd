//! Carriers without a network: a function from a question's bytes to answers' bytes.
//!
//! For tests, simulation and the demo. The datagram carrier runs the real exchange on a
//! clock that jumps: a function that gives nothing loses the datagram, one that gives two
//! doubles it.

use std::collections::VecDeque;
use std::io;

use super::asking::{Asking, Random, Reply};
use super::carrier::{Acquaintance, Carrier, CarrierError, Datagrams, exchange_over};
use crate::wire::{AnswerError, MAX_QUESTION_STREAM};

/// The name of the other side in messages.
const PEER: &str = "memory";

/// Serves datagrams: from a question to what arrives in answer, in order, also nothing.
#[derive(Debug)]
pub struct MemoryDatagrams<F> {
    path: Path<F>,
    known: Acquaintance,
}

#[derive(Debug)]
struct Path<F> {
    serve: F,
    arriving: VecDeque<Vec<u8>>,
    now_ms: u64,
}

impl<F: FnMut(&[u8]) -> Vec<Vec<u8>>> MemoryDatagrams<F> {
    /// A carrier whose server is `serve`.
    pub fn new(serve: F) -> Self {
        let path = Path { serve, arriving: VecDeque::new(), now_ms: 0 };
        Self { path, known: Acquaintance::default() }
    }

    /// Milliseconds that passed on the carrier's clock, all of them waiting.
    pub fn waited_ms(&self) -> u64 {
        self.path.now_ms
    }
}

impl<F: FnMut(&[u8]) -> Vec<Vec<u8>>> Datagrams for Path<F> {
    fn now_ms(&mut self) -> u64 {
        self.now_ms
    }

    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.arriving.extend((self.serve)(datagram));
        Ok(())
    }

    fn receive(&mut self, until_ms: u64, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(datagram) = self.arriving.pop_front() else {
            self.now_ms = self.now_ms.max(until_ms);
            return Ok(None);
        };
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Ok(Some(length))
    }
}

impl<F: FnMut(&[u8]) -> Vec<Vec<u8>>> Carrier for MemoryDatagrams<F> {
    fn is_stream(&self) -> bool {
        false
    }

    fn ask(&mut self, asking: &Asking<'_>, random: &mut Random<'_>) -> Result<Reply, CarrierError> {
        exchange_over(&mut self.path, PEER, &mut self.known, asking, random)
    }

    fn verified(&mut self, held: bool) {
        self.known.verified(held);
    }
}

/// Serves a stream: from a question to its answer, or nothing where the connection ends.
#[derive(Debug)]
pub struct MemoryStream<F> {
    serve: F,
}

impl<F: FnMut(&[u8]) -> Option<Vec<u8>>> MemoryStream<F> {
    /// A carrier whose server is `serve`.
    pub fn new(serve: F) -> Self {
        Self { serve }
    }
}

impl<F: FnMut(&[u8]) -> Option<Vec<u8>>> Carrier for MemoryStream<F> {
    fn is_stream(&self) -> bool {
        true
    }

    fn ask(&mut self, asking: &Asking<'_>, random: &mut Random<'_>) -> Result<Reply, CarrierError> {
        let mut question = [0; MAX_QUESTION_STREAM];
        let (length, expected) = asking.write(0, 0, random, &mut question)?;
        let answer =
            (self.serve)(&question[..length]).ok_or(CarrierError::Ended { peer: PEER.to_owned() })?;
        Reply::read(&answer, &expected, true).map_err(|error: AnswerError| error.into())
    }
}
