//! redis-rs 2.0, release candidate: `Connection` to block, `MultiplexedConnection` and `ClusterConnection` on
//! tokio, Nagle off.

use std::collections::HashMap;

use ::redis2 as lib;
use futures_util::StreamExt;
use lib::aio::MultiplexedConnection;
use lib::cluster::ClusterClientBuilder;
use lib::cluster_async::ClusterConnection;
use lib::io::tcp::TcpSettings;
use lib::{AsyncCommands, Client, Commands, Connection, IntoConnectionInfo, Pipeline};

use super::{AsyncClient, BlockingClient, SharedGet};
use crate::Fallible;
use crate::feed::{CHANNEL, Feed};

/// One multiplexed connection.
#[derive(Clone)]
pub struct Async(MultiplexedConnection);

/// One connection.
pub struct Blocking(Connection);

fn client(addr: &str) -> Fallible<Client> {
    let info = format!("redis://{addr}").into_connection_info()?;
    Ok(Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))?)
}

fn gets(keys: &[String]) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for key in keys {
        pipeline.get(key);
    }
    pipeline
}

impl SharedGet for Async {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(client(addr)?.get_multiplexed_async_connection().await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get(key).await?)
    }
}

/// One client of a cluster, which is a multiplexed connection to each node.
#[derive(Clone)]
pub struct Cluster(ClusterConnection);

impl SharedGet for Cluster {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        let nodes = addr.split(',').map(|addr| format!("redis://{addr}"));
        let builder = ClusterClientBuilder::new(nodes).tcp_settings(TcpSettings::default().set_nodelay(true));
        Ok(Self(builder.build()?.get_async_connection().await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get(key).await?)
    }
}

impl AsyncClient for Async {
    type Payload = Vec<u8>;

    async fn set(&mut self, key: &str, value: &Vec<u8>) -> Fallible<()> {
        Ok(self.0.set(key, value.as_slice()).await?)
    }

    async fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Vec<u8>>> {
        Ok(gets(keys).query_async(&mut self.0).await?)
    }

    async fn lrange(&mut self, key: &str) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.lrange(key, 0, -1).await?)
    }

    async fn hgetall(&mut self, key: &str) -> Fallible<HashMap<String, Vec<u8>>> {
        Ok(self.0.hgetall(key).await?)
    }

    async fn listen(addr: &str, feed: &mut Feed) -> Fallible<()> {
        let mut news = client(addr)?.get_async_pubsub().await?;
        news.subscribe(CHANNEL).await?;
        let mut news = news.into_on_message();
        let mut goes_on = feed.publish()?;
        while goes_on {
            let message = news.next().await.ok_or("the subscription ended")?;
            goes_on = feed.hear(message.get_payload_bytes())?;
        }
        Ok(())
    }
}

impl BlockingClient for Blocking {
    type Bytes = Vec<u8>;
    type Payload = Vec<u8>;

    fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(client(addr)?.get_connection()?))
    }

    fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get(key)?)
    }

    fn set(&mut self, key: &str, value: &Vec<u8>) -> Fallible<()> {
        Ok(self.0.set(key, value.as_slice())?)
    }

    fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Vec<u8>>> {
        Ok(gets(keys).query(&mut self.0)?)
    }

    fn lrange(&mut self, key: &str) -> Fallible<Vec<Vec<u8>>> {
        Ok(self.0.lrange(key, 0, -1)?)
    }

    fn hgetall(&mut self, key: &str) -> Fallible<HashMap<String, Vec<u8>>> {
        Ok(self.0.hgetall(key)?)
    }

    fn listen(addr: &str, feed: &mut Feed) -> Fallible<()> {
        let mut connection = client(addr)?.get_connection()?;
        let mut news = connection.as_pubsub();
        news.subscribe(CHANNEL)?;
        let mut goes_on = feed.publish()?;
        while goes_on {
            goes_on = feed.hear(news.get_message()?.get_payload_bytes())?;
        }
        Ok(())
    }
}
