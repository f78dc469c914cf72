//! Clients of replicas: in turn, the new ones too, and the master where there is none.

use redwire::{ErrorKind, SentinelFault};
use redwire_testkit::{Server, eventually};

use crate::common::{Client, LIMIT, Setup};
use crate::fake::{FakeSentinel, View, url};

both!(
    replicas_are_used_in_turn_and_new_ones_too,
    the_master_stands_in_where_there_is_no_replica,
    replicas_that_are_gone_are_passed_over,
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
