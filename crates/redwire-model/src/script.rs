//! Scripts, which the model does not read: it knows some by their SHA-1, and runs what stands for them.
//!
//! This file must not know what a script does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::context::Context;
use crate::model::Model;
use crate::reply::{Outcome, Refusal, Reply};

/// What stands for a script.
pub(crate) type Function = Arc<dyn Fn(&mut ScriptCall<'_, '_>) -> Outcome + Send + Sync>;

/// The scripts that were loaded, and those that can be run.
#[derive(Clone, Default)]
pub(crate) struct Scripts {
    /// By SHA-1: what clients have loaded.
    pub(crate) loaded: BTreeMap<String, Vec<u8>>,
    /// By SHA-1: what stands for them.
    pub(crate) registered: BTreeMap<String, Function>,
}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripts")
            .field("loaded", &self.loaded)
            .field("registered", &self.registered.keys())
            .finish()
    }
}

/// One run of a script: its keys and arguments, and the commands it may run.
#[derive(Debug)]
pub struct ScriptCall<'c, 'm> {
    pub(crate) context: &'c mut Context<'m>,
    /// `KEYS`.
    pub keys: Vec<Vec<u8>>,
    /// `ARGV`.
    pub args: Vec<Vec<u8>>,
}

impl ScriptCall<'_, '_> {
    /// Runs a command, as `redis.call` does.
    ///
    /// # Errors
    /// What the command was refused for; a script passes it on by `?`.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Reply, Refusal> {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_ref().to_vec()).collect();
        if words.is_empty() {
            return Err(Refusal::new("ERR Please specify at least one argument for this redis.call() call"));
        }
        match self.context.model.run_within(self.context.id, &words) {
            Reply::Error(line) => Err(Refusal(line)),
            reply => Ok(reply),
        }
    }

    /// Runs a command that replies bytes or nothing. Any other reply counts as nothing.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn bytes<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Option<Vec<u8>>, Refusal> {
        Ok(match self.call(words)? {
            Reply::Bulk(bytes) => Some(bytes),
            _ => None,
        })
    }

    /// Runs a command that replies an integer. Any other reply counts as 0.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn int<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<i64, Refusal> {
        Ok(match self.call(words)? {
            Reply::Int(value) => value,
            _ => 0,
        })
    }

    /// The server's clock, in microseconds since 1970.
    #[must_use]
    pub fn unix_micros(&self) -> u64 {
        let model = &self.context.model;
        u64::try_from((model.options.unix_time + model.now).as_micros()).unwrap_or(u64::MAX)
    }
}

impl Model {
    /// Says what is run in place of a script, which the model cannot read. It is known by its SHA-1, so
    /// `source` must be the very text that clients send.
    ///
    /// ```
    /// use std::time::Duration;
    /// use redwire_model::{Model, Options};
    ///
    /// let mut model = Model::new(Options::new());
    /// let source = "return redis.call('INCRBY', KEYS[1], ARGV[1])";
    /// model.register_script(source, |call| {
    ///     let (key, by) = (call.keys[0].clone(), call.args[0].clone());
    ///     call.call(&[b"INCRBY".to_vec(), key, by])
    /// });
    /// let client = model.connect("127.0.0.1:50000", Duration::ZERO);
    /// model.receive(client, format!("EVAL \"{source}\" 1 k 5\r\n").as_bytes(), Duration::ZERO);
    /// assert_eq!(model.transmit(client), b":5\r\n");
    /// ```
    pub fn register_script<F>(&mut self, source: impl AsRef<[u8]>, function: F)
    where
        F: Fn(&mut ScriptCall<'_, '_>) -> Result<Reply, Refusal> + Send + Sync + 'static,
    {
        self.scripts.registered.insert(sha1(source.as_ref()), Arc::new(function));
    }
}

/// The name of a script.
pub(crate) fn sha1(source: &[u8]) -> String {
    sha1_smol::Sha1::from(source).digest().to_string()
}
