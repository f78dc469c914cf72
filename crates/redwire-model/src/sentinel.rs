//! What a sentinel knows of the services that it watches, and tells.
//!
//! A sentinel of the model decides nothing: the test says what each one believes, and when it hears of
//! another master, so that some may lag behind or lie. This file must not know how clients ask.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::Model;
use crate::pubsub::Kind;

/// A host and a port.
pub type Address = (String, u16);

/// A service as one sentinel believes it to be.
///
/// ```
/// use std::time::Duration;
/// use redwire_model::{Model, Options, Service};
///
/// let now = Duration::ZERO;
/// let mut sentinel = Model::new(Options::new().port(26379));
/// sentinel.watch_service(Service::new("orders", ("10.0.0.1", 6379)).replica(("10.0.0.2", 6379)).quorum(2));
/// let client = sentinel.connect("127.0.0.1:50000", now);
/// sentinel.receive(client, b"SENTINEL GET-MASTER-ADDR-BY-NAME orders\r\n", now);
/// assert_eq!(sentinel.transmit(client), b"*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n");
/// sentinel.switch_master("orders", ("10.0.0.2", 6379), now);
/// sentinel.receive(client, b"SENTINEL GET-MASTER-ADDR-BY-NAME orders\r\n", now);
/// assert_eq!(sentinel.transmit(client), b"*2\r\n$8\r\n10.0.0.2\r\n$4\r\n6379\r\n");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// What clients call it.
    pub name: String,
    /// Its master.
    pub master: Address,
    /// Its replicas.
    pub replicas: Vec<Address>,
    /// The other sentinels.
    pub sentinels: Vec<Address>,
    /// How many sentinels must agree that the master is down.
    pub quorum: u64,
    /// Grows with each failover.
    pub epoch: u64,
    /// Whether the sentinel believes the master to be down.
    pub down: bool,
}

impl Service {
    /// A service that has a master only.
    pub fn new(name: impl Into<String>, master: (&str, u16)) -> Self {
        Self {
            name: name.into(),
            master: own(master),
            replicas: Vec::new(),
            sentinels: Vec::new(),
            quorum: 1,
            epoch: 0,
            down: false,
        }
    }

    /// One more replica.
    #[must_use]
    pub fn replica(mut self, replica: (&str, u16)) -> Self {
        self.replicas.push(own(replica));
        self
    }

    /// One more of the other sentinels.
    #[must_use]
    pub fn sentinel(mut self, sentinel: (&str, u16)) -> Self {
        self.sentinels.push(own(sentinel));
        self
    }

    /// How many sentinels must agree. Default: 1.
    #[must_use]
    pub fn quorum(mut self, quorum: u64) -> Self {
        self.quorum = quorum;
        self
    }
}

fn own(address: (&str, u16)) -> Address {
    (address.0.to_owned(), address.1)
}

/// The services of a sentinel, by name.
pub(crate) type Services = BTreeMap<String, Service>;

impl Model {
    /// Lets it watch a service, which makes it a sentinel. A service of the same name is replaced.
    pub fn watch_service(&mut self, service: Service) {
        self.services.get_or_insert_default().insert(service.name.clone(), service);
    }

    /// What it believes of a service, to be changed. `None`: it does not watch it.
    pub fn service_mut(&mut self, name: &str) -> Option<&mut Service> {
        self.services.as_mut()?.get_mut(name)
    }

    /// The sentinel hears that a service has another master, and tells its subscribers (`+switch-master`).
    /// The old master is a replica from now on.
    pub fn switch_master(&mut self, name: &str, master: (&str, u16), now: Duration) {
        let Some(service) = self.service_mut(name) else { return };
        let master = own(master);
        let old = std::mem::replace(&mut service.master, master.clone());
        service.replicas.retain(|replica| *replica != master);
        service.replicas.push(old.clone());
        service.epoch += 1;
        service.down = false;
        let told = format!("{name} {} {} {} {}", old.0, old.1, master.0, master.1);
        self.publish(b"+switch-master", told.as_bytes(), Kind::Channel);
        self.handle_timeout(now);
    }

    /// The sentinel tells its subscribers of something else: `+sdown`, `master orders 10.0.0.1 6379`.
    pub fn tell_event(&mut self, channel: &str, what: &str, now: Duration) {
        self.publish(channel.as_bytes(), what.as_bytes(), Kind::Channel);
        self.handle_timeout(now);
    }
}
