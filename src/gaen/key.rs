//! One key as an export package states it: the values of the file, in the types of this program.
//!
//! It is not an entry of a set: nothing here says whether the key is live, in range or wanted.

/// Intervals of ten minutes in a day of UTC.
pub const INTERVALS_PER_DAY: u32 = crate::time::INTERVALS_PER_DAY;

/// The rolling period of a key that states none (proto2 default of the export format), in intervals.
pub const DEFAULT_ROLLING_PERIOD: u32 = INTERVALS_PER_DAY;

/// A temporary exposure key with the metadata of an export package.
///
/// The order of the fields is the order of keys in a package: by key bytes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExportedKey {
    /// The key itself, big-endian.
    pub key: [u8; 16],
    /// Transmission risk level. The file's `int32` is clamped to 0..=255; the field's range is 0..=8.
    pub risk: u8,
    /// Rolling start interval number: the interval (600 s since 1970) in which the key becomes valid.
    pub start: u32,
    /// Rolling period: the number of intervals for which it is valid. Not checked: 0 and more than 144 occur.
    pub period: u32,
    /// Report type, 0..=5 (0 unknown, 1 confirmed test, 2 clinical diagnosis, 3 self report, 4 recursive,
    /// 5 revoked). As proto2 demands of unknown enum values, any other number reads as 0.
    pub report_type: u8,
    /// Days from the onset of symptoms to the key's day; `None` if absent or outside of -128..=127.
    pub onset: Option<i8>,
}

impl ExportedKey {
    /// The first interval in which the key is no longer valid. Wider than `u32`, so that it cannot overflow.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start as u64 + self.period as u64
    }
}
