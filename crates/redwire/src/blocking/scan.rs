//! The SCAN family as an iterator. Where the next page is, and what is done when a node of a cluster does not
//! give it, is decided in `redwire-core`.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use redwire_core::cluster::{AfterFailure, ClusterScan};
use redwire_core::{Cmd, Error, Reply, Result, Value, facts};

use super::client::Client;
use super::cluster::Nodes;
use crate::shared::node_clients::NodeClient;
use crate::shared::scanning::{NextPage, Scanning, within};
use crate::shared::threads;

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
/// With the replicas of a service all pages come from one; where that cannot go on, another begins anew.
#[must_use = "an iterator does nothing until it is asked for items"]
pub struct Scan<'c, T> {
    client: &'c Client,
    scanning: Scanning<T>,
    /// In a cluster, or with replicas of a service, when the page that is asked for must be there.
    deadline: Option<Instant>,
    /// The replica whose cursor it is, where there are several.
    replica: Option<Arc<NodeClient<Client>>>,
}

impl<'c, T: Reply> Scan<'c, T> {
    pub(crate) fn new(client: &'c Client, scanning: Scanning<T>) -> Self {
        Self { client, scanning, deadline: None, replica: None }
    }

    /// The next item, or what there is to do before it is there.
    fn step(&mut self) -> Result<ControlFlow<Option<Result<T>>>> {
        let page = match self.nodes() {
            None => self.scanning.poll_item(),
            Some(nodes) => {
                nodes.learn(self.deadline(), true)?;
                self.scanning.poll_item_in(&nodes.node_clients().map())?
            }
        };
        let node_client =
            |node| self.client.cluster.as_ref().map(|nodes| nodes.node_clients().node_client(&node));
        match page {
            NextPage::Item(item) => return Ok(ControlFlow::Break(Some(item))),
            NextPage::Done => return Ok(ControlFlow::Break(None)),
            NextPage::Fetch(cmd) => {
                let deadline = self.client.replicas.as_ref().and_then(|_| self.deadline());
                if self.replica.is_none() {
                    self.replica = self.client.any_replica(deadline)?;
                }
                let server = self.replica.as_ref().map_or(self.client, |replica| &replica.client);
                self.scanning.handle_page(&server.execute(within(cmd, deadline, threads::now()))?)?;
                self.deadline = None;
            }
            NextPage::FetchAt(node, cmd) => {
                let Some(node_client) = node_client(node) else { return Ok(ControlFlow::Break(None)) };
                let cmd = within(cmd.retries(0), self.deadline, threads::now());
                self.scanning.handle_page(&node_client.client.execute(cmd)?)?;
                self.deadline = None;
            }
            NextPage::Ask(node) => {
                let Some(node_client) = node_client(node) else { return Ok(ControlFlow::Break(None)) };
                let answer = node_client.client.pipeline(ClusterScan::question)?;
                let cluster_scan = self.scanning.cluster_scan();
                cluster_scan.map_or(Ok(()), |cluster_scan| cluster_scan.handle_answer(answer))?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// When the page that is asked for must be there.
    fn deadline(&mut self) -> Option<Instant> {
        let limit = self.client.config().timeout();
        self.deadline = self.deadline.or_else(|| threads::now().checked_add(limit?));
        self.deadline
    }

    /// The cluster whose nodes are asked for their keys; `None` where one server is.
    fn nodes(&mut self) -> Option<&'c Nodes> {
        self.client.cluster.as_ref().filter(|_| self.scanning.cluster_scan().is_some())
    }

    /// Waits for what the cluster needs, unless that is of no use.
    fn handle_failure(&mut self, error: Error) -> Result<()> {
        if self.client.replicas.is_some() {
            self.replica = None;
            let (config, now, random) = (self.client.config(), threads::now(), fastrand::u64(..));
            threads::sleep(self.scanning.begin_anew(error, config, self.deadline, now, random)?);
            return Ok(());
        }
        let Some(nodes) = self.nodes() else { return Err(error) };
        let Some(cluster_scan) = self.scanning.cluster_scan() else { return Err(error) };
        let (rules, random) = (nodes.node_clients().rules(threads::now()), fastrand::u64(..));
        let step = cluster_scan.handle_failure(error, rules, self.deadline, random, || nodes.may_retry());
        nodes.handle_hints(step.hint.as_slice());
        match step.then {
            AfterFailure::Retry(pause) => threads::sleep(pause),
            AfterFailure::Fail(error) => return Err(error),
            AfterFailure::Send { .. } | AfterFailure::Again => {}
        }
        Ok(())
    }
}

impl Client {
    /// The replica whose turn it is, or where any connection leads while none is of use; `None` where calls
    /// are not spread.
    fn any_replica(&self, deadline: Option<Instant>) -> Result<Option<Arc<NodeClient<Self>>>> {
        let Some(replicas) = &self.replicas else { return Ok(None) };
        if !replicas.has_fit(threads::now()) {
            // By then the sentinels were asked, and a server is there.
            self.execute(within(Cmd::<Value>::of(&facts::PING), deadline, threads::now()))?;
        }
        Ok(replicas.any(threads::now()))
    }
}

impl<T: Reply> Iterator for Scan<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        loop {
            match self.step() {
                Ok(ControlFlow::Break(item)) => return item,
                Ok(ControlFlow::Continue(())) => {}
                Err(error) => {
                    if let Err(error) = self.handle_failure(error) {
                        self.deadline = None;
                        return Some(Err(self.scanning.handle_failure(error)));
                    }
                }
            }
        }
    }
}

impl<T> fmt::Debug for Scan<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("client", &self.client).finish_non_exhaustive()
    }
}
