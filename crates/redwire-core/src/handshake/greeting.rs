//! The answer to `HELLO`: a map, or the flat list that it is in RESP2. This file must not know what its
//! fields mean.

use redwire_resp::{Cursor, Head, Len};

use crate::config::Protocol;

/// The answer to `HELLO`, read where it lies.
pub(super) struct Greeting<'a> {
    /// The protocol it came in: a map is a flat list in RESP2.
    pub(super) spoken: Protocol,
    pub(super) fields: Vec<(&'a str, Field<'a>)>,
}

/// What is told under a name.
#[derive(Clone, Copy)]
pub(super) enum Field<'a> {
    Text(&'a str),
    Number(i64),
    Other,
}

impl<'a> Greeting<'a> {
    /// `None` where it is neither a map nor a list of pairs.
    pub(super) fn read(frame: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(frame);
        let (count, spoken) = match cursor.head().ok()? {
            Head::Map(Len::Known(pairs)) => (pairs, Protocol::Resp3),
            Head::Map(Len::Streamed) => (usize::MAX, Protocol::Resp3),
            Head::Array(Len::Known(items)) => (items / 2, Protocol::Resp2),
            Head::Array(Len::Streamed) => (usize::MAX, Protocol::Resp2),
            _ => return None,
        };
        let mut fields = Vec::with_capacity(count.min(MOST_FIELDS));
        for _ in 0..count {
            if matches!(cursor.peek(), Ok(Head::End)) {
                break;
            }
            let (name, value) = (Field::read(&mut cursor)?, Field::read(&mut cursor)?);
            if let Field::Text(name) = name {
                fields.push((name, value));
            }
        }
        Some(Self { spoken, fields })
    }
}

/// Places are made for no more fields on the server's word alone.
const MOST_FIELDS: usize = 16;

impl<'a> Field<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
        let before = cursor.clone();
        Some(match cursor.head().ok()? {
            Head::Bulk(text) | Head::Simple(text) | Head::Verbatim { text, .. } => {
                str::from_utf8(text).map_or(Self::Other, Self::Text)
            }
            Head::Integer(number) => Self::Number(number),
            _ => {
                *cursor = before;
                cursor.skip().ok()?;
                Self::Other
            }
        })
    }

    pub(super) fn text(self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn number(self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => text.parse().ok(),
            Self::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_from_maps_and_flat_lists_whole_or_streamed() {
        let fields = "$5\r\nproto\r\n:3\r\n+version\r\n$5\r\n8.0.0\r\n\
                      $7\r\nmodules\r\n*1\r\n+x\r\n$2\r\nid\r\n$2\r\n42\r\n";
        for (begin, end, spoken) in [
            ("%4\r\n", "", Protocol::Resp3),
            ("%?\r\n", ".\r\n", Protocol::Resp3),
            ("*8\r\n", "", Protocol::Resp2),
            ("*?\r\n", ".\r\n", Protocol::Resp2),
            ("|1\r\n+a\r\n+b\r\n%4\r\n", "", Protocol::Resp3),
        ] {
            let frame = format!("{begin}{fields}{end}");
            let greeting = Greeting::read(frame.as_bytes()).unwrap();
            assert_eq!(greeting.spoken, spoken, "{frame:?}");
            let value = |name| greeting.fields.iter().find(|field| field.0 == name).unwrap().1;
            assert_eq!(value("proto").number(), Some(3));
            assert_eq!(value("version").text(), Some("8.0.0"));
            assert_eq!((value("modules").text(), value("modules").number()), (None, None));
            assert_eq!(value("id").number(), Some(42));
        }
        for other in ["+OK\r\n", "$-1\r\n", ":3\r\n", "_\r\n", "-ERR x\r\n"] {
            assert!(Greeting::read(other.as_bytes()).is_none(), "{other:?}");
        }
    }
}
