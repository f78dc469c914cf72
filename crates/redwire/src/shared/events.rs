//! What happens to a client's connections, told to all that listen. No caller is ever held up by a slow
//! listener: one that does not keep up is told how much it missed. This file must not know connections.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
#[cfg(feature = "tokio")]
use std::task::Poll;
use std::task::Waker;
use std::time::Instant;

use redwire_core::Error;
use redwire_core::handshake::Session;

use crate::shared::sync::{Condvar, Mutex, MutexGuard};
use crate::shared::threads;

/// Something happened to a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// To a connection with this address: `host:port`, or the path of a socket.
    pub address: Arc<str>,
}

/// What can happen to a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// An attempt to connect begins.
    Connecting,
    /// Connected: the handshake is done. Callbacks on connecting come after this.
    Ready(Session),
    /// The attempt to connect failed.
    Failed(Error),
    /// The connection was lost: the peer closed it, it broke, or its peer was found dead.
    Lost(Error),
    /// New credentials could not be had, or the server refused them, on a connection that lives: it goes on
    /// as the former user.
    Refused(Error),
    /// No server announces changes to a client-side cache any longer, or the server refuses to: it is empty,
    /// and keeps nothing until that has changed.
    Untracked(Error),
    /// The connection was closed by this side, on purpose.
    Closed,
    /// So many events before this one were dropped: at most 256 wait for a listener.
    Missed(u64),
}

/// So many events wait for a listener at most.
const KEPT: usize = 256;

/// Where events are told.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    listeners: Mutex<Vec<Weak<Mailbox>>>,
}

/// The events that wait for one listener.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    waiting: Mutex<WaitingEvents>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct WaitingEvents {
    events: VecDeque<Event>,
    missed: u64,
    waker: Option<Waker>,
    /// Whether nothing will come any more.
    ended: bool,
}

impl Hub {
    /// Everything that happens from now on.
    pub(crate) fn listen(&self) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::default());
        let mut listeners = self.listeners.lock();
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&mailbox));
        mailbox
    }

    pub(crate) fn tell(&self, kind: EventKind, address: &Arc<str>) {
        #[cfg(feature = "tracing")]
        trace(&kind, address);
        for mailbox in self.mailboxes() {
            mailbox.put(Event { kind: kind.clone(), address: Arc::clone(address) });
        }
    }

    fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        let listeners = self.listeners.lock();
        listeners.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.mailboxes().iter().for_each(|mailbox| mailbox.end());
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, WaitingEvents> {
        self.waiting.lock()
    }

    fn put(&self, event: Event) {
        let mut waiting = self.lock();
        if waiting.events.len() == KEPT {
            waiting.events.pop_front();
            waiting.missed += 1;
        }
        waiting.events.push_back(event);
        self.wake(waiting);
    }

    fn end(&self) {
        let mut waiting = self.lock();
        waiting.ended = true;
        self.wake(waiting);
    }

    fn wake(&self, mut waiting: MutexGuard<'_, WaitingEvents>) {
        let waker = waiting.waker.take();
        drop(waiting);
        self.arrived.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next event; `None` once there will be no more.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_next(&self, waker: &Waker) -> Poll<Option<Event>> {
        let mut waiting = self.lock();
        match waiting.take() {
            Some(event) => Poll::Ready(Some(event)),
            None if waiting.ended => Poll::Ready(None),
            None => {
                waiting.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Waits for the next event, until `deadline` where there is one; `None` when it passed, or there will be
    /// no more.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Option<Event> {
        let mut waiting = self.lock();
        loop {
            if let Some(event) = waiting.take() {
                return Some(event);
            }
            if waiting.ended || threads::is_over(deadline) {
                return None;
            }
            waiting = self.arrived.wait_until(waiting, deadline);
        }
    }
}

impl WaitingEvents {
    fn take(&mut self) -> Option<Event> {
        let next = self.events.front()?;
        if self.missed > 0 {
            let kind = EventKind::Missed(std::mem::take(&mut self.missed));
            return Some(Event { kind, address: Arc::clone(&next.address) });
        }
        self.events.pop_front()
    }
}

#[cfg(feature = "tracing")]
fn trace(kind: &EventKind, address: &str) {
    match kind {
        EventKind::Connecting => tracing::debug!(target: "redwire", address, "connecting"),
        EventKind::Ready(session) => {
            tracing::info!(target: "redwire", address, id = session.id, version = session.version, "ready");
        }
        EventKind::Failed(error) => tracing::warn!(target: "redwire", address, %error, "connecting failed"),
        EventKind::Lost(error) => tracing::warn!(target: "redwire", address, %error, "lost"),
        EventKind::Refused(error) => {
            tracing::error!(target: "redwire", address, %error, "new credentials refused");
        }
        EventKind::Untracked(error) => tracing::warn!(target: "redwire", address, %error, "cache emptied"),
        EventKind::Closed => tracing::debug!(target: "redwire", address, "closed"),
        EventKind::Missed(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(hub: &Hub, kind: EventKind) {
        hub.tell(kind, &Arc::from("h:1"));
    }

    #[test]
    fn a_listener_that_sleeps_is_told_what_it_missed() {
        let hub = Hub::default();
        let mailbox = hub.listen();
        (0..KEPT + 3).for_each(|_| told(&hub, EventKind::Connecting));
        told(&hub, EventKind::Closed);
        assert!(matches!(mailbox.wait(None).unwrap().kind, EventKind::Missed(4)));
        let rest: Vec<_> = std::iter::from_fn(|| mailbox.wait(Some(Instant::now()))).collect();
        assert_eq!(rest.len(), KEPT);
        assert!(matches!(rest[KEPT - 1].kind, EventKind::Closed));
    }

    #[test]
    fn a_task_that_waits_is_woken_by_an_event_and_by_the_end() {
        let hub = Hub::default();
        let mailbox = hub.listen();
        std::thread::scope(|scope| {
            let listener = scope.spawn(|| (mailbox.wait(None).is_some(), mailbox.wait(None).is_none()));
            told(&hub, EventKind::Connecting);
            drop(hub);
            assert_eq!(listener.join().unwrap(), (true, true));
        });
    }

    #[test]
    fn a_listener_that_left_is_forgotten() {
        let hub = Hub::default();
        drop(hub.listen());
        let second = hub.listen();
        assert_eq!(hub.listeners.lock().len(), 1);
        told(&hub, EventKind::Closed);
        assert!(second.wait(None).is_some());
    }
}
