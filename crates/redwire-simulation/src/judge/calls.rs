//! Replies, executions, outcomes and deadlines of calls, and that none goes to a former master: I1, I2, I3,
//! I6.
//!
//! This file must not know how servers come to their parts.

use std::collections::HashMap;
use std::time::Duration;

use redwire::{ErrorKind, Outcome};

use super::Verdict;
use super::replay::{Done, Replay};
use crate::faults::FaultKind;
use crate::history::{Answer, Call, Ended, Form, History, Op};
use crate::scenario::Scenario;

/// Timers of the runtime go off at the next millisecond.
const TICK: Duration = Duration::from_millis(1);

pub(super) fn judge(scenario: &Scenario, history: &History, replay: &Replay, verdict: &mut Verdict) {
    let mut popped: HashMap<(&str, &str), usize> = HashMap::new();
    for (place, call) in history.calls.iter().enumerate() {
        deadline(place, call, verdict);
        executions(place, call, replay, verdict);
        if let Ended::Answered(answers) = &call.ended
            && !matches!(call.form, Form::Watched | Form::Lease)
        {
            verdict.check(answers.len() == call.ops.len(), "I1", || {
                format!("call {place}: replies are missing")
            });
            for (op, answer) in call.ops.iter().zip(answers) {
                let is_right = is_answer(op, answer, call, replay);
                verdict.check(is_right, "I1", || {
                    format!("call {place} of task {}: {op:?} was answered {answer:?}", call.task)
                });
                if let Op::Pop(key) | Op::Wait(key, _) = op
                    && let Some(element) = element(answer)
                {
                    let count = popped.entry((key, element)).or_default();
                    *count += 1;
                    // Where writes are lost with a server, the same element is popped anew.
                    let done = replay.pops.get(key).into_iter().flatten();
                    let done = done.filter(|done| self::element(&done.answer) == Some(element)).count();
                    let is_new = *count <= done;
                    verdict.check(is_new, "I1", || format!("call {place}: {element} was popped twice"));
                }
            }
        }
    }
    pops(history, replay, verdict);
    former_masters(scenario, history, replay, verdict);
}

/// A client that was told of another master sends the former one no writes.
fn former_masters(scenario: &Scenario, history: &History, replay: &Replay, verdict: &mut Verdict) {
    // What is held on its way is told later than it seems.
    if scenario.faults.iter().any(|fault| matches!(fault.kind, FaultKind::Hold { .. })) {
        return;
    }
    for (nth, switch) in history.switches.iter().enumerate() {
        let until = history.switches.get(nth + 1).map_or(Duration::MAX, |next| next.at);
        let mut told = switch.told.clone();
        told.sort_unstable();
        // A connection to one sentinel may be lost just then.
        let Some(told) = told.get(1).map(|told| *told + scenario.slack() + Duration::from_millis(500)) else {
            continue;
        };
        // A client that was opened since may have asked a sentinel that is late.
        let calls = history.calls.iter().enumerate().filter(|(_, call)| call.form != Form::Closing);
        for (place, call) in calls {
            let mut done = counted(call).filter_map(|(_, tag)| replay.tagged.get(&tag)).flatten();
            let is_lost = call.begun > told
                && call.begun < until
                && done.any(|done| done.server == switch.former && done.at < until);
            verdict.check(!is_lost, "I6", || {
                let late = call.begun - told;
                format!("call {place} went to the former master, {late:?} after it was told of another")
            });
        }
    }
}

fn deadline(place: usize, call: &Call, verdict: &mut Verdict) {
    let deadline = call.deadline;
    if matches!(call.ended, Ended::Dropped) {
        return;
    }
    verdict.check(call.ended_at <= deadline + TICK, "I3", || {
        format!("call {place} of task {} ended {:?} after its deadline", call.task, call.ended_at - deadline)
    });
    if let Ended::Failed(error) = &call.ended
        && error.kind() == ErrorKind::Timeout
        // Its commands have deadlines of their own.
        && call.form != Form::Watched
    {
        verdict.check(call.ended_at >= deadline, "I3", || {
            format!("call {place} timed out {:?} before its deadline: {error}", deadline - call.ended_at)
        });
    }
}

/// The operations that may be executed once only, with their tags. What only reads may be executed more
/// often, by any server, and keeps the outcome of its last try.
fn counted(call: &Call) -> impl Iterator<Item = (&Op, u64)> {
    let counted = call.ops.iter().filter(|op| !matches!(op, Op::Echo(_)));
    counted.flat_map(|op| op.tags().into_iter().map(move |tag| (op, tag)))
}

/// Whether what was executed is what its caller was told.
fn executions(place: usize, call: &Call, replay: &Replay, verdict: &mut Verdict) {
    let (ops, tags): (Vec<&Op>, Vec<u64>) = counted(call).unzip();
    let none = Vec::new();
    let done: Vec<&Vec<Done>> = tags.iter().map(|tag| replay.tagged.get(tag).unwrap_or(&none)).collect();
    let mut wrong = |what: String| {
        verdict.wrong("I2", format!("call {place} of task {}: {what}", call.task));
    };
    let is_watched = call.form == Form::Watched;
    for (op, done) in ops.into_iter().zip(&done) {
        if done.len() > 1 && !call.may_repeat {
            wrong(format!("{op:?} was executed {} times", done.len()));
        }
        if done.iter().any(|done| done.at < call.begun) {
            wrong(format!("{op:?} was executed before it was asked for"));
        }
        if matches!(call.ended, Ended::Answered(_)) && done.is_empty() && !is_watched {
            wrong(format!("{op:?} was answered and not executed"));
        }
    }
    let executed = done.iter().filter(|done| !done.is_empty()).count();
    if let Ended::Failed(error) = &call.ended {
        let is_whole = call.form != Form::Pipeline;
        match error.outcome() {
            Outcome::NotSent if executed > 0 => {
                wrong(format!("it was executed, and told as not sent: {error}"))
            }
            Outcome::Rejected if executed > 0 && is_whole => {
                wrong(format!("it was executed, and told as rejected: {error}"));
            }
            Outcome::Unreadable if executed < tags.len() => wrong(format!("told as unreadable: {error}")),
            _ => {}
        }
    }
    if call.form == Form::Atomic && executed > 0 && executed < tags.len() {
        wrong(format!("{executed} of {} operations of a transaction were executed", tags.len()));
    }
    if is_watched && (executed > 1 || executed == 0 && matches!(call.ended, Ended::Answered(_))) {
        wrong(format!("{executed} of its tries were executed"));
    }
    if !is_in_order(call, replay) {
        wrong("operations on one key were executed in another order".to_owned());
    }
}

/// Whether the operations on each key were executed in the order in which they stand.
fn is_in_order(call: &Call, replay: &Replay) -> bool {
    let mut last: HashMap<&str, usize> = HashMap::new();
    let written = call.ops.iter().flat_map(|op| match op {
        Op::Set(key, tag) | Op::Add(key, tag) | Op::Script(key, tag) | Op::Push(key, tag) => {
            vec![(key, *tag)]
        }
        Op::SetMany(pairs) => pairs.iter().map(|(key, tag)| (key, *tag)).collect(),
        _ => Vec::new(),
    });
    let mut written = written.filter_map(|(key, tag)| Some((key, replay.tagged.get(&tag)?.first()?.place)));
    written.all(|(key, place)| last.insert(key, place).is_none_or(|last| last <= place))
}

/// Whether `answer` is what the server said to `op` while it was asked.
fn is_answer(op: &Op, answer: &Answer, call: &Call, replay: &Replay) -> bool {
    let while_asked = |done: &&Done| call.begun <= done.at && done.at <= call.ended_at;
    let among = |done: Option<&Vec<Done>>| {
        done.is_some_and(|done| done.iter().filter(while_asked).any(|done| done.answer == *answer))
    };
    match op {
        Op::Publish(_, tag) => matches!(answer, Answer::Int(_)) && replay.tagged.contains_key(tag),
        Op::Get(key) => among(replay.reads.get(key)),
        Op::Wait(..) if *answer == Answer::Null => true,
        Op::Pop(key) | Op::Wait(key, _) => among(replay.pops.get(key)),
        Op::SetMany(pairs) => {
            *answer == Answer::Text("OK".to_owned())
                && pairs.iter().all(|(_, tag)| replay.tagged.contains_key(tag))
        }
        Op::GetMany(keys) => {
            let Answer::Many(values) = answer else { return false };
            values.len() == keys.len()
                && keys.iter().zip(values).all(|(key, value)| {
                    let done = replay.reads.get(key).into_iter().flatten().filter(while_asked);
                    done.into_iter().any(|done| done.answer == *value)
                })
        }
        Op::Delete(keys) => {
            let Answer::Int(count) = answer else { return false };
            usize::try_from(*count).is_ok_and(|count| count <= keys.len())
        }
        Op::Set(_, tag) | Op::Add(_, tag) | Op::Script(_, tag) | Op::Push(_, tag) | Op::Echo(tag) => {
            among(replay.tagged.get(tag))
        }
    }
}

/// The element that a pop was answered with.
fn element(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Text(element) => Some(element),
        Answer::Many(pair) => pair.last().and_then(element),
        _ => None,
    }
}

/// No pop was executed twice: there were no more than calls for them.
fn pops(history: &History, replay: &Replay, verdict: &mut Verdict) {
    let mut asked: HashMap<&str, usize> = HashMap::new();
    for call in &history.calls {
        let may_be = match &call.ended {
            Ended::Failed(error) => match error.outcome() {
                Outcome::NotSent => false,
                Outcome::Rejected => call.form == Form::Pipeline,
                _ => true,
            },
            _ => true,
        };
        for op in &call.ops {
            if let Op::Pop(key) | Op::Wait(key, _) = op
                && may_be
            {
                *asked.entry(key).or_default() += 1;
            }
        }
    }
    for (key, done) in &replay.pops {
        // Those who wait for a lock are woken by lists of their own.
        if !key.starts_with("list") {
            continue;
        }
        let most = asked.get(key.as_str()).copied().unwrap_or(0);
        verdict.check(done.len() <= most, "I2", || {
            format!("{most} pops of {key} may have been executed, and {} were", done.len())
        });
    }
}
