//! Workers of AF_XDP: one thread, one queue, one responder each, like those of UDP.
//!
//! A worker takes a batch of frames, finds the questions in them, reads the clock once, hands the batch to
//! its [`Respond`], checks every answer against never-amplify and has what passed sent from where it was
//! written. After the last frame it looks for more for [`SPIN`], then sleeps in `poll`. Stopping writes its
//! wake-up pipe; what has come by then is still answered. Once its thread has ended, by whatever cause, its
//! socket is closed and the kernel has the frames of its queue again.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::frame::{HEAD, Question};
use super::rings::{FRAMES, Mishaps, XdpSocket};
use crate::engine::{Carrier, Moment, Peer, Respond, Slot};
use crate::transport::counters::counters;
use crate::transport::exit::Exit;
use crate::transport::mmsg::{self, BATCH, MAX_DATAGRAM};
use crate::transport::running::{BadEnd, Orders, Running, WorkerLife};

/// How long a worker looks for the next frame before it sleeps.
const SPIN: Duration = Duration::from_micros(40);
/// Batches answered after stop, at most: all that can wait in a ring.
const DRAIN_ROUNDS: usize = FRAMES / BATCH;
/// Batches between two looks at what the kernel dropped.
const STATISTICS_ROUNDS: u32 = 4096;
/// Batches in a row that could not be sent after which a worker gives up.
const MAX_ERRORS: usize = 64;
/// How long every answer frame may be on its way before a queue is given up, milliseconds.
const STUCK_MS: u64 = 1000;

counters! {
    /// What one worker has done. Every frame received ends in exactly one of `answered`, `ignored`,
    /// `malformed`, `oversize`, `send_errors`, `amplify_blocked`.
    pub XdpCounters,
    /// A reading of [`XdpCounters`].
    XdpCounts {
        /// Frames received.
        received,
        /// Answers queued that the kernel was told of.
        answered,
        /// Datagrams that got no answer because the responder said so.
        ignored,
        /// Frames whose headers or checksums do not hold.
        malformed,
        /// Datagrams longer than 1232 bytes.
        oversize,
        /// Answers that the kernel would not send when it was told of them.
        send_errors,
        /// Payload bytes received.
        bytes_in,
        /// Payload bytes sent.
        bytes_out,
        /// Answers stopped at the exit because they would have amplified: a defect.
        amplify_blocked,
        /// Frames dropped because all others were still being sent.
        no_room,
        /// Entries of the kernel's rings that contradict what is known: a defect.
        disagreements,
        /// Frames the kernel dropped because the worker was too slow.
        rx_overflow,
    }
}

/// Why a worker ended other than by being stopped.
#[derive(Debug, thiserror::Error)]
pub enum XdpWorkerError {
    /// Its responder panicked.
    #[error("AF_XDP worker {worker} panicked; the kernel's sockets answer for its queue")]
    Panicked {
        /// The thread's name.
        worker: String,
    },
    /// Its socket failed for good.
    #[error("AF_XDP worker {worker} gave up on its queue: {source}; the kernel's sockets answer for it")]
    Socket {
        /// The thread's name.
        worker: String,
        /// The last error.
        source: io::Error,
    },
}

/// A running worker, as its owner sees it. Dropping it stops the thread without waiting.
#[derive(Debug)]
pub struct XdpWorker {
    running: Running,
    counters: Arc<XdpCounters>,
}

impl XdpWorker {
    /// Starts a thread called `name` that answers what comes to `socket` (from [`attach`](super::attach)).
    ///
    /// `clock` is read once per batch, and when no frame of one found room. `responder` must leave every
    /// answer within 1232 bytes, within the question unless the slot is proved, and never `Later`.
    ///
    /// # Errors
    /// When the system gives no thread or no wake-up pipe.
    pub fn spawn<R, C>(name: &str, socket: XdpSocket, clock: C, responder: R) -> io::Result<XdpWorker>
    where
        R: Respond + Send + 'static,
        C: Fn() -> Moment + Send + 'static,
    {
        let counters = Arc::new(XdpCounters::default());
        let counted = Arc::clone(&counters);
        let running =
            Running::start(name, move |orders| Worker::new(socket, clock, responder, counted).run(&orders))?;
        Ok(XdpWorker { running, counters })
    }

    /// The worker's counters, to keep and read at any time.
    pub fn counters(&self) -> Arc<XdpCounters> {
        Arc::clone(&self.counters)
    }

    /// Whether the worker still runs, to keep and ask at any time.
    pub fn life(&self) -> WorkerLife {
        self.running.life()
    }

    /// Tells the worker to answer what has come and end. Returns at once.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Stops the worker and waits for its end.
    ///
    /// # Errors
    /// When it had ended, or ended now, by a panic or because its socket failed.
    pub fn join(self) -> Result<(), XdpWorkerError> {
        let worker = self.running.name();
        self.running.join().map_err(|end| match end {
            BadEnd::Panicked => XdpWorkerError::Panicked { worker },
            BadEnd::Socket(source) => XdpWorkerError::Socket { worker, source },
        })
    }
}

/// What stands in slots that hold no question; the responder never sees it.
const NOBODY: Peer = Peer { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0, carrier: Carrier::Udp };

/// A part of the frame beside a lane: where the answer's headers start, how long all of it is.
#[derive(Clone, Copy)]
struct Leaving {
    start: usize,
    length: usize,
}

/// Where the headers of a slot's answer go, and from what they are made.
struct Envelope<'a> {
    lane: usize,
    question: Question<'a>,
    room: &'a mut [u8; HEAD],
}

struct Worker<R, C> {
    socket: XdpSocket,
    responder: R,
    clock: C,
    counters: Arc<XdpCounters>,
    /// Mishaps and drops that are counted already.
    told: (Mishaps, u64),
    rounds: u32,
    errors: usize,
    /// Since when nothing that was sent has left, while frames came that found no room, by the clock.
    stuck_ms: Option<u64>,
}

impl<R: Respond, C: Fn() -> Moment> Worker<R, C> {
    fn new(socket: XdpSocket, clock: C, responder: R, counters: Arc<XdpCounters>) -> Self {
        let (told, rounds, errors, stuck_ms) = ((Mishaps::default(), 0), 0, 0, None);
        Worker { socket, responder, clock, counters, told, rounds, errors, stuck_ms }
    }

    fn run(mut self, orders: &Orders) -> io::Result<()> {
        loop {
            // What cannot be sent now, since the interface is down, goes with a later batch.
            let _ = self.socket.kick();
            self.count_drops()?;
            mmsg::wait(self.socket.as_fd(), orders.woken.as_fd())?;
            if orders.stop() {
                return self.drain();
            }
            if !self.answer_until_idle(orders)?
                && let Some(error) = self.socket.take_error()?
            {
                return Err(error);
            }
        }
    }

    /// Answers until nothing has come for [`SPIN`], or stop; whether anything came.
    fn answer_until_idle(&mut self, orders: &Orders) -> io::Result<bool> {
        let (mut any, mut idle) = (false, None);
        while !orders.stop() {
            if self.round()? > 0 {
                (any, idle) = (true, None);
            } else if idle.get_or_insert_with(Instant::now).elapsed() < SPIN {
                std::hint::spin_loop();
            } else {
                break;
            }
        }
        Ok(any)
    }

    fn drain(&mut self) -> io::Result<()> {
        for _ in 0..DRAIN_ROUNDS {
            if self.round()? == 0 {
                if !self.socket.unsent() {
                    break;
                }
                // What cannot be sent now is lost with the socket.
                let _ = self.socket.kick();
            }
        }
        self.count_drops()
    }

    /// One batch: receive, ask, check, send. Returns how many frames were received.
    fn round(&mut self) -> io::Result<usize> {
        let no_room = self.socket.mishaps().no_room;
        let received = self.socket.receive();
        if received == 0 {
            return if self.socket.mishaps().no_room == no_room { Ok(0) } else { self.note_no_room() };
        }
        self.stuck_ms = None;
        let mut counts = XdpCounts { received: received as u64, ..XdpCounts::default() };
        let now = (self.clock)();
        let answers = ask(&mut self.socket, &mut self.responder, now, &mut counts);
        for (lane, leaving) in answers.iter().enumerate() {
            if let Some(Leaving { start, length }) = *leaving {
                self.socket.queue(lane, start, length);
            }
        }
        if let Err(e) = self.socket.flush() {
            counts.send_errors = std::mem::take(&mut counts.answered);
            counts.bytes_out = 0;
            self.errors += 1;
            if self.errors >= MAX_ERRORS {
                self.counters.add(&counts);
                return Err(e);
            }
        } else {
            self.errors = 0;
        }
        self.counters.add(&counts);
        self.rounds += 1;
        if self.rounds >= STATISTICS_ROUNDS {
            self.count_drops()?;
        }
        debug_assert_eq!(counts.amplify_blocked, 0, "never-amplify: an answer was stopped at the exit");
        Ok(received)
    }

    /// Gives up a queue whose frames do not come back from being sent: its sockets beside can answer.
    fn note_no_room(&mut self) -> io::Result<usize> {
        let now_ms = (self.clock)().monotonic_ms;
        if now_ms.saturating_sub(*self.stuck_ms.get_or_insert(now_ms)) < STUCK_MS {
            return Ok(0);
        }
        let what = format!("nothing that was to be sent has left for {STUCK_MS} ms");
        Err(io::Error::other(what))
    }

    /// Counts what was lost since it was last looked at.
    fn count_drops(&mut self) -> io::Result<()> {
        self.rounds = 0;
        let (mishaps, dropped) = (self.socket.mishaps(), self.socket.dropped()?);
        let (told, told_dropped) = std::mem::replace(&mut self.told, (mishaps, dropped));
        self.counters.add(&XdpCounts {
            no_room: mishaps.no_room - told.no_room,
            disagreements: mishaps.disagreements - told.disagreements,
            rx_overflow: dropped.saturating_sub(told_dropped),
            ..XdpCounts::default()
        });
        Ok(())
    }
}

/// Lets the responder fill the batch; returns what may leave, by lane, its headers written.
fn ask(
    socket: &mut XdpSocket,
    responder: &mut impl Respond,
    now: Moment,
    counts: &mut XdpCounts,
) -> [Option<Leaving>; BATCH] {
    let mut questions = socket.lanes().enumerate().filter_map(|(lane, (frame, beside))| {
        let question = accepted(frame, counts)?;
        let (room, rest) = beside.split_first_chunk_mut::<HEAD>()?;
        Some((Envelope { lane, question, room }, &mut rest[..MAX_DATAGRAM]))
    });
    let (mut envelopes, mut count) = ([const { None }; BATCH], 0);
    let mut slots: [Slot<'_>; BATCH] = std::array::from_fn(|at| match questions.next() {
        Some((envelope, answer)) => {
            let Question { ip, port, payload, .. } = envelope.question;
            envelopes[at] = Some(envelope);
            count += 1;
            Slot::new(payload, Peer { ip, port, carrier: Carrier::Udp }, answer)
        }
        None => Slot::new(&[], NOBODY, &mut []),
    });
    drop(questions);
    let slots = &mut slots[..count];
    responder.respond(now, slots);
    let mut leaving = [None; BATCH];
    for (slot, envelope) in slots.iter().zip(envelopes.iter_mut().flatten()) {
        match Exit::of(slot) {
            Exit::Leaves(length) => {
                let headers = envelope.question.write_headers(envelope.room, &slot.answer[..length]);
                leaving[envelope.lane] = Some(Leaving { start: HEAD - headers, length: headers + length });
                counts.answered += 1;
                counts.bytes_out += length as u64;
            }
            Exit::Silent => counts.ignored += 1,
            Exit::Blocked => counts.amplify_blocked += 1,
        }
    }
    leaving
}

/// The question in a frame, if its headers hold and it is not too long.
fn accepted<'a>(frame: &'a [u8], counts: &mut XdpCounts) -> Option<Question<'a>> {
    let Some(question) = Question::parse(frame) else {
        counts.malformed += 1;
        return None;
    };
    counts.bytes_in += question.payload.len() as u64;
    if question.payload.len() > MAX_DATAGRAM {
        counts.oversize += 1;
        return None;
    }
    Some(question)
}

#[cfg(test)]
mod tests;
