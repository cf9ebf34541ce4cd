//! Work that falls into tasks which do not depend on each other, and who carries them out.
//!
//! There are no threads on this floor. Whoever has some lends them as a [`Crew`]; what is made is the same
//! with every crew, whatever the order in which it takes the tasks.

/// One task.
pub type Task<'t> = Box<dyn FnOnce() + Send + 't>;

/// Who carries tasks out.
pub trait Crew {
    /// Into how many tasks of one size work is best divided.
    fn hands(&self) -> usize;

    /// Carries all of them out, in any order; returns when the last is done.
    fn carry_out(&self, tasks: Vec<Task<'_>>);
}

/// One task after the other, by the caller.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl Crew for Alone {
    fn hands(&self) -> usize {
        1
    }

    fn carry_out(&self, tasks: Vec<Task<'_>>) {
        tasks.into_iter().for_each(|task| task());
    }
}
