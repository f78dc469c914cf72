//! Everything a client may be told before it connects. Promises that a [`Config`] has been checked as a
//! whole, never changes, and never prints its password. Must not know how connections are made, nor read
//! files or the environment.
//!
//! The path of an option: [`ConfigBuilder`] holds its setter with the documentation, `options` its name in a
//! URL, `validate` its allowed values; `url` (beside this module) holds the grammar of URLs.

use std::{fmt, str::FromStr, time::Duration};

use redwire_resp::Limits;

use crate::{
    backoff::Backoff,
    callbacks::ResponseCallbacks,
    cluster::ClusterOptions,
    credentials::{Credentials, Provider},
    driver_value::{BlockingDriver, DriverValue, NonblockingDriver},
    resolve::Resolver,
    secret::Secret,
};

mod builder;
pub(crate) mod cast;
mod cluster;
mod deployment;
mod error;
mod options;
mod retry;
mod sentinel;
mod tls;
mod validate;

pub use builder::ConfigBuilder;
pub use deployment::{Deployment, Endpoint, HostPort};
pub use error::ConfigError;
pub use retry::RetryPolicy;
pub use sentinel::{ReadFrom, SentinelOptions};
pub use tls::{Ocsp, TlsOptions, TlsSource, Verification};

pub(crate) use options::{UrlOption, advice, nearest};

/// The checked configuration of a client. Made by [`Config::builder`] or [`Config::from_url`]; read by
/// getters, each named like the setter in [`ConfigBuilder`] that documents it.
///
/// Prints (`Display`) as a URL with every option that differs from its default, and `***` for passwords.
/// What has no text is left out: certificates and keys given as bytes, a provider of credentials, a
/// resolver, connectors, a seed, callbacks, a configuration of rustls.
///
/// ```
/// # use redwire_core::config::Config;
/// # use std::time::Duration;
/// let config = Config::from_url("rediss://ann:s%40crt@db.example/2?timeout=500ms")?;
/// assert_eq!(config.username(), Some("ann"));
/// assert_eq!(config.password().unwrap().reveal(), "s@crt");
/// assert_eq!(config.timeout(), Some(Duration::from_millis(500)));
/// assert_eq!(config.to_string(), "rediss://ann:***@db.example:6379/2?timeout=500ms");
/// # Ok::<(), redwire_core::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    deployment: Deployment,
    tls: bool,
    tls_options: TlsOptions,
    sentinel: SentinelOptions,
    cluster: ClusterOptions,
    has_alternatives: bool,
    db: u32,
    username: Option<String>,
    password: Option<Secret>,
    credential_provider: Option<Provider>,
    resolver: Option<Resolver>,
    connector: Option<DriverValue<NonblockingDriver>>,
    blocking_connector: Option<DriverValue<BlockingDriver>>,
    on_connect: Option<DriverValue<NonblockingDriver>>,
    blocking_on_connect: Option<DriverValue<BlockingDriver>>,
    seed: Option<u64>,
    response_callbacks: ResponseCallbacks,
    connect_timeout: Duration,
    timeout: Option<Duration>,
    keepalive: bool,
    keepalive_probes: Keepalive,
    tcp_user_timeout: Option<Duration>,
    nodelay: bool,
    max_connections: usize,
    pool_timeout: Option<Duration>,
    min_idle_connections: usize,
    idle_timeout: Option<Duration>,
    max_lifetime: Option<Duration>,
    max_connecting: usize,
    client_name: Option<String>,
    lib_name: Option<String>,
    lib_version: Option<String>,
    protocol: Protocol,
    health_check_interval: Option<Duration>,
    retry: RetryPolicy,
    retry_budget: u32,
    idempotent: bool,
    reconnect_backoff: Backoff,
    read_buffer_size: usize,
    read_only: bool,
    /// The word of a URL, until the whole is checked.
    read_from_replicas: bool,
    max_queued_commands: usize,
    max_queued_bytes: usize,
    mark_every: u32,
    reply_limits: Limits,
}

/// Which protocol to ask the server for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// RESP3, falling back to RESP2 where the server has no `HELLO`.
    #[default]
    Resp3,
    /// RESP2, without asking for more.
    Resp2,
}

/// When the kernel probes a silent TCP connection, and when it gives it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes after which the connection is dead.
    pub count: u32,
}

impl Config {
    /// A builder with the defaults: one server at `localhost:6379`.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    /// The configuration that `url` describes, over the defaults. The grammar is described at
    /// [`ConfigBuilder::url`].
    ///
    /// # Errors
    /// A [`ConfigError`] naming the part of the URL, or the option, that cannot be used.
    pub fn from_url(url: &str) -> Result<Self, ConfigError> {
        Self::builder().url(url).build()
    }

    /// A builder that begins with all of this; a URL given to it comes on top.
    pub fn to_builder(&self) -> ConfigBuilder {
        ConfigBuilder { config: self.clone(), url: None }
    }

    /// Where the servers are.
    #[must_use]
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Whether connections use TLS.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// What TLS is to be like, where it is used.
    #[must_use]
    pub fn tls_options(&self) -> &TlsOptions {
        &self.tls_options
    }

    /// The database to select on every connection.
    #[must_use]
    pub fn db(&self) -> u32 {
        self.db
    }

    /// The name to authenticate with, if not the default user's.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The password to authenticate with.
    #[must_use]
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// The fixed username and password to authenticate with; `None`: neither was given, or a provider is to
    /// be asked. A username alone goes with the empty password, so that its connections are not the default
    /// user's.
    #[must_use]
    pub fn static_credentials(&self) -> Option<Credentials> {
        let password = match (&self.username, &self.password) {
            (None, None) => return None,
            (_, Some(password)) => password.clone(),
            (Some(_), None) => Secret::new(""),
        };
        Some(Credentials::new(self.username().unwrap_or_default(), password))
    }

    /// Whether connections present credentials.
    #[must_use]
    pub fn authenticates(&self) -> bool {
        self.credential_provider.is_some() || self.username.is_some() || self.password.is_some()
    }

    /// The provider that is asked for credentials at every connect.
    #[must_use]
    pub fn credential_provider(&self) -> Option<&Provider> {
        self.credential_provider.as_ref()
    }

    /// The resolver of host names; `None`: the system.
    #[must_use]
    pub fn resolver(&self) -> Option<&Resolver> {
        self.resolver.as_ref()
    }

    /// What makes the connections of the async client; `None`: the driver.
    #[must_use]
    pub fn connector(&self) -> Option<&DriverValue<NonblockingDriver>> {
        self.connector.as_ref()
    }

    /// What makes the connections of the blocking client; `None`: the driver.
    #[must_use]
    pub fn blocking_connector(&self) -> Option<&DriverValue<BlockingDriver>> {
        self.blocking_connector.as_ref()
    }

    /// What the async driver runs on each new connection.
    #[must_use]
    pub fn on_connect(&self) -> Option<&DriverValue<NonblockingDriver>> {
        self.on_connect.as_ref()
    }

    /// What the blocking driver runs on each new connection.
    #[must_use]
    pub fn blocking_on_connect(&self) -> Option<&DriverValue<BlockingDriver>> {
        self.blocking_on_connect.as_ref()
    }

    /// What the random numbers of a client begin with; `None`: they are not to be foreseen.
    #[must_use]
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// What becomes of the replies to certain commands.
    #[inline]
    #[must_use]
    pub fn response_callbacks(&self) -> &ResponseCallbacks {
        &self.response_callbacks
    }

    /// The longest a connect with its handshake may take.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The overall deadline of one operation; `None`: no deadline.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// TCP keepalive; `None`: off.
    #[must_use]
    pub fn keepalive(&self) -> Option<Keepalive> {
        self.keepalive.then_some(self.keepalive_probes)
    }

    /// How long sent data may stay unacknowledged; `None`: as the system has it.
    #[must_use]
    pub fn tcp_user_timeout(&self) -> Option<Duration> {
        self.tcp_user_timeout
    }

    /// Whether `TCP_NODELAY` is set.
    #[must_use]
    pub fn nodelay(&self) -> bool {
        self.nodelay
    }

    /// The most connections a pool opens.
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// How long a call waits for a connection; `None`: till its deadline; zero: not at all.
    #[must_use]
    pub fn pool_timeout(&self) -> Option<Duration> {
        self.pool_timeout
    }

    /// Idle connections a pool keeps ready.
    #[must_use]
    pub fn min_idle_connections(&self) -> usize {
        self.min_idle_connections
    }

    /// How long a connection may lie idle in a pool; `None`: for ever.
    #[must_use]
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    /// The age at which a pool replaces a connection, before jitter; `None`: never.
    #[must_use]
    pub fn max_lifetime(&self) -> Option<Duration> {
        self.max_lifetime
    }

    /// The most connects under way at once.
    #[must_use]
    pub fn max_connecting(&self) -> usize {
        self.max_connecting
    }

    /// The name for `CLIENT SETNAME`.
    #[must_use]
    pub fn client_name(&self) -> Option<&str> {
        self.client_name.as_deref()
    }

    /// The name for `CLIENT SETINFO LIB-NAME`; `None`: not sent.
    #[must_use]
    pub fn lib_name(&self) -> Option<&str> {
        self.lib_name.as_deref()
    }

    /// The version for `CLIENT SETINFO LIB-VER`; `None`: not sent.
    #[must_use]
    pub fn lib_version(&self) -> Option<&str> {
        self.lib_version.as_deref()
    }

    /// Which protocol to ask for.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The silence after which a connection is pinged, and the time it then has to answer; `None`: never.
    #[must_use]
    pub fn health_check_interval(&self) -> Option<Duration> {
        self.health_check_interval
    }

    /// What is tried again, how often and after which pause.
    #[must_use]
    pub fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// Retries that 100 calls earn.
    #[must_use]
    pub fn retry_budget(&self) -> u32 {
        self.retry_budget
    }

    /// Whether every command may be repeated when its reply was lost.
    #[must_use]
    pub fn idempotent(&self) -> bool {
        self.idempotent
    }

    /// The pause before each attempt to connect again.
    #[must_use]
    pub fn reconnect_backoff(&self) -> Backoff {
        self.reconnect_backoff
    }

    /// Bytes of a connection's read buffer to begin with.
    #[must_use]
    pub fn read_buffer_size(&self) -> usize {
        self.read_buffer_size
    }

    /// Whether `READONLY` is sent on connect.
    #[must_use]
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// The most commands that may wait on one connection.
    #[must_use]
    pub fn max_queued_commands(&self) -> usize {
        self.max_queued_commands
    }

    /// The most encoded bytes that may wait on one connection.
    #[must_use]
    pub fn max_queued_bytes(&self) -> usize {
        self.max_queued_bytes
    }

    /// After how many replies a shared connection asks whether they still belong to their requests; 0: never.
    #[must_use]
    pub fn mark_every(&self) -> u32 {
        self.mark_every
    }

    /// What a reply may ask of memory: set by `max_reply_depth`, `max_reply_bulk`, `max_reply_elements`,
    /// `max_reply_line` and `max_reply_bytes`.
    #[must_use]
    #[doc(hidden)]
    pub fn reply_limits(&self) -> Limits {
        self.reply_limits
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            deployment: Deployment::Single(Endpoint::Tcp(HostPort::new(DEFAULT_HOST, DEFAULT_PORT))),
            tls: false,
            tls_options: TlsOptions::default(),
            sentinel: SentinelOptions::default(),
            cluster: ClusterOptions::default(),
            has_alternatives: false,
            db: 0,
            username: None,
            password: None,
            credential_provider: None,
            resolver: None,
            connector: None,
            blocking_connector: None,
            on_connect: None,
            blocking_on_connect: None,
            seed: None,
            response_callbacks: ResponseCallbacks::default(),
            connect_timeout: Duration::from_secs(2),
            timeout: Some(Duration::from_secs(5)),
            keepalive: true,
            keepalive_probes: Keepalive {
                idle: Duration::from_secs(30),
                interval: Duration::from_secs(5),
                count: 3,
            },
            tcp_user_timeout: Some(Duration::from_secs(15)),
            nodelay: true,
            max_connections: 50,
            pool_timeout: None,
            min_idle_connections: 0,
            idle_timeout: None,
            max_lifetime: None,
            max_connecting: 4,
            client_name: None,
            lib_name: Some("redwire".to_owned()),
            lib_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            protocol: Protocol::Resp3,
            health_check_interval: Some(Duration::from_millis(2500)),
            retry: RetryPolicy::default(),
            retry_budget: 20,
            idempotent: false,
            reconnect_backoff: retry::DEFAULT_BACKOFF,
            read_buffer_size: 64 << 10,
            read_only: false,
            read_from_replicas: false,
            max_queued_commands: 65_536,
            max_queued_bytes: 64 << 20,
            mark_every: 0,
            reply_limits: Limits::default(),
        }
    }
}

impl FromStr for Config {
    type Err = ConfigError;

    fn from_str(url: &str) -> Result<Self, ConfigError> {
        Self::from_url(url)
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::url::write(f, self, &options::differing(self))
    }
}

pub(crate) const DEFAULT_HOST: &str = "localhost";
pub(crate) const DEFAULT_PORT: u16 = 6379;
pub(crate) const DEFAULT_SENTINEL_PORT: u16 = 26379;

#[cfg(test)]
mod tests;
