//! What may be tried again, how often and after which pause. Promises plain data with production defaults.
//! Must not know which command is at stake: whether repeating it is *safe* is decided from its outcome and
//! its facts, elsewhere.

use std::borrow::Cow;
use std::time::Duration;

use crate::backoff::Backoff;

/// The pauses that hold by default, before a retry and before the next attempt to connect.
pub(super) const DEFAULT_BACKOFF: Backoff =
    Backoff::full_jitter(Duration::from_millis(10), Duration::from_secs(1));

/// The rule for retrying a command. A command that may already have been executed is repeated only where that
/// is safe, whatever stands here; and the operation's deadline ends all retrying.
#[doc(alias = "Retry")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Retries after the first try. Default 3. At 0 every passing fault reaches the caller; at a huge value
    /// only the deadline ends retrying, and without a deadline nothing does. Other than at 0 it does not
    /// count what passes by itself: a call waits for a connection, and in a cluster for a failover, a slot
    /// that moves or nodes that are down (`CLUSTERDOWN`, `TRYAGAIN`), until its deadline.
    pub retries: u32,
    /// The pause before each retry. Default full jitter, 10 ms → 1 s. Too short, and a struggling server is
    /// hammered; too long, and the deadline passes while waiting.
    pub backoff: Backoff,
    /// Whether a try that timed out is retried. Default false: the deadline of a call covers all its tries,
    /// so that a reply that is lost ends the call. With true, a try of what may be repeated (it only reads,
    /// or its caller declared it idempotent) ends after [`attempt_timeout`](Self::attempt_timeout), and the
    /// next one begins: one of the [`retries`](Self::retries), also where the try before was not sent.
    pub on_timeout: bool,
    /// The longest time that one try takes, where it is retried on timeout. Default none: the timeout of the
    /// call, in equal shares (`timeout / (retries + 1)`). Commands that wait at the server (`BLPOP`), and
    /// calls that go to several nodes of a cluster, have no such limit. Shorter than the server takes, and no
    /// try ever ends well, while the server does the same work several times; longer than the timeout, and
    /// there is no second try.
    pub attempt_timeout: Option<Duration>,
    /// The error code words of a server that mean "later". Default `LOADING`, `TRYAGAIN`, `CLUSTERDOWN`,
    /// `MASTERDOWN`, `BUSY` and [`MAX_CLIENTS`](Self::MAX_CLIENTS). Empty retries no error reply; a word that
    /// does not mean "later" (as `WRONGTYPE`) only repeats the error, slowly.
    pub codes: Vec<Cow<'static, str>>,
}

impl RetryPolicy {
    /// Stands in [`codes`](Self::codes) for the reply `ERR max number of clients reached`, which has no word
    /// of its own.
    pub const MAX_CLIENTS: &'static str = "MAXCLIENTS";

    /// Never retries anything.
    #[must_use]
    pub fn never() -> Self {
        let (backoff, codes) = (Backoff::none(), Vec::new());
        Self { retries: 0, backoff, on_timeout: false, attempt_timeout: None, codes }
    }

    /// Whether an error reply with this code word is to be retried. The whole word counts: `BUSYGROUP` is not
    /// `BUSY`.
    ///
    /// ```
    /// # use redwire_core::config::RetryPolicy;
    /// let policy = RetryPolicy::default();
    /// assert!(policy.covers("LOADING"));
    /// assert!(!policy.covers("WRONGTYPE"));
    /// ```
    #[must_use]
    pub fn covers(&self, code: &str) -> bool {
        self.codes.iter().any(|word| word == code)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let codes = ["LOADING", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "BUSY", Self::MAX_CLIENTS];
        Self {
            retries: 3,
            backoff: DEFAULT_BACKOFF,
            on_timeout: false,
            attempt_timeout: None,
            codes: codes.map(Cow::Borrowed).to_vec(),
        }
    }
}
