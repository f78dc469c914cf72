//! One server, one service whose servers sentinels tell, or one cluster, and what all connections of a client
//! to it have in common: how it is reached, what it was found to speak, who listens to their lives, and how
//! many retries are left. It must not know how either driver waits.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redwire_core::budget::RetryBudget;
use redwire_core::call::Call;
use redwire_core::cluster;
use redwire_core::config::{Config, Deployment, Endpoint, HostPort, Protocol};
use redwire_core::handshake::Session;
use redwire_core::retry::Attempt;
use redwire_core::standing::{self, Replace, RetryTurn, Standing};
use redwire_core::{Error, Result};

use crate::shared::clock;
use crate::shared::connection_limit::{ConnectionLimit, LimitShare, LimitedPool};
use crate::shared::events::{EventKind, Hub};
use crate::shared::lookups::Lookups;
use crate::shared::node_clients::SharedTopology;
use crate::shared::owner::PerProcess;
use crate::shared::service::{Follower, Followers, Service};
use crate::shared::setup;
use crate::shared::sync::atomic::{AtomicBool, Ordering};
use crate::shared::sync::{Mutex, MutexGuard};
#[cfg(feature = "tls")]
use crate::tls;

/// So long before its deadline a call that was refused is made a last time.
const LAST: Duration = Duration::from_millis(50);

/// One server as its connections see it.
#[derive(Debug)]
pub(crate) struct Target {
    config: Config,
    route: Destination,
    #[cfg(feature = "tls")]
    tls: Option<Arc<tls::TlsConnector>>,
    /// Whether the server was found to speak nothing but RESP2, so that it is not asked again each time.
    is_plain: AtomicBool,
    events: Arc<Hub>,
    lookups: Arc<Lookups>,
    budget: Mutex<RetryBudget>,
    /// What the server said of itself over these connections.
    standing: Mutex<Standing>,
    /// What has connections to it, where no service keeps them.
    followers: Followers,
    /// The limit of connections to all nodes of the cluster, if there is one.
    connection_limit: Option<Arc<PerProcess<Arc<ConnectionLimit>>>>,
}

/// Where connections lead.
#[derive(Debug)]
enum Destination {
    Server {
        endpoint: Endpoint,
        address: Arc<str>,
    },
    /// To one node of this cluster.
    Node {
        node: HostPort,
        address: Arc<str>,
        shared_topology: Arc<SharedTopology>,
    },
    Service(Box<Service>),
    /// To one replica of the service that `of` leads to.
    Replica {
        replica: HostPort,
        address: Arc<str>,
        of: Arc<Target>,
    },
    /// To any node.
    Cluster(Arc<SharedTopology>),
}

/// Where the next connection leads.
pub(crate) enum ConnectTo<'t> {
    /// To this server.
    Server(Endpoint),
    /// Where the sentinels say.
    Ask(&'t Service),
}

impl Target {
    pub(crate) fn new(config: Config) -> Result<Arc<Self>> {
        Self::with_lookups(config, Arc::default())
    }

    /// One node of this cluster, or one replica of this service. What happens to its connections is told
    /// here, too.
    pub(crate) fn node(self: &Arc<Self>, node: &HostPort) -> Arc<Self> {
        let address: Arc<str> = node.to_string().into();
        let route = match (self.shared_topology(), self.service()) {
            (Some(shared_topology), _) => {
                let shared_topology = Arc::clone(shared_topology);
                Destination::Node { node: node.clone(), address, shared_topology }
            }
            (_, Some(_)) => Destination::Replica { replica: node.clone(), address, of: Arc::clone(self) },
            _ => Destination::Server { endpoint: Endpoint::Tcp(node.clone()), address },
        };
        let config = match self.service() {
            Some(_) => self.config.for_replica(),
            None => self.config.for_node(node.clone()),
        };
        Arc::new(Self {
            route,
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
            is_plain: AtomicBool::new(self.is_plain.load(Ordering::Relaxed)),
            events: Arc::clone(&self.events),
            lookups: Arc::clone(&self.lookups),
            budget: Mutex::new(RetryBudget::new(self.config.retry_budget())),
            connection_limit: self.connection_limit.clone(),
            standing: Mutex::default(),
            followers: Followers::default(),
            config,
        })
    }

    /// What leads to `endpoint`, where a connection led that was made to this: this, or one of its replicas.
    pub(crate) fn at(self: &Arc<Self>, endpoint: &Endpoint) -> Arc<Self> {
        match (self.service(), endpoint) {
            (Some(service), Endpoint::Tcp(replica)) if service.readers().reads_replicas() => {
                self.node(replica)
            }
            _ => Arc::clone(self),
        }
    }

    /// As [`new`](Self::new), sharing what is looked up.
    pub(crate) fn with_lookups(config: Config, lookups: Arc<Lookups>) -> Result<Arc<Self>> {
        setup::check_features(&config)?;
        #[cfg(feature = "tokio")]
        if config.connector().is_some() {
            clock::follow_runtime();
        }
        if let Some(seed) = config.seed() {
            fastrand::seed(seed);
        }
        let route = match (config.deployment(), Service::of(&config), SharedTopology::of(&config)) {
            (_, Some(service), _) => Destination::Service(Box::new(service)),
            (_, _, Some(shared_topology)) => Destination::Cluster(Arc::new(shared_topology)),
            (Deployment::Single(endpoint), ..) => {
                Destination::Server { address: setup::address(endpoint), endpoint: endpoint.clone() }
            }
            _ => return Err(Error::usage("a server, a service or a cluster was expected")),
        };
        Ok(Arc::new(Self {
            #[cfg(feature = "tls")]
            tls: match setup::tls_host(&config) {
                Some(host) => Some(Arc::new(tls::TlsConnector::new(config.tls_options(), host)?)),
                None => None,
            },
            route,
            is_plain: AtomicBool::new(config.protocol() == Protocol::Resp2),
            events: Arc::default(),
            lookups,
            budget: Mutex::new(RetryBudget::new(config.retry_budget())),
            connection_limit: config.cluster_options().max_connections.map(ConnectionLimit::new),
            standing: Mutex::default(),
            followers: Followers::default(),
            config,
        }))
    }

    #[inline]
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The server to connect to, or the sentinels to ask.
    pub(crate) fn next_server(&self) -> ConnectTo<'_> {
        match &self.route {
            Destination::Server { endpoint, .. } => ConnectTo::Server(endpoint.clone()),
            Destination::Node { node: server, .. } | Destination::Replica { replica: server, .. } => {
                ConnectTo::Server(Endpoint::Tcp(server.clone()))
            }
            Destination::Cluster(shared_topology) => ConnectTo::Server(Endpoint::Tcp(shared_topology.any())),
            Destination::Service(service) => match service.master() {
                Some(master) => ConnectTo::Server(Endpoint::Tcp(master)),
                None => ConnectTo::Ask(service),
            },
        }
    }

    /// The service whose servers sentinels tell; `None` where it is one server.
    pub(crate) fn service(&self) -> Option<&Service> {
        match &self.route {
            Destination::Service(service) => Some(service),
            Destination::Server { .. }
            | Destination::Node { .. }
            | Destination::Replica { .. }
            | Destination::Cluster(_) => None,
        }
    }

    /// What sentinels are asked for: this, or the service of which it is one replica.
    pub(crate) fn whole_service(self: &Arc<Self>) -> &Arc<Self> {
        if let Destination::Replica { of, .. } = &self.route { of } else { self }
    }

    /// The replica of a service is `fit`, or was of no use.
    fn handle_replica(&self, fit: bool) {
        if let Destination::Replica { replica, of, .. } = &self.route
            && let Some(service) = of.service()
        {
            service.handle_replica(replica, fit);
        }
    }

    /// The cluster whose map all connections share; `None` where there is none.
    pub(crate) fn shared_topology(&self) -> Option<&Arc<SharedTopology>> {
        match &self.route {
            Destination::Cluster(shared_topology) => Some(shared_topology),
            Destination::Server { .. }
            | Destination::Node { .. }
            | Destination::Replica { .. }
            | Destination::Service(_) => None,
        }
    }

    /// The limit of connections to all nodes of the cluster, if this leads to one, or to one of its nodes.
    pub(crate) fn connection_limit(&self) -> Option<&Arc<ConnectionLimit>> {
        self.connection_limit.as_deref().map(ConnectionLimit::current)
    }

    /// What `pool` has of that limit from now on. With `shares`, a connection beside it leads to the same
    /// server, over which calls are shared: to a node, as those of the whole cluster go over its nodes'.
    pub(crate) fn join_limit(&self, shares: bool, pool: Weak<dyn LimitedPool>) -> Option<LimitShare> {
        let beside = usize::from(shares && matches!(self.route, Destination::Node { .. }));
        Some(self.connection_limit()?.join(beside, pool, clock::now()))
    }

    /// Has `follower` told of each other master, and when its connections are of no use, for as long as it is
    /// there.
    pub(crate) fn follow<F: Follower + 'static>(&self, follower: &Arc<F>) {
        let follower: Weak<F> = Arc::downgrade(follower);
        self.followers().add(follower);
    }

    fn followers(&self) -> &Followers {
        self.service().map_or(&self.followers, Service::followers)
    }

    /// Has new connections made in the place of these.
    #[cold]
    fn replace(&self, these: Replace) {
        self.followers().all().into_iter().for_each(|follower| follower.replace(these));
    }

    /// An attempt to connect to `endpoint` begins.
    pub(crate) fn handle_connecting(&self, endpoint: &Endpoint) {
        match &self.route {
            Destination::Server { .. } | Destination::Node { .. } | Destination::Replica { .. } => {}
            Destination::Service(service) => service.handle_connecting(setup::address(endpoint)),
            Destination::Cluster(shared_topology) => {
                shared_topology.handle_connecting(setup::address(endpoint))
            }
        }
        self.tell(EventKind::Connecting);
    }

    /// Where connections lead now, for messages. Of a service without a server it is its name.
    fn address(&self) -> Arc<str> {
        match &self.route {
            Destination::Server { address, .. }
            | Destination::Node { address, .. }
            | Destination::Replica { address, .. } => Arc::clone(address),
            Destination::Service(service) => service.address(),
            Destination::Cluster(shared_topology) => shared_topology.address(),
        }
    }

    pub(crate) fn events(&self) -> &Hub {
        &self.events
    }

    /// What is being looked up for the connections.
    pub(crate) fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// The protocol to begin with.
    pub(crate) fn protocol(&self) -> Protocol {
        if self.is_plain.load(Ordering::Relaxed) { Protocol::Resp2 } else { Protocol::Resp3 }
    }

    /// What TLS says on a new connection to `host`; `None` where there is no TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn tls_session(&self, host: &str) -> Result<Option<tls::TlsSession>> {
        let Some(connector) = &self.tls else { return Ok(None) };
        connector.session_for(host).map(Some)
    }

    /// Tells listeners what happened to a connection.
    pub(crate) fn tell(&self, kind: EventKind) {
        match (&kind, &self.route) {
            (EventKind::Lost(error), Destination::Service(service)) => service.handle_lost(error),
            (EventKind::Lost(error), Destination::Node { .. }) => self.handle_unheard(error),
            _ => {}
        }
        self.events.tell(kind, &self.address());
    }

    /// A connection to `endpoint` is up. Says whether calls that wait at a former master are to be cut off.
    ///
    /// # Errors
    /// It is of no use; see [`Service::handle_connected`].
    pub(crate) fn handle_connected(&self, endpoint: &Endpoint, session: &Session) -> Result<bool> {
        let moved = match (self.service(), endpoint) {
            (Some(service), Endpoint::Tcp(address)) => service.handle_connected(address)?,
            _ => false,
        };
        self.handle_replica(true);
        self.is_plain.store(session.protocol == Protocol::Resp2, Ordering::Relaxed);
        self.tell(EventKind::Ready(session.clone()));
        Ok(moved)
    }

    /// Whether sentinels told of another master while a connection to `tried` was being made: then it is made
    /// to that one.
    pub(crate) fn has_moved_from(&self, tried: Option<&Endpoint>) -> bool {
        match (self.service(), tried) {
            (Some(service), Some(Endpoint::Tcp(address))) => service.has_another_master(address),
            _ => false,
        }
    }

    /// No more connections are made that followed the master.
    pub(crate) fn handle_closed(&self) {
        if let Some(service) = self.service() {
            service.end_watch();
        }
    }

    /// A connection could not be made, to `tried` if it came so far.
    pub(crate) fn handle_unconnected(&self, tried: Option<&Endpoint>, error: &Error) {
        if let Some(service) = self.service() {
            let tried = tried.and_then(|endpoint| match endpoint {
                Endpoint::Tcp(address) => Some(address),
                _ => None,
            });
            service.handle_failed(tried, error);
        }
        self.handle_replica(false);
        if error.is_timeout() {
            // Also where it was the deadline of a call that passed.
            self.handle_silence(true);
        }
        self.handle_unheard(error);
        self.tell(EventKind::Failed(error.clone()));
    }

    /// For how long a node of a cluster or one of several replicas may leave something unanswered before it
    /// is in doubt; `None` where this is neither.
    pub(crate) fn suspected_after(&self) -> Option<Duration> {
        let has_others = matches!(self.route, Destination::Node { .. } | Destination::Replica { .. });
        has_others.then_some(cluster::SILENT)
    }

    /// The server is `silent`, or has answered after that.
    pub(crate) fn handle_silence(&self, silent: bool) {
        if let Destination::Node { node, shared_topology, .. } = &self.route {
            shared_topology.handle_silence(node, silent);
        }
        self.handle_replica(!silent);
    }

    /// A connection could not be made, or was lost.
    fn handle_unheard(&self, error: &Error) {
        if cluster::is_unheard(error) {
            self.handle_silence(true);
        }
    }

    /// Whether a retry is within the budget; `calls` were made in all so far.
    pub(crate) fn may_retry(&self, calls: u64) -> bool {
        self.budget.lock().poll_retry(calls, clock::now())
    }

    /// A call failed.
    pub(crate) fn handle_failure(&self, error: &Error) {
        if let Some(unfit) = standing::unfit(error, &self.config) {
            let (now, random) = (clock::now(), fastrand::u64(..));
            let backoff = self.config.reconnect_backoff();
            let leave = self.standing().handle_refused(unfit, backoff, now, random);
            leave.into_iter().for_each(|these| self.replace(these));
        }
        if let Some(service) = self.service() {
            service.handle_failure(error);
        }
        if cluster::cannot_answer(error) {
            self.handle_replica(false);
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock()
    }

    /// How much longer a call waits before it is made again, if one of its tries was refused over a
    /// connection of no use: while another caller tries what is at the address now.
    #[cold]
    pub(crate) fn wait_for_turn(&self, attempt: &Attempt) -> Option<Duration> {
        if !attempt.was_refused() {
            return None;
        }
        let (now, random) = (clock::now(), fastrand::u64(..));
        let turn = self.standing().poll_turn(self.config.reconnect_backoff(), now, random);
        match turn {
            RetryTurn::Now(leave) => {
                leave.into_iter().for_each(|these| self.replace(these));
                None
            }
            RetryTurn::At(next) => {
                // Whose turn comes too late makes a last try without one.
                let last = attempt.deadline().map(|deadline| deadline.checked_sub(LAST).unwrap_or(now));
                let next = last.map_or(next, |last| last.min(next));
                Some(next.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
            }
        }
    }

    /// A call was answered, in the last of these tries.
    #[inline]
    pub(crate) fn handle_tried(&self, attempt: &Attempt) {
        if attempt.was_refused() {
            self.handle_served();
        }
    }

    #[cold]
    fn handle_served(&self) {
        let leave = self.standing().handle_served();
        leave.into_iter().for_each(|these| self.replace(these));
    }

    /// `call` was answered.
    #[inline]
    pub(crate) fn handle_answered(&self, call: &impl Call) {
        if let Some(error) = call.error_about_server() {
            self.handle_failure(error);
        }
    }

    /// `error`, which ended a call, with where it happened; takes note of what it says about the server.
    pub(crate) fn explain(&self, error: Error) -> Error {
        self.handle_failure(&error);
        self.locate(standing::advised(error, &self.config))
    }

    /// Says that `error` happened here, unless it is known at which node of a cluster. Whatever was asked, it
    /// shows no password.
    pub(crate) fn locate(&self, error: Error) -> Error {
        let quoted = self.config.password().filter(|password| error.message().contains(password.reveal()));
        let error = error.without(quoted.map_or(&[], std::slice::from_ref));
        if self.shared_topology().is_some() && error.address().is_some() {
            return error;
        }
        error.with_address(&self.address())
    }
}
