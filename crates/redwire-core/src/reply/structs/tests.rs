//! The same answer in RESP2 and RESP3 gives the same struct; what does not fit says where and why.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use proptest::collection::{btree_map, vec};
use serde::Deserialize;

use super::*;
use crate::error::{Error, ErrorKind, Outcome};

/// A frame written as words: `%1 +name $ann`. Those of `$` get their lengths.
fn frame(words: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    for word in words.split_whitespace() {
        match word.strip_prefix('$') {
            Some("-1" | "?") | None => frame.extend_from_slice(word.as_bytes()),
            Some(text) => frame.extend_from_slice(format!("${}\r\n{text}", text.len()).as_bytes()),
        }
        frame.extend_from_slice(b"\r\n");
    }
    frame
}

#[track_caller]
fn read<T: DeserializeOwned>(words: &str) -> T {
    Reader::read::<Struct<T>>(&frame(words)).unwrap().into_inner()
}

#[track_caller]
fn both<T: DeserializeOwned + PartialEq + Debug>(resp2: &str, resp3: &str, expected: T) {
    assert_eq!(read::<T>(resp2), expected, "RESP2");
    assert_eq!(read::<T>(resp3), expected, "RESP3");
}

#[track_caller]
fn failure<T: DeserializeOwned + Debug>(words: &str) -> Error {
    Reader::read::<Struct<T>>(&frame(words)).unwrap_err()
}

#[track_caller]
fn fails<T: DeserializeOwned + Debug>(words: &str, message: &str) {
    let error = failure::<T>(words);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Decode, Outcome::Unreadable));
    assert_eq!(error.message(), message);
}

#[derive(Deserialize, Debug, PartialEq, Clone)]
struct User {
    name: String,
    age: u8,
    #[serde(default)]
    admin: bool,
    email: Option<String>,
}

fn ann() -> User {
    User { name: "ann".into(), age: 42, admin: true, email: None }
}

#[test]
fn fields_come_in_turn_as_a_map_or_in_pairs() {
    let map = "%3 $name $ann $age :42 $admin #t";
    both("*6 $name $ann $age $42 $admin $1", map, ann());
    both("*3 *2 $name $ann *2 $age $42 *2 $admin $true", map, ann());
    both("*? $name $ann $age $42 $admin $1 .", "%? +admin #t +age :42 +name +ann .", ann());
    both("*4 $name $ann $age $42", "%2 $age :42 $name $ann", User { admin: false, ..ann() });
    both(
        "*8 $email $a@b $name $ann $age $42 $admin $1",
        "%4 $email $a@b $name $ann $age :42 $admin #t",
        User { email: Some("a@b".into()), ..ann() },
    );
}

#[test]
fn unknown_fields_are_passed_over_whatever_they_hold() {
    let known = "$name $ann $age $42 $admin $1";
    both(
        &format!("*12 $x *2 :1 *1 -ERR {known} $y $-1 $z $? ;0"),
        &format!("%6 $x %1 :1 *1 -ERR {known} $y _ $z $? ;0"),
        ann(),
    );

    let mut frame = b"%4\r\n$1\r\n\xff\r\n:1\r\n".to_vec();
    frame.extend(self::frame(known));
    assert_eq!(*Reader::read::<Struct<User>>(&frame).unwrap(), ann(), "a name that is no UTF-8");

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read by serde only")]
    struct Strict {
        a: u8,
    }
    fails::<Strict>("*4 $a $1 $b $2", "unknown field `b`, expected `a`");
}

#[test]
fn every_scalar_reads_from_text_and_from_its_own_type() {
    both("$1", "#t", true);
    both("$false", ":0", false);
    both("+true", "$true", true);
    both("$-128", ":-128", i8::MIN);
    both("$255", ":255", u8::MAX);
    both("$-32768", ":-32768", i16::MIN);
    both("$65535", ":65535", u16::MAX);
    both("$-2147483648", ":-2147483648", i32::MIN);
    both("$4294967295", ":4294967295", u32::MAX);
    both("$-9223372036854775808", ":-9223372036854775808", i64::MIN);
    both("$18446744073709551615", "(18446744073709551615", u64::MAX);
    both("$-170141183460469231731687303715884105728", "(-170141183460469231731687303715884105728", i128::MIN);
    both("$340282366920938463463374607431768211455", "(340282366920938463463374607431768211455", u128::MAX);
    both("$0.5", ",0.5", 0.5_f32);
    both("$inf", ",inf", f64::INFINITY);
    both("$3", ":3", 3.0_f64);
    both("$é", "$? ;2 é ;0", 'é');
    both("$1.5", ",1.5", "1.5".to_owned());
    both("$hi", "=6 txt:hi", "hi".to_owned());
    both("$-1", "_", None::<u8>);
    both("$7", ":7", Some(7_u8));
    both("+OK", "_", ());
}

#[test]
fn bytes_are_raw_and_text_is_strict() {
    let frame = b"$2\r\n\xff!\r\n";
    assert_eq!(*Reader::read::<Struct<Vec<u8>>>(frame).unwrap(), b"\xff!");
    assert_eq!(*Reader::read::<Struct<[u8; 2]>>(frame).unwrap(), *b"\xff!");
    assert!(Reader::read::<Struct<String>>(frame).unwrap_err().message().contains("UTF-8"));
    both("$? ;1 h ;1 i ;0", "*2 :104 :105", b"hi".to_vec());
    fails::<[u8; 2]>("$abc", "expected 2 elements in sequence, got 3 items");
    fails::<[u8; 4]>("$abc", "expected an array of length 4, got 3 items");

    #[derive(Debug, PartialEq)]
    struct Raw(Vec<u8>);
    impl<'de> Deserialize<'de> for Raw {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Buffer;
            impl Visitor<'_> for Buffer {
                type Value = Raw;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("bytes")
                }
                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Raw, E> {
                    Ok(Raw(bytes.to_vec()))
                }
            }
            deserializer.deserialize_byte_buf(Buffer)
        }
    }
    assert_eq!(Reader::read::<Struct<Raw>>(frame).unwrap().0, Raw(b"\xff!".to_vec()));
    both("$7", ":7", Raw(b"7".to_vec()));
}

#[derive(Deserialize, Debug, PartialEq)]
enum Shape {
    Empty,
    Circle(f64),
    Line(i8, i8),
    #[serde(rename = "rect")]
    Rectangle {
        width: u32,
        height: u32,
    },
}

#[test]
fn enums_are_names_or_one_pair() {
    both("$Empty", "+Empty", Shape::Empty);
    both("*2 $Empty $-1", "%1 $Empty _", Shape::Empty);
    both("*2 $Circle $1.5", "%1 $Circle ,1.5", Shape::Circle(1.5));
    both("*2 $Line *2 $1 $2", "%1 $Line *2 :1 :2", Shape::Line(1, 2));
    both(
        "*2 $rect *4 $width $3 $height $4",
        "%1 $rect %2 $width :3 $height :4",
        Shape::Rectangle { width: 3, height: 4 },
    );
    fails::<Shape>("$Star", "expected one of Empty, Circle, Line, rect, got the text \"Star\"");
    fails::<Shape>("%1 $Circle $wide", "at `Circle`: expected a number, got the text \"wide\"");
    fails::<Shape>("%2 $Circle :1 $Empty _", "expected no further fields, got more");
    fails::<Shape>("*1 $Circle", "at `Circle`: expected 1 more items in the list, got 0");
    fails::<Shape>("%0", "expected the name of a variant and what it holds, got an empty list");
    assert!(failure::<Shape>("$Circle").message().contains("expected newtype variant"));

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(tag = "kind")]
    enum Tagged {
        Named { name: String },
    }
    assert_eq!(read::<Tagged>("%2 $kind $Named $name $ann"), Tagged::Named { name: "ann".into() });
}

#[derive(Deserialize, Debug, PartialEq)]
struct Id(u64);

#[derive(Deserialize, Debug, PartialEq)]
struct Team {
    id: Id,
    lead: User,
    #[serde(default)]
    members: Vec<User>,
    #[serde(default)]
    scores: Vec<(String, f64)>,
    #[serde(default)]
    limits: HashMap<u16, Option<(i32, i32)>>,
    shape: Option<Shape>,
}

#[test]
fn structs_lists_and_maps_nest() {
    let expected = Team {
        id: Id(7),
        lead: ann(),
        members: vec![ann(), User { admin: false, ..ann() }],
        scores: vec![("a".into(), 1.5), ("b".into(), 2.0)],
        limits: HashMap::from([(80, Some((1, 2))), (443, None)]),
        shape: Some(Shape::Circle(0.5)),
    };
    let user = "*6 $name $ann $age $42 $admin $1";
    let resp2 = format!(
        "*12 $id $7 $lead {user} $members *2 {user} *4 $name $ann $age $42 \
         $scores *4 $a $1.5 $b $2 $limits *4 $80 *2 $1 $2 $443 $-1 $shape *2 $Circle $0.5"
    );
    let user = "%3 $name $ann $age :42 $admin #t";
    let resp3 = format!(
        "%6 $id :7 $lead {user} $members ~2 {user} %2 $name $ann $age :42 \
         $scores *2 *2 $a ,1.5 *2 $b ,2 $limits %2 :80 *2 :1 :2 :443 _ $shape %1 $Circle ,0.5"
    );
    both(&resp2, &resp3, expected);

    let entry = vec![(1_u8, BTreeMap::from([("f".to_owned(), 5_i64)]))];
    both("*2 $1 *2 $f $5", "*1 *2 :1 %1 $f :5", entry);
    both("*4 $a $1 $b $2", "%2 $a :1 $b :2", vec![("a".to_owned(), 1), ("b".to_owned(), 2)]);
    both("*2 *0 *0", "*2 *0 ~0", Vec::from([[0_u8; 0], []]));
    assert_eq!(read::<BTreeMap<Vec<u8>, char>>("%1 *2 :1 :2 $x"), BTreeMap::from([(vec![1, 2], 'x')]));
}

#[test]
fn a_missing_key_is_an_empty_map_or_nil() {
    let hint = "missing field `name`, got no fields at all, as from a key that does not exist";
    fails::<User>("*0", hint);
    fails::<User>("%? .", hint);
    fails::<User>("%1 $age :1", "missing field `name`");
    both("*0", "%0", None::<User>);
    both("*? .", "_", None::<User>);
    both("*6 $name $ann $age $42 $admin $1", "%3 $name $ann $age :42 $admin #t", Some(ann()));
    both("*1 *0", "*1 ~0", vec![Some(Vec::<u8>::new())]);

    #[derive(Debug)]
    struct Picky;
    impl<'de> Deserialize<'de> for Picky {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Self)
        }
    }
    impl Visitor<'_> for Picky {
        type Value = Self;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("something else")
        }
    }
    fails::<Picky>("%1 $age :1", "expected something else, got map");

    assert!(Reader::read::<Option<Struct<User>>>(b"_\r\n").unwrap().is_none());
    assert_eq!(Reader::read::<Option<Struct<User>>>(b"%0\r\n").unwrap_err().message(), hint);
    let many: Vec<Struct<Option<User>>> = Reader::read(b"*2\r\n%0\r\n*-1\r\n").unwrap();
    assert_eq!(many, [Struct(None), Struct(None)]);
}

#[test]
fn errors_tell_the_way_what_was_expected_and_what_came() {
    fails::<User>(
        "*4 $name $ann $age $old",
        "at `age`: expected an integer that fits u8, got the text \"old\"",
    );
    fails::<User>("%2 $age :256 $name $x", "at `age`: expected an integer that fits u8, got the integer 256");
    fails::<User>("%1 $name _", "at `name`: expected text, got nil (an Option would take it)");
    fails::<User>(
        "%1 $admin +OK",
        "at `admin`: expected a truth value (0, 1, true or false), got the status \"OK\"",
    );
    fails::<User>("*3 $name $ann $age", "at `age`: expected 1 more items in the list, got 0");
    fails::<User>("*1 *3 $name $ann $x", "at `name`: expected a field and a value, got a longer list");
    fails::<User>("$x", "expected a map, or a list of fields and values, got the text \"x\"");
    fails::<Team>(
        "%1 $members *2 %2 $name $ann $age :1 %1 $age $x",
        "at `members[1].age`: expected an integer that fits u8, got the text \"x\"",
    );
    fails::<Vec<Vec<i8>>>(
        "*1 *2 :1 :999",
        "at `[0][1]`: expected an integer that fits i8, got the integer 999",
    );
    fails::<Vec<i64>>("$12", "expected a list, got the text \"12\"");
    fails::<Vec<i64>>("_", "expected a list, got nil (an Option would take it)");
    fails::<(u8, u8)>("*3 :1 :2 :3", "expected a list of 2 items, got 3");
    fails::<(u8, u8)>("*1 :1", "expected a tuple of size 2, got 1 items");
    fails::<Vec<(u8, u8)>>("*3 :1 :2 :3", "at `[1]`: expected 1 more items in the list, got 0");
    fails::<char>("$ab", "expected a character, got the text \"ab\"");
    let (name, shown) = ("n".repeat(100), "n".repeat(40));
    fails::<HashMap<String, u8>>(
        &format!("%1 ${name} _"),
        &format!("at `{shown}…`: expected an integer that fits u8, got nil (an Option would take it)"),
    );
}

#[test]
fn an_error_of_the_server_comes_as_it_is() {
    let server = b"%2\r\n$4\r\nname\r\n+ann\r\n$3\r\nage\r\n-WRONGTYPE no\r\n";
    let error = Reader::read::<Struct<User>>(server).unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Some("WRONGTYPE"), Outcome::Rejected));
    for error in [failure::<Option<User>>("-ERR"), failure::<Vec<String>>("*1 -ERR"), failure::<bool>("-ERR")]
    {
        assert_eq!((error.code(), error.message()), (Some("ERR"), "ERR"));
    }
    let cut = Reader::read::<Struct<User>>(b"%1\r\n$4\r\nna").unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::Protocol);
}

#[derive(Deserialize, Debug, PartialEq)]
enum Tree {
    Leaf,
    Node(Vec<Self>),
}

#[test]
fn deep_nesting_is_refused_before_the_stack_ends() {
    #[derive(Deserialize, Debug)]
    #[expect(dead_code, reason = "read by serde only")]
    struct Lists(Vec<Self>);
    let nested = |depth: usize| format!("{}*0", "*1 ".repeat(depth - 1));
    read::<Lists>(&nested(MOST_DEPTH));
    for depth in [MOST_DEPTH + 1, 100_000] {
        let error = failure::<Lists>(&nested(depth));
        assert!(error.message().ends_with("expected at most 128 levels of nesting, got more"), "{error}");
    }
    both("*2 $Node *1 $Leaf", "%1 $Node ~1 +Leaf", Tree::Node(vec![Tree::Leaf]));
}

#[test]
fn decoding_never_panics() {
    let alphabet = proptest::sample::select(&b"*$:+-_#,(~%>|!=?;.\r\n0129a"[..]);
    // Whole words get further into a frame than loose bytes do.
    const WORDS: &[&str] = &[
        "*2", "%1", "*?", ".", "_", ":1", "$a", "$Node", "+Leaf", "+age", "$members", "$?", ";0", "-E", "*0",
    ];
    fn all(bytes: &[u8]) {
        drop(Reader::read::<Struct<Team>>(bytes));
        drop(Reader::read::<Struct<Option<User>>>(bytes));
        drop(Reader::read::<Struct<Tree>>(bytes));
        drop(Reader::read::<Struct<Vec<(String, f64)>>>(bytes));
        drop(Reader::read::<Struct<HashMap<String, Vec<u8>>>>(bytes));
    }
    let some_words = vec(proptest::sample::select(WORDS), 0..20);
    proptest::proptest!(|(bytes in vec(alphabet, 0..60), words in some_words)| {
        all(&bytes);
        all(&frame(&words.join(" ")));
    });
}

#[test]
fn any_map_is_read_as_the_replies_without_serde_read_it() {
    proptest::proptest!(|(map in btree_map("[a-z]{0,3}", proptest::num::i64::ANY, 0..6))| {
        let (mut flat, mut typed, mut pairs) = (String::new(), String::new(), String::new());
        for (field, value) in &map {
            flat.push_str(&format!("${}\r\n{field}\r\n+{value}\r\n", field.len()));
            typed.push_str(&format!("+{field}\r\n:{value}\r\n"));
            pairs.push_str(&format!("*2\r\n+{field}\r\n:{value}\r\n"));
        }
        let len = map.len();
        let (flat, typed) = (format!("*{}\r\n{flat}", 2 * len), format!("%{len}\r\n{typed}"));
        for frame in [flat, typed, format!("*{len}\r\n{pairs}")] {
            let read: Struct<BTreeMap<String, i64>> = Reader::read(frame.as_bytes()).unwrap();
            proptest::prop_assert_eq!(&*read, &map);
            let read = Reader::read::<BTreeMap<String, i64>>(frame.as_bytes()).unwrap();
            proptest::prop_assert_eq!(&read, &map);
        }
    });
}
