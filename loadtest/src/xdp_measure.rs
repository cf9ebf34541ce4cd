//! The loop of a run over AF_XDP, for servers that answer faster than a socket can ask.
//!
//! A frame that brings an answer is turned round and carries the next question, so that asking costs the
//! generator as little as answering costs a bare echo. The first questions of a window, and those for which a
//! frame was lost, leave by a socket beside. Closed loops only, one length of question and answer, IPv4.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use tekd::transport::xdp::{XdpSocket, attach};

use crate::cpu::CpuTimes;
use crate::flights::Flights;
use crate::measure::{MeasureError, Plan, connected};
use crate::report::Report;
use crate::system::{BATCH, Batch, ROOM, new_files};
use crate::traffic::Traffic;
use crate::verdicts::Verdicts;
use crate::xdp_echo::{HEADERS, turn_round};

/// Runs `plan`, a closed loop, with the questions of `traffic`, from `interface`: the generator's end of a
/// veth pair in the network of this thread.
///
/// # Errors
/// If AF_XDP cannot be used there, the server's process is not here, or nobody answers.
///
/// # Panics
/// If the thread that asks does.
pub(crate) fn measure_by_xdp(
    plan: &Plan,
    interface: &str,
    traffic: &mut (dyn Traffic + Send),
) -> Result<Report, MeasureError> {
    // Mounts of its own are a thread's for ever, so it has to be one that ends.
    let asking = || {
        see_interfaces()?;
        measure_here(plan, interface, traffic)
    };
    std::thread::scope(|scope| scope.spawn(asking).join().expect("a generator does not panic"))
}

/// Lets this thread see the interfaces of its network: `/sys` shows those of whoever mounted it.
fn see_interfaces() -> io::Result<()> {
    new_files()?;
    for arguments in [&["--make-rprivate", "/"][..], &["-t", "sysfs", "sysfs", "/sys"]] {
        let status = Command::new("mount").args(arguments).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("`mount {}` did not work", arguments.join(" "))));
        }
    }
    Ok(())
}

fn measure_here(
    plan: &Plan,
    interface: &str,
    traffic: &mut (dyn Traffic + Send),
) -> Result<Report, MeasureError> {
    let before = plan.pid.map(CpuTimes::of).transpose()?;
    let beside = connected(plan.server)?;
    let (_attachment, mut sockets) = attach(interface, beside.local_addr()?, false)?;
    let socket = sockets.pop().expect("an interface has a queue");
    let (questions, start) = (Batch::new(true), Instant::now());
    let (flights, verdicts) = (Flights::default(), Verdicts::new());
    let mut run = Run { plan, traffic, socket, beside, questions, flights, verdicts, start };
    run.until_over()?;
    let after = plan.pid.map(CpuTimes::of).transpose()?;
    let cpu = before.zip(after).map(|(before, after)| after.since(before));
    let report = run.verdicts.tally.report(plan.length, run.flights.next(), cpu);
    if report.answered + report.refused + report.wrong == 0 {
        return Err(MeasureError::Silent { server: plan.server });
    }
    run.verdicts.tell();
    Ok(report)
}

struct Run<'a> {
    plan: &'a Plan,
    traffic: &'a mut (dyn Traffic + Send),
    socket: XdpSocket,
    beside: UdpSocket,
    questions: Batch,
    flights: Flights,
    verdicts: Verdicts,
    start: Instant,
}

impl Run<'_> {
    fn until_over(&mut self) -> io::Result<()> {
        loop {
            let moved = self.receive()?;
            let now = self.start.elapsed();
            self.verdicts.tally.lost += self.flights.give_up(now, self.plan.patience);
            if now >= self.plan.length && self.flights.open() == 0 {
                return Ok(());
            }
            if moved == 0 {
                self.socket.kick()?;
                self.fill_window(now)?;
                std::hint::spin_loop();
            }
        }
    }

    /// Judges what came and asks again with the same frames; returns how many came.
    fn receive(&mut self) -> io::Result<usize> {
        let count = self.socket.receive();
        let now = self.start.elapsed();
        for lane in 0..count {
            let frame = self.socket.received_mut(lane);
            let Some(payload) = payload(frame) else {
                self.verdicts.tally.stray += 1;
                continue;
            };
            let landed = self.traffic.answers(payload).and_then(|seq| Some((seq, self.flights.land(seq)?)));
            let Some((seq, due)) = landed else {
                self.verdicts.tally.stray += 1;
                continue;
            };
            let judged = self.traffic.judge(seq, payload);
            self.verdicts.take(judged, due, now);
            let mut question = [0; ROOM];
            let next = self.flights.next();
            if now < self.plan.length
                && self.traffic.ask(next, &mut question) == payload.len()
                && turn_round(frame)
            {
                let length = frame.len();
                let room = &mut frame[HEADERS..length];
                let asked = room.len().min(ROOM);
                room[..asked].copy_from_slice(&question[..asked]);
                self.flights.leave(now, now);
                self.socket.queue_received(lane);
            }
        }
        if count > 0 {
            self.socket.flush()?;
        }
        Ok(count)
    }

    /// Sends by the socket beside what the window lacks.
    fn fill_window(&mut self, now: Duration) -> io::Result<()> {
        let (pace, next) = (self.plan.pace, self.flights.next());
        let due = pace.due(now, self.plan.length, next, self.flights.open()).min(BATCH as u64) as usize;
        for (at, seq) in (0..due).zip(next..) {
            let length = self.traffic.ask(seq, &mut self.questions.room(at)[..ROOM]);
            self.questions.set_length(at, length);
        }
        if due > 0 {
            let sent = self.questions.send(self.beside.as_fd(), 0, due)?;
            (0..sent).for_each(|_| self.flights.leave(now, now));
        }
        Ok(())
    }
}

/// What a frame of UDP over IPv4 without options carries.
fn payload(frame: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes(*frame.get(38..40)?.first_chunk()?));
    frame.get(HEADERS..HEADERS + length.checked_sub(8)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_ends_where_its_header_says_and_not_where_the_frame_does() {
        let mut frame = vec![0; 60];
        frame[38..40].copy_from_slice(&[0, 18]);
        assert_eq!(payload(&frame).map(<[u8]>::len), Some(10));
        frame[38..40].copy_from_slice(&[0, 27]);
        assert_eq!(payload(&frame), None, "longer than the frame");
        frame[38..40].copy_from_slice(&[0, 7]);
        assert_eq!(payload(&frame), None, "shorter than its own header");
        assert_eq!(payload(&frame[..30]), None);
    }
}
