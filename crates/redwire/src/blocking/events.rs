//! The events of a client, for a thread that waits for them.

use std::sync::Arc;
use std::time::Duration;

use crate::shared::events::{Event, Mailbox};
use crate::shared::threads;

/// What happens to the connections of a client, as an iterator that waits for the next event and ends with
/// the client.
///
/// ```no_run
/// # let client = redwire::blocking::Client::connect("redis://localhost")?;
/// let events = client.events();
/// std::thread::spawn(move || {
///     for event in events {
///         eprintln!("{}: {:?}", event.address, event.kind);
///     }
/// });
/// # Ok::<(), redwire::Error>(())
/// ```
#[derive(Debug)]
pub struct Events {
    mailbox: Arc<Mailbox>,
}

impl Events {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox }
    }

    /// The next event, if one comes within `limit`.
    #[doc(alias = "get_message")]
    pub fn next_within(&mut self, limit: Duration) -> Option<Event> {
        self.mailbox.wait(threads::now().checked_add(limit))
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.mailbox.wait(None)
    }
}
