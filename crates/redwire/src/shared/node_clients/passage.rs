//! One call's way from node to node. It must not know what is sent, or how it is waited for.

use std::sync::Arc;
use std::time::Instant;

use redwire_core::call::Call;
use redwire_core::cluster::{Route, Scatter, Spread, Then};
use redwire_core::config::HostPort;
use redwire_core::retry::Decision;
use redwire_core::{Error, Result};

use super::{NodeClient, NodeClients, View};
use crate::shared::clock;

/// One call that goes to one node: where it is, and where it goes next. Before its first failure it is no more than a node.
pub(crate) struct Passage<C> {
    slot: Option<u16>,
    /// Where it was sent last.
    node_client: Option<Arc<NodeClient<C>>>,
    /// Whether `ASKING` went before it.
    asking: bool,
    /// Whether it has a connection for itself and sends several commands over it.
    stays: bool,
    /// When it was sent, if that matters.
    since: Option<Instant>,
    course: Option<Box<Course>>,
}

/// A passage that met with difficulties.
struct Course {
    route: Route,
    /// Where it goes next, if that is known.
    way: Option<Way>,
}

/// How a try begins.
pub(crate) enum Departure {
    /// The [member](Passage::node_client) is chosen that the call is sent to.
    Aboard,
    /// Nothing is known of the cluster yet: the call waits for that, and begins again.
    Waits,
    /// The call goes to several nodes.
    Several(Scatter),
}

struct Way {
    to: HostPort,
    asking: bool,
    fresh: bool,
}

impl<C> Passage<C> {
    pub(crate) fn new() -> Self {
        Self { slot: None, node_client: None, asking: false, stays: false, since: None, course: None }
    }

    /// One that has a connection for itself and sends several commands over it.
    pub(crate) fn staying() -> Self {
        Self { stays: true, ..Self::new() }
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
    /// As [`board`](Self::board); the keys have several slots, and it cannot be taken apart.
    #[inline]
    pub(crate) fn depart(
        &mut self,
        node_clients: &NodeClients<C>,
        view: &View<C>,
        call: &impl Call,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<Departure> {
        if !view.is_known() {
            return Ok(Departure::Waits);
        }
        let Spread::One(slot) = call.spread()? else {
            return call.scatter(&view.map, deadline).map(Departure::Several);
        };
        self.board(node_clients, view, slot, call.is_read_only(), now).map(|()| Departure::Aboard)
    }

    /// Chooses the [`node_client`](Self::node_client) that a call of `slot` is sent to now. `reads` is whether a replica may answer it.
    ///
    /// # Errors
    /// Nobody is known for the slot; for [`handle_failure`](Self::handle_failure).
    #[inline]
    pub(crate) fn board(
        &mut self,
        node_clients: &NodeClients<C>,
        view: &View<C>,
        slot: Option<u16>,
        reads: bool,
        now: Instant,
    ) -> Result<()> {
        self.node_client = None;
        if self.course.is_some() {
            return self.board_again(node_clients);
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

    #[cold]
    fn board_again(&mut self, node_clients: &NodeClients<C>) -> Result<()> {
        let Some(course) = &mut self.course else { return Err(Error::usage("it has not begun yet")) };
        let (node_client, asking) = match &mut course.way {
            Some(way) => (node_clients.reach(&way.to, std::mem::take(&mut way.fresh)), way.asking),
            None => {
                let to = course.route.target(&node_clients.view().map, fastrand::u64(..))?;
                (node_clients.node_client(&to), false)
            }
        };
        (self.node_client, self.asking) = (Some(node_client), asking);
        Ok(())
    }

    /// The error that ends `call`, with the worst outcome of all its tries.
    #[cold]
    pub(crate) fn outcome_of_all(&self, error: Error, call: &impl Call) -> Error {
        match &self.course {
            Some(course) => course.route.outcome_of_all(error, call),
            None => error,
        }
    }

    /// Whether it matters how long the answer took.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.since.is_some()
    }

    /// The call was answered.
    #[cold]
    pub(crate) fn handle_success(&mut self, node_clients: &NodeClients<C>) {
        if let (Some(since), Some(node_client)) = (self.since.take(), &self.node_client) {
            node_clients.handle_latency(&node_client.address, clock::since(since));
        }
    }

    /// A try of `call`, which must end by `deadline`, failed with `error`. `budget` is asked for the right to one retry.
    #[cold]
    pub(crate) fn handle_failure(
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
        let stays = self.stays;
        let course = self.course.get_or_insert_with(|| {
            let route = Route::new(slot, deadline);
            let route = if stays { route.waiting_for_migrations() } else { route };
            Box::new(Course { route, way: None })
        });
        let from = self.node_client.as_ref().map(|node_client| &node_client.address);
        if let Some(from) = from {
            node_clients.handle_failure(from, &error);
        }
        let rules = node_clients.rules(now);
        let step = course.route.handle_failure(error, from, call, rules, fastrand::u64(..), budget);
        node_clients.handle_news(step.news.as_slice());
        let (way, after) = match step.then {
            Then::Send { to, asking, fresh, after } => (Some(Way { to, asking, fresh }), after),
            Then::Again => {
                if let (None, Some(from)) = (&course.way, from) {
                    course.way = Some(Way { to: from.clone(), asking: false, fresh: false });
                }
                return Decision::Again;
            }
            Then::Retry(after) => (None, after),
            Then::Fail(error) => return Decision::Fail(error),
        };
        course.way = way;
        if after.is_zero() { Decision::Again } else { Decision::Retry(after) }
    }
}
