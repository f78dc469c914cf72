//! Servers that are old, that allow little, or that are no Redis at all. FAULTS 25, 47.

use std::time::Duration;

use redwire::{ErrorKind, Outcome};
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
    a_server_that_closes_on_hello_is_told_of,
    whoever_is_no_redis_gets_a_protocol_error,
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

fn a_server_that_closes_on_hello_is_told_of(setup: Setup) {
    let fake = FakeServer::script([expect_name("HELLO"), Step::Close]);
    let (result, took) = timed(|| setup.connect(&fake.url(), "connect_timeout=1s"));
    let error = result.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(error.to_string().contains("closed"), "{error}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(fake.problems(), Vec::<String>::new());
}

fn whoever_is_no_redis_gets_a_protocol_error(setup: Setup) {
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
    // A MySQL greeting begins with a length that looks like no frame but may be a long line: time ends it, too.
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
