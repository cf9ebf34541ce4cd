//! What TLS and QUIC share: a connection kept for the next question, and a deadline for each.
//!
//! A connection that broke while idle is made anew once, which is sound because every question may be asked
//! twice.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::asking::{Asking, Random, Reply};
use super::carrier::CarrierError;
use crate::wire::{Expected, MAX_QUESTION_STREAM};

/// Why a question failed on one connection.
pub(super) enum Failure {
    /// The connection is gone; another one may do.
    Broken(CarrierError),
    /// Another connection would not help.
    Final(CarrierError),
}

/// When to give up, and whom it is about.
pub(super) struct Deadline {
    pub(super) peer: String,
    began: Instant,
    limit: Duration,
}

impl Deadline {
    fn new(peer: SocketAddr, limit_ms: u64) -> Self {
        Self { peer: peer.to_string(), began: Instant::now(), limit: Duration::from_millis(limit_ms) }
    }

    pub(super) fn left(&self) -> Result<Duration, Failure> {
        let left = self.limit.saturating_sub(self.began.elapsed());
        if left.is_zero() { Err(self.slow()) } else { Ok(left) }
    }

    pub(super) fn waited_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn slow(&self) -> Failure {
        Failure::Final(CarrierError::Slow { peer: self.peer.clone(), waited_ms: self.waited_ms() })
    }

    pub(super) fn ended(&self) -> Failure {
        Failure::Broken(CarrierError::Ended { peer: self.peer.clone() })
    }

    pub(super) fn not_tekd(&self, by: &'static str, reason: String) -> Failure {
        Failure::Final(CarrierError::NotTekd { peer: self.peer.clone(), by, reason })
    }
}

/// Asks `peer` on the connection that is kept, or on a new one from `connect`, and keeps it.
pub(super) fn ask_keeping<C>(
    kept: &mut Option<C>,
    peer: SocketAddr,
    asking: &Asking<'_>,
    random: &mut Random<'_>,
    connect: impl Fn(&Deadline) -> Result<C, Failure>,
    ask_on: impl Fn(&mut C, &[u8], &Expected, &Deadline) -> Result<Reply, Failure>,
) -> Result<Reply, CarrierError> {
    let deadline = Deadline::new(peer, asking.patience.stream_ms);
    let was_connected = kept.is_some();
    let mut ask_once = || {
        let mut question = [0; MAX_QUESTION_STREAM];
        let written = asking.write(0, 0, random, &mut question);
        let (length, expected) = written.map_err(|error| Failure::Final(error.into()))?;
        // A connection is put back only after a whole answer: on any other, answers could be out of step, or
        // the server may have lost patience.
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => connect(&deadline)?,
        };
        let reply = ask_on(&mut connection, &question[..length], &expected, &deadline)?;
        *kept = Some(connection);
        Ok(reply)
    };
    match ask_once() {
        Err(Failure::Broken(_)) if was_connected => ask_once(),
        asked => asked,
    }
    .map_err(|(Failure::Broken(error) | Failure::Final(error))| error)
}
