//! Times at their ends: none at all means at once, and `Duration::MAX` is without limit. Nothing overflows.
//! FAULTS 106.

use std::thread;
use std::time::Duration;

use redwire::blocking;
use redwire::prelude::*;
use redwire::{ErrorKind, Result, Value};
use redwire_testkit::{Direction, Proxy, Server, eventually};

use crate::common::{Client, Driver, LIMIT, Setup, runtime, words};

both!(
    a_reply_is_waited_for_without_limit_or_only_looked_for,
    a_connection_is_lent_without_limit_or_at_once,
    closing_waits_without_limit_for_what_is_under_way,
    what_is_heard_is_waited_for_without_limit,
    servers_are_asked_to_wait_without_limit,
    a_lock_is_held_and_waited_for_without_limit,
);

const MAX: Duration = Duration::MAX;

fn a_reply_is_waited_for_without_limit_or_only_looked_for(setup: Setup) {
    let server = Server::start();
    let mut connection = setup.connection(&server.url(), "");
    assert!(!connection.can_read(MAX).unwrap(), "nothing was sent");
    connection.send("BLPOP list 0").unwrap();
    assert!(!connection.can_read(Duration::ZERO).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            eventually("it waits", LIMIT, || server.stat("blocked_clients") == 1);
            server.command(&["RPUSH", "list", "1"]).unwrap();
        });
        assert!(connection.can_read(MAX).unwrap());
    });
    connection.send("PING").unwrap();
    assert!(connection.read_reply::<Value>().is_ok() && connection.read_reply::<Value>().is_ok());
    connection.send("PING").unwrap();
    eventually("what has come is seen", LIMIT, || connection.can_read(Duration::ZERO).unwrap());
}

fn a_connection_is_lent_without_limit_or_at_once(setup: Setup) {
    let server = Server::start();
    let pool = setup.open_pool(&server.url(), "max_connections=1").unwrap();
    drop(pool.get_within(Duration::ZERO).unwrap());
    let lease = pool.get_within(MAX).unwrap();
    assert!(pool.get_within(Duration::ZERO).unwrap_err().is_timeout());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get_within(MAX).map(drop));
        eventually("it waits", LIMIT, || pool.stats().waiting == 1);
        drop(lease);
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(pool.close(MAX), 0);
}

fn closing_waits_without_limit_for_what_is_under_way(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "health_check_interval=0");
    server.freeze();
    thread::scope(|scope| {
        let sent = proxy.bytes(Direction::ToServer);
        let call = scope.spawn(|| client.execute(words::<i64>("INCR n").timeout(MAX)));
        eventually("it is sent", LIMIT, || proxy.bytes(Direction::ToServer) > sent);
        let closing = scope.spawn(|| client.shut(MAX));
        eventually("no more calls are taken", LIMIT, || {
            let ping = words::<Value>("PING").timeout(Duration::from_millis(20));
            client.execute(ping).is_err_and(|error| error.kind() == ErrorKind::Closed)
        });
        server.thaw();
        assert_eq!(call.join().unwrap().unwrap(), 1);
        closing.join().unwrap();
    });
    client.shut(Duration::ZERO);
    assert!(client.run::<Value>("PING").is_err());
}

fn what_is_heard_is_waited_for_without_limit(setup: Setup) {
    let server = Server::start();
    let mut events = setup.pool(&server.url(), "").events();
    assert!(events.next_within(Duration::ZERO).is_none());
    let pubsub = setup.pubsub(&server.url(), "");
    let mut subscription = pubsub.subscribe(&["news"]);
    assert!(subscription.next_within(Duration::ZERO).is_none());
    server.command(&["PUBLISH", "news", "1"]).unwrap();
    assert!(subscription.next_within(MAX).is_some());
    match setup.driver {
        Driver::Tokio => runtime().block_on(async {
            let mut monitor = redwire::Monitor::connect(&setup.url(&server.url(), "")).await.unwrap();
            while monitor.next_within(Duration::ZERO).await.is_some() {}
            server.command(&["PING"]).unwrap();
            assert!(monitor.next_within(MAX).await.is_some());
        }),
        Driver::Blocking => {
            let mut monitor = blocking::Monitor::connect(&setup.url(&server.url(), "")).unwrap();
            while monitor.next_within(Duration::ZERO).is_some() {}
            server.command(&["PING"]).unwrap();
            assert!(monitor.next_within(MAX).is_some());
        }
    }
}

/// `MAX` is more than servers take for a number.
fn servers_are_asked_to_wait_without_limit(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    thread::scope(|scope| {
        let waits = [scope.spawn(|| pop(&client, MAX)), scope.spawn(|| read(&client, MAX))];
        eventually("both wait", LIMIT, || server.stat("blocked_clients") == 2);
        server.command(&["RPUSH", "list", "1"]).unwrap();
        server.command(&["XADD", "stream", "*", "field", "1"]).unwrap();
        for wait in waits {
            wait.join().unwrap().unwrap();
        }
    });
}

fn pop(client: &Client, wait: Duration) -> Result<()> {
    match client {
        Client::Tokio(client) => runtime().block_on(client.blpop::<String, i64>("list", wait)).map(drop),
        Client::Blocking(client) => client.blpop::<String, i64>("list", wait).map(drop),
    }
}

fn read(client: &Client, wait: Duration) -> Result<()> {
    let options = redwire::commands::XreadOptions::new().block(wait);
    match client {
        Client::Tokio(client) => {
            runtime().block_on(client.xread::<String, Value>(options, "stream", "$")).map(drop)
        }
        Client::Blocking(client) => client.xread::<String, Value>(options, "stream", "$").map(drop),
    }
}

fn a_lock_is_held_and_waited_for_without_limit(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    match &client {
        Client::Tokio(client) => runtime().block_on(async {
            let lock = client.lock("l").ttl(MAX).wait(MAX).retry_interval(MAX);
            let guard = lock.acquire().await.unwrap();
            assert!(!guard.is_lost() && guard.extend(MAX).await.is_ok());
            assert!(client.lock("l").wait(Duration::ZERO).acquire().await.is_err());
            guard.release().await.unwrap();
            lock.acquire().await.unwrap().release().await.unwrap();
        }),
        Client::Blocking(client) => {
            let lock = client.lock("l").ttl(MAX).wait(MAX).retry_interval(MAX);
            let guard = lock.acquire().unwrap();
            assert!(!guard.is_lost() && guard.extend(MAX).is_ok());
            assert!(!guard.lost_within(Duration::ZERO));
            assert!(client.lock("l").wait(Duration::ZERO).acquire().is_err());
            guard.release().unwrap();
            lock.acquire().unwrap().release().unwrap();
        }
    }
}
