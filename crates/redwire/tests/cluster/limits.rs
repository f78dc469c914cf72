//! One limit for the connections to all nodes of a cluster (`max_cluster_connections`): who gets a place, who
//! waits, and that none is lost. REFERENCE K7.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use redwire::config::HostPort;
use redwire::pool::CloseReason;
use redwire::{ErrorKind, Outcome, Value};
use redwire_testkit::{ClusterSet, eventually};

use crate::common::pool::Pool;
use crate::common::{Client, Driver, LIMIT, Setup, runtime, timed};
use crate::{in_time, keys_of};

each!(
    all_nodes_together_have_no_more_connections,
    a_crowd_at_all_nodes_loses_no_place,
    nodes_that_go_and_come_keep_within_it,
);

/// So many connections may be lent at a time in these tests.
const LENT: usize = 4;

/// A client of three nodes. Calls of the async one share a connection to each, and those are counted, too.
fn client(setup: Setup, set: &ClusterSet, options: &str) -> Client {
    let shared = if setup.driver == Driver::Tokio { 3 } else { 0 };
    let and = if options.is_empty() { "" } else { "&" };
    let options = format!("max_cluster_connections={}&client_name=limited{and}{options}", LENT + shared);
    let client = setup.client(&set.url(), &options);
    // All nodes are known, and with them what is beside their pools.
    assert_eq!(pools(&client, set).len(), 3);
    client
}

/// The pool of each primary.
fn pools(client: &Client, set: &ClusterSet) -> Vec<Pool> {
    let at = |node: usize| HostPort::new("127.0.0.1", set.node(node).port());
    let pool = |node: usize| match client {
        Client::Tokio(client) => Pool::Tokio(client.cluster().unwrap().node(&at(node)).pool().clone()),
        Client::Blocking(client) => Pool::Blocking(client.cluster().unwrap().node(&at(node)).pool().clone()),
    };
    (0..3).map(pool).collect()
}

fn displaced(pools: &[Pool]) -> u64 {
    pools.iter().map(|pool| pool.stats().closed(CloseReason::Displaced)).sum()
}

fn size(pools: &[Pool]) -> usize {
    pools.iter().map(|pool| pool.stats().size).sum()
}

fn all_nodes_together_have_no_more_connections(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    who_will_not_wait_is_refused(setup, &set);
    an_idle_connection_leaves_its_place(setup, &set);
    callers_of_all_nodes_stand_in_one_line(setup, &set);
    a_child_of_calls_is_served(setup, &set);
}

fn who_will_not_wait_is_refused(setup: Setup, set: &ClusterSet) {
    let client = client(setup, set, "pool_timeout=0");
    let pools = pools(&client, set);
    let mut held: Vec<_> = [0, 0, 1, 1].iter().map(|which| pools[*which].get().unwrap()).collect();
    let said = "`max_cluster_connections`) are in use";
    let (error, took) = timed(|| pools[2].get().unwrap_err());
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::PoolExhausted, Outcome::NotSent), "{error}");
    assert!(error.message().contains(said), "{error}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(pools[2].stats().exhausted, 1);
    // Of its own node, too; and a call that needs a connection for itself.
    assert!(pools[0].get().unwrap_err().message().contains(said));
    let key = &keys_of(set, 2, "key", 1)[0];
    let error = client.run::<Value>(&format!("BLPOP {key} 1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PoolExhausted, "{error}");
    assert!(error.message().contains(said), "{error}");
    // What calls share is there all the same; without any, a call needs one.
    assert_eq!(client.run::<Value>(&format!("GET {key}")).is_ok(), setup.driver == Driver::Tokio);
    held.pop();
    assert_eq!(pools[2].run::<String>("PING").unwrap(), "PONG");
    assert_eq!((size(&pools), displaced(&pools)), (LENT, 1));
    assert!(client.run::<Value>(&format!("GET {key}")).is_ok());
}

/// The oldest of those that are idle, and no other.
fn an_idle_connection_leaves_its_place(setup: Setup, set: &ClusterSet) {
    let client = client(setup, set, "");
    let pools = pools(&client, set);
    let held: Vec<_> = (0..LENT).map(|_| pools[0].get().unwrap()).collect();
    drop(held);
    assert_eq!(pools[0].stats().idle, LENT);
    let one = pools[1].get().unwrap();
    assert_eq!((pools[0].stats().idle, displaced(&pools), size(&pools)), (LENT - 1, 1, LENT));
    let others: Vec<_> = (1..LENT).map(|_| pools[2].get().unwrap()).collect();
    assert_eq!((pools[0].stats().size, displaced(&pools), size(&pools)), (0, LENT as u64, LENT));
    // A wait ends with its limit, and says for what it was.
    let limit = Duration::from_millis(200);
    let (error, took) = timed(|| pools[0].get_within(limit).unwrap_err());
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
    assert!(error.message().contains("`max_cluster_connections`"), "{error}");
    assert!(took >= limit);
    in_time(took, limit);
    drop((one, others));
    // The one that gave up waits no longer.
    assert_eq!((size(&pools), displaced(&pools)), (LENT, LENT as u64));
}

fn callers_of_all_nodes_stand_in_one_line(setup: Setup, set: &ClusterSet) {
    let client = client(setup, set, "timeout=30s");
    let pools = pools(&client, set);
    let mut held: Vec<_> = (0..LENT).map(|_| pools[0].get().unwrap()).collect();
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        let line = [1, 0, 2, 1, 2, 0];
        for (place, which) in line.into_iter().enumerate() {
            let (pool, served) = (&pools[which], &served);
            let before = pool.stats().waiting;
            scope.spawn(move || {
                let lease = pool.get().unwrap();
                assert_eq!(served.fetch_add(1, Ordering::SeqCst), place);
                drop(lease);
            });
            eventually("it waits", LIMIT, || pool.stats().waiting == before + 1);
        }
        // One place goes through the hands of all.
        drop(held.pop());
        eventually("all are served", LIMIT, || served.load(Ordering::SeqCst) == line.len());
    });
    assert_eq!(size(&pools), LENT);
}

/// Parts of one call at all nodes, each of which needs a connection.
fn a_child_of_calls_is_served(setup: Setup, set: &ClusterSet) {
    let client = client(setup, set, "timeout=30s");
    let pools = pools(&client, set);
    let held: Vec<_> = (1..LENT).map(|_| pools[0].get().unwrap()).collect();
    let keys: Vec<_> = (0..3).flat_map(|node| keys_of(set, node, "part", 2)).collect();
    for _ in 0..10 {
        let values = client.run::<Vec<Option<String>>>(&format!("MGET {}", keys.join(" "))).unwrap();
        assert_eq!(values, vec![None; 6]);
    }
    drop(held);
    assert!(size(&pools) <= LENT);
}

/// Callers of any node, who hold a connection, give up, or break it.
fn a_crowd_at_all_nodes_loses_no_place(setup: Setup) {
    const CALLERS: usize = 12;
    const TIMES: usize = 40;
    let set = ClusterSet::builder().replicas(0).start();
    let client = client(setup, &set, "timeout=60s&max_connecting=2");
    let (pools, most) = (pools(&client, &set), AtomicUsize::new(0));
    let in_use = AtomicUsize::new(0);
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (pools, in_use, most, client) = (&pools, &in_use, &most, &client);
            scope.spawn(move || {
                for time in 0..TIMES {
                    let pool = &pools[(caller * 7 + time * 5 + time / 3) % 3];
                    match (caller + time) % 9 {
                        0 => drop(pool.get_within(Duration::from_micros(300))),
                        1 => drop(client.run::<Value>(&format!("GET {caller}:{time}")).unwrap()),
                        kind => {
                            let mut lease = pool.get().unwrap();
                            most.fetch_max(in_use.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            assert_eq!(lease.run::<String>("PING").unwrap(), "PONG");
                            in_use.fetch_sub(1, Ordering::SeqCst);
                            if kind == 2 {
                                lease.discard();
                            }
                        }
                    }
                }
            });
        }
    });
    assert!(most.load(Ordering::SeqCst) <= LENT, "{most:?}");
    // An attempt for a caller that gave up may still be under way.
    eventually("all is back", LIMIT, || {
        pools.iter().all(|pool| pool.stats().idle == pool.stats().size && pool.stats().waiting == 0)
    });
    assert!(size(&pools) <= LENT);
    for pool in &pools {
        let held: Vec<_> = (0..LENT).map(|_| pool.get().unwrap()).collect();
        assert_eq!((held.len(), size(&pools)), (LENT, LENT));
    }
    assert!(displaced(&pools) > 0);
}

/// What is beside the pools of nodes that are met, and of those that are left.
fn nodes_that_go_and_come_keep_within_it(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let client = client(setup, &set, "timeout=30s");
    let pools = pools(&client, &set);
    let held: Vec<_> = (0..LENT).map(|_| pools[0].get().unwrap()).collect();
    let added = HostPort::new("127.0.0.1", set.node(set.add_node()).port());
    let new = match &client {
        Client::Tokio(client) => Pool::Tokio(client.cluster().unwrap().node(&added).pool().clone()),
        Client::Blocking(client) => Pool::Blocking(client.cluster().unwrap().node(&added).pool().clone()),
    };
    drop(held);
    // The connection that the calls to the new node share takes a place.
    let lent = if setup.driver == Driver::Tokio { LENT - 1 } else { LENT };
    assert_eq!(size(&pools), lent);
    let held: Vec<_> = (0..lent).map(|_| new.get().unwrap()).collect();
    assert_eq!((size(&pools), new.stats().size), (0, lent));
    drop((held, new));
    // It is in no map, as it serves no slot: with the next, it is forgotten.
    let refreshed = match &client {
        Client::Tokio(client) => runtime().block_on(client.cluster().unwrap().refresh()).map(drop),
        Client::Blocking(client) => client.cluster().unwrap().refresh().map(drop),
    };
    refreshed.unwrap();
    let held: Vec<_> = (0..LENT).map(|_| pools[1].get().unwrap()).collect();
    assert_eq!((held.len(), size(&pools)), (LENT, LENT));
}
