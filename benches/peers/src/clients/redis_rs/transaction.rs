//! redis-rs and optimistic transactions: its `transaction` and `transaction_async`.

use super::calls;
use super::lib::aio::{MultiplexedConnection, transaction_async};
use super::lib::{AsyncCommands, Commands, Pipeline, transaction};
use crate::Fallible;
use crate::clients::{BlockingPipe, BlockingWatch, SharedGet, Watch};

/// One multiplexed connection, which nothing else uses.
pub struct Async(calls::Async);

/// One connection.
pub struct Blocking(calls::Blocking);

impl Watch for Async {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(calls::Async::connect(addr).await?))
    }

    async fn replace(&mut self, key: &str, value: &[u8]) -> Fallible<Vec<u8>> {
        let connection = self.0.0.clone();
        let work = async |mut connection: MultiplexedConnection, mut pipeline: Pipeline| {
            let before: Vec<u8> = connection.get(key).await?;
            let done: Option<()> = pipeline.set(key, value).ignore().query_async(&mut connection).await?;
            Ok(done.map(|()| before))
        };
        Ok(transaction_async(connection, &[key], work).await?)
    }
}

impl BlockingWatch for Blocking {
    type Bytes = Vec<u8>;

    fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(calls::Blocking::connect(addr)?))
    }

    fn replace(&mut self, key: &str, value: &[u8]) -> Fallible<Vec<u8>> {
        Ok(transaction(&mut self.0.0, &[key], |connection, pipeline| {
            let before: Vec<u8> = connection.get(key)?;
            let done: Option<()> = pipeline.set(key, value).ignore().query(connection)?;
            Ok(done.map(|()| before))
        })?)
    }
}
