//! A client-side cache over many nodes: each announces what happens to its own keys, also when slots move and
//! primaries are lost (I5).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::cache::CacheOptions;
use redwire_testkit::{ClusterSet, eventually, slot};

use crate::common::cache::Cache;
use crate::common::{Client, LIMIT, Setup};
use crate::fake::{self, FakeNode};

both!(reads_of_all_nodes_are_kept_and_changes_seen);

each!(
    what_moved_away_is_not_served,
    what_a_lost_node_kept_is_forgotten,
    a_former_primary_is_no_authority,
    nothing_old_is_read_after_sync_while_primaries_change,
);

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
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.entries), (120, 60, 60), "{stats:?}");
    // Another client, and this one.
    (0..60).for_each(|n| client.run::<()>(&format!("INCR k{n}")).unwrap());
    cache.sync().unwrap();
    (0..60).for_each(|n| assert_eq!(cache.get(&format!("k{n}")), Some(n + 1)));
    (0..60).for_each(|n| cache.run::<()>(&format!("INCR k{n}")).unwrap());
    (0..60).for_each(|n| assert_eq!(cache.get(&format!("k{n}")), Some(n + 2)));
    // Of several nodes at once: not kept, and right.
    let before = cache.stats().hits;
    assert_eq!(cache.run::<Vec<u64>>("MGET k1 k2 k3 k4").unwrap(), [3, 4, 5, 6]);
    assert_eq!(cache.stats().hits, before);
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
    let hits = cache.stats().hits;
    assert_eq!((cache.get("k7"), cache.get("k7")), (Some(700), Some(700)));
    assert!(cache.stats().hits > hits);
    client.run::<()>("SET k7 701").unwrap();
    cache.sync().unwrap();
    assert_eq!(cache.get("k7"), Some(701));
}

/// It answers as before, and says nothing of what is written to its successor.
fn a_former_primary_is_no_authority(setup: Setup) {
    let (one, two) = (FakeNode::start(), FakeNode::start());
    one.map(&[(0, 16383, &[one.addr(), two.addr()])]);
    two.map(&[(0, 16383, &[one.addr(), two.addr()])]);
    let was_replaced = Arc::new(AtomicBool::new(false));
    let says = |port: u16, value: u64| {
        let was_replaced = Arc::clone(&was_replaced);
        move |words: &[&str]| match (words, was_replaced.load(Ordering::SeqCst) == (value == 2)) {
            (["SUBSCRIBE", channel], _) => {
                format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{channel}\r\n:1\r\n", channel.len())
            }
            (["ROLE"], true) => "*3\r\n$6\r\nmaster\r\n:1\r\n*0\r\n".to_owned(),
            (["ROLE"], false) => "*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:1\r\n".to_owned(),
            (["GET", _], true) => format!(":{value}\r\n"),
            (["GET", _], false) => format!("-MOVED 7629 127.0.0.1:{port}\r\n"),
            _ => "+PONG\r\n".to_owned(),
        }
    };
    one.answer(says(two.addr().port(), 1));
    two.answer(says(one.addr().port(), 2));
    let client = setup.client(&fake::url(&[one.addr(), two.addr()]), "");
    let cache = Cache::new(&client, CacheOptions::default());
    eventually("changes are announced", LIMIT, || cache.is_tracking());
    cache.sync().unwrap();
    assert_eq!((cache.get("k"), cache.get("k"), one.asked("GET")), (Some(1), Some(1), 1));
    was_replaced.store(true, Ordering::SeqCst);
    assert_eq!(cache.get("k"), Some(1), "it was not announced");
    cache.sync().unwrap();
    assert_eq!(cache.get("k"), Some(2));
}

/// Writers count up, each on keys of its own, and readers look what was acknowledged before they synchronise.
/// FAULTS 119.
fn nothing_old_is_read_after_sync_while_primaries_change(setup: Setup) {
    const KEYS: usize = 24;
    let set = ClusterSet::start();
    let (client, cache) = cached(setup, &set);
    let acknowledged: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let (done, old, syncs) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    (0..KEYS).for_each(|key| client.run::<()>(&format!("SET k{key} 0")).unwrap());
    thread::scope(|scope| {
        let ended = &done;
        for writer in 0..4 {
            let (client, acknowledged) = (setup.client(&set.url(), ""), &acknowledged);
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(writer);
                for value in 1_u64.. {
                    let key = writer as usize + 4 * rng.usize(..KEYS / 4);
                    // A failover may leave it in doubt: then it is written over, and not looked for.
                    if client.run::<()>(&format!("SET k{key} {value}")).is_ok() {
                        acknowledged[key].store(value, Ordering::SeqCst);
                    }
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        for reader in 0..6 {
            let (cache, acknowledged, old, syncs) = (&cache, &acknowledged, &old, &syncs);
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(100 + reader);
                while !ended.load(Ordering::Relaxed) {
                    let keys: Vec<usize> = (0..4).map(|_| rng.usize(..KEYS)).collect();
                    let least: Vec<u64> =
                        keys.iter().map(|key| acknowledged[*key].load(Ordering::SeqCst)).collect();
                    if cache.sync().is_err() {
                        continue;
                    }
                    syncs.fetch_add(1, Ordering::Relaxed);
                    for (key, least) in keys.into_iter().zip(least) {
                        let read = cache.run::<Option<u64>>(&format!("GET k{key}"));
                        let is_old = read.is_ok_and(|read| read < Some(least));
                        old.fetch_add(u64::from(is_old), Ordering::Relaxed);
                    }
                }
            });
        }
        let (begin, mut turns) = (Instant::now(), 0);
        while begin.elapsed() < Duration::from_secs(2) {
            let primary = set.primaries()[turns % 3];
            set.failover(set.replica_of(primary));
            turns += 1;
            thread::sleep(Duration::from_millis(700));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(old.load(Ordering::Relaxed), 0, "of {}", syncs.load(Ordering::Relaxed));
}
