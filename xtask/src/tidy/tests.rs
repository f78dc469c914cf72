//! Every rule finds its breach and nothing else; the repository itself is tidy.

use std::collections::BTreeMap;

use super::width::WIDTH;
use super::*;

/// What is found in one file, as `line: beginning of why`.
fn findings(path: &str, text: &str) -> Vec<usize> {
    let files = BTreeMap::from([(path.to_owned(), text.to_owned())]);
    check(&files).iter().map(|finding| finding.line).collect()
}

const NONE: [usize; 0] = [];

#[test]
fn the_repository_is_tidy() {
    let findings = check(&read(&repository::root()).unwrap());
    let text: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(text.is_empty(), "\n{}", text.join("\n"));
}

#[test]
fn the_repository_is_read() {
    let files = read(&repository::root()).unwrap();
    assert!(files.contains_key("Cargo.toml") && files.contains_key("xtask/src/tidy.rs"));
    assert!(files.keys().all(|path| !path.contains("target/")));
}

#[test]
fn a_file_needs_a_header() {
    assert_eq!(findings("crates/redwire/src/a.rs", "use std::fs;\n"), [1]);
    assert_eq!(findings("crates/redwire/src/a.rs", "//! Says what.\nuse std::fs;\n"), NONE);
}

#[test]
fn stubs_are_found_even_in_tests() {
    assert_eq!(
        findings("xtask/src/a.rs", "//! A.\nfn a() { todo!() }\n#[cfg(test)]\nfn b() { unimplemented!() }\n"),
        [2, 4]
    );
    assert_eq!(
        findings("xtask/src/a.rs", "//! A todo!() in words.\nconst A: &str = \"todo!()\"; // todo!\n"),
        NONE
    );
}

#[test]
fn names_with_async_are_found() {
    assert_eq!(findings("crates/redwire/src/a.rs", "//! A.\nfn async_get() {}\n"), [2]);
    assert_eq!(findings("crates/redwire/src/a.rs", "//! A.\nfn is_async_x() {}\n"), NONE);
}

#[test]
fn banned_calls_are_found_outside_tests() {
    for banned in [
        "async fn a() {}",
        "x.await;",
        "let a = Instant::now();",
        "use std::time::SystemTime;",
        "std::thread::yield_now();",
        "a: Mutex<u8>,",
        "use std::sync::RwLock;",
        "use std::net::TcpStream;",
        "sleep(1);",
        "use rand::Rng;",
        "std::env::args();",
        "use std::fs;",
    ] {
        let text = format!("//! A.\n{banned}\n");
        assert_eq!(findings("crates/redwire-core/src/a.rs", &text), [2], "{banned}");
        assert_eq!(findings("crates/redwire-resp/src/a.rs", &text), [2], "{banned}");
        assert_eq!(findings("crates/redwire/src/a.rs", &text), NONE, "{banned}");
        assert_eq!(findings("crates/redwire-core/src/a/tests.rs", &text), NONE, "{banned}");
        let tested = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{banned}\n}}\n{banned}\n");
        assert_eq!(findings("crates/redwire-core/src/a.rs", &tested), [6], "{banned}");
    }
    assert_eq!(
        findings("crates/redwire-core/src/a.rs", "//! A.\n/// Never sleeps: no sleep.\nlet operand = 1;\n"),
        NONE
    );
}

#[test]
fn the_async_driver_looks_at_its_own_clock() {
    for banned in ["let a = Instant::now();", "let a = begin.elapsed();"] {
        let text = format!("//! A.\n{banned}\n");
        assert_eq!(findings("crates/redwire/src/nonblocking.rs", &text), [2], "{banned}");
        assert_eq!(findings("crates/redwire/src/shared/clock.rs", &text), NONE, "{banned}");
    }
}

#[test]
fn nothing_in_the_blocking_driver_escapes_an_explorer() {
    for banned in [
        "let a = Instant::now();",
        "let a = begin.elapsed();",
        "a: std::sync::Mutex<u8>,",
        "use std::sync::atomic::AtomicBool;",
        "std::thread::park();",
        "thread::current().unpark();",
    ] {
        let text = format!("//! A.\n{banned}\n");
        assert_eq!(findings("crates/redwire/src/blocking.rs", &text), [2], "{banned}");
        assert_eq!(findings("crates/redwire/src/shared/threads.rs", &text), NONE, "{banned}");
    }
    let text = "//! A.\nuse crate::shared::sync::atomic::AtomicBool;\nlet me = threads::current();\n";
    assert_eq!(findings("crates/redwire/src/blocking.rs", text), NONE);
}

#[test]
fn a_module_declared_for_tests_is_one() {
    let files = |declaration: &str| {
        BTreeMap::from([
            ("crates/redwire-core/src/a.rs".to_owned(), format!("//! A.\n{declaration}\nfn a() {{}}\n")),
            ("crates/redwire-core/src/a/twin.rs".to_owned(), "//! B.\nuse std::fs;\n".to_owned()),
        ])
    };
    assert_eq!(check(&files("#[cfg(test)]\nmod twin;")), []);
    assert_eq!(check(&files("mod twin;")).len(), 1);
}

#[test]
fn server_words_in_drivers_are_found() {
    let text = "//! A.\nif code == \"MOVED\" {}\nlet a = b\"READONLY You can't\";\nlet b = r#\"ASK\"#;\nlet \
                c = \"MOVEDX\";\n";
    assert_eq!(findings("crates/redwire/src/nonblocking.rs", text), [2, 3, 4]);
    assert_eq!(findings("crates/redwire-core/src/a.rs", text), NONE);
    let both = BTreeMap::from(
        ["nonblocking", "blocking"]
            .map(|driver| (format!("crates/redwire/src/{driver}/a.rs"), text.to_owned())),
    );
    assert_eq!(check(&both).len(), 6);
}

#[test]
fn a_driver_in_what_both_share_is_found() {
    let text =
        "//! A.\n/// As crate::blocking.\nuse crate::nonblocking::Client;\nuse crate::shared::target;\n";
    assert_eq!(findings("crates/redwire/src/shared/a.rs", text), [3]);
    assert_eq!(findings("crates/redwire/src/commands/a.rs", text), NONE);
}

#[test]
fn public_types_that_may_grow_are_found() {
    let fields = "//! A.\npub struct A {\n    pub a: u8,\n    pub b: u8,\n}\n";
    assert_eq!(findings("crates/redwire/src/commands/a.rs", fields), [2]);
    assert_eq!(findings("crates/redwire-core/src/link.rs", fields), NONE);
    let text = "//! A.\n#[non_exhaustive]\npub enum A {\n    B,\n}\npub enum C {\n    D,\n}\n";
    assert_eq!(findings("crates/redwire-core/src/config/a.rs", text), [6]);
    let hidden = "//! A.\npub struct A {\n    a: u8,\n}\nimpl A {\n    pub fn b(a: u8) {}\n}\n";
    assert_eq!(findings("crates/redwire-core/src/config/a.rs", hidden), NONE);
}

#[test]
fn a_driver_file_without_its_twin_is_found() {
    let files = |names: &[&str]| -> BTreeMap<String, String> {
        names.iter().map(|name| (format!("crates/redwire/src/{name}"), "//! A.\n".to_owned())).collect()
    };
    assert_eq!(
        check(&files(&["nonblocking/a.rs", "blocking/a.rs", "blocking/tests.rs", "blocking/tests/b.rs"])),
        []
    );
    let found = check(&files(&["nonblocking/a.rs", "blocking/b.rs"]));
    let paths: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(paths, ["crates/redwire/src/nonblocking/a.rs", "crates/redwire/src/blocking/b.rs"]);
}

#[test]
fn imports_against_the_direction_are_found() {
    assert_eq!(findings("crates/redwire-core/src/a.rs", "//! A.\nuse redwire::Client;\n"), [2]);
    assert_eq!(findings("crates/redwire-resp/src/a.rs", "//! A.\nlet a = redwire_core::cmd();\n"), [2]);
    assert_eq!(findings("crates/redwire/src/a.rs", "//! A.\nuse redwire_testkit::Server;\n"), [2]);
    assert_eq!(findings("crates/redwire/tests/a.rs", "//! A.\nuse redwire_testkit::Server;\n"), NONE);
    let simulation = "crates/redwire-simulation/src/a.rs";
    assert_eq!(findings(simulation, "//! A.\nuse redwire_core::Cmd;\nuse redwire_model::Model;\n"), [2]);
    assert_eq!(findings("crates/redwire/tests/a.rs", "//! A.\nuse redwire_simulation::trace;\n"), [2]);
    assert_eq!(
        findings("crates/redwire/src/a.rs", "//! A.\nuse redwire_core::Cmd;\nuse redwire_resp as r;\n"),
        NONE
    );
}

#[test]
fn dependencies_against_the_direction_are_found() {
    let text = "[package]\nname = \"a\"\n[dependencies]\nredwire = { workspace = true }\n";
    assert_eq!(findings("crates/redwire-core/Cargo.toml", text), [4]);
    assert_eq!(findings("crates/redwire-cli/Cargo.toml", text), NONE);
    let text =
        "[dependencies]\nbytes.workspace = true\n[dev-dependencies]\nredwire-testkit.workspace = true\n";
    assert_eq!(findings("crates/redwire/Cargo.toml", text), NONE);
    assert_eq!(findings("crates/redwire-resp/Cargo.toml", text), [4]);
}

#[test]
fn a_second_type_of_a_public_name_is_found() {
    let found = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), format!("//! A.\n{text}\n")));
        let found = check(&files.collect());
        found.into_iter().map(|finding| finding.path).collect::<Vec<_>>()
    };
    let (core, shared) = ("crates/redwire-core/src/a.rs", "crates/redwire/src/shared/a.rs");
    let public = (core, "pub struct Turn;");
    for second in ["struct Turn(u8);", "pub(super) enum Turn {}", "type Turn = u8;", "trait Turn {}"] {
        assert_eq!(found(&[public, (shared, second)]), [shared], "{second}");
    }
    assert_eq!(found(&[public, (shared, "    struct Turn;")]).len(), 0, "inside of a function");
    assert_eq!(found(&[(core, "struct Turn;"), (shared, "struct Turn;")]).len(), 0, "both are private");
    assert_eq!(found(&[public, ("xtask/src/a.rs", "struct Turn;")]).len(), 0, "another program");
    let drivers = ["nonblocking", "blocking"].map(|driver| format!("crates/redwire/src/{driver}/a.rs"));
    assert_eq!(found(&drivers.each_ref().map(|path| (path.as_str(), "pub struct Lock;"))).len(), 0);
}

#[test]
fn lines_that_are_too_wide_are_found() {
    let word = "word ".repeat(22);
    let (code, page) = ("crates/redwire/src/a.rs", "README.md");
    assert_eq!(findings(code, &format!("//! A.\n// {word}\n/// {word}\nlet a = \"{word}\";\n")), [2, 3, 4]);
    assert_eq!(findings(code, &format!("//! A.\n/// | {word} | {word} |\n")), NONE, "a table");
    let address = format!("https://{}", "a".repeat(WIDTH));
    assert_eq!(findings(code, &format!("//! A.\n// {address} it is\n    //! - {address}\n")), NONE);
    assert_eq!(findings(page, &format!("# {word}\n\n{word}a\n- {word}\n> {word}\n")), [3, 4, 5]);
    assert_eq!(findings(page, &format!("| {word} |\n```\n{word}a\n```\n[1]: {address}\n")), NONE);
    assert_eq!(findings(page, &format!("{}\n", "ä".repeat(WIDTH))), NONE, "letters, not bytes");
    assert_eq!(findings("crates/redwire-core/src/facts/table.rs", &format!("//! {word}\n")), NONE);
}

#[test]
fn strings_and_comments_are_told_from_code() {
    let text = "//! A.\nlet a = \"\\\"Mutex\\\\\"; let b = '\"'; let c = 'a'; /* Mutex\nMutex */ let d = \
                r\"x\\\";\nlet e: &'static str = \"//\"; Mutex\n";
    assert_eq!(findings("crates/redwire-core/src/a.rs", text), [4]);
}
