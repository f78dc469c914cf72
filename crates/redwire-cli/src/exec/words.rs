//! A line of text, cut into the words of a command as redis-cli does.
//!
//! Promises the bytes that were meant: what stands in quotes is one word, and in double quotes `\n`, `\xff`
//! and their kin are single bytes. Must not know commands.

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordsFault {
    /// A quote is opened and not closed.
    Open,
    /// Something other than a space follows a closing quote.
    Glued,
}

impl std::fmt::Display for WordsFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "a quote is opened and not closed",
            Self::Glued => "a space is missing after a closing quote",
        })
    }
}

/// The words of a line: none where it is empty or a comment.
///
/// # Errors
/// Quotes that do not match.
pub(crate) fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, WordsFault> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii();
    if rest.starts_with(b"#") {
        return Ok(words);
    }
    while !rest.is_empty() {
        let mut word = Vec::new();
        rest = read_word(rest, &mut word)?.trim_ascii_start();
        words.push(word);
    }
    Ok(words)
}

/// Reads one word into `word`, and gives what follows.
fn read_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], WordsFault> {
    loop {
        match rest {
            [] => return Ok(rest),
            [byte, ..] if byte.is_ascii_whitespace() => return Ok(rest),
            [quote @ (b'"' | b'\''), inner @ ..] => {
                let after = read_quoted(inner, *quote, word)?;
                let ends = after.first().is_none_or(u8::is_ascii_whitespace);
                return if ends { Ok(after) } else { Err(WordsFault::Glued) };
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

/// Reads up to the closing quote, and gives what follows it.
fn read_quoted<'a>(mut rest: &'a [u8], quote: u8, word: &mut Vec<u8>) -> Result<&'a [u8], WordsFault> {
    loop {
        let (byte, after) = match rest {
            [] => return Err(WordsFault::Open),
            [byte, after @ ..] if *byte == quote => return Ok(after),
            [b'\\', b'x', high, low, after @ ..] if quote == b'"' && is_hex(*high) && is_hex(*low) => {
                (hex(*high) << 4 | hex(*low), after)
            }
            [b'\\', escaped, after @ ..] if quote == b'"' => (meaning(*escaped), after),
            [b'\\', b'\'', after @ ..] if quote == b'\'' => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
        };
        word.push(byte);
        rest = after;
    }
}

fn meaning(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let words = split(line.as_bytes()).unwrap();
        words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn words_are_cut_at_spaces() {
        assert_eq!(words("  SET  k\tv \r\n"), ["SET", "k", "v"]);
        assert!(words("   ").is_empty());
        assert!(words("# GET k").is_empty());
        assert_eq!(words("GET #k"), ["GET", "#k"]);
    }

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(words(r#"SET k "a b" '' 'c "d'"#), ["SET", "k", "a b", "", "c \"d"]);
        assert_eq!(words(r#"ECHO "a\n\t\"\\\x41\q""#), ["ECHO", "a\n\t\"\\Aq"]);
        assert_eq!(words(r"ECHO 'it\'s \n'"), ["ECHO", r"it's \n"]);
        assert_eq!(split(br#"ECHO "\xff\x0g""#).unwrap()[1], b"\xffx0g");
    }

    #[test]
    fn quotes_that_do_not_match_are_faults() {
        assert_eq!(split(br#"ECHO "a"#), Err(WordsFault::Open));
        assert_eq!(split(b"ECHO 'a"), Err(WordsFault::Open));
        assert_eq!(split(br#"ECHO "a"b"#), Err(WordsFault::Glued));
        assert_eq!(split(br#"ECHO "a\"#), Err(WordsFault::Open));
    }
}
