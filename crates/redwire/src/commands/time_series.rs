//! Time series: numbers by the time they were measured at, and what is reckoned from them.
//!
//! Promises: one method per command of the module `timeseries`, the same Rust value on RESP2 and RESP3. Must
//! not know: who runs the commands.

use redwire_core::{Arg, Cmd, Reply, Result, Run, facts};

mod answers;
mod options;

pub use answers::{TsChunk, TsInfo, TsLatest, TsRule, TsSample, TsSeries};
pub use options::{
    TsAddOptions, TsAggregation, TsAggregator, TsDuplicatePolicy, TsGroup, TsLabels, TsOptions,
};
pub use options::{TsRangeOptions, TsReducer};

/// Time series, of the module `timeseries`, which Redis 8 has built in.
///
/// Times are whole milliseconds, usually since 1970. Where `from` and `to` are asked for, `"-"` is the first
/// and `"+"` the last there is. Filters are texts such as `area=hall`, `area!=hall`, `area=` (no such label),
/// `area!=` (any value) or `area=(hall,yard)`; one at least must be of the form `label=value`. In a cluster
/// the module itself gathers from all nodes what many series are asked for. What a method returns is
/// [`Run::Out`]: a request to await for a client, a `Result` for a blocking one, a place for a pipeline.
///
/// ```no_run
/// use redwire::commands::{TsAddOptions, TsAggregation, TsAggregator, TsRangeOptions};
/// use redwire::prelude::*;
///
/// let client = redwire::blocking::Client::connect("redis://localhost")?;
/// client.ts_add("heat:hall", "*", 21.5, TsAddOptions::new())?;
/// let hourly = TsAggregation::new(TsAggregator::Avg, 3_600_000);
/// for sample in client.ts_range("heat:hall", "-", "+", TsRangeOptions::new().aggregation(hourly))? {
///     println!("{}: {}", sample.timestamp, sample.value);
/// }
/// # Ok::<(), redwire::Error>(())
/// ```
pub trait TimeSeriesCommands: Run {
    /// Adds a sample, at a time in milliseconds or `"*"` for the server's own; the time it has. A series that
    /// is absent is made as `options` say. Fails where there is a sample at that time and the policy does not
    /// allow another, or the time is older than the series keeps. Since timeseries 1.0; O(m) with m rules.
    ///
    /// Example: `client.ts_add("heat", 100, 1.0, TsAddOptions::new())`.
    /// [TS.ADD](https://redis.io/docs/latest/commands/ts.add/)
    fn ts_add(self, key: impl Arg, timestamp: impl Arg, value: f64, options: TsAddOptions) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::TS_ADD).required(key).required(timestamp).arg(value).arg(options))
    }

    /// Changes what `options` say of a series. Fails where it is absent. Since timeseries 1.0; O(n) with n
    /// labels.
    ///
    /// Example: `client.ts_alter("heat", TsOptions::new().duplicate_policy(TsDuplicatePolicy::Last))`.
    /// [TS.ALTER](https://redis.io/docs/latest/commands/ts.alter/)
    fn ts_alter(self, key: impl Arg, options: TsOptions) -> Self::Out<()> {
        self.run(Cmd::of(&facts::TS_ALTER).required(key).arg(options))
    }

    /// Makes an empty series. Fails where the key exists. Since timeseries 1.0; O(1).
    ///
    /// Example: `client.ts_create("heat", TsOptions::new().labels([("area", "hall"), ("unit", "C")]))`.
    /// [TS.CREATE](https://redis.io/docs/latest/commands/ts.create/)
    fn ts_create(self, key: impl Arg, options: TsOptions) -> Self::Out<()> {
        self.run(Cmd::of(&facts::TS_CREATE).required(key).arg(options))
    }

    /// From now on, keeps in `destination` what `aggregation` makes of each bucket of `source`. Both must
    /// exist, and in a cluster have one slot. Since timeseries 1.0; O(1).
    ///
    /// Example: `client.ts_createrule("heat", "hourly", TsAggregation::new(TsAggregator::Avg, 1000))`.
    /// [TS.CREATERULE](https://redis.io/docs/latest/commands/ts.createrule/)
    fn ts_createrule(
        self,
        source: impl Arg,
        destination: impl Arg,
        aggregation: TsAggregation,
    ) -> Self::Out<()> {
        let cmd = Cmd::of(&facts::TS_CREATERULE).required(source).required(destination);
        self.run(cmd.arg(aggregation.for_rule()))
    }

    /// As [`ts_incrby`](Self::ts_incrby), taking away. Since timeseries 1.0; O(m).
    ///
    /// Example: `client.ts_decrby("heat", 5.0, 500, TsOptions::new())`.
    /// [TS.DECRBY](https://redis.io/docs/latest/commands/ts.decrby/)
    fn ts_decrby(self, key: impl Arg, by: f64, timestamp: impl Arg, options: TsOptions) -> Self::Out<u64> {
        let cmd = Cmd::of(&facts::TS_DECRBY).required(key).arg(by);
        self.run(cmd.named("TIMESTAMP", timestamp).arg(options))
    }

    /// Deletes the samples from one time to another, both included, in milliseconds; how many. Fails where
    /// the series is absent. Since timeseries 1.6; O(n) with n samples.
    ///
    /// Example: `client.ts_del("heat", 0, 100)`.
    /// [TS.DEL](https://redis.io/docs/latest/commands/ts.del/)
    fn ts_del(self, key: impl Arg, from: impl Arg, to: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::TS_DEL).required(key).required(from).required(to))
    }

    /// Ends what [`ts_createrule`](Self::ts_createrule) began; what was kept stays. Fails where there is no
    /// such rule. Since timeseries 1.0; O(1).
    ///
    /// Example: `client.ts_deleterule("heat", "hourly")`.
    /// [TS.DELETERULE](https://redis.io/docs/latest/commands/ts.deleterule/)
    fn ts_deleterule(self, source: impl Arg, destination: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::TS_DELETERULE).required(source).required(destination))
    }

    /// The last sample; `None` if the series has none. Fails where it is absent. Since timeseries 1.0; O(1).
    ///
    /// Example: `client.ts_get("heat")`.
    /// [TS.GET](https://redis.io/docs/latest/commands/ts.get/)
    fn ts_get(self, key: impl Arg) -> Self::Out<Option<TsSample>> {
        self.run(Cmd::of(&facts::TS_GET).required(key))
    }

    /// As [`ts_get`](Self::ts_get), of a series that a rule keeps: with what the bucket that is not full yet
    /// has so far. Since timeseries 1.8; O(1).
    ///
    /// Example: `client.ts_get_latest("hourly")`.
    /// [TS.GET](https://redis.io/docs/latest/commands/ts.get/)
    fn ts_get_latest(self, key: impl Arg) -> Self::Out<Option<TsSample>> {
        self.run(Cmd::of(&facts::TS_GET).required(key).arg("LATEST"))
    }

    /// Adds a sample that is the last one and `by` more, at a time in milliseconds, `"*"` for the server's
    /// own; its time. A series that is absent is made as `options` say, and begins with 0. Fails where the
    /// time is before the last one. Since timeseries 1.0; O(m) with m rules.
    ///
    /// Example: `client.ts_incrby("heat", 5.0, 400, TsOptions::new())`.
    /// [TS.INCRBY](https://redis.io/docs/latest/commands/ts.incrby/)
    fn ts_incrby(self, key: impl Arg, by: f64, timestamp: impl Arg, options: TsOptions) -> Self::Out<u64> {
        let cmd = Cmd::of(&facts::TS_INCRBY).required(key).arg(by);
        self.run(cmd.named("TIMESTAMP", timestamp).arg(options))
    }

    /// What the series is made of. Fails where it is absent. Since timeseries 1.0; O(1).
    ///
    /// Example: `client.ts_info("heat")`.
    /// [TS.INFO](https://redis.io/docs/latest/commands/ts.info/)
    fn ts_info(self, key: impl Arg) -> Self::Out<TsInfo> {
        self.run(Cmd::of(&facts::TS_INFO).required(key))
    }

    /// As [`ts_info`](Self::ts_info), with its chunks of memory. Since timeseries 1.0; O(c) with c chunks.
    ///
    /// Example: `client.ts_info_debug("heat")`.
    /// [TS.INFO](https://redis.io/docs/latest/commands/ts.info/)
    fn ts_info_debug(self, key: impl Arg) -> Self::Out<TsInfo> {
        self.run(Cmd::of(&facts::TS_INFO).required(key).arg("DEBUG"))
    }

    /// Adds samples, one or several `(key, timestamp, value)`, to series that exist; for each its time or why
    /// it was refused. In a cluster all keys must have one slot. Since timeseries 1.0; O(n·m) with n samples.
    ///
    /// Example: `client.ts_madd([("heat", 200, 2.0), ("heat", 300, 3.0), ("none", 1, 1.0)])`.
    /// [TS.MADD](https://redis.io/docs/latest/commands/ts.madd/)
    fn ts_madd(self, samples: impl Arg) -> Self::Out<Vec<Result<u64>>> {
        self.run(Cmd::of(&facts::TS_MADD).pairs(samples))
    }

    /// The last sample of each series that all `filters` hold for, with the `labels` asked for.
    /// Since timeseries 1.0; O(n) with n series.
    ///
    /// Example: `client.ts_mget(TsLabels::All, "area=hall")`.
    /// [TS.MGET](https://redis.io/docs/latest/commands/ts.mget/)
    fn ts_mget(self, labels: TsLabels, filters: impl Arg) -> Self::Out<Vec<TsLatest>> {
        self.run(Cmd::of(&facts::TS_MGET).arg(labels).arg("FILTER").required(filters))
    }

    /// The samples from one time to another of each series that all `filters` hold for, with the `labels`
    /// asked for. Since timeseries 1.0; O(n·s) with n series of s samples.
    ///
    /// Example: `client.ts_mrange("-", "+", TsRangeOptions::new(), TsLabels::All, "area=hall")`.
    /// [TS.MRANGE](https://redis.io/docs/latest/commands/ts.mrange/)
    fn ts_mrange(
        self,
        from: impl Arg,
        to: impl Arg,
        options: TsRangeOptions,
        labels: TsLabels,
        filters: impl Arg,
    ) -> Self::Out<Vec<TsSeries>> {
        let cmd = Cmd::of(&facts::TS_MRANGE).required(from).required(to);
        self.run(options.around(cmd, labels).arg("FILTER").required(filters))
    }

    /// As [`ts_mrange`](Self::ts_mrange), with one series for all that have the same value of a label.
    /// Since timeseries 1.6; O(n·s).
    ///
    /// Example: `client.ts_mrange_groupby("-", "+", TsRangeOptions::new(), TsLabels::All, "area=hall",
    /// TsGroup::by("area", TsReducer::Max))`.
    /// [TS.MRANGE](https://redis.io/docs/latest/commands/ts.mrange/)
    fn ts_mrange_groupby(
        self,
        from: impl Arg,
        to: impl Arg,
        options: TsRangeOptions,
        labels: TsLabels,
        filters: impl Arg,
        group: TsGroup,
    ) -> Self::Out<Vec<TsSeries>> {
        let cmd = Cmd::of(&facts::TS_MRANGE).required(from).required(to);
        self.run(options.around(cmd, labels).arg("FILTER").required(filters).arg(group))
    }

    /// As [`ts_mrange`](Self::ts_mrange), the latest samples first. Since timeseries 1.4; O(n·s).
    ///
    /// Example: `client.ts_mrevrange("-", "+", TsRangeOptions::new().count(1), TsLabels::selected(["area",
    /// "none"]), "area=hall")`.
    /// [TS.MREVRANGE](https://redis.io/docs/latest/commands/ts.mrevrange/)
    fn ts_mrevrange(
        self,
        from: impl Arg,
        to: impl Arg,
        options: TsRangeOptions,
        labels: TsLabels,
        filters: impl Arg,
    ) -> Self::Out<Vec<TsSeries>> {
        let cmd = Cmd::of(&facts::TS_MREVRANGE).required(from).required(to);
        self.run(options.around(cmd, labels).arg("FILTER").required(filters))
    }

    /// As [`ts_mrange_groupby`](Self::ts_mrange_groupby), the latest samples first. Since timeseries 1.6;
    /// O(n·s).
    ///
    /// Example: `client.ts_mrevrange_groupby("-", "+", TsRangeOptions::new(), TsLabels::None, "area=hall",
    /// TsGroup::by("area", TsReducer::Sum))`.
    /// [TS.MREVRANGE](https://redis.io/docs/latest/commands/ts.mrevrange/)
    fn ts_mrevrange_groupby(
        self,
        from: impl Arg,
        to: impl Arg,
        options: TsRangeOptions,
        labels: TsLabels,
        filters: impl Arg,
        group: TsGroup,
    ) -> Self::Out<Vec<TsSeries>> {
        let cmd = Cmd::of(&facts::TS_MREVRANGE).required(from).required(to);
        self.run(options.around(cmd, labels).arg("FILTER").required(filters).arg(group))
    }

    /// The keys of the series that all `filters` hold for: usually a `Vec<String>`. Since timeseries 1.0;
    /// O(n) with n series.
    ///
    /// Example: `client.ts_queryindex::<Vec<String>>("area=hall")`.
    /// [TS.QUERYINDEX](https://redis.io/docs/latest/commands/ts.queryindex/)
    fn ts_queryindex<C: Reply>(self, filters: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::TS_QUERYINDEX).required(filters))
    }

    /// The samples from one time to another, both included. Fails where the series is absent.
    /// Since timeseries 1.0; O(n) with n samples.
    ///
    /// Example: `client.ts_range("heat", "-", "+", TsRangeOptions::new())`.
    /// [TS.RANGE](https://redis.io/docs/latest/commands/ts.range/)
    fn ts_range(
        self,
        key: impl Arg,
        from: impl Arg,
        to: impl Arg,
        options: TsRangeOptions,
    ) -> Self::Out<Vec<TsSample>> {
        let cmd = Cmd::of(&facts::TS_RANGE).required(key).required(from).required(to);
        self.run(options.around(cmd, TsLabels::None))
    }

    /// As [`ts_range`](Self::ts_range), the latest first. Since timeseries 1.4; O(n).
    ///
    /// Example: `client.ts_revrange("heat", 0, "+", TsRangeOptions::new().count(1))`.
    /// [TS.REVRANGE](https://redis.io/docs/latest/commands/ts.revrange/)
    fn ts_revrange(
        self,
        key: impl Arg,
        from: impl Arg,
        to: impl Arg,
        options: TsRangeOptions,
    ) -> Self::Out<Vec<TsSample>> {
        let cmd = Cmd::of(&facts::TS_REVRANGE).required(key).required(from).required(to);
        self.run(options.around(cmd, TsLabels::None))
    }
}

impl<T: Run> TimeSeriesCommands for T {}
