//! What the writer and the builder count of themselves: groups and how long they took to be durable,
//! commands that wait, tables and how long they took, the newest snapshot.
//!
//! They count where they work, and whoever answers a scrape reads; nobody waits for anybody.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::spread::Spread;
use crate::service::metrics::MetricsText;

/// Upper bounds of the time a group took to be durable, in seconds.
const WRITE_BOUNDS: [f64; 12] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];
/// Upper bounds of the events of a group.
const GROUP_BOUNDS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0];
/// Upper bounds of the time from a decided release to its table, in seconds.
const BUILD_BOUNDS: [f64; 9] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];

/// Counters of a mirror of the journal.
#[derive(Debug)]
pub(crate) struct MirrorCounts {
    writes: Spread<12>,
}

impl Default for MirrorCounts {
    fn default() -> Self {
        Self { writes: Spread::new(&WRITE_BOUNDS) }
    }
}

impl MirrorCounts {
    /// A group was durable in the mirror, or failed, after `took`.
    pub(crate) fn wrote(&self, took: Duration) {
        self.writes.add(took.as_secs_f64());
    }
}

/// Counters of an origin's threads.
#[derive(Debug)]
pub struct WriterCounts {
    mirror: OnceLock<Arc<MirrorCounts>>,
    writes: Spread<12>,
    groups: Spread<10>,
    builds: Spread<9>,
    queued: AtomicU64,
    /// Unix seconds, 0 for none.
    snapshot: AtomicU64,
}

impl Default for WriterCounts {
    fn default() -> Self {
        Self {
            mirror: OnceLock::new(),
            writes: Spread::new(&WRITE_BOUNDS),
            groups: Spread::new(&GROUP_BOUNDS),
            builds: Spread::new(&BUILD_BOUNDS),
            queued: AtomicU64::new(0),
            snapshot: AtomicU64::new(0),
        }
    }
}

impl WriterCounts {
    /// A group of so many events was durable after `took`.
    pub(crate) fn wrote(&self, events: usize, took: Duration) {
        self.groups.add(events as f64);
        self.writes.add(took.as_secs_f64());
    }

    /// The journal has a mirror that counts there.
    pub(crate) fn has_mirror(&self, counts: &Arc<MirrorCounts>) {
        self.mirror.get_or_init(|| Arc::clone(counts));
    }

    /// A table was there `took` after its release was decided.
    pub(crate) fn built(&self, took: Duration) {
        self.builds.add(took.as_secs_f64());
    }

    /// A command waits for the writer.
    pub(crate) fn queues(&self) {
        self.queued.fetch_add(1, Relaxed);
    }

    /// It does not any more.
    pub(crate) fn leaves(&self) {
        self.queued.fetch_sub(1, Relaxed);
    }

    /// The newest snapshot is of that time, Unix seconds.
    pub(crate) fn snapshot_at(&self, unix: u64) {
        self.snapshot.store(unix, Relaxed);
    }

    /// Adds all of it to a page of `now`, Unix seconds.
    pub(crate) fn write(&self, page: &mut MetricsText, now: u64) {
        let help = "Time from the decision about a group to its being durable in the journal.";
        self.writes.write(page, "tekd_journal_write_seconds", help);
        if let Some(mirror) = self.mirror.get() {
            let help =
                "Time in which a group was durable in the mirror of the journal, part of the time above.";
            mirror.writes.write(page, "tekd_mirror_write_seconds", help);
        }
        self.groups.write(page, "tekd_journal_group_events", "Events of a group.");
        let help = "Time from a decided release to its table.";
        self.builds.write(page, "tekd_build_seconds", help);
        let help = "Commands that wait for the writer.";
        page.gauge("tekd_writer_queue", help, &[], self.queued.load(Relaxed) as f64);
        let snapshot = self.snapshot.load(Relaxed);
        if snapshot > 0 {
            let help = "Age of the newest snapshot.";
            page.gauge("tekd_snapshot_age_seconds", help, &[], now.saturating_sub(snapshot) as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_their_buckets_and_sum_up() {
        let counts = WriterCounts::default();
        counts.wrote(1, Duration::from_micros(500));
        counts.wrote(3, Duration::from_millis(15));
        counts.wrote(5000, Duration::from_secs(9));
        counts.built(Duration::from_secs(2));
        counts.queues();
        counts.queues();
        counts.leaves();
        counts.snapshot_at(100);
        let mut page = MetricsText::new();
        counts.write(&mut page, 160);
        let page = page.render();
        for line in [
            "tekd_journal_write_seconds_bucket{le=\"0.0005\"} 1",
            "tekd_journal_write_seconds_bucket{le=\"0.01\"} 1",
            "tekd_journal_write_seconds_bucket{le=\"0.02\"} 2",
            "tekd_journal_write_seconds_bucket{le=\"+Inf\"} 3",
            "tekd_journal_write_seconds_sum 9.0155",
            "tekd_journal_group_events_bucket{le=\"4\"} 2",
            "tekd_journal_group_events_count 3",
            "tekd_build_seconds_bucket{le=\"3\"} 1",
            "tekd_writer_queue 1",
            "tekd_snapshot_age_seconds 60",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in {page}");
        }
    }
}
