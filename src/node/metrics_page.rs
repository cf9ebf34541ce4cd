//! The metrics page over HTTP, for a collector on this machine: one request, one answer, close.
//!
//! Off by default. It knows one path and reads at most one small request; anything more belongs to a proxy.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::commands::Commands;
use crate::service::metrics::CONTENT_TYPE;

/// Longest request line and headers, in bytes.
const MAX_REQUEST: usize = 8192;
/// How long a collector may take to ask, and then to read.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A listening metrics page. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct MetricsPage {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsPage {
    pub(crate) fn listen(address: SocketAddr, commands: Arc<Commands>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("tekd-metrics".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                // A collector that goes away, or asks for something else, costs its own connection only.
                let _ = stream.and_then(|s| answer(&s, &commands));
            }
        })?;
        Ok(MetricsPage { address, stop, thread: Some(thread) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsPage {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: &TcpStream, commands: &Commands) -> io::Result<()> {
    let request = read_request(stream, Instant::now() + TIMEOUT)?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let (status, body) = if request.starts_with(b"GET /metrics ") {
        ("200 OK", commands.metrics_page())
    } else {
        ("404 Not Found", "the only page here is /metrics\n".to_owned())
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Reads a request up to the end of its headers.
fn read_request(mut stream: &TcpStream, until: Instant) -> io::Result<Vec<u8>> {
    let (mut request, mut part) = (Vec::new(), [0; 1024]);
    // bounded: in bytes and in time, however slowly they come.
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        if request.len() >= MAX_REQUEST || left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => request.extend_from_slice(&part[..count]),
        }
    }
    Ok(request)
}
