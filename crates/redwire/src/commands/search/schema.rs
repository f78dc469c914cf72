//! What an index is made of: over which documents, and of which fields.
//!
//! Promises: what is built here is written in the order the module's grammar wants. Must not know: commands.

use std::time::Duration;

use redwire_core::{Arg, Args};

/// What documents are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FtOn {
    /// Hashes.
    Hash,
    /// JSON documents.
    Json,
}

impl Arg for FtOn {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Hash => b"HASH",
            Self::Json => b"JSON",
        });
    }
}

/// Which documents an index is over, and how they are kept; by default all hashes. Each is said once.
#[derive(Clone, Debug, Default)]
pub struct FtCreateOptions(Args);

impl FtCreateOptions {
    /// Over all hashes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, name: &str, value: impl Arg) -> Self {
        value.write_named(name, &mut self.0);
        self
    }

    fn word(mut self, word: &str) -> Self {
        self.0.bulk(word.as_bytes());
        self
    }

    /// Over hashes or JSON documents.
    #[must_use]
    pub fn on(self, documents: FtOn) -> Self {
        self.with("ON", documents)
    }

    /// Over keys that begin with this, or with one of several.
    #[must_use]
    pub fn prefix(mut self, prefixes: impl Arg) -> Self {
        counted("PREFIX", prefixes, &mut self.0);
        self
    }

    /// Over documents that this expression holds for.
    #[must_use]
    pub fn filter(self, expression: impl Arg) -> Self {
        self.with("FILTER", expression)
    }

    /// Documents are in this language, such as `german`; default: `english`.
    #[must_use]
    pub fn language(self, language: impl Arg) -> Self {
        self.with("LANGUAGE", language)
    }

    /// The language is told by this field of the document.
    #[must_use]
    pub fn language_field(self, field: impl Arg) -> Self {
        self.with("LANGUAGE_FIELD", field)
    }

    /// The score of a document, from 0 to 1; default: 1.
    #[must_use]
    pub fn score(self, score: f64) -> Self {
        self.with("SCORE", score)
    }

    /// The score is told by this field of the document.
    #[must_use]
    pub fn score_field(self, field: impl Arg) -> Self {
        self.with("SCORE_FIELD", field)
    }

    /// The payload is told by this field of the document.
    #[must_use]
    pub fn payload_field(self, field: impl Arg) -> Self {
        self.with("PAYLOAD_FIELD", field)
    }

    /// Makes room for more than 32 fields of text that are added later.
    #[must_use]
    pub fn maxtextfields(self) -> Self {
        self.word("MAXTEXTFIELDS")
    }

    /// The index is deleted when it was not used for this time, in whole seconds, with its documents.
    #[must_use]
    pub fn temporary(self, time: Duration) -> Self {
        self.with("TEMPORARY", time.as_secs_f64().ceil())
    }

    /// Keeps no places of words: less memory, but no exact phrases and no highlighting.
    #[must_use]
    pub fn nooffsets(self) -> Self {
        self.word("NOOFFSETS")
    }

    /// No highlighting: less memory.
    #[must_use]
    pub fn nohl(self) -> Self {
        self.word("NOHL")
    }

    /// Keeps of no word in which field it is: less memory, but no searching in one field of text.
    #[must_use]
    pub fn nofields(self) -> Self {
        self.word("NOFIELDS")
    }

    /// Keeps of no word how often it is in a document: less memory, but simpler scores.
    #[must_use]
    pub fn nofreqs(self) -> Self {
        self.word("NOFREQS")
    }

    /// Words that are not searched for, in place of the module's; an empty list for none.
    #[must_use]
    pub fn stopwords(mut self, words: impl Arg) -> Self {
        let mut list = Args::new();
        words.write(&mut list);
        self.0.bulk(b"STOPWORDS");
        list.len().write(&mut self.0);
        list.write(&mut self.0);
        self
    }

    /// Leaves documents that are there alone, until they change.
    #[must_use]
    pub fn skipinitialscan(self) -> Self {
        self.word("SKIPINITIALSCAN")
    }

    /// Keeps a list of all documents, for queries that exclude (search 2.10).
    #[must_use]
    pub fn indexall(self) -> Self {
        self.with("INDEXALL", "ENABLE")
    }
}

impl Arg for FtCreateOptions {
    fn write(&self, args: &mut Args) {
        self.0.write(args);
    }
}

/// Appends `NAME count word…`; nothing for an empty list.
pub(super) fn counted(name: &str, list: impl Arg, args: &mut Args) {
    let mut words = Args::new();
    list.write(&mut words);
    if !words.is_empty() {
        (name, words.len(), words).write(args);
    }
}

/// A field of an index.
///
/// ```
/// use redwire::commands::{FtField, FtVectorIndex};
///
/// let fields = [
///     FtField::text("$.title").alias("title").weight(2.0),
///     FtField::tag("$.genres[*]").alias("genre").separator(';'),
///     FtField::vector("$.embedding", FtVectorIndex::hnsw("FLOAT32", 768, "COSINE").option("M", 32)),
/// ];
/// ```
#[derive(Clone, Debug)]
pub struct FtField {
    name: Args,
    alias: Option<String>,
    kind: Args,
    sortable: Option<&'static str>,
    unf: bool,
    noindex: bool,
}

impl FtField {
    fn new(name: impl Arg, kind: &str) -> Self {
        let (mut words, mut kinds) = (Args::new(), Args::new());
        name.write(&mut words);
        kinds.bulk(kind.as_bytes());
        Self { name: words, alias: None, kind: kinds, sortable: None, unf: false, noindex: false }
    }

    fn word(mut self, word: &str) -> Self {
        self.kind.bulk(word.as_bytes());
        self
    }

    fn with(mut self, name: &str, value: impl Arg) -> Self {
        value.write_named(name, &mut self.kind);
        self
    }

    /// Text, found by its words. The name is that of a hash's field, or a path of a JSON document.
    #[must_use]
    pub fn text(name: impl Arg) -> Self {
        Self::new(name, "TEXT")
    }

    /// Tags, found as a whole.
    #[must_use]
    pub fn tag(name: impl Arg) -> Self {
        Self::new(name, "TAG")
    }

    /// A number, found by ranges.
    #[must_use]
    pub fn numeric(name: impl Arg) -> Self {
        Self::new(name, "NUMERIC")
    }

    /// A place, as `longitude,latitude`, found by distance.
    #[must_use]
    pub fn geo(name: impl Arg) -> Self {
        Self::new(name, "GEO")
    }

    /// A shape, as WKT, on the sphere or, if `flat`, on a plane (search 2.8).
    #[must_use]
    pub fn geoshape(name: impl Arg, flat: bool) -> Self {
        Self::new(name, "GEOSHAPE").word(if flat { "FLAT" } else { "SPHERICAL" })
    }

    /// A vector, found by similarity.
    #[must_use]
    pub fn vector(name: impl Arg, index: FtVectorIndex) -> Self {
        let mut field = Self::new(name, "VECTOR");
        index.write(&mut field.kind);
        field
    }

    /// The name that queries use for it (`AS`).
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.alias = Some(name.into());
        self
    }

    /// Results may be sorted by it.
    #[must_use]
    pub fn sortable(mut self) -> Self {
        self.sortable = Some("SORTABLE");
        self
    }

    /// As [`sortable`](Self::sortable), by the text as it is: capitals and accents count (`UNF`).
    #[must_use]
    pub fn sortable_unf(mut self) -> Self {
        (self.sortable, self.unf) = (Some("SORTABLE"), true);
        self
    }

    /// Not searched in: only to sort by, or to load.
    #[must_use]
    pub fn noindex(mut self) -> Self {
        self.noindex = true;
        self
    }

    /// Text: counts so many times in the score; default: 1.
    #[must_use]
    pub fn weight(self, weight: f64) -> Self {
        self.with("WEIGHT", weight)
    }

    /// Text: words are kept as they are, without their stems.
    #[must_use]
    pub fn nostem(self) -> Self {
        self.word("NOSTEM")
    }

    /// Text: words that sound alike are found, too; `dm:en`, `dm:fr`, `dm:pt` or `dm:es`.
    #[must_use]
    pub fn phonetic(self, matcher: impl Arg) -> Self {
        self.with("PHONETIC", matcher)
    }

    /// Text and tags: makes searching for ends and middles of words quick.
    #[must_use]
    pub fn withsuffixtrie(self) -> Self {
        self.word("WITHSUFFIXTRIE")
    }

    /// Tags: what stands between them; default: a comma in hashes, none in JSON.
    #[must_use]
    pub fn separator(self, separator: char) -> Self {
        self.with("SEPARATOR", separator)
    }

    /// Tags: small and capital letters are different.
    #[must_use]
    pub fn casesensitive(self) -> Self {
        self.word("CASESENSITIVE")
    }

    /// Text and tags: an empty value can be searched for (search 2.10).
    #[must_use]
    pub fn indexempty(self) -> Self {
        self.word("INDEXEMPTY")
    }

    /// Documents without it can be searched for (search 2.10).
    #[must_use]
    pub fn indexmissing(self) -> Self {
        self.word("INDEXMISSING")
    }
}

impl Arg for FtField {
    fn write(&self, args: &mut Args) {
        self.name.write(args);
        self.alias.write_named("AS", args);
        self.kind.write(args);
        args.optional(self.sortable);
        args.flag(self.unf, "UNF");
        args.flag(self.noindex, "NOINDEX");
    }
}

/// How vectors are kept and compared.
#[derive(Clone, Debug)]
pub struct FtVectorIndex {
    algorithm: &'static str,
    attributes: Args,
}

impl FtVectorIndex {
    fn new(algorithm: &'static str, kind: &str, dimension: u64, metric: &str) -> Self {
        let mut attributes = Args::new();
        ("TYPE", kind, "DIM", dimension, "DISTANCE_METRIC", metric).write(&mut attributes);
        Self { algorithm, attributes }
    }

    /// All are compared: exact. Of a type such as `FLOAT32`, and a metric: `L2`, `IP` or `COSINE`.
    #[must_use]
    pub fn flat(kind: &str, dimension: u64, metric: &str) -> Self {
        Self::new("FLAT", kind, dimension, metric)
    }

    /// By a graph: quick, and approximate.
    #[must_use]
    pub fn hnsw(kind: &str, dimension: u64, metric: &str) -> Self {
        Self::new("HNSW", kind, dimension, metric)
    }

    /// By a graph that is compressed (Redis 8.2).
    #[must_use]
    pub fn svs_vamana(kind: &str, dimension: u64, metric: &str) -> Self {
        Self::new("SVS-VAMANA", kind, dimension, metric)
    }

    /// A further attribute, such as `M`, `EF_CONSTRUCTION`, `EF_RUNTIME`, `EPSILON`, `INITIAL_CAP` or
    /// `BLOCK_SIZE`.
    #[must_use]
    pub fn option(mut self, name: &str, value: impl Arg) -> Self {
        (name, value).write(&mut self.attributes);
        self
    }
}

impl Arg for FtVectorIndex {
    fn write(&self, args: &mut Args) {
        (self.algorithm, self.attributes.len(), &self.attributes).write(args);
    }
}
