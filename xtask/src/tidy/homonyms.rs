//! One name, one type: what users see by a name is not named so again inside of the library.
//!
//! Must not know: what a type is good for.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::source::Source;

/// The crates that are one library to users.
const LIBRARY: [&str; 2] = ["crates/redwire-core/src/", "crates/redwire/src/"];

/// Names that stand for one thing in several files: what a driver makes of a machine of the core, or one
/// driver in a file of its own.
const SAME: [&str; 5] = ["Connector", "Pool", "PubSub", "Result", "Subscription"];

/// Types that have the name of a public one of another file. Both drivers count as one.
pub(super) fn second_meanings(sources: &[Source]) -> Vec<Finding> {
    let mut types: BTreeMap<&str, Vec<(bool, &Source, usize)>> = BTreeMap::new();
    let library = |source: &&Source| LIBRARY.iter().any(|folder| source.path.starts_with(folder));
    for source in sources.iter().filter(library) {
        for line in source.product() {
            if let Some((name, is_public)) = declared(&line.code) {
                types.entry(name).or_default().push((is_public, source, line.number));
            }
        }
    }
    let mut findings = Vec::new();
    for (name, of) in types.into_iter().filter(|(name, _)| !SAME.contains(name)) {
        let Some((_, first, _)) = of.iter().find(|(is_public, ..)| *is_public) else { continue };
        for (_, source, line) in of.iter().filter(|(_, source, _)| place(source) != place(first)) {
            let why = format!("`{name}` is public in {}: a second type needs a name of its own", first.path);
            findings.push(Finding::new(source, *line, &why));
        }
    }
    findings
}

/// The name of a type that a line declares at the outermost level, and whether it is public.
fn declared(code: &str) -> Option<(&str, bool)> {
    let (is_public, rest) = match code.strip_prefix("pub ") {
        Some(rest) => (true, rest),
        None => (false, code.strip_prefix("pub(").map_or(Some(code), |rest| Some(rest.split_once(") ")?.1))?),
    };
    let (word, rest) = rest.split_once(' ')?;
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    matches!(word, "struct" | "enum" | "trait" | "type" | "union").then_some((name, is_public))
}

/// A file, the same for both drivers.
fn place(source: &Source) -> String {
    source.path.replacen("/nonblocking/", "/blocking/", 1)
}
