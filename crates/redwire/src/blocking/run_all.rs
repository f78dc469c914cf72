//! Very many commands, as an iterator of results: written in waves on one connection, and so many of them are under way as the
//! window allows.

use std::collections::VecDeque;
use std::fmt;
use std::iter::Fuse;
use std::time::Instant;

use redwire_core::call::{self, Call};
use redwire_core::lane::{self, Lane as Way};
use redwire_core::link::Ticket;
use redwire_core::retry::Attempt;
use redwire_core::{Cmd, Error, Replies, Reply, Result};

use super::client::Client;
use super::pool::Lease;
use crate::window::{Wave, Window};

impl Client {
    /// Runs any number of commands in little memory: an iterator of their results, in their order.
    ///
    /// They are sent without waiting for one another; see [`run_all_within`](Self::run_all_within) for how many at a time. Each is a
    /// call of its own, with its own result, deadline and retries, and meant for commands that do not build on each other: one that is
    /// tried again after a lost connection may run after those that follow it. Nothing is sent before the first result is
    /// asked for; dropping the iterator gives up what is under way, with the connection that it has for itself. The time of a
    /// command counts from when its result is asked for.
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
        RunAll { client: self, commands, wave: Wave::new(window), under_way: VecDeque::new(), lease: None }
    }
}

/// The results of very many commands; made by [`Client::run_all`].
#[must_use = "an iterator does nothing until it is asked for items"]
pub struct RunAll<'c, R, I> {
    client: &'c Client,
    commands: Fuse<I>,
    wave: Wave,
    under_way: VecDeque<(Cmd<R>, Start)>,
    lease: Option<Lease>,
}

/// How far a command has come.
enum Start {
    /// On its way on the lease.
    Sent(Ticket),
    /// It waits at the server, and goes when its turn comes, on a connection of its own.
    Apart,
    Failed(Error),
}

impl<R: Reply, I: Iterator<Item = Cmd<R>>> RunAll<'_, R, I> {
    /// Sends the next wave, if there is room for one.
    fn fill(&mut self) {
        if self.lease.as_ref().is_some_and(|lease| !lease.is_connected()) {
            // What was under way on it is told first.
            if self.under_way.iter().any(|(_, start)| matches!(start, Start::Sent(_))) {
                return;
            }
            self.lease = None;
        }
        let mut queued = false;
        while self.wave.has_room()
            && let Some(cmd) = self.commands.next()
        {
            self.wave.handle_sent(cmd.size());
            let start = self.start(&cmd, !queued);
            queued |= matches!(start, Start::Sent(_));
            let failed = matches!(start, Start::Failed(_));
            self.under_way.push_back((cmd, start));
            if failed {
                break;
            }
        }
        if let Some(lease) = self.lease.as_mut().filter(|_| queued) {
            lease.send_queued();
        }
    }

    fn start(&mut self, cmd: &Cmd<R>, first: bool) -> Start {
        match lane::of(cmd) {
            Ok(Way::Shared) => self.queue(cmd, first).map_or_else(Start::Failed, Start::Sent),
            Ok(Way::Exclusive(_)) => Start::Apart,
            Err(error) => Start::Failed(error),
        }
    }

    fn queue(&mut self, cmd: &Cmd<R>, first: bool) -> Result<Ticket> {
        let lease = match &mut self.lease {
            Some(lease) => lease,
            None => {
                let (pool, now) = (self.client.pool(), Instant::now());
                let until = pool.config().timeout().and_then(|limit| now.checked_add(limit));
                self.lease.insert(pool.lease(None, now, until)?)
            }
        };
        lease.queue(cmd, first)
    }

    /// The replies to a command whose turn has come.
    fn take(&mut self, ticket: Ticket, attempt: &Attempt) -> Result<Replies> {
        match &mut self.lease {
            Some(lease) => lease.take(ticket, attempt.deadline()),
            None => unreachable!("a lease is kept while anything is under way on it"),
        }
    }
}

impl<R: Reply, I: Iterator<Item = Cmd<R>>> Iterator for RunAll<'_, R, I> {
    type Item = Result<R>;

    fn next(&mut self) -> Option<Result<R>> {
        self.fill();
        let Some((mut cmd, start)) = self.under_way.pop_front() else {
            self.lease = None;
            return None;
        };
        self.wave.handle_taken(cmd.size());
        let default = self.client.config().timeout();
        let deadline = call::deadline(Way::Shared, Call::options(&cmd), default, Instant::now());
        let attempt = Attempt::new(deadline);
        let replies = match start {
            Start::Apart => return Some(self.client.call(cmd)),
            Start::Failed(error) => Err(error),
            Start::Sent(ticket) => self.take(ticket, &attempt),
        };
        let result = replies.and_then(|replies| call::read(&mut cmd, replies, self.client.config()));
        Some(result.or_else(|error| self.client.call_again(cmd, Way::Shared, attempt, error)))
    }
}

impl<R, I> fmt::Debug for RunAll<'_, R, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunAll").field("wave", &self.wave).finish_non_exhaustive()
    }
}
