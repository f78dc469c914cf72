//! The layer of the cluster: whether each node that the URL names can be reached and belongs to it, whether
//! the nodes agree, whether every slot is served, and whether clients get to where they are sent from here.

use std::time::Instant;

use redwire::cluster::slot;
use redwire::config::{Config, HostPort};
use redwire::{Error, ErrorKind};
use serde_json::{Value as Json, json};

use super::KEY;
use super::report::{Finding, Layer};
use super::tls::sentence;
use crate::clusters::{self, AskedNode, ClusterReport, Node};
use crate::topology::ClusterSummary;

/// What the nodes tell, and the one to look at more closely: that serves the key of the trial write, if it
/// can be had.
pub(crate) async fn examine(
    config: &Config,
    seeds: &[HostPort],
    blocking: bool,
) -> (Layer, Option<HostPort>) {
    let begun = Instant::now();
    let mut layer = Layer::new("cluster");
    let asked_nodes = clusters::ask_all(config, seeds, blocking).await;
    layer.took(begun.elapsed());
    let report = clusters::believed(&asked_nodes);
    layer.detail("nodes", asked_nodes.iter().map(to_json).collect::<Vec<Json>>());
    asked_nodes
        .iter()
        .filter(|asked_node| asked_node.is_seed)
        .for_each(|seed| self::seed(&mut layer, seed, report));
    let Some(report) = report else { return (layer, None) };
    let summary = ClusterSummary::of(report);
    layer.summary(summary.to_string());
    layer.detail("cluster", summary.to_json());
    coverage(&mut layer, &summary);
    agreement(&mut layer, &asked_nodes, report);
    works(&mut layer, &asked_nodes);
    down(&mut layer, report);
    replicas(&mut layer, report);
    ways(&mut layer, &asked_nodes, report);
    names(&mut layer, report);
    (layer, closer(&asked_nodes, report))
}

fn to_json(asked_node: &AskedNode) -> Json {
    let own = asked_node.report().and_then(ClusterReport::own);
    json!({
        "address": asked_node.address.to_string(),
        "seed": asked_node.is_seed,
        "from_here": asked_node.reached(),
        "ms": asked_node.report().map(|report| report.took.as_secs_f64() * 1e3), "id": own.map(|own| &own.id),
        "announces": own.map(|own| own.address.to_string()),
        "host_name": own.and_then(|own| own.host_name.as_ref()),
        "state": asked_node.report().and_then(|report| report.state.text("cluster_state")),
    })
}

/// One that the URL names; what is bad if no node tells anything is a warning where others do.
fn seed(layer: &mut Layer, asked_node: &AskedNode, report: Option<&ClusterReport>) {
    let address = &asked_node.address;
    let found = if report.is_some() { Finding::warning } else { Finding::bad };
    match (&asked_node.report, report) {
        (Err(error), _) if answers_otherwise(error) => layer.found(found(
            format!(
                "The server {address}, which the URL names, is no node of a cluster: {}",
                sentence(error.message())
            ),
            "A server by itself is `redis://HOST:PORT`. A node of a cluster has `cluster-enabled yes` in its \
             configuration."
                .to_owned(),
        )),
        (Err(error), _) => layer.found(found(
            format!(
                "The node {address}, which the URL names, cannot be asked: {}",
                sentence(error.message())
            ),
            advice(error).to_owned(),
        )),
        (Ok(theirs), Some(report)) if !is_of(theirs, report) => layer.found(Finding::bad(
            format!("The node {address}, which the URL names, is of another cluster: a client of this URL \
                     may follow that one."),
            "Name nodes of one cluster in the URL. A node that others forgot (`CLUSTER FORGET`), or that has \
             met no other, looks the same.",
        )),
        (Ok(_), _) => {}
    }
}

/// Whether it answered, and let us in, though not as nodes of clusters do.
fn answers_otherwise(error: &Error) -> bool {
    error.code().is_some() && !matches!(error.kind(), ErrorKind::Authentication(_) | ErrorKind::Busy)
}

/// Whether the others know the one that told this.
fn is_of(theirs: &ClusterReport, report: &ClusterReport) -> bool {
    theirs.own().is_some_and(|own| report.node(&own.id).is_some())
}

fn advice(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Authentication(_) => {
            "A client uses the same user and password for all nodes of a cluster; compare `requirepass` and \
             the ACL files."
        }
        _ => "Is it running, is the port right, and does it listen on this address (`bind`)?",
    }
}

fn coverage(layer: &mut Layer, summary: &ClusterSummary) {
    if let Some(missing) = summary.missing() {
        layer.found(Finding::bad(
            format!(
                "No node serves {missing}: commands for their keys fail, and unless \
                 `cluster-require-full-coverage` is `no`, all others, too."
            ),
            "Start the primaries that are down, let a replica of theirs take over (`CLUSTER FAILOVER \
             TAKEOVER`), or give slots that no node has to one (`CLUSTER ADDSLOTS`). A client with \
             `require_full_coverage=false` in its URL uses what there is.",
        ));
    }
}

fn agreement(layer: &mut Layer, asked_nodes: &[AskedNode], report: &ClusterReport) {
    let others = asked_nodes.iter().filter_map(|asked_node| Some((asked_node, asked_node.report()?)));
    for (asked_node, theirs) in others.filter(|(_, theirs)| is_of(theirs, report)) {
        let count = theirs.differences(report);
        if count > 0 {
            layer.found(Finding::warning(
                format!(
                    "The node {} disagrees with most others about {count} of the slots.",
                    asked_node.address
                ),
                "While slots move and after a failover this passes within seconds. If it lasts, the node is \
                 cut off from the others: look at the port of the cluster bus (10000 above the other unless \
                 `cluster-port` says so) and at firewalls between the nodes.",
            ));
        }
    }
}

/// Whether the nodes themselves think that the cluster works.
fn works(layer: &mut Layer, asked_nodes: &[AskedNode]) {
    let fails = |asked_node: &&AskedNode| {
        asked_node.report().is_some_and(|report| report.state.is("cluster_state", "fail"))
    };
    let failing: Vec<_> =
        asked_nodes.iter().filter(fails).map(|asked_node| asked_node.address.to_string()).collect();
    if !failing.is_empty() {
        layer.found(Finding::bad(
            format!(
                "{} say that the cluster is down (`cluster_state:fail`): they refuse all commands, or those \
                 of slots without a node.",
                failing.join(", ")
            ),
            "More than half of the primaries must see each other, and every slot must have one of them. \
             `CLUSTER INFO` at such a node says what is missing.",
        ));
    }
}

/// The nodes that the others have given up.
fn down(layer: &mut Layer, report: &ClusterReport) {
    let gone: Vec<_> = report.nodes.iter().filter(|node| node.is("fail")).map(described).collect();
    if !gone.is_empty() {
        layer.found(Finding::warning(
            format!("The cluster has marked {} as failed.", gone.join(", ")),
            "Start it again, or, if it is gone for good, have all others forget it (`CLUSTER FORGET`).",
        ));
    }
}

/// Primaries without a replica that could take over their slots.
fn replicas(layer: &mut Layer, report: &ClusterReport) {
    let follows =
        |node: &Node, primary: &Node| node.primary.as_ref() == Some(&primary.id) && !node.is("fail");
    let primaries = report.nodes.iter().filter(|node| node.primary.is_none() && !node.slots.is_empty());
    let alone = primaries.filter(|primary| !report.nodes.iter().any(|node| follows(node, primary)));
    let alone: Vec<_> = alone.map(|node| node.address.to_string()).collect();
    if !alone.is_empty() {
        layer.found(Finding::warning(
            format!(
                "No replica follows {}: if such a primary dies, no node serves its slots.",
                alone.join(", ")
            ),
            "Add replicas (`CLUSTER REPLICATE`), or bring back those that are down.",
        ));
    }
}

/// Whether clients get to where they are sent from here.
fn ways(layer: &mut Layer, asked_nodes: &[AskedNode], report: &ClusterReport) {
    let error = |node: &Node| {
        let asked_node = asked_nodes.iter().find(|asked_node| asked_node.address == node.address);
        asked_node.and_then(|asked_node| asked_node.report.as_ref().err())
    };
    let lives = |node: &&Node| !["fail", "handshake", "noaddr"].iter().any(|flag| node.is(flag));
    let lost: Vec<_> =
        report.nodes.iter().filter(lives).filter_map(|node| Some((node, error(node)?))).collect();
    let (primaries, replicas): (Vec<_>, Vec<_>) =
        lost.iter().partition(|(node, _)| node.primary.is_none() && !node.slots.is_empty());
    for (nodes, found) in
        [(primaries, Finding::bad as fn(String, String) -> Finding), (replicas, Finding::warning)]
    {
        let Some((_, error)) = nodes.first() else { continue };
        let places: Vec<_> = nodes.iter().map(|(node, _)| described(node)).collect();
        let refused = matches!(error.kind(), ErrorKind::Authentication(_));
        layer.found(found(
            format!(
                "The cluster sends clients to {}, and from here that fails: {}",
                places.join(", "),
                sentence(error.message())
            ),
            if refused { advice(error) } else { ELSEWHERE }.to_owned(),
        ));
    }
}

/// What to try where the addresses that nodes announce lead nowhere.
const ELSEWHERE: &str = "Let nodes announce addresses that clients can reach (`cluster-announce-ip`, \
                         `cluster-announce-port`, `cluster-announce-hostname` with \
                         `cluster-preferred-endpoint-type`), or open the way. Behind NAT or in containers, \
                         tell the client where they are: `remap` of `Config::builder()`.";

/// Whether all nodes go by a name, or none.
fn names(layer: &mut Layer, report: &ClusterReport) {
    let (named, bare): (Vec<_>, Vec<_>) =
        report.nodes.iter().filter(|node| !node.is("fail")).partition(|node| node.host_name.is_some());
    if let (Some(named), Some(bare)) = (named.first(), bare.first()) {
        layer.found(Finding::warning(
            format!(
                "Some nodes announce a host name (as {}), others none (as {}).",
                named.host_name.as_deref().unwrap_or_default(),
                bare.address
            ),
            "Give each its `cluster-announce-hostname`: where clients are sent to names, those without one \
             cannot be reached.",
        ));
    }
}

fn described(node: &Node) -> String {
    let role = match (&node.primary, node.slots.is_empty()) {
        (Some(_), _) => "a replica",
        (None, true) => "without slots",
        (None, false) => "a primary",
    };
    format!("{} ({role})", node.address)
}

/// The node to look at more closely.
fn closer(asked_nodes: &[AskedNode], report: &ClusterReport) -> Option<HostPort> {
    let open = |asked_node: &&AskedNode| asked_node.report().is_some_and(|theirs| is_of(theirs, report));
    let owner = report.owners()[usize::from(slot(KEY.as_bytes()))].map(|place| &report.nodes[place].address);
    let best = asked_nodes.iter().filter(open).find(|asked_node| Some(&asked_node.address) == owner);
    best.or_else(|| asked_nodes.iter().find(open)).map(|asked_node| asked_node.address.clone())
}
