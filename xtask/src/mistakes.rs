//! Mistakes that are planted in a copy of the tree, each alone, to see whether a chore finds them.
//!
//! Must not know: what a mistake is about, or what looks for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::repository::{root, said, target};

/// A copy that has not ended by then hangs, which is found as well.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Where the mistakes are, a patch each, and what looks for one in a copy.
pub(crate) struct Hunt {
    pub(crate) folder: &'static str,
    /// Builds the copy; how the mistake of this patch was found, if it was.
    pub(crate) search: fn(&Path, &str) -> Result<Option<String>, String>,
}

/// Plants each mistake in a copy of the code, alone, and looks for it.
pub(crate) fn find(hunt: &Hunt, names: &[String]) -> Result<(), String> {
    let mut patches = patches(hunt)?;
    if let Some(name) = names.iter().find(|name| patches.iter().all(|(known, _)| known != *name)) {
        return Err(format!("there is no mistake {name:?} in {}", hunt.folder));
    }
    patches.retain(|(name, _)| names.is_empty() || names.contains(name));
    let place = target().join("mistakes");
    let mut missed = 0;
    for (name, patch) in &patches {
        copy_tree(&place)?;
        let text = fs::read_to_string(patch).map_err(|error| error.to_string())?;
        let title = text.lines().next().unwrap_or_default();
        apply(&place, patch)?;
        let found = (hunt.search)(&place, &text)?;
        missed += u32::from(found.is_none());
        let found = found.unwrap_or_else(|| "not found".to_owned());
        println!("| {name} | {title} | {found} |");
    }
    println!("{} mistakes, {missed} not found", patches.len());
    if missed == 0 { Ok(()) } else { Err(format!("{missed} mistakes were not found")) }
}

/// All of them, by name.
fn patches(hunt: &Hunt) -> Result<Vec<(String, PathBuf)>, String> {
    let folder = root().join(hunt.folder);
    let mut patches = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|ending| ending == "patch") {
            patches.push((name, path));
        }
    }
    patches.sort();
    Ok(patches)
}

/// Has `place` hold what the repository holds. What is the same already is left alone, so that little has to
/// be compiled.
fn copy_tree(place: &Path) -> Result<(), String> {
    let mut git = Command::new("git");
    let list = said(git.args(["ls-files", "-z", "-co", "--exclude-standard"]).current_dir(root()))?;
    for name in String::from_utf8_lossy(&list).split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root().join(name), place.join(name));
        let Ok(wanted) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|there| there == wanted) {
            continue;
        }
        let made = fs::create_dir_all(to.parent().unwrap_or(place)).and_then(|()| fs::write(&to, wanted));
        made.map_err(|error| format!("{}: {error}", to.display()))?;
    }
    Ok(())
}

fn apply(place: &Path, patch: &Path) -> Result<(), String> {
    // Not as a part of the repository that it may lie in.
    let ceiling = place.parent().unwrap_or(place);
    let mut git = Command::new("git");
    said(git.arg("apply").arg(patch).current_dir(place).env("GIT_CEILING_DIRECTORIES", ceiling)).map(drop)
}

/// Runs what looks for a mistake until it ends or says `sign`; the line that has it, or how else it failed.
pub(crate) fn watch(command: &mut Command, place: &Path, sign: &str) -> Result<Option<String>, String> {
    let said = place.join("target/said");
    let output = fs::File::create(&said).map_err(|error| error.to_string())?;
    let errors = output.try_clone().map_err(|error| error.to_string())?;
    let mut child = command.stdout(output).stderr(errors).spawn().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break Some(status);
        }
        let is_found = fs::read(&said).is_ok_and(|said| String::from_utf8_lossy(&said).contains(sign));
        if is_found || begun.elapsed() > PATIENCE {
            child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
            break None;
        }
        sleep(Duration::from_millis(50));
    };
    let said = fs::read(&said).map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&said);
    let first = said.lines().find(|line| line.contains(sign)).map(str::to_owned);
    Ok(first.or_else(|| match status {
        None => Some("hangs".to_owned()),
        Some(status) => (!status.success()).then(|| format!("ends with {status}")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{interleave, simulate};

    /// A patch that a change of the code has left behind is told at once, not when mistakes are planted next.
    #[test]
    fn every_patch_applies() {
        for hunt in [simulate::HUNT, interleave::HUNT] {
            let patches = patches(&hunt).unwrap();
            assert!(!patches.is_empty(), "{}", hunt.folder);
            for (_, patch) in patches {
                let mut git = Command::new("git");
                let Ok(checked) = git.args(["apply", "--check"]).arg(&patch).current_dir(root()).output()
                else {
                    // Without git no mistakes are planted.
                    return;
                };
                let why = String::from_utf8_lossy(&checked.stderr);
                assert!(checked.status.success(), "{}: {why}", patch.display());
            }
        }
    }
}
