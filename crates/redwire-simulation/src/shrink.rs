//! Makes a scenario that fails smaller, as long as it fails in the same way.
//!
//! This file must not know what a scenario does.

use std::time::Duration;

use crate::judge::{Wrong, judge};
use crate::run::run;
use crate::scenario::Scenario;

/// So many smaller scenarios are tried.
const TRIES: usize = 400;

/// The smallest scenario that was found in which the same promise is broken.
pub(crate) fn shrink(scenario: &Scenario, promise: &'static str) -> (Scenario, Vec<Wrong>) {
    let mut search = Search { promise, best: scenario.clone(), wrongs: Vec::new(), left: TRIES };
    search.wrongs = judge(scenario, &run(scenario, false));
    loop {
        let before = search.best.clone();
        search.length();
        search.leave_out(|scenario| &mut scenario.faults);
        search.leave_out(|scenario| &mut scenario.tasks);
        if search.best == before || search.left == 0 {
            return (search.best, search.wrongs);
        }
    }
}

struct Search {
    promise: &'static str,
    best: Scenario,
    wrongs: Vec<Wrong>,
    left: usize,
}

impl Search {
    /// Takes `smaller` if it fails, too.
    fn attempt(&mut self, smaller: Scenario) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let wrongs = judge(&smaller, &run(&smaller, false));
        let fails = wrongs.iter().any(|wrong| wrong.promise == self.promise);
        if fails {
            (self.best, self.wrongs) = (smaller, wrongs);
        }
        fails
    }

    fn length(&mut self) {
        for (part, of) in [(1, 8), (1, 2), (3, 4), (7, 8)] {
            loop {
                let mut smaller = self.best.clone();
                smaller.length = Duration::from_millis(
                    u64::try_from(smaller.length.as_millis()).unwrap_or(u64::MAX) * part / of,
                );
                if smaller.length < Duration::from_millis(5) || !self.attempt(smaller) {
                    break;
                }
            }
        }
    }

    /// Leaves out what can be left out of a list: many at a time, then one by one.
    fn leave_out<T: Clone>(&mut self, list: impl Fn(&mut Scenario) -> &mut Vec<T>) {
        let mut many = list(&mut self.best).len();
        while many > 0 {
            let mut at = 0;
            while at < list(&mut self.best).len() {
                let mut smaller = self.best.clone();
                let items = list(&mut smaller);
                let until = (at + many).min(items.len());
                items.drain(at..until);
                if !self.attempt(smaller) {
                    at += many;
                }
            }
            many /= 2;
        }
    }
}
