//! Samples, series, and what the module tells of them. RESP3 has maps where RESP2 has lists of lists, and
//! tells some things in other places: here it is the same.

use std::collections::BTreeMap;

use redwire_core::{Items, Reader, Reply, Result};

use crate::commands::info::{info, skip_rest};

/// A number and the time it was measured at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TsSample {
    /// The time, in milliseconds, usually since 1970.
    pub timestamp: u64,
    /// The number.
    pub value: f64,
}

impl Reply for TsSample {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let (timestamp, value) = Reply::decode(reader)?;
        Ok(Self { timestamp, value })
    }
}

/// A series and its last sample.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TsLatest {
    /// Its key.
    pub key: String,
    /// Its labels, as far as they were asked for; `None` for one that it lacks.
    pub labels: BTreeMap<String, Option<String>>,
    /// Its last sample; `None` if it has none.
    pub sample: Option<TsSample>,
}

impl Reply for TsLatest {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let key = String::decode_item(reader, &mut items)?;
        Self::rest(key, reader, &mut items)
    }

    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        entry(reader, items, Self::decode, Self::rest)
    }
}

impl TsLatest {
    fn rest(key: String, reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        let labels = BTreeMap::decode_item(reader, items)?;
        let sample = Option::decode_item(reader, items)?;
        skip_rest(reader, items)?;
        Ok(Self { key, labels, sample })
    }
}

/// A series and its samples.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TsSeries {
    /// Its key; of a group, `label=value`.
    pub key: String,
    /// Its labels, as far as they were asked for; `None` for one that it lacks.
    pub labels: BTreeMap<String, Option<String>>,
    /// Of a group: what was made of its samples. RESP2 tells it where all labels are asked for.
    pub reducers: Vec<String>,
    /// Of a group: the keys of its series. RESP2 tells them where all labels are asked for.
    pub sources: Vec<String>,
    /// Its samples.
    pub samples: Vec<TsSample>,
}

impl Reply for TsSeries {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let key = String::decode_item(reader, &mut items)?;
        Self::rest(key, reader, &mut items)
    }

    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        entry(reader, items, Self::decode, Self::rest)
    }
}

impl TsSeries {
    fn rest(key: String, reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        let mut series = Self { key, labels: BTreeMap::decode_item(reader, items)?, ..Self::default() };
        while items.more(reader)? {
            items.take(1, reader)?;
            if !reader.is_map()? {
                series.samples = Vec::decode(reader)?;
                continue;
            }
            let about: BTreeMap<String, Vec<String>> = BTreeMap::decode(reader)?;
            for (name, list) in about {
                match name.as_str() {
                    "reducers" => series.reducers = list,
                    "sources" => series.sources = list,
                    _ => {}
                }
            }
        }
        // RESP2 has them as labels.
        let mut listed = |label: &str| {
            let list = series.labels.remove(label).flatten();
            list.map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>())
        };
        let (reducers, sources) = (listed("__reducer__"), listed("__source__"));
        series.reducers.extend(reducers.into_iter().flatten());
        series.sources.extend(sources.into_iter().flatten());
        Ok(series)
    }
}

/// One item of a list of lists, or a key and a list of a map.
fn entry<'a, T>(
    reader: &mut Reader<'a>,
    items: &mut Items,
    whole: fn(&mut Reader<'a>) -> Result<T>,
    rest: fn(String, &mut Reader<'a>, &mut Items) -> Result<T>,
) -> Result<T> {
    items.take(1, reader)?;
    if reader.is_list()? {
        return whole(reader);
    }
    let key = String::decode(reader)?;
    items.take(1, reader)?;
    let mut inner = reader.items()?;
    rest(key, reader, &mut inner)
}

/// A rule: where what is made of each bucket of a series is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TsRule {
    /// The key of the series that it is kept in.
    pub destination: String,
    /// How long a bucket is, in milliseconds.
    pub bucket: u64,
    /// What is made of it, such as `AVG`.
    pub aggregator: String,
    /// From which time on buckets are counted, in milliseconds.
    pub align: u64,
}

impl Reply for TsRule {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let destination = String::decode_item(reader, &mut items)?;
        Self::rest(destination, reader, &mut items)
    }

    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        entry(reader, items, Self::decode, Self::rest)
    }
}

impl TsRule {
    fn rest(destination: String, reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        let bucket = u64::decode_item(reader, items)?;
        let aggregator = String::decode_item(reader, items)?;
        let align = if items.more(reader)? { u64::decode_item(reader, items)? } else { 0 };
        skip_rest(reader, items)?;
        Ok(Self { destination, bucket, aggregator, align })
    }
}

info! {
    /// What a series is made of.
    TsInfo {
        /// How many samples it has.
        samples: u64 = "totalSamples",
        /// How many bytes it takes.
        memory_usage: u64 = "memoryUsage",
        /// The time of the first sample, in milliseconds; 0 if there is none.
        first_timestamp: u64 = "firstTimestamp",
        /// The time of the last sample, in milliseconds; 0 if there is none.
        last_timestamp: u64 = "lastTimestamp",
        /// How much older than the latest a sample may be, in milliseconds; 0 for any.
        retention: u64 = "retentionTime",
        /// How many chunks of memory it has.
        chunk_count: u64 = "chunkCount",
        /// How many bytes a chunk has.
        chunk_size: u64 = "chunkSize",
        /// `compressed` or `uncompressed`.
        chunk_type: String = "chunkType",
        /// Its policy, such as `last`; `None` where the module's configuration decides.
        duplicate_policy: Option<String> = "duplicatePolicy",
        /// Its labels.
        labels: BTreeMap<String, String> = "labels",
        /// The key of the series that a rule makes this one of.
        source: Option<String> = "sourceKey",
        /// Its rules.
        rules: Vec<TsRule> = "rules",
        /// Samples within this time after the last one may be ignored, in milliseconds.
        ignore_max_time_diff: u64 = "ignoreMaxTimeDiff",
        /// Samples that differ from the last one by this much at most may be ignored.
        ignore_max_val_diff: f64 = "ignoreMaxValDiff",
        /// Its key, where chunks were asked for.
        key: Option<String> = "keySelfName",
        /// Its chunks, where they were asked for.
        chunks: Vec<TsChunk> = "Chunks",
    }
}

info! {
    /// A chunk of memory of a series.
    TsChunk {
        /// The time of its first sample, in milliseconds.
        start_timestamp: u64 = "startTimestamp",
        /// The time of its last sample, in milliseconds.
        end_timestamp: u64 = "endTimestamp",
        /// How many samples it has.
        samples: u64 = "samples",
        /// How many bytes it takes.
        size: u64 = "size",
        /// How many of them for each sample.
        bytes_per_sample: f64 = "bytesPerSample",
    }
}
