//! Strings, counters and bits.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use redwire::commands::{
    BitOffset, BitOperation, BitRange, Bitfield, BitfieldOverflow, Expiry, IntType, LcsOptions, SetOptions,
    Ttl,
};
use redwire::prelude::*;

use crate::each_client;
use crate::harness::{has, since};

const MINUTE: Duration = Duration::from_secs(60);

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Whether so much is left, or up to ten seconds less.
fn about(ttl: Ttl, expected: Duration) -> bool {
    ttl.left().is_some_and(|left| left <= expected && left + Duration::from_secs(10) > expected)
}

#[test]
fn values_come_back_as_they_were_set() {
    each_client!(|c, key| {
        run!(c.set(key("a"), "x"));
        assert_eq!(run!(c.get::<String>(key("a"))), text("x"));
        assert_eq!(run!(c.get::<String>(key("none"))), None);
        assert_eq!(run!(c.getdel::<String>(key("a"))), text("x"));
        assert_eq!(run!(c.getdel::<String>(key("a"))), None);
        assert!(run!(c.set_nx(key("b"), [0_u8, 13, 10, 255])));
        assert!(!run!(c.set_nx(key("b"), "other")));
        assert_eq!(run!(c.get::<Vec<u8>>(key("b"))), Some(vec![0, 13, 10, 255]));
        assert!(try_run!(c.incr(key("b"))).unwrap_err().message().contains("integer"));
    });
}

#[test]
fn conditions_decide_whether_a_value_is_set() {
    each_client!(|c, key| {
        let a = key("a");
        assert!(!run!(c.set_with(&a, 1, SetOptions::new().xx())));
        assert!(run!(c.set_with(&a, 1, SetOptions::new().nx())));
        assert!(!run!(c.set_with(&a, 2, SetOptions::new().nx())));
        assert_eq!(run!(c.set_get::<u32>(&a, 3, SetOptions::new().xx())), Some(1));
        assert_eq!(run!(c.set_get::<u32>(key("b"), 3, SetOptions::new())), None);
        if since(7, 0) {
            assert_eq!(run!(c.set_get::<u32>(&a, 4, SetOptions::new().nx())), Some(3));
        }
        assert_eq!(run!(c.get::<u32>(&a)), Some(3));
        if has("DELIFEQ") {
            assert!(!run!(c.set_with(&a, 5, SetOptions::new().ifeq("4"))));
            assert!(run!(c.set_with(&a, 5, SetOptions::new().ifeq("3"))));
            assert!(!run!(c.delifeq(&a, 4)));
            assert!(run!(c.delifeq(&a, 5)));
        }
    });
}

#[test]
fn values_expire_when_told_to() {
    each_client!(|c, key| {
        let a = key("a");
        run!(c.set_ex(&a, "x", MINUTE));
        assert!(about(run!(c.ttl(&a)), MINUTE));
        run!(c.set_with(&a, "y", SetOptions::new().keepttl()));
        assert!(about(run!(c.ttl(&a)), MINUTE));
        run!(c.set_with(&a, "z", SetOptions::new()));
        assert_eq!(run!(c.ttl(&a)), Ttl::Never);
        run!(c.set_with(&a, "z", SetOptions::new().ex(2 * MINUTE)));
        assert!(about(run!(c.ttl(&a)), 2 * MINUTE));
        run!(c.set_with(&a, "z", SetOptions::new().exat(SystemTime::now() + 3 * MINUTE)));
        assert!(about(run!(c.ttl(&a)), 3 * MINUTE));
        assert_eq!(run!(c.getex::<String>(&a, Expiry::In(4 * MINUTE))), text("z"));
        assert!(about(run!(c.ttl(&a)), 4 * MINUTE));
        run!(c.getex::<String>(&a, Expiry::At(SystemTime::now() + 5 * MINUTE)));
        assert!(about(run!(c.ttl(&a)), 5 * MINUTE));
        run!(c.getex::<String>(&a, Expiry::Never));
        assert_eq!(run!(c.ttl(&a)), Ttl::Never);
        assert_eq!(run!(c.getex::<String>(key("none"), Expiry::Never)), None);
    });
}

#[test]
fn parts_of_a_string_are_read_and_written() {
    each_client!(|c, key| {
        let a = key("a");
        assert_eq!(run!(c.append(&a, "Hello")), 5);
        assert_eq!(run!(c.append(&a, " World")), 11);
        assert_eq!(run!(c.getrange::<String>(&a, 0, 4)), "Hello");
        assert_eq!(run!(c.getrange::<String>(&a, -5, -1)), "World");
        assert_eq!(run!(c.getrange::<String>(key("none"), 0, -1)), "");
        assert_eq!(run!(c.setrange(&a, 6, "Redis")), 11);
        assert_eq!(run!(c.get::<String>(&a)), text("Hello Redis"));
        assert_eq!(run!(c.strlen(&a)), 11);
        assert_eq!(run!(c.strlen(key("none"))), 0);
    });
}

#[test]
fn counters_count() {
    each_client!(|c, key| {
        let a = key("a");
        assert_eq!(run!(c.incr(&a)), 1);
        assert_eq!(run!(c.incr_by(&a, 41)), 42);
        assert_eq!(run!(c.decr(&a)), 41);
        assert_eq!(run!(c.decr_by(&a, 50)), -9);
        assert_eq!(run!(c.incr_by_float(&a, 0.5)), -8.5);
        run!(c.set(&a, i64::MAX));
        assert_eq!(run!(c.incr_by(&a, 0)), i64::MAX);
        assert!(try_run!(c.incr(&a)).is_err());
    });
}

#[test]
fn many_keys_are_set_and_read_at_once() {
    each_client!(|c, key| {
        run!(c.mset([(key("a"), "1"), (key("b"), "2")]));
        let values: Vec<Option<String>> = run!(c.mget([key("a"), key("none"), key("b")]));
        assert_eq!(values, [text("1"), None, text("2")]);
        run!(c.mset_nonatomic([(key("e"), "5"), (key("f"), "6")]));
        let both: Vec<Option<i64>> = run!(c.mget_nonatomic([key("e"), key("f")]));
        assert_eq!(both, [Some(5), Some(6)]);
        assert!(!run!(c.mset_nx([(key("b"), 3), (key("c"), 3)])));
        assert!(run!(c.mset_nx(HashMap::from([(key("c"), 3), (key("d"), 3)]))));
        assert_eq!(run!(c.mget::<(u32, u32)>([key("c"), key("d")])), (3, 3));
    });
}

#[test]
fn many_keys_are_set_with_expiry() {
    if !has("MSETEX") {
        return;
    }
    each_client!(|c, key| {
        let pairs = [(key("a"), 1), (key("b"), 2)];
        assert!(!run!(c.mset_ex(&pairs, SetOptions::new().xx())));
        assert!(run!(c.mset_ex(&pairs, SetOptions::new().nx().ex(MINUTE))));
        assert!(about(run!(c.ttl(key("b"))), MINUTE));
    });
}

#[test]
fn longest_common_subsequences() {
    if !since(7, 0) {
        return;
    }
    each_client!(|c, key| {
        run!(c.mset([(key("a"), "ohmytext"), (key("b"), "mynewtext")]));
        assert_eq!(run!(c.lcs::<String>(key("a"), key("b"))), "mytext");
        assert_eq!(run!(c.lcs_len(key("a"), key("b"))), 6);
    });
}

#[test]
fn bits_are_set_counted_and_found() {
    each_client!(|c, key| {
        let a = key("a");
        assert!(!run!(c.setbit(&a, 7, true)));
        assert!(run!(c.setbit(&a, 7, true)));
        assert!(run!(c.getbit(&a, 7)));
        assert!(!run!(c.getbit(&a, 100)));
        run!(c.set(&a, [0xff_u8, 0xf0, 0x00]));
        assert_eq!(run!(c.bitcount(&a)), 12);
        assert_eq!(run!(c.bitcount_range(&a, BitRange::bytes(1, -1))), 4);
        assert_eq!(run!(c.bitpos(&a, false)), 12);
        assert_eq!(run!(c.bitpos(&a, true)), 0);
        assert_eq!(run!(c.bitpos_range(&a, true, BitRange::bytes(2, -1))), -1);
        if since(7, 0) {
            assert_eq!(run!(c.bitcount_range(&a, BitRange::bits(4, 9))), 6);
            assert_eq!(run!(c.bitpos_range(&a, false, BitRange::bits(9, 20))), 12);
        }
    });
}

#[test]
fn bits_of_several_keys_are_put_together() {
    each_client!(|c, key| {
        run!(c.mset([(key("a"), [0b1100_u8]), (key("b"), [0b1010_u8])]));
        let both = [key("a"), key("b")];
        let cases = [(BitOperation::And, 0b1000), (BitOperation::Or, 0b1110), (BitOperation::Xor, 0b0110)];
        for (operation, expected) in cases {
            assert_eq!(run!(c.bitop(operation, key("to"), &both)), 1);
            assert_eq!(run!(c.get::<Vec<u8>>(key("to"))), Some(vec![expected]), "{operation:?}");
        }
        assert_eq!(run!(c.bitop(BitOperation::Not, key("to"), key("a"))), 1);
        assert_eq!(run!(c.get::<Vec<u8>>(key("to"))), Some(vec![0b1111_0011]));
    });
}

#[test]
fn integers_inside_a_string() {
    each_client!(|c, key| {
        let a = key("a");
        let steps = Bitfield::new()
            .set(IntType::U(8), 0, 200)
            .overflow(BitfieldOverflow::Sat)
            .incr_by(IntType::U(8), 0, 100)
            .overflow(BitfieldOverflow::Fail)
            .incr_by(IntType::U(8), 0, 1)
            .overflow(BitfieldOverflow::Wrap)
            .incr_by(IntType::U(8), 0, 2)
            .set(IntType::I(5), BitOffset::nth(3), -7)
            .get(IntType::I(5), 15);
        assert_eq!(run!(c.bitfield(&a, steps)), [Some(0), Some(255), None, Some(1), Some(0), Some(-7)]);
        let reads = Bitfield::new().get(IntType::U(8), 0).get(IntType::I(5), BitOffset::nth(3));
        assert_eq!(run!(c.bitfield_ro(&a, reads)), [Some(1), Some(-7)]);
    });
}

#[test]
fn common_parts_are_found() {
    if !since(7, 0) {
        return;
    }
    each_client!(|c, key| {
        run!(c.mset([(key("a"), "ohmytext"), (key("b"), "mynewtext")]));
        let found = run!(c.lcs_idx(key("a"), key("b"), LcsOptions::new()));
        let places: Vec<_> = found.matches.iter().map(|part| (part.first, part.second)).collect();
        assert_eq!((found.len, places), (6, vec![((4, 7), (5, 8)), ((2, 3), (0, 1))]));
        assert_eq!(run!(c.lcs_idx(key("a"), key("b"), LcsOptions::new().minmatchlen(4))).matches.len(), 1);
        assert_eq!(run!(c.lcs_idx(key("a"), key("none"), LcsOptions::new())).len, 0);
    });
}
