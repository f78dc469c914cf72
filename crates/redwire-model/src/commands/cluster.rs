//! `CLUSTER`, and what else concerns a node of a cluster.
//!
//! This file must not know how nodes hear of each other.

use super::{Args, Command, Keys, row};
use crate::cluster::{Cluster, SLOTS, slot_of};
use crate::context::{Context, done, int, is};
use crate::number::parse_int;
use crate::reply::{Outcome, Refusal, Reply, SYNTAX, refusal};

pub(crate) const ROWS: &[Command] = &[
    row("ASKING", 1, "fast", Keys::None, "fast connection", asking),
    row("CLUSTER", -2, "", Keys::None, "slow", super::container),
    row(
        "CLUSTER BUMPEPOCH",
        2,
        "admin stale no_async_loading",
        Keys::None,
        "admin slow dangerous",
        bumpepoch,
    ),
    row("CLUSTER COUNTKEYSINSLOT", 3, "stale", Keys::None, "slow", countkeysinslot),
    row("CLUSTER FAILOVER", -2, "admin stale no_async_loading", Keys::None, "admin slow dangerous", failover),
    row("CLUSTER GETKEYSINSLOT", 4, "stale", Keys::None, "slow", getkeysinslot),
    row("CLUSTER INFO", 2, "stale", Keys::None, "slow", info),
    row("CLUSTER KEYSLOT", 3, "stale", Keys::None, "slow", keyslot),
    row("CLUSTER MYID", 2, "stale", Keys::None, "slow", myid),
    row("CLUSTER NODES", 2, "stale", Keys::None, "slow", nodes),
    row("CLUSTER REPLICAS", 3, "admin stale", Keys::None, "admin slow dangerous", replicas),
    row("CLUSTER SETSLOT", -4, "admin stale no_async_loading", Keys::None, "admin slow dangerous", setslot),
    row("CLUSTER SHARDS", 2, "loading stale", Keys::None, "slow", shards),
    row("CLUSTER SLOTS", 2, "loading stale", Keys::None, "slow", slots),
    row("MIGRATE", -6, "write movablekeys", Keys::Range(3, 3, 1), "keyspace write slow dangerous", migrate),
    row("READONLY", 1, "loading stale fast", Keys::None, "fast connection", readonly),
    row("READWRITE", 1, "loading stale fast", Keys::None, "fast connection", readwrite),
];

const DISABLED: Refusal = refusal("ERR This instance has cluster support disabled");
const BAD_SETSLOT: Refusal =
    refusal("ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP");

fn cluster<'c>(cx: &'c mut Context<'_>) -> Result<&'c mut Cluster, Refusal> {
    cx.model.cluster.as_mut().ok_or(DISABLED)
}

fn asking(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    cluster(cx)?;
    cx.client().asking = true;
    done()
}

fn readonly(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    cluster(cx)?;
    cx.client().reads_replica = true;
    done()
}

fn readwrite(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    cluster(cx)?;
    cx.client().reads_replica = false;
    done()
}

fn myid(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    Ok(Reply::bulk(cluster(cx)?.me().node.id.as_str()))
}

fn keyslot(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    cluster(cx)?;
    Ok(Reply::Int(slot_of(&args[2]).into()))
}

fn slot(word: &[u8]) -> Result<u16, Refusal> {
    let slot = parse_int(word).and_then(|slot| u16::try_from(slot).ok()).filter(|slot| *slot < SLOTS);
    slot.ok_or(refusal("ERR Invalid or out of range slot"))
}

fn keys_in(cx: &Context<'_>, slot: u16) -> Vec<Vec<u8>> {
    cx.db().table().keys().filter(|key| slot_of(key) == slot).cloned().collect()
}

fn countkeysinslot(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    cluster(cx)?;
    let slot = slot(&args[2]).map_err(|_| refusal("ERR Invalid slot"))?;
    Ok(Reply::count(keys_in(cx, slot).len()))
}

fn getkeysinslot(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    cluster(cx)?;
    let (slot, most) = (slot(&args[2]), int(&args[3])?);
    let (Ok(slot), Ok(most)) = (slot, usize::try_from(most)) else {
        return Err(refusal("ERR Invalid slot or number of keys"));
    };
    Ok(Reply::list(keys_in(cx, slot).into_iter().take(most)))
}

fn bumpepoch(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let cluster = cluster(cx)?;
    cluster.bump_epoch();
    Ok(Reply::Simple(format!("BUMPED {}", cluster.epoch).into()))
}

/// A replica takes over, without asking the others.
fn failover(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let cluster = cluster(cx)?;
    if cluster.master_of(0) == 0 {
        return Err(refusal("ERR You should send CLUSTER FAILOVER to a replica"));
    }
    if !args.get(2).is_some_and(|word| is(word, "TAKEOVER")) {
        return Err(refusal("ERR the model server knows CLUSTER FAILOVER with TAKEOVER only"));
    }
    let (epoch, now) = (cluster.epoch + 1, cx.model.now);
    cx.model.take_over(epoch, now);
    done()
}

fn setslot(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let slot = slot(&args[2])?;
    let has_keys = !keys_in(cx, slot).is_empty();
    let (offset, now) = (cx.model.replication.offset, cx.model.now);
    let cluster = cluster(cx)?;
    if cluster.master_of(0) != 0 {
        return Err(refusal("ERR You can use SETSLOT only with masters."));
    }
    if is(&args[3], "STABLE") && args.len() == 4 {
        cluster.migrating.remove(&slot);
        cluster.importing.remove(&slot);
        return done();
    }
    let [id] = &args[4..] else {
        return Err(BAD_SETSLOT);
    };
    let id = String::from_utf8_lossy(id).into_owned();
    let at = cluster.find(&id);
    let owner = cluster.owners[usize::from(slot)];
    if is(&args[3], "MIGRATING") {
        if owner != Some(0) {
            return Err(Refusal::new(format!("ERR I'm not the owner of hash slot {slot}")));
        }
        let at = at.ok_or_else(|| Refusal::new(format!("ERR I don't know about node {id}")))?;
        cluster.migrating.insert(slot, at);
    } else if is(&args[3], "IMPORTING") {
        if owner == Some(0) {
            return Err(Refusal::new(format!("ERR I'm already the owner of hash slot {slot}")));
        }
        let at = at.ok_or_else(|| Refusal::new(format!("ERR I don't know about node {id}")))?;
        cluster.importing.insert(slot, at);
    } else if is(&args[3], "NODE") {
        let at = at.ok_or_else(|| Refusal::new(format!("ERR Unknown node {id}")))?;
        if owner == Some(0) && at != 0 && has_keys {
            return Err(Refusal::new(format!(
                "ERR Can't assign hashslot {slot} to a different node while I still hold keys for this hash \
                 slot."
            )));
        }
        let is_imported = at == 0 && cluster.importing.remove(&slot).is_some();
        cluster.migrating.remove(&slot);
        cluster.owners[usize::from(slot)] = Some(at);
        cluster.owners_changed();
        if is_imported {
            // The newest owner has the highest epoch, so that all believe it, and they hear of it at once.
            cluster.bump_epoch();
            cluster.gossip(offset, now);
        }
    } else {
        return Err(BAD_SETSLOT);
    }
    done()
}

fn migrate(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (mut copies, mut replaces, mut keys) = (false, false, vec![args[3].clone()]);
    let mut words = args[6..].iter();
    while let Some(word) = words.next() {
        if is(word, "COPY") {
            copies = true;
        } else if is(word, "REPLACE") {
            replaces = true;
        } else if is(word, "KEYS") && args[3].is_empty() {
            keys = words.by_ref().cloned().collect();
        } else {
            return Err(SYNTAX);
        }
    }
    let port = parse_int(&args[2]).and_then(|port| u16::try_from(port).ok()).ok_or(SYNTAX)?;
    let limit = u64::try_from(int(&args[5])?).ok().filter(|limit| *limit > 0).unwrap_or(1000);
    let (host, limit) =
        (String::from_utf8_lossy(&args[1]).into_owned(), std::time::Duration::from_millis(limit));
    crate::cluster::send(cx, crate::cluster::Wanted { host, port, keys, copies, replaces, limit })
}

fn info(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let now = cx.model.now;
    let cluster = cluster(cx)?;
    let assigned = cluster.owners.iter().flatten().count();
    let failed = cluster.owners.iter().flatten().filter(|at| cluster.nodes[**at].failed).count();
    let lines = [
        ("cluster_state", if cluster.is_ok(now) { "ok".to_owned() } else { "fail".to_owned() }),
        ("cluster_slots_assigned", assigned.to_string()),
        ("cluster_slots_ok", (assigned - failed).to_string()),
        ("cluster_slots_pfail", "0".to_owned()),
        ("cluster_slots_fail", failed.to_string()),
        ("cluster_known_nodes", cluster.nodes.len().to_string()),
        ("cluster_size", cluster.voters().len().to_string()),
        ("cluster_current_epoch", cluster.epoch.to_string()),
        ("cluster_my_epoch", cluster.me().epoch.to_string()),
    ];
    Ok(Reply::Verbatim(lines.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect()))
}

/// A node as `CLUSTER NODES` tells it.
fn line(cluster: &Cluster, at: usize, now: std::time::Duration) -> String {
    let known = &cluster.nodes[at];
    let mut flags = Vec::new();
    if at == 0 {
        flags.push("myself");
    }
    flags.push(if known.node.master.is_some() { "slave" } else { "master" });
    if known.failed {
        flags.push("fail");
    } else if !cluster.is_seen(at, now) {
        flags.push("fail?");
    }
    let mut slots: Vec<String> = cluster
        .ranges(at)
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    if at == 0 {
        let id = |at: &usize| &cluster.nodes[*at].node.id;
        slots.extend(cluster.migrating.iter().map(|(slot, to)| format!("[{slot}->-{}]", id(to))));
        slots.extend(cluster.importing.iter().map(|(slot, from)| format!("[{slot}-<-{}]", id(from))));
    }
    let node = &known.node;
    let (port, master) = (node.port, node.master.as_deref().unwrap_or("-"));
    let link = if cluster.is_seen(at, now) { "connected" } else { "disconnected" };
    let slots = if slots.is_empty() { String::new() } else { format!(" {}", slots.join(" ")) };
    format!(
        "{} {}:{port}@{} {} {master} 0 {} {} {link}{slots}\n",
        node.id,
        node.host,
        u32::from(port) + 10_000,
        flags.join(","),
        known.heard.as_millis(),
        known.epoch
    )
}

fn nodes(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let now = cx.model.now;
    let cluster = cluster(cx)?;
    Ok(Reply::Verbatim((0..cluster.nodes.len()).map(|at| line(cluster, at, now)).collect()))
}

fn replicas(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let now = cx.model.now;
    let cluster = cluster(cx)?;
    let id = String::from_utf8_lossy(&args[2]);
    let at = cluster.find(&id).ok_or_else(|| Refusal::new(format!("ERR Unknown node {id}")))?;
    Ok(Reply::list(cluster.replicas(at).into_iter().map(|at| line(cluster, at, now).trim_end().to_owned())))
}

fn slots(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let cluster = cluster(cx)?;
    let told = |at: usize| {
        let node = &cluster.nodes[at].node;
        let (host, id) = (Reply::bulk(node.host.as_str()), Reply::bulk(node.id.as_str()));
        Reply::Array(vec![host, Reply::Int(node.port.into()), id, Reply::Array(Vec::new())])
    };
    let mut rows: Vec<(u16, u16, usize)> = Vec::new();
    for at in cluster.voters().iter().copied() {
        rows.extend(cluster.ranges(at).into_iter().map(|(first, last)| (first, last, at)));
    }
    rows.sort_unstable();
    let rows = rows.into_iter().map(|(first, last, at)| {
        let replicas = cluster.replicas(at).into_iter().filter(|at| !cluster.nodes[*at].failed);
        let nodes = std::iter::once(at).chain(replicas).map(told);
        Reply::Array([Reply::Int(first.into()), Reply::Int(last.into())].into_iter().chain(nodes).collect())
    });
    Ok(Reply::Array(rows.collect()))
}

fn shards(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let cluster = cluster(cx)?;
    let told = |at: usize| {
        let known = &cluster.nodes[at];
        let role = if known.node.master.is_some() { "replica" } else { "master" };
        Reply::fields([
            ("id", Reply::bulk(known.node.id.as_str())),
            ("port", Reply::Int(known.node.port.into())),
            ("ip", Reply::bulk(known.node.host.as_str())),
            ("endpoint", Reply::bulk(known.node.host.as_str())),
            ("role", Reply::bulk(role)),
            ("replication-offset", Reply::number(known.offset)),
            ("health", Reply::bulk(if known.failed { "fail" } else { "online" })),
        ])
    };
    let masters = (0..cluster.nodes.len()).filter(|at| cluster.nodes[*at].node.master.is_none());
    let shards = masters.map(|at| {
        let ends = cluster.ranges(at).into_iter().flat_map(|(first, last)| [first, last]);
        let slots = Reply::Array(ends.map(|slot| Reply::Int(slot.into())).collect());
        let nodes = std::iter::once(at).chain(cluster.replicas(at)).map(told).collect();
        Reply::fields([("slots", slots), ("nodes", Reply::Array(nodes))])
    });
    Ok(Reply::Array(shards.collect()))
}
