//! Which server of a service answers a client that reads from its replicas.
//!
//! Promises a replica that is not known to be unfit, or the master where the client allows that. This file
//! must not know connections; time is an argument.

use std::time::{Duration, Instant};

use super::FoundServers;
use crate::config::{HostPort, ReadFrom};

/// The replicas of a service, in turn. One that could not be connected to, or had no data to answer from, is
/// passed over for [`PASSED_OVER`](Self::PASSED_OVER).
#[derive(Debug, Default)]
pub struct ReplicaChoice {
    turn: usize,
    /// The server that was chosen last.
    chosen: Option<HostPort>,
    /// Those that are passed over, and until when; the one that failed first comes first.
    passed_over: Vec<(HostPort, Instant)>,
}

impl ReplicaChoice {
    /// Begins with any replica: `random` is uniform over all of `usize`, so that the clients of many
    /// processes do not all begin with the same one.
    #[must_use]
    pub fn beginning_at(random: usize) -> Self {
        Self { turn: random, ..Self::default() }
    }

    /// How long a replica is passed over that was of no use.
    pub const PASSED_OVER: Duration = Duration::from_secs(1);

    /// The server to connect to. `None`: there is no replica, and the master is not wanted.
    pub fn choose(&mut self, found: &FoundServers, read_from: ReadFrom, now: Instant) -> Option<HostPort> {
        self.passed_over.retain(|(_, until)| now < *until);
        let is_passed_over =
            |replica: &&HostPort| self.passed_over.iter().any(|(other, _)| other == *replica);
        let fit: Vec<&HostPort> = found.replicas.iter().filter(|replica| !is_passed_over(replica)).collect();
        self.turn = self.turn.wrapping_add(1);
        let chosen = match read_from {
            ReadFrom::Master => Some(found.master.clone()),
            _ if !fit.is_empty() => Some(fit[self.turn % fit.len()].clone()),
            ReadFrom::ReplicaPreferred => Some(found.master.clone()),
            // Nothing else will do than one of those that were of no use.
            ReadFrom::Replica if found.replicas.is_empty() => None,
            ReadFrom::Replica => Some(found.replicas[self.turn % found.replicas.len()].clone()),
        };
        self.chosen.clone_from(&chosen);
        chosen
    }

    /// Some replica that is in use has no data to answer from. Which of several it was is not told; the one
    /// that was chosen last is passed over first, and the next if that was another.
    pub fn handle_refusal(&mut self, now: Instant) {
        if let Some(replica) = self.chosen.clone() {
            self.handle_unfit(&replica, now);
        }
    }

    /// This replica could not be connected to, or said that it has no data to answer from (it loads, or has
    /// lost its master).
    pub fn handle_unfit(&mut self, replica: &HostPort, now: Instant) {
        self.passed_over.retain(|(other, _)| other != replica);
        self.passed_over.push((replica.clone(), now + Self::PASSED_OVER));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(replicas: &[&str]) -> FoundServers {
        let at = |name: &&str| HostPort::new(*name, 1);
        FoundServers {
            master: at(&"m"),
            replicas: replicas.iter().map(at).collect(),
            witness: at(&"s"),
            sentinels: Vec::new(),
            epoch: 1,
        }
    }

    fn chosen(
        readers: &mut ReplicaChoice,
        found: &FoundServers,
        read_from: ReadFrom,
        now: Instant,
    ) -> Vec<String> {
        let next = |_| readers.choose(found, read_from, now).map(|server| server.host);
        let mut chosen: Vec<String> = (0..8).map_while(next).collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    #[test]
    fn an_unfit_replica_is_passed_over_for_a_while() {
        let (mut readers, now) = (ReplicaChoice::default(), Instant::now());
        let two = found(&["a", "b"]);
        let preferred = ReadFrom::ReplicaPreferred;
        assert_eq!(chosen(&mut readers, &two, preferred, now), ["a", "b"]);
        readers.handle_unfit(&two.replicas[0], now);
        assert_eq!(chosen(&mut readers, &two, preferred, now), ["b"]);
        readers.handle_unfit(&two.replicas[1], now);
        assert_eq!(chosen(&mut readers, &two, preferred, now), ["m"]);
        assert_eq!(chosen(&mut readers, &two, ReadFrom::Replica, now), ["a", "b"]);
        assert_eq!(chosen(&mut readers, &two, preferred, now + ReplicaChoice::PASSED_OVER), ["a", "b"]);
    }

    #[test]
    fn a_refusal_is_taken_for_that_of_the_replica_chosen_last() {
        let (mut readers, now) = (ReplicaChoice::default(), Instant::now());
        let two = found(&["a", "b"]);
        readers.handle_refusal(now);
        let last = readers.choose(&two, ReadFrom::Replica, now).unwrap();
        readers.handle_refusal(now);
        assert!(!chosen(&mut readers, &two, ReadFrom::Replica, now).contains(&last.host));
    }

    #[test]
    fn without_replicas_the_master_answers_where_it_may() {
        let (mut readers, now) = (ReplicaChoice::default(), Instant::now());
        let none = found(&[]);
        assert_eq!(chosen(&mut readers, &none, ReadFrom::ReplicaPreferred, now), ["m"]);
        assert_eq!(chosen(&mut readers, &none, ReadFrom::Replica, now), [""; 0]);
        assert_eq!(chosen(&mut readers, &found(&["a"]), ReadFrom::Master, now), ["m"]);
    }
}
