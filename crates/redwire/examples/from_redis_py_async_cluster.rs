//! Coming from Python: redis-py's `RedisCluster`, asyncio.
//!
//! `cargo run -p redwire --example from_redis_py_async_cluster` starts three primaries with a replica each
//! for itself. The steps are the methods and parameters of `RedisCluster` and `ClusterPipeline` in the
//! document "Connecting to Redis". `from_redis_py_cluster` is the package redis-py-cluster, by threads.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::collections::HashMap;
use std::time::Duration;

use redwire::cluster::{NodeChoice, slot, slot_of};
use redwire::config::{Config, HostPort};
use redwire::prelude::*;
use redwire::pubsub::SubscriptionEvent;
use redwire::{Client, Cluster, ClusterFault, ErrorKind, Result, cmd};
use redwire_testkit::ClusterSet;

#[tokio::main]
async fn main() -> Result<()> {
    let set = ClusterSet::start();
    // RedisCluster(startup_nodes=[ClusterNode(…), …]), await rc.initialize()
    let rc = Client::connect(&set.url()).await?;
    pipeline(&rc).await?;
    several_slots(&rc).await?;
    let cluster = rc.cluster().expect("it is a client of a cluster");
    nodes(&cluster).await?;
    target_nodes(&cluster).await?;
    monitor_and_pubsub(&cluster).await?;
    parameters(&set).await?;
    rc.close(Duration::from_secs(1)).await;
    Ok(())
}

/// The example of `ClusterPipeline`.
async fn pipeline(rc: &Client) -> Result<()> {
    println!("ClusterPipeline");
    // One result for each command. In Python those that are split over nodes give several.
    let result = rc
        .pipeline(|p| {
            (
                p.set("A", 1),
                p.get::<String>("A"),
                p.hset("K", "F", "V"),
                p.hgetall::<HashMap<String, String>>("K"),
                p.mset_nonatomic([("A", 2), ("B", 3)]),
                p.get::<String>("A"),
                p.get::<String>("B"),
                p.del(["A", "B", "K"]),
            )
        })
        .await?;
    // [True, "1", 1, {"F": "V"}, True, True, "2", "3", 1, 1, 1]
    let text = |text: &str| Some(text.to_owned());
    let fields = HashMap::from([("F".to_owned(), "V".to_owned())]);
    assert_eq!(result, ((), text("1"), true, fields, (), text("2"), text("3"), 3));
    println!("  {result:?}");

    // execute(raise_on_error=False)
    let (ok, failed) = rc.pipeline(|p| (p.set("A", "text"), p.incr("A").attempt())).await?;
    println!("  {ok:?}, {}", failed.expect_err("a text is no number"));
    Ok(())
}

/// `keyslot`, `determine_slot`, `mget_nonatomic`, and what is refused over several slots.
async fn several_slots(rc: &Client) -> Result<()> {
    println!("\nslots");
    assert_eq!(slot("foo"), 12_182);
    assert_eq!(slot_of(&cmd::<()>("SET").arg("foo").arg("bar"))?, Some(12_182));
    rc.mset_nonatomic([("a", 1), ("b", 2), ("c", 3)]).await?;
    let values: Vec<i64> = rc.mget_nonatomic(["a", "b", "c"]).await?;
    assert_eq!(values, [1, 2, 3]);
    println!("  {values:?} from slots {:?}", ["a", "b", "c"].map(slot));

    // A transaction is within one slot; redis-py has none in a cluster.
    let error = rc.atomic(|p| (p.incr("a"), p.incr("b"))).await.expect_err("two slots");
    assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::CrossSlot));
    println!("  {error}");
    assert_eq!(rc.atomic(|p| (p.incr("{n}a"), p.incr("{n}b"))).await?, (1, 1));
    Ok(())
}

/// `get_nodes`, `get_primaries`, `get_replicas`, `get_random_node`, `get_node`, `get_node_from_key`,
/// `get_default_node`, `set_default_node`.
async fn nodes(cluster: &Cluster) -> Result<()> {
    println!("\nnodes");
    let map = cluster.map();
    assert_eq!(cluster.nodes(NodeChoice::All).len(), 6);
    assert_eq!(cluster.nodes(NodeChoice::Primaries).len(), 3);
    assert_eq!(cluster.nodes(NodeChoice::Replicas).len(), 3);
    assert_eq!(cluster.nodes(NodeChoice::Random).len(), 1);
    // get_node_from_key(key), get_node_from_key(key, replica=True)
    let shard = map.shard(slot("foo")).expect("all slots are covered");
    assert_eq!(cluster.nodes(NodeChoice::Key(b"foo".to_vec()))[0].0, shard.primary.address);
    println!("  foo is at {}, and at its replica {}", shard.primary.address, shard.replicas[0].address);
    // get_node(node_name=…), get_node(host, port)
    assert_eq!(cluster.nodes(NodeChoice::Named(shard.primary.id.clone()))[0].0, shard.primary.address);
    cluster.node(&shard.primary.address).ping().await?;

    // set_default_node(node); DataError for a node that does not exist in the cluster.
    assert_eq!(cluster.default_node(), None);
    cluster.set_default_node(Some(shard.primary.address.clone()))?;
    assert_eq!(cluster.default_node().as_ref(), Some(&shard.primary.address));
    // There go commands without a key that concern one node.
    let id: String = cluster.client().execute(cmd("CLUSTER MYID")).await?;
    assert_eq!(id, shard.primary.id);
    let error = cluster.set_default_node(Some(HostPort::new("stranger", 1))).expect_err("no such node");
    println!("  {error}");
    Ok(())
}

/// `execute_command(…, target_nodes=…)`.
async fn target_nodes(cluster: &Cluster) -> Result<()> {
    println!("\ntarget_nodes");
    let nodes: Vec<_> = cluster.map().nodes().map(|node| node.address.clone()).take(2).collect();
    for (flag, choice, count) in [
        ("ALL_NODES", NodeChoice::All, 6),
        ("PRIMARIES", NodeChoice::Primaries, 3),
        ("REPLICAS", NodeChoice::Replicas, 3),
        ("RANDOM", NodeChoice::Random, 1),
        ("[node, node]", NodeChoice::At(nodes), 2),
    ] {
        let answers = cluster.execute_on(choice, &cmd::<String>("PING")).await;
        assert_eq!(answers.len(), count);
        assert!(answers.iter().all(|(_, answer)| answer.as_ref().is_ok_and(|pong| pong == "PONG")));
        println!("  {flag}: {count} answers");
    }
    Ok(())
}

/// `monitor(target_node)`, `pubsub(node)`.
async fn monitor_and_pubsub(cluster: &Cluster) -> Result<()> {
    println!("\nmonitor, pubsub");
    let (address, node) = cluster.nodes(NodeChoice::Key(b"foo".to_vec())).swap_remove(0);
    let mut monitor = node.monitor().await?;
    cluster.client().set("foo", "bar").await?;
    loop {
        let entry = monitor.next().await.expect("it is not over")?;
        if entry.command[0] == b"SET" {
            assert_eq!(entry.command, [&b"SET"[..], b"foo", b"bar"]);
            println!("  {address} executed a SET");
            break;
        }
    }
    let mut subscription = node.subscribe("news").await?;
    cluster.client().publish("news", "hello").await?;
    let event = subscription.next().await;
    let Some(SubscriptionEvent::Message(message)) = event else { panic!("expected a message: {event:?}") };
    assert_eq!(message.text()?, "hello");
    println!("  {address} passed on {:?}", message.text()?);
    Ok(())
}

/// The parameters of `RedisCluster`.
async fn parameters(set: &ClusterSet) -> Result<()> {
    println!("\nparameters");
    // require_full_coverage=True, reinitialize_steps=5, dynamic_startup_nodes=True, read_from_replicas=True,
    // max_connections=20 (of each node). cluster_error_retry_attempts: a call waits for the cluster until its
    // `timeout`.
    let options = "require_full_coverage=True&reinitialize_steps=5&dynamic_startup_nodes=True\
                   &read_from_replicas=True&max_connections=20&socket_timeout=5";
    let rc = Client::connect(&format!("{}?{options}", set.url())).await?;
    println!("  {}", rc.config());
    // "RedisClusterException if any arguments are invalid": db != 0, where the cluster has one database.
    let error = Client::connect(&format!("{}?db=1", set.url())).await.expect_err("there is one database");
    println!("  {error}");
    let error = Config::from_url(&format!("{}?path=/tmp/socket", set.url())).expect_err("it has no path");
    println!("  {error}");
    Ok(())
}
