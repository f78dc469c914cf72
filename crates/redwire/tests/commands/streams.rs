//! Streams, their groups and consumers.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use redwire::Value;
use redwire::commands::{
    Entry, StreamId, Trim, XaddOptions, XclaimOptions, XgroupOptions, XpendingOptions, XreadOptions,
    XreadgroupOptions, XsetidOptions,
};
use redwire::prelude::*;

use crate::each_client;
use crate::harness::since;

const MINUTE: Duration = Duration::from_secs(60);

/// The fields of an entry as most programs read them.
type Fields = BTreeMap<String, String>;

fn id(ms: u64) -> StreamId {
    StreamId::new(ms, 0)
}

fn ids<T>(entries: &[Entry<T>]) -> Vec<u64> {
    entries.iter().map(|entry| entry.id.ms).collect()
}

#[test]
fn entries_are_added_and_counted() {
    each_client!(|c, key| {
        let s = key("s");
        assert_eq!(run!(c.xlen(&s)), 0);
        let none = run!(c.xadd_with(&s, XaddOptions::new().nomkstream(), ("a", 1)));
        assert_eq!(none, None);
        let first = run!(c.xadd(&s, [("a", 1), ("b", 2)]));
        let second = run!(c.xadd(&s, BTreeMap::from([("c", "x")])));
        assert!(first < second);
        let own = StreamId::new(second.ms + 1, 7);
        assert_eq!(run!(c.xadd_with(&s, XaddOptions::new().nomkstream().id(own), ("d", 4))), Some(own));
        let error = try_run!(c.xadd_with(&s, XaddOptions::new().id(own), ("d", 4))).unwrap_err();
        assert!(error.code().is_some(), "{error}");
        assert_eq!(run!(c.xlen(&s)), 3);
        assert_eq!(run!(c.xdel(&s, [first, own, id(1)])), 2);
        assert_eq!(run!(c.xlen(&s)), 1);
    });
}

#[test]
fn ranges_are_read_both_ways() {
    each_client!(|c, key| {
        let s = key("s");
        for n in 1..=5 {
            run!(c.xadd_with(&s, XaddOptions::new().id(id(n)), ("n", n)));
        }
        let all: Vec<Entry<Fields>> = run!(c.xrange(&s, StreamId::MIN, StreamId::MAX));
        assert_eq!(ids(&all), [1, 2, 3, 4, 5]);
        assert_eq!(all[1].fields["n"], "2");
        let pairs: Vec<Entry<Vec<(String, u64)>>> = run!(c.xrange(&s, "-", id(1)));
        assert_eq!(pairs[0].fields, [("n".to_owned(), 1)]);
        let some: Vec<Entry<Fields>> = run!(c.xrange(&s, id(2).exclusive(), 4));
        assert_eq!(ids(&some), [3, 4]);
        let some: Vec<Entry<Fields>> = run!(c.xrange_count(&s, "-", "+", 2));
        assert_eq!(ids(&some), [1, 2]);
        let back: Vec<Entry<Fields>> = run!(c.xrevrange(&s, id(4), id(2).exclusive()));
        assert_eq!(ids(&back), [4, 3]);
        let back: Vec<Entry<Fields>> = run!(c.xrevrange_count(&s, "+", "-", 1));
        assert_eq!(ids(&back), [5]);
        assert!(run!(c.xrange::<Fields>(key("none"), "-", "+")).is_empty());
    });
}

#[test]
fn old_entries_are_trimmed() {
    each_client!(|c, key| {
        let s = key("s");
        for n in 1..=10 {
            run!(c.xadd_with(&s, XaddOptions::new().id(id(n)), ("n", n)));
        }
        assert_eq!(run!(c.xtrim(&s, Trim::maxlen(8))), 2);
        assert_eq!(run!(c.xtrim(&s, Trim::minid(id(5)))), 2);
        // A page of the server's holds more than there are.
        assert_eq!(run!(c.xtrim(&s, Trim::maxlen(1).approximate())), 0);
        assert_eq!(run!(c.xtrim(&s, Trim::minid(id(9)).limit(1))), 0);
        run!(c.xadd_with(&s, XaddOptions::new().id(id(11)).trim(Trim::maxlen(3)), ("n", 11)));
        assert_eq!(ids(&run!(c.xrange::<Fields>(&s, "-", "+"))), [9, 10, 11]);
        run!(c.xadd_with(&s, XaddOptions::new().trim(Trim::minid(id(11))), ("n", 12)));
        assert_eq!(run!(c.xlen(&s)), 2);
        run!(c.xadd_with(&s, XaddOptions::new().trim(Trim::maxlen(1).limit(10)), ("n", 13)));
        assert_eq!(run!(c.xlen(&s)), 3);
    });
}

#[test]
fn streams_are_read_after_an_id() {
    each_client!(|c, key| {
        let (a, b) = (key("a"), key("b"));
        run!(c.xadd_with(&a, XaddOptions::new().id(id(1)), ("n", 1)));
        run!(c.xadd_with(&b, XaddOptions::new().id(id(2)), ("n", 2)));
        run!(c.xadd_with(&b, XaddOptions::new().id(id(3)), ("n", 3)));
        let read =
            run!(c.xread::<String, Fields>(XreadOptions::new(), [&a, &b], [StreamId::MIN, id(2)])).unwrap();
        let names: Vec<_> = read.iter().map(|(name, entries)| (name.as_str(), ids(entries))).collect();
        assert_eq!(names, [(a.as_str(), vec![1]), (b.as_str(), vec![3])]);
        let read = run!(c.xread::<String, Fields>(XreadOptions::new().count(1), &b, 0)).unwrap();
        assert_eq!(ids(&read[0].1), [2]);
        assert_eq!(run!(c.xread::<String, Fields>(XreadOptions::new(), &b, id(3))), None);
        let wait = XreadOptions::new().block(Duration::from_millis(20));
        assert_eq!(run!(c.xread::<String, Fields>(wait, [&a, &b], [StreamId::LATEST; 2])), None);
        let forever = XreadOptions::new().block(Duration::ZERO).count(9);
        let read = run!(c.xread::<String, Fields>(forever, &a, 0)).unwrap();
        assert_eq!(ids(&read[0].1), [1]);
    });
}

#[test]
fn consumers_share_a_group() {
    each_client!(|c, key| {
        let s = key("s");
        let error = try_run!(c.xgroup_create(&s, "g", StreamId::MIN, XgroupOptions::new())).unwrap_err();
        assert!(error.code().is_some(), "{error}");
        run!(c.xgroup_create(&s, "g", StreamId::LATEST, XgroupOptions::new().mkstream()));
        let error = try_run!(c.xgroup_create(&s, "g", StreamId::MIN, XgroupOptions::new())).unwrap_err();
        assert_eq!(error.code(), Some("BUSYGROUP"));
        for n in 1..=4 {
            run!(c.xadd_with(&s, XaddOptions::new().id(id(n)), ("n", n)));
        }
        let two = XreadgroupOptions::new().count(2);
        let read = run!(c.xreadgroup::<String, Fields>("g", "x", two, &s, StreamId::UNDELIVERED)).unwrap();
        assert_eq!((read[0].0.as_str(), ids(&read[0].1)), (s.as_str(), vec![1, 2]));
        let one = XreadgroupOptions::new().count(1).block(MINUTE);
        let read = run!(c.xreadgroup::<String, Fields>("g", "y", one, &s, ">")).unwrap();
        assert_eq!(ids(&read[0].1), [3]);
        let gone = XreadgroupOptions::new().noack();
        let read = run!(c.xreadgroup::<String, Fields>("g", "y", gone, &s, ">")).unwrap();
        assert_eq!(ids(&read[0].1), [4]);
        assert_eq!(run!(c.xreadgroup::<String, Fields>("g", "y", two, &s, ">")), None);
        let brief = XreadgroupOptions::new().block(Duration::from_millis(20));
        assert_eq!(run!(c.xreadgroup::<String, Fields>("g", "y", brief, &s, ">")), None);
        // What is pending for x, and stays so when it is deleted.
        run!(c.xdel(&s, id(2)));
        let all = XreadgroupOptions::new();
        let read = run!(c.xreadgroup::<String, Option<Fields>>("g", "x", all, &s, 0)).unwrap();
        assert_eq!(read[0].1[0].fields.as_ref().unwrap()["n"], "1");
        assert_eq!((read[0].1[1].id, &read[0].1[1].fields), (id(2), &None));
        assert_eq!(run!(c.xack(&s, "g", [id(1), id(2), id(4)])), 2);
        let read = run!(c.xreadgroup::<String, Fields>("g", "x", all, &s, 0)).unwrap();
        assert!(read[0].1.is_empty());
    });
}

#[test]
fn groups_and_consumers_come_and_go() {
    each_client!(|c, key| {
        let s = key("s");
        run!(c.xadd_with(&s, XaddOptions::new().id(id(1)), ("n", 1)));
        run!(c.xgroup_create(&s, "g", StreamId::LATEST, XgroupOptions::new()));
        assert!(run!(c.xgroup_createconsumer(&s, "g", "x")));
        assert!(!run!(c.xgroup_createconsumer(&s, "g", "x")));
        run!(c.xgroup_setid(&s, "g", StreamId::MIN, None));
        run!(c.xreadgroup::<String, Fields>("g", "x", XreadgroupOptions::new(), &s, ">"));
        assert_eq!(run!(c.xgroup_delconsumer(&s, "g", "x")), 1);
        assert_eq!(run!(c.xgroup_delconsumer(&s, "g", "x")), 0);
        if since(7, 0) {
            run!(c.xgroup_setid(&s, "g", id(1), Some(1)));
            assert_eq!(run!(c.xinfo_groups(&s))[0].entries_read, Some(1));
            run!(c.xgroup_create(&s, "h", id(1), XgroupOptions::new().entries_read(1)));
            assert_eq!(run!(c.xinfo_groups(&s))[1].lag, Some(0));
            let options = XsetidOptions::new().entries_added(10).max_deleted_id(id(3));
            run!(c.xsetid(&s, id(9), options));
            let info = run!(c.xinfo_stream::<Fields>(&s));
            assert_eq!((info.entries_added, info.max_deleted_entry_id), (Some(10), Some(id(3))));
        }
        run!(c.xsetid(&s, id(20), XsetidOptions::new()));
        assert_eq!(run!(c.xinfo_stream::<Fields>(&s)).last_generated_id, id(20));
        assert!(run!(c.xgroup_destroy(&s, "g")));
        assert!(!run!(c.xgroup_destroy(&s, "g")));
    });
}

#[test]
fn what_is_pending_is_told() {
    each_client!(|c, key| {
        let s = key("s");
        run!(c.xgroup_create(&s, "g", 0, XgroupOptions::new().mkstream()));
        let nothing = run!(c.xpending(&s, "g"));
        assert_eq!((nothing.count, nothing.first, nothing.consumers.len()), (0, None, 0));
        for n in 1..=3 {
            run!(c.xadd_with(&s, XaddOptions::new().id(id(n)), ("n", n)));
        }
        let two = XreadgroupOptions::new().count(2);
        run!(c.xreadgroup::<String, Fields>("g", "x", two, &s, ">"));
        run!(c.xreadgroup::<String, Fields>("g", "y", two, &s, ">"));
        let summary = run!(c.xpending(&s, "g"));
        assert_eq!((summary.count, summary.first, summary.last), (3, Some(id(1)), Some(id(3))));
        assert_eq!(summary.consumers, [("x".to_owned(), 2), ("y".to_owned(), 1)]);
        let all = run!(c.xpending_range(&s, "g", XpendingOptions::new(), "-", "+", 9));
        assert_eq!(all.iter().map(|entry| entry.id.ms).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!((all[2].consumer.as_str(), all[2].deliveries), ("y", 1));
        assert!(all[0].idle < MINUTE);
        let of_y = XpendingOptions::new().consumer("y");
        assert_eq!(run!(c.xpending_range(&s, "g", of_y, "-", "+", 9)).len(), 1);
        let old = XpendingOptions::new().idle(MINUTE).consumer("x");
        assert!(run!(c.xpending_range(&s, "g", old, "-", "+", 9)).is_empty());
    });
}

#[test]
fn entries_are_claimed_from_others() {
    each_client!(|c, key| {
        let s = key("s");
        run!(c.xgroup_create(&s, "g", 0, XgroupOptions::new().mkstream()));
        for n in 1..=4 {
            run!(c.xadd_with(&s, XaddOptions::new().id(id(n)), ("n", n)));
        }
        run!(c.xreadgroup::<String, Fields>("g", "x", XreadgroupOptions::new(), &s, ">"));
        let (zero, plain) = (Duration::ZERO, XclaimOptions::new());
        assert!(run!(c.xclaim::<Fields>(&s, "g", "y", MINUTE, id(1), plain)).is_empty());
        let long_ago = plain.time(SystemTime::now() - 10 * MINUTE).retrycount(5);
        let claimed = run!(c.xclaim::<Fields>(&s, "g", "y", zero, [id(1), id(2)], long_ago));
        assert_eq!(ids(&claimed), [1, 2]);
        assert_eq!(claimed.into_iter().next().unwrap().fields["n"], "1");
        let pending = run!(c.xpending_range(&s, "g", XpendingOptions::new().consumer("y"), "-", "+", 9));
        assert!(pending[0].deliveries == 5 && pending[0].idle > 9 * MINUTE, "{pending:?}");
        let aged = plain.idle(10 * MINUTE).lastid(id(4));
        assert_eq!(run!(c.xclaim_justid(&s, "g", "y", zero, id(3), aged)), [id(3)]);
        run!(c.xack(&s, "g", id(4)));
        assert_eq!(run!(c.xclaim_justid(&s, "g", "z", zero, id(4), plain.force())), [id(4)]);

        // An entry that was deleted is in no claim, whichever the server.
        run!(c.xdel(&s, id(2)));
        let found = run!(c.xautoclaim::<Fields>(&s, "g", "z", 5 * MINUTE, StreamId::MIN, 9));
        assert_eq!((found.next, ids(&found.entries)), (StreamId::MIN, vec![1, 3]));
        if since(7, 0) {
            assert_eq!(found.deleted, [id(2)]);
        }
        let found = run!(c.xautoclaim_justid(&s, "g", "w", zero, StreamId::MIN, 1));
        assert_eq!(found.entries, [id(1)]);
        assert!(found.next > id(1), "{found:?}");
    });
}

#[test]
fn streams_groups_and_consumers_are_described() {
    each_client!(|c, key| {
        let s = key("s");
        for n in 1..=3 {
            run!(c.xadd_with(&s, XaddOptions::new().id(id(n)), ("n", n)));
        }
        run!(c.xgroup_create(&s, "g", 0, XgroupOptions::new()));
        let two = XreadgroupOptions::new().count(2);
        run!(c.xreadgroup::<String, Fields>("g", "x", two, &s, ">"));
        let info = run!(c.xinfo_stream::<Fields>(&s));
        assert_eq!((info.length, info.groups, info.last_generated_id), (3, 1, id(3)));
        assert_eq!(info.first_entry.unwrap().fields["n"], "1");
        assert_eq!(info.last_entry.unwrap().id, id(3));
        let groups = run!(c.xinfo_groups(&s));
        assert_eq!((groups[0].name.as_str(), groups[0].consumers, groups[0].pending), ("g", 1, 2));
        assert_eq!(groups[0].last_delivered_id, id(2));
        let consumers = run!(c.xinfo_consumers(&s, "g"));
        assert_eq!((consumers[0].name.as_str(), consumers[0].pending), ("x", 2));
        assert!(consumers[0].idle < MINUTE);
        let full = run!(c.xinfo_stream_full::<Fields>(&s, 0));
        assert_eq!((full.length, ids(&full.entries)), (3, vec![1, 2, 3]));
        let group = &full.groups[0];
        assert_eq!((group.name.as_str(), group.pending_count, group.pending.len()), ("g", 2, 2));
        assert_eq!((group.pending[1].id, group.pending[1].consumer.as_str()), (id(2), "x"));
        let consumer = &group.consumers[0];
        assert_eq!((consumer.name.as_str(), consumer.pending_count), ("x", 2));
        assert_eq!((consumer.pending[0].id, consumer.pending[0].deliveries), (id(1), 1));
        let age = SystemTime::now().duration_since(consumer.pending[0].delivered).unwrap_or_default();
        assert!(age < MINUTE, "{age:?}");
        if since(7, 0) {
            assert_eq!((info.entries_added, groups[0].lag, group.entries_read), (Some(3), Some(1), Some(2)));
        }
        if since(7, 2) {
            assert!(consumers[0].inactive.is_some_and(|time| time < MINUTE) && consumer.active.is_some());
        }
        assert!(try_run!(c.xinfo_stream::<Value>(key("none"))).is_err());
    });
}

#[test]
fn values_are_binary_safe() {
    each_client!(|c, key| {
        let value: Vec<u8> = (0..=255).collect();
        run!(c.xadd(key("s"), (&value, &value)));
        let entries = run!(c.xrange::<Vec<(Vec<u8>, Vec<u8>)>>(key("s"), "-", "+"));
        assert_eq!(entries[0].fields, [(value.clone(), value)]);
    });
}

#[test]
fn an_entry_that_cannot_be_read_does_not_fail_the_others() {
    each_client!(|c, key| {
        let s = key("s");
        let of = |n: u64| StreamId::new(n, 0);
        run!(c.xgroup_create(&s, "g", StreamId::MIN, XgroupOptions::new().mkstream()));
        for n in 1..=3 {
            run!(c.xadd_with(&s, XaddOptions::new().id(of(n)), [("n", n)]));
        }
        run!(c.xreadgroup::<String, Fields>("g", "me", XreadgroupOptions::new(), &s, StreamId::UNDELIVERED));
        run!(c.xdel(&s, of(2)));
        macro_rules! pending {
            ($fields:ty) => {
                run!(c.xreadgroup::<String, $fields>("g", "me", XreadgroupOptions::new(), &s, StreamId::MIN))
                    .unwrap()
                    .remove(0)
                    .1
            };
        }
        // One pair exactly, which nothing is not.
        let pairs = pending!([(String, u64); 1]);
        assert_eq!(pairs.iter().map(|entry| entry.id).collect::<Vec<_>>(), [of(1), of(3)]);
        assert_eq!(pairs[1].fields, [("n".to_owned(), 3)]);
        let maybe = pending!(Option<BTreeMap<String, u64>>);
        assert_eq!(maybe.iter().map(|entry| entry.fields.is_some()).collect::<Vec<_>>(), [true, false, true]);
        assert!(pending!(Fields)[1].fields.is_empty());
        #[cfg(feature = "serde")]
        {
            #[derive(serde::Deserialize)]
            struct Job {
                n: u64,
            }
            let jobs = pending!(redwire::Struct<Job>);
            assert_eq!(jobs.iter().map(|job| job.fields.n).collect::<Vec<_>>(), [1, 3]);
            assert_eq!(pending!(redwire::Result<redwire::Struct<Job>>).len(), 3);
        }
        // What is there and cannot be read is told, in its place if asked for so.
        run!(c.xadd_with(&s, XaddOptions::new().id(of(4)), [("n", "none")]));
        run!(c.xreadgroup::<String, Fields>("g", "me", XreadgroupOptions::new(), &s, StreamId::UNDELIVERED));
        let each = pending!(redwire::Result<[(String, u64); 1]>);
        let told: Vec<_> =
            each.iter().map(|entry| entry.fields.as_ref().map_err(redwire::Error::kind).is_ok()).collect();
        assert_eq!(told, [true, false, true, false]);
        let read = c.xreadgroup::<String, [(String, u64); 1]>(
            "g",
            "me",
            XreadgroupOptions::new(),
            &s,
            StreamId::MIN,
        );
        assert_eq!(try_run!(read).unwrap_err().kind(), redwire::ErrorKind::Decode);
    });
}
