//! However connecting ends, a pool keeps all of its places (I4). FAULTS 15.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use redwire::ErrorKind;
use redwire::config::Config;
use redwire_testkit::{Direction, FakeServer, Fault, Proxy, Server, Step, eventually};

use crate::common::pool::Pool;
use crate::common::{LIMIT, Setup, named_clients, runtime};

both!(
    a_thousand_failed_connects_take_no_place,
    a_thousand_failed_handshakes_take_no_place,
    a_thousand_callers_out_of_time_take_no_place,
    a_thousand_lost_connections_take_no_place,
);

const MAX: usize = 4;
const TIMES: u64 = 1000;
const OPTIONS: &str = "max_connections=4&client_name=conserved&reconnect_backoff=constant:1ms";

/// From this many threads, that the places are wanted at the same time.
const CALLERS: usize = 8;

/// Calls `fail` from all threads until `count` says that it is enough.
fn until_enough(count: impl Fn() -> u64 + Sync, fail: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while count() < TIMES {
                    fail();
                }
            });
        }
    });
}

/// As many as ever can be had at the same time, and not one more.
#[track_caller]
fn check_whole(pool: &Pool, server: &Server) {
    // Attempts go on when those they were made for have left.
    eventually("none connects", LIMIT, || pool.stats().connecting == 0);
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.waiting), (0, 0), "{stats:?}");
    let mut leases: Vec<_> = (0..MAX).map(|_| pool.get_within(LIMIT).unwrap()).collect();
    assert!(leases.iter_mut().all(|lease| lease.run::<String>("PING").unwrap() == "PONG"));
    let error = pool.get_within(Duration::from_millis(20)).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(pool.stats().size, MAX);
    eventually("the server knows no others", LIMIT, || named_clients(server, "conserved") == MAX);
}

fn a_thousand_failed_connects_take_no_place(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let pool = setup.pool(&proxy.url(), OPTIONS);
    proxy.set(Direction::ToServer, Fault::Refuse);
    until_enough(|| pool.stats().failed, || drop(pool.get_within(Duration::from_millis(50)).unwrap_err()));
    proxy.heal();
    check_whole(&pool, &server);
}

fn a_thousand_failed_handshakes_take_no_place(setup: Setup) {
    let server = Server::builder().password("word").start();
    // A caller that comes in vain is told at once, and each new try is a handshake.
    let pool = setup.pool(&format!("redis://:word@{}", server.addr()), OPTIONS);
    assert_eq!(server.command(&["CONFIG", "SET", "requirepass", "another"]).unwrap(), "OK");
    until_enough(
        || pool.stats().failed,
        || {
            let error = pool.get_within(LIMIT).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Authentication(_)), "{error}");
        },
    );
    let change = setup
        .connection(&format!("redis://:another@{}", server.addr()), "")
        .run::<String>("CONFIG SET requirepass word");
    assert_eq!(change.unwrap(), "OK");
    eventually("it is let in", LIMIT, || pool.get_within(LIMIT).is_ok());
    check_whole(&pool, &server);
}

/// Some wait for a connection and some make one, which takes longer than any of them has time.
fn a_thousand_callers_out_of_time_take_no_place(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let pool = setup.pool(&proxy.url(), OPTIONS);
    proxy.set(
        Direction::ToClient,
        Fault::Delay { min: Duration::from_millis(20), max: Duration::from_millis(20) },
    );
    let late = AtomicU32::new(0);
    until_enough(
        || u64::from(late.load(Ordering::Relaxed)),
        || {
            match pool.get_within(Duration::from_millis(1)) {
                Err(error) => {
                    assert!(error.is_timeout(), "{error}");
                    late.fetch_add(1, Ordering::Relaxed);
                }
                // A thread that did not run for so long finds its answer there.
                Ok(lease) => lease.discard(),
            }
        },
    );
    proxy.heal();
    check_whole(&pool, &server);
}

fn a_thousand_lost_connections_take_no_place(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let pool = setup.pool(&proxy.url(), OPTIONS);
    let lost = AtomicU32::new(0);
    until_enough(
        || u64::from(lost.load(Ordering::Relaxed)),
        || {
            let Ok(mut lease) = pool.get_within(LIMIT) else { return };
            if lease.run::<String>("CLIENT KILL TYPE normal SKIPME no").is_err()
                || lease.run::<String>("PING").is_err()
            {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        },
    );
    check_whole(&pool, &server);
}

/// Dropped at any moment: before it connects, amid the handshake, as it is about to be handed over.
#[test]
fn a_thousand_dropped_connects_take_no_place() {
    for protocol in [3, 2] {
        let server = Server::start();
        let proxy = Proxy::start(server.addr());
        proxy.set(Direction::ToClient, Fault::jitter(Duration::from_millis(2)));
        let url = format!("{}?protocol={protocol}&{OPTIONS}", proxy.url());
        let pool = redwire::Pool::lazy(Config::from_url(&url).unwrap()).unwrap();
        let dropped = Arc::new(AtomicU32::new(0));
        runtime().block_on(async {
            let tasks: Vec<_> = (0..CALLERS)
                .map(|task| tokio::spawn(drop_until_enough(pool.clone(), task as u64, Arc::clone(&dropped))))
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        check_whole(&Pool::Tokio(pool), &server);
    }
}

async fn drop_until_enough(pool: redwire::Pool, seed: u64, dropped: Arc<AtomicU32>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    while u64::from(dropped.load(Ordering::Relaxed)) < TIMES {
        let limit = Duration::from_micros(rng.u64(..4_000));
        match tokio::time::timeout(limit, pool.get()).await {
            Ok(lease) => lease.unwrap().discard(),
            Err(_) => drop(dropped.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// The server takes the connection and never says a word: the attempt is the pool's, and all callers wait for
/// one.
#[test]
fn a_connect_that_hangs_is_one_for_all_callers() {
    let silent = FakeServer::script([Step::Stall]);
    let url = format!("{}?max_connections=1&connect_timeout=400ms", silent.url());
    let pool = redwire::Pool::lazy(Config::from_url(&url).unwrap()).unwrap();
    runtime().block_on(async {
        for round in 1..=10 {
            assert!(tokio::time::timeout(Duration::from_millis(10), pool.get()).await.is_err());
            let stats = pool.stats();
            assert!(stats.size <= 1 && stats.waiting == 0, "round {round}: {stats:?}");
        }
    });
    eventually("it is given up", LIMIT, || pool.stats().failed == 1 && pool.stats().size == 0);
    assert!(silent.connections() <= 2, "{} connections", silent.connections());
}
