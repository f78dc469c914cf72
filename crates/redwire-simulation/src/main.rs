//! `cargo xtask simulate` runs this, in release.
#![allow(clippy::print_stderr, reason = "a program for the terminal: printing is its work")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match redwire_simulation::program(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
