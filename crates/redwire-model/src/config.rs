//! The options of `CONFIG` that the model has.
//!
//! This file must not know what follows from them.

use std::collections::BTreeMap;

use crate::options::Options;

/// The options and their values.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    values: BTreeMap<&'static str, String>,
    /// Of `normal` clients and of `pubsub`, as the option says them.
    limits: [OutputLimit; 2],
    /// As the option says it.
    bulk_max: i64,
}

/// Names and values at the start. What follows from `maxclients`, `proto-max-bulk-len`,
/// `client-output-buffer-limit` and `requirepass` is modelled; the others are remembered.
const DEFAULTS: &[(&str, &str)] = &[
    ("appendonly", "no"),
    ("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
    ("databases", "16"),
    ("lua-time-limit", "5000"),
    ("maxclients", "10000"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("min-replicas-to-write", "0"),
    ("notify-keyspace-events", ""),
    ("proto-max-bulk-len", "536870912"),
    ("repl-timeout", "60"),
    ("requirepass", ""),
    ("save", ""),
    ("slowlog-log-slower-than", "10000"),
    ("slowlog-max-len", "128"),
    ("tcp-keepalive", "300"),
    ("timeout", "0"),
];

/// The limits of a client's output: at once, and for so many seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutputLimit {
    pub(crate) hard: usize,
    pub(crate) soft: usize,
    pub(crate) soft_seconds: u64,
}

impl Config {
    pub(crate) fn new(options: &Options) -> Self {
        let mut values: BTreeMap<_, _> =
            DEFAULTS.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        values.insert("databases", options.databases.to_string());
        values.insert("requirepass", options.password.clone().unwrap_or_default());
        let mut config = Self { values, limits: [OutputLimit::default(); 2], bulk_max: 0 };
        config.bulk_max = config.read_bulk_max();
        config.limits = ["normal", "pubsub"].map(|class| config.read_output_limit(class));
        config
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Sets an option. `Err` says why not; `Ok(false)`: there is no such option.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<bool, &'static str> {
        let Some((name, _)) = DEFAULTS.iter().find(|(known, _)| *known == name) else { return Ok(false) };
        let is_number = value.parse::<u64>().is_ok();
        match *name {
            "databases" => return Err("can't set immutable config"),
            "maxclients" | "proto-max-bulk-len" | "timeout" | "tcp-keepalive" if !is_number => {
                return Err("argument couldn't be parsed into an integer");
            }
            "notify-keyspace-events" if !value.is_empty() => {
                return Err("the model server does not tell of keyspace events");
            }
            "client-output-buffer-limit" => return self.set_output_limit(value).map(|()| true),
            _ => {}
        }
        self.values.insert(name, value.to_owned());
        self.bulk_max = self.read_bulk_max();
        Ok(true)
    }

    pub(crate) fn maxclients(&self) -> usize {
        self.number("maxclients", 10_000)
    }

    pub(crate) fn bulk_max(&self) -> i64 {
        self.bulk_max
    }

    fn read_bulk_max(&self) -> i64 {
        self.number("proto-max-bulk-len", 512 << 20)
    }

    /// The limits for subscribers, or for other clients.
    pub(crate) fn output_limit(&self, subscriber: bool) -> OutputLimit {
        self.limits[usize::from(subscriber)]
    }

    fn read_output_limit(&self, class: &str) -> OutputLimit {
        let limits = self.values.get("client-output-buffer-limit").map_or("", String::as_str);
        let words: Vec<&str> = limits.split(' ').collect();
        let found = words.chunks_exact(4).find(|words| words[0] == class);
        let number = |at: usize| found.and_then(|words| words[at].parse().ok()).unwrap_or(0);
        OutputLimit {
            hard: number(1),
            soft: number(2),
            soft_seconds: u64::try_from(number(3)).unwrap_or(u64::MAX),
        }
    }

    fn set_output_limit(&mut self, value: &str) -> Result<(), &'static str> {
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        if words.is_empty() || !words.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.");
        }
        let mut limits: Vec<String> = ["normal", "slave", "pubsub"]
            .iter()
            .map(|class| {
                let limit = self.read_output_limit(class);
                format!("{class} {} {} {}", limit.hard, limit.soft, limit.soft_seconds)
            })
            .collect();
        for limit in words.chunks_exact(4) {
            let class = if limit[0] == "replica" { "slave" } else { limit[0] };
            let Some(place) = ["normal", "slave", "pubsub"].iter().position(|known| *known == class) else {
                return Err("Invalid client class specified in buffer limit configuration.");
            };
            let (Some(hard), Some(soft), Ok(seconds)) =
                (bytes(limit[1]), bytes(limit[2]), limit[3].parse::<u64>())
            else {
                return Err("Error in hard, soft or soft_seconds setting in buffer limit configuration.");
            };
            limits[place] = format!("{class} {hard} {soft} {seconds}");
        }
        self.values.insert("client-output-buffer-limit", limits.join(" "));
        self.limits = ["normal", "pubsub"].map(|class| self.read_output_limit(class));
        Ok(())
    }

    fn number<N: std::str::FromStr>(&self, name: &str, default: N) -> N {
        self.values.get(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

/// An amount of memory: `256mb`.
fn bytes(text: &str) -> Option<usize> {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(factor)
}
