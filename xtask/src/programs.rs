//! The chores that build and run one program each: `demo`, `bench`, `fuzz`.
//!
//! Must not know: what these programs do.

use std::process::Command;

use crate::repository::{cargo, root, run, target, works};
use crate::servers;

/// `cargo xtask demo`: the walk through the features, on the first server of this machine; on the model where
/// there is none, and none can be installed.
pub(crate) fn demo(args: &[String]) -> Result<(), String> {
    match servers::first()? {
        Ok(server) => {
            let words = ["run", "--quiet", "--release", "-p", "redwire", "--example", "demo", "--"];
            run(cargo(&words).args(args).env("REDWIRE_SERVER", server))
        }
        Err(why) => {
            println!("The demo runs on a model of a server (crates/redwire-model): {why}.");
            run(demo_on_model("release", &["--release", "-p", "redwire", "-p", "redwire-model"])?.args(args))
        }
    }
}

/// Builds the demo, and the model that is started as a server is, both by one command: so what they share is
/// compiled once.
pub(crate) fn demo_on_model(folder: &str, which: &[&str]) -> Result<Command, String> {
    run(cargo(&["build", "--quiet", "--example", "demo", "--example", "serve"]).args(which))?;
    let examples = target().join(folder).join("examples");
    let mut demo = Command::new(examples.join("demo"));
    demo.arg("--on-model").env("REDWIRE_SERVER", examples.join("serve"));
    Ok(demo)
}

/// `cargo xtask bench`: side by side with other clients.
pub(crate) fn bench(args: &[String]) -> Result<(), String> {
    let servers = servers::require()?;
    let server = servers.first().ok_or("no server")?;
    let mut bench = cargo(&["run", "--release", "--manifest-path", "benches/peers/Cargo.toml", "--"]);
    run(bench.args(args).env("REDWIRE_SERVER", server))
}

/// `cargo xtask fuzz [SECONDS]`: each fuzz target for so long, 60 seconds by default.
pub(crate) fn fuzz(args: &[String]) -> Result<(), String> {
    let seconds: u32 = match args {
        [] => 60,
        [seconds] => seconds.parse().map_err(|_| format!("{seconds:?} is no number of seconds"))?,
        _ => return Err("usage: cargo xtask fuzz [SECONDS]".into()),
    };
    // Without a nightly compiler there are no sanitizers, but there is fuzzing.
    let nightly = works(plain_cargo().args(["+nightly", "--version"]));
    let fuzz = |args: &[&str]| {
        let mut command = plain_cargo();
        command.args(nightly.then_some("+nightly")).arg("fuzz").args(args);
        command
    };
    let output = fuzz(&["list"]).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err("cargo-fuzz is missing: cargo install cargo-fuzz".into());
    }
    for target in String::from_utf8_lossy(&output.stdout).lines() {
        let sanitizer: &[&str] = if nightly { &[] } else { &["--sanitizer", "none"] };
        run(fuzz(&["run", target]).args(sanitizer).arg("--").arg(format!("-max_total_time={seconds}")))?;
    }
    Ok(())
}

/// The `cargo` on PATH, which alone understands `+nightly`, free of what binds it to the workspace's
/// compiler.
fn plain_cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root()).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}
