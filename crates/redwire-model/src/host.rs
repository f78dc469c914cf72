//! A model with a clock, which several clients in this process share.
//!
//! This file must not know how a client reads and writes: threads do by `memory.rs`, tasks by `tasks.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::memory::MemoryStream;
use crate::{ClientId, Condition, Model, Options, Reply};

/// A server in memory: a [`Model`] and its clock. Clones are the same server.
///
/// ```
/// use std::time::Duration;
/// use redwire_model::{Host, Options};
///
/// let host = Host::stopped(Options::new());
/// assert_eq!(host.command(&["SET", "k", "v", "EX", "10"]), "+OK\r\n");
/// host.advance(Duration::from_secs(10));
/// assert_eq!(host.command(&["GET", "k"]), "$-1\r\n");
/// ```
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    /// Told of each change.
    changed: Condvar,
}

/// The model, its time, and the tasks that read from it.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) model: Model,
    clock: Clock,
    /// By how much tests have turned the clock forward.
    turned: Duration,
    pub(crate) wakers: BTreeMap<ClientId, Waker>,
    connected: u16,
}

/// Whose time it is.
#[derive(Clone, Copy, Debug)]
enum Clock {
    System(Instant),
    Stopped,
    #[cfg(feature = "tokio")]
    Runtime(tokio::time::Instant),
}

impl Inner {
    /// The time since the server began.
    pub(crate) fn now(&self) -> Duration {
        let elapsed = match self.clock {
            Clock::System(began) => began.elapsed(),
            Clock::Stopped => Duration::ZERO,
            #[cfg(feature = "tokio")]
            Clock::Runtime(began) => began.elapsed(),
        };
        elapsed + self.turned
    }

    /// How long until the model wants to be called again, by a clock that goes by itself.
    pub(crate) fn until_timeout(&self) -> Option<Duration> {
        let timeout = self.model.next_timeout()?;
        (!matches!(self.clock, Clock::Stopped)).then(|| timeout.saturating_sub(self.now()))
    }

    /// Moves output of a client into a buffer, and says how many bytes. `None`: there is none yet;
    /// 0: the server has hung up.
    pub(crate) fn take_output(&mut self, id: ClientId, buffer: &mut [u8]) -> Option<usize> {
        let output = self.model.output(id);
        if output.is_empty() {
            return self.model.is_closing(id).then_some(0);
        }
        let count = output.len().min(buffer.len());
        buffer[..count].copy_from_slice(&output[..count]);
        self.model.sent(id, count);
        Some(count)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

impl Host {
    /// A server by the system's clock, which tests may turn forward. Its calendar is the system's too.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::with_clock(options.unix_time(today), Clock::System(Instant::now()))
    }

    /// A server whose time stands still but for [`advance`](Self::advance). Its calendar begins where
    /// [`Options::unix_time`] says.
    #[must_use]
    pub fn stopped(options: Options) -> Self {
        Self::with_clock(options, Clock::Stopped)
    }

    /// A server by the clock of the tokio runtime, which may be paused. Its calendar begins where
    /// [`Options::unix_time`] says.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn by_runtime(options: Options) -> Self {
        Self::with_clock(options, Clock::Runtime(tokio::time::Instant::now()))
    }

    fn with_clock(options: Options, clock: Clock) -> Self {
        let (model, turned, wakers) = (Model::new(options), Duration::ZERO, BTreeMap::new());
        let inner = Mutex::new(Inner { model, clock, turned, wakers, connected: 0 });
        Self { shared: Arc::new(Shared { inner, changed: Condvar::new() }) }
    }

    /// A connection for threads. A connector of the blocking client returns one.
    #[must_use]
    pub fn connect(&self) -> MemoryStream {
        MemoryStream::new(self.clone(), self.admit(None))
    }

    /// Turns the clock forward. Keys expire at once, and clients that wait are told.
    pub fn advance(&self, by: Duration) {
        self.lock().turned += by;
        self.with(|model, now| model.handle_timeout(now));
    }

    /// Puts the server into a state, or out of it.
    pub fn set(&self, condition: Condition, is: bool) {
        self.with(|model, now| model.set(condition, is, now));
    }

    /// Hangs up on all clients.
    pub fn kill_clients(&self) {
        self.with(Model::kill_clients);
    }

    /// Runs a command by a connection of its own, and returns the bytes of the reply as text. One that would
    /// wait is given up.
    ///
    /// A server that asks for a password asks this connection, too. While it is frozen, or slow by
    /// [`Model::set_delay`], the text is empty.
    #[must_use]
    pub fn command<W: AsRef<[u8]>>(&self, words: &[W]) -> String {
        // A request is written as an array of bytes in a reply is.
        let request = Reply::list(words.iter().map(AsRef::as_ref)).to_bytes(false);
        let reply = self.with(|model, now| {
            let client = model.connect("127.0.0.1:0", now);
            model.receive(client, &request, now);
            let reply = model.transmit(client);
            model.disconnect(client, now);
            reply
        });
        String::from_utf8_lossy(&reply).into_owned()
    }

    /// The model and its time, for all else that a test wants to do. The clients are told of what came of it.
    pub fn with<R>(&self, change: impl FnOnce(&mut Model, Duration) -> R) -> R {
        let mut inner = self.lock();
        let now = inner.now();
        let result = change(&mut inner.model, now);
        self.tell(&mut inner);
        result
    }

    /// Admits a client from an address, or from one that is made up.
    pub(crate) fn admit(&self, peer: Option<String>) -> ClientId {
        let peer = peer.unwrap_or_else(|| {
            let mut inner = self.lock();
            inner.connected = inner.connected.wrapping_add(1);
            format!("127.0.0.1:{}", 40_000 + u32::from(inner.connected % 20_000))
        });
        self.with(|model, now| model.connect(&peer, now))
    }

    /// Takes all bytes of a client at once.
    pub(crate) fn receive(&self, id: ClientId, bytes: &[u8]) -> io::Result<usize> {
        self.with(|model, now| {
            if model.is_closing(id) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            model.receive(id, bytes, now);
            Ok(bytes.len())
        })
    }

    /// A client has hung up.
    pub(crate) fn disconnect(&self, id: ClientId) {
        self.with(|model, now| model.disconnect(id, now));
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&self, inner: &mut Inner) {
        let now = inner.now();
        inner.model.handle_timeout(now);
        self.tell(inner);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, or for so long.
    pub(crate) fn wait<'g>(
        &self,
        inner: MutexGuard<'g, Inner>,
        limit: Option<Duration>,
    ) -> MutexGuard<'g, Inner> {
        let changed = &self.shared.changed;
        match limit {
            None => changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                changed.wait_timeout(inner, limit).map_or_else(|p| p.into_inner().0, |(inner, _)| inner)
            }
        }
    }

    /// Tells those who wait that something has changed: that there is output, or another timeout.
    fn tell(&self, inner: &mut Inner) {
        while inner.model.poll_ready().is_some() {}
        self.shared.changed.notify_all();
        for waker in std::mem::take(&mut inner.wakers).into_values() {
            waker.wake();
        }
    }
}
