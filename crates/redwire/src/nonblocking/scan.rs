//! The SCAN family as a stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use redwire_core::{Cmd, Reply, Result};

use super::client::{Client, Request};
use crate::scanning::{Fetched, Page, Scanning};

/// The items of a collection, fetched a page at a time; made by [`Client::scan`] and its kin.
///
/// A `Stream`; [`next`](Self::next) serves where no stream library is at hand. Every item that is there from beginning to end is given at
/// least once; one may come twice. After an error the next call asks for the same page again.
#[derive(Debug)]
#[must_use = "a stream does nothing until it is polled"]
pub struct Scan<'c, T: Reply> {
    client: &'c Client,
    scanning: Scanning<T>,
    fetching: Option<Request<'c, Cmd<Fetched<T>>>>,
}

impl<'c, T: Reply> Scan<'c, T> {
    pub(crate) fn new(client: &'c Client, scanning: Scanning<T>) -> Self {
        Self { client, scanning, fetching: None }
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
}

// Items are moved in and out, never pinned.
impl<T: Reply> Unpin for Scan<'_, T> {}

impl<T: Reply> Stream for Scan<'_, T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = self.get_mut();
        loop {
            if let Some(fetching) = &mut this.fetching {
                let fetched = ready!(Pin::new(fetching).poll(cx));
                this.fetching = None;
                match fetched {
                    Ok(page) => this.scanning.handle_page(page),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
            match this.scanning.poll_item() {
                Page::Item(item) => return Poll::Ready(Some(Ok(item))),
                Page::Done => return Poll::Ready(None),
                Page::Fetch(cmd) => this.fetching = Some(this.client.execute(cmd)),
            }
        }
    }
}
