//! How the connections of a cache come to be: the tracked one, and on RESP2 the one that hears the
//! announcements. What is common to both drivers is in [`tracking`](crate::shared::tracking).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Waker;

use redwire_core::cache::{CacheOptions, announcements, connection_id, tracking};
use redwire_core::call::PackedCall;
use redwire_core::config::Protocol;
use redwire_core::{Cmd, Error, Replies, Reply, Result, Value};

use crate::nonblocking::before;
use crate::nonblocking::connection::Connection;
use crate::nonblocking::on_connect::OnConnect;
use crate::nonblocking::pool::Pool;
use crate::nonblocking::sharing::SharedConnection;
use crate::shared::clock;
use crate::shared::node_caches::NodeCache;
use crate::shared::setup;
use crate::shared::target::Target;
use crate::shared::tracking as shared;

pub(super) type Tracking = shared::Tracking<SharedConnection>;
pub(in crate::nonblocking) type Watch = shared::Watch<SharedConnection>;

impl shared::CacheConn for SharedConnection {
    type Waiter = Waker;

    fn wake(waiter: Waker) {
        waiter.wake();
    }

    fn cut(&self, error: Error) {
        self.give_up(error);
    }
}

impl Tracking {
    /// A cache beside `pool`, and its tracked connection, which is not connected yet.
    pub(super) fn beside(pool: &Pool, options: CacheOptions) -> NodeCache<SharedConnection> {
        let this = Self::of(pool.target(), options);
        let (tracking, beside) = (Arc::downgrade(&this), pool.clone());
        let on_connect = OnConnect::new(move |connection| {
            let (tracking, pool) = (tracking.upgrade(), beside.clone());
            Box::pin(async move {
                let tracking = tracking.ok_or_else(setup::closed_client)?;
                tracking.set_up(&pool, connection).await.inspect_err(|error| tracking.tell(error))
            })
        });
        let shared_connection =
            SharedConnection::watched(pool, Some(on_connect), Some(Watch::Tracked(Arc::clone(&this))));
        let shared_connection = Arc::new(shared_connection);
        this.track(&shared_connection);
        NodeCache { conn: shared_connection, tracking: this }
    }

    /// Has the changes of what `connection` will read announced.
    async fn set_up(self: &Arc<Self>, pool: &Pool, connection: &mut Connection) -> Result<()> {
        let deadline = clock::now() + pool.config().connect_timeout();
        let set_up = async {
            let pushes = connection.session().is_some_and(|session| session.protocol == Protocol::Resp3);
            let redirect =
                if pushes { None } else { Some(self.listen(pool, connection.same_server()).await?) };
            ask(connection, &tracking(self.options(), redirect)).await?.read::<()>()
        };
        let done = before(Some(deadline), set_up).await;
        let done = done.unwrap_or_else(|| Err(setup::too_slow(pool.config(), false)));
        done.map_err(|error| error.with_context("the changes of what is cached cannot be announced"))
    }

    /// Connects what hears the announcements of `server`; says by which id it is known there.
    async fn listen(self: &Arc<Self>, pool: &Pool, server: Arc<Target>) -> Result<i64> {
        // One of several replicas has connections of its own.
        let beside = if Arc::ptr_eq(&server, pool.target()) { pool.clone() } else { Pool::beside(server) };
        let id = Arc::new(AtomicI64::new(0));
        let known = Arc::clone(&id);
        let on_connect = OnConnect::new(move |connection| {
            let id = Arc::clone(&known);
            Box::pin(async move {
                id.store(ask(connection, &connection_id()).await?.read()?, Ordering::Relaxed);
                ask::<Value>(connection, &announcements()).await?.read::<Value>().map(drop)
            })
        });
        let watch = Watch::Redirect(Arc::downgrade(self));
        let shared_connection = Arc::new(SharedConnection::watched(&beside, Some(on_connect), Some(watch)));
        shared_connection.connect().await?;
        self.redirect_to(Some(shared_connection));
        Ok(id.load(Ordering::Relaxed))
    }
}

/// One command on a connection that is being set up.
async fn ask<R: Reply>(connection: &mut Connection, cmd: &Cmd<R>) -> Result<Replies> {
    connection.exchange_packed(&PackedCall::of(cmd), None).await
}
