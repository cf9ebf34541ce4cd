//! Providers and their keys: who may authorise reports.

use serde_json::json;

use super::super::authority_listing::{Outstanding, provider_page};
use super::super::origin::Origin;
use super::reports::counts;
use super::{Commands, Done, unexpected};
use crate::authority::{FINGERPRINT_LEN, Issuer, KeyMaterial, ProviderKey, Standing};
use crate::engine::{Input, Refusal, Reply};
use crate::service::control::{ControlReply, SignerKey};
use crate::service::timetext::format_time;

impl Commands {
    pub(super) fn add_provider(&self, name: String, key: Option<&SignerKey>, issuer: Option<Issuer>) -> Done {
        let key = key.map(|key| self.provider_key(key)).transpose()?;
        if let Some(key) = &key {
            has_issuer(&name, key, issuer.is_some())?;
        }
        let fingerprint = key.as_ref().map(|key| hex::encode(key.fingerprint()));
        match self.ask(Input::AddProvider { name, issuer, key })? {
            Reply::Provider { provider, name } => {
                let mut document = json!({ "provider": provider, "name": name });
                if let Some(fingerprint) = fingerprint {
                    document["fingerprint"] = fingerprint.into();
                }
                Ok(document)
            }
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn list_providers(&self) -> Done {
        let now = self.clock.now().unix;
        let pages = self.look(move |o| {
            let outstanding = Outstanding::of(o.state().registry(), now);
            let providers = o.state().providers();
            Ok(providers.map(|(id, p)| provider_page(id, p, &outstanding)).collect::<Vec<_>>())
        })?;
        Ok(pages.into())
    }

    pub(super) fn show_provider(&self, provider: u32) -> Done {
        let now = self.clock.now().unix;
        self.look(move |o| {
            let found = o.state().registry().providers.get(&provider);
            let outstanding = Outstanding::of(o.state().registry(), now);
            found.map(|p| provider_page(provider, p, &outstanding)).ok_or(Refusal::NoProvider { provider })
        })
    }

    pub(super) fn add_provider_key(&self, provider: u32, key: &SignerKey) -> Done {
        let key = self.provider_key(key)?;
        let named = move |o: &Origin| {
            let found = o.state().registry().providers.get(&provider);
            found.map(|p| (p.name.clone(), p.issuer.is_some())).ok_or(Refusal::NoProvider { provider })
        };
        let (name, issues) = self.look(named)?;
        has_issuer(&name, &key, issues)?;
        let fingerprint = key.fingerprint();
        self.key_changed(Input::AddProviderKey { provider, key }, &fingerprint)
    }

    pub(super) fn revoke_provider_key(
        &self,
        provider: u32,
        fingerprint: &str,
        since: Option<u64>,
        reason: String,
        dry_run: bool,
    ) -> Done {
        let mut bytes = [0; FINGERPRINT_LEN];
        hex::decode_to_slice(fingerprint, &mut bytes).map_err(|_| {
            ControlReply::usage(format!(
                "a fingerprint is {} hex digits, these are {} characters; `tekctl provider show {provider}` has those \
                 of its keys",
                2 * FINGERPRINT_LEN,
                fingerprint.chars().count()
            ))
        })?;
        let input = Input::RevokeProviderKey { provider, fingerprint: bytes, since, reason, dry_run };
        let mut page = self.revoked(input, since, dry_run)?;
        page["provider"] = json!(provider);
        page["fingerprint"] = json!(hex::encode(bytes));
        Ok(page)
    }

    /// Carries out what revokes, and says what it takes back.
    fn revoked(&self, input: Input, since: Option<u64>, dry_run: bool) -> Done {
        match self.ask(input)? {
            Reply::Withdrawn(w) => {
                let mut page = counts(&w);
                page["since"] = json!(since.map(format_time));
                page["dry_run"] = json!(dry_run);
                Ok(page)
            }
            other => Err(unexpected(&other)),
        }
    }

    fn key_changed(&self, input: Input, fingerprint: &[u8; FINGERPRINT_LEN]) -> Done {
        match self.ask(input)? {
            Reply::Provider { provider, name } => {
                Ok(json!({ "provider": provider, "name": name, "fingerprint": hex::encode(fingerprint) }))
            }
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn stand(&self, provider: u32, standing: Standing, reason: String) -> Done {
        let input = Input::SetStanding { provider, standing, since: None, reason, dry_run: false };
        match self.ask(input)? {
            Reply::Withdrawn(w) => {
                Ok(json!({ "provider": provider, "standing": standing.name(), "seq": w.seq }))
            }
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn revoke_provider(
        &self,
        provider: u32,
        since: Option<u64>,
        reason: String,
        dry_run: bool,
    ) -> Done {
        let standing = Standing::Revoked;
        let input = Input::SetStanding { provider, standing, since, reason, dry_run };
        let mut page = self.revoked(input, since, dry_run)?;
        page["provider"] = json!(provider);
        page["standing"] = json!(standing.name());
        Ok(page)
    }

    /// A key as it was handed in, with its validity.
    fn provider_key(&self, key: &SignerKey) -> Result<ProviderKey, ControlReply> {
        let bytes = &key.public_key.0;
        let material = match &*key.algorithm {
            "ed25519" => KeyMaterial::ed25519(bytes),
            "es256" => KeyMaterial::es256(bytes),
            other => {
                let why =
                    format!("there is no algorithm {other:?} for keys of providers; use ed25519 or es256");
                return Err(ControlReply::usage(why));
            }
        };
        let material = material.map_err(|e| ControlReply::usage(e.to_string()))?;
        let not_before = key.not_before.unwrap_or_else(|| self.clock.now().unix);
        let not_after = key.not_after.unwrap_or(u64::MAX);
        if not_after < not_before {
            return Err(ControlReply::usage(format!(
                "the key would hold until {}, before it begins to at {}; nothing was changed: look at --key-from and \
                 --key-until",
                format_time(not_after),
                format_time(not_before)
            )));
        }
        match (material, &key.key_id) {
            (KeyMaterial::Ed25519(_), None) => {
                Ok(ProviderKey::named_by_fingerprint(material, not_before, not_after))
            }
            (KeyMaterial::Ed25519(_), Some(_)) => {
                let why = "an Ed25519 key is named by its fingerprint: leave --key-id out";
                Err(ControlReply::usage(why))
            }
            (KeyMaterial::Es256(_), Some(id)) => {
                Ok(ProviderKey { material, key_id: id.clone(), not_before, not_after, revoked: None })
            }
            (KeyMaterial::Es256(_), None) => Err(ControlReply::usage(
                "a P-256 key signs JWTs, which name it by their `kid`: say it with --key-id ID",
            )),
        }
    }
}

/// JWTs are told to be a provider's by their issuer.
fn has_issuer(name: &str, key: &ProviderKey, issues: bool) -> Result<(), ControlReply> {
    if issues || matches!(key.material, KeyMaterial::Ed25519(_)) {
        return Ok(());
    }
    Err(ControlReply::usage(format!(
        "provider {name:?} has no issuer, so that no JWT signed by a P-256 key could be told to be its own; nothing \
         was changed: register it with --issuer ISS and --audience AUD, or hand in an Ed25519 key"
    )))
}
