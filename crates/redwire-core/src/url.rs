//! The grammar of connection URLs, told at [`ConfigBuilder::url`](crate::config::ConfigBuilder::url).
//! Promises to take a URL apart without guessing, to name the part that is wrong, and to write a
//! configuration as a URL that reads back the same except for the password. Must not know what the options in
//! the query mean.

use std::{fmt, net::Ipv6Addr, path::PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{
    config::{
        Config, ConfigError, DEFAULT_PORT, DEFAULT_SENTINEL_PORT, Deployment, Endpoint, HostPort, UrlOption,
        advice, nearest,
    },
    secret::{MASK, Secret},
};

/// A URL taken apart. `None` is what the URL does not say.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    pub(crate) tls: bool,
    pub(crate) target: UrlTarget,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) db: Option<u32>,
    /// Each option once, its name as it was written, and its value decoded; secret because one of them may be
    /// the password.
    pub(crate) query: Vec<(&'static UrlOption, &'static str, Secret)>,
    /// An `@` stands where none should be: a password that was not encoded may have run into any other part.
    pub(crate) may_quote_password: bool,
}

/// What the URL leads to.
#[derive(Clone, Debug)]
pub(crate) enum UrlTarget {
    /// One server.
    Tcp { host: Option<String>, port: Option<u16> },
    /// One server's socket; empty if the query is to tell.
    Unix(PathBuf),
    /// Sentinels or a Cluster.
    Many(Deployment),
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let may_quote_password =
            tail.contains('@') || scheme.contains('@') || (scheme.is_empty() && text.contains('@'));
        Self::parse_parts(text, scheme, authority, tail)
            .map(|url| Self { may_quote_password, ..url })
            .map_err(|error| if may_quote_password { error.masked() } else { error })
    }

    fn parse_parts(text: &str, scheme: &str, authority: &str, tail: &str) -> Result<Self, ConfigError> {
        if let Some(control) = text.chars().find(char::is_ascii_control) {
            let expected = "no control characters (percent-encode them)";
            return Err(ConfigError::new("URL", expected, control.escape_debug()));
        }
        if tail.contains('#') {
            return Err(ConfigError::new("URL", "no fragment (a `#` elsewhere is written %23)", "#"));
        }
        let (kind, tls) = parse_scheme(scheme, text)?;
        let (userinfo, hosts) = match authority.rsplit_once('@') {
            Some((userinfo, hosts)) => (Some(userinfo), hosts),
            None => (None, authority),
        };
        let (username, password) = parse_userinfo(userinfo.unwrap_or_default())?;
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let (target, db) = match kind {
            UrlKind::Single => {
                let [db] = segments(path, "at most `/db`")?;
                (parse_single(hosts)?, db)
            }
            UrlKind::Unix => (parse_unix(hosts, path)?, ""),
            UrlKind::Cluster => {
                let [db] = segments(path, "at most `/db`")?;
                (UrlTarget::Many(Deployment::Cluster { nodes: parse_nodes(hosts, DEFAULT_PORT)? }), db)
            }
            UrlKind::Sentinel => {
                let [service, db] = segments(path, "`/service` or `/service/db`")?;
                if service.is_empty() {
                    return Err(ConfigError::new("URL service", "the master's name as in `/mymaster`", path));
                }
                let service = decode("URL service", service)?;
                let nodes = parse_nodes(hosts, DEFAULT_SENTINEL_PORT)?;
                (UrlTarget::Many(Deployment::Sentinel { nodes, service }), db)
            }
        };
        let (db, query) = (parse_db(db)?, parse_query(query)?);
        Ok(Self { tls, target, username, password, db, query, may_quote_password: false })
    }
}

/// Writes `config` as a URL; `query` holds the options that have no other place.
pub(crate) fn write(
    f: &mut fmt::Formatter<'_>,
    config: &Config,
    query: &[(&'static str, String)],
) -> fmt::Result {
    let scheme = if config.tls() { "rediss" } else { "redis" };
    match config.deployment() {
        Deployment::Single(Endpoint::Tcp(_)) => write!(f, "{scheme}://")?,
        Deployment::Single(Endpoint::Unix(_)) => f.write_str("unix://")?,
        Deployment::Sentinel { .. } => write!(f, "{scheme}+sentinel://")?,
        Deployment::Cluster { .. } => write!(f, "{scheme}+cluster://")?,
    }
    write_userinfo(f, config)?;
    let mut pairs: Vec<(&str, String)> = query.to_vec();
    match config.deployment() {
        Deployment::Single(Endpoint::Tcp(address)) => write_nodes(f, std::slice::from_ref(address))?,
        Deployment::Single(Endpoint::Unix(path)) => match path.to_string_lossy() {
            absolute if absolute.starts_with('/') => write!(f, "{}", encode(&absolute, PATH))?,
            relative => pairs.insert(0, ("path", relative.into_owned())),
        },
        Deployment::Sentinel { nodes, service } => {
            write_nodes(f, nodes)?;
            write!(f, "/{}", encode(service, PART))?;
        }
        Deployment::Cluster { nodes } => write_nodes(f, nodes)?,
    }
    match config.deployment() {
        _ if config.db() == 0 => {}
        Deployment::Single(Endpoint::Unix(_)) => pairs.insert(0, ("db", config.db().to_string())),
        _ => write!(f, "/{}", config.db())?,
    }
    for (i, (name, value)) in pairs.iter().enumerate() {
        let lead = if i == 0 { '?' } else { '&' };
        write!(f, "{lead}{name}={}", encode(value, QUERY))?;
    }
    Ok(())
}

fn write_userinfo(f: &mut fmt::Formatter<'_>, config: &Config) -> fmt::Result {
    if let Some(username) = config.username() {
        write!(f, "{}", encode(username, PART))?;
    }
    if config.password().is_some() {
        write!(f, ":{MASK}")?;
    }
    if config.username().is_some() || config.password().is_some() {
        f.write_str("@")?;
    }
    Ok(())
}

fn write_nodes(f: &mut fmt::Formatter<'_>, nodes: &[HostPort]) -> fmt::Result {
    for (i, HostPort { host, port }) in nodes.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let (address, zone) = host.split_once('%').unwrap_or((host, ""));
        match address.parse::<Ipv6Addr>() {
            Ok(_) if zone.is_empty() && address == host => write!(f, "{comma}[{address}]:{port}")?,
            Ok(_) if !zone.is_empty() => write!(f, "{comma}[{address}%25{}]:{port}", encode(zone, PART))?,
            _ => write!(f, "{comma}{}:{port}", encode(host, PART))?,
        }
    }
    Ok(())
}

enum UrlKind {
    Single,
    Unix,
    Sentinel,
    Cluster,
}

/// What the scheme asks for, and whether by TLS.
fn parse_scheme(scheme: &str, text: &str) -> Result<(UrlKind, bool), ConfigError> {
    let lower = scheme.to_ascii_lowercase();
    let (family, suffix) = lower.split_once('+').unwrap_or((&lower, ""));
    let tls = matches!(family, "rediss" | "valkeys");
    let known = tls || matches!(family, "redis" | "valkey");
    match (family, suffix) {
        ("unix", "") => Ok((UrlKind::Unix, false)),
        (_, "") if known => Ok((UrlKind::Single, tls)),
        (_, "unix") if known && !tls => Ok((UrlKind::Unix, false)),
        (_, "sentinel") if known => Ok((UrlKind::Sentinel, tls)),
        (_, "cluster") if known => Ok((UrlKind::Cluster, tls)),
        _ => {
            let expected =
                "redis://, rediss://, unix://, redis+sentinel://, redis+cluster:// or one of their twins";
            Err(ConfigError::new("URL scheme", expected, if scheme.is_empty() { text } else { scheme }))
        }
    }
}

/// Username and password, either of them `None` if empty.
fn parse_userinfo(userinfo: &str) -> Result<(Option<String>, Option<Secret>), ConfigError> {
    let (username, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let username = decode("URL username", username)?;
    // Even three characters of a password are too many to show.
    let password = decode("URL password", password).map_err(ConfigError::masked)?;
    let filled = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok((filled(username), filled(password).map(Secret::new)))
}

fn parse_single(hosts: &str) -> Result<UrlTarget, ConfigError> {
    if hosts.contains(',') {
        let expected = "one host (redis+cluster:// and redis+sentinel:// take several)";
        return Err(ConfigError::new("URL host", expected, hosts));
    }
    let (host, port) = parse_node(hosts)?;
    Ok(UrlTarget::Tcp { host: Some(host).filter(|host| !host.is_empty()), port })
}

fn parse_unix(hosts: &str, path: &str) -> Result<UrlTarget, ConfigError> {
    if !hosts.is_empty() {
        let expected = "no host before the path, as in unix:///run/redis.sock";
        return Err(ConfigError::new("URL host", expected, hosts));
    }
    Ok(UrlTarget::Unix(decode("URL path", path)?.into()))
}

fn parse_nodes(hosts: &str, default_port: u16) -> Result<Vec<HostPort>, ConfigError> {
    let node = |text| match parse_node(text)? {
        (host, _) if host.is_empty() => {
            Err(ConfigError::new("URL host", "`host` or `host:port`, separated by commas, none empty", hosts))
        }
        (host, port) => Ok(HostPort::new(host, port.unwrap_or(default_port))),
    };
    hosts.split(',').map(node).collect()
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; the host may be empty.
fn parse_node(text: &str) -> Result<(String, Option<u16>), ConfigError> {
    let (host, after) = match text.strip_prefix('[') {
        Some(inner) => {
            let unclosed = || ConfigError::new("URL host", "a `]` after the IPv6 address", text);
            let (address, after) = inner.split_once(']').ok_or_else(unclosed)?;
            (parse_ipv6(address)?, after)
        }
        None => {
            let (host, after) = text.split_at(text.find(':').unwrap_or(text.len()));
            if after.len() > 1 && after[1..].contains(':') {
                return Err(ConfigError::new("URL host", "an IPv6 address in brackets, or one `:`", text));
            }
            (decode("URL host", host)?, after)
        }
    };
    if after.is_empty() {
        return Ok((host, None));
    }
    let port = after.strip_prefix(':').filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    match port.and_then(|port| port.parse().ok()).filter(|port| *port != 0) {
        Some(port) => Ok((host, Some(port))),
        None => {
            // `redis://user:secret` without a host has its password where a port would stand.
            let got = after.strip_prefix(':').unwrap_or(after);
            let is_number = got.len() <= 5 && got.bytes().all(|byte| byte.is_ascii_digit());
            let got = if is_number { got } else { "***" };
            Err(ConfigError::new("URL port", "a number from 1 to 65535", got))
        }
    }
}

/// What stands in brackets, with its zone after `%25` (or a bare `%`, as people write it).
fn parse_ipv6(text: &str) -> Result<String, ConfigError> {
    let wrong = || ConfigError::new("URL host", "an IPv6 address as in `[::1]`", text);
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
        None => (text, None),
    };
    address.parse::<Ipv6Addr>().map_err(|_| wrong())?;
    match zone {
        None => Ok(address.to_owned()),
        Some("") => Err(wrong()),
        Some(zone) => Ok(format!("{address}%{}", decode("URL host", zone)?)),
    }
}

/// The parts of the path, empty where there are fewer than `N`.
fn segments<'a, const N: usize>(path: &'a str, expected: &'static str) -> Result<[&'a str; N], ConfigError> {
    let mut parts = path.strip_prefix('/').unwrap_or(path).split('/');
    let found = std::array::from_fn(|_| parts.next().unwrap_or(""));
    match parts.next() {
        None => Ok(found),
        Some(_) => Err(ConfigError::new("URL path", expected, path)),
    }
}

fn parse_db(text: &str) -> Result<Option<u32>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    let decoded = decode("URL db", text)?;
    match decoded.parse() {
        Ok(db) if decoded.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(db)),
        _ => Err(ConfigError::new("URL db", "a number as in `/0`", decoded)),
    }
}

fn parse_query(query: &str) -> Result<Vec<(&'static UrlOption, &'static str, Secret)>, ConfigError> {
    let mut found: Vec<(&UrlOption, &str, Secret)> = Vec::new();
    let pairs = query.split('&').filter(|_| !query.is_empty());
    for pair in pairs {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| ConfigError::new("URL query", "`name=value`, separated by `&`", pair))?;
        let name = decode("URL query", name)?;
        let (option, written) = UrlOption::find(&name).ok_or_else(|| unknown(&name))?;
        if let Some((_, before, _)) = found.iter().find(|(other, ..)| other.name == option.name) {
            return Err(ConfigError::new(written, "to stand once in the query", before));
        }
        let value = decode(written, value);
        let value = if option.is_secret() { value.map_err(ConfigError::masked) } else { value };
        found.push((option, written, Secret::new(value?)));
    }
    Ok(found)
}

fn unknown(name: &str) -> ConfigError {
    if let Some(advice) = advice(name) {
        return ConfigError::new("URL query", format!("a known option ({advice})"), name);
    }
    match nearest(name) {
        Some(near) => ConfigError::new("URL query", format!("a known option, perhaps `{near}`"), name),
        None => ConfigError::new("URL query", "a known option", name),
    }
}

/// Percent-decodes; a `%` without two hex digits is an error, not itself.
fn decode(part: &'static str, text: &str) -> Result<String, ConfigError> {
    for (at, _) in text.match_indices('%') {
        let digits = text.as_bytes().get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            let escape: String = text[at..].chars().take(3).collect();
            return Err(ConfigError::new(
                part,
                "two hex digits after `%` (a `%` itself is written %25)",
                escape,
            ));
        }
    }
    let utf8 = percent_decode_str(text).decode_utf8();
    Ok(utf8.map_err(|_| ConfigError::new(part, "UTF-8 once percent-decoded", text))?.into_owned())
}

fn encode<'a>(text: &'a str, set: &'static AsciiSet) -> impl fmt::Display + 'a {
    utf8_percent_encode(text, set)
}

/// Everything but the characters that never mean anything in a URL.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &PART.remove(b'/');
/// Lists, backoffs and the mask stay readable.
const QUERY: &AsciiSet = &PART.remove(b'/').remove(b':').remove(b',').remove(b'*');

#[cfg(test)]
mod tests;
