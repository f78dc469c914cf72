//! The connections of a cache: the one that is tracked, over which it reads, and on RESP2 a second one, which hears the
//! announcements. What they mean is decided in `redwire-core`.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::thread::Thread;
use std::time::Instant;

use redwire_core::cache::{CacheOptions, Store, announcements, connection_id, tracking};
use redwire_core::config::Protocol;
use redwire_core::inbound::Frames;
use redwire_core::{Cmd, ConnectionFault, Error, ErrorKind, Outcome, Replies, Reply, Result, Value};

use super::line::{Line, SetUp};
use crate::blocking::connection::Connection;
use crate::blocking::pool::Pool;
use crate::events::EventKind;
use crate::owner::Owner;
use crate::setup;
use crate::target::Target;

/// What a cache keeps, and who announces changes to it.
pub(super) struct Tracking {
    target: Arc<Target>,
    options: CacheOptions,
    /// Those who only take what is kept do not wait for each other, nor hold up what is announced for long.
    store: RwLock<Store<Thread>>,
    /// The process that hears of changes.
    owner: Owner,
    /// The connection that is tracked.
    tracked: OnceLock<Weak<Line>>,
    /// The one that hears the announcements, where it is another. It lives no longer than the tracked one is connected.
    redirect: Mutex<Option<Arc<Line>>>,
}

/// Who hears what a connection has to say, and whether it is up.
pub(super) enum Watch {
    /// The connection is the tracked one.
    Tracked(Arc<Tracking>),
    /// The connection hears the announcements for another.
    Redirect(Weak<Tracking>),
}

impl Tracking {
    /// A cache beside `pool`, and its tracked connection.
    pub(super) fn connect(pool: &Pool, options: CacheOptions) -> Result<(Arc<Self>, Arc<Line>)> {
        let this = Arc::new(Self {
            target: Arc::clone(pool.target()),
            store: RwLock::new(Store::new(options.clone())),
            options,
            owner: Owner::new(),
            tracked: OnceLock::new(),
            redirect: Mutex::new(None),
        });
        let (tracking, beside) = (Arc::downgrade(&this), pool.clone());
        let set_up: SetUp = Box::new(move |connection, deadline| {
            let tracking = tracking.upgrade().ok_or_else(setup::closed_client)?;
            let done = tracking.set_up(&beside, connection, deadline);
            done.inspect_err(|error| tracking.tell(error))
        });
        let line = Arc::new(Line::new(pool, set_up, Watch::Tracked(Arc::clone(&this))));
        let _ = this.tracked.set(Arc::downgrade(&line));
        line.connect()?;
        Ok((this, line))
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

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Store<Thread>> {
        // No code of others runs under this lock, and every change to the store is whole.
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock(&self) -> RwLockWriteGuard<'_, Store<Thread>> {
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the store, and wakes those who can go on.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Store<Thread>) -> T) -> T {
        let (mut store, mut woken) = (self.lock(), Vec::new());
        let output = change(&mut store);
        store.poll_woken(&mut woken);
        drop(store);
        woken.into_iter().for_each(|thread| thread.unpark());
        output
    }

    /// What hears the announcements.
    pub(super) fn listener(&self, tracked: &Arc<Line>) -> Arc<Line> {
        let redirect = self.redirect.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(redirect.as_ref().unwrap_or(tracked))
    }

    fn redirect_to(&self, line: Option<Arc<Line>>) {
        let mut redirect = self.redirect.lock().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut *redirect, line);
        drop(redirect);
        drop(former);
    }

    /// Has the changes of what `connection` will read announced.
    fn set_up(self: &Arc<Self>, pool: &Pool, connection: &mut Connection, deadline: Instant) -> Result<()> {
        let pushes = connection.session().is_some_and(|session| session.protocol == Protocol::Resp3);
        let redirect = if pushes { Ok(None) } else { self.listen(pool).map(Some) };
        let done =
            redirect.and_then(|redirect| ask(connection, &tracking(&self.options, redirect), deadline));
        done.map_err(|error| error.with_context("the changes of what is cached cannot be announced"))
    }

    /// Connects what hears the announcements; says by which id it is known.
    fn listen(self: &Arc<Self>, pool: &Pool) -> Result<i64> {
        let id = Arc::new(AtomicI64::new(0));
        let known = Arc::clone(&id);
        let set_up: SetUp = Box::new(move |connection, deadline| {
            known.store(ask(connection, &connection_id(), deadline)?, Ordering::Relaxed);
            ask::<Value>(connection, &announcements(), deadline).map(drop)
        });
        let line = Line::new(pool, set_up, Watch::Redirect(Arc::downgrade(self)));
        line.connect()?;
        self.redirect_to(Some(Arc::new(line)));
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
fn ask<R: Reply>(connection: &mut Connection, cmd: &Cmd<R>, deadline: Instant) -> Result<R> {
    let wire = connection.wire_mut().ok_or_else(setup::closed_client)?;
    wire.exchange(cmd, Some(deadline))?.read()
}

impl Watch {
    /// The connection is up, and set up.
    pub(super) fn handle_up(&self) {
        if let Self::Tracked(tracking) = self {
            tracking.change(Store::handle_up);
        }
    }

    /// The connection was lost, could not be made, or was `closed` on purpose.
    pub(super) fn handle_down(&self, closed: bool, error: &Error) {
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
    pub(super) fn handle_frames(&self, frames: &mut Frames) -> Result<()> {
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
