//! What a pool tells of itself at each step, and who has its connections (I4). REFERENCE P3.

use std::thread;
use std::time::{Duration, Instant};

use redwire::Value;
use redwire::pool::CloseReason;
use redwire_testkit::{FakeServer, Server, Step, eventually, shared};

use crate::common::pool::Pool;
use crate::common::{Client, Connection, LIMIT, Setup, kill_named, runtime};

both!(
    every_step_is_counted,
    each_reason_of_closing_is_counted,
    what_calls_share_is_counted_too,
    waits_are_measured,
    holders_are_named_by_file_and_line,
    calls_of_clients_hold_nothing_for_long,
);

/// Size, idle, in use, connecting, waiting.
#[track_caller]
fn check(pool: &Pool, now: [usize; 5], created: u64) {
    let stats = pool.stats();
    let found = [stats.size, stats.idle, stats.in_use, stats.connecting, stats.waiting];
    assert_eq!((found, stats.created), (now, created), "{stats:?}");
}

fn every_step_is_counted(setup: Setup) {
    let pool = setup.pool(&shared().url(), "max_connections=2&timeout=30s");
    check(&pool, [0, 0, 0, 0, 0], 0);
    let first = pool.get().unwrap();
    check(&pool, [1, 0, 1, 0, 0], 1);
    let second = pool.get().unwrap();
    check(&pool, [2, 0, 2, 0, 0], 2);
    thread::scope(|scope| {
        let third = scope.spawn(|| pool.get().unwrap());
        eventually("it waits", LIMIT, || pool.stats().waiting == 1);
        check(&pool, [2, 0, 2, 0, 1], 2);
        drop(first);
        let third = third.join().unwrap();
        check(&pool, [2, 0, 2, 0, 0], 2);
        drop(second);
        check(&pool, [2, 1, 1, 0, 0], 2);
        drop(third);
    });
    check(&pool, [2, 2, 0, 0, 0], 2);
    pool.disconnect_idle();
    check(&pool, [0, 0, 0, 0, 0], 2);
    assert_eq!(pool.stats().waits.count(), 1);

    // A connection that is being made, and one that cannot be.
    let silent = FakeServer::script([Step::Stall]);
    let pool = setup.pool(&silent.url(), "connect_timeout=300ms");
    thread::scope(|scope| {
        let connecting = scope.spawn(|| pool.get_within(Duration::from_millis(200)).unwrap_err());
        eventually("it connects", LIMIT, || pool.stats().connecting == 1);
        check(&pool, [1, 0, 0, 1, 0], 0);
        assert!(connecting.join().unwrap().is_timeout());
    });
    eventually("the attempt has ended", LIMIT, || pool.stats().connecting == 0);
    check(&pool, [0, 0, 0, 0, 0], 0);
    assert_eq!(pool.stats().failed, 1);
}

/// A reason, a pool to show it on, and what brings it about once.
type Reason = (CloseReason, &'static str, fn(&Pool, &Server));

const REASONS: &[Reason] = &[
    (CloseReason::Idle, "idle_timeout=50ms&", |pool, _| {
        drop(pool.get().unwrap());
        eventually("it was idle for too long", LIMIT, || pool.stats().size == 0);
    }),
    (CloseReason::Lifetime, "max_lifetime=50ms&", |pool, _| {
        let (held, begin) = (pool.get().unwrap(), Instant::now());
        eventually("its time is over", LIMIT, || begin.elapsed() > Duration::from_millis(60));
        drop(held);
    }),
    (CloseReason::Dirty, "", |pool, _| pool.get().unwrap().send("ECHO unread").unwrap()),
    (CloseReason::Lost, "", |pool, server| {
        let mut held = pool.get().unwrap();
        assert_eq!(kill_named(server, "reasons"), 1);
        assert!(held.run::<Value>("PING").is_err());
    }),
    (CloseReason::Disconnected, "", |pool, _| pool.get().unwrap().discard()),
    (CloseReason::Closed, "", |pool, _| {
        drop(pool.get().unwrap());
        pool.close_now();
    }),
];

/// The connection that the calls of a client share.
fn what_calls_share_is_counted_too(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "client_name=shared");
    let stats = || match &client {
        Client::Tokio(client) => client.stats(),
        Client::Blocking(client) => client.stats(),
    };
    client.run::<()>("SET k v").unwrap();
    let now = stats();
    assert_eq!((now.size, now.idle, now.in_use, now.created), (1, 1, 0, 1), "{now:?}");
    server.freeze();
    thread::scope(|scope| {
        let call = scope.spawn(|| client.run::<String>("GET k"));
        eventually("it is in use", LIMIT, || (stats().in_use, stats().idle) == (1, 0));
        server.thaw();
        assert_eq!(call.join().unwrap().unwrap(), "v");
    });
    // A command that waits has one of its own.
    client.run::<Option<Value>>("BLPOP none 0.01").unwrap();
    let before = stats();
    kill_named(&server, "shared");
    eventually("it is made anew", LIMIT, || client.run::<String>("GET k").is_ok());
    let after = stats();
    assert!(after.created > before.created, "{before:?}, {after:?}");
}

fn each_reason_of_closing_is_counted(setup: Setup) {
    let server = Server::start();
    for (reason, options, act) in REASONS {
        let pool = setup.pool(&server.url(), &format!("{options}client_name=reasons"));
        act(&pool, &server);
        let stats = pool.stats();
        for why in CloseReason::ALL {
            assert_eq!(stats.closed(why), u64::from(why == *reason), "{reason:?}: {stats:?}");
        }
        assert_eq!((stats.size, stats.created), (0, 1), "{reason:?}: {stats:?}");
    }
    // Lost while it is idle, it is counted when a caller would have it.
    let pool = setup.pool(&server.url(), "client_name=reasons");
    drop(pool.get().unwrap());
    assert_eq!(kill_named(&server, "reasons"), 1);
    drop(pool.get().unwrap());
    assert_eq!((pool.stats().closed(CloseReason::Lost), pool.stats().created), (1, 2));
}

fn waits_are_measured(setup: Setup) {
    let pool = setup.pool(&shared().url(), "max_connections=1&timeout=30s");
    drop(pool.get().unwrap());
    assert_eq!((pool.stats().waits.count(), pool.stats().waits.longest()), (0, Duration::ZERO));
    let hold = Duration::from_millis(40);
    for _ in 0..4 {
        let held = pool.get().unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(pool.get().unwrap()));
            eventually("it waits", LIMIT, || pool.stats().waiting == 1);
            thread::sleep(hold);
            drop(held);
            waiting.join().unwrap();
        });
    }
    let waits = pool.stats().waits;
    assert_eq!(waits.count(), 4);
    assert!(waits.longest() >= hold && waits.longest() < LIMIT, "{waits:?}");
    assert!(waits.quantile(0.5) >= hold, "{waits:?}");
    assert_eq!(waits.buckets().map(|(_, count)| count).sum::<u64>(), 4);
    let short = waits.buckets().filter(|(below, _)| below.is_some_and(|below| below <= hold));
    assert_eq!(short.map(|(_, count)| count).sum::<u64>(), 0, "{waits:?}");
}

fn holders_are_named_by_file_and_line(setup: Setup) {
    let pool = setup.pool(&shared().url(), "");
    assert!(pool.borrowers().is_empty());
    let begin = Instant::now();
    let (first, line) = (pool.get().unwrap(), line!());
    let (second, next_line) = (pool.get_within(LIMIT).unwrap(), line!());
    let mut borrowers = pool.borrowers();
    borrowers.sort_by_key(|borrower| borrower.since);
    let found: Vec<_> = borrowers
        .iter()
        .map(|borrower| {
            let location = borrower.location.expect("it is tracked");
            assert!(borrower.since >= begin && borrower.since <= Instant::now());
            (location.file().rsplit('/').next().unwrap(), location.line())
        })
        .collect();
    assert_eq!(found, [("stats.rs", line), ("stats.rs", next_line)]);
    drop(first);
    assert_eq!(pool.borrowers().len(), 1);
    // Taken out of the pool, it has no borrower any more.
    let detached: Connection = second.detach();
    assert!(pool.borrowers().is_empty());
    drop(detached);
}

fn calls_of_clients_hold_nothing_for_long(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let pool = Pool::of(&client);
    let list = setup.key("popped");
    thread::scope(|scope| {
        let popping = scope.spawn(|| client.run::<(String, String)>(&format!("BLPOP {list} 0")));
        eventually("it holds one", LIMIT, || pool.borrowers().len() == 1);
        assert_eq!(pool.borrowers()[0].location, None, "no place in the program");
        client.run::<i64>(&format!("RPUSH {list} x")).unwrap();
        assert_eq!(popping.join().unwrap().unwrap().1, "x");
    });
    assert!(pool.borrowers().is_empty());
}

/// Each future remembers where it was made, not where it was awaited.
#[test]
fn a_task_is_known_by_where_it_asked() {
    let url = shared().url();
    runtime().block_on(async {
        let pool = redwire::Pool::connect(&url).await.unwrap();
        let (lease, line) = (pool.get(), line!());
        let lease = tokio::spawn({
            let pool = pool.clone();
            async move { pool.get_within(LIMIT).await.map(|lease| (lease, line!())) }
        })
        .await
        .unwrap()
        .map(|spawned| (spawned, lease));
        let ((spawned, spawned_line), lease) = lease.unwrap();
        let own = lease.await.unwrap();
        let mut lines: Vec<u32> =
            pool.borrowers().iter().map(|borrower| borrower.location.unwrap().line()).collect();
        lines.sort_unstable();
        let mut expected = [line, spawned_line];
        expected.sort_unstable();
        assert_eq!(lines, expected);
        drop((own, spawned));
    });
}
