//! When sentinels say that there is a new master, to the moment.
//!
//! A thread for each sentinel is subscribed to `+switch-master`, and subscribes again to one that comes back.
//! It asks nothing and decides nothing.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::halt::Halt;
use crate::resp::{self, Frames, Value};
use crate::set::{LIMIT, PERIOD};
use crate::{Server, eventually};

/// A sentinel's word that there is a new master (`+switch-master`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Switch {
    /// When it came.
    pub at: Instant,
    /// Which of the [`sentinels`](crate::SentinelSet::sentinels) said it.
    pub sentinel: usize,
    /// Where the master was.
    pub from: SocketAddr,
    /// Where it is.
    pub to: SocketAddr,
}

/// What the sentinels of a set have said of new masters since this was made by
/// [`SentinelSet::switch_events`](crate::SentinelSet::switch_events). Dropping it ends its threads.
///
/// One that is restarted is listened to again some milliseconds later: what it says before is missed.
#[derive(Debug)]
pub struct SwitchEvents {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl SwitchEvents {
    #[track_caller]
    pub(super) fn start(sentinels: &[Server], service: &str) -> Self {
        let halt = Halt::new().expect("a pair of sockets can be made");
        let shared = Arc::new(Shared { state: Mutex::default(), halt });
        shared.state().subscribed = vec![false; sentinels.len()];
        let listen = |(sentinel, server): (usize, &Server)| {
            let listener = Listener {
                sentinel,
                path: server.unix_path().to_owned(),
                password: server.password().map(str::to_owned),
                service: service.to_owned(),
            };
            let shared = Arc::clone(&shared);
            thread::spawn(move || listener.run(&shared))
        };
        let threads = sentinels.iter().enumerate().map(listen).collect();
        let events = Self { shared, threads };
        eventually("the sentinels that are up are subscribed to", LIMIT, || {
            let subscribed = events.shared.state().subscribed.clone();
            subscribed.iter().zip(sentinels).all(|(&subscribed, server)| subscribed || !server.is_up())
        });
        events
    }

    /// What was said so far, in order of time.
    pub fn seen(&self) -> Vec<Switch> {
        self.shared.state().seen.clone()
    }

    /// Waits for the first word, if there was none yet.
    ///
    /// # Panics
    ///
    /// If none comes within this time.
    #[track_caller]
    pub fn wait(&self, limit: Duration) -> Switch {
        eventually("a sentinel says that there is a new master", limit, || !self.seen().is_empty());
        self.seen()[0]
    }
}

impl Drop for SwitchEvents {
    fn drop(&mut self) {
        self.shared.halt.throw();
        let ended = self.threads.drain(..).all(|thread| thread.join().is_ok());
        assert!(ended || thread::panicking(), "a thread that listens to a sentinel panicked");
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    halt: Halt,
}

#[derive(Debug, Default)]
struct State {
    subscribed: Vec<bool>,
    seen: Vec<Switch>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What listens to one sentinel.
struct Listener {
    sentinel: usize,
    path: PathBuf,
    password: Option<String>,
    service: String,
}

impl Listener {
    /// Until the switch is thrown.
    fn run(&self, shared: &Shared) {
        loop {
            // One that is dead or dies ends the connection, and that is all.
            let _ = self.listen(shared);
            shared.state().subscribed[self.sentinel] = false;
            if !shared.halt.sleep(PERIOD) {
                return;
            }
        }
    }

    fn listen(&self, shared: &Shared) -> io::Result<()> {
        let socket = subscribe(&self.path, self.password.as_deref())?;
        let (mut frames, mut bytes, mut chunk) = (Frames::new(), Vec::new(), [0; 4096]);
        loop {
            let n = shared.halt.read(&socket, &mut chunk)?;
            let at = Instant::now();
            if n == 0 {
                return Ok(());
            }
            let mut rest = &chunk[..n];
            while let Some(end) = frames.scan(rest) {
                bytes.extend_from_slice(&rest[..end]);
                self.note(shared, at, Value::read(&mut &bytes[..]));
                bytes.clear();
                rest = &rest[end..];
            }
            bytes.extend_from_slice(rest);
        }
    }

    fn note(&self, shared: &Shared, at: Instant, frame: Option<Value>) {
        let Some(Value::Array(items)) = frame else { return };
        let items: Vec<_> = items.iter().map(Value::print).collect();
        if items[0] == "subscribe" {
            shared.state().subscribed[self.sentinel] = true;
        } else if let Some((from, to)) = items.last().and_then(|text| self.addresses(text)) {
            shared.state().seen.push(Switch { at, sentinel: self.sentinel, from, to });
        }
    }

    /// From `mymaster 127.0.0.1 6379 127.0.0.1 6380`.
    fn addresses(&self, text: &str) -> Option<(SocketAddr, SocketAddr)> {
        let words: Vec<_> = text.split(' ').collect();
        let [service, from, from_port, to, to_port] = words[..] else { return None };
        let address = |host: &str, port: &str| format!("{host}:{port}").parse().ok();
        (service == self.service).then_some((address(from, from_port)?, address(to, to_port)?))
    }
}

fn subscribe(path: &Path, password: Option<&str>) -> io::Result<Socket> {
    let mut stream = UnixStream::connect(path)?;
    let mut commands = password.map_or_else(Vec::new, |word| resp::command(&["AUTH", word]));
    commands.extend(resp::command(&["SUBSCRIBE", "+switch-master"]));
    stream.write_all(&commands)?;
    stream.set_nonblocking(true)?;
    Ok(Socket::from(stream))
}
