//! The end of a pool: in order within a limit, or at once; no caller is left waiting (I3, I4). REFERENCE P4.

use std::thread;
use std::time::{Duration, Instant};

use redwire::pool::CloseReason;
use redwire::prelude::*;
use redwire::{ErrorKind, Outcome, Run, Value};
use redwire_testkit::{FakeServer, Server, Step, eventually};

use crate::common::pool::Pool;
use crate::common::{Client, GRACE, LIMIT, Setup, named_clients, runtime, timed, words};

both!(
    closing_waits_for_those_in_use,
    closing_cuts_off_calls_that_are_late,
    closing_now_ends_calls_under_way,
    callers_that_wait_are_told_at_once,
    a_caller_that_connects_finds_the_pool_closed,
    a_closed_pool_lends_nothing_and_keeps_nothing,
    closing_twice_is_closing_once,
    a_client_on_a_pool_closes_what_is_its_own,
);

fn closing_waits_for_those_in_use(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "client_name=closing");
    let mut lease = pool.get().unwrap();
    drop(pool.get().unwrap());
    thread::scope(|scope| {
        let closing = scope.spawn(|| timed(|| pool.close(LIMIT)));
        eventually("it is closed", LIMIT, || pool.is_closed());
        // The idle one goes at once, the one in use goes on.
        eventually("the idle one is gone", LIMIT, || named_clients(&server, "closing") == 1);
        assert_eq!(lease.run::<String>("ECHO still").unwrap(), "still");
        assert!(!closing.is_finished());
        let back = Instant::now();
        drop(lease);
        let (cut, _) = closing.join().unwrap();
        assert_eq!(cut, 0);
        assert!(back.elapsed() < GRACE, "{:?} after it came back", back.elapsed());
    });
    assert_eq!(pool.stats().closed(CloseReason::Closed), 2);
    eventually("nothing is left", LIMIT, || named_clients(&server, "closing") == 0);
}

fn closing_cuts_off_calls_that_are_late(setup: Setup) {
    let limit = Duration::from_millis(150);
    let server = Server::start();
    let pool = setup.pool(&server.url(), "client_name=late");
    let (mut idle_lease, mut busy) = (pool.get().unwrap(), pool.get().unwrap());
    thread::scope(|scope| {
        // In the midst of a call that no reply ends.
        let popping = scope.spawn(move || {
            let error = busy.run::<Value>("BLPOP nothing 0").unwrap_err();
            (error, busy)
        });
        eventually("it waits", LIMIT, || server.info("clients")["blocked_clients"] == "1");
        let (cut, took) = timed(|| pool.close(limit));
        assert_eq!(cut, 2);
        assert!((limit..limit + GRACE).contains(&took), "{took:?}");
        let (error, busy) = popping.join().unwrap();
        assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
        check_ended(&error);
        drop(busy);
    });
    // One between two calls finds out with the next, which was not executed.
    let error = idle_lease.run::<Value>("INCR n").unwrap_err();
    check_ended(&error);
    drop(idle_lease);
    assert_eq!(server.command(&["EXISTS", "n"]).unwrap(), "0");
    eventually("nothing is left", LIMIT, || named_clients(&server, "late") == 0);
    assert_eq!((pool.stats().size, pool.borrowers().len()), (0, 0));
}

/// It says that the connection is closed, in one word or another.
#[track_caller]
fn check_ended(error: &redwire::Error) {
    assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::Connection(_)), "{error:?}");
}

fn closing_now_ends_calls_under_way(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "client_name=now");
    thread::scope(|scope| {
        let calls: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| pool.get().unwrap().run::<Value>("BLPOP nothing 0").unwrap_err()))
            .collect();
        eventually("they wait", LIMIT, || server.info("clients")["blocked_clients"] == "3");
        let ((), took) = timed(|| pool.close_now());
        assert!(took < GRACE, "{took:?}");
        let begin = Instant::now();
        calls.into_iter().for_each(|call| check_ended(&call.join().unwrap()));
        assert!(begin.elapsed() < GRACE, "{:?}", begin.elapsed());
    });
    eventually("nothing is left", LIMIT, || named_clients(&server, "now") == 0);
    assert_eq!((pool.stats().size, pool.borrowers().len()), (0, 0));
}

fn callers_that_wait_are_told_at_once(setup: Setup) {
    let server = Server::start();
    for graceful in [true, false] {
        let pool = setup.pool(&server.url(), "max_connections=1&timeout=30s");
        let mut lease = pool.get().unwrap();
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..10).map(|_| scope.spawn(|| pool.get().unwrap_err())).collect();
            eventually("they wait", LIMIT, || pool.stats().waiting == 10);
            let closing = scope.spawn(|| match graceful {
                true => assert_eq!(pool.close(LIMIT), 0),
                false => pool.close_now(),
            });
            eventually("it is closed", LIMIT, || pool.is_closed());
            let begin = Instant::now();
            for error in waiting.into_iter().map(|waiting| waiting.join().unwrap()) {
                assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent), "{error}");
            }
            assert!(begin.elapsed() < GRACE, "{:?}", begin.elapsed());
            if graceful {
                assert_eq!(lease.run::<String>("ECHO still").unwrap(), "still");
            }
            drop(lease);
            closing.join().unwrap();
        });
    }
}

fn a_caller_that_connects_finds_the_pool_closed(setup: Setup) {
    let silent = FakeServer::script([Step::Stall]);
    let pool = setup.pool(&silent.url(), "connect_timeout=500ms&timeout=400ms&max_connecting=1&retries=0");
    thread::scope(|scope| {
        let connecting = scope.spawn(|| timed(|| pool.get().unwrap_err()));
        eventually("it connects", LIMIT, || pool.stats().connecting == 1);
        let waiting = scope.spawn(|| timed(|| pool.get().unwrap_err()));
        eventually("it waits", LIMIT, || pool.stats().waiting == 1);
        pool.close_now();
        let (error, took) = waiting.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert!(took <= Duration::from_millis(400) + GRACE, "{took:?}");
        let (_, took) = connecting.join().unwrap();
        assert!(took <= Duration::from_millis(400) + GRACE, "{took:?}");
    });
    eventually("the attempt has ended", LIMIT, || (pool.stats().size, pool.borrowers().len()) == (0, 0));
}

fn a_closed_pool_lends_nothing_and_keeps_nothing(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "client_name=nothing");
    drop([pool.get().unwrap(), pool.get().unwrap()]);
    assert_eq!(pool.close(LIMIT), 0);
    assert!(pool.is_closed() && pool.clone().is_closed());
    for result in [pool.get(), pool.get_within(LIMIT)] {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent), "{error}");
    }
    eventually("nothing is left", LIMIT, || named_clients(&server, "nothing") == 0);
    // A connection of its owner's own is not the pool's.
    assert_eq!(pool.connection().run::<String>("PING").unwrap(), "PONG");
}

fn closing_twice_is_closing_once(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "");
    let lease = pool.get().unwrap();
    thread::scope(|scope| {
        let closings: Vec<_> = (0..4).map(|_| scope.spawn(|| pool.close(LIMIT))).collect();
        eventually("it is closed", LIMIT, || pool.is_closed());
        drop(lease);
        assert!(closings.into_iter().all(|closing| closing.join().unwrap() == 0));
    });
    assert_eq!(pool.close(LIMIT), 0);
    pool.close_now();
    assert_eq!(pool.stats().closed(CloseReason::Closed), 1);
}

/// A call under way over the pool ends well, other clients go on, and so does the pool.
fn a_client_on_a_pool_closes_what_is_its_own(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "timeout=10s");
    let (client, other) = (pool.client(), pool.client());
    let clone = client.clone();
    client.run::<()>("SET k v").unwrap();
    thread::scope(|scope| {
        let popping = scope.spawn(|| client.run::<(String, i64)>("BLPOP list 0"));
        eventually("it waits", LIMIT, || server.stat("blocked_clients") == 1);
        client.shut(Duration::ZERO);
        other.run::<i64>("RPUSH list 7").unwrap();
        assert_eq!(popping.join().unwrap().unwrap(), ("list".to_owned(), 7));
    });
    client.shut(LIMIT);
    for closed in [&client, &clone] {
        let pipeline = closed.pipeline(|p| p.run(words::<Value>("GET k"))).map(drop);
        let transaction = match closed {
            Client::Tokio(client) => {
                runtime().block_on(client.transaction("k", async |tx| tx.commit(|p| p.incr("n")).await))
            }
            Client::Blocking(client) => client.transaction("k", |tx| tx.commit(|p| p.incr("n"))),
        };
        let calls = ["GET k", "INCR n", "BLPOP list 0.01"].map(|line| closed.run::<Value>(line).map(drop));
        let all = match closed {
            Client::Tokio(client) => {
                runtime().block_on(client.run_all([words::<Value>("GET k")]).next()).expect("a result")
            }
            Client::Blocking(client) => client.run_all([words::<Value>("GET k")]).next().expect("a result"),
        };
        for result in calls.into_iter().chain([pipeline, all.map(drop), transaction.map(|_: i64| ())]) {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent), "{error}");
        }
    }
    assert!(!pool.is_closed());
    assert_eq!(other.run::<String>("GET k").unwrap(), "v");
    assert_eq!(other.run::<Option<Value>>("BLPOP list 0.01").unwrap(), None);
    assert_eq!(pool.run::<String>("ECHO still").unwrap(), "still");
    assert_eq!(pool.client().run::<Option<i64>>("GET n").unwrap(), None);
    // One whose pool is its own closes that.
    let owner = setup.client(&server.url(), "");
    let pool = Pool::of(&owner);
    owner.shut(LIMIT);
    assert!(pool.is_closed());
}
