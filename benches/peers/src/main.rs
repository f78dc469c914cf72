//! Measures redwire side by side with other clients of Redis. See the README beside `Cargo.toml`.
//!
//! The parent (`bench`) starts a server and, for every client, workload and round, a child of this
//! same program (`child`), so that CPU, memory and allocations are of that client alone.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]

mod alloc;
mod args;
mod bench;
mod child;
mod clients;
mod cluster;
mod data;
mod feed;
mod figures;
mod grounds;
mod guard;
mod instructions;
mod meter;
mod report;
mod server;
mod share;
mod usage;
mod workload;

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use args::Options;
use child::Job;
use figures::Figures;
use grounds::Grounds;
use meter::Budget;
use workload::Cores;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

/// Any error ends the measurement, so that its text is all that matters.
pub type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let args = std::env::args().skip(1);
    if std::env::args().any(|arg| arg == "--help") {
        println!("{}", args::HELP);
        return ExitCode::SUCCESS;
    }
    match args::parse(args).and_then(|options| dispatch(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(options: &Options) -> Fallible<()> {
    let words: Vec<_> = options.words.iter().map(String::as_str).collect();
    match words[..] {
        [] => bench::run(options),
        ["run", workload, client] => {
            let budget = Budget::Time { warm_up: options.warm_up, measure: options.measure };
            end_if_stuck(options.warm_up + options.measure);
            println!("{}", one(options, workload, client, budget)?.to_json());
            Ok(())
        }
        ["count", workload, client] => {
            let ops = options.ops.ok_or("count needs --ops N")?;
            one(options, workload, client, Budget::Calls(ops)).map(drop)
        }
        ["instructions"] => instructions::run(options),
        ["list"] => {
            workload::ALL.iter().for_each(|workload| println!("{:9} {}", workload.name, workload.title));
            clients::ALL.iter().for_each(|client| println!("{:9} client", client.name));
            Ok(())
        }
        _ => Err(format!("what is {:?}? See --help", words.join(" ")).into()),
    }
}

/// One measurement in this process. A budget of calls is given in operations.
fn one(options: &Options, workload: &str, client: &str, budget: Budget) -> Fallible<Figures> {
    let workload =
        workload::find(workload).ok_or_else(|| format!("no workload {workload}; see `peers list`"))?;
    let kind = workload.kind;
    let client = clients::find(client).ok_or_else(|| format!("no client {client}; see `peers list`"))?;
    let modes = kind.modes().iter().filter(|&&mode| options.mode.is_none_or(|wanted| wanted == mode));
    let run = modes.filter_map(|&mode| client.runner(kind, mode)).next();
    let run = run.ok_or_else(|| format!("{} has no {} in this mode", client.name, workload.name))?;
    // Several clients depend on rustls, and not all with the same cryptography: this one for all.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // What is started here lives until the measurement is over.
    let grounds;
    let (addr, ca) = match &options.addr {
        Some(addr) => (addr.clone(), options.ca.clone()),
        None => {
            grounds = Grounds::start(options.server(), &[workload], false)?;
            let place = grounds.place(kind, Cores::Free)?;
            Grounds::prepare(kind, place)?;
            (place.addr.to_owned(), place.ca.map(Path::to_owned))
        }
    };
    let budget = match budget {
        Budget::Calls(ops) => Budget::Calls(ops / kind.ops_per_call()),
        time => time,
    };
    Ok(Figures::new(&run(&Job { addr, ca, kind, budget })?, kind.ops_per_call()))
}

/// A client that waits for ever must not stop the whole run.
fn end_if_stuck(expected: Duration) {
    thread::spawn(move || {
        thread::sleep(expected + Duration::from_secs(60));
        eprintln!("stuck: 60 s over its time");
        std::process::exit(3);
    });
}
