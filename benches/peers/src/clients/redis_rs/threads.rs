//! redis-rs and threads: a connection belongs to one thread, so each has its own. That is faster than r2d2's
//! pool, of which its guide speaks, too, and which pings a connection each time that it lends it.

use super::calls;
use super::lib::{Client, Commands, Connection};
use crate::Fallible;
use crate::clients::BlockingShared;

/// Connects when it is used first.
pub struct Threads {
    client: Client,
    connection: Option<Connection>,
}

impl Clone for Threads {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), connection: None }
    }
}

impl BlockingShared for Threads {
    type Bytes = Vec<u8>;

    fn connect(addr: &str) -> Fallible<Self> {
        Ok(Self { client: calls::client(addr)?, connection: None })
    }

    fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.client.get_connection()?),
        };
        Ok(connection.get(key)?)
    }
}
