//! Queries by text and by vector at once.
//!
//! Promises: what is built here is written in the order the grammar of `FT.HYBRID` wants. Must not know:
//! commands.

use std::time::Duration;

use redwire_core::{Arg, Args};

use super::aggregate::{FtReducer, group};
use super::schema::counted;
use crate::commands::keys::time::timeout_millis;

/// Which vectors count as found.
#[derive(Clone, Debug)]
pub struct FtNeighbours(&'static str, Args);

impl FtNeighbours {
    /// The `k` nearest.
    #[must_use]
    pub fn knn(k: u64) -> Self {
        let mut args = Args::new();
        ("K", k).write(&mut args);
        Self("KNN", args)
    }

    /// All that are no farther away.
    #[must_use]
    pub fn range(radius: f64) -> Self {
        let mut args = Args::new();
        ("RADIUS", radius).write(&mut args);
        Self("RANGE", args)
    }

    /// A further attribute: `EF_RUNTIME` of the nearest, `EPSILON` of a range.
    #[must_use]
    pub fn option(mut self, name: &str, value: impl Arg) -> Self {
        (name, value).write(&mut self.1);
        self
    }
}

/// How what was found by text and by vector is brought together.
#[derive(Clone, Debug)]
pub struct FtCombine(&'static str, Args);

impl FtCombine {
    /// By rank, of the first `window` of each (default: 20), with this constant (default: 60).
    #[must_use]
    pub fn rrf(window: Option<u64>, constant: Option<f64>) -> Self {
        let mut args = Args::new();
        constant.write_named("CONSTANT", &mut args);
        window.write_named("WINDOW", &mut args);
        Self("RRF", args)
    }

    /// By the sum of the scores, times `alpha` for the text's and `beta` for the vector's.
    #[must_use]
    pub fn linear(alpha: f64, beta: f64) -> Self {
        let mut args = Args::new();
        ("ALPHA", alpha, "BETA", beta).write(&mut args);
        Self("LINEAR", args)
    }

    /// The name of the property that the score becomes.
    #[must_use]
    pub fn yield_score_as(mut self, name: impl Arg) -> Self {
        name.write_named("YIELD_SCORE_AS", &mut self.1);
        self
    }
}

/// A query by text and by vector at once, and what is done with its rows.
///
/// ```
/// use redwire::commands::{FtHybridQuery, FtNeighbours};
///
/// let vector = [0.1_f32, 0.2].iter().flat_map(|float| float.to_le_bytes()).collect::<Vec<u8>>();
/// let query = FtHybridQuery::new("idiot", "@embedding", "$v")
///     .neighbours(FtNeighbours::knn(10))
///     .load("@title")
///     .params(("v", vector));
/// ```
#[derive(Clone, Debug)]
pub struct FtHybridQuery {
    search: Args,
    vsim: Args,
    neighbours: Option<FtNeighbours>,
    filter: Option<String>,
    combine: Option<FtCombine>,
    steps: Args,
}

impl FtHybridQuery {
    /// Text by a query, and the vectors of a field (`@name`) by one that is a parameter (`$name`: see
    /// [`params`](Self::params)).
    #[must_use]
    pub fn new(query: impl Arg, field: impl Arg, vector: impl Arg) -> Self {
        let (mut search, mut vsim) = (Args::new(), Args::new());
        query.write_named("SEARCH", &mut search);
        (field, vector).write_named("VSIM", &mut vsim);
        Self { search, vsim, neighbours: None, filter: None, combine: None, steps: Args::new() }
    }

    fn with(mut self, name: &str, value: impl Arg) -> Self {
        value.write_named(name, &mut self.steps);
        self
    }

    fn list(mut self, name: &str, list: impl Arg) -> Self {
        counted(name, list, &mut self.steps);
        self
    }

    /// Scores of text are reckoned so, such as `BM25STD`.
    #[must_use]
    pub fn scorer(mut self, name: impl Arg) -> Self {
        name.write_named("SCORER", &mut self.search);
        self
    }

    /// The name of the property that the score of the text becomes.
    #[must_use]
    pub fn yield_score_as(mut self, name: impl Arg) -> Self {
        name.write_named("YIELD_SCORE_AS", &mut self.search);
        self
    }

    /// Which vectors count as found; default: the ten nearest.
    #[must_use]
    pub fn neighbours(mut self, neighbours: FtNeighbours) -> Self {
        self.neighbours = Some(neighbours);
        self
    }

    /// Only vectors of documents that this query finds.
    #[must_use]
    pub fn filter(mut self, query: impl Into<String>) -> Self {
        self.filter = Some(query.into());
        self
    }

    /// How both are brought together; default: by rank.
    #[must_use]
    pub fn combine(mut self, combine: FtCombine) -> Self {
        self.combine = Some(combine);
        self
    }

    /// Loads fields of the documents, one or several, such as `@title`. An empty list loads nothing.
    #[must_use]
    pub fn load(self, fields: impl Arg) -> Self {
        self.list("LOAD", fields)
    }

    /// Loads all fields of the documents.
    #[must_use]
    pub fn load_all(self) -> Self {
        self.with("LOAD", "*")
    }

    /// Makes one row of all that have the same values of these properties.
    #[must_use]
    pub fn groupby(mut self, properties: impl Arg, reducers: impl IntoIterator<Item = FtReducer>) -> Self {
        group(properties, reducers, &mut self.steps);
        self
    }

    /// Reckons a property of each row.
    #[must_use]
    pub fn apply(self, expression: impl Arg, name: impl Arg) -> Self {
        self.with("APPLY", expression).with("AS", name)
    }

    /// Sorts by properties, each with `ASC` or `DESC` behind it if it is said; default: by score.
    #[must_use]
    pub fn sortby(self, properties: impl Arg) -> Self {
        self.list("SORTBY", properties)
    }

    /// Sorts by nothing.
    #[must_use]
    pub fn nosort(mut self) -> Self {
        self.steps.bulk(b"NOSORT");
        self
    }

    /// So many rows, from that place on (from 0); default: the first ten.
    #[must_use]
    pub fn limit(self, offset: u64, count: u64) -> Self {
        self.with("LIMIT", (offset, count))
    }

    /// Values for the parameters, pairs of name and value.
    #[must_use]
    pub fn params(self, pairs: impl Arg) -> Self {
        self.list("PARAMS", pairs)
    }

    /// The server gives up after this time; zero for never.
    #[must_use]
    pub fn timeout(self, time: Duration) -> Self {
        self.with("TIMEOUT", timeout_millis(time))
    }
}

impl Arg for FtHybridQuery {
    fn write(&self, args: &mut Args) {
        self.search.write(args);
        self.vsim.write(args);
        if let Some(FtNeighbours(kind, attributes)) = &self.neighbours {
            (*kind, attributes.len(), attributes).write(args);
        }
        self.filter.write_named("FILTER", args);
        if let Some(FtCombine(method, attributes)) = &self.combine {
            ("COMBINE", *method, attributes.len()).write(args);
            attributes.write(args);
        }
        self.steps.write(args);
    }
}
