//! Replies made of names and values, as structs: what modules tell of their keys.
//!
//! Promises: a field that the struct does not know is kept in its `extra`, in the same form from RESP2 and
//! RESP3. Must not know: commands.

use redwire_core::{Items, Reader, Result};

/// A struct of a reply, each field with the server's name for it; `extra` has what has no field.
macro_rules! info {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $wire:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            /// What newer servers tell beyond that, by its name; see
            /// [`Reader::plain`](redwire_core::Reader::plain) for its form.
            pub extra: std::collections::BTreeMap<String, redwire_core::Value>,
        }

        impl redwire_core::Reply for $name {
            fn decode(reader: &mut redwire_core::Reader<'_>) -> redwire_core::Result<Self> {
                let mut info = Self::default();
                $crate::commands::server::fields::fields(reader, |name, reader| {
                    match name {
                        $($wire => info.$field = redwire_core::Reply::decode(reader)?,)*
                        _ => drop(info.extra.insert(name.to_owned(), reader.plain()?)),
                    }
                    Ok(true)
                })?;
                Ok(info)
            }
        }
    };
}
pub(super) use info;

/// Newer servers append to their lists.
pub(super) fn skip_rest(reader: &mut Reader<'_>, items: &mut Items) -> Result<()> {
    while items.more(reader)? {
        items.take(1, reader)?;
        reader.skip()?;
    }
    Ok(())
}
