//! What becomes of a call whose try failed, at its only server or from node to node. It must not know what is
//! sent, or how it is waited for.

use std::sync::Arc;
use std::time::Instant;

use redwire_core::call::Call;
use redwire_core::cluster::{AfterFailure, Route, Scatter, Spread};
use redwire_core::config::HostPort;
use redwire_core::retry::{Attempt, Decision};
use redwire_core::{Error, Result};

use super::{NodeClient, NodeClients, ReplicaClients, View};
use crate::shared::clock;
use crate::shared::target::Target;

/// What a call that failed asks of its client, of either driver.
pub(crate) trait Retrying: Sized {
    /// The server or the cluster that it leads to.
    fn target(&self) -> &Target;

    /// The nodes, where that is a cluster.
    fn node_clients(&self) -> Option<&NodeClients<Self>>;

    /// The replicas, where calls are spread over those of a service.
    fn replicas(&self) -> Option<&ReplicaClients<Self>>;

    /// Closes the connections that lead to any replica, if no call uses them. Says whether that is done.
    fn rest(&self) -> bool;

    /// Whether the budget allows for a retry.
    fn may_retry(&self) -> bool;

    /// Has the map of the cluster asked for, if there is a reason and no task does.
    ///
    /// # Errors
    /// No call can go on without it.
    fn follow(&self) -> Result<()>;
}

/// One call that goes to one node of a cluster or one replica of a service: where it is, and where it goes
/// next. Before its first failure it is no more than a node.
pub(crate) struct Routed<C> {
    slot: Option<u16>,
    /// Where it was sent last.
    node_client: Option<Arc<NodeClient<C>>>,
    /// Whether `ASKING` went before it.
    asking: bool,
    /// Whether it has a connection for itself and sends several commands over it.
    keeps_connection: bool,
    /// When it was sent, if that matters.
    since: Option<Instant>,
    rerouted: Option<Box<Rerouted>>,
}

/// A call that failed at a node.
struct Rerouted {
    route: Route,
    /// Where it goes next, if that is known.
    next: Option<NextHop>,
}

/// How a try begins.
pub(crate) enum Pick {
    /// The [node](Routed::node_client) is chosen that the call is sent to.
    Node,
    /// Nothing is known of the cluster yet: the call waits for that, and begins again.
    Wait,
    /// The call goes to several nodes.
    Several(Scatter),
}

struct NextHop {
    to: HostPort,
    asking: bool,
    fresh: bool,
}

impl<C> Routed<C> {
    pub(crate) fn new() -> Self {
        Self {
            slot: None,
            node_client: None,
            asking: false,
            keeps_connection: false,
            since: None,
            rerouted: None,
        }
    }

    /// One that has a connection for itself and sends several commands over it.
    pub(crate) fn on_one_connection() -> Self {
        Self { keeps_connection: true, ..Self::new() }
    }

    /// Where it was sent last.
    #[inline]
    pub(crate) fn node_client(&self) -> Option<&Arc<NodeClient<C>>> {
        self.node_client.as_ref()
    }

    /// The slot that was asked for.
    pub(crate) fn slot(&self) -> Option<u16> {
        self.slot
    }

    /// Whether `ASKING` goes before it.
    #[inline]
    pub(crate) fn asking(&self) -> bool {
        self.asking
    }

    /// Begins a try of `call`, which must end by `deadline`, by what this `view` tells.
    ///
    /// # Errors
    /// As [`pick_node`](Self::pick_node); the keys have several slots, and it cannot be taken apart.
    #[inline]
    pub(crate) fn pick(
        &mut self,
        node_clients: &NodeClients<C>,
        view: &View<C>,
        call: &impl Call,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<Pick> {
        if !view.is_known() {
            return Ok(Pick::Wait);
        }
        let Spread::One(slot) = call.spread()? else {
            return call.scatter(&view.map, deadline).map(Pick::Several);
        };
        self.pick_node(node_clients, view, slot, call.is_read_only(), now).map(|()| Pick::Node)
    }

    /// Chooses the [`node_client`](Self::node_client) that a call of `slot` is sent to now. `reads` is
    /// whether a replica may answer it.
    ///
    /// # Errors
    /// No node is known for the slot; for [`handle_failure`](Self::handle_failure).
    #[inline]
    pub(crate) fn pick_node(
        &mut self,
        node_clients: &NodeClients<C>,
        view: &View<C>,
        slot: Option<u16>,
        reads: bool,
        now: Instant,
    ) -> Result<()> {
        self.node_client = None;
        if self.rerouted.is_some() {
            return self.pick_again(node_clients);
        }
        self.slot = slot;
        self.since = (reads && node_clients.measures()).then_some(now);
        node_clients.handle_call();
        let reader = match slot {
            Some(slot) if reads => node_clients.reader(&view.map, slot, now),
            _ => None,
        };
        let Some(node_client) = reader.or_else(|| view.primary(slot).cloned()) else {
            // Without a node there is a reason.
            Route::new(slot, None).target(&view.map, 0)?;
            return Err(Error::usage("no node of the cluster is known"));
        };
        self.node_client = Some(node_client);
        Ok(())
    }

    /// Chooses the replica that a call goes to which begins `now`, if calls of `client` are spread over
    /// several. One that is changed to another way of asking stays where it is.
    #[inline]
    pub(crate) fn pick_replica(&mut self, client: &C, now: Instant)
    where
        C: Retrying,
    {
        let Some(replicas) = client.replicas().filter(|_| self.node_client.is_none()) else { return };
        let picked = replicas.pick(now, || client.rest());
        self.since = picked.as_ref().and_then(|(_, tries)| tries.then_some(now));
        self.node_client = picked.map(|(replica, _)| replica);
    }

    #[cold]
    fn pick_again(&mut self, node_clients: &NodeClients<C>) -> Result<()> {
        let Some(rerouted) = &mut self.rerouted else { return Err(Error::usage("it has not begun yet")) };
        let (node_client, asking) = match &mut rerouted.next {
            Some(next) => (node_clients.reach(&next.to, std::mem::take(&mut next.fresh)), next.asking),
            None => {
                let to = rerouted.route.target(&node_clients.view().map, fastrand::u64(..))?;
                (node_clients.node_client(&to), false)
            }
        };
        (self.node_client, self.asking) = (Some(node_client), asking);
        Ok(())
    }

    /// The error that ends `call`, with the worst outcome of all its tries.
    #[cold]
    pub(crate) fn outcome_of_all(&self, error: Error, call: &impl Call) -> Error {
        match &self.rerouted {
            Some(rerouted) => rerouted.route.outcome_of_all(error, call),
            None => error,
        }
    }

    /// Whether it matters how long the answer took, or that there is one.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.since.is_some()
    }

    /// The call of `client` was answered.
    #[cold]
    pub(crate) fn handle_success(&mut self, client: &C)
    where
        C: Retrying,
    {
        let (Some(since), Some(node_client)) = (self.since.take(), &self.node_client) else { return };
        match client.node_clients() {
            Some(node_clients) => node_clients.handle_latency(&node_client.address, clock::since(since)),
            // The replica that was passed over is of use again.
            None => node_client.client.target().handle_silence(false),
        }
    }

    /// A try of `call` by `client` failed with `error`: tells the server that it was sent to, and decides
    /// what comes next.
    #[cold]
    pub(crate) fn handle_failure(
        &mut self,
        client: &C,
        attempt: &mut Attempt,
        error: Error,
        call: &mut impl Call,
    ) -> Decision
    where
        C: Retrying,
    {
        let node_clients = client.node_clients();
        let own = node_clients.is_none().then_some(client);
        let server = self.node_client.as_ref().map(|node_client| &node_client.client).or(own);
        let error = match server.map(C::target) {
            Some(server) => {
                server.handle_failure(&error);
                server.locate(error)
            }
            None => error,
        };
        let budget = || client.may_retry();
        let Some(node_clients) = node_clients else {
            let (config, now, random) = (client.target().config(), clock::now(), fastrand::u64(..));
            let decision = attempt.handle_failure(error, call, config, now, random, budget);
            if !matches!(decision, Decision::Again) {
                // The next try goes to the replica whose turn it is then.
                self.node_client = None;
            }
            return decision;
        };
        // The route counts the tries; which connection the next one takes is for the attempt to say.
        attempt.handle_outcome(&error);
        let decision = self.route_again(node_clients, error, call, attempt.deadline(), budget);
        client.follow().map_or_else(Decision::Fail, |()| decision)
    }

    /// As [`handle_failure`](Self::handle_failure), in a cluster. `budget` is asked for the right to one
    /// retry.
    fn route_again(
        &mut self,
        node_clients: &NodeClients<C>,
        error: Error,
        call: &mut impl Call,
        deadline: Option<Instant>,
        budget: impl FnOnce() -> bool,
    ) -> Decision {
        let now = clock::now();
        let slot = self.slot;
        self.since = None;
        let keeps_connection = self.keeps_connection;
        let rerouted = self.rerouted.get_or_insert_with(|| {
            let route = Route::new(slot, deadline);
            let route = if keeps_connection { route.waiting_for_migrations() } else { route };
            Box::new(Rerouted { route, next: None })
        });
        let from = self.node_client.as_ref().map(|node_client| &node_client.address);
        if let Some(from) = from {
            node_clients.handle_failure(from, &error);
        }
        let rules = node_clients.rules(now);
        let step = rerouted.route.handle_failure(error, from, call, rules, fastrand::u64(..), budget);
        node_clients.handle_hints(step.hint.as_slice());
        let (next, after) = match step.then {
            AfterFailure::Send { to, asking, fresh, after } => (Some(NextHop { to, asking, fresh }), after),
            AfterFailure::Again => {
                if let (None, Some(from)) = (&rerouted.next, from) {
                    rerouted.next = Some(NextHop { to: from.clone(), asking: false, fresh: false });
                }
                return Decision::Again;
            }
            AfterFailure::Retry(after) => (None, after),
            AfterFailure::Fail(error) => return Decision::Fail(error),
        };
        rerouted.next = next;
        if after.is_zero() { Decision::Again } else { Decision::Retry(after) }
    }
}
