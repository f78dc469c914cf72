//! The text of `INFO`.
//!
//! This file must not know how the numbers come about.

use crate::conditions::Condition;
use crate::model::Model;

/// All sections in order.
const SECTIONS: [&str; 8] =
    ["server", "clients", "memory", "persistence", "stats", "replication", "cluster", "keyspace"];

impl Model {
    /// `standalone` or `cluster`.
    pub(crate) fn mode(&self) -> &'static str {
        match () {
            () if self.services.is_some() => "sentinel",
            () if self.cluster.is_some() => "cluster",
            () => "standalone",
        }
    }

    /// What the server is: `master` or `slave`.
    pub(crate) fn role(&self) -> &'static str {
        if self.is(Condition::ReadOnly) || self.replication.master.is_some() { "slave" } else { "master" }
    }
}

/// The text for some sections; for all without any.
pub(crate) fn text(model: &Model, wanted: &[String]) -> String {
    let is_all = wanted.is_empty()
        || wanted.iter().any(|word| matches!(word.as_str(), "all" | "default" | "everything"));
    let mut text = String::new();
    for section in SECTIONS {
        if is_all || wanted.iter().any(|word| word == section) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let title = section[..1].to_ascii_uppercase() + &section[1..];
            text.push_str(&format!("# {title}\r\n"));
            for (name, value) in lines(model, section) {
                text.push_str(&format!("{name}:{value}\r\n"));
            }
        }
    }
    text
}

fn lines(model: &Model, section: &str) -> Vec<(String, String)> {
    let line = |name: &str, value: String| (name.to_owned(), value);
    let flag = |is: bool| u8::from(is).to_string();
    match section {
        "server" => vec![
            line("redis_version", model.options.version.clone()),
            line("redis_mode", model.mode().to_owned()),
            line("os", "model".to_owned()),
            line("arch_bits", "64".to_owned()),
            line("process_id", "1".to_owned()),
            line("run_id", model.run_id.clone()),
            line("tcp_port", model.options.port.to_string()),
            line("server_time_usec", (model.options.unix_time + model.now).as_micros().to_string()),
            line("uptime_in_seconds", model.now.saturating_sub(model.began).as_secs().to_string()),
        ],
        "clients" => clients(model),
        "memory" => vec![
            line("used_memory", (1_000_000 + 100 * keys(model)).to_string()),
            line("maxmemory", "0".to_owned()),
            line("maxmemory_policy", "noeviction".to_owned()),
        ],
        "persistence" => vec![
            line("loading", flag(model.is(Condition::Loading))),
            line(
                "rdb_last_bgsave_status",
                if model.is(Condition::CannotSave) { "err" } else { "ok" }.to_owned(),
            ),
            line("aof_enabled", "0".to_owned()),
        ],
        "stats" => vec![
            line("total_connections_received", model.stats.connections.to_string()),
            line("total_commands_processed", model.stats.commands.to_string()),
            line("rejected_connections", model.stats.rejected.to_string()),
            line("expired_keys", model.stats.expired.to_string()),
            line("keyspace_hits", model.stats.hits.to_string()),
            line("keyspace_misses", model.stats.misses.to_string()),
            line("pubsub_channels", model.pubsub.channels.len().to_string()),
            line("pubsub_patterns", model.pubsub.patterns.len().to_string()),
            line("pubsubshard_channels", model.pubsub.shard_channels.len().to_string()),
            line("tracking_total_keys", model.tracked_keys().to_string()),
            line("total_error_replies", model.stats.errors.to_string()),
        ],
        "replication" => replication(model),
        "cluster" => vec![line("cluster_enabled", flag(model.cluster.is_some()))],
        _ => keyspace(model),
    }
}

fn clients(model: &Model) -> Vec<(String, String)> {
    let count = |wanted: &dyn Fn(&crate::client::Client) -> bool| {
        model.clients.values().filter(|client| !client.closing && wanted(client)).count().to_string()
    };
    let line = |name: &str, value: String| (name.to_owned(), value);
    vec![
        line("connected_clients", count(&|_| true)),
        line("maxclients", model.config.maxclients().to_string()),
        line("blocked_clients", count(&|client| client.blocked.is_some())),
        line("tracking_clients", count(&|client| client.tracking.is_some())),
        line("pubsub_clients", count(&crate::client::Client::is_subscriber)),
        line("watching_clients", count(&|client| !client.watched.is_empty())),
    ]
}

fn replication(model: &Model) -> Vec<(String, String)> {
    let line = |name: &str, value: String| (name.to_owned(), value);
    let (replication, offset) = (&model.replication, model.replication.offset.to_string());
    let mut lines = vec![line("role", model.role().to_owned())];
    if let Some((host, port)) = &replication.master {
        lines.push(line("master_host", host.clone()));
        lines.push(line("master_port", port.to_string()));
        lines.push(line("master_link_status", if replication.link_up { "up" } else { "down" }.to_owned()));
        lines.push(line("slave_repl_offset", offset.clone()));
        lines.push(line("slave_read_only", "1".to_owned()));
    }
    lines.push(line("connected_slaves", replication.replicas.len().to_string()));
    for (number, (address, acknowledged)) in replication.replicas.iter().enumerate() {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
        let told = format!("ip={host},port={port},state=online,offset={acknowledged},lag=0");
        lines.push(line(&format!("slave{number}"), told));
    }
    lines.push(line("master_replid", model.run_id.clone()));
    lines.push(line("master_repl_offset", offset));
    lines
}

fn keys(model: &Model) -> usize {
    model.databases.iter().map(crate::database::Database::len).sum()
}

fn keyspace(model: &Model) -> Vec<(String, String)> {
    let used = model.databases.iter().enumerate().filter(|(_, database)| database.len() > 0);
    used.map(|(number, database)| {
        let (keys, expires) = (database.len(), database.expiring());
        (format!("db{number}"), format!("keys={keys},expires={expires},avg_ttl=0,subexpiry=0"))
    })
    .collect()
}
