//! Arguments as they come out on the wire.

use super::*;

fn words(value: impl Arg) -> Vec<String> {
    let mut args = Args::new();
    value.write(&mut args);
    let words: Vec<_> = args.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    assert_eq!(words.len(), args.len());
    assert_found_apart(&args);
    words
}

/// Each word is found by its place, too.
fn assert_found_apart(args: &Args) {
    let apart: Vec<_> = (0..args.len()).map_while(|place| args.word(place)).collect();
    assert_eq!(apart, args.iter().collect::<Vec<_>>());
    assert_eq!(args.word(args.len()), None);
}

#[test]
fn scalars_take_their_shortest_form() {
    assert_eq!(words(i64::MIN), ["-9223372036854775808"]);
    assert_eq!(words(u64::MAX), ["18446744073709551615"]);
    assert_eq!(words(0.1), ["0.1"]);
    assert_eq!(words(0.1_f32), ["0.1"]);
    assert_eq!(words(3.0), ["3"]);
    assert_eq!(words(1e300), ["1e300"]);
    assert_eq!(words([f64::INFINITY, f64::NEG_INFINITY, f64::NAN]), ["inf", "-inf", "nan"]);
    assert_eq!(words('é'), ["é"]);
}

#[test]
fn bytes_are_one_word_and_lists_are_many() {
    assert_eq!(words(b"a b"), ["a b"]);
    assert_eq!(words(vec![b'x', b'y']), ["xy"]);
    assert_eq!(words(["x", "y"]), ["x", "y"]);
    assert_eq!(words(vec![("f", 1), ("g", 2)]), ["f", "1", "g", "2"]);
    assert_eq!(words((Some(1), None::<i32>, "z")), ["1", "z"]);
    assert_eq!(words(""), [""]);
}

#[test]
fn a_large_value_is_shared_and_still_in_its_place() {
    let large = Bytes::from(vec![b'v'; SHARED_FROM]);
    let mut args = Args::new();
    args.bulk(b"SET");
    args.bytes(&large);
    args.bulk(b"KEEPTTL");
    assert_eq!(args.pieces().1[0].1.as_ptr(), large.as_ptr());
    let words: Vec<_> = args.iter().collect();
    assert_eq!(words, [&b"SET"[..], &large, b"KEEPTTL"]);
    assert_found_apart(&args);
    assert_eq!(args.size(), "$3\r\nSET\r\n$16384\r\n\r\n$7\r\nKEEPTTL\r\n".len() + SHARED_FROM);
}

#[test]
fn debug_shows_no_word() {
    let mut args = Args::new();
    args.bulk(b"hunter2");
    assert_eq!(format!("{args:?}"), "Args { len: 1, bytes: 13 }");
}
