//! Output that clients do not take, and those who watch all commands.
//!
//! This file must not know any command but `MONITOR`.

use std::fmt::Write as _;
use std::time::Duration;

use crate::client::Client;
use crate::commands::Command;
use crate::dispatch::Mode;
use crate::model::Model;
use crate::reply::Reply;

impl Model {
    /// When a client has been above its soft limit for too long.
    pub(crate) fn soft_limit_ends(&self, client: &Client) -> Option<Duration> {
        let since = client.above_soft.filter(|_| !client.closing)?;
        let limit = self.config.output_limit(client.is_subscriber());
        Some(since + Duration::from_secs(limit.soft_seconds))
    }

    /// Hangs up on clients whose output has become too large, which is lost.
    pub(crate) fn enforce_output_limits(&mut self) {
        let (now, mut over) = (self.now, Vec::new());
        for client in self.clients.values_mut().filter(|client| !client.closing) {
            let len = client.pending().len();
            if len == 0 && client.above_soft.is_none() {
                continue;
            }
            let limit = self.config.output_limit(client.is_subscriber());
            let is_above = limit.soft > 0 && len >= limit.soft;
            client.above_soft = client.above_soft.or(Some(now)).filter(|_| is_above);
            let soft = Duration::from_secs(limit.soft_seconds);
            let is_over_soft = client.above_soft.is_some_and(|since| now >= since + soft);
            if limit.hard > 0 && len >= limit.hard || is_over_soft {
                over.push(client.id);
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
        let monitors = self.clients_that(|client| client.monitor);
        if monitors.is_empty() {
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
        for monitor in monitors {
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
