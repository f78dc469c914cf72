//! What was executed, for a test that judges afterwards.
//!
//! This file must not know how it was executed.

use std::time::Duration;

use crate::model::{ClientId, Model};
use crate::value::Value;

/// A command that was executed. Those in a transaction or a script stand for themselves, before the `EXEC` or
/// `EVAL` that ran them.
///
/// What came from another server, by replication or `MIGRATE`, stands between them as `HOLDS key kind value…`
/// of a client that is [`ELSEWHERE`](Self::ELSEWHERE): what the key holds from then on. Of a string and a
/// list the value follows; of a key that is gone there is no kind.
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

impl Executed {
    /// In place of a client: no client of this server asked for it.
    pub const ELSEWHERE: ClientId = ClientId(0);
}

impl Model {
    /// What was executed since this was last called, in order. Only if [`Options::log`](crate::Options::log)
    /// asked for it.
    pub fn take_log(&mut self) -> Vec<Executed> {
        std::mem::take(&mut self.log)
    }

    /// Notes what a key holds, since that came from another server.
    pub(crate) fn log_held(&mut self, database: usize, key: &[u8]) {
        if !self.options.log {
            return;
        }
        let mut words = vec![b"HOLDS".to_vec(), key.to_vec()];
        if let Some(value) = self.databases[database].get(key) {
            words.push(value.kind().into());
            match value {
                Value::String(value) => words.push(value.clone()),
                Value::List(list) => words.extend(list.iter().cloned()),
                _ => {}
            }
        }
        let client = Executed::ELSEWHERE;
        self.log.push(Executed { at: self.now, client, database, words, changed: true, error: None });
    }
}
