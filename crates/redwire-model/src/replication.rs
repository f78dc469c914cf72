//! What a master tells its replicas, and what a replica makes of it.
//!
//! The model sends nothing itself: the caller takes the writes, and brings them to other models when it
//! likes, or never. What was not brought when a replica becomes the master is lost, as with real servers.
//! This file must not know who decides that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::database::Database;
use crate::model::Model;
use crate::pubsub::Kind;
use crate::reply::Reply;
use crate::value::Entry;

/// One command, transaction or script that changed data, as a master tells it: what the changed keys hold
/// now.
#[derive(Clone, Debug)]
pub struct Write {
    offset: u64,
    line: Line,
    changes: Vec<Change>,
    messages: Vec<Message>,
}

/// Which master's writes these are, and whose they go on from, up to which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Line {
    id: u64,
    former: (u64, u64),
}

type Change = (usize, Vec<u8>, Option<Entry>);
type Message = (Kind, Vec<u8>, Vec<u8>);

impl Write {
    /// Its number; the first is 1, and each is one more than the last.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// All data of a master at one time, for a replica that has missed writes.
#[derive(Clone, Debug)]
pub struct Snapshot {
    offset: u64,
    line: Line,
    databases: Vec<Database>,
}

/// The part a server has in replication.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replication {
    pub(crate) offset: u64,
    line: Line,
    writes: Vec<Write>,
    messages: Vec<Message>,
    /// Whose replica it is.
    pub(crate) master: Option<(String, u16)>,
    pub(crate) link_up: bool,
    /// Up to which write each replica has acknowledged, by its address.
    pub(crate) replicas: BTreeMap<String, u64>,
}

impl Replication {
    /// All data is gone, and where it came from too.
    pub(crate) fn forget_data(&mut self) {
        (self.offset, self.line) = (0, Line::default());
        self.writes.clear();
        self.messages.clear();
    }
}

impl Model {
    /// The writes since this was last called, for the replicas. Only if
    /// [`Options::replicates`](crate::Options::replicates) asked for them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use redwire_model::{Model, Options};
    ///
    /// let now = Duration::ZERO;
    /// let mut master = Model::new(Options::new().replicates(true));
    /// let mut replica = Model::new(Options::new().replicates(true));
    /// replica.follow(Some(("127.0.0.1", 6379)), now);
    /// let client = master.connect("127.0.0.1:50000", now);
    /// master.receive(client, b"SET k v\r\nWAIT 1 0\r\n", now);
    /// assert_eq!(master.transmit(client), b"+OK\r\n");
    /// for write in master.take_writes() {
    ///     assert!(replica.apply(&write, now));
    /// }
    /// master.acknowledge("127.0.0.1:6380", replica.offset(), now);
    /// assert_eq!(master.transmit(client), b":1\r\n");
    /// ```
    pub fn take_writes(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.replication.writes)
    }

    /// The number of the last write that was made, or applied.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.replication.offset
    }

    /// All data, and the number of the last write that is in it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let Replication { offset, line, .. } = self.replication;
        Snapshot { offset, line, databases: self.databases.clone() }
    }

    /// Takes a master's data in place of its own, as a replica does that cannot go on from where it was.
    pub fn restore(&mut self, snapshot: &Snapshot, now: Duration) {
        (self.replication.offset, self.replication.line) = (snapshot.offset, snapshot.line);
        let before = std::mem::replace(&mut self.databases, snapshot.databases.clone());
        for (number, database) in before.iter().enumerate() {
            for key in database.table().keys() {
                self.touch(number, key);
            }
            let held = before_and_now(database, &self.databases[number]);
            held.into_iter().for_each(|key| self.log_held(number, &key));
        }
        self.invalidate_all(0, true);
        self.handle_timeout(now);
    }

    /// Applies a master's write. `false`: another write is missing in front of it, or this server has writes
    /// that the master does not have, and it needs a [`snapshot`](Self::snapshot). One that it has already
    /// changes nothing.
    pub fn apply(&mut self, write: &Write, now: Duration) -> bool {
        let Replication { offset, line, .. } = self.replication;
        let goes_on = line.id == write.line.id
            || line.id == write.line.former.0 && offset <= write.line.former.1
            || offset == 0;
        if !goes_on || write.offset > offset + 1 {
            return false;
        }
        if write.offset <= offset {
            return true;
        }
        (self.replication.offset, self.replication.line) = (write.offset, write.line);
        for (database, key, entry) in &write.changes {
            match entry {
                Some(entry) => self.databases[*database].insert(key, entry.clone()),
                None => drop(self.databases[*database].remove(key)),
            }
            self.signal(*database, key, None);
            self.log_held(*database, key);
        }
        for (kind, channel, message) in &write.messages {
            self.publish(channel, message, *kind);
        }
        self.changes.clear();
        self.handle_timeout(now);
        true
    }

    /// Makes it the replica of a server, or a master again. A replica takes no writes; clients that wait at
    /// it are told to go.
    pub fn follow(&mut self, master: Option<(&str, u16)>, now: Duration) {
        self.turn_to(master);
        self.handle_timeout(now);
    }

    /// As [`follow`](Self::follow), in the middle of a command.
    pub(crate) fn turn_to(&mut self, master: Option<(&str, u16)>) {
        if master.is_none() && self.replication.master.is_some() {
            self.begin_line();
        }
        self.replication.master = master.map(|(host, port)| (host.to_owned(), port));
        self.replication.link_up = master.is_some();
        self.replication.replicas.clear();
        if master.is_some() {
            for id in self.clients_that(|client| client.blocked.is_some()) {
                self.unblock(id);
                let why = "UNBLOCKED force unblock from blocking operation, instance state changed (master \
                           -> replica?)";
                self.write_reply(id, &Reply::Error(why.into()));
            }
        }
    }

    /// Whose replica it is.
    #[must_use]
    pub fn master(&self) -> Option<(&str, u16)> {
        self.replication.master.as_ref().map(|(host, port)| (host.as_str(), *port))
    }

    /// Whether a replica is connected to its master, as `INFO` and `ROLE` tell it.
    pub fn set_link(&mut self, up: bool) {
        self.replication.link_up = up;
    }

    /// A replica, named by its address, has all writes up to this one. Clients in `WAIT` are told.
    pub fn acknowledge(&mut self, replica: &str, offset: u64, now: Duration) {
        self.replication.replicas.insert(replica.to_owned(), offset);
        let waiting = self.clients_that(|client| {
            let words = client.blocked.as_ref().map(|blocked| &blocked.args);
            words.is_some_and(|words| words[0].eq_ignore_ascii_case(b"wait"))
        });
        for id in waiting {
            let words =
                self.clients.get(&id).and_then(|client| client.blocked.as_ref()).map(|b| b.args.clone());
            let wanted = words.and_then(|words| crate::number::parse_int(&words[1])).unwrap_or(0);
            let count = self.acknowledged(id);
            if count >= wanted && self.unblock(id).is_some() {
                self.write_reply(id, &Reply::Int(count));
            }
        }
        self.handle_timeout(now);
    }

    /// A replica is gone.
    pub fn forget_replica(&mut self, replica: &str) {
        self.replication.replicas.remove(replica);
    }

    /// From now on the writes are this server's own.
    fn begin_line(&mut self) {
        let former = (self.replication.line.id, self.replication.offset);
        self.replication.line = Line { id: self.random.u64(1..), former };
    }

    /// How many replicas have all that a client has written.
    pub(crate) fn acknowledged(&self, id: u64) -> i64 {
        let offset = self.clients.get(&id).map_or(0, |client| client.written);
        let count = self.replication.replicas.values().filter(|known| **known >= offset).count();
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    /// A message for the subscribers at the replicas. In a cluster all nodes tell each other of channels.
    pub(crate) fn replicate_message(&mut self, kind: Kind, channel: &[u8], message: &[u8]) {
        let is_told_to_all = self.cluster.is_some() && kind == Kind::Channel;
        if self.options.replicates && self.replication.master.is_none() && !is_told_to_all {
            self.replication.messages.push((kind, channel.to_vec(), message.to_vec()));
        }
    }

    /// What has been changed since the last time becomes one write. Whether there is one.
    pub(crate) fn commit(&mut self) -> bool {
        let mut places = std::mem::take(&mut self.changes);
        if self.replication.master.is_some() {
            return false;
        }
        let messages = std::mem::take(&mut self.replication.messages);
        if places.is_empty() && messages.is_empty() {
            return false;
        }
        if self.replication.line.id == 0 {
            self.begin_line();
        }
        self.replication.offset += 1;
        if self.options.replicates {
            places.sort();
            places.dedup();
            let changes = places.into_iter().map(|(database, key)| {
                let entry = self.databases[database].entry(&key).cloned();
                (database, key, entry)
            });
            let changes = changes.collect();
            let (offset, line) = (self.replication.offset, self.replication.line);
            self.replication.writes.push(Write { offset, line, changes, messages });
        }
        true
    }
}

/// The keys of either.
fn before_and_now(before: &Database, now: &Database) -> BTreeSet<Vec<u8>> {
    before.table().keys().chain(now.table().keys()).cloned().collect()
}
