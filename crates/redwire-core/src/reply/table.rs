//! One answer in all the forms that the protocols have for it, read as all types: the same value, or the same
//! kind of error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::*;

/// A `Result` of which the kind of the error is compared alone.
#[derive(Debug)]
#[allow(dead_code, reason = "read by `Debug`")]
struct Kept<T>(Result<T, ErrorKind>);

impl<T: Reply> Reply for Kept<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self(Result::<T>::decode(reader)?.map_err(|error| error.kind())))
    }

    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        Ok(Self(Result::<T>::decode_item(reader, items)?.map_err(|error| error.kind())))
    }
}

/// A type of a user's own, as the documentation of `Reply` shows.
#[derive(Debug)]
#[allow(dead_code, reason = "read by `Debug`")]
struct Point {
    x: f64,
    y: f64,
}

impl Reply for Point {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let (x, y) = Reply::decode(reader)?;
        Ok(Self { x, y })
    }
}

/// A member with its score, from an array.
#[derive(Debug)]
#[allow(dead_code, reason = "read by `Debug`")]
struct Hit([String; 2]);

impl Reply for Hit {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Reply::decode(reader).map(Self)
    }
}

/// What `frame` is as a `T`.
fn read<T: Reply + Debug>(frame: &str) -> Result<String, ErrorKind> {
    Reader::read::<T>(frame.as_bytes()).map(|value| format!("{value:?}")).map_err(|error| error.kind())
}

/// All `frames` are the same as a `T`; gives it.
#[track_caller]
fn same<T: Reply + Debug>(frames: &[String]) -> Result<String, ErrorKind> {
    let first = read::<T>(&frames[0]);
    for frame in frames {
        assert_eq!(
            read::<T>(frame),
            first,
            "{frame:?} and {:?} as {}",
            frames[0],
            std::any::type_name::<T>()
        );
    }
    first
}

/// How many types took the frames.
macro_rules! count {
    ($frames:expr; $($type:ty),* $(,)?) => {
        [$(same::<$type>($frames)),*].iter().filter(|read| read.is_ok()).count()
    };
}

macro_rules! scalars {
    ($frames:expr) => {
        count!($frames; (), String, Lossy, Vec<u8>, Bytes, Box<str>, i8, i16, u16, i32, u32, i64, u64, i128,
        u128,
            isize, usize, f32, f64, bool, Option<i64>, Option<String>, Option<f64>, Box<i64>,
            Option<Box<u64>>,
            Vec<String>, (String,), BTreeMap<String, String>, [i64; 1], Point)
    };
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn verbatim(text: &str) -> String {
    format!("={}\r\ntxt:{text}\r\n", text.len() + 4)
}

fn chunks(text: &str) -> String {
    format!("$?\r\n;{}\r\n{text}\r\n;0\r\n", text.len())
}

#[test]
fn a_number_is_the_same_in_each_of_its_forms() {
    for text in [
        "0",
        "1",
        "-1",
        "2",
        "12",
        "-0",
        "1.5",
        "-2.25",
        "127",
        "128",
        "-128",
        "65535",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "1e5",
        "1e+22",
        "1.5e3",
        "12.0",
        "1.50",
        "1e-3",
        "10e-1",
        "1.2345678901234568e+20",
        "123456789012345680000",
        "0.10000000000000001",
        "inf",
        "-inf",
        "nan",
        "1e400",
        "170141183460469231731687303715884105728",
    ] {
        let double = text.to_owned() + "\r\n";
        let mut frames =
            vec![bulk(text), format!("+{double}"), verbatim(text), chunks(text), format!(",{double}")];
        frames.push(format!("|1\r\n+a,b\r\n,2\r\n,{double}"));
        if text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
            frames.push(format!("({double}"));
        }
        let shortest = text.parse::<i64>().is_ok_and(|number| number.to_string() == text);
        if shortest {
            frames.push(format!(":{double}"));
        }
        let taken = scalars!(&frames);
        assert!(taken >= 8, "{text}: {taken} types");
        assert_eq!(read::<String>(&frames[4]), Ok(format!("{text:?}")), "in the digits that came");
    }
    assert_eq!(read::<i64>(",1e+5\r\n"), Ok("100000".to_owned()));
    assert_eq!(read::<u16>(",65535\r\n"), Ok("65535".to_owned()));
    assert_eq!(read::<i128>(",1.5e+20\r\n"), Ok("150000000000000000000".to_owned()));
    assert_eq!(read::<u128>("(340282366920938463463374607431768211455\r\n"), Ok(u128::MAX.to_string()));
    assert_eq!(read::<i128>("(-170141183460469231731687303715884105728\r\n"), Ok(i128::MIN.to_string()));
    for (frame, shown) in [
        (",1.5\r\n", "the double 1.5"),
        (",256\r\n", "the double 256"),
        ("=5\r\ntxt:x\r\n", "the text \"x\""),
    ] {
        let error = Reader::read::<i8>(frame.as_bytes()).unwrap_err();
        assert!(
            error.to_string().contains("an integer that fits i8") && error.to_string().contains(shown),
            "{error}"
        );
    }
}

#[test]
fn a_truth_value_is_the_same_in_each_of_its_forms() {
    for (truth, digit) in [(true, '1'), (false, '0')] {
        let boolean = format!("#{}\r\n", if truth { 't' } else { 'f' });
        let line = format!("{digit}\r\n");
        let frames =
            [boolean, format!(":{line}"), format!(",{line}"), format!("({line}"), format!("+{line}")];
        let frames = [&frames[..], &[bulk(&digit.to_string()), verbatim(&digit.to_string())]].concat();
        assert!(scalars!(&frames) >= 20);
        let word = if truth { "true" } else { "false" };
        let words = [word, if truth { "True" } else { "False" }, &word.to_uppercase()].map(bulk);
        assert_eq!(same::<bool>(&[&frames[..], &words, &[verbatim(word)]].concat()), Ok(word.to_owned()));
    }
    assert_eq!(same::<bool>(&["+OK\r\n".to_owned(), bulk("OK"), verbatim("OK")]), Ok("true".to_owned()));
    assert_eq!(
        same::<bool>(&["$-1\r\n".to_owned(), "*-1\r\n".to_owned(), "_\r\n".to_owned()]),
        Ok("false".to_owned())
    );
    for no in ["2", "", "yes", "ok", "tru", "-1"] {
        let error = Reader::read::<bool>(bulk(no).as_bytes()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("(0, 1, true, false, OK or nil)") && message.contains(no), "{message}");
    }
}

#[test]
fn text_is_the_same_in_each_of_its_forms() {
    for text in ["", "hi", "OK", "true", "é", "a,b", "1 2"] {
        scalars!(&[bulk(text), verbatim(text), chunks(text), format!("+{text}\r\n")]);
    }
    scalars!(&["$-1\r\n", "*-1\r\n", "_\r\n"].map(str::to_owned));
}

#[test]
fn lists_of_pairs_are_the_same_flat_and_nested() {
    let parts = [("a", "1"), ("b", "2.5"), ("3", "4")];
    let flat: String = parts.iter().map(|(a, b)| bulk(a) + &bulk(b)).collect();
    let nested: String = parts.iter().map(|(a, b)| format!("*2\r\n{},{b}\r\n", bulk(a))).collect();
    let map: String = parts.iter().map(|(a, b)| format!("+{a}\r\n,{b}\r\n")).collect();
    let frames = [
        format!("*6\r\n{flat}"),
        format!("*3\r\n{nested}"),
        format!("%3\r\n{map}"),
        format!("*?\r\n{flat}.\r\n"),
        format!("*?\r\n{nested}.\r\n"),
    ];
    type Pair = (String, f64);
    let taken = count!(&frames; Vec<Pair>, Vec<(String, String)>, Vec<Box<Pair>>, Vec<Option<Pair>>,
        Vec<Option<Box<Pair>>>, Vec<Kept<Pair>>, Vec<[String; 2]>, Vec<Hit>, Vec<Option<Hit>>, Vec<Kept<Hit>>,
        Vec<Box<Hit>>, BTreeMap<String, f64>, Box<[Pair]>, std::collections::VecDeque<Pair>,
        BTreeSet<(String, String)>, [Pair; 3], (Pair, Pair, Pair), Option<Vec<Pair>>, Vec<(Pair,)>,
        Vec<(String, Option<f64>)>, Vec<(Box<str>, Box<f64>)>, Vec<Kept<(i64, f64)>>, Vec<Kept<Point>>, ());
    assert_eq!(taken, 24);
    assert_eq!(count!(&frames; Vec<Point>, Vec<(i64, i64)>, Vec<bool>, [Pair; 2], (Pair, Pair)), 0);
    let mixed = read::<Vec<Kept<(i64, f64)>>>(&frames[0]).unwrap();
    assert_eq!(mixed, "[Kept(Err(Decode)), Kept(Err(Decode)), Kept(Ok((3, 4.0)))]");
    #[cfg(feature = "serde")]
    assert_eq!(
        count!(&frames; Vec<Struct<Pair>>, Struct<Vec<Pair>>, Vec<Kept<Struct<Pair>>>,
        Struct<BTreeMap<String, f64>>,
        Vec<Option<Struct<Pair>>>, Vec<Box<Struct<(String, String)>>>),
        6
    );
}

#[test]
fn triples_are_the_same_flat_nested_and_as_a_map_of_lists() {
    let frames = [
        "*6\r\n+a\r\n+0.5\r\n$-1\r\n+b\r\n+1\r\n$2\r\n{}\r\n",
        "*2\r\n*3\r\n+a\r\n,0.5\r\n_\r\n*3\r\n+b\r\n,1\r\n$2\r\n{}\r\n",
        "%2\r\n+a\r\n*2\r\n,0.5\r\n_\r\n+b\r\n*2\r\n,1\r\n$2\r\n{}\r\n",
    ]
    .map(str::to_owned);
    type Triple = (String, f64, Option<String>);
    let triples = same::<Vec<Triple>>(&frames);
    assert_eq!(triples, Ok(r#"[("a", 0.5, None), ("b", 1.0, Some("{}"))]"#.to_owned()));
    assert_eq!(
        count!(&frames; Vec<Option<Triple>>, Vec<Kept<Triple>>, Vec<Box<Triple>>, BTreeSet<(String, String,
        Option<String>)>),
        4
    );
}

#[test]
fn a_pair_may_begin_with_a_list() {
    let flat = "*4\r\n*2\r\n+a\r\n+b\r\n:1\r\n*1\r\n+c\r\n:2\r\n";
    let nested = "*2\r\n*2\r\n*2\r\n+a\r\n+b\r\n:1\r\n*2\r\n*1\r\n+c\r\n:2\r\n";
    let map = "%2\r\n*2\r\n+a\r\n+b\r\n:1\r\n*1\r\n+c\r\n:2\r\n";
    let frames = [flat, nested, map].map(str::to_owned);
    let expected = r#"[(["a", "b"], 1), (["c"], 2)]"#;
    assert_eq!(same::<Vec<(Vec<String>, i64)>>(&frames), Ok(expected.to_owned()));
    assert_eq!(
        same::<Vec<Option<(Vec<String>, i64)>>>(&frames).map(|text| text.matches("Some").count()),
        Ok(2)
    );
    assert_eq!(count!(&frames; BTreeMap<Vec<String>, i64>), 1);
}

#[test]
fn an_empty_list_is_none_where_it_is_no_value() {
    let empty = ["*0\r\n", "~0\r\n", "%0\r\n", "*?\r\n.\r\n"].map(str::to_owned);
    let none = Ok("None".to_owned());
    assert_eq!(same::<Option<(String, f64)>>(&empty), none);
    assert_eq!(same::<Option<[String; 2]>>(&empty), none);
    assert_eq!(same::<Option<Point>>(&empty), none);
    assert_eq!(same::<Option<Box<(u64, f64)>>>(&empty), none);
    assert_eq!(same::<Option<Vec<String>>>(&empty), Ok("Some([])".to_owned()));
    assert_eq!(same::<Option<BTreeMap<String, String>>>(&empty), Ok("Some({})".to_owned()));
    // In the midst of others.
    let series = "*4\r\n*0\r\n*2\r\n:5\r\n+1.5\r\n_\r\n*0\r\n";
    let expected = Ok("[None, Some((5, 1.5)), None, None]".to_owned());
    assert_eq!(read::<Vec<Option<(u64, f64)>>>(series), expected);
    type Each = (Option<Point>, Option<Point>, Option<i64>, Option<[i64; 2]>);
    assert_eq!(read::<Each>(series).map(|each| each.matches("None").count()), Ok(3));
    assert_eq!(read::<Option<(String, f64)>>("*1\r\n+a\r\n"), Err(ErrorKind::Decode));
    assert_eq!(read::<(String, f64)>("*0\r\n"), Err(ErrorKind::Decode));
    #[cfg(feature = "serde")]
    {
        assert_eq!(
            read::<Struct<Vec<Option<(u64, f64)>>>>(series),
            Ok("Struct([None, Some((5, 1.5)), None, None])".into())
        );
        let map = "%3\r\n+a\r\n*0\r\n+b\r\n*2\r\n:5\r\n,1.5\r\n+c\r\n*0\r\n";
        let read = read::<Struct<BTreeMap<String, Option<(u64, f64)>>>>(map);
        assert_eq!(read, Ok(r#"Struct({"a": None, "b": Some((5, 1.5)), "c": None})"#.into()));
        assert_eq!(
            self::read::<Struct<(Option<Vec<i64>>, Option<(i64, i64)>)>>("*2\r\n*0\r\n*0\r\n"),
            Ok("Struct((Some([]), None))".into())
        );
        assert_eq!(self::read::<Option<Struct<(u64, f64)>>>("*0\r\n"), Ok("None".into()));
    }
}

#[test]
fn what_cannot_be_read_leaves_the_rest_of_its_list_alone() {
    let list = "*5\r\n+1\r\n*2\r\n+a\r\n+b\r\n-ERR no\r\n%1\r\n+x\r\n_\r\n:5\r\n";
    let read: Vec<Result<i64>> = Reader::read(list.as_bytes()).unwrap();
    let kinds: Vec<_> = read.iter().map(|item| item.as_ref().map_err(Error::kind).copied()).collect();
    let no = Err(ErrorKind::Decode);
    assert_eq!(kinds, [Ok(1), no, Err(ErrorKind::Response), no, Ok(5)]);
    let whole: (Result<(i64, i64)>, Result<Vec<i64>>, i64) =
        Reader::read(b"*3\r\n*2\r\n:1\r\n+x\r\n*2\r\n:1\r\n-NO no\r\n:7\r\n").unwrap();
    assert_eq!(
        (whole.0.unwrap_err().kind(), whole.1.unwrap_err().code(), whole.2),
        (ErrorKind::Decode, Some("NO"), 7)
    );
}

#[test]
fn all_types_take_what_came_from_either_protocol() {
    // Trees of the forms that a server has, each written in both protocols.
    use proptest::prelude::*;
    fn tree() -> impl Strategy<Value = (String, String)> {
        let number = any::<i32>().prop_map(|n| (f64::from(n) / 4.0).to_string());
        let leaf = prop_oneof![
            "[a-c0-9]{0,3}".prop_map(|text| (bulk(&text), verbatim(&text))),
            number.prop_map(|digits| (bulk(&digits), format!(",{digits}\r\n"))),
            any::<bool>().prop_map(|truth| (
                format!(":{}\r\n", i32::from(truth)),
                format!("#{}\r\n", if truth { 't' } else { 'f' })
            )),
            Just(("$-1\r\n".to_owned(), "_\r\n".to_owned())),
        ];
        leaf.prop_recursive(2, 12, 4, |inner| {
            let pairs = proptest::collection::vec((inner.clone(), inner.clone()), 0..4);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(|items| {
                    let (two, three): (String, String) = items.iter().cloned().unzip();
                    (format!("*{}\r\n{two}", items.len()), format!("~{}\r\n{three}", items.len()))
                }),
                pairs.prop_map(|pairs| {
                    let two: String = pairs.iter().map(|((a, _), (b, _))| format!("{a}{b}")).collect();
                    let three: String = pairs.iter().map(|((_, a), (_, b))| format!("{a}{b}")).collect();
                    (format!("*{}\r\n{two}", 2 * pairs.len()), format!("%{}\r\n{three}", pairs.len()))
                }),
            ]
        })
    }
    proptest!(|((two, three) in tree())| {
        let frames = [two, three];
        scalars!(&frames);
        count!(&frames; Vec<i64>, Vec<f64>, Vec<(String, f64)>, Vec<(String, Option<i64>)>, Vec<Kept<i64>>,
        Vec<Kept<(String, u32)>>,
            BTreeMap<String, Option<String>>, BTreeSet<String>, [String; 2], Vec<[Option<String>; 2]>,
            Vec<Option<(String, String)>>,
            Vec<Point>, Vec<Kept<Point>>, Vec<Vec<String>>, (Option<(i64, i64)>, bool), Vec<(Vec<String>,
            String)>,
            Vec<(String, String, String)>, Option<(String, f64)>, Vec<Box<(bool, bool)>>);
    });
}
