//! A client-side cache, blocking. It only waits; what is kept, who reads, and what a change means is decided
//! in `redwire-core`.

mod tracked_conn;
mod tracking;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::cache::{
    CacheOptions, CacheStats, Fetch, FlightWait, Lookup, Suitable, is_for_client, suitable, sync_question,
    wants_master,
};
use redwire_core::call::{self, Call};
use redwire_core::cluster::TopologyHint;
use redwire_core::dispatch::Dispatch;
use redwire_core::{Cmd, Error, Outcome, Replies, Reply, Result, Run};

use super::client::Client;
use super::cluster::Nodes;
use crate::shared::node_caches::{NodeCache, NodeCaches};
use crate::shared::threads;
use tracked_conn::TrackedConn;
use tracking::Tracking;

/// A client-side cache: reads are served from memory until the server says that their keys have changed.
///
/// Made by [`Client::cached`]; it works and promises the same as the async [`Cache`](crate::Cache), of which
/// the documentation tells more. It is the one part of the blocking client with a thread, since changes must
/// be heard while no call is made: one that reads from its connection, and on RESP2 two, since it has two
/// connections. They end when the last handle is dropped.
///
/// ```no_run
/// # let client = redwire::blocking::Client::connect("redis://localhost")?;
/// use redwire::cache::CacheOptions;
/// use redwire::prelude::*;
///
/// let cache = client.cached(CacheOptions::default())?;
/// let first: Option<String> = cache.get("greeting")?; // asks the server
/// let again: Option<String> = cache.get("greeting")?; // does not
/// println!("{} of {} served from memory", cache.stats().hits, cache.stats().hits + cache.stats().misses);
/// # Ok::<(), redwire::Error>(())
/// ```
#[derive(Clone)]
pub struct Cache {
    inner: Arc<CacheInner>,
    opted_in: bool,
}

struct CacheInner {
    client: Client,
    node_caches: NodeCaches<TrackedConn>,
}

impl Client {
    /// A cache beside this client, connected and ready.
    ///
    /// With the [replicas](crate::config::ReadFrom) of a service, all that is kept is read from one of them,
    /// which announces its changes; reads that cannot be kept are spread as those of the client.
    ///
    /// ```no_run
    /// # let client = redwire::blocking::Client::connect("redis://localhost")?;
    /// use std::time::Duration;
    ///
    /// use redwire::cache::CacheOptions;
    /// use redwire::prelude::*;
    ///
    /// let options = CacheOptions::default().max_bytes(256 << 20).ttl(Duration::from_secs(60));
    /// let options = options.broadcast(["user:"]);
    /// let cache = client.cached(options)?;
    /// let name: Option<String> = cache.hget("user:17", "name")?;
    /// # Ok::<(), redwire::Error>(())
    /// ```
    ///
    /// # Errors
    /// A connection that cannot be made; a server that announces no changes: one that is older than Redis 6,
    /// or whose user may not say `CLIENT TRACKING`.
    pub fn cached(&self, options: CacheOptions) -> Result<Cache> {
        let node_caches = match &self.cluster {
            None => NodeCaches::of_server(options.clone(), Tracking::beside(self.pool(), options)),
            Some(nodes) => {
                nodes.learn(threads::now().checked_add(self.config().connect_timeout()), true)?;
                let node_caches = NodeCaches::of_cluster(options.clone());
                node_caches.fill(nodes.node_clients(), |node| Tracking::beside(node.pool(), options.clone()));
                node_caches
            }
        };
        node_caches.all().iter().try_for_each(|node_cache| node_cache.conn.connect())?;
        Ok(Cache { inner: Arc::new(CacheInner { client: self.clone(), node_caches }), opted_in: false })
    }
}

impl Cache {
    /// The same cache, for reads that are to be cached in
    /// [`CacheMode::OptIn`](crate::cache::CacheMode::OptIn). In other modes it makes no difference.
    ///
    /// ```no_run
    /// # let client = redwire::blocking::Client::connect("redis://localhost")?;
    /// use redwire::cache::CacheOptions;
    /// use redwire::prelude::*;
    ///
    /// let cache = client.cached(CacheOptions::default().opt_in())?;
    /// let kept: Option<String> = cache.opted_in().get("settings")?;
    /// let not: Option<String> = cache.get("seen once")?;
    /// # Ok::<(), redwire::Error>(())
    /// ```
    #[must_use]
    pub fn opted_in(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), opted_in: true }
    }

    /// Waits until everything is known that the server has announced: one round trip to it, two with RESP2.
    /// A caller that reads afterwards sees every write that was acknowledged before, to any client.
    ///
    /// While no server announces changes there is nothing to wait for, since nothing is kept.
    ///
    /// # Errors
    /// No answer within the timeout; a queue that is full.
    pub fn sync(&self) -> Result<()> {
        let limit = self.client().config().timeout();
        let deadline = limit.and_then(|limit| threads::now().checked_add(limit));
        let wants_master = wants_master(self.client().config());
        let (mut node_caches, mut asked) = (self.node_caches(), Vec::new());
        while !node_caches.is_empty() {
            for node_cache in &node_caches {
                if node_cache.sync(deadline, wants_master)? {
                    self.suspect_map();
                }
            }
            asked.append(&mut node_caches);
            // Others may have taken over meanwhile, and have kept something.
            node_caches = self.node_caches();
            node_caches.retain(|node_cache| !asked.iter().any(|asked| Arc::ptr_eq(asked, node_cache)));
        }
        Ok(())
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.inner.node_caches.clear();
    }

    /// What the cache did so far, and holds now.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.inner.node_caches.stats()
    }

    /// Whether changes are announced now, so that anything is kept.
    #[must_use]
    pub fn is_tracking(&self) -> bool {
        self.inner.node_caches.are_live()
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &CacheOptions {
        self.inner.node_caches.options()
    }

    /// The client it was made from, for reads that must not be cached.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// Runs any command; see [`Client::execute`].
    ///
    /// # Errors
    /// As [`Client::execute`].
    #[doc(alias = "execute_command")]
    pub fn execute<R: Reply>(&self, cmd: Cmd<R>) -> Result<R> {
        match suitable(cmd.facts()) {
            Suitable::Read if self.options().covers(self.opted_in) => match self.find(&cmd) {
                Some(node_cache) => self.read(&node_cache, cmd),
                None => self.client().execute(cmd),
            },
            Suitable::Change | Suitable::ChangeAll => {
                let result = self.client().execute(cmd.clone());
                self.inner.node_caches.handle_written(&cmd);
                result
            }
            _ => self.client().execute(cmd),
        }
    }

    /// Where the answer to `cmd` is kept.
    #[inline]
    fn find<R: Reply>(&self, cmd: &Cmd<R>) -> Option<Arc<NodeCache<TrackedConn>>> {
        let node_clients = self.client().cluster.as_ref().map(Nodes::node_clients);
        self.inner.node_caches.find(cmd, node_clients, |node| self.make(node))
    }

    /// All that keep something, by the newest map.
    fn node_caches(&self) -> Vec<Arc<NodeCache<TrackedConn>>> {
        match &self.client().cluster {
            Some(nodes) => self.inner.node_caches.fill(nodes.node_clients(), |node| self.make(node)),
            None => self.inner.node_caches.all(),
        }
    }

    fn make(&self, node: &Client) -> NodeCache<TrackedConn> {
        let node_cache = Tracking::beside(node.pool(), self.options().clone());
        node_cache.conn.connect_beside();
        node_cache
    }

    /// A node is no primary any more: has the map asked for.
    fn suspect_map(&self) {
        if let Some(nodes) = &self.client().cluster {
            nodes.node_clients().handle_hints(&[TopologyHint::Suspect]);
            nodes.follow();
        }
    }

    fn read<R: Reply>(&self, node_cache: &NodeCache<TrackedConn>, mut cmd: Cmd<R>) -> Result<R> {
        let NodeCache { conn, tracking } = node_cache;
        let mut now = threads::now();
        let mut deadline = None;
        loop {
            let Some(found) = tracking.look(&cmd, now, threads::current) else {
                return self.client().execute(cmd);
            };
            if let Lookup::Hit(replies) = found {
                let output = call::read(&mut cmd, replies, self.client().config());
                return output.map_err(|error| self.explain(error, &cmd));
            }
            let deadline = *deadline.get_or_insert_with(|| {
                call::deadline(Dispatch::Shared, cmd.options(), self.client().config().timeout(), now)
            });
            let replies = match found {
                Lookup::Fetch(flight) => {
                    let mut fetch = Fetch::new(&cmd, tracking.options());
                    let fetched = conn.exchange(&fetch, deadline).and_then(|replies| fetch.read(replies));
                    tracking.change(|store| match &fetched {
                        Ok(replies) => store.handle_fetched(flight, replies),
                        Err(_) => store.handle_failed(flight),
                    });
                    fetched
                }
                Lookup::FlightWait(wait) => match node_cache.wait(wait, deadline) {
                    Ok(None) => {
                        now = threads::now();
                        continue;
                    }
                    Ok(Some(replies)) => Ok(replies),
                    Err(error) => Err(error),
                },
                Lookup::Settle(mark) => {
                    let listener = tracking.listener(conn);
                    let known = listener.exchange(&sync_question(false), deadline).is_ok();
                    tracking.change(|store| store.handle_settled(mark, known));
                    now = threads::now();
                    continue;
                }
                Lookup::Hit(_) | Lookup::Pass => {
                    if !tracking.is_live() {
                        conn.ask();
                    }
                    return self.plain(cmd, deadline);
                }
            };
            let output = replies.and_then(|replies| call::read(&mut cmd, replies, self.client().config()));
            if let Err(error) = &output {
                self.client().pool().target().handle_failure(error);
            }
            return match output {
                Err(error) if is_for_client(&error, self.client().config()) => self.plain(cmd, deadline),
                result => result.map_err(|error| self.explain(error, &cmd)),
            };
        }
    }

    /// Over the client, with the time that is left.
    fn plain<R: Reply>(&self, cmd: Cmd<R>, deadline: Option<Instant>) -> Result<R> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(threads::now()));
        self.client().execute(match left {
            // No time at all would mean no limit.
            Some(left) => cmd.timeout(left.max(Duration::from_micros(1))),
            None => cmd,
        })
    }

    #[cold]
    fn explain<R>(&self, error: Error, cmd: &Cmd<R>) -> Error {
        self.client().pool().target().locate(error).with_command(&cmd.name())
    }
}

impl NodeCache<TrackedConn> {
    /// Waits until everything is known that the server has announced. Whether it is a former master.
    fn sync(&self, deadline: Option<Instant>, wants_master: bool) -> Result<bool> {
        let Self { conn, tracking } = self;
        if !tracking.is_live() {
            return Ok(false);
        }
        // What was written while the tracked connection was gone already, no server has announced.
        let is_demoted = tracking.handle_asked(conn.exchange(&sync_question(wants_master), deadline))?;
        let listener = tracking.listener(conn);
        if !is_demoted && !Arc::ptr_eq(&listener, conn) {
            let mark = tracking.lock().mark();
            let answered = listener.exchange(&sync_question(false), deadline);
            let known = answered.is_ok();
            tracking.handle_asked(answered)?;
            tracking.change(|store| store.handle_settled(mark, known));
        }
        Ok(is_demoted)
    }

    /// Waits for what another reads; `None` where that failed.
    fn wait(&self, mut wait: FlightWait, deadline: Option<Instant>) -> Result<Option<Replies>> {
        let tracking = &self.tracking;
        loop {
            wait = match tracking.lock().poll_wait(wait, |_| {}) {
                Ok(answer) => return Ok(answer),
                Err(wait) => wait,
            };
            if threads::is_over(deadline) {
                tracking.lock().abandon(wait);
                return Err(Error::timeout(Outcome::NotSent));
            }
            threads::park_until(deadline);
        }
    }
}

impl Run for &Cache {
    type Out<R: Reply> = Result<R>;

    #[inline]
    fn run<R: Reply>(self, cmd: Cmd<R>) -> Result<R> {
        self.execute(cmd)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("options", self.options()).finish_non_exhaustive()
    }
}
