//! `EVAL` and `SCRIPT`.
//!
//! This file must not know what a script does; see `script.rs` and `locks.rs`.

use super::{Args, Command, Keys, row};
use crate::conditions::Condition;
use crate::context::{Context, done, int, is};
use crate::reply::{Outcome, Refusal, Reply, refusal};
use crate::script::{ScriptCall, sha1};

pub(crate) const ROWS: &[Command] = &[
    row(
        "EVAL",
        -3,
        "noscript stale skip_monitor no_mandatory_keys movablekeys",
        Keys::Counted(2),
        "slow scripting",
        eval,
    ),
    row(
        "EVALSHA",
        -3,
        "noscript stale skip_monitor no_mandatory_keys movablekeys",
        Keys::Counted(2),
        "slow scripting",
        evalsha,
    ),
    row(
        "EVALSHA_RO",
        -3,
        "readonly noscript stale skip_monitor no_mandatory_keys movablekeys",
        Keys::Counted(2),
        "slow scripting",
        evalsha,
    ),
    row(
        "EVAL_RO",
        -3,
        "readonly noscript stale skip_monitor no_mandatory_keys movablekeys",
        Keys::Counted(2),
        "slow scripting",
        eval,
    ),
    row("SCRIPT", -2, "", Keys::None, "slow", super::container),
    row("SCRIPT EXISTS", -3, "noscript", Keys::None, "slow scripting", exists),
    row("SCRIPT FLUSH", -2, "noscript", Keys::None, "slow scripting", flush),
    row("SCRIPT KILL", 2, "noscript allow_busy", Keys::None, "slow scripting", kill),
    row("SCRIPT LOAD", 3, "noscript stale", Keys::None, "slow scripting", load),
];

fn run(cx: &mut Context<'_>, sha: &str, args: Args<'_>) -> Outcome {
    let count = int(&args[2])?;
    let Ok(count) = usize::try_from(count) else {
        return Err(refusal("ERR Number of keys can't be negative"));
    };
    if count > args.len() - 3 {
        return Err(refusal("ERR Number of keys can't be greater than number of args"));
    }
    let Some(function) = cx.model.scripts.registered.get(sha).cloned() else {
        return Err(Refusal::new(format!(
            "ERR the model server reads no Lua: Model::register_script must say what stands for the script \
             {sha}"
        )));
    };
    let (keys, rest) = args[3..].split_at(count);
    let (keys, args) = (keys.to_vec(), rest.to_vec());
    let (may_wait, again) = (false, false);
    let mut context = Context { model: &mut *cx.model, id: cx.id, may_wait, again };
    function(&mut ScriptCall { context: &mut context, keys, args })
}

fn eval(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let sha = sha1(&args[1]);
    let outcome = run(cx, &sha, args);
    cx.model.scripts.loaded.entry(sha).or_insert_with(|| args[1].clone());
    outcome
}

fn evalsha(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let sha = String::from_utf8_lossy(&args[1]).to_ascii_lowercase();
    if !cx.model.scripts.loaded.contains_key(&sha) {
        return Err(refusal("NOSCRIPT No matching script. Please use EVAL."));
    }
    run(cx, &sha, args)
}

fn load(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let sha = sha1(&args[2]);
    cx.model.scripts.loaded.insert(sha.clone(), args[2].clone());
    Ok(Reply::bulk(sha))
}

fn exists(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let is_loaded = |sha: &Vec<u8>| {
        let sha = String::from_utf8_lossy(sha).to_ascii_lowercase();
        Reply::flag(cx.model.scripts.loaded.contains_key(&sha))
    };
    Ok(Reply::Array(args[2..].iter().map(is_loaded).collect()))
}

fn flush(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    match &args[2..] {
        [] => {}
        [mode] if is(mode, "ASYNC") || is(mode, "SYNC") => {}
        _ => return Err(refusal("ERR SCRIPT FLUSH only support SYNC|ASYNC option")),
    }
    cx.model.scripts.loaded.clear();
    done()
}

fn kill(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    if !cx.model.conditions.remove(&Condition::Busy) {
        return Err(refusal("NOTBUSY No scripts in execution right now."));
    }
    done()
}
