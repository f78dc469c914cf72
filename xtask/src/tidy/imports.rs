//! The direction of imports between the crates: resp <- core <- redwire <- cli, with the test kit and the
//! model beside, and over them the simulation and the interleavings.

use super::finding::Finding;
use super::source::Source;

/// A crate of ours, what it may use, and what its tests may use on top.
struct Member {
    name: &'static str,
    uses: &'static [&'static str],
    tests_use: &'static [&'static str],
}

const MEMBERS: [Member; 9] = [
    Member { name: "redwire-resp", uses: &[], tests_use: &[] },
    Member { name: "redwire-core", uses: &["redwire-resp"], tests_use: &["redwire-testkit"] },
    Member { name: "redwire-testkit", uses: &["redwire-resp", "redwire-core"], tests_use: &[] },
    Member { name: "redwire", uses: &["redwire-resp", "redwire-core"], tests_use: &["redwire-testkit"] },
    Member {
        name: "redwire-cli",
        uses: &["redwire", "redwire-core", "redwire-resp"],
        tests_use: &["redwire-testkit"],
    },
    // A model that shared the client's parser would share its mistakes.
    Member { name: "redwire-model", uses: &[], tests_use: &["redwire", "redwire-testkit"] },
    Member { name: "redwire-simulation", uses: &["redwire", "redwire-model"], tests_use: &[] },
    Member { name: "redwire-interleavings", uses: &["redwire"], tests_use: &[] },
    // The chores must run while the product does not build.
    Member { name: "xtask", uses: &[], tests_use: &["redwire-core"] },
];

/// Imports in a source file.
pub(super) fn in_source(source: &Source) -> Vec<Finding> {
    let Some(member) = member(&source.path) else { return Vec::new() };
    let mut findings = Vec::new();
    for line in &source.lines {
        let is_test = source.is_test || line.in_test;
        for other in MEMBERS.iter().filter(|other| !member.may_use(other.name, is_test)) {
            if names(&line.code, &other.name.replace('-', "_")) {
                findings.push(member.breach(&source.path, line.number, other.name));
            }
        }
    }
    findings
}

/// Dependencies in a manifest.
pub(super) fn in_manifest(path: &str, text: &str) -> Vec<Finding> {
    let Some(member) = member(path) else { return Vec::new() };
    let mut findings = Vec::new();
    let mut section = "";
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        }
        if !section.contains("dependencies") {
            continue;
        }
        let is_test = section.contains("dev-dependencies");
        let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
        if MEMBERS.iter().any(|other| other.name == name) && !member.may_use(name, is_test) {
            findings.push(member.breach(path, index + 1, name));
        }
    }
    findings
}

impl Member {
    fn may_use(&self, other: &str, in_test: bool) -> bool {
        other == self.name || self.uses.contains(&other) || (in_test && self.tests_use.contains(&other))
    }

    fn breach(&self, path: &str, line: usize, other: &str) -> Finding {
        Finding { path: path.to_owned(), line, why: format!("{} must not use {other}", self.name) }
    }
}

/// The crate that a file belongs to.
fn member(path: &str) -> Option<&'static Member> {
    let name = match path.strip_prefix("crates/") {
        Some(path) => path.split('/').next()?,
        None => path.split('/').next()?,
    };
    MEMBERS.iter().find(|member| member.name == name)
}

/// Whether code names a crate: as the start of a path, or in a `use`.
fn names(code: &str, krate: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(krate).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + krate.len()..]);
        let is_path =
            after.starts_with("::") || before.trim_end().ends_with("use") && !after.starts_with(is_word);
        // `crate::redwire::…` and `self.redwire` are no crates.
        is_path && !before.ends_with(is_word) && !before.ends_with("::")
    })
}
