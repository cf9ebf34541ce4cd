//! What questions to one set of one server have in common: who asks whom, by which numbers and with which
//! cookie.

use tekd::wire::{AnswerBody, AnswerView, Expected, Operation, QuestionBuilder, ServiceId, parse_answer};

use crate::draw::Draw;
use crate::traffic::{Judged, TXID};

/// One asker.
#[derive(Debug, Clone)]
pub(crate) struct Conversation {
    builder: QuestionBuilder,
    first_txid: u64,
    on_stream: bool,
}

impl Conversation {
    /// About `set` of `service`. Conversations of one seed number their questions alike.
    pub(crate) fn new(service: ServiceId, set: u32, seed: u64) -> Self {
        let first_txid = Draw::new(seed).number();
        Conversation { builder: QuestionBuilder::new(service, set, 0), first_txid, on_stream: false }
    }

    /// Sends this cookie with every question from now on.
    pub(crate) fn set_cookie(&mut self, cookie: u64) {
        self.builder.cookie = cookie;
    }

    /// The same over a connection.
    pub(crate) fn on_stream(mut self) -> Self {
        self.on_stream = true;
        self
    }

    /// What writes question `seq`.
    pub(crate) fn question(&self, seq: u64) -> QuestionBuilder {
        QuestionBuilder { txid: self.txid(seq), ..self.builder }
    }

    fn txid(&self, seq: u64) -> u64 {
        self.first_txid.wrapping_add(seq)
    }

    /// Which question a frame claims to answer.
    pub(crate) fn answers(&self, frame: &[u8]) -> Option<u64> {
        let txid: [u8; 8] = frame.get(TXID)?.try_into().ok()?;
        Some(u64::from_le_bytes(txid).wrapping_sub(self.first_txid))
    }

    /// Reads the answer to question `seq`, and takes the cookie it brings.
    ///
    /// # Errors
    /// What it is worth if it is not read or there is no answer in it.
    pub(crate) fn read<'a>(
        &mut self,
        seq: u64,
        operation: Operation,
        frame: &'a [u8],
    ) -> Result<AnswerView<'a>, Judged> {
        let (service, set) = (self.builder.service, self.builder.set);
        let expected = Expected { service, txid: self.txid(seq), set, operation };
        let answer = parse_answer(frame, &expected, self.on_stream).map_err(Judged::Broken)?;
        if answer.header.cookie.get() != 0 {
            self.builder.cookie = answer.header.cookie.get();
        }
        match &answer.body {
            AnswerBody::Refused(refusal) => Err(Judged::Refused(refusal.result)),
            _ => Ok(answer),
        }
    }
}
