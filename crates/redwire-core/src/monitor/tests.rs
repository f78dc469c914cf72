//! Lines of `MONITOR`, against the servers' escaping written once more; and what the feed sends, hears and
//! passes over.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::inbound::Inbound;

/// As the servers' `sdscatrepr` writes a word.
fn escaped(word: &[u8]) -> Vec<u8> {
    let mut line = vec![b'"'];
    for &byte in word {
        match byte {
            b'\\' | b'"' => line.extend([b'\\', byte]),
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            b'\t' => line.extend(b"\\t"),
            0x07 => line.extend(b"\\a"),
            0x08 => line.extend(b"\\b"),
            0x20..0x7f => line.push(byte),
            _ => line.extend(format!("\\x{byte:02x}").bytes()),
        }
    }
    line.push(b'"');
    line
}

fn line(origin: &str, words: &[Vec<u8>]) -> Vec<u8> {
    let mut line = format!("1339518083.107412 [{origin}]").into_bytes();
    for word in words {
        line.push(b' ');
        line.extend(escaped(word));
    }
    line
}

/// A feed that listens, and what it makes of `bytes`.
fn hear(stream: &mut MonitorStream, bytes: &[u8]) -> Result<()> {
    let (mut inbound, mut frames) = (Inbound::new(4096, redwire_resp::Limits::default()), Frames::default());
    inbound.spare().extend_from_slice(bytes);
    inbound.poll_frames(&mut frames).expect("frames");
    stream.handle_frames(&frames)
}

fn listening(interval: Option<Duration>) -> MonitorStream {
    let mut stream = MonitorStream::new(interval, 0xabc);
    assert_eq!(stream.poll_transmit().expect("the command"), b"*1\r\n$7\r\nMONITOR\r\n");
    assert!(!stream.is_listening());
    hear(&mut stream, b"+OK\r\n").unwrap();
    assert!(stream.is_listening());
    stream
}

#[test]
fn every_byte_comes_back() {
    let all: Vec<u8> = (0..=255).collect();
    let each = all.iter().map(|&byte| vec![byte]);
    let words: Vec<Vec<u8>> = [b"SET".to_vec(), all.clone(), Vec::new()].into_iter().chain(each).collect();
    let entry = line::parse(&line("15 127.0.0.1:60866", &words)).expect("a line");
    assert_eq!(entry.command, words);
    assert_eq!(entry.db, 15);
    assert_eq!(entry.time, Duration::from_micros(1_339_518_083_107_412));
}

#[test]
fn clients_are_told_apart() {
    let tcp = |address: &str| MonitorClient::Tcp(address.parse().expect("an address"));
    for (origin, client) in [
        ("0 127.0.0.1:60866", tcp("127.0.0.1:60866")),
        ("0 [::1]:6379", tcp("[::1]:6379")),
        ("0 [fe80::1:2]:1", tcp("[fe80::1:2]:1")),
        ("0 unix:/run/my redis.sock", MonitorClient::Unix("/run/my redis.sock".to_owned())),
        ("0 lua", MonitorClient::Lua),
        ("0 ?:0", MonitorClient::Unknown("?:0".to_owned())),
        ("0 ", MonitorClient::Unknown(String::new())),
    ] {
        let entry = line::parse(&line(origin, &[b"PING".to_vec()])).expect(origin);
        assert_eq!(entry.client, client);
    }
}

#[test]
fn words_that_look_like_the_frame_are_words() {
    let words =
        ["] \"", "\" \"", " [0 lua] ", "\\", "\\\"", "\\x41", "]"].map(|word| word.as_bytes().to_vec());
    let entry = line::parse(&line("0 [::1]:1", &words)).expect("a line");
    assert_eq!(entry.command, words);
}

#[test]
fn what_no_server_writes_is_an_error_that_shows_it_and_the_next_line_is_read() {
    for bad in [
        "",
        "OK",
        "1.000001 [0 lua]",
        "1.000001 [0 lua] ",
        "1.000001 [0 lua] GET",
        "1.000001 [0 lua] \"GET",
        "1.000001 [0 lua] \"GET\\",
        "1.000001 [0 lua] \"GET\\q\"",
        "1.000001 [0 lua] \"GET\\x4\"",
        "1.000001 [0 lua] \"GET\\xg0\"",
        "1.000001 [0 lua] \"GET\"x",
        "1.000001 [0 lua] \"GET\" ",
        "1.000001 [0 lua] \"GET\"\"k\"",
        "1.01 [0 lua] \"GET\"",
        "1 [0 lua] \"GET\"",
        "-1.000001 [0 lua] \"GET\"",
        "18446744073709551616.000001 [0 lua] \"GET\"",
        "1.000001 [0] \"GET\"",
        "1.000001 [x lua] \"GET\"",
        "1.000001 [4294967296 lua] \"GET\"",
    ] {
        let mut stream = listening(None);
        hear(&mut stream, format!("+{bad}\r\n+1.000001 [0 lua] \"GET\"\r\n").as_bytes()).unwrap();
        let error = stream.poll_entry().expect("an item").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{bad}");
        assert!(error.to_string().contains(&*bad.as_bytes().escape_ascii().to_string()), "{error}");
        assert_eq!(stream.poll_entry().expect("an item").unwrap().command, [b"GET"], "{bad}");
        assert!(stream.poll_entry().is_none());
    }
}

#[test]
fn a_long_line_is_not_shown_whole() {
    let mut stream = listening(None);
    hear(&mut stream, format!("+{}\r\n", "x".repeat(10_000)).as_bytes()).unwrap();
    assert!(stream.poll_entry().expect("an item").unwrap_err().to_string().len() < 400);
}

#[test]
fn a_refusal_is_told() {
    let mut stream = MonitorStream::new(None, 1);
    stream.poll_transmit();
    let error = hear(&mut stream, b"-NOPERM no permissions to run the 'monitor' command\r\n").unwrap_err();
    assert_eq!((error.code(), error.command()), (Some("NOPERM"), Some("MONITOR")));
    assert!(!stream.is_listening());
}

#[test]
fn a_silent_server_is_asked_and_the_question_is_no_entry() {
    let start = Instant::now();
    let mut stream = listening(Some(Duration::from_secs(2)));
    stream.handle_connected(start);
    let mut tick = || {
        let now = stream.poll_timeout().expect("a tick");
        stream.handle_timeout(now).map(|()| stream.poll_transmit())
    };
    assert_eq!(tick().unwrap(), None);
    let question = tick().unwrap().expect("a question");
    let words = String::from_utf8(question).unwrap();
    let mark = words.lines().nth(4).expect("two words");
    assert_eq!(words, format!("*2\r\n$4\r\nPING\r\n${}\r\n{mark}\r\n", mark.len()));

    let answer = format!(
        "+1.000001 [0 lua] \"PING\" \"{mark}\"\r\n${}\r\n{mark}\r\n+1.000002 [0 lua] \"PING\" \"x\"\r\n",
        mark.len()
    );
    hear(&mut stream, answer.as_bytes()).unwrap();
    let entry = stream.poll_entry().expect("another client's").unwrap();
    assert_eq!(entry.command, [&b"PING"[..], b"x"]);
    assert!(stream.poll_entry().is_none());

    // The answer was a sign of life; then nothing comes any more.
    let mut tick = || {
        let now = stream.poll_timeout().expect("a tick");
        stream.handle_timeout(now).map(|()| stream.poll_transmit().is_some())
    };
    assert_eq!([tick(), tick(), tick()].map(Result::unwrap), [false, true, false]);
    assert_eq!(tick().unwrap_err().kind(), ErrorKind::Connection(crate::ConnectionFault::Silent));
}

#[test]
fn a_server_that_refuses_the_question_lives() {
    let mut stream = listening(Some(Duration::from_secs(2)));
    stream.handle_connected(Instant::now());
    for _ in 0..10 {
        let now = stream.poll_timeout().expect("a tick");
        stream.handle_timeout(now).unwrap();
        if stream.poll_transmit().is_some() {
            hear(&mut stream, b"-NOPERM this user has no permissions\r\n").unwrap();
        }
    }
    assert!(stream.poll_entry().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_server_escapes_comes_back(words in vec(vec(any::<u8>(), 0..40), 1..6), db in 0..16_u32) {
        let entry = line::parse(&line(&format!("{db} unix:/s"), &words)).expect("a line");
        prop_assert_eq!(entry.command, words);
        prop_assert_eq!(entry.db, db);
    }

    #[test]
    fn any_line_is_an_entry_or_none(bytes in vec(any::<u8>(), 0..80)) {
        let _ = line::parse(&bytes);
        let _ = line::parse(&[b"1.000001 [0 lua] \"", &bytes[..]].concat());
    }
}
