//! Connections that are lost with calls under way: what ran is known, and nothing runs twice (I2). FAULTS
//! 4–7, 20.

use bytes::Bytes;
use redwire::{ErrorKind, Outcome, Pipeline, Run, Slot, TrySlot, cmd};
use redwire_testkit::{Direction, FakeServer, Fault, Proxy, Server, eventually};

use crate::common::{Client, LIMIT, Setup, client_line, kill_named, timed, words};

both!(
    a_lost_reply_is_told_and_the_command_not_repeated,
    a_lost_pipeline_is_told_and_not_repeated,
    what_came_before_a_loss_or_the_deadline_is_given_out,
    what_only_reads_is_repeated,
    a_connection_killed_while_idle_is_invisible,
    without_a_pause_nothing_runs_twice,
    an_idle_timeout_of_the_server_is_invisible,
    half_a_command_is_not_sent,
    replies_lost_at_random_never_execute_twice,
);

fn a_lost_reply_is_told_and_the_command_not_repeated(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    server.command(&["RPUSH", "list", "a", "b", "c"]).unwrap();
    for fault in [Fault::CutAfter(0), Fault::CutAfter(1), Fault::ResetAfter(0), Fault::ResetAfter(2)] {
        server.command(&["SET", "n", "0"]).unwrap();
        let length = server.command(&["LLEN", "list"]).unwrap().parse::<i64>().unwrap();
        let client = setup.client(&proxy.url(), "");
        for line in ["INCR n", "LPOP list"] {
            if length == 0 && line.starts_with('L') {
                continue;
            }
            // A new connection's handshake must not meet the fault.
            client.run::<()>("PING").unwrap();
            proxy.set(Direction::ToClient, fault);
            let error = client.run::<redwire::Value>(line).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{line}: {error}");
            assert_eq!((error.outcome(), error.tries()), (Outcome::MaybeExecuted, 1), "{line}: {error}");
            assert!(!error.is_retryable() && error.command() == line.split(' ').next(), "{error}");
        }
        assert_eq!(server.command(&["GET", "n"]).unwrap(), "1");
        assert_eq!(server.command(&["LLEN", "list"]).unwrap(), (length - 1).max(0).to_string());
        assert_eq!(client.run::<i64>("INCR n").unwrap(), 2, "the client goes on");
    }
}

fn a_lost_pipeline_is_told_and_not_repeated(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "");
    // The first reply comes through, the others do not.
    for bytes in [0, 4, 6] {
        server.command(&["DEL", "n"]).unwrap();
        client.run::<()>("PING").unwrap();
        proxy.set(Direction::ToClient, Fault::CutAfter(bytes));
        let result = client.pipeline(|p| (0..10).map(|_| p.run(words::<i64>("INCR n"))).collect::<Vec<_>>());
        let error = result.unwrap_err();
        assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
        assert_eq!(server.command(&["GET", "n"]).unwrap(), "10");
    }
    client.run::<()>("PING").unwrap();
    proxy.set(Direction::ToClient, Fault::CutAfter(6));
    let reads =
        client.pipeline(|p| -> (Slot<i64>, Slot<i64>) { (p.run(words("GET n")), p.run(words("STRLEN n"))) });
    assert_eq!(reads.unwrap(), (10, 2), "a pipeline that only reads is repeated");
}

/// FAULTS 116, of one server: by slots that take their errors.
fn what_came_before_a_loss_or_the_deadline_is_given_out(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "");
    let mut connection = setup.connection(&proxy.url(), "");
    let count =
        |p: &Pipeline| (0..5).map(|_| p.run(words::<i64>("INCR n")).attempt()).collect::<Vec<TrySlot<_>>>();
    for (by_hand, bytes) in [(false, 0), (false, 4), (false, 9), (true, 0), (true, 9)] {
        server.command(&["DEL", "n"]).unwrap();
        if by_hand {
            connection.reconnect().unwrap();
        } else {
            client.run::<()>("PING").unwrap();
        }
        proxy.set(Direction::ToClient, Fault::CutAfter(bytes));
        let counted = if by_hand { connection.pipeline(count) } else { client.pipeline(count) }.unwrap();
        let whole = bytes as usize / 4;
        for (nth, result) in counted.iter().enumerate() {
            match result {
                Ok(n) => assert!(nth < whole && *n == nth as i64 + 1, "{nth}: {n}"),
                Err(error) => {
                    assert!(
                        nth >= whole && matches!(error.kind(), ErrorKind::Connection(_)),
                        "{nth}: {error}"
                    );
                    assert_eq!((error.outcome(), error.command()), (Outcome::MaybeExecuted, Some("INCR")));
                }
            }
        }
        assert_eq!(server.command(&["GET", "n"]).unwrap(), "5", "once each");
        assert_eq!(client.run::<i64>("INCR n").unwrap(), 6, "the client goes on");
    }
    // No server there: each call says for itself that it was not sent.
    proxy.set(Direction::ToServer, Fault::Refuse);
    proxy.cut_all();
    let lonely = setup.lazy(&proxy.url(), "timeout=200ms").unwrap();
    let unsent = lonely.pipeline(count).unwrap();
    assert_eq!(unsent.len(), 5);
    for error in unsent.into_iter().map(Result::unwrap_err) {
        assert_eq!((error.outcome(), error.command()), (Outcome::NotSent, Some("INCR")), "{error}");
    }
    let error = lonely.pipeline(|p| (p.run(words::<i64>("INCR n")).attempt(), p.run(words::<i64>("INCR n"))));
    let error = error.unwrap_err();
    assert_eq!((error.outcome(), error.command()), (Outcome::NotSent, Some("pipeline")), "{error}");
    // One that waits for the third in vain; what a server says cannot pass for a reply that did not come.
    let fake = FakeServer::answering(|words| match words[0].as_slice() {
        b"ONE" => b":1\r\n".to_vec(),
        b"TWO" => b"-ERR there is no reply to this command\r\n".to_vec(),
        b"THREE" | b"FOUR" => Vec::new(),
        b"HELLO" => b"-ERR unknown command 'HELLO'\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    });
    let limit = std::time::Duration::from_millis(300);
    let client = setup.client(&fake.url(), "");
    let ask = |p: &Pipeline| {
        p.timeout(limit);
        ["ONE", "TWO", "THREE", "FOUR"].map(|line| p.run(words::<i64>(line)))
    };
    let (asked, took) = timed(|| client.pipeline(|p| ask(p).map(Slot::attempt)));
    assert!(took >= limit, "{took:?}");
    let [one, two, three, four] = asked.unwrap();
    assert_eq!((one.unwrap(), two.unwrap_err().code()), (1, Some("ERR")));
    for (error, name) in [(three.unwrap_err(), "THREE"), (four.unwrap_err(), "FOUR")] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted), "{error}");
        assert_eq!(error.command(), Some(name), "{error}");
    }
    // On a connection of its own: the first is out of step now.
    let client = setup.client(&fake.url(), "");
    let error = client.pipeline(|p| ask(p)).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted), "{error}");
}

fn what_only_reads_is_repeated(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "");
    server.command(&["SET", "k", "k=value"]).unwrap();
    for fault in [Fault::CutAfter(0), Fault::CutAfter(4), Fault::ResetAfter(1)] {
        client.run::<()>("PING").unwrap();
        proxy.set(Direction::ToClient, fault);
        assert_eq!(client.run::<String>("GET k").unwrap(), "k=value");
        proxy.set(Direction::ToClient, fault);
        let error = client.execute(words::<String>("GET k").retries(0)).unwrap_err();
        assert_eq!((error.outcome(), error.tries()), (Outcome::MaybeExecuted, 1), "{error}");
    }
}

fn a_connection_killed_while_idle_is_invisible(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "client_name=idle");
    for n in 1..=20 {
        assert_eq!(client.run::<i64>("INCR n").unwrap(), n);
        let line = client_line(&server, "idle").unwrap();
        kill_named(&server, "idle");
        wait_until_noticed(&client, &server, &line);
    }
    assert_eq!(server.command(&["GET", "n"]).unwrap(), "20");
}

/// The async client notices at once, and connects anew. The blocking one looks before its next call.
fn wait_until_noticed(client: &Client, server: &Server, line: &str) {
    let id = |line: &str| line.split(' ').next().map(str::to_owned);
    if matches!(client, Client::Tokio(_)) {
        let renewed = || client_line(server, "idle").is_some_and(|now| id(&now) != id(line));
        eventually("the client has connected anew", LIMIT, renewed);
    }
}

fn without_a_pause_nothing_runs_twice(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "client_name=hurry");
    let (mut done, mut unknown) = (0, 0);
    for _ in 0..100 {
        kill_named(&server, "hurry");
        match client.run::<i64>("INCR n") {
            Ok(_) => done += 1,
            Err(error) => {
                assert_eq!(
                    error.outcome(),
                    Outcome::MaybeExecuted,
                    "what was not sent is sent again: {error}"
                );
                unknown += 1;
            }
        }
    }
    let executed: i64 = server.command(&["GET", "n"]).unwrap().parse().unwrap_or(0);
    assert!((done..=done + unknown).contains(&executed), "{executed} of {done} done and {unknown} unknown");
}

fn an_idle_timeout_of_the_server_is_invisible(setup: Setup) {
    let server = Server::builder().arg("--timeout", "1").start();
    let client = setup.client(&server.url(), "client_name=idle");
    assert_eq!(client.run::<i64>("INCR n").unwrap(), 1);
    let line = client_line(&server, "idle").unwrap();
    let id = |line: &str| line.split(' ').next().map(str::to_owned);
    let closed = || client_line(&server, "idle").is_none_or(|now| id(&now) != id(&line));
    eventually("the server closes the idle connection", LIMIT, closed);
    wait_until_noticed(&client, &server, &line);
    assert_eq!(client.run::<i64>("INCR n").unwrap(), 2);
    assert_eq!(server.command(&["GET", "n"]).unwrap(), "2");
}

fn half_a_command_is_not_sent(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    // More than all the buffers between client and server hold.
    let value = Bytes::from(vec![b'v'; 48 << 20]);
    let set = || cmd::<()>("SET").arg("k").arg(&value);
    // Resets only: a peer that ends in order and swallows the rest may be found out when all is written, and
    // then the outcome is honestly unknown.
    for fault in [1, 100, 65_536, 5_000_000].map(Fault::ResetAfter) {
        let client = setup.client(&proxy.url(), "timeout=30s");
        proxy.set(Direction::ToServer, fault);
        let error = client.execute(set().retries(0)).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "{fault:?}: {error}");
        assert!(error.is_retryable(), "{error}");
        assert_eq!(server.command(&["EXISTS", "k"]).unwrap(), "0");
        proxy.set(Direction::ToServer, fault);
        client.execute(set()).unwrap();
        assert_eq!(server.command(&["STRLEN", "k"]).unwrap(), value.len().to_string());
        server.command(&["DEL", "k"]).unwrap();
    }
}

fn replies_lost_at_random_never_execute_twice(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "retry_backoff=none&reconnect_backoff=constant:1ms");
    let mut rng = fastrand::Rng::with_seed(5);
    let (mut done, mut unknown) = (0, 0);
    for _ in 0..200 {
        let fault =
            if rng.bool() { Fault::CutAfter(rng.u64(..30)) } else { Fault::ResetAfter(rng.u64(..30)) };
        proxy.set(if rng.bool() { Direction::ToClient } else { Direction::ToServer }, fault);
        for _ in 0..3 {
            match client.execute(words::<i64>("INCR n")) {
                Ok(_) => done += 1,
                Err(error) if error.outcome() == Outcome::MaybeExecuted => unknown += 1,
                Err(error) => assert_eq!(error.outcome(), Outcome::NotSent, "{error}"),
            }
        }
    }
    let executed: i64 = server.command(&["GET", "n"]).unwrap().parse().unwrap();
    assert!((done..=done + unknown).contains(&executed), "{executed} of {done} done and {unknown} unknown");
    assert!(done > 100 && unknown > 20, "{done} done and {unknown} unknown");
}
