//! Replies that are one number, one truth, or nothing of interest.

use std::borrow::Cow;

use redwire_resp::{Cursor, Head};

use super::{Items, Reader, Reply, mismatch};
use crate::error::{Error, ErrorKind, Result};

impl Reply for () {
    const READS_ALL: bool = true;

    /// Any answer that is no error.
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        match reader.head()? {
            Head::Simple(_) | Head::Integer(_) | Head::Bulk(_) | Head::Null | Head::Boolean(_) => Ok(()),
            Head::Double(_) | Head::BigNumber(_) | Head::Verbatim { .. } => Ok(()),
            Head::Chunks => reader.chunks().map(drop),
            Head::Array(len) | Head::Set(len) | Head::Push(len) => skip_items(reader, Items::new(len, 1)),
            Head::Map(len) => skip_items(reader, Items::new(len, 2)),
            other @ (Head::Chunk(_) | Head::End | Head::Error(_)) => Err(mismatch("a value", &other)),
        }
    }
}

fn skip_items(reader: &mut Reader<'_>, mut items: Items) -> Result<()> {
    while items.more(reader)? {
        items.take(1, reader)?;
        reader.skip()?;
    }
    Ok(())
}

impl Reply for bool {
    const READS_ALL: Self = true;

    /// 1 and 0, true and false (in any case), `OK`; nil is false (`SET … NX` that did not set).
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let scalar = Scalar::read(reader)?;
        match &scalar {
            Scalar::Other(Head::Null) => Ok(false),
            Scalar::Text(text, _) if **text == *b"OK" => Ok(true),
            _ => {
                scalar.truth().ok_or_else(|| scalar.mismatch("a truth value (0, 1, true, false, OK or nil)"))
            }
        }
    }
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Reply for $int {
            const READS_ALL: bool = true;

            /// An integer, or a number without a fraction, whatever its form; a truth value is 1 or 0.
            #[inline]
            fn decode(reader: &mut Reader<'_>) -> Result<Self> {
                let start = reader.cursor.clone();
                let number = match reader.head()? {
                    Head::Integer(number) => <$int>::try_from(number).ok(),
                    Head::Bulk(text) | Head::Simple(text) => {
                        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok())
                    }
                    _ => None,
                };
                match number {
                    Some(number) => Ok(number),
                    None => whole(reader, start, concat!("an integer that fits ", stringify!($int))),
                }
            }
        }
    )*};
}
integers!(i8, i16, u16, i32, u32, i64, u64, i128, u128, isize, usize);

/// An integer in one of its rarer forms: the value begins at `start`.
#[cold]
fn whole<'a, T>(reader: &mut Reader<'a>, start: Cursor<'a>, expected: &str) -> Result<T>
where
    T: TryFrom<u128> + TryFrom<i128>,
{
    reader.cursor = start;
    let scalar = Scalar::read(reader)?;
    let number = match &scalar {
        Scalar::Text(text, _) => match decimal(text) {
            Some((false, number)) => T::try_from(number).ok(),
            Some((true, number)) => {
                0_i128.checked_sub_unsigned(number).and_then(|number| T::try_from(number).ok())
            }
            None => None,
        },
        Scalar::Boolean(truth) => T::try_from(u128::from(*truth)).ok(),
        Scalar::Integer(_) | Scalar::Other(_) => None,
    };
    number.ok_or_else(|| scalar.mismatch(expected))
}

/// The sign and the digits of a decimal number that has no fraction: `-12`, `3.0`, `1.5e3`. By its digits,
/// since a double beside it would be another number from 2^53 on.
fn decimal(text: &[u8]) -> Option<(bool, u128)> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = [before, after].concat();
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let mut zeros = exponent.checked_sub(i32::try_from(after.len()).ok()?)?;
    while zeros < 0 && digits.ends_with('0') {
        digits.pop();
        zeros += 1;
    }
    if digits.bytes().all(|digit| digit == b'0') {
        return Some((negative, 0));
    }
    let scale = 10_u128.checked_pow(u32::try_from(zeros).ok()?)?;
    Some((negative, digits.parse::<u128>().ok()?.checked_mul(scale)?))
}

impl Reply for f64 {
    const READS_ALL: bool = true;

    /// A number in any form (`inf` and `nan` included); a truth value is 1 or 0.
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let scalar = Scalar::read(reader)?;
        let number = match &scalar {
            // Beyond 2^53 the nearest double is what every client of Redis makes of it.
            Scalar::Integer(number) => Some(*number as Self),
            Scalar::Text(text, _) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
            Scalar::Boolean(truth) => Some(Self::from(u8::from(*truth))),
            Scalar::Other(_) => None,
        };
        number.ok_or_else(|| scalar.mismatch("a number"))
    }
}

impl Reply for f32 {
    const READS_ALL: bool = true;

    /// As `f64`, rounded to the nearest `f32`.
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        f64::decode(reader).map(|number| number as Self)
    }
}

/// A value that is no list, as both protocols have it: what RESP3 has types for may be text.
pub(super) enum Scalar<'a> {
    Integer(i64),
    Boolean(bool),
    /// Text, a double, a big number: as the server wrote it, and what it was.
    Text(Cow<'a, [u8]>, Head<'a>),
    /// Nil, or no scalar.
    Other(Head<'a>),
}

impl<'a> Scalar<'a> {
    #[inline]
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self> {
        let before = reader.cursor.remaining();
        let head = reader.head()?;
        let text = match head {
            Head::Integer(number) => return Ok(Self::Integer(number)),
            Head::Boolean(truth) => return Ok(Self::Boolean(truth)),
            Head::Bulk(text) | Head::Simple(text) | Head::BigNumber(text) | Head::Verbatim { text, .. } => {
                Cow::Borrowed(text)
            }
            Head::Double(_) => Cow::Borrowed(reader.last_line(before)),
            Head::Chunks => Cow::Owned(reader.chunks()?),
            other => return Ok(Self::Other(other)),
        };
        Ok(Self::Text(text, head))
    }

    /// 1 and 0, true and false.
    pub(super) fn truth(&self) -> Option<bool> {
        match self {
            Self::Boolean(truth) => Some(*truth),
            Self::Integer(number @ (0 | 1)) => Some(*number == 1),
            Self::Text(text, _) => match &**text {
                b"1" => Some(true),
                b"0" => Some(false),
                text if text.eq_ignore_ascii_case(b"true") => Some(true),
                text if text.eq_ignore_ascii_case(b"false") => Some(false),
                _ => None,
            },
            Self::Integer(_) | Self::Other(_) => None,
        }
    }

    #[cold]
    pub(super) fn mismatch(&self, expected: &str) -> Error {
        match self {
            Self::Integer(number) => mismatch(expected, &Head::Integer(*number)),
            Self::Boolean(truth) => mismatch(expected, &Head::Boolean(*truth)),
            Self::Text(text, Head::Chunks) => mismatch(expected, &Head::Bulk(text)),
            Self::Text(_, head) | Self::Other(head) => mismatch(expected, head),
        }
    }
}

impl<T: Reply> Reply for Option<T> {
    const READS_ALL: bool = T::READS_ALL;

    /// `None` for nil, and for an empty list that a `T` cannot be made of.
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        if reader.is_null()? {
            reader.head()?;
            return Ok(None);
        }
        if reader.may_be_list() {
            return some_list(reader, T::decode);
        }
        T::decode(reader).map(Some)
    }

    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        if reader.is_null()? {
            items.take(1, reader)?;
            reader.head()?;
            return Ok(None);
        }
        if reader.may_be_list() {
            let before = *items;
            let value = some_list(reader, |reader| T::decode_item(reader, items));
            if let Ok(None) = value {
                *items = before;
                items.take(1, reader)?;
            }
            return value;
        }
        T::decode_item(reader, items).map(Some)
    }
}

/// What `read` makes of a list; `None` where it cannot be made of an empty one.
fn some_list<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T>,
) -> Result<Option<T>> {
    let start = reader.cursor.clone();
    match read(reader) {
        // A struct without its fields is for `Struct` to tell of.
        Err(error) if error.kind() == ErrorKind::Decode && !error.message().ends_with(NO_FIELDS) => {
            let behind = std::mem::replace(&mut reader.cursor, start);
            if reader.skip_empty()? {
                return Ok(None);
            }
            reader.cursor = behind;
            Err(error)
        }
        value => value.map(Some),
    }
}

/// How the message ends that a struct had no field to be made of.
pub(super) const NO_FIELDS: &str = "got no fields at all, as from a key that does not exist";

impl<T: Reply> Reply for Result<T, Error> {
    const READS_ALL: bool = T::READS_ALL;

    /// An error in the place of a value: the server's, or that of a value that is no `T`.
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let start = reader.cursor.clone();
        T::decode(reader).map(Ok).or_else(|error| {
            reader.pass(&start, &error)?;
            Ok(Err(error))
        })
    }

    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        if let Head::Error(line) = reader.peek()? {
            items.take(1, reader)?;
            reader.skip()?;
            return Ok(Err(Error::from_server(line)));
        }
        let (start, before) = (reader.cursor.clone(), *items);
        T::decode_item(reader, items).map(Ok).or_else(|error| {
            reader.pass_item(start, before, items, &error)?;
            Ok(Err(error))
        })
    }
}

impl<T: Reply> Reply for Box<T> {
    const READS_ALL: bool = T::READS_ALL;

    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        T::decode(reader).map(Self::new)
    }

    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        T::decode_item(reader, items).map(Self::new)
    }

    fn decode_present(reader: &mut Reader<'_>, items: &mut Items) -> Result<Option<Self>> {
        Ok(T::decode_present(reader, items)?.map(Self::new))
    }
}
