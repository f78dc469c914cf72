//! Connections that are lent out, async: the face. Who gets which, and when, is decided in `redwire-core`;
//! [`lending`] waits, and [`attempt`] connects.

mod attempt;
mod lease;
mod lending;
mod upkeep;

use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use redwire_core::Result;
use redwire_core::config::{Config, Endpoint};
use redwire_core::pool::{self, Borrower, CloseReason, PoolLimits, PoolStats};
use redwire_core::standing::Replace;
use tokio::sync::Notify;

use super::before;
use super::connection::Connection;
use super::events::Events;
use super::health::Health;
use crate::shared::clock;
use crate::shared::connection_limit::{LimitShare, LimitedPool};
use crate::shared::interrupt::Interrupts;
use crate::shared::service::Follower;
use crate::shared::setup;
use crate::shared::sync::Mutex;
use crate::shared::target::Target;
pub use lease::Lease;

/// The core's accounting, of boxed connections and sleeping tasks.
type PoolMachine = pool::Pool<Box<Connection>, Waker>;

/// Connections to one server, at most `max_connections` of them, each lent to one user at a time.
///
/// Cheap to clone; clones are the same pool. Callers get their turn in the order in which they came. A
/// connection that comes back is as new for the next user: in its database, in no transaction, or it is
/// closed. Most programs want a [`Client`](crate::Client), which has a pool inside.
///
/// ```no_run
/// # async fn example() -> redwire::Result<()> {
/// use redwire::prelude::*;
///
/// let pool = redwire::Pool::connect("redis://localhost?max_connections=10").await?;
/// let mut lease = pool.get().await?;
/// lease.set("greeting", "hello").await?;
/// drop(lease);
/// println!("{} of {} idle", pool.stats().idle, pool.stats().size);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "ConnectionPool")]
#[doc(alias = "BlockingConnectionPool")]
#[doc(alias = "SentinelConnectionPool")]
#[doc(alias = "ConnectionsPool")]
#[doc(alias = "RedisPool")]
#[doc(alias = "create_pool")]
#[derive(Clone)]
pub struct Pool(Arc<PoolShared>);

struct PoolShared {
    target: Arc<Target>,
    /// Whether calls share a connection beside it.
    is_beside: bool,
    health: Arc<Health>,
    /// The database of the callers to come.
    db: AtomicU32,
    state: Mutex<PoolState>,
    /// Tells the tasks that close the pool, and the one that keeps it, that a connection was closed.
    changed: Notify,
}

struct PoolState {
    machine: PoolMachine,
    limits: PoolLimits,
    /// Whose connections these are.
    process: u32,
    /// Whether a task keeps the pool warm and young.
    kept: bool,
    /// The connections that may be in use.
    interrupts: Interrupts<Notify>,
    /// The part in the limit of a cluster.
    share: Option<LimitShare>,
}

impl Pool {
    /// Connects to the server that `url` names; the grammar is told at
    /// [`ConfigBuilder::url`](crate::config::ConfigBuilder::url).
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
    pub async fn open(config: Config) -> Result<Self> {
        let pool = Self::lazy(config)?;
        pool.warm().await?;
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

    fn to(target: Arc<Target>) -> Self {
        let limits = setup::pool_limits(&target);
        Self::limited(target, limits, false)
    }

    /// The pool of a client, whose shared connection counts as one.
    pub(super) fn beside(target: Arc<Target>) -> Self {
        let mut limits = setup::pool_limits(&target);
        limits.max = (limits.max - 1).max(1);
        Self::limited(target, limits, true)
    }

    fn limited(target: Arc<Target>, limits: PoolLimits, is_beside: bool) -> Self {
        let shared = Arc::new_cyclic(|this: &Weak<PoolShared>| {
            let this: Weak<PoolShared> = Weak::clone(this);
            let state = PoolState {
                machine: PoolMachine::new(limits),
                limits,
                process: std::process::id(),
                kept: false,
                interrupts: Interrupts::default(),
                share: target.join_limit(is_beside, this),
            };
            PoolShared {
                health: Arc::new(Health::new(Arc::clone(&target))),
                db: AtomicU32::new(target.config().db()),
                state: Mutex::new(state),
                changed: Notify::new(),
                is_beside,
                target,
            }
        });
        shared.target.follow(&shared);
        shared.target.follow(&shared.health);
        Self(shared)
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.0.target
    }

    /// What a shared connection beside the pool has in common with it.
    pub(super) fn parts(&self) -> (Arc<Target>, Arc<Health>) {
        (Arc::clone(&self.0.target), Arc::clone(&self.0.health))
    }

    /// The options this pool was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.0.target.config()
    }

    /// Borrows a connection: an idle one, a new one, or the next that comes back. Waits for it until
    /// `pool_timeout`, or for as long as `timeout` allows, also while the server is away. Dropping the future
    /// gives up the place in the queue.
    ///
    /// # Errors
    /// [`PoolExhausted`](crate::ErrorKind::PoolExhausted) or a timeout when there was none in time, of which
    /// the source tells why, such as that the server cannot be reached; an error of connecting that time
    /// alone will not mend, such as a wrong password; the pool is closed.
    #[doc(alias = "get_connection")]
    #[doc(alias = "acquire")]
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<Lease>> + Send + '_ {
        let deadline = self.config().timeout().and_then(|limit| clock::now().checked_add(limit));
        self.lease(Some(Location::caller()), deadline)
    }

    /// As [`get`](Self::get), but waits no longer than `limit`, in place of `timeout`;
    /// `pool_timeout` holds as well. Zero takes what is idle; `Duration::MAX` is without limit.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_within(&self, limit: Duration) -> impl Future<Output = Result<Lease>> + Send + '_ {
        self.lease(Some(Location::caller()), clock::now().checked_add(limit))
    }

    /// A connection to the same server that does not belong to the pool, not connected yet.
    #[doc(alias = "make_connection")]
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.new_connection()
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
    }

    /// Closes all connections: those that are idle now, those in use when they come back.
    #[doc(alias = "reset")]
    pub fn disconnect(&self) {
        self.with(|machine| machine.reset());
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
        self.with(|machine| machine.clear_idle(CloseReason::Disconnected));
    }

    /// What the pool is doing, and has done so far.
    #[doc(alias = "size")]
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.with(|machine| machine.stats())
    }

    /// The borrowers of connections: where in the program each was asked for, and since when. One that is
    /// held for long may have been forgotten.
    ///
    /// ```no_run
    /// # fn example(pool: redwire::Pool) {
    /// for borrower in pool.borrowers() {
    ///     if let Some(location) = borrower.location {
    ///         println!("held for {:?} by {location}", borrower.since.elapsed());
    ///     }
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn borrowers(&self) -> Vec<Borrower> {
        self.with(|machine| machine.borrowers().collect())
    }

    /// What happens to the connections of this pool, from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.target().events().listen())
    }

    /// Lends no more connections, fails callers that wait, and waits until all are back, but no longer than
    /// `limit` (`Duration::MAX`: without limit). Those that are not are ended: a caller that uses one sees it
    /// closed. Says how many that were.
    pub async fn close(&self, limit: Duration) -> usize {
        self.with(|machine| machine.close());
        let drained = async {
            loop {
                let changed = self.0.changed.notified();
                if self.with(|machine| machine.is_drained()) {
                    return;
                }
                changed.await;
            }
        };
        let _ = before(clock::now().checked_add(limit), drained).await;
        let left = self.stats().in_use;
        self.cut();
        left
    }

    /// Lends no more connections, fails callers that wait, and ends those in use.
    pub fn close_now(&self) {
        self.with(|machine| machine.close());
        self.cut();
    }

    /// Lets go of all connections, also of those in use.
    pub(super) fn leave_server(&self) {
        Follower::leave_server(Arc::clone(&self.0), None);
        Follower::cut(Arc::clone(&self.0));
        // Callers that ask whether the server lives have left it, too.
        Follower::leave_server(Arc::clone(&self.0.health), None);
    }

    fn cut(&self) {
        self.lock().interrupts.end();
        self.target().handle_closed();
    }

    /// Whether the pool was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.with(|machine| machine.is_closed())
    }
}

impl LimitedPool for PoolShared {
    fn handle_limit(self: Arc<Self>) {
        // Others are told by the caller.
        Pool(self).settle(|_| ());
    }
}

impl Follower for PoolShared {
    fn replace(self: Arc<Self>, these: Replace) {
        match these {
            Replace::One => Pool(self).with(|machine| machine.prefer_new()),
            Replace::All | Replace::Others => self.leave_server(None),
        }
    }

    fn leave_server(self: Arc<Self>, next: Option<&Endpoint>) {
        let pool = Pool(self);
        pool.lock().interrupts.leave_server(next);
        pool.with(|machine| machine.handle_moved(clock::now()));
    }

    fn cut_calls(self: Arc<Self>) {
        Pool(self).lock().interrupts.end_calls_left();
    }

    fn cut(self: Arc<Self>) {
        Pool(self).lock().interrupts.end_left();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("config", self.config()).finish_non_exhaustive()
    }
}
