//! A map from bytes to values whose order is by a fixed hash: the keys of a database, the fields of a hash,
//! the members of a set.
//!
//! The order looks as random as a server's, so that no test comes to rely on a sorted one; yet it is always
//! the same, and a cursor of `SCAN` is a place in it which stays valid whatever is added and taken away. This
//! file must not know what the values are.

use std::collections::BTreeMap;

/// See the file's own words.
#[derive(Clone, Debug)]
pub(crate) struct Table<V> {
    buckets: BTreeMap<u32, Vec<(Vec<u8>, V)>>,
    len: usize,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { buckets: BTreeMap::new(), len: 0 }
    }
}

impl<V> Table<V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        let bucket = self.buckets.get(&hash(key))?;
        bucket.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        let bucket = self.buckets.get_mut(&hash(key))?;
        bucket.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Puts a value, and returns the one that was there.
    pub(crate) fn insert(&mut self, key: &[u8], value: V) -> Option<V> {
        let bucket = self.buckets.entry(hash(key)).or_default();
        if let Some((_, there)) = bucket.iter_mut().find(|(known, _)| known == key) {
            return Some(std::mem::replace(there, value));
        }
        bucket.push((key.to_vec(), value));
        self.len += 1;
        None
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<V> {
        let place = hash(key);
        let bucket = self.buckets.get_mut(&place)?;
        let at = bucket.iter().position(|(known, _)| known == key)?;
        let (_, value) = bucket.remove(at);
        if bucket.is_empty() {
            self.buckets.remove(&place);
        }
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Vec<u8>, &V)> {
        self.buckets.values().flatten().map(|(key, value)| (key, value))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.iter().map(|(key, _)| key)
    }

    /// One of them, as `random` says.
    pub(crate) fn random(&self, random: &mut fastrand::Rng) -> Option<(&Vec<u8>, &V)> {
        (self.len > 0).then(|| self.iter().nth(random.usize(..self.len))).flatten()
    }

    /// The entries from a cursor on, `count` of them or a few more, and the next cursor: 0 when there are no
    /// more. What is there all the time is returned once, whatever comes and goes between two calls.
    pub(crate) fn scan(&self, cursor: u64, count: usize) -> (u64, Vec<(&Vec<u8>, &V)>) {
        let mut found = Vec::new();
        let Ok(from) = u32::try_from(cursor) else { return (0, found) };
        let mut last = 0;
        for (place, bucket) in self.buckets.range(from..) {
            if found.len() >= count.max(1) {
                return (u64::from(last) + 1, found);
            }
            found.extend(bucket.iter().map(|(key, value)| (key, value)));
            last = *place;
        }
        (0, found)
    }
}

/// FNV-1a, mixed.
fn hash(key: &[u8]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    u32::try_from(hash >> 33).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn a_scan_finds_all_that_stays_while_others_come_and_go() {
        let mut table = Table::default();
        for n in 0..500 {
            table.insert(format!("stays {n}").as_bytes(), ());
        }
        let (mut cursor, mut found, mut turn) = (0, Vec::new(), 0);
        loop {
            let (next, page) = table.scan(cursor, 7);
            found.extend(
                page.into_iter().map(|(key, ())| key.clone()).filter(|key| key.starts_with(b"stays")),
            );
            table.insert(format!("comes {turn}").as_bytes(), ());
            table.remove(format!("comes {}", turn - 3).as_bytes());
            (cursor, turn) = (next, turn + 1);
            if cursor == 0 {
                break;
            }
        }
        let count = found.len();
        found.sort();
        found.dedup();
        assert_eq!((count, found.len()), (500, 500));
    }
}
