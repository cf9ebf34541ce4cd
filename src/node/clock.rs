//! Clocks. Everything below takes a [`Moment`]; here is where moments come from.

use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::engine::Moment;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Moment;
}

/// The clocks of this machine.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts counting.
    pub fn new() -> Self {
        SystemClock { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let monotonic_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Moment { unix, monotonic_ms }
    }
}

/// A clock that moves only when told to: for the demo, tests and the simulator.
#[derive(Debug)]
pub struct SteppedClock {
    now: Mutex<Moment>,
}

impl SteppedClock {
    /// Stands at `unix` seconds.
    pub fn new(unix: u64) -> Self {
        SteppedClock { now: Mutex::new(Moment { unix, monotonic_ms: 0 }) }
    }

    /// Moves on by `seconds`.
    pub fn advance(&self, seconds: u64) {
        let mut now = self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        now.unix += seconds;
        now.monotonic_ms += seconds * 1000;
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Moment {
        *self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
