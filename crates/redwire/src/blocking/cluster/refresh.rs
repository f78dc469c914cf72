//! The thread that asks nodes for the map. It must not know which node to ask, when, or which to believe.

use std::sync::{Arc, Weak, mpsc};

use redwire_core::cluster::{Ask, FetchedMap, NodeAnswer, Refresh, question};
use redwire_core::config::{Config, HostPort};
use redwire_core::{Cmd, Error, Outcome, Result, Value, facts};

use super::nodes::NodesShared;
use crate::blocking::client::Client;
use crate::blocking::connection::Connection;
use crate::shared::node_clients::{FormerPrimary, NodeClient, PROBE, RefreshWork};
use crate::shared::threads;

/// The thread that takes care of refreshes. If it ends in the middle, another may.
struct RefreshThread(Weak<NodesShared>);

impl Drop for RefreshThread {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.node_clients.shared_topology().handle_no_driver();
            shared.tell();
        }
    }
}

/// Asks for the map, for as long as there is a reason, and a client that wants it.
pub(super) fn follow(shared: Weak<NodesShared>) {
    let mut thread_guard = RefreshThread(shared);
    while let Some(shared) = thread_guard.0.upgrade() {
        let work = shared.node_clients.shared_topology().poll_work(threads::now());
        let config = shared.target.config().clone();
        drop(shared);
        match work {
            RefreshWork::Nothing => {
                // By now another thread may do it, which has not left.
                thread_guard.0 = Weak::new();
                return;
            }
            RefreshWork::Until(time) => threads::sleep(time.saturating_duration_since(threads::now())),
            RefreshWork::Probe(node) => probe(&thread_guard.0, &node),
            RefreshWork::Ask(refresh) => {
                let found = ask_in_turn(*refresh, &config);
                let Some(shared) = thread_guard.0.upgrade() else { return };
                let left = shared.node_clients.handle_refreshed(found, threads::now());
                shared.tell();
                let zoneless = shared.node_clients.zoneless();
                if !zoneless.is_empty() {
                    let shared = Arc::downgrade(&shared);
                    beside(move || ask_for_zones(zoneless, &shared));
                }
                if !left.is_empty() {
                    beside(move || end_left_nodes(left));
                }
            }
        }
    }
}

/// Does `work` in a thread of its own, or drops it where there can be none: then calls at a node that was
/// left end by their deadlines, and zones are asked for after the next refresh.
fn beside(work: impl FnOnce() + Send + 'static) {
    let _ = threads::spawn("redwire-map", work);
}

/// Asks a replica of a primary that cannot be reached whether it has taken over.
fn probe(shared: &Weak<NodesShared>, node: &HostPort) {
    let Some(node_client) = shared.upgrade().map(|shared| shared.node_clients.node_client(node)) else {
        return;
    };
    let role = node_client.client.execute(Cmd::<Value>::of(&facts::ROLE).timeout(PROBE).retries(0));
    if let (Ok(role), Some(shared)) = (role, shared.upgrade()) {
        let left = shared.node_clients.handle_probed(node, &role);
        if !left.is_empty() {
            shared.tell();
            beside(move || end_left_nodes(left));
        }
    }
}

/// Ends what is still under way at nodes that were primaries: what they execute now is kept nowhere.
fn end_left_nodes(left: Vec<FormerPrimary<Client>>) {
    let start = threads::now();
    for (node_client, patience) in left {
        threads::sleep(patience.saturating_sub(threads::since(start)));
        node_client.client.leave_server();
    }
}

/// Asks nodes in which zone they are.
fn ask_for_zones(nodes: Vec<Arc<NodeClient<Client>>>, shared: &Weak<NodesShared>) {
    for node in nodes {
        let info = node.client.execute(Cmd::<String>::of(&facts::INFO).arg("server"));
        let Some(shared) = shared.upgrade() else { return };
        // One that cannot be asked now is asked after the next refresh.
        if let Ok(info) = info {
            shared.node_clients.handle_info(&node.address, &info);
        }
    }
}

/// A question under way. However its thread ends, it is answered.
struct PendingQuestion {
    ask: Ask,
    answer: Option<Result<NodeAnswer>>,
    tell: mpsc::Sender<(Ask, Result<NodeAnswer>)>,
}

impl PendingQuestion {
    fn ask(mut self, config: Config) {
        let connection = Connection::new(config);
        let answer = connection.and_then(|mut node| node.pipeline(|p| question(p, self.ask.source)));
        self.answer = Some(answer.map(NodeAnswer::from));
    }
}

impl Drop for PendingQuestion {
    fn drop(&mut self) {
        let answer = self.answer.take().unwrap_or_else(|| Err(Error::closed_by_peer(Outcome::NotSent)));
        // The caller may have heard enough by then.
        let _ = self.tell.send((self.ask.clone(), answer));
    }
}

/// Asks as many nodes at a time as the refresh wants. Each question has a thread, which may outlive the
/// refresh, but not for longer than a node may take.
fn ask_in_turn(mut refresh: Refresh, config: &Config) -> Result<FetchedMap> {
    let (tell, answers) = mpsc::channel();
    loop {
        let now = threads::now();
        while let Some(next) = refresh.poll_ask(now) {
            let config = config.for_map(next.node.clone());
            let asked = PendingQuestion { ask: next, answer: None, tell: tell.clone() };
            // Without a thread it is answered by being dropped.
            beside(move || asked.ask(config));
        }
        if let Some(found) = refresh.poll_found(now) {
            return found;
        }
        let answer = match refresh.poll_timeout() {
            Some(until) => answers.recv_timeout(until.saturating_duration_since(now)).ok(),
            None => answers.recv().ok(),
        };
        if let Some((asked, answer)) = answer {
            refresh.handle_answer(&asked, answer, threads::now());
        }
    }
}
