//! How threads are started, and sleep until a moment.

use std::thread::{self, JoinHandle};
use std::time::Instant;

use redwire_core::{Error, Outcome, Result};

/// Starts a thread of this name.
///
/// # Errors
/// There are as many threads as there may be.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map_err(|error| Error::from_io("starting a thread", Outcome::NotSent, error))
}

/// Sleeps until the thread is called, or until then. May return earlier.
pub(crate) fn park_until(until: Option<Instant>) {
    match until {
        None => thread::park(),
        Some(until) => thread::park_timeout(until.saturating_duration_since(Instant::now())),
    }
}

/// Whether there is a deadline, and it has passed.
pub(crate) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}
