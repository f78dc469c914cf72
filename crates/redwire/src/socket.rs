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
