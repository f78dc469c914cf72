//! t-digests: quantiles and ranks of very many numbers, exact at both ends and close between.
//!
//! Promises: one method per command of the module `bf` for them, the same Rust value on RESP2 and RESP3.
//! Must not know: who runs the commands.

use redwire_core::{Arg, Args, Cmd, Run, facts};

use super::count_min_sketch::merged;
use super::info::info;

/// Digests of numbers, of the module `bf`, which Redis 8 has built in.
///
/// Every method but [`tdigest_create`](Self::tdigest_create) and [`tdigest_merge`](Self::tdigest_merge) fails
/// where the digest is absent; one without numbers answers NaN, or -2 for a rank. What a method returns is
/// [`Run::Out`]: a request to await for a client, a `Result` for a blocking one, a place for a pipeline.
///
/// ```no_run
/// use redwire::prelude::*;
///
/// let client = redwire::blocking::Client::connect("redis://localhost")?;
/// client.tdigest_create("latency", None)?;
/// client.tdigest_add("latency", [1.5, 2.5, 40.0])?;
/// let [median, worst] = client.tdigest_quantile("latency", [0.5, 0.99])?[..] else { unreachable!() };
/// # Ok::<(), redwire::Error>(())
/// ```
pub trait TDigestCommands: Run {
    /// Adds numbers, one or several. Since bf 2.4; O(n) with n numbers.
    ///
    /// Example: `client.tdigest_add("latency", [1.0, 2.0, 3.0, 4.0, 5.0])`.
    /// [TDIGEST.ADD](https://redis.io/docs/latest/commands/tdigest.add/)
    fn tdigest_add(self, key: impl Arg, numbers: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::TDIGEST_ADD).required(key).required(numbers))
    }

    /// About which number has each of these ranks (from 0, the smallest): infinity behind the last.
    /// Since bf 2.4; O(1).
    ///
    /// Example: `client.tdigest_byrank("latency", [0, 99])`.
    /// [TDIGEST.BYRANK](https://redis.io/docs/latest/commands/tdigest.byrank/)
    fn tdigest_byrank(self, key: impl Arg, ranks: impl Arg) -> Self::Out<Vec<f64>> {
        self.run(Cmd::of(&facts::TDIGEST_BYRANK).required(key).places(ranks))
    }

    /// As [`tdigest_byrank`](Self::tdigest_byrank), by ranks from the largest number on: negative infinity
    /// behind the last. Since bf 2.4; O(1).
    ///
    /// Example: `client.tdigest_byrevrank("latency", [0, 99])`.
    /// [TDIGEST.BYREVRANK](https://redis.io/docs/latest/commands/tdigest.byrevrank/)
    fn tdigest_byrevrank(self, key: impl Arg, ranks: impl Arg) -> Self::Out<Vec<f64>> {
        self.run(Cmd::of(&facts::TDIGEST_BYREVRANK).required(key).places(ranks))
    }

    /// About which fraction of all numbers is smaller than each of these, with half of those that are equal.
    /// Since bf 2.4; O(1).
    ///
    /// Example: `client.tdigest_cdf("latency", [2.0, 9.0])`.
    /// [TDIGEST.CDF](https://redis.io/docs/latest/commands/tdigest.cdf/)
    fn tdigest_cdf(self, key: impl Arg, numbers: impl Arg) -> Self::Out<Vec<f64>> {
        self.run(Cmd::of(&facts::TDIGEST_CDF).required(key).places(numbers))
    }

    /// Makes an empty digest. A higher compression (default: 100) is more exact and takes more memory. Fails
    /// where the key exists. Since bf 2.4; O(1).
    ///
    /// Example: `client.tdigest_create("latency", Some(50))`.
    /// [TDIGEST.CREATE](https://redis.io/docs/latest/commands/tdigest.create/)
    fn tdigest_create(self, key: impl Arg, compression: Option<u64>) -> Self::Out<()> {
        self.run(Cmd::of(&facts::TDIGEST_CREATE).required(key).named("COMPRESSION", compression))
    }

    /// What the digest is made of. Since bf 2.4; O(1).
    ///
    /// Example: `client.tdigest_info("latency")`.
    /// [TDIGEST.INFO](https://redis.io/docs/latest/commands/tdigest.info/)
    fn tdigest_info(self, key: impl Arg) -> Self::Out<TDigestInfo> {
        self.run(Cmd::of(&facts::TDIGEST_INFO).required(key))
    }

    /// The largest number. Since bf 2.4; O(1).
    ///
    /// Example: `client.tdigest_max("latency")`.
    /// [TDIGEST.MAX](https://redis.io/docs/latest/commands/tdigest.max/)
    fn tdigest_max(self, key: impl Arg) -> Self::Out<f64> {
        self.run(Cmd::of(&facts::TDIGEST_MAX).required(key))
    }

    /// Adds what the digests `sources`, one or several, hold to `destination`, which is made where it is
    /// absent. Fails where a source is absent. In a cluster all must have one slot. Since bf 2.4; O(n·k) with
    /// n digests of k nodes.
    ///
    /// Example: `client.tdigest_merge("all", ["latency", "old"], TDigestMergeOptions::new())`.
    /// [TDIGEST.MERGE](https://redis.io/docs/latest/commands/tdigest.merge/)
    fn tdigest_merge(
        self,
        destination: impl Arg,
        sources: impl Arg,
        options: TDigestMergeOptions,
    ) -> Self::Out<()> {
        let cmd = merged(Cmd::of(&facts::TDIGEST_MERGE).required(destination), sources);
        self.run(cmd.arg(options))
    }

    /// The smallest number. Since bf 2.4; O(1).
    ///
    /// Example: `client.tdigest_min("latency")`.
    /// [TDIGEST.MIN](https://redis.io/docs/latest/commands/tdigest.min/)
    fn tdigest_min(self, key: impl Arg) -> Self::Out<f64> {
        self.run(Cmd::of(&facts::TDIGEST_MIN).required(key))
    }

    /// About which number is above each of these fractions (0 to 1) of all numbers: 0.5 for the median.
    /// Since bf 2.4; O(1).
    ///
    /// Example: `client.tdigest_quantile("latency", [0.0, 0.5, 1.0])`.
    /// [TDIGEST.QUANTILE](https://redis.io/docs/latest/commands/tdigest.quantile/)
    fn tdigest_quantile(self, key: impl Arg, fractions: impl Arg) -> Self::Out<Vec<f64>> {
        self.run(Cmd::of(&facts::TDIGEST_QUANTILE).required(key).places(fractions))
    }

    /// About how many numbers are smaller than each of these, with half of those that are equal; -1 for one
    /// below all, and as many as there are for one above all. Since bf 2.4; O(1).
    ///
    /// Example: `client.tdigest_rank("latency", [0.0, 3.0, 9.0])`.
    /// [TDIGEST.RANK](https://redis.io/docs/latest/commands/tdigest.rank/)
    fn tdigest_rank(self, key: impl Arg, numbers: impl Arg) -> Self::Out<Vec<i64>> {
        self.run(Cmd::of(&facts::TDIGEST_RANK).required(key).places(numbers))
    }

    /// Empties the digest. Since bf 2.4; O(1).
    ///
    /// Example: `client.tdigest_reset("latency")`.
    /// [TDIGEST.RESET](https://redis.io/docs/latest/commands/tdigest.reset/)
    fn tdigest_reset(self, key: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::TDIGEST_RESET).required(key))
    }

    /// As [`tdigest_rank`](Self::tdigest_rank), counted from the largest number on. Since bf 2.4; O(1).
    ///
    /// Example: `client.tdigest_revrank("latency", [0.0, 3.0, 9.0])`.
    /// [TDIGEST.REVRANK](https://redis.io/docs/latest/commands/tdigest.revrank/)
    fn tdigest_revrank(self, key: impl Arg, numbers: impl Arg) -> Self::Out<Vec<i64>> {
        self.run(Cmd::of(&facts::TDIGEST_REVRANK).required(key).places(numbers))
    }

    /// About the mean of the numbers between these two fractions (0 to 1, the lower first) of all numbers.
    /// Since bf 2.4; O(n) with n nodes.
    ///
    /// Example: `client.tdigest_trimmed_mean("latency", 0.1, 0.9)`.
    /// [TDIGEST.TRIMMED_MEAN](https://redis.io/docs/latest/commands/tdigest.trimmed_mean/)
    fn tdigest_trimmed_mean(self, key: impl Arg, low: f64, high: f64) -> Self::Out<f64> {
        self.run(Cmd::of(&facts::TDIGEST_TRIMMED_MEAN).required(key).arg(low).arg(high))
    }
}

impl<T: Run> TDigestCommands for T {}

/// How digests are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TDigestMergeOptions {
    compression: Option<u64>,
    overwrite: bool,
}

impl TDigestMergeOptions {
    /// With the highest compression of all, added to what is there.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this compression.
    #[must_use]
    pub fn compression(mut self, compression: u64) -> Self {
        self.compression = Some(compression);
        self
    }

    /// In place of what is there (`OVERRIDE`).
    #[must_use]
    pub fn overwrite(mut self) -> Self {
        self.overwrite = true;
        self
    }
}

impl Arg for TDigestMergeOptions {
    fn write(&self, args: &mut Args) {
        self.compression.write_named("COMPRESSION", args);
        args.flag(self.overwrite, "OVERRIDE");
    }
}

info! {
    /// What a digest is made of.
    TDigestInfo {
        /// Its compression.
        compression: u64 = "Compression",
        /// For how many nodes it has room.
        capacity: u64 = "Capacity",
        /// Nodes that are merged.
        merged_nodes: u64 = "Merged nodes",
        /// Nodes that are still to be merged.
        unmerged_nodes: u64 = "Unmerged nodes",
        /// How many numbers the merged nodes stand for.
        merged_weight: u64 = "Merged weight",
        /// How many numbers the others stand for.
        unmerged_weight: u64 = "Unmerged weight",
        /// How many numbers were added.
        observations: u64 = "Observations",
        /// How often it was compressed.
        compressions: u64 = "Total compressions",
        /// How many bytes it takes.
        memory_usage: u64 = "Memory usage",
    }
}
