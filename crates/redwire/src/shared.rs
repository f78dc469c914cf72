//! What both drivers use and the core may not have: servers and where they are, what is shared under a lock,
//! what is asked on a thread. It knows neither driver, and what there is to decide it asks of `redwire-core`.

#[cfg(feature = "tokio")]
pub(crate) mod clock;
pub(crate) mod connection_limit;
pub mod credentials;
pub(crate) mod events;
#[cfg(redwire_shuttle)]
pub mod explored;
pub(crate) mod interrupt;
pub(crate) mod locking;
pub(crate) mod lookups;
pub(crate) mod node_caches;
pub(crate) mod node_clients;
pub(crate) mod owner;
#[cfg(feature = "tokio")]
pub(crate) mod runtimes;
pub(crate) mod scanning;
pub(crate) mod service;
pub(crate) mod setup;
pub(crate) mod socket;
pub(crate) mod sync;
pub(crate) mod target;
pub(crate) mod threads;
pub(crate) mod tracking;
pub(crate) mod window;

/// Without the async driver there is one clock.
#[cfg(not(feature = "tokio"))]
pub(crate) mod clock {
    use std::time::{Duration, Instant};

    use super::threads;

    #[inline]
    pub(crate) fn now() -> Instant {
        threads::now()
    }

    pub(crate) fn since(moment: Instant) -> Duration {
        threads::since(moment)
    }
}
