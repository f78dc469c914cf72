//! The layer of topology: whether the servers that this one names can be reached from here, and whether it is
//! one that a plain URL is for.

use std::io;
use std::time::{Duration, Instant};

use redwire::cmd;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use super::network::{reaches, word};
use super::report::{Finding, Layer};
use crate::clusters::Node;
use crate::info::{Info, Peer};
use crate::session::Session;

/// Another server, and whether it can be reached.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) role: &'static str,
    pub(crate) peer: Peer,
    pub(crate) result: io::Result<Duration>,
}

impl Reached {
    fn address(&self) -> String {
        format!("{}:{}", self.peer.host, self.peer.port)
    }

    fn to_json(&self) -> Json {
        let state = self.result.as_ref().map_or_else(word, |_| "open");
        json!({ "role": self.role, "address": self.address(), "state": self.peer.state, "from_here": state })
    }
}

pub(crate) async fn examine(session: &mut Session, info: &Info, limit: Duration) -> Layer {
    let begun = Instant::now();
    let mut layer = Layer::new("topology");
    let nodes = if info.is_cluster() { cluster(session).await } else { neighbours(info) };
    let reached = reach(nodes, limit).await;
    layer.took(begun.elapsed());
    layer.detail("mode", info.text("redis_mode").unwrap_or("unknown"));
    layer.detail("servers", reached.iter().map(Reached::to_json).collect::<Vec<Json>>());
    layer.summary(match reached.len() {
        0 => format!("one {} alone, with no replicas", info.role()),
        count => {
            let open = reached.iter().filter(|server| server.result.is_ok()).count();
            format!("{open} of {count} other servers can be reached from here")
        }
    });
    kind(&mut layer, info);
    for server in reached.iter().filter(|server| server.result.is_err()) {
        let why = server.result.as_ref().map_or_else(word, |_| "open");
        layer.found(Finding::warning(
            format!(
                "The server names its {} as {}, and from here that is {why}: clients that follow it there \
                 will fail.",
                server.role,
                server.address()
            ),
            "Let it announce an address that clients can reach (`replica-announce-ip`, \
             `cluster-announce-ip`, `cluster-announce-hostname`), or open the way.",
        ));
    }
    layer
}

/// What plain URLs are not for.
fn kind(layer: &mut Layer, info: &Info) {
    if info.is_cluster() {
        layer.found(Finding::bad(
            "This is a node of a cluster, and the URL is that of a single server: it serves only the keys of \
             its own slots, and answers MOVED for the others.",
            "Use a cluster URL (`redis+cluster://HOST:PORT`), or the address of a server that is no cluster \
             node.",
        ));
    } else if info.is("redis_mode", "sentinel") {
        layer.found(Finding::bad(
            "This is a Sentinel: it knows where the master is, and holds no data.",
            "Use a Sentinel URL (`redis+sentinel://HOST:PORT/SERVICE`), or the master's address.",
        ));
    }
}

/// The master and the replicas that a single server names.
pub(crate) fn neighbours(info: &Info) -> Vec<(&'static str, Peer)> {
    let master = info.master().into_iter().map(|peer| ("master", peer));
    master.chain(info.replicas().into_iter().map(|peer| ("replica", peer))).collect()
}

/// The other nodes of the cluster, as this one announces them.
async fn cluster(session: &mut Session) -> Vec<(&'static str, Peer)> {
    let Ok(text) = session.call(cmd("CLUSTER NODES")).await else { return Vec::new() };
    text.as_str().unwrap_or_default().lines().filter_map(node).collect()
}

/// Of others than the node that answers.
fn node(line: &str) -> Option<(&'static str, Peer)> {
    let node = Node::read(line, "")?;
    if ["myself", "noaddr", "handshake"].iter().any(|flag| node.is(flag)) {
        return None;
    }
    let role = if node.primary.is_some() { "replica" } else { "master" };
    let state = if node.is("fail") || node.is("fail?") { "failed" } else { "online" };
    let (host, port) = (node.host_name.unwrap_or(node.address.host), node.address.port);
    Some((role, Peer { host, port, state: state.to_owned(), offset: None, lag: None }))
}

/// Tries all at the same time; they come back in their order.
pub(crate) async fn reach(nodes: Vec<(&'static str, Peer)>, limit: Duration) -> Vec<Reached> {
    let mut attempts = JoinSet::new();
    for (index, (role, peer)) in nodes.into_iter().enumerate() {
        attempts.spawn(async move {
            let result = reaches(&peer.host, peer.port, limit).await;
            (index, Reached { role, peer, result })
        });
    }
    let mut reached = attempts.join_all().await;
    reached.sort_by_key(|(index, _)| *index);
    reached.into_iter().map(|(_, server)| server).collect()
}

/// The servers of `CLUSTER NODES` are read from text, whatever stands there.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_nodes_are_read_and_this_one_left_out() {
        let peer = |line| node(line).map(|(role, peer)| (role, peer.host, peer.port, peer.state));
        let table = [
            ("a 10.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5460", None),
            ("b 10.0.0.2:7000@17000 master - 0 0 2 connected", Some(("master", "10.0.0.2", 7000, "online"))),
            (
                "c ::1:7000@17000,db.example,shard-id=x slave,fail a 0 0 2 connected",
                Some(("replica", "db.example", 7000, "failed")),
            ),
            ("d :0@0 master,noaddr - 0 0 0 disconnected", None),
            ("nothing", None),
        ];
        for (line, expected) in table {
            let expected =
                expected.map(|(role, host, port, state)| (role, host.to_owned(), port, state.to_owned()));
            assert_eq!(peer(line), expected, "{line}");
        }
    }
}
