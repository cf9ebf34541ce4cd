//! How little a core was idle, from `/proc/stat`.
//!
//! What a process used says less: interrupts that come while it runs are not its own, and a host that gives
//! the core to somebody else takes it from the process and not from the core.

use std::io;
use std::path::Path;

/// Places of idle time and of waiting for a disk among the numbers of a core.
const IDLE: usize = 3;
const DISK: usize = 4;
/// Numbers of a core from its own code to what the host took; those behind are counted in the first already.
const NUMBERS: usize = 8;

/// What became of the time of a core since the machine started, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CoreTimes {
    idle: u64,
    all: u64,
}

impl CoreTimes {
    /// Of a core, by the number that the kernel gives it.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub(crate) fn of(core: usize) -> io::Result<Self> {
        let text = std::fs::read_to_string(Path::new("/proc/stat"))?;
        Self::in_text(&text, core).ok_or_else(|| io::Error::other(format!("/proc/stat has no core {core}")))
    }

    fn in_text(text: &str, core: usize) -> Option<Self> {
        let name = format!("cpu{core}");
        let mut lines = text.lines().map(|line| line.split_ascii_whitespace());
        let numbers = lines.find_map(|mut words| (words.next()? == name).then_some(words))?;
        let numbers: Vec<u64> = numbers.take(NUMBERS).map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let idle = numbers.get(IDLE)? + numbers.get(DISK)?;
        Some(CoreTimes { idle, all: numbers.iter().sum() })
    }

    /// The part of the time since `earlier` in which it was not idle, to the thousandth.
    pub(crate) fn busy_since(self, earlier: CoreTimes) -> f64 {
        let (idle, all) =
            (self.idle.saturating_sub(earlier.idle), self.all.saturating_sub(earlier.all).max(1));
        ((1.0 - idle as f64 / all as f64) * 1e3).round() / 1e3
    }
}

/// Does something; with it, how busy `core` was meanwhile, where there is one and it can be told.
pub(crate) fn watching<T>(core: Option<usize>, what: impl FnOnce() -> T) -> (T, Option<f64>) {
    let times = || core.and_then(|core| CoreTimes::of(core).ok());
    let before = times();
    let done = what();
    (done, times().zip(before).map(|(now, before)| now.busy_since(before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "cpu  9 9 9 9 9 9 9 9 0 0\n\
                        cpu1 1 2 3 40 5 6 7 8 0 0\n\
                        cpu10 100 0 100 300 0 0 0 500 77 0\n\
                        intr 5\n";

    #[test]
    fn a_core_is_found_by_its_number_and_guests_are_not_counted_twice() {
        assert_eq!(CoreTimes::in_text(TEXT, 1), Some(CoreTimes { idle: 45, all: 72 }));
        assert_eq!(CoreTimes::in_text(TEXT, 10), Some(CoreTimes { idle: 300, all: 1000 }));
        assert_eq!(CoreTimes::in_text(TEXT, 0), None);
        assert_eq!(CoreTimes::in_text("cpu0 1 2 3\n", 0), None, "too few");
    }

    #[test]
    fn what_interrupts_and_the_host_take_is_not_idle() {
        let earlier = CoreTimes { idle: 100, all: 1000 };
        assert!((CoreTimes { idle: 130, all: 2000 }.busy_since(earlier) - 0.97).abs() < 1e-9);
        assert_eq!(earlier.busy_since(earlier), 1.0, "no tick has passed");
    }

    #[test]
    fn a_core_of_this_machine_can_be_watched() {
        let (done, busy) = watching(crate::system::cores().expect("known").first().copied(), || 7);
        assert!(done == 7 && busy.is_some_and(|busy| (0.0..=1.0).contains(&busy)));
        assert_eq!(watching(None, || 7), (7, None));
    }
}
