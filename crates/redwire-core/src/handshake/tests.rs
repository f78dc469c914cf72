//! Conversations with servers of all ages, word by word.

use super::*;
use crate::config::HostPort;

fn config(url: &str) -> Config {
    Config::from_url(url).expect("a good URL")
}

fn first(config: &Config, protocol: Protocol) -> Handshake {
    Handshake::new(config, config.static_credentials().as_ref(), protocol)
}

/// What is sent first, as `WORD WORD …` a command.
fn sent(handshake: &mut Handshake) -> Vec<String> {
    let bytes = handshake.poll_transmit().expect("something to send");
    let mut reader = bytes.as_slice();
    let mut commands = Vec::new();
    while !reader.is_empty() {
        let mut cursor = redwire_resp::Cursor::new(reader);
        cursor.skip().unwrap();
        let (frame, rest) = reader.split_at(cursor.position());
        commands.push(Reader::read::<Vec<String>>(frame).unwrap().join(" "));
        reader = rest;
    }
    commands
}

fn answer(handshake: &mut Handshake, replies: &[&str]) -> Result<()> {
    replies.iter().try_for_each(|reply| handshake.handle_reply(reply.as_bytes()))
}

const HELLO_REPLY: &str =
    "%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.1\r\n$2\r\nid\r\n:9\r\n";

#[test]
fn everything_goes_out_in_one_write() {
    let config = config("redis://ann:secret@h/4?client_name=app&lib_name=lib&lib_version=1.2&read_only=yes");
    let mut handshake = first(&config, Protocol::Resp3);
    assert_eq!(
        sent(&mut handshake),
        [
            "HELLO 3 AUTH ann secret SETNAME app",
            "CLIENT SETINFO LIB-NAME lib",
            "CLIENT SETINFO LIB-VER 1.2",
            "SELECT 4",
            "READONLY"
        ]
    );
    answer(&mut handshake, &[HELLO_REPLY, "+OK\r\n", "+OK\r\n", "+OK\r\n"]).unwrap();
    assert_eq!(handshake.poll_done(), None);
    answer(&mut handshake, &["+OK\r\n"]).unwrap();
    let session = handshake.poll_done().unwrap();
    assert_eq!(session, Session { protocol: Protocol::Resp3, version: Some("7.0.1".into()), id: Some(9) });
}

#[test]
fn a_server_without_hello_is_spoken_to_in_resp2() {
    for refusal in ["-ERR unknown command 'HELLO'\r\n", "-NOPROTO unsupported\r\n", "-NOPERM hello\r\n"] {
        let config = config("redis://:secret@h/4?client_name=app");
        let mut handshake = first(&config, Protocol::Resp3);
        assert_eq!(sent(&mut handshake).len(), 4);
        answer(&mut handshake, &[refusal, "-NOAUTH\r\n", "-NOAUTH\r\n", "-NOAUTH\r\n"]).unwrap();
        let second = sent(&mut handshake);
        assert_eq!(second[..2], ["AUTH secret", "CLIENT SETNAME app"]);
        assert_eq!(second.last().unwrap(), "SELECT 4");
        answer(&mut handshake, &["+OK\r\n", "+OK\r\n", "-ERR Unknown subcommand\r\n", "-ERR\r\n", "+OK\r\n"])
            .unwrap();
        assert_eq!(handshake.poll_done().unwrap().protocol, Protocol::Resp2);
    }
}

#[test]
fn a_failed_step_is_named_and_nothing_secret_is_said() {
    let cases = [
        (0, "-WRONGPASS invalid username-password pair\r\n", "connecting failed at HELLO: WRONGPASS"),
        (0, "-NOAUTH HELLO must be called\r\n", "connecting failed at HELLO: NOAUTH"),
        (3, "-ERR DB index is out of range\r\n", "connecting failed at SELECT: ERR DB index"),
        (0, ":1\r\n", "connecting failed at HELLO: expected a map"),
        (3, ":1\r\n", "connecting failed at SELECT: expected the status OK"),
    ];
    for (step, reply, message) in cases {
        let mut handshake = first(&config("redis://:secret@h/4"), Protocol::Resp3);
        sent(&mut handshake);
        let good = [HELLO_REPLY, "+OK\r\n", "+OK\r\n"];
        answer(&mut handshake, &good[..step]).unwrap();
        let error = answer(&mut handshake, &[reply]).unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}");
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[test]
fn whoever_wants_a_database_that_a_cluster_has_not_is_told_which_it_has() {
    let config = config("redis+cluster://h/4?protocol=2").for_node(HostPort::new("h", 6379));
    let mut handshake = first(&config, config.protocol());
    assert_eq!(sent(&mut handshake).last().unwrap(), "SELECT 4");
    let refusal = "-ERR SELECT is not allowed in cluster mode\r\n";
    let error = answer(&mut handshake, &["+OK\r\n", "+OK\r\n", refusal]).unwrap_err();
    for words in ["connecting failed at SELECT", "the database 0 only", "`cluster-databases`", "not allowed"]
    {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn names_are_not_worth_a_connection() {
    let config = config("redis://h/?client_name=app&protocol=2");
    let mut handshake = first(&config, config.protocol());
    assert_eq!(sent(&mut handshake)[0], "CLIENT SETNAME app");
    answer(&mut handshake, &["-NOPERM no\r\n", "-ERR\r\n", "-NOPERM no\r\n"]).unwrap();
    assert!(handshake.poll_done().is_some());
}

/// It answers whatever comes first, and closes.
#[test]
fn a_server_that_lets_nobody_in_is_heard_at_whatever_is_said_first() {
    for url in
        ["redis://h/?protocol=2", "redis://h/?protocol=2&client_name=app", "redis://:secret@h/?protocol=2"]
    {
        for (line, kind) in [
            ("-ERR max number of clients reached\r\n", ErrorKind::MaxClients),
            ("-DENIED Redis is running in protected mode\r\n", ErrorKind::Response),
        ] {
            let config = config(url);
            let mut handshake = first(&config, config.protocol());
            sent(&mut handshake);
            let error = answer(&mut handshake, &[line]).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}

#[test]
fn a_password_with_a_user_name_is_used_on_resp2() {
    let mut handshake = first(&config("redis://ann:pw@h/?protocol=2"), Protocol::Resp2);
    assert_eq!(sent(&mut handshake)[0], "AUTH ann pw");
    let error = answer(&mut handshake, &["-ERR invalid password\r\n"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication(AuthenticationFault::WrongPassword));
}

#[test]
fn credentials_are_those_of_the_caller() {
    let config = config("redis://h/?lib_name=&lib_version=");
    let table = [
        (Some(Credentials::new("ann", "token")), "HELLO 3 AUTH ann token", "AUTH ann token"),
        (Some(Credentials::default_user("token")), "HELLO 3 AUTH default token", "AUTH token"),
        (Some(Credentials::new("ann", "")), "HELLO 3 AUTH ann ", "AUTH ann "),
        (Some(Credentials::new("", "")), "HELLO 3 AUTH default ", "AUTH "),
    ];
    for (credentials, resp3, resp2) in table {
        for (protocol, words) in [(Protocol::Resp3, resp3), (Protocol::Resp2, resp2)] {
            let mut handshake = Handshake::new(&config, credentials.as_ref(), protocol);
            assert_eq!(sent(&mut handshake), [words]);
        }
    }
    assert_eq!(sent(&mut Handshake::new(&config, None, Protocol::Resp3)), ["HELLO 3"]);
}

#[test]
fn a_used_connection_is_made_as_new_in_one_write() {
    let config = config("redis://ann:secret@h/4?lib_name=&lib_version=");
    let credentials = config.static_credentials();
    let mut handshake = Handshake::again(&config, credentials.as_ref(), Protocol::Resp3);
    assert_eq!(sent(&mut handshake), ["RESET", "HELLO 3 AUTH ann secret", "SELECT 4"]);
    answer(&mut handshake, &["+RESET\r\n", HELLO_REPLY]).unwrap();
    assert_eq!(handshake.poll_done(), None);
    answer(&mut handshake, &["+OK\r\n"]).unwrap();
    assert_eq!(handshake.poll_done().unwrap().protocol, Protocol::Resp3);

    let mut handshake = Handshake::again(&config, credentials.as_ref(), Protocol::Resp2);
    assert_eq!(sent(&mut handshake), ["RESET", "AUTH ann secret", "SELECT 4"]);
    answer(&mut handshake, &["+RESET\r\n", "+OK\r\n", "+OK\r\n"]).unwrap();
    assert_eq!(handshake.poll_done().unwrap().protocol, Protocol::Resp2);
}

#[test]
fn a_reset_falls_back_like_a_first_handshake() {
    let config = config("redis://:secret@h/?lib_name=&lib_version=");
    let mut handshake = Handshake::again(&config, config.static_credentials().as_ref(), Protocol::Resp3);
    sent(&mut handshake);
    answer(&mut handshake, &["+RESET\r\n", "-NOPROTO unsupported\r\n"]).unwrap();
    assert_eq!(sent(&mut handshake), ["AUTH secret"]);
    answer(&mut handshake, &["+OK\r\n"]).unwrap();
    assert!(handshake.poll_done().is_some());
}

#[test]
fn a_reset_that_fails_is_named() {
    let cases = [
        ("-ERR unknown command 'RESET'\r\n", "connecting failed at RESET: ERR unknown command"),
        ("-NOPERM no\r\n", "connecting failed at RESET: NOPERM"),
        ("+OK\r\n", "connecting failed at RESET: expected the status RESET, got \"OK\""),
        (":1\r\n", "connecting failed at RESET: expected the status RESET, got Integer(1)"),
    ];
    for (reply, message) in cases {
        let mut handshake = Handshake::again(&config("redis://h/"), None, Protocol::Resp3);
        sent(&mut handshake);
        let error = answer(&mut handshake, &[reply]).unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}");
    }
}

/// Both what HELLO tells and what ROLE answers count.
#[test]
fn a_server_that_sentinels_told_of_must_be_what_they_said() {
    let hello = |role: &str| format!("%1\r\n$4\r\nrole\r\n${}\r\n{role}\r\n", role.len());
    let role = |word: &str| format!("*1\r\n${}\r\n{word}\r\n", word.len());
    let ok = "+OK\r\n".to_owned();
    for (read_from, told, answered, good) in [
        ("master", "master", "master", true),
        ("master", "replica", "master", false),
        ("master", "master", "slave", false),
        ("replica", "replica", "slave", true),
        ("replica", "master", "master", false),
    ] {
        let config = config(&format!("redis+sentinel://h/m?read_from={read_from}&lib_version="));
        let mut handshake = first(&config, Protocol::Resp3);
        assert_eq!(sent(&mut handshake).last().map(String::as_str), Some("ROLE"));
        let replies = [hello(told), ok.clone(), role(answered)];
        let result = replies.iter().try_for_each(|reply| handshake.handle_reply(reply.as_bytes()));
        assert_eq!(result.is_ok() && handshake.poll_done().is_some(), good, "{told} {answered}: {result:?}");
        if let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::Sentinel(SentinelFault::NotMaster), "{error}");
            assert!(crate::outage::heals(&error));
        }
    }
    // Who may not ask goes on.
    let config = config("redis+sentinel://h/m?protocol=2&lib_name=&lib_version=");
    let mut handshake = first(&config, Protocol::Resp2);
    assert_eq!(sent(&mut handshake), ["ROLE"]);
    handshake.handle_reply(b"-NOPERM this user has no permissions to run the 'role' command\r\n").unwrap();
    assert!(handshake.poll_done().is_some());
}
