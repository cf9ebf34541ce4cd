//! The loop of a run: what is due leaves, what came is judged, what is late is given up. The only place with
//! a clock and a socket.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tekd::transport::xdp::XdpError;
use tekd::wire::{AnswerBody, Expected, Operation, QuestionBuilder, ServiceId, parse_answer};

use crate::cpu::{CpuTimes, StatError};
use crate::flights::Flights;
use crate::pace::Pace;
use crate::report::Report;
use crate::system::{Arrivals, BATCH, Batch, ROOM, send_trains, take_trains, wait_readable};
use crate::traffic::Traffic;
use crate::verdicts::Verdicts;

/// Asked of the kernel for answers that wait, bytes; it may grant less.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// A question due sooner than this is waited for by spinning: the kernel wakes no thread more precisely.
const SPIN: Duration = Duration::from_micros(100);
/// How often and how long a first question is tried.
const GREETINGS: u64 = 4;
const GREETING_PATIENCE: Duration = Duration::from_millis(500);

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who is asked.
    pub server: SocketAddr,
    /// How fast.
    pub pace: Pace,
    /// For how long questions leave.
    pub length: Duration,
    /// After how long without an answer a question is lost.
    pub patience: Duration,
    /// The server's process, if it runs here.
    pub pid: Option<u32>,
    /// Answers are looked for without a pause, so that no time to wake up is in their latency.
    pub spin: bool,
    /// Questions that leave in one train, 1 to 64; if more than one, all have one length.
    pub train: usize,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The socket cannot be made or used.
    #[error("UDP socket: {0}")]
    Socket(#[from] io::Error),
    /// Nobody answers.
    #[error("{server} does not answer; is the address right, and is the trust file that of this server?")]
    Silent {
        /// Who was asked.
        server: SocketAddr,
    },
    /// The server's process cannot be watched.
    #[error(transparent)]
    Stat(#[from] StatError),
    /// AF_XDP cannot be used to ask.
    #[error(transparent)]
    Xdp(#[from] XdpError),
}

/// Asks for the cookie that proves this machine's address to a server.
///
/// # Errors
/// If it does not answer in two seconds.
pub fn greet(server: SocketAddr, service: ServiceId, set: u32, txid: u64) -> Result<u64, MeasureError> {
    let socket = connected(server)?;
    let mut batch = Batch::new(true);
    for attempt in 0..GREETINGS {
        let question = QuestionBuilder::new(service, set, txid.wrapping_add(attempt));
        let length = question.info(batch.room(0)).expect("a header fits a datagram");
        batch.set_length(0, length);
        // Nobody there: the kernel may say so at once. The next attempt is as good.
        let _ = batch.send(socket.as_fd(), 0, 1);
        wait_readable(socket.as_fd(), Some(GREETING_PATIENCE))?;
        let Ok(count) = batch.receive(socket.as_fd()) else { continue };
        let expected = Expected { service, txid: question.txid, set, operation: Operation::Info };
        for at in 0..count {
            if let Ok(answer) = parse_answer(batch.datagram(at), &expected, false)
                && let AnswerBody::Info(_) = answer.body
            {
                return Ok(answer.header.cookie.get());
            }
        }
    }
    Err(MeasureError::Silent { server })
}

/// Runs `plan` with the questions of `traffic`.
///
/// # Errors
/// If the socket fails, the server's process is not here, or nobody answers.
pub fn measure<T: Traffic + ?Sized>(plan: &Plan, traffic: &mut T) -> Result<Report, MeasureError> {
    let before = plan.pid.map(CpuTimes::of).transpose()?;
    let socket = connected(plan.server)?;
    let mut run = Run {
        plan,
        traffic,
        questions: Batch::new(true),
        answers: Answers::on(&socket, plan.train)?,
        socket,
        segment: None,
        flights: Flights::default(),
        verdicts: Verdicts::new(),
        start: Instant::now(),
    };
    run.until_over()?;
    let after = plan.pid.map(CpuTimes::of).transpose()?;
    let cpu = before.zip(after).map(|(before, after)| after.since(before));
    let report = run.verdicts.tally.report(plan.length, run.flights.next(), cpu);
    if report.answered + report.refused + report.wrong == 0 && report.sent > 0 {
        return Err(MeasureError::Silent { server: plan.server });
    }
    run.verdicts.tell();
    Ok(report)
}

/// A socket that asks `server`.
pub(crate) fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = roomy(server)?;
    socket.connect(server)?;
    Ok(socket)
}

/// A socket that can reach `server`, with room for what comes while nobody looks.
pub(crate) fn roomy(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    Ok(socket)
}

/// Where answers arrive: one by one, or in trains.
enum Answers {
    Single(Box<Batch>),
    Trains(Arrivals),
}

impl Answers {
    fn on(socket: &UdpSocket, train: usize) -> io::Result<Self> {
        if train < 2 {
            return Ok(Answers::Single(Box::new(Batch::new(true))));
        }
        take_trains(socket.as_fd())?;
        Ok(Answers::Trains(Arrivals::new()))
    }

    fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        match self {
            Answers::Single(batch) => batch.receive(socket.as_fd()),
            Answers::Trains(arrivals) => arrivals.receive(socket.as_fd()),
        }
    }

    fn datagram(&self, at: usize) -> &[u8] {
        match self {
            Answers::Single(batch) => batch.datagram(at),
            Answers::Trains(arrivals) => arrivals.datagram(at),
        }
    }
}

struct Run<'a, T: ?Sized> {
    plan: &'a Plan,
    traffic: &'a mut T,
    socket: UdpSocket,
    questions: Batch,
    answers: Answers,
    /// Length of the questions of a train, once the first is known.
    segment: Option<usize>,
    flights: Flights,
    verdicts: Verdicts,
    start: Instant,
}

impl<T: Traffic + ?Sized> Run<'_, T> {
    fn until_over(&mut self) -> io::Result<()> {
        loop {
            let moved = self.send()? + self.receive()?;
            let now = self.start.elapsed();
            self.verdicts.tally.lost += self.flights.give_up(now, self.plan.patience);
            let over = self.plan.pace.over(now, self.plan.length, self.flights.next());
            if over && self.flights.open() == 0 {
                return Ok(());
            }
            if moved == 0 {
                self.rest(now)?;
            }
        }
    }

    /// Sends what is due, at most one batch; returns how many left.
    fn send(&mut self) -> io::Result<usize> {
        let now = self.start.elapsed();
        let (pace, next) = (self.plan.pace, self.flights.next());
        let due = pace.due(now, self.plan.length, next, self.flights.open());
        let apart = self.traffic.told_apart().saturating_sub(self.flights.span());
        let count = due.min(self.flights.room()).min(apart).min(BATCH as u64) as usize;
        // What is left over waits for its train, and its waiting counts as latency.
        let count = if now < self.plan.length { count - count % self.plan.train } else { count };
        for (at, seq) in (0..count).zip(next..) {
            let length = self.traffic.ask(seq, &mut self.questions.room(at)[..ROOM]);
            self.questions.set_length(at, length);
        }
        if count == 0 {
            return Ok(0);
        }
        // What the kernel does not take now stays due, and its waiting counts as latency.
        let sent = unless_refused(self.leave(count))?;
        for seq in (next..).take(sent) {
            self.flights.leave(pace.moment(seq, now), now);
        }
        Ok(sent)
    }

    /// Hands `count` questions to the kernel; returns how many it took.
    fn leave(&mut self, count: usize) -> io::Result<usize> {
        let socket = self.socket.as_fd();
        if self.plan.train < 2 {
            return self.questions.send(socket, 0, count);
        }
        let length = self.questions.datagram(0).len();
        if self.segment != Some(length) {
            send_trains(socket, length)?;
            self.segment = Some(length);
        }
        let mut sent = 0;
        while sent < count {
            match self.questions.send_train(socket, sent, (sent + self.plan.train).min(count))? {
                0 => break,
                more => sent += more,
            }
        }
        Ok(sent)
    }

    /// Judges what came, at most one batch; returns how many.
    fn receive(&mut self) -> io::Result<usize> {
        let count = unless_refused(self.answers.receive(&self.socket))?;
        let now = self.start.elapsed();
        for at in 0..count {
            let frame = self.answers.datagram(at);
            let landed = self.traffic.answers(frame).and_then(|seq| Some((seq, self.flights.land(seq)?)));
            let Some((seq, due)) = landed else {
                self.verdicts.tally.stray += 1;
                continue;
            };
            let judged = self.traffic.judge(seq, frame);
            self.verdicts.take(judged, due, now);
        }
        Ok(count)
    }

    /// Waits for the next answer, the next moment, or the next question to give up.
    fn rest(&self, now: Duration) -> io::Result<()> {
        if self.plan.spin {
            std::hint::spin_loop();
            return Ok(());
        }
        let end = Some(self.plan.length).filter(|end| *end > now);
        let moments = [
            self.plan.pace.next(self.plan.length, self.flights.next()),
            self.flights.next_given_up(self.plan.patience),
            end,
        ];
        let until = moments.into_iter().flatten().min().unwrap_or(now + SPIN);
        match until.saturating_sub(now).checked_sub(SPIN) {
            Some(pause) if !pause.is_zero() => wait_readable(self.socket.as_fd(), Some(pause)),
            _ => {
                std::hint::spin_loop();
                Ok(())
            }
        }
    }
}

/// That a port is closed is told by the kernel once for a datagram; the questions are lost, the run goes on.
fn unless_refused(result: io::Result<usize>) -> io::Result<usize> {
    result.or_else(|e| if e.kind() == io::ErrorKind::ConnectionRefused { Ok(0) } else { Err(e) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lookups::{Echoes, Lookups};

    /// A server on a thread that answers with what `answer` makes of each datagram, until the socket times
    /// out.
    fn server(mut answer: impl FnMut(&mut Vec<u8>) -> bool + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let address = socket.local_addr().expect("bound");
        std::thread::spawn(move || {
            let mut buffer = [0; ROOM];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let mut datagram = buffer[..length].to_vec();
                if answer(&mut datagram) {
                    let _ = socket.send_to(&datagram, from);
                }
            }
        });
        address
    }

    fn plan(server: SocketAddr, pace: Pace) -> Plan {
        let patience = Duration::from_millis(300);
        let (length, pid) = (Duration::from_millis(200), Some(std::process::id()));
        Plan { server, pace, length, patience, pid, spin: false, train: 1 }
    }

    fn echoes() -> Echoes {
        Echoes(Lookups::new(*b"service!", 1, Arc::new(Vec::new()), 0.0, 1, 1).expect("sound"))
    }

    fn adds_up(report: &Report) {
        assert_eq!(report.sent, report.answered + report.refused + report.wrong + report.lost, "{report:?}");
    }

    #[test]
    fn an_open_loop_sends_its_number_whatever_the_server_does() {
        let mut count = 0;
        let address = server(move |_| {
            count += 1;
            count % 5 != 0
        });
        let report = measure(&plan(address, Pace::Rate(500)), &mut echoes()).expect("measured");
        assert_eq!((report.sent, report.wrong), (100, 0));
        assert!(report.lost >= 20, "every fifth is swallowed: {report:?}");
        adds_up(&report);
    }

    #[test]
    fn a_closed_loop_keeps_its_window_and_tells_wrong_from_lost() {
        let mut count = 0;
        let address = server(move |datagram| {
            count += 1;
            match count % 10 {
                7 => datagram[70] ^= 0xff,
                8 => datagram[16] ^= 0xff,
                _ => {}
            }
            true
        });
        let report = measure(&plan(address, Pace::Window(4)), &mut echoes()).expect("measured");
        adds_up(&report);
        assert!(report.wrong > 0, "{report:?}");
        assert!(
            report.lost > 0 && report.stray > 0,
            "an answer to another question answers none: {report:?}"
        );
        assert!(report.server_cpu_ns_per_answer.is_some());
    }

    #[test]
    fn a_stall_shows_in_the_latency_of_every_question_that_was_due() {
        let mut first = true;
        let address = server(move |_| {
            if std::mem::take(&mut first) {
                std::thread::sleep(Duration::from_millis(100));
            }
            true
        });
        let patient = Plan { patience: Duration::from_secs(20), ..plan(address, Pace::Rate(1000)) };
        let report = measure(&patient, &mut echoes()).expect("measured");
        assert_eq!(report.lost, 0);
        assert!(report.max_us >= 90_000.0, "{report:?}");
        // Those due in the first tenth of a second waited for its end: over a quarter of all, on any machine.
        assert!(report.p90_us >= 40_000.0, "{report:?}");
    }

    #[test]
    fn nobody_there_is_said_and_not_measured() {
        let address =
            UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a port, closed again");
        let short =
            Plan { length: Duration::from_millis(20), patience: SPIN, ..plan(address, Pace::Window(1)) };
        assert!(matches!(measure(&short, &mut echoes()), Err(MeasureError::Silent { .. })));
    }
}
