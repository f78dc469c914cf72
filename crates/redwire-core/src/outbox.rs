//! Bytes on their way to the kernel: small ones copied together, large values left where they lie.
//!
//! Counts positions in the stream, so that a broken connection can tell what was sent. It must not know
//! what the bytes mean, nor write them anywhere.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use bytes::{Buf, Bytes};

use crate::arg::Args;
use crate::paging;

/// Bytes to be written, in order: the pieces first, then what was copied last.
#[derive(Debug, Default)]
pub struct Outbox {
    pieces: VecDeque<Bytes>,
    tail: Vec<u8>,
    /// How much of `tail` is written already.
    gone: usize,
}

/// A value up to this size is copied after all where the kernel would copy it slowly from its place.
const MOST_COPIED: usize = 2 * 1024 * 1024;

/// A tail that has grown past this is not kept once it is written.
const KEPT_TAIL: usize = 4 * 1024 * 1024;

impl Outbox {
    /// Appends one command.
    #[inline]
    pub fn command(&mut self, args: &Args) {
        let (encoded, shared) = args.pieces();
        redwire_resp::write_array_header(&mut self.tail, args.len());
        let mut from = 0;
        for (place, value) in shared {
            self.tail.extend_from_slice(&encoded[from..*place]);
            let before = self.tail.len() - self.gone;
            if value.len() <= MOST_COPIED && paging::is_misplaced(value.as_ptr().addr(), before) {
                self.tail.extend_from_slice(value);
            } else {
                self.share(value.clone());
            }
            from = *place;
        }
        self.tail.extend_from_slice(&encoded[from..]);
    }

    /// Appends bytes by copying them.
    pub fn copy(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Makes room for so many bytes that will be copied.
    pub fn reserve(&mut self, bytes: usize) {
        self.tail.reserve(bytes);
    }

    /// Appends bytes without copying them.
    pub fn share(&mut self, bytes: Bytes) {
        let mut before = std::mem::take(&mut self.tail);
        if self.gone < before.len() {
            before.drain(..self.gone);
            self.pieces.push_back(Bytes::from(before));
        }
        self.gone = 0;
        self.pieces.push_back(bytes);
    }

    /// Appends all of `other`, whose large values stay shared.
    pub fn append(&mut self, other: &Self) {
        for piece in &other.pieces {
            if piece.len() < crate::arg::SHARED_FROM {
                self.copy(piece);
            } else {
                self.share(piece.clone());
            }
        }
        self.copy(&other.tail[other.gone..]);
    }

    /// Takes out the bytes of `ranges`, which are in order and apart, counted from the next byte to write.
    pub fn cut(&mut self, ranges: &[Range<usize>]) {
        let tail = Bytes::from(std::mem::take(&mut self.tail)).split_off(self.gone);
        let pieces = std::mem::take(&mut self.pieces);
        self.gone = 0;
        let (mut ranges, mut at) = (ranges.iter().peekable(), 0);
        for mut piece in pieces.into_iter().chain([tail]) {
            while !piece.is_empty() {
                while ranges.next_if(|range| range.end <= at).is_some() {}
                let (keep, until) = match ranges.peek() {
                    Some(range) if range.start <= at => (false, range.end),
                    Some(range) => (true, range.start),
                    None => (true, usize::MAX),
                };
                let part = piece.split_to(piece.len().min(until - at));
                at += part.len();
                match keep {
                    true if part.len() < crate::arg::SHARED_FROM => self.copy(&part),
                    true => self.share(part),
                    false => {}
                }
            }
        }
    }

    /// How many bytes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum::<usize>() + self.tail.len() - self.gone
    }

    /// Whether nothing waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tail.len() == self.gone && self.pieces.is_empty()
    }

    /// The next bytes to write where they lie in one piece, as they nearly always do.
    #[inline]
    #[must_use]
    pub fn single(&self) -> Option<&[u8]> {
        self.pieces.is_empty().then(|| &self.tail[self.gone..])
    }

    /// Fills `slices` with the next bytes to write, for a vectored write; says how many it filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = &self.tail[self.gone..];
        let all = self.pieces.iter().map(|piece| &piece[..]).chain((!tail.is_empty()).then_some(tail));
        slices.iter_mut().zip(all).map(|(slot, bytes)| *slot = IoSlice::new(bytes)).count()
    }

    /// Takes note that the next `n` bytes are written.
    #[inline]
    pub fn advance(&mut self, mut n: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            if n < piece.len() {
                return piece.advance(n);
            }
            n -= piece.len();
            self.pieces.pop_front();
        }
        self.gone += n;
        debug_assert!(self.gone <= self.tail.len(), "more written than there was");
        if self.gone == self.tail.len() {
            self.clear();
        }
    }

    /// Forgets everything that waits, and the memory of an unusually large burst.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.gone = 0;
        if self.tail.capacity() > KEPT_TAIL {
            self.tail = Vec::new();
        } else {
            self.tail.clear();
        }
    }

    /// Everything that waits, copied into one vector.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        bytes.extend_from_slice(&self.tail[self.gone..]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arg::{Arg, SHARED_FROM};

    fn set(value: Bytes) -> Args {
        let mut args = Args::new();
        ("SET", "k", value).write(&mut args);
        args
    }

    #[test]
    fn it_gives_back_what_it_was_given_however_it_is_written() {
        let large = Bytes::from(vec![b'v'; SHARED_FROM]);
        let mut whole = Outbox::default();
        whole.command(&set(Bytes::from_static(b"small")));
        whole.command(&set(large));
        whole.command(&set(Bytes::from_static(b"last")));
        let expected = whole.to_bytes();
        assert_eq!(expected.len(), whole.len());
        for step in [1, 7, 40, SHARED_FROM, usize::MAX] {
            let mut outbox = Outbox::default();
            outbox.append(&whole);
            let mut written = Vec::new();
            while !outbox.is_empty() {
                let mut slices = [IoSlice::new(&[]); 2];
                let filled = outbox.slices(&mut slices);
                let next: Vec<u8> =
                    slices[..filled].iter().flat_map(|slice| slice.to_vec()).take(step).collect();
                assert!(!next.is_empty());
                outbox.advance(next.len());
                written.extend(next);
            }
            assert!(written == expected, "in steps of {step}");
        }
    }

    #[test]
    fn what_is_cut_out_is_gone_and_the_rest_stays() {
        let mut outbox = Outbox::default();
        outbox.copy(b"?0123");
        outbox.advance(1);
        outbox.share(Bytes::from(vec![b'v'; SHARED_FROM]));
        outbox.copy(b"abcdef");
        let all = outbox.to_bytes();
        outbox.cut(&[]);
        assert_eq!(outbox.to_bytes(), all);
        let ranges = [1..2, 3..3, 3..5, all.len() - 5..all.len() - 3, all.len() - 3..all.len() - 2];
        outbox.cut(&ranges);
        let stays = |at: &usize| !ranges.iter().any(|range| range.contains(at));
        assert_eq!(outbox.to_bytes(), (0..all.len()).filter(stays).map(|at| all[at]).collect::<Vec<_>>());
        let everything = 0..outbox.len();
        outbox.cut(std::slice::from_ref(&everything));
        assert!(outbox.is_empty());
    }

    #[test]
    fn appending_in_mid_write_keeps_the_order() {
        let mut outbox = Outbox::default();
        outbox.copy(b"abc");
        outbox.advance(1);
        outbox.share(Bytes::from_static(b"DEF"));
        outbox.copy(b"g");
        assert_eq!(outbox.to_bytes(), b"bcDEFg");
        assert!(outbox.single().is_none());
        outbox.advance(5);
        assert_eq!(outbox.single(), Some(&b"g"[..]));
    }
}
