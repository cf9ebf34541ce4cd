//! CHECKPOINT, and the judgement of its answers: the signatures of the first are verified, and those of any
//! that differs from the one before; all others have to be equal to it byte for byte.

use tekd::release::{Trust, Verifier, parse_answer_body};
use tekd::wire::{AnswerBody, Operation};

use crate::conversation::Conversation;
use crate::traffic::{Judged, Traffic};

/// Questions for the newest checkpoint of a set.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    conversation: Conversation,
    verifier: Verifier,
    /// The newest that was verified, with what vouches for it.
    held: Vec<u8>,
}

impl Checkpoints {
    pub(crate) fn new(conversation: Conversation, trust: Trust, set: u32) -> Self {
        Checkpoints { conversation, verifier: Verifier::new(trust, set), held: Vec::new() }
    }

    fn verify(&mut self, body: Vec<u8>) -> Judged {
        let Ok(answer) = parse_answer_body(&body) else {
            return Judged::Unproved("a checkpoint cannot be read");
        };
        if self.verifier.accept(&answer).is_err() {
            return Judged::Unproved("a checkpoint is not the service's, or older than one before");
        }
        self.held = body;
        Judged::Right
    }
}

impl Traffic for Checkpoints {
    fn ask(&mut self, seq: u64, out: &mut [u8]) -> usize {
        self.conversation.question(seq).checkpoint(out).expect("a header fits a datagram")
    }

    fn answers(&self, frame: &[u8]) -> Option<u64> {
        self.conversation.answers(frame)
    }

    fn judge(&mut self, seq: u64, frame: &[u8]) -> Judged {
        let answer = match self.conversation.read(seq, Operation::Checkpoint, frame) {
            Ok(answer) => answer,
            Err(judged) => return judged,
        };
        let AnswerBody::Checkpoint(parts) = answer.body else {
            unreachable!("an answer is read as that of the operation that was asked")
        };
        let parts: [&[u8]; 4] =
            [parts.checkpoint, parts.signatures, parts.delegation, parts.delegation_signatures];
        let mut left = &self.held[..];
        let equal = parts.iter().all(|part| left.strip_prefix(*part).map(|rest| left = rest).is_some());
        if equal && left.is_empty() { Judged::Right } else { self.verify(parts.concat()) }
    }
}

#[cfg(test)]
mod tests {
    use tekd::wire::HEADER_LEN;

    use super::*;
    use crate::data_directory::SET;
    use crate::gate_for_tests::TestGate;

    #[test]
    fn the_service_s_checkpoint_is_right_and_any_other_byte_is_not() {
        let mut gate = TestGate::with(100);
        let (conversation, trust) = (gate.conversation(), gate.trust.clone());
        let new = || Checkpoints::new(conversation.clone(), trust.clone(), SET);
        let mut asking = new();
        let right = gate.answer(&mut asking, 4);
        assert_eq!(asking.answers(&right), Some(4));
        for _ in 0..2 {
            assert_eq!(asking.judge(4, &right), Judged::Right);
        }
        for at in [HEADER_LEN + 40, HEADER_LEN + 230, right.len() - 1] {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            assert_ne!(asking.judge(4, &wrong), Judged::Right, "byte {at} of a second answer");
            assert_ne!(new().judge(4, &wrong), Judged::Right, "byte {at} of a first answer");
        }
        assert_eq!(asking.judge(4, &right), Judged::Right, "what is held is still held");
        assert!(matches!(asking.judge(5, &right), Judged::Broken(_)), "another question's answer");
    }
}
