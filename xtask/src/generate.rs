//! `cargo xtask gen`: the table of command facts, from servers to `spec/commands.json` to `facts/table.rs`;
//! and the page that says which method each command has.
//!
//! Promises: the committed table and page are what the committed spec gives (`--check`, also a test).

mod collect;
mod hand;
mod methods;
pub(crate) mod resp;
pub(crate) mod server;
mod spec;
mod table;

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::repository;
use spec::Spec;

/// Where the table is.
pub(crate) const TABLE: &str = "crates/redwire-core/src/facts/table.rs";

/// Runs the chore: `gen`, `gen --check`, `gen --collect SERVER…`.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let root = repository::root();
    match args.split_first() {
        None => write(&root),
        Some((flag, [])) if flag == "--check" => check(&root),
        Some((flag, binaries)) if flag == "--collect" && !binaries.is_empty() => {
            let binaries: Vec<PathBuf> = binaries.iter().map(PathBuf::from).collect();
            let spec = collect::collect(&binaries).map_err(|error| error.to_string())?;
            fs::write(spec::path(&root), spec.text()).map_err(|error| failed(&spec::path(&root), &error))?;
            write(&root)
        }
        Some(_) => Err("usage: cargo xtask gen [--check | --collect SERVER-BINARY…]".into()),
    }
}

fn write(root: &Path) -> Result<(), String> {
    let path = root.join(TABLE);
    fs::write(&path, source(root)?).map_err(|error| failed(&path, &error))?;
    println!("wrote {TABLE}");
    let page = root.join(methods::PAGE);
    fs::write(&page, methods::page(root)?).map_err(|error| failed(&page, &error))?;
    println!("wrote {}", methods::PAGE);
    Ok(())
}

/// Fails unless the committed table and page are what the committed spec gives.
fn check(root: &Path) -> Result<(), String> {
    for (name, wanted) in [(TABLE, source(root)?), (methods::PAGE, methods::page(root)?)] {
        let path = root.join(name);
        let committed = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        if committed != wanted {
            return Err(format!("{name} is not current: run `cargo xtask gen`"));
        }
        println!("{name} is current");
    }
    Ok(())
}

fn source(root: &Path) -> Result<String, String> {
    let spec = Spec::read_whole(root).map_err(|error| error.to_string())?;
    table::source(&spec)
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests;
