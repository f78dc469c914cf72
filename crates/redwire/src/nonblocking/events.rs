//! The events of a client, for a task that waits for them.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::shared::events::{Event, Mailbox};

/// What happens to the connections of a client, as a stream that ends with the client.
///
/// ```no_run
/// # async fn example(client: redwire::Client) {
/// let mut events = client.events();
/// tokio::spawn(async move {
///     while let Some(event) = events.next().await {
///         eprintln!("{}: {:?}", event.address, event.kind);
///     }
/// });
/// # }
/// ```
#[derive(Debug)]
pub struct Events {
    mailbox: Arc<Mailbox>,
}

impl Events {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox }
    }

    /// The next event; `None` when the client is gone. Loses nothing when dropped.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.mailbox.poll_next(cx.waker())).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.mailbox.poll_next(cx.waker())
    }
}
