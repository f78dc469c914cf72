//! The slot of a key, and of a command.
//!
//! Promises the servers' own answer for any bytes. This file must not know nodes.

use std::fmt::Write;

use crate::error::{ClusterFault, Error, ErrorKind, Outcome, Result};
use crate::facts::Facts;

/// How many slots a cluster has.
pub const SLOTS: u16 = 16_384;

/// CRC16 of every byte, for the polynomial 0x1021: XMODEM's.
const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// Error messages name this many keys at most.
const MOST_NAMED: usize = 8;

/// The slot of a key. Of a key with a hash tag, only what is between the first `{` and the next `}` counts,
/// unless that is nothing.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::cluster::slot;
/// assert_eq!(slot(b"123456789"), 12739);
/// assert_eq!(slot(b"user:{42}:name"), slot(b"{42}"));
/// ```
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    let step = |crc: u16, byte: &u8| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)];
    hash_tag(key).iter().fold(0, step) % SLOTS
}

/// The part of a key that counts.
fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&byte| byte == b'{') else { return key };
    let rest = &key[open + 1..];
    match rest.iter().position(|&byte| byte == b'}') {
        Some(len) if len > 0 => &rest[..len],
        _ => key,
    }
}

/// The slot of a command of these words, name included; `None` if it has no key that is known.
///
/// # Errors
/// [`ClusterFault::CrossSlot`]: its keys have several; the message names keys and slots.
pub fn slot_of<'a, I>(facts: &Facts, words: I) -> Result<Option<u16>>
where
    I: Iterator<Item = &'a [u8]> + Clone,
{
    let mut slots = facts.keys(words.clone()).map(|(_, key)| slot(key));
    let Some(first) = slots.next() else { return Ok(None) };
    if slots.all(|slot| slot == first) {
        return Ok(Some(first));
    }
    Err(cross_slot(facts.keys(words).map(|(_, key)| key)).with_command(facts.name))
}

/// Says which of `keys` has which slot.
#[cold]
pub(super) fn cross_slot<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Error {
    let mut message = "the keys are in several slots, and it can only be run within one".to_owned();
    let keys: Vec<_> = keys.collect();
    for (n, key) in keys.iter().take(MOST_NAMED).enumerate() {
        let between = if n == 0 { ": " } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(message, "{between}{:?} in {}", String::from_utf8_lossy(key), slot(key));
    }
    if keys.len() > MOST_NAMED {
        let _ = write!(message, " and {} more", keys.len() - MOST_NAMED);
    }
    message.push_str("; keys with the same {hash tag} are in one slot");
    Error::new(ErrorKind::Cluster(ClusterFault::CrossSlot), Outcome::NotSent, message)
}
