//! Messages of the domain name system (RFC 1035 4.1): a query for one name, what is wrong with its answer.

/// Bytes before the question.
pub(crate) const HEADER: usize = 12;
const RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TRUNCATED: u8 = 0x02;
const RCODE: u8 = 0x0f;

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DnsFault {
    /// Shorter than a header and its question, or not marked as the answer to a question.
    #[error("no answer to a question: {0} bytes")]
    NoAnswer(usize),
    /// It does not repeat the question.
    #[error("the question in the answer is not the one that was asked")]
    Question,
    /// It is cut short.
    #[error("the answer is truncated")]
    Truncated,
    /// Any but 0.
    #[error("the response code is {0}")]
    Rcode(u8),
    /// It has no record, or a question too many.
    #[error("{questions} questions and {answers} records in the answer, not one and at least one")]
    Counts {
        /// Questions.
        questions: u16,
        /// Records that answer.
        answers: u16,
    },
}

/// Writes a standard query, recursion not wanted, with the question `section`; returns its length.
pub(crate) fn write_query(id: u16, section: &[u8], out: &mut [u8]) -> usize {
    let length = HEADER + section.len();
    out[..2].copy_from_slice(&id.to_be_bytes());
    out[2..HEADER].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    out[HEADER..length].copy_from_slice(section);
    length
}

/// Whether `frame` answers the question `section` with a record; its id is the caller's to compare.
///
/// # Errors
/// [`DnsFault`].
pub(crate) fn check(frame: &[u8], section: &[u8]) -> Result<(), DnsFault> {
    let short = DnsFault::NoAnswer(frame.len());
    let header: &[u8; HEADER] = frame.first_chunk().ok_or(short)?;
    let [_, _, flags, more, ..] = *header;
    if flags & RESPONSE == 0 || flags & OPCODE != 0 {
        return Err(short);
    }
    if more & RCODE != 0 {
        return Err(DnsFault::Rcode(more & RCODE));
    }
    if flags & TRUNCATED != 0 {
        return Err(DnsFault::Truncated);
    }
    let [questions, answers] = [4, 6].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
    if questions != 1 || answers == 0 {
        return Err(DnsFault::Counts { questions, answers });
    }
    if !frame[HEADER..].starts_with(section) {
        return Err(DnsFault::Question);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &[u8] = b"\x04name\x04test\0\0\x01\0\x01";

    /// What a name server with the name answers.
    fn answer() -> Vec<u8> {
        let mut out = [0; 512];
        let length = write_query(0x1234, SECTION, &mut out);
        let mut answer = out[..length].to_vec();
        answer[2] |= RESPONSE;
        answer[7] = 1;
        answer.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x02");
        answer
    }

    #[test]
    fn a_question_is_a_standard_query_for_one_name() {
        let mut out = [0xff; 512];
        let length = write_query(0x1234, SECTION, &mut out);
        assert_eq!(out[..12], [0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&out[12..length], SECTION);
    }

    #[test]
    fn an_honest_answer_is_right_and_every_flaw_of_another_is_named() {
        let right = answer();
        assert_eq!(check(&right, SECTION), Ok(()));
        let with = |at: usize, value: u8| {
            let mut frame = right.clone();
            frame[at] = value;
            frame
        };
        for (frame, fault) in [
            (with(2, 0), DnsFault::NoAnswer(right.len())),
            (with(2, RESPONSE | 0x28), DnsFault::NoAnswer(right.len())),
            (right[..11].to_vec(), DnsFault::NoAnswer(11)),
            (with(3, 3), DnsFault::Rcode(3)),
            (with(2, RESPONSE | TRUNCATED), DnsFault::Truncated),
            (with(7, 0), DnsFault::Counts { questions: 1, answers: 0 }),
            (with(5, 2), DnsFault::Counts { questions: 2, answers: 1 }),
            (with(14, b'x'), DnsFault::Question),
            (right[..20].to_vec(), DnsFault::Question),
        ] {
            assert_eq!(check(&frame, SECTION), Err(fault));
        }
    }
}
