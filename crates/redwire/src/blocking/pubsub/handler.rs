//! A subscription that a thread listens to, which calls the user's code for each event. It must not know how
//! items come.

use std::sync::Arc;
use std::time::Duration;

use redwire_core::Result;
use redwire_core::pubsub::SubscriptionEvent;

use super::Subscription;
use crate::shared::sync::atomic::{AtomicBool, Ordering};
use crate::shared::threads::{self, JoinHandle};

/// A thread that calls a handler for each item of a [`Subscription`].
///
/// Dropping it ends that: the handler is not called again, though a call that is under way goes on to its
/// end. The thread notices and unsubscribes within half a second.
///
/// ```no_run
/// # let pubsub = redwire::blocking::PubSub::connect("redis://localhost")?;
/// let handler = pubsub.subscribe("hints")?.each(|item| println!("{item:?}"))?;
/// # drop(handler);
/// # Ok::<(), redwire::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a handler that is dropped is called no more"]
pub struct Handler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A thread that waits in the kernel is not woken by another thread here, so it looks from time to time
/// whether it is to stop.
const LOOK: Duration = Duration::from_millis(500);

impl Handler {
    pub(super) fn start(
        mut subscription: Subscription,
        mut handler: impl FnMut(SubscriptionEvent) + Send + 'static,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let listen = move || {
            while !stopped.load(Ordering::Relaxed) {
                match subscription.poll(threads::now().checked_add(LOOK)) {
                    Some(Some(item)) if !stopped.load(Ordering::Relaxed) => handler(item),
                    Some(Some(_)) | None => {}
                    Some(None) => break,
                }
            }
        };
        let thread = threads::spawn("redwire-handler", listen)?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Whether the subscription has ended, so that the handler is called no more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the subscription ends.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            // A handler that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
