//! How a question is served in the simulation: through the real gate, and what is sealed through the origin's
//! writer, on whichever machine it arrives.

use std::net::{IpAddr, Ipv4Addr};

use tekd::engine::{
    ANSWER_AFTER_MS, Carrier, Input, Moment, Opened, Outcome, Peer, Reply, ReportReply, Respond, Slot,
    open_sealed, sealed_answer, unopened_answer,
};
use tekd::wire::report::Outcome as Ended;
use tekd::wire::{Body, MAX_ANSWER_STREAM, MAX_DATAGRAM, Parsed, parse};

use super::canary::{Canary, sign_again};
use super::invariant::Invariant;
use super::network::{Leg, Packet, Place};
use super::operators::Answered;
use super::world::{Event, World};

/// A source of questions: all that a server may know of who asks.
fn peer(asker: Place, carrier: Carrier) -> Peer {
    let last = match asker {
        Place::Origin => 1,
        Place::Node(number) => 10 + u8::try_from(number).expect("few"),
        Place::Phone(number) => 100 + u8::try_from(number).expect("few"),
    };
    Peer { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), port: 4000, carrier }
}

impl World {
    /// A question arrives at a server.
    pub(crate) fn serve(&mut self, at: Place, by: Option<usize>, packet: Packet) {
        let answer = match at {
            _ if !packet.on_stream => self.serve_datagram(at, &packet),
            Place::Node(number) if self.is_sealed(&packet.bytes) => {
                // public-only-nodes: it is passed on unread.
                if self.nodes[number].process.is_some() {
                    let leg = Leg::Question { to: Place::Origin, by: Some(number) };
                    self.send(Place::Node(number), Place::Origin, Packet { leg, ..packet });
                }
                return;
            }
            _ => self.serve_frame(at, by, &packet),
        };
        if let Some(bytes) = answer {
            self.answer(at, by, packet, bytes, 0);
        }
        self.look_for_wishes(at);
    }

    fn answer(&mut self, at: Place, by: Option<usize>, packet: Packet, bytes: Vec<u8>, in_ms: u64) {
        let to = by.map_or(packet.asker, Place::Node);
        let packet = Packet { leg: Leg::Answer { by }, bytes, ..packet };
        if in_ms == 0 {
            self.send(at, to, packet);
        } else {
            self.later(in_ms, Event::Leave(at, to, packet));
        }
    }

    fn is_sealed(&self, frame: &[u8]) -> bool {
        matches!(parse(frame, &self.trust.service, true), Parsed::Question(_, Body::Sealed(_)))
    }

    fn moment(&self, at: Place) -> Moment {
        match at {
            Place::Node(number) => self.nodes[number].moment(self.now_ms),
            Place::Origin | Place::Phone(_) => self.origin.moment(self.now_ms),
        }
    }

    fn serve_datagram(&mut self, at: Place, packet: &Packet) -> Option<Vec<u8>> {
        let (now, peer) = (self.moment(at), peer(packet.asker, Carrier::Udp));
        if self.canary == Some(Canary::AnswerLongerThanQuestion)
            && let Some(answer) = self.serve_frame(at, None, packet)
        {
            // The way of streams, which asks nobody to prove an address.
            never_amplify(packet.bytes.len(), answer.len(), false);
            return Some(answer);
        }
        let gate = match at {
            Place::Node(number) => &mut self.nodes[number].process.as_mut()?.gate,
            Place::Origin | Place::Phone(_) => &mut self.origin.process.as_mut()?.gate,
        };
        let mut out = [0; MAX_DATAGRAM];
        let mut slots = [Slot::new(&packet.bytes, peer, &mut out)];
        gate.respond(now, &mut slots);
        let (outcome, proved) = (slots[0].outcome, slots[0].proved);
        let Outcome::Respond(length) = outcome else { return None };
        never_amplify(packet.bytes.len(), length, proved);
        Some(out[..length].to_vec())
    }

    fn serve_frame(&mut self, at: Place, by: Option<usize>, packet: &Packet) -> Option<Vec<u8>> {
        let (now, peer) = (self.moment(at), peer(packet.asker, Carrier::Tls));
        let (gate, view) = match at {
            Place::Node(number) => {
                let process = self.nodes[number].process.as_ref()?;
                (&process.gate, process.builder.view().load())
            }
            Place::Origin | Place::Phone(_) => {
                let process = self.origin.process.as_ref()?;
                (&process.gate, process.single.view().load())
            }
        };
        let mut out = vec![0; MAX_ANSWER_STREAM];
        match gate.answer_frame(&view, now, peer, &packet.bytes, &mut out) {
            Outcome::Respond(length) => Some(out[..length].to_vec()),
            Outcome::Ignore(_) => None,
            Outcome::Later(_) => {
                let bytes = self.decide_sealed(&packet.bytes)?;
                // It leaves at its deadline, however soon it was decided.
                self.answer(at, by, packet.clone(), bytes, ANSWER_AFTER_MS);
                None
            }
        }
    }

    /// A sealed question that the gate let in: opened, decided, answered.
    fn decide_sealed(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let now = self.origin.moment(self.now_ms).unix;
        let service = self.trust.service;
        let Parsed::Question(header, Body::Sealed(question)) = parse(frame, &service, true) else {
            return None;
        };
        let keys = self.origin.process.as_ref()?.single.keyhole().look();
        let Ok(Opened { request, answer_key }) = open_sealed(&keys, header, question) else {
            return Some(unopened_answer(header, &self.dice.bytes()));
        };
        let mut reply = match request {
            Err(_) => ReportReply::of(Ended::Malformed, now),
            Ok(request) => {
                let foreseen = self.foresee(&request);
                let reply = match self.turn(Input::Report(Box::new(request))) {
                    Answered::Reply(Reply::Report(reply)) => *reply,
                    // fail-stop: nothing is confirmed any more.
                    _ => ReportReply::busy(now),
                };
                if let Some(foreseen) = foreseen {
                    self.judge.as_foreseen(&reply, &foreseen);
                }
                reply
            }
        };
        if self.canary == Some(Canary::RetryGetsASecondReceipt)
            && let Some(process) = &self.origin.process
        {
            let delegation = process.single.origin().state().delegation();
            sign_again(&mut reply, &self.origin.disk, delegation, now);
        }
        Some(sealed_answer(header, &answer_key, self.dice.bytes(), &reply))
    }

    fn look_for_wishes(&mut self, at: Place) {
        let view = match at {
            Place::Node(number) => self.nodes[number].process.as_ref().map(|p| p.builder.view().load()),
            Place::Origin | Place::Phone(_) => self.origin.process.as_ref().map(|p| p.single.view().load()),
        };
        if view.is_some_and(|view| !view.wishes.is_empty()) {
            self.wishes_later(at);
        }
    }
}

/// never-amplify: to a source that has not proved its address, no more than it sent.
fn never_amplify(asked: usize, answered: usize, proved: bool) {
    Invariant::NeverAmplify.must(proved || answered <= asked, || {
        format!("{answered} bytes to an unproved source that sent {asked}")
    });
}
