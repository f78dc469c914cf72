//! What happened in one run, for the judge and for people.
//!
//! This file must not know what is right.

use std::time::Duration;

use redwire::{Error, Value};
use redwire_model::Executed;

use crate::scenario::{Scenario, Topology};
use crate::switches::Switch;

/// One operation of a call. The number is its tag: no other operation of the run has the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// `SET key key:tag`
    Set(String, u64),
    /// `GET key`
    Get(String),
    /// `INCRBY key tag`
    Add(String, u64),
    /// The same by a script.
    Script(String, u64),
    /// `RPUSH key tag`
    Push(String, u64),
    /// `LPOP key`
    Pop(String),
    /// `BLPOP key seconds`
    Wait(String, u64),
    /// `ECHO tag`
    Echo(u64),
    /// `PUBLISH channel tag`
    Publish(String, u64),
    /// `MSET`, of several keys
    SetMany(Vec<(String, u64)>),
    /// `MGET`, of several keys
    GetMany(Vec<String>),
    /// `DEL`, of several keys
    Delete(Vec<String>),
}

impl Op {
    /// What of it can be found in the servers' logs, where each may stand once.
    pub(crate) fn tags(&self) -> Vec<u64> {
        match self {
            Self::Set(_, tag)
            | Self::Add(_, tag)
            | Self::Script(_, tag)
            | Self::Push(_, tag)
            | Self::Echo(tag)
            | Self::Publish(_, tag) => vec![*tag],
            Self::SetMany(pairs) => pairs.iter().map(|(_, tag)| *tag).collect(),
            Self::Get(_) | Self::Pop(_) | Self::Wait(..) | Self::GetMany(_) | Self::Delete(_) => Vec::new(),
        }
    }
}

/// In what form operations are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One command, on its own.
    Single,
    Pipeline,
    /// `MULTI` … `EXEC`.
    Atomic,
    /// A change of a watched key: one operation for each try.
    Watched,
    /// As `Single`, by a client that is closed meanwhile.
    Closing,
    /// No operation: a connection is lent.
    Lease,
}

/// A reply, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Null,
    Int(i64),
    Text(String),
    Many(Vec<Self>),
    Other(String),
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(number) => Self::Int(number),
            Value::Status(text) => Self::Text(text),
            Value::Bytes(bytes) => Self::Text(String::from_utf8_lossy(&bytes).into_owned()),
            Value::Array(values) => Self::Many(values.into_iter().map(Self::from).collect()),
            other => Self::Other(format!("{other:?}")),
        }
    }
}

/// What became of a call.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// Not known: the run ended before.
    Open,
    /// Its future was dropped.
    Dropped,
    /// The replies, one for each operation.
    Answered(Vec<Answer>),
    Failed(Error),
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) task: usize,
    pub(crate) form: Form,
    pub(crate) ops: Vec<Op>,
    /// Whether its caller allowed that it is executed more than once.
    pub(crate) may_repeat: bool,
    pub(crate) begun: Duration,
    /// By when it has to end.
    pub(crate) deadline: Duration,
    /// Whether it must be answered, if all is well.
    pub(crate) is_fair: bool,
    pub(crate) ended_at: Duration,
    pub(crate) ended: Ended,
}

/// What a subscriber heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Message(u64),
    Lagged(u64),
    Gap(Duration, Duration),
    Other,
}

/// One subscription.
#[derive(Clone, Debug)]
pub(crate) struct Subscribed {
    pub(crate) task: usize,
    pub(crate) channel: String,
    /// When `subscribe` had returned.
    pub(crate) since: Duration,
    pub(crate) heard: Vec<(Duration, Heard)>,
    /// Whether it may hold up the others, when it is slow.
    pub(crate) holds_up: bool,
    /// When there was nothing more to be heard for the last time.
    pub(crate) until: Duration,
}

/// One time at which a lock was held, as its holder believes.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) task: usize,
    pub(crate) name: String,
    pub(crate) fence: u64,
    pub(crate) from: Duration,
    /// When it was released, given up or known to be lost.
    pub(crate) until: Duration,
}

/// What a task read of a watched key before it tried to write under this tag.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) tag: u64,
    pub(crate) value: Option<String>,
}

/// A scan of the hash.
#[derive(Clone, Debug)]
pub(crate) struct Scanned {
    pub(crate) task: usize,
    pub(crate) begun: Duration,
    pub(crate) ended_at: Duration,
    pub(crate) failures: usize,
    pub(crate) fields: Vec<String>,
}

/// A read through a cache.
#[derive(Clone, Debug)]
pub(crate) struct Cached {
    pub(crate) task: usize,
    pub(crate) key: String,
    pub(crate) begun: Duration,
    /// When a `sync` before it had begun.
    pub(crate) synced: Option<Duration>,
    pub(crate) ended_at: Duration,
    pub(crate) value: Option<String>,
}

/// What is left when all has been let go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) in_use: usize,
    pub(crate) connecting: usize,
    pub(crate) waiting: usize,
    /// Connections that the server still has.
    pub(crate) connections: usize,
    /// Tasks that still live.
    pub(crate) tasks: usize,
}

/// A server has lost its data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// How much was executed before.
    pub(crate) place: usize,
    pub(crate) server: usize,
    pub(crate) at: Duration,
}

/// All that happened.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) calls: Vec<Call>,
    pub(crate) subscriptions: Vec<Subscribed>,
    pub(crate) locks: Vec<Held>,
    pub(crate) cached: Vec<Cached>,
    pub(crate) watched: Vec<Read>,
    pub(crate) scans: Vec<Scanned>,
    /// What each server executed, in the order in which it happened.
    pub(crate) executed: Vec<(usize, Executed)>,
    pub(crate) losses: Vec<Loss>,
    /// When another server took the place of one, whose last writes may be lost by that.
    pub(crate) replaced: Vec<Duration>,
    pub(crate) switches: Vec<Switch>,
    /// When connections were asked for, and to which server.
    pub(crate) connects: Vec<(Duration, usize)>,
    /// When a node of a cluster told a client that it is not the one.
    pub(crate) redirections: Vec<Duration>,
    /// From when on several servers agreed about their parts, after the last fault.
    pub(crate) settled: Option<Duration>,
    /// Why they did not when they were last looked at.
    pub(crate) discord: Option<String>,
    pub(crate) left: Left,
    /// Other things that must not be, as they were seen: the promise, and how it was broken.
    pub(crate) wrongs: Vec<(&'static str, String)>,
    /// What happened, in words; `None`: no one wants to read it.
    pub(crate) trace: Option<Vec<(Duration, String)>>,
}

impl History {
    /// When everything must be well again.
    pub(crate) fn well(&self, scenario: &Scenario) -> Duration {
        let calm = if scenario.topology == Topology::Single {
            scenario.calm()
        } else {
            self.settled.unwrap_or(Duration::MAX)
        };
        if calm == Duration::ZERO { calm } else { calm.saturating_add(scenario.recovery()) }
    }

    pub(crate) fn note(&mut self, at: Duration, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push((at, what()));
        }
    }
}
