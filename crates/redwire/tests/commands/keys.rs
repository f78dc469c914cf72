//! Keys of any type: existence, expiry, names, copies.

use std::time::{Duration, SystemTime};

use redwire::commands::{
    CopyOptions, ExpireCondition, ExpireTime, MigrateOptions, Migrated, RestoreOptions, SortOptions, Ttl,
};
use redwire::prelude::*;
use redwire_testkit::Server;

use crate::each_client;
use crate::harness::{has, since};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn keys_exist_until_they_are_deleted() {
    each_client!(|c, key| {
        let (a, b) = (key("a"), key("b"));
        run!(c.mset([(&a, 1), (&b, 2)]));
        assert_eq!(run!(c.exists(&a)), 1);
        assert_eq!(run!(c.exists([&a, &b, &a, &key("none")])), 3);
        assert_eq!(run!(c.touch([&a, &key("none")])), 1);
        assert_eq!(run!(c.key_type(&a)), "string");
        assert_eq!(run!(c.del([&a, &key("none")])), 1);
        assert_eq!(run!(c.unlink([&a, &b])), 1);
        assert_eq!(run!(c.exists([&a, &b])), 0);
        assert_eq!(run!(c.key_type(&a)), "none");
    });
}

#[test]
fn keys_expire_when_told_to() {
    each_client!(|c, key| {
        let a = key("a");
        assert!(!run!(c.expire(&a, MINUTE)));
        assert_eq!(run!(c.ttl(&a)), Ttl::Missing);
        run!(c.set(&a, 1));
        assert_eq!(run!(c.ttl(&a)), Ttl::Never);
        assert!(!run!(c.persist(&a)));
        assert!(run!(c.expire(&a, MINUTE)));
        let left = run!(c.ttl(&a)).left().unwrap();
        assert!(left <= MINUTE && left > MINUTE / 2);
        assert!(run!(c.persist(&a)));
        assert!(run!(c.expire_at(&a, SystemTime::now() + 2 * MINUTE)));
        assert!(run!(c.ttl(&a)).left().unwrap() > MINUTE);
        assert!(run!(c.expire_at(&a, SystemTime::now() - MINUTE)));
        assert_eq!(run!(c.exists(&a)), 0);
    });
}

#[test]
fn conditions_decide_whether_a_key_expires() {
    if !since(7, 0) {
        return;
    }
    each_client!(|c, key| {
        let a = key("a");
        run!(c.set(&a, 1));
        assert_eq!(run!(c.expire_time(&a)), ExpireTime::Never);
        assert_eq!(run!(c.expire_time(key("none"))), ExpireTime::Missing);
        assert!(!run!(c.expire_with(&a, MINUTE, ExpireCondition::Xx)));
        assert!(run!(c.expire_with(&a, MINUTE, ExpireCondition::Nx)));
        assert!(!run!(c.expire_with(&a, MINUTE / 2, ExpireCondition::Gt)));
        assert!(run!(c.expire_with(&a, MINUTE / 2, ExpireCondition::Lt)));
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(33_177_117_420_123);
        assert!(run!(c.expire_at_with(&a, time, ExpireCondition::Gt)));
        assert_eq!(run!(c.expire_time(&a)).at(), Some(time));
    });
}

#[test]
fn keys_are_found_renamed_and_copied() {
    each_client!(|c, key| {
        let (a, b) = (key("a"), key("b"));
        run!(c.set(&a, "x"));
        assert_eq!(run!(c.keys::<Vec<String>>(key("*"))), std::slice::from_ref(&a));
        assert!(run!(c.random_key::<String>()).is_some());
        run!(c.rename(&a, &b));
        assert!(try_run!(c.rename(&a, &b)).is_err());
        run!(c.set(&a, "y"));
        assert!(!run!(c.rename_nx(&a, &b)));
        assert!(run!(c.rename_nx(&a, key("c"))));
        assert!(!run!(c.copy(key("c"), &b, CopyOptions::new())));
        assert!(run!(c.copy(key("c"), &b, CopyOptions::new().replace())));
        assert_eq!(run!(c.get::<String>(&b)), Some("y".to_owned()));
        assert!(run!(c.copy(&b, &b, CopyOptions::new().db(1))));
        assert!(!run!(c.move_to_db(&b, 1)));
        assert!(run!(c.move_to_db(key("c"), 1)));
        assert_eq!(run!(c.exists(key("c"))), 0);
    });
}

#[test]
fn keys_are_dumped_and_restored() {
    each_client!(|c, key| {
        let (a, b) = (key("a"), key("b"));
        run!(c.rpush(&a, ["x", "y"]));
        assert_eq!(run!(c.dump(key("none"))), None);
        let payload = run!(c.dump(&a)).unwrap();
        run!(c.restore(&b, &payload, RestoreOptions::new()));
        assert_eq!(run!(c.lrange::<Vec<String>>(&b, 0, -1)), ["x", "y"]);
        assert_eq!(run!(c.ttl(&b)), Ttl::Never);
        let again = try_run!(c.restore(&b, &payload, RestoreOptions::new()));
        assert_eq!(again.unwrap_err().code(), Some("BUSYKEY"));
        run!(c.restore(&b, &payload, RestoreOptions::new().replace().ttl(MINUTE).idletime(10 * MINUTE)));
        assert!(run!(c.ttl(&b)).left().unwrap() <= MINUTE);
        assert!(run!(c.object_idletime(&b)).unwrap() >= 600);
        let later = SystemTime::now() + 9 * MINUTE;
        run!(c.restore(&b, &payload, RestoreOptions::new().replace().expire_at(later)));
        assert!(run!(c.ttl(&b)).left().unwrap() > 8 * MINUTE);
    });
}

#[test]
fn objects_tell_about_themselves() {
    each_client!(|c, key| {
        let a = key("a");
        run!(c.set(&a, "longer than what any server packs into one piece ".repeat(9)));
        assert_eq!(run!(c.object_encoding(&a)).as_deref(), Some("raw"));
        assert_eq!(run!(c.object_refcount(&a)), Some(1));
        assert!(run!(c.object_idletime(&a)).unwrap() < 60);
        assert!(try_run!(c.object_freq(&a)).unwrap_err().message().contains("LFU"));
    });
}

#[test]
fn objects_tell_how_often_they_are_used() {
    let server = Server::builder().arg("maxmemory-policy", "allkeys-lfu").start();
    each_client!(on server, |c, key| {
        run!(c.set(key("a"), "x"));
        let payload = run!(c.dump(key("a"))).unwrap();
        run!(c.restore(key("b"), payload, RestoreOptions::new().freq(99)));
        assert!(run!(c.object_freq(key("b"))).unwrap() > 50);
    });
}

#[test]
fn elements_are_sorted() {
    each_client!(|c, key| {
        let l = key("l");
        run!(c.rpush(&l, [3, 10, 2, 1]));
        assert_eq!(run!(c.sort::<Vec<u32>>(&l, SortOptions::new())), [1, 2, 3, 10]);
        assert_eq!(run!(c.sort::<Vec<u32>>(&l, SortOptions::new().desc().limit(1, 2))), [3, 2]);
        assert_eq!(run!(c.sort::<Vec<u32>>(&l, SortOptions::new().alpha())), [1, 10, 2, 3]);
        run!(c.mset([(key("w:1"), 9), (key("w:2"), 8), (key("w:3"), 7), (key("w:10"), 6)]));
        run!(c.hset(key("h:10"), "name", "ten"));
        let options = SortOptions::new().by(key("w:*")).get("#").get(key("h:*->name")).limit(0, 2);
        let pairs: Vec<(u32, Option<String>)> = run!(c.sort(&l, options));
        assert_eq!(pairs, [(10, Some("ten".to_owned())), (3, None)]);
        assert_eq!(run!(c.sort_store(&l, SortOptions::new(), key("to"))), 4);
        assert_eq!(run!(c.lrange::<Vec<u32>>(key("to"), 0, 1)), [1, 2]);
        if since(7, 0) {
            assert_eq!(run!(c.sort_ro::<Vec<u32>>(&l, SortOptions::new())), [1, 2, 3, 10]);
        }
    });
}

#[test]
fn waiting_for_replicas_that_do_not_exist_ends() {
    each_client!(|c, key| {
        assert_eq!(run!(c.wait(0, Duration::ZERO)), 0);
        assert_eq!(run!(c.wait(1, Duration::from_millis(5))), 0);
        if has("WAITAOF") {
            assert_eq!(run!(c.waitaof(0, 1, Duration::from_millis(5))), (0, 0));
        }
    });
}

#[test]
fn keys_move_to_another_server() {
    let other = Server::builder().password("pw").start();
    each_client!(|c, key| {
        let (a, b) = (key("a"), key("b"));
        let wait = Duration::from_secs(5);
        run!(c.mset([(&a, 1), (&b, 2)]));
        let options = MigrateOptions::new().auth("pw");
        let moved = run!(c.migrate("127.0.0.1", other.port(), &a, 0, wait, options.clone().copy()));
        assert_eq!((moved, run!(c.exists(&a))), (Migrated::Moved, 1));
        try_run!(c.migrate("127.0.0.1", other.port(), &a, 0, wait, options.clone())).unwrap_err();
        let over = options.clone().replace();
        assert_eq!(run!(c.migrate("127.0.0.1", other.port(), [&a, &b], 0, wait, over)), Migrated::Moved);
        assert_eq!(run!(c.exists([&a, &b])), 0);
        let user = MigrateOptions::new().auth2("default", "pw");
        assert_eq!(run!(c.migrate("127.0.0.1", other.port(), [&a, &b], 0, wait, user)), Migrated::NoKey);
        assert!(!format!("{options:?}").contains("pw"));
        let target = redwire::blocking::Client::connect(&other.url()).unwrap();
        assert_eq!(target.mget::<Vec<Option<u32>>>([&a, &b]).unwrap(), [Some(1), Some(2)]);
    });
}
