//! `redwire doctor`: each layer apart, from the URL to the topology, with its time, its verdict, and what to
//! try.
//!
//! Promises to change nothing at the server, to show no password, and that what depends on a layer that
//! failed is said to be skipped. The layers are in files of their own; here is their order.

mod certificate;
mod cluster;
mod handshake;
mod inspect;
mod latency;
pub(crate) mod network;
pub(crate) mod reach;
mod report;
mod rights;
mod sentinels;
mod server;
mod settings;
mod tls;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use redwire::config::{Config, Deployment, Endpoint, Verification};
use redwire::{AuthenticationFault, ErrorKind, cmd};
use serde_json::json;

use crate::args::Global;
use crate::connect;
use crate::info::Info;
use crate::interrupt::interrupted;
use crate::output::{Failure, Output, Verdict};
use crate::session::Session;
use report::{Finding, Layer, Report};

/// All layers, from the lowest. Each needs those before it, up to `handshake`. After `url`, a service has one
/// more, `sentinels`, and a cluster `cluster`.
const LAYERS: [&str; 11] =
    ["url", "dns", "tcp", "tls", "handshake", "acl", "select", "latency", "server", "settings", "topology"];

/// A key that no program uses.
const KEY: &str = "redwire:doctor:none";

pub(crate) async fn run(global: &Global, output: &Output) -> Result<Verdict, Failure> {
    let mut reports = Vec::new();
    let mut verdict = Verdict::Good;
    for url in &global.url {
        let mut report = Report::new(shown(global, url), output);
        let interrupted = tokio::select! {
            // First, so that the signal is listened for from the beginning.
            biased;
            () = interrupted() => true,
            () = examine(global, url, &mut report) => false,
        };
        report.skip_rest(&LAYERS, if interrupted { "interrupted" } else { "a layer below it failed" });
        if interrupted || report.verdict() == Verdict::Bad {
            verdict = Verdict::Bad;
        }
        reports.push(report.to_json());
        if interrupted {
            break;
        }
    }
    let word = if verdict == Verdict::Bad { "bad" } else { "good" };
    output.line(format_args!("\n{word}"));
    match reports.as_slice() {
        [one] => output.json(one),
        all => output.json(&json!({ "verdict": word, "servers": all })),
    }
    Ok(verdict)
}

/// The URL without its passwords.
fn shown(global: &Global, url: &str) -> String {
    // The client's name is this program's own, and was not asked for.
    let asked =
        connect::config(global, url).ok().and_then(|config| config.to_builder().client_name("").build().ok());
    asked.map_or_else(|| bare(url), |config| config.to_string())
}

/// Of a URL that makes no sense, what can be no password.
fn bare(url: &str) -> String {
    let (scheme, rest) =
        url.split_once("://").map_or(("", url), |(scheme, rest)| (&url[..scheme.len() + 3], rest));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}***@{host}"),
        None => format!("{scheme}{rest}"),
    }
}

async fn examine(global: &Global, url: &str, report: &mut Report<'_>) {
    let Some(config) = understand(global, url, report) else { return };
    let Some((config, endpoint)) = find(global, &config, report).await else { return };
    let limit = config.connect_timeout();
    let (layer, addresses) = network::dns(&endpoint, limit).await;
    let unknown = layer.is_bad();
    report.push(layer);
    if unknown {
        return;
    }
    let (layer, open) = match &endpoint {
        Endpoint::Unix(path) => (network::unix(path, limit).await, Vec::new()),
        _ => network::tcp(&addresses, limit).await,
    };
    let unreachable = layer.is_bad();
    report.push(layer);
    if unreachable {
        return;
    }
    let Some(session) = enter(global, &config, &endpoint, open.first().copied(), report).await else {
        return;
    };
    inside(session, &config, report).await;
}

/// The layer of the URL.
fn understand(global: &Global, url: &str, report: &mut Report<'_>) -> Option<Config> {
    let begun = Instant::now();
    let mut layer = Layer::new("url");
    let parsed = connect::config(global, url);
    layer.took(begun.elapsed());
    let found = match parsed {
        Ok(config) => Some(config),
        Err(error) => {
            layer.found(Finding::bad(
                format!("The URL or an option makes no sense: {}", tls::sentence(error.message())),
                "A URL is like `redis://USER:PASSWORD@HOST:PORT/DATABASE`, `rediss://…` for TLS, \
                 `unix:///PATH`.",
            ));
            None
        }
    };
    if let Some(config) = &found {
        let place = match config.deployment() {
            Deployment::Sentinel { nodes, service } => {
                format!("{service:?}, watched by {} sentinels,", nodes.len())
            }
            Deployment::Cluster { nodes } => format!("a cluster, by {} of its nodes,", nodes.len()),
            _ => connect::place(config),
        };
        layer.summary(format!("{place} with {}", if config.tls() { "TLS" } else { "no TLS" }));
        layer.detail("endpoint", connect::place(config));
        layer.detail("tls", config.tls());
        layer.detail("db", config.db());
        in_the_clear(&mut layer, config);
    }
    report.push(layer);
    found
}

/// The server to examine, and how to reach it: of a service, the master, and of a cluster, a node, by a layer
/// of its own.
async fn find(global: &Global, config: &Config, report: &mut Report<'_>) -> Option<(Config, Endpoint)> {
    match config.deployment() {
        Deployment::Single(endpoint) => Some((config.clone(), endpoint.clone())),
        Deployment::Sentinel { service, .. } => {
            let (layer, master) = sentinels::examine(config, service, global.blocking).await;
            report.push(layer);
            master.map(|master| (config.clone(), Endpoint::Tcp(master)))
        }
        Deployment::Cluster { nodes } => {
            let (layer, node) = cluster::examine(config, nodes, global.blocking).await;
            report.push(layer);
            node.map(|node| (config.for_node(node.clone()), Endpoint::Tcp(node)))
        }
        _ => None,
    }
}

/// Warns of passwords that can be read on the way.
fn in_the_clear(layer: &mut Layer, config: &Config) {
    let is_home = |host: &str| host == "localhost" || host.starts_with("127.") || host == "::1";
    let at_home = match config.deployment() {
        Deployment::Single(Endpoint::Tcp(address)) => is_home(&address.host),
        Deployment::Sentinel { nodes, .. } | Deployment::Cluster { nodes } => {
            nodes.iter().all(|node| is_home(&node.host))
        }
        Deployment::Single(Endpoint::Unix(_)) => true,
        _ => false,
    };
    let trusting = config.tls() && config.tls_options().verification == Verification::None;
    if config.password().is_some() && !at_home && (!config.tls() || trusting) {
        layer.found(Finding::warning(
            "The password can be read on the network, or a false server can ask for it.",
            "Use `rediss://` with a verified certificate, or keep to a network that strangers cannot listen \
             to.",
        ));
    }
}

/// The layers of TLS and of the handshake. `address`: one that takes connections.
async fn enter(
    global: &Global,
    config: &Config,
    endpoint: &Endpoint,
    address: Option<SocketAddr>,
    report: &mut Report<'_>,
) -> Option<Session> {
    let host = match endpoint {
        Endpoint::Tcp(address) => address.host.as_str(),
        _ => "localhost",
    };
    let begun = Instant::now();
    // The database is a step of its own.
    let connected = match config.to_builder().db(0).build() {
        Ok(config) => Session::open(config, global.blocking).await,
        Err(error) => Err(error.into()),
    };
    let took = begun.elapsed();
    match address {
        Some(address) if config.tls() => {
            let layer = tls::examine(config, address, host, connected.as_ref().err()).await;
            let bad = layer.is_bad();
            report.push(layer);
            if bad {
                return None;
            }
        }
        _ if config.tls() => report.push(Layer::skipped("tls", "not looked into over a Unix socket")),
        _ => report.push(Layer::skipped("tls", "the URL asks for none")),
    }
    let mut layer = Layer::new("handshake");
    layer.took(took);
    let session = match connected {
        Ok(mut session) => {
            handshake::describe(&mut layer, config, &session);
            let let_in = let_in(&mut session, config, address, host, &mut layer).await;
            let_in.then_some(session)
        }
        Err(error) => {
            layer.found(handshake::failed(&error, config, address, host).await);
            None
        }
    };
    report.push(layer);
    session
}

/// RESP2 says nothing that would be refused before the first command.
async fn let_in(
    session: &mut Session,
    config: &Config,
    address: Option<SocketAddr>,
    host: &str,
    layer: &mut Layer,
) -> bool {
    let Err(error) = session.call(cmd("PING")).await else { return true };
    let refused = error.kind() == ErrorKind::Authentication(AuthenticationFault::PasswordRequired);
    if !refused && error.code().is_some() {
        return true;
    }
    layer.found(handshake::failed(&error, config, address, host).await);
    false
}

/// The layers that are looked at over one good connection.
async fn inside(mut session: Session, config: &Config, report: &mut Report<'_>) {
    let layer = rights::examine(&mut session, config.username().unwrap_or("default")).await;
    report.push(layer);
    let layer = handshake::select(config, &mut session).await;
    report.push(layer);
    let layer = latency::examine(&mut session).await;
    report.push(layer);
    let info = Info::of(&mut session).await;
    let directives = server::directives(&mut session).await;
    let layer = server::examine(&mut session, &info, &directives, KEY).await;
    report.push(layer);
    report.push(settings::examine(config, &directives));
    match info {
        Ok(_) if config.has_alternatives() => {
            report.push(Layer::skipped("topology", "see the layer `cluster`"));
        }
        Ok(info) => {
            report.push(reach::examine(&mut session, &info, config.connect_timeout().min(REACH)).await)
        }
        Err(_) => report.push(Layer::skipped(
            "topology",
            "the server gives no information about itself \
             (`INFO`)",
        )),
    }
}

/// How long another server may take to answer.
const REACH: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_makes_no_sense_shows_no_password() {
        for (url, expected) in [
            ("redis://ann:s@crt@db:port", "redis://***@db:port"),
            ("redis://db:1x?password=word", "redis://db:1x"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(bare(url), expected);
        }
    }
}
