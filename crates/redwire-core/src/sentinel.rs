//! Which sentinels to ask for the master of a service, and which to believe.
//!
//! Sentinels are asked in turn, each a short while after the one before, until one tells a master that can be
//! believed; the one that did is asked first the next time. Refused is one that does not know the service,
//! thinks that its master is down, or knows too few others to be part of a majority; one error says of each
//! why. One that tells an older configuration than was seen before, or has no connection to the master, is
//! believed when no other knows better. This file must not know sockets, names or clocks: time comes in as an
//! argument.
//!
//! What sentinels answer and how it is to be understood: [Guidelines for Redis clients with support for
//! Sentinel](https://redis.io/docs/latest/develop/reference/sentinel-clients/).

mod instance;
mod question;
mod readers;
mod service_event;

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::time::{Duration, Instant};

use crate::cluster::Remap;
use crate::config::HostPort;
use crate::error::{Error, ErrorKind, Outcome, Result, SentinelFault};
pub use instance::Instance;
use question::is_unknown_service;
pub use question::{OtherWords, SentinelAnswer, SentinelQuestion, SentinelReply, other_words, question};
pub use readers::ReplicaChoice;
pub use service_event::ServiceEvent;

/// What is known about the sentinels of one service, from one discovery to the next.
///
/// Those that the configuration names are kept for ever; those that others have told of, for as long as
/// a sentinel tells of them.
#[derive(Clone, Debug, Default)]
pub struct Sentinels {
    seeds: Vec<HostPort>,
    /// The sentinels to ask, in this order.
    order: Vec<HostPort>,
    /// The newest configuration that any sentinel told.
    epoch: u64,
    /// The master in that.
    master: Option<HostPort>,
    /// Whether that is from news, which tell no number: it is guessed.
    guessed: bool,
}

impl Sentinels {
    /// Those that the configuration names.
    #[must_use]
    pub fn new(seeds: Vec<HostPort>) -> Self {
        Self { order: seeds.clone(), seeds, epoch: 0, master: None, guessed: false }
    }

    /// All that are known, in the order in which they are asked.
    #[must_use]
    pub fn addresses(&self) -> &[HostPort] {
        &self.order
    }

    /// Those that are listened to: which the configuration names, and the one that told of the master last.
    /// Others that are told of may be out of reach from here.
    pub fn listened(&self) -> impl Iterator<Item = &HostPort> {
        let witness = self.order.first().filter(|witness| !self.seeds.contains(witness));
        self.seeds.iter().chain(witness)
    }

    /// A discovery has found the master: its witness is asked first from now on, and those it told of are
    /// asked, too.
    pub fn handle_found(&mut self, found: &FoundServers) {
        let confirmed = self.guessed && self.master.as_ref() == Some(&found.master);
        if confirmed || found.epoch > self.epoch {
            (self.epoch, self.guessed) = (found.epoch, false);
            self.master = Some(found.master.clone());
        }
        self.master.get_or_insert_with(|| found.master.clone());
        self.order.retain(|known| self.seeds.contains(known) || found.sentinels.contains(known));
        for told in &found.sentinels {
            if !self.order.contains(told) {
                self.order.push(told.clone());
            }
        }
        self.order.retain(|known| *known != found.witness);
        self.order.insert(0, found.witness.clone());
    }

    /// A sentinel says that there is another master. One that tells of the master known so far has not heard
    /// of it yet, and is behind: each switch has a configuration of its own.
    pub fn handle_switched(&mut self, master: &HostPort) {
        if self.master.as_ref() != Some(master) {
            self.guessed = self.master.is_some();
            self.epoch += u64::from(self.guessed);
            self.master = Some(master.clone());
        }
    }

    /// The master that was told of cannot be connected to.
    pub fn handle_failed(&mut self) {
        (self.master, self.guessed) = (None, false);
    }

    /// Where the master is, by `found` and by what was told since it was asked for. A sentinel that leads a
    /// failover tells the former master with the number of the new configuration, until it is done: of two
    /// masters in one, the one known so far counts. An older configuration counts only where it was chosen by
    /// a discovery that knew of the newer one.
    #[must_use]
    pub fn newest_master(&self, found: &FoundServers) -> HostPort {
        let learnt_since = self.guessed || self.epoch != found.known_epoch;
        let behind = found.epoch == self.epoch || (learnt_since && found.epoch < self.epoch);
        let newer = self.master.as_ref().filter(|_| behind);
        newer.unwrap_or(&found.master).clone()
    }

    /// What `witness` told turned out to be wrong: it is asked last from now on.
    pub fn handle_distrusted(&mut self, witness: &HostPort) {
        if let Some(place) = self.order.iter().position(|known| known == witness) {
            let witness = self.order.remove(place);
            self.order.push(witness);
        }
    }
}

/// What a discovery has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundServers {
    /// The master.
    pub master: HostPort,
    /// The replicas that can be used: up, and in touch with the master.
    pub replicas: Vec<HostPort>,
    /// Replicas that are up, but were not in touch with the master when the sentinel last heard of them,
    /// which may be ten seconds ago: so they are told after each failover.
    pub unlinked: Vec<HostPort>,
    /// The sentinel that told it.
    pub witness: HostPort,
    /// The others that it knows.
    pub sentinels: Vec<HostPort>,
    /// The number of the configuration: it grows with each failover.
    pub epoch: u64,
    /// The newest that was known when they were asked for.
    pub known_epoch: u64,
}

/// One round of asking.
///
/// Ask the sentinels that [`poll_ask`](Self::poll_ask) gives, hand over what came of it, until
/// [`poll_found`](Self::poll_found) has an answer; then drop this, and the questions under way with it.
#[derive(Debug)]
pub struct Discovery {
    service: String,
    min_other_sentinels: u32,
    remap: Remap,
    epoch: u64,
    waiting: VecDeque<HostPort>,
    under_way: Vec<HostPort>,
    refused: Vec<(HostPort, SentinelRefusal)>,
    /// The newest of what was told by sentinels that may not know best.
    fallback: Option<FoundServers>,
    /// The newest of what can be believed, which counts once this sentinel has answered.
    found: Option<FoundServers>,
    awaited: Option<HostPort>,
    /// When the next may be asked; at once if there is no such time.
    next: Option<Instant>,
}

/// Why a sentinel is not believed.
#[derive(Debug)]
enum SentinelRefusal {
    Failed(Error),
    Unknown,
    Down(String),
    Alone(u32),
}

impl Discovery {
    /// How long a sentinel is alone before the next one is asked beside it.
    pub const DELAY: Duration = Duration::from_millis(200);

    /// Asks `sentinels` for the master of `service`. One that knows of fewer than `min_other_sentinels`
    /// others is not believed: it may be cut off from them, with a master that they have replaced. All
    /// addresses that they tell go through `remap`.
    #[must_use]
    pub fn new(service: &str, sentinels: &Sentinels, min_other_sentinels: u32, remap: Remap) -> Self {
        Self {
            service: service.to_owned(),
            min_other_sentinels,
            remap,
            epoch: sentinels.epoch,
            waiting: sentinels.order.iter().cloned().collect(),
            under_way: Vec::new(),
            refused: Vec::new(),
            fallback: None,
            found: None,
            awaited: None,
            next: None,
        }
    }

    /// The next sentinel to ask, if it is time to: the first at once, another [`DELAY`](Self::DELAY) after
    /// the one before, or at once when all that were asked are refused.
    pub fn poll_ask(&mut self, now: Instant) -> Option<HostPort> {
        if self.found.is_some() || self.next.is_some_and(|next| now < next) {
            return None;
        }
        let sentinel = self.waiting.pop_front()?;
        self.under_way.push(sentinel.clone());
        self.next = Some(now + Self::DELAY);
        Some(sentinel)
    }

    /// Asks `sentinel` first, and hears it in any case: it may have told of another master while it was not
    /// listened to.
    #[must_use]
    pub fn beginning_with(mut self, sentinel: &HostPort) -> Self {
        self.waiting.retain(|other| other != sentinel);
        self.waiting.push_front(sentinel.clone());
        self.awaited = Some(sentinel.clone());
        self
    }

    /// When [`poll_ask`](Self::poll_ask) has another, once it has none now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next.filter(|_| !self.waiting.is_empty() && self.found.is_none())
    }

    /// What became of asking `sentinel`.
    pub fn handle_answer(&mut self, sentinel: &HostPort, answer: Result<SentinelAnswer>, now: Instant) {
        let Some(place) = self.under_way.iter().position(|other| other == sentinel) else { return };
        let sentinel = self.under_way.remove(place);
        self.awaited.take_if(|awaited| *awaited == sentinel);
        match self.judge(&sentinel, answer) {
            Ok((found, true)) if found.epoch >= self.epoch => {
                if self.found.as_ref().is_none_or(|other| other.epoch < found.epoch) {
                    self.found = Some(found);
                }
            }
            Ok((doubtful, _)) => {
                if self.fallback.as_ref().is_none_or(|other| other.epoch < doubtful.epoch) {
                    self.fallback = Some(doubtful);
                }
            }
            Err(refusal) => self.refused.push((sentinel, refusal)),
        }
        if self.under_way.is_empty() {
            self.next = Some(now);
        }
    }

    /// What `sentinel` tells, and whether it is in touch with that master.
    fn judge(
        &self,
        sentinel: &HostPort,
        answer: Result<SentinelAnswer>,
    ) -> Result<(FoundServers, bool), SentinelRefusal> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_unknown_service(&error) => return Err(SentinelRefusal::Unknown),
            Err(error) => return Err(SentinelRefusal::Failed(error)),
        };
        let master = answer.master.ok_or(SentinelRefusal::Unknown)?;
        if master.is_down() {
            return Err(SentinelRefusal::Down(master.flags().to_owned()));
        }
        if master.other_sentinels() < self.min_other_sentinels {
            return Err(SentinelRefusal::Alone(master.other_sentinels()));
        }
        let up = answer.replicas.iter().filter(|replica| !replica.is_down() && replica.is_reached());
        let (linked, unlinked): (Vec<_>, Vec<_>) = up.partition(|replica| replica.is_linked());
        let address = |instance: &Instance| instance.address().map(|told| self.remap.apply(told));
        let found = FoundServers {
            master: address(&master).map_err(SentinelRefusal::Failed)?,
            replicas: linked.into_iter().flat_map(address).collect(),
            unlinked: unlinked.into_iter().flat_map(address).collect(),
            sentinels: answer.sentinels.iter().flat_map(address).collect(),
            witness: sentinel.clone(),
            epoch: master.config_epoch(),
            known_epoch: self.epoch,
        };
        Ok((found, master.is_reached()))
    }

    /// The master, or why no sentinel tells it, once that is certain.
    ///
    /// An older configuration than was seen before is believed only when no sentinel has another: the
    /// sentinels were set up anew. So is one that has no connection to the master: that is so for moments
    /// after each failover, and before a dead one is taken for dead.
    ///
    /// # Errors
    /// - [`SentinelFault::UnknownService`]: every sentinel that answered knows no such service.
    /// - [`SentinelFault::Unreachable`]: none answered.
    /// - [`SentinelFault::NoMaster`]: none told a master that can be believed.
    pub fn poll_found(&mut self) -> Option<Result<FoundServers>> {
        if let Some(found) = self.found.take_if(|_| self.awaited.is_none()) {
            return Some(Ok(found));
        }
        if !self.waiting.is_empty() || !self.under_way.is_empty() {
            return None;
        }
        Some(self.fallback.take().ok_or_else(|| self.failure()))
    }

    fn failure(&self) -> Error {
        let answered =
            || self.refused.iter().filter(|(_, refusal)| !matches!(refusal, SentinelRefusal::Failed(_)));
        let fault = if answered().next().is_none() {
            SentinelFault::Unreachable
        } else if answered().all(|(_, refusal)| matches!(refusal, SentinelRefusal::Unknown)) {
            SentinelFault::UnknownService
        } else {
            SentinelFault::NoMaster
        };
        let told = match fault {
            SentinelFault::Unreachable => "can be asked for",
            SentinelFault::UnknownService => "knows",
            _ => "tells",
        };
        let mut message =
            format!("none of {} sentinels {told} the master of {:?}", self.refused.len(), self.service);
        for (n, (sentinel, refusal)) in self.refused.iter().enumerate() {
            let between = if n == 0 { ": " } else { "; " };
            // Writing to a string cannot fail.
            let _ = write!(message, "{between}{sentinel} ({refusal})");
        }
        let error = Error::new(ErrorKind::Sentinel(fault), Outcome::NotSent, message);
        let cause = self.refused.iter().find_map(|(_, refusal)| match refusal {
            SentinelRefusal::Failed(cause) => Some(cause.clone()),
            _ => None,
        });
        match cause {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }
}

impl fmt::Display for SentinelRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.write_str(error.message()),
            Self::Unknown => f.write_str("knows no such service"),
            Self::Down(flags) => write!(f, "thinks it is down: {flags}"),
            Self::Alone(others) => {
                write!(f, "knows of {others} other sentinels, too few for `min_other_sentinels`")
            }
        }
    }
}

#[cfg(test)]
mod tests;
