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
mod crew;
mod codec;
mod params;
mod told;
mod event;
mod event_keys;
mod event_bytes;
mod set;
mod state;
mod snapshot;
mod guard;
mod releasing;
mod input;
mod refusal;
mod codes;
mod manifest;
mod checkpoint;
mod table;
mod writer;
mod opening;
mod redacted;
mod deadlines;
mod rebuild;
mod shown;
mod audit;
mod objects;
mod view;
mod cookie;
mod limiter;
mod counters;
mod answer;
mod gate;

pub use audit::{Audit, AuditError, Signed, SignedKind, Unverifiable};
pub use codec::DecodeError;
pub use codes::Codes;
pub use cookie::{Cookies, Proof};
pub use counters::AnswerCounters;
pub use crew::{Alone, Crew, Task};
pub use deadlines::{ANSWER_AFTER_MS, Deadlines, Full, Leaving, MAX_SEALED, Punctuality};
pub use event::{
    Amended, Authored, Based, Changes, CodesIssued, Configured, DECOY_PROVIDER, EVENT_VERSION, Event,
    Founded, MAX_KEYS_PER_REPORT, MAX_TEXT, ProviderAdded, ProviderKeyRevoked, ProviderStood, Published,
    Released, Reported, ReportedKey, SealKey, Withdrawn,
};
pub use gate::{Gate, TakeSealed};
pub use guard::{ClockAlarm, ClockGuard, MAX_DOWNTIME_S, MAX_JUMP_S};
pub use input::{
    BuiltRelease, CodeOrder, ImportCounts, ImportedKey, Input, IssuedCodes, ParamsChange, Presented,
    PresentedKey, ReleaseSummary, Reply, ReportReply, ReportRequest, WithdrawCount,
};
pub use limiter::{Admission, Limiter};
pub use manifest::{MAX_FUTURE_S, MAX_KEYS_PER_START, PERIOD, TOO_OLD_S, fresh_s};
pub use objects::{Kind, Objects, Offer, Shelf, Source};
pub use opening::{
    ANSWER_NONCE_LEN, NotOpened, Opened, OpeningKeys, SEALED_FRAME, SealRing, answer as sealed_answer,
    open as open_sealed, opens_until, unopened_answer,
};
pub use params::{DEFAULT_PARAMS, Params, ParamsError};
pub use random::{Random, Seeded};
pub use rebuild::{Beside, Rebuild, RebuildError, Rebuilt, Recompute, is_as_signed, read_event, replay};
pub use refusal::Refusal;
pub use releasing::{Held, Occasion};
pub use set::{
    Bridge, Change, ClaimCount, FoldError, Later, ReleaseOutcome, ReportRecord, ReportStanding, SetState,
    TableMark,
};
pub use shown::{Shown, ShownError, VerifiedShown};
pub use slot::{Carrier, Moment, Outcome, Peer, Respond, Silence, Slot, Ticket};
pub use state::{Applied, Base, MAX_EARLIER_DELEGATIONS, State};
pub use table::{BuiltTable, Mend, Place, TableContext, build_from, next_table};
pub use told::Told;
pub use view::{ReleaseView, SetView, View, WISHES_MAX, Wish};
pub use writer::{
    Committed, MAX_IMPORT_KEYS, MAX_PROVIDERS, MAX_SEAL_KEYS, MAX_SETS, SEAL_KEY_LIFE_S, Secrets, Work,
    Writer, next_release,
};
