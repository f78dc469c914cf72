//! rustis 0.27: one multiplexed `Client`. Nagle is off by its defaults' `no_delay`. Leases and optimistic
//! transactions are on its `ExclusiveClient`, leases from bb8 as in its guide.
//!
//! `BulkString` is its `Vec<u8>`: a plain `Vec<u8>` would be decoded as a list of numbers. It has
//! nothing that shares memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::rustis as lib;
use bytes::Bytes;
use futures_util::StreamExt;
use lib::cache::{Cache, MokaStore};
use lib::client::{
    BatchPreparedCommand, Client, Config, ExclusiveClient, IntoConfig, PooledClientManager, TlsConfig,
};
use lib::commands::{
    ClientTrackingOptions, ConnectionCommands, HashCommands, ListCommands, PubSubCommands, StringCommands,
    TransactionCommands,
};
use lib::resp::{BulkString, RefBulkString};

use super::{AsyncClient, AsyncPipe, Cached, Door, Runners, SharedGet, Visit, Watch};
use crate::Fallible;
use crate::child::{self, cached, clustered, crowd, visit};
use crate::feed::{CHANNEL, Feed};
use crate::workload::LEASES;

/// It cannot block.
pub const RUNNERS: Runners = Runners {
    calls: [None, Some(child::on_tokio::<Async>)],
    tasks: Some(crowd::tasks::<Async>),
    cluster: Some(crowd::tasks::<Cluster>),
    cluster_pipelines: [None, Some(clustered::pipelines::<Cluster>)],
    leases: Some(crowd::tasks::<Pool>),
    visits: [None, Some(visit::on_tokio::<Visits>)],
    watches: [None, Some(child::watching::<Exclusive>)],
    caches: [None, Some(cached::on_tokio::<Kept>)],
    ..Runners::NONE
};

/// One client, which is one connection.
#[derive(Clone)]
pub struct Async(Client);

/// One client of a cluster, which is a connection to each node.
#[derive(Clone)]
pub struct Cluster(Client);

/// Connections that belong to one task at a time.
#[derive(Clone)]
pub struct Pool(lib::bb8::Pool<PooledClientManager>);

/// A connection that is not shared.
pub struct Exclusive(ExclusiveClient);

/// A client that keeps what it read.
pub struct Kept(Arc<Cache>);

/// What a client is made of.
pub struct Visits(Config);

fn config(url: &str) -> Fallible<Config> {
    let mut config = url.into_config()?;
    config.no_delay = true;
    Ok(config)
}

async fn client(url: &str) -> Fallible<Client> {
    Ok(Client::connect(config(url)?).await?)
}

async fn gets(client: &Client, keys: &[String]) -> Fallible<Vec<BulkString>> {
    let mut pipeline = client.create_pipeline();
    pipeline.reserve(keys.len());
    for key in keys {
        pipeline.get::<()>(key).queue();
    }
    Ok(pipeline.execute().await?)
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

impl AsyncPipe for Async {
    async fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<BulkString>> {
        gets(&self.0, keys).await
    }
}

impl SharedGet for Cluster {
    type Bytes = BulkString;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(client(&format!("redis+cluster://{addr}")).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<BulkString> {
        Ok(self.0.get(key).await?)
    }
}

impl AsyncPipe for Cluster {
    async fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<BulkString>> {
        gets(&self.0, keys).await
    }
}

impl SharedGet for Pool {
    type Bytes = BulkString;

    async fn connect(addr: &str) -> Fallible<Self> {
        let manager = PooledClientManager::new(config(&format!("redis://{addr}"))?)?;
        Ok(Self(lib::bb8::Pool::builder().max_size(LEASES as u32).build(manager).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<BulkString> {
        Ok(self.0.get().await?.get(key).await?)
    }
}

impl AsyncClient for Async {
    type Owned = BulkString;
    type Shared = BulkString;

    async fn get_owned(&mut self, key: &str) -> Fallible<BulkString> {
        Ok(self.0.get(key).await?)
    }

    async fn get_shared(&mut self, key: &str) -> Fallible<BulkString> {
        Ok(self.0.get(key).await?)
    }

    async fn set(&mut self, key: &str, value: &[u8]) -> Fallible<()> {
        Ok(self.0.set(key, RefBulkString::new(value)).await?)
    }

    async fn set_shared(&mut self, key: &str, value: &Bytes) -> Fallible<()> {
        Ok(self.0.set(key, RefBulkString::new(value)).await?)
    }

    async fn lrange_owned(&mut self, key: &str) -> Fallible<Vec<BulkString>> {
        Ok(self.0.lrange(key, 0, -1).await?)
    }

    async fn lrange_shared(&mut self, key: &str) -> Fallible<Vec<BulkString>> {
        Ok(self.0.lrange(key, 0, -1).await?)
    }

    async fn hgetall(&mut self, key: &str) -> Fallible<HashMap<String, BulkString>> {
        Ok(self.0.hgetall(key).await?)
    }

    async fn multi(&mut self, keys: &[String]) -> Fallible<Vec<BulkString>> {
        let mut transaction = self.0.create_transaction();
        for key in keys {
            transaction.get::<()>(key).queue();
        }
        Ok(transaction.execute().await?)
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

impl Watch for Exclusive {
    type Bytes = BulkString;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(ExclusiveClient::connect(config(&format!("redis://{addr}"))?).await?))
    }

    async fn replace(&mut self, key: &str, value: &[u8]) -> Fallible<BulkString> {
        self.0.watch(key).await?;
        let before = self.0.get(key).await?;
        let mut transaction = self.0.create_transaction();
        transaction.set(key, RefBulkString::new(value)).queue();
        let _: String = transaction.execute().await?;
        Ok(before)
    }
}

impl Cached for Kept {
    type Bytes = BulkString;

    async fn connect(addr: &str, room: Option<usize>) -> Fallible<Self> {
        let client = client(&format!("redis://{addr}")).await?;
        let options = ClientTrackingOptions::default();
        let (for_s, by_default) = (60, 10_000);
        let store = MokaStore::new(Duration::from_secs(for_s), room.map_or(by_default, |room| room as u64));
        Ok(Self(Cache::with_store(client, store, options).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<BulkString> {
        Ok(self.0.get(key).await?)
    }
}

impl Visit for Visits {
    fn prepare(door: &Door) -> Fallible<Self> {
        let mut config = config(&door.url())?;
        if let Some(tls) = door.rustls()? {
            config.tls_config = Some(TlsConfig::new(tls));
        }
        Ok(Self(config))
    }

    async fn visit(&self) -> Fallible<()> {
        let client = Client::connect(self.0.clone()).await?;
        let pong: String = client.ping(()).await?;
        client.close().await?;
        if pong == "PONG" { Ok(()) } else { Err(format!("PING answered {pong:?}").into()) }
    }
}
