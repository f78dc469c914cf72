//! redwire, the client all this is for: one shared `Client` in each driver. Here are its calls; what it has
//! for clusters, leases, transactions, caches and connecting is in files of its own.

mod cache;
mod cluster;
mod leases;
mod transaction;
mod visit;

use std::collections::HashMap;

use ::redwire as lib;
use bytes::Bytes;
use lib::prelude::*;
use lib::pubsub::SubscriptionEvent;
use lib::{Cmd, Pipeline, Run, Slot, facts};

use super::{AsyncClient, AsyncPipe, BlockingClient, BlockingPipe, BlockingShared, Runners, SharedGet};
use crate::Fallible;
use crate::child::{self, cached, clustered, crowd, visit as visits};
use crate::feed::{CHANNEL, Feed};

/// It has all.
pub const RUNNERS: Runners = Runners {
    calls: [Some(child::blocking::<Blocking>), Some(child::on_tokio::<Async>)],
    tasks: Some(crowd::tasks::<Async>),
    threads: Some(crowd::threads::<Blocking>),
    cluster: Some(crowd::tasks::<cluster::Async>),
    cluster_blocking: Some(clustered::blocking::<cluster::Blocking>),
    cluster_pipelines: [
        Some(clustered::blocking::<cluster::Blocking>),
        Some(clustered::pipelines::<cluster::Async>),
    ],
    leases: Some(crowd::tasks::<leases::Leases>),
    visits: [Some(visits::blocking::<visit::Blocking>), Some(visits::on_tokio::<visit::Async>)],
    watches: [
        Some(child::watching_blocking::<transaction::Blocking>),
        Some(child::watching::<transaction::Async>),
    ],
    caches: [Some(cached::blocking::<cache::Blocking>), Some(cached::on_tokio::<cache::Async>)],
};

/// One client, which is one connection.
#[derive(Clone)]
pub struct Async(lib::Client);

/// One client, used by one thread, which is one connection, or shared by several.
#[derive(Clone)]
pub struct Blocking(lib::blocking::Client);

/// Records GETs.
fn gets(pipeline: &Pipeline, keys: &[String]) -> Vec<Slot<Vec<u8>>> {
    keys.iter().map(|key| pipeline.run(Cmd::of(&facts::GET).arg(key))).collect()
}

impl SharedGet for Async {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(lib::Client::connect(&format!("redis://{addr}")).await?))
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

impl AsyncClient for Async {
    type Owned = Vec<u8>;
    type Shared = Bytes;

    async fn get_owned(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get::<Vec<u8>>(key).await?.unwrap_or_default())
    }

    async fn get_shared(&mut self, key: &str) -> Fallible<Bytes> {
        Ok(self.0.get::<Bytes>(key).await?.unwrap_or_default())
    }

    async fn set(&mut self, key: &str, value: &[u8]) -> Fallible<()> {
        Ok(self.0.set(key, value).await?)
    }

    async fn set_shared(&mut self, key: &str, value: &Bytes) -> Fallible<()> {
        Ok(self.0.set(key, value).await?)
    }

    async fn lrange_owned(&mut self, key: &str) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.lrange(key, 0, -1).await?)
    }

    async fn lrange_shared(&mut self, key: &str) -> Fallible<Vec<Bytes>> {
        Ok(self.0.lrange(key, 0, -1).await?)
    }

    async fn hgetall(&mut self, key: &str) -> Fallible<HashMap<String, Vec<u8>>> {
        Ok(self.0.hgetall(key).await?)
    }

    async fn multi(&mut self, keys: &[String]) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.atomic(|p| gets(p, keys)).await?)
    }

    async fn listen(addr: &str, feed: &mut Feed) -> Fallible<()> {
        let pubsub = lib::PubSub::connect(&format!("redis://{addr}")).await?;
        let mut news = pubsub.subscribe(CHANNEL).await?;
        let mut goes_on = feed.publish()?;
        while goes_on {
            let Some(SubscriptionEvent::Message(message)) = news.next().await else {
                return Err("no message".into());
            };
            goes_on = feed.hear(&message.payload)?;
        }
        Ok(())
    }
}

impl BlockingPipe for Blocking {
    type Bytes = Vec<u8>;

    fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(lib::blocking::Client::connect(&format!("redis://{addr}"))?))
    }

    fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get::<Vec<u8>>(key)?.unwrap_or_default())
    }

    fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.pipeline(|p| gets(p, keys))?)
    }
}

impl BlockingShared for Blocking {
    type Bytes = Vec<u8>;

    fn connect(addr: &str) -> Fallible<Self> {
        <Self as BlockingPipe>::connect(addr)
    }

    fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        <Self as BlockingPipe>::get(self, key)
    }
}

impl BlockingClient for Blocking {
    type Owned = Vec<u8>;
    type Shared = Bytes;

    fn get_owned(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get::<Vec<u8>>(key)?.unwrap_or_default())
    }

    fn get_shared(&mut self, key: &str) -> Fallible<Bytes> {
        Ok(self.0.get::<Bytes>(key)?.unwrap_or_default())
    }

    fn set(&mut self, key: &str, value: &[u8]) -> Fallible<()> {
        Ok(self.0.set(key, value)?)
    }

    fn set_shared(&mut self, key: &str, value: &Bytes) -> Fallible<()> {
        Ok(self.0.set(key, value)?)
    }

    fn lrange_owned(&mut self, key: &str) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.lrange(key, 0, -1)?)
    }

    fn lrange_shared(&mut self, key: &str) -> Fallible<Vec<Bytes>> {
        Ok(self.0.lrange(key, 0, -1)?)
    }

    fn hgetall(&mut self, key: &str) -> Fallible<HashMap<String, Vec<u8>>> {
        Ok(self.0.hgetall(key)?)
    }

    fn multi(&mut self, keys: &[String]) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.atomic(|p| gets(p, keys))?)
    }

    fn listen(addr: &str, feed: &mut Feed) -> Fallible<()> {
        let pubsub = lib::blocking::PubSub::connect(&format!("redis://{addr}"))?;
        let mut news = pubsub.subscribe(CHANNEL)?;
        let mut goes_on = feed.publish()?;
        while goes_on {
            let Some(SubscriptionEvent::Message(message)) = news.next() else {
                return Err("no message".into());
            };
            goes_on = feed.hear(&message.payload)?;
        }
        Ok(())
    }
}
