//! Publish/subscribe for tasks: one connection, any number of subscriptions, and one task behind them.
//!
//! The task in [`driver`] reads, writes and connects. In a cluster there is one more of them for each node
//! from which shard channels are heard, and one in [`shard_channels`] that has these made, and tells the map.
//! What the server is told, which subscriber hears what and what is missing where is decided in
//! `redwire-core`.

mod attendant;
mod driver;
mod handler;
mod shard_channels;
mod subscription;

use std::fmt;
use std::sync::{Arc, MutexGuard};
use std::task::Waker;

use redwire_core::config::{Config, Endpoint, HostPort};
use redwire_core::pubsub::{self, ChannelKind, ConnId, SubscribeOptions};
use redwire_core::{Arg, Result};
use tokio::runtime::Handle;

use super::client::Client;
use super::cluster::Nodes;
use super::connection::Connection;
use super::wire::Wire;
use crate::shared::clock::runtime;
use crate::shared::events::EventKind;
use crate::shared::owner::PerProcess;
use crate::shared::service::Follower;
use crate::shared::setup;
use crate::shared::sync::Mutex;
use crate::shared::target::Target;
use driver::PubSubDriverGuard;
pub use handler::Handler;
pub use subscription::Subscription;

/// The core's part, with tasks that wait.
type PubSubMachine = pubsub::PubSub<Waker>;

/// One connection that hears what is published, for any number of subscriptions.
///
/// Cheap to clone; clones share the connection. It is made for the first subscription at the latest, and made
/// anew whenever it is lost, for as long as there is a subscription. It is closed when the last clone
/// and the last subscription are dropped. A client has one inside: [`Client::pubsub`].
///
/// ```no_run
/// # async fn example() -> redwire::Result<()> {
/// use redwire::pubsub::SubscriptionEvent;
/// use redwire::PubSub;
///
/// let pubsub = PubSub::connect("redis://localhost").await?;
/// let mut hints = pubsub.subscribe(["hints", "sport"]).await?;
/// while let Some(item) = hints.next().await {
///     match item {
///         SubscriptionEvent::Message(message) => {
///             println!("{}: {}", message.channel_text(), message.text()?);
///         }
///         SubscriptionEvent::Gap { from, to } => println!("messages of {:?} may be missing", to - from),
///         SubscriptionEvent::Lagged(count) => println!("{count} messages were dropped: nothing took them"),
///         SubscriptionEvent::Failed(error) => return Err(error),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
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
/// # Credentials and forks
/// New credentials are presented at once in RESP3. In RESP2 a subscribed connection cannot; there they are
/// when it is made anew.
///
/// A child process that inherits it makes a connection of its own; subscriptions of the parent fail in the
/// child.
#[derive(Clone)]
pub struct PubSub(Arc<PubSubOwner>);

/// Ends the connection when no subscription needs it any more.
struct PubSubOwner(PerProcess<Arc<PubSubShared>>);

/// What one process has of a [`PubSub`].
struct PubSubShared {
    target: Arc<Target>,
    /// The cluster, where it is one.
    nodes: Option<Nodes>,
    process: u32,
    state: Mutex<PubSubState>,
}

struct PubSubState {
    machine: PubSubMachine,
    /// The tasks that drive connections.
    slots: Vec<DriverSlot>,
    /// Drivers are numbered, so that one that was replaced knows; this is the newest.
    number: u64,
    /// Where the task runs that decides where shard channels are heard from, if there is one, and its number.
    routed: Option<(Handle, u64)>,
    /// That task, while it sleeps.
    router: Option<Waker>,
}

/// The task that drives a connection.
struct DriverSlot {
    conn: ConnId,
    target: Arc<Target>,
    /// Where it runs, and its number.
    runtime: Handle,
    number: u64,
    /// Whether the driver hears when something can be read.
    reads: bool,
    /// The driver, while it sleeps.
    driver: Option<Waker>,
}

impl PubSub {
    /// Connects to the server that `url` names; the grammar is told at
    /// [`ConfigBuilder::url`](crate::config::ConfigBuilder::url).
    ///
    /// # Errors
    /// A bad URL, a connection that cannot be made within the connect timeout, or a step of the handshake
    /// that failed.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::open(Config::from_url(url)?).await
    }

    /// Connects as `config` says.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn open(config: Config) -> Result<Self> {
        let pubsub = Self::lazy(config)?;
        let shared = pubsub.shared();
        let wire = shared.connect(&shared.target).await?;
        PubSubShared::drive(shared, shared.lock(), ConnId::MAIN, None, Some(wire))?;
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
        Self(Arc::new(PubSubOwner(PerProcess::new(PubSubShared::new(target, nodes)))))
    }

    /// The options it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.0.0.first().target.config()
    }

    /// Hears what is published on these channels from now on. Ready once the server has confirmed them all.
    /// [SUBSCRIBE](https://redis.io/docs/latest/commands/subscribe/)
    ///
    /// # Errors
    /// A channel that the user may not listen to, and then none is subscribed to; no confirmation within the
    /// [`timeout`](crate::config::ConfigBuilder::timeout); no names; it was closed.
    pub async fn subscribe(&self, channels: impl Arg) -> Result<Subscription> {
        self.listen(ChannelKind::Channel, channels, SubscribeOptions::new()).await
    }

    /// As [`subscribe`](Self::subscribe), with limits and policies of your own.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_with(
        &self,
        channels: impl Arg,
        options: SubscribeOptions,
    ) -> Result<Subscription> {
        self.listen(ChannelKind::Channel, channels, options).await
    }

    /// Hears what is published on all channels that match these glob patterns.
    /// [PSUBSCRIBE](https://redis.io/docs/latest/commands/psubscribe/)
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn psubscribe(&self, patterns: impl Arg) -> Result<Subscription> {
        self.listen(ChannelKind::Pattern, patterns, SubscribeOptions::new()).await
    }

    /// As [`psubscribe`](Self::psubscribe), with limits and policies of your own.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn psubscribe_with(
        &self,
        patterns: impl Arg,
        options: SubscribeOptions,
    ) -> Result<Subscription> {
        self.listen(ChannelKind::Pattern, patterns, options).await
    }

    /// Hears what is published by `SPUBLISH` on these shard channels (Redis 7.0); in a cluster, whichever
    /// nodes serve them. [SSUBSCRIBE](https://redis.io/docs/latest/commands/ssubscribe/)
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn ssubscribe(&self, channels: impl Arg) -> Result<Subscription> {
        self.listen(ChannelKind::Shard, channels, SubscribeOptions::new()).await
    }

    /// As [`ssubscribe`](Self::ssubscribe), with limits and policies of your own.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn ssubscribe_with(
        &self,
        channels: impl Arg,
        options: SubscribeOptions,
    ) -> Result<Subscription> {
        self.listen(ChannelKind::Shard, channels, options).await
    }

    async fn listen(
        &self,
        kind: ChannelKind,
        names: impl Arg,
        options: SubscribeOptions,
    ) -> Result<Subscription> {
        let shared = Arc::clone(self.shared());
        let id = shared.demand(|machine| machine.subscribe(kind, names, options))??;
        Subscription::confirmed(self.clone(), shared, id).await
    }

    /// Ends all subscriptions, of all callers, and closes the connection. What has come already may still
    /// be taken.
    pub fn close(&self) {
        self.shared().close();
    }

    /// Lets go of the connection, which is made anew if there is a subscription.
    pub(super) fn leave_server(&self) {
        Follower::leave_server(Arc::clone(self.shared()), None);
    }

    fn shared(&self) -> &Arc<PubSubShared> {
        self.0.0.current(|parent| parent.fork())
    }
}

impl Drop for PubSubOwner {
    fn drop(&mut self) {
        // A child that made none has nothing to close.
        if let Some(shared) = self.0.existing() {
            shared.close();
        }
    }
}

impl PubSubShared {
    fn new(target: Arc<Target>, nodes: Option<Nodes>) -> Arc<Self> {
        let machine = setup::subscriptions(target.config());
        let state = PubSubState { machine, slots: Vec::new(), number: 0, routed: None, router: None };
        let (process, state) = (std::process::id(), Mutex::new(state));
        let shared = Arc::new(Self { target, nodes, process, state });
        shared.target.follow(&shared);
        shared
    }

    /// What a child of the process begins with.
    fn fork(&self) -> Arc<Self> {
        Self::new(Arc::clone(&self.target), self.nodes.clone())
    }

    /// Whether this is the process that runs. A child leaves all of its parent alone.
    fn is_current(&self) -> bool {
        self.process == std::process::id()
    }

    fn lock(&self) -> MutexGuard<'_, PubSubState> {
        self.state.lock()
    }

    async fn connect(&self, target: &Arc<Target>) -> Result<Wire> {
        Connection::introduced(target, None, None).await
    }

    /// Has a connection driven by a task of the runtime that is around: the one to `node`, or that of
    /// [`ConnId::MAIN`]. `first` is a wire that is connected already.
    ///
    /// # Errors
    /// There is no runtime, or it has ended.
    fn drive(
        shared: &Arc<Self>,
        mut state: MutexGuard<'_, PubSubState>,
        conn: ConnId,
        node: Option<&HostPort>,
        first: Option<Wire>,
    ) -> Result<()> {
        let here = runtime()?;
        let target = node.map_or_else(|| Arc::clone(&shared.target), |node| shared.target.node(node));
        state.number += 1;
        let number = state.number;
        let guard =
            PubSubDriverGuard { shared: Arc::clone(shared), conn, number, target: Arc::clone(&target) };
        let (runtime, reads) = (here.clone(), true);
        state.slots.push(DriverSlot { conn, target, runtime, number, reads, driver: None });
        // A runtime that has ended drops the task, and so the guard, at once.
        drop(state);
        here.spawn(driver::drive(guard, first));
        if shared.lock().slot(conn).is_some() { Ok(()) } else { Err(setup::runtime_ended()) }
    }

    /// Has a task of `runtime` decide where shard channels are heard from.
    fn spawn_router(self: &Arc<Self>, mut state: MutexGuard<'_, PubSubState>, runtime: &Handle) {
        let Some(nodes) = self.nodes.clone() else { return };
        state.number += 1;
        let guard = shard_channels::RouterGuard(Arc::clone(self), state.number);
        state.routed = Some((runtime.clone(), state.number));
        drop(state);
        runtime.spawn(shard_channels::route(guard, nodes));
    }

    /// Changes what is wanted, and has it driven.
    fn demand<T>(self: &Arc<Self>, change: impl FnOnce(&mut PubSubMachine) -> T) -> Result<T> {
        let mut state = self.lock();
        if !state.machine.is_closed() {
            if !state.slots.iter().any(|slot| slot.conn == ConnId::MAIN) {
                Self::drive(self, state, ConnId::MAIN, None, None)?;
                state = self.lock();
            }
            if self.nodes.is_some() && state.routed.is_none() {
                self.spawn_router(state, &runtime()?);
                state = self.lock();
            }
        }
        drop(state);
        Ok(self.with(change))
    }

    /// Changes the machine, and wakes the subscribers that can go on, and all tasks that drive or place.
    fn with<T>(&self, change: impl FnOnce(&mut PubSubMachine) -> T) -> T {
        let mut woken = Vec::new();
        let mut state = self.lock();
        let output = change(&mut state.machine);
        state.machine.poll_woken(&mut woken);
        woken.extend(state.slots.iter_mut().filter_map(|slot| slot.driver.take()));
        woken.extend(state.router.take());
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        output
    }

    fn close(&self) {
        let was_connected = self.with(|machine| {
            let was_connected = machine.is_connected(ConnId::MAIN);
            machine.close();
            was_connected
        });
        if was_connected {
            self.target.tell(EventKind::Closed);
        }
    }
}

impl Follower for PubSubShared {
    /// Lets go of the connection. The driver makes the next, and tells what may be missing.
    fn leave_server(self: Arc<Self>, _: Option<&Endpoint>) {
        if self.is_current() {
            let mut state = self.lock();
            state.machine.leave_server(ConnId::MAIN, setup::left_master());
            let driver = state.slot(ConnId::MAIN).and_then(|slot| slot.driver.take());
            drop(state);
            driver.into_iter().for_each(Waker::wake);
        }
    }
}

impl PubSubState {
    fn slot(&mut self, conn: ConnId) -> Option<&mut DriverSlot> {
        self.slots.iter_mut().find(|slot| slot.conn == conn)
    }

    /// Whether another has taken over from the driver of this number.
    #[inline]
    fn is_replaced(&self, number: u64) -> bool {
        self.slots.iter().all(|slot| slot.number != number)
    }

    /// Whether the driver of this number has nothing to do any more.
    #[inline]
    fn is_over(&self, number: u64) -> bool {
        self.machine.is_closed() || self.is_replaced(number)
    }

    /// The subscribers that can go on; and the tasks that drive or place, sleep, and have to do something
    /// about what has changed.
    #[inline]
    fn poll_woken(&mut self, woken: &mut Vec<Waker>) {
        self.machine.poll_woken(woken);
        for slot in &mut self.slots {
            if self.machine.poll_touched(slot.conn) || (!slot.reads && self.machine.wants_read()) {
                woken.extend(slot.driver.take());
            }
        }
        if self.machine.wants_placement() {
            woken.extend(self.router.take());
        }
    }
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
    /// # Errors
    /// As [`PubSub::subscribe`].
    pub async fn subscribe(&self, channels: impl Arg) -> Result<Subscription> {
        self.pubsub.subscribe(channels).await
    }

    /// As [`PubSub::psubscribe`].
    ///
    /// # Errors
    /// As [`PubSub::subscribe`].
    pub async fn psubscribe(&self, patterns: impl Arg) -> Result<Subscription> {
        self.pubsub.psubscribe(patterns).await
    }

    /// As [`PubSub::ssubscribe`]; in a cluster from the nodes that serve the slots of these channels,
    /// wherever those move.
    ///
    /// ```no_run
    /// # async fn example(client: redwire::Client) -> redwire::Result<()> {
    /// use redwire::pubsub::SubscriptionEvent;
    ///
    /// let mut orders = client.ssubscribe(["orders:{eu}", "orders:{us}"]).await?;
    /// while let Some(item) = orders.next().await {
    ///     match item {
    ///         SubscriptionEvent::Message(message) => {
    ///             println!("{}: {}", message.channel_text(), message.text()?);
    ///         }
    ///         SubscriptionEvent::Gap { .. } => {
    ///             println!("a slot has moved, or a node was lost: look what was missed");
    ///         }
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`PubSub::subscribe`].
    pub async fn ssubscribe(&self, channels: impl Arg) -> Result<Subscription> {
        self.pubsub.ssubscribe(channels).await
    }
}

impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSub").field("config", self.config()).finish_non_exhaustive()
    }
}
