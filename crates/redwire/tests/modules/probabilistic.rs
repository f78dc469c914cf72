//! Bloom and cuckoo filters, count-min sketches, top-k and t-digests.

use redwire::commands::{
    BloomInsertOptions, BloomOptions, CuckooInsertOptions, CuckooInserted, CuckooOptions,
    TDigestMergeOptions, TopKOptions,
};
use redwire::prelude::*;
use redwire::{ErrorKind, Outcome};

use crate::conversation;

const NOTHING: [&str; 0] = [];

#[test]
fn bloom_filters() {
    conversation!("bloom", |c| {
        run!(c.bf_reserve("seen", 0.01, 100, BloomOptions::new()));
        assert!(run!(c.bf_add("seen", "ann")));
        assert!(!run!(c.bf_add("seen", "ann")));
        assert_eq!(run!(c.bf_madd("seen", ["ann", "bob"])), [false, true]);
        assert!(run!(c.bf_exists("seen", "ann")));
        assert_eq!(run!(c.bf_mexists("seen", ["ann", "zoe"])), [true, false]);
        assert_eq!(
            run!(c.bf_insert("seen", BloomInsertOptions::new().capacity(1000), ["ann", "eve"])),
            [false, true]
        );
        assert_eq!(run!(c.bf_card("seen")), 3);
        let info = run!(c.bf_info("seen"));
        assert_eq!((info.capacity, info.items, info.filters, info.expansion), (100, 3, 1, Some(2)));
        assert!(info.size > 0 && info.extra.is_empty());

        run!(c.bf_reserve("small", 0.1, 1, BloomOptions::new().expansion(4).nonscaling()));
        assert_eq!(run!(c.bf_info("small")).expansion, None);
        let fresh =
            BloomInsertOptions::new().error(0.02).growth(BloomOptions::new().nonscaling().expansion(3));
        assert_eq!(run!(c.bf_insert("fresh", fresh, "a")), [true]);
        assert_eq!(run!(c.bf_info("fresh")).expansion, Some(3));

        // What is absent.
        assert!(!run!(c.bf_exists("none", "x")));
        assert_eq!(run!(c.bf_mexists("none", ["x", "y"])), [false, false]);
        assert_eq!(run!(c.bf_card("none")), 0);
        assert_eq!(try_run!(c.bf_info("none")).unwrap_err().outcome(), Outcome::Rejected);
        try_run!(c.bf_insert("none", BloomInsertOptions::new().nocreate(), "x")).unwrap_err();
        try_run!(c.bf_reserve("seen", 0.01, 100, BloomOptions::new())).unwrap_err();
        for error in [
            try_run!(c.bf_madd("seen", NOTHING)).unwrap_err(),
            try_run!(c.bf_mexists("seen", NOTHING)).unwrap_err(),
            try_run!(c.bf_insert("seen", BloomInsertOptions::new(), NOTHING)).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
        }

        // From one server to another.
        let (mut iterator, mut parts) = (0, 0);
        loop {
            let data;
            (iterator, data) = run!(c.bf_scandump("seen", iterator));
            if iterator == 0 {
                break;
            }
            run!(c.bf_loadchunk("copy", iterator, data));
            parts += 1;
        }
        assert!(parts >= 2);
        assert_eq!(run!(c.bf_mexists("copy", ["bob", "zoe"])), [true, false]);
        let (first, _) = run!(c.bf_scandump("seen", 0));
        assert_eq!(first, 1);
    });
}

#[test]
fn cuckoo_filters() {
    use CuckooInserted::{Added, Exists, Full};
    conversation!("cuckoo", |c| {
        run!(c.cf_reserve("online", 1000, CuckooOptions::new().bucketsize(2)));
        assert!(run!(c.cf_add("online", "ann")));
        assert!(!run!(c.cf_addnx("online", "ann")));
        run!(c.cf_add("online", "ann"));
        assert_eq!(run!(c.cf_count("online", "ann")), 2);
        assert!(run!(c.cf_del("online", "ann")));
        assert!(!run!(c.cf_del("online", "zoe")));
        assert!(run!(c.cf_exists("online", "ann")));
        assert_eq!(run!(c.cf_mexists("online", ["ann", "zoe"])), [true, false]);
        let options = CuckooInsertOptions::new().capacity(1000);
        assert_eq!(run!(c.cf_insert("online", options, ["ann", "bob"])), [Added, Added]);
        run!(c.cf_insert("online", CuckooInsertOptions::new().capacity(1000), ["ann", "bob"]));
        assert_eq!(
            run!(c.cf_insertnx("online", CuckooInsertOptions::new(), ["ann", "eve"])),
            [Exists, Added]
        );
        let info = run!(c.cf_info("online"));
        assert_eq!((info.items, info.deleted, info.filters, info.bucket_size), (6, 1, 1, 2));
        assert!(info.size > 0 && info.buckets > 0 && info.max_iterations > 0 && info.extra.is_empty());

        run!(c.cf_reserve("tiny", 2, CuckooOptions::new().bucketsize(1).maxiterations(1).expansion(0)));
        let items = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let inserted = run!(c.cf_insert("tiny", CuckooInsertOptions::new(), items));
        assert_eq!((inserted[0], inserted[7]), (Added, Full));

        assert_eq!(run!(c.cf_count("none", "x")), 0);
        assert!(!run!(c.cf_exists("none", "x")));
        try_run!(c.cf_del("none", "x")).unwrap_err();
        try_run!(c.cf_info("none")).unwrap_err();
        try_run!(c.cf_insertnx("none", CuckooInsertOptions::new().nocreate(), "x")).unwrap_err();
        let error = try_run!(c.cf_insert("online", CuckooInsertOptions::new(), NOTHING)).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent);

        let mut iterator = 0;
        loop {
            let data;
            (iterator, data) = run!(c.cf_scandump("online", iterator));
            if iterator == 0 {
                break;
            }
            run!(c.cf_loadchunk("copy", iterator, data));
        }
        assert!(run!(c.cf_exists("copy", "bob")));
        assert_eq!(run!(c.cf_scandump("online", 0)).0, 1);
    });
}

#[test]
fn count_min_sketches() {
    conversation!("count_min_sketch", |c| {
        run!(c.cms_initbyprob("pages", 0.001, 0.01));
        run!(c.cms_initbydim("words", 2000, 5));
        assert_eq!(run!(c.cms_incrby("pages", [("/", 3), ("/about", 1)])), [3, 1]);
        assert_eq!(run!(c.cms_query("pages", ["/", "/nowhere"])), [3, 0]);
        let info = run!(c.cms_info("pages"));
        assert_eq!((info.width, info.count), (2000, 4));
        assert!(info.depth > 0 && info.extra.is_empty());
        for day in ["monday", "tuesday", "week"] {
            run!(c.cms_initbydim(day, 100, 5));
        }
        run!(c.cms_incrby("monday", ("a", 2)));
        run!(c.cms_incrby("tuesday", ("a", 5)));
        run!(c.cms_merge("week", ["monday", "tuesday"]));
        assert_eq!(run!(c.cms_query("week", "a")), [7]);
        run!(c.cms_merge_weights("week", ["monday", "tuesday"], [1, 2]));
        assert_eq!(run!(c.cms_query("week", "a")), [12]);
        try_run!(c.cms_query("none", "a")).unwrap_err();
        for error in [
            try_run!(c.cms_merge("week", NOTHING)).unwrap_err(),
            try_run!(c.cms_incrby("pages", [("a", None::<u64>)])).unwrap_err(),
            try_run!(c.cms_query("pages", NOTHING)).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
        }
    });
}

#[test]
fn top_k_lists() {
    conversation!("top_k", |c| {
        run!(c.topk_reserve("songs", 2, TopKOptions::new(8, 7, 0.9)));
        run!(c.topk_reserve("plain", 3, TopKOptions::default()));
        assert_eq!(run!(c.topk_add::<String>("songs", ["waltz", "polka"])), [None, None]);
        let dropped = run!(c.topk_incrby::<String>("songs", [("waltz", 5), ("tango", 9)]));
        assert_eq!(dropped, [None, Some("polka".to_owned())]);
        assert_eq!(run!(c.topk_query("songs", ["waltz", "polka"])), [true, false]);
        assert_eq!(run!(c.topk_count("songs", ["waltz", "polka"])), [6, 1]);
        assert_eq!(run!(c.topk_list::<Vec<String>>("songs")), ["tango", "waltz"]);
        assert_eq!(
            run!(c.topk_list_withcount::<Vec<(String, u64)>>("songs")),
            [("tango".to_owned(), 9), ("waltz".to_owned(), 6)]
        );
        let info = run!(c.topk_info("songs"));
        assert_eq!((info.k, info.width, info.depth, info.decay), (2, 8, 7, 0.9));
        assert!(info.extra.is_empty());
        try_run!(c.topk_list::<Vec<String>>("none")).unwrap_err();
        let error = try_run!(c.topk_add::<String>("songs", NOTHING)).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent);
    });
}

#[test]
fn t_digests() {
    conversation!("t_digest", |c| {
        run!(c.tdigest_create("latency", Some(50)));
        run!(c.tdigest_create("old", None));
        assert!(run!(c.tdigest_min("latency")).is_nan());
        assert!(run!(c.tdigest_quantile("latency", 0.5))[0].is_nan());
        assert_eq!(run!(c.tdigest_rank("latency", 1.0)), [-2]);
        run!(c.tdigest_add("latency", [1.0, 2.0, 3.0, 4.0, 5.0]));
        assert_eq!(run!(c.tdigest_min("latency")), 1.0);
        assert_eq!(run!(c.tdigest_max("latency")), 5.0);
        assert_eq!(run!(c.tdigest_quantile("latency", [0.0, 0.5, 1.0])), [1.0, 3.0, 5.0]);
        assert_eq!(run!(c.tdigest_cdf("latency", [2.0, 9.0])), [0.3, 1.0]);
        assert_eq!(run!(c.tdigest_rank("latency", [0.0, 3.0, 9.0])), [-1, 2, 5]);
        assert_eq!(run!(c.tdigest_revrank("latency", [0.0, 3.0, 9.0])), [5, 2, -1]);
        assert_eq!(run!(c.tdigest_byrank("latency", [0, 99])), [1.0, f64::INFINITY]);
        assert_eq!(run!(c.tdigest_byrevrank("latency", [0, 99])), [5.0, f64::NEG_INFINITY]);
        assert_eq!(run!(c.tdigest_trimmed_mean("latency", 0.1, 0.9)), 3.0);
        let info = run!(c.tdigest_info("latency"));
        assert_eq!((info.compression, info.observations), (50, 5));
        assert_eq!(info.merged_weight + info.unmerged_weight, 5);
        assert!(info.memory_usage > 0 && info.extra.is_empty());
        run!(c.tdigest_merge("all", ["latency", "old"], TDigestMergeOptions::new()));
        assert_eq!(run!(c.tdigest_max("all")), 5.0);
        run!(c.tdigest_reset("latency"));
        run!(c.tdigest_merge("all", "latency", TDigestMergeOptions::new().compression(200).overwrite()));
        let info = run!(c.tdigest_info("all"));
        assert_eq!((info.compression, info.observations), (200, 0));
        try_run!(c.tdigest_min("none")).unwrap_err();
        let error = try_run!(c.tdigest_merge("all", NOTHING, TDigestMergeOptions::new())).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent);
    });
}
