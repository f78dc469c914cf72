//! What a connection says first: `HELLO` with `AUTH` and the client's name, the library's name, the database.
//!
//! All of it goes out in one write. A server that has no `HELLO` (or a user who may not run it) gets a second
//! round in the words of RESP2, and the answer to the first is forgotten. Every step and every error that may
//! be passed over is decided here. This file must not know how bytes travel.
//!
//! ```text
//! start ── HELLO 3 AUTH … SETNAME …, CLIENT SETINFO, SELECT, READONLY, ROLE ──> done
//!   └───── AUTH, CLIENT SETNAME, CLIENT SETINFO, SELECT, READONLY, ROLE ──────> done   (RESP2, or no HELLO here)
//! ```
//! `ROLE` is asked where sentinels have told which server it is.
//! A connection that was used is made as new by a `RESET` ahead of the same words.

use std::collections::VecDeque;
use std::fmt;

use crate::cmd::Cmd;
use crate::config::{Config, Protocol, ReadFrom, Topology};
use crate::credentials::Credentials;
use crate::error::{AuthenticationFault, Error, ErrorKind, Outcome, Result, SentinelFault};
use crate::outbox::Outbox;
use crate::reply::{Reader, Value};

/// The first exchange of a connection. Send what [`poll_transmit`](Self::poll_transmit) gives, hand every
/// reply to [`handle_reply`](Self::handle_reply), until [`poll_done`](Self::poll_done) gives the session.
#[derive(Debug)]
pub struct Handshake {
    outgoing: Outbox,
    steps: VecDeque<Step>,
    /// The words of RESP2, should there be no `HELLO`.
    fallback: Option<Vec<(Step, Cmd<Value>)>>,
    /// Replies to come that no longer matter.
    ignored: usize,
    session: Session,
    /// What the server must be, where sentinels have told of it.
    role: Option<Role>,
    /// Whether the server is a node of a cluster.
    in_cluster: bool,
}

/// What a server is to the others of its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Master,
    Replica,
}

/// What the handshake found out about the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
enum Step {
    Reset,
    Hello,
    Auth,
    SetName,
    SetInfo,
    Select,
    ReadOnly,
    Role,
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
        handshake.queue(vec![(Step::Reset, Cmd::new("RESET"))]);
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
            in_cluster: false,
        }
    }

    fn introduce(&mut self, config: &Config, credentials: Option<&Credentials>, protocol: Protocol) {
        self.role = role(config);
        self.in_cluster = config.has_alternatives();
        let mut plain = introduction(config, credentials);
        plain.extend(settings(config));
        if protocol == Protocol::Resp2 {
            self.queue(plain);
        } else {
            let mut first = vec![(Step::Hello, hello(config, credentials))];
            first.extend(settings(config));
            self.queue(first);
            self.fallback = Some(plain);
        }
    }

    fn queue(&mut self, steps: Vec<(Step, Cmd<Value>)>) {
        for (step, cmd) in steps {
            self.outgoing.command(cmd.args());
            self.steps.push_back(step);
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
        if self.ignored > 0 {
            self.ignored -= 1;
            return Ok(());
        }
        let Some(step) = self.steps.pop_front() else {
            return Err(Error::new(
                ErrorKind::Protocol,
                Outcome::NotSent,
                "the server answered what nobody asked",
            ));
        };
        match (step, Reader::read::<Value>(frame)) {
            (Step::Hello, Ok(answer)) => self.greet(&answer),
            (Step::Role, Ok(answer)) => self.verify(role_word(&answer)),
            // Any other status is the late answer to something that was asked before.
            (Step::Reset, Ok(Value::Status(word))) if word != RESET => Err(step.unexpected(&word)),
            (_, Ok(Value::Status(_))) => Ok(()),
            (_, Ok(other)) => Err(step.unexpected(&other)),
            (Step::Hello, Err(error)) if self.falls_back(&error) => Ok(()),
            (_, Err(error)) if step.may_fail(&error) => Ok(()),
            (Step::Select, Err(error)) if self.in_cluster => {
                Err(step.failed(error.with_context(FEW_DATABASES)))
            }
            (_, Err(error)) => Err(step.failed(error)),
        }
    }

    /// Turns to RESP2 where the server's answer to `HELLO` means that it has no such command for us.
    fn falls_back(&mut self, error: &Error) -> bool {
        let has_no_hello = match error.code() {
            Some("NOPROTO" | "NOPERM") => true,
            Some("ERR") => error.message().to_ascii_lowercase().contains("unknown command"),
            _ => false,
        };
        if !has_no_hello {
            return false;
        }
        let Some(plain) = self.fallback.take() else { return false };
        // What was sent along with HELLO may have failed for want of AUTH: it is all said again.
        self.ignored = self.steps.len();
        self.steps.clear();
        self.queue(plain);
        true
    }

    /// Reads what `HELLO` tells. A proxy may tell less than a server, and still speak RESP3.
    fn greet(&mut self, answer: &Value) -> Result<()> {
        let Value::Map(fields) = answer else {
            let message = format!("expected a map in answer to HELLO, got {answer:?}");
            return Err(Step::Hello.failed(Error::new(ErrorKind::Protocol, Outcome::NotSent, message)));
        };
        self.session.protocol = Protocol::Resp3;
        for (name, value) in fields {
            match name.as_str() {
                Some("version") => self.session.version = value.as_str().map(str::to_owned),
                Some("id") => self.session.id = value.as_i64(),
                Some("role") => self.verify(value.as_str())?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the server is what it was said to be: who told may have been behind, or the server is just being demoted.
    fn verify(&self, word: Option<&str>) -> Result<()> {
        let is = match word {
            Some("master") => Role::Master,
            _ => Role::Replica,
        };
        match self.role {
            Some(role) if role != is => {
                let message = format!("expected {role:?}, got {:?}", word.unwrap_or_default());
                let kind = ErrorKind::Sentinel(SentinelFault::NotMaster);
                Err(Step::Role.failed(Error::new(kind, Outcome::NotSent, message)))
            }
            _ => Ok(()),
        }
    }
}

/// The first word of an answer to `ROLE`.
fn role_word(answer: &Value) -> Option<&str> {
    match answer {
        Value::Array(items) => items.first().and_then(Value::as_str),
        _ => None,
    }
}

/// What the server must be, where `config` leaves it to sentinels to say where it is.
fn role(config: &Config) -> Option<Role> {
    match (config.topology(), config.sentinel_options().read_from) {
        (Topology::Sentinel { .. }, ReadFrom::Master) => Some(Role::Master),
        (Topology::Sentinel { .. }, ReadFrom::Replica) => Some(Role::Replica),
        _ => None,
    }
}

impl Step {
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
        }
    }

    /// Names are for the operator's eyes: a server too old for them, or a user without rights to them, is no
    /// reason not to connect. One that has too many clients, or lets in none from elsewhere (protected mode), says so to
    /// whatever comes first, and closes.
    fn may_fail(self, error: &Error) -> bool {
        match self {
            Self::SetInfo => error.kind() != ErrorKind::MaxClients && error.code() != Some("DENIED"),
            // A user who may not ask: writing to a replica will tell.
            Self::SetName | Self::Role => {
                error.kind() == ErrorKind::Authentication(AuthenticationFault::NoPermission)
            }
            Self::Reset | Self::Hello | Self::Auth | Self::Select | Self::ReadOnly => false,
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
fn introduction(config: &Config, credentials: Option<&Credentials>) -> Vec<(Step, Cmd<Value>)> {
    let mut steps = Vec::new();
    if let Some(credentials) = credentials {
        steps.push((Step::Auth, credentials.auth()));
    }
    if let Some(name) = config.client_name() {
        steps.push((Step::SetName, Cmd::new("CLIENT SETNAME").arg(name)));
    }
    steps
}

fn settings(config: &Config) -> Vec<(Step, Cmd<Value>)> {
    let mut steps = Vec::new();
    for (attribute, value) in [("LIB-NAME", config.lib_name()), ("LIB-VER", config.lib_version())] {
        if let Some(value) = value {
            steps.push((Step::SetInfo, Cmd::new("CLIENT SETINFO").arg(attribute).arg(value)));
        }
    }
    if config.db() != 0 {
        steps.push((Step::Select, Cmd::new("SELECT").arg(config.db())));
    }
    if config.read_only() {
        steps.push((Step::ReadOnly, Cmd::new("READONLY")));
    }
    if role(config).is_some() {
        steps.push((Step::Role, Cmd::new("ROLE")));
    }
    steps
}

/// The command and its answer.
const RESET: &str = "RESET";

const FEW_DATABASES: &str =
    "a cluster has the database 0 only, or from Valkey 9 on as many as its `cluster-databases` says";

#[cfg(test)]
mod tests;
