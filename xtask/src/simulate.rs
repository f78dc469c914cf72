//! The chore `simulate`: histories decided by numbers, and whether they find what is planted.
//!
//! Must not know: what is simulated, or what a mistake is about.

use std::path::Path;
use std::process::Command;

use crate::mistakes::{self, Hunt};
use crate::repository::{cargo, run, said};

pub(crate) const HUNT: Hunt = Hunt { folder: "crates/redwire-simulation/mistakes", search };

/// `cargo xtask simulate`.
pub(crate) fn run_it(args: &[String]) -> Result<(), String> {
    if let Some((first, names)) = args.split_first()
        && first == "--mistakes"
    {
        return mistakes::find(&HUNT, names);
    }
    run(cargo(&["run", "--quiet", "--release", "-p", "redwire-simulation", "--"]).args(args))
}

/// Each planted mistake must be found within so many numbers.
const SEEDS: u64 = 2_000;

/// What is changed is compiled quickly, and the rest is quick: a mistake is found after a few numbers, or
/// only after very many.
fn build(place: &Path) -> Result<(), String> {
    let mut build = cargo(&["build", "--quiet", "--release", "-p", "redwire-simulation"]);
    build.current_dir(place).env("CARGO_TARGET_DIR", place.join("target"));
    for (name, value) in
        [("OPT_LEVEL", "0"), ("DEBUG", "0"), ("INCREMENTAL", "true"), ("CODEGEN_UNITS", "64")]
    {
        build.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
    }
    for package in ["\"*\"", "redwire-model", "redwire-simulation"] {
        build.args(["--config", &format!("profile.release.package.{package}.opt-level=1")]);
    }
    said(&mut build).map(drop)
}

/// How the mistake of `patch` was found, if it was: in scenarios of the kind that its second line names.
fn search(place: &Path, patch: &str) -> Result<Option<String>, String> {
    build(place)?;
    let scenario = patch.lines().nth(1).and_then(|line| line.strip_prefix("scenario: "));
    let mut simulate = Command::new(place.join("target/release/redwire-simulation"));
    let scenario = scenario.unwrap_or("single");
    simulate.args(["--scenario", scenario, "--seeds", &SEEDS.to_string(), "--first", "--plain"]);
    mistakes::watch(&mut simulate, place, " failed: ")
}
