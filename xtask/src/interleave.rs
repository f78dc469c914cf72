//! The chore `interleave`: the blocking driver's threads in many orders, and whether that finds what is
//! planted.
//!
//! Must not know: what the threads do, or what a mistake is about.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::mistakes::{self, Hunt};
use crate::repository::{cargo, root, run, said, target};

pub(crate) const HUNT: Hunt = Hunt { folder: "crates/redwire-interleavings/mistakes", search };

/// `cargo xtask interleave`.
pub(crate) fn run_it(args: &[String]) -> Result<(), String> {
    if let Some((first, names)) = args.split_first()
        && first == "--mistakes"
    {
        return mistakes::find(&HUNT, names);
    }
    run(explore(&root(), &target().join("interleavings")).arg("--").arg("--nocapture").args(args))
}

/// The tests of the tree at `place`. What they are built with is not what all else is, so it has a folder of
/// its own.
fn explore(place: &Path, target: &Path) -> Command {
    let mut test = cargo(&["test", "--quiet", "-p", "redwire-interleavings", "--test", "threads"]);
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    test.current_dir(place).env("RUSTFLAGS", format!("{flags} --cfg redwire_shuttle").trim_start());
    test.env("CARGO_TARGET_DIR", target);
    test
}

/// Builds the tests; the program that has them. It is run without cargo, as ending cargo would not end it.
fn program(place: &Path) -> Result<String, String> {
    let words = ["--no-run", "--message-format", "json"];
    let messages = said(explore(place, &place.join("target")).args(words))?;
    let messages = String::from_utf8_lossy(&messages);
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages.into_iter().find_map(|message| Some(message["executable"].as_str()?.to_owned()));
    program.ok_or_else(|| "cargo names no program".to_owned())
}

/// How the mistake was found, if it was. One scenario runs after the other: of two at a time, which of them
/// finds it first would be left to chance.
fn search(place: &Path, _: &str) -> Result<Option<String>, String> {
    let mut test = Command::new(program(place)?);
    mistakes::watch(test.args(["--nocapture", "--test-threads", "1"]), place, " failed after ")
}
