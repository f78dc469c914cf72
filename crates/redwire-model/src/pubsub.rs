//! Who hears what is published.
//!
//! This file must not know how commands name it.

use std::collections::BTreeMap;

use crate::glob;
use crate::model::Model;
use crate::reply::Reply;

/// Subscribers by channel or pattern, the earliest first.
type Subscribers = BTreeMap<Vec<u8>, Vec<u64>>;

/// All subscriptions.
#[derive(Clone, Debug, Default)]
pub(crate) struct PubSub {
    pub(crate) channels: Subscribers,
    pub(crate) patterns: Subscribers,
    pub(crate) shard_channels: Subscribers,
}

/// What is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Channel,
    Pattern,
    Shard,
}

impl Kind {
    /// The word in front of `subscribe` and `message`.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Channel => "",
            Self::Pattern => "p",
            Self::Shard => "s",
        }
    }
}

impl PubSub {
    pub(crate) fn of(&mut self, kind: Kind) -> &mut Subscribers {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard_channels,
        }
    }

    pub(crate) fn add(&mut self, kind: Kind, name: &[u8], id: u64) {
        let ids = self.of(kind).entry(name.to_vec()).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }

    pub(crate) fn remove(&mut self, kind: Kind, name: &[u8], id: u64) {
        let subscribers = self.of(kind);
        if let Some(ids) = subscribers.get_mut(name) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                subscribers.remove(name);
            }
        }
    }
}

impl Model {
    /// Ends all subscriptions of a client.
    pub(crate) fn unsubscribe(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            for name in std::mem::take(client.subscribed(kind)) {
                self.pubsub.remove(kind, &name, id);
            }
        }
    }

    /// Publishes a message, and says how many heard it.
    pub(crate) fn publish(&mut self, channel: &[u8], message: &[u8], kind: Kind) -> usize {
        self.replicate_message(kind, channel, message);
        let direct = self.pubsub.of(kind).get(channel).cloned().unwrap_or_default();
        let mut heard = direct.len();
        let word = format!("{}message", kind.prefix());
        for id in direct {
            self.push(
                id,
                Reply::Push(vec![Reply::bulk(word.as_str()), Reply::bulk(channel), Reply::bulk(message)]),
            );
        }
        if kind == Kind::Shard {
            return heard;
        }
        let matching: Vec<(Vec<u8>, Vec<u64>)> = self
            .pubsub
            .patterns
            .iter()
            .filter(|(pattern, _)| glob::matches(pattern, channel))
            .map(|(pattern, ids)| (pattern.clone(), ids.clone()))
            .collect();
        for (pattern, ids) in matching {
            heard += ids.len();
            for id in ids {
                let parts = [&b"pmessage"[..], &pattern, channel, message];
                self.push(id, Reply::Push(parts.into_iter().map(Reply::bulk).collect()));
            }
        }
        heard
    }
}
