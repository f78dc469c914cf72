//! A small RESP reader of the kit's own: where frames end ([`Frames`]), what a command or a reply says
//! ([`Value`]).
//!
//! It is naive on purpose and independent of redwire-resp, the code it helps to test. It trusts that the
//! bytes are RESP where told so, and never takes memory on the word of a length.

/// As much of a line as has to be kept: a sign and the longest of numbers.
const HEADER: usize = 32;

/// Finds the ends of top-level frames in a stream that comes in pieces.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Elements still to come before the present frame is complete, 0 between two frames.
    left: u64,
    /// Bytes of a bulk still to pass over, its line end included.
    skip: u64,
    /// The beginning of a line that isn't complete.
    line: Vec<u8>,
}

impl Frames {
    pub(crate) const fn new() -> Self {
        Self { left: 0, skip: 0, line: Vec::new() }
    }

    /// Whether the stream stands between two frames.
    pub(crate) fn at_boundary(&self) -> bool {
        self.left == 0
    }

    /// Reads on to the end of the frame and says how many bytes that took; `None` if `bytes` ends before.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            self.left = self.left.max(1);
            if self.skip > 0 {
                let step = self.skip.min((bytes.len() - at) as u64);
                self.skip -= step;
                at += step as usize;
                if self.skip == 0 {
                    self.left -= 1;
                }
            } else {
                let byte = bytes[at];
                at += 1;
                if self.line.len() < HEADER {
                    self.line.push(byte);
                }
                if byte == b'\n' {
                    self.header();
                }
            }
            if self.left == 0 {
                return Some(at);
            }
        }
        None
    }

    /// Counts in the element whose header line is complete. What isn't RESP counts as a line.
    fn header(&mut self) {
        let count = number(&self.line[1..]).and_then(|n| u64::try_from(n).ok());
        match (self.line[0], count) {
            (b'$' | b'=' | b'!', Some(n)) => self.skip = n.saturating_add(2),
            (b'*' | b'~' | b'>', Some(n)) => self.left = self.left.saturating_add(n) - 1,
            (b'%', Some(n)) => self.left = self.left.saturating_add(n.saturating_mul(2)) - 1,
            // Attributes stand before the value they belong to: that value is one more element.
            (b'|', Some(n)) => self.left = self.left.saturating_add(n.saturating_mul(2)),
            _ => self.left -= 1,
        }
        self.line.clear();
    }
}

/// One complete frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A status, number, bulk or any other scalar, without its sign.
    Text(Vec<u8>),
    Error(Vec<u8>),
    Nil,
    /// An aggregate of any kind; a map gives keys and values in turn.
    Array(Vec<Self>),
}

impl Value {
    /// Reads the frame that opens `bytes`, moving on behind it; `None` if it's broken or incomplete.
    pub(crate) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|&b| b == b'\n')?;
        let line = bytes[..end].trim_ascii_end();
        *bytes = &bytes[end + 1..];
        let (&sign, rest) = line.split_first()?;
        let count = || number(rest);
        match sign {
            b'-' => Some(Self::Error(rest.to_vec())),
            b'_' => Some(Self::Nil),
            b'$' | b'*' if count()? < 0 => Some(Self::Nil),
            b'!' => bulk(bytes, count()?).map(Self::Error),
            b'$' | b'=' => bulk(bytes, count()?).map(Self::Text),
            b'*' | b'~' | b'>' => {
                (0..count()?).map(|_| Self::read(bytes)).collect::<Option<_>>().map(Self::Array)
            }
            b'%' => {
                let twice = count()?.checked_mul(2)?;
                (0..twice).map(|_| Self::read(bytes)).collect::<Option<_>>().map(Self::Array)
            }
            _ => Some(Self::Text(rest.to_vec())),
        }
    }

    /// The words of a command: an array of bulks, not empty.
    pub(crate) fn into_words(self) -> Option<Vec<Vec<u8>>> {
        let Self::Array(items) = self else { return None };
        let word = |item| if let Self::Text(text) = item { Some(text) } else { None };
        items.into_iter().map(word).collect::<Option<Vec<_>>>().filter(|words| !words.is_empty())
    }

    /// For people: `OK`, `3`, `(nil)`; the elements of an array one per line.
    pub(crate) fn print(&self) -> String {
        match self {
            Self::Text(text) | Self::Error(text) => String::from_utf8_lossy(text).into_owned(),
            Self::Nil => "(nil)".to_owned(),
            Self::Array(items) => items.iter().map(Self::print).collect::<Vec<_>>().join("\n"),
        }
    }
}

/// Writes a command as an array of bulks.
pub(crate) fn command(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn bulk(bytes: &mut &[u8], len: i64) -> Option<Vec<u8>> {
    let len = usize::try_from(len).ok()?;
    let text = bytes.get(..len)?.to_vec();
    *bytes = bytes.get(len.checked_add(2)?..)?;
    Some(text)
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits.trim_ascii_end()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: [&[u8]; 10] = [
        b"+OK\r\n",
        b"$5\r\na\r\n\r\n\r\n",
        b"$-1\r\n",
        b"*2\r\n:1\r\n*1\r\n$0\r\n\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"%1\r\n+k\r\n*1\r\n_\r\n",
        b">2\r\n+message\r\n$1\r\nx\r\n",
        b"|1\r\n+ttl\r\n:3\r\n$2\r\nhi\r\n",
        b"!5\r\nERR x\r\n",
    ];

    #[test]
    fn frames_end_where_they_end_however_the_bytes_come() {
        let stream = MIXED.concat();
        for piece in [1, 2, 3, 7, stream.len()] {
            let (mut frames, mut lens, mut len) = (Frames::new(), Vec::new(), 0);
            for mut chunk in stream.chunks(piece) {
                while let Some(end) = frames.scan(chunk) {
                    lens.push(len + end);
                    len = 0;
                    chunk = &chunk[end..];
                }
                len += chunk.len();
            }
            assert_eq!(lens, MIXED.map(<[u8]>::len), "in pieces of {piece}");
            assert!(frames.at_boundary());
            for half in MIXED.iter().map(|frame| &frame[..frame.len() - 1]) {
                let mut frames = Frames::new();
                for byte in half.chunks(1) {
                    assert_eq!(frames.scan(byte), None);
                    assert!(!frames.at_boundary(), "inside {}", half.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn a_command_reads_back() {
        let words = [b"SET".to_vec(), b"k".to_vec(), b"a\r\nb".to_vec()];
        let bytes = command(&words);
        assert_eq!(Frames::new().scan(&bytes), Some(bytes.len()));
        assert_eq!(Value::read(&mut &bytes[..]).and_then(Value::into_words), Some(words.to_vec()));
    }

    #[test]
    fn nothing_is_believed_of_a_length() {
        assert_eq!(Value::read(&mut &b"$9999999999\r\nx"[..]), None);
        assert_eq!(Value::read(&mut &b"*1000000000\r\n+x\r\n"[..]), None);
        assert_eq!(Frames::new().scan(b"*9223372036854775807\r\n*9223372036854775807\r\n"), None);
    }
}
