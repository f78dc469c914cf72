//! What is done with the rows of a query, step by step, and how they are read by a cursor.
//!
//! Promises: what is built here is what the module's grammar wants. Must not know: commands.

use std::time::Duration;

use redwire_core::{Arg, Args};

use super::schema::counted;
use crate::commands::keys::time::timeout_millis;

/// What is done with the rows of a query: steps, in the order in which they are said here.
///
/// ```
/// use redwire::commands::{FtAggregateOptions, FtReducer};
///
/// let by_genre = FtAggregateOptions::new()
///     .groupby("@genre", [FtReducer::count().alias("books"), FtReducer::avg("@year").alias("year")])
///     .apply("floor(@year / 10) * 10", "decade")
///     .sortby(("@books", "DESC"))
///     .limit(0, 5);
/// ```
#[derive(Clone, Debug, Default)]
pub struct FtAggregateOptions(Args);

impl FtAggregateOptions {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, name: &str, value: impl Arg) -> Self {
        value.write_named(name, &mut self.0);
        self
    }

    fn list(mut self, name: &str, list: impl Arg) -> Self {
        counted(name, list, &mut self.0);
        self
    }

    /// Words are searched for as they are, without their stems. To be said first.
    #[must_use]
    pub fn verbatim(mut self) -> Self {
        self.0.bulk(b"VERBATIM");
        self
    }

    /// Each row has the score of its document as `@__score` (search 2.10). To be said before the steps.
    #[must_use]
    pub fn addscores(mut self) -> Self {
        self.0.bulk(b"ADDSCORES");
        self
    }

    /// Scores are reckoned so: `BM25STD`, `TFIDF`, … To be said before the steps.
    #[must_use]
    pub fn scorer(self, name: impl Arg) -> Self {
        self.with("SCORER", name)
    }

    /// Loads fields of the documents, one or several such as `@title`, or `("$.a", "AS", "a")`. An empty list
    /// loads nothing.
    #[must_use]
    pub fn load(self, fields: impl Arg) -> Self {
        self.list("LOAD", fields)
    }

    /// Loads all fields of the documents.
    #[must_use]
    pub fn load_all(self) -> Self {
        self.with("LOAD", "*")
    }

    /// Makes one row of all that have the same values of these properties, one or several (an empty list: of
    /// all rows), with what reducers make of them.
    #[must_use]
    pub fn groupby(mut self, properties: impl Arg, reducers: impl IntoIterator<Item = FtReducer>) -> Self {
        group(properties, reducers, &mut self.0);
        self
    }

    /// Sorts by properties, one or several, each with `ASC` or `DESC` behind it if it is said:
    /// `("@year", "DESC", "@title", "ASC")`.
    #[must_use]
    pub fn sortby(self, properties: impl Arg) -> Self {
        self.list("SORTBY", properties)
    }

    /// As [`sortby`](Self::sortby), and keeps the first `max` rows.
    #[must_use]
    pub fn sortby_max(self, properties: impl Arg, max: u64) -> Self {
        self.list("SORTBY", properties).with("MAX", max)
    }

    /// Reckons a property of each row, such as `sqrt(@a) / 2`.
    #[must_use]
    pub fn apply(self, expression: impl Arg, name: impl Arg) -> Self {
        self.with("APPLY", expression).with("AS", name)
    }

    /// Keeps so many rows, from that place on (from 0).
    #[must_use]
    pub fn limit(self, offset: u64, count: u64) -> Self {
        self.with("LIMIT", (offset, count))
    }

    /// Keeps rows that this expression holds for, such as `@year > 1900`.
    #[must_use]
    pub fn filter(self, expression: impl Arg) -> Self {
        self.with("FILTER", expression)
    }

    /// The server gives up after this time; zero for never.
    #[must_use]
    pub fn timeout(self, time: Duration) -> Self {
        self.with("TIMEOUT", timeout_millis(time))
    }

    /// Values for the parameters of the query, pairs of name and value. It needs [`dialect`](Self::dialect) 2
    /// or later.
    #[must_use]
    pub fn params(self, pairs: impl Arg) -> Self {
        self.list("PARAMS", pairs)
    }

    /// The version of the query language, from 1 to 4.
    #[must_use]
    pub fn dialect(self, version: u32) -> Self {
        self.with("DIALECT", version)
    }
}

impl Arg for FtAggregateOptions {
    fn write(&self, args: &mut Args) {
        self.0.write(args);
    }
}

/// Appends a step that makes one row of several.
pub(super) fn group(properties: impl Arg, reducers: impl IntoIterator<Item = FtReducer>, args: &mut Args) {
    let mut words = Args::new();
    properties.write(&mut words);
    args.bulk(b"GROUPBY");
    words.len().write(args);
    words.write(args);
    reducers.into_iter().for_each(|reducer| reducer.0.write(args));
}

/// What is made of the rows of a group.
#[derive(Clone, Debug)]
pub struct FtReducer(Args);

impl FtReducer {
    /// A function of the module's by its name, such as `QUANTILE`, with its arguments, such as
    /// `("@year", 0.5)`.
    #[must_use]
    pub fn new(function: &str, arguments: impl Arg) -> Self {
        let (mut words, mut args) = (Args::new(), Args::new());
        arguments.write(&mut words);
        ("REDUCE", function, words.len()).write(&mut args);
        words.write(&mut args);
        Self(args)
    }

    /// How many rows there are.
    #[must_use]
    pub fn count() -> Self {
        let none: [&str; 0] = [];
        Self::new("COUNT", none)
    }

    /// How many different values a property has.
    #[must_use]
    pub fn count_distinct(property: impl Arg) -> Self {
        Self::new("COUNT_DISTINCT", property)
    }

    /// The sum of a property.
    #[must_use]
    pub fn sum(property: impl Arg) -> Self {
        Self::new("SUM", property)
    }

    /// The smallest value of a property.
    #[must_use]
    pub fn min(property: impl Arg) -> Self {
        Self::new("MIN", property)
    }

    /// The largest value of a property.
    #[must_use]
    pub fn max(property: impl Arg) -> Self {
        Self::new("MAX", property)
    }

    /// The mean of a property.
    #[must_use]
    pub fn avg(property: impl Arg) -> Self {
        Self::new("AVG", property)
    }

    /// All different values of a property.
    #[must_use]
    pub fn tolist(property: impl Arg) -> Self {
        Self::new("TOLIST", property)
    }

    /// The name of the property that it becomes (`AS`).
    #[must_use]
    pub fn alias(mut self, name: impl Arg) -> Self {
        name.write_named("AS", &mut self.0);
        self
    }
}

/// How rows are read by a cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FtCursorOptions {
    count: Option<u64>,
    maxidle: Option<u64>,
}

impl FtCursorOptions {
    /// A thousand rows at a time; the cursor ends when it was idle for five minutes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// So many rows at a time.
    #[must_use]
    pub fn count(mut self, rows: u64) -> Self {
        self.count = Some(rows);
        self
    }

    /// The cursor ends when it was idle for so long; servers allow five minutes at most.
    #[must_use]
    pub fn maxidle(mut self, time: Duration) -> Self {
        self.maxidle = Some(timeout_millis(time));
        self
    }
}

impl Arg for FtCursorOptions {
    fn write(&self, args: &mut Args) {
        self.count.write_named("COUNT", args);
        self.maxidle.write_named("MAXIDLE", args);
    }
}
