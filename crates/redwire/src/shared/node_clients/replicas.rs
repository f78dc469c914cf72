//! The replicas of a service as one client reads from them: a client for each, and whose turn it is. Which
//! that is, and which replica is passed over, is decided in `redwire-core`; this file must not know how
//! either driver waits.
//!
//! Where the replicas are is learnt by the client's own connection, which asks the sentinels, and by what
//! listens to them. Until that is known, and while no replica is of use, calls go over the client's own.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use redwire_core::config::HostPort;
use redwire_core::pool::PoolStats;
use redwire_core::sentinel::ReplicaChoice;

use super::NodeClient;
use crate::shared::service::Service;
use crate::shared::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::shared::sync::{Mutex, MutexGuard};
use crate::shared::target::Target;

/// The connections to each replica. `C` is a client of one server, of either driver.
pub(crate) struct ReplicaClients<C> {
    /// The service.
    target: Arc<Target>,
    make: Box<dyn Fn(&HostPort) -> C + Send + Sync>,
    figures: fn(&C) -> PoolStats,
    view: ArcSwap<ReplicaView<C>>,
    /// Whose turn it is, and whose it was first.
    turn: AtomicUsize,
    first: usize,
    /// Whether the client's own connections may be up.
    uses_own: AtomicBool,
    state: Mutex<ReplicasState>,
}

/// The replicas that were told last, with a client for each: a snapshot, swapped whole.
struct ReplicaView<C> {
    told: Arc<ReplicaChoice>,
    clients: Vec<Arc<NodeClient<C>>>,
}

#[derive(Default)]
struct ReplicasState {
    closed: bool,
    /// The figures of those that there were.
    former: PoolStats,
}

impl<C> ReplicaClients<C> {
    /// Those of the service that `target` leads to; `None` where it leads to no service, or to its master.
    /// `make` gives a client for a replica, not connected yet, and `figures` what its connections do.
    pub(crate) fn of(
        target: &Arc<Target>,
        make: impl Fn(&HostPort) -> C + Send + Sync + 'static,
        figures: fn(&C) -> PoolStats,
    ) -> Option<Arc<Self>> {
        let told = Arc::clone(&target.service()?.readers());
        let first = fastrand::usize(..);
        told.reads_replicas().then(|| {
            Arc::new(Self {
                target: Arc::clone(target),
                make: Box::new(make),
                figures,
                view: ArcSwap::from_pointee(ReplicaView { told, clients: Vec::new() }),
                turn: AtomicUsize::new(first),
                first,
                uses_own: AtomicBool::new(true),
                state: Mutex::default(),
            })
        })
    }

    fn service(&self) -> &Service {
        self.target.service().expect("it was made for a service")
    }

    fn lock(&self) -> MutexGuard<'_, ReplicasState> {
        self.state.lock()
    }

    /// Whether there is a replica that calls go to.
    pub(crate) fn has_fit(&self, now: Instant) -> bool {
        self.service().readers().choose(0, now).is_some()
    }

    /// The server for what stays at one: a replica, or where any connection would lead now.
    pub(crate) fn any(&self, now: Instant) -> Option<Arc<NodeClient<C>>> {
        let told = self.service().readers();
        let address = told.choose_any(self.turn.fetch_add(1, Ordering::Relaxed), now)?;
        // The master's is made for this, and goes with it.
        self.replica(&told, address).or_else(|| Some(NodeClient::new(address, &self.make)))
    }

    /// How many calls were made in all.
    pub(crate) fn calls(&self) -> u64 {
        self.turn.load(Ordering::Relaxed).wrapping_sub(self.first) as u64
    }

    /// The replica that a call goes to which begins `now`, and whether that one was passed over until now, so
    /// that its answer is to be told. `None`: the call goes over the client's own connections. Where those
    /// are not needed any more, `rest` has them closed; it says whether that is done.
    pub(crate) fn pick(
        &self,
        now: Instant,
        rest: impl FnOnce() -> bool,
    ) -> Option<(Arc<NodeClient<C>>, bool)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let picked = self.pick_at(turn, now);
        if picked.is_none() {
            self.uses_own.store(true, Ordering::Relaxed);
        } else if self.uses_own.load(Ordering::Relaxed) && rest() {
            self.uses_own.store(false, Ordering::Relaxed);
        }
        picked
    }

    fn pick_at(&self, turn: usize, now: Instant) -> Option<(Arc<NodeClient<C>>, bool)> {
        let service = self.service();
        let told = service.readers();
        let chosen = told.choose(turn, now)?;
        if !told.is_doubtful(chosen, now) {
            return Some((self.replica(&told, chosen)?, false));
        }
        if service.poll_trial(chosen, now) {
            return Some((self.replica(&told, chosen)?, true));
        }
        // Another call tries it.
        let told = service.readers();
        Some((self.replica(&told, told.choose(turn, now)?)?, false))
    }

    /// The one at `address`, which was `told`.
    fn replica(&self, told: &Arc<ReplicaChoice>, address: &HostPort) -> Option<Arc<NodeClient<C>>> {
        let find = |view: &ReplicaView<C>| {
            view.clients.iter().find(|replica| replica.address == *address).map(Arc::clone)
        };
        let view = self.view.load();
        match Arc::ptr_eq(&view.told, told) {
            true => find(&view),
            false => find(&*self.follow()?),
        }
    }

    /// Goes by what was told last from now on. `None` where the client is closed.
    #[cold]
    fn follow(&self) -> Option<Arc<ReplicaView<C>>> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let (told, view) = (Arc::clone(&self.service().readers()), self.view.load_full());
        if Arc::ptr_eq(&told, &view.told) {
            return Some(view);
        }
        let known = |address: &HostPort| view.clients.iter().find(|replica| replica.address == *address);
        let client =
            |address| known(address).map_or_else(|| NodeClient::new(address, &self.make), Arc::clone);
        let clients: Vec<_> = told.replicas().iter().map(client).collect();
        for left in view.clients.iter().filter(|left| !told.replicas().contains(&left.address)) {
            state.former = std::mem::take(&mut state.former).plus(&(self.figures)(&left.client).past());
        }
        let view = Arc::new(ReplicaView { told, clients });
        self.view.store(Arc::clone(&view));
        Some(view)
    }

    /// All there are, by what was told last.
    pub(crate) fn all(&self) -> Vec<Arc<NodeClient<C>>> {
        self.follow().unwrap_or_else(|| self.view.load_full()).clients.clone()
    }

    /// What the connections to all of them do, and did so far.
    pub(crate) fn stats(&self) -> PoolStats {
        let clients = self.all();
        let former = self.lock().former.clone();
        clients.iter().fold(former, |sum, replica| sum.plus(&(self.figures)(&replica.client)))
    }

    /// There will be none any more. Gives those there were.
    pub(crate) fn close(&self) -> Vec<Arc<NodeClient<C>>> {
        self.lock().closed = true;
        self.all()
    }
}
