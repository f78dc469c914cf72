//! The client's end of a simulated connection, and the connector that makes it.
//!
//! This file must not know what happens on the way.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use redwire::config::{Config, Endpoint};
use redwire::connector::Connector;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::{ConnectionId, Phase};
use crate::scenario::Scenario;
use crate::world::World;

/// What a connection of the client's reads from and writes to.
#[derive(Debug)]
pub(crate) struct Stream {
    world: Arc<World>,
    id: ConnectionId,
}

/// The configuration of a client whose connections all lead into the world.
pub(crate) fn config(world: &Arc<World>, scenario: &Scenario) -> redwire::Result<Config> {
    let mut config = scenario.config().connector(connector(world));
    if scenario.options.has_password {
        config = config.credential_provider(world.credentials.clone());
    }
    Ok(config.build()?)
}

fn connector(world: &Arc<World>) -> Connector {
    let world = Arc::clone(world);
    Connector::from_fn(move |endpoint| connect(Arc::clone(&world), endpoint))
}

async fn connect(world: Arc<World>, endpoint: Endpoint) -> io::Result<Stream> {
    let id = world.with(|state, now| {
        let Endpoint::Tcp(address) = &endpoint else { return None };
        let server = state.server_at(&address.host, address.port)?;
        Some(state.connect(server, now))
    });
    let id = id.ok_or_else(refused)?;
    let stream = Stream { world, id };
    poll_fn(|cx| {
        stream.world.with(|state, _| {
            let Some(connection) = state.connections.get_mut(&id) else { return Poll::Ready(Err(refused())) };
            match connection.phase {
                Phase::Open => Poll::Ready(Ok(())),
                Phase::Refused => Poll::Ready(Err(refused())),
                Phase::Connecting => {
                    connection.wakers.connect = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    })
    .await?;
    Ok(stream)
}

fn refused() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let id = self.id;
        self.world.with(|state, now| {
            let Some(connection) = state.connections.get_mut(&id) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let read = connection.poll_read(buffer, cx.waker());
            if matches!(read, Poll::Ready(Ok(()))) {
                state.pump(id, now);
            }
            read
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let id = self.id;
        self.world.with(|state, now| {
            let way = state.way;
            let Some(connection) = state.connections.get_mut(&id) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let room = connection.up.room(&way).min(bytes.len());
            let written = connection.poll_write(room, cx.waker());
            if let Poll::Ready(Ok(taken)) = written {
                state.write(id, &bytes[..taken], now);
            }
            written
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.world.with(|state, now| state.close(self.id, now));
    }
}
