//! A port that refuses connections. It must not be one that was free a moment ago: another test may have it
//! by now.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port on 127.0.0.1 that refuses connections for as long as this lives: it is taken, and nothing listens.
///
/// ```
/// use std::io::ErrorKind;
/// use std::net::TcpStream;
///
/// let port = redwire_testkit::ClosedPort::new();
/// assert_eq!(TcpStream::connect(port.addr()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
/// ```
#[derive(Debug)]
pub struct ClosedPort {
    addr: SocketAddr,
    _socket: Socket,
}

impl ClosedPort {
    /// Takes a free port.
    ///
    /// # Panics
    /// If there is none.
    #[allow(clippy::new_without_default, reason = "each has another port")]
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("127.0.0.1 has a free port");
        let addr = socket.local_addr().ok().and_then(|addr| addr.as_socket()).expect("it is bound");
        Self { addr, _socket: socket }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
