//! What may be said about adding, reading, trimming and claiming.

use std::time::{Duration, SystemTime};

use redwire_core::{Arg, Args};

use super::StreamId;
use crate::commands::keys::time::{timeout_millis, unix_millis, wait_millis};

/// What becomes of an entry that groups still refer to, because it is pending or was not read yet, when it is
/// deleted (Redis 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryReferences {
    /// It is deleted, and stays pending, as with `xdel`.
    Keep,
    /// It is deleted, and pending no longer.
    Delete,
    /// It stays, unless all groups have read and acknowledged it.
    Acked,
}

impl Arg for EntryReferences {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Keep => b"KEEPREF",
            Self::Delete => b"DELREF",
            Self::Acked => b"ACKED",
        });
    }
}

/// What a consumer that gives entries back says of them (Redis 8.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NackMode {
    /// Nothing is wrong with them: this delivery does not count.
    Silent,
    /// This consumer could not work on them: the delivery counts.
    Fail,
    /// No consumer can: they count as delivered as often as can be counted.
    Fatal,
}

impl Arg for NackMode {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Silent => b"SILENT",
            Self::Fail => b"FAIL",
            Self::Fatal => b"FATAL",
        });
    }
}

/// How a stream remembers what producers have added, so that adding it again adds nothing (Redis 8.6).
#[derive(Clone, Copy, Debug, Default)]
pub struct XcfgsetOptions {
    duration: Option<Duration>,
    maxsize: Option<u64>,
}

impl XcfgsetOptions {
    /// As it is: with no more, servers refuse it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For so long, in whole seconds, rounded up: 1 second to a day, at first 100 seconds.
    #[must_use]
    pub fn idmp_duration(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    /// So many of each producer: 1 to 10 000, at first 100.
    #[must_use]
    pub fn idmp_maxsize(mut self, count: u64) -> Self {
        self.maxsize = Some(count);
        self
    }
}

impl Arg for XcfgsetOptions {
    fn write(&self, args: &mut Args) {
        let seconds = self.duration.map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0));
        seconds.write_named("IDMP-DURATION", args);
        self.maxsize.write_named("IDMP-MAXSIZE", args);
    }
}

/// How much of a stream is kept.
///
/// ```
/// use redwire::commands::{Trim, XaddOptions};
/// use redwire::prelude::*;
/// # let (batch, _) = redwire::Pipeline::record(|client| {
///
/// // About a million entries, and no more than that by a page of the server's.
/// client.xadd_with("log", XaddOptions::new().trim(Trim::maxlen(1_000_000).approximate()), ("line", "…"));
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    keep: Kept,
    approximate: bool,
    limit: Option<u64>,
    references: Option<EntryReferences>,
}

#[derive(Clone, Copy, Debug)]
enum Kept {
    Newest(u64),
    From(StreamId),
}

impl Trim {
    /// The newest `count` entries stay.
    #[must_use]
    pub fn maxlen(count: u64) -> Self {
        Self::new(Kept::Newest(count))
    }

    /// Entries from `id` on stay.
    #[must_use]
    pub fn minid(id: StreamId) -> Self {
        Self::new(Kept::From(id))
    }

    fn new(keep: Kept) -> Self {
        Self { keep, approximate: false, limit: None, references: None }
    }

    /// What becomes of entries that groups still refer to; otherwise they are deleted, and stay pending
    /// (Redis 8.2).
    #[must_use]
    pub fn references(mut self, references: EntryReferences) -> Self {
        self.references = Some(references);
        self
    }

    /// Some more may stay, which is cheaper for the server (`~`).
    #[must_use]
    pub fn approximate(mut self) -> Self {
        self.approximate = true;
        self
    }

    /// As [`approximate`](Self::approximate), and no more than `count` entries are deleted at a time; 0 for
    /// any number. The servers' default is a hundred of their pages.
    #[must_use]
    pub fn limit(mut self, count: u64) -> Self {
        self.approximate = true;
        self.limit = Some(count);
        self
    }
}

impl Arg for Trim {
    fn write(&self, args: &mut Args) {
        let mark = if self.approximate { "~" } else { "=" };
        match self.keep {
            Kept::Newest(count) => ("MAXLEN", mark, count).write(args),
            Kept::From(id) => ("MINID", mark, id).write(args),
        }
        self.limit.write_named("LIMIT", args);
        args.optional(self.references);
    }
}

/// How an entry is added.
#[derive(Clone, Debug, Default)]
pub struct XaddOptions {
    nomkstream: bool,
    once: Option<AddedOnce>,
    trim: Option<Trim>,
    id: Option<StreamId>,
}

/// By which name an entry is known, so that it is added once.
#[derive(Clone, Debug)]
struct AddedOnce {
    producer: Vec<u8>,
    /// `None`: the entry's own data are its name.
    id: Option<Vec<u8>>,
}

impl XaddOptions {
    /// With an ID that the server chooses, to a stream that is made if need be.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only to a stream that exists.
    #[must_use]
    pub fn nomkstream(mut self) -> Self {
        self.nomkstream = true;
        self
    }

    /// Only if `producer` has not added an entry of this ID of its own yet; if it has, the reply is the ID
    /// that was given then. A caller in doubt may try again, as long as the stream remembers: see
    /// [`XcfgsetOptions`] (Redis 8.6).
    #[must_use]
    pub fn idmp(mut self, producer: impl AsRef<[u8]>, id: impl AsRef<[u8]>) -> Self {
        self.once = Some(AddedOnce { producer: producer.as_ref().to_vec(), id: Some(id.as_ref().to_vec()) });
        self
    }

    /// As [`idmp`](Self::idmp), with the fields and values themselves for the ID (Redis 8.6).
    #[must_use]
    pub fn idmp_auto(mut self, producer: impl AsRef<[u8]>) -> Self {
        self.once = Some(AddedOnce { producer: producer.as_ref().to_vec(), id: None });
        self
    }

    /// Deletes old entries, too.
    #[must_use]
    pub fn trim(mut self, trim: Trim) -> Self {
        self.trim = Some(trim);
        self
    }

    /// With this ID, which must be greater than all before. With it, adding the same twice is refused, so a
    /// caller in doubt may try again.
    #[must_use]
    pub fn id(mut self, id: StreamId) -> Self {
        self.id = Some(id);
        self
    }
}

impl Arg for XaddOptions {
    /// The words before the fields.
    fn write(&self, args: &mut Args) {
        args.flag(self.nomkstream, "NOMKSTREAM");
        match &self.once {
            Some(AddedOnce { producer, id: Some(id) }) => ("IDMP", producer, id).write(args),
            Some(AddedOnce { producer, id: None }) => producer.write_named("IDMPAUTO", args),
            None => {}
        }
        args.optional(self.trim);
        match self.id {
            Some(id) => id.write(args),
            None => StreamId::AUTO.write(args),
        }
    }
}

/// How streams are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct XreadOptions {
    count: Option<u64>,
    block: Option<Duration>,
}

impl XreadOptions {
    /// All there is, without waiting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Up to so many entries of each stream.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Waits for entries if there are none; zero for ever. The call has a connection to itself meanwhile, and
    /// this time on top of its deadline.
    #[must_use]
    pub fn block(mut self, wait: Duration) -> Self {
        self.block = Some(wait);
        self
    }
}

impl Arg for XreadOptions {
    fn write(&self, args: &mut Args) {
        self.count.write_named("COUNT", args);
        self.block.map(wait_millis).write_named("BLOCK", args);
    }
}

/// How a consumer of a group reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct XreadgroupOptions {
    read: XreadOptions,
    claim: Option<Duration>,
    noack: bool,
}

impl XreadgroupOptions {
    /// All there is, without waiting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Up to so many entries of each stream.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.read = self.read.count(count);
        self
    }

    /// Waits for entries if there are none; zero for ever. The call has a connection to itself meanwhile, and
    /// this time on top of its deadline.
    #[must_use]
    pub fn block(mut self, wait: Duration) -> Self {
        self.read = self.read.block(wait);
        self
    }

    /// With [`StreamId::UNDELIVERED`], takes entries first that were delivered to any consumer so long ago
    /// and are pending since, those that wait longest first: what `xautoclaim` does by itself. How long each
    /// waited, and how often it was delivered, stands in [`Entry::idle`](super::Entry::idle) and
    /// [`Entry::deliveries`](super::Entry::deliveries) (Redis 8.4).
    #[must_use]
    pub fn claim(mut self, min_idle: Duration) -> Self {
        self.claim = Some(min_idle);
        self
    }

    /// What is delivered counts as acknowledged: entries whose reply is lost are lost.
    #[must_use]
    pub fn noack(mut self) -> Self {
        self.noack = true;
        self
    }
}

impl Arg for XreadgroupOptions {
    fn write(&self, args: &mut Args) {
        self.read.write(args);
        self.claim.map(timeout_millis).write_named("CLAIM", args);
        args.flag(self.noack, "NOACK");
    }
}

/// How a group is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct XgroupOptions {
    mkstream: bool,
    entries_read: Option<u64>,
}

impl XgroupOptions {
    /// Of a stream that exists.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the stream if need be.
    #[must_use]
    pub fn mkstream(mut self) -> Self {
        self.mkstream = true;
        self
    }

    /// So many entries count as read already, from which the server tells how far the group is behind (Redis
    /// 7.0).
    #[must_use]
    pub fn entries_read(mut self, count: u64) -> Self {
        self.entries_read = Some(count);
        self
    }
}

impl Arg for XgroupOptions {
    fn write(&self, args: &mut Args) {
        args.flag(self.mkstream, "MKSTREAM");
        self.entries_read.write_named("ENTRIESREAD", args);
    }
}

/// What else is set with the last ID of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct XsetidOptions {
    entries_added: Option<u64>,
    max_deleted_id: Option<StreamId>,
}

impl XsetidOptions {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many entries were ever added (Redis 7.0).
    #[must_use]
    pub fn entries_added(mut self, count: u64) -> Self {
        self.entries_added = Some(count);
        self
    }

    /// The greatest ID that was ever deleted (Redis 7.0).
    #[must_use]
    pub fn max_deleted_id(mut self, id: StreamId) -> Self {
        self.max_deleted_id = Some(id);
        self
    }
}

impl Arg for XsetidOptions {
    fn write(&self, args: &mut Args) {
        self.entries_added.write_named("ENTRIESADDED", args);
        self.max_deleted_id.write_named("MAXDELETEDID", args);
    }
}

/// Which pending entries are listed.
#[derive(Clone, Debug, Default)]
pub struct XpendingOptions {
    idle: Option<Duration>,
    pub(super) consumer: Option<Vec<u8>>,
}

impl XpendingOptions {
    /// All of them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Those delivered at least so long ago.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Those of this consumer.
    #[must_use]
    pub fn consumer(mut self, consumer: impl AsRef<[u8]>) -> Self {
        self.consumer = Some(consumer.as_ref().to_vec());
        self
    }

    /// The words before the range.
    pub(super) fn idle_words(&self) -> Option<(&'static str, u64)> {
        self.idle.map(|idle| ("IDLE", timeout_millis(idle)))
    }
}

/// How entries are claimed.
#[derive(Clone, Copy, Debug, Default)]
pub struct XclaimOptions {
    idle: Option<IdleTime>,
    deliveries: Option<u64>,
    force: bool,
    last_id: Option<StreamId>,
}

#[derive(Clone, Copy, Debug)]
enum IdleTime {
    For(Duration),
    Since(SystemTime),
}

impl XclaimOptions {
    /// As if they were delivered now.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As if they were delivered so long ago.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(IdleTime::For(idle));
        self
    }

    /// As if they were delivered at this moment.
    #[must_use]
    pub fn time(mut self, time: SystemTime) -> Self {
        self.idle = Some(IdleTime::Since(time));
        self
    }

    /// As if they were delivered so often; otherwise this counts as one more delivery.
    #[must_use]
    pub fn retrycount(mut self, deliveries: u64) -> Self {
        self.deliveries = Some(deliveries);
        self
    }

    /// Also entries that were pending for no consumer, if they are in the stream.
    #[must_use]
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }

    /// Sets the group's last delivered ID, if this is greater.
    #[must_use]
    pub fn lastid(mut self, id: StreamId) -> Self {
        self.last_id = Some(id);
        self
    }
}

impl Arg for XclaimOptions {
    fn write(&self, args: &mut Args) {
        match self.idle {
            Some(IdleTime::For(idle)) => timeout_millis(idle).write_named("IDLE", args),
            Some(IdleTime::Since(time)) => unix_millis(time).write_named("TIME", args),
            None => {}
        }
        self.deliveries.write_named("RETRYCOUNT", args);
        args.flag(self.force, "FORCE");
        self.last_id.write_named("LASTID", args);
    }
}
