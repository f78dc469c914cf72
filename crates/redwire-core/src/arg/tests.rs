//! Arguments as they come out on the wire.

use super::*;
use crate::cmd::Cmd;
use crate::error::{ErrorKind, Outcome};
use crate::reply::Value;

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
fn a_large_value_of_any_type_is_copied_once() {
    let large = vec![b'v'; MOST_COPIED + 1];
    let mut args = Args::new();
    ("SET", &large[..], "KEEPTTL").write(&mut args);
    let words: Vec<_> = args.iter().collect();
    assert_eq!(words, [&b"SET"[..], &large, b"KEEPTTL"]);
    let mut outbox = crate::outbox::Outbox::default();
    outbox.command(&args);
    let mut slices = [std::io::IoSlice::new(&[]); 4];
    let filled = outbox.slices(&mut slices);
    assert!(slices[..filled].iter().any(|slice| slice.as_ptr() == args.pieces().1[0].1.as_ptr()));
}

#[test]
fn debug_shows_no_word() {
    let mut args = Args::new();
    args.bulk(b"hunter2");
    assert_eq!(format!("{args:?}"), "Args { len: 1, bytes: 13 }");
}

/// What [`Cmd::check`] says to a command built by `build`.
fn said(build: impl FnOnce(Cmd<Value>) -> Cmd<Value>) -> Result<(), String> {
    build(Cmd::new("CONFIG SET")).check().map_err(|error| {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent));
        let message = error.to_string();
        let told = message.strip_prefix("CONFIG SET: argument ").unwrap();
        told.split(" is absent").next().unwrap().to_owned()
    })
}

const NONE: Option<&str> = None;

#[test]
fn a_part_that_is_absent_is_refused_by_its_place() {
    let refused = |said: Result<(), String>, place: &str| assert_eq!(said.unwrap_err(), place);
    refused(said(|c| c.arg([("a", NONE), ("b", NONE)])), "2 is missing: part 2 of a pair or tuple");
    refused(
        said(|c| c.arg("k").arg((Some("a"), NONE, Some("c")))),
        "3 is missing: part 2 of a pair or tuple",
    );
    refused(
        said(|c| c.arg(BTreeMap::from([("a", Some("1")), ("b", NONE)]))),
        "4 is missing: part 2 of a pair or tuple",
    );
    refused(said(|c| c.arg(HashMap::from([(NONE, 1)]))), "1 is missing: part 1 of a pair or tuple");
    refused(said(|c| c.arg(("a", Some(NONE)))), "2 is missing: part 2 of a pair or tuple");
    refused(said(|c| c.arg(vec![("a", Vec::<i32>::new())])), "2 is missing: part 2 of a pair or tuple");
    refused(said(|c| c.arg(Box::new((Cow::Borrowed(&NONE), 1)))), "1 is missing: part 1 of a pair or tuple");
    refused(said(|c| c.required("k").required(NONE).arg("NX")), "2 is missing: a value");
    refused(said(|c| c.required(Vec::<i32>::new())), "1 is missing: a value");
    refused(said(|c| c.named("LIMIT", Vec::<i32>::new())), "2 is missing: a value");
    refused(said(|c| c.places([Some("x"), None, Some("y")])), "2 is missing: item 2 of a list");
    refused(said(|c| c.places([NONE])), "1 is missing: item 1 of a list");
    refused(said(|c| c.any_places([NONE])), "1 is missing: item 1 of a list");
    refused(said(|c| c.places(NONE)), "1 is missing: a value");
    refused(said(|c| c.places(Vec::<i32>::new())), "1 is missing: a value");
    refused(said(|c| c.places([Some((1, 2)), None])), "3 is missing: item 2 of a list");
    refused(said(|c| c.counted(["x"]).counted([Some("x"), None])), "5 is missing: item 2 of a list");
    refused(said(|c| c.counted(["x"]).counted(NONE)), "4 is missing: a value");
    // The first is told.
    refused(said(|c| c.required(NONE).arg(("a", NONE))), "1 is missing: a value");
}

#[test]
fn absence_that_is_meant_is_taken() {
    let taken = |said: Result<(), String>| assert_eq!(said, Ok(()));
    taken(said(|c| c.arg(NONE).arg([Some("a"), None]).arg(Vec::<&str>::new())));
    taken(said(|c| {
        c.named("COUNT", NONE).named("COUNT", Cow::Borrowed(&NONE)).named("COUNT", Some(Some(1)))
    }));
    taken(said(|c| c.any_places(NONE).any_places(Some(NONE)).any_counted(NONE).any_places([] as [&str; 0])));
    taken(said(|c| c.any_places(Vec::<&str>::new()).required("").required(b"").required([""])));
    let words = |value: &dyn Fn(Cmd<Value>) -> Cmd<Value>| value(Cmd::new("X")).words()[1..].to_vec();
    assert_eq!(words(&|c| c.named("COUNT", Cow::Borrowed(&NONE))), [] as [&str; 0]);
    assert_eq!(words(&|c| c.counted([1, 2]).any_counted(NONE)), ["2", "1", "2", "0"]);
}

#[test]
fn a_whole_pair_may_be_absent_and_no_part_of_one() {
    /// A pair of a type of its own, which writes what it has.
    struct Field(&'static str, Option<i64>);
    impl Arg for Field {
        fn write(&self, args: &mut Args) {
            args.bulk(self.0.as_bytes());
            self.1.write(args);
        }
    }
    assert_eq!(said(|c| c.pairs([Some(("a", 1)), None, Some(("b", 2)), None])), Ok(()));
    assert_eq!(said(|c| c.pairs([Field("a", Some(1)), Field("b", Some(2))])), Ok(()));
    assert_eq!(said(|c| c.pairs(("a", 1, "b", 2))), Ok(()));
    assert_eq!(said(|c| c.pairs(["a", "1"]).pairs(("b", 2))), Ok(()));
    let refused = |said: Result<(), String>, place: &str| assert_eq!(said.unwrap_err(), place);
    refused(said(|c| c.pairs([Field("a", None), Field("b", None)])), "2 is missing: a value");
    refused(said(|c| c.pairs([Some(Field("a", None)), None])), "2 is missing: a value");
    refused(said(|c| c.pairs([Some("a"), None, Some("b"), None])), "2 is missing: item 2 of a list");
    refused(said(|c| c.pairs([[Some("a"), None], [Some("b"), None]])), "2 is missing: item 2 of a list");
    refused(said(|c| c.pairs([None::<(i32, i32)>])), "1 is missing: item 1 of a list");
    refused(said(|c| c.arg("k").pairs(None::<(i32, i32)>)), "2 is missing: a value");
    refused(said(|c| c.arg("k").pairs(Vec::<(i32, i32)>::new())), "2 is missing: a value");
    // What was noted before does not count.
    assert_eq!(said(|c| c.arg(NONE).pairs(("a", 1)).places([1])), Ok(()));
}

#[test]
fn words_that_are_written_later_take_along_what_is_absent() {
    let large = Bytes::from(vec![b'v'; SHARED_FROM]);
    let (mut words, mut outer) = (Args::new(), Args::new());
    (&large, NONE).write(&mut words);
    outer.bulk(b"SET");
    outer.bytes(&large);
    words.write(&mut outer);
    assert_eq!(outer.missing().map(|absent| absent.place), Some(3));
    assert_eq!(outer.iter().collect::<Vec<_>>(), [&b"SET"[..], &large, &large]);
    assert_found_apart(&outer);
}

#[test]
fn pairs_are_sent_as_they_are_or_not_at_all() {
    type Pair = (Option<u8>, Option<u8>);
    let pairs = proptest::collection::vec(proptest::option::of(proptest::prelude::any::<Pair>()), 0..6);
    proptest::proptest!(|(pairs in pairs, flat: bool)| {
        let as_words = |pair: &Pair| (pair.0.map(u32::from), pair.1.map(u32::from));
        let cmd: Cmd<Value> = if flat {
            let words = pairs.iter().flat_map(|pair| {
                let (key, value) = as_words(&pair.unwrap_or_default());
                [key, value]
            });
            Cmd::new("MSET").pairs(words.collect::<Vec<_>>())
        } else {
            Cmd::new("MSET").pairs(pairs.iter().map(|pair| pair.as_ref().map(as_words)).collect::<Vec<_>>())
        };
        let whole = pairs.iter().flatten().filter_map(|(key, value)| Some([(*key)?, (*value)?]));
        let whole: Vec<String> = whole.flatten().map(|word| word.to_string()).collect();
        let lacks = pairs.iter().flatten().any(|(key, value)| key.is_none() || value.is_none())
            || (flat && pairs.contains(&None));
        match cmd.check() {
            Ok(()) => {
                proptest::prop_assert!(!lacks);
                proptest::prop_assert_eq!(&cmd.words()[1..], whole);
            }
            Err(_) => proptest::prop_assert!(lacks || whole.is_empty()),
        }
    });
}
