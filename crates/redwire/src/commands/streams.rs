//! Streams, and groups of consumers that share one.
//!
//! An entry that a group has delivered stays pending until it is acknowledged, so a consumer that takes over
//! what a dead one left behind sees each entry at least once. Must not know how a wait is carried out:
//! `BLOCK` is a word like others here.

use std::time::Duration;

use redwire_core::{Arg, Cmd, Reply, Run, facts};

use super::keys::time::timeout_millis;

mod entries;
mod id;
mod info;
mod options;

pub use entries::{AutoClaimed, Claimed, Entry, EntryDeletion, PendingEntry, PendingSummary, StreamsRead};
pub use id::StreamId;
pub use info::{
    ConsumerDetails, ConsumerInfo, ConsumerPending, GroupDetails, GroupInfo, GroupPending, StreamDetails,
    StreamInfo,
};
pub use options::{
    EntryReferences, NackMode, Trim, XaddOptions, XcfgsetOptions, XclaimOptions, XgroupOptions,
    XpendingOptions, XreadOptions, XreadgroupOptions, XsetidOptions,
};

/// Streams.
///
/// The fields of an entry are read as `T`: a map, a list of pairs, or a type of your own. Where a method
/// takes an ID, it takes a [`StreamId`] or one of the servers' own words, which stand there as constants.
///
/// ```
/// use std::collections::HashMap;
///
/// use redwire::commands::{StreamId, XgroupOptions, XreadgroupOptions};
/// use redwire::prelude::*;
/// # let (batch, _) = redwire::Pipeline::record(|client| {
///
/// client.xgroup_create("jobs", "workers", StreamId::MIN, XgroupOptions::new().mkstream());
/// client.xadd("jobs", [("kind", "mail"), ("to", "ann")]);
/// let options = XreadgroupOptions::new().count(10);
/// client.xreadgroup::<String, HashMap<String, String>>(
///     "workers", "one", options, "jobs", StreamId::UNDELIVERED);
/// # });
/// ```
pub trait StreamCommands: Run {
    /// Appends an entry of these fields and values, and gives the ID that the server chose.
    /// [XADD](https://redis.io/docs/latest/commands/xadd/)
    fn xadd(self, key: impl Arg, fields: impl Arg) -> Self::Out<StreamId> {
        self.run(Cmd::of(&facts::XADD).required(key).arg(StreamId::AUTO).pairs(fields))
    }

    /// As [`xadd`](Self::xadd) with options; `None` where the stream does not exist and was not to be made.
    /// [XADD](https://redis.io/docs/latest/commands/xadd/)
    fn xadd_with(self, key: impl Arg, options: XaddOptions, fields: impl Arg) -> Self::Out<Option<StreamId>> {
        self.run(Cmd::of(&facts::XADD).required(key).arg(options).pairs(fields))
    }

    /// How many entries there are. [XLEN](https://redis.io/docs/latest/commands/xlen/)
    fn xlen(self, key: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::XLEN).required(key))
    }

    /// The entries from `start` to `end`, both included; see [`StreamId::exclusive`] to leave one out.
    /// [XRANGE](https://redis.io/docs/latest/commands/xrange/)
    fn xrange<T: Reply>(self, key: impl Arg, start: impl Arg, end: impl Arg) -> Self::Out<Vec<Entry<T>>> {
        self.run(Cmd::of(&facts::XRANGE).required(key).required(start).required(end))
    }

    /// The first `count` of them at most. [XRANGE](https://redis.io/docs/latest/commands/xrange/)
    fn xrange_count<T: Reply>(
        self,
        key: impl Arg,
        start: impl Arg,
        end: impl Arg,
        count: u64,
    ) -> Self::Out<Vec<Entry<T>>> {
        self.run(Cmd::of(&facts::XRANGE).required(key).required(start).required(end).named("COUNT", count))
    }

    /// The entries from `end` back to `start`, both included: the newest first.
    /// [XREVRANGE](https://redis.io/docs/latest/commands/xrevrange/)
    fn xrevrange<T: Reply>(self, key: impl Arg, end: impl Arg, start: impl Arg) -> Self::Out<Vec<Entry<T>>> {
        self.run(Cmd::of(&facts::XREVRANGE).required(key).required(end).required(start))
    }

    /// The newest `count` of them at most. [XREVRANGE](https://redis.io/docs/latest/commands/xrevrange/)
    fn xrevrange_count<T: Reply>(
        self,
        key: impl Arg,
        end: impl Arg,
        start: impl Arg,
        count: u64,
    ) -> Self::Out<Vec<Entry<T>>> {
        self.run(Cmd::of(&facts::XREVRANGE).required(key).required(end).required(start).named("COUNT", count))
    }

    /// The entries after `ids`, one ID for each of `keys`, of those streams that have any; `None` if none
    /// has, or none came within the wait.
    ///
    /// It changes nothing: a reply that is lost can be asked for again, from the last ID that was seen. Asked
    /// from [`StreamId::LATEST`] it cannot: entries that come between two calls are missed. Read the last ID
    /// once, and go on from what came. [XREAD](https://redis.io/docs/latest/commands/xread/)
    fn xread<K: Reply, T: Reply>(
        self,
        options: XreadOptions,
        keys: impl Arg,
        ids: impl Arg,
    ) -> Self::Out<Option<StreamsRead<K, T>>> {
        self.run(streams(Cmd::of(&facts::XREAD).arg(options), keys, ids))
    }

    /// Entries for `consumer` of `group`, from each of `keys`: with [`StreamId::UNDELIVERED`] those that no
    /// consumer got yet, with an ID those after it that this consumer got and did not acknowledge. `None` if
    /// there is nothing new.
    ///
    /// What was delivered is pending until [`xack`](Self::xack). If the reply is lost, or the call is given
    /// up just as entries come, they are pending for this consumer all the same: it finds them by reading
    /// from [`StreamId::MIN`], anyone else by [`xautoclaim`](Self::xautoclaim). With
    /// [`noack`](XreadgroupOptions::noack) they are gone.
    /// [XREADGROUP](https://redis.io/docs/latest/commands/xreadgroup/)
    fn xreadgroup<K: Reply, T: Reply>(
        self,
        group: impl Arg,
        consumer: impl Arg,
        options: XreadgroupOptions,
        keys: impl Arg,
        ids: impl Arg,
    ) -> Self::Out<Option<StreamsRead<K, T>>> {
        let cmd = Cmd::of(&facts::XREADGROUP).arg("GROUP").required(group).required(consumer);
        self.run(streams(cmd.arg(options), keys, ids))
    }

    /// Takes entries off the list of what is pending, and gives how many were on it.
    /// [XACK](https://redis.io/docs/latest/commands/xack/)
    fn xack(self, key: impl Arg, group: impl Arg, ids: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::XACK).required(key).required(group).required(ids))
    }

    /// Deletes entries and gives how many there were. In groups they stay pending.
    /// [XDEL](https://redis.io/docs/latest/commands/xdel/)
    fn xdel(self, key: impl Arg, ids: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::XDEL).required(key).required(ids))
    }

    /// Deletes entries, and says what became of each; `references` decides about those that groups refer to.
    /// O(entries), since Redis 8.2. [XDELEX](https://redis.io/docs/latest/commands/xdelex/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::{EntryDeletion, EntryReferences};
    ///
    /// let id = client.xadd("jobs", ("kind", "mail"))?;
    /// let became = client.xdelex("jobs", EntryReferences::Delete, id)?;
    /// assert_eq!(became, [EntryDeletion::Deleted]);
    /// # Ok(()) }
    /// ```
    fn xdelex(
        self,
        key: impl Arg,
        references: EntryReferences,
        ids: impl Arg,
    ) -> Self::Out<Vec<EntryDeletion>> {
        self.run(Cmd::of(&facts::XDELEX).required(key).arg(references).arg("IDS").counted(ids))
    }

    /// Takes entries off the list of what is pending and deletes them, and says what became of each.
    /// O(entries), since Redis 8.2. [XACKDEL](https://redis.io/docs/latest/commands/xackdel/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::{EntryReferences, StreamId};
    ///
    /// client.xackdel("jobs", "workers", EntryReferences::Acked, StreamId::new(1_700_000_000_000, 3))?;
    /// # Ok(()) }
    /// ```
    fn xackdel(
        self,
        key: impl Arg,
        group: impl Arg,
        references: EntryReferences,
        ids: impl Arg,
    ) -> Self::Out<Vec<EntryDeletion>> {
        let cmd = Cmd::of(&facts::XACKDEL).required(key).required(group).arg(references);
        self.run(cmd.arg("IDS").counted(ids))
    }

    /// Gives pending entries back, so that any consumer may claim them at once, and gives how many were
    /// pending. `retrycount`: how often they count as delivered, in place of what `mode` says. O(entries),
    /// since Redis 8.8. [XNACK](https://redis.io/docs/latest/commands/xnack/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::{NackMode, StreamId};
    ///
    /// client.xnack("jobs", "workers", NackMode::Fail, StreamId::new(1_700_000_000_000, 3), None)?;
    /// # Ok(()) }
    /// ```
    fn xnack(
        self,
        key: impl Arg,
        group: impl Arg,
        mode: NackMode,
        ids: impl Arg,
        retrycount: Option<u64>,
    ) -> Self::Out<u64> {
        let cmd = Cmd::of(&facts::XNACK).required(key).required(group).arg(mode);
        self.run(cmd.arg("IDS").counted(ids).named("RETRYCOUNT", retrycount))
    }

    /// Sets how a stream remembers what producers have added by [`XaddOptions::idmp`], and forgets what it
    /// remembers; an error where there is no stream. O(1), since Redis 8.6.
    /// [XCFGSET](https://redis.io/docs/latest/commands/xcfgset/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::XcfgsetOptions;
    ///
    /// client.xcfgset("jobs", XcfgsetOptions::new().idmp_maxsize(1000))?;
    /// # Ok(()) }
    /// ```
    fn xcfgset(self, key: impl Arg, options: XcfgsetOptions) -> Self::Out<()> {
        self.run(Cmd::of(&facts::XCFGSET).required(key).arg(options))
    }

    /// Deletes the oldest entries and gives how many they were.
    /// [XTRIM](https://redis.io/docs/latest/commands/xtrim/)
    fn xtrim(self, key: impl Arg, trim: Trim) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::XTRIM).required(key).arg(trim))
    }

    /// Sets the last ID of a stream. [XSETID](https://redis.io/docs/latest/commands/xsetid/)
    fn xsetid(self, key: impl Arg, id: impl Arg, options: XsetidOptions) -> Self::Out<()> {
        self.run(Cmd::of(&facts::XSETID).required(key).required(id).arg(options))
    }

    /// Makes a group that begins after `id`: [`StreamId::MIN`] for all entries, [`StreamId::LATEST`] for
    /// those to come. The server's error `BUSYGROUP` says that it exists. [XGROUP
    /// CREATE](https://redis.io/docs/latest/commands/xgroup-create/)
    fn xgroup_create(
        self,
        key: impl Arg,
        group: impl Arg,
        id: impl Arg,
        options: XgroupOptions,
    ) -> Self::Out<()> {
        self.run(Cmd::of(&facts::XGROUP_CREATE).required(key).required(group).required(id).arg(options))
    }

    /// Lets a group go on after `id`; `entries_read` is how many entries count as read by then (Redis 7.0).
    /// [XGROUP SETID](https://redis.io/docs/latest/commands/xgroup-setid/)
    fn xgroup_setid(
        self,
        key: impl Arg,
        group: impl Arg,
        id: impl Arg,
        entries_read: Option<u64>,
    ) -> Self::Out<()> {
        let cmd = Cmd::of(&facts::XGROUP_SETID).required(key).required(group).required(id);
        self.run(cmd.named("ENTRIESREAD", entries_read))
    }

    /// Deletes a group with all that is pending; whether there was one.
    /// [XGROUP DESTROY](https://redis.io/docs/latest/commands/xgroup-destroy/)
    fn xgroup_destroy(self, key: impl Arg, group: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::XGROUP_DESTROY).required(key).required(group))
    }

    /// Makes a consumer, which reading does by itself; whether there was none.
    /// [XGROUP CREATECONSUMER](https://redis.io/docs/latest/commands/xgroup-createconsumer/)
    fn xgroup_createconsumer(self, key: impl Arg, group: impl Arg, consumer: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::XGROUP_CREATECONSUMER).required(key).required(group).required(consumer))
    }

    /// Deletes a consumer and gives how many entries were pending for it. **Those are lost to the group**:
    /// have them claimed before. [XGROUP
    /// DELCONSUMER](https://redis.io/docs/latest/commands/xgroup-delconsumer/)
    fn xgroup_delconsumer(self, key: impl Arg, group: impl Arg, consumer: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::XGROUP_DELCONSUMER).required(key).required(group).required(consumer))
    }

    /// What is pending in a group, in short. [XPENDING](https://redis.io/docs/latest/commands/xpending/)
    fn xpending(self, key: impl Arg, group: impl Arg) -> Self::Out<PendingSummary> {
        self.run(Cmd::of(&facts::XPENDING).required(key).required(group))
    }

    /// Up to `count` pending entries from `start` to `end`, both included.
    /// [XPENDING](https://redis.io/docs/latest/commands/xpending/)
    fn xpending_range(
        self,
        key: impl Arg,
        group: impl Arg,
        options: XpendingOptions,
        start: impl Arg,
        end: impl Arg,
        count: u64,
    ) -> Self::Out<Vec<PendingEntry>> {
        let cmd = Cmd::of(&facts::XPENDING).required(key).required(group).arg(options.idle_words());
        self.run(cmd.required(start).required(end).arg(count).arg(options.consumer))
    }

    /// Makes `consumer` the one for whom these entries are pending, if they have been for `min_idle`, and
    /// gives them. [XCLAIM](https://redis.io/docs/latest/commands/xclaim/)
    fn xclaim<T: Reply>(
        self,
        key: impl Arg,
        group: impl Arg,
        consumer: impl Arg,
        min_idle: Duration,
        ids: impl Arg,
        options: XclaimOptions,
    ) -> Self::Out<Claimed<T>> {
        let cmd = Cmd::of(&facts::XCLAIM).required(key).required(group).required(consumer);
        self.run(cmd.arg(timeout_millis(min_idle)).required(ids).arg(options))
    }

    /// As [`xclaim`](Self::xclaim), with the IDs alone; it does not count as a delivery.
    /// [XCLAIM](https://redis.io/docs/latest/commands/xclaim/)
    fn xclaim_justid(
        self,
        key: impl Arg,
        group: impl Arg,
        consumer: impl Arg,
        min_idle: Duration,
        ids: impl Arg,
        options: XclaimOptions,
    ) -> Self::Out<Vec<StreamId>> {
        let cmd = Cmd::of(&facts::XCLAIM).required(key).required(group).required(consumer);
        self.run(cmd.arg(timeout_millis(min_idle)).required(ids).arg(options).arg("JUSTID"))
    }

    /// Looks at up to ten times `count` pending entries from `start` on, and makes `consumer` the one for
    /// whom up to `count` of them are pending: those that have been for `min_idle`, which is how long a
    /// consumer may work on one. It gives them, and where to go on; [`StreamId::MIN`] there means that the
    /// end was reached. [XAUTOCLAIM](https://redis.io/docs/latest/commands/xautoclaim/)
    fn xautoclaim<T: Reply>(
        self,
        key: impl Arg,
        group: impl Arg,
        consumer: impl Arg,
        min_idle: Duration,
        start: impl Arg,
        count: u64,
    ) -> Self::Out<AutoClaimed<Entry<T>>> {
        let cmd = Cmd::of(&facts::XAUTOCLAIM).required(key).required(group).required(consumer);
        self.run(cmd.arg(timeout_millis(min_idle)).required(start).named("COUNT", count))
    }

    /// As [`xautoclaim`](Self::xautoclaim), with the IDs alone; it does not count as a delivery.
    /// [XAUTOCLAIM](https://redis.io/docs/latest/commands/xautoclaim/)
    fn xautoclaim_justid(
        self,
        key: impl Arg,
        group: impl Arg,
        consumer: impl Arg,
        min_idle: Duration,
        start: impl Arg,
        count: u64,
    ) -> Self::Out<AutoClaimed<StreamId>> {
        let cmd = Cmd::of(&facts::XAUTOCLAIM).required(key).required(group).required(consumer);
        self.run(cmd.arg(timeout_millis(min_idle)).required(start).named("COUNT", count).arg("JUSTID"))
    }

    /// What the server knows about a stream. [XINFO
    /// STREAM](https://redis.io/docs/latest/commands/xinfo-stream/)
    fn xinfo_stream<T: Reply>(self, key: impl Arg) -> Self::Out<StreamInfo<T>> {
        self.run(Cmd::of(&facts::XINFO_STREAM).required(key))
    }

    /// All of it: up to `count` entries, groups with up to so many pending entries, and their consumers; 0
    /// for no limit. [XINFO STREAM](https://redis.io/docs/latest/commands/xinfo-stream/)
    fn xinfo_stream_full<T: Reply>(self, key: impl Arg, count: u64) -> Self::Out<StreamDetails<T>> {
        self.run(Cmd::of(&facts::XINFO_STREAM).required(key).arg("FULL").named("COUNT", count))
    }

    /// The groups of a stream. [XINFO GROUPS](https://redis.io/docs/latest/commands/xinfo-groups/)
    fn xinfo_groups(self, key: impl Arg) -> Self::Out<Vec<GroupInfo>> {
        self.run(Cmd::of(&facts::XINFO_GROUPS).required(key))
    }

    /// The consumers of a group. [XINFO CONSUMERS](https://redis.io/docs/latest/commands/xinfo-consumers/)
    fn xinfo_consumers(self, key: impl Arg, group: impl Arg) -> Self::Out<Vec<ConsumerInfo>> {
        self.run(Cmd::of(&facts::XINFO_CONSUMERS).required(key).required(group))
    }
}

impl<T: Run> StreamCommands for T {}

/// Appends `STREAMS key [key …] id [id …]`. Servers take the first half of the words for keys, so each key
/// needs its ID.
fn streams<R>(cmd: Cmd<R>, keys: impl Arg, ids: impl Arg) -> Cmd<R> {
    let cmd = cmd.arg("STREAMS");
    let start = cmd.args().len();
    let cmd = cmd.places(keys);
    let keys = cmd.args().len() - start;
    let cmd = cmd.places(ids);
    if keys > 0 && cmd.args().len() == start + 2 * keys { cmd } else { cmd.required(None::<&str>) }
}
