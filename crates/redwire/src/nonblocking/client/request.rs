//! The future of a call: sends it, waits for its replies, and goes on after a failure as `redwire-core`
//! decides.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use redwire_core::call::{self, Call};
use redwire_core::cluster::Asking;
use redwire_core::config::Config;
use redwire_core::dispatch::Dispatch;
use redwire_core::link::Ticket;
use redwire_core::retry::{self, Attempt, Decision};
use redwire_core::{Error, Replies, Result};

use super::Client;
use crate::nonblocking::connection::Pending;
use crate::nonblocking::sharing::SharedConnection;
use crate::shared::clock;
use crate::shared::node_clients::{Pick, Routed};

/// The future of a call on a [`Client`]. Nothing is sent before it is first polled.
///
/// Dropping it gives up the call: what was sent already may still be executed, and its reply goes to no
/// caller.
#[must_use = "a call does nothing until it is awaited"]
pub struct Request<'c, C: Call> {
    client: &'c Client,
    call: C,
    /// When it must have ended. From its first try on.
    deadline: Option<Instant>,
    /// What became of the first try, where that was no answer.
    attempt: Option<Box<Attempt>>,
    state: RequestState,
    /// Its way through the cluster, or to a replica.
    routed: Routed<Client>,
}

/// A call that has so much time may end a tick of the system's coarse clock later.
const ROUGH_FROM: Duration = Duration::from_secs(1);

enum RequestState {
    Start,
    Waiting(Ticket),
    /// On a connection of its own.
    Apart(Pending<'static, Replies>),
    /// In parts, at several nodes.
    Scattered(Pending<'static, Replies>),
    /// Before another try, or until something is known of the cluster.
    Pausing(Pending<'static, ()>),
    Done,
}

// Nothing in it is pinned but what is boxed.
impl<C: Call> Unpin for Request<'_, C> {}

impl<C: Call> Future for Request<'_, C> {
    type Output = Result<C::Output>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let result = match std::mem::replace(&mut self.state, RequestState::Done) {
                RequestState::Start => match self.start(cx.waker()) {
                    Ok(None) => return Poll::Pending,
                    Ok(Some(replies)) => Ok(replies),
                    Err(error) => Err(error),
                },
                RequestState::Waiting(ticket) => {
                    match self.shared_connection().poll_reply(ticket, cx.waker()) {
                        Ok(result) => result,
                        Err(ticket) => {
                            let ticket = self.enter(ticket);
                            self.wait(ticket);
                            return Poll::Pending;
                        }
                    }
                }
                RequestState::Apart(mut replies) => match replies.as_mut().poll(cx) {
                    Poll::Ready(result) => result,
                    Poll::Pending => {
                        self.state = RequestState::Apart(replies);
                        return Poll::Pending;
                    }
                },
                RequestState::Scattered(mut replies) => {
                    let Poll::Ready(result) = replies.as_mut().poll(cx) else {
                        self.state = RequestState::Scattered(replies);
                        return Poll::Pending;
                    };
                    let config = self.client.config();
                    return Poll::Ready(
                        result.and_then(|replies| call::read(&mut self.call, replies, config)),
                    );
                }
                RequestState::Pausing(mut pause) => {
                    let Poll::Ready(result) = pause.as_mut().poll(cx) else {
                        self.state = RequestState::Pausing(pause);
                        return Poll::Pending;
                    };
                    if let Err(error) = result {
                        let error = self.routed.outcome_of_all(error, &self.call);
                        return Poll::Ready(self.fail(error));
                    }
                    self.state = RequestState::Start;
                    continue;
                }
                RequestState::Done => panic!("a request was polled after it was ready"),
            };
            let client = self.client;
            let asking = self.routed.asking();
            let error = match result.and_then(|replies| match asking {
                false => call::read(&mut self.call, replies, client.config()),
                true => read_asked(&mut self.call, replies, client.config()),
            }) {
                Ok(output) if self.routed.is_timed() => {
                    self.routed.handle_success(client);
                    return Poll::Ready(Ok(output));
                }
                Ok(output) => {
                    if let Some(attempt) = &self.attempt {
                        client.pool.target().handle_tried(attempt);
                    }
                    server(client, &self.routed).pool.target().handle_answered(&self.call);
                    return Poll::Ready(Ok(output));
                }
                Err(error) => error,
            };
            let error = match call::ended(&self.call, error) {
                Ok(replies) => {
                    return Poll::Ready(call::read(&mut self.call, replies, client.config()));
                }
                Err(error) => error,
            };
            self.state = match self.handle_failure(error) {
                Ok(state) => state,
                Err(error) => return Poll::Ready(self.fail(error)),
            };
        }
    }
}

impl<'c, C: Call> Request<'c, C> {
    #[inline]
    pub(super) fn new(client: &'c Client, call: C) -> Self {
        let (state, routed) = (RequestState::Start, Routed::new());
        Self { client, call, deadline: None, attempt: None, state, routed }
    }

    /// What is asked.
    pub(in crate::nonblocking) fn call(&self) -> &C {
        &self.call
    }

    /// Sends the call on its way. `Some` where there is nothing to send.
    #[inline]
    fn start(&mut self, waker: &Waker) -> Result<Option<Replies>> {
        let dispatch = self.call.dispatch()?;
        if self.call.count() == 0 {
            return Ok(Some(Replies::default()));
        }
        let (options, timeout) = (self.call.options(), self.client.config().timeout());
        let (now, earlier) = match options.timeout.or(timeout) {
            Some(limit) if limit < ROUGH_FROM => (clock::now(), Duration::ZERO),
            _ => clock::about_now(),
        };
        if self.attempt.is_none() {
            self.deadline = call::deadline(dispatch, options, timeout, now + earlier);
        }
        let deadline = self.deadline;
        let has_several = self.client.cluster.is_some() | self.client.replicas.is_some();
        if has_several && !self.pick_node(deadline, now)? {
            waker.wake_by_ref();
            return Ok(None);
        }
        let until = retry::try_deadline(&self.call, dispatch, self.client.config(), deadline, now);
        let dispatch = self.attempt.as_ref().map_or(dispatch, |attempt| attempt.dispatch(dispatch));
        match dispatch {
            Dispatch::Shared if self.routed.asking() => {
                let (asking, server) = (Asking(&mut self.call), server(self.client, &self.routed));
                let ticket = server.shared_connection.submit_or_wait(&asking, waker, until, now)?;
                self.wait(ticket);
            }
            Dispatch::Shared => {
                let ticket = self.shared_connection().submit_or_wait(&self.call, waker, until, now)?;
                self.wait(ticket);
            }
            Dispatch::Exclusive(_) => {
                self.start_apart(dispatch, until)?;
                // Polled at once by the caller's loop.
                waker.wake_by_ref();
            }
        }
        Ok(None)
    }

    /// Waits for the replies. The state before is `Done`, so that nothing is lost with it: to drop it would
    /// cost a call.
    #[inline]
    fn wait(&mut self, ticket: Ticket) {
        debug_assert!(matches!(self.state, RequestState::Done), "a state is forgotten that holds something");
        std::mem::forget(std::mem::replace(&mut self.state, RequestState::Waiting(ticket)));
    }

    /// Queues the call if it has waited for room, and its turn has come.
    #[inline]
    fn enter(&mut self, ticket: Ticket) -> Ticket {
        if !ticket.may_enter() {
            return ticket;
        }
        if self.routed.asking() {
            let (asking, server) = (Asking(&mut self.call), server(self.client, &self.routed));
            return server.shared_connection.enter(ticket, &asking);
        }
        self.shared_connection().enter(ticket, &self.call)
    }

    /// The shared connection of the server that the call goes to.
    #[inline]
    fn shared_connection(&self) -> &SharedConnection {
        &server(self.client, &self.routed).shared_connection
    }

    /// Chooses the node of the cluster or the replica that the call goes to; or lets it wait for the first
    /// map or for several nodes, and then says that there is nothing to send.
    #[inline(never)]
    fn pick_node(&mut self, deadline: Option<Instant>, now: Instant) -> Result<bool> {
        let client = self.client;
        let Some(cluster) = &client.cluster else {
            self.routed.pick_replica(client, now);
            return Ok(true);
        };
        let (node_clients, view) = (cluster.node_clients(), cluster.node_clients().view());
        if view.is_stale(now) {
            cluster.follow()?;
        }
        match self.routed.pick(node_clients, &view, &self.call, deadline, now)? {
            Pick::Node => return Ok(true),
            Pick::Wait => {
                // One that may wait at its server for ever does not wait so for the cluster.
                let limit = client.config().timeout();
                let until = deadline.or_else(|| limit.and_then(|limit| now.checked_add(limit)));
                let cluster = cluster.clone();
                self.attempt.get_or_insert_with(|| Box::new(Attempt::new(deadline)));
                self.state = RequestState::Pausing(Box::pin(async move { cluster.learn(until, true).await }));
            }
            Pick::Several(scatter) => {
                self.state = RequestState::Scattered(Box::pin(cluster.clone().scatter(scatter, deadline)));
            }
        }
        Ok(false)
    }

    #[cold]
    fn start_apart(&mut self, dispatch: Dispatch, until: Option<Instant>) -> Result<()> {
        let server = server(self.client, &self.routed);
        let replies = match self.routed.asking() {
            true => server.exchange_apart(&Asking(&mut self.call), dispatch, until)?,
            false => server.exchange_apart(&self.call, dispatch, until)?,
        };
        self.state = RequestState::Apart(replies);
        Ok(())
    }

    /// There is no other try.
    #[cold]
    fn fail(&mut self, error: Error) -> Result<C::Output> {
        let error = error.or_command(&self.call.name());
        call::fail(&mut self.call, error, self.client.config())
    }

    #[cold]
    fn handle_failure(&mut self, error: Error) -> Result<RequestState> {
        let deadline = self.deadline;
        let attempt = self.attempt.get_or_insert_with(|| Box::new(Attempt::new(deadline)));
        match self.routed.handle_failure(self.client, attempt, error, &mut self.call) {
            Decision::Retry(pause) => {
                let (client, attempt) = (self.client.clone(), attempt.clone());
                Ok(RequestState::Pausing(Box::pin(async move {
                    client.pause(pause, &attempt).await;
                    Ok(())
                })))
            }
            Decision::Again => Ok(RequestState::Start),
            Decision::Fail(error) => Err(error),
        }
    }
}

impl<C: Call> Drop for Request<'_, C> {
    #[inline]
    fn drop(&mut self) {
        if matches!(self.state, RequestState::Waiting(_))
            && let RequestState::Waiting(ticket) = std::mem::replace(&mut self.state, RequestState::Done)
        {
            self.shared_connection().abandon(ticket);
        }
    }
}

impl<C: Call> fmt::Debug for Request<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("call", &self.call.name()).finish_non_exhaustive()
    }
}

/// The client of the server that a call goes to.
#[inline]
fn server<'r>(client: &'r Client, routed: &'r Routed<Client>) -> &'r Client {
    routed.node_client().map_or(client, |node_client| &node_client.client)
}

/// What comes back behind the answer to `ASKING`.
#[cold]
#[inline(never)]
fn read_asked<C: Call>(call: &mut C, replies: Replies, config: &Config) -> Result<C::Output> {
    call::read(&mut Asking(call), replies, config)
}
