//! From a name to its place in the table: a hash index, made at compile time.
//!
//! Promises: letter case doesn't matter to the hash; what isn't in the table ends at an empty slot. Must not
//! know: containers and subcommands.

use super::ALL;

/// How many slots there are: a power of two, more than twice the commands, so that most names are alone in
/// theirs.
const SLOTS: usize = 2048;

/// In each slot the place of a command in the table, plus one; 0 is empty. A search that finds a slot taken
/// goes to the next.
static INDEX: [u16; SLOTS] = build();

/// The hash of no bytes.
pub(super) const START: u32 = 0x811c_9dc5;

/// The hash of what was hashed before and these bytes (FNV-1a with the case bit left out).
pub(super) const fn hash(mut hash: u32, bytes: &[u8]) -> u32 {
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ (bytes[at] & !0x20) as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash
}

/// The place of the name with this hash that is the one wanted.
pub(super) fn find(hash: u32, is_it: impl Fn(&[u8]) -> bool) -> Option<usize> {
    let mut slot = slot(hash);
    loop {
        let place = usize::from(INDEX[slot]).checked_sub(1)?;
        if is_it(ALL[place].name.as_bytes()) {
            return Some(place);
        }
        slot = (slot + 1) % SLOTS;
    }
}

const fn slot(hash: u32) -> usize {
    (hash ^ (hash >> 15)) as usize % SLOTS
}

const fn build() -> [u16; SLOTS] {
    assert!(ALL.len() * 2 < SLOTS, "the index needs more slots");
    let mut index = [0; SLOTS];
    let mut place = 0;
    while place < ALL.len() {
        let mut slot = slot(hash(START, ALL[place].name.as_bytes()));
        while index[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        index[slot] = place as u16 + 1;
        place += 1;
    }
    index
}
