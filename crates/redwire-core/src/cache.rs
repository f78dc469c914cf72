//! What a client-side cache keeps, and for how long: replies to reads, until the server says that a key has
//! changed.
//!
//! Promises that nothing is kept that was read before a change of its keys was announced, that what is
//! announced is gone before the announcement is done with, that nothing at all is kept while no server would
//! announce anything, and that callers that want the same share one request. This file must not know
//! connections, threads or tasks; `W` is what wakes a caller that waits.
//!
//! # How the races are closed
//! A read that is under way is a *flight*. It is registered before it is sent, by the words of its command
//! and under each of its keys. An announcement takes everything out that stands under its key, flights
//! included: callers that wait for such a flight get its reply, which was right when it was read, but it is
//! not kept, and no caller joins it any more. The same happens to all flights when the connection that
//! announces is lost. So it does not matter in which order a reply and an announcement arrive, nor whether
//! they come over one connection (RESP3) or over two (RESP2).

mod announcement;
mod fetch;
mod options;
mod suitable;
mod synced;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;

use crate::cmd::Cmd;
use crate::replies::Replies;
use announcement::Announcement;
pub use fetch::{Fetch, is_for_client};
pub use options::{CacheMode, CacheOptions, CacheStats, announcements, connection_id, tracking};
pub use suitable::{Suitable, suitable};
pub use synced::{demoted, is_demoted, sync_question, wants_master};

/// So many callers wait for the reads of others at most; those beyond ask the server themselves.
const MOST_WAITING: usize = 65_536;

/// What an entry takes beside its words and its reply, and each of its keys, in bytes: places in the tables,
/// and what the allocator adds. Measured, and rounded up.
const ENTRY: usize = 400;
const KEY: usize = 180;

/// Replies by the words of their commands, and the reads that are under way.
///
/// What is kept is read by [`hit`](Self::hit), from any number of threads at a time. Mutators:
/// [`lookup`](Self::lookup), [`abandon`](Self::abandon). What happened: `handle_…`. What now: `poll_…`.
#[derive(Debug)]
pub struct Store<W> {
    options: CacheOptions,
    /// Whether changes are announced now.
    live: bool,
    /// Whether they are announced over a connection of their own.
    apart: bool,
    /// All that was announced before this number was given is known.
    settled: u64,
    entries: HashMap<Bytes, CacheEntry>,
    /// Each key with the words of a command that has it.
    index: BTreeSet<(Bytes, Bytes)>,
    /// What is kept, in the order in which it is looked at when room is needed; with some that is gone.
    queue: VecDeque<(Bytes, u64)>,
    flights: HashMap<u64, Flying<W>>,
    /// What callers that waited get, until they ask for it.
    answers: HashMap<u64, Option<Replies>>,
    waiting: usize,
    woken: Vec<W>,
    /// The last number given: to a flight, a wait, or a reply that is kept.
    last: u64,
    hits: AtomicU64,
    stats: CacheStats,
}

#[derive(Debug)]
struct CacheEntry {
    keys: Vec<Bytes>,
    state: EntryState,
}

#[derive(Debug)]
enum EntryState {
    /// It is being read, by this flight.
    Flying(u64),
    Kept(CachedReply),
}

#[derive(Debug)]
struct CachedReply {
    frame: Bytes,
    until: Option<Instant>,
    /// Whether it served since it was last looked at for room.
    used: AtomicBool,
    number: u64,
    /// May be older than announcements up to this number, until all of them are known (`settled`).
    outdated: u64,
}

#[derive(Debug)]
struct Flying<W> {
    words: Bytes,
    keys: Vec<Bytes>,
    begun: Instant,
    /// May be older than announcements up to this number, until all of them are known (`settled`).
    outdated: u64,
    waiters: HashMap<u64, W>,
}

/// What a caller that wants to read does.
#[derive(Debug)]
pub enum Lookup {
    /// Nothing: here is the reply.
    Hit(Replies),
    /// Read it over the tracked connection, then [`Store::handle_fetched`] or [`Store::handle_failed`].
    Fetch(Flight),
    /// Wait until woken, then [`Store::poll_wait`].
    FlightWait(FlightWait),
    /// Ask the connection that announces (`PING`), then [`Store::handle_settled`], and look again.
    Settle(Mark),
    /// Ask the server as if there were no cache.
    Pass,
}

/// A moment up to which announcements are to be known.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

/// The right to read for all callers that want the same.
#[derive(Debug)]
#[must_use = "others wait for it; report it as fetched or failed"]
pub struct Flight(u64);

/// A place among the callers that wait for a flight. It must be redeemed by [`Store::poll_wait`] or given up
/// by [`Store::abandon`].
#[derive(Debug)]
#[must_use = "a wait that is dropped leaks its place; abandon it"]
pub struct FlightWait {
    flight: u64,
    number: u64,
}

impl<W> Store<W> {
    /// An empty cache, which keeps nothing before [`handle_up`](Self::handle_up).
    #[must_use]
    pub fn new(options: CacheOptions) -> Self {
        Self {
            options,
            live: false,
            apart: false,
            settled: 0,
            entries: HashMap::new(),
            index: BTreeSet::new(),
            queue: VecDeque::new(),
            flights: HashMap::new(),
            answers: HashMap::new(),
            waiting: 0,
            woken: Vec::new(),
            last: 0,
            hits: AtomicU64::new(0),
            stats: CacheStats::default(),
        }
    }

    /// What it did so far, and holds now.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        CacheStats { hits: self.hits.load(Ordering::Relaxed), ..self.stats }
    }

    /// Whether changes are announced now.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// What is kept as the reply to `cmd`, which is [suitable](Suitable::Read).
    #[inline]
    pub fn hit<R>(&self, cmd: &Cmd<R>, now: Instant) -> Option<Replies> {
        let (words, large) = cmd.args().pieces();
        let EntryState::Kept(kept) = &self.entries.get(words)?.state else { return None };
        if !large.is_empty() || kept.until.is_some_and(|until| until <= now) || kept.outdated > self.settled {
            return None;
        }
        kept.used.store(true, Ordering::Relaxed);
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(Replies::single(kept.frame.clone(), false))
    }

    /// What to do about `cmd`, which is [suitable](Suitable::Read); `waiter` is made where its caller has to
    /// wait.
    pub fn lookup<R>(&mut self, cmd: &Cmd<R>, now: Instant, waiter: impl FnOnce() -> W) -> Lookup {
        let (words, large) = cmd.args().pieces();
        if !self.live || !large.is_empty() {
            self.stats.passed += 1;
            return Lookup::Pass;
        }
        if let Some(replies) = self.hit(cmd, now) {
            return Lookup::Hit(replies);
        }
        match self.entries.get(words).map(|entry| &entry.state) {
            Some(EntryState::Flying(flight)) => {
                let flight = *flight;
                if self.flights.get(&flight).is_none_or(|flying| flying.outdated <= self.settled) {
                    return self.join(flight, waiter());
                }
                let words = Bytes::copy_from_slice(words);
                self.remove(&words);
            }
            Some(EntryState::Kept(kept)) if kept.outdated > self.settled => {
                return Lookup::Settle(Mark(self.last));
            }
            Some(EntryState::Kept(_)) => {
                let words = Bytes::copy_from_slice(words);
                self.remove(&words);
            }
            None => {}
        }
        self.begin(cmd, now)
    }

    fn join(&mut self, flight: u64, waiter: W) -> Lookup {
        let number = self.number();
        match self.flights.get_mut(&flight) {
            Some(flying) if self.waiting < MOST_WAITING => {
                flying.waiters.insert(number, waiter);
                self.waiting += 1;
                self.stats.joined += 1;
                Lookup::FlightWait(FlightWait { flight, number })
            }
            _ => {
                self.stats.passed += 1;
                Lookup::Pass
            }
        }
    }

    fn begin<R>(&mut self, cmd: &Cmd<R>, now: Instant) -> Lookup {
        let words = Bytes::copy_from_slice(cmd.args().pieces().0);
        let list: Vec<&[u8]> = cmd.args().iter().collect();
        let keys: Vec<Bytes> =
            cmd.facts().keys(list.into_iter()).map(|(_, key)| Bytes::copy_from_slice(key)).collect();
        if keys.is_empty() || !keys.iter().all(|key| self.options.announces(key)) {
            self.stats.passed += 1;
            return Lookup::Pass;
        }
        self.stats.misses += 1;
        let flight = self.number();
        self.index.extend(keys.iter().map(|key| (key.clone(), words.clone())));
        self.entries
            .insert(words.clone(), CacheEntry { keys: keys.clone(), state: EntryState::Flying(flight) });
        self.flights.insert(flight, Flying { words, keys, begun: now, outdated: 0, waiters: HashMap::new() });
        Lookup::Fetch(Flight(flight))
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The read was answered by `replies`, which is one reply: callers that wait get it, and it is kept if it
    /// may be.
    pub fn handle_fetched(&mut self, flight: Flight, replies: &Replies) {
        let Some(flying) = self.land(&flight, Some(replies)) else { return };
        if self.apart {
            self.outdate(&flying.keys);
        }
        let Some(frame) = replies.each().next() else { return self.drop_flight(&flying.words, &flight) };
        let Some(entry) = self.entries.get_mut(&flying.words) else { return };
        if !matches!(entry.state, EntryState::Flying(number) if number == flight.0) {
            return;
        }
        let cost = cost(&flying.words, &frame, &entry.keys);
        if matches!(frame.first(), Some(b'-' | b'!')) || cost > self.options.max_bytes {
            self.remove(&flying.words);
            return;
        }
        let until = self.options.ttl.and_then(|ttl| flying.begun.checked_add(ttl));
        // Copied: as it lies it holds on to all that came in the same read.
        let frame = Bytes::copy_from_slice(&frame);
        let used = AtomicBool::new(false);
        entry.state =
            EntryState::Kept(CachedReply { frame, until, used, number: flight.0, outdated: flying.outdated });
        self.queue.push_back((flying.words, flight.0));
        self.stats.bytes += cost;
        self.stats.entries += 1;
        self.make_room();
    }

    /// These keys were read: what else was, or is being read of them may be older.
    fn outdate(&mut self, keys: &[Bytes]) {
        let mark = self.number();
        for key in keys {
            let first = (key.clone(), Bytes::new());
            for (_, words) in self.index.range(&first..).take_while(|(of, _)| of == key) {
                match self.entries.get_mut(words).map(|entry| &mut entry.state) {
                    Some(EntryState::Kept(kept)) => kept.outdated = mark,
                    // Neither requests nor replies come here in the order in which the server saw them.
                    Some(EntryState::Flying(flight)) => {
                        if let Some(flying) = self.flights.get_mut(flight) {
                            flying.outdated = mark;
                        }
                    }
                    None => {}
                }
            }
        }
    }

    /// Now, for a question that is about to be asked of what announces.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.last)
    }

    /// All is known that was announced before `mark`; or, if not `known`, that cannot be told, and nothing is
    /// kept.
    pub fn handle_settled(&mut self, mark: Mark, known: bool) {
        self.settled = self.settled.max(mark.0);
        if !known {
            self.clear();
        }
    }

    /// The read failed, or its caller gave up: callers that wait look again.
    pub fn handle_failed(&mut self, flight: Flight) {
        if let Some(flying) = self.land(&flight, None) {
            self.drop_flight(&flying.words, &flight);
        }
    }

    /// Ends a flight for the callers that wait for it.
    fn land(&mut self, flight: &Flight, replies: Option<&Replies>) -> Option<Flying<W>> {
        let mut flying = self.flights.remove(&flight.0)?;
        for (number, waiter) in flying.waiters.drain() {
            self.answers.insert(number, replies.cloned());
            self.woken.push(waiter);
        }
        Some(flying)
    }

    /// Takes out the entry of a flight, unless another has its place.
    fn drop_flight(&mut self, words: &Bytes, flight: &Flight) {
        let entry = self.entries.get(words);
        if entry.is_some_and(|entry| matches!(entry.state, EntryState::Flying(number) if number == flight.0))
        {
            self.remove(words);
        }
    }

    /// What a caller waited for, once it is there; `None` where it has to look again. Until then `update` may
    /// renew the waiter.
    ///
    /// # Errors
    /// Gives the wait back while there is nothing yet.
    pub fn poll_wait(
        &mut self,
        wait: FlightWait,
        update: impl FnOnce(&mut W),
    ) -> Result<Option<Replies>, FlightWait> {
        if let Some(answer) = self.answers.remove(&wait.number) {
            self.waiting -= 1;
            return Ok(answer);
        }
        if let Some(waiter) = self.flights.get_mut(&wait.flight).and_then(|f| f.waiters.get_mut(&wait.number))
        {
            update(waiter);
        }
        Err(wait)
    }

    /// The caller does not wait any longer. Gives back what would have woken it, unless an answer came
    /// meanwhile.
    pub fn abandon(&mut self, wait: FlightWait) -> Option<W> {
        let flying = self.flights.get_mut(&wait.flight);
        let waiter = flying.and_then(|flying| flying.waiters.remove(&wait.number));
        let answered = self.answers.remove(&wait.number).is_some();
        self.waiting -= usize::from(waiter.is_some() || answered);
        waiter
    }

    /// Moves the callers that can go on to `woken`.
    pub fn poll_woken(&mut self, woken: &mut Vec<W>) {
        woken.append(&mut self.woken);
    }

    /// Changes are announced from now on; over a connection of their own, if `apart`.
    pub fn handle_up(&mut self, apart: bool) {
        (self.live, self.apart) = (true, apart);
    }

    /// Changes are not announced any more: nothing that is kept can be trusted, nor anything that is being
    /// read. Says whether they were announced until now.
    pub fn handle_down(&mut self) -> bool {
        let was_live = std::mem::take(&mut self.live);
        if was_live {
            self.clear();
            self.stats.flushes += 1;
        }
        was_live
    }

    /// The server pushed `frame`, or sent it as a message. Says whether it goes on announcing.
    pub fn handle_push(&mut self, frame: &[u8]) -> bool {
        match Announcement::parse(frame) {
            Announcement::Changed(keys) => {
                for key in keys {
                    self.stats.invalidations += 1;
                    self.forget(key);
                }
                true
            }
            Announcement::Everything => {
                self.clear();
                self.stats.flushes += 1;
                true
            }
            Announcement::Over => {
                self.handle_down();
                false
            }
            Announcement::Other => true,
        }
    }

    /// The caller's own `cmd` was executed, or may have been: what it may have changed is gone before the
    /// caller goes on.
    pub fn handle_written<R>(&mut self, cmd: &Cmd<R>) {
        match suitable(cmd.facts()) {
            Suitable::Read | Suitable::Neither => {}
            Suitable::Change => {
                let list: Vec<&[u8]> = cmd.args().iter().collect();
                cmd.facts().keys(list.into_iter()).for_each(|(_, key)| self.forget(key));
            }
            Suitable::ChangeAll => self.clear(),
        }
    }

    /// Forgets all that is kept, and keeps nothing of what is being read.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.index.clear();
        self.queue.clear();
        (self.stats.bytes, self.stats.entries) = (0, 0);
    }

    /// Takes out all that has this key.
    fn forget(&mut self, key: &[u8]) {
        if self.index.is_empty() {
            return;
        }
        let first = (Bytes::copy_from_slice(key), Bytes::new());
        while let Some((_, words)) = self.index.range(&first..).next().filter(|(of, _)| *of == first.0) {
            let words = words.clone();
            self.remove(&words);
        }
    }

    fn remove(&mut self, words: &Bytes) {
        let Some(entry) = self.entries.remove(words) else { return };
        if let EntryState::Kept(kept) = &entry.state {
            self.stats.bytes -= cost(words, &kept.frame, &entry.keys);
            self.stats.entries -= 1;
        }
        for key in entry.keys {
            self.index.remove(&(key, words.clone()));
        }
        // What is gone stays in the queue until it is met there; it must not outgrow what is kept.
        if self.queue.len() > 2 * self.stats.entries + 64 {
            let entries = &self.entries;
            self.queue.retain(|(words, number)| is_kept(entries, words, *number));
        }
    }

    /// Takes out what served least lately, as far as one bit tells: what has served since it was last looked
    /// at is passed over once.
    fn make_room(&mut self) {
        while self.stats.bytes > self.options.max_bytes {
            let Some((words, number)) = self.queue.pop_front() else { return };
            let Some(EntryState::Kept(kept)) = self.entries.get(&words).map(|entry| &entry.state) else {
                continue;
            };
            if kept.number != number {
                continue;
            }
            if kept.used.swap(false, Ordering::Relaxed) {
                self.queue.push_back((words, number));
            } else {
                self.remove(&words);
                self.stats.evictions += 1;
            }
        }
    }
}

fn is_kept(entries: &HashMap<Bytes, CacheEntry>, words: &Bytes, number: u64) -> bool {
    let state = entries.get(words).map(|entry| &entry.state);
    matches!(state, Some(EntryState::Kept(kept)) if kept.number == number)
}

/// How many bytes an entry takes.
fn cost(words: &Bytes, frame: &Bytes, keys: &[Bytes]) -> usize {
    ENTRY + words.len() + frame.len() + keys.iter().map(|key| KEY + key.len()).sum::<usize>()
}

#[cfg(test)]
mod tests;
