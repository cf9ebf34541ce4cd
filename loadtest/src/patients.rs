//! Patients made up: who each is and what each reports, the same for the same seed and code.
//!
//! Their keys are of the days before today, one a day, so that each is accepted now.

use sha2::{Digest, Sha256};
use tekd::client::{Author, ReportDraft};
use tekd::time::{INTERVALS_PER_DAY, interval_of};
use tekd::wire::report::{GRANT_CODE, SentKey};

use crate::draw::Draw;

/// Keys of one patient at most: what a server takes of one report.
pub(crate) const MAX_KEYS_PER_PATIENT: u8 = 30;
/// Days over which the keys are spread: as many as a set retains.
const DAYS: u32 = 14;
const KEY_LEN: usize = 16;

const _: () = assert!(MAX_KEYS_PER_PATIENT as u32 <= 3 * DAYS, "a server takes three keys of a start");

/// Patients, one for each code.
#[derive(Debug)]
pub(crate) struct Patients {
    codes: Vec<String>,
    keys: u8,
    seed: u64,
    today: u32,
}

impl Patients {
    /// Patients of `seed` who report `keys` keys each on the day of `now`, Unix seconds.
    pub(crate) fn new(codes: Vec<String>, keys: u8, seed: u64, now: u64) -> Self {
        let today = interval_of(now) / INTERVALS_PER_DAY * INTERVALS_PER_DAY;
        Patients { codes, keys: keys.clamp(1, MAX_KEYS_PER_PATIENT), seed, today }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.codes.len()
    }

    /// Lets `tell` see what patient `index` reports. The same patient always reports the same.
    pub(crate) fn tell<T>(&self, index: usize, tell: impl FnOnce(&Author, &ReportDraft<'_>) -> T) -> T {
        let code = self.codes[index].as_bytes();
        let mut draw = self.draw_of(code);
        let mut fill = |out: &mut [u8]| {
            out.chunks_mut(8)
                .for_each(|part| part.copy_from_slice(&draw.number().to_le_bytes()[..part.len()]));
        };
        let author = Author::new(&mut fill);
        let mut bytes = vec![0; usize::from(self.keys) * KEY_LEN];
        fill(&mut bytes);
        let sent = bytes.chunks_exact(KEY_LEN).zip(0..).map(|(key, at): (_, u32)| SentKey {
            key,
            start: self.today - (1 + at % DAYS) * INTERVALS_PER_DAY,
            period: INTERVALS_PER_DAY,
            risk: 1,
        });
        let keys: Vec<SentKey<'_>> = sent.collect();
        tell(&author, &ReportDraft { grant: Some((GRANT_CODE, code)), keys: &keys, ..ReportDraft::default() })
    }

    /// Another code is another patient, whatever the seed.
    fn draw_of(&self, code: &[u8]) -> Draw {
        let digest: [u8; 32] =
            Sha256::new_with_prefix(code).chain_update(self.seed.to_le_bytes()).finalize().into();
        Draw::new(u64::from_le_bytes(*digest.first_chunk().expect("32 bytes begin with 8")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_337_600 + 5000;

    fn told(patients: &Patients, index: usize) -> (Vec<u8>, Vec<(Vec<u8>, u32)>) {
        patients.tell(index, |author, draft| {
            (author.report.to_vec(), draft.keys.iter().map(|key| (key.key.to_vec(), key.start)).collect())
        })
    }

    fn two(keys: u8, seed: u64) -> Patients {
        Patients::new(vec!["A".to_owned(), "B".to_owned()], keys, seed, NOW)
    }

    #[test]
    fn a_patient_is_the_same_again_and_no_other() {
        let patients = two(14, 1);
        assert_eq!(told(&patients, 0), told(&two(14, 1), 0));
        for other in [told(&patients, 1), told(&two(14, 2), 0)] {
            let (report, keys) = told(&patients, 0);
            assert_ne!(report, other.0);
            assert!(keys.iter().all(|(key, _)| other.1.iter().all(|(theirs, _)| theirs != key)));
        }
    }

    #[test]
    fn keys_are_of_the_last_fourteen_days_and_at_most_three_start_together() {
        let (_, keys) = told(&two(MAX_KEYS_PER_PATIENT, 1), 0);
        assert_eq!(keys.len(), usize::from(MAX_KEYS_PER_PATIENT));
        let today = interval_of(NOW) / 144 * 144;
        for (_, start) in &keys {
            assert!((today - 14 * 144..today).contains(start));
            assert!(keys.iter().filter(|(_, other)| other == start).count() <= 3);
        }
    }
}
