//! The error of a configuration. Promises to say which option, what was expected and what came, and never a
//! password. Must not know how options are read.

use std::{borrow::Cow, error::Error, fmt};

use crate::secret::MASK;

/// An option, or a part of a URL, that cannot be used.
///
/// ```
/// # use redwire_core::config::Config;
/// let error = Config::from_url("redis://localhost:99999").unwrap_err();
/// assert_eq!(error.to_string(), "URL port: expected a number from 1 to 65535, got `99999`");
/// assert_eq!(error.option(), "URL port");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    option: &'static str,
    expected: Cow<'static, str>,
    got: String,
}

impl ConfigError {
    pub(crate) fn new(
        option: &'static str,
        expected: impl Into<Cow<'static, str>>,
        got: impl fmt::Display,
    ) -> Self {
        Self { option, expected: expected.into(), got: presentable(got.to_string()) }
    }

    /// The same error with what came hidden: it may hold a piece of a password.
    pub(crate) fn masked(self) -> Self {
        Self { got: MASK.to_owned(), ..self }
    }

    /// The option's name as in [`ConfigBuilder`](super::ConfigBuilder), or the part of the URL, as in `URL
    /// port`.
    #[must_use]
    pub fn option(&self) -> &str {
        self.option
    }

    /// What would have been right.
    #[must_use]
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What came instead; `***` where it may hold a password, cut if very long.
    #[must_use]
    pub fn got(&self) -> &str {
        &self.got
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got `{}`", self.option, self.expected, self.got)
    }
}

impl Error for ConfigError {}

/// A message stays readable however long the input was, and shows no `password=` that ended up in another
/// value.
fn presentable(text: String) -> String {
    let lower = text.to_ascii_lowercase();
    if lower.contains("password=") || lower.contains("password%3d") {
        return MASK.to_owned();
    }
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

const MAX_SHOWN: usize = 80;
