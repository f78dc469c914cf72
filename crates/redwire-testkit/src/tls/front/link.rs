//! One connection through the TLS front: ciphertext on one socket, plaintext on the other, one thread for
//! both.
//!
//! It stops reading where it can't write, so that neither side's silence makes it take memory, and neither
//! way waits for the other. It doesn't know what the bytes mean.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::PollFlags;
use rustls::{HandshakeKind, ServerConnection};
use socket2::Socket;

use super::Shared;

/// So many plaintext bytes wait for the target before no more are read from the client.
const WAITING: usize = 256 * 1024;

/// Read from the target at once; less than rustls is ready to hold encrypted.
const CHUNK: usize = 32 * 1024;

/// Runs one connection to its end.
pub(super) fn run(shared: &Shared, client: &Socket) {
    if shared.stalled.load(Ordering::SeqCst) {
        return shared.halt.drain(client);
    }
    let Ok(server) = shared.target.connect() else { return };
    let mut tls = ServerConnection::new(shared.config()).expect("the configuration is sound");
    tls.writer().write_all(shared.options.greeting.as_bytes()).expect("rustls holds a few words");
    let mut link = Link {
        shared,
        tls,
        client,
        server: &server,
        to_server: Vec::new(),
        from_client: Stage::Open,
        from_server: Stage::Open,
        ready: false,
    };
    let Err(error) = link.run() else { return };
    match error.kind() {
        ErrorKind::Interrupted => return,
        ErrorKind::InvalidData => link.alert(),
        _ if link.ready => link.reset(),
        _ => {}
    }
    if !link.ready {
        shared.seen().failures.push(error.to_string());
    }
}

struct Link<'a> {
    shared: &'a Shared,
    tls: ServerConnection,
    client: &'a Socket,
    server: &'a Socket,
    to_server: Vec<u8>,
    from_client: Stage,
    from_server: Stage,
    /// The handshake is complete.
    ready: bool,
}

/// How far the stream of one side has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// It has ended; what came before may still be under way to the other side.
    Ended,
    /// The other side was told of the end.
    Told,
}

impl Link<'_> {
    /// Passes bytes on until both streams have ended. `InvalidData` if the client breaks TLS, `Interrupted`
    /// if the front is dropped.
    fn run(&mut self) -> io::Result<()> {
        loop {
            self.send()?;
            if self.from_client == Stage::Told && self.from_server == Stage::Told {
                return Ok(());
            }
            self.wait()?;
            self.receive_from_client()?;
            self.receive_from_server()?;
        }
    }

    /// Writes what the sockets take, and the ends of the streams behind it. That a receiver is gone already
    /// when it is told of an end is no error.
    fn send(&mut self) -> io::Result<()> {
        while self.tls.wants_write() && took(self.tls.write_tls(&mut self.client))?.is_some() {}
        while !self.to_server.is_empty()
            && let Some(n) = took(self.server.write(&self.to_server))?
        {
            self.to_server.drain(..n);
        }
        if self.from_server == Stage::Ended && !self.tls.wants_write() {
            let _ = self.client.shutdown(Shutdown::Write);
            self.from_server = Stage::Told;
        }
        if self.from_client == Stage::Ended && self.to_server.is_empty() {
            let _ = self.server.shutdown(Shutdown::Write);
            self.from_client = Stage::Told;
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        let flags = |read, write| {
            let [read, write] = [(read, PollFlags::IN), (write, PollFlags::OUT)]
                .map(|(wanted, flag)| if wanted { flag } else { PollFlags::empty() });
            read | write
        };
        let sockets = [
            (self.client, flags(self.reads_client(), self.tls.wants_write())),
            (self.server, flags(self.reads_server(), !self.to_server.is_empty())),
        ];
        // A socket waited on for nothing would still report that its peer is gone, again and again.
        let sockets: Vec<_> = sockets.into_iter().filter(|(_, flags)| !flags.is_empty()).collect();
        self.shared.halt.wait(&sockets, None)
    }

    fn reads_client(&self) -> bool {
        self.from_client == Stage::Open && self.to_server.len() < WAITING
    }

    fn reads_server(&self) -> bool {
        self.from_server == Stage::Open && self.ready && !self.tls.wants_write()
    }

    fn receive_from_client(&mut self) -> io::Result<()> {
        if !self.reads_client() {
            return Ok(());
        }
        let Some(n) = took(self.tls.read_tls(&mut self.client))? else { return Ok(()) };
        let state =
            self.tls.process_new_packets().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let begin = self.to_server.len();
        self.to_server.resize(begin + state.plaintext_bytes_to_read(), 0);
        self.tls.reader().read_exact(&mut self.to_server[begin..])?;
        if !self.ready && !self.tls.is_handshaking() {
            self.ready = true;
            self.note_handshake();
        }
        if n == 0 || state.peer_has_closed() {
            if !self.ready {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    "the client ended the stream during the handshake",
                ));
            }
            self.from_client = Stage::Ended;
        }
        Ok(())
    }

    fn receive_from_server(&mut self) -> io::Result<()> {
        if !self.reads_server() {
            return Ok(());
        }
        let mut chunk = [0; CHUNK];
        match took(self.server.read(&mut chunk))? {
            None => {}
            Some(0) => {
                self.tls.send_close_notify();
                self.from_server = Stage::Ended;
            }
            Some(n) => self.tls.writer().write_all(&chunk[..n])?,
        }
        Ok(())
    }

    fn note_handshake(&self) {
        let mut seen = self.shared.seen();
        match self.tls.handshake_kind() {
            Some(HandshakeKind::Resumed) => seen.resumed += 1,
            _ => seen.full += 1,
        }
        seen.client = self.tls.peer_certificates().and_then(<[_]>::first).cloned();
    }

    /// Tells the client what is wrong, and ends its stream in order: a reset could overtake the alert.
    fn alert(&mut self) {
        // If it can't be told it is gone.
        while self.tls.wants_write() && matches!(self.tls.write_tls(&mut self.client), Ok(1..)) {}
        let _ = self.client.shutdown(Shutdown::Write);
        self.shared.halt.drain(self.client);
    }

    /// One side has broken off: so does the front on the other one.
    fn reset(&self) {
        for socket in [self.client, self.server] {
            // A Unix socket has no such thing; what is gone already needs none.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

/// What a read or write came to; none if the socket wasn't ready.
fn took(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        // Not passed on: `Interrupted` means the end of the front here.
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
