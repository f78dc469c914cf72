//! Sorted sets.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use redwire::commands::{LexBound, ScoreBound, ZAddOptions, ZCombineOptions, ZRange};
use redwire::prelude::*;

use crate::each_client;
use crate::harness::since;

const ABC: [(f64, &str); 3] = [(1.0, "a"), (2.0, "b"), (3.5, "c")];

type Scored = Vec<(String, f64)>;

fn scored<const N: usize>(pairs: [(&str, f64); N]) -> Scored {
    pairs.map(|(member, score)| (member.to_owned(), score)).into()
}

#[test]
fn members_have_scores() {
    each_client!(|c, key| {
        let z = key("z");
        assert_eq!(run!(c.zadd(&z, 1.0, "a")), 1);
        assert_eq!(run!(c.zadd_multiple(&z, ABC)), 2);
        assert_eq!(run!(c.zcard(&z)), 3);
        assert_eq!(run!(c.zscore(&z, "c")), Some(3.5));
        assert_eq!(run!(c.zscore(&z, "x")), None);
        assert_eq!(run!(c.zmscore(&z, ["a", "x"])), [Some(1.0), None]);
        assert_eq!(run!(c.zincr_by(&z, 0.25, "a")), 1.25);
        assert_eq!(run!(c.zincr_by(&z, -2.0, "new")), -2.0);
        assert_eq!(run!(c.zrem(&z, ["new", "x"])), 1);
        run!(c.zadd(&z, f64::INFINITY, "inf"));
        run!(c.zadd(&z, 5e-324, "tiny"));
        assert_eq!(run!(c.zmscore(&z, ["inf", "tiny"])), [Some(f64::INFINITY), Some(5e-324)]);
    });
}

#[test]
fn adding_has_conditions() {
    each_client!(|c, key| {
        let (z, options) = (key("z"), ZAddOptions::new);
        run!(c.zadd_multiple(&z, ABC));
        assert_eq!(run!(c.zadd_with(&z, options().nx(), [(9.0, "a"), (9.0, "d")])), 1);
        assert_eq!(run!(c.zadd_with(&z, options().nx().xx().ch(), [(8.0, "a"), (8.0, "x")])), 1);
        assert_eq!(run!(c.zadd_with(&z, options().gt().ch(), [(9.0, "a"), (1.0, "b"), (4.0, "c")])), 2);
        assert_eq!(run!(c.zadd_with(&z, options().lt(), [(9.0, "a"), (1.0, "b"), (5.0, "c")])), 0);
        assert_eq!(
            run!(c.zmscore(&z, ["a", "b", "c", "d", "x"])),
            [Some(9.0), Some(1.0), Some(4.0), Some(9.0), None]
        );
        assert_eq!(run!(c.zadd_incr(&z, options(), 1.5, "a")), Some(10.5));
        assert_eq!(run!(c.zadd_incr(&z, options().nx(), 1.0, "a")), None);
        assert_eq!(run!(c.zadd_incr(&z, options().lt(), 1.0, "a")), None);
        assert_eq!(run!(c.zadd_incr(&z, options().xx(), 1.0, "x")), None);
    });
}

#[test]
fn members_have_ranks() {
    each_client!(|c, key| {
        let z = key("z");
        run!(c.zadd_multiple(&z, ABC));
        assert_eq!(run!(c.zrank(&z, "a")), Some(0));
        assert_eq!(run!(c.zrevrank(&z, "a")), Some(2));
        assert_eq!(run!(c.zrank(&z, "x")), None);
        assert_eq!(run!(c.zrevrank(key("none"), "x")), None);
        if since(7, 2) {
            assert_eq!(run!(c.zrank_withscore(&z, "c")), Some((2, 3.5)));
            assert_eq!(run!(c.zrevrank_withscore(&z, "c")), Some((0, 3.5)));
            assert_eq!(run!(c.zrank_withscore(&z, "x")), None);
            assert_eq!(run!(c.zrevrank_withscore(key("none"), "x")), None);
        }
    });
}

#[test]
fn ranges_by_rank() {
    each_client!(|c, key| {
        let z = key("z");
        run!(c.zadd_multiple(&z, ABC));
        assert_eq!(run!(c.zrange::<Vec<String>>(&z, 0, -2)), ["a", "b"]);
        assert_eq!(run!(c.zrevrange::<Vec<String>>(&z, 0, -2)), ["c", "b"]);
        assert_eq!(run!(c.zrange_withscores::<Scored>(&z, 1, -1)), scored([("b", 2.0), ("c", 3.5)]));
        assert_eq!(run!(c.zrevrange_withscores::<Scored>(&z, 0, 0)), scored([("c", 3.5)]));
        let map: HashMap<String, f64> = run!(c.zrange_withscores(&z, 0, -1));
        assert_eq!((map.len(), map["b"]), (3, 2.0));
        assert_eq!(run!(c.zrange_withscores::<Scored>(key("none"), 0, -1)), []);
        assert_eq!(run!(c.zrange_with::<Vec<String>>(&z, ZRange::by_rank(0, 0).rev())), ["c"]);
    });
}

#[test]
fn ranges_by_score() {
    each_client!(|c, key| {
        let z = key("z");
        run!(c.zadd_multiple(&z, ABC));
        let (min, max, above) = (ScoreBound::MIN, ScoreBound::MAX, ScoreBound::exclusive);
        assert_eq!(run!(c.zrange_by_score::<Vec<String>>(&z, 1, 2)), ["a", "b"]);
        assert_eq!(run!(c.zrange_by_score::<Vec<String>>(&z, above(1.0), 3.5)), ["b", "c"]);
        assert_eq!(run!(c.zrange_by_score::<Vec<String>>(&z, min, above(3.5))), ["a", "b"]);
        assert_eq!(run!(c.zrange_by_score_limit::<Vec<String>>(&z, min, max, 1, 1)), ["b"]);
        assert_eq!(run!(c.zrange_by_score_limit::<Vec<String>>(&z, min, max, 1, -1)), ["b", "c"]);
        assert_eq!(
            run!(c.zrange_by_score_withscores::<Scored>(&z, 2.0, max)),
            scored([("b", 2.0), ("c", 3.5)])
        );
        assert_eq!(run!(c.zrevrange_by_score::<Vec<String>>(&z, max, above(1.0))), ["c", "b"]);
        assert_eq!(run!(c.zrevrange_by_score_limit::<Vec<String>>(&z, max, min, 1, 5)), ["b", "a"]);
        assert_eq!(
            run!(c.zrevrange_by_score_withscores::<Scored>(&z, 2, 1)),
            scored([("b", 2.0), ("a", 1.0)])
        );
        let range = ZRange::by_score(1, max).rev().limit(0, 1).with_scores();
        assert_eq!(run!(c.zrange_with::<Scored>(&z, range)), scored([("c", 3.5)]));
        assert_eq!(run!(c.zcount(&z, above(1.0), max)), 2);
        run!(c.zadd_multiple(&z, [(1e300, "huge"), (5e-324, "tiny")]));
        assert_eq!(run!(c.zcount(&z, above(5e-324), above(1e300))), 3);
        assert_eq!(run!(c.zcount(&z, 5e-324, 1e300)), 5);
        assert_eq!(run!(c.zcount(&z, above(f64::NEG_INFINITY), above(f64::INFINITY))), 5);
    });
}

#[test]
fn ranges_by_member() {
    each_client!(|c, key| {
        let z = key("z");
        run!(c.zadd_multiple(&z, ["a", "b", "c", "d"].map(|member| (0.0, member))));
        let (min, max, after) = (LexBound::MIN, LexBound::MAX, LexBound::exclusive("b"));
        assert_eq!(run!(c.zrange_by_lex::<Vec<String>>(&z, "b", "c")), ["b", "c"]);
        assert_eq!(run!(c.zrange_by_lex::<Vec<String>>(&z, after.clone(), max.clone())), ["c", "d"]);
        assert_eq!(run!(c.zrevrange_by_lex::<Vec<String>>(&z, after.clone(), min.clone())), ["a"]);
        assert_eq!(run!(c.zrevrange_by_lex::<Vec<String>>(&z, b"c".to_vec(), String::from("b"))), ["c", "b"]);
        let range = ZRange::by_lex(min.clone(), max.clone()).rev().limit(1, 2);
        assert_eq!(run!(c.zrange_with::<Vec<String>>(&z, range)), ["c", "b"]);
        assert_eq!(run!(c.zlexcount(&z, after.clone(), max.clone())), 2);
        assert_eq!(run!(c.zremrange_by_lex(&z, after, max)), 2);
        assert_eq!(run!(c.zrange::<Vec<String>>(&z, 0, -1)), ["a", "b"]);
    });
}

#[test]
fn ranges_are_stored_and_removed() {
    each_client!(|c, key| {
        let (z, to) = (key("z"), key("to"));
        run!(c.zadd_multiple(&z, ABC));
        assert_eq!(run!(c.zrangestore(&to, &z, ZRange::by_rank(0, 1).with_scores())), 2);
        assert_eq!(run!(c.zrange_withscores::<Scored>(&to, 0, -1)), scored([("a", 1.0), ("b", 2.0)]));
        assert_eq!(run!(c.zrangestore(&to, &z, ZRange::by_score(2, ScoreBound::MAX).rev().limit(0, 1))), 1);
        assert_eq!(run!(c.zrange::<Vec<String>>(&to, 0, -1)), ["c"]);
        assert_eq!(run!(c.zremrange_by_rank(&z, 0, 0)), 1);
        assert_eq!(run!(c.zremrange_by_score(&z, ScoreBound::exclusive(2.0), 3.5)), 1);
        assert_eq!(run!(c.zrange::<Vec<String>>(&z, 0, -1)), ["b"]);
    });
}

#[test]
fn members_are_popped() {
    each_client!(|c, key| {
        let (z, none) = (key("z"), key("none"));
        run!(c.zadd_multiple(&z, ABC));
        assert_eq!(run!(c.zpopmin::<Scored>(&z)), scored([("a", 1.0)]));
        assert_eq!(run!(c.zpopmax::<Scored>(&z)), scored([("c", 3.5)]));
        run!(c.zadd_multiple(&z, ABC));
        assert_eq!(run!(c.zpopmin_count::<Scored>(&z, 2)), scored([("a", 1.0), ("b", 2.0)]));
        run!(c.zadd_multiple(&z, ABC));
        assert_eq!(run!(c.zpopmax_count::<Scored>(&z, 2)), scored([("c", 3.5), ("b", 2.0)]));
        assert_eq!(run!(c.zpopmin::<Scored>(&none)), []);
        assert_eq!(run!(c.zpopmax_count::<Scored>(&none, 2)), []);
        if since(7, 0) {
            run!(c.zadd_multiple(&z, ABC));
            let popped = run!(c.zmpop_min::<String, Scored>([&none, &z], 2));
            assert_eq!(popped, Some((z.clone(), scored([("a", 1.0), ("b", 2.0)]))));
            let popped = run!(c.zmpop_max::<String, Scored>([&none, &z], 2));
            assert_eq!(popped, Some((z.clone(), scored([("c", 3.5)]))));
            assert_eq!(run!(c.zmpop_min::<String, Scored>(&z, 2)), None);
        }
    });
}

#[test]
fn popping_waits() {
    each_client!(|c, key| {
        let (z, none, moment) = (key("z"), key("none"), Duration::from_millis(1));
        run!(c.zadd_multiple(&z, ABC));
        let long = Duration::from_secs(60);
        let popped = run!(c.bzpopmin::<String, String>([&none, &z], long));
        assert_eq!(popped, Some((z.clone(), "a".to_owned(), 1.0)));
        let popped = run!(c.bzpopmax::<String, String>([&none, &z], long));
        assert_eq!(popped, Some((z.clone(), "c".to_owned(), 3.5)));
        assert_eq!(run!(c.bzpopmin::<String, String>(&none, moment)), None);
        assert_eq!(run!(c.bzpopmax::<String, String>(&none, moment)), None);
        if since(7, 0) {
            run!(c.zadd_multiple(&z, ABC));
            let popped = run!(c.bzmpop_min::<String, Scored>(long, [&none, &z], 1));
            assert_eq!(popped, Some((z.clone(), scored([("a", 1.0)]))));
            let popped = run!(c.bzmpop_max::<String, Scored>(long, [&none, &z], 5));
            assert_eq!(popped, Some((z.clone(), scored([("c", 3.5), ("b", 2.0)]))));
            assert_eq!(run!(c.bzmpop_min::<String, Scored>(moment, &none, 1)), None);
            assert_eq!(run!(c.bzmpop_max::<String, Scored>(moment, &none, 1)), None);
        }
    });
}

#[test]
fn sets_are_combined() {
    each_client!(|c, key| {
        let (a, b, to) = (key("a"), key("b"), key("to"));
        run!(c.zadd_multiple(&a, [(1.0, "x"), (2.0, "y")]));
        run!(c.zadd_multiple(&b, [(10.0, "y"), (20.0, "z")]));
        assert_eq!(run!(c.zinter::<Vec<String>>([&a, &b])), ["y"]);
        assert_eq!(run!(c.zinter_withscores::<Scored>([&a, &b])), scored([("y", 12.0)]));
        assert_eq!(run!(c.zunion::<Vec<String>>([&a, &b])), ["x", "y", "z"]);
        let union = scored([("x", 1.0), ("y", 12.0), ("z", 20.0)]);
        assert_eq!(run!(c.zunion_withscores::<Scored>([&a, &b])), union);
        assert_eq!(run!(c.zdiff::<Vec<String>>([&a, &b])), ["x"]);
        assert_eq!(run!(c.zdiff_withscores::<Scored>([&a, &b])), scored([("x", 1.0)]));
        assert_eq!(run!(c.zinterstore(&to, [&a, &b])), 1);
        assert_eq!(run!(c.zscore(&to, "y")), Some(12.0));
        assert_eq!(run!(c.zunionstore(&to, [&a, &b])), 3);
        assert_eq!(run!(c.zrange_withscores::<Scored>(&to, 0, -1)), union);
        assert_eq!(run!(c.zdiffstore(&to, [&a, &b])), 1);
        assert_eq!(run!(c.zrange_withscores::<Scored>(&to, 0, -1)), scored([("x", 1.0)]));
        if since(7, 0) {
            assert_eq!(run!(c.zintercard([&a, &b])), 1);
            assert_eq!(run!(c.zintercard([&a, &a])), 2);
            assert_eq!(run!(c.zintercard_limit([&a, &a], 1)), 1);
        }
    });
}

#[test]
fn scores_are_weighed_and_aggregated() {
    each_client!(|c, key| {
        let (a, b, to) = (key("a"), key("b"), key("to"));
        run!(c.zadd_multiple(&a, [(1.0, "x"), (2.0, "y")]));
        run!(c.zadd_multiple(&b, [(10.0, "y"), (20.0, "z")]));
        let options = ZCombineOptions::new;
        let weighed = options().weights([10.0, 0.5]);
        assert_eq!(run!(c.zunion_with::<Vec<String>>([&a, &b], weighed.clone())), ["x", "z", "y"]);
        let high = weighed.aggregate_max().with_scores();
        let expected = scored([("x", 10.0), ("z", 10.0), ("y", 20.0)]);
        assert_eq!(run!(c.zunion_with::<Scored>([&a, &b], high.clone())), expected);
        assert_eq!(run!(c.zunionstore_with(&to, [&a, &b], high)), 3);
        assert_eq!(run!(c.zrange_withscores::<Scored>(&to, 0, -1)), expected);
        let low = options().aggregate_min().with_scores();
        assert_eq!(run!(c.zinter_with::<Scored>([&a, &b], low.clone())), scored([("y", 2.0)]));
        assert_eq!(run!(c.zinterstore_with(&to, [&a, &b], low.aggregate_sum())), 1);
        assert_eq!(run!(c.zscore(&to, "y")), Some(12.0));
    });
}

#[test]
fn any_members() {
    each_client!(|c, key| {
        let (z, none) = (key("z"), key("none"));
        run!(c.zadd_multiple(&z, ABC));
        assert!(["a", "b", "c"].contains(&&*run!(c.zrandmember::<String>(&z)).unwrap()));
        assert_eq!(run!(c.zrandmember_count::<BTreeSet<String>>(&z, 9)).len(), 3);
        assert_eq!(run!(c.zrandmember_count::<Vec<String>>(&z, -9)).len(), 9);
        let mut all: Scored = run!(c.zrandmember_withscores(&z, 3));
        all.sort_by(|x, y| x.0.cmp(&y.0));
        assert_eq!(all, scored([("a", 1.0), ("b", 2.0), ("c", 3.5)]));
        assert_eq!(run!(c.zrandmember::<String>(&none)), None);
        assert_eq!(run!(c.zrandmember_withscores::<Scored>(&none, 3)), []);
    });
}
