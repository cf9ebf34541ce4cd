//! What the gate refuses, in which order, and what it keeps to itself.

use std::net::IpAddr;
use std::sync::Arc;

use tekd::engine::{Carrier, Cookies, Gate, Limiter, Outcome, Peer, Respond, Silence, Slot};
use tekd::release::Manifest;
use tekd::wire::question::ProofKind;
use tekd::wire::{FLAG_DRAINING, FLAG_STALE, Operation, QuestionBuilder, ResultCode};

use super::asking::*;
use super::checks::Watcher;
use super::world::{Dice, PEER, seed};

#[test]
fn what_only_streams_carry_is_refused_on_udp() {
    // spec 1.5.5, 2.8, 2.9.5, 2.10
    let mut f = fixture(10);
    assert_eq!(f.udp(SHORT, 0, &manifest).result(), ResultCode::Transport);
    assert_eq!(f.udp(SHORT, 0, &notify).result(), ResultCode::Transport);
    let got = f.tls(SHORT, &manifest);
    assert_eq!((got.result(), got.body()), (ResultCode::Ok, f.world.set(SHORT).manifest()));
    assert_eq!(Manifest::parse_unverified(got.body()).unwrap().set, SHORT);
    assert_eq!(
        f.tls(YOUNG, &manifest).body(),
        f.world.set(YOUNG).manifest(),
        "also before its first release"
    );
    assert_eq!(f.tls(SHORT, &sealed).result(), ResultCode::Refused);
    assert_eq!(f.tls(SHORT, &notify).result(), ResultCode::Refused);
    for ask in [&manifest as Ask<'_>, &sealed, &notify] {
        assert_eq!(f.tls(NONE, ask).result(), ResultCode::Set);
    }
    // A SEALED frame that UDP could carry is TRANSPORT, not MALFORMED (1.4.3).
    let mut question = f.question(SHORT, 0, 0, &info);
    question[1] = Operation::Sealed as u8;
    assert_eq!(checked(&question, f.world.udp(&question, PEER).unwrap()).result(), ResultCode::Transport);
    assert_eq!(checked(&question, f.world.tls(&question).unwrap()).result(), ResultCode::Malformed);
}

#[test]
fn refusals_come_in_their_order() {
    // spec 1.4.3
    let mut f = fixture(10);
    let key = f.keys[0];
    let sound = f.question(NONE, 0, 0, &lookup(&[key]));
    let mut ask = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut question = sound.clone();
        change(&mut question);
        let len = question.len() as u32;
        question[4..8].copy_from_slice(&len.to_le_bytes());
        let udp = f.world.udp(&question, PEER).map(|a| checked(&question, a).result());
        assert_eq!(udp, f.world.tls(&question).map(|a| checked(&question, a).result()));
        udp
    };
    assert_eq!(ask(&|_| {}), Some(ResultCode::Set), "last: the set");
    assert_eq!(ask(&|q| q.extend([0x77, 0x80, 0, 0])), Some(ResultCode::Critical));
    assert_eq!(ask(&|q| q.extend([0x77, 0, 0, 0])), Some(ResultCode::Set), "unknown but not critical");
    assert_eq!(ask(&|q| q.extend([0x77, 0x80, 0, 0, 0])), Some(ResultCode::Malformed), "before CRITICAL");
    assert_eq!(
        ask(&|q| q.extend([0x77, 0x80, 0, 0, 1, 0, 0, 0])),
        Some(ResultCode::Malformed),
        "out of order"
    );
    assert_eq!(ask(&|q| q[38] = 0), Some(ResultCode::Malformed), "no slot");
    assert_eq!(ask(&|q| q[38] = 33), Some(ResultCode::Malformed), "too many");
    assert_eq!(ask(&|q| q.truncate(80)), Some(ResultCode::Malformed), "half a slot");
    assert_eq!(
        ask(&|q| {
            q[1] = 0x0f;
            q[38] = 0;
        }),
        Some(ResultCode::Operation),
        "before MALFORMED"
    );
    assert_eq!(
        ask(&|q| {
            q[0] = 0xbf;
            q[1] = 0x0f;
        }),
        Some(ResultCode::Version),
        "before OPERATION"
    );
    assert_eq!(ask(&|q| q[8] ^= 1), None, "before everything: another's service id");
    assert_eq!(ask(&|q| q[1] |= 0x80), None, "no answer to an answer");
    assert_eq!(ask(&|q| q[0] = 0x40), None);
    assert_eq!(ask(&|q| q.truncate(63)), None);
}

#[test]
fn another_version_is_told_ours() {
    // spec 1.1.6
    let mut f = fixture(10);
    let mut question = f.question(SHORT, 5, 200, &info);
    question[0] = 0x82;
    for answer in [f.world.udp(&question, PEER), f.world.tls(&question)] {
        let got = checked(&question, answer.unwrap());
        assert_eq!((got.0[0], got.0.len(), got.result()), (0x80, 64, ResultCode::Version));
        assert_eq!(got.0[48..], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((got.flags(), got.cookie(), got.u32(32), got.version()), (0, 0, 0, 0));
    }
}

#[test]
fn silence_has_its_reasons() {
    // spec 1.1.4, 1.1.5
    let mut f = fixture(10);
    let sound = f.question(SHORT, 0, 0, &info);
    let silent = |f: &mut Fixture, question: &[u8], peer: Peer| {
        let before: Vec<u64> = f.world.counters.silent().map(|(_, n)| n).collect();
        assert_eq!(f.world.udp(question, peer), None);
        let mut grown = f.world.counters.silent().zip(before).filter(|((_, n), old)| n > old);
        let ((reason, _), _) = grown.next().expect("one counter grows");
        assert!(grown.next().is_none());
        reason
    };
    let with = |at: usize, byte: u8| {
        let mut question = sound.clone();
        question[at] = byte;
        question
    };
    assert_eq!(silent(&mut f, &sound[..63], PEER), Silence::Length);
    assert_eq!(silent(&mut f, &with(4, 65), PEER), Silence::Length);
    assert_eq!(silent(&mut f, &[&sound[..], &[0]].concat(), PEER), Silence::Length);
    assert_eq!(silent(&mut f, &with(0, 0xc0), PEER), Silence::FirstByte);
    assert_eq!(silent(&mut f, &with(9, sound[9] ^ 4), PEER), Silence::Service);
    assert_eq!(silent(&mut f, &with(1, 0x81), PEER), Silence::Reply);
    for address in
        ["224.0.0.1", "255.255.255.255", "0.0.0.0", "::", "ff02::1", "::ffff:224.0.0.1", "::ffff:192.0.2.1"]
    {
        let peer = Peer { ip: address.parse().unwrap(), ..PEER };
        assert_eq!(silent(&mut f, &sound, peer), Silence::Source, "{address}");
    }
    assert_eq!(silent(&mut f, &sound, Peer { port: 0, ..PEER }), Silence::Source);
    let mut long = sound.clone();
    long.extend([1, 0, 0, 0].repeat(300));
    let len = long.len() as u32;
    long[4..8].copy_from_slice(&len.to_le_bytes());
    assert_eq!(silent(&mut f, &long, PEER), Silence::Length, "longer than a datagram");
}

#[test]
fn a_cookie_proves_an_address_for_an_hour_and_its_neighbours() {
    // spec 1.6
    let mut f = fixture(10);
    let cookie = f.cookie();
    assert_eq!(f.udp(SHORT, cookie, &checkpoint).cookie(), 0, "a present cookie needs no other");
    // All devices behind one address have the same one, whatever the port.
    let question = f.question(SHORT, cookie, 0, &checkpoint);
    let result = |f: &mut Fixture, ip: &str, port: u16| {
        let peer = Peer { ip: ip.parse().unwrap(), port, carrier: Carrier::Udp };
        checked(&question, f.world.udp(&question, peer).unwrap()).result()
    };
    assert_eq!(result(&mut f, "192.0.2.1", 9), ResultCode::Ok);
    assert_eq!(result(&mut f, "192.0.2.2", 9), ResultCode::Truncated, "of another address");
    f.world.pass(3600);
    let next_hour = f.udp(SHORT, cookie, &checkpoint);
    assert_eq!(next_hour.result(), ResultCode::Ok);
    assert!(next_hour.cookie() != 0 && next_hour.cookie() != cookie, "time for a new one");
    f.world.pass(3600);
    assert_eq!(
        f.udp(SHORT, cookie, &checkpoint).result(),
        ResultCode::Truncated,
        "wrong is unproved (1.6.5)"
    );
    assert_eq!(f.udp(SHORT, 1, &info).result(), ResultCode::Ok);
    // A clock an hour behind its neighbour's accepts the neighbour's.
    let ahead = f.cookie();
    f.world.now.unix -= 3600;
    assert_eq!(f.udp(SHORT, ahead, &checkpoint).result(), ResultCode::Ok);
    let counts: Vec<_> = f.world.counters.cookies().collect();
    assert!(counts.iter().all(|(_, n)| *n > 0), "{counts:?}");
}

#[test]
fn in_a_batch_each_is_answered_as_if_it_were_alone() {
    let mut f = fixture(200);
    let (cookie, mut dice) = (f.cookie(), Dice::new(5));
    let strangers = [dice.key(16), dice.key(16)];
    let many: Vec<_> = f.keys[..31].iter().chain(&strangers[..1]).copied().collect();
    let (one, long) = ([f.keys[7]], [f.long_keys[3]]);
    let mut questions = vec![
        f.question(SHORT, cookie, 0, &lookup(&one)),
        f.question(SHORT, cookie, 0, &lookup(&many)),
        f.question(SHORT, 0, 0, &lookup(&strangers)),
        f.question(LONG, cookie, 0, &lookup(&long)),
        f.question(LONG, cookie, 0, &lookup(&one)),
        f.question(YOUNG, cookie, 0, &lookup(&one)),
        f.question(NONE, cookie, 0, &lookup(&one)),
        f.question(SHORT, 0, 0, &info),
        f.question(SHORT, cookie, 0, &checkpoint),
        f.question(SHORT, 0, 0, &checkpoint),
        f.question(SHORT, cookie, 0, &bucket(start(&one[0]), 5, 0)),
        f.question(SHORT, cookie, 0, &bucket(start(&strangers[0]), 4, 2)),
        f.question(YOUNG, cookie, 0, &bucket(start(&one[0]), 5, 0)),
    ];
    for (at, to) in [(0, 0xff), (1, 0x0f), (8, 0xff), (0, 0x21)] {
        let mut wrong = questions[0].clone();
        wrong[at] = to;
        questions.push(wrong);
    }
    let alone: Vec<_> = questions.iter().map(|question| f.world.udp(question, PEER)).collect();
    assert_eq!(alone.iter().filter(|answer| answer.is_some()).count(), 14, "three are met with silence");
    // More than go through a pass together, and each kind at every place of it.
    for count in [2, 31, 32, 33, 97] {
        let order: Vec<usize> = (0..count).map(|n| n * 5 % questions.len()).collect();
        let mut rooms = vec![[0; 1232]; count];
        let mut slots: Vec<_> =
            order.iter().zip(&mut rooms).map(|(q, out)| Slot::new(&questions[*q], PEER, out)).collect();
        f.world.gate.respond(f.world.now, &mut slots);
        for (slot, q) in slots.iter().zip(&order) {
            let answer = match slot.outcome {
                Outcome::Respond(n) => Some(&slot.answer[..n]),
                _ => None,
            };
            assert_eq!(answer, alone[*q].as_deref(), "question {q} of {count}");
        }
    }
}

#[test]
fn who_asks_too_much_without_proof_is_told_to_bring_a_cookie() {
    // spec 1.4: COOKIE
    let f = fixture(10);
    let service = f.world.origin.identity().service_id;
    let limiter = Arc::new(Limiter::new(6400, [3; 16]));
    let mut gate = Gate::new(
        Arc::clone(&f.world.view),
        Cookies::new([7; 32], service),
        Some(limiter),
        Arc::clone(&f.world.counters),
    );
    let mut ask = |cookie: u64| {
        let q = QuestionBuilder { cookie, ..QuestionBuilder::new(service, SHORT, 5) };
        let (mut question, mut out) = ([0; 64], [0; 1232]);
        q.info(&mut question).unwrap();
        let mut slots = [Slot::new(&question, PEER, &mut out)];
        gate.respond(f.world.now, &mut slots);
        match slots[0].outcome {
            Outcome::Respond(n) => Some(checked(&question, out[..n].to_vec())),
            _ => None,
        }
    };
    let answers: Vec<Option<Got>> = (0..1000).map(|_| ask(0)).collect();
    let ok = |a: &&Option<Got>| a.as_ref().is_some_and(|g| g.result() == ResultCode::Ok);
    assert_eq!(answers.iter().filter(ok).count(), 250, "2.5 s of 6400 bytes per second in 64");
    let slips: Vec<&Got> = answers.iter().flatten().filter(|g| g.result() == ResultCode::Cookie).collect();
    assert_eq!(slips.len(), 375, "every second one is told");
    let cookie = slips[0].cookie();
    assert_eq!(ask(cookie).map(|g| g.result()), Some(ResultCode::Ok), "who comes with it is answered");
    assert_eq!(f.world.counters.slipped(), 375);
}

#[test]
fn flags_tell_who_leaves_and_what_is_old() {
    // spec 1.1.7
    let mut f = fixture(10);
    assert_eq!(f.udp(SHORT, 0, &info).flags(), 0);
    let view = f.world.view.load();
    let fresh_until = view.set(SHORT).unwrap().release.as_ref().unwrap().checkpoint.fresh_until();
    f.world.now.unix = fresh_until;
    assert_eq!(f.udp(SHORT, 0, &info).flags(), 0);
    f.world.now.unix = fresh_until + 1;
    assert_eq!(f.udp(SHORT, 0, &info).flags(), FLAG_STALE);
    assert_eq!(f.udp(YOUNG, 0, &info).flags(), 0, "what is not there is not old");
    view.set_draining(true);
    assert_eq!(f.tls(SHORT, &checkpoint).flags(), FLAG_STALE | FLAG_DRAINING);
}

#[test]
fn no_unproved_question_gets_more_than_it_brought() {
    // spec 1.3.4; the assertion is where the world sends the answer off
    let mut f = fixture(300);
    let (keys, long) = (f.keys.clone(), f.long_keys.clone());
    let newest = f.version(SHORT);
    let digest: [u8; 32] = {
        let cookie = f.cookie();
        f.udp(SHORT, cookie, &sync(0, false)).body()[24..56].try_into().unwrap()
    };
    let (one, many, longs) = (lookup(&keys[..1]), lookup(&keys[..32]), lookup(&long[..24]));
    let (current, held, nodes) = (sync(newest, false), sync(newest - 1, false), sync(0, true));
    let (object, gone) = (fetch(digest, 0, u32::MAX), fetch([1; 32], 0, 1));
    let (all, leaf) = (bucket([0; 16], 0, 0), bucket(start(&keys[0]), 6, 2));
    let included = proof(ProofKind::Inclusion, 0, 2);
    let asks: [Ask<'_>; 15] = [
        &info,
        &checkpoint,
        &one,
        &many,
        &longs,
        &current,
        &held,
        &nodes,
        &object,
        &gone,
        &all,
        &leaf,
        &included,
        &manifest,
        &notify,
    ];
    for ask in asks {
        for set in [SHORT, LONG, YOUNG, NONE] {
            for pad_to in (64..=1232).step_by(4) {
                let question = f.question(set, 0, pad_to, ask);
                let answer = f.world.udp(&question, PEER).expect("a sound question is answered");
                assert!(checked(&question, answer).0.len() <= question.len());
            }
        }
    }
}

#[test]
fn whatever_arrives_the_gate_keeps_its_rules() {
    let mut f = fixture(300);
    let mut dice = Dice::new(seed());
    let service = f.world.origin.identity().service_id;
    let cookie = f.cookie();
    let watcher = Watcher::new(&f.world, SHORT);
    let digest = watcher.sync(&mut f.world, 0, false)[0].digest;
    let mut results = std::collections::BTreeMap::new();
    for _ in 0..60_000 {
        let len = 64 + dice.below(1169);
        let mut question: Vec<u8> = (0..len).map(|_| dice.pick(&[0, 0, 0, 1, 2, 32, 255])).collect();
        question[0] = dice.pick(&[0x81, 0x81, 0x81, 0x82, 0x80]);
        question[1] = dice.below(13) as u8;
        question[4..8].copy_from_slice(&(len as u32).to_le_bytes());
        question[8..16].copy_from_slice(&service);
        question[32..36].copy_from_slice(&(dice.below(5) as u32).to_le_bytes());
        if dice.one_in(3) {
            question[24..32].copy_from_slice(&cookie.to_le_bytes());
        }
        if question[1] == 7 && dice.one_in(2) {
            question[48..64].fill(0);
            (question[48], question[56]) = (dice.below(3) as u8, dice.below(4) as u8);
        }
        if dice.one_in(2) && len >= 96 {
            question[64..96].copy_from_slice(&digest);
        }
        if dice.one_in(2) {
            // One TLV that fills the frame, so that what is before it is read.
            let body = match question[1] {
                3 => 64 + 32 * usize::from(question[38]),
                6 => 96,
                _ => 64,
            };
            question.truncate(body.max(64));
            question.resize(body, 0);
            let len = question.len() as u32;
            question[4..8].copy_from_slice(&len.to_le_bytes());
        }
        let peer = Peer { ip: IpAddr::from([192, 0, 2, dice.pick(&[1, 1, 2])]), ..PEER };
        if let Some(answer) = f.world.udp(&question, peer) {
            let got = checked(&question, answer);
            *results.entry((question[1], got.u16(36))).or_insert(0) += 1;
        }
        if let Some(answer) = f.world.tls(&question) {
            checked(&question, answer);
        }
    }
    println!("{results:?}");
    for operation in [1, 2, 3, 4, 5, 6, 7] {
        assert!(results.contains_key(&(operation, 0)), "{operation} was never answered");
    }
}
