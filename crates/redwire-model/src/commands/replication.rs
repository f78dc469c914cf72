//! What clients ask of replication.
//!
//! This file must not know how writes reach replicas.

use super::{Args, Command, Keys, row};
use crate::context::{Context, done, int, is, milliseconds};
use crate::number::parse_int;
use crate::reply::{Outcome, Reply, refusal};

pub(crate) const ROWS: &[Command] = &[
    row(
        "REPLICAOF",
        3,
        "admin noscript stale no_async_loading",
        Keys::None,
        "admin slow dangerous",
        replicaof,
    ),
    row("ROLE", 1, "noscript loading stale fast", Keys::None, "admin fast dangerous", role),
    row("SLAVEOF", 3, "admin noscript stale no_async_loading", Keys::None, "admin slow dangerous", replicaof),
    row("WAIT", 3, "blocking", Keys::None, "slow blocking connection", wait),
];

fn replicaof(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if is(&args[1], "NO") && is(&args[2], "ONE") {
        cx.model.turn_to(None);
        return done();
    }
    let port = parse_int(&args[2]).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(refusal("ERR Invalid master port"))?;
    let host = String::from_utf8_lossy(&args[1]).into_owned();
    cx.model.turn_to(Some((&host, port)));
    done()
}

fn role(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    if let Some(services) = &cx.model.services {
        return Ok(Reply::Array(vec![
            Reply::bulk("sentinel"),
            Reply::list(services.keys().map(String::as_str)),
        ]));
    }
    let replication = &cx.model.replication;
    let offset = Reply::number(replication.offset);
    if let Some((host, port)) = &replication.master {
        let state = if replication.link_up { "connected" } else { "connect" };
        let (host, port) = (Reply::bulk(host.as_str()), Reply::Int((*port).into()));
        return Ok(Reply::Array(vec![Reply::bulk("slave"), host, port, Reply::bulk(state), offset]));
    }
    if cx.model.role() == "slave" {
        let (host, port) = (Reply::bulk("127.0.0.1"), Reply::Int(6379));
        return Ok(Reply::Array(vec![Reply::bulk("slave"), host, port, Reply::bulk("connected"), offset]));
    }
    let replicas = replication.replicas.iter().map(|(address, acknowledged)| {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
        Reply::list([host.to_owned(), port.to_owned(), acknowledged.to_string()])
    });
    Ok(Reply::Array(vec![Reply::bulk("master"), offset, Reply::Array(replicas.collect())]))
}

fn wait(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let wanted = int(&args[1])?;
    let limit = milliseconds(&args[2])?;
    if cx.model.replication.master.is_some() {
        return Err(refusal(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a \
             replica is configured to be writable (which is not the default) writes to replicas are just \
             local and are not propagated.",
        ));
    }
    let count = cx.model.acknowledged(cx.id);
    if count >= wanted || !cx.may_wait {
        return Ok(Reply::Int(count));
    }
    Ok(cx.wait(&[], limit, args, Reply::Int(count)))
}
