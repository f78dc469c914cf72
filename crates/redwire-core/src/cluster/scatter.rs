//! A command or a pipeline that concerns several nodes: taken apart by node, sent all at once, put together
//! again in order.
//!
//! Promises that only what was not executed is sent again, and that commands on one key are executed in the
//! order they were queued in: those behind one that waits for its redirection wait with it, and one that was
//! rejected while a later one on its key may have been executed is not sent again. This file must not know
//! sockets or clocks.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;

use super::Map;
use super::bundle::{Bundle, BundleRoute, SharePlace};
use super::combine::{Answered, combine};
use super::first_pass::FirstPass;
use super::plan::{Part, Plan, slot_of};
use super::route::{AfterFailure, Route, Rules, TopologyHint, uncovered};
use crate::call::Call;
use crate::cmd::{Cmd, CmdOptions};
use crate::config::HostPort;
use crate::error::{ClusterFault, Error, ErrorKind, Outcome, Result};
use crate::facts::Facts;
use crate::pipeline::Batch;
use crate::replies::Replies;
use crate::reply::{Reader, Value};

/// The commands of one call, each with its parts.
///
/// Send the [bundles](Self::poll_send), hand over what came of each, wait until
/// [`poll_timeout`](Self::poll_timeout) or a reply, and begin again, until
/// [`poll_replies`](Self::poll_replies) has them.
#[derive(Debug)]
pub struct Scatter {
    /// The commands of a pipeline that go their first way, or the parts of a single command.
    first: Option<FirstPass>,
    /// That single command, and its parts.
    whole: Option<(&'static Facts, Vec<Part>)>,
    /// Those that go on by themselves, by their number.
    commands: Vec<Option<Command>>,
    /// Whether it is a pipeline, of which each command has its own result.
    piped: bool,
    deadline: Option<Instant>,
    options: CmdOptions,
    /// Chooses the node of all commands without a slot: one for all, so that they keep their order.
    anywhere: Option<u64>,
}

#[derive(Debug)]
struct Command {
    facts: &'static Facts,
    parts: Option<Vec<Part>>,
    shares: Vec<Share>,
}

/// What one node gets of a command.
#[derive(Debug)]
struct Share {
    cmd: Cmd<Value>,
    route: Route,
    /// The node that it is for, whatever the map says.
    node: Option<HostPort>,
    keys: Vec<Vec<u8>>,
    state: ShareState,
}

#[derive(Debug)]
enum ShareState {
    /// It goes there, or where its route says, not before a moment if there is one.
    Waiting { way: Option<BundleRoute>, until: Option<Instant> },
    /// It is under way.
    Sent(BundleRoute),
    /// It is certain what came of it.
    Done(Answered),
}

impl Scatter {
    /// A single command, which concerns several nodes. It must end by `deadline`.
    ///
    /// # Errors
    /// As [`Plan::of`]; and [`ClusterFault::NotCovered`](crate::ClusterFault::NotCovered): it goes to all
    /// nodes, and none is known.
    pub fn of_command<R>(cmd: &Cmd<R>, map: &Map, deadline: Option<Instant>) -> Result<Self> {
        let mut scatter = Self::new(cmd.options(), deadline);
        let plan = Plan::of(cmd.facts(), cmd.args())?;
        if let Plan::Parts(parts) = &plan {
            scatter.first = FirstPass::of_parts(parts, map, cmd.options());
        }
        match (plan, &scatter.first) {
            (Plan::Parts(parts), Some(_)) => scatter.whole = Some((cmd.facts(), parts)),
            (plan, _) => scatter.push(cmd.clone().returning(), plan, map)?,
        }
        Ok(scatter)
    }

    /// The commands of a pipeline. It must end by `deadline`.
    ///
    /// # Errors
    /// A command that cannot stand in a pipeline; or as [`Plan::of`], naming the command. Then nothing is
    /// sent.
    pub fn of_batch(batch: &Batch, map: &Map, deadline: Option<Instant>) -> Result<Self> {
        batch.check()?;
        let first = FirstPass::of(batch, map);
        let mut scatter = Self { piped: true, first, ..Self::new(batch.options(), deadline) };
        if scatter.first.is_some() {
            return Ok(scatter);
        }
        for cmd in batch.commands() {
            let plan = Plan::of(cmd.facts(), cmd.args());
            plan.and_then(|plan| scatter.push(cmd, plan, map)).map_err(|error| {
                let (nth, all) = (scatter.commands.len() + 1, batch.len());
                error.with_context(&format!("command {nth} of {all} in the pipeline"))
            })?;
        }
        Ok(scatter)
    }

    fn new(options: CmdOptions, deadline: Option<Instant>) -> Self {
        let (first, whole, commands) = (None, None, Vec::new());
        Self { first, whole, commands, piped: false, deadline, options, anywhere: None }
    }

    /// Lets each command of a bundle go on by itself, of which something failed on the first way.
    #[cold]
    fn take_apart(&mut self, place: u16, bundle: &Bundle) -> Vec<SharePlace> {
        let Some(first) = &mut self.first else { return Vec::new() };
        self.commands.resize_with(first.len(), || None);
        let (mut shares, mut numbers) = (Vec::new(), first.take_apart(place));
        bundle.for_each(|words| {
            let Some(nth) = numbers.next() else { return };
            let cmd: Cmd<Value> = words.iter().fold(Cmd::new(""), |cmd, word| cmd.arg(*word));
            let (facts, slot) = (cmd.facts(), slot_of(&cmd).ok().flatten());
            let mut share = Share::new(cmd, slot, None, self.options, self.deadline);
            share.state = ShareState::Sent(bundle.route());
            self.commands[nth] = Some(Command { facts, parts: None, shares: vec![share] });
            shares.push((nth, 0, shares.len()));
        });
        shares
    }

    fn push(&mut self, cmd: Cmd<Value>, plan: Plan, map: &Map) -> Result<()> {
        let (facts, options, deadline) = (cmd.facts(), self.options, self.deadline);
        let share = |cmd, slot, node| Share::new(cmd, slot, node, options, deadline);
        let mut parts = None;
        let shares = match plan {
            Plan::Any => vec![share(cmd, None, None)],
            Plan::Slot(slot) => vec![share(cmd, Some(slot), None)],
            Plan::Primaries => map.first_slots().map(|slot| share(cmd.clone(), Some(slot), None)).collect(),
            Plan::Nodes => {
                let nodes = map.nodes().filter(|node| node.is_online());
                nodes.map(|node| share(cmd.clone(), None, Some(node.address.clone()))).collect()
            }
            Plan::Parts(list) => {
                let of = |part: &Part| share(Cmd::new("").arg(&part.args), Some(part.slot), None);
                let shares = list.iter().map(of).collect();
                parts = Some(list);
                shares
            }
        };
        // Of a cluster whose map is not known yet, no part is all.
        if shares.is_empty() {
            return Err(uncovered(None).with_command(facts.name));
        }
        self.commands.push(Some(Command { facts, parts, shares }));
        Ok(())
    }

    /// What is to be sent now, at most one bundle for each node and kind of connection. `random` gives
    /// numbers uniform over all of `u64`; `hints` takes what is to be told to the
    /// [`Topology`](super::Topology).
    pub fn poll_send(
        &mut self,
        map: &Map,
        rules: Rules<'_>,
        random: &mut impl FnMut() -> u64,
        hints: &mut Vec<TopologyHint>,
    ) -> Vec<Bundle> {
        let mut bundles = self.first.as_mut().map(FirstPass::poll_send).unwrap_or_default();
        if !bundles.is_empty() {
            return bundles;
        }
        let mut places: HashMap<(HostPort, bool), usize> = HashMap::new();
        // Of every key that a bundle before has: the bundle it goes with, or that others must
        // wait.
        let mut claims: HashMap<Vec<u8>, Option<usize>> = HashMap::new();
        let options = self.options;
        let anywhere = *self.anywhere.get_or_insert_with(&mut *random);
        for (nth, command) in self.commands.iter_mut().enumerate() {
            let Some(command) = command else { continue };
            for (part, share) in command.shares.iter_mut().enumerate() {
                if matches!(share.state, ShareState::Done(_)) {
                    continue;
                }
                let way = share.ready(map, rules, anywhere, random, hints);
                let place = way.map(|way| {
                    let place = *places.entry((way.to.clone(), way.fresh)).or_insert_with(|| {
                        bundles.push(Bundle::new(&way, options));
                        bundles.len() - 1
                    });
                    (way, place)
                });
                let ready = place.is_some();
                let free = |place: usize| {
                    share.keys.iter().all(|key| claims.get(key).is_none_or(|c| *c == Some(place)))
                };
                let taken = place.filter(|(_, place)| free(*place));
                let claim = taken.as_ref().map(|(_, place)| *place);
                if let (true, ShareState::Waiting { until, .. }) = (ready, &mut share.state) {
                    // Its time has come: now it waits for another that is before it, if it does not go.
                    *until = None;
                }
                if !matches!(share.state, ShareState::Done(_)) {
                    claims.extend(share.keys.iter().map(|key| (key.clone(), claim)));
                }
                if let Some((way, place)) = taken {
                    bundles[place].push(nth, part, &share.cmd, way.asking);
                    share.state = ShareState::Sent(way);
                }
            }
        }
        bundles.retain(|bundle| !bundle.shares.is_empty());
        bundles
    }

    /// When [`poll_send`](Self::poll_send) has something, if no reply comes before. A time that has passed is
    /// now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let shares = self.commands.iter().flatten().flat_map(|command| &command.shares);
        shares
            .filter_map(|share| match share.state {
                ShareState::Waiting { until, .. } => until,
                _ => None,
            })
            .min()
    }

    /// What came of a bundle. `hints` takes what is to be told to the [`Topology`](super::Topology); the rest
    /// is as for [`Route::handle_failure`].
    pub fn handle_replies(
        &mut self,
        bundle: &Bundle,
        replies: Result<Replies>,
        rules: Rules<'_>,
        random: &mut impl FnMut() -> u64,
        budget: &mut impl FnMut() -> bool,
        hints: &mut Vec<TopologyHint>,
    ) {
        let replies = match (&mut self.first, bundle.first, replies) {
            (Some(first), Some(place), Ok(replies)) => {
                match first.handle_replies(place, bundle.count(), replies) {
                    Ok(()) => return,
                    Err(replies) => Ok(replies),
                }
            }
            (.., replies) => replies,
        };
        let of_first = bundle.first.map(|place| self.take_apart(place, bundle));
        let shares = of_first.as_deref().unwrap_or(&bundle.shares);
        let answers: Vec<Result<Bytes>> = match replies {
            Ok(replies) => split(&replies, shares, &Error::closed_by_peer(Outcome::MaybeExecuted)),
            // Those that were answered before it failed have their replies.
            Err(mut error) => split(&error.take_answered(), shares, &error),
        };
        let judged = answers.into_iter().zip(shares).map(|(answer, (nth, part, _))| {
            answer.map_err(|error| match &self.commands[*nth] {
                Some(command) => command.shares[*part].cmd.judge(error),
                None => error,
            })
        });
        let answers: Vec<Result<Bytes>> = judged.collect();
        for (at, (nth, part, _)) in shares.iter().enumerate() {
            let Some(command) = &mut self.commands[*nth] else { continue };
            let facts = command.facts;
            let node = Some(bundle.to().clone());
            let error = match &answers[at] {
                Ok(frame) => {
                    let done = Answered { node, frame: Ok(frame.clone()) };
                    command.shares[*part].state = ShareState::Done(done);
                    continue;
                }
                Err(error) => error.clone(),
            };
            let overtaken = self.is_overtaken(shares, &answers, at).then(|| error.clone());
            let Some(command) = &mut self.commands[*nth] else { continue };
            let share = &mut command.shares[*part];
            share.fail(error, Some(bundle.to()), rules, random(), budget, hints);
            if let (Some(error), ShareState::Waiting { .. }) = (overtaken, &share.state) {
                let why = "not sent again, a later command on the same key may have been executed";
                let error = share.route.outcome_of_all(error, &share.cmd);
                let frame = Err(error.with_context(why).or_command(facts.name));
                share.state = ShareState::Done(Answered { node, frame });
            }
        }
    }

    /// Whether a later command of the bundle on one of the keys of share number `at` may have been executed,
    /// and the order of the two matters.
    fn is_overtaken(&self, shares: &[SharePlace], answers: &[Result<Bytes>], at: usize) -> bool {
        let of = |at: usize| {
            let (nth, part, _) = shares[at];
            self.commands[nth].as_ref().map(|command| (command.facts, &command.shares[part].keys))
        };
        let Some((facts, keys)) = of(at) else { return false };
        (at + 1..answers.len()).any(|later| {
            let executed = may_have_been_executed(&answers[later]);
            let Some((other, others)) = of(later) else { return false };
            let matters = !(facts.is_read_only() && other.is_read_only());
            executed && matters && keys.iter().any(|key| others.contains(key))
        })
    }

    /// Nothing is sent any more: what waits for that fails with `error`.
    pub fn handle_closed(&mut self, error: &Error) {
        let unsent = self.first.as_mut().map(FirstPass::poll_send).unwrap_or_default();
        for bundle in &unsent {
            let shares = bundle.first.map(|place| self.take_apart(place, bundle)).unwrap_or_default();
            for (nth, part, _) in shares {
                if let Some(command) = &mut self.commands[nth] {
                    command.shares[part].state = ShareState::Waiting { way: None, until: None };
                }
            }
        }
        let shares = self.commands.iter_mut().flatten().flat_map(|command| &mut command.shares);
        for share in shares.filter(|share| matches!(share.state, ShareState::Waiting { .. })) {
            share.state = ShareState::Done(Answered { node: None, frame: Err(error.clone()) });
        }
    }

    /// The replies to the call, for its [`read`](crate::call::Call::read), once all are certain. Of a
    /// pipeline, each command has its reply, or the reason why there is none.
    ///
    /// # Errors
    /// Why a single command failed.
    pub fn poll_replies(&mut self) -> Option<Result<Replies>> {
        let done = |share: &Share| matches!(share.state, ShareState::Done(_));
        if !self.commands.iter().flatten().all(|command| command.shares.iter().all(done)) {
            return None;
        }
        if let Some(first) = self.first.take_if(|first| first.is_done()) {
            let commands = &mut self.commands;
            if let Some((facts, parts)) = self.whole.take() {
                let answer = |(nth, (_, frame)): (usize, (u16, Option<Bytes>))| match frame {
                    Some(frame) => Some(Answered { node: None, frame: Ok(frame) }),
                    None => commands[nth].take().and_then(|command| command.into_answers().next()),
                };
                let answers = first.each().enumerate().filter_map(answer).collect();
                return Some(combine(facts, Some(&parts), answers).map(|frame| Replies::of([frame])));
            }
            return Some(Ok(first.finish(|nth| match commands[nth].take() {
                Some(command) => command.finish().map_err(last_word),
                None => Err(Error::closed_by_peer(Outcome::MaybeExecuted)),
            })));
        }
        if self.first.is_some() {
            return None;
        }
        let results = std::mem::take(&mut self.commands).into_iter().flatten().map(Command::finish);
        Some(match self.piped {
            true => Ok(Replies::of_results(results.map(|result| result.map_err(last_word)))),
            false => results.collect::<Result<Vec<_>>>().map(Replies::of),
        })
    }
}

/// Of nodes that send a command of a pipeline to and fro, what the last one said.
fn last_word(error: Error) -> Error {
    match (error.kind(), error.server_line()) {
        (ErrorKind::Cluster(ClusterFault::TooManyRedirects), Some(line)) => {
            let said = Error::from_server(line.as_bytes()).with_outcome(error.outcome());
            said.or_command(error.command().unwrap_or_default())
        }
        _ => error,
    }
}

fn may_have_been_executed(result: &Result<Bytes>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) => matches!(error.outcome(), Outcome::MaybeExecuted | Outcome::Unreadable),
    }
}

/// The frame that answers each share of a bundle; `missing` where there is none.
fn split(replies: &Replies, shares: &[SharePlace], missing: &Error) -> Vec<Result<Bytes>> {
    let mut frames = replies.each().enumerate();
    // Those between are the answers to ASKING and SCRIPT LOAD.
    let shares = shares.iter().map(|(_, _, place)| {
        let Some((_, frame)) = frames.find(|(nth, _)| nth == place) else {
            return Err(missing.clone());
        };
        match Reader::new(&frame, 0).server_error() {
            Some(error) => Err(error),
            None => Ok(frame),
        }
    });
    shares.collect()
}

impl Command {
    fn finish(mut self) -> Result<Bytes> {
        let (facts, parts) = (self.facts, self.parts.take());
        combine(facts, parts.as_deref(), self.into_answers().collect())
    }

    fn into_answers(self) -> impl Iterator<Item = Answered> {
        self.shares.into_iter().filter_map(|share| match share.state {
            ShareState::Done(answered) => Some(answered),
            _ => None,
        })
    }
}

impl Share {
    fn new(
        mut cmd: Cmd<Value>,
        slot: Option<u16>,
        node: Option<HostPort>,
        options: CmdOptions,
        deadline: Option<Instant>,
    ) -> Self {
        if options.idempotent {
            cmd = cmd.idempotent();
        }
        if let Some(retries) = options.retries {
            cmd = cmd.retries(retries);
        }
        let words: Vec<_> = cmd.args().iter().collect();
        let keys = cmd.facts().keys(words.into_iter()).map(|(_, key)| key.to_vec()).collect();
        let state = ShareState::Waiting { way: None, until: None };
        Self { cmd, route: Route::new(slot, deadline), node, keys, state }
    }

    /// The way it goes now, if it is to go.
    fn ready(
        &mut self,
        map: &Map,
        rules: Rules<'_>,
        anywhere: u64,
        random: &mut impl FnMut() -> u64,
        hints: &mut Vec<TopologyHint>,
    ) -> Option<BundleRoute> {
        let ShareState::Waiting { way, until } = &self.state else { return None };
        if until.is_some_and(|until| rules.now < until) {
            return None;
        }
        if let Some(way) = way {
            return Some(way.clone());
        }
        let target = match &self.node {
            Some(node) => Ok(node.clone()),
            None => {
                let chance = if self.route.slot().is_some() { random() } else { anywhere };
                self.route.target(map, chance)
            }
        };
        match target {
            Ok(to) => Some(BundleRoute { to, asking: false, fresh: false }),
            Err(error) => {
                self.fail(error, None, rules, random(), &mut || false, hints);
                None
            }
        }
    }

    fn fail(
        &mut self,
        error: Error,
        from: Option<&HostPort>,
        rules: Rules<'_>,
        random: u64,
        budget: &mut impl FnMut() -> bool,
        hints: &mut Vec<TopologyHint>,
    ) {
        let step = self.route.handle_failure(error, from, &mut self.cmd, rules, random, budget);
        if let Some(told) = step.hint.filter(|told| !hints.contains(told)) {
            hints.push(told);
        }
        let waiting = |way, after| ShareState::Waiting { way, until: rules.now.checked_add(after) };
        self.state = match (step.then, &self.state) {
            (AfterFailure::Send { to, asking, fresh, after }, _) => {
                waiting(Some(BundleRoute { to, asking, fresh }), after)
            }
            (AfterFailure::Again, ShareState::Sent(way)) => {
                ShareState::Waiting { way: Some(way.clone()), until: None }
            }
            (AfterFailure::Again, _) => ShareState::Waiting { way: None, until: None },
            (AfterFailure::Retry(after), _) => waiting(None, after),
            (AfterFailure::Fail(error), _) => {
                ShareState::Done(Answered { node: from.cloned(), frame: Err(error) })
            }
        };
    }
}
