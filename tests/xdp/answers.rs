//! What AF_XDP answers, what it never sends, and that nothing of it stays behind.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};
use tekd::engine::{Random, Seeded};
use tekd::wire::{Key, MAX_DATAGRAM};

use super::asker::TXID;
use super::imported::import_all;
use super::keys::{fresh_seed, keys};
use super::network::{ANYCAST, CLIENT_V4, Network, SERVER_SIDE, SERVER_V4, SERVER_V6, inside};
use super::phone::{counted, phone, place};
use super::server::{Server, until};

/// An origin that has published the keys of seed 1 and answers each address as much as it asks.
fn origin(network: &Network, dir: &Path) -> (Server, Vec<Key>) {
    let unlimited = ["env", "TEKD_LIMITS_ANSWER_RATE=1GiB"].map(str::to_owned);
    let place = place(network, dir, "origin").under(&[network.at_server(), unlimited.to_vec()].concat());
    let origin = place.start().without_decoys();
    let published = keys(1, 100);
    import_all(&origin, &published);
    origin.release();
    (origin, published)
}

/// How many slots of a LOOKUP answer are filled.
fn found(answer: &[u8]) -> usize {
    answer[64..].chunks_exact(32).filter(|slot| slot[16..].iter().any(|byte| *byte != 0)).count()
}

#[test]
fn questions_of_both_families_are_answered_past_the_kernel() {
    inside("answers::questions_of_both_families_are_answered_past_the_kernel", |network| {
        let dir = tempfile::tempdir().expect("a directory");
        let (origin, published) = origin(network, dir.path());
        let absent = keys(2, 32);
        let mut asked = 0;
        for address in [SERVER_V4, SERVER_V6, ANYCAST] {
            // Many ports, so that both queues have some.
            for number in 0..16 {
                let mut phone = phone(&origin, address);
                let info = phone.info();
                assert_eq!(phone.ask(&info).len(), 64);
                for (keys, hits) in [(&published, 1), (&absent, 0)] {
                    let mut question = vec![0; MAX_DATAGRAM];
                    for count in [1, 32] {
                        let length =
                            phone.builder().lookup(&keys[..count], &mut question).expect("a question");
                        let answer = phone.ask(&question[..length]);
                        assert_eq!(answer.len(), length);
                        assert_eq!(found(&answer), hits * count, "{address}, phone {number}");
                        asked += 1;
                    }
                }
                asked += 1;
            }
        }
        assert_eq!(counted(&origin, "xdp", "answered"), asked);
        assert_eq!(counted(&origin, "xdp", "received"), asked);
        assert_eq!(counted(&origin, "udp", "received"), 0, "no queue and no family went past AF_XDP");
        assert_eq!(counted(&origin, "xdp", "disagreements"), 0);
        assert_eq!(origin.metric(&format!("tekd_xdp_queues{{interface=\"{SERVER_SIDE}\"}}")), 2.0);
        assert_eq!(origin.metric("tekd_health{property=\"xdp\"}"), 0.0);
        origin.stop();
        assert!(!network.described().contains("xdp"), "{}", network.described());
    });
}

#[test]
fn the_longest_question_gets_the_longest_answer() {
    inside("answers::the_longest_question_gets_the_longest_answer", |network| {
        let dir = tempfile::tempdir().expect("a directory");
        let (origin, _) = origin(network, dir.path());
        for address in [SERVER_V4, SERVER_V6] {
            let mut phone = phone(&origin, address);
            let mut question = vec![0; MAX_DATAGRAM];
            let builder = tekd::wire::QuestionBuilder { pad_to: MAX_DATAGRAM, ..phone.builder() };
            let length = builder.checkpoint(&mut question).expect("a question");
            assert_eq!(length, MAX_DATAGRAM);
            let answer = phone.ask(&question);
            assert!(answer.len() > 400, "a whole checkpoint, not {} bytes", answer.len());
            let short = phone.builder().checkpoint(&mut question).expect("a question");
            assert_eq!(phone.ask(&question[..short]).len(), short, "not longer than the question");
        }
        assert_eq!(counted(&origin, "udp", "received"), 0);
        origin.stop();
    });
}

/// A datagram as the kernel would never send it: it says it is from `source`, its UDP header is `header`.
fn forge(from: &Socket, source: IpAddr, header: [u8; 8], payload: &[u8]) {
    let IpAddr::V4(source) = source else { unreachable!("it is of IPv4") };
    let IpAddr::V4(destination) = SERVER_V4 else { unreachable!("it is of IPv4") };
    // Length, identification and checksum are filled in by the kernel.
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend_from_slice(&source.octets());
    packet.extend_from_slice(&destination.octets());
    packet.extend_from_slice(&header);
    packet.extend_from_slice(payload);
    from.send_to(&packet, &SocketAddr::new(SERVER_V4, 0).into()).expect("sent");
}

#[test]
fn nothing_answers_junk_and_nothing_is_longer_than_its_question() {
    inside("answers::nothing_answers_junk_and_nothing_is_longer_than_its_question", |network| {
        const JUNK: usize = 4000;
        let dir = tempfile::tempdir().expect("a directory");
        let (origin, _) = origin(network, dir.path());
        let mut random = Seeded::new(fresh_seed("junk"));
        let mut phone = phone(&origin, SERVER_V4);
        let (mut bytes, mut longest) = ([0; MAX_DATAGRAM], 0);
        for number in 0..JUNK {
            random.fill(&mut bytes);
            let length = usize::from(u16::from_le_bytes([bytes[0], bytes[1]])) % (MAX_DATAGRAM + 1);
            let mut datagram = bytes[..length].to_vec();
            // Every second is a question in its first half, so that some are read far.
            if number % 2 == 0 && length >= 64 {
                let info = phone.info();
                datagram[..48].copy_from_slice(&info[..48]);
                datagram[1] = bytes[2] % 12;
                datagram[4..8].copy_from_slice(&u32::try_from(length).expect("short").to_le_bytes());
            }
            phone.send(&datagram);
            // One answer at most comes before that of a mark, in the order of arrival in one queue.
            let mark = phone.info();
            phone.send(&mark);
            let mut answer = phone.receive();
            if answer[TXID] != mark[TXID] {
                assert!(answer.len() <= datagram.len(), "{} bytes for {datagram:02x?}", answer.len());
                longest = longest.max(answer.len());
                answer = phone.receive();
            }
            assert_eq!(answer[TXID], mark[TXID]);
        }
        assert!(longest >= 64, "some junk was answered");
        assert_eq!(counted(&origin, "xdp", "amplify_blocked"), 0);
        assert_eq!(counted(&origin, "udp", "received"), 0);
        origin.stop();
    });
}

#[test]
fn headers_that_do_not_hold_are_counted_and_not_answered() {
    inside("answers::headers_that_do_not_hold_are_counted_and_not_answered", |network| {
        let dir = tempfile::tempdir().expect("a directory");
        let (origin, _) = origin(network, dir.path());
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).expect("a raw socket");
        let mut phone = phone(&origin, SERVER_V4);
        let info = phone.info();
        let [high, low] = origin.udp().port().to_be_bytes();
        // A length beyond the packet's, one short of it, none; a checksum that is not; no source port.
        let lengths: [u16; 5] = [73, 71, 0, 7, u16::MAX];
        for length in lengths.map(u16::to_be_bytes) {
            forge(&raw, CLIENT_V4, [0x9c, 0x41, high, low, length[0], length[1], 0, 0], &info);
        }
        forge(&raw, CLIENT_V4, [0x9c, 0x41, high, low, 0, 72, 0x12, 0x34], &info);
        forge(&raw, CLIENT_V4, [0, 0, high, low, 0, 72, 0, 0], &info);
        let bad = 7;
        // Without a checksum it is one of the plainest questions.
        forge(&raw, CLIENT_V4, [0x9c, 0x41, high, low, 0, 72, 0, 0], &info);
        until("all counted", || (counted(&origin, "xdp", "received") == bad + 1).then_some(()));
        assert_eq!(counted(&origin, "xdp", "malformed"), bad);
        assert_eq!(counted(&origin, "xdp", "answered"), 1);
        phone.ask(&info);
        assert_eq!(counted(&origin, "udp", "received"), 0);
        origin.stop();
    });
}

#[test]
fn nothing_is_sent_to_an_address_that_stands_for_a_subnet() {
    inside("answers::nothing_is_sent_to_an_address_that_stands_for_a_subnet", |network| {
        let dir = tempfile::tempdir().expect("a directory");
        let (origin, _) = origin(network, dir.path());
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).expect("a raw socket");
        let info = phone(&origin, SERVER_V4).info();
        let [high, low] = origin.udp().port().to_be_bytes();
        let header = [0x9c, 0x41, high, low, 0, 72, 0, 0];
        for last in [255, 127] {
            (0..8).for_each(|_| forge(&raw, IpAddr::from([192, 0, 2, last]), header, &info));
        }
        // What is asked after them, over both queues, is answered after them.
        for _ in 0..16 {
            phone(&origin, SERVER_V4).ask(&info);
        }
        assert_eq!(counted(&origin, "xdp", "received"), 8 + 16, "those that end alike and the others");
        assert_eq!(counted(&origin, "xdp", "answered"), 8 + 16);
        assert_eq!(counted(&origin, "udp", "answered"), 0, "the kernel lets a socket send nothing there");
        origin.stop();
    });
}

#[test]
fn an_address_that_comes_is_answered_and_one_that_goes_is_not() {
    inside("answers::an_address_that_comes_is_answered_and_one_that_goes_is_not", |network| {
        let dir = tempfile::tempdir().expect("a directory");
        let (origin, _) = origin(network, dir.path());
        network.change_address("add", "192.0.2.2/24");
        let mut asker = phone(&origin, IpAddr::from([192, 0, 2, 2]));
        until("AF_XDP answers there", || {
            let info = asker.info();
            asker.ask(&info);
            (counted(&origin, "xdp", "answered") > 0).then_some(())
        });
        let told = |what: &str| origin.place.log().contains(what).then_some(());
        until("it is told", || told("addresses of tk0: 1 came, 0 went, AF_XDP answers at "));
        network.change_address("delete", "192.0.2.2/24");
        until("it is seen", || told("addresses of tk0: 0 came, 1 went"));
        let before = counted(&origin, "xdp", "received");
        let info = asker.info();
        asker.send(&info);
        for _ in 0..16 {
            phone(&origin, SERVER_V4).ask(&info);
        }
        assert_eq!(counted(&origin, "xdp", "received"), before + 16);
        origin.stop();
    });
}

#[test]
fn a_killed_server_leaves_no_program_behind() {
    inside("answers::a_killed_server_leaves_no_program_behind", |network| {
        let dir = tempfile::tempdir().expect("a directory");
        let place = place(network, dir.path(), "origin");
        for _ in 0..2 {
            let origin = place.start();
            assert!(network.described().contains("xdp"), "{}", network.described());
            let mut phone = phone(&origin, SERVER_V6);
            let info = phone.info();
            phone.ask(&info);
            assert_eq!(counted(&origin, "xdp", "answered"), 1);
            origin.send("KILL");
            origin.kill();
            let clean = || (!network.described().contains("xdp")).then_some(());
            until("the kernel has taken the program off", clean);
        }
    });
}
