//! What a client-side cache may do, what it can tell of itself, and what its connections say first. It must
//! not know what is kept.

use std::time::Duration;

use super::announcement::CHANNEL;
use crate::cmd::Cmd;

/// How a client-side cache works. Every field has a default.
///
/// ```
/// # use redwire_core as redwire;
/// use std::time::Duration;
///
/// use redwire::cache::{CacheMode, CacheOptions};
///
/// let options = CacheOptions::default();
/// assert_eq!((options.max_bytes, options.ttl), (64 << 20, Some(Duration::from_secs(300))));
///
/// let options = CacheOptions::default().max_bytes(1 << 30).broadcast(["user:", "team:"]);
/// assert_eq!(options.mode, CacheMode::Broadcast(vec![b"user:".to_vec(), b"team:".to_vec()]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheOptions {
    /// How the server knows what to announce; default: [`CacheMode::Default`].
    pub mode: CacheMode,
    /// How much memory the cache may take, in bytes, with words, replies, keys and the tables they stand in;
    /// default: 64 MiB. What served least lately goes first. Too little, and nearly every read goes to the
    /// server and costs more than without a cache; too much, and it is the program's memory that runs out. A
    /// reply that alone is larger is not kept.
    pub max_bytes: usize,
    /// The longest time that a reply serves, counted from when it was asked for; default: 5 minutes. It
    /// bounds how old an answer can be if all else fails, such as a server that forgets to announce. `None`:
    /// no bound but the announcements. Too short, and the cache seldom serves.
    pub ttl: Option<Duration>,
}

/// How the server knows which changes to announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheMode {
    /// The server remembers each key that was read through the cache. It costs the server memory for each, up
    /// to its `tracking-table-max-keys`.
    #[default]
    Default,
    /// As `Default`, but only for reads of a handle that [opted
    /// in](https://redis.io/docs/latest/commands/client-caching/); all others go to the server as if there
    /// were no cache.
    OptIn,
    /// The server remembers nothing, and announces each change of a key with one of these prefixes, whether
    /// it was read or not. Only such keys are cached. No prefix: all keys.
    Broadcast(Vec<Vec<u8>>),
}

/// What a client-side cache did since it was made, and holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Reads that were served from memory.
    pub hits: u64,
    /// Reads that were sent to the server to be kept.
    pub misses: u64,
    /// Reads that waited for another's, and got the same reply.
    pub joined: u64,
    /// Reads that went to the server as if there were no cache: while the server announced no
    /// changes, or for keys whose changes it does not announce.
    pub passed: u64,
    /// Keys that the server said had changed.
    pub invalidations: u64,
    /// Replies that had to go to make room.
    pub evictions: u64,
    /// How often everything was forgotten: the server said so (`FLUSHALL`), or the connection
    /// that announces changes was lost.
    pub flushes: u64,
    /// Replies in memory now.
    pub entries: usize,
    /// How much memory they take now, in bytes, as far as can be told.
    pub bytes: usize,
}

impl CacheStats {
    /// Of two caches together.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            joined: self.joined + other.joined,
            passed: self.passed + other.passed,
            invalidations: self.invalidations + other.invalidations,
            evictions: self.evictions + other.evictions,
            flushes: self.flushes + other.flushes,
            entries: self.entries + other.entries,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { mode: CacheMode::Default, max_bytes: 64 << 20, ttl: Some(Duration::from_secs(300)) }
    }
}

impl CacheOptions {
    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets [`ttl`](Self::ttl).
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<Option<Duration>>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Caches only what is asked for by a handle that opted in: [`CacheMode::OptIn`].
    #[must_use]
    pub fn opt_in(mut self) -> Self {
        self.mode = CacheMode::OptIn;
        self
    }

    /// Caches only keys with these prefixes: [`CacheMode::Broadcast`].
    #[must_use]
    pub fn broadcast<P: Into<Vec<u8>>>(mut self, prefixes: impl IntoIterator<Item = P>) -> Self {
        self.mode = CacheMode::Broadcast(prefixes.into_iter().map(Into::into).collect());
        self
    }

    /// Whether the server would announce a change of `key`.
    pub(super) fn announces(&self, key: &[u8]) -> bool {
        match &self.mode {
            CacheMode::Broadcast(prefixes) if !prefixes.is_empty() => {
                prefixes.iter().any(|prefix| key.starts_with(prefix))
            }
            _ => true,
        }
    }

    /// Whether the reads of a handle that did or did not opt in are cached.
    #[inline]
    #[must_use]
    pub fn covers(&self, opted_in: bool) -> bool {
        opted_in || self.mode != CacheMode::OptIn
    }
}

/// What a connection says to have changes announced: to itself, or to the connection with the id `redirect`.
///
/// `NOLOOP` would change nothing: it is about the connection's own writes, and a cache only reads over its
/// own.
pub fn tracking(options: &CacheOptions, redirect: Option<i64>) -> Cmd<()> {
    let cmd = Cmd::new("CLIENT TRACKING ON").named("REDIRECT", redirect);
    match &options.mode {
        CacheMode::Default => cmd,
        CacheMode::OptIn => cmd.arg("OPTIN"),
        CacheMode::Broadcast(prefixes) => {
            prefixes.iter().fold(cmd.arg("BCAST"), |cmd, prefix| cmd.arg("PREFIX").arg(prefix))
        }
    }
}

/// What a connection says to be known by its id, and then to hear what is announced: on RESP2, where nothing
/// is pushed.
pub fn connection_id() -> Cmd<i64> {
    Cmd::new("CLIENT ID")
}

/// See [`connection_id`].
pub fn announcements<R>() -> Cmd<R> {
    Cmd::new("SUBSCRIBE").arg(CHANNEL)
}
