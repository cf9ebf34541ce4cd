//! LOOKUP of keys of which it is known whether they are in the set, and the judgement of the answers.

use std::sync::Arc;

use tekd::wire::slot::max_slots;
use tekd::wire::{AnswerBody, Key, Operation, ServiceId};

use crate::conversation::Conversation;
use crate::draw::Draw;
use crate::system::ROOM;
use crate::traffic::{Judged, Traffic};

/// Why there is nothing to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupsError {
    /// Keys in one question.
    #[error("{given} keys in one question, 1 to {limit} fit")]
    KeysPerQuestion {
        /// How many were asked for.
        given: usize,
        /// The most that fit.
        limit: usize,
    },
    /// Hits are wanted and no key is known.
    #[error("a hit ratio above 0 needs keys that are in the set: give them with --keys")]
    NoHits,
    /// Keys of 16 and of 32 bytes.
    #[error("the keys are of 16 and of 32 bytes; a set has one length")]
    MixedKeys,
}

/// LOOKUP of keys in the set and of keys drawn at random.
#[derive(Debug, Clone)]
pub struct Lookups {
    conversation: Conversation,
    draw: Draw,
    hits: Arc<Vec<Key>>,
    /// A key is a hit if a number drawn of 2⁶⁴ is below this.
    hit_below: u128,
    key_len: usize,
    /// Keys of the question at hand and whether each is a hit.
    keys: Vec<Key>,
    known: Vec<bool>,
    count: usize,
}

impl Lookups {
    /// Lookups of `keys_per_question` keys each about `set` of `service`; of the keys, the part `hit_ratio`
    /// (0 to 1) is taken from `hits`.
    ///
    /// # Errors
    /// [`LookupsError`].
    pub fn new(
        service: ServiceId,
        set: u32,
        hits: Arc<Vec<Key>>,
        hit_ratio: f64,
        keys_per_question: usize,
        seed: u64,
    ) -> Result<Self, LookupsError> {
        let key_len = hits.first().map_or(16, Key::len);
        if hits.iter().any(|key| key.len() != key_len) {
            return Err(LookupsError::MixedKeys);
        }
        if hits.is_empty() && hit_ratio > 0.0 {
            return Err(LookupsError::NoHits);
        }
        let lookups = Lookups {
            conversation: Conversation::new(service, set, seed),
            draw: Draw::new(seed),
            hits,
            hit_below: (hit_ratio.clamp(0.0, 1.0) * 2f64.powi(64)) as u128,
            key_len,
            keys: Vec::new(),
            known: Vec::new(),
            count: 1,
        };
        lookups.with_keys_per_question(keys_per_question)
    }

    /// Sends this cookie with every question from now on.
    pub fn set_cookie(&mut self, cookie: u64) {
        self.conversation.set_cookie(cookie);
    }

    /// The same over a connection.
    #[must_use]
    pub fn on_stream(mut self) -> Self {
        self.conversation = self.conversation.on_stream();
        self
    }

    /// The same with another number of keys in a question.
    ///
    /// # Errors
    /// [`LookupsError::KeysPerQuestion`].
    pub fn with_keys_per_question(mut self, given: usize) -> Result<Self, LookupsError> {
        let limit = max_slots(self.key_len == 32);
        if !(1..=limit).contains(&given) {
            return Err(LookupsError::KeysPerQuestion { given, limit });
        }
        self.count = given;
        Ok(self)
    }

    /// Draws the keys of question `seq` into `keys` and `known`.
    fn draw_keys(&mut self, seq: u64) {
        let mut draw = self.draw.at(seq);
        self.keys.clear();
        self.known.clear();
        for _ in 0..self.count {
            let hit = u128::from(draw.number()) < self.hit_below;
            let key = if hit { self.hits[self.hit(&mut draw)] } else { self.stranger(&mut draw) };
            self.keys.push(key);
            self.known.push(hit);
        }
    }

    fn hit(&self, draw: &mut Draw) -> usize {
        usize::try_from(draw.below(self.hits.len() as u64)).expect("below a length in memory")
    }

    /// A key drawn at random: that it is in the set has odds of 2⁻¹⁰⁰.
    fn stranger(&self, draw: &mut Draw) -> Key {
        let mut bytes = [0; 32];
        for part in bytes[..self.key_len].chunks_exact_mut(8) {
            part.copy_from_slice(&draw.number().to_be_bytes());
        }
        Key::from_slice(&bytes[..self.key_len]).expect("16 or 32 bytes")
    }
}

impl Traffic for Lookups {
    fn ask(&mut self, seq: u64, out: &mut [u8]) -> usize {
        self.draw_keys(seq);
        let written = self.conversation.question(seq).lookup(&self.keys, out);
        written.expect("the count was checked and a datagram has room for it")
    }

    fn answers(&self, frame: &[u8]) -> Option<u64> {
        self.conversation.answers(frame)
    }

    fn judge(&mut self, seq: u64, frame: &[u8]) -> Judged {
        let answer = match self.conversation.read(seq, Operation::Lookup, frame) {
            Ok(answer) => answer,
            Err(judged) => return judged,
        };
        let AnswerBody::Lookup(slots) = answer.body else {
            unreachable!("an answer is read as that of the operation that was asked")
        };
        self.draw_keys(seq);
        let slots = match slots.read(&self.keys) {
            Ok(slots) => slots,
            Err(e) => return Judged::Broken(e),
        };
        for (slot, hit) in slots.zip(&self.known) {
            match (slot.fields.is_some(), *hit) {
                (false, true) => return Judged::Absent,
                (true, false) => return Judged::Present,
                _ => {}
            }
        }
        Judged::Right
    }
}

/// The same questions to a server that sends back what it gets.
#[derive(Debug, Clone)]
pub struct Echoes(pub Lookups);

impl Traffic for Echoes {
    fn ask(&mut self, seq: u64, out: &mut [u8]) -> usize {
        self.0.ask(seq, out)
    }

    fn answers(&self, frame: &[u8]) -> Option<u64> {
        self.0.answers(frame)
    }

    fn judge(&mut self, seq: u64, frame: &[u8]) -> Judged {
        let mut sent = [0; ROOM];
        let length = self.0.ask(seq, &mut sent);
        if sent[..length] == *frame { Judged::Right } else { Judged::Changed }
    }
}

#[cfg(test)]
mod tests {
    use tekd::wire::slot::write_slot;
    use tekd::wire::{HEADER_LEN, Parsed, ResultCode, parse, refuse};

    use super::*;

    const SERVICE: ServiceId = *b"service!";

    fn lookups(hit_ratio: f64, keys_per_question: usize) -> Lookups {
        let hits = (0..100u8).map(|n| Key::from_slice(&[n; 16]).expect("16 bytes")).collect();
        Lookups::new(SERVICE, 1, Arc::new(hits), hit_ratio, keys_per_question, 5).expect("sound")
    }

    /// What a server with exactly the hits answers.
    fn answer(question: &[u8]) -> Vec<u8> {
        let Parsed::Question(header, _) = parse(question, &SERVICE, false) else { panic!("not a question") };
        let mut out = vec![0; question.len()];
        let head =
            tekd::wire::AnswerHeader { length: question.len(), ..tekd::wire::AnswerHeader::to(header) };
        head.write(&mut out);
        for (asked, slot) in
            question[HEADER_LEN..].chunks_exact(32).zip(out[HEADER_LEN..].chunks_exact_mut(32))
        {
            let live = asked[0] < 100 && asked[..16].iter().all(|b| *b == asked[0]);
            write_slot(slot, &asked[..16], live.then_some(&[1; 8]));
        }
        out
    }

    #[test]
    fn an_honest_answer_is_right_and_belongs_to_its_question() {
        for (ratio, count) in [(0.0, 1), (0.5, 32), (1.0, 3)] {
            let mut traffic = lookups(ratio, count);
            for seq in [0, 1, 1000, u64::MAX] {
                let mut question = [0; ROOM];
                let length = traffic.ask(seq, &mut question);
                assert_eq!(length, HEADER_LEN + 32 * count);
                let answer = answer(&question[..length]);
                assert_eq!(traffic.answers(&answer), Some(seq));
                assert_eq!(traffic.judge(seq, &answer), Judged::Right);
                assert_ne!(
                    traffic.judge(seq.wrapping_add(1), &answer),
                    Judged::Right,
                    "another question's answer"
                );
            }
        }
    }

    #[test]
    fn a_lie_about_a_key_is_wrong_and_so_is_a_broken_frame() {
        for (ratio, verdict) in [(1.0, Judged::Absent), (0.0, Judged::Present)] {
            let mut traffic = lookups(ratio, 2);
            let mut question = [0; ROOM];
            let length = traffic.ask(3, &mut question);
            let mut lie = answer(&question[..length]);
            let (key, slot) = (lie[96..112].to_vec(), &mut lie[96..128]);
            write_slot(slot, &key, (ratio == 0.0).then_some(&[1; 8]));
            assert_eq!(traffic.judge(3, &lie), verdict);
            assert!(matches!(traffic.judge(3, &lie[..127]), Judged::Broken(_)));
        }
    }

    #[test]
    fn a_refusal_is_told_apart_and_its_cookie_is_used() {
        let mut traffic = lookups(0.5, 1);
        let mut question = [0; ROOM];
        let length = traffic.ask(0, &mut question);
        let Parsed::Question(header, _) = parse(&question[..length], &SERVICE, false) else {
            panic!("not a question")
        };
        let mut out = [0; 64];
        let length = refuse(header, ResultCode::Cookie, 0, 0, 77, &mut out);
        assert_eq!(traffic.judge(0, &out[..length]), Judged::Refused(ResultCode::Cookie));
        let mut next = [0; ROOM];
        let length = traffic.ask(1, &mut next);
        let Parsed::Question(header, _) = parse(&next[..length], &SERVICE, false) else {
            panic!("not a question")
        };
        assert_eq!(header.cookie.get(), 77);
    }

    #[test]
    fn the_ratio_of_hits_is_what_was_asked_for() {
        for (ratio, least, most) in [(0.0, 0, 0), (0.25, 2300, 2700), (1.0, 10_000, 10_000)] {
            let mut traffic = lookups(ratio, 10);
            let hits: usize = (0..1000)
                .map(|seq| {
                    traffic.draw_keys(seq);
                    traffic.known.iter().filter(|hit| **hit).count()
                })
                .sum();
            assert!((least..=most).contains(&hits), "{hits} of 10000 at {ratio}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_at_once() {
        let hits = Arc::new(Vec::new());
        let new = |ratio, count| Lookups::new(SERVICE, 1, Arc::clone(&hits), ratio, count, 1).err();
        assert_eq!(new(0.5, 1), Some(LookupsError::NoHits));
        assert_eq!(new(0.0, 0), Some(LookupsError::KeysPerQuestion { given: 0, limit: 32 }));
        assert_eq!(new(0.0, 33), Some(LookupsError::KeysPerQuestion { given: 33, limit: 32 }));
        let mixed = [&[1; 16][..], &[2; 32]].map(|b| Key::from_slice(b).expect("a key")).to_vec();
        assert_eq!(Lookups::new(SERVICE, 1, Arc::new(mixed), 0.5, 1, 1).err(), Some(LookupsError::MixedKeys));
    }

    #[test]
    fn an_echo_has_to_be_what_was_sent() {
        let mut traffic = Echoes(lookups(0.5, 1));
        let mut question = [0; ROOM];
        let length = traffic.ask(9, &mut question);
        assert_eq!(traffic.answers(&question[..length]), Some(9));
        assert_eq!(traffic.judge(9, &question[..length]), Judged::Right);
        question[80] ^= 1;
        assert_eq!(traffic.judge(9, &question[..length]), Judged::Changed);
        assert_eq!(traffic.answers(&question[..20]), None);
    }
}
