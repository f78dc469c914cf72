//! What a key must hold, by what its writer was told: the books that the server is compared with.
//!
//! A write whose reply was lost may have been executed, or be executed yet: a server that was frozen still
//! reads what lies in its sockets, even after newer writes. So what is unknown once stays possible for good.
//! Each book has one writer. This file must not know clients.

use std::collections::BTreeSet;

use redwire::{Outcome, Result};

/// Whether a write took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Execution {
    Executed,
    NotExecuted,
    Unknown,
}

impl Execution {
    pub(super) fn of<T>(result: &Result<T>) -> Self {
        match result.as_ref().map_err(|error| error.outcome()) {
            Ok(_) | Err(Outcome::Unreadable) => Self::Executed,
            Err(Outcome::NotSent | Outcome::Rejected) => Self::NotExecuted,
            Err(Outcome::MaybeExecuted) => Self::Unknown,
        }
    }
}

/// What was found to be wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Replies that belong to another request.
    pub(super) mismatched: u64,
    /// Writes that were executed more often than they were made.
    pub(super) duplicated: u64,
    /// Acknowledged writes that are gone.
    pub(super) lost: u64,
    /// Messages that were published, not heard, and not announced as missing.
    pub(super) unannounced: u64,
}

impl Findings {
    pub(super) fn add(&mut self, other: Self) {
        self.mismatched += other.mismatched;
        self.duplicated += other.duplicated;
        self.lost += other.lost;
        self.unannounced += other.unannounced;
    }
}

/// A key with a value that says which write it comes from.
#[derive(Debug, Default)]
pub(super) struct Register {
    next: u64,
    acknowledged: Option<u64>,
    possible: BTreeSet<u64>,
}

impl Register {
    /// The number of the next write.
    pub(super) fn issue(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn handle_outcome(&mut self, write: u64, execution: Execution) {
        match execution {
            Execution::Executed => self.acknowledged = Some(write),
            Execution::Unknown => {
                self.possible.insert(write);
            }
            Execution::NotExecuted => {}
        }
    }

    /// The key holds what `write` wrote, or nothing.
    pub(super) fn check(&mut self, write: Option<u64>, findings: &mut Findings) {
        match write {
            Some(write) if write > self.next => findings.mismatched += 1,
            Some(write) if Some(write) == self.acknowledged || self.possible.contains(&write) => {}
            earlier => {
                findings.lost += u64::from(self.acknowledged.is_some());
                self.acknowledged = earlier;
            }
        }
    }
}

/// Counters begin at multiples of this, so that it shows whose they are.
const STRIDE: i64 = 1_000_000_000_000;

/// A key that counts.
#[derive(Debug)]
pub(super) struct Counter {
    base: i64,
    acknowledged: i64,
    unknown: i64,
}

impl Counter {
    /// The counter number `id` of all counters, from 0.
    pub(super) fn new(id: usize) -> Self {
        Self { base: (id as i64 + 1).saturating_mul(STRIDE), acknowledged: 0, unknown: 0 }
    }

    /// Where it begins to count.
    pub(super) fn base(&self) -> i64 {
        self.base
    }

    pub(super) fn handle_outcome(&mut self, execution: Execution) {
        match execution {
            Execution::Executed => self.acknowledged += 1,
            Execution::Unknown => self.unknown += 1,
            Execution::NotExecuted => {}
        }
    }

    /// The key counts `value`, after all that was settled. One that the server lost begins at 0 again.
    pub(super) fn check(&mut self, value: Option<i64>, findings: &mut Findings) {
        let value = value.unwrap_or(0);
        let whose = value - value.rem_euclid(STRIDE);
        if whose != self.base && whose != 0 {
            findings.mismatched += 1;
            return;
        }
        let count = value.rem_euclid(STRIDE);
        let most = self.acknowledged + self.unknown;
        findings.duplicated += (count - most).max(0).unsigned_abs();
        findings.lost += (self.acknowledged - count).max(0).unsigned_abs();
        // What was found is told once.
        self.acknowledged = self.acknowledged.clamp(count - self.unknown.min(count), count);
    }
}

/// A list with elements that say which push they come from. One pushes, and one takes.
#[derive(Debug, Default)]
pub(super) struct Pile {
    next: u64,
    /// Pushed without an answer so far, or for good.
    possible: BTreeSet<u64>,
    /// Pushed for certain, and not taken.
    there: BTreeSet<u64>,
    /// Elements taken that no call got.
    taken: u64,
}

impl Pile {
    /// The number of the next push.
    pub(super) fn issue(&mut self) -> u64 {
        self.next += 1;
        self.possible.insert(self.next);
        self.next
    }

    pub(super) fn handle_outcome(&mut self, push: u64, execution: Execution) {
        match execution {
            // It may have been taken before its pusher heard of it.
            Execution::Executed => {
                if self.possible.remove(&push) {
                    self.there.insert(push);
                }
            }
            Execution::NotExecuted => {
                self.possible.remove(&push);
            }
            Execution::Unknown => {}
        }
    }

    /// How many elements there are for certain.
    pub(super) fn len(&self) -> usize {
        self.there.len()
    }

    /// The newest push that was acknowledged: for [`taken_none`](Self::taken_none), before the server is
    /// asked.
    pub(super) fn newest(&self) -> Option<u64> {
        self.there.last().copied()
    }

    /// What `push` pushed was taken.
    pub(super) fn taken(&mut self, push: u64, findings: &mut Findings) {
        if push > self.next {
            findings.mismatched += 1;
        } else if !self.there.remove(&push) && !self.possible.remove(&push) {
            // It was taken before: the server lost that, not this.
            findings.lost += 1;
        }
    }

    /// The list was empty, though all up to `newest` had been acknowledged.
    pub(super) fn taken_none(&mut self, newest: Option<u64>, findings: &mut Findings) {
        let Some(newest) = newest else { return };
        let later = self.there.split_off(&(newest + 1));
        let missing = std::mem::replace(&mut self.there, later).len() as u64;
        findings.lost += missing.saturating_sub(self.taken);
        self.taken = self.taken.saturating_sub(missing);
    }

    /// An element may have been taken, and its reply was lost.
    pub(super) fn taken_perhaps(&mut self) {
        self.taken += 1;
    }

    /// These elements are all there is, in the end.
    pub(super) fn check(&mut self, present: &[u64], findings: &mut Findings) {
        let mut seen = BTreeSet::new();
        for push in present {
            if seen.insert(*push) {
                self.taken(*push, findings);
            } else {
                findings.duplicated += 1;
            }
        }
        self.taken_none(self.newest(), findings);
    }
}

/// The value of write number `write` to `key`: it tells both, and has a length of its own.
pub(super) fn value(key: &str, write: u64) -> String {
    format!("{key}#{write}#{}", "x".repeat(filling(write)))
}

/// Which write to `key` a value comes from; `None` where it comes from none.
pub(super) fn written(key: &str, value: &[u8]) -> Option<u64> {
    let rest = std::str::from_utf8(value).ok()?.strip_prefix(key)?.strip_prefix('#')?;
    let (write, filled) = rest.split_once('#')?;
    let write = write.parse().ok()?;
    (filled.len() == filling(write) && filled.bytes().all(|byte| byte == b'x')).then_some(write)
}

/// Mostly small; now and then more than a socket takes at once.
fn filling(write: u64) -> usize {
    if write % 64 == 63 { 100_000 } else { (write * 37 % 200) as usize }
}

#[cfg(test)]
mod tests;
