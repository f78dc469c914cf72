//! A client-side cache, async. It only waits; what is kept, who reads, and what a change means is decided in
//! `redwire-core`.

mod tracking;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use redwire_core::cache::{
    CacheOptions, CacheStats, Fetch, Flight, FlightWait, Lookup, Mark, Suitable, is_for_client, suitable,
    sync_question, wants_master,
};
use redwire_core::call::{self, Call};
use redwire_core::cluster::TopologyHint;
use redwire_core::dispatch::Dispatch;
use redwire_core::link::Ticket;
use redwire_core::{Cmd, Error, Outcome, Replies, Reply, Result, Run, Value};

use super::client::{Client, Request};
use super::cluster::Nodes;
use super::renew;
use super::sharing::SharedConnection;
use crate::shared::clock::{self, Timer};
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
    pub fn execute<R: Reply>(&self, cmd: Cmd<R>) -> CacheRequest<'_, R> {
        CacheRequest { cache: self, node_cache: None, begun: None, state: ReadState::Start(cmd) }
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
    /// Where what it reads is kept.
    node_cache: Option<Arc<NodeCache<SharedConnection>>>,
    /// When it was first looked for.
    begun: Option<Instant>,
    state: ReadState<'c, R>,
}

enum ReadState<'c, R: Reply> {
    Start(Cmd<R>),
    /// It reads for all callers that want the same.
    Fetching(Cmd<R>, Ticket, Flight),
    /// It waits until all is known that was announced before.
    Settling(Cmd<R>, Arc<SharedConnection>, Ticket, Mark),
    /// Another does.
    Waiting(Cmd<R>, FlightWait, Option<Box<Timer>>),
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
            let step = match std::mem::replace(&mut self.state, ReadState::Done) {
                ReadState::Start(cmd) => self.start(cmd, cx),
                ReadState::Fetching(cmd, ticket, flight) => self.poll_fetch(cmd, ticket, flight, cx),
                ReadState::Settling(cmd, listener, ticket, mark) => {
                    self.poll_settled(cmd, listener, ticket, mark, cx)
                }
                ReadState::Waiting(cmd, wait, timer) => self.poll_wait(cmd, wait, timer, cx),
                ReadState::Plain(request) => self.poll_plain(request, cx),
                ReadState::Done => panic!("a request was polled after it was ready"),
            };
            match step {
                ReadStep::Ready(result) => return Poll::Ready(result),
                ReadStep::Pending(state) => {
                    self.state = state;
                    return Poll::Pending;
                }
                ReadStep::On(state) => self.state = state,
            }
        }
    }
}

/// What came of a poll of one state.
enum ReadStep<'c, R: Reply> {
    Ready(Result<R>),
    Pending(ReadState<'c, R>),
    /// Another state is to be polled at once.
    On(ReadState<'c, R>),
}

impl<'c, R: Reply> CacheRequest<'c, R> {
    #[inline]
    fn start(&mut self, mut cmd: Cmd<R>, cx: &Context<'_>) -> ReadStep<'c, R> {
        let cache = self.cache;
        if suitable(cmd.facts()) != Suitable::Read || !cache.options().covers(cache.opted_in) {
            return self.plain(cmd);
        }
        let Some(node_cache) = cache.find(&cmd) else { return self.plain(cmd) };
        let NodeCache { conn, tracking } = &**self.node_cache.insert(node_cache);
        let now = clock::now();
        self.begun.get_or_insert(now);
        let found = match tracking.hit(&cmd, now) {
            Some(replies) => Lookup::Hit(replies),
            None if tracking.is_foreign() => return self.plain(cmd),
            None => tracking.lock().lookup(&cmd, now, || cx.waker().clone()),
        };
        match found {
            Lookup::Hit(replies) => {
                let output = call::read(&mut cmd, replies, cache.client().config());
                ReadStep::Ready(output.map_err(|error| self.explain(error, &cmd)))
            }
            Lookup::Fetch(flight) => self.fetch(cmd, flight, cx),
            Lookup::FlightWait(wait) => ReadStep::On(ReadState::Waiting(cmd, wait, None)),
            Lookup::Settle(mark) => self.settle(cmd, mark, cx),
            Lookup::Pass => {
                if !tracking.is_live() {
                    conn.ask();
                }
                self.plain(cmd)
            }
        }
    }

    fn fetch(&self, cmd: Cmd<R>, flight: Flight, cx: &Context<'_>) -> ReadStep<'c, R> {
        let Some(NodeCache { conn, tracking }) = self.node_cache.as_deref() else { return self.plain(cmd) };
        let fetch = Fetch::new(&cmd, tracking.options());
        match conn.submit(&fetch, cx.waker(), self.deadline(&cmd)) {
            Ok(ticket) => ReadStep::Pending(ReadState::Fetching(cmd, ticket, flight)),
            Err(_) => {
                tracking.change(|store| store.handle_failed(flight));
                self.plain(cmd)
            }
        }
    }

    fn poll_fetch(&self, cmd: Cmd<R>, ticket: Ticket, flight: Flight, cx: &Context<'_>) -> ReadStep<'c, R> {
        let Some(NodeCache { conn, tracking }) = self.node_cache.as_deref() else { return self.plain(cmd) };
        let result = match conn.poll_reply(ticket, cx.waker()) {
            Ok(result) => result,
            Err(ticket) => return ReadStep::Pending(ReadState::Fetching(cmd, ticket, flight)),
        };
        match result.and_then(|replies| Fetch::new(&cmd, tracking.options()).read(replies)) {
            Ok(replies) => {
                tracking.change(|store| store.handle_fetched(flight, &replies));
                self.read(cmd, replies)
            }
            Err(error) => {
                tracking.change(|store| store.handle_failed(flight));
                self.fail(cmd, error)
            }
        }
    }

    /// Asks what announces, so that what is kept is known to be in order.
    fn settle(&self, cmd: Cmd<R>, mark: Mark, cx: &Context<'_>) -> ReadStep<'c, R> {
        let Some(NodeCache { conn, tracking }) = self.node_cache.as_deref() else { return self.plain(cmd) };
        let listener = tracking.listener(conn);
        match listener.submit(&sync_question(false), cx.waker(), self.deadline(&cmd)) {
            Ok(ticket) => ReadStep::Pending(ReadState::Settling(cmd, listener, ticket, mark)),
            Err(_) => {
                tracking.change(|store| store.handle_settled(mark, false));
                ReadStep::On(ReadState::Start(cmd))
            }
        }
    }

    fn poll_settled(
        &self,
        cmd: Cmd<R>,
        listener: Arc<SharedConnection>,
        ticket: Ticket,
        mark: Mark,
        cx: &Context<'_>,
    ) -> ReadStep<'c, R> {
        let known = match listener.poll_reply(ticket, cx.waker()) {
            Ok(answer) => answer.is_ok(),
            Err(ticket) => return ReadStep::Pending(ReadState::Settling(cmd, listener, ticket, mark)),
        };
        if let Some(NodeCache { tracking, .. }) = self.node_cache.as_deref() {
            tracking.change(|store| store.handle_settled(mark, known));
        }
        ReadStep::On(ReadState::Start(cmd))
    }

    fn poll_wait(
        &self,
        cmd: Cmd<R>,
        wait: FlightWait,
        mut timer: Option<Box<Timer>>,
        cx: &mut Context<'_>,
    ) -> ReadStep<'c, R> {
        let Some(NodeCache { tracking, .. }) = self.node_cache.as_deref() else { return self.plain(cmd) };
        let mut former = None;
        let polled = tracking.lock().poll_wait(wait, |waiter| former = renew(waiter, cx.waker()));
        drop(former);
        let wait = match polled {
            Ok(Some(replies)) => return self.read(cmd, replies),
            Ok(None) => return ReadStep::On(ReadState::Start(cmd)),
            Err(wait) => wait,
        };
        if timer.is_none() {
            timer = self.deadline(&cmd).map(|deadline| Box::new(Timer::at(deadline)));
        }
        if let Some(timer) = &mut timer
            && Pin::new(&mut **timer).poll(cx).is_ready()
        {
            let waiter = tracking.lock().abandon(wait);
            drop(waiter);
            return ReadStep::Ready(Err(self.explain(Error::timeout(Outcome::NotSent), &cmd)));
        }
        ReadStep::Pending(ReadState::Waiting(cmd, wait, timer))
    }

    fn poll_plain(&self, mut request: Request<'c, Cmd<R>>, cx: &mut Context<'_>) -> ReadStep<'c, R> {
        match Pin::new(&mut request).poll(cx) {
            Poll::Pending => ReadStep::Pending(ReadState::Plain(request)),
            Poll::Ready(result) => {
                let writes = suitable(request.call().facts());
                if matches!(writes, Suitable::Change | Suitable::ChangeAll) {
                    self.cache.inner.node_caches.handle_written(request.call());
                }
                ReadStep::Ready(result)
            }
        }
    }

    /// What the reply says.
    fn read(&self, mut cmd: Cmd<R>, replies: Replies) -> ReadStep<'c, R> {
        match call::read(&mut cmd, replies, self.cache.client().config()) {
            Ok(output) => ReadStep::Ready(Ok(output)),
            Err(error) => self.fail(cmd, error),
        }
    }

    #[cold]
    fn fail(&self, cmd: Cmd<R>, error: Error) -> ReadStep<'c, R> {
        self.cache.client().pool().target().handle_failure(&error);
        if is_for_client(&error, self.cache.client().config()) {
            return self.plain(cmd);
        }
        ReadStep::Ready(Err(self.explain(error, &cmd)))
    }

    /// Over the client, with the time that is left.
    fn plain(&self, cmd: Cmd<R>) -> ReadStep<'c, R> {
        let deadline = if self.begun.is_some() { self.deadline(&cmd) } else { None };
        let cmd = match deadline.map(|deadline| deadline.saturating_duration_since(clock::now())) {
            // No time at all would mean no limit.
            Some(left) => cmd.timeout(left.max(std::time::Duration::from_micros(1))),
            None => cmd,
        };
        ReadStep::On(ReadState::Plain(self.cache.client().execute(cmd)))
    }

    fn deadline(&self, cmd: &Cmd<R>) -> Option<Instant> {
        call::deadline(Dispatch::Shared, cmd.options(), self.cache.client().config().timeout(), self.begun?)
    }

    #[cold]
    fn explain(&self, error: Error, cmd: &Cmd<R>) -> Error {
        self.cache.client().pool().target().locate(error).with_command(&cmd.name())
    }
}

impl<R: Reply> Drop for CacheRequest<'_, R> {
    fn drop(&mut self) {
        let Some(NodeCache { conn, tracking }) = self.node_cache.as_deref() else { return };
        match std::mem::replace(&mut self.state, ReadState::Done) {
            ReadState::Fetching(_, ticket, flight) => {
                conn.abandon(ticket);
                tracking.change(|store| store.handle_failed(flight));
            }
            ReadState::Settling(_, listener, ticket, _) => listener.abandon(ticket),
            ReadState::Waiting(_, wait, _) => {
                let waiter = tracking.lock().abandon(wait);
                // Not under the lock; see `renew`.
                drop(waiter);
            }
            ReadState::Start(_) | ReadState::Plain(_) | ReadState::Done => {}
        }
    }
}

impl<R: Reply> fmt::Debug for CacheRequest<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheRequest").finish_non_exhaustive()
    }
}
