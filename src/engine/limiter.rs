//! The limiter: how much a prefix may be sent before it has proved that it asked.
//!
//! A plain one for now, behind the interface that a better algorithm fills: a fixed table of buckets, one per
//! keyed hash of the prefix, each a rate over time (GCRA) in one atomic word. Two prefixes that share a
//! bucket share its rate; the table never grows, and nothing in it can be traced to an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use siphasher::sip::SipHasher13;

/// Buckets of the table.
pub(crate) const BUCKETS: usize = 1 << 16;
/// How many times the rate of an unproved source a proved one has.
pub(crate) const PROVED_FACTOR: u64 = 10;
/// Milliseconds of rate that may be spent at once.
pub(crate) const BURST_MS: u64 = 2500;
/// Every how many refused questions are answered by a cookie.
pub(crate) const SLIP: u64 = 2;

const _: () = assert!(BUCKETS.is_power_of_two());

/// What to do with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Answer it.
    Pass,
    /// Answer with a cookie of 64 bytes.
    Slip,
    /// Stay silent.
    Drop,
}

/// Limits bytes per prefix.
pub struct Limiter {
    hasher: SipHasher13,
    /// Bytes per second of an unproved prefix.
    rate: u64,
    /// Per bucket: the microsecond until which its rate is spent.
    spent_until: Box<[AtomicU64]>,
    refused: AtomicU64,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl Limiter {
    /// A limiter of `rate` bytes per second (at least 64) per unproved prefix, hashed under a random key.
    pub fn new(rate: u64, key: [u8; 16]) -> Self {
        let spent_until = (0..2 * BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Limiter {
            hasher: SipHasher13::new_with_key(&key),
            rate: rate.max(64),
            spent_until,
            refused: AtomicU64::new(0),
        }
    }

    /// Charges `bytes` to the prefix of `ip`, in its canonical form, at `now_ms` of a monotonic clock. This
    /// machine's own address (127.0.0.1, ::1) is never limited: no outside source can claim it.
    pub fn admit(&self, ip: IpAddr, proved: bool, bytes: u64, now_ms: u64) -> Admission {
        if is_this_machine(ip) {
            return Admission::Pass;
        }
        let rate = if proved { self.rate * PROVED_FACTOR } else { self.rate };
        let cost_us = bytes.max(64) * 1_000_000 / rate;
        let now_us = now_ms * 1000;
        let bucket = &self.spent_until[self.bucket(ip, proved)];
        let mut spent = bucket.load(Ordering::Relaxed);
        loop {
            let after = spent.max(now_us) + cost_us;
            if after > now_us + BURST_MS * 1000 {
                // What is refused is not charged: a prefix always gets exactly its rate.
                let n = self.refused.fetch_add(1, Ordering::Relaxed);
                return if n.is_multiple_of(SLIP) { Admission::Slip } else { Admission::Drop };
            }
            match bucket.compare_exchange_weak(spent, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Admission::Pass,
                Err(other) => spent = other,
            }
        }
    }

    fn bucket(&self, ip: IpAddr, proved: bool) -> usize {
        let hash = match ip {
            IpAddr::V4(v4) => self.hasher.hash(&v4.octets()),
            IpAddr::V6(v6) => self.hasher.hash(&v6.octets()[..8]),
        };
        let hash = usize::try_from(hash & (BUCKETS as u64 - 1)).expect("masked to 16 bits");
        if proved { BUCKETS + hash } else { hash }
    }
}

fn is_this_machine(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4 == Ipv4Addr::LOCALHOST,
        IpAddr::V6(v6) => v6 == Ipv6Addr::LOCALHOST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_gets_its_burst_and_then_its_rate() {
        let limiter = Limiter::new(64_000, [1; 16]);
        let ip = "198.51.100.1".parse().unwrap();
        let passed_at =
            |ms: u64| (0..10_000).filter(|_| limiter.admit(ip, false, 64, ms) == Admission::Pass).count();
        assert_eq!(passed_at(1_000), 2500, "2.5 s of 64,000 bytes per second in questions of 64 bytes");
        assert_eq!(passed_at(2_000), 1000, "one second later one second's worth");
        assert_eq!(passed_at(2_000), 0);
    }

    #[test]
    fn every_second_refusal_is_a_slip() {
        let limiter = Limiter::new(64, [1; 16]);
        let ip = "2001:db8::1".parse().unwrap();
        while limiter.admit(ip, false, 64, 0) == Admission::Pass {}
        let slips = (0..1000).filter(|_| limiter.admit(ip, false, 64, 0) == Admission::Slip).count();
        assert_eq!(slips, 500);
    }

    #[test]
    fn proof_gives_a_tenfold_budget_of_its_own() {
        let limiter = Limiter::new(64_000, [1; 16]);
        let ip = "198.51.100.1".parse().unwrap();
        while limiter.admit(ip, false, 64, 0) == Admission::Pass {}
        let passed = (0..100_000).filter(|_| limiter.admit(ip, true, 64, 0) == Admission::Pass).count();
        assert_eq!(passed, 25_000);
    }
}
