//! How the connections of a cache come to be: the tracked one, and on RESP2 the one that hears the
//! announcements. What is common to both drivers is in [`tracking`](crate::shared::tracking).

use std::sync::Arc;
use std::time::Instant;

use redwire_core::cache::{CacheOptions, announcements, connection_id, tracking};
use redwire_core::config::Protocol;
use redwire_core::{Cmd, Error, Reply, Result, Value};

use super::tracked_conn::{SetUp, TrackedConn};
use crate::blocking::connection::Connection;
use crate::blocking::pool::Pool;
use crate::shared::node_caches::NodeCache;
use crate::shared::setup;
use crate::shared::sync::atomic::{AtomicI64, Ordering};
use crate::shared::target::Target;
use crate::shared::threads::Thread;
use crate::shared::tracking::{self as shared, Watch};

pub(super) type Tracking = shared::Tracking<TrackedConn>;

impl shared::CacheConn for TrackedConn {
    type Waiter = Thread;

    fn wake(waiter: Thread) {
        waiter.unpark();
    }

    fn cut(&self, error: Error) {
        self.give_up(error);
    }
}

impl Tracking {
    /// A cache beside `pool`, and its tracked connection, which is not connected yet.
    pub(super) fn beside(pool: &Pool, options: CacheOptions) -> NodeCache<TrackedConn> {
        let this = Self::of(pool.target(), options);
        let (tracking, beside) = (Arc::downgrade(&this), pool.clone());
        let set_up: SetUp = Box::new(move |connection, deadline| {
            let tracking = tracking.upgrade().ok_or_else(setup::closed_client)?;
            let done = tracking.set_up(&beside, connection, deadline);
            done.inspect_err(|error| tracking.tell(error))
        });
        let conn = Arc::new(TrackedConn::new(pool, set_up, Watch::Tracked(Arc::clone(&this))));
        this.track(&conn);
        NodeCache { conn, tracking: this }
    }

    /// Has the changes of what `connection` will read announced.
    fn set_up(self: &Arc<Self>, pool: &Pool, connection: &mut Connection, deadline: Instant) -> Result<()> {
        let pushes = connection.session().is_some_and(|session| session.protocol == Protocol::Resp3);
        let redirect = if pushes { Ok(None) } else { self.listen(pool, connection.same_server()).map(Some) };
        let done =
            redirect.and_then(|redirect| ask(connection, &tracking(self.options(), redirect), deadline));
        done.map_err(|error| error.with_context("the changes of what is cached cannot be announced"))
    }

    /// Connects what hears the announcements of `server`; says by which id it is known there.
    fn listen(self: &Arc<Self>, pool: &Pool, server: Arc<Target>) -> Result<i64> {
        // One of several replicas has connections of its own.
        let beside = if Arc::ptr_eq(&server, pool.target()) { pool.clone() } else { Pool::to(server) };
        let id = Arc::new(AtomicI64::new(0));
        let known = Arc::clone(&id);
        let set_up: SetUp = Box::new(move |connection, deadline| {
            known.store(ask(connection, &connection_id(), deadline)?, Ordering::Relaxed);
            ask::<Value>(connection, &announcements(), deadline).map(drop)
        });
        let conn = TrackedConn::new(&beside, set_up, Watch::Redirect(Arc::downgrade(self)));
        conn.connect()?;
        self.redirect_to(Some(Arc::new(conn)));
        Ok(id.load(Ordering::Relaxed))
    }
}

/// One command on a connection that is being set up.
fn ask<R: Reply>(connection: &mut Connection, cmd: &Cmd<R>, deadline: Instant) -> Result<R> {
    let wire = connection.wire_mut().ok_or_else(setup::closed_client)?;
    wire.exchange(cmd, Some(deadline))?.read()
}
