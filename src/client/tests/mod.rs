//! Tests of the client against a small server of its own and against adversaries in between.

mod fake;
mod origin;
mod exchange;
mod operations;
mod adversary;
mod drivers;
mod reports;
mod quic;

use std::sync::Mutex;
use std::time::Duration;

use fake::Fake;

use super::{Carrier, Client, MemoryDatagrams, MemoryStream};

/// Bytes that look random and are the same in every run of a seed.
fn random(seed: u64) -> impl FnMut(&mut [u8]) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |bytes| {
        for byte in bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = (state >> 24) as u8;
        }
    }
}

fn no_sleep(_: Duration) {}

/// A client of `server` through a carrier.
fn client_by<'e>(server: &Mutex<Fake>, carrier: impl Carrier + Send + 'e) -> Client<'e> {
    let trust = server.lock().unwrap().trust();
    Client::new(carrier, trust, fake::SET, random(7), no_sleep)
}

/// A client on a stream that never fails.
fn streaming(server: &Mutex<Fake>) -> Client<'_> {
    client_by(server, stream(server))
}

/// A client on datagrams that never get lost.
fn by_datagrams(server: &Mutex<Fake>) -> Client<'_> {
    client_by(server, datagrams(server))
}

fn stream(server: &Mutex<Fake>) -> MemoryStream<impl FnMut(&[u8]) -> Option<Vec<u8>>> {
    MemoryStream::new(|question: &[u8]| server.lock().unwrap().answer(question, true))
}

fn datagrams(server: &Mutex<Fake>) -> MemoryDatagrams<impl FnMut(&[u8]) -> Vec<Vec<u8>>> {
    MemoryDatagrams::new(|question: &[u8]| {
        server.lock().unwrap().answer(question, false).into_iter().collect()
    })
}
