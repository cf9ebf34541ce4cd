//! Who may report, the plain way: providers, batches of codes and certificates as the journal tells of them,
//! and what a grant is worth.

use std::collections::{BTreeMap, BTreeSet};

use tekd::authority::{Code, Grant, ProviderKey, Standing, Vouched};
use tekd::engine::{CodesIssued, Event, Presented};
use tekd::wire::report::{Outcome, ReportType};

/// Seconds by which clocks may differ (spec 7.8.6).
const GRACE: u64 = 300;

#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(crate) standing: Standing,
    /// Its keys, and whether each was revoked.
    pub(crate) keys: Vec<(ProviderKey, bool)>,
    /// Reports, keys, codes issued, codes spent.
    pub(crate) counts: [u64; 4],
}

#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) issued: CodesIssued,
    pub(crate) revoked: bool,
    pub(crate) spent: BTreeSet<u32>,
}

/// What a grant allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    pub(crate) provider: u32,
    pub(crate) report_type: ReportType,
    pub(crate) onset_day: Option<u32>,
    pub(crate) grant: Grant,
}

#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) providers: BTreeMap<u32, Provider>,
    pub(crate) batches: BTreeMap<u32, Batch>,
    /// Certificates that were used: for which set, and until when they would hold.
    pub(crate) used: BTreeMap<[u8; 16], (u32, u64)>,
    /// Every code that was ever given out.
    pub(crate) codes: BTreeMap<Code, (u32, u32)>,
}

impl Desk {
    pub(super) fn take(&mut self, seq: u64, at: u64, event: &Event) {
        match event {
            Event::ProviderAdded(p) => {
                let fresh = Provider { standing: Standing::Active, keys: Vec::new(), counts: [0; 4] };
                assert!(self.providers.insert(p.provider, fresh).is_none(), "numbers are given once");
            }
            Event::ProviderKeyAdded { provider, key } => {
                self.provider(*provider).expect("a provider").keys.push((key.clone(), false));
            }
            Event::ProviderKeyRevoked(r) => {
                let keys = &mut self.provider(r.provider).expect("a provider").keys;
                let named = keys.iter_mut().filter(|(k, _)| k.fingerprint() == r.fingerprint);
                named.for_each(|(_, revoked)| *revoked = true);
            }
            Event::ProviderStood(p) => self.provider(p.provider).expect("a provider").standing = p.standing,
            Event::CodesIssued(c) => {
                self.provider(c.provider).expect("a provider").counts[2] += u64::from(c.count);
                let batch = Batch { issued: c.clone(), revoked: false, spent: BTreeSet::new() };
                assert!(self.batches.insert(c.batch, batch).is_none(), "numbers are given once");
            }
            Event::BatchRevoked { batch, .. } => {
                self.batches.get_mut(batch).expect("a batch").revoked = true;
            }
            Event::Reported(r) => {
                if let Some(provider) = self.provider(r.provider) {
                    provider.counts[0] += 1;
                    provider.counts[1] += r.keys.len() as u64;
                }
                self.spend(seq, at, r.set, &r.grant);
            }
            Event::Amended(a) => self.spend(seq, at, a.set, &a.grant),
            Event::Released(r) => self.forget(r.set, r.horizon),
            _ => {}
        }
    }

    pub(super) fn provider(&mut self, number: u32) -> Option<&mut Provider> {
        self.providers.get_mut(&number)
    }

    /// spent-with-report: what is spent here was never spent before.
    fn spend(&mut self, seq: u64, at: u64, set: u32, grant: &Grant) {
        match *grant {
            Grant::None => {}
            Grant::Code { batch, index } => {
                let batch = self.batches.get_mut(&batch).expect("a code of a batch");
                assert!(batch.spent.insert(index), "event {seq} spends a code once more");
                assert!(index < batch.issued.count && at <= batch.issued.expires);
                let provider = batch.issued.provider;
                self.provider(provider).expect("a provider").counts[3] += 1;
            }
            Grant::Certificate { identity, until, .. } => {
                assert!(self.used.insert(identity, (set, until)).is_none(), "event {seq} spends it again");
            }
        }
    }

    fn forget(&mut self, set: u32, horizon: u32) {
        let kept = |until: u64| until / 600 + 156 + 288 > u64::from(horizon);
        self.batches.retain(|_, b| b.issued.set != set || kept(b.issued.expires));
        self.used.retain(|_, (of, until)| *of != set || kept(*until));
    }

    fn stands(&self, provider: u32) -> Result<(), Outcome> {
        match self.providers.get(&provider).map(|p| p.standing) {
            Some(Standing::Active) => Ok(()),
            Some(Standing::Suspended) => Err(Outcome::Suspended),
            Some(Standing::Revoked) | None => Err(Outcome::Revoked),
        }
    }

    /// What a grant allows for a report to `set` at `now`.
    pub(super) fn look(&self, presented: &Presented, set: u32, now: u64) -> Result<Allowed, Outcome> {
        match presented {
            Presented::None => Err(Outcome::Grant),
            Presented::Faulty(outcome, _) => Err(*outcome),
            Presented::Code(code) => self.look_at_code(code, set, now),
            Presented::Vouched(v) => self.look_at_certificate(v, set, now),
        }
    }

    pub(super) fn look_at_code(&self, code: &Code, set: u32, now: u64) -> Result<Allowed, Outcome> {
        let &(number, index) = self.codes.get(code).ok_or(Outcome::Unknown)?;
        let batch = self.batches.get(&number).ok_or(Outcome::Unknown)?;
        let issued = &batch.issued;
        if issued.set != set {
            return Err(Outcome::Set);
        }
        if batch.spent.contains(&index) {
            return Err(Outcome::Spent);
        }
        if batch.revoked {
            return Err(Outcome::Revoked);
        }
        if issued.expires < now {
            return Err(Outcome::Expired);
        }
        self.stands(issued.provider)?;
        Ok(Allowed {
            provider: issued.provider,
            report_type: issued.report_type,
            onset_day: issued.onset_day,
            grant: Grant::Code { batch: number, index },
        })
    }

    fn look_at_certificate(&self, v: &Vouched, set: u32, now: u64) -> Result<Allowed, Outcome> {
        let provider = self.providers.get(&v.provider).ok_or(Outcome::Unknown)?;
        let named = provider.keys.iter().find(|(key, _)| key.fingerprint() == v.key);
        let (key, revoked) = named.ok_or(Outcome::Unknown)?;
        if self.used.contains_key(&v.identity) {
            return Err(Outcome::Spent);
        }
        if *revoked {
            return Err(Outcome::Revoked);
        }
        self.stands(v.provider)?;
        if now + GRACE < key.not_before {
            return Err(Outcome::Early);
        }
        if key.not_after + GRACE < now {
            return Err(Outcome::Expired);
        }
        if v.set.is_some_and(|bound| bound != set) {
            return Err(Outcome::Set);
        }
        if now + GRACE < v.not_before {
            return Err(Outcome::Early);
        }
        if v.not_after + GRACE < now {
            return Err(Outcome::Expired);
        }
        let grant = Grant::Certificate { signer: v.key, identity: v.identity, until: v.not_after };
        Ok(Allowed { provider: v.provider, report_type: v.report_type, onset_day: v.onset_day, grant })
    }

    /// Whether what authorised a report still does.
    pub(super) fn still_holds(&self, provider: u32, grant: &Grant) -> Result<(), Outcome> {
        self.stands(provider)?;
        let revoked = match grant {
            Grant::None => false,
            Grant::Code { batch, .. } => self.batches.get(batch).is_some_and(|b| b.revoked),
            Grant::Certificate { signer, .. } => {
                let keys = &self.providers[&provider].keys;
                keys.iter().any(|(key, revoked)| *revoked && key.fingerprint() == *signer)
            }
        };
        if revoked { Err(Outcome::Revoked) } else { Ok(()) }
    }
}
