//! The servers of a service that sentinels watch, as the connections of one client see them: who is believed
//! to be the master, until a connection shows otherwise. It must not know how either driver waits.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use redwire_core::cluster::Remap;
use redwire_core::config::{Config, Deployment, Endpoint, HostPort, ReadFrom};
use redwire_core::pubsub::Message;
use redwire_core::sentinel::{Discovery, FoundServers, ReplicaChoice, Sentinels, ServiceEvent};
use redwire_core::standing::Replace;
use redwire_core::{ConnectionFault, Error, ErrorKind, Outcome, Result, SentinelFault};

use crate::shared::clock;
use crate::shared::lookups::Lookups;
use crate::shared::setup;
use crate::shared::sync::{Mutex, MutexGuard};

/// A former master has so long to send away calls that wait at it. Then they are cut off.
pub(crate) const SENT_AWAY: Duration = Duration::from_millis(500);

/// A sentinel that does not let itself be listened to is tried again after so long. One that is only down is
/// connected to as any server is; this is for one that refuses, and others tell meanwhile.
pub(crate) const RESUBSCRIBE_PAUSE: Duration = Duration::from_secs(5);

/// What has connections to the servers of a service.
pub(crate) trait Follower: Send + Sync {
    /// The service has another master, `next` where that is known: no call begins on the connections there
    /// are to others.
    fn leave_server(self: Arc<Self>, next: Option<&Endpoint>);

    /// By what the server says of itself, `these` connections are of no use: no call begins on them, new ones
    /// are made, and what is under way is answered. Here, for connections that only listen.
    fn replace(self: Arc<Self>, these: Replace) {
        if these != Replace::One {
            self.leave_server(None);
        }
    }

    /// Ends the connections that were left and are still in use, except those where a call waits at the
    /// server.
    fn cut_calls(self: Arc<Self>) {}

    /// Ends those, too.
    fn cut(self: Arc<Self>) {}
}

/// All that have connections, for as long as each is there.
#[derive(Default)]
pub(crate) struct Followers(Mutex<Vec<Weak<dyn Follower>>>);

impl Followers {
    pub(crate) fn add(&self, follower: Weak<dyn Follower>) {
        let mut followers = self.0.lock();
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(follower);
    }

    pub(crate) fn all(&self) -> Vec<Arc<dyn Follower>> {
        self.0.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

impl fmt::Debug for Followers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Followers")
    }
}

/// What listens to one sentinel, for as long as it is kept.
pub(crate) trait SentinelListener: Send {
    /// Whether it still does: its runtime may have ended, or this process be a child of the one that does.
    fn is_alive(&self) -> bool;
}

/// One service.
pub(crate) struct Service {
    name: String,
    min_other_sentinels: u32,
    read_from: ReadFrom,
    remap: Remap,
    state: Mutex<ServiceState>,
    /// Which replicas answer a client that reads from them. Changed under the lock of the state; callers in a
    /// hurry look without it.
    readers: ArcSwap<ReplicaChoice>,
    followers: Followers,
    lookups: Arc<Lookups>,
    /// Held while all connections leave a master, so that no connection to the next is up before all to the
    /// former were left.
    turn: Mutex<()>,
    listeners: Mutex<Vec<(HostPort, Box<dyn SentinelListener>)>>,
}

struct ServiceState {
    sentinels: Sentinels,
    /// The master that was told of last, and whether it may be another by now.
    master: Option<HostPort>,
    suspected: bool,
    /// The master that connections lead to: a connection to another is to leave it.
    followed: Option<HostPort>,
    /// Where the newest connection leads, for messages; the name before there is any.
    address: Arc<str>,
    /// The sentinel that told of the servers that were tried last.
    witness: Option<HostPort>,
}

impl Service {
    /// The service that `config` names; `None` where it names servers themselves.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let Deployment::Sentinel { nodes, service } = config.deployment() else { return None };
        let options = config.sentinel_options();
        let readers = ReplicaChoice::new(options.read_from, fastrand::usize(..));
        let state = ServiceState {
            sentinels: Sentinels::new(nodes.clone()),
            master: None,
            suspected: false,
            followed: None,
            address: service.as_str().into(),
            witness: None,
        };
        Some(Self {
            name: service.clone(),
            min_other_sentinels: options.min_other_sentinels,
            read_from: options.read_from,
            remap: options.remap.clone(),
            state: Mutex::new(state),
            readers: ArcSwap::from_pointee(readers),
            followers: Followers::default(),
            lookups: Arc::default(),
            turn: Mutex::new(()),
            listeners: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, ServiceState> {
        self.state.lock()
    }

    /// What is being looked up for connections to the sentinels.
    pub(crate) fn lookups(&self) -> &Arc<Lookups> {
        &self.lookups
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The sentinels that are known, in the order in which they are asked.
    pub(crate) fn sentinels(&self) -> Vec<HostPort> {
        self.lock().sentinels.addresses().to_vec()
    }

    /// The sentinels that are known, in any order.
    pub(crate) fn shuffled_sentinels(&self) -> Vec<HostPort> {
        let mut sentinels = self.sentinels();
        fastrand::shuffle(&mut sentinels);
        sentinels
    }

    /// The master, while it is believed to be known. Replicas come and go, and are asked for each time.
    pub(crate) fn master(&self) -> Option<HostPort> {
        let state = self.lock();
        state.master.clone().filter(|_| !state.suspected && self.read_from == ReadFrom::Master)
    }

    /// Where the servers are asked for now.
    pub(crate) fn discovery(&self) -> Discovery {
        Discovery::new(&self.name, &self.lock().sentinels, self.min_other_sentinels, self.remap.clone())
    }

    /// Takes note of what sentinels told a caller that does not connect, and says where the master is.
    pub(crate) fn handle_asked(&self, found: &FoundServers) -> HostPort {
        self.handle_told(&mut self.lock(), found)
    }

    /// Takes note of what sentinels told. Gives the master, by that and by all that was told since.
    fn handle_told(&self, state: &mut ServiceState, found: &FoundServers) -> HostPort {
        let master = state.sentinels.newest_master(found);
        state.sentinels.handle_found(found);
        let found = FoundServers { master: master.clone(), ..found.clone() };
        self.change_readers(state, |readers| readers.handle_found(&found, clock::now()));
        master
    }

    /// Takes note of what a discovery has found, and chooses the server to connect to.
    ///
    /// # Errors
    /// There is no replica, and nothing else will do.
    pub(crate) fn handle_found(&self, found: &FoundServers) -> Result<HostPort> {
        let mut state = self.lock();
        let master = self.handle_told(&mut state, found);
        state.witness = Some(found.witness.clone());
        let chosen = self.change_readers(&mut state, |readers| readers.choose_next(clock::now()));
        let chosen = chosen.ok_or_else(|| no_replica(&self.name))?;
        (state.master, state.suspected) = (Some(master), false);
        Ok(chosen)
    }

    /// A sentinel says that `master` is the master. If it is another than before, all connections leave the
    /// former one: calls are cut off at once. Calls that wait at it are to be [cut](Self::cut) after
    /// [`SENT_AWAY`] if this says so.
    #[must_use]
    pub(crate) fn handle_switched(&self, master: HostPort) -> bool {
        let _turn = self.turn();
        let mut state = self.lock();
        state.sentinels.handle_switched(&master);
        (state.master, state.suspected) = (Some(master.clone()), false);
        self.change_readers(&mut state, |readers| readers.handle_switched(&master));
        let moved = state.moves_to(&master);
        drop(state);
        self.move_over(moved, master)
    }

    /// What it means for this service that a sentinel published `message`.
    pub(crate) fn service_event(&self, message: &Message) -> Option<ServiceEvent> {
        let text = String::from_utf8_lossy(&message.payload);
        Some(match ServiceEvent::parse(&self.name, &message.channel_text(), &text)? {
            ServiceEvent::Switched { master } => ServiceEvent::Switched { master: self.remap(master) },
            ServiceEvent::Promoted { replica } => ServiceEvent::Promoted { replica: self.remap(replica) },
            ServiceEvent::Replicas => ServiceEvent::Replicas,
        })
    }

    /// Where a server is reached that a sentinel told of.
    pub(crate) fn remap(&self, told: HostPort) -> HostPort {
        self.remap.apply(told)
    }

    /// An attempt to connect to `address` begins.
    pub(crate) fn handle_connecting(&self, address: Arc<str>) {
        self.lock().address = address;
    }

    /// Where connections lead, for messages.
    pub(crate) fn address(&self) -> Arc<str> {
        Arc::clone(&self.lock().address)
    }

    /// A connection to `address` is up, which has said itself that it plays its part. What a sentinel's word
    /// of another master means for all connections, this means, too; see
    /// [`handle_switched`](Self::handle_switched).
    ///
    /// # Errors
    /// Sentinels told of another while it was being made.
    pub(crate) fn handle_connected(&self, address: &HostPort) -> Result<bool> {
        let _turn = self.turn();
        let mut state = self.lock();
        if self.read_from != ReadFrom::Master {
            return Ok(false);
        }
        if state.master.as_ref().is_some_and(|master| master != address) {
            return Err(setup::left_master());
        }
        let moved = state.moves_to(address);
        drop(state);
        Ok(self.move_over(moved, address.clone()))
    }

    /// Whether sentinels have told of another master than `tried`, where the master is wanted.
    pub(crate) fn has_another_master(&self, tried: &HostPort) -> bool {
        self.is_superseded(&self.lock(), Some(tried))
    }

    fn is_superseded(&self, state: &ServiceState, tried: Option<&HostPort>) -> bool {
        self.read_from == ReadFrom::Master && tried.is_some() && state.master.as_ref() != tried
    }

    /// A connection could not be made, to `tried` if it came so far.
    pub(crate) fn handle_failed(&self, tried: Option<&HostPort>, error: &Error) {
        let mut state = self.lock();
        if self.is_superseded(&state, tried) {
            return;
        }
        state.suspected = true;
        state.sentinels.handle_failed();
        if let Some(tried) = tried.filter(|_| self.read_from != ReadFrom::Master) {
            self.change_readers(&mut state, |readers| readers.handle_unfit(tried, clock::now()));
        }
        if error.kind() == ErrorKind::Sentinel(SentinelFault::NotMaster)
            && let Some(witness) = state.witness.take()
        {
            state.sentinels.handle_distrusted(&witness);
        }
    }

    /// A connection was lost because of `error`: the master may be another by now, and sentinels are asked
    /// before any task or thread connects again. Unless it was left for a master of which they have just
    /// told.
    pub(crate) fn handle_lost(&self, error: &Error) {
        if error.kind() != ErrorKind::Connection(ConnectionFault::LeftMaster) {
            self.suspect();
        }
    }

    fn suspect(&self) {
        self.lock().suspected = true;
    }

    /// All that are told of each other master.
    pub(crate) fn followers(&self) -> &Followers {
        &self.followers
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    fn move_over(&self, moved: bool, master: HostPort) -> bool {
        let moved = moved && self.read_from == ReadFrom::Master;
        if moved {
            self.leave_server(Some(&Endpoint::Tcp(master)));
            self.followers.all().into_iter().for_each(Follower::cut_calls);
        }
        moved
    }

    /// Has all connections leave the server that was master. What is under way at it may end.
    fn leave_server(&self, next: Option<&Endpoint>) {
        self.followers.all().into_iter().for_each(|follower| follower.leave_server(next));
    }

    /// Cuts off calls that wait at a former master: it had time to send them away itself.
    pub(crate) fn cut(&self) {
        self.followers.all().into_iter().for_each(Follower::cut);
    }

    /// Has the sentinels listened to that are to be, by what `listen` gives, if any connection follows the
    /// master.
    pub(crate) fn watch(&self, listen: impl Fn(HostPort) -> Option<Box<dyn SentinelListener>>) {
        // The thread that holds the lock does the same, here or in a parent process that this one is a child
        // of.
        let Some(mut listeners) = self.listeners.try_lock() else { return };
        if self.followers.all().is_empty() {
            return;
        }
        let sentinels: Vec<_> = self.lock().sentinels.listened().cloned().collect();
        listeners.retain(|(sentinel, listener)| sentinels.contains(sentinel) && listener.is_alive());
        for sentinel in sentinels {
            if !listeners.iter().any(|(listened, _)| *listened == sentinel)
                && let Some(listener) = listen(sentinel.clone())
            {
                listeners.push((sentinel, listener));
            }
        }
    }

    /// No connection follows the master any longer.
    pub(crate) fn end_watch(&self) {
        if let Some(mut listeners) = self.listeners.try_lock() {
            listeners.clear();
        }
    }

    /// The server answered with `error`: where that means that it is no master any more, all connections
    /// leave it. It lives, and answers those under way itself.
    pub(crate) fn handle_failure(&self, error: &Error) {
        if self.is_demotion(error) {
            self.suspect();
            self.leave_server(None);
        } else if self.read_from != ReadFrom::Master && error.kind() == ErrorKind::Busy {
            self.handle_unfit();
        }
    }

    /// A replica has no data to answer from: another does, or the master.
    fn handle_unfit(&self) {
        let mut state = self.lock();
        self.change_readers(&mut state, |readers| readers.handle_refusal(clock::now()));
        drop(state);
        self.leave_server(None);
    }

    /// The replicas, and which of them are passed over.
    #[inline]
    pub(crate) fn readers(&self) -> Guard<Arc<ReplicaChoice>> {
        self.readers.load()
    }

    fn change_readers<T>(&self, _: &mut ServiceState, change: impl FnOnce(&mut ReplicaChoice) -> T) -> T {
        let mut readers = ReplicaChoice::clone(&self.readers());
        let output = change(&mut readers);
        self.readers.store(Arc::new(readers));
        output
    }

    /// The replica at `address` is `fit`, or was of no use.
    pub(crate) fn handle_replica(&self, address: &HostPort, fit: bool) {
        self.change_readers(&mut self.lock(), |readers| match fit {
            true => drop(readers.handle_fit(address)),
            false => readers.handle_unfit(address, clock::now()),
        });
    }

    /// Whether this call is the one that tries the replica at `address`.
    #[cold]
    pub(crate) fn poll_trial(&self, address: &HostPort, now: Instant) -> bool {
        self.change_readers(&mut self.lock(), |readers| readers.poll_trial(address, now))
    }

    /// When the sentinels are to be asked for the replicas, though nothing happened; `None` where that is not
    /// wanted.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.readers().poll_timeout()
    }

    /// Whether the sentinels are to be asked for the replicas now.
    pub(crate) fn poll_look(&self) -> bool {
        self.change_readers(&mut self.lock(), |readers| readers.poll_look(clock::now()))
    }

    fn is_demotion(&self, error: &Error) -> bool {
        self.read_from == ReadFrom::Master && error.is_demotion()
    }
}

impl ServiceState {
    /// Whether connections lead to another master than `master`, to which they lead from now on.
    fn moves_to(&mut self, master: &HostPort) -> bool {
        let former = self.followed.replace(master.clone());
        former.is_some() && former != self.followed
    }
}

#[cold]
fn no_replica(service: &str) -> Error {
    let message =
        format!("the sentinels tell no replica of {service:?} that is up and in touch with its master");
    Error::new(ErrorKind::Sentinel(SentinelFault::NoReplica), Outcome::NotSent, message)
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}
