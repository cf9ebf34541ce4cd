//! One question over datagrams: retries, cookies, padding, and what is not an answer.

use super::random;
use crate::client::{
    Acquaintance, Ask, Asking, Backoff, Exchange, ExchangeError, MemoryDatagrams, Next, Patience, Received,
};
use crate::client::{Carrier, CarrierError};
use crate::wire::answer::{self, AnswerHeader};
use crate::wire::{MAX_DATAGRAM, Parsed, Question, ResultCode, parse};

const SERVICE: [u8; 8] = *b"service!";

fn asking(ask: Ask<'_>) -> Asking<'_> {
    Asking { service: SERVICE, set: 4, ask, patience: Patience::default() }
}

fn question(datagram: &[u8]) -> &Question {
    match parse(datagram, &SERVICE, false) {
        Parsed::Question(question, _) => question,
        other => panic!("a server would answer {other:?}"),
    }
}

fn refusal(question: &Question, result: ResultCode, info: u32, cookie: u64) -> Vec<u8> {
    let mut out = vec![0; 64];
    answer::refuse(question, result, info, 7, cookie, &mut out);
    out
}

fn ok(question: &Question) -> Vec<u8> {
    let mut out = vec![0; 64];
    AnswerHeader { version: 12, ..AnswerHeader::to(question) }.write(&mut out);
    out
}

/// Polls at `now_ms` and gives the datagram it sends.
fn sent(exchange: &mut Exchange<'_>, now_ms: u64, random: &mut dyn FnMut(&mut [u8])) -> Vec<u8> {
    let mut out = [0; MAX_DATAGRAM];
    match exchange.poll(now_ms, random, &mut out) {
        Ok(Next::Send(length)) => out[..length].to_vec(),
        other => panic!("{other:?} at {now_ms} ms, not a datagram"),
    }
}

#[test]
fn a_question_is_repeated_under_fresh_transactions_until_patience_ends() {
    // spec 4.5.3, 4.5.4
    let asking = asking(Ask::Info);
    let mut exchange = Exchange::new(&asking, 0, Backoff::default(), 500);
    let (mut random, mut out) = (random(1), [0; MAX_DATAGRAM]);
    let (mut now, mut times, mut transactions) = (500, Vec::new(), Vec::new());
    let error = loop {
        match exchange.poll(now, &mut random, &mut out) {
            Ok(Next::Send(length)) => {
                times.push(now);
                transactions.push(question(&out[..length]).txid.get());
            }
            Ok(Next::WaitUntil(until)) => now = until,
            Err(error) => break error,
        }
    };
    assert_eq!(error, ExchangeError::Silent { datagrams: times.len() as u32, waited_ms: 10_000 });
    let (mut least, mut greatest) = (500, 1_000);
    for pair in times.windows(2) {
        let delay = pair[1] - pair[0];
        assert!((least..=greatest).contains(&delay), "{delay} ms, not {least} to {greatest}");
        (least, greatest) = (least * 3 / 2 - 1, greatest * 3 / 2);
    }
    transactions.sort_unstable();
    transactions.dedup();
    assert_eq!(transactions.len(), times.len());
}

#[test]
fn a_client_with_a_stream_gives_up_after_three_datagrams() {
    // spec 4.5.5
    let patience = Patience::default().before_stream();
    let asking = Asking { patience, ..asking(Ask::Info) };
    let mut carrier = MemoryDatagrams::new(|_: &[u8]| Vec::new());
    let error = carrier.ask(&asking, &mut random(2)).unwrap_err();
    assert!(matches!(error, CarrierError::Silent { datagrams: 3, .. }), "{error}");
    assert!((2_375..=4_750).contains(&carrier.waited_ms()), "{} ms", carrier.waited_ms());
}

#[test]
fn the_answer_to_an_earlier_datagram_is_an_answer() {
    let asking = asking(Ask::Info);
    let mut exchange = Exchange::new(&asking, 0, Backoff::default(), 0);
    let mut random = random(3);
    let first = sent(&mut exchange, 0, &mut random);
    let second = sent(&mut exchange, 1_000, &mut random);
    assert_ne!(question(&first).txid, question(&second).txid);
    let Ok(Received::Answer(reply)) = exchange.received(&ok(question(&first))) else { panic!("no answer") };
    assert_eq!(reply.view().header.version.get(), 12);
    assert_eq!(reply.refused(), None);
}

#[test]
fn what_answers_another_question_is_ignored() {
    // spec 4.5.4
    let asking = asking(Ask::Info);
    let mut exchange = Exchange::new(&asking, 0, Backoff::default(), 0);
    let datagram = sent(&mut exchange, 0, &mut random(4));
    let answer = ok(question(&datagram));
    for (at, what) in
        [(0, "first byte"), (1, "operation"), (4, "length"), (8, "service"), (16, "txid"), (32, "set")]
    {
        let mut other = answer.clone();
        other[at] ^= 0x40;
        assert_eq!(exchange.received(&other), Ok(Received::Ignored), "{what}");
    }
    assert_eq!(exchange.received(&datagram), Ok(Received::Ignored), "the question itself");
    assert_eq!(exchange.received(&[]), Ok(Received::Ignored));
    assert!(matches!(exchange.received(&answer), Ok(Received::Answer(_))));
}

#[test]
fn a_server_that_breaks_the_rules_thrice_is_given_up_with_the_rule() {
    let asking = asking(Ask::Info);
    let mut exchange = Exchange::new(&asking, 0, Backoff::default(), 0);
    let datagram = sent(&mut exchange, 0, &mut random(5));
    let mut broken = ok(question(&datagram));
    broken[36] = 0xff;
    assert_eq!(exchange.received(&broken), Ok(Received::Ignored));
    assert_eq!(exchange.received(&broken), Ok(Received::Ignored));
    let error = exchange.received(&broken).unwrap_err();
    assert_eq!(error.to_string(), "result code 255 is unknown (spec 1.4)");
}

#[test]
fn only_questions_that_outgrow_themselves_are_padded_and_only_without_a_cookie() {
    // spec 1.3.4
    for (ask, cookie, length) in
        [(Ask::Info, 0, 64), (Ask::Checkpoint, 0, 1232), (Ask::Checkpoint, 5, 64), (Ask::Info, 5, 64)]
    {
        let asking = asking(ask);
        let mut exchange = Exchange::new(&asking, cookie, Backoff::default(), 0);
        let datagram = sent(&mut exchange, 0, &mut random(6));
        assert_eq!((datagram.len(), question(&datagram).cookie.get()), (length, cookie), "{ask:?}");
    }
}

#[test]
fn a_cookie_brings_the_question_back_at_once_and_stays_for_the_next() {
    // spec 1.3.5, 1.6.4
    for (result, info) in [(ResultCode::Cookie, 0), (ResultCode::Truncated, 520)] {
        let asking = asking(Ask::Checkpoint);
        let mut exchange = Exchange::new(&asking, 0, Backoff::default(), 0);
        let mut random = random(7);
        let first = sent(&mut exchange, 3, &mut random);
        let answer = refusal(question(&first), result, info, 99);
        assert_eq!(exchange.received(&answer), Ok(Received::AskAgain), "{result:?}");
        let second = sent(&mut exchange, 3, &mut random);
        assert_eq!((second.len(), question(&second).cookie.get()), (64, 99));
        assert_eq!(exchange.received(&answer), Ok(Received::Ignored), "the same answer once more");
        assert_eq!(exchange.cookie(), 99);
    }
}

#[test]
fn a_server_cannot_send_a_client_round_for_ever() {
    let mut asked = 0;
    let mut carrier = MemoryDatagrams::new(|datagram: &[u8]| {
        asked += 1;
        vec![refusal(question(datagram), ResultCode::Cookie, 0, asked)]
    });
    let reply = carrier.ask(&asking(Ask::Info), &mut random(8)).unwrap();
    let refused = reply.refused().unwrap();
    assert_eq!((refused.result, refused.wait_s, asked), (ResultCode::Cookie, 7, 4));
}

#[test]
fn an_answer_too_long_for_any_datagram_is_the_answer() {
    // spec 1.3.5
    let asking = asking(Ask::Checkpoint);
    let mut exchange = Exchange::new(&asking, 0, Backoff::default(), 0);
    let datagram = sent(&mut exchange, 0, &mut random(9));
    let answer = refusal(question(&datagram), ResultCode::Truncated, 1233, 99);
    let Ok(Received::Answer(reply)) = exchange.received(&answer) else { panic!("no answer") };
    assert_eq!(reply.refused().unwrap().info, 1233);
}

#[test]
fn silence_and_lies_slow_a_client_down_and_only_what_verifies_quickens_it() {
    // spec 4.5.3
    let mut known = Acquaintance::default();
    known.verified(false);
    known.verified(false);
    let slow = known.backoff;
    assert!(slow != Backoff::default());
    let asking = asking(Ask::Info);
    let mut carrier = MemoryDatagrams::new(|datagram: &[u8]| vec![ok(question(datagram))]);
    carrier.verified(false);
    carrier.ask(&asking, &mut random(10)).unwrap();
    known.verified(true);
    assert_eq!(known.backoff, Backoff::default());
}
