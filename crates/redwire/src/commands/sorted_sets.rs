//! Sorted sets: distinct members in the order of their scores.
//!
//! Promises: one method per command of Redis and Valkey, the same Rust value on RESP2 and RESP3. Commands
//! that wait take a `Duration`, in milliseconds rounded up, zero for ever. Must not know: who runs the
//! commands.

use std::time::Duration;

use redwire_core::{Arg, Cmd, Reply, Run, facts};

use super::keys::time::timeout;

mod options;

pub use options::{LexBound, ScoreBound, ZAddOptions, ZCombineOptions, ZRange};

/// Sorted sets. Members and keys may be one value or many where they are plural.
///
/// Where members come back, name the collection: `Vec<String>`, and `Vec<(String, f64)>` or
/// `HashMap<String, f64>` where their scores come with them. Ranks count from 0; -1 is the last one. What has
/// no method of its own here, such as a limited range by member, is said with a [`ZRange`].
pub trait SortedSetCommands: Run {
    /// Adds `member` with `score`, or gives it that score; how many are new (0 or 1).
    /// [ZADD](https://redis.io/docs/latest/commands/zadd/)
    fn zadd(self, key: impl Arg, score: f64, member: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZADD).required(key).arg(score).required(member))
    }

    /// As [`zadd`](Self::zadd), for many `(score, member)`; how many are new.
    /// [ZADD](https://redis.io/docs/latest/commands/zadd/)
    fn zadd_multiple(self, key: impl Arg, pairs: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZADD).required(key).pairs(pairs))
    }

    /// As [`zadd_multiple`](Self::zadd_multiple), on conditions; how many are new, or with `ch` new or
    /// changed. [ZADD](https://redis.io/docs/latest/commands/zadd/)
    fn zadd_with(self, key: impl Arg, options: ZAddOptions, pairs: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZADD).required(key).arg(options).pairs(pairs))
    }

    /// Adds `delta` to the score of `member` on conditions; the new score, `None` where they don't hold.
    /// [ZADD](https://redis.io/docs/latest/commands/zadd/)
    fn zadd_incr(
        self,
        key: impl Arg,
        options: ZAddOptions,
        delta: f64,
        member: impl Arg,
    ) -> Self::Out<Option<f64>> {
        self.run(Cmd::of(&facts::ZADD).required(key).arg(options).arg("INCR").arg(delta).required(member))
    }

    /// Adds `delta` to the score of `member`, which is 0 for a new one; the new score.
    /// [ZINCRBY](https://redis.io/docs/latest/commands/zincrby/)
    fn zincr_by(self, key: impl Arg, delta: f64, member: impl Arg) -> Self::Out<f64> {
        self.run(Cmd::of(&facts::ZINCRBY).required(key).arg(delta).required(member))
    }

    /// The score of `member`. [ZSCORE](https://redis.io/docs/latest/commands/zscore/)
    fn zscore(self, key: impl Arg, member: impl Arg) -> Self::Out<Option<f64>> {
        self.run(Cmd::of(&facts::ZSCORE).required(key).required(member))
    }

    /// The score of each of `members`. [ZMSCORE](https://redis.io/docs/latest/commands/zmscore/)
    fn zmscore(self, key: impl Arg, members: impl Arg) -> Self::Out<Vec<Option<f64>>> {
        self.run(Cmd::of(&facts::ZMSCORE).required(key).places(members))
    }

    /// The rank of `member`, counted from the lowest score.
    /// [ZRANK](https://redis.io/docs/latest/commands/zrank/)
    fn zrank(self, key: impl Arg, member: impl Arg) -> Self::Out<Option<u64>> {
        self.run(Cmd::of(&facts::ZRANK).required(key).required(member))
    }

    /// The rank of `member`, counted from the lowest score, and its score. From Redis 7.2 on.
    /// [ZRANK](https://redis.io/docs/latest/commands/zrank/)
    fn zrank_withscore(self, key: impl Arg, member: impl Arg) -> Self::Out<Option<(u64, f64)>> {
        self.run(Cmd::of(&facts::ZRANK).required(key).required(member).arg("WITHSCORE"))
    }

    /// The rank of `member`, counted from the highest score.
    /// [ZREVRANK](https://redis.io/docs/latest/commands/zrevrank/)
    fn zrevrank(self, key: impl Arg, member: impl Arg) -> Self::Out<Option<u64>> {
        self.run(Cmd::of(&facts::ZREVRANK).required(key).required(member))
    }

    /// The rank of `member`, counted from the highest score, and its score. From Redis 7.2 on.
    /// [ZREVRANK](https://redis.io/docs/latest/commands/zrevrank/)
    fn zrevrank_withscore(self, key: impl Arg, member: impl Arg) -> Self::Out<Option<(u64, f64)>> {
        self.run(Cmd::of(&facts::ZREVRANK).required(key).required(member).arg("WITHSCORE"))
    }

    /// The members from rank `start` to rank `stop`, both included.
    /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/)
    fn zrange<C: Reply>(self, key: impl Arg, start: i64, stop: i64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANGE).required(key).arg(start).arg(stop))
    }

    /// As [`zrange`](Self::zrange), with scores: `(member, score)`.
    /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/)
    fn zrange_withscores<C: Reply>(self, key: impl Arg, start: i64, stop: i64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANGE).required(key).arg(ZRange::by_rank(start, stop).with_scores()))
    }

    /// As [`zrange`](Self::zrange), from the highest score on.
    /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/)
    fn zrevrange<C: Reply>(self, key: impl Arg, start: i64, stop: i64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANGE).required(key).arg(ZRange::by_rank(start, stop).rev()))
    }

    /// As [`zrevrange`](Self::zrevrange), with scores: `(member, score)`.
    /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/)
    fn zrevrange_withscores<C: Reply>(self, key: impl Arg, start: i64, stop: i64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANGE).required(key).arg(ZRange::by_rank(start, stop).rev().with_scores()))
    }

    /// The members whose score lies between `min` and `max`.
    /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/)
    fn zrange_by_score<C: Reply>(
        self,
        key: impl Arg,
        min: impl Into<ScoreBound>,
        max: impl Into<ScoreBound>,
    ) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANGE).required(key).arg(ZRange::by_score(min, max)))
    }

    /// As [`zrange_by_score`](Self::zrange_by_score), `count` members at most (all if negative) after the
    /// first `offset`. [ZRANGE](https://redis.io/docs/latest/commands/zrange/)
    fn zrange_by_score_limit<C: Reply>(
        self,
        key: impl Arg,
        min: impl Into<ScoreBound>,
        max: impl Into<ScoreBound>,
        offset: u64,
        count: i64,
    ) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANGE).required(key).arg(ZRange::by_score(min, max).limit(offset, count)))
    }

    /// As [`zrange_by_score`](Self::zrange_by_score), with scores: `(member, score)`.
    /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/)
    fn zrange_by_score_withscores<C: Reply>(
        self,
        key: impl Arg,
        min: impl Into<ScoreBound>,
        max: impl Into<ScoreBound>,
    ) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANGE).required(key).arg(ZRange::by_score(min, max).with_scores()))
    }

    /// As [`zrange_by_score`](Self::zrange_by_score), from the highest on; mind that `max` comes first.
    /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/)
    fn zrevrange_by_score<C: Reply>(
        self,
        key: impl Arg,
        max: impl Into<ScoreBound>,
        min: impl Into<ScoreBound>,
    ) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANGE).required(key).arg(ZRange::by_score(min, max).rev()))
    }

    /// As [`zrevrange_by_score`](Self::zrevrange_by_score), `count` members at most (all if negative) after
    /// the first `offset`. [ZRANGE](https://redis.io/docs/latest/commands/zrange/)
    fn zrevrange_by_score_limit<C: Reply>(
        self,
        key: impl Arg,
        max: impl Into<ScoreBound>,
        min: impl Into<ScoreBound>,
        offset: u64,
        count: i64,
    ) -> Self::Out<C> {
        self.run(
            Cmd::of(&facts::ZRANGE).required(key).arg(ZRange::by_score(min, max).rev().limit(offset, count)),
        )
    }

    /// As [`zrevrange_by_score`](Self::zrevrange_by_score), with scores: `(member, score)`.
    /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/)
    fn zrevrange_by_score_withscores<C: Reply>(
        self,
        key: impl Arg,
        max: impl Into<ScoreBound>,
        min: impl Into<ScoreBound>,
    ) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANGE).required(key).arg(ZRange::by_score(min, max).rev().with_scores()))
    }

    /// The members between `min` and `max`, in a set whose scores are all the same.
    /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/)
    fn zrange_by_lex<C: Reply>(
        self,
        key: impl Arg,
        min: impl Into<LexBound>,
        max: impl Into<LexBound>,
    ) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANGE).required(key).arg(ZRange::by_lex(min, max)))
    }

    /// As [`zrange_by_lex`](Self::zrange_by_lex), from the highest on; mind that `max` comes first.
    /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/)
    fn zrevrange_by_lex<C: Reply>(
        self,
        key: impl Arg,
        max: impl Into<LexBound>,
        min: impl Into<LexBound>,
    ) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANGE).required(key).arg(ZRange::by_lex(min, max).rev()))
    }

    /// The members in `range`, with scores if it says so.
    /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/)
    fn zrange_with<C: Reply>(self, key: impl Arg, range: ZRange) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANGE).required(key).arg(range))
    }

    /// Stores the members in `range` of `source`, with scores, in place of `destination`; how many they are.
    /// [ZRANGESTORE](https://redis.io/docs/latest/commands/zrangestore/)
    fn zrangestore(self, destination: impl Arg, source: impl Arg, range: ZRange) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZRANGESTORE).required(destination).required(source).arg(range.for_store()))
    }

    /// How many members there are. [ZCARD](https://redis.io/docs/latest/commands/zcard/)
    fn zcard(self, key: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZCARD).required(key))
    }

    /// How many members have a score between `min` and `max`.
    /// [ZCOUNT](https://redis.io/docs/latest/commands/zcount/)
    fn zcount(self, key: impl Arg, min: impl Into<ScoreBound>, max: impl Into<ScoreBound>) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZCOUNT).required(key).arg(min.into()).arg(max.into()))
    }

    /// How many members lie between `min` and `max`, in a set whose scores are all the same.
    /// [ZLEXCOUNT](https://redis.io/docs/latest/commands/zlexcount/)
    fn zlexcount(self, key: impl Arg, min: impl Into<LexBound>, max: impl Into<LexBound>) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZLEXCOUNT).required(key).arg(min.into()).arg(max.into()))
    }

    /// Removes members; how many there were of them. [ZREM](https://redis.io/docs/latest/commands/zrem/)
    fn zrem(self, key: impl Arg, members: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZREM).required(key).required(members))
    }

    /// Removes the members from rank `start` to rank `stop`, both included; how many.
    /// [ZREMRANGEBYRANK](https://redis.io/docs/latest/commands/zremrangebyrank/)
    fn zremrange_by_rank(self, key: impl Arg, start: i64, stop: i64) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZREMRANGEBYRANK).required(key).arg(start).arg(stop))
    }

    /// Removes the members whose score lies between `min` and `max`; how many.
    /// [ZREMRANGEBYSCORE](https://redis.io/docs/latest/commands/zremrangebyscore/)
    fn zremrange_by_score(
        self,
        key: impl Arg,
        min: impl Into<ScoreBound>,
        max: impl Into<ScoreBound>,
    ) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZREMRANGEBYSCORE).required(key).arg(min.into()).arg(max.into()))
    }

    /// Removes the members between `min` and `max`, in a set whose scores are all the same; how many.
    /// [ZREMRANGEBYLEX](https://redis.io/docs/latest/commands/zremrangebylex/)
    fn zremrange_by_lex(
        self,
        key: impl Arg,
        min: impl Into<LexBound>,
        max: impl Into<LexBound>,
    ) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZREMRANGEBYLEX).required(key).arg(min.into()).arg(max.into()))
    }

    /// Removes the member with the lowest score: a list of one `(member, score)`, empty where there is none.
    /// [ZPOPMIN](https://redis.io/docs/latest/commands/zpopmin/)
    fn zpopmin<C: Reply>(self, key: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZPOPMIN).required(key))
    }

    /// Removes up to `count` members with the lowest scores: `(member, score)`.
    /// [ZPOPMIN](https://redis.io/docs/latest/commands/zpopmin/)
    fn zpopmin_count<C: Reply>(self, key: impl Arg, count: u64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZPOPMIN).required(key).arg(count))
    }

    /// Removes the member with the highest score: a list of one `(member, score)`, empty where there is none.
    /// [ZPOPMAX](https://redis.io/docs/latest/commands/zpopmax/)
    fn zpopmax<C: Reply>(self, key: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZPOPMAX).required(key))
    }

    /// Removes up to `count` members with the highest scores: `(member, score)`.
    /// [ZPOPMAX](https://redis.io/docs/latest/commands/zpopmax/)
    fn zpopmax_count<C: Reply>(self, key: impl Arg, count: u64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZPOPMAX).required(key).arg(count))
    }

    /// Removes the member with the lowest score from the first set that has any, and waits for one; `None`
    /// after `wait`. It may be lost as with [`blpop`](super::ListCommands::blpop).
    /// [BZPOPMIN](https://redis.io/docs/latest/commands/bzpopmin/)
    fn bzpopmin<K: Reply, M: Reply>(self, keys: impl Arg, wait: Duration) -> Self::Out<Option<(K, M, f64)>> {
        self.run(Cmd::of(&facts::BZPOPMIN).required(keys).arg(timeout(wait)))
    }

    /// Removes the member with the highest score from the first set that has any, and waits for one; `None`
    /// after `wait`. It may be lost as with [`blpop`](super::ListCommands::blpop).
    /// [BZPOPMAX](https://redis.io/docs/latest/commands/bzpopmax/)
    fn bzpopmax<K: Reply, M: Reply>(self, keys: impl Arg, wait: Duration) -> Self::Out<Option<(K, M, f64)>> {
        self.run(Cmd::of(&facts::BZPOPMAX).required(keys).arg(timeout(wait)))
    }

    /// Removes up to `count` members with the lowest scores from the first set that has any; its key and
    /// `(member, score)`. From Redis 7.0 on. [ZMPOP](https://redis.io/docs/latest/commands/zmpop/)
    fn zmpop_min<K: Reply, C: Reply>(self, keys: impl Arg, count: u64) -> Self::Out<Option<(K, C)>> {
        self.run(Cmd::of(&facts::ZMPOP).counted(keys).arg("MIN").named("COUNT", count))
    }

    /// Removes up to `count` members with the highest scores from the first set that has any; its key and
    /// `(member, score)`. From Redis 7.0 on. [ZMPOP](https://redis.io/docs/latest/commands/zmpop/)
    fn zmpop_max<K: Reply, C: Reply>(self, keys: impl Arg, count: u64) -> Self::Out<Option<(K, C)>> {
        self.run(Cmd::of(&facts::ZMPOP).counted(keys).arg("MAX").named("COUNT", count))
    }

    /// As [`zmpop_min`](Self::zmpop_min), and waits where all are empty; `None` after `wait`. From Redis 7.0
    /// on. They may be lost as with [`blpop`](super::ListCommands::blpop).
    /// [BZMPOP](https://redis.io/docs/latest/commands/bzmpop/)
    fn bzmpop_min<K: Reply, C: Reply>(
        self,
        wait: Duration,
        keys: impl Arg,
        count: u64,
    ) -> Self::Out<Option<(K, C)>> {
        self.run(Cmd::of(&facts::BZMPOP).arg(timeout(wait)).counted(keys).arg("MIN").named("COUNT", count))
    }

    /// As [`zmpop_max`](Self::zmpop_max), and waits where all are empty; `None` after `wait`. From Redis 7.0
    /// on. They may be lost as with [`blpop`](super::ListCommands::blpop).
    /// [BZMPOP](https://redis.io/docs/latest/commands/bzmpop/)
    fn bzmpop_max<K: Reply, C: Reply>(
        self,
        wait: Duration,
        keys: impl Arg,
        count: u64,
    ) -> Self::Out<Option<(K, C)>> {
        self.run(Cmd::of(&facts::BZMPOP).arg(timeout(wait)).counted(keys).arg("MAX").named("COUNT", count))
    }

    /// The members that are in all the sets, in the order of their added scores.
    /// [ZINTER](https://redis.io/docs/latest/commands/zinter/)
    fn zinter<C: Reply>(self, keys: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZINTER).counted(keys))
    }

    /// As [`zinter`](Self::zinter), with scores: `(member, score)`.
    /// [ZINTER](https://redis.io/docs/latest/commands/zinter/)
    fn zinter_withscores<C: Reply>(self, keys: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZINTER).counted(keys).arg("WITHSCORES"))
    }

    /// As [`zinter`](Self::zinter), with weights, another way to combine scores, and scores if `options` say
    /// so. [ZINTER](https://redis.io/docs/latest/commands/zinter/)
    fn zinter_with<C: Reply>(self, keys: impl Arg, options: ZCombineOptions) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZINTER).counted(keys).arg(options))
    }

    /// Stores what [`zinter`](Self::zinter) gives, with scores, in place of `destination`; how many members.
    /// [ZINTERSTORE](https://redis.io/docs/latest/commands/zinterstore/)
    fn zinterstore(self, destination: impl Arg, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZINTERSTORE).required(destination).counted(keys))
    }

    /// Stores what [`zinter_with`](Self::zinter_with) gives, with scores, in place of `destination`; how many
    /// members. [ZINTERSTORE](https://redis.io/docs/latest/commands/zinterstore/)
    fn zinterstore_with(
        self,
        destination: impl Arg,
        keys: impl Arg,
        options: ZCombineOptions,
    ) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZINTERSTORE).required(destination).counted(keys).arg(options.for_store()))
    }

    /// The members that are in any of the sets, in the order of their added scores.
    /// [ZUNION](https://redis.io/docs/latest/commands/zunion/)
    fn zunion<C: Reply>(self, keys: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZUNION).counted(keys))
    }

    /// As [`zunion`](Self::zunion), with scores: `(member, score)`.
    /// [ZUNION](https://redis.io/docs/latest/commands/zunion/)
    fn zunion_withscores<C: Reply>(self, keys: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZUNION).counted(keys).arg("WITHSCORES"))
    }

    /// As [`zunion`](Self::zunion), with weights, another way to combine scores, and scores if `options` say
    /// so. [ZUNION](https://redis.io/docs/latest/commands/zunion/)
    fn zunion_with<C: Reply>(self, keys: impl Arg, options: ZCombineOptions) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZUNION).counted(keys).arg(options))
    }

    /// Stores what [`zunion`](Self::zunion) gives, with scores, in place of `destination`; how many members.
    /// [ZUNIONSTORE](https://redis.io/docs/latest/commands/zunionstore/)
    fn zunionstore(self, destination: impl Arg, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZUNIONSTORE).required(destination).counted(keys))
    }

    /// Stores what [`zunion_with`](Self::zunion_with) gives, with scores, in place of `destination`; how many
    /// members. [ZUNIONSTORE](https://redis.io/docs/latest/commands/zunionstore/)
    fn zunionstore_with(
        self,
        destination: impl Arg,
        keys: impl Arg,
        options: ZCombineOptions,
    ) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZUNIONSTORE).required(destination).counted(keys).arg(options.for_store()))
    }

    /// The members of the first set that are in none of the others.
    /// [ZDIFF](https://redis.io/docs/latest/commands/zdiff/)
    fn zdiff<C: Reply>(self, keys: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZDIFF).counted(keys))
    }

    /// As [`zdiff`](Self::zdiff), with scores: `(member, score)`.
    /// [ZDIFF](https://redis.io/docs/latest/commands/zdiff/)
    fn zdiff_withscores<C: Reply>(self, keys: impl Arg) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZDIFF).counted(keys).arg("WITHSCORES"))
    }

    /// Stores what [`zdiff`](Self::zdiff) gives, with scores, in place of `destination`; how many members.
    /// [ZDIFFSTORE](https://redis.io/docs/latest/commands/zdiffstore/)
    fn zdiffstore(self, destination: impl Arg, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZDIFFSTORE).required(destination).counted(keys))
    }

    /// How many members are in all the sets. From Redis 7.0 on.
    /// [ZINTERCARD](https://redis.io/docs/latest/commands/zintercard/)
    fn zintercard(self, keys: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZINTERCARD).counted(keys))
    }

    /// As [`zintercard`](Self::zintercard), but the server stops counting at `limit`; 0 is no limit. From
    /// Redis 7.0 on. [ZINTERCARD](https://redis.io/docs/latest/commands/zintercard/)
    fn zintercard_limit(self, keys: impl Arg, limit: u64) -> Self::Out<u64> {
        self.run(Cmd::of(&facts::ZINTERCARD).counted(keys).named("LIMIT", limit))
    }

    /// A random member. [ZRANDMEMBER](https://redis.io/docs/latest/commands/zrandmember/)
    fn zrandmember<M: Reply>(self, key: impl Arg) -> Self::Out<Option<M>> {
        self.run(Cmd::of(&facts::ZRANDMEMBER).required(key))
    }

    /// Up to `count` distinct random members; with a negative `count`, exactly so many, perhaps the same ones
    /// again. [ZRANDMEMBER](https://redis.io/docs/latest/commands/zrandmember/)
    fn zrandmember_count<C: Reply>(self, key: impl Arg, count: i64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANDMEMBER).required(key).arg(count))
    }

    /// As [`zrandmember_count`](Self::zrandmember_count), with scores: `(member, score)`.
    /// [ZRANDMEMBER](https://redis.io/docs/latest/commands/zrandmember/)
    fn zrandmember_withscores<C: Reply>(self, key: impl Arg, count: i64) -> Self::Out<C> {
        self.run(Cmd::of(&facts::ZRANDMEMBER).required(key).arg(count).arg("WITHSCORES"))
    }
}

impl<T: Run> SortedSetCommands for T {}
