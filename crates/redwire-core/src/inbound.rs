//! Bytes from the server, cut into whole frames.
//!
//! Drivers append what they read; whole frames come out as slices of the same memory. This file must not
//! know which request a frame belongs to.

use bytes::{Buf, Bytes, BytesMut};
use redwire_resp::{Finder, Limits, ProtocolError};

use crate::error::{ConnectionFault, Error, ErrorKind, Outcome};
use crate::paging;

/// The read buffer of a connection.
#[derive(Debug)]
pub struct Inbound {
    buffer: BytesMut,
    finder: Finder,
    read_size: usize,
    /// How much the next replies are likely to take, where those before took much.
    expected: usize,
}

/// Whole frames that arrived together.
#[derive(Debug, Default)]
pub struct Frames {
    pub(crate) bytes: Bytes,
    /// Where each frame ends in `bytes`, and whether the server pushed it unasked.
    pub(crate) ends: Vec<(usize, bool)>,
    /// Whether any of them is an error as a whole.
    pub(crate) has_errors: bool,
    /// How much has come of a frame that is not whole yet.
    rest: usize,
    /// Whether that is pushed, as far as it tells already.
    rest_is_push: bool,
}

/// A frame of which so much has come is not moved without need.
const LARGE: usize = 64 * 1024;

/// Less room than this is not worth a read.
const LEAST_ROOM: usize = 2 * 1024;

/// An announced length reserves at most this much, or four times as much as has arrived, whichever is more:
/// what a peer merely claims must not cost memory.
const MOST_RESERVED: usize = 16 * 1024 * 1024;

/// With this much room, memory in which a large value grows is not made larger yet: that may copy all that
/// has arrived.
const ENOUGH_ROOM: usize = 128 * 1024;

/// So much is read of a frame that no caller waits for: a caller that gives up a large value should not cost
/// the others their connection, and a reply that never ends must not hold them up.
const MOST_UNWANTED: usize = 16 * 1024 * 1024;

/// Memory that held more than this is not used for the next replies.
const MOST_KEPT: usize = 4 * 1024 * 1024;

impl Inbound {
    /// An empty buffer that reads `read_size` bytes at a time and accepts frames within `limits`.
    #[must_use]
    pub fn new(read_size: usize, limits: Limits) -> Self {
        let read_size = read_size.max(LEAST_ROOM);
        Self {
            buffer: BytesMut::with_capacity(read_size),
            finder: Finder::new(limits),
            read_size,
            expected: 0,
        }
    }

    /// The buffer to append to, with room for the next read.
    #[inline]
    pub fn spare(&mut self) -> &mut BytesMut {
        let wanted = if self.buffer.is_empty() { self.expected } else { self.finder.missing() };
        if self.buffer.capacity() - self.buffer.len() < wanted.max(LEAST_ROOM) {
            self.make_room();
        }
        &mut self.buffer
    }

    fn make_room(&mut self) {
        let expected = std::mem::take(&mut self.expected).max(self.read_size);
        // From the front on, where the values before were dropped: what does not fit behind them would have
        // to be moved there.
        if self.buffer.is_empty()
            && (self.buffer.try_reclaim(expected) || self.buffer.capacity() >= LEAST_ROOM)
        {
            return move_on(&mut self.buffer);
        }
        let (len, capacity, missing) = (self.buffer.len(), self.buffer.capacity(), self.missing());
        // The rest of a large value has its room: no more is made, for which all of it would be moved.
        if len >= LARGE && (1..=capacity - len).contains(&missing) {
            return;
        }
        let is_growing = capacity >= MOST_RESERVED;
        if is_growing && capacity - len >= missing.clamp(1, ENOUGH_ROOM) {
            return;
        }
        let most = MOST_RESERVED.max(4 * len);
        // Up to half of it, unless all of it: a vector at least doubles when it grows, so its last step is
        // just what is asked for.
        let more =
            if missing <= most { missing } else { most.min((len + missing) / 2 - len).max(MOST_RESERVED) };
        if more > self.read_size && is_growing {
            // Large memory is not copied when it grows, but mapped anew.
            self.buffer.reserve(more);
        } else if more > self.read_size {
            // A large value: moved once, to where the kernel copies the rest of it fast.
            let mut larger = BytesMut::with_capacity(len + more + paging::STEP);
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

    /// How many bytes to read straight into [`spare`](Self::spare), where that is worth more than a read:
    /// what is missing of a large value, or more of a list of which much has come.
    #[inline]
    #[must_use]
    pub fn wanted(&self) -> usize {
        if self.buffer.len() >= LARGE { self.finder.missing().max(LARGE) } else { self.missing() }
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
        (frames.rest, frames.rest_is_push) = (self.buffer.len() - start, self.finder.is_push());
        if start == 0 {
            // Even an empty slice would hold on to the memory, which then could not grow in place.
            return Ok(false);
        }
        frames.bytes = self.buffer.split_to(start).freeze();
        self.expected = if start >= LARGE { start } else { 0 };
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

    /// Whether so much has come of a frame that is not whole yet that a caller has to want it: the code that
    /// hands out frames is to be told, even if there is no whole one.
    #[inline]
    #[must_use]
    pub fn has_large_rest(&self) -> bool {
        self.rest > MOST_UNWANTED
    }

    /// What the server pushes unasked is wanted, also a large frame of it.
    pub fn want_pushes(&mut self) {
        if self.rest_is_push {
            self.rest = 0;
        }
    }

    /// Whatever comes is wanted.
    pub fn want_all(&mut self) {
        self.rest = 0;
    }

    /// No caller waits for the frame that is not whole yet: fails where much of it has come.
    pub(crate) fn check_unwanted(&self) -> Result<(), Error> {
        if !self.has_large_rest() {
            return Ok(());
        }
        let message = format!(
            "no caller waits any more for a reply of which {} bytes have come and more follow: at most \
             {MOST_UNWANTED} are read",
            self.rest
        );
        Err(Error::new(ErrorKind::Connection(ConnectionFault::Reset), Outcome::MaybeExecuted, message))
    }

    /// Whether any reply is more than an error.
    #[cold]
    pub(crate) fn has_answer(&self) -> bool {
        self.replies().any(|frame| !matches!(frame.first(), Some(b'-' | b'!')))
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

    /// Takes messages as pushed, which RESP2 does not tell from replies: for a connection that asks nothing
    /// but `PING` once it has subscribed.
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
    fn a_large_value_is_moved_a_few_times_and_takes_no_more_memory_than_it_has() {
        const MIB: usize = 1 << 20;
        for size in [1, 15, 17, 40, 65, 81, 130].map(|mib| mib * MIB) {
            let mut inbound = Inbound::new(64 * 1024, Limits::default());
            let mut frames = Frames::default();
            let head = format!("${size}\r\n");
            inbound.spare().extend_from_slice(head.as_bytes());
            let (mut moves, mut copied, mut largest) = (0, 0, 0);
            while !inbound.poll_frames(&mut frames).unwrap() {
                let before = inbound.buffer.capacity();
                let buffer = inbound.spare();
                if buffer.capacity() != before {
                    (moves, copied) = (moves + 1, copied + buffer.len());
                }
                largest = largest.max(buffer.capacity());
                // As much as a driver reads at once; what the bytes are does not matter here.
                let read =
                    (256 * 1024).min(buffer.capacity() - buffer.len()).min(head.len() + size - buffer.len());
                buffer.resize(buffer.len() + read, b'v');
                if buffer.len() == head.len() + size {
                    buffer.extend_from_slice(b"\r\n");
                }
            }
            assert!(moves <= 4 && copied <= size, "{size}: moved {moves} times, {copied} bytes");
            // Between 16 and 32 MiB the memory doubles once.
            assert!(largest <= (size + 1024).max(33 * MIB), "{size}: {largest}");
            assert_eq!(frames.bytes.len(), head.len() + size + 2);
        }
    }

    #[test]
    fn large_values_in_an_array_are_not_moved_for_each() {
        let mut inbound = Inbound::new(64 * 1024, Limits::default());
        let mut frames = Frames::default();
        let element = [&b"$1048576\r\n"[..], &vec![b'v'; 1 << 20], b"\r\n"].concat();
        inbound.spare().extend_from_slice(b"*100\r\n");
        let (mut moves, mut left) = (0, element.len() * 100);
        while !inbound.poll_frames(&mut frames).unwrap() {
            let before = inbound.buffer.capacity();
            let buffer = inbound.spare();
            moves += usize::from(buffer.capacity() != before);
            let from = (element.len() - left % element.len()) % element.len();
            let read = (element.len() - from).min(256 * 1024).min(buffer.capacity() - buffer.len());
            buffer.extend_from_slice(&element[from..from + read]);
            left -= read;
        }
        assert!(moves < 12, "{moves}");
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
