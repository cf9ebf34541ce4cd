//! The invariants that a step may break, by name, and how a broken one ends a run.

/// What must hold, as DESIGN.md and the specification name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invariant {
    /// No receipt leaves before its event is on stable storage.
    DurableBeforeReceipt,
    /// A group of the journal is there whole or not at all.
    WholeGroups,
    /// Nothing in the journal changes.
    AppendOnly,
    /// A grant is spent if and only if its report is stored.
    SpentWithReport,
    /// The same request again gets the same receipt.
    OneReceipt,
    /// What was taken back stays so.
    TakenBack,
    /// The state is a fold of the journal, and what the naive model says.
    StateIsAFold,
    /// Nothing is public before its embargo ends.
    Embargo,
    /// No release adds or removes one report's keys alone.
    Company,
    /// A node holds nothing private.
    PublicOnlyNodes,
    /// Nodes and clients accept only what verifies, and never go back.
    VerifiedBeforeServed,
    /// Deltas lead to the full set.
    Deltas,
    /// An answer comes from one release.
    OneRelease,
    /// An answer to an unproved source is no longer than its question.
    NeverAmplify,
    /// After an I/O error on the journal nothing is confirmed.
    FailStop,
    /// A clock that jumped holds releases.
    ClockGuard,
    /// What a fault stopped goes on when the fault is over.
    Liveness,
}

impl Invariant {
    /// Ends the run unless `holds`.
    #[track_caller]
    pub(crate) fn must(self, holds: bool, what: impl FnOnce() -> String) {
        assert!(holds, "invariant {self:?} is broken: {}", what());
    }

    /// Ends the run.
    #[track_caller]
    pub(crate) fn broken(self, what: &str) -> ! {
        panic!("invariant {self:?} is broken: {what}");
    }

    /// Runs a check whose own panics mean that this is broken.
    pub(crate) fn unless_panics<T>(self, check: impl FnOnce() -> T) -> T {
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
        checked.unwrap_or_else(|payload| self.broken(&said(&*payload)))
    }

    /// Whether the message of a panic says that this is broken.
    pub(crate) fn is_named_in(self, message: &str) -> bool {
        message.starts_with(&format!("invariant {self:?} is broken"))
    }
}

/// The message of a panic.
pub(crate) fn said(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
}
