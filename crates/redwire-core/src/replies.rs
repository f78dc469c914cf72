//! The replies of one request: whole frames, as they lay in the read buffer.
//!
//! Finds the n-th reply and hands it to a [`Reader`]. It must not know connections.

use std::ops::Range;

use bytes::Bytes;
use redwire_resp::{Cursor, Head, Len};

use crate::error::{Error, Outcome, Result};
use crate::reply::{Reader, Reply, decode_error, mismatch};
use crate::secret::Secret;

/// The frames that answer one request, in one piece or in several as they arrived.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    /// The piece that is read now, and the place in it where the next reply begins.
    piece: Bytes,
    at: usize,
    /// All pieces, where there are several: rare, so they do not make every reply larger.
    all: Option<Box<Pieces>>,
    count: u32,
    next: u32,
    /// The pipeline whose slots may read them; 0: any.
    pipeline: u32,
    /// Whether any of the frames may be an error: known when they are found, which saves looking for one.
    has_errors: bool,
}

#[derive(Clone, Debug)]
struct Pieces {
    list: Vec<Bytes>,
    /// Which of them is read now.
    now: usize,
    /// The commands without a reply, and why there is none; in order.
    missing: Vec<(u32, Error)>,
    /// The errors that answer what may have been executed all the same.
    doubtful: Vec<u32>,
    /// The replies of several nodes, where these are read from.
    woven: Option<Woven>,
}

/// Replies of several requests, read in the order in which they were asked for. Those to each request are
/// read one after the other, where they lie.
#[derive(Clone, Debug)]
struct Woven {
    /// For each reply the place of its source.
    order: Vec<u16>,
    sources: Vec<Replies>,
}

/// Stands in the place of a reply that is missing. Why it is missing stands beside the frames, where no
/// server can write.
const MISSING: &[u8] = b"-ERR there is no reply to this command\r\n";

impl Replies {
    /// The only reply to a request.
    #[inline]
    pub(crate) fn single(piece: Bytes, has_errors: bool) -> Self {
        Self { piece, at: 0, all: None, count: 1, next: 0, pipeline: 0, has_errors }
    }

    /// One frame that no request was owed, as a reply to be read.
    #[must_use]
    pub fn from_frame(frame: Bytes) -> Self {
        Self::single(frame, true)
    }

    pub(crate) fn push(&mut self, piece: Bytes, replies: usize, has_errors: bool) {
        // The number of replies was asked for as a u32, too.
        self.count += replies as u32;
        self.has_errors |= has_errors;
        if self.piece.is_empty() {
            self.piece = piece;
        } else {
            self.pieces().list.push(piece);
        }
    }

    /// The pieces, before any of them was read.
    fn pieces(&mut self) -> &mut Pieces {
        let first = &self.piece;
        self.all.get_or_insert_with(|| {
            let list = vec![first.clone()];
            Box::new(Pieces { list, now: 0, missing: Vec::new(), doubtful: Vec::new(), woven: None })
        })
    }

    /// The replies to commands of which each was answered by the source at its place in `order`, none of them
    /// by an error.
    pub(crate) fn woven(order: Vec<u16>, sources: Vec<Self>) -> Self {
        let mut replies = Self { count: order.len() as u32, ..Self::default() };
        replies.pieces().woven = Some(Woven { order, sources });
        replies
    }

    /// Whether any of the frames may be an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// Adds a command that has no reply, for this reason: the caller that reads its reply gets the error.
    pub(crate) fn push_missing(&mut self, error: Error) {
        let index = self.count;
        self.push(Bytes::from_static(MISSING), 1, true);
        self.pieces().missing.push((index, error));
    }

    /// Why command number `index` has no reply.
    fn missing(&self, index: u32) -> Option<&Error> {
        let missing = &self.all.as_ref()?.missing;
        let place = missing.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(&missing[place].1)
    }

    /// Whether any of the commands was executed, or may have been.
    pub(crate) fn may_have_been_executed(&self) -> bool {
        let executed =
            |error: &Error| matches!(error.outcome(), Outcome::MaybeExecuted | Outcome::Unreadable);
        let mut failed = 0;
        self.errors().inspect(|_| failed += 1).any(|(_, error)| executed(&error)) || failed < self.len()
    }

    /// What reply number `index` answers may have been executed, though it is an error. For before any of
    /// them was read.
    pub(crate) fn mark_doubtful(&mut self, index: u32) {
        self.pieces().doubtful.push(index);
    }

    /// The frames of all replies, in order, as they lie in the read buffer.
    pub(crate) fn each(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.frames().map(|(piece, range)| piece.slice(range))
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
        if !R::READS_ALL {
            return self.read_within();
        }
        let mut reader = Reader::new(&self.piece, self.at);
        match R::decode(&mut reader) {
            Ok(value) => {
                let end = reader.position();
                self.advance(end);
                Ok(value)
            }
            Err(error) => self.read_otherwise(error),
        }
    }

    /// What cannot be read here may lie elsewhere.
    #[cold]
    fn read_otherwise<R: Reply>(&mut self, error: Error) -> Result<R> {
        match self.is_woven() {
            true => self.read_woven(self.next),
            false => Err(self.fail(error)),
        }
    }

    /// Passes over a reply that is an error, has one in it, or cannot be read. Says what that tells about the
    /// command.
    #[cold]
    fn fail(&mut self, error: Error) -> Error {
        let doubtful = self.all.as_ref().is_some_and(|all| all.doubtful.contains(&self.next));
        let is_answer = Reader::new(&self.piece, self.at).server_error().is_none();
        // The reader stands somewhere inside its reply.
        self.advance(self.end());
        match error.outcome() {
            // An item of a list: the command was executed.
            Outcome::Rejected if is_answer => error.with_outcome(Outcome::Unreadable),
            Outcome::Rejected if doubtful => error.with_outcome(Outcome::MaybeExecuted),
            _ => error,
        }
    }

    /// As [`read`](Self::read), of a type that may read less than its reply, or would read more.
    fn read_within<R: Reply>(&mut self) -> Result<R> {
        if self.is_woven() {
            return self.read_woven(self.next);
        }
        let end = if self.count == 1 { self.piece.len() } else { self.end() };
        match R::decode(&mut Reader::within(&self.piece, self.at, end)) {
            Ok(value) => {
                self.advance(end);
                Ok(value)
            }
            Err(error) => self.read_otherwise(error),
        }
    }

    fn is_woven(&self) -> bool {
        self.all.as_ref().is_some_and(|all| all.woven.is_some())
    }

    /// As [`read_at`](Self::read_at), of replies that have several sources.
    fn read_woven<R: Reply>(&mut self, index: u32) -> Result<R> {
        match self.source(index) {
            Some(source) => source.read(),
            None => Err(decode_error("expected a reply for each command, got fewer")),
        }
    }

    /// The source that reply number `index` is the next of, if there are several. It is taken for read.
    fn source(&mut self, index: u32) -> Option<&mut Self> {
        let woven = self.all.as_mut()?.woven.as_mut()?;
        if index < self.next {
            self.next = 0;
            woven.sources.iter_mut().for_each(Self::rewind);
        }
        while self.next < index {
            let source = &mut woven.sources[usize::from(*woven.order.get(self.next as usize)?)];
            source.advance(source.end());
            self.next += 1;
        }
        let source = woven.sources.get_mut(usize::from(*woven.order.get(index as usize)?))?;
        self.next += 1;
        Some(source)
    }

    /// Where the reply that is read next ends.
    fn end(&self) -> usize {
        self.at + frame_len(&self.piece[self.at..])
    }

    /// Only slots of this pipeline may read them.
    pub(crate) fn belong_to(&mut self, pipeline: u32) {
        self.pipeline = pipeline;
    }

    /// The pipeline whose slots may read them.
    #[inline]
    pub(crate) fn pipeline(&self) -> u32 {
        self.pipeline
    }

    /// Reads reply number `index`, from 0. Going forward is cheap; going back starts again from the front.
    ///
    /// # Errors
    /// As [`read`](Self::read); or why there is no reply.
    #[inline]
    pub fn read_at<R: Reply>(&mut self, index: u32) -> Result<R> {
        if self.all.is_some() {
            if self.is_woven() {
                return self.read_woven(index);
            }
            if let Some(error) = self.missing(index) {
                return Err(error.clone());
            }
        }
        if index >= self.count {
            return Err(decode_error("expected a reply for each command, got fewer"));
        }
        self.seek(index);
        self.read()
    }

    /// Opens reply number `index`, a list: its items as replies of their own, in the same memory. `None`
    /// where it is nil.
    ///
    /// # Errors
    /// The server's error reply, or a reply that is no list.
    pub(crate) fn open_at(&mut self, index: u32) -> Result<Option<Self>> {
        if let Some(source) = self.source(index) {
            return source.open_at(source.next);
        }
        self.seek(index);
        let mut reader = Reader::new(&self.piece, self.at);
        let count = match reader.head()? {
            Head::Null => return Ok(None),
            // A list that is there whole has no more items than bytes, and the limit of those is far below
            // 2^32.
            Head::Array(Len::Known(len)) => len as u32,
            other => return Err(mismatch("a list", &other)),
        };
        let piece = self.piece.slice(reader.position()..self.end());
        // Errors among the items were not looked for when the list was found.
        Ok(Some(Self { piece, at: 0, all: None, count, next: 0, pipeline: 0, has_errors: true }))
    }

    #[inline]
    fn seek(&mut self, index: u32) {
        debug_assert!(index < self.count, "no such reply");
        if index < self.next {
            self.rewind();
        }
        while self.next < index {
            self.advance(self.end());
        }
    }

    #[inline]
    fn advance(&mut self, end: usize) {
        self.at = end;
        self.next += 1;
        if end == self.piece.len()
            && let Some(all) = &mut self.all
        {
            all.now += 1;
            self.piece = all.list.get(all.now).cloned().unwrap_or_default();
            self.at = 0;
        }
    }

    #[cold]
    fn rewind(&mut self) {
        (self.next, self.at) = (0, 0);
        if let Some(all) = &mut self.all {
            all.now = 0;
            self.piece = all.list[0].clone();
        }
    }

    /// The replies that are errors as a whole or missing, each with its number.
    pub fn errors(&self) -> impl Iterator<Item = (u32, Error)> + '_ {
        let frames = self.has_errors.then(|| self.frames()).into_iter().flatten();
        (0..).zip(frames).filter_map(|(index, (piece, range))| {
            let error = Reader::new(piece, range.start).server_error()?;
            Some((index, self.missing(index).cloned().unwrap_or(error)))
        })
    }

    /// The same replies, each but the errors as `convert` makes it of its number and frame.
    pub(crate) fn map(&self, mut convert: impl FnMut(usize, Bytes) -> Result<Bytes>) -> Result<Self> {
        let mut converted = Self::default();
        for (index, (piece, range)) in self.frames().enumerate() {
            let is_error = Reader::new(piece, range.start).server_error().is_some();
            let frame = piece.slice(range);
            match self.missing(index as u32) {
                Some(error) => converted.push_missing(error.clone()),
                None => converted.push(if is_error { frame } else { convert(index, frame)? }, 1, is_error),
            }
        }
        Ok(converted)
    }

    /// The same replies, without what the errors among them quote of `secrets`.
    #[must_use]
    pub fn without(self, secrets: &[Secret]) -> Self {
        if secrets.is_empty() || !self.has_errors {
            return self;
        }
        let mut replies = Self::default();
        for (index, (piece, range)) in self.frames().enumerate() {
            match (self.missing(index as u32), Reader::new(piece, range.start).server_error()) {
                (Some(missing), _) => replies.push_missing(missing.clone().without(secrets)),
                (None, Some(error)) => replies.push(error_frame(error.without(secrets).message()), 1, true),
                (None, None) => replies.push(piece.slice(range), 1, false),
            }
        }
        replies
    }

    /// The same replies without the first.
    pub(crate) fn without_first(&self) -> Self {
        let mut rest = Self::default();
        for (piece, range) in self.frames().skip(1) {
            rest.push(piece.slice(range), 1, self.has_errors);
        }
        rest
    }

    /// The replies of which these are the frames, one each.
    pub(crate) fn of(frames: impl IntoIterator<Item = Bytes>) -> Self {
        let mut replies = Self::default();
        frames.into_iter().for_each(|frame| replies.push(frame, 1, true));
        replies
    }

    /// The replies to commands of which each has one, or a reason why there is none.
    pub(crate) fn of_results(results: impl IntoIterator<Item = Result<Bytes>>) -> Self {
        let mut replies = Self::default();
        for result in results {
            match result {
                Ok(frame) => replies.push(frame, 1, true),
                Err(error) => replies.push_missing(error),
            }
        }
        replies
    }

    /// Where each reply lies.
    fn frames(&self) -> impl Iterator<Item = (&Bytes, Range<usize>)> {
        let pieces = self.all.as_ref().map_or_else(|| std::slice::from_ref(&self.piece), |all| &all.list);
        let woven = self.all.as_ref().and_then(|all| all.woven.as_ref());
        let elsewhere = woven.map(Woven::frames).into_iter().flatten();
        let here = pieces.iter().flat_map(|piece| {
            let mut at = 0;
            std::iter::from_fn(move || {
                let start = at;
                at += frame_len(piece.get(at..).filter(|rest| !rest.is_empty())?);
                Some((piece, start..at))
            })
        });
        here.chain(elsewhere)
    }
}

impl Woven {
    /// Where each reply lies.
    fn frames(&self) -> Vec<(&Bytes, Range<usize>)> {
        let mut sources: Vec<_> =
            self.sources.iter().map(|source| source.frames().collect::<Vec<_>>().into_iter()).collect();
        self.order.iter().filter_map(|source| sources[usize::from(*source)].next()).collect()
    }
}

/// The frame of an error of one line.
pub(crate) fn error_frame(line: &str) -> Bytes {
    Bytes::from(format!("-{}\r\n", line.replace(['\r', '\n'], " ")))
}

/// The length of the frame at the front. The frames were found whole, so there is one.
pub(crate) fn frame_len(bytes: &[u8]) -> usize {
    let mut cursor = Cursor::new(bytes);
    match cursor.skip() {
        Ok(()) => cursor.position(),
        Err(_) => bytes.len(),
    }
}

#[cfg(test)]
mod tests;
