//! A text that is never printed. Promises that `Debug` and `Display` show `***`, whatever is inside, so a
//! password cannot reach a log by way of a struct that contains it. Must not know what the text is used for.
//!
//! Servers and proxies quote what they refuse. Beside this: which words of a command are secrets (`words`),
//! and how they are taken out of what a peer says (`mask`).

mod mask;
mod words;

use std::fmt;

pub(crate) use mask::{mask, unquoted};
pub use words::{among, among_packed, remember};

/// A password or another text that must not be shown. `Debug` and `Display` print `***`;
/// [`reveal`](Self::reveal) is the only way to the text.
///
/// ```
/// # use redwire_core::secret::Secret;
/// let secret = Secret::new("hunter2");
/// assert_eq!(format!("{secret} {secret:?}"), "*** ***");
/// assert_eq!(secret.reveal(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` into keeping.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the wire, never for a message.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// What stands where a secret would.
pub(crate) const MASK: &str = "***";
