//! A global allocator that counts, so that allocations per operation are facts and not estimates.
//! It knows nothing of clients or workloads.
//!
//! Each thread counts in a slot of its own: a shared counter would add the cost of an atomic
//! addition to every allocation and so punish the clients that allocate much beyond what they do.
//! This is the only file of the workspace with `unsafe`: `GlobalAlloc` asks for it.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The system's allocator, counting calls of `alloc`, `alloc_zeroed` and `realloc`.
pub struct Counting;

/// How many allocations the process has made so far, all threads together.
pub fn count() -> u64 {
    SLOTS.iter().map(|slot| slot.0.load(Relaxed)).sum()
}

// Threads beyond this many share the last slot and may then lose counts; a child starts some 70 at most,
// 64 of them callers.
const SLOT_COUNT: usize = 128;

#[repr(align(128))]
struct Slot(AtomicU64);

static SLOTS: [Slot; SLOT_COUNT] = [const { Slot(AtomicU64::new(0)) }; SLOT_COUNT];
static NEXT_SLOT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static MY_SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn note() {
    MY_SLOT.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT_SLOT.fetch_add(1, Relaxed).min(SLOT_COUNT - 1));
        }
        // A load and a store, not an addition: the slot belongs to this thread.
        let counter = &SLOTS[mine.get()].0;
        counter.store(counter.load(Relaxed) + 1, Relaxed);
    });
}

// SAFETY: every method passes its arguments unchanged to `System`, which upholds the contract of
// `GlobalAlloc`; `note` touches only atomics and a const-initialised thread-local without a
// destructor, so it neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promises about `layout` are those of `System.alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note();
        // SAFETY: `ptr` came from this allocator, hence from `System`, with this `layout`.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}
