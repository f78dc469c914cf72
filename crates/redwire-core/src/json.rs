//! Values that are JSON documents, as arguments and as replies: the feature `json`.
//!
//! A document is one word or one text, whatever it holds. This file must not know commands or paths.

use std::ops::{Deref, DerefMut};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arg::{Arg, Args};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::reply::{Reader, Reply};

/// A value of any type that serde knows, as the text of a JSON document.
///
/// As an argument it is one word. A value that JSON has no form for (a map whose keys are no texts) is
/// absent, so that a command that needs it is refused before anything is sent. As a reply it is read from a
/// text; nil is for `Option<Json<T>>`. `serde_json::Value` is both by itself.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::{Cmd, Json, Reader, Value};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Debug, PartialEq)]
/// struct User {
///     name: String,
///     age: u8,
/// }
///
/// let ann = User { name: "ann".into(), age: 42 };
/// let cmd: Cmd<Value> = Cmd::new("SET").arg("user").arg(Json(&ann));
/// assert_eq!(cmd.words()[2], r#"{"name":"ann","age":42}"#);
/// let Json(read): Json<User> = Reader::read(b"$23\r\n{\"name\":\"ann\",\"age\":42}\r\n")?;
/// assert_eq!(read, ann);
/// # Ok::<(), redwire::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Decode`]: the text is no JSON, or not of that type; the message says where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Json<T>(pub T);

impl<T> Json<T> {
    /// The value itself.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Json<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Serialize> Arg for Json<T> {
    fn write(&self, args: &mut Args) {
        document(serde_json::to_vec(&self.0), args);
    }
}

impl<T: DeserializeOwned> Reply for Json<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let text = Vec::<u8>::decode(reader)?;
        serde_json::from_slice(&text).map(Self).map_err(no_document)
    }
}

impl Arg for serde_json::Value {
    fn write(&self, args: &mut Args) {
        document(serde_json::to_vec(self), args);
    }
}

impl Reply for serde_json::Value {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Json::decode(reader).map(Json::into_inner)
    }
}

fn document(text: serde_json::Result<Vec<u8>>, args: &mut Args) {
    text.ok().write(args);
}

#[cold]
fn no_document(error: serde_json::Error) -> Error {
    let message = format!("expected a JSON document of another shape: {error}");
    Error::new(ErrorKind::Decode, Outcome::Unreadable, message).with_source(error)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cmd::Cmd;

    #[test]
    fn a_value_comes_back_as_it_was() {
        let value = serde_json::json!({"a": [1, 2.5, null, true], "b": "ü\n"});
        let mut args = Args::new();
        value.write(&mut args);
        let word = args.iter().next().unwrap().to_vec();
        let frame = [format!("${}\r\n", word.len()).as_bytes(), &word, b"\r\n"].concat();
        assert_eq!(Reader::read::<serde_json::Value>(&frame).unwrap(), value);
        let verbatim = [format!("={}\r\ntxt:", word.len() + 4).as_bytes(), &word, b"\r\n"].concat();
        assert_eq!(Reader::read::<Json<serde_json::Value>>(&verbatim).unwrap().0, value);
    }

    #[test]
    fn numbers_that_came_as_such_are_documents_too() {
        assert_eq!(*Reader::read::<Json<u32>>(b":7\r\n").unwrap(), 7);
        assert_eq!(Reader::read::<Option<Json<u32>>>(b"$-1\r\n").unwrap(), None);
        assert_eq!(Reader::read::<Option<Json<u32>>>(b"_\r\n").unwrap(), None);
    }

    #[test]
    fn what_is_no_such_document_tells_where() {
        let error = Reader::read::<Json<u32>>(b"$3\r\n\"x\"\r\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(error.message().contains("line 1 column 3"), "{error}");
    }

    #[test]
    fn what_json_has_no_form_for_is_refused_before_it_is_sent() {
        let value = Json(BTreeMap::from([((1, 2), 3)]));
        let cmd: Cmd<()> = Cmd::new("SET").required("k").required(value);
        assert_eq!(cmd.check().unwrap_err().kind(), ErrorKind::Usage);
    }
}
