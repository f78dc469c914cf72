//! What a subscriber may choose: how much waits for it, and what happens when that is full.

/// What happens to what comes while a subscription's buffer is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// Nothing is dropped here: the connection is not read until half of the buffer is free again. The server
    /// then holds what it sends, until its own limit (`client-output-buffer-limit pubsub`) is reached and it
    /// drops the connection; a [`Gap`](super::SubscriptionEvent::Gap) tells of that. All subscriptions of the
    /// same connection wait, too; in a cluster those of all connections of the client.
    #[default]
    Wait,
    /// The oldest message that waits makes room; [`Lagged`](super::SubscriptionEvent::Lagged) stands in its
    /// place.
    DropOldest,
    /// What comes is dropped; [`Lagged`](super::SubscriptionEvent::Lagged) stands in its place.
    DropNewest,
}

/// How a subscription behaves.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::pubsub::{Overflow, SubscribeOptions};
///
/// let options = SubscribeOptions::new().buffer_messages(100).overflow(Overflow::DropOldest);
/// ```
#[derive(Clone, Debug)]
pub struct SubscribeOptions {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) overflow: Overflow,
    pub(super) confirmations: bool,
}

impl SubscribeOptions {
    /// 4096 messages and 16 MiB may wait, the connection waits when they do, and confirmations are not told.
    #[must_use]
    pub fn new() -> Self {
        Self { messages: 4096, bytes: 16 * 1024 * 1024, overflow: Overflow::default(), confirmations: false }
    }

    /// So many messages may wait for the subscriber: 4096. With few, a short pause of the subscriber is
    /// enough to hold up the connection or to lose messages; with many, they are old when they are heard, and
    /// take memory.
    ///
    /// At least 1. With [`Overflow::Wait`], what came with the same read (256 KiB at most) is kept beyond it.
    #[must_use]
    pub fn buffer_messages(mut self, messages: usize) -> Self {
        self.messages = messages.max(1);
        self
    }

    /// So many bytes of payloads and names may wait for the subscriber: 16 MiB. A message that is larger than
    /// that passes when nothing else waits.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// What happens when one of these limits is reached: [`Overflow::Wait`].
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Whether [`Subscribed`](super::SubscriptionEvent::Subscribed) and
    /// [`Unsubscribed`](super::SubscriptionEvent::Unsubscribed) are told: no.
    #[doc(alias = "ignore_subscribe_messages")]
    #[must_use]
    pub fn confirmations(mut self, told: bool) -> Self {
        self.confirmations = told;
        self
    }
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self::new()
    }
}
