//! The two shapes every head of RESP has: a type byte with a line, and a type byte with a length. Used by the
//! finder, which may be short of bytes, and by the cursor, which may not; it keeps no state between calls.

use std::ops::Range;

use crate::error::ProtocolErrorKind;

const CR: u64 = u64::from_ne_bytes([b'\r'; 8]);
const LF: u64 = u64::from_ne_bytes([b'\n'; 8]);

/// What a length line says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Length {
    Known(u64),
    /// `-1`, on the types that have it.
    Null,
    /// `?`, on the types that have it.
    Streamed,
}

/// Reads the length line at the start of `rest`, whose first byte is the type. Gives the length and where its
/// line ends, or `None` when the line is not all there.
#[inline]
pub(crate) fn length(rest: &[u8]) -> Result<Option<(Length, usize)>, ProtocolErrorKind> {
    match rest.first_chunk().and_then(short_length) {
        Some((len, end)) => Ok(Some((Length::Known(len), end))),
        None => any_length(rest),
    }
}

/// A length line of one to three digits: nearly all of them, in code small enough to be inlined.
#[inline]
fn short_length(head: &[u8; 6]) -> Option<(u64, usize)> {
    let digit = |at: usize| u64::from(head[at].wrapping_sub(b'0'));
    match head {
        [_, b'0'..=b'9', b'\r', b'\n', _, _] => Some((digit(1), 4)),
        [_, b'0'..=b'9', b'0'..=b'9', b'\r', b'\n', _] => Some((digit(1) * 10 + digit(2), 5)),
        [_, b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'\r', b'\n'] => {
            Some((digit(1) * 100 + digit(2) * 10 + digit(3), 6))
        }
        _ => None,
    }
}

/// The body of the bulk at the start of `rest`, if it is well-formed, all there and less than 1000 bytes: two
/// bytes after it the bulk ends.
#[inline]
pub(crate) fn short_bulk(rest: &[u8]) -> Option<Range<usize>> {
    let (len, head) = short_length(rest.first_chunk()?)?;
    let end = head + len as usize;
    (rest.get(end..end + 2)? == b"\r\n").then_some(head..end)
}

#[inline(never)]
fn any_length(rest: &[u8]) -> Result<Option<(Length, usize)>, ProtocolErrorKind> {
    let mut value = 0;
    let mut at = 1;
    loop {
        let Some(&byte) = rest.get(at) else { return Ok(None) };
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        // Nineteen digits always fit; no limit is that large.
        if at > 19 {
            return Err(ProtocolErrorKind::Length);
        }
        value = value * 10 + u64::from(digit);
        at += 1;
    }
    if at == 1 {
        return special_length(rest);
    }
    match rest[at..] {
        [b'\r', b'\n', ..] => Ok(Some((Length::Known(value), at + 2))),
        [b'\r'] => Ok(None),
        [b'\r', ..] => Err(ProtocolErrorKind::LineEnd),
        _ => Err(ProtocolErrorKind::Length),
    }
}

#[cold]
fn special_length(rest: &[u8]) -> Result<Option<(Length, usize)>, ProtocolErrorKind> {
    let forms: [(&[u8], &[u8], Length); 2] =
        [(b"?\r\n", b"$*~%>", Length::Streamed), (b"-1\r\n", b"$*", Length::Null)];
    for (text, types, length) in forms {
        if !types.contains(&rest[0]) {
            continue;
        }
        if rest[1..].starts_with(text) {
            return Ok(Some((length, 1 + text.len())));
        }
        if text.starts_with(&rest[1..]) {
            return Ok(None);
        }
    }
    Err(ProtocolErrorKind::Length)
}

/// Finds the CR that ends the line at the start of `rest`, whose first byte is the type. Bytes before `from`
/// are known to hold no line end, and between the type and the CR there may be `most`. `None`: not all there,
/// and nothing but a last CR need be looked at again.
#[inline]
pub(crate) fn line_end(rest: &[u8], from: usize, most: usize) -> Result<Option<usize>, ProtocolErrorKind> {
    match rest.get(from..).and_then(short_line_end) {
        Some(ahead) => line_end_at(rest, from + ahead, most),
        None => far_line_end(rest, from, most),
    }
}

/// The CR that ends the line at the start of `rest`, if it is well-formed and within eight bytes of the type.
#[inline]
pub(crate) fn short_line(rest: &[u8]) -> Option<usize> {
    let end = 1 + short_line_end(rest.get(1..)?)?;
    (rest.get(end..end + 2)? == b"\r\n").then_some(end)
}

/// The first CR or LF within eight bytes, where statuses and integers have theirs, compared all at once
/// unless the bytes end before, as with a lone reply.
#[inline]
fn short_line_end(rest: &[u8]) -> Option<usize> {
    let Some(word) = rest.first_chunk() else {
        return rest.iter().position(|&byte| byte == b'\r' || byte == b'\n');
    };
    let word = u64::from_le_bytes(*word);
    let marks = zero_bytes(word ^ CR) | zero_bytes(word ^ LF);
    (marks != 0).then_some(marks.trailing_zeros() as usize / 8)
}

/// Marks the high bit of each byte that is zero, and perhaps of bytes above the lowest such.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(u64::from_ne_bytes([1; 8])) & !word & u64::from_ne_bytes([0x80; 8])
}

#[inline(never)]
fn far_line_end(rest: &[u8], from: usize, most: usize) -> Result<Option<usize>, ProtocolErrorKind> {
    let stop = rest.len().min(most + 2);
    let window = rest.get(from..stop).unwrap_or_default();
    if let Some(ahead) = memchr::memchr2(b'\r', b'\n', window) {
        return line_end_at(rest, from + ahead, most);
    }
    if rest.len() > most + 1 { Err(ProtocolErrorKind::LineLimit) } else { Ok(None) }
}

#[inline]
fn line_end_at(rest: &[u8], at: usize, most: usize) -> Result<Option<usize>, ProtocolErrorKind> {
    if at > most + 1 {
        return Err(ProtocolErrorKind::LineLimit);
    }
    match rest[at..] {
        [b'\r', b'\n', ..] => Ok(Some(at)),
        [b'\r'] => Ok(None),
        _ => Err(ProtocolErrorKind::LineEnd),
    }
}
