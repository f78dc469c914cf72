//! Peers that complete each handshake and then misbehave: they hang up, as to evicted clients or as balancers
//! without a back end, or send without end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What a peer does after the handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// It hangs up at the first command.
    HangUpAtFirstCommand,
    /// It hangs up when nothing came for so long, and at a command that comes before.
    HangUpAfter(Duration),
    /// At the first command it sends these bytes, then those again and again as fast as it can, for 8 s.
    Flood(&'static str, &'static str),
    /// It behaves: every key has the value `v`, and every client may subscribe.
    Serve,
}

/// Within this the first connections come.
const UP: Duration = Duration::from_millis(200);

/// A peer that answers handshakes, those of caches too, questions for the map of a cluster, one `PING`, and
/// nothing else.
#[derive(Debug)]
pub(crate) struct RudePeer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    addr: SocketAddr,
    then: Then,
    /// When the connections came on which no map was asked for.
    came: Mutex<Vec<Instant>>,
    started: Instant,
    ids: AtomicUsize,
    pinged: AtomicBool,
    ended: AtomicBool,
}

impl RudePeer {
    pub(crate) fn start(then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let shared = Arc::new(Shared {
            addr: listener.local_addr().expect("it is bound"),
            then,
            came: Mutex::default(),
            started: Instant::now(),
            ids: AtomicUsize::new(1),
            pinged: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let peer = Self { shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.serve(socket));
            }
        });
        peer
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.shared.addr)
    }

    pub(crate) fn cluster_url(&self) -> String {
        format!("redis+cluster://{}", self.shared.addr)
    }

    /// How many connections came within `times` on which no map was asked for.
    pub(crate) fn connections(&self, times: Range<Instant>) -> usize {
        let came = self.shared.came.lock().unwrap_or_else(PoisonError::into_inner);
        came.iter().filter(|came| times.contains(*came)).count()
    }
}

impl Drop for RudePeer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // It waits for the next connection.
        let _ = TcpStream::connect(self.shared.addr);
    }
}

impl Shared {
    fn serve(&self, mut socket: TcpStream) {
        let (came, mut asks_for_map) = (Instant::now(), false);
        let patience = match self.then {
            Then::HangUpAtFirstCommand | Then::Flood(..) | Then::Serve => None,
            // What needs several connections to come up has the time, on a busy machine too.
            Then::HangUpAfter(patience) if self.started.elapsed() < UP => Some(patience.max(2 * UP)),
            Then::HangUpAfter(patience) => Some(patience),
        };
        let mut unread = Vec::new();
        let mut chunk = [0; 4096];
        'serving: loop {
            while let Some(words) = command(&mut unread) {
                let Some(answer) = self.answer(&words) else {
                    if let Then::Flood(first, again) = self.then {
                        self.flood(&mut socket, first, again);
                    }
                    break 'serving;
                };
                asks_for_map |= words[0] == "CLUSTER";
                if socket.write_all(&answer).is_err() {
                    break 'serving;
                }
            }
            // Before the handshake is done it waits.
            let limit = patience.filter(|_| !unread.is_empty() || chunk[0] != 0);
            if socket.set_read_timeout(limit).is_err() {
                break;
            }
            match socket.read(&mut chunk) {
                Ok(n) if n > 0 => unread.extend_from_slice(&chunk[..n]),
                _ => break,
            }
        }
        if !asks_for_map {
            self.came.lock().unwrap_or_else(PoisonError::into_inner).push(came);
        }
    }

    fn flood(&self, socket: &mut TcpStream, first: &str, again: &str) {
        let (end, bytes) = (Instant::now() + Duration::from_secs(8), again.repeat(100_000 / again.len()));
        let mut written = socket.write_all(first.as_bytes());
        while written.is_ok() && Instant::now() < end && !self.ended.load(Ordering::SeqCst) {
            written = socket.write_all(bytes.as_bytes());
        }
    }

    fn answer(&self, words: &[String]) -> Option<Vec<u8>> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Some(match words.as_slice() {
            ["HELLO", ..] => b"%1\r\n$5\r\nproto\r\n:3\r\n".to_vec(),
            ["CLIENT", "ID"] => format!(":{}\r\n", self.ids.fetch_add(1, Ordering::SeqCst)).into_bytes(),
            ["CLIENT", ..] => b"+OK\r\n".to_vec(),
            ["SUBSCRIBE", name] if name.starts_with("__redis__") => {
                format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{name}\r\n:1\r\n", name.len()).into_bytes()
            }
            // An async cache asks so before it comes to be.
            ["PING"] if !self.pinged.swap(true, Ordering::SeqCst) => b"+PONG\r\n".to_vec(),
            ["CLUSTER", "SLOTS"] => {
                let (host, port) = (self.addr.ip().to_string(), self.addr.port());
                let id = "a".repeat(40);
                let node = format!("*3\r\n${}\r\n{host}\r\n:{port}\r\n$40\r\n{id}\r\n", host.len());
                format!("*1\r\n*3\r\n:0\r\n:16383\r\n{node}").into_bytes()
            }
            ["CLUSTER", "INFO"] => b"$16\r\ncluster_state:ok\r\n".to_vec(),
            ["CLUSTER", ..] => b"-ERR unknown subcommand\r\n".to_vec(),
            ["GET", _] if matches!(self.then, Then::Serve) => b"$1\r\nv\r\n".to_vec(),
            ["SUBSCRIBE" | "SSUBSCRIBE", name] if matches!(self.then, Then::Serve) => {
                let kind = words[0].to_ascii_lowercase();
                let (kind_len, name_len) = (kind.len(), name.len());
                format!(">3\r\n${kind_len}\r\n{kind}\r\n${name_len}\r\n{name}\r\n:1\r\n").into_bytes()
            }
            _ if matches!(self.then, Then::Serve) => b"+OK\r\n".to_vec(),
            _ => return None,
        })
    }
}

/// Takes the first command out of `unread`, if it is whole.
fn command(unread: &mut Vec<u8>) -> Option<Vec<String>> {
    let mut lines = unread.split_inclusive(|byte| *byte == b'\n');
    let mut line = || lines.next().filter(|line| line.ends_with(b"\r\n"));
    let head = line()?;
    let count: usize = String::from_utf8_lossy(&head[1..head.len() - 2]).parse().ok()?;
    let (mut words, mut len) = (Vec::new(), head.len());
    for _ in 0..count {
        let (size, word) = (line()?, line()?);
        len += size.len() + word.len();
        words.push(String::from_utf8_lossy(&word[..word.len() - 2]).into_owned());
    }
    unread.drain(..len);
    Some(words)
}
