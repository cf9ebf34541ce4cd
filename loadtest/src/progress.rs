//! A bar on stderr for work that takes longer than two seconds.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work shorter than this shows no bar.
const QUIET: Duration = Duration::from_secs(2);

/// How far a piece of work is.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    started: Instant,
}

impl Progress {
    /// `what` is done when `total` steps are.
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg} [{bar:40}] {human_pos}/{human_len}, {eta} left")
            .expect("the template is a constant")
            .progress_chars("=> ");
        bar.set_style(style);
        bar.set_message(what);
        Progress { bar, started: Instant::now() }
    }

    /// `steps` more are done.
    pub(crate) fn advance(&self, steps: u64) {
        if self.bar.is_hidden() && self.started.elapsed() >= QUIET {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(steps);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
