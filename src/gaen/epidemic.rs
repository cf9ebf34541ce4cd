//! An epidemic made up: reports of patients, the same on every machine for the same seed.
//!
//! It stands in for data that nobody may have: as many keys as wanted, with the shape of real ones. A patient
//! uploads a run of consecutive days, most often all of the last fourteen; risk follows the days since onset.
//! Older start days hold more keys than newer ones, as in a live set. The numbers come from SplitMix64, whose
//! output never repeats within 2⁶⁴ draws: every key has a draw of its own, so no two keys of one run are
//! equal. It is not randomness for real keys.

use super::key::{ExportedKey, INTERVALS_PER_DAY};

/// Start days over which keys are spread: the newest day and the thirteen before it.
pub const START_DAYS: u32 = 14;
/// Most keys of one report.
pub const MAX_KEYS_PER_REPORT: u64 = START_DAYS as u64;
/// Days since onset that occur.
pub const ONSET_RANGE: std::ops::RangeInclusive<i8> = -10..=10;

const CONFIRMED: u8 = 1;
const LIKELY: u8 = 2;
/// Of sixteen patients, how many upload every day there is.
const COMPLETE_OF_16: u64 = 9;
/// Of eight patients, how many are reported as likely, not confirmed.
const LIKELY_OF_8: u64 = 1;
/// Of eight patients, how many upload the key of the very day, cut short at the time of upload.
const SAME_DAY_OF_8: u64 = 1;
/// Interval of the day from which and before which such uploads happen: 08:00 and 20:00 UTC.
const UPLOAD_HOURS: (u64, u64) = (48, 120);
/// The newest key of a patient is 0 to 10 days after onset, most often 5: the sum of two draws below this.
const ONSET_DRAW: u64 = 6;

/// Risk by days since onset, from -10 on, and of sixteen patients how many have that course.
const COURSES: [(u64, [u8; 21]); 3] = [
    (11, [1, 1, 1, 1, 1, 1, 1, 3, 5, 7, 8, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1]),
    (3, [1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 4, 3, 2, 1, 1, 1, 1, 1, 1]),
    (2, [5; 21]),
];

const _: () = assert!(COURSES[0].0 + COURSES[1].0 + COURSES[2].0 == 16);
const _: () = assert!(COMPLETE_OF_16 <= 16 && LIKELY_OF_8 <= 8 && SAME_DAY_OF_8 <= 8);
const _: () = assert!(UPLOAD_HOURS.0 > 0 && UPLOAD_HOURS.0 < UPLOAD_HOURS.1);
const _: () = assert!(UPLOAD_HOURS.1 < INTERVALS_PER_DAY as u64);
const _: () = assert!(2 * (ONSET_DRAW - 1) as i8 <= *ONSET_RANGE.end());
const _: () = assert!(MAX_KEYS_PER_REPORT as i8 - 1 <= *ONSET_RANGE.end() - *ONSET_RANGE.start());

/// Why no epidemic ends on that day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EpidemicError {
    /// Not a UTC midnight, or one that leaves no room for the days before it or for its own end.
    #[error(
        "the newest day starts at interval {given}: it has to be a multiple of 144 from {least} to {most}"
    )]
    NewestDay {
        /// The interval given.
        given: u32,
        /// The first that is possible.
        least: u32,
        /// The last that is possible.
        most: u32,
    },
}

/// What one patient uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedReport {
    /// 1 to 14 keys on consecutive days, oldest first. All start at UTC midnight and have period 144, except
    /// that the last may be shorter. Report type and onset are those of one patient.
    pub keys: Vec<ExportedKey>,
}

/// A source of reports: the same seed gives the same reports, anywhere.
#[derive(Debug, Clone, Copy)]
pub struct Epidemic {
    seed: u64,
}

impl Epidemic {
    /// First newest day that is possible: the oldest of its fourteen days is the first day of 1970.
    pub const LEAST_NEWEST_DAY: u32 = (START_DAYS - 1) * INTERVALS_PER_DAY;
    /// Last newest day that is possible: its end fits into the `int32` of an export package.
    pub const MOST_NEWEST_DAY: u32 = (i32::MAX as u32 / INTERVALS_PER_DAY - 1) * INTERVALS_PER_DAY;

    /// The epidemic of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Reports with `n_keys` keys in all, one after the other, nothing kept. Rolling starts lie on the day
    /// that starts at `newest_day_start` and the thirteen before it.
    ///
    /// # Errors
    /// If `newest_day_start` is not a UTC midnight within range.
    pub const fn reports(&self, n_keys: u64, newest_day_start: u32) -> Result<Reports, EpidemicError> {
        let (least, most) = (Self::LEAST_NEWEST_DAY, Self::MOST_NEWEST_DAY);
        if newest_day_start < least
            || newest_day_start > most
            || !newest_day_start.is_multiple_of(INTERVALS_PER_DAY)
        {
            return Err(EpidemicError::NewestDay { given: newest_day_start, least, most });
        }
        Ok(Reports { numbers: SplitMix64::new(self.seed), remaining: n_keys, newest_day_start })
    }
}

/// The reports of an [`Epidemic`], drawn one by one.
#[derive(Debug, Clone)]
pub struct Reports {
    numbers: SplitMix64,
    remaining: u64,
    newest_day_start: u32,
}

/// What holds for all keys of one report.
struct Patient {
    report_type: u8,
    course: &'static [u8; 21],
}

impl Iterator for Reports {
    type Item = GeneratedReport;

    fn next(&mut self) -> Option<GeneratedReport> {
        if self.remaining == 0 {
            return None;
        }
        // Days are counted back from the newest: the last key's day, and how many there are before it.
        let last_day = self.numbers.below(u64::from(START_DAYS));
        let available = MAX_KEYS_PER_REPORT - last_day;
        let count = self.run_length().min(available).min(self.remaining);
        self.remaining -= count;
        let patient = self.patient();
        let last_onset = self.last_onset(count);
        let last_period = self.last_period();
        let keys = (0..count).rev().map(|back| {
            let period = if back == 0 { last_period } else { INTERVALS_PER_DAY };
            self.key(&patient, last_day + back, period, last_onset - back as i8)
        });
        Some(GeneratedReport { keys: keys.collect() })
    }
}

impl Reports {
    fn run_length(&mut self) -> u64 {
        if self.numbers.below(16) < COMPLETE_OF_16 {
            MAX_KEYS_PER_REPORT
        } else {
            1 + self.numbers.below(MAX_KEYS_PER_REPORT - 1)
        }
    }

    fn patient(&mut self) -> Patient {
        let report_type = if self.numbers.below(8) < LIKELY_OF_8 { LIKELY } else { CONFIRMED };
        let mut draw = self.numbers.below(16);
        let mut course = &COURSES[0].1;
        for (weight, risks) in &COURSES {
            course = risks;
            if draw < *weight {
                break;
            }
            draw -= weight;
        }
        Patient { report_type, course }
    }

    /// Days since onset of the newest of `count` keys, so that the oldest is within range as well.
    fn last_onset(&mut self, count: u64) -> i8 {
        let drawn = (self.numbers.below(ONSET_DRAW) + self.numbers.below(ONSET_DRAW)) as i8;
        drawn.max(ONSET_RANGE.start() + (count as i8 - 1))
    }

    fn last_period(&mut self) -> u32 {
        if self.numbers.below(8) < SAME_DAY_OF_8 {
            let (from, before) = UPLOAD_HOURS;
            (from + self.numbers.below(before - from)) as u32
        } else {
            INTERVALS_PER_DAY
        }
    }

    fn key(&mut self, patient: &Patient, days_back: u64, period: u32, onset: i8) -> ExportedKey {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.numbers.next().to_be_bytes());
        key[8..].copy_from_slice(&self.numbers.next().to_be_bytes());
        ExportedKey {
            key,
            risk: patient.course[(onset - ONSET_RANGE.start()) as usize],
            start: self.newest_day_start - days_back as u32 * INTERVALS_PER_DAY,
            period,
            report_type: patient.report_type,
            onset: Some(onset),
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a counter through a bijection, so it repeats nothing
/// in 2⁶⁴ draws.
#[derive(Debug, Clone)]
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Neighbouring seeds start far apart.
    const fn new(seed: u64) -> Self {
        Self { state: Self::mix(seed) }
    }

    const fn mix(mut value: u64) -> u64 {
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(Self::STEP);
        Self::mix(self.state)
    }

    /// A number below `bound`, by the high half of a product: the bias is below `bound` / 2⁶⁴.
    const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use sha2::{Digest, Sha256};

    use super::*;

    const NEWEST: u32 = 2_900_016;

    fn reports(seed: u64, n_keys: u64) -> Vec<GeneratedReport> {
        Epidemic::new(seed).reports(n_keys, NEWEST).expect("a midnight").collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_reports_on_every_machine() {
        let mut hash = Sha256::new();
        for report in reports(1, 100_000) {
            hash.update([report.keys.len() as u8]);
            for key in &report.keys {
                hash.update(key.key);
                hash.update([key.risk, key.report_type, key.onset.expect("always known") as u8]);
                hash.update(key.start.to_le_bytes());
                hash.update(key.period.to_le_bytes());
            }
        }
        assert_eq!(
            hex::encode(hash.finalize()),
            "5835e27d9e38cb75ad6d74830ac722591a83987d213d864697b0558401db444e"
        );
        assert_ne!(reports(1, 14), reports(2, 14));
    }

    #[test]
    fn exactly_the_wanted_number_of_keys_comes_and_no_two_are_equal() {
        for wanted in [0, 1, 2, 13, 14, 15, 1000, 50_000] {
            let keys: Vec<_> = reports(3, wanted).into_iter().flat_map(|report| report.keys).collect();
            assert_eq!(keys.len() as u64, wanted);
            let distinct: HashSet<_> = keys.iter().map(|key| key.key).collect();
            assert_eq!(distinct.len() as u64, wanted);
        }
    }

    #[test]
    fn a_report_is_a_run_of_days_of_one_patient() {
        for report in reports(4, 20_000) {
            let keys = &report.keys;
            assert!((1..=14).contains(&keys.len()));
            for key in keys {
                assert!(
                    key.start.is_multiple_of(144) && key.start <= NEWEST && key.start + 13 * 144 >= NEWEST
                );
                assert!(ONSET_RANGE.contains(&key.onset.expect("always known")));
                assert!((1..=8).contains(&key.risk) && (1..=2).contains(&key.report_type));
            }
            for pair in keys.windows(2) {
                assert_eq!(pair[1].start - pair[0].start, 144);
                assert_eq!(pair[1].onset.map(|days| days - 1), pair[0].onset);
                assert_eq!(pair[1].report_type, pair[0].report_type);
                assert_eq!(pair[0].period, 144);
            }
            assert!((1..=144).contains(&keys[keys.len() - 1].period));
        }
    }

    #[test]
    fn every_start_day_and_every_kind_of_key_occurs() {
        let keys: Vec<_> = reports(5, 20_000).into_iter().flat_map(|report| report.keys).collect();
        let mut days = BTreeMap::new();
        for key in &keys {
            *days.entry(key.start).or_insert(0_usize) += 1;
        }
        assert_eq!(days.len(), 14);
        assert!(days.values().all(|count| *count > keys.len() / 100), "{days:?}");
        let share = |wanted: fn(&ExportedKey) -> bool| {
            keys.iter().filter(|key| wanted(key)).count() as f64 / keys.len() as f64
        };
        assert!((0.8..0.95).contains(&share(|key| key.report_type == 1)));
        assert!((0.005..0.05).contains(&share(|key| key.period < 144)));
        let risks: HashSet<_> = keys.iter().map(|key| key.risk).collect();
        assert_eq!(risks.len(), 8);
    }

    #[test]
    fn a_newest_day_that_is_no_midnight_or_out_of_range_is_refused() {
        for given in [0, 144, NEWEST + 1, u32::MAX, Epidemic::MOST_NEWEST_DAY + 144] {
            let refused = Epidemic::new(1).reports(1, given).map(|_| ());
            assert!(matches!(refused, Err(EpidemicError::NewestDay { given: told, .. }) if told == given));
        }
        for given in [Epidemic::LEAST_NEWEST_DAY, Epidemic::MOST_NEWEST_DAY] {
            let count = Epidemic::new(1).reports(100, given).expect("in range").count();
            assert!(count > 0);
        }
    }
}
