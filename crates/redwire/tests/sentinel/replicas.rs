//! Clients of replicas: one client's calls are spread over all of them, the new ones too; one that is down is
//! passed over, and the master serves where there is none.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use redwire::cache::CacheOptions;
use redwire::prelude::*;
use redwire::{ErrorKind, EventKind, ScanOptions, Script, SentinelFault, Value};
use redwire_testkit::{Direction, FakeServer, Fault, Proxy, Server, eventually};

use crate::common::cache::Cache;
use crate::common::pool::Pool;
use crate::common::{Client, Driver, GRACE, LIMIT, Setup, named_clients, runtime, timed};
use crate::fake::{FakeSentinel, View, url};

both!(
    every_call_goes_to_the_next_replica,
    a_replica_that_is_frozen_or_killed_fails_no_read,
    replicas_come_and_go,
    a_scan_is_whole_while_calls_are_spread,
    a_scan_goes_on_where_its_replica_dies,
    the_time_of_a_page_begins_with_the_page,
    each_connection_of_a_pool_leads_to_the_next,
    a_cache_keeps_what_one_replica_announces,
    new_clients_begin_with_any_replica,
    the_master_stands_in_where_there_is_no_replica,
    calls_wait_for_the_only_replica,
    replicas_that_are_gone_are_passed_over,
    a_replica_without_data_is_passed_over,
);

/// Servers that say which they are.
fn servers(names: &[&str]) -> Vec<Server> {
    let start = |name: &&str| {
        let server = Server::start();
        server.command(&["SET", "name", name]).unwrap();
        server
    };
    names.iter().map(start).collect()
}

/// A master with something in it, and behind it three replicas that have it, too.
fn replicated() -> Vec<Server> {
    let start = |_| Server::builder().arg("repl-diskless-sync-delay", "0").start();
    let servers: Vec<_> = (0..4).map(start).collect();
    let port = servers[0].port().to_string();
    servers[0].command(&["XADD", "stream", "1-1", "field", "value"]).unwrap();
    servers[0].command(&["SET", "key", "value"]).unwrap();
    for replica in &servers[1..] {
        replica.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    }
    for replica in &servers[1..] {
        let is_linked = || replica.info("replication").get("master_link_status").is_some_and(|s| s == "up");
        eventually("the replica has it", LIMIT, || is_linked() && replica.command(&["GET", "key"]).is_ok());
    }
    servers
}

/// Whom so many calls are answered by.
fn names(client: &Client, count: usize) -> BTreeSet<String> {
    (0..count).map(|_| client.run::<String>("GET name").unwrap()).collect()
}

fn of(master: &Server, replicas: &[&Server]) -> View {
    let replicas = replicas.iter().map(|replica| replica.addr()).collect();
    View { replicas, publishes: true, ..View::of(master.addr()) }
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// Has `work` send a number of commands by this name: each of the replicas gets a third of them, and the
/// master none. On a busy machine one may be passed over for a while, since it did not answer for 0.2 s.
#[track_caller]
fn spread(servers: &[Server], command: &str, count: i64, work: impl Fn()) {
    eventually("each gets a third", LIMIT, || {
        for server in servers {
            server.command(&["CONFIG", "RESETSTAT"]).unwrap();
        }
        work();
        let calls: Vec<_> = servers.iter().map(|server| server.calls(command)).collect();
        assert_eq!(calls[0], 0, "{command}");
        calls[1..].iter().all(|calls| *calls == count / 3)
    });
}

fn times(count: usize, work: impl Fn()) {
    (0..count).for_each(|_| work());
}

fn transact(client: &Client) {
    let got = match client {
        Client::Tokio(client) => runtime().block_on(client.transaction("key", async |mut tx| {
            tx.get::<String>("key").await?;
            tx.commit(|p| p.get::<String>("key")).await
        })),
        Client::Blocking(client) => client.transaction("key", |mut tx| {
            tx.get::<String>("key")?;
            tx.commit(|p| p.get::<String>("key"))
        }),
    };
    assert_eq!(got.unwrap().as_deref(), Some("value"));
}

fn all_at_once(client: &Client) {
    let gets = (0..30).map(|_| redwire::cmd::<String>("GET").arg("key"));
    let count = match client {
        Client::Tokio(client) => runtime().block_on(async {
            let (mut results, mut count) = (client.run_all(gets), 0);
            while let Some(result) = results.next().await {
                count += usize::from(result.is_ok());
            }
            count
        }),
        Client::Blocking(client) => client.run_all(gets).filter(Result::is_ok).count(),
    };
    assert_eq!(count, 30);
}

fn every_call_goes_to_the_next_replica(setup: Setup) {
    let servers = replicated();
    let sentinel = FakeSentinel::telling(of(&servers[0], &[&servers[1], &servers[2], &servers[3]]));
    let client = setup.client(&url(&[sentinel.addr()]), "read_from=replica&client_name=reader");
    let get = || assert_eq!(client.run::<String>("GET key").unwrap(), "value");
    spread(&servers, "get", 99, || times(99, get));
    let connections = |server: &Server| named_clients(server, "reader");
    eventually("there is one connection to each", LIMIT, || {
        servers.iter().map(connections).collect::<Vec<_>>() == [0, 1, 1, 1]
    });
    let stats = Pool::stats_of(&client);
    // The first was made to ask where they are.
    assert_eq!((stats.size, stats.idle, stats.created, stats.failed), (3, 3, 4, 0));
    spread(&servers, "get", 16 * 15, || {
        thread::scope(|scope| (0..16).for_each(|_| drop(scope.spawn(|| times(15, get)))));
    });
    spread(&servers, "strlen", 30, || {
        times(30, || {
            let twice = client.pipeline(|p| (p.get::<String>("key"), p.strlen("key"))).unwrap();
            assert_eq!(twice, (Some("value".to_owned()), 5));
        });
    });
    spread(&servers, "exec", 30, || {
        times(30, || {
            let length = match &client {
                Client::Tokio(client) => runtime().block_on(client.atomic(|p| p.strlen("key"))),
                Client::Blocking(client) => client.atomic(|p| p.strlen("key")),
            };
            assert_eq!(length.unwrap(), 5);
        });
    });
    spread(&servers, "watch", 30, || times(30, || transact(&client)));
    spread(&servers, "get", 30, || all_at_once(&client));
    let script = Script::new("return redis.call('GET', KEYS[1])");
    for _ in 0..12 {
        assert_eq!(client.execute(script.key("key").cmd::<String>()).unwrap(), "value");
    }
    assert!(servers[1..].iter().all(|replica| replica.calls("evalsha") >= 3), "each has the script");
    // One that waits at a replica.
    spread(&servers, "xread", 30, || {
        times(30, || drop(client.run::<Value>("XREAD BLOCK 1000 STREAMS stream 0").unwrap()));
    });
    thread::scope(|scope| {
        let wait = scope.spawn(|| client.run::<Value>("XREAD BLOCK 8000 STREAMS stream $"));
        let blocked = || servers[1..].iter().map(|replica| replica.stat("blocked_clients")).sum::<i64>();
        eventually("it waits", LIMIT, || blocked() == 1);
        servers[0].command(&["XADD", "stream", "1-2", "field", "value"]).unwrap();
        assert_ne!(wait.join().unwrap().unwrap(), Value::Null);
    });
    client.shut(LIMIT);
    assert_eq!(client.run::<Value>("GET key").unwrap_err().kind(), ErrorKind::Closed);
    eventually("all are closed", LIMIT, || servers.iter().all(|server| connections(server) == 0));
    let stats = Pool::stats_of(&client);
    assert!(stats.size == 0 && stats.created >= 4, "{stats:?}");
}

fn a_replica_that_is_frozen_or_killed_fails_no_read(setup: Setup) {
    let servers = servers(&["master", "one", "two"]);
    let sentinel = FakeSentinel::telling(of(&servers[0], &[&servers[1], &servers[2]]));
    let tries = "timeout=10s&connect_timeout=1s&retry_on_timeout=true&attempt_timeout=300ms";
    let options = &format!("read_from=replica_preferred&{tries}");
    let client = setup.client(&url(&[sentinel.addr()]), options);
    assert_eq!(names(&client, 10), set(["one", "two"]));
    let read_on = |time| {
        let begin = Instant::now();
        let mut calls = 0;
        while begin.elapsed() < time {
            // The master, where a busy machine keeps both from answering in time.
            assert_ne!(client.run::<String>("GET name").unwrap(), "one");
            calls += 1;
        }
        calls
    };
    servers[1].freeze();
    assert!(read_on(Duration::from_millis(1500)) > 30);
    servers[1].thaw();
    eventually("it is used again", LIMIT, || names(&client, 10) == set(["one", "two"]));
    servers[1].kill();
    let before = Pool::stats_of(&client);
    // No storm of connections: pauses of an outage, or one try a second.
    let (time, begin) = (Duration::from_millis(1500), Instant::now());
    let calls = read_on(time);
    let tried = Pool::stats_of(&client).failed - before.failed;
    assert!((1..=24).contains(&tried), "{tried} attempts in {:?}, with {calls} calls", begin.elapsed());
    servers[1].restart();
    servers[1].command(&["SET", "name", "one"]).unwrap();
    eventually("it is used again", LIMIT, || names(&client, 10) == set(["one", "two"]));
}

fn replicas_come_and_go(setup: Setup) {
    let servers = servers(&["master", "one", "two", "three"]);
    let sentinel = FakeSentinel::telling(of(&servers[0], &[&servers[1], &servers[2]]));
    let options = "read_from=replica_preferred&client_name=reader&health_check_interval=200ms";
    let client = setup.lazy(&url(&[sentinel.addr()]), options).unwrap();
    let mut events = client.events();
    assert_eq!(names(&client, 10), set(["one", "two"]));
    sentinel.tell(of(&servers[0], &[&servers[1], &servers[2], &servers[3]]));
    eventually("the new one is used", LIMIT, || names(&client, 10) == set(["one", "two", "three"]));
    sentinel.tell(of(&servers[0], &[&servers[2], &servers[3]]));
    eventually("the old one is not", LIMIT, || names(&client, 10) == set(["two", "three"]));
    eventually("and it is left", LIMIT, || named_clients(&servers[1], "reader") == 0);
    let stats = Pool::stats_of(&client);
    // More, where a busy machine keeps a server from answering within the interval.
    assert!(stats.size == 2 && stats.created >= 4, "what was made is counted: {stats:?}");
    let mut ready = Vec::new();
    while let Some(event) = events.next_within(Duration::from_millis(50)) {
        if matches!(event.kind, EventKind::Ready(_)) {
            ready.push(event.address.to_string());
        }
    }
    assert!(ready.len() >= 4, "{ready:?}");
    assert!(servers[1..].iter().all(|server| ready.contains(&server.addr().to_string())), "{ready:?}");
    sentinel.tell(of(&servers[0], &[]));
    eventually("the master serves", LIMIT, || names(&client, 10) == set(["master"]));
}

/// Keys of a collection that is the same at each replica; but each has cursors of its own.
fn keys(servers: &[Server]) -> BTreeSet<String> {
    let keys: BTreeSet<_> = (0..300).map(|n| format!("key:{n}")).collect();
    let mut words = vec!["MSET"];
    words.extend(keys.iter().flat_map(|key| [key.as_str(), "x"]));
    servers.iter().for_each(|server| drop(server.command(&words).unwrap()));
    keys
}

fn a_scan_is_whole_while_calls_are_spread(setup: Setup) {
    let servers = servers(&["master", "one", "two", "three"]);
    let keys = keys(&servers);
    let sentinel = FakeSentinel::telling(of(&servers[0], &[&servers[1], &servers[2], &servers[3]]));
    // Also where nothing is known before.
    let client = setup.lazy(&url(&[sentinel.addr()]), "read_from=replica_preferred").unwrap();
    for _ in 0..3 {
        servers.iter().for_each(|server| drop(server.command(&["CONFIG", "RESETSTAT"]).unwrap()));
        let scanned = thread::scope(|scope| {
            let scan = scope.spawn(|| client.scan::<String>(ScanOptions::new().pattern("key:*").count(10)));
            names(&client, 20);
            scan.join().unwrap().unwrap()
        });
        assert_eq!(scanned.into_iter().collect::<BTreeSet<_>>(), keys);
        let asked = servers.iter().filter(|server| server.calls("scan") > 0).count();
        assert_eq!(asked, 1, "a cursor is of its server");
    }
}

fn a_scan_goes_on_where_its_replica_dies(setup: Setup) {
    let servers = servers(&["master", "one", "two"]);
    let keys = keys(&servers);
    let sentinel = FakeSentinel::telling(of(&servers[0], &[&servers[1], &servers[2]]));
    let client = setup.client(&url(&[sentinel.addr()]), "read_from=replica_preferred");
    let options = ScanOptions::new().pattern("key:*").count(10);
    let kill = || {
        let scanned = servers.iter().position(|server| server.calls("scan") > 0).unwrap();
        servers[scanned].kill();
    };
    let mut found = BTreeSet::new();
    match &client {
        Client::Tokio(client) => runtime().block_on(async {
            let mut scan = client.scan::<String>(options);
            found.insert(scan.next().await.unwrap().unwrap());
            kill();
            while let Some(key) = scan.next().await {
                found.insert(key.unwrap());
            }
        }),
        Client::Blocking(client) => {
            let mut scan = client.scan::<String>(options);
            found.insert(scan.next().unwrap().unwrap());
            kill();
            found.extend(scan.map(Result::unwrap));
        }
    }
    assert_eq!(found, keys);
}

/// And not with the first replica that failed.
fn the_time_of_a_page_begins_with_the_page(setup: Setup) {
    let servers = servers(&["master", "one", "two"]);
    let sentinel = FakeSentinel::telling(of(&servers[0], &[&servers[1], &servers[2]]));
    let options = "read_from=replica_preferred&timeout=600ms&retry_on_timeout=true&attempt_timeout=250ms";
    let client = setup.client(&url(&[sentinel.addr()]), options);
    assert_eq!(names(&client, 4), set(["one", "two"]));
    servers.iter().for_each(Server::freeze);
    let (scanned, took) = timed(|| client.scan::<String>(ScanOptions::new()));
    servers.iter().for_each(Server::thaw);
    assert!(scanned.is_err() && took < Duration::from_millis(600) + GRACE, "{took:?}");
}

fn each_connection_of_a_pool_leads_to_the_next(setup: Setup) {
    let servers = servers(&["master", "one", "two"]);
    let sentinel = FakeSentinel::telling(of(&servers[0], &[&servers[1], &servers[2]]));
    let pool = setup.open_pool(&url(&[sentinel.addr()]), "read_from=replica_preferred").unwrap();
    let mut leases: Vec<_> = (0..4).map(|_| pool.get().unwrap()).collect();
    let mut names: Vec<_> = leases.iter_mut().map(|lease| lease.run::<String>("GET name").unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["one", "one", "two", "two"]);
}

/// On RESP2 two connections to the same server are needed.
fn a_cache_keeps_what_one_replica_announces(setup: Setup) {
    let servers = replicated();
    let sentinel = FakeSentinel::telling(of(&servers[0], &[&servers[1], &servers[2], &servers[3]]));
    let client = setup.client(&url(&[sentinel.addr()]), "read_from=replica");
    for round in 0..6 {
        let cache = Cache::new(&client, CacheOptions::default());
        let read = || cache.run::<String>("GET key").unwrap();
        let written = format!("value {round}");
        servers[0].command(&["SET", "key", &written]).unwrap();
        eventually("the write is announced", LIMIT, || read() == written);
        eventually("it is kept", LIMIT, || {
            let before = cache.stats().hits;
            read() == written && cache.stats().hits > before
        });
    }
}

fn new_clients_begin_with_any_replica(setup: Setup) {
    let servers = servers(&["master", "one", "two"]);
    let sentinel = FakeSentinel::telling(of(&servers[0], &[&servers[1], &servers[2]]));
    let seen: BTreeSet<_> = (0..30)
        .map(|_| setup.client(&url(&[sentinel.addr()]), "read_from=replica_preferred"))
        .map(|client| client.run::<String>("GET name").unwrap())
        .collect();
    assert_eq!(seen, set(["one", "two"]));
}

fn the_master_stands_in_where_there_is_no_replica(setup: Setup) {
    let servers = servers(&["master"]);
    let sentinel = FakeSentinel::telling(of(&servers[0], &[]));
    let client = setup.client(&url(&[sentinel.addr()]), "read_from=replica_preferred");
    assert_eq!(client.run::<String>("GET name").unwrap(), "master");
    let error = setup.connect(&url(&[sentinel.addr()]), "read_from=replica").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Sentinel(SentinelFault::NoReplica), "{error}");
    // Where a replica must be one, a master is refused.
    sentinel.tell(of(&servers[0], &[&servers[0]]));
    let error = setup.connect(&url(&[sentinel.addr()]), "read_from=replica").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Sentinel(SentinelFault::NotMaster), "{error}");
}

/// As they wait for the only server: by their deadlines, not by a number of tries.
fn calls_wait_for_the_only_replica(setup: Setup) {
    let servers = replicated();
    let proxy = Proxy::start(servers[1].addr());
    let view = View { replicas: vec![proxy.addr()], publishes: true, ..View::of(servers[0].addr()) };
    let sentinel = FakeSentinel::telling(view);
    let client = setup.client(&url(&[sentinel.addr()]), "read_from=replica&timeout=10s");
    let get = || client.run::<String>("GET key").unwrap();
    assert_eq!(get(), "value");
    proxy.set(Direction::ToServer, Fault::Refuse);
    proxy.cut_all();
    thread::scope(|scope| {
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(get)).collect();
        let scan = scope.spawn(|| client.scan::<String>(ScanOptions::new()).unwrap());
        thread::sleep(Duration::from_millis(700));
        proxy.heal();
        calls.into_iter().for_each(|call| assert_eq!(call.join().unwrap(), "value"));
        let scanned: BTreeSet<_> = scan.join().unwrap().into_iter().collect();
        assert_eq!(scanned, set(["key", "stream"]));
    });
    eventually("it is used as before", LIMIT, || {
        get();
        // That of the client itself is closed again.
        setup.driver == Driver::Blocking || Pool::stats_of(&client).size == 1
    });
}

/// The sentinels have not noticed yet.
fn replicas_that_are_gone_are_passed_over(setup: Setup) {
    let servers = servers(&["master", "one", "two"]);
    let sentinel = FakeSentinel::telling(of(&servers[0], &[&servers[1], &servers[2]]));
    let client =
        setup.lazy(&url(&[sentinel.addr()]), "read_from=replica_preferred&timeout=10s&retries=20").unwrap();
    servers[1].kill();
    assert_eq!(names(&client, 10), set(["two"]));
    servers[2].kill();
    assert_eq!(names(&client, 10), set(["master"]));
    servers[1].restart();
    servers[1].command(&["SET", "name", "one"]).unwrap();
    eventually("the replica is used again", LIMIT, || names(&client, 3) == set(["one"]));
}

/// A replica that answers everything but `GET`, for which it has no data.
fn without_data(why: &'static str) -> FakeServer {
    FakeServer::answering(move |words| match words[0].to_ascii_uppercase().as_slice() {
        b"GET" => format!("-{why}\r\n").into_bytes(),
        b"HELLO" => b"-ERR unknown command 'HELLO'\r\n".to_vec(),
        b"ROLE" => b"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:0\r\n".to_vec(),
        b"PING" => b"+PONG\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    })
}

/// It loads, or has lost its master: others answer at once, and no call fails.
fn a_replica_without_data_is_passed_over(setup: Setup) {
    let servers = servers(&["master", "one"]);
    for why in [
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    ] {
        let empty = without_data(why);
        let view = |replicas| View { replicas, ..View::of(servers[0].addr()) };
        for (replicas, who) in
            [(vec![empty.addr()], "master"), (vec![empty.addr(), servers[1].addr()], "one")]
        {
            let sentinel = FakeSentinel::telling(view(replicas));
            let client = setup.client(&url(&[sentinel.addr()]), "read_from=replica_preferred");
            for _ in 0..20 {
                let name = client.run::<String>("GET name").unwrap();
                assert!(name == who || (name == "master" && who == "one"), "{name}");
            }
            // Eight callers at a time, some of them on connections of their own.
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| (0..20).for_each(|_| drop(client.run::<String>("GET name").unwrap())));
                }
            });
        }
        let asked = empty.received().iter().filter(|words| words[0] == b"GET").count();
        assert!(asked < 60, "{asked} of 720 calls were tried where there is no data");
    }
}
