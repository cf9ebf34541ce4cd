//! The wire: what a frame is, to the byte (protocol-spec pages 1 and 2).
//!
//! Views and codecs over bytes the caller owns, on `core` alone: nothing here
//! allocates, reads a clock or touches a socket. A server parses with [`question`] and
//! answers with [`answer`] and [`slot`]; a client asks with [`ask`] and reads with
//! [`reply`]. What an answer proves is judged a floor above, in `release`.

pub mod key;
pub mod report;
pub mod header;
pub mod tlv;
pub mod slot;
pub mod layout;
pub mod question;
pub mod answer;
pub mod ask;
pub mod fault;
pub mod contents;
pub mod reply;
pub mod request;
pub mod outcome;

pub use answer::{AnswerHeader, refuse, version_answer};
pub use ask::{BuildError, QuestionBuilder};
pub use contents::AnswerBody;
pub use fault::AnswerError;
pub use header::{
    Answer, FIRST_BYTE, FLAG_DRAINING, FLAG_HISTORY, FLAG_LONG_KEYS, FLAG_STALE, HEADER_LEN,
    MAX_ANSWER_STREAM, MAX_DATAGRAM, MAX_QUESTION_STREAM, Operation, Question, ResultCode, ServiceId,
};
pub use key::Key;
pub use question::{Body, Parsed, SilentReason, is_repeatable, parse};
pub use reply::{AnswerView, Expected, parse_answer};

#[cfg(test)]
mod tests;
