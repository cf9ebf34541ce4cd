//! A progress bar on stderr, for work that takes longer than two seconds.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Work that takes longer than this shows how far it has come.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bar that appears once the work has taken long enough. It draws nothing where stderr is no terminal.
pub(crate) struct Progress {
    what: &'static str,
    bytes: bool,
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Progress of `what`, counted in things.
    pub(crate) fn of(what: &'static str) -> Self {
        Self::since(Instant::now(), what, false)
    }

    /// Progress of `what`, counted in bytes.
    pub(crate) fn of_bytes(what: &'static str) -> Self {
        Self::since(Instant::now(), what, true)
    }

    fn since(began: Instant, what: &'static str, bytes: bool) -> Self {
        Self { what, bytes, began, bar: None }
    }

    /// How far it is; `total` if that is known.
    pub(crate) fn at(&mut self, done: u64, total: Option<u64>) {
        if self.bar.is_none() && self.began.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::no_length().with_message(self.what).with_elapsed(self.began.elapsed());
            bar.with_style(style(self.bytes, total.is_some()))
        });
        if let Some(total) = total.filter(|total| bar.length() != Some(*total)) {
            bar.set_style(style(self.bytes, true));
            bar.set_length(total);
        }
        bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(bytes: bool, bounded: bool) -> ProgressStyle {
    let template = match (bytes, bounded) {
        (false, true) => "{msg} {wide_bar} {human_pos}/{human_len} {eta}",
        (false, false) => "{msg} {human_pos} {elapsed}",
        (true, true) => "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        (true, false) => "{msg} {bytes} {bytes_per_sec} {elapsed}",
    };
    ProgressStyle::with_template(template).expect("the templates above are well formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_work_shows_nothing_and_long_work_a_bar() {
        let mut short = Progress::of("groups");
        short.at(1, Some(2));
        assert!(short.bar.is_none());
        let began = Instant::now().checked_sub(PATIENCE).expect("the machine runs for two seconds");
        let mut long = Progress::since(began, "objects", true);
        long.at(1, None);
        long.at(2, Some(4));
        let bar = long.bar.as_ref().expect("two seconds have passed");
        assert_eq!((bar.position(), bar.length()), (2, Some(4)));
    }
}
