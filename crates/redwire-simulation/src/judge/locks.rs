//! Locks: one holder at a time, and fences that grow.
//!
//! This file must not know how a lock is had.

use super::Verdict;
use crate::history::{Held, History};

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    for (at, held) in history.locks.iter().enumerate() {
        for other in history.locks[at + 1..].iter().filter(|other| other.name == held.name) {
            // What the server has lost it gives away again.
            let is_lost = history.losses.iter().any(|loss| loss.at >= held.from && loss.at <= other.from)
                // The server that has taken over need not know of it.
                || !history.replaced.is_empty();
            if is_lost {
                continue;
            }
            verdict.check(!overlap(held, other), "lock", || {
                format!(
                    "{} was held by task {} and task {} at {:?}",
                    held.name, held.task, other.task, other.from
                )
            });
            verdict.check(held.fence < other.fence, "lock", || {
                format!("{} has fence {} after {}", held.name, other.fence, held.fence)
            });
        }
    }
}

fn overlap(one: &Held, other: &Held) -> bool {
    one.from < other.until && other.from < one.until
}
