//! Through a SOCKS5 proxy, such as `ssh -D 1080` opens, with either driver.
//!
//! `cargo run -p redwire --example socks5` starts a server and a proxy for itself. With a proxy of your own,
//! [`Socks5`] is all there is to it: each connection of a client goes through it, and the proxy looks names
//! up. TLS would go through the tunnel as it goes through a socket.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use redwire::config::{Config, Endpoint};
use redwire::prelude::*;
use redwire::{Result, blocking, connector};
use redwire_testkit::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A SOCKS5 proxy that asks for no password ([RFC 1928](https://www.rfc-editor.org/rfc/rfc1928)).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socks5(pub(crate) SocketAddr);

impl connector::Connect for Socks5 {
    fn connect<'c>(&'c self, endpoint: &'c Endpoint) -> connector::Connecting<'c> {
        Box::pin(async move {
            let mut stream = tokio::net::TcpStream::connect(self.0).await?;
            stream.set_nodelay(true)?;
            stream.write_all(&request(endpoint)?).await?;
            let (mut head, mut address) = ([0; 6], Vec::new());
            stream.read_exact(&mut head).await?;
            address.resize(check(head)?, 0);
            stream.read_exact(&mut address).await?;
            Ok(Box::new(stream) as Box<dyn connector::Stream>)
        })
    }
}

impl blocking::connector::Connect for Socks5 {
    fn connect(&self, to: &Endpoint, limit: Duration) -> io::Result<Box<dyn blocking::connector::Stream>> {
        let mut stream = std::net::TcpStream::connect_timeout(&self.0, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(&request(to)?)?;
        let (mut head, mut address) = ([0; 6], Vec::new());
        stream.read_exact(&mut head)?;
        address.resize(check(head)?, 0);
        stream.read_exact(&mut address)?;
        Ok(Box::new(stream))
    }
}

/// The greeting and the request, which need not wait for each other.
fn request(endpoint: &Endpoint) -> io::Result<Vec<u8>> {
    let Endpoint::Tcp(address) = endpoint else {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "a proxy reaches no Unix socket"));
    };
    let length = u8::try_from(address.host.len()).map_err(io::Error::other)?;
    let mut bytes = vec![5, 1, 0, 5, 1, 0, 3, length];
    bytes.extend_from_slice(address.host.as_bytes());
    bytes.extend_from_slice(&address.port.to_be_bytes());
    Ok(bytes)
}

/// Whether the proxy agreed; how many bytes of its answer are left.
fn check(head: [u8; 6]) -> io::Result<usize> {
    match head {
        [5, 0, 5, 0, _, 1] => Ok(4 + 2),
        [5, 0, 5, 0, _, 4] => Ok(16 + 2),
        [5, 0, 5, 5, ..] => {
            Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the proxy was refused by the server"))
        }
        _ => Err(io::Error::other(format!("the proxy does not connect: {head:?}"))),
    }
}

fn main() -> Result<()> {
    let server = Server::start();
    let proxy = Proxy::start("db.internal", server.addr());
    let config = Config::builder()
        .host("db.internal")
        .connector(connector::Connector::new(Socks5(proxy.address)))
        .blocking_connector(blocking::connector::Connector::new(Socks5(proxy.address)))
        .build()?;

    let client = blocking::Client::open(config.clone())?;
    client.set("greeting", "hello from afar")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let greeting: Option<String> = runtime.block_on(async {
        let client = redwire::Client::open(config).await?;
        client.get("greeting").await
    })?;
    println!("greeting: {greeting:?}");
    println!("the proxy was asked for {:?}", proxy.asked());
    Ok(())
}

/// A proxy that knows the address of one name.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    tunnels: Arc<Mutex<Vec<(String, SocketAddr)>>>,
}

impl Proxy {
    /// One that takes `name` for `server`.
    pub(crate) fn start(name: &'static str, server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it listens");
        let tunnels = Arc::default();
        let proxy = Self { address, tunnels: Arc::clone(&tunnels) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tunnels = Arc::clone(&tunnels);
                thread::spawn(move || tunnel(stream, name, server, &tunnels));
            }
        });
        proxy
    }

    /// What it was asked for, as `host:port`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.tunnels().into_iter().map(|(asked, _)| asked).collect()
    }

    /// Also from which address it connected for that.
    pub(crate) fn tunnels(&self) -> Vec<(String, SocketAddr)> {
        self.tunnels.lock().expect("nothing panics").clone()
    }
}

/// Serves one connection.
fn tunnel(
    mut near: std::net::TcpStream,
    name: &str,
    server: SocketAddr,
    tunnels: &Mutex<Vec<(String, SocketAddr)>>,
) -> io::Result<()> {
    let mut head = [0; 8];
    near.read_exact(&mut head)?;
    let mut host = vec![0; usize::from(head[7])];
    near.read_exact(&mut host)?;
    let mut port = [0; 2];
    near.read_exact(&mut port)?;
    let (host, port) = (String::from_utf8_lossy(&host).into_owned(), u16::from_be_bytes(port));
    let connected = match host == name {
        true => std::net::TcpStream::connect(server),
        false => std::net::TcpStream::connect((host.as_str(), port)),
    };
    let Ok(mut far) = connected else { return near.write_all(&[5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0]) };
    far.set_nodelay(true)?;
    near.set_nodelay(true)?;
    tunnels.lock().expect("nothing panics").push((format!("{host}:{port}"), far.local_addr()?));
    near.write_all(&[5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    let (mut from, mut to) = (near.try_clone()?, far.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        to.shutdown(Shutdown::Both)
    });
    let _ = io::copy(&mut far, &mut near);
    near.shutdown(Shutdown::Both)
}
