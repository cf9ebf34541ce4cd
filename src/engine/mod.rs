//! Floor 2: decisions. Answers to questions, events from inputs, releases from events.
//! No clock, no thread, no socket.

mod slot;

pub use slot::{Carrier, Moment, Outcome, Peer, Respond, Silence, Slot, Ticket};
