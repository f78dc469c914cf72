//! What a caller may say about one call, and commands that wait. REFERENCE E1, E2; FAULTS 13, 50.

use std::thread;
use std::time::{Duration, Instant};

use redwire::{Cmd, ErrorKind, Outcome, Value, cmd};
use redwire_testkit::{Direction, FakeServer, Fault, Proxy, Server, eventually, shared};

use crate::common::{GRACE, LIMIT, Setup, named_clients, timed, words};

both!(
    a_call_may_have_a_timeout_of_its_own,
    retries_are_counted,
    an_idempotent_write_is_repeated,
    a_command_that_waits_holds_up_no_other,
    the_servers_timeout_comes_on_top,
    a_command_that_waits_for_ever_has_no_deadline,
    what_would_disturb_others_is_refused,
);

fn a_call_may_have_a_timeout_of_its_own(setup: Setup) {
    let fake = FakeServer::answering(|words| match &words[0][..] {
        b"HELLO" => b"%1\r\n+server\r\n+redis\r\n".to_vec(),
        b"CLIENT" => b"+OK\r\n".to_vec(),
        _ => Vec::new(),
    });
    let client = setup.client(&fake.url(), "timeout=5s");
    for limit in [50, 100, 20] {
        let limit = Duration::from_millis(limit);
        let (result, took) = timed(|| client.execute(words::<Value>("GET k").timeout(limit)));
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted), "{error}");
        assert!(error.is_timeout() && error.command() == Some("GET"), "{error}");
        assert!(took >= limit && took < limit + GRACE, "{took:?} of {limit:?}");
    }
}

fn retries_are_counted(setup: Setup) {
    let fake = FakeServer::answering(|words| match &words[0][..] {
        b"HELLO" => b"%1\r\n+server\r\n+redis\r\n".to_vec(),
        b"CLIENT" => b"+OK\r\n".to_vec(),
        b"GET" => b"-LOADING it loads\r\n".to_vec(),
        _ => b"-WRONGTYPE no\r\n".to_vec(),
    });
    let client = setup.client(&fake.url(), "retries=2&retry_backoff=none");
    let tries = |cmd: Cmd<Value>| client.execute(cmd).unwrap_err().tries();
    assert_eq!(tries(words("GET k")), 3);
    assert_eq!(tries(words("GET k").retries(0)), 1);
    assert_eq!(tries(words("GET k").retries(5)), 6);
    assert_eq!(tries(words("HGET k f").retries(5)), 1, "a wrong type stays wrong");
    let count = fake.received().iter().filter(|words| words[0] == b"GET").count();
    assert_eq!(count, 10);
}

fn an_idempotent_write_is_repeated(setup: Setup) {
    let proxy = Proxy::start(shared().addr());
    let client = setup.client(&proxy.url(), "");
    let key = setup.key("idempotent");
    proxy.set(Direction::ToClient, Fault::CutAfter(0));
    let cmd = cmd::<String>("SET").arg(&key).arg("v").idempotent();
    assert_eq!(client.execute(cmd).unwrap(), "OK");
    assert_eq!(client.run::<String>(&format!("GET {key}")).unwrap(), "v");
}

fn a_command_that_waits_holds_up_no_other(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "client_name=waits");
    client.run::<()>("SET k v").unwrap();
    thread::scope(|scope| {
        let popping: Vec<_> = (0..3)
            .map(|i| {
                let client = client.clone();
                scope.spawn(move || client.run::<(String, String)>(&format!("BLPOP list{i} 0")).unwrap())
            })
            .collect();
        let blocked = || server.command(&["INFO", "clients"]).unwrap().contains("blocked_clients:3");
        eventually("three wait", LIMIT, blocked);
        for _ in 0..100 {
            let (value, took) = timed(|| client.run::<String>("GET k").unwrap());
            assert_eq!(value, "v");
            assert!(took < Duration::from_secs(1), "{took:?}");
        }
        for i in 0..3 {
            client.run::<i64>(&format!("RPUSH list{i} {i}")).unwrap();
        }
        for (i, popping) in popping.into_iter().enumerate() {
            assert_eq!(popping.join().unwrap(), (format!("list{i}"), i.to_string()));
        }
    });
    client.close();
    eventually("all connections end", LIMIT, || named_clients(&server, "waits") == 0);
}

fn the_servers_timeout_comes_on_top(setup: Setup) {
    // Servers look for the end of such waits ten times a second.
    let client = setup.client(&shared().url(), "timeout=500ms");
    let list = setup.key("nothing");
    let (popped, took) = timed(|| client.run::<Option<Value>>(&format!("BLPOP {list} 0.6")).unwrap());
    assert!(popped.is_none());
    assert!(took >= Duration::from_millis(600) && took < Duration::from_millis(1100), "{took:?}");
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=200ms");
    client.run::<String>("PING").unwrap();
    thread::scope(|scope| {
        let start = Instant::now();
        let popping = scope.spawn(|| client.run::<Option<Value>>("BLPOP list 0.2"));
        eventually("it waits", LIMIT, || {
            server.command(&["INFO", "clients"]).unwrap().contains("blocked_clients:1")
        });
        server.freeze();
        let error = popping.join().unwrap().unwrap_err();
        let took = start.elapsed();
        server.thaw();
        assert!(error.is_timeout(), "{error}");
        assert!(took >= Duration::from_millis(400) && took < Duration::from_millis(400) + GRACE, "{took:?}");
    });
}

fn a_command_that_waits_for_ever_has_no_deadline(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=50ms");
    thread::scope(|scope| {
        let popping = scope.spawn(|| client.run::<(String, i64)>("BLPOP list 0"));
        eventually("it waits", LIMIT, || {
            server.command(&["INFO", "clients"]).unwrap().contains("blocked_clients:1")
        });
        // Longer than the timeout: the one thing here that only time can show.
        thread::sleep(Duration::from_millis(200));
        server.command(&["RPUSH", "list", "1"]).unwrap();
        assert_eq!(popping.join().unwrap().unwrap(), ("list".to_owned(), 1));
    });
}

fn what_would_disturb_others_is_refused(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    for line in [
        "SELECT 1",
        "MULTI",
        "EXEC",
        "WATCH k",
        "SUBSCRIBE c",
        "PSUBSCRIBE c",
        "MONITOR",
        "CLIENT REPLY OFF",
        "CLIENT REPLY SKIP",
        "client tracking on",
        "AUTH x",
        "HELLO 2",
        "QUIT",
        "RESET",
    ] {
        let error = client.run::<Value>(line).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{line}: {error}");
        assert_eq!(client.run::<String>("PING").unwrap(), "PONG", "after {line}");
    }
}
