//! redis-rs and a cluster: its blocking connection, which has pipelines over all slots, and its async one,
//! which has not.

use super::lib::cluster::{ClusterClient, ClusterClientBuilder, ClusterConnection, cluster_pipe};
use super::lib::io::tcp::TcpSettings;
use super::lib::{AsyncCommands, Commands, ProtocolVersion, cluster_async};
use crate::Fallible;
use crate::clients::{BlockingPipe, SharedGet};

/// A connection to each node, shared.
#[derive(Clone)]
pub struct Async(cluster_async::ClusterConnection);

/// A connection to each node.
pub struct Blocking(ClusterConnection);

fn client(addr: &str) -> Fallible<ClusterClient> {
    let nodes = addr.split(',').map(|addr| format!("redis://{addr}"));
    let builder = ClusterClientBuilder::new(nodes).use_protocol(ProtocolVersion::RESP3);
    Ok(builder.tcp_settings(TcpSettings::default().set_nodelay(true)).build()?)
}

impl SharedGet for Async {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self(client(addr)?.get_async_connection().await?))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        Ok(self.0.get(key).await?)
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
        let mut pipeline = cluster_pipe();
        for key in keys {
            pipeline.get(key);
        }
        Ok(pipeline.query(&mut self.0)?)
    }
}
