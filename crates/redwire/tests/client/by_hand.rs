//! Commands that are not answered by one reply, sent by hand: then only reading by hand is taken, and no
//! message is ever told as the reply to a call (I1). FAULTS 89.

use std::time::Duration;

use redwire::{Error, ErrorKind, Outcome, Result, Run, Slot, Value, cmd};
use redwire_testkit::{Server, shared};

use crate::common::{Connection, LIMIT, Setup, runtime, words};

both!(
    messages_are_read_by_hand_and_never_by_a_call,
    a_message_that_does_not_come_is_a_timeout,
    what_was_sent_before_is_read_before,
    replies_that_were_switched_off_are_not_waited_for,
    packed_commands_are_read_by_hand_where_replies_are_not_counted,
    a_connection_that_was_given_away_is_made_anew,
    reset_may_be_a_call,
);

const SOON: Duration = Duration::from_millis(30);

/// All that a connection can be asked but by hand.
#[track_caller]
fn check_refused(connection: &mut Connection, since: &str) {
    let ping = |p: &redwire::Pipeline| -> Slot<String> { p.run(words("PING")) };
    let atomic = match connection {
        Connection::Tokio(connection) => runtime().block_on(connection.atomic(ping)),
        Connection::Blocking(connection) => connection.atomic(ping),
    };
    let refused: [Result<String>; 5] = [
        connection.run("ECHO mine"),
        connection.run("BLPOP nothing 0.01"),
        connection.pipeline(ping),
        atomic,
        connection.select(0).map(|()| String::new()),
    ];
    for result in refused {
        let error: Error = result.expect_err(since);
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{since}: {error}");
        assert!(error.to_string().contains("RESET") && error.to_string().contains(since), "{error}");
    }
}

/// Frames up to the reply to `RESET`.
#[track_caller]
fn reset(connection: &mut Connection) {
    connection.send("RESET").unwrap();
    while connection.read_reply::<Value>().unwrap().as_str() != Some("RESET") {}
    assert_eq!(connection.run::<String>("ECHO mine").unwrap(), "mine");
    assert_eq!(connection.read_reply::<Value>().unwrap_err().kind(), ErrorKind::Usage);
    assert!(!connection.can_read(Duration::ZERO).unwrap());
}

fn messages_are_read_by_hand_and_never_by_a_call(setup: Setup) {
    let server = Server::start();
    let mut connection = setup.connection(&server.url(), "");
    let sharded = server.version() >= (7, 0, 0);
    let channel =
        ["SUBSCRIBE c", "PSUBSCRIBE c*", "MONITOR"].into_iter().chain(sharded.then_some("SSUBSCRIBE c"));
    for begin in channel {
        connection.send(begin).unwrap();
        check_refused(&mut connection, begin.split(' ').next().unwrap());
        assert!(connection.can_read(LIMIT).unwrap(), "{begin}");
        connection.read_reply::<Value>().unwrap();
        assert!(!connection.can_read(SOON).unwrap(), "{begin}");
        let publish = if begin.starts_with("SSUB") { "SPUBLISH" } else { "PUBLISH" };
        for text in ["one", "two", "three"] {
            server.command(&[publish, "c", text]).unwrap();
        }
        check_refused(&mut connection, begin.split(' ').next().unwrap());
        for text in ["one", "two", "three"] {
            assert!(connection.can_read(LIMIT).unwrap());
            let frame = format!("{:?}", connection.read_reply::<Value>().unwrap());
            assert!(frame.contains(text), "{begin}: {frame}");
        }
        // What is asked is answered among the messages.
        connection.send("PING").unwrap();
        let pong = format!("{:?}", connection.read_reply::<Value>().unwrap()).to_ascii_lowercase();
        assert!(pong.contains("pong") || pong.contains("ping"), "{begin}: {pong}");
        server.command(&[publish, "c", "late"]).unwrap();
        reset(&mut connection);
    }
}

fn a_message_that_does_not_come_is_a_timeout(setup: Setup) {
    let server = shared();
    let channel = setup.key("late");
    let mut connection = setup.connection(&server.url(), "timeout=50ms");
    connection.send(&format!("SUBSCRIBE {channel}")).unwrap();
    assert!(connection.can_read(LIMIT).unwrap());
    connection.read_reply::<Value>().unwrap();
    let error = connection.read_reply::<Value>().unwrap_err();
    assert!(error.is_timeout(), "{error}");
    server.command(&["PUBLISH", &channel, "late"]).unwrap();
    assert!(connection.can_read(LIMIT).unwrap());
    let message: (String, String, String) = connection.read_reply().unwrap();
    assert_eq!(message.2, "late");
}

fn what_was_sent_before_is_read_before(setup: Setup) {
    let server = shared();
    let channel = setup.key("before");
    let mut connection = setup.connection(&server.url(), "");
    connection.send("ECHO 1").unwrap();
    connection.send("ECHO 2").unwrap();
    assert_eq!(connection.run::<i64>("ECHO 3").unwrap(), 3);
    connection.send(&format!("SUBSCRIBE {channel}")).unwrap();
    connection.send("UNSUBSCRIBE").unwrap();
    assert_eq!(connection.read_reply::<i64>().unwrap(), 1);
    assert_eq!(connection.read_reply::<i64>().unwrap(), 2);
    for (what, left) in [("subscribe", 1), ("unsubscribe", 0)] {
        let said: (String, String, i64) = connection.read_reply().unwrap();
        assert_eq!(said, (what.to_owned(), channel.clone(), left));
    }
    // With nothing subscribed any more, too: only RESET says for certain that nothing comes unasked.
    check_refused(&mut connection, "SUBSCRIBE");
    connection.send("ECHO 4").unwrap();
    connection.send("RESET").unwrap();
    connection.send("ECHO 5").unwrap();
    assert_eq!(connection.read_reply::<i64>().unwrap(), 4);
    assert_eq!(connection.read_reply::<String>().unwrap(), "RESET");
    assert_eq!(connection.read_reply::<i64>().unwrap(), 5);
    check_refused(&mut connection, "SUBSCRIBE");
    reset(&mut connection);
}

fn replies_that_were_switched_off_are_not_waited_for(setup: Setup) {
    let key = setup.key("switched");
    let mut connection = setup.connection(&shared().url(), "");
    connection.send("CLIENT REPLY OFF").unwrap();
    connection.send(&format!("SET {key} v")).unwrap();
    check_refused(&mut connection, "CLIENT REPLY");
    assert!(!connection.can_read(SOON).unwrap());
    connection.send("CLIENT REPLY ON").unwrap();
    assert_eq!(connection.read_reply::<String>().unwrap(), "OK");
    connection.send("CLIENT REPLY SKIP").unwrap();
    connection.send(&format!("APPEND {key} w")).unwrap();
    connection.send(&format!("GET {key}")).unwrap();
    assert_eq!(connection.read_reply::<String>().unwrap(), "vw");
    check_refused(&mut connection, "CLIENT REPLY");
    reset(&mut connection);
}

fn packed_commands_are_read_by_hand_where_replies_are_not_counted(setup: Setup) {
    let channel = setup.key("packed");
    let mut connection = setup.connection(&shared().url(), "");
    let subscribe = cmd::<()>("subscribe").arg(&channel).arg("other").to_bytes();
    let echo = words::<()>("ECHO first").to_bytes();
    for (bytes, count) in [
        (subscribe.clone(), 2),
        (subscribe.clone(), 1),
        (format!("SUBSCRIBE {channel} other\r\n").into_bytes(), 2),
        ([echo.clone(), subscribe.clone()].concat(), 3),
    ] {
        connection.send_packed(&bytes, count).unwrap();
        if bytes.starts_with(&echo) {
            assert_eq!(connection.read_reply::<String>().unwrap(), "first");
        }
        for left in 1..=2 {
            assert_eq!(connection.read_reply::<(String, String, i64)>().unwrap().2, left);
        }
        check_refused(&mut connection, "SUBSCRIBE");
        connection.send_packed(b"", 0).unwrap();
        reset(&mut connection);
    }
    // More replies than were said, fewer, and bytes that are not read here.
    connection.send_packed(&echo.repeat(2), 1).unwrap();
    assert_eq!(connection.read_reply::<String>().unwrap(), "first");
    check_refused(&mut connection, "bytes");
    assert_eq!(connection.read_reply::<String>().unwrap(), "first");
    reset(&mut connection);
    connection.send_packed(&echo, 2).unwrap();
    assert_eq!(connection.read_reply::<String>().unwrap(), "first");
    assert!(!connection.can_read(SOON).unwrap());
    reset(&mut connection);
    connection.send_packed(b"ECHO \"with words\"\r\n", 1).unwrap();
    assert_eq!(connection.read_reply::<String>().unwrap(), "with words");
    check_refused(&mut connection, "bytes");
    reset(&mut connection);
    for nothing in [&b"*0\r\n"[..], b"\r\n", b"*1\r\n$0\r\n\r\n"] {
        let error = connection.send_packed(&[&echo[..], nothing].concat(), 2).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
    }
    assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
}

fn a_connection_that_was_given_away_is_made_anew(setup: Setup) {
    let server = Server::start();
    let mut connection = setup.connection(&server.url(), "");
    for begin in ["QUIT", "PSYNC ? -1", "SYNC", "SCRIPT DEBUG YES", "REPLCONF ACK 1"] {
        connection.send(begin).unwrap();
        let since = facts_name(begin);
        let error = connection.run::<String>("ECHO mine").unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{begin}: {error}");
        assert!(error.to_string().contains(since), "{error}");
        if begin == "QUIT" {
            assert_eq!(connection.read_reply::<String>().unwrap(), "OK");
            let error = connection.read_reply::<String>().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{error}");
        }
        connection.reconnect().unwrap();
        assert_eq!(connection.run::<String>("ECHO mine").unwrap(), "mine");
    }
    // As a call it has its reply, and it is the last.
    assert_eq!(connection.run::<String>("QUIT").unwrap(), "OK");
    assert_eq!(connection.run::<String>("ECHO mine").unwrap_err().outcome(), Outcome::NotSent);
}

fn facts_name(line: &str) -> &'static str {
    words::<Value>(line).facts().name
}

fn reset_may_be_a_call(setup: Setup) {
    let server = Server::start();
    let mut connection = setup.connection(&server.url(), "");
    for _ in 0..3 {
        connection.send("ECHO unread").unwrap();
        connection.send("SUBSCRIBE c").unwrap();
        server.command(&["PUBLISH", "c", "unread"]).unwrap();
        assert_eq!(connection.run::<String>("RESET").unwrap(), "RESET");
        assert_eq!(connection.run::<String>("ECHO mine").unwrap(), "mine");
        assert_eq!(connection.read_reply::<Value>().unwrap_err().kind(), ErrorKind::Usage);
    }
    let refusing = Server::builder().arg("rename-command", "RESET \"\"").start();
    let mut connection = setup.connection(&refusing.url(), "");
    connection.send("SUBSCRIBE c").unwrap();
    assert_eq!(connection.run::<String>("RESET").unwrap_err().code(), Some("ERR"));
    check_refused(&mut connection, "SUBSCRIBE");
    connection.reconnect().unwrap();
    assert_eq!(connection.run::<String>("ECHO mine").unwrap(), "mine");
}

/// Given up again and again, reading keeps nothing. FAULTS 101.
#[test]
fn a_reply_whose_reading_was_given_up_is_not_kept() {
    use std::pin::pin;
    use std::task::{Context, Waker};

    let value = "x".repeat(100_000);
    let resident = || -> usize {
        let status = std::fs::read_to_string("/proc/self/statm").expect("Linux tells it");
        let pages: usize = status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
        pages * 4096
    };
    runtime().block_on(async {
        let mut connection = redwire::Connection::connect(&shared().url()).await.unwrap();
        let echo = cmd::<Value>("ECHO").arg(&value);
        let mut before = 0;
        for round in 0..1500 {
            connection.send(&echo).await.unwrap();
            connection.send(&cmd::<Value>("ECHO").arg(round)).await.unwrap();
            drop(pin!(connection.read_reply::<Value>()).poll(&mut Context::from_waker(Waker::noop())));
            assert_eq!(connection.read_reply::<i64>().await.unwrap(), round);
            if round == 300 {
                before = resident();
            }
        }
        // 120 MB were given up since.
        let grown = resident().saturating_sub(before);
        assert!(grown < 30_000_000, "grown by {grown} bytes");
    });
}
