//! What is asked and what came back, independent of how either travels.
//!
//! An [`Asking`] can be written as often as it must be sent, each time with another
//! transaction id (spec 4.5.4). A [`Reply`] is a frame that kept the rules of the wire and
//! answers the question; it proves nothing (spec 1.4.2). Nothing here touches a socket,
//! a clock or a source of randomness.

use std::fmt;

use crate::wire::key::Key;
use crate::wire::layout::SealedQuestion;
use crate::wire::question::{Bucket, Fetch, Notify, Proof, Sync};
use crate::wire::{
    AnswerBody, AnswerError, AnswerView, BuildError, Expected, Operation, QuestionBuilder, ResultCode,
    ServiceId, parse_answer,
};

/// Where randomness comes from: fills the slice it is given.
pub type Random<'r> = dyn FnMut(&mut [u8]) + 'r;

/// Eight random bytes as a number.
pub(super) fn draw(random: &mut Random<'_>) -> u64 {
    let mut bytes = [0; 8];
    random(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// One question in sixteen carries grease (spec 1.1.7).
const GREASE_ONE_IN: u64 = 16;

/// One question before it has a transaction (spec 2).
#[derive(Clone, Copy)]
pub enum Ask<'a> {
    /// Spec 2.1.
    Info,
    /// Spec 2.2.
    Checkpoint,
    /// Spec 2.3: 1–32 keys of 16 bytes or 1–24 of 32.
    Lookup(&'a [Key]),
    /// Spec 2.4.
    Bucket(Bucket<'a>),
    /// Spec 2.5.
    Sync(Sync),
    /// Spec 2.6.
    Fetch(Fetch<'a>),
    /// Spec 2.7.
    Proof(Proof),
    /// Spec 2.8.
    Manifest,
    /// Spec 2.9.
    Sealed(&'a SealedQuestion),
    /// Spec 2.10.
    Notify(Notify),
}

impl Ask<'_> {
    /// The operation that is asked.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::Info => Operation::Info,
            Self::Checkpoint => Operation::Checkpoint,
            Self::Lookup(_) => Operation::Lookup,
            Self::Bucket(_) => Operation::Bucket,
            Self::Sync(_) => Operation::Sync,
            Self::Fetch(_) => Operation::Fetch,
            Self::Proof(_) => Operation::Proof,
            Self::Manifest => Operation::Manifest,
            Self::Sealed(_) => Operation::Sealed,
            Self::Notify(_) => Operation::Notify,
        }
    }

    /// Whether the answer is longer than the bare question, so that a source without a cookie
    /// gets it only if the question is padded (spec 1.3.4).
    #[must_use]
    pub fn outgrows_its_question(&self) -> bool {
        matches!(self, Self::Checkpoint | Self::Bucket(_) | Self::Sync(_) | Self::Fetch(_) | Self::Proof(_))
    }

    fn write(&self, builder: &QuestionBuilder, out: &mut [u8]) -> Result<usize, BuildError> {
        match self {
            Self::Info => builder.info(out),
            Self::Checkpoint => builder.checkpoint(out),
            Self::Lookup(keys) => builder.lookup(keys, out),
            Self::Bucket(bucket) => builder.bucket(bucket, out),
            Self::Sync(sync) => builder.sync(*sync, out),
            Self::Fetch(fetch) => builder.fetch(fetch, out),
            Self::Proof(proof) => builder.proof(*proof, out),
            Self::Manifest => builder.manifest(out),
            Self::Sealed(body) => builder.sealed(body, out),
            Self::Notify(notify) => builder.notify(*notify, out),
        }
    }
}

impl fmt::Debug for Ask<'_> {
    // no-trace: which keys are asked for is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation().name())
    }
}

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Milliseconds after which a question on UDP is given up.
    pub datagrams_ms: u64,
    /// Datagrams without an answer after which it is given up earlier.
    pub datagrams: u32,
    /// Milliseconds after which a question on a stream is given up, connecting included.
    pub stream_ms: u64,
}

/// Milliseconds that a person waits for a datagram: the first five retries lie within (spec 4.5.3).
const DATAGRAMS_MS: u64 = 10_000;
/// Most datagrams of one exchange.
pub(super) const MAX_DATAGRAMS: u32 = 16;
/// Unanswered datagrams after which a stream is tried, where there is one (spec 4.5.5).
const BEFORE_STREAM: u32 = 3;
const STREAM_MS: u64 = 30_000;

const _: () = assert!(BEFORE_STREAM < MAX_DATAGRAMS);

impl Patience {
    /// Patience of a client that has a stream to turn to (spec 4.5.5).
    #[must_use]
    pub fn before_stream(self) -> Self {
        Self { datagrams: self.datagrams.min(BEFORE_STREAM), ..self }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { datagrams_ms: DATAGRAMS_MS, datagrams: MAX_DATAGRAMS, stream_ms: STREAM_MS }
    }
}

/// A question to a service about a set.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The service that is asked.
    pub service: ServiceId,
    /// The set that is asked about.
    pub set: u32,
    /// What is asked.
    pub ask: Ask<'a>,
    /// How long the answer is waited for.
    pub patience: Patience,
}

impl Asking<'_> {
    /// Writes the question into `out` under a fresh random transaction id and gives its length and
    /// the answer it expects.
    ///
    /// `cookie`: the server's last, or 0. `pad_to`: length in bytes that PAD brings it to, or 0.
    ///
    /// # Errors
    /// [`BuildError`] if it does not fit or is none.
    pub fn write(
        &self,
        cookie: u64,
        pad_to: usize,
        random: &mut Random<'_>,
        out: &mut [u8],
    ) -> Result<(usize, Expected), BuildError> {
        let (txid, dice) = (draw(random), draw(random));
        let grease = if dice.is_multiple_of(GREASE_ONE_IN) { (dice >> 32) as u16 } else { 0 };
        let new = QuestionBuilder::new(self.service, self.set, txid);
        let length = self.ask.write(&QuestionBuilder { cookie, pad_to, grease, ..new }, out)?;
        let operation = self.ask.operation();
        Ok((length, Expected { service: self.service, txid, set: self.set, operation }))
    }
}

/// A server's word that it does not answer: a hint, never a fact about a key or a set (spec 1.4.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{}{}", result.name(), self.meaning(), self.when(), self.words())]
pub struct Refused {
    /// Anything but OK.
    pub result: ResultCode,
    /// TRUNCATED: length of the answer; RANGE: the limit; CRITICAL: the type; else 0.
    pub info: u32,
    /// Seconds to wait before asking again, as the server says (spec 4.5.1).
    pub wait_s: u16,
    /// What the server adds for people, without control characters.
    pub text: Option<String>,
}

impl Refused {
    fn meaning(&self) -> String {
        match self.result {
            ResultCode::Truncated => {
                format!(" (the answer has {} bytes: use a stream, --transport tls)", self.info)
            }
            ResultCode::Range => format!(" (the limit is {})", self.info),
            ResultCode::Set => " (the server has no such set, or its keys have another length)".into(),
            ResultCode::Version => " (the server does not speak version 1 of the protocol)".into(),
            ResultCode::Unavailable => " (the set has no verified release there yet)".into(),
            ResultCode::Transport => " (not served on UDP: use --transport tls)".into(),
            ResultCode::Cookie => " (the server does not accept the cookies it gives)".into(),
            _ => String::new(),
        }
    }

    fn when(&self) -> String {
        if self.wait_s == 0 { String::new() } else { format!(", ask again in {} s", self.wait_s) }
    }

    fn words(&self) -> String {
        self.text.as_ref().map_or_else(String::new, |text| format!(": {text}"))
    }
}

/// A frame that answers a question and keeps the rules of the wire. Unverified.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    frame: Vec<u8>,
    expected: Expected,
    on_stream: bool,
}

impl Reply {
    /// Reads a frame as the answer to an open question.
    ///
    /// # Errors
    /// [`AnswerError`]; while it [is foreign](AnswerError::is_foreign) the question stays open.
    pub fn read(frame: &[u8], expected: &Expected, on_stream: bool) -> Result<Self, AnswerError> {
        parse_answer(frame, expected, on_stream)?;
        Ok(Self { frame: frame.to_vec(), expected: *expected, on_stream })
    }

    /// Header and body.
    #[must_use]
    pub fn view(&self) -> AnswerView<'_> {
        parse_answer(&self.frame, &self.expected, self.on_stream).expect("the frame was read before")
    }

    /// Why the question was not answered; `None` if it was.
    #[must_use]
    pub fn refused(&self) -> Option<Refused> {
        let view = self.view();
        let AnswerBody::Refused(refusal) = view.body else { return None };
        let clean = |c: char| if c.is_control() { '?' } else { c };
        Some(Refused {
            result: refusal.result,
            info: refusal.info,
            wait_s: view.header.wait.get(),
            text: refusal.text.map(|text| text.chars().map(clean).collect()),
        })
    }

    /// The whole frame.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.expected.operation.name(), self.frame.len())
    }
}
