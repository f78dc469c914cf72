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
use crate::clusters::{self, Node, Told, Witness};
use crate::topology::Whole;

/// What the nodes tell, and the one to look at more closely: that serves the key of the trial write, if it
/// can be had.
pub(crate) async fn examine(
    config: &Config,
    seeds: &[HostPort],
    blocking: bool,
) -> (Layer, Option<HostPort>) {
    let begun = Instant::now();
    let mut layer = Layer::new("cluster");
    let witnesses = clusters::ask_all(config, seeds, blocking).await;
    layer.took(begun.elapsed());
    let told = clusters::believed(&witnesses);
    layer.detail("nodes", witnesses.iter().map(to_json).collect::<Vec<Json>>());
    witnesses.iter().filter(|witness| witness.is_seed).for_each(|seed| self::seed(&mut layer, seed, told));
    let Some(told) = told else { return (layer, None) };
    let whole = Whole::of(told);
    layer.summary(whole.to_string());
    layer.detail("cluster", whole.to_json());
    coverage(&mut layer, &whole);
    agreement(&mut layer, &witnesses, told);
    works(&mut layer, &witnesses);
    down(&mut layer, told);
    replicas(&mut layer, told);
    ways(&mut layer, &witnesses, told);
    names(&mut layer, told);
    (layer, closer(&witnesses, told))
}

fn to_json(witness: &Witness) -> Json {
    let own = witness.told().and_then(Told::own);
    json!({
        "address": witness.address.to_string(), "seed": witness.is_seed, "from_here": witness.reached(),
        "ms": witness.told().map(|told| told.took.as_secs_f64() * 1e3), "id": own.map(|own| &own.id),
        "announces": own.map(|own| own.address.to_string()),
        "host_name": own.and_then(|own| own.host_name.as_ref()),
        "state": witness.told().and_then(|told| told.state.text("cluster_state")),
    })
}

/// One that the URL names; what is bad if no node tells anything is a warning where others do.
fn seed(layer: &mut Layer, witness: &Witness, told: Option<&Told>) {
    let address = &witness.address;
    let found = if told.is_some() { Finding::warning } else { Finding::bad };
    match (&witness.told, told) {
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
        (Ok(theirs), Some(told)) if !is_of(theirs, told) => layer.found(Finding::bad(
            format!("The node {address}, which the URL names, is of another cluster: a client may follow \
                     that one."),
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
fn is_of(theirs: &Told, told: &Told) -> bool {
    theirs.own().is_some_and(|own| told.node(&own.id).is_some())
}

fn advice(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Authentication(_) => {
            "All nodes of a cluster are spoken to with the same user and password; compare `requirepass` and \
             the ACL files."
        }
        _ => "Is it running, is the port right, and does it listen on this address (`bind`)?",
    }
}

fn coverage(layer: &mut Layer, whole: &Whole) {
    if let Some(missing) = whole.missing() {
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

fn agreement(layer: &mut Layer, witnesses: &[Witness], told: &Told) {
    let others = witnesses.iter().filter_map(|witness| Some((witness, witness.told()?)));
    for (witness, theirs) in others.filter(|(_, theirs)| is_of(theirs, told)) {
        let count = theirs.differences(told);
        if count > 0 {
            layer.found(Finding::warning(
                format!(
                    "The node {} tells otherwise than most who serves {count} of the slots.",
                    witness.address
                ),
                "While slots move and after a failover this passes within seconds. If it stays, the node is \
                 cut off from the others: look at the port of the cluster bus (10000 above the other unless \
                 `cluster-port` says so) and at firewalls between the nodes.",
            ));
        }
    }
}

/// Whether the nodes themselves think that the cluster works.
fn works(layer: &mut Layer, witnesses: &[Witness]) {
    let fails =
        |witness: &&Witness| witness.told().is_some_and(|told| told.state.is("cluster_state", "fail"));
    let failing: Vec<_> = witnesses.iter().filter(fails).map(|witness| witness.address.to_string()).collect();
    if !failing.is_empty() {
        layer.found(Finding::bad(
            format!(
                "To {} the cluster is down (`cluster_state:fail`): they refuse all commands, or those of \
                 slots without a node.",
                failing.join(", ")
            ),
            "More than half of the primaries must see each other, and every slot must have one of them. \
             `CLUSTER INFO` at such a node says what is missing.",
        ));
    }
}

/// The nodes that the others have given up.
fn down(layer: &mut Layer, told: &Told) {
    let gone: Vec<_> = told.nodes.iter().filter(|node| node.is("fail")).map(described).collect();
    if !gone.is_empty() {
        layer.found(Finding::warning(
            format!("The cluster takes {} for dead.", gone.join(", ")),
            "Start it again, or, if it is gone for good, have all others forget it (`CLUSTER FORGET`).",
        ));
    }
}

/// Primaries without a replica that could take over their slots.
fn replicas(layer: &mut Layer, told: &Told) {
    let follows =
        |node: &Node, primary: &Node| node.primary.as_ref() == Some(&primary.id) && !node.is("fail");
    let primaries = told.nodes.iter().filter(|node| node.primary.is_none() && !node.slots.is_empty());
    let alone = primaries.filter(|primary| !told.nodes.iter().any(|node| follows(node, primary)));
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
fn ways(layer: &mut Layer, witnesses: &[Witness], told: &Told) {
    let error = |node: &Node| {
        let witness = witnesses.iter().find(|witness| witness.address == node.address);
        witness.and_then(|witness| witness.told.as_ref().err())
    };
    let lives = |node: &&Node| !["fail", "handshake", "noaddr"].iter().any(|flag| node.is(flag));
    let lost: Vec<_> =
        told.nodes.iter().filter(lives).filter_map(|node| Some((node, error(node)?))).collect();
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
fn names(layer: &mut Layer, told: &Told) {
    let (named, bare): (Vec<_>, Vec<_>) =
        told.nodes.iter().filter(|node| !node.is("fail")).partition(|node| node.host_name.is_some());
    if let (Some(named), Some(bare)) = (named.first(), bare.first()) {
        layer.found(Finding::warning(
            format!(
                "Some nodes announce a host name, as {}, and others, as {}, none.",
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
fn closer(witnesses: &[Witness], told: &Told) -> Option<HostPort> {
    let open = |witness: &&Witness| witness.told().is_some_and(|theirs| is_of(theirs, told));
    let owner = told.owners()[usize::from(slot(KEY.as_bytes()))].map(|place| &told.nodes[place].address);
    let best = witnesses.iter().filter(open).find(|witness| Some(&witness.address) == owner);
    best.or_else(|| witnesses.iter().find(open)).map(|witness| witness.address.clone())
}
