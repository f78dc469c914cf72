//! What a pool does while no caller asks: some connections stay ready, and those that are old or unused go
//! (I6). REFERENCE P1.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use redwire::pool::CloseReason;
use redwire_testkit::{Server, eventually, shared};

use crate::common::{LIMIT, Setup, kill_named, named_clients, timed};

both!(
    some_connections_are_kept_ready,
    connections_kept_ready_return_after_an_outage,
    unused_connections_are_closed,
    connections_that_grow_old_are_replaced_one_by_one,
    a_connection_too_old_is_not_lent_again,
    upkeep_ends_with_its_pool,
);

/// What a busy machine may add where no call waits.
const SLACK: Duration = Duration::from_millis(500);

/// The connections with this name, as the server knows them.
fn ids(server: &Server, name: &str) -> BTreeSet<u64> {
    let named = server.client_list().into_iter().filter(|client| client["name"] == name);
    named.map(|client| client["id"].parse().unwrap()).collect()
}

fn some_connections_are_kept_ready(setup: Setup) {
    let server = Server::start();
    let pool = setup.open_pool(&server.url(), "min_idle_connections=3&client_name=warm").unwrap();
    // One more, if the first was not back yet when the upkeep looked for what is missing.
    let settled = || Some(pool.stats()).filter(|now| now.idle >= 3 && now.connecting == 0);
    eventually("three are ready", LIMIT, || settled().is_some());
    let ready = pool.stats().idle;
    assert!((3..=4).contains(&ready), "{ready}");
    assert_eq!(named_clients(&server, "warm"), ready);
    // What is taken is made up for; those given back stay.
    let held: Vec<_> = (2..ready).map(|_| pool.get().unwrap()).collect();
    eventually("three are ready", LIMIT, || settled().is_some());
    drop(held);
    let all = ready + 1;
    assert_eq!(pool.stats().idle, all);
    drop([pool.get().unwrap(), pool.get().unwrap(), pool.get().unwrap()]);
    assert_eq!(pool.stats().created, all as u64, "they were ready");
    // A caller that finds a dead one gets another, and they are made up for.
    let before = ids(&server, "warm");
    assert_eq!(kill_named(&server, "warm"), all);
    let mut leases: Vec<_> = (0..all).map(|_| pool.get().unwrap()).collect();
    assert!(leases.iter_mut().all(|lease| lease.run::<String>("PING").unwrap() == "PONG"));
    drop(leases);
    eventually("three others are ready", LIMIT, || {
        let now = ids(&server, "warm");
        now.len() >= 3 && now.is_disjoint(&before) && pool.stats().idle >= 3
    });
}

fn connections_kept_ready_return_after_an_outage(setup: Setup) {
    let server = Server::start();
    let options = "min_idle_connections=2&client_name=warm&timeout=300ms";
    let pool = setup.open_pool(&server.url(), options).unwrap();
    eventually("two are ready", LIMIT, || pool.stats().idle == 2);
    server.kill();
    assert!(pool.run::<String>("PING").is_err());
    eventually("they are found dead", LIMIT, || pool.stats().size == pool.stats().connecting);
    server.restart();
    // No caller asks for them.
    eventually("two are ready", LIMIT, || pool.stats().idle == 2);
    assert_eq!(named_clients(&server, "warm"), 2);
}

fn unused_connections_are_closed(setup: Setup) {
    let limit = Duration::from_millis(200);
    let server = Server::start();
    let pool = setup.pool(&server.url(), "idle_timeout=200ms&client_name=unused");
    let mut kept = pool.get().unwrap();
    drop([pool.get().unwrap(), pool.get().unwrap()]);
    let ((), took) = timed(|| {
        eventually("both are closed", LIMIT, || pool.stats().closed(CloseReason::Idle) == 2);
    });
    assert!(took <= limit + SLACK, "{took:?}");
    assert!(took >= limit / 2, "{took:?}");
    eventually("the server knows", LIMIT, || named_clients(&server, "unused") == 1);
    assert_eq!(kept.run::<String>("PING").unwrap(), "PONG", "one in use is not idle");
}

/// Made together, they end between 0.9 and 1.1 times the limit, in no order.
fn connections_that_grow_old_are_replaced_one_by_one(setup: Setup) {
    const COUNT: usize = 20;
    let server = Server::start();
    let begin = Instant::now();
    let pool = setup.pool(&server.url(), "max_lifetime=2s&client_name=old");
    let held: Vec<_> = (0..COUNT).map(|_| pool.get().unwrap()).collect();
    let made = Instant::now();
    let all = ids(&server, "old");
    assert_eq!(all.len(), COUNT);
    drop(held);
    let (mut left, mut ended) = (all, Vec::new());
    let mut closed = 0;
    eventually("all have ended", LIMIT, || {
        // The server is asked only when there is news.
        let before = std::mem::replace(&mut closed, pool.stats().closed(CloseReason::Lifetime));
        if before == closed && closed < COUNT as u64 {
            return false;
        }
        let now = ids(&server, "old");
        if now.len() < left.len() {
            assert!(begin.elapsed() >= Duration::from_millis(1800), "{:?}", begin.elapsed());
            ended.extend(left.difference(&now).copied());
            left = now;
        }
        left.is_empty()
    });
    assert!(made.elapsed() <= Duration::from_millis(2200) + SLACK, "{:?}", made.elapsed());
    assert!(!ended.is_sorted(), "in the order they were made, without any chance: {ended:?}");
    assert_eq!(pool.stats().closed(CloseReason::Lifetime), COUNT as u64);
}

fn a_connection_too_old_is_not_lent_again(setup: Setup) {
    let pool = setup.pool(&shared().url(), "max_lifetime=100ms&max_connections=1");
    let begin = Instant::now();
    let mut lease = pool.get().unwrap();
    let first = lease.id();
    eventually("its time is over", LIMIT, || begin.elapsed() > Duration::from_millis(250));
    assert_eq!(lease.id(), first, "its borrower may keep it");
    drop(lease);
    assert_ne!(pool.get().unwrap().id(), first);
    assert!(pool.stats().closed(CloseReason::Lifetime) >= 1);
}

fn upkeep_ends_with_its_pool(setup: Setup) {
    let server = Server::start();
    let pool = setup.open_pool(&server.url(), "min_idle_connections=2&client_name=gone").unwrap();
    eventually("two are ready", LIMIT, || pool.stats().idle == 2);
    let other = pool.clone();
    drop(pool);
    assert_eq!(other.run::<String>("PING").unwrap(), "PONG");
    drop(other);
    eventually("nothing is left", LIMIT, || named_clients(&server, "gone") == 0);
    // A pool that was closed is not kept warm either.
    let pool = setup.open_pool(&server.url(), "min_idle_connections=2&client_name=gone").unwrap();
    eventually("two are ready", LIMIT, || {
        let stats = pool.stats();
        stats.idle >= 2 && stats.connecting == 0
    });
    pool.close_now();
    let closed = pool.stats().created;
    eventually("nothing is left", LIMIT, || named_clients(&server, "gone") == 0);
    assert_eq!(pool.stats().created, closed);
}
