//! Rules about what is seen from outside: public types that may grow, and the folder that both drivers use.

use super::finding::Finding;
use super::rules::has;
use super::source::Source;

/// What both drivers use. It knows neither.
const SHARED: &str = "crates/redwire/src/shared";

/// The files whose public types users see through `redwire`.
const PUBLIC: [&str; 20] = [
    "crates/redwire/src/commands/",
    "crates/redwire/src/events",
    "crates/redwire/src/shared/events",
    "crates/redwire-core/src/backoff",
    "crates/redwire-core/src/cache/options",
    "crates/redwire-core/src/cluster/map",
    "crates/redwire-core/src/cluster/node_choice",
    "crates/redwire-core/src/cluster/options",
    "crates/redwire-core/src/cluster/reads",
    "crates/redwire-core/src/cmd",
    "crates/redwire-core/src/config",
    "crates/redwire-core/src/error",
    "crates/redwire-core/src/facts",
    "crates/redwire-core/src/handshake",
    "crates/redwire-core/src/monitor",
    "crates/redwire-core/src/pool/stats",
    "crates/redwire-core/src/pubsub/event",
    "crates/redwire-core/src/pubsub/options",
    "crates/redwire-core/src/sentinel/instance",
    "crates/redwire-core/src/transaction",
];

/// Public types that users may write out or match whole: an address, the ends of a list, the parts of an id;
/// what became of a call, so that no answer is forgotten; and the facts of a command, which are constants in
/// the code of users who add commands of a module.
const COMPLETE: [&str; 7] = ["HostPort", "End", "StreamId", "Outcome", "Facts", "KeySpec", "TimeoutArg"];

/// What both drivers share knows neither of them.
pub(super) fn neither_driver(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with(SHARED) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for line in source.product() {
        for driver in ["crate::nonblocking", "crate::blocking"].iter().filter(|word| has(&line.code, word)) {
            let why = format!("`{driver}` is a driver: what both share knows neither");
            findings.push(Finding::new(source, line.number, &why));
        }
    }
    findings
}

/// A public enum, or struct with public fields, may grow without breaking users: `#[non_exhaustive]`.
pub(super) fn may_grow(source: &Source) -> Vec<Finding> {
    if !PUBLIC.iter().any(|path| source.path.starts_with(path)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let (mut marked, mut open) = (false, None);
    for line in source.product() {
        let code = line.code.trim_end();
        if code.contains("#[non_exhaustive]") {
            marked = true;
        } else if let Some(name) = declared(code) {
            let is_free = marked || COMPLETE.contains(&name);
            open = (!is_free).then_some(line.number);
            if code.starts_with("pub enum") {
                findings.extend(open.take().map(|at| exhaustive(source, at)));
            }
            marked = false;
        } else if code.starts_with("    pub ") && code.contains(':') && !code.contains('(') {
            findings.extend(open.take().map(|at| exhaustive(source, at)));
        } else if code.starts_with('}') {
            (marked, open) = (false, None);
        }
    }
    findings
}

/// The name of the public struct or enum that a line begins to declare.
fn declared(code: &str) -> Option<&str> {
    let rest = code.strip_prefix("pub enum ").or_else(|| code.strip_prefix("pub struct "))?;
    rest.split(|c: char| !c.is_alphanumeric()).next()
}

fn exhaustive(source: &Source, line: usize) -> Finding {
    Finding::new(source, line, "a public type that may grow is `#[non_exhaustive]`")
}
