//! The cluster as one of its nodes sees it, and how it is arranged: each test on clients of single nodes.

use std::time::{Duration, Instant};

use redwire::commands::{
    ClusterFailoverMode, ClusterResetMode, FlushMode, SlotMoves, SlotState, SlotStatsQuery,
};
use redwire::prelude::*;
use redwire_testkit::{ClusterSet, Node, Server, eventually};

use crate::each_client;
use crate::harness::{has, since};

const LIMIT: Duration = Duration::from_secs(30);

/// The slot of `foo`, whose owner has it.
const FOO: u16 = 12_182;

#[test]
fn a_node_tells_about_its_cluster() {
    let cluster = ClusterSet::builder().primaries(3).replicas(1).start();
    let owner = cluster.owner(FOO);
    let (id, replica) = (cluster.id(owner), cluster.id(cluster.replica_of(owner)));
    let node = cluster.node(owner);
    each_client!(on node, |c, key| {
        let info = run!(c.cluster_info());
        assert!(info.is_ok && info.slots_assigned == 16_384 && info.slots_ok == 16_384);
        assert_eq!((info.known_nodes, info.size, info.slots_fail, info.slots_pfail), (6, 3, 0, 0));
        assert!(info.current_epoch >= info.my_epoch && info.other.contains_key("stats_messages_sent"));
        assert_eq!(run!(c.cluster_myid()), id);
        let nodes = run!(c.cluster_nodes());
        assert_eq!((nodes.len(), nodes.iter().filter(|node| node.is_primary()).count()), (6, 3));
        let me = nodes.iter().find(|node| node.is_myself()).unwrap();
        assert_eq!((&me.id, me.port), (&id, node.address().port()));
        assert!(me.slots.iter().any(|(start, end)| (*start..=*end).contains(&FOO)) && me.other.is_empty());
        let other = nodes.iter().find(|node| node.id == replica).unwrap();
        assert_eq!((other.primary.as_ref(), other.is_connected, other.slots.len()), (Some(&id), true, 0));
        let replicas = run!(c.cluster_replicas(&id));
        assert_eq!(replicas.iter().map(|node| &node.id).collect::<Vec<_>>(), [&replica]);
        let ranges = run!(c.cluster_slots());
        let slots: u32 = ranges.iter().map(|range| u32::from(range.end - range.start) + 1).sum();
        assert_eq!(slots, 16_384);
        let range = ranges.iter().find(|range| (range.start..=range.end).contains(&FOO)).unwrap();
        assert_eq!((&range.nodes[0].id, range.nodes[0].port, range.nodes.len()), (&id, me.port, 2));
        assert_eq!(run!(c.cluster_keyslot("foo")), FOO);
        run!(c.set("foo", "x"));
        assert_eq!(run!(c.cluster_countkeysinslot(FOO)), 1);
        assert_eq!(run!(c.cluster_getkeysinslot::<Vec<String>>(FOO, 9)), ["foo"]);
        assert_eq!(run!(c.cluster_count_failure_reports(&id)), 0);
        run!(c.cluster_saveconfig());
        let epoch = run!(c.cluster_bumpepoch()).epoch;
        let again = run!(c.cluster_bumpepoch());
        assert!(!again.bumped && again.epoch == epoch);
        let error = try_run!(c.cluster_replicas("nosuch")).unwrap_err();
        assert!(error.to_string().contains("nosuch"), "{error}");
        if since(7, 0) {
            let shards = run!(c.cluster_shards());
            assert_eq!(shards.len(), 3);
            let shard = shards.iter().find(|shard| shard.nodes.iter().any(|node| node.id == id)).unwrap();
            assert!(shard.slots.iter().any(|(start, end)| (*start..=*end).contains(&FOO)));
            let mine = shard.nodes.iter().find(|node| node.id == id).unwrap();
            assert_eq!((mine.port, mine.role.as_str()), (Some(me.port), "master"));
            assert_eq!(mine.health, "online");
            let links = run!(c.cluster_links());
            assert!(links.iter().any(|link| link.node == replica && link.direction == "to"));
            assert!(links.iter().all(|link| link.other.is_empty()), "{links:?}");
        }
        if has("CLUSTER|MYSHARDID") {
            assert_eq!(run!(c.cluster_myshardid()).len(), 40);
        }
        if has("CLUSTER|SLOT-STATS") {
            let stats = run!(c.cluster_slot_stats(SlotStatsQuery::most("key-count").limit(1)));
            assert_eq!((stats[0].slot, stats[0].key_count), (FOO, Some(1)));
            let (start, end) = me.slots[0];
            let stats = run!(c.cluster_slot_stats(SlotStatsQuery::range(start, start + 1)));
            assert_eq!((stats.len(), stats[0].slot), (2, start));
            assert!(end > start);
        }
        if has("CLUSTER|FLUSHSLOT") {
            run!(c.cluster_flushslot(FOO, FlushMode::Sync));
            assert_eq!(run!(c.cluster_countkeysinslot(FOO)), 0);
        }
    });
}

#[test]
fn a_node_without_a_cluster_refuses() {
    each_client!(|c, key| {
        let error = try_run!(c.cluster_info()).unwrap_err();
        assert!(error.to_string().contains("cluster support disabled"), "{error}");
    });
}

#[test]
fn slots_are_given_and_taken() {
    let (one, other) = (lone(), lone());
    each_client!(on one, |c, key| {
        run!(c.cluster_addslots([1, 2, 3]));
        if since(7, 0) {
            run!(c.cluster_addslotsrange([(10, 19), (30, 39)]));
            assert_eq!(run!(c.cluster_info()).slots_assigned, 23);
            run!(c.cluster_delslotsrange((10, 19)));
        }
        run!(c.cluster_delslots([2, 3]));
        let nodes = run!(c.cluster_nodes());
        let of_seven = if since(7, 0) { vec![(1, 1), (30, 39)] } else { vec![(1, 1)] };
        assert_eq!(nodes[0].slots, of_seven);
        run!(c.cluster_flushslots());
        assert_eq!(run!(c.cluster_info()).slots_assigned, 0);
        run!(c.cluster_reset(ClusterResetMode::Hard));
        run!(c.cluster_set_config_epoch(7));
        assert_eq!(run!(c.cluster_info()).my_epoch, 7);
        run!(c.cluster_meet("127.0.0.1", other.port(), None));
        let mine = run!(c.cluster_myid());
        let theirs = id(&other);
        // Until they have shaken hands, each calls the other by a name that it made up.
        eventually("they have met", LIMIT, || {
            let knows = |node: &Server, id: &str| {
                let nodes = node.command(&["CLUSTER", "NODES"]).unwrap();
                nodes.contains(id) && !nodes.contains("handshake")
            };
            knows(&one, &theirs) && knows(&other, &mine)
        });
        // A node that gives its last slot away follows the node that takes it: this one keeps a slot.
        run!(c.cluster_addslots([1, FOO]));
        run!(c.cluster_setslot(FOO, SlotState::Migrating(theirs.clone())));
        let nodes = run!(c.cluster_nodes());
        let me = nodes.iter().find(|node| node.is_myself()).unwrap();
        assert_eq!(me.migrating, [(FOO, theirs.clone())]);
        run!(c.cluster_setslot(FOO, SlotState::Stable));
        run!(c.cluster_setslot(FOO, SlotState::Node(theirs.clone())));
        run!(c.cluster_forget(&theirs));
        run!(c.cluster_reset(ClusterResetMode::Hard));
        other.command(&["CLUSTER", "RESET", "HARD"]).unwrap();
        for list in [vec![], vec![None]] {
            let error = try_run!(c.cluster_addslots(list as Vec<Option<u16>>)).unwrap_err();
            assert_eq!(error.kind(), redwire::ErrorKind::Usage);
        }
    });
}

/// A node that knows no other.
fn lone() -> Server {
    Server::builder().arg("cluster-enabled", "yes").arg("cluster-node-timeout", "2000").start()
}

fn id(node: &Server) -> String {
    let reply = node.command(&["CLUSTER", "MYID"]).unwrap();
    reply.lines().find(|line| line.len() == 40).unwrap_or_else(|| panic!("{reply:?}")).to_owned()
}

#[test]
fn a_replica_takes_its_primarys_place() {
    let cluster = ClusterSet::builder().primaries(3).replicas(1).start();
    let primary = cluster.node(cluster.owner(FOO));
    let replica = cluster.node(cluster.replica_of(cluster.owner(FOO)));
    // Which of the two follows the other, and is up to date.
    let follows = |one: &Node| one.command(&["ROLE"]).is_ok_and(|role| role.contains("connected"));
    each_client!(on replica, |c, key| {
        eventually("it follows", LIMIT, || follows(&replica));
        // The other primaries vote, but not again at once, and then the replica gives up.
        let begun = Instant::now();
        while !follows(&primary) && begun.elapsed() < LIMIT {
            if follows(&replica) {
                run!(c.cluster_failover(ClusterFailoverMode::Agreed));
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        let nodes = run!(c.cluster_nodes());
        let me = nodes.iter().find(|node| node.is_myself()).unwrap();
        assert!(me.is_primary(), "{me:?}");
        assert!(me.slots.iter().any(|(start, end)| (*start..=*end).contains(&FOO)), "{me:?}");
        primary.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]).unwrap();
    });
}

#[test]
fn slots_move() {
    if !has("CLUSTER|MIGRATESLOTS") {
        return;
    }
    let cluster = ClusterSet::builder().primaries(3).replicas(0).start();
    let owner = cluster.owner(FOO);
    let to = (owner + 1) % 3;
    let (from_id, to_id) = (cluster.id(owner), cluster.id(to));
    each_client!(on cluster.node(owner), |c, key| {
        let moves = || SlotMoves::new().ranges([(FOO, FOO)], &to_id);
        macro_rules! ended {
            ($state:expr) => {{
                let begun = Instant::now();
                loop {
                    let migration = run!(c.cluster_getslotmigrations()).remove(0);
                    if migration.state == $state {
                        break migration;
                    }
                    assert!(begun.elapsed() < LIMIT, "{migration:?}");
                    std::thread::sleep(Duration::from_millis(20));
                }
            }};
        }
        run!(c.cluster_migrateslots(moves()));
        run!(c.cluster_cancelslotmigrations());
        ended!("cancelled");
        let error = try_run!(c.cluster_cancelslotmigrations()).unwrap_err();
        assert!(error.to_string().contains("No migrations ongoing"), "{error}");
        run!(c.cluster_migrateslots(moves()));
        let migration = ended!("success");
        assert_eq!((migration.operation.as_str(), migration.slots.as_str()), ("EXPORT", "12182-12182"));
        assert_eq!((&migration.source, &migration.target), (&from_id, &to_id));
        assert!(migration.message.is_empty() && migration.other.contains_key("create_time"));
        let error = try_run!(c.cluster_migrateslots(SlotMoves::new())).unwrap_err();
        assert_eq!(error.kind(), redwire::ErrorKind::Usage);
        let back = ["CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", "12182", "12182", "NODE", &from_id];
        cluster.node(to).command(&back).unwrap();
        eventually("the slot is back", LIMIT, || cluster.owner(FOO) == owner);
    });
}
