//! Where the repository is, and running programs in it.
//!
//! Must not know: any chore.

use std::path::PathBuf;
use std::process::Command;

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or_else(|| xtask.clone(), PathBuf::from)
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// `cargo` with these arguments, in the workspace's folder: the cargo that started us, if one did.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args);
    command
}

/// Says what is run, runs it, and fails with its name if it does.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let line = line(command);
    println!("$ {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed ({status})")),
        Err(error) => Err(format!("`{line}` can't be run: {error}")),
    }
}

/// As [`run`], but what the program prints is only shown if it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Result<(), String> {
    let line = line(command);
    println!("$ {line}");
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            println!("{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
            Err(format!("`{line}` failed ({})", output.status))
        }
        Err(error) => Err(format!("`{line}` can't be run: {error}")),
    }
}

/// What a program prints; if it fails, the error has what it complains of.
pub(crate) fn said(command: &mut Command) -> Result<Vec<u8>, String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => {
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(format!("`{}` failed ({})\n{complaint}", line(command), output.status))
        }
        Err(error) => Err(format!("`{}` can't be run: {error}", line(command))),
    }
}

/// Whether a program runs and succeeds; its output is thrown away.
pub(crate) fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// The command as one would type it, with its environment.
fn line(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let program = program.file_name().unwrap_or_else(|| command.get_program()).to_string_lossy().into_owned();
    let env = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}={} ", name.to_string_lossy(), value.to_string_lossy()))
    });
    let args = command.get_args().map(|arg| format!(" {}", arg.to_string_lossy()));
    env.chain([program]).chain(args).collect()
}
