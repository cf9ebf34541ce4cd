//! Parameters of a set: what `tekctl set configure` can change, its defaults and its limits.

use super::codec::{DecodeError, Decoder, Encoder};
use crate::release::Schema;

/// Everything the writer needs to know to judge keys and to time releases of one set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Which public fields its entries have. Changes only while the set is empty.
    pub schema: Schema,
    /// Days after which a key is expired.
    pub retention_days: u16,
    /// Seconds between releases.
    pub interval_s: u32,
    /// Seconds between the end of a key's validity and its release.
    pub embargo_s: u32,
    /// Reports a release adds or withdraws at least, decoys included.
    pub min_reports: u32,
    /// Seconds a small change waits for company at most, with decoys off.
    pub max_wait_s: u32,
    /// Whether the writer adds decoy reports.
    pub decoys: bool,
}

/// Parameters of set 1 at first start.
pub const DEFAULT_PARAMS: Params = Params {
    schema: Schema::GaenMinimal,
    retention_days: 14,
    interval_s: 900,
    embargo_s: 7200,
    min_reports: 10,
    max_wait_s: 86_400,
    decoys: true,
};

/// Inclusive limits of each parameter.
pub(crate) const RETENTION_DAYS: std::ops::RangeInclusive<u16> = 1..=365;
/// Seconds between releases.
pub(crate) const INTERVAL_S: std::ops::RangeInclusive<u32> = 60..=86_400;
/// Seconds of embargo.
pub(crate) const EMBARGO_S: std::ops::RangeInclusive<u32> = 0..=172_800;
/// Reports in a release.
pub(crate) const MIN_REPORTS: std::ops::RangeInclusive<u32> = 1..=1_000;
/// Seconds a small change waits.
pub(crate) const MAX_WAIT_S: std::ops::RangeInclusive<u32> = 0..=604_800;

// Starts of a delta lie within 65,535 intervals of each other (spec 3.8.7): the longest
// retention, the longest period and the allowed look-ahead must fit.
const _: () = assert!(*RETENTION_DAYS.end() as u32 * 144 + 144 + 12 <= 65_535);

/// A parameter outside its limits.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{name} is {value}, allowed are {least} to {most}; nothing was changed: choose a value in between")]
pub struct ParamsError {
    /// The parameter.
    pub name: &'static str,
    /// What was asked for.
    pub value: u64,
    /// Least value allowed.
    pub least: u64,
    /// Greatest value allowed.
    pub most: u64,
}

impl Params {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first parameter outside its limits.
    pub fn check(&self) -> Result<(), ParamsError> {
        let within = |name, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(ParamsError { name, value, least, most })
            }
        };
        let r = RETENTION_DAYS;
        within("retention (days)", self.retention_days.into(), (*r.start()).into(), (*r.end()).into())?;
        for (name, value, range) in [
            ("interval (s)", self.interval_s, INTERVAL_S),
            ("embargo (s)", self.embargo_s, EMBARGO_S),
            ("min-reports", self.min_reports, MIN_REPORTS),
            ("max-wait (s)", self.max_wait_s, MAX_WAIT_S),
        ] {
            within(name, value.into(), (*range.start()).into(), (*range.end()).into())?;
        }
        Ok(())
    }

    pub(crate) fn encode(&self, e: &mut Encoder) {
        e.u16(self.schema.number()).u16(self.retention_days).u32(self.interval_s).u32(self.embargo_s);
        e.u32(self.min_reports).u32(self.max_wait_s).u8(u8::from(self.decoys));
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Params, DecodeError> {
        Ok(Params {
            schema: schema(d)?,
            retention_days: d.u16()?,
            interval_s: d.u32()?,
            embargo_s: d.u32()?,
            min_reports: d.u32()?,
            max_wait_s: d.u32()?,
            decoys: d.bool()?,
        })
    }
}

/// The schema of a number.
pub(crate) fn schema(d: &mut Decoder<'_>) -> Result<Schema, DecodeError> {
    let number = d.u16()?;
    Schema::from_number(number).ok_or(d.value(number.into()))
}
