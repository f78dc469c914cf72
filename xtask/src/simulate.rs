//! The chore `simulate`: histories decided by numbers, and whether they find what is planted.
//!
//! Must not know: what is simulated, or what a mistake is about.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::repository::{cargo, root, run, said, target};

/// `cargo xtask simulate`.
pub(crate) fn run_it(args: &[String]) -> Result<(), String> {
    if let Some((first, names)) = args.split_first()
        && first == "--mistakes"
    {
        return mistakes(names);
    }
    run(cargo(&["run", "--quiet", "--release", "-p", "redwire-simulation", "--"]).args(args))
}

/// Each planted mistake must be found within so many numbers.
const SEEDS: u64 = 2_000;
/// A copy that has not ended by then hangs, which is found as well.
const PATIENCE: Duration = Duration::from_secs(900);

/// Plants each mistake in a copy of the code, alone, and counts the numbers that find it.
fn mistakes(names: &[String]) -> Result<(), String> {
    let folder = root().join("crates/redwire-simulation/mistakes");
    let mut patches = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|ending| ending == "patch")
            && (names.is_empty() || names.contains(&name))
        {
            patches.push((name, path));
        }
    }
    patches.sort();
    if let Some(name) = names.iter().find(|name| patches.iter().all(|(known, _)| known != *name)) {
        return Err(format!("there is no mistake {name:?} in {}", folder.display()));
    }
    let place = target().join("mistakes");
    let mut missed = 0;
    for (name, patch) in &patches {
        copy_tree(&place)?;
        let title = fs::read_to_string(patch).map_err(|error| error.to_string())?;
        let title = title.lines().next().unwrap_or_default().to_owned();
        apply(&place, patch)?;
        let found = build(&place).and_then(|()| search(&place))?;
        missed += u32::from(found.is_none());
        let found = found.unwrap_or_else(|| format!("not found in {SEEDS}"));
        println!("| {name} | {title} | {found} |");
    }
    println!("{} mistakes, {missed} not found", patches.len());
    if missed == 0 { Ok(()) } else { Err(format!("{missed} mistakes were not found")) }
}

/// Has `place` hold what the repository holds. What is the same already is left alone, so that little has to
/// be compiled.
fn copy_tree(place: &Path) -> Result<(), String> {
    let mut git = Command::new("git");
    let list = said(git.args(["ls-files", "-z", "-co", "--exclude-standard"]).current_dir(root()))?;
    for name in String::from_utf8_lossy(&list).split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root().join(name), place.join(name));
        let Ok(wanted) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|there| there == wanted) {
            continue;
        }
        let made = fs::create_dir_all(to.parent().unwrap_or(place)).and_then(|()| fs::write(&to, wanted));
        made.map_err(|error| format!("{}: {error}", to.display()))?;
    }
    Ok(())
}

fn apply(place: &Path, patch: &Path) -> Result<(), String> {
    // Not as a part of the repository that it may lie in.
    let ceiling = place.parent().unwrap_or(place);
    let mut git = Command::new("git");
    said(git.arg("apply").arg(patch).current_dir(place).env("GIT_CEILING_DIRECTORIES", ceiling)).map(drop)
}

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

/// How the mistake was found, if it was.
fn search(place: &Path) -> Result<Option<String>, String> {
    let (program, said) = (place.join("target/release/redwire-simulation"), place.join("target/said"));
    let output = fs::File::create(&said).map_err(|error| error.to_string())?;
    let mut simulate = Command::new(program);
    simulate.args(["--seeds", &SEEDS.to_string(), "--first", "--plain"]).stdout(output).stderr(Stdio::null());
    let mut child = simulate.spawn().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break Some(status);
        }
        let is_found = fs::read_to_string(&said).is_ok_and(|said| said.contains(" failed: "));
        if is_found || begun.elapsed() > PATIENCE {
            child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
            break None;
        }
        sleep(Duration::from_millis(50));
    };
    let said = fs::read_to_string(&said).map_err(|error| error.to_string())?;
    let first = said.lines().find(|line| line.contains(" failed: ")).map(str::to_owned);
    Ok(first.or_else(|| match status {
        None => Some("hangs".to_owned()),
        Some(status) => (!status.success()).then(|| format!("ends with {status}")),
    }))
}
