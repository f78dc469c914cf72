//! The threads of subscriptions in a cluster: one for each connection, which reads, writes and connects for
//! all; and one that brings shard channels to the nodes that serve them.
//!
//! Without them, a thread that waits could hear but one node at a time. Where each channel belongs is decided
//! in `redwire-core`.

use std::sync::Arc;

use redwire_core::pubsub::ConnId;
use redwire_core::{Error, ErrorKind, Outcome};

use super::process::{Locked, PubSubProcess, release_duties, wake};
use crate::blocking::cluster::Nodes;
use crate::shared::node_clients::Listener;
use crate::shared::target::Target;
use crate::shared::threads::{self, Thread};

impl PubSubProcess {
    /// Sees to it that there is a thread that decides where shard channels are heard from.
    pub(super) fn spawn_router(self: &Arc<Self>) {
        let (Some(nodes), mut state) = (self.nodes.clone(), self.lock()) else { return };
        if state.has_router || state.machine.is_closed() {
            return release_duties(state);
        }
        state.has_router = true;
        drop(state);
        let process = Arc::clone(self);
        let route = move || {
            let _guard = RouterGuard(&process);
            process.route(&nodes);
        };
        if let Err(error) = threads::spawn("redwire-shards", route) {
            self.fail_all(&error);
        }
    }

    /// Tells the map and what there is to know about it, and has threads drive the connections that are
    /// wanted, until all is closed.
    fn route(self: &Arc<Self>, nodes: &Nodes) {
        let _listener = self.listen(nodes);
        let mut hints = Vec::new();
        loop {
            let mut state = self.lock();
            if state.machine.is_closed() {
                return;
            }
            state.machine.poll_hints(&mut hints);
            if !hints.is_empty() {
                drop(state);
                nodes.handle_hints(&hints);
                hints.clear();
                continue;
            }
            let map = nodes.node_clients().shared_topology().map();
            state.machine.handle_map(&map, threads::now(), fastrand::u64(..));
            while let Some((conn, node)) = state.machine.poll_conn() {
                state = self.spawn_worker(state, conn, Some(self.target.node(&node)));
            }
            if state.wants_worker() {
                state = self.spawn_worker(state, ConnId::MAIN, None);
            }
            if state.machine.wants_placement() {
                wake(state);
                continue;
            }
            let until = state.machine.poll_placement_timeout();
            state.router = Some(threads::current());
            wake(state);
            threads::park_until(until);
        }
    }

    /// Has a thread drive this connection, to `target` if it is a new one.
    fn spawn_worker<'s>(
        self: &'s Arc<Self>,
        mut state: Locked<'s>,
        conn: ConnId,
        target: Option<Arc<Target>>,
    ) -> Locked<'s> {
        if !state.spawn_worker(conn, target) {
            return state;
        }
        let process = Arc::clone(self);
        let work_for = move || process.work_for(conn);
        if let Err(error) = threads::spawn("redwire-pubsub", work_for) {
            drop(state);
            self.fail_all(&error);
            state = self.lock();
        }
        state
    }

    /// Drives one connection, until no subscription needs it any more.
    fn work_for(self: &Arc<Self>, conn: ConnId) {
        let mut state = self.lock();
        while state.has_slot(conn) && !state.machine.is_closed() {
            state = self.work(state, conn, None);
        }
        release_duties(state);
    }

    /// Calls the thread for every new map, for as long as what it gives is kept.
    fn listen(self: &Arc<Self>, nodes: &Nodes) -> Arc<Listener> {
        let process = Arc::downgrade(self);
        let listener: Arc<Listener> = Arc::new(move || {
            if let Some(process) = process.upgrade().filter(|process| process.is_current()) {
                let router = process.lock().router.take();
                router.inspect(Thread::unpark);
            }
        });
        nodes.node_clients().shared_topology().listen(Arc::downgrade(&listener));
        listener
    }

    /// There is no thread for what has to be done: all subscriptions fail.
    fn fail_all(&self, error: &Error) {
        let mut state = self.lock();
        (state.has_router, state.router) = (false, None);
        state.machine.handle_no_driver(error);
        release_duties(state);
    }
}

/// Tells subscribers when the thread ends without being asked to: a user's code panicked on it.
struct RouterGuard<'a>(&'a PubSubProcess);

impl Drop for RouterGuard<'_> {
    fn drop(&mut self) {
        let message = "the thread of the subscriptions has ended";
        self.0.fail_all(&Error::new(ErrorKind::Closed, Outcome::NotSent, message));
    }
}
