//! How long a command makes its connection wait, read from its own words.
//!
//! Promises: a command that may wait is never taken for one that answers at once. Must not know: clocks,
//! deadlines.

use std::time::Duration;

/// Where a command takes the time it may wait, and in which unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutArg {
    /// Which word it is.
    pub place: TimeoutPlace,
    /// What a 1 means.
    pub unit: TimeUnit,
}

/// Which word of a command is its timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutPlace {
    /// The word at this position; the command's name is at 0.
    Index(u8),
    /// The last word.
    Last,
    /// The word behind `BLOCK`, looked for from this position up to `STREAMS`; without it nothing waits.
    AfterBlock(u8),
    /// None: it is the server's `shutdown-timeout`, whose default is assumed. With `ABORT` nothing waits.
    Shutdown,
}

/// The unit of a timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeUnit {
    /// Seconds, perhaps with a fraction.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// How long a server may wait before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blocking {
    /// It answers at once.
    No,
    /// It waits this long at most, which is a year or less.
    Upto(Duration),
    /// It waits until something happens, or for longer than a year.
    Forever,
}

/// A caller that asks a server to wait for longer than this means "for ever".
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl TimeoutArg {
    /// Reads the timeout among the words of a command.
    ///
    /// A word that can't be read counts as "for ever": servers read more notations than we do (`0x10`), and a
    /// wrong guess on that side costs a connection of its own, on the other side that of all callers.
    pub(super) fn read<'a, I>(self, mut words: I, zero_is_forever: bool) -> Blocking
    where
        I: Iterator<Item = &'a [u8]>,
    {
        let word = match self.place {
            TimeoutPlace::Index(index) => words.nth(usize::from(index)),
            TimeoutPlace::Last => words.last(),
            TimeoutPlace::AfterBlock(from) => {
                let mut options = words.skip(usize::from(from)).skip_while(|word| {
                    !word.eq_ignore_ascii_case(b"BLOCK") && !word.eq_ignore_ascii_case(b"STREAMS")
                });
                match options.next() {
                    Some(word) if word.eq_ignore_ascii_case(b"BLOCK") => options.next(),
                    _ => None,
                }
            }
            TimeoutPlace::Shutdown => {
                return match words.any(|word| word.eq_ignore_ascii_case(b"ABORT")) {
                    true => Blocking::No,
                    false => Blocking::Upto(SHUTDOWN_TIMEOUT),
                };
            }
        };
        // Without the word the server refuses the command, or it was sent without BLOCK.
        let Some(word) = word else { return Blocking::No };
        let Some(count) = std::str::from_utf8(word).ok().and_then(|word| word.parse::<f64>().ok()) else {
            return Blocking::Forever;
        };
        let seconds = match self.unit {
            TimeUnit::Seconds => count,
            TimeUnit::Milliseconds => count / 1000.0,
        };
        if seconds < 0.0 {
            Blocking::No
        } else if seconds > 0.0 {
            match Duration::try_from_secs_f64(seconds) {
                Ok(wait) if wait <= LONGEST => Blocking::Upto(wait),
                _ => Blocking::Forever,
            }
        } else if zero_is_forever {
            Blocking::Forever
        } else {
            // MIGRATE: servers take 0 for their default.
            Blocking::Upto(Duration::from_secs(1))
        }
    }
}

/// For so long servers wait for replicas that lag before they go down, unless configured otherwise (since
/// 7.0).
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
