//! Each test on four clients: both drivers, on RESP2 and on RESP3; against what the modules' own server
//! answered once, or against that server.
//!
//! Modules come with few packages of servers, so that what one answered is kept in `transcripts/`, word for
//! word: the client must ask the same questions in the same order, and gets the same bytes.
//! `REDWIRE_MODULES_AT=127.0.0.1:PORT` asks a server instead (its data are deleted), and with
//! `REDWIRE_TRANSCRIBE=1` keeps what it says. What newer versions answer is in transcripts that were written
//! by hand, from the documentation.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Mutex;
use std::{env, fs};

use redwire_testkit::FakeServer;

/// Runs a body once per client, as `$c`, against the transcript of this name. In the body, `run!` gives a
/// call's value, and `try_run!` its `Result`. A transcript from the documentation is never asked anew.
#[macro_export]
macro_rules! conversation {
    ($name:literal, |$c:ident| $body:block) => {
        $crate::conversation!(@ ($) $name, false, $c, $body)
    };
    (documented $name:literal, |$c:ident| $body:block) => {
        $crate::conversation!(@ ($) $name, true, $c, $body)
    };
    (@ ($d:tt) $name:literal, $documented:literal, $c:ident, $body:block) => {
        #[allow(unused_macros, reason = "not every body needs both")]
        for protocol in [2, 3] {
            {
                macro_rules! try_run { ($d e:expr) => { $d e } }
                macro_rules! run { ($d e:expr) => { $d e.unwrap() } }
                let server = $crate::harness::Partner::new($name, protocol, $documented, true);
                let $c = redwire::blocking::Client::connect(&server.url()).unwrap();
                $body
                server.finish();
            }
            {
                macro_rules! try_run { ($d e:expr) => { $d e.await } }
                macro_rules! run { ($d e:expr) => { $d e.await.unwrap() } }
                let server = $crate::harness::Partner::new($name, protocol, $documented, false);
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let $c = redwire::Client::connect(&server.url()).await.unwrap();
                    $body
                });
                server.finish();
            }
        }
    };
}

/// The words of a question, and the bytes of the reply.
type Exchange = (Vec<Vec<u8>>, Vec<u8>);

/// Who answers.
pub(crate) struct Partner {
    server: FakeServer,
    script: std::sync::Arc<Script>,
    protocol: u8,
}

struct Script {
    path: PathBuf,
    /// What is left of the transcript, the last first; or what was said so far.
    exchanges: Mutex<Vec<Exchange>>,
    live: Option<Mutex<TcpStream>>,
    keep: bool,
}

impl Partner {
    pub(crate) fn new(name: &str, protocol: u8, documented: bool, first: bool) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/modules/transcripts");
        let path = folder.join(format!("{name}.resp{protocol}.txt"));
        let address = env::var("REDWIRE_MODULES_AT").ok().filter(|_| !documented);
        let live = address.map(|address| Mutex::new(connect(&address, protocol)));
        let exchanges = if live.is_some() { Vec::new() } else { read(&path) };
        let keep = live.is_some() && first && env::var_os("REDWIRE_TRANSCRIBE").is_some();
        let script = std::sync::Arc::new(Script { path, exchanges: Mutex::new(exchanges), live, keep });
        let answering = std::sync::Arc::clone(&script);
        let server = FakeServer::answering(move |words| answer(&answering, words));
        Self { server, script, protocol }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}?protocol={}", self.server.url(), self.protocol)
    }

    /// All was asked that the transcript has.
    pub(crate) fn finish(self) {
        self.server.verify();
        let exchanges = std::mem::take(&mut *self.script.exchanges.lock().unwrap());
        if self.script.keep {
            fs::write(&self.script.path, written(&exchanges)).unwrap();
        }
        assert!(self.script.live.is_some() || exchanges.is_empty(), "not asked: {}", written(&exchanges));
    }
}

fn answer(script: &Script, words: &[Vec<u8>]) -> Vec<u8> {
    match (&words[0][..], words.get(1).map(Vec::as_slice)) {
        (b"CLIENT", _) => return b"+OK\r\n".to_vec(),
        (b"HELLO", Some(b"3")) => return b"%1\r\n+server\r\n+made up\r\n".to_vec(),
        (b"HELLO", _) => return b"*2\r\n+server\r\n+made up\r\n".to_vec(),
        _ => {}
    }
    let mut exchanges = script.exchanges.lock().unwrap();
    if let Some(live) = &script.live {
        let mut live = live.lock().unwrap();
        let reply = ask(&mut live, words);
        exchanges.push((words.to_vec(), reply.clone()));
        return reply;
    }
    let Some((expected, reply)) = exchanges.pop() else { panic!("asked too much: {}", line(words)) };
    assert_eq!(line(words), line(&expected), "another question in {}", script.path.display());
    reply
}

fn connect(address: &str, protocol: u8) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    for words in [&["HELLO", &protocol.to_string()][..], &["FLUSHALL"]] {
        ask(&mut stream, &words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
    }
    stream
}

fn ask(stream: &mut TcpStream, words: &[Vec<u8>]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend(format!("${}\r\n", word.len()).bytes());
        request.extend(word);
        request.extend(b"\r\n");
    }
    stream.write_all(&request).unwrap();
    let mut reply = Vec::new();
    while end(&reply, 0).is_none() {
        let mut part = [0; 64 * 1024];
        let count = stream.read(&mut part).unwrap();
        assert_ne!(count, 0, "the server hung up after {}", line(words));
        reply.extend(&part[..count]);
    }
    reply
}

/// Where the value that begins here ends, if all of it is there.
fn end(bytes: &[u8], start: usize) -> Option<usize> {
    let length = bytes.get(start..)?.windows(2).position(|pair| pair == b"\r\n")?;
    let (head, next) = (&bytes[start..start + length], start + length + 2);
    let count = || std::str::from_utf8(&head[1..]).unwrap().parse::<i64>().unwrap().max(0) as usize;
    let many = |count: usize| (0..count).try_fold(next, |at, _| end(bytes, at));
    match head[0] {
        b'$' | b'=' if head[1] == b'-' => Some(next),
        b'$' | b'=' => Some(next + count() + 2).filter(|end| *end <= bytes.len()),
        b'*' | b'~' | b'>' => many(count()),
        b'%' => many(2 * count()),
        _ => Some(next),
    }
}

/// A question on a line of `> ` and its words, then the lines of the reply behind `< `.
fn read(path: &std::path::Path) -> Vec<Exchange> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut exchanges: Vec<Exchange> = Vec::new();
    for line in text.lines() {
        match (line.split_at_checked(2), exchanges.last_mut()) {
            (Some(("> ", words)), _) => {
                exchanges.push((words.split(' ').map(unescaped).collect(), Vec::new()));
            }
            (Some(("< ", part)), Some((_, reply))) => reply.extend([&unescaped(part)[..], b"\r\n"].concat()),
            // A remark.
            _ => assert!(line.starts_with('#') || line.is_empty(), "{}: {line}", path.display()),
        }
    }
    exchanges.reverse();
    exchanges
}

fn written(exchanges: &[Exchange]) -> String {
    let mut text = String::new();
    for (words, reply) in exchanges {
        text += &format!("> {}\n", line(words));
        let reply = reply.escape_ascii().to_string();
        for part in reply.strip_suffix("\\r\\n").unwrap_or(&reply).split("\\r\\n") {
            text += &format!("< {part}\n");
        }
    }
    text
}

/// The words as one line: a blank within a word is `\x20`.
fn line(words: &[Vec<u8>]) -> String {
    let words: Vec<_> =
        words.iter().map(|word| word.escape_ascii().to_string().replace(' ', "\\x20")).collect();
    words.join(" ")
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let escaped = if *first == b'\\' { after.first() } else { None };
        let (byte, length) = match escaped {
            None => (*first, 1),
            Some(b'x') => (u8::from_str_radix(std::str::from_utf8(&after[1..3]).unwrap(), 16).unwrap(), 4),
            Some(b'r') => (b'\r', 2),
            Some(b'n') => (b'\n', 2),
            Some(b't') => (b'\t', 2),
            Some(other) => (*other, 2),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}

#[test]
fn a_line_has_all_bytes() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(line(std::slice::from_ref(&all)).split(' ').map(unescaped).collect::<Vec<_>>(), [all]);
}
