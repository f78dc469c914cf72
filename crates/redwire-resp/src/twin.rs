//! What the tests measure by: a slow, recursive parser that is easy to see right, and random values that know
//! their own bytes and heads. Shares no code with what it checks.

use std::iter;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::{Found, Head, Len, Limits};

/// Why there is no (further) frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stop {
    Short,
    Bad,
}

/// All frames at the start of `buf`, and why there are no more.
pub(crate) fn frames(mut buf: &[u8], limits: Limits) -> (Vec<Found>, Stop) {
    let mut found = Vec::new();
    loop {
        let mut twin = Twin { rest: buf, whole: buf.len(), limits };
        let most = limits.frame_len as usize;
        match twin.value(0) {
            Ok(_) if buf.len() - twin.rest.len() > most => return (found, Stop::Bad),
            Err(Stop::Short) if buf.len() >= most => return (found, Stop::Bad),
            Ok(kind) => {
                let len = buf.len() - twin.rest.len();
                found.push(Found { len, push: kind == b'>' });
                buf = twin.rest;
            }
            Err(stop) => return (found, stop),
        }
    }
}

struct Twin<'a> {
    rest: &'a [u8],
    whole: usize,
    limits: Limits,
}

impl Twin<'_> {
    /// Reads one value within `depth` aggregates and returns its type.
    fn value(&mut self, depth: usize) -> Result<u8, Stop> {
        let kind = self.byte()?;
        match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => self.line()?,
            b'$' => match self.length("$")? {
                Some(-1) => {}
                Some(len) => self.body(len)?,
                None => self.chunks()?,
            },
            b'!' | b'=' => {
                let len = self.length("")?.ok_or(Stop::Bad)?;
                self.body(len)?;
            }
            b'*' => self.aggregate("$", 1, depth)?,
            b'~' | b'>' => self.aggregate("?", 1, depth)?,
            b'%' => self.aggregate("?", 2, depth)?,
            b'|' => {
                self.aggregate("", 2, depth)?;
                return self.value(depth);
            }
            _ => return Err(Stop::Bad),
        }
        Ok(kind)
    }

    fn aggregate(&mut self, forms: &str, values_each: u64, depth: usize) -> Result<(), Stop> {
        let len = self.length(forms)?;
        if len == Some(-1) {
            return Ok(());
        }
        let most = len.map_or(self.limits.elements, |len| len as u64);
        if depth >= usize::from(self.limits.depth) || most > self.limits.elements {
            return Err(Stop::Bad);
        }
        let mut count = 0;
        while len.is_none() || count < most * values_each {
            if len.is_none() && self.rest.first() == Some(&b'.') {
                self.byte()?;
                self.check(count % values_each == 0)?;
                return self.exactly(b"\r\n");
            }
            self.check(self.rest.is_empty() || count < most * values_each)?;
            self.value(depth + 1)?;
            count += 1;
        }
        Ok(())
    }

    fn chunks(&mut self) -> Result<(), Stop> {
        let mut total = 0;
        loop {
            let kind = self.byte()?;
            self.check(kind == b';')?;
            let len = self.length("")?.ok_or(Stop::Bad)?;
            if len == 0 {
                return Ok(());
            }
            total += len as u64;
            self.check(total <= self.limits.bulk_len)?;
            self.body(len)?;
        }
    }

    fn body(&mut self, len: i64) -> Result<(), Stop> {
        self.check(len as u64 <= self.limits.bulk_len)?;
        let end = (self.whole - self.rest.len()) as u64 + len as u64 + 2;
        self.check(end <= self.limits.frame_len)?;
        // The last two bytes are looked at together.
        let after = self.rest.get(len as usize..).filter(|after| after.len() >= 2).ok_or(Stop::Short)?;
        self.rest = after;
        self.exactly(b"\r\n")
    }

    fn line(&mut self) -> Result<(), Stop> {
        for read in 0.. {
            match self.byte()? {
                b'\r' => return self.exactly(b"\n"),
                b'\n' => return Err(Stop::Bad),
                _ => self.check(read < self.limits.line_len)?,
            }
        }
        unreachable!("lines end")
    }

    /// A length, -1 for null, `None` for a streamed one. `forms` allows both as `$`, the latter as `?`.
    fn length(&mut self, forms: &str) -> Result<Option<i64>, Stop> {
        let mut digits = String::new();
        loop {
            match self.byte()? {
                digit @ b'0'..=b'9' if digits.len() < 19 => digits.push(char::from(digit)),
                b'\r' if !digits.is_empty() => break,
                b'?' if digits.is_empty() && !forms.is_empty() => {
                    self.exactly(b"\r\n")?;
                    return Ok(None);
                }
                b'-' if digits.is_empty() && forms == "$" => {
                    self.exactly(b"1\r\n")?;
                    return Ok(Some(-1));
                }
                _ => return Err(Stop::Bad),
            }
        }
        self.exactly(b"\n")?;
        Ok(Some(digits.parse().unwrap_or(i64::MAX)))
    }

    fn exactly(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        for byte in bytes {
            let came = self.byte()?;
            self.check(came == *byte)?;
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let (first, rest) = self.rest.split_first().ok_or(Stop::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    fn check(&self, right: bool) -> Result<(), Stop> {
        if right { Ok(()) } else { Err(Stop::Bad) }
    }
}

/// A value that knows how it is written and what a cursor should say of it.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    LongError(Vec<u8>),
    Integer(i64),
    Bulk(Vec<u8>),
    Null(&'static str),
    Boolean(bool),
    Double(f64),
    BigNumber(String),
    Verbatim([u8; 3], Vec<u8>),
    Chunks(Vec<Vec<u8>>),
    Aggregate { kind: u8, streamed: bool, children: Vec<Self> },
    Attributed(Vec<(Self, Self)>, Box<Self>),
}

impl Tree {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Simple(text) => [b"+", &text[..], b"\r\n"].concat(),
            Self::Error(text) => [b"-", &text[..], b"\r\n"].concat(),
            Self::LongError(text) => blob('!', text),
            Self::Integer(value) => format!(":{value}\r\n").into_bytes(),
            Self::Bulk(text) => blob('$', text),
            Self::Null(text) => text.as_bytes().to_vec(),
            Self::Boolean(value) => format!("#{}\r\n", if *value { 't' } else { 'f' }).into_bytes(),
            Self::Double(value) => format!(",{value:e}\r\n").into_bytes(),
            Self::BigNumber(digits) => format!("({digits}\r\n").into_bytes(),
            Self::Verbatim(format, text) => blob('=', &[&format[..], b":", text].concat()),
            Self::Chunks(chunks) => {
                let chunks: Vec<u8> = chunks.iter().flat_map(|chunk| blob(';', chunk)).collect();
                [b"$?\r\n", &chunks[..], b";0\r\n"].concat()
            }
            Self::Aggregate { kind, streamed, children } => {
                let values_each = if *kind == b'%' { 2 } else { 1 };
                let len = if *streamed { "?".to_owned() } else { (children.len() / values_each).to_string() };
                let head = format!("{}{len}\r\n", char::from(*kind)).into_bytes();
                let end: &[u8] = if *streamed { b".\r\n" } else { b"" };
                iter::once(head)
                    .chain(children.iter().map(Self::bytes))
                    .chain([end.to_vec()])
                    .flatten()
                    .collect()
            }
            Self::Attributed(pairs, value) => {
                let head = format!("|{}\r\n", pairs.len()).into_bytes();
                let pairs = pairs.iter().flat_map(|(key, value)| [key.bytes(), value.bytes()]);
                iter::once(head).chain(pairs).chain([value.bytes()]).flatten().collect()
            }
        }
    }

    /// Adds what a cursor should say, head by head.
    pub(crate) fn heads<'a>(&'a self, heads: &mut Vec<Head<'a>>) {
        let last = match self {
            Self::Simple(text) => Head::Simple(text),
            Self::Error(text) | Self::LongError(text) => Head::Error(text),
            Self::Integer(value) => Head::Integer(*value),
            Self::Bulk(text) => Head::Bulk(text),
            Self::Null(_) => Head::Null,
            Self::Boolean(value) => Head::Boolean(*value),
            Self::Double(value) => Head::Double(*value),
            Self::BigNumber(digits) => Head::BigNumber(digits.as_bytes()),
            Self::Verbatim(format, text) => Head::Verbatim { format: *format, text },
            Self::Chunks(chunks) => {
                heads.push(Head::Chunks);
                heads.extend(chunks.iter().map(|chunk| Head::Chunk(chunk)));
                Head::Chunk(b"")
            }
            Self::Aggregate { kind, streamed, children } => {
                let known = if *kind == b'%' { children.len() / 2 } else { children.len() };
                let len = if *streamed { Len::Streamed } else { Len::Known(known) };
                heads.push(match kind {
                    b'~' => Head::Set(len),
                    b'>' => Head::Push(len),
                    b'%' => Head::Map(len),
                    _ => Head::Array(len),
                });
                children.iter().for_each(|child| child.heads(heads));
                if !streamed {
                    return;
                }
                Head::End
            }
            Self::Attributed(_, value) => return value.heads(heads),
        };
        heads.push(last);
    }
}

fn blob(kind: char, text: &[u8]) -> Vec<u8> {
    [format!("{kind}{}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

/// Values of every type, up to five levels deep.
pub(crate) fn tree() -> impl Strategy<Value = Tree> {
    let line = || vec(any::<u8>().prop_filter("no line end", |byte| !b"\r\n".contains(byte)), 0..40);
    let text = || prop_oneof![4 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 90..1100)];
    let double = prop_oneof![any::<f64>().prop_filter("equal to itself", |value| !value.is_nan()), Just(0.1)];
    let leaf = prop_oneof![
        line().prop_map(Tree::Simple),
        line().prop_map(Tree::Error),
        text().prop_map(Tree::LongError),
        any::<i64>().prop_map(Tree::Integer),
        (-20..20_i64).prop_map(Tree::Integer),
        text().prop_map(Tree::Bulk),
        text().prop_map(Tree::Bulk),
        prop_oneof![Just("_\r\n"), Just("$-1\r\n"), Just("*-1\r\n")].prop_map(Tree::Null),
        any::<bool>().prop_map(Tree::Boolean),
        double.prop_map(Tree::Double),
        "[+-]?[0-9]{1,60}".prop_map(Tree::BigNumber),
        (any::<[u8; 3]>(), text()).prop_map(|(format, text)| Tree::Verbatim(format, text)),
        vec(vec(any::<u8>(), 1..30), 0..4).prop_map(Tree::Chunks),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        let pairs = vec((inner.clone(), inner.clone()), 0..3);
        let kind = prop_oneof![Just(b'*'), Just(b'~'), Just(b'>'), Just(b'%')];
        prop_oneof![
            5 => (kind, any::<bool>(), vec(inner.clone(), 0..8)).prop_map(|(kind, streamed, mut children)| {
                children.truncate(if kind == b'%' { children.len() & !1 } else { children.len() });
                Tree::Aggregate { kind, streamed, children }
            }),
            1 => (pairs, inner).prop_map(|(pairs, value)| Tree::Attributed(pairs, Box::new(value))),
        ]
    })
}

/// Bytes that are nearly frames: written values with a few bytes changed, left out or put in.
pub(crate) fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => prop::sample::select(b"+-:$*~%>|_#,(!=;.?\r\n0123456789".to_vec()),
        1 => any::<u8>(),
    ];
    let edit = (any::<prop::sample::Index>(), byte, 0..3_u8);
    (vec(tree(), 1..4), vec(edit, 0..4)).prop_map(|(trees, edits)| {
        let mut bytes: Vec<u8> = trees.iter().flat_map(Tree::bytes).collect();
        for (index, byte, what) in edits {
            let at = index.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        bytes
    })
}

/// Bytes with a grammar's look but none of its sense.
pub(crate) fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "*1\r\n", "*2\r\n", "%1\r\n", "~?\r\n", "%?\r\n", "*?\r\n", ">1\r\n", "|1\r\n", "|0\r\n", "$?\r\n",
        ";0\r\n", ";2\r\n", "ab\r\n", ".\r\n", "$2\r\n", "+x\r\n", ":1\r\n", "_\r\n", "$-1\r\n", "*-1\r\n",
        "*0\r\n", "\r", "\n", "$", "=4\r\n", "txt:", "!1\r\n", "99", "-1", "#t\r\n", ",1\r\n", "(1\r\n",
    ]);
    vec(token, 0..24).prop_map(|tokens| tokens.concat().into_bytes())
}
