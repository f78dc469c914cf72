//! What a connection tells of itself and asks about others.
//!
//! This file must not know how connections are ended or woken; `client_kill.rs` has that.

use std::time::Duration;

use super::connection::check_name;
use super::{Args, Command, Keys, reply_name, row};
use crate::client::{Client, Replies};
use crate::context::{Context, done, is, milliseconds};
use crate::model::{Model, Pause};
use crate::number::parse_int;
use crate::reply::{Outcome, Refusal, Reply, SYNTAX, refusal};

pub(crate) const ROWS: &[Command] = &[
    row("CLIENT", -2, "", Keys::None, "slow", super::container),
    row("CLIENT GETNAME", 2, "noscript loading stale", Keys::None, "slow connection", getname),
    row("CLIENT ID", 2, "noscript loading stale", Keys::None, "slow connection", id),
    row("CLIENT INFO", 2, "noscript loading stale", Keys::None, "slow connection", info),
    row(
        "CLIENT LIST",
        -2,
        "admin noscript loading stale",
        Keys::None,
        "admin slow dangerous connection",
        list,
    ),
    row(
        "CLIENT NO-EVICT",
        3,
        "admin noscript loading stale",
        Keys::None,
        "admin slow dangerous connection",
        no_evict,
    ),
    row("CLIENT NO-TOUCH", 3, "noscript loading stale", Keys::None, "slow connection", no_touch),
    row(
        "CLIENT PAUSE",
        -3,
        "admin noscript loading stale",
        Keys::None,
        "admin slow dangerous connection",
        pause,
    ),
    row("CLIENT REPLY", 3, "noscript loading stale", Keys::None, "slow connection", reply),
    row("CLIENT SETINFO", 4, "noscript loading stale", Keys::None, "slow connection", setinfo),
    row("CLIENT SETNAME", 3, "noscript loading stale", Keys::None, "slow connection", setname),
    row(
        "CLIENT UNPAUSE",
        2,
        "admin noscript loading stale",
        Keys::None,
        "admin slow dangerous connection",
        unpause,
    ),
];

fn id(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    Ok(Reply::number(cx.id))
}

fn getname(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let name = cx.client().name.clone();
    Ok(Reply::maybe((!name.is_empty()).then_some(name)))
}

fn setname(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    check_name(&args[2], "Client names")?;
    cx.client().name.clone_from(&args[2]);
    done()
}

fn setinfo(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (is_name, is_version) = (is(&args[2], "LIB-NAME"), is(&args[2], "LIB-VER"));
    if !is_name && !is_version {
        let option = String::from_utf8_lossy(&args[2]);
        return Err(Refusal::new(format!("ERR Unrecognized option '{option}'")));
    }
    check_name(&args[3], &String::from_utf8_lossy(&args[2]))?;
    let client = cx.client();
    if is_name {
        client.lib_name.clone_from(&args[3]);
    } else {
        client.lib_version.clone_from(&args[3]);
    }
    done()
}

fn on_off(word: &[u8]) -> Result<bool, Refusal> {
    match () {
        () if is(word, "ON") => Ok(true),
        () if is(word, "OFF") => Ok(false),
        () => Err(SYNTAX),
    }
}

fn no_evict(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    cx.client().no_evict = on_off(&args[2])?;
    done()
}

fn no_touch(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    cx.client().no_touch = on_off(&args[2])?;
    done()
}

fn reply(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let client = cx.client();
    match args[2].to_ascii_uppercase().as_slice() {
        b"ON" => client.replies = Replies::On,
        b"OFF" => client.replies = Replies::Off,
        b"SKIP" => {
            if client.replies != Replies::Off {
                client.replies = Replies::SkipNext;
            }
        }
        _ => return Err(SYNTAX),
    }
    if client.replies == Replies::On { done() } else { Ok(Reply::Nothing) }
}

fn pause(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let writes_only = match &args[3..] {
        [] => false,
        [mode] if is(mode, "ALL") => false,
        [mode] if is(mode, "WRITE") => true,
        [_] => return Err(refusal("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(super::odd_subcommand(args)),
    };
    let until = cx.model.now + milliseconds(&args[2])?.unwrap_or(Duration::ZERO);
    // A pause never makes one that is there shorter or weaker.
    let before = cx.model.pause;
    cx.model.pause = Some(Pause {
        until: before.map_or(until, |pause| pause.until.max(until)),
        writes_only: writes_only && before.is_none_or(|pause| pause.writes_only),
    });
    done()
}

fn unpause(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    cx.model.end_pause();
    done()
}

fn info(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let line = cx.model.clients.get(&cx.id).map_or_else(String::new, |client| line(cx.model, client));
    Ok(Reply::Verbatim(format!("{line}\n")))
}

fn list(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let mut wanted: Box<dyn Fn(&Client) -> bool> = Box::new(|_| true);
    match &args[2..] {
        [] => {}
        [word, kind] if is(word, "TYPE") => {
            let class = class(kind)?;
            wanted = Box::new(move |client| class_of(client) == class);
        }
        [word, ids @ ..] if is(word, "ID") && !ids.is_empty() => {
            let ids: Option<Vec<u64>> =
                ids.iter().map(|id| parse_int(id).and_then(|id| u64::try_from(id).ok())).collect();
            let ids = ids.ok_or(refusal("ERR Invalid client ID"))?;
            wanted = Box::new(move |client| ids.contains(&client.id));
        }
        _ => return Err(SYNTAX),
    }
    let clients = cx.model.clients.values().filter(|client| !client.closing && wanted(client));
    Ok(Reply::Verbatim(clients.map(|client| line(cx.model, client) + "\n").collect()))
}

/// The class that a word names.
pub(crate) fn class(word: &[u8]) -> Result<&'static str, Refusal> {
    match word.to_ascii_lowercase().as_slice() {
        b"normal" => Ok("normal"),
        b"pubsub" => Ok("pubsub"),
        b"master" => Ok("master"),
        b"replica" | b"slave" => Ok("replica"),
        _ => Err(Refusal::new(format!("ERR Unknown client type '{}'", String::from_utf8_lossy(word)))),
    }
}

/// The class of a client.
pub(crate) fn class_of(client: &Client) -> &'static str {
    if client.is_subscriber() {
        "pubsub"
    } else if client.monitor {
        "replica"
    } else {
        "normal"
    }
}

fn flags(client: &Client) -> String {
    let mut flags = String::new();
    for (flag, is_set) in [
        ('O', client.monitor),
        ('P', client.is_subscriber()),
        ('x', client.transaction.is_some()),
        ('b', client.blocked.is_some()),
        ('t', client.tracking.is_some()),
        ('R', client.tracking.as_ref().is_some_and(|tracked| tracked.broken)),
        ('B', client.tracking.as_ref().is_some_and(|tracked| tracked.broadcast)),
        ('d', client.watch_broken),
        ('c', client.closing),
        ('e', client.no_evict),
        ('T', client.no_touch),
    ] {
        if is_set {
            flags.push(flag);
        }
    }
    if flags.is_empty() { "N".to_owned() } else { flags }
}

/// A client as `CLIENT LIST` tells it.
fn line(model: &Model, client: &Client) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let multi = client
        .transaction
        .as_ref()
        .map_or(-1, |transaction| i64::try_from(transaction.queue.len()).unwrap_or(i64::MAX));
    let redirect = client.redirect();
    let (output, queue) = (client.pending().len(), client.requests.len());
    format!(
        "id={} addr={} laddr=127.0.0.1:{} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} \
         multi={multi} watch={} qbuf={queue} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=1024 rbp=0 obl=0 oll=0 \
         omem={output} tot-mem={output} events=r cmd={} user={} redir={redirect} resp={} lib-name={} \
         lib-ver={} io-thread=0",
        client.id,
        client.peer,
        model.options.port,
        client.id + 7,
        text(&client.name),
        model.now.saturating_sub(client.since).as_secs(),
        model.now.saturating_sub(client.heard).as_secs(),
        flags(client),
        client.database,
        client.channels.len(),
        client.patterns.len(),
        client.shard_channels.len(),
        client.watched.len(),
        client.last_command.map_or_else(|| "NULL".to_owned(), |command| reply_name(command.name)),
        client.user.as_deref().map_or_else(|| "(none)".to_owned(), text),
        if client.resp3 { 3 } else { 2 },
        text(&client.lib_name),
        text(&client.lib_version),
    )
}
