//! What a server's memory is used for.

use std::collections::BTreeMap;

use redwire_core::{Reader, Reply, Result, Value};

use crate::commands::server::fields::{fields_and_rest, read};

/// What a server's memory is used for, in bytes. What a server does not tell is 0.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// The most that was ever in use.
    pub peak_allocated: u64,
    /// What is in use.
    pub total_allocated: u64,
    /// What was in use when it had started.
    pub startup_allocated: u64,
    /// What replicas may yet need of the changes.
    pub replication_backlog: u64,
    /// Buffers of replicas.
    pub clients_replicas: u64,
    /// Buffers of all other clients.
    pub clients_normal: u64,
    /// Buffers of a cluster's bus (Redis 7.0).
    pub cluster_links: u64,
    /// Buffers of the append-only file.
    pub aof_buffer: u64,
    /// Scripts.
    pub lua_caches: u64,
    /// Functions (Redis 7.0).
    pub functions_caches: u64,
    /// All that is no data.
    pub overhead_total: u64,
    /// How many keys all databases have.
    pub keys_count: u64,
    /// What each of them takes on average.
    pub keys_bytes_per_key: u64,
    /// The data.
    pub dataset_bytes: u64,
    /// How much of what is in use, beyond what was at the start, is data; 0 to 100.
    pub dataset_percentage: f64,
    /// How much of the peak is in use; 0 to 100.
    pub peak_percentage: f64,
    /// How much more the system has given than is in use, as a factor.
    pub fragmentation: f64,
    /// The same as a number of bytes.
    pub fragmentation_bytes: i64,
    /// The databases that have keys, by their numbers.
    pub databases: BTreeMap<u32, DatabaseMemory>,
    /// All else, by its name: `allocator.allocated`, …
    pub other: BTreeMap<String, Value>,
}

impl Reply for MemoryStats {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut stats = Self::default();
        stats.other = fields_and_rest(reader, |name, reader| match name {
            "peak.allocated" => read(&mut stats.peak_allocated, reader),
            "total.allocated" => read(&mut stats.total_allocated, reader),
            "startup.allocated" => read(&mut stats.startup_allocated, reader),
            "replication.backlog" => read(&mut stats.replication_backlog, reader),
            "clients.slaves" => read(&mut stats.clients_replicas, reader),
            "clients.normal" => read(&mut stats.clients_normal, reader),
            "cluster.links" => read(&mut stats.cluster_links, reader),
            "aof.buffer" => read(&mut stats.aof_buffer, reader),
            "lua.caches" => read(&mut stats.lua_caches, reader),
            "functions.caches" => read(&mut stats.functions_caches, reader),
            "overhead.total" => read(&mut stats.overhead_total, reader),
            "keys.count" => read(&mut stats.keys_count, reader),
            "keys.bytes-per-key" => read(&mut stats.keys_bytes_per_key, reader),
            "dataset.bytes" => read(&mut stats.dataset_bytes, reader),
            "dataset.percentage" => read(&mut stats.dataset_percentage, reader),
            "peak.percentage" => read(&mut stats.peak_percentage, reader),
            "fragmentation" => read(&mut stats.fragmentation, reader),
            "fragmentation.bytes" => read(&mut stats.fragmentation_bytes, reader),
            name => match name.strip_prefix("db.").and_then(|number| number.parse().ok()) {
                Some(number) => {
                    stats.databases.insert(number, DatabaseMemory::decode(reader)?);
                    Ok(true)
                }
                None => Ok(false),
            },
        })?;
        Ok(stats)
    }
}

/// What the tables of a database take, in bytes.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DatabaseMemory {
    /// The table of its keys.
    pub hashtable_main: u64,
    /// The table of the keys that expire.
    pub hashtable_expires: u64,
    /// What newer servers tell besides.
    pub other: BTreeMap<String, Value>,
}

impl Reply for DatabaseMemory {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut memory = Self::default();
        memory.other = fields_and_rest(reader, |name, reader| match name {
            "overhead.hashtable.main" => read(&mut memory.hashtable_main, reader),
            "overhead.hashtable.expires" => read(&mut memory.hashtable_expires, reader),
            _ => Ok(false),
        })?;
        Ok(memory)
    }
}
