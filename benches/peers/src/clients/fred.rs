//! fred 10: one `Client`, Nagle off, reconnecting with exponential backoff as its guide advises.

use std::collections::HashMap;

use ::fred as lib;
use lib::bytes::Bytes;
use lib::prelude::{
    Builder, Client, ClientLike, Config, EventInterface, HashesInterface, KeysInterface, ListInterface,
    PubsubInterface, ReconnectPolicy, TcpConfig,
};

use super::{AsyncClient, SharedGet};
use crate::Fallible;
use crate::feed::{BATCH, CHANNEL, Feed};

/// One client, which is one connection.
#[derive(Clone)]
pub struct Async(Client);

async fn client(url: &str) -> Fallible<Client> {
    let client = Builder::from_config(Config::from_url(url)?)
        .with_connection_config(|connection| {
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        })
        // Fewer than a batch, and it would drop messages.
        .with_performance_config(|performance| performance.broadcast_channel_capacity = 2 * BATCH)
        .set_policy(ReconnectPolicy::new_exponential(0, 100, 30_000, 2))
        .build()?;
    client.init().await?;
    Ok(client)
}

impl SharedGet for Async {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(client(&format!("redis://{addr}")).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get(key).await?)
    }
}

/// One client of a cluster, which is a connection to each node.
#[derive(Clone)]
pub struct Cluster(Client);

impl SharedGet for Cluster {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        let (first, others) = addr.split_once(',').ok_or("a cluster of one node")?;
        let others = others.replace(',', "&node=");
        Ok(Self(client(&format!("redis-cluster://{first}?node={others}")).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get(key).await?)
    }
}

impl AsyncClient for Async {
    type Payload = Bytes;

    async fn set(&mut self, key: &str, value: &Bytes) -> Fallible<()> {
        Ok(self.0.set(key, value.clone(), None, None, false).await?)
    }

    async fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Vec<u8>>> {
        let pipeline = self.0.pipeline();
        for key in keys {
            let _: () = pipeline.get(key).await?;
        }
        Ok(pipeline.all().await?)
    }

    async fn lrange(&mut self, key: &str) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.lrange(key, 0, -1).await?)
    }

    async fn hgetall(&mut self, key: &str) -> Fallible<HashMap<String, Vec<u8>>> {
        Ok(self.0.hgetall(key).await?)
    }

    async fn listen(addr: &str, feed: &mut Feed) -> Fallible<()> {
        let Self(client) = Self::connect(addr).await?;
        let mut news = client.message_rx();
        client.subscribe(CHANNEL).await?;
        let mut goes_on = feed.publish()?;
        while goes_on {
            let payload = news.recv().await?.value;
            goes_on = feed.hear(payload.as_bytes().ok_or("a payload that is no bytes")?)?;
        }
        Ok(())
    }
}
