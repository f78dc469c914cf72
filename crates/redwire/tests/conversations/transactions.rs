//! Pipelines that are executed whole or not at all: typed results, errors before and in `EXEC`, and what is
//! known when the connection is lost. FAULTS 41 (one server), REFERENCE U3.

use redwire::{ErrorKind, Lossy, Outcome, Pipeline, Reply, Result, Run, Slot, Slots, Value, cmd};
use redwire_testkit::{Direction, Fault, Proxy, Server, shared};

use crate::common::pool::{Lease, Pool};
use crate::common::{Client, Connection, Setup, runtime, words};

both!(
    shapes_of_slots_become_shapes_of_values,
    no_reader_sees_half_of_it,
    nothing_to_execute_sends_nothing,
    an_error_in_exec_is_raised_or_taken_by_its_slot,
    a_command_that_is_refused_is_named_and_nothing_executed,
    what_runs_out_of_memory_is_named,
    what_cannot_stand_in_a_transaction_is_refused_before_it_is_sent,
    a_lost_reply_is_told_and_not_repeated,
    what_does_no_harm_is_repeated,
    half_of_it_was_not_sent,
    without_the_right_to_multi_it_is_told_what_may_have_run,
    without_the_right_to_exec_nothing_runs_and_no_other_call_fails,
    keys_watched_by_hand_are_heeded,
    an_open_transaction_takes_no_other,
    a_lease_is_left_clean,
    large_ones_come_whole,
);

impl Client {
    pub(crate) fn atomic<S: Slots>(&self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        match self {
            Self::Tokio(client) => runtime().block_on(client.atomic(build)),
            Self::Blocking(client) => client.atomic(build),
        }
    }
}

impl Connection {
    fn atomic<S: Slots + Send>(&mut self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        match self {
            Self::Tokio(connection) => runtime().block_on(connection.atomic(build)),
            Self::Blocking(connection) => connection.atomic(build),
        }
    }
}

impl Lease {
    fn atomic<S: Slots + Send>(&mut self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        match self {
            Self::Tokio(lease) => runtime().block_on(lease.atomic(build)),
            Self::Blocking(lease) => lease.atomic(build),
        }
    }
}

fn run<R: Reply>(pipeline: &Pipeline, line: &str) -> Slot<R> {
    pipeline.run(words(line))
}

fn shapes_of_slots_become_shapes_of_values(setup: Setup) {
    let client = setup.client(&shared().unix_url(), "");
    let key = setup.key("atomic:shapes");
    let (ok, n, (value, list), map, none, unit) = client
        .atomic(|p| {
            let ok: Slot<String> = run(p, &format!("SET {key} 1"));
            let n: Slot<i64> = run(p, &format!("INCR {key}"));
            let value: Slot<Option<String>> = run(p, &format!("GET {key}"));
            drop(run::<i64>(p, &format!("RPUSH {key}:l a b c")));
            let list: Slot<Vec<String>> = run(p, &format!("LRANGE {key}:l 0 -1"));
            drop(run::<i64>(p, &format!("HSET {key}:h f 1 g 2")));
            let map: Slot<Vec<(String, i64)>> = run(p, &format!("HGETALL {key}:h"));
            let none: Slot<Option<String>> = run(p, &format!("GET {key}:none"));
            drop(run::<i64>(p, &format!("DEL {key} {key}:l {key}:h")));
            (ok, n, (value, list), map, none, ())
        })
        .unwrap();
    assert_eq!((ok.as_str(), n, value.as_deref(), none, unit), ("OK", 2, Some("2"), None, ()));
    assert_eq!(
        (list, map),
        (vec!["a".into(), "b".into(), "c".into()], vec![("f".into(), 1), ("g".into(), 2)])
    );
    let array: [i64; 3] = client.atomic(|p| [3, 4, 5].map(|i| run(p, &format!("ECHO {i}")))).unwrap();
    assert_eq!(array, [3, 4, 5]);
    let mut connection = setup.connection(&shared().url(), "");
    let one: String = connection.atomic(|p| run(p, "PING")).unwrap();
    let other: i64 = Pool::of(&client).get().unwrap().atomic(|p| run(p, &format!("EXISTS {key}"))).unwrap();
    assert_eq!((one.as_str(), other), ("PONG", 0));
}

/// Two counters that go up together are seen equal by all who look.
fn no_reader_sees_half_of_it(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let (a, b): (i64, i64) = client.atomic(|p| (run(p, "INCR a"), run(p, "INCR b"))).unwrap();
                    assert_eq!(a, b);
                    let seen: (Option<i64>, Option<i64>) = client.run("MGET a b").unwrap();
                    assert_eq!(seen.0, seen.1);
                }
            });
        }
    });
    assert_eq!((server.calls("exec"), client.run::<i64>("GET a").unwrap()), (400, 400));
}

fn nothing_to_execute_sends_nothing(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let nothing: Vec<String> = client.atomic(|_| Vec::<Slot<String>>::new()).unwrap();
    assert!(nothing.is_empty());
    setup.connection(&server.url(), "").atomic(|_| ()).unwrap();
    assert_eq!(server.calls("multi"), 0);
}

fn an_error_in_exec_is_raised_or_taken_by_its_slot(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let key = setup.key("atomic:wrong");
    let error = client
        .atomic(|p| -> (Slot<()>, Slot<i64>, Slot<i64>) {
            (
                run(p, &format!("SET {key} text")),
                run(p, &format!("LPUSH {key} x")),
                run(p, &format!("APPEND {key} s")),
            )
        })
        .unwrap_err();
    assert_eq!(
        (error.command(), error.code(), error.tries()),
        (Some("LPUSH"), Some("WRONGTYPE"), 1),
        "{error}"
    );
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Response, Outcome::Rejected));
    assert!(error.to_string().contains("command 2 of 3 in the transaction"), "{error}");
    // A server undoes nothing.
    assert_eq!(client.run::<String>(&format!("GET {key}")).unwrap(), "texts");
    let (failed, length) = client
        .atomic(|p| {
            (run::<i64>(p, &format!("LPUSH {key} x")).attempt(), run::<i64>(p, &format!("STRLEN {key}")))
        })
        .unwrap();
    assert_eq!((failed.unwrap_err().code(), length), (Some("WRONGTYPE"), 5));
}

fn a_command_that_is_refused_is_named_and_nothing_executed(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let mut connection = setup.connection(&server.url(), "");
    for (line, name) in [("NOSUCH.COMMAND x", "NOSUCH.COMMAND"), ("GET", "GET"), ("SET k", "SET")] {
        let build = |p: &Pipeline| {
            let first: Slot<()> = run(p, "SET k executed");
            // That it would take its own error helps nothing.
            let second = run::<Value>(p, line).attempt();
            (first, second, run::<i64>(p, "INCR n"))
        };
        for error in [client.atomic(build).unwrap_err(), connection.atomic(build).unwrap_err()] {
            assert_eq!(
                (error.command(), error.code(), error.tries()),
                (Some(name), Some("ERR"), 1),
                "{error}"
            );
            assert_eq!(error.outcome(), Outcome::Rejected);
            let text = error.to_string();
            assert!(text.contains("nothing was executed: command 2 of 3 in the transaction: ERR "), "{text}");
        }
    }
    assert_eq!(client.run::<i64>("EXISTS k n").unwrap(), 0);
    connection.atomic(|p| run::<()>(p, "SET k v")).unwrap();
}

fn what_runs_out_of_memory_is_named(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    client.run::<()>("SET k v").unwrap();
    server.config_set("maxmemory", "1");
    // A full server queues nothing at all.
    let error = client.atomic(|p| (run::<()>(p, "SET k w"), run::<String>(p, "GET k"))).unwrap_err();
    assert_eq!((error.command(), error.code()), (Some("SET"), Some("OOM")), "{error}");
    assert_eq!(error.outcome(), Outcome::Rejected);
    server.config_set("maxmemory", "0");
    assert_eq!(client.run::<String>("GET k").unwrap(), "v");
}

fn what_cannot_stand_in_a_transaction_is_refused_before_it_is_sent(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    for line in [
        "SELECT 1",
        "MULTI",
        "EXEC",
        "WATCH k",
        "SUBSCRIBE c",
        "MONITOR",
        "CLIENT REPLY OFF",
        "BLPOP nothing 1",
    ] {
        let error = client.atomic(|p| drop((run::<()>(p, "SET k 1"), run::<Value>(p, line)))).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{line}: {error}");
    }
    assert_eq!((server.calls("multi"), client.run::<i64>("EXISTS k").unwrap()), (0, 0));
}

/// `+OK`, `+QUEUED` and `*1 :1`, cut before each of them and within the last.
fn a_lost_reply_is_told_and_not_repeated(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "");
    for (runs, bytes) in [0, 5, 5 + 9, 5 + 9 + 4].into_iter().enumerate() {
        client.run::<()>("PING").unwrap();
        proxy.set(Direction::ToClient, Fault::CutAfter(bytes));
        let error = client.atomic(|p| run::<i64>(p, "INCR n")).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{error}");
        assert_eq!((error.outcome(), error.tries()), (Outcome::MaybeExecuted, 1), "{error}");
        assert_eq!(error.command(), Some("transaction"));
        assert_eq!(client.run::<usize>("GET n").unwrap(), runs + 1, "cut after {bytes} bytes");
    }
    assert_eq!(server.calls("exec"), 4);
}

fn what_does_no_harm_is_repeated(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "idempotent=false");
    server.command(&["SET", "k", "v"]).unwrap();
    let cut = || {
        client.run::<()>("PING").unwrap();
        proxy.set(Direction::ToClient, Fault::CutAfter(14));
    };
    cut();
    let read: (String, i64) = client.atomic(|p| (run(p, "GET k"), run(p, "STRLEN k"))).unwrap();
    assert_eq!(read, ("v".to_owned(), 1));
    cut();
    let n = client.atomic(|p| {
        p.idempotent();
        run::<i64>(p, "INCR n")
    });
    assert_eq!((n.unwrap(), server.calls("exec")), (2, 4));
}

/// Cut in the middle of what is sent, the server forgets what it queued, and it is sent again.
fn half_of_it_was_not_sent(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    // More than the kernel's buffers and the proxy take, so that EXEC is not handed over.
    let large = "v".repeat(32 << 20);
    let client = setup.client(&proxy.url(), "timeout=60s&retries=0");
    proxy.set(Direction::ToServer, Fault::CutAfter(1000));
    let build = |p: &Pipeline| (run::<i64>(p, "INCR n"), p.run(cmd::<()>("SET").arg("large").arg(&large)));
    let error = client.atomic(build).unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert_eq!(client.run::<i64>("EXISTS n large").unwrap(), 0);
    let client = setup.client(&proxy.url(), "timeout=60s");
    proxy.set(Direction::ToServer, Fault::CutAfter(1000));
    assert_eq!(client.atomic(build).unwrap().0, 1, "by default it is sent again");
}

fn without_the_right_to_multi_it_is_told_what_may_have_run(setup: Setup) {
    let server = Server::builder().acl_line("user single on >pw ~* &* +@all -multi").start();
    let client = setup.client(&server.url().replace("redis://", "redis://single:pw@"), "");
    let error = client.atomic(|p| run::<i64>(p, "INCR n")).unwrap_err();
    assert_eq!((error.command(), error.outcome()), (Some("MULTI"), Outcome::MaybeExecuted), "{error}");
    assert_eq!(client.run::<i64>("GET n").unwrap(), 1, "no server knows what was meant");
}

fn without_the_right_to_exec_nothing_runs_and_no_other_call_fails(setup: Setup) {
    let server = Server::builder().acl_line("user timid on >pw ~* &* +@all -exec").start();
    let client = setup.client(&server.url().replace("redis://", "redis://timid:pw@"), "");
    let error = client.atomic(|p| run::<i64>(p, "INCR n")).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
    assert_eq!(client.run::<i64>("EXISTS n").unwrap(), 0);
    assert_eq!(client.run::<Lossy>("PING").unwrap().to_string(), "PONG");
}

fn keys_watched_by_hand_are_heeded(setup: Setup) {
    let server = Server::start();
    let mut connection = setup.connection(&server.url(), "");
    connection.run::<()>("WATCH n").unwrap();
    server.command(&["SET", "n", "5"]).unwrap();
    let error = connection.atomic(|p| run::<i64>(p, "INCR n")).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Aborted, Outcome::Rejected), "{error}");
    assert!(error.is_retryable() && error.command() == Some("transaction"), "{error}");
    // EXEC has ended the watch, too.
    server.command(&["SET", "n", "6"]).unwrap();
    assert_eq!(connection.atomic(|p| run::<i64>(p, "INCR n")).unwrap(), 7);
}

fn an_open_transaction_takes_no_other(setup: Setup) {
    let mut connection = setup.connection(&shared().url(), "");
    connection.run::<()>("MULTI").unwrap();
    let error = connection.atomic(|p| run::<String>(p, "PING")).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
    connection.run::<Value>("DISCARD").unwrap();
    connection.atomic(|p| run::<String>(p, "PING")).unwrap();
}

/// `EXEC` leaves nothing to be mended, so that the next user has the connection without a round trip.
fn a_lease_is_left_clean(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "max_connections=1");
    let mut lease = pool.get().unwrap();
    let id = lease.id();
    lease.run::<()>("WATCH n").unwrap();
    lease.atomic(|p| run::<i64>(p, "INCR n")).unwrap();
    drop(lease);
    assert_eq!(pool.get().unwrap().id(), id);
    assert_eq!(server.calls("reset"), 0);
}

fn large_ones_come_whole(setup: Setup) {
    let client = setup.client(&shared().url(), "timeout=60s");
    let large = "l".repeat(1 << 20);
    let echoes: Vec<String> =
        client.atomic(|p| (0..8).map(|_| p.run(cmd("ECHO").arg(&large))).collect::<Vec<_>>()).unwrap();
    assert!(echoes.len() == 8 && echoes.iter().all(|echo| *echo == large));
    let many: Vec<u64> =
        client.atomic(|p| (0..10_000_u64).map(|i| p.run(cmd("ECHO").arg(i))).collect::<Vec<_>>()).unwrap();
    assert!(many.into_iter().eq(0..10_000));
}
