//! A reply as a tree, for callers that do not know its shape beforehand.

use bytes::Bytes;
use redwire_resp::Head;

use super::{Items, Reader, Reply};
use crate::error::{Error, Result};

/// Any reply. Types that say what they expect are faster and safer; this one takes whatever comes.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Value {
    /// Nil.
    #[default]
    Null,
    /// A status such as `OK`.
    Status(String),
    /// An integer.
    Integer(i64),
    /// A bulk string: bytes of any kind.
    Bytes(Bytes),
    /// RESP3: a double.
    Double(f64),
    /// RESP3: a truth value.
    Boolean(bool),
    /// RESP3: an integer of any size, in decimal.
    BigNumber(String),
    /// RESP3: text with its format, `txt` or `mkd`.
    Verbatim(String, String),
    /// An error inside a list.
    Error(Error),
    /// A list.
    Array(Vec<Self>),
    /// RESP3: a set, in the order it came.
    Set(Vec<Self>),
    /// RESP3: a map, in the order it came.
    Map(Vec<(Self, Self)>),
    /// RESP3: data the server pushed.
    Push(Vec<Self>),
}

/// Deeper nesting than this is refused; the finder's own limit is lower by default.
const MOST_DEPTH: usize = 256;

impl Reply for Value {
    const READS_ALL: bool = true;

    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let head = reader.head()?;
        Self::read(reader, head, MOST_DEPTH)
    }

    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        items.take(1, reader)?;
        Self::nested(reader, MOST_DEPTH)
    }
}

impl Value {
    fn read(reader: &mut Reader<'_>, head: Head<'_>, depth: usize) -> Result<Self> {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(match head {
            Head::Null => Self::Null,
            Head::Simple(text) => Self::Status(lossy(text)),
            Head::Integer(number) => Self::Integer(number),
            Head::Bulk(bytes) | Head::Chunk(bytes) => Self::Bytes(Bytes::copy_from_slice(bytes)),
            Head::Chunks => Self::Bytes(reader.chunks()?.into()),
            Head::Double(number) => Self::Double(number),
            Head::Boolean(truth) => Self::Boolean(truth),
            Head::BigNumber(digits) => Self::BigNumber(lossy(digits)),
            Head::Verbatim { format, text } => Self::Verbatim(lossy(&format), lossy(text)),
            Head::Error(line) => Self::Error(Error::from_server(line)),
            Head::Array(len) => Self::Array(Self::list(reader, Items::new(len, 1), depth)?),
            Head::Set(len) => Self::Set(Self::list(reader, Items::new(len, 1), depth)?),
            Head::Push(len) => Self::Push(Self::list(reader, Items::new(len, 1), depth)?),
            Head::Map(len) => {
                let flat = Self::list(reader, Items::new(len, 2), depth)?;
                let mut flat = flat.into_iter();
                Self::Map(std::iter::from_fn(|| Some((flat.next()?, flat.next()?))).collect())
            }
            Head::End => return Err(super::mismatch("a value", &head)),
        })
    }

    fn list(reader: &mut Reader<'_>, mut items: Items, depth: usize) -> Result<Vec<Self>> {
        let mut list = Vec::with_capacity(items.reserve(1));
        while items.more(reader)? {
            items.take(1, reader)?;
            list.push(Self::nested(reader, depth)?);
        }
        Ok(list)
    }

    /// An inner value, where a server's error is a value too.
    fn nested(reader: &mut Reader<'_>, depth: usize) -> Result<Self> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(super::decode_error(&format!(
                "expected at most {MOST_DEPTH} levels of nesting, got more"
            )));
        };
        match reader.peek()? {
            head @ Head::Error(_) => {
                reader.skip()?;
                Self::read(reader, head, depth)
            }
            _ => {
                let head = reader.head()?;
                Self::read(reader, head, depth)
            }
        }
    }

    /// The bytes of a bulk string or a status, else `None`.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Status(text) | Self::Verbatim(_, text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The text of a bulk string or a status, else `None`.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The integer, else `None`.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }
}

impl PartialEq for Value {
    /// Equal in kind and content; errors by what they print.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Status(a), Self::Status(b)) | (Self::BigNumber(a), Self::BigNumber(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Double(a), Self::Double(b)) => a == b,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Verbatim(f, a), Self::Verbatim(g, b)) => (f, a) == (g, b),
            (Self::Error(a), Self::Error(b)) => a.message() == b.message(),
            (Self::Array(a), Self::Array(b))
            | (Self::Set(a), Self::Set(b))
            | (Self::Push(a), Self::Push(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            _ => false,
        }
    }
}
