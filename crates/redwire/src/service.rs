//! The servers of a service that sentinels watch, as the connections of one client see them: who is believed to be the master,
//! until somebody doubts it. It must not know how either driver waits.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redwire_core::config::{Config, HostPort, ReadFrom, Topology};
use redwire_core::pubsub::Message;
use redwire_core::sentinel::{Discovery, Found, News, Sentinels};
use redwire_core::{Error, ErrorKind, Outcome, Result, SentinelFault};

/// A former master has so long to send away those who wait at it. Then they are cut off.
pub(crate) const SENT_AWAY: Duration = Duration::from_millis(500);

/// Who has connections to the servers of a service.
pub(crate) trait Follower: Send + Sync {
    /// The service has another master: no call begins on the connections there are.
    fn leave(self: Arc<Self>);

    /// Ends the connections that are still in use.
    fn cut(self: Arc<Self>);
}

/// One service.
pub(crate) struct Service {
    name: String,
    min_other_sentinels: u32,
    read_from: ReadFrom,
    state: Mutex<State>,
}

struct State {
    sentinels: Sentinels,
    /// The master that was found last, until it is doubted.
    master: Option<HostPort>,
    /// Where the newest connection leads, for messages; the name before there is any.
    address: Arc<str>,
    /// Who told of the servers that were tried last.
    witness: Option<HostPort>,
    /// Which replica is next, and how many could not be connected to since the last that could.
    turn: usize,
    failed: usize,
    followers: Vec<Weak<dyn Follower>>,
}

impl Service {
    /// The service that `config` names; `None` where it names servers themselves.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let Topology::Sentinel { nodes, service } = config.topology() else { return None };
        let options = config.sentinel_options();
        let state = State {
            sentinels: Sentinels::new(nodes.clone()),
            master: None,
            address: service.as_str().into(),
            witness: None,
            turn: 0,
            failed: 0,
            followers: Vec::new(),
        };
        Some(Self {
            name: service.clone(),
            min_other_sentinels: options.min_other_sentinels,
            read_from: options.read_from,
            state: Mutex::new(state),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under this lock, and every change to the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The sentinels that are known, in the order in which they are asked.
    pub(crate) fn sentinels(&self) -> Vec<HostPort> {
        self.lock().sentinels.addresses().to_vec()
    }

    /// The master, while it is believed to be known. Replicas come and go, and are asked for each time.
    pub(crate) fn master(&self) -> Option<HostPort> {
        self.lock().master.clone().filter(|_| self.read_from == ReadFrom::Master)
    }

    pub(crate) fn discovery(&self) -> Discovery {
        Discovery::new(&self.name, &self.lock().sentinels, self.min_other_sentinels)
    }

    /// Takes note of what sentinels told somebody who does not connect, and says where the master is.
    pub(crate) fn handle_asked(&self, found: &Found) -> HostPort {
        let mut state = self.lock();
        let master = state.sentinels.newest_master(found);
        state.sentinels.handle_found(found);
        master
    }

    /// Takes note of what a discovery has found, and chooses the server to connect to.
    ///
    /// # Errors
    /// There is no replica, and nothing else will do.
    pub(crate) fn handle_found(&self, found: Found) -> Result<HostPort> {
        let mut state = self.lock();
        let master = state.sentinels.newest_master(&found);
        state.sentinels.handle_found(&found);
        state.witness = Some(found.witness.clone());
        let replicas = &found.replicas;
        let chosen = match self.read_from {
            ReadFrom::Master => master.clone(),
            ReadFrom::ReplicaPreferred if state.failed >= replicas.len() => master.clone(),
            _ if replicas.is_empty() => return Err(no_replica(&self.name)),
            _ => {
                state.turn = state.turn.wrapping_add(1);
                replicas[state.turn % replicas.len()].clone()
            }
        };
        state.master = Some(master);
        Ok(chosen)
    }

    /// Somebody tells that `master` is the master: says whether connections lead elsewhere.
    pub(crate) fn handle_switched(&self, master: HostPort) -> bool {
        let mut state = self.lock();
        // Before the first attempt to connect, the address is the service's name, and nobody has anything to leave.
        let is_other = *state.address != *master.to_string() && *state.address != *self.name;
        state.sentinels.handle_switched(&master);
        state.master = Some(master);
        is_other && self.read_from == ReadFrom::Master
    }

    /// A sentinel published `message`: says which master it names, if it is about that.
    pub(crate) fn handle_message(&self, message: &Message) -> Option<HostPort> {
        let text = String::from_utf8_lossy(&message.payload);
        match News::parse(&self.name, &message.channel_text(), &text)? {
            News::Switched { master } => Some(master),
            News::Replicas => {
                self.doubt();
                None
            }
        }
    }

    /// An attempt to connect to `address` begins.
    pub(crate) fn handle_connecting(&self, address: Arc<str>) {
        self.lock().address = address;
    }

    /// Where connections lead, for messages.
    pub(crate) fn address(&self) -> Arc<str> {
        Arc::clone(&self.lock().address)
    }

    /// A connection is up.
    pub(crate) fn handle_connected(&self) {
        self.lock().failed = 0;
    }

    /// A connection could not be made.
    pub(crate) fn handle_failed(&self, error: &Error) {
        let mut state = self.lock();
        state.master = None;
        state.sentinels.handle_failed();
        state.failed += 1;
        if error.kind() == ErrorKind::Sentinel(SentinelFault::NotMaster)
            && let Some(witness) = state.witness.take()
        {
            state.sentinels.handle_distrusted(&witness);
        }
    }

    /// The master may be another by now: sentinels are asked before anybody connects again.
    pub(crate) fn doubt(&self) {
        self.lock().master = None;
    }

    /// Has `follower` told of each [`switch`](Self::switch), for as long as it is there.
    pub(crate) fn follow(&self, follower: Weak<dyn Follower>) {
        let mut state = self.lock();
        state.followers.retain(|follower| follower.strong_count() > 0);
        state.followers.push(follower);
    }

    /// Has everybody leave the server that was master.
    pub(crate) fn switch(&self) {
        self.followers().into_iter().for_each(Follower::leave);
    }

    /// Ends what connections to it are still in use: it had time to send them away itself.
    pub(crate) fn cut(&self) {
        self.followers().into_iter().for_each(Follower::cut);
    }

    fn followers(&self) -> Vec<Arc<dyn Follower>> {
        self.lock().followers.iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether an answer of `kind` means that the server is no master any more.
    pub(crate) fn is_demotion(&self, error: &Error) -> bool {
        self.read_from == ReadFrom::Master && error.is_demotion()
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
