//! redis-rs: `Connection` to block, `MultiplexedConnection` on tokio, RESP3, Nagle off. It is compiled for
//! each version, which is `lib`.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;

use super::lib::aio::MultiplexedConnection;
use super::lib::io::tcp::TcpSettings;
use super::lib::{
    AsyncCommands, AsyncConnectionConfig, Client, Commands, Connection, ConnectionInfo, IntoConnectionInfo,
    Pipeline, pipe,
};
use crate::Fallible;
use crate::clients::{AsyncClient, AsyncPipe, BlockingClient, BlockingPipe, SharedGet};
use crate::feed::{CHANNEL, Feed};

/// One multiplexed connection.
#[derive(Clone)]
pub struct Async(pub MultiplexedConnection);

/// One connection.
pub struct Blocking(pub Connection);

/// What stands in the URL, on RESP3 and with Nagle's algorithm off.
pub fn info(url: &str) -> Fallible<ConnectionInfo> {
    let info = format!("{url}/?protocol=resp3").into_connection_info()?;
    Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// Of the server at `host:port`; not connected.
pub fn client(addr: &str) -> Fallible<Client> {
    Ok(Client::open(info(&format!("redis://{addr}"))?)?)
}

/// As by default, but with patience: a value of 256 MiB takes longer than the half second it waits.
pub fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)))
}

fn gets(mut pipeline: Pipeline, keys: &[String]) -> Pipeline {
    for key in keys {
        pipeline.get(key);
    }
    pipeline
}

fn atomic() -> Pipeline {
    let mut pipeline = pipe();
    pipeline.atomic();
    pipeline
}

impl SharedGet for Async {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(client(addr)?.get_multiplexed_async_connection_with_config(&config()).await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get(key).await?)
    }
}

impl AsyncPipe for Async {
    async fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Vec<u8>>> {
        Ok(gets(pipe(), keys).query_async(&mut self.0).await?)
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
        Ok(self.0.set(key, value).await?)
    }

    async fn set_shared(&mut self, key: &str, value: &Bytes) -> Fallible<()> {
        // It knows `Bytes` in replies only.
        Ok(self.0.set(key, value.as_ref()).await?)
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
        Ok(gets(atomic(), keys).query_async(&mut self.0).await?)
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

impl BlockingPipe for Blocking {
    type Bytes = Vec<u8>;

    fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(client(addr)?.get_connection()?))
    }

    fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get(key)?)
    }

    fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Vec<u8>>> {
        Ok(gets(pipe(), keys).query(&mut self.0)?)
    }
}

impl BlockingClient for Blocking {
    type Owned = Vec<u8>;
    type Shared = Bytes;

    fn get_owned(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get(key)?)
    }

    fn get_shared(&mut self, key: &str) -> Fallible<Bytes> {
        Ok(self.0.get(key)?)
    }

    fn set(&mut self, key: &str, value: &[u8]) -> Fallible<()> {
        Ok(self.0.set(key, value)?)
    }

    fn set_shared(&mut self, key: &str, value: &Bytes) -> Fallible<()> {
        Ok(self.0.set(key, value.as_ref())?)
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
        Ok(gets(atomic(), keys).query(&mut self.0)?)
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
