//! The connections of a cache: the one that is tracked, over which it reads, and on RESP2 a second one, which hears the
//! announcements. What they mean is decided in `redwire-core`.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::task::Waker;
use std::time::Instant;

use redwire_core::cache::{CacheOptions, Store, announcements, connection_id, tracking};
use redwire_core::config::Protocol;
use redwire_core::inbound::Frames;
use redwire_core::{Cmd, ConnectionFault, Error, ErrorKind, Outcome, Replies, Result, Value};

use crate::events::EventKind;
use crate::nonblocking::before;
use crate::nonblocking::connection::{Connection, OnConnect};
use crate::nonblocking::lane::Lane;
use crate::nonblocking::pool::Pool;
use crate::owner::Owner;
use crate::setup;
use crate::target::Target;

/// What a cache keeps, and who announces changes to it.
pub(in crate::nonblocking) struct Tracking {
    target: Arc<Target>,
    options: CacheOptions,
    /// Those who only take what is kept do not wait for each other, nor hold up what is announced for long.
    store: RwLock<Store<Waker>>,
    /// The process that hears of changes.
    owner: Owner,
    /// The connection that is tracked.
    tracked: OnceLock<Weak<Lane>>,
    /// The one that hears the announcements, where it is another. It lives no longer than the tracked one is connected.
    redirect: Mutex<Option<Arc<Lane>>>,
}

/// Who hears what a connection has to say, and whether it is up.
pub(in crate::nonblocking) enum Watch {
    /// The connection is the tracked one.
    Tracked(Arc<Tracking>),
    /// The connection hears the announcements for another.
    Redirect(Weak<Tracking>),
}

impl Tracking {
    /// A cache beside `pool`, and its tracked connection, which is not connected yet.
    pub(super) fn new(pool: &Pool, options: CacheOptions) -> (Arc<Self>, Arc<Lane>) {
        let this = Arc::new(Self {
            target: Arc::clone(pool.target()),
            store: RwLock::new(Store::new(options.clone())),
            options,
            owner: Owner::new(),
            tracked: OnceLock::new(),
            redirect: Mutex::new(None),
        });
        let (tracking, beside) = (Arc::downgrade(&this), pool.clone());
        let on_connect: OnConnect = Arc::new(move |connection| {
            let (tracking, pool) = (tracking.upgrade(), beside.clone());
            Box::pin(async move {
                let tracking = tracking.ok_or_else(setup::closed_client)?;
                tracking.set_up(&pool, connection).await.inspect_err(|error| tracking.tell(error))
            })
        });
        let lane = Lane::watched(pool, Some(on_connect), Some(Watch::Tracked(Arc::clone(&this))));
        let lane = Arc::new(lane);
        let _ = this.tracked.set(Arc::downgrade(&lane));
        (this, lane)
    }

    pub(super) fn options(&self) -> &CacheOptions {
        &self.options
    }

    /// Whether this process is a child of the one that made the cache: it hears of no changes, and the lock may be held by a thread
    /// that is not there.
    pub(super) fn is_foreign(&self) -> bool {
        self.owner.is_other()
    }

    /// What is kept as the reply to `cmd`.
    #[inline]
    pub(super) fn hit<R>(&self, cmd: &Cmd<R>, now: Instant) -> Option<Replies> {
        if self.owner.is_other_at(now) {
            return None;
        }
        match self.store.try_read() {
            Ok(store) => store.hit(cmd, now),
            Err(_) if self.is_foreign() => None,
            Err(_) => self.read().hit(cmd, now),
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Store<Waker>> {
        // No code of others runs under this lock, and every change to the store is whole.
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock(&self) -> RwLockWriteGuard<'_, Store<Waker>> {
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the store, and wakes those who can go on.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Store<Waker>) -> T) -> T {
        let (mut store, mut woken) = (self.lock(), Vec::new());
        let output = change(&mut store);
        store.poll_woken(&mut woken);
        drop(store);
        woken.into_iter().for_each(Waker::wake);
        output
    }

    /// What hears the announcements.
    pub(super) fn listener(&self, tracked: &Arc<Lane>) -> Arc<Lane> {
        let redirect = self.redirect.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(redirect.as_ref().unwrap_or(tracked))
    }

    fn redirect_to(&self, lane: Option<Arc<Lane>>) {
        let mut redirect = self.redirect.lock().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut *redirect, lane);
        drop(redirect);
        drop(former);
    }

    /// Has the changes of what `connection` will read announced.
    async fn set_up(self: &Arc<Self>, pool: &Pool, connection: &mut Connection) -> Result<()> {
        let deadline = Instant::now() + self.target.config().connect_timeout();
        let set_up = async {
            if let Some(callback) = pool.parts().2 {
                callback(connection).await?;
            }
            let pushes = connection.session().is_some_and(|session| session.protocol == Protocol::Resp3);
            let redirect = if pushes { None } else { Some(self.listen(pool).await?) };
            ask(connection, &tracking(&self.options, redirect)).await?.read::<()>()
        };
        let done = before(Some(deadline), set_up).await;
        let done = done.unwrap_or_else(|| Err(setup::too_slow(self.target.config(), false)));
        done.map_err(|error| error.with_context("the changes of what is cached cannot be announced"))
    }

    /// Connects what hears the announcements; says by which id it is known.
    async fn listen(self: &Arc<Self>, pool: &Pool) -> Result<i64> {
        let id = Arc::new(AtomicI64::new(0));
        let known = Arc::clone(&id);
        let on_connect: OnConnect = Arc::new(move |connection| {
            let id = Arc::clone(&known);
            Box::pin(async move {
                id.store(ask(connection, &connection_id()).await?.read()?, Ordering::Relaxed);
                ask::<Value>(connection, &announcements()).await?.read::<Value>().map(drop)
            })
        });
        let watch = Watch::Redirect(Arc::downgrade(self));
        let lane = Arc::new(Lane::watched(pool, Some(on_connect), Some(watch)));
        lane.connect().await?;
        self.redirect_to(Some(lane));
        Ok(id.load(Ordering::Relaxed))
    }

    /// Nothing is announced from now on; nobody needs to be told if that is on purpose.
    fn handle_down(&self, closed: bool, error: &Error) {
        if self.change(Store::handle_down) && !closed {
            self.tell(error);
        }
    }

    /// Tells whoever listens why nothing is kept.
    fn tell(&self, error: &Error) {
        self.target.tell(EventKind::Untracked(self.target.locate(error.clone())));
    }

    /// What announces is gone: so must be what is tracked, since nobody would hear of it.
    fn handle_redirect_lost(&self, error: &Error) {
        self.handle_down(false, error);
        if let Some(tracked) = self.tracked.get().and_then(Weak::upgrade) {
            tracked.cut(error.clone());
        }
    }
}

/// One command on a connection that is being set up.
async fn ask<R>(connection: &mut Connection, cmd: &Cmd<R>) -> Result<Replies> {
    connection.exchange_packed(&cmd.to_bytes(), 1, None).await
}

impl Watch {
    /// The connection is up, and set up.
    pub(in crate::nonblocking) fn handle_up(&self) {
        if let Self::Tracked(tracking) = self {
            tracking.change(Store::handle_up);
        }
    }

    /// The connection was lost, could not be made, or was `closed` on purpose.
    pub(in crate::nonblocking) fn handle_down(&self, closed: bool, error: &Error) {
        match self {
            Self::Tracked(tracking) => {
                tracking.handle_down(closed, error);
                tracking.redirect_to(None);
            }
            // Who listens is closed only by who is tracked, and has nothing to tell him.
            Self::Redirect(tracking) => {
                if let Some(tracking) = tracking.upgrade().filter(|_| !closed) {
                    tracking.handle_redirect_lost(error);
                }
            }
        }
    }

    /// These came in: what the server said unasked is for the cache.
    pub(in crate::nonblocking) fn handle_frames(&self, frames: &mut Frames) -> Result<()> {
        let upgraded;
        let tracking = match self {
            Self::Tracked(tracking) => tracking,
            Self::Redirect(tracking) => {
                frames.mark_messages();
                upgraded = tracking.upgrade();
                let Some(tracking) = &upgraded else { return Ok(()) };
                tracking
            }
        };
        if frames.pushes().next().is_none() {
            return Ok(());
        }
        if tracking.change(|store| frames.pushes().all(|frame| store.handle_push(frame))) {
            return Ok(());
        }
        let message = "expected to hear of changes for a cache; the server has stopped announcing them";
        Err(Error::new(ErrorKind::Connection(ConnectionFault::Reset), Outcome::MaybeExecuted, message))
    }
}

impl fmt::Debug for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracking").field("options", &self.options).finish_non_exhaustive()
    }
}
