//! What the owner of a pool can do with it, and what a borrower can do with a lease (I4). REFERENCE P2.

use std::thread;
use std::time::Duration;

use redwire::config::Config;
use redwire::pool::CloseReason;
use redwire::{ConnectionFault, ErrorKind, Outcome, Run, Value, blocking, cmd};
use redwire_testkit::{Server, eventually, shared};

use crate::common::pool::Pool;
use crate::common::{Driver, LIMIT, Setup, named_clients, runtime};

both!(
    a_lease_knows_its_pool,
    a_connection_outside_of_the_pool_does_not_count,
    a_discarded_connection_is_closed,
    a_detached_connection_outlives_the_pool,
    disconnect_closes_those_in_use_when_they_come_back,
    disconnect_idle_spares_those_in_use,
    disconnect_now_ends_those_in_use,
    another_database_is_for_all_later_borrowers,
    clients_share_one_pool,
    one_connection_is_enough_for_a_pool_and_a_client,
    new_connections_are_shown_to_the_callback_first,
    a_pool_that_cannot_connect_says_why,
);

fn a_lease_knows_its_pool(setup: Setup) {
    let url = shared().url();
    let (one, other) = (setup.pool(&url, ""), setup.pool(&url, ""));
    let lease = one.clone().get().unwrap();
    assert!(one.owns(&lease) && !other.owns(&lease));
}

fn a_connection_outside_of_the_pool_does_not_count(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "max_connections=1&db=3&client_name=outside");
    let held = pool.get().unwrap();
    let mut connection = pool.connection();
    assert!(!connection.is_connected());
    assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
    assert_eq!((pool.stats().size, named_clients(&server, "outside")), (1, 2));
    let line = crate::common::client_line(&server, "outside").unwrap();
    assert!(line.contains(" db=3 "), "{line}");
    // Nothing that is done to the pool touches it.
    pool.disconnect();
    pool.close_now();
    drop((held, pool));
    assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
}

fn a_discarded_connection_is_closed(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "max_connections=1&client_name=discarded");
    let mut lease = pool.get().unwrap();
    let id = lease.id();
    lease.discard();
    let stats = pool.stats();
    assert_eq!((stats.size, stats.closed(CloseReason::Disconnected)), (0, 1), "{stats:?}");
    eventually("it is closed", LIMIT, || named_clients(&server, "discarded") == 0);
    assert_ne!(pool.get().unwrap().id(), id);
}

fn a_detached_connection_outlives_the_pool(setup: Setup) {
    let pool = setup.pool(&shared().url(), "max_connections=1");
    let mut lease = pool.get().unwrap();
    let id = lease.id();
    let mut connection = lease.detach();
    assert_eq!((pool.stats().size, pool.borrowers().len()), (0, 0));
    // Its place is free.
    assert_ne!(pool.get_within(LIMIT).unwrap().id(), id);
    pool.disconnect();
    pool.close_now();
    drop(pool);
    assert_eq!(connection.run::<u64>("CLIENT ID").unwrap(), id);
}

fn disconnect_closes_those_in_use_when_they_come_back(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "client_name=all");
    let (mut held, idle) = (pool.get().unwrap(), pool.get().unwrap());
    let id = held.id();
    drop(idle);
    pool.disconnect();
    eventually("the idle one is closed", LIMIT, || named_clients(&server, "all") == 1);
    assert_eq!(held.id(), id, "its borrower may keep it");
    let mut new = pool.get().unwrap();
    let new_id = new.id();
    drop(held);
    drop(new);
    eventually("the other is closed", LIMIT, || named_clients(&server, "all") == 1);
    assert_eq!(pool.get().unwrap().id(), new_id, "one made since then stays");
    assert_eq!(pool.stats().closed(CloseReason::Disconnected), 2);
}

fn disconnect_now_ends_those_in_use(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "client_name=all&timeout=30s&retries=0");
    let (mut waiting, mut held, idle) = (pool.get().unwrap(), pool.get().unwrap(), pool.get().unwrap());
    held.id();
    drop(idle);
    let cut = |error: redwire::Error| {
        assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::LeftMaster), "{error}");
        error.outcome()
    };
    thread::scope(|scope| {
        let waiting = scope.spawn(move || waiting.run::<Value>("BLPOP list 0").unwrap_err());
        eventually("it waits", LIMIT, || server.stat("blocked_clients") == 1);
        pool.disconnect_now();
        assert_eq!(cut(waiting.join().unwrap()), Outcome::MaybeExecuted);
    });
    assert_eq!(cut(held.run::<Value>("PING").unwrap_err()), Outcome::NotSent);
    eventually("all are closed", LIMIT, || named_clients(&server, "all") == 0);
    // The borrower may go on, and so does the pool.
    held.reconnect().unwrap();
    held.run::<()>("PING").unwrap();
    pool.get().unwrap().run::<()>("PING").unwrap();
}

fn disconnect_idle_spares_those_in_use(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "client_name=idle");
    let (mut held, idle) = (pool.get().unwrap(), pool.get().unwrap());
    let id = held.id();
    drop(idle);
    pool.disconnect_idle();
    let stats = pool.stats();
    assert_eq!((stats.size, stats.idle, stats.in_use), (1, 0, 1), "{stats:?}");
    assert_eq!(stats.closed(CloseReason::Disconnected), 1);
    eventually("the idle one is closed", LIMIT, || named_clients(&server, "idle") == 1);
    drop(held);
    assert_eq!(pool.get().unwrap().id(), id);
}

fn another_database_is_for_all_later_borrowers(setup: Setup) {
    let server = Server::start();
    let db = |pool: &Pool| {
        let info: String = pool.run("CLIENT LIST").unwrap();
        let own = info.lines().find(|line| line.contains("cmd=client")).unwrap().to_owned();
        own.split(' ').find_map(|word| word.strip_prefix("db=")).unwrap().parse::<u32>().unwrap()
    };
    let pool = setup.pool(&server.url(), "db=1");
    let mut held = pool.get().unwrap();
    drop(pool.get().unwrap());
    held.run::<()>("SET where one").unwrap();
    pool.select(2);
    assert_eq!(db(&pool), 2, "an idle one");
    assert_eq!(held.run::<String>("GET where").unwrap(), "one", "a borrower stays where it is");
    let new = [pool.get().unwrap(), pool.get().unwrap()];
    for mut lease in new {
        assert_eq!(lease.run::<Option<String>>("GET where").unwrap(), None, "a new one");
    }
    drop(held);
    assert_eq!(db(&pool), 2, "one that came back");
    // One that is not there is told to the next caller, and is no end of the pool.
    pool.select(999);
    let error = pool.get().unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
    assert_eq!(error.kind(), ErrorKind::Response, "{error}");
    pool.select(1);
    assert_eq!(pool.run::<String>("GET where").unwrap(), "one");
}

fn clients_share_one_pool(setup: Setup) {
    let server = Server::start();
    let options = "max_connections=1&timeout=200ms&client_name=sharing";
    let pool = setup.pool(&server.url(), options);
    let clients = [pool.client(), pool.client()];
    let held = pool.get().unwrap();
    // A command that waits borrows in either driver.
    for client in &clients {
        let error = client.run::<Option<(String, String)>>("BLPOP nothing 0.01").unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
    }
    drop(held);
    for client in &clients {
        assert_eq!(client.run::<Option<(String, String)>>("BLPOP nothing 0.01").unwrap(), None);
        assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
        assert!(Pool::of(client).owns(&pool.get().unwrap()));
    }
    assert_eq!(pool.stats().created, 1);
    // Beside the pool's, each async client has its pipelined connection.
    let own = if setup.driver == Driver::Tokio { 2 } else { 0 };
    assert_eq!(named_clients(&server, "sharing"), 1 + own);
    pool.close_now();
    for client in &clients {
        let error = client.run::<Option<(String, String)>>("BLPOP nothing 0.01").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
}

fn one_connection_is_enough_for_a_pool_and_a_client(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "max_connections=1&client_name=one");
    let id = pool.get().unwrap().id();
    for _ in 0..10 {
        assert_eq!(pool.get().unwrap().id(), id);
    }
    let client = setup.client(&server.url(), "max_connections=1&client_name=single");
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    assert_eq!(client.run::<Option<(String, String)>>("BLPOP nothing 0.01").unwrap(), None);
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    assert_eq!(Pool::of(&client).stats().created, 1);
    assert_eq!(named_clients(&server, "one"), 1);
}

fn new_connections_are_shown_to_the_callback_first(setup: Setup) {
    let server = Server::start();
    let config = Config::from_url(&setup.url(&server.url(), "db=1&client_name=shown")).unwrap();
    // It counts in the pool's database, and what it sets up stays for all users.
    let shown = config.to_builder().on_connect(redwire::OnConnect::new(|connection| {
        Box::pin(async {
            connection.run(cmd::<i64>("INCR").arg("connects")).await?;
            connection.run(cmd::<()>("CLIENT SETNAME").arg("by-callback")).await
        })
    }));
    let shown = shown.blocking_on_connect(blocking::OnConnect::new(|connection| {
        connection.run(cmd::<i64>("INCR").arg("connects"))?;
        connection.run(cmd::<()>("CLIENT SETNAME").arg("by-callback"))
    }));
    let pool = setup.lazy_pool(shown).unwrap();
    let mut leases = [pool.get().unwrap(), pool.get().unwrap()];
    for lease in &mut leases {
        assert_eq!(lease.run::<String>("GET connects").unwrap(), "2");
        assert_eq!(lease.run::<String>("CLIENT GETNAME").unwrap(), "by-callback");
    }
    drop(leases);
    // No borrower left anything, so nothing is mended.
    for _ in 0..3 {
        assert_eq!(pool.run::<String>("GET connects").unwrap(), "2");
    }
    // One that is reset is as new, and is shown again.
    pool.run::<()>("CLIENT SETNAME other").unwrap();
    assert_eq!(pool.run::<String>("CLIENT GETNAME").unwrap(), "by-callback");
    assert_eq!(pool.run::<String>("GET connects").unwrap(), "3");
    assert_eq!(pool.stats().created, 2);
}

fn a_pool_that_cannot_connect_says_why(setup: Setup) {
    let server = Server::builder().password("word").start();
    let url = format!("redis://:wrong@{}", server.addr());
    let error = setup.open_pool(&url, "").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Authentication(_)), "{error}");
    let pool = setup.pool(&url, "max_connections=1");
    for _ in 0..3 {
        let error = pool.get_within(Duration::from_secs(2)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Authentication(_)), "{error}");
        assert_eq!(error.address(), Some(server.addr().to_string().as_str()));
    }
    let stats = pool.stats();
    assert_eq!((stats.size, stats.created), (0, 0), "{stats:?}");
    assert!(stats.failed >= 1, "{stats:?}");
}

/// Dropping the future of `get` gives up the place in the queue, or the connection that was to be made.
#[test]
fn a_get_that_is_dropped_takes_nothing_with_it() {
    let url = format!("{}?max_connections=1&timeout=5s", shared().url());
    let pool = redwire::Pool::lazy(Config::from_url(&url).unwrap()).unwrap();
    runtime().block_on(async {
        for _ in 0..50 {
            // Never polled, polled once, and polled until it connects or waits.
            drop(pool.get());
            let mut polled = Box::pin(pool.get());
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            let first = polled.as_mut().poll(&mut cx);
            assert!(first.is_pending() || matches!(first, std::task::Poll::Ready(Ok(_))), "{first:?}");
            drop((first, polled));
            let lease = pool.get().await.unwrap();
            let mut waiting = Box::pin(pool.get());
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
            assert_eq!(pool.stats().waiting, 1);
            drop(waiting);
            assert_eq!(pool.stats().waiting, 0);
            drop(lease);
            pool.disconnect_idle();
        }
        assert_eq!((pool.stats().size, pool.stats().waiting), (0, 0));
    });
}
