//! Whether a history keeps the promises I1 to I7.
//!
//! What a server executed stands in its log in the order in which it did, so no order has to be searched for:
//! a reply is right if it is what the log makes of it. This file must not know how a history came to be.

mod calls;
mod locks;
mod pubsub;
mod reads;
mod replay;
mod service;

use std::fmt;

use crate::history::History;
use crate::scenario::Scenario;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Which one.
    pub(crate) promise: &'static str,
    /// How.
    pub(crate) what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// The promises that were broken.
#[derive(Debug, Default)]
pub(crate) struct Verdict(Vec<Wrong>);

impl Verdict {
    fn wrong(&mut self, promise: &'static str, what: String) {
        self.0.push(Wrong { promise, what });
    }

    /// Notes that a promise was broken, unless it was kept.
    fn check(&mut self, kept: bool, promise: &'static str, what: impl FnOnce() -> String) {
        if !kept {
            self.wrong(promise, what());
        }
    }
}

/// What is wrong with a history of `scenario`.
pub(crate) fn judge(scenario: &Scenario, history: &History) -> Vec<Wrong> {
    let mut verdict = Verdict::default();
    for (promise, what) in &history.wrongs {
        verdict.wrong(promise, what.clone());
    }
    let replay = replay::replay(history);
    calls::judge(scenario, history, &replay, &mut verdict);
    pubsub::judge(scenario, history, &replay, &mut verdict);
    locks::judge(history, &mut verdict);
    reads::judge(scenario, history, &replay, &mut verdict);
    service::judge(scenario, history, &mut verdict);
    verdict.0
}
