//! How documents are laid out.

use redwire_core::{Arg, Args};

/// How [`json_get_with`](super::JsonCommands::json_get_with) lays a document out; by default in as few bytes
/// as can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonFormat {
    indent: Option<String>,
    newline: Option<String>,
    space: Option<String>,
}

impl JsonFormat {
    /// In as few bytes as can be.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This at the beginning of a line, once for each level.
    #[must_use]
    pub fn indent(mut self, indent: impl Into<String>) -> Self {
        self.indent = Some(indent.into());
        self
    }

    /// This at the end of a line.
    #[must_use]
    pub fn newline(mut self, newline: impl Into<String>) -> Self {
        self.newline = Some(newline.into());
        self
    }

    /// This between a name and its value.
    #[must_use]
    pub fn space(mut self, space: impl Into<String>) -> Self {
        self.space = Some(space.into());
        self
    }
}

impl Arg for JsonFormat {
    fn write(&self, args: &mut Args) {
        self.indent.write_named("INDENT", args);
        self.newline.write_named("NEWLINE", args);
        self.space.write_named("SPACE", args);
    }
}
