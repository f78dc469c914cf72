//! What was executed, for a test that judges afterwards.
//!
//! This file must not know how it was executed.

use std::time::Duration;

use crate::model::{ClientId, Model};

/// A command that was executed. Those in a transaction or a script stand for themselves, before the `EXEC` or
/// `EVAL` that ran them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Executed {
    /// When, since the model began.
    pub at: Duration,
    /// Whose command it was.
    pub client: ClientId,
    /// In which database.
    pub database: usize,
    /// Its words.
    pub words: Vec<Vec<u8>>,
    /// Whether it changed data.
    pub changed: bool,
    /// The line of the error that it was answered with.
    pub error: Option<String>,
}

impl Model {
    /// What was executed since this was last called, in order. Only if [`Options::log`](crate::Options::log)
    /// asked for it.
    pub fn take_log(&mut self) -> Vec<Executed> {
        std::mem::take(&mut self.log)
    }
}
