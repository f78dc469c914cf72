//! Lists, and waiting for their elements.
//!
//! Commands that wait take a `Duration`, in milliseconds rounded up, zero for ever, and keep no other call
//! waiting, as long as there are connections: each has one of the client's `max_connections` to itself
//! meanwhile.

use std::time::Duration;

use redwire_core::{Arg, Cmd, Reply, Run, facts};

use super::keys::time::timeout;

mod options;

pub use options::{End, LposOptions};

/// Lists.
///
/// A command that waits has one of the client's `max_connections` (default 50) to itself, and more of them
/// wait for a connection first. On the async client one of those is shared by all other calls; on the
/// blocking one any call needs one that is free, so leave some.
pub trait ListCommands: Run {
    /// Adds one value or several at the head and gives the new length. The last value given becomes the first
    /// of the list. [LPUSH](https://redis.io/docs/latest/commands/lpush/)
    fn lpush(self, key: impl Arg, values: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::LPUSH).required(key).required(values))
    }

    /// Adds one value or several at the tail and gives the new length.
    /// [RPUSH](https://redis.io/docs/latest/commands/rpush/)
    fn rpush(self, key: impl Arg, values: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::RPUSH).required(key).required(values))
    }

    /// As [`lpush`](Self::lpush) where the list exists; 0 where it does not.
    /// [LPUSHX](https://redis.io/docs/latest/commands/lpushx/)
    fn lpush_exists(self, key: impl Arg, values: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::LPUSHX).required(key).required(values))
    }

    /// As [`rpush`](Self::rpush) where the list exists; 0 where it does not.
    /// [RPUSHX](https://redis.io/docs/latest/commands/rpushx/)
    fn rpush_exists(self, key: impl Arg, values: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::RPUSHX).required(key).required(values))
    }

    /// The first element, taken out. [LPOP](https://redis.io/docs/latest/commands/lpop/)
    fn lpop<V: Reply>(self, key: impl Arg) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::LPOP).required(key))
    }

    /// The last element, taken out. [RPOP](https://redis.io/docs/latest/commands/rpop/)
    fn rpop<V: Reply>(self, key: impl Arg) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::RPOP).required(key))
    }

    /// Up to `count` elements from the head, taken out, usually as a `Vec<String>`; `None` where there is no
    /// such list. [LPOP](https://redis.io/docs/latest/commands/lpop/)
    fn lpop_count<C: Reply>(self, key: impl Arg, count: u64) -> Self::Out<Option<C>> {
        self.run(Cmd::of(&facts::LPOP).required(key).arg(count))
    }

    /// Up to `count` elements from the tail, the last one first, taken out; `None` where there is no such
    /// list. [RPOP](https://redis.io/docs/latest/commands/rpop/)
    fn rpop_count<C: Reply>(self, key: impl Arg, count: u64) -> Self::Out<Option<C>> {
        self.run(Cmd::of(&facts::RPOP).required(key).arg(count))
    }

    /// The length, 0 where there is no such list. [LLEN](https://redis.io/docs/latest/commands/llen/)
    fn llen(self, key: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::LLEN).required(key))
    }

    /// The elements from `start` to `stop`, both included, below zero from the end; usually a `Vec<String>`.
    /// [LRANGE](https://redis.io/docs/latest/commands/lrange/)
    fn lrange<C: Reply>(self, key: impl Arg, start: i64, stop: i64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::LRANGE).required(key).arg(start).arg(stop))
    }

    /// The element at `index`, below zero from the end.
    /// [LINDEX](https://redis.io/docs/latest/commands/lindex/)
    fn lindex<V: Reply>(self, key: impl Arg, index: i64) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::LINDEX).required(key).arg(index))
    }

    /// Inserts before the first `pivot` and gives the new length; -1 where there is no pivot, 0 where there
    /// is no list. [LINSERT](https://redis.io/docs/latest/commands/linsert/)
    fn linsert_before(self, key: impl Arg, pivot: impl Arg, value: impl Arg) -> Self::Out<i64> {
        self.run(Cmd::of(&facts::LINSERT).required(key).arg("BEFORE").required(pivot).required(value))
    }

    /// Inserts after the first `pivot` and gives the new length; -1 where there is no pivot, 0 where there is
    /// no list. [LINSERT](https://redis.io/docs/latest/commands/linsert/)
    fn linsert_after(self, key: impl Arg, pivot: impl Arg, value: impl Arg) -> Self::Out<i64> {
        self.run(Cmd::of(&facts::LINSERT).required(key).arg("AFTER").required(pivot).required(value))
    }

    /// Replaces the element at `index`; an error where there is none.
    /// [LSET](https://redis.io/docs/latest/commands/lset/)
    fn lset(self, key: impl Arg, index: i64, value: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::LSET).required(key).arg(index).required(value))
    }

    /// Removes `value` and gives how often it was removed: `count` times at most from the head, below zero
    /// from the tail, 0 for all. [LREM](https://redis.io/docs/latest/commands/lrem/)
    fn lrem(self, key: impl Arg, count: i64, value: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::LREM).required(key).arg(count).required(value))
    }

    /// Keeps only the elements from `start` to `stop`, both included.
    /// [LTRIM](https://redis.io/docs/latest/commands/ltrim/)
    fn ltrim(self, key: impl Arg, start: i64, stop: i64) -> Self::Out<()> {
        self.run(Cmd::of(&facts::LTRIM).required(key).arg(start).arg(stop))
    }

    /// Takes an element from one end of a list, adds it at an end of another, and gives it.
    /// [LMOVE](https://redis.io/docs/latest/commands/lmove/)
    fn lmove<V: Reply>(
        self,
        source: impl Arg,
        destination: impl Arg,
        from: End,
        to: End,
    ) -> Self::Out<Option<V>> {
        self.run(Cmd::of(&facts::LMOVE).required(source).required(destination).arg(from).arg(to))
    }

    /// Where `value` stands, counted from 0 at the head. [LPOS](https://redis.io/docs/latest/commands/lpos/)
    fn lpos(self, key: impl Arg, value: impl Arg, options: LposOptions) -> Self::Out<Option<u64>> {
        self.run(Cmd::of(&facts::LPOS).required(key).required(value).arg(options))
    }

    /// Up to `count` places where `value` stands, 0 for all.
    /// [LPOS](https://redis.io/docs/latest/commands/lpos/)
    fn lpos_count(
        self,
        key: impl Arg,
        value: impl Arg,
        options: LposOptions,
        count: u64,
    ) -> Self::Out<Vec<u64>> {
        self.run(Cmd::of(&facts::LPOS).required(key).required(value).named("COUNT", count).arg(options))
    }

    /// Up to `count` elements from the first of `keys` that has any, with its name (Redis 7.0).
    /// [LMPOP](https://redis.io/docs/latest/commands/lmpop/)
    fn lmpop<K: Reply, C: Reply>(self, keys: impl Arg, from: End, count: u64) -> Self::Out<Option<(K, C)>> {
        self.run(Cmd::of(&facts::LMPOP).counted(keys).arg(from).named("COUNT", count))
    }

    /// As [`lmpop`](Self::lmpop), waiting for an element if all lists are empty; `None` after `wait` (Redis
    /// 7.0). Elements may be lost as with [`blpop`](Self::blpop), all of one call together.
    /// [BLMPOP](https://redis.io/docs/latest/commands/blmpop/)
    fn blmpop<K: Reply, C: Reply>(
        self,
        wait: Duration,
        keys: impl Arg,
        from: End,
        count: u64,
    ) -> Self::Out<Option<(K, C)>> {
        self.run(Cmd::of(&facts::BLMPOP).arg(timeout(wait)).counted(keys).arg(from).named("COUNT", count))
    }

    /// The first element of the first of `keys` that has one, with the list's name, waiting for it if need
    /// be; `None` after `wait`.
    ///
    /// **An element may be lost.** If the connection breaks, the call is dropped or its deadline passes just
    /// as the server hands an element over, that element is out of its list and reaches no caller; the call
    /// is not repeated. The server is told by closing the connection at once, so what is added later than a
    /// moment after the call ended stays in the list. Where nothing may be lost, take
    /// [`blmove`](Self::blmove), which keeps a copy, or a stream with a group of consumers
    /// ([`xreadgroup`](super::StreamCommands::xreadgroup)).
    /// [BLPOP](https://redis.io/docs/latest/commands/blpop/)
    fn blpop<K: Reply, V: Reply>(self, keys: impl Arg, wait: Duration) -> Self::Out<Option<(K, V)>> {
        self.run(Cmd::of(&facts::BLPOP).required(keys).arg(timeout(wait)))
    }

    /// As [`blpop`](Self::blpop), from the tail; what is lost there is lost here.
    /// [BRPOP](https://redis.io/docs/latest/commands/brpop/)
    fn brpop<K: Reply, V: Reply>(self, keys: impl Arg, wait: Duration) -> Self::Out<Option<(K, V)>> {
        self.run(Cmd::of(&facts::BRPOP).required(keys).arg(timeout(wait)))
    }

    /// As [`lmove`](Self::lmove), waiting for an element if there is none; `None` after `wait`. Where the
    /// reply is lost, the element is in `destination` all the same.
    /// [BLMOVE](https://redis.io/docs/latest/commands/blmove/)
    fn blmove<V: Reply>(
        self,
        source: impl Arg,
        destination: impl Arg,
        from: End,
        to: End,
        wait: Duration,
    ) -> Self::Out<Option<V>> {
        self.run(
            Cmd::of(&facts::BLMOVE)
                .required(source)
                .required(destination)
                .arg(from)
                .arg(to)
                .arg(timeout(wait)),
        )
    }
}

impl<T: Run> ListCommands for T {}
