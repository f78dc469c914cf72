//! How callers share connections here: each call has one for itself, and leaves it for the next.
//!
//! Which one, and who waits, is for the [`Pool`] to say. This file must not know what is sent.

use std::time::Instant;

use redwire_core::{Error, ErrorKind, Result};

use super::pool::Pool;
use super::wire::Wire;
use crate::setup;

/// The way of the calls of a client to a connection, and back.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pool: Pool,
}

impl Lane {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool }
    }

    #[inline]
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Lets `work` use a connection: an idle one, a new one, or the next that comes free before `deadline`. Without a deadline,
    /// getting it takes no longer than `timeout`.
    #[inline]
    pub(super) fn with<T>(
        &self,
        now: Instant,
        deadline: Option<Instant>,
        work: impl FnOnce(&mut Wire) -> Result<T>,
    ) -> Result<T> {
        let until =
            deadline.or_else(|| self.pool.config().timeout().and_then(|limit| now.checked_add(limit)));
        let mut place = self.pool.lend(now, until)?;
        work(place.wire()?).map_err(|error| self.explain(error))
    }

    /// A connection that was lost because its pool was closed was not closed by the server.
    #[cold]
    fn explain(&self, error: Error) -> Error {
        if matches!(error.kind(), ErrorKind::Connection(_)) && self.pool.is_closed() {
            return setup::closed_client().with_outcome(error.outcome());
        }
        error
    }
}
