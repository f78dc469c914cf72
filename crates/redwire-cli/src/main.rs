//! The program `redwire`: see a connection, measure it, prove it.
//!
//! Promises three ways to end: 0 good, 1 the answer is bad, 2 it could not run; and that with `--json`
//! nothing but one JSON object (or one a line, for what goes on) is written to standard output.

mod args;
mod bench;
mod caller;
mod clusters;
mod connect;
mod doctor;
mod exec;
mod info;
mod interrupt;
mod monitor;
mod output;
mod ping;
mod progress;
mod sentinels;
mod session;
mod soak;
mod subscribe;
mod topology;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Args, Command};
use output::{Failure, Output, Verdict};

fn main() -> ExitCode {
    if let Some(advice) = args::habit(std::env::args()) {
        return Output::plain().fail(&Failure::new("the command line", advice));
    }
    let args = Args::parse();
    let output = Output::new(&args.global);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(&Failure::new("no runtime", error)),
    };
    let result = runtime.block_on(run(&args, &output));
    // A thread that still waits, for a reply or for a key, is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(failure) => output.fail(&failure),
    }
}

async fn run(args: &Args, output: &Output) -> Result<Verdict, Failure> {
    match &args.command {
        Command::Ping(ping) => ping::run(&args.global, ping, output).await,
        Command::Exec(exec) => exec::run(&args.global, exec, output).await,
        Command::Monitor(monitor) => monitor::run(&args.global, monitor, output).await,
        Command::Bench(bench) => bench::run(&args.global, bench, output).await,
        Command::Soak(soak) => soak::run(&args.global, soak, output).await,
        Command::Subscribe(subscribe) => subscribe::run(&args.global, subscribe, output).await,
        Command::Doctor => doctor::run(&args.global, output).await,
        Command::Topology(topology) => topology::run(&args.global, topology, output).await,
        Command::Completions { shell } => {
            let mut written = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "redwire", &mut written);
            output.bytes(&written)
        }
        Command::Man { command } => {
            let mut written = Vec::new();
            let man = clap_mangen::Man::new(args::page(command.as_deref())?);
            man.render(&mut written).map_err(|error| Failure::new("the man page", error))?;
            output.bytes(&written)
        }
    }
}
