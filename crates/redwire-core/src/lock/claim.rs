//! What is said to the server about a lock: its keys, and scripts that look and act in one step.
//!
//! Every script does no harm when it is run again: a caller whose reply was lost may ask once more, and gets
//! the same. This file must not know when it asks.

use std::sync::LazyLock;
use std::time::Duration;

use super::milliseconds;
use crate::cmd::Cmd;
use crate::facts;
use crate::reply::Value;
use crate::script::Script;

/// Takes the lock, if it is free or ours already: `{1, fence}`. Otherwise `{0, how long it will last}`.
///
/// Keys: the lock, the fencing number, the wake-up, the note that this token's lock was released, the attempt
/// that took the lock. Arguments: token, ttl, attempt. An element that was to wake a waiter is taken away,
/// since there is no lock to wait for any more, and so is the note.
///
/// An attempt begins with the 16 characters of the process that counts them; an earlier one of the same
/// process is late, and changes nothing about a lock that is held.
///
/// The fencing number is the server's clock in microseconds, or one more than the last where that is higher:
/// so it grows even where the counter was lost. It stays the same for an attempt that asks again. Lua's
/// numbers hold it exactly until the year 2255. Redis before 7.0 can be set to send scripts to its replicas
/// whole; one that reads the clock must ask for its effects to be sent instead (`replicate_commands`).
static ACQUIRE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("acquire.lua")));

/// Makes the lock last from now on for the ttl at least, if it is ours. It never shortens, so that one which
/// is late undoes nothing.
///
/// Keys: the lock, the attempt that took it. Arguments: token, ttl.
static EXTEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("extend.lua")));

/// Frees the lock, if it is ours, and wakes one waiter, if it is free. Says whether it was ours.
///
/// Keys: the lock, the wake-up, the note that this token's lock was released, the attempt that took the lock.
/// Arguments: token, how long the note is kept, attempt. The wake-up list has one element at most, for a
/// second. A lock that the same token has acquired again since is not freed: a release may arrive late, of a
/// guard that was dropped or over a slow connection.
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("release.lua")));

/// The fencing number and how long the lock will last (-1: for ever), if it is ours.
///
/// Keys: the lock, the fencing number. Argument: token.
static FIND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("find.lua")));

/// As [`FIND`], and from now on the lock is this attempt's to release.
///
/// Keys: the lock, the fencing number, the attempt that took the lock. Arguments: token, attempt.
static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));

/// The least time for which is noted that a token's lock was released, in case it is asked again.
const NOTE: Duration = Duration::from_secs(10);

/// What one would-be holder has to do with a lock.
#[derive(Clone, Debug)]
pub struct Claim {
    name: Vec<u8>,
    token: String,
    attempt: String,
}

/// What [`Claim::find`] and [`Claim::take`] find: the fencing number, and for how many milliseconds the lock
/// will last, below zero for ever.
pub type FoundLock = Option<(u64, i64)>;

impl Claim {
    /// The claim of `token` to the lock `name`. `attempt` is like no other: 16 characters that are the same
    /// for all attempts of one process, then a number of fixed width that grows with each of them.
    #[must_use]
    pub fn new(name: &[u8], token: String, attempt: String) -> Self {
        Self { name: name.to_vec(), token, attempt }
    }

    /// The lock's key.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The token of the holder.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Asks for the lock: `(true, fencing number)`, or `(false, how long it will last)`.
    pub(super) fn acquire(&self, ttl: Duration) -> Cmd<(bool, i64)> {
        let call = ACQUIRE.key(&self.name).key(self.key("fence")).key(self.key("wake")).key(self.released());
        let call = call.key(self.key("attempt")).arg(&self.token).arg(milliseconds(ttl));
        call.arg(&self.attempt).cmd().idempotent()
    }

    /// Waits for a wake-up.
    pub(super) fn listen(&self, limit: Duration) -> Cmd<Value> {
        Cmd::of(&facts::BLPOP).arg(self.key("wake")).arg(milliseconds(limit) as f64 / 1000.0)
    }

    /// Extends it; says whether it was ours.
    pub(super) fn extend(&self, ttl: Duration) -> Cmd<bool> {
        let call = EXTEND.key(&self.name).key(self.key("attempt"));
        call.arg(&self.token).arg(milliseconds(ttl)).cmd().idempotent()
    }

    /// Frees it; says whether it was ours. `timeout` is the longest that a call may take.
    pub fn release(&self, timeout: Option<Duration>) -> Cmd<bool> {
        let note = timeout.unwrap_or(NOTE).max(NOTE);
        let call = RELEASE.key(&self.name).key(self.key("wake")).key(self.released());
        let call = call.key(self.key("attempt")).arg(&self.token).arg(milliseconds(note));
        call.arg(&self.attempt).cmd().idempotent()
    }

    /// Frees it on behalf of a caller that is not to be told, and does not wait longer than `limit`.
    pub fn abandon(&self, limit: Duration) -> Cmd<bool> {
        self.release(Some(limit)).timeout(limit.max(Duration::from_millis(1)))
    }

    /// Looks whether it is ours.
    pub fn find(&self) -> Cmd<FoundLock> {
        FIND.key(&self.name).key(self.key("fence")).arg(&self.token).cmd().idempotent()
    }

    /// Takes charge of it, if its token has it: then it is this attempt's to release.
    pub fn take(&self) -> Cmd<FoundLock> {
        let call = TAKE.key(&self.name).key(self.key("fence")).key(self.key("attempt"));
        call.arg(&self.token).arg(&self.attempt).cmd().idempotent()
    }

    fn released(&self) -> Vec<u8> {
        self.key(&format!("released:{}", self.token))
    }

    /// A key beside the lock's, in the same slot of a cluster.
    ///
    /// The name is the hash tag, or has one. Where it can be neither, since it is empty or has a `}` too
    /// many, the key lies in another slot, and a cluster refuses the scripts.
    fn key(&self, what: &str) -> Vec<u8> {
        let braces = self.name.is_empty() || self.name.contains(&b'}');
        let (open, close): (&[u8], &[u8]) = if braces { (b"", b":") } else { (b"{", b"}:") };
        [open, &self.name, close, what.as_bytes()].concat()
    }
}
