//! A failure on its way out of serde: what went wrong, and where inside the struct.
//!
//! Serde's own complaints get the words of the other replies here. This file must not know what is read.

use std::fmt;

use redwire_resp::Head;
use serde::de::{self, Expected, Unexpected};

use crate::error::{Error, ErrorKind};
use crate::reply::scalars::NO_FIELDS;
use crate::reply::{decode_error, mismatch};

#[derive(Debug)]
pub(super) struct StructFault {
    error: Error,
    /// The way to the value from where the fault has come to, as `users[3].age`.
    path: String,
    /// The option for which an empty list was taken as its value, and could not be read as that.
    absent: Option<&'static str>,
}

impl StructFault {
    /// The option that should have been `None`.
    pub(super) fn absent(&self) -> Option<&'static str> {
        self.absent
    }

    /// The same fault, from the value of `option` that was an empty list.
    #[cold]
    pub(super) fn of_empty_list(mut self, option: &'static str) -> Self {
        if self.error.kind() == ErrorKind::Decode && !self.error.message().ends_with(NO_FIELDS) {
            self.absent.get_or_insert(option);
        }
        self
    }

    /// The same fault, seen from around `step`: a field, or an index in brackets.
    #[cold]
    pub(super) fn inside(mut self, step: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{step}{joint}{}", self.path);
        self
    }

    /// Adds what may be behind it when there were no fields at all.
    #[cold]
    pub(super) fn in_empty_reply(mut self) -> Self {
        if self.error.kind() == ErrorKind::Decode {
            let message = self.error.message();
            self.error = decode_error(&format!("{message}, {NO_FIELDS}"));
        }
        self
    }

    /// For the caller. What the server or the protocol is to blame for stays as it is.
    pub(super) fn into_error(self) -> Error {
        if self.path.is_empty() || self.error.kind() != ErrorKind::Decode {
            return self.error;
        }
        decode_error(&format!("at `{}`: {}", self.path, self.error.message()))
    }
}

impl From<Error> for StructFault {
    fn from(error: Error) -> Self {
        Self { error, path: String::new(), absent: None }
    }
}

impl de::Error for StructFault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        decode_error(&message.to_string()).into()
    }

    fn invalid_type(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_value(got, expected)
    }

    fn invalid_value(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match got {
            // Shown in part, where serde would show all of it.
            Unexpected::Str(text) => mismatch(&expected.to_string(), &Head::Bulk(text.as_bytes())).into(),
            _ => Self::custom(format_args!("expected {expected}, got {got}")),
        }
    }

    fn invalid_length(got: usize, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {expected}, got {got} items"))
    }

    fn unknown_variant(got: &str, expected: &'static [&'static str]) -> Self {
        mismatch(&format!("one of {}", expected.join(", ")), &Head::Bulk(got.as_bytes())).into()
    }
}

impl fmt::Display for StructFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for StructFault {}
