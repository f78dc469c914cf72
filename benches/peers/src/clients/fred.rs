//! fred 10: one `Client`, RESP3, Nagle off, reconnecting with exponential backoff as its guide advises.
//! Values are `Bytes`, which is what it has itself; `Vec<u8>` where a value of its own is asked for.
//! Leases are those of its `ExclusivePool`.

use std::collections::HashMap;

use ::fred as lib;
use lib::bytes::Bytes;
use lib::clients::ExclusivePool;
use lib::prelude::{
    Builder, Client, ClientLike, Config, EventInterface, HashesInterface, KeysInterface, ListInterface,
    PubsubInterface, ReconnectPolicy, TcpConfig, TransactionInterface, Value,
};
use lib::types::RespVersion;
use lib::types::config::TlsConnector;
use tokio_rustls::TlsConnector as Connector;

use super::{AsyncClient, AsyncPipe, Door, Runners, SharedGet, Visit, Watch};
use crate::Fallible;
use crate::child::{self, clustered, crowd, visit};
use crate::feed::{BATCH, CHANNEL, Feed};
use crate::workload::LEASES;

/// It cannot block, and has no cache.
pub const RUNNERS: Runners = Runners {
    calls: [None, Some(child::on_tokio::<Async>)],
    tasks: Some(crowd::tasks::<Async>),
    cluster: Some(crowd::tasks::<Cluster>),
    cluster_pipelines: [None, Some(clustered::pipelines::<Cluster>)],
    leases: Some(crowd::tasks::<Pool>),
    visits: [None, Some(visit::on_tokio::<Visits>)],
    watches: [None, Some(child::watching::<Async>)],
    ..Runners::NONE
};

/// One client, which is one connection.
#[derive(Clone)]
pub struct Async(Client);

/// One client of a cluster, which is a connection to each node.
#[derive(Clone)]
pub struct Cluster(Client);

/// Clients that belong to one task at a time.
#[derive(Clone)]
pub struct Pool(ExclusivePool);

/// What a client is made of.
pub struct Visits(Builder);

fn builder(mut config: Config) -> Builder {
    config.version = RespVersion::RESP3;
    let mut builder = Builder::from_config(config);
    builder
        .with_connection_config(|connection| {
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        })
        // Fewer than a batch, and it would drop messages.
        .with_performance_config(|performance| performance.broadcast_channel_capacity = 2 * BATCH)
        .set_policy(ReconnectPolicy::new_exponential(0, 100, 30_000, 2));
    builder
}

async fn client(url: &str) -> Fallible<Client> {
    let client = builder(Config::from_url(url)?).build()?;
    client.init().await?;
    Ok(client)
}

async fn gets(client: &Client, keys: &[String]) -> Fallible<Vec<Bytes>> {
    let pipeline = client.pipeline();
    for key in keys {
        let _: () = pipeline.get(key).await?;
    }
    Ok(pipeline.all().await?)
}

impl SharedGet for Async {
    type Bytes = Bytes;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(client(&format!("redis://{addr}")).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Bytes> {
        Ok(self.0.get(key).await?)
    }
}

impl AsyncPipe for Async {
    async fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Bytes>> {
        gets(&self.0, keys).await
    }
}

impl SharedGet for Cluster {
    type Bytes = Bytes;

    async fn connect(addr: &str) -> Fallible<Self> {
        let (first, others) = addr.split_once(',').ok_or("a cluster of one node")?;
        let others = others.replace(',', "&node=");
        Ok(Self(client(&format!("redis-cluster://{first}?node={others}")).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Bytes> {
        Ok(self.0.get(key).await?)
    }
}

impl AsyncPipe for Cluster {
    async fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Bytes>> {
        gets(&self.0, keys).await
    }
}

impl SharedGet for Pool {
    type Bytes = Bytes;

    async fn connect(addr: &str) -> Fallible<Self> {
        let pool = builder(Config::from_url(&format!("redis://{addr}"))?).build_exclusive_pool(LEASES)?;
        pool.init().await?;
        Ok(Self(pool))
    }

    async fn get(&mut self, key: &str) -> Fallible<Bytes> {
        Ok(self.0.acquire().await.get(key).await?)
    }
}

impl AsyncClient for Async {
    type Owned = Vec<u8>;
    type Shared = Bytes;

    async fn get_owned(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get(key).await?)
    }

    async fn get_shared(&mut self, key: &str) -> Fallible<Bytes> {
        Ok(self.0.get(key).await?)
    }

    async fn set(&mut self, key: &str, value: &[u8]) -> Fallible<()> {
        Ok(self.0.set(key, value, None, None, false).await?)
    }

    async fn set_shared(&mut self, key: &str, value: &Bytes) -> Fallible<()> {
        Ok(self.0.set(key, value.clone(), None, None, false).await?)
    }

    async fn lrange_owned(&mut self, key: &str) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.lrange(key, 0, -1).await?)
    }

    async fn lrange_shared(&mut self, key: &str) -> Fallible<Vec<Bytes>> {
        Ok(self.0.lrange(key, 0, -1).await?)
    }

    async fn hgetall(&mut self, key: &str) -> Fallible<HashMap<String, Bytes>> {
        Ok(self.0.hgetall(key).await?)
    }

    async fn multi(&mut self, keys: &[String]) -> Fallible<Vec<Bytes>> {
        let transaction = self.0.multi();
        for key in keys {
            let _: () = transaction.get(key).await?;
        }
        Ok(transaction.exec(true).await?)
    }

    async fn listen(addr: &str, feed: &mut Feed) -> Fallible<()> {
        let Self(client) = <Self as SharedGet>::connect(addr).await?;
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

impl Watch for Async {
    type Bytes = Bytes;

    async fn connect(addr: &str) -> Fallible<Self> {
        <Self as SharedGet>::connect(addr).await
    }

    async fn replace(&mut self, key: &str, value: &[u8]) -> Fallible<Bytes> {
        self.0.watch(key).await?;
        let before: Bytes = self.0.get(key).await?;
        let transaction = self.0.multi();
        let _: () = transaction.set(key, value, None, None, false).await?;
        let done: Value = transaction.exec(true).await?;
        if done.is_null() { Err("the transaction was aborted".into()) } else { Ok(before) }
    }
}

impl Visit for Visits {
    fn prepare(door: &Door) -> Fallible<Self> {
        let mut config = Config::from_url(&door.url())?;
        if let Some(tls) = door.rustls()? {
            config.tls = Some(TlsConnector::from(Connector::from(tls)).into());
        }
        Ok(Self(builder(config)))
    }

    async fn visit(&self) -> Fallible<()> {
        let client = self.0.build()?;
        client.init().await?;
        let pong: String = client.ping(None).await?;
        client.quit().await?;
        if pong == "PONG" { Ok(()) } else { Err(format!("PING answered {pong:?}").into()) }
    }
}
