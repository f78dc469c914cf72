//! Primaries that cannot be reached, and which of their replicas is asked when whether it has taken over.
//!
//! A refresh of the map tells that as well, but begins once a second at most, and calls that wait pause as long. Promises one small
//! question at a time for a whole client, however many calls wait, with a pause before the next. This file must not know sockets or
//! clocks.

use std::time::{Duration, Instant};

use super::Map;
use super::route::pick;
use super::topology::jittered;
use crate::config::HostPort;
use crate::reply::Value;

/// The primaries that calls could not reach of late.
#[derive(Debug, Default)]
pub(super) struct Lost {
    nodes: Vec<(HostPort, Instant)>,
    /// No question before.
    next: Option<Instant>,
}

impl Lost {
    /// The pause between two questions; up to a quarter of it more is added at random.
    const PAUSE: Duration = Duration::from_millis(50);

    /// A primary of which no call complains for so long is not asked for any more.
    const KEPT: Duration = Duration::from_secs(3);

    /// A call could not reach `node`.
    pub(super) fn handle_lost(&mut self, node: &HostPort, now: Instant) {
        self.nodes.retain(|(known, _)| known != node);
        self.nodes.push((node.clone(), now));
    }

    /// Whether anybody is to be asked about.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Who is to be asked for his role now; `random` is uniform over all of `u64`.
    pub(super) fn poll_question(&mut self, map: &Map, now: Instant, random: u64) -> Option<HostPort> {
        self.nodes.retain(|(node, since)| {
            map.is_primary(node) && now.saturating_duration_since(*since) < Self::KEPT
        });
        if self.nodes.is_empty() || self.next.is_some_and(|next| now < next) {
            return None;
        }
        // Also where there is nobody to ask: a new map may have somebody, and until then nobody looks again at once.
        self.next = Some(now + jittered(Self::PAUSE, random));
        let shards = map.shards().iter();
        let lost = shards.filter(|shard| self.nodes.iter().any(|(node, _)| *node == shard.primary.address));
        let replicas: Vec<_> = lost.flat_map(|shard| &shard.replicas).collect();
        Some(pick(replicas.into_iter(), random)?.address.clone())
    }

    /// When [`poll_question`](Self::poll_question) has one again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next.filter(|_| !self.nodes.is_empty())
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
    use crate::cluster::tests::{address, reply};
    use crate::cluster::told::Hearing;
    use crate::cluster::{Remap, Source};

    fn map() -> Map {
        let rows = serde_json::json!([
            [0, 99, ["a", 1, "ida"], ["b", 1, "idb"]],
            [100, 199, ["c", 1, "idc"], ["d", 1, "idd"]]
        ]);
        let (asked, remap) = (address("known:1"), Remap::default());
        Hearing { asked: &asked, tls: false, remap: &remap }.read(Source::Slots, &reply(&rows, true)).unwrap()
    }

    #[test]
    fn one_replica_of_a_lost_primary_is_asked_at_a_time_with_pauses_and_not_for_ever() {
        let (mut lost, map, start) = (Lost::default(), map(), Instant::now());
        assert_eq!(lost.poll_question(&map, start, 0), None);
        lost.handle_lost(&address("c:1"), start);
        assert_eq!(lost.poll_question(&map, start, 0), Some(address("d:1")));
        let asked = (0..2999).filter(|ms| {
            let now = start + Duration::from_millis(*ms);
            lost.poll_question(&map, now, ms << 40).is_some()
        });
        assert!((35..=60).contains(&asked.count()));
        assert_eq!(lost.poll_question(&map, start + Lost::KEPT, 0), None);
        assert!(lost.is_empty());
    }

    #[test]
    fn a_primary_without_a_replica_is_looked_at_with_the_same_pauses() {
        let (mut lost, start) = (Lost::default(), Instant::now());
        let map = Map::default().moved(7, &address("alone:1")).unwrap();
        lost.handle_lost(&address("alone:1"), start);
        let mut now = start;
        for _ in 0..20 {
            assert_eq!(lost.poll_question(&map, now, 0), None);
            let next = lost.poll_timeout().expect("it is lost still");
            assert!(next >= now + Lost::PAUSE, "{:?} after {:?}", next - start, now - start);
            now = next;
        }
        assert_eq!(lost.poll_question(&map, start + Lost::KEPT, 0), None);
        assert_eq!(lost.poll_timeout(), None);
    }

    #[test]
    fn who_is_no_primary_any_more_is_not_asked_about() {
        let (mut lost, now) = (Lost::default(), Instant::now());
        lost.handle_lost(&address("a:1"), now);
        let map = map().moved(0, &address("b:1")).unwrap();
        assert_eq!(lost.poll_question(&map, now, 0), None);
        assert!(lost.is_empty());
    }
}
