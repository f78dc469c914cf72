//! JSON documents.

use redwire::commands::JsonFormat;
use redwire::prelude::*;
use redwire::{ErrorKind, Outcome};

use crate::conversation;

const NOTHING: [&str; 0] = [];
const USER: &str = r#"{"name":"ann","age":41,"tags":["a"],"admin":true,"address":{"zip":"0150"},"rate":1.5}"#;

#[test]
fn json_documents() {
    conversation!("json", |c| {
        assert!(run!(c.json_set("user", "$", r#"{"name":"ann","age":41}"#)));
        assert!(run!(c.json_set("user", "$", USER)));
        assert!(!run!(c.json_set("user", "$.none.deeper", "1")));
        assert!(!run!(c.json_set_nx("user", "$.age", "7")));
        assert!(!run!(c.json_set_xx("user", "$.none", "7")));
        assert_eq!(run!(c.json_get::<String>("user", "$.name")).as_deref(), Some(r#"["ann"]"#));
        let both = run!(c.json_get::<String>("user", ["$.name", "$.age"])).unwrap();
        assert!(both.contains(r#""$.name":["ann"]"#) && both.contains(r#""$.age":[41]"#), "{both}");
        let laid_out = run!(c.json_get_with::<String>(
            "user",
            JsonFormat::new().indent("  ").newline("\n"),
            "$.address"
        ));
        assert_eq!(laid_out.as_deref(), Some("[\n  {\n    \"zip\":\"0150\"\n  }\n]"));
        let spaced = run!(c.json_get_with::<String>("user", JsonFormat::new().space(" "), "$.address"));
        assert_eq!(spaced.as_deref(), Some(r#"[{"zip": "0150"}]"#));
        assert_eq!(run!(c.json_get::<String>("none", "$")), None);
        assert_eq!(
            run!(c.json_mget::<Vec<Option<String>>>(["user", "none"], "$.name")),
            [Some(r#"["ann"]"#.to_owned()), None]
        );
        run!(c.json_mset([("a", "$", "1"), ("b", "$", "2")]));
        assert_eq!(run!(c.json_type("user", "$.age")), ["integer"]);
        assert_eq!(run!(c.json_type("user", "$.*")).len(), 6);
        assert_eq!(run!(c.json_type("user", ".age")), ["integer"]);
        assert!(run!(c.json_type("none", "$")).is_empty());
        run!(c.json_merge("user", "$", r#"{"city":"Oslo"}"#));
        assert_eq!(run!(c.json_del("user", "$.city")), 1);
        assert_eq!(run!(c.json_forget("user", "$.city")), 0);
        assert_eq!(run!(c.json_del("none", "$")), 0);
        assert!(run!(c.json_debug_memory("user", "$"))[0].is_some_and(|bytes| bytes > 10));
        assert!(run!(c.json_debug_memory("none", "$")).is_empty());
    });
}

#[test]
fn numbers_texts_and_truths() {
    conversation!("json_scalars", |c| {
        run!(c.json_set("user", "$", USER));
        assert_eq!(run!(c.json_numincrby::<u32>("user", "$.age", 1)), [Some(42)]);
        assert_eq!(run!(c.json_numincrby::<f64>("user", "$.rate", 0.25)), [Some(1.75)]);
        assert_eq!(run!(c.json_nummultby::<f64>("user", "$.age", 1.5)), [Some(63.0)]);
        assert_eq!(run!(c.json_numincrby::<f64>("user", ".rate", 1)), [Some(2.75)]);
        let all = run!(c.json_numincrby::<f64>("user", "$.*", 0));
        assert_eq!(all.iter().flatten().count(), 2);
        assert_eq!(all.len(), 6);
        assert!(run!(c.json_numincrby::<i64>("user", "$.none", 1)).is_empty());
        let error = try_run!(c.json_numincrby::<i64>("user", "$.rate", 0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert_eq!(run!(c.json_strappend("user", "$.name", r#""a""#)), [Some(4)]);
        assert_eq!(run!(c.json_strlen("user", "$.name")), [Some(4)]);
        assert_eq!(run!(c.json_strlen("user", "$.age")), [None]);
        assert_eq!(run!(c.json_strlen("user", ".name")), [Some(4)]);
        assert_eq!(run!(c.json_toggle("user", "$.admin")), [Some(false)]);
        assert_eq!(run!(c.json_toggle("user", "$.age")), [None]);
        for error in [
            try_run!(c.json_numincrby::<i64>("none", "$", 1)).unwrap_err(),
            try_run!(c.json_strlen("none", "$")).unwrap_err(),
            try_run!(c.json_toggle("none", "$")).unwrap_err(),
        ] {
            assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
        }
    });
}

#[test]
fn arrays_and_objects() {
    conversation!("json_arrays", |c| {
        run!(c.json_set("user", "$", USER));
        assert_eq!(run!(c.json_arrappend("user", "$.tags", [r#""new""#, "7"])), [Some(3)]);
        assert_eq!(run!(c.json_arrindex("user", "$.tags", "7")), [Some(2)]);
        assert_eq!(run!(c.json_arrindex_range("user", "$.tags", "7", 1, 0)), [Some(2)]);
        assert_eq!(run!(c.json_arrindex("user", "$.tags", "8")), [Some(-1)]);
        assert_eq!(run!(c.json_arrinsert("user", "$.tags", 0, r#""first""#)), [Some(4)]);
        assert_eq!(run!(c.json_arrlen("user", "$.tags")), [Some(4)]);
        assert_eq!(run!(c.json_arrlen("user", "$.age")), [None]);
        assert_eq!(run!(c.json_arrpop::<String>("user", "$.tags", -1)), [Some("7".to_owned())]);
        assert_eq!(run!(c.json_arrtrim("user", "$.tags", 0, 1)), [Some(2)]);
        assert_eq!(run!(c.json_clear("user", "$.tags")), 1);
        assert_eq!(run!(c.json_arrpop::<String>("user", "$.tags", 0)), [None]);
        assert_eq!(run!(c.json_objkeys("user", "$.address")), [Some(vec!["zip".to_owned()])]);
        assert_eq!(run!(c.json_objkeys("user", "$.age")), [None]);
        assert_eq!(run!(c.json_objlen("user", "$.address")), [Some(1)]);
        assert_eq!(run!(c.json_objlen("user", "$.*")).iter().flatten().count(), 1);
        let error = try_run!(c.json_arrappend("user", "$.tags", NOTHING)).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent));
    });
}

#[cfg(feature = "json")]
#[test]
fn documents_of_types_of_ones_own() {
    use redwire::Json;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Player {
        name: String,
        scores: Vec<u32>,
    }

    conversation!("json_typed", |c| {
        let ann = Player { name: "ann".into(), scores: vec![1, 2] };
        assert!(run!(c.json_set("p", "$", Json(&ann))));
        let read: Option<Json<Vec<Player>>> = run!(c.json_get("p", "$"));
        assert_eq!(read, Some(Json(vec![ann])));
        let values = [serde_json::json!(3), serde_json::json!({"a": null})];
        assert_eq!(run!(c.json_arrappend("p", "$.scores", values)), [Some(4)]);
        let popped = run!(c.json_arrpop::<serde_json::Value>("p", "$.scores", -1));
        assert_eq!(popped, [Some(serde_json::json!({"a": null}))]);
        let names: Vec<Option<Json<Vec<String>>>> = run!(c.json_mget(["p", "none"], "$.name"));
        assert_eq!(names, [Some(Json(vec!["ann".to_owned()])), None]);
        let error = try_run!(c.json_get::<Json<Vec<u32>>>("p", "$")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
    });
}
