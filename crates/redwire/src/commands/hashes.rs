//! Hashes and the expiry of their fields.

use std::time::{Duration, SystemTime};

use redwire_core::{Arg, Args, Cmd, Reply, Run, facts};

use super::keys::time::{millis, unix_millis};
use super::keys::{ExpireCondition, ExpireTime, Ttl};
use super::strings::Expiry;

mod options;

pub use options::{FieldExpiry, HsetexOptions};

/// Hashes. Wherever `fields` are asked for, one field will do, or a slice of them.
pub trait HashCommands: Run {
    /// Sets a field; whether it is new. [HSET](https://redis.io/docs/latest/commands/hset/)
    fn hset(self, key: impl Arg, field: impl Arg, value: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::HSET).required(key).required(field).required(value))
    }

    /// Sets all these fields (pairs, or a map) and gives how many are new.
    /// [HSET](https://redis.io/docs/latest/commands/hset/)
    fn hset_multiple(self, key: impl Arg, pairs: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::HSET).required(key).pairs(pairs))
    }

    /// Whether the field was set, because there was none.
    /// [HSETNX](https://redis.io/docs/latest/commands/hsetnx/)
    fn hset_nx(self, key: impl Arg, field: impl Arg, value: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::HSETNX).required(key).required(field).required(value))
    }

    /// Whether all these fields (pairs, or a map) were set, as `options` say (Redis 8.0, Valkey 9.0).
    /// [HSETEX](https://redis.io/docs/latest/commands/hsetex/)
    fn hsetex(self, key: impl Arg, options: HsetexOptions, pairs: impl Arg) -> Self::Out<bool> {
        let mut words = Args::new();
        pairs.write(&mut words);
        let count = words.len() / 2;
        self.run(Cmd::of(&facts::HSETEX).required(key).arg(options).named("FIELDS", count).pairs(pairs))
    }

    /// The value of a field. [HGET](https://redis.io/docs/latest/commands/hget/)
    fn hget<V: Reply>(self, key: impl Arg, field: impl Arg) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::HGET).required(key).required(field))
    }

    /// The values of these fields, usually a `Vec<Option<String>>`.
    /// [HMGET](https://redis.io/docs/latest/commands/hmget/)
    fn hmget<C: Reply>(self, key: impl Arg, fields: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::HMGET).required(key).places(fields))
    }

    /// All fields with their values, usually a `HashMap<String, String>`; empty where there is no such hash.
    /// [HGETALL](https://redis.io/docs/latest/commands/hgetall/)
    fn hgetall<M: Reply>(self, key: impl Arg) -> Self::Out<M> {
        self.run(Cmd::of(&facts::HGETALL).required(key))
    }

    /// Deletes these fields and gives how many there were.
    /// [HDEL](https://redis.io/docs/latest/commands/hdel/)
    fn hdel(self, key: impl Arg, fields: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::HDEL).required(key).required(fields))
    }

    /// The values of these fields, usually a `Vec<Option<String>>`, which are deleted (Redis 8.0, Valkey
    /// 9.1). [HGETDEL](https://redis.io/docs/latest/commands/hgetdel/)
    fn hgetdel<C: Reply>(self, key: impl Arg, fields: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::HGETDEL).required(key).arg("FIELDS").counted(fields))
    }

    /// The values of these fields, usually a `Vec<Option<String>>`, whose expiry is changed (Redis 8.0,
    /// Valkey 9.0). [HGETEX](https://redis.io/docs/latest/commands/hgetex/)
    fn hgetex<C: Reply>(self, key: impl Arg, expiry: Expiry, fields: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::HGETEX).required(key).arg(expiry).arg("FIELDS").counted(fields))
    }

    /// Whether there is such a field. [HEXISTS](https://redis.io/docs/latest/commands/hexists/)
    fn hexists(self, key: impl Arg, field: impl Arg) -> Self::Out<bool> {
        self.run(Cmd::of(&facts::HEXISTS).required(key).required(field))
    }

    /// Adds `delta` and gives the sum. [HINCRBY](https://redis.io/docs/latest/commands/hincrby/)
    fn hincr_by(self, key: impl Arg, field: impl Arg, delta: i64) -> Self::Out<i64> {
        self.run(Cmd::of(&facts::HINCRBY).required(key).required(field).arg(delta))
    }

    /// Adds `delta` and gives the sum. [HINCRBYFLOAT](https://redis.io/docs/latest/commands/hincrbyfloat/)
    fn hincr_by_float(self, key: impl Arg, field: impl Arg, delta: f64) -> Self::Out<f64> {
        self.run(Cmd::of(&facts::HINCRBYFLOAT).required(key).required(field).arg(delta))
    }

    /// All fields, usually a `Vec<String>`. [HKEYS](https://redis.io/docs/latest/commands/hkeys/)
    fn hkeys<C: Reply>(self, key: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::HKEYS).required(key))
    }

    /// All values, usually a `Vec<String>`. [HVALS](https://redis.io/docs/latest/commands/hvals/)
    fn hvals<C: Reply>(self, key: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::HVALS).required(key))
    }

    /// How many fields there are. [HLEN](https://redis.io/docs/latest/commands/hlen/)
    fn hlen(self, key: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::HLEN).required(key))
    }

    /// The length of a field's value in bytes, 0 where there is none.
    /// [HSTRLEN](https://redis.io/docs/latest/commands/hstrlen/)
    fn hstrlen(self, key: impl Arg, field: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::HSTRLEN).required(key).required(field))
    }

    /// Any one field. [HRANDFIELD](https://redis.io/docs/latest/commands/hrandfield/)
    fn hrandfield<F: Reply>(self, key: impl Arg) -> Self::Out<Option<F>> {
        self.run(Cmd::of(&facts::HRANDFIELD).required(key))
    }

    /// Any `count` different fields, or fewer where there are fewer; below zero, exactly as many, some
    /// perhaps more than once. [HRANDFIELD](https://redis.io/docs/latest/commands/hrandfield/)
    fn hrandfield_count<C: Reply>(self, key: impl Arg, count: i64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::HRANDFIELD).required(key).arg(count))
    }

    /// As [`hrandfield_count`](Self::hrandfield_count), with the values: usually a `Vec<(String, String)>`.
    /// [HRANDFIELD](https://redis.io/docs/latest/commands/hrandfield/)
    fn hrandfield_withvalues<C: Reply>(self, key: impl Arg, count: i64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::HRANDFIELD).required(key).arg(count).arg("WITHVALUES"))
    }

    /// Lets fields expire after this time, and says what became of each (Redis 7.4, Valkey 9.0).
    /// [HPEXPIRE](https://redis.io/docs/latest/commands/hpexpire/)
    fn hexpire(self, key: impl Arg, expiry: Duration, fields: impl Arg) -> Self::Out<Vec<FieldExpiry>> {
        self.run(Cmd::of(&facts::HPEXPIRE).required(key).arg(millis(expiry)).arg("FIELDS").counted(fields))
    }

    /// As [`hexpire`](Self::hexpire), where the condition holds.
    /// [HPEXPIRE](https://redis.io/docs/latest/commands/hpexpire/)
    fn hexpire_with(
        self,
        key: impl Arg,
        expiry: Duration,
        condition: ExpireCondition,
        fields: impl Arg,
    ) -> Self::Out<Vec<FieldExpiry>> {
        let cmd = Cmd::of(&facts::HPEXPIRE).required(key).arg(millis(expiry)).arg(condition);
        self.run(cmd.arg("FIELDS").counted(fields))
    }

    /// Lets fields expire at this moment, and says what became of each (Redis 7.4, Valkey 9.0).
    /// [HPEXPIREAT](https://redis.io/docs/latest/commands/hpexpireat/)
    fn hexpire_at(self, key: impl Arg, time: SystemTime, fields: impl Arg) -> Self::Out<Vec<FieldExpiry>> {
        self.run(
            Cmd::of(&facts::HPEXPIREAT).required(key).arg(unix_millis(time)).arg("FIELDS").counted(fields),
        )
    }

    /// Takes the fields' expiry away, and says what became of each (Redis 7.4, Valkey 9.0).
    /// [HPERSIST](https://redis.io/docs/latest/commands/hpersist/)
    fn hpersist(self, key: impl Arg, fields: impl Arg) -> Self::Out<Vec<FieldExpiry>> {
        self.run(Cmd::of(&facts::HPERSIST).required(key).arg("FIELDS").counted(fields))
    }

    /// How much longer these fields live (Redis 7.4, Valkey 9.0).
    /// [HPTTL](https://redis.io/docs/latest/commands/hpttl/)
    fn httl(self, key: impl Arg, fields: impl Arg) -> Self::Out<Vec<Ttl>> {
        self.run(Cmd::of(&facts::HPTTL).required(key).arg("FIELDS").counted(fields))
    }

    /// Until when these fields live (Redis 7.4, Valkey 9.0).
    /// [HPEXPIRETIME](https://redis.io/docs/latest/commands/hpexpiretime/)
    fn hexpire_time(self, key: impl Arg, fields: impl Arg) -> Self::Out<Vec<ExpireTime>> {
        self.run(Cmd::of(&facts::HPEXPIRETIME).required(key).arg("FIELDS").counted(fields))
    }
}

impl<T: Run> HashCommands for T {}
