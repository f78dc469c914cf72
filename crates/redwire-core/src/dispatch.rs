//! Which connection a command takes: one that it shares with others, or one of its own for a while.
//!
//! Users never choose: it is known from the command's facts. What can be run on neither is refused here, with
//! the way it can be done. This file must not know connections.

use redwire_resp::{Cursor, Head, Len};

use crate::cmd::Cmd;
use crate::error::{Error, Result};
use crate::facts::{self, Blocking, Facts, SessionEffect};

/// The way a command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// A pipelined connection shared by all callers.
    Shared,
    /// A connection of its own until the reply is there: the server may hold the reply back, or another
    /// connection is needed than the one that is shared.
    Exclusive(Blocking),
}

impl Dispatch {
    /// Whether the server may hold the reply back.
    #[must_use]
    pub fn waits(self) -> bool {
        matches!(self, Self::Exclusive(Blocking::Upto(_) | Blocking::Forever))
    }
}

/// How the client dispatches `cmd` on a client.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::ErrorKind::Usage): the command would change the connection for all other
/// callers, or [lacks a value](Cmd::check).
#[inline]
pub fn of<R>(cmd: &Cmd<R>) -> Result<Dispatch> {
    cmd.check()?;
    let facts = cmd.facts();
    if facts.session != SessionEffect::None {
        return apart(cmd, facts.session);
    }
    Ok(if facts.timeout.is_none() { Dispatch::Shared } else { on_connection(cmd) })
}

/// How the client dispatches what changes its connection, if it has any.
#[cold]
fn apart<R>(cmd: &Cmd<R>, session: SessionEffect) -> Result<Dispatch> {
    if session == SessionEffect::Ends { Ok(on_connection(cmd)) } else { Err(refusal(cmd, session)) }
}

/// How the client dispatches `cmd` where the connection is the caller's own already: it only tells how long
/// the server may wait.
#[must_use]
pub fn on_connection<R>(cmd: &Cmd<R>) -> Dispatch {
    if cmd.facts().timeout.is_none() {
        return Dispatch::Shared;
    }
    let words: Vec<_> = cmd.args().iter().collect();
    match cmd.facts().blocks(words.into_iter()) {
        Blocking::No => Dispatch::Shared,
        blocking => Dispatch::Exclusive(blocking),
    }
}

/// Whether `cmd` may stand in a pipeline, which shares its connection.
///
/// # Errors
/// As [`of`]; and a command that waits, since it would hold up all others.
#[inline]
pub(crate) fn check_pipeline<R>(cmd: &Cmd<R>) -> Result<()> {
    match of(cmd)? {
        Dispatch::Shared => Ok(()),
        Dispatch::Exclusive(_) => {
            let message = "a command that waits can stand neither in a pipeline, where it would hold up all \
                           that share the connection, nor in a transaction, where it would not wait";
            Err(Error::usage(message).with_command(&cmd.name()))
        }
    }
}

/// Whether a connection that belongs to one caller can run `cmd` and read one reply to it.
///
/// # Errors
/// The command's answer is no single reply, or it [cannot be sent](check_send).
pub fn check_connection<R>(cmd: &Cmd<R>) -> Result<()> {
    cmd.check()?;
    match cmd.facts().session {
        session @ (SessionEffect::Subscribes
        | SessionEffect::Monitors
        | SessionEffect::Replies
        | SessionEffect::Replicates
        | SessionEffect::Empty) => Err(refusal(cmd, session)),
        _ => Ok(()),
    }
}

/// Whether `cmd` can be sent by hand.
///
/// # Errors
/// It has no words, or an empty first word: its reply would be another command's; or it [lacks a
/// value](Cmd::check).
pub fn check_send<R>(cmd: &Cmd<R>) -> Result<()> {
    cmd.check()?;
    match cmd.facts().session {
        SessionEffect::Empty => Err(nameless()),
        _ => Ok(()),
    }
}

/// The commands that `bytes` are, packed as arrays of words or as lines; `None` where they cannot be told.
///
/// # Errors
/// As [`check_send`], of one of them.
pub fn packed(bytes: &[u8]) -> Result<Option<Vec<&'static Facts>>> {
    let (mut rest, mut all) = (bytes, Vec::new());
    while !rest.is_empty() {
        let Some((first, second, len)) = (if rest[0] == b'*' { array(rest) } else { line(rest) }) else {
            return Ok(None);
        };
        if first.is_empty() {
            return Err(nameless());
        }
        all.push(facts::lookup(first, second).unwrap_or(&facts::UNKNOWN));
        rest = &rest[len..];
    }
    Ok(Some(all))
}

/// The first two words of a command, and how many bytes it has.
type Front<'a> = (&'a [u8], Option<&'a [u8]>, usize);

fn array(bytes: &[u8]) -> Option<Front<'_>> {
    let mut cursor = Cursor::new(bytes);
    // To a server, less than no words are none.
    let Head::Array(Len::Known(count)) = cursor.head().ok()? else {
        return bytes.starts_with(b"*-").then_some((b"", None, 0));
    };
    let (mut first, mut second): (&[u8], _) = (b"", None);
    for index in 0..count {
        let Head::Bulk(word) = cursor.head().ok()? else { return None };
        match index {
            0 => first = word,
            1 => second = Some(word),
            _ => {}
        }
    }
    Some((first, second, cursor.position()))
}

/// A command as people type it. One with quotes is not read here.
fn line(bytes: &[u8]) -> Option<Front<'_>> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let mut words = bytes[..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let plain = !bytes[..end].iter().any(|byte| matches!(byte, b'"' | b'\''));
    plain.then(|| (words.next().unwrap_or_default(), words.next(), end + 1))
}

#[cold]
fn nameless() -> Error {
    Error::usage("expected a command, got no words or an empty first word")
}

#[cold]
fn refusal<R>(cmd: &Cmd<R>, session: SessionEffect) -> Error {
    let advice = match session {
        SessionEffect::Empty => return nameless(),
        SessionEffect::Selects => {
            "the database is chosen in the URL (`/2`) or by the option `db`, or on a `Connection`"
        }
        SessionEffect::Authenticates | SessionEffect::Greets => {
            "user, password and protocol are options of the client"
        }
        SessionEffect::Describes => "the name is set by the option `client_name`, or on a `Connection`",
        SessionEffect::Reads => "reading from replicas is the option `read_only`",
        SessionEffect::Subscribes
        | SessionEffect::Monitors
        | SessionEffect::Replies
        | SessionEffect::Replicates => {
            "its answer is not one reply; send it with `Connection::send` and read with \
             `Connection::read_reply`"
        }
        _ => "it changes the state of its connection, which others share; use a `Connection`",
    };
    Error::usage(format!("this client cannot run it: {advice}")).with_command(&cmd.name())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::{ErrorKind, Outcome};
    use crate::reply::Value;

    fn dispatch(line: &str) -> Result<Dispatch> {
        let mut words = line.split(' ');
        let first = words.next().unwrap_or_default();
        of(&words.fold(Cmd::<Value>::new(first), Cmd::arg))
    }

    #[test]
    fn facts_choose_the_dispatch() {
        assert_eq!(dispatch("GET k").unwrap(), Dispatch::Shared);
        assert_eq!(dispatch("XREAD STREAMS s 0").unwrap(), Dispatch::Shared);
        assert_eq!(dispatch("NOSUCH.COMMAND x").unwrap(), Dispatch::Shared);
        assert_eq!(
            dispatch("BLPOP a b 1.5").unwrap(),
            Dispatch::Exclusive(Blocking::Upto(Duration::from_millis(1500)))
        );
        assert_eq!(dispatch("XREAD BLOCK 0 STREAMS s $").unwrap(), Dispatch::Exclusive(Blocking::Forever));
        assert!(matches!(dispatch("SHUTDOWN NOSAVE").unwrap(), Dispatch::Exclusive(Blocking::Upto(_))));
        assert_eq!(dispatch("SHUTDOWN ABORT").unwrap(), Dispatch::Shared);
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
            let error = dispatch(line).unwrap_err();
            assert!(error.to_string().contains(advice), "{error}");
        }
    }

    /// However its words came together.
    #[test]
    fn a_subcommand_is_known_whatever_it_was_built_of() {
        static OWN: Facts = Facts::new("CLIENT");
        static NONE: Facts = Facts::new("");
        static WHOLE: Facts = Facts::new("client  Reply");
        let built: [Cmd<Value>; 8] = [
            Cmd::of(&facts::CLIENT).arg("REPLY").arg("SKIP"),
            Cmd::of(&facts::CLIENT).arg(b"rePLY").arg("SKIP"),
            Cmd::of(&facts::CLIENT_REPLY).arg("SKIP"),
            Cmd::of(&OWN).arg("reply").arg("SKIP"),
            Cmd::of(&NONE).arg("client").arg("reply").arg("SKIP"),
            Cmd::of(&WHOLE).arg("SKIP"),
            Cmd::new("CLIENT").arg("REPLY").arg("SKIP"),
            Cmd::new(" client\treply ").arg("SKIP"),
        ];
        for cmd in built {
            assert_eq!(
                (cmd.facts().name, &*cmd.name()),
                ("CLIENT REPLY", "CLIENT REPLY"),
                "{:?}",
                cmd.words()
            );
            assert_eq!(cmd.args().len(), 3);
            of(&cmd).unwrap_err();
            check_pipeline(&cmd).unwrap_err();
            check_connection(&cmd).unwrap_err();
            crate::transaction::check_command(&cmd).unwrap_err();
        }
        // Of every container, the facts of every subcommand.
        for known in facts::all().iter().filter(|known| known.words == 2) {
            let (first, second) = known.name.split_once(' ').unwrap();
            let container = facts::lookup(first.as_bytes(), None).unwrap();
            assert!(container.is_container(), "{first}");
            let built = Cmd::<Value>::of(container).arg(second.to_ascii_lowercase());
            assert!(std::ptr::eq(built.facts(), *known), "{}", known.name);
        }
        let has_subcommands = |facts: &&&Facts| {
            facts::all().iter().any(|other| other.name.starts_with(&format!("{} ", facts.name)))
        };
        assert_eq!(
            facts::all().iter().filter(has_subcommands).count(),
            facts::all().iter().filter(|facts| facts.is_container()).count()
        );
        // What a container does not know is left to the server.
        assert_eq!(Cmd::<Value>::of(&facts::CLIENT).arg("FUTURE").facts().name, "CLIENT");
        assert_eq!(of(&Cmd::<Value>::of(&facts::CLIENT).arg("ID")).unwrap(), Dispatch::Shared);
    }

    #[test]
    fn what_is_no_command_is_refused() {
        static NONE: Facts = Facts::new(" ");
        let nothing = Cmd::<Value>::new("").arg(None::<&str>).arg([""; 0]);
        let nameless: [Cmd<Value>; 5] =
            [Cmd::new(""), Cmd::new(" \t "), nothing, Cmd::of(&NONE), Cmd::new("").arg("").arg("GET")];
        for cmd in nameless {
            let refused = [
                of(&cmd).map(drop),
                check_pipeline(&cmd),
                check_connection(&cmd),
                check_send(&cmd),
                crate::transaction::check_command(&cmd),
            ];
            for error in refused {
                let error = error.unwrap_err();
                assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
            }
        }
        check_send(&Cmd::<Value>::new("").arg("GET").arg("")).unwrap();
        check_send(&Cmd::<Value>::new("SUBSCRIBE")).unwrap();
    }

    #[test]
    fn packed_commands_are_read_back() {
        let names = |bytes: &[u8]| -> Option<Vec<&str>> {
            packed(bytes).unwrap().map(|all| all.iter().map(|facts| facts.name).collect())
        };
        let two =
            [Cmd::<()>::new("get").arg("*1").to_bytes(), Cmd::<()>::new("client reply").arg("ON").to_bytes()];
        assert_eq!(names(&two.concat()), Some(vec!["GET", "CLIENT REPLY"]));
        assert_eq!(names(b""), Some(vec![]));
        assert_eq!(names(b"PING\r\n subscribe  a b\nNOSUCH\r\n"), Some(vec!["PING", "SUBSCRIBE", ""]));
        let whole = two.concat();
        for end in 1..whole.len() {
            assert!(end == two[0].len() || names(&whole[..end]).is_none(), "{end}");
        }
        for unknown in [
            &b"SET a \"b c\"\r\n"[..],
            b"PING",
            b"*1\r\n:1\r\n",
            b"*1\r\n$-1\r\n",
            b"*?\r\n",
            b"*2000000000\r\n",
        ] {
            assert_eq!(names(unknown), None, "{}", unknown.escape_ascii());
        }
        for nothing in
            [&b"*0\r\n"[..], b"*-1\r\n", b"\r\n", b" \n", b"*1\r\n$0\r\n\r\n", b"*2\r\n$0\r\n\r\n$1\r\na\r\n"]
        {
            let late = [&two[0][..], nothing].concat();
            for bytes in [nothing, &late] {
                assert_eq!(packed(bytes).unwrap_err().kind(), ErrorKind::Usage, "{}", bytes.escape_ascii());
            }
        }
    }
}
