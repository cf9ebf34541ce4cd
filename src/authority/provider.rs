//! A health-care provider: its keys, and whether it may authorise reports now.

use super::provider_key::ProviderKey;
use crate::wire::report::Outcome;

/// Most keys of one provider, revoked ones included.
pub const MAX_PROVIDER_KEYS: usize = 16;

/// Whether a provider may authorise reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Active,
    /// Not now; it may come back.
    Suspended,
    /// Not any more.
    Revoked,
}

impl Standing {
    /// The word in listings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Standing::Active => "active",
            Standing::Suspended => "suspended",
            Standing::Revoked => "revoked",
        }
    }

    /// Its number in files.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Standing::Active => 0,
            Standing::Suspended => 1,
            Standing::Revoked => 2,
        }
    }

    /// The standing with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Standing::Active, Standing::Suspended, Standing::Revoked].into_iter().find(|s| s.number() == number)
    }

    /// Whether grants of the provider hold.
    ///
    /// # Errors
    /// SUSPENDED or REVOKED.
    pub fn judge(self) -> Result<(), Outcome> {
        match self {
            Standing::Active => Ok(()),
            Standing::Suspended => Err(Outcome::Suspended),
            Standing::Revoked => Err(Outcome::Revoked),
        }
    }
}

/// What a provider has done, in numbers without persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProviderCounts {
    /// Reports it authorised.
    pub reports: u64,
    /// Keys of these, amendments included.
    pub keys: u64,
    /// Claims of its reports that were taken back, by whomever.
    pub withdrawn: u64,
    /// Codes it was issued.
    pub codes: u64,
    /// Codes of these that authorised a report.
    pub spent: u64,
}

/// What a provider's JWTs say of it, and the set they are for, which none of them names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// What they call the provider; unique.
    pub name: String,
    /// Whom they are for.
    pub audience: String,
    /// The set they are bound to.
    pub set: u32,
}

/// A registered health-care provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its name, unique.
    pub name: String,
    /// When it was registered, Unix time.
    pub since: u64,
    /// What its JWTs say, if it issues any.
    pub issuer: Option<Issuer>,
    /// Its keys in the order they were registered.
    pub keys: Vec<ProviderKey>,
    /// Whether it may authorise reports.
    pub standing: Standing,
    /// What it has done.
    pub counts: ProviderCounts,
}

impl Provider {
    /// A provider without keys that has done nothing yet.
    #[must_use]
    pub fn new(name: String, since: u64) -> Self {
        Provider {
            name,
            since,
            issuer: None,
            keys: Vec::new(),
            standing: Standing::Active,
            counts: ProviderCounts::default(),
        }
    }
}
