//! What a rule has found.
//!
//! Must not know: any rule.

use std::fmt;

use super::source::Source;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) why: String,
}

impl Finding {
    pub(super) fn new(source: &Source, line: usize, why: &str) -> Self {
        Self { path: source.path.clone(), line, why: why.to_owned() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.why)
    }
}
