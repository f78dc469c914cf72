//! The subscribers: what each wants, what waits for it, and which of them are woken. This file must not know
//! what the server was told.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;

use super::event::{ChannelKind, SubscriptionEvent};
use super::options::SubscribeOptions;
use super::queue::SubscriberQueue;
use crate::error::Error;

#[derive(Debug)]
pub(super) struct Subscribers<W> {
    list: Vec<Option<Box<Subscriber<W>>>>,
    free: Vec<u32>,
    pub(super) woken: Vec<W>,
    /// How many want that nothing is read.
    holding: usize,
    /// Whether reading was held up, and is not any more.
    resumed: bool,
}

#[derive(Debug)]
pub(super) struct Subscriber<W> {
    pub(super) kind: ChannelKind,
    pub(super) names: BTreeSet<Bytes>,
    /// How many of them the server has not confirmed on this connection.
    pub(super) missing: usize,
    /// The names that were asked for last, until all are confirmed.
    pub(super) pending: Option<BTreeSet<Bytes>>,
    /// Why they were not.
    pub(super) refused: Option<Error>,
    pub(super) queue: SubscriberQueue,
    pub(super) open_gap: Option<OpenGap>,
    pub(super) end: SubscriptionEnd,
    pub(super) waiter: Option<W>,
}

/// A time in which messages may have been missed, and which has not ended yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenGap {
    pub(super) from: Instant,
    /// Whether it was told already, since a message came before the last of the names was confirmed.
    pub(super) told: bool,
}

#[derive(Debug)]
pub(super) enum SubscriptionEnd {
    Open,
    Failed(Error),
    Ended,
}

impl<W> Subscribers<W> {
    pub(super) fn new() -> Self {
        Self { list: Vec::new(), free: Vec::new(), woken: Vec::new(), holding: 0, resumed: false }
    }

    pub(super) fn add(&mut self, kind: ChannelKind, options: SubscribeOptions) -> u32 {
        let subscriber = Box::new(Subscriber {
            kind,
            names: BTreeSet::new(),
            missing: 0,
            pending: None,
            refused: None,
            queue: SubscriberQueue::new(options),
            open_gap: None,
            end: SubscriptionEnd::Open,
            waiter: None,
        });
        let id = self.free.pop().unwrap_or_else(|| {
            self.list.push(None);
            // Each takes memory of its own, long before there are 2^32.
            self.list.len() as u32 - 1
        });
        self.list[id as usize] = Some(subscriber);
        id
    }

    pub(super) fn remove(&mut self, id: u32) {
        if let Some(subscriber) = self.list[id as usize].take() {
            self.free.push(id);
            self.handle_held(subscriber.queue.holds(), false);
        }
    }

    #[inline]
    pub(super) fn get(&mut self, id: u32) -> Option<&mut Subscriber<W>> {
        self.list[id as usize].as_deref_mut()
    }

    pub(super) fn ids(&self) -> std::ops::Range<u32> {
        0..self.list.len() as u32
    }

    /// Whether a subscriber that wants no message dropped has no room.
    #[inline]
    pub(super) fn holds(&self) -> bool {
        self.holding > 0
    }

    /// Whether reading has begun again since this was last asked.
    pub(super) fn poll_resumed(&mut self) -> bool {
        std::mem::take(&mut self.resumed)
    }

    /// Adds something of `size` bytes to what waits for a subscriber. What comes while a gap is open may
    /// come after what was missed: so that is told first, and lasts until `now` at least.
    #[inline]
    pub(super) fn tell(&mut self, id: u32, event: SubscriptionEvent, size: usize, now: Option<Instant>) {
        let Some(subscriber) = self.list[id as usize].as_deref_mut() else { return };
        if let (Some(open_gap), Some(now)) = (&mut subscriber.open_gap, now)
            && !open_gap.told
        {
            open_gap.told = true;
            subscriber.queue.handle_gap(open_gap.from, now);
        }
        let held = subscriber.queue.holds();
        subscriber.queue.push(event, size);
        let holds = subscriber.queue.holds();
        self.woken.extend(subscriber.waiter.take());
        self.handle_held(held, holds);
    }

    /// A confirmation, where the subscriber wants to be told.
    pub(super) fn confirm(&mut self, id: u32, name: &Bytes, confirmation: fn(Bytes) -> SubscriptionEvent) {
        if self.get(id).is_some_and(|subscriber| subscriber.queue.tells_confirmations()) {
            self.tell(id, confirmation(name.clone()), name.len(), None);
        }
    }

    /// Takes the next item that waits for a subscriber.
    #[inline]
    pub(super) fn take(&mut self, id: u32) -> Option<SubscriptionEvent> {
        let queue = &mut self.get(id)?.queue;
        let held = queue.holds();
        let event = queue.pop();
        let holds = queue.holds();
        self.handle_held(held, holds);
        event
    }

    /// Whether there is no subscriber, and nothing of former ones.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.list.len() && !self.holds()
    }

    pub(super) fn wake(&mut self, id: u32) {
        let waiter = self.get(id).and_then(|subscriber| subscriber.waiter.take());
        self.woken.extend(waiter);
    }

    /// A subscriber that waits.
    pub(super) fn successor(&mut self) -> Option<W> {
        self.list.iter_mut().flatten().find_map(|subscriber| subscriber.waiter.take())
    }

    /// A subscriber's wish that nothing is read has changed from `before` to `after`.
    #[inline]
    fn handle_held(&mut self, before: bool, after: bool) {
        match (before, after) {
            (false, true) => self.holding += 1,
            (true, false) => {
                self.holding -= 1;
                self.resumed |= self.holding == 0;
            }
            _ => {}
        }
    }
}

impl<W> Subscriber<W> {
    /// From now on messages may be missing, and have been since `from`.
    pub(super) fn open_hole(&mut self, from: Instant) {
        let from = self.open_gap.map_or(from, |open_gap| open_gap.from.min(from));
        self.open_gap = Some(OpenGap { from, told: false });
    }
}
