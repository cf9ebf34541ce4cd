//! BUCKET of random prefixes, and the judgement of its answers: each is read to its end while the clock runs,
//! and the proof of one in [`SAMPLED`] is verified after it stopped. Hashing costs more than answering.

use tekd::release::tree::{prefix_of, verify_bucket};
use tekd::release::{Checkpoint, Schema};
use tekd::wire::question::Bucket;
use tekd::wire::{AnswerBody, Operation};

use crate::conversation::Conversation;
use crate::draw::Draw;
use crate::traffic::{Judged, Traffic};

/// One answer in so many is kept to be verified.
const SAMPLED: u64 = 16;
/// Answers kept at most, 1.2 kB each on UDP.
const MAX_KEPT: usize = 1 << 16;

/// Questions for the leaves under prefixes of one length.
#[derive(Debug)]
pub(crate) struct Buckets {
    conversation: Conversation,
    draw: Draw,
    bits: u8,
    schema: Schema,
    kept: Vec<(u64, Vec<u8>)>,
    proved: u64,
}

impl Buckets {
    /// Prefixes of `bits` bits of a set with this schema.
    pub(crate) fn new(conversation: Conversation, schema: Schema, bits: u8, seed: u64) -> Self {
        let (kept, proved) = (Vec::new(), 0);
        Buckets { conversation, draw: Draw::new(seed), bits, schema, kept, proved }
    }

    fn prefix(&self, seq: u64) -> [u8; 16] {
        let mut prefix = [0; 16];
        prefix[..8].copy_from_slice(&self.draw.at(seq).number().to_be_bytes());
        prefix
    }

    /// Whether the answer to question `seq` proves itself under one of these checkpoints.
    fn proves(&mut self, seq: u64, frame: &[u8], known: &[Checkpoint]) -> bool {
        let prefix = self.prefix(seq);
        let asked = Bucket { prefix: &prefix, bits: self.bits, held: 0 };
        let Ok(answer) = self.conversation.read(seq, Operation::Bucket, frame) else { return false };
        let AnswerBody::Bucket(bucket) = answer.body else { return false };
        let version = answer.header.version.get();
        let Some(checkpoint) = known.iter().find(|known| known.version() == version) else { return false };
        let Ok(contents) = bucket.read(&asked, self.schema.public_len()) else { return false };
        let (root, depth) = (checkpoint.root(), contents.depth);
        let (number, path) = (prefix_of(&prefix, self.bits), contents.siblings.as_flattened());
        let proof = verify_bucket(&root, depth, self.bits, 0, number, self.schema, contents.entries, path);
        depth == checkpoint.bits() && proof.is_ok()
    }
}

impl Traffic for Buckets {
    fn ask(&mut self, seq: u64, out: &mut [u8]) -> usize {
        let asked = Bucket { prefix: &self.prefix(seq), bits: self.bits, held: 0 };
        self.conversation.question(seq).bucket(&asked, out).expect("a prefix fits a datagram")
    }

    fn answers(&self, frame: &[u8]) -> Option<u64> {
        self.conversation.answers(frame)
    }

    fn judge(&mut self, seq: u64, frame: &[u8]) -> Judged {
        let answer = match self.conversation.read(seq, Operation::Bucket, frame) {
            Ok(answer) => answer,
            Err(judged) => return judged,
        };
        let AnswerBody::Bucket(bucket) = answer.body else {
            unreachable!("an answer is read as that of the operation that was asked")
        };
        let asked = Bucket { prefix: &self.prefix(seq), bits: self.bits, held: 0 };
        if let Err(e) = bucket.read(&asked, self.schema.public_len()) {
            return Judged::Broken(e);
        }
        if seq.is_multiple_of(SAMPLED) && self.kept.len() < MAX_KEPT {
            self.kept.push((seq, frame.to_vec()));
        }
        Judged::Right
    }

    fn settle(&mut self, known: &[Checkpoint]) -> u64 {
        let mut wrong = 0;
        for (seq, frame) in std::mem::take(&mut self.kept) {
            let proved = self.proves(seq, &frame, known);
            self.proved += u64::from(proved);
            wrong += u64::from(!proved);
        }
        wrong
    }

    fn details(&self) -> Vec<(&'static str, u64)> {
        vec![("proved", self.proved)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate_for_tests::{SEED, TestGate};

    #[test]
    fn a_sampled_bucket_has_to_prove_itself_and_every_bucket_has_to_be_one() {
        let mut gate = TestGate::with(500);
        let (checkpoint, schema) = gate.checkpoint();
        let mut asking = Buckets::new(gate.conversation(), schema, checkpoint.bits(), SEED);
        for seq in 0..=SAMPLED {
            let frame = gate.answer(&mut asking, seq);
            assert_eq!(asking.answers(&frame), Some(seq));
            assert_eq!(asking.judge(seq, &frame), Judged::Right);
        }
        assert_eq!(asking.settle(&[checkpoint]), 0);
        assert_eq!(asking.details(), [("proved", 2)]);

        let mut lie = gate.answer(&mut asking, SAMPLED);
        assert!(matches!(asking.judge(SAMPLED, &lie[..lie.len() - 8]), Judged::Broken(_)));
        // The last bytes are those of the root's child: nothing about them can be seen without hashing.
        let last = lie.len() - 1;
        lie[last] ^= 1;
        assert_eq!(asking.judge(SAMPLED, &lie), Judged::Right);
        assert_eq!(asking.settle(&[checkpoint]), 1);

        let honest = gate.answer(&mut asking, SAMPLED);
        asking.judge(SAMPLED, &honest);
        assert_eq!(asking.settle(&[]), 1, "a version that nobody signed");
    }
}
