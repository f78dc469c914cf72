//! SCAN over a whole cluster: every key that is there from beginning to end comes up, also while slots move
//! and primaries are lost.

use std::collections::BTreeSet;
use std::thread;

use redwire::{ErrorKind, Result, ScanOptions, cmd};
use redwire_testkit::{ClusterSet, eventually, slot};

use crate::common::{Client, LIMIT, Setup, runtime};

each!(
    all_keys_of_all_nodes_come_up,
    none_is_missed_while_slots_move,
    none_is_missed_when_a_primary_is_lost,
    a_cluster_that_is_gone_is_told
);

const KEYS: usize = 600;

fn filled(setup: Setup, set: &ClusterSet, options: &str) -> Client {
    let client = setup.client(&set.url(), options);
    for n in 0..KEYS {
        client.run::<()>(&format!("SET key:{n} {n}")).unwrap();
    }
    client
}

fn scanned(client: &Client, options: ScanOptions) -> BTreeSet<String> {
    client.scan::<String>(options).unwrap().into_iter().collect()
}

/// All items, errors among them; no more than would come if each came twice.
fn items(client: &Client) -> Vec<Result<String>> {
    match client {
        Client::Tokio(client) => runtime().block_on(async {
            let (mut scan, mut items) = (client.scan(ScanOptions::new()), Vec::new());
            while items.len() < 2 * KEYS
                && let Some(item) = scan.next().await
            {
                items.push(item);
            }
            items
        }),
        Client::Blocking(client) => client.scan(ScanOptions::new()).take(2 * KEYS).collect(),
    }
}

/// All that are to come up.
fn stable() -> BTreeSet<String> {
    (0..KEYS).map(|n| format!("key:{n}")).collect()
}

fn all_keys_of_all_nodes_come_up(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let client = filled(setup, &set, "");
    client.run::<()>("HSET {h}ash f v g w").unwrap();
    let mut all = stable();
    all.insert("{h}ash".to_owned());
    assert_eq!(scanned(&client, ScanOptions::new()), all);
    assert_eq!(scanned(&client, ScanOptions::new().kind("hash")), BTreeSet::from(["{h}ash".to_owned()]));
    let tens = scanned(&client, ScanOptions::new().pattern("key:1?").count(7));
    assert_eq!(tens, (10..20).map(|n| format!("key:{n}")).collect());
    // One that has not met the cluster yet.
    let late = setup.lazy(&set.url(), "").unwrap();
    assert_eq!(scanned(&late, ScanOptions::new().count(1000)), all);
    // A key that is no text is an error in its place.
    client.execute::<()>(cmd("SET").arg(b"\xff").arg(1)).unwrap();
    let (texts, errors): (Vec<_>, Vec<_>) = items(&client).into_iter().partition(Result::is_ok);
    assert_eq!(texts.into_iter().flatten().collect::<BTreeSet<_>>(), all);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].as_ref().unwrap_err().kind(), ErrorKind::Decode);
}

fn none_is_missed_while_slots_move(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let client = filled(setup, &set, "refresh_pause=100ms");
    thread::scope(|scope| {
        let moving = scope.spawn(|| {
            let slots: BTreeSet<u16> = (0..KEYS).map(|n| slot(format!("key:{n}"))).collect();
            let slots: Vec<u16> = slots.into_iter().filter(|slot| set.owner(*slot) == 0).take(40).collect();
            // One node at a time is given slots: two at once may choose the same epoch, and a slot be lost
            // over that.
            for to in [1, 0, 2] {
                slots.iter().for_each(|slot| set.move_slot(*slot, to));
                set.wait_settled();
            }
        });
        let mut rounds = 0;
        while !moving.is_finished() || rounds == 0 {
            let missing: Vec<_> =
                stable().difference(&scanned(&client, ScanOptions::new().count(20))).cloned().collect();
            assert!(missing.is_empty(), "{setup:?}, round {rounds}: {missing:?}");
            rounds += 1;
        }
        moving.join().unwrap();
        println!("{setup:?}: {rounds} rounds");
    });
}

fn none_is_missed_when_a_primary_is_lost(setup: Setup) {
    let set = ClusterSet::start();
    let client = filled(setup, &set, "timeout=30s");
    for node in 0..3 {
        // What was written is at the replicas.
        let replica = set.node(set.replica_of(node));
        let size = |node: usize| set.node(node).command(&["DBSIZE"]).unwrap();
        eventually("the replica has all", LIMIT, || replica.command(&["DBSIZE"]).unwrap() == size(node));
    }
    let next = set.replica_of(0);
    set.kill(0);
    assert_eq!(scanned(&client, ScanOptions::new().count(20)), stable());
    set.wait_promoted(next);
    assert_eq!(scanned(&client, ScanOptions::new()), stable());
}

fn a_cluster_that_is_gone_is_told(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let client = filled(setup, &set, "timeout=1s");
    (0..3).for_each(|node| set.node(node).kill());
    let error = client.scan::<String>(ScanOptions::new()).unwrap_err();
    let expected = matches!(error.kind(), ErrorKind::Connection(_) | ErrorKind::Timeout);
    assert!(expected, "{error}");
}
