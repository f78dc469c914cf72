//! Bloom filters: sets that may say of an item that it is there though it is not, and take little memory.
//!
//! Promises: one method per command of the module `bf` that isn't deprecated, the same Rust value on RESP2
//! and RESP3. Must not know: who runs the commands.

use bytes::Bytes;
use redwire_core::{Arg, Args, Cmd, Run, facts};

use super::info::info;

/// Bloom filters, of the module `bf`, which Redis 8 has built in.
///
/// A filter answers *no* for certain and *yes* with an error rate, which is chosen when it is made. Items
/// can't be taken out; a [cuckoo filter](super::CuckooCommands) can do that. What a method returns is
/// [`Run::Out`]: a request to await for a client, a `Result` for a blocking one, a place for a pipeline.
///
/// ```no_run
/// use redwire::commands::BloomOptions;
/// use redwire::prelude::*;
///
/// let client = redwire::blocking::Client::connect("redis://localhost")?;
/// client.bf_reserve("seen", 0.001, 1_000_000, BloomOptions::new())?;
/// assert!(client.bf_add("seen", "ann")?);
/// assert_eq!(client.bf_mexists("seen", ["ann", "bob"])?, [true, false]);
/// # Ok::<(), redwire::Error>(())
/// ```
pub trait BloomCommands: Run {
    /// Adds an item, and says whether it is new for certain. A filter that is absent is made with the
    /// module's defaults (an error rate of 0.01, for 100 items). Fails where a filter that does not grow is
    /// full. Since bf 1.0; O(k) with k hash functions.
    ///
    /// Example: `client.bf_add("seen", "ann")`.
    /// [BF.ADD](https://redis.io/docs/latest/commands/bf.add/)
    fn bf_add(self, key: impl Arg, item: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::BF_ADD).required(key).required(item))
    }

    /// How many items are in the filter, as far as it can tell them apart; 0 where it is absent.
    /// Since bf 2.4.4; O(1).
    ///
    /// Example: `client.bf_card("seen")`.
    /// [BF.CARD](https://redis.io/docs/latest/commands/bf.card/)
    fn bf_card(self, key: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::BF_CARD).required(key))
    }

    /// Whether the item may be in the filter: `false` is certain. `false`, too, where the filter is absent.
    /// Since bf 1.0; O(k).
    ///
    /// Example: `client.bf_exists("seen", "ann")`.
    /// [BF.EXISTS](https://redis.io/docs/latest/commands/bf.exists/)
    fn bf_exists(self, key: impl Arg, item: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::BF_EXISTS).required(key).required(item))
    }

    /// What the filter is made of. Fails where it is absent. Since bf 1.0; O(1).
    ///
    /// Example: `client.bf_info("seen")`.
    /// [BF.INFO](https://redis.io/docs/latest/commands/bf.info/)
    fn bf_info(self, key: impl Arg) -> Self::Out<BloomInfo> {
        self.run(Cmd::of(&facts::BF_INFO).required(key))
    }

    /// Adds items, one or several, to a filter that is made as `options` say where it is absent; which of
    /// them are new. Fails where a filter that does not grow is full: the items before that are added.
    /// Since bf 1.0; O(k·n) with n items.
    ///
    /// Example: `client.bf_insert("seen", BloomInsertOptions::new().capacity(1000), ["ann", "eve"])`.
    /// [BF.INSERT](https://redis.io/docs/latest/commands/bf.insert/)
    fn bf_insert(self, key: impl Arg, options: BloomInsertOptions, items: impl Arg) -> Self::Out<Vec<bool>> {
        self.run(Cmd::of(&facts::BF_INSERT).required(key).arg(options).arg("ITEMS").places(items))
    }

    /// Puts back a part of a filter that [`bf_scandump`](Self::bf_scandump) gave, with the iterator that came
    /// with it; in the same order, from the first on. Since bf 1.0; O(n) with n bytes.
    ///
    /// Example: `client.bf_loadchunk("copy", iterator, data)`.
    /// [BF.LOADCHUNK](https://redis.io/docs/latest/commands/bf.loadchunk/)
    fn bf_loadchunk(self, key: impl Arg, iterator: i64, data: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::BF_LOADCHUNK).required(key).arg(iterator).required(data))
    }

    /// Adds items, one or several, and says of each whether it is new for certain. Otherwise as
    /// [`bf_add`](Self::bf_add). Since bf 1.0; O(k·n) with n items.
    ///
    /// Example: `client.bf_madd("seen", ["ann", "bob"])`.
    /// [BF.MADD](https://redis.io/docs/latest/commands/bf.madd/)
    fn bf_madd(self, key: impl Arg, items: impl Arg) -> Self::Out<Vec<bool>> {
        self.run(Cmd::of(&facts::BF_MADD).required(key).places(items))
    }

    /// Whether each of these items may be in the filter; all `false` where it is absent. Since bf 1.0;
    /// O(k·n) with n items.
    ///
    /// Example: `client.bf_mexists("seen", ["ann", "zoe"])`.
    /// [BF.MEXISTS](https://redis.io/docs/latest/commands/bf.mexists/)
    fn bf_mexists(self, key: impl Arg, items: impl Arg) -> Self::Out<Vec<bool>> {
        self.run(Cmd::of(&facts::BF_MEXISTS).required(key).places(items))
    }

    /// Makes an empty filter for `capacity` items with this error rate (between 0 and 1, both excluded).
    /// Fails where the key exists. Since bf 1.0; O(1).
    ///
    /// Example: `client.bf_reserve("seen", 0.01, 100, BloomOptions::new())`.
    /// [BF.RESERVE](https://redis.io/docs/latest/commands/bf.reserve/)
    fn bf_reserve(
        self,
        key: impl Arg,
        error_rate: f64,
        capacity: u64,
        options: BloomOptions,
    ) -> Self::Out<()> {
        self.run(Cmd::of(&facts::BF_RESERVE).required(key).arg(error_rate).arg(capacity).arg(options))
    }

    /// The next part of the filter, for another server, and the iterator to ask for the part behind it; 0
    /// begins, and 0 came back behind the last. Fails where the filter is absent. Since bf 1.0; O(n) with n
    /// bytes.
    ///
    /// Example: `client.bf_scandump("seen", 0)`.
    /// [BF.SCANDUMP](https://redis.io/docs/latest/commands/bf.scandump/)
    fn bf_scandump(self, key: impl Arg, iterator: i64) -> Self::Out<(i64, Bytes)> {
        self.run(Cmd::of(&facts::BF_SCANDUMP).required(key).arg(iterator))
    }
}

impl<T: Run> BloomCommands for T {}

/// How a Bloom filter grows when it is full; by default it doubles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BloomOptions {
    expansion: Option<u64>,
    nonscaling: bool,
}

impl BloomOptions {
    /// It grows as the module's configuration says.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Each further layer is so many times as large as the one before. Takes the place of
    /// [`nonscaling`](Self::nonscaling), which servers refuse beside it.
    #[must_use]
    pub fn expansion(mut self, times: u64) -> Self {
        (self.expansion, self.nonscaling) = (Some(times), false);
        self
    }

    /// It does not grow: adding to a full one fails. Takes the place of [`expansion`](Self::expansion).
    #[must_use]
    pub fn nonscaling(mut self) -> Self {
        (self.expansion, self.nonscaling) = (None, true);
        self
    }
}

impl Arg for BloomOptions {
    fn write(&self, args: &mut Args) {
        self.expansion.write_named("EXPANSION", args);
        args.flag(self.nonscaling, "NONSCALING");
    }
}

/// How [`bf_insert`](BloomCommands::bf_insert) makes a filter that is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BloomInsertOptions {
    capacity: Option<u64>,
    error: Option<f64>,
    growth: BloomOptions,
    nocreate: bool,
}

impl BloomInsertOptions {
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

    /// With this error rate, between 0 and 1.
    #[must_use]
    pub fn error(mut self, rate: f64) -> Self {
        self.error = Some(rate);
        self
    }

    /// Growing so.
    #[must_use]
    pub fn growth(mut self, options: BloomOptions) -> Self {
        self.growth = options;
        self
    }

    /// Not at all: the call fails where the filter is absent. Servers refuse [`capacity`](Self::capacity) and
    /// [`error`](Self::error) beside it.
    #[must_use]
    pub fn nocreate(mut self) -> Self {
        self.nocreate = true;
        self
    }
}

impl Arg for BloomInsertOptions {
    fn write(&self, args: &mut Args) {
        self.capacity.write_named("CAPACITY", args);
        self.error.write_named("ERROR", args);
        let BloomOptions { expansion, nonscaling } = self.growth;
        expansion.write_named("EXPANSION", args);
        args.flag(self.nocreate, "NOCREATE");
        args.flag(nonscaling, "NONSCALING");
    }
}

info! {
    /// What a Bloom filter is made of.
    BloomInfo {
        /// For how many items it has room before it grows.
        capacity: u64 = "Capacity",
        /// How many bytes it takes.
        size: u64 = "Size",
        /// How many layers it has; one more each time it grew.
        filters: u64 = "Number of filters",
        /// How many items were added that were new.
        items: u64 = "Number of items inserted",
        /// How many times as large each further layer is; `None` if it does not grow.
        expansion: Option<u64> = "Expansion rate",
    }
}
