//! What both drivers have of a lock that is held, and tokens no other holder has. Must not know how to wait.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use redwire_core::Result;
use redwire_core::lock::{Claim, Hold, LockOptions};

use crate::shared::sync::{Mutex, MutexGuard};

/// 128 bits that no other holder has, in hexadecimal digits.
///
/// The keys of the standard library's hasher come from the operating system's chance. The number of the
/// process is among what is hashed, since a forked child has its parent's keys.
pub(crate) fn new_token() -> String {
    let (keys, process) = (RandomState::new(), std::process::id());
    format!("{:016x}{:016x}", keys.hash_one((process, 0)), keys.hash_one((process, 1)))
}

/// The claim of a new attempt to get a lock, or to take charge of one, with the holder's token or one of its
/// own.
///
/// # Errors
/// No server can keep such a lock.
pub(crate) fn new_claim(options: &LockOptions, token: Option<String>) -> Result<Claim> {
    options.check()?;
    Ok(Claim::new(&options.name, token.unwrap_or_else(new_token), new_attempt()))
}

/// The next attempt of this process: who counts, and its number.
fn new_attempt() -> String {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static ATTEMPTS: AtomicU64 = AtomicU64::new(0);
    // A forked child counts on its own.
    let process = KEYS.hash_one(std::process::id());
    format!("{process:016x}{:016x}", ATTEMPTS.fetch_add(1, Ordering::Relaxed))
}

/// A lock that is held, or was.
pub(crate) struct Held {
    claim: Claim,
    fence: u64,
    hold: Mutex<Hold>,
    /// Whose it is: a forked child inherits the guard, but not the lock.
    process: u32,
}

impl Held {
    pub(crate) fn new(fence: u64, hold: Hold) -> Self {
        let claim = hold.claim().clone();
        Self { claim, fence, hold: Mutex::new(hold), process: std::process::id() }
    }

    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    pub(crate) fn fence(&self) -> u64 {
        self.fence
    }

    pub(crate) fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock()
    }

    /// Whether this process acquired it.
    pub(crate) fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = String::from_utf8_lossy(self.claim.name());
        f.debug_struct("Held").field("name", &name).field("fence", &self.fence).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_in_order() {
        let attempts: Vec<_> = (0..1_000).map(|_| new_attempt()).collect();
        assert!(attempts.is_sorted_by(|one, next| one < next && one[..16] == next[..16]));
    }

    #[test]
    fn tokens_differ() {
        let tokens: std::collections::HashSet<_> = (0..1_000).map(|_| new_token()).collect();
        assert!(tokens.len() == 1_000 && tokens.iter().all(|token| token.len() == 32));
    }
}
