//! Replies that are tuples: a list of their own, or so many items of a flat list.

use super::{Items, Reader, Reply, decode_error};
use crate::error::Result;

macro_rules! tuples {
    ($($name:ident),*) => {
        impl<$($name: Reply),*> Reply for ($($name,)*) {
            fn decode(reader: &mut Reader<'_>) -> Result<Self> {
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
                if reader.is_array()? {
                    items.take(1, reader)?;
                    return Self::decode(reader);
                }
                Ok(($($name::decode_item(reader, items)?,)*))
            }
        }
    };
}
tuples!(A);
tuples!(A, B);
tuples!(A, B, C);
tuples!(A, B, C, D);
tuples!(A, B, C, D, E);
tuples!(A, B, C, D, E, F);
tuples!(A, B, C, D, E, F, G);
tuples!(A, B, C, D, E, F, G, H);

#[cold]
fn too_many(arity: usize, items: &Items) -> crate::error::Error {
    let left = items.left().map_or_else(|| "more".to_owned(), |left| (arity + left).to_string());
    decode_error(&format!("expected a list of {arity} items, got {left}"))
}
