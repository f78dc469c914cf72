//! The setters. Promises that each option has one setter, documented with default, unit and what breaks at
//! both extremes, and that a URL wins over options given in code whatever the order of calls. Must not know
//! the grammar of URLs nor what values are allowed.

use std::{borrow::Cow, path::PathBuf, sync::Arc, time::Duration};

use super::{
    Config, ConfigError, DEFAULT_HOST, DEFAULT_PORT, Deployment, Endpoint, HostPort, Protocol, RetryPolicy,
    options, validate::validate,
};
use crate::{
    Error, Value,
    backoff::Backoff,
    credentials::Provider,
    driver_value::{BlockingDriver, DriverValue, NonblockingDriver},
    resolve::Resolver,
    secret::Secret,
    url::Url,
};

mod cluster;
mod pool;
mod sentinel;
mod tls;

/// Collects options; [`build`](Self::build) checks them all at once.
///
/// ```
/// # use redwire_core::config::Config;
/// # use std::time::Duration;
/// let config = Config::builder()
///     .host("db.example")
///     .password("secret")
///     .timeout(Duration::from_secs(1))
///     .build()?;
/// assert_eq!(config.to_string(), "redis://:***@db.example:6379?timeout=1s");
///
/// let error = Config::builder().connect_timeout(Duration::ZERO).build().unwrap_err();
/// assert_eq!(error.option(), "connect_timeout");
/// # Ok::<(), redwire_core::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct ConfigBuilder {
    pub(super) config: Config,
    pub(super) url: Option<Result<Url, ConfigError>>,
}

impl ConfigBuilder {
    /// Takes whatever `url` says; it wins over options given in code, before or after. A second URL replaces
    /// the first.
    ///
    /// | form | servers |
    /// |---|---|
    /// | `redis://[[user]:[password]@][host][:port][/db]` | one, at `localhost:6379` unless told |
    /// | `unix://[user[:password]@]/path/to.sock` | one, behind a Unix socket (also `redis+unix://`) |
    /// | `redis+sentinel://host[:port],…/service[/db]` | a Sentinel set, port 26379 unless told |
    /// | `redis+cluster://host[:port],…[/db]` | a Cluster, port 6379 unless told |
    ///
    /// `rediss` for `redis` asks for TLS (so does [`tls`](Self::tls): either is enough). `valkey` and
    /// `valkeys` are the same as `redis` and `rediss`. IPv6 addresses stand in brackets, with a zone as in
    /// `[fe80::1%25eth0]`. Every part is percent-decoded; a `+` is a plus.
    ///
    /// `?name=value&…` sets any option by the name of its setter here, and wins over the rest of the URL.
    /// Durations are seconds (`0.5`) or have a unit (`500ms`); booleans are true, false, yes, no, 1 or 0;
    /// sizes may end in KiB, MiB or GiB. The names that redis-py uses for these options are understood too.
    #[doc(alias = "from_url")]
    pub fn url(mut self, url: &str) -> Self {
        self.url = Some(Url::parse(url));
        self
    }

    /// Where the servers are. Default: one server at `localhost:6379`. Replaces what `host`, `port` and
    /// `path` said.
    pub fn deployment(mut self, deployment: Deployment) -> Self {
        self.config.deployment = deployment;
        self
    }

    /// The one server's name or IP address (IPv6 without brackets). Default `localhost`. Replaces a path or
    /// several nodes.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.tcp().host = host.into();
        self
    }

    /// The one server's port, 1 to 65535. Default 6379. Replaces a path or several nodes.
    pub fn port(mut self, port: u16) -> Self {
        self.tcp().port = port;
        self
    }

    /// The one server's Unix socket. Default: none, TCP is used. Replaces host and port.
    #[doc(alias = "unix_socket_path")]
    pub fn path(self, path: impl Into<PathBuf>) -> Self {
        self.deployment(Deployment::Single(Endpoint::Unix(path.into())))
    }

    /// Whether connections use TLS. Default: false. In a URL, the scheme `rediss` says so; a URL never
    /// switches off what is switched on here.
    #[doc(alias = "ssl")]
    pub fn tls(mut self, on: bool) -> Self {
        self.config.tls = on;
        self
    }

    /// The database to select. Default 0; servers have 16 unless configured otherwise, and a number they lack
    /// fails the connect.
    pub fn db(mut self, db: u32) -> Self {
        self.config.db = db;
        self
    }

    /// The ACL user. Default: none, which is the server's default user. Empty is none. Without a password it
    /// authenticates with the empty one, which servers take for a user that is `nopass`, and no other.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.config.username = non_empty(username.into());
        self
    }

    /// The password. Default: none. Empty is none: with a [`username`](Self::username) the empty password is
    /// presented, without one nothing is.
    pub fn password(mut self, password: impl Into<Secret>) -> Self {
        self.config.password = Some(password.into()).filter(|secret| !secret.reveal().is_empty());
        self
    }

    /// A provider that is asked for a username and password at every connect, in place of a fixed username
    /// and password; both are an error. Default: none. A slow answer is part of the connect, and its error
    /// fails the connect.
    pub fn credential_provider(mut self, provider: impl Into<Provider>) -> Self {
        self.config.credential_provider = Some(provider.into());
        self
    }

    /// What turns the names of hosts into addresses, at every connect. Default: the system. A slow answer is
    /// part of the connect; an old one leads to servers that are gone.
    pub fn resolver(mut self, resolver: impl Into<Resolver>) -> Self {
        self.config.resolver = Some(resolver.into());
        self
    }

    /// What makes the connections of the async client in place of its own sockets: all of them, those to
    /// sentinels and cluster nodes included. It takes a `redwire::connector::Connector`, such as one through
    /// a proxy, or to a peer in memory. TLS and the handshake come on top. Default: none. Options of sockets
    /// ([`nodelay`](Self::nodelay), [`keepalive`](Self::keepalive), [`resolver`](Self::resolver)) are left to
    /// the connector. With it all times of the client are those of its tokio runtime, so that a paused clock
    /// holds for the client, too.
    ///
    /// A blocking client with this configuration fails: see
    /// [`blocking_connector`](Self::blocking_connector).
    pub fn connector(mut self, connector: impl Into<DriverValue<NonblockingDriver>>) -> Self {
        self.config.connector = Some(connector.into());
        self
    }

    /// As [`connector`](Self::connector), for the blocking client: a
    /// `redwire::blocking::connector::Connector`. Default: none. A client fails to connect if only the other
    /// one is set, since it would go past the proxy of the other.
    pub fn blocking_connector(mut self, connector: impl Into<DriverValue<BlockingDriver>>) -> Self {
        self.config.blocking_connector = Some(connector.into());
        self
    }

    /// What the async driver runs on each new connection, after the handshake and before any caller uses it:
    /// a `redwire::OnConnect`. All connections of clients, pools, subscriptions, caches and monitors, to each
    /// node of a cluster, and those by hand, but not to sentinels, which have a
    /// [configuration](Self::sentinel_config) of their own for that. Default: none. A connect whose callback
    /// fails has failed; it has the connect timeout for that.
    ///
    /// A blocking client with this configuration fails: see
    /// [`blocking_on_connect`](Self::blocking_on_connect).
    #[doc(alias = "redis_connect_func")]
    pub fn on_connect(mut self, callback: impl Into<DriverValue<NonblockingDriver>>) -> Self {
        self.config.on_connect = Some(callback.into());
        self
    }

    /// As [`on_connect`](Self::on_connect), for the blocking driver: a `redwire::blocking::OnConnect`.
    /// Default: none. A client fails to connect if only the other one is set, since what that one does on
    /// each connection would be left out.
    pub fn blocking_on_connect(mut self, callback: impl Into<DriverValue<BlockingDriver>>) -> Self {
        self.config.blocking_on_connect = Some(callback.into());
        self
    }

    /// Seeds the random numbers of the thread that makes a client of this configuration: pauses with jitter,
    /// the ages of connections, which node is asked. Default: none. For simulations on one thread: there two
    /// runs with the same seed are equal. It is the generator of the crate `fastrand`, which other code of
    /// the thread may use, too. In production all processes with the same seed would pause alike, and come
    /// back together after an outage.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = Some(seed);
        self
    }

    /// What becomes of the replies to `command`, for all clients of this configuration: each is read as a
    /// [`Value`], and the type that a caller asked for is read from what `callback` makes of it. Default:
    /// none; a second one for the same command replaces the first. It is a command's or a subcommand's name
    /// (`CLIENT LIST`); a module's, by its first word.
    ///
    /// The value has the form of the protocol: what is a map on RESP3 is a flat list on RESP2. Errors of the
    /// server do not come here, nor do replies that are read apart from their commands
    /// (`Connection::read_reply`). An error of the callback is a [`Decode`](crate::ErrorKind::Decode), of a
    /// command that was executed. It runs where the reply is awaited: a slow one holds up its caller, and no
    /// other.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// # use redwire_core::config::Config;
    /// use redwire::Value;
    ///
    /// let upper = |value: Value| {
    ///     Ok(value.as_str().map_or(Value::Null, |text| Value::Status(text.to_uppercase())))
    /// };
    /// let config = Config::builder().response_callback("GET", upper).build()?;
    /// # Ok::<(), redwire_core::config::ConfigError>(())
    /// ```
    #[doc(alias = "set_response_callback")]
    pub fn response_callback(
        mut self,
        command: &str,
        callback: impl Fn(Value) -> Result<Value, Error> + Send + Sync + 'static,
    ) -> Self {
        self.config.response_callbacks.set(command, Arc::new(callback));
        self
    }

    /// The longest a connect may take, with name look-up, TLS and handshake. Default 2 s; zero is refused.
    /// Below the network's round trip times four, no connect succeeds; at a minute, a dead address holds up
    /// its callers as long.
    #[doc(alias = "socket_connect_timeout")]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.config.connect_timeout = limit;
        self
    }

    /// The overall deadline of one operation: queue, connect, retries and answer. Default 5 s; zero is none.
    /// Too short, and a slow command ends with its outcome unknown; none, and a frozen server holds its
    /// callers for ever.
    #[doc(alias = "socket_timeout")]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.config.timeout = non_zero(limit);
        self
    }

    /// Whether the kernel probes silent TCP connections. Default true. Off, a peer that vanished without a
    /// word is noticed only by the next command.
    #[doc(alias = "socket_keepalive")]
    pub fn keepalive(mut self, on: bool) -> Self {
        self.config.keepalive = on;
        self
    }

    /// Silence before the first keepalive probe; whole seconds count. Default 30 s, 1 to 32767 s. Short costs
    /// a packet as often on every idle connection; long lets firewalls forget the connection first.
    #[doc(alias = "socket_keepalive_options")]
    pub fn keepalive_idle(mut self, idle: Duration) -> Self {
        self.config.keepalive_probes.idle = idle;
        self
    }

    /// Time between keepalive probes; whole seconds count. Default 5 s, 1 to 32767 s. Short gives up on a
    /// brief network fault; long makes a dead peer take `count` times as long to notice.
    pub fn keepalive_interval(mut self, interval: Duration) -> Self {
        self.config.keepalive_probes.interval = interval;
        self
    }

    /// Unanswered probes after which a connection is dead. Default 3, 1 to 127. At 1 a single lost packet
    /// kills a connection; at 127 a dead one lives for `127 · interval`.
    pub fn keepalive_count(mut self, count: u32) -> Self {
        self.config.keepalive_probes.count = count;
        self
    }

    /// How long sent data may stay unacknowledged before the kernel gives the connection up
    /// (`TCP_USER_TIMEOUT`, where the system has it). Default 15 s; zero is none; 1 ms to 24 days. Short
    /// breaks connections on a passing loss; none leaves the system's own limit, often 15 minutes.
    pub fn tcp_user_timeout(mut self, limit: Duration) -> Self {
        self.config.tcp_user_timeout = non_zero(limit);
        self
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`). Default true. False adds up to 40 ms to single
    /// commands and saves packets only for callers that write in tiny pieces, which this client does not.
    pub fn nodelay(mut self, on: bool) -> Self {
        self.config.nodelay = on;
        self
    }

    /// The name shown by `CLIENT LIST`. Default: none; empty is none. Printable ASCII without spaces, as
    /// servers demand.
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.config.client_name = non_empty(name.into());
        self
    }

    /// The library's name as told to the server. Default `redwire`; empty sends none. Same characters as
    /// `client_name`.
    pub fn lib_name(mut self, name: impl Into<String>) -> Self {
        self.config.lib_name = non_empty(name.into());
        self
    }

    /// The library's version as told to the server. Default: this crate's; empty sends none. Same characters
    /// as `client_name`.
    pub fn lib_version(mut self, version: impl Into<String>) -> Self {
        self.config.lib_version = non_empty(version.into());
        self
    }

    /// Which protocol to ask for. Default RESP3 with fallback to RESP2. RESP2 for servers or proxies that
    /// mishandle `HELLO`.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.config.protocol = protocol;
        self
    }

    /// A connection silent for this long is asked (`PING`), and must answer within as long again: so a dead
    /// peer is found within twice this, idle or busy. Default 2.5 s, so within 5 s; zero is never; at least
    /// 10 ms. Short costs a PING as often on every quiet connection, and takes a server's pause for its
    /// death; never, and a silent loss is found only by the deadlines of calls, or by the kernel.
    #[doc(alias = "check_health")]
    pub fn health_check_interval(mut self, interval: Duration) -> Self {
        self.config.health_check_interval = non_zero(interval);
        self
    }

    /// The whole retry policy at once: see [`RetryPolicy`]. The four setters that follow change its parts.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.config.retry = policy;
        self
    }

    /// [`RetryPolicy::retries`]: retries after the first try. Default 3.
    #[doc(alias = "cluster_error_retry_attempts")]
    #[doc(alias = "connection_error_retry_attempts")]
    pub fn retries(mut self, retries: u32) -> Self {
        self.config.retry.retries = retries;
        self
    }

    /// [`RetryPolicy::backoff`]: the pause before each retry. Default full jitter, 10 ms → 1 s.
    #[doc(alias = "Retry")]
    pub fn retry_backoff(mut self, backoff: Backoff) -> Self {
        self.config.retry.backoff = backoff;
        self
    }

    /// [`RetryPolicy::on_timeout`]: whether a try that timed out is retried. Default false. How long a try
    /// lasts is told by [`attempt_timeout`](Self::attempt_timeout).
    pub fn retry_on_timeout(mut self, on: bool) -> Self {
        self.config.retry.on_timeout = on;
        self
    }

    /// [`RetryPolicy::attempt_timeout`]: the longest time that one try takes, with
    /// [`retry_on_timeout`](Self::retry_on_timeout). Default and zero: the timeout of the call, shared out
    /// evenly among its tries.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// use std::time::Duration;
    ///
    /// use redwire::config::Config;
    ///
    /// let second = Duration::from_secs(1);
    /// let builder = Config::builder().timeout(5 * second);
    /// let config = builder.retry_on_timeout(true).attempt_timeout(second).build()?;
    /// assert_eq!(config.retry().attempt_timeout, Some(second));
    /// # Ok::<(), redwire::config::ConfigError>(())
    /// ```
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.config.retry.attempt_timeout = non_zero(limit);
        self
    }

    /// [`RetryPolicy::codes`]: the error code words that are retried, in place of the default ones.
    #[doc(alias = "retry_on_error")]
    pub fn retry_on<W: Into<String>>(mut self, codes: impl IntoIterator<Item = W>) -> Self {
        self.config.retry.codes = codes.into_iter().map(|word| Cow::Owned(word.into())).collect();
        self
    }

    /// Retries that 100 calls earn, so that an outage is not made worse by the retries of all clients.
    /// Default 20, 0 to 1000. On top come 10 a second, and at most 5 000 are saved up. At 0 a busy client
    /// retries next to nothing; at 1000 each call may be made many times while the server struggles.
    ///
    /// Not counted are, in a cluster, redirections and what waits for a failover or a slot that moves
    /// (`CLUSTERDOWN`, `TRYAGAIN`, a node that cannot be reached): nothing was executed then, pauses grow to
    /// a second, and the call's deadline ends it, after some 15 tries in 5 s.
    pub fn retry_budget(mut self, percent: u32) -> Self {
        self.config.retry_budget = percent;
        self
    }

    /// Whether every command of this client may be repeated when its reply was lost, as if each were
    /// declared [`idempotent`](crate::Cmd::idempotent). Default false. True gives up "executed at most
    /// once": an `INCR` may count twice, an `RPUSH` append twice, and what the first of two `LPOP`s took is
    /// lost. Only for clients whose every command may be executed several times, and late. False, and
    /// callers get errors of commands that were maybe executed.
    pub fn idempotent(mut self, on: bool) -> Self {
        self.config.idempotent = on;
        self
    }

    /// The pause before each attempt to connect again, for ever. Default full jitter, 10 ms → 1 s; a base
    /// below 1 ms is refused. Short pauses turn an outage into a storm of connects; a long cap delays the
    /// recovery by as much.
    pub fn reconnect_backoff(mut self, backoff: Backoff) -> Self {
        self.config.reconnect_backoff = backoff;
        self
    }

    /// Bytes of a connection's read buffer to begin with; it grows for larger replies. Default 64 KiB, 1 KiB
    /// to 1 GiB. Small costs more system calls; large costs that much memory for every connection.
    #[doc(alias = "socket_read_size")]
    pub fn read_buffer_size(mut self, bytes: usize) -> Self {
        self.config.read_buffer_size = bytes;
        self
    }

    /// Whether a replica is meant. Default false. `READONLY` is sent on connect, so that a replica in a
    /// Cluster answers reads; and a connection whose server refuses a write as a replica is kept, where it
    /// would otherwise be left for a new one, and the write made again until its deadline. A client of a
    /// Cluster reads from replicas then, by [`ReadStrategy::ReplicaPreferred`](crate::cluster::ReadStrategy)
    /// unless another strategy than the default is set, which says more exactly what is wanted; what writes
    /// goes to primaries as ever. In a URL, `readonly_mode` wins over `read_from_replicas`: both together are
    /// replicas, where the latter alone is primary and replicas in turn.
    #[doc(alias = "readonly")]
    #[doc(alias = "readonly_mode")]
    pub fn read_only(mut self, on: bool) -> Self {
        self.config.read_only = on;
        self
    }

    /// The most commands that may wait on one connection, sent or not. Default 65 536, at least 1: a server
    /// answers that many well within the default deadline, and their bookkeeping is a few MiB. Beyond the
    /// limit a call gets an error at once; those that wait for room for their bytes count, too. Few, and
    /// bursts are refused; millions, and an outage fills memory with commands that will time out.
    pub fn max_queued_commands(mut self, most: usize) -> Self {
        self.config.max_queued_commands = most;
        self
    }

    /// The most encoded bytes that may wait to be written on one connection. Default 64 MiB, at least 1 KiB.
    /// A call that finds no room waits for it, within its deadline: calls that wait go in the order in which
    /// they came, and no later call overtakes them. A command larger than the limit waits until nothing else
    /// is to be written. With a small limit large values wait for one another, and small commands for them; a
    /// limit of gigabytes is memory that an outage may take.
    pub fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.config.max_queued_bytes = bytes;
        self
    }

    /// After how many replies a connection that callers share is asked a question of its own, whose answer
    /// shows whether replies still belong to their requests. Default 0: only after a reply has failed to come
    /// in time.
    ///
    /// Servers answer every request, in order. But where something between drops a single reply out of the
    /// stream, and the next one comes in time, that one goes to the wrong call, and so do all that follow.
    /// With this, `mark_every` of them do at most: then the connection ends, and the calls under way with it,
    /// as maybe executed. The question is a `PING` among the requests, 40 bytes or so: with 100 it costs a
    /// hundredth of a small request each. Nothing is asked on a connection of one caller, whose calls are
    /// answered before the next.
    pub fn mark_every(mut self, replies: u32) -> Self {
        self.config.mark_every = replies;
        self
    }

    /// How many aggregates of a reply may be open at once. Default 64, at least 1. Servers' own commands stay
    /// below 16, so a small limit fails only modules and scripts; a large one lets a hostile server spend the
    /// decoder's stack.
    pub fn max_reply_depth(mut self, levels: u8) -> Self {
        self.config.reply_limits.depth = levels;
        self
    }

    /// The longest string in a reply, in bytes. Default 512 MiB, the servers' own default limit; at least 1
    /// KiB. Values beyond the limit cannot be read; a huge limit is memory that a hostile server may take.
    pub fn max_reply_bulk(mut self, bytes: u64) -> Self {
        self.config.reply_limits.bulk_len = bytes;
        self
    }

    /// The most elements of one aggregate in a reply. Default 268 435 456 (2²⁸), at least 1024. A larger
    /// collection cannot be read whole; a huge limit lets a hostile server keep a connection busy with one
    /// reply.
    pub fn max_reply_elements(mut self, most: u64) -> Self {
        self.config.reply_limits.elements = most;
        self
    }

    /// The longest line in a reply, in bytes: an error, a status or a number. Default 16 MiB, at least 1 KiB.
    /// Servers keep their own lines short, but a script may fail with an error of any length. A longer line
    /// ends the connection for all callers that use it, since it does not say beforehand where it will end.
    /// Of an error's text an [`Error`](crate::Error) keeps 4 KiB.
    pub fn max_reply_line(mut self, bytes: u64) -> Self {
        self.config.reply_limits.line_len = bytes;
        self
    }

    /// The most bytes of one reply, or of one message that the server sends unasked, with all that is nested
    /// in it. Default 1 GiB, at least 1 KiB. A larger reply ends the connection, so a limit below the largest
    /// collection that is read whole breaks that call, and those beside it; a huge one is memory that a
    /// server may take whose reply does not end.
    ///
    /// A reply that no caller waits for any more ends the connection once more than 16 MiB of it have come,
    /// whatever the limit.
    pub fn max_reply_bytes(mut self, bytes: u64) -> Self {
        self.config.reply_limits.frame_len = bytes;
        self
    }

    /// The configuration, checked as a whole.
    ///
    /// # Errors
    /// A [`ConfigError`] naming the first option, or part of the URL, that cannot be used.
    pub fn build(mut self) -> Result<Config, ConfigError> {
        let Some(url) = self.url.take() else { return validate(self.config) };
        let url = url?;
        let may_quote_password = url.may_quote_password;
        let built = options::apply_url(self, url).and_then(|builder| validate(builder.config));
        built.map_err(|error| if may_quote_password { error.masked() } else { error })
    }

    /// The host and port of the one TCP server, replacing any other topology.
    pub(super) fn tcp(&mut self) -> &mut HostPort {
        if !matches!(self.config.deployment, Deployment::Single(Endpoint::Tcp(_))) {
            let address = HostPort::new(DEFAULT_HOST, DEFAULT_PORT);
            self.config.deployment = Deployment::Single(Endpoint::Tcp(address));
        }
        match &mut self.config.deployment {
            Deployment::Single(Endpoint::Tcp(address)) => address,
            _ => unreachable!("set just above"),
        }
    }
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn non_zero(duration: Duration) -> Option<Duration> {
    Some(duration).filter(|duration| !duration.is_zero())
}
