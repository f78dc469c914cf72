//! `cargo xtask test`: every kind of test, on every server.
//!
//! Promises: goes on after a failure, says at the end what failed, and fails if anything did. Must not know:
//! what the tests test.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::repository::{cargo, root, run, works};
use crate::servers;

/// Runs them; the arguments go to `cargo test`.
///
/// The first server gets everything, each further one the integration tests.
pub(crate) fn all(args: &[String]) -> Result<(), String> {
    let begin = Instant::now();
    let servers = servers::require()?;
    let runner = Runner::find();
    let mut failures = Vec::new();
    let mut steps = 0;
    let mut step = |result: Result<(), String>| {
        steps += 1;
        if let Err(error) = result {
            println!("{error}");
            failures.push(error);
        }
    };
    for (index, server) in servers.iter().enumerate() {
        println!("\n== {}", name(server));
        if index == 0 {
            step(run(runner.command(&["--workspace", "--all-features"], args).env("REDWIRE_SERVER", server)));
            if runner == Runner::Nextest && args.is_empty() {
                // nextest runs no examples from documentation.
                let mut docs = cargo(&["test", "--quiet", "--doc", "--workspace", "--all-features"]);
                step(run(docs.env("REDWIRE_SERVER", server)));
            }
            step(run(&mut cargo(&["check", "--quiet", "-p", "redwire", "--lib", "--no-default-features"])));
        } else if has_integration_tests() {
            let only = ["-p", "redwire", "--all-features", "--test", "*"];
            step(run(runner.command(&only, args).env("REDWIRE_SERVER", server)));
        }
    }
    let names: Vec<String> = servers.iter().map(|server| name(server)).collect();
    let seconds = begin.elapsed().as_secs();
    println!("\n{steps} test runs, {} failed, in {seconds} s, with {}", failures.len(), names.join(", "));
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// What runs tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runner {
    Cargo,
    Nextest,
}

impl Runner {
    fn find() -> Self {
        if works(&mut cargo(&["nextest", "--version"])) { Self::Nextest } else { Self::Cargo }
    }

    fn command(self, which: &[&str], args: &[String]) -> Command {
        let mut command = match self {
            Self::Cargo => cargo(&["test"]),
            Self::Nextest => cargo(&["nextest", "run", "--no-fail-fast", "--no-tests=pass"]),
        };
        command.args(which).args(args);
        command
    }
}

/// The server's version and its program.
fn name(server: &Path) -> String {
    servers::version(server).unwrap_or_else(|| server.display().to_string())
}

/// Whether the product has integration tests: `--test '*'` fails where it matches nothing.
fn has_integration_tests() -> bool {
    let files = fs::read_dir(root().join("crates/redwire/tests")).into_iter().flatten().flatten();
    let paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
    paths.iter().any(|path| path.extension() == Some(OsStr::new("rs")) || path.join("main.rs").is_file())
}
