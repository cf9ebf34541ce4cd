//! The canary: a crash that guessing does not find and coverage guidance finds at once.
//!
//! Four bytes compared one by one need the edge counters, the number after them needs the
//! look at comparisons: 2⁻⁶⁴ by chance. `fuzz/run canary` builds it with `--cfg canary`
//! and fails when the crash stays hidden, which would mean that every other target is
//! fuzzed blindly.

#![no_main]

use libfuzzer_sys::fuzz_target;

/// What the comparison has to find.
const NUMBER: u32 = 0x5EED_B19D;

fuzz_target!(|input: &[u8]| {
    let [b't', b'e', b'k', b'd', number @ ..] = input else { return };
    let Some(number) = number.first_chunk() else { return };
    if cfg!(canary) && u32::from_le_bytes(*number) == NUMBER {
        panic!("the canary sings");
    }
});
