//! Indexes, queries, aggregations, suggestions, dictionaries and what else belongs to search.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use redwire::commands::{
    FtAggregateOptions, FtCombine, FtCreateOptions, FtCursorOptions, FtField, FtFullHit, FtHighlight, FtHit,
    FtHybridQuery, FtNeighbours, FtOn, FtReducer, FtScoredHit, FtSearchOptions, FtSpellcheckOptions,
    FtSugOptions, FtSummarize, FtVectorIndex, GeoUnit,
};
use redwire::prelude::*;
use redwire::{ErrorKind, Outcome, Value};

use crate::conversation;

const NOTHING: [&str; 0] = [];
const NO_PAYLOAD: Option<&str> = None;

type Row = BTreeMap<String, String>;

fn row(pairs: &[(&str, &str)]) -> Row {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// An index over four books.
macro_rules! library {
    ($c:ident) => {
        run!($c.ft_create(
            "books",
            FtCreateOptions::new().prefix("book:"),
            [FtField::text("title").weight(2.0).sortable(), FtField::numeric("year").sortable()]
        ));
        run!($c.ft_alter("books", FtField::tag("genre")));
        for (key, title, year, genre) in [
            ("book:1", "The Idiot", 1869, "novel,russian"),
            ("book:2", "The Gambler", 1866, "novel"),
            ("book:3", "White Nights", 1848, "story"),
            ("book:4", "An idiot abroad", 2010, "travel"),
        ] {
            run!($c.hset_multiple(key, [("title", title), ("year", &year.to_string()), ("genre", genre)]));
        }
    };
}

#[test]
fn what_a_query_finds() {
    conversation!("search", |c| {
        library!(c);
        let found =
            run!(c.ft_search::<FtHit<HashMap<String, String>>>("books", "idiot", FtSearchOptions::new()));
        assert_eq!((found.total, found.hits.len(), found.warnings.len()), (2, 2, 0));
        let hit = found.hits.iter().find(|hit| hit.id == "book:1").unwrap();
        assert_eq!((hit.fields["title"].as_str(), hit.fields["year"].as_str()), ("The Idiot", "1869"));

        // What is told is said by the type.
        let by_year = || FtSearchOptions::new().sortby("year", true);
        assert_eq!(run!(c.ft_search::<String>("books", "idiot", by_year())).hits, ["book:4", "book:1"]);
        let found = run!(c.ft_search::<Vec<u8>>("books", "idiot", by_year().limit(1, 1)));
        assert_eq!((found.total, found.hits), (2, vec![b"book:1".to_vec()]));
        let found = run!(c.ft_search::<FtScoredHit<Row>>("books", "gambler", FtSearchOptions::new()));
        assert!(found.hits[0].id == "book:2" && found.hits[0].score > 0.0);
        assert_eq!(found.hits[0].fields["title"], "The Gambler");
        let only = || by_year().return_fields(["title"]);
        let found = run!(c.ft_search::<FtFullHit<Row>>("books", "idiot", only()));
        assert_eq!(found.hits[0].fields, row(&[("title", "An idiot abroad")]));
        assert_eq!((found.hits[0].sort_key.as_deref(), &found.hits[0].payload), (Some("#2010"), &None));
        assert!(found.hits[0].score > 0.0 && matches!(found.hits[0].explanation, Value::Array(_)));
        let found = run!(c.ft_search::<FtHit<Row>>("books", "idiot", FtSearchOptions::new().limit(0, 0)));
        assert_eq!((found.total, found.hits.len()), (2, 0));
        assert_eq!(run!(c.ft_search::<String>("books", "nosuchword", FtSearchOptions::new())).total, 0);

        let options = FtSearchOptions::new()
            .verbatim()
            .nostopwords()
            .filter("year", 1800, "(1900")
            .inkeys(["book:1", "book:2"])
            .infields("title")
            .slop(0)
            .inorder()
            .language("english")
            .scorer("TFIDF")
            .timeout(Duration::from_secs(2))
            .params(("word", "idiot"))
            .dialect(2);
        assert_eq!(run!(c.ft_search::<String>("books", "$word", options)).hits, ["book:1"]);
        let marked = FtSearchOptions::new()
            .summarize(FtSummarize::new().fields("title").frags(1).len(5).separator("~"))
            .highlight(FtHighlight::new().fields(["title"]).tags("[", "]"));
        let found = run!(c.ft_search::<FtHit<Row>>("books", "gambler", marked));
        assert!(found.hits[0].fields["title"].contains("[Gambler]"), "{found:?}");
        let everything = FtSearchOptions::new().inkeys(NOTHING).infields(NOTHING).return_fields(NOTHING);
        assert_eq!(run!(c.ft_search::<FtHit<Row>>("books", "nights", everything)).hits[0].fields.len(), 3);

        let error = try_run!(c.ft_search::<String>("none", "x", FtSearchOptions::new())).unwrap_err();
        assert_eq!(error.outcome(), Outcome::Rejected);
        let explained = run!(c.ft_explain("books", "idiot", None));
        assert!(explained.contains("idiot"), "{explained}");
        assert!(run!(c.ft_explaincli("books", "idiot", None)).iter().any(|line| line.contains("idiot")));
        let profiled = run!(c.ft_profile_search::<String>("books", false, "idiot", FtSearchOptions::new()));
        assert_eq!(profiled.reply.total, 2);
        assert!(format!("{:?}", profiled.profile).contains("Parsing time"), "{:?}", profiled.profile);
    });
}

#[test]
fn indexes() {
    conversation!("search_indexes", |c| {
        library!(c);
        let info = run!(c.ft_info("books"));
        assert_eq!((info.name.as_str(), info.docs), ("books", 4));
        assert_eq!(
            (info.definition.key_type.as_str(), &info.definition.prefixes[..]),
            ("HASH", &["book:".to_owned()][..])
        );
        assert_eq!(info.definition.default_score, 1.0);
        let title = &info.attributes[0];
        assert_eq!(
            (title.identifier.as_str(), title.name.as_str(), title.kind.as_str()),
            ("title", "title", "TEXT")
        );
        assert_eq!((title.flags[0].as_str(), title.extra["WEIGHT"].as_str()), ("SORTABLE", Some("2")));
        assert_eq!(info.attributes[2].extra["SEPARATOR"].as_str(), Some(","));
        assert!(info.memory_mb > 0.0 && info.extra.contains_key("gc_stats"), "{:?}", info.extra.keys());

        let fields = [
            FtField::text("$.name").alias("name").nostem().phonetic("dm:en").withsuffixtrie().sortable_unf(),
            FtField::tag("$.tags[*]").alias("tag").separator(';').casesensitive().indexempty().indexmissing(),
            FtField::geo("$.place").alias("place"),
            FtField::geoshape("$.area", true).alias("area"),
            FtField::numeric("$.age").alias("age").sortable().noindex(),
            FtField::vector("$.v", FtVectorIndex::hnsw("FLOAT32", 2, "COSINE").option("M", 8)).alias("v"),
            FtField::vector("$.w", FtVectorIndex::flat("FLOAT64", 2, "L2")).alias("w"),
        ];
        let options = FtCreateOptions::new()
            .on(FtOn::Json)
            .prefix(["p:", "q:"])
            .filter("@age > 0")
            .language("german")
            .score(0.5)
            .maxtextfields()
            .nohl()
            .nofreqs()
            .stopwords(["und", "oder"])
            .skipinitialscan();
        run!(c.ft_create("people", options, fields));
        run!(c.json_set("p:1", "$", r#"{"name":"Ann","age":7,"tags":["x;y"],"v":[0.1,0.2]}"#));
        let found = run!(c.ft_search::<FtHit<Row>>("people", "ann", FtSearchOptions::new()));
        assert!(found.hits[0].fields["$"].contains("\"Ann\""), "{found:?}");
        let near = FtSearchOptions::new().params(("q", &[0_u8, 0, 128, 63, 0, 0, 0, 0][..])).dialect(2);
        assert_eq!(run!(c.ft_search::<String>("people", "*=>[KNN 1 @v $q]", near)).hits, ["p:1"]);
        let info = run!(c.ft_info("people"));
        assert_eq!(
            (info.definition.filter.as_deref(), info.definition.default_score),
            (Some("@age > 0"), 0.5)
        );
        assert_eq!(info.definition.default_language.as_deref(), Some("german"));
        let vector = info.attributes.iter().find(|field| field.name == "v").unwrap();
        assert_eq!((vector.kind.as_str(), vector.extra["dim"].as_i64()), ("VECTOR", Some(2)));
        let plain = FtCreateOptions::new().nooffsets().nofields().stopwords(NOTHING);
        run!(c.ft_create("other", plain, FtField::geo("where")));
        run!(c.hset("h", "where", "13.4,52.5"));
        let near = FtSearchOptions::new().geofilter("where", 13.4, 52.5, 1.0, GeoUnit::Kilometers);
        assert_eq!(run!(c.ft_search::<String>("other", "*", near)).hits, ["h"]);

        let brief = FtCreateOptions::new().prefix("none:").temporary(Duration::from_secs(60));
        run!(c.ft_create("brief", brief, FtField::text("t")));

        let mut names = run!(c.ft_list::<Vec<String>>());
        names.sort();
        assert_eq!(names, ["books", "brief", "other", "people"]);
        run!(c.ft_dropindex("brief"));
        run!(c.ft_aliasadd("novels", "books"));
        try_run!(c.ft_aliasadd("novels", "other")).unwrap_err();
        assert_eq!(run!(c.ft_search::<String>("novels", "nights", FtSearchOptions::new())).hits, ["book:3"]);
        run!(c.ft_aliasupdate("novels", "books"));
        run!(c.ft_aliasdel("novels"));
        try_run!(c.ft_aliasdel("novels")).unwrap_err();
        let mut tags = run!(c.ft_tagvals::<Vec<String>>("books", "genre"));
        tags.sort();
        assert_eq!(tags, ["novel", "russian", "story", "travel"]);
        try_run!(c.ft_tagvals::<Vec<String>>("books", "title")).unwrap_err();

        run!(c.ft_synupdate("books", "fools", ["idiot", "fool"]));
        run!(c.ft_synupdate_skipinitialscan("books", "fools", "clown"));
        assert_eq!(run!(c.ft_syndump("books"))["fool"], ["fools"]);
        run!(c.ft_dropindex("other"));
        assert_eq!(run!(c.exists("h")), 1);
        run!(c.ft_dropindex_dd("books"));
        assert_eq!(run!(c.exists("book:1")), 0);
        for error in [try_run!(c.ft_info("none")).unwrap_err(), try_run!(c.ft_dropindex("none")).unwrap_err()]
        {
            assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
        }
        let none: [FtField; 0] = [];
        for error in [
            try_run!(c.ft_create("x", FtCreateOptions::new(), &none)).unwrap_err(),
            try_run!(c.ft_alter("people", &none)).unwrap_err(),
            try_run!(c.ft_synupdate("people", "g", NOTHING)).unwrap_err(),
            try_run!(c.ft_dictadd("d", NOTHING)).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
        }
    });
}

#[test]
fn aggregations() {
    conversation!("search_aggregations", |c| {
        library!(c);
        let all = run!(c.ft_aggregate::<HashMap<String, String>>(
            "books",
            "*",
            FtAggregateOptions::new().load("@title")
        ));
        assert_eq!((all.rows.len(), all.warnings.len()), (4, 0));
        assert!(all.rows.iter().all(|row| row.contains_key("title")));
        let steps = FtAggregateOptions::new()
            .verbatim()
            .filter("@year < 2000")
            .apply("floor(@year / 50) * 50", "half")
            .groupby(
                "@half",
                [
                    FtReducer::count().alias("books"),
                    FtReducer::sum("@year").alias("sum"),
                    FtReducer::min("@year").alias("min"),
                    FtReducer::max("@year").alias("max"),
                    FtReducer::avg("@year").alias("avg"),
                    FtReducer::count_distinct("@year").alias("years"),
                    FtReducer::new("QUANTILE", ("@year", 0.5)).alias("median"),
                ],
            )
            .sortby(("@half", "DESC"))
            .limit(0, 5)
            .timeout(Duration::from_secs(1))
            .params(("unused", 1))
            .dialect(2);
        let rows = run!(c.ft_aggregate::<Row>("books", "*", steps)).rows;
        assert_eq!((rows.len(), rows[0]["half"].as_str(), rows[0]["books"].as_str()), (2, "1850", "2"));
        assert_eq!(
            (rows[0]["min"].as_str(), rows[0]["max"].as_str(), rows[0]["avg"].as_str()),
            ("1866", "1869", "1867.5")
        );
        let lists = FtAggregateOptions::new().groupby(NOTHING, [FtReducer::tolist("@year").alias("years")]);
        let rows = run!(c.ft_aggregate::<BTreeMap<String, Vec<String>>>("books", "*", lists)).rows;
        assert_eq!((rows.len(), rows[0]["years"].len()), (1, 4));
        let first = FtAggregateOptions::new().load_all().sortby_max(("@year", "ASC"), 1);
        assert_eq!(run!(c.ft_aggregate::<Row>("books", "*", first)).rows[0]["title"], "White Nights");
        let scored = FtAggregateOptions::new().scorer("TFIDF").addscores().load(NOTHING);
        assert!(run!(c.ft_aggregate::<Row>("books", "idiot", scored)).rows[0].contains_key("__score"));
        assert!(
            run!(c.ft_aggregate::<Row>("books", "nosuchword", FtAggregateOptions::new())).rows.is_empty()
        );

        let page = run!(c.ft_aggregate_withcursor::<Vec<String>>(
            "books",
            "*",
            FtAggregateOptions::new().load("@title"),
            FtCursorOptions::new().count(2)
        ));
        let mut rows = page.reply.rows.len();
        assert_eq!(rows, 2);
        let cursor = page.cursor.unwrap();
        let page = run!(c.ft_cursor_read::<Vec<String>>("books", cursor, Some(1)));
        rows += page.reply.rows.len();
        let mut next = page.cursor;
        while let Some(cursor) = next {
            let page = run!(c.ft_cursor_read::<Vec<String>>("books", cursor, None));
            rows += page.reply.rows.len();
            next = page.cursor;
        }
        assert_eq!(rows, 4);
        let idle = FtCursorOptions::new().count(1).maxidle(Duration::from_secs(5));
        let options = FtAggregateOptions::new().load("@title");
        let page = run!(c.ft_aggregate_withcursor::<Row>("books", "*", options, idle));
        let cursor = page.cursor.unwrap();
        run!(c.ft_cursor_del("books", cursor));
        try_run!(c.ft_cursor_read::<Row>("books", cursor, None)).unwrap_err();
        let profiled = run!(c.ft_profile_aggregate::<Vec<String>>(
            "books",
            true,
            "*",
            FtAggregateOptions::new().load("@title")
        ));
        assert_eq!(profiled.reply.rows.len(), 4);
        assert!(!matches!(profiled.profile, Value::Null));
    });
}

#[test]
fn words() {
    conversation!("search_words", |c| {
        library!(c);
        assert_eq!(run!(c.ft_dictadd("names", ["raskolnikov", "myshkin"])), 2);
        assert_eq!(run!(c.ft_dictdel("names", "myshkin")), 1);
        assert_eq!(run!(c.ft_dictdump::<Vec<String>>("names")), ["raskolnikov"]);
        try_run!(c.ft_dictdump::<Vec<String>>("none")).unwrap_err();
        let wrong = run!(c.ft_spellcheck("books", "idoit", FtSpellcheckOptions::new()));
        assert_eq!((wrong[0].term.as_str(), wrong[0].suggestions.len()), ("idoit", 0));
        let options = FtSpellcheckOptions::new().distance(2).include("names").dialect(2);
        let wrong = run!(c.ft_spellcheck("books", "idoit raskolnikow", options));
        assert_eq!(wrong.len(), 2);
        assert_eq!((wrong[0].suggestions[0].0.as_str(), wrong[0].suggestions[0].1 > 0.0), ("idiot", true));
        assert_eq!(wrong[1].suggestions[0].0, "raskolnikov");
        let options = FtSpellcheckOptions::new().exclude("names");
        assert!(run!(c.ft_spellcheck("books", "raskolnikov", options)).is_empty());

        assert_eq!(run!(c.ft_sugadd("titles", "the idiot", 1.0)), 1);
        assert_eq!(run!(c.ft_sugadd_with("titles", "the gambler", 2.0, true, Some("1866"))), 2);
        assert_eq!(run!(c.ft_sugadd_with("titles", "the double", 0.5, false, NO_PAYLOAD)), 3);
        assert_eq!(run!(c.ft_suglen("titles")), 3);
        let best = run!(c.ft_sugget::<String>("titles", "the", FtSugOptions::new())).unwrap();
        assert_eq!(best[0], "the gambler");
        let scored = run!(c.ft_sugget_withscores::<(String, f64)>(
            "titles",
            "thx",
            FtSugOptions::new().fuzzy().max(3)
        ));
        assert_eq!(scored.unwrap().len(), 3);
        let full = run!(c.ft_sugget_withpayloads::<(String, f64, Option<String>)>(
            "titles",
            "the",
            FtSugOptions::new()
        ));
        let full = full.unwrap();
        assert_eq!(
            (full[0].0.as_str(), full[0].2.as_deref(), &full[1].2),
            ("the gambler", Some("1866"), &None)
        );
        assert!(run!(c.ft_sugget::<String>("titles", "xyz", FtSugOptions::new())).unwrap().is_empty());
        assert!(run!(c.ft_sugdel("titles", "the idiot")));
        assert!(!run!(c.ft_sugdel("titles", "the idiot")));
        assert_eq!(run!(c.ft_sugget::<String>("none", "the", FtSugOptions::new())), None);
        assert_eq!(run!(c.ft_suglen("none")), 0);

        assert_eq!(run!(c.ft_config_get("TIMEOUT"))["TIMEOUT"].as_deref(), Some("500"));
        run!(c.ft_config_set("TIMEOUT", 400));
        let help = run!(c.ft_config_help("TIMEOUT"));
        assert_eq!((help[0].name.as_str(), help[0].value.as_deref()), ("TIMEOUT", Some("400")));
        assert!(!help[0].description.is_empty());
        run!(c.ft_config_set("TIMEOUT", 500));
    });
}

#[test]
fn what_newer_versions_answer() {
    conversation!(documented "search_new", |c| {
        let query = FtHybridQuery::new("idiot", "@embedding", "$v")
            .scorer("BM25STD")
            .yield_score_as("text")
            .neighbours(FtNeighbours::knn(10).option("EF_RUNTIME", 100))
            .filter("@year:[1800 1900]")
            .combine(FtCombine::linear(0.7, 0.3).yield_score_as("both"))
            .load("@title")
            .apply("@both * 2", "double")
            .sortby(("@both", "DESC"))
            .limit(0, 5)
            .params(("v", "x"))
            .timeout(Duration::from_secs(1));
        let found = run!(c.ft_hybrid::<HashMap<String, String>>("books", query));
        assert_eq!((found.total, found.rows.len(), found.execution_time), (1, 1, 0.5));
        assert_eq!((found.rows[0]["title"].as_str(), found.rows[0]["both"].as_str()), ("The Idiot", "0.9"));
        assert_eq!(found.warnings, ["Timeout limit was reached"]);
        let query = FtHybridQuery::new("*", "@embedding", "$v")
            .neighbours(FtNeighbours::range(0.5).option("EPSILON", 0.1))
            .combine(FtCombine::rrf(Some(30), Some(60.0)))
            .load_all()
            .groupby("@genre", [FtReducer::count().alias("n")])
            .nosort()
            .params(("v", "x"));
        assert_eq!(run!(c.ft_hybrid::<Row>("books", query)).total, 0);
        // Redis 8 has the whole reply within another map.
        let profiled = run!(c.ft_profile_search::<String>("books", true, "idiot", FtSearchOptions::new()));
        assert_eq!((profiled.reply.total, profiled.reply.hits), (1, vec!["book:1".to_owned()]));
        // A document that expired between being found and being told.
        let found = run!(c.ft_search::<FtHit<Row>>("books", "gone", FtSearchOptions::new()));
        assert_eq!((found.hits[0].id.as_str(), found.hits[0].fields.len()), ("book:9", 0));
    });
}
