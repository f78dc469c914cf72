//! One try of a call in a cluster. Where it goes is decided in `redwire-core`.

use std::time::Instant;

use redwire_core::Result;
use redwire_core::call::{self, Call};
use redwire_core::cluster::Asking;
use redwire_core::dispatch::Dispatch;
use redwire_core::retry;

use super::Nodes;
use crate::blocking::client::Client;
use crate::blocking::sharing;
use crate::shared::node_clients::{Pick, Routed};
use crate::shared::setup;
use crate::shared::threads;

impl Nodes {
    /// One try of `call`, which must end by `deadline`. What fails inside may be tried again.
    pub(in crate::blocking) fn try_call<C: Call>(
        &self,
        client: &Client,
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
                    routed.handle_success(client);
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
                self.try_call(client, call, routed, dispatch, threads::now(), deadline)
            }
            Err(error) => Ok(Err(error)),
        }
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
    let until = retry::try_deadline(call, dispatch, client.config(), deadline, now);
    if routed.asking() {
        let mut asking = Asking(call);
        let replies = client.shared_connections.exchange(&asking, dispatch, now, until)?;
        return call::read(&mut asking, replies, client.config());
    }
    let replies = client.shared_connections.exchange(call, dispatch, now, until)?;
    call::read(call, replies, client.config())
}
