//! What a certificate or a JWT says once it is verified: who vouches, for what, from when, until when.
//!
//! Verifying needs only bytes and keys. What depends on the moment is judged apart, so that a repetition or a
//! dry run can judge again without the signature: time and set here, the provider and its key by who keeps
//! the state of providers.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::provider_key::FINGERPRINT_LEN;
use crate::wire::report::{Outcome, ReportType};

/// Seconds by which the clocks of provider and origin may differ (spec 7.8.6).
pub const CLOCK_GRACE_S: u64 = 300;
/// Longest life of a certificate or JWT, in seconds (spec 7.8.5, 7.8.7).
pub const MAX_GRANT_LIFE_S: u64 = 14 * 86_400;
/// Bytes of a grant's identity (spec 7.8.8).
pub const GRANT_IDENTITY_LEN: usize = 16;

const IDENTITY_CONTEXT: &[u8] = b"tekd/1 grant\0";

const _: () = assert!(CLOCK_GRACE_S < MAX_GRANT_LIFE_S);

/// A verified certificate or JWT over the keys it was verified with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Vouched {
    /// The provider that signed.
    pub provider: u32,
    /// Fingerprint of the provider's key.
    pub key: [u8; FINGERPRINT_LEN],
    /// The set it is bound to; a JWT names none, its provider is bound instead.
    pub set: Option<u32>,
    /// What it says of the person.
    pub report_type: ReportType,
    /// Day on which symptoms began, in days since 1970-01-01.
    pub onset_day: Option<u32>,
    /// First second (Unix time) it is valid.
    pub not_before: u64,
    /// Last second it is valid.
    pub not_after: u64,
    /// What it is spent by (spec 7.8.8): the same for the same signed bytes, whatever the signature.
    pub identity: [u8; GRANT_IDENTITY_LEN],
}

impl fmt::Debug for Vouched {
    // no-trace: its identity is that of one report.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vouched")
            .field("provider", &self.provider)
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}

impl Vouched {
    /// Judges set and time at `now` (Unix seconds), with 300 seconds for the provider's clock. The provider
    /// and its key are not judged here.
    ///
    /// # Errors
    /// [`Outcome::Set`], [`Outcome::Early`] or [`Outcome::Expired`].
    pub fn judge(&self, now: u64, set: u32) -> Result<(), Outcome> {
        if self.set.is_some_and(|bound| bound != set) {
            return Err(Outcome::Set);
        }
        if self.not_before > now.saturating_add(CLOCK_GRACE_S) {
            return Err(Outcome::Early);
        }
        if now > self.not_after.saturating_add(CLOCK_GRACE_S) {
            return Err(Outcome::Expired);
        }
        Ok(())
    }
}

/// Whether a grant may live from one second to another.
pub(super) fn is_life(not_before: u64, not_after: u64) -> bool {
    not_after.checked_sub(not_before).is_some_and(|life| life <= MAX_GRANT_LIFE_S)
}

/// The identity of a grant over the signed bytes, in parts (spec 7.8.8).
pub(super) fn identity(grant_type: u16, signed: &[&[u8]]) -> [u8; GRANT_IDENTITY_LEN] {
    let mut hash = Sha256::new_with_prefix(IDENTITY_CONTEXT);
    hash.update(grant_type.to_le_bytes());
    signed.iter().for_each(|part| hash.update(part));
    hash.finalize()[..GRANT_IDENTITY_LEN].try_into().expect("16 of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vouched(set: Option<u32>) -> Vouched {
        let (not_before, not_after) = (10_000, 20_000);
        let (report_type, onset_day) = (ReportType::Confirmed, None);
        Vouched {
            provider: 1,
            key: [0; 8],
            set,
            report_type,
            onset_day,
            not_before,
            not_after,
            identity: [0; 16],
        }
    }

    #[test]
    fn clocks_may_differ_by_300_seconds_and_no_more() {
        let at = |now| vouched(None).judge(now, 7);
        assert_eq!(at(9_699), Err(Outcome::Early));
        assert_eq!([at(9_700), at(10_000), at(20_000), at(20_300)], [Ok(()); 4]);
        assert_eq!(at(20_301), Err(Outcome::Expired));
        let endless = Vouched { not_after: u64::MAX, ..vouched(None) };
        assert_eq!(endless.judge(u64::MAX, 7), Ok(()));
    }

    #[test]
    fn a_set_binds_where_one_is_named() {
        assert_eq!(vouched(Some(7)).judge(15_000, 7), Ok(()));
        assert_eq!(vouched(Some(7)).judge(15_000, 8), Err(Outcome::Set));
        assert_eq!(vouched(None).judge(15_000, 8), Ok(()));
    }

    #[test]
    fn a_life_has_an_end_after_its_beginning_and_at_most_14_days_later() {
        assert!(is_life(5, 5) && is_life(5, 5 + MAX_GRANT_LIFE_S));
        assert!(!is_life(5, 4) && !is_life(5, 6 + MAX_GRANT_LIFE_S) && !is_life(0, u64::MAX));
    }
}
