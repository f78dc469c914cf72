//! Bytes from the server, cut into whole frames.
//!
//! Drivers append what they read; whole frames come out as slices of the same memory. This file must not
//! know which request a frame belongs to.

use bytes::{Buf, Bytes, BytesMut};
use redwire_resp::{Finder, Limits, ProtocolError};

use crate::paging;

/// The read buffer of a connection.
#[derive(Debug)]
pub struct Inbound {
    buffer: BytesMut,
    finder: Finder,
    read_size: usize,
}

/// Whole frames that arrived together.
#[derive(Debug, Default)]
pub struct Frames {
    pub(crate) bytes: Bytes,
    /// Where each frame ends in `bytes`, and whether the server pushed it unasked.
    pub(crate) ends: Vec<(usize, bool)>,
    /// Whether any of them is an error as a whole.
    pub(crate) has_errors: bool,
}

/// Less room than this is not worth a read.
const LEAST_ROOM: usize = 2 * 1024;

/// An announced length reserves at most this much, or as much again as has arrived, whichever is more: what
/// a peer merely claims must not cost memory.
const MOST_RESERVED: usize = 16 * 1024 * 1024;

/// Memory that held more than this is not used for the next replies.
const MOST_KEPT: usize = 4 * 1024 * 1024;

impl Inbound {
    /// An empty buffer that reads `read_size` bytes at a time and accepts frames within `limits`.
    #[must_use]
    pub fn new(read_size: usize, limits: Limits) -> Self {
        let read_size = read_size.max(LEAST_ROOM);
        Self { buffer: BytesMut::with_capacity(read_size), finder: Finder::new(limits), read_size }
    }

    /// The buffer to append to, with room for the next read.
    #[inline]
    pub fn spare(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < self.missing().max(LEAST_ROOM) {
            self.make_room();
        }
        &mut self.buffer
    }

    fn make_room(&mut self) {
        let missing = self.missing().min(self.buffer.len().max(MOST_RESERVED));
        if missing > self.read_size {
            // A large value: moved once, to where the kernel copies the rest of it fast.
            let mut larger = BytesMut::with_capacity(self.buffer.len() + missing + paging::STEP);
            move_on(&mut larger);
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        } else {
            self.buffer.reserve(self.read_size);
            if self.buffer.is_empty() {
                move_on(&mut self.buffer);
            }
        }
    }

    /// How many more bytes the frame that has begun needs at least; 0 where none has begun.
    #[inline]
    #[must_use]
    pub fn missing(&self) -> usize {
        if self.buffer.is_empty() { 0 } else { self.finder.missing() }
    }

    /// Whether no byte waits for the rest of its frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Moves all whole frames to `frames`, which is emptied first; says whether there were any.
    ///
    /// # Errors
    /// Bytes that no server sends, or a frame beyond the limits: the connection is of no use any more.
    #[inline]
    pub fn poll_frames(&mut self, frames: &mut Frames) -> Result<bool, ProtocolError> {
        frames.ends.clear();
        frames.bytes = Bytes::new();
        frames.has_errors = false;
        let mut start = 0;
        let mut broken = None;
        while start < self.buffer.len() {
            match self.finder.find(&self.buffer[start..]) {
                Ok(Some(found)) => {
                    frames.has_errors |= matches!(self.buffer[start], b'-' | b'!');
                    start += found.len;
                    frames.ends.push((start, found.push));
                }
                Ok(None) => break,
                // What came whole before the bad bytes is still good: it is given out first.
                Err(error) if start == 0 => return Err(error),
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        if broken.is_some() {
            self.finder.reset();
        }
        if start == 0 {
            // Even an empty slice would hold on to the memory, which then could not grow in place.
            return Ok(false);
        }
        frames.bytes = self.buffer.split_to(start).freeze();
        if start > MOST_KEPT {
            // The memory of an unusually large reply goes with it.
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        Ok(true)
    }
}

/// Moves the beginning of an empty buffer away from where a large reply would be copied to slowly.
fn move_on(buffer: &mut BytesMut) {
    if paging::is_misplaced(0, buffer.as_ptr().addr()) && buffer.capacity() > paging::STEP {
        buffer.resize(paging::STEP, 0);
        buffer.advance(paging::STEP);
    }
}

impl Frames {
    /// How many frames there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The frames one by one, without those the server pushed unasked.
    pub fn replies(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().filter_map(move |&(end, push)| {
            let frame = &self.bytes[start..end];
            start = end;
            (!push).then_some(frame)
        })
    }

    /// The frames that the server pushed unasked, one by one.
    pub fn pushes(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().filter_map(move |&(end, push)| {
            let frame = &self.bytes[start..end];
            start = end;
            push.then_some(frame)
        })
    }

    /// Takes messages as pushed, which RESP2 does not tell from replies: for a connection that asks nothing but `PING` once it has
    /// subscribed.
    pub fn mark_messages(&mut self) {
        let mut start = 0;
        for (end, push) in &mut self.ends {
            *push |= self.bytes[start..*end].starts_with(b"*3\r\n$7\r\nmessage\r\n");
            start = *end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_the_bytes_came_in() {
        let stream = b"+OK\r\n$3\r\nabc\r\n>2\r\n+a\r\n:1\r\n*0\r\n";
        for step in 1..stream.len() {
            let mut inbound = Inbound::new(64, Limits::default());
            let (mut seen, mut ends) = (Vec::new(), Vec::new());
            let mut frames = Frames::default();
            for piece in stream.chunks(step) {
                inbound.spare().extend_from_slice(piece);
                if inbound.poll_frames(&mut frames).unwrap() {
                    ends.extend(frames.ends.iter().map(|(end, push)| (seen.len() + end, *push)));
                    seen.extend_from_slice(&frames.bytes);
                }
            }
            assert_eq!(seen, stream);
            assert_eq!(ends, [(5, false), (14, false), (26, true), (30, false)]);
            assert!(inbound.is_empty());
        }
    }

    #[test]
    fn good_frames_before_bad_bytes_are_given_out_first() {
        let mut inbound = Inbound::new(64, Limits::default());
        let mut frames = Frames::default();
        inbound.spare().extend_from_slice(b":1\r\nHTTP/1.1");
        assert!(inbound.poll_frames(&mut frames).unwrap());
        assert_eq!(frames.len(), 1);
        inbound.poll_frames(&mut frames).unwrap_err();
    }

    #[test]
    fn a_claimed_length_reserves_no_more_than_the_cap() {
        let mut inbound = Inbound::new(64, Limits::default());
        inbound.spare().extend_from_slice(b"$500000000\r\n");
        assert!(!inbound.poll_frames(&mut Frames::default()).unwrap());
        assert_eq!(inbound.missing(), 500_000_002);
        assert!(inbound.spare().capacity() < 2 * MOST_RESERVED);
    }
}
