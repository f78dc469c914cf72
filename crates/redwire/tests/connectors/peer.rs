//! A server in memory for both drivers, which can also be of no use. Nothing here checks anything.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use redwire::config::{Config, ConfigBuilder, Endpoint};
use redwire::{blocking, connector};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};

use crate::common::runtime;
use crate::in_memory::{Peer, take};

/// How the server, or the way to it, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// It reads, and says nothing.
    Silent,
    /// It reads nothing.
    Deaf,
    Refuses,
    /// Connecting does not end.
    Hangs,
    /// The connector panics.
    Panics,
    /// The stream panics when it is read.
    Broken,
}

#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Inner>);

struct Inner {
    peer: Peer,
    mood: Mutex<Mood>,
    asked: Mutex<Vec<String>>,
    hang_up: Mutex<Vec<Box<dyn Fn() + Send>>>,
    open: AtomicUsize,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("mood", &self.mood).finish_non_exhaustive()
    }
}

/// Counts the clients that are served.
struct Served(Arc<Inner>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            peer: Peer::default(),
            mood: Mutex::new(Mood::Well),
            asked: Mutex::default(),
            hang_up: Mutex::default(),
            open: AtomicUsize::new(0),
        }))
    }

    /// The way to it, for both drivers.
    pub(crate) fn options(&self) -> ConfigBuilder {
        let (own, other) = (self.clone(), self.clone());
        let connector = connector::Connector::from_fn(move |endpoint| own.clone().connect(endpoint));
        let blocking = blocking::connector::Connector::from_fn(move |endpoint: &Endpoint, _| {
            other.connect_blocking(endpoint)
        });
        Config::builder().host("memory").connector(connector).blocking_connector(blocking)
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
    }

    fn mood(&self) -> Mood {
        *self.0.mood.lock().unwrap()
    }

    /// Where it was asked to connect to.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.asked.lock().unwrap().clone()
    }

    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }

    /// Closes all connections from the side of the server.
    pub(crate) fn hang_up(&self) {
        self.0.hang_up.lock().unwrap().drain(..).for_each(|hang_up| hang_up());
    }

    fn enter(&self, endpoint: &Endpoint) -> io::Result<Served> {
        self.0.asked.lock().unwrap().push(endpoint.to_string());
        match self.mood() {
            Mood::Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
            Mood::Panics => panic!("the connector of a test"),
            _ => {}
        }
        self.0.open.fetch_add(1, Ordering::SeqCst);
        Ok(Served(Arc::clone(&self.0)))
    }

    async fn connect(self, endpoint: Endpoint) -> io::Result<Box<dyn Both>> {
        let served = self.enter(&endpoint)?;
        match self.mood() {
            Mood::Hangs => std::future::pending().await,
            Mood::Broken => return Ok(Box::new(Broken)),
            _ => {}
        }
        let (near, far) = tokio::io::duplex(64 * 1024);
        let task = runtime().spawn(self.clone().serve(far, served));
        let task = task.abort_handle();
        self.0.hang_up.lock().unwrap().push(Box::new(move || task.abort()));
        // One that must be flushed.
        Ok(Box::new(BufStream::new(near)))
    }

    async fn serve(self, far: tokio::io::DuplexStream, served: Served) -> io::Result<()> {
        let _served = served;
        let (mut far, mut bytes) = (far, Vec::new());
        loop {
            if self.mood() == Mood::Deaf {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
            if far.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
            far.write_all(self.answer(&mut bytes).as_bytes()).await?;
        }
    }

    fn connect_blocking(&self, endpoint: &Endpoint) -> io::Result<Pipe> {
        let served = self.enter(endpoint)?;
        while self.mood() == Mood::Hangs {
            thread::sleep(Duration::from_millis(1));
        }
        let (up, down) = (Arc::<Way>::default(), Arc::<Way>::default());
        let broken = self.mood() == Mood::Broken;
        let near = Pipe { from: Arc::clone(&down), to: Arc::clone(&up), broken };
        let far = Pipe { from: Arc::clone(&up), to: Arc::clone(&down), broken: false };
        let own = self.clone();
        self.0.hang_up.lock().unwrap().push(Box::new(move || {
            up.close();
            down.close();
        }));
        thread::spawn(move || {
            let _served = served;
            own.serve_blocking(&far)
        });
        Ok(near)
    }

    fn serve_blocking(&self, far: &Pipe) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if self.mood() == Mood::Deaf && !far.from.is_closed() {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            match blocking::connector::Stream::read(far, &mut buffer, None)? {
                0 => return Ok(()),
                read => bytes.extend_from_slice(&buffer[..read]),
            }
            let answer = self.answer(&mut bytes);
            let mut rest = answer.as_bytes();
            while !rest.is_empty() {
                rest = &rest[blocking::connector::Stream::write(far, rest, None)?..];
            }
        }
    }

    /// What it says to the commands in `bytes`. Clients that wait at it wait for ever.
    fn answer(&self, bytes: &mut Vec<u8>) -> String {
        let commands = std::iter::from_fn(|| take(bytes));
        let waits = |words: &Vec<String>| words[0] == "BLPOP" || self.mood() == Mood::Silent;
        commands.filter(|words| !waits(words)).map(|words| self.0.peer.answer(&words)).collect()
    }
}

/// What a connector of several kinds of streams returns.
pub(crate) trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Both for S {}

/// A stream that panics.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        panic!("the stream of a test")
    }
}

impl AsyncWrite for Broken {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

/// One end of a connection in memory, for threads.
pub(crate) struct Pipe {
    from: Arc<Way>,
    to: Arc<Way>,
    broken: bool,
}

/// Bytes on their way, and whether no more will come.
#[derive(Default)]
struct Way {
    state: Mutex<(VecDeque<u8>, bool)>,
    changed: Condvar,
}

impl Way {
    fn close(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    fn is_closed(&self) -> bool {
        self.state.lock().unwrap().1
    }

    /// Waits until `work` gives something, or `limit` has passed.
    fn wait<T>(
        &self,
        limit: Option<Duration>,
        mut work: impl FnMut(&mut VecDeque<u8>, bool) -> Option<io::Result<T>>,
    ) -> io::Result<T> {
        let begun = Instant::now();
        let mut state = self.state.lock().unwrap();
        loop {
            let (bytes, closed) = &mut *state;
            if let Some(done) = work(bytes, *closed) {
                self.changed.notify_all();
                return done;
            }
            let left = limit.map_or(Duration::from_secs(60), |limit| limit.saturating_sub(begun.elapsed()));
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl blocking::connector::Stream for Pipe {
    fn read(&self, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<usize> {
        assert!(!self.broken, "the stream of a test");
        self.from.wait(limit, |bytes, closed| match io::Read::read(bytes, buffer) {
            Ok(0) if !closed => None,
            read => Some(read),
        })
    }

    fn write(&self, bytes: &[u8], limit: Option<Duration>) -> io::Result<usize> {
        self.to.wait(limit, |way, closed| {
            let room = (64 * 1024_usize).saturating_sub(way.len()).min(bytes.len());
            match (closed, room) {
                (true, _) => Some(Err(io::ErrorKind::BrokenPipe.into())),
                (_, 0) => None,
                (_, room) => {
                    way.extend(&bytes[..room]);
                    Some(Ok(room))
                }
            }
        })
    }

    fn shutdown(&self) {
        self.from.close();
        self.to.close();
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        blocking::connector::Stream::shutdown(self);
    }
}
