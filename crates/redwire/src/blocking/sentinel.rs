//! Sentinels: asking them where the servers of a service are, and the part that users hold by hand. Which of
//! them to ask when, and which to believe, is decided in `redwire-core`.

mod watch;

use std::fmt;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use redwire_core::config::{Config, Deployment, HostPort, ReadFrom};
use redwire_core::sentinel::{Discovery, FoundServers, SentinelAnswer, SentinelReply, other_words, question};
use redwire_core::{Cmd, Error, Outcome, Reply, Result, Run};

use super::client::Client;
use super::connection::Connection;
use super::stream::left;
use crate::shared::lookups::Lookups;
use crate::shared::service::Service;
use crate::shared::setup;
use crate::shared::threads;
pub(super) use watch::{cut_later, watch};

/// The sentinels that watch a service.
///
/// Most programs need no more than a [`Client`] of `redis+sentinel://…`, which follows the master by itself.
/// This is for asking and telling sentinels by hand, and for clients of the replicas.
///
/// ```no_run
/// use redwire::config::ReadFrom;
/// use redwire::prelude::*;
///
/// let sentinel = redwire::blocking::Sentinel::new("redis+sentinel://a,b,c/mymaster".parse()?)?;
/// println!("the master is {}", sentinel.discover_master()?);
/// let master = sentinel.client(ReadFrom::Master)?;
/// let replicas = sentinel.client(ReadFrom::ReplicaPreferred)?;
/// master.set("greeting", "hello")?;
/// let text: Option<String> = replicas.get("greeting")?;
/// # Ok::<(), redwire::Error>(())
/// ```
#[doc(alias = "SentinelManagedConnection")]
#[derive(Clone)]
pub struct Sentinel {
    config: Config,
    service: Arc<Service>,
}

impl Sentinel {
    /// The sentinels and the service that `config` names. Asks none of them yet.
    ///
    /// # Errors
    /// [`Usage`](crate::ErrorKind::Usage): it names servers themselves.
    pub fn new(config: Config) -> Result<Self> {
        let service = Service::of(&config).ok_or_else(setup::no_service)?;
        Ok(Self { config, service: Arc::new(service) })
    }

    /// Another service that the same sentinels watch: those that are known by now, and with the same options.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config): no name.
    #[doc(alias = "service_name")]
    pub fn for_service(&self, name: &str) -> Result<Self> {
        let deployment = Deployment::Sentinel { nodes: self.addresses(), service: name.to_owned() };
        Self::new(self.config.to_builder().deployment(deployment).build()?)
    }

    /// The sentinels that are known, in the order in which they are asked: those that the configuration
    /// names, and those that they told of.
    #[must_use]
    pub fn addresses(&self) -> Vec<HostPort> {
        self.service.sentinels()
    }

    /// Where the master is, by the first sentinel that can be believed.
    ///
    /// # Errors
    /// [`Sentinel`](crate::ErrorKind::Sentinel): none tells one; the message names each, and why.
    pub fn discover_master(&self) -> Result<HostPort> {
        self.discover().map(|found| found.master)
    }

    /// Where the replicas are that are up and in touch with the master, by the first sentinel that can be
    /// believed.
    ///
    /// # Errors
    /// As [`discover_master`](Self::discover_master).
    #[doc(alias = "discover_slaves")]
    pub fn discover_replicas(&self) -> Result<Vec<HostPort>> {
        self.discover().map(|found| found.replicas)
    }

    fn discover(&self) -> Result<FoundServers> {
        // Each question has a limit of its own, and there are so many.
        let limit = self.config.sentinel_options().timeout * (self.addresses().len() as u32 + 1);
        let found =
            ask_in_turn(&self.service, &self.config, self.service.discovery(), threads::now() + limit)?;
        self.service.handle_asked(&found);
        Ok(found)
    }

    /// A client of the master, or one whose calls are spread over the replicas ([`ReadFrom`]); it follows
    /// them, and connects when it is used first.
    ///
    /// # Errors
    /// Options that this version has no part for.
    #[doc(alias = "master_for")]
    #[doc(alias = "slave_for")]
    #[doc(alias = "rotate_slaves")]
    pub fn client(&self, servers: ReadFrom) -> Result<Client> {
        Client::lazy(self.config.to_builder().read_from(servers).build()?)
    }

    /// A connection to one sentinel, not connected yet. It takes the
    /// [`SentinelCommands`](crate::commands::SentinelCommands).
    ///
    /// # Errors
    /// Options that this version has no part for.
    pub fn connection(&self, sentinel: HostPort) -> Result<Connection> {
        Connection::new(self.config.for_sentinel(sentinel))
    }

    /// Runs a command on one sentinel, chosen at random among those that can be reached.
    ///
    /// # Errors
    /// What that one answers; that none can be reached.
    #[doc(alias = "execute_command")]
    pub fn execute<R: Reply>(&self, cmd: Cmd<R>) -> Result<R> {
        let mut last = setup::no_service();
        for sentinel in self.service.shuffled_sentinels() {
            let mut connection = self.connection(sentinel)?;
            match connection.reconnect() {
                Ok(()) => return connection.run(cmd),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Runs a command on every sentinel that is known, one after the other, and tells what each answered.
    pub fn execute_all<R: Reply>(&self, cmd: &Cmd<R>) -> Vec<(HostPort, Result<R>)> {
        let on = |sentinel: HostPort| {
            let answer = self.connection(sentinel.clone()).and_then(|mut connection| {
                connection.send(cmd)?;
                connection.read_reply()
            });
            (sentinel, answer)
        };
        self.addresses().into_iter().map(on).collect()
    }
}

impl fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentinel").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The server of `service` to connect to, found before `deadline`.
pub(super) fn discover(service: &Service, config: &Config, deadline: Instant) -> Result<HostPort> {
    service.handle_found(&ask_in_turn(service, config, service.discovery(), deadline)?)
}

/// Asks as many sentinels at a time as `discovery` wants. Each question has a thread, which may outlive the
/// call, but not for longer than a sentinel may take.
fn ask_in_turn(
    service: &Service,
    config: &Config,
    mut discovery: Discovery,
    deadline: Instant,
) -> Result<FoundServers> {
    let (sender, receiver) = mpsc::channel();
    loop {
        let now = threads::now();
        while let Some(sentinel) = discovery.poll_ask(now) {
            let (config, name) = (config.for_sentinel(sentinel.clone()), service.name().to_owned());
            let (sender, asked, lookups) = (sender.clone(), sentinel.clone(), Arc::clone(service.lookups()));
            // The caller may be gone by then.
            let asking = move || drop(sender.send((asked, ask(config, lookups, &name))));
            if let Err(error) = threads::spawn("redwire-sentinel", asking) {
                discovery.handle_answer(&sentinel, Err(error), now);
            }
        }
        if let Some(found) = discovery.poll_found() {
            return found;
        }
        let until = discovery.poll_timeout().map_or(deadline, |next| next.min(deadline));
        match receiver.recv_timeout(until.saturating_duration_since(now)) {
            Ok((sentinel, answer)) => discovery.handle_answer(&sentinel, answer, threads::now()),
            Err(_) => {
                left(Some(deadline), threads::now())
                    .map_err(|error| Error::from_io("asking the sentinels", Outcome::NotSent, error))?;
            }
        }
    }
}

fn ask(config: Config, lookups: Arc<Lookups>, service: &str) -> Result<SentinelAnswer> {
    let mut sentinel = Connection::with_lookups(config, lookups)?;
    let told = SentinelReply::from(sentinel.pipeline(|p| question(p, service))?);
    let others = match told.wants_other_words() {
        true => Some(sentinel.pipeline(|p| other_words(p, service))?),
        false => None,
    };
    told.into_answer(others)
}
