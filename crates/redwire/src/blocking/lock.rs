//! Locks, blocking. When a caller asks, and when a lock is lost, is decided in `redwire-core`; this file
//! waits.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::lock::{self, Acquire, AcquireStep, Claim, Hold, HoldStep, LockOptions, LockWait};
use redwire_core::{ErrorKind, LockFault, Result};

use super::client::Client;
use crate::shared::locking::{self, Held};
use crate::shared::sync::Condvar;
use crate::shared::threads;

/// A lock at the server that programs on many machines share, made by [`Client::lock`].
///
/// ```no_run
/// # let client = redwire::blocking::Client::connect("redis://localhost")?;
/// use std::time::Duration;
///
/// let lock = client.lock("jobs:nightly").ttl(Duration::from_secs(10)).auto_extend(true);
/// let guard = lock.acquire()?;
/// # let jobs: [fn(u64); 0] = [];
/// for job in jobs {
///     if guard.is_lost() {
///         break;
///     }
///     job(guard.fence());
/// }
/// guard.release()?;
/// # Ok::<(), redwire::Error>(())
/// ```
///
/// # What it guarantees, and what not
/// - One server decides. As long as it keeps its data, one token at a time holds the lock, and a holder that
///   dies is rid of it when the [`ttl`](Self::ttl) has passed. After a failover, a restart without
///   persistence, `FLUSHALL` or eviction it may be free though its holder still works under it. This is not
///   Redlock: no majority of servers is asked.
/// - A holder that stands still for longer than the ttl (a pause of the machine, a frozen process) has lost
///   the lock and does not know before it runs again. So look at [`is_lost`](LockGuard::is_lost) or wait for
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

    /// Whether a thread extends it each time that a third of the ttl has passed, until the guard is gone;
    /// default: no. There is one thread for each guard.
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
    /// it is woken, as long as less than half of them are in use. An attempt that fails takes back a lock
    /// that it may have got without knowing.
    ///
    /// # Errors
    /// [`NotAcquired`](LockFault::NotAcquired) when another holder kept it; otherwise as any call, or the
    /// thread that is to extend it cannot be started.
    pub fn acquire(&self) -> Result<LockGuard> {
        self.attempt(&self.options)
    }

    /// Takes the lock if it is free; `None` if another holder has it.
    ///
    /// # Errors
    /// As any call.
    pub fn try_acquire(&self) -> Result<Option<LockGuard>> {
        match self.attempt(&self.options.at_once()) {
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
    pub fn reattach(&self, token: &str) -> Result<LockGuard> {
        let claim = locking::new_claim(&self.options, Some(token.to_owned()))?;
        let sent = threads::now();
        let found = self.client.execute(claim.take())?;
        let (fence, hold) = Hold::found(&self.options, claim, found, sent)?;
        self.guard(fence, hold)
    }

    /// Whether it is held, by any holder.
    ///
    /// # Errors
    /// As any call.
    pub fn locked(&self) -> Result<bool> {
        self.client.execute(lock::locked(&self.options.name))
    }

    fn attempt(&self, options: &LockOptions) -> Result<LockGuard> {
        let client = &self.client;
        let claim = locking::new_claim(options, options.token.clone())?;
        let acquire = Acquire::new(options, claim, client.config().timeout(), threads::now());
        let mut attempt = AcquireAttempt { client, acquire };
        let acquire = &mut attempt.acquire;
        loop {
            match acquire.poll_step(threads::now(), fastrand::u64(..), self.may_listen()) {
                AcquireStep::Ask(ask) => {
                    let answer = client.execute(ask);
                    if let Some((fence, hold)) = acquire.handle_answer(answer, threads::now())? {
                        return self.guard(fence, hold);
                    }
                }
                AcquireStep::Listen(listen) => {
                    let heard = client.execute(listen);
                    acquire.handle_heard(heard.is_ok());
                }
                AcquireStep::Pause(pause) => threads::sleep(pause),
            }
        }
    }

    fn may_listen(&self) -> bool {
        lock::may_listen(self.client.pool().stats().in_use, self.client.config().max_connections())
    }

    fn guard(&self, fence: u64, hold: Hold) -> Result<LockGuard> {
        let held = Held::new(fence, hold);
        let shared = Arc::new(LockShared { client: self.client.clone(), held, changed: Condvar::new() });
        let guard = LockGuard { shared: Arc::clone(&shared), releases: true };
        if self.options.auto_extend {
            threads::spawn("redwire-lock", move || shared.keep())
                .map_err(|error| error.with_context("a lock cannot be extended"))?;
        }
        Ok(guard)
    }
}

/// An attempt that gives back what it may have got, when it is dropped.
struct AcquireAttempt<'a> {
    client: &'a Client,
    acquire: Acquire,
}

impl Drop for AcquireAttempt<'_> {
    fn drop(&mut self) {
        if self.acquire.leaves_traces() {
            abandon(self.client, self.acquire.claim());
        }
    }
}

/// Frees a lock for a caller that does not wait for that.
fn abandon(client: &Client, claim: &Claim) {
    // There is no caller to be told; what cannot be released runs out.
    let _ = client.execute(claim.abandon(ABANDON));
}

/// The longest that an unattended release may take.
const ABANDON: Duration = Duration::from_millis(250);

/// A lock that is held. Dropping it releases the lock, if that takes no longer than 250 ms.
/// [`release`](Self::release) tells what came of it.
///
/// The guard belongs to the task or thread that has it and may be sent to another thread: there is no token
/// bound to a thread.
#[must_use = "dropping the guard releases the lock"]
pub struct LockGuard {
    shared: Arc<LockShared>,
    releases: bool,
}

/// What a guard has in common with the thread that extends it.
struct LockShared {
    client: Client,
    held: Held,
    /// Tells of every change of the hold.
    changed: Condvar,
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
        self.shared.held.hold().is_lost(threads::now())
    }

    /// Waits until the lock is lost.
    ///
    /// That the lock was taken away before its time is found out by what asks the server:
    /// [`auto_extend`](Lock::auto_extend) does, from time to time.
    pub fn lost(&self) {
        self.await_loss(None);
    }

    /// As [`lost`](Self::lost), but waits no longer than `limit`; says whether the lock is lost.
    #[must_use]
    pub fn lost_within(&self, limit: Duration) -> bool {
        self.await_loss(threads::now().checked_add(limit))
    }

    fn await_loss(&self, deadline: Option<Instant>) -> bool {
        let shared = &self.shared;
        let mut hold = shared.held.hold();
        loop {
            let now = threads::now();
            if hold.is_lost(now) {
                return true;
            }
            if deadline.is_some_and(|deadline| deadline <= now) {
                return false;
            }
            let next = [hold.until(), deadline].into_iter().flatten().min();
            hold = shared.changed.wait_until(hold, next);
        }
    }

    /// Has the lock last for `ttl` from now on. It never shortens its time.
    ///
    /// # Errors
    /// [`NotOwned`](LockFault::NotOwned) and [`Lost`](LockFault::Lost); otherwise as any call, and then the
    /// time is what it was, as far as one knows.
    pub fn extend(&self, ttl: Duration) -> Result<()> {
        let (extend, extension) = self.shared.held.hold().extend(ttl, threads::now())?;
        let answer = self.shared.client.execute(extend);
        self.shared.change(|hold| hold.handle_extended(extension, answer, threads::now()))
    }

    /// Has the lock last for its full [`ttl`](Lock::ttl) from now on.
    ///
    /// # Errors
    /// As [`extend`](Self::extend).
    pub fn reacquire(&self) -> Result<()> {
        let ttl = self.shared.held.hold().ttl();
        self.extend(ttl)
    }

    /// Asks the server whether the lock is held by this token.
    ///
    /// # Errors
    /// As any call.
    pub fn owned(&self) -> Result<bool> {
        let found = self.shared.client.execute(self.shared.held.claim().find())?;
        self.shared.change(|hold| hold.handle_found(found.is_some()));
        Ok(found.is_some())
    }

    /// Releases the lock and wakes one waiter.
    ///
    /// # Errors
    /// [`NotOwned`](LockFault::NotOwned) if it was not held any more, so that another holder may have been at
    /// work, too; otherwise as any call: it is tried once more, for 250 ms, and at last runs out.
    pub fn release(mut self) -> Result<()> {
        self.shared.change(Hold::handle_ended);
        let client = &self.shared.client;
        let owned = client.execute(self.shared.held.claim().release(client.config().timeout()))?;
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
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let shared = &self.shared;
        if !shared.held.is_ours() {
            return;
        }
        shared.change(Hold::handle_ended);
        if self.releases {
            abandon(&shared.client, shared.held.claim());
        }
    }
}

impl LockShared {
    fn change<T>(&self, change: impl FnOnce(&mut Hold) -> T) -> T {
        let output = change(&mut self.held.hold());
        self.changed.notify_all();
        output
    }

    /// Extends the lock until it is lost, or the guard is gone.
    fn keep(&self) {
        let timeout = self.client.config().timeout();
        let mut hold = self.held.hold();
        loop {
            match hold.poll_keep(threads::now(), timeout) {
                HoldStep::Extend(extend, extension) => {
                    drop(hold);
                    let answer = self.client.execute(extend);
                    // A failure is tried again in time, and the hold tells of the loss.
                    let _ = self.change(|hold| hold.handle_extended(extension, answer, threads::now()));
                    hold = self.held.hold();
                }
                HoldStep::LockWait(until) => hold = self.changed.wait_until(hold, until),
                HoldStep::Stop => break,
            }
        }
        drop(hold);
        self.changed.notify_all();
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").field("held", &self.shared.held).finish_non_exhaustive()
    }
}
