//! The map that all connections of a client share, and the task or thread that asks for it anew. It must not
//! know connections.
//!
//! A forked child has neither the tasks and threads of its parent nor its locks, which one of those may hold:
//! it begins with the seeds.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redwire_core::cluster::{ClusterOptions, FetchedMap, Map, NodeChoice, Refresh, Topology, TopologyHint};
use redwire_core::config::{self, Config, HostPort};
use redwire_core::outage::heals;
use redwire_core::{Error, Result, Value};

use crate::shared::clock;
use crate::shared::owner::PerProcess;
use crate::shared::setup;
use crate::shared::sync::{Mutex, MutexGuard};

/// The task or thread that takes care of refreshes looks so often whether there is more to do.
const LOOK: Duration = Duration::from_millis(50);

/// The map of one client.
pub(crate) struct SharedTopology {
    seeds: Vec<HostPort>,
    options: ClusterOptions,
    tls: bool,
    process: PerProcess<TopologyProcess>,
}

/// What one process has of the map.
struct TopologyProcess {
    state: Mutex<TopologyState>,
    /// What is told of every new map.
    listeners: Mutex<Vec<Weak<Listener>>>,
    /// Hears from the connections to a node that it is silent.
    watcher: Mutex<Option<Weak<Watcher>>>,
}

/// Called for every new map, and must not take long.
pub(crate) type Listener = dyn Fn() + Send + Sync;

/// Called with a node that is silent (`true`), or has answered after that.
pub(crate) type Watcher = dyn Fn(&HostPort, bool) + Send + Sync;

struct TopologyState {
    topology: Topology,
    /// Whether a task or thread takes care of refreshes.
    followed: bool,
    closed: bool,
    /// How many refreshes have ended, and why the last failed, if it did.
    ended: u64,
    failure: Option<Error>,
    /// How often another primary was found for slots.
    switches: u64,
    /// Where the newest connection to just any node leads, for messages.
    address: Arc<str>,
}

/// What the task or thread that takes care of refreshes does now.
pub(crate) enum RefreshWork {
    /// Carry this out, and tell its end.
    Ask(Box<Refresh>),
    /// Ask this node for its role (`ROLE`), and tell the answer.
    Probe(HostPort),
    /// Wait, and ask again what to do.
    Until(Instant),
    /// Nothing more, until there is a reason again.
    Nothing,
}

impl SharedTopology {
    /// That of the cluster which `config` names; `None` where it names none.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let config::Deployment::Cluster { nodes } = config.deployment() else { return None };
        let (seeds, options, tls) = (nodes.clone(), config.cluster_options().clone(), config.tls());
        let process = PerProcess::new(TopologyProcess::new(&seeds, &options, tls));
        Some(Self { seeds, options, tls, process })
    }

    fn lock(&self) -> MutexGuard<'_, TopologyState> {
        self.current().state.lock()
    }

    /// What the process that runs this has.
    fn current(&self) -> &TopologyProcess {
        self.process.current(|_| TopologyProcess::new(&self.seeds, &self.options, self.tls))
    }

    pub(crate) fn map(&self) -> Arc<Map> {
        Arc::clone(self.lock().topology.map())
    }

    /// The map, and when it is too old.
    pub(super) fn newest(&self) -> (Arc<Map>, Option<Instant>) {
        let state = self.lock();
        if state.closed {
            Default::default()
        } else {
            (Arc::clone(state.topology.map()), state.topology.stale())
        }
    }

    /// Any node, by chance, for connections that need none in particular.
    pub(crate) fn any(&self) -> HostPort {
        let known = NodeChoice::Random.among(&self.map(), fastrand::u64(..)).pop();
        known.unwrap_or_else(|| self.seeds[fastrand::usize(..self.seeds.len())].clone())
    }

    /// A connection to `address` is about to be made, to just any node.
    pub(crate) fn handle_connecting(&self, address: Arc<str>) {
        self.lock().address = address;
    }

    pub(crate) fn address(&self) -> Arc<str> {
        Arc::clone(&self.lock().address)
    }

    /// Takes note of what was learnt from failed tries. Whether that changed the map.
    pub(crate) fn handle_hints(&self, hints: &[TopologyHint]) -> bool {
        let mut state = self.lock();
        let changed = hints.iter().filter(|hint| state.topology.handle_hint(hint)).count() > 0;
        drop(state);
        if changed {
            self.tell();
        }
        changed
    }

    /// Has `listener` called for every new map, for as long as it is kept.
    pub(crate) fn listen(&self, listener: Weak<Listener>) {
        let mut listeners = self.listeners();
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(listener);
    }

    /// Tells of a new map.
    fn tell(&self) {
        let listeners: Vec<_> = self.listeners().iter().filter_map(Weak::upgrade).collect();
        listeners.iter().for_each(|listener| listener());
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Weak<Listener>>> {
        self.current().listeners.lock()
    }

    /// Has `watcher` told of silent nodes, for as long as it is kept.
    pub(crate) fn watch(&self, watcher: Weak<Watcher>) {
        *self.watcher() = Some(watcher);
    }

    /// The node at `address` could not be reached, or is `silent`; or it has answered after that.
    pub(crate) fn handle_silence(&self, address: &HostPort, silent: bool) {
        let watcher = self.watcher().as_ref().and_then(Weak::upgrade);
        if let Some(watcher) = watcher {
            watcher(address, silent);
        }
    }

    fn watcher(&self) -> MutexGuard<'_, Option<Weak<Watcher>>> {
        self.current().watcher.lock()
    }

    /// A caller wants a refresh. Says how many will have [ended](Self::ended) with the next that begins from
    /// now on.
    pub(crate) fn want(&self) -> u64 {
        let mut state = self.lock();
        state.topology.handle_wanted();
        state.ended + if state.topology.is_under_way() { 2 } else { 1 }
    }

    /// Whether a task or thread is to take care of refreshes from now on: there is a reason, and none does.
    pub(crate) fn poll_follower(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let wanted = !state.followed && !state.closed && state.has_reason(now);
        state.followed |= wanted;
        wanted
    }

    /// What the task or thread that takes care of refreshes does now.
    pub(crate) fn poll_work(&self, now: Instant) -> RefreshWork {
        let mut state = self.lock();
        if state.closed {
            return RefreshWork::Nothing;
        }
        if let Some(refresh) = state.topology.poll_refresh(now, fastrand::u64(..)) {
            return RefreshWork::Ask(Box::new(refresh));
        }
        if let Some(replica) = state.topology.poll_probe(now, fastrand::u64(..)) {
            return RefreshWork::Probe(replica);
        }
        let refresh = state.topology.poll_timeout().filter(|_| state.topology.is_wanted());
        let probe = state.topology.poll_probe_timeout();
        match refresh.into_iter().chain(probe).min() {
            // Not longer than that: a node may come into doubt meanwhile.
            Some(until) => RefreshWork::Until(until.min(now + LOOK)),
            None => {
                state.followed = false;
                RefreshWork::Nothing
            }
        }
    }

    /// The node at `address` could not be reached, or is silent.
    pub(super) fn handle_lost(&self, address: &HostPort, now: Instant) {
        self.lock().topology.handle_lost(address, now);
    }

    /// The node at `address` has answered.
    pub(super) fn handle_heard(&self, address: &HostPort) {
        self.lock().topology.handle_heard(address);
    }

    /// Whether the node at `address` is a primary in doubt.
    pub(super) fn is_lost(&self, address: &HostPort) -> bool {
        self.lock().topology.is_lost(address)
    }

    /// A node was asked for its role. Whether it has taken over.
    pub(super) fn handle_probed(&self, node: &HostPort, role: &Value) -> bool {
        let mut state = self.lock();
        let changed = state.topology.handle_probed(node, role);
        state.switches += u64::from(changed);
        drop(state);
        if changed {
            self.tell();
        }
        changed
    }

    /// Slots have another primary.
    pub(super) fn handle_switched(&self) {
        self.lock().switches += 1;
    }

    /// How often slots were found to have another primary. A caller that waits for one need not wait any
    /// longer when this grows.
    pub(crate) fn switches(&self) -> u64 {
        self.lock().switches
    }

    /// A refresh has ended.
    pub(crate) fn handle_refreshed(&self, result: Result<FetchedMap>, now: Instant) {
        let mut state = self.lock();
        state.ended += 1;
        state.failure = result.as_ref().err().cloned();
        state.topology.handle_refreshed(result, now, fastrand::u64(..));
        drop(state);
        self.tell();
    }

    /// The task or thread that took care of refreshes is gone.
    pub(crate) fn handle_no_driver(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.followed) {
            let gone = Error::usage("no task or thread is there to ask for the map of the cluster");
            state.topology.handle_refreshed(Err(gone), clock::now(), fastrand::u64(..));
        }
    }

    /// No task or thread asks for the map any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How many refreshes have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.lock().ended
    }

    /// What a caller hears that waits for the refresh that is the `goal`th to end.
    pub(crate) fn poll_refreshed(&self, goal: u64) -> Option<Result<()>> {
        let state = self.lock();
        match &state.failure {
            _ if state.closed => Some(Err(setup::closed_client())),
            _ if state.ended < goal => None,
            Some(failure) => Some(Err(failure.clone())),
            None => Some(Ok(())),
        }
    }

    /// Why the last refresh failed, if it did.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.lock().failure.clone()
    }

    /// Why the last refresh failed, if time alone will not mend that.
    pub(super) fn permanent_failure(&self) -> Option<Error> {
        self.failure().filter(|error| !heals(error))
    }
}

impl TopologyProcess {
    fn new(seeds: &[HostPort], options: &ClusterOptions, tls: bool) -> Self {
        let state = TopologyState {
            topology: Topology::new(seeds.to_vec(), options.clone(), tls, clock::now()),
            followed: false,
            closed: false,
            ended: 0,
            failure: None,
            switches: 0,
            address: "the cluster".into(),
        };
        Self { state: Mutex::new(state), listeners: Mutex::default(), watcher: Mutex::default() }
    }
}

impl TopologyState {
    /// Whether there is more reason to ask for the map than that it grows old one day.
    fn has_reason(&self, now: Instant) -> bool {
        self.topology.is_wanted()
            || self.topology.is_probing()
            || self.topology.poll_timeout().is_some_and(|next| next <= now)
    }
}

impl fmt::Debug for SharedTopology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTopology").field("seeds", &self.seeds).finish_non_exhaustive()
    }
}
