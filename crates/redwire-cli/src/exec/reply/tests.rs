//! Replies of each kind, in each form.

use super::*;

fn bytes(text: &[u8]) -> Value {
    Value::Bytes(text.to_vec().into())
}

fn server_error() -> Error {
    Error::from_server(b"WRONGTYPE no list")
}

#[test]
fn people_see_what_redis_cli_shows() {
    let table: [(Value, &str); 12] = [
        (Value::Null, "(nil)"),
        (Value::Status("OK".to_owned()), "OK"),
        (Value::Integer(-3), "(integer) -3"),
        (bytes(b"a \"b\"\\\n\r\t\x07\x08\x00\xff"), r#""a \"b\"\\\n\r\t\a\b\x00\xff""#),
        (Value::Double(1.5), "(double) 1.5"),
        (Value::Double(f64::INFINITY), "(double) inf"),
        (Value::Boolean(true), "(true)"),
        (Value::BigNumber("123".to_owned()), "(big number) 123"),
        (Value::Verbatim("txt".to_owned(), "a\r\nb\n".to_owned()), "a\nb"),
        (Value::Error(server_error()), "(error) WRONGTYPE no list"),
        (Value::Array(vec![]), "(empty array)"),
        (Value::Map(vec![]), "(empty hash)"),
    ];
    for (value, text) in table {
        assert_eq!(for_people(&value), text);
    }
}

#[test]
fn lists_are_numbered_and_nested() {
    let mut items = vec![Value::Integer(0); 9];
    items.push(Value::Array(vec![bytes(b"a"), Value::Set(vec![bytes(b"b"), bytes(b"c")])]));
    let text = for_people(&Value::Array(items));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], " 1) (integer) 0");
    assert_eq!(lines[9..], ["10) 1) \"a\"", "    2) 1~ \"b\"", "       2~ \"c\""]);
}

#[test]
fn maps_show_their_keys() {
    let list = Value::Array(vec![Value::Integer(1), Value::Integer(2)]);
    let map = Value::Map(vec![(bytes(b"k"), bytes(b"v")), (bytes(b"l"), list)]);
    assert_eq!(for_people(&map), "1# \"k\" => \"v\"\n2# \"l\" => 1) (integer) 1\n   2) (integer) 2");
}

#[test]
fn nothing_steers_the_terminal() {
    for value in [
        Value::Status("\x1b[2J".to_owned()),
        Value::Verbatim("txt".to_owned(), "\x1b[2J".to_owned()),
        Value::Error(Error::from_server(b"ERR \x1b[2J")),
        bytes(b"\x1b[2J"),
    ] {
        assert!(!for_people(&value).contains('\x1b'), "{value:?}");
    }
}

#[test]
fn bytes_stay_as_they_are() {
    assert_eq!(raw(&bytes(b"\xff\n")), b"\xff\n");
    assert_eq!(raw(&Value::Null), b"");
    let map =
        Value::Map(vec![(bytes(b"k"), Value::Array(vec![Value::Integer(1), Value::Null, bytes(b"x")]))]);
    assert_eq!(raw(&map), b"k\n1\n\nx");
}

#[test]
fn json_keeps_types() {
    let map = Value::Map(vec![(bytes(b"k"), Value::Set(vec![Value::Boolean(false), Value::Null]))]);
    let wanted = json!({ "type": "map", "value": [[
        { "type": "string", "value": "k" },
        {
            "type": "set",
            "value": [{ "type": "boolean", "value": false }, { "type": "null", "value": null }]
        },
    ]] });
    assert_eq!(json(&map), wanted);
    assert_eq!(json(&bytes(b"\xff\x01")), json!({ "type": "bytes", "value": "ff01" }));
    assert_eq!(json(&Value::Double(f64::NEG_INFINITY)), json!({ "type": "double", "value": "-inf" }));
    let wanted = json!({ "type": "error", "code": "WRONGTYPE", "value": "WRONGTYPE no list" });
    assert_eq!(json(&Value::Error(server_error())), wanted);
}
