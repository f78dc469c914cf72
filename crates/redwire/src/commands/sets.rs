//! Sets: distinct members in no order.
//!
//! Promises: one method per command of Redis and Valkey, the same Rust value on RESP2 and RESP3. Must not
//! know: who runs the commands.

use redwire_core::{Arg, Cmd, Reply, Run, facts};

/// Sets. Members may be one value or many (a slice, a `Vec`, a `HashSet`); so may keys where they are plural.
///
/// Where members come back, name the collection: `HashSet<String>`, `Vec<Vec<u8>>`, `BTreeSet<u64>`.
pub trait SetCommands: Run {
    /// Adds members; how many were new. [SADD](https://redis.io/docs/latest/commands/sadd/)
    fn sadd(self, key: impl Arg, members: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::SADD).required(key).required(members))
    }

    /// Removes members; how many there were of them. [SREM](https://redis.io/docs/latest/commands/srem/)
    fn srem(self, key: impl Arg, members: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::SREM).required(key).required(members))
    }

    /// Whether `member` is in the set. [SISMEMBER](https://redis.io/docs/latest/commands/sismember/)
    fn sismember(self, key: impl Arg, member: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::SISMEMBER).required(key).required(member))
    }

    /// For each of `members`, whether it is in the set.
    /// [SMISMEMBER](https://redis.io/docs/latest/commands/smismember/)
    fn smismember(self, key: impl Arg, members: impl Arg) -> Self::Out<Vec<bool>> {
        self.run(Cmd::of(&facts::SMISMEMBER).required(key).places(members))
    }

    /// All members. [SMEMBERS](https://redis.io/docs/latest/commands/smembers/)
    fn smembers<C: Reply>(self, key: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::SMEMBERS).required(key))
    }

    /// How many members there are. [SCARD](https://redis.io/docs/latest/commands/scard/)
    fn scard(self, key: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::SCARD).required(key))
    }

    /// Removes a random member and returns it. [SPOP](https://redis.io/docs/latest/commands/spop/)
    fn spop<M: Reply>(self, key: impl Arg) -> Self::Out<Option<M>> {
        self.run(Cmd::of(&facts::SPOP).required(key))
    }

    /// Removes up to `count` random members and returns them.
    /// [SPOP](https://redis.io/docs/latest/commands/spop/)
    fn spop_count<C: Reply>(self, key: impl Arg, count: u64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::SPOP).required(key).arg(count))
    }

    /// A random member. [SRANDMEMBER](https://redis.io/docs/latest/commands/srandmember/)
    fn srandmember<M: Reply>(self, key: impl Arg) -> Self::Out<Option<M>> {
        self.run(Cmd::of(&facts::SRANDMEMBER).required(key))
    }

    /// Up to `count` distinct random members; with a negative `count`, exactly so many, perhaps the same ones
    /// again. [SRANDMEMBER](https://redis.io/docs/latest/commands/srandmember/)
    fn srandmember_count<C: Reply>(self, key: impl Arg, count: i64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::SRANDMEMBER).required(key).arg(count))
    }

    /// Moves `member` from one set to another; whether it was there.
    /// [SMOVE](https://redis.io/docs/latest/commands/smove/)
    fn smove(self, source: impl Arg, destination: impl Arg, member: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::SMOVE).required(source).required(destination).required(member))
    }

    /// The members that are in all the sets. [SINTER](https://redis.io/docs/latest/commands/sinter/)
    fn sinter<C: Reply>(self, keys: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::SINTER).places(keys))
    }

    /// Stores what [`sinter`](Self::sinter) gives in place of `destination`; how many members it has then.
    /// [SINTERSTORE](https://redis.io/docs/latest/commands/sinterstore/)
    fn sinterstore(self, destination: impl Arg, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::SINTERSTORE).required(destination).places(keys))
    }

    /// How many members are in all the sets. From Redis 7.0 on.
    /// [SINTERCARD](https://redis.io/docs/latest/commands/sintercard/)
    fn sintercard(self, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::SINTERCARD).counted(keys))
    }

    /// As [`sintercard`](Self::sintercard), but the server stops counting at `limit`; 0 is no limit. From
    /// Redis 7.0 on. [SINTERCARD](https://redis.io/docs/latest/commands/sintercard/)
    fn sintercard_limit(self, keys: impl Arg, limit: u64) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::SINTERCARD).counted(keys).named("LIMIT", limit))
    }

    /// The members that are in any of the sets. [SUNION](https://redis.io/docs/latest/commands/sunion/)
    fn sunion<C: Reply>(self, keys: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::SUNION).places(keys))
    }

    /// Stores what [`sunion`](Self::sunion) gives in place of `destination`; how many members it has then.
    /// [SUNIONSTORE](https://redis.io/docs/latest/commands/sunionstore/)
    fn sunionstore(self, destination: impl Arg, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::SUNIONSTORE).required(destination).places(keys))
    }

    /// The members of the first set that are in none of the others.
    /// [SDIFF](https://redis.io/docs/latest/commands/sdiff/)
    fn sdiff<C: Reply>(self, keys: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::SDIFF).places(keys))
    }

    /// Stores what [`sdiff`](Self::sdiff) gives in place of `destination`; how many members it has then.
    /// [SDIFFSTORE](https://redis.io/docs/latest/commands/sdiffstore/)
    fn sdiffstore(self, destination: impl Arg, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::SDIFFSTORE).required(destination).places(keys))
    }
}

impl<T: Run> SetCommands for T {}
