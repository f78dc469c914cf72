//! `ACL`.
//!
//! This file must not know what rules mean; the other `acl.rs` does.

use super::{Args, Command, Keys, commands, named, reply_name, row, upper};
use crate::acl::{DEFAULT, User, categories, marked};
use crate::context::{Context, done};
use crate::reply::{Outcome, Refusal, Reply, refusal};

pub(crate) const ROWS: &[Command] = &[
    row("ACL", -2, "", Keys::None, "slow", super::container),
    row("ACL CAT", -2, "noscript loading stale", Keys::None, "slow", cat),
    row("ACL DELUSER", -3, "admin noscript loading stale", Keys::None, "admin slow dangerous", deluser),
    row("ACL DRYRUN", -4, "admin noscript loading stale", Keys::None, "admin slow dangerous", dryrun),
    row("ACL GETUSER", 3, "admin noscript loading stale", Keys::None, "admin slow dangerous", getuser),
    row("ACL LIST", 2, "admin noscript loading stale", Keys::None, "admin slow dangerous", list),
    row("ACL SETUSER", -3, "admin noscript loading stale", Keys::None, "admin slow dangerous", setuser),
    row("ACL USERS", 2, "admin noscript loading stale", Keys::None, "admin slow dangerous", users),
    row("ACL WHOAMI", 2, "noscript loading stale", Keys::None, "slow", whoami),
];

fn whoami(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    Ok(Reply::maybe(cx.client().user.clone()))
}

fn users(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    Ok(Reply::list(cx.model.acl.users.keys().cloned()))
}

fn list(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    Ok(Reply::list(cx.model.acl.users.iter().map(|(name, user)| user.line(name))))
}

fn setuser(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let mut user = cx.model.acl.users.get(&args[2]).cloned().unwrap_or_else(User::new);
    for word in &args[3..] {
        user.apply(word).map_err(|why| {
            Refusal::new(format!(
                "ERR Error in ACL SETUSER modifier '{}': {why}",
                String::from_utf8_lossy(word)
            ))
        })?;
    }
    cx.model.acl.users.insert(args[2].clone(), user);
    done()
}

fn deluser(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if args[2..].iter().any(|name| name == DEFAULT) {
        return Err(refusal("ERR The 'default' user cannot be removed"));
    }
    let mut removed = 0;
    for name in &args[2..] {
        if cx.model.acl.users.remove(name).is_none() {
            continue;
        }
        removed += 1;
        for id in cx.model.clients_that(|client| client.user.as_ref() == Some(name)) {
            cx.model.close(id, id != cx.id);
        }
    }
    Ok(Reply::Int(removed))
}

fn cat(_: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let Some(word) = args.get(2) else { return Ok(Reply::list(categories())) };
    let category = String::from_utf8_lossy(word).to_ascii_lowercase();
    if !categories().contains(category.as_str()) {
        return Err(Refusal::new(format!("ERR Unknown category '{}'", String::from_utf8_lossy(word))));
    }
    let names = commands().filter(|command| command.is_in(&category));
    Ok(Reply::list(names.map(|command| reply_name(command.name))))
}

fn dryrun(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let name = String::from_utf8_lossy(&args[2]);
    if !cx.model.acl.users.contains_key(&args[2]) {
        return Err(Refusal::new(format!("ERR User '{name}' not found")));
    }
    let words = &args[3..];
    let Some(command) = named(&upper(&words[0])) else {
        return Err(Refusal::new(format!("ERR Command '{}' not found", String::from_utf8_lossy(&words[0]))));
    };
    if !command.takes(words.len()) {
        return Err(super::wrong_arity(command.name));
    }
    match cx.model.acl.check(&args[2], command, words) {
        Ok(()) => done(),
        Err(refusal) => Ok(Reply::bulk(refusal.to_string().trim_start_matches("NOPERM "))),
    }
}

fn getuser(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let Some(user) = cx.model.acl.users.get(&args[2]) else { return Ok(Reply::Null) };
    Ok(Reply::fields([
        ("flags", Reply::Set(user.flags().map(Reply::bulk).collect())),
        ("passwords", Reply::list(user.passwords.iter().map(String::as_str))),
        ("commands", Reply::bulk(user.commands())),
        ("keys", Reply::bulk(marked('~', &user.keys).join(" "))),
        ("channels", Reply::bulk(marked('&', &user.channels).join(" "))),
        ("selectors", Reply::Array(Vec::new())),
    ]))
}
