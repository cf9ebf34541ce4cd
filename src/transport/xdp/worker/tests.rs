//! A worker, batch by batch, against a played kernel and a clock that stands until it is moved.

use std::cell::Cell;

use super::*;
use crate::engine::{Outcome, Silence};
use crate::transport::xdp::frame::tests::{question_v4, question_v6};
use crate::transport::xdp::rings::played::PlayedKernel;

/// Echoes what does not begin with `-`.
struct Echo;

impl Respond for Echo {
    fn respond(&mut self, _now: Moment, slots: &mut [Slot<'_>]) {
        for slot in slots {
            slot.answer[..slot.request.len()].copy_from_slice(slot.request);
            slot.outcome = match slot.request.first() {
                Some(b'-') => Outcome::Ignore(Silence::Length),
                _ => Outcome::Respond(slot.request.len()),
            };
        }
    }
}

/// A worker on a queue whose kernel the test plays, and what it has counted.
fn start<C: Fn() -> Moment>(clock: C) -> (PlayedKernel, Worker<Echo, C>, Arc<XdpCounters>) {
    let (kernel, socket) = PlayedKernel::new();
    let counters = Arc::new(XdpCounters::default());
    let worker = Worker::new(socket, clock, Echo, Arc::clone(&counters));
    (kernel, worker, counters)
}

fn standing() -> Moment {
    Moment { unix: 1_800_000_000, monotonic_ms: 7 }
}

/// Asks until every frame for answers is on its way out.
fn fill_up<C: Fn() -> Moment>(kernel: &mut PlayedKernel, worker: &mut Worker<Echo, C>) {
    // bounded: each round takes frames, of which there are so many.
    for _ in 0..FRAMES {
        (0..BATCH).for_each(|_| kernel.deliver(&question_v4(b"who")));
        let received = worker.round().expect("no error");
        kernel.take_outgoing();
        if received == 0 {
            return;
        }
    }
    panic!("there is always room");
}

#[test]
fn a_queue_whose_answers_never_leave_is_given_up_after_a_second() {
    let now_ms = Cell::new(5000);
    let (mut kernel, mut worker, _) = start(|| Moment { unix: 0, monotonic_ms: now_ms.get() });
    fill_up(&mut kernel, &mut worker);
    now_ms.set(5000 + STUCK_MS - 1);
    kernel.deliver(&question_v4(b"who"));
    assert_eq!(worker.round().expect("there is still time"), 0);
    now_ms.set(5000 + STUCK_MS);
    assert_eq!(worker.round().expect("nothing came that found no room"), 0);
    kernel.deliver(&question_v4(b"who"));
    let error = worker.round().expect_err("given up");
    assert_eq!(error.to_string(), "nothing that was to be sent has left for 1000 ms");
}

#[test]
fn a_queue_whose_answers_leave_in_time_is_kept_and_its_second_begins_anew() {
    let now_ms = Cell::new(5000);
    let (mut kernel, mut worker, counters) = start(|| Moment { unix: 0, monotonic_ms: now_ms.get() });
    fill_up(&mut kernel, &mut worker);
    let answered = counters.snapshot().answered;
    for turn in 1..=5 {
        now_ms.set(now_ms.get() + STUCK_MS - 1);
        kernel.complete(1);
        (0..BATCH).for_each(|_| kernel.deliver(&question_v4(b"who")));
        assert_eq!(worker.round().expect("one has left"), 1);
        assert_eq!(kernel.take_outgoing().len(), 1);
        assert_eq!(counters.snapshot().answered, answered + turn);
        kernel.deliver(&question_v4(b"who"));
        assert_eq!(worker.round().expect("its second begins now"), 0);
    }
    now_ms.set(now_ms.get() + STUCK_MS);
    kernel.deliver(&question_v4(b"who"));
    assert!(worker.round().is_err(), "and ends as the first would have");
}

#[test]
fn every_frame_is_counted_once() {
    let (mut kernel, mut worker, counters) = start(standing);
    let mut bent = question_v6(b"who");
    bent[60] ^= 1;
    for frame in [&question_v4(b"who"), &question_v6(b"-"), &bent, &question_v4(&[7; MAX_DATAGRAM + 1])] {
        kernel.deliver(frame);
    }
    assert_eq!(worker.round().expect("no error"), 4);
    assert_eq!(kernel.take_outgoing().len(), 1);
    let (bytes_in, bytes_out) = (3 + 1 + MAX_DATAGRAM as u64 + 1, 3);
    let expected = XdpCounts {
        received: 4,
        answered: 1,
        ignored: 1,
        malformed: 1,
        oversize: 1,
        bytes_in,
        bytes_out,
        ..XdpCounts::default()
    };
    assert_eq!(counters.snapshot(), expected);
}

#[test]
fn answers_that_the_kernel_would_not_send_are_counted_and_the_queue_is_given_up() {
    let (mut kernel, mut worker, counters) = start(standing);
    kernel.want_calls(true);
    kernel.break_down();
    for failed in 1..=MAX_ERRORS as u64 {
        [&b"who"[..], b"-", b"else"].into_iter().for_each(|payload| kernel.deliver(&question_v4(payload)));
        let round = worker.round();
        assert_eq!(round.is_err(), failed == MAX_ERRORS as u64, "round {failed}");
        let counts = counters.snapshot();
        assert_eq!((counts.answered, counts.bytes_out), (0, 0));
        assert_eq!((counts.received, counts.ignored, counts.send_errors), (3 * failed, failed, 2 * failed));
    }
}

#[test]
fn a_flush_that_goes_well_sends_what_was_left_and_forgives_those_that_failed() {
    let (mut kernel, mut worker, counters) = start(standing);
    kernel.break_down();
    for turn in 1..=3 {
        kernel.want_calls(true);
        for _ in 1..MAX_ERRORS {
            kernel.deliver(&question_v4(b"who"));
            worker.round().expect("not yet too many in a row");
        }
        kernel.want_calls(false);
        kernel.deliver(&question_v4(b"who"));
        worker.round().expect("it goes well");
        assert_eq!(kernel.take_outgoing().len(), MAX_ERRORS, "none is lost");
        let counts = counters.snapshot();
        assert_eq!((counts.answered, counts.send_errors), (turn, turn * (MAX_ERRORS as u64 - 1)));
        kernel.complete(MAX_ERRORS);
    }
}
