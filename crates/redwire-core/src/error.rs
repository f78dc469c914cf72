//! The one error type: what went wrong, where, and whether the command was executed.
//!
//! Everything that names or classifies a failure lives here, the servers' error words included. This file
//! must not know how a failure is mended: that is [`retry`](crate::retry)'s.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::facts::Facts;
use crate::refusal;
use crate::replies::Replies;
use crate::secret::{self, Secret};

/// The result of nearly everything in this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, with all that a caller needs to decide what to do about it.
///
/// One word wide, cheap to clone, `Send + Sync`. What it prints names the command, the address and the number
/// of tries as far as they are known, and never shows a password.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::{Error, ErrorKind, Outcome};
///
/// let error = Error::from_server(b"WRONGTYPE Operation against a key holding the wrong kind of value");
/// assert_eq!(error.kind(), ErrorKind::Response);
/// assert_eq!(error.code(), Some("WRONGTYPE"));
/// assert_eq!(error.outcome(), Outcome::Rejected);
/// ```
#[doc(alias = "RedisError")]
#[doc(alias = "ReplyError")]
#[doc(alias = "PipelineError")]
#[doc(alias = "MultiExecError")]
#[derive(Clone)]
pub struct Error(Arc<ErrorInner>);

#[derive(Clone)]
struct ErrorInner {
    kind: ErrorKind,
    outcome: Outcome,
    /// For a server's error the whole line, whose first word is the code.
    message: String,
    command: Option<String>,
    address: Option<Arc<str>>,
    tries: u32,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// The replies to the first commands of a request that failed then.
    answered: Option<Arc<Replies>>,
}

/// What became of the command when the call failed: the question behind every retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The server cannot have executed it: not all of it was handed to the kernel.
    NotSent,
    /// The server answered with an error instead of executing it.
    Rejected,
    /// It was handed over whole, and no reply came: it may have been executed, or may yet be. Or it is a
    /// script, a function or a command of a module, which may have written before it failed. Of several tries
    /// the worst counts: the last one may have been rejected or not sent, and one before it executed.
    MaybeExecuted,
    /// It was executed, and its reply cannot be read as the type that was asked for.
    Unreadable,
}

/// What kind of failure it is, from the caller's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A URL or an option has a value it cannot have.
    #[doc(alias = "ValueError")]
    Config,
    /// The call cannot be made this way; the message says which way it can.
    #[doc(alias = "DataError")]
    Usage,
    /// The connection could not be made, or was lost.
    #[doc(alias = "ConnectionError")]
    Connection(ConnectionFault),
    /// The server does not let this user in, or does not let it do this.
    #[doc(alias = "AuthenticationError")]
    #[doc(alias = "NoPermissionError")]
    #[doc(alias = "AuthorizationError")]
    Authentication(AuthenticationFault),
    /// The call's deadline passed.
    #[doc(alias = "TimeoutError")]
    Timeout,
    /// The peer sent what no Redis server sends. Where replies cannot be told apart any more, the connection
    /// was dropped.
    #[doc(alias = "ProtocolError")]
    #[doc(alias = "InvalidResponse")]
    Protocol,
    /// The server answered with an error; [`Error::code`] is its first word.
    #[doc(alias = "ResponseError")]
    #[doc(alias = "DataError")]
    Response,
    /// The server is there but cannot serve now: it loads its data, or its master is down, or a script runs.
    /// Where one of the first two lasts for a second, new connections are made to its address, behind which
    /// another may serve.
    #[doc(alias = "BusyLoadingError")]
    Busy,
    /// The server has as many clients as its `maxclients` allows.
    #[doc(alias = "MaxClientsError")]
    MaxClients,
    /// A write was sent to a replica. With one address, the connections to it are left for new ones, which
    /// may lead to another server by now, and what was not executed is made again until its deadline, unless
    /// [`read_only`](crate::config::ConfigBuilder::read_only) says that a replica is meant, or `retries` is
    /// 0.
    #[doc(alias = "ReadOnlyError")]
    ReadOnly,
    /// The sentinels did not lead to a master.
    Sentinel(SentinelFault),
    /// The cluster cannot serve the command, or not here, or not now.
    #[doc(alias = "RedisClusterException")]
    Cluster(ClusterFault),
    /// As many connections are in use as `max_connections` allows, or in a cluster `max_cluster_connections`.
    #[doc(alias = "MaxConnectionsError")]
    PoolExhausted,
    /// More commands or bytes are waiting than the limits of the configuration allow.
    QueueFull,
    /// A transaction was not executed: another client changed the keys it watches, or the connection that
    /// watched them was lost.
    #[doc(alias = "WatchError")]
    #[doc(alias = "WatchVariableError")]
    #[doc(alias = "ExecAbortError")]
    Aborted,
    /// The reply cannot be turned into the type that was asked for.
    Decode,
    /// The client or the connection was closed by its owner.
    Closed,
    /// A lock could not be had, or is not held any more.
    Lock(LockFault),
}

/// How a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionFault {
    /// No server listens at the address.
    Refused,
    /// The peer or something between broke it off.
    Reset,
    /// The peer closed it.
    Closed,
    /// The host name has no address.
    Dns,
    /// The TLS session could not be made.
    Tls,
    /// It was not ready within the connect timeout.
    Timeout,
    /// The peer was silent for twice the health check interval, though it was asked whether it lives.
    Silent,
    /// It was given up, since another server has taken over from this one: by Sentinel's word, or in a
    /// cluster.
    LeftMaster,
    /// Any other failure of the network or the operating system; the source tells.
    Io,
}

/// Why sentinels did not lead to a master. The message names each of them, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SentinelFault {
    /// None of them answered.
    Unreachable,
    /// Those that answered know no such service.
    #[doc(alias = "MasterNotFoundError")]
    UnknownService,
    /// None told a master that can be believed: it is down and no other was chosen yet, or they see too few
    /// others.
    #[doc(alias = "MasterNotFoundError")]
    NoMaster,
    /// The server they told is no master, or no longer.
    NotMaster,
    /// They told no replica that can be used, and a replica was asked for.
    #[doc(alias = "SlaveNotFoundError")]
    NoReplica,
}

/// Why a cluster did not serve a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClusterFault {
    /// The slot belongs to another node.
    #[doc(alias = "MovedError")]
    Moved,
    /// The slot is on its way to another node, which is to be asked for this key.
    #[doc(alias = "AskError")]
    Ask,
    /// Some of the keys are on their way to another node: later they will be together again.
    #[doc(alias = "TryAgainError")]
    TryAgain,
    /// The cluster does not serve, as the node sees it: slots have no node, or it is cut off from the others.
    #[doc(alias = "ClusterDownError")]
    Down,
    /// The keys are in several slots, and the command can only be run within one.
    #[doc(alias = "ClusterCrossSlotError")]
    CrossSlot,
    /// No node is known for the slot.
    #[doc(alias = "SlotNotCoveredError")]
    NotCovered,
    /// None of the nodes that were asked for the map answered.
    Unreachable,
    /// The servers that answered are no cluster.
    NotACluster,
    /// None told a map that can be believed; the message names each of them, and why.
    NoMap,
    /// The nodes sent the command to and fro.
    TooManyRedirects,
}

/// Why the server does not let a user in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthenticationFault {
    /// The user name or the password is wrong.
    WrongPassword,
    /// The server wants a password and none was given. Or one was given, and the server has forgotten it:
    /// another has taken its place behind a proxy. Then the connection is replaced and the call made again,
    /// until its deadline.
    PasswordRequired,
    /// The user may not run this command, or not on these keys or channels.
    NoPermission,
}

/// What is wrong with a lock.
#[doc(alias = "LockError")]
#[doc(alias = "LockNotOwnedError")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockFault {
    /// Another holder had it for as long as the caller was ready to wait.
    NotAcquired,
    /// The server says that it is not ours any more: it ran out, was taken away, or was released before.
    NotOwned,
    /// By our own clock it has run out without an extension that was confirmed: another holder may have it by
    /// now.
    Lost,
}

impl Error {
    /// A failure of this kind.
    #[must_use]
    pub fn new(kind: ErrorKind, outcome: Outcome, message: impl Into<String>) -> Self {
        Self(Arc::new(ErrorInner {
            kind,
            outcome,
            message: message.into(),
            command: None,
            address: None,
            tries: 1,
            source: None,
            answered: None,
        }))
    }

    /// What the server said instead of an answer: `CODE rest of the line`, without the arguments that servers
    /// quote of a command that they do not know: they may be secret. Of what is longer than 4 KiB the
    /// beginning and the end are kept.
    #[must_use]
    #[doc(hidden)]
    pub fn from_server(line: &[u8]) -> Self {
        let message = String::from_utf8_lossy(line).into_owned();
        Self::new(classify(&message), Outcome::Rejected, shortened(secret::unquoted(message)))
    }

    /// The same failure without what it quotes of `secrets`, in its causes, too. Kind and code stay what they
    /// were.
    #[must_use]
    #[doc(hidden)]
    pub fn without(mut self, secrets: &[Secret]) -> Self {
        if secrets.is_empty() {
            return self;
        }
        let inner = self.inner();
        // A word that is known as a code is no secret, even where it is also a password.
        let is_known = |code: &str| inner.kind != ErrorKind::Response || code == "ERR";
        let is_secret = |code: &str| secrets.iter().any(|secret| secret.reveal().eq_ignore_ascii_case(code));
        inner.message = match inner.message.split_once(' ') {
            Some((code, rest)) if is_code(code) && (is_known(code) || !is_secret(code)) => {
                format!("{code} {}", secret::mask(rest, secrets))
            }
            _ => secret::mask(&inner.message, secrets),
        };
        if let Some(source) = inner.source.take() {
            inner.source = match source.downcast_ref::<Self>() {
                Some(cause) => Some(Arc::new(cause.clone().without(secrets))),
                // Of another library's error nothing but the whole can be taken out.
                None => Some(source).filter(|source| {
                    let shown = format!("{source} {source:?}");
                    secret::mask(&shown, secrets) == shown
                }),
            };
        }
        self
    }

    /// A failure of the operating system while `doing` something with a connection.
    #[must_use]
    #[doc(hidden)]
    pub fn from_io(doing: &str, outcome: Outcome, error: io::Error) -> Self {
        let fault = match error.kind() {
            io::ErrorKind::ConnectionRefused => ConnectionFault::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                ConnectionFault::Reset
            }
            io::ErrorKind::UnexpectedEof => ConnectionFault::Closed,
            io::ErrorKind::TimedOut => ConnectionFault::Timeout,
            _ => ConnectionFault::Io,
        };
        Self::new(ErrorKind::Connection(fault), outcome, format!("{doing}: {error}")).with_source(error)
    }

    /// The call cannot be made this way.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, Outcome::NotSent, message)
    }

    /// The peer closed the connection.
    #[must_use]
    #[doc(hidden)]
    pub fn closed_by_peer(outcome: Outcome) -> Self {
        Self::new(ErrorKind::Connection(ConnectionFault::Closed), outcome, "the server closed the connection")
    }

    /// The peer did not even answer the question whether it lives.
    #[must_use]
    #[doc(hidden)]
    pub fn silent_peer(outcome: Outcome) -> Self {
        let message = "the server is silent, and did not answer when it was asked (`health_check_interval`)";
        Self::new(ErrorKind::Connection(ConnectionFault::Silent), outcome, message)
    }

    /// The deadline of a call passed.
    #[must_use]
    #[doc(hidden)]
    pub fn timeout(outcome: Outcome) -> Self {
        Self::new(ErrorKind::Timeout, outcome, "no reply within the deadline")
    }

    /// Says which command failed.
    #[must_use]
    #[doc(hidden)]
    pub fn with_command(mut self, name: &str) -> Self {
        self.inner().command = Some(name.to_owned());
        self
    }

    /// Says which command failed, unless that is known already.
    #[must_use]
    #[doc(hidden)]
    pub fn or_command(self, name: &str) -> Self {
        if self.0.command.is_some() { self } else { self.with_command(name) }
    }

    /// Says at which address.
    #[must_use]
    #[doc(hidden)]
    pub fn with_address(mut self, address: &Arc<str>) -> Self {
        self.inner().address = Some(Arc::clone(address));
        self
    }

    /// Says after how many tries.
    #[must_use]
    #[doc(hidden)]
    pub fn with_tries(mut self, tries: u32) -> Self {
        self.inner().tries = tries;
        self
    }

    /// The same failure with another outcome.
    #[must_use]
    #[doc(hidden)]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.inner().outcome = outcome;
        self
    }

    /// Puts what was being done before the message: `SELECT 5: ERR …`. The code stays what it was.
    #[must_use]
    pub fn with_context(mut self, doing: &str) -> Self {
        let inner = self.inner();
        let cause = Self(Arc::new(ErrorInner { answered: None, ..inner.clone() }));
        inner.message = format!("{doing}: {}", inner.message);
        inner.source.get_or_insert_with(|| Arc::new(cause));
        self
    }

    /// The same failure, as the answer to a command of these facts and `words` (name included): one that runs
    /// code of users or modules may have written before it failed, unless the server says in its own whole
    /// sentence that it did not run it.
    #[must_use]
    pub(crate) fn in_reply_to(self, facts: &Facts, words: &[&[u8]]) -> Self {
        let rejected = self.outcome() == Outcome::Rejected;
        if !rejected || !facts.may_run_in_part() || refusal::is_refusal(self.message(), facts, words) {
            return self;
        }
        self.with_outcome(Outcome::MaybeExecuted)
    }

    /// Whether the server has no script of the SHA-1 that it was given.
    pub(crate) fn is_missing_script(&self) -> bool {
        self.outcome() == Outcome::Rejected && self.message().starts_with("NOSCRIPT No matching script")
    }

    /// Chains what lies behind the failure.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.inner().source = Some(Arc::new(source));
        self
    }

    /// This failure in the place of `other`: with its outcome, and the replies that came before it.
    #[must_use]
    #[doc(hidden)]
    pub fn in_place_of(self, mut other: Self) -> Self {
        let outcome = other.outcome();
        self.with_outcome(outcome).with_answered(other.take_answered())
    }

    /// Keeps the replies that came to the first commands of the request before it failed.
    pub(crate) fn with_answered(mut self, replies: Replies) -> Self {
        self.inner().answered = Some(Arc::new(replies));
        self
    }

    /// Takes out the replies that came before the failure; none where there are none.
    pub(crate) fn take_answered(&mut self) -> Replies {
        let answered = if self.0.answered.is_some() { self.inner().answered.take() } else { None };
        answered.map(Arc::unwrap_or_clone).unwrap_or_default()
    }

    fn inner(&mut self) -> &mut ErrorInner {
        Arc::make_mut(&mut self.0)
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What became of the command.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// The first word of a server's error, such as `WRONGTYPE`; `None` where no server spoke. Some proxies
    /// put `ERR` before a word that says more (`ERR LOADING …`): then that word.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        // What a server answered to connecting came before anything was sent for the caller.
        let in_handshake = self.0.outcome == Outcome::NotSent && self.is_servers_kind();
        if !in_handshake && !self.is_from_server() {
            return None;
        }
        let line =
            self.0.source.as_deref().and_then(<dyn std::error::Error + Send + Sync>::downcast_ref::<Self>);
        if let Some(code) = line.and_then(Self::code) {
            return Some(code);
        }
        if in_handshake {
            return None;
        }
        code_and_rest(&self.0.message).0.split(['\r', '\n']).next().filter(|word| is_code(word))
    }

    /// Whether it is of a kind that servers' errors have.
    fn is_servers_kind(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Response
                | ErrorKind::Authentication(_)
                | ErrorKind::Busy
                | ErrorKind::Cluster(_)
                | ErrorKind::MaxClients
                | ErrorKind::ReadOnly
        )
    }

    /// The line that a server answered the command with, whatever was put before it; `None` where that does
    /// not tell what became of the command, since it was tried before or ran elsewhere, too.
    pub(crate) fn server_line(&self) -> Option<&str> {
        let line =
            self.0.source.as_deref().and_then(<dyn std::error::Error + Send + Sync>::downcast_ref::<Self>);
        match line.and_then(|line| Some((line.server_line()?, line.outcome()))) {
            Some((line, outcome)) => (outcome == self.0.outcome).then_some(line),
            None => self.is_from_server().then_some(&*self.0.message),
        }
    }

    /// Whether it is an answer: instead of executing the command, or of a script that ran.
    fn is_from_server(&self) -> bool {
        match self.0.outcome {
            Outcome::Rejected => true,
            Outcome::MaybeExecuted | Outcome::Unreadable => self.is_servers_kind(),
            Outcome::NotSent => false,
        }
    }

    /// Whether `EXEC`, answered by this, gave up the transaction, so that none is open any more. A node of a
    /// cluster that refuses `EXEC` for the slot of its keys does so, too.
    pub(crate) fn is_aborted_exec(&self) -> bool {
        use ClusterFault::{Ask, CrossSlot, Down, Moved, TryAgain};
        let refused = matches!(self.kind(), ErrorKind::Cluster(Moved | Ask | TryAgain | Down | CrossSlot));
        refused || self.code() == Some("EXECABORT")
    }

    /// What went wrong, in words, without command, address and tries.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The name of the command that failed, where one was involved.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.0.command.as_deref()
    }

    /// The address it happened at, `host:port` or a path, where one was involved.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// How many times it was tried, the first included.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.0.tries
    }

    /// Whether time ran out, while connecting or while waiting for the reply.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Timeout | ErrorKind::Connection(ConnectionFault::Timeout))
    }

    /// Whether the same call may be made again without the risk of executing the command twice, and with some
    /// hope.
    ///
    /// What may have been executed is not retryable by this measure; a caller that knows the command to be
    /// harmless when repeated looks at [`outcome`](Self::outcome) instead. Of failures to connect, those are
    /// not that somebody has to mend first: credentials, certificates, a database or a service that is not
    /// there.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.0.outcome {
            Outcome::NotSent => !matches!(
                self.0.kind,
                ErrorKind::Config
                    | ErrorKind::Usage
                    | ErrorKind::Authentication(_)
                    | ErrorKind::Connection(ConnectionFault::Tls)
                    | ErrorKind::Response
                    | ErrorKind::Sentinel(SentinelFault::UnknownService)
                    | ErrorKind::Closed
                    | ErrorKind::Cluster(ClusterFault::CrossSlot | ClusterFault::NotACluster)
            ),
            Outcome::Rejected => matches!(
                self.0.kind,
                ErrorKind::Busy
                    | ErrorKind::MaxClients
                    | ErrorKind::Cluster(ClusterFault::TryAgain | ClusterFault::Down)
                    | ErrorKind::Aborted
                    | ErrorKind::Lock(LockFault::NotAcquired)
            ),
            Outcome::MaybeExecuted | Outcome::Unreadable => false,
        }
    }
}

impl Error {
    /// Whether the server says that it is a replica, or has just become one: news about the server. Whether
    /// the command may be made again elsewhere is another question, and the [outcome](Self::outcome) answers
    /// that.
    #[must_use]
    pub fn is_demotion(&self) -> bool {
        let said = |words| self.is_from_server() && self.0.message.contains(words);
        // Those that wait are sent away with these words when their server becomes a replica; a user's CLIENT
        // UNBLOCK has others.
        let unblocked = self.code() == Some("UNBLOCKED") && said("instance state changed");
        // A script may say READONLY for reasons of its own; what the server told it stands within its error.
        match self.0.outcome {
            Outcome::Rejected => self.0.kind == ErrorKind::ReadOnly || unblocked,
            _ => unblocked || said(refusal::READ_ONLY),
        }
    }

    /// Whether the server says something of itself, whatever it was asked: that it is a replica, that it does
    /// not know who asks, or that it cannot serve now.
    pub(crate) fn is_about_server(&self) -> bool {
        let rejected = self.0.outcome == Outcome::Rejected;
        self.is_demotion() || (rejected && (self.wants_password() || self.0.kind == ErrorKind::Busy))
    }

    /// Whether the server does not know, or has forgotten, who is connected: it wants a password.
    pub(crate) fn wants_password(&self) -> bool {
        self.kind() == ErrorKind::Authentication(AuthenticationFault::PasswordRequired)
    }

    /// The same failure, as the last of a call that may have been executed by a try before it.
    #[must_use]
    pub(crate) fn after_doubtful_try(self) -> Self {
        match self.0.outcome {
            Outcome::NotSent | Outcome::Rejected => self
                .with_context("a try before may have been executed, and the last one failed")
                .with_outcome(Outcome::MaybeExecuted),
            Outcome::MaybeExecuted | Outcome::Unreadable => self,
        }
    }
}

/// The most that is kept of what a server said.
const MOST_KEPT: usize = 4 * 1024;

/// `message`, or both its ends: where a script failed stands at the end.
fn shortened(message: String) -> String {
    if message.len() <= MOST_KEPT {
        return message;
    }
    let (bytes, half) = (message.as_bytes(), MOST_KEPT / 2);
    let (begin, end) = (&bytes[..half], &bytes[bytes.len() - half..]);
    format!("{} … {}", String::from_utf8_lossy(begin), String::from_utf8_lossy(end))
}

/// Servers write codes in capitals; a message without one (some modules, some Lua) has no code.
fn is_code(word: &str) -> bool {
    !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The code word of a server's error line, and what follows it. Some proxies put `ERR` before the word of the
/// server behind them.
fn code_and_rest(line: &str) -> (&str, &str) {
    let (code, rest) = line.split_once(' ').unwrap_or((line, ""));
    let within = rest.split(' ').next().unwrap_or_default();
    if code == "ERR" && PASSED_ON.contains(&within) {
        (within, rest[within.len()..].trim_start())
    } else {
        (code, rest)
    }
}

/// The code words that stand for a kind of their own.
const PASSED_ON: [&str; 10] = [
    "WRONGPASS",
    "NOAUTH",
    "NOPERM",
    "LOADING",
    "BUSY",
    "MASTERDOWN",
    "READONLY",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "CROSSSLOT",
];

/// The kind behind a server's error line. The words are those of Redis 2.8 to 8 and Valkey 7 to 9, and of
/// proxies.
fn classify(line: &str) -> ErrorKind {
    let (code, rest) = code_and_rest(line);
    match code {
        "WRONGPASS" => ErrorKind::Authentication(AuthenticationFault::WrongPassword),
        "NOAUTH" => ErrorKind::Authentication(AuthenticationFault::PasswordRequired),
        "NOPERM" => ErrorKind::Authentication(AuthenticationFault::NoPermission),
        "LOADING" | "BUSY" | "MASTERDOWN" => ErrorKind::Busy,
        "READONLY" => ErrorKind::ReadOnly,
        "MOVED" => ErrorKind::Cluster(ClusterFault::Moved),
        "ASK" => ErrorKind::Cluster(ClusterFault::Ask),
        "TRYAGAIN" => ErrorKind::Cluster(ClusterFault::TryAgain),
        "CLUSTERDOWN" => ErrorKind::Cluster(ClusterFault::Down),
        "CROSSSLOT" => ErrorKind::Cluster(ClusterFault::CrossSlot),
        "ERR" if rest.contains("cluster support disabled") => ErrorKind::Cluster(ClusterFault::NotACluster),
        "ERR" if is_full(rest) => ErrorKind::MaxClients,
        // Servers before 6.0 have no code of their own for a wrong password.
        "ERR"
            if rest.starts_with("invalid password") || rest.starts_with("AUTH <password> called without") =>
        {
            ErrorKind::Authentication(AuthenticationFault::WrongPassword)
        }
        "ERR" if rest.starts_with("Client sent AUTH") => {
            ErrorKind::Authentication(AuthenticationFault::WrongPassword)
        }
        _ => ErrorKind::Response,
    }
}

/// Whether these words say that no more clients are let in: those of servers, and two that proxies have.
fn is_full(rest: &str) -> bool {
    let sentences = ["max number of clients", "max clients reached", "too many connections"];
    sentences
        .iter()
        .any(|words| rest.get(..words.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(words)))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(command) = &self.0.command {
            write!(f, "{command}")?;
        }
        if let Some(address) = &self.0.address {
            write!(f, "{}at {address}", if self.0.command.is_some() { " " } else { "" })?;
        }
        if self.0.command.is_some() || self.0.address.is_some() {
            f.write_str(": ")?;
        }
        f.write_str(&self.0.message)?;
        match (self.0.kind, self.0.outcome) {
            (ErrorKind::Config | ErrorKind::Usage, _) | (_, Outcome::Rejected) => {}
            (_, Outcome::NotSent) => f.write_str(" (not sent)")?,
            (_, Outcome::MaybeExecuted) => f.write_str(" (outcome unknown: it may have been executed)")?,
            (_, Outcome::Unreadable) => f.write_str(" (executed, but the reply cannot be read)")?,
        }
        if self.0.tries > 1 {
            write!(f, " (after {} tries)", self.0.tries)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("outcome", &self.0.outcome)
            .field("message", &self.0.message)
            .field("command", &self.0.command)
            .field("address", &self.0.address)
            .field("tries", &self.0.tries)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl From<redwire_resp::ProtocolError> for Error {
    fn from(error: redwire_resp::ProtocolError) -> Self {
        use redwire_resp::ProtocolErrorKind::{BulkLimit, DepthLimit, ElementLimit, FrameLimit, LineLimit};
        let option = match error.kind() {
            DepthLimit => "max_reply_depth",
            BulkLimit => "max_reply_bulk",
            ElementLimit => "max_reply_elements",
            LineLimit => "max_reply_line",
            FrameLimit => "max_reply_bytes",
            _ => "",
        };
        let mut message = error.to_string();
        if !option.is_empty() {
            message = format!("{message} (`{option}`)");
        }
        Self::new(ErrorKind::Protocol, Outcome::MaybeExecuted, message).with_source(error)
    }
}

impl From<crate::config::ConfigError> for Error {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::new(ErrorKind::Config, Outcome::NotSent, error.to_string()).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_errors_have_their_code_and_kind() {
        let table: [(&str, ErrorKind, Option<&str>); 16] = [
            ("WRONGTYPE Operation", ErrorKind::Response, Some("WRONGTYPE")),
            ("LOADING Redis is loading", ErrorKind::Busy, Some("LOADING")),
            ("NOAUTH", ErrorKind::Authentication(AuthenticationFault::PasswordRequired), Some("NOAUTH")),
            ("ERR max number of clients reached", ErrorKind::MaxClients, Some("ERR")),
            ("MOVED 1 127.0.0.1:1", ErrorKind::Cluster(ClusterFault::Moved), Some("MOVED")),
            ("READONLY You can't write", ErrorKind::ReadOnly, Some("READONLY")),
            (
                "ERR invalid password",
                ErrorKind::Authentication(AuthenticationFault::WrongPassword),
                Some("ERR"),
            ),
            ("something a script said", ErrorKind::Response, None),
            ("ERR READONLY You can't write", ErrorKind::ReadOnly, Some("READONLY")),
            ("ERR LOADING Redis is loading", ErrorKind::Busy, Some("LOADING")),
            ("ERR LOADING", ErrorKind::Busy, Some("LOADING")),
            (
                "ERR NOAUTH no",
                ErrorKind::Authentication(AuthenticationFault::PasswordRequired),
                Some("NOAUTH"),
            ),
            ("ERR max clients reached", ErrorKind::MaxClients, Some("ERR")),
            ("ERR Too many connections", ErrorKind::MaxClients, Some("ERR")),
            ("ERR LOADINGS", ErrorKind::Response, Some("ERR")),
            ("ERR the server is LOADING", ErrorKind::Response, Some("ERR")),
        ];
        for (line, kind, code) in table {
            let error = Error::from_server(line.as_bytes());
            assert_eq!((error.kind(), error.code()), (kind, code), "{line}");
        }
    }

    #[test]
    fn what_a_script_was_told_is_about_the_server_and_what_it_says_itself_is_not() {
        let table = [
            ("READONLY any words", true, false),
            ("ERR READONLY You can't write against a read only replica.", true, true),
            (
                "READONLY You can't write against a read only replica. script: f_1, on @user_script:1.",
                true,
                true,
            ),
            (
                "ERR Error running script: @user_script: 1: -READONLY You can't write against a read only \
                 replica.",
                false,
                true,
            ),
            ("UNBLOCKED force unblock from blocking operation, instance state changed (master?)", true, true),
            ("UNBLOCKED client unblocked via CLIENT UNBLOCK", false, false),
            ("WRONGTYPE no", false, false),
        ];
        for (line, rejected, maybe_executed) in table {
            let error = Error::from_server(line.as_bytes());
            assert_eq!(error.is_demotion(), rejected, "{line}");
            assert_eq!(error.with_outcome(Outcome::MaybeExecuted).is_demotion(), maybe_executed, "{line}");
        }
        let lost = Error::new(
            ErrorKind::Connection(ConnectionFault::Reset),
            Outcome::MaybeExecuted,
            refusal::READ_ONLY,
        );
        assert!(!lost.is_demotion(), "no server said so");
    }

    #[test]
    fn of_a_long_line_both_ends_are_kept() {
        let line = format!("ERR {} script: f, on @user_script:1.", "é".repeat(100_000));
        let error = Error::from_server(line.as_bytes());
        assert!(error.message().len() < MOST_KEPT + 16 && error.message().starts_with("ERR éé"));
        assert!(error.message().ends_with(" script: f, on @user_script:1."));
        let line = format!("NOPERM {}", "x".repeat(MOST_KEPT - 7));
        assert_eq!(Error::from_server(line.as_bytes()).message(), line);
    }

    #[test]
    fn it_prints_what_was_tried_where_and_how_often() {
        let error = Error::timeout(Outcome::MaybeExecuted)
            .with_command("INCR")
            .with_address(&Arc::from("127.0.0.1:1234"))
            .with_tries(3);
        assert_eq!(
            error.to_string(),
            "INCR at 127.0.0.1:1234: no reply within the deadline (outcome unknown: it may have been \
             executed) (after 3 tries)"
        );
        assert!(error.is_timeout() && !error.is_retryable());
    }

    #[test]
    fn context_keeps_the_code_and_chains_the_cause() {
        let error = Error::from_server(b"ERR DB index is out of range").with_context("SELECT 99");
        assert_eq!(error.to_string(), "SELECT 99: ERR DB index is out of range");
        assert_eq!(error.code(), Some("ERR"));
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn it_is_one_word_wide_and_can_go_anywhere() {
        fn anywhere<T: Clone + Send + Sync + 'static>() {}
        anywhere::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
