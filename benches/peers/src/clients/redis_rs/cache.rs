//! redis-rs and its client-side cache, which async connections have.

use std::num::NonZeroUsize;

use super::calls;
use super::lib::AsyncCommands;
use super::lib::aio::MultiplexedConnection;
use super::lib::caching::CacheConfig;
use crate::Fallible;
use crate::clients::Cached;

/// One multiplexed connection that keeps what it read.
pub struct Cache(MultiplexedConnection);

impl Cached for Cache {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str, room: Option<usize>) -> Fallible<Self> {
        let mut cache = CacheConfig::new();
        if let Some(room) = room.and_then(NonZeroUsize::new) {
            cache = cache.set_size(room);
        }
        let config = calls::config().set_cache_config(cache);
        Ok(Self(calls::client(addr)?.get_multiplexed_async_connection_with_config(&config).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get(key).await?)
    }
}
