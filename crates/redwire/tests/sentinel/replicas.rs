//! Clients of replicas: in turn, the new ones too, and the master where there is none.

use redwire::{ErrorKind, SentinelFault};
use redwire_testkit::{FakeServer, Server, eventually};

use crate::common::{Client, LIMIT, Setup};
use crate::fake::{FakeSentinel, View, url};

both!(
    replicas_are_used_in_turn_and_new_ones_too,
    new_clients_begin_with_any_replica,
    the_master_stands_in_where_there_is_no_replica,
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

/// Whom one connection after the other leads to.
fn names(client: &Client, servers: &[Server], count: usize) -> Vec<String> {
    let ask = |_| {
        servers.iter().filter(|server| server.pid() != 0).for_each(|server| {
            server.kill_clients(&["TYPE", "normal"]);
        });
        client.run::<String>("GET name").unwrap()
    };
    (0..count).map(ask).collect()
}

fn of(master: &Server, replicas: &[&Server]) -> View {
    View { replicas: replicas.iter().map(|replica| replica.addr()).collect(), ..View::of(master.addr()) }
}

fn replicas_are_used_in_turn_and_new_ones_too(setup: Setup) {
    let servers = servers(&["master", "one", "two", "three"]);
    let sentinel = FakeSentinel::telling(of(&servers[0], &[&servers[1], &servers[2]]));
    let client = setup.client(&url(&[sentinel.addr()]), "read_from=replica_preferred&timeout=10s");
    let mut seen = names(&client, &servers, 4);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, ["one", "two"]);
    sentinel.tell(of(&servers[0], &[&servers[1], &servers[2], &servers[3]]));
    eventually("the new one is used", LIMIT, || names(&client, &servers, 1) == ["three"]);
}

fn new_clients_begin_with_any_replica(setup: Setup) {
    let servers = servers(&["master", "one", "two"]);
    let sentinel = FakeSentinel::telling(of(&servers[0], &[&servers[1], &servers[2]]));
    let mut seen: Vec<_> = (0..30)
        .map(|_| setup.client(&url(&[sentinel.addr()]), "read_from=replica_preferred"))
        .map(|client| client.run::<String>("GET name").unwrap())
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, ["one", "two"]);
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

/// The sentinels have not noticed yet.
fn replicas_that_are_gone_are_passed_over(setup: Setup) {
    let servers = servers(&["master", "one", "two"]);
    let sentinel = FakeSentinel::telling(of(&servers[0], &[&servers[1], &servers[2]]));
    let client =
        setup.lazy(&url(&[sentinel.addr()]), "read_from=replica_preferred&timeout=10s&retries=20").unwrap();
    servers[1].kill();
    assert_eq!(client.run::<String>("GET name").unwrap(), "two");
    servers[2].kill();
    assert_eq!(client.run::<String>("GET name").unwrap(), "master");
    servers[1].restart();
    servers[1].command(&["SET", "name", "one"]).unwrap();
    servers[0].kill_clients(&["TYPE", "normal"]);
    eventually("the replica is used again", LIMIT, || {
        client.run::<String>("GET name").is_ok_and(|name| name == "one") || {
            servers[0].kill_clients(&["TYPE", "normal"]);
            false
        }
    });
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
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| (0..20).for_each(|_| drop(client.run::<String>("GET name").unwrap())));
                }
            });
        }
        let asked = empty.received().iter().filter(|words| words[0] == b"GET").count();
        assert!(asked < 60, "{asked} of 720 calls were tried where there is no data");
    }
}
