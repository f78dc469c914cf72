//! `SENTINEL`.
//!
//! This file must not know how a sentinel comes to believe something.

use super::{Args, Command, Keys, row};
use crate::context::Context;
use crate::reply::{Outcome, Refusal, Reply, refusal};
use crate::sentinel::{Address, Service};

const FLAGS: &str = "admin only_sentinel";
const CATEGORIES: &str = "admin slow dangerous";

pub(crate) const ROWS: &[Command] = &[
    row("SENTINEL", -2, FLAGS, Keys::None, CATEGORIES, super::container),
    row("SENTINEL CKQUORUM", 3, FLAGS, Keys::None, CATEGORIES, ckquorum),
    row("SENTINEL GET-MASTER-ADDR-BY-NAME", 3, FLAGS, Keys::None, CATEGORIES, address),
    row("SENTINEL MASTER", 3, FLAGS, Keys::None, CATEGORIES, master),
    row("SENTINEL MASTERS", 2, FLAGS, Keys::None, CATEGORIES, masters),
    row("SENTINEL MYID", 2, FLAGS, Keys::None, CATEGORIES, myid),
    row("SENTINEL REPLICAS", 3, FLAGS, Keys::None, CATEGORIES, replicas),
    row("SENTINEL SENTINELS", 3, FLAGS, Keys::None, CATEGORIES, sentinels),
    row("SENTINEL SLAVES", 3, FLAGS, Keys::None, CATEGORIES, replicas),
];

fn service<'c>(cx: &'c Context<'_>, name: &[u8]) -> Result<&'c Service, Refusal> {
    let services = cx.model.services.as_ref();
    let found = services.and_then(|services| services.get(String::from_utf8_lossy(name).as_ref()));
    found.ok_or(refusal("ERR No such master with that name"))
}

fn address(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(match service(cx, &args[2]) {
        Ok(service) => Reply::list([service.master.0.clone(), service.master.1.to_string()]),
        Err(_) => Reply::NullArray,
    })
}

/// A server as sentinels describe it.
fn described(fields: Vec<(&str, String)>) -> Reply {
    Reply::fields(fields.into_iter().map(|(name, value)| (name, Reply::bulk(value))))
}

fn described_master(service: &Service) -> Reply {
    described(vec![
        ("name", service.name.clone()),
        ("ip", service.master.0.clone()),
        ("port", service.master.1.to_string()),
        ("runid", String::new()),
        ("flags", if service.down { "s_down,o_down,master" } else { "master" }.to_owned()),
        ("role-reported", "master".to_owned()),
        ("config-epoch", service.epoch.to_string()),
        ("num-slaves", service.replicas.len().to_string()),
        ("num-other-sentinels", service.sentinels.len().to_string()),
        ("quorum", service.quorum.to_string()),
    ])
}

fn described_other(service: &Service, (host, port): &Address, is_replica: bool) -> Reply {
    let mut fields = vec![
        ("name", format!("{host}:{port}")),
        ("ip", host.clone()),
        ("port", port.to_string()),
        ("runid", String::new()),
        ("flags", if is_replica { "slave" } else { "sentinel" }.to_owned()),
    ];
    if is_replica {
        fields.extend([
            ("master-link-status", if service.down { "err" } else { "ok" }.to_owned()),
            ("master-host", service.master.0.clone()),
            ("master-port", service.master.1.to_string()),
            ("slave-priority", "100".to_owned()),
        ]);
    }
    described(fields)
}

fn master(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(described_master(service(cx, &args[2])?))
}

fn masters(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    Ok(Reply::Array(
        cx.model.services.iter().flatten().map(|(_, service)| described_master(service)).collect(),
    ))
}

fn replicas(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let service = service(cx, &args[2])?;
    Ok(Reply::Array(service.replicas.iter().map(|replica| described_other(service, replica, true)).collect()))
}

fn sentinels(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let service = service(cx, &args[2])?;
    Ok(Reply::Array(service.sentinels.iter().map(|other| described_other(service, other, false)).collect()))
}

fn ckquorum(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let service = service(cx, &args[2])?;
    let usable = service.sentinels.len() + 1;
    if u64::try_from(usable).is_ok_and(|usable| usable >= service.quorum) {
        return Ok(Reply::Simple(
            format!("OK {usable} usable Sentinels. Quorum and failover authorization can be reached").into(),
        ));
    }
    Err(Refusal::new(format!(
        "NOQUORUM {usable} usable Sentinels. Not enough available Sentinels to reach the specified quorum \
         for this master"
    )))
}

fn myid(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    Ok(Reply::bulk(cx.model.run_id.as_str()))
}

/// What a sentinel does besides; of all else it says that there is no such command.
pub(crate) fn is_allowed(command: &Command) -> bool {
    let name = command.name.split(' ').next().unwrap_or_default();
    matches!(
        name,
        "SENTINEL"
            | "PING"
            | "SUBSCRIBE"
            | "UNSUBSCRIBE"
            | "PSUBSCRIBE"
            | "PUNSUBSCRIBE"
            | "PUBLISH"
            | "INFO"
            | "ROLE"
            | "CLIENT"
            | "COMMAND"
            | "HELLO"
            | "AUTH"
            | "ACL"
            | "RESET"
            | "QUIT"
    )
}
