//! Locks and their guards of either driver, as one.

use std::time::{Duration, Instant};

use redwire::Result;

use crate::common::{Client, runtime};

#[derive(Clone)]
pub(super) enum Lock {
    Tokio(redwire::Lock),
    Blocking(redwire::blocking::Lock),
}

pub(super) enum Guard {
    Tokio(redwire::LockGuard),
    Blocking(redwire::blocking::LockGuard),
}

/// The same option on either.
macro_rules! with {
    ($self:ident, $lock:ident => $call:expr) => {
        match $self {
            Self::Tokio($lock) => Self::Tokio($call),
            Self::Blocking($lock) => Self::Blocking($call),
        }
    };
}

/// The same call on either, awaited on the one.
macro_rules! either {
    ($self:ident, $value:ident => $call:expr) => {
        match $self {
            Self::Tokio($value) => runtime().block_on($call),
            Self::Blocking($value) => $call,
        }
    };
}

/// The same look at either.
macro_rules! look {
    ($self:ident, $value:ident => $call:expr) => {
        match $self {
            Self::Tokio($value) => $call,
            Self::Blocking($value) => $call,
        }
    };
}

impl Lock {
    pub(super) fn of(client: &Client, name: &str) -> Self {
        match client {
            Client::Tokio(client) => Self::Tokio(client.lock(name)),
            Client::Blocking(client) => Self::Blocking(client.lock(name)),
        }
    }

    pub(super) fn ttl(self, ttl: Duration) -> Self {
        with!(self, lock => lock.ttl(ttl))
    }

    pub(super) fn wait(self, wait: Duration) -> Self {
        with!(self, lock => lock.wait(wait))
    }

    pub(super) fn wait_forever(self) -> Self {
        with!(self, lock => lock.wait_forever())
    }

    pub(super) fn retry_interval(self, interval: Duration) -> Self {
        with!(self, lock => lock.retry_interval(interval))
    }

    pub(super) fn auto_extend(self, on: bool) -> Self {
        with!(self, lock => lock.auto_extend(on))
    }

    pub(super) fn token(self, token: &str) -> Self {
        with!(self, lock => lock.token(token))
    }

    pub(super) fn acquire(&self) -> Result<Guard> {
        match self {
            Self::Tokio(lock) => runtime().block_on(lock.acquire()).map(Guard::Tokio),
            Self::Blocking(lock) => lock.acquire().map(Guard::Blocking),
        }
    }

    pub(super) fn try_acquire(&self) -> Result<Option<Guard>> {
        match self {
            Self::Tokio(lock) => Ok(runtime().block_on(lock.try_acquire())?.map(Guard::Tokio)),
            Self::Blocking(lock) => Ok(lock.try_acquire()?.map(Guard::Blocking)),
        }
    }

    pub(super) fn reattach(&self, token: &str) -> Result<Guard> {
        match self {
            Self::Tokio(lock) => runtime().block_on(lock.reattach(token)).map(Guard::Tokio),
            Self::Blocking(lock) => lock.reattach(token).map(Guard::Blocking),
        }
    }

    pub(super) fn locked(&self) -> Result<bool> {
        either!(self, lock => lock.locked())
    }
}

impl Guard {
    pub(super) fn token(&self) -> &str {
        look!(self, guard => guard.token())
    }

    pub(super) fn fence(&self) -> u64 {
        look!(self, guard => guard.fence())
    }

    pub(super) fn valid_until(&self) -> Option<Instant> {
        look!(self, guard => guard.valid_until())
    }

    pub(super) fn is_lost(&self) -> bool {
        look!(self, guard => guard.is_lost())
    }

    pub(super) fn lost(&self) {
        either!(self, guard => guard.lost());
    }

    pub(super) fn lost_within(&self, limit: Duration) -> bool {
        match self {
            Self::Tokio(guard) => {
                runtime().block_on(async { tokio::time::timeout(limit, guard.lost()).await.is_ok() })
            }
            Self::Blocking(guard) => guard.lost_within(limit),
        }
    }

    pub(super) fn extend(&self, ttl: Duration) -> Result<()> {
        either!(self, guard => guard.extend(ttl))
    }

    pub(super) fn reacquire(&self) -> Result<()> {
        either!(self, guard => guard.reacquire())
    }

    pub(super) fn owned(&self) -> Result<bool> {
        either!(self, guard => guard.owned())
    }

    pub(super) fn release(self) -> Result<()> {
        either!(self, guard => guard.release())
    }

    pub(super) fn detach(self) -> String {
        look!(self, guard => guard.detach())
    }
}
