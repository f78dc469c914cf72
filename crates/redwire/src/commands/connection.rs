//! The connection that asks, and the clients of a server.
//!
//! What would change a connection for others (its database, name or user) is an option of the connection, not
//! a command.

use std::time::Duration;

use redwire_core::{Arg, Cmd, Reply, Run, facts};

use super::keys::time::millis;

mod clients;

pub use clients::{ClientFilter, ClientInfo, ClientKind, ClientList, TrackingInfo};

/// Connections and clients.
pub trait ConnectionCommands: Run {
    /// Ends when the server has answered. [PING](https://redis.io/docs/latest/commands/ping/)
    fn ping(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::PING))
    }

    /// The message, back from the server. [ECHO](https://redis.io/docs/latest/commands/echo/)
    fn echo<V: Reply>(self, message: impl Arg) -> Self::Out<V> {
        self.run(Cmd::of(&facts::ECHO).required(message))
    }

    /// The server's number for the connection that asks. [CLIENT
    /// ID](https://redis.io/docs/latest/commands/client-id/)
    fn client_id(self) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::CLIENT_ID))
    }

    /// What the server knows about the connection that asks.
    /// [CLIENT INFO](https://redis.io/docs/latest/commands/client-info/)
    fn client_info(self) -> Self::Out<ClientInfo> {
        self.run(Cmd::of(&facts::CLIENT_INFO))
    }

    /// What the server knows about these clients. [CLIENT
    /// LIST](https://redis.io/docs/latest/commands/client-list/)
    fn client_list(self, filter: ClientFilter) -> Self::Out<ClientList> {
        self.run(Cmd::of(&facts::CLIENT_LIST).arg(filter))
    }

    /// What the connection that asks has said about client-side caching: a client of this library keeps its
    /// own on connections apart. O(1), since Redis 6.2.
    /// [CLIENT TRACKINGINFO](https://redis.io/docs/latest/commands/client-trackinginfo/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let info = client.client_trackinginfo()?;
    /// assert_eq!(info.flags, ["off"]);
    /// # Ok(()) }
    /// ```
    fn client_trackinginfo(self) -> Self::Out<TrackingInfo> {
        self.run(Cmd::of(&facts::CLIENT_TRACKINGINFO))
    }

    /// To which connection the server tells of keys that changed: 0 for this one itself, -1 for none. O(1),
    /// since Redis 6.0. [CLIENT GETREDIR](https://redis.io/docs/latest/commands/client-getredir/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// assert_eq!(client.client_getredir()?, -1);
    /// # Ok(()) }
    /// ```
    fn client_getredir(self) -> Self::Out<i64> {
        self.run(Cmd::of(&facts::CLIENT_GETREDIR))
    }

    /// The name of the connection that asks, if it has one.
    /// [CLIENT GETNAME](https://redis.io/docs/latest/commands/client-getname/)
    fn client_getname(self) -> Self::Out<Option<String>> {
        self.run(Cmd::of(&facts::CLIENT_GETNAME))
    }

    /// Ends the connections of these clients and gives their number; an empty filter is refused by servers.
    /// [CLIENT KILL](https://redis.io/docs/latest/commands/client-kill/)
    fn client_kill(self, filter: ClientFilter) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::CLIENT_KILL).arg(filter))
    }

    /// Lets all clients' commands wait for so long. [CLIENT
    /// PAUSE](https://redis.io/docs/latest/commands/client-pause/)
    fn client_pause(self, pause: Duration) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLIENT_PAUSE).arg(millis(pause)).arg("ALL"))
    }

    /// Lets all clients' commands that write wait for so long.
    /// [CLIENT PAUSE](https://redis.io/docs/latest/commands/client-pause/)
    fn client_pause_writes(self, pause: Duration) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLIENT_PAUSE).arg(millis(pause)).arg("WRITE"))
    }

    /// Ends a pause. [CLIENT UNPAUSE](https://redis.io/docs/latest/commands/client-unpause/)
    fn client_unpause(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::CLIENT_UNPAUSE))
    }

    /// Ends the waiting of a client in a command such as BLPOP, as if its time were over; whether it was
    /// waiting. [CLIENT UNBLOCK](https://redis.io/docs/latest/commands/client-unblock/)
    fn client_unblock(self, id: u64) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::CLIENT_UNBLOCK).arg(id))
    }

    /// As [`client_unblock`](Self::client_unblock), with an error for that client (`UNBLOCKED`).
    /// [CLIENT UNBLOCK](https://redis.io/docs/latest/commands/client-unblock/)
    fn client_unblock_with_error(self, id: u64) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::CLIENT_UNBLOCK).arg(id).arg("ERROR"))
    }
}

impl<T: Run> ConnectionCommands for T {}
