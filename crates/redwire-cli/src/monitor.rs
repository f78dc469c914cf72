//! `redwire monitor`: what a server does, a line for each command.
//!
//! Promises that a line which cannot be read is told in its place, that it ends when the connection is lost,
//! and that nothing a client sends can steer the terminal. Must not know how lines travel.

use std::time::Duration;

use redwire::config::Config;
use redwire::monitor::{MonitorClient, MonitorEntry};
use redwire::{Error, ErrorKind, Result};
use serde_json::{Value as Json, json};

use crate::args::{self, Global};
use crate::connect::{self, apart};
use crate::exec::reply::{hexadecimal, printable, write_quoted};
use crate::interrupt::interrupted;
use crate::output::{BAD, DIM, Failure, GOOD, Output, Verdict};

/// How long a thread waits for an entry before it looks whether it is still wanted.
const PATIENCE: Duration = Duration::from_millis(200);

pub(crate) async fn run(
    global: &Global,
    monitor: &args::Monitor,
    output: &Output,
) -> std::result::Result<Verdict, Failure> {
    let config = connect::config(global, connect::only_url(global)?)?;
    let (mut listener, place) = Listener::any(&config, global.blocking).await?;
    if output.is_terminal() {
        output.note(format_args!("{DIM}listening to {place}, until Ctrl-C{DIM:#}"));
    }
    let mut told = 0;
    let mut interrupted = std::pin::pin!(interrupted());
    while monitor.count.is_none_or(|count| told < count) {
        let item = tokio::select! {
            item = listener.next() => item,
            () = &mut interrupted => return Ok(Verdict::Good),
        };
        match item {
            Some(Ok(entry)) => {
                told += 1;
                output.json(&to_json(&entry));
                output.line(to_line(&entry));
            }
            Some(Err(error)) if error.kind() == ErrorKind::Decode => {
                told += 1;
                output.json(&unreadable(&error));
                output.line(format_args!("{BAD}unreadable{BAD:#}: {}", printable(error.message())));
            }
            Some(Err(error)) => return Err(error.into()),
            None => break,
        }
    }
    Ok(Verdict::Good)
}

/// A monitor of either driver.
enum Listener {
    Tokio(redwire::Monitor),
    /// `None` while a thread listens.
    Blocking(Option<redwire::blocking::Monitor>),
}

impl Listener {
    /// To the first server that can be had, with its address: of a cluster, any node shows only what it does
    /// itself.
    async fn any(config: &Config, blocking: bool) -> Result<(Self, String)> {
        let mut failed = None;
        for server in connect::servers(config) {
            let place = connect::place(&server);
            match Self::open(server, blocking).await {
                Ok(listener) => return Ok((listener, place)),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| Error::usage("the URL names no server")))
    }

    async fn open(config: Config, blocking: bool) -> Result<Self> {
        if !blocking {
            return redwire::Monitor::open(config).await.map(Self::Tokio);
        }
        let monitor = apart(move || redwire::blocking::Monitor::open(config)).await?;
        Ok(Self::Blocking(Some(monitor)))
    }

    async fn next(&mut self) -> Option<Result<MonitorEntry>> {
        let slot = match self {
            Self::Tokio(monitor) => return monitor.next().await,
            Self::Blocking(slot) => slot,
        };
        loop {
            let mut monitor = slot.take()?;
            let heard = apart(move || {
                let item = monitor.next_within(PATIENCE);
                let ended = matches!(&item, Some(Err(error)) if error.kind() != ErrorKind::Decode);
                Ok(((!ended).then_some(monitor), item))
            });
            match heard.await {
                Ok((monitor, item)) => {
                    *slot = monitor;
                    if item.is_some() {
                        return item;
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// `1339518083.107412 [0 127.0.0.1:60866] "SET" "k" "\x00"`, as the server writes it.
fn to_line(entry: &MonitorEntry) -> String {
    let mut line = format!("{DIM}{}.{:06}{DIM:#}", entry.time.as_secs(), entry.time.subsec_micros());
    line.push_str(&format!(" {DIM}[{} {}]{DIM:#}", entry.db, printable(&shown(&entry.client))));
    for (index, word) in entry.command.iter().enumerate() {
        line.push(' ');
        if index == 0 {
            line.push_str(&format!("{GOOD}"));
        }
        write_quoted(&mut line, word);
        if index == 0 {
            line.push_str(&format!("{GOOD:#}"));
        }
    }
    line
}

fn shown(client: &MonitorClient) -> String {
    match client {
        MonitorClient::Tcp(address) => address.to_string(),
        MonitorClient::Unix(path) => format!("unix:{path}"),
        MonitorClient::Lua => "lua".to_owned(),
        MonitorClient::Unknown(text) => text.clone(),
        // What a later version of the library may know besides.
        other => format!("{other:?}"),
    }
}

/// The client's kind, with where it is.
fn client_json(client: &MonitorClient) -> Json {
    match client {
        MonitorClient::Tcp(address) => json!({ "kind": "tcp", "address": address.to_string() }),
        MonitorClient::Unix(path) => json!({ "kind": "unix", "path": path }),
        MonitorClient::Lua => json!({ "kind": "lua" }),
        other => json!({ "kind": "unknown", "text": shown(other) }),
    }
}

fn to_json(entry: &MonitorEntry) -> Json {
    let micros = u64::try_from(entry.time.as_micros()).unwrap_or(u64::MAX);
    let words = entry.command.iter().map(|word| match std::str::from_utf8(word) {
        Ok(text) => json!(text),
        Err(_) => json!({ "bytes": hexadecimal(word) }),
    });
    json!({
        "time_us": micros,
        "db": entry.db,
        "client": client_json(&entry.client),
        "command": words.collect::<Json>(),
    })
}

fn unreadable(error: &Error) -> Json {
    json!({ "unreadable": error.message() })
}
