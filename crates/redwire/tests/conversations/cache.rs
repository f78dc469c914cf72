//! The client-side cache: what is served from memory, until when, and what is left to the server.

mod kills;
mod refused;

use std::thread;
use std::time::Duration;

use redwire::cache::CacheOptions;
use redwire_testkit::{Server, eventually};

pub(super) use crate::common::cache::Cache;
use crate::common::{LIMIT, Setup};

both!(
    a_read_serves_until_its_key_changes,
    own_writes_are_seen_at_once,
    only_steady_reads_are_kept,
    only_opted_in_reads_are_kept,
    only_keys_of_the_prefixes_are_kept,
    a_reply_serves_no_longer_than_its_time,
    memory_is_bounded,
    a_hundred_callers_that_want_the_same_ask_once,
    an_emptied_database_empties_the_cache,
    a_dropped_cache_leaves_no_connection,
);

/// How often the server has executed a command.
fn executed(server: &Server, command: &str) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[track_caller]
fn set(server: &Server, key: &str, value: u64) {
    server.command(&["SET", key, &value.to_string()]).unwrap();
}

/// Connections that a server tracks, or that it tells of changes for another: their ids.
pub(super) fn trackers(server: &Server) -> Vec<String> {
    let list = server.command(&["CLIENT", "LIST"]).unwrap();
    let field = |line: &str, name: &str| {
        line.split(' ').find_map(|word| word.strip_prefix(name)).unwrap_or_default().to_owned()
    };
    let tracked = list.lines().filter(|line| field(line, "flags=").contains('t'));
    let ids = tracked.flat_map(|line| [field(line, "id="), field(line, "redir=")]);
    ids.filter(|id| id != "0" && id != "-1").collect()
}

fn a_read_serves_until_its_key_changes(setup: Setup) {
    let server = Server::start();
    let cache = Cache::new(&setup.client(&server.url(), ""), CacheOptions::default());
    set(&server, "a", 1);
    for _ in 0..5 {
        assert_eq!((cache.get("a"), cache.get("b")), (Some(1), None));
        assert_eq!(cache.run::<(Option<u64>, Option<u64>)>("MGET a b").unwrap(), (Some(1), None));
    }
    assert_eq!(
        (executed(&server, "get"), executed(&server, "mget")),
        (2, 1),
        "that there is nothing is kept, too"
    );
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.entries), (12, 3, 3));

    set(&server, "b", 2);
    cache.sync().unwrap();
    assert_eq!(cache.run::<(Option<u64>, Option<u64>)>("MGET a b").unwrap(), (Some(1), Some(2)));
    assert_eq!((cache.get("a"), cache.get("b")), (Some(1), Some(2)));
    assert_eq!(executed(&server, "get"), 3, "what has not changed still serves");
    assert_eq!(cache.stats().invalidations, 1);
    set(&server, "a", 3);
    eventually("the change is heard of without asking", LIMIT, || cache.get("a") == Some(3));
}

fn own_writes_are_seen_at_once(setup: Setup) {
    let server = Server::start();
    let cache = Cache::new(&setup.client(&server.url(), ""), CacheOptions::default());
    for round in 1..=200 {
        assert_eq!(cache.run::<u64>("INCR n").unwrap(), round);
        assert_eq!(cache.get("n"), Some(round));
        assert_eq!(cache.get("n"), Some(round));
    }
    assert!(cache.stats().hits > 0, "{:?}", cache.stats());
}

fn only_steady_reads_are_kept(setup: Setup) {
    let server = Server::start();
    let cache = Cache::new(&setup.client(&server.url(), ""), CacheOptions::default());
    cache.run::<()>("HSET h f 1").unwrap();
    for _ in 0..3 {
        assert_eq!(cache.run::<Vec<(String, u64)>>("HGETALL h").unwrap(), [("f".to_owned(), 1)]);
        assert_eq!(cache.run::<i64>("TTL h").unwrap(), -1);
        assert_eq!(cache.run::<Option<String>>("RANDOMKEY").unwrap().as_deref(), Some("h"));
        let error = cache.run::<Option<String>>("GET h").unwrap_err();
        assert_eq!((error.code(), error.command()), (Some("WRONGTYPE"), Some("GET")));
    }
    assert_eq!(["hgetall", "ttl", "randomkey", "get"].map(|name| executed(&server, name)), [1, 3, 3, 3]);
}

fn only_opted_in_reads_are_kept(setup: Setup) {
    let server = Server::start();
    let cache = Cache::new(&setup.client(&server.url(), ""), CacheOptions::default().opt_in());
    set(&server, "k", 1);
    for _ in 0..3 {
        assert_eq!(cache.get("k"), Some(1));
    }
    assert_eq!(executed(&server, "get"), 3);
    for _ in 0..3 {
        assert_eq!(cache.opted_in().get("k"), Some(1));
    }
    assert_eq!(executed(&server, "get"), 4);
    set(&server, "k", 2);
    cache.sync().unwrap();
    assert_eq!(cache.opted_in().get("k"), Some(2));
}

fn only_keys_of_the_prefixes_are_kept(setup: Setup) {
    let server = Server::start();
    let options = CacheOptions::default().broadcast(["user:", "team:"]);
    let cache = Cache::new(&setup.client(&server.url(), ""), options);
    for key in ["user:1", "other"] {
        set(&server, key, 1);
        cache.sync().unwrap();
        for _ in 0..3 {
            assert_eq!(cache.get(key), Some(1));
        }
        set(&server, key, 2);
        cache.sync().unwrap();
        assert_eq!(cache.get(key), Some(2));
    }
    assert_eq!(executed(&server, "get"), 2 + 4);
    let invalidations = cache.stats().invalidations;
    set(&server, "user:unread", 1);
    cache.sync().unwrap();
    assert_eq!(
        cache.stats().invalidations,
        invalidations + 1,
        "the server remembers nothing of what is read"
    );
}

fn a_reply_serves_no_longer_than_its_time(setup: Setup) {
    let server = Server::start();
    let ttl = Duration::from_millis(50);
    let cache = Cache::new(&setup.client(&server.url(), ""), CacheOptions::default().ttl(ttl));
    set(&server, "k", 1);
    assert_eq!(cache.get("k"), Some(1));
    thread::sleep(ttl);
    assert_eq!(cache.get("k"), Some(1));
    assert_eq!(executed(&server, "get"), 2);
}

fn memory_is_bounded(setup: Setup) {
    let server = Server::start();
    let bound = 200_000;
    let cache = Cache::new(&setup.client(&server.url(), ""), CacheOptions::default().max_bytes(bound));
    for key in 0..500 {
        let value = "x".repeat(1000);
        server.command(&["SET", &key.to_string(), &value]).unwrap();
        assert_eq!(cache.run::<String>(&format!("GET {key}")).unwrap(), value);
        assert!(cache.stats().bytes <= bound);
    }
    let stats = cache.stats();
    assert!(stats.entries > 100 && stats.evictions as usize == 500 - stats.entries, "{stats:?}");
}

fn a_hundred_callers_that_want_the_same_ask_once(setup: Setup) {
    let server = Server::start();
    let cache = Cache::new(&setup.client(&server.url(), ""), CacheOptions::default());
    set(&server, "k", 7);
    server.freeze();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..100).map(|_| scope.spawn(|| cache.get("k"))).collect();
        eventually("all want it", LIMIT, || cache.stats().joined == 99);
        server.thaw();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), Some(7));
        }
    });
    assert_eq!(executed(&server, "get"), 1);
    assert_eq!((cache.stats().misses, cache.stats().hits), (1, 0));
}

fn an_emptied_database_empties_the_cache(setup: Setup) {
    let server = Server::start();
    let cache = Cache::new(&setup.client(&server.url(), ""), CacheOptions::default());
    set(&server, "k", 1);
    assert_eq!(cache.get("k"), Some(1));
    server.command(&["FLUSHALL"]).unwrap();
    cache.sync().unwrap();
    assert_eq!(cache.get("k"), None);
    assert_eq!(cache.stats().flushes, 1);
    set(&server, "k", 2);
    cache.sync().unwrap();
    assert_eq!(cache.get("k"), Some(2));
    cache.run::<()>("FLUSHDB").unwrap();
    assert_eq!(cache.get("k"), None, "what was done through the cache is seen at once");
}

fn a_dropped_cache_leaves_no_connection(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let cache = Cache::new(&client, CacheOptions::default());
    let connections = if setup.protocol == 3 { 1 } else { 2 };
    assert_eq!(trackers(&server).len(), connections);
    let ids = trackers(&server);
    assert_eq!(cache.get("k"), None);
    drop(cache.clone());
    assert_eq!(trackers(&server), ids);
    drop(cache);
    let list = || server.command(&["CLIENT", "LIST"]).unwrap();
    eventually("its connections are closed", LIMIT, || {
        ids.iter().all(|id| !list().lines().any(|line| line.starts_with(&format!("id={id} "))))
    });
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
}
