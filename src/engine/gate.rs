//! The gate before the answers: silence, version, cookie, limiter, in the order that costs least.
//!
//! never-amplify: an unproved source gets at most the length of its question, and the transport checks it
//! again at the exit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::answer::{Asked, write_answer};
use super::cookie::{Cookies, Proof};
use super::limiter::{Admission, Limiter};
use super::slot::{Carrier, Moment, Outcome, Peer, Respond, Silence, Slot};
use super::view::View;
use crate::store::Published;
use crate::wire::{
    MAX_ANSWER_STREAM, Operation, Parsed, Question, ResultCode, SilentReason, parse, refuse, version_answer,
};

/// Counters of questions and results. One block per process, relaxed.
#[derive(Debug, Default)]
pub struct AnswerCounters {
    asked: [AtomicU64; Operation::ALL.len()],
    results: [AtomicU64; ResultCode::ALL.len()],
    silent: [AtomicU64; Silence::ALL.len()],
    cookies: [AtomicU64; 3],
    slipped: AtomicU64,
}

impl AnswerCounters {
    /// Questions by operation.
    pub fn asked(&self) -> impl Iterator<Item = (Operation, u64)> {
        Operation::ALL.into_iter().zip(self.asked.iter().map(read))
    }

    /// Answers by result.
    pub fn results(&self) -> impl Iterator<Item = (ResultCode, u64)> {
        ResultCode::ALL.into_iter().zip(self.results.iter().map(read))
    }

    /// Questions that got no answer, by reason.
    pub fn silent(&self) -> impl Iterator<Item = (Silence, u64)> {
        Silence::ALL.into_iter().zip(self.silent.iter().map(read))
    }

    /// Cookies seen on UDP: none or wrong, of the present hour, of a neighbouring hour.
    pub fn cookies(&self) -> [(&'static str, u64); 3] {
        ["none", "present", "neighbour"].map({
            let mut counters = self.cookies.iter();
            move |name| (name, counters.next().map_or(0, read))
        })
    }

    /// Questions over the limit that were answered by a cookie.
    pub fn slipped(&self) -> u64 {
        read(&self.slipped)
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Answers questions from the newest view. One per worker; workers share limiter and counters.
#[derive(Debug, Clone)]
pub struct Gate {
    view: Arc<Published<View>>,
    cookies: Cookies,
    limiter: Option<Arc<Limiter>>,
    counters: Arc<AnswerCounters>,
}

impl Gate {
    /// A gate before `view`; without a limiter nothing is limited.
    pub fn new(
        view: Arc<Published<View>>,
        cookies: Cookies,
        limiter: Option<Arc<Limiter>>,
        counters: Arc<AnswerCounters>,
    ) -> Self {
        Gate { view, cookies, limiter, counters }
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
        debug_assert_ne!(peer.carrier, Carrier::Udp, "datagrams go through respond");
        match parse(request, &view.service, true) {
            Parsed::Silent(reason) => self.silent(silence_of(reason)),
            Parsed::Question(question, body) => {
                count(&self.counters.asked[body.operation() as usize - 1]);
                let asked = Asked { question, now: now.unix, on_stream: true, fresh_cookie: 0, cookie: 0 };
                let room = answer.len().min(MAX_ANSWER_STREAM);
                let (length, result) = write_answer(view, &asked, &body, &mut answer[..room]);
                count(&self.counters.results[result as usize]);
                Outcome::Respond(length)
            }
            Parsed::OtherVersion(question) => self.other_version(question, answer),
            Parsed::Refuse { result, info, header } => self.refuse(header, result, info, 0, answer),
        }
    }

    fn silent(&self, reason: Silence) -> Outcome {
        count(&self.counters.silent[reason as usize]);
        Outcome::Ignore(reason)
    }

    fn other_version(&self, question: &Question, answer: &mut [u8]) -> Outcome {
        count(&self.counters.results[ResultCode::Version as usize]);
        Outcome::Respond(version_answer(question, answer))
    }

    fn refuse(
        &self,
        header: &Question,
        result: ResultCode,
        info: u32,
        cookie: u64,
        answer: &mut [u8],
    ) -> Outcome {
        count(&self.counters.results[result as usize]);
        Outcome::Respond(refuse(header, result, info, 0, cookie, answer))
    }

    fn datagram(&self, view: &View, now: Moment, slot: &mut Slot<'_>) -> Outcome {
        if !answerable(&slot.peer) {
            return self.silent(Silence::Source);
        }
        let parsed = parse(slot.request, &view.service, false);
        let header = match &parsed {
            Parsed::Silent(reason) => return self.silent(silence_of(*reason)),
            Parsed::Question(header, _) | Parsed::OtherVersion(header) | Parsed::Refuse { header, .. } => {
                *header
            }
        };
        let proof = self.cookies.check(slot.peer.ip, header.cookie.get().to_le_bytes());
        count(&self.counters.cookies[proof as usize]);
        slot.proved = proof != Proof::None;
        let room = header.datagram_room(slot.proved);
        if let Some(limiter) = &self.limiter {
            match limiter.admit(slot.peer.ip, slot.proved, room as u64, now.monotonic_ms) {
                Admission::Pass => {}
                Admission::Slip => {
                    count(&self.counters.slipped);
                    let cookie = self.fresh(slot);
                    return self.refuse(header, ResultCode::Cookie, 0, cookie, slot.answer);
                }
                Admission::Drop => return self.silent(Silence::Limited),
            }
        }
        let fresh_cookie = self.fresh(slot);
        let cookie = if proof == Proof::Neighbour { fresh_cookie } else { 0 };
        match parsed {
            Parsed::Question(question, body) => {
                count(&self.counters.asked[body.operation() as usize - 1]);
                let asked = Asked { question, now: now.unix, on_stream: false, fresh_cookie, cookie };
                let (length, result) = write_answer(view, &asked, &body, &mut slot.answer[..room]);
                count(&self.counters.results[result as usize]);
                Outcome::Respond(length)
            }
            Parsed::OtherVersion(question) => self.other_version(question, slot.answer),
            Parsed::Refuse { result, info, header } => self.refuse(header, result, info, cookie, slot.answer),
            Parsed::Silent(reason) => self.silent(silence_of(reason)),
        }
    }

    fn fresh(&self, slot: &Slot<'_>) -> u64 {
        u64::from_le_bytes(self.cookies.make(slot.peer.ip))
    }
}

impl Respond for Gate {
    fn respond(&mut self, now: Moment, slots: &mut [Slot<'_>]) {
        self.cookies.at(now.unix);
        // one-release-at-a-time: one view for the whole batch, without a lock.
        let view = self.view.pin();
        for slot in slots {
            slot.outcome = self.datagram(&view, now, slot);
        }
    }
}

fn silence_of(reason: SilentReason) -> Silence {
    match reason {
        SilentReason::Length => Silence::Length,
        SilentReason::FirstByte => Silence::FirstByte,
        SilentReason::Service => Silence::Service,
        SilentReason::Reply => Silence::Reply,
    }
}

/// Whether an answer to this source can go to one host that may have asked.
fn answerable(peer: &Peer) -> bool {
    let ip = peer.ip.to_canonical();
    let broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    peer.port != 0 && !ip.is_multicast() && !ip.is_unspecified() && !broadcast
}
