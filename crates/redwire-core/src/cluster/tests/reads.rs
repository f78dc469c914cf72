//! Who answers reads.

use std::time::{Duration, Instant};

use super::super::{Map, ReadStrategy, Readers};
use super::address;
use super::redirect::map;

fn shard() -> Map {
    let zone = |zone: &str| serde_json::json!({ "availability-zone": zone });
    map(&serde_json::json!([[
        0,
        16383,
        ["a", 1, "1", zone("eu-1")],
        ["b", 1, "2", zone("eu-2")],
        ["c", 1, "3", {}]
    ]]))
}

/// Whom `readers` choose, one after the other.
fn chosen(readers: &mut Readers, times: usize, now: Instant) -> Vec<String> {
    let map = shard();
    let shard = map.shard(0).unwrap();
    let mut chosen: Vec<_> = (0..times).map(|_| readers.choose(shard, now).host.clone()).collect();
    chosen.sort();
    chosen
}

#[test]
fn each_strategy_has_its_nodes() {
    let now = Instant::now();
    let table = [
        (ReadStrategy::Primary, None, ["a", "a", "a", "a", "a", "a"]),
        (ReadStrategy::RoundRobin, None, ["a", "a", "b", "b", "c", "c"]),
        (ReadStrategy::ReplicaPreferred, None, ["b", "b", "b", "c", "c", "c"]),
        (ReadStrategy::LowestLatency, None, ["a", "a", "b", "b", "c", "c"]),
        (ReadStrategy::SameZone, Some("eu-1"), ["a", "a", "a", "a", "a", "a"]),
        (ReadStrategy::SameZone, Some("eu-2"), ["b", "b", "b", "b", "b", "b"]),
        (ReadStrategy::SameZone, Some("us"), ["b", "b", "b", "c", "c", "c"]),
        (ReadStrategy::SameZone, None, ["b", "b", "b", "c", "c", "c"]),
    ];
    for (strategy, zone, wanted) in table {
        let mut readers = Readers::new(strategy, zone.map(str::to_owned));
        assert_eq!(chosen(&mut readers, 6, now), wanted, "{strategy:?} {zone:?}");
    }
}

#[test]
fn a_replica_that_cannot_answer_is_left_out_and_the_primary_answers_if_no_other_can() {
    let now = Instant::now();
    let mut readers = Readers::new(ReadStrategy::ReplicaPreferred, None);
    readers.handle_failure(&address("b:1"), now);
    assert_eq!(chosen(&mut readers, 3, now), ["c", "c", "c"]);
    readers.handle_failure(&address("c:1"), now);
    assert_eq!(chosen(&mut readers, 2, now), ["a", "a"]);
    assert_eq!(chosen(&mut readers, 2, now + Readers::PASSED_OVER), ["b", "c"]);
    readers.handle_latency(&address("c:1"), Duration::from_millis(1));
    assert_eq!(chosen(&mut readers, 2, now), ["c", "c"]);
}

#[test]
fn the_fastest_of_late_is_chosen_and_zones_are_learnt() {
    let now = Instant::now();
    let mut readers = Readers::new(ReadStrategy::LowestLatency, None);
    for (node, ms) in [("a:1", 3), ("b:1", 1), ("c:1", 2)] {
        readers.handle_latency(&address(node), Duration::from_millis(ms));
    }
    assert_eq!(chosen(&mut readers, 2, now), ["b", "b"]);
    for _ in 0..8 {
        readers.handle_latency(&address("b:1"), Duration::from_millis(9));
    }
    assert_eq!(chosen(&mut readers, 2, now), ["c", "c"]);
    readers.retain(|node| node.host != "a");
    assert_eq!(chosen(&mut readers, 2, now), ["a", "a"]);
    let mut readers = Readers::new(ReadStrategy::SameZone, Some("us".to_owned()));
    readers.handle_info(&address("c:1"), &format!("# Server\r\navailability_zone:{}\r\n", "us"));
    assert_eq!(chosen(&mut readers, 2, now), ["c", "c"]);
}
