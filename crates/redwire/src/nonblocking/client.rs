//! The async client; [`request`] is the future of a call. They only wait: what to do about a failure is
//! decided in `redwire-core`.

mod request;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::call::{Call, PackedCall, Piped};
use redwire_core::config::{Config, ConfigBuilder, HostPort};
use redwire_core::dispatch::Dispatch;
use redwire_core::pool::PoolStats;
use redwire_core::retry::Attempt;
use redwire_core::{Arg, Cmd, Pipeline, Replies, Reply, Result, Run, Slots, facts};

use super::cluster::Nodes;
use super::connection::Pending;
use super::events::Events;
use super::lock::Lock;
use super::monitor::Monitor;
use super::pool::Pool;
use super::pubsub::PubSub;
use super::scan::Scan;
use super::sharing::SharedConnection;
use crate::shared::clock::{self, Timer};
use crate::shared::node_clients::{NodeClients, ReplicaClients, Retrying};
use crate::shared::scanning::{ScanOptions, Scanning};
use crate::shared::target::Target;
pub use request::Request;

/// A client for one server, one service that sentinels watch, or one cluster, for any number of tasks.
///
/// Cheap to clone; clones share one pipelined connection, which comes back by itself when it is lost; in a
/// cluster there is one to each node, and with [replicas](crate::config::ReadFrom) one to each of them.
/// Commands are methods of the families in the [`prelude`](crate::prelude); any other command runs by
/// [`execute`](Self::execute). Every call is a future that does nothing until it is awaited; dropping it at
/// any moment leaves the connection in order. A command that waits for data (`BLPOP`) gets a connection of
/// its own, so it holds up no other call.
///
/// # In a cluster
/// A command goes to the primary that serves its keys, or, if it only reads, to a replica by
/// [`read_strategy`](crate::config::ConfigBuilder::read_strategy); one without keys goes to any primary, or
/// to all nodes that it concerns (`DBSIZE`, `FLUSHALL`), and keys of several slots are asked for at all their
/// nodes at once where the answers can be put together (`MGET`, `DEL`). Then some nodes may have executed
/// their part when another failed, which the error's [outcome](crate::Error::outcome) tells.
/// [`pool`](Self::pool) and [`monitor`](Self::monitor) are of any node; [`cluster`](Self::cluster) gives
/// each.
///
/// ```no_run
/// # async fn example() -> redwire::Result<()> {
/// use redwire::prelude::*;
///
/// let client = redwire::Client::connect("redis://localhost").await?;
/// client.set("greeting", "hello").await?;
/// let text: Option<String> = client.get("greeting").await?;
/// # Ok(())
/// # }
/// ```
#[doc(alias = "Redis")]
#[doc(alias = "StrictRedis")]
#[doc(alias = "RedisCluster")]
#[doc(alias = "aioredis")]
#[doc(alias = "create_redis")]
#[derive(Clone)]
pub struct Client {
    pub(super) shared_connection: Arc<SharedConnection>,
    pool: Pool,
    /// Whether others may use the pool, too.
    is_pool_shared: bool,
    pub(super) pubsub: PubSub,
    /// Where commands go in a cluster.
    pub(super) cluster: Option<Nodes>,
    /// Where calls go, if they are spread over the replicas of a service.
    pub(super) replicas: Option<Arc<ReplicaClients<Self>>>,
}

impl Client {
    /// Connects to the server that `url` names; the grammar is told at [`ConfigBuilder::url`].
    ///
    /// # Errors
    /// A bad URL, a connection that cannot be made within the connect timeout, or a step of the handshake
    /// that failed.
    #[doc(alias = "from_url")]
    pub async fn connect(url: &str) -> Result<Self> {
        Self::open(Config::from_url(url)?).await
    }

    /// Connects as `config` says.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    #[doc(alias = "initialize")]
    pub async fn open(config: Config) -> Result<Self> {
        let client = Self::lazy(config)?;
        client.connect_now().await?;
        Ok(client)
    }

    async fn connect_now(&self) -> Result<()> {
        match &self.cluster {
            Some(cluster) => cluster.connect().await?,
            None => self.shared_connection.connect().await?,
        }
        if let Some(replicas) = &self.replicas {
            replicas.all().iter().for_each(|replica| replica.client.warm());
        }
        Ok(())
    }

    /// A client that connects when it is used first.
    ///
    /// # Errors
    /// A bad URL, or options that this version has no part for.
    #[doc(alias = "create_reconnecting_redis")]
    #[doc(alias = "init_slot_cache")]
    pub fn connect_lazy(url: &str) -> Result<Self> {
        Self::lazy(Config::from_url(url)?)
    }

    /// As [`connect_lazy`](Self::connect_lazy), with a configuration.
    ///
    /// # Errors
    /// Options that this version has no part for.
    pub fn lazy(config: Config) -> Result<Self> {
        Ok(Self::to(Target::new(config)?))
    }

    fn to(target: Arc<Target>) -> Self {
        Self::beside(Pool::beside(target), false)
    }

    /// A client whose commands that wait (`BLPOP`) borrow from `pool`, which others may use, too. It has a
    /// pipelined connection of its own for all other commands, and connects when it is used first. The pool
    /// stays open when the client is [closed](Self::close).
    ///
    /// Where the pool's connections lead to the replicas of a service, so does this connection: to one of
    /// them, as calls are not spread.
    #[doc(alias = "connection_pool")]
    #[doc(alias = "auto_close_connection_pool")]
    #[must_use]
    pub fn on_pool(pool: &Pool) -> Self {
        Self::beside(pool.clone(), true)
    }

    fn beside(pool: Pool, is_pool_shared: bool) -> Self {
        let target = Arc::clone(pool.target());
        let cluster = Nodes::of(&target);
        let own = Arc::clone(&target);
        let make = move |address: &HostPort| Self::of_node(&own, address);
        // One that borrows from a pool goes where that one's connections lead.
        let spreads = !is_pool_shared;
        let replicas = spreads.then(|| ReplicaClients::of(&target, make, Self::stats)).flatten();
        let pubsub = PubSub::to(target, cluster.clone());
        let shared_connection = Arc::new(SharedConnection::new(&pool));
        Self { shared_connection, pool, is_pool_shared, pubsub, cluster, replicas }
    }

    /// The client of one node of the cluster that `target` leads to, or of one replica of the service.
    pub(super) fn of_node(target: &Arc<Target>, address: &HostPort) -> Self {
        Self::to(target.node(address))
    }

    /// Connects in the background.
    pub(super) fn warm(&self) {
        self.shared_connection.ask();
    }

    /// Pauses before another try.
    pub(super) async fn pause(&self, pause: Duration, attempt: &Attempt) {
        let Some(nodes) = &self.cluster else {
            Timer::after(pause).await;
            while let Some(wait) = self.pool.target().wait_for_turn(attempt) {
                Timer::after(wait).await;
            }
            return;
        };
        nodes.pause(pause).await;
    }

    /// Gives up all connections, and what is under way on them.
    pub(super) fn leave_server(&self) {
        self.shared_connection.leave_server();
        self.pool.leave_server();
        self.pubsub.leave_server();
    }

    /// Sends `call` over the shared connection, or one of its own if it waits, and waits for its replies.
    pub(super) async fn exchange(&self, call: &impl Call, deadline: Option<Instant>) -> Result<Replies> {
        let replies = match call.dispatch()? {
            Dispatch::Shared => self.shared_connection.exchange(call, deadline).await,
            dispatch @ Dispatch::Exclusive(_) => self.exchange_apart(call, dispatch, deadline)?.await,
        };
        replies.map_err(|error| self.pool.target().locate(error))
    }

    /// Sends `call` over a connection of its own, and waits for its replies.
    fn exchange_apart(
        &self,
        call: &impl Call,
        dispatch: Dispatch,
        deadline: Option<Instant>,
    ) -> Result<Pending<'static, Replies>> {
        self.shared_connection.check()?;
        let (pool, packed) = (self.pool.clone(), PackedCall::of(call));
        Ok(Box::pin(async move { pool.exchange(&packed, dispatch.waits(), deadline).await }))
    }

    /// Where commands that wait borrow their connections. Those that go to the nodes of a cluster, or are
    /// spread over replicas, borrow from a pool for each server; this one's connections then lead to any of
    /// them.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What the connections of this client are doing, and have done so far: those of its
    /// [pool](Self::pool), and the one that its calls share, which counts as in use while calls are under
    /// way. With [replicas](crate::config::ReadFrom) of a service, those to all of them together. In a
    /// cluster each node has its own ([`Cluster::stats`](crate::Cluster::stats)).
    ///
    /// ```no_run
    /// # async fn example(client: redwire::Client) -> redwire::Result<()> {
    /// use redwire::prelude::*;
    ///
    /// client.ping().await?;
    /// assert_eq!((client.stats().size, client.stats().created), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let own = self.shared_connection.count(self.pool.stats());
        match &self.replicas {
            Some(replicas) => own.plus(&replicas.stats()),
            None => own,
        }
    }

    /// What happens to the connections of this client, from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.pool.events()
    }

    /// Shows every command that the server executes, over a connection of its own that the end of this client
    /// does not end; see [`Monitor`].
    ///
    /// # Errors
    /// As [`connect`](Self::connect); also the server's, if this user may not listen.
    pub async fn monitor(&self) -> Result<Monitor> {
        Monitor::to(Arc::clone(self.pool.target())).await
    }

    /// Takes no more calls, from whichever clone, and waits until those under way are answered, but no longer
    /// than `limit` (`Duration::MAX`: without limit). Then all connections are closed. Calls that are not
    /// answered by then fail.
    ///
    /// A client [on a pool](Self::on_pool) closes what is its own: it takes no more calls, and its
    /// subscriptions and the connection that its calls share end. The pool stays open, and calls under way
    /// over it go on.
    #[doc(alias = "aclose")]
    #[doc(alias = "close_connection_pool")]
    pub async fn close(&self, limit: Duration) {
        let now = clock::now();
        self.pubsub.close();
        if let Some(cluster) = &self.cluster {
            cluster.close(limit).await;
        }
        for replica in self.replicas.iter().flat_map(|replicas| replicas.close()) {
            // Boxed, since a replica's client could have replicas, for all that the compiler knows.
            Box::pin(replica.client.close(limit.saturating_sub(clock::since(now)))).await;
        }
        self.shared_connection.close(now.checked_add(limit)).await;
        if !self.is_pool_shared {
            self.pool.close(limit.saturating_sub(clock::since(now))).await;
        }
    }

    /// Options, one by one: finish with [`ConfigBuilder::build`] and [`open`](Self::open).
    pub fn builder() -> ConfigBuilder {
        Config::builder()
    }

    /// The options this client was made with.
    #[doc(alias = "get_connection_kwargs")]
    #[must_use]
    pub fn config(&self) -> &Config {
        self.pool.config()
    }

    /// Runs any command.
    ///
    /// ```no_run
    /// # async fn example(client: redwire::Client) -> redwire::Result<()> {
    /// use redwire::cmd;
    ///
    /// let bytes: Option<u64> = client.execute(cmd("MEMORY USAGE").arg("key")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// `SHUTDOWN` has no answer but the end of its connection, which is taken for `OK`; it is sent once, on a
    /// connection of its own, and may take the time that the server gives its replicas (10 s by default) on
    /// top of the deadline. It cannot stand in a pipeline.
    ///
    /// # Errors
    /// The server's error; a connection that was lost or cannot be made; no reply before the deadline; a
    /// reply of another type; a command that would change the connection for others.
    /// [`Error::outcome`](crate::Error::outcome) tells whether it was executed.
    #[doc(alias = "execute_command")]
    #[inline]
    pub fn execute<R: Reply>(&self, cmd: Cmd<R>) -> Request<'_, Cmd<R>> {
        self.request(cmd)
    }

    /// Sends several commands in one write and gives their replies in the shape that `build` returns.
    ///
    /// ```no_run
    /// # async fn example(client: redwire::Client) -> redwire::Result<()> {
    /// use redwire::prelude::*;
    ///
    /// let (n, names): (i64, Vec<String>) =
    ///     client.pipeline(|p| (p.incr("n"), p.lrange("names", 0, -1))).await?;
    /// let many: Vec<Option<String>> =
    ///     client.pipeline(|p| (0..100).map(|i| p.get(i)).collect::<Vec<_>>()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The first command that failed, unless its slot takes the error as a value
    /// ([`Slot::attempt`](crate::Slot::attempt)). The other commands are executed all the same.
    #[doc(alias = "ClusterPipeline")]
    pub fn pipeline<S: Slots>(&self, build: impl FnOnce(&Pipeline) -> S) -> Request<'_, Piped<S>> {
        self.request(Piped::record(build))
    }

    #[inline]
    pub(super) fn request<C: Call>(&self, call: C) -> Request<'_, C> {
        Request::new(self, call)
    }

    /// The lock of this name, with its defaults, to be told how long it lasts and to be acquired. Its docs
    /// say what a lock of a server guarantees, and what not.
    ///
    /// ```no_run
    /// # async fn example(client: redwire::Client) -> redwire::Result<()> {
    /// let guard = client.lock("jobs:nightly").acquire().await?;
    /// guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn lock(&self, name: impl AsRef<[u8]>) -> Lock {
        Lock::new(self, name)
    }
}

impl Client {
    /// All keys of the database, a page at a time; in a cluster, those of all nodes.
    /// [SCAN](https://redis.io/docs/latest/commands/scan/)
    #[doc(alias = "scan_iter")]
    pub fn scan<T: Reply>(&self, options: ScanOptions) -> Scan<'_, T> {
        let scanning = match &self.cluster {
            Some(_) => Scanning::cluster(options, self.config().cluster_options()),
            None => Scanning::keys(options),
        };
        Scan::new(self, scanning)
    }

    /// The fields of a hash with their values: `T` is a pair.
    /// [HSCAN](https://redis.io/docs/latest/commands/hscan/)
    pub fn hscan<T: Reply>(&self, key: impl Arg, options: ScanOptions) -> Scan<'_, T> {
        Scan::new(self, Scanning::within(&facts::HSCAN, key, options))
    }

    /// The members of a set. [SSCAN](https://redis.io/docs/latest/commands/sscan/)
    pub fn sscan<T: Reply>(&self, key: impl Arg, options: ScanOptions) -> Scan<'_, T> {
        Scan::new(self, Scanning::within(&facts::SSCAN, key, options))
    }

    /// The members of a sorted set with their scores: `T` is a pair.
    /// [ZSCAN](https://redis.io/docs/latest/commands/zscan/)
    pub fn zscan<T: Reply>(&self, key: impl Arg, options: ScanOptions) -> Scan<'_, T> {
        Scan::new(self, Scanning::within(&facts::ZSCAN, key, options))
    }
}

impl<'c> Run for &'c Client {
    type Out<R: Reply> = Request<'c, Cmd<R>>;

    #[inline]
    fn run<R: Reply>(self, cmd: Cmd<R>) -> Request<'c, Cmd<R>> {
        self.execute(cmd)
    }
}

impl Retrying for Client {
    fn target(&self) -> &Target {
        self.pool.target()
    }

    fn node_clients(&self) -> Option<&NodeClients<Self>> {
        self.cluster.as_ref().map(Nodes::node_clients)
    }

    fn replicas(&self) -> Option<&ReplicaClients<Self>> {
        self.replicas.as_deref()
    }

    fn rest(&self) -> bool {
        self.shared_connection.rest()
    }

    fn may_retry(&self) -> bool {
        match &self.cluster {
            Some(nodes) => nodes.may_retry(),
            None => {
                let spread = self.replicas.as_ref().map_or(0, |replicas| replicas.calls());
                self.target().may_retry(self.shared_connection.calls() + spread)
            }
        }
    }

    fn follow(&self) -> Result<()> {
        self.cluster.as_ref().map_or(Ok(()), Nodes::follow)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", self.config()).finish_non_exhaustive()
    }
}
