//! What the server's log says of each operation.
//!
//! This file must not know what callers were told.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use redwire_model::Executed;

use crate::history::{Answer, History};

/// An operation that was executed.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// Its place in the log.
    pub(crate) place: usize,
    pub(crate) at: Duration,
    /// What it was answered with.
    pub(crate) answer: Answer,
}

/// All that was executed.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// By tag.
    pub(crate) tagged: HashMap<u64, Vec<Done>>,
    /// By key.
    pub(crate) reads: HashMap<String, Vec<Done>>,
    /// By key: `LPOP` and `BLPOP`.
    pub(crate) pops: HashMap<String, Vec<Done>>,
    /// By key: each value of a string, from when on.
    pub(crate) values: HashMap<String, Vec<(Duration, Option<String>)>>,
    /// By tag of a `SET`: what was there before.
    pub(crate) before: HashMap<u64, Option<String>>,
    /// By channel, in order.
    pub(crate) published: HashMap<String, Vec<(Duration, u64)>>,
    /// Tags of what was executed in another database than the first.
    pub(crate) astray: Vec<u64>,
}

/// What the server has.
#[derive(Debug, Default)]
struct Data {
    strings: BTreeMap<String, String>,
    counters: BTreeMap<String, i64>,
    lists: BTreeMap<String, VecDeque<String>>,
}

/// Executes the log once more.
pub(crate) fn replay(history: &History) -> Replay {
    let (mut replay, mut data) = (Replay::default(), Data::default());
    let mut losses = history.losses.iter().peekable();
    for (place, done) in history.executed.iter().enumerate() {
        while let Some((_, at)) = losses.next_if(|(loss, _)| *loss <= place) {
            for key in data.strings.keys() {
                replay.values.entry(key.clone()).or_default().push((*at, None));
            }
            data = Data::default();
        }
        if done.error.is_none() {
            replay.execute(place, done, &mut data);
        }
    }
    replay
}

impl Replay {
    fn execute(&mut self, place: usize, done: &Executed, data: &mut Data) {
        let words: Vec<_> = done.words.iter().map(|word| String::from_utf8_lossy(word)).collect();
        let word = |at: usize| words.get(at).map(|word| word.clone().into_owned()).unwrap_or_default();
        let (key, tag) = (word(1), word(2).parse::<u64>().unwrap_or(0));
        let mut tagged = |tag: u64, answer: Answer| {
            if done.database != 0 {
                self.astray.push(tag);
            }
            self.tagged.entry(tag).or_default().push(Done { place, at: done.at, answer });
        };
        match words.first().map(|word| word.as_ref()) {
            Some("SET") => {
                let value = word(2);
                if let Some((_, tag)) = value.split_once(':') {
                    let tag = tag.parse().unwrap_or(0);
                    tagged(tag, Answer::Text("OK".to_owned()));
                    self.before.insert(tag, data.strings.get(&key).cloned());
                }
                self.values.entry(key.clone()).or_default().push((done.at, Some(value.clone())));
                data.strings.insert(key, value);
            }
            Some("GET") => {
                let answer = data.strings.get(&key).cloned().map_or(Answer::Null, Answer::Text);
                self.reads.entry(key).or_default().push(Done { place, at: done.at, answer });
            }
            Some("INCRBY") => {
                let sum = data.counters.entry(key).or_default();
                *sum += i64::try_from(tag).unwrap_or(0);
                tagged(tag, Answer::Int(*sum));
            }
            Some("RPUSH") => {
                let list = data.lists.entry(key).or_default();
                list.push_back(word(2));
                tagged(tag, Answer::Int(i64::try_from(list.len()).unwrap_or(0)));
            }
            Some("LPOP") => {
                let popped = data.lists.get_mut(&key).and_then(VecDeque::pop_front);
                let answer = popped.map_or(Answer::Null, Answer::Text);
                self.pops.entry(key).or_default().push(Done { place, at: done.at, answer });
            }
            Some("BLPOP") => {
                let Some(popped) = data.lists.get_mut(&key).and_then(VecDeque::pop_front) else { return };
                let answer = Answer::Many(vec![Answer::Text(key.clone()), Answer::Text(popped)]);
                self.pops.entry(key).or_default().push(Done { place, at: done.at, answer });
            }
            Some("ECHO") => tagged(key.parse().unwrap_or(0), Answer::Text(key)),
            Some("PUBLISH") => {
                tagged(tag, Answer::Other("some".to_owned()));
                self.published.entry(key).or_default().push((done.at, tag));
            }
            _ => {}
        }
    }
}
