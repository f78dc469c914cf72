//! The server itself: its options, its clock, its commands, its replicas.
//!
//! This file must not know what data there is; `info.rs` makes the text of `INFO`.

use super::{Args, Command, Keys, commands, find, is_container, reply_name, row, upper};
use crate::commands::Lookup;
use crate::context::{Context, done};
use crate::glob;
use crate::reply::{Outcome, Refusal, Reply, refusal};

pub(crate) const ROWS: &[Command] = &[
    row("COMMAND", -1, "loading stale", Keys::None, "slow connection", command),
    row("COMMAND COUNT", 2, "loading stale", Keys::None, "slow connection", count),
    row("COMMAND DOCS", -2, "loading stale", Keys::None, "slow connection", docs),
    row("COMMAND GETKEYS", -3, "loading stale", Keys::None, "slow connection", getkeys),
    row("COMMAND INFO", -2, "loading stale", Keys::None, "slow connection", command_info),
    row("COMMAND LIST", -2, "loading stale", Keys::None, "slow connection", command_list),
    row("CONFIG", -2, "", Keys::None, "slow", super::container),
    row("CONFIG GET", -3, "admin noscript loading stale", Keys::None, "admin slow dangerous", config_get),
    row("CONFIG RESETSTAT", 2, "admin noscript loading stale", Keys::None, "admin slow dangerous", resetstat),
    row("CONFIG SET", -4, "admin noscript loading stale", Keys::None, "admin slow dangerous", config_set),
    row("INFO", -1, "loading stale", Keys::None, "slow dangerous", info),
    row("LASTSAVE", 1, "loading stale fast", Keys::None, "admin fast dangerous", lastsave),
    row("MONITOR", 1, "admin noscript loading stale", Keys::None, "admin slow dangerous", monitor),
    row("TIME", 1, "loading stale fast", Keys::None, "fast", time),
];

/// A command as `COMMAND INFO` tells it, without tips and key specifications.
fn facts(command: &Command) -> Reply {
    let (first, last, step) = match command.keys {
        Keys::Range(first, last, step) => (first, last, step),
        _ => (0, 0, 0),
    };
    let simple = |word: String| Reply::Simple(word.into());
    let flags = command.flags.split(' ').filter(|flag| !flag.is_empty()).map(|flag| simple(flag.to_owned()));
    let categories = command.categories.split(' ').map(|category| simple(format!("@{category}")));
    let subcommands: Vec<Reply> = if is_container(command.name) {
        let prefix = format!("{} ", command.name);
        commands().filter(|other| other.name.starts_with(&prefix)).map(facts).collect()
    } else {
        Vec::new()
    };
    Reply::Array(vec![
        Reply::bulk(reply_name(command.name)),
        Reply::Int(command.arity.into()),
        Reply::Set(flags.collect()),
        Reply::count(first),
        Reply::Int(last.into()),
        Reply::count(step),
        Reply::Set(categories.collect()),
        Reply::Array(Vec::new()),
        Reply::Array(Vec::new()),
        Reply::Array(subcommands),
    ])
}

fn top() -> impl Iterator<Item = &'static Command> {
    commands().filter(|command| !command.name.contains(' '))
}

fn command(_: &mut Context<'_>, _: Args<'_>) -> Outcome {
    Ok(Reply::Array(top().map(facts).collect()))
}

fn count(_: &mut Context<'_>, _: Args<'_>) -> Outcome {
    Ok(Reply::count(top().count()))
}

fn command_list(_: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 2 {
        return Err(refusal("ERR the model server knows no filters of COMMAND LIST"));
    }
    Ok(Reply::list(top().map(|command| command.name.to_ascii_lowercase())))
}

fn named(word: &[u8]) -> Option<&'static Command> {
    super::named(&upper(word).replace('|', " "))
}

fn command_info(_: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if args.len() == 2 {
        return Ok(Reply::Array(top().map(facts).collect()));
    }
    Ok(Reply::Array(args[2..].iter().map(|word| named(word).map_or(Reply::NullArray, facts)).collect()))
}

fn docs(_: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let wanted: Vec<&Command> = if args.len() == 2 {
        top().collect()
    } else {
        args[2..].iter().filter_map(|word| named(word)).collect()
    };
    let told = wanted.into_iter().map(|command| {
        let facts = Reply::fields([("summary", Reply::bulk("A command of the model server."))]);
        (command.name.to_ascii_lowercase(), facts)
    });
    Ok(Reply::fields(told))
}

fn getkeys(_: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let words = &args[2..];
    let Lookup::Known(command) = find(words) else { return Err(refusal("ERR Invalid command specified")) };
    if !command.takes(words.len()) {
        return Err(refusal("ERR Invalid number of arguments specified for command"));
    }
    let keys = command.keys_of(words);
    if keys.is_empty() {
        return Err(refusal("ERR The command has no key arguments"));
    }
    Ok(Reply::list(keys.into_iter().cloned()))
}

fn config_get(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let wanted = |name: &str| {
        let patterns = args[2..].iter().map(|word| word.to_ascii_lowercase());
        patterns.into_iter().any(|pattern| glob::matches(&pattern, name.as_bytes()))
    };
    let found = cx.model.config.iter().filter(|(name, _)| wanted(name));
    Ok(Reply::fields(found.map(|(name, value)| (name, Reply::bulk(value)))))
}

fn config_set(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if !args.len().is_multiple_of(2) {
        return Err(crate::reply::SYNTAX);
    }
    let mut config = cx.model.config.clone();
    let mut password = None;
    for pair in args[2..].chunks_exact(2) {
        let name = String::from_utf8_lossy(&pair[0]).to_ascii_lowercase();
        let value = String::from_utf8_lossy(&pair[1]).into_owned();
        match config.set(&name, &value) {
            Ok(true) => {}
            Ok(false) => {
                let name = String::from_utf8_lossy(&pair[0]);
                return Err(Refusal::new(format!(
                    "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
                )));
            }
            Err(why) => {
                return Err(Refusal::new(format!(
                    "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"
                )));
            }
        }
        if name == "requirepass" {
            password = Some(value);
        }
    }
    cx.model.config = config;
    if let Some(password) = password {
        cx.model.acl.set_default_password(&password);
    }
    done()
}

fn resetstat(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    cx.model.stats = crate::model::Stats::default();
    done()
}

fn info(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let sections: Vec<String> =
        args[1..].iter().map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect();
    Ok(Reply::Verbatim(crate::info::text(cx.model, &sections)))
}

fn lastsave(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let began = cx.model.options.unix_time + cx.model.began;
    Ok(Reply::number(began.as_secs()))
}

fn monitor(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    if !cx.may_wait {
        return Err(refusal("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    cx.client().monitor = true;
    done()
}

fn time(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let now = cx.model.options.unix_time + cx.model.now;
    Ok(Reply::list([now.as_secs().to_string(), now.subsec_micros().to_string()]))
}
