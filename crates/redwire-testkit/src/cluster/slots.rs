//! Which slot a key is in, and how slots move from node to node with their keys, all at once or one by one.
//!
//! By the same commands as the servers' own tools. Which node is to have what is the caller's affair.

use std::time::Duration;

use super::{ClusterSet, Member, SLOTS};
use crate::resp::Value;
use crate::set::wait_every;

/// How many keys go at once when a whole slot does.
const KEYS: &str = "100";

/// How long the servers may take for them, in milliseconds.
const TIMEOUT: &str = "10000";

/// The slot of a key: of what is between its first `{` and the next `}`, if that is anything, else of all of
/// it.
///
/// ```
/// assert_eq!(redwire_testkit::slot("123456789"), 12739);
/// assert_eq!(redwire_testkit::slot("a{123456789}b"), 12739);
/// ```
pub fn slot(key: impl AsRef<[u8]>) -> u16 {
    let key = key.as_ref();
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|&byte| byte == b'}').filter(|&len| len > 0).map(|len| &rest[..len])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, bit by bit.
fn crc16(bytes: &[u8]) -> u16 {
    let shift = |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
    bytes.iter().fold(0, |crc, &byte| (0..8).fold(crc ^ (u16::from(byte) << 8), shift))
}

/// A slot on its way from one primary to another, made by [`ClusterSet::begin_move`]: its owner redirects
/// clients that asks for a key that has gone (`-ASK`). Dropped before [`end_move`](Self::end_move), it stays
/// on its way.
#[derive(Debug)]
#[must_use]
pub struct SlotMove<'a> {
    set: &'a ClusterSet,
    slot: u16,
    from: Member,
    to: Member,
}

impl ClusterSet {
    /// Moves a slot with all its keys to another primary, and returns when all primaries have been told.
    ///
    /// # Panics
    ///
    /// If a node refuses.
    #[track_caller]
    pub fn move_slot(&self, slot: u16, to: usize) {
        let from = self.owner(slot);
        if from != to {
            self.begin(slot, from, to).end_move();
        }
    }

    /// Begins to move a slot to another primary; no key goes yet.
    ///
    /// # Panics
    ///
    /// If a node refuses, as the owner itself does.
    #[track_caller]
    pub fn begin_move(&self, slot: u16, to: usize) -> SlotMove<'_> {
        self.begin(slot, self.owner(slot), to)
    }

    #[track_caller]
    fn begin(&self, slot: u16, from: usize, to: usize) -> SlotMove<'_> {
        let (from, to) = (self.member(from), self.member(to));
        to.demand(&["CLUSTER", "SETSLOT", &slot.to_string(), "IMPORTING", &from.id]);
        from.demand(&["CLUSTER", "SETSLOT", &slot.to_string(), "MIGRATING", &to.id]);
        SlotMove { set: self, slot, from, to }
    }
}

impl ClusterSet {
    /// Waits until all have heard of the newest epoch. A node that is given a slot takes the next epoch by
    /// itself: two that take the same contradict each other, and over that a slot may be lost.
    fn wait_for_epoch(&self) {
        // It is told at once.
        wait_every(Duration::from_millis(1), || {
            let epoch = |member: &Member| {
                let info = member.node.command(&["CLUSTER", "INFO"])?;
                let line = info.lines().find(|line| line.starts_with("cluster_current_epoch:"));
                Ok(line.unwrap_or_default().trim().to_owned())
            };
            let epochs = self.up().iter().map(epoch).collect::<Result<Vec<_>, String>>()?;
            if epochs.iter().all(|epoch| *epoch == epochs[0]) { Ok(()) } else { Err(format!("{epochs:?}")) }
        });
    }
}

impl SlotMove<'_> {
    /// The slot.
    pub fn slot(&self) -> u16 {
        self.slot
    }

    /// The node that owns it until the end.
    pub fn from(&self) -> usize {
        self.from.index
    }

    /// The node that will own it.
    pub fn to(&self) -> usize {
        self.to.index
    }

    /// Moves one more key; false if there is none left.
    ///
    /// # Panics
    ///
    /// If a node refuses. So do the next two.
    #[track_caller]
    pub fn move_one_key(&self) -> bool {
        (0..self.databases()).any(|db| {
            let keys = self.keys(db, "1");
            self.migrate(db, &keys);
            !keys.is_empty()
        })
    }

    /// Moves this key, if it is there, in whichever database.
    #[track_caller]
    pub fn move_key(&self, key: impl AsRef<[u8]>) {
        for db in 0..self.databases() {
            self.migrate(db, &[key.as_ref().to_vec()]);
        }
    }

    /// Moves the keys that are left, and gives the slot to its new owner.
    #[track_caller]
    pub fn end_move(self) {
        for db in 0..self.databases() {
            loop {
                let keys = self.keys(db, KEYS);
                if keys.is_empty() {
                    break;
                }
                self.migrate(db, &keys);
            }
        }
        self.set.wait_for_epoch();
        // The new owner first: else the old one would redirect to a node that redirects back.
        let (slot, ids) = (self.slot.to_string(), [&self.to.id, &self.from.id]);
        let words = ["CLUSTER", "SETSLOT", &slot, "NODE", &self.to.id];
        self.to.demand(&words);
        // One that has heard already that its last slot is gone may have become a replica, which has nothing
        // to be told.
        let told = self.from.node.command(&words);
        let replica = |reason: &String| reason.contains("only with masters");
        assert!(
            told.is_ok() || told.as_ref().is_err_and(replica),
            "{words:?} to node {}: {told:?}",
            self.from.index
        );
        for index in self.set.primaries() {
            let member = self.set.member(index);
            if !ids.contains(&&member.id) {
                member.demand(&words);
            }
        }
    }

    #[track_caller]
    fn keys(&self, db: u32, count: &str) -> Vec<Vec<u8>> {
        let words = ["CLUSTER", "GETKEYSINSLOT", &self.slot.to_string(), count];
        let reply = self.from.node.ask(db, &words);
        match reply.map(Value::into_words) {
            Ok(keys) => keys.unwrap_or_default(),
            Err(reason) => panic!("{words:?} to node {}: {reason}", self.from.index),
        }
    }

    #[track_caller]
    fn migrate(&self, db: u32, keys: &[Vec<u8>]) {
        if keys.is_empty() {
            return;
        }
        let (port, db_word) = (self.to.node.port().to_string(), db.to_string());
        let mut words: Vec<&[u8]> = vec![b"MIGRATE", b"127.0.0.1", port.as_bytes(), b"", db_word.as_bytes()];
        words.push(TIMEOUT.as_bytes());
        if let Some(password) = self.to.node.password() {
            words.extend([&b"AUTH"[..], password.as_bytes()]);
        }
        words.push(b"KEYS");
        words.extend(keys.iter().map(Vec::as_slice));
        // NOKEY is no error: keys may go by themselves in the meantime.
        if let Err(reason) = self.from.node.ask(db, &words) {
            panic!("MIGRATE of slot {} to node {}: {reason}", self.slot, self.to.index);
        }
    }

    fn databases(&self) -> u32 {
        self.set.builder.databases
    }
}

#[cfg(test)]
mod tests {
    use super::slot;

    #[test]
    fn slots_are_those_of_the_servers() {
        // As CLUSTER KEYSLOT has them.
        let known =
            [("", 0), ("foo", 12182), ("foo{}{bar}", 8363), ("{foo}", 12182), ("foo{{bar}}zap", 4015)];
        for (key, number) in known {
            assert_eq!(slot(key), number, "{key}");
        }
        assert_eq!(slot("foo{bar}{zap}"), slot("bar"));
        assert_eq!(slot("foo{bar"), slot(b"foo{bar"));
    }
}
