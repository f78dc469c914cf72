//! `cargo xtask tidy`: the laws of this repository that a machine can check.
//!
//! Promises: prints each breach as `file:line: why`; every rule has a test that shows it finding one. Sizes
//! and taste stay with the reader. Must not know: how anything builds.

mod finding;
mod homonyms;
mod imports;
mod rules;
mod source;
mod surface;
#[cfg(test)]
mod tests;
mod width;

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use crate::repository;
use finding::Finding;
use source::Source;

/// Checks the whole repository.
pub(crate) fn run() -> Result<(), String> {
    let files =
        read(&repository::root()).map_err(|error| format!("the repository can't be read: {error}"))?;
    let findings = check(&files);
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} files, nothing to say", files.len());
        return Ok(());
    }
    Err(format!("tidy: {} findings", findings.len()))
}

/// All rules over the files of a repository, given by path from its root.
fn check(files: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut sources: Vec<Source> = files
        .iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .map(|(path, text)| Source::new(path, text))
        .collect();
    let declared: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    let mut findings = Vec::new();
    for source in &mut sources {
        source.is_test |= declared.iter().any(|prefix| source.path.starts_with(prefix.as_str()));
        findings.extend(rules::header(source));
        findings.extend(rules::stubs(source));
        findings.extend(rules::names(source));
        findings.extend(rules::banned_calls(source));
        findings.extend(rules::server_words(source));
        findings.extend(surface::neither_driver(source));
        findings.extend(surface::may_grow(source));
        findings.extend(imports::in_source(source));
    }
    findings.extend(homonyms::second_meanings(&sources));
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        findings.extend(imports::in_manifest(path, text));
    }
    for (path, text) in files {
        findings.extend(width::too_wide(path, text));
    }
    findings.extend(rules::twins(files.keys().map(String::as_str)));
    findings
}

/// The Rust files, manifests and pages below a folder, without what builds leave.
fn read(root: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if entry.file_type()?.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") || name.ends_with(".md") || name == "Cargo.toml" {
                let relative = path.strip_prefix(root).map_err(io::Error::other)?;
                let relative = relative.to_string_lossy().replace('\\', "/");
                files.insert(relative, fs::read_to_string(&path)?);
            }
        }
    }
    Ok(files)
}
