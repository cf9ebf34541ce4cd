//! Sockets against a played kernel: one that does as it should, one that says anything.

use proptest::prelude::*;

use super::played::PlayedKernel;
use super::*;

/// Every frame is where it is said to be, and nowhere else.
#[track_caller]
fn check(socket: &XdpSocket) {
    let mut places: Vec<(u16, Owner)> = socket.free.iter().map(|frame| (*frame, Owner::Free)).collect();
    for lane in &socket.lanes[..socket.count] {
        places.extend([lane.received, lane.beside].map(|frame| {
            let owner = if lane.sent == Some(frame) { Owner::Sending } else { Owner::Lane };
            (frame, owner)
        }));
    }
    for (frame, owner) in &places {
        assert_eq!(socket.owners[usize::from(*frame)], *owner, "frame {frame}");
    }
    let count = |owner| socket.owners.iter().filter(|found| **found == owner).count();
    assert_eq!(count(Owner::Free), socket.free.len());
    let mut frames: Vec<u16> = places.into_iter().map(|(frame, _)| frame).collect();
    let all = frames.len();
    frames.sort_unstable();
    frames.dedup();
    assert_eq!(frames.len(), all, "a frame in two places");
}

/// Receives one batch and answers each of it with `answer` and what it was asked.
fn answer_batch(socket: &mut XdpSocket, answer: u8) -> usize {
    let received = socket.receive();
    check(socket);
    let lengths: Vec<usize> = socket
        .lanes()
        .map(|(asked, beside)| {
            beside[7] = answer;
            beside[8..8 + asked.len()].copy_from_slice(asked);
            1 + asked.len()
        })
        .collect();
    lengths.into_iter().enumerate().for_each(|(lane, length)| socket.queue(lane, 7, length));
    check(socket);
    received
}

#[test]
fn what_comes_is_answered_from_a_frame_beside_it_and_both_go_round() {
    let (mut kernel, mut socket) = PlayedKernel::new();
    // More rounds than there are frames.
    for round in 0..2 * FRAMES / BATCH {
        let asked: Vec<Vec<u8>> = (0..BATCH).map(|lane| vec![lane as u8; 40 + lane]).collect();
        asked.iter().for_each(|frame| kernel.deliver(frame));
        assert_eq!(answer_batch(&mut socket, 0xa5), BATCH);
        assert_eq!(kernel.take_outgoing(), Vec::<Vec<u8>>::new(), "nothing leaves before the batch is whole");
        socket.flush().expect("flushed");
        check(&socket);
        let expected: Vec<Vec<u8>> = asked.iter().map(|frame| [&[0xa5], &frame[..]].concat()).collect();
        assert_eq!(kernel.take_outgoing(), expected, "round {round}");
        kernel.complete(BATCH);
    }
    assert_eq!(socket.receive(), 0);
    assert_eq!(socket.mishaps(), Mishaps::default());
    assert_eq!(kernel.calls(), 0, "a kernel that wants no calls is not called");
}

#[test]
fn what_was_received_can_be_sent_back_as_it_is_and_what_is_not_answered_is_handed_back() {
    let (mut kernel, mut socket) = PlayedKernel::new();
    for round in 0..2 * FRAMES / 3 {
        [b"one", b"two", b"six"].into_iter().for_each(|frame| kernel.deliver(frame));
        assert_eq!(socket.receive(), 3);
        socket.received_mut(1)[0] = b'T';
        socket.queue_received(1);
        // Without a flush the next round hands the batch back.
        if round % 2 == 0 {
            socket.flush().expect("flushed");
            assert_eq!(kernel.take_outgoing(), [b"Two"]);
            kernel.complete(1);
        } else {
            assert_eq!(socket.receive(), 0);
            assert_eq!(kernel.take_outgoing(), [b"Two"]);
            kernel.complete(1);
        }
        check(&socket);
    }
    assert_eq!(socket.mishaps(), Mishaps::default());
}

#[test]
fn a_frame_that_finds_no_room_is_counted_and_lent_again() {
    let (mut kernel, mut socket) = PlayedKernel::new();
    for _ in 0..(FRAMES - LENT) / BATCH {
        (0..BATCH).for_each(|_| kernel.deliver(b"who"));
        assert_eq!(answer_batch(&mut socket, 1), BATCH);
        socket.flush().expect("flushed");
        kernel.take_outgoing();
    }
    // All frames to answer in are on their way; any number of questions finds none.
    for beyond in 1..2 * FRAMES as u64 {
        kernel.deliver(b"who");
        assert_eq!(socket.receive(), 0);
        assert_eq!(socket.mishaps(), Mishaps { no_room: beyond, disagreements: 0 });
    }
    check(&socket);
    kernel.complete(1);
    kernel.deliver(b"who");
    assert_eq!(answer_batch(&mut socket, 1), 1, "there is room again");
}

#[test]
fn a_kernel_that_wants_to_be_called_is_called_until_it_has_read_all() {
    let (mut kernel, mut socket) = PlayedKernel::new();
    kernel.want_calls(true);
    socket.kick().expect("nothing to send");
    assert_eq!(kernel.calls(), 0);
    kernel.deliver(b"who");
    answer_batch(&mut socket, 1);
    socket.flush().expect("flushed");
    assert_eq!(kernel.calls(), MAX_KICKS, "it reads nothing however often it is called");
    assert!(socket.unsent());
    kernel.take_outgoing();
    assert!(!socket.unsent());
    socket.kick().expect("all is read");
    assert_eq!(kernel.calls(), 0);
}

#[test]
fn what_the_kernel_hands_back_is_believed_only_if_it_agrees() {
    let (mut kernel, mut socket) = PlayedKernel::new();
    let entry = |addr: u64, len: usize| libc::xdp_desc { addr, len: len as u32, options: 0 };
    let beyond = (FRAMES * FRAME_BYTES) as u64;
    let lent_to_nobody = (LENT * FRAME_BYTES) as u64;
    for strange in [entry(lent_to_nobody, 60), entry(beyond, 60), entry(u64::MAX, 60), entry(40, FRAME_BYTES)]
    {
        kernel.announce(strange);
    }
    assert_eq!(socket.receive(), 0);
    assert_eq!(socket.mishaps(), Mishaps { no_room: 0, disagreements: 4 });
    // Not being sent: one that is lent, one that is free, one that there is not.
    [0, lent_to_nobody, beyond, u64::MAX].into_iter().for_each(|address| kernel.give_back(address));
    assert_eq!(socket.receive(), 0);
    assert_eq!(socket.mishaps(), Mishaps { no_room: 0, disagreements: 8 });
    check(&socket);
    kernel.deliver(b"who");
    assert_eq!(answer_batch(&mut socket, 1), 1);
    socket.flush().expect("flushed");
    kernel.take_outgoing();
    let sent = kernel.leaving[0];
    kernel.complete(1);
    kernel.give_back(sent);
    assert_eq!(socket.receive(), 0);
    assert_eq!(socket.mishaps().disagreements, 9, "a frame that has left twice");
    check(&socket);
}

proptest! {
    #[test]
    fn whatever_a_kernel_says_each_frame_is_in_one_place(
        said in proptest::collection::vec((0u8..5, any::<u16>(), 0usize..3000), 1..150),
    ) {
        let (mut kernel, mut socket) = PlayedKernel::new();
        for (what, number, length) in said {
            let address = u64::from(number) * 640;
            match what {
                0 => kernel.announce(libc::xdp_desc { addr: address, len: length as u32, options: 0 }),
                1 => kernel.give_back(address),
                2 if kernel.rings.fill.readable() > 0 => kernel.deliver(&vec![7; length % 1700]),
                3 => {
                    kernel.take_outgoing();
                    kernel.complete(kernel.leaving.len());
                }
                _ => {
                    socket.receive();
                    check(&socket);
                    for lane in 0..socket.count {
                        if lane % 2 == 0 {
                            socket.queue(lane, 64, 100);
                        }
                    }
                    check(&socket);
                    prop_assert!(socket.flush().is_ok());
                }
            }
            check(&socket);
        }
    }
}
