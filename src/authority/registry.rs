//! Who may report: providers, batches of codes, certificates that were used.
//!
//! The registry judges grants and remembers which were spent. It changes only by the methods named after
//! decisions, each a step of the fold over the journal.

use std::collections::BTreeMap;

use super::batch::{Batch, BatchStanding};
use super::provider::Provider;
use super::provider_key::{KeyDirectory, KeyMaterial, ProviderKey};
use super::vouched::{CLOCK_GRACE_S, Vouched};
use crate::time::interval_of;
use crate::wire::report::{Outcome, ReportType};

/// Intervals after its receipt in which a report may have had a key (spec 7.3.8): a day of validity and
/// two hours ahead.
pub const REPORT_INTERVALS: u32 = 156;
/// Intervals after a grant's last second in which a key may stand on it (spec 7.3.8): its report may be
/// amended for two days.
const GRANT_INTERVALS: u32 = REPORT_INTERVALS + 288;

/// What authorised a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// An operator's import, or a decoy.
    None,
    /// A code.
    Code {
        /// Its batch.
        batch: u32,
        /// Its place in the batch.
        index: u32,
    },
    /// A certificate or a JWT.
    Certificate {
        /// Fingerprint of the key that signed it.
        signer: [u8; 8],
        /// Which (spec 7.8.8).
        identity: [u8; 16],
        /// The last second it holds.
        until: u64,
    },
}

impl Grant {
    /// The batch, of a code.
    #[must_use]
    pub fn batch(&self) -> Option<u32> {
        match self {
            Grant::Code { batch, .. } => Some(*batch),
            Grant::None | Grant::Certificate { .. } => None,
        }
    }

    /// The fingerprint of the key that signed it, of a certificate.
    #[must_use]
    pub fn signer(&self) -> Option<[u8; 8]> {
        match self {
            Grant::Certificate { signer, .. } => Some(*signer),
            Grant::None | Grant::Code { .. } => None,
        }
    }
}

/// What a grant allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authorisation {
    /// Whose it is.
    pub provider: u32,
    /// What the report says.
    pub report_type: ReportType,
    /// Day of onset, days since 1970.
    pub onset_day: Option<u32>,
    /// What is spent by it.
    pub grant: Grant,
}

/// A certificate that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpentCertificate {
    /// The set it was used for.
    pub set: u32,
    /// The last second it would hold.
    pub until: u64,
    /// Sequence number of the event that used it.
    pub seq: u64,
}

/// All providers, batches and used certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// Providers by number.
    pub providers: BTreeMap<u32, Provider>,
    /// Batches by number.
    pub batches: BTreeMap<u32, Batch>,
    /// Used certificates by identity.
    pub certificates: BTreeMap<[u8; 16], SpentCertificate>,
    /// The highest number any batch had.
    pub last_batch: u32,
}

impl Registry {
    /// Judges a code that was found in the book.
    ///
    /// # Errors
    /// Why it does not hold (spec 7.6.3).
    pub fn judge_code(&self, batch: u32, index: u32, set: u32, now: u64) -> Result<Authorisation, Outcome> {
        let found = self.batches.get(&batch).ok_or(Outcome::Unknown)?;
        let provider = self.providers.get(&found.provider).ok_or(Outcome::Unknown)?;
        found.judge(index, set, now)?;
        provider.standing.judge()?;
        Ok(Authorisation {
            provider: found.provider,
            report_type: found.report_type,
            onset_day: found.onset_day,
            grant: Grant::Code { batch, index },
        })
    }

    /// Judges a certificate or JWT whose signature was verified.
    ///
    /// # Errors
    /// Why it does not hold (spec 7.6.3).
    pub fn judge_vouched(&self, vouched: &Vouched, set: u32, now: u64) -> Result<Authorisation, Outcome> {
        let provider = self.providers.get(&vouched.provider).ok_or(Outcome::Unknown)?;
        let key = provider.keys.iter().find(|key| key.fingerprint() == vouched.key);
        let key = key.ok_or(Outcome::Unknown)?;
        if self.certificates.contains_key(&vouched.identity) {
            return Err(Outcome::Spent);
        }
        if key.revoked.is_some() {
            return Err(Outcome::Revoked);
        }
        provider.standing.judge()?;
        if !key.holds_at(now, CLOCK_GRACE_S) {
            let early = key.not_before > now.saturating_add(CLOCK_GRACE_S);
            return Err(if early { Outcome::Early } else { Outcome::Expired });
        }
        // A JWT names no set: its issuer is bound to one.
        let bound = vouched.set.or(provider.issuer.as_ref().map(|issuer| issuer.set));
        Vouched { set: bound, ..*vouched }.judge(now, set)?;
        Ok(Authorisation {
            provider: vouched.provider,
            report_type: vouched.report_type,
            onset_day: vouched.onset_day,
            grant: Grant::Certificate {
                signer: vouched.key,
                identity: vouched.identity,
                until: vouched.not_after,
            },
        })
    }

    /// Whether what authorised an earlier report still holds: its amendments live on it (spec 7.3.4).
    ///
    /// # Errors
    /// REVOKED or SUSPENDED.
    pub fn still_holds(&self, provider: u32, grant: &Grant) -> Result<(), Outcome> {
        let provider = self.providers.get(&provider).ok_or(Outcome::Revoked)?;
        provider.standing.judge()?;
        let batch = grant.batch().and_then(|batch| self.batches.get(&batch));
        let signer = grant.signer().and_then(|id| provider.keys.iter().find(|key| key.fingerprint() == id));
        let revoked = batch.is_some_and(|batch| batch.standing == BatchStanding::Revoked)
            || signer.is_some_and(|key| key.revoked.is_some());
        if revoked { Err(Outcome::Revoked) } else { Ok(()) }
    }

    /// spent-with-report: the event that stores a report spends its grant.
    pub fn spend(&mut self, set: u32, seq: u64, provider: u32, grant: &Grant) {
        match *grant {
            Grant::None => {}
            Grant::Code { batch, index } => {
                if let Some(batch) = self.batches.get_mut(&batch) {
                    batch.spent.insert(index, seq);
                }
                if let Some(provider) = self.providers.get_mut(&provider) {
                    provider.counts.spent += 1;
                }
            }
            Grant::Certificate { identity, until, .. } => {
                self.certificates.insert(identity, SpentCertificate { set, until, seq });
            }
        }
    }

    /// A batch was issued.
    pub fn issued(&mut self, number: u32, batch: Batch) {
        if let Some(provider) = self.providers.get_mut(&batch.provider) {
            provider.counts.codes += u64::from(batch.count);
        }
        self.last_batch = self.last_batch.max(number);
        self.batches.insert(number, batch);
    }

    /// Codes of other keys than `key` cannot be told any more.
    pub fn voided(&mut self, key: &[u8; 8]) {
        for batch in self.batches.values_mut() {
            if batch.standing == BatchStanding::Active && batch.key_id != *key {
                batch.standing = BatchStanding::Voided;
            }
        }
    }

    /// Forgets what no report of `set` can need any more under `horizon` (spec 7.3.8).
    pub fn forget(&mut self, set: u32, horizon: u32) {
        let over = |until: u64| interval_of(until).saturating_add(GRANT_INTERVALS) <= horizon;
        self.batches.retain(|_, batch| batch.set != set || !over(batch.expires));
        self.certificates.retain(|_, used| used.set != set || !over(used.until));
    }
}

/// Whether a report received at `received` is past under `horizon` (spec 7.3.8).
#[must_use]
pub fn is_forgotten(received: u64, horizon: u32) -> bool {
    interval_of(received).saturating_add(REPORT_INTERVALS) <= horizon
}

/// The keys of all providers, for whoever verifies signatures.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    providers: BTreeMap<u32, Signer>,
    issuers: BTreeMap<String, u32>,
}

/// A provider that has keys.
#[derive(Debug, Clone)]
struct Signer {
    audience: Option<String>,
    keys: Vec<ProviderKey>,
}

impl Keyring {
    /// The keys of these providers.
    #[must_use]
    pub fn of(registry: &Registry) -> Self {
        let mut ring = Keyring::default();
        for (id, p) in registry.providers.iter().filter(|(_, p)| !p.keys.is_empty()) {
            ring.providers.insert(
                *id,
                Signer {
                    audience: p.issuer.as_ref().map(|issuer| issuer.audience.clone()),
                    keys: p.keys.clone(),
                },
            );
            ring.issuers.extend(p.issuer.as_ref().map(|issuer| (issuer.name.clone(), *id)));
        }
        ring
    }

    /// Whether that provider has a key.
    #[must_use]
    pub fn has(&self, provider: u32) -> bool {
        self.providers.contains_key(&provider)
    }

    /// The provider whose JWTs name this issuer.
    #[must_use]
    pub fn of_issuer(&self, issuer: &str) -> Option<u32> {
        self.issuers.get(issuer).copied()
    }
}

impl KeyDirectory for Keyring {
    fn ed25519(&self, provider: u32, id: [u8; 8]) -> Option<&ProviderKey> {
        let of_kind = |key: &&ProviderKey| matches!(key.material, KeyMaterial::Ed25519(_));
        self.providers.get(&provider)?.keys.iter().filter(of_kind).find(|key| key.fingerprint() == id)
    }

    fn es256(&self, issuer: &str, kid: &str) -> Option<(u32, &str, &ProviderKey)> {
        let number = self.of_issuer(issuer)?;
        let signer = self.providers.get(&number)?;
        let of_kind = |key: &&ProviderKey| matches!(key.material, KeyMaterial::Es256(_));
        let key = signer.keys.iter().filter(of_kind).find(|key| key.key_id == kid)?;
        Some((number, signer.audience.as_deref()?, key))
    }
}

#[cfg(test)]
mod tests {
    use super::super::provider::{Issuer, Standing};
    use super::*;

    const NOW: u64 = 1_790_337_600;
    const SET: u32 = 1;

    fn batch(provider: u32) -> Batch {
        Batch {
            provider,
            set: SET,
            report_type: ReportType::Confirmed,
            onset_day: None,
            nonce: [1; 16],
            key_id: [2; 8],
            count: 10,
            issued: NOW,
            expires: NOW + 3600,
            standing: BatchStanding::Active,
            spent: BTreeMap::new(),
        }
    }

    /// Provider 1 with batch 7 and a key that vouches.
    fn registry() -> (Registry, Vouched) {
        let mut registry = Registry::default();
        let mut provider = Provider::new("one".to_owned(), NOW);
        let material = KeyMaterial::Ed25519([9; 32]);
        provider.keys.push(ProviderKey::named_by_fingerprint(material, NOW - 10_000, NOW + 10_000));
        let vouched = Vouched {
            provider: 1,
            key: material.fingerprint(),
            set: Some(SET),
            report_type: ReportType::Likely,
            onset_day: Some(20_000),
            not_before: NOW,
            not_after: NOW + 3600,
            identity: [5; 16],
        };
        registry.providers.insert(1, provider);
        registry.issued(7, batch(1));
        (registry, vouched)
    }

    #[test]
    fn each_fault_of_a_code_is_its_own() {
        let (mut registry, _) = registry();
        let judge = |r: &Registry, batch, set, now| r.judge_code(batch, 3, set, now).map(|a| a.grant);
        let grant = Grant::Code { batch: 7, index: 3 };
        assert_eq!(judge(&registry, 7, SET, NOW), Ok(grant));
        assert_eq!(judge(&registry, 8, SET, NOW), Err(Outcome::Unknown));
        assert_eq!(judge(&registry, 7, 2, NOW), Err(Outcome::Set));
        assert_eq!(judge(&registry, 7, SET, NOW + 3600), Ok(grant), "to the last second");
        assert_eq!(judge(&registry, 7, SET, NOW + 3601), Err(Outcome::Expired));
        registry.providers.get_mut(&1).unwrap().standing = Standing::Suspended;
        assert_eq!(judge(&registry, 7, SET, NOW), Err(Outcome::Suspended));
        registry.providers.get_mut(&1).unwrap().standing = Standing::Revoked;
        assert_eq!(judge(&registry, 7, SET, NOW), Err(Outcome::Revoked));
        registry.providers.get_mut(&1).unwrap().standing = Standing::Active;
        registry.batches.get_mut(&7).unwrap().standing = BatchStanding::Revoked;
        assert_eq!(judge(&registry, 7, SET, NOW), Err(Outcome::Revoked));
        assert_eq!(registry.still_holds(1, &grant), Err(Outcome::Revoked));
        registry.batches.get_mut(&7).unwrap().standing = BatchStanding::Active;
        registry.spend(SET, 11, 1, &grant);
        assert_eq!(judge(&registry, 7, SET, NOW), Err(Outcome::Spent));
        assert_eq!(registry.batches[&7].spent[&3], 11);
        assert_eq!((registry.batches[&7].unspent(), registry.providers[&1].counts.spent), (9, 1));
    }

    #[test]
    fn each_fault_of_a_certificate_is_its_own() {
        let (mut registry, vouched) = registry();
        let judge = |r: &Registry, v: &Vouched, now| r.judge_vouched(v, SET, now).map(|a| a.report_type);
        assert_eq!(judge(&registry, &vouched, NOW), Ok(ReportType::Likely));
        let other = |change: fn(&mut Vouched)| {
            let mut vouched = vouched;
            change(&mut vouched);
            vouched
        };
        assert_eq!(judge(&registry, &other(|v| v.provider = 2), NOW), Err(Outcome::Unknown));
        assert_eq!(judge(&registry, &other(|v| v.key = [0; 8]), NOW), Err(Outcome::Unknown));
        assert_eq!(judge(&registry, &other(|v| v.set = Some(2)), NOW), Err(Outcome::Set));
        let bound = |set| Some(Issuer { name: "i".to_owned(), audience: "a".to_owned(), set });
        registry.providers.get_mut(&1).unwrap().issuer = bound(2);
        assert_eq!(judge(&registry, &other(|v| v.set = None), NOW), Err(Outcome::Set));
        registry.providers.get_mut(&1).unwrap().issuer = bound(SET);
        assert_eq!(judge(&registry, &other(|v| v.set = None), NOW), Ok(ReportType::Likely));
        assert_eq!(judge(&registry, &vouched, NOW - 301), Err(Outcome::Early));
        assert_eq!(judge(&registry, &vouched, NOW + 3901), Err(Outcome::Expired));
        let grant = registry.judge_vouched(&vouched, SET, NOW).unwrap().grant;
        assert_eq!((grant.signer(), grant.batch()), (Some(vouched.key), None));
        registry.spend(SET, 4, 1, &grant);
        assert_eq!(judge(&registry, &vouched, NOW), Err(Outcome::Spent));
        assert_eq!(registry.still_holds(1, &grant), Ok(()));
        let unused = other(|v| v.identity = [6; 16]);
        registry.providers.get_mut(&1).unwrap().keys[0].revoked = Some(NOW);
        assert_eq!(judge(&registry, &unused, NOW), Err(Outcome::Revoked));
        assert_eq!(registry.still_holds(1, &grant), Err(Outcome::Revoked));
    }

    #[test]
    fn what_no_report_can_need_is_forgotten_set_by_set() {
        let (mut registry, _) = registry();
        let grant = Grant::Certificate { signer: [9; 8], identity: [5; 16], until: NOW + 3600 };
        registry.spend(SET, 4, 1, &grant);
        let last = interval_of(NOW + 3600) + GRANT_INTERVALS;
        registry.forget(SET, last - 1);
        registry.forget(2, u32::MAX);
        assert_eq!((registry.batches.len(), registry.certificates.len()), (1, 1));
        registry.forget(SET, last);
        assert!(registry.batches.is_empty() && registry.certificates.is_empty());
        assert_eq!(registry.last_batch, 7, "a number never comes twice");
    }

    #[test]
    fn only_codes_of_another_key_are_voided() {
        let (mut registry, _) = registry();
        registry.issued(8, Batch { key_id: [3; 8], ..batch(1) });
        registry.voided(&[3; 8]);
        assert_eq!(registry.batches[&7].standing, BatchStanding::Voided);
        assert_eq!(registry.judge_code(7, 1, SET, NOW), Err(Outcome::Unknown));
        assert_eq!(registry.batches[&8].standing, BatchStanding::Active);
        assert_eq!((registry.batches[&7].outstanding(NOW), registry.batches[&8].outstanding(NOW)), (0, 10));
    }
}
