//! The task that brings shard channels to the nodes of a cluster that serve them. Where each belongs is
//! decided in `redwire-core`.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker, ready};

use redwire_core::{Error, ErrorKind, Outcome};

use super::PubSubShared;
use crate::nonblocking::cluster::Nodes;
use crate::shared::clock::{self, Timer};
use crate::shared::node_clients::Listener;

/// Tells the map and what there is to know about it, and has connections driven to the nodes that are wanted,
/// until all is closed.
pub(super) async fn route(guard: RouterGuard, nodes: Nodes) {
    let shared = &guard.0;
    let _listener = listen(shared, &nodes);
    let mut timer = Timer::default();
    let (mut hints, mut woken) = (Vec::new(), Vec::new());
    poll_fn(|cx| {
        loop {
            let mut state = shared.lock();
            let is_current = state.routed.as_ref().is_some_and(|(_, number)| *number == guard.1);
            if state.machine.is_closed() || !is_current {
                return Poll::Ready(());
            }
            state.machine.poll_hints(&mut hints);
            if !hints.is_empty() {
                drop(state);
                nodes.handle_hints(&hints);
                hints.clear();
                continue;
            }
            let now = clock::now();
            state.machine.handle_map(&nodes.node_clients().shared_topology().map(), now, fastrand::u64(..));
            if let Some((conn, node)) = state.machine.poll_conn() {
                if PubSubShared::drive(shared, state, conn, Some(&node), None).is_err() {
                    // The runtime of this task is about to end.
                    return Poll::Ready(());
                }
                continue;
            }
            state.poll_woken(&mut woken);
            let again = state.machine.wants_placement();
            state.router = Some(cx.waker().clone());
            let next = state.machine.poll_placement_timeout();
            drop(state);
            woken.drain(..).for_each(Waker::wake);
            if again {
                continue;
            }
            let Some(next) = next else { return Poll::Pending };
            ready!(timer.poll_at(next, cx));
        }
    })
    .await;
}

/// Wakes the task for every new map, for as long as what it gives is kept.
fn listen(shared: &Arc<PubSubShared>, nodes: &Nodes) -> Arc<Listener> {
    let shared = Arc::downgrade(shared);
    let listener: Arc<Listener> = Arc::new(move || {
        if let Some(shared) = shared.upgrade().filter(|shared| shared.is_current()) {
            let router = shared.lock().router.take();
            router.into_iter().for_each(Waker::wake);
        }
    });
    nodes.node_clients().shared_topology().listen(Arc::downgrade(&listener));
    listener
}

/// Tells subscribers when the task ends without being asked to: its runtime was shut down, maybe before it
/// began.
pub(super) struct RouterGuard(pub(super) Arc<PubSubShared>, pub(super) u64);

impl Drop for RouterGuard {
    fn drop(&mut self) {
        if !self.0.is_current() {
            return;
        }
        let message = "the runtime that drove the connections has ended";
        let error = Error::new(ErrorKind::Closed, Outcome::NotSent, message);
        let mut woken = Vec::new();
        let mut state = self.0.lock();
        // Where another has taken over, nothing ends.
        if state.routed.take_if(|(_, number)| *number == self.1).is_none() {
            return;
        }
        state.router = None;
        state.machine.handle_no_driver(&error);
        state.poll_woken(&mut woken);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}
