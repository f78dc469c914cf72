//! Where frames end, in bytes that arrive in pieces. Checks structure (types, lengths, line ends, nesting)
//! and limits; it must not know what the values mean, nor keep any of the bytes.

use crate::error::{ProtocolError, ProtocolErrorKind};
use crate::lex::{self, Length};
use crate::limits::Limits;

/// What a finder needs when it has understood nothing: once it has, it needs more than that.
const FRESH: usize = 1;

/// Finds where frames end.
///
/// A frame is one value with the attributes before it and everything nested in it. The caller keeps the bytes
/// and shows all of a frame's again on each call; the finder remembers how far it understood them. It uses no
/// recursion and allocates nothing but one entry per open aggregate.
///
/// A push inside another value is taken for one of its elements: `SUBSCRIBE` in a transaction is answered so.
///
/// ```
/// use redwire_resp::{Finder, Limits};
///
/// let mut finder = Finder::new(Limits::default());
/// assert_eq!(finder.find(b"$10\r\nhello")?, None);
/// assert_eq!(finder.missing(), 7);
/// let error = finder.find(b"$10\r\nhello there\r\n").unwrap_err();
/// assert_eq!(error.to_string(), r#"expected CRLF after the body, came "e\r\n""#);
/// # Ok::<(), redwire_resp::ProtocolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Finder {
    limits: Limits,
    /// All before it is understood: it is at a head, or where the CRLF of a body must be.
    pos: usize,
    /// Whether `pos` is at the CRLF of a body.
    in_body: bool,
    /// Bytes of the line at `pos` known to hold no line end.
    searched: usize,
    /// Length of the buffer at the last call.
    seen: usize,
    /// Length of the buffer below which there is nothing to do.
    need: usize,
    /// Whether the frame is a push.
    push: bool,
    /// Whether an attribute has just ended, so that a value must follow.
    attributed: bool,
    /// The open aggregates, and last perhaps a streamed string.
    open: Vec<Level>,
}

/// A whole frame, at the start of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Bytes in the frame.
    pub len: usize,
    /// Whether it is a push (`>`), which answers no request.
    pub push: bool,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    kind: LevelKind,
    /// Values still to come; values, or bytes in chunks, still allowed if streamed.
    left: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum LevelKind {
    Counted,
    Attribute,
    Streamed,
    StreamedMap,
    Chunks,
}

impl Finder {
    /// A finder at the start of a frame.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits: limits.clamped(),
            pos: 0,
            in_body: false,
            searched: 0,
            seen: 0,
            need: FRESH,
            push: false,
            attributed: false,
            open: Vec::new(),
        }
    }

    /// Looks for the end of the frame that begins at `buf[0]`.
    ///
    /// `buf` holds everything received since that byte: between calls the caller only appends to it, until
    /// the frame is found. `None` means that it is incomplete. Once found, the finder is ready for the next
    /// frame, whose first byte is `buf[found.len]`.
    ///
    /// # Errors
    ///
    /// The bytes are not RESP or exceed the limits. There is no way to go on in the same stream; called
    /// again, the finder fails again, until [`reset`](Self::reset).
    #[inline]
    pub fn find(&mut self, buf: &[u8]) -> Result<Option<Found>, ProtocolError> {
        // Most frames are one short value: not worth the finder's state.
        if self.need == FRESH
            && let Some(len) = short_frame(buf, self.limits)
        {
            return Ok(Some(Found { len, push: false }));
        }
        self.find_any(buf)
    }

    #[inline(never)]
    fn find_any(&mut self, buf: &[u8]) -> Result<Option<Found>, ProtocolError> {
        // Bytes beyond the limit are not looked at, so that the same is wrong with them however they arrive.
        let most = self.limits.frame_len as usize;
        let buf = &buf[..buf.len().min(most)];
        self.seen = buf.len();
        while self.seen >= self.need {
            match self.step(buf) {
                Ok(false) => {}
                Ok(true) => return Ok(Some(self.finish())),
                Err(kind) => {
                    self.need = self.seen;
                    return Err(ProtocolError::new(kind, &buf[self.pos..]));
                }
            }
        }
        if self.need > most {
            return Err(ProtocolError::new(ProtocolErrorKind::FrameLimit, buf));
        }
        Ok(None)
    }

    /// After `Ok(None)`, the least number of further bytes with which [`find`](Self::find) can do more.
    /// Inside a bulk string it is exact: the rest of the body and its CRLF.
    pub fn missing(&self) -> usize {
        self.need.saturating_sub(self.seen)
    }

    /// After `Ok(None)`, whether the frame is a push, as far as it tells already.
    pub fn is_push(&self) -> bool {
        self.push
    }

    /// Forgets an unfinished frame or an error: the next call begins a frame.
    pub fn reset(&mut self) {
        self.open.clear();
        self.in_body = false;
        self.finish();
    }

    fn finish(&mut self) -> Found {
        let found = Found { len: self.pos, push: self.push };
        self.pos = 0;
        self.searched = 0;
        self.need = FRESH;
        self.push = false;
        self.attributed = false;
        found
    }

    /// Understands one more head, one more body, or a run of bulks; says whether the frame is whole.
    #[inline]
    fn step(&mut self, buf: &[u8]) -> Result<bool, ProtocolErrorKind> {
        let rest = &buf[self.pos..];
        if self.in_body {
            return self.body_end(rest);
        }
        let Some(&kind) = rest.first() else { return self.incomplete() };
        if let Some(level) = self.open.last_mut() {
            level.admit(kind, self.attributed)?;
            if kind == b'$' && level.left > 1 {
                let run = bulks(rest, level.left - 1, self.limits.bulk_len);
                if run.count > 0 {
                    self.attributed = false;
                    level.left -= run.count;
                    self.pos += run.len;
                    return Ok(false);
                }
            }
        }
        self.attributed = false;
        match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => self.line(rest),
            b'$' | b'!' | b'=' => self.bulk(rest),
            b'*' | b'~' | b'%' | b'>' | b'|' => self.aggregate(rest, kind),
            b';' if !self.open.is_empty() => self.chunk(rest),
            b'.' if !self.open.is_empty() => self.end(rest),
            _ => Err(ProtocolErrorKind::Type),
        }
    }

    #[inline]
    fn line(&mut self, rest: &[u8]) -> Result<bool, ProtocolErrorKind> {
        let Some(end) = lex::line_end(rest, self.searched.max(1), self.limits.line_len as usize)? else {
            // A CR that came last is looked at again, with what follows it.
            self.searched = rest.len() - usize::from(rest.ends_with(b"\r"));
            return self.incomplete();
        };
        self.searched = 0;
        self.pos += end + 2;
        Ok(self.value_ended())
    }

    #[inline]
    fn bulk(&mut self, rest: &[u8]) -> Result<bool, ProtocolErrorKind> {
        match lex::length(rest)? {
            None => self.incomplete(),
            Some((Length::Known(len), _)) if len > self.limits.bulk_len => Err(ProtocolErrorKind::BulkLimit),
            Some((Length::Known(len), head)) => self.body(rest, head, len),
            Some((Length::Null, head)) => {
                self.pos += head;
                Ok(self.value_ended())
            }
            Some((Length::Streamed, head)) => {
                self.pos += head;
                self.open.push(Level { kind: LevelKind::Chunks, left: self.limits.bulk_len });
                Ok(false)
            }
        }
    }

    fn chunk(&mut self, rest: &[u8]) -> Result<bool, ProtocolErrorKind> {
        let Some((length, head)) = lex::length(rest)? else { return self.incomplete() };
        match (length, self.open.last_mut()) {
            (Length::Known(0), _) => {
                self.open.pop();
                self.pos += head;
                Ok(self.value_ended())
            }
            (Length::Known(len), Some(string)) => {
                string.left = string.left.checked_sub(len).ok_or(ProtocolErrorKind::BulkLimit)?;
                self.body(rest, head, len)
            }
            _ => Err(ProtocolErrorKind::Length),
        }
    }

    /// `rest` begins with a head of `head` bytes, which a body of `len` follows; `len` is within the limit.
    #[inline]
    fn body(&mut self, rest: &[u8], head: usize, len: u64) -> Result<bool, ProtocolErrorKind> {
        let to_end = head + len as usize;
        self.pos += to_end;
        self.in_body = true;
        self.need = self.pos + 2;
        if self.seen < self.need { Ok(false) } else { self.body_end(&rest[to_end..]) }
    }

    #[inline]
    fn body_end(&mut self, rest: &[u8]) -> Result<bool, ProtocolErrorKind> {
        if !rest.starts_with(b"\r\n") {
            return Err(ProtocolErrorKind::BodyEnd);
        }
        self.in_body = false;
        self.pos += 2;
        Ok(self.value_ended())
    }

    fn aggregate(&mut self, rest: &[u8], kind: u8) -> Result<bool, ProtocolErrorKind> {
        let Some((length, head)) = lex::length(rest)? else { return self.incomplete() };
        if length == Length::Null {
            self.pos += head;
            return Ok(self.value_ended());
        }
        if self.open.len() >= usize::from(self.limits.depth) {
            return Err(ProtocolErrorKind::DepthLimit);
        }
        let (len, level) = match (length, kind) {
            (Length::Known(len), b'|') => (len, LevelKind::Attribute),
            (Length::Known(len), _) => (len, LevelKind::Counted),
            (_, b'%') => (self.limits.elements, LevelKind::StreamedMap),
            _ => (self.limits.elements, LevelKind::Streamed),
        };
        if len > self.limits.elements {
            return Err(ProtocolErrorKind::ElementLimit);
        }
        self.push |= kind == b'>' && self.open.is_empty();
        self.pos += head;
        let left = if matches!(kind, b'%' | b'|') { len * 2 } else { len };
        match (length, level) {
            (Length::Known(0), LevelKind::Attribute) => self.attributed = true,
            (Length::Known(0), _) => return Ok(self.value_ended()),
            _ => self.open.push(Level { kind: level, left }),
        }
        Ok(false)
    }

    /// The `.` that ends a streamed aggregate.
    fn end(&mut self, rest: &[u8]) -> Result<bool, ProtocolErrorKind> {
        match rest {
            [_, b'\r', b'\n', ..] => {
                self.open.pop();
                self.pos += 3;
                Ok(self.value_ended())
            }
            [_] | [_, b'\r'] => self.incomplete(),
            _ => Err(ProtocolErrorKind::LineEnd),
        }
    }

    /// Counts a value that has ended, and the aggregates that end with it; says whether the frame is whole.
    #[inline]
    fn value_ended(&mut self) -> bool {
        while let Some(level) = self.open.last_mut() {
            match level.kind {
                LevelKind::Chunks => return false,
                LevelKind::Streamed | LevelKind::StreamedMap => {
                    level.left -= 1;
                    return false;
                }
                LevelKind::Counted | LevelKind::Attribute if level.left > 1 => {
                    level.left -= 1;
                    return false;
                }
                LevelKind::Counted => self.open.pop(),
                LevelKind::Attribute => {
                    self.open.pop();
                    self.attributed = true;
                    return false;
                }
            };
        }
        true
    }

    fn incomplete(&mut self) -> Result<bool, ProtocolErrorKind> {
        self.need = self.seen + 1;
        Ok(false)
    }
}

impl Level {
    /// Whether a head of this type may stand here, `attributed` or not.
    #[inline]
    fn admit(&self, kind: u8, attributed: bool) -> Result<(), ProtocolErrorKind> {
        match (self.kind, kind) {
            (LevelKind::Chunks, b';') => Ok(()),
            (LevelKind::Chunks, _) => Err(ProtocolErrorKind::Chunk),
            (_, b';') | (LevelKind::Counted | LevelKind::Attribute, b'.') => Err(ProtocolErrorKind::Type),
            (LevelKind::Counted | LevelKind::Attribute, _) => Ok(()),
            // `left` began even, and each pair takes two from it.
            (LevelKind::StreamedMap, b'.') if self.left % 2 == 1 => Err(ProtocolErrorKind::Value),
            (_, b'.') if attributed => Err(ProtocolErrorKind::Value),
            (_, b'.') => Ok(()),
            _ if self.left == 0 => Err(ProtocolErrorKind::ElementLimit),
            _ => Ok(()),
        }
    }
}

/// The length of the frame at the start of `buf`, if it is all there and one line or bulk of the short kind.
#[inline]
fn short_frame(buf: &[u8], limits: Limits) -> Option<usize> {
    let len = match buf.first()? {
        b'+' | b':' => lex::line_end(buf, 1, limits.line_len as usize).ok()?? + 2,
        b'$' => short_bulk(buf, limits.bulk_len)?,
        _ => return None,
    };
    (len as u64 <= limits.frame_len).then_some(len)
}

/// The length of the bulk at the start of `rest`, if it is of the short kind and within the limit.
#[inline]
fn short_bulk(rest: &[u8], bulk_len: u64) -> Option<usize> {
    let body = lex::short_bulk(rest).filter(|body| rest[0] == b'$' && body.len() as u64 <= bulk_len)?;
    Some(body.end + 2)
}

struct Run {
    count: u64,
    len: usize,
}

/// Steps over short bulks at the start of `rest`, `most` at most, and stops before the first value that needs
/// a closer look, for whatever reason: this loop is what large replies cost.
#[inline]
fn bulks(mut rest: &[u8], most: u64, bulk_len: u64) -> Run {
    let (mut count, whole) = (0, rest.len());
    while count < most
        && let Some(len) = short_bulk(rest, bulk_len)
    {
        rest = &rest[len..];
        count += 1;
    }
    Run { count, len: whole - rest.len() }
}

#[cfg(test)]
mod tests;
