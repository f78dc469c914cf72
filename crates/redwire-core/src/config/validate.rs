//! Which values are allowed. Promises that a [`Config`] that passed can be used as it stands: no time that
//! overflows a clock, no text a server refuses, no limit that stops everything. Must not know where a value
//! came from.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use super::{Config, ConfigError, Deployment, Endpoint, HostPort, SentinelOptions, cast::show_duration};
use crate::backoff::Backoff;
use crate::cluster::{ClusterOptions, ReadStrategy};

mod tls;

/// `config` itself, or its first fault.
pub(super) fn validate(mut config: Config) -> Result<Config, ConfigError> {
    deployment(&config)?;
    // In a cluster, to read only is to read from replicas; but a strategy says it more exactly.
    let in_cluster = matches!(config.deployment, Deployment::Cluster { .. });
    let from_replicas = std::mem::take(&mut config.read_from_replicas);
    if config.cluster.read_strategy == ReadStrategy::Primary {
        config.cluster.read_strategy = match (config.read_only && in_cluster, from_replicas) {
            (true, _) => ReadStrategy::ReplicaPreferred,
            (false, true) => ReadStrategy::RoundRobin,
            (false, false) => ReadStrategy::Primary,
        };
    }
    sentinel(&config)?;
    cluster(&config)?;
    tls::validate(&config)?;
    credentials(&config)?;
    times(&config)?;
    texts(&config)?;
    within("db", config.db, 0..=MAX_DB)?;
    within("max_connections", config.max_connections, 1..=1 << 20)?;
    within("min_idle_connections", config.min_idle_connections, 0..=config.max_connections)?;
    within("max_connecting", config.max_connecting, 1..=1 << 20)?;
    within("retry_budget", config.retry_budget, 0..=1000)?;
    within("read_buffer_size", config.read_buffer_size as u64, KIB..=1 << 30)?;
    at_least("max_queued_commands", config.max_queued_commands as u64, 1)?;
    at_least("max_queued_bytes", config.max_queued_bytes as u64, KIB)?;
    let limits = config.reply_limits;
    at_least("max_reply_depth", u64::from(limits.depth), 1)?;
    at_least("max_reply_bulk", limits.bulk_len, KIB)?;
    at_least("max_reply_elements", limits.elements, KIB)?;
    at_least("max_reply_line", limits.line_len, KIB)?;
    at_least("max_reply_bytes", limits.frame_len, KIB)?;
    Ok(config)
}

fn deployment(config: &Config) -> Result<(), ConfigError> {
    match &config.deployment {
        Deployment::Single(Endpoint::Tcp(address)) => host_port(address),
        Deployment::Single(Endpoint::Unix(path)) => {
            if path.as_os_str().is_empty() || path.as_os_str().as_encoded_bytes().contains(&0) {
                return Err(ConfigError::new(
                    "path",
                    "the path of a Unix socket, without NUL",
                    path.display(),
                ));
            }
            if config.tls {
                return Err(ConfigError::new("tls", "a TCP server", "a Unix socket"));
            }
            Ok(())
        }
        Deployment::Sentinel { service, .. } if service.is_empty() => {
            Err(ConfigError::new("service", "the name of the master", ""))
        }
        Deployment::Sentinel { nodes, .. } | Deployment::Cluster { nodes } => {
            if nodes.is_empty() {
                return Err(ConfigError::new("nodes", "at least one host and port", ""));
            }
            nodes.iter().try_for_each(host_port)
        }
    }
}

/// None of the options is without effect.
fn sentinel(config: &Config) -> Result<(), ConfigError> {
    let (options, default) = (&config.sentinel, SentinelOptions::default());
    let replaced = [
        ("sentinel_username", options.username.is_some()),
        ("sentinel_password", options.password.is_some()),
        ("sentinel_tls", options.tls.is_some()),
    ];
    let others = [
        ("sentinel_config", options.config.is_some()),
        ("sentinel_timeout", options.timeout != default.timeout),
        ("min_other_sentinels", options.min_other_sentinels != default.min_other_sentinels),
        ("read_from", options.read_from != default.read_from),
    ];
    let first = replaced.iter().chain(&others).find(|(_, differs)| *differs);
    if let (Some((option, _)), false) = (first, matches!(config.deployment, Deployment::Sentinel { .. })) {
        return Err(ConfigError::new(option, "a Sentinel set to go with it (`redis+sentinel://`)", "none"));
    }
    let first = replaced.iter().find(|(_, differs)| *differs);
    if let (Some((option, _)), Some(_)) = (first, &options.config) {
        let expected = "to stand in `sentinel_config`, which takes the place of this option";
        return Err(ConfigError::new(option, expected, "both"));
    }
    time("sentinel_timeout", options.timeout, Duration::from_millis(1)..=MAX_TIME)
}

/// None of the options is without effect.
fn cluster(config: &Config) -> Result<(), ConfigError> {
    let (options, default) = (&config.cluster, ClusterOptions::default());
    let differs = [
        ("map_source", options.source != default.source),
        ("require_full_coverage", options.require_full_coverage != default.require_full_coverage),
        ("dynamic_startup_nodes", options.dynamic_startup_nodes != default.dynamic_startup_nodes),
        ("refresh_after_moved", options.refresh_after_moved != default.refresh_after_moved),
        ("refresh_pause", options.refresh_pause != default.refresh_pause),
        ("refresh_interval", options.refresh_interval != default.refresh_interval),
        ("max_redirects", options.max_redirects != default.max_redirects),
        ("read_strategy", options.read_strategy != default.read_strategy),
        ("zone", options.zone != default.zone),
        ("max_cluster_connections", options.max_connections != default.max_connections),
    ];
    let first = differs.iter().find(|(_, differs)| *differs);
    if let (Some((option, _)), false) = (first, matches!(config.deployment, Deployment::Cluster { .. })) {
        return Err(ConfigError::new(option, "a Cluster to go with it (`redis+cluster://`)", "none"));
    }
    if options.remap != default.remap && matches!(config.deployment, Deployment::Single(_)) {
        let needed = "a Cluster or a Sentinel set to go with it (`redis+cluster://`, `redis+sentinel://`)";
        return Err(ConfigError::new("remap", needed, "none"));
    }
    if options.read_strategy == ReadStrategy::SameZone && options.zone.is_none() {
        return Err(ConfigError::new("read_strategy", "a `zone` beside `same_zone`", "none"));
    }
    if options.zone.is_some() && options.read_strategy != ReadStrategy::SameZone {
        return Err(ConfigError::new("zone", "`read_strategy=same_zone` to go with it", "another"));
    }
    if let Some(interval) = options.refresh_interval {
        time("refresh_interval", interval, LEAST_REPEATED..=MAX_TIME)?;
    }
    within("max_cluster_connections", options.max_connections.unwrap_or(1), 1..=1 << 20)?;
    time("refresh_pause", options.refresh_pause, LEAST_REPEATED..=MAX_TIME)
}

fn host_port(address: &HostPort) -> Result<(), ConfigError> {
    host("host", &address.host)?;
    within("port", address.port, 1..=u16::MAX)
}

fn host(option: &'static str, name: &str) -> Result<(), ConfigError> {
    let banned = |c: char| c.is_control() || c.is_whitespace() || BANNED_IN_HOST.contains(c);
    if name.is_empty() || name.contains(banned) {
        let expected = "a host name or IP address (IPv6 without brackets)";
        return Err(ConfigError::new(option, expected, name.escape_debug()));
    }
    Ok(())
}

fn credentials(config: &Config) -> Result<(), ConfigError> {
    let beside = match (&config.credential_provider, &config.username, &config.password) {
        (None, _, _) | (Some(_), None, None) => return Ok(()),
        (Some(_), _, Some(_)) => "a password",
        (Some(_), Some(_), None) => "a username",
    };
    Err(ConfigError::new("credential_provider", "no username nor password beside it", beside))
}

fn times(config: &Config) -> Result<(), ConfigError> {
    time("connect_timeout", config.connect_timeout, Duration::from_nanos(1)..=MAX_TIME)?;
    time("timeout", config.timeout.unwrap_or_default(), Duration::ZERO..=MAX_TIME)?;
    time("pool_timeout", config.pool_timeout.unwrap_or_default(), Duration::ZERO..=MAX_TIME)?;
    let repeated = [
        ("health_check_interval", config.health_check_interval),
        ("idle_timeout", config.idle_timeout),
        ("max_lifetime", config.max_lifetime),
    ];
    for (option, interval) in repeated {
        time(option, interval.unwrap_or(LEAST_REPEATED), LEAST_REPEATED..=MAX_TIME)?;
    }
    if let Some(limit) = config.retry.attempt_timeout {
        time("attempt_timeout", limit, Duration::from_millis(1)..=MAX_TIME)?;
        if !config.retry.on_timeout {
            return Err(ConfigError::new("attempt_timeout", "`retry_on_timeout` to go with it", "none"));
        }
    }
    if let Some(limit) = config.tcp_user_timeout {
        time("tcp_user_timeout", limit, Duration::from_millis(1)..=MAX_USER_TIMEOUT)?;
    }
    let probes = config.keepalive_probes;
    time("keepalive_idle", probes.idle, Duration::from_secs(1)..=MAX_KEEPALIVE)?;
    time("keepalive_interval", probes.interval, Duration::from_secs(1)..=MAX_KEEPALIVE)?;
    within("keepalive_count", probes.count, 1..=127)?;
    backoff("retry_backoff", config.retry.backoff, Duration::ZERO)?;
    backoff("reconnect_backoff", config.reconnect_backoff, Duration::from_millis(1))
}

fn backoff(option: &'static str, backoff: Backoff, least: Duration) -> Result<(), ConfigError> {
    if backoff.base() < least {
        let expected = format!("a base of at least {}, or an outage becomes a storm", show_duration(least));
        return Err(ConfigError::new(option, expected, backoff));
    }
    if backoff.base() > backoff.cap() || backoff.cap() > MAX_TIME {
        return Err(ConfigError::new(option, "a base up to the cap, and a cap up to a year", backoff));
    }
    Ok(())
}

fn texts(config: &Config) -> Result<(), ConfigError> {
    let names = [
        ("client_name", &config.client_name),
        ("lib_name", &config.lib_name),
        ("lib_version", &config.lib_version),
    ];
    for (option, name) in names {
        if let Some(name) = name.as_deref().filter(|name| !name.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(ConfigError::new(option, "printable ASCII without spaces", name.escape_debug()));
        }
    }
    let is_code =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    match config.retry.codes.iter().find(|word| !is_code(word)) {
        Some(word) => {
            Err(ConfigError::new("retry_on", "error code words as in `LOADING`", word.escape_debug()))
        }
        None => Ok(()),
    }
}

fn time(option: &'static str, got: Duration, allowed: RangeInclusive<Duration>) -> Result<(), ConfigError> {
    if allowed.contains(&got) {
        return Ok(());
    }
    let (low, high) = (show_duration(*allowed.start()), show_duration(*allowed.end()));
    Err(ConfigError::new(option, format!("from {low} to {high}"), show_duration(got)))
}

fn within<T: PartialOrd + Display>(
    option: &'static str,
    got: T,
    allowed: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if allowed.contains(&got) {
        return Ok(());
    }
    let expected = format!("a number from {} to {}", allowed.start(), allowed.end());
    Err(ConfigError::new(option, expected, got))
}

fn at_least(option: &'static str, got: u64, least: u64) -> Result<(), ConfigError> {
    if got >= least {
        return Ok(());
    }
    Err(ConfigError::new(option, format!("at least {least}"), got))
}

/// The protocol's numbers are signed, and no server has more.
const MAX_DB: u32 = i32::MAX as u32;
/// Added to any clock this stays a time.
const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// What happens again and again must leave time for other things.
const LEAST_REPEATED: Duration = Duration::from_millis(10);
/// The largest Linux takes.
const MAX_KEEPALIVE: Duration = Duration::from_secs(32_767);
/// The kernel counts milliseconds in a signed 32-bit number.
const MAX_USER_TIMEOUT: Duration = Duration::from_secs(24 * 24 * 3600);
const KIB: u64 = 1 << 10;
/// These would end the host in a URL, or come from one copied in whole.
const BANNED_IN_HOST: &str = "/?#@[],";
