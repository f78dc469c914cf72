//! Each command of a table read as each type of another, on RESP2 and on RESP3: the same value, or the same
//! kind of error.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt::{self, Debug};

use bytes::Bytes;
use redwire::blocking::Client;
use redwire::{Cmd, ErrorKind, Items, Lossy, Reader, Reply, Result, cmd};
use redwire_testkit::shared;

use crate::harness::{keys, since, url};

/// What a call gave, as text.
type Read = Result<String, ErrorKind>;

/// An item that is a value, or the kind of its error.
#[derive(Debug)]
#[allow(dead_code, reason = "read by `Debug`")]
struct Kept<T>(Result<T, ErrorKind>);

impl<T: Reply> Reply for Kept<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self(Result::<T>::decode(reader)?.map_err(|error| error.kind())))
    }

    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        Ok(Self(Result::<T>::decode_item(reader, items)?.map_err(|error| error.kind())))
    }
}

/// A type of a user's own, as the documentation of `Reply` shows.
#[derive(Debug)]
#[allow(dead_code, reason = "read by `Debug`")]
struct Hit {
    member: String,
    score: f64,
}

impl Reply for Hit {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let (member, score) = Reply::decode(reader)?;
        Ok(Self { member, score })
    }
}

/// A `HashMap`, shown in an order.
struct Shown<K, V>(HashMap<K, V>);

impl<K: Reply + Eq + std::hash::Hash, V: Reply> Reply for Shown<K, V> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        HashMap::decode(reader).map(Self)
    }
}

impl<K: Debug + Ord, V: Debug> Debug for Shown<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().collect::<BTreeMap<_, _>>()).finish()
    }
}

/// How the parts of the table are read: the name of a type, and a call that is read as it.
type Reading = (&'static str, fn(&Client, &[String]) -> Read);

fn read<T: Reply + Debug>(client: &Client, words: &[String]) -> Read {
    let (name, args) = words.split_first().expect("a command has a name");
    let cmd: Cmd<T> = args.iter().fold(cmd(name), |cmd, word| cmd.arg(word));
    client.execute(cmd).map(|value| format!("{value:?}")).map_err(|error| error.kind())
}

macro_rules! readings {
    ($($type:ty),* $(,)?) => { vec![$((stringify!($type), read::<$type> as fn(&Client,
    &[String]) -> Read)),*] };
}

/// Types of one value that is no list.
fn scalars() -> Vec<Reading> {
    readings!(
        (),
        String,
        Lossy,
        Vec<u8>,
        Bytes,
        Box<str>,
        bool,
        i8,
        i16,
        u16,
        i32,
        u32,
        i64,
        u64,
        i128,
        u128,
        isize,
        usize,
        f32,
        f64,
        Option<String>,
        Option<i64>,
        Option<f64>,
        Option<bool>,
        Box<f64>,
        Kept<i64>,
        Kept<String>,
        Kept<bool>
    )
}

/// Types of lists whose items are no pairs.
fn flat() -> Vec<Reading> {
    readings!(
        Vec<String>,
        Vec<Vec<u8>>,
        Vec<Option<String>>,
        Vec<i64>,
        Vec<Option<f64>>,
        Vec<bool>,
        Vec<Kept<i64>>,
        VecDeque<String>,
        BTreeSet<String>,
        (String,),
        [String; 2],
        [f64; 2],
        (String, f64),
        Option<(String, f64)>,
        Option<[String; 2]>,
        Hit,
        Option<Hit>,
        (i64, i64, i64),
        Vec<Lossy>
    )
}

/// Types of lists of pairs, and of what is deeper.
fn pairs() -> Vec<Reading> {
    readings!(
        Vec<(String, f64)>, Vec<(String, String)>, Vec<(String, i64)>, Vec<(Lossy, Option<u64>)>, Vec<(i64,
        f64)>,
        Vec<Option<(String, f64)>>, Vec<Box<(String, f64)>>, Vec<Kept<(String, i64)>>, Vec<[String; 2]>,
        Vec<Hit>,
        Vec<Option<Hit>>, Vec<Kept<Hit>>, Box<[(String, String)]>, BTreeMap<String, String>, BTreeMap<String,
        f64>,
        BTreeMap<String, Option<i64>>, Shown<String, u32>, Shown<String, String>, BTreeSet<(String, String)>,
        Option<Vec<(String, f64)>>, Vec<(String, Vec<String>)>, Vec<(String, Vec<(String, Vec<String>)>)>,
        BTreeMap<String, Vec<(String, BTreeMap<String, String>)>>, (String, Vec<(String, f64)>), (u64,
        Vec<String>),
        Vec<Option<(f64, f64)>>, Vec<(String, f64, (f64, f64))>, [(String, f64); 1]
    )
}

#[cfg(feature = "serde")]
fn structs() -> Vec<Reading> {
    use redwire::Struct;
    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code, reason = "read by `Debug`")]
    struct Fields {
        a: i64,
        b: f32,
        c: Option<String>,
        d: Option<bool>,
    }
    readings!(
        Struct<Fields>,
        Struct<Option<Fields>>,
        Option<Struct<Fields>>,
        Struct<BTreeMap<String, String>>,
        Struct<Vec<(String, f64)>>,
        Struct<Vec<(String, i64)>>,
        Struct<BTreeMap<String, f64>>,
        Vec<Struct<(String, f64)>>,
        Vec<Kept<Struct<(String, i64)>>>,
        Struct<Vec<String>>,
        Struct<i64>,
        Struct<u8>,
        Struct<f64>,
        Struct<bool>,
        Struct<String>,
        Struct<Option<f64>>,
        Struct<Vec<Option<(f64, f64)>>>,
        Struct<Option<(String, f64)>>
    )
}

#[cfg(not(feature = "serde"))]
fn structs() -> Vec<Reading> {
    Vec::new()
}

/// What lies at the server; `{}` is the prefix of the keys.
const DATA: &str = "
SET {}int 42
SET {}float 3.25
SET {}text some\u{a0}text
SET {}true true
SET {}False False
SET {}one 1
SET {}big 123456789012345680000
HSET {}hash a 1 b 2.5 c x d true
HSET {}single f 7
ZADD {}z -inf low 0.1 a 1 b 2.5 c 17 d 1e16 e 9007199254740993 f 1e22 g 123456789012345680000 h 1e-7 i
ZADD {}z inf high
ZADD {}whole 1 a 2 b 300 c
ZADD {}lone 5 x
SADD {}set a b c
SADD {}numbers 1 2 3
RPUSH {}list 1 b 3.5
XADD {}stream 1-1 a 1
XADD {}stream 1-2 b 2 c 3
GEOADD {}geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania";

/// The commands, with the version of Redis that they need. Those that take away are followed by what puts it
/// back.
///
/// With a star stand those whose shape is another on RESP3: pairs are lists there, where RESP2 has their
/// parts in one list, and `XREAD` is a map. Types that read neither pairs nor maps see that.
const COMMANDS: &str = "
6.2 GET {}int
6.2 GET {}float
6.2 GET {}text
6.2 GET {}true
6.2 GET {}False
6.2 GET {}one
6.2 GET {}big
6.2 GET {}none
6.2 GET {}list
6.2 STRLEN {}text
6.2 EXISTS {}int
6.2 TYPE {}int
6.2 PING
6.2 SET {}set NX nothing
6.2 SET {}tmp 1
6.2 MGET {}int {}none {}float
6.2 TTL {}int
6.2 HGETALL {}hash
6.2 HGETALL {}none
6.2 HGETALL {}single
6.2 HGET {}hash b
6.2 HMGET {}hash a none b
6.2 HKEYS {}hash
6.2 HEXISTS {}hash a
6.2* HRANDFIELD {}single 1 WITHVALUES
6.2* HRANDFIELD {}none 1 WITHVALUES
6.2 HSCAN {}hash 0
6.2 HINCRBYFLOAT {}hash b 0
6.2 ZRANGE {}z 0 -1
6.2* ZRANGE {}z 0 -1 WITHSCORES
6.2* ZRANGE {}whole 0 -1 WITHSCORES
6.2* ZRANGE {}none 0 -1 WITHSCORES
6.2* ZREVRANGE {}whole 0 1 WITHSCORES
6.2* ZRANGEBYSCORE {}whole 1 2 WITHSCORES
6.2* ZUNION 1 {}whole WITHSCORES
6.2* ZINTER 1 {}whole WITHSCORES
6.2* ZDIFF 1 {}z WITHSCORES
6.2* ZRANDMEMBER {}lone 1 WITHSCORES
6.2 ZSCAN {}z 0
6.2 ZSCORE {}z a
6.2 ZSCORE {}z b
6.2 ZSCORE {}z d
6.2 ZSCORE {}z e
6.2 ZSCORE {}z f
6.2 ZSCORE {}z g
6.2 ZSCORE {}z h
6.2 ZSCORE {}z i
6.2 ZSCORE {}z low
6.2 ZSCORE {}z high
6.2 ZSCORE {}z none
6.2 ZMSCORE {}z b none d
6.2 ZINCRBY {}z 0 d
6.2 ZADD {}z INCR 0 b
6.2 ZADD {}z NX INCR 0 b
6.2 ZRANK {}z a
7.2 ZRANK {}z a WITHSCORE
7.2 ZRANK {}z none WITHSCORE
6.2 ZPOPMIN {}none
6.2* ZPOPMIN {}none 2
6.2 ZPOPMIN {}lone ; ZADD {}lone 5 x
6.2* ZPOPMAX {}whole 2 ; ZADD {}whole 2 b 300 c
6.2 BZPOPMIN {}lone 1 ; ZADD {}lone 5 x
7.0 ZMPOP 1 {}lone MIN ; ZADD {}lone 5 x
7.0 ZMPOP 1 {}none MIN
6.2 LPOP {}list 1 ; LPUSH {}list 1
6.2 LPOP {}none 1
6.2 BLPOP {}list 1 ; LPUSH {}list 1
6.2 GEODIST {}geo Palermo Catania km
6.2 GEOPOS {}geo Palermo none
6.2 GEOHASH {}geo Palermo none
6.2 GEOSEARCH {}geo FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHCOORD WITHDIST
6.2 SMEMBERS {}set
6.2 SMEMBERS {}numbers
6.2 SMISMEMBER {}set a none
6.2 SISMEMBER {}set a
6.2 SSCAN {}numbers 0
6.2 LRANGE {}list 0 -1
6.2 LPOS {}list none
6.2 XRANGE {}stream - +
6.2 XRANGE {}none - +
6.2* XREAD STREAMS {}stream 0
6.2 XREAD STREAMS {}none 0
6.2 XINFO STREAM {}stream
6.2 CONFIG GET maxmemory
6.2 CLIENT GETNAME
6.2 MEMORY USAGE {}none
6.2 OBJECT ENCODING {}int
6.2 PUBSUB NUMSUB {}channel
7.0 LCS {}text {}true IDX
6.2 COMMAND INFO get
6.2 NOSUCHCOMMAND
6.2 EVAL return\u{a0}1 0
6.2 EVAL return\u{a0}3.99 0
6.2 EVAL return\u{a0}'text' 0
6.2 EVAL return\u{a0}true 0
6.2 EVAL return\u{a0}false 0
6.2 EVAL return\u{a0}{} 0
6.2 EVAL return\u{a0}{1,'b',{2,'c'},false} 0
6.2 EVAL return\u{a0}{'a',1,'b',2} 0
6.2 EVAL return\u{a0}{{'a',1},{'b',2}} 0
6.2 EVAL return\u{a0}redis.status_reply('FINE') 0
6.2 EVAL return\u{a0}redis.call('ZSCORE',KEYS[1],'c') 1 {}z
6.2 EVAL redis.setresp(3)\u{a0}return\u{a0}redis.call('ZSCORE',KEYS[1],'c') 1 {}z
6.2 EVAL redis.setresp(3)\u{a0}return\u{a0}redis.call('ZSCORE',KEYS[1],'d') 1 {}z
6.2 EVAL redis.setresp(3)\u{a0}return\u{a0}redis.call('HGETALL',KEYS[1]) 1 {}single
6.2 EVAL redis.setresp(3)\u{a0}return\u{a0}redis.call('SMEMBERS',KEYS[1]) 1 {}numbers
6.2 EVAL redis.setresp(3)\u{a0}return\u{a0}{double=1.5} 0
6.2 EVAL redis.setresp(3)\u{a0}return\u{a0}{double=12} 0
6.2 EVAL redis.setresp(3)\u{a0}return\u{a0}{map={a=1}} 0
6.2 EVAL redis.setresp(3)\u{a0}return\u{a0}{set={x=true}} 0
7.0 EVAL redis.setresp(3)\u{a0}return\u{a0}{big_number='12'} 0
7.0 EVAL redis.setresp(3)\u{a0}return\u{a0}{verbatim_string={format='txt',string='12'}} 0
7.0 EVAL redis.setresp(3)\u{a0}return\u{a0}{verbatim_string={format='txt',string='true'}} 0
6.2 EVAL redis.setresp(3)\u{a0}return\u{a0}true 0
6.2 EVAL redis.setresp(3)\u{a0}return\u{a0}false 0";

/// The words of a line; a hard space is a space within a word.
fn words(line: &str, prefix: &str) -> Vec<String> {
    let word = |word: &str| {
        let script = word.starts_with("return") || word.starts_with("redis.");
        let word = word.replace('\u{a0}', " ");
        if script { word } else { word.replace("{}", prefix) }
    };
    line.split(' ').map(word).collect()
}

#[test]
fn all_types_read_the_same_from_both_protocols() {
    let clients = [2, 3].map(|protocol| Client::connect(&url(shared(), protocol)).unwrap());
    let prefix = keys()("t:");
    for line in DATA.lines().skip(1) {
        read::<()>(&clients[0], &words(line, &prefix)).unwrap();
    }
    let mut wrong = Vec::new();
    let (mut taken, mut refused) = (0, 0);
    for line in COMMANDS.lines().skip(1) {
        let (version, line) = line.split_once(' ').unwrap();
        let nested = version.ends_with('*');
        let (major, minor) = version.trim_end_matches('*').split_once('.').unwrap();
        if !since(major.parse().unwrap(), minor.parse().unwrap()) {
            continue;
        }
        let (line, again) = line.split_once(" ; ").map_or((line, None), |(line, again)| (line, Some(again)));
        let command = words(line, &prefix);
        let (scalars, flat, pairs, structs) = (scalars(), flat(), pairs(), structs());
        let all = scalars.iter().chain(&flat).chain(&pairs).chain(&structs);
        let sees_shape = |name: &str| {
            let of_one_pair = name == "Struct<Option<(String, f64)>>";
            nested
                && (flat.iter().any(|(flat, _)| *flat == name)
                    || name == "Struct<Vec<String>>"
                    || of_one_pair)
        };
        for (name, read) in all.filter(|(name, _)| !sees_shape(name)) {
            let [two, three] = [&clients[0], &clients[1]].map(|client| {
                let value = read(client, &command);
                if let Some(again) = again {
                    self::read::<()>(client, &words(again, &prefix)).unwrap();
                }
                value
            });
            if two != three {
                wrong.push(format!("{line} as {name}: {two:?} and {three:?}"));
            }
            *if two.is_ok() { &mut taken } else { &mut refused } += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), taken + refused, wrong.join("\n"));
    assert!(taken > 1000 && refused > 1000);
}
