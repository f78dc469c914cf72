//! A proxy that breaks what no client can notice by itself: it repeats requests, swaps replies, or swallows a
//! message. It takes requests one by one, so that it knows which reply belongs to which; where a client
//! subscribes, it passes on what comes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trick {
    /// Sends each INCR outside of transactions twice, and passes on the second reply.
    Duplicate,
    /// Swaps the replies of two requests that read and came together.
    Swap,
    /// Keeps the tenth message on each connection for itself.
    Swallow,
}

/// Runs until the test program ends.
pub(crate) struct Tamper(SocketAddr);

impl Tamper {
    pub(crate) fn start(upstream: SocketAddr, trick: Trick) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // The end of either side ends both.
                thread::spawn(move || {
                    TcpStream::connect(upstream).and_then(|server| pass(client, server, trick))
                });
            }
        });
        Self(address)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.0)
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, trick: Trick) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut requests, mut replies) = (Stream::default(), Stream::default());
    let mut in_transaction = false;
    loop {
        let mut asked = vec![requests.next(&mut client)?];
        while let Some(request) = requests.take() {
            asked.push(request);
        }
        if asked.iter().any(|request| name(request) == "SUBSCRIBE") {
            server.write_all(&asked.concat())?;
            server.write_all(&requests.0)?;
            return relay(client, server, replies, trick);
        }
        let mut answers = Vec::new();
        for request in &asked {
            let name = name(request);
            in_transaction = (in_transaction || name == "MULTI") && name != "EXEC";
            server.write_all(request)?;
            let mut reply = replies.next(&mut server)?;
            if trick == Trick::Duplicate && name == "INCR" && !in_transaction {
                server.write_all(request)?;
                reply = replies.next(&mut server)?;
            }
            answers.push(reply);
        }
        if trick == Trick::Swap {
            let reads = |at: &usize| matches!(name(&asked[*at]).as_str(), "GET" | "ECHO" | "INCR" | "MGET");
            let mut places = (0..asked.len()).filter(reads);
            if let (Some(one), Some(other)) = (places.next(), places.next_back()) {
                answers.swap(one, other);
            }
        }
        client.write_all(&answers.concat())?;
    }
}

/// Passes on bytes one way and frames the other.
fn relay(client: TcpStream, mut server: TcpStream, mut frames: Stream, trick: Trick) -> std::io::Result<()> {
    let (mut from, mut to, mut client) = (client.try_clone()?, server.try_clone()?, client);
    thread::spawn(move || {
        // The end of either side ends both.
        let _ = std::io::copy(&mut from, &mut to);
        to.shutdown(Shutdown::Both)
    });
    let mut messages = 0;
    loop {
        let Ok(frame) = frames.next(&mut server) else { return client.shutdown(Shutdown::Both) };
        messages += usize::from(name(&frame) == "MESSAGE");
        if trick == Trick::Swallow && messages == 10 {
            messages += 1;
        } else {
            client.write_all(&frame)?;
        }
    }
}

/// The name of a command, or the kind of a push.
fn name(request: &[u8]) -> String {
    let name = request.split(|byte| *byte == b'\n').nth(2).unwrap_or_default();
    String::from_utf8_lossy(name).trim_end().to_uppercase()
}

/// Bytes that come in, and the frames in them.
#[derive(Default)]
struct Stream(Vec<u8>);

impl Stream {
    fn take(&mut self) -> Option<Vec<u8>> {
        let end = end(&self.0, 0)?;
        Some(self.0.drain(..end).collect())
    }

    fn next(&mut self, from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(frame) = self.take() {
                return Ok(frame);
            }
            match from.read(&mut buffer)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => self.0.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

/// Where the frame that begins at `from` ends, if all of it is there.
fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let line = from + bytes.get(from..)?.iter().position(|byte| *byte == b'\n')? + 1;
    let number = || std::str::from_utf8(&bytes[from + 1..line - 2]).ok()?.parse::<i64>().ok();
    let values = |count: i64| (0..count).try_fold(line, |at, _| end(bytes, at));
    match bytes[from] {
        b'$' | b'=' | b'!' => match number()? {
            ..0 => Some(line),
            length => Some(line + length as usize + 2).filter(|end| *end <= bytes.len()),
        },
        b'*' | b'~' | b'>' => values(number()?),
        b'%' => values(2 * number()?),
        _ => Some(line),
    }
}
