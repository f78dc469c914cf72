//! What a server is started with: which binary, on which port, with which configuration file.
//!
//! It starts nothing itself.

use std::env;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use super::Server;
use crate::tls::{Authority, Identity};

/// The ports servers are given. They lie below the range systems take for outgoing connections: there, a
/// client that connects to a dead server's port again and again would in the end meet itself, and a cluster
/// bus, 10,000 above the port, would not fit.
const PORTS: Range<u16> = 12_000..32_000;

/// The ports nodes of a cluster are given, so that their bus lies below that range too.
const CLUSTER_PORTS: Range<u16> = 12_000..22_000;

/// How far above a node's port its cluster bus is.
pub(crate) const BUS: u16 = 10_000;

/// What a [`Server`] is started with. Made by [`Server::builder`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ServerBuilder {
    pub(super) password: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) kind: Kind,
    pub(super) tls: Option<Pems>,
    binary: Option<PathBuf>,
    lines: Vec<String>,
}

/// What a server is to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Plain,
    Sentinel,
    Node,
}

/// A server's own certificate and key, and the authority it trusts.
#[derive(Debug, Clone)]
pub(super) struct Pems {
    cert: String,
    key: String,
    authority: String,
}

impl ServerBuilder {
    /// A password for the default user (`requirepass`). Default: none.
    pub fn password(mut self, password: &str) -> Self {
        self.lines.push(format!("requirepass {}", quoted(password)));
        self.password = Some(password.to_owned());
        self
    }

    /// A user, as an ACL file has it: `user alice on >secret ~* +@all -client`.
    pub fn acl_line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// A directive: `.arg("--maxclients", "10")`, with or without the dashes.
    ///
    /// The value is written to the configuration file as it is, so several words are several arguments; quote
    /// what must not be split. It overrides what the kit itself sets, such as `save` (off).
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.lines.push(format!("{} {value}", name.trim_start_matches("--")));
        self
    }

    /// The program to run. Default: what [`find_server`] finds.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Speaks TLS by itself, on its port and to other servers, with a certificate that this authority issues.
    /// It asks clients for none. Default: it doesn't; to test with binaries built without it ([`has_tls`])
    /// put a [`TlsFront`](crate::TlsFront) before the server.
    ///
    /// # Panics
    ///
    /// As [`Authority::server`].
    pub fn tls(mut self, authority: &Authority) -> Self {
        // The bus of a cluster asks for a client's certificate, whatever the port for clients does.
        let Identity { cert_pem, key_pem, .. } = authority.local().peer().issue();
        self.tls = Some(Pems { cert: cert_pem, key: key_pem, authority: authority.pem().to_owned() });
        self
    }

    /// A port chosen by the caller; no other is tried.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Makes it a Sentinel.
    pub(crate) fn sentinel(mut self) -> Self {
        self.kind = Kind::Sentinel;
        self
    }

    /// Makes it a node of a cluster.
    pub(crate) fn node(mut self) -> Self {
        self.kind = Kind::Node;
        self
    }

    /// Starts the server; returns when it answers, in some tens of milliseconds.
    ///
    /// # Panics
    ///
    /// Where [`start_or_err`](Self::start_or_err) has an error.
    #[track_caller]
    pub fn start(&self) -> Server {
        self.start_or_err().unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// As [`start`](Self::start), for tests of servers that can't start.
    ///
    /// # Errors
    ///
    /// If there is no binary, or the server ends or stays silent for 10 seconds; the text has its log's tail.
    pub fn start_or_err(&self) -> Result<Server, String> {
        super::start(self)
    }

    pub(super) fn find_binary(&self) -> Result<PathBuf, String> {
        self.binary.clone().or_else(find_server).ok_or_else(|| {
            "no server to test with: put redis-server or valkey-server on PATH, or its path in REDWIRE_SERVER"
                .to_owned()
        })
    }

    /// A port to try next.
    pub(super) fn free_port(&self) -> Result<u16, String> {
        match (self.port, self.kind) {
            (Some(port), _) => Ok(port),
            (None, Kind::Plain | Kind::Sentinel) => free_port(),
            (None, Kind::Node) => free_node_port(),
        }
    }

    /// Writes the files of certificates that the configuration names.
    pub(super) fn write_pems(&self, dir: &Path) -> io::Result<()> {
        let Some(pems) = &self.tls else { return Ok(()) };
        fs::write(dir.join("cert.pem"), &pems.cert)?;
        fs::write(dir.join("key.pem"), &pems.key)?;
        fs::write(dir.join("ca.pem"), &pems.authority)
    }

    /// The text of the configuration file.
    pub(super) fn config(&self, port: u16, unix_path: &Path, dir: &Path) -> String {
        let mut text = format!(
            "bind 127.0.0.1\nunixsocket {}\ndir {}\n\
             save \"\"\nappendonly no\ndaemonize no\nloglevel notice\nlogfile \"\"\n",
            quoted(&unix_path.to_string_lossy()),
            quoted(&dir.to_string_lossy()),
        );
        text.push_str(&match self.tls {
            None => format!("port {port}\n"),
            Some(_) => format!(
                "port 0\ntls-port {port}\ntls-cert-file cert.pem\ntls-key-file key.pem\n\
                 tls-ca-cert-file ca.pem\ntls-auth-clients no\ntls-replication yes\ntls-cluster yes\n"
            ),
        });
        if self.kind == Kind::Node {
            text.push_str("cluster-enabled yes\ncluster-config-file nodes.conf\n");
        }
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

/// The server to test with: the path in `REDWIRE_SERVER`, else `redis-server`, else `valkey-server` on
/// `PATH`.
pub fn find_server() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = |name| env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    let named = env::var_os("REDWIRE_SERVER").filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(|| on_path("redis-server")).or_else(|| on_path("valkey-server"))
}

/// The servers to test with: the paths in `REDWIRE_SERVERS`, separated by colons, else the one of
/// [`find_server`].
pub fn servers_from_env() -> Vec<PathBuf> {
    match env::var_os("REDWIRE_SERVERS").filter(|paths| !paths.is_empty()) {
        Some(paths) => env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => find_server().into_iter().collect(),
    }
}

/// Whether a program was built with TLS, so that [`ServerBuilder::tls`] works.
pub fn has_tls(binary: &Path) -> bool {
    // Without TLS the name is unknown, even to switch it off.
    Server::builder().binary(binary).arg("tls-port", "0").start_or_err().is_ok()
}

/// A port on which no program listens now.
pub(crate) fn free_port() -> Result<u16, String> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    next_port(&NEXT, PORTS, is_free)
}

/// As [`free_port`], with a free port for the bus.
fn free_node_port() -> Result<u16, String> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    next_port(&NEXT, CLUSTER_PORTS, |port| is_free(port) && is_free(port + BUS))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The first one is at random, so that test processes seldom meet.
fn next_port(next: &AtomicU16, ports: Range<u16>, fits: impl Fn(u16) -> bool) -> Result<u16, String> {
    // Fails if another thread was quicker, and then that one's choice is as good.
    let _ = next.compare_exchange(0, fastrand::u16(ports.clone()), Ordering::Relaxed, Ordering::Relaxed);
    for _ in ports.clone() {
        let port = next.fetch_add(1, Ordering::Relaxed);
        let port = ports.start + port % (ports.end - ports.start);
        if fits(port) {
            return Ok(port);
        }
    }
    Err("no free port on 127.0.0.1".to_owned())
}

/// A password as it stands in a URL.
pub(crate) fn url_escape(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// A value of the configuration file that holds together whatever is in it.
pub(crate) fn quoted(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    format!("\"{}\"", text.bytes().map(escape).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped() {
        assert_eq!(quoted("a \"b\\\né"), r#""a \"b\\\x0a\xc3\xa9""#);
        assert_eq!(url_escape("p@ss:/é~"), "p%40ss%3A%2F%C3%A9~");
    }
}
