//! No line of code, comment or prose is wider than what fits beside another on a screen.
//!
//! Must not know: what a line says.

use super::finding::Finding;
use crate::generate::TABLE;

/// As many columns as rustfmt allows.
pub(super) const WIDTH: usize = 110;

/// Lines of code, comments and prose that are too wide and could be wrapped.
///
/// Some cannot: rows of tables, addresses of links, headings, code in a page, and a line whose first blank
/// comes too late, as that of a long address.
pub(super) fn too_wide(path: &str, text: &str) -> Vec<Finding> {
    let is_page = path.ends_with(".md");
    // The table is written by a program.
    if path == TABLE || !(is_page || path.ends_with(".rs")) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        let begin = line.trim_start();
        if is_page && begin.starts_with("```") {
            in_code = !in_code;
        }
        let is_free = is_page && (in_code || begin.starts_with('#'));
        let columns = line.chars().count();
        if columns > WIDTH && !is_free && may_wrap(begin, columns) {
            let why = format!("{columns} columns, where {WIDTH} fit: wrap it");
            findings.push(Finding { path: path.to_owned(), line: at + 1, why });
        }
    }
    findings
}

/// Whether the line is no row of a table and no address of a link, and has a blank at which it could end.
/// `begin` is the line without its indentation.
fn may_wrap(begin: &str, columns: usize) -> bool {
    let text = begin.trim_start_matches(['/', '!', '-', '*', '>', ' ']);
    let fits = (WIDTH + text.chars().count()).saturating_sub(columns);
    let is_link = text.starts_with('[') && text.contains("]: ");
    !is_link && !text.starts_with('|') && text.chars().take(fits + 1).any(char::is_whitespace)
}
