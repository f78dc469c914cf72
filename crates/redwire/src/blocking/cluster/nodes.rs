//! The nodes of a cluster as a client has them: a client for each, and the thread that asks for the map.
//!
//! A forked child has neither that thread nor the locks of its parent: it has nodes of its own, and leaves
//! the parent's alone.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redwire_core::Result;
use redwire_core::cluster::TopologyHint;
use redwire_core::config::{Config, HostPort};

use super::refresh;
use crate::blocking::client::Client;
use crate::shared::node_clients::{NodeClients, SharedTopology, Watcher};
use crate::shared::owner::PerProcess;
use crate::shared::setup;
use crate::shared::sync::{Condvar, Mutex, MutexGuard};
use crate::shared::target::Target;
use crate::shared::threads;

/// All clones are the same.
#[derive(Clone)]
pub(in crate::blocking) struct Nodes(Arc<PerProcess<Arc<NodesShared>>>);

/// What one process has of a cluster.
pub(super) struct NodesShared {
    pub(super) target: Arc<Target>,
    shared_topology: Arc<SharedTopology>,
    pub(super) node_clients: NodeClients<Client>,
    /// Held for a moment by threads that are about to wait, and by the one that wakes them.
    waiting: Mutex<()>,
    /// Tells of every refresh that has ended.
    refreshed: Condvar,
    /// Hears of silent nodes; kept as long as this.
    watcher: Arc<Watcher>,
}

impl Nodes {
    /// The cluster that `target` leads to; `None` where it is none.
    pub(in crate::blocking) fn of(target: &Arc<Target>) -> Option<Self> {
        let shared_topology = Arc::clone(target.shared_topology()?);
        Some(Self(Arc::new(PerProcess::new(NodesShared::new(target, shared_topology)))))
    }

    /// What this process has.
    #[inline]
    fn current(&self) -> &Arc<NodesShared> {
        self.0.current(|parent| parent.fork())
    }

    /// Whether the budget allows for a retry.
    pub(in crate::blocking) fn may_retry(&self) -> bool {
        let shared = self.current();
        shared.target.may_retry(shared.node_clients.calls())
    }

    pub(in crate::blocking) fn config(&self) -> &Config {
        self.0.first().target.config()
    }

    #[inline]
    pub(in crate::blocking) fn node_clients(&self) -> &NodeClients<Client> {
        &self.current().node_clients
    }

    /// Asks for the first map. Connections are made when they are asked for.
    pub(in crate::blocking) fn connect(&self) -> Result<()> {
        self.learn(None, false)
    }

    /// Waits for the first map, until `deadline`; if not `patient`, until the refresh has failed that is made
    /// next.
    ///
    /// # Errors
    /// No node tells a map.
    pub(in crate::blocking) fn learn(&self, deadline: Option<Instant>, patient: bool) -> Result<()> {
        let shared = self.current();
        if shared.node_clients.view().is_known() {
            return Ok(());
        }
        let ended = shared.node_clients.shared_topology().ended();
        shared.wait(deadline, || shared.node_clients.poll_learnt(ended, patient))
    }

    /// Asks for the map, and waits for the answer.
    ///
    /// # Errors
    /// No node tells one; or not within the client's `timeout`.
    pub(in crate::blocking) fn refresh(&self) -> Result<()> {
        let shared = self.current();
        let shared_topology = shared.node_clients.shared_topology();
        let deadline = shared.target.config().timeout().and_then(|limit| threads::now().checked_add(limit));
        let goal = shared_topology.want();
        shared.wait(deadline, || shared_topology.poll_refreshed(goal))
    }

    /// Takes note of what was learnt from failed tries.
    pub(in crate::blocking) fn handle_hints(&self, hints: &[TopologyHint]) {
        self.node_clients().handle_hints(hints);
        self.follow();
    }

    /// Pauses a call before its next try: for so long, or until slots have another primary.
    pub(in crate::blocking) fn pause(&self, pause: Duration) {
        let (shared, until) = (self.current(), threads::now().checked_add(pause));
        let shared_topology = shared.node_clients.shared_topology();
        let before = shared_topology.switches();
        if shared.wait(until, || (shared_topology.switches() != before).then_some(Ok(()))).is_err() {
            // The time is over, as a rule; or no thread could be started that asks for the map, which is no
            // reason to hurry.
            threads::sleep(until.map_or(pause, |until| until.saturating_duration_since(threads::now())));
        }
    }

    /// Has the map asked for, if there is a reason and no thread does.
    pub(in crate::blocking) fn follow(&self) {
        // Where there can be no thread, that holds up no caller that does not wait for it.
        let _ = self.current().follow();
    }

    /// Takes no more calls, and waits until those under way are answered, but no longer than `limit`.
    pub(in crate::blocking) fn close(&self, limit: Duration) {
        let (start, shared) = (threads::now(), self.current());
        let node_clients = shared.node_clients.close();
        shared.tell();
        for node_client in node_clients {
            node_client.client.close(limit.saturating_sub(threads::since(start)));
        }
    }
}

impl NodesShared {
    fn new(target: &Arc<Target>, shared_topology: Arc<SharedTopology>) -> Arc<Self> {
        let own = Arc::clone(target);
        let make = move |address: &HostPort| Client::of_node(&own, address);
        let node_clients = NodeClients::new(target.config(), Arc::clone(&shared_topology), make);
        let shared = Arc::new_cyclic(|shared: &Weak<Self>| {
            let shared = shared.clone();
            Self {
                target: Arc::clone(target),
                node_clients,
                shared_topology,
                waiting: Mutex::new(()),
                refreshed: Condvar::new(),
                watcher: Arc::new(move |node: &HostPort, silent| {
                    if let Some(shared) = shared.upgrade() {
                        shared.node_clients.handle_silence(node, silent);
                        // Where there can be no thread, a call learns by its own failure.
                        let _ = shared.follow();
                    }
                }),
            }
        });
        shared.shared_topology.watch(Arc::downgrade(&shared.watcher));
        shared
    }

    /// What a child of the process begins with.
    fn fork(&self) -> Arc<Self> {
        self.node_clients.disown(|node_client| node_client.pool().disown());
        Self::new(&self.target, Arc::clone(&self.shared_topology))
    }

    /// Waits for refreshes until `poll` has heard what it wants, but no longer than `deadline`.
    fn wait(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        poll: impl Fn() -> Option<Result<()>>,
    ) -> Result<()> {
        let mut waiting = self.lock();
        loop {
            if let Some(heard) = poll() {
                return heard;
            }
            self.follow()?;
            if threads::is_over(deadline) {
                return Err(setup::late(self.node_clients.shared_topology().failure().as_ref()));
            }
            waiting = self.refreshed.wait_until(waiting, deadline);
        }
    }

    /// Wakes the threads that wait.
    pub(super) fn tell(&self) {
        drop(self.lock());
        self.refreshed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.waiting.lock()
    }

    /// Has the map asked for, if there is a reason and no thread does.
    fn follow(self: &Arc<Self>) -> Result<()> {
        let shared_topology = self.node_clients.shared_topology();
        if !shared_topology.poll_follower(threads::now()) {
            return Ok(());
        }
        let shared = Arc::downgrade(self);
        let started = threads::spawn("redwire-map", move || refresh::follow(shared));
        started.map(drop).inspect_err(|_| shared_topology.handle_no_driver())
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("node_clients", &self.0.first().node_clients).finish_non_exhaustive()
    }
}
