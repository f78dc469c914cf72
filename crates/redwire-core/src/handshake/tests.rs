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

/// What servers and front ends say that have no `HELLO`, or no such `HELLO`; some of it is in their documents
/// or their users' reports.
const REFUSALS: [&str; 26] = [
    // Redis before 6.0, with and without the arguments; a renamed command; a user's rights; an old protocol.
    "-ERR unknown command 'HELLO'\r\n",
    "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `secret`, \r\n",
    "-ERR Unknown command\r\n",
    "-NOPERM this user has no permissions to run the 'hello' command\r\n",
    "-NOPROTO unsupported protocol version\r\n",
    // Servers whose HELLO takes less.
    "-ERR Syntax error in HELLO option 'SETNAME'\r\n",
    "-ERR syntax error\r\n",
    "-ERR wrong number of arguments for 'hello' command\r\n",
    "-ERR Protocol version is not an integer or out of range\r\n",
    "-ERR only RESP2 is supported\r\n",
    // Discovery services, proxies, and services of clouds.
    "-ERR command not found\r\n",
    "-ERR unsupported command 'hello'\r\n",
    "-unsupported command 'hello'\r\n",
    "-ERR unsupported command\r\n",
    "-ERR unknown or unsupported command 'hello'\r\n",
    "-ERR handle request, command 'HELLO' is not allowed\r\n",
    "-ERR Command is not available: 'HELLO'. See the documentation\r\n",
    "-ERR command 'HELLO' not support for your account\r\n",
    "-ERR invalid command\r\n",
    "-DISABLED the command is disabled\r\n",
    "!21\r\nERR not implemented\r\n\r\n",
    // Front ends that want a password before they look for one in the command.
    "-NOAUTH Authentication required.\r\n",
    // Those that nod at whatever they do not know, or tell nothing.
    "+OK\r\n",
    "$-1\r\n",
    "*0\r\n",
    "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
];

#[test]
fn a_server_without_hello_is_spoken_to_in_resp2() {
    for refusal in REFUSALS {
        let config = config("redis://:secret@h/4?client_name=app");
        let mut handshake = first(&config, Protocol::Resp3);
        assert_eq!(sent(&mut handshake).len(), 4);
        answer(&mut handshake, &[refusal, "-NOAUTH\r\n", "-NOAUTH\r\n", "-NOAUTH\r\n"])
            .unwrap_or_else(|error| panic!("{refusal}: {error}"));
        let second = sent(&mut handshake);
        assert_eq!(second[..2], ["AUTH secret", "CLIENT SETNAME app"]);
        assert_eq!(second.last().unwrap(), "SELECT 4");
        answer(&mut handshake, &["+OK\r\n", "+OK\r\n", "-ERR Unknown subcommand\r\n", "-ERR\r\n", "+OK\r\n"])
            .unwrap();
        assert_eq!(handshake.poll_done().unwrap().protocol, Protocol::Resp2);
    }
}

/// These are about the password, or about serving any client now: no other command would have another answer.
#[test]
fn a_client_that_is_not_let_in_is_told_why_and_does_not_ask_again() {
    let table = [
        ("redis://:secret@h", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
        ("redis://:secret@h", "-ERR invalid password\r\n"),
        ("redis://h", "-NOAUTH HELLO must be called with the client already authenticated\r\n"),
        ("redis://h", "-ERR max number of clients reached\r\n"),
        ("redis://h", "-LOADING Redis is loading the dataset in memory\r\n"),
        ("redis://h", "-BUSY Redis is busy running a script\r\n"),
        (
            "redis://h",
            "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
        ),
        ("redis://h", "-DENIED Redis is running in protected mode\r\n"),
    ];
    for (url, line) in table {
        let mut handshake = first(&config(url), Protocol::Resp3);
        sent(&mut handshake);
        let error = answer(&mut handshake, &[line]).unwrap_err();
        assert!(error.to_string().starts_with("connecting failed at HELLO: "), "{error}");
        assert_eq!(handshake.poll_again(&error), None);
        assert!(handshake.poll_transmit().is_none());
    }
    // A password that the code holds as a part leaves it whole.
    for password in ["wrong", "wrongpass", "wrongpass1", "invalid"] {
        let mut handshake = first(&config(&format!("redis://:{password}@h")), Protocol::Resp3);
        sent(&mut handshake);
        let error = answer(&mut handshake, &["-WRONGPASS invalid username-password pair\r\n"]).unwrap_err();
        let error = handshake.handle_failed(error);
        assert!(error.to_string().contains("HELLO: WRONGPASS "), "{error}");
        assert_eq!(error.code(), Some("WRONGPASS"));
    }
    // In the words of RESP2 the password turns out to be wrong.
    let mut handshake = first(&config("redis://:secret@h"), Protocol::Resp3);
    sent(&mut handshake);
    answer(&mut handshake, &["-NOAUTH Authentication required.\r\n", "-NOAUTH\r\n", "-NOAUTH\r\n"]).unwrap();
    assert_eq!(sent(&mut handshake)[0], "AUTH secret");
    let error = answer(&mut handshake, &["-ERR invalid password\r\n"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication(AuthenticationFault::WrongPassword));
    // A second HELLO would not be answered otherwise: it is refused once.
    let mut handshake = first(&config("redis://h?lib_name=&lib_version="), Protocol::Resp3);
    sent(&mut handshake);
    answer(&mut handshake, &["-ERR no\r\n"]).unwrap();
    assert_eq!(handshake.poll_done().unwrap().protocol, Protocol::Resp2);
}

#[test]
fn what_hello_tells_is_read_from_maps_and_lists() {
    let fields =
        |proto: &str| format!("$7\r\nversion\r\n$5\r\n7.0.1\r\n$5\r\nproto\r\n{proto}$2\r\nid\r\n:9\r\n");
    let table = [
        ("%3\r\n", ":3\r\n", Protocol::Resp3),
        ("%3\r\n", ":2\r\n", Protocol::Resp2),
        ("%3\r\n", "$1\r\n2\r\n", Protocol::Resp2),
        ("%3\r\n", "_\r\n", Protocol::Resp3),
        ("*6\r\n", ":2\r\n", Protocol::Resp2),
        ("*6\r\n", ":3\r\n", Protocol::Resp3),
        ("*6\r\n", "$-1\r\n", Protocol::Resp2),
        ("*7\r\n", ":2\r\n", Protocol::Resp2),
    ];
    for (head, proto, protocol) in table {
        let mut handshake = first(&config("redis://:secret@h?lib_name=&lib_version="), Protocol::Resp3);
        sent(&mut handshake);
        let odd = if head == "*7\r\n" { ":1\r\n" } else { "" };
        answer(&mut handshake, &[&format!("{head}{}{odd}", fields(proto))]).unwrap();
        let session = handshake.poll_done().unwrap();
        assert_eq!(
            session,
            Session { protocol, version: Some("7.0.1".into()), id: Some(9) },
            "{head}{proto}"
        );
    }
    let mut handshake = first(&config("redis://h?lib_name=&lib_version="), Protocol::Resp3);
    sent(&mut handshake);
    answer(&mut handshake, &["%0\r\n"]).unwrap();
    assert_eq!(handshake.poll_done().unwrap().protocol, Protocol::Resp3, "a proxy may tell nothing");
}

#[test]
fn a_server_that_closes_at_hello_may_know_resp2_only() {
    let lost = || Error::closed_by_peer(Outcome::MaybeExecuted);
    let handshake = first(&config("redis://h"), Protocol::Resp3);
    let error = handshake.handle_failed(lost());
    assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Closed));
    assert!(error.to_string().contains("`protocol=2`") && error.to_string().contains("closed"), "{error}");
    assert_eq!(handshake.poll_again(&error), None);
    // Not where it was not greeted so, nor where something else is wrong.
    let handshake = first(&config("redis://h?protocol=2"), Protocol::Resp2);
    assert!(!handshake.handle_failed(lost()).to_string().contains("protocol=2"));
    let handshake = first(&config("redis://h"), Protocol::Resp3);
    assert!(!handshake.handle_failed(Error::timeout(Outcome::NotSent)).to_string().contains("protocol=2"));
    // One that refuses it and closes then is connected to anew.
    let mut handshake = first(&config("redis://:secret@h"), Protocol::Resp3);
    sent(&mut handshake);
    answer(&mut handshake, &["-ERR unknown command\r\n"]).unwrap();
    assert_eq!(handshake.poll_again(&lost()), Some(Protocol::Resp2));
    assert_eq!(handshake.poll_again(&Error::timeout(Outcome::NotSent)), None);
    assert!(!handshake.handle_failed(lost()).to_string().contains("protocol=2"));
}

#[test]
fn whatever_is_quoted_of_the_password_is_not_shown() {
    let said = [
        "-ERR unknown command 'AUTH', with args beginning with: 's3cretpw' \r\n",
        "-ERR unknown command 'auth s3cretpw'\r\n",
        "-ERR wrong: s3cretpw\r\n",
        "-S3CRETPW\r\n",
        "-s3cretpw is no password\r\n",
        "!16\r\nERR no\r\ns3cretpw\r\n",
        "+s3cretpw\r\n",
        "$8\r\ns3cretpw\r\n",
        "*2\r\n$4\r\nAUTH\r\n$8\r\ns3cretpw\r\n",
        "-ERR cut off: 's3cret\r\n",
    ];
    for line in said {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            for url in ["redis://:s3cretpw@h", "redis://ann:s3cretpw@h/3"] {
                let mut handshake = first(&config(url), protocol);
                sent(&mut handshake);
                // At AUTH, HELLO, RESET, SELECT, …
                let mut result = handshake.handle_reply(line.as_bytes());
                while result.is_ok() && (!handshake.steps.is_empty() || handshake.ignored > 0) {
                    handshake.poll_transmit();
                    result = handshake.handle_reply(line.as_bytes());
                }
                let error = result
                    .err()
                    .unwrap_or_else(|| handshake.handle_failed(Error::from_server(line.as_bytes())));
                let mut shown = format!("{error} {error:?}").to_lowercase();
                let mut cause = std::error::Error::source(&error);
                while let Some(error) = cause {
                    shown += &format!("{error} {error:?}").to_lowercase();
                    cause = error.source();
                }
                assert!(!shown.contains("s3cret"), "{line}: {shown}");
            }
        }
    }
}

#[test]
fn a_failed_step_is_named_and_nothing_secret_is_said() {
    let cases = [
        (0, "-WRONGPASS invalid username-password pair\r\n", "connecting failed at HELLO: WRONGPASS"),
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
fn a_client_that_wants_a_database_that_a_cluster_has_not_is_told_which_it_has() {
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
    for words in [
        "-unsupported command 'CLIENT'\r\n",
        "-ERR unknown command\r\n",
        "-ERR Unknown subcommand or wrong number of arguments for 'SETNAME'. Try CLIENT HELP.\r\n",
        "-BUSY Redis is busy running a script\r\n",
        "-ERR syntax error\r\n",
        "$-1\r\n",
        ":0\r\n",
    ] {
        let mut handshake = first(&config, config.protocol());
        sent(&mut handshake);
        answer(&mut handshake, &[words, words, words]).unwrap();
        assert!(handshake.poll_done().is_some(), "{words}");
    }
    // A server that wants a password wants it for all that follows.
    let mut handshake = first(&config, config.protocol());
    sent(&mut handshake);
    let error = answer(&mut handshake, &["-NOAUTH Authentication required.\r\n"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication(AuthenticationFault::PasswordRequired), "{error}");
}

/// It answers whatever comes first, and closes.
#[test]
fn a_server_that_lets_no_client_in_is_heard_at_whatever_is_said_first() {
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
        ("master", "active-replica", "active-replica", true),
        ("master", "sentinel", "master", false),
        ("replica", "active-replica", "slave", false),
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
}

/// Front ends without ROLE, and users who may not ask.
#[test]
fn where_there_is_no_role_info_tells_what_the_server_is() {
    let config = config("redis+sentinel://h/m?protocol=2&lib_name=&lib_version=");
    let info = |role: &str| {
        let text = format!("# Replication\r\nrole:{role}\r\nconnected_slaves:0\r\n");
        format!("${}\r\n{text}\r\n", text.len())
    };
    for refusal in [
        "-NOPERM this user has no permissions to run the 'role' command\r\n",
        "-ERR unknown command 'ROLE'\r\n",
        "-unsupported command\r\n",
        "+OK\r\n",
    ] {
        for (answer, good) in [
            (info("master"), true),
            (info("active-replica"), true),
            (info("slave"), false),
            // Then a write will tell.
            ("-NOPERM info\r\n".to_owned(), true),
            ("-ERR unknown command\r\n".to_owned(), true),
            ("$0\r\n\r\n".to_owned(), true),
        ] {
            let mut handshake = first(&config, Protocol::Resp2);
            assert_eq!(sent(&mut handshake), ["ROLE"]);
            handshake.handle_reply(refusal.as_bytes()).unwrap();
            assert_eq!(handshake.poll_done(), None);
            assert_eq!(sent(&mut handshake), ["INFO replication"]);
            let result = handshake.handle_reply(answer.as_bytes());
            assert_eq!(result.is_ok() && handshake.poll_done().is_some(), good, "{answer}");
        }
    }
    // Not if HELLO has told.
    let config = Config::from_url("redis+sentinel://h/m?lib_name=&lib_version=").unwrap();
    let mut handshake = first(&config, Protocol::Resp3);
    sent(&mut handshake);
    answer(&mut handshake, &["%1\r\n$4\r\nrole\r\n$6\r\nmaster\r\n", "-NOPERM role\r\n"]).unwrap();
    assert!(handshake.poll_done().is_some());
}
