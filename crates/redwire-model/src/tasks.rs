//! A connection in memory for tasks, by the clock of their runtime.
//!
//! No task serves it: whoever reads also looks after the server's timeouts, so that a runtime with a paused
//! clock goes on to the next one. This file must not know the protocol.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{ClientId, Host};

/// A connection to a [`Host`] in the same process, for tasks. Dropping it hangs up.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> std::io::Result<()> {
/// use redwire_model::{Host, Options};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// let mut stream = Host::by_runtime(Options::new()).connect_task();
/// stream.write_all(b"BLPOP k 3600\r\n").await?;
/// let mut reply = [0; 5];
/// // An hour of the paused clock passes in no time.
/// stream.read_exact(&mut reply).await?;
/// assert_eq!(&reply, b"*-1\r\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TaskStream {
    host: Host,
    id: ClientId,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Host {
    /// A connection for tasks. A connector of the async client returns one.
    #[must_use]
    pub fn connect_task(&self) -> TaskStream {
        TaskStream { host: self.clone(), id: self.admit(None), sleep: None }
    }
}

impl TaskStream {
    /// The server's name for this connection.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// Waits for the server's next timeout; `true` if it has come.
    fn poll_timeout(&mut self, cx: &mut Context<'_>, left: Option<std::time::Duration>) -> bool {
        let Some(left) = left else {
            self.sleep = None;
            return false;
        };
        let until = Instant::now() + left;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx).is_ready()
    }
}

impl AsyncRead for TaskStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let host = this.host.clone();
        let mut inner = host.lock();
        loop {
            if let Some(count) = inner.take_output(this.id, buffer.initialize_unfilled()) {
                buffer.advance(count);
                return Poll::Ready(Ok(()));
            }
            let left = inner.until_timeout();
            if !this.poll_timeout(cx, left) {
                inner.wakers.insert(this.id, cx.waker().clone());
                return Poll::Pending;
            }
            host.handle_timeout(&mut inner);
        }
    }
}

impl AsyncWrite for TaskStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.host.receive(self.id, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.host.disconnect(self.id);
        Poll::Ready(Ok(()))
    }
}

impl Drop for TaskStream {
    fn drop(&mut self) {
        self.host.disconnect(self.id);
    }
}
