//! A crew of threads, for tasks that do not depend on each other.

use std::sync::Mutex;

use crate::engine::{Crew, Task};

/// So many threads, for as long as there are tasks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Threads(usize);

impl Threads {
    /// One for each core.
    pub(super) fn on_all_cores() -> Self {
        Threads(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Crew for Threads {
    fn hands(&self) -> usize {
        self.0.max(1)
    }

    fn carry_out(&self, tasks: Vec<Task<'_>>) {
        let helpers = self.hands().min(tasks.len()).saturating_sub(1);
        let tasks = Mutex::new(tasks.into_iter());
        let next = || tasks.lock().expect("no task runs under the lock").next();
        let work = || std::iter::from_fn(next).for_each(|task| task());
        std::thread::scope(|threads| {
            for _ in 0..helpers {
                threads.spawn(work);
            }
            work();
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn every_task_is_carried_out_and_as_many_at_once_as_there_are_hands() {
        for hands in 0..4 {
            let (sum, meet) = (AtomicU32::new(0), Barrier::new(hands.max(1)));
            let task = |n: u32| -> Task<'_> {
                let (sum, meet, all) = (&sum, &meet, 12);
                Box::new(move || {
                    // The tasks are a multiple of the hands: nobody waits here for ever.
                    meet.wait();
                    assert!(n < all);
                    sum.fetch_add(1 << n, Ordering::Relaxed);
                })
            };
            Threads(hands).carry_out((0..12).map(task).collect());
            assert_eq!(sum.into_inner(), (1 << 12) - 1, "{hands} hands");
        }
        Threads(2).carry_out(Vec::new());
    }
}
