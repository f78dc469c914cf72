//! Very many commands, as an iterator of results: written in waves on one connection to each server, and so
//! many of them are under way as the window allows.

use std::collections::VecDeque;
use std::fmt;
use std::iter::Fuse;
use std::sync::Arc;
use std::time::Instant;

use redwire_core::call::{self, Call};
use redwire_core::cluster::Spread;
use redwire_core::dispatch::{self, Dispatch};
use redwire_core::link::Ticket;
use redwire_core::retry::{self, Attempt};
use redwire_core::{Cmd, Error, Replies, Reply, Result};

use super::client::Client;
use super::pool::Lease;
use super::sharing;
use crate::shared::node_clients::{NodeClient, Routed};
use crate::shared::threads;
use crate::shared::window::{Wave, Window};

impl Client {
    /// Runs any number of commands in little memory: an iterator of their results, in their order.
    ///
    /// They are sent without waiting for one another; see [`run_all_within`](Self::run_all_within) for how
    /// many at a time. Each is a call of its own, with its own result, deadline and retries, and meant for
    /// commands that do not build on each other: one that is tried again after a lost connection may run
    /// after those that follow it. Nothing is sent before the first result is asked for; dropping the
    /// iterator gives up what is under way, with the connection that it has for itself: in a cluster one to
    /// each node that it needs. The time of a command counts from when its result is asked for.
    ///
    /// ```no_run
    /// # let client = redwire::blocking::Client::connect("redis://localhost")?;
    /// use redwire::cmd;
    ///
    /// let commands = (0..1_000_000).map(|i| cmd("SET").arg(format!("key:{i}")).arg(i));
    /// for result in client.run_all::<(), _>(commands) {
    ///     result?;
    /// }
    /// # Ok::<(), redwire::Error>(())
    /// ```
    pub fn run_all<R: Reply, I: IntoIterator<Item = Cmd<R>>>(
        &self,
        commands: I,
    ) -> RunAll<'_, R, I::IntoIter> {
        self.run_all_within(Window::new(), commands)
    }

    /// As [`run_all`](Self::run_all), with no more under way than `window` allows.
    pub fn run_all_within<R: Reply, I: IntoIterator<Item = Cmd<R>>>(
        &self,
        window: Window,
        commands: I,
    ) -> RunAll<'_, R, I::IntoIter> {
        let commands = commands.into_iter().fuse();
        RunAll {
            client: self,
            commands,
            wave: Wave::new(window),
            under_way: VecDeque::new(),
            conns: Vec::new(),
        }
    }
}

/// The results of very many commands; made by [`Client::run_all`].
#[must_use = "an iterator does nothing until it is asked for items"]
pub struct RunAll<'c, R, I> {
    client: &'c Client,
    commands: Fuse<I>,
    wave: Wave,
    under_way: VecDeque<(Cmd<R>, Start)>,
    conns: Vec<NodeConn>,
}

/// The connection to one server.
struct NodeConn {
    /// Which node of a cluster or which replica that is.
    node_client: Option<Arc<NodeClient<Client>>>,
    lease: Lease,
    /// How many commands are under way on it, and whether some of them wait to be sent.
    under_way: usize,
    queued: bool,
}

/// How far a command has come.
enum Start {
    /// On its way, on the connection to the node that its call has come to.
    Sent(Ticket, Routed<Client>),
    /// It goes when its turn comes, by itself: it waits at the server, or concerns several nodes.
    Apart,
    Failed(Error, Routed<Client>),
}

impl<R: Reply, I: Iterator<Item = Cmd<R>>> RunAll<'_, R, I> {
    /// Sends the next wave, if there is room for one.
    fn fill(&mut self) {
        // What was under way on a lost connection is told first.
        if self.conns.iter().any(|conn| conn.under_way > 0 && !conn.lease.is_connected()) {
            return;
        }
        self.conns.retain(|conn| conn.lease.is_connected());
        while self.wave.has_room()
            && let Some(cmd) = self.commands.next()
        {
            self.wave.handle_sent(cmd.size());
            let start = self.start(&cmd);
            let failed = matches!(start, Start::Failed(..));
            self.under_way.push_back((cmd, start));
            if failed {
                break;
            }
        }
        for conn in self.conns.iter_mut().filter(|conn| conn.queued) {
            conn.lease.send_queued();
            conn.queued = false;
        }
    }

    fn start(&mut self, cmd: &Cmd<R>) -> Start {
        let mut routed = Routed::new();
        let queued =
            match dispatch::of(cmd).and_then(|dispatch| Ok((dispatch, self.pick_node(cmd, &mut routed)?))) {
                Ok((Dispatch::Shared, true)) => self.queue(cmd, &routed),
                Ok(_) => return Start::Apart,
                Err(error) => Err(error),
            };
        match queued {
            Ok(ticket) => Start::Sent(ticket, routed),
            Err(error) => Start::Failed(error, routed),
        }
    }

    /// Chooses the server that `cmd` goes to. Says whether it is one.
    fn pick_node(&self, cmd: &Cmd<R>, routed: &mut Routed<Client>) -> Result<bool> {
        let now = threads::now();
        let Some(nodes) = &self.client.cluster else {
            routed.pick_replica(self.client, now);
            return Ok(true);
        };
        let Spread::One(slot) = Call::spread(cmd)? else { return Ok(false) };
        nodes.learn(sharing::until(self.client.config(), now, None), true)?;
        routed
            .pick_node(nodes.node_clients(), &nodes.node_clients().view(), slot, Call::is_read_only(cmd), now)
            .map(|()| true)
    }

    fn queue(&mut self, cmd: &Cmd<R>, routed: &Routed<Client>) -> Result<Ticket> {
        let place = match self.conns.iter().position(|conn| conn.leads_to(routed)) {
            Some(place) => place,
            None => {
                let client = routed.node_client().map_or(self.client, |node_client| &node_client.client);
                let now = threads::now();
                let until = sharing::until(client.config(), now, None);
                let lease = client.shared_connections.lease(now, until)?;
                let node_client = routed.node_client().cloned();
                self.conns.push(NodeConn { node_client, lease, under_way: 0, queued: false });
                self.conns.len() - 1
            }
        };
        let conn = &mut self.conns[place];
        let ticket = conn.lease.queue(cmd, !conn.queued)?;
        (conn.under_way, conn.queued) = (conn.under_way + 1, true);
        Ok(ticket)
    }

    /// The replies to a command whose turn has come.
    fn take(
        &mut self,
        ticket: Ticket,
        routed: &Routed<Client>,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        match self.conns.iter_mut().find(|conn| conn.leads_to(routed)) {
            Some(conn) => {
                conn.under_way -= 1;
                conn.lease.take(ticket, deadline)
            }
            None => unreachable!("a line is kept while anything is under way on it"),
        }
    }
}

impl NodeConn {
    /// Whether it leads to the node that `routed` has come to.
    fn leads_to(&self, routed: &Routed<Client>) -> bool {
        match (&self.node_client, routed.node_client()) {
            (Some(own), Some(node_client)) => Arc::ptr_eq(own, node_client),
            (own, node_client) => own.is_none() && node_client.is_none(),
        }
    }
}

impl<R: Reply, I: Iterator<Item = Cmd<R>>> Iterator for RunAll<'_, R, I> {
    type Item = Result<R>;

    fn next(&mut self) -> Option<Result<R>> {
        self.fill();
        let Some((mut cmd, start)) = self.under_way.pop_front() else {
            self.conns.clear();
            return None;
        };
        self.wave.handle_taken(cmd.size());
        let (config, now) = (self.client.config(), threads::now());
        let deadline = call::deadline(Dispatch::Shared, Call::options(&cmd), config.timeout(), now);
        let until = retry::try_deadline(&cmd, Dispatch::Shared, config, deadline, now);
        let (replies, routed) = match start {
            Start::Apart => return Some(self.client.call(cmd)),
            Start::Failed(error, routed) => (Err(error), routed),
            Start::Sent(ticket, routed) => (self.take(ticket, &routed, until), routed),
        };
        let result = replies.and_then(|replies| call::read(&mut cmd, replies, config));
        let attempt = Attempt::new(deadline);
        let again = |error| self.client.retry(cmd, routed, Dispatch::Shared, attempt, error);
        Some(result.or_else(again))
    }
}

impl<R, I> fmt::Debug for RunAll<'_, R, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunAll").field("wave", &self.wave).finish_non_exhaustive()
    }
}
