//! What an answer says, and what silence does.

use tekd::wire::ResultCode;

use super::asker::{Asker, TXID};
use super::server::until;

/// Place of fields in a header (spec 1.1.2).
pub(crate) const COOKIE: std::ops::Range<usize> = 24..32;
pub(crate) const RESULT: std::ops::Range<usize> = 36..38;
pub(crate) const FLAGS: std::ops::Range<usize> = 2..4;
pub(crate) const DETAIL: std::ops::Range<usize> = 48..64;
pub(crate) const VERSION: std::ops::Range<usize> = 40..48;

pub(crate) fn u16_at(frame: &[u8], at: std::ops::Range<usize>) -> u16 {
    u16::from_le_bytes(frame[at].try_into().expect("two bytes"))
}

pub(crate) fn u64_at(frame: &[u8], at: std::ops::Range<usize>) -> u64 {
    u64::from_le_bytes(frame[at].try_into().expect("eight bytes"))
}

/// The result code of an answer.
#[track_caller]
pub(crate) fn result_of(answer: &[u8]) -> ResultCode {
    let code = u16_at(answer, RESULT);
    ResultCode::ALL.into_iter().find(|result| *result as u16 == code).expect("a known result")
}

impl Asker {
    /// Asserts that a frame gets no answer: the next datagram answers the question after it. One worker
    /// answers in the order of arrival.
    #[track_caller]
    pub(crate) fn silent(&mut self, frame: &[u8], what: &str) {
        self.send(frame);
        let next = self.info();
        self.send(&next);
        assert_eq!(self.receive()[TXID], next[TXID], "{what} was answered");
    }

    /// The version the server has, 0 for none.
    #[track_caller]
    pub(crate) fn version(&mut self) -> u64 {
        let info = self.info();
        u64_at(&self.ask(&info), VERSION)
    }
}

/// Waits until the server has at least serial `serial`.
#[track_caller]
pub(crate) fn until_serial(asker: &mut Asker, serial: u64) {
    until("the serial", || (asker.version() & 0xffff_ffff >= serial).then_some(()));
}
