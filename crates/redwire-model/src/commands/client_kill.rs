//! Connections that are ended, or woken, by another.
//!
//! This file must not know what a connection tells of itself.

use super::client::{class, class_of};
use super::{Args, Command, Keys, row};
use crate::client::Client;
use crate::context::{Context, int, is};
use crate::number::parse_int;
use crate::reply::{Outcome, Refusal, Reply, SYNTAX, refusal};

pub(crate) const ROWS: &[Command] = &[
    row(
        "CLIENT KILL",
        -3,
        "admin noscript loading stale",
        Keys::None,
        "admin slow dangerous connection",
        kill,
    ),
    row(
        "CLIENT UNBLOCK",
        -3,
        "admin noscript loading stale",
        Keys::None,
        "admin slow dangerous connection",
        unblock,
    ),
];

/// Which connections are meant.
#[derive(Default)]
struct Filters {
    id: Option<u64>,
    class: Option<&'static str>,
    user: Option<Vec<u8>>,
    addr: Option<Vec<u8>>,
    laddr: Option<Vec<u8>>,
    max_age: Option<u64>,
    includes_me: bool,
}

impl Filters {
    fn fits(&self, cx: &Context<'_>, client: &Client) -> bool {
        let age = cx.model.now.saturating_sub(client.since).as_secs();
        let laddr = format!("127.0.0.1:{}", cx.model.options.port);
        !client.closing
            && self.id.is_none_or(|id| id == client.id)
            && self.class.is_none_or(|class| class == class_of(client))
            && self.user.as_ref().is_none_or(|user| client.user.as_ref() == Some(user))
            && self.addr.as_ref().is_none_or(|addr| *addr == client.peer.as_bytes())
            && self.laddr.as_ref().is_none_or(|addr| *addr == laddr.as_bytes())
            && self.max_age.is_none_or(|max| age >= max)
            && (self.includes_me || client.id != cx.id)
    }
}

fn filters(cx: &Context<'_>, words: Args<'_>) -> Result<Filters, Refusal> {
    let mut filters = Filters::default();
    for pair in words.chunks(2) {
        let [word, value] = pair else { return Err(SYNTAX) };
        match word.to_ascii_uppercase().as_slice() {
            b"ID" => {
                let id = parse_int(value).filter(|id| *id > 0).and_then(|id| u64::try_from(id).ok());
                filters.id = Some(id.ok_or(refusal("ERR client-id should be greater than 0"))?);
            }
            b"TYPE" => filters.class = Some(class(value)?),
            b"USER" => {
                if !cx.model.acl.users.contains_key(value) {
                    let name = String::from_utf8_lossy(value);
                    return Err(Refusal::new(format!("ERR No such user '{name}'")));
                }
                filters.user = Some(value.clone());
            }
            b"ADDR" => filters.addr = Some(value.clone()),
            b"LADDR" => filters.laddr = Some(value.clone()),
            b"MAXAGE" => {
                let age = parse_int(value).ok_or(refusal("ERR maxage is not an integer or out of range"))?;
                if age <= 0 {
                    return Err(refusal("ERR maxage should be greater than 0"));
                }
                filters.max_age = u64::try_from(age).ok();
            }
            b"SKIPME" if is(value, "yes") => filters.includes_me = false,
            b"SKIPME" if is(value, "no") => filters.includes_me = true,
            _ => return Err(SYNTAX),
        }
    }
    Ok(filters)
}

fn kill(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let by_address = args.len() == 3;
    let filters = if by_address {
        Filters { addr: Some(args[2].clone()), includes_me: true, ..Filters::default() }
    } else {
        filters(cx, &args[2..])?
    };
    let found = cx.model.clients_that(|client| filters.fits(cx, client));
    if by_address && found.is_empty() {
        return Err(refusal("ERR No such client"));
    }
    for id in found.iter().filter(|id| **id != cx.id) {
        cx.model.close(*id, true);
    }
    let reply = if by_address { crate::reply::OK } else { Reply::count(found.len()) };
    if found.contains(&cx.id) {
        // Its own connection is told, and then ended.
        cx.client().reply(&reply);
        let id = cx.id;
        cx.model.close(id, false);
        return Ok(Reply::Nothing);
    }
    Ok(reply)
}

fn unblock(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let with_error = match &args[3..] {
        [] => false,
        [word] if is(word, "TIMEOUT") => false,
        [word] if is(word, "ERROR") => true,
        [_, _, ..] => return Err(super::odd_subcommand(args)),
        _ => return Err(refusal("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    let id = int(&args[2])?;
    let Some(id) = u64::try_from(id).ok() else { return Ok(Reply::Int(0)) };
    let Some(blocked) = cx.model.unblock(id) else { return Ok(Reply::Int(0)) };
    let reply = if with_error {
        Reply::Error("UNBLOCKED client unblocked via CLIENT UNBLOCK".into())
    } else {
        blocked.on_timeout
    };
    cx.model.write_reply(id, &reply);
    Ok(Reply::Int(1))
}
