//! Connections that are lent out, blocking. Who gets which, and when, is decided in `redwire-core`;
//! [`process`] waits, and [`attempt`] connects.

mod attempt;
mod lease;
mod multiplex;
mod place;
mod process;
mod upkeep;

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redwire_core::call::Call;
use redwire_core::config::{Config, Endpoint};
use redwire_core::dispatch::Dispatch;
use redwire_core::pool::{AcquireLimit, Borrower, CallSite, CloseReason, PoolStats};
use redwire_core::standing::Replace;
use redwire_core::{Replies, Result};

use super::cluster::Nodes;
use super::connection::{Connection, Unready};
use super::events::Events;
use super::pubsub::PubSub;
use super::wire::WRITTEN_AT_ONCE;
use crate::shared::connection_limit::LimitedPool;
use crate::shared::credentials;
use crate::shared::owner::PerProcess;
use crate::shared::service::Follower;
use crate::shared::setup;
use crate::shared::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::shared::target::Target;
use crate::shared::threads;
pub use lease::Lease;
pub(super) use place::PoolPlace;
use process::PoolProcess;

/// Connections to one server, at most `max_connections` of them, each lent to one user at a time.
///
/// Cheap to clone; clones are the same pool. Callers get their turn in the order in which they came. A
/// connection that comes back is as new for the next user: in its database, in no transaction, or it is
/// closed. Most programs want a [`Client`](super::Client), which has a pool inside.
///
/// A child process that inherits a pool opens connections of its own, and leaves those of its parent alone.
///
/// ```no_run
/// use redwire::prelude::*;
///
/// let pool = redwire::blocking::Pool::connect("redis://localhost?max_connections=10")?;
/// let mut lease = pool.get()?;
/// lease.set("greeting", "hello")?;
/// drop(lease);
/// println!("{} of {} idle", pool.stats().idle, pool.stats().size);
/// # Ok::<(), redwire::Error>(())
/// ```
#[doc(alias = "ConnectionPool")]
#[doc(alias = "BlockingConnectionPool")]
#[doc(alias = "SentinelConnectionPool")]
#[doc(alias = "ConnectionsPool")]
#[doc(alias = "RedisPool")]
#[doc(alias = "create_pool")]
#[derive(Clone)]
pub struct Pool(Arc<PoolShared>);

/// Calls that send more than this do not share: they would hold up the others.
const LARGE: usize = 64 * 1024;

/// What the handles of a pool share.
pub(super) struct PoolShared {
    target: Arc<Target>,
    /// The database of the callers to come.
    db: AtomicU32,
    /// How many of the calls were retries.
    retries: AtomicU64,
    process: PerProcess<PoolProcess>,
    this: Weak<Self>,
}

impl Pool {
    /// Connects to the server that `url` names; the grammar is told at
    /// [`ConfigBuilder::url`](crate::config::ConfigBuilder::url).
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
    pub fn open(config: Config) -> Result<Self> {
        let pool = Self::lazy(config)?;
        pool.warm()?;
        Ok(pool)
    }

    /// A pool that connects when it is used first.
    ///
    /// # Errors
    /// A bad URL, or options that this version has no part for.
    #[doc(alias = "create_reconnecting_redis")]
    pub fn connect_lazy(url: &str) -> Result<Self> {
        Self::lazy(Config::from_url(url)?)
    }

    /// As [`connect_lazy`](Self::connect_lazy), with a configuration.
    ///
    /// # Errors
    /// Options that this version has no part for; a cluster, which is no one server.
    pub fn lazy(config: Config) -> Result<Self> {
        setup::check_one_server(&config)?;
        Ok(Self::to(Target::new(config)?))
    }

    pub(super) fn to(target: Arc<Target>) -> Self {
        let shared = Arc::new_cyclic(|this| PoolShared {
            db: AtomicU32::new(target.config().db()),
            retries: AtomicU64::new(0),
            process: PerProcess::new(PoolProcess::new(&target, this)),
            this: this.clone(),
            target,
        });
        shared.target.follow(&shared);
        Self(shared)
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.0.target
    }

    /// The options this pool was made with.
    #[inline]
    #[must_use]
    pub fn config(&self) -> &Config {
        self.0.target.config()
    }

    /// Borrows a connection: an idle one, a new one, or the next that comes back. Waits for it until
    /// `pool_timeout`, or for as long as `timeout` allows, also while the server is away.
    ///
    /// # Errors
    /// [`PoolExhausted`](crate::ErrorKind::PoolExhausted) or a timeout when there was none in time, of which
    /// the source tells why, such as that the server cannot be reached; an error of connecting that time
    /// alone will not mend, such as a wrong password; the pool is closed.
    #[doc(alias = "get_connection")]
    #[doc(alias = "acquire")]
    #[track_caller]
    pub fn get(&self) -> Result<Lease> {
        let now = threads::now();
        self.lease(
            Some(Location::caller()),
            now,
            self.config().timeout().and_then(|limit| now.checked_add(limit)),
        )
    }

    /// As [`get`](Self::get), but waits no longer than `limit`, in place of `timeout`;
    /// `pool_timeout` holds as well. Zero takes what is idle; `Duration::MAX` is without limit.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_within(&self, limit: Duration) -> Result<Lease> {
        let now = threads::now();
        self.lease(Some(Location::caller()), now, now.checked_add(limit))
    }

    pub(super) fn lease(&self, location: CallSite, now: Instant, until: Option<Instant>) -> Result<Lease> {
        let place = self.0.lend(self.0.process(), location, now, until);
        let place = place.map_err(|error| self.target().locate(error))?;
        place.keep().map(|(permit, connection)| Lease::new(self, permit, connection))
    }

    /// Runs a call of a client, on a connection that it has to get before `until`: one that many share where
    /// there are many calls and `dispatch` allows it, or else its own. What it leaves behind is nothing.
    #[inline]
    pub(super) fn exchange(
        &self,
        call: &impl Call,
        dispatch: Dispatch,
        now: Instant,
        until: Option<Instant>,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        let (process, may_share) = (self.0.process(), dispatch == Dispatch::Shared);
        if may_share && process.multiplex.is_wanted() && call.size() <= LARGE {
            return self.share(process, call, now, until, deadline);
        }
        let mut place = self.0.lend(process, None, now, until)?;
        place.handle_call(dispatch.waits());
        if !may_share && call.ends_connection() {
            place.forbid_reuse();
        }
        place.wire()?.exchange(call, deadline)
    }

    fn share(
        &self,
        process: &PoolProcess,
        call: &impl Call,
        now: Instant,
        until: Option<Instant>,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        let version = credentials::version(self.config());
        if let Some(result) = process.multiplex.join(process, call, version, now, deadline) {
            return result;
        }
        let place = self.0.lend(process, None, now, until)?;
        place.handle_call(false);
        match process.multiplex.open(process, place, call, deadline) {
            Ok(result) => result,
            Err(mut place) => place.wire()?.exchange(call, deadline),
        }
    }

    /// An idle connection on which `call` is sent without waiting for anything, if there is one.
    pub(super) fn take_idle(&self, call: &impl Call, now: Instant) -> Option<PoolPlace<'_>> {
        let process = self.0.process();
        let fits = call.size() <= WRITTEN_AT_ONCE;
        let (permit, connection) = fits.then(|| process.take_idle(None, now))??;
        let mut place = PoolPlace::new(process, permit, connection);
        place.is_ready(self.0.db.load(Ordering::Relaxed), now).then_some(place)
    }

    /// Has a connection made, if there is none. The caller gets at once what keeps the first attempt from
    /// working.
    pub(super) fn warm(&self) -> Result<()> {
        let now = threads::now();
        let deadline = self.config().timeout().and_then(|limit| now.checked_add(limit));
        let limit = AcquireLimit::new(self.config(), deadline, now).told();
        self.0.lend_next(self.0.process(), None, limit, deadline).map(drop)
    }

    /// Lets go of all connections, also of those in use.
    pub(super) fn leave_server(&self) {
        Follower::leave_server(Arc::clone(&self.0), None);
        Follower::cut(Arc::clone(&self.0));
        // Callers that ask whether the server lives have left it, too.
        Follower::leave_server(self.0.process().health(), None);
    }

    /// This process is a child of the one that made the connections: it leaves those alone.
    pub(super) fn disown(&self) {
        self.0.process();
    }

    /// Whether the budget allows for a retry, where so many calls were made `elsewhere`.
    pub(super) fn may_retry(&self, elsewhere: u64) -> bool {
        let retries = self.0.retries.load(Ordering::Relaxed);
        let calls = (self.0.process().calls() + elsewhere).saturating_sub(retries);
        let may = self.target().may_retry(calls);
        self.0.retries.fetch_add(u64::from(may), Ordering::Relaxed);
        may
    }

    /// A connection to the same server that does not belong to the pool, not connected yet.
    #[doc(alias = "make_connection")]
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.0.new_connection(self.0.process())
    }

    /// Subscriptions at the same server, which do not belong to the pool.
    pub(super) fn pubsub(&self, nodes: Option<Nodes>) -> PubSub {
        PubSub::to(Arc::clone(self.target()), nodes)
    }

    /// Whether `lease` comes from this pool.
    #[doc(alias = "owns_connection")]
    #[must_use]
    pub fn owns(&self, lease: &Lease) -> bool {
        lease.is_from(self)
    }

    /// Chooses the database of all callers that borrow from now on, in place of `db`. Whether it exists is
    /// told to the next of them.
    pub fn select(&self, db: u32) {
        self.0.db.store(db, Ordering::Relaxed);
        self.0.process().multiplex.retire();
    }

    /// Closes all connections: those that are idle now, those in use when they come back.
    #[doc(alias = "reset")]
    pub fn disconnect(&self) {
        let process = self.0.process();
        process.change(|state| state.machine.reset());
        process.multiplex.retire();
    }

    /// Closes all connections at once, those in use, too: what is under way on them fails, with
    /// [`LeftMaster`](crate::ConnectionFault::LeftMaster) as the kind. The pool goes on with new ones.
    #[doc(alias = "inuse_connections")]
    pub fn disconnect_now(&self) {
        self.leave_server();
    }

    /// Closes the connections that no caller uses.
    #[doc(alias = "clear")]
    pub fn disconnect_idle(&self) {
        self.0.process().change(|state| state.machine.clear_idle(CloseReason::Disconnected));
    }

    /// What the pool is doing, and has done so far.
    #[doc(alias = "size")]
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.0.process().change(|state| state.machine.stats())
    }

    /// The borrowers of connections: where in the program each was asked for, and since when. One that is
    /// held for long may have been forgotten.
    #[must_use]
    pub fn borrowers(&self) -> Vec<Borrower> {
        self.0.process().change(|state| state.machine.borrowers().collect())
    }

    /// What happens to the connections of this pool, from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.target().events().listen())
    }

    /// Lends no more connections, fails callers that wait, and waits until all are back, but no longer than
    /// `limit` (`Duration::MAX`: without limit). Those that are not are ended: a caller that uses one sees it
    /// closed. Says how many that were.
    pub fn close(&self, limit: Duration) -> usize {
        let process = self.0.process();
        process.change(|state| state.machine.close());
        process.multiplex.retire();
        process.drain(threads::now().checked_add(limit));
        self.target().handle_closed();
        process.cut()
    }

    /// Lends no more connections, fails callers that wait, and ends those in use.
    pub fn close_now(&self) {
        self.close(Duration::ZERO);
    }

    /// Whether the pool was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.process().change(|state| state.machine.is_closed())
    }
}

impl PoolShared {
    /// What this process has of the pool.
    #[inline]
    fn process(&self) -> &PoolProcess {
        self.process.current(|parent| parent.fork(&self.target, &self.this))
    }

    fn new_connection(&self, process: &PoolProcess) -> Connection {
        Connection::to(Arc::clone(&self.target), process.health())
    }

    /// Lends a connection that is as new.
    #[inline]
    fn lend<'p>(
        &'p self,
        process: &'p PoolProcess,
        location: CallSite,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Result<PoolPlace<'p>> {
        if let Some((permit, connection)) = process.take_idle(location, now) {
            let mut place = PoolPlace::new(process, permit, connection);
            match place.prepare(self.db.load(Ordering::Relaxed), now, deadline) {
                Ok(()) => return Ok(place),
                Err(unready) => self.part_with(place, unready)?,
            }
        }
        let limit = AcquireLimit::new(self.target.config(), deadline, threads::now());
        self.lend_next(process, location, limit, deadline)
    }

    /// Lends one that has to be made, or waited for.
    #[cold]
    fn lend_next<'p>(
        &'p self,
        process: &'p PoolProcess,
        location: CallSite,
        limit: AcquireLimit,
        deadline: Option<Instant>,
    ) -> Result<PoolPlace<'p>> {
        loop {
            process.check(&limit)?;
            let (permit, connection) = process.acquire(self, location, &limit)?;
            let mut place = PoolPlace::new(process, permit, connection);
            match place.prepare(self.db.load(Ordering::Relaxed), threads::now(), deadline) {
                Ok(()) => return Ok(place),
                Err(unready) => self.part_with(place, unready)?,
            }
        }
    }

    #[cold]
    fn part_with(&self, place: PoolPlace<'_>, unready: Unready) -> Result<()> {
        match unready {
            Unready::Gone(why) => place.close(why),
            Unready::Failed(error) => {
                place.close(CloseReason::Dirty);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl LimitedPool for PoolShared {
    fn handle_limit(self: Arc<Self>) {
        // Others are told by the caller.
        self.process().settle(|_| ());
    }
}

impl Follower for PoolShared {
    fn replace(self: Arc<Self>, these: Replace) {
        if these != Replace::One {
            return self.leave_server(None);
        }
        let process = self.process();
        process.change(|state| state.machine.prefer_new());
        process.multiplex.retire();
    }

    fn leave_server(self: Arc<Self>, next: Option<&Endpoint>) {
        let process = self.process();
        process.change(|state| {
            state.interrupts.leave_server(next);
            state.machine.handle_moved(threads::now());
        });
        process.multiplex.retire();
    }

    fn cut_calls(self: Arc<Self>) {
        self.process().change(|state| state.interrupts.end_calls_left());
    }

    fn cut(self: Arc<Self>) {
        self.process().change(|state| state.interrupts.end_left());
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("config", self.config()).finish_non_exhaustive()
    }
}
