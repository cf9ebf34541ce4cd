//! Asks the processor for memory that is read soon.
//!
//! # Invariants
//!
//! - **a-hint-changes-nothing**: a prefetch reads no byte into the program and changes none, whatever the
//!   address; where it is not heeded what is read comes later.

/// Bytes that come from memory at once.
pub const LINE: usize = 64;

/// Asks for the line in which `bytes` begin.
#[inline]
#[allow(unsafe_code)]
pub fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a-hint-changes-nothing: the address is of memory of ours.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}
