//! What a server is started with: which binary, on which port, with which configuration file.
//!
//! It starts nothing itself.

use std::env;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use super::Server;

/// The ports servers are given. They lie below the range systems take for outgoing connections: there, a
/// client that connects to a dead server's port again and again would in the end meet itself, and a cluster
/// bus, 10,000 above the port, would not fit.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// What a [`Server`] is started with. Made by [`Server::builder`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ServerBuilder {
    pub(super) password: Option<String>,
    binary: Option<PathBuf>,
    lines: Vec<String>,
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

    /// The text of the configuration file.
    pub(super) fn config(&self, port: u16, unix_path: &Path, dir: &Path) -> String {
        let mut text = format!(
            "port {port}\nbind 127.0.0.1\nunixsocket {}\ndir {}\n\
             save \"\"\nappendonly no\ndaemonize no\nloglevel notice\nlogfile \"\"\n",
            quoted(&unix_path.to_string_lossy()),
            quoted(&dir.to_string_lossy()),
        );
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

/// The server to test with: the path in `REDWIRE_SERVER`, else `redis-server`, else `valkey-server` on `PATH`.
pub fn find_server() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = |name| env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    let named = env::var_os("REDWIRE_SERVER").filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(|| on_path("redis-server")).or_else(|| on_path("valkey-server"))
}

/// The servers to test with: the paths in `REDWIRE_SERVERS`, parted by colons, else the one of [`find_server`].
pub fn servers_from_env() -> Vec<PathBuf> {
    match env::var_os("REDWIRE_SERVERS").filter(|paths| !paths.is_empty()) {
        Some(paths) => env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => find_server().into_iter().collect(),
    }
}

/// A port on which nobody listens now. The first one is at random, so that test processes seldom meet.
pub(super) fn free_port() -> Result<u16, String> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Fails if another thread was quicker, and then that one's choice is as good.
    let _ = NEXT.compare_exchange(0, fastrand::u16(PORTS), Ordering::Relaxed, Ordering::Relaxed);
    for _ in PORTS {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + port % (PORTS.end - PORTS.start);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free port on 127.0.0.1".to_owned())
}

/// A password as it stands in a URL.
pub(super) fn url_escape(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// A value of the configuration file that holds together whatever is in it.
fn quoted(text: &str) -> String {
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
