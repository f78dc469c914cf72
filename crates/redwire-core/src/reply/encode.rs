//! A tree as the frame that would have been read as it.
//!
//! Promises that reading the frame gives the same tree. A tree that no server can send gives a frame that
//! cannot be read.

use super::Value;

impl Value {
    /// As the bytes of a frame of RESP3.
    pub(crate) fn to_frame(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"_\r\n"),
            // A line must not end early.
            Self::Status(text) if text.contains(['\r', '\n']) => blob(out, '$', text.as_bytes()),
            Self::Status(text) => line(out, '+', text),
            Self::Integer(number) => line(out, ':', &number.to_string()),
            Self::Bytes(bytes) => blob(out, '$', bytes),
            Self::Double(number) => line(out, ',', &double(*number)),
            Self::Boolean(truth) => line(out, '#', if *truth { "t" } else { "f" }),
            Self::BigNumber(digits) => line(out, '(', digits),
            Self::Verbatim(format, text) => blob(out, '=', format!("{format}:{text}").as_bytes()),
            Self::Error(error) => blob(out, '!', error.message().as_bytes()),
            Self::Array(items) => list(out, '*', items),
            Self::Set(items) => list(out, '~', items),
            Self::Push(items) => list(out, '>', items),
            Self::Map(pairs) => {
                line(out, '%', &pairs.len().to_string());
                pairs.iter().for_each(|(key, value)| {
                    key.write(out);
                    value.write(out);
                });
            }
        }
    }
}

fn line(out: &mut Vec<u8>, kind: char, text: &str) {
    out.push(kind as u8);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn blob(out: &mut Vec<u8>, kind: char, bytes: &[u8]) {
    line(out, kind, &bytes.len().to_string());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn list(out: &mut Vec<u8>, kind: char, items: &[Value]) {
    line(out, kind, &items.len().to_string());
    items.iter().for_each(|item| item.write(out));
}

fn double(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    // As Rust writes it: `inf`, `-inf`, or the shortest decimal that reads as the same number.
    number.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Error;
    use crate::reply::Reader;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            "[ -~]{0,9}".prop_map(Value::Status),
            any::<i64>().prop_map(Value::Integer),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bytes(bytes.into())),
            any::<f64>().prop_filter("equal to itself", |n| !n.is_nan()).prop_map(Value::Double),
            any::<bool>().prop_map(Value::Boolean),
            any::<i128>().prop_map(|n| Value::BigNumber(n.to_string())),
            any::<String>().prop_map(|text| Value::Verbatim("txt".to_owned(), text)),
            "[A-Z]{1,5} [a-z\\r\\n]{0,9}".prop_map(|line| Value::Error(Error::from_server(line.as_bytes()))),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let list = || proptest::collection::vec(inner.clone(), 0..6);
            prop_oneof![
                list().prop_map(Value::Array),
                list().prop_map(Value::Set),
                list().prop_map(Value::Push),
                proptest::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn its_frame_reads_as_the_same_tree(value in values()) {
            // An error is a value inside a list only.
            let value = Value::Array(vec![value]);
            prop_assert_eq!(Reader::read::<Value>(&value.to_frame()).unwrap(), value);
        }
    }

    #[test]
    fn what_no_line_can_hold_is_sent_by_its_length() {
        let read = |value: Value| Reader::read::<String>(&value.to_frame()).unwrap();
        assert_eq!(read(Value::Status("a\r\nb".to_owned())), "a\r\nb");
        assert!(Reader::read::<f64>(&Value::Double(f64::NAN).to_frame()).unwrap().is_nan());
        assert_eq!(
            Reader::read::<f64>(&Value::Double(f64::NEG_INFINITY).to_frame()).unwrap(),
            f64::NEG_INFINITY
        );
    }
}
