//! `CLIENT TRACKING` and its kin.
//!
//! This file must not know who is told of a key; the other `tracking.rs` does.

use std::collections::BTreeSet;

use super::{Args, Command, Keys, row};
use crate::context::{Context, done, int, is};
use crate::reply::{Outcome, Refusal, Reply, SYNTAX, refusal};
use crate::tracking::Tracked;

pub(crate) const ROWS: &[Command] = &[
    row("CLIENT CACHING", 3, "noscript loading stale", Keys::None, "slow connection", caching),
    row("CLIENT GETREDIR", 2, "noscript loading stale", Keys::None, "slow connection", getredir),
    row("CLIENT TRACKING", -3, "noscript loading stale", Keys::None, "slow connection", tracking),
    row("CLIENT TRACKINGINFO", 2, "noscript loading stale", Keys::None, "slow connection", trackinginfo),
];

fn options(cx: &Context<'_>, words: Args<'_>) -> Result<(Tracked, Vec<Vec<u8>>), Refusal> {
    let (mut wanted, mut prefixes) = (Tracked::default(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.to_ascii_uppercase().as_slice() {
            b"REDIRECT" if words.len() > 0 => {
                if wanted.redirect.is_some() {
                    return Err(refusal("ERR A client can only redirect to a single other client"));
                }
                let id = int(words.next().ok_or(SYNTAX)?)?;
                let id = u64::try_from(id).ok().filter(|id| cx.model.clients.contains_key(id));
                let id = id.ok_or(refusal("ERR The client ID you want redirect to does not exist"))?;
                wanted.redirect = Some(id);
            }
            b"BCAST" => wanted.broadcast = true,
            b"OPTIN" => wanted.optin = true,
            b"OPTOUT" => wanted.optout = true,
            b"NOLOOP" => wanted.noloop = true,
            b"PREFIX" if words.len() > 0 => {
                prefixes.extend(words.next().cloned());
            }
            _ => return Err(SYNTAX),
        }
    }
    Ok((wanted, prefixes))
}

/// Whether options go with each other, and with those that the client has chosen before.
fn check(wanted: &Tracked, has_prefixes: bool, before: Option<&Tracked>) -> Result<(), Refusal> {
    if !wanted.broadcast && has_prefixes {
        return Err(refusal("ERR PREFIX option requires BCAST mode to be enabled"));
    }
    if before.is_some_and(|before| before.broadcast != wanted.broadcast) {
        return Err(refusal(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
             re-enabling it with a different mode.",
        ));
    }
    if wanted.broadcast && (wanted.optin || wanted.optout) {
        return Err(refusal("ERR OPTIN and OPTOUT are not compatible with BCAST"));
    }
    if wanted.optin && wanted.optout {
        return Err(refusal("ERR You can't specify both OPTIN mode and OPTOUT mode"));
    }
    let switches = |before: &Tracked| wanted.optin && before.optout || wanted.optout && before.optin;
    if before.is_some_and(switches) {
        return Err(refusal(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
             re-enabling it with a different mode.",
        ));
    }
    Ok(())
}

fn overlap(prefixes: &BTreeSet<Vec<u8>>, more: &[Vec<u8>]) -> Result<(), Refusal> {
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let meet = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
    let refuse = |one: &[u8], other: &[u8], which: &str| {
        let (one, other) = (text(one), text(other));
        Err(Refusal::new(format!(
            "ERR Prefix '{one}' overlaps with {which} prefix '{other}'. Prefixes for a single client must \
             not overlap."
        )))
    };
    for (at, new) in more.iter().enumerate() {
        if let Some(known) = prefixes.iter().find(|known| meet(new, known)) {
            return refuse(new, known, "an existing");
        }
        if let Some(other) = more[at + 1..].iter().find(|other| meet(new, other)) {
            return refuse(new, other, "another provided");
        }
    }
    Ok(())
}

fn tracking(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (mut wanted, mut prefixes) = options(cx, &args[3..])?;
    let id = cx.id;
    match () {
        () if is(&args[2], "ON") => {}
        () if is(&args[2], "OFF") => {
            cx.model.stop_tracking(id);
            return done();
        }
        () => return Err(SYNTAX),
    }
    let before = cx.client().tracking.clone();
    check(&wanted, !prefixes.is_empty(), before.as_ref())?;
    if wanted.broadcast {
        let known = before.map(|before| before.prefixes).unwrap_or_default();
        overlap(&known, &prefixes)?;
        if prefixes.is_empty() {
            prefixes.push(Vec::new());
        }
        wanted.prefixes = known.into_iter().chain(prefixes).collect();
    }
    cx.client().tracking = Some(wanted);
    done()
}

fn caching(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let client = cx.client();
    let (optin, optout) =
        client.tracking.as_ref().map_or((false, false), |tracked| (tracked.optin, tracked.optout));
    if client.tracking.is_none() {
        return Err(refusal(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT \
             mode enabled",
        ));
    }
    match () {
        () if is(&args[2], "YES") && optin => client.caching = Some(true),
        () if is(&args[2], "NO") && optout => client.caching = Some(false),
        () if is(&args[2], "YES") => {
            return Err(refusal(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
        () if is(&args[2], "NO") => {
            return Err(refusal(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
        () => return Err(SYNTAX),
    }
    done()
}

fn getredir(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    Ok(Reply::Int(cx.client().redirect()))
}

fn trackinginfo(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let client = cx.client();
    let mut flags = Vec::new();
    let mut prefixes = Vec::new();
    match &client.tracking {
        None => flags.push("off"),
        Some(tracked) => {
            flags.push("on");
            for (flag, is_set) in [
                ("bcast", tracked.broadcast),
                ("optin", tracked.optin),
                ("optout", tracked.optout),
                ("noloop", tracked.noloop),
                ("broken_redirect", tracked.broken),
            ] {
                if is_set {
                    flags.push(flag);
                }
            }
            match client.caching {
                Some(true) => flags.insert(2.min(flags.len()), "caching-yes"),
                Some(false) => flags.insert(2.min(flags.len()), "caching-no"),
                None => {}
            }
            prefixes.extend(tracked.prefixes.iter().cloned());
        }
    }
    Ok(Reply::fields([
        ("flags", Reply::Set(flags.into_iter().map(Reply::bulk).collect())),
        ("redirect", Reply::Int(client.redirect())),
        ("prefixes", Reply::list(prefixes)),
    ]))
}
