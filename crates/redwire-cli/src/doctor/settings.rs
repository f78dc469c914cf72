//! The layer of settings: keepalive and timeouts of both sides that do not fit together.

use std::time::Duration;

use redwire::config::Config;

use super::report::{Finding, Layer};
use super::server::Directives;

pub(crate) fn examine(config: &Config, directives: &Directives) -> Layer {
    let mut layer = Layer::new("settings");
    for (name, value) in directives {
        layer.detail(&format!("server_{}", name.replace('-', "_")), value.as_str());
    }
    for (name, time) in [
        ("client_idle_timeout_ms", config.idle_timeout()),
        ("client_health_check_interval_ms", config.health_check_interval()),
        ("client_timeout_ms", config.timeout()),
        ("client_connect_timeout_ms", Some(config.connect_timeout())),
    ] {
        layer.detail(name, time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
    }
    own(&mut layer, config);
    if directives.is_empty() {
        layer.summary("the server's settings are not known: this user may not read them (`CONFIG GET`)");
        return layer;
    }
    layer.summary("the server's timeouts and the client's fit together");
    let number = |name: &str| directives.get(name).and_then(|value| value.parse::<u64>().ok());
    if let Some(limit) = number("timeout").filter(|seconds| *seconds > 0).map(Duration::from_secs) {
        idle(&mut layer, config, limit);
    }
    if number("tcp-keepalive") == Some(0) {
        layer.found(Finding::warning(
            "The server never asks whether a silent client is still there (`tcp-keepalive 0`): those that \
             vanished stay, and count for `maxclients`.",
            "`CONFIG SET tcp-keepalive 300`, which is the default.",
        ));
    }
    let limits = config.reply_limits();
    let most = limits.bulk_len.min(limits.frame_len);
    if let Some(largest) = number("proto-max-bulk-len").filter(|bytes| *bytes > most) {
        layer.found(Finding::warning(
            format!(
                "The server takes values of up to {largest} bytes, and this client reads replies of up to \
                 {most}: it could write values that it cannot read."
            ),
            "Make `max_reply_bulk` and `max_reply_bytes` at least as large as the server's \
             `proto-max-bulk-len`.",
        ));
    }
    if let Some(most) = number("maxclients").filter(|most| *most <= config.max_connections() as u64) {
        layer.found(Finding::warning(
            format!(
                "One client may open {} connections, and the server takes {most} of all clients together.",
                config.max_connections()
            ),
            "Lower `max_connections`, or raise the server's `maxclients`.",
        ));
    }
    layer
}

/// The server closes what is idle for `limit`.
fn idle(layer: &mut Layer, config: &Config, limit: Duration) {
    if config.idle_timeout().is_none_or(|ours| ours >= limit) {
        let ours =
            config.idle_timeout().map_or_else(|| "for ever".to_owned(), |ours| format!("for {ours:?}"));
        layer.found(Finding::warning(
            format!(
                "The server closes connections that are idle for {limit:?} (`timeout`), and a pool keeps \
                 them {ours}: some calls pay for a new one."
            ),
            format!(
                "Set `idle_timeout` below {limit:?}; or `timeout 0` at the server, which is the \
                 default."
            ),
        ));
    }
    if config.health_check_interval().is_none_or(|ours| ours >= limit) {
        layer.found(Finding::warning(
            format!(
                "The server closes connections that are idle for {limit:?} (`timeout`), and the shared \
                 connection is not asked more often."
            ),
            format!("Set `health_check_interval` below {limit:?}."),
        ));
    }
}

/// What does not fit on this side alone.
fn own(layer: &mut Layer, config: &Config) {
    if config.timeout().is_some_and(|all| all < config.connect_timeout()) {
        layer.found(Finding::warning(
            format!(
                "A call has {:?} for everything, and connecting alone may take {:?}: a call that has to \
                 connect is given up early.",
                config.timeout().unwrap_or_default(),
                config.connect_timeout()
            ),
            "Make `timeout` longer than `connect_timeout`.",
        ));
    }
    if config.keepalive().is_none() && config.health_check_interval().is_none() {
        layer.found(Finding::warning(
            "Neither TCP keepalive nor health checks are on: a connection whose peer vanished is never \
             noticed.",
            "Leave `keepalive` or `health_check_interval` at their defaults.",
        ));
    }
}
