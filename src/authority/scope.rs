//! What a withdrawal takes back: a key, a report, a batch, a provider since a moment, everything after an
//! event.

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
    /// All reports that codes of a batch authorised.
    Batch {
        /// The batch.
        batch: u32,
    },
    /// All reports of a provider.
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
    /// Sequence number of the event that brought this claim: the report's or an amendment's.
    pub seq: u64,
    /// When that was, Unix seconds.
    pub received: u64,
    /// Who authorised the report.
    pub provider: u32,
    /// The batch of its code, if it had one.
    pub batch: Option<u32>,
}

impl Scope {
    /// Whether this claim is meant.
    #[must_use]
    pub fn covers(&self, claim: &ClaimFacts) -> bool {
        match *self {
            Scope::Key { set, key } => claim.set == set && claim.key == key,
            Scope::Report { report } => claim.report == report,
            Scope::Batch { batch } => claim.batch == Some(batch),
            Scope::Provider { provider, since } => claim.provider == provider && claim.received >= since,
            Scope::After { seq, provider } => {
                claim.seq > seq && provider.is_none_or(|provider| claim.provider == provider)
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
        let claim =
            ClaimFacts { set: 1, key, report: 10, seq: 12, received: 500, provider: 3, batch: Some(7) };
        let covers = |scope: Scope| scope.covers(&claim);
        assert!(covers(Scope::Key { set: 1, key }) && !covers(Scope::Key { set: 2, key }));
        assert!(!covers(Scope::Key { set: 1, key: other }));
        assert!(covers(Scope::Report { report: 10 }) && !covers(Scope::Report { report: 12 }));
        assert!(covers(Scope::Batch { batch: 7 }) && !covers(Scope::Batch { batch: 8 }));
        assert!(!Scope::Batch { batch: 7 }.covers(&ClaimFacts { batch: None, ..claim }));
        let since = |since| Scope::Provider { provider: 3, since };
        assert!(covers(since(500)) && covers(since(0)) && !covers(since(501)));
        assert!(!covers(Scope::Provider { provider: 4, since: 0 }));
        let after = |seq, provider| Scope::After { seq, provider };
        assert!(covers(after(11, None)) && !covers(after(12, None)), "an amendment goes by its own event");
        assert!(covers(after(11, Some(3))) && !covers(after(11, Some(4))));
    }
}
