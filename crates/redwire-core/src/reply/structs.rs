//! Replies that are structs of the user's own, by serde, straight from the bytes of the frame.
//!
//! The same answer gives the same struct whether it came as a RESP2 list of fields and values or as a RESP3
//! map. How scalars are spelled is for the other replies to know: this file asks them. It must not know
//! commands.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use redwire_resp::{Head, Len};
use serde::Deserializer;
use serde::de::{DeserializeOwned, IntoDeserializer, Visitor};

use self::access::{Fields, List, visit_bytes};
use self::fault::StructFault;
use super::scalars::Scalar;
use super::{Items, Reader, Reply, decode_error, mismatch};
use crate::error::{ErrorKind, Result};

mod access;
mod fault;

/// A type of your own that implements serde's `Deserialize`, read from a reply.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::{Reader, Struct};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, Debug, PartialEq)]
/// struct User {
///     name: String,
///     age: u8,
///     #[serde(default)]
///     admin: bool,
///     email: Option<String>,
/// }
///
/// let resp2 = b"*4\r\n$4\r\nname\r\n$3\r\nann\r\n$3\r\nage\r\n$2\r\n42\r\n";
/// let resp3 = b"%2\r\n$4\r\nname\r\n$3\r\nann\r\n$3\r\nage\r\n$2\r\n42\r\n";
/// let Struct(user): Struct<User> = Reader::read(resp2)?;
/// assert_eq!(user, User { name: "ann".into(), age: 42, admin: false, email: None });
/// assert_eq!(user, Reader::read::<Struct<User>>(resp3)?.into_inner());
/// # Ok::<(), redwire_core::Error>(())
/// ```
///
/// # What reads as what
/// - Structs and maps: a map, a list of fields and values in turn, or a list of such pairs. Unknown fields
///   are passed over, whatever they hold; a missing one needs `Option` or `#[serde(default)]`.
/// - Sequences, sets and tuples: any list. In a list, a tuple may also be so many items in a row.
/// - Numbers, and `bool` (`1`, `0`, `true`, `false`): RESP's own, or text that is one; what is whole is an
///   integer.
/// - `String` and `char`: text, strictly UTF-8. `Vec<u8>`, `[u8; N]` and byte buffers: the raw bytes.
/// - Enums: a unit variant is its name; one that holds something is a map, or a list, of its name and that.
/// - `Option`: `None` for nil, and for an empty list that its type cannot be made of (a tuple).
///
/// `#[serde(flatten)]`, `untagged` and `tag` take a value before they know its type, so numbers that came as
/// text stay text there: read them as `String` or through `deserialize_with`. A `tag` needs a RESP3 map.
///
/// # A key that does not exist
/// `HGETALL` of a missing key answers with an empty map, not with nil. So a struct fails for want of its
/// fields, and `Option<Struct<T>>`, which is `None` for nil, fails with it. Put the `Option` inside:
/// `Struct<Option<T>>` is `None` for nil and for an empty map or list. An `Option` deeper inside takes an
/// empty map for a map.
///
/// ```
/// # use redwire_core::{Reader, Struct};
/// # #[derive(serde::Deserialize, Debug, PartialEq)]
/// # struct User { name: String }
/// let missing: Struct<Option<User>> = Reader::read(b"%0\r\n")?;
/// assert_eq!(*missing, None);
///
/// let error = Reader::read::<Struct<User>>(b"%0\r\n").unwrap_err();
/// assert!(error.message().starts_with("missing field `name`"));
/// # Ok::<(), redwire_core::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Decode`], telling the way to the field: ``at `users[3].age`: expected …``. An error of the
/// server where a value was wanted fails the whole, and comes as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Struct<T>(pub T);

/// Deeper nesting than this is refused. Frames from a connection are flatter by default.
const MOST_DEPTH: usize = 128;

impl<T> Struct<T> {
    /// The value itself.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Struct<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Struct<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: DeserializeOwned> Reply for Struct<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        read(reader, None).map(Self)
    }

    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        let (start, before) = (reader.cursor.clone(), *items);
        items.take(1, reader)?;
        read(reader, Some(items)).map(Self).or_else(|error| {
            reader.pass_item(start, before, items, &error)?;
            Err(error)
        })
    }
}

/// The next value; `row` is what is left of the list that it is an item of.
fn read<T: DeserializeOwned>(reader: &mut Reader<'_>, mut row: Option<&mut Items>) -> Result<T> {
    let (start, before) = (reader.cursor.clone(), row.as_deref().copied());
    let mut absent = Vec::new();
    loop {
        let next = NextValue { reader, row: row.as_deref_mut(), depth: MOST_DEPTH, absent: &absent };
        match T::deserialize(next) {
            // An option met an empty list that its type cannot be made of. Serde does not let it think better
            // of that, so all is read once more: once for each type of option at most.
            Err(fault) if fault.absent().is_some_and(|option| !absent.contains(&option)) => {
                absent.extend(fault.absent());
                reader.cursor = start.clone();
                if let (Some(row), Some(before)) = (&mut row, before) {
                    **row = before;
                }
            }
            value => return value.map_err(StructFault::into_error),
        }
    }
}

/// The next value of the frame.
struct NextValue<'r, 'de> {
    reader: &'r mut Reader<'de>,
    /// What is left of the list this value is an item of; it was itself taken from it already.
    row: Option<&'r mut Items>,
    /// How many levels of nesting are still allowed.
    depth: usize,
    /// The options that are `None` for an empty list.
    absent: &'r [&'static str],
}

impl<'r, 'de> NextValue<'r, 'de> {
    /// What `take` makes of the text that comes next; `None`, and nothing read, if it is none or `take`
    /// declines.
    fn borrow<T>(&mut self, take: impl FnOnce(&'de [u8]) -> Option<T>) -> Option<T> {
        let mut ahead = self.reader.cursor.clone();
        let taken = match ahead.head() {
            Ok(
                Head::Bulk(text) | Head::Simple(text) | Head::Verbatim { text, .. } | Head::BigNumber(text),
            ) => take(text)?,
            _ => return None,
        };
        self.reader.cursor = ahead;
        Some(taken)
    }

    fn text(&mut self) -> Result<Cow<'de, str>> {
        match self.borrow(|bytes| std::str::from_utf8(bytes).ok()) {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => String::decode(self.reader).map(Cow::Owned),
        }
    }

    fn bytes(&mut self) -> Result<Cow<'de, [u8]>> {
        match self.borrow(Some) {
            Some(bytes) => Ok(Cow::Borrowed(bytes)),
            None => Vec::decode(self.reader).map(Cow::Owned),
        }
    }

    /// Text where it is UTF-8, else bytes, for visitors that take both.
    fn text_or_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, StructFault> {
        match self.bytes()? {
            Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => visitor.visit_borrowed_str(text),
                Err(_) => visitor.visit_borrowed_bytes(bytes),
            },
            Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(text) => visitor.visit_string(text),
                Err(error) => visitor.visit_byte_buf(error.into_bytes()),
            },
        }
    }

    fn deeper(&self) -> Result<usize> {
        let too_deep = || decode_error(&format!("expected at most {MOST_DEPTH} levels of nesting, got more"));
        self.depth.checked_sub(1).ok_or_else(too_deep)
    }

    /// A list whose head was read.
    fn list<V: Visitor<'de>>(self, items: Items, visitor: V) -> Result<V::Value, StructFault> {
        let mut list = List::new(items, self.deeper()?, self.reader, self.absent);
        let value = visitor.visit_seq(&mut list)?;
        list.finish()?;
        Ok(value)
    }

    fn fields(self) -> Result<Fields<'r, 'de>> {
        let depth = self.deeper()?;
        match self.reader.head()? {
            Head::Map(len) => Ok(Fields::new(Items::new(len, 2), false, depth, self.reader, self.absent)),
            Head::Array(len) | Head::Set(len) | Head::Push(len) => {
                Ok(Fields::new(Items::new(len, 1), true, depth, self.reader, self.absent))
            }
            other => Err(mismatch("a map, or a list of fields and values", &other)),
        }
    }

    /// Whether the reply is a list or a map of nothing, which is then read. Always false further in.
    fn is_empty_reply(&mut self) -> Result<bool> {
        let before = self.reader.cursor.clone();
        if self.depth == MOST_DEPTH
            && let Ok(mut items) = self.reader.items()
            && !items.more(self.reader)?
        {
            return Ok(true);
        }
        self.reader.cursor = before;
        Ok(false)
    }
}

macro_rules! scalars {
    ($($method:ident: $type:ty => $visit:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StructFault> {
            visitor.$visit(<$type>::decode(self.reader)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for NextValue<'_, 'de> {
    type Error = StructFault;

    scalars! {
        deserialize_i8: i8 => visit_i8, deserialize_i16: i16 => visit_i16, deserialize_i32: i32 => visit_i32,
        deserialize_i64: i64 => visit_i64, deserialize_i128: i128 => visit_i128,
        deserialize_u16: u16 => visit_u16, deserialize_u32: u32 => visit_u32,
        deserialize_u64: u64 => visit_u64, deserialize_u128: u128 => visit_u128,
        deserialize_f32: f32 => visit_f32, deserialize_f64: f64 => visit_f64
    }

    /// As the reply type `u8` would, if there were one beside bytes.
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StructFault> {
        let head = self.reader.peek()?;
        let number = match i64::decode(self.reader) {
            Err(error) if error.kind() != ErrorKind::Decode => return Err(error.into()),
            number => number.ok().and_then(|number| u8::try_from(number).ok()),
        };
        visitor.visit_u8(number.ok_or_else(|| mismatch("an integer that fits u8", &head))?)
    }

    /// Narrower than the reply type `bool`, as no field of a struct is the answer `OK`, and nil is for
    /// `Option`.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StructFault> {
        let scalar = Scalar::read(self.reader)?;
        let truth = scalar.truth().ok_or_else(|| scalar.mismatch("a truth value (0, 1, true or false)"));
        visitor.visit_bool(truth?)
    }

    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, StructFault> {
        match self.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, StructFault> {
        match self.bytes()? {
            Cow::Borrowed(bytes) => visitor.visit_borrowed_bytes(bytes),
            Cow::Owned(bytes) => visitor.visit_byte_buf(bytes),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, StructFault> {
        if matches!(self.reader.peek()?, Head::Null) {
            self.reader.head()?;
            return visitor.visit_none();
        }
        if self.is_empty_reply()? {
            return visitor.visit_none();
        }
        let (option, start) = (std::any::type_name::<V>(), self.reader.cursor.clone());
        if !self.reader.may_be_list() || !self.reader.skip_empty()? {
            return visitor.visit_some(self);
        }
        if self.absent.contains(&option) {
            return visitor.visit_none();
        }
        self.reader.cursor = start;
        visitor.visit_some(self).map_err(|fault| fault.of_empty_list(option))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StructFault> {
        <()>::decode(self.reader)?;
        visitor.visit_unit()
    }

    /// A list, or text for types that collect its bytes.
    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, StructFault> {
        let before = self.reader.cursor.clone();
        match self.reader.head()? {
            Head::Array(len) | Head::Set(len) | Head::Push(len) => self.list(Items::new(len, 1), visitor),
            Head::Map(len) => self.list(Items::new(len, 2), visitor),
            other @ (Head::Null | Head::End | Head::Chunk(_) | Head::Error(_)) => {
                Err(mismatch("a list", &other).into())
            }
            _ => {
                self.reader.cursor = before;
                visit_bytes(&self.bytes()?, visitor)
            }
        }
    }

    /// RESP3 nests pairs in a list where RESP2 lists their parts one after the other.
    fn deserialize_tuple<V: Visitor<'de>>(mut self, len: usize, visitor: V) -> Result<V::Value, StructFault> {
        match self.row.take() {
            Some(row) if len > 0 && !matches!(self.reader.peek()?, Head::Array(_)) => {
                row.take(len - 1, self.reader)?;
                self.list(Items::new(Len::Known(len), 1), visitor)
            }
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StructFault> {
        let mut fields = self.fields()?;
        match visitor.visit_map(&mut fields) {
            Ok(value) => fields.finish().map(|()| value).map_err(StructFault::from),
            Err(fault) if fields.had_none() => Err(fault.in_empty_reply()),
            Err(fault) => Err(fault),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, StructFault> {
        match self.reader.peek()? {
            Head::Array(_) | Head::Set(_) | Head::Push(_) | Head::Map(_) => {
                visitor.visit_enum(self.fields()?)
            }
            _ => visitor.visit_enum(self.text()?.into_deserializer()),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StructFault> {
        match self.reader.peek()? {
            Head::Integer(_) => self.deserialize_i64(visitor),
            Head::Double(_) => self.deserialize_f64(visitor),
            Head::Boolean(_) => self.deserialize_bool(visitor),
            Head::Null => self.deserialize_unit(visitor),
            Head::Array(_) | Head::Set(_) | Head::Push(_) => self.deserialize_seq(visitor),
            Head::Map(_) => self.deserialize_map(visitor),
            _ => self.text_or_bytes(visitor),
        }
    }

    /// Bytes that are no text are the name of no field, rather than an error.
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StructFault> {
        self.text_or_bytes(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StructFault> {
        self.reader.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StructFault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StructFault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StructFault> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, StructFault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, StructFault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, StructFault> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, StructFault> {
        self.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests;
