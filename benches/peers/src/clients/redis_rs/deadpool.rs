//! redis-rs and leases: a pool of deadpool-redis, of multiplexed connections that nothing else uses
//! meanwhile.

use deadpool_redis::{Manager, Pool};

use super::calls;
use super::lib::AsyncCommands;
use crate::Fallible;
use crate::clients::SharedGet;
use crate::workload::LEASES;

/// A pool.
#[derive(Clone)]
pub struct Leases(Pool);

impl SharedGet for Leases {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        let manager = Manager::new(calls::info(&format!("redis://{addr}"))?)?;
        Ok(Self(Pool::builder(manager).max_size(LEASES).build()?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get().await?.get(key).await?)
    }
}
