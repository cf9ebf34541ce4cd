//! What a server is put through in a round of a comparison.

use crate::pace::Pace;

/// Questions out at once: two batches, one being answered while the other is on its way.
pub(crate) const WINDOW: u32 = 128;
/// Trains out at once.
const TRAINS_OUT: u32 = 32;

/// One kind of run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// As many questions as the server answers.
    Full,
    /// The same with so many keys in each question.
    Keys(u8),
    /// So many questions in one train of datagrams (UDP_SEGMENT), as a relay sends them.
    Train(u8),
    /// So many questions out at once: how long one answer takes.
    Outstanding(u32),
    /// So many questions a second, whatever the server does.
    Rate(u64),
}

impl Course {
    /// Its name in results: `throughput`, `keys-16`, `train-16`, `outstanding-1`, `rate-20000`.
    pub fn name(self) -> String {
        match self {
            Course::Full => "throughput".to_owned(),
            Course::Keys(keys) => format!("keys-{keys}"),
            Course::Train(questions) => format!("train-{questions}"),
            Course::Outstanding(window) => format!("outstanding-{window}"),
            Course::Rate(rate) => format!("rate-{rate}"),
        }
    }

    /// What it asks for, in words.
    pub fn title(self) -> String {
        match self {
            Course::Full => format!("answers a second, {WINDOW} questions out at once"),
            Course::Keys(keys) => format!("{keys} keys in each question, {WINDOW} questions out at once"),
            Course::Train(questions) => {
                format!("trains of {questions} questions, {TRAINS_OUT} trains out at once")
            }
            Course::Outstanding(1) => "latency, one question out at a time".to_owned(),
            Course::Outstanding(window) => format!("latency, {window} questions out at once"),
            Course::Rate(rate) => format!("latency at {rate} questions a second"),
        }
    }

    /// Whether the server is to be as busy as it can: then answers a second count, or else latencies.
    pub fn fills(self) -> bool {
        matches!(self, Course::Full | Course::Keys(_) | Course::Train(_))
    }

    pub(crate) fn pace(self) -> Pace {
        match self {
            Course::Full | Course::Keys(_) => Pace::Window(WINDOW),
            Course::Train(questions) => Pace::Window(TRAINS_OUT * u32::from(questions)),
            Course::Outstanding(window) => Pace::Window(window),
            Course::Rate(rate) => Pace::Rate(rate),
        }
    }

    /// Questions in each train.
    pub(crate) fn train(self) -> usize {
        if let Course::Train(questions) = self { questions.into() } else { 1 }
    }

    /// Keys in each question.
    pub(crate) fn keys(self) -> u8 {
        if let Course::Keys(keys) = self { keys } else { 1 }
    }
}
