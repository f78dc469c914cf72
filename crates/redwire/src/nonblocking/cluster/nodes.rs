//! The nodes of a cluster as a client has them: a client for each, and the task that asks for the map.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redwire_core::Result;
use redwire_core::cluster::TopologyHint;
use redwire_core::config::HostPort;
use tokio::runtime::{Handle, Id};
use tokio::sync::Notify;

use super::refresh;
use crate::nonblocking::before;
use crate::nonblocking::client::Client;
use crate::shared::clock::{self, Timer, runtime};
use crate::shared::node_clients::{NodeClients, Watcher};
use crate::shared::runtimes::{self, Attendants, Attended};
use crate::shared::setup;
use crate::shared::sync::Mutex;
use crate::shared::target::Target;

/// All clones are the same.
#[derive(Clone)]
pub(in crate::nonblocking) struct Nodes(Arc<NodesShared>);

pub(super) struct NodesShared {
    pub(super) target: Arc<Target>,
    pub(super) node_clients: NodeClients<Client>,
    /// Tells of every refresh that has ended.
    pub(super) refreshed: Notify,
    follower: Mutex<RefreshState>,
    /// The runtimes that need it, though it runs in another.
    attendants: Attendants,
    /// Hears of silent nodes; kept as long as this.
    watcher: Arc<Watcher>,
}

/// The task that takes care of refreshes.
#[derive(Default)]
struct RefreshState {
    /// Where it runs, if there is one.
    runtime: Option<Handle>,
    /// Its number, so that one that was replaced knows.
    number: u64,
}

impl Nodes {
    /// The cluster that `target` leads to; `None` where it is none.
    pub(in crate::nonblocking) fn of(target: &Arc<Target>) -> Option<Self> {
        let shared_topology = Arc::clone(target.shared_topology()?);
        let own = Arc::clone(target);
        let make = move |address: &HostPort| Client::of_node(&own, address);
        let node_clients = NodeClients::new(target.config(), Arc::clone(&shared_topology), make);
        let shared = Arc::new_cyclic(|shared: &Weak<NodesShared>| {
            let shared = shared.clone();
            let watcher: Arc<Watcher> = Arc::new(move |node: &HostPort, silent| {
                if let Some(shared) = shared.upgrade() {
                    shared.node_clients.handle_silence(node, silent);
                    // Without a runtime there is no task that would wait for what is found.
                    let _ = Self(shared).follow();
                }
            });
            let (target, follower, attendants) =
                (Arc::clone(target), Mutex::default(), Attendants::default());
            NodesShared { target, node_clients, refreshed: Notify::new(), follower, attendants, watcher }
        });
        shared_topology.watch(Arc::downgrade(&shared.watcher));
        Some(Self(shared))
    }

    /// Whether the budget allows for a retry.
    pub(in crate::nonblocking) fn may_retry(&self) -> bool {
        self.0.target.may_retry(self.node_clients().calls())
    }

    pub(in crate::nonblocking) fn node_clients(&self) -> &NodeClients<Client> {
        &self.0.node_clients
    }

    /// Asks for the first map, and has the primaries connected to.
    pub(in crate::nonblocking) async fn connect(&self) -> Result<()> {
        self.learn(None, false).await?;
        for node_client in self.node_clients().primaries() {
            node_client.client.warm();
        }
        Ok(())
    }

    /// Waits for the first map, until `deadline`; if not `patient`, until the refresh has failed that is made
    /// next.
    ///
    /// # Errors
    /// No node tells a map.
    pub(in crate::nonblocking) async fn learn(&self, deadline: Option<Instant>, patient: bool) -> Result<()> {
        let ended = self.node_clients().shared_topology().ended();
        self.wait(deadline, || self.node_clients().poll_learnt(ended, patient)).await
    }

    /// Asks for the map, and waits for the answer.
    ///
    /// # Errors
    /// No node tells one; or not within the client's `timeout`.
    pub(in crate::nonblocking) async fn refresh(&self) -> Result<()> {
        let shared_topology = self.node_clients().shared_topology();
        let deadline = self.0.target.config().timeout().and_then(|limit| clock::now().checked_add(limit));
        let goal = shared_topology.want();
        self.wait(deadline, || shared_topology.poll_refreshed(goal)).await
    }

    /// Waits until `poll` gives something, which is asked again after each refresh, or until `deadline`.
    ///
    /// # Errors
    /// What `poll` gives; it is too late, or there is no runtime around.
    async fn wait(&self, deadline: Option<Instant>, poll: impl Fn() -> Option<Result<()>>) -> Result<()> {
        loop {
            let mut refreshed = pin!(self.0.refreshed.notified());
            refreshed.as_mut().enable();
            if let Some(heard) = poll() {
                return heard;
            }
            self.follow()?;
            if before(deadline, refreshed).await.is_none() {
                return Err(setup::late(self.node_clients().shared_topology().failure().as_ref()));
            }
        }
    }

    /// Takes note of what was learnt from failed tries.
    pub(in crate::nonblocking) fn handle_hints(&self, hints: &[TopologyHint]) {
        self.node_clients().handle_hints(hints);
        // Without a runtime no task is there that waits for it.
        let _ = self.follow();
    }

    /// Pauses a call before its next try: for so long, or until slots have another primary.
    pub(in crate::nonblocking) async fn pause(&self, pause: Duration) {
        let shared_topology = self.node_clients().shared_topology();
        let (timer, before) = (Timer::after(pause), shared_topology.switches());
        let until = clock::now().checked_add(pause);
        if self.wait(until, || (shared_topology.switches() != before).then_some(Ok(()))).await.is_err() {
            // The time is over, as a rule; or there is no runtime, which is no reason to hurry.
            timer.await;
        }
    }

    /// Has the map asked for, if there is a reason and no task does.
    ///
    /// # Errors
    /// There is no runtime around.
    pub(in crate::nonblocking) fn follow(&self) -> Result<()> {
        let shared_topology = self.node_clients().shared_topology();
        if !shared_topology.poll_follower(clock::now()) {
            runtimes::attend_once(&self.0, |shared| &shared.attendants);
            return Ok(());
        }
        let runtime = runtime().inspect_err(|_| shared_topology.handle_no_driver())?;
        let mut follower = self.0.follower.lock();
        follower.number += 1;
        follower.runtime = Some(runtime.clone());
        let task = refresh::RefreshTask(Arc::downgrade(&self.0), follower.number);
        drop(follower);
        runtime.spawn(refresh::follow(task));
        Ok(())
    }

    /// Takes no more calls, and waits until those under way are answered, but no longer than `limit`.
    pub(in crate::nonblocking) async fn close(&self, limit: Duration) {
        let start = clock::now();
        let node_clients = self.node_clients().close();
        self.0.refreshed.notify_waiters();
        for node_client in node_clients {
            // Boxed, since a node's client could be a cluster's, for all that the compiler knows.
            Box::pin(node_client.client.close(limit.saturating_sub(clock::since(start)))).await;
        }
    }
}

impl NodesShared {
    /// Whether the follower of this number is the one there is.
    pub(super) fn is_followed_by(&self, number: u64) -> bool {
        self.follower.lock().number == number
    }

    /// The follower of this number has ended; says whether it was the one there is.
    pub(super) fn handle_follower_ended(&self, number: u64) -> bool {
        let mut follower = self.follower.lock();
        let is_current = follower.number == number;
        if is_current {
            follower.runtime = None;
        }
        is_current
    }
}

impl Attended for NodesShared {
    const LONGEST_LOOK: Duration = Duration::from_secs(1);

    /// Where the map is asked for.
    fn foreign(&self, here: Id) -> Vec<Handle> {
        let follower = self.follower.lock();
        follower.runtime.iter().filter(|runtime| runtime.id() != here).cloned().collect()
    }

    fn take_over(self: &Arc<Self>, from: Id) {
        let mut follower = self.follower.lock();
        if follower.runtime.take_if(|runtime| runtime.id() == from).is_none() {
            return;
        }
        follower.number += 1;
        drop(follower);
        self.node_clients.shared_topology().handle_no_driver();
        self.refreshed.notify_waiters();
        // Without a runtime there is no task that would wait for the map.
        let _ = Nodes(Arc::clone(self)).follow();
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("node_clients", &self.0.node_clients).finish_non_exhaustive()
    }
}
