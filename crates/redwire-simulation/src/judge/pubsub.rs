//! Messages that were published: heard once and in order, or announced as missing (I5).
//!
//! This file must not know how they travel.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::Verdict;
use super::replay::Replay;
use crate::history::{Heard, History, Subscribed};
use crate::scenario::{Scenario, Topology};

pub(super) fn judge(scenario: &Scenario, history: &History, replay: &Replay, verdict: &mut Verdict) {
    let none = Vec::new();
    for (number, subscription) in history.subscriptions.iter().enumerate() {
        let published = replay.published.get(&subscription.channel).unwrap_or(&none);
        if scenario.topology != Topology::Single {
            if let Some(what) = heard_of_several(scenario, history, subscription, published) {
                verdict.wrong("I5", format!("subscription {number}, of task {}: {what}", subscription.task));
            }
            continue;
        }
        let mut follower = Follower::new(scenario, subscription, published);
        let mut wrong = |what: String| {
            let task = subscription.task;
            verdict.wrong("I5", format!("subscription {number}, of task {task}: {what}"));
        };
        for (at, heard) in &subscription.heard {
            if let Err(what) = follower.hear(heard) {
                wrong(format!("at {at:?} {what}"));
                break;
            }
        }
        // Who is slow and lets the others wait keeps from them what they should have heard.
        let is_held_up = history.subscriptions.iter().any(|other| other.holds_up);
        if let Some(what) = follower.end(history).filter(|_| !is_held_up) {
            wrong(what);
        }
    }
}

/// What a subscriber knows so far.
struct Follower<'h> {
    scenario: &'h Scenario,
    subscription: &'h Subscribed,
    published: &'h [(Duration, u64)],
    places: HashMap<u64, usize>,
    /// The next message, if none is missing.
    next: usize,
    /// What was announced since the last message.
    gaps: Vec<(Duration, Duration)>,
    lagged: u64,
    has_begun: bool,
}

impl<'h> Follower<'h> {
    fn new(scenario: &'h Scenario, subscription: &'h Subscribed, published: &'h [(Duration, u64)]) -> Self {
        let places = published.iter().enumerate().map(|(place, (_, tag))| (*tag, place)).collect();
        let next = published.iter().take_while(|(at, _)| *at <= subscription.since).count();
        Self {
            scenario,
            subscription,
            published,
            places,
            next,
            gaps: Vec::new(),
            lagged: 0,
            has_begun: false,
        }
    }

    fn hear(&mut self, heard: &Heard) -> Result<(), String> {
        match heard {
            Heard::Gap(from, to) => self.gaps.push((*from, *to)),
            Heard::Lagged(count) => self.lagged += count,
            Heard::Other => {}
            Heard::Message(tag) => {
                let Some(place) = self.places.get(tag).copied() else {
                    return Err(format!("it heard {tag}, which was not published there"));
                };
                // Between the server's confirmation and its arrival here.
                if !self.has_begun && place < self.next {
                    self.next = place;
                }
                if place < self.next {
                    return Err(format!("it heard {tag} a second time, or too late"));
                }
                let missing = self.missing(place);
                self.has_begun = true;
                self.next = place + 1;
                self.gaps.clear();
                self.lagged = 0;
                if let Some((at, tag)) = missing {
                    return Err(format!("{tag}, published at {at:?}, was missing, and no gap told"));
                }
            }
        }
        Ok(())
    }

    /// The first message before `place` that is missing, and was not announced so.
    fn missing(&self, place: usize) -> Option<(Duration, u64)> {
        let travel = self.scenario.travel();
        let missing = self.published.get(self.next..place)?.iter();
        let mut unannounced = missing.filter(|(at, _)| !is_in_gap(&self.gaps, *at, travel));
        unannounced.nth(usize::try_from(self.lagged).unwrap_or(usize::MAX)).copied()
    }

    /// What is missing at the end, though it should be known by then.
    fn end(self, history: &History) -> Option<String> {
        let slow = self.scenario.slack() + self.scenario.travel();
        let until = self.subscription.until.checked_sub(slow)?;
        // A gap is told when the connection is up again.
        if until < history.well(self.scenario) || until > self.scenario.length {
            return None;
        }
        let due = self.published.iter().take_while(|(at, _)| *at <= until).count();
        let (at, tag) = self.missing(due)?;
        Some(format!("{tag}, published at {at:?}, never came, and no gap told"))
    }
}

/// Whether a subscriber was told that it may have missed what was published then, and came up to `travel`
/// later.
fn is_in_gap(gaps: &[(Duration, Duration)], at: Duration, travel: Duration) -> bool {
    gaps.iter().any(|(from, to)| from.saturating_sub(travel) <= at && at <= *to)
}

/// What is wrong with what a subscriber heard where several servers tell each other of messages. They do so
/// as well as they can, and in no order; what they lose among themselves no client can know.
fn heard_of_several(
    scenario: &Scenario,
    history: &History,
    subscription: &Subscribed,
    published: &[(Duration, u64)],
) -> Option<String> {
    let times: HashMap<u64, Duration> = published.iter().map(|(at, tag)| (*tag, *at)).collect();
    let slow = scenario.slack() + scenario.travel() + scenario.set.distance;
    let mut heard = HashSet::new();
    let (mut gaps, mut lagged) = (Vec::new(), false);
    for (at, what) in &subscription.heard {
        match what {
            Heard::Message(tag) if !times.contains_key(tag) => {
                return Some(format!("at {at:?} it heard {tag}, which was not published there"));
            }
            // Of a connection at another server it may come again, as late as that one has heard of it.
            Heard::Message(tag) if !heard.insert(*tag) && !is_in_gap(&gaps, times[tag], slow) => {
                return Some(format!("at {at:?} it heard {tag} a second time"));
            }
            Heard::Gap(from, to) => gaps.push((*from, *to)),
            Heard::Lagged(_) => lagged = true,
            Heard::Message(_) | Heard::Other => {}
        }
    }
    let from = history.well(scenario).max(subscription.since.saturating_add(slow));
    let until = subscription.until.min(scenario.length).checked_sub(slow)?;
    let is_held_up = lagged || history.subscriptions.iter().any(|other| other.holds_up);
    let mut due = published.iter().filter(|(at, _)| from <= *at && *at <= until && !is_held_up);
    let (at, tag) = due.find(|(at, tag)| !heard.contains(tag) && !is_in_gap(&gaps, *at, slow))?;
    Some(format!("{tag}, published at {at:?}, never came, and no gap told"))
}
