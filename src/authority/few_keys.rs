//! A directory of a few providers' keys, for tests of what is verified with them.

use super::provider_key::{KeyDirectory, ProviderKey};

/// Keys with the provider, the issuer and the audience they belong to.
#[derive(Debug, Default)]
pub(super) struct FewKeys(pub(super) Vec<Entry>);

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) provider: u32,
    pub(super) issuer: &'static str,
    pub(super) audience: &'static str,
    pub(super) key: ProviderKey,
}

impl KeyDirectory for FewKeys {
    fn ed25519(&self, provider: u32, id: [u8; 8]) -> Option<&ProviderKey> {
        let found = self.0.iter().find(|entry| entry.provider == provider && entry.key.fingerprint() == id);
        found.map(|entry| &entry.key)
    }

    fn es256(&self, issuer: &str, kid: &str) -> Option<(u32, &str, &ProviderKey)> {
        let found = self.0.iter().find(|entry| entry.issuer == issuer && entry.key.key_id == kid);
        found.map(|entry| (entry.provider, entry.audience, &entry.key))
    }
}
