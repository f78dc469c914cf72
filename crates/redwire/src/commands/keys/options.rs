//! What may be said about copying, restoring and sorting.

use std::time::{Duration, SystemTime};

use redwire_core::{Arg, Args};

use super::time::{millis, unix_millis};

/// How a key is copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyOptions {
    db: Option<u32>,
    replace: bool,
}

impl CopyOptions {
    /// Within the database, and only where the destination does not exist.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Into this database.
    #[must_use]
    pub fn db(mut self, db: u32) -> Self {
        self.db = Some(db);
        self
    }

    /// Also over a destination that exists.
    #[must_use]
    pub fn replace(mut self) -> Self {
        self.replace = true;
        self
    }
}

impl Arg for CopyOptions {
    fn write(&self, args: &mut Args) {
        self.db.write_named("DB", args);
        args.flag(self.replace, "REPLACE");
    }
}

/// How a key is made from what `dump` gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreOptions {
    lifetime: Option<Lifetime>,
    replace: bool,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Lifetime {
    In(Duration),
    At(SystemTime),
}

impl RestoreOptions {
    /// Without expiry, and only where the key does not exist.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The key expires after this time.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.lifetime = Some(Lifetime::In(ttl));
        self
    }

    /// The key expires at this moment (`ABSTTL`).
    #[must_use]
    pub fn expire_at(mut self, time: SystemTime) -> Self {
        self.lifetime = Some(Lifetime::At(time));
        self
    }

    /// Also over a key that exists.
    #[must_use]
    pub fn replace(mut self) -> Self {
        self.replace = true;
        self
    }

    /// For how long the key counts as unused, in whole seconds.
    #[must_use]
    pub fn idletime(mut self, idle: Duration) -> Self {
        self.idle_seconds = Some(idle.as_secs());
        self
    }

    /// How often the key counts as used, on the servers' logarithmic scale.
    #[must_use]
    pub fn freq(mut self, frequency: u8) -> Self {
        self.frequency = Some(frequency);
        self
    }

    /// The word before the payload: milliseconds, 0 for no expiry.
    pub(super) fn lifetime(&self) -> i64 {
        match self.lifetime {
            None => 0,
            Some(Lifetime::In(ttl)) => millis(ttl).cast_signed(),
            Some(Lifetime::At(time)) => unix_millis(time),
        }
    }
}

impl Arg for RestoreOptions {
    /// The words behind the payload.
    fn write(&self, args: &mut Args) {
        args.flag(self.replace, "REPLACE");
        args.flag(matches!(self.lifetime, Some(Lifetime::At(_))), "ABSTTL");
        self.idle_seconds.write_named("IDLETIME", args);
        self.frequency.map(u32::from).write_named("FREQ", args);
    }
}

/// How a list, a set or a sorted set is sorted.
///
/// ```
/// use redwire::commands::SortOptions;
/// use redwire::prelude::*;
/// # let (batch, _) = redwire::Pipeline::record(|client| {
///
/// // The names of the ten heaviest, by the keys weight_<element> and the fields name of the hashes
/// // object_<element>.
/// let options = SortOptions::new().by("weight_*").desc().limit(0, 10).get("object_*->name");
/// client.sort::<Vec<Option<String>>>("ids", options);
/// # });
/// ```
#[derive(Clone, Debug, Default)]
pub struct SortOptions {
    by: Option<Vec<u8>>,
    limit: Option<(u64, i64)>,
    get: Vec<Vec<u8>>,
    descending: bool,
    alpha: bool,
}

impl SortOptions {
    /// By the elements as numbers, the smallest first.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// By other keys, or fields of hashes, whose names are made from the elements: `*` stands for the
    /// element. A pattern without `*` leaves the order as it is.
    #[must_use]
    pub fn by(mut self, pattern: impl AsRef<[u8]>) -> Self {
        self.by = Some(pattern.as_ref().to_vec());
        self
    }

    /// Leaves out the first `offset` elements and gives `count` at most; a count below zero means all.
    #[must_use]
    pub fn limit(mut self, offset: u64, count: i64) -> Self {
        self.limit = Some((offset, count));
        self
    }

    /// Gives the value of another key or field in place of the element; `#` is the element itself. May be
    /// said several times.
    #[must_use]
    pub fn get(mut self, pattern: impl AsRef<[u8]>) -> Self {
        self.get.push(pattern.as_ref().to_vec());
        self
    }

    /// The largest first.
    #[must_use]
    pub fn desc(mut self) -> Self {
        self.descending = true;
        self
    }

    /// As text, not as numbers.
    #[must_use]
    pub fn alpha(mut self) -> Self {
        self.alpha = true;
        self
    }
}

impl Arg for SortOptions {
    fn write(&self, args: &mut Args) {
        self.by.write_named("BY", args);
        self.limit.write_named("LIMIT", args);
        self.get.iter().for_each(|pattern| pattern.write_named("GET", args));
        args.flag(self.descending, "DESC");
        args.flag(self.alpha, "ALPHA");
    }
}
