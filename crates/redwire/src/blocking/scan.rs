//! The SCAN family as an iterator. Where the next page is, and what is done when a node of a cluster does not
//! give it, is decided in `redwire-core`.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use redwire_core::cluster::{AfterFailure, ClusterScan};
use redwire_core::config::HostPort;
use redwire_core::{Error, Reply, Result};

use super::client::Client;
use super::cluster::Nodes;
use crate::shared::node_clients::NodeClient;
use crate::shared::scanning::{NextPage, Scanning};

/// The items of a collection, fetched a page at a time; made by [`Client::scan`] and its kin.
///
/// Every item that is there from beginning to end is given at least once; one may come twice.
///
/// An item that cannot be read as `T` is an error in its place
/// ([`ErrorKind::Decode`](crate::ErrorKind::Decode)), and those behind it follow. If a page does not come,
/// because the connection is lost or the server cannot serve now, the next call asks for the same page again.
/// What the server refuses ends it: after that error comes `None`.
///
/// In a cluster, [`Client::scan`] gives the keys of all nodes, while slots move and replicas take over, too.
#[must_use = "an iterator does nothing until it is asked for items"]
pub struct Scan<'c, T> {
    client: &'c Client,
    scanning: Scanning<T>,
    /// In a cluster, when the page that is asked for must be there.
    deadline: Option<Instant>,
}

impl<'c, T: Reply> Scan<'c, T> {
    pub(crate) fn new(client: &'c Client, scanning: Scanning<T>) -> Self {
        Self { client, scanning, deadline: None }
    }

    /// The next item of a whole cluster.
    fn next_in(&mut self, nodes: &Nodes) -> Option<Result<T>> {
        loop {
            let limit = self.client.config().timeout();
            let deadline = self.deadline.or_else(|| Instant::now().checked_add(limit?));
            self.deadline = deadline;
            match self.step(nodes) {
                Ok(ScanOutcome::Item(item)) => return Some(item),
                Ok(ScanOutcome::Done) => return None,
                Ok(ScanOutcome::On) => {}
                Err(error) => {
                    if let Err(error) = self.handle_failure(nodes, error) {
                        self.deadline = None;
                        return Some(Err(self.scanning.handle_failure(error)));
                    }
                }
            }
        }
    }

    /// Does what is to be done for the next item of a whole cluster.
    fn step(&mut self, nodes: &Nodes) -> Result<ScanOutcome<T>> {
        nodes.learn(self.deadline, true)?;
        match self.scanning.poll_item_in(&nodes.node_clients().map())? {
            NextPage::Item(item) => return Ok(ScanOutcome::Item(item)),
            NextPage::Done => return Ok(ScanOutcome::Done),
            NextPage::Fetch(cmd) => self.scanning.handle_page(&self.client.execute(cmd)?)?,
            NextPage::FetchAt(node, cmd) => {
                let page = self.node_client(nodes, &node).client.execute(cmd.retries(0))?;
                self.scanning.handle_page(&page)?;
                self.deadline = None;
            }
            NextPage::Ask(node) => {
                let answer = self.node_client(nodes, &node).client.pipeline(ClusterScan::question)?;
                self.scanning
                    .cluster_scan()
                    .map_or(Ok(()), |cluster_scan| cluster_scan.handle_answer(answer))?;
            }
        }
        Ok(ScanOutcome::On)
    }

    fn node_client(&self, nodes: &Nodes, node: &HostPort) -> Arc<NodeClient<Client>> {
        nodes.node_clients().node_client(node)
    }

    /// The node of the cluster that was to be asked did not answer, or there was none.
    fn handle_failure(&mut self, nodes: &Nodes, error: Error) -> Result<()> {
        let Some(cluster_scan) = self.scanning.cluster_scan() else { return Err(error) };
        let (rules, random) = (nodes.node_clients().rules(Instant::now()), fastrand::u64(..));
        let step = cluster_scan.handle_failure(error, rules, self.deadline, random, || nodes.may_retry());
        nodes.handle_hints(step.hint.as_slice());
        match step.then {
            AfterFailure::Retry(pause) => thread::sleep(pause),
            AfterFailure::Fail(error) => return Err(error),
            AfterFailure::Send { .. } | AfterFailure::Again => {}
        }
        Ok(())
    }
}

/// What came of a step through a cluster.
enum ScanOutcome<T> {
    Item(Result<T>),
    Done,
    On,
}

impl<T: Reply> Iterator for Scan<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        if let Some(nodes) = &self.client.cluster
            && self.scanning.cluster_scan().is_some()
        {
            return self.next_in(nodes);
        }
        loop {
            match self.scanning.poll_item() {
                NextPage::Item(item) => return Some(item),
                NextPage::Fetch(cmd) => {
                    let page = self.client.execute(cmd).and_then(|page| self.scanning.handle_page(&page));
                    if let Err(error) = page {
                        return Some(Err(self.scanning.handle_failure(error)));
                    }
                }
                NextPage::Done | NextPage::FetchAt(..) | NextPage::Ask(_) => return None,
            }
        }
    }
}

impl<T> fmt::Debug for Scan<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("client", &self.client).finish_non_exhaustive()
    }
}
