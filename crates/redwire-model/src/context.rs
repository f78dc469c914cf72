//! What a command sees of the server while it is carried out, and whose command it is.
//!
//! This file must not know any command.

use std::time::Duration;

use crate::client::{Blocked, Client};
use crate::commands::Args;
use crate::database::Database;
use crate::model::Model;
use crate::number::{parse_float, parse_int};
use crate::reply::{NOT_FLOAT, NOT_INTEGER, Outcome, Refusal, Reply, SYNTAX, WRONGTYPE, refusal};
use crate::value::{Entry, Stored, Value};

/// See the file's own words.
#[derive(Debug)]
pub(crate) struct Context<'m> {
    pub(crate) model: &'m mut Model,
    pub(crate) id: u64,
    /// Whether it may wait: not in a transaction or a script.
    pub(crate) may_wait: bool,
    /// Whether it has waited, and is tried again.
    pub(crate) again: bool,
}

impl Context<'_> {
    pub(crate) fn client(&mut self) -> &mut Client {
        self.model.clients.get_mut(&self.id).expect("a client is not forgotten while its command runs")
    }

    /// The number of the client's database.
    pub(crate) fn database(&self) -> usize {
        self.model.clients.get(&self.id).map_or(0, |client| client.database)
    }

    pub(crate) fn db(&self) -> &Database {
        &self.model.databases[self.database()]
    }

    pub(crate) fn db_mut(&mut self) -> &mut Database {
        let database = self.database();
        &mut self.model.databases[database]
    }

    /// The value of a key, if it is of the type that is asked for; else it is refused.
    pub(crate) fn get<S: Stored>(&self, key: &[u8]) -> Result<Option<&S>, Refusal> {
        match self.db().get(key) {
            None => Ok(None),
            Some(value) => S::of(value).map(Some).ok_or(WRONGTYPE),
        }
    }

    pub(crate) fn get_mut<S: Stored>(&mut self, key: &[u8]) -> Result<Option<&mut S>, Refusal> {
        match self.db_mut().get_mut(key) {
            None => Ok(None),
            Some(value) => S::of_mut(value).map(Some).ok_or(WRONGTYPE),
        }
    }

    /// As [`get_mut`](Self::get_mut); where there is no value, an empty one is put.
    pub(crate) fn get_or_new<S: Stored>(&mut self, key: &[u8]) -> Result<&mut S, Refusal> {
        if !self.db().contains(key) {
            self.db_mut().insert(key, Entry { value: S::default().wrap(), expires: None });
        }
        self.get_mut(key)?.ok_or(WRONGTYPE)
    }

    /// Puts a value in place of any other, with another end or none, and says so.
    pub(crate) fn put(&mut self, key: &[u8], value: impl Stored, expires: Option<u64>) {
        let is_new = !self.db().contains(key);
        self.db_mut().insert(key, Entry { value: value.wrap(), expires });
        self.modified(key);
        if !is_new {
            // Servers do not look for clients that wait when a value is replaced.
            let place = (self.database(), key.to_vec());
            self.model.ready_keys.retain(|ready| *ready != place);
        }
    }

    /// Takes a key away, and says so. Whether it was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let was_there = self.db_mut().remove(key).is_some();
        if was_there {
            self.modified(key);
        }
        was_there
    }

    /// The value of a key was changed. A value without elements goes.
    pub(crate) fn modified(&mut self, key: &[u8]) {
        if self.db().get(key).is_some_and(Value::is_spent) {
            self.db_mut().remove(key);
        }
        let (database, id) = (self.database(), self.id);
        self.model.signal(database, key, Some(id));
    }

    /// The groups of a stream were changed, of which neither caches nor watchers are told.
    pub(crate) fn noted(&mut self, key: &[u8]) {
        let place = (self.database(), key.to_vec());
        self.model.dirty += 1;
        self.model.changes.push(place);
    }

    /// Lets the client wait until one of the keys may have what it wants, or until the timeout.
    ///
    /// Where it may not wait, it gets at once what it would get then.
    pub(crate) fn wait(
        &mut self,
        keys: Args<'_>,
        limit: Option<Duration>,
        args: Args<'_>,
        then: Reply,
    ) -> Reply {
        if self.again {
            return Reply::Nothing;
        }
        if !self.may_wait {
            return then;
        }
        let database = self.database();
        for key in keys {
            let waiting = self.model.waiting.entry((database, key.clone())).or_default();
            if !waiting.contains(&self.id) {
                waiting.push(self.id);
            }
        }
        let until = limit.map(|limit| self.model.now + limit);
        let then = if matches!(then, Reply::Int(_)) { then } else { Reply::NullArray };
        let blocked = Blocked { keys: keys.to_vec(), database, until, args: args.to_vec(), on_timeout: then };
        self.client().blocked = Some(blocked);
        Reply::Nothing
    }
}

/// The integer that a word says.
pub(crate) fn int(word: &[u8]) -> Result<i64, Refusal> {
    parse_int(word).ok_or(NOT_INTEGER)
}

/// The number that a word says.
pub(crate) fn float(word: &[u8]) -> Result<f64, Refusal> {
    parse_float(word).ok_or(NOT_FLOAT)
}

/// Whether a word is this one, in capitals or not.
pub(crate) fn is(word: &[u8], expected: &str) -> bool {
    word.eq_ignore_ascii_case(expected.as_bytes())
}

pub(crate) const NO_KEYS: Refusal = refusal("ERR numkeys should be greater than 0");

/// How many keys a word announces, and these keys, behind it.
pub(crate) fn counted_keys<'a>(args: Args<'a>, at: usize, zero: Refusal) -> Result<Args<'a>, Refusal> {
    let count = parse_int(&args[at]).filter(|count| *count > 0).ok_or(zero)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    args.get(at + 1..).and_then(|rest| rest.get(..count)).ok_or(SYNTAX)
}

/// The timeout of a command that waits, in seconds: `None` is for ever.
pub(crate) fn seconds(word: &[u8]) -> Result<Option<Duration>, Refusal> {
    let Some(seconds) = parse_float(word) else {
        return Err(refusal("ERR timeout is not a float or out of range"));
    };
    if seconds < 0.0 {
        return Err(refusal("ERR timeout is negative"));
    }
    let millis = (seconds * 1000.0).ceil();
    if millis > 9.2e18 {
        return Err(refusal("ERR timeout is out of range"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was checked")]
    let millis = millis as u64;
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}

/// As [`seconds`], in milliseconds.
pub(crate) fn milliseconds(word: &[u8]) -> Result<Option<Duration>, Refusal> {
    let Some(millis) = parse_int(word) else {
        return Err(refusal("ERR timeout is not an integer or out of range"));
    };
    let Ok(millis) = u64::try_from(millis) else { return Err(refusal("ERR timeout is negative")) };
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}

/// From where to where a range goes in `len` elements, both included, where places below zero count from the
/// end. `None` if it is empty.
pub(crate) fn range(start: i64, end: i64, len: usize) -> Option<(usize, usize)> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let place = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    let (start, end) = (place(start).max(0), place(end).min(len - 1));
    (start <= end && start < len)
        .then(|| (usize::try_from(start).unwrap_or(0), usize::try_from(end).unwrap_or(0)))
}

/// As [`range`]; but an end in front of the first element counts as the first.
pub(crate) fn clamped_range(start: i64, end: i64, len: usize) -> Option<(usize, usize)> {
    let total = i64::try_from(len).unwrap_or(i64::MAX);
    range(start, if end < 0 { end.max(-total) } else { end }, len)
}

/// `+OK`, as the end of a command that says nothing else.
pub(crate) fn done() -> Outcome {
    Ok(crate::reply::OK)
}
