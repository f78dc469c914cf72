//! What was found, layer by layer: in JSON for programs, in lines for people.
//!
//! Promises that the verdict is bad if one layer's is; warnings leave it good. Must not know how anything is
//! found out.

use std::fmt;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value as Json, json};

use crate::output::{BAD, DIM, GOOD, Output, Verdict};

/// How well a layer is, in ascending order of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    Skipped,
    Good,
    Warning,
    Bad,
}

/// What was found of one layer.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    name: &'static str,
    grade: Grade,
    took: Option<Duration>,
    summary: String,
    detail: Map<String, Json>,
    findings: Vec<Finding>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) grade: Grade,
    /// What it is, and what it means.
    pub(crate) meaning: String,
    /// What to try.
    pub(crate) advice: String,
}

impl Finding {
    pub(crate) fn bad(meaning: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { grade: Grade::Bad, meaning: meaning.into(), advice: advice.into() }
    }

    pub(crate) fn warning(meaning: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { grade: Grade::Warning, meaning: meaning.into(), advice: advice.into() }
    }
}

impl Layer {
    /// A layer of which nothing bad is known.
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            grade: Grade::Good,
            took: None,
            summary: String::new(),
            detail: Map::new(),
            findings: Vec::new(),
        }
    }

    /// One that was not looked at, and why.
    pub(crate) fn skipped(name: &'static str, because: impl Into<String>) -> Self {
        let mut layer = Self::new(name);
        layer.grade = Grade::Skipped;
        layer.summary = because.into();
        layer
    }

    /// What people see of it if all is well.
    pub(crate) fn summary(&mut self, summary: impl Into<String>) {
        self.summary = summary.into();
    }

    /// What programs see.
    pub(crate) fn detail(&mut self, name: &str, value: impl Into<Json>) {
        self.detail.insert(name.to_owned(), value.into());
    }

    pub(crate) fn found(&mut self, finding: Finding) {
        self.grade = self.grade.max(finding.grade);
        self.findings.push(finding);
    }

    pub(crate) fn took(&mut self, time: Duration) {
        self.took = Some(time);
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn is_bad(&self) -> bool {
        self.grade == Grade::Bad
    }

    fn to_json(&self) -> Json {
        let mut meaning: Vec<&str> = self.findings.iter().map(|finding| finding.meaning.as_str()).collect();
        if self.grade == Grade::Skipped {
            meaning.push(&self.summary);
        }
        let advice: Vec<&str> = self.findings.iter().map(|finding| finding.advice.as_str()).collect();
        json!({
            "name": self.name,
            "verdict": self.grade.word(),
            "ms": self.took.map(milliseconds),
            "detail": self.detail,
            "meaning": (!meaning.is_empty()).then(|| meaning.join("\n")),
            "advice": (!advice.is_empty()).then(|| advice.join("\n")),
        })
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = self.grade.style();
        let took = self.took.map(|time| format!("{:.1} ms", milliseconds(time))).unwrap_or_default();
        write!(f, "{style}{:<8}{style:#} {:<10} {took:>10}  {}", self.grade.word(), self.name, self.summary)?;
        for finding in &self.findings {
            write!(f, "\n{:31}{}\n{:31}{DIM}Try:{DIM:#} {}", "", finding.meaning, "", finding.advice)?;
        }
        Ok(())
    }
}

impl Grade {
    fn word(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Skipped => DIM,
            Self::Good => GOOD,
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Bad => BAD,
        }
    }
}

/// All layers of one server, told as they come.
#[derive(Debug)]
pub(crate) struct Report<'o> {
    url: String,
    layers: Vec<Layer>,
    output: &'o Output,
}

impl<'o> Report<'o> {
    /// `url` must show no password.
    pub(crate) fn new(url: String, output: &'o Output) -> Self {
        output.line(&url);
        Self { url, layers: Vec::new(), output }
    }

    pub(crate) fn push(&mut self, layer: Layer) {
        self.output.line(&layer);
        self.layers.push(layer);
    }

    /// Adds those of `names` that are not there yet.
    pub(crate) fn skip_rest(&mut self, names: &[&'static str], because: &str) {
        for name in names {
            if !self.layers.iter().any(|layer| layer.name() == *name) {
                self.push(Layer::skipped(name, because));
            }
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        if self.layers.iter().any(Layer::is_bad) { Verdict::Bad } else { Verdict::Good }
    }

    pub(crate) fn to_json(&self) -> Json {
        let verdict = if self.verdict() == Verdict::Bad { "bad" } else { "good" };
        let layers: Vec<Json> = self.layers.iter().map(Layer::to_json).collect();
        json!({ "url": self.url, "verdict": verdict, "layers": layers })
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
