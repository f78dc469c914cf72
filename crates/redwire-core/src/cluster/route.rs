//! One command's way through a cluster: to which node it goes, and where next when that node did not serve
//! it.
//!
//! What a node rejects it has not executed, so it is sent on, or again later, until the deadline; what may
//! have been executed is for [`retry`](crate::retry) to decide, as everywhere. This file must not know
//! sockets or clocks.

use std::time::{Duration, Instant};

use super::promotion_probe::is_unheard;
use super::{ClusterOptions, Map, Redirect, RedirectKind};
use crate::call::Call;
use crate::config::{Config, HostPort};
use crate::error::{ClusterFault, Error, ErrorKind, Outcome, Result};
use crate::retry::{self, Attempt, Decision};

/// Redirections that are followed without a pause; from then on nodes contradict each other.
pub(crate) const AT_ONCE: u32 = 3;

/// One call whose keys are in one slot, or that has none, through all its tries.
#[derive(Clone, Debug)]
pub struct Route {
    slot: Option<u16>,
    attempt: Attempt,
    sent: u32,
    redirects: u32,
    waits: u32,
    pause: Duration,
    /// Whether it may go to a node that does not own the slot yet.
    may_ask: bool,
    /// The node that could not be reached last: any other of its shard knows more.
    lost: Option<HostPort>,
}

/// What holds for a try: configuration and time.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The configuration of the client.
    pub config: &'a Config,
    /// What holds for the cluster.
    pub cluster: &'a ClusterOptions,
    /// The time.
    pub now: Instant,
}

/// What follows from a failed try.
#[derive(Debug)]
pub struct RouteStep {
    /// What becomes of the call.
    pub then: AfterFailure,
    /// What the [`Topology`](super::Topology) is to be told.
    pub hint: Option<TopologyHint>,
}

/// What becomes of a call after a failed try.
#[derive(Debug)]
pub enum AfterFailure {
    /// Send it to this node, known or not.
    Send {
        /// Where.
        to: HostPort,
        /// Whether `ASKING` goes before it, in the same write.
        asking: bool,
        /// Whether it must not be the connection that it came from: behind it is another node than was meant.
        fresh: bool,
        /// How long to wait before.
        after: Duration,
    },
    /// Send it to the same node at once, in the same way: the call was changed to another way of asking.
    Again,
    /// Wait this long, then let [`Route::target`] choose.
    Retry(Duration),
    /// Give the caller this error.
    Fail(Error),
}

/// What a failed try tells about the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopologyHint {
    /// The slot is served by another node.
    Moved {
        /// Which.
        slot: u16,
        /// The node that said so.
        to: HostPort,
    },
    /// The map may be wrong.
    Suspect,
}

impl Route {
    /// A call of `slot`, or without one, that must end by `deadline`.
    #[must_use]
    pub fn new(slot: Option<u16>, deadline: Option<Instant>) -> Self {
        let attempt = Attempt::new(deadline);
        Self {
            slot,
            attempt,
            sent: 0,
            redirects: 0,
            waits: 0,
            pause: Duration::ZERO,
            may_ask: true,
            lost: None,
        }
    }

    /// One that has several commands to send, and cannot have `ASKING` before each: while its slot is on its
    /// way, it waits.
    #[must_use]
    pub fn waiting_for_migrations(self) -> Self {
        Self { may_ask: false, ..self }
    }

    /// When the call must have ended.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.attempt.deadline()
    }

    /// The slot.
    #[must_use]
    pub fn slot(&self) -> Option<u16> {
        self.slot
    }

    /// The node to send to: the primary of the slot, or any primary. `random` is uniform over all of `u64`.
    ///
    /// Where that one could not be reached at the last try, a replica of it: one that has taken over serves
    /// the call, and any other knows which node did.
    ///
    /// # Errors
    /// [`ClusterFault::NotCovered`], for [`handle_failure`](Self::handle_failure): no node is known for the
    /// slot.
    pub fn target(&self, map: &Map, random: u64) -> Result<HostPort> {
        let lost = self.lost.as_ref();
        let shard = match self.slot {
            Some(slot) => map.shard(slot),
            None => any_primary(map, lost, random).map(|place| &map.shards()[place]),
        };
        let shard = shard.ok_or_else(|| uncovered(self.slot))?;
        if Some(&shard.primary.address) != lost {
            return Ok(shard.primary.address.clone());
        }
        let replica = pick(shard.replicas.iter().filter(|node| node.is_online()), random);
        Ok(replica.unwrap_or(&shard.primary).address.clone())
    }

    /// A try of `call` at `from` failed with `error`; `from` is `None` where it found no node. The rest is as
    /// for [`Attempt::handle_failure`].
    pub fn handle_failure(
        &mut self,
        error: Error,
        from: Option<&HostPort>,
        call: &mut impl Call,
        rules: Rules<'_>,
        random: u64,
        budget: impl FnOnce() -> bool,
    ) -> RouteStep {
        self.sent += 1;
        self.attempt.handle_outcome(&error);
        if matches!(error.kind(), ErrorKind::Connection(_)) {
            self.lost = from.cloned();
        }
        let whole = error.outcome() != Outcome::Rejected || call.is_single();
        let harmless = retry::is_harmless(call, rules.config);
        let retries = retry::retries_of(call, rules.config);
        let redirect = from.filter(|_| whole && error.outcome() == Outcome::Rejected);
        let redirect = redirect.and_then(|from| Redirect::parse(&error, from, &rules.cluster.remap));
        let mut step = match (redirect, from) {
            (Some(redirect), Some(from)) => self.redirect(redirect, error, from, rules, retries, random),
            _ if whole && is_passing(&error, harmless, rules.config) => {
                if error.kind() == ErrorKind::Cluster(ClusterFault::TryAgain) {
                    // It was sent here rightly, and will be again: a slot on its way is no contradiction.
                    self.redirects = 0;
                }
                let hint = makes_map_suspect(&error).then_some(TopologyHint::Suspect);
                RouteStep { then: self.wait(error, rules, retries, random), hint }
            }
            _ => self.retry(error, call, rules, random, budget),
        };
        if let AfterFailure::Fail(error) = step.then {
            let error = self.outcome_of_all(error, call);
            step.then = AfterFailure::Fail(error.or_command(&call.name()).with_tries(self.sent));
        }
        step
    }

    /// As [`Attempt::outcome_of_all`].
    #[must_use]
    pub fn outcome_of_all(&self, error: Error, call: &impl Call) -> Error {
        self.attempt.outcome_of_all(error, call)
    }

    fn redirect(
        &mut self,
        redirect: Redirect,
        error: Error,
        from: &HostPort,
        rules: Rules<'_>,
        retries: u32,
        random: u64,
    ) -> RouteStep {
        let Redirect { kind, slot, to } = redirect;
        if kind == RedirectKind::Ask && !self.may_ask {
            return RouteStep { then: self.wait(error, rules, retries, random), hint: None };
        }
        let Some(to) = to else {
            return RouteStep {
                then: self.wait(error, rules, retries, random),
                hint: Some(TopologyHint::Suspect),
            };
        };
        let moved = kind == RedirectKind::Moved;
        let hint = moved.then(|| TopologyHint::Moved { slot, to: to.clone() });
        self.redirects += 1;
        if self.redirects > rules.cluster.max_redirects {
            return RouteStep { then: AfterFailure::Fail(to_and_fro(error)), hint };
        }
        if self.lost.as_ref() == Some(&to) {
            // A replica that has not taken over: soon it may, or the primary is back.
            self.redirects -= 1;
            self.lost = None;
            return RouteStep { then: self.wait(error, rules, retries, random), hint };
        }
        let fresh = to == *from && moved;
        let after = match self.redirects.checked_sub(AT_ONCE) {
            Some(nth @ 1..) => self.delay(nth, rules, random),
            // To itself: it may take a moment until there is the right node behind the address.
            _ if fresh => self.delay(self.redirects, rules, random),
            _ => Duration::ZERO,
        };
        let in_time = self.deadline().is_none_or(|deadline| rules.now + after < deadline);
        let then = match in_time {
            true => AfterFailure::Send { to, asking: kind == RedirectKind::Ask, fresh, after },
            false => AfterFailure::Fail(error),
        };
        RouteStep { then, hint }
    }

    /// Rejected, or not sent, for a reason that passes: till the deadline, or `retries` times if there is
    /// none. That is no retry that a budget counts: pauses grow, and one call ends by its deadline.
    fn wait(&mut self, error: Error, rules: Rules<'_>, retries: u32, random: u64) -> AfterFailure {
        self.waits += 1;
        let after = self.delay(self.waits, rules, random);
        let in_time = match self.deadline() {
            Some(deadline) => retries > 0 && rules.now + after < deadline,
            None => self.waits <= retries,
        };
        if in_time { AfterFailure::Retry(after) } else { AfterFailure::Fail(error) }
    }

    fn retry(
        &mut self,
        error: Error,
        call: &mut impl Call,
        rules: Rules<'_>,
        random: u64,
        budget: impl FnOnce() -> bool,
    ) -> RouteStep {
        let suspect = is_unheard(&error) || error.is_demotion();
        let hint = suspect.then_some(TopologyHint::Suspect);
        let then = match self.attempt.handle_failure(error, call, rules.config, rules.now, random, budget) {
            Decision::Again => AfterFailure::Again,
            Decision::Retry(after) => AfterFailure::Retry(after),
            Decision::Fail(error) => AfterFailure::Fail(error),
        };
        RouteStep { then, hint }
    }

    fn delay(&mut self, nth: u32, rules: Rules<'_>, random: u64) -> Duration {
        self.pause = rules.config.retry().backoff.delay(nth, self.pause, random);
        self.pause
    }
}

/// Whether the cluster will serve this later: nothing was executed, or it is harmless, and a failover mends
/// it, or the policy calls such an error one that means "later".
fn is_passing(error: &Error, harmless: bool, config: &Config) -> bool {
    match (error.outcome(), error.kind()) {
        (Outcome::NotSent, ErrorKind::Connection(_)) => true,
        (Outcome::NotSent, ErrorKind::Cluster(fault)) => fault == ClusterFault::NotCovered,
        _ if retry::may_move(error, harmless) => true,
        (
            Outcome::Rejected,
            ErrorKind::Busy | ErrorKind::Cluster(ClusterFault::TryAgain | ClusterFault::Down),
        ) => error.code().is_some_and(|code| config.retry().covers(code)),
        _ => false,
    }
}

/// Whether the error says that the map may be wrong.
fn makes_map_suspect(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::Cluster(ClusterFault::TryAgain)) && error.code() != Some("BUSY")
}

/// The primary that serves a command without keys: one by chance of those that are online and not `lost`,
/// else any. Its place among the [shards](Map::shards); `random` is uniform over all of `u64`.
#[must_use]
pub fn any_primary(map: &Map, lost: Option<&HostPort>, random: u64) -> Option<usize> {
    let all = 0..map.shards().len();
    let serves = |place: &usize| {
        let primary = &map.shards()[*place].primary;
        primary.is_online() && Some(&primary.address) != lost
    };
    pick(all.clone().filter(serves), random).or_else(|| pick(all, random))
}

/// One of them by chance.
pub(super) fn pick<T>(mut all: impl Iterator<Item = T> + Clone, random: u64) -> Option<T> {
    let count = all.clone().count() as u64;
    // No list of nodes is longer than a `usize` tells.
    all.nth(random.checked_rem(count)? as usize)
}

#[cold]
pub(super) fn uncovered(slot: Option<u16>) -> Error {
    let message = match slot {
        Some(slot) => format!("no node of the cluster is known to serve slot {slot}"),
        None => "no node of the cluster is known".to_owned(),
    };
    Error::new(ErrorKind::Cluster(ClusterFault::NotCovered), Outcome::NotSent, message)
}

#[cold]
fn to_and_fro(error: Error) -> Error {
    let message = format!("sent to and fro more than `max_redirects` allows, at last: {}", error.message());
    Error::new(ErrorKind::Cluster(ClusterFault::TooManyRedirects), Outcome::Rejected, message)
        .with_source(error)
}
