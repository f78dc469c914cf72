//! Requests as a server reads them, in pieces of any size: arrays of bulk strings, and plain lines.
//!
//! This file must not know what the words mean. It is written from the protocol's specification and from
//! what real servers say to faulty requests, and shares nothing with the client under test.

use crate::number::parse_int;

/// The words of one command.
pub(crate) type Words = Vec<Vec<u8>>;

/// The longest line that is waited for.
const LINE_MAX: usize = 64 * 1024;
/// The most words of one command.
const WORDS_MAX: i64 = i32::MAX as i64;
/// What a client that has not authenticated may send.
const GUEST_WORDS_MAX: i64 = 10;
const GUEST_BULK_MAX: i64 = 16384;

/// What has been received of the next requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    bytes: Vec<u8>,
    at: usize,
    /// How many words of the request under way are to come, and those that have come.
    open: Option<(i64, Words)>,
    /// The length of the word that is being received.
    bulk: Option<usize>,
}

/// What is wrong with a request; the server hangs up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProtocolError(pub(crate) String);

fn wrong<T>(what: &str) -> Result<T, ProtocolError> {
    Err(ProtocolError(format!("ERR Protocol error: {what}")))
}

impl Requests {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next request that has come whole. An empty one is to be passed over.
    pub(crate) fn next(&mut self, guest: bool, bulk_max: i64) -> Result<Option<Words>, ProtocolError> {
        if self.open.is_none() {
            match self.bytes.get(self.at) {
                None => return Ok(None),
                Some(b'*') => match self.head(guest)? {
                    None => return Ok(None),
                    Some(count) if count <= 0 => return Ok(Some(Words::new())),
                    Some(count) => self.open = Some((count, Words::new())),
                },
                Some(_) => return self.inline(),
            }
        }
        while let Some((left, _)) = self.open.as_ref() {
            if *left == 0 {
                break;
            }
            let Some(word) = self.word(guest, bulk_max)? else { return Ok(None) };
            if let Some((left, words)) = self.open.as_mut() {
                words.push(word);
                *left -= 1;
            }
        }
        Ok(self.open.take().map(|(_, words)| words))
    }

    /// A line up to its `\r`, which takes two bytes more.
    fn line(&mut self, too_big: &str) -> Result<Option<Vec<u8>>, ProtocolError> {
        let rest = &self.bytes[self.at..];
        let Some(len) = rest.iter().position(|byte| *byte == b'\r') else {
            return if rest.len() > LINE_MAX { wrong(too_big) } else { Ok(None) };
        };
        if rest.len() < len + 2 {
            return Ok(None);
        }
        let line = rest[..len].to_vec();
        self.at += len + 2;
        Ok(Some(line))
    }

    fn head(&mut self, guest: bool) -> Result<Option<i64>, ProtocolError> {
        let Some(line) = self.line("too big mbulk count string")? else { return Ok(None) };
        match parse_int(&line[1..]) {
            Some(count) if count > GUEST_WORDS_MAX && guest => wrong("unauthenticated multibulk length"),
            Some(count) if count <= WORDS_MAX => Ok(Some(count)),
            _ => wrong("invalid multibulk length"),
        }
    }

    fn word(&mut self, guest: bool, bulk_max: i64) -> Result<Option<Vec<u8>>, ProtocolError> {
        let len = match self.bulk {
            Some(len) => len,
            None => {
                let Some(line) = self.line("too big bulk count string")? else { return Ok(None) };
                if line.first() != Some(&b'$') {
                    let got = line.first().copied().unwrap_or(b'\r');
                    return wrong(&format!("expected '$', got '{}'", char::from(got)));
                }
                match parse_int(&line[1..]) {
                    Some(len) if len < 0 || len > bulk_max => return wrong("invalid bulk length"),
                    Some(len) if len > GUEST_BULK_MAX && guest => {
                        return wrong("unauthenticated bulk length");
                    }
                    Some(len) => *self.bulk.insert(usize::try_from(len).unwrap_or(usize::MAX)),
                    None => return wrong("invalid bulk length"),
                }
            }
        };
        let rest = &self.bytes[self.at..];
        if rest.len() < len + 2 {
            return Ok(None);
        }
        let word = rest[..len].to_vec();
        self.at += len + 2;
        self.bulk = None;
        Ok(Some(word))
    }

    fn inline(&mut self) -> Result<Option<Words>, ProtocolError> {
        let rest = &self.bytes[self.at..];
        let Some(len) = rest.iter().position(|byte| *byte == b'\n') else {
            return if rest.len() > LINE_MAX { wrong("too big inline request") } else { Ok(None) };
        };
        let line = rest[..len].strip_suffix(b"\r").unwrap_or(&rest[..len]);
        let words = split(line);
        self.at += len + 1;
        match words {
            Some(words) => Ok(Some(words)),
            None => wrong("unbalanced quotes in request"),
        }
    }
}

/// The words of a line, some of them quoted. `None` if a quotation does not end.
fn split(line: &[u8]) -> Option<Words> {
    let mut words = Words::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        let Some(first) = rest.first() else { return Some(words) };
        if !matches!(first, b'"' | b'\'') && !rest.iter().any(|byte| matches!(byte, b'"' | b'\'')) {
            let len = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
            words.push(rest[..len].to_vec());
            rest = &rest[len..];
            continue;
        }
        let mut word = Vec::new();
        rest = quoted(rest, &mut word)?;
        words.push(word);
    }
}

/// Takes one word that may have quotations in it.
fn quoted<'l>(mut rest: &'l [u8], word: &mut Vec<u8>) -> Option<&'l [u8]> {
    loop {
        match rest {
            [] => return Some(rest),
            [byte, ..] if byte.is_ascii_whitespace() => return Some(rest),
            [mark @ (b'"' | b'\''), inner @ ..] => {
                rest = quotation(inner, *mark, word)?;
                // A closing quote must be followed by a space, or nothing.
                if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                    return None;
                }
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn quotation<'l>(mut rest: &'l [u8], mark: u8, word: &mut Vec<u8>) -> Option<&'l [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [byte, tail @ ..] if *byte == mark => return Some(tail),
            [b'\\', b'\'', tail @ ..] if mark == b'\'' => {
                word.push(b'\'');
                tail
            }
            [b'\\', b'x', high, low, tail @ ..]
                if mark == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).ok()?;
                word.push(u8::from_str_radix(digits, 16).ok()?);
                tail
            }
            [b'\\', escaped, tail @ ..] if mark == b'"' => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                tail
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunks: &[&[u8]]) -> Result<Vec<Words>, ProtocolError> {
        let (mut requests, mut found) = (Requests::default(), Vec::new());
        for chunk in chunks {
            requests.push(chunk);
            while let Some(words) = requests.next(false, 512 << 20)? {
                found.push(words);
            }
        }
        Ok(found)
    }

    #[test]
    fn a_request_may_come_byte_by_byte() {
        let whole = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING  \"a b\" 'c'\r\n*0\r\n";
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(all(&bytes), all(&[whole]));
        let words = |list: &[&str]| list.iter().map(|word| word.as_bytes().to_vec()).collect::<Words>();
        let expected = vec![words(&["GET", "k"]), words(&["PING", "a b", "c"]), words(&[])];
        assert_eq!(all(&bytes), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_said_as_servers_say_it() {
        for (bytes, what) in [
            ("*x\r\n", "invalid multibulk length"),
            ("*1\r\n:1\r\n", "expected '$', got ':'"),
            ("*1\r\n$-1\r\n", "invalid bulk length"),
            ("SET k \"v\n", "unbalanced quotes in request"),
        ] {
            let error = all(&[bytes.as_bytes()]).expect_err(bytes);
            assert_eq!(error.0, format!("ERR Protocol error: {what}"));
        }
    }
}
