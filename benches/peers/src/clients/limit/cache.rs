//! The limit of caches. Of a hit: a map in memory, of which a value is copied. Of a miss: the request, as if
//! there were no cache.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::BUFFER_LEN;
use super::plan::get;
use crate::Fallible;
use crate::clients::{BlockingCached, Cached};
use crate::data::{self, VALUE_LEN};

/// `$100`, the value, and two ends of lines.
const REPLY_LEN: usize = 6 + VALUE_LEN + 2;
const _: () = assert!(VALUE_LEN >= 100 && VALUE_LEN < 1000);

/// A map, or a connection where it would not help.
enum Source<S> {
    Map(HashMap<String, Vec<u8>>),
    Server { server: S, requests: HashMap<String, Vec<u8>>, buffer: Vec<u8> },
}

impl<S> Source<S> {
    fn new(server: S, room: Option<usize>) -> Self {
        let keys = data::keys().into_iter();
        match room {
            None => Self::Map(keys.map(|key| (key.clone(), data::value(&key, VALUE_LEN))).collect()),
            Some(_) => {
                let requests = keys.map(|key| (key.clone(), get(&key))).collect();
                Self::Server { server, requests, buffer: vec![0; BUFFER_LEN] }
            }
        }
    }
}

/// The value in the reply.
fn value(reply: &[u8]) -> Vec<u8> {
    reply[reply.len() - 2 - VALUE_LEN..reply.len() - 2].to_vec()
}

/// On tokio.
pub struct Async(Source<tokio::net::TcpStream>);

/// On the calling thread.
pub struct Blocking(Source<TcpStream>);

impl Cached for Async {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str, room: Option<usize>) -> Fallible<Self> {
        let server = tokio::net::TcpStream::connect(addr).await?;
        server.set_nodelay(true)?;
        Ok(Self(Source::new(server, room)))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        match &mut self.0 {
            Source::Map(map) => Ok(map[key].clone()),
            Source::Server { server, requests, buffer } => {
                server.write_all(&requests[key]).await?;
                server.read_exact(&mut buffer[..REPLY_LEN]).await?;
                Ok(value(&buffer[..REPLY_LEN]))
            }
        }
    }
}

impl BlockingCached for Blocking {
    type Bytes = Vec<u8>;

    fn connect(addr: &str, room: Option<usize>) -> Fallible<Self> {
        let server = TcpStream::connect(addr)?;
        server.set_nodelay(true)?;
        Ok(Self(Source::new(server, room)))
    }

    fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        match &mut self.0 {
            Source::Map(map) => Ok(map[key].clone()),
            Source::Server { server, requests, buffer } => {
                server.write_all(&requests[key])?;
                server.read_exact(&mut buffer[..REPLY_LEN])?;
                Ok(value(&buffer[..REPLY_LEN]))
            }
        }
    }
}
