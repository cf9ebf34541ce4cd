//! Questions to a name server and the judgement of its answers, by the same generator as LOOKUPs.
//!
//! A message has sixteen bits to be known by. So no more than 65,536 questions follow the oldest that is out,
//! and of those with one id the newest is meant.

use std::cell::Cell;
use std::sync::Arc;

use crate::dns_message::{HEADER, check, write_query};
use crate::draw::Draw;
use crate::names::Names;
use crate::traffic::{Judged, Traffic};

/// Numbers that an id can be.
const IDS: u64 = 1 << 16;
/// How many earlier questions with the id of a question an answer may be to and is only late.
const LATE: u64 = 16;

/// Questions for names of a list, each with an answer.
#[derive(Debug, Clone)]
pub struct DnsQuestions {
    names: Arc<Names>,
    draw: Draw,
    first_id: u16,
    newest: Cell<u64>,
}

impl DnsQuestions {
    /// Questions for these names, of which there is at least one.
    pub fn new(names: Arc<Names>, seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let first_id = (draw.number() >> 48) as u16;
        DnsQuestions { names, draw, first_id, newest: Cell::new(0) }
    }

    fn id(&self, seq: u64) -> u16 {
        self.first_id.wrapping_add(seq as u16)
    }

    fn section(&self, seq: u64) -> &[u8] {
        let count = self.names.count() as u64;
        let index = self.draw.at(seq).below(count);
        self.names.question(usize::try_from(index).expect("below a length in memory"))
    }
}

impl Traffic for DnsQuestions {
    fn ask(&mut self, seq: u64, out: &mut [u8]) -> usize {
        self.newest.set(seq);
        write_query(self.id(seq), self.section(seq), out)
    }

    fn answers(&self, frame: &[u8]) -> Option<u64> {
        let id = u16::from_be_bytes(*frame.first_chunk()?);
        let newest = self.newest.get();
        let back = self.id(newest).wrapping_sub(id);
        let seq = newest.checked_sub(back.into())?;
        let repeated = |seq: u64| frame.get(HEADER..).is_some_and(|rest| rest.starts_with(self.section(seq)));
        let earlier = (1..=LATE).map_while(|turns| seq.checked_sub(turns * IDS));
        let late = !repeated(seq) && earlier.into_iter().any(repeated);
        (!late).then_some(seq)
    }

    fn judge(&mut self, seq: u64, frame: &[u8]) -> Judged {
        match check(frame, self.section(seq)) {
            Ok(()) => Judged::Right,
            Err(fault) => Judged::Dns(fault),
        }
    }

    fn told_apart(&self) -> u64 {
        IDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns_message::DnsFault;

    fn questions() -> DnsQuestions {
        DnsQuestions::new(Arc::new(Names::of_zone(1, 1000)), 2)
    }

    fn ask(questions: &mut DnsQuestions, seq: u64) -> Vec<u8> {
        let mut out = [0; 512];
        let length = questions.ask(seq, &mut out);
        out[..length].to_vec()
    }

    /// What a name server with the name answers.
    fn answer(question: &[u8]) -> Vec<u8> {
        let mut answer = question.to_vec();
        answer[2] |= 0x80;
        answer[7] = 1;
        answer.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x02");
        answer
    }

    #[test]
    fn every_question_can_be_asked_again_and_its_answer_is_known() {
        let mut questions = questions();
        let asked = ask(&mut questions, 9);
        assert_eq!(asked, ask(&mut questions, 9));
        assert_ne!(asked[12..], ask(&mut questions, 10)[12..]);
        assert_eq!(questions.answers(&answer(&asked)), Some(9));
        assert_eq!(questions.judge(9, &answer(&asked)), Judged::Right);
        let mut wrong = answer(&asked);
        wrong[3] = 3;
        assert_eq!(questions.judge(9, &wrong), Judged::Dns(DnsFault::Rcode(3)));
    }

    #[test]
    fn of_two_questions_with_one_id_the_newest_is_meant_and_the_other_is_late() {
        let mut questions = questions();
        let old = answer(&ask(&mut questions, 3));
        let new = answer(&ask(&mut questions, 3 + IDS));
        assert_eq!(old[..2], new[..2]);
        assert_eq!(questions.answers(&new), Some(3 + IDS));
        assert_eq!(questions.answers(&old), None);
        let next = answer(&ask(&mut questions, 4 + IDS));
        assert_eq!(questions.answers(&next), Some(4 + IDS));
        assert_eq!(questions.answers(&[1]), None);
        // An id that no question had yet.
        let mut fresh = self::questions();
        ask(&mut fresh, 0);
        let [high, low] = fresh.id(7).to_be_bytes();
        assert_eq!(fresh.answers(&[high, low, 0x80, 0]), None);
    }
}
