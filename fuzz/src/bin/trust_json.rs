//! The text of a trust file. What was read comes back from what is written of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tekd::release::{MAX_ROOTS, MAX_TRUST_SETS, Trust};
use tekd_fuzz::{bounded, world};

fuzz_target!(init: tekd_fuzz::seeds::offer(seeds), |input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let most = (64 << 10) + 32 * text.len();
    match bounded::within(most, || Trust::parse_json(text)) {
        Ok(trust) => {
            assert!(trust.roots.len() <= MAX_ROOTS && trust.sets.len() <= MAX_TRUST_SETS);
            assert_eq!(trust.check(), Ok(()));
            assert_eq!(Trust::parse_json(&trust.to_json()).expect("its own text"), trust);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn seeds() -> Vec<Vec<u8>> {
    let trust = world::trust();
    let two = Trust {
        roots: vec![world::root().public(), world::online().public()],
        threshold: 2,
        ..trust.clone()
    };
    vec![trust.to_json().into_bytes(), two.to_json().into_bytes()]
}
