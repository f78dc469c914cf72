//! Subscriptions of either driver. Nothing here checks anything, but that what must come comes.

use std::time::{Duration, Instant};

use redwire::Result;
use redwire::config::{Config, ConfigBuilder};
use redwire::pubsub::{Message, SubscribeOptions, SubscriptionEvent};

use super::{Client, Driver, LIMIT, Setup, runtime};

/// One connection for subscriptions, of either driver.
#[derive(Clone, Debug)]
pub(crate) enum PubSub {
    Tokio(redwire::PubSub),
    Blocking(redwire::blocking::PubSub),
}

impl Setup {
    /// One that is connected.
    #[track_caller]
    pub(crate) fn pubsub(self, url: &str, options: &str) -> PubSub {
        let url = self.url(url, options);
        let connected = match self.driver {
            Driver::Tokio => runtime().block_on(redwire::PubSub::connect(&url)).map(PubSub::Tokio),
            Driver::Blocking => redwire::blocking::PubSub::connect(&url).map(PubSub::Blocking),
        };
        connected.unwrap_or_else(|error| panic!("{self:?} to {url}: {error}"))
    }

    /// One that connects for its first subscription.
    pub(crate) fn lazy_pubsub(self, url: &str, options: &str) -> Result<PubSub> {
        let url = self.url(url, options);
        match self.driver {
            Driver::Tokio => redwire::PubSub::connect_lazy(&url).map(PubSub::Tokio),
            Driver::Blocking => redwire::blocking::PubSub::connect_lazy(&url).map(PubSub::Blocking),
        }
    }

    /// As [`lazy_pubsub`](Self::lazy_pubsub), with options that no URL can have.
    pub(crate) fn pubsub_of(self, options: ConfigBuilder) -> Result<PubSub> {
        let config: Config = options.protocol(self.protocol()).build()?;
        match self.driver {
            Driver::Tokio => redwire::PubSub::lazy(config).map(PubSub::Tokio),
            Driver::Blocking => redwire::blocking::PubSub::lazy(config).map(PubSub::Blocking),
        }
    }
}

/// Which kind of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Channels,
    Patterns,
    Shards,
}

impl PubSub {
    /// The one inside `client`.
    pub(crate) fn of(client: &Client) -> Self {
        match client {
            Client::Tokio(client) => Self::Tokio(client.pubsub()),
            Client::Blocking(client) => Self::Blocking(client.pubsub()),
        }
    }

    pub(crate) fn try_subscribe<N: AsRef<[u8]>>(
        &self,
        way: Way,
        names: &[N],
        options: SubscribeOptions,
    ) -> Result<Subscription> {
        let names: Vec<&[u8]> = names.iter().map(AsRef::as_ref).collect();
        match self {
            Self::Tokio(pubsub) => runtime()
                .block_on(async {
                    match way {
                        Way::Channels => pubsub.subscribe_with(names, options).await,
                        Way::Patterns => pubsub.psubscribe_with(names, options).await,
                        Way::Shards => pubsub.ssubscribe_with(names, options).await,
                    }
                })
                .map(Subscription::Tokio),
            Self::Blocking(pubsub) => match way {
                Way::Channels => pubsub.subscribe_with(names, options),
                Way::Patterns => pubsub.psubscribe_with(names, options),
                Way::Shards => pubsub.ssubscribe_with(names, options),
            }
            .map(Subscription::Blocking),
        }
    }

    /// Subscribes to channels, which must succeed.
    #[track_caller]
    pub(crate) fn subscribe<N: AsRef<[u8]>>(&self, names: &[N]) -> Subscription {
        self.subscribe_with(names, SubscribeOptions::default())
    }

    #[track_caller]
    pub(crate) fn subscribe_with<N: AsRef<[u8]>>(
        &self,
        names: &[N],
        options: SubscribeOptions,
    ) -> Subscription {
        let subscribed = self.try_subscribe(Way::Channels, names, options);
        subscribed.unwrap_or_else(|error| panic!("subscribing: {error}"))
    }

    pub(crate) fn close(&self) {
        match self {
            Self::Tokio(pubsub) => pubsub.close(),
            Self::Blocking(pubsub) => pubsub.close(),
        }
    }
}

/// A subscription of either driver.
#[derive(Debug)]
pub(crate) enum Subscription {
    Tokio(redwire::Subscription),
    Blocking(redwire::blocking::Subscription),
}

impl Subscription {
    /// The next item, or the end, which must come soon.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<SubscriptionEvent> {
        match self {
            Self::Tokio(subscription) => {
                let next = async { tokio::time::timeout(LIMIT, subscription.next()).await };
                runtime().block_on(next).expect("nothing comes")
            }
            Self::Blocking(subscription) => {
                let begin = Instant::now();
                let item = subscription.next_within(LIMIT);
                assert!(item.is_some() || begin.elapsed() < LIMIT, "nothing comes");
                item
            }
        }
    }

    /// The next item, if it comes within `limit`.
    pub(crate) fn next_within(&mut self, limit: Duration) -> Option<SubscriptionEvent> {
        match self {
            Self::Tokio(subscription) => runtime().block_on(subscription.next_within(limit)),
            Self::Blocking(subscription) => subscription.next_within(limit),
        }
    }

    /// The next item must be a message.
    #[track_caller]
    pub(crate) fn message(&mut self) -> Message {
        match self.next() {
            Some(SubscriptionEvent::Message(message)) => message,
            other => panic!("expected a message; got {other:?}"),
        }
    }

    /// The payload of the next item, which must be a message, as text.
    #[track_caller]
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.message().payload).into_owned()
    }

    pub(crate) fn add<N: AsRef<[u8]>>(&mut self, names: &[N]) -> Result<()> {
        let names: Vec<&[u8]> = names.iter().map(AsRef::as_ref).collect();
        match self {
            Self::Tokio(subscription) => runtime().block_on(subscription.add(names)),
            Self::Blocking(subscription) => subscription.add(names),
        }
    }

    pub(crate) fn remove<N: AsRef<[u8]>>(&mut self, names: &[N]) {
        let names: Vec<&[u8]> = names.iter().map(AsRef::as_ref).collect();
        match self {
            Self::Tokio(subscription) => subscription.remove(names),
            Self::Blocking(subscription) => subscription.remove(names),
        }
    }

    pub(crate) fn listen(self, handler: impl FnMut(SubscriptionEvent) + Send + 'static) -> Handler {
        match self {
            Self::Tokio(subscription) => {
                let _inside = runtime().enter();
                Handler::Tokio(subscription.each(handler).expect("a runtime is around"))
            }
            Self::Blocking(subscription) => {
                Handler::Blocking(subscription.each(handler).expect("a thread can be started"))
            }
        }
    }
}

/// A handler of either driver.
#[derive(Debug)]
pub(crate) enum Handler {
    Tokio(redwire::Handler),
    Blocking(redwire::blocking::Handler),
}

impl Client {
    /// Closes it and its subscriptions.
    pub(crate) fn close_within(&self, limit: Duration) {
        match self {
            Self::Tokio(client) => runtime().block_on(client.close(limit)),
            Self::Blocking(client) => client.close(limit),
        }
    }
}
