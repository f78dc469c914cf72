//! Memory for the words of one command, used again by the thread that drops it.
//!
//! A command lives for one call, so this is the only thing that a call would ask the allocator for before the
//! reply arrives. Each thread keeps a few instead. The words lie behind one pointer, since a command is moved
//! several times on its way: to move what was just written costs more than to write it. This file must not
//! know what is in the words.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use crate::arg::Words;

/// How many of them a thread keeps, and how many bytes each may hold: at most 256 KiB a thread.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 4 * 1024;
const FIRST_BYTES: usize = 256;

thread_local! {
    #[allow(clippy::vec_box, reason = "the box is what a command takes and gives back")]
    static SPARE: RefCell<Vec<Box<Words>>> = const { RefCell::new(Vec::new()) };
}

/// What there is before the first word.
static NONE: Words = Words::new(Vec::new());

/// Words that return their memory to their thread's spares when they are dropped.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Option<Box<Words>>);

#[cold]
fn first() -> Box<Words> {
    Box::new(Words::new(Vec::with_capacity(FIRST_BYTES)))
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        let Some(mut words) = self.0.take() else { return };
        if words.encoded.capacity() <= KEPT_BYTES {
            words.clear();
            // Where the thread is ending or has enough, the memory is simply freed.
            let _ = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < KEPT {
                    spare.push(words);
                }
            });
        }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        if let Some(words) = &self.0 {
            copy.clone_from_words(words);
        }
        copy
    }
}

impl Buffer {
    fn clone_from_words(&mut self, words: &Words) {
        let Words { encoded, count, rare } = &mut **self;
        encoded.extend_from_slice(&words.encoded);
        (*count, *rare) = (words.count, words.rare.clone());
    }
}

impl Deref for Buffer {
    type Target = Words;

    #[inline]
    fn deref(&self) -> &Words {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut Words {
        self.0.get_or_insert_with(|| {
            // A thread that is ending has no spares any more: then ordinary memory serves.
            let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
            spare.unwrap_or_else(first)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_serves_the_next_command_empty() {
        let mut first = Buffer::default();
        first.encoded.extend_from_slice(b"secret");
        first.count = 1;
        let place = first.encoded.as_ptr();
        drop(first);
        let mut second = Buffer::default();
        second.count += 1;
        assert_eq!((second.encoded.as_ptr(), second.encoded.len(), second.count), (place, 0, 1));
    }

    #[test]
    fn neither_large_nor_many_buffers_are_kept() {
        let mut large = Buffer::default();
        large.encoded.reserve(KEPT_BYTES + 1);
        drop(large);
        let mut many: Vec<_> = (0..2 * KEPT).map(|_| Buffer::default()).collect();
        many.iter_mut().for_each(|buffer| buffer.encoded.push(b'x'));
        drop(many);
        SPARE.with(|spare| {
            let spare = spare.borrow();
            assert_eq!(spare.len(), KEPT);
            assert!(spare.iter().all(|words| words.encoded.capacity() <= KEPT_BYTES));
        });
    }
}
