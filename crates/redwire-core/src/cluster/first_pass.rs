//! A call on its first way: each command of a pipeline goes to the primary of its slot, as it is packed, and
//! so does each part of a command with many keys. No more is kept of it than where its reply will be, and of
//! a node that answers all it was sent, that is all.
//!
//! This file must not know what becomes of commands that fail.

use std::borrow::Cow;

use bytes::Bytes;

use super::bundle::Bundle;
use super::plan::{Part, slot_of_words};
use super::{Map, slot};
use crate::cmd::CmdOptions;
use crate::error::Result;
use crate::facts::{BeginSearch, Facts, FindKeys, KeySpec, RequestPolicy};
use crate::pipeline::{Batch, each_packed, facts_of};
use crate::replies::Replies;

/// The commands of a pipeline, or the parts of one command, each in the bundle of one node.
#[derive(Debug)]
pub(super) struct FirstPass {
    /// Which bundle each command lies in.
    order: Vec<u16>,
    /// Those that are to be sent.
    bundles: Vec<Bundle>,
    /// What came of each.
    ends: Vec<BundleEnd>,
}

#[derive(Debug)]
enum BundleEnd {
    Open,
    /// Every command was answered, and none by an error.
    Answered(Replies),
    /// Each command goes on by itself.
    TakenApart,
}

impl FirstPass {
    /// The commands of `batch`, if each has one slot, whose primary is known.
    pub(super) fn of(batch: &Batch, map: &Map) -> Option<Self> {
        if batch.has_scripts() || batch.is_empty() {
            return None;
        }
        let whole = batch.outbox().single().map_or_else(|| batch.to_bytes().into(), Cow::Borrowed);
        // A share of the whole, and half as much.
        let room = whole.len() * 3 / 2 / map.shards().len().max(1);
        let mut sorting = Sorting::new(map, batch.len(), room, batch.options());
        let mut known = Known::default();
        each_packed(&whole, |words, bytes| {
            let bundle = known.only_slot(words).and_then(|slot| sorting.bundle(slot));
            bundle.map(|bundle| bundle.push_packed(bytes)).is_some()
        });
        sorting.finish(batch.len())
    }

    /// The parts of one command, if the primary of each is known.
    pub(super) fn of_parts(parts: &[Part], map: &Map, options: CmdOptions) -> Option<Self> {
        let size: usize = parts.iter().map(|part| part.args.size()).sum();
        let room = size * 2 / map.shards().len().max(1);
        let mut sorting = Sorting::new(map, parts.len(), room, options);
        for part in parts {
            sorting.bundle(part.slot)?.push_part(&part.args);
        }
        sorting.finish(parts.len())
    }

    /// The numbers of the commands in bundle number `place`.
    pub(super) fn numbers(&self, place: u16) -> impl Iterator<Item = usize> + '_ {
        self.order.iter().enumerate().filter(move |(_, other)| **other == place).map(|(nth, _)| nth)
    }

    /// Of each command the number of its bundle, and the reply if that has come.
    pub(super) fn each(&self) -> impl Iterator<Item = (u16, Option<Bytes>)> + '_ {
        let mut frames: Vec<_> = self.ends.iter().map(BundleEnd::frames).collect();
        self.order
            .iter()
            .map(move |place| (*place, frames[usize::from(*place)].as_mut().and_then(Iterator::next)))
    }

    /// How many commands there are.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// What is to be sent, once.
    pub(super) fn poll_send(&mut self) -> Vec<Bundle> {
        std::mem::take(&mut self.bundles)
    }

    /// The replies to bundle number `place` have come, which is owed so many.
    ///
    /// # Errors
    /// Gives them back where one of them may be an error, or is missing.
    pub(super) fn handle_replies(
        &mut self,
        place: u16,
        owed: u32,
        replies: Replies,
    ) -> std::result::Result<(), Replies> {
        if replies.has_errors() || replies.len() != owed as usize {
            return Err(replies);
        }
        self.ends[usize::from(place)] = BundleEnd::Answered(replies);
        Ok(())
    }

    /// Each command of bundle number `place` goes on by itself. Gives their numbers.
    pub(super) fn take_apart(&mut self, place: u16) -> impl Iterator<Item = usize> + '_ {
        self.ends[usize::from(place)] = BundleEnd::TakenApart;
        self.numbers(place)
    }

    /// Whether nothing is to come any more.
    pub(super) fn is_done(&self) -> bool {
        !self.ends.iter().any(|end| matches!(end, BundleEnd::Open))
    }

    /// The replies to all commands, in their order, once they are there; those of commands that went on by
    /// themselves by `other`.
    pub(super) fn finish(self, mut other: impl FnMut(usize) -> Result<Bytes>) -> Replies {
        if !self.ends.iter().any(|end| matches!(end, BundleEnd::TakenApart)) {
            let answers = self.ends.into_iter().filter_map(|end| match end {
                BundleEnd::Answered(replies) => Some(replies),
                _ => None,
            });
            return Replies::woven(self.order, answers.collect());
        }
        let result = |(nth, (_, frame)): (usize, (_, Option<Bytes>))| frame.map_or_else(|| other(nth), Ok);
        Replies::of_results(self.each().enumerate().map(result).collect::<Vec<_>>())
    }
}

impl BundleEnd {
    fn frames(&self) -> Option<impl Iterator<Item = Bytes> + '_> {
        match self {
            Self::Answered(replies) => Some(replies.each()),
            _ => None,
        }
    }
}

/// Commands on their way into the bundles of a first pass.
struct Sorting<'m> {
    map: &'m Map,
    room: usize,
    options: CmdOptions,
    order: Vec<u16>,
    bundles: Vec<Bundle>,
    /// Of each shard the bundle of its primary.
    of_shard: Vec<Option<u16>>,
}

impl<'m> Sorting<'m> {
    /// For so many commands; each bundle has `room` from the beginning.
    fn new(map: &'m Map, count: usize, room: usize, options: CmdOptions) -> Self {
        let of_shard = vec![None; map.shards().len()];
        Self { map, room, options, order: Vec::with_capacity(count), bundles: Vec::new(), of_shard }
    }

    /// The bundle for the next command, which has this slot; `None` where no primary of it is known.
    fn bundle(&mut self, slot: u16) -> Option<&mut Bundle> {
        let shard = self.map.place(slot)?;
        let place = match self.of_shard[shard] {
            Some(place) => place,
            None => {
                let to = &self.map.shards()[shard].primary.address;
                // There are no more bundles than shards.
                let place = self.bundles.len() as u16;
                self.bundles.push(Bundle::of_first_pass(place, to, self.room, self.options));
                self.of_shard[shard] = Some(place);
                place
            }
        };
        self.order.push(place);
        self.bundles.get_mut(usize::from(place))
    }

    /// The first pass, if all of so many commands have their bundle.
    fn finish(self, count: usize) -> Option<FirstPass> {
        let ends = self.bundles.iter().map(|_| BundleEnd::Open).collect();
        (self.order.len() == count).then_some(FirstPass { order: self.order, bundles: self.bundles, ends })
    }
}

/// What is known about the command before: most pipelines have one command many times.
#[derive(Default)]
struct Known<'a> {
    name: &'a [u8],
    facts: Option<&'static Facts>,
    /// Where its key is, if it has one, always at the same place.
    key: Option<usize>,
}

impl<'a> Known<'a> {
    /// The slot of the command of these words, if it has one and goes to no other node.
    fn only_slot(&mut self, words: &[&'a [u8]]) -> Option<u16> {
        let name = *words.first()?;
        if name != self.name || self.facts.is_none_or(Facts::is_container) {
            let facts = facts_of(words);
            *self = Self { name, facts: Some(facts), key: one_key(facts) };
        }
        let facts = self.facts.filter(|facts| facts.timeout.is_none())?;
        if let Some(place) = self.key {
            return words.get(place).map(slot);
        }
        match facts.request_policy {
            RequestPolicy::Default | RequestPolicy::MultiShard => {
                slot_of_words(facts, words.iter().copied()).ok().flatten()
            }
            _ => None,
        }
    }
}

fn one_key(facts: &Facts) -> Option<usize> {
    match facts.keys {
        [KeySpec { begin: BeginSearch::Index(place), find: FindKeys::Range { last: 0, .. }, .. }] => {
            Some(usize::from(*place))
        }
        _ => None,
    }
}
