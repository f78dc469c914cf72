//! A value whose shape no type knows, in one form for both protocols: what newer servers tell beyond the
//! fields of a struct.
//!
//! Promises: what a server says on RESP3 gives the same value as what it says on RESP2.

use redwire_resp::Head;

use super::{Reader, Reply, Value, decode_error};
use crate::error::Result;

/// Deeper nesting than this is refused.
const MOST_DEPTH: usize = 64;

impl Reader<'_> {
    /// Whether the next value is a list: an array, a set, a push or a map.
    ///
    /// # Errors
    /// Malformed bytes.
    pub fn is_list(&self) -> Result<bool> {
        Ok(matches!(self.peek()?, Head::Array(_) | Head::Set(_) | Head::Push(_) | Head::Map(_)))
    }

    /// Whether the next value is a map, as only RESP3 has them.
    ///
    /// # Errors
    /// Malformed bytes.
    pub fn is_map(&self) -> Result<bool> {
        Ok(matches!(self.peek()?, Head::Map(_)))
    }

    /// The next value in the forms of RESP2: integers, bytes, nil, and arrays of these. So it is the same
    /// from both protocols, where they differ in form alone: a truth value is 1 or 0, a double is its digits,
    /// and a map has its keys and values in turn.
    ///
    /// # Errors
    /// The server's error, or malformed bytes.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// # struct Any(redwire::Value);
    /// # impl redwire::Reply for Any {
    /// #     fn decode(reader: &mut redwire::Reader<'_>) -> redwire::Result<Self> { reader.plain().map(Self)
    /// }
    /// # }
    /// # use redwire::Reader;
    /// let resp2: Any = Reader::read(b"*2\r\n+decay\r\n$3\r\n0.9\r\n")?;
    /// let resp3: Any = Reader::read(b"%1\r\n+decay\r\n,0.9\r\n")?;
    /// assert_eq!(resp2.0, resp3.0);
    /// # Ok::<(), redwire::Error>(())
    /// ```
    pub fn plain(&mut self) -> Result<Value> {
        self.plain_within(MOST_DEPTH)
    }

    fn plain_within(&mut self, depth: usize) -> Result<Value> {
        match self.peek()? {
            Head::Null => self.skip().map(|()| Value::Null),
            Head::Integer(_) | Head::Boolean(_) => i64::decode(self).map(Value::Integer),
            Head::Array(_) | Head::Set(_) | Head::Push(_) | Head::Map(_) => {
                let Some(depth) = depth.checked_sub(1) else {
                    let message = format!("expected at most {MOST_DEPTH} levels of nesting, got more");
                    return Err(decode_error(&message));
                };
                let (mut items, mut list) = (self.items()?, Vec::new());
                while items.more(self)? {
                    items.take(1, self)?;
                    list.push(self.plain_within(depth)?);
                }
                Ok(Value::Array(list))
            }
            // A double in the digits of the server, which are those that it gives on RESP2.
            _ => Vec::<u8>::decode(self).map(|text| Value::Bytes(text.into())),
        }
    }
}
