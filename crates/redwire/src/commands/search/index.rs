//! What the module tells of an index.

use std::collections::BTreeMap;

use redwire_core::{Reader, Reply, Result, Value};

use crate::commands::info::info;

info! {
    /// What an index is made of, and how far it is.
    FtIndexInfo {
        /// Its name.
        name: String = "index_name",
        /// What was said beside its fields, such as `NOFREQS`.
        options: Vec<String> = "index_options",
        /// Over which documents it is.
        definition: FtIndexDefinition = "index_definition",
        /// Its fields.
        attributes: Vec<FtAttribute> = "attributes",
        /// How many documents it has.
        docs: u64 = "num_docs",
        /// How many different words.
        terms: u64 = "num_terms",
        /// How many entries.
        records: u64 = "num_records",
        /// How many documents could not be taken in.
        hash_indexing_failures: u64 = "hash_indexing_failures",
        /// Whether documents are still scanned.
        indexing: bool = "indexing",
        /// How far that is, from 0 to 1.
        percent_indexed: f64 = "percent_indexed",
        /// How much memory it takes, in megabytes.
        memory_mb: f64 = "total_index_memory_sz_mb",
        /// How often it was used.
        uses: u64 = "number_of_uses",
    }
}

info! {
    /// Over which documents an index is.
    FtIndexDefinition {
        /// `HASH` or `JSON`.
        key_type: String = "key_type",
        /// What keys begin with.
        prefixes: Vec<String> = "prefixes",
        /// The expression that holds for documents.
        filter: Option<String> = "filter",
        /// The language of documents.
        default_language: Option<String> = "default_language",
        /// The score of documents.
        default_score: f64 = "default_score",
    }
}

/// A field of an index.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FtAttribute {
    /// The field's name, or its path in a JSON document.
    pub identifier: String,
    /// The name that queries use for it.
    pub name: String,
    /// `TEXT`, `TAG`, `NUMERIC`, `GEO`, `GEOSHAPE` or `VECTOR`.
    pub kind: String,
    /// What is said of it in a word, such as `SORTABLE`.
    pub flags: Vec<String>,
    /// What else is said of it, such as `WEIGHT` or `dim`, by its name; see [`Reader::plain`] for its form.
    pub extra: BTreeMap<String, Value>,
}

/// Words that stand alone, where RESP2 lists names and values.
const FLAGS: [&str; 8] =
    ["SORTABLE", "UNF", "NOSTEM", "NOINDEX", "CASESENSITIVE", "WITHSUFFIXTRIE", "INDEXEMPTY", "INDEXMISSING"];

impl Reply for FtAttribute {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut field = Self::default();
        let mut items = reader.items()?;
        while items.more(reader)? {
            let name = String::decode_item(reader, &mut items)?;
            if FLAGS.contains(&name.as_str()) {
                field.flags.push(name);
                continue;
            }
            items.take(1, reader)?;
            match name.as_str() {
                "identifier" => field.identifier = String::decode(reader)?,
                "attribute" => field.name = String::decode(reader)?,
                "type" => field.kind = String::decode(reader)?,
                "flags" => field.flags = Vec::decode(reader)?,
                _ => drop(field.extra.insert(name, reader.plain()?)),
            }
        }
        Ok(field)
    }
}
