//! One connection of the simulated network, as both of its ends see it.
//!
//! This file must not know what a server is, nor when anything happens.

use std::io;
use std::task::{Poll, Waker};

use redwire_model::ClientId;
use tokio::io::ReadBuf;

use crate::link::{End, Link};

/// Names a connection: the order in which they were asked for.
pub(crate) type ConnectionId = u64;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    Open,
    Refused,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) server: usize,
    pub(crate) phase: Phase,
    /// From the client to the server.
    pub(crate) up: Link,
    /// From the server to the client.
    pub(crate) down: Link,
    /// Whom the server takes it for, from its accepting on to its end.
    pub(crate) client: Option<ClientId>,
    /// How many bytes have arrived at a server that does not read.
    pub(crate) unread: usize,
    /// The client has left it; what it sent before may still be on its way.
    pub(crate) is_dropped: bool,
    /// What has arrived at the client.
    inbox: Vec<u8>,
    end: Option<End>,
    pub(crate) wakers: Wakers,
}

/// The tasks of the client that wait for a connection.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    pub(crate) connect: Option<Waker>,
    pub(crate) read: Option<Waker>,
    pub(crate) write: Option<Waker>,
}

impl Connection {
    pub(crate) fn new(server: usize) -> Self {
        Self {
            server,
            phase: Phase::Connecting,
            up: Link::default(),
            down: Link::default(),
            client: None,
            unread: 0,
            is_dropped: false,
            inbox: Vec::new(),
            end: None,
            wakers: Wakers::default(),
        }
    }

    /// Bytes have arrived at the client.
    pub(crate) fn handle_arrived(&mut self, bytes: &[u8]) -> Option<Waker> {
        if self.end.is_none() {
            self.inbox.extend(bytes);
        }
        self.wakers.read.take()
    }

    /// The client hears that the connection has ended.
    pub(crate) fn handle_end(&mut self, end: End) -> [Option<Waker>; 2] {
        // A connection that was closed can still be broken off.
        if self.end.is_none_or(|known| known == End::Closed) {
            self.end = Some(end);
        }
        [self.wakers.read.take(), self.wakers.write.take()]
    }

    /// Puts as much of what has arrived into `buffer` as it has room for.
    pub(crate) fn poll_read(&mut self, buffer: &mut ReadBuf<'_>, waker: &Waker) -> Poll<io::Result<()>> {
        if !self.inbox.is_empty() {
            let taken = buffer.remaining().min(self.inbox.len());
            buffer.put_slice(&self.inbox[..taken]);
            self.inbox.drain(..taken);
            self.down.handle_taken(taken);
            return Poll::Ready(Ok(()));
        }
        match self.end {
            Some(End::Closed) => Poll::Ready(Ok(())),
            Some(End::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => {
                self.wakers.read = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// How many bytes the client may write now.
    pub(crate) fn poll_write(&mut self, room: usize, waker: &Waker) -> Poll<io::Result<usize>> {
        if self.end == Some(End::Reset) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if room == 0 {
            self.wakers.write = Some(waker.clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(room))
    }
}
