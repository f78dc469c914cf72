//! The connections of a cache, of either driver: the one that is tracked, over which it reads, and on RESP2 a
//! second one, which hears the announcements. What those mean is decided in `redwire-core`. It must not know
//! how either driver waits.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use redwire_core::cache::{CacheOptions, CacheStats, Lookup, Store, demoted, is_demoted};
use redwire_core::inbound::Frames;
use redwire_core::{Cmd, ConnectionFault, Error, ErrorKind, Outcome, Replies, Result};

use crate::shared::events::EventKind;
use crate::shared::owner::OwnerProcess;
use crate::shared::sync::{Mutex, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::shared::target::Target;

/// A connection that a cache reads over, or hears announcements by.
pub(crate) trait CacheConn {
    /// The callers that wait for what another fetches.
    type Waiter;

    fn wake(waiter: Self::Waiter);

    /// Has the connection given up because of `error`, and made anew.
    fn cut(&self, error: Error);
}

/// What a cache keeps, and the connections that announce changes to it.
pub(crate) struct Tracking<L: CacheConn> {
    target: Arc<Target>,
    options: CacheOptions,
    /// Callers that only take what is kept do not wait for each other, nor hold up what is announced for
    /// long.
    store: RwLock<Store<L::Waiter>>,
    /// The process that hears of changes.
    owner: OwnerProcess,
    /// The connection that is tracked.
    tracked: OnceLock<Weak<L>>,
    /// The one that hears the announcements, where it is another. It lives no longer than the tracked one is
    /// connected.
    redirect: Mutex<Option<Arc<L>>>,
}

/// What is told what comes on a connection, and whether it is up.
pub(crate) enum Watch<L: CacheConn> {
    /// The connection is the tracked one.
    Tracked(Arc<Tracking<L>>),
    /// The connection hears the announcements for another.
    Redirect(Weak<Tracking<L>>),
}

impl<L: CacheConn> Tracking<L> {
    /// A cache for `target`, of which nothing is connected yet.
    pub(crate) fn of(target: &Arc<Target>, options: CacheOptions) -> Arc<Self> {
        Arc::new(Self {
            target: Arc::clone(target),
            store: RwLock::new(Store::new(options.clone())),
            options,
            owner: OwnerProcess::new(),
            tracked: OnceLock::new(),
            redirect: Mutex::new(None),
        })
    }

    /// `conn` is the tracked connection.
    pub(crate) fn track(&self, conn: &Arc<L>) {
        // Said once, by who made both.
        let _ = self.tracked.set(Arc::downgrade(conn));
    }

    pub(crate) fn options(&self) -> &CacheOptions {
        &self.options
    }

    /// Whether this process is a child of the one that made the cache: it hears of no changes, and the lock
    /// may be held by a thread that is not there.
    pub(crate) fn is_foreign(&self) -> bool {
        self.owner.is_other()
    }

    /// What is kept as the reply to `cmd`.
    #[inline]
    fn hit<R>(&self, cmd: &Cmd<R>, now: Instant) -> Option<Replies> {
        if self.owner.is_other_at(now) {
            return None;
        }
        match self.store.try_read() {
            Some(store) => store.hit(cmd, now),
            None if self.is_foreign() => None,
            None => self.read().hit(cmd, now),
        }
    }

    /// What a caller that wants to read does; `None` where this process hears of no changes.
    #[inline]
    pub(crate) fn look<R>(
        &self,
        cmd: &Cmd<R>,
        now: Instant,
        waiter: impl FnOnce() -> L::Waiter,
    ) -> Option<Lookup> {
        match self.hit(cmd, now) {
            Some(replies) => Some(Lookup::Hit(replies)),
            None if self.is_foreign() => None,
            None => Some(self.lock().lookup(cmd, now, waiter)),
        }
    }

    /// Whether changes are announced now, so that anything is kept.
    pub(crate) fn is_live(&self) -> bool {
        !self.is_foreign() && self.read().is_live()
    }

    pub(crate) fn stats(&self) -> CacheStats {
        if self.is_foreign() { CacheStats::default() } else { self.read().stats() }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        if !self.is_foreign() {
            self.change(Store::clear);
        }
    }

    /// The question whether all announcements have come was answered by the tracked connection, or not.
    /// Whether that leads to a former master: then all is forgotten, and another connection is made.
    pub(crate) fn handle_asked(&self, answered: Result<Replies>) -> Result<bool> {
        match answered.map(is_demoted) {
            Ok(false) => Ok(false),
            Ok(true) => {
                self.change(Store::clear);
                if let Some(tracked) = self.tracked.get().and_then(Weak::upgrade) {
                    tracked.cut(demoted());
                }
                Ok(true)
            }
            // It may be told here before it is told to the cache, which must not serve what it has.
            Err(error) if matches!(error.kind(), ErrorKind::Connection(_) | ErrorKind::Closed) => {
                self.change(Store::clear);
                Ok(false)
            }
            Err(error) => Err(self.target.locate(error)),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Store<L::Waiter>> {
        self.store.read()
    }

    pub(crate) fn lock(&self) -> RwLockWriteGuard<'_, Store<L::Waiter>> {
        self.store.write()
    }

    /// Changes the store, and wakes the callers that can go on.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Store<L::Waiter>) -> T) -> T {
        let (mut store, mut woken) = (self.lock(), Vec::new());
        let output = change(&mut store);
        store.poll_woken(&mut woken);
        drop(store);
        woken.into_iter().for_each(L::wake);
        output
    }

    /// What hears the announcements.
    pub(crate) fn listener(&self, tracked: &Arc<L>) -> Arc<L> {
        let redirect = self.redirect.lock();
        Arc::clone(redirect.as_ref().unwrap_or(tracked))
    }

    pub(crate) fn redirect_to(&self, conn: Option<Arc<L>>) {
        let mut redirect = self.redirect.lock();
        let former = std::mem::replace(&mut *redirect, conn);
        drop(redirect);
        drop(former);
    }

    /// Nothing is announced from now on; no listener needs to be told if that is on purpose.
    fn handle_down(&self, closed: bool, error: &Error) {
        if self.change(Store::handle_down) && !closed {
            self.tell(error);
        }
    }

    /// Tells all that listen to events why nothing is kept.
    pub(crate) fn tell(&self, error: &Error) {
        self.target.tell(EventKind::Untracked(self.target.locate(error.clone())));
    }

    /// What announces is gone: so must be what is tracked, since no change of it would be heard of.
    fn handle_redirect_lost(&self, error: &Error) {
        self.handle_down(false, error);
        if let Some(tracked) = self.tracked.get().and_then(Weak::upgrade) {
            tracked.cut(error.clone());
        }
    }
}

impl<L: CacheConn> Watch<L> {
    /// The connection is up, and set up.
    pub(crate) fn handle_up(&self) {
        if let Self::Tracked(tracking) = self {
            let apart = tracking.redirect.lock().is_some();
            tracking.change(|store| store.handle_up(apart));
        }
    }

    /// The connection was lost, could not be made, or was `closed` on purpose.
    pub(crate) fn handle_down(&self, closed: bool, error: &Error) {
        match self {
            Self::Tracked(tracking) => {
                tracking.handle_down(closed, error);
                tracking.redirect_to(None);
            }
            // The connection that listens is closed only by the one that is tracked, and has nothing to tell
            // it.
            Self::Redirect(tracking) => {
                if let Some(tracking) = tracking.upgrade().filter(|_| !closed) {
                    tracking.handle_redirect_lost(error);
                }
            }
        }
    }

    /// The connection has said nothing for so long that it would be given up, if its callers had not more
    /// time: what it should have announced may be lost.
    pub(crate) fn handle_overdue(&self) {
        match self {
            Self::Tracked(tracking) => tracking.clear(),
            Self::Redirect(tracking) => {
                if let Some(tracking) = tracking.upgrade() {
                    tracking.clear();
                }
            }
        }
    }

    /// These came in: what the server said unasked is for the cache.
    pub(crate) fn handle_frames(&self, frames: &mut Frames) -> Result<()> {
        let upgraded;
        let tracking = match self {
            Self::Tracked(tracking) => {
                frames.want_pushes();
                tracking
            }
            Self::Redirect(tracking) => {
                frames.mark_messages();
                frames.want_all();
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

impl<L: CacheConn> fmt::Debug for Tracking<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracking").field("options", &self.options).finish_non_exhaustive()
    }
}
