//! The prompt: reading a line with history, completion and hints.
//!
//! Promises that a line which may hold a password is not kept. Must not know what becomes of lines.

use std::borrow::Cow;
use std::env;
use std::fs;
use std::path::PathBuf;

use clap::ColorChoice;
use redwire::facts::SessionEffect;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, Helper};

use super::connection::facts_of;
use super::hints::{self, Hints};
use crate::output::{DIM, Failure, Output};

/// What was typed.
#[derive(Debug)]
pub(crate) enum Line {
    Text(String),
    /// It was broken off.
    DropIt,
    /// Nothing more is going to be typed.
    End,
}

/// A line editor, and where its history is kept.
pub(crate) struct Prompt {
    editor: Editor<PromptHelper, FileHistory>,
    history: Option<PathBuf>,
}

/// How many lines are kept.
const MOST_LINES: usize = 1000;

impl Prompt {
    pub(crate) fn new(color: ColorChoice, output: &Output) -> Result<Self, Failure> {
        let failed = |error: ReadlineError| Failure::new("the prompt", error);
        let color = match color {
            ColorChoice::Never => ColorMode::Disabled,
            ColorChoice::Auto | ColorChoice::Always => ColorMode::Enabled,
        };
        let config = Config::builder()
            .max_history_size(MOST_LINES)
            .map_err(failed)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .color_mode(color)
            .build();
        let mut editor = Editor::with_config(config).map_err(failed)?;
        editor.set_helper(Some(PromptHelper { hints: Hints::new() }));
        let history = history_file().and_then(|file| match file.parent().map(fs::create_dir_all) {
            Some(Err(error)) => {
                output.note(format_args!("no history is kept: {}: {error}", file.display()));
                None
            }
            _ => Some(file),
        });
        if let Some(file) = &history {
            // There is none at first.
            let _ = editor.load_history(file);
        }
        Ok(Self { editor, history })
    }

    /// Waits for a line, on a thread of its own.
    pub(crate) async fn read(mut self, prompt: String) -> Result<(Line, Self), Failure> {
        let read = tokio::task::spawn_blocking(move || (self.editor.readline(&prompt), self));
        let (read, prompt) = read.await.map_err(|error| Failure::new("the prompt", error))?;
        match read {
            Ok(line) => Ok((Line::Text(line), prompt)),
            Err(ReadlineError::Interrupted) => Ok((Line::DropIt, prompt)),
            Err(ReadlineError::Eof) => Ok((Line::End, prompt)),
            Err(error) => Err(Failure::new("reading from the terminal", error)),
        }
    }

    /// Keeps a line for the arrow keys and for the next time, unless it may hold a secret.
    pub(crate) fn keep(&mut self, line: &str, words: &[Vec<u8>]) {
        if holds_secret(words) {
            return;
        }
        // A history that cannot be written is no reason to hold up the user.
        let is_new = self.editor.add_history_entry(line).unwrap_or(false);
        if let (true, Some(file)) = (is_new, &self.history) {
            let _ = self.editor.append_history(file);
        }
    }
}

/// Whether a command may hold a password.
fn holds_secret(words: &[Vec<u8>]) -> bool {
    let Some(facts) = facts_of(words) else { return false };
    match facts.name {
        // SETUSER, and what says whom a server or a replica logs in as.
        "ACL SETUSER" | "MIGRATE" | "SENTINEL SET" | "SENTINEL CONFIG SET" | "SENTINEL CONFIG" => true,
        "CONFIG SET" => words.iter().skip(2).step_by(2).any(|name| {
            let name = name.to_ascii_lowercase();
            [b"pass".as_slice(), b"auth", b"user"].iter().any(|part| name.windows(4).any(|at| at == *part))
        }),
        _ => matches!(facts.session, SessionEffect::Authenticates | SessionEffect::Greets),
    }
}

/// Where programs are to keep what they remember of a user.
fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("redwire/history"))
}

/// Completes and hints.
struct PromptHelper {
    hints: Hints,
}

impl Completer for PromptHelper {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((0, hints::names(&line[..pos])))
    }
}

/// What is shown behind the cursor. It only tells, and cannot be taken over.
struct ShownHint(String);

impl Hint for ShownHint {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for PromptHelper {
    type Hint = ShownHint;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<ShownHint> {
        if pos < line.len() { None } else { self.hints.after(line).map(ShownHint) }
    }
}

impl Highlighter for PromptHelper {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("{DIM}{hint}{DIM:#}"))
    }
}

impl Validator for PromptHelper {}
impl Helper for PromptHelper {}

#[cfg(test)]
mod tests {
    use super::super::words::split;
    use super::*;

    #[test]
    fn lines_with_passwords_are_not_kept() {
        let table = [
            ("AUTH s3cret", true),
            ("hello 3 AUTH me s3cret", true),
            ("acl setuser me >s3cret", true),
            ("CONFIG SET requirepass s3cret", true),
            ("config set save '' MasterAuth s3cret", true),
            ("CONFIG SET tls-key-file-pass s3cret", true),
            ("MIGRATE h 1 k 0 1 AUTH s3cret", true),
            ("CONFIG SET maxmemory 0", false),
            ("CONFIG GET requirepass", false),
            ("SET k v", false),
            ("NOSUCH k", false),
        ];
        for (line, secret) in table {
            assert_eq!(holds_secret(&split(line.as_bytes()).unwrap()), secret, "{line}");
        }
    }
}
