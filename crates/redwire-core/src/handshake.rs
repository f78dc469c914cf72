//! What a connection says first: `HELLO` with `AUTH` and the client's name, the library's name, the database.
//!
//! All of it goes out in one write. A server that has no `HELLO`, or none for this user, says so in words of
//! its own: whatever it says, unless it is about the password or about serving any client now, it gets a
//! second round in the words of RESP2, and the answer to the first is forgotten. Every step and every error
//! that may be passed over is decided here, and what the server quotes of the password is taken out of its
//! errors. This file must not know how bytes travel.
//!
//! ```text
//! start ── HELLO 3 AUTH … SETNAME …, CLIENT SETINFO, SELECT, READONLY, ROLE ──> done
//!   └───── AUTH, CLIENT SETNAME, CLIENT SETINFO, SELECT, READONLY, ROLE ──> done   (RESP2, or no HELLO here)
//! ```
//! `ROLE` is asked where sentinels have told which server it is, and `INFO replication` where it is not to be
//! had. A connection that was used is made as new by a `RESET` ahead of the same words.

mod greeting;

use std::collections::VecDeque;
use std::fmt;

use crate::cmd::Cmd;
use crate::config::{Config, Deployment, Protocol, ReadFrom};
use crate::credentials::Credentials;
use crate::error::{
    AuthenticationFault, ClusterFault, ConnectionFault, Error, ErrorKind, Outcome, Result, SentinelFault,
};
use crate::outbox::Outbox;
use crate::reply::{Reader, Value};
use crate::secret::Secret;
use greeting::Greeting;

/// The first exchange of a connection. Send what [`poll_transmit`](Self::poll_transmit) gives, hand every
/// reply to [`handle_reply`](Self::handle_reply), until [`poll_done`](Self::poll_done) gives the session.
#[derive(Debug)]
pub struct Handshake {
    outgoing: Outbox,
    steps: VecDeque<HandshakeStep>,
    /// The words of RESP2, should there be no `HELLO`.
    fallback: Option<Vec<(HandshakeStep, Cmd<Value>)>>,
    /// Replies to come that no longer matter.
    ignored: usize,
    session: Session,
    /// What the server must be, where sentinels have told of it.
    role: Option<HandshakeRole>,
    /// Whether it said that it is that.
    verified: bool,
    /// Whether the server is a node of a cluster.
    in_cluster: bool,
    /// What no error may show.
    secrets: Vec<Secret>,
    /// Whether `HELLO` was sent, whether the server has said anything, and whether that was that it has no
    /// `HELLO`.
    offered: bool,
    answered: bool,
    refused: bool,
}

/// What a server is to the others of its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HandshakeRole {
    Master,
    Replica,
}

/// What the handshake found out about the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// The protocol both sides speak now.
    pub protocol: Protocol,
    /// The server's version, as far as it told: only `HELLO` tells.
    pub version: Option<String>,
    /// The connection's number at the server, as far as it told.
    pub id: Option<i64>,
}

/// The steps, in the order they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HandshakeStep {
    Reset,
    Hello,
    Auth,
    SetName,
    SetInfo,
    Select,
    ReadOnly,
    Role,
    /// `INFO replication`, where there is no `ROLE`.
    Info,
}

impl Handshake {
    /// The handshake that `config` asks for, in the words of `protocol`: RESP2 where an earlier connection
    /// to the same server found that it has nothing else. `credentials` are those of `config`
    /// ([`static_credentials`](Config::static_credentials)), or what its provider gave.
    #[must_use]
    pub fn new(config: &Config, credentials: Option<&Credentials>, protocol: Protocol) -> Self {
        let mut handshake = Self::silent();
        handshake.introduce(config, credentials, protocol);
        handshake
    }

    /// The handshake that makes a used connection as new, whatever was said on it: a `RESET`, then
    /// everything as in [`new`](Self::new), all in one write, since a reset connection speaks RESP2 and
    /// belongs to the default user.
    ///
    /// A server that has no `RESET` (before 6.2), or a user who may not run it, fails the first step.
    #[must_use]
    pub fn again(config: &Config, credentials: Option<&Credentials>, protocol: Protocol) -> Self {
        let mut handshake = Self::silent();
        handshake.queue(&[(HandshakeStep::Reset, Cmd::new("RESET"))]);
        handshake.introduce(config, credentials, protocol);
        handshake
    }

    /// Nothing to say yet.
    fn silent() -> Self {
        Self {
            outgoing: Outbox::default(),
            steps: VecDeque::new(),
            fallback: None,
            ignored: 0,
            session: Session { protocol: Protocol::Resp2, version: None, id: None },
            role: None,
            verified: false,
            in_cluster: false,
            secrets: Vec::new(),
            offered: false,
            answered: false,
            refused: false,
        }
    }

    fn introduce(&mut self, config: &Config, credentials: Option<&Credentials>, protocol: Protocol) {
        self.role = role(config);
        let is_alone = matches!(config.deployment(), Deployment::Single(_));
        self.in_cluster = is_alone && config.has_alternatives();
        self.secrets.extend(credentials.map(|credentials| credentials.password().clone()));
        self.outgoing.reserve(FIRST_BYTES);
        self.steps.reserve(MOST_STEPS);
        let mut plain = introduction(config, credentials);
        let settings_from = plain.len();
        add_settings(&mut plain, config);
        if protocol == Protocol::Resp2 {
            self.queue(&plain);
        } else {
            self.queue(&[(HandshakeStep::Hello, hello(config, credentials))]);
            self.queue(&plain[settings_from..]);
            (self.fallback, self.offered) = (Some(plain), true);
        }
    }

    fn queue(&mut self, steps: &[(HandshakeStep, Cmd<Value>)]) {
        for (step, cmd) in steps {
            self.outgoing.command(cmd.args());
            self.steps.push_back(*step);
        }
    }

    /// Bytes to send now, if any.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        if self.outgoing.is_empty() {
            return None;
        }
        let bytes = self.outgoing.to_bytes();
        self.outgoing.clear();
        Some(bytes)
    }

    /// The session, once every step has its answer.
    #[must_use]
    pub fn poll_done(&self) -> Option<Session> {
        (self.steps.is_empty() && self.ignored == 0).then(|| self.session.clone())
    }

    /// The next reply of the server.
    ///
    /// # Errors
    /// A step that failed, by name; the connection is of no use then. A reply that none of the steps can
    /// have.
    pub fn handle_reply(&mut self, frame: &[u8]) -> Result<()> {
        self.answered = true;
        if self.ignored > 0 {
            self.ignored -= 1;
            return Ok(());
        }
        let Some(step) = self.steps.pop_front() else {
            return Err(Error::new(
                ErrorKind::Protocol,
                Outcome::NotSent,
                "the server answered what was not asked",
            ));
        };
        if step == HandshakeStep::Hello
            && let Some(greeting) = Greeting::read(frame)
        {
            return self.greet(greeting).map_err(|error| error.without(&self.secrets));
        }
        match Reader::read::<Value>(frame) {
            Ok(answer) => self.handle_answer(step, &answer).map_err(|error| error.without(&self.secrets)),
            Err(error) => self.handle_refusal(step, error.without(&self.secrets)),
        }
    }

    /// The exchange ended early, by an error of the connection or of this. Gives what to tell of it, without
    /// secrets.
    #[must_use]
    pub fn handle_failed(&self, error: Error) -> Error {
        let error = match is_lost(&error) && self.offered && !self.answered {
            true => error.with_context(CLOSED),
            false => error,
        };
        // What the server said has been looked through already.
        if error.code().is_some() { error } else { error.without(&self.secrets) }
    }

    /// The protocol in whose words the same server is to be connected to anew, at once, after `error`: it
    /// refused `HELLO` and closed.
    #[must_use]
    pub fn poll_again(&self, error: &Error) -> Option<Protocol> {
        (self.refused && is_lost(error)).then_some(Protocol::Resp2)
    }

    fn handle_answer(&mut self, step: HandshakeStep, answer: &Value) -> Result<()> {
        match (step, answer) {
            (HandshakeStep::Hello, Value::Status(_) | Value::Null) if self.fall_back() => Ok(()),
            (HandshakeStep::Hello, _) => {
                let message = format!("expected a map in answer to HELLO, got {answer:?}");
                Err(step.failed(Error::new(ErrorKind::Protocol, Outcome::NotSent, message)))
            }
            (HandshakeStep::Role, _) => match role_word(answer) {
                Some(word) => self.verify(word),
                None => self.ask_info(),
            },
            (HandshakeStep::Info, _) => info_word(answer).map_or(Ok(()), |word| self.verify(word)),
            (HandshakeStep::SetName | HandshakeStep::SetInfo, _) => Ok(()),
            // Any other status is the late answer to something that was asked before.
            (HandshakeStep::Reset, Value::Status(word)) if word != RESET => Err(step.unexpected(word)),
            (_, Value::Status(_)) => Ok(()),
            (_, other) => Err(step.unexpected(other)),
        }
    }

    fn handle_refusal(&mut self, step: HandshakeStep, error: Error) -> Result<()> {
        match step {
            HandshakeStep::Hello if !is_about_us(&error, !self.secrets.is_empty()) && self.fall_back() => {
                Ok(())
            }
            HandshakeStep::Role if !is_about_us(&error, false) => self.ask_info(),
            // Writing to a replica will tell.
            HandshakeStep::Info if !is_about_us(&error, false) => Ok(()),
            // Names are for the operator's eyes: to be without them is no reason not to connect.
            HandshakeStep::SetName if !turns_away(&error) && !wants_password(&error) => Ok(()),
            HandshakeStep::SetInfo if !turns_away(&error) => Ok(()),
            // Without a cluster a replica answers reads anyway.
            HandshakeStep::ReadOnly if error.kind() == ErrorKind::Cluster(ClusterFault::NotACluster) => {
                Ok(())
            }
            HandshakeStep::Select if self.in_cluster => Err(step.failed(error.with_context(FEW_DATABASES))),
            _ => Err(step.failed(error)),
        }
    }

    /// Turns to RESP2, as the server has no `HELLO` for us. Says whether that is still to be tried.
    fn fall_back(&mut self) -> bool {
        let Some(plain) = self.fallback.take() else { return false };
        self.refused = true;
        // What was sent along with HELLO may have failed for want of AUTH: it is all said again.
        self.ignored = self.steps.len();
        self.steps.clear();
        self.queue(&plain);
        true
    }

    /// Takes note of what `HELLO` tells. A proxy may tell less than a server. A server that tells nothing of
    /// the kind, as the flat list that a map is in RESP2, has no `HELLO`.
    fn greet(&mut self, greeting: Greeting<'_>) -> Result<()> {
        let Greeting { spoken, fields } = greeting;
        let is_greeting =
            |name: &str| matches!(name, "server" | "version" | "proto" | "id" | "mode" | "role");
        if spoken == Protocol::Resp2 && !fields.iter().any(|(name, _)| is_greeting(name)) && self.fall_back()
        {
            return Ok(());
        }
        self.session.protocol = spoken;
        for (name, value) in fields {
            match name {
                "proto" => match value.number() {
                    Some(2) => self.session.protocol = Protocol::Resp2,
                    Some(3) => self.session.protocol = Protocol::Resp3,
                    _ => {}
                },
                "version" => self.session.version = value.text().map(str::to_owned),
                "id" => self.session.id = value.number(),
                "role" => value.text().map_or(Ok(()), |word| self.verify(word))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Asks in another way what the server is, unless `HELLO` has told.
    fn ask_info(&mut self) -> Result<()> {
        if self.verified {
            return Ok(());
        }
        self.queue(&[(HandshakeStep::Info, Cmd::new("INFO replication"))]);
        Ok(())
    }

    /// Whether the server is what it was said to be: the sentinel that told it may have been behind, or the
    /// server is just being demoted.
    fn verify(&mut self, word: &str) -> Result<()> {
        // Others take writes, as the active replicas of KeyDB do.
        let is = match word {
            "slave" | "replica" | "sentinel" => HandshakeRole::Replica,
            _ => HandshakeRole::Master,
        };
        match self.role {
            Some(role) if role != is => {
                let message = format!("expected {role:?}, got {word:?}");
                let kind = ErrorKind::Sentinel(SentinelFault::NotMaster);
                Err(HandshakeStep::Role.failed(Error::new(kind, Outcome::NotSent, message)))
            }
            _ => {
                self.verified = true;
                Ok(())
            }
        }
    }
}

/// Whether a refusal is about who we are, or about serving any client now, and not about the command: another
/// would be refused as well. Some front ends want a password before they look for one in the command; where
/// there is a `password` in it, that says nothing.
fn is_about_us(error: &Error, password: bool) -> bool {
    match error.kind() {
        ErrorKind::Authentication(AuthenticationFault::WrongPassword) | ErrorKind::Busy => true,
        _ => turns_away(error) || (wants_password(error) && !password),
    }
}

/// Whether the server has too many clients, or lets in none from elsewhere (protected mode): it says so to
/// whatever comes first, and closes.
fn turns_away(error: &Error) -> bool {
    error.kind() == ErrorKind::MaxClients || error.code() == Some("DENIED")
}

fn wants_password(error: &Error) -> bool {
    error.kind() == ErrorKind::Authentication(AuthenticationFault::PasswordRequired)
}

fn is_lost(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Connection(ConnectionFault::Closed | ConnectionFault::Reset))
}

/// What `INFO replication` says that the server is.
fn info_word(answer: &Value) -> Option<&str> {
    answer.as_str()?.lines().find_map(|line| line.strip_prefix("role:"))
}

/// The first word of an answer to `ROLE`.
fn role_word(answer: &Value) -> Option<&str> {
    match answer {
        Value::Array(items) => items.first().and_then(Value::as_str),
        _ => None,
    }
}

/// What the server must be, where `config` leaves it to sentinels to say where it is.
fn role(config: &Config) -> Option<HandshakeRole> {
    match (config.deployment(), config.sentinel_options().read_from) {
        (Deployment::Sentinel { .. }, ReadFrom::Master) => Some(HandshakeRole::Master),
        (Deployment::Sentinel { .. }, ReadFrom::Replica) => Some(HandshakeRole::Replica),
        _ => None,
    }
}

impl HandshakeStep {
    fn name(self) -> &'static str {
        match self {
            Self::Reset => RESET,
            Self::Hello => "HELLO",
            Self::Auth => "AUTH",
            Self::SetName => "CLIENT SETNAME",
            Self::SetInfo => "CLIENT SETINFO",
            Self::Select => "SELECT",
            Self::ReadOnly => "READONLY",
            Self::Role => "ROLE",
            Self::Info => "INFO replication",
        }
    }

    fn unexpected(self, got: &impl fmt::Debug) -> Error {
        let expected = if self == Self::Reset { RESET } else { "OK" };
        let message = format!("expected the status {expected}, got {got:?}");
        self.failed(Error::new(ErrorKind::Protocol, Outcome::NotSent, message))
    }

    fn failed(self, error: Error) -> Error {
        error.with_context(&format!("connecting failed at {}", self.name()))
    }
}

fn hello(config: &Config, credentials: Option<&Credentials>) -> Cmd<Value> {
    let mut cmd = Cmd::new("HELLO").arg(3);
    if let Some(credentials) = credentials {
        let username = credentials.username().unwrap_or("default");
        cmd = cmd.arg("AUTH").arg(username).arg(credentials.password().reveal());
    }
    if let Some(name) = config.client_name() {
        cmd = cmd.arg("SETNAME").arg(name);
    }
    cmd
}

/// What `HELLO` says in one, in the words of RESP2.
fn introduction(config: &Config, credentials: Option<&Credentials>) -> Vec<(HandshakeStep, Cmd<Value>)> {
    let mut steps = Vec::with_capacity(MOST_STEPS);
    if let Some(credentials) = credentials {
        steps.push((HandshakeStep::Auth, credentials.auth()));
    }
    if let Some(name) = config.client_name() {
        steps.push((HandshakeStep::SetName, Cmd::new("CLIENT SETNAME").arg(name)));
    }
    steps
}

fn add_settings(steps: &mut Vec<(HandshakeStep, Cmd<Value>)>, config: &Config) {
    for (attribute, value) in [("LIB-NAME", config.lib_name()), ("LIB-VER", config.lib_version())] {
        if let Some(value) = value {
            steps.push((HandshakeStep::SetInfo, Cmd::new("CLIENT SETINFO").arg(attribute).arg(value)));
        }
    }
    if config.db() != 0 {
        steps.push((HandshakeStep::Select, Cmd::new("SELECT").arg(config.db())));
    }
    if config.read_only() {
        steps.push((HandshakeStep::ReadOnly, Cmd::new("READONLY")));
    }
    if role(config).is_some() {
        steps.push((HandshakeStep::Role, Cmd::new("ROLE")));
    }
}

/// As many steps as there can be in one write.
const MOST_STEPS: usize = 8;

/// Room for what nearly all say in it.
const FIRST_BYTES: usize = 256;

/// The command and its answer.
const RESET: &str = "RESET";

/// Where a server is gone as soon as it is greeted.
const CLOSED: &str = "it closed before it answered HELLO, as servers and proxies do that know RESP2 only \
                      (`protocol=2` if it is one)";

const FEW_DATABASES: &str =
    "a cluster has the database 0 only, or from Valkey 9 on as many as its `cluster-databases` says";

#[cfg(test)]
mod tests;
