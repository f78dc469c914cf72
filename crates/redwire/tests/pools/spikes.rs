//! A server that comes back is not met by all at once, and one that takes no more connections is made do with
//! (I6, I7). FAULTS 18, 19, 49.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use redwire::{Error, ErrorKind, Outcome, Value};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use crate::common::pool::{Lease, Pool};
use crate::common::{Connection, GRACE, LIMIT, Setup, timed};

both!(
    a_server_that_returns_is_not_met_by_all_at_once,
    a_pool_makes_do_with_what_it_gets,
    too_many_clients_is_a_reason_to_try_again,
    a_full_queue_for_connections_is_told_at_once,
);

const WORKERS: usize = 200;

/// Each takes this long to be made at least, four at a time.
const SLOW: Duration = Duration::from_millis(10);

/// So many can have been made in this time.
fn at_most(elapsed: Duration) -> usize {
    4 * (elapsed.as_millis() / SLOW.as_millis() + 1) as usize
}

/// All that workers send, held by one; `watch` looks on.
fn collect(leases: &mpsc::Receiver<Lease>, watch: impl Fn()) -> Vec<Lease> {
    let (begin, mut held) = (Instant::now(), Vec::new());
    while held.len() < WORKERS {
        held.extend(leases.recv_timeout(Duration::from_millis(1)));
        watch();
        assert!(begin.elapsed() < 3 * LIMIT, "only {} came", held.len());
    }
    held
}

/// Two hundred lose their connections and want others.
fn a_server_that_returns_is_not_met_by_all_at_once(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    proxy.set(Direction::ToClient, Fault::Delay { min: SLOW, max: SLOW });
    let options = "max_connections=200&timeout=30s&reconnect_backoff=constant:50ms";
    let pool = setup.pool(&proxy.url(), options);
    let (sender, leases) = mpsc::channel();
    thread::scope(|scope| {
        let begin = Instant::now();
        for _ in 0..WORKERS {
            scope.spawn(|| sender.send(pool.get().unwrap()).unwrap());
        }
        let held = collect(&leases, || assert!(proxy.connections() <= at_most(begin.elapsed())));
        assert_eq!(proxy.connections(), WORKERS);

        let down = Instant::now();
        server.kill();
        for mut lost in held {
            let (pool, sender) = (&pool, &sender);
            scope.spawn(move || {
                while lost.run::<Value>("PING").is_ok() {}
                drop(lost);
                // A caller that tries in vain is told, and tries again.
                let lease = loop {
                    match pool.get() {
                        Ok(lease) => break lease,
                        Err(error) => assert!(error.is_retryable(), "{error}"),
                    }
                };
                sender.send(lease).unwrap();
            });
        }
        eventually("several tries have failed", LIMIT, || pool.stats().failed >= 5);
        eventually("all wait", LIMIT, || pool.stats().waiting + pool.stats().connecting == WORKERS);
        let (tries, elapsed) = (proxy.connections() - WORKERS, down.elapsed());
        // Up to four that begin together before the first of them has failed.
        assert!(tries <= 4 + (elapsed.as_millis() / 50) as usize, "{tries} in {elapsed:?}");

        let (up, before) = (Instant::now(), proxy.connections());
        server.restart();
        let again = collect(&leases, || {
            let (new, elapsed) = (proxy.connections() - before, up.elapsed());
            assert!(new <= at_most(elapsed), "{new} in {elapsed:?}");
            assert!(pool.stats().connecting <= 4);
        });
        for mut lease in again {
            assert_eq!(lease.run::<String>("PING").unwrap(), "PONG");
        }
        // The server counts them as well, and the questions of this test.
        let received = server.stat("total_connections_received") as usize;
        assert!((WORKERS..WORKERS + 20).contains(&received), "{received}");
    });
}

/// Holds connections until the server has no room for more.
fn fill(setup: Setup, server: &Server) -> Vec<Connection> {
    let mut taken = Vec::new();
    loop {
        let config = redwire::config::Config::builder().host("127.0.0.1").port(server.port());
        match setup.open_connection(config) {
            Ok(connection) => taken.push(connection),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::MaxClients, "{error}");
                return taken;
            }
        }
    }
}

fn a_pool_makes_do_with_what_it_gets(setup: Setup) {
    const WORKERS: usize = 30;
    let server = Server::builder().arg("--maxclients", "10").start();
    let pool = setup.pool(&server.url(), "max_connections=50&timeout=30s");
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..20 {
                    let mut lease = pool.get().unwrap_or_else(|error| panic!("{worker} in {round}: {error}"));
                    assert_eq!(
                        lease.run::<String>(&format!("ECHO {worker}:{round}")).unwrap(),
                        format!("{worker}:{round}")
                    );
                    // Longer than it takes to connect, so that there is need for more.
                    lease.run::<Option<Value>>("BLPOP nothing 0.01").unwrap();
                }
            });
        }
    });
    let stats = pool.stats();
    assert!((5..=10).contains(&stats.size), "{stats:?}");
    assert!(stats.failed > 0, "{stats:?}");
    // What there is was enough for all, and goes on being.
    assert_eq!((stats.in_use, stats.waiting), (0, 0), "{stats:?}");
}

fn too_many_clients_is_a_reason_to_try_again(setup: Setup) {
    let server = Server::builder().arg("--maxclients", "5").start();
    let taken = fill(setup, &server);
    let limit = Duration::from_millis(300);
    let pool = setup.pool(&server.url(), "timeout=300ms");
    let (refused, took) = timed(|| pool.get());
    let error = refused.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    let of_server = match error.kind() {
        ErrorKind::Timeout => std::error::Error::source(&error).unwrap().downcast_ref::<Error>().unwrap(),
        _ => &error,
    };
    assert_eq!(of_server.kind(), ErrorKind::MaxClients, "{error:?}");
    assert!(of_server.is_retryable(), "{error:?}");
    assert!(took < limit + GRACE, "{took:?}");
    // A call goes on trying, and works as soon as there is room.
    let client = setup.lazy(&server.url(), "timeout=10s&retries=100").unwrap();
    thread::scope(|scope| {
        let call = scope.spawn(|| client.run::<String>("PING"));
        let failed = || Pool::of(&client).stats().failed;
        let mut events = client.events();
        eventually("it was refused", LIMIT, || {
            failed() > 0 || events.next_within(Duration::from_millis(1)).is_some()
        });
        assert!(!call.is_finished());
        drop(taken);
        assert_eq!(call.join().unwrap().unwrap(), "PONG");
    });
}

/// FAULTS 49: callers that wait for a connection are limited as well.
fn a_full_queue_for_connections_is_told_at_once(setup: Setup) {
    let pool =
        setup.pool(&redwire_testkit::shared().url(), "max_connections=1&timeout=30s&max_queued_commands=3");
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| pool.run::<String>("PING"))).collect();
        eventually("they wait", LIMIT, || pool.stats().waiting == 3);
        let (refused, took) = timed(|| pool.get());
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::QueueFull, Outcome::NotSent), "{error}");
        assert!(took < GRACE, "{took:?}");
        drop(held);
        waiting.into_iter().for_each(|waiting| assert_eq!(waiting.join().unwrap().unwrap(), "PONG"));
    });
}
