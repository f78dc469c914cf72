//! Replies that are tuples: a list of their own, or so many items of a flat list.

use super::{Items, Reader, Reply, Row, decode_error};
use crate::error::{Error, ErrorKind, Result};

macro_rules! tuples {
    ($($name:ident),*) => {
        impl<$($name: Reply),*> Reply for ($($name,)*) {
            const READS_ALL: bool = true;

            fn decode(reader: &mut Reader<'_>) -> Result<Self> {
                if let Some(mut items) = reader.row_here() {
                    reader.row = None;
                    let tuple = Self::decode_item(reader, &mut items);
                    reader.row = Some(Row { at: 0, items, read: true });
                    return tuple;
                }
                let mut items = reader.items()?;
                let tuple = ($($name::decode_item(reader, &mut items)?,)*);
                if items.more(reader)? {
                    return Err(too_many(ARITY, &items));
                }
                const ARITY: usize = [$(stringify!($name)),*].len();
                Ok(tuple)
            }

            /// RESP3 nests pairs (`ZRANGE … WITHSCORES`) where RESP2 lists their parts one after the other.
            #[inline]
            fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
                let (start, before) = (reader.cursor.clone(), *items);
                if reader.may_be_list() {
                    items.take(1, reader)?;
                    return Self::decode(reader).or_else(|error| {
                        reader.pass(&start, &error)?;
                        // Its first part may be a list, in a flat list.
                        retry(reader, items, error, |reader, items| {
                            (reader.cursor, *items) = (start, before);
                            Ok(($($name::decode_item(reader, items)?,)*))
                        })
                    });
                }
                let flat = |reader: &mut Reader<'_>, items: &mut Items| -> Result<Self> {
                    Ok(($($name::decode_item(reader, items)?,)*))
                };
                flat(reader, items).or_else(|error| {
                    // So the item is passed over, whichever of its parts it was.
                    (reader.cursor, *items) = (start.clone(), before);
                    $(drop($name::decode_item(reader, items));)*
                    retry(reader, items, error, |reader, items| {
                        (reader.cursor, *items) = (start, before);
                        tuples!(@keyed reader, items, $($name),*)
                    })
                })
            }
        }
    };
    // A map of lists: its key is the first part, and its value has the others.
    (@keyed $reader:ident, $items:ident, $first:ident, $second:ident, $($name:ident),+) => {{
        let first = $first::decode_item($reader, $items)?;
        $items.take(1, $reader)?;
        #[allow(non_snake_case, reason = "the type parameters double as the names of the parts")]
        let ($second, $($name),+) = <($second, $($name),+)>::decode($reader)?;
        Ok((first, $second, $($name),+))
    }};
    // A key and a value are two items as they are.
    (@keyed $reader:ident, $items:ident, $($name:ident),*) => {{
        let _ = ($reader, $items);
        Err(decode_error("it has no other form"))
    }};
}
tuples!(A);
tuples!(A, B);
tuples!(A, B, C);
tuples!(A, B, C, D);
tuples!(A, B, C, D, E);
tuples!(A, B, C, D, E, F);
tuples!(A, B, C, D, E, F, G);
tuples!(A, B, C, D, E, F, G, H);

/// An item could not be read in one form, and reader and items stand behind it in that: tries `other`, or
/// gives `error` back.
#[cold]
pub(super) fn retry<'a, T>(
    reader: &mut Reader<'a>,
    items: &mut Items,
    error: Error,
    other: impl FnOnce(&mut Reader<'a>, &mut Items) -> Result<T>,
) -> Result<T> {
    if error.kind() != ErrorKind::Decode {
        return Err(error);
    }
    let behind = (reader.cursor.clone(), *items);
    other(reader, items).map_err(|_| {
        (reader.cursor, *items) = behind;
        error
    })
}

#[cold]
fn too_many(arity: usize, items: &Items) -> Error {
    let left = items.left().map_or_else(|| "more".to_owned(), |left| (arity + left).to_string());
    decode_error(&format!("expected a list of {arity} items, got {left}"))
}
