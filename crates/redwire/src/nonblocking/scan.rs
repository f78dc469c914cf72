//! The SCAN family as a stream. Where the next page is, and what is done when a node of a cluster does not
//! give it, is decided in `redwire-core`.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;
use redwire_core::call;
use redwire_core::cluster::{AfterFailure, ClusterScan};
use redwire_core::{Cmd, Error, Reply, Result, ScanPage, Value, facts};

use super::client::Client;
use super::cluster::Nodes;
use super::connection::Pending;
use crate::shared::clock::{self, Timer};
use crate::shared::node_clients::NodeClient;
use crate::shared::scanning::{NextPage, Scanning, within};

/// The items of a collection, fetched a page at a time; made by [`Client::scan`] and its kin.
///
/// A `Stream`; [`next`](Self::next) serves where no stream library is at hand. Every item that is there from
/// beginning to end is given at least once; one may come twice.
///
/// An item that cannot be read as `T` is an error in its place
/// ([`ErrorKind::Decode`](crate::ErrorKind::Decode)), and those behind it follow. If a page does not come,
/// because the connection is lost or the server cannot serve now, the next call asks for the same page again.
/// What the server refuses ends it: after that error comes `None`.
///
/// In a cluster, [`Client::scan`] gives the keys of all nodes, while slots move and replicas take over, too.
/// With the replicas of a service all pages come from one; where that cannot go on, another begins anew.
#[must_use = "a stream does nothing until it is polled"]
pub struct Scan<'c, T: Reply> {
    client: &'c Client,
    scanning: Scanning<T>,
    /// What is waited for.
    fetching: Option<Pending<'c, Fetched>>,
    /// In a cluster, or with replicas of a service, when the page that is asked for must be there.
    deadline: Option<Instant>,
    /// The replica whose cursor it is, where there are several.
    replica: Option<Replica>,
}

type Replica = Arc<NodeClient<Client>>;

/// What has come of that.
enum Fetched {
    Page(ScanPage),
    PageOf(ScanPage, Option<Replica>),
    Answer((String, Result<String>)),
    Nothing,
}

impl<'c, T: Reply> Scan<'c, T> {
    pub(crate) fn new(client: &'c Client, scanning: Scanning<T>) -> Self {
        Self { client, scanning, fetching: None, deadline: None, replica: None }
    }

    /// The next item; `None` when there is nothing more. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn next(&mut self) -> Option<Result<T>>
    where
        T: Unpin,
    {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// What is to be done for the next item; nothing before the map is there.
    fn poll_item(&mut self) -> Result<Option<NextPage<T>>> {
        let Some(nodes) = self.nodes() else { return Ok(Some(self.scanning.poll_item())) };
        if !nodes.node_clients().view().is_known() {
            let deadline = self.deadline();
            self.fetching =
                Some(Box::pin(async move { nodes.learn(deadline, true).await.map(|()| Fetched::Nothing) }));
            return Ok(None);
        }
        self.scanning.poll_item_in(&nodes.node_clients().map()).map(Some)
    }

    /// The nodes, where keys of a whole cluster are wanted.
    fn nodes(&mut self) -> Option<&'c Nodes> {
        self.client.cluster.as_ref().filter(|_| self.scanning.cluster_scan().is_some())
    }

    fn deadline(&mut self) -> Option<Instant> {
        let limit = self.client.config().timeout();
        self.deadline = self.deadline.or_else(|| clock::now().checked_add(limit?));
        self.deadline
    }

    fn pause(&mut self, pause: Duration) {
        self.fetching = Some(Box::pin(async move {
            Timer::after(pause).await;
            Ok(Fetched::Nothing)
        }));
    }

    /// What was waited for is there.
    fn poll_fetching(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(fetching) = &mut self.fetching else { return Poll::Ready(Ok(())) };
        let fetched = ready!(fetching.as_mut().poll(cx));
        self.fetching = None;
        Poll::Ready(fetched.and_then(|fetched| match fetched {
            Fetched::Page(page) => {
                self.deadline = None;
                self.scanning.handle_page(&page)
            }
            Fetched::PageOf(page, replica) => {
                (self.replica, self.deadline) = (replica, None);
                self.scanning.handle_page(&page)
            }
            Fetched::Answer(answer) => {
                self.scanning.cluster_scan().map_or(Ok(()), |cluster_scan| cluster_scan.handle_answer(answer))
            }
            Fetched::Nothing => Ok(()),
        }))
    }

    /// The node of the cluster or the replica that was to be asked did not answer, or there was none.
    fn handle_failure(&mut self, error: Error) -> Result<()> {
        if self.client.replicas.is_some() {
            self.replica = None;
            let (config, deadline) = (self.client.config(), self.deadline());
            let (now, random) = (clock::now(), fastrand::u64(..));
            let pause = self.scanning.begin_anew(error, config, deadline, now, random);
            return pause.map(|pause| self.pause(pause)).inspect_err(|_| self.deadline = None);
        }
        let Some(nodes) = self.nodes() else { return Err(error) };
        let (deadline, now, random) = (self.deadline(), clock::now(), fastrand::u64(..));
        let Some(cluster_scan) = self.scanning.cluster_scan() else { return Err(error) };
        let rules = nodes.node_clients().rules(now);
        let step = cluster_scan.handle_failure(error, rules, deadline, random, || nodes.may_retry());
        nodes.handle_hints(step.hint.as_slice());
        match step.then {
            AfterFailure::Retry(pause) => {
                self.pause(pause);
                Ok(())
            }
            AfterFailure::Fail(error) => {
                self.deadline = None;
                Err(error)
            }
            AfterFailure::Send { .. } | AfterFailure::Again => Ok(()),
        }
    }
}

/// Fetches a page from `replica`, or from any where the first is fetched.
async fn fetch(
    client: &Client,
    replica: Option<Replica>,
    cmd: Cmd<ScanPage>,
    deadline: Option<Instant>,
) -> Result<Fetched> {
    if client.replicas.is_none() {
        return client.execute(cmd).await.map(Fetched::Page);
    }
    let replica = match replica {
        Some(replica) => Some(replica),
        None => client.any_replica(deadline).await?,
    };
    let server = replica.as_ref().map_or(client, |replica| &replica.client);
    let page = server.execute(within(cmd, deadline, clock::now())).await?;
    Ok(Fetched::PageOf(page, replica))
}

impl Client {
    /// The replica whose turn it is, or where any connection leads while none is of use; `None` where calls
    /// are not spread.
    async fn any_replica(&self, deadline: Option<Instant>) -> Result<Option<Arc<NodeClient<Self>>>> {
        let Some(replicas) = &self.replicas else { return Ok(None) };
        if !replicas.has_fit(clock::now()) {
            // By then the sentinels were asked, and a server is there.
            self.execute(within(Cmd::<Value>::of(&facts::PING), deadline, clock::now())).await?;
        }
        Ok(replicas.any(clock::now()))
    }
}

// Items are moved in and out, never pinned.
impl<T: Reply> Unpin for Scan<'_, T> {}

impl<T: Reply> Stream for Scan<'_, T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = self.get_mut();
        loop {
            let page = ready!(this.poll_fetching(cx)).and_then(|()| this.poll_item());
            let node_client =
                |node| this.client.cluster.as_ref().map(|nodes| nodes.node_clients().node_client(node));
            match page {
                Ok(None) => {}
                Ok(Some(NextPage::Item(item))) => return Poll::Ready(Some(item)),
                Ok(Some(NextPage::Done)) => return Poll::Ready(None),
                Ok(Some(NextPage::Fetch(cmd))) => {
                    let deadline = this.client.replicas.as_ref().and_then(|_| this.deadline());
                    this.fetching = Some(Box::pin(fetch(this.client, this.replica.clone(), cmd, deadline)));
                }
                Ok(Some(NextPage::FetchAt(node, cmd))) => {
                    let Some(node_client) = node_client(&node) else { return Poll::Ready(None) };
                    let (mut cmd, deadline) = (cmd, this.deadline());
                    this.fetching = Some(Box::pin(async move {
                        let replies = node_client.client.exchange(&cmd, deadline).await?;
                        call::read(&mut cmd, replies, node_client.client.config()).map(Fetched::Page)
                    }));
                }
                Ok(Some(NextPage::Ask(node))) => {
                    let Some(node_client) = node_client(&node) else { return Poll::Ready(None) };
                    this.fetching = Some(Box::pin(async move {
                        node_client.client.pipeline(ClusterScan::question).await.map(Fetched::Answer)
                    }));
                }
                Err(error) => {
                    if let Err(error) = this.handle_failure(error) {
                        return Poll::Ready(Some(Err(this.scanning.handle_failure(error))));
                    }
                }
            }
        }
    }
}

impl<T: Reply> fmt::Debug for Scan<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("client", &self.client).finish_non_exhaustive()
    }
}
