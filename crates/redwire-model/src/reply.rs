//! What a command says, and its bytes in either protocol.
//!
//! This file must not know any command.

use std::borrow::Cow;

use crate::number::format_double;

/// A reply, from which the bytes of RESP2 or RESP3 are made.
///
/// Scripts that a test registers return one.
///
/// ```
/// use redwire_model::Reply;
///
/// let reply = Reply::Map(vec![(Reply::bulk("field"), Reply::Int(1))]);
/// assert_eq!(reply.to_bytes(false), b"*2\r\n$5\r\nfield\r\n:1\r\n");
/// assert_eq!(reply.to_bytes(true), b"%1\r\n$5\r\nfield\r\n:1\r\n");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// Nothing is said: the client waits, or what there is to say is written already.
    Nothing,
    /// A line: `+OK`.
    Simple(Cow<'static, str>),
    /// An error: `-ERR …`.
    Error(Cow<'static, str>),
    /// An integer.
    Int(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// No value.
    Null,
    /// No value where an array might have been: another form than [`Null`](Self::Null) in RESP2.
    NullArray,
    /// An array.
    Array(Vec<Self>),
    /// A map; in RESP2 an array of twice the length.
    Map(Vec<(Self, Self)>),
    /// A set; in RESP2 an array.
    Set(Vec<Self>),
    /// A number; in RESP2 its text.
    Double(f64),
    /// A truth value; in RESP2 1 or 0.
    Bool(bool),
    /// Text for people; in RESP2 bytes.
    Verbatim(String),
    /// What no request is owed; in RESP2 an array.
    Push(Vec<Self>),
    /// Several replies to one command.
    Many(Vec<Self>),
    /// A reply's bytes, written when the client may have spoken the other protocol.
    Encoded(Vec<u8>),
}

/// Why a command is refused: the line of its error, from the error's word on.
///
/// ```
/// use redwire_model::Refusal;
///
/// assert_eq!(Refusal::new("ERR no").to_string(), "ERR no");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub(crate) Cow<'static, str>);

impl Refusal {
    /// The refusal with this line, such as `ERR no such key`.
    pub fn new(line: impl Into<Cow<'static, str>>) -> Self {
        Self(line.into())
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// What a command comes to.
pub(crate) type Outcome = Result<Reply, Refusal>;

/// A refusal with a line that is known before.
pub(crate) const fn refusal(line: &'static str) -> Refusal {
    Refusal(Cow::Borrowed(line))
}

pub(crate) const WRONGTYPE: Refusal =
    refusal("WRONGTYPE Operation against a key holding the wrong kind of value");
pub(crate) const SYNTAX: Refusal = refusal("ERR syntax error");
pub(crate) const NOT_INTEGER: Refusal = refusal("ERR value is not an integer or out of range");
pub(crate) const NOT_FLOAT: Refusal = refusal("ERR value is not a valid float");
pub(crate) const OUT_OF_RANGE: Refusal = refusal("ERR index out of range");
pub(crate) const NO_SUCH_KEY: Refusal = refusal("ERR no such key");

/// `+OK`.
pub(crate) const OK: Reply = Reply::Simple(Cow::Borrowed("OK"));

impl Reply {
    /// Bytes.
    pub fn bulk(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bulk(bytes.into())
    }

    /// Bytes, or no value.
    pub(crate) fn maybe(bytes: Option<impl Into<Vec<u8>>>) -> Self {
        bytes.map_or(Self::Null, Self::bulk)
    }

    /// How many there are.
    pub(crate) fn count(count: usize) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// A number that is not below zero.
    pub(crate) fn number(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// A map whose keys are names.
    pub(crate) fn fields<N: Into<Vec<u8>>>(fields: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Map(fields.into_iter().map(|(name, value)| (Self::bulk(name), value)).collect())
    }

    /// An array of bytes.
    pub(crate) fn list<B: Into<Vec<u8>>>(items: impl IntoIterator<Item = B>) -> Self {
        Self::Array(items.into_iter().map(Self::bulk).collect())
    }

    /// A flag as the integers 1 and 0.
    pub(crate) fn flag(is: bool) -> Self {
        Self::Int(is.into())
    }

    /// Its bytes in RESP3 or RESP2.
    #[must_use]
    pub fn to_bytes(&self, resp3: bool) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(resp3, &mut out);
        out
    }

    pub(crate) fn write(&self, resp3: bool, out: &mut Vec<u8>) {
        match self {
            Self::Nothing => {}
            Self::Simple(line) => write_line(out, b'+', line),
            Self::Error(line) => write_line(out, b'-', line),
            Self::Int(value) => write_line(out, b':', &value.to_string()),
            Self::Bulk(bytes) => write_bulk(out, b'$', bytes),
            Self::Null if resp3 => out.extend_from_slice(b"_\r\n"),
            Self::Null => out.extend_from_slice(b"$-1\r\n"),
            Self::NullArray if resp3 => out.extend_from_slice(b"_\r\n"),
            Self::NullArray => out.extend_from_slice(b"*-1\r\n"),
            Self::Array(items) => write_items(out, b'*', resp3, items),
            Self::Set(items) => write_items(out, if resp3 { b'~' } else { b'*' }, resp3, items),
            Self::Push(items) => write_items(out, if resp3 { b'>' } else { b'*' }, resp3, items),
            Self::Map(pairs) => {
                let (mark, len) = if resp3 { (b'%', pairs.len()) } else { (b'*', 2 * pairs.len()) };
                write_line(out, mark, &len.to_string());
                for (key, value) in pairs {
                    key.write(resp3, out);
                    value.write(resp3, out);
                }
            }
            Self::Double(value) if resp3 => write_line(out, b',', &format_double(*value)),
            Self::Double(value) => write_bulk(out, b'$', format_double(*value).as_bytes()),
            Self::Bool(value) if resp3 => out.extend_from_slice(if *value { b"#t\r\n" } else { b"#f\r\n" }),
            Self::Bool(value) => write_line(out, b':', if *value { "1" } else { "0" }),
            Self::Verbatim(text) if resp3 => write_bulk(out, b'=', format!("txt:{text}").as_bytes()),
            Self::Verbatim(text) => write_bulk(out, b'$', text.as_bytes()),
            Self::Encoded(bytes) => out.extend_from_slice(bytes),
            Self::Many(replies) => replies.iter().for_each(|reply| reply.write(resp3, out)),
        }
    }
}

impl From<Outcome> for Reply {
    fn from(outcome: Outcome) -> Self {
        outcome.unwrap_or_else(|refusal| Self::Error(refusal.0))
    }
}

/// A line; what would end it early is a space.
fn write_line(out: &mut Vec<u8>, mark: u8, line: &str) {
    out.push(mark);
    out.extend(line.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

fn write_bulk(out: &mut Vec<u8>, mark: u8, bytes: &[u8]) {
    write_line(out, mark, &bytes.len().to_string());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn write_items(out: &mut Vec<u8>, mark: u8, resp3: bool, items: &[Reply]) {
    write_line(out, mark, &items.len().to_string());
    for item in items {
        item.write(resp3, out);
    }
}
