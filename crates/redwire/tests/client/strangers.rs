//! Servers that are old, that allow little, or that are no Redis at all. FAULTS 25, 47, 63, 64.

use std::time::Duration;

use redwire::config::Protocol;
use redwire::{AuthenticationFault, ErrorKind, Outcome};
use redwire_testkit::{FakeServer, Server, Step, expect, expect_name, reply, shared};

use crate::common::{Driver, GRACE, LIMIT, Setup, timed};

const NO_HELLO: &str = "-ERR unknown command 'HELLO'\r\n";

/// For the drivers alone: the protocol is what the script makes of it.
macro_rules! on_both_drivers {
    ($($scenario:ident),* $(,)?) => {$(
        mod $scenario {
            use crate::common::{Driver, Setup};

            #[test]
            fn tokio() {
                super::$scenario(Setup { driver: Driver::Tokio, protocol: 3 });
            }
            #[test]
            fn blocking() {
                super::$scenario(Setup { driver: Driver::Blocking, protocol: 3 });
            }
        }
    )*};
}

on_both_drivers!(
    a_server_without_hello_is_spoken_to_in_resp2,
    the_fallback_is_remembered,
    refused_names_are_passed_over,
    any_refusal_of_hello_leads_to_resp2,
    a_list_for_a_map_is_read_and_its_protocol_believed,
    a_peer_that_refuses_hello_and_closes_is_connected_to_anew,
    a_server_that_closes_on_hello_is_told_of,
    a_peer_that_is_no_redis_is_a_protocol_error,
    a_silent_server_costs_the_connect_timeout,
    a_user_without_rights_still_connects,
);

fn a_server_without_hello_is_spoken_to_in_resp2(setup: Setup) {
    let fake = FakeServer::script([
        expect(&["HELLO", "3", "AUTH", "default", "pw", "SETNAME", "me"]),
        reply(NO_HELLO),
        expect(&["CLIENT", "SETINFO", "LIB-NAME", "x"]),
        reply("-NOAUTH Authentication required.\r\n"),
        expect_name("CLIENT"),
        reply("-NOAUTH Authentication required.\r\n"),
        expect(&["AUTH", "pw"]),
        reply("+OK\r\n"),
        expect(&["CLIENT", "SETNAME", "me"]),
        reply("+OK\r\n"),
        expect_name("CLIENT"),
        reply("-ERR Syntax error, try CLIENT (LIST | KILL)\r\n"),
        expect_name("CLIENT"),
        reply("-ERR Syntax error, try CLIENT (LIST | KILL)\r\n"),
        expect(&["GET", "k"]),
        reply("$1\r\nv\r\n"),
    ]);
    let url = fake.url().replace("redis://", "redis://:pw@");
    let client = setup.client(&url, "client_name=me&lib_name=x");
    assert_eq!(client.run::<String>("GET k").unwrap(), "v");
    fake.verify();
}

fn the_fallback_is_remembered(setup: Setup) {
    let first =
        vec![expect_name("HELLO"), reply(NO_HELLO), expect(&["GET", "k"]), reply("$1\r\nv\r\n"), Step::Close];
    let second = vec![expect(&["GET", "k"]), reply("$1\r\nw\r\n")];
    let fake = FakeServer::scripts([first, second]);
    let client = setup.client(&fake.url(), "lib_name=&lib_version=");
    assert_eq!(client.run::<String>("GET k").unwrap(), "v");
    assert_eq!(client.run::<String>("GET k").unwrap(), "w");
    fake.verify();
}

fn refused_names_are_passed_over(setup: Setup) {
    let fake = FakeServer::script([
        expect_name("HELLO"),
        reply("%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n"),
        expect_name("CLIENT"),
        reply("-NOPERM this user has no permissions to run the 'client|setinfo' command\r\n"),
        expect_name("CLIENT"),
        reply("-ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.\r\n"),
        expect(&["PING"]),
        reply("+PONG\r\n"),
    ]);
    assert_eq!(setup.client(&fake.url(), "").run::<String>("PING").unwrap(), "PONG");
    fake.verify();
}

/// What front ends say to HELLO, and to CLIENT and whatever else they do not have.
const REFUSALS: [&str; 18] = [
    "-ERR unknown command 'HELLO'\r\n",
    "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n",
    "-ERR Unknown command\r\n",
    "-ERR command not found\r\n",
    "-ERR unsupported command\r\n",
    "-unsupported command 'hello'\r\n",
    "-ERR unknown or unsupported command 'hello'\r\n",
    "-ERR handle request, command 'HELLO' is not allowed\r\n",
    "-ERR Command is not available: 'HELLO'. See the documentation\r\n",
    "-ERR command 'HELLO' not support for your account\r\n",
    "-ERR wrong number of arguments for 'hello' command\r\n",
    "-ERR syntax error\r\n",
    "-ERR Syntax error in HELLO option 'AUTH'\r\n",
    "-ERR invalid command\r\n",
    "-NOPROTO unsupported protocol version\r\n",
    "-NOPERM this user has no permissions to run the 'hello' command\r\n",
    "+OK\r\n",
    "$-1\r\n",
];

/// A front end that says `hello` to HELLO and `refusal` to CLIENT, lets in by AUTH with `pw`, and knows
/// little else.
fn front_end(hello: &'static str, refusal: &'static str) -> FakeServer {
    FakeServer::answering(move |words| {
        let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
        let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
        let answer = match words.as_slice() {
            ["HELLO", ..] => hello,
            ["AUTH", "pw"] => "+OK\r\n",
            ["AUTH", ..] => "-ERR invalid password\r\n",
            ["GET", _] => "$1\r\nv\r\n",
            _ => refusal,
        };
        answer.as_bytes().to_vec()
    })
}

fn any_refusal_of_hello_leads_to_resp2(setup: Setup) {
    for refusal in REFUSALS {
        let fake = front_end(refusal, refusal);
        let with_password = fake.url().replace("redis://", "redis://:pw@");
        for url in [fake.url(), with_password] {
            let mut connection = setup.connection(&url, "client_name=me");
            assert_eq!(connection.run::<String>("GET k").unwrap(), "v", "{refusal}");
            assert_eq!(connection.session().unwrap().protocol, Protocol::Resp2, "{refusal}");
        }
        assert_eq!(fake.connections(), 2, "{refusal}");
        let wrong = fake.url().replace("redis://", "redis://:wrong@");
        let error = setup.connect(&wrong, "").unwrap_err();
        let kind = ErrorKind::Authentication(AuthenticationFault::WrongPassword);
        assert_eq!(error.kind(), kind, "{refusal}: {error}");
    }
    // One that wants a password before it looks for one in the command.
    let fake = front_end("-NOAUTH Authentication required.\r\n", "-NOAUTH Authentication required.\r\n");
    let client = setup.client(&fake.url().replace("redis://", "redis://:pw@"), "");
    assert_eq!(client.run::<String>("GET k").unwrap(), "v");
    let error = setup.connect(&fake.url(), "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication(AuthenticationFault::PasswordRequired), "{error}");
    // Not so where no client is let in.
    for (refusal, words) in [
        ("-ERR max number of clients reached\r\n", "max number"),
        ("-DENIED Redis is running in protected mode\r\n", "protected mode"),
        ("-LOADING Redis is loading the dataset in memory\r\n", "LOADING"),
    ] {
        let fake = front_end(refusal, refusal);
        let error = setup.connect(&fake.url(), "connect_timeout=1s").unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(fake.received().iter().all(|words| words[0] != b"AUTH"));
    }
}

fn a_list_for_a_map_is_read_and_its_protocol_believed(setup: Setup) {
    for (hello, protocol) in [
        ("*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:2\r\n", Protocol::Resp2),
        ("*4\r\n$7\r\nversion\r\n$3\r\n7.0\r\n$5\r\nproto\r\n$1\r\n2\r\n", Protocol::Resp2),
        ("%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:2\r\n", Protocol::Resp2),
        ("%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n", Protocol::Resp3),
    ] {
        let fake = front_end(hello, "-ERR unknown command\r\n");
        let mut connection = setup.connection(&fake.url(), "");
        assert_eq!(connection.run::<String>("GET k").unwrap(), "v", "{hello}");
        assert_eq!(connection.session().unwrap().protocol, protocol, "{hello}");
    }
}

fn a_peer_that_refuses_hello_and_closes_is_connected_to_anew(setup: Setup) {
    let first = || vec![expect_name("HELLO"), reply("-ERR command not found\r\n"), Step::Close];
    let second =
        || vec![expect(&["AUTH", "pw"]), reply("+OK\r\n"), expect(&["GET", "k"]), reply("$1\r\nv\r\n")];
    let fake = FakeServer::scripts([first(), second()]);
    let url = fake.url().replace("redis://", "redis://:pw@");
    let client = setup.client(&url, "lib_name=&lib_version=");
    assert_eq!(client.run::<String>("GET k").unwrap(), "v");
    fake.verify();
}

/// As proxies do that know RESP2 only; in the words of RESP2 they serve.
fn a_server_that_closes_on_hello_is_told_of(setup: Setup) {
    for end in [Step::Close, Step::Reset] {
        let fake = FakeServer::script([expect_name("HELLO"), end]);
        let (result, took) = timed(|| setup.connect(&fake.url(), "connect_timeout=1s"));
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert!(error.to_string().contains("closed before it answered HELLO"), "{error}");
        assert!(error.to_string().contains("`protocol=2`"), "{error}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!(fake.problems(), Vec::<String>::new());
    }
    let fake = FakeServer::script([expect(&["GET", "k"]), reply("$1\r\nv\r\n")]);
    let client = Setup { protocol: 2, ..setup }.client(&fake.url(), "lib_name=&lib_version=");
    assert_eq!(client.run::<String>("GET k").unwrap(), "v");
}

fn a_peer_that_is_no_redis_is_a_protocol_error(setup: Setup) {
    for banner in [
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "220 mail.example ESMTP\r\n",
        "\x15\x03\x01\x00\x02\x02\x46",
        "N\x00\x00\x00\x0a8.0.36\x00",
    ] {
        let fake = FakeServer::raw(banner);
        let (result, took) = timed(|| setup.connect(&fake.url(), "connect_timeout=300ms"));
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{banner:?}: {error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert!(took < Duration::from_millis(300) + GRACE, "{banner:?}: {took:?}");
    }
    // A MySQL greeting begins with a length that looks like no frame but may be a long line: time ends it,
    // too.
    let fake = FakeServer::raw("+half a line");
    let error = setup.connect(&fake.url(), "connect_timeout=300ms").unwrap_err();
    assert!(error.is_timeout(), "{error}");
}

fn a_silent_server_costs_the_connect_timeout(setup: Setup) {
    let limit = Duration::from_millis(300);
    // Silent from the start, or after half of the handshake.
    for step in [reply(""), reply("%1\r\n+server\r\n+redis\r\n")] {
        let fake = FakeServer::script([expect_name("HELLO"), step, Step::Stall]);
        let (result, took) = timed(|| setup.connect(&fake.url(), "connect_timeout=300ms"));
        let error = result.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert!(error.to_string().contains("300ms"), "{error}");
        assert!(took >= limit && took < limit + GRACE, "{took:?}");
    }
}

fn a_user_without_rights_still_connects(setup: Setup) {
    let server = Server::builder().acl_line("user poor on >pw ~* +get +ping -client -hello").start();
    let url = format!("redis://poor:pw@127.0.0.1:{}", server.port());
    for protocol in [3, 2] {
        let client = Setup { protocol, ..setup }.client(&url, "client_name=poor");
        assert_eq!(client.run::<Option<String>>("GET k").unwrap(), None);
        let error = client.run::<()>("SET k v").unwrap_err();
        assert_eq!(error.code(), Some("NOPERM"), "{error}");
    }
}

/// Without Redis around, the blocking client and the async one say the same.
#[test]
fn both_drivers_say_the_same_of_a_stranger() {
    let fake = FakeServer::raw("HTTP/1.1 400 Bad Request\r\n\r\n");
    let say = |driver| Setup { driver, protocol: 3 }.connect(&fake.url(), "").unwrap_err().to_string();
    let (result, took) = timed(|| (say(Driver::Tokio), say(Driver::Blocking)));
    assert_eq!(result.0, result.1);
    assert!(result.0.contains("HTTP/1.1"), "{}", result.0);
    assert!(took < LIMIT);
    assert_eq!(shared().command(&["PING"]), Ok("PONG".to_owned()));
}
