//! Members with scores, in the order of both.
//!
//! This file must not know any command.

use std::collections::BTreeSet;

use crate::table::Table;

/// See the file's own words.
#[derive(Clone, Debug, Default)]
pub(crate) struct SortedSet {
    scores: Table<f64>,
    order: BTreeSet<(u64, Vec<u8>)>,
}

/// A number whose order is that of the score.
fn ordinal(score: f64) -> u64 {
    let bits = if score == 0.0 { 0 } else { score.to_bits() };
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn score(ordinal: u64) -> f64 {
    f64::from_bits(if ordinal >> 63 == 1 { ordinal & !(1 << 63) } else { !ordinal })
}

impl SortedSet {
    pub(crate) fn len(&self) -> usize {
        self.scores.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    pub(crate) fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    pub(crate) fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let before = self.remove(member);
        self.scores.insert(member, score);
        self.order.insert((ordinal(score), member.to_vec()));
        before
    }

    pub(crate) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let score = self.scores.remove(member)?;
        self.order.remove(&(ordinal(score), member.to_vec()));
        Some(score)
    }

    /// Lowest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&Vec<u8>, f64)> {
        // Zero stands in one place of the order, whatever its sign.
        let exact = |score: f64, member: &[u8]| {
            if score == 0.0 { self.score(member).unwrap_or(score) } else { score }
        };
        self.order.iter().map(move |(ordinal, member)| (member, exact(score(*ordinal), member)))
    }

    pub(crate) fn table(&self) -> &Table<f64> {
        &self.scores
    }

    pub(crate) fn rank(&self, member: &[u8]) -> Option<usize> {
        let place = (ordinal(self.score(member)?), member.to_vec());
        Some(self.order.range(..place).count())
    }

    /// Takes the lowest or the highest away.
    pub(crate) fn pop(&mut self, highest: bool) -> Option<(Vec<u8>, f64)> {
        let (ordinal, member) = if highest { self.order.pop_last() } else { self.order.pop_first() }?;
        self.scores.remove(&member);
        Some((member, score(ordinal)))
    }
}

#[cfg(test)]
mod tests {
    use super::SortedSet;

    #[test]
    fn members_stand_by_score_and_then_by_their_bytes() {
        let mut set = SortedSet::default();
        for (member, score) in [
            ("b", 1.0),
            ("a", 1.0),
            ("low", f64::NEG_INFINITY),
            ("minus", -2.5),
            ("zero", -0.0),
            ("high", 1e300),
        ] {
            set.insert(member.as_bytes(), score);
        }
        let order: Vec<_> = set.iter().map(|(member, _)| String::from_utf8_lossy(member)).collect();
        assert_eq!(order, ["low", "minus", "zero", "a", "b", "high"]);
        assert_eq!(set.rank(b"a"), Some(3));
        assert_eq!(set.pop(true), Some((b"high".to_vec(), 1e300)));
    }
}
