//! Providers, their keys and their codes.

use super::super::event::{CodesIssued, Event, ProviderAdded, ProviderKeyRevoked, ProviderStood};
use super::super::input::{CodeOrder, IssuedCodes, Reply, WithdrawCount};
use super::super::refusal::Refusal;
use super::super::set::ClaimCount;
use super::{MAX_PROVIDERS, Writer, check_text};
use crate::authority::{
    BatchStanding, Issuer, MAX_BATCH_CODES, MAX_LIVE_CODES, MAX_PROVIDER_KEYS, NotEntered, Provider,
    ProviderKey, Scope, Standing,
};

/// How long codes may hold, in seconds: a minute to ninety days.
const CODE_LIFE_S: std::ops::RangeInclusive<u64> = 60..=90 * 86_400;

impl Writer {
    pub(super) fn add_provider(
        &mut self,
        now: u64,
        name: String,
        issuer: Option<Issuer>,
        key: Option<ProviderKey>,
    ) -> Result<Reply, Refusal> {
        check_text("the provider's name", &name)?;
        if let Some((provider, _)) = self.state.providers().find(|(_, p)| p.name == name) {
            return Err(Refusal::ProviderExists { provider, name });
        }
        if let Some(issuer) = &issuer {
            check_text("the issuer", &issuer.name)?;
            check_text("the audience", &issuer.audience)?;
            self.state.set(issuer.set).ok_or(Refusal::NoSet { set: issuer.set })?;
            let same = |p: &Provider| p.issuer.as_ref().is_some_and(|known| known.name == issuer.name);
            if let Some((provider, _)) = self.state.providers().find(|(_, p)| same(p)) {
                return Err(Refusal::IssuerExists { provider, issuer: issuer.name.clone() });
            }
        }
        if self.state.registry.providers.len() >= MAX_PROVIDERS {
            return Err(Refusal::TooMany { what: "providers", limit: MAX_PROVIDERS });
        }
        if let Some(key) = &key {
            check_text("the key's id", &key.key_id)?;
        }
        let provider = self.state.registry.providers.keys().next_back().copied().unwrap_or(0) + 1;
        self.record(now, &Event::ProviderAdded(ProviderAdded { provider, name: name.clone(), issuer }));
        if let Some(key) = key {
            self.record(now, &Event::ProviderKeyAdded { provider, key });
        }
        Ok(Reply::Provider { provider, name })
    }

    fn provider(&self, provider: u32) -> Result<&Provider, Refusal> {
        self.state.registry.providers.get(&provider).ok_or(Refusal::NoProvider { provider })
    }

    pub(super) fn add_provider_key(
        &mut self,
        now: u64,
        provider: u32,
        key: ProviderKey,
    ) -> Result<Reply, Refusal> {
        check_text("the key's id", &key.key_id)?;
        let known = self.provider(provider)?;
        if known.keys.len() >= MAX_PROVIDER_KEYS {
            return Err(Refusal::TooMany { what: "keys of this provider", limit: MAX_PROVIDER_KEYS });
        }
        let same = |k: &ProviderKey| k.fingerprint() == key.fingerprint() || k.key_id == key.key_id;
        if known.keys.iter().any(same) {
            return Err(Refusal::KeyExists { provider, key_id: key.key_id });
        }
        let name = known.name.clone();
        self.record(now, &Event::ProviderKeyAdded { provider, key });
        Ok(Reply::Provider { provider, name })
    }

    pub(super) fn revoke_provider_key(
        &mut self,
        now: u64,
        revoked: ProviderKeyRevoked,
        dry_run: bool,
    ) -> Result<Reply, Refusal> {
        check_text("the reason", &revoked.reason)?;
        let (provider, signer) = (revoked.provider, revoked.fingerprint);
        let key = self.provider(provider)?.keys.iter().find(|key| key.fingerprint() == signer);
        let since = revoked.since.map(|since| Scope::Signer { provider, signer, since });
        let claims = since.map_or(ClaimCount::default(), |scope| self.state.would_take_back(&scope));
        if key.is_none_or(|key| key.revoked.is_some() && claims.is_empty()) {
            return Err(Refusal::NoProviderKey { provider, fingerprint: hex::encode(signer) });
        }
        let seq = (!dry_run).then(|| self.record(now, &Event::ProviderKeyRevoked(revoked)));
        Ok(Reply::Withdrawn(WithdrawCount { claims, seq }))
    }

    pub(super) fn set_standing(
        &mut self,
        now: u64,
        stood: ProviderStood,
        dry_run: bool,
    ) -> Result<Reply, Refusal> {
        check_text("the reason", &stood.reason)?;
        let provider = stood.provider;
        let was = self.provider(provider)?.standing;
        let stands = Refusal::StandsAlready { provider, standing: was.name() };
        let over = was == Standing::Revoked && stood.standing == Standing::Suspended;
        let since = stood.since.map(|since| Scope::Provider { provider, since });
        let claims = since.map_or(ClaimCount::default(), |scope| self.state.would_take_back(&scope));
        if (was == stood.standing && claims.is_empty()) || over {
            return Err(stands);
        }
        let seq = (!dry_run).then(|| self.record(now, &Event::ProviderStood(stood)));
        Ok(Reply::Withdrawn(WithdrawCount { claims, seq }))
    }

    pub(super) fn issue_codes(&mut self, now: u64, order: &CodeOrder) -> Result<Reply, Refusal> {
        let CodeOrder { provider, set, count, report_type, onset_day, lifetime_s } = *order;
        let standing = self.provider(provider)?.standing;
        if standing != Standing::Active {
            return Err(Refusal::NotActive { provider, standing: standing.name() });
        }
        if self.state.set(set).is_none() {
            return Err(Refusal::NoSet { set });
        }
        within("the number of codes", count.into(), 1, MAX_BATCH_CODES.into())?;
        within("the life of the codes (s)", lifetime_s, *CODE_LIFE_S.start(), *CODE_LIFE_S.end())?;
        self.codes.tidy(&self.state.registry);
        let key_id = self.codes.key_id().ok_or(Refusal::NoCodesKey)?;
        let batch = self.state.registry.last_batch + 1;
        let full = |_: NotEntered| Refusal::TooMany {
            what: "codes that are alive or remembered",
            limit: MAX_LIVE_CODES as usize,
        };
        let nonce = self.codes.draw(batch, count, &mut *self.random).map_err(full)?;
        let expires = now.saturating_add(lifetime_s);
        let issued =
            CodesIssued { batch, provider, set, report_type, onset_day, nonce, key_id, count, expires };
        self.record(now, &Event::CodesIssued(issued));
        let codes = self.codes.unspent(&self.state.registry, batch).unwrap_or_default();
        Ok(Reply::Codes(IssuedCodes { batch, provider, expires, codes }))
    }

    pub(super) fn revoke_batch(
        &mut self,
        now: u64,
        batch: u32,
        retroactive: bool,
        reason: String,
        dry_run: bool,
    ) -> Result<Reply, Refusal> {
        check_text("the reason", &reason)?;
        let known = self.state.registry.batches.get(&batch).ok_or(Refusal::NoBatch { batch })?;
        let scope = Scope::Batch { batch };
        let claims = if retroactive { self.state.would_take_back(&scope) } else { ClaimCount::default() };
        if known.standing == BatchStanding::Revoked && claims.is_empty() {
            return Err(Refusal::BatchStands { batch, standing: known.standing.name() });
        }
        let event = Event::BatchRevoked { batch, retroactive, reason };
        let seq = (!dry_run).then(|| self.record(now, &event));
        Ok(Reply::Withdrawn(WithdrawCount { claims, seq }))
    }

    /// Codes of a lost key are given up, so that nobody waits for what cannot come.
    pub(super) fn void_codes(&mut self, now: u64) -> Result<Reply, Refusal> {
        let key_id = self.codes.key_id().ok_or(Refusal::NoCodesKey)?;
        let lost = self.state.registry.batches.values().filter(|batch| batch.key_id != key_id);
        let lost: u64 = lost.map(|batch| u64::from(batch.outstanding(now))).sum();
        if lost > 0 {
            self.record(now, &Event::CodesVoided { key_id });
        }
        Ok(Reply::Voided(lost))
    }
}

fn within(what: &'static str, value: u64, least: u64, most: u64) -> Result<(), Refusal> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(Refusal::Range { what, value, least, most }) }
}
