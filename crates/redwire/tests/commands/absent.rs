//! Values that are absent (`None`, an empty list) where something must stand: nothing is sent, or exactly
//! what the program says.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use redwire::commands::{
    CopyOptions, DeleteIf, End, Expiry, GeoUnit, HsetexOptions, LposOptions, RestoreOptions, SetOptions,
    SortOptions, StreamId, XaddOptions, XreadOptions, ZAddOptions, ZRange,
};
use redwire::prelude::*;
use redwire::{Cmd, Error, ErrorKind, Outcome, Result, Run, Script, Value, cmd};

use crate::each_client;

const NONE: Option<&str> = None;
const PAIRS: [(&str, Option<&str>); 2] = [("a", None), ("b", None)];
const MINUTE: Duration = Duration::from_secs(60);

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>) -> Error {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
    let told = error.message().starts_with("argument ") && error.message().contains(" is missing");
    assert!(told && error.command().is_some(), "{error}");
    error
}

#[test]
fn nothing_is_sent_where_a_pair_lacks_a_part() {
    each_client!(|c, key| {
        let k = key("k");
        let error = refused(try_run!(c.hset_multiple(&k, PAIRS)));
        assert_eq!(error.command(), Some("HSET"));
        assert!(error.message().starts_with("argument 3 is missing: part 2 of a pair"), "{error}");
        refused(try_run!(c.hset_multiple(&k, HashMap::from(PAIRS))));
        refused(try_run!(c.hset_multiple(&k, BTreeMap::from([("a", vec![1]), ("b", vec![])]))));
        refused(try_run!(c.hset_multiple(&k, [Some("a"), None, Some("b"), None])));
        refused(try_run!(c.hset_multiple(&k, [("a", Some(Some("1"))), ("b", Some(None))])));
        refused(try_run!(c.hset_multiple(&k, ("a", NONE, "b", NONE))));
        refused(try_run!(c.mset([(&k, None), (&key("l"), Some("x"))])));
        refused(try_run!(c.mset_nx([(&k, NONE), (&key("l"), NONE)])));
        refused(try_run!(c.mset_ex([(&k, NONE), (&key("l"), NONE)], SetOptions::new())));
        refused(try_run!(c.hsetex(&k, HsetexOptions::new(), PAIRS)));
        refused(try_run!(c.xadd(&k, PAIRS)));
        refused(try_run!(c.xadd_with(&k, XaddOptions::new(), BTreeMap::from(PAIRS))));
        refused(try_run!(c.zadd_multiple(&k, [(Some(1.0), NONE), (None, Some("2"))])));
        refused(try_run!(c.zadd_with(&k, ZAddOptions::new(), [(None::<f64>, Some("1")), (None, Some("2"))])));
        refused(try_run!(c.geoadd(&k, [(Some(1.0), Some(2.0), NONE)])));
        refused(try_run!(c.config_set([("maxmemory", NONE), ("maxmemory-policy", NONE)])));
        assert_eq!(run!(c.exists([&k, &key("l")])), 0);
        // A whole pair may be absent.
        assert_eq!(run!(c.hset_multiple(&k, [Some(("a", 1)), None, Some(("b", 2))])), 2);
        assert_eq!(
            run!(c.hgetall::<BTreeMap<String, u32>>(&k)),
            BTreeMap::from([("a".into(), 1), ("b".into(), 2)])
        );
    });
}

#[test]
fn nothing_is_sent_where_a_value_is_absent_before_others() {
    each_client!(|c, key| {
        let (k, l) = (key("k"), key("l"));
        run!(c.set(&k, "held"));
        let error = refused(try_run!(c.set_with(&k, NONE, SetOptions::new().nx())));
        assert!(error.message().starts_with("argument 2 is missing: a value"), "{error}");
        refused(try_run!(c.set_with(&k, NONE, SetOptions::new().keepttl())));
        refused(try_run!(c.set_get::<String>(&k, NONE, SetOptions::new())));
        refused(try_run!(c.set(&k, Vec::<String>::new())));
        refused(try_run!(c.set(NONE, &k)));
        refused(try_run!(c.set_ex(&k, NONE, MINUTE)));
        refused(try_run!(c.set_nx(&l, Some(NONE))));
        refused(try_run!(c.append(&k, NONE)));
        refused(try_run!(c.lpush(&l, NONE)));
        refused(try_run!(c.sadd(&l, Vec::<String>::new())));
        refused(try_run!(c.del([NONE, None])));
        refused(try_run!(c.hdel(&k, NONE)));
        refused(try_run!(c.mget::<Vec<Option<String>>>(NONE)));
        refused(try_run!(c.blpop::<String, String>(NONE, MINUTE)));
        refused(try_run!(c.setrange(&k, 0, NONE)));
        refused(try_run!(c.getex::<String>(NONE, Expiry::In(MINUTE))));
        refused(try_run!(c.hset(&l, NONE, "v")));
        refused(try_run!(c.hset(&l, "f", NONE)));
        refused(try_run!(c.publish(NONE, "m")));
        refused(try_run!(c.publish("channel", NONE)));
        refused(try_run!(c.copy(&k, NONE, CopyOptions::new().replace())));
        refused(try_run!(c.rename(NONE, &k)));
        refused(try_run!(c.restore(&l, NONE, RestoreOptions::new().replace())));
        refused(try_run!(c.sort_store(&l, SortOptions::new(), NONE)));
        refused(try_run!(c.geodist(&l, "a", NONE, GeoUnit::Meters)));
        refused(try_run!(c.linsert_before(&l, NONE, "v")));
        refused(try_run!(c.lpos(&l, NONE, LposOptions::new().rank(1).maxlen(2))));
        refused(try_run!(c.lmove::<String>(&l, NONE, End::Left, End::Right)));
        refused(try_run!(c.zadd(&l, 1.0, NONE)));
        refused(try_run!(c.zincr_by(&l, 1.0, NONE)));
        refused(try_run!(c.zrangestore(NONE, &k, ZRange::by_rank(0, -1))));
        refused(try_run!(c.smove(&l, NONE, "m")));
        refused(try_run!(c.xrange::<Value>(&l, NONE, StreamId::MAX)));
        refused(try_run!(c.xread::<String, Value>(XreadOptions::new(), NONE, ["0", "0"])));
        refused(try_run!(c.xread::<String, Value>(XreadOptions::new(), [&k, &l], ["0"])));
        assert_eq!(run!(c.get::<String>(&k)).as_deref(), Some("held"));
        assert_eq!(run!(c.exists(&l)), 0);
    });
}

#[test]
fn nothing_is_sent_where_a_place_would_move() {
    each_client!(|c, key| {
        let (k, l) = (key("k"), key("l"));
        let count = "return #ARGV + #KEYS";
        refused(try_run!(c.mget::<Vec<Option<String>>>([Some(&k), None, Some(&l)])));
        refused(try_run!(c.hmget::<Vec<Option<String>>>(&k, [Some("x"), None])));
        refused(try_run!(c.zmscore(&k, [Some("x"), None])));
        refused(try_run!(c.smismember(&k, [Some("x"), None])));
        refused(try_run!(c.httl(&k, [Some("x"), None])));
        refused(try_run!(c.geopos(&k, [None, Some("x")])));
        refused(try_run!(c.zunion::<Vec<String>>([Some(&k), None])));
        refused(try_run!(c.sdiff::<Vec<String>>([None, Some(&k)])));
        refused(try_run!(c.eval::<i64>(count, &k, (Some("a"), NONE, Some("c")))));
        refused(try_run!(c.eval::<i64>(count, &k, [Some("a"), None, Some("c")])));
        refused(try_run!(c.eval::<i64>(count, [Some(&k), None], "a")));
        refused(try_run!(c.eval::<i64>(NONE, &k, "a")));
        refused(try_run!(c.evalsha::<i64>(Script::new(count).sha(), &k, [NONE])));
        let script = Script::new(count);
        let error = refused(try_run!(c.invoke::<i64>(script.key(&k).arg("a").arg(NONE).arg("c"))));
        assert!(error.message().starts_with("argument 5 is missing"), "{error}");
        refused(try_run!(c.invoke::<i64>(script.key(NONE).key(&k))));
        refused(try_run!(c.invoke::<i64>(script.key([Some(&k), None]))));
        refused(try_run!(c.invoke::<i64>(script.key(&k).arg([Some(1), None]))));
        // Nor where it asks for how many there are.
        refused(try_run!(c.zunion::<Vec<String>>([] as [&str; 0])));
        refused(try_run!(c.sintercard(NONE)));
        refused(try_run!(c.lmpop::<String, Vec<String>>(NONE, End::Left, 1)));
        refused(try_run!(c.httl(&k, Vec::<String>::new())));
        refused(try_run!(c.hgetdel::<Vec<Option<String>>>(&k, NONE)));
        refused(try_run!(c.delex(NONE, DeleteIf::Equal("x"))));
        // What may be empty, may.
        assert_eq!(run!(c.eval::<i64>(count, NONE, NONE)), 0);
        assert_eq!(run!(c.eval::<i64>(count, [] as [&str; 0], Vec::<String>::new())), 0);
        assert_eq!(run!(c.invoke::<i64>(script.key(&k).arg(Vec::<String>::new()).arg("c"))), 2);
        assert_eq!(run!(c.sadd(&l, [Some("a"), None, Some("b")])), 2);
        assert_eq!(run!(c.del([None, Some(&l)])), 1);
        run!(c.info(NONE));
        assert!(run!(c.config_get::<HashMap<String, String>>("maxmemory")).contains_key("maxmemory"));
    });
}

#[test]
fn however_it_is_sent_it_is_refused() {
    each_client!(|c, key| {
        let k = key("k");
        let script = Script::new("return redis.call('SET', KEYS[1], ARGV[1])");
        refused(try_run!(c.pipeline(|p| (p.set(&k, "first"), p.hset_multiple(key("h"), PAIRS)))));
        refused(try_run!(
            c.pipeline(|p| (p.set(&k, "first"), p.invoke::<()>(script.key(&k).arg(NONE)).attempt()))
        ));
        refused(try_run!(c.atomic(|p| (p.set(&k, "first"), p.mset([(&k, NONE), (&k, NONE)])))));
        refused(try_run!(c.execute(cmd::<Value>("SET").arg(&k).required(NONE).arg("NX"))));
        refused(try_run!(c.execute(cmd::<Value>("HSET").arg(&k).arg(PAIRS))));
        let mut lease = run!(c.pool().get());
        let unfit: Cmd<Value> = cmd("MSET").arg([(&k, NONE), (&k, NONE)]);
        refused(try_run!(lease.send(&unfit)));
        refused(try_run!(lease.run(unfit.clone())));
        refused(unfit.check());
        assert_eq!(run!(lease.exists(&k)), 0);
    });
}

#[test]
fn of_very_many_commands_the_unfit_ones_are_refused_alone() {
    each_client!(|c, key| {
        let k = key("k");
        let commands = (0..5).map(|n| match n {
            2 => cmd("MSET").arg([(&k, NONE), (&k, NONE)]),
            _ => cmd("RPUSH").arg(&k).arg(n),
        });
        let mut results = c.run_all::<Value, _>(commands);
        for n in 0..5 {
            let result = try_run!(results.next()).unwrap();
            if n == 2 {
                refused(result);
            } else {
                result.unwrap();
            }
        }
        assert_eq!(run!(c.lrange::<Vec<u32>>(&k, 0, -1)), [0, 1, 3, 4]);
    });
}

/// An item of a program: words that may be absent.
type Pair = (Option<u32>, Option<u32>);

#[test]
fn random_absences_never_make_other_pairs() {
    let mut random = fastrand::Rng::with_seed(77);
    each_client!(|c, key| {
        let mut sent = 0;
        for round in 0..60 {
            let (h, s, z) = (key(&format!("h{round}")), key(&format!("s{round}")), key(&format!("z{round}")));
            // Each word is one of its own, so that a moved one is seen.
            let mut next = 0;
            let mut word = || {
                next += 1;
                (random.u8(..8) > 0).then_some(next)
            };
            let pairs: Vec<Pair> = (0..3).map(|_| (word(), word())).collect();
            let whole: BTreeMap<u32, u32> = pairs.iter().filter_map(|(a, b)| Some(((*a)?, (*b)?))).collect();
            let fits = whole.len() == pairs.len();
            let check = |taken: bool| assert_eq!(taken, fits, "{pairs:?}");
            check(try_run!(c.hset_multiple(&h, &pairs)).is_ok());
            check(try_run!(c.xadd(&s, &pairs)).is_ok());
            check(try_run!(c.zadd_multiple(&z, &pairs)).is_ok());
            let flat: Vec<Option<u32>> = pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
            let echoed = try_run!(c.eval::<Vec<u32>>("return ARGV", NONE, &flat));
            check(echoed.is_ok_and(|echoed| echoed.into_iter().map(Some).eq(flat)));
            let expected = if fits { whole } else { BTreeMap::new() };
            assert_eq!(run!(c.hgetall::<BTreeMap<u32, u32>>(&h)), expected, "{pairs:?}");
            let entries = run!(c.xrange::<BTreeMap<u32, u32>>(&s, StreamId::MIN, StreamId::MAX));
            assert_eq!(entries.first().map(|entry| &entry.fields), fits.then_some(&expected), "{pairs:?}");
            let scored = run!(c.zrange_withscores::<Vec<(u32, f64)>>(&z, 0, -1));
            assert!(scored.iter().map(|(member, score)| (*score as u32, *member)).eq(expected), "{pairs:?}");
            sent += u32::from(fits);
        }
        assert!((5..55).contains(&sent), "{sent} of 60 had all their words");
    });
}
