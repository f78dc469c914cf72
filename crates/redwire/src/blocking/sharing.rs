//! How callers share connections here: each call has one for itself, and leaves it for the next; where there
//! are many calls at a time, they share one.
//!
//! Which one, and which thread waits, is for the [`Pool`] to say. This file must not know what is sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::call::Call;
use redwire_core::config::Config;
use redwire_core::dispatch::Dispatch;
use redwire_core::link::Ticket;
use redwire_core::{Error, ErrorKind, Replies, Result};

use super::cluster::at_once;
use super::pool::{Lease, Pool, PoolPlace};
use crate::shared::setup;
use crate::shared::sync::Mutex;
use crate::shared::sync::atomic::{AtomicBool, Ordering};
use crate::shared::threads;

/// Until when a call that begins `now`, and must end by `deadline`, waits for what it needs to be sent.
/// Without a deadline it is held up by that for no longer than `timeout`.
#[inline]
pub(super) fn until(config: &Config, now: Instant, deadline: Option<Instant>) -> Option<Instant> {
    deadline.or_else(|| config.timeout().and_then(|limit| now.checked_add(limit)))
}

/// One of several calls is waited for so long by itself. Then each is, by a thread of its own: a server that
/// is silent must not keep the replies of others from being read.
const PROMPT: Duration = Duration::from_millis(10);

/// The way of the calls of a client to a connection, and back.
#[derive(Clone, Debug)]
pub(super) struct SharedConnections {
    pool: Pool,
    /// Whether the client was closed, where the pool is not its own and stays open.
    closed: Option<Arc<AtomicBool>>,
}

impl SharedConnections {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool, closed: None }
    }

    /// Those of a client whose pool others use, too.
    pub(super) fn beside_others(pool: Pool) -> Self {
        Self { pool, closed: Some(Arc::default()) }
    }

    /// Takes no more calls. Closes the pool, if it is the client's own.
    pub(super) fn close(&self, limit: Duration) {
        match &self.closed {
            Some(closed) => closed.store(true, Ordering::Relaxed),
            None => drop(self.pool.close(limit)),
        }
    }

    /// Whether calls are taken, as far as it is not for the pool to say.
    ///
    /// # Errors
    /// The client is closed.
    #[inline]
    fn check(&self) -> Result<()> {
        match &self.closed {
            Some(closed) if closed.load(Ordering::Relaxed) => Err(setup::closed_client()),
            _ => Ok(()),
        }
    }

    #[inline]
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Sends `call` and waits for its replies. It waits for a connection only as long as [`until`] allows.
    #[inline]
    pub(super) fn exchange(
        &self,
        call: &impl Call,
        dispatch: Dispatch,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        self.check()?;
        let until = until(self.pool.config(), now, deadline);
        let replies = self.pool.exchange(call, dispatch, now, until, deadline);
        replies.map_err(|error| self.explain(error))
    }

    /// Lends a connection to a caller that sends several commands over it.
    pub(super) fn lease(&self, now: Instant, until: Option<Instant>) -> Result<Lease> {
        self.check()?;
        self.pool.lease(None, now, until)
    }

    /// As [`exchange`](Self::exchange), of several calls at once, each on the shared connection beside it:
    /// all are sent before the first is waited for. `None` where one of them would have to wait to be sent;
    /// then none is.
    pub(super) fn exchange_all<'l>(
        calls: impl Iterator<Item = (&'l Self, &'l (impl Call + 'l))> + Clone,
        deadline: Option<Instant>,
    ) -> Option<Vec<Result<Replies>>> {
        let now = threads::now();
        let places: Vec<PoolPlace<'_>> = calls
            .clone()
            .map(|(shared_connections, call)| shared_connections.pool.take_idle(call, now))
            .collect::<Option<_>>()?;
        let sent: Vec<_> = (calls.clone().zip(places))
            .map(|((_, call), mut place)| (place.send(call, deadline), place))
            .collect();
        let replies = wait_for_all(sent, deadline).into_iter();
        let explained = replies.zip(calls).map(|(replies, (shared_connections, _))| {
            replies.map_err(|error| shared_connections.explain(error))
        });
        Some(explained.collect())
    }

    /// A connection that was lost because its pool was closed was not closed by the server.
    #[cold]
    fn explain(&self, error: Error) -> Error {
        if matches!(error.kind(), ErrorKind::Connection(_)) && self.pool.is_closed() {
            return setup::closed_client().in_place_of(error);
        }
        error
    }
}

/// Waits for the replies to what was sent over each place.
fn wait_for_all(
    mut sent: Vec<(Result<Ticket>, PoolPlace<'_>)>,
    deadline: Option<Instant>,
) -> Vec<Result<Replies>> {
    let prompt = threads::now() + PROMPT;
    let wait = |(ticket, place): (Result<Ticket>, PoolPlace<'_>)| place.wait(ticket?, deadline);
    let is_answered = |(ticket, place): &mut (Result<Ticket>, PoolPlace<'_>)| {
        ticket.as_ref().map_or(true, |ticket| place.is_answered(ticket, prompt))
    };
    if sent.iter_mut().all(is_answered) {
        return sent.into_iter().map(wait).collect();
    }
    let sent: Vec<_> = sent.into_iter().map(|sent| Mutex::new(Some(sent))).collect();
    at_once(&sent, |sent| {
        let sent = sent.lock().take();
        sent.map_or_else(|| Err(setup::closed_client()), wait)
    })
}
