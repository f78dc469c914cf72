//! A server that is gone for a while: calls wait within their deadlines and limits, nothing given up runs
//! later, no client storms, and service returns by itself (I2–I4, I6, I7). FAULTS 18, 26, 49.

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redwire::{AuthenticationFault, Error, ErrorKind, Outcome, Value, cmd};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use crate::common::{Client, Driver, GRACE, LIMIT, Setup, runtime, shown, stood_still_since, timed, words};

both!(
    calls_during_an_outage_end_by_their_deadline_and_never_run,
    service_returns_by_itself,
    a_dead_server_is_not_stormed,
    a_wrong_password_causes_no_storm,
    an_outage_under_load_leaves_the_count_exact,
    values_stay_with_their_keys_through_all_of_it,
);

/// So many calls at the same time; what each failed with, and how long it took.
fn call_at_once(client: &Client, line: &str, count: usize) -> Vec<(Error, Duration)> {
    match client {
        Client::Tokio(client) => runtime().block_on(async {
            let calls: Vec<_> = (0..count)
                .map(|_| {
                    let (client, cmd) = (client.clone(), words::<Value>(line));
                    tokio::spawn(async move {
                        let start = Instant::now();
                        (client.execute(cmd).await.unwrap_err(), start.elapsed())
                    })
                })
                .collect();
            let mut failures = Vec::new();
            for call in calls {
                failures.push(call.await.unwrap());
            }
            failures
        }),
        Client::Blocking(_) => thread::scope(|scope| {
            let threads: Vec<_> = (0..count.div_ceil(10))
                .map(|_| {
                    scope.spawn(|| {
                        let call = || {
                            let (result, took) = timed(|| client.run::<Value>(line));
                            (result.unwrap_err(), took)
                        };
                        (0..10).map(|_| call()).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        }),
    }
}

fn calls_during_an_outage_end_by_their_deadline_and_never_run(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=300ms");
    client.run::<()>("SET k v").unwrap();
    server.kill();
    // The first call may meet the dead connection before its end is seen.
    let _ = client.run::<Value>("GET k");
    let begun = Instant::now();
    let calls = call_at_once(&client, "INCR n", 1000);
    let slack = GRACE + stood_still_since(begun);
    for (error, took) in calls {
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        assert!(took <= Duration::from_millis(300) + slack, "{took:?}: {error}");
    }
    server.restart();
    eventually("service returns", LIMIT, || client.run::<Value>("PING").is_ok());
    assert_eq!(server.command(&["GET", "n"]).unwrap(), "(nil)", "what was not sent is not sent later");
}

fn service_returns_by_itself(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=300ms");
    for _ in 0..3 {
        client.run::<()>("SET k v").unwrap();
        server.kill();
        for _ in 0..5 {
            client.run::<Value>("GET k").unwrap_err();
        }
        server.restart();
        let restarted = Instant::now();
        eventually("service returns", LIMIT, || client.run::<Value>("PING").is_ok());
        assert!(restarted.elapsed() < Duration::from_millis(1500), "{:?}", restarted.elapsed());
    }
}

/// Calls go on all through an outage: what they say became of them adds up.
fn an_outage_under_load_leaves_the_count_exact(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "timeout=200ms&max_connections=8&reconnect_backoff=constant:5ms");
    let end = Instant::now() + Duration::from_millis(1500);
    let tallies = thread::scope(|scope| {
        let callers: Vec<_> = (0..8).map(|_| scope.spawn(|| count_until(&client, end))).collect();
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(200));
            proxy.set(Direction::ToServer, Fault::Refuse);
            proxy.reset_all();
            thread::sleep(Duration::from_millis(250));
            proxy.heal();
        }
        callers.into_iter().map(|caller| caller.join().unwrap()).collect::<Vec<_>>()
    });
    let [done, unknown, not_sent] = [0, 1, 2].map(|i| tallies.iter().map(|tally| tally[i]).sum::<i64>());
    eventually("service returns", LIMIT, || client.run::<Value>("PING").is_ok());
    let executed: i64 = server.command(&["GET", "n"]).unwrap().parse().unwrap();
    assert!((done..=done + unknown).contains(&executed), "{executed} of {done} done and {unknown} unknown");
    assert!(done > 100 && not_sent > 0, "{done} done, {unknown} unknown, {not_sent} not sent");
}

/// So many `INCR`s were done, may have been, and were not.
fn count_until(client: &Client, end: Instant) -> [i64; 3] {
    let mut tally = [0; 3];
    while Instant::now() < end {
        let begun = Instant::now();
        let (result, took) = timed(|| client.run::<i64>("INCR n"));
        assert!(took <= Duration::from_millis(200) + GRACE + stood_still_since(begun), "{took:?}");
        match result.map_err(|error| error.outcome()) {
            Ok(_) => tally[0] += 1,
            Err(Outcome::MaybeExecuted) => tally[1] += 1,
            Err(Outcome::NotSent) => tally[2] += 1,
            Err(outcome) => panic!("{outcome:?}"),
        }
    }
    tally
}

/// New connections at the proxy while `seconds` pass with eight threads calling.
fn connections_under_load(client: &Client, proxy: &Proxy, line: &str, check: impl Fn(Error) + Sync) -> usize {
    let before = proxy.connections();
    let end = Instant::now() + Duration::from_secs(1);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while Instant::now() < end {
                    match client.run::<Value>(line) {
                        Ok(_) => panic!("no server can answer"),
                        Err(error) => check(error),
                    }
                }
            });
        }
    });
    proxy.connections() - before
}

fn a_dead_server_is_not_stormed(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "timeout=300ms&max_connections=8");
    client.run::<()>("SET k v").unwrap();
    proxy.set(Direction::ToServer, Fault::Refuse);
    proxy.reset_all();
    let _ = client.run::<Value>("GET k");
    let opened = connections_under_load(&client, &proxy, "INCR n", |error| {
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    });
    // Full jitter from 10 ms to 1 s makes about eight tries in the first second; chance may double that.
    assert!(opened <= 30, "{opened} connections in a second");
    proxy.heal();
    // The longest pause is a second.
    eventually("service returns", Duration::from_millis(2500), || client.run::<Value>("PING").is_ok());
}

fn a_wrong_password_causes_no_storm(setup: Setup) {
    let server = Server::builder().password("right").start();
    let proxy = Proxy::start(server.addr());
    let client =
        setup.client(&proxy.url().replace("redis://", "redis://:right@"), "timeout=300ms&max_connections=8");
    client.run::<()>("SET k v").unwrap();
    server.command(&["CONFIG", "SET", "requirepass", "changed"]).unwrap();
    proxy.reset_all();
    let _ = client.run::<Value>("GET k");
    let wrong = ErrorKind::Authentication(AuthenticationFault::WrongPassword);
    let opened = connections_under_load(&client, &proxy, "INCR n", |error| {
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        assert!(error.kind() == wrong || error.is_timeout(), "{error}");
    });
    assert!(opened <= 20, "{opened} connections in a second");
}

/// FAULTS, oracle: every value begins with its key, whatever happens to the connections.
fn values_stay_with_their_keys_through_all_of_it(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::seeded(server.addr(), 9);
    let client = setup.client(&proxy.url(), "timeout=500ms&max_connections=8");
    let end = Instant::now() + Duration::from_secs(2);
    let served = thread::scope(|scope| {
        let client = &client;
        let callers: Vec<_> = (0..8).map(|n| scope.spawn(move || call_until(client, n, end))).collect();
        let mut rng = fastrand::Rng::with_seed(3);
        while Instant::now() < end {
            break_something(&proxy, &mut rng);
            thread::sleep(Duration::from_millis(rng.u64(5..40)));
            proxy.heal();
        }
        callers.into_iter().map(|caller| caller.join().unwrap()).sum::<usize>()
    });
    assert!(served > 100, "{served} calls were served");
    proxy.reset_all();
    eventually("service returns", Duration::from_millis(1500), || client.run::<Value>("PING").is_ok());
}

fn break_something(proxy: &Proxy, rng: &mut fastrand::Rng) {
    let direction = if rng.bool() { Direction::ToClient } else { Direction::ToServer };
    match rng.u8(..6) {
        0 => proxy.cut_all(),
        1 => proxy.reset_all(),
        2 => proxy.set(direction, Fault::CutAfter(rng.u64(..200))),
        3 => proxy.set(direction, Fault::Delay { min: Duration::ZERO, max: Duration::from_millis(3) }),
        4 => proxy.set(direction, Fault::Chunk(rng.usize(1..5))),
        _ => proxy.set(direction, Fault::Refuse),
    }
}

/// Sets and gets keys of its own; says how many calls were answered.
fn call_until(client: &Client, caller: usize, end: Instant) -> usize {
    let mut served = 0;
    for i in 0.. {
        if Instant::now() > end {
            break;
        }
        let key = format!("caller{caller}:{}", i % 10);
        let set = client.run::<()>(&format!("SET {key} {key}={i}"));
        let got = client.run::<Option<String>>(&format!("GET {key}"));
        served += usize::from(set.is_ok()) + usize::from(got.is_ok());
        if let Ok(Some(value)) = got {
            assert!(value.starts_with(&format!("{key}=")), "{key} has {value}");
        }
    }
    served
}

/// FAULTS 49: the queue has a limit; beyond it a call fails at once.
#[test]
fn a_full_queue_is_told_at_once() {
    let server = Server::start();
    for protocol in [3, 2] {
        let setup = Setup { driver: Driver::Tokio, protocol };
        let Client::Tokio(client) = setup.client(&server.url(), "timeout=2s&max_queued_commands=10") else {
            panic!("the async client was asked for")
        };
        server.freeze();
        runtime().block_on(async {
            let waiting: Vec<_> = (0..10)
                .map(|_| {
                    let client = client.clone();
                    tokio::spawn(async move { client.execute(words::<Value>("PING")).await })
                })
                .collect();
            let mut full = 0;
            let start = Instant::now();
            while full == 0 {
                let call = client.execute(words::<Value>("PING").timeout(Duration::from_millis(1)));
                full += usize::from(call.await.is_err_and(|error| {
                    error.kind() == ErrorKind::QueueFull && error.outcome() == Outcome::NotSent
                }));
                assert!(start.elapsed() < Duration::from_secs(1), "the queue is never full");
            }
            let begun = Instant::now();
            let error = client.execute(words::<Value>("PING")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::QueueFull, "{error}");
            assert!(begun.elapsed() < GRACE);
            assert!(error.to_string().contains("10"), "{error}");
            server.thaw();
            for call in waiting {
                // One whose place was taken by the probe was refused; all others are served.
                match call.await.unwrap() {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::QueueFull, "{error}"),
                }
            }
            assert!(client.execute(words::<Value>("PING")).await.is_ok());
        });
    }
}

/// FAULTS 49: so has what waits to be written, in bytes. Who finds no room waits for it till the deadline.
#[test]
fn a_full_queue_of_bytes_is_waited_for() {
    let server = Server::start();
    for protocol in [3, 2] {
        let setup = Setup { driver: Driver::Tokio, protocol };
        let options = "timeout=500ms&max_queued_bytes=1000000&reconnect_backoff=constant:10ms";
        let Client::Tokio(client) = setup.client(&server.url(), options) else {
            panic!("the async client was asked for")
        };
        server.kill();
        let value = Bytes::from(vec![b'v'; 300_000]);
        runtime().block_on(async {
            // Notices that there is no connection, and waits for one.
            let _ = client.execute(words::<Value>("PING").timeout(Duration::from_millis(50))).await;
            let begun = Instant::now();
            let calls: Vec<_> = (0..10)
                .map(|_| {
                    let (client, set) = (client.clone(), cmd::<Value>("SET").arg("k").arg(&value));
                    tokio::spawn(async move { (client.execute(set).await.unwrap_err(), begun.elapsed()) })
                })
                .collect();
            let mut full = 0;
            for call in calls {
                let (error, took) = call.await.unwrap();
                assert_eq!(
                    (error.kind(), error.outcome()),
                    (ErrorKind::Timeout, Outcome::NotSent),
                    "{error}"
                );
                assert!(took <= Duration::from_millis(500) + GRACE, "{took:?}: {error}");
                full += usize::from(shown(&error).contains("the queue is full"));
            }
            assert_eq!(full, 7, "three fit");
        });
        server.restart();
        eventually("service returns", LIMIT, || {
            runtime().block_on(client.execute(words::<Value>("PING"))).is_ok()
        });
        assert_eq!(server.command(&["EXISTS", "k"]).unwrap(), "0");
    }
}
