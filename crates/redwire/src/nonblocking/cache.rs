//! A client-side cache, async. It only waits; what is kept, who reads, and what a change means is decided in
//! `redwire-core`.

mod tracking;

use std::fmt;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use redwire_core::cache::{
    CacheOptions, CacheStats, Fetch, Flight, FlightWait, Lookup, Suitable, is_for_client, suitable,
    sync_question, wants_master,
};
use redwire_core::call::{self, Call};
use redwire_core::cluster::TopologyHint;
use redwire_core::dispatch::Dispatch;
use redwire_core::{Cmd, Error, Outcome, Replies, Reply, Result, Run, Value};

use super::client::{Client, Request};
use super::cluster::Nodes;
use super::sharing::SharedConnection;
use super::{BoxFuture, before, renew};
use crate::shared::clock;
use crate::shared::node_caches::{NodeCache, NodeCaches};
use tracking::Tracking;
pub(super) use tracking::Watch;

/// A client-side cache: reads are served from memory until the server says that their keys have changed.
///
/// Made by [`Client::cached`]; cheap to clone, and clones share what is kept. Every command works on it:
/// reads whose answer depends on nothing but their keys (`GET`, `MGET`, `HGETALL`, `LRANGE`, …) are served
/// from memory, or asked for once, however many want them; all others go to the client. That there is no such
/// key is remembered, too; errors are not.
///
/// # What can be relied on
/// - What the server announced is gone before a caller gets anything that it said later, and a reply that was
///   under way when a change of its key was announced is given to the callers that asked, but not kept. So no
///   reader sees something older than it saw before. On RESP2, where announcements come over a connection of
///   their own, that holds for each key, by whichever commands it is read through the cache: after one has
///   asked the server, what others have kept of its keys is served once the connection that announces has
///   answered (`PING`). What is kept of *another* key may there be older, by as long as its announcement is
///   under way.
/// - Reads that are never kept (scripts, keys of several slots, and what the mode leaves out) go over the
///   client's connection, and may be ahead of what is kept, by as long as an announcement is under way, or
///   until [`sync`](Self::sync).
/// - When the connection that announces is lost, everything is forgotten at once, and nothing is kept until
///   changes are announced again; meanwhile reads go to the server.
///   [`EventKind::Untracked`](crate::EventKind::Untracked) tells.
/// - After a write through the cache, the keys that it names are forgotten before the call returns. What a
///   script or a module's command changes without naming it is forgotten when the server announces it.
/// - After [`sync`](Self::sync), every write that was acknowledged to any client before it began is seen.
///
/// Without `sync`, an answer may be as old as an announcement takes to arrive: as a rule, less than a round
/// trip. While a silent connection is not known to be dead, it may be older: by twice
/// [`health_check_interval`](crate::config::ConfigBuilder::health_check_interval) (5 s by default), and never
/// by more than [`CacheOptions::ttl`]. Two kinds of change are not announced when they happen: that a key has
/// expired is announced when the server removes it, which it may do a little late; and `SWAPDB` by another
/// client is not announced at all.
///
/// # Connections
/// A cache has a connection of its own, beside those of the client, which reads and hears of changes; on
/// RESP2 it is two, one that reads, and one that hears. They are closed when the last handle is dropped. In a
/// forked child there is no cache: its calls go to the server.
///
/// # In a cluster
/// Each node that takes writes has such connections, and memory, of its own: [`CacheOptions::max_bytes`] is
/// for each. Reads of keys in several slots are not kept. What a node kept is forgotten when it loses a slot.
/// That a slot moved is noticed by the first call that meets it; while nothing but memory is asked, by the
/// next refresh of the map, after [`refresh_interval`](crate::config::ConfigBuilder::refresh_interval) (60 s)
/// at the latest, and only then does [`sync`](Self::sync) know of what was written where the slot is now.
///
/// A replica that took over is noticed by `sync`, which asks each node for its role: what a former primary
/// kept is forgotten. A primary that is cut off from the others does not know that it was replaced; it is
/// believed until it learns of that, or stops to answer, which is after the cluster's node timeout. With
/// sentinels it is the same.
///
/// ```no_run
/// # async fn example(client: redwire::Client) -> redwire::Result<()> {
/// use redwire::cache::CacheOptions;
/// use redwire::prelude::*;
///
/// let cache = client.cached(CacheOptions::default()).await?;
/// let first: Option<String> = cache.get("greeting").await?; // asks the server
/// let again: Option<String> = cache.get("greeting").await?; // does not
/// println!("{} of {} served from memory", cache.stats().hits, cache.stats().hits + cache.stats().misses);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cache {
    inner: Arc<CacheInner>,
    opted_in: bool,
}

struct CacheInner {
    client: Client,
    node_caches: NodeCaches<SharedConnection>,
}

impl Client {
    /// A cache beside this client, connected and ready.
    ///
    /// With the [replicas](crate::config::ReadFrom) of a service, all that is kept is read from one of them,
    /// which announces its changes; reads that cannot be kept are spread as those of the client.
    ///
    /// ```no_run
    /// # async fn example(client: redwire::Client) -> redwire::Result<()> {
    /// use std::time::Duration;
    ///
    /// use redwire::cache::CacheOptions;
    /// use redwire::prelude::*;
    ///
    /// let options = CacheOptions::default().max_bytes(256 << 20).ttl(Duration::from_secs(60));
    /// let options = options.broadcast(["user:"]);
    /// let cache = client.cached(options).await?;
    /// let name: Option<String> = cache.hget("user:17", "name").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A connection that cannot be made; a server that announces no changes: one that is older than Redis 6,
    /// or whose user may not say `CLIENT TRACKING`.
    pub async fn cached(&self, options: CacheOptions) -> Result<Cache> {
        let deadline = clock::now() + self.config().connect_timeout();
        let node_caches = match &self.cluster {
            None => NodeCaches::of_server(options.clone(), Tracking::beside(self.pool(), options)),
            Some(nodes) => {
                nodes.learn(Some(deadline), true).await?;
                let node_caches = NodeCaches::of_cluster(options.clone());
                node_caches.fill(nodes.node_clients(), |node| Tracking::beside(node.pool(), options.clone()));
                node_caches
            }
        };
        for node_cache in node_caches.all() {
            node_cache.conn.connect().await?;
            // Answered by the task that drives the connection: from then on replies are kept.
            node_cache.conn.exchange(&Cmd::<Value>::new("PING"), Some(deadline)).await?;
        }
        Ok(Cache { inner: Arc::new(CacheInner { client: self.clone(), node_caches }), opted_in: false })
    }
}

impl Cache {
    /// The same cache, for reads that are to be cached in
    /// [`CacheMode::OptIn`](crate::cache::CacheMode::OptIn). In other modes it makes no difference.
    ///
    /// ```no_run
    /// # async fn example(client: redwire::Client) -> redwire::Result<()> {
    /// use redwire::cache::CacheOptions;
    /// use redwire::prelude::*;
    ///
    /// let cache = client.cached(CacheOptions::default().opt_in()).await?;
    /// let kept: Option<String> = cache.opted_in().get("settings").await?;
    /// let not: Option<String> = cache.get("seen once").await?;
    /// # Ok(())
    /// # }
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
    pub async fn sync(&self) -> Result<()> {
        let limit = self.client().config().timeout();
        let deadline = limit.and_then(|limit| clock::now().checked_add(limit));
        let wants_master = wants_master(self.client().config());
        let (mut node_caches, mut asked) = (self.node_caches(), Vec::new());
        while !node_caches.is_empty() {
            for node_cache in &node_caches {
                if node_cache.sync(deadline, wants_master).await? {
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
    pub fn execute<R: Reply>(&self, cmd: Cmd<R>) -> CacheRequest<'_, R> {
        CacheRequest { cache: self, begun: None, state: ReadState::Start(cmd) }
    }
}

impl Cache {
    /// Where the answer to `cmd` is kept.
    #[inline]
    fn find<R: Reply>(&self, cmd: &Cmd<R>) -> Option<Arc<NodeCache<SharedConnection>>> {
        let node_clients = self.client().cluster.as_ref().map(Nodes::node_clients);
        self.inner.node_caches.find(cmd, node_clients, |node| self.make(node))
    }

    /// All that keep something, by the newest map.
    fn node_caches(&self) -> Vec<Arc<NodeCache<SharedConnection>>> {
        match &self.client().cluster {
            Some(nodes) => self.inner.node_caches.fill(nodes.node_clients(), |node| self.make(node)),
            None => self.inner.node_caches.all(),
        }
    }

    fn make(&self, node: &Client) -> NodeCache<SharedConnection> {
        let node_cache = Tracking::beside(node.pool(), self.options().clone());
        node_cache.conn.ask();
        node_cache
    }

    /// A node is no primary any more: has the map asked for.
    fn suspect_map(&self) {
        if let Some(nodes) = &self.client().cluster {
            nodes.node_clients().handle_hints(&[TopologyHint::Suspect]);
            // Callers that need it are told that there is no server to ask.
            let _ = nodes.follow();
        }
    }
}

impl NodeCache<SharedConnection> {
    /// Waits until everything is known that the server has announced. Whether it is a former master.
    async fn sync(&self, deadline: Option<Instant>, wants_master: bool) -> Result<bool> {
        let Self { conn, tracking } = self;
        if !tracking.is_live() {
            return Ok(false);
        }
        // What was written while the tracked connection was gone already, no server has announced.
        let is_demoted =
            tracking.handle_asked(conn.exchange(&sync_question(wants_master), deadline).await)?;
        let listener = tracking.listener(conn);
        if !is_demoted && !Arc::ptr_eq(&listener, conn) {
            let mark = tracking.lock().mark();
            let answered = listener.exchange(&sync_question(false), deadline).await;
            let known = answered.is_ok();
            tracking.handle_asked(answered)?;
            tracking.change(|store| store.handle_settled(mark, known));
        }
        Ok(is_demoted)
    }
}

impl<'c> Run for &'c Cache {
    type Out<R: Reply> = CacheRequest<'c, R>;

    #[inline]
    fn run<R: Reply>(self, cmd: Cmd<R>) -> CacheRequest<'c, R> {
        self.execute(cmd)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("options", self.options()).finish_non_exhaustive()
    }
}

/// The future of a call on a [`Cache`]. Nothing happens before it is first polled; dropping it gives up the
/// call, and if others wait for what it reads, one of them takes over.
#[must_use = "a call does nothing until it is awaited"]
pub struct CacheRequest<'c, R: Reply> {
    cache: &'c Cache,
    /// When it was first looked for.
    begun: Option<Instant>,
    state: ReadState<'c, R>,
}

enum ReadState<'c, R: Reply> {
    Start(Cmd<R>),
    /// It is read beside the cache, by this caller or another.
    Reading(BoxFuture<(Cmd<()>, Result<Option<Replies>>)>),
    /// On its way as if there were no cache.
    Plain(Request<'c, Cmd<R>>),
    Done,
}

// Nothing in it is pinned but what is boxed.
impl<R: Reply> Unpin for CacheRequest<'_, R> {}

impl<R: Reply> Future for CacheRequest<'_, R> {
    type Output = Result<R>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R>> {
        loop {
            let next = match std::mem::replace(&mut self.state, ReadState::Done) {
                ReadState::Start(cmd) => self.start(cmd, cx.waker()),
                ReadState::Reading(mut reading) => match reading.as_mut().poll(cx) {
                    Poll::Ready((cmd, replies)) => self.finish(cmd.returning(), replies),
                    Poll::Pending => {
                        self.state = ReadState::Reading(reading);
                        return Poll::Pending;
                    }
                },
                ReadState::Plain(mut request) => {
                    let polled = Pin::new(&mut request).poll(cx);
                    match polled {
                        Poll::Pending => self.state = ReadState::Plain(request),
                        Poll::Ready(_) => self.handle_written(request.call()),
                    }
                    return polled;
                }
                ReadState::Done => panic!("a request was polled after it was ready"),
            };
            match next {
                ControlFlow::Break(result) => return Poll::Ready(result),
                ControlFlow::Continue(state) => self.state = state,
            }
        }
    }
}

/// The result of a call, or how it goes on.
type ReadStep<'c, R> = ControlFlow<Result<R>, ReadState<'c, R>>;

impl<'c, R: Reply> CacheRequest<'c, R> {
    /// Looks whether the reply is there.
    #[inline]
    fn start(&mut self, mut cmd: Cmd<R>, waker: &Waker) -> ReadStep<'c, R> {
        let cache = self.cache;
        if suitable(cmd.facts()) != Suitable::Read || !cache.options().covers(cache.opted_in) {
            return self.plain(cmd);
        }
        let Some(node_cache) = cache.find(&cmd) else { return self.plain(cmd) };
        let now = clock::now();
        self.begun = Some(now);
        match node_cache.tracking.look(&cmd, now, || waker.clone()) {
            None => self.plain(cmd),
            Some(Lookup::Hit(replies)) => {
                let output = call::read(&mut cmd, replies, cache.client().config());
                ControlFlow::Break(output.map_err(|error| self.explain(error, &cmd)))
            }
            Some(found) => {
                let (deadline, cmd) = (self.deadline(&cmd), cmd.returning::<()>());
                ControlFlow::Continue(ReadState::Reading(Box::pin(async move {
                    let replies = node_cache.read(&cmd, found, deadline).await;
                    (cmd, replies)
                })))
            }
        }
    }

    /// What was read, if anything was.
    fn finish(&self, mut cmd: Cmd<R>, replies: Result<Option<Replies>>) -> ReadStep<'c, R> {
        let config = self.cache.client().config();
        let output = match replies {
            Ok(None) => return self.plain(cmd),
            Ok(Some(replies)) => call::read(&mut cmd, replies, config),
            Err(error) => Err(error),
        };
        if let Err(error) = &output {
            self.cache.client().pool().target().handle_failure(error);
            if is_for_client(error, config) {
                return self.plain(cmd);
            }
        }
        ControlFlow::Break(output.map_err(|error| self.explain(error, &cmd)))
    }

    /// Over the client, with the time that is left.
    fn plain(&self, cmd: Cmd<R>) -> ReadStep<'c, R> {
        let left = self.deadline(&cmd).map(|deadline| deadline.saturating_duration_since(clock::now()));
        let cmd = match left {
            // No time at all would mean no limit.
            Some(left) => cmd.timeout(left.max(Duration::from_micros(1))),
            None => cmd,
        };
        ControlFlow::Continue(ReadState::Plain(self.cache.client().execute(cmd)))
    }

    /// The client has carried out `cmd`: what it may have changed is kept no more.
    fn handle_written(&self, cmd: &Cmd<R>) {
        if matches!(suitable(cmd.facts()), Suitable::Change | Suitable::ChangeAll) {
            self.cache.inner.node_caches.handle_written(cmd);
        }
    }

    fn deadline(&self, cmd: &Cmd<R>) -> Option<Instant> {
        call::deadline(Dispatch::Shared, cmd.options(), self.cache.client().config().timeout(), self.begun?)
    }

    #[cold]
    fn explain(&self, error: Error, cmd: &Cmd<R>) -> Error {
        self.cache.client().pool().target().locate(error).with_command(&cmd.name())
    }
}

impl<R: Reply> fmt::Debug for CacheRequest<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheRequest").finish_non_exhaustive()
    }
}

impl NodeCache<SharedConnection> {
    /// The reply to `cmd`, of which this is `found`. `None`: the client is to be asked as if there were no
    /// cache.
    async fn read(
        &self,
        cmd: &Cmd<()>,
        mut found: Lookup,
        deadline: Option<Instant>,
    ) -> Result<Option<Replies>> {
        let Self { conn, tracking } = self;
        loop {
            match found {
                Lookup::Hit(replies) => return Ok(Some(replies)),
                Lookup::Fetch(flight) => return self.fetch(cmd, flight, deadline).await,
                Lookup::FlightWait(wait) => {
                    let mut waiting = FlightWaiter { tracking, wait: Some(wait) };
                    let answer = before(deadline, poll_fn(|cx| waiting.poll(cx.waker()))).await;
                    if let Some(replies) = answer.ok_or_else(|| Error::timeout(Outcome::NotSent))? {
                        return Ok(Some(replies));
                    }
                }
                Lookup::Settle(mark) => {
                    let known = tracking.listener(conn).exchange(&sync_question(false), deadline).await;
                    tracking.change(|store| store.handle_settled(mark, known.is_ok()));
                }
                Lookup::Pass => {
                    if !tracking.is_live() {
                        conn.ask();
                    }
                    return Ok(None);
                }
            }
            let look = |cx: &mut Context<'_>| tracking.look(cmd, clock::now(), || cx.waker().clone());
            let Some(next) = poll_fn(|cx| Poll::Ready(look(cx))).await else { return Ok(None) };
            found = next;
        }
    }

    /// Reads for all callers that want the same. Where it cannot be sent now, the client asks.
    async fn fetch(
        &self,
        cmd: &Cmd<()>,
        flight: Flight,
        deadline: Option<Instant>,
    ) -> Result<Option<Replies>> {
        let Self { conn, tracking } = self;
        let (mut fetching, mut fetch) =
            (FlightGuard { tracking, flight: Some(flight) }, Fetch::new(cmd, tracking.options()));
        let Ok(ticket) = conn.submit(&fetch, Waker::noop(), deadline) else { return Ok(None) };
        let replies = conn.wait(ticket, &fetch).await.and_then(|replies| fetch.read(replies))?;
        if let Some(flight) = fetching.flight.take() {
            tracking.change(|store| store.handle_fetched(flight, &replies));
        }
        Ok(Some(replies))
    }
}

/// A read for all callers that want the same, which has failed if it is dropped.
struct FlightGuard<'a> {
    tracking: &'a Tracking,
    flight: Option<Flight>,
}

impl Drop for FlightGuard<'_> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            self.tracking.change(|store| store.handle_failed(flight));
        }
    }
}

/// A caller that waits for what another reads.
struct FlightWaiter<'a> {
    tracking: &'a Tracking,
    wait: Option<FlightWait>,
}

impl FlightWaiter<'_> {
    fn poll(&mut self, waker: &Waker) -> Poll<Option<Replies>> {
        let Some(wait) = self.wait.take() else { return Poll::Ready(None) };
        let mut former = None;
        let polled = self.tracking.lock().poll_wait(wait, |waiter| former = renew(waiter, waker));
        drop(former);
        match polled {
            Ok(answer) => Poll::Ready(answer),
            Err(wait) => {
                self.wait = Some(wait);
                Poll::Pending
            }
        }
    }
}

impl Drop for FlightWaiter<'_> {
    fn drop(&mut self) {
        if let Some(wait) = self.wait.take() {
            let waiter = self.tracking.lock().abandon(wait);
            // Not under the lock; see `renew`.
            drop(waiter);
        }
    }
}
