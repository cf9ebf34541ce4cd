//! CHECKPOINT answers and manifests, as they come and signed by keys the client believes.
//!
//! Beside not panicking: what was read is written as it was; a verifier that accepts never goes
//! back, forgets nothing and comes back from its memory; a manifest that was read can be written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tekd::release::{
    CHECKPOINT_LEN, Checkpoint, Delegation, Manifest, Schema, Verifier, VerifyError, compose_answer_body,
    parse_answer_body, parse_answer_prefix,
};
use tekd_fuzz::{bounded, world};

/// Most bytes that reading may hold beyond a few times what was read.
const FIXED: usize = 64 << 10;

fuzz_target!(init: tekd_fuzz::seeds::offer(seeds), |input: &[u8]| {
    bounded::within(FIXED + 32 * input.len(), || {
        answer(input);
        manifest(input);
    });
    let mut verifier = Verifier::new(world::trust(), world::SHORT);
    accept(&mut verifier, &world::signed(&world::checkpoint(world::SHORT, Schema::GaenMinimal)));
    accept(&mut verifier, input);
    // The checkpoints that the input says, signed, one after the other.
    for bytes in input.chunks_exact(CHECKPOINT_LEN).take(4) {
        let Ok(checkpoint) = Checkpoint::parse(bytes) else { continue };
        accept(&mut verifier, &world::signed(&checkpoint.fields()));
    }
});

fn answer(input: &[u8]) {
    if let Ok(answer) = parse_answer_body(input) {
        assert_eq!(answer.to_body(), input);
    }
    if let Ok((answer, used)) = parse_answer_prefix(input) {
        assert_eq!(answer.to_body(), input[..used]);
        assert_eq!(Checkpoint::new(&answer.checkpoint.fields()).fields(), answer.checkpoint.fields());
        let again = Delegation::parse(answer.delegation.as_bytes()).expect("it was read before");
        assert_eq!(again, answer.delegation);
    }
}

fn accept(verifier: &mut Verifier, body: &[u8]) {
    let Ok(answer) = parse_answer_body(body) else { return };
    let before = verifier.clone();
    match verifier.accept(&answer) {
        Ok(checkpoint) => {
            if let Some(held) = before.checkpoint() {
                assert!(checkpoint.version() >= held.version() && checkpoint.time() >= held.time());
                assert!(checkpoint.version() > held.version() || checkpoint == *held, "two of one version");
            }
            assert!(verifier.epoch() >= before.epoch());
            assert_eq!((checkpoint.service(), checkpoint.set()), (world::SERVICE, world::SHORT));
        }
        Err(error) => {
            assert_eq!(*verifier, before, "what was refused has changed the memory");
            if let VerifyError::Equivocation { kept, other } = error {
                assert_eq!(kept.checkpoint.version(), other.checkpoint.version());
            }
        }
    }
    let memory = verifier.to_bytes();
    let back = Verifier::from_bytes(world::trust(), world::SHORT, &memory).expect("its own memory");
    assert_eq!(back, *verifier);
}

fn manifest(input: &[u8]) {
    let Ok(manifest) = Manifest::parse_unverified(input) else { return };
    let written = manifest.encode_signed(&world::online()).expect("what was read can be written");
    let read = Manifest::parse_verified(&written, &world::online().public());
    assert_eq!(read.as_ref(), Ok(&manifest));
}

fn seeds() -> Vec<Vec<u8>> {
    let fields = world::checkpoint(world::SHORT, Schema::GaenMinimal);
    let later =
        tekd::release::CheckpointFields { version: fields.version + 1, time: fields.time + 900, ..fields };
    let both = [Checkpoint::new(&fields).as_bytes(), Checkpoint::new(&later).as_bytes()].concat();
    let unsigned = compose_answer_body(Checkpoint::new(&later).as_bytes(), &[0; 4], &world::delegation());
    vec![
        world::signed(&fields),
        world::signed(&later),
        both,
        unsigned,
        world::manifest(world::SHORT, Schema::GaenMinimal),
    ]
}
