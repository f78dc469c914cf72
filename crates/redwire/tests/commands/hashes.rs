//! Hashes and the expiry of their fields.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use redwire::commands::{ExpireCondition, ExpireTime, Expiry, FieldExpiry, HsetexOptions, Ttl};
use redwire::prelude::*;

use crate::each_client;
use crate::harness::has;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn fields_are_set_read_and_deleted() {
    each_client!(|c, key| {
        let h = key("h");
        assert!(run!(c.hset(&h, "a", 1)));
        assert!(!run!(c.hset(&h, "a", 2)));
        assert_eq!(run!(c.hset_multiple(&h, [("a", 1), ("b", 2)])), 1);
        assert_eq!(run!(c.hset_multiple(&h, HashMap::from([("c", "x"), ("d", "yy")]))), 2);
        assert!(!run!(c.hset_nx(&h, "a", 9)));
        assert!(run!(c.hset_nx(&h, "e", 9)));
        assert_eq!(run!(c.hget::<u32>(&h, "a")), Some(1));
        assert_eq!(run!(c.hget::<u32>(&h, "none")), None);
        assert_eq!(run!(c.hmget::<Vec<Option<String>>>(&h, ["c", "none"])), [Some("x".to_owned()), None]);
        assert!(run!(c.hexists(&h, "a")));
        assert!(!run!(c.hexists(&h, "none")));
        assert_eq!(run!(c.hstrlen(&h, "d")), 2);
        assert_eq!(run!(c.hlen(&h)), 5);
        assert_eq!(run!(c.hdel(&h, ["e", "none"])), 1);
        let all = BTreeMap::from([("a", "1"), ("b", "2"), ("c", "x"), ("d", "yy")]);
        let got: BTreeMap<String, String> = run!(c.hgetall(&h));
        assert!(got.iter().map(|(field, value)| (field.as_str(), value.as_str())).eq(all));
        assert!(run!(c.hgetall::<HashMap<String, String>>(key("none"))).is_empty());
        let fields: HashSet<String> = run!(c.hkeys(&h));
        assert_eq!(fields, HashSet::from(["a", "b", "c", "d"].map(String::from)));
        let values: HashSet<String> = run!(c.hvals(&h));
        assert_eq!(values, HashSet::from(["1", "2", "x", "yy"].map(String::from)));
    });
}

#[test]
fn fields_count() {
    each_client!(|c, key| {
        assert_eq!(run!(c.hincr_by(key("h"), "n", 5)), 5);
        assert_eq!(run!(c.hincr_by(key("h"), "n", -7)), -2);
        assert_eq!(run!(c.hincr_by_float(key("h"), "n", 0.25)), -1.75);
    });
}

#[test]
fn fields_at_random() {
    each_client!(|c, key| {
        let h = key("h");
        run!(c.hset_multiple(&h, [("a", 1), ("b", 2)]));
        assert!(["a", "b"].contains(&run!(c.hrandfield::<String>(&h)).unwrap().as_str()));
        assert_eq!(run!(c.hrandfield::<String>(key("none"))), None);
        let both = HashSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(run!(c.hrandfield_count::<HashSet<String>>(&h, 9)), both);
        assert_eq!(run!(c.hrandfield_count::<Vec<String>>(&h, -9)).len(), 9);
        let mut pairs: Vec<(String, u32)> = run!(c.hrandfield_withvalues(&h, 2));
        pairs.sort();
        assert_eq!(pairs, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert!(run!(c.hrandfield_withvalues::<Vec<(String, u32)>>(key("none"), 2)).is_empty());
    });
}

#[test]
fn fields_expire_when_told_to() {
    if !has("HPEXPIRE") {
        return;
    }
    each_client!(|c, key| {
        use FieldExpiry::{Changed, Deleted, Missing, Unchanged};
        let h = key("h");
        run!(c.hset_multiple(&h, [("a", 1), ("b", 2), ("c", 3)]));
        assert_eq!(run!(c.hexpire(&h, MINUTE, ["a", "none"])), [Changed, Missing]);
        assert_eq!(run!(c.hexpire_with(&h, MINUTE, ExpireCondition::Nx, ["a", "b"])), [Unchanged, Changed]);
        let soon = SystemTime::now() + 2 * MINUTE;
        assert_eq!(run!(c.hexpire_at(&h, soon, "b")), [Changed]);
        assert_eq!(run!(c.hexpire_at(&h, SystemTime::UNIX_EPOCH + MINUTE, "c")), [Deleted]);
        let [Ttl::In(left), Ttl::Missing] = run!(c.httl(&h, ["a", "c"]))[..] else {
            panic!("a lives, c does not")
        };
        assert!(left <= MINUTE);
        let [ExpireTime::At(time)] = run!(c.hexpire_time(&h, "b"))[..] else { panic!("b expires") };
        assert!(soon.duration_since(time).unwrap() < Duration::from_millis(1));
        assert_eq!(run!(c.hpersist(&h, ["a", "c"])), [Changed, Missing]);
        assert_eq!(run!(c.hpersist(&h, "a")), [Unchanged]);
        assert_eq!(run!(c.httl(&h, "a")), [Ttl::Never]);
        assert_eq!(run!(c.hexpire_time(&h, ["a", "none"])), [ExpireTime::Never, ExpireTime::Missing]);
        assert_eq!(run!(c.hexpire(key("none"), MINUTE, "a")), [Missing]);
        assert_eq!(run!(c.httl(key("none"), "a")), [Ttl::Missing]);
    });
}

#[test]
fn fields_are_set_and_read_with_expiry() {
    if !has("HSETEX") {
        return;
    }
    each_client!(|c, key| {
        let h = key("h");
        assert!(run!(c.hsetex(&h, HsetexOptions::new().fnx().ex(MINUTE), [("a", 1), ("b", 2)])));
        assert!(!run!(c.hsetex(&h, HsetexOptions::new().fnx(), [("a", 1), ("c", 2)])));
        assert!(!run!(c.hsetex(&h, HsetexOptions::new().fxx(), ("c", 2))));
        assert!(run!(c.hsetex(&h, HsetexOptions::new().fxx().keepttl(), ("a", 5))));
        assert!(run!(c.httl(&h, "a"))[0].left().is_some());
        let later = SystemTime::now() + 5 * MINUTE;
        assert!(run!(c.hsetex(&h, HsetexOptions::new().exat(later), ("a", 6))));
        assert!(run!(c.httl(&h, "a"))[0].left().unwrap() > 3 * MINUTE);
        let values: Vec<Option<u32>> = run!(c.hgetex(&h, Expiry::Never, ["a", "none"]));
        assert_eq!(values, [Some(6), None]);
        assert_eq!(run!(c.httl(&h, ["a"])), [Ttl::Never]);
        run!(c.hgetex::<Vec<u32>>(&h, Expiry::In(MINUTE), "a"));
        assert!(run!(c.httl(&h, "a"))[0].left().unwrap() <= MINUTE);
    });
}

#[test]
fn fields_are_read_and_deleted_at_once() {
    if !has("HGETDEL") {
        return;
    }
    each_client!(|c, key| {
        let h = key("h");
        run!(c.hset_multiple(&h, [("a", 1), ("b", 2)]));
        assert_eq!(run!(c.hgetdel::<Vec<Option<u32>>>(&h, ["a", "none"])), [Some(1), None]);
        assert_eq!(run!(c.hkeys::<Vec<String>>(&h)), ["b"]);
        assert_eq!(run!(c.hgetdel::<Vec<Option<u32>>>(key("none"), "a")), [None]);
    });
}
