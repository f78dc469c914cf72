//! Commands that no server has which the tests run against: a scripted server knows the words that Redis
//! documents, and plays the replies that it documents for RESP2 and RESP3.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redwire::commands::{
    ArrayOperation, ArrayPredicate, ArraySearch, BitOperation, DeleteIf, Entry, EntryDeletion,
    EntryReferences, HotKeysOptions, IncrexOptions, NackMode, SetOptions, StreamId, Trim, XaddOptions,
    XcfgsetOptions, XreadgroupOptions, ZCombineOptions,
};
use redwire::prelude::*;
use redwire::{ErrorKind, Value};
use redwire_testkit::FakeServer;

use crate::each_client;

/// A command's words, its reply on RESP2, and on RESP3 where that is another.
type Dialogue = (&'static str, &'static str, Option<&'static str>);

/// A server that knows these commands, and that fails the test if it is told others. Backslashes stand for
/// the ends of lines.
fn documented(dialogues: &'static [Dialogue]) -> FakeServer {
    let resp3 = AtomicBool::new(false);
    FakeServer::answering(move |words| {
        let line: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
        let line = line.join(" ");
        if words[0] == b"HELLO" {
            resp3.store(words.get(1).is_some_and(|version| version == b"3"), Ordering::SeqCst);
            return b"*2\r\n$5\r\nproto\r\n:3\r\n".to_vec();
        }
        if words[0] == b"CLIENT" {
            return b"+OK\r\n".to_vec();
        }
        let known = dialogues.iter().find(|dialogue| dialogue.0 == line);
        let (_, two, three) = known.unwrap_or_else(|| panic!("{line:?} is not documented"));
        let reply = if resp3.load(Ordering::SeqCst) { three.unwrap_or(two) } else { two };
        format!("{reply}\\").replace('\\', "\r\n").into_bytes()
    })
}

#[test]
fn strings() {
    let server = documented(&[
        ("DELEX lock IFEQ mine", ":1", None),
        ("DELEX lock IFNE mine", ":0", None),
        ("DELEX lock IFDEQ b6acb9d84a38ff74", ":1", None),
        ("DELEX lock IFDNE b6acb9d84a38ff74", ":0", None),
        ("DIGEST key", "$16\\b6acb9d84a38ff74", None),
        ("DIGEST none", "$-1", Some("_")),
        ("SET k v IFNE old", "+OK", None),
        ("SET k v IFDEQ b6acb9d84a38ff74 PX 1500", "$-1", Some("_")),
        ("SET k v IFDNE b6acb9d84a38ff74 KEEPTTL", "+OK", None),
        ("INCREX n BYINT 1", "*2\\:1\\:1", None),
        ("INCREX n BYINT -2 LBOUND -3 UBOUND 100 SATURATE PX 60000 ENX", "*2\\:-3\\:-1", None),
        ("INCREX f BYFLOAT 0.25 UBOUND 2 PERSIST", "*2\\$4\\1.75\\$4\\0.25", Some("*2\\,1.75\\,0.25")),
        ("MSETEX 2 a 1 b 2 NX PX 5000", ":1", None),
        ("BITOP DIFF d a b", ":1", None),
        ("BITOP DIFF1 d a b", ":1", None),
        ("BITOP ANDOR d a b", ":1", None),
        ("BITOP ONE d a b", ":1", None),
        ("ZUNION 1 a AGGREGATE COUNT", "*1\\$1\\m", None),
    ]);
    each_client!(on server, |c, key| {
        let digest = run!(c.digest("key")).unwrap();
        assert_eq!(run!(c.digest("none")), None);
        assert!(run!(c.delex("lock", DeleteIf::Equal("mine"))));
        assert!(!run!(c.delex("lock", DeleteIf::NotEqual("mine"))));
        assert!(run!(c.delex("lock", DeleteIf::DigestEqual(&digest))));
        assert!(!run!(c.delex("lock", DeleteIf::DigestNotEqual(&digest))));
        assert!(run!(c.set_with("k", "v", SetOptions::new().ifne("old"))));
        let brief = SetOptions::new().ifdeq(&digest).ex(Duration::from_millis(1500));
        assert!(!run!(c.set_with("k", "v", brief)));
        assert!(run!(c.set_with("k", "v", SetOptions::new().ifdne(&digest).keepttl())));
        assert_eq!(run!(c.increx("n", 1, IncrexOptions::new())), (1, 1));
        let bounded = IncrexOptions::new().lbound(-3).ubound(100).saturate();
        assert_eq!(run!(c.increx("n", -2, bounded.ex_if_none(Duration::from_secs(60)))), (-3, -1));
        assert_eq!(run!(c.increx_float("f", 0.25, IncrexOptions::new().ubound(2.0).persist())), (1.75, 0.25));
        let pairs = [("a", 1), ("b", 2)];
        assert!(run!(c.mset_ex(pairs, SetOptions::new().nx().ex(Duration::from_secs(5)))));
        for operation in [BitOperation::Diff, BitOperation::Diff1, BitOperation::AndOr, BitOperation::One] {
            assert_eq!(run!(c.bitop(operation, "d", ["a", "b"])), 1);
        }
        let count = ZCombineOptions::new().aggregate_count();
        assert_eq!(run!(c.zunion_with::<Vec<String>>("a", count)), ["m"]);
    });
    server.verify();
}

#[test]
fn streams() {
    let server = documented(&[
        ("XDELEX s DELREF IDS 2 1-1 1-2", "*2\\:1\\:-1", None),
        ("XACKDEL s g ACKED IDS 1 1-1", "*1\\:2", None),
        ("XNACK s g FAIL IDS 2 1-1 1-2", ":2", None),
        ("XNACK s g SILENT IDS 1 1-1 RETRYCOUNT 5", ":1", None),
        ("XCFGSET s IDMP-DURATION 2 IDMP-MAXSIZE 50", "+OK", None),
        ("XADD s IDMP p 7 MAXLEN = 9 ACKED * a 1", "$3\\1-1", None),
        ("XADD s IDMPAUTO p * a 1", "$3\\1-1", None),
        ("XTRIM s MAXLEN = 2 DELREF", ":3", None),
        (
            "XREADGROUP GROUP g me COUNT 5 CLAIM 1000 STREAMS s >",
            "*1\\*2\\$1\\s\\*2\\*4\\$3\\1-1\\*2\\$1\\a\\$1\\1\\:1500\\:2\\*4\\$3\\1-2\\*-1\\:9\\:1",
            Some("%1\\$1\\s\\*2\\*4\\$3\\1-1\\*2\\$1\\a\\$1\\1\\:1500\\:2\\*4\\$3\\1-2\\_\\:9\\:1"),
        ),
    ]);
    each_client!(on server, |c, key| {
        let (one, two) = (StreamId::new(1, 1), StreamId::new(1, 2));
        let became = run!(c.xdelex("s", EntryReferences::Delete, [one, two]));
        assert_eq!(became, [EntryDeletion::Deleted, EntryDeletion::Missing]);
        assert_eq!(run!(c.xackdel("s", "g", EntryReferences::Acked, one)), [EntryDeletion::Referenced]);
        assert_eq!(run!(c.xnack("s", "g", NackMode::Fail, [one, two], None)), 2);
        assert_eq!(run!(c.xnack("s", "g", NackMode::Silent, one, Some(5))), 1);
        let options = XcfgsetOptions::new().idmp_duration(Duration::from_millis(1100)).idmp_maxsize(50);
        run!(c.xcfgset("s", options));
        let trim = Trim::maxlen(9).references(EntryReferences::Acked);
        assert_eq!(run!(c.xadd_with("s", XaddOptions::new().idmp("p", "7").trim(trim), ("a", 1))), Some(one));
        assert_eq!(run!(c.xadd_with("s", XaddOptions::new().idmp_auto("p"), ("a", 1))), Some(one));
        assert_eq!(run!(c.xtrim("s", Trim::maxlen(2).references(EntryReferences::Delete))), 3);
        let options = XreadgroupOptions::new().count(5).claim(Duration::from_secs(1));
        let read = run!(c.xreadgroup::<String, Vec<(String, u32)>>("g", "me", options, "s", ">")).unwrap();
        let told = |entry: &Entry<Vec<(String, u32)>>| (entry.id, entry.idle, entry.deliveries);
        let entries: Vec<_> = read[0].1.iter().map(told).collect();
        let millis = |count| Some(Duration::from_millis(count));
        assert_eq!(entries, [(one, millis(1500), Some(2)), (two, millis(9), Some(1))]);
        assert_eq!(read[0].1[0].fields, [("a".to_owned(), 1)]);
        assert!(read[0].1[1].fields.is_empty());
    });
    server.verify();
}

#[test]
fn arrays() {
    let server = documented(&[
        ("ARSET a 5 ann bob", ":2", None),
        ("ARMSET a 1 x 7 y", ":1", None),
        ("ARGET a 5", "$3\\ann", None),
        ("ARGET a 6", "$-1", Some("_")),
        ("ARMGET a 5 6", "*2\\$3\\ann\\$-1", Some("*2\\$3\\ann\\_")),
        ("ARGETRANGE a 0 1", "*2\\$-1\\$1\\x", Some("*2\\_\\$1\\x")),
        ("ARSCAN a 0 9 LIMIT 2", "*4\\:1\\$1\\x\\:5\\$3\\ann", None),
        ("ARINSERT a v w", ":1", None),
        ("ARRING a 3 v", ":0", None),
        ("ARNEXT a", ":2", None),
        ("ARNEXT full", "$-1", Some("_")),
        ("ARSEEK a 9", ":1", None),
        ("ARLASTITEMS a 2", "*2\\$1\\v\\$1\\w", None),
        ("ARLASTITEMS a 2 REV", "*2\\$1\\w\\$1\\v", None),
        ("ARLEN a", ":8", None),
        ("ARCOUNT a", ":2", None),
        ("ARDEL a 5 7", ":1", None),
        ("ARDELRANGE a 0 9 20 29", ":3", None),
        ("ARGREP a - + MATCH err GLOB w* LIMIT 2 NOCASE", "*2\\:1\\:4", None),
        ("ARGREP a 4 0 EXACT x RE ^x AND WITHVALUES", "*1\\*2\\:2\\$1\\x", None),
        ("AROP a 0 9 SUM", "$4\\1.50", None),
        ("AROP a 0 9 MIN", "$-1", Some("_")),
        ("AROP a 0 9 MATCH x", ":3", None),
        (
            "ARINFO a",
            "*12\\$5\\count\\:2\\$3\\len\\:8\\$17\\next-insert-index\\:3\\$6\\slices\\:1\\$10\\\
                      slice-size\\:4096\\$14\\directory-size\\:1",
            Some(
                "%6\\$5\\count\\:2\\$3\\len\\:8\\$17\\\
                      next-insert-index\\:3\\$6\\slices\\:1\\$10\\slice-size\\:4096\\$14\\directory-size\\:1",
            ),
        ),
        ("ARINFO a FULL", "*4\\$12\\dense-slices\\:1\\$13\\sparse-slices\\:0", None),
    ]);
    each_client!(on server, |c, key| {
        assert_eq!(run!(c.arset("a", 5, ["ann", "bob"])), 2);
        assert_eq!(run!(c.armset("a", [(1, "x"), (7, "y")])), 1);
        assert_eq!(run!(c.arget::<String>("a", 5)).as_deref(), Some("ann"));
        assert_eq!(run!(c.arget::<String>("a", 6)), None);
        assert_eq!(run!(c.armget::<Vec<Option<String>>>("a", [5, 6])), [Some("ann".to_owned()), None]);
        assert_eq!(run!(c.argetrange::<Vec<Option<String>>>("a", 0, 1)), [None, Some("x".to_owned())]);
        let scanned = run!(c.arscan::<Vec<(u64, String)>>("a", 0, 9, Some(2)));
        assert_eq!(scanned, [(1, "x".to_owned()), (5, "ann".to_owned())]);
        assert_eq!((run!(c.arinsert("a", ["v", "w"])), run!(c.arring("a", 3, "v"))), (1, 0));
        assert_eq!((run!(c.arnext("a")), run!(c.arnext("full"))), (Some(2), None));
        assert!(run!(c.arseek("a", 9)));
        assert_eq!(run!(c.arlastitems::<Vec<String>>("a", 2)), ["v", "w"]);
        assert_eq!(run!(c.arlastitems_rev::<Vec<String>>("a", 2)), ["w", "v"]);
        assert_eq!((run!(c.arlen("a")), run!(c.arcount("a"))), (8, 2));
        assert_eq!((run!(c.ardel("a", [5, 7])), run!(c.ardelrange("a", [(0, 9), (20, 29)]))), (1, 3));
        let search = ArraySearch::new(ArrayPredicate::Contains("err")).or(ArrayPredicate::Glob("w*"));
        assert_eq!(run!(c.argrep::<Vec<u64>>("a", search.limit(2).nocase())), [1, 4]);
        let search = ArraySearch::new(ArrayPredicate::Exact("x")).and(ArrayPredicate::Regex("^x"));
        let found = run!(c.argrep_withvalues::<Vec<(u64, String)>>("a", search.range(4, 0)));
        assert_eq!(found, [(2, "x".to_owned())]);
        assert_eq!(run!(c.arop::<f64>("a", 0, 9, ArrayOperation::Sum)), Some(1.5));
        assert_eq!(run!(c.arop::<f64>("a", 0, 9, ArrayOperation::Min)), None);
        assert_eq!(run!(c.arop::<u64>("a", 0, 9, ArrayOperation::Match("x"))), Some(3));
        let info = run!(c.arinfo("a"));
        assert_eq!((info.count, info.len, info.next_insert_index, info.slice_size), (2, 8, 3, 4096));
        assert_eq!(info.other.get("directory-size").and_then(Value::as_i64), Some(1));
        assert_eq!((info.dense_slices, run!(c.arinfo_full("a")).dense_slices), (None, Some(1)));
        assert_eq!(try_run!(c.ardel("a", [] as [u64; 0])).unwrap_err().kind(), ErrorKind::Usage);
    });
    server.verify();
}

#[test]
fn servers_and_clusters() {
    let server = documented(&[
        ("HOTKEYS START METRICS 1 CPU COUNT 3 SAMPLE 2", "+OK", None),
        ("HOTKEYS GET", "*-1", Some("_")),
        ("HOTKEYS STOP", "+OK", None),
        ("HOTKEYS RESET", "+OK", None),
        ("CLUSTER MIGRATION IMPORT 0 99 200 299", "$3\\24c", None),
        ("CLUSTER MIGRATION CANCEL ALL", ":2", None),
        ("CLUSTER MIGRATION CANCEL ID 24c", ":1", None),
        (
            "CLUSTER MIGRATION STATUS ID 24c",
            "*1\\*6\\$2\\id\\$3\\24c\\$5\\state\\$9\\completed\\$7\\retries\\:1",
            Some("*1\\%3\\$2\\id\\$3\\24c\\$5\\state\\$9\\completed\\$7\\retries\\:1"),
        ),
        ("CLUSTER MIGRATION STATUS ALL", "*0", None),
    ]);
    each_client!(on server, |c, key| {
        run!(c.hotkeys_start(HotKeysOptions::cpu().count(3).sample(2)));
        assert_eq!(run!(c.hotkeys_get()), None);
        run!(c.hotkeys_stop());
        run!(c.hotkeys_reset());
        let id = run!(c.cluster_migration_import([(0, 99), (200, 299)]));
        assert_eq!(run!(c.cluster_migration_cancel(None)), 2);
        assert_eq!(run!(c.cluster_migration_cancel(Some(&id))), 1);
        let status = run!(c.cluster_migration_status(&id));
        assert_eq!((status[0].id.as_str(), status[0].state.as_str()), ("24c", "completed"));
        assert_eq!(status[0].other.get("retries").and_then(Value::as_i64), Some(1));
        assert!(run!(c.cluster_migration_status_all()).is_empty());
    });
    server.verify();
}
