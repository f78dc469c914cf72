//! Waiting on sockets in a way that another thread can end.
//!
//! The threads of the fake server, of the proxy and of the TLS front wait for a socket or for time, and never
//! in a call that only their peer could end. The sockets are non-blocking; what they carry is not known here.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::Socket;

/// A switch that, once thrown, ends all waiting on it, present and to come.
#[derive(Debug)]
pub(crate) struct Halt {
    /// Shutting down this end makes `watched` readable for good.
    switch: UnixStream,
    watched: UnixStream,
}

impl Halt {
    pub(crate) fn new() -> io::Result<Self> {
        let (switch, watched) = UnixStream::pair()?;
        Ok(Self { switch, watched })
    }

    pub(crate) fn throw(&self) {
        // It only fails if it has been done before.
        let _ = self.switch.shutdown(Shutdown::Both);
    }

    /// Waits this long. False if the switch was thrown.
    pub(crate) fn sleep(&self, duration: Duration) -> bool {
        duration.is_zero()
            || matches!(self.wait(&[], Some(duration)), Err(error) if error.kind() == ErrorKind::TimedOut)
    }

    /// Accepts a connection; `Interrupted` means that the switch was thrown, here and below.
    pub(crate) fn accept(&self, listener: &Socket) -> io::Result<Socket> {
        let socket = self.retry(listener, PollFlags::IN, || listener.accept())?.0;
        socket.set_nonblocking(true)?;
        // A Unix socket has no such option.
        let _ = socket.set_tcp_nodelay(true);
        Ok(socket)
    }

    /// Reads what has come; 0 at the end of the stream.
    pub(crate) fn read(&self, mut socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
        self.retry(socket, PollFlags::IN, || socket.read(buffer))
    }

    pub(crate) fn write_all(&self, mut socket: &Socket, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = self.retry(socket, PollFlags::OUT, || socket.write(bytes))?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Reads to the end of the stream, for nothing: a socket closed with unread bytes would send a reset.
    pub(crate) fn drain(&self, socket: &Socket) {
        let mut buffer = vec![0; 16 * 1024];
        while matches!(self.read(socket, &mut buffer), Ok(1..)) {}
    }

    fn retry<T>(
        &self,
        socket: &Socket,
        ready: PollFlags,
        mut act: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            self.wait(&[(socket, ready)], None)?;
            match act() {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                result => return result,
            }
        }
    }

    /// Ok when one of the sockets is ready, `TimedOut` after `limit`, `Interrupted` once the switch was
    /// thrown.
    pub(crate) fn wait(&self, sockets: &[(&Socket, PollFlags)], limit: Option<Duration>) -> io::Result<()> {
        let end = limit.map(|limit| Instant::now() + limit);
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let left = left
                .map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
            let mut fds = vec![PollFd::new(&self.watched, PollFlags::IN)];
            fds.extend(sockets.iter().map(|&(socket, ready)| PollFd::new(socket, ready)));
            match poll(&mut fds, left.as_ref()) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(0) => return Err(ErrorKind::TimedOut.into()),
                Ok(_) if fds[0].revents().is_empty() => return Ok(()),
                Ok(_) => return Err(ErrorKind::Interrupted.into()),
            }
        }
    }
}
