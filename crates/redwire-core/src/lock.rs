//! Locks at a server: when a caller asks for one, how long it is certainly held, and when it must be taken
//! for lost.
//!
//! A lock is a key that holds the token of its holder and expires, as other clients know it. Whatever may be
//! repeated after a lost reply is harmless when repeated: a token is recognised by the scripts of [`Claim`].
//! [`Acquire`] gets a lock, [`Hold`] keeps it. Time and chance come in as arguments; this file must not know
//! connections.

mod acquire;
mod claim;
mod hold;

use std::time::Duration;

pub use acquire::{Acquire, AcquireAnswer, AcquireStep};
pub use claim::{Claim, FoundLock};
pub use hold::{Extension, Hold, HoldStep};

use crate::cmd::Cmd;
use crate::error::{Error, ErrorKind, LockFault, Outcome, Result};
use crate::facts;

/// How a lock is acquired and kept.
#[derive(Clone, Debug)]
pub struct LockOptions {
    /// The key.
    pub name: Vec<u8>,
    /// How long it is held without being extended.
    pub ttl: Duration,
    /// How long the attempt waits while another holder has the lock.
    pub wait: LockWait,
    /// How often the server is asked while another holder has it, unless a wake-up comes.
    pub retry_interval: Duration,
    /// Whether it is extended again and again while it is held.
    pub auto_extend: bool,
    /// The token of the holder; `None` for one at random.
    pub token: Option<String>,
}

/// How long an attempt waits while another holder has the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    /// As long as the lock lasts without being extended: by then that of a dead holder is free.
    Ttl,
    /// So long.
    Upto(Duration),
    /// Without end.
    Forever,
}

impl LockOptions {
    /// The defaults: 30 s, as long a wait, and 10 questions a second.
    #[must_use]
    pub fn new(name: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            ttl: Duration::from_secs(30),
            wait: LockWait::Ttl,
            retry_interval: Duration::from_millis(100),
            auto_extend: false,
            token: None,
        }
    }

    /// The same, but without waiting for another holder.
    #[must_use]
    pub fn at_once(&self) -> Self {
        Self { wait: LockWait::Upto(Duration::ZERO), ..self.clone() }
    }

    /// Whether a server can keep such a lock.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`]: the ttl is less than a millisecond.
    pub fn check(&self) -> Result<()> {
        check_ttl(self.ttl)
    }

    /// The wait in time; `None` for one without end.
    fn patience(&self) -> Option<Duration> {
        match self.wait {
            LockWait::Ttl => Some(self.ttl),
            LockWait::Upto(wait) => Some(wait),
            LockWait::Forever => None,
        }
    }
}

/// Whether a waiter may borrow a connection to be woken over it, when `in_use` of `max` connections are lent.
///
/// Half of them is left to others, the holder that is to release the lock among them; the other waiters ask
/// from time to time.
#[must_use]
pub fn may_listen(in_use: usize, max: usize) -> bool {
    in_use < max.div_ceil(2)
}

/// Whether a lock can last for `ttl`, which servers count in milliseconds.
fn check_ttl(ttl: Duration) -> Result<()> {
    if ttl < Duration::from_millis(1) {
        return Err(Error::usage(format!("the ttl of a lock: expected at least 1 ms, got {ttl:?}")));
    }
    Ok(())
}

/// The result of a release: the lock was released now, or was gone before.
///
/// # Errors
/// [`LockFault::NotOwned`].
pub fn released(owned: bool) -> Result<()> {
    if owned { Ok(()) } else { Err(failure(LockFault::NotOwned)) }
}

/// A lock's failure in words.
fn failure(fault: LockFault) -> Error {
    let message = match fault {
        LockFault::NotAcquired => {
            "another holder has the lock, and had it for as long as there was time to wait"
        }
        LockFault::NotOwned => {
            "the lock is not ours any more: it ran out, was taken away, or was released before"
        }
        LockFault::Lost => {
            "the lock has run out: it was not extended in time, or no extension was confirmed, so that \
             another holder may have it"
        }
    };
    Error::new(ErrorKind::Lock(fault), Outcome::Rejected, message)
}

/// Whether the lock `name` is held, by any holder.
pub fn locked(name: &[u8]) -> Cmd<bool> {
    Cmd::of(&facts::EXISTS).arg(name)
}

/// In the unit of the servers: at least 1, and at most what their scripts can count to (285,000 years).
fn milliseconds(time: Duration) -> u64 {
    const MOST: u64 = 1 << 53;
    u64::try_from(time.as_millis()).unwrap_or(MOST).clamp(1, MOST)
}

#[cfg(test)]
mod tests;
