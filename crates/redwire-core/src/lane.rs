//! Which connection a command takes: one that it shares with others, or one of its own for a while.
//!
//! Users never choose: it is known from the command's facts. What can be run on neither is refused here, with
//! the way it can be done. This file must not know connections.

use crate::cmd::Cmd;
use crate::error::{Error, Result};
use crate::facts::{Blocking, Session};

/// The way a command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A pipelined connection shared by all callers.
    Shared,
    /// A connection of its own until the reply is there, since the server may hold the reply back.
    Exclusive(Blocking),
}

/// The lane of `cmd` on a client.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::ErrorKind::Usage): the command would change the connection for everybody else,
/// or [lacks a value](Cmd::check).
#[inline]
pub fn of<R>(cmd: &Cmd<R>) -> Result<Lane> {
    cmd.check()?;
    let facts = cmd.facts();
    if facts.session != Session::None {
        return apart(cmd, facts.session);
    }
    Ok(if facts.timeout.is_none() { Lane::Shared } else { on_connection(cmd) })
}

/// The lane of what changes its connection, if it has any.
#[cold]
fn apart<R>(cmd: &Cmd<R>, session: Session) -> Result<Lane> {
    if session == Session::Ends { Ok(on_connection(cmd)) } else { Err(refusal(cmd, session)) }
}

/// The lane of `cmd` where the connection is the caller's own already: it only tells how long the server may wait.
#[must_use]
pub fn on_connection<R>(cmd: &Cmd<R>) -> Lane {
    let words: Vec<_> = cmd.args().iter().collect();
    match cmd.facts().blocks(words.into_iter()) {
        Blocking::No => Lane::Shared,
        blocking => Lane::Exclusive(blocking),
    }
}

/// Whether `cmd` may stand in a pipeline, which shares its connection.
///
/// # Errors
/// As [`of`]; and a command that waits, since it would hold up all others.
#[inline]
pub(crate) fn check_pipeline<R>(cmd: &Cmd<R>) -> Result<()> {
    match of(cmd)? {
        Lane::Shared => Ok(()),
        Lane::Exclusive(_) => {
            let message = "a command that waits can stand neither in a pipeline, where it would hold up all that share the connection, nor in a transaction, where it would not wait";
            Err(Error::usage(message).with_command(&cmd.name()))
        }
    }
}

/// Whether a connection that belongs to one caller can run `cmd` and read one reply to it.
///
/// # Errors
/// The command's answer is no single reply, or it [lacks a value](Cmd::check).
pub fn check_connection<R>(cmd: &Cmd<R>) -> Result<()> {
    cmd.check()?;
    match cmd.facts().session {
        session @ (Session::Subscribes | Session::Monitors | Session::Replies | Session::Replicates) => {
            Err(refusal(cmd, session))
        }
        _ => Ok(()),
    }
}

#[cold]
fn refusal<R>(cmd: &Cmd<R>, session: Session) -> Error {
    let advice = match session {
        Session::Selects => {
            "the database is chosen in the URL (`/2`) or by the option `db`, or on a `Connection`"
        }
        Session::Authenticates | Session::Greets => "user, password and protocol are options of the client",
        Session::Describes => "the name is set by the option `client_name`, or on a `Connection`",
        Session::Reads => "reading from replicas is the option `read_only`",
        Session::Subscribes | Session::Monitors | Session::Replies | Session::Replicates => {
            "its answer is not one reply; send it with `Connection::send` and read with `Connection::read_reply`"
        }
        _ => "it changes the state of its connection, which others share; use a `Connection`",
    };
    Error::usage(format!("this client cannot run it: {advice}")).with_command(&cmd.name())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::reply::Value;

    fn lane(line: &str) -> Result<Lane> {
        let mut words = line.split(' ');
        let first = words.next().unwrap_or_default();
        of(&words.fold(Cmd::<Value>::new(first), Cmd::arg))
    }

    #[test]
    fn facts_choose_the_lane() {
        assert_eq!(lane("GET k").unwrap(), Lane::Shared);
        assert_eq!(lane("XREAD STREAMS s 0").unwrap(), Lane::Shared);
        assert_eq!(lane("NOSUCH.COMMAND x").unwrap(), Lane::Shared);
        assert_eq!(
            lane("BLPOP a b 1.5").unwrap(),
            Lane::Exclusive(Blocking::Upto(Duration::from_millis(1500)))
        );
        assert_eq!(lane("XREAD BLOCK 0 STREAMS s $").unwrap(), Lane::Exclusive(Blocking::Forever));
        assert!(matches!(lane("SHUTDOWN NOSAVE").unwrap(), Lane::Exclusive(Blocking::Upto(_))));
        assert_eq!(lane("SHUTDOWN ABORT").unwrap(), Lane::Shared);
    }

    #[test]
    fn what_would_disturb_others_is_refused_with_advice() {
        for (line, advice) in [
            ("SELECT 1", "option `db`"),
            ("client setname x", "client_name"),
            ("MULTI", "Connection"),
            ("SUBSCRIBE a", "Connection::send"),
            ("CLIENT REPLY OFF", "Connection::send"),
            ("AUTH pw", "options of the client"),
        ] {
            let error = lane(line).unwrap_err();
            assert!(error.to_string().contains(advice), "{error}");
        }
    }
}
