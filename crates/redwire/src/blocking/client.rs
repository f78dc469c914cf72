//! The blocking client. It only waits: what to do about a failure is decided in `redwire-core`.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::call::{self, Call, Piped};
use redwire_core::config::{Config, ConfigBuilder, HostPort};
use redwire_core::dispatch::Dispatch;
use redwire_core::pool::PoolStats;
use redwire_core::retry::{self, Attempt, Decision};
use redwire_core::{Arg, Cmd, Error, Pipeline, Replies, Reply, Result, Run, Slots, facts};

use super::cluster::Nodes;
use super::events::Events;
use super::lock::Lock;
use super::monitor::Monitor;
use super::pool::Pool;
use super::pubsub::PubSub;
use super::scan::Scan;
use super::sharing::SharedConnections;
use crate::shared::node_clients::{NodeClients, ReplicaClients, Retrying, Routed};
use crate::shared::scanning::{ScanOptions, Scanning};
use crate::shared::target::Target;
use crate::shared::threads;

/// A client for one server, one service that sentinels watch, or one cluster, for any number of threads. What
/// a cluster means to it is told at the async [`Client`](crate::Client).
///
/// Cheap to clone; clones share their connections, of which there are at most `max_connections` (default 50).
/// A call has a connection to itself while it runs; from six calls at a time on, small ones share one, and
/// threads that wait write and read for all. Commands are methods of the families in the
/// [`prelude`](crate::prelude); any other command runs by [`execute`](Self::execute).
///
/// ```no_run
/// use redwire::prelude::*;
///
/// let client = redwire::blocking::Client::connect("redis://localhost")?;
/// client.set("greeting", "hello")?;
/// let text: Option<String> = client.get("greeting")?;
/// # Ok::<(), redwire::Error>(())
/// ```
#[doc(alias = "Redis")]
#[doc(alias = "StrictRedis")]
#[doc(alias = "RedisCluster")]
#[doc(alias = "aioredis")]
#[doc(alias = "create_redis")]
#[derive(Clone)]
pub struct Client {
    pub(super) shared_connections: SharedConnections,
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
    pub fn connect(url: &str) -> Result<Self> {
        Self::open(Config::from_url(url)?)
    }

    /// Connects as `config` says.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    #[doc(alias = "initialize")]
    pub fn open(config: Config) -> Result<Self> {
        let client = Self::lazy(config)?;
        client.connect_now()?;
        Ok(client)
    }

    fn connect_now(&self) -> Result<()> {
        match &self.cluster {
            Some(nodes) => nodes.connect(),
            // Where the replicas are is known by then. Connections to them are made when they are asked for.
            None => self.pool().warm(),
        }
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
        Ok(Self::beside(SharedConnections::new(Pool::to(Target::new(config)?))))
    }

    /// A client whose calls borrow from `pool`, which others may use, too. The pool stays open when the
    /// client is [closed](Self::close).
    ///
    /// Where the pool's connections lead to the replicas of a service, each call goes where the connection
    /// leads that it borrows: calls are not spread.
    #[doc(alias = "connection_pool")]
    #[doc(alias = "auto_close_connection_pool")]
    #[must_use]
    pub fn on_pool(pool: &Pool) -> Self {
        Self::to(SharedConnections::beside_others(pool.clone()))
    }

    /// One that has a pool of its own, or, with replicas of a service, one for each.
    fn beside(shared_connections: SharedConnections) -> Self {
        let pool = shared_connections.pool();
        let own = Arc::clone(pool.target());
        let make = move |address: &HostPort| Self::of_node(&own, address);
        let replicas = ReplicaClients::of(pool.target(), make, Self::stats);
        Self { replicas, ..Self::to(shared_connections) }
    }

    fn to(shared_connections: SharedConnections) -> Self {
        let pool = shared_connections.pool();
        let cluster = Nodes::of(pool.target());
        Self { pubsub: pool.pubsub(cluster.clone()), shared_connections, cluster, replicas: None }
    }

    /// The client of one node of the cluster that `target` leads to, or of one replica of the service.
    pub(super) fn of_node(target: &Arc<Target>, address: &HostPort) -> Self {
        Self::to(SharedConnections::new(Pool::to(target.node(address))))
    }

    /// Gives up all connections, and what is under way on them.
    pub(super) fn leave_server(&self) {
        self.pool().leave_server();
        self.pubsub.leave_server();
    }

    /// Where calls borrow their connections. Those that go to the nodes of a cluster, or are spread over
    /// replicas, borrow from a pool for each server; this one's connections then lead to any of them.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        self.shared_connections.pool()
    }

    /// What the connections of this client are doing, and have done so far: those of its
    /// [pool](Self::pool). With [replicas](crate::config::ReadFrom) of a service, those to all of them
    /// together. In a cluster each node has its own
    /// ([`Cluster::stats`](crate::blocking::Cluster::stats)).
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let own = self.pool().stats();
        match &self.replicas {
            Some(replicas) => own.plus(&replicas.stats()),
            None => own,
        }
    }

    /// What happens to the connections of this client, from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.pool().events()
    }

    /// Shows every command that the server executes, over a connection of its own that the end of this client
    /// does not end; see [`Monitor`].
    ///
    /// # Errors
    /// As [`connect`](Self::connect); also the server's, if this user may not listen.
    pub fn monitor(&self) -> Result<Monitor> {
        Monitor::to(Arc::clone(self.pool().target()))
    }

    /// Takes no more calls, from whichever clone, and waits until those under way are answered, but no longer
    /// than `limit` (`Duration::MAX`: without limit). Then all connections are closed. Calls that are not
    /// answered by then fail.
    ///
    /// A client [on a pool](Self::on_pool) closes what is its own: it takes no more calls, and its
    /// subscriptions end. The pool stays open, and calls under way over it go on.
    #[doc(alias = "aclose")]
    #[doc(alias = "close_connection_pool")]
    pub fn close(&self, limit: Duration) {
        let start = threads::now();
        self.pubsub.close();
        if let Some(nodes) = &self.cluster {
            nodes.close(limit);
        }
        for replica in self.replicas.iter().flat_map(|replicas| replicas.close()) {
            replica.client.close(limit.saturating_sub(threads::since(start)));
        }
        self.shared_connections.close(limit.saturating_sub(threads::since(start)));
    }

    /// Options, one by one: finish with [`ConfigBuilder::build`] and [`open`](Self::open).
    pub fn builder() -> ConfigBuilder {
        Config::builder()
    }

    /// The options this client was made with.
    #[doc(alias = "get_connection_kwargs")]
    #[must_use]
    pub fn config(&self) -> &Config {
        self.pool().config()
    }

    /// Runs any command.
    ///
    /// ```no_run
    /// # let client = redwire::blocking::Client::connect("redis://localhost")?;
    /// use redwire::cmd;
    ///
    /// let bytes: Option<u64> = client.execute(cmd("MEMORY USAGE").arg("key"))?;
    /// # Ok::<(), redwire::Error>(())
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
    pub fn execute<R: Reply>(&self, cmd: Cmd<R>) -> Result<R> {
        self.call(cmd)
    }

    /// Sends several commands in one write and gives their replies in the shape that `build` returns.
    ///
    /// ```no_run
    /// # let client = redwire::blocking::Client::connect("redis://localhost")?;
    /// use redwire::prelude::*;
    ///
    /// let (n, names): (i64, Vec<String>) = client.pipeline(|p| (p.incr("n"), p.lrange("names", 0, -1)))?;
    /// let many: Vec<Option<String>> = client.pipeline(|p| (0..100).map(|i| p.get(i)).collect::<Vec<_>>())?;
    /// # Ok::<(), redwire::Error>(())
    /// ```
    ///
    /// # Errors
    /// The first command that failed, unless its slot takes the error as a value
    /// ([`Slot::attempt`](crate::Slot::attempt)). The other commands are executed all the same.
    #[doc(alias = "ClusterPipeline")]
    pub fn pipeline<S: Slots>(&self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        self.call(Piped::record(build))
    }

    #[inline]
    pub(super) fn call<C: Call>(&self, mut call: C) -> Result<C::Output> {
        let dispatch = call.dispatch()?;
        if call.count() == 0 {
            return call.read(Replies::default());
        }
        let pool = self.pool();
        let now = threads::now();
        let deadline = call::deadline(dispatch, call.options(), pool.config().timeout(), now);
        if self.cluster.is_some() | self.replicas.is_some() {
            return self.call_one_of_several(call, dispatch, now, deadline);
        }
        let until = retry::try_deadline(&call, dispatch, pool.config(), deadline, now);
        let replies = self.shared_connections.exchange(&call, dispatch, now, until);
        match replies.and_then(|replies| call::read(&mut call, replies, pool.config())) {
            Ok(output) => {
                pool.target().handle_answered(&call);
                Ok(output)
            }
            Err(error) => self.call_again(call, dispatch, Attempt::new(deadline), error),
        }
    }

    /// Carries out `call` in a cluster, or at a replica.
    #[inline(never)]
    fn call_one_of_several<C: Call>(
        &self,
        mut call: C,
        dispatch: Dispatch,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Result<C::Output> {
        let mut routed = Routed::new();
        match self.try_call(&mut call, &mut routed, dispatch, now, deadline) {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(error)) => self.retry(call, routed, dispatch, Attempt::new(deadline), error),
            Err(error) => call::fail(&mut call, error, self.config()),
        }
    }

    /// Goes on after the first try of `call` failed, at the only server there is.
    #[cold]
    fn call_again<C: Call>(
        &self,
        call: C,
        dispatch: Dispatch,
        attempt: Attempt,
        error: Error,
    ) -> Result<C::Output> {
        self.retry(call, Routed::new(), dispatch, attempt, error)
    }

    /// Goes on after the first try of `call` failed on its `routed`.
    #[cold]
    pub(super) fn retry<C: Call>(
        &self,
        mut call: C,
        mut routed: Routed<Self>,
        dispatch: Dispatch,
        mut attempt: Attempt,
        mut error: Error,
    ) -> Result<C::Output> {
        let (config, deadline) = (self.config(), attempt.deadline());
        loop {
            error = match call::ended(&call, error) {
                Ok(replies) => return call::read(&mut call, replies, config),
                Err(error) => error,
            };
            match routed.handle_failure(self, &mut attempt, error, &mut call) {
                Decision::Retry(pause) => self.pause(pause, &attempt),
                Decision::Again => {}
                Decision::Fail(error) => return call::fail(&mut call, error, config),
            }
            let (dispatch, now) = (attempt.dispatch(dispatch), threads::now());
            error = match self.try_call(&mut call, &mut routed, dispatch, now, deadline) {
                Ok(Ok(output)) => {
                    self.target().handle_tried(&attempt);
                    return Ok(output);
                }
                Ok(Err(error)) => error,
                Err(error) => return call::fail(&mut call, error, config),
            };
        }
    }

    /// One try of `call`, which must end by `deadline`. What fails inside may be tried again.
    fn try_call<C: Call>(
        &self,
        call: &mut C,
        routed: &mut Routed<Self>,
        dispatch: Dispatch,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Result<Result<C::Output>> {
        if let Some(nodes) = &self.cluster {
            return nodes.try_call(self, call, routed, dispatch, now, deadline);
        }
        routed.pick_replica(self, now);
        let server = routed.node_client().map_or(self, |replica| &replica.client);
        let until = retry::try_deadline(call, dispatch, self.config(), deadline, now);
        let replies = server.shared_connections.exchange(call, dispatch, now, until);
        let output = replies.and_then(|replies| call::read(call, replies, self.config()));
        let output = output.inspect(|_| server.target().handle_answered(call));
        if output.is_ok() && routed.is_timed() {
            routed.handle_success(self);
        }
        Ok(output)
    }

    /// Pauses before another try.
    pub(super) fn pause(&self, pause: Duration, attempt: &Attempt) {
        let Some(nodes) = &self.cluster else {
            threads::sleep(pause);
            while let Some(wait) = self.pool().target().wait_for_turn(attempt) {
                threads::sleep(wait);
            }
            return;
        };
        nodes.pause(pause);
    }

    /// The lock of this name, with its defaults, to be told how long it lasts and to be acquired. Its docs
    /// say what a lock of a server guarantees, and what not.
    ///
    /// ```no_run
    /// # let client = redwire::blocking::Client::connect("redis://localhost")?;
    /// let guard = client.lock("jobs:nightly").acquire()?;
    /// guard.release()?;
    /// # Ok::<(), redwire::Error>(())
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

impl Run for &Client {
    type Out<R: Reply> = Result<R>;

    #[inline]
    fn run<R: Reply>(self, cmd: Cmd<R>) -> Result<R> {
        self.call(cmd)
    }
}

impl Retrying for Client {
    fn target(&self) -> &Target {
        self.pool().target()
    }

    fn node_clients(&self) -> Option<&NodeClients<Self>> {
        self.cluster.as_ref().map(Nodes::node_clients)
    }

    fn replicas(&self) -> Option<&ReplicaClients<Self>> {
        self.replicas.as_deref()
    }

    fn rest(&self) -> bool {
        self.pool().disconnect_idle();
        self.pool().stats().size == 0
    }

    fn may_retry(&self) -> bool {
        let spread = self.replicas.as_ref().map_or(0, |replicas| replicas.calls());
        self.cluster.as_ref().map_or_else(|| self.pool().may_retry(spread), Nodes::may_retry)
    }

    fn follow(&self) -> Result<()> {
        self.cluster.iter().for_each(Nodes::follow);
        Ok(())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", self.config()).finish_non_exhaustive()
    }
}
