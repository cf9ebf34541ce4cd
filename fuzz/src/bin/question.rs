//! Questions as a server reads them, from a datagram and from a stream.
//!
//! Beside not panicking: what is no question to us is met with silence, a body is of the operation
//! in the header, and what it holds lies inside the frame.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tekd::transport::FrameBuffer;
use tekd::wire::header::stream_frame_len;
use tekd::wire::question::{Bucket, Fetch, Notify, Parsed, Proof, ProofKind, Sync, parse};
use tekd::wire::{Body, FIRST_BYTE, MAX_DATAGRAM, MAX_QUESTION_STREAM, QuestionBuilder, ServiceId};
use tekd_fuzz::world;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Start {
    first_byte: u8,
    operation: u8,
    flags: [u8; 2],
    length: [u8; 4],
    service: ServiceId,
}

fuzz_target!(init: tekd_fuzz::seeds::offer(seeds), |input: &[u8]| {
    // Whoever asks knows our service id: the input's is taken for ours.
    let service = Start::ref_from_prefix(input).map_or(world::SERVICE, |(start, _)| start.service);
    for on_stream in [false, true] {
        check(input, &parse(input, &service, on_stream), on_stream);
        let other = parse(input, &[0; 8], on_stream);
        assert!(service == [0; 8] || matches!(other, Parsed::Silent(_)), "a question to another service");
    }
    cut(input);
});

fn check(input: &[u8], parsed: &Parsed<'_>, on_stream: bool) {
    let longest = if on_stream { MAX_QUESTION_STREAM } else { MAX_DATAGRAM };
    let answerable = !matches!(parsed, Parsed::Silent(_));
    if let Ok((start, _)) = Start::ref_from_prefix(input) {
        let sound = start.first_byte & 0xc0 == 0x80
            && start.operation & 0x80 == 0
            && u32::from_le_bytes(start.length) as usize == input.len()
            && (64..=longest).contains(&input.len());
        assert_eq!(answerable, sound);
    }
    let Parsed::Question(header, body) = parsed else { return };
    let operation = body.operation();
    assert_eq!((header.first_byte, header.operation), (FIRST_BYTE, operation as u8));
    assert!(on_stream || !operation.needs_stream());
    for proved in [false, true] {
        let room = header.datagram_room(proved);
        assert!((64..=MAX_DATAGRAM).contains(&room) && (proved || room <= input.len()));
    }
    if let Body::Lookup(lookup) = body {
        assert_eq!(lookup.slots.len(), lookup.count * lookup.slot_len);
        assert!(
            lookup.keys().len() == lookup.count && lookup.keys().all(|key| key.len() == lookup.key_len())
        );
    }
    again(input, body);
}

/// The builder asks the same as was read.
fn again(input: &[u8], body: &Body<'_>) {
    let mut builder = QuestionBuilder::new(world::SERVICE, 1, 2);
    builder.grease = u16::from(input[2]);
    let mut out = [0; MAX_QUESTION_STREAM];
    let built = match body {
        Body::Bucket(bucket) => builder.bucket(bucket, &mut out),
        Body::Sync(sync) => builder.sync(*sync, &mut out),
        Body::Fetch(fetch) => builder.fetch(fetch, &mut out),
        Body::Proof(proof) => builder.proof(*proof, &mut out),
        Body::Notify(notify) => builder.notify(*notify, &mut out),
        Body::Sealed(sealed) => builder.sealed(sealed, &mut out),
        _ => return,
    };
    let Ok(length) = built else { return };
    let Parsed::Question(_, read) = parse(&out[..length], &world::SERVICE, true) else {
        panic!("what was built is no question");
    };
    match (read, body) {
        // The bits beyond a prefix mean nothing and are not sent.
        (Body::Bucket(read), Body::Bucket(asked)) => {
            assert_eq!((read.node(), read.bits, read.held), (asked.node(), asked.bits, asked.held));
        }
        (read, body) => assert_eq!(read, *body),
    }
}

/// The bytes as a stream, in pieces.
fn cut(input: &[u8]) {
    let mut buffer = FrameBuffer::new(MAX_QUESTION_STREAM);
    let mut left = input;
    while !left.is_empty() {
        let space = buffer.space();
        let piece = space.len().min(left.len()).min(1 + usize::from(left[0]) * 16);
        assert!(piece > 0, "no frame is longer than the buffer");
        space[..piece].copy_from_slice(&left[..piece]);
        left = &left[piece..];
        buffer.filled(piece);
        loop {
            match buffer.cut() {
                Err(_) => return,
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let head = frame.first_chunk().expect("a frame has a header");
                    assert_eq!(stream_frame_len(head, MAX_QUESTION_STREAM), Ok(frame.len()));
                }
            }
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let builder =
        QuestionBuilder { pad_to: 300, grease: 0xffff, ..QuestionBuilder::new(world::SERVICE, 1, 9) };
    let mut out = [0; MAX_QUESTION_STREAM];
    let asked = [
        builder
            .bucket(&Bucket { prefix: &[0xab; 16], bits: 3, held: 1 }, &mut out)
            .map(|n| out[..n].to_vec()),
        builder.sync(Sync { version: 7, history: true }, &mut out).map(|n| out[..n].to_vec()),
        builder.fetch(&Fetch { digest: &[5; 32], offset: 3, length: 4 }, &mut out).map(|n| out[..n].to_vec()),
        builder
            .proof(Proof { kind: ProofKind::Consistency, first: 1, second: 2 }, &mut out)
            .map(|n| out[..n].to_vec()),
        builder.notify(Notify { version: 8 }, &mut out).map(|n| out[..n].to_vec()),
        builder.manifest(&mut out).map(|n| out[..n].to_vec()),
    ];
    asked.into_iter().map(|frame| frame.expect("there is room")).collect()
}
