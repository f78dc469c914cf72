//! Coming from Python: the package redis-py-cluster (`rediscluster`), example by example.
//!
//! `cargo run -p redwire --example from_redis_py_cluster` starts three primaries with a replica each for
//! itself. The steps are the examples of that package's document on connections. There is no pool of a
//! cluster to make: the client has one for each node.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use redwire::blocking::{Client, Cluster};
use redwire::cluster::{NodeChoice, slot};
use redwire::config::{Config, HostPort};
use redwire::prelude::*;
use redwire::{ErrorKind, Result, Run as _, cmd};
use redwire_testkit::{Authority, ClusterSet, Proxy, TlsFront};

fn main() -> Result<()> {
    let set = ClusterSet::start();
    default_and_custom_pool(&set)?;
    ssl_pool(&set)?;
    blocking_pool(&set)?;
    read_from_replicas(&set)?;
    pool_information(&set)?;
    remapped_addresses(&set)?;
    all_parameters(&set)
}

/// "Default connection pool" and "Custom connection pool".
fn default_and_custom_pool(set: &ClusterSet) -> Result<()> {
    println!("Default and custom connection pool");
    // RedisCluster(startup_nodes=[{"host": "127.0.0.1", "port": "7000"}]): one node is enough.
    let rc = Client::connect(&format!("redis+cluster://{}", set.node(0).address()))?;
    rc.set("foo", "bar")?;
    assert_eq!(rc.get::<String>("foo")?.as_deref(), Some("bar"));

    // ClusterConnectionPool(startup_nodes=[…, …, …], max_connections=32, max_connections_per_node=8). The
    // limit holds for each node, so a total of 32 over four nodes is 8 of each.
    let rc = Client::connect(&format!("{}?max_connections_per_node=8", set.url()))?;
    assert_eq!(rc.config().max_connections(), 8);
    assert_eq!(rc.get::<String>("foo")?.as_deref(), Some("bar"));
    println!("  {}", rc.config());
    Ok(())
}

/// "SSL connection pool": `connection_class=SSLClusterConnection` is the scheme `rediss+cluster`.
fn ssl_pool(set: &ClusterSet) -> Result<()> {
    println!("\nSSL connection pool");
    let authority = Authority::new();
    let us = authority.client("from_redis_py_cluster");
    // A front for each node that speaks TLS and asks for our certificate.
    let mut table = HashMap::new();
    let mut fronts = Vec::new();
    for node in set.nodes() {
        let front = TlsFront::builder(&authority.server()).require_client(&authority).start(node.address());
        table.insert(host_port(node.address()), host_port(front.address()));
        fronts.push(front);
    }
    let url = format!(
        "rediss+cluster://{}?ssl_cert_reqs=required&ssl_ca_certs={}&ssl_certfile={}&ssl_keyfile={}",
        fronts[0].address(),
        authority.pem_file().display(),
        us.cert_file.display(),
        us.key_file.display(),
    );
    let rc = Client::open(Config::builder().url(&url).remap(table).build()?)?;
    rc.mset_nonatomic([("a", 1), ("b", 2), ("c", 3)])?;
    assert_eq!(rc.mget_nonatomic::<Vec<i64>>(["a", "b", "c"])?, [1, 2, 3]);
    let used = fronts.iter().filter(|front| front.client_certificate().is_some()).count();
    assert!(used >= 3, "each primary was shown our certificate");
    println!("  {used} nodes by TLS");
    Ok(())
}

/// "Blocking pool with limited connections".
fn blocking_pool(set: &ClusterSet) -> Result<()> {
    println!("\nBlocking pool");
    // ClusterBlockingConnectionPool(…, max_connections=20, timeout=30), with one of all nodes and 0.2 s.
    let options = "max_cluster_connections=1&pool_timeout=200ms&timeout=30";
    let cluster = Cluster::connect(&format!("{}?{options}", set.url()))?;
    // get_connection_by_slot(slot)
    let (address, node) = cluster.nodes(NodeChoice::Slot(slot("foo"))).swap_remove(0);
    let held = node.pool().get()?;
    let asked = Instant::now();
    let error = cluster.client().get::<String>("foo").expect_err("the only one is in use");
    assert_eq!(error.kind(), ErrorKind::PoolExhausted);
    println!("  {address}, after {:.1?}: {error}", asked.elapsed());
    // release(connection)
    drop(held);
    assert_eq!(cluster.client().get::<String>("foo")?.as_deref(), Some("bar"));
    Ok(())
}

/// "Enable reading from replicas for load distribution" and "Read-only mode".
fn read_from_replicas(set: &ClusterSet) -> Result<()> {
    println!("\nReading from replicas");
    // RedisCluster(…, read_from_replicas=True, readonly_mode=False): primary and replicas in turn.
    let rc = Client::connect(&format!("{}?read_from_replicas=True", set.url()))?;
    rc.set("foo", "bar")?;
    wait_for_replicas(&rc)?;
    let shares = ten_gets(&rc, set, "bar")?;
    assert_eq!(shares.iter().filter(|share| **share > 0).count(), 2, "{shares:?}");
    println!("  in turn: {shares:?}");

    // RedisCluster(…, readonly_mode=True): all that reads goes to replicas. (With
    // read_from_replicas=True, too, primaries have their turn.) What writes goes to primaries as ever.
    let rc_readonly = Client::connect(&format!("{}?readonly_mode=True", set.url()))?;
    rc_readonly.set("foo", "baz")?;
    wait_for_replicas(&rc_readonly)?;
    let owner = set.owner(slot("foo"));
    let shares = ten_gets(&rc_readonly, set, "baz")?;
    assert_eq!((shares[owner], shares.iter().sum::<i64>()), (0, 10), "{shares:?}");
    println!("  by replicas: {shares:?}");
    Ok(())
}

/// Reads `foo` ten times, which must be `value`; how many of these GETs each node executed.
fn ten_gets(rc: &Client, set: &ClusterSet, value: &str) -> Result<Vec<i64>> {
    let gets = || set.nodes().iter().map(|node| node.calls("get")).collect::<Vec<_>>();
    let before = gets();
    for _ in 0..10 {
        assert_eq!(rc.get::<String>("foo")?.as_deref(), Some(value));
    }
    Ok(gets().iter().zip(before).map(|(after, before)| after - before).collect())
}

/// Until the replica of `foo` has what was written.
fn wait_for_replicas(rc: &Client) -> Result<()> {
    let cluster = rc.cluster().expect("it is a client of a cluster");
    let map = cluster.map();
    let shard = map.shard(slot("foo")).expect("all slots are covered");
    let written: Option<String> = cluster.node(&shard.primary.address).get("foo")?;
    for replica in &shard.replicas {
        // READONLY is a state of a connection, so it is one connection that asks.
        let mut connection = cluster.node(&replica.address).pool().get()?;
        connection.run::<()>(cmd("READONLY"))?;
        while connection.get::<String>("foo")? != written {
            thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

/// "Access connection pool information".
fn pool_information(set: &ClusterSet) -> Result<()> {
    println!("\nConnection pool information");
    let cluster = Cluster::connect(&set.url())?;
    let map = cluster.map();
    // pool.nodes.all_nodes(), with "server_type"; get_nodes_by_server_type("master") is
    // `cluster.nodes(NodeChoice::Primaries)`.
    for node in map.nodes() {
        let server_type = if map.is_primary(&node.address) { "master" } else { "slave" };
        println!("  Node: {} - {server_type}", node.address);
    }
    assert_eq!(map.nodes().count(), 6);
    // len(pool.nodes.slots)
    assert_eq!(map.covered(), 16_384);
    println!("  Total slots mapped: {}", map.covered());
    // pool.created_connections
    cluster.client().mget_nonatomic::<Vec<Option<String>>>(["a", "b", "c"])?;
    let created: u64 = cluster.stats().iter().map(|(_, stats)| stats.created).sum();
    assert!(created >= 3, "one of each primary");
    println!("  Active connections: {created}");

    // get_connection_by_node(node), get_random_connection(), disconnect(), reset()
    let address = map.primary(slot("foo")).expect("all slots are covered");
    cluster.node(address).pool().get()?.ping()?;
    cluster.nodes(NodeChoice::Random)[0].1.pool().get()?.ping()?;
    for (_, node) in cluster.nodes(NodeChoice::All) {
        node.pool().disconnect();
    }
    assert_eq!(cluster.refresh()?.covered(), 16_384);
    Ok(())
}

/// "Remap internal cluster addresses to external addresses".
fn remapped_addresses(set: &ClusterSet) -> Result<()> {
    println!("\nhost_port_remap");
    // {('internal-node1', 7000): ('external-node1.example.com', 7000), …}
    let proxies: Vec<_> =
        set.nodes().iter().map(|node| (node.address(), Proxy::start(node.address()))).collect();
    let host_port_remap: HashMap<_, _> =
        proxies.iter().map(|(inside, outside)| (host_port(*inside), host_port(outside.addr()))).collect();
    let url = format!("redis+cluster://{}", proxies[0].1.addr());
    let rc = Client::open(Config::builder().url(&url).remap(host_port_remap).build()?)?;
    rc.mset_nonatomic([("a", 1), ("b", 2), ("c", 3)])?;
    let used = proxies.iter().filter(|(_, outside)| outside.connections() > 0).count();
    assert!(used >= 3, "each primary was reached from outside");
    println!("  {used} nodes were reached by their external addresses");
    Ok(())
}

/// The last example: each parameter, in the URL.
fn all_parameters(set: &ClusterSet) -> Result<()> {
    println!("\nAll parameters");
    let options = [
        // init_slot_cache=True: `connect` asks for the map, `connect_lazy` does not.
        // max_connections=64: a total is nodes × limit, so the limit of each node says it.
        "max_connections_per_node=16",
        "reinitialize_steps=1000",
        "skip_full_coverage_check=False",
        "nodemanager_follow_cluster=True",
        "socket_timeout=5",
        "socket_connect_timeout=5",
        "retry_on_timeout=True",
        // decode_responses=True: `get::<String>`.
    ];
    let rc = Client::connect(&format!("{}?{}", set.url(), options.join("&")))?;
    let config = rc.config();
    assert_eq!((config.max_connections(), config.timeout()), (16, Some(Duration::from_secs(5))));
    assert!(config.cluster_options().require_full_coverage);
    println!("  {config}");
    rc.close(Duration::from_secs(1));
    Ok(())
}

fn host_port(address: std::net::SocketAddr) -> HostPort {
    HostPort::new(address.ip().to_string(), address.port())
}
