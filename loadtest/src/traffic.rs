//! Questions of one kind and what their answers are worth, as the loop of a run sees them.
//!
//! Question number `seq` is a pure function of a seed and `seq`, so nothing about a question is kept while it
//! is out: its answer is judged by drawing the question again.

use std::mem::offset_of;
use std::ops::Range;

use tekd::release::Checkpoint;
use tekd::wire::{Answer, AnswerError, Question, ResultCode};

use crate::dns_message::DnsFault;

/// Where the transaction id stands in a frame, in question and answer alike.
pub const TXID: Range<usize> = 16..24;

const _: () = assert!(offset_of!(Question, txid) == TXID.start && offset_of!(Answer, txid) == TXID.start);

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// It keeps the rules and says what is known.
    Right,
    /// It keeps the rules and says that there is no answer.
    Refused(ResultCode),
    /// It breaks a rule of the wire.
    Broken(AnswerError),
    /// A key that is in the set is said not to be.
    Absent,
    /// A key drawn at random is said to be in the set.
    Present,
    /// It is not what was sent.
    Changed,
    /// It keeps the rules, and what it says is not proved.
    Unproved(&'static str),
    /// It is no answer of a name server to the question.
    Dns(DnsFault),
}

impl std::fmt::Display for Judged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Judged::Right => f.write_str("it is right"),
            Judged::Refused(result) => write!(f, "{result:?}"),
            Judged::Broken(e) => e.fmt(f),
            Judged::Absent => f.write_str("a key of the set was said to be absent"),
            Judged::Present => f.write_str("a random key was said to be present"),
            Judged::Changed => f.write_str("not what was sent"),
            Judged::Unproved(what) => f.write_str(what),
            Judged::Dns(e) => e.fmt(f),
        }
    }
}

/// Questions of one kind and the judgement of their answers.
pub trait Traffic {
    /// Writes question `seq` into `out` (room for a datagram); returns its length.
    fn ask(&mut self, seq: u64, out: &mut [u8]) -> usize;
    /// Which question a frame claims to answer.
    fn answers(&self, frame: &[u8]) -> Option<u64>;
    /// What the answer to question `seq` is worth.
    fn judge(&mut self, seq: u64, frame: &[u8]) -> Judged;
    /// Within how many questions one after the other no two may be mistaken for each other.
    fn told_apart(&self) -> u64 {
        u64::MAX
    }
    /// Verifies under these checkpoints what was left for after the run; returns how many answers that were
    /// taken for right are wrong.
    fn settle(&mut self, _known: &[Checkpoint]) -> u64 {
        0
    }
    /// What the right answers were, by name.
    fn details(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
