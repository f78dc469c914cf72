//! A cluster: its nodes are a layer, then one of them has all of its own.

use std::time::Duration;

use redwire_testkit::{ClusterSet, Direction, Fault, Server, eventually};

use crate::doctor;

#[test]
fn all_is_well() {
    let set = ClusterSet::builder().password("cluster-word").start();
    for options in [&[][..], &["--blocking"]] {
        let report = doctor(&set.url(), options);
        assert_eq!(report.json["verdict"], "good", "{:#}", report.json);
        assert_eq!(report.layer("cluster")["verdict"], "good", "{:#}", report.json);
        let told = &report.layer("cluster")["detail"];
        let nodes = told["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), 6, "{told}");
        assert_eq!(nodes.iter().filter(|node| node["seed"] == true).count(), 3, "{told}");
        assert!(nodes.iter().all(|node| node["from_here"] == "open" && node["state"] == "ok"), "{told}");
        assert_eq!(told["cluster"]["slots_served"], 16384);
        let server = &report.layer("server")["detail"];
        assert_eq!((&server["role"], &server["takes_writes"]), (&"master".into(), &true.into()), "{server}");
        assert!(!report.json.to_string().contains("-word"), "{}", report.json);
    }
    let wrong = set.url().replace("cluster-word", "other-word");
    doctor(&wrong, &[]).says("cluster", "bad", &["cannot be asked", "requirepass"]).skips_from("dns");
}

#[test]
fn nodes_that_are_down() {
    let set = ClusterSet::start();
    set.node(3).kill();
    let report = doctor(&set.url(), &[]);
    report.says("cluster", "warning", &[&set.node(3).address().to_string(), "(a replica)", "remap"]);
    eventually("it is marked as failed", Duration::from_secs(20), || {
        let report = doctor(&set.url(), &[]);
        let told = report.layer("cluster")["meaning"].to_string();
        told.contains("as failed") && told.contains("No replica follows")
    });
    let primary = set.node(0).address().to_string();
    set.node(0).kill();
    eventually("its slots are missed", Duration::from_secs(20), || {
        let report = doctor(&set.url(), &[]);
        let told = report.layer("cluster")["meaning"].to_string();
        told.contains("No node serves slots 0-5460 (5461)") && told.contains("cluster_state:fail")
    });
    let report = doctor(&set.url(), &[]);
    report.says(
        "cluster",
        "bad",
        &[&primary, "cannot be asked", "CLUSTER FAILOVER TAKEOVER", "require_full_coverage"],
    );
    assert!(report.layer("server")["detail"]["role"].is_string(), "another node is checked nevertheless");
}

#[test]
fn seeds_of_other_kinds() {
    let set = ClusterSet::builder().primaries(1).replicas(1).start();
    let other = ClusterSet::builder().primaries(1).replicas(0).start();
    let alone = Server::start();
    let report = doctor(&format!("{},{}", set.url(), alone.addr()), &[]);
    report.says("cluster", "warning", &[&alone.addr().to_string(), "no node of a cluster"]);
    let report = doctor(&format!("{},{}", set.url(), other.node(0).address()), &[]);
    report.says("cluster", "bad", &[&other.node(0).address().to_string(), "another cluster"]);
    let report = doctor(&format!("redis+cluster://{}", alone.addr()), &[]);
    report.says("cluster", "bad", &["no node of a cluster", "redis://HOST:PORT"]).skips_from("dns");
    let report = doctor(&format!("{}/1", set.url()), &[]);
    if report.layer("select")["verdict"] != "good" {
        report.says("select", "bad", &["no database 1", "cluster"]);
    }
}

#[test]
fn addresses_that_lead_nowhere_from_here() {
    let set = ClusterSet::builder().replicas(0).proxied().start();
    assert_eq!(doctor(&set.url(), &[]).layer("cluster")["detail"]["cluster"]["slots_served"], 16384);
    set.node(1).proxy().set(Direction::ToServer, Fault::Refuse);
    let report = doctor(&set.url(), &[]);
    report.says(
        "cluster",
        "bad",
        &["The cluster sends clients to", "a primary", "cluster-announce-ip", "remap"],
    );
}

#[test]
fn names_that_are_not_known() {
    if Server::start().version() < (7, 0, 0) {
        return;
    }
    let set = ClusterSet::builder().replicas(0).host_names().start();
    let report = doctor(&set.url(), &[]);
    report.says("cluster", "bad", &["node-1.redwire.test", "cluster-announce-hostname", "remap"]);
}
