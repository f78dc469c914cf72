//! What a running server tells of itself, and how it is set from outside.
//!
//! Each question takes a connection of its own over the Unix socket, which the server counts like any other
//! and has closed when the answer is returned. One that doesn't come is a fault of the test, so it panics.

use std::collections::BTreeMap;

use super::{Server, ask_on, close, open};

impl Server {
    /// A section of `INFO` (`"stats"`, `"commandstats"`), or all of it (`"all"`): values by their names.
    ///
    /// # Panics
    ///
    /// If the server doesn't answer. So do all below.
    #[track_caller]
    pub fn info(&self, section: &str) -> BTreeMap<String, String> {
        let fields =
            |text: &str| -> BTreeMap<_, _> { text.lines().filter_map(|line| field(line, ':')).collect() };
        fields(&self.demand(&["INFO", section]))
    }

    /// A number from `INFO`, such as `total_connections_received`. The connection that asks is counted.
    #[track_caller]
    pub fn stat(&self, name: &str) -> i64 {
        let info = self.info("all");
        let value = info.get(name).unwrap_or_else(|| panic!("INFO has no {name}"));
        value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}"))
    }

    /// How often a command was called since the start or the last `CONFIG RESETSTAT`; a subcommand is written
    /// as `config|get`. Those that failed count if they ran.
    #[track_caller]
    pub fn calls(&self, command: &str) -> i64 {
        let stats = self.info("commandstats");
        let Some(line) = stats.get(&format!("cmdstat_{}", command.to_lowercase())) else { return 0 };
        let calls = line.split(',').find_map(|pair| pair.strip_prefix("calls="));
        calls.and_then(|calls| calls.parse().ok()).unwrap_or_else(|| panic!("no calls in {line}"))
    }

    /// The connections by `CLIENT LIST`: values by their names (`id`, `name`, `db`, `cmd`, …). The one that
    /// asks is left out.
    #[track_caller]
    pub fn client_list(&self) -> Vec<BTreeMap<String, String>> {
        let asked = open(&self.unix_path, self.password.as_deref()).and_then(|opened| {
            let Ok(mut stream) = opened else { return Err(std::io::ErrorKind::PermissionDenied.into()) };
            let own = ask_on(&mut stream, &["CLIENT", "ID"])?.print();
            let list = ask_on(&mut stream, &["CLIENT", "LIST"])?.print();
            close(stream);
            Ok((own, list))
        });
        let (own, list) = asked.unwrap_or_else(|error| panic!("CLIENT LIST: {error}"));
        let fields = |line: &str| line.split(' ').filter_map(|pair| field(pair, '=')).collect();
        let clients = list.lines().map(fields);
        clients.filter(|client: &BTreeMap<_, _>| client.get("id") != Some(&own)).collect()
    }

    /// Sets a directive (`CONFIG SET`).
    #[track_caller]
    pub fn config_set(&self, name: &str, value: &str) {
        self.demand(&["CONFIG", "SET", name, value]);
    }

    /// Closes the connections that a filter of `CLIENT KILL` names, and returns how many they were:
    /// `&["TYPE", "normal"]`, `&["ID", "7"]`. The one that asks is spared.
    #[track_caller]
    pub fn kill_clients(&self, filter: &[&str]) -> usize {
        let killed = self.demand(&[&["CLIENT", "KILL"], filter].concat());
        killed.parse().unwrap_or_else(|_| panic!("CLIENT KILL {filter:?} says {killed}"))
    }

    #[track_caller]
    fn demand(&self, words: &[&str]) -> String {
        self.command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }
}

/// A name and its value.
fn field(text: &str, between: char) -> Option<(String, String)> {
    text.split_once(between).map(|(name, value)| (name.to_owned(), value.to_owned()))
}
