//! What users make of the replies to certain commands, before the caller's type is read from them.
//!
//! Promises that the replies to all other commands are not touched, and costs nothing where there is no
//! callback. This file must not know what carries the commands.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::facts;
use crate::replies::Replies;
use crate::reply::{Reader, Value};

/// Callbacks for replies, each with the name of its command.
#[derive(Clone, Default)]
pub struct ResponseCallbacks(BTreeMap<String, Arc<Callback>>);

type Callback = dyn Fn(Value) -> Result<Value> + Send + Sync;

impl ResponseCallbacks {
    pub(crate) fn set(&mut self, command: &str, callback: Arc<Callback>) {
        let mut words = command.split_ascii_whitespace().map(str::as_bytes);
        let known = words.next().and_then(|first| facts::lookup(first, words.next()));
        self.0.insert(known.map_or(command, |facts| facts.name).to_ascii_uppercase(), callback);
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What becomes of `value`, the reply to a command of this name.
    ///
    /// # Errors
    /// [`ErrorKind::Decode`], of the callback: the command itself was executed.
    pub fn convert(&self, command: &str, value: Value) -> Result<Value> {
        let Some(callback) = self.of(command) else { return Ok(value) };
        match callback(value) {
            Ok(Value::Error(error)) | Err(error) => Err(failure(command, error)),
            Ok(value) => Ok(value),
        }
    }

    /// The replies to `commands` as the callbacks make them. Errors of the server stay as they are.
    ///
    /// # Errors
    /// As [`convert`](Self::convert).
    pub fn apply(&self, commands: &[Cow<'static, str>], replies: Replies) -> Result<Replies> {
        if self.is_empty() || !commands.iter().any(|command| self.of(command).is_some()) {
            return Ok(replies);
        }
        replies.map(|index, frame| match commands.get(index) {
            Some(command) if self.of(command).is_some() => {
                let value = self.convert(command, Reader::read(&frame)?)?;
                let frame = Bytes::from(value.to_frame());
                Reader::read::<Value>(&frame).map_err(|error| failure(command, error))?;
                Ok(frame)
            }
            _ => Ok(frame),
        })
    }

    fn of(&self, command: &str) -> Option<&Callback> {
        self.0.get(command).or_else(|| self.0.get(&command.to_ascii_uppercase())).map(|callback| &**callback)
    }
}

#[cold]
fn failure(command: &str, error: Error) -> Error {
    let message = format!("its response callback: {}", error.message());
    Error::new(ErrorKind::Decode, Outcome::Unreadable, message).with_command(command).with_source(error)
}

impl PartialEq for ResponseCallbacks {
    /// Equal where the same callbacks are for the same commands.
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|((a, of_a), (b, of_b))| a == b && Arc::ptr_eq(of_a, of_b))
    }
}

impl Eq for ResponseCallbacks {}

impl fmt::Debug for ResponseCallbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{self, Call, Piped};
    use crate::cmd::Cmd;
    use crate::config::{Config, ConfigBuilder};
    use crate::pipeline::Slot;
    use crate::run::Run;

    fn config(options: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Config {
        options(Config::builder()).build().unwrap()
    }

    fn replies(frames: &[&'static str]) -> Replies {
        let mut replies = Replies::default();
        for frame in frames {
            replies.push(Bytes::from_static(frame.as_bytes()), 1, frame.starts_with('-'));
        }
        replies
    }

    fn read<C: Call>(mut call: C, config: &Config, frames: &[&'static str]) -> Result<C::Output> {
        call::read(&mut call, replies(frames), config)
    }

    fn doubled(value: Value) -> Result<Value> {
        value.as_i64().map(|n| Value::Integer(2 * n)).ok_or_else(|| Error::usage("no number"))
    }

    #[test]
    fn a_callback_meets_the_replies_to_its_command_only() {
        let config =
            config(|b| b.response_callback("client id", doubled).response_callback("Mine.Get", doubled));
        let ask = |name: &str, frame| read(Cmd::<i64>::new(name), &config, &[frame]);
        assert_eq!(ask("CLIENT ID", ":4\r\n").unwrap(), 8);
        assert_eq!(ask("client Id", ":4\r\n").unwrap(), 8);
        assert_eq!(ask("mine.get", ":4\r\n").unwrap(), 8);
        assert_eq!(ask("CLIENT UNBLOCK", ":4\r\n").unwrap(), 4);
        assert_eq!(ask("MINE", ":4\r\n").unwrap(), 4);
        assert_eq!(read(Cmd::<String>::new("CLIENT ID"), &config, &[":4\r\n"]).unwrap(), "8");
        let error = ask("CLIENT ID", "-ERR no\r\n").unwrap_err();
        assert_eq!((error.outcome(), error.message()), (Outcome::Rejected, "ERR no"));
    }

    #[test]
    fn each_reply_of_a_pipeline_has_its_own() {
        let config = config(|b| b.response_callback("CLIENT ID", doubled));
        let frames = ["|1\r\n+ttl\r\n:1\r\n:1\r\n", ":2\r\n", "-ERR no\r\n", ":3\r\n"];
        let call = Piped::record(|p| {
            let ask = |name: &str| -> Slot<i64> { p.run(Cmd::new(name)) };
            (ask("CLIENT ID"), ask("INCR"), ask("CLIENT ID").attempt(), ask("CLIENT ID"))
        });
        let (one, two, error, three) = read(call, &config, &frames).unwrap();
        assert_eq!((one, two, three), (2, 2, 6));
        assert_eq!(error.unwrap_err().outcome(), Outcome::Rejected);
    }

    #[test]
    fn its_failure_is_no_failure_of_the_command() {
        let refuse = |_| Ok(Value::Error(Error::from_server(b"MINE no")));
        let strange = |_| Ok(Value::BigNumber("no".into()));
        let config = config(|b| {
            let b = b.response_callback("INCR", doubled).response_callback("DECR", refuse);
            b.response_callback("INCRBY", strange)
        });
        for (name, words) in [("INCR", "no number"), ("DECR", "MINE no"), ("INCRBY", "")] {
            let error = read(Cmd::<Value>::new(name), &config, &["+text\r\n"]).unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Decode, Outcome::Unreadable), "{error}");
            assert_eq!((error.command(), error.code()), (Some(name), None), "{error}");
            assert!(
                error.message().contains(words) && std::error::Error::source(&error).is_some(),
                "{error}"
            );
        }
    }

    #[test]
    fn configurations_are_equal_by_their_callbacks() {
        let one = config(|b| b.response_callback("GET", doubled));
        assert_eq!(one, one.to_builder().build().unwrap());
        assert_ne!(one, config(|b| b.response_callback("GET", Ok)));
        assert_eq!(format!("{:?}", one.response_callbacks()), r#"{"GET"}"#);
    }
}
