//! What the sentinels of a service tell, each for itself.
//!
//! Promises to ask those that the URL names and those that they tell of, at the same time. Must not judge
//! what they say.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redwire::config::{Config, Deployment, HostPort};
use redwire::sentinel::Instance;
use redwire::{AuthenticationFault, ConnectionFault, Error, ErrorKind, Result, cmd};
use tokio::task::JoinSet;

use crate::session::Session;

/// One sentinel, and what it told.
#[derive(Debug)]
pub(crate) struct AskedSentinel {
    pub(crate) address: HostPort,
    pub(crate) report: Result<SentinelReport>,
}

/// What a sentinel that can be asked tells of a service.
#[derive(Debug)]
pub(crate) struct SentinelReport {
    /// An error where it knows no such service, or refuses to tell.
    pub(crate) master: Result<Instance>,
    pub(crate) replicas: Vec<Instance>,
    /// The other sentinels.
    pub(crate) others: Vec<Instance>,
    /// Whether enough sentinels are up to agree on a failover, in its words.
    pub(crate) quorum: Result<String>,
    /// All services that it watches.
    pub(crate) services: Vec<String>,
    id: String,
    pub(crate) took: Duration,
}

impl SentinelReport {
    /// What it says of a failover that is not possible. One that does not answer that question says nothing.
    pub(crate) fn lacks_quorum(&self) -> Option<&Error> {
        self.quorum.as_ref().err().filter(|error| error.code() == Some("NOQUORUM"))
    }
}

impl AskedSentinel {
    /// Where it says that the master is.
    pub(crate) fn master(&self) -> Option<HostPort> {
        self.report.as_ref().ok()?.master.as_ref().ok()?.address().ok()
    }

    /// `open`, or how connecting failed, in a word.
    pub(crate) fn reached(&self) -> &'static str {
        self.report.as_ref().map_or_else(word, |_| "open")
    }
}

/// How a connection failed, in a word.
pub(crate) fn word(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Connection(ConnectionFault::Refused) => "refused",
        _ if error.is_timeout() => "silent",
        _ => "failed",
    }
}

/// The service that `config` names.
pub(crate) fn service(config: &Config) -> Option<(&[HostPort], &str)> {
    match config.deployment() {
        Deployment::Sentinel { nodes, service } => Some((nodes, service)),
        _ => None,
    }
}

/// Asks all sentinels of the service that `config` names; none where it names servers themselves.
pub(crate) async fn ask_all(config: &Config, blocking: bool) -> Vec<AskedSentinel> {
    let Some((seeds, service)) = service(config) else { return Vec::new() };
    let mut asked_sentinels = ask_each(config, blocking, service, seeds.to_vec()).await;
    let report: Vec<Instance> =
        answers(&asked_sentinels).flat_map(|report| report.others.iter().cloned()).collect();
    let mut others = Vec::new();
    for other in report {
        // One may have several addresses.
        let is_known = answers(&asked_sentinels).any(|report| other.field("runid") == Some(&report.id));
        let Ok(address) = other.address() else { continue };
        if !is_known
            && !others.contains(&address)
            && asked_sentinels.iter().all(|known| known.address != address)
        {
            others.push(address);
        }
    }
    asked_sentinels.extend(ask_each(config, blocking, service, others).await);
    asked_sentinels
}

/// What those told that could be asked.
pub(crate) fn answers(asked_sentinels: &[AskedSentinel]) -> impl Iterator<Item = &SentinelReport> {
    asked_sentinels.iter().filter_map(|asked_sentinel| asked_sentinel.report.as_ref().ok())
}

/// Where most of them say that the master is.
pub(crate) fn believed(asked_sentinels: &[AskedSentinel]) -> Option<HostPort> {
    let mut votes = BTreeMap::<String, (usize, HostPort)>::new();
    for address in asked_sentinels.iter().filter_map(AskedSentinel::master) {
        votes.entry(address.to_string()).or_insert((0, address)).0 += 1;
    }
    votes.into_values().max_by_key(|(count, _)| *count).map(|(_, address)| address)
}

async fn ask_each(
    config: &Config,
    blocking: bool,
    service: &str,
    sentinels: Vec<HostPort>,
) -> Vec<AskedSentinel> {
    let mut questions = JoinSet::new();
    for (index, address) in sentinels.into_iter().enumerate() {
        let (config, service) = (config.for_sentinel(address.clone()), service.to_owned());
        questions.spawn(async move {
            let report = ask(config, blocking, &service).await;
            (index, AskedSentinel { address, report })
        });
    }
    let mut asked_sentinels = questions.join_all().await;
    asked_sentinels.sort_by_key(|(index, _)| *index);
    asked_sentinels.into_iter().map(|(_, asked_sentinel)| asked_sentinel).collect()
}

async fn ask(config: Config, blocking: bool, service: &str) -> Result<SentinelReport> {
    let begun = Instant::now();
    let mut sentinel = Session::open(config, blocking).await?;
    // The first that needs a password, where one is wanted. Whatever else is refused, costs its own answer.
    let masters = match sentinel.ask::<Vec<Instance>>(cmd("SENTINEL MASTERS")).await {
        Err(error) if error.kind() == WANTS_PASSWORD || error.code().is_none() => return Err(error),
        masters => masters.unwrap_or_default(),
    };
    let master = match sentinel.ask(cmd("SENTINEL MASTER").arg(service)).await {
        Err(error) if !is_unknown(&error) => {
            let asked = cmd::<Option<(String, String)>>("SENTINEL GET-MASTER-ADDR-BY-NAME").arg(service);
            let address = sentinel.ask(asked).await.ok().flatten();
            address.map(|(host, port)| located(host, port)).ok_or(error)
        }
        master => master,
    };
    let replicas = match sentinel.ask(cmd("SENTINEL REPLICAS").arg(service)).await {
        Ok(replicas) => replicas,
        Err(_) => sentinel.ask(cmd("SENTINEL SLAVES").arg(service)).await.unwrap_or_default(),
    };
    let others = sentinel.ask(cmd("SENTINEL SENTINELS").arg(service)).await.unwrap_or_default();
    let quorum = sentinel.ask(cmd("SENTINEL CKQUORUM").arg(service)).await;
    // Before 6.2 they do not tell.
    let id = sentinel.ask(cmd("SENTINEL MYID")).await.unwrap_or_default();
    let services = masters.iter().map(|master| master.name().to_owned()).collect();
    Ok(SentinelReport { master, replicas, others, quorum, services, id, took: begun.elapsed() })
}

/// Whether it says that it knows no such service, in place of refusing to tell.
pub(crate) fn is_unknown(error: &Error) -> bool {
    error.message().contains("No such ")
}

/// A server of which nothing is known but where it is.
fn located(host: String, port: String) -> Instance {
    [("ip".to_owned(), host), ("port".to_owned(), port)].into_iter().collect()
}

const WANTS_PASSWORD: ErrorKind = ErrorKind::Authentication(AuthenticationFault::PasswordRequired);
