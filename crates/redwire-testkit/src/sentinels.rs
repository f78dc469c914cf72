//! A master, its replicas, and the sentinels that watch them, in less than a second.
//!
//! The sentinels are told of each other and of the replicas beforehand, and started last, so that they agree
//! as soon as they run; by themselves they would take some ten seconds. From then on the kit does not help
//! them: what they find out and decide is theirs. This file must not know the client under test.

mod builder;
mod events;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

pub use self::builder::SentinelSetBuilder;
pub use self::events::{Switch, SwitchEvents};
use crate::resp::Value;
use crate::server::login;
use crate::set::{LIMIT, PERIOD, wait_settled};
use crate::{Node, Server};

/// One master, its replicas and their sentinels, each a [`Server`] of its own. Dropping it ends them all.
///
/// The first node is the master at the start. A node that is down for a second is taken for dead. How long
/// sentinels take for the rest is in their nature: they tell each other of a new master within two seconds,
/// and send a former master, alive or back, after the new one within about ten ([`rejoin`](Self::rejoin) is
/// quicker, or [`quick`](SentinelSetBuilder::quick)).
///
/// ```
/// # if redwire_testkit::find_server().is_none() { return }
/// let set = redwire_testkit::SentinelSet::start();
/// assert_eq!((set.nodes().len(), set.sentinels().len()), (3, 3));
/// assert_eq!(set.master(), set.nodes()[0].address());
/// assert!(set.url().ends_with("/mymaster"));
/// ```
#[derive(Debug)]
pub struct SentinelSet {
    sentinels: Vec<Server>,
    nodes: Vec<Node>,
    service: String,
    tls: bool,
}

impl SentinelSet {
    /// Starts a master, two replicas and three sentinels, and returns when all agree, in less than a second.
    ///
    /// # Panics
    ///
    /// If one of them doesn't start, or they don't agree within a minute.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// To start a set with passwords, TLS, proxies, directives, other numbers or another binary.
    pub fn builder() -> SentinelSetBuilder {
        SentinelSetBuilder::default()
    }

    /// `redis+sentinel://127.0.0.1:P1,127.0.0.1:P2,127.0.0.1:P3/mymaster`, or `rediss+sentinel://…`, with the
    /// password of the data servers if there is one, and without that of the sentinels.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.sentinels.iter().map(|sentinel| sentinel.addr().to_string()).collect();
        let scheme = if self.tls { "rediss" } else { "redis" };
        let login = login(self.nodes[0].password());
        format!("{scheme}+sentinel://{login}{}/{}", hosts.join(","), self.service)
    }

    /// The name the sentinels have for the master.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The sentinels.
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// The data servers, whatever their parts are now.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Where the master is, as most of the sentinels that are up see it.
    ///
    /// # Panics
    ///
    /// If no sentinel answers.
    #[track_caller]
    pub fn master(&self) -> SocketAddr {
        let mut votes = BTreeMap::<_, usize>::new();
        for sentinel in self.up_sentinels() {
            if let Ok(address) = self.master_by(sentinel) {
                *votes.entry(address).or_default() += 1;
            }
        }
        let most = votes.into_iter().max_by_key(|&(_, count)| count);
        most.expect("a sentinel has to be up and to know the master").0
    }

    /// Which of the [`nodes`](Self::nodes) that is.
    ///
    /// # Panics
    ///
    /// If no sentinel answers, or it is none of them.
    #[track_caller]
    pub fn master_index(&self) -> usize {
        let address = self.master();
        let found = self.nodes.iter().position(|node| node.address() == address);
        found.unwrap_or_else(|| panic!("the master {address} is none of the set"))
    }

    /// Which of the [`nodes`](Self::nodes) follow that master, and are up.
    ///
    /// # Panics
    ///
    /// As [`master_index`](Self::master_index).
    #[track_caller]
    pub fn replicas(&self) -> Vec<usize> {
        let master = self.master();
        let follows = |&index: &usize| self.nodes[index].is_up() && self.follows(index, master).is_ok();
        (0..self.nodes.len()).filter(follows).collect()
    }

    /// Has the sentinels promote a replica (`SENTINEL FAILOVER`), and returns their first word of it. The
    /// other sentinels may follow a moment later, and the former master after ten seconds; one failover after
    /// another wants [`wait_settled`](Self::wait_settled) in between.
    ///
    /// # Panics
    ///
    /// If nothing is promoted within a minute.
    #[track_caller]
    pub fn failover(&self) -> Switch {
        let (events, end) = (self.switch_events(), Instant::now() + LIMIT);
        // They refuse while another failover is under way, or while no replica is known to be in order.
        let asked = || {
            let mut sentinels = self.up_sentinels();
            let sentinel = sentinels.next().ok_or("no sentinel is up")?;
            sentinel.command(&["SENTINEL", "FAILOVER", &self.service])
        };
        while let Err(reason) = asked() {
            assert!(Instant::now() < end, "no failover: {reason}");
            thread::sleep(PERIOD);
        }
        events.wait(end.saturating_duration_since(Instant::now()))
    }

    /// Sends a node after the present master at once, as the sentinels will do in the end.
    ///
    /// # Panics
    ///
    /// If it refuses.
    #[track_caller]
    pub fn rejoin(&self, index: usize) {
        let master = self.master();
        let words = ["REPLICAOF", &master.ip().to_string(), &master.port().to_string()];
        let done = self.nodes[index].command(&words);
        done.unwrap_or_else(|reason| panic!("{words:?} to node {index}: {reason}"));
    }

    /// Waits until all that are up agree: the sentinels on the master and that nothing is wrong with it and
    /// its replicas, and the replicas follow it and are in sync. Those killed or frozen are passed over.
    ///
    /// # Panics
    ///
    /// If that isn't so within a minute; the message says what is missing.
    #[track_caller]
    pub fn wait_settled(&self) {
        wait_settled(|| self.settled());
    }

    /// Listens for `+switch-master` on all sentinels, from now on.
    ///
    /// # Panics
    ///
    /// If one that is up can't be subscribed to.
    #[track_caller]
    pub fn switch_events(&self) -> SwitchEvents {
        SwitchEvents::start(&self.sentinels, &self.service)
    }

    fn up_sentinels(&self) -> impl Iterator<Item = &Server> {
        self.sentinels.iter().filter(|sentinel| sentinel.is_up())
    }

    fn master_by(&self, sentinel: &Server) -> Result<SocketAddr, String> {
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &self.service];
        let text = sentinel.command(&words)?.replace('\n', ":");
        text.parse().map_err(|_| format!("{text} is no address of a master"))
    }

    /// What is missing, in the error.
    fn settled(&self) -> Result<(), String> {
        let master = self.master_by(self.up_sentinels().next().ok_or("no sentinel is up")?)?;
        let is_master = |index: &usize| self.nodes[*index].address() == master;
        let up = || (0..self.nodes.len()).filter(|&index| self.nodes[index].is_up());
        let index = up().find(is_master).ok_or_else(|| format!("the master {master} is down"))?;
        let replicas: Vec<_> = up().filter(|index| !is_master(index)).collect();
        for &replica in &replicas {
            self.follows(replica, master)?;
        }
        let said = self.nodes[index].command(&["INFO", "replication"])?;
        let online = said.matches("state=online").count();
        if !said.contains("role:master") || online < replicas.len() {
            return Err(format!("node {index} is to have {} replicas:\n{said}", replicas.len()));
        }
        let addresses = replicas.iter().map(|&index| self.nodes[index].address()).collect();
        self.up_sentinels().try_for_each(|sentinel| self.agrees(sentinel, master, &addresses))
    }

    /// Whether a node follows this master and is in sync.
    fn follows(&self, index: usize, master: SocketAddr) -> Result<(), String> {
        let said = self.nodes[index].command(&["INFO", "replication"])?;
        let (host, port) = (format!("master_host:{}", master.ip()), format!("master_port:{}", master.port()));
        let has = |line: &str| said.lines().any(|said| said == line);
        match has(&host) && has(&port) && has("master_link_status:up") {
            true => Ok(()),
            false => Err(format!("node {index} is to follow {master}:\n{said}")),
        }
    }

    /// Whether a sentinel sees this master, these replicas and all other sentinels, and nothing wrong.
    fn agrees(
        &self,
        sentinel: &Server,
        at: SocketAddr,
        replicas: &BTreeSet<SocketAddr>,
    ) -> Result<(), String> {
        let of = |what| sentinel.ask(0, &["SENTINEL", what, &self.service]);
        let (master, listed) = (fields(of("MASTER")?), of("REPLICAS")?);
        let port = sentinel.port();
        let is = |name: &str, value: &str| master.get(name).is_some_and(|said| said == value);
        let others = (self.sentinels.len() - 1).to_string();
        if address(&master) != Some(at) || !is("flags", "master") || !is("num-other-sentinels", &others) {
            return Err(format!("the sentinel at {port} says of the master {at}: {master:?}"));
        }
        let Value::Array(listed) = listed else { return Err(format!("REPLICAS is {listed:?}")) };
        let sound = |said: &BTreeMap<String, String>| {
            said.get("flags").is_some_and(|flags| flags == "slave")
                && said.get("master-link-status").is_some_and(|status| status == "ok")
        };
        let listed: Vec<_> = listed.into_iter().map(fields).collect();
        let known: BTreeSet<_> = listed.iter().filter(|said| sound(said)).filter_map(address).collect();
        match replicas.is_subset(&known) {
            true => Ok(()),
            false => Err(format!("the sentinel at {port} is to see {replicas:?}, not {listed:?}")),
        }
    }
}

/// Names and values that come in turn.
fn fields(reply: Value) -> BTreeMap<String, String> {
    let Value::Array(items) = reply else { return BTreeMap::new() };
    items.chunks_exact(2).map(|pair| (pair[0].print(), pair[1].print())).collect()
}

fn address(said: &BTreeMap<String, String>) -> Option<SocketAddr> {
    format!("{}:{}", said.get("ip")?, said.get("port")?).parse().ok()
}
