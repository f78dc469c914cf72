//! The limit of connecting: a socket, AUTH and PING in one write, the bytes of two replies. By TLS the
//! same on rustls, and nothing between. It sees to it that the server resumes sessions where that is
//! measured.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::plan::request;
use crate::Fallible;
use crate::clients::{BlockingVisit, Door, Visit};
use crate::data::PASSWORD;
use crate::workload::Security;

const REPLY: &[u8; 12] = b"+OK\r\n+PONG\r\n";

/// What all visits share.
struct Plan {
    addr: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    request: Vec<u8>,
    /// Whether the session before can be resumed.
    resumes: bool,
    visited: AtomicBool,
}

impl Plan {
    fn new(door: &Door) -> Fallible<Self> {
        let host = door.addr.split(':').next().unwrap_or_default().to_owned();
        let name = ServerName::try_from(host)?;
        let request = [request(&[b"AUTH", PASSWORD.as_bytes()]), request(&[b"PING"])].concat();
        let (resumes, visited) = (door.security == Security::Resumed, AtomicBool::new(false));
        Ok(Self {
            addr: door.addr.clone(),
            tls: door.rustls()?.map(|config| (config, name)),
            request,
            resumes,
            visited,
        })
    }

    /// Checks the replies, and that each handshake was what it was to be.
    fn check(&self, reply: &[u8], handshake: Option<HandshakeKind>) -> Fallible<()> {
        if reply != REPLY {
            return Err(format!("AUTH and PING answered {:?}", String::from_utf8_lossy(reply)).into());
        }
        let resumed = handshake == Some(HandshakeKind::Resumed);
        // There is nothing to resume the first time.
        let expected = self.visited.swap(true, Relaxed) && self.resumes;
        if resumed == expected { Ok(()) } else { Err(format!("the handshake was {handshake:?}").into()) }
    }
}

/// On tokio.
pub struct Async(Plan);

/// On the calling thread.
pub struct Blocking(Plan);

impl Visit for Async {
    fn prepare(door: &Door) -> Fallible<Self> {
        Ok(Self(Plan::new(door)?))
    }

    async fn visit(&self) -> Fallible<()> {
        let mut server = tokio::net::TcpStream::connect(&self.0.addr).await?;
        server.set_nodelay(true)?;
        let Some((config, name)) = &self.0.tls else {
            return self.0.check(&ask(&mut server, &self.0.request).await?, None);
        };
        let mut server = TlsConnector::from(Arc::clone(config)).connect(name.clone(), server).await?;
        let reply = ask(&mut server, &self.0.request).await?;
        self.0.check(&reply, server.get_ref().1.handshake_kind())
    }
}

async fn ask(
    server: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
) -> Fallible<[u8; REPLY.len()]> {
    let mut reply = [0; REPLY.len()];
    server.write_all(request).await?;
    server.flush().await?;
    server.read_exact(&mut reply).await?;
    Ok(reply)
}

impl BlockingVisit for Blocking {
    fn prepare(door: &Door) -> Fallible<Self> {
        Ok(Self(Plan::new(door)?))
    }

    fn visit(&self) -> Fallible<()> {
        let mut reply = [0; REPLY.len()];
        let mut server = TcpStream::connect(&self.0.addr)?;
        server.set_nodelay(true)?;
        let Some((config, name)) = &self.0.tls else {
            server.write_all(&self.0.request)?;
            server.read_exact(&mut reply)?;
            return self.0.check(&reply, None);
        };
        let session = ClientConnection::new(Arc::clone(config), name.clone())?;
        let mut server = StreamOwned::new(session, server);
        server.write_all(&self.0.request)?;
        server.read_exact(&mut reply)?;
        self.0.check(&reply, server.conn.handshake_kind())
    }
}
