//! Random lines, made of patterns: few keys, all types, right and wrong.
//!
//! This file must not know what a line leads to.

use crate::differences::About;

/// Patterns by the version of Redis that first had them. `CLIENT NO-TOUCH ON` is left out: Redis 8.0.2 crashes when
/// a client that said it pushes what another waits for. Tracking is told to Redis 8.0 only: whether a change that
/// changes nothing is announced, as `LTRIM` that trims nothing, differs between versions. `{…}` stands for a random word of a kind.
const PATTERNS: &[((u32, u32), &[&str])] = &[
    (
        (6, 2),
        &[
            // Strings.
            "SET {s} {v}",
            "SET {s} {v} NX",
            "SET {s} {v} XX",
            "SET {s} {v} GET",
            "SET {s} {v} EX {ttl}",
            "SET {s} {v} PX {ttl} XX",
            "SET {s} {v} KEEPTTL",
            "SET {s} {v} EXAT 9999999999",
            "GET {s}",
            "GET {s}",
            "GETSET {s} {v}",
            "GETDEL {s}",
            "GETEX {s}",
            "GETEX {s} EX {ttl}",
            "GETEX {s} PERSIST",
            "SETNX {s} {v}",
            "SETEX {s} {ttl} {v}",
            "PSETEX {s} {ttl} {v}",
            "APPEND {s} {v}",
            "STRLEN {s}",
            "SETRANGE {s} {i} {v}",
            "GETRANGE {s} {i} {i}",
            "SUBSTR {s} {i} {i}",
            "INCR {s}",
            "DECR {s}",
            "INCRBY {s} {i}",
            "DECRBY {s} {i}",
            "INCRBYFLOAT {s} {f}",
            "MGET {s} {any} {s}",
            "MSET {s} {v} {s} {v}",
            "MSETNX {s} {v} {any} {v}",
            "GETBIT {s} {i}",
            "BITCOUNT {s}",
            "BITCOUNT {s} {i} {i}",
            "BITPOS {s} {bit}",
            "BITPOS {s} {bit} {i}",
            "BITPOS {s} {bit} {i} {i}",
            "BITOP AND {s} {s} {s}",
            "BITOP NOT {s} {s}",
            "BITOP XOR {s} {s} {any}",
            // Keys.
            "DEL {any}",
            "DEL {any} {any}",
            "UNLINK {any}",
            "EXISTS {any} {any}",
            "TYPE {any}",
            "EXPIRE {any} {ttl}",
            "PEXPIRE {any} {ttl}",
            "EXPIREAT {any} {at}",
            "EXPIRE {any} {i}",
            "TTL {any}",
            "PTTL {any}",
            "PERSIST {any}",
            "RENAME {any} {any}",
            "RENAMENX {any} {any}",
            "COPY {any} {any}",
            "COPY {any} {any} REPLACE",
            "COPY {any} {any} DB 1",
            "KEYS *",
            "KEYS {glob}",
            "SCAN 0 COUNT 1000",
            "SCAN 0 COUNT 1000 MATCH {glob}",
            "SCAN 0 COUNT 1000 TYPE list",
            "SCAN {i}x",
            "TOUCH {any} {any}",
            "DBSIZE",
            "MOVE {any} 1",
            "SELECT {i}",
            "SWAPDB 0 1",
            // Lists.
            "LPUSH {l} {v}",
            "RPUSH {l} {v} {v} {v}",
            "LPUSHX {l} {v}",
            "RPUSHX {l} {v}",
            "LPOP {l}",
            "RPOP {l}",
            "LPOP {l} {i}",
            "RPOP {l} {i}",
            "LLEN {l}",
            "LINDEX {l} {i}",
            "LSET {l} {i} {v}",
            "LRANGE {l} {i} {i}",
            "LTRIM {l} 1 -1",
            "LREM {l} {i} {v}",
            "LINSERT {l} BEFORE {v} {v}",
            "LINSERT {l} AFTER {v} {v}",
            "LPOS {l} {v}",
            "LPOS {l} {v} RANK {i}",
            "LPOS {l} {v} COUNT {i}",
            "LPOS {l} {v} RANK {i} COUNT {i} MAXLEN {i}",
            "LMOVE {l} {l} LEFT RIGHT",
            "LMOVE {l} {any} RIGHT LEFT",
            "RPOPLPUSH {l} {l}",
            // Sets.
            "SADD {t} {v}",
            "SADD {t} {v} {v} {i}",
            "SREM {t} {v}",
            "SCARD {t}",
            "SISMEMBER {t} {v}",
            "SMISMEMBER {t} {v} {v}",
            "SMEMBERS {t}",
            "SMOVE {t} {t} {v}",
            "SPOP {t} 100",
            "SRANDMEMBER {t} 100",
            "SUNION {t} {t}",
            "SINTER {t} {t}",
            "SDIFF {t} {t}",
            "SUNIONSTORE {t} {t} {t}",
            "SINTERSTORE {t} {t} {any}",
            "SDIFFSTORE {t} {t} {t}",
            "SSCAN {t} 0 COUNT 1000",
            "SSCAN {t} 0 MATCH {glob} COUNT 1000",
            // Hashes.
            "HSET {h} {w} {v}",
            "HSET {h} {w} {v} {w} {i}",
            "HMSET {h} {w} {v}",
            "HSETNX {h} {w} {v}",
            "HGET {h} {w}",
            "HMGET {h} {w} {w}",
            "HGETALL {h}",
            "HKEYS {h}",
            "HVALS {h}",
            "HLEN {h}",
            "HEXISTS {h} {w}",
            "HSTRLEN {h} {w}",
            "HDEL {h} {w} {w}",
            "HINCRBY {h} {w} {i}",
            "HINCRBYFLOAT {h} {w} {f}",
            "HSCAN {h} 0 COUNT 1000",
            "HRANDFIELD {h} 100",
            "HSET {h} {w}",
            // Sorted sets.
            "ZADD {z} {f} {w}",
            "ZADD {z} {f} {w} {f} {w}",
            "ZADD {z} {zopt} {f} {w}",
            "ZADD {z} {zopt} {zopt} {f} {w}",
            "ZADD {z} INCR {f} {w}",
            "ZINCRBY {z} {f} {w}",
            "ZCARD {z}",
            "ZSCORE {z} {w}",
            "ZMSCORE {z} {w} {w}",
            "ZRANK {z} {w}",
            "ZREVRANK {z} {w}",
            "ZREM {z} {w} {w}",
            "ZPOPMIN {z}",
            "ZPOPMAX {z} 2",
            "ZRANGE {z} {i} {i}",
            "ZRANGE {z} {i} {i} WITHSCORES",
            "ZRANGE {z} {i} {i} REV",
            "ZRANGE {z} {b} {b} BYSCORE",
            "ZRANGE {z} {b} {b} BYSCORE REV LIMIT {i} {i}",
            "ZRANGE lex {x} {x} BYLEX",
            "ZRANGE lex {x} {x} BYLEX WITHSCORES",
            "ZREVRANGE {z} {i} {i} WITHSCORES",
            "ZRANGEBYSCORE {z} {b} {b}",
            "ZRANGEBYSCORE {z} {b} {b} WITHSCORES LIMIT {i} {i}",
            "ZREVRANGEBYSCORE {z} {b} {b}",
            "ZADD lex 0 {w} 0 {w}",
            "ZRANGEBYLEX lex {x} {x}",
            "ZREVRANGEBYLEX lex {x} {x}",
            "ZCOUNT {z} {b} {b}",
            "ZLEXCOUNT lex {x} {x}",
            "ZREMRANGEBYRANK {z} {i} {i}",
            "ZREMRANGEBYSCORE {z} {b} {b}",
            "ZREMRANGEBYLEX lex {x} {x}",
            "ZRANGESTORE {z} {z} {i} {i}",
            "ZUNION 2 {z} {z} WITHSCORES",
            "ZINTER 2 {z} {t} WEIGHTS 2 -1 WITHSCORES",
            "ZDIFF 2 {z} {z}",
            "ZUNIONSTORE {z} 2 {z} {z} AGGREGATE MAX",
            "ZINTERSTORE {z} 2 {z} {z}",
            "ZDIFFSTORE {z} 2 {z} {z}",
            "ZSCAN {z} 0 COUNT 1000",
            "ZRANDMEMBER {z} 100",
            // Streams.
            "XADD {x1} {id} {w} {v}",
            "XADD {x1} {id} {w} {v} {w} {v}",
            "XADD {x1} NOMKSTREAM {id} {w} {v}",
            "XADD {x1} MAXLEN {i} {id} {w} {v}",
            "XADD {x1} MINID {id} {id} {w} {v}",
            "XLEN {x1}",
            "XRANGE {x1} - +",
            "XRANGE {x1} {id} {id} COUNT {i}",
            "XREVRANGE {x1} + -",
            "XRANGE {x1} ({id} +",
            "XDEL {x1} {id}",
            "XTRIM {x1} MAXLEN {i}",
            "XTRIM {x1} MINID {id}",
            "XREAD COUNT 2 STREAMS {x1} {id}",
            "XREAD STREAMS {x1} {x1} {id} 0",
            "XGROUP CREATE {x1} {g} {id}",
            "XGROUP CREATE {x1} {g} $ MKSTREAM",
            "XGROUP DESTROY {x1} {g}",
            "XGROUP SETID {x1} {g} {id}",
            "XGROUP DELCONSUMER {x1} {g} {c}",
            "XREADGROUP GROUP {g} {c} COUNT {i} STREAMS {x1} >",
            "XREADGROUP GROUP {g} {c} STREAMS {x1} 0",
            "XREADGROUP GROUP {g} {c} NOACK STREAMS {x1} >",
            "XACK {x1} {g} {id}",
            "XPENDING {x1} {g}",
            "XPENDING {x1} {g} - + 10",
            "XPENDING {x1} {g} - + 10 {c}",
            "XCLAIM {x1} {g} {c} 0 {id}",
            "XCLAIM {x1} {g} {c} 0 {id} JUSTID",
            // Transactions.
            "MULTI",
            "EXEC",
            "EXEC",
            "DISCARD",
            "WATCH {any}",
            "UNWATCH",
            // Publishing.
            "SUBSCRIBE {ch}",
            "SUBSCRIBE {ch} {ch}",
            "PSUBSCRIBE {glob}",
            "UNSUBSCRIBE {ch}",
            "UNSUBSCRIBE",
            "PUNSUBSCRIBE",
            "PUBLISH {ch} {v}",
            "PUBLISH {ch} {v}",
            "PUBSUB NUMSUB {ch} {ch}",
            "PUBSUB CHANNELS",
            "PUBSUB NUMPAT",
            // Connections.
            "PING",
            "PING {v}",
            "PING {v} {v}",
            "ECHO {v}",
            "CLIENT GETNAME",
            "CLIENT SETNAME {w}",
            "CLIENT SETNAME {junk}",
            "CLIENT UNBLOCK @1",
            "CLIENT UNBLOCK @2 ERROR",
            "CLIENT UNBLOCK @3 TIMEOUT",
            "CLIENT KILL ID @2",
            "RESET",
            "HELLO {i}",
            "ACL WHOAMI",
            // Tracking.

            // Scripts and the server.
            "EVALSHA {w} 0",
            "SCRIPT EXISTS {w}",
            "SCRIPT LOAD return({bit})",
            "CONFIG GET maxclients",
            "COMMAND GETKEYS SET {any} {v}",
            "WAIT 0 0",
            "CLUSTER INFO",
        ],
    ),
    (
        (7, 0),
        &[
            "SET {s} {v} NX GET",
            "EXPIRE {any} {ttl} NX",
            "EXPIRE {any} {ttl} XX",
            "EXPIRE {any} 150000 GT",
            "PEXPIRE {any} 250000 LT",
            "EXPIRE {any} {ttl} NX XX",
            "EXPIRETIME {any}",
            "PEXPIRETIME {any}",
            "BITCOUNT {s} {i} {i} BIT",
            "BITPOS {s} {bit} {i} {i} BIT",
            "LMPOP 2 {l} {l} LEFT",
            "LMPOP 2 {l} {l} RIGHT COUNT {i}",
            "SINTERCARD 2 {t} {t}",
            "SINTERCARD 2 {t} {t} LIMIT {i}",
            "ZMPOP 2 {z} {z} MIN",
            "ZMPOP 1 {z} MAX COUNT {i}",
            "ZINTERCARD 2 {z} {z}",
            "ZINTERCARD 2 {z} {z} LIMIT {i}",
            "XADD {x1} {i}-* {w} {v}",
            "SSUBSCRIBE {ch}",
            "SUNSUBSCRIBE {ch}",
            "SPUBLISH {ch} {v}",
            "PUBSUB SHARDCHANNELS",
            "PUBSUB SHARDNUMSUB {ch}",
            "CLIENT NO-EVICT ON",
            "XAUTOCLAIM {x1} {g} {c} 0 0 COUNT {i}",
            "XAUTOCLAIM {x1} {g} {c} 0 {id} JUSTID",
        ],
    ),
    (
        (7, 2),
        &[
            "SETBIT {s} {i} {bit}",
            "ZRANK {z} {w} WITHSCORE",
            "ZREVRANK {z} {w} WITHSCORE",
            "CLIENT SETINFO LIB-NAME {w}",
            "XGROUP CREATECONSUMER {x1} {g} {c}",
        ],
    ),
    (
        (8, 0),
        &[
            "XREAD STREAMS {x1} +",
            "HSCAN {h} 0 COUNT 1000 NOVALUES",
            "XINFO GROUPS {x1}",
            "LTRIM {l} {i} {i}",
            "CLIENT TRACKING ON",
            "CLIENT TRACKING OFF",
            "CLIENT TRACKING ON OPTIN",
            "CLIENT TRACKING ON OPTOUT",
            "CLIENT TRACKING ON NOLOOP",
            "CLIENT TRACKING ON BCAST",
            "CLIENT TRACKING ON BCAST PREFIX {s}",
            "CLIENT CACHING YES",
            "CLIENT CACHING NO",
            "CLIENT GETREDIR",
            "CLIENT TRACKINGINFO",
            "CLIENT KILL ID {junk}",
            "CLIENT REPLY {junk}",
            "CLIENT NO-EVICT {junk}",
            "CONFIG SET {w} {v}",
            "{junk} {w}",
            "CLIENT {junk}",
            "XGROUP {junk} {x1}",
            "CLIENT PAUSE {junk}",
            "CLIENT NO-TOUCH {junk}",
            "CLIENT SETINFO {junk} x",
            "TIME {junk}",
            "FLUSHDB {junk}",
            "OBJECT REFCOUNT {junk}",
            "SET {s} {v} {junk}",
            "EXPIRE {any} {ttl} {junk}",
            "ZRANGE {z} {i} {i} LIMIT 0 1",
            "SINTERCARD {i} {t}",
            "ZUNION {i} {z} {z}",
            "LMPOP {i} {l} LEFT",
            "CLIENT KILL {w}",
            "CLIENT KILL TYPE {w}",
            "READONLY",
        ],
    ),
];

/// Lines that may wait. The first client never says them outside of a transaction.
const WAITING: &[((u32, u32), &str)] = &[
    ((7, 2), "BLPOP {l} {l} 0"),
    ((6, 2), "BLPOP l1 0"),
    ((6, 2), "BRPOP l2 100"),
    ((7, 2), "BLMOVE {l} {l} LEFT RIGHT 0"),
    ((7, 2), "BRPOPLPUSH {l} {any} 0"),
    ((8, 0), "BLPOP {l} {f}x"),
    ((8, 0), "BZPOPMIN {z} {z} 0"),
    ((8, 0), "BZPOPMAX {z} 100"),
    ((7, 2), "XREAD BLOCK 0 STREAMS {x1} $"),
    ((7, 2), "BLMPOP 0 2 {l} {l} LEFT COUNT 2"),
    ((8, 0), "BZMPOP 0 2 {z} {z} MAX"),
];

/// See the file's own words.
pub(crate) struct Lines {
    random: fastrand::Rng,
    patterns: Vec<&'static str>,
    waiting: Vec<&'static str>,
    entry: u64,
    /// Whether lines may make no sense. Which of several faults is told first differs between versions, and the
    /// model goes by Redis 8.0.
    nonsense: bool,
    valkey: bool,
}

impl Lines {
    pub(crate) fn new(seed: u64, about: About) -> Self {
        let is_known = |since: (u32, u32)| since <= about.level();
        let patterns = PATTERNS.iter().filter(|(since, _)| is_known(*since));
        let waiting = WAITING.iter().filter(|(since, _)| is_known(*since));
        Self {
            random: fastrand::Rng::with_seed(seed),
            patterns: patterns.flat_map(|(_, patterns)| patterns.iter().copied()).collect(),
            waiting: waiting.map(|(_, pattern)| *pattern).collect(),
            entry: 1,
            nonsense: about.level() >= (8, 0),
            valkey: about.valkey,
        }
    }

    /// The next line, of one of these clients.
    pub(crate) fn next(
        &mut self,
        free: &[usize],
        is_queueing: impl Fn(usize) -> bool,
    ) -> (usize, Vec<Vec<u8>>) {
        let client = *self.random.choice(free).expect("the first client is always free");
        if self.valkey && is_queueing(client) && self.random.u8(..20) == 0 {
            return (client, vec![b"EXEC".to_vec()]);
        }
        let waits = client > 0 && self.random.usize(..25) == 0;
        let from = if waits { &self.waiting } else { &self.patterns };
        let pattern: &'static str = self.random.choice(from).expect("there are patterns");
        if self.valkey && is_queueing(client) && (pattern == "MULTI" || pattern.starts_with("WATCH")) {
            // Valkey ends a transaction for it, and Redis does not.
            return (client, vec![b"PING".to_vec()]);
        }
        let mut words: Vec<Vec<u8>> = pattern.split(' ').map(|word| self.word(word)).collect();
        // Chance takes a member from each that is not the same.
        if self.nonsense && !waits && !pattern.starts_with("SPOP") {
            match self.random.u8(..60) {
                0 if words.len() > 1 => {
                    words.pop();
                }
                1 => words.push(self.word("{junk}")),
                2 if words.len() > 2 => {
                    let at = self.random.usize(2..words.len());
                    words[at] = self.word("{junk}");
                }
                _ => {}
            }
        }
        (client, words)
    }

    fn one_of(&mut self, words: &[&str]) -> Vec<u8> {
        self.random.choice(words).map_or_else(Vec::new, |word| word.as_bytes().to_vec())
    }

    fn word(&mut self, pattern: &str) -> Vec<u8> {
        let Some((before, rest)) = pattern.split_once('{') else { return pattern.as_bytes().to_vec() };
        let (kind, after) = rest.split_once('}').expect("patterns are closed");
        let word = self.random_word(kind);
        [before.as_bytes(), &word, after.as_bytes()].concat()
    }

    fn random_word(&mut self, kind: &str) -> Vec<u8> {
        let strays = self.random.u8(..12) == 0;
        match kind {
            "s" | "l" | "t" | "h" | "z" | "x1" if strays => self.random_word("any"),
            _ if strays && !self.nonsense => self.right_word(kind),
            _ if strays => self.wrong_word(kind),
            _ => self.right_word(kind),
        }
    }

    fn right_word(&mut self, kind: &str) -> Vec<u8> {
        match kind {
            "s" => self.one_of(&["s1", "s2", "s3"]),
            "l" => self.one_of(&["l1", "l2"]),
            "t" => self.one_of(&["t1", "t2"]),
            "h" => self.one_of(&["h1", "h2"]),
            "z" => self.one_of(&["z1", "z2"]),
            "x1" => self.one_of(&["x1", "x2"]),
            "any" => {
                self.one_of(&["s1", "s2", "l1", "l2", "t1", "t2", "h1", "h2", "z1", "z2", "x1", "x2", "none"])
            }
            "v" => {
                self.one_of(&["a", "b", "1", "2", "10", "3.5", "", "a b", "\r\n", "\u{e9}\0", "-5", "word"])
            }
            "w" => self.one_of(&["a", "b", "c", "d", "normal"]),
            "i" => self.one_of(&["0", "1", "2", "3", "-1", "-2", "-3", "5", "100"]),
            "f" => self.one_of(&["0", "1", "2", "-1", "0.5", "1.25", "-2.5", "100"]),
            "bit" => self.one_of(&["0", "1"]),
            "b" => self.one_of(&["-inf", "+inf", "0", "1", "(1", "2", "(2", "-1"]),
            "x" => self.one_of(&["-", "+", "[a", "(a", "[b", "(c"]),
            "ttl" => self.one_of(&["100000", "200000", "300000"]),
            "at" => self.one_of(&["9999999999", "8888888888"]),
            "glob" => self.one_of(&["*", "s*", "?1", "[a-m]*", "c*", "c1", "\\*"]),
            "ch" => self.one_of(&["c1", "c2", "d"]),
            "zopt" => self.one_of(&["NX", "XX", "GT", "LT", "CH"]),
            "g" => self.one_of(&["g1", "g2"]),
            "c" => self.one_of(&["one", "two"]),
            "id" => {
                if self.random.bool() {
                    self.entry += 1;
                    return format!("{}-1", self.entry).into_bytes();
                }
                let id = self.random.u64(..=self.entry);
                format!("{id}-{}", self.random.u8(..3)).into_bytes()
            }
            "junk" => self.one_of(&["nonsense", "", "x y", "COUNT", "WITHSCORES", "LIMIT", "-1", "GET"]),
            other => panic!("no such kind of word: {other}"),
        }
    }

    fn wrong_word(&mut self, kind: &str) -> Vec<u8> {
        match kind {
            "i" => self.one_of(&["x", "", "1.5", "9223372036854775807", "-9223372036854775807", "007"]),
            "f" => self.one_of(&["x", "inf", "-inf", "nan", "", "1e3"]),
            "bit" => self.one_of(&["2", "x"]),
            "b" => self.one_of(&["x", "(", "(x"]),
            "x" => self.one_of(&["a", "", "+inf"]),
            "ttl" => self.one_of(&["0", "-1", "x", "9223372036854775807"]),
            "at" => self.one_of(&["1", "0", "x"]),
            "id" => self.one_of(&["x", "1-x", "0-0", "-", "$"]),
            _ => self.right_word(kind),
        }
    }
}
