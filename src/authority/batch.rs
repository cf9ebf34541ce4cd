//! A batch of codes: issued together, expiring together, revoked together.
//!
//! A batch is recorded without its codes: they follow from its nonce and a secret that is kept apart (spec
//! 7.8.4).

use std::collections::BTreeMap;

use crate::wire::report::{Outcome, ReportType};

/// Whether the codes of a batch hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchStanding {
    /// They do.
    Active,
    /// An operator revoked what is left of them.
    Revoked,
    /// The key they come from is lost (spec 7.8.4): nobody can tell them any more.
    Voided,
}

impl BatchStanding {
    /// The word in listings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            BatchStanding::Active => "active",
            BatchStanding::Revoked => "revoked",
            BatchStanding::Voided => "voided",
        }
    }

    /// Its number in files.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            BatchStanding::Active => 0,
            BatchStanding::Revoked => 1,
            BatchStanding::Voided => 2,
        }
    }

    /// The standing with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Active, Self::Revoked, Self::Voided].into_iter().find(|s| s.number() == number)
    }
}

/// A batch of codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Who hands the codes out.
    pub provider: u32,
    /// The set they are for.
    pub set: u32,
    /// What a report with one of them says.
    pub report_type: ReportType,
    /// Day of onset that holds for all of them, days since 1970.
    pub onset_day: Option<u32>,
    /// What the codes come from, with the codes key.
    pub nonce: [u8; 16],
    /// Which codes key.
    pub key_id: [u8; 8],
    /// How many codes there are.
    pub count: u32,
    /// When they were issued, Unix seconds; they hold from then on.
    pub issued: u64,
    /// The last second they hold.
    pub expires: u64,
    /// Whether they hold.
    pub standing: BatchStanding,
    /// Codes that were used, and the sequence number of the event that used each.
    pub spent: BTreeMap<u32, u64>,
}

impl Batch {
    /// Judges code `index` presented for `set` at `now`, its provider's standing apart.
    ///
    /// # Errors
    /// Why it does not hold.
    pub fn judge(&self, index: u32, set: u32, now: u64) -> Result<(), Outcome> {
        if self.set != set {
            return Err(Outcome::Set);
        }
        if self.spent.contains_key(&index) {
            return Err(Outcome::Spent);
        }
        match self.standing {
            BatchStanding::Revoked => return Err(Outcome::Revoked),
            BatchStanding::Voided => return Err(Outcome::Unknown),
            BatchStanding::Active => {}
        }
        if now > self.expires { Err(Outcome::Expired) } else { Ok(()) }
    }

    /// Codes nobody used yet.
    #[must_use]
    pub fn unspent(&self) -> u32 {
        self.count.saturating_sub(u32::try_from(self.spent.len()).unwrap_or(u32::MAX))
    }

    /// Codes that would still be taken at `now`.
    #[must_use]
    pub fn outstanding(&self, now: u64) -> u32 {
        if self.standing == BatchStanding::Active && now <= self.expires { self.unspent() } else { 0 }
    }
}
