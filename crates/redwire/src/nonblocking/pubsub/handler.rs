//! A subscription that a task listens to, which calls the user's code for each event. It must not know how
//! items come.

use redwire_core::Result;
use redwire_core::pubsub::SubscriptionEvent;
use tokio::task::JoinHandle;

use super::Subscription;
use crate::shared::clock::runtime;

/// A task that calls a handler for each item of a [`Subscription`].
///
/// Dropping it ends that and unsubscribes, though a call that is under way goes on to its end. The handler
/// runs on the task's worker: what takes long belongs elsewhere.
///
/// ```no_run
/// # async fn example(client: redwire::Client) -> redwire::Result<()> {
/// let handler = client.subscribe("hints").await?.each(|item| println!("{item:?}"))?;
/// # drop(handler);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a handler that is dropped is called no more"]
pub struct Handler(JoinHandle<()>);

impl Handler {
    pub(super) fn start(
        mut subscription: Subscription,
        mut handler: impl FnMut(SubscriptionEvent) + Send + 'static,
    ) -> Result<Self> {
        Ok(Self(runtime()?.spawn(async move {
            while let Some(item) = subscription.next().await {
                handler(item);
            }
        })))
    }

    /// Whether the subscription has ended, so that the handler is called no more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits until the subscription ends.
    pub async fn wait(mut self) {
        // A handler that panicked has said so already.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.0.abort();
    }
}
