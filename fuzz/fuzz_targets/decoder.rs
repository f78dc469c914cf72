//! A cursor reads what the finder found: on any bytes without a panic; on a found frame to its very end, by
//! heads or by skipping, unless a scalar's text is wrong.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redwire_resp::{Cursor, Finder, Head, Len, Limits, ProtocolError, ProtocolErrorKind};

fuzz_target!(|buf: &[u8]| {
    let mut anywhere = Cursor::new(buf);
    while anywhere.head().is_ok() {}

    let mut finder = Finder::new(Limits::default());
    let mut start = 0;
    while let Ok(Some(found)) = finder.find(&buf[start..]) {
        let frame = &buf[start..start + found.len];
        let mut cursor = Cursor::new(frame);
        cursor.skip().expect("a found frame can be skipped");
        assert!(cursor.is_empty());

        let mut cursor = Cursor::new(frame);
        match value(&mut cursor) {
            Ok(()) => assert!(cursor.is_empty()),
            Err(error) => assert!(is_scalar(error.kind()), "{error} in {}", frame.escape_ascii()),
        }
        start += found.len;
    }
});

/// Reads one value. Recursion is as deep as the finder's limit at most.
fn value(cursor: &mut Cursor<'_>) -> Result<(), ProtocolError> {
    let head = cursor.peek()?;
    assert_eq!(format!("{head:?}"), format!("{:?}", cursor.head()?));
    match head {
        Head::Array(len) | Head::Set(len) | Head::Push(len) => elements(cursor, len, 1),
        Head::Map(len) => elements(cursor, len, 2),
        Head::Chunks => {
            while cursor.head()? != Head::Chunk(b"") {}
            Ok(())
        }
        Head::Chunk(_) | Head::End => panic!("{head:?} is no value"),
        _ => Ok(()),
    }
}

fn elements(cursor: &mut Cursor<'_>, len: Len, values_each: usize) -> Result<(), ProtocolError> {
    match len {
        Len::Known(len) => (0..len * values_each).try_for_each(|_| value(cursor)),
        Len::Streamed => {
            while cursor.peek()? != Head::End {
                value(cursor)?;
            }
            cursor.head().map(drop)
        }
    }
}

/// What the finder leaves to the cursor to check.
fn is_scalar(kind: ProtocolErrorKind) -> bool {
    use ProtocolErrorKind::{BigNumber, Boolean, Double, Integer, Null, Verbatim};
    matches!(kind, Integer | Double | Boolean | BigNumber | Null | Verbatim)
}
