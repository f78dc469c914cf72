//! Locks and the conditions that threads wait for, as std's, but a lock can be taken also after a panic under
//! it.
//!
//! That is right for all of them: every change that is made under a lock of this crate is whole, and where
//! code of a user runs under one (a look at a custom stream), its panic is caught there. Guards are std's.
//!
//! With `--cfg redwire_shuttle` all of them are those of `explored.rs`.

#[cfg(not(redwire_shuttle))]
use std::sync as origin;
use std::sync::{PoisonError, TryLockError};
use std::time::{Duration, Instant};

pub(crate) use origin::{MutexGuard, OnceLock, RwLockReadGuard, RwLockWriteGuard, atomic, mpsc};

#[cfg(redwire_shuttle)]
use self::explored as origin;
use super::threads;

/// By std's names.
#[cfg(redwire_shuttle)]
mod explored {
    pub(crate) use crate::shared::explored::{ExploredCondvar as Condvar, ExploredMutex as Mutex, *};
}

/// As [`std::sync::Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(origin::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(origin::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` where another thread has it, perhaps one of a parent process.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As [`std::sync::RwLock`].
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(origin::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(origin::RwLock::new(value))
    }

    #[inline]
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` where another thread writes.
    pub(crate) fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        match self.0.try_read() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    #[inline]
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As [`std::sync::Condvar`].
#[derive(Debug, Default)]
pub(crate) struct Condvar(origin::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(origin::Condvar::new())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits until then at the longest; a moment that has passed is no wait.
    pub(crate) fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        until: Option<Instant>,
    ) -> MutexGuard<'a, T> {
        let Some(until) = until else {
            return self.0.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        let limit = until.saturating_duration_since(threads::now());
        self.0.wait_timeout(guard, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        self.0.wait_timeout_while(guard, limit, condition).unwrap_or_else(PoisonError::into_inner).0
    }
}
