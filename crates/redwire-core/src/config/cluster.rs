//! How a cluster is followed, as options. Promises plain data. Must not know how nodes are reached.

use super::{Config, Deployment, Endpoint, HostPort, RetryPolicy};
use crate::cluster::{ClusterOptions, ReadStrategy};

impl Config {
    /// What holds for the cluster, where there is one.
    #[must_use]
    pub fn cluster_options(&self) -> &ClusterOptions {
        &self.cluster
    }

    /// This configuration for connections to the node at `address`. Where replicas answer reads, `READONLY`
    /// is sent to every node: each may become one.
    #[must_use]
    pub fn for_node(&self, address: HostPort) -> Self {
        Self {
            deployment: Deployment::Single(Endpoint::Tcp(address)),
            read_only: self.read_only || self.cluster.read_strategy != ReadStrategy::Primary,
            cluster: ClusterOptions::default(),
            has_alternatives: true,
            // The client's random numbers go on.
            seed: None,
            ..self.clone()
        }
    }

    /// Whether calls may go to another server while this one cannot be reached, so that no caller is to wait
    /// for it.
    #[must_use]
    pub fn has_alternatives(&self) -> bool {
        self.has_alternatives
    }

    /// As [`for_node`](Self::for_node), for the connection over which the node is asked for the map.
    #[must_use]
    pub fn for_map(&self, address: HostPort) -> Self {
        Self {
            read_only: false,
            timeout: Some(self.connect_timeout),
            retry: RetryPolicy::never(),
            ..self.for_node(address)
        }
    }
}
