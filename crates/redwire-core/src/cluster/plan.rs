//! Which nodes a command concerns, and its parts where they are several: from its facts and its keys.
//!
//! This file must not know which node serves what.

use std::fmt::Write;

use super::slot;
use crate::arg::Args;
use crate::cmd::Cmd;
use crate::error::{ClusterFault, Error, ErrorKind, Outcome, Result};
use crate::facts::{self, BeginSearch, Facts, FindKeys, KeySpec, RequestPolicy, ResponsePolicy};
use crate::pipeline::Batch;

/// Error messages name this many keys at most.
const MOST_NAMED: usize = 8;

/// Where a command goes.
#[derive(Clone, Debug)]
pub enum Plan {
    /// To any primary: it has no key that is known.
    Any,
    /// To the node of this slot.
    Slot(u16),
    /// To every primary that has slots.
    Primaries,
    /// To every node, replicas too.
    Nodes,
    /// In parts, each to the node of its slot.
    Parts(Vec<Part>),
}

/// How many nodes a call concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// One: that of this slot, or any primary where there is none.
    One(Option<u16>),
    /// Perhaps several: it is for a [`Scatter`](super::Scatter).
    Several,
}

impl Spread {
    /// How many nodes `cmd` concerns.
    ///
    /// # Errors
    /// As [`Plan::of`].
    #[inline]
    pub fn of<R>(cmd: &Cmd<R>) -> Result<Self> {
        let facts = cmd.facts();
        // Most commands have one key, and it need not be looked for.
        if let [KeySpec { begin: BeginSearch::Index(place), find: FindKeys::Range { last: 0, .. }, .. }] =
            facts.keys
            && let Some(key) = cmd.args().word(usize::from(*place))
        {
            return Ok(Self::One(Some(slot(key))));
        }
        Ok(match Plan::of(facts, cmd.args())? {
            Plan::Any => Self::One(None),
            Plan::Slot(slot) => Self::One(Some(slot)),
            Plan::Primaries | Plan::Nodes | Plan::Parts(_) => Self::Several,
        })
    }

    /// The one slot of all commands of a batch, which must not be taken apart.
    ///
    /// # Errors
    /// Their keys have several.
    pub(crate) fn of_whole(batch: &Batch) -> Result<Self> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        // What is only taken for a key must not have a transaction refused that the server would accept.
        let mut guessed = None;
        batch.for_each(|words| match facts::lookup(words[0], words.get(1).copied()) {
            Some(facts) => keys.extend(facts.keys(words.iter().copied()).map(|(_, key)| key.to_vec())),
            None => {
                let key = || facts::UNKNOWN.keys(words.iter().copied()).next();
                guessed = guessed.or_else(|| key().map(|(_, key)| slot(key)));
            }
        });
        let Some(first) = keys.first().map(slot) else { return Ok(Self::One(guessed)) };
        if keys.iter().all(|key| slot(key) == first) {
            return Ok(Self::One(Some(first)));
        }
        Err(cross_slot(keys.iter().map(Vec::as_slice)).with_command("transaction"))
    }
}

/// The part of a command for the keys of one slot.
#[derive(Clone, Debug)]
pub struct Part {
    /// The slot.
    pub slot: u16,
    /// The words, name included.
    pub args: Args,
    /// Which of the keys of the whole command these are, from 0.
    pub places: Vec<usize>,
}

impl Plan {
    /// The plan for a command of these words, name included.
    ///
    /// Commands whose replies cannot be put together (`INFO`, `MEMORY STATS`, …) go to one node; to know of
    /// several, each is to be asked by itself.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// use redwire_core::cluster::Plan;
    /// use redwire::{Cmd, Value};
    ///
    /// let cmd = Cmd::<Value>::new("DEL").arg(["{a}1", "{b}1", "{a}2"]);
    /// let Ok(Plan::Parts(parts)) = Plan::of(cmd.facts(), cmd.args()) else { panic!("several slots") };
    /// assert_eq!(parts.len(), 2);
    /// assert_eq!(parts[0].places, [0, 2]);
    /// ```
    ///
    /// # Errors
    /// - [`ClusterFault::CrossSlot`](crate::ClusterFault::CrossSlot): keys of several slots, and the command
    ///   cannot be taken apart.
    /// - [`ErrorKind::Usage`](crate::ErrorKind::Usage): it scans one node at a time (`SCAN`).
    pub fn of(facts: &Facts, args: &Args) -> Result<Self> {
        // What cannot be put together is asked of one; a random key is any that a shard has.
        let separate = facts.response_policy == ResponsePolicy::Special && !is(facts, &facts::RANDOMKEY);
        match facts.request_policy {
            RequestPolicy::AllShards | RequestPolicy::AllNodes if separate => Ok(Self::Any),
            RequestPolicy::AllShards => Ok(Self::Primaries),
            RequestPolicy::AllNodes => Ok(Self::Nodes),
            RequestPolicy::MultiShard => Self::by_slots(facts, &args.iter().collect::<Vec<_>>()),
            RequestPolicy::Special if is(facts, &facts::SCAN) => Err(Error::usage(
                "its cursor is one node's; scan the whole cluster with the stream of `scan`, or name a node",
            )
            .with_command(facts.name)),
            RequestPolicy::Default | RequestPolicy::Special => {
                let words: Vec<_> = args.iter().collect();
                Ok(slot_of_words(facts, words.into_iter())?.map_or(Self::Any, Self::Slot))
            }
        }
    }

    fn by_slots(facts: &Facts, words: &[&[u8]]) -> Result<Self> {
        match slot_of_words(facts, words.iter().copied()) {
            Ok(slot) => Ok(slot.map_or(Self::Any, Self::Slot)),
            Err(_) => match Layout::of(facts, words) {
                Some(layout) => Ok(Self::Parts(layout.parts())),
                None => {
                    let keys = facts.keys(words.iter().copied()).map(|(_, key)| key);
                    Err(cross_slot(keys).with_command(facts.name))
                }
            },
        }
    }
}

fn is(facts: &Facts, other: &Facts) -> bool {
    facts.name == other.name
}

/// The words of a command with many keys: those before the keys, the keys with what belongs to each, those
/// behind.
struct Layout<'a> {
    head: &'a [&'a [u8]],
    /// The place in `head` of the number of keys, where there is one.
    count: Option<usize>,
    keys: std::slice::ChunksExact<'a, &'a [u8]>,
    tail: &'a [&'a [u8]],
}

/// A key with what belongs to it, and its place among all keys.
type Group<'a> = (usize, &'a [&'a [u8]]);

impl<'a> Layout<'a> {
    fn of(facts: &Facts, words: &'a [&'a [u8]]) -> Option<Self> {
        let [spec] = facts.keys else { return None };
        let BeginSearch::Index(begin) = spec.begin else { return None };
        let begin = usize::from(begin);
        let (first, step, end, count) = match spec.find {
            FindKeys::Range { last: -1, step, limit: 0 | 1 } => (begin, step, words.len(), None),
            FindKeys::KeyNum { index, first, step } => {
                let (index, first) = (begin + usize::from(index), begin + usize::from(first));
                let keys = std::str::from_utf8(words.get(index)?).ok()?.parse::<usize>().ok()?;
                (first, step, keys.checked_mul(usize::from(step))?.checked_add(first)?, Some(index))
            }
            _ => return None,
        };
        let step = usize::from(step).max(1);
        let keys = words.get(first..end)?.chunks_exact(step);
        // What is left over belongs to no key: the server is to say what is wrong.
        keys.remainder().is_empty().then_some(Self {
            head: &words[..first],
            count,
            keys,
            tail: &words[end..],
        })
    }

    fn parts(self) -> Vec<Part> {
        // In the order in which the slots come up first, so that the same command is always taken apart
        // alike.
        let mut parts: Vec<(u16, Vec<Group<'_>>)> = Vec::new();
        let mut place_of = std::collections::HashMap::new();
        for (place, group) in self.keys.clone().enumerate() {
            let slot = slot(group[0]);
            let at = *place_of.entry(slot).or_insert_with(|| {
                parts.push((slot, Vec::new()));
                parts.len() - 1
            });
            parts[at].1.push((place, group));
        }
        parts.into_iter().map(|(slot, keys)| self.part(slot, &keys)).collect()
    }

    fn part(&self, slot: u16, keys: &[Group<'_>]) -> Part {
        let mut args = Args::new();
        for (place, word) in self.head.iter().enumerate() {
            match self.count {
                Some(count) if count == place => args.bulk(keys.len().to_string().as_bytes()),
                _ => args.bulk(word),
            }
        }
        let groups = keys.iter().flat_map(|(_, group)| group.iter());
        groups.chain(self.tail).for_each(|word| args.bulk(word));
        Part { slot, args, places: keys.iter().map(|(place, _)| *place).collect() }
    }
}

/// The slot of the keys of `cmd`, to which a client of a cluster sends it; `None` if no key is known.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::cluster::{slot, slot_of};
/// use redwire::cmd;
///
/// assert_eq!(slot_of(&cmd::<()>("SET").arg("{user:7}:name").arg("ann"))?, Some(slot("user:7")));
/// assert_eq!(slot_of(&cmd::<()>("PING"))?, None);
/// assert!(slot_of(&cmd::<()>("RENAME").arg("a").arg("b")).is_err());
/// # Ok::<(), redwire::Error>(())
/// ```
///
/// # Errors
/// [`ClusterFault::CrossSlot`]: its keys have several; the message names keys and slots.
#[doc(alias = "determine_slot")]
pub fn slot_of<R>(cmd: &Cmd<R>) -> Result<Option<u16>> {
    let words: Vec<_> = cmd.args().iter().collect();
    slot_of_words(cmd.facts(), words.into_iter())
}

/// As [`slot_of`], of a command of these words, name included.
pub(super) fn slot_of_words<'a, I>(facts: &Facts, words: I) -> Result<Option<u16>>
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
fn cross_slot<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Error {
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
