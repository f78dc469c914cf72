//! `cargo xtask servers`: which Redis and Valkey servers this machine has; installs one if it has none.
//!
//! Promises: nothing is installed before it was said what and how. Must not know: what a server is needed
//! for.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::repository::run;

/// Programs that are such a server.
const NAMES: [&str; 2] = ["redis-server", "valkey-server"];

/// Prints what there is, and installs one where there is none.
pub(crate) fn list() -> Result<(), String> {
    for binary in require()? {
        println!(
            "{}  {}",
            binary.display(),
            version(&binary).unwrap_or_else(|| "does not tell its version".into())
        );
    }
    Ok(())
}

/// The servers to use: those of `REDWIRE_SERVERS` (paths or names, separated as in PATH), else those on PATH.
/// Installs one if there is none.
pub(crate) fn require() -> Result<Vec<PathBuf>, String> {
    let named = named()?;
    if named.is_empty() { found_or_installed() } else { Ok(named) }
}

/// As [`require`], the first one; or why there is none and none can be installed.
///
/// # Errors
/// `REDWIRE_SERVERS` names something else.
pub(crate) fn first() -> Result<Result<PathBuf, String>, String> {
    let named = named()?;
    let servers = if named.is_empty() { found_or_installed() } else { Ok(named) };
    Ok(servers.map(|servers| servers[0].clone()))
}

fn named() -> Result<Vec<PathBuf>, String> {
    let list = env::var_os("REDWIRE_SERVERS").unwrap_or_default();
    env::split_paths(&list)
        .filter(|server| !server.as_os_str().is_empty())
        .map(|server| resolve(&server))
        .collect()
}

/// At least one.
fn found_or_installed() -> Result<Vec<PathBuf>, String> {
    let mut found = on_path();
    if found.is_empty() {
        install()?;
        found = on_path();
    }
    if found.is_empty() {
        Err("the package brought no redis-server or valkey-server onto PATH".into())
    } else {
        Ok(found)
    }
}

/// The one that a test should use: `REDWIRE_SERVER`, else the first on PATH.
#[cfg(test)]
pub(crate) fn chosen() -> Option<PathBuf> {
    env::var_os("REDWIRE_SERVER").map(PathBuf::from).or_else(|| on_path().into_iter().next())
}

/// What `--version` says: `v=8.0.2`.
pub(crate) fn version(binary: &Path) -> Option<String> {
    let output = Command::new(binary).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let word = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    let kind = if text.starts_with("Valkey") { "Valkey" } else { "Redis" };
    Some(format!("{kind} {word}"))
}

fn resolve(server: &Path) -> Result<PathBuf, String> {
    let missing = || format!("REDWIRE_SERVERS names {}, which is no program", server.display());
    let found = if server.components().count() > 1 {
        // Tests run in other folders than this one. Links are kept: a server is one program with its check
        // tools, told apart by the name it is called by.
        std::path::absolute(server).ok()
    } else {
        find(server)
    };
    found.filter(|path| is_program(path)).ok_or_else(missing)
}

fn on_path() -> Vec<PathBuf> {
    NAMES.iter().filter_map(|name| find(Path::new(name))).collect()
}

/// A program on PATH.
fn find(name: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
    }
    #[cfg(not(unix))]
    metadata.is_file()
}

/// A package manager: its program, what refreshes its lists (or nothing), what installs, and the packages to
/// try.
struct Manager {
    program: &'static str,
    refresh: &'static [&'static str],
    install: &'static [&'static str],
    packages: &'static [&'static str],
    /// Whether it wants to be run by root.
    root: bool,
}

const MANAGERS: [Manager; 6] = [
    Manager {
        program: "apt-get",
        refresh: &["update"],
        install: &["install", "--yes", "--no-install-recommends"],
        packages: &["redis-server", "valkey-server", "valkey"],
        root: true,
    },
    Manager {
        program: "dnf",
        refresh: &[],
        install: &["install", "--assumeyes"],
        packages: &["valkey", "redis"],
        root: true,
    },
    Manager {
        program: "apk",
        refresh: &[],
        install: &["add", "--no-cache"],
        packages: &["valkey", "redis"],
        root: true,
    },
    Manager {
        program: "pacman",
        refresh: &[],
        install: &["-Sy", "--noconfirm"],
        packages: &["valkey", "redis"],
        root: true,
    },
    Manager {
        program: "zypper",
        refresh: &[],
        install: &["--non-interactive", "install"],
        packages: &["valkey", "redis"],
        root: true,
    },
    Manager {
        program: "brew",
        refresh: &[],
        install: &["install"],
        packages: &["valkey", "redis"],
        root: false,
    },
];

const ADVICE: &str = "no redis-server or valkey-server on PATH: install Redis (6.2 or newer) or Valkey, or \
                      name one in REDWIRE_SERVERS";

/// Installs a server with the first package manager there is.
fn install() -> Result<(), String> {
    let (manager, sudo) = choose_manager(|name| find(Path::new(name)).is_some(), is_root)?;
    println!(
        "No redis-server or valkey-server on PATH: installing {} with {}{}.",
        manager.packages.join(" or else "),
        if sudo { "sudo " } else { "" },
        manager.program
    );
    if !manager.refresh.is_empty() {
        // Old lists may do as well.
        if let Err(error) = run(&mut command(manager, sudo, manager.refresh)) {
            println!("{error}; going on with the lists there are");
        }
    }
    for package in manager.packages {
        let args: Vec<&str> = manager.install.iter().chain([package]).copied().collect();
        match run(&mut command(manager, sudo, &args)) {
            Ok(()) => return Ok(()),
            Err(error) => println!("{error}"),
        }
    }
    Err(format!("{} could not install a server. {ADVICE}", manager.program))
}

/// The first package manager there is, and whether it takes sudo.
fn choose_manager(
    is_there: impl Fn(&str) -> bool,
    is_root: impl Fn() -> bool,
) -> Result<(&'static Manager, bool), String> {
    let manager = MANAGERS.iter().find(|manager| is_there(manager.program)).ok_or(ADVICE)?;
    let sudo = manager.root && !is_root();
    if sudo && !is_there("sudo") {
        return Err(format!("{ADVICE} (as root: {} {})", manager.program, manager.install.join(" ")));
    }
    Ok((manager, sudo))
}

fn command(manager: &Manager, sudo: bool, args: &[&str]) -> Command {
    let mut command = if sudo {
        let mut command = Command::new("sudo");
        // sudo drops our environment, so that it gets this as an argument.
        command.args(["DEBIAN_FRONTEND=noninteractive", manager.program]);
        command
    } else {
        let mut command = Command::new(manager.program);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    command.args(args);
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_no_server_can_be_installed() {
        let choose = |programs: &[&str], root: bool| {
            choose_manager(|name| programs.contains(&name), || root)
                .map(|(manager, sudo)| (manager.program, sudo))
        };
        assert_eq!(choose(&["apt-get", "apk"], true), Ok(("apt-get", false)));
        assert_eq!(choose(&["apk", "sudo"], false), Ok(("apk", true)));
        assert_eq!(choose(&["brew"], false), Ok(("brew", false)));
        assert_eq!(choose(&["sudo"], true), Err(ADVICE.to_owned()));
        assert_eq!(choose(&["dnf"], false), Err(format!("{ADVICE} (as root: dnf install --assumeyes)")));
    }

    #[test]
    #[cfg(unix)]
    fn a_link_keeps_the_name_it_is_called_by() {
        let folder = env::temp_dir().join(format!("redwire-xtask-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let link = folder.join("redis-server-by-another-name");
        std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
        assert_eq!(resolve(&link), Ok(link.clone()));
        assert!(resolve(&folder.join("nothing")).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
