//! Answers as a client reads them: for every operation, from a datagram and from a stream, and then
//! each body against what may have been asked.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tekd::wire::layout::{HASH_LEN, MAX_OBJECTS};
use tekd::wire::question::{Bucket, Fetch, Sync};
use tekd::wire::{Answer, AnswerBody, Expected, Key, MAX_DATAGRAM, Operation, parse_answer};
use tekd_fuzz::bounded;
use zerocopy::FromBytes;

fuzz_target!(|input: &[u8]| {
    let Ok((header, _)) = Answer::ref_from_prefix(input) else { return };
    let (service, txid, set) = (header.service, header.txid.get(), header.set.get());
    for operation in Operation::ALL {
        let expected = Expected { service, txid, set, operation };
        for on_stream in [false, true] {
            // Nothing is allocated for an answer.
            bounded::within(0, || match parse_answer(input, &expected, on_stream) {
                Ok(view) => read(input, &view.body, on_stream),
                Err(error) => assert!(!error.clause().is_empty()),
            });
        }
    }
});

fn read(input: &[u8], body: &AnswerBody<'_>, on_stream: bool) {
    assert!(on_stream || input.len() <= MAX_DATAGRAM);
    match body {
        AnswerBody::Lookup(lookup) => {
            for key_len in [16, 32] {
                let keys = input[64..].chunks_exact(key_len + 16);
                let mut asked = [Key::from_slice(&[0; 16]).expect("a key"); 64];
                let mut count = 0;
                for (key, slot) in asked.iter_mut().zip(keys) {
                    *key = Key::from_slice(&slot[..key_len]).expect("a key has 16 or 32 bytes");
                    count += 1;
                }
                if let Ok(slots) = lookup.read(&asked[..count]) {
                    assert_eq!(slots.count(), count);
                }
            }
        }
        AnswerBody::Bucket(bucket) => {
            let (bits, held) = (bucket.head.bits, bucket.head.held);
            // Nobody asks for more levels than the prefix is long.
            for entry_len in [24, 28, 40].into_iter().filter(|_| held <= bits) {
                if let Ok(read) = bucket.read(&Bucket { prefix: &[0; 16], bits, held }, entry_len) {
                    assert!(read.entries.len() + read.siblings.len() * HASH_LEN <= input.len());
                    assert_eq!(read.siblings.len(), usize::from(bits) - usize::from(held));
                }
            }
        }
        AnswerBody::Sync(sync) => {
            for history in [false, true] {
                let version = u64::from_le_bytes(*input[64..].first_chunk().unwrap_or(&[0; 8]));
                if let Ok(objects) = sync.read(Sync { version, history }) {
                    assert!(objects.len() <= MAX_OBJECTS);
                }
            }
        }
        AnswerBody::Fetch(fetch) => {
            let offset = u32::from_le_bytes(*input[48..].first_chunk().expect("the detail was read"));
            if let Ok(part) = fetch.read(&Fetch { digest: &[0; 32], offset, length: 1 << 20 }) {
                assert!(u64::from(offset) + part.bytes.len() as u64 <= u64::from(part.total));
            }
        }
        AnswerBody::Refused(refusal) => assert!(refusal.text.is_none_or(|text| text.len() <= 200)),
        _ => {}
    }
}
