//! What a connection says of itself: the protocol, the user, the database; and small talk.
//!
//! This file must not know what users may do.

use super::keys::database;
use super::{Args, Command, Keys, row};
use crate::acl::DEFAULT;
use crate::client::Replies;
use crate::context::{Context, done, is};
use crate::number::parse_int;
use crate::reply::{OK, Outcome, Refusal, Reply, SYNTAX, refusal};

pub(crate) const ROWS: &[Command] = &[
    row("AUTH", -2, "noscript loading stale fast no_auth allow_busy", Keys::None, "fast connection", auth),
    row("ECHO", 2, "loading stale fast", Keys::None, "fast connection", echo),
    row("HELLO", -1, "noscript loading stale fast no_auth allow_busy", Keys::None, "fast connection", hello),
    row("PING", -1, "fast", Keys::None, "fast connection", ping),
    row("QUIT", -1, "noscript loading stale fast no_auth allow_busy", Keys::None, "fast connection", quit),
    row("RESET", 1, "noscript loading stale fast no_auth allow_busy", Keys::None, "fast connection", reset),
    row("SELECT", 2, "loading stale fast", Keys::None, "fast connection", select),
];

fn ping(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 2 {
        return Err(super::wrong_arity("ping"));
    }
    let client = cx.client();
    if !client.resp3 && client.is_subscriber() {
        return Ok(Reply::list([b"pong".to_vec(), args.get(1).cloned().unwrap_or_default()]));
    }
    Ok(match args.get(1) {
        Some(word) => Reply::bulk(word.clone()),
        None => Reply::Simple("PONG".into()),
    })
}

fn echo(_: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::bulk(args[1].clone()))
}

fn select(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let number = database(cx, &args[1])?;
    if cx.model.cluster.is_some() && number > 0 {
        return Err(refusal("ERR SELECT is not allowed in cluster mode"));
    }
    cx.client().database = number;
    done()
}

fn quit(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let id = cx.id;
    cx.client().reply(&OK);
    cx.model.close(id, false);
    Ok(Reply::Nothing)
}

/// Sets the user of the connection.
fn authenticate(cx: &mut Context<'_>, name: &[u8], password: &[u8]) -> Result<(), Refusal> {
    cx.model.acl.authenticate(name, password)?;
    cx.client().user = Some(name.to_vec());
    Ok(())
}

fn auth(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    match &args[1..] {
        [password] => {
            if cx.model.acl.users.get(DEFAULT).is_some_and(|user| user.nopass) {
                return Err(refusal(
                    "ERR AUTH <password> called without any password configured for the default user. Are \
                     you sure your configuration is correct?",
                ));
            }
            authenticate(cx, DEFAULT, password)?;
        }
        [name, password] => authenticate(cx, name, password)?,
        _ => return Err(SYNTAX),
    }
    done()
}

fn hello(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let mut resp3 = None;
    if let Some(word) = args.get(1) {
        let not_integer = refusal("ERR Protocol version is not an integer or out of range");
        resp3 = Some(match parse_int(word).ok_or(not_integer)? {
            2 => false,
            3 => true,
            _ => return Err(refusal("NOPROTO unsupported protocol version")),
        });
    }
    let (mut login, mut name, mut rest) = (None, None, args.get(2..).unwrap_or_default());
    while let Some((word, behind)) = rest.split_first() {
        if is(word, "AUTH") && behind.len() >= 2 {
            login = Some((&behind[0], &behind[1]));
            rest = &behind[2..];
        } else if is(word, "SETNAME") && !behind.is_empty() {
            name = Some(&behind[0]);
            check_name(&behind[0], "Client names")?;
            rest = &behind[1..];
        } else {
            let word = String::from_utf8_lossy(word);
            return Err(Refusal::new(format!("ERR Syntax error in HELLO option '{word}'")));
        }
    }
    if let Some((user, password)) = login {
        authenticate(cx, user, password)?;
    }
    if cx.client().user.is_none() {
        return Err(refusal(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> \
             AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
             version at the same time",
        ));
    }
    let client = cx.client();
    if let Some(resp3) = resp3 {
        client.resp3 = resp3;
    }
    if let Some(name) = name {
        client.name.clone_from(name);
    }
    let proto = if client.resp3 { 3 } else { 2 };
    Ok(Reply::fields([
        ("server", Reply::bulk("redis")),
        ("version", Reply::bulk(cx.model.options.version.as_str())),
        ("proto", Reply::Int(proto)),
        ("id", Reply::number(cx.id)),
        ("mode", Reply::bulk(cx.model.mode())),
        ("role", Reply::bulk(cx.model.role())),
        ("modules", Reply::Array(Vec::new())),
    ]))
}

/// Whether a name may stand in `CLIENT LIST`.
pub(crate) fn check_name(name: &[u8], what: &str) -> Result<(), Refusal> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(());
    }
    Err(Refusal::new(format!("ERR {what} cannot contain spaces, newlines or special characters.")))
}

fn reset(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let id = cx.id;
    cx.model.unwatch(id);
    cx.model.stop_tracking(id);
    cx.model.unsubscribe(id);
    let user = cx.model.acl.first_user();
    let client = cx.client();
    client.transaction = None;
    client.monitor = false;
    client.database = 0;
    client.name.clear();
    client.resp3 = false;
    client.user = user;
    client.replies = Replies::On;
    client.caching = None;
    client.no_evict = false;
    client.no_touch = false;
    client.asking = false;
    client.reads_replica = false;
    Ok(Reply::Simple("RESET".into()))
}
