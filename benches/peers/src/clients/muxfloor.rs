//! The floor for sharing a connection: the least code that lets tasks on tokio share one and hands
//! each its reply, with one allocation per request, the value. It is no client: it knows only GET of
//! an existing key, ends with the process, and a call must not be dropped half-way.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Runners, SharedGet};
use crate::child::crowd;
use crate::{Fallible, share};

/// GETs by tasks, and nothing else.
pub const RUNNERS: Runners =
    Runners { tasks: Some(crowd::tasks::<Async>), cluster: Some(crowd::tasks::<Cluster>), ..Runners::NONE };

/// One connection, driven by a task of its own.
#[derive(Clone)]
pub struct Async(Arc<Mutex<State>>);

/// What callers and driver share.
#[derive(Default)]
struct State {
    /// Requests not yet taken by the driver.
    out: Vec<u8>,
    /// Slots in the order of their requests.
    waiting: VecDeque<usize>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Present while the driver has nothing to write.
    driver: Option<Waker>,
}

/// Where a caller's reply arrives.
enum Slot {
    Waiting(Waker),
    Ready(Vec<u8>),
    Free,
}

impl SharedGet for Async {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let shared = Self(Arc::default());
        let mut driver = Driver::new(stream, shared.clone());
        tokio::spawn(async move { poll_fn(|cx| driver.poll(cx)).await });
        Ok(shared)
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        let mut mine = None;
        Ok(poll_fn(|cx| match mine {
            Some(slot) => self.poll_reply(slot, cx),
            None => {
                mine = Some(self.request(key, cx));
                Poll::Pending
            }
        })
        .await)
    }
}

/// A connection to each node of a cluster, which share out the slots evenly and never change that.
#[derive(Clone)]
pub struct Cluster(Vec<Async>);

impl SharedGet for Cluster {
    type Bytes = Vec<u8>;

    async fn connect(addr: &str) -> Fallible<Self> {
        let mut nodes = Vec::new();
        for addr in addr.split(',') {
            nodes.push(Async::connect(addr).await?);
        }
        Ok(Self(nodes))
    }

    async fn get(&mut self, key: &str) -> Fallible<Vec<u8>> {
        self.0[share::owner(key)].get(key).await
    }
}

impl Async {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no task panics while holding the lock")
    }

    fn request(&self, key: &str, cx: &Context<'_>) -> usize {
        let mut state = self.lock();
        encode_get(&mut state.out, key);
        let slot = state.free.pop().unwrap_or_else(|| {
            state.slots.push(Slot::Free);
            state.slots.len() - 1
        });
        state.slots[slot] = Slot::Waiting(cx.waker().clone());
        state.waiting.push_back(slot);
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        slot
    }

    fn poll_reply(&self, slot: usize, cx: &Context<'_>) -> Poll<Vec<u8>> {
        let mut state = self.lock();
        match std::mem::replace(&mut state.slots[slot], Slot::Free) {
            Slot::Ready(value) => {
                state.free.push(slot);
                Poll::Ready(value)
            }
            _ => {
                state.slots[slot] = Slot::Waiting(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn encode_get(out: &mut Vec<u8>, key: &str) {
    debug_assert!(key.len() < 10, "one digit of length is all the floor writes");
    out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$");
    out.push(b'0' + key.len() as u8);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Moves bytes between the socket and the shared state.
struct Driver {
    stream: TcpStream,
    shared: Async,
    writing: Vec<u8>,
    written: usize,
    reading: Vec<u8>,
    filled: usize,
    wakers: Vec<Waker>,
}

impl Driver {
    fn new(stream: TcpStream, shared: Async) -> Self {
        let (writing, wakers) = (Vec::new(), Vec::new());
        Self { stream, shared, writing, written: 0, reading: vec![0; 256 << 10], filled: 0, wakers }
    }

    /// Writes and reads as long as the socket lets it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let written = self.poll_write(cx)?;
            let read = self.poll_read(cx)?;
            if written.is_pending() && read.is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.written == self.writing.len() {
            self.writing.clear();
            self.written = 0;
            let mut state = self.shared.lock();
            std::mem::swap(&mut state.out, &mut self.writing);
            if self.writing.is_empty() {
                state.driver = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        self.written += ready!(Pin::new(&mut self.stream).poll_write(cx, &self.writing[self.written..]))?;
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = ReadBuf::new(&mut self.reading[self.filled..]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
        let n = space.filled().len();
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.filled += n;
        self.deliver();
        Poll::Ready(Ok(()))
    }

    /// Hands out the whole replies in the buffer under one lock, then wakes.
    fn deliver(&mut self) {
        let mut used = 0;
        let mut state = self.shared.lock();
        while let Some((value, len)) = first_bulk(&self.reading[used..self.filled]) {
            let slot = state.waiting.pop_front().expect("the server answers only requests");
            if let Slot::Waiting(waker) =
                std::mem::replace(&mut state.slots[slot], Slot::Ready(value.to_vec()))
            {
                self.wakers.push(waker);
            }
            used += len;
        }
        drop(state);
        self.reading.copy_within(used..self.filled, 0);
        self.filled -= used;
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

/// The bulk string at the start of `buffer`, if it is all there, and the length of its frame.
fn first_bulk(buffer: &[u8]) -> Option<(&[u8], usize)> {
    let line = buffer.iter().position(|&byte| byte == b'\r')?;
    let digits = buffer[..line].strip_prefix(b"$").expect("GET of an existing key answers a bulk string");
    let len = digits.iter().fold(0, |len, digit| len * 10 + usize::from(digit - b'0'));
    let start = line + 2;
    Some((buffer.get(start..start + len)?, start + len + 2)).filter(|&(_, end)| end <= buffer.len())
}

#[cfg(test)]
mod tests {
    use super::first_bulk;

    #[test]
    fn a_bulk_is_found_when_all_of_it_is_there() {
        let wire = b"$3\r\nabc\r\n$1";
        assert_eq!(first_bulk(wire), Some((&b"abc"[..], 9)));
        (0..9).for_each(|cut| assert_eq!(first_bulk(&wire[..cut]), None, "{cut}"));
    }
}
