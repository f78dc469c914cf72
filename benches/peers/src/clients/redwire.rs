//! redwire, the client all this is for: one shared `Client` in each driver.

use std::collections::HashMap;

use ::redwire as lib;
use lib::prelude::*;
use lib::pubsub::SubscriptionEvent;
use lib::{Cmd, Run, facts};

use super::{AsyncClient, BlockingClient, SharedGet};
use crate::Fallible;
use crate::feed::{CHANNEL, Feed};

/// One client, which is one connection.
#[derive(Clone)]
pub struct Async(lib::Client);

/// One client, used by one thread: one connection.
pub struct Blocking(lib::blocking::Client);

impl SharedGet for Async {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(lib::Client::connect(&format!("redis://{addr}")).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get::<Vec<u8>>(key).await?.unwrap_or_default())
    }
}

/// One client of a cluster, which is a connection to each node.
#[derive(Clone)]
pub struct Cluster(lib::Client);

impl SharedGet for Cluster {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(lib::Client::connect(&format!("redis+cluster://{addr}")).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get::<Vec<u8>>(key).await?.unwrap_or_default())
    }
}

impl AsyncClient for Async {
    type Payload = bytes::Bytes;

    async fn set(&mut self, key: &str, value: &bytes::Bytes) -> Fallible<()> {
        Ok(self.0.set(key, value).await?)
    }

    async fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Vec<u8>>> {
        Ok(self
            .0
            .pipeline(|p| {
                keys.iter().map(|key| p.run::<Vec<u8>>(Cmd::of(&facts::GET).arg(key))).collect::<Vec<_>>()
            })
            .await?)
    }

    async fn lrange(&mut self, key: &str) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.lrange(key, 0, -1).await?)
    }

    async fn hgetall(&mut self, key: &str) -> Fallible<HashMap<String, Vec<u8>>> {
        Ok(self.0.hgetall(key).await?)
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

impl BlockingClient for Blocking {
    type Bytes = Vec<u8>;
    type Payload = bytes::Bytes;

    fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(lib::blocking::Client::connect(&format!("redis://{addr}"))?))
    }

    fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get::<Vec<u8>>(key)?.unwrap_or_default())
    }

    fn set(&mut self, key: &str, value: &bytes::Bytes) -> Fallible<()> {
        Ok(self.0.set(key, value)?)
    }

    fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.pipeline(|p| {
            keys.iter().map(|key| p.run::<Vec<u8>>(Cmd::of(&facts::GET).arg(key))).collect::<Vec<_>>()
        })?)
    }

    fn lrange(&mut self, key: &str) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.lrange(key, 0, -1)?)
    }

    fn hgetall(&mut self, key: &str) -> Fallible<HashMap<String, Vec<u8>>> {
        Ok(self.0.hgetall(key)?)
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
