//! Time series.

use std::collections::BTreeMap;
use std::time::Duration;

use redwire::commands::{
    TsAddOptions, TsAggregation, TsAggregator, TsDuplicatePolicy, TsGroup, TsLabels, TsOptions,
    TsRangeOptions, TsReducer, TsSample,
};
use redwire::prelude::*;
use redwire::{ErrorKind, Outcome};

use crate::conversation;

const NOTHING: [&str; 0] = [];

fn pairs(samples: &[TsSample]) -> Vec<(u64, f64)> {
    samples.iter().map(|sample| (sample.timestamp, sample.value)).collect()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, Option<String>> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
}

#[test]
fn one_series() {
    conversation!("time_series", |c| {
        run!(c.ts_create("heat", TsOptions::new().labels([("area", "hall"), ("unit", "C")])));
        run!(c.ts_create("hourly", TsOptions::new().uncompressed().chunk_size(128)));
        assert_eq!(run!(c.ts_get("heat")), None);
        run!(c.ts_createrule("heat", "hourly", TsAggregation::new(TsAggregator::Avg, 1000)));
        assert_eq!(run!(c.ts_add("heat", 100, 1.0, TsAddOptions::new())), 100);
        let added = run!(c.ts_madd([("heat", 200, 2.0), ("heat", 300, 3.0), ("none", 1, 1.0)]));
        assert_eq!((added[0].as_ref().ok(), added[1].as_ref().ok()), (Some(&200), Some(&300)));
        assert_eq!(added[2].as_ref().unwrap_err().outcome(), Outcome::Rejected);
        assert_eq!(run!(c.ts_incrby("heat", 5.0, 400, TsOptions::new())), 400);
        assert_eq!(run!(c.ts_decrby("heat", 5.0, 500, TsOptions::new())), 500);
        let last = run!(c.ts_get("heat")).unwrap();
        assert_eq!((last.timestamp, last.value), (500, 3.0));
        assert_eq!(run!(c.ts_get_latest("hourly")).map(|sample| sample.timestamp), Some(0));

        let all = run!(c.ts_range("heat", "-", "+", TsRangeOptions::new()));
        assert_eq!(pairs(&all), [(100, 1.0), (200, 2.0), (300, 3.0), (400, 8.0), (500, 3.0)]);
        let last = run!(c.ts_revrange("heat", 0, "+", TsRangeOptions::new().count(1)));
        assert_eq!(pairs(&last), [(500, 3.0)]);
        let options = TsRangeOptions::new().filter_by_ts([100, 300, 999]).filter_by_value(2.0, 9.0);
        assert_eq!(pairs(&run!(c.ts_range("heat", "-", "+", options))), [(300, 3.0)]);
        let sums = TsAggregation::new(TsAggregator::Sum, 200);
        let options = TsRangeOptions::new().aggregation(sums.align(0).end()).latest();
        assert_eq!(pairs(&run!(c.ts_range("heat", 0, 1000, options))), [(200, 1.0), (400, 5.0), (600, 11.0)]);
        let counts = TsAggregation::new(TsAggregator::Count, 100).align_start().empty();
        let options = TsRangeOptions::new().aggregation(counts);
        assert_eq!(pairs(&run!(c.ts_range("heat", 300, 400, options))), [(300, 1.0), (400, 1.0)]);
        assert!(run!(c.ts_range("heat", 900, 901, TsRangeOptions::new())).is_empty());

        let info = run!(c.ts_info("heat"));
        assert_eq!((info.samples, info.first_timestamp, info.last_timestamp), (5, 100, 500));
        assert_eq!((info.chunk_type.as_str(), info.labels["area"].as_str()), ("compressed", "hall"));
        assert_eq!((info.source, info.duplicate_policy), (None, None));
        let [rule] = &info.rules[..] else { panic!("{:?}", info.rules) };
        assert_eq!((rule.destination.as_str(), rule.bucket, rule.align), ("hourly", 1000, 0));
        assert_eq!(rule.aggregator.to_lowercase(), "avg");
        assert!(info.memory_usage > 0 && info.chunks.is_empty() && info.extra.is_empty());
        let info = run!(c.ts_info_debug("heat"));
        assert_eq!((info.key.as_deref(), info.chunks.len()), (Some("heat"), 1));
        assert_eq!((info.chunks[0].samples, info.chunks[0].start_timestamp), (5, 100));
        let info = run!(c.ts_info("hourly"));
        assert_eq!((info.source.as_deref(), info.chunk_size), (Some("heat"), 128));

        run!(c.ts_alter("heat", TsOptions::new().duplicate_policy(TsDuplicatePolicy::Last)));
        let larger = TsAddOptions::new().on_duplicate(TsDuplicatePolicy::Max);
        run!(c.ts_add("heat", 500, 2.0, larger));
        assert_eq!(run!(c.ts_get("heat")).unwrap().value, 3.0);
        assert_eq!(run!(c.ts_del("heat", 0, 100)), 1);
        run!(c.ts_deleterule("heat", "hourly"));
        let kept = TsOptions::new()
            .retention(Duration::from_secs(60))
            .duplicate_policy(TsDuplicatePolicy::Last)
            .ignore(Duration::from_millis(10), 0.5)
            .labels(("area", "yard"));
        run!(c.ts_add("new", "*", 1.5, TsAddOptions::new().series(kept)));
        let info = run!(c.ts_info("new"));
        assert_eq!((info.retention, info.ignore_max_time_diff, info.ignore_max_val_diff), (60_000, 10, 0.5));
        assert!(info.first_timestamp > 1_700_000_000_000);

        for error in [
            try_run!(c.ts_get("none")).unwrap_err(),
            try_run!(c.ts_info("none")).unwrap_err(),
            try_run!(c.ts_range("none", "-", "+", TsRangeOptions::new())).unwrap_err(),
            try_run!(c.ts_del("none", 0, 1)).unwrap_err(),
            try_run!(c.ts_create("heat", TsOptions::new())).unwrap_err(),
        ] {
            assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
        }
        let none: [(&str, u64, f64); 0] = [];
        assert_eq!(try_run!(c.ts_madd(none)).unwrap_err().kind(), ErrorKind::Usage);
    });
}

#[test]
fn many_series() {
    conversation!("time_series_many", |c| {
        run!(c.ts_create("a", TsOptions::new().labels([("area", "hall"), ("unit", "C")])));
        run!(c.ts_create("b", TsOptions::new().labels([("area", "hall")])));
        run!(c.ts_madd([("a", 100, 1.0), ("a", 200, 2.0), ("b", 100, 5.0)]));
        run!(c.ts_create("empty", TsOptions::new().labels(("area", "cellar"))));

        let last = run!(c.ts_mget(TsLabels::All, "area=hall"));
        assert_eq!(
            (last[0].key.as_str(), &last[0].labels),
            ("a", &labels(&[("area", "hall"), ("unit", "C")]))
        );
        assert_eq!(last[0].sample.map(|sample| (sample.timestamp, sample.value)), Some((200, 2.0)));
        assert_eq!((last[1].key.as_str(), &last[1].labels), ("b", &labels(&[("area", "hall")])));
        let last = run!(c.ts_mget(TsLabels::None, ["area=cellar", "unit="]));
        assert_eq!((last[0].key.as_str(), last[0].labels.len(), last[0].sample), ("empty", 0, None));
        assert!(run!(c.ts_mget(TsLabels::None, "area=nowhere")).is_empty());

        let all = run!(c.ts_mrange("-", "+", TsRangeOptions::new(), TsLabels::All, "area=hall"));
        assert_eq!((all.len(), all[0].key.as_str(), all[1].key.as_str()), (2, "a", "b"));
        assert_eq!(pairs(&all[0].samples), [(100, 1.0), (200, 2.0)]);
        assert_eq!(all[1].labels, labels(&[("area", "hall")]));
        assert!(all[0].sources.is_empty() && all[0].reducers.is_empty());
        let options = TsRangeOptions::new().aggregation(TsAggregation::new(TsAggregator::Max, 1000)).count(5);
        let all = run!(c.ts_mrange(0, 1000, options, TsLabels::None, ["area=hall", "unit=C"]));
        assert_eq!((all.len(), pairs(&all[0].samples)), (1, vec![(0, 2.0)]));
        let all = run!(c.ts_mrevrange(
            "-",
            "+",
            TsRangeOptions::new().count(1),
            TsLabels::selected(["area", "none"]),
            "area=hall"
        ));
        assert_eq!(pairs(&all[0].samples), [(200, 2.0)]);
        assert_eq!((all[0].labels["area"].as_deref(), &all[0].labels["none"]), (Some("hall"), &None));

        let grouped = run!(c.ts_mrange_groupby(
            "-",
            "+",
            TsRangeOptions::new(),
            TsLabels::All,
            "area=hall",
            TsGroup::by("area", TsReducer::Max)
        ));
        let [group] = &grouped[..] else { panic!("{grouped:?}") };
        assert_eq!((group.key.as_str(), pairs(&group.samples)), ("area=hall", vec![(100, 5.0), (200, 2.0)]));
        assert_eq!(
            (&group.reducers[..], &group.sources[..]),
            (&["max".to_owned()][..], &["a", "b"].map(str::to_owned)[..])
        );
        assert_eq!(group.labels, labels(&[("area", "hall")]));
        let grouped = run!(c.ts_mrevrange_groupby(
            "-",
            "+",
            TsRangeOptions::new(),
            TsLabels::None,
            "area=hall",
            TsGroup::by("area", TsReducer::Sum)
        ));
        assert_eq!(pairs(&grouped[0].samples), [(200, 2.0), (100, 6.0)]);
        assert!(grouped[0].labels.is_empty());

        let mut keys = run!(c.ts_queryindex::<Vec<String>>("area=hall"));
        keys.sort();
        assert_eq!(keys, ["a", "b"]);
        assert!(run!(c.ts_queryindex::<Vec<String>>("area=nowhere")).is_empty());
        for error in [
            try_run!(c.ts_queryindex::<Vec<String>>(NOTHING)).unwrap_err(),
            try_run!(c.ts_mget(TsLabels::None, NOTHING)).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
        }
    });
}
