//! How a socket comes to be connected: the look-up of the name, and attempts at its addresses, all before a
//! deadline; or by the user's connector.
//!
//! Which address is tried when is decided in `redwire-core`. An attempt that cannot be interrupted runs on a
//! thread of its own, which may outlive the call that started it, but not its deadline: what it brings then
//! is dropped.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use redwire_core::config::{Endpoint, HostPort};
use redwire_core::dial::Dial;
use redwire_core::{Error, Outcome, Result};

use super::{Socket, SystemSocket, custom, left};
use crate::blocking::connector;
use crate::shared::target::Target;
use crate::shared::threads;
use crate::shared::{lookups, socket};

/// Connects to `endpoint` before `deadline`.
pub(super) fn connect(endpoint: &Endpoint, target: &Target, deadline: Instant) -> Result<Socket> {
    if let Some(connector) = connector::of(target.config())? {
        return custom::connect(connector, endpoint, deadline).map(Box::new).map(Socket::Custom);
    }
    match endpoint {
        Endpoint::Tcp(address) => {
            let addresses = resolve(target, address, deadline)?;
            let stream = connect_tcp(addresses, deadline)?;
            socket::configure((&stream).into(), target.config())
                .map_err(|error| Error::from_io("setting socket options", Outcome::NotSent, error))?;
            Ok(Socket::System(SystemSocket::Tcp(stream)))
        }
        #[cfg(unix)]
        Endpoint::Unix(path) => connect_unix(path, deadline)
            .map(|stream| Socket::System(SystemSocket::Unix(stream)))
            .map_err(|error| Error::from_io("connecting", Outcome::NotSent, error)),
        _ => Err(Error::usage(format!("this system has no sockets for the address {endpoint}"))),
    }
}

/// The addresses of the host, looked up anew. An address stands for itself.
fn resolve(target: &Target, address: &HostPort, deadline: Instant) -> Result<Vec<SocketAddr>> {
    if let Some(literal) = lookups::literal(address) {
        return Ok(vec![literal]);
    }
    let found = target.lookups().addresses(address, target.config()).wait(deadline);
    let late =
        || Error::from_io("looking up the host name", Outcome::NotSent, io::ErrorKind::TimedOut.into());
    found.unwrap_or_else(|| Err(late()))
}

/// Tries `addresses` as [`Dial`] says. Each attempt has a thread, unless it is alone and none will follow: as
/// long as a host has one address, there is no thread at all.
fn connect_tcp(addresses: Vec<SocketAddr>, deadline: Instant) -> Result<TcpStream> {
    let mut dial = Dial::new(addresses);
    let (sender, receiver) = mpsc::channel();
    let mut under_way = 0;
    loop {
        let now = threads::now();
        while let Some(address) = dial.poll_start(now) {
            if under_way == 0 && dial.poll_timeout().is_none() {
                match attempt(address, deadline) {
                    Ok(stream) => return Ok(stream),
                    Err(error) => dial.handle_failure(address, error, threads::now()),
                }
            } else {
                let sender = sender.clone();
                let attempt = move || drop(sender.send((address, attempt(address, deadline))));
                match threads::spawn("redwire-connect", attempt) {
                    Ok(_) => under_way += 1,
                    Err(error) => dial.handle_failure(address, error, now),
                }
            }
        }
        if let Some(error) = dial.poll_failed() {
            return Err(error);
        }
        let until = dial.poll_timeout().map_or(deadline, |next| next.min(deadline));
        match receiver.recv_timeout(until.saturating_duration_since(now)) {
            Ok((_, Ok(stream))) => return Ok(stream),
            Ok((address, Err(error))) => {
                under_way -= 1;
                dial.handle_failure(address, error, threads::now());
            }
            Err(_) => {
                left(Some(deadline), threads::now())
                    .map_err(|error| Error::from_io("connecting", Outcome::NotSent, error))?;
            }
        }
    }
}

fn attempt(address: SocketAddr, deadline: Instant) -> Result<TcpStream> {
    let limit = deadline.saturating_duration_since(threads::now());
    let connected = match limit.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => TcpStream::connect_timeout(&address, limit),
    };
    connected.map_err(|error| Error::from_io("connecting", Outcome::NotSent, error))
}

/// A Unix socket is connected at once, or its listener has as many callers waiting as it allows. The kernel
/// does not tell when that changes, but makes callers wait without limit: so it is asked again and again
/// instead.
#[cfg(unix)]
fn connect_unix(path: &std::path::Path, deadline: Instant) -> io::Result<std::os::unix::net::UnixStream> {
    use socket2::{Domain, SockAddr, Socket, Type};
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    socket.set_nonblocking(true)?;
    loop {
        match socket.connect(&address) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                left(Some(deadline), threads::now())?;
                thread::sleep(BETWEEN_TRIES);
            }
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}

#[cfg(unix)]
const BETWEEN_TRIES: std::time::Duration = std::time::Duration::from_millis(5);
