//! Cuckoo filters: as Bloom filters, and items can be taken out again.
//!
//! Promises: one method per command of the module `bf` for them, the same Rust value on RESP2 and RESP3.
//! Must not know: who runs the commands.

use bytes::Bytes;
use redwire_core::{Arg, Args, Cmd, Reader, Reply, Result, Run, Value, facts};

use super::info::info;

/// Cuckoo filters, of the module `bf`, which Redis 8 has built in.
///
/// A filter may hold the same item several times; *no* is certain, *yes* is not. What a method returns is
/// [`Run::Out`]: a request to await for a client, a `Result` for a blocking one, a place for a pipeline.
///
/// ```no_run
/// use redwire::prelude::*;
///
/// let client = redwire::blocking::Client::connect("redis://localhost")?;
/// client.cf_add("online", "ann")?;
/// assert!(client.cf_del("online", "ann")?);
/// # Ok::<(), redwire::Error>(())
/// ```
pub trait CuckooCommands: Run {
    /// Adds an item, even if it is there already. A filter that is absent is made with the module's defaults
    /// (for 1024 items). Fails where it is full. Since bf 1.0; O(k + i) with k sub-filters and i moves.
    ///
    /// Example: `client.cf_add("online", "ann")`.
    /// [CF.ADD](https://redis.io/docs/latest/commands/cf.add/)
    fn cf_add(self, key: impl Arg, item: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::CF_ADD).required(key).required(item))
    }

    /// Adds an item that is not there, and says whether it did; one that seems to be there by an error of the
    /// filter is not added. Otherwise as [`cf_add`](Self::cf_add). Since bf 1.0; O(k + i).
    ///
    /// Example: `client.cf_addnx("online", "ann")`.
    /// [CF.ADDNX](https://redis.io/docs/latest/commands/cf.addnx/)
    fn cf_addnx(self, key: impl Arg, item: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::CF_ADDNX).required(key).required(item))
    }

    /// How often the item may be in the filter: never less than it is. 0 where the filter is absent.
    /// Since bf 1.0; O(k).
    ///
    /// Example: `client.cf_count("online", "ann")`.
    /// [CF.COUNT](https://redis.io/docs/latest/commands/cf.count/)
    fn cf_count(self, key: impl Arg, item: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::CF_COUNT).required(key).required(item))
    }

    /// Takes an item out once, and says whether it was there. Only what was added may be taken out: else
    /// another item may vanish. Fails where the filter is absent. Since bf 1.0; O(k).
    ///
    /// Example: `client.cf_del("online", "ann")`.
    /// [CF.DEL](https://redis.io/docs/latest/commands/cf.del/)
    fn cf_del(self, key: impl Arg, item: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::CF_DEL).required(key).required(item))
    }

    /// Whether the item may be in the filter: `false` is certain. `false`, too, where the filter is absent.
    /// Since bf 1.0; O(k).
    ///
    /// Example: `client.cf_exists("online", "ann")`.
    /// [CF.EXISTS](https://redis.io/docs/latest/commands/cf.exists/)
    fn cf_exists(self, key: impl Arg, item: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::CF_EXISTS).required(key).required(item))
    }

    /// What the filter is made of. Fails where it is absent. Since bf 1.0; O(1).
    ///
    /// Example: `client.cf_info("online")`.
    /// [CF.INFO](https://redis.io/docs/latest/commands/cf.info/)
    fn cf_info(self, key: impl Arg) -> Self::Out<CuckooInfo> {
        self.run(Cmd::of(&facts::CF_INFO).required(key))
    }

    /// Adds items, one or several, to a filter that is made as `options` say where it is absent; what became
    /// of each. Since bf 1.0; O(n·(k + i)) with n items.
    ///
    /// Example: `client.cf_insert("online", CuckooInsertOptions::new().capacity(1000), ["ann", "bob"])`.
    /// [CF.INSERT](https://redis.io/docs/latest/commands/cf.insert/)
    fn cf_insert(
        self,
        key: impl Arg,
        options: CuckooInsertOptions,
        items: impl Arg,
    ) -> Self::Out<Vec<CuckooInserted>> {
        self.run(Cmd::of(&facts::CF_INSERT).required(key).arg(options).arg("ITEMS").places(items))
    }

    /// As [`cf_insert`](Self::cf_insert), but leaves alone what is there already. Since bf 1.0; O(n·(k + i)).
    ///
    /// Example: `client.cf_insertnx("online", CuckooInsertOptions::new(), ["ann", "eve"])`.
    /// [CF.INSERTNX](https://redis.io/docs/latest/commands/cf.insertnx/)
    fn cf_insertnx(
        self,
        key: impl Arg,
        options: CuckooInsertOptions,
        items: impl Arg,
    ) -> Self::Out<Vec<CuckooInserted>> {
        self.run(Cmd::of(&facts::CF_INSERTNX).required(key).arg(options).arg("ITEMS").places(items))
    }

    /// Puts back a part of a filter that [`cf_scandump`](Self::cf_scandump) gave, with the iterator that came
    /// with it; in the same order, from the first on. Since bf 1.0; O(n) with n bytes.
    ///
    /// Example: `client.cf_loadchunk("copy", iterator, data)`.
    /// [CF.LOADCHUNK](https://redis.io/docs/latest/commands/cf.loadchunk/)
    fn cf_loadchunk(self, key: impl Arg, iterator: i64, data: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CF_LOADCHUNK).required(key).arg(iterator).required(data))
    }

    /// Whether each of these items may be in the filter; all `false` where it is absent. Since bf 1.0;
    /// O(k·n) with n items.
    ///
    /// Example: `client.cf_mexists("online", ["ann", "zoe"])`.
    /// [CF.MEXISTS](https://redis.io/docs/latest/commands/cf.mexists/)
    fn cf_mexists(self, key: impl Arg, items: impl Arg) -> Self::Out<Vec<bool>> {
        self.run(Cmd::of(&facts::CF_MEXISTS).required(key).places(items))
    }

    /// Makes an empty filter for `capacity` items. Fails where the key exists. Since bf 1.0; O(1).
    ///
    /// Example: `client.cf_reserve("online", 1000, CuckooOptions::new().bucketsize(2))`.
    /// [CF.RESERVE](https://redis.io/docs/latest/commands/cf.reserve/)
    fn cf_reserve(self, key: impl Arg, capacity: u64, options: CuckooOptions) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CF_RESERVE).required(key).arg(capacity).arg(options))
    }

    /// The next part of the filter, for another server, and the iterator to ask for the part behind it; 0
    /// begins, and 0 came back behind the last, with no bytes. Fails where the filter is absent.
    /// Since bf 1.0; O(n) with n bytes.
    ///
    /// Example: `client.cf_scandump("online", 0)`.
    /// [CF.SCANDUMP](https://redis.io/docs/latest/commands/cf.scandump/)
    fn cf_scandump(self, key: impl Arg, iterator: i64) -> Self::Out<(i64, Option<Bytes>)> {
        self.run(Cmd::of(&facts::CF_SCANDUMP).required(key).arg(iterator))
    }
}

impl<T: Run> CuckooCommands for T {}

/// How a cuckoo filter is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CuckooOptions {
    bucketsize: Option<u64>,
    maxiterations: Option<u64>,
    expansion: Option<u64>,
}

impl CuckooOptions {
    /// With the module's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// So many items in a bucket, from 1 to 255: more of them fill the filter better, with more errors.
    #[must_use]
    pub fn bucketsize(mut self, items: u64) -> Self {
        self.bucketsize = Some(items);
        self
    }

    /// So many moves, before the filter counts as full.
    #[must_use]
    pub fn maxiterations(mut self, moves: u64) -> Self {
        self.maxiterations = Some(moves);
        self
    }

    /// Each further sub-filter is so many times as large as the one before; 0 for a filter that does not
    /// grow.
    #[must_use]
    pub fn expansion(mut self, times: u64) -> Self {
        self.expansion = Some(times);
        self
    }
}

impl Arg for CuckooOptions {
    fn write(&self, args: &mut Args) {
        self.bucketsize.write_named("BUCKETSIZE", args);
        self.maxiterations.write_named("MAXITERATIONS", args);
        self.expansion.write_named("EXPANSION", args);
    }
}

/// How [`cf_insert`](CuckooCommands::cf_insert) makes a filter that is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CuckooInsertOptions {
    capacity: Option<u64>,
    nocreate: bool,
}

impl CuckooInsertOptions {
    /// With the module's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For so many items.
    #[must_use]
    pub fn capacity(mut self, items: u64) -> Self {
        self.capacity = Some(items);
        self
    }

    /// Not at all: the call fails where the filter is absent.
    #[must_use]
    pub fn nocreate(mut self) -> Self {
        self.nocreate = true;
        self
    }
}

impl Arg for CuckooInsertOptions {
    fn write(&self, args: &mut Args) {
        self.capacity.write_named("CAPACITY", args);
        args.flag(self.nocreate, "NOCREATE");
    }
}

/// What became of an item that was to be added to a cuckoo filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CuckooInserted {
    /// It was added.
    Added,
    /// It was there already, or seemed to be.
    Exists,
    /// The filter is full.
    Full,
}

impl Reply for CuckooInserted {
    /// RESP3 has a truth value for `CF.INSERT`, which knows no item that is there already.
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(match Value::decode(reader)? {
            Value::Integer(0) => Self::Exists,
            Value::Integer(1..) | Value::Boolean(true) => Self::Added,
            _ => Self::Full,
        })
    }
}

info! {
    /// What a cuckoo filter is made of.
    CuckooInfo {
        /// How many bytes it takes.
        size: u64 = "Size",
        /// How many buckets it has.
        buckets: u64 = "Number of buckets",
        /// How many sub-filters it has; one more each time it grew.
        filters: u64 = "Number of filters",
        /// How many items are in it.
        items: u64 = "Number of items inserted",
        /// How many items were taken out.
        deleted: u64 = "Number of items deleted",
        /// How many items fit a bucket.
        bucket_size: u64 = "Bucket size",
        /// How many times as large each further sub-filter is.
        expansion: u64 = "Expansion rate",
        /// How many moves are tried before it counts as full.
        max_iterations: u64 = "Max iterations",
    }
}
