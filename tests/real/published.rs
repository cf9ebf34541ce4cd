//! Objects of a release, asked for one by one.

use std::net::SocketAddr;

use tekd::client::{Ask, Client, QuicCarrier};
use tekd::release::Trust;
use tekd::wire::AnswerBody;
use tekd::wire::layout::ObjectDescriptor;
use tekd::wire::question::{Fetch, Sync};

use super::clients::client;

/// A client of set 1 by streams of QUIC.
pub(crate) fn quic_client(server: SocketAddr, trust: Trust) -> Client<'static> {
    client(QuicCarrier::new(server, None), trust)
}

/// What SYNC offers from `version` on, once it is made.
#[track_caller]
pub(crate) fn offered(client: &mut Client<'_>, asked: Sync) -> (u64, Vec<ObjectDescriptor>) {
    let reply = client.ask(&Ask::Sync(asked)).expect("an answer");
    let AnswerBody::Sync(answer) = reply.view().body else { panic!("no SYNC answer") };
    let objects = answer.read(asked).expect("objects that lead on").to_vec();
    (reply.view().header.version.get(), objects)
}

/// The bytes of an object.
#[track_caller]
pub(crate) fn fetched(client: &mut Client<'_>, digest: &[u8; 32], length: u32) -> Vec<u8> {
    let mut object = Vec::new();
    while object.len() < length as usize {
        let asked = Fetch { digest, offset: object.len() as u32, length: length - object.len() as u32 };
        let reply = client.ask(&Ask::Fetch(asked)).expect("an answer");
        let AnswerBody::Fetch(answer) = reply.view().body else { panic!("no FETCH answer") };
        object.extend_from_slice(answer.read(&asked).expect("a part").bytes);
    }
    object
}
