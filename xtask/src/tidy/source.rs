//! A Rust file as the rules see it: line by line, code and string contents apart, comments gone, tests
//! marked.
//!
//! Promises: good enough for files that compile. Must not know: any rule.

/// A file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: String,
    pub(super) first_line: String,
    pub(super) lines: Vec<Line>,
    /// Whether the whole file belongs to tests, benches or examples.
    pub(super) is_test: bool,
}

/// A line of it.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) number: usize,
    /// The code, with `""` in place of every string.
    pub(super) code: String,
    /// What the strings on it say.
    pub(super) strings: Vec<String>,
    /// Whether it stands in a `#[cfg(test)]` item.
    pub(super) in_test: bool,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let parts: Vec<&str> = path.split('/').collect();
        let is_test =
            parts.iter().any(|part| matches!(*part, "tests" | "tests.rs" | "benches" | "examples" | "fuzz"));
        let mut lines = split(text);
        mark_tests(&mut lines);
        Self {
            path: path.to_owned(),
            first_line: text.lines().next().unwrap_or("").to_owned(),
            lines,
            is_test,
        }
    }

    /// The lines that are not tests.
    pub(super) fn product(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| !self.is_test && !line.in_test)
    }

    /// The beginnings of the paths of modules that this file declares under `#[cfg(test)]`.
    pub(super) fn test_modules(&self) -> Vec<String> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let folder = match file {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            _ => self.path.trim_end_matches(".rs").to_owned(),
        };
        let names = self.lines.iter().filter(|line| line.in_test).filter_map(|line| {
            let name = line.code.trim().strip_suffix(';')?.rsplit_once("mod ")?.1;
            Some(name.trim().to_owned())
        });
        names.flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/")]).collect()
    }
}

/// Marks the item behind each `#[cfg(test)]`: up to its closing brace, or its semicolon if that comes first.
fn mark_tests(lines: &mut [Line]) {
    let mut depth = None;
    for line in lines {
        if depth.is_none() && line.code.trim_start().starts_with("#[cfg(test)]") {
            depth = Some(0);
        }
        let Some(open) = depth.as_mut() else { continue };
        line.in_test = true;
        for c in line.code.chars() {
            match c {
                '{' => *open += 1,
                '}' => *open -= 1,
                _ => {}
            }
            if *open == 0 && matches!(c, '}' | ';') {
                depth = None;
                break;
            }
        }
    }
}

/// A piece of Rust.
enum Piece {
    Code,
    Text,
    Comment,
}

/// Takes strings and comments out of a text.
fn split(text: &str) -> Vec<Line> {
    let mut lines = vec![Line { number: 1, ..Line::default() }];
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let (piece, len) = piece(rest, before);
        let (taken, left) = rest.split_at(len.min(rest.len()));
        let last = lines.len() - 1;
        match piece {
            Piece::Text => {
                lines[last].code.push_str("\"\"");
                lines[last].strings.push(taken.trim_start_matches('r').trim_matches(['"', '#']).to_owned());
            }
            Piece::Code if first != '\n' => lines[last].code.push_str(taken),
            Piece::Code | Piece::Comment => {}
        }
        for _ in taken.matches('\n') {
            lines.push(Line { number: lines.len() + 1, ..Line::default() });
        }
        before = taken.chars().next_back().unwrap_or(' ');
        rest = left;
    }
    lines
}

/// What a text begins with, and how many bytes of it; `before` is the character in front.
fn piece(rest: &str, before: char) -> (Piece, usize) {
    let until =
        |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    let in_word = before.is_alphanumeric() && before != 'b' || before == '_';
    if rest.starts_with("//") {
        return (Piece::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Piece::Comment, until(2, "*/"));
    }
    if rest.starts_with('"') {
        return (Piece::Text, text_len(rest));
    }
    if !in_word && rest.starts_with('r') {
        let hashes = rest[1..].len() - rest[1..].trim_start_matches('#').len();
        if rest[1 + hashes..].starts_with('"') {
            return (Piece::Text, until(2 + hashes, &format!("\"{}", "#".repeat(hashes))));
        }
    }
    if rest.starts_with("'\\") {
        return (Piece::Code, until(3, "'"));
    }
    let mut chars = rest.chars();
    let first = chars.next().map_or(0, char::len_utf8);
    match (rest.starts_with('\''), chars.next(), chars.next()) {
        (true, Some(quoted), Some('\'')) => (Piece::Code, 2 + quoted.len_utf8()),
        _ => (Piece::Code, first),
    }
}

/// The length of a string that begins with a quotation mark.
fn text_len(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}
