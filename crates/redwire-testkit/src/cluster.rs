//! A cluster: primaries with all slots, and their replicas, in a few seconds.
//!
//! What is done to it goes by the commands an operator would use, and the nodes find out the rest by
//! themselves; [`ClusterSet::wait_settled`] is how a test knows that they have. This file must not know the
//! client under test.

mod builder;
mod slots;
mod view;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use self::builder::ClusterSetBuilder;
pub use self::slots::{SlotMove, slot};
use self::view::{SeenNode, View};
use crate::Node;
use crate::server::{BUS, login};
use crate::set::{LIMIT, wait_settled};

/// How many slots there are.
const SLOTS: u16 = 16_384;

/// A running cluster, each node a [`Server`](crate::Server) of its own. Dropping it ends them all.
///
/// Nodes are numbered as they were started, primaries first, whatever their parts are later. One that is
/// silent for a second and a half is taken for dead, even if it is the machine that stalls; so no replica
/// takes over by itself until [`kill`](Self::kill) or [`freeze`](Self::freeze) allows it, which it then does
/// within two or three seconds. Nothing is saved: a primary that is restarted before that is empty, as then
/// are its replicas.
///
/// ```
/// # if redwire_testkit::find_server().is_none() { return }
/// let set = redwire_testkit::ClusterSet::builder().primaries(3).replicas(0).start();
/// let slot = redwire_testkit::slot("key");
/// let owner = set.owner(slot);
/// assert_eq!(set.node(owner).command(&["SET", "key", "v"]), Ok("OK".to_owned()));
/// set.move_slot(slot, (owner + 1) % 3);
/// assert_eq!(set.node(set.owner(slot)).command(&["GET", "key"]), Ok("v".to_owned()));
/// ```
#[derive(Debug)]
pub struct ClusterSet {
    members: Mutex<Vec<Member>>,
    /// Held by the test that adds a node: its number must not become another's meanwhile.
    adding: Mutex<()>,
    builder: ClusterSetBuilder,
}

/// A node and what the cluster calls it.
#[derive(Debug, Clone)]
struct Member {
    index: usize,
    node: Arc<Node>,
    id: String,
    forgotten: bool,
}

impl ClusterSet {
    /// Starts three primaries with a replica each, and returns when all agree, in two or three seconds.
    ///
    /// # Panics
    ///
    /// If one of them doesn't start, or they don't agree within a minute.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// To start a cluster with a password, TLS, host names, proxies, other numbers or another binary.
    pub fn builder() -> ClusterSetBuilder {
        ClusterSetBuilder::default()
    }

    /// `redis+cluster://127.0.0.1:P1,127.0.0.1:P2,…` with the primaries of the start, or
    /// `rediss+cluster://…`; with the password if there is one. Always addresses that can be reached, not
    /// host names.
    pub fn url(&self) -> String {
        let members = self.members();
        let first = members.iter().take(self.builder.primaries);
        let hosts: Vec<_> = first.map(|member| member.node.address().to_string()).collect();
        let scheme = if self.builder.tls { "rediss" } else { "redis" };
        format!("{scheme}+cluster://{}{}", login(members[0].node.password()), hosts.join(","))
    }

    /// All nodes that were ever started.
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.members().iter().map(|member| Arc::clone(&member.node)).collect()
    }

    /// One of them.
    ///
    /// # Panics
    ///
    /// If there are not so many. So do all below that take a number.
    #[track_caller]
    pub fn node(&self, index: usize) -> Arc<Node> {
        self.member(index).node
    }

    /// The id by which the nodes know this one.
    #[track_caller]
    pub fn id(&self, index: usize) -> String {
        self.member(index).id
    }

    /// Where each node is that is announced as this host and port: what a client's remap needs.
    pub fn remap(&self) -> BTreeMap<(String, u16), SocketAddr> {
        self.nodes().iter().map(|node| (node.announced(), node.address())).collect()
    }

    /// The nodes that are up and say that they are primaries with slots.
    pub fn primaries(&self) -> Vec<usize> {
        let is_primary = |seen: &SeenNode| seen.is_primary() && !seen.slots.is_empty();
        self.selves().into_iter().filter(|(_, seen)| is_primary(seen)).map(|(index, _)| index).collect()
    }

    /// The nodes that are up and say that they are replicas of this one.
    #[track_caller]
    pub fn replicas_of(&self, index: usize) -> Vec<usize> {
        let id = self.id(index);
        let follows = |seen: &SeenNode| seen.primary.as_ref() == Some(&id);
        self.selves().into_iter().filter(|(_, seen)| follows(seen)).map(|(index, _)| index).collect()
    }

    /// The first of [`replicas_of`](Self::replicas_of).
    ///
    /// # Panics
    ///
    /// If it has none.
    #[track_caller]
    pub fn replica_of(&self, index: usize) -> usize {
        let replicas = self.replicas_of(index);
        *replicas.first().unwrap_or_else(|| panic!("node {index} has no replica that is up"))
    }

    /// The node that is up and says that this slot is its own; of several the one that said so last.
    ///
    /// # Panics
    ///
    /// If none does.
    #[track_caller]
    pub fn owner(&self, slot: u16) -> usize {
        let owners = self.selves().into_iter().filter(|(_, seen)| seen.is_primary() && seen.owns(slot));
        let last = owners.max_by_key(|(_, seen)| seen.epoch);
        last.unwrap_or_else(|| panic!("no node that is up owns slot {slot}")).0
    }

    /// Lets a replica take over from its primary, which is alive (`CLUSTER FAILOVER`), and returns when it
    /// says that it has. The others hear of it a moment later.
    ///
    /// # Panics
    ///
    /// If it hasn't within a minute.
    #[track_caller]
    pub fn failover(&self, replica: usize) -> Instant {
        let (node, end) = (self.node(replica), Instant::now() + LIMIT);
        // A replica gives up when the primary doesn't let it in time, and may be asked again.
        while !self.is_primary(replica) {
            if let Err(reason) = node.command(&["CLUSTER", "FAILOVER"]) {
                assert!(self.is_primary(replica), "failover to node {replica}: {reason}");
            }
            let attempt = Instant::now() + Duration::from_secs(6);
            while !self.is_primary(replica) && Instant::now() < attempt {
                thread::sleep(Duration::from_millis(1));
            }
            assert!(Instant::now() < end, "node {replica} didn't take over within {LIMIT:?}");
        }
        Instant::now()
    }

    /// Kills a node, and lets its replica take over if it has one: not before all are settled, since a
    /// replica that is not in sync would never take over. `set.node(0).kill()` lets none.
    ///
    /// # Panics
    ///
    /// If they aren't settled within a minute.
    #[track_caller]
    pub fn kill(&self, index: usize) {
        self.let_replicas_take_over();
        self.node(index).kill();
    }

    /// As [`kill`](Self::kill), but the node only stops until it is thawed.
    ///
    /// # Panics
    ///
    /// As [`kill`](Self::kill).
    #[track_caller]
    pub fn freeze(&self, index: usize) {
        self.let_replicas_take_over();
        self.node(index).freeze();
    }

    #[track_caller]
    fn let_replicas_take_over(&self) {
        self.wait_settled();
        for member in self.up() {
            member.demand(&["CONFIG", "SET", "cluster-replica-no-failover", "no"]);
        }
    }

    /// Waits until a node says that it is a primary, and returns when it did, to the millisecond: after a
    /// primary was killed, say.
    ///
    /// # Panics
    ///
    /// If it doesn't within a minute.
    #[track_caller]
    pub fn wait_promoted(&self, index: usize) -> Instant {
        crate::eventually("a replica is promoted", LIMIT, || self.is_primary(index));
        Instant::now()
    }

    /// Starts another node, a primary without slots, and returns its number when all know it.
    ///
    /// # Panics
    ///
    /// If it doesn't start, or isn't known within a minute.
    #[track_caller]
    pub fn add_node(&self) -> usize {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.up();
        let index = self.members().len();
        let node = self.builder.node(index).unwrap_or_else(|reason| panic!("{reason}"));
        let id = node.command(&["CLUSTER", "MYID"]).unwrap_or_else(|reason| panic!("{reason}"));
        let member = Member { index, node: Arc::new(node), id, forgotten: false };
        self.members().push(member.clone());
        known.iter().for_each(|other| other.meet(&member));
        self.wait_settled();
        index
    }

    /// Makes a node without slots a replica of another one (`CLUSTER REPLICATE`).
    ///
    /// # Panics
    ///
    /// If it refuses, or isn't in sync within a minute.
    #[track_caller]
    pub fn replicate(&self, index: usize, primary: usize) {
        self.member(index).demand(&["CLUSTER", "REPLICATE", &self.id(primary)]);
        self.wait_settled();
    }

    /// Has all others that are up forget a node, which lives on by itself (`CLUSTER FORGET`). Move its slots
    /// and its replicas to others before, or their slots are without a node.
    ///
    /// # Panics
    ///
    /// If one refuses, as its replicas do.
    #[track_caller]
    pub fn forget(&self, index: usize) {
        let id = self.id(index);
        self.members()[index].forgotten = true;
        for member in self.up() {
            // Newer servers pass it on, so that it may be forgotten already.
            let done = member.node.command(&["CLUSTER", "FORGET", &id]);
            let unknown = |reason: &String| reason.contains("Unknown node");
            assert!(
                done.is_ok() || done.as_ref().is_err_and(unknown),
                "node {} doesn't forget node {index}: {done:?}",
                member.index
            );
        }
    }

    /// Waits until all that are up agree: who is there, who owns which slot, who follows whom, that every
    /// slot has an owner that is up, and that nodes killed or frozen are dead; and the replicas are in sync,
    /// and shown to clients.
    ///
    /// # Panics
    ///
    /// If that isn't so within a minute; the message says what is missing.
    #[track_caller]
    pub fn wait_settled(&self) {
        wait_settled(|| self.settled());
    }

    fn settled(&self) -> Result<(), String> {
        let up = self.up();
        let views = up.iter().map(Member::view).collect::<Result<Vec<_>, _>>()?;
        let own = |member: &Member, view: &View| {
            view.own().cloned().ok_or_else(|| format!("node {} doesn't see itself", member.index))
        };
        let selves = up.iter().zip(&views).map(|(member, view)| own(member, view));
        let selves = selves.collect::<Result<Vec<_>, String>>()?;
        if let Some(slot) = (0..SLOTS).find(|&slot| !selves.iter().any(|seen| seen.owns(slot))) {
            return Err(format!("no node that is up owns slot {slot}"));
        }
        let down: Vec<_> =
            self.current().filter(|member| !up.iter().any(|other| other.id == member.id)).collect();
        let serves = |seen: &&SeenNode| {
            let primary = |other: &&SeenNode| seen.primary.as_ref().unwrap_or(&seen.id) == &other.id;
            selves.iter().find(primary).is_some_and(|primary| !primary.slots.is_empty())
        };
        let shown: Vec<_> = selves.iter().filter(serves).map(|seen| seen.id.as_str()).collect();
        for (member, view) in up.iter().zip(&views) {
            member.is_sound()?;
            member.shows(&shown)?;
            let agreed = view.agrees(&selves, down.iter().map(|member| member.id.as_str()));
            agreed.map_err(|reason| format!("node {} sees {reason}", member.index))?;
        }
        Ok(())
    }

    #[track_caller]
    fn is_primary(&self, index: usize) -> bool {
        self.member(index).view().is_ok_and(|view| view.own().is_some_and(SeenNode::is_primary))
    }

    /// What each that is up says of itself.
    fn selves(&self) -> Vec<(usize, SeenNode)> {
        let own = |member: Member| Some((member.index, member.view().ok()?.own()?.clone()));
        self.up().into_iter().filter_map(own).collect()
    }

    /// The nodes that belong to the cluster and are up.
    fn up(&self) -> Vec<Member> {
        self.current().filter(|member| member.node.is_up()).collect()
    }

    fn current(&self) -> impl Iterator<Item = Member> {
        let members = self.members().clone();
        members.into_iter().filter(|member| !member.forgotten)
    }

    #[track_caller]
    fn member(&self, index: usize) -> Member {
        let found = self.members().get(index).cloned();
        found.unwrap_or_else(|| panic!("there is no node {index}"))
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// Introduces another node to this one, by the port at which its bus is.
    #[track_caller]
    fn meet(&self, other: &Self) {
        let (port, bus) = (other.node.address().port(), other.node.port() + BUS);
        self.demand(&["CLUSTER", "MEET", "127.0.0.1", &port.to_string(), &bus.to_string()]);
    }

    fn view(&self) -> Result<View, String> {
        let text = self.node.command(&["CLUSTER", "NODES"])?;
        View::read(&text).ok_or_else(|| format!("CLUSTER NODES of node {} is {text}", self.index))
    }

    /// Whether it serves, and is in sync if it is a replica.
    fn is_sound(&self) -> Result<(), String> {
        let state = self.node.command(&["CLUSTER", "INFO"])?;
        let link = self.node.command(&["INFO", "replication"])?;
        let sound = state.contains("cluster_state:ok")
            && (link.contains("role:master") || link.contains("master_link_status:up"));
        if sound { Ok(()) } else { Err(format!("node {} is not in order:\n{state}\n{link}", self.index)) }
    }

    /// Whether it tells clients of these nodes.
    fn shows(&self, ids: &[&str]) -> Result<(), String> {
        let said = self.node.command(&["CLUSTER", "SLOTS"])?;
        match ids.iter().find(|&&id| !said.contains(id)) {
            Some(id) => Err(format!("node {} doesn't show {id}:\n{said}", self.index)),
            None => Ok(()),
        }
    }

    #[track_caller]
    fn demand(&self, words: &[&str]) {
        let done = self.node.command(words);
        done.unwrap_or_else(|reason| panic!("{words:?} to node {}: {reason}", self.index));
    }
}
