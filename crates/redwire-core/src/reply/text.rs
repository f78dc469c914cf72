//! Replies that are text or bytes.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use redwire_resp::Head;

use super::{Reader, Reply, decode_error, mismatch};
use crate::error::Result;

/// Text in which bytes that are no UTF-8 were replaced by `U+FFFD`, where `String` would fail.
#[doc(alias = "encoding_errors")]
#[doc(alias = "decode_responses")]
#[doc(alias = "encoding")]
#[doc(alias = "charset")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lossy(pub String);

impl Deref for Lossy {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// The bytes of a textual value, handed to `take` with the reader they came from; numbers as the server wrote
/// them.
#[inline]
fn text<'a, T>(
    reader: &mut Reader<'a>,
    expected: &str,
    take: impl FnOnce(&mut Reader<'a>, &'a [u8]) -> T,
) -> Result<T>
where
    T: From<Vec<u8>>,
{
    if let Some(bytes) = reader.short_bulk() {
        return Ok(take(reader, bytes));
    }
    let before = reader.cursor.remaining();
    match reader.head()? {
        Head::Bulk(bytes)
        | Head::Simple(bytes)
        | Head::Verbatim { text: bytes, .. }
        | Head::BigNumber(bytes) => Ok(take(reader, bytes)),
        Head::Integer(number) => Ok(itoa::Buffer::new().format(number).as_bytes().to_vec().into()),
        // Not spelled anew: the server's digits are those that it gives on RESP2.
        Head::Double(_) => Ok(take(reader, reader.last_line(before))),
        Head::Boolean(truth) => Ok(if truth { b"1".to_vec() } else { b"0".to_vec() }.into()),
        Head::Chunks => Ok(reader.chunks()?.into()),
        other => Err(mismatch(expected, &other)),
    }
}

impl Reply for Vec<u8> {
    const READS_ALL: bool = true;

    /// The raw bytes.
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        text(reader, "bytes", |_, bytes| bytes.to_vec())
    }
}

impl Reply for Bytes {
    const READS_ALL: bool = true;

    /// The raw bytes; large ones, and those of a list, share memory (see [`Detach`](crate::Detach)).
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        text(reader, "bytes", |reader, bytes| reader.share(bytes))
    }
}

impl Reply for String {
    const READS_ALL: bool = true;

    /// Text; bytes that are no UTF-8 are an error (see [`Lossy`]).
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Self::from_utf8(text(reader, "text", |_, bytes| bytes.to_vec())?).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            decode_error(&format!(
                "expected text in UTF-8, got other bytes from byte {at} on (Vec<u8> or Lossy would take them)"
            ))
        })
    }
}

impl Reply for Lossy {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let bytes = Vec::<u8>::decode(reader)?;
        Ok(Self(
            String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        ))
    }
}

impl Reply for Box<str> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        String::decode(reader).map(Into::into)
    }
}

impl Reply for Arc<str> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        String::decode(reader).map(Into::into)
    }
}
