//! What stands for the five scripts by which `redwire` has locks.
//!
//! They are known by their SHA-1; a test compares that with the scripts themselves. This file must not know
//! any other script.

use std::sync::Arc;

use crate::reply::{Outcome, Refusal, Reply};
use crate::script::{Function, ScriptCall, Scripts};

/// What stands for a script.
type Stand = fn(&mut ScriptCall<'_, '_>) -> Outcome;

const SCRIPTS: [(&str, Stand); 5] =
    [(ACQUIRE, acquire), (EXTEND, extend), (FIND, find), (RELEASE, release), (TAKE, take)];

impl Scripts {
    /// The scripts that are known from the beginning.
    pub(crate) fn new() -> Self {
        let known =
            SCRIPTS.into_iter().map(|(sha, function)| (sha.to_owned(), Arc::new(function) as Function));
        Self { registered: known.collect(), ..Self::default() }
    }
}

const ACQUIRE: &str = "b0196114404fc9fbdf96b6c35cb9c34a58967cbe";
const EXTEND: &str = "73203c4a90dff2e42825eaedc033b3b8abb10068";
const FIND: &str = "f84d98d49f641f02254068cf8f9ff0effc574628";
const RELEASE: &str = "3dcb316d81be5920e18b2c15dce7a65968edcccf";
const TAKE: &str = "85520ee71221aaa9b7d63cddfd94f13614cd8a81";

/// One word of a call, so that keys, arguments and literals stand side by side.
fn words(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

fn number(bytes: &[u8]) -> i64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn pair(one: i64, other: i64) -> Outcome {
    Ok(Reply::Array(vec![Reply::Int(one), Reply::Int(other)]))
}

/// Whether the first key holds the first argument.
fn is_ours(call: &mut ScriptCall<'_, '_>) -> Result<bool, Refusal> {
    let (key, token) = (call.keys[0].clone(), call.args[0].clone());
    Ok(call.bytes(&words(&[b"GET", &key]))? == Some(token))
}

fn fence(call: &mut ScriptCall<'_, '_>) -> Result<i64, Refusal> {
    let key = call.keys[1].clone();
    Ok(call.bytes(&words(&[b"GET", &key]))?.map_or(0, |fence| number(&fence)))
}

fn left(call: &mut ScriptCall<'_, '_>) -> Result<i64, Refusal> {
    let key = call.keys[0].clone();
    call.int(&words(&[b"PTTL", &key]))
}

fn acquire(call: &mut ScriptCall<'_, '_>) -> Outcome {
    let (keys, args) = (call.keys.clone(), call.args.clone());
    let holder = call.bytes(&words(&[b"GET", &keys[0]]))?;
    let left = left(call)?;
    if holder.as_ref().is_some_and(|holder| *holder != args[0]) {
        return pair(0, left);
    }
    let mut fence = fence(call)?;
    let last = if holder.is_some() { call.bytes(&words(&[b"GET", &keys[4]]))? } else { None };
    let is_late = last.as_ref().is_some_and(|last| *last > args[2] && last.get(..16) == args[2].get(..16));
    if is_late {
        return pair(1, fence);
    }
    if last.as_ref() != Some(&args[2]) {
        fence = (fence + 1).max(i64::try_from(call.unix_micros()).unwrap_or(i64::MAX));
        call.call(&words(&[b"SET", &keys[1], fence.to_string().as_bytes()]))?;
    }
    if holder.is_none() {
        call.call(&words(&[b"SET", &keys[0], &args[0], b"PX", &args[1]]))?;
        call.call(&words(&[b"DEL", &keys[2], &keys[3]]))?;
    } else if left >= 0 && left < number(&args[1]) {
        call.call(&words(&[b"PEXPIRE", &keys[0], &args[1]]))?;
    }
    let ttl = left.max(number(&args[1])).to_string();
    call.call(&words(&[b"SET", &keys[4], &args[2], b"PX", ttl.as_bytes()]))?;
    pair(1, fence)
}

fn extend(call: &mut ScriptCall<'_, '_>) -> Outcome {
    if !is_ours(call)? {
        return Ok(Reply::Int(0));
    }
    let (keys, args, left) = (call.keys.clone(), call.args.clone(), left(call)?);
    if left >= 0 && left < number(&args[1]) {
        call.call(&words(&[b"PEXPIRE", &keys[0], &args[1]]))?;
        call.call(&words(&[b"PEXPIRE", &keys[1], &args[1]]))?;
    }
    Ok(Reply::Int(1))
}

fn find(call: &mut ScriptCall<'_, '_>) -> Outcome {
    if !is_ours(call)? {
        return Ok(Reply::Null);
    }
    let fence = fence(call)?;
    let left = left(call)?;
    pair(fence, left)
}

fn release(call: &mut ScriptCall<'_, '_>) -> Outcome {
    let (keys, args) = (call.keys.clone(), call.args.clone());
    let holder = call.bytes(&words(&[b"GET", &keys[0]]))?;
    let is_ours = holder.as_ref() == Some(&args[0]);
    let attempt = if is_ours { call.bytes(&words(&[b"GET", &keys[3]]))? } else { None };
    if attempt.is_some_and(|attempt| attempt != args[2]) {
        return Ok(Reply::Int(1));
    }
    if is_ours {
        call.call(&words(&[b"DEL", &keys[0], &keys[3]]))?;
        call.call(&words(&[b"SET", &keys[2], b"1", b"PX", &args[1]]))?;
    }
    if is_ours || holder.is_none() {
        call.call(&words(&[b"DEL", &keys[1]]))?;
        call.call(&words(&[b"RPUSH", &keys[1], b"1"]))?;
        call.call(&words(&[b"PEXPIRE", &keys[1], b"1000"]))?;
    }
    let was_ours = is_ours || call.int(&words(&[b"EXISTS", &keys[2]]))? == 1;
    Ok(Reply::flag(was_ours))
}

fn take(call: &mut ScriptCall<'_, '_>) -> Outcome {
    if !is_ours(call)? {
        return Ok(Reply::Null);
    }
    let (keys, args, left) = (call.keys.clone(), call.args.clone(), left(call)?);
    call.call(&words(&[b"SET", &keys[2], &args[1]]))?;
    if left >= 0 {
        call.call(&words(&[b"PEXPIRE", &keys[2], left.to_string().as_bytes()]))?;
    }
    let fence = fence(call)?;
    pair(fence, left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::sha1;

    #[test]
    fn the_scripts_are_those_that_the_client_sends() {
        for (sha, source) in [
            (ACQUIRE, include_str!("../../redwire-core/src/lock/acquire.lua")),
            (EXTEND, include_str!("../../redwire-core/src/lock/extend.lua")),
            (FIND, include_str!("../../redwire-core/src/lock/find.lua")),
            (RELEASE, include_str!("../../redwire-core/src/lock/release.lua")),
            (TAKE, include_str!("../../redwire-core/src/lock/take.lua")),
        ] {
            assert_eq!(sha, sha1(source.as_bytes()));
        }
    }
}
