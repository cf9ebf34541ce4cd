//! An epidemic as the data directory of an origin: its reports in the journal, one release of all their keys.
//!
//! Everything goes the way it goes in a server (durable group by durable group, judged, released, built),
//! only on a clock that stands still, without decoys, and with secrets drawn from the seed: such a directory
//! is for load tests and never for the public.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tekd::engine::{
    Committed, ImportedKey, Input, Moment, ParamsChange, Refusal, ReleaseSummary, Reply, Seeded, Ticket,
    View, Work,
};
use tekd::gaen::{Epidemic, EpidemicError, ExportedKey, GeneratedReport, INTERVALS_PER_DAY};
use tekd::node::{
    BuildError, Builder, Clock, NOBODY, Origin, OriginError, OriginOptions, SetNews, StartError,
    SteppedClock, TableStore, bring_up, trust_path,
};
use tekd::release::{Fields, ONSET_NONE};
use tekd::store::{MemoryMode, Published, RealDisk};
use tekd::time::start_of;
use tekd::wire::Key;

use crate::progress::Progress;

/// The set that gets the keys: the one of a first start.
pub(crate) const SET: u32 = 1;
/// Retention, so that the keys stay for two weeks after the directory was made, whatever their day.
const RETENTION_DAYS: u16 = 30;
/// When the keys are reported and released, seconds after their newest day began: it and the embargo are
/// over.
const RELEASED_AFTER_S: u64 = 86_400 + EMBARGO_S;
const EMBARGO_S: u64 = 7200;
/// Reports made durable at once.
const GROUP_REPORTS: usize = 256;
const SEGMENT_BYTES: u64 = 16 << 20;
const PROVIDER: &str = "generated";
const ASKED: Ticket = Ticket(1);

const _: () = assert!(RETENTION_DAYS as u32 > tekd::gaen::START_DAYS + 2);
const _: () = assert!(tekd::engine::DEFAULT_PARAMS.embargo_s as u64 == EMBARGO_S);

/// Why a data directory is not made.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// The newest day.
    #[error(transparent)]
    Epidemic(#[from] EpidemicError),
    /// The origin.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// Its first state.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its table.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The writer refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Keys of a report were refused.
    #[error("{refused} of {keys} keys of a generated report were refused: {reasons:?}")]
    Rejected {
        /// Keys refused.
        refused: u64,
        /// Keys of the report.
        keys: u64,
        /// How many for which reason.
        reasons: Vec<(&'static str, u64)>,
    },
    /// The release has another number of keys.
    #[error("{live} keys were released, {keys} were generated")]
    Missing {
        /// Keys released.
        live: u64,
        /// Keys generated.
        keys: u64,
    },
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GeneratedData {
    /// Live keys.
    pub keys: u64,
    /// Reports they came from.
    pub reports: u64,
    /// The data directory.
    pub data: PathBuf,
    /// What clients need to trust it.
    pub trust: PathBuf,
    /// The set that has the keys.
    pub set: u32,
    /// The release that has them.
    pub serial: u32,
    /// Its root in hex.
    pub root: String,
    /// Events in the journal.
    pub events: u64,
}

/// The newest day whose keys can have been released by `now` (Unix seconds), as the interval it starts at.
pub fn default_newest_day(now: u64) -> u32 {
    let day = now.saturating_sub(RELEASED_AFTER_S) / 86_400;
    u32::try_from(day).unwrap_or(u32::MAX / INTERVALS_PER_DAY) * INTERVALS_PER_DAY
}

/// When the keys of an epidemic with this newest day are released, Unix seconds.
pub(crate) fn released_at(newest_day: u32) -> u64 {
    start_of(newest_day) + RELEASED_AFTER_S
}

/// Makes a data directory in the empty directory `dir`, for `tekd serve --data`, with the epidemic of `seed`
/// with `keys` keys whose newest day starts at interval `newest_day`.
///
/// # Errors
/// [`DataDirectoryError`]; the directory is then of no use.
pub fn write_data_directory(
    dir: &Path,
    keys: u64,
    seed: u64,
    newest_day: u32,
) -> Result<GeneratedData, DataDirectoryError> {
    let mut reports = Epidemic::new(seed).reports(keys, newest_day)?;
    let mut maker = Maker::open(dir, seed, SteppedClock::new(released_at(newest_day)))?;
    let change =
        ParamsChange { decoys: Some(false), retention_days: Some(RETENTION_DAYS), ..ParamsChange::default() };
    maker.decide(vec![Input::Configure { set: SET, change }])?;
    let progress = Progress::new("keys in the journal", keys);
    let mut count = 0;
    loop {
        let group: Vec<GeneratedReport> = reports.by_ref().take(GROUP_REPORTS).collect();
        if group.is_empty() {
            break;
        }
        count += group.len() as u64;
        let in_group = group.iter().map(|report| report.keys.len() as u64).sum();
        maker.report(group)?;
        progress.advance(in_group);
    }
    let release = maker.release()?;
    if release.live != keys {
        return Err(DataDirectoryError::Missing { live: release.live, keys });
    }
    let events = maker.close()?;
    Ok(GeneratedData {
        keys,
        reports: count,
        data: dir.to_path_buf(),
        trust: trust_path(dir),
        set: SET,
        serial: release.serial,
        root: hex::encode(release.root),
        events,
    })
}

struct Maker {
    origin: Origin,
    builder: Builder,
    now: Moment,
}

impl Maker {
    fn open(dir: &Path, seed: u64, clock: SteppedClock) -> Result<Self, DataDirectoryError> {
        let disk = Arc::new(RealDisk);
        let now = clock.now();
        let options =
            OriginOptions { disk: disk.clone(), dir: dir.to_path_buf(), segment_bytes: SEGMENT_BYTES };
        let mut origin = Origin::open(options, now, Box::new(Seeded::new(seed)))?;
        let view = Arc::new(Published::new(Arc::new(View::empty(origin.identity().service_id, 1))));
        let store = TableStore { disk, dir: Some(dir.to_path_buf()), mode: MemoryMode::Copy };
        let mut builder = Builder::new(store, view);
        bring_up(&mut origin, &mut builder, &clock)?;
        Ok(Maker { origin, builder, now })
    }

    /// Lets the writer decide, and does the work that follows; returns the answers to `inputs`.
    fn decide(&mut self, inputs: Vec<Input>) -> Result<Vec<Reply>, DataDirectoryError> {
        let mut next: Vec<(Ticket, Input)> = inputs.into_iter().map(|input| (ASKED, input)).collect();
        let mut answers = Vec::new();
        while !next.is_empty() {
            let Committed { replies, work } = self.origin.step(self.now, std::mem::take(&mut next))?;
            for (ticket, reply) in replies {
                let reply = reply?;
                if ticket == ASKED {
                    answers.push(reply);
                }
            }
            for work in work {
                match work {
                    Work::Build(context, outcome) => {
                        let built = self.builder.build(&context, &outcome)?;
                        next.push((NOBODY, Input::Built(built)));
                    }
                    Work::Publish { set, .. } | Work::Show { set } => {
                        let news = SetNews::from_origin(&self.origin, set, self.now.unix);
                        news.map_or(Ok(()), |news| self.builder.show(&news))?;
                    }
                }
            }
        }
        Ok(answers)
    }

    fn report(&mut self, group: Vec<GeneratedReport>) -> Result<(), DataDirectoryError> {
        let import = |report: GeneratedReport| Input::Import {
            set: SET,
            provider: PROVIDER.to_owned(),
            keys: report.keys.iter().map(imported).collect(),
        };
        for reply in self.decide(group.into_iter().map(import).collect())? {
            if let Reply::Imported(counts) = reply
                && counts.accepted != counts.keys
            {
                let refused = counts.keys - counts.accepted;
                return Err(DataDirectoryError::Rejected {
                    refused,
                    keys: counts.keys,
                    reasons: counts.rejected,
                });
            }
        }
        Ok(())
    }

    fn release(&mut self) -> Result<ReleaseSummary, DataDirectoryError> {
        let answers = self.decide(vec![Input::Release { set: SET, allow_small: true }])?;
        let released = answers.into_iter().find_map(|reply| match reply {
            Reply::Released(summary) => Some(summary),
            _ => None,
        });
        Ok(released.expect("a release that is not refused is answered when its table is built"))
    }

    /// Leaves the directory as a server leaves it that was stopped; returns the number of events.
    fn close(mut self) -> Result<u64, DataDirectoryError> {
        self.origin.base(self.now)?;
        self.origin.idle()?;
        Ok(self.origin.head().seq)
    }
}

fn imported(key: &ExportedKey) -> ImportedKey {
    let fields = Fields {
        start: key.start,
        period: u16::try_from(key.period).expect("generated periods are at most 144"),
        report: key.report_type,
        risk: key.risk,
        onset: key.onset.unwrap_or(ONSET_NONE),
    };
    let key_bytes = Key::from_slice(&key.key).expect("an exported key has 16 bytes");
    ImportedKey { key: key_bytes, fields, period: key.period }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_day_by_default_is_over_and_out_of_its_embargo() {
        let midnight = 1_790_035_200;
        assert_eq!(midnight % 86_400, 0);
        for now in [midnight, midnight + 7199, midnight + 7200, midnight + 86_399] {
            let newest = default_newest_day(now);
            assert!(newest.is_multiple_of(INTERVALS_PER_DAY));
            assert!(released_at(newest) <= now && now < released_at(newest) + 86_400, "{now}");
        }
    }
}
