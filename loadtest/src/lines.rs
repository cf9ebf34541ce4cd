//! Connections that carry frames, many of them on one thread.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use quinn::Endpoint;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tekd::client::{client_config, quic_config};
use tekd::wire::MAX_ANSWER_STREAM;
use tekd::wire::header::stream_frame_len;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Connections at once at most: what one server admits.
pub(crate) const MAX_LINES: u32 = 4096;
/// From the first packet to the end of the handshake.
const CONNECTING: Duration = Duration::from_secs(5);
/// Bytes of a frame that tell its length.
const FRAME_HEAD: usize = 8;

/// How frames travel over connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportTransport {
    /// TLS 1.3 over TCP.
    Tls,
    /// QUIC.
    Quic,
}

/// Makes connections to one server. To be used on the runtime it was made on.
#[derive(Clone)]
pub(crate) struct Dialler {
    server: SocketAddr,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Tls(Arc<ClientConfig>),
    /// All connections share a socket.
    Quic(Endpoint),
}

impl Dialler {
    /// # Errors
    /// If there is no socket to be had.
    pub(crate) fn new(server: SocketAddr, transport: ReportTransport) -> io::Result<Self> {
        let way = match transport {
            ReportTransport::Tls => Way::Tls(Arc::new(client_config())),
            ReportTransport::Quic => {
                let any = match server {
                    SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                };
                let mut endpoint = Endpoint::client(SocketAddr::new(any, 0))?;
                endpoint.set_default_client_config(quic_config());
                Way::Quic(endpoint)
            }
        };
        Ok(Dialler { server, way })
    }

    /// A connection over which the server answers.
    pub(crate) async fn connect(&self) -> io::Result<Line> {
        timeout(CONNECTING, self.dial()).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    async fn dial(&self) -> io::Result<Line> {
        match &self.way {
            Way::Tls(config) => {
                let socket = TcpStream::connect(self.server).await?;
                socket.set_nodelay(true)?;
                let name = ServerName::IpAddress(self.server.ip().into());
                let stream = TlsConnector::from(Arc::clone(config)).connect(name, socket).await?;
                Ok(Line::Tls(Box::new(stream)))
            }
            Way::Quic(endpoint) => {
                let name = self.server.ip().to_string();
                let connecting = endpoint.connect(self.server, &name).map_err(io::Error::other)?;
                Ok(Line::Quic(connecting.await?))
            }
        }
    }
}

/// A connection that is kept for the next question.
pub(crate) enum Line {
    Tls(Box<TlsStream<TcpStream>>),
    Quic(quinn::Connection),
}

/// Questions out at once on one connection: what a server of QUIC lets a client have; of TLS they follow one
/// another.
pub(crate) const QUIC_STREAMS: u32 = 16;

impl Line {
    /// Another line on the same connection, if that has room for one.
    pub(crate) fn another(&self) -> Option<Line> {
        match self {
            Line::Tls(_) => None,
            Line::Quic(connection) => Some(Line::Quic(connection.clone())),
        }
    }

    /// Sends a frame and puts the whole frame that comes back in its place.
    pub(crate) async fn ask(&mut self, frame: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Line::Tls(stream) => {
                stream.write_all(frame).await?;
                stream.flush().await?;
                read(stream, frame).await
            }
            Line::Quic(connection) => {
                let (mut send, mut receive) = connection.open_bi().await?;
                send.write_all(frame).await?;
                send.finish().map_err(io::Error::other)?;
                read(&mut receive, frame).await
            }
        }
    }
}

/// Reads one frame in place of what is in `frame`.
async fn read(stream: &mut (impl AsyncRead + Unpin), frame: &mut Vec<u8>) -> io::Result<()> {
    frame.resize(FRAME_HEAD, 0);
    stream.read_exact(frame).await?;
    let head = frame.first_chunk().expect("eight bytes were read");
    // bounded: at most 1 MiB, as the protocol has it.
    let length = stream_frame_len(head, MAX_ANSWER_STREAM).map_err(io::Error::other)?;
    frame.resize(length, 0);
    stream.read_exact(&mut frame[FRAME_HEAD..]).await?;
    Ok(())
}
