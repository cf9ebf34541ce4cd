//! The metrics page over HTTP, for a collector on this machine: one request, one answer, close.
//!
//! Off by default. It knows one path and reads at most one small request; anything more belongs to a proxy.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::commands::Commands;
use crate::service::metrics::CONTENT_TYPE;

/// Longest request line and headers, in bytes.
const MAX_REQUEST: u64 = 8192;
/// How long a collector may take to ask or to read.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A listening metrics page. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct MetricsPage {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsPage {
    pub(crate) fn listen(address: SocketAddr, commands: Arc<Commands>) -> std::io::Result<Self> {
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

fn answer(stream: &TcpStream, commands: &Commands) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut lines = BufReader::new(stream.take(MAX_REQUEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for header in lines {
        if header?.is_empty() {
            break;
        }
    }
    let (status, body) = if request.starts_with("GET /metrics ") {
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
