//! How threads are started, what time it is for them, and how they sleep until a moment.
//!
//! With `--cfg redwire_shuttle` an explorer decides all that: see `explored.rs`.

#[cfg(not(redwire_shuttle))]
use std::thread as origin;
use std::time::{Duration, Instant};

#[cfg(redwire_shuttle)]
pub(crate) use origin::now;
pub(crate) use origin::{JoinHandle, Thread, current, park, sleep, yield_now};
use redwire_core::{Error, Outcome, Result};

#[cfg(redwire_shuttle)]
use super::explored as origin;

/// The time.
#[cfg(not(redwire_shuttle))]
#[inline]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// How long ago `moment` was.
pub(crate) fn since(moment: Instant) -> Duration {
    now().saturating_duration_since(moment)
}

/// Starts a thread of this name.
///
/// # Errors
/// There are as many threads as there may be.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let started = origin::Builder::new().name(name.to_owned()).spawn(work);
    started.map_err(|error| Error::from_io("starting a thread", Outcome::NotSent, error))
}

/// Sleeps until the thread is called, or until then. May return earlier.
pub(crate) fn park_until(until: Option<Instant>) {
    match until {
        None => park(),
        Some(until) => origin::park_timeout(until.saturating_duration_since(now())),
    }
}

/// Whether there is a deadline, and it has passed.
pub(crate) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= now())
}
