//! What the servers' logs say of each operation.
//!
//! This file must not know what callers were told.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use redwire_model::Executed;

use crate::history::{Answer, History};

/// An operation that was executed.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// Its place in the order of all that was executed.
    pub(crate) place: usize,
    pub(crate) at: Duration,
    pub(crate) server: usize,
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
    /// By key, and each server that had it: each value of a string, from when on.
    pub(crate) values: HashMap<String, BTreeMap<usize, Values>>,
    /// By tag of a `SET`: what was there before.
    pub(crate) before: HashMap<u64, Option<String>>,
    /// By channel, in order.
    pub(crate) published: HashMap<String, Vec<(Duration, u64)>>,
    /// Tags of what was executed in another database than the first.
    pub(crate) astray: Vec<u64>,
}

/// What a string was from when on.
pub(crate) type Values = Vec<(Duration, Option<String>)>;

/// What a server has.
#[derive(Debug, Default)]
struct Data {
    strings: BTreeMap<String, String>,
    counters: BTreeMap<String, i64>,
    lists: BTreeMap<String, VecDeque<String>>,
}

/// Executes the logs once more, each server's with its own data.
pub(crate) fn replay(history: &History) -> Replay {
    let (mut replay, mut all) = (Replay::default(), BTreeMap::<usize, Data>::new());
    let mut losses = history.losses.iter().peekable();
    for (place, (server, done)) in history.executed.iter().enumerate() {
        while let Some(loss) = losses.next_if(|loss| loss.place <= place) {
            let data = std::mem::take(all.entry(loss.server).or_default());
            for key in data.strings.into_keys() {
                replay.note_value(loss.server, key, loss.at, None);
            }
        }
        if done.error.is_none() {
            replay.execute(place, *server, done, all.entry(*server).or_default());
        }
    }
    replay
}

impl Replay {
    fn note_value(&mut self, server: usize, key: String, at: Duration, value: Option<String>) {
        self.values.entry(key).or_default().entry(server).or_default().push((at, value));
    }

    fn execute(&mut self, place: usize, server: usize, done: &Executed, data: &mut Data) {
        let words: Vec<_> = done.words.iter().map(|word| String::from_utf8_lossy(word)).collect();
        let word = |at: usize| words.get(at).map(|word| word.clone().into_owned()).unwrap_or_default();
        let (key, tag) = (word(1), word(2).parse::<u64>().unwrap_or(0));
        let mut tagged = |tag: u64, answer: Answer| {
            if done.database != 0 {
                self.astray.push(tag);
            }
            self.tagged.entry(tag).or_default().push(Done { place, at: done.at, server, answer });
        };
        match words.first().map(|word| word.as_ref()) {
            Some("SET" | "MSET") => {
                for pair in words[1..].chunks_exact(2) {
                    let (key, value) = (pair[0].to_string(), pair[1].to_string());
                    if let Some((_, tag)) = value.split_once(':') {
                        let tag = tag.parse().unwrap_or(0);
                        tagged(tag, Answer::Text("OK".to_owned()));
                        self.before.insert(tag, data.strings.get(&key).cloned());
                    }
                    data.strings.insert(key, value);
                }
                for pair in words[1..].chunks_exact(2) {
                    self.note_value(server, pair[0].to_string(), done.at, Some(pair[1].to_string()));
                }
            }
            Some("GET" | "MGET") => {
                for key in &words[1..] {
                    let answer = data.strings.get(key.as_ref()).cloned().map_or(Answer::Null, Answer::Text);
                    let done = Done { place, at: done.at, server, answer };
                    self.reads.entry(key.to_string()).or_default().push(done);
                }
            }
            Some("DEL") => {
                for key in &words[1..] {
                    if data.strings.remove(key.as_ref()).is_some() {
                        self.note_value(server, key.to_string(), done.at, None);
                    }
                }
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
                self.pops.entry(key).or_default().push(Done { place, at: done.at, server, answer });
            }
            Some("BLPOP") => {
                let Some(popped) = data.lists.get_mut(&key).and_then(VecDeque::pop_front) else { return };
                let answer = Answer::Many(vec![Answer::Text(key.clone()), Answer::Text(popped)]);
                self.pops.entry(key).or_default().push(Done { place, at: done.at, server, answer });
            }
            Some("ECHO") => tagged(key.parse().unwrap_or(0), Answer::Text(key)),
            Some("PUBLISH") => {
                tagged(tag, Answer::Other("some".to_owned()));
                self.published.entry(key).or_default().push((done.at, tag));
            }
            Some("HOLDS") if done.client == Executed::ELSEWHERE => {
                self.hold(server, done.at, key, &words[2..], data);
            }
            _ => {}
        }
    }

    /// A key holds what another server held.
    fn hold(&mut self, server: usize, at: Duration, key: String, held: &[Cow<'_, str>], data: &mut Data) {
        data.counters.remove(&key);
        data.lists.remove(&key);
        let before = data.strings.remove(&key);
        match held {
            [kind, value] if kind == "string" => match value.parse() {
                Ok(number) => drop(data.counters.insert(key, number)),
                Err(_) => {
                    data.strings.insert(key.clone(), value.to_string());
                    self.note_value(server, key, at, Some(value.to_string()));
                }
            },
            [kind, elements @ ..] if kind == "list" => {
                data.lists.insert(key, elements.iter().map(ToString::to_string).collect());
            }
            _ if before.is_some() => self.note_value(server, key, at, None),
            _ => {}
        }
    }
}
