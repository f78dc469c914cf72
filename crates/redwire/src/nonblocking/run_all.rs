//! Very many commands, as a stream of results: each is a call like any other, and so many of them are under
//! way as the window allows.

use std::collections::VecDeque;
use std::fmt;
use std::iter::Fuse;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use redwire_core::call::Call;
use redwire_core::{Cmd, Reply, Result};

use super::client::{Client, Request};
use crate::shared::window::{Wave, Window};

impl Client {
    /// Runs any number of commands in little memory: a stream of their results, in their order.
    ///
    /// They are sent without waiting for one another; see [`run_all_within`](Self::run_all_within) for how
    /// many at a time. Each is a call of its own, with its own result, deadline and retries, and meant for
    /// commands that do not build on each other: one that is tried again after a lost connection may run
    /// after those that follow it. Nothing is sent before the stream is first polled; dropping it gives up
    /// what is under way.
    ///
    /// ```no_run
    /// # async fn example(client: redwire::Client) -> redwire::Result<()> {
    /// use redwire::cmd;
    ///
    /// let commands = (0..1_000_000).map(|i| cmd("SET").arg(format!("key:{i}")).arg(i));
    /// let mut results = client.run_all::<(), _>(commands);
    /// while let Some(result) = results.next().await {
    ///     result?;
    /// }
    /// # Ok(())
    /// # }
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
        RunAll { client: self, commands, wave: Wave::new(window), under_way: VecDeque::new() }
    }
}

/// The results of very many commands; made by [`Client::run_all`].
///
/// A `Stream`; [`next`](Self::next) serves where no stream library is at hand.
#[must_use = "a stream does nothing until it is polled"]
pub struct RunAll<'c, R: Reply, I> {
    client: &'c Client,
    commands: Fuse<I>,
    wave: Wave,
    /// Each with its size.
    under_way: VecDeque<(Running<'c, R>, usize)>,
}

enum Running<'c, R: Reply> {
    Request(Request<'c, Cmd<R>>),
    /// What failed at once; nothing is answered at once.
    Done(Result<R>),
}

impl<R: Reply, I: Iterator<Item = Cmd<R>>> RunAll<'_, R, I> {
    /// The next result; `None` when there is nothing more. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn next(&mut self) -> Option<Result<R>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn fill(&mut self, cx: &mut Context<'_>) {
        while self.wave.has_room()
            && let Some(cmd) = self.commands.next()
        {
            let size = cmd.size();
            self.wave.handle_sent(size);
            let mut request = self.client.execute(cmd);
            // Sends it.
            let running = match Pin::new(&mut request).poll(cx) {
                Poll::Pending => Running::Request(request),
                Poll::Ready(result) => Running::Done(result),
            };
            self.under_way.push_back((running, size));
        }
    }
}

// Commands and requests are moved in and out, never pinned.
impl<R: Reply, I> Unpin for RunAll<'_, R, I> {}

impl<R: Reply, I: Iterator<Item = Cmd<R>>> Stream for RunAll<'_, R, I> {
    type Item = Result<R>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<R>>> {
        let this = self.get_mut();
        this.fill(cx);
        if let Some((Running::Request(request), _)) = this.under_way.front_mut() {
            let result = ready!(Pin::new(request).poll(cx));
            if let Some((running, _)) = this.under_way.front_mut() {
                *running = Running::Done(result);
            }
        }
        Poll::Ready(this.under_way.pop_front().map(|(running, size)| {
            this.wave.handle_taken(size);
            match running {
                Running::Done(result) => result,
                Running::Request(_) => unreachable!("it was done just now"),
            }
        }))
    }
}

impl<R: Reply, I> fmt::Debug for RunAll<'_, R, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunAll").field("wave", &self.wave).finish_non_exhaustive()
    }
}
