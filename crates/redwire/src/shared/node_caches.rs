//! The parts of a cache: one for a server; in a cluster, one for each node that takes writes, since each
//! announces what happens to its own keys. It must not know how either driver waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use redwire_core::Cmd;
use redwire_core::cache::{CacheOptions, CacheStats};
use redwire_core::call::Call;
use redwire_core::cluster::{Map, Spread};
use redwire_core::config::HostPort;

use crate::shared::node_clients::NodeClients;
use crate::shared::sync::RwLock;
use crate::shared::tracking::{CacheConn, Tracking};

/// What is kept of one server, and the connection over which it is read.
pub(crate) struct NodeCache<L: CacheConn> {
    pub(crate) conn: Arc<L>,
    pub(crate) tracking: Arc<Tracking<L>>,
}

/// All parts of a cache.
pub(crate) struct NodeCaches<L: CacheConn> {
    options: CacheOptions,
    state: Parts<L>,
}

enum Parts<L: CacheConn> {
    Server(Arc<NodeCache<L>>),
    Cluster(Box<RwLock<CachesByMap<L>>>),
}

/// Which node is asked for what, by a map.
struct CachesByMap<L: CacheConn> {
    map: Arc<Map>,
    /// In an order, so that a seed decides which is connected first.
    node_caches: BTreeMap<HostPort, Arc<NodeCache<L>>>,
}

impl<L: CacheConn> NodeCaches<L> {
    /// Of one server.
    pub(crate) fn of_server(options: CacheOptions, node_cache: NodeCache<L>) -> Self {
        Self { options, state: Parts::Server(Arc::new(node_cache)) }
    }

    /// Of a cluster, without any yet.
    pub(crate) fn of_cluster(options: CacheOptions) -> Self {
        let by_map = CachesByMap { map: Arc::default(), node_caches: BTreeMap::new() };
        Self { options, state: Parts::Cluster(Box::new(RwLock::new(by_map))) }
    }

    pub(crate) fn options(&self) -> &CacheOptions {
        &self.options
    }

    /// Where the answer to `call` is kept, made by `make` if need be; `None` where none keeps it: its keys
    /// are at several nodes, or no node is known for them.
    #[inline]
    pub(crate) fn find<C>(
        &self,
        call: &impl Call,
        node_clients: Option<&NodeClients<C>>,
        make: impl FnOnce(&C) -> NodeCache<L>,
    ) -> Option<Arc<NodeCache<L>>> {
        match &self.state {
            Parts::Server(node_cache) => Some(Arc::clone(node_cache)),
            Parts::Cluster(by_map) => find(by_map, call, node_clients?, make),
        }
    }

    /// That of each node that takes writes, made by `make` if need be.
    pub(crate) fn fill<C>(
        &self,
        node_clients: &NodeClients<C>,
        make: impl Fn(&C) -> NodeCache<L>,
    ) -> Vec<Arc<NodeCache<L>>> {
        let Parts::Cluster(by_map) = &self.state else { return self.all() };
        let map = node_clients.map();
        let primaries = map.shards().iter().map(|shard| &shard.primary.address);
        primaries.map(|address| node_cache_at(by_map, &map, node_clients, address, &make)).collect()
    }

    /// All there are.
    pub(crate) fn all(&self) -> Vec<Arc<NodeCache<L>>> {
        match &self.state {
            Parts::Server(node_cache) => vec![Arc::clone(node_cache)],
            Parts::Cluster(by_map) => by_map.read().node_caches.values().cloned().collect(),
        }
    }

    /// Whether all announce changes now.
    pub(crate) fn are_live(&self) -> bool {
        let node_caches = self.all();
        !node_caches.is_empty() && node_caches.iter().all(|node_cache| node_cache.tracking.is_live())
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.all().iter().for_each(|node_cache| node_cache.tracking.clear());
    }

    /// Of all together.
    pub(crate) fn stats(&self) -> CacheStats {
        self.all()
            .iter()
            .fold(CacheStats::default(), |sum, node_cache| sum.plus(&node_cache.tracking.stats()))
    }

    /// The client has executed `cmd`, which changes keys.
    pub(crate) fn handle_written<R>(&self, cmd: &Cmd<R>) {
        for node_cache in self.all() {
            if !node_cache.tracking.is_foreign() {
                node_cache.tracking.change(|store| store.handle_written(cmd));
            }
        }
    }
}

fn find<L: CacheConn, C>(
    by_map: &RwLock<CachesByMap<L>>,
    call: &impl Call,
    node_clients: &NodeClients<C>,
    make: impl FnOnce(&C) -> NodeCache<L>,
) -> Option<Arc<NodeCache<L>>> {
    let Ok(Spread::One(Some(slot))) = call.spread() else { return None };
    let map = node_clients.map();
    let address = map.primary(slot)?;
    Some(node_cache_at(by_map, &map, node_clients, address, make))
}

fn node_cache_at<L: CacheConn, C>(
    by_map: &RwLock<CachesByMap<L>>,
    map: &Arc<Map>,
    node_clients: &NodeClients<C>,
    address: &HostPort,
    make: impl FnOnce(&C) -> NodeCache<L>,
) -> Arc<NodeCache<L>> {
    {
        let by_map = by_map.read();
        if let (true, Some(node_cache)) = (Arc::ptr_eq(&by_map.map, map), by_map.node_caches.get(address)) {
            return Arc::clone(node_cache);
        }
    }
    let mut by_map = by_map.write();
    by_map.follow(map);
    let made = || Arc::new(make(&node_clients.node_client(address).client));
    Arc::clone(by_map.node_caches.entry(address.clone()).or_insert_with(made))
}

impl<L: CacheConn> CachesByMap<L> {
    /// Goes by `map` from now on. A node that has lost a slot will not announce what happens to its keys:
    /// should the slot come back, what was kept of it must not be there any more.
    fn follow(&mut self, map: &Arc<Map>) {
        if Arc::ptr_eq(&self.map, map) {
            return;
        }
        for address in self.map.losers(map) {
            if let Some(node_cache) = self.node_caches.get(address) {
                node_cache.tracking.clear();
            }
        }
        self.node_caches.retain(|address, _| map.is_primary(address));
        self.map = Arc::clone(map);
    }
}
