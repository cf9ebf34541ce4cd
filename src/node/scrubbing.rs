//! Closed segments of the journal, and of its mirror, read again once a day: rot is told while another copy
//! is there, not on the day the journal is needed.
//!
//! One thread that reads a piece and pauses, so that it is in nobody's way (spec 5.9.9). It changes nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::background::stand_back;
use super::clock::Clock;
use super::health::Finding;
use crate::service::metrics::MetricsText;
use crate::store::Disk;
use crate::store::journal::{ClosedSegment, JournalError, LogId, closed_segments, whole_in};

/// How long after the end of a pass the next one begins.
const EVERY: Duration = Duration::from_secs(86_400);
/// Bytes that are read between two pauses.
const PIECE: u64 = 1 << 20;
/// A pause: 20 MiB are read in a second at most.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a list is read again whose segments are dropped meanwhile.
const ATTEMPTS: usize = 3;
/// The properties of health that damage in the journal and in its mirror takes away.
const PROPERTIES: [&str; 2] = ["journal", "mirror"];

/// A journal's directories.
pub(super) struct Journals {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) log_id: LogId,
    /// Its own, and that of its mirror if it has one.
    pub(super) dirs: Vec<PathBuf>,
}

/// How far a pass is, and what was found.
#[derive(Debug, Default)]
pub struct Scrubbing {
    done: AtomicU64,
    all: AtomicU64,
    /// When the last whole pass ended, Unix seconds; 0 before the first.
    passed: AtomicU64,
    damage: Mutex<Vec<Finding>>,
}

impl Scrubbing {
    /// What is damaged, a finding for each file.
    pub fn damage(&self) -> Vec<Finding> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds how far it is to a page.
    pub(super) fn write(&self, page: &mut MetricsText) {
        let help =
            "Bytes of closed segments, those of the mirror included, that the scrubber's pass goes through.";
        page.gauge("tekd_verify_bytes", help, &[("state", "all")], self.all.load(Relaxed) as f64);
        page.gauge("tekd_verify_bytes", help, &[("state", "done")], self.done.load(Relaxed) as f64);
        let help = "When the scrubber had last read all closed segments, 0 before the first time.";
        page.gauge("tekd_verified_time_seconds", help, &[], self.passed.load(Relaxed) as f64);
    }

    fn found(&self, finding: Finding) {
        tracing::error!("{}: {}", finding.property, finding.text);
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }

    /// Reads everything once; `pause` is called after each piece and ends it by `false`. Whether it came to
    /// the end.
    pub(super) fn pass(&self, journals: &Journals, pause: &mut dyn FnMut() -> bool) -> bool {
        let before = self.damage().len();
        let lists: Vec<Vec<ClosedSegment>> = (0..journals.dirs.len())
            .map(|nth| {
                journals.list(nth).unwrap_or_else(|error| {
                    self.found(journals.finding(nth, error));
                    Vec::new()
                })
            })
            .collect();
        let all = lists.iter().flatten().map(ClosedSegment::bytes).sum();
        self.done.store(0, Relaxed);
        self.all.store(all, Relaxed);
        let mut unpaused = 0;
        for (nth, list) in lists.iter().enumerate() {
            for segment in list {
                let mut at = 0;
                let verified = segment.verify(&*journals.disk, &mut |read| {
                    unpaused += read - at;
                    at = read;
                    if unpaused < PIECE {
                        return true;
                    }
                    unpaused = 0;
                    pause()
                });
                match verified {
                    Ok(false) => return false,
                    Err(error) if !journals.is_dropped(segment.file()) => {
                        self.found(journals.finding(nth, error));
                    }
                    Ok(true) | Err(_) => {}
                }
                self.done.fetch_add(segment.bytes(), Relaxed);
            }
        }
        // What was found before and was not now has been put right.
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).drain(..before);
        true
    }
}

impl Journals {
    fn list(&self, nth: usize) -> Result<Vec<ClosedSegment>, JournalError> {
        let mut attempt = 1;
        loop {
            match closed_segments(&*self.disk, &self.dirs[nth], &self.log_id) {
                Err(JournalError::Disk { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                listed => return listed,
            }
        }
    }

    fn is_dropped(&self, file: &Path) -> bool {
        matches!(self.disk.inode(file), Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    fn finding(&self, nth: usize, error: JournalError) -> Finding {
        let text = match self.dirs.get(1 - nth) {
            Some(other) => whole_in(&*self.disk, other, &self.log_id, error).to_string(),
            None => error.to_string(),
        };
        Finding { property: PROPERTIES[nth], text }
    }
}

/// The thread that verifies. Dropping it stops it.
pub(super) struct Scrubber {
    state: Arc<Scrubbing>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scrubber {
    pub(super) fn start(journals: Journals, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let state = Arc::new(Scrubbing::default());
        let (stop, stopped) = sync_channel(1);
        let seen = Arc::clone(&state);
        let thread = std::thread::Builder::new().name("tekd-scrubber".to_owned()).spawn(move || {
            stand_back();
            while seen.pass(&journals, &mut || waits(&stopped, PAUSE)) {
                seen.passed.store(clock.now().unix, Relaxed);
                if !waits(&stopped, EVERY) {
                    return;
                }
            }
        })?;
        Ok(Scrubber { state, stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn state(&self) -> &Arc<Scrubbing> {
        &self.state
    }
}

/// Waits; whether nobody asked to stop meanwhile.
fn waits(stopped: &Receiver<()>, time: Duration) -> bool {
    stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
}

impl Drop for Scrubber {
    fn drop(&mut self) {
        self.stop = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the scrubber's thread panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::SteppedClock;
    use crate::store::MemoryDisk;
    use crate::store::journal::{Journal, LocalJournal, MIN_SEGMENT, Options, Record};

    const LOG: LogId = [3; 16];
    /// More than a piece.
    const GROUP: usize = 1_100_000;
    const DIRS: [&str; 2] = ["/data/journal", "/mirror"];

    /// The same journal in both directories: four closed segments of a group each, and one more.
    fn journals(disk: &MemoryDisk) -> Journals {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let options = Options { segment_bytes: MIN_SEGMENT, check_all: true };
        for dir in DIRS.map(Path::new) {
            let mut journal = LocalJournal::create(shared.clone(), dir, LOG, 1, options).unwrap();
            for seq in 1..=5 {
                let record = Record { kind: 1, version: 0, seq, time_s: 1, payload: vec![7; GROUP] };
                let head = journal.head();
                journal.append(&head, &[record], 1000).unwrap();
            }
        }
        Journals { disk: shared, log_id: LOG, dirs: DIRS.map(PathBuf::from).to_vec() }
    }

    fn segment(dir: &str, number: u32) -> PathBuf {
        Path::new(dir).join(format!("segment-{number:010}.journal"))
    }

    #[test]
    fn damage_in_a_closed_segment_is_found_until_it_is_put_right() {
        let disk = MemoryDisk::new();
        let journals = journals(&disk);
        let state = Scrubbing::default();
        let mut pauses = 0;
        let mut pause = || {
            pauses += 1;
            true
        };
        assert!(state.pass(&journals, &mut pause));
        let all = 8 * disk.open(&segment(DIRS[0], 1)).unwrap().len().unwrap();
        assert_eq!(
            (state.damage(), state.done.load(Relaxed), state.all.load(Relaxed)),
            (Vec::new(), all, all)
        );

        disk.damage(&segment(DIRS[0], 1), 5000, 1).unwrap();
        disk.damage(&segment(DIRS[1], 2), 200, 1).unwrap();
        assert!(state.pass(&journals, &mut pause));
        let told: Vec<(&str, String)> = state.damage().into_iter().map(|f| (f.property, f.text)).collect();
        let [("mirror", header), ("journal", group)] = &told[..] else { panic!("{told:?}") };
        assert!(header.contains("/mirror/segment-0000000002.journal is damaged at byte 0"), "{header}");
        assert!(
            group.contains("/data/journal/segment-0000000001.journal is damaged at byte 4096"),
            "{group}"
        );
        assert!(!group.contains("is whole"), "the mirror cannot be listed: {group}");

        disk.damage(&segment(DIRS[1], 2), 200, 1).unwrap();
        assert!(state.pass(&journals, &mut pause));
        let told = state.damage();
        assert!(told.len() == 1 && told[0].text.contains("/mirror is whole there"), "{told:?}");

        disk.damage(&segment(DIRS[0], 1), 5000, 1).unwrap();
        assert!(state.pass(&journals, &mut pause));
        assert_eq!(state.damage(), []);
        assert!(pauses > 20 && !state.pass(&journals, &mut || false), "it stops when it is told to");
    }

    #[test]
    fn a_segment_that_is_dropped_meanwhile_is_no_damage() {
        let disk = MemoryDisk::new();
        let journals = journals(&disk);
        let dropping = disk.clone();
        let state = Scrubbing::default();
        assert!(state.pass(&journals, &mut || {
            let _ = dropping.remove(&segment(DIRS[0], 2));
            true
        }));
        assert_eq!(state.damage(), []);
        assert!(disk.inode(&segment(DIRS[0], 2)).is_err());
    }

    #[test]
    fn the_thread_verifies_and_stops() {
        let disk = MemoryDisk::new();
        let scrubber = Scrubber::start(journals(&disk), Arc::new(SteppedClock::new(77))).unwrap();
        while scrubber.state().passed.load(Relaxed) == 0 {
            std::thread::yield_now();
        }
        let mut page = MetricsText::new();
        scrubber.state().write(&mut page);
        let page = page.render();
        let all = 8 * disk.open(&segment(DIRS[0], 1)).unwrap().len().unwrap();
        assert!(page.contains(&format!("tekd_verify_bytes{{state=\"done\"}} {all}")), "{page}");
        assert!(page.contains("tekd_verified_time_seconds 77"), "{page}");
    }
}
