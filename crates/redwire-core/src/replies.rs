//! The replies of one request: whole frames, as they lay in the read buffer.
//!
//! Finds the n-th reply and hands it to a [`Reader`]. It must not know connections.

use bytes::Bytes;
use redwire_resp::Cursor;

use crate::error::{Error, Result};
use crate::reply::{Reader, Reply};

/// The frames that answer one request, in one piece or in several as they arrived.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    first: Bytes,
    more: Vec<Bytes>,
    count: u32,
    /// Whether any of the frames may be an error: known when they are found, which saves looking for one.
    has_errors: bool,
    /// The reply that is read next, and where it begins: the piece, and the place in the piece.
    next: u32,
    piece: usize,
    at: usize,
}

impl Replies {
    pub(crate) fn new(count: u32) -> Self {
        Self { count, ..Self::default() }
    }

    #[inline]
    pub(crate) fn push(&mut self, piece: Bytes, has_errors: bool) {
        self.has_errors |= has_errors;
        if self.first.is_empty() {
            self.first = piece;
        } else {
            self.more.push(piece);
        }
    }

    /// How many replies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Reads the only reply, or the next one.
    ///
    /// # Errors
    /// The server's error reply, or a reply that cannot be read as `R`.
    #[inline]
    pub fn read<R: Reply>(&mut self) -> Result<R> {
        let piece = if self.piece == 0 { &self.first } else { &self.more[self.piece - 1] };
        let mut reader = Reader::new(piece, self.at);
        let result = R::decode(&mut reader);
        // A reader that failed stands somewhere inside its reply; one that worked stands behind it.
        self.at = match &result {
            Ok(_) => reader.position(),
            Err(_) => self.at + frame_len(&piece[self.at..]),
        };
        self.next += 1;
        if self.at == piece.len() {
            (self.piece, self.at) = (self.piece + 1, 0);
        }
        result
    }

    /// Reads reply number `index`, from 0. Going forward is cheap; going back starts again from the front.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_at<R: Reply>(&mut self, index: u32) -> Result<R> {
        debug_assert!(index < self.count, "no such reply");
        if index < self.next {
            (self.next, self.piece, self.at) = (0, 0, 0);
        }
        while self.next < index {
            self.skip();
        }
        self.read()
    }

    fn skip(&mut self) {
        let piece = if self.piece == 0 { &self.first } else { &self.more[self.piece - 1] };
        self.at += frame_len(&piece[self.at..]);
        self.next += 1;
        if self.at == piece.len() {
            (self.piece, self.at) = (self.piece + 1, 0);
        }
    }

    /// The replies that are errors as a whole, each with its number.
    pub fn errors(&self) -> impl Iterator<Item = (u32, Error)> + '_ {
        let pieces = std::iter::once(&self.first).chain(&self.more).filter(|_| self.has_errors);
        let frames = pieces.flat_map(|piece| {
            let mut at = 0;
            std::iter::from_fn(move || {
                let start = at;
                at += frame_len(piece.get(at..).filter(|rest| !rest.is_empty())?);
                Some((piece, start))
            })
        });
        (0..).zip(frames).filter_map(|(index, (piece, start))| Some((index, Reader::new(piece, start).server_error()?)))
    }
}

/// The length of the frame at the front. The frames were found whole, so there is one.
fn frame_len(bytes: &[u8]) -> usize {
    let mut cursor = Cursor::new(bytes);
    match cursor.skip() {
        Ok(()) => cursor.position(),
        Err(_) => bytes.len(),
    }
}
