//! What happened in one run, for the judge and for people.
//!
//! This file must not know what is right.

use std::time::Duration;

use redwire::{Error, Value};
use redwire_model::Executed;

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
}

impl Op {
    /// What of it can be found in the server's log, where it may stand once.
    pub(crate) fn tag(&self) -> Option<u64> {
        match self {
            Self::Set(_, tag)
            | Self::Add(_, tag)
            | Self::Script(_, tag)
            | Self::Push(_, tag)
            | Self::Echo(tag)
            | Self::Publish(_, tag) => Some(*tag),
            Self::Get(_) | Self::Pop(_) | Self::Wait(..) => None,
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

/// All that happened.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) calls: Vec<Call>,
    pub(crate) subscriptions: Vec<Subscribed>,
    pub(crate) locks: Vec<Held>,
    pub(crate) cached: Vec<Cached>,
    pub(crate) watched: Vec<Read>,
    pub(crate) scans: Vec<Scanned>,
    pub(crate) executed: Vec<Executed>,
    /// How much was executed when the server lost its data, and when that was.
    pub(crate) losses: Vec<(usize, Duration)>,
    /// When connections were asked for.
    pub(crate) connects: Vec<Duration>,
    pub(crate) left: Left,
    /// Other things that must not be, as they were seen: the promise, and how it was broken.
    pub(crate) wrongs: Vec<(&'static str, String)>,
    /// What happened, in words; `None`: no one wants to read it.
    pub(crate) trace: Option<Vec<(Duration, String)>>,
}

impl History {
    pub(crate) fn note(&mut self, at: Duration, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push((at, what()));
        }
    }
}
