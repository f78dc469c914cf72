//! What a subscriber hears. This file must not know how it came here.

use std::borrow::Cow;
use std::time::Instant;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::reply::{Reader, Reply, decode_error};

/// What subscribers name: the three kinds of names are apart, and a name of one says nothing to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ChannelKind {
    /// A channel: `SUBSCRIBE`, `PUBLISH`.
    Channel,
    /// A glob pattern of channels: `PSUBSCRIBE`, `PUBLISH`.
    Pattern,
    /// A shard channel: `SSUBSCRIBE`, `SPUBLISH` (Redis 7.0).
    Shard,
}

impl ChannelKind {
    pub(super) const ALL: [Self; 3] = [Self::Channel, Self::Pattern, Self::Shard];
}

/// What a subscription gives, in the order in which it happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SubscriptionEvent {
    /// A message was published.
    Message(Message),
    /// So many messages (and confirmations, where they are asked for) were dropped here, since the buffer was
    /// full.
    Lagged(u64),
    /// Messages that were published in this time may be missing here, since there was no connection, or the
    /// server did not count us among its subscribers, as while the slot of a shard channel moves. All that
    /// was published before `from` came before, by this machine's clock and less the time that bytes travel.
    ///
    /// That holds for a connection that died unseen, for a subscriber that reads late, and for one that the
    /// server drops at its output buffer limit, too: `from` is the last time at which nothing more was to be
    /// read, and after which something came, be it the answer to a sign of life (`health_check_interval`). It
    /// may be long before the messages that were read last.
    ///
    /// In a cluster, where nodes tell each other of messages, one of that time may come a second time: the
    /// new connection may lead to another node, which has heard of it later.
    Gap {
        /// Up to when all is known to have come.
        from: Instant,
        /// When the server had confirmed the names again.
        to: Instant,
    },
    /// The connection was lost and is up again. A [`Gap`](Self::Gap) follows, before the next message.
    Reconnected,
    /// The server confirmed a name, for the first time or again. Only where
    /// [asked for](super::SubscribeOptions::confirmations).
    Subscribed(Bytes),
    /// No message of this name comes any more: it was removed, or the server gave it up, in which case it is
    /// asked for again. Only where [asked for](super::SubscribeOptions::confirmations).
    Unsubscribed(Bytes),
    /// The subscription has ended for good, as with a password that is wrong by now, or a channel that is not
    /// allowed any more. Nothing follows.
    Failed(Error),
}

/// A message that was published. Names and payload are whatever bytes the publisher chose.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// By which kind of subscription it came.
    pub kind: ChannelKind,
    /// Where it was published.
    pub channel: Bytes,
    /// The pattern that was subscribed to, for [`ChannelKind::Pattern`].
    pub pattern: Option<Bytes>,
    /// What was published.
    pub payload: Bytes,
}

impl Message {
    /// A message that came by no pattern, for the tests of a program; set its field `pattern` for one that
    /// did.
    #[must_use]
    pub fn new(kind: ChannelKind, channel: impl Into<Bytes>, payload: impl Into<Bytes>) -> Self {
        Self { kind, channel: channel.into(), pattern: None, payload: payload.into() }
    }

    /// The channel as text; what is no UTF-8 in it is replaced by `�`.
    #[must_use]
    pub fn channel_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.channel)
    }

    /// The payload as text.
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode): it is no UTF-8.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.payload)
            .map_err(|error| decode_error(&format!("expected a text, got other bytes: {error}")))
    }

    /// The payload as any type that a reply's text can be read as: a number, a `String`, a struct of your
    /// own.
    ///
    /// ```
    /// # use redwire_core::pubsub::{ChannelKind, Message};
    /// # let message = Message::new(ChannelKind::Channel, "n", "17");
    /// let number: u64 = message.payload_as()?;
    /// # assert_eq!(number, 17);
    /// # Ok::<(), redwire_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode): it is no `R`.
    pub fn payload_as<R: Reply>(&self) -> Result<R> {
        let mut frame = Vec::with_capacity(self.payload.len() + 16);
        redwire_resp::write_bulk(&mut frame, &self.payload);
        Reader::read(&frame)
    }
}
