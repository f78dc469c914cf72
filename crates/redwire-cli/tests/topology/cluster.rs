//! A cluster: by its URL, by that of one of its nodes, and while slots move and primaries are replaced.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use redwire_testkit::{ClusterSet, Server, eventually, slot};
use serde_json::{Value as Json, json};

use crate::{Running, once, topology};

fn address(set: &ClusterSet, index: usize) -> String {
    set.node(index).address().to_string()
}

/// The row of this node.
#[track_caller]
fn row(json: &Json, address: &str) -> Json {
    let rows = json["servers"].as_array().expect("a list of servers");
    rows.iter()
        .find(|row| row["address"] == address)
        .unwrap_or_else(|| panic!("no {address} in {json}"))
        .clone()
}

#[test]
fn all_nodes_are_shown_whichever_node_is_asked() {
    let set = ClusterSet::start();
    let plain = format!("redis://{}", address(&set, 4));
    for (url, options) in [(set.url(), &[][..]), (set.url(), &["--blocking"]), (plain, &[])] {
        let (code, json) = once(&url, options);
        assert_eq!((code, &json["verdict"]), (Some(0), &"good".into()), "{json}");
        let roles: Vec<_> =
            json["servers"].as_array().unwrap().iter().map(|row| row["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["primary", "replica", "primary", "replica", "primary", "replica"]);
        let first = row(&json, &address(&set, 0));
        assert_eq!((&first["slots"], &first["slot_count"]), (&json!(["0-5460"]), &5461.into()), "{first}");
        assert_eq!((&first["state"], &first["from_here"]), (&"online".into(), &"open".into()));
        let replica = row(&json, &address(&set, 3));
        assert_eq!(replica["primary"], address(&set, 0));
        assert!(replica["behind"].is_u64() && replica["lag_seconds"].is_u64(), "{replica}");
        let whole = &json["clusters"][0];
        assert_eq!((&whole["slots_served"], &whole["slots_missing"]), (&16384.into(), &json!([])), "{whole}");
        assert_eq!((&whole["primaries"], &whole["replicas"]), (&3.into(), &3.into()));
    }
    let output = topology(&set.url(), &["--color", "never"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("cluster  16384 of 16384 slots are served; 3 primaries"), "{text}");
    assert!(text.contains("\n└ replica") && text.contains("slots 0-5460 (5461)"), "{text}");
}

#[test]
fn what_is_missing_is_told() {
    let set = ClusterSet::builder().replicas(0).start();
    let gone = address(&set, 1);
    set.node(1).kill();
    let (code, json) = once(&set.url(), &[]);
    assert_eq!((code, &row(&json, &gone)["from_here"]), (Some(1), &"refused".into()), "{json}");
    eventually("it is marked as failed", Duration::from_secs(20), || {
        let (code, json) = once(&set.url(), &[]);
        code == Some(1)
            && row(&json, &gone)["state"] == "failed"
            && json["clusters"][0]["slots_missing"] == json!(["5461-10921"])
            && row(&json, &address(&set, 0))["state"] == "serves nothing (cluster_state:fail)"
    });
}

#[test]
fn seeds_that_are_no_nodes_of_it_are_shown_too() {
    let set = ClusterSet::builder().replicas(0).start();
    let (other, alone) = (ClusterSet::builder().primaries(1).replicas(0).start(), Server::start());
    let url = format!("{},{},{}", set.url(), address(&other, 0), alone.addr());
    let (code, json) = once(&url, &[]);
    assert_eq!(code, Some(1), "{json}");
    let stranger = row(&json, &address(&other, 0));
    assert_eq!((&stranger["role"], &stranger["state"]), (&"seed".into(), &"of another cluster".into()));
    let alone = row(&json, &alone.addr().to_string());
    assert!(alone["state"].as_str().unwrap().contains("cluster support disabled"), "{alone}");
    assert_eq!(json["clusters"][0]["slots_missing"], json!([]), "the cluster itself is well");
}

#[test]
fn a_slot_on_its_way_is_shown() {
    let set = ClusterSet::builder().replicas(0).start();
    let slot = slot("key");
    let (from, to) = (set.owner(slot), (set.owner(slot) + 1) % 3);
    let moving = set.begin_move(slot, to);
    let (code, json) = once(&set.url(), &[]);
    let expected = json!([{ "slot": slot, "to": address(&set, to) }]);
    assert_eq!((code, &row(&json, &address(&set, from))["leaving"]), (Some(0), &expected), "{json}");
    moving.end_move();
}

#[test]
fn watching_tells_of_moves_and_of_a_takeover() {
    let set = ClusterSet::start();
    for options in [&[][..], &["--blocking"]] {
        let mut command = topology(&set.url(), &[&["--watch", "--color", "never"], options].concat());
        let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let mut pictures = BufReader::new(running.0.stdout.take().unwrap()).lines();
        assert!(pictures.next().unwrap().unwrap().starts_with("cluster"));
        let mut changes = BufReader::new(running.0.stderr.take().unwrap()).lines();
        let mut told = |change: &str| {
            while !changes.next().expect("it goes on").unwrap().contains(change) {}
        };
        let from = set.owner(100);
        let to =
            (0..6).find(|index| *index != from && set.primaries().contains(index)).expect("there are three");
        set.move_slot(100, to);
        told(&format!("{}: slot 100: from {}", address(&set, to), address(&set, from)));
        let owner = set.owner(16_000);
        let replica = set.replica_of(owner);
        set.failover(replica);
        told(&format!("{}: replica → primary", address(&set, replica)));
        drop(running);
        set.wait_settled();
    }
}
