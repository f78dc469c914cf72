//! Cluster by hand, async: the map, the nodes, and commands for nodes of one's own choice.

mod nodes;
mod refresh;
mod scatter;

use std::sync::Arc;

use redwire_core::cluster::{Map, NodeChoice};
use redwire_core::config::{Config, HostPort};
use redwire_core::pool::PoolStats;
use redwire_core::{Cmd, Reply, Result};

use super::client::Client;
pub(super) use nodes::Nodes;

/// A cluster and its nodes, for programs that want to know which is which; most programs need nothing but its
/// [`Client`].
///
/// Cheap to clone; clones, and the client, share all connections.
///
/// ```no_run
/// # async fn example() -> redwire::Result<()> {
/// use redwire::cluster::NodeChoice;
/// use redwire::prelude::*;
/// use redwire::{Cluster, cmd};
///
/// let cluster = Cluster::connect("redis+cluster://node1,node2").await?;
/// cluster.client().set("greeting", "hello").await?;
/// let info = cmd::<String>("INFO").arg("memory");
/// for (node, memory) in cluster.execute_on(NodeChoice::Primaries, &info).await {
///     println!("{node}: {} bytes of text", memory?.len());
/// }
/// # Ok(())
/// # }
/// ```
#[doc(alias = "NodesManager")]
#[doc(alias = "ClusterConnectionPool")]
#[doc(alias = "ClusterBlockingConnectionPool")]
#[doc(alias = "ClusterReadOnlyConnectionPool")]
#[doc(alias = "ClusterWithReadReplicasConnectionPool")]
#[derive(Clone, Debug)]
pub struct Cluster {
    client: Client,
    nodes: Nodes,
}

impl Cluster {
    /// Learns the map of the cluster that `url` names; the grammar is told at
    /// [`ConfigBuilder::url`](crate::config::ConfigBuilder::url).
    ///
    /// # Errors
    /// As [`Client::connect`]; a URL of something else.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::open(Config::from_url(url)?).await
    }

    /// As [`connect`](Self::connect), as `config` says.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn open(config: Config) -> Result<Self> {
        let client = Client::open(config).await?;
        client.cluster().ok_or_else(crate::shared::setup::no_cluster)
    }

    /// The client of the cluster, which finds the node for each command by itself.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Which node serves which slot, as far as is known: a snapshot.
    #[must_use]
    pub fn map(&self) -> Arc<Map> {
        self.nodes.node_clients().map()
    }

    /// Asks for the map now, whatever the reason; but no more often than
    /// [`refresh_pause`](crate::config::ConfigBuilder::refresh_pause) allows, so it may wait for that.
    ///
    /// # Errors
    /// No node tells a map that can be used.
    pub async fn refresh(&self) -> Result<Arc<Map>> {
        self.nodes.refresh().await?;
        Ok(self.map())
    }

    /// A client of one node, whether the map names it or not. What that node does not serve is an error,
    /// which names the node that does.
    #[doc(alias = "get_node")]
    #[doc(alias = "get_connection_by_node")]
    #[doc(alias = "ClusterNode")]
    #[must_use]
    pub fn node(&self, address: &HostPort) -> Client {
        self.nodes.node_clients().node_client(address).client.clone()
    }

    /// A client of each of these nodes, with the address.
    #[doc(alias = "get_nodes")]
    #[doc(alias = "get_primaries")]
    #[doc(alias = "get_replicas")]
    #[doc(alias = "get_random_node")]
    #[doc(alias = "get_connection_by_slot")]
    #[doc(alias = "get_random_connection")]
    #[doc(alias = "get_node_from_key")]
    #[doc(alias = "get_nodes_by_server_type")]
    #[must_use]
    pub fn nodes(&self, choice: NodeChoice) -> Vec<(HostPort, Client)> {
        let chosen = choice.among(&self.map(), fastrand::u64(..));
        chosen.into_iter().map(|address| (address.clone(), self.node(&address))).collect()
    }

    /// Runs a command at each of these nodes, at all of them at once, and tells what each answered.
    #[doc(alias = "target_nodes")]
    pub async fn execute_on<R: Reply>(&self, choice: NodeChoice, cmd: &Cmd<R>) -> Vec<(HostPort, Result<R>)> {
        let nodes = self.nodes(choice);
        let mut calls: Vec<_> = nodes.iter().map(|(_, node)| (node.execute(cmd.clone()), None)).collect();
        std::future::poll_fn(|cx| {
            let mut pending = false;
            for (call, answer) in calls.iter_mut().filter(|(_, answer)| answer.is_none()) {
                match std::pin::Pin::new(call).poll(cx) {
                    std::task::Poll::Ready(result) => *answer = Some(result),
                    std::task::Poll::Pending => pending = true,
                }
            }
            if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
        })
        .await;
        let answers: Vec<_> = calls.into_iter().filter_map(|(_, answer)| answer).collect();
        nodes.into_iter().map(|(address, _)| address).zip(answers).collect()
    }

    /// Where commands without a key go that concern one node: there while the map names it, else to any
    /// primary, as by default.
    ///
    /// # Errors
    /// [`Usage`](crate::ErrorKind::Usage): the map is known, and names no such node.
    #[doc(alias = "default_node")]
    pub fn set_default_node(&self, node: Option<HostPort>) -> Result<()> {
        self.nodes.node_clients().set_default(node)
    }

    /// Where commands without a key go, if that was chosen.
    #[doc(alias = "get_default_node")]
    #[must_use]
    pub fn default_node(&self) -> Option<HostPort> {
        self.nodes.node_clients().default_node()
    }

    /// What the connections are doing, node by node.
    #[must_use]
    pub fn stats(&self) -> Vec<(HostPort, PoolStats)> {
        let node_clients = self.nodes.node_clients().all();
        node_clients
            .iter()
            .map(|node_client| (node_client.address.clone(), node_client.client.stats()))
            .collect()
    }
}

impl Client {
    /// The cluster, by hand; `None` where this is a client of something else.
    #[must_use]
    pub fn cluster(&self) -> Option<Cluster> {
        let nodes = self.cluster.clone()?;
        Some(Cluster { client: self.clone(), nodes })
    }
}
