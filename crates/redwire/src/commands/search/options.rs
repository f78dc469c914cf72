//! How documents are searched for, and which suggestions are given.
//!
//! Promises: what is built here is what the module's grammar wants. Must not know: commands.

use std::time::Duration;

use redwire_core::{Arg, Args};

use super::schema::counted;
use crate::commands::GeoUnit;
use crate::commands::keys::time::timeout_millis;

/// How documents are searched for; each is said once, where nothing else is said. What is told of each
/// document is said by the type of the reply: see [`ft_search`](super::SearchCommands::ft_search).
#[derive(Clone, Debug, Default)]
pub struct FtSearchOptions(Args);

impl FtSearchOptions {
    /// The best ten.
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

    fn list(mut self, name: &str, list: impl Arg) -> Self {
        counted(name, list, &mut self.0);
        self
    }

    /// Words are searched for as they are, without their stems and synonyms.
    #[must_use]
    pub fn verbatim(self) -> Self {
        self.word("VERBATIM")
    }

    /// Words are searched for even if they are stop words.
    #[must_use]
    pub fn nostopwords(self) -> Self {
        self.word("NOSTOPWORDS")
    }

    /// Only documents in which this number is from `min` to `max`, both included. May be said several times.
    #[must_use]
    pub fn filter(self, field: impl Arg, min: impl Arg, max: impl Arg) -> Self {
        self.with("FILTER", (field, min, max))
    }

    /// Only documents that are within a radius of a place, in degrees. May be said several times.
    #[must_use]
    pub fn geofilter(
        self,
        field: impl Arg,
        longitude: f64,
        latitude: f64,
        radius: f64,
        unit: GeoUnit,
    ) -> Self {
        self.with("GEOFILTER", (field, longitude, latitude, radius, unit))
    }

    /// Only documents with these keys. An empty list is no filter.
    #[must_use]
    pub fn inkeys(self, keys: impl Arg) -> Self {
        self.list("INKEYS", keys)
    }

    /// Only in these fields of text. An empty list is no filter.
    #[must_use]
    pub fn infields(self, fields: impl Arg) -> Self {
        self.list("INFIELDS", fields)
    }

    /// Tells these fields alone; `("$.a", "AS", "a")` gives one another name. An empty list tells all.
    #[must_use]
    pub fn return_fields(self, fields: impl Arg) -> Self {
        self.list("RETURN", fields)
    }

    /// Tells the parts of texts that were found, instead of the whole.
    #[must_use]
    pub fn summarize(self, options: FtSummarize) -> Self {
        self.with("SUMMARIZE", options.0)
    }

    /// Marks the words that were found.
    #[must_use]
    pub fn highlight(self, options: FtHighlight) -> Self {
        self.with("HIGHLIGHT", options.0)
    }

    /// So many other words may stand between those of a phrase.
    #[must_use]
    pub fn slop(self, words: u64) -> Self {
        self.with("SLOP", words)
    }

    /// The server gives up after this time; zero for never. The call's own deadline is another matter.
    #[must_use]
    pub fn timeout(self, time: Duration) -> Self {
        self.with("TIMEOUT", timeout_millis(time))
    }

    /// Words must stand in the order of the query.
    #[must_use]
    pub fn inorder(self) -> Self {
        self.word("INORDER")
    }

    /// The query is in this language, such as `german`.
    #[must_use]
    pub fn language(self, language: impl Arg) -> Self {
        self.with("LANGUAGE", language)
    }

    /// Words are expanded by this extension of the server.
    #[must_use]
    pub fn expander(self, name: impl Arg) -> Self {
        self.with("EXPANDER", name)
    }

    /// Scores are reckoned so: `BM25STD`, `TFIDF`, `DOCSCORE`, …
    #[must_use]
    pub fn scorer(self, name: impl Arg) -> Self {
        self.with("SCORER", name)
    }

    /// Hands these bytes to the scorer.
    #[must_use]
    pub fn payload(self, payload: impl Arg) -> Self {
        self.with("PAYLOAD", payload)
    }

    /// By this field, the smallest first, or if `descending` the largest.
    #[must_use]
    pub fn sortby(self, field: impl Arg, descending: bool) -> Self {
        self.with("SORTBY", (field, if descending { "DESC" } else { "ASC" }))
    }

    /// So many documents at most, from that place on (from 0); default: the first ten. `limit(0, 0)` only
    /// counts.
    #[must_use]
    pub fn limit(self, offset: u64, count: u64) -> Self {
        self.with("LIMIT", (offset, count))
    }

    /// Values for the parameters of the query, pairs of name and value: `$name` stands for it there. It needs
    /// [`dialect`](Self::dialect) 2 or later.
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

impl Arg for FtSearchOptions {
    fn write(&self, args: &mut Args) {
        self.0.write(args);
    }
}

/// Which parts of texts are told; by default of all fields, three parts of 20 words with `...` between.
#[derive(Clone, Debug, Default)]
pub struct FtSummarize(Args);

impl FtSummarize {
    /// Of all fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Of these fields. To be said before the others.
    #[must_use]
    pub fn fields(mut self, fields: impl Arg) -> Self {
        counted("FIELDS", fields, &mut self.0);
        self
    }

    /// So many parts.
    #[must_use]
    pub fn frags(mut self, parts: u64) -> Self {
        parts.write_named("FRAGS", &mut self.0);
        self
    }

    /// So many words each.
    #[must_use]
    pub fn len(mut self, words: u64) -> Self {
        words.write_named("LEN", &mut self.0);
        self
    }

    /// With this between them.
    #[must_use]
    pub fn separator(mut self, separator: impl Arg) -> Self {
        separator.write_named("SEPARATOR", &mut self.0);
        self
    }
}

/// How words that were found are marked; by default in all fields, with `<b>` and `</b>`.
#[derive(Clone, Debug, Default)]
pub struct FtHighlight(Args);

impl FtHighlight {
    /// In all fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// In these fields. To be said before [`tags`](Self::tags).
    #[must_use]
    pub fn fields(mut self, fields: impl Arg) -> Self {
        counted("FIELDS", fields, &mut self.0);
        self
    }

    /// With this before and that behind.
    #[must_use]
    pub fn tags(mut self, open: impl Arg, close: impl Arg) -> Self {
        (open, close).write_named("TAGS", &mut self.0);
        self
    }
}

/// How words are compared with those of the documents.
#[derive(Clone, Debug, Default)]
pub struct FtSpellcheckOptions(Args);

impl FtSpellcheckOptions {
    /// With all words of the documents, in which one letter is another at most.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// So many letters may be others, from 1 to 4.
    #[must_use]
    pub fn distance(mut self, letters: u64) -> Self {
        letters.write_named("DISTANCE", &mut self.0);
        self
    }

    /// The terms of this dictionary are suggested, too. May be said several times.
    #[must_use]
    pub fn include(mut self, dictionary: impl Arg) -> Self {
        ("TERMS", "INCLUDE", dictionary).write(&mut self.0);
        self
    }

    /// The terms of this dictionary are right as they are. May be said several times.
    #[must_use]
    pub fn exclude(mut self, dictionary: impl Arg) -> Self {
        ("TERMS", "EXCLUDE", dictionary).write(&mut self.0);
        self
    }

    /// The version of the query language.
    #[must_use]
    pub fn dialect(mut self, version: u32) -> Self {
        version.write_named("DIALECT", &mut self.0);
        self
    }
}

impl Arg for FtSpellcheckOptions {
    fn write(&self, args: &mut Args) {
        self.0.write(args);
    }
}

/// Which suggestions are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FtSugOptions {
    fuzzy: bool,
    max: Option<u64>,
}

impl FtSugOptions {
    /// The best five that begin with the prefix.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One letter of the prefix may be another.
    #[must_use]
    pub fn fuzzy(mut self) -> Self {
        self.fuzzy = true;
        self
    }

    /// So many at most.
    #[must_use]
    pub fn max(mut self, count: u64) -> Self {
        self.max = Some(count);
        self
    }
}

impl Arg for FtSugOptions {
    fn write(&self, args: &mut Args) {
        args.flag(self.fuzzy, "FUZZY");
        self.max.write_named("MAX", args);
    }
}
