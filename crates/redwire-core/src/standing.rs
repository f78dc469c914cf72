//! What a server says of itself, whatever it was asked, and when the connections to it are left for new ones.
//!
//! Behind one address (a name, a balancer, a proxy) there may be another server by now, while the connections
//! there are lead to the former one, which lives. It says so itself: it is a replica (`READONLY`), it has
//! never heard of this connection's user (`NOAUTH`), or it has no data to serve (`LOADING`, `MASTERDOWN`). So
//! connections are left for new ones: at once, and while new ones lead to no better server, after pauses that
//! grow as in an outage. All callers together leave once a pause, and one of them tries what is found. This
//! file must not know clocks or chance: both come in as arguments.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::config::{Config, Deployment};
use crate::error::{ConnectionFault, Error, ErrorKind, Outcome};

/// What the connections of one client to one address have been told.
///
/// ```
/// # use redwire_core as redwire;
/// use std::time::{Duration, Instant};
///
/// use redwire::backoff::Backoff;
/// use redwire_core::standing::{Replace, Standing, RetryTurn, Unfit};
///
/// let (mut standing, now) = (Standing::default(), Instant::now());
/// let backoff = Backoff::constant(Duration::from_millis(10));
/// assert_eq!(standing.handle_refused(Unfit::Now, backoff, now, 0), Some(Replace::All));
/// assert_eq!(standing.poll_turn(backoff, now, 0), RetryTurn::Now(None), "the first tries what is found");
/// let next = now + Duration::from_millis(10);
/// assert_eq!(standing.poll_turn(backoff, now, 0), RetryTurn::At(next), "the others wait for that");
/// assert_eq!(standing.handle_served(), None, "a master");
/// assert_eq!(standing.poll_turn(backoff, now, 0), RetryTurn::Now(None));
/// ```
#[derive(Debug, Default)]
pub struct Standing {
    refusals: Option<Refusals>,
}

/// What has been tried since the first refusal.
#[derive(Debug)]
struct Refusals {
    unfit: Unfit,
    pauses: u32,
    pause: Duration,
    /// When connections may be left again.
    next: Instant,
    /// Whether they were left and no caller has had the turn to try the new ones yet.
    untried: bool,
    /// Whether any call is made again.
    repeats: bool,
    /// When it was refused last.
    heard: Instant,
}

/// How bad it is what a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its connections are of no use, and are left at once.
    Now,
    /// It will serve later. Only if that lasts, another server may be found behind the address.
    Lasting,
}

/// Whether a call that was refused may be made again now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryTurn {
    /// Now, once these connections have been left.
    Now(Option<Replace>),
    /// Another caller tries what the new connections lead to: ask again then.
    At(Instant),
}

/// Which connections are left for new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// All.
    All,
    /// One: what a new connection leads to is to be tried, and is not known. All others stay, or every caller
    /// would connect in vain, and subscribers would miss messages for nothing.
    One,
    /// All but those that were made to try: one of them led to a better server.
    Others,
}

/// Pauses between leaving a server that will serve later, by its own words.
const LASTING: Backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(30));

/// So much later than the callers that wait for it, others take the turn.
const GRACE: Duration = Duration::from_millis(10);

/// Without a refusal for so long, it is over.
const FORGOTTEN: Duration = Duration::from_secs(10);

impl Standing {
    /// A call was refused. Says which connections are to be left. `random` is uniform over all of `u64`.
    pub fn handle_refused(
        &mut self,
        unfit: Unfit,
        backoff: Backoff,
        now: Instant,
        random: u64,
    ) -> Option<Replace> {
        let is_new = |refusals: &Refusals| {
            let worse = unfit == Unfit::Now && refusals.unfit == Unfit::Lasting;
            worse || now.saturating_duration_since(refusals.heard) > FORGOTTEN
        };
        let Some(refusals) = self.refusals.as_mut().filter(|refusals| !is_new(refusals)) else {
            let at_once = unfit == Unfit::Now;
            let next = if at_once { now } else { now + LASTING.delay(1, Duration::ZERO, random) };
            let (pauses, pause) = (0, Duration::ZERO);
            let repeats = false;
            self.refusals =
                Some(Refusals { unfit, pauses, pause, next, untried: at_once, repeats, heard: now });
            return at_once.then_some(Replace::All);
        };
        refusals.heard = now;
        // Where no call is made again, no caller asks for the turn. Replies to what was sent before are no
        // news.
        let leaves = refusals.next + GRACE <= now && refusals.take_turn(backoff, now, random);
        leaves.then_some(if refusals.repeats { Replace::One } else { Replace::All })
    }

    /// A call that was refused is about to be made again.
    pub fn poll_turn(&mut self, backoff: Backoff, now: Instant, random: u64) -> RetryTurn {
        let Some(refusals) = &mut self.refusals else { return RetryTurn::Now(None) };
        refusals.repeats = true;
        if now < refusals.next {
            return RetryTurn::At(refusals.next);
        }
        RetryTurn::Now(refusals.take_turn(backoff, now, random).then_some(Replace::One))
    }

    /// A call that had been refused was served. Says which connections are to be left.
    pub fn handle_served(&mut self) -> Option<Replace> {
        let refusals = self.refusals.take()?;
        // At first all left; if that was not enough, only one connection at a time was made to try.
        (refusals.pauses > 1).then_some(Replace::Others)
    }
}

impl Refusals {
    /// Has all others wait for a pause; says whether the connections are to be left.
    fn take_turn(&mut self, backoff: Backoff, now: Instant, random: u64) -> bool {
        let backoff = if self.unfit == Unfit::Now { backoff } else { LASTING };
        self.pauses = self.pauses.saturating_add(1);
        self.pause = backoff.delay(self.pauses, self.pause, random);
        self.next = now + self.pause;
        !std::mem::take(&mut self.untried)
    }
}

/// Whether `error`, the answer to a call, says that the connection it came over is of no use, or will not be
/// for now.
///
/// - That the server is a replica, where writes are meant: with one address only. Sentinels and the nodes of
///   a cluster are asked instead.
/// - That a password is wanted, where one was presented: everywhere.
/// - That it cannot serve yet, or not without its master: with one address only, behind which others may be.
#[must_use]
pub fn unfit(error: &Error, config: &Config) -> Option<Unfit> {
    let rejected = error.outcome() == Outcome::Rejected;
    let alone = matches!(config.deployment(), Deployment::Single(_)) && !config.has_alternatives();
    match error.kind() {
        _ if error.wants_password() => (rejected && config.authenticates()).then_some(Unfit::Now),
        ErrorKind::Busy => (rejected && alone && error.code() != Some("BUSY")).then_some(Unfit::Lasting),
        _ => (alone && !config.read_only() && error.is_demotion()).then_some(Unfit::Now),
    }
}

/// Why a connection was given up that had served, and whose server has forgotten who is connected.
#[must_use]
pub(crate) fn forgotten(error: &Error) -> Error {
    let message = format!("given up, since the server has forgotten who is connected: {}", error.message());
    let fault = ErrorKind::Connection(ConnectionFault::Reset);
    Error::new(fault, Outcome::MaybeExecuted, message).with_source(error.clone())
}

/// Whether a call that failed so may be made again on a new connection: it was refused, or is `harmless`.
#[must_use]
pub(crate) fn may_go_on(error: &Error, harmless: bool, config: &Config) -> bool {
    let certain = error.outcome() == Outcome::Rejected || harmless;
    certain && unfit(error, config) == Some(Unfit::Now)
}

/// The error, with what a caller that has a connection of its own can do about it.
#[must_use]
pub fn advised(error: Error, config: &Config) -> Error {
    if unfit(&error, config) != Some(Unfit::Now) {
        return error;
    }
    error.with_context(
        "this connection is of no use any more, and `reconnect` makes one to the server that \
         is at its address now",
    )
}

#[cfg(test)]
mod tests;
