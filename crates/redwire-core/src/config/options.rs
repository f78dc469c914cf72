//! The options a URL's query may name: one row for each, with its redis-py names, its setter and its text.
//! Promises that what `differing` writes, `apply_url` reads back the same. Must not know the grammar of URLs.

use super::{
    Config, ConfigBuilder, ConfigError, Deployment, Endpoint, Protocol,
    cast::{Expected, boolean, duration, integer, show_duration, show_size, size, words},
};
use crate::{
    secret::MASK,
    url::{Url, UrlTarget},
};
pub(crate) use foreign::advice;

mod cluster;
mod foreign;
mod sentinel;
mod tls;

/// One option as a URL knows it.
pub(crate) struct UrlOption {
    pub(crate) name: &'static str,
    aliases: &'static [&'static str],
    set: Set,
    is_secret: bool,
    /// The value's text; `None` for what the URL says before the query.
    show: Option<fn(&Config) -> String>,
}

impl UrlOption {
    /// The option of this name, and the name as it was written.
    pub(crate) fn find(name: &str) -> Option<(&'static Self, &'static str)> {
        all().find_map(|option| {
            let mut names = option.aliases.iter().chain([&option.name]);
            names.find(|known| **known == name).map(|known| (option, *known))
        })
    }

    /// Whether its value must not be shown.
    pub(crate) fn is_secret(&self) -> bool {
        self.is_secret
    }
}

impl std::fmt::Debug for UrlOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The known name most like `name`, if any comes close: a third of its letters may differ.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let names = all().flat_map(|option| option.aliases.iter().chain([&option.name]));
    let close = names.map(|known| (distance(name, known), *known));
    close.filter(|(steps, known)| *steps <= known.len() / 3).min().map(|(_, known)| known)
}

/// Sets all that `url` says on top of `builder`, the query last.
pub(super) fn apply_url(mut builder: ConfigBuilder, url: Url) -> Result<ConfigBuilder, ConfigError> {
    match url.target {
        UrlTarget::Tcp { host, port } => {
            let address = builder.tcp();
            address.host = host.unwrap_or_else(|| std::mem::take(&mut address.host));
            address.port = port.unwrap_or(address.port);
        }
        UrlTarget::Unix(path) => builder = builder.path(path),
        UrlTarget::Many(deployment) => builder = builder.deployment(deployment),
    }
    builder.config.tls |= url.tls;
    builder.config.db = url.db.unwrap_or(builder.config.db);
    if let Some(username) = url.username {
        builder = builder.username(username);
    }
    if let Some(password) = url.password {
        builder = builder.password(password);
    }
    for (option, written, value) in url.query {
        builder = (option.set)(builder, value.reveal()).map_err(|expected| {
            let got = if option.is_secret { MASK } else { value.reveal() };
            ConfigError::new(written, expected, got)
        })?;
    }
    Ok(builder)
}

/// Name and text of each option that differs from its default and does not stand elsewhere in the URL.
pub(super) fn differing(config: &Config) -> Vec<(&'static str, String)> {
    let default = Config::default();
    let shown = all().filter_map(|option| Some((option.name, option.show?)));
    let texts = shown.map(|(name, show)| (name, show(config), show(&default)));
    texts.filter(|(_, text, default)| text != default).map(|(name, text, _)| (name, text)).collect()
}

fn all() -> impl Iterator<Item = &'static UrlOption> {
    OPTIONS.iter().chain(tls::OPTIONS).chain(sentinel::OPTIONS).chain(cluster::OPTIONS)
}

const OPTIONS: &[UrlOption] = &[
    part("host", &[], |b, v| if is_tcp(&b) { Ok(b.host(v)) } else { Err(ONE_TCP) }),
    part("port", &[], |b, v| if is_tcp(&b) { Ok(b.port(integer(v)?)) } else { Err(ONE_TCP) }),
    part("path", &["unix_socket_path"], |b, v| if is_unix(&b) { Ok(b.path(v)) } else { Err(ONE_UNIX) }),
    part("db", &[], |b, v| Ok(b.db(integer(v)?))),
    part("username", &[], |b, v| Ok(b.username(v))),
    secret(part("password", &[], |b, v| Ok(b.password(v)))),
    option(
        "connect_timeout",
        &["socket_connect_timeout"],
        |b, v| Ok(b.connect_timeout(duration(v)?)),
        |c| show_duration(c.connect_timeout),
    ),
    option(
        "timeout",
        &["socket_timeout"],
        |b, v| Ok(b.timeout(duration(v)?)),
        |c| show_duration(c.timeout.unwrap_or_default()),
    ),
    option(
        "keepalive",
        &["socket_keepalive"],
        |b, v| Ok(b.keepalive(boolean(v)?)),
        |c| c.keepalive.to_string(),
    ),
    option(
        "keepalive_idle",
        &[],
        |b, v| Ok(b.keepalive_idle(duration(v)?)),
        |c| show_duration(c.keepalive_probes.idle),
    ),
    option(
        "keepalive_interval",
        &[],
        |b, v| Ok(b.keepalive_interval(duration(v)?)),
        |c| show_duration(c.keepalive_probes.interval),
    ),
    option(
        "keepalive_count",
        &[],
        |b, v| Ok(b.keepalive_count(integer(v)?)),
        |c| c.keepalive_probes.count.to_string(),
    ),
    option(
        "tcp_user_timeout",
        &[],
        |b, v| Ok(b.tcp_user_timeout(duration(v)?)),
        |c| show_duration(c.tcp_user_timeout.unwrap_or_default()),
    ),
    option("nodelay", &[], |b, v| Ok(b.nodelay(boolean(v)?)), |c| c.nodelay.to_string()),
    option(
        "max_connections",
        &["maxsize"],
        |b, v| Ok(b.max_connections(integer(v)?)),
        |c| c.max_connections.to_string(),
    ),
    option(
        "pool_timeout",
        &[],
        |b, v| Ok(b.pool_timeout(duration(v)?)),
        |c| c.pool_timeout.map(show_duration).unwrap_or_default(),
    ),
    option(
        "min_idle_connections",
        &["minsize"],
        |b, v| Ok(b.min_idle_connections(integer(v)?)),
        |c| c.min_idle_connections.to_string(),
    ),
    option(
        "idle_timeout",
        &[],
        |b, v| Ok(b.idle_timeout(duration(v)?)),
        |c| show_duration(c.idle_timeout.unwrap_or_default()),
    ),
    option(
        "max_lifetime",
        &[],
        |b, v| Ok(b.max_lifetime(duration(v)?)),
        |c| show_duration(c.max_lifetime.unwrap_or_default()),
    ),
    option("max_connecting", &[], |b, v| Ok(b.max_connecting(integer(v)?)), |c| c.max_connecting.to_string()),
    option("client_name", &[], |b, v| Ok(b.client_name(v)), |c| c.client_name.clone().unwrap_or_default()),
    option("lib_name", &[], |b, v| Ok(b.lib_name(v)), |c| c.lib_name.clone().unwrap_or_default()),
    option("lib_version", &[], |b, v| Ok(b.lib_version(v)), |c| c.lib_version.clone().unwrap_or_default()),
    option("protocol", &[], |b, v| Ok(b.protocol(protocol(v)?)), |c| show_protocol(c.protocol)),
    option(
        "health_check_interval",
        &[],
        |b, v| Ok(b.health_check_interval(duration(v)?)),
        |c| show_duration(c.health_check_interval.unwrap_or_default()),
    ),
    option("retries", &[], |b, v| Ok(b.retries(integer(v)?)), |c| c.retry.retries.to_string()),
    option("retry_backoff", &[], |b, v| Ok(b.retry_backoff(v.parse()?)), |c| c.retry.backoff.to_string()),
    option(
        "retry_on_timeout",
        &[],
        |b, v| Ok(b.retry_on_timeout(boolean(v)?)),
        |c| c.retry.on_timeout.to_string(),
    ),
    option(
        "attempt_timeout",
        &[],
        |b, v| Ok(b.attempt_timeout(duration(v)?)),
        |c| show_duration(c.retry.attempt_timeout.unwrap_or_default()),
    ),
    option("retry_on", &["retry_on_error"], |b, v| Ok(b.retry_on(words(v))), |c| c.retry.codes.join(",")),
    option("retry_budget", &[], |b, v| Ok(b.retry_budget(integer(v)?)), |c| c.retry_budget.to_string()),
    option("idempotent", &[], |b, v| Ok(b.idempotent(boolean(v)?)), |c| c.idempotent.to_string()),
    option(
        "reconnect_backoff",
        &[],
        |b, v| Ok(b.reconnect_backoff(v.parse()?)),
        |c| c.reconnect_backoff.to_string(),
    ),
    option(
        "read_buffer_size",
        &["socket_read_size"],
        |b, v| Ok(b.read_buffer_size(size(v)?)),
        |c| show_size(c.read_buffer_size as u64),
    ),
    option(
        "read_only",
        &["readonly", "readonly_mode"],
        |b, v| Ok(b.read_only(boolean(v)?)),
        |c| c.read_only.to_string(),
    ),
    option(
        "max_queued_commands",
        &[],
        |b, v| Ok(b.max_queued_commands(integer(v)?)),
        |c| c.max_queued_commands.to_string(),
    ),
    option(
        "max_queued_bytes",
        &[],
        |b, v| Ok(b.max_queued_bytes(size(v)?)),
        |c| show_size(c.max_queued_bytes as u64),
    ),
    option("mark_every", &[], |b, v| Ok(b.mark_every(integer(v)?)), |c| c.mark_every.to_string()),
    option(
        "max_reply_depth",
        &[],
        |b, v| Ok(b.max_reply_depth(integer(v)?)),
        |c| c.reply_limits.depth.to_string(),
    ),
    option(
        "max_reply_bulk",
        &[],
        |b, v| Ok(b.max_reply_bulk(size(v)?)),
        |c| show_size(c.reply_limits.bulk_len),
    ),
    option(
        "max_reply_elements",
        &[],
        |b, v| Ok(b.max_reply_elements(integer(v)?)),
        |c| c.reply_limits.elements.to_string(),
    ),
    option(
        "max_reply_line",
        &[],
        |b, v| Ok(b.max_reply_line(size(v)?)),
        |c| show_size(c.reply_limits.line_len),
    ),
    option(
        "max_reply_bytes",
        &[],
        |b, v| Ok(b.max_reply_bytes(size(v)?)),
        |c| show_size(c.reply_limits.frame_len),
    ),
];

type Set = fn(ConfigBuilder, &str) -> Result<ConfigBuilder, Expected>;

/// An option that stands in the query only.
const fn option(
    name: &'static str,
    aliases: &'static [&'static str],
    set: Set,
    show: fn(&Config) -> String,
) -> UrlOption {
    UrlOption { name, aliases, set, is_secret: false, show: Some(show) }
}

/// An option that also has a place before the query.
const fn part(name: &'static str, aliases: &'static [&'static str], set: Set) -> UrlOption {
    UrlOption { name, aliases, set, is_secret: false, show: None }
}

/// An option whose value is not shown when it is wrong; its text is a mask.
const fn secret(option: UrlOption) -> UrlOption {
    UrlOption { is_secret: true, ..option }
}

fn is_tcp(builder: &ConfigBuilder) -> bool {
    matches!(builder.config.deployment, Deployment::Single(Endpoint::Tcp(_)))
}

fn is_unix(builder: &ConfigBuilder) -> bool {
    matches!(builder.config.deployment, Deployment::Single(Endpoint::Unix(_)))
}

fn protocol(text: &str) -> Result<Protocol, Expected> {
    match text {
        "2" => Ok(Protocol::Resp2),
        "3" => Ok(Protocol::Resp3),
        _ => Err("2 or 3"),
    }
}

fn show_protocol(protocol: Protocol) -> String {
    match protocol {
        Protocol::Resp2 => "2".to_owned(),
        Protocol::Resp3 => "3".to_owned(),
    }
}

/// How many letters must be put in, taken out or changed to get from `a` to `b`; long texts are not worth
/// comparing.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > MAX_COMPARED {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

const MAX_COMPARED: usize = 64;
const ONE_TCP: Expected = "a URL of one TCP server to go with it";
const ONE_UNIX: Expected = "a URL of a Unix socket to go with it";
