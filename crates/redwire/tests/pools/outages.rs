//! Servers that are away, silent, or hang up: an attempt to connect is the pool's, callers wait for what
//! comes of it until their deadlines, and all of them together make one in each pause (I3, I6, I7).

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use redwire::{ConnectionFault, ErrorKind, Outcome, Value};
use redwire_testkit::{Direction, FakeServer, Fault, Proxy, Server, Step, eventually, expect_name, reply};

use crate::common::pool::Pool;
use crate::common::{Client, GRACE, LIMIT, Setup, shown, stood_still_since, timed, words};

both!(
    a_peer_that_hangs_up_is_not_stormed,
    callers_with_short_deadlines_make_no_storm,
    calls_wait_for_a_server_that_is_away,
    all_that_wait_are_served_when_the_server_returns,
    an_attempt_outlives_the_caller_it_was_made_for,
    a_caller_in_a_hurry_is_no_failed_attempt,
    a_server_that_was_found_silent_is_called_so,
    one_that_opens_a_pool_is_told_of_the_first_failure,
);

const NAMELESS: &str = "lib_name=&lib_version=&retries=0";

/// A handshake without names, in the protocol's words.
fn hello(setup: Setup) -> Vec<Step> {
    match setup.protocol {
        3 => vec![expect_name("HELLO"), reply("%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n")],
        _ => Vec::new(),
    }
}

/// Eight callers for so long, by leases and by calls; none can be answered.
fn call_in_vain(pool: &Pool, time: Duration) {
    let end = Instant::now() + time;
    let client = match pool {
        Pool::Blocking(_) => Some(pool.client()),
        // Its calls have a connection beside the pool.
        Pool::Tokio(_) => None,
    };
    thread::scope(|scope| {
        for caller in 0..8 {
            let client = client.as_ref().filter(|_| caller % 2 == 0);
            scope.spawn(move || {
                while Instant::now() < end {
                    let answer = match client {
                        Some(client) => client.run::<Value>("GET k"),
                        None => pool.run("GET k"),
                    };
                    assert!(answer.is_err(), "no server can answer: {answer:?}");
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
    });
}

fn a_peer_that_hangs_up_is_not_stormed(setup: Setup) {
    let after_a_while = vec![Step::Wait(Duration::from_millis(50)), Step::Close];
    let ends = [vec![Step::Close], vec![Step::ExpectAny, Step::Close], after_a_while, vec![Step::Reset]];
    thread::scope(|scope| {
        for end in ends {
            scope.spawn(move || {
                let fake = FakeServer::script([hello(setup), end.clone()].concat());
                let options = format!("{NAMELESS}&timeout=300ms&reconnect_backoff=constant:400ms");
                let pool = setup.pool(&fake.url(), &options);
                // By then it is known that they do not serve.
                call_in_vain(&pool, Duration::from_millis(2200));
                let before = fake.connections();
                call_in_vain(&pool, Duration::from_secs(1));
                // One in each of three pauses, but for a machine that stands still. Without pauses it is some
                // thousands.
                let made = fake.connections() - before;
                // One that is closed unused has not followed its script.
                drop((pool, fake.problems()));
                assert!(made <= 30 && before >= 2, "{made} connections to a peer that plays {end:?}");
            });
        }
    });
}

fn callers_with_short_deadlines_make_no_storm(setup: Setup) {
    let fake = FakeServer::script([Step::Stall]);
    let options = "retries=0&timeout=20ms&connect_timeout=400ms&reconnect_backoff=constant:400ms";
    call_in_vain(&setup.pool(&fake.url(), options), Duration::from_millis(1200));
    // Four at a time, then one in each pause.
    let made = fake.connections();
    assert!((2..=8).contains(&made), "{made} connections");
}

/// Whether the server is gone, or something before it accepts and closes: calls wait, and none runs twice.
fn calls_wait_for_a_server_that_is_away(setup: Setup) {
    for is_killed in [true, false] {
        let server = Server::start();
        let proxy = Proxy::start(server.addr());
        let options = "timeout=8s&retries=0&reconnect_backoff=full:10ms:300ms";
        let client = setup.client(&proxy.url(), options);
        let pool = Pool::of(&client);
        drop(pool.get().unwrap());
        proxy.set(Direction::ToServer, Fault::Refuse);
        proxy.reset_all();
        if is_killed {
            server.kill();
        }
        // The first may meet the dead connections before their end is seen.
        let _ = client.execute(words::<Value>("GET k").timeout(Duration::from_millis(50)));
        let before = proxy.connections();
        thread::scope(|scope| {
            let call = |line: &'static str| {
                let client = &client;
                scope.spawn(move || client.run::<Value>(line))
            };
            let calls = [call("INCR n"), call("INCR n"), call("BLPOP nothing 0.05")];
            let lease = scope.spawn(|| pool.run::<i64>("INCR n"));
            thread::sleep(Duration::from_millis(700));
            assert!(calls.iter().all(|call| !call.is_finished()) && !lease.is_finished(), "they wait");
            let made = proxy.connections() - before;
            assert!(made < 60, "{made} connections");
            if is_killed {
                server.restart();
            }
            proxy.heal();
            for call in calls {
                call.join().unwrap().unwrap_or_else(|error| panic!("{is_killed}: {}", shown(&error)));
            }
            lease.join().unwrap().unwrap();
        });
        assert_eq!(client.run::<i64>("GET n").unwrap(), 3);
    }
}

/// Also where there are more than may connect at a time, and no other caller comes by.
fn all_that_wait_are_served_when_the_server_returns(setup: Setup) {
    let server = Server::start();
    for waiters in [5, 12, 40] {
        let options = "timeout=30s&max_connections=50&reconnect_backoff=full:10ms:500ms";
        let pool = setup.pool(&server.url(), options);
        server.kill();
        let (pool, here) = (&pool, &Barrier::new(waiters + 1));
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..waiters)
                .map(|_| {
                    scope.spawn(move || {
                        here.wait();
                        (pool.get(), Instant::now())
                    })
                })
                .collect();
            here.wait();
            thread::sleep(Duration::from_millis(400));
            server.restart();
            let returned = Instant::now();
            // All hold what they have, until the last is served.
            let served: Vec<_> = waiting.into_iter().map(|waiter| waiter.join().unwrap()).collect();
            for (lease, at) in &served {
                lease.as_ref().unwrap_or_else(|error| panic!("{waiters}: {}", shown(error)));
                let took = at.saturating_duration_since(returned);
                let limit = Duration::from_secs(1) + GRACE + stood_still_since(returned);
                assert!(took <= limit, "one of {waiters} waited {took:?}");
            }
        });
    }
}

fn an_attempt_outlives_the_caller_it_was_made_for(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let slow = Duration::from_millis(150);
    proxy.set(Direction::ToClient, Fault::Delay { min: slow, max: slow });
    let pool = setup.pool(&proxy.url(), "connect_timeout=5s&client_name=kept");
    let error = pool.get_within(Duration::from_millis(50)).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
    eventually("it is there all the same", LIMIT, || pool.stats().idle == 1);
    drop(pool.get_within(Duration::ZERO).unwrap_or_else(|error| panic!("{}", shown(&error))));
    assert_eq!((proxy.connections(), pool.stats().created), (1, 1));
}

/// One that is idle is asked whether it lives, which takes longer than its next user has: that says nothing
/// of the server, and the user after that one waits for no pause.
fn a_caller_in_a_hurry_is_no_failed_attempt(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let interval = Duration::from_millis(200);
    let pool = setup.pool(&proxy.url(), "health_check_interval=200ms&reconnect_backoff=constant:30s");
    // No user was answered on it.
    drop(pool.get().unwrap());
    let made = Instant::now();
    proxy.set(Direction::ToClient, Fault::Delay { min: interval / 2, max: interval / 2 });
    while made.elapsed() < interval * 2 {
        thread::sleep(interval / 10);
    }
    let error = pool.get_within(interval / 10).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
    drop(pool.get_within(LIMIT).unwrap_or_else(|error| panic!("{}", shown(&error))));
}

/// By one that lies idle: the attempt after that is told why it waits.
fn a_server_that_was_found_silent_is_called_so(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let pool = setup.pool(&proxy.url(), "health_check_interval=50ms&reconnect_backoff=constant:30s");
    drop(pool.get().unwrap());
    proxy.set(Direction::ToClient, Fault::Blackhole);
    thread::sleep(Duration::from_millis(100));
    let error = pool.get_within(Duration::from_millis(400)).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
    assert!(shown(&error).contains("the server is silent"), "{}", shown(&error));
}

fn one_that_opens_a_pool_is_told_of_the_first_failure(setup: Setup) {
    let server = Server::start();
    let url = server.url();
    server.kill();
    let (opened, took) = timed(|| setup.open_pool(&url, "timeout=8s"));
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Refused), "{error}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    // Others wait.
    let pool = setup.pool(&url, "timeout=200ms");
    let error = pool.get().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
    assert!(shown(&error).contains("refused"), "{}", shown(&error));
    let client = pool.client();
    if let Client::Blocking(_) = client {
        let error = client.run::<Value>("GET k").unwrap_err();
        assert!(error.is_timeout() && shown(&error).contains("refused"), "{}", shown(&error));
    }
}
