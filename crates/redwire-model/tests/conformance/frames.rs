//! Replies as trees, read by a parser of this test's own.
//!
//! This file must not know which reply belongs to which command.

use std::fmt;

/// A frame of RESP2 or RESP3.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Frame {
    /// A line with its mark.
    Line(u8, Vec<u8>),
    /// Bytes with their mark.
    Bulk(u8, Option<Vec<u8>>),
    /// Others within, with their mark.
    Items(u8, Option<Vec<Self>>),
}

impl Frame {
    /// Takes one frame from the front, if it is there whole.
    pub(crate) fn take(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let (mark, line, mut used) = (bytes[0], &bytes[1..end], end + 2);
        let count =
            || std::str::from_utf8(line).ok().and_then(|text| text.parse::<i64>().ok()).expect("a length");
        match mark {
            b'$' | b'=' => {
                let Ok(len) = usize::try_from(count()) else { return Some((Self::Bulk(mark, None), used)) };
                let body = bytes.get(used..used + len + 2)?;
                Some((Self::Bulk(mark, Some(body[..len].to_vec())), used + len + 2))
            }
            b'*' | b'~' | b'>' | b'%' => {
                let Ok(len) = usize::try_from(count()) else { return Some((Self::Items(mark, None), used)) };
                let len = if mark == b'%' { 2 * len } else { len };
                let mut items = Vec::new();
                for _ in 0..len {
                    let (item, more) = Self::take(&bytes[used..])?;
                    items.push(item);
                    used += more;
                }
                Some((Self::Items(mark, Some(items)), used))
            }
            _ => Some((Self::Line(mark, line.to_vec()), used)),
        }
    }

    /// All frames of some bytes.
    pub(crate) fn all(mut bytes: &[u8]) -> Vec<Self> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let (frame, used) = Self::take(bytes).expect("the model sends whole frames");
            frames.push(frame);
            bytes = &bytes[used..];
        }
        frames
    }

    pub(crate) fn items(&self) -> Option<&[Self]> {
        match self {
            Self::Items(_, Some(items)) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn items_mut(&mut self) -> Option<&mut Vec<Self>> {
        match self {
            Self::Items(_, Some(items)) => Some(items),
            _ => None,
        }
    }

    /// The text of a line or of bytes.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Line(_, text) | Self::Bulk(_, Some(text)) => {
                Some(String::from_utf8_lossy(text).into_owned())
            }
            _ => None,
        }
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Self::Line(b'-', _))
    }

    pub(crate) fn number(&self) -> Option<i64> {
        self.text().and_then(|text| text.parse().ok())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(mark, text) => write!(f, "{}{}", char::from(*mark), String::from_utf8_lossy(text)),
            Self::Bulk(b'$', Some(text)) => write!(f, "{:?}", String::from_utf8_lossy(text)),
            Self::Bulk(mark, Some(text)) => {
                write!(f, "{}{:?}", char::from(*mark), String::from_utf8_lossy(text))
            }
            Self::Bulk(..) => f.write_str("$-1"),
            Self::Items(mark, None) => write!(f, "{}-1", char::from(*mark)),
            Self::Items(mark, Some(items)) => {
                write!(f, "{}", char::from(*mark))?;
                f.debug_list().entries(items).finish()
            }
        }
    }
}
