//! How callers share connections here: each call has one for itself, and leaves it for the next; where there are many
//! calls at a time, they share one.
//!
//! Which one, and who waits, is for the [`Pool`] to say. This file must not know what is sent.

use std::time::Instant;

use redwire_core::call::Call;
use redwire_core::config::Config;
use redwire_core::lane::Lane as Way;
use redwire_core::{Error, ErrorKind, Replies, Result};

use super::pool::Pool;
use crate::setup;

/// Until when a call that begins `now`, and must end by `deadline`, waits for what it needs to be sent. Without a deadline it is
/// held up by that for no longer than `timeout`.
#[inline]
pub(super) fn until(config: &Config, now: Instant, deadline: Option<Instant>) -> Option<Instant> {
    deadline.or_else(|| config.timeout().and_then(|limit| now.checked_add(limit)))
}

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

    /// Sends `call` and waits for its replies, on a connection that is had [`until`] then.
    #[inline]
    pub(super) fn exchange(
        &self,
        call: &impl Call,
        way: Way,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        let until = until(self.pool.config(), now, deadline);
        let replies = self.pool.exchange(call, way == Way::Shared, now, until, deadline);
        replies.map_err(|error| self.explain(error))
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
