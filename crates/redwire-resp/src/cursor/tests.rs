//! The cursor against values that know their own heads, on damaged bytes, and type by type.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::twin::{self, Tree};

fn kind(buf: &[u8]) -> ProtocolErrorKind {
    match Cursor::new(buf).head() {
        Err(error) => error.kind(),
        other => panic!("{} gave {other:?}", buf.escape_ascii()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn written_values_read_as_what_they_are(trees in vec(twin::tree(), 1..4)) {
        let buf: Vec<u8> = trees.iter().flat_map(Tree::bytes).collect();
        let mut expected = Vec::new();
        trees.iter().for_each(|tree| tree.heads(&mut expected));
        let mut cursor = Cursor::new(&buf);
        for head in expected {
            prop_assert_eq!(cursor.peek(), Ok(head));
            prop_assert_eq!(cursor.head(), Ok(head));
        }
        prop_assert!(cursor.is_empty());
        prop_assert_eq!(cursor.position(), buf.len());
    }

    #[test]
    fn skipping_passes_one_whole_value(trees in vec(twin::tree(), 1..4)) {
        let buf: Vec<u8> = trees.iter().flat_map(Tree::bytes).collect();
        let mut cursor = Cursor::new(&buf);
        let mut position = 0;
        for tree in trees {
            cursor.skip()?;
            position += tree.bytes().len();
            prop_assert_eq!(cursor.position(), position);
            prop_assert_eq!(cursor.remaining(), &buf[position..]);
        }
    }

    #[test]
    fn any_bytes_end_in_an_error_or_the_end(
        buf in prop_oneof![twin::damaged(), twin::garbage(), vec(any::<u8>(), 0..40)],
    ) {
        let mut cursor = Cursor::new(&buf);
        while let Ok(head) = cursor.peek() {
            let before = cursor.position();
            prop_assert_eq!(format!("{:?}", cursor.head()), format!("{:?}", Ok::<_, ()>(head)));
            prop_assert!(cursor.position() > before);
        }
        let before = cursor.position();
        prop_assert!(cursor.head().is_err());
        prop_assert!(cursor.position() >= before);
        let _ = Cursor::new(&buf).skip();
    }
}

#[test]
fn nulls_of_all_three_spellings() {
    for null in [&b"_\r\n"[..], b"$-1\r\n", b"*-1\r\n"] {
        assert_eq!(Cursor::new(null).head(), Ok(Head::Null));
    }
}

#[test]
fn not_a_number_is_a_double() {
    assert!(matches!(Cursor::new(b",nan\r\n").head(), Ok(Head::Double(value)) if value.is_nan()));
}

#[test]
fn attributes_are_passed_over_at_any_depth() {
    let mut cursor =
        Cursor::new(b"|1\r\n+a\r\n*1\r\n|1\r\n_\r\n_\r\n:7\r\n|0\r\n*1\r\n|1\r\n+b\r\n%?\r\n.\r\n:1\r\n");
    assert_eq!(cursor.head(), Ok(Head::Array(Len::Known(1))));
    assert_eq!(cursor.head(), Ok(Head::Integer(1)));
    assert!(cursor.is_empty());
}

#[test]
fn streamed_values_come_in_parts() {
    let mut cursor = Cursor::new(b"~?\r\n$?\r\n;2\r\nab\r\n;0\r\n.\r\n");
    let heads: Vec<_> = std::iter::from_fn(|| cursor.head().ok()).collect();
    let expected = [Head::Set(Len::Streamed), Head::Chunks, Head::Chunk(b"ab"), Head::Chunk(b""), Head::End];
    assert_eq!(heads, expected);
}

#[test]
fn errors_say_what_was_expected() {
    use ProtocolErrorKind as Kind;
    let cases: [(&[u8], Kind); 24] = [
        (b"+a\rb, and more\r\n", Kind::LineEnd),
        (b":1\n2, and more\r\n", Kind::LineEnd),
        (b"", Kind::More),
        (b"+OK", Kind::More),
        (b"+OK\r", Kind::More),
        (b"$3\r\nab", Kind::More),
        (b"*", Kind::More),
        (b"$3\r\nabc\r", Kind::More),
        (b"|1\r\n+a\r\n", Kind::More),
        (b"?", Kind::Type),
        (b":\r\n", Kind::Integer),
        (b":1.5\r\n", Kind::Integer),
        (b":9223372036854775808\r\n", Kind::Integer),
        (b",one\r\n", Kind::Double),
        (b"#x\r\n", Kind::Boolean),
        (b"(1x\r\n", Kind::BigNumber),
        (b"_x\r\n", Kind::Null),
        (b"=3\r\ntxt\r\n", Kind::Verbatim),
        (b"=5\r\ntxtxx\r\n", Kind::Verbatim),
        (b"$1\r\nabc", Kind::BodyEnd),
        (b"%-1\r\n", Kind::Length),
        (b".x\r\n", Kind::LineEnd),
        (b";-1\r\n", Kind::Length),
        (b"$18446744073709551617\r\n", Kind::Length),
    ];
    for (buf, expected) in cases {
        assert_eq!(kind(buf), expected, "{}", buf.escape_ascii());
    }
}

#[test]
fn a_failed_read_moves_nothing() {
    let mut cursor = Cursor::new(b"+a\r\n*2\r\n:1\r\n");
    assert_eq!(cursor.head(), Ok(Head::Simple(b"a")));
    assert_eq!(cursor.skip().map_err(|error| error.kind()), Err(ProtocolErrorKind::More));
    assert_eq!(cursor.position(), 4);
    assert!(Cursor::new(b";1\r\na\r\n").skip().is_err());
    assert!(Cursor::new(b".\r\n").skip().is_err());
}

#[test]
fn nesting_without_end_is_an_error() {
    let deep = b"*1\r\n".repeat(1_000_000);
    assert_eq!(Cursor::new(&deep).skip().map_err(|error| error.kind()), Err(ProtocolErrorKind::DepthLimit));
    let deep = b"|1\r\n".repeat(1_000_000);
    assert_eq!(kind(&deep), ProtocolErrorKind::DepthLimit);
}

#[test]
fn heads_stay_small() {
    assert!(size_of::<Result<Head<'_>, ProtocolError>>() <= 3 * size_of::<usize>());
}

#[test]
fn a_short_bulk_is_what_head_would_read() {
    for (bytes, short) in [
        (&b"$3\r\nabc\r\n:1\r\n"[..], Some(&b"abc"[..])),
        (b"$0\r\n\r\n", Some(b"")),
        (b"$-1\r\n", None),
        (b"$3\r\nab", None),
        (b"$3\r\nabcde", None),
        (b"+OK\r\n", None),
        (b"", None),
    ] {
        let (mut cursor, mut twin) = (Cursor::new(bytes), Cursor::new(bytes));
        assert_eq!(cursor.short_bulk(), short);
        if let Some(short) = short {
            assert_eq!(twin.head().unwrap(), Head::Bulk(short));
        }
        assert_eq!(cursor.position(), if short.is_some() { twin.position() } else { 0 });
    }
}
