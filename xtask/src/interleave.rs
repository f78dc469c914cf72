//! The chore `interleave`: the blocking driver's threads in many orders, and whether that finds what is
//! planted.
//!
//! Must not know: what the threads do, or what a mistake is about.

use std::path::Path;
use std::process::Command;

use crate::mistakes::{self, Hunt};
use crate::repository::{cargo, root, run, said, target};

/// `cargo xtask interleave`.
pub(crate) fn run_it(args: &[String]) -> Result<(), String> {
    if let Some((first, names)) = args.split_first()
        && first == "--mistakes"
    {
        let hunt = Hunt { folder: "crates/redwire-interleavings/mistakes", build, search };
        return mistakes::find(&hunt, names);
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

fn build(place: &Path) -> Result<(), String> {
    said(explore(place, &place.join("target")).arg("--no-run")).map(drop)
}

fn search(place: &Path) -> Result<Option<String>, String> {
    let mut test = explore(place, &place.join("target"));
    mistakes::watch(test.arg("--").arg("--nocapture"), place, " failed after ")
}
