//! The task that asks nodes for the map. It must not know which node to ask, when, or which to believe.

use std::sync::{Arc, Weak};

use redwire_core::cluster::{Ask, FetchedMap, NodeAnswer, Refresh, question};
use redwire_core::config::{Config, HostPort};
use redwire_core::{Cmd, Result, Value, facts};

use super::nodes::NodesShared;
use crate::nonblocking::UnderWay;
use crate::nonblocking::client::Client;
use crate::nonblocking::connection::Connection;
use crate::shared::clock::{self, Timer};
use crate::shared::node_clients::{FormerPrimary, NodeClient, PROBE, RefreshWork};

/// The task that takes care of refreshes. If it is dropped, even before it has begun, another may.
pub(super) struct RefreshTask(pub(super) Weak<NodesShared>, pub(super) u64);

impl RefreshTask {
    /// `None` where no client wants the map any more, or another task has taken over.
    fn shared(&self) -> Option<Arc<NodesShared>> {
        self.0.upgrade().filter(|shared| shared.is_followed_by(self.1))
    }
}

impl Drop for RefreshTask {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade().filter(|shared| shared.handle_follower_ended(self.1)) {
            shared.node_clients.shared_topology().handle_no_driver();
            shared.refreshed.notify_waiters();
        }
    }
}

/// Asks for the map, for as long as there is a reason, and a client that wants it.
pub(super) async fn follow(mut task: RefreshTask) {
    while let Some(shared) = task.shared() {
        let work = shared.node_clients.shared_topology().poll_work(clock::now());
        let config = shared.target.config().clone();
        match work {
            RefreshWork::Nothing => {
                shared.handle_follower_ended(task.1);
                // By now another task may do it, which has not left.
                task.0 = Weak::new();
                return;
            }
            RefreshWork::Until(time) => {
                drop(shared);
                Timer::at(time).await;
            }
            RefreshWork::Probe(node) => {
                drop(shared);
                probe(&task.0, &node).await;
            }
            RefreshWork::Ask(refresh) => {
                drop(shared);
                let found = ask_in_turn(*refresh, &config).await;
                let Some(shared) = task.shared() else { return };
                let left = shared.node_clients.handle_refreshed(found, clock::now());
                shared.refreshed.notify_waiters();
                let zoneless = shared.node_clients.zoneless();
                if !zoneless.is_empty() {
                    tokio::spawn(ask_for_zones(zoneless, Arc::downgrade(&shared)));
                }
                if !left.is_empty() {
                    tokio::spawn(end_left_nodes(left));
                }
            }
        }
    }
}

/// Asks a replica of a primary that cannot be reached whether it has taken over.
async fn probe(shared: &Weak<NodesShared>, node: &HostPort) {
    let Some(node_client) = shared.upgrade().map(|shared| shared.node_clients.node_client(node)) else {
        return;
    };
    let role = node_client.client.execute(Cmd::<Value>::of(&facts::ROLE).timeout(PROBE).retries(0)).await;
    if let (Ok(role), Some(shared)) = (role, shared.upgrade()) {
        let left = shared.node_clients.handle_probed(node, &role);
        if !left.is_empty() {
            shared.refreshed.notify_waiters();
            tokio::spawn(end_left_nodes(left));
        }
    }
}

/// Ends what is still under way at nodes that were primaries: what they execute now is kept nowhere.
async fn end_left_nodes(left: Vec<FormerPrimary<Client>>) {
    let start = clock::now();
    for (node_client, patience) in left {
        Timer::after(patience.saturating_sub(clock::since(start))).await;
        node_client.client.leave_server();
    }
}

/// Asks nodes in which zone they are.
async fn ask_for_zones(nodes: Vec<Arc<NodeClient<Client>>>, shared: Weak<NodesShared>) {
    for node in nodes {
        let info = node.client.execute(Cmd::<String>::of(&facts::INFO).arg("server")).await;
        let Some(shared) = shared.upgrade() else { return };
        // One that cannot be asked now is asked after the next refresh.
        if let Ok(info) = info {
            shared.node_clients.handle_info(&node.address, &info);
        }
    }
}

/// Asks as many nodes at a time as the refresh wants.
async fn ask_in_turn(mut refresh: Refresh, config: &Config) -> Result<FetchedMap> {
    let mut asked = UnderWay::default();
    loop {
        let now = clock::now();
        while let Some(next) = refresh.poll_ask(now) {
            asked.begin(next.clone(), ask(config.for_map(next.node.clone()), next));
        }
        if let Some(found) = refresh.poll_found(now) {
            return found;
        }
        for (whom, answer) in asked.ended(refresh.poll_timeout()).await {
            refresh.handle_answer(&whom, answer, clock::now());
        }
    }
}

async fn ask(config: Config, ask: Ask) -> Result<NodeAnswer> {
    let mut node = Connection::new(config)?;
    node.pipeline(|p| question(p, ask.source)).await.map(NodeAnswer::from)
}
