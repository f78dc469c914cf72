//! RESP2 and RESP3: bytes to frames and back.
//!
//! Three tools, each usable without the others:
//!
//! - [`Finder`] says where a frame ends in bytes that arrive in pieces. It checks structure, keeps within
//!   [`Limits`] and never looks twice at a byte it has understood.
//! - [`Cursor`] reads the values of a whole frame, one [`Head`] at a time, borrowing from it.
//! - [`write_array_header`], [`write_bulk`] and their kin write requests.
//!
//! Nothing here may know of clocks, sockets or commands. Input never panics, and nothing is allocated for it
//! but the finder's stack of open aggregates and the box of an error.
//!
//! ```
//! use redwire_resp::{Cursor, Finder, Head, Len, Limits};
//!
//! let mut finder = Finder::new(Limits::default());
//! let mut received = b"*2\r\n$3\r\nfoo\r\n:4".to_vec();
//! assert_eq!(finder.find(&received)?, None);
//! received.extend_from_slice(b"2\r\n+OK\r\n");
//! let frame = finder.find(&received)?.expect("the array is whole");
//!
//! let mut cursor = Cursor::new(&received[..frame.len]);
//! assert_eq!(cursor.head()?, Head::Array(Len::Known(2)));
//! assert_eq!(cursor.head()?, Head::Bulk(b"foo"));
//! assert_eq!(cursor.head()?, Head::Integer(42));
//! assert!(cursor.is_empty());
//! assert_eq!(&received[frame.len..], b"+OK\r\n");
//! # Ok::<(), redwire_resp::ProtocolError>(())
//! ```

mod cursor;
mod error;
mod finder;
mod lex;
mod limits;
mod scalar;
mod write;

#[cfg(test)]
mod twin;

pub use cursor::{Cursor, Head, Len};
pub use error::{ProtocolError, ProtocolErrorKind};
pub use finder::{Finder, Found};
pub use limits::Limits;
pub use write::{write_array_header, write_bulk, write_bulk_header, write_integer};
