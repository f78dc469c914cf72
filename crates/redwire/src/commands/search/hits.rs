//! What a search finds. RESP2 lists what was asked for in a row, which nothing but the question tells apart;
//! so the type of the reply says what is asked for. RESP3 has maps.

use redwire_core::{Items, Reader, Reply, Result, Value};

use super::answers::FtParts;
use crate::commands::server::fields::{fields, read};

/// The documents that were found.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FtSearchReply<H> {
    /// How many there are, of which not all need be told.
    pub total: u64,
    /// Those that are told, in order.
    pub hits: Vec<H>,
    /// RESP3: what kept the server from a whole answer, such as a time that ran out.
    pub warnings: Vec<String>,
}

/// What is asked for, and told, of each document that is found: a type of this file, or `String` or `Vec<u8>`
/// for its key alone.
pub trait FtHits: Sized {
    /// The words that ask for it.
    #[doc(hidden)]
    const WORDS: &'static [&'static str];

    /// Reads it where it stands in a row.
    ///
    /// # Errors
    /// As [`Reply::decode`].
    #[doc(hidden)]
    fn in_row(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self>;

    /// Takes a part of it by its name, or returns false.
    ///
    /// # Errors
    /// As [`Reply::decode`].
    #[doc(hidden)]
    fn part(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<bool>;

    /// Nothing yet.
    ///
    /// # Errors
    /// The fields cannot be made of nothing.
    #[doc(hidden)]
    fn begin() -> Result<Self>;
}

macro_rules! keys {
    ($($type:ty),*) => {$(
        impl FtHits for $type {
            const WORDS: &'static [&'static str] = &["NOCONTENT"];

            fn in_row(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
                Self::decode_item(reader, items)
            }

            fn part(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<bool> {
                if name == "id" { read(self, reader) } else { Ok(false) }
            }

            fn begin() -> Result<Self> {
                Ok(Self::default())
            }
        }
    )*};
}
keys!(String, Vec<u8>);

/// A document and its fields.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FtHit<T> {
    /// Its key.
    pub id: String,
    /// Its fields: usually a `HashMap<String, String>`. Of a JSON document `$` is the whole, as text. One
    /// that expired in the meantime has none.
    pub fields: T,
}

/// A document, its score and its fields.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FtScoredHit<T> {
    /// Its key.
    pub id: String,
    /// How well it fits.
    pub score: f64,
    /// Its fields: see [`FtHit::fields`].
    pub fields: T,
}

/// All there is to tell of a document.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FtFullHit<T> {
    /// Its key.
    pub id: String,
    /// How well it fits.
    pub score: f64,
    /// How the score was reckoned: texts in lists.
    pub explanation: Value,
    /// Its payload.
    pub payload: Option<Vec<u8>>,
    /// What it was sorted by, behind a sign: `$` for text, `#` for a number.
    pub sort_key: Option<String>,
    /// Its fields: see [`FtHit::fields`].
    pub fields: T,
}

impl<T: Reply> FtHits for FtHit<T> {
    const WORDS: &'static [&'static str] = &[];

    fn in_row(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        let id = String::decode_item(reader, items)?;
        Ok(Self { id, fields: content(reader, items)? })
    }

    fn part(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<bool> {
        match name {
            "id" => read(&mut self.id, reader),
            "extra_attributes" => read(&mut self.fields, reader),
            _ => Ok(false),
        }
    }

    fn begin() -> Result<Self> {
        Ok(Self { id: String::new(), fields: nothing()? })
    }
}

impl<T: Reply> FtHits for FtScoredHit<T> {
    const WORDS: &'static [&'static str] = &["WITHSCORES"];

    fn in_row(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        let id = String::decode_item(reader, items)?;
        let score = f64::decode_item(reader, items)?;
        Ok(Self { id, score, fields: content(reader, items)? })
    }

    fn part(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<bool> {
        match name {
            "id" => read(&mut self.id, reader),
            "score" => read(&mut self.score, reader),
            "extra_attributes" => read(&mut self.fields, reader),
            _ => Ok(false),
        }
    }

    fn begin() -> Result<Self> {
        Ok(Self { id: String::new(), score: 0.0, fields: nothing()? })
    }
}

impl<T: Reply> FtHits for FtFullHit<T> {
    const WORDS: &'static [&'static str] = &["WITHSCORES", "WITHPAYLOADS", "WITHSORTKEYS", "EXPLAINSCORE"];

    fn in_row(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        let id = String::decode_item(reader, items)?;
        items.take(1, reader)?;
        let (score, explanation) = explained(reader)?;
        let payload = Option::decode_item(reader, items)?;
        let sort_key = Option::decode_item(reader, items)?;
        Ok(Self { id, score, explanation, payload, sort_key, fields: content(reader, items)? })
    }

    fn part(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<bool> {
        match name {
            "id" => read(&mut self.id, reader),
            "score" => {
                (self.score, self.explanation) = explained(reader)?;
                Ok(true)
            }
            "payload" => read(&mut self.payload, reader),
            "sortkey" => read(&mut self.sort_key, reader),
            "extra_attributes" => read(&mut self.fields, reader),
            _ => Ok(false),
        }
    }

    fn begin() -> Result<Self> {
        let (id, score, fields) = (String::new(), 0.0, nothing()?);
        Ok(Self { id, score, explanation: Value::Null, payload: None, sort_key: None, fields })
    }
}

/// What a `T` is made of where there are no fields.
fn nothing<T: Reply>() -> Result<T> {
    Reader::read(b"_\r\n").or_else(|_| Reader::read(b"*0\r\n"))
}

/// The fields of a document in a row.
fn content<T: Reply>(reader: &mut Reader<'_>, items: &mut Items) -> Result<T> {
    items.take(1, reader)?;
    if reader.is_null()? {
        reader.skip()?;
        return nothing();
    }
    T::decode(reader)
}

/// A score, and how it was reckoned.
fn explained(reader: &mut Reader<'_>) -> Result<(f64, Value)> {
    if !reader.is_list()? {
        return Ok((f64::decode(reader)?, Value::Null));
    }
    let mut items = reader.items()?;
    let score = f64::decode_item(reader, &mut items)?;
    items.take(1, reader)?;
    Ok((score, reader.plain()?))
}

impl<H: FtHits> Reply for FtSearchReply<H> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut reply = Self { total: 0, hits: Vec::new(), warnings: Vec::new() };
        if reader.is_map()? {
            fields(reader, |name, reader| FtParts::part(&mut reply, name, reader))?;
            return Ok(reply);
        }
        let mut items = reader.items()?;
        reply.total = u64::decode_item(reader, &mut items)?;
        while items.more(reader)? {
            reply.hits.push(H::in_row(reader, &mut items)?);
        }
        Ok(reply)
    }
}

impl<H: FtHits> FtParts for FtSearchReply<H> {
    fn begin() -> Self {
        Self { total: 0, hits: Vec::new(), warnings: Vec::new() }
    }

    fn part(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<bool> {
        match name {
            "total_results" => read(&mut self.total, reader),
            "warning" | "warnings" => read(&mut self.warnings, reader),
            "results" => {
                let mut items = reader.items()?;
                while items.more(reader)? {
                    items.take(1, reader)?;
                    let mut hit = H::begin()?;
                    fields(reader, |name, reader| hit.part(name, reader))?;
                    self.hits.push(hit);
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
