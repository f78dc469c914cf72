//! A client whose server is a task of the same program, and whose clock belongs to the test.
//!
//! `cargo run -p redwire --example in_memory` lets a client through an hour in which its server is gone. That
//! takes no time, as the clock of the runtime is paused, and goes the same way each time.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redwire::config::Config;
use redwire::connector::Connector;
use redwire::prelude::*;
use redwire::{Client, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// A server that knows a few commands, and keeps its values in a map. Clones are the same server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    values: Arc<Mutex<HashMap<String, String>>>,
    gone: watch::Sender<bool>,
}

impl Peer {
    /// A stream to it, unless it is gone.
    pub(crate) fn connect(&self) -> io::Result<DuplexStream> {
        if *self.gone.borrow() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(self.clone().serve(far));
        Ok(near)
    }

    /// Goes, and hangs up on all clients; or comes back.
    pub(crate) fn set_gone(&self, gone: bool) {
        self.gone.send_replace(gone);
    }

    /// Answers one client until one of both hangs up.
    pub(crate) async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let (mut bytes, mut gone) = (Vec::new(), self.gone.subscribe());
        loop {
            let read = tokio::select! {
                biased;
                read = stream.read_buf(&mut bytes) => read?,
                _ = gone.wait_for(|gone| *gone) => 0,
            };
            if read == 0 {
                return Ok(());
            }
            while let Some(words) = take(&mut bytes) {
                stream.write_all(self.answer(&words).as_bytes()).await?;
            }
        }
    }

    /// What it says to a command.
    pub(crate) fn answer(&self, words: &[String]) -> String {
        let mut values = self.values.lock().expect("nothing panics");
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["HELLO", "3", ..] => "%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n".to_owned(),
            ["CLIENT", ..] => "+OK\r\n".to_owned(),
            ["PING"] => "+PONG\r\n".to_owned(),
            ["PING" | "ECHO", word] => format!("${}\r\n{word}\r\n", word.len()),
            ["SET", key, value] => {
                values.insert((*key).to_owned(), (*value).to_owned());
                "+OK\r\n".to_owned()
            }
            ["GET", key] => match values.get(*key) {
                Some(value) => format!("${}\r\n{value}\r\n", value.len()),
                None => "$-1\r\n".to_owned(),
            },
            _ => format!("-ERR unknown command '{}'\r\n", words[0]),
        }
    }
}

/// Takes the first command out of `bytes`, if it is there whole.
pub(crate) fn take(bytes: &mut Vec<u8>) -> Option<Vec<String>> {
    let mut at = 0;
    let number = |at: &mut usize| {
        let line = bytes[*at..].split_inclusive(|byte| *byte == b'\n').next()?;
        let text = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
        *at += line.len();
        text.get(1..)?.parse::<usize>().ok()
    };
    let count = number(&mut at)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let length = number(&mut at)?;
        words.push(String::from_utf8_lossy(bytes.get(at..at + length + 2)?.strip_suffix(b"\r\n")?).into());
        at += length + 2;
    }
    bytes.drain(..at);
    Some(words)
}

fn main() -> Result<()> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime starts");
    runtime.block_on(outage())
}

async fn outage() -> Result<()> {
    let (peer, begun) = (Peer::default(), Instant::now());
    let connector = {
        let peer = peer.clone();
        Connector::from_fn(move |_| std::future::ready(peer.connect()))
    };
    let config = Config::builder().host("server").connector(connector).seed(7).build()?;
    let client = Client::open(config).await?;
    client.set("greeting", "hello").await?;

    peer.set_gone(true);
    let error = client.get::<String>("greeting").await.expect_err("the server is gone");
    println!("after {:?}: {error}", begun.elapsed());
    sleep(Duration::from_secs(3600)).await;

    peer.set_gone(false);
    let greeting: Option<String> = client.get("greeting").await?;
    println!("after {:?}: {greeting:?}", begun.elapsed());
    Ok(())
}
