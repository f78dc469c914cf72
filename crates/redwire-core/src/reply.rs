//! Replies: how an answer becomes a Rust value, straight from the bytes of its frame.
//!
//! Everything that turns RESP into Rust types lives here and below. The same answer gives the same value on
//! RESP2 and RESP3, though their shapes differ: flat lists and maps, text and numbers. This file must not
//! know commands or connections.

use bytes::Bytes;
use redwire_resp::{Cursor, Head, Len};

use crate::error::{Error, ErrorKind, Outcome, Result};

mod collections;
mod encode;
mod page;
mod plain;
mod scalars;
mod shared;
#[cfg(feature = "serde")]
mod structs;
mod text;
mod tuples;
mod value;

pub use page::ScanPage;
pub use shared::Detach;
use shared::ListMemory;
#[cfg(feature = "serde")]
pub use structs::Struct;
pub use text::Lossy;
pub use value::Value;

/// A type that a reply can be read as.
///
/// Implemented for `()` (any answer that is no error), `bool`, integers, floats, `String` (strict UTF-8),
/// [`Lossy`] text, `Vec<u8>` and [`Bytes`] (raw), `Option` (nil), tuples, sequences, sets, maps and arrays of
/// all these, [`Value`] (anything), and `Result<T, Error>` (an error inside a list). With the feature
/// `serde`, [`Struct`] reads structs of your own from field-value lists.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::{Reader, Reply};
///
/// let flat = b"*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n";
/// let from_resp2 = Reader::read::<Vec<(String, i64)>>(flat)?;
/// let from_resp3 = Reader::read::<Vec<(String, i64)>>(b"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n")?;
/// assert_eq!(from_resp2, from_resp3);
/// # Ok::<(), redwire_core::Error>(())
/// ```
///
/// # One value, two protocols
/// A type that reads what one protocol says reads what the other says, as the same value: a number that came
/// as text, as an integer or as a double is an integer where it has no fraction, a float, and text in the
/// digits that the server wrote; `1`, `0`, `true` and `false` are truth values and numbers. A pair is a list
/// of its own, or two items of a flat list, also inside `Option`, `Box` and `Result` and as `[T; 2]`. Only
/// [`Value`] tells them apart. Where a server itself writes other digits on one protocol than on the other,
/// so are those given out.
///
/// # What is not there
/// `Option` is `None` for nil, and for an empty list that its type cannot be made of: `Option<(String, f64)>`
/// of `ZPOPMIN`. `Result` takes what cannot be read for an error in its place, and leaves the rest of its
/// list alone.
///
/// # Types of your own
/// They read their parts one after the other:
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::{Reader, Reply, Result};
///
/// struct Point { x: f64, y: f64 }
/// impl Reply for Point {
///     fn decode(reader: &mut Reader<'_>) -> Result<Self> {
///         let (x, y) = Reply::decode(reader)?;
///         Ok(Self { x, y })
///     }
/// }
/// // Flat, as RESP2 lists pairs, and nested, as RESP3 does.
/// let flat: Vec<Point> = Reader::read(b"*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n")?;
/// let nested: Vec<Point> = Reader::read(b"*2\r\n*2\r\n,1\r\n,2\r\n*2\r\n,3\r\n,4\r\n")?;
/// assert_eq!((flat.len(), flat[1].y), (nested.len(), nested[1].y));
/// # Ok::<(), redwire_core::Error>(())
/// ```
///
/// One that begins with a tuple, as this one, is found in a flat list by itself. One that opens its list by
/// [`Reader::items`] says in [`decode_item`](Self::decode_item) how it stands in a flat list.
///
/// What [`decode`](Self::decode) leaves of its value is passed over, also when it fails half-way: the next
/// reply of a pipeline, or the next item of a list, is read from its own beginning. And it cannot read beyond
/// its own reply.
pub trait Reply: Sized {
    /// Whether [`decode`](Self::decode), where it succeeds, has always read the whole of its value, so that
    /// the reader need not look for its end. Types of the library say so where it saves time.
    #[doc(hidden)]
    const READS_ALL: bool = false;

    /// Reads one value.
    ///
    /// # Errors
    /// The server's error, where the reply is one; else [`ErrorKind::Decode`] with what was expected and what
    /// came.
    fn decode(reader: &mut Reader<'_>) -> Result<Self>;

    /// Reads one item of a list of which `items` tells what is left. A pair takes two where the list is flat.
    ///
    /// # Errors
    /// As [`decode`](Self::decode). Even so `reader` and `items` stand behind the item, so that those after
    /// it can be read; not after an [`ErrorKind::Protocol`].
    #[inline]
    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        items.take(1, reader)?;
        let start = reader.cursor.clone();
        match Self::decode(reader) {
            Ok(value) if Self::READS_ALL => Ok(value),
            Ok(value) => {
                reader.cursor = start;
                reader.cursor.skip().map_err(malformed)?;
                Ok(value)
            }
            Err(error) => reader.decode_in_row(&start, items, error),
        }
    }

    /// As [`decode_item`](Self::decode_item), or `None` where what stands there is nothing to collections:
    /// they leave it out.
    ///
    /// # Errors
    /// As [`decode_item`](Self::decode_item).
    #[inline]
    fn decode_present(reader: &mut Reader<'_>, items: &mut Items) -> Result<Option<Self>> {
        Self::decode_item(reader, items).map(Some)
    }
}

/// Reads the values of a frame, one after the other.
#[doc(alias = "BaseParser")]
#[doc(alias = "PythonParser")]
#[doc(alias = "HiredisParser")]
#[doc(alias = "parser_class")]
#[derive(Debug)]
pub struct Reader<'a> {
    cursor: Cursor<'a>,
    /// The memory the frame lies in, for values that share it.
    owner: Option<&'a Bytes>,
    start: usize,
    row: Option<Row>,
    /// Where the list begins that was opened first, and what small values in it share.
    list: Option<usize>,
    memory: Option<ListMemory>,
}

/// A flat list, of which an item that is no list may be as many as a tuple has parts.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// Where the item begins.
    at: usize,
    /// What is left of the list, the item included; once it was `read`, what is left behind it.
    items: Items,
    read: bool,
}

/// How many items of a list are still to be read.
#[derive(Clone, Copy, Debug)]
pub struct Items {
    left: Option<usize>,
}

/// A [`Bytes`] value smaller than this does not keep a whole read buffer alive: it is copied, or shares
/// memory with the others of its list.
const SHARED_FROM: usize = 4 * 1024;

/// No list reserves more places than this on the server's word alone.
const MOST_RESERVED: usize = 1 << 20;

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(owner: &'a Bytes, start: usize) -> Self {
        Self::over(Cursor::new(&owner[start..]), Some(owner), start)
    }

    /// Reads one value from a whole frame.
    ///
    /// # Errors
    /// As [`Reply::decode`]; malformed bytes are an [`ErrorKind::Protocol`].
    pub fn read<R: Reply>(frame: &'a [u8]) -> Result<R> {
        R::decode(&mut Self::over(Cursor::new(frame), None, 0))
    }

    /// A reader of what lies between `start` and `end`.
    pub(crate) fn within(owner: &'a Bytes, start: usize, end: usize) -> Self {
        Self::over(Cursor::new(&owner[start..end]), Some(owner), start)
    }

    #[inline]
    fn over(cursor: Cursor<'a>, owner: Option<&'a Bytes>, start: usize) -> Self {
        Self { cursor, owner, start, row: None, list: None, memory: None }
    }

    /// How far the reader has come in its memory.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.start + self.cursor.position()
    }

    /// The next value's head; the items of an aggregate follow. A server's error comes as `Err`.
    ///
    /// # Errors
    /// The server's error, or malformed bytes.
    #[inline]
    #[doc(hidden)]
    pub fn head(&mut self) -> Result<Head<'a>> {
        match self.cursor.head() {
            Ok(Head::Error(line)) => Err(Error::from_server(line)),
            Ok(head) => Ok(head),
            Err(error) => Err(malformed(error)),
        }
    }

    /// The next value where it is a short bulk string: see [`Cursor::short_bulk`].
    #[inline]
    pub(crate) fn short_bulk(&mut self) -> Option<&'a [u8]> {
        self.cursor.short_bulk()
    }

    /// The next value's head, without moving on.
    ///
    /// # Errors
    /// Malformed bytes.
    #[inline]
    pub fn peek(&self) -> Result<Head<'a>> {
        self.cursor.peek().map_err(malformed)
    }

    /// Whether the next value is nil. Cheaper than [`peek`](Self::peek): it looks at no more than it must.
    ///
    /// # Errors
    /// Malformed bytes.
    #[inline]
    pub fn is_null(&self) -> Result<bool> {
        match self.cursor.remaining() {
            [b'_', ..] | [b'$' | b'*', b'-', ..] => Ok(true),
            // An attribute stands before the value.
            [b'|', ..] => Ok(matches!(self.peek()?, Head::Null)),
            _ => Ok(false),
        }
    }

    /// The line that was read last, of what began at `before`, without its type: the digits of a double as
    /// the server wrote them.
    fn last_line(&self, before: &'a [u8]) -> &'a [u8] {
        let read = before.len() - self.cursor.remaining().len();
        let line = before[..read].strip_suffix(b"\r\n").unwrap_or(&before[..read]);
        // An attribute may stand before it, on lines of its own.
        let begin = line.iter().rposition(|byte| *byte == b',').map_or(0, |comma| comma + 1);
        &line[begin..]
    }

    /// Whether the next value may be a list, or a map.
    #[inline]
    fn may_be_list(&self) -> bool {
        matches!(self.cursor.remaining(), [b'*' | b'%' | b'~' | b'>' | b'|', ..])
    }

    /// Passes over the next value if it is a list, or a map, of nothing.
    fn skip_empty(&mut self) -> Result<bool> {
        let start = self.cursor.clone();
        if let Ok(mut items) = self.items()
            && !items.more(self)?
        {
            return Ok(true);
        }
        self.cursor = start;
        Ok(false)
    }

    /// An item that began at `start` could not be read by itself. If it begins with a tuple, which may be so
    /// many items of the flat list, it is read so; else passed over, and `error` stands for it. `items` count
    /// it as one.
    #[cold]
    fn decode_in_row<R: Reply>(&mut self, start: &Cursor<'a>, items: &mut Items, error: Error) -> Result<R> {
        self.cursor = start.clone();
        if error.kind() == ErrorKind::Decode && !self.may_be_list() {
            let left = items.left.map(|left| left + 1);
            self.row = Some(Row { at: self.cursor.position(), items: Items { left }, read: false });
            let value = R::decode(self);
            if let Some(Row { items: after, read: true, .. }) = self.row.take() {
                *items = after;
                return value;
            }
        }
        self.pass(start, &error)?;
        Err(error)
    }

    /// Passes over the value that began at `start` and of which `error` came.
    ///
    /// # Errors
    /// `error`, if nothing can be read behind it.
    #[cold]
    fn pass(&mut self, start: &Cursor<'a>, error: &Error) -> Result<()> {
        if error.kind() == ErrorKind::Protocol {
            return Err(error.clone());
        }
        self.cursor = start.clone();
        self.skip()
    }

    /// Passes over the item that began at `start`, where `items` were as `before`, and of which `error` came:
    /// over as many places as were taken for it.
    ///
    /// # Errors
    /// `error`, if nothing can be read behind it.
    #[cold]
    fn pass_item(
        &mut self,
        start: Cursor<'a>,
        before: Items,
        items: &mut Items,
        error: &Error,
    ) -> Result<()> {
        if error.kind() == ErrorKind::Protocol {
            return Err(error.clone());
        }
        if let (Some(before), Some(after)) = (before.left, items.left) {
            let places = before.saturating_sub(after).max(1).min(before);
            items.left = Some(before - places);
            self.cursor = start;
            return (0..places).try_for_each(|_| self.skip());
        }
        // In a stream of items nothing is counted.
        if self.cursor.position() == start.position() { self.skip() } else { Ok(()) }
    }

    /// The flat list of which a tuple that begins here may be so many items.
    #[inline]
    fn row_here(&self) -> Option<Items> {
        let row = self.row.as_ref()?;
        (!row.read && row.at == self.cursor.position()).then_some(row.items)
    }

    /// Passes over one whole value.
    ///
    /// # Errors
    /// Malformed bytes.
    pub fn skip(&mut self) -> Result<()> {
        self.cursor.skip().map_err(malformed)
    }

    /// The next value as it came, read or not.
    pub(crate) fn frame(&mut self) -> Result<Bytes> {
        let (start, rest) = (self.cursor.position(), self.cursor.remaining());
        self.skip()?;
        let frame = &rest[..self.cursor.position() - start];
        Ok(self.owner.map_or_else(|| Bytes::copy_from_slice(frame), |owner| owner.slice_ref(frame)))
    }

    /// Opens a list: an array, a set, a push, or a map, whose keys and values count as items each.
    ///
    /// # Errors
    /// The server's error, or another kind of value.
    #[inline]
    pub fn items(&mut self) -> Result<Items> {
        if self.list.is_none() {
            self.list = Some(self.position());
        }
        match self.head()? {
            Head::Array(len) | Head::Set(len) | Head::Push(len) => Ok(Items::new(len, 1)),
            Head::Map(len) => Ok(Items::new(len, 2)),
            other => Err(mismatch("a list", &other)),
        }
    }

    /// The chunks of a streamed string, whose head was read, put together.
    pub(crate) fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut whole = Vec::new();
        loop {
            match self.head()? {
                Head::Chunk([]) => return Ok(whole),
                Head::Chunk(part) => whole.extend_from_slice(part),
                other => return Err(mismatch("a part of a streamed string", &other)),
            }
        }
    }

    /// `bytes`, which this reader gave out, as a value that may share its memory; see [`Detach`].
    #[inline]
    pub(crate) fn share(&mut self, bytes: &'a [u8]) -> Bytes {
        let Some(owner) = self.owner else { return Bytes::copy_from_slice(bytes) };
        match self.list {
            _ if bytes.len() >= SHARED_FROM => owner.slice_ref(bytes),
            Some(list) => {
                let at = bytes.as_ptr().addr() - owner.as_ptr().addr();
                let memory = self.memory.get_or_insert_with(|| ListMemory::new(owner, list));
                memory.slice(owner, at, bytes.len())
            }
            None => Bytes::copy_from_slice(bytes),
        }
    }

    /// The server's error, if the next value is one.
    pub(crate) fn server_error(&mut self) -> Option<Error> {
        match self.cursor.head() {
            Ok(Head::Error(line)) => Some(Error::from_server(line)),
            _ => None,
        }
    }
}

impl Items {
    fn new(len: Len, each: usize) -> Self {
        // The finder bounds lengths, so doubling cannot overflow; saturating says so without a proof.
        Self { left: if let Len::Known(len) = len { Some(len.saturating_mul(each)) } else { None } }
    }

    /// How many items are left, where that is known beforehand.
    #[must_use]
    pub fn left(&self) -> Option<usize> {
        self.left
    }

    /// Whether there is another item. A streamed list's end is consumed.
    ///
    /// # Errors
    /// Malformed bytes.
    #[inline]
    pub fn more(&mut self, reader: &mut Reader<'_>) -> Result<bool> {
        match self.left {
            Some(left) => Ok(left > 0),
            None if matches!(reader.peek()?, Head::End) => {
                self.left = Some(0);
                reader.head()?;
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// Takes note that `n` items are about to be read.
    ///
    /// # Errors
    /// There are fewer.
    #[inline]
    pub fn take(&mut self, n: usize, reader: &Reader<'_>) -> Result<()> {
        match &mut self.left {
            Some(left) if *left < n => Err(too_few(n, *left)),
            Some(left) => {
                *left -= n;
                Ok(())
            }
            None if matches!(reader.peek()?, Head::End) => Err(too_few(n, 0)),
            None => Ok(()),
        }
    }

    /// How many places to reserve for items that take `each` places in the list.
    pub(crate) fn reserve(&self, each: usize) -> usize {
        (self.left.unwrap_or(0) / each).min(MOST_RESERVED)
    }
}

#[cold]
fn malformed(error: redwire_resp::ProtocolError) -> Error {
    Error::new(ErrorKind::Protocol, Outcome::Unreadable, error.to_string()).with_source(error)
}

#[cold]
fn too_few(wanted: usize, left: usize) -> Error {
    decode_error(&format!("expected {wanted} more items in the list, got {left}"))
}

#[cold]
pub(crate) fn decode_error(message: &str) -> Error {
    Error::new(ErrorKind::Decode, Outcome::Unreadable, message)
}

/// What was expected, and what came, as far as it can be shown.
#[cold]
pub(crate) fn mismatch(expected: &str, got: &Head<'_>) -> Error {
    decode_error(&format!("expected {expected}, got {}", describe(got)))
}

fn describe(head: &Head<'_>) -> String {
    let shown = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        format!("{text:?}{}", if bytes.len() > 40 { " …" } else { "" })
    };
    let list = |len: &Len| match len {
        Len::Known(len) => format!("{len} items"),
        Len::Streamed => "a stream of items".to_owned(),
    };
    match head {
        Head::Simple(text) => format!("the status {}", shown(text)),
        Head::Error(text) => format!("the error {}", shown(text)),
        Head::Bulk(text) | Head::Chunk(text) | Head::Verbatim { text, .. } => {
            format!("the text {}", shown(text))
        }
        Head::Integer(number) => format!("the integer {number}"),
        Head::BigNumber(digits) => format!("the big number {}", shown(digits)),
        Head::Double(number) => format!("the double {number}"),
        Head::Boolean(truth) => format!("the boolean {truth}"),
        Head::Null => "nil (an Option would take it)".to_owned(),
        Head::Chunks => "a streamed string".to_owned(),
        Head::Array(len) => format!("an array of {}", list(len)),
        Head::Set(len) => format!("a set of {}", list(len)),
        Head::Push(len) => format!("a push of {}", list(len)),
        Head::Map(len) => format!("a map of {}", list(len)),
        Head::End => "the end of a list".to_owned(),
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod table;
