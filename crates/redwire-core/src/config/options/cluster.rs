//! The rows of Cluster.

use super::{UrlOption, option, part};
use crate::cluster::{ReadStrategy, Source};
use crate::config::cast::{Expected, boolean, duration, integer, show_duration};

pub(super) const OPTIONS: &[UrlOption] = &[
    option(
        "map_source",
        &[],
        |b, v| Ok(b.map_source(source(v)?)),
        |c| match c.cluster.source {
            Source::Slots => "slots".to_owned(),
            Source::Shards => "shards".to_owned(),
        },
    ),
    option(
        "require_full_coverage",
        &[],
        |b, v| Ok(b.require_full_coverage(boolean(v)?)),
        |c| c.cluster.require_full_coverage.to_string(),
    ),
    option(
        "dynamic_startup_nodes",
        &["nodemanager_follow_cluster"],
        |b, v| Ok(b.dynamic_startup_nodes(boolean(v)?)),
        |c| c.cluster.dynamic_startup_nodes.to_string(),
    ),
    part("skip_full_coverage_check", &[], |b, v| Ok(b.require_full_coverage(!boolean(v)?))),
    part("read_from_replicas", &[], |mut b, v| {
        b.config.read_from_replicas = boolean(v)?;
        Ok(b)
    }),
    option(
        "refresh_after_moved",
        &["reinitialize_steps"],
        |b, v| Ok(b.refresh_after_moved(integer(v)?)),
        |c| c.cluster.refresh_after_moved.to_string(),
    ),
    option(
        "refresh_pause",
        &[],
        |b, v| Ok(b.refresh_pause(duration(v)?)),
        |c| show_duration(c.cluster.refresh_pause),
    ),
    option(
        "refresh_interval",
        &[],
        |b, v| Ok(b.refresh_interval(duration(v)?)),
        |c| show_duration(c.cluster.refresh_interval.unwrap_or_default()),
    ),
    option(
        "max_redirects",
        &[],
        |b, v| Ok(b.max_redirects(integer(v)?)),
        |c| c.cluster.max_redirects.to_string(),
    ),
    option(
        "read_strategy",
        &["load_balancing_strategy"],
        |b, v| Ok(b.read_strategy(strategy(v)?)),
        |c| show_strategy(c.cluster.read_strategy).to_owned(),
    ),
    option("zone", &[], |b, v| Ok(b.zone(v)), |c| c.cluster.zone.clone().unwrap_or_default()),
    option(
        "max_cluster_connections",
        &[],
        |b, v| Ok(b.max_cluster_connections(integer(v)?)),
        |c| c.cluster.max_connections.map(|most| most.to_string()).unwrap_or_default(),
    ),
    part("max_connections_per_node", &[], |b, v| match v {
        // As redis-py-cluster has it.
        "True" | "true" => Ok(b.max_connections(16)),
        "False" | "false" => Ok(b),
        _ => Ok(b.max_connections(integer(v).map_err(|_| "a whole number, or true, which is 16")?)),
    }),
];

fn source(text: &str) -> Result<Source, Expected> {
    match text {
        "slots" => Ok(Source::Slots),
        "shards" => Ok(Source::Shards),
        _ => Err("slots or shards"),
    }
}

const STRATEGIES: [ReadStrategy; 5] = [
    ReadStrategy::Primary,
    ReadStrategy::RoundRobin,
    ReadStrategy::ReplicaPreferred,
    ReadStrategy::LowestLatency,
    ReadStrategy::SameZone,
];

fn strategy(text: &str) -> Result<ReadStrategy, Expected> {
    // Words of redis-py.
    let text = match text {
        "round_robin_replicas" | "random_replica" => "replica_preferred",
        text => text,
    };
    let found = STRATEGIES.into_iter().find(|strategy| show_strategy(*strategy) == text);
    found.ok_or("primary, round_robin, replica_preferred, lowest_latency or same_zone")
}

fn show_strategy(strategy: ReadStrategy) -> &'static str {
    match strategy {
        ReadStrategy::Primary => "primary",
        ReadStrategy::RoundRobin => "round_robin",
        ReadStrategy::ReplicaPreferred => "replica_preferred",
        ReadStrategy::LowestLatency => "lowest_latency",
        ReadStrategy::SameZone => "same_zone",
    }
}
