//! What a withdrawal takes back: a key, a report, a batch, what a provider or one of its keys vouched for
//! since a moment, everything after an event.
//!
//! A scope names keys and reports, or it names grants: then it covers whatever stands on one of these, be
//! it a claim on a key or a change of what a report says.

use super::registry::Grant;
use crate::wire::Key;

/// Which claims a withdrawal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every claim on one key of a set.
    Key {
        /// The set.
        set: u32,
        /// The key.
        key: Key,
    },
    /// One report, by the sequence number of its event.
    Report {
        /// That number.
        report: u64,
    },
    /// What codes of a batch authorised.
    Batch {
        /// The batch.
        batch: u32,
    },
    /// What a provider authorised.
    Provider {
        /// The provider.
        provider: u32,
        /// Only what was received at or after this time, Unix seconds; 0 takes all.
        since: u64,
    },
    /// Everything stored after an event.
    After {
        /// Its sequence number.
        seq: u64,
        /// Only what this provider authorised.
        provider: Option<u32>,
    },
    /// What one key of a provider signed for.
    Signer {
        /// The provider.
        provider: u32,
        /// Fingerprint of the key.
        signer: [u8; 8],
        /// Only what was received at or after this time, Unix seconds; 0 takes all.
        since: u64,
    },
}

/// What a claim, or a change of report type, stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warrant {
    /// Sequence number of the event that brought it.
    pub seq: u64,
    /// When that was, Unix seconds.
    pub received: u64,
    /// Who authorised it.
    pub provider: u32,
    /// The grant.
    pub grant: Grant,
}

/// What is known of one claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimFacts {
    /// The set.
    pub set: u32,
    /// The key that is claimed.
    pub key: Key,
    /// Sequence number of the report's event.
    pub report: u64,
    /// What it stands on.
    pub warrant: Warrant,
}

impl Scope {
    /// Whether this claim is meant.
    #[must_use]
    pub fn covers(&self, claim: &ClaimFacts) -> bool {
        match *self {
            Scope::Key { set, key } => claim.set == set && claim.key == key,
            Scope::Report { report } => claim.report == report,
            _ => self.covers_grant(&claim.warrant),
        }
    }

    /// Whether what stands on this is meant for that reason.
    #[must_use]
    pub fn covers_grant(&self, w: &Warrant) -> bool {
        match *self {
            Scope::Key { .. } | Scope::Report { .. } => false,
            Scope::Batch { batch } => w.grant.batch() == Some(batch),
            Scope::Provider { provider, since } => w.provider == provider && w.received >= since,
            Scope::After { seq, provider } => w.seq > seq && provider.is_none_or(|p| w.provider == p),
            Scope::Signer { provider, signer, since } => {
                w.provider == provider && w.grant.signer() == Some(signer) && w.received >= since
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_covers_what_it_names_and_nothing_else() {
        let key = Key::from_slice(&[1; 16]).expect("16 bytes");
        let other = Key::from_slice(&[2; 16]).expect("16 bytes");
        let grant = Grant::Code { batch: 7, index: 0 };
        let warrant = Warrant { seq: 12, received: 500, provider: 3, grant };
        let claim = ClaimFacts { set: 1, key, report: 10, warrant };
        let covers = |scope: Scope| {
            let by_name = matches!(scope, Scope::Key { .. } | Scope::Report { .. });
            assert_eq!(scope.covers_grant(&warrant), scope.covers(&claim) && !by_name);
            scope.covers(&claim)
        };
        assert!(covers(Scope::Key { set: 1, key }) && !covers(Scope::Key { set: 2, key }));
        assert!(!covers(Scope::Key { set: 1, key: other }));
        assert!(covers(Scope::Report { report: 10 }) && !covers(Scope::Report { report: 12 }));
        assert!(covers(Scope::Batch { batch: 7 }) && !covers(Scope::Batch { batch: 8 }));
        let since = |since| Scope::Provider { provider: 3, since };
        assert!(covers(since(500)) && covers(since(0)) && !covers(since(501)));
        assert!(!covers(Scope::Provider { provider: 4, since: 0 }));
        let after = |seq, provider| Scope::After { seq, provider };
        assert!(covers(after(11, None)) && !covers(after(12, None)), "an amendment goes by its own event");
        assert!(covers(after(11, Some(3))) && !covers(after(11, Some(4))));
    }

    #[test]
    fn a_key_of_a_provider_answers_for_what_it_signed() {
        let grant = Grant::Certificate { signer: [4; 8], identity: [5; 16], until: 900 };
        let warrant = Warrant { seq: 12, received: 500, provider: 3, grant };
        let covers = |provider, signer, since| {
            Scope::Signer { provider, signer: [signer; 8], since }.covers_grant(&warrant)
        };
        assert!(covers(3, 4, 0) && covers(3, 4, 500));
        assert!(!covers(3, 4, 501) && !covers(3, 5, 0) && !covers(4, 4, 0));
        assert!(!Scope::Batch { batch: 0 }.covers_grant(&warrant));
    }
}
