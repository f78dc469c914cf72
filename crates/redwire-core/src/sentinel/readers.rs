//! Which server of a service answers a client that reads from its replicas.
//!
//! Promises a replica that is not known to be unfit, or the master where the client allows that. Calls are
//! spread over all replicas in turn; so are connections that are to lead to any of them. This file must not
//! know connections; time is an argument.

use std::time::{Duration, Instant};

use super::FoundServers;
use crate::config::{HostPort, ReadFrom};

/// The replicas of a service, as the sentinels told them last, and which of them are passed over: one that
/// could not be connected to, does not answer, or has no data to answer from.
///
/// Such a one is passed over for [`PASSED_OVER`](Self::PASSED_OVER). Then one call may
/// [try](Self::poll_trial) it, and the others pass it over for as long again, until it is
/// [fit](Self::handle_fit): so one call a second meets a replica that is down, however many calls there are.
///
/// ```
/// # use redwire_core as redwire;
/// use std::time::Instant;
///
/// use redwire::config::{HostPort, ReadFrom};
/// use redwire_core::sentinel::{FoundServers, ReplicaChoice};
///
/// let at = |host| HostPort::new(host, 6379);
/// let found = FoundServers {
///     master: at("m"),
///     replicas: vec![at("a"), at("b")],
///     unlinked: Vec::new(),
///     witness: at("s"),
///     sentinels: Vec::new(),
///     epoch: 1,
///     known_epoch: 1,
/// };
/// let (mut choice, now) = (ReplicaChoice::new(ReadFrom::Replica, 0), Instant::now());
/// choice.handle_found(&found, now);
/// let served: Vec<_> = (0..4).filter_map(|turn| choice.choose(turn, now)).collect();
/// assert_eq!(served, [&at("a"), &at("b"), &at("a"), &at("b")]);
/// ```
#[derive(Clone, Debug)]
pub struct ReplicaChoice {
    read_from: ReadFrom,
    /// The master and the replicas, once they were told.
    told: Option<(HostPort, Vec<HostPort>)>,
    /// Those that are passed over, and until when.
    passed_over: Vec<(HostPort, Instant)>,
    /// The turn of the next connection, and the server that the last was to lead to.
    turn: usize,
    chosen: Option<HostPort>,
    /// When the sentinels are to be asked again, though nothing happened.
    next_look: Option<Instant>,
}

impl ReplicaChoice {
    /// How long a replica is passed over that was of no use.
    pub const PASSED_OVER: Duration = Duration::from_secs(1);

    /// After so long the sentinels are asked again: they publish nothing where a replica has lost its master,
    /// or was taken out.
    pub const LOOK: Duration = Duration::from_secs(10);

    /// Connections begin with any replica: `random` is uniform over all of `usize`, so that the clients of
    /// many processes do not all begin with the same one.
    #[must_use]
    pub fn new(read_from: ReadFrom, random: usize) -> Self {
        let (told, passed_over, chosen) = (None, Vec::new(), None);
        Self { read_from, told, passed_over, turn: random, chosen, next_look: None }
    }

    /// Whether it is replicas that are wanted.
    #[must_use]
    pub fn reads_replicas(&self) -> bool {
        self.read_from != ReadFrom::Master
    }

    /// The sentinels have told these servers. Whether that is news.
    ///
    /// Where only replicas will do, and none is told to be in touch with the master, all that are up count.
    pub fn handle_found(&mut self, found: &FoundServers, now: Instant) -> bool {
        self.next_look = Some(now + Self::LOOK);
        let only_unlinked = self.read_from == ReadFrom::Replica && found.replicas.is_empty();
        let replicas = if only_unlinked { &found.unlinked } else { &found.replicas };
        let told = Some((found.master.clone(), replicas.clone()));
        self.passed_over.retain(|(server, _)| replicas.contains(server));
        if self.told == told {
            return false;
        }
        self.told = told;
        true
    }

    /// A sentinel says that `master` has taken over. Whether that is news.
    pub fn handle_switched(&mut self, master: &HostPort) -> bool {
        let Some((former, replicas)) = self.told.as_mut().filter(|(former, _)| former != master) else {
            return false;
        };
        former.clone_from(master);
        replicas.retain(|replica| replica != master);
        true
    }

    /// When [`poll_look`](Self::poll_look) has it that the sentinels are asked; `None` where the replicas are
    /// of no interest, or the sentinels were never asked.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_look.filter(|_| self.reads_replicas())
    }

    /// Whether the sentinels are to be asked now, by this caller: others wait for what comes of it.
    pub fn poll_look(&mut self, now: Instant) -> bool {
        let is_due = self.poll_timeout().is_some_and(|next| next <= now);
        if is_due {
            self.next_look = Some(now + Self::LOOK);
        }
        is_due
    }

    /// The replicas that were told last.
    #[must_use]
    pub fn replicas(&self) -> &[HostPort] {
        self.told.as_ref().map_or(&[], |(_, replicas)| replicas)
    }

    /// The replica of the call that has this turn. `None` where none is known that is fit: the call goes
    /// where [any](Self::choose_any) connection leads, and waits for that one if need be.
    #[must_use]
    pub fn choose(&self, turn: usize, now: Instant) -> Option<&HostPort> {
        let is_fit = |replica: &&HostPort| self.passed_over_until(replica).is_none_or(|until| until <= now);
        let fit = self.replicas().iter().filter(is_fit);
        let place = turn.checked_rem(fit.clone().count())?;
        fit.clone().nth(place)
    }

    /// The server of the connection that has this turn. `None`: none is known, or there is no replica, and
    /// the master is not wanted.
    #[must_use]
    pub fn choose_any(&self, turn: usize, now: Instant) -> Option<&HostPort> {
        let (master, replicas) = self.told.as_ref()?;
        let fit = || self.choose(turn, now);
        match self.read_from {
            ReadFrom::Master => Some(master),
            ReadFrom::ReplicaPreferred => fit().or(Some(master)),
            // Nothing else will do than one of those that were of no use.
            ReadFrom::Replica => fit().or_else(|| replicas.get(turn.checked_rem(replicas.len())?)),
        }
    }

    fn passed_over_until(&self, replica: &HostPort) -> Option<Instant> {
        self.passed_over.iter().find(|(other, _)| other == replica).map(|(_, until)| *until)
    }

    /// Whether `server`, which was [chosen](Self::choose), was passed over until now: then it is for
    /// [`poll_trial`](Self::poll_trial) to say whether this call tries it.
    #[must_use]
    pub fn is_doubtful(&self, server: &HostPort, now: Instant) -> bool {
        self.passed_over_until(server).is_some_and(|until| until <= now)
    }

    /// Whether this call is the one that tries `server`, which others pass over meanwhile.
    pub fn poll_trial(&mut self, server: &HostPort, now: Instant) -> bool {
        let is_due = self.is_doubtful(server, now);
        if is_due {
            self.handle_unfit(server, now);
        }
        is_due
    }

    /// The server to make the next connection to. `None` as for [`choose_any`](Self::choose_any).
    pub fn choose_next(&mut self, now: Instant) -> Option<HostPort> {
        self.turn = self.turn.wrapping_add(1);
        self.chosen = self.choose_any(self.turn, now).cloned();
        self.chosen.clone()
    }

    /// Some replica that is in use has no data to answer from. Which of several it was is not told; the one
    /// that was chosen last for a connection is passed over first, and the next if that was another.
    pub fn handle_refusal(&mut self, now: Instant) {
        if let Some(replica) = self.chosen.clone() {
            self.handle_unfit(&replica, now);
        }
    }

    /// This replica could not be connected to, does not answer, or said that it has no data to answer from
    /// (it loads, or has lost its master).
    pub fn handle_unfit(&mut self, replica: &HostPort, now: Instant) {
        self.passed_over.retain(|(other, _)| other != replica);
        if self.replicas().contains(replica) {
            self.passed_over.push((replica.clone(), now + Self::PASSED_OVER));
        }
    }

    /// A connection to this replica was made, or it has answered. Whether that is news.
    pub fn handle_fit(&mut self, replica: &HostPort) -> bool {
        let before = self.passed_over.len();
        self.passed_over.retain(|(other, _)| other != replica);
        self.passed_over.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str) -> HostPort {
        HostPort::new(name, 1)
    }

    fn found(replicas: &[&str]) -> FoundServers {
        FoundServers {
            master: at("m"),
            replicas: replicas.iter().map(|name| at(name)).collect(),
            unlinked: Vec::new(),
            witness: at("s"),
            sentinels: Vec::new(),
            epoch: 1,
            known_epoch: 1,
        }
    }

    fn choice(read_from: ReadFrom, replicas: &[&str], now: Instant) -> ReplicaChoice {
        let mut choice = ReplicaChoice::new(read_from, 0);
        assert!(choice.handle_found(&found(replicas), now));
        choice
    }

    /// The servers of six calls, one after the other.
    fn calls(choice: &ReplicaChoice, now: Instant) -> String {
        (0..6).filter_map(|turn| choice.choose(turn, now)).map(|server| server.host.as_str()).collect()
    }

    /// The servers of six connections, in any order and each once.
    fn connections(choice: &mut ReplicaChoice, now: Instant) -> String {
        let mut chosen: Vec<_> = (0..6).filter_map(|_| choice.choose_next(now)).map(|s| s.host).collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen.concat()
    }

    #[test]
    fn calls_and_connections_are_spread_over_what_is_fit() {
        let (now, replica, preferred) = (Instant::now(), ReadFrom::Replica, ReadFrom::ReplicaPreferred);
        for (read_from, replicas, unfit, expected, one_each) in [
            (replica, &["a", "b", "c"] as &[_], &[] as &[_], "abcabc", "abc"),
            (preferred, &["a", "b", "c"], &[], "abcabc", "abc"),
            (preferred, &["a", "b", "c"], &["b"], "acacac", "ac"),
            (replica, &["a", "b"], &["a"], "bbbbbb", "b"),
            // None is fit: connections lead to the master, or else to any of them.
            (preferred, &["a", "b"], &["b", "a"], "", "m"),
            (replica, &["a", "b"], &["b", "a"], "", "ab"),
            (preferred, &[], &[], "", "m"),
            (replica, &[], &[], "", ""),
            (ReadFrom::Master, &["a"], &[], "aaaaaa", "m"),
            // One that the sentinels do not tell is nothing to pass over.
            (preferred, &["a"], &["m", "x"], "aaaaaa", "a"),
        ] {
            let mut choice = choice(read_from, replicas, now);
            unfit.iter().for_each(|name| choice.handle_unfit(&at(name), now));
            assert_eq!(calls(&choice, now), expected, "{read_from:?} {replicas:?} {unfit:?}");
            assert_eq!(connections(&mut choice, now), one_each, "{read_from:?} {replicas:?} {unfit:?}");
        }
        assert_eq!(calls(&ReplicaChoice::new(preferred, 0), now), "", "nothing is known yet");
    }

    #[test]
    fn one_call_tries_a_replica_that_was_passed_over() {
        let now = Instant::now();
        let (soon, later) = (now + ReplicaChoice::PASSED_OVER / 2, now + ReplicaChoice::PASSED_OVER);
        let mut choice = choice(ReadFrom::Replica, &["a", "b"], now);
        choice.handle_unfit(&at("a"), now);
        assert!(!choice.is_doubtful(&at("b"), soon) && !choice.is_doubtful(&at("a"), soon));
        assert_eq!(calls(&choice, soon), "bbbbbb");
        assert_eq!(calls(&choice, later), "ababab");
        assert!(choice.is_doubtful(&at("a"), later));
        assert!(choice.poll_trial(&at("a"), later), "the first");
        assert!(!choice.poll_trial(&at("a"), later), "no other call does");
        assert_eq!(calls(&choice, later), "bbbbbb");
        // That one was given up, and nothing is known of its answer: another tries in its time.
        let later = later + ReplicaChoice::PASSED_OVER;
        assert!(choice.poll_trial(&at("a"), later) && !choice.poll_trial(&at("a"), later));
        assert!(choice.handle_fit(&at("a")));
        assert!(!choice.handle_fit(&at("a")), "no news");
        assert_eq!(calls(&choice, later), "ababab");
        assert!(!choice.poll_trial(&at("a"), later), "it is fit");
    }

    #[test]
    fn what_the_sentinels_tell_counts_from_then_on() {
        let now = Instant::now();
        let mut choice = choice(ReadFrom::Replica, &["a", "b"], now);
        choice.handle_unfit(&at("b"), now);
        assert!(!choice.handle_found(&found(&["a", "b"]), now), "no news");
        assert_eq!(calls(&choice, now), "aaaaaa", "and it is passed over as before");
        assert!(choice.handle_found(&found(&["a", "c"]), now));
        assert_eq!(calls(&choice, now), "acacac");
        assert!(choice.handle_found(&found(&["a", "b"]), now));
        assert_eq!(calls(&choice, now), "ababab", "one that was away begins anew");
        assert!(choice.handle_switched(&at("b")), "it is the master now");
        assert!(!choice.handle_switched(&at("b")));
        assert_eq!(calls(&choice, now), "aaaaaa");
    }

    /// So sentinels tell them after a failover, until they hear of them again.
    #[test]
    fn replicas_out_of_touch_count_where_nothing_else_will_do() {
        let now = Instant::now();
        let unlinked = |linked| FoundServers { unlinked: vec![at("b")], ..found(linked) };
        for (read_from, linked, expected) in [
            (ReadFrom::Replica, &[] as &[_], "bbbbbb"),
            (ReadFrom::Replica, &["a"], "aaaaaa"),
            (ReadFrom::ReplicaPreferred, &[], ""),
        ] {
            let mut choice = choice(read_from, &["a", "b"], now);
            assert!(choice.handle_found(&unlinked(linked), now));
            assert_eq!(calls(&choice, now), expected, "{read_from:?} {linked:?}");
        }
    }

    #[test]
    fn the_sentinels_are_asked_again_by_one_caller() {
        let now = Instant::now();
        let mut choice = choice(ReadFrom::Replica, &["a"], now);
        let due = now + ReplicaChoice::LOOK;
        assert_eq!((choice.poll_timeout(), choice.poll_look(now)), (Some(due), false));
        assert!(choice.poll_look(due));
        assert_eq!((choice.poll_timeout(), choice.poll_look(due)), (Some(due + ReplicaChoice::LOOK), false));
        let mut of_master = self::choice(ReadFrom::Master, &["a"], now);
        assert_eq!((of_master.poll_timeout(), of_master.poll_look(due)), (None, false));
    }

    #[test]
    fn a_refusal_is_taken_for_that_of_the_replica_chosen_last() {
        let now = Instant::now();
        let mut choice = choice(ReadFrom::Replica, &["a", "b"], now);
        choice.handle_refusal(now);
        assert_eq!(calls(&choice, now), "ababab", "none was chosen yet");
        let last = choice.choose_next(now).unwrap();
        choice.handle_refusal(now);
        assert!(!connections(&mut choice, now).contains(&last.host));
    }
}
