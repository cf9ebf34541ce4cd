//! Questions of several kinds in a mixture, each kind drawn by its weight.

use tekd::release::Checkpoint;

use crate::draw::Draw;
use crate::traffic::{Judged, Traffic};

/// One kind.
pub(crate) struct Share {
    pub(crate) name: &'static str,
    pub(crate) weight: u32,
    pub(crate) traffic: Box<dyn Traffic>,
}

/// Kinds by weight. All of them number their questions alike.
pub(crate) struct Mixed {
    shares: Vec<Share>,
    right: Vec<u64>,
    draw: Draw,
    weights: u64,
}

impl Mixed {
    /// At least one kind, with weights of which one is above 0.
    pub(crate) fn new(shares: Vec<Share>, seed: u64) -> Self {
        let weights = shares.iter().map(|share| u64::from(share.weight)).sum();
        Mixed { right: vec![0; shares.len()], shares, draw: Draw::new(seed), weights }
    }

    /// Which kind question `seq` is of.
    fn kind(&self, seq: u64) -> usize {
        let mut drawn = self.draw.at(seq).below(self.weights);
        for (at, share) in self.shares.iter().enumerate() {
            match drawn.checked_sub(share.weight.into()) {
                Some(left) => drawn = left,
                None => return at,
            }
        }
        unreachable!("what is drawn is below the sum of the weights")
    }
}

impl Traffic for Mixed {
    fn ask(&mut self, seq: u64, out: &mut [u8]) -> usize {
        let kind = self.kind(seq);
        self.shares[kind].traffic.ask(seq, out)
    }

    fn answers(&self, frame: &[u8]) -> Option<u64> {
        self.shares[0].traffic.answers(frame)
    }

    fn judge(&mut self, seq: u64, frame: &[u8]) -> Judged {
        let kind = self.kind(seq);
        let judged = self.shares[kind].traffic.judge(seq, frame);
        self.right[kind] += u64::from(judged == Judged::Right);
        judged
    }

    fn settle(&mut self, known: &[Checkpoint]) -> u64 {
        self.shares.iter_mut().map(|share| share.traffic.settle(known)).sum()
    }

    fn details(&self) -> Vec<(&'static str, u64)> {
        self.shares.iter().zip(&self.right).map(|(share, right)| (share.name, *right)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with its own letter, and is content with nothing else.
    struct Letter(u8);

    impl Traffic for Letter {
        fn ask(&mut self, _seq: u64, out: &mut [u8]) -> usize {
            out[0] = self.0;
            1
        }

        fn answers(&self, _frame: &[u8]) -> Option<u64> {
            None
        }

        fn judge(&mut self, _seq: u64, frame: &[u8]) -> Judged {
            if frame[0] == self.0 { Judged::Right } else { Judged::Changed }
        }

        fn settle(&mut self, _known: &[Checkpoint]) -> u64 {
            1
        }
    }

    #[test]
    fn kinds_come_by_weight_and_each_judges_its_own() {
        let share = |name, weight, letter| Share { name, weight, traffic: Box::new(Letter(letter)) };
        let mut mixed = Mixed::new(vec![share("a", 3, b'a'), share("b", 0, b'b'), share("c", 1, b'c')], 5);
        for seq in 0..4000 {
            let mut out = [0];
            mixed.ask(seq, &mut out);
            assert_ne!(out, *b"b", "its weight is 0");
            assert_eq!(mixed.judge(seq, &out), Judged::Right);
            assert_eq!(mixed.judge(seq, b"x"), Judged::Changed);
        }
        let details = mixed.details();
        let [("a", a), ("b", 0), ("c", c)] = details[..] else { panic!("{details:?}") };
        assert!(a + c == 4000 && (2800..3200).contains(&a), "{details:?}");
        assert_eq!(mixed.settle(&[]), 3);
    }
}
