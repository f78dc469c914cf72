//! What lies in lists and maps, handed to serde item by item and field by field.
//!
//! Everything that counts items for serde lives here, and every step of the way to a value that fails. It
//! must not know how a scalar is read.

use redwire_resp::{Cursor, Head};
use serde::de::value::SeqDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess};
use serde::de::{VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::fault::StructFault;
use super::{Items, NextValue, Reader, decode_error, mismatch};
use crate::error::Result;

/// The items of a list.
pub(super) struct List<'r, 'de> {
    reader: &'r mut Reader<'de>,
    items: Items,
    depth: usize,
    absent: &'r [&'static str],
    read: usize,
}

impl<'r, 'de> List<'r, 'de> {
    pub(super) fn new(
        items: Items,
        depth: usize,
        reader: &'r mut Reader<'de>,
        absent: &'r [&'static str],
    ) -> Self {
        Self { reader, items, depth, absent, read: 0 }
    }

    /// A type that stops before the end wanted a shorter list.
    pub(super) fn finish(mut self) -> Result<()> {
        if !self.items.more(self.reader)? {
            return Ok(());
        }
        let got = self.items.left().map_or_else(|| "more".to_owned(), |left| (self.read + left).to_string());
        Err(decode_error(&format!("expected a list of {} items, got {got}", self.read)))
    }
}

impl<'de> SeqAccess<'de> for &mut List<'_, 'de> {
    type Error = StructFault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, StructFault> {
        if !self.items.more(self.reader)? {
            return Ok(None);
        }
        self.items.take(1, self.reader)?;
        let row = Some(&mut self.items);
        let next = NextValue { reader: self.reader, row, depth: self.depth, absent: self.absent };
        let item = seed.deserialize(next).map_err(|fault| fault.inside(&format!("[{}]", self.read)))?;
        self.read += 1;
        Ok(Some(item))
    }

    fn size_hint(&self) -> Option<usize> {
        // Beyond what serde itself caps, a list grows as its items come.
        self.items.left()
    }
}

/// Fields with their values, in a map, in turn in a list, or as a list of pairs.
pub(super) struct Fields<'r, 'de> {
    reader: &'r mut Reader<'de>,
    items: Items,
    /// Whether a list in the place of a field is a pair. In a map it is a key like any other.
    pairs: bool,
    /// The pair that is being read.
    pair: Option<Items>,
    depth: usize,
    absent: &'r [&'static str],
    /// Before the last field that was read.
    field: Option<Cursor<'de>>,
}

impl<'r, 'de> Fields<'r, 'de> {
    pub(super) fn new(
        items: Items,
        pairs: bool,
        depth: usize,
        reader: &'r mut Reader<'de>,
        absent: &'r [&'static str],
    ) -> Self {
        Self { reader, items, pairs, pair: None, depth, absent, field: None }
    }

    /// Whether the end came before any field.
    pub(super) fn had_none(&self) -> bool {
        self.field.is_none() && self.items.left() == Some(0)
    }

    pub(super) fn finish(mut self) -> Result<()> {
        if self.items.more(self.reader)? {
            return Err(decode_error("expected no further fields, got more"));
        }
        Ok(())
    }

    /// The value of the field that was read last.
    fn value<T>(
        &mut self,
        read: impl FnOnce(NextValue<'_, 'de>) -> Result<T, StructFault>,
    ) -> Result<T, StructFault> {
        self.read_value(read).map_err(|fault| match &self.field {
            Some(field) => fault.inside(&spelled(field)),
            None => fault,
        })
    }

    fn read_value<T>(
        &mut self,
        read: impl FnOnce(NextValue<'_, 'de>) -> Result<T, StructFault>,
    ) -> Result<T, StructFault> {
        self.pair.as_mut().unwrap_or(&mut self.items).take(1, self.reader)?;
        let value =
            read(NextValue { reader: self.reader, row: None, depth: self.depth, absent: self.absent })?;
        if let Some(mut pair) = self.pair.take()
            && pair.more(self.reader)?
        {
            return Err(decode_error("expected a field and a value, got a longer list").into());
        }
        Ok(value)
    }

    /// What a variant holds, which is all there is.
    fn content<T>(
        mut self,
        read: impl FnOnce(NextValue<'_, 'de>) -> Result<T, StructFault>,
    ) -> Result<T, StructFault> {
        let content = self.value(read)?;
        self.finish()?;
        Ok(content)
    }
}

impl<'de> MapAccess<'de> for &mut Fields<'_, 'de> {
    type Error = StructFault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, StructFault> {
        if !self.items.more(self.reader)? {
            return Ok(None);
        }
        self.items.take(1, self.reader)?;
        if self.pairs && matches!(self.reader.peek()?, Head::Array(_)) {
            let mut pair = self.reader.items()?;
            pair.take(1, self.reader)?;
            self.pair = Some(pair);
        }
        self.field = Some(self.reader.cursor.clone());
        seed.deserialize(NextValue { reader: self.reader, row: None, depth: self.depth, absent: self.absent })
            .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, StructFault> {
        self.value(|next| seed.deserialize(next))
    }

    fn size_hint(&self) -> Option<usize> {
        self.items.left().map(|left| if self.pairs { left / 2 } else { left.div_ceil(2) })
    }
}

/// A variant is a field, and what it holds is the value.
impl<'de> EnumAccess<'de> for Fields<'_, 'de> {
    type Error = StructFault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<(S::Value, Self), StructFault> {
        match (&mut self).next_key_seed(seed)? {
            Some(variant) => Ok((variant, self)),
            None => {
                Err(decode_error("expected the name of a variant and what it holds, got an empty list")
                    .into())
            }
        }
    }
}

impl<'de> VariantAccess<'de> for Fields<'_, 'de> {
    type Error = StructFault;

    fn unit_variant(self) -> Result<(), StructFault> {
        self.content(|next| next.deserialize_unit(serde::de::IgnoredAny).map(drop))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, StructFault> {
        self.content(|next| seed.deserialize(next))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, StructFault> {
        self.content(|next| next.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, StructFault> {
        self.content(|next| next.deserialize_map(visitor))
    }
}

/// How a field is shown in an error.
#[cold]
fn spelled(field: &Cursor<'_>) -> String {
    const SHOWN: usize = 40;
    match field.peek() {
        Ok(
            Head::Bulk(name) | Head::Simple(name) | Head::Verbatim { text: name, .. } | Head::BigNumber(name),
        ) => {
            let shown = String::from_utf8_lossy(&name[..name.len().min(SHOWN)]);
            format!("{}{}", shown.escape_debug(), if name.len() > SHOWN { "…" } else { "" })
        }
        Ok(Head::Integer(number)) => number.to_string(),
        Ok(Head::Double(number)) => number.to_string(),
        _ => "?".to_owned(),
    }
}

/// Text in the place of a list: the list of its bytes, for `Vec<u8>` and `[u8; N]`.
pub(super) fn visit_bytes<'de, V: Visitor<'de>>(text: &[u8], visitor: V) -> Result<V::Value, StructFault> {
    let mut bytes = SeqDeserializer::new(text.iter().map(|&byte| Byte { byte, text }));
    let value = visitor.visit_seq(&mut bytes)?;
    bytes.end()?;
    Ok(value)
}

/// A byte of a text, and nothing but a byte: a type that asks for anything else wanted a list.
#[derive(Clone, Copy)]
struct Byte<'a> {
    byte: u8,
    text: &'a [u8],
}

impl IntoDeserializer<'_, StructFault> for Byte<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Byte<'_> {
    type Error = StructFault;

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StructFault> {
        visitor.visit_u8(self.byte)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, StructFault> {
        Err(mismatch("a list", &Head::Bulk(self.text)).into())
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
