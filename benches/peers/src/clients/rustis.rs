//! rustis 0.27: one multiplexed `Client`. Nagle is off by its defaults' `no_delay`.
//!
//! `BulkString` is its `Vec<u8>`: a plain `Vec<u8>` would be decoded as a list of numbers.

use std::collections::HashMap;

use ::rustis as lib;
use futures_util::StreamExt;
use lib::client::{BatchPreparedCommand, Client, IntoConfig};
use lib::commands::{HashCommands, ListCommands, PubSubCommands, StringCommands};
use lib::resp::BulkString;

use super::{AsyncClient, SharedGet};
use crate::Fallible;
use crate::feed::{CHANNEL, Feed};

/// One client, which is one connection.
#[derive(Clone)]
pub struct Async(Client);

async fn client(url: &str) -> Fallible<Client> {
    let mut config = url.into_config()?;
    config.no_delay = true;
    Ok(Client::connect(config).await?)
}

impl SharedGet for Async {
    type Bytes = BulkString;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(client(&format!("redis://{addr}")).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<BulkString> {
        Ok(self.0.get(key).await?)
    }
}

/// One client of a cluster, which is a connection to each node.
#[derive(Clone)]
pub struct Cluster(Client);

impl SharedGet for Cluster {
    type Bytes = BulkString;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(client(&format!("redis+cluster://{addr}")).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<BulkString> {
        Ok(self.0.get(key).await?)
    }
}

impl AsyncClient for Async {
    type Payload = BulkString;

    async fn set(&mut self, key: &str, value: &BulkString) -> Fallible<()> {
        Ok(self.0.set(key, value).await?)
    }

    async fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<BulkString>> {
        let mut pipeline = self.0.create_pipeline();
        pipeline.reserve(keys.len());
        for key in keys {
            pipeline.get::<()>(key).queue();
        }
        Ok(pipeline.execute().await?)
    }

    async fn lrange(&mut self, key: &str) -> Fallible<Vec<BulkString>> {
        Ok(self.0.lrange(key, 0, -1).await?)
    }

    async fn hgetall(&mut self, key: &str) -> Fallible<HashMap<String, BulkString>> {
        Ok(self.0.hgetall(key).await?)
    }

    async fn listen(addr: &str, feed: &mut Feed) -> Fallible<()> {
        let Self(client) = Self::connect(addr).await?;
        let mut news = client.subscribe(CHANNEL).await?;
        let mut goes_on = feed.publish()?;
        while goes_on {
            let message = news.next().await.ok_or("the subscription ended")??;
            goes_on = feed.hear(message.payload())?;
        }
        Ok(())
    }
}
