//! Locks, async. When a caller asks, and when a lock is lost, is decided in `redwire-core`; this file waits.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::lock::{self, Acquire, AcquireStep, Claim, Hold, HoldStep, LockOptions, LockWait};
use redwire_core::{ErrorKind, LockFault, Result};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::before;
use super::client::Client;
use crate::shared::clock::{self, Timer, runtime};
use crate::shared::locking::{self, Held};

/// A lock at the server that programs on many machines share, made by [`Client::lock`].
///
/// ```no_run
/// # async fn example(client: redwire::Client) -> redwire::Result<()> {
/// use std::time::Duration;
///
/// let lock = client.lock("jobs:nightly").ttl(Duration::from_secs(10)).auto_extend(true);
/// let guard = lock.acquire().await?;
/// tokio::select! {
///     () = work(guard.fence()) => guard.release().await?,
///     () = guard.lost() => eprintln!("another process may be at it now: stopped"),
/// }
/// # Ok(())
/// # }
/// # async fn work(fence: u64) {}
/// ```
///
/// # What it guarantees, and what not
/// - One server decides. As long as it keeps its data, one token at a time holds the lock, and a holder that
///   dies is rid of it when the [`ttl`](Self::ttl) has passed. After a failover, a restart without
///   persistence, `FLUSHALL` or eviction it may be free though its holder still works under it. This is not
///   Redlock: no majority of servers is asked.
/// - A holder that stands still for longer than the ttl (a pause of the machine, a frozen process) has lost
///   the lock and does not know before it runs again. So look at [`is_lost`](LockGuard::is_lost) or await
///   [`lost`](LockGuard::lost), which go by the holder's own clock and count from before the request was
///   sent: as long as clocks run at the same rate, they tell of the loss no later than the lock runs out at
///   the server. A machine that is suspended may stop its clock.
/// - Between that look and what is done next, time passes, too. Where it must not go wrong, give
///   [`fence`](LockGuard::fence) along with each write, and let the resource refuse a number below the
///   highest it has seen. The number grows with each acquisition: it is the server's clock in microseconds,
///   or one more than the last number where that is higher. So it also grows after a failover that lost
///   writes, or `FLUSHALL`, as long as the clock of the server that answers then is not behind the former
///   one's.
/// - It is not fair: of the waiters, the one that asks first after a release has it. It is not reentrant, but
///   by [`token`](Self::token).
///
/// # At the server
/// The key has the name and holds the token, with an expiry, as other clients do it (redis-py's `Lock` among
/// them): they and this one exclude each other. Beside it lie
/// - `{name}:fence`, the last fencing number, which stays;
/// - `{name}:wake`, a list of one element at most, for a second after a release;
/// - `{name}:attempt`, which acquisition took the lock, for as long as it is held, so that a release of an
///   earlier one that arrives late frees nothing;
/// - `{name}:released:TOKEN`, for some seconds, so that a release whose reply was lost can be asked again.
///
/// They are in the slot of the name, unless it has a `}` and no hash tag: such a lock a Cluster refuses.
#[derive(Clone, Debug)]
pub struct Lock {
    client: Client,
    options: LockOptions,
}

impl Lock {
    pub(super) fn new(client: &Client, name: impl AsRef<[u8]>) -> Self {
        Self { client: client.clone(), options: LockOptions::new(name) }
    }

    /// How long it is held without being extended, in whole milliseconds, 1 at least; default: 30 s. Too
    /// short, and a pause of the holder or the network loses it; too long, and the others wait long for a
    /// holder that died. `Duration::MAX`: without an end, and that of a holder that died stays until its key
    /// is deleted; to hold one for as long as the holder lives, have it [extended](Self::auto_extend).
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = ttl;
        self
    }

    /// How long [`acquire`](Self::acquire) waits for another holder; default: the ttl, within which a dead
    /// holder's lock is free.
    #[doc(alias = "blocking_timeout")]
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.options.wait = LockWait::Upto(wait);
        self
    }

    /// [`acquire`](Self::acquire) waits for as long as another holder keeps the lock.
    #[must_use]
    pub fn wait_forever(mut self) -> Self {
        self.options.wait = LockWait::Forever;
        self
    }

    /// How often a waiter asks whether the lock is free; default: 100 ms, from 1 ms to an hour.
    ///
    /// A release by this library wakes one waiter, so it matters only for locks that other clients
    /// release or that run out. Shorter loads the server, longer leaves such a lock free for a while. Who
    /// cannot be woken asks once a second at least.
    #[doc(alias = "sleep")]
    #[must_use]
    pub fn retry_interval(mut self, interval: Duration) -> Self {
        self.options.retry_interval = interval;
        self
    }

    /// Whether a task extends it each time that a third of the ttl has passed, until the guard is gone;
    /// default: no.
    ///
    /// Then the ttl may be short; it is also the time after which a holder that cannot reach the server
    /// counts as gone. Work that hangs keeps the lock.
    #[must_use]
    pub fn auto_extend(mut self, on: bool) -> Self {
        self.options.auto_extend = on;
        self
    }

    /// The token that stands for the holder; default: 128 random bits for each acquisition. A caller that
    /// gives the same token holds the same lock, so it must be used for nothing else.
    ///
    /// Where a token acquires a lock that it holds already, the guard of the last acquisition frees it. The
    /// end of an earlier guard, or its release that arrives late, leaves the lock as it is.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.options.token = Some(token.into());
        self
    }

    /// Waits until the lock is free, and takes it. Ends after [`wait`](Self::wait), or, where the server does
    /// not answer, by the client's [`timeout`](crate::config::ConfigBuilder::timeout) after that.
    ///
    /// A lost reply or connection is no reason to give up before: the lock is recognised by its token when it
    /// is asked for again. While it waits, an attempt borrows a connection of the client's pool, over which
    /// it is woken, as long as less than half of them are in use. Dropping the future gives the attempt up,
    /// and takes back a lock that it may have got just then.
    ///
    /// # Errors
    /// [`NotAcquired`](LockFault::NotAcquired) when another holder kept it; otherwise as any call.
    pub async fn acquire(&self) -> Result<LockGuard> {
        self.attempt(&self.options).await
    }

    /// Takes the lock if it is free; `None` if another holder has it.
    ///
    /// # Errors
    /// As any call.
    pub async fn try_acquire(&self) -> Result<Option<LockGuard>> {
        match self.attempt(&self.options.at_once()).await {
            Ok(guard) => Ok(Some(guard)),
            Err(error) if error.kind() == ErrorKind::Lock(LockFault::NotAcquired) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes charge of a lock that is held already, by the token of its holder: acquired elsewhere, in
    /// another thread or process, and [left](LockGuard::detach) there.
    ///
    /// # Errors
    /// [`NotOwned`](LockFault::NotOwned) if that token does not hold it; otherwise as any call.
    pub async fn reattach(&self, token: &str) -> Result<LockGuard> {
        let claim = locking::new_claim(&self.options, Some(token.to_owned()))?;
        let sent = clock::now();
        let found = self.client.execute(claim.take()).await?;
        let (fence, hold) = Hold::found(&self.options, claim, found, sent)?;
        Ok(self.guard(fence, hold, runtime()?))
    }

    /// Whether it is held, by any holder.
    ///
    /// # Errors
    /// As any call.
    pub async fn locked(&self) -> Result<bool> {
        self.client.execute(lock::locked(&self.options.name)).await
    }

    async fn attempt(&self, options: &LockOptions) -> Result<LockGuard> {
        let client = &self.client;
        let claim = locking::new_claim(options, options.token.clone())?;
        let acquire = Acquire::new(options, claim, client.config().timeout(), clock::now());
        let mut attempt = AcquireAttempt { client, acquire, runtime: runtime()? };
        loop {
            let acquire = &mut attempt.acquire;
            match acquire.poll_step(clock::now(), fastrand::u64(..), self.may_listen()) {
                AcquireStep::Ask(ask) => {
                    let answer = client.execute(ask).await;
                    if let Some((fence, hold)) = acquire.handle_answer(answer, clock::now())? {
                        return Ok(self.guard(fence, hold, attempt.runtime.clone()));
                    }
                }
                AcquireStep::Listen(listen) => {
                    let heard = client.execute(listen).await;
                    acquire.handle_heard(heard.is_ok());
                }
                AcquireStep::Pause(pause) => Timer::after(pause).await,
            }
        }
    }

    fn may_listen(&self) -> bool {
        lock::may_listen(self.client.pool().stats().in_use, self.client.config().max_connections())
    }

    fn guard(&self, fence: u64, hold: Hold, runtime: Handle) -> LockGuard {
        let shared = Arc::new(LockShared {
            client: self.client.clone(),
            held: Held::new(fence, hold),
            changed: Notify::new(),
            runtime,
        });
        let keeper = self.options.auto_extend.then(|| {
            let kept = Arc::clone(&shared);
            shared.runtime.spawn(async move { kept.keep().await }).abort_handle()
        });
        LockGuard { shared, keeper, releases: true }
    }
}

/// An attempt that gives back what it may have got, when it is dropped.
struct AcquireAttempt<'a> {
    client: &'a Client,
    acquire: Acquire,
    runtime: Handle,
}

impl Drop for AcquireAttempt<'_> {
    fn drop(&mut self) {
        if self.acquire.leaves_traces() {
            abandon(self.client, self.acquire.claim(), &self.runtime);
        }
    }
}

/// Frees a lock while no caller waits for that.
fn abandon(client: &Client, claim: &Claim, runtime: &Handle) {
    let limit = client.config().timeout().unwrap_or(ABANDON);
    let (client, release) = (client.clone(), claim.abandon(limit));
    // There is no caller to be told; what cannot be released runs out.
    runtime.spawn(async move { client.execute(release).await.is_ok() });
}

/// The longest that an unattended release may take, where calls have no limit.
const ABANDON: Duration = Duration::from_secs(5);

/// A lock that is held. Dropping it releases the lock in the background, as far as that is possible: not
/// after the end of the runtime. [`release`](Self::release) tells what came of it.
///
/// The guard belongs to the task or thread that has it and may be sent to another task or thread: there is no
/// token bound to a thread.
#[must_use = "dropping the guard releases the lock"]
pub struct LockGuard {
    shared: Arc<LockShared>,
    keeper: Option<AbortHandle>,
    releases: bool,
}

/// What a guard has in common with the task that extends it and the tasks that await its loss.
struct LockShared {
    client: Client,
    held: Held,
    /// Tells of every change of the hold.
    changed: Notify,
    runtime: Handle,
}

impl LockGuard {
    /// The token that holds the lock: with it, [`Lock::reattach`] takes charge elsewhere.
    #[must_use]
    pub fn token(&self) -> &str {
        self.shared.held.claim().token()
    }

    /// The fencing number: it grows with every acquisition of this lock by any user of this library. It
    /// is about the server's time in microseconds, and below 2^53.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.shared.held.fence()
    }

    /// Until when the lock is certainly held, by this machine's clock, as far as is known now; `None`: it
    /// does not run out.
    #[must_use]
    pub fn valid_until(&self) -> Option<Instant> {
        self.shared.held.hold().until()
    }

    /// Whether the lock must be taken for lost: its time has passed without an extension that was confirmed,
    /// or the server said that it is not held any more. Asks no server. What was lost once stays so.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.shared.held.hold().is_lost(clock::now())
    }

    /// Waits until the lock is lost, or until the guard is gone. It does not borrow the guard.
    ///
    /// That the lock was taken away before its time is found out by what asks the server:
    /// [`auto_extend`](Lock::auto_extend) does, from time to time.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            loop {
                let mut changed = pin!(shared.changed.notified());
                changed.as_mut().enable();
                let until = {
                    let mut hold = shared.held.hold();
                    if hold.is_over(clock::now()) {
                        return;
                    }
                    hold.until()
                };
                let _ = before(until, changed).await;
            }
        }
    }

    /// Has the lock last for `ttl` from now on. It never shortens its time.
    ///
    /// # Errors
    /// [`NotOwned`](LockFault::NotOwned) and [`Lost`](LockFault::Lost); otherwise as any call, and then the
    /// time is what it was, as far as one knows.
    pub async fn extend(&self, ttl: Duration) -> Result<()> {
        let (extend, extension) = self.shared.held.hold().extend(ttl, clock::now())?;
        let answer = self.shared.client.execute(extend).await;
        self.shared.change(|hold| hold.handle_extended(extension, answer, clock::now()))
    }

    /// Has the lock last for its full [`ttl`](Lock::ttl) from now on.
    ///
    /// # Errors
    /// As [`extend`](Self::extend).
    pub async fn reacquire(&self) -> Result<()> {
        let ttl = self.shared.held.hold().ttl();
        self.extend(ttl).await
    }

    /// Asks the server whether the lock is held by this token.
    ///
    /// # Errors
    /// As any call.
    pub async fn owned(&self) -> Result<bool> {
        let found = self.shared.client.execute(self.shared.held.claim().find()).await?;
        self.shared.change(|hold| hold.handle_found(found.is_some()));
        Ok(found.is_some())
    }

    /// Releases the lock and wakes one waiter.
    ///
    /// # Errors
    /// [`NotOwned`](LockFault::NotOwned) if it was not held any more, so that another holder may have been at
    /// work, too; otherwise as any call: it is tried once more in the background, and at last runs out.
    pub async fn release(mut self) -> Result<()> {
        self.stop();
        let client = &self.shared.client;
        let owned = client.execute(self.shared.held.claim().release(client.config().timeout())).await?;
        self.releases = false;
        lock::released(owned)
    }

    /// Ends the guard, and leaves the lock as it is, to run out or to be [taken charge of](Lock::reattach) by
    /// its token, which is returned.
    #[doc(alias = "thread_local")]
    #[must_use = "without its token the lock cannot be released"]
    pub fn detach(mut self) -> String {
        self.releases = false;
        self.token().to_owned()
    }

    fn stop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if !self.shared.held.is_ours() {
            return;
        }
        self.stop();
        let shared = &self.shared;
        shared.change(Hold::handle_ended);
        if self.releases {
            abandon(&shared.client, shared.held.claim(), &shared.runtime);
        }
    }
}

impl LockShared {
    fn change<T>(&self, change: impl FnOnce(&mut Hold) -> T) -> T {
        let output = change(&mut self.held.hold());
        self.changed.notify_waiters();
        output
    }

    /// Extends the lock until it is lost.
    async fn keep(&self) {
        let timeout = self.client.config().timeout();
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let keep = self.held.hold().poll_keep(clock::now(), timeout);
            match keep {
                HoldStep::Extend(extend, extension) => {
                    let answer = self.client.execute(extend).await;
                    // A failure is tried again in time, and the hold tells of the loss.
                    let _ = self.change(|hold| hold.handle_extended(extension, answer, clock::now()));
                }
                HoldStep::LockWait(until) => drop(before(until, changed).await),
                HoldStep::Stop => return,
            }
        }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").field("held", &self.shared.held).finish_non_exhaustive()
    }
}
