//! Output that clients do not take, and those who watch all commands.
//!
//! This file must not know any command but `MONITOR`.

use std::fmt::Write as _;
use std::time::Duration;

use crate::client::Client;
use crate::commands::Command;
use crate::config::OutputLimit;
use crate::dispatch::Mode;
use crate::model::Model;
use crate::reply::Reply;

impl Model {
    fn output_limit(&self, client: &Client) -> OutputLimit {
        self.config.output_limit(client.is_subscriber())
    }

    /// When a client has been above its soft limit for too long.
    pub(crate) fn soft_limit_ends(&self, client: &Client) -> Option<Duration> {
        let since = client.above_soft.filter(|_| !client.closing)?;
        Some(since + Duration::from_secs(self.output_limit(client).soft_seconds))
    }

    /// Hangs up on clients whose output has become too large, which is lost.
    pub(crate) fn enforce_output_limits(&mut self) {
        let mut over = Vec::new();
        let busy =
            self.clients.values().filter(|client| !client.output.is_empty() || client.above_soft.is_some());
        for id in busy.map(|client| client.id).collect::<Vec<_>>() {
            let Some(client) = self.clients.get(&id).filter(|client| !client.closing) else { continue };
            if client.pending().is_empty() && client.above_soft.is_none() {
                continue;
            }
            let (limit, len) = (self.output_limit(client), client.pending().len());
            let is_above = limit.soft > 0 && len >= limit.soft;
            let since = if is_above { client.above_soft.or(Some(self.now)) } else { None };
            let now = self.now;
            let soft = Duration::from_secs(limit.soft_seconds);
            if limit.hard > 0 && len >= limit.hard || since.is_some_and(|since| now >= since + soft) {
                over.push(id);
            }
            if let Some(client) = self.clients.get_mut(&id) {
                client.above_soft = since;
            }
        }
        for id in over {
            self.close(id, true);
        }
    }

    /// Tells those who watch all commands of this one.
    pub(crate) fn tell_monitors(&mut self, id: u64, command: &Command, args: &[Vec<u8>], mode: Mode) {
        if mode == Mode::Again || command.has("admin") || command.has("skip_monitor") {
            return;
        }
        if !self.clients.values().any(|client| client.monitor) {
            return;
        }
        let Some(client) = self.clients.get(&id) else { return };
        let micros = (self.options.unix_time + self.now).as_micros();
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let mut line = format!("{seconds}.{micros:06} [{} {}]", client.database, client.peer);
        let hides = matches!(command.name, "AUTH" | "HELLO");
        for (at, word) in args.iter().enumerate() {
            let word = if hides && at > 0 { &b"(redacted)"[..] } else { word };
            let _ = write!(line, " \"{}\"", escaped(word));
        }
        let monitors = self.clients.values().filter(|client| client.monitor).map(|client| client.id);
        for monitor in monitors.collect::<Vec<_>>() {
            self.push(monitor, Reply::Simple(line.clone().into()));
        }
    }
}

/// A word as `MONITOR` writes it.
fn escaped(word: &[u8]) -> String {
    let mut text = String::new();
    for byte in word {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'"' => text.push_str("\\\""),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            7 => text.push_str("\\a"),
            8 => text.push_str("\\b"),
            32..=126 => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text
}
