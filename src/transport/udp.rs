//! UDP workers: one thread, one socket, one responder each; nothing shared but counters.
//!
//! A worker takes a batch of datagrams, reads the clock once, hands the batch to its
//! [`Respond`], checks every answer against never-amplify, and sends what passed. It does
//! not allocate, lock or wait in between, and never looks into a datagram. When nothing is
//! queued it looks again for some microseconds, for who asks is seldom alone, and then
//! sleeps in `poll` on its socket and on a wake-up pipe; stopping writes the pipe, so stop is
//! prompt, and what is queued by then is still answered.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::counters::counters;
use super::exit::Exit;
use super::mmsg::{self, BATCH, Inbox, MAX_DATAGRAM, Outbox};
use super::options;
use super::running::{BadEnd, Orders, Running, WorkerLife};
use super::socket::RECEIVE_BUFFER_BYTES;
use super::steering;
use crate::engine::{Carrier, Moment, Peer, Respond, Slot};

/// Looks at an empty socket before a worker that spins goes to sleep: 20 to 50 microseconds.
const SPINS: u32 = 128;
/// Batches between two looks at what the kernel dropped.
const DROPS_ROUNDS: u32 = 64;
/// Batches answered after stop, at most.
const DRAIN_ROUNDS: usize = 256;
/// The least the kernel charges a receive buffer per datagram, bytes.
const MIN_CHARGE_BYTES: usize = 768;
/// Receive errors in a row after which a worker gives up.
const MAX_ERRORS: usize = 64;

// The kernel doubles the receive buffer it is asked for: a full one is drained whole.
const _: () = assert!(DRAIN_ROUNDS * BATCH >= 2 * RECEIVE_BUFFER_BYTES / MIN_CHARGE_BYTES);

counters! {
    /// What one worker has done. Every datagram received ends in exactly one of
    /// `answered`, `ignored`, `oversize`, `send_errors`, `amplify_blocked`.
    pub UdpCounters,
    /// A reading of [`UdpCounters`].
    UdpCounts {
        /// Datagrams received, of any length.
        received,
        /// Answers the kernel took.
        answered,
        /// Datagrams that got no answer because the responder said so.
        ignored,
        /// Datagrams longer than 1232 bytes, dropped unread.
        oversize,
        /// Answers the kernel refused.
        send_errors,
        /// Receive calls that failed.
        receive_errors,
        /// Payload bytes received.
        bytes_in,
        /// Payload bytes sent.
        bytes_out,
        /// Trains of answers the kernel took in one piece.
        trains,
        /// Answers stopped at the exit because they would have amplified: a defect.
        amplify_blocked,
        /// Datagrams the kernel dropped because the worker was too slow.
        rx_overflow,
    }
}

/// Why a worker ended other than by being stopped.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// Its responder panicked.
    #[error("UDP worker {worker} panicked")]
    Panicked {
        /// The thread's name.
        worker: String,
    },
    /// Its socket failed for good.
    #[error("UDP worker {worker} gave up on its socket: {source}")]
    Socket {
        /// The thread's name.
        worker: String,
        /// The last error.
        source: io::Error,
    },
}

/// A running worker, as its owner sees it. Dropping it stops the thread without waiting.
#[derive(Debug)]
pub struct UdpWorker {
    running: Running,
    counters: Arc<UdpCounters>,
}

/// How a worker goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UdpPlan {
    /// The processor it stays on; `None`: any.
    pub cpu: Option<usize>,
    /// Whether it looks again for 20 to 50 microseconds before it sleeps.
    pub spin: bool,
}

impl UdpWorker {
    /// Starts a thread called `name` that answers `socket` (from [`bind`](super::bind)).
    ///
    /// `clock` is read once per batch. `responder` must leave every answer within 1232
    /// bytes, within the question unless the slot is proved, and never `Later`.
    ///
    /// # Errors
    /// When the system gives no thread, no wake-up pipe or no trains.
    pub fn spawn<R, C>(
        name: &str,
        socket: UdpSocket,
        plan: UdpPlan,
        clock: C,
        responder: R,
    ) -> io::Result<UdpWorker>
    where
        R: Respond + Send + 'static,
        C: Fn() -> Moment + Send + 'static,
    {
        options::take_trains(socket.as_fd())?;
        let counters = Arc::new(UdpCounters::default());
        let counted = Arc::clone(&counters);
        let running = Running::start(name, move |orders| {
            if let Some(cpu) = plan.cpu {
                steering::stay_on(cpu);
            }
            let asking = Asking { outbox: Outbox::new()?, responder, clock };
            let (inbox, counters) = (Inbox::new()?, counted);
            Worker { socket, orders, spin: plan.spin, inbox, asking, counters, dropped: 0, errors: 0 }.run()
        })?;
        Ok(UdpWorker { running, counters })
    }

    /// The worker's counters, to keep and read at any time.
    pub fn counters(&self) -> Arc<UdpCounters> {
        Arc::clone(&self.counters)
    }

    /// Whether the worker still runs, to keep and ask at any time.
    pub fn life(&self) -> WorkerLife {
        self.running.life()
    }

    /// Tells the worker to answer what is queued and end. Returns at once.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Stops the worker and waits for its end.
    ///
    /// # Errors
    /// When it had ended, or ended now, by a panic or because its socket failed.
    pub fn join(self) -> Result<(), UdpError> {
        let worker = self.running.name();
        self.running.join().map_err(|end| match end {
            BadEnd::Panicked => UdpError::Panicked { worker },
            BadEnd::Socket(source) => UdpError::Socket { worker, source },
        })
    }
}

/// Datagrams that are answered together, and the messages they came in.
struct Batch<'a> {
    datagrams: [(&'a [u8], usize); BATCH],
    count: usize,
}

impl<'a> Batch<'a> {
    const EMPTY: Self = Batch { datagrams: [(&[], 0); BATCH], count: 0 };

    fn push(&mut self, datagram: &'a [u8], message: usize) {
        self.datagrams[self.count] = (datagram, message);
        self.count += 1;
    }
}

/// What stands in slots that hold no datagram; the responder never sees it.
const NOBODY: Peer = Peer { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0, carrier: Carrier::Udp };

struct Worker<R, C> {
    socket: UdpSocket,
    orders: Orders,
    spin: bool,
    inbox: Inbox,
    asking: Asking<R, C>,
    counters: Arc<UdpCounters>,
    dropped: u32,
    errors: usize,
}

impl<R: Respond, C: Fn() -> Moment> Worker<R, C> {
    fn run(mut self) -> io::Result<()> {
        let (mut idle, mut rounds) = (0, 0);
        while !self.orders.stop() {
            if self.round()? > 0 {
                idle = 0;
                rounds += 1;
                if rounds % DROPS_ROUNDS == 0 {
                    self.note_drops();
                }
            } else if self.spin && idle < SPINS {
                idle += 1;
                std::hint::spin_loop();
            } else {
                self.note_drops();
                mmsg::wait(self.socket.as_fd(), self.orders.woken.as_fd())?;
                idle = 0;
            }
        }
        self.drain()
    }

    fn drain(&mut self) -> io::Result<()> {
        for _ in 0..DRAIN_ROUNDS {
            if self.round()? == 0 {
                break;
            }
        }
        self.note_drops();
        Ok(())
    }

    /// Receives once, and answers what came. Returns how many messages were received.
    fn round(&mut self) -> io::Result<usize> {
        let received = match self.inbox.receive(self.socket.as_fd()) {
            Ok(0) => return Ok(0),
            Ok(received) => received,
            Err(e) => return self.note_error(e),
        };
        self.errors = 0;
        let mut counts = UdpCounts::default();
        let (inbox, socket) = (&self.inbox, self.socket.as_fd());
        let mut batch = Batch::EMPTY;
        for message in 0..received {
            let known = inbox.source(message).is_some();
            for datagram in inbox.datagrams(message) {
                counts.received += 1;
                counts.bytes_in += datagram.len() as u64;
                if datagram.len() > MAX_DATAGRAM {
                    counts.oversize += 1;
                } else if !known {
                    counts.ignored += 1;
                } else {
                    batch.push(datagram, message);
                    if batch.count == BATCH {
                        self.asking.answer(&batch, inbox, socket, &mut counts);
                        batch.count = 0;
                    }
                }
            }
        }
        if batch.count > 0 {
            self.asking.answer(&batch, inbox, socket, &mut counts);
        }
        self.counters.add(&counts);
        debug_assert_eq!(counts.amplify_blocked, 0, "never-amplify: an answer was stopped at the exit");
        Ok(received)
    }

    fn note_error(&mut self, error: io::Error) -> io::Result<usize> {
        self.counters.add(&UdpCounts { receive_errors: 1, ..UdpCounts::default() });
        self.errors += 1;
        if self.errors < MAX_ERRORS { Ok(0) } else { Err(error) }
    }

    /// Counts what the kernel dropped since it was asked last. Where it does not say, nothing is counted.
    fn note_drops(&mut self) {
        let Ok(dropped) = options::dropped(self.socket.as_fd()) else { return };
        let rx_overflow = u64::from(dropped.wrapping_sub(self.dropped));
        self.dropped = dropped;
        self.counters.add(&UdpCounts { rx_overflow, ..UdpCounts::default() });
    }
}

/// Who answers, by which clock, and where answers wait to be sent.
struct Asking<R, C> {
    outbox: Outbox,
    responder: R,
    clock: C,
}

impl<R: Respond, C: Fn() -> Moment> Asking<R, C> {
    /// Asks, checks and sends.
    fn answer(&mut self, batch: &Batch<'_>, inbox: &Inbox, socket: BorrowedFd<'_>, counts: &mut UdpCounts) {
        let answers = self.ask(batch, inbox, counts);
        for (lane, &(_, message)) in batch.datagrams[..batch.count].iter().enumerate() {
            if let Some(length) = answers[lane] {
                self.outbox.queue(lane, length, message);
            }
        }
        let sent = self.outbox.flush(socket, inbox);
        counts.answered += sent.sent as u64;
        counts.send_errors += sent.failed as u64;
        counts.bytes_out += sent.bytes as u64;
        counts.trains += sent.trains as u64;
    }

    /// Lets the responder fill the batch; returns the length of each answer that may leave.
    fn ask(&mut self, batch: &Batch<'_>, inbox: &Inbox, counts: &mut UdpCounts) -> [Option<usize>; BATCH] {
        let now = (self.clock)();
        let mut answers = self.outbox.answers();
        let mut slots: [Slot<'_>; BATCH] = std::array::from_fn(|lane| {
            let answer = answers.next().unwrap_or_default();
            let (datagram, message) = batch.datagrams[lane];
            let source = if lane < batch.count { inbox.source(message) } else { None };
            let peer = source.map_or(NOBODY, |(ip, port)| Peer { ip, port, carrier: Carrier::Udp });
            Slot::new(datagram, peer, answer)
        });
        let slots = &mut slots[..batch.count];
        self.responder.respond(now, slots);
        std::array::from_fn(|lane| slots.get(lane).and_then(|slot| checked(slot, counts)))
    }
}

/// The length of the slot's answer if it has one that may leave.
fn checked(slot: &Slot<'_>, counts: &mut UdpCounts) -> Option<usize> {
    match Exit::of(slot) {
        Exit::Leaves(length) => return Some(length),
        Exit::Silent => counts.ignored += 1,
        Exit::Blocked => counts.amplify_blocked += 1,
    }
    None
}

#[cfg(test)]
mod tests;
