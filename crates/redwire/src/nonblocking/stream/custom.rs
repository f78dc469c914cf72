//! A stream that a user's connector made, reading and writing apart.
//!
//! Only the task that drives the connection reads and writes, since such a stream wakes the last task that
//! asked, and no other: callers that find it alone wake that task in place of writing themselves. A stream
//! cannot be looked at without reading, so what that finds is kept for the next read. What was written is
//! flushed before anything else is written. Code of the user's runs here: its panic is an error.

use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BufMut, BytesMut};
use redwire_core::config::Endpoint;
use redwire_core::{Error, Outcome, Result};
use tokio::io::AsyncReadExt;

use super::READ_AT_ONCE;
use crate::nonblocking::connector::{Connect, Stream};
use crate::shared::lookups::catch_future;
use crate::shared::sync::Mutex;

/// A look at the stream takes this much at most.
const LOOK: usize = 4 * 1024;

/// A user's stream, as both halves have it.
#[derive(Clone, Debug)]
pub(crate) struct Custom(Arc<Mutex<State>>);

pub(crate) struct State {
    /// `None`: it panicked.
    stream: Option<Pin<Box<dyn Stream>>>,
    /// What a look at the stream brought.
    ahead: BytesMut,
    /// The task that reads, once it has found nothing: a look from another one must not keep it from being
    /// woken.
    reader: Option<Waker>,
    /// Whether something was written that was not flushed.
    unflushed: bool,
    /// How much of the front of the outbox was written, but not flushed.
    held: usize,
}

/// What `connect` gives for `endpoint`.
pub(super) async fn connect(connect: &dyn Connect, endpoint: &Endpoint) -> Result<Custom> {
    let asked = async {
        connect.connect(endpoint).await.map_err(|error| match error.downcast::<Error>() {
            Ok(error) => error.with_outcome(Outcome::NotSent),
            Err(error) => Error::from_io("connecting by the connector", Outcome::NotSent, error),
        })
    };
    let stream = catch_future("the connector", asked).await?;
    let state = State {
        stream: Some(Box::into_pin(stream)),
        ahead: BytesMut::new(),
        reader: None,
        unflushed: false,
        held: 0,
    };
    Ok(Custom(Arc::new(Mutex::new(state))))
}

impl State {
    /// Lets the stream do `work`.
    fn poll<T>(
        &mut self,
        work: impl FnOnce(Pin<&mut dyn Stream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Err(panicked())) };
        catch_unwind(AssertUnwindSafe(|| work(stream.as_mut()))).unwrap_or_else(|_| {
            self.stream = None;
            Poll::Ready(Err(panicked()))
        })
    }

    /// Appends some bytes to `buffer`.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut impl BufMut) -> Poll<io::Result<usize>> {
        // The peer may wait for what was not flushed.
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        self.poll(|mut stream| pin!(stream.read_buf(buffer)).poll(cx))
    }

    /// How many bytes are there to be read, which are kept for the task that reads; and that task, if it is
    /// to be woken.
    fn peek(&mut self) -> (io::Result<usize>, Option<Waker>) {
        if !self.ahead.is_empty() {
            return (Ok(self.ahead.len()), None);
        }
        let mut ahead = BytesMut::with_capacity(LOOK);
        let waker = self.reader.clone().unwrap_or_else(|| Waker::noop().clone());
        let looked = self.poll_read(&mut Context::from_waker(&waker), &mut ahead);
        self.ahead = ahead;
        match looked {
            Poll::Ready(read) => (read, Some(waker)),
            Poll::Pending => (Err(io::ErrorKind::WouldBlock.into()), None),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(self.poll(|stream| stream.poll_flush(cx)))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl Custom {
    /// How many bytes are there to be read; `Ok(0)`: the peer has closed it.
    pub(super) fn peek(&self) -> io::Result<usize> {
        let (looked, reader) = self.0.lock().peek();
        // The stream wakes it for that no more.
        reader.into_iter().for_each(Waker::wake);
        looked
    }

    /// Appends some bytes to `buffer`, without waiting where a look at the stream brought some.
    #[cold]
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut impl BufMut,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if state.ahead.is_empty() {
            let read = state.poll_read(cx, &mut buffer.limit(READ_AT_ONCE));
            if read.is_pending() && !state.reader.as_ref().is_some_and(|own| own.will_wake(cx.waker())) {
                state.reader = Some(cx.waker().clone());
            }
            return read;
        }
        let taken = state.ahead.len().min(buffer.remaining_mut());
        buffer.put_slice(&state.ahead[..taken]);
        state.ahead.advance(taken);
        Poll::Ready(Ok(taken))
    }

    /// Writes some of `slices`; says how much.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        let written = ready!(state.poll(|stream| stream.poll_write_vectored(cx, slices)))?;
        state.unflushed = true;
        match written {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => Poll::Ready(Ok(written)),
        }
    }

    /// The front of the outbox, `written` of it, stays there until it is flushed: so its owner goes on
    /// asking.
    pub(super) fn hold(&self, written: usize) {
        self.0.lock().held += written;
    }

    /// Flushes what was written; says how much of the front of the outbox that was.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        ready!(state.poll_flush(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut state.held)))
    }
}

#[cold]
fn panicked() -> io::Error {
    io::Error::other("the connector's stream panicked")
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("held", &self.held).finish_non_exhaustive()
    }
}
