//! What servers tell of vector sets and their vectors.

use bytes::Bytes;
use redwire_core::{Reader, Reply, Result};

use crate::commands::info::{info, skip_rest};

info! {
    /// What a vector set is made of.
    VectorSetInfo {
        /// How exactly vectors are kept: `int8`, `bin` or `f32`.
        quantization: String = "quant-type",
        /// How many neighbours an element has in a layer (twice as many in the lowest).
        m: u64 = "hnsw-m",
        /// The dimension of vectors as they are kept.
        dimension: u64 = "vector-dim",
        /// The dimension of vectors as they are given, where it is reduced; 0 where it is not.
        input_dimension: u64 = "projection-input-dim",
        /// How many elements it has.
        size: u64 = "size",
        /// The number of the highest layer.
        max_level: u64 = "max-level",
        /// How many elements have attributes.
        attributes: u64 = "attributes-count",
        /// A number for the set that no other one has.
        uid: u64 = "vset-uid",
        /// The greatest number that an element has.
        max_node_uid: u64 = "hnsw-max-node-uid",
    }
}

/// The neighbours of an element in each layer, the top layer first, each with how alike it is, from 0 to 1.
pub type VectorLinks = Vec<Vec<(String, f64)>>;

/// A vector as a server keeps it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RawVector {
    /// How exactly: `int8`, `bin` or `fp32`.
    pub quantization: String,
    /// Its bytes: a byte, a bit, or four bytes (the lowest first) for each dimension.
    pub data: Bytes,
    /// Its length before it was brought to length 1.
    pub norm: f64,
    /// For `int8`: what 127 stands for.
    pub range: Option<f64>,
}

impl Reply for RawVector {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let mut vector = Self {
            quantization: String::decode_item(reader, &mut items)?,
            data: Bytes::decode_item(reader, &mut items)?,
            norm: f64::decode_item(reader, &mut items)?,
            range: None,
        };
        if items.more(reader)? {
            vector.range = Option::decode_item(reader, &mut items)?;
        }
        skip_rest(reader, &mut items)?;
        Ok(vector)
    }
}
