//! `cargo xtask test`: every kind of test, on every server.
//!
//! Promises: goes on after a failure, says at the end what failed, and fails if anything did. Must not know:
//! what the tests test.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::programs::demo_on_model;
use crate::repository::{cargo, root, run, run_quietly, works};
use crate::{interleave, servers};

/// Sets of features that have to compile, besides all of them: none, and each that others could lean on
/// unseen.
const FEATURES: [&str; 3] = ["", "tokio", "tls"];

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
            if args.is_empty() {
                others(runner, server).into_iter().for_each(&mut step);
            }
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

/// What `cargo test` with all features leaves out.
fn others(runner: Runner, server: &Path) -> Vec<Result<(), String>> {
    let mut done = Vec::new();
    if runner == Runner::Nextest {
        // nextest runs no examples from documentation.
        let mut docs = cargo(&["test", "--quiet", "--doc", "--workspace", "--all-features"]);
        done.push(run(docs.env("REDWIRE_SERVER", server)));
    }
    for features in FEATURES {
        let words = ["check", "--quiet", "-p", "redwire", "--lib", "--no-default-features", "--features"];
        done.push(run(cargo(&words).arg(features)));
    }
    // What is said of options whose feature is missing.
    done.push(run(&mut cargo(&["test", "--quiet", "-p", "redwire", "--lib"])));
    for example in examples() {
        let words = ["run", "--quiet", "-p", "redwire", "--all-features", "--example", &example];
        done.push(run_quietly(cargo(&words).env("REDWIRE_SERVER", server)));
    }
    done.push(interleave::run_it(&[]));
    // As `cargo xtask demo` does where no server can be had; nothing is compiled anew for it.
    let demo = demo_on_model("debug", &["--workspace", "--all-features"]);
    done.push(demo.and_then(|mut demo| run_quietly(&mut demo)));
    done
}

/// The examples of the product: a user who reads them must find them working.
fn examples() -> Vec<String> {
    let files = fs::read_dir(root().join("crates/redwire/examples")).into_iter().flatten().flatten();
    let mut names: Vec<String> = files
        .map(|file| file.path())
        .filter(|path| path.extension() == Some(OsStr::new("rs")) || path.join("main.rs").is_file())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort_unstable();
    names
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
        // Most tests wait, for servers or for time to pass: half as many again as there are cores keep those
        // busy.
        let threads = (std::thread::available_parallelism().map_or(2, usize::from) * 3 / 2).to_string();
        for name in ["NEXTEST_TEST_THREADS", "RUST_TEST_THREADS"] {
            if std::env::var_os(name).is_none() {
                command.env(name, &threads);
            }
        }
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
