//! Floor 2: decisions. Answers to questions, events from inputs, releases from events.
//! No clock, no thread, no socket.
//!
//! *A question's way*: a transport fills [`Slot`]s, [`Gate`] lets through what may be answered, and what is
//! answered comes out of one [`View`].
//!
//! *A report's way*: [`Writer::plan`] turns an [`Input`] into events and applies them to the [`State`]; the
//! caller makes them durable; [`Writer::committed`] gives out replies and work. A release becomes a table
//! ([`next_table`]), the table a checkpoint, and both a new [`View`].

mod slot;
mod random;
mod codec;
mod params;
mod event;
mod set;
mod state;
mod snapshot;
mod guard;
mod releasing;
mod input;
mod manifest;
mod checkpoint;
mod table;
mod writer;
mod rebuild;
mod objects;
mod view;
mod cookie;
mod limiter;
mod answer;
mod gate;

pub use codec::DecodeError;
pub use cookie::{Cookies, Proof};
pub use event::{
    Changes, Configured, DECOY_PROVIDER, EVENT_VERSION, Event, Founded, KeyWithdrawn, MAX_KEYS_PER_REPORT,
    MAX_TEXT, ProviderAdded, Published, Released, Reported, ReportedKey,
};
pub use gate::{AnswerCounters, Gate};
pub use guard::{ClockAlarm, ClockGuard, MAX_JUMP_S};
pub use input::{
    BuiltRelease, ImportCounts, ImportedKey, Input, ParamsChange, Refusal, ReleaseSummary, Reply,
    WithdrawCount,
};
pub use limiter::{Admission, Limiter};
pub use manifest::{MAX_FUTURE_S, MAX_KEYS_PER_START, PERIOD, TOO_OLD_S, fresh_s};
pub use objects::{Kind, Objects, Offer, Shelf, Source};
pub use params::{DEFAULT_PARAMS, Params, ParamsError};
pub use random::{Random, Seeded};
pub use rebuild::{Rebuild, RebuildError, replay};
pub use releasing::{Held, Occasion};
pub use set::{FoldError, ReleaseOutcome, SetState, TableMark};
pub use slot::{Carrier, Moment, Outcome, Peer, Respond, Silence, Slot, Ticket};
pub use state::{Applied, Provider, State};
pub use table::{BuiltTable, Place, TableContext, build_from, next_table};
pub use view::{ReleaseView, SetView, View, WISHES_MAX, Wish};
pub use writer::{Committed, MAX_IMPORT_KEYS, MAX_PROVIDERS, MAX_SETS, Work, Writer, next_release};
