//! redwire and a cluster: the same `Client`, by another URL.

use ::redwire as lib;
use lib::prelude::*;

use super::gets;
use crate::Fallible;
use crate::clients::{AsyncPipe, BlockingPipe, SharedGet};

/// One client of a cluster, which is a connection to each node.
#[derive(Clone)]
pub struct Async(lib::Client);

/// The same, blocking.
pub struct Blocking(lib::blocking::Client);

fn url(addr: &str) -> String {
    format!("redis+cluster://{addr}")
}

impl SharedGet for Async {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(lib::Client::connect(&url(addr)).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get::<Vec<u8>>(key).await?.unwrap_or_default())
    }
}

impl AsyncPipe for Async {
    async fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.pipeline(|p| gets(p, keys)).await?)
    }
}

impl BlockingPipe for Blocking {
    type Bytes = Vec<u8>;

    fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(lib::blocking::Client::connect(&url(addr))?))
    }

    fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get::<Vec<u8>>(key)?.unwrap_or_default())
    }

    fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.pipeline(|p| gets(p, keys))?)
    }
}
