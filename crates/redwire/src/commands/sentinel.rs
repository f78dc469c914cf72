//! Commands for sentinels. They run on connections to sentinels, not on those to the servers they watch: see
//! [`Sentinel`](crate::Sentinel).

use redwire_core::config::HostPort;
use redwire_core::sentinel::Instance;
use redwire_core::{Arg, Cmd, Error, ErrorKind, Outcome, Reader, Reply, Result, Run, facts};

/// Sentinels: what they know, and what they are to do. All are described in [Sentinel
/// commands](https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/#sentinel-commands).
pub trait SentinelCommands: Run {
    /// All masters that this sentinel watches.
    fn sentinel_masters(self) -> Self::Out<Vec<Instance>> {
        self.run(Cmd::of(&facts::SENTINEL_MASTERS))
    }

    /// The master of a service. A service that the sentinel does not know is an error.
    fn sentinel_master(self, service: impl Arg) -> Self::Out<Instance> {
        self.run(Cmd::of(&facts::SENTINEL_MASTER).required(service))
    }

    /// The replicas of a service, those that are down included.
    fn sentinel_replicas(self, service: impl Arg) -> Self::Out<Vec<Instance>> {
        self.run(Cmd::of(&facts::SENTINEL_REPLICAS).required(service))
    }

    /// The other sentinels that watch a service.
    fn sentinel_sentinels(self, service: impl Arg) -> Self::Out<Vec<Instance>> {
        self.run(Cmd::of(&facts::SENTINEL_SENTINELS).required(service))
    }

    /// Where the master of a service is; `None` for a service that the sentinel does not know.
    fn sentinel_get_master_addr_by_name(self, service: impl Arg) -> Self::Out<Option<MasterAddress>> {
        self.run(Cmd::of(&facts::SENTINEL_GET_MASTER_ADDR_BY_NAME).required(service))
    }

    /// Whether enough sentinels are up to agree on a failover, in the sentinel's words. If not, that is an
    /// error.
    fn sentinel_ckquorum(self, service: impl Arg) -> Self::Out<String> {
        self.run(Cmd::of(&facts::SENTINEL_CKQUORUM).required(service))
    }

    /// Begins a failover as if the master were down, without asking the other sentinels.
    fn sentinel_failover(self, service: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SENTINEL_FAILOVER).required(service))
    }

    /// Watches another service: its master's IP address and port, and how many sentinels must agree that it
    /// is down.
    fn sentinel_monitor(self, service: impl Arg, host: &str, port: u16, quorum: u32) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SENTINEL_MONITOR).required(service).arg(host).arg(port).arg(quorum))
    }

    /// Watches a service no longer.
    fn sentinel_remove(self, service: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SENTINEL_REMOVE).required(service))
    }

    /// Forgets the replicas, sentinels and failovers of the services that match a glob pattern; gives how
    /// many match.
    fn sentinel_reset(self, pattern: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::SENTINEL_RESET).required(pattern))
    }

    /// Changes settings of a service, given as pairs of name and value:
    /// `[("down-after-milliseconds", "1000")]`.
    fn sentinel_set(self, service: impl Arg, settings: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SENTINEL_SET).required(service).pairs(settings))
    }

    /// Writes the sentinel's state to its configuration file.
    fn sentinel_flushconfig(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SENTINEL_FLUSHCONFIG))
    }

    /// Settings of the sentinel itself whose names match a glob pattern, usually a `HashMap<String, String>`
    /// (Redis 6.2).
    fn sentinel_config_get<M: Reply>(self, pattern: impl Arg) -> Self::Out<M> {
        self.run(Cmd::of(&facts::SENTINEL_CONFIG).arg("GET").required(pattern))
    }

    /// Changes a setting of the sentinel itself (Redis 6.2).
    fn sentinel_config_set(self, name: impl Arg, value: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SENTINEL_CONFIG).arg("SET").required(name).required(value))
    }

    /// What the servers of these services answered to `INFO`: for each service the sentinel's words for each
    /// server, how many milliseconds ago, and the text. O(services), since Redis 3.2.
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::Value;
    ///
    /// let cache: Value = client.sentinel_info_cache("mymaster")?;
    /// # Ok(()) }
    /// ```
    fn sentinel_info_cache<V: Reply>(self, services: impl Arg) -> Self::Out<V> {
        self.run(Cmd::of(&facts::SENTINEL_INFO_CACHE).required(services))
    }

    /// The scripts that the sentinel runs, or is about to run: each with `argv`, `flags`, `pid`, `run-time`
    /// and `retry-num`. O(scripts), since Redis 2.8.4.
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::Value;
    ///
    /// let scripts: Vec<Value> = client.sentinel_pending_scripts()?;
    /// # Ok(()) }
    /// ```
    fn sentinel_pending_scripts<C: Reply>(self) -> Self::Out<C> {
        self.run(Cmd::of(&facts::SENTINEL_PENDING_SCRIPTS))
    }

    /// The sentinel's own name (Redis 6.2).
    fn sentinel_myid(self) -> Self::Out<String> {
        self.run(Cmd::of(&facts::SENTINEL_MYID))
    }
}

impl<T: Run> SentinelCommands for T {}

/// The address of a master, as a sentinel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MasterAddress(pub HostPort);

impl Reply for MasterAddress {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let (host, port): (String, u16) = Reply::decode(reader)?;
        if host.is_empty() {
            let message = "expected an address, got an empty one";
            return Err(Error::new(ErrorKind::Decode, Outcome::Unreadable, message));
        }
        Ok(Self(HostPort::new(host, port)))
    }
}
