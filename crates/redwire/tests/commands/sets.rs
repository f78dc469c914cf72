//! Sets.

use std::collections::{BTreeSet, HashSet};

use redwire::prelude::*;

use crate::each_client;
use crate::harness::since;

#[test]
fn members_come_and_go() {
    each_client!(|c, key| {
        let s = key("s");
        assert_eq!(run!(c.sadd(&s, "a")), 1);
        assert_eq!(run!(c.sadd(&s, ["a", "b", "c"])), 2);
        assert_eq!(run!(c.scard(&s)), 3);
        assert!(run!(c.sismember(&s, "a")));
        assert!(!run!(c.sismember(&s, "x")));
        assert_eq!(run!(c.smismember(&s, ["a", "x", "c"])), [true, false, true]);
        assert_eq!(run!(c.smembers::<BTreeSet<String>>(&s)), ["a", "b", "c"].map(String::from).into());
        assert_eq!(run!(c.srem(&s, ["a", "x"])), 1);
        assert!(run!(c.smove(&s, key("t"), "b")));
        assert!(!run!(c.smove(&s, key("t"), "x")));
        assert_eq!(run!(c.smembers::<Vec<Vec<u8>>>(&s)), [b"c"]);
        assert_eq!(run!(c.smembers::<HashSet<String>>(key("t"))), ["b".to_owned()].into());
        assert_eq!(run!(c.smembers::<Vec<String>>(key("none"))), [""; 0]);
        assert_eq!(run!(c.scard(key("none"))), 0);
    });
}

#[test]
fn any_members() {
    each_client!(|c, key| {
        let s = key("s");
        run!(c.sadd(&s, [1, 2, 3, 4]));
        assert!((1..=4).contains(&run!(c.srandmember::<u64>(&s)).unwrap()));
        assert_eq!(run!(c.srandmember_count::<HashSet<u64>>(&s, 3)).len(), 3);
        assert_eq!(run!(c.srandmember_count::<Vec<u64>>(&s, -9)).len(), 9);
        assert_eq!(run!(c.scard(&s)), 4);
        assert!((1..=4).contains(&run!(c.spop::<u64>(&s)).unwrap()));
        assert_eq!(run!(c.spop_count::<HashSet<u64>>(&s, 2)).len(), 2);
        assert_eq!(run!(c.spop_count::<Vec<u64>>(&s, 9)).len(), 1);
        assert_eq!(run!(c.spop::<u64>(&s)), None);
        assert_eq!(run!(c.srandmember::<u64>(&s)), None);
        assert_eq!(run!(c.spop_count::<Vec<u64>>(&s, 2)), [0; 0]);
        assert_eq!(run!(c.srandmember_count::<Vec<u64>>(&s, 2)), [0; 0]);
    });
}

#[test]
fn sets_are_combined() {
    each_client!(|c, key| {
        let (a, b, to) = (key("a"), key("b"), key("to"));
        run!(c.sadd(&a, [1, 2, 3]));
        run!(c.sadd(&b, [2, 3, 4]));
        assert_eq!(run!(c.sinter::<BTreeSet<u64>>([&a, &b])), [2, 3].into());
        assert_eq!(run!(c.sunion::<BTreeSet<u64>>([&a, &b])), [1, 2, 3, 4].into());
        assert_eq!(run!(c.sdiff::<Vec<u64>>([&a, &b])), [1]);
        assert_eq!(run!(c.sinterstore(&to, [&a, &b])), 2);
        assert_eq!(run!(c.smembers::<BTreeSet<u64>>(&to)), [2, 3].into());
        assert_eq!(run!(c.sunionstore(&to, [&a, &b])), 4);
        assert_eq!(run!(c.smembers::<BTreeSet<u64>>(&to)), [1, 2, 3, 4].into());
        assert_eq!(run!(c.sdiffstore(&to, [&a, &b])), 1);
        assert_eq!(run!(c.smembers::<BTreeSet<u64>>(&to)), [1].into());
        if since(7, 0) {
            assert_eq!(run!(c.sintercard([&a, &b])), 2);
            assert_eq!(run!(c.sintercard_limit([&a, &b], 1)), 1);
            assert_eq!(run!(c.sintercard_limit([&a, &b], 0)), 2);
        }
    });
}
