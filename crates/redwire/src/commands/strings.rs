//! Strings, counters and bits.

use std::time::Duration;

use redwire_core::{Arg, Args, Cmd, Reply, Run, facts};

use super::keys::time::millis;

mod bitfield;
mod conditions;
mod options;

pub use bitfield::{BitOffset, Bitfield, BitfieldOverflow, IntType};
pub use conditions::{DeleteIf, IncrexOptions, LcsMatch, LcsMatches, LcsOptions};
pub use options::{BitOperation, BitRange, Expiry, SetOptions};

/// Strings, counters and bits.
pub trait StringCommands: Run {
    /// The value of `key`, `None` where there is none. [GET](https://redis.io/docs/latest/commands/get/)
    fn get<V: Reply>(self, key: impl Arg) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::GET).required(key))
    }

    /// Sets `key`, whatever was there before, without expiry.
    /// [SET](https://redis.io/docs/latest/commands/set/)
    fn set(self, key: impl Arg, value: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SET).required(key).required(value))
    }

    /// Whether `key` was set: false where the options' condition did not hold.
    /// [SET](https://redis.io/docs/latest/commands/set/)
    fn set_with(self, key: impl Arg, value: impl Arg, options: SetOptions) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::SET).required(key).required(value).arg(options))
    }

    /// Sets `key` as `options` say and gives its value before, `None` where there was none. With
    /// [`nx`](SetOptions::nx), which needs Redis 7.0 here, `None` means that it was set.
    /// [SET](https://redis.io/docs/latest/commands/set/)
    fn set_get<V: Reply>(self, key: impl Arg, value: impl Arg, options: SetOptions) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::SET).required(key).required(value).arg("GET").arg(options))
    }

    /// Sets `key` for so long, in milliseconds, rounded up. [SET](https://redis.io/docs/latest/commands/set/)
    fn set_ex(self, key: impl Arg, value: impl Arg, expiry: Duration) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SET).required(key).required(value).named("PX", millis(expiry)))
    }

    /// Whether `key` was set, because there was none. [SETNX](https://redis.io/docs/latest/commands/setnx/)
    fn set_nx(self, key: impl Arg, value: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::SETNX).required(key).required(value))
    }

    /// The value of `key`, which is deleted. [GETDEL](https://redis.io/docs/latest/commands/getdel/)
    fn getdel<V: Reply>(self, key: impl Arg) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::GETDEL).required(key))
    }

    /// The value of `key`, whose expiry is changed. [GETEX](https://redis.io/docs/latest/commands/getex/)
    fn getex<V: Reply>(self, key: impl Arg, expiry: Expiry) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::GETEX).required(key).arg(expiry))
    }

    /// Whether `key` was deleted, because its value was this one (Valkey 9.0).
    /// [DELIFEQ](https://valkey.io/commands/delifeq/)
    fn delifeq(self, key: impl Arg, value: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::DELIFEQ).required(key).required(value))
    }

    /// Whether `key` was deleted: false where there is none or the condition does not hold; an error where
    /// the value is no string. O(1), with digests O(length of the value), since Redis 8.4.
    /// [DELEX](https://redis.io/docs/latest/commands/delex/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::DeleteIf;
    ///
    /// let was_mine = client.delex("lock", DeleteIf::Equal("mine"))?;
    /// # Ok(()) }
    /// ```
    fn delex(self, key: impl Arg, condition: DeleteIf<'_>) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::DELEX).required(key).arg(condition))
    }

    /// The digest of a value, XXH3 in 16 hexadecimal digits, for conditions; `None` where there is none, an
    /// error where it is no string. O(length of the value), since Redis 8.4.
    /// [DIGEST](https://redis.io/docs/latest/commands/digest/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::SetOptions;
    ///
    /// if let Some(digest) = client.digest("page")? {
    ///     client.set_with("page", "new", SetOptions::new().ifdeq(&digest))?;
    /// }
    /// # Ok(()) }
    /// ```
    fn digest(self, key: impl Arg) -> Self::Out<Option<String>> {
        self.run(Cmd::of(&facts::DIGEST).required(key))
    }

    /// Adds `delta` within bounds, changes the expiry as `options` say, and gives the sum and what was added:
    /// 0 where the sum would be out of bounds. An absent key counts as 0. O(1), since Redis 8.8.
    /// [INCREX](https://redis.io/docs/latest/commands/increx/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use std::time::Duration;
    ///
    /// use redwire::commands::IncrexOptions;
    ///
    /// let window = IncrexOptions::new().ubound(100).ex_if_none(Duration::from_secs(60));
    /// let (calls, added) = client.increx("calls:ann", 1, window)?;
    /// let is_allowed = added == 1;
    /// # Ok(()) }
    /// ```
    fn increx(self, key: impl Arg, delta: i64, options: IncrexOptions<i64>) -> Self::Out<(i64, i64)> {
        self.run(Cmd::of(&facts::INCREX).required(key).named("BYINT", delta).arg(options))
    }

    /// As [`increx`](Self::increx), with fractions. [INCREX](https://redis.io/docs/latest/commands/increx/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::IncrexOptions;
    ///
    /// let (sum, added) = client.increx_float("load", 0.5, IncrexOptions::new().ubound(8.0).saturate())?;
    /// # Ok(()) }
    /// ```
    fn increx_float(self, key: impl Arg, delta: f64, options: IncrexOptions<f64>) -> Self::Out<(f64, f64)> {
        self.run(Cmd::of(&facts::INCREX).required(key).named("BYFLOAT", delta).arg(options))
    }

    /// The bytes from `start` to `end`, both included, below zero from the end.
    /// [GETRANGE](https://redis.io/docs/latest/commands/getrange/)
    fn getrange<V: Reply>(self, key: impl Arg, start: i64, end: i64) -> Self::Out<V> {
        self.run(Cmd::of(&facts::GETRANGE).required(key).arg(start).arg(end))
    }

    /// Overwrites from byte `offset` on and gives the new length.
    /// [SETRANGE](https://redis.io/docs/latest/commands/setrange/)
    fn setrange(self, key: impl Arg, offset: u64, value: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::SETRANGE).required(key).arg(offset).required(value))
    }

    /// Appends and gives the new length. [APPEND](https://redis.io/docs/latest/commands/append/)
    fn append(self, key: impl Arg, value: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::APPEND).required(key).required(value))
    }

    /// The length in bytes, 0 where there is no such key.
    /// [STRLEN](https://redis.io/docs/latest/commands/strlen/)
    fn strlen(self, key: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::STRLEN).required(key))
    }

    /// Adds 1 and gives the sum. [INCR](https://redis.io/docs/latest/commands/incr/)
    fn incr(self, key: impl Arg) -> Self::Out<i64> {
        self.run(Cmd::of(&facts::INCR).required(key))
    }

    /// Adds `delta` and gives the sum. [INCRBY](https://redis.io/docs/latest/commands/incrby/)
    fn incr_by(self, key: impl Arg, delta: i64) -> Self::Out<i64> {
        self.run(Cmd::of(&facts::INCRBY).required(key).arg(delta))
    }

    /// Adds `delta` and gives the sum. [INCRBYFLOAT](https://redis.io/docs/latest/commands/incrbyfloat/)
    fn incr_by_float(self, key: impl Arg, delta: f64) -> Self::Out<f64> {
        self.run(Cmd::of(&facts::INCRBYFLOAT).required(key).arg(delta))
    }

    /// Takes 1 away and gives the rest. [DECR](https://redis.io/docs/latest/commands/decr/)
    fn decr(self, key: impl Arg) -> Self::Out<i64> {
        self.run(Cmd::of(&facts::DECR).required(key))
    }

    /// Takes `delta` away and gives the rest. [DECRBY](https://redis.io/docs/latest/commands/decrby/)
    fn decr_by(self, key: impl Arg, delta: i64) -> Self::Out<i64> {
        self.run(Cmd::of(&facts::DECRBY).required(key).arg(delta))
    }

    /// The values of all `keys`, usually a `Vec<Option<String>>`. In a cluster keys of several slots are
    /// asked for slot by slot, at once: other callers may write in between.
    /// [MGET](https://redis.io/docs/latest/commands/mget/)
    fn mget<C: Reply>(self, keys: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::MGET).places(keys))
    }

    /// Sets all these keys: pairs, or a map. On one server, and in a cluster within one slot, all are set at
    /// once. In a cluster keys of several slots are set slot by slot, which is not atomic: other callers may
    /// see some of them set and others not yet, and after an error some may be set. Keys with the same hash
    /// tag (`{user:7}:name`) have the same slot. [MSET](https://redis.io/docs/latest/commands/mset/)
    fn mset(self, pairs: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::MSET).pairs(pairs))
    }

    /// As [`mget`](Self::mget), under the name that says what it is in a cluster: it may be carried out in
    /// parts.
    ///
    /// ```no_run
    /// # async fn example(client: redwire::Client) -> redwire::Result<()> {
    /// use redwire::prelude::*;
    ///
    /// client.mset_nonatomic([("user:1", "ann"), ("user:2", "bob")]).await?;
    /// let names: Vec<Option<String>> = client.mget_nonatomic(["user:1", "user:2"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    fn mget_nonatomic<C: Reply>(self, keys: impl Arg) -> Self::Out<C> {
        self.mget(keys)
    }

    /// As [`mset`](Self::mset), under the name that says what it is in a cluster: it may be carried out in
    /// parts.
    fn mset_nonatomic(self, pairs: impl Arg) -> Self::Out<()> {
        self.mset(pairs)
    }

    /// Whether all these keys were set, because there was none of them.
    /// [MSETNX](https://redis.io/docs/latest/commands/msetnx/)
    fn mset_nx(self, pairs: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::MSETNX).pairs(pairs))
    }

    /// Whether all these keys (pairs, or a map) were set, as `options` say (Redis 8.4, Valkey 9.1).
    /// [MSETEX](https://redis.io/docs/latest/commands/msetex/)
    fn mset_ex(self, pairs: impl Arg, options: SetOptions) -> Self::Out<bool> {
        let mut words = Args::new();
        pairs.write(&mut words);
        self.run(Cmd::of(&facts::MSETEX).arg(words.len() / 2).pairs(pairs).arg(options))
    }

    /// The longest common subsequence of two values (Redis 7.0).
    /// [LCS](https://redis.io/docs/latest/commands/lcs/)
    fn lcs<V: Reply>(self, key: impl Arg, other: impl Arg) -> Self::Out<V> {
        self.run(Cmd::of(&facts::LCS).required(key).required(other))
    }

    /// The length of the longest common subsequence (Redis 7.0).
    /// [LCS](https://redis.io/docs/latest/commands/lcs/)
    fn lcs_len(self, key: impl Arg, other: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::LCS).required(key).required(other).arg("LEN"))
    }

    /// Where the longest common subsequence lies in both values, the last part first; absent keys count as
    /// empty. O(product of both lengths), since Redis 7.0.
    /// [LCS](https://redis.io/docs/latest/commands/lcs/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// use redwire::commands::LcsOptions;
    ///
    /// let matches = client.lcs_idx("one", "other", LcsOptions::new().minmatchlen(4))?;
    /// println!("{} bytes, {} parts of them long", matches.len, matches.matches.len());
    /// # Ok(()) }
    /// ```
    fn lcs_idx(self, key: impl Arg, other: impl Arg, options: LcsOptions) -> Self::Out<LcsMatches> {
        self.run(Cmd::of(&facts::LCS).required(key).required(other).arg("IDX").arg(options))
    }

    /// Whether the bit is set. [GETBIT](https://redis.io/docs/latest/commands/getbit/)
    fn getbit(self, key: impl Arg, offset: u64) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::GETBIT).required(key).arg(offset))
    }

    /// Sets or clears a bit; whether it was set before.
    /// [SETBIT](https://redis.io/docs/latest/commands/setbit/)
    fn setbit(self, key: impl Arg, offset: u64, bit: bool) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::SETBIT).required(key).arg(offset).arg(u32::from(bit)))
    }

    /// How many bits are set. [BITCOUNT](https://redis.io/docs/latest/commands/bitcount/)
    fn bitcount(self, key: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::BITCOUNT).required(key))
    }

    /// How many bits are set within `range`. [BITCOUNT](https://redis.io/docs/latest/commands/bitcount/)
    fn bitcount_range(self, key: impl Arg, range: BitRange) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::BITCOUNT).required(key).arg(range))
    }

    /// Where the first bit of this kind is, -1 where there is none.
    /// [BITPOS](https://redis.io/docs/latest/commands/bitpos/)
    fn bitpos(self, key: impl Arg, bit: bool) -> Self::Out<i64> {
        self.run(Cmd::of(&facts::BITPOS).required(key).arg(u32::from(bit)))
    }

    /// Where the first bit of this kind within `range` is, -1 where there is none.
    /// [BITPOS](https://redis.io/docs/latest/commands/bitpos/)
    fn bitpos_range(self, key: impl Arg, bit: bool, range: BitRange) -> Self::Out<i64> {
        self.run(Cmd::of(&facts::BITPOS).required(key).arg(u32::from(bit)).arg(range))
    }

    /// Puts the bits of `keys` together in `destination` and gives its length.
    /// [BITOP](https://redis.io/docs/latest/commands/bitop/)
    fn bitop(self, operation: BitOperation, destination: impl Arg, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::BITOP).arg(operation).required(destination).places(keys))
    }

    /// The result of each step, `None` where it would not fit and [`BitfieldOverflow::Fail`] was said.
    /// [BITFIELD](https://redis.io/docs/latest/commands/bitfield/)
    fn bitfield(self, key: impl Arg, steps: Bitfield) -> Self::Out<Vec<Option<i64>>> {
        self.run(Cmd::of(&facts::BITFIELD).required(key).arg(steps))
    }

    /// The result of each step; only [`Bitfield::get`] is allowed.
    /// [BITFIELD_RO](https://redis.io/docs/latest/commands/bitfield_ro/)
    fn bitfield_ro(self, key: impl Arg, steps: Bitfield) -> Self::Out<Vec<Option<i64>>> {
        self.run(Cmd::of(&facts::BITFIELD_RO).required(key).arg(steps))
    }
}

impl<T: Run> StringCommands for T {}
