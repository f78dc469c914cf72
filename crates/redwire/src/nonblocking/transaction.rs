//! Transactions, async: whole pipelines or nothing, and keys that are watched meanwhile. What came of one,
//! and whether it is tried again, is decided in `redwire-core`.

use std::sync::Arc;
use std::time::Instant;

use redwire_core::call::{self, Call, Piped};
use redwire_core::dispatch::{self, Dispatch};
use redwire_core::retry::{Attempt, Decision};
use redwire_core::transaction::{self, Tries};
use redwire_core::{
    Arg, Atomic, Cmd, Error, Pipeline, Replies, Reply, Result, Run, Slots, TransactionOptions, facts,
};

use super::client::{Client, Request};
use super::connection::{Connection, Exchange, asked};
use super::pool::Lease;
use crate::shared::clock;
use crate::shared::node_clients::{Retrying, Routed};

impl Client {
    /// Executes several commands as one: all of them or none, and none of another client in between (`MULTI`
    /// … `EXEC`, in one write).
    ///
    /// ```no_run
    /// # async fn example(client: redwire::Client) -> redwire::Result<()> {
    /// use redwire::prelude::*;
    ///
    /// let (visits, last): (i64, Option<String>) =
    ///     client.atomic(|p| (p.incr("visits"), p.get("last"))).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A command that the server refuses to queue: the error names it, and nothing was executed. The first
    /// command that failed when it was executed, unless its slot takes the error as a value
    /// ([`Slot::attempt`](crate::Slot::attempt)): as a server undoes nothing, the others are executed all the
    /// same. Lost before `EXEC` was sent whole, nothing was executed, and it is tried again; lost later, its
    /// [outcome](crate::Error::outcome) is unknown.
    #[doc(alias = "multi_exec")]
    #[doc(alias = "transaction_pipeline")]
    pub fn atomic<S: Slots>(&self, build: impl FnOnce(&Pipeline) -> S) -> Request<'_, Atomic<S>> {
        self.request(Atomic::record(build))
    }

    /// Reads keys, decides, and writes if no other client has changed those keys meanwhile; otherwise tries
    /// again.
    ///
    /// `work` has a connection for itself that watches `keys`. It reads on it, and hands the commands that
    /// write to [`commit`](Transaction::commit), at most once. It is called again for each try, so it is to
    /// do nothing else that matters; what it returns in the end is returned here. If it returns without a
    /// commit, nothing is executed. It is called again only when it returns an error of the kind
    /// [`Aborted`](crate::ErrorKind::Aborted): that of a commit, if a watched key was changed, and of any
    /// call if the connection was lost before `EXEC` was sent. An `EXEC` is never sent on another connection
    /// than that which watched.
    ///
    /// ```no_run
    /// # async fn example(client: redwire::Client) -> redwire::Result<()> {
    /// use redwire::prelude::*;
    ///
    /// // What is left, or `None` where there is none to sell.
    /// let left: Option<i64> = client
    ///     .transaction("stock", async |mut tx| {
    ///         let stock: i64 = tx.get::<i64>("stock").await?.unwrap_or_default();
    ///         if stock == 0 {
    ///             return Ok(None);
    ///         }
    ///         tx.commit(|p| Some(p.decr("stock"))).await
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `work` returns; [`Aborted`](crate::ErrorKind::Aborted) when the deadline, the client's `timeout`,
    /// leaves no time for another try, or a timeout when it comes in the middle of one; no connection to be
    /// had. Nothing was executed, unless the [outcome](crate::Error::outcome) says it may have been.
    #[doc(alias = "value_from_callable")]
    pub async fn transaction<T, F>(&self, keys: impl Arg, work: impl FnMut(Transaction) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.transaction_with(TransactionOptions::new(), keys, work).await
    }

    /// As [`transaction`](Self::transaction), with a number of tries, pauses and a deadline of its own.
    ///
    /// # Errors
    /// As [`transaction`](Self::transaction).
    pub async fn transaction_with<T, F>(
        &self,
        options: TransactionOptions,
        keys: impl Arg,
        mut work: impl FnMut(Transaction) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut watch = Cmd::of(&facts::WATCH).arg(keys).idempotent();
        let mut tries = Tries::new(options, self.config(), clock::now());
        let mut routed = Routed::on_one_connection();
        loop {
            let lease = self.lease_again(&mut watch, &mut routed, tries.deadline()).await;
            let lease = lease.map_err(|error| tries.outcome_of_all(error))?;
            let error = match work(Transaction::new(lease, &watch, routed.slot(), tries.deadline())).await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            let mut attempt = Attempt::new(tries.deadline());
            let decision = if self.cluster.is_some() && transaction::is_misplaced(&error) {
                routed.handle_failure(self, &mut attempt, error, &mut watch)
            } else {
                routed = Routed::on_one_connection();
                let error = transaction::refused(error, self.config());
                tries.handle_end(error, clock::now(), fastrand::u64(..), || self.may_retry())
            };
            match decision {
                Decision::Retry(pause) => self.pause(pause, &attempt).await,
                Decision::Again => {}
                Decision::Fail(error) => return Err(tries.outcome_of_all(error)),
            }
        }
    }

    /// A connection for `cmd`, tried for as often as for a call.
    async fn lease_again(
        &self,
        cmd: &mut Cmd<()>,
        routed: &mut Routed<Self>,
        deadline: Option<Instant>,
    ) -> Result<Lease> {
        let mut attempt = Attempt::new(deadline);
        loop {
            let error = match self.lease_for(cmd, routed, deadline).await {
                Ok(lease) => return Ok(lease),
                Err(error) => error,
            };
            match routed.handle_failure(self, &mut attempt, error, cmd) {
                Decision::Retry(pause) => self.pause(pause, &attempt).await,
                Decision::Again => {}
                Decision::Fail(error) => return Err(error),
            }
        }
    }
}

impl Client {
    /// A connection to the server that `cmd` goes to.
    async fn lease_for(
        &self,
        cmd: &Cmd<()>,
        routed: &mut Routed<Self>,
        deadline: Option<Instant>,
    ) -> Result<Lease> {
        self.shared_connection.check()?;
        let Some(nodes) = &self.cluster else {
            routed.pick_replica(self, clock::now());
            let server = routed.node_client().map_or(self, |replica| &replica.client);
            return server.pool().clone().lease(None, deadline).await;
        };
        nodes.learn(deadline, true).await?;
        routed.pick(nodes.node_clients(), &nodes.node_clients().view(), cmd, deadline, clock::now())?;
        let pool =
            routed.node_client().map_or_else(|| self.pool(), |node_client| node_client.client.pool()).clone();
        pool.lease(None, deadline).await
    }
}

impl Connection {
    /// Executes several commands as one; see [`Client::atomic`]. If keys are watched on this connection
    /// (`WATCH`) and one was changed, nothing is executed.
    ///
    /// # Errors
    /// As [`Client::atomic`]; [`Aborted`](crate::ErrorKind::Aborted) where a watched key was changed; a
    /// transaction is open already.
    pub async fn atomic<S: Slots + Send>(&mut self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        let mut call = Atomic::record(build);
        call.dispatch()?;
        if call.count() == 0 {
            return call.read(Replies::default());
        }
        let default = self.target().config().timeout();
        let deadline = call::deadline(Dispatch::Shared, call.options(), default, clock::now());
        let replies = self.exchange_atomic(&call, false, deadline).await;
        let output = replies.and_then(|replies| call::read(&mut call, replies, self.target().config()));
        self.target().handle_answered(&call);
        output.map_err(|error| self.target().explain(error.or_command(&call.name())))
    }
}

/// One try of [`Client::transaction`]: a connection that watches keys, until [`commit`](Self::commit).
///
/// Every command family works on it; `MULTI` and the like are done by its own methods. A command that runs on
/// it is executed at once, and again in the next try: meant are those that read. One that changes a watched
/// key makes the commit fail.
///
/// Dropped without a commit, it executes nothing, and the next user finds its connection as new.
#[derive(Debug)]
#[must_use = "a transaction that is dropped executes nothing"]
pub struct Transaction {
    lease: Lease,
    /// Sent with the next command.
    watch: Option<Cmd<()>>,
    watched: bool,
    /// In a cluster, the slot of what is watched.
    slot: Option<u16>,
    deadline: Option<Instant>,
}

impl Transaction {
    fn new(lease: Lease, watch: &Cmd<()>, slot: Option<u16>, deadline: Option<Instant>) -> Self {
        let watch = (watch.args().len() > 1).then(|| watch.clone());
        Self { lease, watch, watched: false, slot, deadline }
    }

    /// Watches more keys, from the next command on, with which that is sent. What was read of them before is
    /// not covered.
    pub fn watch(&mut self, keys: impl Arg) {
        let watch = self.watch.take().unwrap_or_else(|| Cmd::of(&facts::WATCH).idempotent());
        self.watch = Some(watch.arg(keys));
    }

    /// Runs several commands in one write, and at once; see [`Client::pipeline`].
    ///
    /// # Errors
    /// As [`Client::pipeline`].
    pub async fn pipeline<S: Slots + Send>(&mut self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        let mut call = Piped::record(build);
        call.dispatch()?;
        if call.count() == 0 {
            return call.read(Replies::default());
        }
        let replies = self.exchange(&call, Dispatch::Shared).await;
        let output = replies.and_then(|replies| call::read(&mut call, replies, self.lease.target().config()));
        self.lease.target().handle_answered(&call);
        output.map_err(|error| self.explain(error, &call))
    }

    /// Executes what `build` queues, all of it or none, if no watched key was changed: `MULTI` … `EXEC`.
    ///
    /// Without commands it finds out whether what was read belongs together.
    ///
    /// # Errors
    /// [`Aborted`](crate::ErrorKind::Aborted): a watched key was changed, or the connection was lost before;
    /// return it, and [`Client::transaction`] tries again. Otherwise as [`Client::atomic`].
    pub async fn commit<S: Slots + Send>(mut self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        let mut call = Atomic::record_watched(build);
        call.dispatch()?;
        transaction::check_slot(&call, self.slot)?;
        let replies = self.execute(&call).await;
        let output = replies.and_then(|replies| call::read(&mut call, replies, self.lease.target().config()));
        self.lease.target().handle_answered(&call);
        output.map_err(|error| self.explain(error, &call))
    }

    async fn execute(&mut self, call: &impl Call) -> Result<Replies> {
        if let Some(watch) = &self.watch {
            // Not in the same write: without it, EXEC must not be sent.
            let deadline = self.deadline_of(watch, Dispatch::Shared)?;
            let watching = self.lease.exchange_boxed(watch.clone().returning(), deadline);
            watching.await?.read::<()>()?;
            self.watched = true;
        }
        let deadline = self.deadline_of(call, Dispatch::Shared)?;
        self.lease.exchange_atomic(call, self.watched, deadline).await
    }

    async fn exchange(&mut self, call: &impl Call, dispatch: Dispatch) -> Result<Replies> {
        let deadline = self.deadline_of(call, dispatch)?;
        let replies = self.lease.exchange_after(self.watch.as_ref(), call, deadline).await?;
        self.watched |= self.watch.take().is_some();
        Ok(replies)
    }

    /// When `call` must have ended: no later than the transaction.
    fn deadline_of(&self, call: &impl Call, dispatch: Dispatch) -> Result<Option<Instant>> {
        let (default, now) = (self.lease.target().config().timeout(), clock::now());
        transaction::deadline(call::deadline(dispatch, call.options(), default, now), self.deadline, now)
    }

    fn explain(&self, error: Error, call: &impl Call) -> Error {
        let target = self.lease.target();
        let error = transaction::interrupted(error, call, target.config());
        target.explain(error.or_command(&call.name()))
    }
}

impl<'t> Run for &'t mut Transaction {
    type Out<R: Reply> = Exchange<'t, R>;

    fn run<R: Reply>(self, cmd: Cmd<R>) -> Exchange<'t, R> {
        let (name, asked, target) = (cmd.name(), asked(&cmd), Arc::clone(self.lease.target()));
        let checked =
            transaction::check_command(&cmd).and_then(|()| transaction::check_slot(&cmd, self.slot));
        // What is boxed need not know the type of the reply.
        let mut cmd = cmd.returning::<()>();
        let replies = Box::pin(async move {
            checked?;
            let dispatch = dispatch::on_connection(&cmd);
            let mut replies = self.exchange(&cmd, dispatch).await;
            if let Ok(first) = &replies
                && first.errors().any(|(_, error)| cmd.revise(&error))
            {
                replies = self.exchange(&cmd, dispatch).await;
            }
            replies.map_err(|error| self.explain(error, &cmd))
        });
        Exchange::new(replies, name, asked, target)
    }
}
