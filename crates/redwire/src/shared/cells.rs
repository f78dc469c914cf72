//! The parts of a cache: one for a server; in a cluster, one for each node that takes writes, since each announces what happens to
//! its own keys. It must not know how either driver waits.

use std::collections::HashMap;
use std::sync::Arc;

use redwire_core::Cmd;
use redwire_core::cache::{CacheFigures, CacheOptions};
use redwire_core::call::Call;
use redwire_core::cluster::{Map, Spread};
use redwire_core::config::HostPort;

use crate::shared::node_clients::NodeClients;
use crate::shared::sync::RwLock;
use crate::shared::tracking::{Line, Tracking};

/// What is kept of one server, and the connection over which it is read.
pub(crate) struct Cell<L: Line> {
    pub(crate) line: Arc<L>,
    pub(crate) tracking: Arc<Tracking<L>>,
}

/// All parts of a cache.
pub(crate) struct Cells<L: Line> {
    options: CacheOptions,
    state: State<L>,
}

enum State<L: Line> {
    Server(Arc<Cell<L>>),
    Cluster(RwLock<Chart<L>>),
}

/// Who is asked for what, by a map.
struct Chart<L: Line> {
    map: Arc<Map>,
    cells: HashMap<HostPort, Arc<Cell<L>>>,
}

impl<L: Line> Cells<L> {
    /// Of one server.
    pub(crate) fn of_server(options: CacheOptions, cell: Cell<L>) -> Self {
        Self { options, state: State::Server(Arc::new(cell)) }
    }

    /// Of a cluster, without any yet.
    pub(crate) fn of_cluster(options: CacheOptions) -> Self {
        let chart = Chart { map: Arc::default(), cells: HashMap::new() };
        Self { options, state: State::Cluster(RwLock::new(chart)) }
    }

    pub(crate) fn options(&self) -> &CacheOptions {
        &self.options
    }

    /// Where the answer to `call` is kept, made by `make` if need be; `None` where nobody keeps it: its keys are at several nodes, or
    /// nobody is known for them.
    #[inline]
    pub(crate) fn find<C>(
        &self,
        call: &impl Call,
        node_clients: Option<&NodeClients<C>>,
        make: impl FnOnce(&C) -> Cell<L>,
    ) -> Option<Arc<Cell<L>>> {
        match &self.state {
            State::Server(cell) => Some(Arc::clone(cell)),
            State::Cluster(chart) => find(chart, call, node_clients?, make),
        }
    }

    /// That of each node that takes writes, made by `make` if need be.
    pub(crate) fn fill<C>(&self, node_clients: &NodeClients<C>, make: impl Fn(&C) -> Cell<L>) -> Vec<Arc<Cell<L>>> {
        let State::Cluster(chart) = &self.state else { return self.all() };
        let map = node_clients.map();
        let primaries = map.shards().iter().map(|shard| &shard.primary.address);
        primaries.map(|address| cell_at(chart, &map, node_clients, address, &make)).collect()
    }

    /// All there are.
    pub(crate) fn all(&self) -> Vec<Arc<Cell<L>>> {
        match &self.state {
            State::Server(cell) => vec![Arc::clone(cell)],
            State::Cluster(chart) => chart.read().cells.values().cloned().collect(),
        }
    }

    /// Whether all announce changes now.
    pub(crate) fn are_live(&self) -> bool {
        let cells = self.all();
        !cells.is_empty() && cells.iter().all(|cell| cell.tracking.is_live())
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.all().iter().for_each(|cell| cell.tracking.clear());
    }

    /// Of all together.
    pub(crate) fn figures(&self) -> CacheFigures {
        self.all().iter().fold(CacheFigures::default(), |sum, cell| sum.plus(&cell.tracking.figures()))
    }

    /// The client has executed `cmd`, which changes keys.
    pub(crate) fn handle_written<R>(&self, cmd: &Cmd<R>) {
        for cell in self.all() {
            if !cell.tracking.is_foreign() {
                cell.tracking.change(|store| store.handle_written(cmd));
            }
        }
    }
}

fn find<L: Line, C>(
    chart: &RwLock<Chart<L>>,
    call: &impl Call,
    node_clients: &NodeClients<C>,
    make: impl FnOnce(&C) -> Cell<L>,
) -> Option<Arc<Cell<L>>> {
    let Ok(Spread::One(Some(slot))) = call.spread() else { return None };
    let map = node_clients.map();
    let address = map.primary(slot)?;
    Some(cell_at(chart, &map, node_clients, address, make))
}

fn cell_at<L: Line, C>(
    chart: &RwLock<Chart<L>>,
    map: &Arc<Map>,
    node_clients: &NodeClients<C>,
    address: &HostPort,
    make: impl FnOnce(&C) -> Cell<L>,
) -> Arc<Cell<L>> {
    {
        let chart = chart.read();
        if let (true, Some(cell)) = (Arc::ptr_eq(&chart.map, map), chart.cells.get(address)) {
            return Arc::clone(cell);
        }
    }
    let mut chart = chart.write();
    chart.follow(map);
    let made = || Arc::new(make(&node_clients.node_client(address).client));
    Arc::clone(chart.cells.entry(address.clone()).or_insert_with(made))
}

impl<L: Line> Chart<L> {
    /// Goes by `map` from now on. A node that has lost a slot will not announce what happens to its keys: should the slot come back, what
    /// was kept of it must not be there any more.
    fn follow(&mut self, map: &Arc<Map>) {
        if Arc::ptr_eq(&self.map, map) {
            return;
        }
        for address in self.map.losers(map) {
            if let Some(cell) = self.cells.get(address) {
                cell.tracking.clear();
            }
        }
        self.cells.retain(|address, _| map.is_primary(address));
        self.map = Arc::clone(map);
    }
}
