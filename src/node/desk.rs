//! The desk: takes sealed questions from streams, has them opened and decided, and lets each answer out at
//! its deadline.
//!
//! A question waits in a bounded queue for an opener; the opener gives what is inside to the writer and goes
//! on; the writer's answer is sealed when it is durable; the releaser sends it a fixed time after its
//! question came. Whatever happens on the way, somebody answers: an answer that is forgotten is BUSY.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::clock::Clock;
use super::entropy::{self, SystemRandom};
use super::handle::{Answered, OriginHandle, QUEUE_MAX};
use super::opening_keys::Keyhole;
use super::sealed_counts::{SealedCounters, SealedCounts, count};
use crate::authority::seal::AnswerKey;
use crate::engine::{
    Deadlines, Input, MAX_SEALED, Moment, Opened, OpeningKeys, Punctuality, Reply, ReportReply, TakeSealed,
    Ticket, open_sealed, sealed_answer, unopened_answer,
};
use crate::service::metrics::MetricsText;
use crate::wire::layout::SealedQuestion;
use crate::wire::report::Outcome;
use crate::wire::{Question, ResultCode};

/// Questions that wait for an opener at most: what two openers do well within a deadline.
pub const MAX_TO_OPEN: usize = 512;
/// Requests at the writer at most: what operators ask finds room beside them.
pub const MAX_AT_WRITER: usize = 768;
/// Threads that open at most; there are as many as cores.
pub const MAX_OPENERS: usize = 8;

const _: () = assert!(MAX_TO_OPEN <= MAX_SEALED && MAX_AT_WRITER < QUEUE_MAX && MAX_OPENERS > 0);

/// A question on its way to an opener.
struct Job {
    ticket: Ticket,
    /// When it was admitted.
    admitted: Instant,
    header: Question,
    question: Box<SealedQuestion>,
    /// The keys that accepted it.
    keys: Arc<OpeningKeys>,
}

/// What is waited for.
#[derive(Default)]
struct Book {
    jobs: VecDeque<Job>,
    deadlines: Deadlines,
    senders: BTreeMap<Ticket, oneshot::Sender<Vec<u8>>>,
    /// Until the transport asks for them, which it does at once.
    receivers: BTreeMap<Ticket, oneshot::Receiver<Vec<u8>>>,
    stopped: bool,
}

/// What the threads of a desk share. It does not hold the origin, whose thread may be the last to let it go.
struct Hatch {
    clock: Arc<dyn Clock>,
    book: Mutex<Book>,
    to_open: Condvar,
    to_release: Condvar,
    at_writer: AtomicUsize,
    counters: SealedCounters,
}

impl Hatch {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self, ticket: Ticket, frame: Vec<u8>) {
        let now = self.clock.now().monotonic_ms;
        let mut book = self.book();
        book.deadlines.ready(now, ticket, frame);
        if book.deadlines.next_due() == Some(0) {
            self.to_release.notify_one();
        }
    }

    /// The next question to open; `None` once the desk stops.
    fn next_job(&self) -> Option<Job> {
        let mut book = self.book();
        loop {
            if book.stopped {
                return None;
            }
            if let Some(job) = book.jobs.pop_front() {
                return Some(job);
            }
            book = self.to_open.wait(book).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn open_loop(self: &Arc<Self>, origin: &OriginHandle) {
        while let Some(job) = self.next_job() {
            if catch_unwind(AssertUnwindSafe(|| self.open(origin, &job))).is_err() {
                tracing::error!("opening a sealed question panicked; it is answered BUSY");
            }
        }
    }

    fn open(self: &Arc<Self>, origin: &OriginHandle, job: &Job) {
        let mut promise = Promise {
            hatch: Arc::clone(self),
            ticket: job.ticket,
            admitted: job.admitted,
            header: job.header,
            key: None,
            at_writer: false,
            kept: false,
        };
        let Ok(Opened { request, answer_key }) = open_sealed(&job.keys, &job.header, &job.question) else {
            count(&self.counters.unopenable);
            return;
        };
        count(&self.counters.opened);
        promise.key = Some(answer_key);
        match request {
            Err(_) => {
                count(&self.counters.malformed);
                promise.keep(&ReportReply::of(Outcome::Malformed, self.clock.now().unix));
            }
            Ok(request) => {
                promise.at_writer = true;
                // bounded: a promise that finds no room, here or in the writer's queue, is answered BUSY.
                if self.at_writer.fetch_add(1, Ordering::Relaxed) < MAX_AT_WRITER {
                    let told = move |answered: Answered| promise.tell(answered);
                    // Busy or stopped: the promise went with what was not asked.
                    let _ = origin.ask_then(Input::Report(Box::new(request)), told);
                }
            }
        }
    }

    fn release_loop(&self) {
        let mut book = self.book();
        while !book.stopped {
            let now = self.clock.now().monotonic_ms;
            let leaving = book.deadlines.due(now);
            if !leaving.is_empty() {
                let sending: Vec<_> = leaving
                    .into_iter()
                    .filter_map(|(ticket, frame)| Some((book.senders.remove(&ticket)?, frame)))
                    .collect();
                drop(book);
                for (sender, frame) in sending {
                    // Who asked may have gone.
                    let _ = sender.send(frame);
                }
                book = self.book();
                continue;
            }
            book = match book.deadlines.next_due() {
                None => self.to_release.wait(book).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let pause = Duration::from_millis(due.saturating_sub(now));
                    self.to_release.wait_timeout(book, pause).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// The duty to answer one question. Dropped, it answers BUSY, or random bytes if nothing was opened.
struct Promise {
    hatch: Arc<Hatch>,
    ticket: Ticket,
    admitted: Instant,
    header: Question,
    key: Option<AnswerKey>,
    at_writer: bool,
    kept: bool,
}

impl Promise {
    fn tell(self, answered: Answered) {
        // Anything else is BUSY, by being dropped.
        if let Ok(Reply::Report(reply)) = answered {
            self.keep(&reply);
        }
    }

    fn keep(mut self, reply: &ReportReply) {
        self.give(reply);
    }

    fn give(&mut self, reply: &ReportReply) {
        self.kept = true;
        let frame = match &self.key {
            Some(key) => {
                self.hatch.counters.outcome(reply.outcome);
                sealed_answer(&self.header, key, entropy::bytes(&mut SystemRandom), reply)
            }
            None => unopened_answer(&self.header, &entropy::bytes(&mut SystemRandom)),
        };
        if reply.receipt.is_some() {
            self.hatch.counters.receipted(self.admitted.elapsed());
        }
        self.hatch.ready(self.ticket, frame);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if self.at_writer {
            self.hatch.at_writer.fetch_sub(1, Ordering::Relaxed);
        }
        if !self.kept {
            self.give(&ReportReply::busy(self.hatch.clock.now().unix));
        }
    }
}

/// A desk with its threads. Dropping it stops them.
pub struct Desk {
    hatch: Arc<Hatch>,
    keyhole: Arc<Keyhole>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    /// A desk before `origin`. `clock` is the one that tells when questions arrive.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(origin: &Arc<OriginHandle>, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Desk::with_openers(origin, clock, cores.clamp(1, MAX_OPENERS))
    }

    fn with_openers(
        origin: &Arc<OriginHandle>,
        clock: Arc<dyn Clock>,
        openers: usize,
    ) -> std::io::Result<Self> {
        let hatch = Arc::new(Hatch {
            clock,
            book: Mutex::default(),
            to_open: Condvar::new(),
            to_release: Condvar::new(),
            at_writer: AtomicUsize::new(0),
            counters: SealedCounters::default(),
        });
        let keyhole = Arc::clone(origin.keyhole());
        let desk = Desk { hatch, keyhole, threads: Mutex::default() };
        for i in 0..openers {
            let (hatch, origin) = (Arc::clone(&desk.hatch), Arc::clone(origin));
            desk.spawn(format!("tekd-opener-{i}"), move || hatch.open_loop(&origin))?;
        }
        let hatch = Arc::clone(&desk.hatch);
        desk.spawn("tekd-releaser".to_owned(), move || hatch.release_loop())?;
        Ok(desk)
    }

    fn spawn(&self, name: String, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let thread = std::thread::Builder::new().name(name).spawn(run)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Where the answer under a ticket will arrive. To be asked once.
    pub fn later(&self, ticket: Ticket) -> oneshot::Receiver<Vec<u8>> {
        let found = self.hatch.book().receivers.remove(&ticket);
        // A ticket of nobody: a receiver whose sender is gone ends the wait at once.
        found.unwrap_or_else(|| oneshot::channel().1)
    }

    /// What it has done.
    pub fn counts(&self) -> SealedCounts {
        let book = self.hatch.book();
        self.hatch.counters.read(book.deadlines.total(), book.deadlines.waiting())
    }

    /// Adds the times of receipts to a page.
    pub(crate) fn write_receipts(&self, page: &mut MetricsText) {
        self.hatch.counters.write_receipts(page);
    }

    /// Deadlines of the last hour.
    pub fn last_hour(&self) -> Punctuality {
        self.hatch.book().deadlines.last_hour(self.hatch.clock.now().monotonic_ms)
    }

    /// Stops its threads. What was not answered is given up; streams are to be drained before.
    pub fn stop(&self) {
        self.hatch.book().stopped = true;
        self.hatch.to_open.notify_all();
        self.hatch.to_release.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the desk panicked");
            }
        }
        let mut book = self.hatch.book();
        book.jobs.clear();
        book.senders.clear();
    }
}

impl TakeSealed for Desk {
    fn take(&self, now: Moment, header: &Question, question: &SealedQuestion) -> Result<Ticket, ResultCode> {
        let keys = self.keyhole.look();
        keys.accepts(now.unix, question)?;
        let (header, question) = (*header, Box::new(question.clone()));
        let counters = &self.hatch.counters;
        let full = |_| {
            count(&counters.full);
            ResultCode::Pending
        };
        let mut book = self.hatch.book();
        if book.stopped || book.jobs.len() >= MAX_TO_OPEN {
            return Err(full(crate::engine::Full));
        }
        let next = book.deadlines.next_due();
        let ticket = book.deadlines.admit(now.monotonic_ms).map_err(full)?;
        count(&counters.received);
        let (sender, receiver) = oneshot::channel();
        book.senders.insert(ticket, sender);
        book.receivers.insert(ticket, receiver);
        // bounded: nobody asks any more for what was not asked for at once.
        while book.receivers.len() > MAX_SEALED {
            book.receivers.pop_first();
        }
        book.jobs.push_back(Job { ticket, admitted: Instant::now(), header, question, keys });
        self.hatch.to_open.notify_one();
        if book.deadlines.next_due() != next {
            self.hatch.to_release.notify_one();
        }
        Ok(ticket)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
