//! Memory that the small values of a list share: each would be an allocation of its own otherwise.
//!
//! What a value keeps alive is bounded: its list, or a copy of a part of it. This file must not know what the
//! values are.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

use bytes::Bytes;

use crate::replies::frame_len;

/// Replies of so many bytes together are shared where they were read into. Fewer would keep a read buffer
/// alive that is larger than they are.
const READ_MEMORY_FROM: usize = 64 * 1024;

/// More bytes are not shared, since a single value would keep all of them alive.
const READ_MEMORY_UPTO: usize = 4 * 1024 * 1024;

/// In place of that, so much of it is copied at a time.
const COPIED: usize = 64 * 1024;

/// The memory that small values of one list share.
#[derive(Debug)]
pub(super) struct ListMemory {
    /// Where the list ends in what it was read from.
    end: usize,
    /// Where `bytes` lie there.
    start: usize,
    bytes: Bytes,
}

impl ListMemory {
    /// Memory for the list that begins at `list` in `owner`.
    pub(super) fn new(owner: &Bytes, list: usize) -> Self {
        if (READ_MEMORY_FROM..=READ_MEMORY_UPTO).contains(&(owner.len() - list)) {
            return Self { end: owner.len(), start: 0, bytes: owner.clone() };
        }
        Self { end: list + frame_len(&owner[list..]), start: 0, bytes: Bytes::new() }
    }

    /// The value of `len` bytes at `at` in `owner`.
    #[inline]
    pub(super) fn slice(&mut self, owner: &Bytes, at: usize, len: usize) -> Bytes {
        if at < self.start || at + len > self.start + self.bytes.len() {
            self.copy(owner, at, len);
        }
        let from = at - self.start;
        self.bytes.slice(from..from + len)
    }

    #[cold]
    fn copy(&mut self, owner: &Bytes, at: usize, len: usize) {
        let until = self.end.min(at + COPIED).max(at + len);
        (self.start, self.bytes) = (at, Bytes::copy_from_slice(&owner[at..until]));
    }
}

/// Values that may share memory with others.
///
/// A [`Bytes`] in a reply is a slice of memory that lives until its last slice is dropped. What one keeps
/// alive is at most:
/// - a value of 4 KiB or more: the memory that its reply was read into, which is 4 MiB, or the reply where
///   that is larger;
/// - a smaller one in a list or a map: 4 MiB where 64 KiB to 4 MiB of replies came together; else 64 KiB, or
///   the list where that is smaller;
/// - any other: nothing but itself.
///
/// A few values that are kept for long, out of replies that are not, are better detached.
///
/// ```
/// # use redwire_core as redwire;
/// use bytes::Bytes;
/// use redwire::{Detach, Reader};
///
/// let names: Vec<Bytes> = Reader::read(b"*2\r\n$3\r\nann\r\n$3\r\nbob\r\n")?;
/// let first = names[0].detach();
/// assert_eq!(first, "ann");
/// # Ok::<(), redwire_core::Error>(())
/// ```
pub trait Detach {
    /// A copy that shares memory with no other value.
    #[must_use = "the value itself goes on sharing"]
    fn detach(&self) -> Self;
}

impl Detach for Bytes {
    fn detach(&self) -> Self {
        Self::copy_from_slice(self)
    }
}

impl<T: Detach> Detach for Option<T> {
    fn detach(&self) -> Self {
        self.as_ref().map(T::detach)
    }
}

impl<T: Detach> Detach for Vec<T> {
    fn detach(&self) -> Self {
        self.iter().map(T::detach).collect()
    }
}

impl<T: Detach> Detach for VecDeque<T> {
    fn detach(&self) -> Self {
        self.iter().map(T::detach).collect()
    }
}

impl<A: Detach, B: Detach> Detach for (A, B) {
    fn detach(&self) -> Self {
        (self.0.detach(), self.1.detach())
    }
}

impl<K: Detach + Eq + Hash, V: Detach, S: BuildHasher + Default> Detach for HashMap<K, V, S> {
    fn detach(&self) -> Self {
        self.iter().map(|(key, value)| (key.detach(), value.detach())).collect()
    }
}

impl<K: Detach + Ord, V: Detach> Detach for BTreeMap<K, V> {
    fn detach(&self) -> Self {
        self.iter().map(|(key, value)| (key.detach(), value.detach())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replies::Replies;
    use crate::reply::Reply;

    fn list(len: usize, value: &[u8]) -> Bytes {
        let mut frame = format!("*{len}\r\n").into_bytes();
        for _ in 0..len {
            frame.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
            frame.extend_from_slice(value);
            frame.extend_from_slice(b"\r\n");
        }
        Bytes::from(frame)
    }

    fn read<R: Reply>(frame: &Bytes) -> R {
        Replies::from_frame(frame.clone()).read().unwrap()
    }

    fn lies_in(value: &Bytes, memory: &Bytes) -> bool {
        memory.as_ptr_range().contains(&value.as_ptr())
    }

    #[test]
    fn values_are_the_same_whatever_they_share() {
        for (len, size) in
            [(0, 1), (1, 1), (3, 0), (3, 100), (700, 100), (900, 4095), (30_000, 150), (3, 70_000)]
        {
            let value = vec![b'v'; size];
            let frame = list(len, &value);
            assert_eq!(read::<Vec<Bytes>>(&frame), vec![Bytes::from(value.clone()); len], "{len} x {size}");
            assert_eq!(read::<Vec<Vec<u8>>>(&frame), vec![value; len], "{len} x {size}");
        }
    }

    #[test]
    fn a_small_list_is_copied_once() {
        let frame = list(100, b"0123456789");
        let values: Vec<Bytes> = read(&frame);
        assert!(values.iter().all(|value| !lies_in(value, &frame)));
        // One after the other in the same memory.
        assert!(values.windows(2).all(|pair| {
            pair[1].as_ptr().addr() - pair[0].as_ptr().addr() == b"0123456789\r\n$10\r\n".len()
        }));
    }

    #[test]
    fn a_larger_one_lies_where_it_was_read() {
        let frame = list(1000, &[b'v'; 100]);
        let values: Vec<Bytes> = read(&frame);
        assert!(values.iter().all(|value| lies_in(value, &frame)));
        let pairs: HashMap<Bytes, Bytes> = read(&list(2000, &[b'v'; 100]));
        assert_eq!(pairs.len(), 1);
    }

    #[test]
    fn of_a_huge_one_a_value_keeps_only_a_part() {
        let frame = list(50_000, &[b'v'; 100]);
        let mut values: Vec<Bytes> = read(&frame);
        assert!(values.iter().all(|value| !lies_in(value, &frame)));
        // It is the last owner of its part, which is no more than was copied at a time.
        let last = values.pop().unwrap();
        drop((values, frame));
        assert!(last.is_unique());
        assert!(bytes::BytesMut::from(last).capacity() <= COPIED);
    }

    #[test]
    fn lists_of_a_pipeline_share_nothing_with_each_other() {
        let mut replies = Replies::default();
        let both = [&list(2, b"aa")[..], &list(2, b"bb")[..]].concat();
        replies.push(Bytes::from(both), 2, false);
        let (first, second): (Vec<Bytes>, Vec<Bytes>) = (replies.read().unwrap(), replies.read().unwrap());
        assert_eq!((first[1].clone(), second[0].clone()), (Bytes::from("aa"), Bytes::from("bb")));
        let apart = second[0].as_ptr().addr().abs_diff(first[1].as_ptr().addr());
        assert!(apart != b"aa\r\n*2\r\n$2\r\n".len(), "they lie one behind the other");
    }

    #[test]
    fn what_is_detached_is_alone() {
        let values: Vec<Option<Bytes>> = read(&list(1000, &[b'v'; 100]));
        let alone = values.detach();
        assert_eq!(alone, values);
        drop(values);
        assert!(alone.iter().flatten().all(Bytes::is_unique));
    }
}
