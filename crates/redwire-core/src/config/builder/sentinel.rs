//! The setters of Sentinel. Promises the same as its parent: each option is documented with default, unit and
//! what breaks at both extremes. Must not know how sentinels are asked.
//!
//! All of them ask for a Sentinel set to go with them: an option that would do nothing is an error.

use std::time::Duration;

use crate::config::{Config, ConfigBuilder, ReadFrom};
use crate::secret::Secret;

use super::non_empty;

impl ConfigBuilder {
    /// The ACL user at the sentinels. Default: none, which is their default user. Empty is none. Without a
    /// password it authenticates with the empty one, as [`username`](Self::username) does.
    pub fn sentinel_username(mut self, username: impl Into<String>) -> Self {
        self.config.sentinel.username = non_empty(username.into());
        self
    }

    /// The password of the sentinels, which have none in common with the servers. Default: none. Empty is
    /// none.
    pub fn sentinel_password(mut self, password: impl Into<Secret>) -> Self {
        self.config.sentinel.password = Some(password.into()).filter(|secret| !secret.reveal().is_empty());
        self
    }

    /// Whether sentinels are spoken to by TLS. Default: as the servers are ([`tls`](Self::tls), `rediss`).
    /// Certificates and all else of TLS are the same for both, unless they have a
    /// [configuration](Self::sentinel_config) of their own.
    pub fn sentinel_tls(mut self, on: bool) -> Self {
        self.config.sentinel.tls = Some(on);
        self
    }

    /// The configuration of connections to sentinels, in place of this one: for a CA, a client certificate, a
    /// credential provider, a client name or a protocol of their own. Default: none, which is this
    /// configuration with the user, the password and the TLS that the options above say. Its address,
    /// database, retries and timeouts count for nothing ([`sentinel_timeout`](Self::sentinel_timeout) holds);
    /// connector and resolver are this one's, if it has none.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// use redwire::config::Config;
    ///
    /// let sentinels = Config::builder().tls(true).tls_ca_file("/etc/sentinels/ca.pem").build()?;
    /// let config = Config::builder()
    ///     .url("redis+sentinel://s1,s2,s3/mymaster")
    ///     .sentinel_config(sentinels)
    ///     .build()?;
    /// # Ok::<(), redwire::config::ConfigError>(())
    /// ```
    #[doc(alias = "sentinel_kwargs")]
    pub fn sentinel_config(mut self, config: Config) -> Self {
        self.config.sentinel.config = Some(Box::new(config));
        self
    }

    /// How long a sentinel may take to connect and answer. Default 1 s. The next is asked beside it after 200
    /// ms, so one that is slow holds up no caller. Short, and sentinels under load are taken for unreachable;
    /// long, and an error takes as long where all of them are silent.
    pub fn sentinel_timeout(mut self, limit: Duration) -> Self {
        self.config.sentinel.timeout = limit;
        self
    }

    /// How many other sentinels one must know of to be believed. Default 0. A majority less one keeps a
    /// client from following a sentinel that was cut off from the others with an old master; more than there
    /// are, and none is believed.
    pub fn min_other_sentinels(mut self, least: u32) -> Self {
        self.config.sentinel.min_other_sentinels = least;
        self
    }

    /// Which servers of the service are used. Default [`ReadFrom::Master`]. The calls of a client of replicas
    /// are spread over all of them; it reads what the master had a moment ago, and cannot write.
    pub fn read_from(mut self, servers: ReadFrom) -> Self {
        self.config.sentinel.read_from = servers;
        self
    }
}
