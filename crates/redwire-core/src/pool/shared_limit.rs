//! A limit that several pools have together, as those of the nodes of a cluster: which of them may make one
//! more connection, and whether others part with one for that.
//!
//! Promises that all pools together have no more connections than the limit, that no place is lost, that
//! callers of different pools get a place in the order in which they came, and that none sleeps beside a
//! free place or an idle connection. This file must not know what a pool is, nor locks and clocks.
//!
//! ```text
//!  a pool has changed ── update(demand) ──▶ what it is allowed (Pool::handle_allowance)
//!  poll_changed ──▶ another pool that is allowed something else now: it is asked for its demand
//! ```
//!
//! While a caller waits for a place, a connection is sought for it: each pool that hears of that closes one
//! after the other of those that are idle, and then those that come back, unless a caller of its own came
//! before. A caller that would not wait is refused once all pools have looked.

use std::time::Instant;

/// The places of several pools. Each has a number, which [`join`](Self::join) gives.
///
/// Mutators: [`join`](Self::join), [`update`](Self::update), [`leave`](Self::leave). After each, ask
/// [`poll_changed`](Self::poll_changed) which pools are to be told.
#[derive(Debug)]
pub struct SharedLimit {
    max: usize,
    pools: Vec<Option<Member>>,
    /// Since when the oldest caller waits for whom there is no place.
    sought: Option<Instant>,
}

/// What a pool has, and what it wants: see [`Pool::demand`](super::Pool::demand).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Demand {
    /// Its connections, idle and in use and being made.
    pub size: usize,
    /// Those that are idle.
    pub idle: usize,
    /// Since when the oldest caller waits for whom a connection is to be made.
    pub wants: Option<Instant>,
    /// Whether a connection is to be made that no caller asked for, if there is room.
    pub warm: bool,
}

/// What a pool may do: for [`Pool::handle_allowance`](super::Pool::handle_allowance).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Allowance {
    /// So many connections it may have.
    pub places: usize,
    /// Since when a caller of any pool waits for whom there is no place.
    pub sought: Option<Instant>,
    /// Whether there is no place for the pool's own callers, and nothing idle whose place they could take.
    pub exhausted: bool,
}

#[derive(Clone, Debug)]
struct Member {
    /// Connections beside those of the pool, which are there whatever the limit says.
    beside: usize,
    since: Instant,
    /// The places of its connections, and of one that it may make.
    places: usize,
    /// As [`Demand::wants`], while there is no place.
    wants: Option<Instant>,
    /// Whether it has nothing idle, and will not without telling.
    searched: bool,
    told: Allowance,
    /// Whether it is to be told.
    changed: bool,
}

impl SharedLimit {
    /// A limit of `max` connections, that no pool has yet.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, pools: Vec::new(), sought: None }
    }

    /// How many connections there may be.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// One more pool shares the limit from `now` on. So many connections count that are `beside` it; they are
    /// there whatever the limit says. Gives its number.
    pub fn join(&mut self, beside: usize, now: Instant) -> usize {
        let member = Member {
            beside,
            since: now,
            places: 0,
            wants: None,
            searched: false,
            told: Allowance::default(),
            changed: false,
        };
        let vacant = self.pools.iter().position(Option::is_none);
        let number = vacant.unwrap_or(self.pools.len());
        match vacant {
            Some(number) => self.pools[number] = Some(member),
            None => self.pools.push(Some(member)),
        }
        self.review();
        number
    }

    /// The pool of this number is there no longer.
    pub fn leave(&mut self, number: usize) {
        self.pools[number] = None;
        self.review();
    }

    /// The pool of this number has and wants this now. Says what it may do.
    pub fn update(&mut self, number: usize, demand: Demand) -> Allowance {
        let Some(pool) = &mut self.pools[number] else { return Allowance::default() };
        (pool.places, pool.wants) = (demand.size, demand.wants);
        // Since it was told, it tells of each connection that comes back.
        pool.searched = pool.told.sought.is_some() && demand.idle == 0;
        self.review();
        let may_warm = demand.warm && self.sought.is_none() && self.free() > 0;
        let (sought, exhausted) = (self.sought, self.is_exhausted());
        let Some(pool) = &mut self.pools[number] else { return Allowance::default() };
        pool.places += usize::from(may_warm);
        pool.told = pool.allowance(sought, exhausted);
        pool.changed = false;
        pool.told
    }

    /// A pool that is allowed something else than it was told last: it is to be asked for its demand.
    pub fn poll_changed(&mut self) -> Option<usize> {
        let mut pools = self.pools.iter_mut();
        pools.position(|pool| pool.as_mut().is_some_and(|pool| std::mem::take(&mut pool.changed)))
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.pools.iter().flatten()
    }

    /// The places of all pools together. One is always left for calls that need a connection of their own.
    fn lendable(&self) -> usize {
        self.max.saturating_sub(self.members().map(|pool| pool.beside).sum()).max(1)
    }

    fn lent(&self) -> usize {
        self.members().map(|pool| pool.places).sum()
    }

    fn free(&self) -> usize {
        self.lendable().saturating_sub(self.lent())
    }

    /// Whether all pools with connections have looked for one that is idle.
    fn is_exhausted(&self) -> bool {
        self.sought.is_some() && self.members().all(|pool| pool.places == 0 || pool.searched)
    }

    /// Gives free places to the callers that came first, and finds out which pools are to be told.
    fn review(&mut self) {
        while self.free() > 0 {
            let waiting = self.pools.iter_mut().flatten().filter(|pool| pool.wants.is_some());
            let Some(first) = waiting.min_by_key(|pool| pool.wants) else { break };
            (first.places, first.wants) = (first.places + 1, None);
        }
        // A connection that came beside a pool takes a place as a caller would that came then.
        let came = self.members().filter(|pool| pool.beside > 0).map(|pool| pool.since).max();
        let excess = came.filter(|_| self.lent() > self.lendable());
        self.sought = self.members().filter_map(|pool| pool.wants).chain(excess).min();
        let (sought, exhausted) = (self.sought, self.is_exhausted());
        for pool in self.pools.iter_mut().flatten() {
            pool.searched &= sought.is_some();
            pool.changed |= pool.allowance(sought, exhausted).differs(&pool.told);
        }
    }
}

impl Member {
    fn allowance(&self, sought: Option<Instant>, exhausted: bool) -> Allowance {
        Allowance { places: self.places, sought, exhausted: exhausted && self.wants.is_some() }
    }
}

impl Allowance {
    /// Whether the pool that was told `other` is to be told this. For which caller a place is sought it asks
    /// before it decides by that.
    fn differs(&self, other: &Self) -> bool {
        let facts = |these: &Self| (these.places, these.sought.is_some(), these.exhausted);
        facts(self) != facts(other)
    }
}
