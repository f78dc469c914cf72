//! Logs of commands, histograms of their times, and the keys that are used most.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redwire_core::{Arg, Args, Lossy, Reader, Reply, Result, Value};

use crate::commands::server::fields::{fields_and_rest, read};

/// Which log of commands (Valkey 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandlogKind {
    /// Those that took long: the slow log.
    Slow,
    /// Those that were large.
    LargeRequest,
    /// Those whose replies were large.
    LargeReply,
}

impl Arg for CommandlogKind {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Slow => b"slow",
            Self::LargeRequest => b"large-request",
            Self::LargeReply => b"large-reply",
        });
    }
}

/// A command of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandlogEntry {
    /// Its number, counted from the server's start.
    pub id: u64,
    /// When it was executed, in seconds since 1970.
    pub time: u64,
    /// How long it took, in microseconds; or how large it or its reply was, in bytes.
    pub amount: u64,
    /// Its words, which the server shortens.
    pub words: Vec<Lossy>,
    /// The address of the client that sent it.
    pub client: Lossy,
    /// That client's name.
    pub client_name: Lossy,
}

impl Reply for CommandlogEntry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let entry = Self {
            id: u64::decode_item(reader, &mut items)?,
            time: u64::decode_item(reader, &mut items)?,
            amount: u64::decode_item(reader, &mut items)?,
            words: Vec::decode_item(reader, &mut items)?,
            client: Lossy::decode_item(reader, &mut items)?,
            client_name: Lossy::decode_item(reader, &mut items)?,
        };
        while items.more(reader)? {
            Value::decode_item(reader, &mut items)?;
        }
        Ok(entry)
    }
}

/// The histograms of several commands, by their names in lower case.
pub type LatencyHistograms = BTreeMap<String, LatencyHistogram>;

/// How long a command took.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LatencyHistogram {
    /// How often it was called.
    pub calls: u64,
    /// Times, and how many of the calls took no longer than each.
    pub times: Vec<(Duration, u64)>,
    /// What newer servers tell besides.
    pub other: BTreeMap<String, Value>,
}

impl Reply for LatencyHistogram {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut histogram = Self::default();
        histogram.other = fields_and_rest(reader, |name, reader| match name {
            "calls" => read(&mut histogram.calls, reader),
            "histogram_usec" => {
                let times = Vec::<(u64, u64)>::decode(reader)?.into_iter();
                histogram.times =
                    times.map(|(micros, calls)| (Duration::from_micros(micros), calls)).collect();
                Ok(true)
            }
            _ => Ok(false),
        })?;
        Ok(histogram)
    }
}

/// How the keys that are used most are looked for (Redis 8.6).
#[derive(Clone, Debug)]
pub struct HotKeysOptions {
    cpu: bool,
    net: bool,
    count: Option<u64>,
    duration: Option<Duration>,
    sample: Option<u64>,
    slots: Vec<u16>,
}

impl HotKeysOptions {
    /// Those whose commands take most time.
    #[must_use]
    pub fn cpu() -> Self {
        Self { cpu: true, net: false, ..Self::net() }
    }

    /// Those whose commands and replies take most bytes.
    #[must_use]
    pub fn net() -> Self {
        Self { cpu: false, net: true, count: None, duration: None, sample: None, slots: Vec::new() }
    }

    /// Both of them.
    #[must_use]
    pub fn both() -> Self {
        Self { cpu: true, ..Self::net() }
    }

    /// So many keys of each kind.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// For so long, in whole seconds, rounded up; without it, until it is ended.
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    /// Only one command of so many is looked at, by chance.
    #[must_use]
    pub fn sample(mut self, ratio: u64) -> Self {
        self.sample = Some(ratio);
        self
    }

    /// Only keys of these slots, of a node of a cluster.
    #[must_use]
    pub fn slots(mut self, slots: impl IntoIterator<Item = u16>) -> Self {
        self.slots.extend(slots);
        self
    }
}

impl Arg for HotKeysOptions {
    fn write(&self, args: &mut Args) {
        (u32::from(self.cpu) + u32::from(self.net)).write_named("METRICS", args);
        args.flag(self.cpu, "CPU");
        args.flag(self.net, "NET");
        self.count.write_named("COUNT", args);
        let seconds = self.duration.map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0));
        seconds.write_named("DURATION", args);
        self.sample.write_named("SAMPLE", args);
        if !self.slots.is_empty() {
            (self.slots.len(), &self.slots).write_named("SLOTS", args);
        }
    }
}

/// Which keys were used most (Redis 8.6).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HotKeys {
    /// Whether the server still looks.
    pub is_active: bool,
    /// One command of so many was looked at.
    pub sample_ratio: u64,
    /// When it was begun.
    pub started: SystemTime,
    /// For how long it was looked.
    pub duration: Duration,
    /// Keys, and how long their commands took, those with most first.
    pub by_cpu_time: Vec<(Lossy, Duration)>,
    /// Keys, and how many bytes their commands and replies took, those with most first.
    pub by_net_bytes: Vec<(Lossy, u64)>,
    /// All else, by its name.
    pub other: BTreeMap<String, Value>,
}

impl Reply for HotKeys {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut hot = Self {
            is_active: false,
            sample_ratio: 1,
            started: UNIX_EPOCH,
            duration: Duration::ZERO,
            by_cpu_time: Vec::new(),
            by_net_bytes: Vec::new(),
            other: BTreeMap::new(),
        };
        hot.other = fields_and_rest(reader, |name, reader| {
            match name {
                "tracking-active" => hot.is_active = bool::decode(reader)?,
                "sample-ratio" => hot.sample_ratio = u64::decode(reader)?,
                "collection-start-time-unix-ms" => {
                    hot.started = UNIX_EPOCH + Duration::from_millis(u64::decode(reader)?);
                }
                "collection-duration-ms" => hot.duration = Duration::from_millis(u64::decode(reader)?),
                "by-cpu-time-us" => {
                    let keys = Vec::<(Lossy, u64)>::decode(reader)?.into_iter();
                    hot.by_cpu_time =
                        keys.map(|(key, micros)| (key, Duration::from_micros(micros))).collect();
                }
                "by-net-bytes" => hot.by_net_bytes = Vec::decode(reader)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(hot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Redis documents it, on RESP2 and RESP3.
    #[test]
    fn hot_keys_are_the_same_from_both_protocols() {
        let fields = "$15\r\ntracking-active\r\n:1\r\n$12\r\nsample-ratio\r\n:3\r\n\
            $29\r\ncollection-start-time-unix-ms\r\n:1769420604522\r\n$22\r\ncollection-duration-ms\r\n:6408\r\n\
            $14\r\nselected-slots\r\n*0\r\n$14\r\nby-cpu-time-us\r\n*4\r\n$1\r\nx\r\n:104\r\n$1\r\ny\r\n:98\r\n";
        let resp2: Option<HotKeys> = Reader::read(format!("*12\r\n{fields}").as_bytes()).unwrap();
        let resp3: Option<HotKeys> = Reader::read(format!("%6\r\n{fields}").as_bytes()).unwrap();
        assert_eq!(resp2, resp3);
        let hot = resp2.unwrap();
        assert!(hot.is_active && hot.sample_ratio == 3);
        assert_eq!(hot.duration, Duration::from_millis(6408));
        assert_eq!((&*hot.by_cpu_time[1].0, hot.by_cpu_time[1].1), ("y", Duration::from_micros(98)));
        assert_eq!(hot.other.keys().collect::<Vec<_>>(), ["selected-slots"]);
        assert_eq!(Reader::read::<Option<HotKeys>>(b"*-1\r\n").unwrap(), None);
    }

    #[test]
    fn options_are_written_as_redis_documents_them() {
        let cmd = redwire_core::cmd::<()>("HOTKEYS START");
        let options = HotKeysOptions::both().count(5).duration(Duration::from_millis(1500)).slots([1, 2]);
        let words = cmd.arg(options).words().join(" ");
        assert_eq!(words, "HOTKEYS START METRICS 2 CPU NET COUNT 5 DURATION 2 SLOTS 2 1 2");
    }
}
