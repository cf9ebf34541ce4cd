//! The carriers on real sockets of the loopback, against a server on a thread of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::StoresServerSessions;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::fake::{Fake, SET};
use super::{client_by, no_sleep, random};
use crate::client::{
    Carrier, CarrierError, Client, ClientError, Patience, SetClient, SyncMode, TlsCarrier, UdpCarrier,
};
use crate::wire::header::stream_frame_len;
use crate::wire::{Key, MAX_QUESTION_STREAM};

pub(super) type Server = Arc<Mutex<Fake>>;

pub(super) fn server(n: u64) -> Server {
    Arc::new(Mutex::new(Fake::with_history(n)))
}

/// Serves datagrams until the process ends, losing every `lost`-th question.
fn serve_udp(server: &Server, lost: usize) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = Arc::clone(server);
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        for number in 1usize.. {
            let (length, peer) = socket.recv_from(&mut buffer).unwrap();
            let answer = server.lock().unwrap().answer(&buffer[..length], false);
            if let Some(answer) = answer.filter(|_| !number.is_multiple_of(lost)) {
                socket.send_to(&answer, peer).unwrap();
            }
        }
    });
    address
}

pub(super) fn tls_config(alpn: &[u8]) -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["somebody.else.example".into()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

/// Sessions that a server offers to go on with, and how many clients came back to one.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    offered: AtomicUsize,
    asked_for: AtomicUsize,
}

impl StoresServerSessions for Sessions {
    fn put(&self, _: Vec<u8>, _: Vec<u8>) -> bool {
        self.offered.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        self.asked_for.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.get(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl Sessions {
    /// These, and a server that offers them.
    pub(super) fn offering() -> (Arc<Self>, Arc<ServerConfig>) {
        let sessions = Arc::new(Self::default());
        let mut config = ServerConfig::clone(&tls_config(b"tekd/1"));
        config.session_storage = Arc::clone(&sessions) as Arc<dyn StoresServerSessions>;
        config.max_early_data_size = u32::MAX;
        (sessions, Arc::new(config))
    }

    /// Whether they were offered for this many connections at least and nobody took one up.
    pub(super) fn were_left(&self, connections: usize) -> bool {
        let (offered, asked_for) = (&self.offered, &self.asked_for);
        offered.load(Ordering::Relaxed) >= connections && asked_for.load(Ordering::Relaxed) == 0
    }
}

/// Serves TLS connections one after the other, ending each after `answers` answers.
fn serve_tls(server: &Server, answers: usize, alpn: &'static [u8]) -> SocketAddr {
    serve_tls_with(server, answers, tls_config(alpn))
}

fn serve_tls_with(server: &Server, answers: usize, config: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::clone(server);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(session, socket.unwrap());
            for _ in 0..answers {
                if answer_one(&mut stream, &server).is_none() {
                    break;
                }
            }
        }
    });
    address
}

fn answer_one(stream: &mut (impl Read + Write), server: &Server) -> Option<()> {
    let mut question = vec![0; 8];
    stream.read_exact(&mut question).ok()?;
    let length = stream_frame_len(question.first_chunk().unwrap(), MAX_QUESTION_STREAM).ok()?;
    question.resize(length, 0);
    stream.read_exact(&mut question[8..]).ok()?;
    let answer = server.lock().unwrap().answer(&question, true)?;
    stream.write_all(&answer).ok()?;
    stream.flush().ok()
}

/// A client that has got the whole set, by a stream.
pub(super) fn synced<'e>(server: &Server, carrier: impl Carrier + Send + 'e) -> Client<'e> {
    let mut set = SetClient::new(server.lock().unwrap().trust(), SET);
    let mut client = client_by(server, carrier);
    let report = client.sync(&mut set, false).unwrap();
    assert_eq!((report.mode, set.data()), (SyncMode::Full, Some(&server.lock().unwrap().live())));
    assert_eq!(client.bucket(&[0; 16], 0).unwrap().keys.len() as u64, report.live);
    client
}

fn short(stream_ms: u64) -> Patience {
    Patience { stream_ms, ..Patience::default() }
}

#[test]
fn a_set_syncs_by_udp_though_every_fourth_datagram_is_lost() {
    let server = server(100);
    let address = serve_udp(&server, 4);
    let mut set = SetClient::new(server.lock().unwrap().trust(), SET);
    let mut client = client_by(&server, UdpCarrier::new(address));
    let report = client.sync(&mut set, false).unwrap();
    assert_eq!((report.mode, set.data()), (SyncMode::Full, Some(&server.lock().unwrap().live())));
    assert_eq!(client.lookup(&[Key::from_slice(&super::fake::key(4)).unwrap()]).unwrap().keys.len(), 1);
}

#[test]
fn a_port_where_nothing_listens_is_told_as_such() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let server = server(3);
    let error = client_by(&server, UdpCarrier::new(address)).info().unwrap_err();
    let closed = matches!(&error, ClientError::Unreachable { source: CarrierError::Closed { .. }, .. });
    assert!(closed && error.exit_code() == 3, "{error}");
    let error = client_by(&server, TlsCarrier::new(address, None)).info().unwrap_err();
    assert!(error.to_string().contains("nothing listens on 127.0.0.1"), "{error}");
}

#[test]
fn a_set_syncs_by_tls_whatever_the_certificate() {
    // spec 1.5.4
    let server = server(3_000);
    let address = serve_tls(&server, usize::MAX, b"tekd/1");
    synced(&server, TlsCarrier::new(address, Some("node.example")));
}

#[test]
fn a_connection_that_ended_between_questions_is_made_anew() {
    let server = server(50);
    let address = serve_tls(&server, 2, b"tekd/1");
    let mut client = client_by(&server, TlsCarrier::new(address, None));
    for _ in 0..7 {
        client.checkpoint().unwrap();
    }
}

#[test]
fn a_connection_that_ends_before_any_answer_is_an_error() {
    let server = server(50);
    let address = serve_tls(&server, 0, b"tekd/1");
    let error = client_by(&server, TlsCarrier::new(address, None)).checkpoint().unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { source: CarrierError::Ended { .. }, .. }), "{error}");
}

#[test]
fn who_speaks_something_else_on_the_port_is_not_tekd() {
    let server = server(5);
    let address = serve_tls(&server, 9, b"http/1.1");
    let error = client_by(&server, TlsCarrier::new(address, None)).info().unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { source: CarrierError::NotTekd { .. }, .. }),
        "{error}"
    );

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(b"220 mail.example ready\r\n").unwrap();
        let _ = socket.read(&mut [0; 2048]);
    });
    let error = client_by(&server, TlsCarrier::new(address, None)).info().unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { source: CarrierError::NotTekd { .. }, .. }),
        "{error}"
    );
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = server(5);
    let trust = server.lock().unwrap().trust();
    let mut client = Client::new(TlsCarrier::new(address, None), trust, SET, random(5), no_sleep)
        .with_patience(short(150), 30);
    let error = client.info().unwrap_err();
    let slow = matches!(
        &error,
        ClientError::Unreachable { source: CarrierError::Slow { waited_ms: 150.., .. }, .. }
    );
    assert!(slow, "{error}");
    drop(listener);
}

#[test]
fn a_client_forgets_its_cookie_with_its_socket() {
    // spec 1.6.6
    let server = server(5);
    let address = serve_udp(&server, usize::MAX);
    let mut carrier = UdpCarrier::new(address);
    assert!(!carrier.is_stream() && carrier.peer() == address);
    carrier.forget();
    let mut client = client_by(&server, carrier);
    assert!(client.info().is_ok() && client.checkpoint().is_ok());
}

#[test]
fn a_phone_takes_up_no_session_of_tls() {
    // spec 1.5.6
    let server = server(50);
    let (sessions, config) = Sessions::offering();
    let mut client = client_by(&server, TlsCarrier::new(serve_tls_with(&server, 1, config), None));
    for _ in 0..4 {
        client.checkpoint().unwrap();
    }
    assert!(sessions.were_left(4), "{sessions:?}");
}
