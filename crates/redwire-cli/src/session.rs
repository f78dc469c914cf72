//! One connection of either driver, for one user at a time: what asks a server questions of its own.

use redwire::config::Config;
use redwire::{Cmd, Connection, Reply, Result, Value, blocking};

use crate::connect::apart;

/// A connection by hand.
#[derive(Debug)]
pub(crate) enum Session {
    Tokio(Box<Connection>),
    /// Empty while a call has it on another thread, and for good once such a call was dropped.
    Blocking(Option<Box<blocking::Connection>>),
}

impl Session {
    pub(crate) async fn open(config: Config, blocking: bool) -> Result<Self> {
        if blocking {
            return apart(move || {
                let mut connection = blocking::Connection::new(config)?;
                connection.reconnect()?;
                Ok(Self::Blocking(Some(Box::new(connection))))
            })
            .await;
        }
        let mut connection = Connection::new(config)?;
        connection.reconnect().await?;
        Ok(Self::Tokio(Box::new(connection)))
    }

    pub(crate) async fn call(&mut self, cmd: Cmd<Value>) -> Result<Value> {
        self.ask(cmd).await
    }

    /// As [`call`](Self::call), for a reply of a type.
    pub(crate) async fn ask<R: Reply + Send + 'static>(&mut self, cmd: Cmd<R>) -> Result<R> {
        use redwire::Run;
        match self {
            Self::Tokio(connection) => connection.run(cmd).await,
            Self::Blocking(place) => {
                let Some(mut connection) = place.take() else {
                    return Err(redwire::Error::usage("a call before this one was dropped"));
                };
                let (result, connection) = apart(move || Ok((connection.run(cmd), connection))).await?;
                *place = Some(connection);
                result
            }
        }
    }

    /// What the handshake found out, while it is connected.
    pub(crate) fn facts(&self) -> Option<redwire::Session> {
        match self {
            Self::Tokio(connection) => connection.session().cloned(),
            Self::Blocking(connection) => connection.as_ref()?.session().cloned(),
        }
    }
}
