//! Why a thread of the origin has stopped, for whoever still asks it.
//!
//! fail-stop: the first reason stays. A thread that panics leaves one too: a [`Watch`] on its stack says so
//! before what the thread held is dropped.

use std::sync::{Arc, Mutex, PoisonError};

/// Why nothing is confirmed any more, once that is so.
#[derive(Debug, Default)]
pub(crate) struct Latch(Mutex<Option<String>>);

impl Latch {
    /// The reason, if there is one.
    pub(crate) fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says why; a reason that is there already stays.
    pub(crate) fn set(&self, why: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    /// Watches the calling thread, which does `what`, until the result is dropped.
    pub(crate) fn watch(self: &Arc<Self>, what: &'static str) -> Watch {
        Watch { latch: Arc::clone(self), what }
    }
}

/// Says on its thread's panic that there was one.
#[derive(Debug)]
pub(crate) struct Watch {
    latch: Arc<Latch>,
    what: &'static str,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let what = self.what;
            tracing::error!("the {what}'s thread panicked: nothing is confirmed any more; restart tekd");
            self.latch.set(format!(
                "the {what}'s thread panicked, which is a mistake of tekd: restart it, and report what it said"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays() {
        let latch = Latch::default();
        assert_eq!(latch.why(), None);
        latch.set("the disk".to_owned());
        latch.set("the rest".to_owned());
        assert_eq!(latch.why().as_deref(), Some("the disk"));
    }

    #[test]
    fn a_panic_leaves_a_reason_and_a_quiet_end_none() {
        let latch = Arc::new(Latch::default());
        let quiet = Arc::clone(&latch);
        std::thread::spawn(move || drop(quiet.watch("quiet"))).join().expect("no panic");
        assert_eq!(latch.why(), None);
        let loud = Arc::clone(&latch);
        let ended = std::thread::spawn(move || {
            let _watch = loud.watch("loud");
            panic!("on purpose");
        });
        assert!(ended.join().is_err());
        assert!(latch.why().expect("a reason").starts_with("the loud's thread panicked"));
    }
}
