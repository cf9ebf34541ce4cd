//! The socket of a QUIC endpoint, which takes trains of packets apart.
//!
//! The kernel hands over the packets of one source in trains (UDP_GRO), each train in one piece. QUIC keeps
//! what it has no use for yet in the memory that it came in, so a single byte of a train would hold all of
//! it, and the limits of a connection would not see that. Here each packet is copied out of its train, into a
//! buffer of its own; of one that is longer than what the endpoint takes nothing is handed on, which counts
//! as a packet, so that a flood of them is held to the work that others are. Packets leave in shorter trains
//! than could be, for each connection keeps the memory of its longest.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use quinn::udp::{BATCH_SIZE, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};

use super::quic_config::{MAX_PACKET, SEND_TRAIN};
use super::stream_counters::{StreamCounters, StreamCounts};

/// Bytes of a train at most: as long as a datagram of UDP can be.
const TRAIN: usize = 64 << 10;

const _: () = assert!(MAX_PACKET <= TRAIN);

/// Trains that came together and were not handed on.
struct Arrived {
    /// Of `BATCH_SIZE` trains. Pages that no packet ever reaches are not there.
    bytes: Box<[u8]>,
    trains: [RecvMeta; BATCH_SIZE],
    count: usize,
    /// The train that is taken apart, and how much of it was.
    at: usize,
    taken: usize,
}

impl Arrived {
    fn none() -> Self {
        let bytes = vec![0; BATCH_SIZE * TRAIN].into_boxed_slice();
        Arrived { bytes, trains: [RecvMeta::default(); BATCH_SIZE], count: 0, at: 0, taken: 0 }
    }

    /// Takes what the socket has, once all before is handed on.
    fn fill(&mut self, socket: &dyn AsyncUdpSocket, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut rooms = self.bytes.chunks_exact_mut(TRAIN);
        let mut rooms: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or_default()));
        let count = ready!(socket.poll_recv(context, &mut rooms, &mut self.trains))?;
        (self.count, self.at, self.taken) = (count, 0, 0);
        Poll::Ready(Ok(()))
    }

    /// Hands on packets, one in each of `rooms`, and nothing in the place of one that is too long; how many,
    /// and how many of them were too long.
    fn hand_on(&mut self, rooms: &mut [IoSliceMut<'_>], packets: &mut [RecvMeta]) -> (usize, u64) {
        let (mut given, mut too_long) = (0, 0);
        // bounded: the packets of BATCH_SIZE trains.
        while given < rooms.len().min(packets.len()) && self.at < self.count {
            let train = &self.trains[self.at];
            let length = train.stride.clamp(1, TRAIN).min(train.len - self.taken);
            let packet = &self.bytes[self.at * TRAIN + self.taken..][..length];
            let room = rooms[given].get_mut(..length);
            too_long += u64::from(room.is_none());
            let length_given = room.map_or(0, |room| {
                room.copy_from_slice(packet);
                length
            });
            packets[given] = RecvMeta { len: length_given, stride: length_given, ..*train };
            given += 1;
            self.taken += length;
            if self.taken >= train.len {
                (self.at, self.taken) = (self.at + 1, 0);
            }
        }
        (given, too_long)
    }
}

/// A socket that hands on packets one by one.
pub(super) struct PacketSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    /// Only its endpoint's task reads: the lock is never waited for.
    arrived: Mutex<Arrived>,
    counters: Arc<StreamCounters>,
}

impl PacketSocket {
    /// To be made within the runtime that serves it.
    pub(super) fn new(socket: UdpSocket, counters: Arc<StreamCounters>) -> io::Result<Self> {
        let socket = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(PacketSocket { socket, arrived: Mutex::new(Arrived::none()), counters })
    }
}

impl fmt::Debug for PacketSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketSocket").finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for PacketSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        rooms: &mut [IoSliceMut<'_>],
        packets: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        if arrived.at >= arrived.count {
            ready!(arrived.fill(&*self.socket, context))?;
        }
        let (given, too_long) = arrived.hand_on(rooms, packets);
        if too_long > 0 {
            self.counters.add(&StreamCounts { too_long, ..StreamCounts::default() });
        }
        Poll::Ready(Ok(given))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments().min(SEND_TRAIN)
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Longer than anything here takes on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Reads `count` packets, a few at a time.
    async fn read(socket: &PacketSocket, count: usize) -> Vec<(Vec<u8>, RecvMeta)> {
        let mut all = Vec::new();
        while all.len() < count {
            let mut bytes = vec![0; 4 * MAX_PACKET];
            let mut rooms: Vec<IoSliceMut<'_>> = bytes.chunks_mut(MAX_PACKET).map(IoSliceMut::new).collect();
            let mut packets = [RecvMeta::default(); 4];
            let given = poll_fn(|context| socket.poll_recv(context, &mut rooms, &mut packets)).await;
            for at in 0..given.expect("a socket that works") {
                all.push((rooms[at][..packets[at].len].to_vec(), packets[at]));
            }
        }
        all
    }

    #[tokio::test]
    async fn a_train_is_taken_apart_and_what_is_too_long_is_dropped() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        socket.set_nonblocking(true).unwrap();
        let counters = Arc::new(StreamCounters::default());
        let taking = PacketSocket::new(socket, Arc::clone(&counters)).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sending = TokioRuntime.wrap_udp_socket(peer.try_clone().unwrap()).unwrap();
        let mut writable = Arc::clone(&sending).create_io_poller();
        // Ten packets in one train, the last of them shorter; then one that is too long, and one more.
        let train: Vec<u8> = (0..9 * 100 + 7).map(|n| (n / 100) as u8).collect();
        let segment_size = (sending.max_transmit_segments() >= 10).then_some(100);
        for contents in train.chunks(segment_size.map_or(100, |_| train.len())) {
            let transmit = Transmit { destination: address, ecn: None, contents, segment_size, src_ip: None };
            poll_fn(|context| writable.as_mut().poll_writable(context)).await.unwrap();
            sending.try_send(&transmit).unwrap();
        }
        peer.send_to(&[0xEE; MAX_PACKET + 1], address).unwrap();
        peer.send_to(&[0xFF; MAX_PACKET], address).unwrap();
        let packets = timeout(PATIENCE, read(&taking, 12)).await.expect("in time");
        assert_eq!(counters.snapshot().too_long, 1);
        for (n, (bytes, packet)) in packets.iter().enumerate() {
            let kinds = [(100, n as u8), (7, 9), (0, 0), (MAX_PACKET, 0xFF)];
            let (length, fill) = kinds[n.saturating_sub(8).min(3)];
            assert!(bytes.len() == length && bytes.iter().all(|b| *b == fill), "{n}: {packet:?}");
            assert_eq!((packet.stride, packet.addr), (length, peer.local_addr().unwrap()));
        }
    }
}
