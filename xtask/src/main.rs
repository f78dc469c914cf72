//! The chores of the workspace, run as `cargo xtask CHORE`.
//!
//! Promises: needs nothing but Rust, and a server where one is used, which it can install. Must not know: the
//! product's inside.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal: printing is its work"
)]

mod check;
mod generate;
mod interleave;
mod mistakes;
mod programs;
mod repository;
mod servers;
mod simulate;
mod tidy;

use std::env;
use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask CHORE [ARGUMENTS]

  demo [ARGS]       walk through the features on a private server
  test [ARGS]       run every kind of test on every server; ARGS go to cargo test (or nextest)
  servers           list the Redis and Valkey servers of this machine; install one if there is none
  tidy              check the laws of the repository that a machine can check
  gen               write the table of command facts from spec/commands.json
      --check                       only fail if the table is not current
      --collect SERVER-BINARY…      first ask these servers for spec/commands.json
  simulate [ARGS]   run a whole client in simulated worlds, each decided by a number; --help tells more
      --mistakes [NAME…]            does it find what is planted in copies of the code?
  interleave        run the blocking driver's threads in many orders; a part of test
      --mistakes [NAME…]            does it find what is planted in copies of the code?
  bench [ARGS]      run redwire side by side with other clients
  fuzz [SECONDS]    run each fuzz target so long (60 by default); needs cargo-fuzz

demo, test and bench install a server if the machine has none, after saying so. Where that cannot be done,
the demo runs on a model of a server.
REDWIRE_SERVERS names servers to use instead of those on PATH, separated as in PATH.";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let Some((chore, args)) = args.split_first() else {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    };
    let done = match chore.as_str() {
        "bench" => programs::bench(args),
        "demo" => programs::demo(args),
        "fuzz" => programs::fuzz(args),
        "gen" => generate::run(args),
        "interleave" => interleave::run_it(args),
        "servers" => servers::list(),
        "simulate" => simulate::run_it(args),
        "test" => check::all(args),
        "tidy" => tidy::run(),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!("no chore is called {other:?}\n\n{HELP}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
