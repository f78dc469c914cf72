//! What a cluster is started with, and how it is put together.
//!
//! Afterwards it is needed for nodes that are added. It decides nothing about slots but who has which at
//! first.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{ClusterSet, Member, SLOTS};
use crate::server::{BUS, quoted};
use crate::set::{LIMIT, all};
use crate::{Authority, Node, Server, ServerBuilder, eventually};

/// What a [`ClusterSet`] is started with. Made by [`ClusterSet::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ClusterSetBuilder {
    server: ServerBuilder,
    pub(super) primaries: usize,
    replicas: usize,
    proxied: bool,
    host_names: bool,
    zones: Vec<String>,
    pub(super) tls: bool,
    pub(super) databases: u32,
}

impl Default for ClusterSetBuilder {
    fn default() -> Self {
        // Replicas ask for all data as soon as they are there, and get it at once.
        // One that has had nothing from its primary, be it a ping, is shown to no client.
        let server = Server::builder().node();
        let server = server.arg("repl-diskless-sync-delay", "0").arg("repl-ping-replica-period", "1");
        // Lest one takes over because the machine stalled.
        let server = server.arg("cluster-replica-no-failover", "yes");
        let builder = Self {
            server,
            primaries: 3,
            replicas: 1,
            proxied: false,
            host_names: false,
            zones: Vec::new(),
            tls: false,
            databases: 1,
        };
        builder.node_timeout(Duration::from_millis(1500))
    }
}

impl ClusterSetBuilder {
    /// The program to run. Default: what [`find_server`](crate::find_server) finds.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.server = self.server.binary(path);
        self
    }

    /// How many primaries, which share the slots evenly. Default: 3.
    pub fn primaries(mut self, count: usize) -> Self {
        self.primaries = count;
        self
    }

    /// How many replicas each of them has. Default: 1.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// After how long a silence a node is taken for dead (`cluster-node-timeout`). Default: 1.5 s.
    pub fn node_timeout(mut self, timeout: Duration) -> Self {
        self.server = self.server.arg("cluster-node-timeout", &timeout.as_millis().to_string());
        self
    }

    /// A password for the default user; the nodes know it. Default: none.
    pub fn password(mut self, password: &str) -> Self {
        self.server = self.server.password(password).arg("masterauth", &quoted(password));
        self
    }

    /// A user of the nodes, as [`ServerBuilder::acl_line`] has it.
    pub fn acl_line(mut self, line: &str) -> Self {
        self.server = self.server.acl_line(line);
        self
    }

    /// Announces node 3 as `node-3.redwire.test`, which no resolver knows, and asks clients to go by that
    /// name: they need [`ClusterSet::remap`]. Only from Redis 7.0 on. Default: by addresses.
    pub fn host_names(mut self) -> Self {
        self.host_names = true;
        self.server = self.server.arg("cluster-preferred-endpoint-type", "hostname");
        self
    }

    /// Puts a [`Proxy`](crate::Proxy) before each node; clients and the replicas come through it, but not
    /// what the nodes tell each other: they go on to see a node that no client reaches. Default: none.
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// The availability zones of the nodes in turn, from the first again when there are no more of them: with
    /// two of them and three primaries a replica is in another zone than its primary. Only Valkey. Default:
    /// none.
    pub fn zones(mut self, names: &[&str]) -> Self {
        self.zones = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// How many databases the cluster has (`cluster-databases`). Only from Valkey 9 on. Default: 1.
    pub fn databases(mut self, count: u32) -> Self {
        self.databases = count;
        self.server = self.server.arg("cluster-databases", &count.to_string());
        self
    }

    /// All speak TLS and nothing else, as [`ServerBuilder::tls`]: only with binaries of which
    /// [`has_tls`](crate::has_tls) is true. Default: none does.
    ///
    /// # Panics
    ///
    /// As [`Authority::server`].
    pub fn tls(mut self, authority: &Authority) -> Self {
        self.server = self.server.tls(authority);
        self.tls = true;
        self
    }

    /// A directive of the nodes, as [`ServerBuilder::arg`].
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.server = self.server.arg(name, value);
        self
    }

    /// Starts the cluster; returns when all agree.
    ///
    /// # Panics
    ///
    /// As [`ClusterSet::start`].
    #[track_caller]
    pub fn start(&self) -> ClusterSet {
        let set = self.launch().unwrap_or_else(|reason| panic!("{reason}"));
        set.wait_settled();
        set
    }

    fn launch(&self) -> Result<ClusterSet, String> {
        let count = self.primaries * (1 + self.replicas);
        let nodes = all((0..count).map(|index| move || self.node(index)))?;
        let member = |(index, node): (usize, Node)| {
            let id = node.command(&["CLUSTER", "MYID"])?;
            Ok(Member { index, node: Arc::new(node), id, forgotten: false })
        };
        let members = nodes.into_iter().enumerate().map(member).collect::<Result<Vec<_>, String>>()?;
        self.form(&members);
        Ok(ClusterSet { members: Mutex::new(members), adding: Mutex::new(()), builder: self.clone() })
    }

    /// Shares out the slots, makes all known to each other, and has the replicas follow.
    #[track_caller]
    fn form(&self, members: &[Member]) {
        let bound = |index: usize| usize::from(SLOTS) * index / self.primaries;
        for member in members {
            // Each its own, or they would have to sort that out first.
            member.demand(&["CLUSTER", "SET-CONFIG-EPOCH", &(member.index + 1).to_string()]);
        }
        for member in &members[..self.primaries] {
            // Before Redis 7.0 there is no way to say it shorter.
            let slots = bound(member.index)..bound(member.index + 1);
            let slots: Vec<_> = slots.map(|slot| slot.to_string()).collect();
            let words = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str));
            member.demand(&words.collect::<Vec<_>>());
        }
        // Each with each, so that no node has to hear of one from a third, which takes seconds.
        for (index, member) in members.iter().enumerate() {
            members[index + 1..].iter().for_each(|other| member.meet(other));
        }
        for member in &members[self.primaries..] {
            let primary = &members[member.index % self.primaries];
            let words = ["CLUSTER", "REPLICATE", &primary.id];
            let mut tries = 0;
            eventually("a replica knows its primary", LIMIT, || {
                tries += 1;
                // On a machine that stands still for the time-out of the nodes, an introduction is forgotten.
                if tries % 2_000 == 0 {
                    member.meet(primary);
                }
                member.node.command(&words).is_ok()
            });
        }
    }

    /// Starts one node, unknown to the others; its name and zone go by its number.
    pub(super) fn node(&self, index: usize) -> Result<Node, String> {
        let host = self.host_names.then(|| format!("node-{index}.redwire.test"));
        let mut server = self.server.clone();
        if let Some(host) = &host {
            server = server.arg("cluster-announce-hostname", host);
        }
        if !self.zones.is_empty() {
            server = server.arg("availability-zone", &self.zones[index % self.zones.len()]);
        }
        let node = Node::start(&server, self.proxied, |server, port| {
            let port_name = if self.tls { "cluster-announce-tls-port" } else { "cluster-announce-port" };
            server.arg(port_name, &port.to_string())
        })?;
        if self.proxied {
            // What is announced for the bus counts from the announced port, unless told; after a restart too.
            node.command(&["CONFIG", "SET", "cluster-announce-bus-port", &(node.port() + BUS).to_string()])?;
            node.command(&["CONFIG", "REWRITE"])?;
        }
        Ok(node.with_host(host))
    }
}
