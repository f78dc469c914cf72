//! One line of `MONITOR`: `1339518083.107412 [0 127.0.0.1:60866] "SET" "k" "\x00"`. The servers' escapes are
//! undone here, each of them and no others.

use std::time::Duration;

use super::{MonitorClient, MonitorEntry};

/// `None` where it is not as servers write it.
pub(super) fn parse(line: &[u8]) -> Option<MonitorEntry> {
    let (time, rest) = split_once(line, b" [")?;
    // No word can hold this before the words begin; the path of a socket could, but who would.
    let (origin, words) = split_once(rest, b"] \"")?;
    let (db, client) = split_once(origin, b" ")?;
    Some(MonitorEntry {
        time: moment(time)?,
        db: number(db)?.try_into().ok()?,
        client: who(client),
        command: unquote(words)?,
    })
}

fn split_once<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Seconds since 1970, and microseconds in six digits.
fn moment(text: &[u8]) -> Option<Duration> {
    let (seconds, micros) = split_once(text, b".")?;
    if micros.len() != 6 {
        return None;
    }
    Duration::from_secs(number(seconds)?).checked_add(Duration::from_micros(number(micros)?))
}

fn who(client: &[u8]) -> MonitorClient {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if client == b"lua" {
        return MonitorClient::Lua;
    }
    if let Some(path) = client.strip_prefix(b"unix:") {
        return MonitorClient::Unix(text(path));
    }
    let address = std::str::from_utf8(client).ok().and_then(|text| text.parse().ok());
    address.map_or_else(|| MonitorClient::Unknown(text(client)), MonitorClient::Tcp)
}

/// The words, of which the first has begun: `GET" "key"`.
fn unquote(mut rest: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    loop {
        let (word, after) = unescape(rest)?;
        words.push(word);
        match after {
            [] => return Some(words),
            [b' ', b'"', more @ ..] => rest = more,
            _ => return None,
        }
    }
}

/// One word up to its closing quote, and what follows that.
fn unescape(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        word.extend_from_slice(&rest[..plain]);
        let (byte, after) = match &rest[plain..] {
            [b'"', after @ ..] => return Some((word, after)),
            [b'\\', b'x', high, low, after @ ..] => (digit(*high)? << 4 | digit(*low)?, after),
            [b'\\', escaped, after @ ..] => (control(*escaped)?, after),
            _ => return None,
        };
        word.push(byte);
        rest = after;
    }
}

fn control(escaped: u8) -> Option<u8> {
    Some(match escaped {
        b'"' | b'\\' => escaped,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 0x07,
        b'b' => 0x08,
        _ => return None,
    })
}

/// A hexadecimal digit, in lower case as servers write it or in upper.
fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
