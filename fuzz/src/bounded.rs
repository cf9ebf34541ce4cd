//! The allocator of the targets: what an input may make tekd hold in memory has a limit.
//!
//! libFuzzer's own limit is on the whole process and far too high to notice that sixty bytes
//! ask for a gigabyte. Past the limit of [`within`] an allocation fails, which ends the process
//! like a panic does, with the input written down.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static HELD: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

struct Bounded;

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

/// Runs `work`, which may hold at most `limit` bytes at once beyond what is held now.
pub fn within<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    report_without_limit();
    LIMIT.store(HELD.load(Relaxed) + limit, Relaxed);
    let result = work();
    LIMIT.store(usize::MAX, Relaxed);
    result
}

/// Lets a panic say what it has to say: its report needs memory as well.
fn report_without_limit() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            LIMIT.store(usize::MAX, Relaxed);
            report(panic);
        }));
    });
}

/// Counts `size` more bytes, if they may be held.
fn take(size: usize) -> bool {
    let held = HELD.fetch_add(size, Relaxed).saturating_add(size);
    let fits = held <= LIMIT.load(Relaxed);
    if !fits {
        // The report of the failure needs memory as well.
        LIMIT.store(usize::MAX, Relaxed);
        HELD.fetch_sub(size, Relaxed);
    }
    fits
}

// SAFETY: only-counts: each call goes to the system's allocator as it came, or fails with null.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: only-counts: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: only-counts: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !take(size) {
            return std::ptr::null_mut();
        }
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: only-counts: the caller's promise is passed on.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: only-counts: the caller's promise is passed on.
        unsafe { System.dealloc(old, layout) }
    }
}
