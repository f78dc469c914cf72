//! redwire and its client-side cache, `Client::cached`.

use ::redwire as lib;
use lib::cache::CacheOptions;
use lib::prelude::*;

use crate::Fallible;
use crate::clients::{BlockingCached, Cached};

/// A cache beside a client.
pub struct Async(lib::Cache);

/// The same, blocking.
pub struct Blocking(lib::blocking::Cache);

/// What one ordinary key takes at most; caches of others count keys.
const BYTES_PER_KEY: usize = 512;

fn options(room: Option<usize>) -> CacheOptions {
    let options = CacheOptions::default();
    match room {
        Some(keys) => options.max_bytes(keys * BYTES_PER_KEY),
        None => options,
    }
}

impl Cached for Async {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str, room: Option<usize>) -> Fallible<Self> {
        let client = lib::Client::connect(&format!("redis://{addr}")).await?;
        Ok(Self(client.cached(options(room)).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get::<Vec<u8>>(key).await?.unwrap_or_default())
    }
}

impl BlockingCached for Blocking {
    type Bytes = Vec<u8>;

    fn connect(addr: &str, room: Option<usize>) -> Fallible<Self> {
        let client = lib::blocking::Client::connect(&format!("redis://{addr}"))?;
        Ok(Self(client.cached(options(room))?))
    }

    fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get::<Vec<u8>>(key)?.unwrap_or_default())
    }
}
