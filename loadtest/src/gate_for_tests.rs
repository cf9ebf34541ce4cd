//! A server without a socket, for tests of what is asked and how answers are judged: the gate of a generated
//! data directory.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tekd::engine::{
    AnswerCounters, Carrier, Cookies, Gate, Moment, Outcome, Peer, Respond, Seeded, Slot, View,
};
use tekd::node::{Builder, Clock, Origin, OriginOptions, SteppedClock, TableStore, bring_up};
use tekd::release::{Checkpoint, Schema, Trust, Verifier, parse_answer_body};
use tekd::store::{MemoryMode, Published, RealDisk};
use tekd::wire::{Expected, HEADER_LEN, MAX_DATAGRAM, Operation, QuestionBuilder, parse_answer};

use crate::conversation::Conversation;
use crate::data_directory::{SET, released_at, write_data_directory};
use crate::traffic::Traffic;

const NEWEST_DAY: u32 = 20_700 * 144;
/// Of conversations with it.
pub(crate) const SEED: u64 = 3;

/// A gate, and where it stands.
pub(crate) struct TestGate {
    _dir: tempfile::TempDir,
    gate: Gate,
    now: Moment,
    pub(crate) trust: Trust,
}

impl TestGate {
    /// With so many keys.
    pub(crate) fn with(keys: u64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let data = write_data_directory(dir.path(), keys, SEED, NEWEST_DAY).expect("made");
        let clock = SteppedClock::new(released_at(NEWEST_DAY) + 86_400);
        let disk = Arc::new(RealDisk);
        let options = OriginOptions { disk: disk.clone(), dir: data.data.clone(), segment_bytes: 16 << 20 };
        let mut origin = Origin::open(options, clock.now(), Box::new(Seeded::new(1))).expect("an origin");
        let view = Arc::new(Published::new(Arc::new(View::empty(origin.identity().service_id, 1))));
        let store = TableStore { disk, dir: Some(data.data), mode: MemoryMode::Copy };
        bring_up(&mut origin, &mut Builder::new(store, Arc::clone(&view)), &clock).expect("tables");
        let cookies = Cookies::new([9; 32], origin.identity().service_id);
        let gate = Gate::new(view, cookies, None, Arc::new(AnswerCounters::default()));
        let text = std::fs::read_to_string(&data.trust).expect("a trust file");
        let trust = Trust::parse_json(&text).expect("whole");
        TestGate { _dir: dir, gate, now: clock.now(), trust }
    }

    /// With a cookie of its own.
    pub(crate) fn conversation(&mut self) -> Conversation {
        let mut conversation = Conversation::new(self.trust.service, SET, SEED);
        conversation.set_cookie(self.cookie());
        conversation
    }

    fn cookie(&mut self) -> u64 {
        let mut question = [0; MAX_DATAGRAM];
        let (service, txid) = (self.trust.service, 1);
        let length = QuestionBuilder::new(service, SET, txid).info(&mut question).expect("it fits");
        let frame = self.respond(&question[..length]);
        let expected = Expected { service, txid, set: SET, operation: Operation::Info };
        parse_answer(&frame, &expected, false).expect("an answer").header.cookie.get()
    }

    /// The answer to question `seq`.
    pub(crate) fn answer(&mut self, traffic: &mut dyn Traffic, seq: u64) -> Vec<u8> {
        let mut question = [0; MAX_DATAGRAM];
        let length = traffic.ask(seq, &mut question);
        self.respond(&question[..length])
    }

    fn respond(&mut self, question: &[u8]) -> Vec<u8> {
        let mut answer = vec![0; MAX_DATAGRAM];
        let peer = Peer { ip: Ipv4Addr::LOCALHOST.into(), port: 9, carrier: Carrier::Udp };
        let mut slots = [Slot::new(question, peer, &mut answer)];
        self.gate.respond(self.now, &mut slots);
        let Outcome::Respond(length) = slots[0].outcome else { panic!("{:?}", slots[0].outcome) };
        answer.truncate(length);
        answer
    }

    /// The newest checkpoint, verified, and its schema.
    pub(crate) fn checkpoint(&mut self) -> (Checkpoint, Schema) {
        let mut question = [0; MAX_DATAGRAM];
        let mut asking = QuestionBuilder::new(self.trust.service, SET, 1);
        asking.cookie = self.cookie();
        let length = asking.checkpoint(&mut question).expect("it fits");
        let frame = self.respond(&question[..length]);
        let answer = parse_answer_body(&frame[HEADER_LEN..]).expect("a checkpoint");
        let checkpoint = Verifier::new(self.trust.clone(), SET).accept(&answer).expect("the service's");
        (checkpoint, Schema::from_number(checkpoint.schema()).expect("a known schema"))
    }
}
