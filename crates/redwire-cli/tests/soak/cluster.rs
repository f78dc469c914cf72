//! The drill on a cluster, while slots move and primaries are replaced.

use redwire_testkit::{ClusterSet, eventually, slot};

use crate::{Drill, LIMIT, assert_no_violation, number};

/// Waits until the drill has written to all nodes.
fn under_way(set: &ClusterSet) {
    eventually("the drill writes", LIMIT, || {
        set.primaries().iter().all(|index| {
            let size = set.node(*index).command(&["DBSIZE"]);
            size.is_ok_and(|size| size.parse::<u64>().is_ok_and(|size| size > 10))
        })
    });
}

/// Moves slots that have keys, key by key, from one primary to another, once all nodes agree.
fn move_slots(set: &ClusterSet, from: usize, to: usize) {
    set.wait_settled();
    // The counters of each task lie in the slot of its number; the others are chosen by chance.
    let slots = (0..8).map(|task| slot(task.to_string())).chain((0..16_384).step_by(97));
    for slot in slots.filter(|slot| set.owner(*slot) == from).take(40).collect::<Vec<_>>() {
        let moving = set.begin_move(slot, to);
        while moving.move_one_key() {}
        moving.end_move();
    }
}

#[track_caller]
fn assert_clean(set: &ClusterSet) {
    for index in set.primaries() {
        assert_eq!(set.node(index).command(&["DBSIZE"]).as_deref(), Ok("0"), "it leaves nothing behind");
    }
}

#[test]
fn slots_that_move_key_by_key_lose_and_double_nothing() {
    for blocking in [false, true] {
        let set = ClusterSet::builder().replicas(0).start();
        let drill = Drill::start(&set.url(), blocking, "--json --seconds 8 --deadline 2");
        under_way(&set);
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            move_slots(&set, from, to);
        }
        let json = drill.end().json(0);
        assert_no_violation(&json);
        assert_eq!(number(&json, "/lost_by_server"), 0, "{json}");
        assert!(number(&json, "/acknowledged") > 500, "{json}");
        assert_clean(&set);
    }
}

/// Replication is asynchronous: what a primary acknowledged last may be gone with it, and that is no
/// violation.
#[test]
fn primaries_that_are_killed_or_frozen_break_no_promise() {
    for blocking in [false, true] {
        let set = ClusterSet::start();
        let drill = Drill::start(&set.url(), blocking, "--json --seconds 16");
        under_way(&set);
        move_slots(&set, 1, 2);
        let heir = set.replica_of(0);
        set.kill(0);
        set.wait_promoted(heir);
        move_slots(&set, heir, 2);
        let heir = set.replica_of(1);
        set.freeze(1);
        set.wait_promoted(heir);
        set.node(1).thaw();
        move_slots(&set, 2, heir);
        let ended = drill.end();
        let json = ended.json(0);
        assert_no_violation(&json);
        assert!(number(&json, "/acknowledged") > 500, "{json}");
        assert!(number(&json, "/maybe_executed") > 0, "some were under way: {json}");
        assert_clean(&set);
    }
}
