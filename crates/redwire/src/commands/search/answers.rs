//! Rows, cursors, profiles and what else the module answers. RESP3 has maps where RESP2 has lists: here it is
//! the same.

use std::ops::Deref;

use redwire_core::{Items, Reader, Reply, Result, Value};

use crate::commands::info::skip_rest;
use crate::commands::server::fields::{fields, read};

/// A reply that RESP3 has as a map.
#[doc(hidden)]
pub trait FtParts: Sized {
    /// Nothing yet.
    fn begin() -> Self;

    /// Takes a part of it by its name, or returns false.
    ///
    /// # Errors
    /// As [`Reply::decode`].
    fn part(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<bool>;
}

/// The rows that an aggregation gives.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FtAggregateReply<T> {
    /// About how many rows there are; servers say that it is not exact.
    pub total: u64,
    /// The rows.
    pub rows: Vec<T>,
    /// RESP3: what kept the server from a whole answer, such as a time that ran out.
    pub warnings: Vec<String>,
}

impl<T: Reply> Reply for FtAggregateReply<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut reply = Self::begin();
        if reader.is_map()? {
            fields(reader, |name, reader| reply.part(name, reader))?;
            return Ok(reply);
        }
        let mut items = reader.items()?;
        reply.total = u64::decode_item(reader, &mut items)?;
        while items.more(reader)? {
            items.take(1, reader)?;
            reply.rows.push(T::decode(reader)?);
        }
        Ok(reply)
    }
}

impl<T: Reply> FtParts for FtAggregateReply<T> {
    fn begin() -> Self {
        Self { total: 0, rows: Vec::new(), warnings: Vec::new() }
    }

    fn part(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<bool> {
        match name {
            "total_results" => read(&mut self.total, reader),
            "warning" | "warnings" => read(&mut self.warnings, reader),
            "results" => rows(&mut self.rows, reader),
            _ => Ok(false),
        }
    }
}

/// The rows of RESP3: each a map of its fields, or one that has these in a map.
fn rows<T: Reply>(rows: &mut Vec<T>, reader: &mut Reader<'_>) -> Result<bool> {
    let mut items = reader.items()?;
    while items.more(reader)? {
        items.take(1, reader)?;
        let mut row = None;
        fields(reader, |name, reader| {
            if name != "extra_attributes" {
                return Ok(false);
            }
            row = Some(T::decode(reader)?);
            Ok(true)
        })?;
        rows.extend(row);
    }
    Ok(true)
}

/// Some rows of a cursor.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FtCursorPage<T> {
    /// What came.
    pub reply: FtAggregateReply<T>,
    /// The cursor that gives the next rows; `None` if these are the last.
    pub cursor: Option<u64>,
}

impl<T: Reply> Reply for FtCursorPage<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        items.take(1, reader)?;
        let reply = FtAggregateReply::decode(reader)?;
        let cursor = u64::decode_item(reader, &mut items)?;
        skip_rest(reader, &mut items)?;
        Ok(Self { reply, cursor: (cursor != 0).then_some(cursor) })
    }
}

/// The rows that a hybrid query gives.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FtHybridReply<T> {
    /// How many rows there are, of which not all need be told.
    pub total: u64,
    /// The rows.
    pub rows: Vec<T>,
    /// What kept the server from a whole answer.
    pub warnings: Vec<String>,
    /// How long it took, in milliseconds.
    pub execution_time: f64,
}

impl<T: Reply> Reply for FtHybridReply<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut reply = Self { total: 0, rows: Vec::new(), warnings: Vec::new(), execution_time: 0.0 };
        fields(reader, |name, reader| match name {
            "total_results" => read(&mut reply.total, reader),
            "warning" | "warnings" => read(&mut reply.warnings, reader),
            "execution_time" => read(&mut reply.execution_time, reader),
            "results" => read(&mut reply.rows, reader),
            _ => Ok(false),
        })?;
        Ok(reply)
    }
}

/// What a query gave, and how long its steps took.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FtProfiled<R> {
    /// What it gave.
    pub reply: R,
    /// How long its steps took, as the server tells it: for people, another one with each version, and on
    /// RESP2 another one than on RESP3. See [`Reader::plain`] for its form.
    pub profile: Value,
}

impl<R: Reply + FtParts> Reply for FtProfiled<R> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        if !reader.is_map()? {
            let mut items = reader.items()?;
            items.take(2, reader)?;
            let profiled = Self { reply: R::decode(reader)?, profile: reader.plain()? };
            skip_rest(reader, &mut items)?;
            return Ok(profiled);
        }
        let (mut reply, mut profile) = (R::begin(), Value::Null);
        fields(reader, |name, reader| match name {
            // Redis 8 has the whole reply there.
            "Results" => read(&mut reply, reader),
            "Profile" | "profile" => {
                profile = reader.plain()?;
                Ok(true)
            }
            _ => reply.part(name, reader),
        })?;
        Ok(Self { reply, profile })
    }
}

/// The words of a query that are in no document: a slice of [`FtMisspelled`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FtSpelling(Vec<FtMisspelled>);

impl Deref for FtSpelling {
    type Target = [FtMisspelled];

    fn deref(&self) -> &[FtMisspelled] {
        &self.0
    }
}

impl IntoIterator for FtSpelling {
    type Item = FtMisspelled;
    type IntoIter = std::vec::IntoIter<FtMisspelled>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Reply for FtSpelling {
    /// RESP3 has them within a map.
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut words = Vec::new();
        if reader.is_map()? {
            fields(
                reader,
                |name, reader| if name == "results" { read(&mut words, reader) } else { Ok(false) },
            )?;
            return Ok(Self(words));
        }
        Vec::decode(reader).map(Self)
    }
}

/// A word of a query that is in no document.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FtMisspelled {
    /// The word.
    pub term: String,
    /// Similar words that are in documents, each with a score, the best first.
    pub suggestions: Vec<(String, f64)>,
}

/// The parts of [`FtMisspelled`], as both protocols have them.
struct Suggestion(String, f64);

impl Reply for Suggestion {
    /// RESP2 has the score before the word, RESP3 a map of the word to its score.
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        if reader.is_map()? {
            let mut items = reader.items()?;
            let term = String::decode_item(reader, &mut items)?;
            return Ok(Self(term, f64::decode_item(reader, &mut items)?));
        }
        let (score, term) = Reply::decode(reader)?;
        Ok(Self(term, score))
    }
}

impl Reply for FtMisspelled {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        // `TERM`.
        items.take(1, reader)?;
        reader.skip()?;
        let term = String::decode_item(reader, &mut items)?;
        let suggestions: Vec<Suggestion> = Vec::decode_item(reader, &mut items)?;
        Ok(Self::new(term, suggestions))
    }

    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        items.take(1, reader)?;
        if reader.is_list()? {
            return Self::decode(reader);
        }
        let term = String::decode(reader)?;
        let suggestions: Vec<Suggestion> = Vec::decode_item(reader, items)?;
        Ok(Self::new(term, suggestions))
    }
}

impl FtMisspelled {
    fn new(term: String, suggestions: Vec<Suggestion>) -> Self {
        Self { term, suggestions: suggestions.into_iter().map(|it| (it.0, it.1)).collect() }
    }
}

/// An option of the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FtConfigHelp {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its value.
    pub value: Option<String>,
}

impl Reply for FtConfigHelp {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let mut help = Self { name: String::decode_item(reader, &mut items)?, ..Self::default() };
        while items.more(reader)? {
            items.take(2, reader)?;
            let name = String::decode(reader)?;
            help.take(&name, reader)?;
        }
        Ok(help)
    }

    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        items.take(1, reader)?;
        if reader.is_list()? {
            return Self::decode(reader);
        }
        let mut help = Self { name: String::decode(reader)?, ..Self::default() };
        items.take(1, reader)?;
        fields(reader, |name, reader| help.take(name, reader).map(|()| true))?;
        Ok(help)
    }
}

impl FtConfigHelp {
    fn take(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<()> {
        match name {
            "Description" => self.description = String::decode(reader)?,
            "Value" => self.value = Option::decode(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    }
}
