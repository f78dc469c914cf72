//! Sentinels: asking them where the servers of a service are, and the part that users hold by hand. Which of
//! them to ask when, and which to believe, is decided in `redwire-core`.

mod watch;

use std::fmt;
use std::sync::Arc;

use redwire_core::config::{Config, Deployment, HostPort, ReadFrom};
use redwire_core::sentinel::{Discovery, FoundServers, SentinelAnswer, SentinelReply, other_words, question};
use redwire_core::{Cmd, Error, Reply, Result, Run};

use super::UnderWay;
use super::client::Client;
use super::connection::{Connection, Pending};
use crate::shared::clock;
use crate::shared::lookups::Lookups;
use crate::shared::service::Service;
use crate::shared::setup;
pub(super) use watch::{cut_later, watch};

/// The sentinels that watch a service.
///
/// Most programs need no more than a [`Client`] of `redis+sentinel://…`, which follows the master by itself.
/// This is for asking and telling sentinels by hand, and for clients of the replicas.
///
/// ```no_run
/// # async fn example() -> redwire::Result<()> {
/// use redwire::config::ReadFrom;
/// use redwire::prelude::*;
///
/// let sentinel = redwire::Sentinel::new("redis+sentinel://a,b,c/mymaster".parse()?)?;
/// println!("the master is {}", sentinel.discover_master().await?);
/// let master = sentinel.client(ReadFrom::Master)?;
/// let replicas = sentinel.client(ReadFrom::ReplicaPreferred)?;
/// master.set("greeting", "hello").await?;
/// let text: Option<String> = replicas.get("greeting").await?;
/// # Ok(())
/// # }
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
    pub async fn discover_master(&self) -> Result<HostPort> {
        self.discover().await.map(|found| found.master)
    }

    /// Where the replicas are that are up and in touch with the master, by the first sentinel that can be
    /// believed.
    ///
    /// # Errors
    /// As [`discover_master`](Self::discover_master).
    #[doc(alias = "discover_slaves")]
    pub async fn discover_replicas(&self) -> Result<Vec<HostPort>> {
        self.discover().await.map(|found| found.replicas)
    }

    async fn discover(&self) -> Result<FoundServers> {
        let found = ask_in_turn(&self.service, &self.config, self.service.discovery()).await?;
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
    pub async fn execute<R: Reply>(&self, cmd: Cmd<R>) -> Result<R> {
        let mut last = setup::no_service();
        for sentinel in self.service.shuffled_sentinels() {
            let mut connection = self.connection(sentinel)?;
            match connection.reconnect().await {
                Ok(()) => return connection.run(cmd).await,
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Runs a command on every sentinel that is known, one after the other, and tells what each answered.
    pub async fn execute_all<R: Reply>(&self, cmd: &Cmd<R>) -> Vec<(HostPort, Result<R>)> {
        let mut answers = Vec::new();
        for sentinel in self.addresses() {
            let answer = match self.connection(sentinel.clone()) {
                Ok(mut connection) => execute_on(&mut connection, cmd).await,
                Err(error) => Err(error),
            };
            answers.push((sentinel, answer));
        }
        answers
    }
}

async fn execute_on<R: Reply>(connection: &mut Connection, cmd: &Cmd<R>) -> Result<R> {
    connection.send(cmd).await?;
    connection.read_reply().await
}

impl fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentinel").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The server of `service` to connect to. Boxed, since asking is connecting, too.
pub(super) fn discover<'s>(service: &'s Service, config: &'s Config) -> Pending<'s, HostPort> {
    Box::pin(async move { service.handle_found(&ask_in_turn(service, config, service.discovery()).await?) })
}

/// Asks as many sentinels at a time as `discovery` wants.
async fn ask_in_turn(service: &Service, config: &Config, mut discovery: Discovery) -> Result<FoundServers> {
    let mut asked = UnderWay::default();
    loop {
        while let Some(sentinel) = discovery.poll_ask(clock::now()) {
            let (config, name) = (config.for_sentinel(sentinel.clone()), service.name().to_owned());
            asked.begin(sentinel, ask(config, Arc::clone(service.lookups()), name));
        }
        if let Some(found) = discovery.poll_found() {
            return found;
        }
        for (sentinel, answer) in asked.ended(discovery.poll_timeout()).await {
            discovery.handle_answer(&sentinel, answer, clock::now());
        }
    }
}

async fn ask(config: Config, lookups: Arc<Lookups>, service: String) -> Result<SentinelAnswer, Error> {
    let mut sentinel = Connection::with_lookups(config, lookups)?;
    let told = SentinelReply::from(sentinel.pipeline(|p| question(p, &service)).await?);
    let others = match told.wants_other_words() {
        true => Some(sentinel.pipeline(|p| other_words(p, &service)).await?),
        false => None,
    };
    told.into_answer(others)
}
