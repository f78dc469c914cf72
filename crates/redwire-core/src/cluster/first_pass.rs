//! A pipeline on its first way: each command goes to the primary of its slot, as it is packed, and no more is
//! kept of it than where its reply will be. Of a node that answers all it was sent, that is all.
//!
//! This file must not know what becomes of commands that fail.

use std::borrow::Cow;

use bytes::Bytes;

use super::bundle::Bundle;
use super::plan::slot_of_words;
use super::{Map, slot};
use crate::error::{Error, Outcome, Result};
use crate::facts::{BeginSearch, Facts, FindKeys, KeySpec, RequestPolicy};
use crate::pipeline::{Batch, each_packed, facts_of};
use crate::replies::Replies;

/// The commands of a pipeline, each in the bundle of one node.
#[derive(Debug)]
pub(super) struct FirstPass {
    /// Which bundle each command lies in.
    order: Vec<u16>,
    /// Those that are to be sent.
    bundles: Vec<Bundle>,
    /// What came of each.
    ends: Vec<End>,
}

#[derive(Debug)]
enum End {
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
        let mut order = Vec::with_capacity(batch.len());
        let mut bundles: Vec<Bundle> = Vec::new();
        let mut of_shard: Vec<Option<u16>> = vec![None; map.shards().len()];
        let mut known = Known::default();
        each_packed(&whole, |words, bytes| {
            let Some(shard) = known.only_slot(words).and_then(|slot| map.place(slot)) else { return false };
            let place = *of_shard[shard].get_or_insert_with(|| {
                let to = &map.shards()[shard].primary.address;
                // There are no more bundles than shards.
                let place = bundles.len() as u16;
                bundles.push(Bundle::of_first_pass(place, to, room, batch.options()));
                place
            });
            bundles[usize::from(place)].push_packed(bytes);
            order.push(place);
            true
        });
        let ends = bundles.iter().map(|_| End::Open).collect();
        (order.len() == batch.len()).then_some(Self { order, bundles, ends })
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
        self.ends[usize::from(place)] = End::Answered(replies);
        Ok(())
    }

    /// Each command of bundle number `place` goes on by itself. Gives their numbers.
    pub(super) fn take_apart(&mut self, place: u16) -> impl Iterator<Item = usize> + '_ {
        self.ends[usize::from(place)] = End::TakenApart;
        self.order.iter().enumerate().filter(move |(_, other)| **other == place).map(|(nth, _)| nth)
    }

    /// Whether nothing is to come any more.
    pub(super) fn is_done(&self) -> bool {
        !self.ends.iter().any(|end| matches!(end, End::Open))
    }

    /// The replies to all commands, in their order, once they are there; those of commands that went on by
    /// themselves by `other`.
    pub(super) fn finish(self, mut other: impl FnMut(usize) -> Result<Bytes>) -> Replies {
        if !self.ends.iter().any(|end| matches!(end, End::TakenApart)) {
            let answers = self.ends.into_iter().filter_map(|end| match end {
                End::Answered(replies) => Some(replies),
                _ => None,
            });
            return Replies::woven(self.order, answers.collect());
        }
        let mut frames: Vec<_> = (self.ends.iter())
            .map(|end| match end {
                End::Answered(replies) => Some(replies.each()),
                _ => None,
            })
            .collect();
        let result = |(nth, place): (usize, &u16)| match &mut frames[usize::from(*place)] {
            // As many as were owed, or it was taken apart.
            Some(frames) => frames.next().ok_or_else(|| Error::closed_by_peer(Outcome::MaybeExecuted)),
            None => other(nth),
        };
        Replies::of_results(self.order.iter().enumerate().map(result).collect::<Vec<_>>())
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
            return words.get(place).map(|key| slot(key));
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
