//! How a cache comes to know that all announcements have come: what is asked, and what the answer means. This
//! file must not know what is kept.

use crate::cmd::Cmd;
use crate::config::{Config, Deployment, ReadFrom};
use crate::error::{ConnectionFault, Error, ErrorKind, Outcome};
use crate::facts;
use crate::replies::Replies;
use crate::reply::Value;

/// Whether what `config` leads to is to be a master: a node of a cluster, or the server of a service.
#[must_use]
pub fn wants_master(config: &Config) -> bool {
    match config.deployment() {
        Deployment::Single(_) => false,
        Deployment::Cluster { .. } => true,
        Deployment::Sentinel { .. } => config.sentinel_options().read_from == ReadFrom::Master,
    }
}

/// What a tracked connection is asked: its answer comes behind all that was announced before.
///
/// One that is to lead to a master is asked for the server's role. A former master answers `PING` as before,
/// but hears of what is written to its successor only when that has sent it.
pub fn sync_question(wants_master: bool) -> Cmd<Value> {
    if wants_master { Cmd::of(&facts::ROLE) } else { Cmd::new("PING") }
}

/// Whether the answer is that of a server which follows another now. A server that does not tell its role is
/// believed.
#[must_use]
pub fn is_demoted(mut answer: Replies) -> bool {
    match answer.read::<Value>() {
        Ok(Value::Array(items)) => matches!(items.first().and_then(Value::as_str), Some("slave" | "replica")),
        _ => false,
    }
}

/// Why a connection to a former master is given up.
#[must_use]
pub fn demoted() -> Error {
    let message = "expected a master to announce changes; the server follows another now";
    Error::new(ErrorKind::Connection(ConnectionFault::Reset), Outcome::MaybeExecuted, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_former_master_is_recognised_by_its_role() {
        let answers: &[(&[u8], bool)] = &[
            (b"*3\r\n$6\r\nmaster\r\n:42\r\n*0\r\n", false),
            (b"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:42\r\n", true),
            (b"*1\r\n+slave\r\n", true),
            (b"*1\r\n$14\r\nactive-replica\r\n", false),
            (b"+PONG\r\n", false),
            (b"-NOPERM this user has no permissions to run the 'role' command\r\n", false),
        ];
        for (answer, expected) in answers {
            let replies = Replies::single(bytes::Bytes::from_static(answer), false);
            assert_eq!(is_demoted(replies), *expected, "{}", answer.escape_ascii());
        }
    }

    #[test]
    fn only_masters_are_asked_for_their_role() {
        let table = [
            ("redis://h", "PING"),
            ("redis+cluster://h", "ROLE"),
            ("redis+sentinel://h/mymaster", "ROLE"),
            ("redis+sentinel://h/mymaster?read_from=replica", "PING"),
        ];
        for (url, expected) in table {
            let config = Config::from_url(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(sync_question(wants_master(&config)).words(), [expected], "{url}");
        }
    }
}
