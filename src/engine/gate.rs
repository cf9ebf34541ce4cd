//! The gate before the answers: silence, version, cookie, limiter, in the order that costs least.
//!
//! never-amplify: an unproved source gets at most the length of its question, and the transport checks it
//! again at the exit.

use std::net::IpAddr;
use std::sync::Arc;

use super::answer::{Asked, Foresight, PENDING_WAIT_S, foresee, foresee_alone, write_answer};
use super::cookie::{Cookies, Proof};
use super::counters::{AnswerCounters, Tally};
use super::limiter::{Admission, Limiter};
use super::slot::{Carrier, Moment, Outcome, Peer, Respond, Silence, Slot, Ticket};
use super::view::{SetView, View};
use crate::store::Published;
use crate::wire::layout::SealedQuestion;
use crate::wire::{
    Body, MAX_ANSWER_STREAM, Parsed, Question, ResultCode, SilentReason, parse, refuse, version_answer,
};

/// Datagrams that go through each pass together: as many as the processor can wait for at once.
const PASS: usize = 32;

/// A datagram that the gate let through, and what it found out about it.
struct Admitted<'q, 'v> {
    question: &'q Question,
    set: Option<&'v SetView>,
    body: Body<'q>,
    room: usize,
    fresh_cookie: u64,
    cookie: u64,
}

/// Where sealed questions go: into a bounded queue, to be opened by others.
pub trait TakeSealed: Send + Sync + std::fmt::Debug {
    /// Takes a question that arrived at `now` for a set that is there. Neither blocks nor computes.
    ///
    /// # Errors
    /// REFUSED for another suite, GONE for a seal key that is unknown or over, PENDING when too many wait
    /// (spec 7.1.5).
    fn take(&self, now: Moment, header: &Question, question: &SealedQuestion) -> Result<Ticket, ResultCode>;
}

/// Answers questions from the newest view. One per worker; workers share limiter, counters and desk.
#[derive(Debug, Clone)]
pub struct Gate {
    view: Arc<Published<View>>,
    cookies: Cookies,
    limiter: Option<Arc<Limiter>>,
    counters: Arc<AnswerCounters>,
    desk: Option<Arc<dyn TakeSealed>>,
}

impl Gate {
    /// A gate before `view`; without a limiter nothing is limited.
    pub fn new(
        view: Arc<Published<View>>,
        cookies: Cookies,
        limiter: Option<Arc<Limiter>>,
        counters: Arc<AnswerCounters>,
    ) -> Self {
        Gate { view, cookies, limiter, counters, desk: None }
    }

    /// This gate with a place for sealed questions, which are refused without one.
    pub fn with_desk(self, desk: Arc<dyn TakeSealed>) -> Self {
        Gate { desk: Some(desk), ..self }
    }

    /// Answers one frame of a stream from `view`, which the caller keeps for this frame.
    pub fn answer_frame(
        &self,
        view: &View,
        now: Moment,
        peer: Peer,
        request: &[u8],
        answer: &mut [u8],
    ) -> Outcome {
        debug_assert!(matches!(peer.carrier, Carrier::Tls | Carrier::Quic), "datagrams go in batches");
        let mut tally = Tally::new();
        let outcome = match parse(request, &view.service, true) {
            Parsed::Silent(reason) => silent(&mut tally, silence_of(reason)),
            Parsed::Question(question, body) => {
                self.answer_question(view, now, question, &body, answer, &mut tally)
            }
            Parsed::OtherVersion(question) => other_version(&mut tally, question, answer),
            Parsed::Refuse { result, info, header } => refused(&mut tally, header, result, info, 0, answer),
        };
        self.counters.add(&tally);
        outcome
    }

    /// Answers a batch of datagrams from `view`: of UDP, or of sources that have proved their addresses
    /// without a cookie (spec 1.5.8).
    pub fn answer_datagrams(&self, view: &View, now: Moment, slots: &mut [Slot<'_>]) {
        let mut tally = Tally::new();
        for slots in slots.chunks_mut(PASS) {
            self.pass(view, now, slots, &mut tally);
        }
        self.counters.add(&tally);
    }

    /// Answers a question that came on a stream.
    fn answer_question(
        &self,
        view: &View,
        now: Moment,
        question: &Question,
        body: &Body<'_>,
        answer: &mut [u8],
        tally: &mut Tally,
    ) -> Outcome {
        tally.asked(body.operation());
        let set = view.set(question.set.get());
        if let (Body::Sealed(sealed), Some(desk), Some(_)) = (body, &self.desk, set) {
            return hand_over(&**desk, now, question, sealed, answer, tally);
        }
        let asked = Asked { question, now: now.unix, on_stream: true, fresh_cookie: 0, cookie: 0 };
        let room = answer.len().min(MAX_ANSWER_STREAM);
        foresee_alone(set, body);
        let (length, result) = write_answer(view, set, &asked, body, &mut answer[..room]);
        tally.result(result);
        Outcome::Respond(length)
    }

    /// What is to be answered out of the view; anything else has its outcome.
    #[inline]
    fn admit<'q, 'v>(
        &self,
        view: &'v View,
        now: Moment,
        slot: &mut Slot<'q>,
        tally: &mut Tally,
    ) -> Result<Admitted<'q, 'v>, Outcome> {
        if !answerable(&slot.peer) {
            return Err(silent(tally, Silence::Source));
        }
        let parsed = parse(slot.request, &view.service, false);
        let header = match &parsed {
            Parsed::Silent(reason) => return Err(silent(tally, silence_of(*reason))),
            Parsed::Question(header, _) | Parsed::OtherVersion(header) | Parsed::Refuse { header, .. } => {
                *header
            }
        };
        let by_cookie = slot.peer.carrier == Carrier::Udp;
        let proof = if by_cookie { self.proof(slot.peer.ip, header, tally) } else { Proof::Present };
        slot.proved = proof != Proof::None;
        let room = header.datagram_room(slot.proved).min(slot.answer.len());
        if let Some(limiter) = &self.limiter {
            match limiter.admit(slot.peer.ip, slot.proved, room as u64, now.monotonic_ms) {
                Admission::Pass => {}
                Admission::Slip if !by_cookie => return Err(busy(tally, header, slot.answer)),
                Admission::Slip => {
                    tally.slipped();
                    let cookie = self.fresh(slot);
                    return Err(refused(tally, header, ResultCode::Cookie, 0, cookie, slot.answer));
                }
                Admission::Drop => return Err(silent(tally, Silence::Limited)),
            }
        }
        // What was just found to be the present cookie of its source need not be made again.
        let fresh_cookie = match proof {
            _ if !by_cookie => 0,
            Proof::Present => header.cookie.get(),
            Proof::Neighbour | Proof::None => self.fresh(slot),
        };
        let cookie = if proof == Proof::Neighbour { fresh_cookie } else { 0 };
        match parsed {
            Parsed::Question(question, body) => {
                let set = view.set(question.set.get());
                Ok(Admitted { question, set, body, room, fresh_cookie, cookie })
            }
            Parsed::OtherVersion(question) => Err(other_version(tally, question, slot.answer)),
            Parsed::Refuse { result, info, header } => {
                Err(refused(tally, header, result, info, cookie, slot.answer))
            }
            Parsed::Silent(reason) => Err(silent(tally, silence_of(reason))),
        }
    }

    #[inline]
    fn proof(&self, ip: IpAddr, header: &Question, tally: &mut Tally) -> Proof {
        let proof = self.cookies.check(ip, header.cookie.get().to_le_bytes());
        tally.cookie(proof);
        proof
    }

    /// Answers datagrams that go through the passes together. A single one is answered at once: there is
    /// nothing to do meanwhile.
    fn pass(&self, view: &View, now: Moment, slots: &mut [Slot<'_>], tally: &mut Tally) {
        if let [slot] = slots {
            slot.outcome = match self.admit(view, now, slot, tally) {
                Ok(admitted) => {
                    foresee_alone(admitted.set, &admitted.body);
                    admitted.answer(view, now, slot.answer, tally)
                }
                Err(outcome) => outcome,
            };
            return;
        }
        let mut all = [const { None }; PASS];
        for (slot, place) in slots.iter_mut().zip(&mut all) {
            match self.admit(view, now, slot, tally) {
                Ok(admitted) => {
                    foresee(admitted.set, &admitted.body, Foresight::Slots);
                    *place = Some(admitted);
                }
                Err(outcome) => slot.outcome = outcome,
            }
        }
        all.iter().flatten().for_each(|a| foresee(a.set, &a.body, Foresight::Entries));
        for (slot, admitted) in slots.iter_mut().zip(&all) {
            if let Some(admitted) = admitted {
                slot.outcome = admitted.answer(view, now, slot.answer, tally);
            }
        }
    }

    fn fresh(&self, slot: &Slot<'_>) -> u64 {
        u64::from_le_bytes(self.cookies.make(slot.peer.ip))
    }
}

impl Admitted<'_, '_> {
    #[inline]
    fn answer(&self, view: &View, now: Moment, answer: &mut [u8], tally: &mut Tally) -> Outcome {
        let Admitted { question, set, ref body, room, fresh_cookie, cookie } = *self;
        tally.asked(body.operation());
        let asked = Asked { question, now: now.unix, on_stream: false, fresh_cookie, cookie };
        let (length, result) = write_answer(view, set, &asked, body, &mut answer[..room]);
        tally.result(result);
        Outcome::Respond(length)
    }
}

impl Respond for Gate {
    fn respond(&mut self, now: Moment, slots: &mut [Slot<'_>]) {
        self.cookies.at(now.unix);
        // one-release-at-a-time: one view for the whole batch, without a lock.
        let view = self.view.pin();
        self.answer_datagrams(&view, now, slots);
    }
}

fn hand_over(
    desk: &dyn TakeSealed,
    now: Moment,
    question: &Question,
    sealed: &SealedQuestion,
    answer: &mut [u8],
    tally: &mut Tally,
) -> Outcome {
    let (result, outcome) = match desk.take(now, question, sealed) {
        Ok(ticket) => (ResultCode::Ok, Outcome::Later(ticket)),
        Err(result) => {
            let wait = if result == ResultCode::Pending { PENDING_WAIT_S } else { 0 };
            (result, Outcome::Respond(refuse(question, result, 0, wait, 0, answer)))
        }
    };
    tally.result(result);
    outcome
}

fn silent(tally: &mut Tally, reason: Silence) -> Outcome {
    tally.silent(reason);
    Outcome::Ignore(reason)
}

fn other_version(tally: &mut Tally, question: &Question, answer: &mut [u8]) -> Outcome {
    tally.result(ResultCode::Version);
    Outcome::Respond(version_answer(question, answer))
}

fn refused(
    tally: &mut Tally,
    header: &Question,
    result: ResultCode,
    info: u32,
    cookie: u64,
    answer: &mut [u8],
) -> Outcome {
    tally.result(result);
    Outcome::Respond(refuse(header, result, info, 0, cookie, answer))
}

/// To a source that has proved its address without a cookie: over its limit.
fn busy(tally: &mut Tally, header: &Question, answer: &mut [u8]) -> Outcome {
    tally.result(ResultCode::Busy);
    Outcome::Respond(refuse(header, ResultCode::Busy, 0, PENDING_WAIT_S, 0, answer))
}

fn silence_of(reason: SilentReason) -> Silence {
    match reason {
        SilentReason::Length => Silence::Length,
        SilentReason::FirstByte => Silence::FirstByte,
        SilentReason::Service => Silence::Service,
        SilentReason::Reply => Silence::Reply,
    }
}

/// Whether an answer to this source can go to one host that may have asked. One whose address is not in its
/// canonical form has none: it would be another to cookies and limiter.
fn answerable(peer: &Peer) -> bool {
    let one = match peer.ip {
        IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified() && v6.to_ipv4_mapped().is_none(),
    };
    one && peer.port != 0
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;
    use crate::engine::view::SetView;
    use crate::release::Schema;
    use crate::wire::{HEADER_LEN, Operation, QuestionBuilder};

    const SERVICE: [u8; 8] = *b"service!";

    /// Says what it is told to say.
    #[derive(Debug)]
    struct Desk(Result<Ticket, ResultCode>);

    impl TakeSealed for Desk {
        fn take(&self, _: Moment, _: &Question, _: &SealedQuestion) -> Result<Ticket, ResultCode> {
            self.0
        }
    }

    fn gate() -> Gate {
        let set = SetView {
            set: 1,
            schema: Schema::GaenMinimal,
            interval_s: 600,
            next_release: 0,
            manifest: Arc::default(),
            release: None,
        };
        let view = View::empty(SERVICE, 1).with_set(set);
        let view = Arc::new(Published::new(Arc::new(view)));
        Gate::new(view, Cookies::new([1; 32], SERVICE), None, Arc::default())
    }

    fn ask(gate: &Gate, set: u32, carrier: Carrier) -> (Outcome, Option<(ResultCode, u16)>) {
        let mut frame = [0; 4096];
        let question = SealedQuestion::new_zeroed();
        QuestionBuilder::new(SERVICE, set, 7).sealed(&question, &mut frame).unwrap();
        let peer = Peer { ip: std::net::Ipv4Addr::LOCALHOST.into(), port: 9, carrier };
        let (now, mut answer) = (Moment { unix: 1, monotonic_ms: 1 }, vec![0; MAX_ANSWER_STREAM]);
        let outcome = gate.answer_frame(&gate.view.load(), now, peer, &frame, &mut answer);
        let refusal = matches!(outcome, Outcome::Respond(HEADER_LEN)).then(|| {
            let number = |at: usize| u16::from_le_bytes([answer[at], answer[at + 1]]);
            (ResultCode::from_u16(number(36)).unwrap(), number(38))
        });
        (outcome, refusal)
    }

    #[test]
    fn without_a_desk_nothing_sealed_is_taken() {
        // spec 2.9.5
        let refused = Some((ResultCode::Refused, 0));
        assert_eq!(ask(&gate(), 1, Carrier::Tls), (Outcome::Respond(HEADER_LEN), refused));
    }

    #[test]
    fn what_the_desk_takes_is_answered_later_and_what_not_in_a_header() {
        // spec 7.1.5
        let asked = |desk, set| ask(&gate().with_desk(Arc::new(Desk(desk))), set, Carrier::Quic);
        assert_eq!(asked(Ok(Ticket(5)), 1), (Outcome::Later(Ticket(5)), None));
        for (result, wait) in [(ResultCode::Gone, 0), (ResultCode::Refused, 0), (ResultCode::Pending, 1)] {
            assert_eq!(asked(Err(result), 1).1, Some((result, wait)));
        }
        assert_eq!(asked(Ok(Ticket(5)), 2).1, Some((ResultCode::Set, 0)), "no such set");
    }

    /// What a question in a datagram of QUIC is answered with, in `room` bytes.
    fn ask_in_datagram(gate: &Gate, frame: &[u8], room: usize) -> (Outcome, Vec<u8>) {
        let peer = Peer {
            ip: std::net::Ipv4Addr::new(192, 0, 2, 1).into(),
            port: 9,
            carrier: Carrier::QuicDatagram,
        };
        let mut answer = vec![0; room];
        let mut slots = [Slot::new(frame, peer, &mut answer)];
        gate.answer_datagrams(&gate.view.load(), Moment { unix: 1, monotonic_ms: 1 }, &mut slots);
        let outcome = slots[0].outcome;
        (outcome, answer)
    }

    /// The result of an answer that is no more than a header, without a cookie.
    fn refused(frame: &[u8], room: usize, gate: &Gate) -> ResultCode {
        let (outcome, answer) = ask_in_datagram(gate, frame, room);
        assert_eq!(outcome, Outcome::Respond(HEADER_LEN));
        assert_eq!(answer[24..32], [0; 8], "no cookie where the address is proved without");
        ResultCode::from_u16(u16::from_le_bytes([answer[36], answer[37]])).unwrap()
    }

    #[test]
    fn a_datagram_of_quic_is_served_what_udp_is_without_cookies() {
        // spec 1.5.5, 1.5.8
        let gate = gate();
        let mut frame = [0; 1233];
        let ask = || QuestionBuilder::new(SERVICE, 1, 7);
        let length = ask().info(&mut frame).unwrap();
        assert_eq!(refused(&frame[..length], 1232, &gate), ResultCode::Ok);
        let length = ask().manifest(&mut frame).unwrap();
        assert_eq!(refused(&frame[..length], 1232, &gate), ResultCode::Transport);
        // spec 1.1.4, 1.1.5: an answer, another service's, and what is longer than a datagram.
        let length = ask().info(&mut frame).unwrap();
        for (at, byte) in [(1, 0x81), (8, 0), (0, 0x40), (4, 65)] {
            let mut other = frame[..length].to_vec();
            other[at] = byte;
            assert!(matches!(ask_in_datagram(&gate, &other, 1232).0, Outcome::Ignore(_)), "byte {at}");
        }
        frame[4..8].copy_from_slice(&1233u32.to_le_bytes());
        assert_eq!(ask_in_datagram(&gate, &frame, 1232).0, Outcome::Ignore(Silence::Length));
        assert!(gate.counters.cookies().all(|(_, n)| n == 0));
    }

    #[test]
    fn who_floods_datagrams_of_quic_is_told_to_wait_or_nothing() {
        // spec 1.5.8
        let limited = Gate { limiter: Some(Arc::new(Limiter::new(64, [2; 16]))), ..gate() };
        let mut frame = [0; 64];
        QuestionBuilder::new(SERVICE, 1, 7).info(&mut frame).unwrap();
        let outcomes: Vec<Outcome> = (0..64).map(|_| ask_in_datagram(&limited, &frame, 1232).0).collect();
        assert!(outcomes.contains(&Outcome::Ignore(Silence::Limited)));
        let busy = limited.counters.results().find(|(result, _)| *result == ResultCode::Busy).unwrap().1;
        assert!(busy > 0 && outcomes.iter().all(|outcome| !matches!(outcome, Outcome::Later(_))));
        assert_eq!(limited.counters.slipped(), 0, "no cookie is given");
    }

    #[test]
    fn what_becomes_of_sealed_questions_is_counted() {
        let gate = gate().with_desk(Arc::new(Desk(Ok(Ticket(5)))));
        ask(&gate, 1, Carrier::Tls);
        let sealed = gate.counters.asked().find(|(operation, _)| *operation == Operation::Sealed);
        let ok = gate.counters.results().find(|(result, _)| *result == ResultCode::Ok);
        assert_eq!((sealed.map(|s| s.1), ok.map(|s| s.1)), (Some(1), Some(1)));
    }
}
