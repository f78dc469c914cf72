//! A client-side cache, blocking. It only waits; what is kept, who reads, and what a change means is decided in `redwire-core`.

mod line;
mod tracking;

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use redwire_core::cache::{
    CacheFigures, CacheOptions, Fetch, Lookup, Suitable, Wait, is_for_client, suitable,
};
use redwire_core::call::{self, Call};
use redwire_core::lane::Lane as Way;
use redwire_core::{Cmd, Error, Outcome, Replies, Reply, Result, Run, Value};

use super::client::Client;
use line::Line;
use tracking::Tracking;

/// A client-side cache: reads are served from memory until the server says that their keys have changed.
///
/// Made by [`Client::cached`]; it works and promises the same as the async [`Cache`](crate::Cache), of which the documentation tells more.
/// It is the one part of the blocking client with a thread, since changes must be heard while nobody calls: one that reads from
/// its connection, and on RESP2 two, since it has two connections. They end when the last handle is dropped.
///
/// ```no_run
/// # let client = redwire::blocking::Client::connect("redis://localhost")?;
/// use redwire::CacheOptions;
/// use redwire::prelude::*;
///
/// let cache = client.cached(CacheOptions::default())?;
/// let first: Option<String> = cache.get("greeting")?; // asks the server
/// let again: Option<String> = cache.get("greeting")?; // does not
/// println!("{} of {} served from memory", cache.figures().hits, cache.figures().hits + cache.figures().misses);
/// # Ok::<(), redwire::Error>(())
/// ```
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
    opted_in: bool,
}

struct Inner {
    client: Client,
    line: Arc<Line>,
    tracking: Arc<Tracking>,
}

impl Client {
    /// A cache beside this client, connected and ready.
    ///
    /// ```no_run
    /// # let client = redwire::blocking::Client::connect("redis://localhost")?;
    /// use std::time::Duration;
    ///
    /// use redwire::CacheOptions;
    /// use redwire::prelude::*;
    ///
    /// let options = CacheOptions::default().max_bytes(256 << 20).ttl(Duration::from_secs(60)).broadcast(["user:"]);
    /// let cache = client.cached(options)?;
    /// let name: Option<String> = cache.hget("user:17", "name")?;
    /// # Ok::<(), redwire::Error>(())
    /// ```
    ///
    /// # Errors
    /// A connection that cannot be made; a server that announces no changes: one that is older than Redis 6, or whose user may not
    /// say `CLIENT TRACKING`.
    pub fn cached(&self, options: CacheOptions) -> Result<Cache> {
        let (tracking, line) = Tracking::connect(self.pool(), options)?;
        let inner = Inner { client: self.clone(), line, tracking };
        Ok(Cache { inner: Arc::new(inner), opted_in: false })
    }
}

impl Cache {
    /// The same cache, for reads that are to be cached in [`CacheMode::OptIn`](crate::CacheMode::OptIn). In other modes it makes no
    /// difference.
    ///
    /// ```no_run
    /// # let client = redwire::blocking::Client::connect("redis://localhost")?;
    /// use redwire::CacheOptions;
    /// use redwire::prelude::*;
    ///
    /// let cache = client.cached(CacheOptions::default().opt_in())?;
    /// let kept: Option<String> = cache.opted_in().get("settings")?;
    /// let not: Option<String> = cache.get("seen once")?;
    /// # Ok::<(), redwire::Error>(())
    /// ```
    #[must_use]
    pub fn opted_in(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), opted_in: true }
    }

    /// Waits until everything is known that the server has announced: one round trip to it, two with RESP2. Whoever reads afterwards sees every
    /// write that was acknowledged before, to whomever.
    ///
    /// While nobody announces changes there is nothing to wait for, since nothing is kept.
    ///
    /// # Errors
    /// No answer within the timeout; a queue that is full.
    pub fn sync(&self) -> Result<()> {
        let Inner { client, line, tracking, .. } = &*self.inner;
        if !tracking.is_live() {
            return Ok(());
        }
        let deadline = client.config().timeout().and_then(|limit| Instant::now().checked_add(limit));
        let question = Cmd::<Value>::new("PING");
        // What was written while the tracked connection was gone already, nobody has announced.
        let mut answered = line.exchange(&question, deadline);
        let listener = tracking.listener(line);
        if answered.is_ok() && !Arc::ptr_eq(&listener, line) {
            answered = listener.exchange(&question, deadline);
        }
        tracking.handle_synced(answered)
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.inner.tracking.clear();
    }

    /// What the cache did so far, and holds now.
    #[must_use]
    pub fn figures(&self) -> CacheFigures {
        self.inner.tracking.figures()
    }

    /// Whether changes are announced now, so that anything is kept.
    #[must_use]
    pub fn is_tracking(&self) -> bool {
        self.inner.tracking.is_live()
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &CacheOptions {
        self.inner.tracking.options()
    }

    /// The client it was made from, for reads that must not be cached.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// Runs any command; see [`Client::execute`].
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub fn execute<R: Reply>(&self, cmd: Cmd<R>) -> Result<R> {
        match suitable(cmd.facts()) {
            Suitable::Read if self.options().covers(self.opted_in) => self.read(cmd),
            Suitable::Change | Suitable::ChangeAll if !self.inner.tracking.is_foreign() => {
                let result = self.client().execute(cmd.clone());
                self.inner.tracking.change(|store| store.handle_written(&cmd));
                result
            }
            _ => self.client().execute(cmd),
        }
    }

    fn read<R: Reply>(&self, mut cmd: Cmd<R>) -> Result<R> {
        let Inner { line, tracking, .. } = &*self.inner;
        let mut now = Instant::now();
        let mut deadline = None;
        loop {
            let found = match tracking.hit(&cmd, now) {
                Some(replies) => Lookup::Hit(replies),
                None if tracking.is_foreign() => return self.client().execute(cmd),
                None => tracking.lock().lookup(&cmd, now, thread::current),
            };
            if let Lookup::Hit(replies) = found {
                let output = call::read(&mut cmd, replies, self.client().config());
                return output.map_err(|error| self.explain(error, &cmd));
            }
            let deadline = *deadline.get_or_insert_with(|| {
                call::deadline(Way::Shared, cmd.options(), self.client().config().timeout(), now)
            });
            let replies = match found {
                Lookup::Fetch(flight) => {
                    let mut fetch = Fetch::new(&cmd, tracking.options());
                    let fetched = line.exchange(&fetch, deadline).and_then(|replies| fetch.read(replies));
                    tracking.change(|store| match &fetched {
                        Ok(replies) => store.handle_fetched(flight, replies),
                        Err(_) => store.handle_failed(flight),
                    });
                    fetched
                }
                Lookup::Wait(wait) => match self.wait(wait, deadline) {
                    Ok(None) => {
                        now = Instant::now();
                        continue;
                    }
                    Ok(Some(replies)) => Ok(replies),
                    Err(error) => Err(error),
                },
                Lookup::Hit(_) | Lookup::Pass => {
                    if !self.is_tracking() {
                        line.ask();
                    }
                    return self.plain(cmd, deadline);
                }
            };
            let output = replies.and_then(|replies| call::read(&mut cmd, replies, self.client().config()));
            return match output {
                Err(error) if is_for_client(&error, self.client().config().retry()) => {
                    self.plain(cmd, deadline)
                }
                result => result.map_err(|error| self.explain(error, &cmd)),
            };
        }
    }

    /// Waits for what another reads; `None` where it came to nothing.
    fn wait(&self, mut wait: Wait, deadline: Option<Instant>) -> Result<Option<Replies>> {
        let tracking = &self.inner.tracking;
        loop {
            wait = match tracking.lock().poll_wait(wait, |_| {}) {
                Ok(answer) => return Ok(answer),
                Err(wait) => wait,
            };
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(Duration::ZERO) => {
                    tracking.lock().abandon(wait);
                    return Err(Error::timeout(Outcome::NotSent));
                }
                Some(left) => thread::park_timeout(left),
            }
        }
    }

    /// Over the client, with the time that is left.
    fn plain<R: Reply>(&self, cmd: Cmd<R>, deadline: Option<Instant>) -> Result<R> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        self.client().execute(match left {
            // No time at all would mean no limit.
            Some(left) => cmd.timeout(left.max(Duration::from_micros(1))),
            None => cmd,
        })
    }

    #[cold]
    fn explain<R>(&self, error: Error, cmd: &Cmd<R>) -> Error {
        self.client().pool().target().locate(error).with_command(&cmd.name())
    }
}

impl Run for &Cache {
    type Out<R: Reply> = Result<R>;

    #[inline]
    fn run<R: Reply>(self, cmd: Cmd<R>) -> Result<R> {
        self.execute(cmd)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("options", self.options()).finish_non_exhaustive()
    }
}
