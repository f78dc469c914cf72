//! The lowest layers: what addresses a name has, and whether each of them takes TCP connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use redwire::config::{Endpoint, HostPort};
use serde_json::{Value as Json, json};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::report::{Finding, Layer};

/// Looks the name up.
pub(crate) async fn dns(endpoint: &Endpoint, limit: Duration) -> (Layer, Vec<SocketAddr>) {
    let Endpoint::Tcp(HostPort { host, port }) = endpoint else {
        return (Layer::skipped("dns", "a Unix socket has no host name"), Vec::new());
    };
    let begun = Instant::now();
    let mut layer = Layer::new("dns");
    let looked_up = timeout(limit, lookup_host((host.as_str(), *port))).await;
    layer.took(begun.elapsed());
    let addresses = match looked_up {
        Ok(Ok(found)) => unique(found),
        Ok(Err(error)) => {
            layer.found(unknown(host, &error.to_string()));
            return (layer, Vec::new());
        }
        Err(_) => {
            layer.found(Finding::bad(
                format!("The name server did not say within {limit:?} which address {host:?} has."),
                "Look at /etc/resolv.conf, and whether a firewall lets DNS (port 53) through.",
            ));
            return (layer, Vec::new());
        }
    };
    if addresses.is_empty() {
        layer.found(unknown(host, "it has no address"));
    }
    let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    let literal = if host.parse::<IpAddr>().is_ok() { " (no name to look up)" } else { "" };
    layer.summary(format!("{}{literal}", shown.join(", ")));
    layer.detail("host", host.as_str());
    layer.detail("addresses", shown);
    (layer, addresses)
}

fn unique(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn unknown(host: &str, why: &str) -> Finding {
    Finding::bad(
        format!("The host name {host:?} is not known: {why}."),
        "Check its spelling, and with `getent hosts` whether this machine's DNS knows it; a name of a \
         container or a private zone is known only inside.",
    )
}

/// Connects to each address.
pub(crate) async fn tcp(addresses: &[SocketAddr], limit: Duration) -> (Layer, Vec<SocketAddr>) {
    let begun = Instant::now();
    let results = connect_all(addresses, limit).await;
    let mut layer = Layer::new("tcp");
    layer.took(begun.elapsed());
    let good: Vec<SocketAddr> =
        results.iter().filter(|(_, result)| result.is_ok()).map(|(address, _)| *address).collect();
    let shown: Vec<String> = results.iter().map(|(address, result)| line(*address, result)).collect();
    layer.summary(shown.join(", "));
    layer.detail(
        "addresses",
        results.iter().map(|(address, result)| entry(*address, result)).collect::<Vec<_>>(),
    );
    for (address, result) in &results {
        let Err(error) = result else { continue };
        let mut finding = unreachable(&address.to_string(), error, limit);
        if !good.is_empty() {
            finding
                .meaning
                .push_str(" Another address works; a client loses 250 ms or more on this one each time.");
            finding = Finding::warning(finding.meaning, finding.advice);
        }
        layer.found(finding);
    }
    (layer, good)
}

/// Connects to the Unix socket.
pub(crate) async fn unix(path: &Path, limit: Duration) -> Layer {
    let begun = Instant::now();
    let mut layer = Layer::new("tcp");
    let result = within(limit, UnixStream::connect(path)).await;
    layer.took(begun.elapsed());
    layer.summary(format!("the Unix socket {}", path.display()));
    layer.detail("path", path.display().to_string());
    if let Err(error) = result {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => {
                "Compare it with `unixsocket` of the server's configuration; is the server running?"
            }
            io::ErrorKind::PermissionDenied => {
                "`unixsocketperm` of the server's configuration says who may connect; often the user has to \
                 be in its group."
            }
            _ => "Is the server running? It leaves its socket behind when it is killed.",
        };
        layer.found(Finding::bad(
            format!("The Unix socket {} cannot be used: {error}.", path.display()),
            advice,
        ));
    }
    layer
}

/// Tries all at the same time; results come in the order of the addresses.
pub(crate) async fn connect_all(
    addresses: &[SocketAddr],
    limit: Duration,
) -> Vec<(SocketAddr, io::Result<Duration>)> {
    let mut attempts = JoinSet::new();
    for (index, address) in addresses.iter().copied().enumerate() {
        attempts.spawn(async move {
            let begun = Instant::now();
            let result = within(limit, TcpStream::connect(address)).await;
            (index, address, result.map(|_| begun.elapsed()))
        });
    }
    let mut results = attempts.join_all().await;
    results.sort_by_key(|(index, ..)| *index);
    results.into_iter().map(|(_, address, result)| (address, result)).collect()
}

/// Whether `host:port` takes connections, from here; else why not.
pub(crate) async fn reaches(host: &str, port: u16, limit: Duration) -> io::Result<Duration> {
    let begun = Instant::now();
    within(limit, TcpStream::connect((host, port))).await.map(|_| begun.elapsed())
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn line(address: SocketAddr, result: &io::Result<Duration>) -> String {
    match result {
        Ok(_) => format!("{address} open"),
        Err(error) => format!("{address} {}", word(error)),
    }
}

fn entry(address: SocketAddr, result: &io::Result<Duration>) -> Json {
    let (state, time) = match result {
        Ok(time) => ("open", Some(time.as_secs_f64() * 1e3)),
        Err(error) => (word(error), None),
    };
    json!({ "address": address.to_string(), "state": state, "ms": time })
}

/// How an attempt failed, in a word.
pub(crate) fn word(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::TimedOut => "silent",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "unreachable",
        _ => "failed",
    }
}

fn unreachable(address: &str, error: &io::Error, limit: Duration) -> Finding {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Finding::bad(
            format!(
                "{address} refuses connections: the machine is there, and no program listens on that \
                 port."
            ),
            "Is the server running? Is the port right (`port`, `tls-port`)? Does the server listen on this \
             address, and not only on 127.0.0.1 (`bind`)? With containers: is the port published?",
        ),
        io::ErrorKind::TimedOut => Finding::bad(
            format!(
                "{address} did not answer within {limit:?}: something drops the packets, or the machine is \
                 off."
            ),
            "Look at firewalls and security groups on the way, in both directions, and whether the address \
             is right. A server too busy to accept looks the same.",
        ),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => Finding::bad(
            format!("There is no way from here to {address}: {error}."),
            "Look at the routes and the VPN of this machine; an IPv6 address needs a network with IPv6.",
        ),
        _ => Finding::bad(
            format!("No connection to {address}: {error}."),
            "The operating system said so; its limits (open files, ports) are a place to look.",
        ),
    }
}
