//! The same answer in RESP2 and RESP3 gives the same value; what does not fit says so.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;

#[track_caller]
fn both<R: Reply + PartialEq + std::fmt::Debug>(resp2: &str, resp3: &str, expected: R) {
    assert_eq!(Reader::read::<R>(resp2.as_bytes()).unwrap(), expected, "RESP2");
    assert_eq!(Reader::read::<R>(resp3.as_bytes()).unwrap(), expected, "RESP3");
}

fn text(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn scalars() {
    both(":1\r\n", "#t\r\n", true);
    both(":0\r\n", "#f\r\n", false);
    both("$-1\r\n", "_\r\n", false);
    both("$3\r\n1.5\r\n", ",1.5\r\n", 1.5);
    both("$3\r\ninf\r\n", ",inf\r\n", f64::INFINITY);
    both("$3\r\n1.5\r\n", ",1.5\r\n", "1.5".to_owned());
    both(":3\r\n", "$1\r\n3\r\n", 3_i64);
    both("$-1\r\n", "_\r\n", None::<String>);
    both("*-1\r\n", "_\r\n", None::<Vec<String>>);
    both("$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n", "hi".to_owned());
    both("$2\r\nhi\r\n", "$?\r\n;1\r\nh\r\n;1\r\ni\r\n;0\r\n", b"hi".to_vec());
    both("$21\r\n123456789012345678901\r\n", "(123456789012345678901\r\n", 123_456_789_012_345_678_901_i128);
    both("+OK\r\n", "+OK\r\n", ());
    both("*1\r\n:1\r\n", "%1\r\n:1\r\n:2\r\n", ());
}

#[test]
fn lists_sets_and_maps() {
    both("*2\r\n+a\r\n+b\r\n", "~2\r\n+a\r\n+b\r\n", text(&["a", "b"]));
    both("*2\r\n+a\r\n+b\r\n", "*?\r\n+a\r\n+b\r\n.\r\n", HashSet::from(["a".to_owned(), "b".to_owned()]));
    both(
        "*4\r\n+a\r\n:1\r\n+b\r\n:2\r\n",
        "%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n",
        HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]),
    );
    both("*2\r\n+a\r\n:1\r\n", "%?\r\n+a\r\n:1\r\n.\r\n", BTreeMap::from([("a".to_owned(), 1)]));
    both("*2\r\n:1\r\n:2\r\n", "~2\r\n:1\r\n:2\r\n", [1, 2]);
    both("*0\r\n", "%0\r\n", HashMap::<String, String>::new());
}

#[test]
fn pairs_are_flat_or_nested() {
    let expected = vec![("a".to_owned(), 1.5), ("b".to_owned(), 2.0)];
    both(
        "*4\r\n+a\r\n$3\r\n1.5\r\n+b\r\n$1\r\n2\r\n",
        "*2\r\n*2\r\n+a\r\n,1.5\r\n*2\r\n+b\r\n,2\r\n",
        expected,
    );
    both("*2\r\n+a\r\n+b\r\n", "*1\r\n*2\r\n+a\r\n+b\r\n", [("a".to_owned(), "b".to_owned())]);
    let scan = "*2\r\n$1\r\n7\r\n*2\r\n+x\r\n+y\r\n";
    both(scan, scan, (7_u64, text(&["x", "y"])));
    let streams = vec![("s".to_owned(), vec![("1-1".to_owned(), HashMap::from([("f".to_owned(), 5)]))])];
    both(
        "*1\r\n*2\r\n+s\r\n*1\r\n*2\r\n+1-1\r\n*2\r\n+f\r\n:5\r\n",
        "%1\r\n+s\r\n*1\r\n*2\r\n+1-1\r\n*2\r\n+f\r\n:5\r\n",
        streams,
    );
}

#[test]
fn errors_inside_a_list_are_values_where_asked_for() {
    let frame = b"*2\r\n:1\r\n-ERR no\r\n";
    let list: Vec<Result<i64>> = Reader::read(frame).unwrap();
    assert_eq!(*list[0].as_ref().unwrap(), 1);
    assert_eq!(list[1].as_ref().unwrap_err().code(), Some("ERR"));
    assert_eq!(Reader::read::<Vec<i64>>(frame).unwrap_err().outcome(), Outcome::Rejected);
}

#[test]
fn what_does_not_fit_says_what_was_expected_and_what_came() {
    #[track_caller]
    fn fails<R: Reply + std::fmt::Debug>(frame: &str, expected: &str, got: &str) {
        let error = Reader::read::<R>(frame.as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Decode, Outcome::Unreadable));
        let message = error.to_string();
        assert!(message.contains(expected) && message.contains(got), "{message}");
    }
    fails::<i64>("+OK\r\n", "an integer that fits i64", "the status \"OK\"");
    fails::<u16>(":70000\r\n", "an integer that fits u16", "the integer 70000");
    fails::<i64>("$-1\r\n", "an integer", "nil (an Option would take it)");
    fails::<String>("*1\r\n:1\r\n", "text", "an array of 1 items");
    fails::<String>("%0\r\n", "text", "a map of 0 items");
    fails::<Vec<i64>>("$1\r\nx\r\n", "a list", "the text \"x\"");
    fails::<(i64, i64)>("*3\r\n:1\r\n:2\r\n:3\r\n", "a list of 2 items", "got 3");
    fails::<(i64, i64)>("*1\r\n:1\r\n", "expected 1 more items", "got 0");
    fails::<HashMap<i64, i64>>("*3\r\n:1\r\n:2\r\n:3\r\n", "more items", "got 0");
    fails::<[i64; 2]>("*1\r\n:1\r\n", "a list of 2 items", "got 1");
    fails::<bool>(":2\r\n", "a truth value", "the integer 2");
}

#[test]
fn text_is_strict_unless_asked_otherwise() {
    let frame = b"$2\r\n\xff!\r\n";
    assert!(Reader::read::<String>(frame).unwrap_err().to_string().contains("UTF-8"));
    assert_eq!(&*Reader::read::<Lossy>(frame).unwrap(), "\u{fffd}!");
    assert_eq!(Reader::read::<Vec<u8>>(frame).unwrap(), b"\xff!");
}

#[test]
fn large_bytes_share_the_memory_they_came_in() {
    let mut frame = b"$5000\r\n".to_vec();
    frame.extend([b'v'; 5000]);
    frame.extend(b"\r\n");
    let frame = Bytes::from(frame);
    let value = Bytes::decode(&mut Reader::new(&frame, 0)).unwrap();
    assert_eq!(value.as_ptr(), frame[7..].as_ptr());
    let small = Bytes::from_static(b"$1\r\nv\r\n");
    assert_ne!(Bytes::decode(&mut Reader::new(&small, 0)).unwrap().as_ptr(), small[4..].as_ptr());
}

#[test]
fn a_tree_takes_anything() {
    let tree: Value = Reader::read(b"*4\r\n+OK\r\n%1\r\n$1\r\nk\r\n,0.5\r\n-ERR x\r\n~1\r\n_\r\n").unwrap();
    let Value::Array(items) = tree else { panic!("an array") };
    assert_eq!(items[0], Value::Status("OK".into()));
    assert_eq!(items[1], Value::Map(vec![(Value::Bytes("k".into()), Value::Double(0.5))]));
    assert!(matches!(&items[2], Value::Error(error) if error.code() == Some("ERR")));
    assert_eq!(items[3], Value::Set(vec![Value::Null]));
    let deep = b"*1\r\n".repeat(1000);
    assert!(Reader::read::<Value>(&deep).is_err());
}

#[test]
fn decoding_never_panics_and_never_trusts_a_length() {
    let byte = proptest::sample::select(&b"*$:+-_#,(~%>|!=?;.\r\n019ab"[..]);
    proptest::proptest!(|(bytes in proptest::collection::vec(byte, 0..60))| {
        drop(Reader::read::<Value>(&bytes));
        drop(Reader::read::<Vec<(String, f64)>>(&bytes));
        drop(Reader::read::<HashMap<String, Option<i64>>>(&bytes));
        drop(Reader::read::<()>(&bytes));
    });
}
