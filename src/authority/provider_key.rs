//! stub
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMaterial {
    Ed25519([u8; 32]),
    Es256([u8; 33]),
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderKey {
    pub material: KeyMaterial,
    pub key_id: String,
    pub not_before: u64,
    pub not_after: u64,
    pub revoked: Option<u64>,
}
impl ProviderKey {
    pub fn fingerprint(&self) -> [u8; 8] {
        [0; 8]
    }
    pub fn holds_at(&self, now: u64, grace: u64) -> bool {
        now + grace >= self.not_before
    }
}
pub trait KeyDirectory {
    fn ed25519(&self, provider: u32, id: [u8; 8]) -> Option<&ProviderKey>;
    fn es256(&self, issuer: &str, kid: &str) -> Option<(u32, &str, &ProviderKey)>;
}
