//! A call's way through a cluster, until it is answered. Where it goes, and what a failure means, is decided
//! in `redwire-core`.

use std::time::Instant;

use redwire_core::call::{self, Call};
use redwire_core::cluster::Asking;
use redwire_core::dispatch::Dispatch;
use redwire_core::retry::Decision;
use redwire_core::{Error, Result};

use super::Nodes;
use crate::blocking::client::Client;
use crate::blocking::sharing;
use crate::shared::node_clients::{Pick, Routed};
use crate::shared::setup;

impl Nodes {
    /// Carries out `call`, which must end by `deadline`.
    pub(in crate::blocking) fn call<C: Call>(
        &self,
        mut call: C,
        dispatch: Dispatch,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Result<C::Output> {
        let mut routed = Routed::new();
        match self.try_call(&mut call, &mut routed, dispatch, now, deadline) {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(error)) => self.call_again(call, routed, dispatch, deadline, error),
            Err(error) => call::fail(&mut call, error, self.config()),
        }
    }

    /// Goes on after the first try of `call` failed on its `routed`.
    #[cold]
    pub(in crate::blocking) fn call_again<C: Call>(
        &self,
        mut call: C,
        mut routed: Routed<Client>,
        dispatch: Dispatch,
        deadline: Option<Instant>,
        mut error: Error,
    ) -> Result<C::Output> {
        loop {
            match call::ended(&call, error) {
                Ok(replies) => return call::read(&mut call, replies, self.config()),
                Err(error) => self.bear(&mut routed, error, &mut call, deadline)?,
            }
            match self.try_call(&mut call, &mut routed, dispatch, Instant::now(), deadline)? {
                Ok(output) => return Ok(output),
                Err(failure) => error = failure,
            }
        }
    }

    /// One try. What fails inside may be tried again.
    fn try_call<C: Call>(
        &self,
        call: &mut C,
        routed: &mut Routed<Client>,
        dispatch: Dispatch,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Result<Result<C::Output>> {
        let node_clients = self.node_clients();
        let view = node_clients.view();
        if view.is_stale(now) {
            self.follow();
        }
        let departure = routed.pick(node_clients, &view, call, deadline, now);
        // It is for a moment, not for an exchange.
        drop(view);
        match departure {
            Ok(Pick::Node) => {
                let output = exchange(call, routed, dispatch, now, deadline);
                if output.is_ok() && routed.is_timed() {
                    routed.handle_success(node_clients);
                }
                Ok(output)
            }
            Ok(Pick::Several(scatter)) => {
                let replies = self.scatter(scatter, deadline)?;
                call::read(call, replies, self.config()).map(Ok)
            }
            Ok(Pick::Wait) => {
                let until = sharing::until(self.config(), now, deadline);
                self.learn(until, true)
                    .map_err(|error| routed.outcome_of_all(error, call).or_command(&call.name()))?;
                self.try_call(call, routed, dispatch, Instant::now(), deadline)
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// After a failed try: waits until the next.
    ///
    /// # Errors
    /// There is none.
    #[cold]
    fn bear(
        &self,
        routed: &mut Routed<Client>,
        error: Error,
        call: &mut impl Call,
        deadline: Option<Instant>,
    ) -> Result<()> {
        match self.handle_failure(routed, error, call, deadline) {
            Decision::Retry(pause) => self.pause(pause),
            Decision::Again => {}
            Decision::Fail(error) => return Err(error),
        }
        Ok(())
    }
}

/// Sends `call` to the node that its call has come to, and waits for its replies.
fn exchange<C: Call>(
    call: &mut C,
    routed: &Routed<Client>,
    dispatch: Dispatch,
    now: Instant,
    deadline: Option<Instant>,
) -> Result<C::Output> {
    let Some(node_client) = routed.node_client() else { return Err(setup::closed_client()) };
    let client = &node_client.client;
    if routed.asking() {
        let mut asking = Asking(call);
        let replies = client.shared_connections.exchange(&asking, dispatch, now, deadline)?;
        return call::read(&mut asking, replies, client.config());
    }
    let replies = client.shared_connections.exchange(call, dispatch, now, deadline)?;
    call::read(call, replies, client.config())
}
