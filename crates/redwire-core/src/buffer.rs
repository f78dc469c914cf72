//! Buffers for the bytes of one command, reused by the thread that drops them.
//!
//! A command lives for one call, so its buffer is the only thing a call would ask the allocator for before
//! the reply arrives. This file keeps a few small ones per thread instead. It must not know what is in them.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// How many buffers a thread keeps, and how large each may be: at most 256 KiB a thread.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 4 * 1024;
const FIRST_BYTES: usize = 256;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A `Vec<u8>` that returns its memory to its thread's spares when dropped.
#[derive(Debug)]
pub(crate) struct Buffer(Vec<u8>);

impl Default for Buffer {
    #[inline]
    fn default() -> Self {
        // A thread that is ending has no spares any more: then an ordinary vector serves.
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        Self(spare.unwrap_or_else(|| Vec::with_capacity(FIRST_BYTES)))
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        if (1..=KEPT_BYTES).contains(&self.0.capacity()) {
            let mut bytes = std::mem::take(&mut self.0);
            bytes.clear();
            // Where the thread is ending or has enough, the memory is simply freed.
            let _ = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < KEPT {
                    spare.push(bytes);
                }
            });
        }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.extend_from_slice(&self.0);
        copy
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    #[inline]
    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_serves_the_next_command_empty() {
        let mut first = Buffer::default();
        first.extend_from_slice(b"secret");
        let place = first.as_ptr();
        drop(first);
        let second = Buffer::default();
        assert_eq!((second.as_ptr(), second.len()), (place, 0));
    }

    #[test]
    fn neither_large_nor_many_buffers_are_kept() {
        let large = Buffer(Vec::with_capacity(KEPT_BYTES + 1));
        drop(large);
        let many: Vec<_> = (0..2 * KEPT).map(|_| Buffer::default()).collect();
        drop(many);
        SPARE.with(|spare| {
            let spare = spare.borrow();
            assert_eq!(spare.len(), KEPT);
            assert!(spare.iter().all(|buffer| buffer.capacity() <= KEPT_BYTES));
        });
    }
}
