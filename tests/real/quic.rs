//! QUIC of the real process: every client operation has the result it has over TLS, and who
//! does not speak it gets nothing.

use std::io::ErrorKind;
use std::net::UdpSocket;

use tekd::client::{BucketReport, Client, SetClient};
use tekd::release::Trust;
use tekd::service::control::ControlRequest;

use super::clients::tls_client;
use super::imported::import_all;
use super::keys::keys;
use super::published::quic_client;
use super::server::Place;

/// What a client gets to know of a set, all of it.
fn everything(client: &mut Client<'_>, trust: Trust, some: &[tekd::wire::Key]) -> String {
    let mut set = SetClient::new(trust, 1);
    let synced = client.sync(&mut set, false).expect("a sync");
    let checkpoint = client.checkpoint().expect("a checkpoint");
    let bits = checkpoint.bits();
    let prefix = some[0].as_bytes().try_into().expect("16 bytes");
    let BucketReport { keys: bucket, .. } = client.bucket(&prefix, bits).expect("a proved bucket");
    let looked_up = client.lookup(some).expect("an answer").keys;
    let manifest = client.manifest().expect("a manifest").manifest;
    let info = client.info().expect("an answer");
    format!("{synced:?} {:?} {checkpoint:?} {bucket:?} {looked_up:?} {manifest:?} {info:?}", set.data())
}

#[test]
fn every_question_has_the_same_answer_by_quic_and_by_tls() {
    let dir = tempfile::tempdir().expect("a directory");
    let origin = Place::new(dir.path(), "origin").start().without_decoys();
    let some = keys(1, 3_000);
    for batch in some.chunks(500) {
        import_all(&origin, batch);
    }
    origin.release();
    let trust = origin.trust();
    let by_tls = everything(&mut tls_client(origin.tls(), trust.clone()), trust.clone(), &some[..40]);
    let by_quic = everything(&mut quic_client(origin.quic(), trust.clone()), trust.clone(), &some[..40]);
    assert!(by_tls == by_quic, "{by_tls}\n{by_quic}");

    let counts = &origin.done(&ControlRequest::Stats {})["quic"];
    let count = |name: &str| counts[name].as_u64().unwrap_or_else(|| panic!("{name} in {counts}"));
    assert_eq!((count("retried"), count("accepted")), (1, 1), "one connection, whose address is proved");
    assert!(count("answered") > 5 && count("streams") == count("answered"), "{counts}");
    assert!(origin.metric("tekd_quic_total{event=\"bytes_out\"}") > 0.0);
}

#[test]
fn a_connection_kept_through_a_restart_is_made_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), "origin");
    let origin = place.start().without_decoys();
    import_all(&origin, &keys(1, 10));
    origin.release();
    let (address, trust) = (origin.quic(), origin.trust());
    let mut client = quic_client(address, trust.clone());
    let checkpoint = client.checkpoint().expect("a checkpoint");
    origin.stop();
    let again = place.with("--quic", address.to_string()).start();
    assert_eq!(client.checkpoint().expect("the same from a new connection").root(), checkpoint.root());
    again.stop();
}

#[test]
fn frames_and_junk_at_the_port_of_quic_get_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let origin = Place::new(dir.path(), "origin").start();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(origin.quic()).expect("a route");
    for first in 0x80..=0xBFu8 {
        for length in [1, 64, 700, 1199] {
            socket.send(&vec![first; length]).expect("sent");
        }
    }
    // Once a client was answered, all that came before has been read.
    quic_client(origin.quic(), origin.trust()).info().expect("an answer");
    socket.set_nonblocking(true).expect("an option");
    let got = socket.recv(&mut [0; 2048]).expect_err("no answer");
    assert_eq!(got.kind(), ErrorKind::WouldBlock);
    let counts = &origin.done(&ControlRequest::Stats {})["quic"];
    assert_eq!(counts["accepted"], 1);
}
