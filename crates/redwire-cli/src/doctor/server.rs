//! The layer of the server itself: version, role, memory, room for clients, persistence, and whether it takes
//! writes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redwire::{ErrorKind, Result, Value, cmd};

use super::handshake::busy;
use super::report::{Finding, Layer};
use super::tls::sentence;
use crate::info::Info;
use crate::session::Session;

/// The directives that are asked for, where the server tells them.
pub(crate) type Directives = BTreeMap<String, String>;

pub(crate) async fn directives(session: &mut Session) -> Directives {
    let mut directives = Directives::new();
    // One by one: servers before 7.0 take only one, and hosted ones know a few.
    for name in ["maxclients", "timeout", "tcp-keepalive", "proto-max-bulk-len"] {
        if let Ok(told) = session.call(cmd("CONFIG GET").arg(name)).await {
            directives.extend(pairs(told));
        }
    }
    directives
}

/// A map, as RESP3 has it, or a flat list.
fn pairs(told: Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match told {
        Value::Map(pairs) => pairs.iter().map(|(name, value)| (text(name), text(value))).collect(),
        Value::Array(flat) => flat.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
        _ => Vec::new(),
    }
}

/// `key` is one that no program uses: writing to it is tried with `XX`, which changes nothing.
pub(crate) async fn examine(
    session: &mut Session,
    info: &Result<Info>,
    directives: &Directives,
    key: &str,
) -> Layer {
    let begun = Instant::now();
    let mut layer = Layer::new("server");
    let slow = session.call(cmd("SLOWLOG LEN")).await.ok().and_then(|length| length.as_i64());
    let written = session.call(cmd("SET").arg(key).arg("x").arg("XX")).await;
    layer.took(begun.elapsed());
    match info {
        Ok(info) => {
            describe(&mut layer, info, directives, slow);
            loading(&mut layer, info);
            replica(&mut layer, info);
            memory(&mut layer, info);
            clients(&mut layer, info, directives);
            persistence(&mut layer, info);
        }
        Err(error) => layer.found(Finding::warning(
            format!("The server gives no information about itself: {}", sentence(error.message())),
            "Give the user `+info` so that its memory, role and clients can be checked.",
        )),
    }
    let role = info.as_ref().map_or("unknown", Info::role);
    writes(&mut layer, written, role);
    layer
}

fn describe(layer: &mut Layer, info: &Info, directives: &Directives, slow: Option<i64>) {
    let up = Duration::from_secs(info.number("uptime_in_seconds").unwrap_or(0));
    let limit = match info.number("maxmemory") {
        Some(0) | None => "no limit".to_owned(),
        Some(limit) => size(limit),
    };
    let used = size(info.number("used_memory").unwrap_or(0));
    let most = most_clients(info, directives);
    let clients: u64 = info.number("connected_clients").unwrap_or(0);
    let of = most.map_or_else(String::new, |most| format!(" of {most}"));
    layer.summary(format!(
        "{}, {}, up {}; memory {used} of {limit}; clients {clients}{of}",
        info.server(),
        info.role(),
        age(up),
    ));
    layer.detail("version", info.server());
    layer.detail("mode", info.text("redis_mode").unwrap_or("unknown"));
    layer.detail("role", info.role());
    layer.detail("uptime_seconds", up.as_secs());
    layer.detail("memory_used", info.number::<u64>("used_memory"));
    layer.detail("memory_max", info.number::<u64>("maxmemory"));
    layer.detail("memory_policy", info.text("maxmemory_policy"));
    layer.detail("clients", clients);
    layer.detail("clients_max", most);
    layer.detail("slow_log", slow);
}

fn most_clients(info: &Info, directives: &Directives) -> Option<u64> {
    info.number("maxclients").or_else(|| directives.get("maxclients")?.parse().ok())
}

fn loading(layer: &mut Layer, info: &Info) {
    if info.is("loading", "1") {
        let done = info.text("loading_loaded_perc").unwrap_or("?");
        let left = info.text("loading_eta_seconds").unwrap_or("?");
        layer.found(Finding::bad(
            format!(
                "The server is loading its data: {done} % are in memory, {left} s to go; until then it \
                 serves no client."
            ),
            "Wait. If it happens often, find out why the server restarts.",
        ));
    }
}

fn replica(layer: &mut Layer, info: &Info) {
    if info.role() == "replica" && !info.is("master_link_status", "up") {
        let since = info.text("master_link_down_since_seconds").unwrap_or("an unknown number of");
        layer.found(Finding::bad(
            format!(
                "This replica has no link to its master for {since} seconds: its data is old, and gets older."
            ),
            "See the replica's log: `masterauth` and `masteruser`, `replicaof`, the network between the two, \
             and whether the master is up.",
        ));
    }
}

fn memory(layer: &mut Layer, info: &Info) {
    let (Some(used), Some(limit)) = (info.number::<u64>("used_memory"), info.number::<u64>("maxmemory"))
    else {
        return;
    };
    if limit > 0 && used >= limit / 10 * 9 && info.is("maxmemory_policy", "noeviction") {
        layer.found(Finding::warning(
            format!(
                "{} of {} of memory are used, and nothing is evicted (`noeviction`): writes are refused \
                 once it is full.",
                size(used),
                size(limit)
            ),
            "Raise `maxmemory`, let keys expire, or choose a policy that evicts (`maxmemory-policy`) if this \
             is a cache.",
        ));
    }
}

fn clients(layer: &mut Layer, info: &Info, directives: &Directives) {
    let (Some(now), Some(most)) = (info.number::<u64>("connected_clients"), most_clients(info, directives))
    else {
        return;
    };
    if now.saturating_mul(10) >= most.saturating_mul(9) {
        layer.found(Finding::warning(
            format!("{now} of {most} clients are connected: soon the server refuses new ones."),
            "Find who holds so many (`CLIENT LIST`), bound the pools, or raise `maxclients`.",
        ));
    }
}

fn persistence(layer: &mut Layer, info: &Info) {
    for (field, what) in
        [("rdb_last_bgsave_status", "snapshot"), ("aof_last_write_status", "write to the append-only file")]
    {
        if info.is(field, "err") {
            layer.found(Finding::warning(
                format!("The server's last {what} failed: if the server ends, what is in memory is lost."),
                "Look for a full disk, missing rights to its directory, or too little memory to fork, in the \
                 server's log.",
            ));
        }
    }
}

/// What the trial write tells.
fn writes(layer: &mut Layer, written: Result<Value>, role: &str) {
    layer.detail("takes_writes", written.is_ok());
    let Err(error) = written else { return };
    match (error.kind(), error.code()) {
        (ErrorKind::ReadOnly, _) => layer.found(Finding::warning(
            "This is a replica, and read-only: reads work, every write is refused.",
            "Give clients that write the master's address (see `topology`), or a Sentinel or Cluster URL \
             that finds it.",
        )),
        (_, Some("OOM")) => layer.found(Finding::bad(
            "The server is full: its memory is at `maxmemory`, nothing may be evicted, and writes are \
             refused.",
            "Raise `maxmemory`, delete or expire keys, or choose a policy that evicts (`maxmemory-policy`) \
             if this is a cache.",
        )),
        (_, Some("MISCONF")) => layer.found(Finding::bad(
            "The server refuses writes, since it could not save its data.",
            "Look for a full disk or missing rights in its log; `stop-writes-on-bgsave-error no` accepts \
             writes in spite of that.",
        )),
        (_, Some("NOREPLICAS")) => layer.found(Finding::bad(
            "The server refuses writes, since too few of its replicas are there (`min-replicas-to-write`).",
            "Bring the replicas back; `topology` shows those that are there.",
        )),
        (ErrorKind::Busy, _) => layer.found(busy(&error)),
        // The rights have a layer of their own, and the cluster.
        (ErrorKind::Authentication(_) | ErrorKind::Cluster(_), _) => {}
        _ => layer.found(Finding::warning(
            format!("A trial write to this {role} failed: {}", sentence(error.message())),
            "The server said so; its log may say more.",
        )),
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in UNITS {
        if bytes >= unit {
            let tenths = bytes.saturating_mul(10) / unit;
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} bytes")
}

fn age(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
