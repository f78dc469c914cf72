//! How series are made and samples added, which are read, and what is made of them.
//!
//! Promises: what is built here is written in the order the module's grammar wants. Must not know: commands.

use std::time::Duration;

use redwire_core::{Arg, Args, Cmd};

use crate::commands::keys::time::timeout_millis;

/// What to do about a sample at a time that has one already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TsDuplicatePolicy {
    /// It is refused.
    Block,
    /// The first one stays.
    First,
    /// It takes the place of the other.
    Last,
    /// The smaller one stays.
    Min,
    /// The larger one stays.
    Max,
    /// Their sum stays.
    Sum,
}

impl Arg for TsDuplicatePolicy {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Block => b"BLOCK",
            Self::First => b"FIRST",
            Self::Last => b"LAST",
            Self::Min => b"MIN",
            Self::Max => b"MAX",
            Self::Sum => b"SUM",
        });
    }
}

/// What a series is made of; where nothing is said, the module's configuration decides.
#[derive(Clone, Debug, Default)]
pub struct TsOptions {
    words: Args,
    on_duplicate: Option<TsDuplicatePolicy>,
    ignore: Option<(u64, f64)>,
    labels: Option<Args>,
}

impl TsOptions {
    /// As the module's configuration says.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, name: &str, value: impl Arg) -> Self {
        value.write_named(name, &mut self.words);
        self
    }

    /// Forgets samples that are older than the latest by this much, in whole milliseconds; zero for never.
    #[must_use]
    pub fn retention(self, time: Duration) -> Self {
        self.with("RETENTION", timeout_millis(time))
    }

    /// Keeps samples as they are, instead of in a form that takes less memory. Not for
    /// [`ts_alter`](super::TimeSeriesCommands::ts_alter).
    #[must_use]
    pub fn uncompressed(self) -> Self {
        self.with("ENCODING", "UNCOMPRESSED")
    }

    /// Takes memory in chunks of so many bytes, a multiple of 8 from 48 to 1 048 576.
    #[must_use]
    pub fn chunk_size(self, bytes: u64) -> Self {
        self.with("CHUNK_SIZE", bytes)
    }

    /// What to do about a sample at a time that has one already.
    #[must_use]
    pub fn duplicate_policy(self, policy: TsDuplicatePolicy) -> Self {
        self.with("DUPLICATE_POLICY", policy)
    }

    /// Ignores a sample that comes within this time after the last one and differs from it by this much at
    /// most. It holds where the policy is [`TsDuplicatePolicy::Last`].
    #[must_use]
    pub fn ignore(mut self, time: Duration, difference: f64) -> Self {
        self.ignore = Some((timeout_millis(time), difference));
        self
    }

    /// With these labels, pairs of name and value, in place of those it has.
    #[must_use]
    pub fn labels(mut self, labels: impl Arg) -> Self {
        let mut words = Args::new();
        labels.write(&mut words);
        self.labels = Some(words);
        self
    }
}

impl Arg for TsOptions {
    fn write(&self, args: &mut Args) {
        self.words.write(args);
        self.on_duplicate.write_named("ON_DUPLICATE", args);
        self.ignore.write_named("IGNORE", args);
        // They are all that follows.
        if let Some(labels) = &self.labels {
            args.bulk(b"LABELS");
            labels.write(args);
        }
    }
}

/// How a sample is added, and what a series that is absent is made of.
#[derive(Clone, Debug, Default)]
pub struct TsAddOptions(TsOptions);

impl TsAddOptions {
    /// As the series, or the module's configuration, says.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a series that is absent is made of.
    #[must_use]
    pub fn series(mut self, options: TsOptions) -> Self {
        self.0 = TsOptions { on_duplicate: self.0.on_duplicate, ..options };
        self
    }

    /// What to do if there is a sample at that time, whatever the policy of the series.
    #[must_use]
    pub fn on_duplicate(mut self, policy: TsDuplicatePolicy) -> Self {
        self.0.on_duplicate = Some(policy);
        self
    }
}

impl Arg for TsAddOptions {
    fn write(&self, args: &mut Args) {
        self.0.write(args);
    }
}

/// What is made of the samples of a bucket of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TsAggregator {
    /// Their mean.
    Avg,
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The largest less the smallest.
    Range,
    /// How many there are.
    Count,
    /// The first.
    First,
    /// The last.
    Last,
    /// The standard deviation of the population.
    StdP,
    /// The standard deviation of the sample.
    StdS,
    /// The variance of the population.
    VarP,
    /// The variance of the sample.
    VarS,
    /// Their mean, weighted by the time that each one held (timeseries 1.8).
    Twa,
}

impl Arg for TsAggregator {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Avg => b"avg",
            Self::Sum => b"sum",
            Self::Min => b"min",
            Self::Max => b"max",
            Self::Range => b"range",
            Self::Count => b"count",
            Self::First => b"first",
            Self::Last => b"last",
            Self::StdP => b"std.p",
            Self::StdS => b"std.s",
            Self::VarP => b"var.p",
            Self::VarS => b"var.s",
            Self::Twa => b"twa",
        });
    }
}

/// What is made of samples, bucket by bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TsAggregation {
    aggregator: TsAggregator,
    bucket: u64,
    align: Option<TsAlign>,
    timestamp: Option<&'static str>,
    empty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TsAlign {
    At(u64),
    Start,
    End,
}

impl TsAggregation {
    /// Of buckets of so many milliseconds, counted from time 0.
    #[must_use]
    pub fn new(aggregator: TsAggregator, bucket_millis: u64) -> Self {
        Self { aggregator, bucket: bucket_millis, align: None, timestamp: None, empty: false }
    }

    /// Counts buckets from this time on, in milliseconds.
    #[must_use]
    pub fn align(mut self, timestamp: u64) -> Self {
        self.align = Some(TsAlign::At(timestamp));
        self
    }

    /// Counts buckets from the beginning of the range, which must be a time. Not for rules.
    #[must_use]
    pub fn align_start(mut self) -> Self {
        self.align = Some(TsAlign::Start);
        self
    }

    /// Counts buckets from the end of the range, which must be a time. Not for rules.
    #[must_use]
    pub fn align_end(mut self) -> Self {
        self.align = Some(TsAlign::End);
        self
    }

    /// The time of a bucket is its middle, not its beginning. Not for rules.
    #[must_use]
    pub fn middle(mut self) -> Self {
        self.timestamp = Some("~");
        self
    }

    /// The time of a bucket is its end, not its beginning. Not for rules.
    #[must_use]
    pub fn end(mut self) -> Self {
        self.timestamp = Some("+");
        self
    }

    /// Buckets without samples have a value, too: 0 for a sum or a count, the last one before for
    /// [`TsAggregator::Last`], else NaN. Not for rules.
    #[must_use]
    pub fn empty(mut self) -> Self {
        self.empty = true;
        self
    }

    /// The words for a rule, which takes the time that buckets are counted from behind them.
    pub(super) fn for_rule(self) -> Args {
        let mut args = Args::new();
        ("AGGREGATION", self.aggregator, self.bucket).write(&mut args);
        if let Some(TsAlign::At(timestamp)) = self.align {
            timestamp.write(&mut args);
        }
        args
    }
}

impl Arg for TsAggregation {
    fn write(&self, args: &mut Args) {
        match self.align {
            Some(TsAlign::At(timestamp)) => ("ALIGN", timestamp).write(args),
            Some(TsAlign::Start) => ("ALIGN", "start").write(args),
            Some(TsAlign::End) => ("ALIGN", "end").write(args),
            None => {}
        }
        ("AGGREGATION", self.aggregator, self.bucket).write(args);
        self.timestamp.write_named("BUCKETTIMESTAMP", args);
        args.flag(self.empty, "EMPTY");
    }
}

/// Which samples of a range are read, and what is made of them.
#[derive(Clone, Debug, Default)]
pub struct TsRangeOptions {
    latest: bool,
    filter: Args,
    count: Option<u64>,
    aggregation: Option<TsAggregation>,
}

impl TsRangeOptions {
    /// All, as they are.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Of a series that a rule keeps, with what the bucket that is not full yet has so far (timeseries 1.8).
    #[must_use]
    pub fn latest(mut self) -> Self {
        self.latest = true;
        self
    }

    /// Only samples at these times, in milliseconds, one or several. No time at all is no filter.
    #[must_use]
    pub fn filter_by_ts(mut self, timestamps: impl Arg) -> Self {
        let mut words = Args::new();
        timestamps.write(&mut words);
        if !words.is_empty() {
            ("FILTER_BY_TS", words).write(&mut self.filter);
        }
        self
    }

    /// Only samples from this value to that, both included.
    #[must_use]
    pub fn filter_by_value(mut self, min: f64, max: f64) -> Self {
        ("FILTER_BY_VALUE", min, max).write(&mut self.filter);
        self
    }

    /// So many at most, of each series.
    #[must_use]
    pub fn count(mut self, samples: u64) -> Self {
        self.count = Some(samples);
        self
    }

    /// One for each bucket.
    #[must_use]
    pub fn aggregation(mut self, aggregation: TsAggregation) -> Self {
        self.aggregation = Some(aggregation);
        self
    }

    /// Appends them, with what to tell of labels, which stands among them.
    pub(super) fn around<R>(self, cmd: Cmd<R>, labels: TsLabels) -> Cmd<R> {
        let cmd = cmd.flag(self.latest, "LATEST").arg(self.filter).arg(labels);
        cmd.named("COUNT", self.count).arg(self.aggregation)
    }
}

/// Which labels to tell of each series.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum TsLabels {
    /// None.
    #[default]
    None,
    /// All (`WITHLABELS`).
    All,
    /// These alone: see [`selected`](Self::selected).
    Selected(Args),
}

impl TsLabels {
    /// These labels, one or several (timeseries 1.6). A series that lacks one has `None` for it.
    #[must_use]
    pub fn selected(labels: impl Arg) -> Self {
        let mut words = Args::new();
        labels.write(&mut words);
        if words.is_empty() { Self::None } else { Self::Selected(words) }
    }
}

impl Arg for TsLabels {
    fn write(&self, args: &mut Args) {
        match self {
            Self::None => {}
            Self::All => args.bulk(b"WITHLABELS"),
            Self::Selected(labels) => ("SELECTED_LABELS", labels).write(args),
        }
    }
}

/// What is made of the samples that the series of a group have at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TsReducer {
    /// Their mean (timeseries 1.8).
    Avg,
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The largest less the smallest (timeseries 1.8).
    Range,
    /// How many there are (timeseries 1.8).
    Count,
    /// The standard deviation of the population (timeseries 1.8).
    StdP,
    /// The standard deviation of the sample (timeseries 1.8).
    StdS,
    /// The variance of the population (timeseries 1.8).
    VarP,
    /// The variance of the sample (timeseries 1.8).
    VarS,
}

impl Arg for TsReducer {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Avg => b"avg",
            Self::Sum => b"sum",
            Self::Min => b"min",
            Self::Max => b"max",
            Self::Range => b"range",
            Self::Count => b"count",
            Self::StdP => b"std.p",
            Self::StdS => b"std.s",
            Self::VarP => b"var.p",
            Self::VarS => b"var.s",
        });
    }
}

/// How several series become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TsGroup {
    label: String,
    reducer: TsReducer,
}

impl TsGroup {
    /// One series of all that have the same value of this label.
    #[must_use]
    pub fn by(label: impl Into<String>, reducer: TsReducer) -> Self {
        Self { label: label.into(), reducer }
    }
}

impl Arg for TsGroup {
    fn write(&self, args: &mut Args) {
        ("GROUPBY", &self.label, "REDUCE", self.reducer).write(args);
    }
}
