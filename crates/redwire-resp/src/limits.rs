//! What a peer may ask of memory. The one place that says the defaults; it does not know who enforces them.

/// Limits a [`Finder`](crate::Finder) applies to what a frame announces, before anyone takes memory for it.
///
/// ```
/// use redwire_resp::{Finder, Limits, ProtocolErrorKind};
///
/// let mut finder = Finder::new(Limits { bulk_len: 1024, ..Limits::default() });
/// let error = finder.find(b"$1025\r\n").unwrap_err();
/// assert_eq!(error.kind(), ProtocolErrorKind::BulkLimit);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Aggregates open at once, attributes included. Default 64; 0 refuses every aggregate.
    pub depth: u8,
    /// Bytes in one bulk string, or in all the chunks of a streamed one. Default 512 MiB, the servers' own
    /// default; too small refuses honest replies, too large lets one reply take that much memory.
    pub bulk_len: u64,
    /// Elements in one aggregate (pairs in a map). Default 2^28.
    pub elements: u64,
    /// Bytes in one line: a simple string, an error or a number, between its type byte and its CRLF. Default
    /// 16 MiB: scripts make lines of any length. A line does not say beforehand how long it will be.
    pub line_len: u64,
    /// Bytes in one frame: a value with its attributes and all that is nested in it. Default 1 GiB.
    pub frame_len: u64,
}

impl Limits {
    /// Only what arithmetic needs: for bytes that have already passed a finder.
    pub(crate) const WIDEST: Self = Self {
        depth: u8::MAX,
        bulk_len: u64::MAX,
        elements: u64::MAX,
        line_len: u64::MAX,
        frame_len: u64::MAX,
    };

    /// The same for a line.
    pub(crate) const WIDEST_LINE: usize = MOST as usize;

    /// The same limits, lowered to where sums of a position and a length cannot overflow.
    pub(crate) fn clamped(self) -> Self {
        Self {
            depth: self.depth,
            bulk_len: self.bulk_len.min(MOST),
            elements: self.elements.min(isize::MAX as u64 / 2),
            line_len: self.line_len.min(MOST),
            frame_len: self.frame_len.min(MOST),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64, bulk_len: 512 * MIB, elements: 1 << 28, line_len: 16 * MIB, frame_len: 1024 * MIB }
    }
}

const MIB: u64 = 1024 * 1024;

/// No slice is longer, whatever head comes before it.
const MOST: u64 = isize::MAX as u64 - 64;
