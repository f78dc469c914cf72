//! Options of a TCP socket, the same for both drivers. It must not know how the socket was connected.

use std::io;

use redwire_core::config::Config;
use socket2::{SockRef, TcpKeepalive};

/// Sets what `config` asks for on a connected TCP socket.
pub(crate) fn configure(socket: SockRef<'_>, config: &Config) -> io::Result<()> {
    socket.set_tcp_nodelay(config.nodelay())?;
    if let Some(probes) = config.keepalive() {
        let keepalive = TcpKeepalive::new().with_time(probes.idle);
        #[cfg(not(target_os = "openbsd"))]
        let keepalive = keepalive.with_interval(probes.interval).with_retries(probes.count);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(limit) = config.tcp_user_timeout() {
        socket.set_tcp_user_timeout(Some(limit))?;
    }
    Ok(())
}

/// How many bytes wait at a non-blocking socket, one at most; `Ok(0)`: the peer has closed it.
#[cfg(feature = "tokio")]
pub(crate) fn peek<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<usize> {
    socket.into().peek(&mut [std::mem::MaybeUninit::uninit()])
}

/// As [`peek`], at a socket that is not non-blocking: `WouldBlock` where nothing waits.
///
/// The socket stays as it is: were it made non-blocking for the look, a thread that writes to it meanwhile
/// would fail.
#[cfg(unix)]
pub(crate) fn peek_at_once<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<usize> {
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    socket.into().recv_with_flags(&mut [std::mem::MaybeUninit::uninit()], flags)
}

/// As [`peek`], at a socket that is not non-blocking: `WouldBlock` where nothing waits.
#[cfg(not(unix))]
pub(crate) fn peek_at_once<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<usize> {
    let socket = socket.into();
    socket.set_nonblocking(true)?;
    let peeked = socket.peek(&mut [std::mem::MaybeUninit::uninit()]);
    socket.set_nonblocking(false)?;
    peeked
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    /// FAULTS 9: a peer that is gone without a trace is noticed by the kernel, too.
    #[test]
    fn the_kernel_watches_the_peer_as_told() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url =
            "redis://localhost?keepalive_idle=7s&keepalive_interval=2s&keepalive_count=4&tcp_user_timeout=9s";
        for (url, keepalive, user_timeout) in
            [(url, true, 9), ("redis://localhost?keepalive=false&tcp_user_timeout=0", false, 0)]
        {
            let stream = TcpStream::connect(listener.local_addr()?)?;
            configure(SockRef::from(&stream), &Config::from_url(url).map_err(io::Error::other)?)?;
            let socket = SockRef::from(&stream);
            assert!(socket.tcp_nodelay()?);
            assert_eq!(socket.keepalive()?, keepalive, "{url}");
            if keepalive {
                assert_eq!(socket.tcp_keepalive_time()?, Duration::from_secs(7));
                assert_eq!(
                    (socket.tcp_keepalive_interval()?, socket.tcp_keepalive_retries()?),
                    (Duration::from_secs(2), 4)
                );
            }
            assert_eq!(
                socket.tcp_user_timeout()?.unwrap_or_default(),
                Duration::from_secs(user_timeout),
                "{url}"
            );
        }
        Ok(())
    }
}
