//! redwire and optimistic transactions: `Client::transaction`.

use ::redwire as lib;
use lib::prelude::*;

use crate::Fallible;
use crate::clients::{BlockingPipe, BlockingWatch, SharedGet, Watch};

/// One client.
pub struct Async(super::Async);

/// The same, blocking.
pub struct Blocking(super::Blocking);

impl Watch for Async {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(super::Async::connect(addr).await?))
    }

    async fn replace(&mut self, key: &str, value: &[u8]) -> Fallible<Vec<u8>> {
        let work = async |mut tx: lib::Transaction| {
            let before = tx.get::<Vec<u8>>(key).await?;
            tx.commit(|p| p.set(key, value)).await?;
            Ok(before.unwrap_or_default())
        };
        Ok(self.0.0.transaction(key, work).await?)
    }
}

impl BlockingWatch for Blocking {
    type Bytes = Vec<u8>;

    fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(<super::Blocking as BlockingPipe>::connect(addr)?))
    }

    fn replace(&mut self, key: &str, value: &[u8]) -> Fallible<Vec<u8>> {
        Ok(self.0.0.transaction(key, |mut tx| {
            let before = tx.get::<Vec<u8>>(key)?;
            tx.commit(|p| p.set(key, value))?;
            Ok(before.unwrap_or_default())
        })?)
    }
}
