//! redwire and leases: its `Pool`, of which each call has a connection to itself.

use ::redwire as lib;
use lib::config::Config;
use lib::prelude::*;

use crate::Fallible;
use crate::clients::SharedGet;
use crate::workload::LEASES;

/// A pool.
#[derive(Clone)]
pub struct Leases(lib::Pool);

impl SharedGet for Leases {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        let config = Config::builder().url(&format!("redis://{addr}")).max_connections(LEASES).build()?;
        Ok(Self(lib::Pool::open(config).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        let mut lease = self.0.get().await?;
        Ok(lease.get::<Vec<u8>>(key).await?.unwrap_or_default())
    }
}
