//! Publish/subscribe for threads: one connection, any number of subscriptions, and no thread of its own.
//!
//! A thread that waits for an event reads for all; see [`process`]. In a cluster there are several
//! connections, each with a thread; see [`shard_channels`]. What the server is told, which subscriber hears
//! what and what is missing where is decided in `redwire-core`.

mod handler;
mod process;
mod shard_channels;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::config::Config;
use redwire_core::pubsub::{ChannelKind, SubscribeOptions, SubscriptionEvent, SubscriptionId};
use redwire_core::{Arg, Error, Result};

use super::client::Client;
use super::cluster::Nodes;
use crate::shared::owner::PerProcess;
use crate::shared::service::Follower;
use crate::shared::target::Target;
use crate::shared::threads;
pub use handler::Handler;
use process::PubSubProcess;

/// One connection that hears what is published, for any number of subscriptions.
///
/// Cheap to clone; clones share the connection. It is made for the first subscription at the latest, made
/// anew when it is lost, and closed when the last clone and the last subscription are dropped. A client has
/// one inside: [`Client::pubsub`].
///
/// There is no thread behind it: a thread that waits for an event reads for all subscriptions. While none
/// waits, nothing is read and nothing is reconnected; what comes then waits in the kernel and at the server,
/// up to the server's own limit (`client-output-buffer-limit pubsub`). Only connecting is done on a thread,
/// which ends with the attempt, so that a short wait is enough to have it done.
///
/// ```no_run
/// use redwire::pubsub::SubscriptionEvent;
/// use redwire::blocking::PubSub;
///
/// let pubsub = PubSub::connect("redis://localhost")?;
/// for item in pubsub.subscribe(["hints", "sport"])? {
///     match item {
///         SubscriptionEvent::Message(message) => {
///             println!("{}: {}", message.channel_text(), message.text()?);
///         }
///         SubscriptionEvent::Gap { from, to } => println!("messages of {:?} may be missing", to - from),
///         SubscriptionEvent::Failed(error) => return Err(error),
///         _ => {}
///     }
/// }
/// # Ok::<(), redwire::Error>(())
/// ```
///
/// # In a cluster
/// Channels and patterns are heard over one connection to any node: nodes pass on to each other what
/// `PUBLISH` sends to one of them. When that node dies, the connection is made anew to another. Shard
/// channels are heard from the nodes that serve their slots, one connection for each such node, and follow
/// their slots: when one moves, or a replica takes over, a [`Gap`](crate::pubsub::SubscriptionEvent::Gap)
/// stands where messages may be missing, and only for those whose channels it concerns. A slot that moves is
/// followed at once; a replica that takes over when the map has it, within `refresh_pause`. A subscription
/// may have channels of any slots; their messages are in order by channel. A slot that no node serves for now
/// is waited for until the `timeout`.
///
/// There each connection has a thread, and one more tells them the map: what comes is read even if no thread
/// waits, up to the limits of the subscriptions. They end when the last clone and the last subscription are
/// dropped.
///
/// # Credentials and forks
/// New credentials are presented by a thread that waits, in RESP3. In RESP2 a subscribed connection cannot;
/// there they are when it is made anew.
///
/// A child process that inherits it makes a connection of its own; subscriptions of the parent fail in the
/// child.
#[derive(Clone)]
pub struct PubSub(Arc<PubSubOwner>);

/// Ends the threads, where there are any, when no subscription needs them any more.
struct PubSubOwner(PerProcess<Arc<PubSubProcess>>);

impl PubSub {
    /// Connects to the server that `url` names; the grammar is told at
    /// [`ConfigBuilder::url`](crate::config::ConfigBuilder::url).
    ///
    /// # Errors
    /// A bad URL, a connection that cannot be made within the connect timeout, or a step of the handshake
    /// that failed.
    pub fn connect(url: &str) -> Result<Self> {
        Self::open(Config::from_url(url)?)
    }

    /// Connects as `config` says.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn open(config: Config) -> Result<Self> {
        let pubsub = Self::lazy(config)?;
        pubsub.process().open()?;
        Ok(pubsub)
    }

    /// One that connects for its first subscription.
    ///
    /// # Errors
    /// A bad URL, or options that this version has no part for.
    #[doc(alias = "create_reconnecting_redis")]
    pub fn connect_lazy(url: &str) -> Result<Self> {
        Self::lazy(Config::from_url(url)?)
    }

    /// As [`connect_lazy`](Self::connect_lazy), with a configuration.
    ///
    /// # Errors
    /// Options that this version has no part for.
    pub fn lazy(config: Config) -> Result<Self> {
        let target = Target::new(config)?;
        let nodes = Nodes::of(&target);
        Ok(Self::to(target, nodes))
    }

    pub(super) fn to(target: Arc<Target>, nodes: Option<Nodes>) -> Self {
        Self(Arc::new(PubSubOwner(PerProcess::new(PubSubProcess::new(target, nodes)))))
    }

    fn process(&self) -> &Arc<PubSubProcess> {
        self.0.0.current(|parent| parent.fork())
    }

    /// The options it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.0.0.first().config()
    }

    /// Hears what is published on these channels from now on. Returns once the server has confirmed them all.
    /// [SUBSCRIBE](https://redis.io/docs/latest/commands/subscribe/)
    ///
    /// # Errors
    /// A channel that the user may not listen to, and then none is subscribed to; no confirmation within the
    /// [`timeout`](crate::config::ConfigBuilder::timeout); no names; it was closed.
    pub fn subscribe(&self, channels: impl Arg) -> Result<Subscription> {
        self.subscribe_with(channels, SubscribeOptions::new())
    }

    /// As [`subscribe`](Self::subscribe), with limits and policies of your own.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_with(&self, channels: impl Arg, options: SubscribeOptions) -> Result<Subscription> {
        self.listen(ChannelKind::Channel, channels, options)
    }

    /// Hears what is published on all channels that match these glob patterns.
    /// [PSUBSCRIBE](https://redis.io/docs/latest/commands/psubscribe/)
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn psubscribe(&self, patterns: impl Arg) -> Result<Subscription> {
        self.psubscribe_with(patterns, SubscribeOptions::new())
    }

    /// As [`psubscribe`](Self::psubscribe), with limits and policies of your own.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn psubscribe_with(&self, patterns: impl Arg, options: SubscribeOptions) -> Result<Subscription> {
        self.listen(ChannelKind::Pattern, patterns, options)
    }

    /// Hears what is published by `SPUBLISH` on these shard channels (Redis 7.0); in a cluster, whichever
    /// nodes serve them. [SSUBSCRIBE](https://redis.io/docs/latest/commands/ssubscribe/)
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn ssubscribe(&self, channels: impl Arg) -> Result<Subscription> {
        self.ssubscribe_with(channels, SubscribeOptions::new())
    }

    /// As [`ssubscribe`](Self::ssubscribe), with limits and policies of your own.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn ssubscribe_with(&self, channels: impl Arg, options: SubscribeOptions) -> Result<Subscription> {
        self.listen(ChannelKind::Shard, channels, options)
    }

    fn listen(&self, kind: ChannelKind, names: impl Arg, options: SubscribeOptions) -> Result<Subscription> {
        let process = self.process();
        let id = process.demand(|machine| machine.subscribe(kind, names, options))?;
        let subscription = Subscription { process: Arc::clone(process), id: Some(id), _owner: self.clone() };
        subscription.confirm()?;
        Ok(subscription)
    }

    /// Ends all subscriptions, of all callers, and closes the connection. What has come already may still
    /// be taken.
    pub fn close(&self) {
        self.process().close();
    }

    /// Lets go of the connection.
    pub(super) fn leave_server(&self) {
        Follower::leave_server(Arc::clone(self.process()), None);
    }
}

impl Drop for PubSubOwner {
    fn drop(&mut self) {
        // A child that made none has nothing to close.
        if let Some(process) = self.0.existing() {
            process.wake_worker();
        }
    }
}

/// What one subscriber hears, as an iterator that waits for the next item. It ends when its [`PubSub`] or
/// client is closed, or with an [`SubscriptionEvent::Failed`]; a lost connection does not end it.
///
/// Dropping it unsubscribes from what no other subscription wants.
#[must_use = "a subscription that is dropped hears nothing"]
pub struct Subscription {
    process: Arc<PubSubProcess>,
    /// Until it was told that it belongs to another process.
    id: Option<SubscriptionId>,
    _owner: PubSub,
}

impl Subscription {
    /// The next item, if one comes within `limit`. `None` also at the end.
    #[doc(alias = "get_message")]
    pub fn next_within(&mut self, limit: Duration) -> Option<SubscriptionEvent> {
        self.poll(threads::now().checked_add(limit)).flatten()
    }

    /// The next item, or the end (`Some(None)`); `None` where neither comes until then.
    pub(super) fn next_until(&mut self, until: Option<Instant>) -> Option<Option<SubscriptionEvent>> {
        self.poll(until)
    }

    /// Hears of these names, too. Returns once the server has confirmed them.
    ///
    /// # Errors
    /// As [`PubSub::subscribe`]; the subscription is then as it was before.
    pub fn add(&mut self, names: impl Arg) -> Result<()> {
        let Some(id) = self.id() else { return Err(inherited()) };
        self.process.demand(|machine| machine.add(id, names));
        self.confirm()
    }

    /// Does not hear of these names any more. What has come already stays.
    pub fn remove(&mut self, names: impl Arg) {
        if let Some(id) = self.id() {
            self.process.change(|machine| machine.remove(id, names));
        }
    }

    /// Starts a thread that calls `handler` for each item, until the subscription ends or the [`Handler`] is
    /// dropped.
    ///
    /// # Errors
    /// The system denies another thread.
    #[doc(alias = "run_in_thread")]
    pub fn each(self, handler: impl FnMut(SubscriptionEvent) + Send + 'static) -> Result<Handler> {
        Handler::start(self, handler)
    }

    /// Waits for the confirmation of what was asked for last.
    fn confirm(&self) -> Result<()> {
        let Some(id) = self.id() else { return Err(inherited()) };
        let process = &self.process;
        let deadline = process.config().timeout().and_then(|limit| threads::now().checked_add(limit));
        let confirmed =
            process.wait(deadline, |machine, me| machine.poll_confirmed(id, |waiter| *waiter = me.cloned()));
        let confirmed = confirmed.unwrap_or_else(|| Err(process.change(|machine| machine.give_up(id))));
        confirmed.map_err(|error| process.locate(error))
    }

    /// The next item, or the end of it; `None` if neither comes before `deadline`.
    fn poll(&mut self, deadline: Option<Instant>) -> Option<Option<SubscriptionEvent>> {
        let Some(id) = self.id() else {
            return Some(self.id.take().map(|_| SubscriptionEvent::Failed(inherited())));
        };
        self.process.wait(deadline, |machine, me| machine.poll_item(id, |waiter| *waiter = me.cloned()))
    }

    /// What it is known by, in the process that made it.
    fn id(&self) -> Option<&SubscriptionId> {
        self.id.as_ref().filter(|_| self.process.is_current())
    }
}

impl Iterator for Subscription {
    type Item = SubscriptionEvent;

    #[inline]
    fn next(&mut self) -> Option<SubscriptionEvent> {
        self.poll(None).flatten()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(id) = self.id.take()
            && self.process.is_current()
        {
            self.process.change(|machine| machine.unsubscribe(id));
        }
    }
}

fn inherited() -> Error {
    Error::usage("the subscription belongs to the parent of this process; subscribe in this one")
}

impl Client {
    /// Where this client hears what is published: one connection for all subscriptions of all its clones,
    /// made when it is needed first and closed with the client. In a cluster to any node, and more of them
    /// for [shard channels](PubSub#in-a-cluster).
    #[must_use]
    pub fn pubsub(&self) -> PubSub {
        self.pubsub.clone()
    }

    /// As [`PubSub::subscribe`]; in a cluster from any node.
    ///
    /// ```no_run
    /// # let client = redwire::blocking::Client::connect("redis://localhost")?;
    /// for item in client.subscribe("hints")? {
    ///     println!("{item:?}");
    /// }
    /// # Ok::<(), redwire::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`PubSub::subscribe`].
    pub fn subscribe(&self, channels: impl Arg) -> Result<Subscription> {
        self.pubsub.subscribe(channels)
    }

    /// As [`PubSub::psubscribe`].
    ///
    /// # Errors
    /// As [`PubSub::subscribe`].
    pub fn psubscribe(&self, patterns: impl Arg) -> Result<Subscription> {
        self.pubsub.psubscribe(patterns)
    }

    /// As [`PubSub::ssubscribe`]; in a cluster from the nodes that serve the slots of these channels,
    /// wherever those move.
    ///
    /// # Errors
    /// As [`PubSub::subscribe`].
    pub fn ssubscribe(&self, channels: impl Arg) -> Result<Subscription> {
        self.pubsub.ssubscribe(channels)
    }
}

impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSub").field("config", self.config()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}
