//! How a Sentinel set is asked, and which of its servers a client uses. Promises plain data. Must not know
//! how sentinels are reached.

use std::time::Duration;

use crate::cluster::Remap;

use super::{Config, Deployment, Endpoint, HostPort, RetryPolicy};
use crate::secret::Secret;

/// What holds for sentinels, apart from the servers they watch; each is documented at its setter in
/// [`ConfigBuilder`](super::ConfigBuilder).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentinelOptions {
    /// The user to authenticate as.
    pub username: Option<String>,
    /// The password to authenticate with.
    pub password: Option<Secret>,
    /// Whether sentinels are spoken to by TLS; `None`: as the servers are.
    pub tls: Option<bool>,
    /// The configuration of connections to them, in place of the client's and of the three before.
    pub config: Option<Box<Config>>,
    /// How long one may take to connect and to answer.
    pub timeout: Duration,
    /// How many other sentinels one must know of to be believed.
    pub min_other_sentinels: u32,
    /// Which servers the client uses.
    pub read_from: ReadFrom,
    /// Where servers and sentinels are that sentinels tell by another address.
    pub remap: Remap,
}

/// Which servers of a service a client uses.
#[doc(alias = "rotate_slaves")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadFrom {
    /// The master.
    #[default]
    Master,
    /// The replicas in turn, beginning with any of them; the master while none is of use.
    ///
    /// The calls of a client are spread over all replicas: each goes to the next, over connections that calls
    /// to that replica share as those of any client do, so `max_connections` counts for each replica. A scan,
    /// a transaction and all commands of a pipeline go to one. Two reads, one after the other, may so be
    /// answered by two replicas, of which the second is behind the first.
    ///
    /// Each connection of a pool, of subscriptions, of a cache and of a monitor leads to the next replica
    /// when it is made, and stays there.
    ///
    /// A replica that cannot be connected to, does not answer for 0.2 s, loads its data or has lost its
    /// master is passed over for a second; then one call tries it. A call that waits already at one that
    /// falls silent is made again at another if `retry_on_timeout` says so. Sentinels tell of new replicas
    /// and of those that are down; they are also asked every 10 s or so.
    ReplicaPreferred,
    /// As [`ReplicaPreferred`](Self::ReplicaPreferred), and no other server than replicas: while none is of
    /// use, calls wait for one, as they wait for an only server.
    Replica,
}

impl Default for SentinelOptions {
    fn default() -> Self {
        Self {
            username: None,
            password: None,
            tls: None,
            config: None,
            timeout: Duration::from_secs(1),
            min_other_sentinels: 0,
            read_from: ReadFrom::Master,
            remap: Remap::default(),
        }
    }
}

impl Config {
    /// What holds for the sentinels that are asked, where there are any.
    #[must_use]
    pub fn sentinel_options(&self) -> &SentinelOptions {
        &self.sentinel
    }

    /// This configuration for the connections to one of several replicas, each of which may answer a call.
    #[must_use]
    pub fn for_replica(&self) -> Self {
        // The client's random numbers go on.
        Self { has_alternatives: true, seed: None, ..self.clone() }
    }

    /// This configuration for a connection to the sentinel at `address`.
    #[must_use]
    pub fn for_sentinel(&self, address: HostPort) -> Self {
        let options = &self.sentinel;
        if let Some(own) = &options.config {
            return Self {
                deployment: Deployment::Single(Endpoint::Tcp(address)),
                db: 0,
                read_only: false,
                connect_timeout: options.timeout,
                timeout: Some(options.timeout),
                retry: RetryPolicy::never(),
                // Where all connections are made by a connector, these are, too.
                connector: own.connector.clone().or_else(|| self.connector.clone()),
                blocking_connector: own
                    .blocking_connector
                    .clone()
                    .or_else(|| self.blocking_connector.clone()),
                resolver: own.resolver.clone().or_else(|| self.resolver.clone()),
                seed: None,
                ..(**own).clone()
            };
        }
        Self {
            deployment: Deployment::Single(Endpoint::Tcp(address)),
            tls: options.tls.unwrap_or(self.tls),
            username: options.username.clone(),
            password: options.password.clone(),
            credential_provider: None,
            // Sentinels do not know most commands.
            on_connect: None,
            blocking_on_connect: None,
            db: 0,
            read_only: false,
            connect_timeout: options.timeout,
            timeout: Some(options.timeout),
            retry: RetryPolicy::never(),
            // The client's random numbers go on.
            seed: None,
            ..self.clone()
        }
    }
}
