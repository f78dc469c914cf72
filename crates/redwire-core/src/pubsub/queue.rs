//! What waits for one subscriber: items in order, within limits, and at each place what is missing there.
//!
//! Promises that what is dropped is counted at the place where it was, and that memory is bounded, however
//! often the connection is lost while the subscriber does not listen: what happened between two messages is
//! told once. This file must not know connections.

use std::collections::VecDeque;
use std::time::Instant;

use super::event::SubscriptionEvent;
use super::options::{Overflow, SubscribeOptions};

#[derive(Debug)]
pub(super) struct SubscriberQueue {
    queue: VecDeque<QueuedEvent>,
    /// What happened after the last entry.
    after: Notice,
    /// Of all entries.
    bytes: usize,
    options: SubscribeOptions,
    /// Whether the connection must not be read, for this subscriber's sake.
    holds: bool,
}

#[derive(Debug)]
struct QueuedEvent {
    /// What happened before it, where anything did.
    before: Option<Box<Notice>>,
    event: SubscriptionEvent,
    size: usize,
}

/// All that happened between two messages.
#[derive(Debug, Default)]
struct Notice {
    lagged: u64,
    reconnected: bool,
    gap: Option<(Instant, Instant)>,
}

impl SubscriberQueue {
    pub(super) fn new(options: SubscribeOptions) -> Self {
        Self { queue: VecDeque::new(), after: Notice::default(), bytes: 0, options, holds: false }
    }

    pub(super) fn tells_confirmations(&self) -> bool {
        self.options.confirmations
    }

    /// Whether the connection must not be read until this subscriber has taken half of what waits.
    pub(super) fn holds(&self) -> bool {
        self.holds
    }

    /// Adds an item that takes `size` bytes.
    #[inline]
    pub(super) fn push(&mut self, event: SubscriptionEvent, size: usize) {
        match self.options.overflow {
            Overflow::Wait => {}
            Overflow::DropOldest => {
                while !self.has_room(size) {
                    self.drop_oldest();
                }
            }
            Overflow::DropNewest if self.has_room(size) => {}
            Overflow::DropNewest => {
                self.after.lagged += 1;
                return;
            }
        }
        let before = (!self.after.is_empty()).then(|| Box::new(std::mem::take(&mut self.after)));
        self.queue.push_back(QueuedEvent { before, event, size });
        self.bytes += size;
        self.holds |= self.options.overflow == Overflow::Wait && self.is_full();
    }

    #[inline]
    fn has_room(&self, size: usize) -> bool {
        self.queue.is_empty()
            || (self.queue.len() < self.options.messages && self.bytes + size <= self.options.bytes)
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.queue.len() >= self.options.messages || self.bytes >= self.options.bytes
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.queue.pop_front() else { return };
        self.bytes -= oldest.size;
        let mut notice = oldest.before.unwrap_or_default();
        notice.lagged += 1;
        match self.queue.front_mut() {
            Some(next) => {
                notice.merge(next.before.as_deref());
                next.before = Some(notice);
            }
            None => {
                notice.merge(Some(&self.after));
                self.after = *notice;
            }
        }
    }

    /// The connection was lost and is up again.
    pub(super) fn handle_reconnected(&mut self) {
        self.after.reconnected = true;
    }

    /// Messages that were published in this time may be missing here.
    pub(super) fn handle_gap(&mut self, from: Instant, to: Instant) {
        self.after.merge(Some(&Notice { gap: Some((from, to)), ..Notice::default() }));
    }

    /// The next item, if there is one.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<SubscriptionEvent> {
        let Some(front) = self.queue.front_mut() else { return self.after.take() };
        if let Some(before) = &mut front.before {
            if let Some(event) = before.take() {
                return Some(event);
            }
            front.before = None;
        }
        let QueuedEvent { event, size, .. } = self.queue.pop_front()?;
        self.bytes -= size;
        // Not before half is free, so that the connection does not stop and go for every message.
        if self.holds && self.queue.len() <= self.options.messages / 2 && self.bytes <= self.options.bytes / 2
        {
            self.holds = false;
        }
        Some(event)
    }

    /// Whether an item is there.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.after.is_empty()
    }
}

impl Notice {
    fn is_empty(&self) -> bool {
        self.lagged == 0 && !self.reconnected && self.gap.is_none()
    }

    /// Adds what happened later, with no message between.
    fn merge(&mut self, later: Option<&Self>) {
        let Some(later) = later else { return };
        self.lagged += later.lagged;
        self.reconnected |= later.reconnected;
        self.gap = match (self.gap, later.gap) {
            (Some((from, to)), Some((later_from, later_to))) => {
                Some((from.min(later_from), to.max(later_to)))
            }
            (gap, later) => gap.or(later),
        };
    }

    /// The next item of what happened.
    fn take(&mut self) -> Option<SubscriptionEvent> {
        if self.lagged > 0 {
            return Some(SubscriptionEvent::Lagged(std::mem::take(&mut self.lagged)));
        }
        if std::mem::take(&mut self.reconnected) {
            return Some(SubscriptionEvent::Reconnected);
        }
        self.gap.take().map(|(from, to)| SubscriptionEvent::Gap { from, to })
    }
}

#[cfg(test)]
mod tests;
