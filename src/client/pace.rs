//! How often a client asks: retries, the server's wait, and spreading (spec 4.5.1–4.5.3).
//!
//! Pure arithmetic on numbers and random values that are handed in. A wait is a hint of
//! an unproved sender and never silences a client for long.

use std::time::Duration;

use super::asking::{Random, draw};

/// Milliseconds to the first retry (spec 4.5.3).
const FIRST_MS: u64 = 1_000;
/// Milliseconds between retries at most: 24 h (spec 4.5.3).
const LONGEST_MS: u64 = 86_400_000;
/// Seconds by which any server may delay a client (spec 4.5.1), and over which a person's sync
/// is spread at most (spec 4.5.2).
const MINUTE_S: u64 = 60;

const _: () = assert!(FIRST_MS < LONGEST_MS && LONGEST_MS < u64::MAX / 3);

/// The time between retries: 1.5 times as long after each, each shortened by a random factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    next_ms: u64,
}

impl Backoff {
    /// The milliseconds to wait before the next retry; the one after it is longer.
    pub fn draw_ms(&mut self, random: &mut Random<'_>) -> u64 {
        let delay = self.next_ms;
        self.lengthen();
        delay / 2 + below(delay - delay / 2 + 1, random)
    }

    /// Makes the next delay 1.5 times as long, at most 24 h.
    pub fn lengthen(&mut self) {
        self.next_ms = (self.next_ms * 3 / 2).min(LONGEST_MS);
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next_ms: FIRST_MS }
    }
}

/// The seconds a server's wait may delay the next question: no more than the greater of 60 s and
/// the set's interval (spec 4.5.1).
#[must_use]
pub fn bounded_wait_s(wait_s: u16, interval_s: u32) -> u64 {
    u64::from(wait_s).min(MINUTE_S.max(u64::from(interval_s)))
}

/// The time to the next sync: the wait, bounded, and a random time of up to the interval, or of up
/// to 60 s when a person waits for it (spec 4.5.2).
pub fn next_sync(wait_s: u16, interval_s: u32, person: bool, random: &mut Random<'_>) -> Duration {
    let interval = u64::from(interval_s);
    let spread_s = if person { interval.min(MINUTE_S) } else { interval };
    let wait_ms = bounded_wait_s(wait_s, interval_s) * 1_000;
    Duration::from_millis(wait_ms + below(spread_s * 1_000 + 1, random))
}

/// A random number below `limit`, which is far below 2⁶⁴.
fn below(limit: u64, random: &mut Random<'_>) -> u64 {
    let wide = u128::from(draw(random)) * u128::from(limit);
    (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn least(bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn greatest(bytes: &mut [u8]) {
        bytes.fill(0xff);
    }

    #[test]
    fn retries_come_after_one_second_then_half_as_long_again_up_to_a_day() {
        // spec 4.5.3
        let (mut short, mut long) = (Backoff::default(), Backoff::default());
        let delays = |backoff: &mut Backoff, random: &mut Random<'_>| {
            std::array::from_fn::<u64, 4, _>(|_| backoff.draw_ms(random))
        };
        assert_eq!(delays(&mut short, &mut least), [500, 750, 1_125, 1_687]);
        assert_eq!(delays(&mut long, &mut greatest), [1_000, 1_500, 2_250, 3_375]);
        for _ in 0..64 {
            long.lengthen();
        }
        assert_eq!(long.draw_ms(&mut greatest), 86_400_000);
    }

    #[test]
    fn no_server_silences_a_client_for_longer_than_a_minute_or_the_interval() {
        // spec 4.5.1
        assert_eq!(bounded_wait_s(5, 900), 5);
        assert_eq!(bounded_wait_s(u16::MAX, 900), 900);
        assert_eq!(bounded_wait_s(u16::MAX, 1), 60);
    }

    #[test]
    fn syncs_spread_over_the_interval_and_people_wait_a_minute() {
        // spec 4.5.2
        assert_eq!(next_sync(10, 900, false, &mut least), Duration::from_secs(10));
        assert_eq!(next_sync(10, 900, false, &mut greatest), Duration::from_secs(910));
        assert_eq!(next_sync(10, 900, true, &mut greatest), Duration::from_secs(70));
        assert_eq!(next_sync(0, 15, true, &mut greatest), Duration::from_secs(15));
    }
}
