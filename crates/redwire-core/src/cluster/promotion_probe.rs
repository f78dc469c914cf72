//! Primaries in doubt, and which of their replicas is asked when whether it has taken over.
//!
//! A refresh of the map tells that as well, but begins once a second at most. A primary is in doubt when it
//! cannot be reached, lets a call or a question wait for [`SILENT`], or lets a deadline pass; until it
//! answers, or another has its slots. Promises one small question at a time for a whole client, however many
//! calls wait and however many nodes are in doubt, with a pause before the next: 20 a second at most. This
//! file must not know sockets or clocks.

use std::time::{Duration, Instant};

use super::Map;
use crate::backoff::jitter_above;
use crate::config::HostPort;
use crate::error::{ConnectionFault, Error, ErrorKind, Outcome};
use crate::reply::Value;

/// A node that leaves something unanswered for so long, and says nothing else meanwhile, is in doubt. Far
/// below the time after which clusters choose another primary (`cluster-node-timeout`, 15 s by default).
pub const SILENT: Duration = Duration::from_millis(200);

/// The primaries in doubt.
#[derive(Debug, Default)]
pub(super) struct PromotionProbe {
    nodes: Vec<(HostPort, Instant)>,
    /// No question before.
    next: Option<Instant>,
    /// How many were asked.
    turn: usize,
}

impl PromotionProbe {
    /// The pause between two questions; up to a quarter of it more is added at random.
    const PAUSE: Duration = Duration::from_millis(50);

    /// A primary of which nothing bad is heard for so long is in doubt no longer.
    const KEPT: Duration = Duration::from_secs(3);

    /// `node` was not heard. Whether that is news.
    pub(super) fn handle_lost(&mut self, node: &HostPort, now: Instant) -> bool {
        let known = self.nodes.len();
        self.nodes.retain(|(known, _)| known != node);
        self.nodes.push((node.clone(), now));
        self.nodes.len() > known
    }

    /// `node` has answered.
    pub(super) fn handle_heard(&mut self, node: &HostPort) {
        self.nodes.retain(|(known, _)| known != node);
    }

    /// Whether no primary is in doubt.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether `node` is in doubt.
    pub(super) fn contains(&self, node: &HostPort) -> bool {
        self.nodes.iter().any(|(known, _)| known == node)
    }

    /// The replica that is to be asked for its role now: all of them in turn. `random` is uniform over all of
    /// `u64`.
    pub(super) fn poll_question(&mut self, map: &Map, now: Instant, random: u64) -> Option<HostPort> {
        self.nodes.retain(|(node, since)| {
            map.is_primary(node) && now.saturating_duration_since(*since) < Self::KEPT
        });
        if self.nodes.is_empty() || self.next.is_some_and(|next| now < next) {
            return None;
        }
        // Also where there is no replica: a new map may have one, and until then none is looked for at once.
        self.next = Some(now + jitter_above(Self::PAUSE, random));
        let lost = map.shards().iter().filter(|shard| self.contains(&shard.primary.address));
        let replicas: Vec<_> = lost.flat_map(|shard| &shard.replicas).collect();
        self.turn = self.turn.wrapping_add(1);
        Some(replicas.get(self.turn.checked_rem(replicas.len())?)?.address.clone())
    }

    /// When [`poll_question`](Self::poll_question) has one again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next.filter(|_| !self.nodes.is_empty())
    }
}

/// Whether a call that ended in `error` at a node did not hear it: no connection, or none any more, or none
/// within its deadline; or a deadline that passed after it was sent. A deadline that passed in a queue says
/// nothing.
#[must_use]
pub fn is_unheard(error: &Error) -> bool {
    let cause = || std::error::Error::source(error)?.downcast_ref::<Error>();
    match error.kind() {
        // It was left by this client.
        ErrorKind::Connection(ConnectionFault::LeftMaster) => false,
        ErrorKind::Connection(_) => true,
        ErrorKind::Timeout => error.outcome() == Outcome::MaybeExecuted || cause().is_some_and(is_unheard),
        _ => false,
    }
}

/// Whether the answer to `ROLE` is that of a primary.
pub(super) fn is_primary(role: &Value) -> bool {
    let Value::Array(words) = role else { return false };
    words.first().and_then(Value::as_str) == Some("master")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::slots_reply::SlotsReply;
    use crate::cluster::tests::{address, reply};
    use crate::cluster::{Remap, Source};

    fn map() -> Map {
        let rows = serde_json::json!([
            [0, 99, ["a", 1, "ida"], ["b", 1, "idb"]],
            [100, 199, ["c", 1, "idc"], ["d", 1, "idd"]]
        ]);
        let (asked, remap) = (address("known:1"), Remap::default());
        SlotsReply { asked: &asked, tls: false, remap: &remap }
            .read(Source::Slots, &reply(&rows, true))
            .unwrap()
    }

    #[test]
    fn one_replica_of_a_lost_primary_is_asked_at_a_time_with_pauses_and_not_for_ever() {
        let (mut lost, map, start) = (PromotionProbe::default(), map(), Instant::now());
        assert_eq!(lost.poll_question(&map, start, 0), None);
        lost.handle_lost(&address("c:1"), start);
        assert_eq!(lost.poll_question(&map, start, 0), Some(address("d:1")));
        let asked = (0..2999).filter(|ms| {
            let now = start + Duration::from_millis(*ms);
            lost.poll_question(&map, now, ms << 40).is_some()
        });
        assert!((35..=60).contains(&asked.count()));
        assert_eq!(lost.poll_question(&map, start + PromotionProbe::KEPT, 0), None);
        assert!(lost.is_empty());
    }

    #[test]
    fn a_primary_without_a_replica_is_looked_at_with_the_same_pauses() {
        let (mut lost, start) = (PromotionProbe::default(), Instant::now());
        let map = Map::default().moved(7, &address("alone:1")).unwrap();
        lost.handle_lost(&address("alone:1"), start);
        let mut now = start;
        for _ in 0..20 {
            assert_eq!(lost.poll_question(&map, now, 0), None);
            let next = lost.poll_timeout().expect("it is lost still");
            assert!(next >= now + PromotionProbe::PAUSE, "{:?} after {:?}", next - start, now - start);
            now = next;
        }
        assert_eq!(lost.poll_question(&map, start + PromotionProbe::KEPT, 0), None);
        assert_eq!(lost.poll_timeout(), None);
    }

    #[test]
    fn a_node_that_is_no_primary_any_more_is_not_asked_about() {
        let (mut lost, now) = (PromotionProbe::default(), Instant::now());
        lost.handle_lost(&address("a:1"), now);
        let map = map().moved(0, &address("b:1")).unwrap();
        assert_eq!(lost.poll_question(&map, now, 0), None);
        assert!(lost.is_empty());
    }

    #[test]
    fn a_deadline_says_something_of_a_node_once_something_was_sent_or_connecting() {
        use crate::error::ConnectionFault::{LeftMaster, Refused, Timeout};
        let timeout = Error::timeout;
        let connection = |fault| Error::new(ErrorKind::Connection(fault), Outcome::NotSent, "");
        let table = [
            (connection(Refused), true),
            (connection(LeftMaster), false),
            (timeout(Outcome::MaybeExecuted), true),
            (timeout(Outcome::NotSent), false),
            (timeout(Outcome::NotSent).with_source(connection(Timeout)), true),
            (timeout(Outcome::NotSent).with_source(timeout(Outcome::MaybeExecuted)), true),
            (timeout(Outcome::NotSent).with_source(timeout(Outcome::NotSent)), false),
            (Error::from_server(b"LOADING"), false),
        ];
        for (error, expected) in table {
            assert_eq!(is_unheard(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn several_replicas_are_asked_in_turn_until_their_primary_answers() {
        let rows = serde_json::json!([[0, 99, ["a", 1, "ida"], ["b", 1, "idb"], ["c", 1, "idc"]]]);
        let (asked, remap) = (address("known:1"), Remap::default());
        let hearing = SlotsReply { asked: &asked, tls: false, remap: &remap };
        let map = hearing.read(Source::Slots, &reply(&rows, true)).unwrap();
        let (mut lost, mut now) = (PromotionProbe::default(), Instant::now());
        assert!(lost.handle_lost(&address("a:1"), now));
        assert!(!lost.handle_lost(&address("a:1"), now), "known already");
        let mut asked = Vec::new();
        for _ in 0..4 {
            asked.extend(lost.poll_question(&map, now, u64::MAX));
            now += PromotionProbe::PAUSE * 5 / 4;
        }
        asked.sort_by(|a, b| a.host.cmp(&b.host));
        assert_eq!(asked, ["b:1", "b:1", "c:1", "c:1"].map(address));
        lost.handle_heard(&address("a:1"));
        assert_eq!((lost.poll_question(&map, now, 0), lost.poll_timeout()), (None, None));
    }
}
