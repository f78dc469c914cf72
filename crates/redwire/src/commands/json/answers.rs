//! What commands tell of each place that a path matches. Both protocols have forms of their own for it: here
//! it is the same.

use std::ops::Deref;
use std::str::FromStr;

use redwire_core::{Error, ErrorKind, Outcome, Reader, Reply, Result};

/// What a command gives for each place that a path matches; `None` where the value there is of a type that
/// the command is not for. A slice of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonMatches<T>(Vec<Option<T>>);

/// The numbers at the places that a path matches; `None` where something else is. A slice of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonNumbers<N>(Vec<Option<N>>);

/// The types of the values at the places that a path matches. A slice of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonTypes(Vec<String>);

macro_rules! slices {
    ($([$($generic:ident)?] $name:ty => $item:ty),*) => {$(
        impl<$($generic)?> $name {
            /// The list itself.
            #[must_use]
            pub fn into_vec(self) -> Vec<$item> {
                self.0
            }
        }

        impl<$($generic)?> Deref for $name {
            type Target = [$item];

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl<$($generic)?> IntoIterator for $name {
            type Item = $item;
            type IntoIter = std::vec::IntoIter<$item>;

            fn into_iter(self) -> Self::IntoIter {
                self.0.into_iter()
            }
        }
    )*};
}
slices!([T] JsonMatches<T> => Option<T>, [N] JsonNumbers<N> => Option<N>, [] JsonTypes => String);

impl<T: PartialEq, const N: usize> PartialEq<[Option<T>; N]> for JsonMatches<T> {
    fn eq(&self, other: &[Option<T>; N]) -> bool {
        self.0 == other
    }
}

impl<T: PartialEq, const N: usize> PartialEq<[Option<T>; N]> for JsonNumbers<T> {
    fn eq(&self, other: &[Option<T>; N]) -> bool {
        self.0 == other
    }
}

impl<const N: usize> PartialEq<[&str; N]> for JsonTypes {
    fn eq(&self, other: &[&str; N]) -> bool {
        self.0 == other
    }
}

impl<T: Reply> Reply for JsonMatches<T> {
    /// A list, or one value for an old path.
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        if reader.is_list()? {
            return Vec::decode(reader).map(Self);
        }
        Ok(Self(vec![Option::decode(reader)?]))
    }
}

impl<N: Reply + FromStr> Reply for JsonNumbers<N> {
    /// RESP3 has a list of numbers, RESP2 the text of a JSON array, or of a number for an old path.
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        if reader.is_list()? {
            return Vec::decode(reader).map(Self);
        }
        let text = String::decode(reader)?;
        let list = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let list = list.unwrap_or(&text).split(',').map(str::trim).filter(|number| !number.is_empty());
        let numbers: Result<Vec<_>> = list.map(|text| number(text)).collect();
        numbers.map(Self)
    }
}

fn number<N: FromStr>(text: &str) -> Result<Option<N>> {
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) if text == "null" => Ok(None),
        Err(_) => Err(no_number::<N>(text)),
    }
}

#[cold]
fn no_number<N>(text: &str) -> Error {
    let message = format!("expected numbers that fit {}, got {text:?}", std::any::type_name::<N>());
    Error::new(ErrorKind::Decode, Outcome::Unreadable, message)
}

impl Reply for JsonTypes {
    /// RESP3 has one list more around what RESP2 has, and a list of nil where there is no such key.
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut types = Vec::new();
        gather(reader, 2, &mut types)?;
        Ok(Self(types))
    }
}

/// The texts of a list, or of lists in it.
fn gather(reader: &mut Reader<'_>, depth: u32, types: &mut Vec<String>) -> Result<()> {
    if depth == 0 || !reader.is_list()? {
        types.extend(Option::decode(reader)?);
        return Ok(());
    }
    let mut items = reader.items()?;
    while items.more(reader)? {
        items.take(1, reader)?;
        gather(reader, depth - 1, types)?;
    }
    Ok(())
}
