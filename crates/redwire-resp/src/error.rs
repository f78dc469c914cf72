//! How bytes can fail to be RESP: what was expected and what came instead. Knows nothing of who reads it.

use std::error::Error;
use std::fmt;

/// Most bytes of the offending input an error keeps.
const SHOWN: usize = 32;

/// The bytes are not RESP, or exceed the [`Limits`](crate::Limits). The stream cannot be read on after it.
///
/// One pointer wide, so that results carrying it stay small.
///
/// ```
/// use redwire_resp::{Cursor, ProtocolErrorKind};
///
/// let error = Cursor::new(b":4x\r\n").head().unwrap_err();
/// assert_eq!(error.kind(), ProtocolErrorKind::Integer);
/// assert_eq!(error.to_string(), r#"expected a 64-bit integer, came ":4x\r\n""#);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ProtocolError(Box<Detail>);

#[derive(Clone, PartialEq, Eq)]
struct Detail {
    kind: ProtocolErrorKind,
    shown: u8,
    more: bool,
    came: [u8; SHOWN],
}

/// What was expected where a [`ProtocolError`] happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolErrorKind {
    /// A byte that may begin a value at this place.
    Type,
    /// A chunk (`;`) of a streamed string.
    Chunk,
    /// A value to pair with a key, or to follow an attribute, where `.` came.
    Value,
    /// A length in 1 to 19 digits, or one of its special forms where the type has them.
    Length,
    /// CRLF at the end of a line, or neither CR nor LF inside it.
    LineEnd,
    /// CRLF after the body of a bulk.
    BodyEnd,
    /// A 64-bit integer.
    Integer,
    /// A double.
    Double,
    /// `t` or `f`.
    Boolean,
    /// An integer of any size.
    BigNumber,
    /// Nothing between `_` and its line end.
    Null,
    /// A three-byte format, a colon and a text.
    Verbatim,
    /// The rest of a value: a [`Cursor`](crate::Cursor) came to the end of its bytes.
    More,
    /// Less nesting than [`Limits::depth`](crate::Limits::depth).
    DepthLimit,
    /// Fewer bytes than [`Limits::bulk_len`](crate::Limits::bulk_len).
    BulkLimit,
    /// Fewer elements than [`Limits::elements`](crate::Limits::elements).
    ElementLimit,
    /// Fewer bytes in a line than [`Limits::line_len`](crate::Limits::line_len).
    LineLimit,
    /// Fewer bytes in all than [`Limits::frame_len`](crate::Limits::frame_len).
    FrameLimit,
}

impl ProtocolError {
    /// `rest` begins with the value that could not be read.
    #[cold]
    #[inline(never)]
    pub(crate) fn new(kind: ProtocolErrorKind, rest: &[u8]) -> Self {
        let shown = rest.len().min(SHOWN);
        let mut came = [0; SHOWN];
        came[..shown].copy_from_slice(&rest[..shown]);
        Self(Box::new(Detail { kind, shown: shown as u8, more: rest.len() > SHOWN, came }))
    }

    /// What was expected.
    pub fn kind(&self) -> ProtocolErrorKind {
        self.0.kind
    }

    /// The first bytes, 32 at most, of the value that came instead, as far as they had arrived.
    pub fn came(&self) -> &[u8] {
        &self.0.came[..usize::from(self.0.shown)]
    }

    /// Whether the bytes were well-formed so far but exceed a limit.
    pub fn is_limit(&self) -> bool {
        use ProtocolErrorKind::{BulkLimit, DepthLimit, ElementLimit, FrameLimit, LineLimit};
        matches!(self.kind(), DepthLimit | BulkLimit | ElementLimit | LineLimit | FrameLimit)
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ellipsis = if self.0.more { "…" } else { "" };
        write!(f, "expected {}, came \"{}\"{ellipsis}", self.kind(), self.came().escape_ascii())
    }
}

impl fmt::Debug for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProtocolError({self})")
    }
}

impl Error for ProtocolError {}

impl fmt::Display for ProtocolErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Type => "a value",
            Self::Chunk => "a chunk of a streamed string",
            Self::Value => "a value before the end of its aggregate",
            Self::Length => "a length",
            Self::LineEnd => "a line ended by CRLF",
            Self::BodyEnd => "CRLF after the body",
            Self::Integer => "a 64-bit integer",
            Self::Double => "a double",
            Self::Boolean => "a boolean",
            Self::BigNumber => "a big number",
            Self::Null => "a null",
            Self::Verbatim => "a verbatim string with its format",
            Self::More => "the rest of a value",
            Self::DepthLimit => "nesting within the limit",
            Self::BulkLimit => "a bulk string within the limit",
            Self::ElementLimit => "an aggregate within the limit",
            Self::LineLimit => "a line within the limit",
            Self::FrameLimit => "a frame within the limit",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_came_escaped_and_cut() {
        let error = ProtocolError::new(ProtocolErrorKind::Type, &[0xff; 40]);
        let text = error.to_string();
        assert_eq!(text, format!("expected a value, came \"{}\"…", r"\xff".repeat(32)));
        assert_eq!(error.came(), [0xff; 32]);
        assert!(!error.is_limit());
    }

    #[test]
    fn is_one_pointer_wide() {
        assert_eq!(size_of::<Result<(), ProtocolError>>(), size_of::<usize>());
    }
}
