//! A cluster as the connections of one client see it: the map and who asks for it, who has connections to
//! which node, and a call's way from node to node. What that way is, is decided in `redwire-core`; this file
//! must not know how either driver waits.

mod replicas;
mod routed;
mod shared_topology;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use redwire_core::cluster::{
    Bundle, FetchedMap, Map, ReadStrategy, Readers, Rules, Scatter, TopologyHint, any_primary, cannot_answer,
    is_unheard,
};
use redwire_core::config::{Config, HostPort};
use redwire_core::{Error, Result, Value};

pub(crate) use replicas::ReplicaClients;
pub(crate) use routed::{Pick, Retrying, Routed};
pub(crate) use shared_topology::{Listener, RefreshWork, SharedTopology, Watcher};

use crate::shared::clock;
use crate::shared::setup;
use crate::shared::sync::atomic::{AtomicU64, Ordering};
use crate::shared::sync::{Mutex, MutexGuard};

/// A node that serves no more as a primary has so long to answer what is under way. Then that is given up.
const LEFT: Duration = Duration::from_millis(500);

/// A primary that was silent before another was found in its place has so long: one that lives, and has just
/// handed over, sends redirections, which are certain.
const SILENT_LEFT: Duration = Duration::from_millis(30);

/// How long a replica may take to say whether it has taken over. The next is asked then.
pub(crate) const PROBE: Duration = Duration::from_millis(200);

/// The connections to each node. `C` is a client of one node, of either driver.
pub(crate) struct NodeClients<C> {
    config: Config,
    shared_topology: Arc<SharedTopology>,
    make: Box<dyn Fn(&HostPort) -> C + Send + Sync>,
    view: ArcSwap<View<C>>,
    /// All nodes to which there may be connections: those in the map, and those met by redirection since it
    /// was fetched last. In an order, so that a seed decides what is done to all of them, too.
    known: Mutex<BTreeMap<HostPort, Arc<NodeClient<C>>>>,
    default: Mutex<Option<HostPort>>,
    /// The nodes that answer what only reads; `None` where primaries do.
    readers: Option<Mutex<Readers>>,
    calls: AtomicU64,
}

/// One node of a cluster, or one replica of a service.
pub(crate) struct NodeClient<C> {
    pub(crate) address: HostPort,
    pub(crate) client: C,
}

/// A node that is no primary any more, and how long it may still take to answer what is under way.
pub(crate) type FormerPrimary<C> = (Arc<NodeClient<C>>, Duration);

/// The map with the nodes it names: a snapshot, swapped whole.
pub(crate) struct View<C> {
    pub(crate) map: Arc<Map>,
    /// In the order of the map's shards.
    primaries: Vec<Arc<NodeClient<C>>>,
    /// Where commands without a key go, if that was chosen.
    default: Option<Arc<NodeClient<C>>>,
    /// The map is too old then.
    stale: Option<Instant>,
}

impl<C> NodeClients<C> {
    /// No node is known yet. `make` gives a client for a node, not connected yet.
    pub(crate) fn new(
        config: &Config,
        shared_topology: Arc<SharedTopology>,
        make: impl Fn(&HostPort) -> C + Send + Sync + 'static,
    ) -> Self {
        let options = config.cluster_options();
        let readers = Readers::new(options.read_strategy, options.zone.clone());
        let view = View { map: shared_topology.map(), primaries: Vec::new(), default: None, stale: None };
        Self {
            config: config.clone(),
            shared_topology,
            make: Box::new(make),
            view: ArcSwap::from_pointee(view),
            known: Mutex::new(BTreeMap::new()),
            default: Mutex::new(None),
            readers: (options.read_strategy != ReadStrategy::Primary).then(|| Mutex::new(readers)),
            calls: AtomicU64::new(0),
        }
    }

    pub(crate) fn shared_topology(&self) -> &SharedTopology {
        &self.shared_topology
    }

    pub(crate) fn view(&self) -> Guard<Arc<View<C>>> {
        self.view.load()
    }

    /// What holds for a try that is made `now`.
    pub(crate) fn rules(&self, now: Instant) -> Rules<'_> {
        Rules { config: &self.config, cluster: self.config.cluster_options(), now }
    }

    pub(crate) fn map(&self) -> Arc<Map> {
        Arc::clone(&self.view().map)
    }

    /// The nodes that take writes.
    #[cfg(feature = "tokio")]
    pub(crate) fn primaries(&self) -> Vec<Arc<NodeClient<C>>> {
        self.view().primaries.clone()
    }

    /// Where commands without a key go, if that was chosen.
    pub(crate) fn default_node(&self) -> Option<HostPort> {
        self.default.lock().clone()
    }

    /// # Errors
    /// [`Usage`](redwire_core::ErrorKind::Usage): the map is known, and names no such node.
    pub(crate) fn set_default(&self, node: Option<HostPort>) -> Result<()> {
        let view = self.view();
        if let Some(stranger) = node.as_ref().filter(|node| view.is_known() && view.map.node(node).is_none())
        {
            let known: Vec<_> = view.map.nodes().map(|node| node.address.to_string()).collect();
            let known = known.join(", ");
            return Err(Error::usage(format!("expected a node of the cluster ({known}), got {stranger}")));
        }
        *self.default.lock() = node;
        self.publish();
        Ok(())
    }

    /// A call begins.
    #[inline]
    pub(crate) fn handle_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// How many calls were made in all.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<HostPort, Arc<NodeClient<C>>>> {
        self.known.lock()
    }

    /// All nodes to which there may be connections.
    pub(crate) fn all(&self) -> Vec<Arc<NodeClient<C>>> {
        self.known().values().cloned().collect()
    }

    /// The node at `address`, whether the map names it or not.
    pub(crate) fn node_client(&self, address: &HostPort) -> Arc<NodeClient<C>> {
        self.admit(&mut self.known(), address)
    }

    fn admit(
        &self,
        known: &mut BTreeMap<HostPort, Arc<NodeClient<C>>>,
        address: &HostPort,
    ) -> Arc<NodeClient<C>> {
        if let Some(node_client) = known.get(address) {
            return Arc::clone(node_client);
        }
        let node_client = NodeClient::new(address, &self.make);
        // Of a closed client nothing would close it later: it goes with the call that wanted it.
        if !self.shared_topology.is_closed() {
            known.insert(address.clone(), Arc::clone(&node_client));
        }
        node_client
    }

    /// As [`node_client`](Self::node_client); if `fresh`, over connections that are made from now on: behind
    /// those there are is another node.
    pub(crate) fn reach(&self, address: &HostPort, fresh: bool) -> Arc<NodeClient<C>> {
        if fresh {
            // Not dropped under the lock: what ends with it tells others.
            let left = self.known().remove(address);
            drop(left);
            self.publish();
        }
        self.node_client(address)
    }

    /// What a caller hears that waits for the first map, and came when so many refreshes had
    /// [ended](SharedTopology::ended). If not `patient`, it is waited for no longer than until the next
    /// refresh has failed.
    pub(crate) fn poll_learnt(&self, ended: u64, patient: bool) -> Option<Result<()>> {
        if self.view().is_known() {
            return Some(Ok(()));
        }
        if self.shared_topology.is_closed() {
            return Some(Err(setup::closed_client()));
        }
        let failure =
            if patient { self.shared_topology.permanent_failure() } else { self.shared_topology.failure() };
        failure.filter(|_| patient || self.shared_topology.ended() > ended).map(Err)
    }

    /// What of `scatter` is to be sent now; the rest is as for [`Scatter::poll_send`].
    pub(crate) fn poll_send(
        &self,
        scatter: &mut Scatter,
        now: Instant,
        random: &mut impl FnMut() -> u64,
        hints: &mut Vec<TopologyHint>,
    ) -> Vec<Bundle> {
        if self.shared_topology.is_closed() {
            scatter.handle_closed(&setup::closed_client());
        }
        scatter.poll_send(&self.map(), self.rules(now), random, hints)
    }

    /// Something was learnt from failed tries.
    pub(crate) fn handle_hints(&self, hints: &[TopologyHint]) {
        if self.shared_topology.handle_hints(hints) {
            self.publish();
        }
    }

    /// A refresh has ended. Gives the nodes that served as primaries until now and do not any more, and how
    /// long each may still take to answer what is under way.
    pub(crate) fn handle_refreshed(&self, result: Result<FetchedMap>, now: Instant) -> Vec<FormerPrimary<C>> {
        let before = self.view.load_full();
        let patience = |node_client: &NodeClient<C>| match self.shared_topology.is_lost(&node_client.address)
        {
            true => SILENT_LEFT,
            false => LEFT,
        };
        let patience: Vec<_> = before.primaries.iter().map(|node_client| patience(node_client)).collect();
        self.shared_topology.handle_refreshed(result, now);
        let map = self.publish();
        self.forget_all_but(&map);
        if let Some(mut readers) = self.readers() {
            readers.retain(|address| map.node(address).is_some());
        }
        let left = before.primaries.iter().cloned().zip(patience);
        let left: Vec<_> = left.filter(|(node_client, _)| !map.is_primary(&node_client.address)).collect();
        if !left.is_empty() {
            self.shared_topology.handle_switched();
        }
        left
    }

    /// Only the nodes of `map` are known any longer.
    fn forget_all_but(&self, map: &Map) {
        let mut known = self.known();
        let is_left = |address: &&HostPort| map.node(address).is_none();
        let left: Vec<_> = known.keys().filter(is_left).cloned().collect();
        let left: Vec<_> = left.iter().map(|address| known.remove(address)).collect();
        drop(known);
        // Not under the lock: what ends with a client of a node tells those of others.
        drop(left);
    }

    /// A try at the node at `address` failed with `error`.
    pub(crate) fn handle_failure(&self, address: &HostPort, error: &Error) {
        let now = clock::now();
        self.handle_reader_failure(address, error, now);
        if is_unheard(error) {
            self.shared_topology.handle_lost(address, now);
        }
    }

    /// The node at `address` could not be reached, or is `silent`; or it has answered after that.
    pub(crate) fn handle_silence(&self, address: &HostPort, silent: bool) {
        let now = clock::now();
        if !silent {
            self.shared_topology.handle_heard(address);
            return;
        }
        self.shared_topology.handle_lost(address, now);
        if let Some(mut readers) = self.readers() {
            readers.handle_failure(address, now);
        }
    }

    /// A node was asked for its role. Gives its former primary if it has taken over from that one, as
    /// [`handle_refreshed`](Self::handle_refreshed) does.
    pub(crate) fn handle_probed(&self, node: &HostPort, role: &Value) -> Vec<FormerPrimary<C>> {
        let before = self.view.load_full();
        if !self.shared_topology.handle_probed(node, role) {
            return Vec::new();
        }
        let map = self.publish();
        let primaries = before.primaries.iter().cloned();
        primaries
            .filter(|node_client| !map.is_primary(&node_client.address))
            .map(|node_client| (node_client, SILENT_LEFT))
            .collect()
    }

    /// This process is a child of the one that has all this: it leaves its nodes, if it can do so without
    /// waiting for others.
    pub(crate) fn disown(&self, leave: impl Fn(&C)) {
        if let Some(known) = self.known.try_lock() {
            known.values().for_each(|node_client| leave(&node_client.client));
        }
    }

    /// No node is known any more, for ever.
    pub(crate) fn close(&self) -> Vec<Arc<NodeClient<C>>> {
        self.shared_topology.close();
        self.publish();
        self.known().values().cloned().collect()
    }

    /// Puts the newest map in place of the one there is.
    fn publish(&self) -> Arc<Map> {
        let mut known = self.known();
        let (map, stale) = self.shared_topology.newest();
        let shards = map.shards().iter();
        let primaries = shards.map(|shard| self.admit(&mut known, &shard.primary.address)).collect();
        let default = self.default_node().filter(|address| map.node(address).is_some());
        let default = default.map(|address| self.admit(&mut known, &address));
        self.view.store(Arc::new(View { map: Arc::clone(&map), primaries, default, stale }));
        map
    }

    /// Which of the nodes that serve `slot` is to answer a command that only reads; `None` where it is the
    /// primary's.
    fn reader(&self, map: &Map, slot: u16, now: Instant) -> Option<Arc<NodeClient<C>>> {
        let shard = map.shard(slot)?;
        let address = self.readers()?.choose(shard, now);
        (*address != shard.primary.address).then(|| self.node_client(address))
    }

    /// Whether a read is timed.
    fn measures(&self) -> bool {
        self.config.cluster_options().read_strategy == ReadStrategy::LowestLatency
    }

    /// The node at `address` answered a read after this time.
    fn handle_latency(&self, address: &HostPort, latency: Duration) {
        if let Some(mut readers) = self.readers() {
            readers.handle_latency(address, latency);
        }
    }

    /// Those that are to be asked (`INFO server`) in which zone they are.
    pub(crate) fn zoneless(&self) -> Vec<Arc<NodeClient<C>>> {
        let Some(readers) = self.readers() else { return Vec::new() };
        let map = self.map();
        let wanted: Vec<_> = map.nodes().filter(|node| readers.wants_zone(node)).collect();
        drop(readers);
        wanted.into_iter().map(|node| self.node_client(&node.address)).collect()
    }

    /// The node at `address` answered `INFO server`.
    pub(crate) fn handle_info(&self, address: &HostPort, info: &str) {
        if let Some(mut readers) = self.readers() {
            readers.handle_info(address, info);
        }
    }

    fn readers(&self) -> Option<MutexGuard<'_, Readers>> {
        let readers = self.readers.as_ref()?;
        Some(readers.lock())
    }

    /// `address` failed with `error`: it answers no reads for a while, if that is a reason.
    fn handle_reader_failure(&self, address: &HostPort, error: &Error, now: Instant) {
        let Some(mut readers) = self.readers() else { return };
        if cannot_answer(error) {
            readers.handle_failure(address, now);
        }
    }
}

impl<C> View<C> {
    /// Whether anything is known of the cluster.
    pub(crate) fn is_known(&self) -> bool {
        !self.primaries.is_empty()
    }

    /// Whether it is time to ask for the map again, though nothing happened.
    #[inline]
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        self.stale.is_some_and(|stale| stale <= now)
    }

    /// The node that serves `slot`, or any primary.
    #[inline]
    fn primary(&self, slot: Option<u16>) -> Option<&Arc<NodeClient<C>>> {
        match slot {
            Some(slot) => self.primaries.get(self.map.place(slot)?),
            None => self
                .default
                .as_ref()
                .or_else(|| self.primaries.get(any_primary(&self.map, None, fastrand::u64(..))?)),
        }
    }
}

impl<C> fmt::Debug for NodeClients<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeClients").field("shared_topology", &self.shared_topology).finish_non_exhaustive()
    }
}

impl<C> NodeClient<C> {
    fn new(address: &HostPort, make: &dyn Fn(&HostPort) -> C) -> Arc<Self> {
        Arc::new(Self { address: address.clone(), client: make(address) })
    }
}

impl<C> fmt::Debug for NodeClient<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeClient").field("address", &self.address).finish_non_exhaustive()
    }
}
