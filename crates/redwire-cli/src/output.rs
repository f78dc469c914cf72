//! Everything that is written. Nothing else in this program prints.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use serde_json::{Value as Json, json};

use crate::args::Global;

/// How a run that could be carried out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Bad,
}

/// Why a run could not be carried out.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    kind: Option<String>,
}

impl Failure {
    pub(crate) fn new(doing: &str, why: impl fmt::Display) -> Self {
        Self { what: format!("{doing}: {why}"), kind: None }
    }
}

impl From<redwire::Error> for Failure {
    fn from(error: redwire::Error) -> Self {
        Self { what: error.to_string(), kind: Some(format!("{:?}", error.kind())) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Where and how to write.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
}

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const DIM: Style = Style::new().dimmed();

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let choice = match global.color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::AlwaysAnsi,
            ColorChoice::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        Self { json: global.json }
    }

    /// Before it is known what is wanted.
    pub(crate) fn plain() -> Self {
        Self { json: false }
    }

    /// Whether JSON is wanted.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person is looking at standard output.
    pub(crate) fn is_terminal(&self) -> bool {
        !self.json && io::stdout().is_terminal()
    }

    /// A line for people; nothing with `--json`.
    pub(crate) fn line(&self, line: impl fmt::Display) {
        if !self.json {
            check(&writeln!(anstream::stdout(), "{line}"));
        }
    }

    /// The result for programs; nothing without `--json`.
    pub(crate) fn json(&self, value: &Json) {
        if self.json {
            check(&writeln!(io::stdout(), "{value}"));
        }
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<Verdict, Failure> {
        let mut out = io::stdout().lock();
        let written = out.write_all(bytes).and_then(|()| out.flush());
        check(&written);
        written.map(|()| Verdict::Good).map_err(|error| Failure::new("writing", error))
    }

    /// Something worth knowing beside the result, on standard error.
    pub(crate) fn note(&self, note: impl fmt::Display) {
        let _ = writeln!(anstream::stderr(), "{note}");
    }

    /// The end of a run that could not be carried out.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        self.json(&json!({ "error": { "message": failure.what, "kind": failure.kind } }));
        self.note(format_args!("{BAD}error{BAD:#}: {failure}"));
        ExitCode::from(2)
    }
}

/// Ends the program, as good, once nothing reads what it writes, as behind `| head`. What it has left at a
/// server is removed before anything is written.
fn check(written: &io::Result<()>) {
    if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        std::process::exit(0);
    }
}
