//! The values of whole frames, one head at a time. Checks scalars; it keeps no stack, so what belongs to
//! which aggregate is for the reader to count, and it must not know how the bytes arrived.

use crate::error::{ProtocolError, ProtocolErrorKind};
use crate::finder::Finder;
use crate::lex::{self, Length};
use crate::limits::Limits;
use crate::scalar;

/// Reads values one head at a time from bytes that hold whole frames.
///
/// Attributes are passed over. The head of an aggregate says how many values follow; the cursor does not
/// count them.
///
/// ```
/// use redwire_resp::{Cursor, Head, Len};
///
/// let mut cursor = Cursor::new(b"%1\r\n+ttl\r\n*2\r\n:1\r\n:2\r\n#t\r\n");
/// assert_eq!(cursor.head()?, Head::Map(Len::Known(1)));
/// assert_eq!(cursor.head()?, Head::Simple(b"ttl"));
/// cursor.skip()?;
/// assert_eq!(cursor.peek()?, Head::Boolean(true));
/// # Ok::<(), redwire_resp::ProtocolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    buf: &'a [u8],
    pos: usize,
}

/// A scalar, or the beginning of something that goes on in the heads after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Head<'a> {
    /// `+`
    Simple(&'a [u8]),
    /// `-` or `!`
    Error(&'a [u8]),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(&'a [u8]),
    /// `_`, `$-1` or `*-1`
    Null,
    /// `#`
    Boolean(bool),
    /// `,`
    Double(f64),
    /// `(`: an optional sign and digits.
    BigNumber(&'a [u8]),
    /// `=`
    Verbatim {
        /// What the text is: `txt`, `mkd`.
        format: [u8; 3],
        /// The text without its format.
        text: &'a [u8],
    },
    /// `$?`: a bulk string in [`Chunk`](Self::Chunk)s, up to an empty one.
    Chunks,
    /// `;`: a part of a streamed bulk string, the empty one being the end.
    Chunk(&'a [u8]),
    /// `*`
    Array(Len),
    /// `~`
    Set(Len),
    /// `>`
    Push(Len),
    /// `%`: the length counts pairs.
    Map(Len),
    /// `.`: the end of a streamed aggregate.
    End,
}

/// How many elements an aggregate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Len {
    /// As many as said. The number comes from the peer: in bytes that a [`Finder`] has passed the elements
    /// are all there, at three bytes or more each.
    Known(usize),
    /// As many as come before [`Head::End`].
    Streamed,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `buf`.
    #[inline]
    pub fn new(buf: &'a [u8]) -> Self {
        Self { buf, pos: 0 }
    }

    /// Reads the next head and moves past it; the elements of an aggregate come after it.
    ///
    /// # Errors
    ///
    /// The next value is malformed or not all there. The cursor stays before it, at the furthest past its
    /// attributes.
    #[inline]
    pub fn head(&mut self) -> Result<Head<'a>, ProtocolError> {
        match short_head(self.remaining()) {
            Some((head, len)) => {
                self.pos += len;
                Ok(head)
            }
            None => self.any_head(),
        }
    }

    /// Reads the next value where it is a bulk string of less than 1000 bytes, in less code than
    /// [`head`](Self::head) takes. `None` tells nothing: the cursor stays, and `head` says what is there.
    #[inline]
    pub fn short_bulk(&mut self) -> Option<&'a [u8]> {
        let rest = self.remaining();
        if *rest.first()? != b'$' {
            return None;
        }
        let body = lex::short_bulk(rest)?;
        self.pos += body.end + 2;
        Some(&rest[body])
    }

    /// Reads the next head where it is that of an array of one to nine items, in less code than
    /// [`head`](Self::head) takes. `None` tells nothing, as for [`short_bulk`](Self::short_bulk).
    #[inline]
    pub fn short_array(&mut self) -> Option<usize> {
        match *self.remaining() {
            [b'*', digit @ b'1'..=b'9', b'\r', b'\n', ..] => {
                self.pos += 4;
                Some(usize::from(digit - b'0'))
            }
            _ => None,
        }
    }

    /// Reads the next head and stays before it.
    ///
    /// # Errors
    ///
    /// As for [`head`](Self::head).
    #[inline]
    pub fn peek(&self) -> Result<Head<'a>, ProtocolError> {
        self.clone().head()
    }

    /// Moves past one whole value, with its attributes and all that is nested in it. Only structure is
    /// checked, not the texts of scalars. [`Head::Chunk`] and [`Head::End`] are no values.
    ///
    /// # Errors
    ///
    /// The value is malformed, not all there, or nested more than 255 deep. The cursor stays before it.
    pub fn skip(&mut self) -> Result<(), ProtocolError> {
        let rest = self.remaining();
        match Finder::new(Limits::WIDEST).find(rest)? {
            Some(found) => {
                self.pos += found.len;
                Ok(())
            }
            None => Err(ProtocolError::new(ProtocolErrorKind::More, rest)),
        }
    }

    /// Whether all bytes are read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pos == self.buf.len()
    }

    /// Bytes read so far.
    #[inline]
    pub fn position(&self) -> usize {
        self.pos
    }

    /// The bytes not yet read.
    #[inline]
    pub fn remaining(&self) -> &'a [u8] {
        &self.buf[self.pos..]
    }

    #[inline(never)]
    fn any_head(&mut self) -> Result<Head<'a>, ProtocolError> {
        if self.remaining().first() == Some(&b'|') {
            self.skip_attributes()?;
        }
        let rest = self.remaining();
        let (head, len) = read(rest).map_err(|kind| ProtocolError::new(kind, rest))?;
        self.pos += len;
        Ok(head)
    }

    #[cold]
    fn skip_attributes(&mut self) -> Result<(), ProtocolError> {
        while self.remaining().first() == Some(&b'|') {
            let mut ahead = self.clone();
            let (pairs, len) =
                known(self.remaining()).map_err(|kind| ProtocolError::new(kind, self.remaining()))?;
            ahead.pos += len;
            for _ in 0..pairs {
                ahead.skip()?;
                ahead.skip()?;
            }
            *self = ahead;
        }
        Ok(())
    }
}

/// The head at the start of `rest` and its bytes, if it is one of the kinds that come by the thousand and
/// nothing is unusual about it. Small, to be inlined; whatever it gives, `read` would give too.
#[inline]
fn short_head(rest: &[u8]) -> Option<(Head<'_>, usize)> {
    match rest.first()? {
        b'$' => {
            let body = lex::short_bulk(rest)?;
            Some((Head::Bulk(&rest[body.clone()]), body.end + 2))
        }
        b':' => {
            let end = lex::short_line(rest)?;
            Some((Head::Integer(scalar::integer(&rest[1..end]).ok()?), end + 2))
        }
        b'+' => {
            let end = lex::short_line(rest)?;
            Some((Head::Simple(&rest[1..end]), end + 2))
        }
        _ => None,
    }
}

/// The head at the start of `rest`, and its bytes.
fn read(rest: &[u8]) -> Result<(Head<'_>, usize), ProtocolErrorKind> {
    let Some(&kind) = rest.first() else { return Err(ProtocolErrorKind::More) };
    match kind {
        b'$' => bulk(rest),
        b':' => line(rest, |text| scalar::integer(text).map(Head::Integer)),
        b'+' => line(rest, |text| Ok(Head::Simple(text))),
        b'*' => aggregate(rest, Head::Array),
        b'%' => aggregate(rest, Head::Map),
        b'-' => line(rest, |text| Ok(Head::Error(text))),
        b'_' if rest.starts_with(b"_\r\n") => Ok((Head::Null, 3)),
        b'_' => line(rest, |_| Err(ProtocolErrorKind::Null)),
        b'#' => line(rest, |text| scalar::boolean(text).map(Head::Boolean)),
        b',' => line(rest, |text| scalar::double(text).map(Head::Double)),
        b'(' => line(rest, |text| scalar::big_number(text).map(Head::BigNumber)),
        b'!' => {
            let (text, len) = body(rest)?;
            Ok((Head::Error(text), len))
        }
        b'=' => match body(rest)? {
            (&[a, b, c, b':', ref text @ ..], len) => Ok((Head::Verbatim { format: [a, b, c], text }, len)),
            _ => Err(ProtocolErrorKind::Verbatim),
        },
        b';' if rest.starts_with(b";0\r\n") => Ok((Head::Chunk(b""), 4)),
        b';' => chunk(rest),
        b'~' => aggregate(rest, Head::Set),
        b'>' => aggregate(rest, Head::Push),
        b'.' => {
            line(rest, |text| if text.is_empty() { Ok(Head::End) } else { Err(ProtocolErrorKind::LineEnd) })
        }
        _ => Err(ProtocolErrorKind::Type),
    }
}

#[inline]
fn line<'a>(
    rest: &'a [u8],
    head: impl FnOnce(&'a [u8]) -> Result<Head<'a>, ProtocolErrorKind>,
) -> Result<(Head<'a>, usize), ProtocolErrorKind> {
    let end = lex::line_end(rest, 1, Limits::WIDEST_LINE)?.ok_or(ProtocolErrorKind::More)?;
    Ok((head(&rest[1..end])?, end + 2))
}

#[inline]
fn bulk(rest: &[u8]) -> Result<(Head<'_>, usize), ProtocolErrorKind> {
    match lex::length(rest)?.ok_or(ProtocolErrorKind::More)? {
        (Length::Known(len), head) => {
            let (text, len) = body_at(rest, head, len)?;
            Ok((Head::Bulk(text), len))
        }
        (Length::Null, head) => Ok((Head::Null, head)),
        (Length::Streamed, head) => Ok((Head::Chunks, head)),
    }
}

fn body(rest: &[u8]) -> Result<(&[u8], usize), ProtocolErrorKind> {
    let (len, head) = known(rest)?;
    body_at(rest, head, len)
}

/// A chunk without a body, whatever its zeros, has no CRLF after it either.
fn chunk(rest: &[u8]) -> Result<(Head<'_>, usize), ProtocolErrorKind> {
    match known(rest)? {
        (0, head) => Ok((Head::Chunk(b""), head)),
        (len, head) => {
            let (text, len) = body_at(rest, head, len)?;
            Ok((Head::Chunk(text), len))
        }
    }
}

#[inline]
fn body_at(rest: &[u8], head: usize, len: u64) -> Result<(&[u8], usize), ProtocolErrorKind> {
    let after = &rest[head..];
    let len = usize::try_from(len).map_err(|_| ProtocolErrorKind::More)?;
    let Some((text, after)) = after.split_at_checked(len) else { return Err(ProtocolErrorKind::More) };
    match after {
        [b'\r', b'\n', ..] => Ok((text, head + len + 2)),
        [] | [_] => Err(ProtocolErrorKind::More),
        _ => Err(ProtocolErrorKind::BodyEnd),
    }
}

#[inline]
fn aggregate(rest: &[u8], head: fn(Len) -> Head<'static>) -> Result<(Head<'_>, usize), ProtocolErrorKind> {
    match lex::length(rest)?.ok_or(ProtocolErrorKind::More)? {
        (Length::Known(len), after) => {
            let len = usize::try_from(len).map_err(|_| ProtocolErrorKind::ElementLimit)?;
            Ok((head(Len::Known(len)), after))
        }
        (Length::Streamed, after) => Ok((head(Len::Streamed), after)),
        (Length::Null, after) => Ok((Head::Null, after)),
    }
}

/// A length that has no special form here.
fn known(rest: &[u8]) -> Result<(u64, usize), ProtocolErrorKind> {
    match lex::length(rest)?.ok_or(ProtocolErrorKind::More)? {
        (Length::Known(len), after) => Ok((len, after)),
        _ => Err(ProtocolErrorKind::Length),
    }
}

#[cfg(test)]
mod tests;
