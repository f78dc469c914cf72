//! Each method of these families shows an example, and that very call is made by a test.

use std::collections::BTreeSet;

const FAMILIES: &[(&str, &str)] = &[
    ("bf_", include_str!("../../src/commands/bloom.rs")),
    ("cf_", include_str!("../../src/commands/cuckoo.rs")),
    ("cms_", include_str!("../../src/commands/count_min_sketch.rs")),
    ("topk_", include_str!("../../src/commands/top_k.rs")),
    ("tdigest_", include_str!("../../src/commands/t_digest.rs")),
    ("json_", include_str!("../../src/commands/json.rs")),
    ("ts_", include_str!("../../src/commands/time_series.rs")),
    ("ft_", include_str!("../../src/commands/search.rs")),
    ("v", include_str!("../../src/commands/vector_sets.rs")),
];

const TESTS: &[&str] = &[
    include_str!("json.rs"),
    include_str!("probabilistic.rs"),
    include_str!("search.rs"),
    include_str!("time_series.rs"),
    include_str!("vector_sets.rs"),
];

/// Text without the blanks that a formatter moves about, and without commas before a closing bracket.
fn dense(text: &str) -> String {
    let text: String = text.chars().filter(|char| !char.is_whitespace()).collect();
    text.replace(",)", ")").replace(",]", "]")
}

#[test]
fn every_method_shows_a_call_that_a_test_makes() {
    let tests: String = TESTS.iter().map(|test| dense(test)).collect();
    let mut wrong = Vec::new();
    for (prefix, source) in FAMILIES {
        let (mut docs, mut seen) = (String::new(), BTreeSet::new());
        for line in source.lines().map(str::trim) {
            if let Some(doc) = line.strip_prefix("///") {
                docs += doc;
                continue;
            }
            let method = line.strip_prefix("fn ").and_then(|line| line.split(['<', '(']).next());
            if let Some(method) = method.filter(|method| method.starts_with(prefix)) {
                seen.insert(method.to_owned());
                let example = docs.split("Example: `client.").nth(1).and_then(|text| text.split("`.").next());
                match example.map(dense) {
                    None => wrong.push(format!("{method} shows no example")),
                    Some(call) if !call.starts_with(method) => wrong.push(format!("{method} shows {call}")),
                    Some(call) if !tests.contains(&format!("c.{call}")) => {
                        wrong.push(format!("no test calls {call}"));
                    }
                    Some(_) => {}
                }
                for said in ["ince ", "O("] {
                    if !docs.contains(said) {
                        wrong.push(format!("{method} does not say `{said}`"));
                    }
                }
            }
            docs.clear();
        }
        assert!(seen.len() >= 7, "{prefix} has only {seen:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
