//! Whoever sits between a node and its upstream: passes datagrams on, and may change answers.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::asker::TXID;

/// Byte in which answers are changed: behind the header, so that they still look like answers.
const CHANGED: usize = 80;
const LOOK: Duration = Duration::from_millis(20);
/// How long an upstream that lives takes to answer, at most.
const UPSTREAM: Duration = Duration::from_millis(500);

/// A running relay. Dropping it stops it.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    operation: Arc<AtomicU8>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Relays to `upstream`, honestly at first.
    pub(crate) fn to(upstream: SocketAddr) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").expect("an ephemeral port");
        let back = UdpSocket::bind("127.0.0.1:0").expect("an ephemeral port");
        back.connect(upstream).expect("a connected socket");
        front.set_read_timeout(Some(LOOK)).expect("a timeout");
        back.set_read_timeout(Some(UPSTREAM)).expect("a timeout");
        let address = front.local_addr().expect("bound");
        let (operation, stop) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicBool::new(false)));
        let (lies, stopping) = (Arc::clone(&operation), Arc::clone(&stop));
        let thread = std::thread::spawn(move || relay(&front, &back, &lies, &stopping));
        Relay { address, operation, stop, thread: Some(thread) }
    }

    /// Changes a byte in every answer to this operation from now on; none for 0.
    pub(crate) fn change(&self, operation: u8) {
        self.operation.store(operation, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// One question at a time is under way: a node asks and waits.
fn relay(front: &UdpSocket, back: &UdpSocket, lies: &AtomicU8, stop: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, node)) = front.recv_from(&mut buffer) else { continue };
        let asked = buffer[TXID].to_vec();
        let sent = back.send(&buffer[..length]);
        let answered = sent.and_then(|_| {
            loop {
                let length = back.recv(&mut buffer)?;
                // What came too late for an earlier question is nobody's answer any more.
                if buffer[TXID] == asked[..] {
                    return Ok(length);
                }
            }
        });
        let Ok(length) = answered else { continue };
        let answer = &mut buffer[..length];
        if answer[1] == 0x80 | lies.load(Ordering::Relaxed) && length > CHANGED {
            answer[CHANGED] ^= 1;
        }
        let _ = front.send_to(answer, node);
    }
}
