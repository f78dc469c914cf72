//! Replies that are one number, one truth, or nothing of interest.

use redwire_resp::Head;

use super::{Reader, Reply, mismatch};
use crate::error::{Error, Result};

impl Reply for () {
    /// Any answer that is no error.
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        match reader.head()? {
            Head::Simple(_) | Head::Integer(_) | Head::Bulk(_) | Head::Null | Head::Boolean(_) => Ok(()),
            Head::Double(_) | Head::BigNumber(_) | Head::Verbatim { .. } => Ok(()),
            Head::Chunks => reader.chunks().map(drop),
            Head::Array(len) | Head::Set(len) | Head::Push(len) => {
                skip_items(reader, super::Items::new(len, 1))
            }
            Head::Map(len) => skip_items(reader, super::Items::new(len, 2)),
            other @ (Head::Chunk(_) | Head::End | Head::Error(_)) => Err(mismatch("a value", &other)),
        }
    }
}

fn skip_items(reader: &mut Reader<'_>, mut items: super::Items) -> Result<()> {
    while items.more(reader)? {
        items.take(1, reader)?;
        reader.skip()?;
    }
    Ok(())
}

impl Reply for bool {
    /// 1 and 0, true and false, `OK`; nil is false (`SET … NX` that did not set).
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        match reader.head()? {
            Head::Boolean(truth) => Ok(truth),
            Head::Integer(number @ (0 | 1)) => Ok(number == 1),
            Head::Simple(b"OK") => Ok(true),
            Head::Bulk(text @ (b"0" | b"1")) => Ok(text == b"1"),
            Head::Null => Ok(false),
            other => Err(mismatch("a truth value (0, 1, true, false, OK or nil)", &other)),
        }
    }
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Reply for $int {
            /// An integer, or text that is one.
            #[inline]
            fn decode(reader: &mut Reader<'_>) -> Result<Self> {
                let head = reader.head()?;
                let number = match &head {
                    Head::Integer(number) => <$int>::try_from(*number).ok(),
                    Head::Bulk(text) | Head::Simple(text) | Head::BigNumber(text) => {
                        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok())
                    }
                    Head::Boolean(truth) => Some(<$int>::from(*truth)),
                    _ => None,
                };
                number.ok_or_else(|| mismatch(concat!("an integer that fits ", stringify!($int)), &head))
            }
        }
    )*};
}
integers!(i8, i16, u16, i32, u32, i64, u64, i128, u128, isize, usize);

impl Reply for f64 {
    /// A double, an integer, or text that is a number (`inf` and `nan` included).
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let head = reader.head()?;
        let number = match &head {
            Head::Double(number) => Some(*number),
            // Beyond 2^53 the nearest double is what every client of Redis makes of it.
            Head::Integer(number) => Some(*number as Self),
            Head::Bulk(text) | Head::Simple(text) | Head::BigNumber(text) => {
                std::str::from_utf8(text).ok().and_then(|text| text.parse().ok())
            }
            _ => None,
        };
        number.ok_or_else(|| mismatch("a number", &head))
    }
}

impl Reply for f32 {
    /// As `f64`, rounded to the nearest `f32`.
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        f64::decode(reader).map(|number| number as Self)
    }
}

impl<T: Reply> Reply for Option<T> {
    /// `None` for nil.
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        if reader.is_null()? {
            reader.head()?;
            return Ok(None);
        }
        T::decode(reader).map(Some)
    }
}

impl<T: Reply> Reply for Result<T, Error> {
    /// A server's error inside a list is a value of its own; what cannot be read still fails the whole.
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        match reader.peek()? {
            Head::Error(line) => {
                let error = Error::from_server(line);
                reader.skip()?;
                Ok(Err(error))
            }
            _ => T::decode(reader).map(Ok),
        }
    }
}

impl<T: Reply> Reply for Box<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        T::decode(reader).map(Self::new)
    }
}
