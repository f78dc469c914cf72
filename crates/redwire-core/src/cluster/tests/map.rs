//! Maps as nodes tell them, and after redirections: `spec/cases/cluster_map.json`.

use std::collections::HashMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value as Json;

use super::super::slots_reply::{SlotsReply, Source};
use super::super::{Map, NodeHealth};
use super::{address, remap, reply};
use crate::reply::Value;

/// First slot, last slot, primary, replicas.
type Range = (u16, u16, String, Vec<String>);
/// Address, name, host name, zone, health.
type Known = (String, String, Option<String>, Option<String>, String);

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    asked: String,
    #[serde(default)]
    tls: bool,
    #[serde(default)]
    remap: HashMap<String, String>,
    slots: Option<Json>,
    shards: Option<Json>,
    #[serde(default)]
    moved: Vec<(u16, String)>,
    ranges: Option<Vec<Range>>,
    #[serde(default)]
    nodes: Vec<Known>,
    #[serde(default)]
    complete: bool,
    error: Option<String>,
}

pub(in crate::cluster) fn ranges(map: &Map) -> Vec<Range> {
    let served = map.ranges().filter_map(|(range, shard)| Some((range, shard?)));
    served
        .map(|(range, shard)| {
            let replicas = shard.replicas.iter().map(|node| node.address.to_string()).collect();
            (*range.start(), *range.end(), shard.primary.address.to_string(), replicas)
        })
        .collect()
}

#[test]
fn the_cases_hold() {
    let cases: Cases =
        serde_json::from_str(include_str!("../../../../../spec/cases/cluster_map.json")).unwrap();
    for case in &cases.cases {
        for resp3 in [false, true] {
            run(case, resp3);
        }
    }
}

fn run(case: &Case, resp3: bool) {
    let name = &case.name;
    let (asked, remap) = (address(&case.asked), remap(&case.remap));
    let hearing = SlotsReply { asked: &asked, tls: case.tls, remap: &remap };
    let told = [(Source::Slots, &case.slots), (Source::Shards, &case.shards)];
    let told: Vec<_> = told.into_iter().filter_map(|(source, told)| Some((source, told.as_ref()?))).collect();
    assert!(!told.is_empty(), "{name}: nothing is told");
    for (source, told) in told {
        let map = hearing.read(source, &reply(told, resp3));
        let mut map = match (map, &case.error) {
            (Err(error), Some(says)) => {
                assert!(error.to_string().contains(says), "{name}: {error}");
                continue;
            }
            (Ok(_), Some(_)) => panic!("{name}: no error"),
            (map, None) => map.unwrap_or_else(|error| panic!("{name}: {error}")),
        };
        for (slot, to) in &case.moved {
            let before = ranges(&map);
            let changed = map.moved(*slot, &address(to));
            assert_eq!(ranges(&map), before, "{name}: a snapshot never changes");
            map = changed.unwrap_or_else(|| panic!("{name}: {slot} was at {to} already"));
            assert!(map.moved(*slot, &address(to)).is_none(), "{name}: the same again is no change");
        }
        assert_eq!(Some(ranges(&map)), case.ranges, "{name}, {source:?}");
        assert_eq!(map.is_complete(), case.complete, "{name}");
        assert_eq!(map.missing().count() == 0, case.complete, "{name}");
        for (at, id, host_name, zone, health) in &case.nodes {
            let node = map.node(&address(at)).unwrap_or_else(|| panic!("{name}: no node at {at}"));
            let health_of = match node.health {
                NodeHealth::Online => "online",
                NodeHealth::Loading => "loading",
                NodeHealth::Failed => "failed",
            };
            let is = (&node.id, &node.host_name, &node.zone, health_of);
            assert_eq!(is, (id, host_name, zone, health.as_str()), "{name}: {at}");
        }
    }
}

#[test]
fn a_slot_that_no_cluster_has_changes_nothing() {
    assert!(Map::default().moved(16_384, &address("a:1")).is_none());
    assert!(Map::default().shard(16_384).is_none() && Map::default().shard(u16::MAX).is_none());
    assert_eq!(Map::default().missing().collect::<Vec<_>>(), [0..=16_383]);
}

#[test]
fn a_thousand_redirections_make_the_map_they_tell() {
    let mut map = Map::default();
    let mut model = HashMap::new();
    let mut state = 7_u64;
    for _ in 0..1_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (slot, to) = ((state >> 33) as u16 % 300, address(&format!("n{}:1", (state >> 50) % 5)));
        map = map.moved(slot, &to).unwrap_or(map);
        model.insert(slot, to);
    }
    for slot in 0..300 {
        assert_eq!(map.primary(slot), model.get(&slot), "{slot}");
    }
    assert_eq!((map.covered(), map.shards().len()), (model.len(), 5));
}

/// Any reply, often near to one that tells a map.
fn anything() -> impl Strategy<Value = Value> {
    let words = [
        "", "?", "a", "slots", "nodes", "id", "port", "tls-port", "endpoint", "role", "master", "health",
        "fail",
    ];
    let word = prop::sample::select(words.to_vec()).prop_map(|word| Value::Bytes(word.into()));
    let number = prop_oneof![0..9_i64, 16_380..16_390_i64, any::<i64>()].prop_map(Value::Integer);
    prop_oneof![Just(Value::Null), word, number].prop_recursive(5, 64, 6, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array);
        let map = prop::collection::vec((inner.clone(), inner), 0..6).prop_map(Value::Map);
        prop_oneof![3 => list, 1 => map]
    })
}

proptest! {
    #[test]
    fn any_reply_is_a_map_or_an_error(told in anything(), first in 0..16_384_i64, more in 0..16_384_i64) {
        let (asked, remap) = (address("a:1"), super::super::Remap::default());
        let hearing = SlotsReply { asked: &asked, tls: false, remap: &remap };
        let row = Value::Array(vec![Value::Integer(first), Value::Integer(more), told.clone(), told.clone()]);
        for reply in [told, Value::Array(vec![row])] {
            for source in [Source::Slots, Source::Shards] {
                let Ok(map) = hearing.read(source, &reply) else { continue };
                let missing: usize = map.missing().map(|range| range.count()).sum();
                prop_assert_eq!(map.covered() + missing, 16_384);
                prop_assert!(map.agrees(&map.clone()));
            }
        }
    }
}
