//! Sockets as the servers need them: bound, sized, and one per worker.
//!
//! `[::]` serves both families on one socket. The first socket of a group is bound
//! without SO_REUSEPORT, so that an address in use is an error and never a silent sharing
//! of it with another process; the option is set afterwards to let the others join.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::options;

/// Asked of the kernel for queued questions, bytes; it may grant less (`net.core.rmem_max`).
pub(super) const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// Asked of the kernel for answers on their way, bytes.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// How long a worker may wait for the network to take its answers.
const SEND_TIMEOUT: Duration = Duration::from_millis(20);
/// Sockets per address, at most.
const MAX_WORKERS: usize = 1024;
/// Connections that wait to be accepted, at most.
const BACKLOG: i32 = 1024;

/// Binds one UDP socket per worker to the same address; port 0 gives all the same ephemeral port.
///
/// # Errors
/// The system's, and `InvalidInput` for 0 or more than 1024 workers.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    let sockets = bind_group(address, workers, datagram_socket)?;
    Ok(sockets.into_iter().map(UdpSocket::from).collect())
}

/// The same for QUIC, which sets its own options on its sockets. The kernel spreads packets over them by
/// their source and destination, and nothing else may: a connection stays where it began.
///
/// # Errors
/// The system's, and `InvalidInput` for 0 or more than 1024 workers.
pub fn bind_quic(address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    let sockets = bind_group(address, workers, sized_socket)?;
    Ok(sockets.into_iter().map(UdpSocket::from).collect())
}

/// Binds one socket per worker to the same address.
fn bind_group(
    address: SocketAddr,
    workers: usize,
    make: impl Fn(SocketAddr) -> io::Result<Socket>,
) -> io::Result<Vec<Socket>> {
    if !(1..=MAX_WORKERS).contains(&workers) {
        let text = format!("{workers} workers per address, not between 1 and {MAX_WORKERS}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let first = make(address)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        let socket = make(address)?;
        socket.set_reuse_port(true)?;
        socket.bind(&bound)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn sized_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    serve_both_families(&socket, address)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    Ok(socket)
}

fn datagram_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = sized_socket(address)?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    options::set_options(socket.as_fd(), address)?;
    Ok(socket)
}

/// Binds one listener per worker to the same address; they do not block, as an async runtime wants it.
///
/// # Errors
/// The system's, and `InvalidInput` for 0 or more than 1024 workers.
pub fn listen(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let sockets = bind_group(address, workers, stream_socket)?;
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok(sockets.into_iter().map(TcpListener::from).collect())
}

fn stream_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    serve_both_families(&socket, address)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn serve_both_families(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() { socket.set_only_v6(!address.ip().is_unspecified()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCALHOST: &str = "127.0.0.1:0";

    #[test]
    fn all_workers_share_one_ephemeral_port() {
        let sockets = bind(LOCALHOST.parse().expect("an address"), 4).expect("four sockets");
        let ports: Vec<u16> = sockets.iter().map(|s| s.local_addr().expect("bound").port()).collect();
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn an_address_in_use_is_an_error_and_not_shared() {
        let sockets = bind(LOCALHOST.parse().expect("an address"), 2).expect("two sockets");
        let taken = sockets[0].local_addr().expect("bound");
        let error = bind(taken, 1).expect_err("the port belongs to the first group");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let error = bind_quic(taken, 2).expect_err("nor is it shared with those of another kind");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let listeners = listen(LOCALHOST.parse().expect("an address"), 2).expect("two listeners");
        let taken = listeners[0].local_addr().expect("bound");
        assert_eq!(listeners[1].local_addr().expect("bound"), taken);
        let error = listen(taken, 2).expect_err("the port belongs to the first group");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn no_worker_and_too_many_are_refused_with_the_limit() {
        for workers in [0, MAX_WORKERS + 1] {
            let error = bind(LOCALHOST.parse().expect("an address"), workers).expect_err("out of range");
            assert!(error.to_string().contains("1024"), "{error}");
        }
    }
}
