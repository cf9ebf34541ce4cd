//! The carrier of QUIC on a real socket of the loopback, against a server on a thread of its own.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream, ServerConfig};

use super::drivers::{Server, Sessions, server, synced, tls_config};
use super::fake::SET;
use super::{client_by, no_sleep, random};
use crate::client::{CarrierError, Client, ClientError, Patience, QuicCarrier};
use crate::wire::MAX_QUESTION_STREAM;

/// What a server does with a stream and does not do with the next.
#[derive(Clone, Copy)]
enum Manner {
    /// Answers this many on each connection, and ends it.
    Answers(usize),
    /// Says nothing.
    Mute,
    /// Resets the stream.
    Resets,
    /// Finishes after this many bytes of the answer.
    Cuts(usize),
    /// Sends something else before the answer.
    Babbles,
    /// Takes no connection.
    Refuses,
}

/// Serves in this manner; gives the address, and how each connection ended.
fn serve(server: &Server, manner: Manner, alpn: &'static [u8]) -> (SocketAddr, Receiver<ConnectionError>) {
    serve_with(server, manner, tls_config(alpn))
}

fn serve_with(
    server: &Server,
    manner: Manner,
    tls: Arc<rustls::ServerConfig>,
) -> (SocketAddr, Receiver<ConnectionError>) {
    let server = Arc::clone(server);
    let (tell, address) = channel();
    let (ends, ended) = channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let crypto = QuicServerConfig::try_from(tls).unwrap();
            let config = ServerConfig::with_crypto(Arc::new(crypto));
            let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
            tell.send(endpoint.local_addr().unwrap()).unwrap();
            while let Some(incoming) = endpoint.accept().await {
                if matches!(manner, Manner::Refuses) {
                    incoming.refuse();
                } else if let Ok(connection) = incoming.await {
                    converse(&connection, &server, manner).await;
                    // The test may have seen enough.
                    let _ = ends.send(connection.closed().await);
                }
            }
        });
    });
    (address.recv().unwrap(), ended)
}

async fn converse(connection: &Connection, server: &Server, manner: Manner) {
    let answers = if let Manner::Answers(answers) = manner { answers } else { usize::MAX };
    for _ in 0..answers {
        let Ok((send, recv)) = connection.accept_bi().await else { return };
        answer_one(send, recv, server, manner).await;
    }
    connection.close(0u32.into(), b"");
}

async fn answer_one(mut send: SendStream, mut recv: RecvStream, server: &Server, manner: Manner) {
    let question = recv.read_to_end(MAX_QUESTION_STREAM).await.unwrap();
    let mut answer = server.lock().unwrap().answer(&question, true).unwrap();
    match manner {
        Manner::Mute => std::future::pending().await,
        Manner::Resets => return send.reset(3u32.into()).unwrap(),
        Manner::Cuts(length) => answer.truncate(length),
        Manner::Babbles => answer.splice(..0, *b"220 mail.example ready").for_each(drop),
        Manner::Answers(_) | Manner::Refuses => {}
    }
    send.write_all(&answer).await.unwrap();
    send.finish().unwrap();
    // Once it is acknowledged the connection may end; the client may have ended it already.
    let _ = send.stopped().await;
}

/// The error of a question to a server of this manner.
fn failed(manner: Manner, alpn: &'static [u8]) -> CarrierError {
    let server = server(5);
    let (address, _) = serve(&server, manner, alpn);
    let trust = server.lock().unwrap().trust();
    let patience = Patience { stream_ms: 400, ..Patience::default() };
    let mut client = Client::new(QuicCarrier::new(address, None), trust, SET, random(5), no_sleep)
        .with_patience(patience, 30);
    match client.info().unwrap_err() {
        ClientError::Unreachable { source, .. } => source,
        other => panic!("{other}"),
    }
}

#[test]
fn a_set_syncs_by_quic_whatever_the_certificate_and_the_server_hears_the_end() {
    // spec 1.5.3, 1.5.4
    let server = server(3_000);
    let (address, ended) = serve(&server, Manner::Answers(usize::MAX), b"tekd/1");
    let carrier = QuicCarrier::new(address, Some("node.example"));
    assert_eq!(carrier.peer(), address);
    let client = synced(&server, carrier);
    drop(client);
    let end = ended.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(end, ConnectionError::ApplicationClosed(_)), "{end}");
}

#[test]
fn a_connection_that_ended_between_questions_is_made_anew() {
    let server = server(50);
    let (address, ended) = serve(&server, Manner::Answers(2), b"tekd/1");
    let mut client = client_by(&server, QuicCarrier::new(address, None));
    for _ in 0..7 {
        client.checkpoint().unwrap();
    }
    assert_eq!(ended.iter().take(3).count(), 3);
}

#[test]
fn a_phone_takes_up_no_session_of_quic() {
    // spec 1.5.6
    let server = server(50);
    let (sessions, config) = Sessions::offering();
    let (address, ended) = serve_with(&server, Manner::Answers(1), config);
    let mut client = client_by(&server, QuicCarrier::new(address, None));
    for _ in 0..4 {
        client.checkpoint().unwrap();
    }
    assert_eq!(ended.iter().take(3).count(), 3);
    assert!(sessions.were_left(4), "{sessions:?}");
}

#[test]
fn every_way_to_get_no_answer_has_its_error() {
    for (manner, what) in [
        (Manner::Answers(0), "ended the connection before its answer"),
        (Manner::Resets, "ended the connection before its answer"),
        (Manner::Cuts(0), "ended the connection before its answer"),
        (Manner::Cuts(63), "ended the connection before its answer"),
        (Manner::Babbles, "sent what is no frame: a frame begins with 0x80 to 0xbf, not 0x32"),
        (Manner::Refuses, "takes no connection now"),
        (Manner::Mute, "did not answer on its stream in 4"),
    ] {
        let error = failed(manner, b"tekd/1").to_string();
        assert!(error.contains(what), "{what}: {error}");
    }
    let error = failed(Manner::Answers(1), b"h3");
    assert!(matches!(error, CarrierError::NotTekd { by: "QUIC", .. }), "{error}");
}

#[test]
fn where_nothing_listens_it_is_told_after_the_patience_of_datagrams() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = server(3);
    let trust = server.lock().unwrap().trust();
    let patience = Patience { datagrams_ms: 50, ..Patience::default() };
    let mut client = Client::new(QuicCarrier::new(address, None), trust, SET, random(5), no_sleep)
        .with_patience(patience, 30);
    let error = client.info().unwrap_err();
    let unheard = matches!(
        &error,
        ClientError::Unreachable { source: CarrierError::Unheard { waited_ms: 50..5_000, .. }, .. }
    );
    assert!(unheard && error.exit_code() == 3 && error.to_string().contains("8354"), "{error}");
}
