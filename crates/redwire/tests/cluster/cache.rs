//! A client-side cache over many nodes: each announces what happens to its own keys, also when slots move and primaries are lost (I5).

use std::time::Duration;

use redwire::CacheOptions;
use redwire_testkit::{ClusterSet, eventually, slot};

use crate::common::cache::Cache;
use crate::common::{Client, LIMIT, Setup};

both!(reads_of_all_nodes_are_kept_and_changes_seen);

each!(what_moved_away_is_not_served, what_a_lost_node_kept_is_forgotten);

fn cached(setup: Setup, set: &ClusterSet) -> (Client, Cache) {
    let client = setup.client(&set.url(), "");
    for n in 0..60 {
        client.run::<()>(&format!("SET k{n} {n}")).unwrap();
    }
    let cache = Cache::new(&client, CacheOptions::default());
    eventually("changes are announced", LIMIT, || cache.is_tracking());
    (client, cache)
}

fn reads_of_all_nodes_are_kept_and_changes_seen(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let (client, cache) = cached(setup, &set);
    for _ in 0..3 {
        (0..60).for_each(|n| assert_eq!(cache.get(&format!("k{n}")), Some(n)));
    }
    let figures = cache.figures();
    assert_eq!((figures.hits, figures.misses, figures.entries), (120, 60, 60), "{figures:?}");
    // Somebody else, and this one.
    (0..60).for_each(|n| client.run::<()>(&format!("INCR k{n}")).unwrap());
    cache.sync().unwrap();
    (0..60).for_each(|n| assert_eq!(cache.get(&format!("k{n}")), Some(n + 1)));
    (0..60).for_each(|n| cache.run::<()>(&format!("INCR k{n}")).unwrap());
    (0..60).for_each(|n| assert_eq!(cache.get(&format!("k{n}")), Some(n + 2)));
    // Of several nodes at once: not kept, and right.
    let before = cache.figures().hits;
    assert_eq!(cache.run::<Vec<u64>>("MGET k1 k2 k3 k4").unwrap(), [3, 4, 5, 6]);
    assert_eq!(cache.figures().hits, before);
    // Everything, everywhere.
    cache.run::<()>("FLUSHALL").unwrap();
    (0..60).for_each(|n| assert_eq!(cache.get(&format!("k{n}")), None));
}

fn what_moved_away_is_not_served(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let (client, cache) = cached(setup, &set);
    let of = |key: &str| cache.get(key);
    for turn in 0..6 {
        let (key, value) = ("k7", 100 + turn);
        // Both what there is and what there is not.
        assert!(of(key).is_some() && of("{k7}missing").is_none());
        let owner = set.owner(slot(key));
        set.move_slot(slot(key), (owner + 1) % 3);
        // By this one's own client, which meets the redirection.
        client.run::<()>(&format!("SET {key} {value}")).unwrap();
        client.run::<()>(&format!("SET {{k7}}missing {value}")).unwrap();
        cache.sync().unwrap();
        assert_eq!((of(key), of("{k7}missing")), (Some(value), Some(value)), "{setup:?}, {turn}");
        client.run::<()>("DEL {k7}missing").unwrap();
        cache.sync().unwrap();
    }
}

fn what_a_lost_node_kept_is_forgotten(setup: Setup) {
    let set = ClusterSet::start();
    let (client, cache) = cached(setup, &set);
    let owner = set.owner(slot("k7"));
    assert_eq!(cache.get("k7"), Some(7));
    let next = set.replica_of(owner);
    set.kill(owner);
    set.wait_promoted(next);
    eventually("it is written to", Duration::from_secs(30), || client.run::<()>("SET k7 700").is_ok());
    eventually("the new one announces changes", LIMIT, || {
        cache.sync().unwrap();
        assert_eq!(cache.get("k7"), Some(700));
        cache.is_tracking()
    });
    let hits = cache.figures().hits;
    assert_eq!((cache.get("k7"), cache.get("k7")), (Some(700), Some(700)));
    assert!(cache.figures().hits > hits);
    client.run::<()>("SET k7 701").unwrap();
    cache.sync().unwrap();
    assert_eq!(cache.get("k7"), Some(701));
}
