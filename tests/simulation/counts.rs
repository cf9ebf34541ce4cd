//! What happened in a run, counted: a simulation that is not busy proves nothing.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Lines of the story that are kept to be told when a run fails.
const TOLD: usize = 60;
const HOUR_MS: u64 = 3_600_000;

/// Counters of one run, or of all.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    /// Faults by kind.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Operations by kind and how they ended.
    pub(crate) done: BTreeMap<String, u64>,
    /// Operations and faults of each virtual hour.
    hours: BTreeMap<u64, (u64, u64)>,
    /// Virtual hours that were lived through.
    pub(crate) lived: u64,
}

impl Counts {
    pub(crate) fn fault(&mut self, kind: &'static str, now_ms: u64) {
        *self.faults.entry(kind).or_default() += 1;
        self.hours.entry(now_ms / HOUR_MS).or_default().1 += 1;
    }

    pub(crate) fn operation(&mut self, now_ms: u64) {
        self.hours.entry(now_ms / HOUR_MS).or_default().0 += 1;
    }

    pub(crate) fn ended(&mut self, what: &str, how: &str) {
        *self.done.entry(format!("{what}: {how}")).or_default() += 1;
    }

    pub(crate) fn operations(&self) -> u64 {
        self.hours.values().map(|hour| hour.0).sum()
    }

    /// The least busy hour: fewest operations, fewest faults. The last hour is not over.
    pub(crate) fn quietest(&self) -> (u64, u64) {
        let whole = || self.hours.values().take(self.hours.len().saturating_sub(1));
        let least = |of: fn(&(u64, u64)) -> u64| whole().map(of).min().unwrap_or(0);
        (least(|hour| hour.0), least(|hour| hour.1))
    }

    pub(crate) fn add(&mut self, other: &Counts) {
        for (kind, n) in &other.faults {
            *self.faults.entry(kind).or_default() += n;
        }
        for (what, n) in &other.done {
            *self.done.entry(what.clone()).or_default() += n;
        }
        self.lived += other.lived;
    }
}

/// Everything that happened, in one digest, and the end of it in words.
pub(crate) struct Story {
    digest: Sha256,
    told: std::collections::VecDeque<String>,
}

impl Story {
    pub(crate) fn new() -> Story {
        Story { digest: Sha256::new(), told: std::collections::VecDeque::new() }
    }

    /// Bytes that were seen.
    pub(crate) fn saw(&mut self, now_ms: u64, what: &str, bytes: &[u8]) {
        self.digest.update(now_ms.to_le_bytes());
        self.digest.update(what);
        self.digest.update((bytes.len() as u64).to_le_bytes());
        self.digest.update(bytes);
    }

    /// Something that happened.
    pub(crate) fn tell(&mut self, now_ms: u64, what: String) {
        self.saw(now_ms, &what, &[]);
        if self.told.len() == TOLD {
            self.told.pop_front();
        }
        self.told.push_back(format!("{:>9}.{:03} {what}", now_ms / 1000, now_ms % 1000));
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest.clone().finalize().into()
    }

    pub(crate) fn last_lines(&self) -> String {
        self.told.iter().map(|line| format!("{line}\n")).collect()
    }
}
