//! A server's whole state, and what happens to it from outside.
//!
//! This file must not know any command, nor what carries the bytes; time comes in as an argument. How a
//! request becomes a reply is said by `dispatch.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::acl::Acl;
use crate::client::Client;
use crate::cluster::{Cluster, Message};
use crate::conditions::Condition;
use crate::config::Config;
use crate::database::Database;
use crate::log::Executed;
use crate::options::Options;
use crate::pubsub::PubSub;
use crate::replication::Replication;
use crate::reply::Reply;
use crate::script::Scripts;
use crate::sentinel::Services;
use crate::tracking::Tracking;

/// Names a connection, as `CLIENT ID` does. It is never used twice by one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(crate) u64);

impl ClientId {
    /// The number that `CLIENT ID` replies.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for ClientId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A server without sockets, threads and a clock: the same calls give the same bytes.
///
/// Tell it what happened ([`connect`](Self::connect), [`receive`](Self::receive),
/// [`disconnect`](Self::disconnect), [`handle_timeout`](Self::handle_timeout)), then ask
/// [`poll_ready`](Self::poll_ready) for the clients that have something to be sent or are to be hung up on,
/// until there are no more; and [`next_timeout`](Self::next_timeout) for when it wants to be called again.
/// `now` is the time since the model began, and never goes back: an earlier time counts as the latest.
///
/// ```
/// use std::time::Duration;
/// use redwire_model::{Model, Options};
///
/// let mut model = Model::new(Options::new());
/// let client = model.connect("127.0.0.1:50000", Duration::ZERO);
/// model.receive(client, b"SET k v PX 100\r\nGET k\r\n", Duration::ZERO);
/// assert_eq!(model.transmit(client), b"+OK\r\n$1\r\nv\r\n");
/// model.receive(client, b"GET k\r\n", Duration::from_millis(100));
/// assert_eq!(model.transmit(client), b"$-1\r\n");
/// ```
#[derive(Debug)]
pub struct Model {
    pub(crate) options: Options,
    pub(crate) now: Duration,
    pub(crate) began: Duration,
    pub(crate) run_id: String,
    pub(crate) databases: Vec<Database>,
    pub(crate) clients: BTreeMap<u64, Client>,
    pub(crate) watchers: BTreeMap<(usize, Vec<u8>), BTreeSet<u64>>,
    /// Who waits for a key, the one that waits longest first.
    pub(crate) waiting: BTreeMap<(usize, Vec<u8>), Vec<u64>>,
    /// Keys that may have what a client waits for.
    pub(crate) ready_keys: VecDeque<(usize, Vec<u8>)>,
    pub(crate) pubsub: PubSub,
    pub(crate) tracking: Tracking,
    pub(crate) acl: Acl,
    pub(crate) config: Config,
    pub(crate) scripts: Scripts,
    pub(crate) replication: Replication,
    pub(crate) cluster: Option<Cluster>,
    /// Messages of other nodes that came while it was frozen.
    pub(crate) held_messages: Vec<(String, Message)>,
    /// What it watches, if it is a sentinel.
    pub(crate) services: Option<Services>,
    pub(crate) pause: Option<Pause>,
    pub(crate) conditions: BTreeSet<Condition>,
    pub(crate) random: fastrand::Rng,
    /// The client whose command is being executed.
    pub(crate) executing: Option<u64>,
    /// The keys that commands have modified since the last ones were taken.
    pub(crate) changes: Vec<(usize, Vec<u8>)>,
    /// How many changes there were in all.
    pub(crate) dirty: u64,
    pub(crate) log: Vec<Executed>,
    pub(crate) stats: Stats,
    /// Clients whose requests can go on.
    pub(crate) resumed: VecDeque<u64>,
    pub(crate) ready: BTreeSet<u64>,
    delay: Duration,
    arrivals: VecDeque<(Duration, u64, Arrival)>,
    next_client: u64,
}

/// What reaches the server after its delay.
#[derive(Clone, Debug)]
enum Arrival {
    Bytes(Vec<u8>),
    Gone,
}

/// `CLIENT PAUSE`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    pub(crate) until: Duration,
    pub(crate) writes_only: bool,
}

/// What `INFO` counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) connections: u64,
    pub(crate) commands: u64,
    pub(crate) rejected: u64,
    pub(crate) expired: u64,
    pub(crate) errors: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

impl Model {
    /// A server that has no data and no clients.
    pub fn new(options: Options) -> Self {
        let mut random = fastrand::Rng::with_seed(options.seed);
        let run_id = (0..40).map(|_| char::from_digit(random.u32(..16), 16).unwrap_or('0')).collect();
        Self {
            now: Duration::ZERO,
            began: Duration::ZERO,
            run_id,
            databases: vec![Database::default(); options.databases],
            clients: BTreeMap::new(),
            watchers: BTreeMap::new(),
            waiting: BTreeMap::new(),
            ready_keys: VecDeque::new(),
            pubsub: PubSub::default(),
            tracking: Tracking::default(),
            acl: Acl::new(options.password.as_deref()),
            config: Config::new(&options),
            scripts: Scripts::new(),
            replication: Replication::default(),
            cluster: None,
            held_messages: Vec::new(),
            services: None,
            pause: None,
            conditions: BTreeSet::new(),
            random,
            executing: None,
            changes: Vec::new(),
            dirty: 0,
            log: Vec::new(),
            stats: Stats::default(),
            resumed: VecDeque::new(),
            ready: BTreeSet::new(),
            delay: Duration::ZERO,
            arrivals: VecDeque::new(),
            next_client: 1,
            options,
        }
    }

    /// A client connects from `peer` (`127.0.0.1:50000`; it stands in `CLIENT LIST`).
    ///
    /// If there are `maxclients` already it is told so, and hung up on.
    pub fn connect(&mut self, peer: &str, now: Duration) -> ClientId {
        self.turn(now);
        let id = self.next_client;
        self.next_client += 1;
        self.stats.connections += 1;
        let open = self.clients.values().filter(|client| !client.closing).count();
        let is_full = open >= self.config.maxclients();
        let mut client = Client::new(id, peer, self.now);
        client.user = self.acl.first_user();
        if is_full {
            self.stats.rejected += 1;
            client.push(&Reply::Error("ERR max number of clients reached".into()));
            client.closing = true;
        }
        self.clients.insert(id, client);
        if is_full {
            self.ready.insert(id);
        }
        ClientId(id)
    }

    /// Bytes from a client, in pieces of any size.
    pub fn receive(&mut self, client: ClientId, bytes: &[u8], now: Duration) {
        self.turn(now);
        self.arrive(client.0, Arrival::Bytes(bytes.to_vec()));
    }

    /// A client has hung up. What it had sent before is still executed, if it was not waiting.
    pub fn disconnect(&mut self, client: ClientId, now: Duration) {
        self.turn(now);
        self.arrive(client.0, Arrival::Gone);
    }

    /// A client that has something to be sent, or that is to be hung up on. Each is told once for all that
    /// has gathered.
    pub fn poll_ready(&mut self) -> Option<ClientId> {
        self.ready.pop_first().map(ClientId)
    }

    /// What is to be sent to a client.
    #[must_use]
    pub fn output(&self, client: ClientId) -> &[u8] {
        self.clients.get(&client.0).map_or(&[], Client::pending)
    }

    /// The first `count` bytes of the output were sent. What is not sent counts against
    /// `client-output-buffer-limit`.
    pub fn sent(&mut self, client: ClientId, count: usize) {
        if let Some(client) = self.clients.get_mut(&client.0) {
            client.sent = (client.sent + count).min(client.output.len());
            if client.sent == client.output.len() {
                client.output.clear();
                client.sent = 0;
                client.above_soft = None;
            }
        }
    }

    /// All output, which counts as sent.
    pub fn transmit(&mut self, client: ClientId) -> Vec<u8> {
        let bytes = self.output(client).to_vec();
        self.sent(client, bytes.len());
        bytes
    }

    /// Whether the server hangs up on a client once its output is sent. Also `true` for one that is gone.
    #[must_use]
    pub fn is_closing(&self, client: ClientId) -> bool {
        self.clients.get(&client.0).is_none_or(|client| client.closing)
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called, if nothing else happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        if self.is(Condition::Frozen) {
            return None;
        }
        let blocked = self.clients.values().filter_map(|client| client.blocked.as_ref()?.until);
        let pause = self.pause.map(|pause| pause.until);
        let arrival = self.arrivals.front().map(|(when, ..)| *when);
        let soft = self.clients.values().filter_map(|client| self.soft_limit_ends(client));
        let expiry = self.databases.iter().filter_map(Database::next_end).min().filter(|_| self.is_heard());
        let expiry = expiry.map(|end| Duration::from_millis(end).saturating_sub(self.options.unix_time));
        let tick = self.cluster.as_ref().map(|cluster| cluster.next_tick);
        let migration = self.cluster.as_ref().and_then(|cluster| Some(cluster.migration.as_ref()?.until));
        let pause = pause.into_iter().chain(tick).chain(migration);
        blocked.chain(pause).chain(arrival).chain(soft).chain(expiry).min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.turn(now);
        self.settle();
    }

    /// From now on, what clients send, and that they have hung up, reaches the server after this delay.
    /// Default: at once.
    pub fn set_delay(&mut self, delay: Duration) {
        self.delay = delay;
    }

    /// The time since the model began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Milliseconds since 1970.
    pub(crate) fn unix_ms(&self) -> u64 {
        u64::try_from((self.options.unix_time + self.now).as_millis()).unwrap_or(u64::MAX)
    }

    /// The clients that fit, in the order of their ids.
    pub(crate) fn clients_that(&self, fit: impl Fn(&Client) -> bool) -> Vec<u64> {
        self.clients.values().filter(|client| fit(client)).map(|client| client.id).collect()
    }

    pub(crate) fn is(&self, condition: Condition) -> bool {
        self.conditions.contains(&condition)
    }

    /// All clients whose requests may go on, in order, until nothing more happens by itself.
    pub(crate) fn settle(&mut self) {
        if self.is(Condition::Frozen) {
            return;
        }
        while self.arrivals.front().is_some_and(|(when, ..)| *when <= self.now) {
            if let Some((_, id, arrival)) = self.arrivals.pop_front() {
                self.arrived(id, arrival);
                self.proceed();
            }
        }
        for (from, message) in std::mem::take(&mut self.held_messages) {
            self.handle_message(&from, message, self.now);
        }
        self.tick_cluster();
        self.handle_migration_timeout();
        self.expire_keys();
        self.commit();
        self.serve_waiting();
        self.handle_pause_end();
        self.handle_blocked_timeouts();
        self.proceed();
    }

    /// Lets the clients go on that can.
    fn proceed(&mut self) {
        while let Some(id) = self.resumed.pop_front() {
            self.process(id);
        }
        self.broadcast_invalidations();
        self.enforce_output_limits();
        self.ready.extend(self.clients_that(|client| !client.pending().is_empty() || client.closing));
    }

    fn turn(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    fn arrive(&mut self, id: u64, arrival: Arrival) {
        self.arrivals.push_back((self.now + self.delay, id, arrival));
        self.settle();
    }

    fn arrived(&mut self, id: u64, arrival: Arrival) {
        match arrival {
            Arrival::Gone => self.forget(id),
            Arrival::Bytes(bytes) => {
                if let Some(client) = self.clients.get_mut(&id).filter(|client| !client.closing) {
                    client.requests.push(&bytes);
                    client.heard = self.now;
                    self.resumed.push_back(id);
                }
            }
        }
    }

    fn handle_blocked_timeouts(&mut self) {
        let now = self.now;
        let late = self.clients.values().filter(|client| {
            client.blocked.as_ref().is_some_and(|blocked| blocked.until.is_some_and(|until| until <= now))
        });
        let mut late: Vec<(Option<Duration>, u64)> = late
            .map(|client| (client.blocked.as_ref().and_then(|blocked| blocked.until), client.id))
            .collect();
        late.sort_unstable();
        for (_, id) in late {
            let count = self.acknowledged(id);
            if let Some(blocked) = self.unblock(id) {
                let waits_for_replicas = matches!(blocked.on_timeout, Reply::Int(_));
                let reply = if waits_for_replicas { Reply::Int(count) } else { blocked.on_timeout };
                self.write_reply(id, &reply);
            }
        }
    }

    fn handle_pause_end(&mut self) {
        if self.pause.is_some_and(|pause| pause.until <= self.now) {
            self.end_pause();
        }
    }

    /// Lets those go on that came while clients were paused.
    pub(crate) fn end_pause(&mut self) {
        self.pause = None;
        self.resumed.extend(self.clients_that(|client| client.postponed.is_some()));
    }
}
