//! What may befall a server, as a test decides.
//!
//! This file must not know what follows for a command; `dispatch.rs` does.

use std::time::Duration;

use crate::model::{ClientId, Model};

/// A state that a server may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Condition {
    /// It reads its data from disk: `LOADING`.
    Loading,
    /// It is a replica, and takes no writes: `READONLY`.
    ReadOnly,
    /// Its memory is full: `OOM` to commands that may need more.
    OutOfMemory,
    /// A script does not end: `BUSY`, until `SCRIPT KILL`.
    Busy,
    /// It is a replica that has lost its master and may not serve old data: `MASTERDOWN`.
    MasterDown,
    /// It cannot save to disk, and takes no writes: `MISCONF`.
    CannotSave,
    /// It has fewer replicas than it must have for a write: `NOREPLICAS`.
    TooFewReplicas,
    /// It does nothing at all, as a process that is stopped. What clients send is kept until it goes on.
    Frozen,
}

impl Model {
    /// Puts the server into a state, or out of it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use redwire_model::{Condition, Model, Options};
    ///
    /// let mut model = Model::new(Options::new());
    /// let client = model.connect("127.0.0.1:50000", Duration::ZERO);
    /// model.set(Condition::Loading, true, Duration::ZERO);
    /// model.receive(client, b"GET k\r\n", Duration::ZERO);
    /// assert_eq!(model.transmit(client), b"-LOADING Redis is loading the dataset in memory\r\n");
    /// ```
    pub fn set(&mut self, condition: Condition, is: bool, now: Duration) {
        if is {
            self.conditions.insert(condition);
        } else {
            self.conditions.remove(&condition);
        }
        self.handle_timeout(now);
    }

    /// Hangs up on all clients.
    pub fn kill_clients(&mut self, now: Duration) {
        for id in self.clients.keys().copied().collect::<Vec<_>>() {
            self.close(id, true);
        }
        self.handle_timeout(now);
    }

    /// Hangs up on one client.
    pub fn kill_client(&mut self, client: ClientId, now: Duration) {
        self.close(client.0, true);
        self.handle_timeout(now);
    }

    /// The server ends and starts again at once: all clients are hung up on; loaded scripts, and what
    /// `CONFIG SET` and `ACL SETUSER` have set, are forgotten; every [`Condition`] ends. Its data is lost
    /// (`data_lost`), or as it was. Scripts that a test has registered stay.
    pub fn restart(&mut self, data_lost: bool, now: Duration) {
        self.kill_clients(now);
        let fresh = Self::new(self.options.clone().seed(self.random.u64(..)));
        self.run_id = fresh.run_id;
        self.began = self.now;
        self.scripts.loaded.clear();
        self.acl = fresh.acl;
        self.config = fresh.config;
        self.pause = None;
        self.conditions.clear();
        self.stats = fresh.stats;
        self.replication.replicas.clear();
        if data_lost {
            self.databases = fresh.databases;
            self.replication.forget_data();
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.migration = None;
            cluster.messages.clear();
        }
    }
}
